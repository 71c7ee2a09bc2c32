//! Arguments of `kluis recover`.

use clap::Args;

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Say what could be rebuilt and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Rebuild nothing: accept the catalog that is there and in doubt, after a recovery or an
    /// adoption. The sweep then deletes what it does not know
    #[arg(long, conflicts_with_all = ["dry_run", "adopt"])]
    pub accept: bool,
    /// Rebuild nothing: go on with the catalog that is there, though its snapshots in the store say
    /// more, or its newest is gone. What was written after it is lost to the vault; who else
    /// served it ends
    #[arg(long, conflicts_with = "dry_run")]
    pub adopt: bool,
}
