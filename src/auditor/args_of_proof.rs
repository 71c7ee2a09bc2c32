//! The arguments of `kluis-audit prove`, `verify-record`, `verify-erasure` and `pseudonym`, without
//! logic.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::args::Whose;
use crate::cli::values;
use crate::types::{BucketName, EventId, PrincipalId, ProjectName};

/// Which certificate.
#[derive(Debug, Args)]
pub(super) struct VerifyErasure {
    /// The certificate, as `kluis key certificate` printed it
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// A file with the log's public key, as `kluis-audit key` printed it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) log: PathBuf,
    /// The dataset that it must be of, as project/dataset
    #[arg(long, value_parser = values::dataset, value_name = "PROJECT/DATASET")]
    pub(super) dataset: Option<BucketName>,
    /// What must be erased, as it was agreed on: dataset, object=KEY, write=VERSION:KEY, version=N
    #[arg(long, value_name = "WHAT", requires = "dataset")]
    pub(super) what: Option<String>,
    /// Look for the certificate's record in this bundle of the project, as `kluis-audit bundle`
    /// made it after the erasure [default: the log is not looked at]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) bundle: Option<PathBuf>,
}

/// What to prove.
#[derive(Debug, Subcommand)]
pub(super) enum ProveCommand {
    /// Print a request's record with the proof that it is in the log (c2sp.org/tlog-proof), on the
    /// vault's host; `verify-record` checks it anywhere
    Event(ProveEvent),
    /// Print the proof that an entry is in the log (c2sp.org/tlog-proof)
    Inclusion {
        /// A bundle, or a log's directory
        dir: PathBuf,
        /// The entry's number, from 0
        #[arg(long)]
        entry: u64,
    },
    /// Print the proof that the log of an earlier size is its beginning, as witnesses take it
    Consistency {
        /// A bundle, or a log's directory
        dir: PathBuf,
        /// The earlier size
        #[arg(long)]
        from: u64,
    },
}

/// Which request.
#[derive(Debug, Args)]
pub(super) struct ProveEvent {
    /// The request, as its record names it
    #[arg(value_parser = values::event)]
    pub(super) event: EventId,
    /// Whose records.
    #[command(flatten)]
    pub(super) whose: Whose,
    /// Prove the record of its end, not that of its begin
    #[arg(long)]
    pub(super) end: bool,
}

/// Which proof.
#[derive(Debug, Args)]
pub(super) struct VerifyRecord {
    /// The proof, as `prove event` printed it
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// A file with the log's public key, as `kluis-audit key` printed it
    #[arg(long, value_name = "FILE", required_unless_present = "trust")]
    pub(super) log: Option<PathBuf>,
    /// A file that says which logs and how many witnesses are trusted (c2sp.org/tlog-policy)
    #[arg(long, value_name = "FILE", conflicts_with = "log")]
    pub(super) trust: Option<PathBuf>,
}

/// What to do about pseudonyms.
#[derive(Debug, Subcommand)]
pub(super) enum PseudonymCommand {
    /// Make a key, for the project's controller to hold
    New {
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write the key to the pseudonyms that the vault shows, where the project has them (`kluis
    /// project log --pseudonyms on`), for whoever manages its grants. It stands in the log
    Key {
        /// The project
        #[arg(long)]
        project: ProjectName,
        /// Who asks; her grants must let her manage the project's grants
        #[arg(long)]
        by: PrincipalId,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the pseudonym of a person
    Of {
        /// The key, as `pseudonym new` or `pseudonym key` made it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The project
        #[arg(long)]
        project: ProjectName,
        /// The person
        person: PrincipalId,
    },
    /// Say who is meant by pseudonyms, of names that are given
    Resolve {
        /// The key, as `pseudonym new` or `pseudonym key` made it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The project
        #[arg(long)]
        project: ProjectName,
        /// A file of names, one a line
        #[arg(long, value_name = "FILE")]
        names: PathBuf,
        /// The pseudonyms
        #[arg(required = true)]
        pseudonyms: Vec<PrincipalId>,
    },
}
