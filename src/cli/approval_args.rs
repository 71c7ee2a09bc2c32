//! The arguments of `kluis approval`, without logic.

use clap::Subcommand;

use super::remote::Caller;
use super::values::{self, Spot};
use crate::types::{ActKind, ApprovalId, ProjectName};

/// Commands on acts that take two persons.
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// Ask for an act
    ///
    /// label.lower PROJECT/DATASET to=LABEL; break-glass PROJECT/DATASET who=PERSON minutes=N (at
    /// most 480); erase PROJECT/DATASET what=dataset (or what=object=KEY, what=write=VERSION:KEY
    /// for one version of an object, what=version=N for a published version, what=deleted for the
    /// keys of the dataset of that name that was deleted last); log.shorten PROJECT days=N.
    /// Nothing of it can be changed once it is asked.
    #[command(
        after_long_help = "Example:\n  kluis approval ask label.lower icu-sepsis/ecg-2024 to=internal \\\n    --reason DPIA-12 --credentials ana.env\n  kluis approval ask break-glass icu-sepsis/ecg-2024 who=b.devries minutes=60 \\\n    --reason theatre-3 --credentials rita.env"
    )]
    Ask {
        /// The kind of act: label.lower, break-glass, erase, log.shorten
        #[arg(value_name = "ACT")]
        act: ActKind,
        /// Where: project/dataset, or a project
        #[arg(value_name = "PLACE", value_parser = values::spot)]
        place: Spot,
        /// What exactly, as name=value
        #[arg(value_name = "TERM", value_parser = values::term)]
        terms: Vec<(String, String)>,
        /// Why; the second person reads it, and the log keeps it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who asks.
        #[command(flatten)]
        caller: Caller,
    },
    /// List a project's acts: what waits, what was done
    #[command(after_long_help = "Example:\n  kluis approval list icu-sepsis --credentials ana.env")]
    List {
        /// The project
        project: ProjectName,
        /// Who looks.
        #[command(flatten)]
        caller: Caller,
    },
    /// Show all of one act, to read before it is approved
    #[command(
        after_long_help = "Example:\n  kluis approval show icu-sepsis 0123456789abcdef0123456789abcdef \\\n    --credentials ola.env"
    )]
    Show {
        /// The project
        project: ProjectName,
        /// The act, as `list` shows it
        approval: ApprovalId,
        /// Who looks.
        #[command(flatten)]
        caller: Caller,
    },
    /// Approve what another person asked for
    #[command(
        after_long_help = "Example:\n  kluis approval approve icu-sepsis 0123456789abcdef0123456789abcdef \\\n    --credentials ola.env"
    )]
    Approve {
        /// The project
        project: ProjectName,
        /// The act
        approval: ApprovalId,
        /// Who approves.
        #[command(flatten)]
        caller: Caller,
    },
    /// Refuse it, before it is approved or after, as long as it is not done
    #[command(
        after_long_help = "Example:\n  kluis approval refuse icu-sepsis 0123456789abcdef0123456789abcdef \\\n    --credentials ola.env"
    )]
    Refuse {
        /// The project
        project: ProjectName,
        /// The act
        approval: ApprovalId,
        /// Who refuses.
        #[command(flatten)]
        caller: Caller,
    },
    /// Take back what you asked for
    #[command(
        after_long_help = "Example:\n  kluis approval withdraw icu-sepsis 0123456789abcdef0123456789abcdef \\\n    --credentials ana.env"
    )]
    Withdraw {
        /// The project
        project: ProjectName,
        /// The act
        approval: ApprovalId,
        /// Who asked.
        #[command(flatten)]
        caller: Caller,
    },
    /// Do an approved break-glass: who was named may read from now on, for the minutes asked
    ///
    /// The dataset's owner is told at the same moment (`kluis notices`), and every record that it
    /// causes is flagged (`kluis-audit query --break-glass`).
    #[command(
        after_long_help = "Example:\n  kluis approval break-glass icu-sepsis 0123456789abcdef0123456789abcdef \\\n    --credentials rita.env"
    )]
    BreakGlass {
        /// The project
        project: ProjectName,
        /// The act
        approval: ApprovalId,
        /// Who asked.
        #[command(flatten)]
        caller: Caller,
    },
}

impl ApprovalCommand {
    /// Who signs.
    pub(super) const fn caller(&self) -> &Caller {
        match self {
            Self::Ask { caller, .. }
            | Self::List { caller, .. }
            | Self::Show { caller, .. }
            | Self::Approve { caller, .. }
            | Self::Refuse { caller, .. }
            | Self::Withdraw { caller, .. }
            | Self::BreakGlass { caller, .. } => caller,
        }
    }
}
