//! The port to a place that keeps versions of blobs and locks them (S3 Object Lock): what is locked
//! there is refused to everybody who wants it gone before its moment, to Kluis too.
//!
//! It stands beside [`BlobStore`](super::BlobStore), whose reads and writes know nothing of it.
//! What the place says of its locks is believed only as far as `prove` has seen it refuse.

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
pub(crate) mod memory;
mod pinned;
mod prove;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::pinned::PinnedStore;
pub use self::prove::{PROBE, Proved, prove};
use super::{BlobStream, StoreError};
#[cfg(test)]
use crate::types::RetentionMode;
use crate::types::{BlobId, Retention, Timestamp};

/// A place with locks, shared.
pub type SharedLocks = Arc<dyn LockStore>;

/// What a store calls one version of a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionId(String);

/// The longest name of a version that is taken from a store: S3's have at most 1,024 bytes.
const VERSION_BYTES_MAX: usize = 1_024;

impl VersionId {
    /// A name as a store says it; `None` where it cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let plain = name.bytes().all(|b| b.is_ascii_graphic());
        let good = plain && (1..=VERSION_BYTES_MAX).contains(&name.len());
        good.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One version as a store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Of which blob.
    pub id: BlobId,
    /// Its own name.
    pub version: VersionId,
    /// Its length in bytes; `None` for a mark that says the blob was deleted.
    pub bytes: Option<u64>,
    /// When the store says it was made.
    pub modified: Timestamp,
}

/// Where a listing of versions goes on: behind this key and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    pub(in crate::store) key: String,
    pub(in crate::store) version: String,
}

/// A page of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    /// Those of blobs, marks among them; foreign names are passed over.
    pub found: Vec<Version>,
    /// Where it goes on; `None` at its end.
    pub next: Option<After>,
}

/// Whether the place said no, and will again: that it breaks, is busy or cannot be reached is no
/// answer. What a lock forbids AWS and most refuse with 403, some with 409, `MinIO` with 400.
#[must_use]
pub fn says_no(error: &StoreError) -> bool {
    let passing = [
        "408",
        "425",
        "429",
        "400 RequestTimeout",
        "409 OperationAborted",
    ];
    match error {
        StoreError::Denied | StoreError::Kept { .. } => true,
        StoreError::Failed { reason } => {
            let word = reason.strip_prefix("it answered ").unwrap_or_default();
            let final_word = word.starts_with('4') || word.starts_with("501");
            final_word && !passing.iter().any(|passing| word.starts_with(passing))
        }
        StoreError::NotFound
        | StoreError::Length
        | StoreError::Throttled
        | StoreError::Timeout
        | StoreError::Full
        | StoreError::Taken
        | StoreError::Aborted(_) => false,
    }
}

/// A place whose blobs have versions and locks.
#[async_trait]
pub trait LockStore: Send + Sync + 'static {
    /// Whether locks can be set here at all.
    async fn has_locks(&self) -> Result<bool, StoreError>;

    /// Stores a blob under a lock from its first moment; what the store calls this version.
    async fn put_locked(
        &self,
        id: BlobId,
        bytes: Bytes,
        retention: Retention,
    ) -> Result<VersionId, StoreError>;

    /// As [`BlobStore::get`](super::BlobStore::get), of one version, whatever became of its name.
    async fn get_version(
        &self,
        id: BlobId,
        version: &VersionId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError>;

    /// What locks a version; `None` where nothing does.
    async fn retention(
        &self,
        id: BlobId,
        version: &VersionId,
    ) -> Result<Option<Retention>, StoreError>;

    /// Locks a version, or lengthens its lock. An error that [`says_no`] where that would shorten
    /// it.
    async fn retain(
        &self,
        id: BlobId,
        version: &VersionId,
        retention: Retention,
    ) -> Result<(), StoreError>;

    /// Deletes one version. An error that [`says_no`] while it is locked. `bypass` asks for what
    /// only governance may grant, and only `prove` asks for it.
    async fn delete_version(
        &self,
        id: BlobId,
        version: &VersionId,
        bypass: bool,
    ) -> Result<(), StoreError>;

    /// Versions in order of their blobs' names, a page of them: of one blob, or of all.
    async fn versions(
        &self,
        of: Option<BlobId>,
        after: Option<After>,
    ) -> Result<Versions, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_an_answer_and_final_is_a_no() {
        let failed = |reason: &str| StoreError::Failed {
            reason: reason.to_owned(),
        };
        for no in [
            "it answered 400 InvalidRequest: Object is WORM protected and cannot be overwritten",
            "it answered 409 InvalidObjectState",
            "it answered 405 MethodNotAllowed",
            "it answered 501 NotImplemented",
        ] {
            assert!(says_no(&failed(no)), "{no}");
        }
        assert!(says_no(&StoreError::Denied));
        for other in [
            "it answered 500 InternalError",
            "it answered 503",
            "it answered 408",
            "it answered 429",
            "it answered 400 RequestTimeout: no data",
            "it answered 409 OperationAborted: try again",
            "no connection: Connection refused (os error 111)",
            "connection closed before message completed",
            "its answer cannot be understood",
            "its answer was cut",
            "the store's answer is too long",
            "the bucket does not exist",
            "",
        ] {
            assert!(!says_no(&failed(other)), "{other}");
        }
        for other in [
            StoreError::NotFound,
            StoreError::Timeout,
            StoreError::Throttled,
            StoreError::Length,
        ] {
            assert!(!says_no(&other), "{other}");
        }
    }
}
