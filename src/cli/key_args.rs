//! The arguments of `kluis key` and `kluis drill`, without logic.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::root_args::RootArgs;
use super::values;
use crate::types::{ApprovalId, BucketName, KeyWorkId, ProjectName};

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List every key: what it is for, its algorithm, version, owner and age
    #[command(after_long_help = "Example:\n  kluis key inventory\n  kluis key inventory --json")]
    Inventory,
    /// Replace a dataset's key and destroy the old one; no data is read or written
    ///
    /// The gateway serves on meanwhile. What is interrupted is carried on by the gateway or by the
    /// next `kluis key resume`. A copy of the catalog from before opens nothing of the dataset
    /// afterwards: take a new one.
    #[command(after_long_help = "Example:\n  kluis key rotate icu-sepsis/ecg-2024")]
    Rotate {
        /// The dataset, as project/dataset
        #[arg(value_parser = values::dataset, value_name = "PROJECT/DATASET")]
        name: BucketName,
    },
    /// Encrypt the key ring and its copies to another root identity
    ///
    /// The new root is made if its file is not there, kept as the options say: plain, with a
    /// passphrase, or by custodians. Afterwards the old one opens nothing that the vault keeps; no
    /// data is sealed again. Set `keys.identity` and `keys.root` to the new one before the gateway
    /// is started again. What was interrupted is ended by running it again. Copies of `ring.age`
    /// that the vault does not keep still open to the old root: destroy them.
    #[command(
        after_long_help = "Example:\n  kluis key change-root --to new-root.age\n  kluis key change-root --to new-root.age --needed 2 --shares shares \\\n    --custodian ana=@ana.txt --custodian bob=@bob.txt --custodian cas=@cas.txt"
    )]
    ChangeRoot(ChangeRoot),
    /// Erase what two persons agreed on, in the ring, its copies, the catalog and the store
    ///
    /// They agree with `kluis approval ask erase` and `kluis approval approve`; this runs it on the
    /// vault's host, once. Who asked may run it through the API as well. What is erased can be read
    /// by nobody from the first moment on.
    #[command(
        after_long_help = "Example:\n  kluis key erase icu-sepsis 0123456789abcdef0123456789abcdef"
    )]
    Erase {
        /// The project
        project: ProjectName,
        /// The approval, as `kluis approval list` shows it
        approval: ApprovalId,
    },
    /// Carry on rotations and erasures that were interrupted
    ///
    /// Where part tables open under no key, nothing is destroyed: a key that is missing may be in a
    /// copy, a table that is damaged in the snapshots (`kluis recover`).
    #[command(after_long_help = "Example:\n  kluis key resume")]
    Resume {
        /// Destroy the old keys though there are tables that no key opens: these are lost then
        #[arg(long)]
        give_up: bool,
    },
    /// List rotations and erasures, those that are not done too
    #[command(after_long_help = "Example:\n  kluis key works")]
    Works,
    /// Print the signed certificate of an erasure, with the list of what was erased
    #[command(
        after_long_help = "Example:\n  kluis key certificate 0123456789abcdef0123456789abcdef"
    )]
    Certificate {
        /// The erasure, as `kluis key works` shows it
        work: KeyWorkId,
    },
    /// Begin a copy of the key ring in another directory, best on another disk
    ///
    /// Name it in `keys.copies` afterwards: then a key that is made is in it at once, and a key
    /// that is destroyed is in it no more. A copy that is made by other means keeps what an erasure
    /// destroys.
    #[command(after_long_help = "Example:\n  kluis key copy /mnt/safe/kluis-keys")]
    Copy {
        /// The directory; made if it is not there
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// Arguments of `key change-root`.
#[derive(Debug, Args)]
pub struct ChangeRoot {
    /// The file of the new root identity, made if it is not there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to: PathBuf,
    /// What is to keep it.
    #[command(flatten)]
    pub root: RootArgs,
}

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct Drill {
    /// An empty directory for the restored catalog, or one that is made
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub into: PathBuf,
    /// The keys to restore with [default: the first of `keys.copies`, else `keys.dir`]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
}
