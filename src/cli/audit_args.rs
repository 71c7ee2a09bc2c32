//! The arguments of `kluis audit`.

use clap::{Args, Subcommand};

use super::values;
use crate::ledger::Outcome;
use crate::types::{Action, DatasetName, EventId, ObjectKey, PrincipalId, ProjectName, Timestamp};

/// Commands on the log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the last records, and with --follow those to come
    ///
    /// Reading the log is itself recorded.
    #[command(
        after_long_help = "Example:\n  kluis audit tail --project icu-sepsis -n 50\n  kluis audit tail --project icu-sepsis --dataset ecg-2024 \\\n    --credentials a.jansen.env\n  kluis audit tail --follow --json"
    )]
    Tail {
        /// Of one project; over the network it is needed [default: all]
        #[arg(long, value_name = "NAME")]
        project: Option<ProjectName>,
        /// Of one dataset of it
        #[arg(long, value_name = "DATASET")]
        dataset: Option<DatasetName>,
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        lines: u32,
        /// Go on until interrupted; on the vault's host
        #[arg(short, long)]
        follow: bool,
    },
    /// Show one request, or those that filters name
    ///
    /// Over the network who may read a project's log sees its records, and who manages the grants
    /// of a dataset what was done with it, and by whom. Reading the log is itself recorded.
    #[command(
        after_long_help = "Example:\n  kluis audit show 0198f0c27a1e7c3b9d510c6a5d0f2b11\n  kluis audit show --principal a.jansen --since 2027-03-01 --outcome refused\n  kluis audit show --project icu-sepsis --action object.read \\\n    --key adults/0001.edf --credentials a.jansen.env"
    )]
    Show {
        /// The event's id, as `tail` shows it
        #[arg(value_parser = values::event, required_unless_present = "filters")]
        event: Option<EventId>,
        /// Which requests.
        #[command(flatten)]
        filters: AuditFilters,
    },
}

/// Which requests of the log.
#[derive(Debug, Args)]
#[group(id = "filters", multiple = true)]
#[command(next_help_heading = "Filters, all of which must hold")]
pub struct AuditFilters {
    /// On a project; over the network it is needed
    #[arg(long, value_name = "NAME")]
    pub project: Option<ProjectName>,
    /// On a dataset of this name
    #[arg(long, value_name = "DATASET", value_parser = values::in_project)]
    pub dataset: Option<DatasetName>,
    /// On this object, or on a run of objects of a published version that may have held it
    #[arg(long, value_name = "KEY")]
    pub key: Option<ObjectKey>,
    /// On objects whose keys begin so, or on a run that may have held one
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// By a principal, or by a workload that acts for it
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<PrincipalId>,
    /// What was asked: object.read, object.write, object.list, …
    #[arg(long, value_name = "ACTION")]
    pub action: Option<Action>,
    /// How it ended: success, refused, failed, aborted, open-at-crash
    #[arg(long, value_name = "OUTCOME", value_parser = values::outcome)]
    pub outcome: Option<Outcome>,
    /// Under a permit
    #[arg(long, value_name = "TEXT")]
    pub permit: Option<String>,
    /// Begun at this time or later: 2027-01-01 or 2027-01-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub since: Option<Timestamp>,
    /// Begun before this time
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub until: Option<Timestamp>,
}
