//! The port to the place where sealed blobs live. It is not trusted: what it returns is
//! authenticated by `seal`, and what it is told is ciphertext under random names.
//!
//! It needs PUT, ranged GET, DELETE and LIST of a store and nothing else.

mod body;
#[cfg(test)]
mod contract;
pub mod fault;
pub mod local;
pub mod locked;
pub mod memory;
mod probe;
pub mod s3;

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use crate::types::{BlobId, Timestamp};
// The contract suite names these through its parent.
#[cfg(test)]
use crate::types::{Clock, Entropy, EntropyError};

/// Sealed bytes on their way into the store. An error aborts the PUT and leaves nothing visible.
pub type BlobBody = Pin<Box<dyn Stream<Item = Result<Bytes, BodyAborted>> + Send>>;

/// Sealed bytes on their way out of the store.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// A store shared by every use case.
pub type SharedStore = Arc<dyn BlobStore>;

/// Whoever feeds a PUT gave up: the body was short, its checksum wrong, the client gone.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("the body of the blob was aborted by its sender")]
pub struct BodyAborted;

/// One blob as the store lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name.
    pub id: BlobId,
    /// Sealed length in bytes.
    pub bytes: u64,
    /// When the store says it was written.
    pub modified: Timestamp,
}

/// What a store did not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No such blob. At fault: the store, or whoever deleted behind the vault's back.
    #[error("the store has no such blob")]
    NotFound,
    /// The store sent fewer or more bytes than asked for. At fault: the store.
    #[error("the store sent a body of another length than asked for")]
    Length,
    /// The store asks to slow down, beyond the retries allowed.
    #[error("the store is throttling")]
    Throttled,
    /// The store did not answer, or stopped in the middle, within the bounds.
    #[error("the store did not answer in time")]
    Timeout,
    /// No space is left in the store.
    #[error("the store is full")]
    Full,
    /// The store refused the gateway's own credential. At fault: configuration.
    #[error("the store refused the gateway's credential")]
    Denied,
    /// The store has a blob of that name, and keeps it. At fault: whoever else wrote it.
    #[error("the store has a blob of that name already")]
    Taken,
    /// It keeps this one blob that it was told to delete, as a file that the system does not let
    /// go. At fault: whoever protected it. Of others it says nothing.
    #[error("the store keeps a blob that is to go: {reason}")]
    Kept {
        /// What it said, for the operator's log; never shown to a client.
        reason: String,
    },
    /// The sender of a PUT's body gave up; nothing was stored.
    #[error("the sender of the body gave up")]
    Aborted(#[source] BodyAborted),
    /// Any other fault of the store or the way to it.
    #[error("the store failed: {reason}")]
    Failed {
        /// What it said, for the operator's log; never shown to a client.
        reason: String,
    },
}

/// Where sealed blobs live. **A blob is written once and never rewritten.**
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Stores a blob of exactly `bytes` bytes; durable when it returns `Ok`. A body that is
    /// shorter, longer or aborted leaves nothing visible.
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError>;

    /// The same for a name that somebody else may take at the same time: a name that is taken is
    /// [`StoreError::Taken`], and what it holds stays. An S3 store refuses it if it is one that
    /// can: it is asked once, with a blob of its own.
    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError>;

    /// Opens a stream over exactly `range` of a blob's sealed bytes; the range is not empty.
    /// `whole` is how long the blob is as a whole: where the store holds another length, cut or
    /// extended, it errs with [`StoreError::Length`] before the first byte.
    /// The stream errs with [`StoreError::Length`] or [`StoreError::Timeout`] when the store ends
    /// early or stalls; it never yields more than was asked for.
    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError>;

    /// Deletes a blob; deleting what is absent is no error. [`StoreError::Kept`] where this one
    /// stays whatever becomes of others.
    async fn delete(&self, id: BlobId) -> Result<(), StoreError>;

    /// Up to `limit` blobs in order of their names, those after `after`. Foreign files in the
    /// store are passed over.
    async fn list(&self, after: Option<BlobId>, limit: usize)
    -> Result<Vec<BlobEntry>, StoreError>;

    /// A URL under which anybody reads a blob from the store itself for `seconds` from now on;
    /// `None` where the store has none to give.
    fn presign(&self, id: BlobId, seconds: u64) -> Option<String>;

    /// Proves, with a blob of its own, that the store does what this trait says, and names what
    /// it lacks.
    async fn probe(&self, id: BlobId) -> Result<(), StoreError>;
}
