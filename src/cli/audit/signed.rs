//! The log over the network, page by page, as far as who signs may see it. The gateway records each
//! page before it answers (AU-16).

use std::collections::{BTreeSet, VecDeque};

use http::Method;
use serde_json::Value;

use super::super::output::{CliError, Exit, Output};
use super::super::remote::Question;
use super::super::way::{Signer, no_answer};
use super::super::words::count;
use super::{absent, nothing, print, whole};
use crate::app::system::SystemClock;
use crate::journal::Filter;
use crate::types::{Clock as _, ProjectName, Timestamp, limits};
use crate::wire::RecordPage;

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// How far back the newest are looked for, one after the other; then everywhere.
const WINDOWS_MS: [u64; 3] = [HOUR_MS, 24 * HOUR_MS, 30 * 24 * HOUR_MS];

/// Where the log is asked: of one project.
fn place(filter: &Filter) -> Result<&ProjectName, CliError> {
    let none = || {
        CliError::new(
            Exit::Usage,
            "over the network the log is asked project by project",
        )
        .hint("--project NAME says which, --dataset DATASET which of its datasets")
    };
    filter.project.as_ref().ok_or_else(none)
}

/// The filters as the API has them.
fn query(filter: &Filter) -> Vec<(&'static str, String)> {
    let text = |value: Option<String>, name: &'static str| Some((name, value?));
    let pairs = [
        text(filter.dataset.as_ref().map(ToString::to_string), "dataset"),
        text(
            filter.principal.as_ref().map(ToString::to_string),
            "principal",
        ),
        text(filter.key.as_ref().map(ToString::to_string), "key"),
        text(filter.prefix.clone(), "prefix"),
        text(filter.permit.clone(), "permit"),
        text(filter.since.map(|at| at.to_string()), "since"),
        text(filter.until.map(|at| at.to_string()), "until"),
        text(filter.action.map(|it| it.to_string()), "action"),
        text(filter.outcome.map(|it| it.to_string()), "outcome"),
        text(filter.event.map(|it| it.to_string()), "event"),
    ];
    pairs.into_iter().flatten().collect()
}

/// Hands every record over, page by page; what the journal does not hold any more is counted.
fn read(
    filter: &Filter,
    signer: &Signer,
    take: &mut dyn FnMut(Value) -> Result<(), CliError>,
) -> Result<u64, CliError> {
    let path = ["projects", place(filter)?.as_str(), "records"];
    let (mut cursor, mut missing) = (None::<String>, 0_u64);
    let mut seen = BTreeSet::new();
    for _ in 0..limits::COMMAND_PAGES_MAX {
        let mut query = query(filter);
        query.push(("limit", limits::COMMAND_PAGE_RECORDS.to_string()));
        query.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
        let page: RecordPage = signer.ask(Question {
            query,
            bytes_max: limits::COMMAND_PAGE_BYTES_MAX,
            ..Question::of(Method::GET, &path)
        })?;
        missing = missing.max(page.missing);
        page.records.into_iter().try_for_each(&mut *take)?;
        // One that leads back is no end, and no page either.
        if let Some(next) = &page.next
            && !seen.insert(next.clone())
        {
            return Err(no_answer());
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(missing);
        }
    }
    Err(CliError::new(
        Exit::Unavailable,
        "the gateway's log has no end",
    ))
}

/// Shows the last requests.
pub(super) fn tail(
    filter: &Filter,
    (lines, follow): (u32, bool),
    signer: &Signer,
    output: &mut Output,
) -> Result<Exit, CliError> {
    place(filter)?;
    if follow {
        let told = "over the network the log is not followed";
        return Err(CliError::new(Exit::Usage, told)
            .hint("`kluis audit show --project NAME --since TIME` shows what came since then"));
    }
    let most = usize::try_from(lines).unwrap_or(usize::MAX);
    let now = SystemClock.now().millis();
    let back = WINDOWS_MS.map(|window| Timestamp::from_millis(now.saturating_sub(window)));
    let mut last = VecDeque::new();
    let mut missing = 0;
    for since in back.map(Some).into_iter().chain([None]) {
        last.clear();
        let window = Filter {
            since,
            ..same(filter)
        };
        missing = read(&window, signer, &mut |record| {
            last.push_back(record);
            if last.len() > most {
                last.pop_front();
            }
            Ok(())
        })?;
        if last.len() >= most {
            break;
        }
    }
    for record in &last {
        print(record, output)?;
    }
    if last.is_empty() {
        nothing(output);
    }
    lost(missing, output);
    Ok(Exit::Done)
}

/// The same question. A filter is not cloned: it may hold what hides people.
fn same(filter: &Filter) -> Filter {
    Filter {
        project: filter.project.clone(),
        dataset: filter.dataset.clone(),
        ..Filter::default()
    }
}

/// Shows one request, or those that fit.
pub(super) fn show(
    filter: &Filter,
    signer: &Signer,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let mut shown = 0_u64;
    let one = filter.event.is_some();
    let missing = read(filter, signer, &mut |record| {
        shown = shown.saturating_add(1);
        whole(&record, one, output)
    })?;
    if shown == 0 && !one {
        nothing(output);
    }
    lost(missing, output);
    match filter.event {
        Some(event) if shown == 0 => Err(absent(event)),
        _ => Ok(Exit::Done),
    }
}

fn lost(missing: u64, output: &mut Output) {
    if missing > 0 {
        output.note(&format!(
            "{} older than what the gateway's journal holds: `kluis-audit query` reads that, too",
            count(missing, "record is", "records are")
        ));
    }
}
