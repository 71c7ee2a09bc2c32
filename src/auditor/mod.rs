//! `kluis-audit`: hands out evidence of the log on the vault's host, and checks it anywhere.

mod args;
mod bundle;
mod look;
mod source;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::open::Desk;
use crate::cli::output::{CliError, Exit, Output};
use crate::config::Environment;
use args::{Cli, Command};

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let environment = Environment::process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return Output::of_process(false, &environment).usage(&told),
    };
    let mut output = Output::of_process(cli.json, &environment);
    match dispatch(&cli, &environment, &mut output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error);
            error.exit().into()
        }
    }
}

fn dispatch(cli: &Cli, environment: &Environment, output: &mut Output) -> Result<Exit, CliError> {
    let desk = Desk {
        path: &cli.config,
        environment,
    };
    match &cli.command {
        Command::Verify(ask) => verify::run(ask, output),
        Command::Bundle(ask) => bundle::run(ask, desk, output),
        Command::Key => look::key(desk, output),
        Command::Checkpoint { command } => look::checkpoint(command, desk, output),
        Command::Prove { command } => look::prove(command, output),
    }
}
