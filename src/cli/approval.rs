//! `kluis approval`: acts that take two persons.

use http::Method;
use serde_json::{Value, json};

use super::approval_args::ApprovalCommand;
use super::output::{CliError, Exit, Output};
use super::remote::{Caller, Question, list, text};
use super::values::Spot;
use super::way::{Signer, no_answer};
use crate::config::Environment;
use crate::types::{ActKind, ApprovalId, ProjectName, limits};

const COLUMNS: [&str; 7] = [
    "approval", "state", "summary", "asker", "approver", "due", "reason",
];

/// Runs one of its commands.
pub(super) fn run(
    command: &ApprovalCommand,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let signer = Signer::of(command.caller(), environment, output)?;
    match command {
        ApprovalCommand::Ask {
            act,
            place,
            terms,
            reason,
            ..
        } => {
            let spoken = (*act, place, terms.as_slice(), reason.as_str());
            ask(&signer, spoken, output)?;
        }
        ApprovalCommand::List { project, .. } => {
            let path = ["projects", project.as_str(), "approvals"];
            let all: Value = signer.ask(Question::of(Method::GET, &path))?;
            let rows: Vec<_> = list(&all, "approvals")?.iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        ApprovalCommand::Show {
            project, approval, ..
        } => output.record(&step(&signer, (project, *approval), Step::Look)?)?,
        ApprovalCommand::Approve {
            project, approval, ..
        } => {
            let row = step(&signer, (project, *approval), Step::Take("approve"))?;
            output.rows(COLUMNS, &[cells(&row)])?;
            output.note("approved: the requester can carry it out once within 24 hours");
            output.hint(
                "`kluis approval break-glass` does an emergency, `kluis key erase` on the vault's \
                 host an erasure; other acts are done by the command that changes it, with \
                 `--approval ID`",
            );
        }
        ApprovalCommand::Refuse {
            project, approval, ..
        } => {
            let row = step(&signer, (project, *approval), Step::Take("refuse"))?;
            output.rows(COLUMNS, &[cells(&row)])?;
        }
        ApprovalCommand::BreakGlass {
            project, approval, ..
        } => {
            let broken = step(&signer, (project, *approval), Step::Take("break-glass"))?;
            output.record(&broken)?;
        }
        ApprovalCommand::Withdraw {
            project, approval, ..
        } => {
            let row = step(&signer, (project, *approval), Step::Withdraw)?;
            output.rows(COLUMNS, &[cells(&row)])?;
        }
    }
    Ok(Exit::Done)
}

fn ask(
    signer: &Signer,
    (act, place, terms, reason): (ActKind, &Spot, &[(String, String)], &str),
    output: &mut Output,
) -> Result<(), CliError> {
    let Spot { project, dataset } = place;
    let terms = terms
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    let body = json!({
        "act": act.as_str(),
        "dataset": dataset.as_ref().map(ToString::to_string),
        "terms": terms.collect::<serde_json::Map<String, Value>>(),
        "reason": reason,
    });
    let path = ["projects", project.as_str(), "approvals"];
    let asked = signer.say::<Value>((Method::POST, &path), &body);
    let asked = asked.map_err(|error| {
        if error.message().starts_with(WRONG_TERMS) {
            error.hint(means(act))
        } else {
            error
        }
    })?;
    if !is_act(&asked) {
        return Err(no_answer());
    }
    output.rows(COLUMNS, &[cells(&asked)])?;
    let id = text(&asked, "approval");
    output.note("nothing is done until another person approves it, within 72 hours");
    output.hint(&format!(
        "the other person runs `kluis approval approve {project} {id} --credentials FILE`"
    ));
    Ok(())
}

/// How a gateway refuses an act whose terms cannot be.
const WRONG_TERMS: &str = "the gateway refuses: 400 ";

/// What the terms of a kind may be (`docs/approvals.md`).
fn means(act: ActKind) -> String {
    let terms = match act {
        ActKind::LowerLabel => "to=LABEL, a lower one than it has".to_owned(),
        ActKind::BreakGlass => format!(
            "who=PERSON minutes=N, at most {}",
            limits::BREAK_GLASS_MINUTES_MAX
        ),
        ActKind::Erase => "what=dataset, what=deleted, what=object=KEY, what=write=VERSION:KEY or \
                           what=version=N"
            .to_owned(),
        ActKind::ShortenLog => format!(
            "days=N, {} to {}",
            limits::LOG_KEPT_DAYS_MIN,
            limits::LOG_KEPT_DAYS_MAX
        ),
    };
    format!("{act} takes {terms}")
}

/// What is done with one act.
#[derive(Clone, Copy)]
enum Step {
    Look,
    Take(&'static str),
    Withdraw,
}

fn step(
    signer: &Signer,
    (project, approval): (&ProjectName, ApprovalId),
    step: Step,
) -> Result<Value, CliError> {
    let id = approval.to_string();
    let (method, verb) = match step {
        Step::Look => (Method::GET, None),
        Step::Take(verb) => (Method::POST, Some(verb)),
        Step::Withdraw => (Method::DELETE, None),
    };
    let path = ["projects", project.as_str(), "approvals", &id];
    let path: Vec<&str> = path.into_iter().chain(verb).collect();
    let told: Value = signer.ask(Question::of(method, &path))?;
    is_act(&told).then_some(told).ok_or_else(no_answer)
}

/// Whether an answer tells of an act, or of what one opened.
fn is_act(told: &Value) -> bool {
    let names = ["approval", "grant"];
    names
        .into_iter()
        .any(|name| told.get(name).is_some_and(Value::is_string))
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
    let signer = Signer::of(caller, environment, output)?;
    let all: Value = signer.ask(Question::of(Method::GET, &["notices"]))?;
    let cells = |row: &Value| NOTICES.map(|name| text(row, name));
    let rows: Vec<_> = list(&all, "notices")?.iter().map(cells).collect();
    output.rows(NOTICES, &rows)?;
    Ok(Exit::Done)
}
