//! `kluis approval`: acts that take two persons.

use http::Method;
use serde_json::{Value, json};

use super::approval_args::ApprovalCommand;
use super::output::{CliError, Exit, Output};
use super::remote::{Caller, list, text};
use super::values::Spot;
use crate::config::Environment;
use crate::types::{ApprovalId, ProjectName};

const COLUMNS: [&str; 7] = [
    "approval", "state", "summary", "asker", "approver", "due", "reason",
];

/// Runs one of its commands.
pub(super) fn run(
    command: &ApprovalCommand,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        ApprovalCommand::Ask {
            act,
            place,
            terms,
            reason,
            caller,
        } => {
            let spoken = (act.as_str(), place, terms.as_slice(), reason.as_str());
            ask(caller, environment, spoken, output)?;
        }
        ApprovalCommand::List { project, caller } => {
            let path = ["projects", project.as_str(), "approvals"];
            let all = caller.ask(environment, (Method::GET, &path), None)?;
            let rows: Vec<_> = list(&all, "approvals").iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        ApprovalCommand::Show {
            project,
            approval,
            caller,
        } => {
            let id = approval.to_string();
            let path = ["projects", project.as_str(), "approvals", &id];
            let row = caller.ask(environment, (Method::GET, &path), None)?;
            output.record(&row)?;
        }
        ApprovalCommand::Approve {
            project,
            approval,
            caller,
        } => {
            step(caller, environment, (project, *approval), "approve", output)?;
            output.note("approved: it can be done once within 24 hours, by who asked");
        }
        ApprovalCommand::Refuse {
            project,
            approval,
            caller,
        } => step(caller, environment, (project, *approval), "refuse", output)?,
        ApprovalCommand::BreakGlass {
            project,
            approval,
            caller,
        } => {
            let id = approval.to_string();
            let path = [
                "projects",
                project.as_str(),
                "approvals",
                &id,
                "break-glass",
            ];
            let broken = caller.ask(environment, (Method::POST, &path), None)?;
            output.record(&broken)?;
        }
        ApprovalCommand::Withdraw {
            project,
            approval,
            caller,
        } => {
            let id = approval.to_string();
            let path = ["projects", project.as_str(), "approvals", &id];
            let row = caller.ask(environment, (Method::DELETE, &path), None)?;
            output.rows(COLUMNS, &[cells(&row)])?;
        }
    }
    Ok(Exit::Done)
}

fn ask(
    caller: &Caller,
    environment: &Environment,
    (act, place, terms, reason): (&str, &Spot, &[(String, String)], &str),
    output: &mut Output,
) -> Result<(), CliError> {
    let Spot { project, dataset } = place;
    let terms = terms
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    let body = json!({
        "act": act,
        "dataset": dataset.as_ref().map(ToString::to_string),
        "terms": terms.collect::<serde_json::Map<String, Value>>(),
        "reason": reason,
    });
    let path = ["projects", project.as_str(), "approvals"];
    let asked = caller.ask(environment, (Method::POST, &path), Some(&body))?;
    output.rows(COLUMNS, &[cells(&asked)])?;
    let id = text(&asked, "approval");
    output.note("nothing is done until another person approves it, within 72 hours");
    output.hint(&format!(
        "the other person runs `kluis approval approve {project} {id}`"
    ));
    Ok(())
}

fn step(
    caller: &Caller,
    environment: &Environment,
    (project, approval): (&ProjectName, ApprovalId),
    verb: &str,
    output: &mut Output,
) -> Result<(), CliError> {
    let id = approval.to_string();
    let path = ["projects", project.as_str(), "approvals", &id, verb];
    let row = caller.ask(environment, (Method::POST, &path), None)?;
    output.rows(COLUMNS, &[cells(&row)])
}

fn cells(row: &Value) -> [String; 7] {
    COLUMNS.map(|name| text(row, name))
}

/// What the caller was told of her datasets.
pub(super) fn notices(
    caller: &Caller,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    const NOTICES: [&str; 4] = ["at", "project", "dataset", "text"];
    let all = caller.ask(environment, (Method::GET, &["notices"]), None)?;
    let cells = |row: &Value| NOTICES.map(|name| text(row, name));
    let rows: Vec<_> = list(&all, "notices").iter().map(cells).collect();
    output.rows(NOTICES, &rows)?;
    Ok(Exit::Done)
}
