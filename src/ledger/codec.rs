//! The one canonical encoding of a record: `encode(decode(x)) == x` for each `x` that decodes.
//! Specified in `docs/audit.md`, "The record's bytes".
//!
//! An entry is the array `[version, kind, body]`; a body is a map with ascending integer keys, in
//! which what is absent is left out.

use super::cbor::{Fields, Reader, Writer};
use super::record::{
    AuthMethod, Completion, Entry, Intent, MarkKind, Nature, ObjectRef, Outcome, PolicyRef,
    Session, SessionHash,
};
use crate::types::limits::{
    OBJECT_KEY_BYTES_MAX, POLICY_TEXT_BYTES_MAX, RECORD_BYTES_MAX, RECORD_EVENTS_MAX,
    RECORD_REASON_BYTES_MAX, RECORD_TEXT_BYTES_MAX,
};
use crate::types::{
    AccessKeyId, Action, ByteRange, DatasetName, EventId, GrantId, ObjectKey, PrincipalId,
    ProjectName, Timestamp, VersionId,
};

/// The encoding's version.
const VERSION: u64 = 1;
/// Longest of the names that have a grammar of their own.
const NAME_BYTES_MAX: usize = 128;
/// A policy's text and what surrounds it.
const POLICY_BYTES_MAX: usize = POLICY_TEXT_BYTES_MAX + 64;

const SESSION: u64 = 1;
const INTENT: u64 = 2;
const COMPLETION: u64 = 3;
const WHOLE: u64 = 4;
const MARK: u64 = 5;
const POLICY: u64 = 6;
const OPEN: u64 = 7;

/// Why bytes are no record, or a record has no bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end within an item.
    #[error("the record ends too early")]
    Short,
    /// Bytes follow the record.
    #[error("bytes follow the record")]
    Trailing,
    /// An item of another type.
    #[error("an item has the wrong type")]
    Type,
    /// Not the one canonical form: a longer head than needed, an indefinite length, keys that do
    /// not ascend.
    #[error("the record is not canonical")]
    Canonical,
    /// A key or kind that this version does not know.
    #[error("the record has an unknown key or kind")]
    Unknown,
    /// A required key is not there.
    #[error("the record lacks a required key")]
    Missing,
    /// A value outside its set or grammar.
    #[error("the record has an invalid value")]
    Value,
    /// A text that is not UTF-8.
    #[error("the record has a text that is not utf-8")]
    Utf8,
    /// A text, list or record beyond its bound. When encoding, at fault: the record's maker.
    #[error("the record or a text in it is too long")]
    TooLong,
    /// Another version of the encoding.
    #[error("the record has an unknown version")]
    Version,
    /// Intent and completion of one record that name different events.
    #[error("the record's intent and completion name different events")]
    Event,
}

/// The longest beginning of `text` of at most `max` bytes that ends between characters.
#[must_use]
pub fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or("")
}

/// Appends the entry's canonical bytes to `out`; on an error, `out` is as it was.
pub fn encode(entry: &Entry, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let bound = match entry {
        Entry::Policy { .. } => POLICY_BYTES_MAX,
        Entry::Session(_)
        | Entry::Intent { .. }
        | Entry::Completion(_)
        | Entry::Whole { .. }
        | Entry::Mark { .. }
        | Entry::Open(_) => RECORD_BYTES_MAX,
    };
    bounded(out, bound, |w| match entry {
        Entry::Session(session) => write_session(w, session),
        Entry::Intent { session, intent } => {
            open(w, INTENT);
            write_intent(w, session, intent)
        }
        Entry::Completion(completion) => {
            open(w, COMPLETION);
            write_completion(w, completion)
        }
        Entry::Whole {
            session,
            intent,
            completion,
        } => {
            if intent.event != completion.event {
                return Err(CodecError::Event);
            }
            open(w, WHOLE);
            w.map(2, &[]);
            w.uint(0);
            write_intent(w, session, intent)?;
            w.uint(1);
            write_completion(w, completion)
        }
        Entry::Mark { time, kind } => {
            open(w, MARK);
            w.map(2, &[]);
            field_uint(w, 0, time.millis());
            field_uint(w, 1, mark_code(*kind));
            Ok(())
        }
        Entry::Policy { version, text } => {
            open(w, POLICY);
            w.map(2, &[]);
            field_bytes(w, 0, version);
            w.uint(1);
            w.text(text, POLICY_TEXT_BYTES_MAX)
        }
        Entry::Open(events) => write_open(w, events),
    })
}

/// Appends the canonical bytes of `Entry::Session` without a copy of the session.
pub(super) fn encode_session(session: &Session, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bounded(out, RECORD_BYTES_MAX, |w| write_session(w, session))
}

/// Appends the canonical bytes of `Entry::Completion` without a copy of the completion.
pub fn encode_completion(completion: &Completion, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bounded(out, RECORD_BYTES_MAX, |w| {
        open(w, COMPLETION);
        write_completion(w, completion)
    })
}

/// Runs `write`; takes back what it wrote when it fails or exceeds `bound`.
fn bounded(
    out: &mut Vec<u8>,
    bound: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let start = out.len();
    let mut result = write(&mut Writer(out));
    if result.is_ok() && out.len().saturating_sub(start) > bound {
        result = Err(CodecError::TooLong);
    }
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn open(w: &mut Writer<'_>, kind: u64) {
    w.array(3);
    w.uint(VERSION);
    w.uint(kind);
}

fn field_uint(w: &mut Writer<'_>, key: u64, value: u64) {
    w.uint(key);
    w.uint(value);
}

fn field_bytes(w: &mut Writer<'_>, key: u64, value: &[u8]) {
    w.uint(key);
    w.bytes(value);
}

fn field_text(w: &mut Writer<'_>, key: u64, value: &str) -> Result<(), CodecError> {
    w.uint(key);
    w.text(value, RECORD_TEXT_BYTES_MAX)
}

/// A text that may be absent, or has a grammar that bounds it.
fn field_name(w: &mut Writer<'_>, key: u64, value: Option<&str>) -> Result<(), CodecError> {
    value.map_or(Ok(()), |text| field_text(w, key, text))
}

fn write_session(w: &mut Writer<'_>, s: &Session) -> Result<(), CodecError> {
    open(w, SESSION);
    w.map(
        4,
        &[
            s.principal.is_some(),
            s.responsible.is_some(),
            s.access_key.is_some(),
        ],
    );
    field_name(w, 0, s.principal.as_ref().map(PrincipalId::as_str))?;
    field_name(w, 1, s.responsible.as_ref().map(PrincipalId::as_str))?;
    field_name(w, 2, s.access_key.as_ref().map(AccessKeyId::as_str))?;
    field_uint(w, 3, auth_code(s.auth));
    field_text(w, 4, &s.client_ip)?;
    field_text(w, 5, &s.user_agent)?;
    field_text(w, 6, &s.source)
}

fn write_intent(w: &mut Writer<'_>, hash: &SessionHash, i: &Intent) -> Result<(), CodecError> {
    let named = i.object != ObjectRef::default();
    w.map(
        5,
        &[
            i.action.is_some(),
            named,
            i.source_object.is_some(),
            i.range.is_some(),
            i.query.is_some(),
            i.policy.is_some(),
        ],
    );
    field_bytes(w, 0, hash);
    field_bytes(w, 1, i.event.as_bytes());
    field_uint(w, 2, i.time.millis());
    field_name(w, 3, i.action.map(Action::as_str))?;
    field_text(w, 4, &i.operation)?;
    field_uint(w, 5, nature_code(i.nature));
    if named {
        w.uint(6);
        write_object(w, &i.object)?;
    }
    if let Some(source) = &i.source_object {
        w.uint(7);
        write_object(w, source)?;
    }
    if let Some(range) = i.range {
        w.uint(8);
        w.array(2);
        w.uint(range.start());
        w.uint(range.end());
    }
    field_name(w, 9, i.query.as_deref())?;
    if let Some(policy) = &i.policy {
        w.uint(10);
        write_policy_ref(w, policy)?;
    }
    Ok(())
}

fn write_object(w: &mut Writer<'_>, o: &ObjectRef) -> Result<(), CodecError> {
    w.map(
        0,
        &[
            o.project.is_some(),
            o.dataset.is_some(),
            o.key.is_some(),
            o.version.is_some(),
        ],
    );
    field_name(w, 0, o.project.as_ref().map(ProjectName::as_str))?;
    field_name(w, 1, o.dataset.as_ref().map(DatasetName::as_str))?;
    field_name(w, 2, o.key.as_ref().map(ObjectKey::as_str))?;
    if let Some(version) = &o.version {
        field_bytes(w, 3, version.as_bytes());
    }
    Ok(())
}

fn write_policy_ref(w: &mut Writer<'_>, p: &PolicyRef) -> Result<(), CodecError> {
    w.map(
        3,
        &[p.grant.is_some(), p.purpose.is_some(), p.permit.is_some()],
    );
    w.uint(0);
    w.bool(p.allowed);
    field_text(w, 1, &p.rule)?;
    field_bytes(w, 2, &p.version);
    if let Some(grant) = &p.grant {
        field_bytes(w, 3, grant.as_bytes());
    }
    field_name(w, 4, p.purpose.as_deref())?;
    field_name(w, 5, p.permit.as_deref())
}

fn write_completion(w: &mut Writer<'_>, c: &Completion) -> Result<(), CodecError> {
    w.map(6, &[c.object_bytes.is_some()]);
    field_bytes(w, 0, c.event.as_bytes());
    field_uint(w, 1, c.time.millis());
    field_uint(w, 2, outcome_code(c.outcome));
    field_uint(w, 3, u64::from(c.status));
    w.uint(4);
    w.text(&c.reason, RECORD_REASON_BYTES_MAX)?;
    field_uint(w, 5, c.bytes);
    if let Some(bytes) = c.object_bytes {
        field_uint(w, 6, bytes);
    }
    Ok(())
}

fn write_open(w: &mut Writer<'_>, events: &[EventId]) -> Result<(), CodecError> {
    if events.len() > RECORD_EVENTS_MAX {
        return Err(CodecError::TooLong);
    }
    if !events.is_sorted_by(|a, b| a < b) {
        return Err(CodecError::Canonical);
    }
    open(w, OPEN);
    w.array(events.len());
    for event in events {
        w.bytes(event.as_bytes());
    }
    Ok(())
}

/// Reads one entry; nothing but its one canonical form is accepted.
pub fn decode(bytes: &[u8]) -> Result<Entry, CodecError> {
    if bytes.len() > POLICY_BYTES_MAX {
        return Err(CodecError::TooLong);
    }
    let r = &mut Reader::new(bytes);
    if r.array(3)? != 3 {
        return Err(CodecError::Value);
    }
    if r.uint()? != VERSION {
        return Err(CodecError::Version);
    }
    let kind = r.uint()?;
    if kind != POLICY && bytes.len() > RECORD_BYTES_MAX {
        return Err(CodecError::TooLong);
    }
    let entry = match kind {
        SESSION => Entry::Session(read_session(r)?),
        INTENT => {
            let (session, intent) = read_intent(r)?;
            Entry::Intent { session, intent }
        }
        COMPLETION => Entry::Completion(read_completion(r)?),
        WHOLE => read_whole(r)?,
        MARK => read_mark(r)?,
        POLICY => read_policy(r)?,
        OPEN => Entry::Open(read_open(r)?),
        _ => return Err(CodecError::Unknown),
    };
    r.end()?;
    Ok(entry)
}

fn need_uint(f: &mut Fields, r: &mut Reader<'_>, key: u64) -> Result<u64, CodecError> {
    f.need(r, key)?;
    r.uint()
}

fn need_time(f: &mut Fields, r: &mut Reader<'_>, key: u64) -> Result<Timestamp, CodecError> {
    need_uint(f, r, key).map(Timestamp::from_millis)
}

fn need_bytes<const N: usize>(
    f: &mut Fields,
    r: &mut Reader<'_>,
    key: u64,
) -> Result<[u8; N], CodecError> {
    f.need(r, key)?;
    r.bytes()
}

fn need_text(f: &mut Fields, r: &mut Reader<'_>, key: u64) -> Result<String, CodecError> {
    f.need(r, key)?;
    r.text(RECORD_TEXT_BYTES_MAX).map(str::to_owned)
}

fn may_text(f: &mut Fields, r: &mut Reader<'_>, key: u64) -> Result<Option<String>, CodecError> {
    if f.has(r, key)? {
        r.text(RECORD_TEXT_BYTES_MAX)
            .map(|text| Some(text.to_owned()))
    } else {
        Ok(None)
    }
}

/// A name with a grammar of its own, which its type checks.
fn may_name<T: std::str::FromStr>(
    f: &mut Fields,
    r: &mut Reader<'_>,
    key: u64,
    max: usize,
) -> Result<Option<T>, CodecError> {
    if !f.has(r, key)? {
        return Ok(None);
    }
    let parsed = r.text(max)?.parse();
    parsed.map(Some).map_err(|_grammar| CodecError::Value)
}

fn may_bytes<const N: usize>(
    f: &mut Fields,
    r: &mut Reader<'_>,
    key: u64,
) -> Result<Option<[u8; N]>, CodecError> {
    if f.has(r, key)? {
        r.bytes().map(Some)
    } else {
        Ok(None)
    }
}

fn read_session(r: &mut Reader<'_>) -> Result<Session, CodecError> {
    let mut f = r.map()?;
    let session = Session {
        principal: may_name(&mut f, r, 0, NAME_BYTES_MAX)?,
        responsible: may_name(&mut f, r, 1, NAME_BYTES_MAX)?,
        access_key: may_name(&mut f, r, 2, NAME_BYTES_MAX)?,
        auth: auth_of(need_uint(&mut f, r, 3)?)?,
        client_ip: need_text(&mut f, r, 4)?,
        user_agent: need_text(&mut f, r, 5)?,
        source: need_text(&mut f, r, 6)?,
    };
    f.end()?;
    Ok(session)
}

fn read_intent(r: &mut Reader<'_>) -> Result<(SessionHash, Intent), CodecError> {
    let mut f = r.map()?;
    let session = need_bytes(&mut f, r, 0)?;
    let intent = Intent {
        event: EventId::from_bytes(need_bytes(&mut f, r, 1)?),
        time: need_time(&mut f, r, 2)?,
        action: may_name(&mut f, r, 3, NAME_BYTES_MAX)?,
        operation: need_text(&mut f, r, 4)?,
        nature: nature_of(need_uint(&mut f, r, 5)?)?,
        object: if f.has(r, 6)? {
            named(read_object(r)?)?
        } else {
            ObjectRef::default()
        },
        source_object: if f.has(r, 7)? {
            Some(read_object(r)?)
        } else {
            None
        },
        range: if f.has(r, 8)? {
            Some(read_range(r)?)
        } else {
            None
        },
        query: may_text(&mut f, r, 9)?,
        policy: if f.has(r, 10)? {
            Some(read_policy_ref(r)?)
        } else {
            None
        },
    };
    f.end()?;
    Ok((session, intent))
}

/// An object that names nothing is left out, never written as an empty map.
fn named(object: ObjectRef) -> Result<ObjectRef, CodecError> {
    if object == ObjectRef::default() {
        Err(CodecError::Canonical)
    } else {
        Ok(object)
    }
}

fn read_object(r: &mut Reader<'_>) -> Result<ObjectRef, CodecError> {
    let mut f = r.map()?;
    let object = ObjectRef {
        project: may_name(&mut f, r, 0, NAME_BYTES_MAX)?,
        dataset: may_name(&mut f, r, 1, NAME_BYTES_MAX)?,
        key: may_name(&mut f, r, 2, OBJECT_KEY_BYTES_MAX)?,
        version: may_bytes(&mut f, r, 3)?.map(VersionId::from_bytes),
    };
    f.end()?;
    Ok(object)
}

fn read_range(r: &mut Reader<'_>) -> Result<ByteRange, CodecError> {
    if r.array(2)? != 2 {
        return Err(CodecError::Value);
    }
    ByteRange::new(r.uint()?, r.uint()?).ok_or(CodecError::Value)
}

fn read_policy_ref(r: &mut Reader<'_>) -> Result<PolicyRef, CodecError> {
    let mut f = r.map()?;
    f.need(r, 0)?;
    let policy = PolicyRef {
        allowed: r.bool()?,
        rule: need_text(&mut f, r, 1)?,
        version: need_bytes(&mut f, r, 2)?,
        grant: may_bytes(&mut f, r, 3)?.map(GrantId::from_bytes),
        purpose: may_text(&mut f, r, 4)?,
        permit: may_text(&mut f, r, 5)?,
    };
    f.end()?;
    Ok(policy)
}

fn read_completion(r: &mut Reader<'_>) -> Result<Completion, CodecError> {
    let mut f = r.map()?;
    let event = EventId::from_bytes(need_bytes(&mut f, r, 0)?);
    let time = need_time(&mut f, r, 1)?;
    let outcome = outcome_of(need_uint(&mut f, r, 2)?)?;
    let status = need_uint(&mut f, r, 3)?;
    f.need(r, 4)?;
    let completion = Completion {
        event,
        time,
        outcome,
        status: u16::try_from(status).map_err(|_large| CodecError::Value)?,
        reason: r.text(RECORD_REASON_BYTES_MAX)?.to_owned(),
        bytes: need_uint(&mut f, r, 5)?,
        object_bytes: if f.has(r, 6)? { Some(r.uint()?) } else { None },
    };
    f.end()?;
    Ok(completion)
}

fn read_whole(r: &mut Reader<'_>) -> Result<Entry, CodecError> {
    let mut f = r.map()?;
    f.need(r, 0)?;
    let (session, intent) = read_intent(r)?;
    f.need(r, 1)?;
    let completion = read_completion(r)?;
    f.end()?;
    if intent.event != completion.event {
        return Err(CodecError::Event);
    }
    Ok(Entry::Whole {
        session,
        intent,
        completion,
    })
}

fn read_mark(r: &mut Reader<'_>) -> Result<Entry, CodecError> {
    let mut f = r.map()?;
    let time = need_time(&mut f, r, 0)?;
    let kind = mark_of(need_uint(&mut f, r, 1)?)?;
    f.end()?;
    Ok(Entry::Mark { time, kind })
}

fn read_policy(r: &mut Reader<'_>) -> Result<Entry, CodecError> {
    let mut f = r.map()?;
    let version = need_bytes(&mut f, r, 0)?;
    f.need(r, 1)?;
    let text = r.text(POLICY_TEXT_BYTES_MAX)?.to_owned();
    f.end()?;
    Ok(Entry::Policy { version, text })
}

fn read_open(r: &mut Reader<'_>) -> Result<Vec<EventId>, CodecError> {
    let count = r.array(RECORD_EVENTS_MAX)?;
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        events.push(EventId::from_bytes(r.bytes()?));
    }
    if !events.is_sorted_by(|a, b| a < b) {
        return Err(CodecError::Canonical);
    }
    Ok(events)
}

/// A closed set of words, each with its number; both directions from one table.
macro_rules! codes {
    ($($type:ident: $to:ident $from:ident { $($name:ident = $code:literal),* })*) => {$(
        const fn $to(value: $type) -> u64 {
            match value { $($type::$name => $code,)* }
        }

        const fn $from(code: u64) -> Result<$type, CodecError> {
            match code { $($code => Ok($type::$name),)* _ => Err(CodecError::Value) }
        }
    )*};
}

codes! {
    AuthMethod: auth_code auth_of { None = 0, SigV4Header = 1, SigV4Query = 2, Local = 3, Bearer = 4 }
    Nature: nature_code nature_of { Normal = 0, Admin = 1, Log = 2, Emergency = 3 }
    Outcome: outcome_code outcome_of {
        Success = 0, Refused = 1, Failed = 2, Aborted = 3, OpenAtCrash = 4
    }
    MarkKind: mark_code mark_of { Opened = 0, Continued = 1, Resumed = 2, Closed = 3 }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
