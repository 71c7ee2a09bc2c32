//! Requests as log records of OpenTelemetry: an `ExportLogsServiceRequest` in OTLP's JSON mapping,
//! and what the receiver says of it (OTLP 1.x, "OTLP/HTTP").

use serde::Deserialize;
use serde_json::{Value, json};

use crate::journal::Request;
use crate::ledger::Outcome;
use crate::ledger::export::Form;

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// Severity's number and word: a refusal is worth a look, no error of the service.
const fn severity(outcome: Option<Outcome>) -> (u8, &'static str) {
    match outcome {
        Some(Outcome::Success) => (9, "INFO"),
        Some(Outcome::Refused) => (13, "WARN"),
        Some(Outcome::Failed | Outcome::Aborted | Outcome::OpenAtCrash) | None => (17, "ERROR"),
    }
}

fn record(request: &Request, form: Form) -> Option<Value> {
    let body = form.line(&request.view())?;
    let completion = request.completion.as_ref();
    let (severity, word) = severity(completion.map(|end| end.outcome));
    let nanos = |millis: u64| u128::from(millis).saturating_mul(1_000_000).to_string();
    let observed = completion.map_or(request.intent.time, |end| end.time);
    let id = uuid::Uuid::from_bytes(*request.intent.event.as_bytes());
    let event = request
        .intent
        .action
        .map_or("admin", |action| action.as_str());
    Some(json!({
        "timeUnixNano": nanos(request.intent.time.millis()),
        "observedTimeUnixNano": nanos(observed.millis()),
        "severityNumber": severity,
        "severityText": word,
        "eventName": event,
        "body": { "stringValue": body },
        "attributes": [
            text("log.record.uid", &id.to_string()),
            text("kluis.operation", &request.intent.operation),
            text("kluis.log.lane", &request.lane),
            number("kluis.log.seq", request.seq),
        ],
    }))
}

/// One request to `/v1/logs`, of these requests of the log.
#[must_use]
pub fn otlp_request(requests: &[Request], instance: &str, form: Form) -> String {
    let records: Vec<Value> = requests.iter().filter_map(|r| record(r, form)).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [
            text("service.name", "kluis"),
            text("service.instance.id", instance),
        ] },
        "scopeLogs": [{
            "scope": { "name": "kluis.audit", "version": env!("CARGO_PKG_VERSION") },
            "logRecords": records,
        }],
    }] })
    .to_string()
}

/// What a receiver made of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OtlpAnswer {
    /// It has them.
    Taken,
    /// It has them but for so many, which it will not take: they are not to be sent again.
    Partly {
        /// How many.
        rejected: u64,
    },
    /// Try again.
    Later,
    /// It takes none of this: somebody must look at it.
    Refused,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Option<Partial>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    /// A 64-bit number, which JSON carries as a text or as a number.
    rejected_log_records: Value,
}

/// Reads an answer. What is no answer of OTLP has taken nothing.
#[must_use]
pub fn read_answer(status: u16, body: &[u8]) -> OtlpAnswer {
    match status {
        200 => {
            // An empty message is an empty object, or nothing at all.
            let answer = if body.iter().all(u8::is_ascii_whitespace) {
                Some(Answer::default())
            } else {
                serde_json::from_slice(body).ok()
            };
            let Some(answer): Option<Answer> = answer else {
                return OtlpAnswer::Later;
            };
            let rejected = answer.partial_success.map(|partial| {
                let told = &partial.rejected_log_records;
                told.as_u64()
                    .or_else(|| told.as_str()?.parse().ok())
                    .unwrap_or(0)
            });
            match rejected {
                None | Some(0) => OtlpAnswer::Taken,
                Some(rejected) => OtlpAnswer::Partly { rejected },
            }
        }
        429 | 502..=504 => OtlpAnswer::Later,
        _ => OtlpAnswer::Refused,
    }
}
