//! The arguments of `kluis project log`, without logic.

use clap::{Args, ValueEnum};

use crate::types::{ApprovalId, ProjectName};

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
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Switch {
    /// From now on, for what was recorded before too.
    On,
    /// No longer.
    Off,
}
