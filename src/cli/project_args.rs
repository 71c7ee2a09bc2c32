//! The arguments of `kluis project defaults`, `demand` and `log`, without logic.

use clap::{Args, ValueEnum};

use super::way::Signed;
use crate::types::{ApprovalId, Label, PrincipalId, ProjectName};

/// What a project's datasets are that say nothing themselves.
#[derive(Debug, Args)]
pub struct DefaultsArgs {
    /// Its name
    pub name: ProjectName,
    /// How confidential they are
    #[arg(long, value_name = "LABEL")]
    pub label: Label,
    /// Where they come from
    #[arg(long, value_name = "TEXT")]
    pub source: String,
    /// On which legal basis they are kept
    #[arg(long, value_name = "TEXT")]
    pub basis: String,
    /// For how many days, from their making
    #[arg(long, value_name = "DAYS")]
    pub days: u32,
    /// On the vault's host: who says so; must have the right to
    #[arg(long, value_name = "PERSON")]
    pub by: Option<PrincipalId>,
    /// Who signs.
    #[command(flatten)]
    pub signed: Signed,
}

/// What a project demands of how people sign in.
#[derive(Debug, Args)]
pub struct DemandArgs {
    /// The project
    pub name: ProjectName,
    /// One of these classes of sign-in; may be given several times
    #[arg(long, value_name = "CLASS")]
    pub acr: Vec<String>,
    /// All of these methods; may be given several times
    #[arg(long, value_name = "METHOD")]
    pub amr: Vec<String>,
    /// Only of whoever reads the project's log
    #[arg(long)]
    pub log_only: bool,
    /// Nothing any more
    #[arg(long, conflicts_with_all = ["acr", "amr", "log_only"])]
    pub nothing: bool,
}

/// How a project's records are kept and shown.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The project
    pub name: ProjectName,
    /// Keep them for so many days, 365 to 36525
    #[arg(long)]
    pub days: Option<u32>,
    /// Whether auditors see pseudonyms in the place of people's names; who manages the project's
    /// grants sees names
    #[arg(long, value_enum, value_name = "WHEN")]
    pub pseudonyms: Option<Switch>,
    /// What two persons agreed on, where the days are fewer than now
    #[arg(long, value_name = "ID", requires = "days")]
    pub approval: Option<ApprovalId>,
    /// Who signs.
    #[command(flatten)]
    pub signed: Signed,
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    /// From now on, for what was recorded before too.
    On,
    /// No longer.
    Off,
}
