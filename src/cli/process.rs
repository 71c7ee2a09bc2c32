//! What both binaries do around their commands: read arguments, run, end with an exit code.

use std::process::ExitCode;

use clap::Parser;

use super::output::{CliError, Exit, Output};
use crate::app::system::forbid_dumps;
use crate::app::{KEEPER, serve_keeper};
use crate::config::Environment;

/// What every command line of ours can say.
pub(crate) trait Line: Parser {
    /// The program's name, with which it signs what it says.
    const PROGRAM: &'static str;

    /// Whether data is printed as JSON.
    fn json(&self) -> bool;
}

/// Runs the process's command; errors become words and exit codes.
pub(crate) fn run<L: Line>(
    dispatch: impl FnOnce(&L, &Environment, &mut Output) -> Result<Exit, CliError>,
) -> ExitCode {
    // Before a secret is read: what a command holds is in no core and open to no tracer.
    let open = forbid_dumps().err();
    let environment = Environment::process();
    // What speaks to a token or a plugin is this program, asked by itself.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == KEEPER)
    {
        let mut output = Output::of_process(L::PROGRAM, false, &environment);
        return match serve_keeper() {
            Ok(()) => Exit::Done.into(),
            Err(error) => {
                output.error(&CliError::of(Exit::Unavailable, &error));
                Exit::Unavailable.into()
            }
        };
    }
    let line = match L::try_parse() {
        Ok(line) => line,
        Err(told) => {
            let json = std::env::args_os().any(|word| word == "--json");
            return Output::of_process(L::PROGRAM, json, &environment).usage(&told);
        }
    };
    let mut output = Output::of_process(L::PROGRAM, line.json(), &environment);
    if let Some(error) = open {
        output.note(&format!("this process can be dumped and traced: {error}"));
    }
    match dispatch(&line, &environment, &mut output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error);
            error.exit().into()
        }
    }
}
