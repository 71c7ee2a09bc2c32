//! What a use case may answer instead of success. Kinds say what the caller should do; the source
//! and the reason are for the operator and the auditor, never for the client.

use std::error::Error;
use std::fmt;

use crate::catalog::{CatalogError, Conflict};
use crate::journal::JournalError;
use crate::keyring::KeyRingError;
use crate::manifest::ManifestError;
use crate::policy::PolicyError;
use crate::seal::{OpenError, SealError};
use crate::store::StoreError;
use crate::types::{ETag, EntropyError, NameError, VersionName};

/// What went wrong, as coarse as a caller can act on. Every edge maps each kind in one total
/// `match`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ErrorKind {
    /// Not allowed, or not known to whoever may not know.
    AccessDenied,
    /// Allowed, had the caller signed in as the project demands.
    AssuranceTooLow,
    /// Not allowed any more, said to whoever held the grant.
    GrantOver,
    /// Not allowed yet, said to whoever holds the grant.
    GrantNotYet,
    /// Not allowed from here, said to whoever holds the grant.
    GrantElsewhere,
    /// A job's right is over, or another job's by now; said to a node that vouches for its account.
    JobOver,
    /// Allowed to her, once another person has approved it (AZ-10).
    TakesTwo,
    /// A token that says who somebody is is not believed.
    TokenInvalid,
    /// It is not in its time: get another one.
    TokenExpired,
    /// No such dataset, said to whoever may know.
    NoSuchDataset,
    /// No such published version of a dataset, said to whoever may know.
    NoSuchPublication,
    /// No such object, said to whoever may know.
    NoSuchObject,
    /// No such version of an object, said to whoever may know.
    NoSuchVersion,
    /// The version named is a delete marker: there is nothing to read.
    IsMarker,
    /// The dataset has no such setting.
    NoSuchSetting,
    /// No such upload.
    NoSuchUpload,
    /// A lock keeps the version, or its retention, as it is.
    Locked,
    /// A rule of a setting (CORS, lifecycle) is none.
    InvalidRule,
    /// The dataset has no Object Lock.
    NotLocking,
    /// The dataset's state does not allow it (Object Lock needs versions).
    InvalidState,
    /// Not all is said of the dataset that must be before it takes data (UP-6).
    NotDescribed,
    /// The dataset's label is above what the installation takes (AZ-13).
    AboveCeiling,
    /// The dataset has ended and is not used any more (ER-2).
    Quarantined,
    /// The dataset is there already.
    DatasetExists,
    /// The dataset still holds objects or uploads.
    DatasetNotEmpty,
    /// A condition of the request does not hold.
    PreconditionFailed,
    /// What the client has is still current (`If-None-Match` on a read).
    NotModified,
    /// Another writer came in between; try again.
    Conflict,
    /// The range lies beyond the object's end.
    InvalidRange,
    /// A name is not one.
    InvalidName,
    /// A project's or dataset's name is not one.
    InvalidBucket,
    /// An object key of more than 1,024 bytes.
    KeyTooLong,
    /// An argument is out of its bounds.
    InvalidArgument,
    /// User metadata beyond its bound.
    MetadataTooLarge,
    /// More tags than there may be.
    TooManyTags,
    /// A tag is none, or its name comes twice.
    InvalidTag,
    /// A body or object beyond its bound.
    TooLarge,
    /// A part smaller than it must be (S3's 5 MiB is not asked here; kept for the edge's table).
    PartTooSmall,
    /// A completion names a part that is not there, or with another tag.
    InvalidPart,
    /// A completion names parts out of order.
    InvalidPartOrder,
    /// The body ended before its announced length, or its framing is broken.
    IncompleteBody,
    /// The body is not what its checksum says.
    BadDigest,
    /// A chunk's or trailer's signature is wrong.
    BodySignature,
    /// The client stopped sending.
    BodyTimeout,
    /// No record can be made durable now: nothing is served (fail closed). Try again.
    LogUnavailable,
    /// The store or catalog is overloaded. Try again, slower.
    SlowDown,
    /// The store or catalog does not answer. Try again.
    Unavailable,
    /// No space is left. Nothing was written.
    Full,
    /// What the store or catalog returned does not authenticate. **No byte of it was handed out.**
    Integrity,
    /// A fault of the vault itself.
    Internal,
}

impl ErrorKind {
    /// The HTTP status that means the same; records keep it, whatever the edge was.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotModified => 304,
            Self::InvalidName
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::InvalidBucket
            | Self::KeyTooLong
            | Self::InvalidArgument
            | Self::MetadataTooLarge
            | Self::TooManyTags
            | Self::InvalidTag
            | Self::TooLarge
            | Self::PartTooSmall
            | Self::NotLocking
            | Self::InvalidRule
            | Self::InvalidPart
            | Self::InvalidPartOrder
            | Self::IncompleteBody
            | Self::BadDigest
            | Self::BodyTimeout => 400,
            Self::AccessDenied
            | Self::AssuranceTooLow
            | Self::GrantOver
            | Self::GrantNotYet
            | Self::GrantElsewhere
            | Self::JobOver
            | Self::TakesTwo
            | Self::BodySignature
            | Self::Locked
            | Self::AboveCeiling
            | Self::Quarantined => 403,
            Self::NoSuchDataset
            | Self::NoSuchPublication
            | Self::NoSuchObject
            | Self::NoSuchVersion
            | Self::NoSuchSetting
            | Self::NoSuchUpload => 404,
            Self::IsMarker => 405,
            Self::DatasetExists
            | Self::DatasetNotEmpty
            | Self::Conflict
            | Self::InvalidState
            | Self::NotDescribed => 409,
            Self::PreconditionFailed => 412,
            Self::InvalidRange => 416,
            Self::Integrity | Self::Internal => 500,
            Self::LogUnavailable | Self::SlowDown | Self::Unavailable => 503,
            Self::Full => 507,
        }
    }
}

/// A failed use case.
#[derive(Debug)]
pub struct VaultError {
    kind: ErrorKind,
    reason: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
    object: Option<(ETag, u64)>,
    marker: Option<VersionName>,
}

impl VaultError {
    /// An error whose reason is known here.
    #[must_use]
    pub const fn new(kind: ErrorKind, reason: &'static str) -> Self {
        Self {
            kind,
            reason,
            source: None,
            object: None,
            marker: None,
        }
    }

    /// An error with what caused it.
    #[must_use]
    pub fn caused(
        kind: ErrorKind,
        reason: &'static str,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            reason,
            source: Some(Box::new(source)),
            object: None,
            marker: None,
        }
    }

    /// Adds what the object is that the error is about, for a caller who may read it.
    pub(crate) fn about(self, etag: &ETag, bytes: u64) -> Self {
        Self {
            object: Some((etag.clone(), bytes)),
            ..self
        }
    }

    /// Adds the delete marker that is there instead of the object, for a caller who may know.
    pub(crate) fn marked(self, marker: VersionName) -> Self {
        Self {
            marker: Some(marker),
            ..self
        }
    }

    /// The delete marker that is there instead of the object.
    #[must_use]
    pub const fn marker(&self) -> Option<VersionName> {
        self.marker
    }

    /// The entity tag and length of the object that was not modified, or whose end the range lies
    /// beyond; said only to whoever may read it.
    #[must_use]
    pub const fn object(&self) -> Option<&(ETag, u64)> {
        self.object.as_ref()
    }

    /// Whether it was refused only because the dataset's key was replaced meanwhile.
    pub(super) fn is_retired_key(&self) -> bool {
        std::ptr::eq(self.reason, KEY_RETIRED)
    }

    /// What the caller can act on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The precise reason with all its causes, for the audit record and the operator's log.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut text = self.reason.to_owned();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl Error for VaultError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn Error + 'static) = source.as_ref();
            source
        })
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        let (kind, reason) = match &error {
            StoreError::NotFound => (ErrorKind::Integrity, "a blob is missing from the store"),
            StoreError::Length => (ErrorKind::Integrity, "the store sent another length"),
            StoreError::Throttled => (ErrorKind::SlowDown, "the store is throttling"),
            StoreError::Timeout => (ErrorKind::Unavailable, "the store did not answer"),
            StoreError::Full => (ErrorKind::Full, "the store is full"),
            StoreError::Denied => (ErrorKind::Unavailable, "the store refused the gateway"),
            StoreError::Aborted(_) => (ErrorKind::IncompleteBody, "the body was aborted"),
            StoreError::Taken => (ErrorKind::Unavailable, "the store has that name already"),
            StoreError::Kept { .. } => (ErrorKind::Unavailable, "the store keeps what is to go"),
            StoreError::Failed { .. } => (ErrorKind::Unavailable, "the store failed"),
        };
        Self::caused(kind, reason, error)
    }
}

impl From<CatalogError> for VaultError {
    fn from(error: CatalogError) -> Self {
        let (kind, reason) = match &error {
            CatalogError::Conflict(conflict) => {
                // The sentence says all of it: the catalog's own name for it is nobody's word.
                let (kind, reason) = of_conflict(*conflict);
                return Self::new(kind, reason);
            }
            CatalogError::Busy => (ErrorKind::SlowDown, "the catalog is busy"),
            CatalogError::Full => (ErrorKind::Full, "the catalog's disk takes no more"),
            CatalogError::Damaged { .. } => (ErrorKind::Integrity, "a row is damaged"),
            CatalogError::Schema { .. } | CatalogError::Failed { .. } => {
                (ErrorKind::Unavailable, "the catalog failed")
            }
        };
        Self::caused(kind, reason, error)
    }
}

/// What was written is sealed under a key that went out of use meanwhile.
const KEY_RETIRED: &str = "the dataset's key was replaced meanwhile";

/// One key that vouched for two nodes would be in both their partitions.
const KEY_TAKEN: &str = "the key is that of a node that is enrolled: each node has its own";

const fn of_conflict(conflict: Conflict) -> (ErrorKind, &'static str) {
    match conflict {
        Conflict::ProjectExists => (ErrorKind::Conflict, "the project is there already"),
        Conflict::PrincipalExists => (ErrorKind::Conflict, "the principal is there already"),
        Conflict::DatasetExists => (ErrorKind::DatasetExists, "the dataset is there already"),
        Conflict::NoProject => (ErrorKind::InvalidArgument, "no such project"),
        Conflict::NoPrincipal => (ErrorKind::InvalidArgument, "no such principal"),
        Conflict::NoCredential => (ErrorKind::InvalidArgument, "no such credential"),
        Conflict::NoGrant => (ErrorKind::InvalidArgument, "no such grant"),
        Conflict::GrantChanged => (
            ErrorKind::Conflict,
            "a grant that this rests on was changed meanwhile: look, and try again",
        ),
        Conflict::TooManyGrants => (
            ErrorKind::Conflict,
            "the project, or who is to hold this, has as many grants as there may be: withdraw some first",
        ),
        Conflict::NoGroup => (
            ErrorKind::InvalidArgument,
            "only persons and workloads are members, and only of groups",
        ),
        Conflict::IdentityTaken => (
            ErrorKind::Conflict,
            "the subject is linked already, or the principal to another one of the issuer",
        ),
        Conflict::NoIdentity => (ErrorKind::InvalidArgument, "the subject is not linked"),
        Conflict::TokenSpent => (ErrorKind::AccessDenied, "the token was used before"),
        Conflict::CardChanged => (ErrorKind::Conflict, "the description was changed meanwhile"),
        Conflict::LogTermsChanged => (
            ErrorKind::Conflict,
            "how the project's records are kept was changed meanwhile",
        ),
        Conflict::RosterChanged => (ErrorKind::Conflict, "another change came in between"),
        Conflict::NodeKeyTaken => (ErrorKind::Conflict, KEY_TAKEN),
        Conflict::NoApproval => (ErrorKind::InvalidArgument, "no such approval"),
        Conflict::ApprovalOver => (
            ErrorKind::Conflict,
            "the approval is over, or not where it must be",
        ),
        Conflict::TooManyWait => (
            ErrorKind::Conflict,
            "too many acts wait, of yours or of the project: take one back, or have one answered",
        ),
        Conflict::NoMember => (ErrorKind::InvalidArgument, "no such member"),
        Conflict::NoDataset => (ErrorKind::NoSuchDataset, "no such dataset"),
        Conflict::DatasetNotEmpty => (ErrorKind::DatasetNotEmpty, "the dataset is not empty"),
        Conflict::NoObject => (ErrorKind::NoSuchObject, "no such object"),
        Conflict::ObjectExists => (ErrorKind::PreconditionFailed, "an object is there already"),
        Conflict::ETagDiffers => (ErrorKind::PreconditionFailed, "the entity tag is another"),
        Conflict::Versioned => (ErrorKind::Conflict, "the dataset keeps versions"),
        Conflict::NoPublication => (ErrorKind::NoSuchVersion, "no such frozen dataset"),
        Conflict::NumberTaken => (
            ErrorKind::Conflict,
            "another version was published meanwhile",
        ),
        Conflict::Locked => (ErrorKind::Locked, "it is locked, or under legal hold"),
        Conflict::Locking => (ErrorKind::InvalidState, "Object Lock needs versions"),
        Conflict::NoUpload => (ErrorKind::NoSuchUpload, "no such upload"),
        Conflict::PartChanged => (ErrorKind::InvalidPart, "a part changed in between"),
        Conflict::KeyRetired => (ErrorKind::Conflict, KEY_RETIRED),
        Conflict::KeyWork => (
            ErrorKind::Conflict,
            "other work on the dataset's keys is not done yet",
        ),
        Conflict::NoKeyWork => (
            ErrorKind::InvalidArgument,
            "no such work on keys is under way",
        ),
        Conflict::BlobGone => (ErrorKind::Conflict, "the source was deleted in between"),
    }
}

impl From<JournalError> for VaultError {
    fn from(error: JournalError) -> Self {
        Self::caused(
            ErrorKind::LogUnavailable,
            "the record is not durable",
            error,
        )
    }
}

impl From<KeyRingError> for VaultError {
    fn from(error: KeyRingError) -> Self {
        if matches!(error, KeyRingError::NotFound) {
            // Trying again does not help: what it opened is gone for good.
            return Self::caused(ErrorKind::Integrity, "its key is destroyed", error);
        }
        Self::caused(ErrorKind::Unavailable, "a key cannot be had", error)
    }
}

impl From<SealError> for VaultError {
    fn from(error: SealError) -> Self {
        Self::caused(ErrorKind::Internal, "sealing failed", error)
    }
}

impl From<OpenError> for VaultError {
    fn from(error: OpenError) -> Self {
        Self::caused(
            ErrorKind::Integrity,
            "what was stored does not authenticate",
            error,
        )
    }
}

impl From<ManifestError> for VaultError {
    fn from(error: ManifestError) -> Self {
        let kind = match error {
            ManifestError::TooLarge => ErrorKind::TooLarge,
            ManifestError::Form | ManifestError::Signature | ManifestError::Digest => {
                ErrorKind::Integrity
            }
        };
        Self::caused(kind, "a manifest cannot be made or believed", error)
    }
}

impl From<PolicyError> for VaultError {
    fn from(error: PolicyError) -> Self {
        Self::caused(
            ErrorKind::AccessDenied,
            "the policy cannot be evaluated",
            error,
        )
    }
}

impl From<EntropyError> for VaultError {
    fn from(error: EntropyError) -> Self {
        Self::caused(ErrorKind::Internal, "no randomness to be had", error)
    }
}

impl From<NameError> for VaultError {
    fn from(error: NameError) -> Self {
        let kind = match error {
            NameError::KeyTooLong => ErrorKind::KeyTooLong,
            NameError::Length
            | NameError::Character
            | NameError::Bucket
            | NameError::BucketTooLong => ErrorKind::InvalidBucket,
            NameError::KeyEmpty | NameError::KeyControl | NameError::KeyDots => {
                ErrorKind::InvalidName
            }
        };
        Self::caused(kind, "not a name", error)
    }
}
