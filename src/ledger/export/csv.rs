//! One line of cells (RFC 4180), each in quotes. A cell that a spreadsheet would take for a formula
//! begins with an apostrophe.

use std::borrow::Cow;

use super::Whole;
use crate::ledger::Word as _;

const NAMES: [&str; 22] = [
    "time",
    "time_end",
    "event",
    "outcome",
    "status",
    "reason",
    "principal",
    "responsible",
    "ip",
    "agent",
    "operation",
    "action",
    "project",
    "dataset",
    "key",
    "version",
    "bytes",
    "purpose",
    "permit",
    "rule",
    "lane",
    "seq",
];

/// What a formula begins with, for one spreadsheet or another; some leave white space out, and some
/// take the wide signs for the narrow ones.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// A cell's text, behind an apostrophe where a spreadsheet would calculate it.
#[must_use]
pub fn inert(cell: &str) -> Cow<'_, str> {
    if cell.trim_start_matches(' ').starts_with(FORMULA) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells = cells.into_iter().map(|cell| {
        // A record is one line, whatever is in it.
        let cell = inert(&cell).replace('"', "\"\"").replace(['\r', '\n'], " ");
        format!("\"{cell}\"")
    });
    cells.collect::<Vec<_>>().join(",")
}

pub(super) fn head() -> String {
    row(NAMES.map(str::to_owned))
}

pub(super) fn line(whole: &Whole<'_>) -> String {
    let session = whole.session;
    let end = whole.end;
    let object = &whole.intent.object;
    let policy = whole.intent.policy.as_ref();
    let id = |id: Option<&crate::types::PrincipalId>| id.map(ToString::to_string);
    let cells: [Option<String>; 22] = [
        Some(whole.intent.time.to_string()),
        end.map(|end| end.time.to_string()),
        Some(whole.id()),
        end.map(|end| end.outcome.word().to_owned()),
        end.map(|end| end.status.to_string()),
        end.map(|end| end.reason.clone()),
        id(session.and_then(|session| session.principal.as_ref())),
        id(session.and_then(|session| session.responsible.as_ref())),
        session.map(|session| session.client_ip.clone()),
        session.map(|session| session.user_agent.clone()),
        Some(whole.intent.operation.clone()),
        whole.intent.action.map(|action| action.to_string()),
        object.project.as_ref().map(ToString::to_string),
        object.dataset.as_ref().map(ToString::to_string),
        object.key.as_ref().map(|key| key.as_str().to_owned()),
        object.version.map(|version| version.to_string()),
        end.map(|end| end.bytes.to_string()),
        policy.and_then(|policy| policy.purpose.clone()),
        policy.and_then(|policy| policy.permit.clone()),
        policy.map(|policy| policy.rule.clone()),
        Some(whole.lane.to_owned()),
        Some(whole.seq.to_string()),
    ];
    row(cells.map(Option::unwrap_or_default))
}
