//! `kluis-audit key` and `checkpoint`.

use std::path::Path;

use super::args::CheckpointCommand;
use super::source::DirSource;
use crate::app::{log_keys, log_origin};
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::ledger::evidence::Source as _;
use crate::ledger::tlog::{Checkpoint, Note};

/// Prints the log's public key. That it was asked for stands in the log.
pub(super) fn key(desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let key = desk.act(output, async |opened| {
        let call = call(opened, "audit key")?;
        opened
            .vault
            .record_act(&call, "the log's public key")
            .await?;
        let origin = log_origin(&config, &opened.keyring);
        log_keys(&opened.keyring)
            .public(&origin)
            .map_err(|error| CliError::of(Exit::Usage, &error))
    })?;
    output.line(&key.to_string())?;
    Ok(Exit::Done)
}

pub(super) fn newest(dir: &Path) -> Result<(DirSource, Note, Checkpoint), CliError> {
    let mut source = DirSource::new(dir);
    let unsigned = || CliError::new(Exit::No, format!("{} has no checkpoint", dir.display()));
    let bytes = source.read("checkpoint")?.ok_or_else(unsigned)?;
    let note = Note::parse(&bytes).map_err(|error| CliError::of(Exit::No, &error))?;
    let checkpoint = note.text().parse();
    let checkpoint: Checkpoint = checkpoint.map_err(|error| CliError::of(Exit::No, &error))?;
    Ok((source, note, checkpoint))
}

pub(super) fn print(text: &str, output: &mut Output) -> Result<Exit, CliError> {
    output.data(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Prints a checkpoint. It holds no record, and is not verified here.
pub(super) fn checkpoint(
    command: &CheckpointCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let CheckpointCommand::Show { dir } = command;
    let dir = match dir {
        Some(dir) => dir.clone(),
        None => desk.config()?.proof.dir,
    };
    let (_, note, _) = newest(&dir)?;
    print(&note.to_string(), output)
}
