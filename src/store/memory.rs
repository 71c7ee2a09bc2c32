//! A store in memory, for tests, benchmarks and trials. It keeps every promise of the port except
//! that nothing outlives the process.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::body::Exact;
use super::{BlobBody, BlobEntry, BlobStore, BlobStream, StoreError, probe};
use crate::types::{BlobId, Clock, Timestamp};

/// Blobs in a map.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    bytes_max: u64,
    blobs: Mutex<Blobs>,
}

#[derive(Default)]
struct Blobs {
    by_id: BTreeMap<BlobId, Blob>,
    bytes: u64,
}

struct Blob {
    sealed: Bytes,
    modified: Timestamp,
}

impl MemoryStore {
    /// An empty store without a bound.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, u64::MAX)
    }

    /// An empty store that is full when it holds `bytes_max` bytes.
    #[must_use]
    pub fn with_capacity(clock: Arc<dyn Clock>, bytes_max: u64) -> Self {
        Self {
            clock,
            bytes_max,
            blobs: Mutex::default(),
        }
    }

    /// The sealed bytes of a blob, for tests that look at what a thief of the store would see.
    #[must_use]
    pub fn sealed(&self, id: BlobId) -> Option<Bytes> {
        self.lock().by_id.get(&id).map(|blob| blob.sealed.clone())
    }

    /// Replaces a blob behind the vault's back, as a malicious store would; true if it was there.
    pub fn tamper(&self, id: BlobId, sealed: Bytes) -> bool {
        let mut blobs = self.lock();
        let Some(blob) = blobs.by_id.get_mut(&id) else {
            return false;
        };
        blob.sealed = sealed;
        true
    }

    fn lock(&self) -> MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        if self.lock().bytes.saturating_add(bytes) > self.bytes_max {
            return Err(StoreError::Full);
        }
        let mut chunks = Exact::new(bytes, body)
            .gather()
            .await
            .map_err(StoreError::Aborted)?;
        let sealed = match chunks.len() {
            1 => chunks.pop().unwrap_or_default(),
            _ => chunks.concat().into(),
        };
        let modified = self.clock.now();
        let mut blobs = self.lock();
        let total = blobs.bytes.saturating_add(bytes);
        if total > self.bytes_max {
            return Err(StoreError::Full);
        }
        if blobs.by_id.contains_key(&id) {
            return Err(StoreError::Taken);
        }
        blobs.by_id.insert(id, Blob { sealed, modified });
        blobs.bytes = total;
        Ok(())
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.put(id, bytes, body).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        let sealed = self.sealed(id).ok_or(StoreError::NotFound)?;
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        let other = u64::try_from(sealed.len()) != Ok(whole);
        if other || start >= end || end > sealed.len() {
            return Err(StoreError::Length);
        }
        let part = sealed.slice(start..end);
        Ok(Box::pin(stream::iter([Ok(part)])))
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        let mut blobs = self.lock();
        if let Some(blob) = blobs.by_id.remove(&id) {
            let bytes = u64::try_from(blob.sealed.len()).unwrap_or(u64::MAX);
            blobs.bytes = blobs.bytes.saturating_sub(bytes);
        }
        Ok(())
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.lock();
        let rest = blobs.by_id.range((start, Bound::Unbounded));
        let entries = rest.take(limit).map(|(id, blob)| BlobEntry {
            id: *id,
            bytes: u64::try_from(blob.sealed.len()).unwrap_or(u64::MAX),
            modified: blob.modified,
        });
        Ok(entries.collect())
    }

    fn presign(&self, _id: BlobId, _seconds: u64) -> Option<String> {
        None
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        probe::run(self, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{self, FixedClock, body};

    fn id(n: u8) -> BlobId {
        BlobId::from_bytes([n; 16])
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::holds(Arc::new(MemoryStore::new(Arc::new(FixedClock)))).await;
    }

    #[tokio::test]
    async fn is_full_at_its_capacity_and_has_room_again_after_a_deletion() {
        let store = MemoryStore::with_capacity(Arc::new(FixedClock), 10);
        store.put(id(1), 6, body(b"abcdef")).await.unwrap();
        let full = store.put(id(2), 5, body(b"abcde")).await;
        assert!(matches!(full, Err(StoreError::Full)));
        store.delete(id(1)).await.unwrap();
        store.put(id(2), 5, body(b"abcde")).await.unwrap();
    }

    #[tokio::test]
    async fn never_overwrites() {
        let store = MemoryStore::new(Arc::new(FixedClock));
        store.put(id(1), 3, body(b"old")).await.unwrap();
        store.put(id(1), 3, body(b"new")).await.unwrap_err();
        assert_eq!(store.sealed(id(1)).unwrap(), "old");
    }

    #[tokio::test]
    async fn tampering_shows() {
        let store = MemoryStore::new(Arc::new(FixedClock));
        assert!(!store.tamper(id(1), Bytes::new()));
        store.put(id(1), 3, body(b"old")).await.unwrap();
        assert!(store.tamper(id(1), Bytes::from_static(b"bad")));
        assert_eq!(store.sealed(id(1)).unwrap(), "bad");
    }
}
