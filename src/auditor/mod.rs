//! `kluis-audit`: hands out evidence of the log on the vault's host, and checks it anywhere.

mod again;
mod archive;
mod args;
mod args_of_proof;
mod bundle;
mod cosign;
mod entries;
mod erasure;
mod expire;
#[cfg(test)]
mod expire_tests;
mod export;
mod failures;
mod hot;
mod look;
mod pages;
mod prove;
mod pseudonym;
#[cfg(feature = "sql")]
mod query;
mod reconcile;
mod records;
mod renew;
mod replay;
mod rows;
mod runs;
mod ship;
mod source;
mod verify;
mod whole;
mod witness;
mod worm;
#[cfg(test)]
mod worm_tests;

use std::process::ExitCode;
use std::sync::Arc;

use crate::app::Opened;
use crate::cli::open::Desk;
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::process::{self, Line};
use crate::config::Environment;
use crate::ledger::Pseudonyms;
use crate::vault::{Call, LogAsk};
use args::{Cli, Command};

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    process::run(dispatch)
}

impl Line for Cli {
    const PROGRAM: &'static str = "kluis-audit";

    fn json(&self) -> bool {
        self.json
    }
}

fn dispatch(cli: &Cli, environment: &Environment, output: &mut Output) -> Result<Exit, CliError> {
    let desk = Desk {
        path: &cli.config,
        environment,
    };
    match &cli.command {
        Command::Verify(ask) => verify::run(ask, output),
        Command::VerifyErasure(ask) => erasure::run(ask, output),
        Command::Bundle(ask) => bundle::run(ask, desk, output),
        #[cfg(feature = "sql")]
        Command::Query(ask) => query::run(ask, desk, output),
        Command::Witness { command } => witness::run(command, output),
        Command::Cosign(ask) => cosign::run(ask, desk, output),
        Command::Export(ask) => export::run(ask, desk, output),
        Command::Expire(ask) => expire::run(ask, desk, output),
        Command::Reconcile(ask) => reconcile::run(ask, desk, output),
        Command::Replay(ask) => replay::run(ask, desk, output),
        Command::Pseudonym { command } => pseudonym::run(command, desk, output),
        Command::Ship(ask) => ship::run(ask, desk, output),
        Command::Key => look::key(desk, output),
        Command::Checkpoint { command } => look::checkpoint(command, desk, output),
        Command::Prove { command } => prove::run(command, desk, output),
        Command::VerifyRecord(ask) => prove::verify(ask, output),
    }
}

/// Decides whether the log may be read for whoever asks, and records that, before anything is read.
/// What comes back hides people from her; `None`: she sees names. Where the question cannot be
/// answered without `names`, who may not see them is refused.
async fn admit(
    opened: &Opened,
    call: &Call,
    whose: &args::Whose,
    (question, names): (&str, bool),
) -> Result<Option<Arc<Pseudonyms>>, CliError> {
    let vault = &opened.vault;
    match (&whose.project, &whose.auditor) {
        (Some(project), Some(auditor)) => {
            let ask = LogAsk {
                project,
                auditor,
                query: question,
                names,
            };
            Ok(vault.hand_out_log(call, ask).await?)
        }
        _ if whose.vault => {
            vault.record_log_reading(call, question).await?;
            Ok(None)
        }
        _ => Err(CliError::new(
            Exit::Usage,
            "--project and --auditor, or --vault",
        )),
    }
}
