//! A request as a span of the Logboek Dataverwerkingen: one `ExportTraceServiceRequest` of OTLP in
//! its JSON mapping (ids as hex digits, 64-bit numbers as texts).

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::Whole;
use crate::ledger::Word as _;
use crate::ledger::record::Outcome;

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// A refusal is the client's matter: no error of the service.
const fn status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success => 1,
        Outcome::Refused => 0,
        Outcome::Failed | Outcome::Aborted | Outcome::OpenAtCrash => 2,
    }
}

pub(super) fn event(whole: &Whole<'_>) -> Value {
    let policy = whole.intent.policy.as_ref();
    let mut attributes = vec![
        text("kluis.outcome", whole.outcome().word()),
        text("kluis.place", &whole.place()),
        text("kluis.log.lane", whole.lane),
        number("kluis.log.seq", whole.seq),
    ];
    let texts = [
        ("dpl.core.user", whole.person().map(str::to_owned)),
        ("kluis.workload", whole.workload().map(str::to_owned)),
        ("kluis.object", whole.object()),
        (
            "kluis.purpose",
            policy.and_then(|policy| policy.purpose.clone()),
        ),
        (
            "kluis.permit",
            policy.and_then(|policy| policy.permit.clone()),
        ),
        ("kluis.rule", policy.map(|policy| policy.rule.clone())),
        (
            "client.address",
            whole.session.map(|session| session.client_ip.clone()),
        ),
    ];
    for (key, value) in texts {
        attributes.extend(value.map(|value| text(key, &value)));
    }
    let end = whole.end.map_or(whole.intent.time, |end| end.time);
    if let Some(end) = whole.end {
        attributes.push(number("kluis.bytes", end.bytes));
        attributes.push(number("http.response.status_code", u64::from(end.status)));
    }
    let nanos = |millis: u64| u128::from(millis).saturating_mul(1_000_000).to_string();
    let event = whole.event();
    let (_, span) = event.as_bytes().split_at(8);
    let gateway = whole.session.map_or("unknown", |session| &*session.source);
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "kluis"),
            text("service.instance.id", gateway),
        ] },
        "scopeSpans": [{
            "scope": { "name": "kluis.audit", "version": env!("CARGO_PKG_VERSION") },
            "spans": [{
                "traceId": HEXLOWER.encode(event.as_bytes()),
                "spanId": HEXLOWER.encode(span),
                "name": whole.intent.operation,
                "kind": 2,
                "startTimeUnixNano": nanos(whole.intent.time.millis()),
                "endTimeUnixNano": nanos(end.millis()),
                "attributes": attributes,
                "status": { "code": status(whole.outcome()) },
            }],
        }],
    }] })
}
