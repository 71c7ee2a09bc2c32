//! The log's records over the network, page by page.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{ApiError, json};
use super::ask::Ask;
use super::grants::time;
use crate::ledger::{Nature, Outcome, parse_event};
use crate::types::Timestamp;
use crate::types::limits::RECORD_TEXT_BYTES_MAX;
use crate::vault::{ErrorKind, ProofAsk, RecordAsk, RecordFilter, Vault, VaultError};
use crate::wire;

/// Requests on a page where the client does not say.
const LIMIT: usize = 100;

/// What can be asked; each at most once.
pub(super) const ASKED: [&str; 19] = [
    "dataset",
    "key",
    "prefix",
    "principal",
    "job",
    "action",
    "outcome",
    "refused",
    "after_expiry",
    "nature",
    "purpose",
    "permit",
    "grant",
    "ip",
    "event",
    "since",
    "until",
    "limit",
    "cursor",
];

/// A moment of the query.
fn moment(ask: &Ask, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
    let text: Option<String> = ask.asked(name)?;
    text.map(|text| time(name, &text)).transpose()
}

fn word<T: crate::ledger::Word>(ask: &Ask, name: &'static str) -> Result<Option<T>, ApiError> {
    let text: Option<String> = ask.asked(name)?;
    let bad = || ApiError::bad(format!("The query's {name} is not one."));
    text.map(|text| T::from_word(&text).ok_or_else(bad))
        .transpose()
}

fn filter(ask: &Ask) -> Result<RecordFilter, ApiError> {
    let event: Option<String> = ask.asked("event")?;
    let no_event = || ApiError::bad("The query's event is not one.".to_owned());
    let event = event.map(|text| parse_event(&text).ok_or_else(no_event));
    let mut outcome: Option<Outcome> = word(ask, "outcome")?;
    if ask.asked::<bool>("refused")? == Some(true) {
        if outcome.is_some_and(|outcome| outcome != Outcome::Refused) {
            let both = "The query asks for what was refused and for another outcome.";
            return Err(ApiError::bad(both.to_owned()));
        }
        outcome = Some(Outcome::Refused);
    }
    let nature: Option<Nature> = word(ask, "nature")?;
    Ok(RecordFilter {
        dataset: ask.asked("dataset")?,
        key: ask.asked("key")?,
        prefix: ask.asked("prefix")?,
        principal: ask.asked("principal")?,
        job: ask.asked("job")?,
        action: ask.asked("action")?,
        outcome,
        nature,
        purpose: ask.asked("purpose")?,
        permit: ask.asked("permit")?,
        grant: ask.asked("grant")?,
        ip: ask.asked("ip")?,
        event: event.transpose()?,
        since: moment(ask, "since")?,
        until: moment(ask, "until")?,
        ..RecordFilter::default()
    })
}

/// That nothing else is asked.
fn known(ask: &Ask, asked: &[&str]) -> Result<(), ApiError> {
    let mut names = form_urlencoded::parse(ask.query.as_bytes()).map(|(name, _)| name);
    if names.all(|name| asked.contains(&&*name)) {
        return Ok(());
    }
    let unknown = "The query asks for what there is not.";
    Err(ApiError::bad(unknown.to_owned()))
}

/// The question as the log keeps it: what is asked in one order and one spelling, whatever the
/// query looks like.
fn words(ask: &Ask) -> Result<String, ApiError> {
    let mut words = "records".to_owned();
    for name in ASKED {
        let value: Option<String> = if name == "limit" {
            let limit: Option<usize> = ask.asked(name)?;
            limit.map(|limit| limit.to_string())
        } else {
            ask.asked(name)?
        };
        let Some(value) = value else { continue };
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
        let value = if value.chars().all(plain) {
            value
        } else {
            format!("{value:?}")
        };
        words.extend([" ", name, "=", &value]);
    }
    Ok(words)
}

/// A page of a project's records.
pub(super) async fn list(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    known(&ask, &ASKED)?;
    let words = words(&ask)?;
    let long = words.len() > RECORD_TEXT_BYTES_MAX;
    let told = |error: VaultError| {
        if long && error.kind() == ErrorKind::InvalidArgument {
            let why = "The question is longer than a record of it holds: 2,048 bytes at most.";
            return ApiError::bad(why.to_owned());
        }
        error.into()
    };
    let page = vault
        .records(
            &ask.call,
            RecordAsk {
                project: ask.parameter("project")?,
                filter: filter(&ask)?,
                after_expiry: ask.asked("after_expiry")?.unwrap_or(false),
                from: ask.asked("cursor")?,
                limit: ask.asked("limit")?.unwrap_or(LIMIT),
                words,
            },
        )
        .await
        .map_err(told)?;
    let told = wire::RecordPage {
        records: page.records,
        next: page.next,
        missing: page.missing,
        open: page.open,
    };
    Ok(json(StatusCode::OK, &told))
}

/// What can be asked of a proof.
pub(super) const PROVED: [&str; 2] = ["dataset", "end"];

/// The proof that one record is in the log, as text (c2sp.org/tlog-proof).
pub(super) async fn prove(vault: Arc<Vault>, ask: Ask) -> Result<Response<Body>, ApiError> {
    known(&ask, &PROVED)?;
    let event: String = ask.parameter("event")?;
    let no_event = || ApiError::bad("The path's event is not one.".to_owned());
    let proof = vault
        .prove_record(
            &ask.call,
            ProofAsk {
                project: ask.parameter("project")?,
                dataset: ask.asked("dataset")?,
                event: parse_event(&event).ok_or_else(no_event)?,
                end: ask.asked("end")?.unwrap_or(false),
            },
        )
        .await?;
    let mut response = Response::new(Body::from(proof));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
