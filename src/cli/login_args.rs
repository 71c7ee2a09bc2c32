//! The arguments of `kluis login`, `logout` and `whoami`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::remote::Caller;
use super::values;

/// Where a session is kept.
#[derive(Debug, Args)]
pub struct Kept {
    /// The session's file [default: .kluis/session.env in the home directory]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub session: Option<PathBuf>,
}

/// Arguments of `whoami`.
#[derive(Debug, Args)]
pub struct Whoami {
    /// The session.
    #[command(flatten)]
    pub kept: Kept,
    /// A lasting credential instead.
    #[command(flatten)]
    pub caller: Caller,
}

/// Arguments of `login`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Login {
    /// The provider [default: that of the last time]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub issuer: Option<String>,
    /// The name that the provider knows Kluis by [default: that of the last time]
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// The gateway's URL [default: that of the last time]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub endpoint: Option<String>,
    /// Certificates to trust for both, instead of the machine's
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// What is asked of the provider
    #[arg(long, value_name = "SCOPES", default_value = "openid")]
    pub scope: String,
    /// How far the session reaches: PROJECT[/DATASET[/PURPOSE]] [default: all you may]
    #[arg(long, value_name = "ROLE", value_parser = values::role)]
    pub role: Option<String>,
    /// Sign in on another machine: print a code to enter there
    #[arg(long)]
    pub device: bool,
    /// Print the kept session as lines for a shell, and do not sign in
    #[arg(long, conflicts_with_all = ["device", "process", "role"])]
    pub env: bool,
    /// Print the kept session as AWS tools read it from a `credential_process`
    #[arg(long, conflicts_with_all = ["device", "role"])]
    pub process: bool,
    /// Show secrets even on a terminal
    #[arg(long)]
    pub force: bool,
    /// Where it is kept.
    #[command(flatten)]
    pub kept: Kept,
}
