//! `kluis approval`: acts that take two persons.

use http::Method;
use serde::de::DeserializeOwned;

use super::approval_args::ApprovalCommand;
use super::output::{CliError, Exit, Output};
use super::remote::{Caller, Question, body};
use super::values::Spot;
use super::way::{Signer, no_answer};
use crate::catalog::NoticeMark;
use crate::config::Environment;
use crate::types::{ActKind, ApprovalId, ProjectName, limits};
use crate::wire::{Approval, ApprovalList, AskApprovalRequest, BreakGlassGrant, NoticeList};

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
            let told: ApprovalList = signer.ask(Question::of(Method::GET, &path))?;
            let rows: Vec<_> = told.approvals.into_iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        ApprovalCommand::Show {
            project, approval, ..
        } => {
            let row: Approval = step(&signer, (project, *approval), Step::Look)?;
            output.record(&body(&row)?)?;
        }
        ApprovalCommand::Approve {
            project, approval, ..
        } => {
            let row = step(&signer, (project, *approval), Step::Take("approve"))?;
            output.rows(COLUMNS, &[cells(row)])?;
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
            output.rows(COLUMNS, &[cells(row)])?;
        }
        ApprovalCommand::BreakGlass {
            project, approval, ..
        } => {
            let way = Step::Take("break-glass");
            let broken: BreakGlassGrant = step(&signer, (project, *approval), way)?;
            output.record(&body(&broken)?)?;
        }
        ApprovalCommand::Withdraw {
            project, approval, ..
        } => {
            let row = step(&signer, (project, *approval), Step::Withdraw)?;
            output.rows(COLUMNS, &[cells(row)])?;
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
    let request = AskApprovalRequest {
        act: act.to_string(),
        dataset: dataset.as_ref().map(ToString::to_string),
        terms: terms.iter().cloned().collect(),
        reason: reason.to_owned(),
    };
    let path = ["projects", project.as_str(), "approvals"];
    let asked = signer.say::<Approval>((Method::POST, &path), &request);
    let asked = asked.map_err(|error| {
        if error.message().starts_with(WRONG_TERMS) {
            error.hint(means(act))
        } else {
            error
        }
    })?;
    let id = asked.approval.clone();
    output.rows(COLUMNS, &[cells(asked)])?;
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

fn step<T: DeserializeOwned>(
    signer: &Signer,
    (project, approval): (&ProjectName, ApprovalId),
    step: Step,
) -> Result<T, CliError> {
    let id = approval.to_string();
    let (method, verb) = match step {
        Step::Look => (Method::GET, None),
        Step::Take(verb) => (Method::POST, Some(verb)),
        Step::Withdraw => (Method::DELETE, None),
    };
    let path = ["projects", project.as_str(), "approvals", &id];
    let path: Vec<&str> = path.into_iter().chain(verb).collect();
    signer.ask(Question::of(method, &path))
}

fn cells(row: Approval) -> [String; 7] {
    [
        row.approval,
        row.state,
        row.summary,
        row.asker,
        row.approver.unwrap_or_default(),
        row.due,
        row.reason,
    ]
}

/// What the caller was told of her datasets.
pub(super) fn notices(
    (caller, all): (&Caller, bool),
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    const NOTICES: [&str; 4] = ["at", "project", "dataset", "text"];
    let signer = Signer::of(caller, environment, output)?;
    let mut rows = Vec::new();
    let mut before: Option<NoticeMark> = None;
    let pages = if all { limits::NOTICE_PAGES_MAX } else { 1 };
    for _page in 0..pages {
        let mut question = Question::of(Method::GET, &["notices"]);
        question
            .query
            .extend(before.map(|mark| ("before", mark.to_string())));
        let told: NoticeList = signer.ask(question)?;
        rows.extend(told.notices.into_iter().map(|row| {
            let dataset = row.dataset.unwrap_or_default();
            [row.at, row.project, dataset, row.text]
        }));
        let last = before;
        let next = told
            .next
            .map(|next| next.parse().map_err(|_no_mark| no_answer()));
        before = next.transpose()?;
        let Some(next) = before else { break };
        // A page that does not lead further back has no end.
        if last.is_some_and(|last| last <= next) {
            return Err(no_answer());
        }
    }
    output.rows(NOTICES, &rows)?;
    match before {
        None => {}
        Some(_) if !all => {
            output.hint("there are older ones: `kluis notices --all` shows them too");
        }
        Some(mark) => output.hint(&format!(
            "there are older ones: `GET notices?before={mark}` of the API goes on"
        )),
    }
    Ok(Exit::Done)
}
