//! `kluis credential`: its arguments.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::values;
use crate::types::{
    AccessKeyId, DatasetName, KeyScope, Network, PrincipalId, ProjectName, Timestamp,
};

/// Commands on credentials.
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Make a credential and hand it over, once
    ///
    /// The secret is written to a file that nobody else can read, or to standard output where that
    /// is no terminal. It cannot be shown again. With a scope the credential carries only that part
    /// of its owner's rights; it keeps the scope for ever, and gives nothing that she has not.
    #[command(
        after_long_help = "Example:\n  kluis credential create train-job --expires 2027-12-31 --output job.env\n  kluis credential create a.jansen --project icu-sepsis --dataset ecg-2024 \\\n    --prefix raw/ --read-only --network 10.12.0.0/16 --output viewer.env"
    )]
    Create {
        /// Whose it is
        principal: PrincipalId,
        /// After this moment it is refused [default: no end]
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        expires: Option<Timestamp>,
        /// Write it to this new file, as lines for a shell
        #[arg(long, visible_alias = "out", value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        /// Show the secret even on a terminal
        #[arg(long, conflicts_with = "output")]
        force: bool,
        /// How far it reaches
        #[command(flatten)]
        scope: Box<ScopeArgs>,
    },
    /// List a principal's credentials, without their secrets
    #[command(after_long_help = "Example:\n  kluis credential list train-job")]
    List {
        /// Whose they are
        principal: PrincipalId,
    },
    /// Revoke a credential
    #[command(after_long_help = "Example:\n  kluis credential revoke KLUS23456789ABCDEFGH")]
    Revoke {
        /// The access key's id, as `list` shows it
        #[arg(value_parser = values::access_key)]
        id: AccessKeyId,
    },
}

/// The scope of a credential.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scope")]
pub struct ScopeArgs {
    /// Only this project [default: all]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectName>,
    /// Only this dataset of the project
    #[arg(long, value_name = "DATASET", requires = "project")]
    dataset: Option<DatasetName>,
    /// Only this published version of the dataset
    #[arg(long, value_name = "NUMBER", requires = "dataset")]
    version: Option<u32>,
    /// Only keys of the dataset that begin so
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        requires = "dataset",
        hide_default_value = true
    )]
    prefix: String,
    /// Only what changes nothing
    #[arg(long)]
    read_only: bool,
    /// Only by grants of this purpose
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// Only from this network, as 10.12.0.0/16; may be repeated [default: from anywhere]
    #[arg(long, value_name = "NETWORK")]
    network: Vec<Network>,
}

impl From<&ScopeArgs> for KeyScope {
    fn from(args: &ScopeArgs) -> Self {
        let networks: BTreeSet<Network> = args.network.iter().copied().collect();
        Self {
            project: args.project.clone(),
            dataset: args.dataset.clone(),
            version: args.version,
            prefix: args.prefix.clone(),
            only_reads: args.read_only,
            purpose: args.purpose.clone(),
            networks: networks.into_iter().collect(),
        }
    }
}
