//! The command line: arguments in, words and exit codes out.

pub mod approval_args;
pub mod args;
pub mod audit_args;
pub mod config_command;
pub mod grant_args;
pub mod init_args;
pub mod job_args;
pub mod key_args;
pub mod login_args;
pub mod man;
pub mod output;
pub mod recover_args;
pub mod root_args;
pub mod values;

mod approval;
mod audit;
mod bar;
mod belongs;
mod call;
mod cards;
mod cell;
mod cluster;
mod credential;
mod credential_args;
mod dataset;
mod dataset_args;
mod demand;
mod demo;
mod doctor;
mod drill;
mod grant;
mod group;
mod held;
mod init;
mod job;
mod keeper;
mod key;
mod key_inventory;
mod login;
mod members;
#[cfg(feature = "mount")]
mod mount;
mod near;
mod node;
pub(crate) mod open;
mod policy;
mod principal;
pub(crate) mod process;
pub(crate) mod project;
mod project_args;
mod question;
mod recover;
pub mod remote;
mod scim;
mod scim_args;
mod secret;
pub(crate) mod serve;
#[cfg(feature = "mount")]
mod supervise;
mod table;
#[cfg(feature = "mount")]
mod term;
mod unseal;
mod verify;
pub mod way;
mod webhook;
pub(crate) mod words;

use std::process::ExitCode;

use crate::config::Environment;
use args::{Cli, Command};
use output::{CliError, Exit, Output};
use process::Line;
use way::Way;

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    process::run(dispatch)
}

impl Line for Cli {
    const PROGRAM: &'static str = "kluis";

    fn json(&self) -> bool {
        self.json
    }
}

fn dispatch(cli: &Cli, environment: &Environment, output: &mut Output) -> Result<Exit, CliError> {
    let desk = open::Desk {
        path: &cli.config,
        environment,
    };
    match &cli.command {
        Command::Config { command } => config_command::run(command, &cli.config, output),
        Command::Completions { shell } => man::completions(*shell, output),
        Command::Man { dir } => man::pages(dir.as_deref(), output),
        Command::Serve => serve::serve(&cli.config, environment),
        Command::Unseal(ask) => unseal::run(ask, desk, output),
        Command::Demo(ask) => serve::demo(ask, environment, output),
        Command::Project { command } => project::run(command, desk, output),
        Command::Dataset { signed, command } => dataset::run(command, signed, desk, output),
        #[cfg(feature = "mount")]
        Command::Mount(ask) => mount::run(ask, environment, output),
        Command::Principal { command } => principal::run(command, desk, output),
        Command::Credential { command } => credential::run(command, desk, output),
        Command::Grant { signed, command } => {
            let way = Way::of(signed, desk, output)?;
            grant::run(command, &way, output)
        }
        Command::Notices { caller, all } => approval::notices((caller, *all), environment, output),
        Command::Approval { command } => approval::run(command, environment, output),
        Command::Webhook { command } => webhook::run(command, desk, output),
        Command::Group { command } => group::run(command, desk, output),
        Command::Scim { command } => scim::run(command, desk, output),
        Command::Login(ask) => login::run(ask, environment, output),
        Command::Logout(ask) => login::logout(ask, environment, output),
        Command::Whoami(ask) => login::whoami(ask, environment, output),
        Command::Job { command } => job::run(command, environment, output),
        Command::Node { command } => cluster::run(command, desk, output),
        Command::Key { command } => key::run(command, desk, output),
        Command::Init(ask) => init::run(ask, environment, output),
        Command::Policy { command } => policy::run(command, desk, output),
        Command::Audit { signed, command } => {
            let way = Way::of(signed, desk, output)?;
            audit::run(command, &way, output)
        }
        Command::Recover(ask) => recover::run(ask, desk, output),
        Command::Drill(ask) => drill::run(ask, desk, output),
        Command::Doctor => doctor::run(desk, output),
    }
}
