//! FHIR R4 `AuditEvent`. A read that succeeded claims IHE BALP's profile Read; what was refused is
//! a security alert and claims none.

use serde_json::{Map, Value, json};

use super::{Doing, Whole};
use crate::ledger::record::Outcome;

const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const BALP_READ: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Read";

fn code(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}

fn kind(whole: &Whole<'_>) -> (Value, Value) {
    if whole.outcome() == Outcome::Refused {
        return (code(DICOM, "110113"), code(DICOM, "110127"));
    }
    let word = match whole.doing() {
        Doing::Read => "read",
        Doing::List => "search-type",
        Doing::Create => "create",
        Doing::Update => "update",
        Doing::Delete => "delete",
        Doing::Other => "operation",
    };
    let rest = code(
        "http://terminology.hl7.org/CodeSystem/audit-event-type",
        "rest",
    );
    (rest, code("http://hl7.org/fhir/restful-interaction", word))
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "0",
        Outcome::Refused => "4",
        Outcome::Failed | Outcome::Aborted => "8",
        Outcome::OpenAtCrash => "12",
    }
}

pub(super) fn event(whole: &Whole<'_>) -> Value {
    let (kind, subtype) = kind(whole);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("resourceType", json!("AuditEvent"));
    put("id", json!(whole.id()));
    if whole.outcome() == Outcome::Success && whole.doing() == Doing::Read {
        put("meta", json!({ "profile": [BALP_READ] }));
    }
    put("type", kind);
    put("subtype", json!([subtype]));
    put("action", json!(whole.letter()));
    let mut period = json!({ "start": whole.intent.time.to_string() });
    let recorded = whole.end.map_or(whole.intent.time, |end| end.time);
    if let (Some(period), Some(end)) = (period.as_object_mut(), whole.end) {
        period.insert("end".to_owned(), json!(end.time.to_string()));
    }
    put("period", period);
    put("recorded", json!(recorded.to_string()));
    put("outcome", json!(outcome(whole.outcome())));
    let reason = whole
        .end
        .map(|end| end.reason.as_str())
        .filter(|reason| !reason.is_empty());
    if let Some(reason) = reason {
        put("outcomeDesc", json!(reason));
    }
    let purpose = whole
        .intent
        .policy
        .as_ref()
        .and_then(|policy| policy.purpose.as_deref());
    if let Some(purpose) = purpose {
        put("purposeOfEvent", json!([{ "text": purpose }]));
    }
    put("agent", agents(whole, purpose));
    let gateway = whole.session.map_or("unknown", |session| &*session.source);
    let source = code(
        "http://terminology.hl7.org/CodeSystem/security-source-type",
        "4",
    );
    put(
        "source",
        json!({ "observer": { "display": gateway }, "type": [source] }),
    );
    put("entity", json!(entities(whole)));
    Value::Object(out)
}

fn agents(whole: &Whole<'_>, purpose: Option<&str>) -> Value {
    let session = whole.session;
    let ip = session.map_or("unknown", |session| &*session.client_ip);
    let client = session.map_or("unknown", |session| &*session.user_agent);
    let client = whole
        .workload()
        .unwrap_or(if client.is_empty() { "unknown" } else { client });
    let gateway = session.map_or("unknown", |session| &*session.source);
    // FHIR's network-type: an IP address, or the name of a machine.
    let network = if ip.contains(['.', ':']) { "2" } else { "1" };
    let role = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
    let mut user = json!({
        "type": { "coding": [code(role, "IRCP")] },
        "who": { "identifier": { "value": whole.person().unwrap_or("unknown") } },
        "requestor": true,
    });
    if let (Some(user), Some(purpose)) = (user.as_object_mut(), purpose) {
        user.insert("purposeOfUse".to_owned(), json!([{ "text": purpose }]));
    }
    json!([
        {
            "type": { "coding": [code(DICOM, "110152")] },
            "who": { "display": client },
            "requestor": false,
            "network": { "address": ip, "type": network },
        },
        {
            "type": { "coding": [code(DICOM, "110153")] },
            "who": { "display": gateway },
            "requestor": false,
        },
        user,
    ])
}

fn entities(whole: &Whole<'_>) -> Vec<Value> {
    let mut details = Vec::new();
    let mut detail = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            details.push(json!({ "type": name, "valueString": value }));
        }
    };
    let policy = whole.intent.policy.as_ref();
    let version = policy.map(|policy| data_encoding::HEXLOWER.encode(&policy.version));
    detail("autorisatieprotocol", version);
    let rule = policy
        .map(|policy| policy.rule.clone())
        .filter(|rule| !rule.is_empty());
    detail("rule", rule);
    detail(
        "grant",
        policy
            .and_then(|policy| policy.grant)
            .map(|id| id.to_string()),
    );
    detail("permit", policy.and_then(|policy| policy.permit.clone()));
    detail("operation", Some(whole.intent.operation.clone()));
    detail("bytes", whole.end.map(|end| end.bytes.to_string()));
    let range = whole.intent.range;
    detail(
        "range",
        range.map(|range| format!("{}+{}", range.start(), range.len())),
    );
    detail("log", Some(format!("{}/{}", whole.lane, whole.seq)));
    let entity = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
    let object_role = "http://terminology.hl7.org/CodeSystem/object-role";
    let balp = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
    let mut all = vec![
        json!({
            "what": { "identifier": { "value": whole.object().unwrap_or_else(|| whole.place()) } },
            "type": code(entity, "2"),
            "role": code(object_role, "4"),
            "detail": details,
        }),
        json!({
            "what": { "identifier": { "value": whole.id() } },
            "type": code(balp, "XrequestId"),
        }),
    ];
    if let Some(query) = &whole.intent.query {
        all.push(json!({
            "type": code(entity, "2"),
            "role": code(object_role, "24"),
            "query": data_encoding::BASE64.encode(query.as_bytes()),
        }));
    }
    all
}
