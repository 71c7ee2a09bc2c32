//! OCSF 1.8, class Datastore Activity (6005), profile `security_control`.

use serde_json::{Map, Value, json};

use super::{Doing, Whole};
use crate::ledger::Word as _;
use crate::ledger::record::{Outcome, PolicyRef};

const CLASS: u64 = 6005;

const fn activity(doing: Doing) -> (u64, &'static str) {
    match doing {
        Doing::Read => (1, "Read"),
        Doing::Update => (2, "Update"),
        Doing::Create => (5, "Write"),
        Doing::Delete => (7, "Delete"),
        Doing::List => (8, "List"),
        Doing::Other => (99, "Other"),
    }
}

/// Severity, status, what was done about it.
const fn judged(outcome: Outcome) -> (u64, u64, u64) {
    match outcome {
        Outcome::Success => (1, 1, 1),
        Outcome::Refused => (3, 2, 2),
        Outcome::Failed | Outcome::Aborted | Outcome::OpenAtCrash => (2, 2, 1),
    }
}

fn put(map: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    if !value.is_null() {
        map.insert(name.to_owned(), value);
    }
}

pub(super) fn event(whole: &Whole<'_>) -> Value {
    let (number, name) = activity(whole.doing());
    let (severity, status, control) = judged(whole.outcome());
    let refused = control == 2;
    let mut out = Map::new();
    put(&mut out, "class_uid", CLASS);
    put(&mut out, "category_uid", 6);
    put(&mut out, "activity_id", number);
    put(
        &mut out,
        "activity_name",
        if number == 99 {
            &*whole.intent.operation
        } else {
            name
        },
    );
    put(
        &mut out,
        "type_uid",
        CLASS.saturating_mul(100).saturating_add(number),
    );
    put(&mut out, "type_id", 2);
    put(&mut out, "time", whole.intent.time.millis());
    put(&mut out, "severity_id", severity);
    put(&mut out, "status_id", status);
    put(&mut out, "action_id", control);
    put(&mut out, "disposition_id", if refused { 2 } else { 1 });
    if let Some(end) = whole.end {
        put(&mut out, "duration", end.time.since(whole.intent.time));
        if end.status != 0 {
            put(&mut out, "status_code", end.status.to_string());
            let length = end.bytes;
            put(
                &mut out,
                "http_response",
                json!({ "code": end.status, "length": length }),
            );
        }
        if !end.reason.is_empty() {
            put(&mut out, "status_detail", &*end.reason);
        }
    }
    put(&mut out, "metadata", metadata(whole));
    put(&mut out, "actor", actor(whole));
    put(&mut out, "src_endpoint", source(whole));
    put(&mut out, "databucket", bucket(whole));
    if let Some(query) = &whole.intent.query {
        put(
            &mut out,
            "query_info",
            json!({ "query_string": query, "uid": whole.id() }),
        );
    }
    put(&mut out, "unmapped", unmapped(whole));
    Value::Object(out)
}

fn metadata(whole: &Whole<'_>) -> Value {
    let mut out = Map::new();
    put(&mut out, "version", "1.8.0");
    put(
        &mut out,
        "product",
        json!({ "name": "Kluis", "vendor_name": "Kluis", "version": env!("CARGO_PKG_VERSION") }),
    );
    put(&mut out, "profiles", json!(["security_control"]));
    put(&mut out, "uid", whole.id());
    put(&mut out, "correlation_uid", whole.id());
    put(&mut out, "sequence", whole.seq);
    put(&mut out, "log_name", whole.lane);
    put(&mut out, "labels", json!([whole.intent.nature.word()]));
    put(&mut out, "event_code", &*whole.intent.operation);
    if let Some(project) = &whole.intent.object.project {
        put(&mut out, "tenant_uid", project.as_str());
    }
    if let Some(session) = whole.session {
        put(&mut out, "log_source", &*session.source);
    }
    Value::Object(out)
}

fn actor(whole: &Whole<'_>) -> Value {
    let mut out = Map::new();
    let person = whole.person().unwrap_or("unknown");
    put(&mut out, "user", json!({ "uid": person }));
    if let Some(workload) = whole.workload() {
        put(&mut out, "app_uid", workload);
    }
    if let Some(key) = whole
        .session
        .and_then(|session| session.access_key.as_ref())
    {
        put(
            &mut out,
            "session",
            json!({ "credential_uid": key.as_str() }),
        );
    }
    if let Some(policy) = &whole.intent.policy {
        put(&mut out, "authorizations", json!([authorization(policy)]));
    }
    Value::Object(out)
}

fn authorization(policy: &PolicyRef) -> Value {
    let mut out = Map::new();
    let grant = policy.grant.map(|id| id.to_string());
    put(&mut out, "uid", grant.unwrap_or_else(|| "none".to_owned()));
    put(
        &mut out,
        "version",
        data_encoding::HEXLOWER.encode(&policy.version),
    );
    put(&mut out, "is_applied", true);
    if !policy.rule.is_empty() {
        put(&mut out, "desc", &*policy.rule);
    }
    let decision = if policy.allowed { "allow" } else { "deny" };
    json!({ "decision": decision, "policy": out })
}

fn source(whole: &Whole<'_>) -> Value {
    let session = whole.session;
    let ip = session.map_or("unknown", |session| &*session.client_ip);
    match ip.parse::<core::net::IpAddr>() {
        Ok(ip) => json!({ "ip": ip.to_string() }),
        Err(_no_address) => json!({ "name": ip }),
    }
}

fn bucket(whole: &Whole<'_>) -> Value {
    let mut out = Map::new();
    put(&mut out, "uid", whole.place());
    put(&mut out, "name", whole.place());
    put(&mut out, "type_id", 1);
    if let Some(key) = &whole.intent.object.key {
        let name = key.as_str().rsplit('/').find(|part| !part.is_empty());
        let mut file = Map::new();
        put(&mut file, "name", name.unwrap_or("/"));
        put(&mut file, "path", key.as_str());
        put(&mut file, "type_id", 1);
        if let Some(version) = &whole.intent.object.version {
            put(&mut file, "version", version.to_string());
        }
        if let Some(bytes) = whole.end.and_then(|end| end.object_bytes) {
            put(&mut file, "size", bytes);
        }
        put(&mut out, "file", file);
    }
    Value::Object(out)
}

fn unmapped(whole: &Whole<'_>) -> Value {
    let mut out = Map::new();
    put(&mut out, "outcome", whole.outcome().word());
    if let Some(end) = whole.end {
        put(&mut out, "end", end.time.millis());
        put(&mut out, "bytes", end.bytes);
    }
    if let Some(range) = whole.intent.range {
        put(
            &mut out,
            "range",
            json!({ "off": range.start(), "len": range.len() }),
        );
    }
    if let Some(policy) = &whole.intent.policy {
        put(&mut out, "purpose", policy.purpose.as_deref());
        put(&mut out, "permit", policy.permit.as_deref());
    }
    Value::Object(out)
}
