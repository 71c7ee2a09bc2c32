//! How a record is shown: as `kluis.audit/1` JSON (the names of `docs/audit.md`), and of that as
//! one line of text for a terminal (`line.rs`).

use std::fmt;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::record::{
    AuthMethod, Completion, Entry, Intent, MarkKind, Nature, ObjectRef, Outcome, PolicyRef, Session,
};
use super::run::RunEnd;
use crate::types::{Action, EventId, PrincipalId, ProjectName};

/// The schema's name.
const SCHEMA: &str = "kluis.audit/1";

/// One record, or a pair of them, with where it stands in the log. Prints as one line.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The lane.
    pub lane: &'a str,
    /// Its place in the lane, from 0.
    pub seq: u64,
    /// Who asked; `None` where it is not known or has no meaning.
    pub session: Option<&'a Session>,
    /// The request.
    pub intent: Option<&'a Intent>,
    /// Its end.
    pub completion: Option<&'a Completion>,
}

/// Reads an event's id as JSON shows it (a UUID) or as 32 digits.
#[must_use]
pub fn parse_event(text: &str) -> Option<EventId> {
    uuid::Uuid::try_parse(text)
        .ok()
        .map(|uuid| EventId::from_bytes(uuid.into_bytes()))
}

impl<'a> View<'a> {
    /// The view of one entry; `None` for what is no record of a request.
    #[must_use]
    pub const fn of(
        lane: &'a str,
        seq: u64,
        session: Option<&'a Session>,
        entry: &'a Entry,
    ) -> Option<Self> {
        let (intent, completion) = match entry {
            Entry::Intent { intent, .. } => (Some(intent), None),
            Entry::Completion(completion) => (None, Some(completion)),
            Entry::Whole {
                intent, completion, ..
            } => (Some(intent), Some(completion)),
            Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_) => {
                return None;
            }
        };
        Some(Self {
            lane,
            seq,
            session,
            intent,
            completion,
        })
    }

    /// The record as one JSON object; what is not known is left out.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                out.insert(name.to_owned(), value);
            }
        };
        put("schema", json!(SCHEMA));
        put("seq", json!(self.seq));
        put("phase", json!(self.phase()));
        put("chain", json!({ "id": self.lane }));
        if let Some(event) = self.event() {
            put(
                "event_id",
                json!(uuid::Uuid::from_bytes(*event.as_bytes()).to_string()),
            );
        }
        if let Some(session) = self.session {
            put_session(&mut put, session);
        }
        if let Some(intent) = self.intent {
            put_intent(&mut put, intent);
        }
        if let Some(completion) = self.completion {
            put_completion(&mut put, completion);
        }
        Value::Object(out)
    }

    fn event(&self) -> Option<EventId> {
        self.intent
            .map(|i| i.event)
            .or_else(|| self.completion.map(|c| c.event))
    }

    /// AU-3's phase (37).
    fn phase(&self) -> &'static str {
        match self.completion.map(|c| c.outcome) {
            None => "intent",
            Some(Outcome::Aborted | Outcome::OpenAtCrash) => "aborted",
            Some(Outcome::Success | Outcome::Refused | Outcome::Failed) => "complete",
        }
    }
}

fn put_session(put: &mut impl FnMut(&str, Value), session: &Session) {
    let sub = |id: &PrincipalId| json!({ "sub": id.as_str() });
    put("actor", session.principal.as_ref().map_or(Value::Null, sub));
    put(
        "responsible",
        session.responsible.as_ref().map_or(Value::Null, sub),
    );
    put(
        "client",
        json!({ "id": session.user_agent, "ip": session.client_ip }),
    );
    put("source", json!({ "gateway": session.source }));
    let mut auth = Map::from_iter([("method".to_owned(), json!(auth_word(session.auth)))]);
    if let Some(key) = &session.access_key {
        auth.insert("credential".to_owned(), json!(key.as_str()));
    }
    put("auth", Value::Object(auth));
}

fn put_intent(put: &mut impl FnMut(&str, Value), intent: &Intent) {
    put("time", json!(intent.time.to_string()));
    let event = intent
        .action
        .map_or(&*intent.operation, |action| action.as_str());
    put("event", json!(event));
    put("operation", json!(intent.operation));
    put("action", json!(letter(intent.action)));
    put("nature", json!(nature_word(intent.nature)));
    put(
        "project",
        json!(intent.object.project.as_ref().map(ProjectName::as_str)),
    );
    put("object", handed(intent));
    put(
        "source_object",
        intent.source_object.as_ref().map_or(Value::Null, object),
    );
    put("query", json!(intent.query));
    if let Some(range) = intent.range {
        put("range", json!({ "off": range.start(), "len": range.len() }));
    }
    if let Some(policy) = &intent.policy {
        put_policy(put, policy);
    }
}

fn put_policy(put: &mut impl FnMut(&str, Value), policy: &PolicyRef) {
    put("checks", json!({ "authz": policy.allowed }));
    put("grant_id", json!(policy.grant.map(|id| id.to_string())));
    put("permit_id", json!(policy.permit));
    put("purpose", json!(policy.purpose));
    let effect = if policy.allowed { "allow" } else { "deny" };
    let version = HEXLOWER.encode(&policy.version);
    put(
        "policy",
        json!({ "version_sha256": version, "rule": policy.rule, "effect": effect }),
    );
}

fn put_completion(put: &mut impl FnMut(&str, Value), completion: &Completion) {
    put("time_end", json!(completion.time.to_string()));
    let status = match completion.outcome {
        Outcome::Success => "success",
        Outcome::Refused => "refused",
        Outcome::Failed | Outcome::Aborted | Outcome::OpenAtCrash => "error",
    };
    let mut outcome = Map::from_iter([
        ("status".to_owned(), json!(status)),
        ("detail".to_owned(), json!(outcome_word(completion.outcome))),
    ]);
    if completion.status != 0 {
        outcome.insert("code".to_owned(), json!(completion.status));
    }
    if !completion.reason.is_empty() {
        outcome.insert("reason".to_owned(), json!(completion.reason));
    }
    put("outcome", Value::Object(outcome));
    put("bytes_sent", json!(completion.bytes));
    put("object_size", json!(completion.object_bytes));
}

/// The object, and of a run of objects where it ended.
fn handed(intent: &Intent) -> Value {
    let mut object = object(&intent.object);
    if let (Some(end), Some(object)) = (RunEnd::of(intent), object.as_object_mut()) {
        object.insert("key_last".to_owned(), json!(end.last));
        if end.cut {
            object.insert("key_last_cut".to_owned(), json!(true));
        }
    }
    object
}

fn object(object: &ObjectRef) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(text) = value {
            out.insert(name.to_owned(), json!(text));
        }
    };
    put("project", object.project.as_ref().map(ToString::to_string));
    put("dataset", object.dataset.as_ref().map(ToString::to_string));
    put("key", object.key.as_ref().map(ToString::to_string));
    put(
        "version_id",
        object.version.as_ref().map(ToString::to_string),
    );
    if out.is_empty() {
        return Value::Null;
    }
    out.insert("type".to_owned(), json!("s3-object"));
    Value::Object(out)
}

pub(super) const fn auth_word(auth: AuthMethod) -> &'static str {
    match auth {
        AuthMethod::None => "none",
        AuthMethod::SigV4Header => "sigv4-header",
        AuthMethod::SigV4Query => "sigv4-query",
        AuthMethod::Local => "local",
        AuthMethod::Bearer => "bearer",
    }
}

pub(super) const fn nature_word(nature: Nature) -> &'static str {
    match nature {
        Nature::Normal => "normal",
        Nature::Admin => "admin",
        Nature::Log => "log",
        Nature::Emergency => "emergency",
    }
}

/// The word for an outcome, as filters and lines have it.
pub(super) const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Refused => "refused",
        Outcome::Failed => "failed",
        Outcome::Aborted => "aborted",
        Outcome::OpenAtCrash => "open-at-crash",
    }
}

/// NEN 7513's C, R, U, D or E (7).
const fn letter(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::ObjectWrite | Action::DatasetCreate | Action::DatasetPublish) => "C",
        Some(
            Action::ObjectRead
            | Action::ObjectHead
            | Action::ObjectList
            | Action::ObjectExport
            | Action::VersionRead
            | Action::VersionList
            | Action::DatasetHead
            | Action::LogRead,
        ) => "R",
        Some(
            Action::UploadManage
            | Action::GrantManage
            | Action::ObjectTag
            | Action::ObjectLock
            | Action::LockBypass
            | Action::DatasetConfigure
            | Action::ActAsk
            | Action::ActApprove,
        ) => "U",
        Some(Action::ObjectDelete | Action::VersionDelete | Action::DatasetDelete) => "D",
        None => "E",
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(outcome_word(*self))
    }
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Opened => "opened",
            Self::Continued => "continued",
            Self::Resumed => "resumed",
            Self::Closed => "closed",
        })
    }
}

impl fmt::Display for View<'_> {
    /// [`line`](super::line()) of its JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::line(&self.json()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples;

    #[test]
    fn a_pair_has_the_names_of_the_schema() {
        let (session, event) = (samples::session(), samples::event(1));
        let (intent, completion) = (samples::intent(event), samples::completion(event));
        let view = View {
            lane: "gw-1",
            seq: 9,
            session: Some(&session),
            intent: Some(&intent),
            completion: Some(&completion),
        };
        let json = view.json();
        for (pointer, value) in [
            ("/schema", json!("kluis.audit/1")),
            ("/event_id", json!("01010101-0101-0101-0101-010101010101")),
            ("/phase", json!("complete")),
            ("/event", json!("object.read")),
            ("/action", json!("R")),
            ("/time", json!("2027-03-02T08:15:04.112Z")),
            ("/time_end", json!("2027-03-02T08:15:04.498Z")),
            ("/actor/sub", json!("j.devries")),
            ("/responsible/sub", json!("m.jansen@umcg.nl")),
            ("/object/key", json!("records/00001.dat")),
            ("/range/len", json!(65_536)),
            ("/outcome/code", json!(206)),
            ("/policy/effect", json!("allow")),
            ("/permit_id", json!("HDAB-NL-2026-0417")),
            ("/chain/id", json!("gw-1")),
        ] {
            assert_eq!(json.pointer(pointer), Some(&value), "{pointer}");
        }
    }

    #[test]
    fn of_a_run_the_last_key_is_told() {
        let mut intent = samples::intent(samples::event(1));
        let mut told = |query: String| {
            intent.query = Some(query);
            handed(&intent)
        };
        let run = told("version=1 objects=9 last=records/00009.dat".into());
        assert_eq!(run.get("key"), Some(&json!("records/00001.dat")));
        assert_eq!(run.get("key_last"), Some(&json!("records/00009.dat")));
        assert_eq!(run.get("key_last_cut"), None);
        let long = format!("version=1 objects=9 last={}", "x".repeat(900));
        let cut = told(long.chars().take(512).collect());
        assert_eq!(cut.get("key_last_cut"), Some(&json!(true)));
        for other in ["records/", "version=1"] {
            assert_eq!(told(other.into()).get("key_last"), None, "{other}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let intent = samples::bare_intent(samples::event(1));
        let view = View {
            lane: "l",
            seq: 0,
            session: None,
            intent: Some(&intent),
            completion: None,
        };
        let json = view.json();
        for absent in [
            "actor", "policy", "object", "project", "range", "outcome", "query",
        ] {
            assert!(json.get(absent).is_none(), "{absent}");
        }
        assert_eq!(json.pointer("/phase"), Some(&json!("intent")));
    }

    #[test]
    fn no_record_can_steer_a_terminal() {
        let mut session = samples::stranger();
        session.client_ip = "1\u{1b}[2J\u{9b}1m".into();
        let mut intent = samples::bare_intent(samples::event(1));
        intent.operation = "Get\n2027-01-01 success root".into();
        intent.query = Some("\u{202e}gpj.exe\0\r\t\u{7f}\u{feff}".into());
        let mut completion = samples::completion(samples::event(1));
        completion.reason = "a\u{85}b\\n".into();
        let view = View {
            lane: "l",
            seq: 0,
            session: Some(&session),
            intent: Some(&intent),
            completion: Some(&completion),
        };
        let line = view.to_string();
        assert!(
            !line
                .chars()
                .any(|c| c.is_control() || c == '\u{202e}' || c == '\u{feff}')
        );
        assert!(line.contains("Get\\n2027"), "{line}");
        assert!(line.contains("b\\\\n"), "{line}");
    }

    #[test]
    fn events_are_read_in_both_spellings_and_no_other() {
        let event = samples::event(0xab);
        assert_eq!(parse_event(&event.to_string()), Some(event));
        assert_eq!(
            parse_event("abababab-abab-abab-abab-abababababab"),
            Some(event)
        );
        for bad in ["", "ab", "zz", "abababab-abab-abab-abab-ababababab", "../x"] {
            assert_eq!(parse_event(bad), None, "{bad}");
        }
    }
}
