//! The arguments of `kluis dataset` and `kluis mount`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[cfg(feature = "mount")]
use super::job_args::OnNode;
use super::values;
use crate::manifest::SignerKey;
use crate::types::{ApprovalId, BucketName, Label, PrincipalId, ProjectName, Timestamp, UseClass};

/// The gateway as nodes reach it, and what a version must be.
#[derive(Debug, Args)]
pub struct Remote {
    /// The credential file [default: as `kluis whoami` says]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub credentials: Option<PathBuf>,
    /// The key that versions must be signed under, as `kluis dataset versions` shows it
    /// [default: the gateway's word]
    #[arg(long, value_name = "HEX", value_parser = values::signer)]
    pub signer: Option<SignerKey>,
    /// Only what lies under this, as a right to a prefix allows: `adults/`
    /// [default: the whole version]
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub prefix: String,
    /// How long a request is tried before it is an error, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub io_timeout: u64,
}

/// A mount.
#[cfg(feature = "mount")]
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Mount {
    /// The version, as project/dataset@number or project/dataset@latest
    #[arg(value_parser = values::newest_or_version, value_name = "VERSION")]
    pub version: (BucketName, Option<u32>),
    /// The directory; it must be there. `/dev/fd/N`: a descriptor on which another has mounted
    #[arg(value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Where the gateway is, and whom to trust
    #[command(flatten)]
    pub remote: Remote,
    /// The job on whose behalf, instead of a credential
    #[command(flatten)]
    pub on: OnNode,
    /// What the version's root must hash to, as `kluis dataset versions` shows it
    #[arg(long, value_name = "HEX", value_parser = values::digest)]
    pub root: Option<[u8; 32]>,
    /// Let other accounts of this machine read it
    #[arg(long)]
    pub allow_other: bool,
    /// The one account, by its number, that may enter a mount that root makes for it
    #[arg(long, value_name = "UID", requires = "allow_other")]
    pub reader: Option<u32>,
    /// The account, by its number, that may write `.kluis/plan` [default: the reader, else the one
    /// that mounts]
    #[arg(long, value_name = "UID")]
    pub plan_writer: Option<u32>,
    /// Keep no plaintext in the kernel's page cache: twice as fast, and re-reads are not cached
    #[arg(long)]
    pub direct_io: bool,
    /// Memory for plaintext that is read ahead, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub memory: u64,
    /// Never read from the store itself, though the gateway would allow it
    #[arg(long)]
    pub through_gateway: bool,
    /// Keep sealed bytes in this directory; all mounts of the machine may share it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How large that may become, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 10_240, requires = "cache")]
    #[arg(value_parser = clap::value_parser!(u64).range(4..=1_073_741_824))]
    pub cache_size: u64,
    /// Where this machine keeps which versions it has seen, so that an older state is not believed
    /// [default: /var/lib/kluis/seen for root, else nowhere]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub seen: Option<PathBuf>,
    /// End when this file's time of modification has come, or it is gone; whoever may write it puts
    /// the end off with `touch`. In Slurm: the end of the job's time
    #[arg(long = "while", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub while_file: Option<PathBuf>,
    /// Watch over the mount: one that dies is followed by another, and readers wait meanwhile
    #[arg(long)]
    pub supervised: bool,
    /// Stay in the foreground, as it always does; whoever passes a descriptor may say so
    #[arg(short = 'f', hide = true)]
    pub foreground: bool,
    /// Be the mount of a supervisor, who is standard input
    #[arg(long, hide = true)]
    pub worker: bool,
}

/// Which dataset is frozen, and on whose word.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The dataset, as project/dataset
    #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
    pub name: BucketName,
    /// Make a version even if nothing changed since the last one
    #[arg(long)]
    pub again: bool,
    /// On the vault's host: who publishes it; must have the right to
    #[arg(long, value_name = "PRINCIPAL")]
    pub publisher: Option<PrincipalId>,
}

/// What a dataset is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Description [default: what it has, or its project's defaults]")]
pub struct CardArgs {
    /// The person who answers for the data
    #[arg(long, value_name = "PERSON")]
    pub owner: Option<PrincipalId>,
    /// How confidential it is: one of `labels.order` in the configuration
    #[arg(long, value_name = "LABEL")]
    pub label: Option<Label>,
    /// Where it comes from
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// On which legal basis it is kept
    #[arg(long, value_name = "TEXT")]
    pub basis: Option<String>,
    /// Until when it may be kept: 2037-12-31
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub ends: Option<Timestamp>,
    /// What jobs may compute on it for: only on nodes that are enrolled for this use
    #[arg(long, value_name = "CLASS", conflicts_with = "any_use")]
    pub use_class: Option<UseClass>,
    /// Let jobs compute on it for whatever use
    #[arg(long)]
    pub any_use: bool,
}

/// Commands on datasets.
#[derive(Debug, Subcommand)]
pub enum DatasetCommand {
    /// Make a dataset
    #[command(
        after_long_help = "Example:\n  kluis dataset create icu-sepsis/ct-2025 --label confidential --source PACS \\\n    --basis consent-protocol-12 --ends 2037-12-31 \\\n    --credentials a.jansen.env\n  kluis dataset create icu-sepsis/ecg-2024 --creator a.jansen"
    )]
    Create {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
        /// On the vault's host: who makes it
        #[arg(long, value_name = "PRINCIPAL")]
        creator: Option<PrincipalId>,
        /// What it is.
        #[command(flatten)]
        card: CardArgs,
    },
    /// Show what a dataset is, and where it stands in its life
    #[command(after_long_help = "Example:\n  kluis dataset describe icu-sepsis/ecg-2024")]
    Describe {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
    },
    /// Describe a dataset: owner, label, source, legal basis, end; put it under legal hold
    ///
    /// All of it is to be said before the dataset takes data. Raising a label is in force at once
    /// and cuts what runs above it; lowering it takes two persons (`kluis approval ask
    /// label.lower`).
    #[command(
        after_long_help = "Example:\n  kluis dataset set icu-sepsis/ecg-2024 --label confidential \\\n    --credentials a.jansen.env\n  kluis dataset set icu-sepsis/ecg-2024 --hold case-2027-81 \\\n    --credentials a.jansen.env"
    )]
    Set {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
        /// On the vault's host: who says so; must have the right to
        #[arg(long, value_name = "PERSON")]
        by: Option<PrincipalId>,
        /// What it is.
        #[command(flatten)]
        card: CardArgs,
        /// Put it under legal hold for this reason: it does not end meanwhile
        #[arg(long, value_name = "REASON", conflicts_with = "release")]
        hold: Option<String>,
        /// End the legal hold
        #[arg(long)]
        release: bool,
        /// The approval of a label's lowering
        #[arg(long, value_name = "APPROVAL")]
        approval: Option<ApprovalId>,
    },
    /// List datasets: over the network those that you may know of
    #[command(after_long_help = "Example:\n  kluis dataset list --project icu-sepsis")]
    List {
        /// Of one project [default: all]
        #[arg(long, value_name = "NAME")]
        project: Option<ProjectName>,
    },
    /// Show all that is said of a dataset; the same as `describe`
    #[command(after_long_help = "Example:\n  kluis dataset show icu-sepsis/ecg-2024")]
    Show {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
    },
    /// Freeze a dataset as a numbered version that never changes
    #[command(
        after_long_help = "Where nothing changed since the last version, that is told and none is made.\n\n\
            Example:\n  kluis dataset publish icu-sepsis/ecg-2024 --credentials a.jansen.env"
    )]
    Publish(PublishArgs),
    /// List a dataset's published versions, their signatures verified
    #[command(after_long_help = "Example:\n  kluis dataset versions icu-sepsis/ecg-2024")]
    Versions {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
    },
    /// Say what differs between two published versions
    #[command(
        after_long_help = "Example:\n  kluis dataset diff icu-sepsis/ecg-2024@1 icu-sepsis/ecg-2024@2"
    )]
    Diff {
        /// The older version, as project/dataset@number
        #[arg(value_parser = values::version, value_name = "VERSION")]
        from: (BucketName, u32),
        /// The newer version
        #[arg(value_parser = values::version, value_name = "VERSION")]
        to: (BucketName, u32),
        /// Where the gateway is, and whom to trust
        #[command(flatten)]
        remote: Remote,
    },
    /// Compare a directory with a published version, by name, length and checksum
    ///
    /// 0: everything that a directory can show is there as the version says, and nothing else. A
    /// folder marker of no bytes (`dir/`) is right where that directory is. Other names that no
    /// directory can show are counted on standard error and decide nothing.
    #[command(
        after_long_help = "Example:\n  kluis dataset verify icu-sepsis/ecg-2024@3 /data/ecg --credentials job.env"
    )]
    Verify {
        /// The version, as project/dataset@number
        #[arg(value_parser = values::version, value_name = "VERSION")]
        version: (BucketName, u32),
        /// The directory
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
        /// Where the gateway is, and whom to trust
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete an empty dataset
    ///
    /// Its keys stay until two persons erase them: with a copy of catalog and store from before,
    /// what it held can be read again until then.
    #[command(after_long_help = "Example:\n  kluis dataset delete icu-sepsis/ecg-2024")]
    Delete {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
    },
}
