//! `kluis audit`: the log, read on the vault's host or, as far as one may, over the network.

mod host;
mod signed;

use serde_json::Value;

use super::audit_args::{AuditCommand, AuditFilters};
use super::output::{CliError, Exit, Output};
use super::way::Way;
use crate::journal::Filter;
use crate::ledger::line;
use crate::types::EventId;

/// Runs one of its commands.
pub(super) fn run(
    command: &AuditCommand,
    way: &Way<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        AuditCommand::Tail {
            project,
            dataset,
            lines,
            follow,
        } => {
            let filter = Filter {
                project: project.clone(),
                dataset: dataset.clone(),
                ..Filter::default()
            };
            let asked = (*lines, *follow);
            match way {
                Way::Host(desk) => host::tail(filter, asked, *desk, output),
                Way::Signed(signer) => signed::tail(&filter, asked, signer, output),
            }
        }
        AuditCommand::Show { event, filters } => {
            let filter = filter(*event, filters);
            match way {
                Way::Host(desk) => host::show(filter, *desk, output),
                Way::Signed(signer) => signed::show(&filter, signer, output),
            }
        }
    }
}

fn filter(event: Option<EventId>, filters: &AuditFilters) -> Filter {
    Filter {
        project: filters.project.clone(),
        dataset: filters.dataset.clone(),
        key: filters.key.clone(),
        prefix: filters.prefix.clone(),
        permit: filters.permit.clone(),
        principal: filters.principal.clone(),
        since: filters.since,
        until: filters.until,
        action: filters.action,
        outcome: filters.outcome,
        event,
        ..Filter::default()
    }
}

/// One request as a line.
fn print(record: &Value, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        output.value(record)
    } else {
        output.line(&line(record))
    }
}

/// One request with every field, for a person; a line where there are many.
fn whole(record: &Value, one: bool, output: &mut Output) -> Result<(), CliError> {
    if output.is_json() || !one {
        return print(record, output);
    }
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| CliError::of(Exit::Unavailable, &error))?;
    for line in text.lines() {
        output.line(line)?;
    }
    Ok(())
}

/// Nothing fits: silence could be a fault, too. Who counts lines of JSON is told nothing beside.
fn nothing(output: &mut Output) {
    if !output.is_json() {
        output.note("no records");
    }
}

fn absent(event: EventId) -> CliError {
    CliError::new(Exit::No, format!("no such event: {event}"))
        .hint("`kluis audit tail` shows the newest, each with its event")
}
