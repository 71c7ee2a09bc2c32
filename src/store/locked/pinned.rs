//! A store in which some blobs are read by their version: what was locked stays readable, whatever
//! was put over it or in front of it under the same name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;

use super::{SharedLocks, VersionId};
use crate::store::{BlobBody, BlobEntry, BlobStore, BlobStream, SharedStore, StoreError};
use crate::types::BlobId;

/// A store with pinned versions; all else is the inner store's.
pub struct PinnedStore {
    inner: SharedStore,
    locks: SharedLocks,
    pins: RwLock<BTreeMap<BlobId, VersionId>>,
}

impl PinnedStore {
    /// Without a pin.
    #[must_use]
    pub const fn new(inner: SharedStore, locks: SharedLocks) -> Self {
        Self {
            inner,
            locks,
            pins: RwLock::new(BTreeMap::new()),
        }
    }

    /// From here on these blobs are read by these versions, and no others are.
    pub fn pin(&self, pins: BTreeMap<BlobId, VersionId>) {
        *self.pins.write().unwrap_or_else(PoisonError::into_inner) = pins;
    }

    fn pinned(&self, id: BlobId) -> Option<VersionId> {
        let pins = self.pins.read().unwrap_or_else(PoisonError::into_inner);
        pins.get(&id).cloned()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl BlobStore for PinnedStore {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.inner.put(id, bytes, body).await
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.inner.put_new(id, bytes, body).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        match self.pinned(id) {
            Some(version) => self.locks.get_version(id, &version, range, whole).await,
            None => self.inner.get(id, range, whole).await,
        }
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        self.inner.delete(id).await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        self.inner.list(after, limit).await
    }

    fn presign(&self, id: BlobId, seconds: u64) -> Option<String> {
        self.inner.presign(id, seconds)
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        self.inner.probe(id).await
    }
}
