//! The fields of NEN 7513, by the names that the log for data processing of the Dutch government
//! uses in its draft extension. What the norm requires is always there, as "unknown" if need be.

use serde_json::{Map, Value, json};

use super::Whole;
use crate::ledger::Word as _;
use crate::ledger::record::Outcome;
use crate::types::Action;

/// What the norm requires of every event (its column V).
#[cfg(test)]
pub(super) const REQUIRED: [&str; 11] = [
    "EventID",
    "EventActionCode",
    "EventDateTime",
    "EventOutcomeIndicator",
    "UserID",
    "RoleIDCode",
    "ParticipantObjectTypeCode",
    "ParticipantObjectID",
    "ParticipantObjectPermissionPolicySet",
    "AuditSourceID",
    "NetworkAccessPointID",
];

const fn indicator(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "0",
        Outcome::Refused => "4",
        Outcome::Failed | Outcome::Aborted => "8",
        Outcome::OpenAtCrash => "12",
    }
}

pub(super) fn event(whole: &Whole<'_>) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    let session = whole.session;
    let policy = whole.intent.policy.as_ref();
    let action = whole.intent.action.map(Action::as_str);
    put("EventID", json!(action.unwrap_or(&whole.intent.operation)));
    put("EventActionCode", json!(whole.letter()));
    put("EventDateTime", json!(whole.intent.time.to_string()));
    put("EventType", json!(whole.intent.nature.word()));
    put("EventOutcomeIndicator", json!(indicator(whole.outcome())));
    let user = whole.workload().or_else(|| whole.person());
    put("UserID", json!(user.unwrap_or("unknown")));
    put("UserIsRequestor", json!(true));
    put(
        "ResponsibleUserID",
        json!(whole.workload().and_then(|_| whole.person())),
    );
    let role = policy.and_then(|policy| role(&policy.rule));
    let other = if whole.is_admin() {
        "operator"
    } else {
        "unknown"
    };
    let role = role.unwrap_or(other);
    put("RoleIDCode", json!(role));
    let ip = session.map_or("unknown", |session| &*session.client_ip);
    put("NetworkAccessPointID", json!(ip));
    put(
        "PurposeOfUse",
        json!(policy.and_then(|policy| policy.purpose.as_deref())),
    );
    put("ParticipantObjectTypeCode", json!("2"));
    let object = whole.object().unwrap_or_else(|| whole.place());
    put("ParticipantObjectID", json!(object));
    let version = policy.map(|policy| data_encoding::HEXLOWER.encode(&policy.version));
    let version = version.unwrap_or_else(|| "none".to_owned());
    put("ParticipantObjectPermissionPolicySet", json!(version));
    put("ParticipantObjectQuery", json!(whole.intent.query));
    let consent = policy.and_then(|policy| policy.permit.as_deref());
    put("ToestemmingsprofielID", json!(consent));
    let gateway = session.map_or("unknown", |session| &*session.source);
    put("AuditSourceID", json!(gateway));
    put("EventUID", json!(whole.id()));
    Value::Object(out)
}

/// The role in a rule `p, role, action, effect`.
fn role(rule: &str) -> Option<&str> {
    let mut words = rule.split(',').map(str::trim);
    (words.next()? == "p").then(|| words.next())?
}
