//! The record of `docs/audit.md`, field by field; the numbers of the NEN 7513 mapping are those of
//! its table.
//!
//! A request makes an [`Intent`], durable before its first byte leaves, and a [`Completion`] with
//! what really happened. What repeats from request to request (who, from where, with which
//! credential) is a [`Session`], written once in each journal file and referred to by its hash.

use crate::types::{
    AccessKeyId, Action, ByteRange, DatasetName, EventId, GrantId, ObjectKey, PrincipalId,
    ProjectName, Timestamp, VersionId,
};

/// SHA-256 of a session's canonical bytes.
pub type SessionHash = [u8; 32];

/// How the caller proved who it is (18).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AuthMethod {
    /// It did not, or failed to.
    None,
    /// `SigV4` in the `Authorization` header.
    SigV4Header,
    /// `SigV4` in a presigned URL.
    SigV4Query,
    /// A command on the vault's own host.
    Local,
    /// A bearer credential: an organisation that tells who its people are.
    Bearer,
}

/// What repeats from request to request (11 to 18).
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Session {
    /// Who asks (11); `None` when nobody was recognised.
    pub principal: Option<PrincipalId>,
    /// The person a workload acts for (16).
    pub responsible: Option<PrincipalId>,
    /// The credential's public half (18).
    pub access_key: Option<AccessKeyId>,
    /// How it was proved (18).
    pub auth: AuthMethod,
    /// The peer's address (17).
    pub client_ip: String,
    /// The client's own name, cut to 256 bytes, control characters removed (17).
    pub user_agent: String,
    /// The gateway or command that wrote it (35).
    pub source: String,
}

/// Normal use, or one of the kinds that reviewers look for (8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Nature {
    /// Daily use.
    Normal,
    /// Administration.
    Admin,
    /// The log's own reading (AU-16).
    Log,
    /// Break-glass, and whatever it let somebody do (AZ-11).
    Emergency,
}

/// The decision and what it rests on (22, 24).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyRef {
    /// Whether it allowed.
    pub allowed: bool,
    /// The rule that decided, as text; empty when no rule matched (default deny).
    pub rule: String,
    /// SHA-256 of model, roles and the grants that were looked at.
    pub version: [u8; 32],
    /// The grant that allowed or denied.
    pub grant: Option<GrantId>,
    /// Its purpose (21).
    pub purpose: Option<String>,
    /// Its permit (22).
    pub permit: Option<String>,
}

/// What was touched (20, 25 to 26).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectRef {
    /// The project.
    pub project: Option<ProjectName>,
    /// The dataset.
    pub dataset: Option<DatasetName>,
    /// The object's key.
    pub key: Option<ObjectKey>,
    /// The object's version, where it is known.
    pub version: Option<VersionId>,
}

/// Written before anything is done (3, 6 to 10, 19 to 34).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// Ties intent and completion together (1).
    pub event: EventId,
    /// When the request began (3).
    pub time: Timestamp,
    /// What it asks, in the policy's words (6); `None` for what is no use case (a bad signature,
    /// an unknown operation).
    pub action: Option<Action>,
    /// The operation in the edge's words: `GetObject`, `audit tail` (6).
    pub operation: String,
    /// Its nature (8).
    pub nature: Nature,
    /// What it touches (25, 26).
    pub object: ObjectRef,
    /// The source of a copy.
    pub source_object: Option<ObjectRef>,
    /// The plaintext range asked for (32); `None` for all.
    pub range: Option<ByteRange>,
    /// A listing's prefix or a log query (31).
    pub query: Option<String>,
    /// The decision (24); `None` when it was refused before one could be made.
    pub policy: Option<PolicyRef>,
}

/// How a request ended (9).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Outcome {
    /// Done.
    Success,
    /// Not allowed, or the caller's fault.
    Refused,
    /// The vault's or the store's fault.
    Failed,
    /// The stream was cut before its end.
    Aborted,
    /// A crash came between intent and completion; whatever was asked may have been given.
    OpenAtCrash,
}

/// Written when a request has ended (4, 9, 32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The intent's event.
    pub event: EventId,
    /// When it ended (4).
    pub time: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// The status that the client got (HTTP), 0 where there is none.
    pub status: u16,
    /// The precise reason of a refusal or failure, for the auditor; never a secret.
    pub reason: String,
    /// Plaintext bytes handed to the socket (reads) or taken in (writes) (32).
    pub bytes: u64,
    /// The object's plaintext length, where known (32).
    pub object_bytes: Option<u64>,
}

/// What happened to a lane of the journal itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum MarkKind {
    /// A process began to write the lane; whatever was open before is closed right after this.
    Opened,
    /// The file before was full.
    Continued,
    /// The file before could no longer be trusted, because a write or a sync failed.
    Resumed,
    /// The lane was closed in good order.
    Closed,
}

/// One entry of a journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A session, before the first record that refers to it in this file.
    Session(Session),
    /// A request begins.
    Intent {
        /// Its session.
        session: SessionHash,
        /// What it asks.
        intent: Intent,
    },
    /// A request ended.
    Completion(Completion),
    /// A request that was refused, or an act of administration that is over: both in one.
    Whole {
        /// Its session.
        session: SessionHash,
        /// What it asked.
        intent: Intent,
        /// How it ended; its event is the intent's.
        completion: Completion,
    },
    /// The lane's own life.
    Mark {
        /// When.
        time: Timestamp,
        /// What happened.
        kind: MarkKind,
    },
    /// The text of a policy version, so that decisions under it can be replayed.
    Policy {
        /// The version that [`PolicyRef::version`] names.
        version: [u8; 32],
        /// Its text, at most `limits::POLICY_TEXT_BYTES_MAX` bytes.
        text: String,
    },
    /// Events whose intents stand in earlier files and that were open as this file began; at most
    /// `limits::RECORD_EVENTS_MAX`, in ascending order.
    Open(Vec<EventId>),
}

impl Entry {
    /// The event that it belongs to.
    #[must_use]
    pub const fn event(&self) -> Option<EventId> {
        match self {
            Self::Intent { intent, .. } | Self::Whole { intent, .. } => Some(intent.event),
            Self::Completion(completion) => Some(completion.event),
            Self::Session(_) | Self::Mark { .. } | Self::Policy { .. } | Self::Open(_) => None,
        }
    }

    /// When it happened: a request's begin for an intent, its end for a completion.
    #[must_use]
    pub const fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Intent { intent, .. } => Some(intent.time),
            Self::Completion(completion) | Self::Whole { completion, .. } => Some(completion.time),
            Self::Mark { time, .. } => Some(*time),
            Self::Session(_) | Self::Policy { .. } | Self::Open(_) => None,
        }
    }

    /// When its request began.
    #[must_use]
    pub const fn begun(&self) -> Option<Timestamp> {
        match self {
            Self::Intent { intent, .. } | Self::Whole { intent, .. } => Some(intent.time),
            Self::Session(_)
            | Self::Completion(_)
            | Self::Mark { .. }
            | Self::Policy { .. }
            | Self::Open(_) => None,
        }
    }

    /// The session that it refers to.
    #[must_use]
    pub const fn session(&self) -> Option<&SessionHash> {
        match self {
            Self::Intent { session, .. } | Self::Whole { session, .. } => Some(session),
            Self::Session(_)
            | Self::Completion(_)
            | Self::Mark { .. }
            | Self::Policy { .. }
            | Self::Open(_) => None,
        }
    }
}
