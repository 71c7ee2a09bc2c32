//! The arguments of `kluis-audit`, without logic.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::cli::values;
use crate::types::{PrincipalId, ProjectName, Timestamp};

const AFTER: &str = "\
Exit codes:
  0  done; the evidence holds
  1  no: the evidence does not hold, denied, absent
  2  an error of use or configuration
  3  unavailable: try again

Example:
  kluis-audit --config kluis.toml key > log.vkey
  kluis-audit --config kluis.toml bundle --project icu --auditor t.visser --out icu-audit
  kluis-audit verify icu-audit --log log.vkey --kept seen/";

/// Evidence of Kluis's log: handed out on the vault's host, checked anywhere
#[derive(Debug, Parser)]
#[command(name = "kluis-audit", version, after_long_help = AFTER, max_term_width = 100)]
#[command(arg_required_else_help = true, infer_subcommands = false)]
pub(super) struct Cli {
    /// The vault's configuration file, for what is done on its host
    #[arg(long, global = true, value_name = "PATH", default_value = "kluis.toml")]
    #[arg(value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub(super) config: PathBuf,
    /// Print data as JSON, for machines
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) json: bool,
    /// What to do
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a bundle, or a copy of a log's directory; needs neither the vault nor a network
    Verify(Verify),
    /// Make a bundle of a project's records, with what it takes to check them
    Bundle(Bundle),
    /// Print the public key of the vault's log, to be given to those who verify
    Key,
    /// Look at checkpoints
    Checkpoint {
        /// What to do with it.
        #[command(subcommand)]
        command: CheckpointCommand,
    },
    /// Prove that an entry is in a log, or that a log only grew
    Prove {
        /// What to prove.
        #[command(subcommand)]
        command: ProveCommand,
    },
}

/// How to verify.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A bundle, or a copy of a log's directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) dir: PathBuf,
    /// A file with the log's public key, as `kluis-audit key` printed it
    #[arg(long, value_name = "FILE", required_unless_present = "trust")]
    pub(super) log: Option<PathBuf>,
    /// A file that says which logs and how many witnesses are trusted (c2sp.org/tlog-policy)
    #[arg(long, value_name = "FILE", conflicts_with = "log")]
    pub(super) trust: Option<PathBuf>,
    /// A directory of checkpoints of earlier verifications: the log must be a continuation of each.
    /// If the evidence holds, its checkpoint is added
    #[arg(long, value_name = "DIR")]
    pub(super) kept: Option<PathBuf>,
    /// Print the requests that hold, as they are in the log
    #[arg(long)]
    pub(super) requests: bool,
}

/// What to put into a bundle.
#[derive(Debug, Args)]
pub(super) struct Bundle {
    /// The project
    #[arg(long)]
    pub(super) project: ProjectName,
    /// Whom the bundle is for; her grants must let her read this project's log
    #[arg(long)]
    pub(super) auditor: PrincipalId,
    /// The directory to make
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(super) out: PathBuf,
    /// Leave out what came into the log before: a date or a moment
    #[arg(long, value_parser = values::time)]
    pub(super) since: Option<Timestamp>,
    /// Leave out what came into the log at this moment or later
    #[arg(long, value_parser = values::time)]
    pub(super) until: Option<Timestamp>,
}

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub(super) enum CheckpointCommand {
    /// Print the newest checkpoint of a log's directory or bundle, or of the configured vault
    Show {
        /// The directory
        dir: Option<PathBuf>,
    },
}

/// What to prove.
#[derive(Debug, Subcommand)]
pub(super) enum ProveCommand {
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
