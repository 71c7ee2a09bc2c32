//! Arguments of `kluis recover`.

use clap::Args;

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Say what could be rebuilt and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Rebuild nothing: accept the catalog that a recovery left which was not whole. The sweep then
    /// deletes what it does not know
    #[arg(long, conflicts_with_all = ["dry_run", "adopt"])]
    pub accept: bool,
    /// Rebuild nothing: go on with the catalog that is there, though its snapshots say more. What
    /// was written after it is lost to the vault
    #[arg(long, conflicts_with = "dry_run")]
    pub adopt: bool,
}
