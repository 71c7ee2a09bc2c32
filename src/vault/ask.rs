//! What the edges hand to the use cases, free of HTTP and XML.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::Stream;

use crate::catalog::{ObjectMeta, ObjectRow};
use crate::ledger::{Nature, Session};
use crate::types::{
    Action, ByteRange, ChecksumKind, Checksums, EventId, GrantId, Lock, PrincipalId, Timestamp,
    VersionName,
};
use crate::vault::lifecycle::Expires;

use super::{Bounds, PlainBody, VaultError};

/// One request on its way through the vault: who, since when, under which event.
pub struct Call {
    /// Who asks, as the log keeps it; no principal means that nobody was recognised.
    pub session: Arc<Session>,
    /// The request's name in the log.
    pub event: EventId,
    /// When it began.
    pub time: Timestamp,
    /// The edge's word for it: `GetObject`, `project create`.
    pub operation: &'static str,
    /// Its nature in the log.
    pub nature: Nature,
    /// What a session's credential is bound to; `None` for a lasting one.
    pub bounds: Option<Arc<Bounds>>,
    /// Whether a record of it stands in the log; the edge records what no use case did.
    pub recorded: Arc<AtomicBool>,
}

impl Call {
    /// Whether a record of this request stands in the log.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Acquire)
    }

    /// Whose rights count: those of the person in whose name a job reads, else the caller's own.
    pub(super) fn subject(&self) -> Option<&PrincipalId> {
        let person = self.bounds.as_deref().and_then(Bounds::person);
        person.or(self.session.principal.as_ref())
    }

    pub(super) fn mark_recorded(&self) {
        self.recorded.store(true, Ordering::Release);
    }
}

/// Why a body cannot be taken.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// It ended early: the connection broke, a final chunk or an announced trailer is missing.
    #[error("the body ended early")]
    Short,
    /// Its framing is broken, or it is longer than announced.
    #[error("the body's framing is broken")]
    Framing,
    /// A chunk's or the trailer's signature is wrong.
    #[error("a signature inside the body is wrong")]
    Signature,
    /// The payload's SHA-256 is not the signed one.
    #[error("the payload's hash is not the signed one")]
    PayloadHash,
    /// Nothing came for too long.
    #[error("the client stopped sending")]
    Stalled,
}

/// A request's body, decoded of all transfer framing.
pub type InputBody = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Asked when the body has ended: the checksums that came behind it, or what is wrong with its end.
pub type AtEnd = Box<dyn FnOnce() -> Result<Vec<(ChecksumKind, String)>, BodyError> + Send>;

/// What a body must agree with before it is committed.
#[derive(Default)]
pub struct BodyChecks {
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// `x-amz-checksum-*` headers, as base64.
    pub expected: Vec<(ChecksumKind, String)>,
    /// Kinds to compute beside those: announced in a trailer, or asked for without a value.
    pub compute: Vec<ChecksumKind>,
    /// Asked when the body has ended.
    pub at_end: Option<AtEnd>,
}

/// A body and what is known of it.
pub struct Input {
    /// Plaintext length in bytes, as announced.
    pub bytes: u64,
    /// The bytes.
    pub body: InputBody,
    /// What they must agree with.
    pub checks: BodyChecks,
}

/// `If-Match` or `If-None-Match`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagMatch {
    /// `*`.
    Any,
    /// Any of these tags, without quotes.
    Tags(Vec<String>),
}

/// Conditions of a read, or of a copy's source (RFC 9110, section 13).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReadConditions {
    /// `If-Match`.
    pub matches: Option<TagMatch>,
    /// `If-None-Match`.
    pub differs: Option<TagMatch>,
    /// `If-Modified-Since`, in whole seconds.
    pub modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`, in whole seconds.
    pub unmodified_since: Option<Timestamp>,
}

/// Conditions of a write or delete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteConditions {
    /// `If-Match`.
    pub matches: Option<TagMatch>,
    /// `If-None-Match`: `*`, or one tag.
    pub differs: Option<TagMatch>,
    /// When the object was written, in whole seconds (deletes).
    pub modified: Option<Timestamp>,
    /// How long it is, in bytes (deletes).
    pub bytes: Option<u64>,
}

impl WriteConditions {
    /// Whether their outcome tells of what is there no more than that there is something.
    pub(in crate::vault) fn tell_nothing(&self) -> bool {
        let Self {
            matches,
            differs,
            modified,
            bytes,
        } = self;
        matches.is_none()
            && !matches!(differs, Some(TagMatch::Tags(_)))
            && modified.is_none()
            && bytes.is_none()
    }
}

/// Which bytes are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Span {
    /// All.
    #[default]
    All,
    /// From this offset to the end.
    From(u64),
    /// From the first to the last offset, both included.
    Between(u64, u64),
    /// The last so many.
    Last(u64),
    /// The part of this number (1 to 10,000).
    Part(u32),
}

/// A read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReadAsk {
    /// Which bytes.
    pub span: Span,
    /// When.
    pub conditions: ReadConditions,
    /// Whether the checksums of all parts are asked for.
    pub parts: bool,
}

/// What a HEAD may tell.
pub struct Seen {
    /// The object; its part table is of no use outside the vault.
    pub row: Arc<ObjectRow>,
    /// The range that a read would return; `None` for all of it.
    pub range: Option<ByteRange>,
    /// The version's name, where versions are or were kept.
    pub version: Option<VersionName>,
    /// Whether its dataset has Object Lock.
    pub locking: bool,
    /// The checksums of the parts, where they were asked for: of one by its number, or of all.
    pub parts: Vec<Checksums>,
    /// When it expires, of a current object.
    pub expires: Option<Expires>,
}

impl Seen {
    /// Lets go of the sealed table, which may be long: who looks and reads needs it no more.
    pub(in crate::vault) fn shed(&mut self) {
        if let Some(row) = Arc::get_mut(&mut self.row) {
            row.sealed_table = Bytes::new();
        }
    }
}

/// An object being read: everything but the stream is known, and the record is durable.
pub struct Reading {
    /// What it is.
    pub seen: Seen,
    /// Its plaintext.
    pub body: PlainBody,
}

/// Where an object is, in the client's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Which version; `None` for the current one. A write has none.
    pub version: Option<VersionName>,
}

/// A copy's source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopySource<'a> {
    /// Where it is.
    pub place: Place<'a>,
    /// When it may be copied.
    pub conditions: ReadConditions,
    /// Which bytes (a part copied from a range).
    pub span: Span,
}

/// One part in a completion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompletedPart {
    /// Its number.
    pub number: u32,
    /// Its tag, without quotes.
    pub etag: String,
    /// Checksums that the client repeats.
    pub checksums: Vec<(ChecksumKind, String)>,
}

/// A completion.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Completing {
    /// The parts, in the client's order.
    pub parts: Vec<CompletedPart>,
    /// When.
    pub conditions: WriteConditions,
    /// The whole object's checksum, if the client says it.
    pub expected: Vec<(ChecksumKind, String)>,
    /// The whole object's length, if the client says it.
    pub bytes: Option<u64>,
}

/// One key to delete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Doomed {
    /// The key.
    pub key: String,
    /// The version to delete for good, if one is named.
    pub version: Option<VersionName>,
    /// When.
    pub conditions: WriteConditions,
    /// Whether governance may be bypassed.
    pub bypass: bool,
}

/// What a deletion did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// The version that was deleted for good, or the delete marker that was made; `None` where
    /// versions were never kept.
    pub version: Option<VersionName>,
    /// Whether that is a delete marker.
    pub marker: bool,
}

/// How one key of a `DeleteObjects` ended.
pub type Deleted = (Doomed, Result<Removed, VaultError>);

/// Tags, in order of name, each name once.
pub type Tags = Vec<(String, String)>;

/// What a copy does not take from its source.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replaced {
    /// Other metadata.
    pub meta: Option<ObjectMeta>,
    /// Other tags.
    pub tags: Option<Tags>,
    /// What else the copy is to have: none of it is the source's.
    pub wishes: Wishes,
}

/// What a request is recorded as when no use case recorded it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned<'a> {
    /// The bucket as the client wrote it.
    pub bucket: Option<&'a str>,
    /// The key as the client wrote it.
    pub key: Option<&'a str>,
    /// The status it was answered with.
    pub status: u16,
    /// The edge's error code.
    pub reason: &'a str,
}

/// The kind and metadata of a new object or upload.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewObject {
    /// Metadata.
    pub meta: ObjectMeta,
    /// Tags.
    pub tags: Tags,
    /// When it may be written.
    pub conditions: WriteConditions,
    /// What else it is to have.
    pub wishes: Wishes,
}

/// What a write asks for beside its object; what it does not say is as the dataset has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wishes {
    /// Lock it from the beginning; setting that takes a right of its own.
    pub lock: Lock,
    /// The name of the key that clients are to be told of.
    pub key: KeyWish,
}

/// Which key's name a write asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum KeyWish {
    /// The dataset's.
    #[default]
    Default,
    /// None.
    Unnamed,
    /// This one.
    Named(String),
}

/// What somebody holds over a dataset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holding {
    /// The grant.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// Whether it denies what it speaks of.
    pub denies: bool,
    /// What it speaks of.
    pub actions: Vec<Action>,
    /// Only keys that begin so.
    pub prefix: String,
    /// From when.
    pub starts: Timestamp,
    /// Until when.
    pub expires: Option<Timestamp>,
}
