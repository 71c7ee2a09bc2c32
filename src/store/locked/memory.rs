//! Test equipment: a place in memory that keeps versions and locks by a clock that stands until it
//! is told to pass, and that lies on command. It is a store of blobs too.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::{After, LockStore, Version, VersionId, Versions};
use crate::store::body::Exact;
use crate::store::{BlobBody, BlobEntry, BlobStore, BlobStream, StoreError, probe};
use crate::types::{BlobId, Clock, Lock, Retention, Timestamp};

/// What it does other than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It has no locks.
    NoLocks,
    /// It says that it has locks and refuses each.
    RefusesLocks,
    /// It takes locks and forgets them.
    ForgetsLocks,
    /// It takes locks of what is written and none afterwards.
    RefusesToHold,
    /// It lets a lock be shortened.
    Shortens,
    /// It deletes what is locked.
    Deletes,
    /// It deletes what is locked to whoever asks to bypass.
    Bypasses,
    /// It refuses to delete and deletes all the same.
    Loses,
    /// It does not answer.
    Silent,
    /// It breaks where something is to be locked.
    Breaks,
    /// It breaks where something is to be deleted.
    BreaksOnDeletes,
}

struct Kept {
    seen: Version,
    bytes: Bytes,
    retention: Option<Retention>,
}

#[derive(Default)]
struct Inner {
    /// In the order in which they were made.
    versions: Vec<Kept>,
    made: u64,
    lie: Option<Lie>,
}

/// Versions in memory.
pub(crate) struct LockMemory {
    now: AtomicU64,
    inner: Mutex<Inner>,
}

impl Clock for LockMemory {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }
}

impl LockMemory {
    pub(crate) fn new() -> Arc<Self> {
        Self::at(crate::store::contract::FixedClock.now())
    }

    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(now.millis()),
            inner: Mutex::default(),
        })
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.now.store(now.millis(), Ordering::SeqCst);
    }

    pub(crate) fn lie(&self, lie: Option<Lie>) {
        self.lock().lie = lie;
    }

    /// How many versions there are, marks among them.
    pub(crate) fn count(&self) -> usize {
        self.lock().versions.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self) -> Result<Option<Lie>, StoreError> {
        match self.lock().lie {
            Some(Lie::Silent) => Err(StoreError::Timeout),
            lie => Ok(lie),
        }
    }

    fn push(&self, id: BlobId, bytes: Option<Bytes>, retention: Option<Retention>) -> VersionId {
        let modified = self.now();
        let mut inner = self.lock();
        inner.made += 1;
        let version = VersionId(format!("v{}", inner.made));
        let forgets = inner.lie == Some(Lie::ForgetsLocks);
        inner.versions.push(Kept {
            seen: Version {
                id,
                version: version.clone(),
                bytes: bytes.as_ref().map(|bytes| bytes.len() as u64),
                modified,
            },
            bytes: bytes.unwrap_or_default(),
            retention: retention.filter(|_| !forgets),
        });
        version
    }

    fn newest(&self, id: BlobId) -> Option<VersionId> {
        let inner = self.lock();
        let last = inner.versions.iter().rev().find(|kept| kept.seen.id == id);
        last.filter(|kept| kept.seen.bytes.is_some())
            .map(|kept| kept.seen.version.clone())
    }
}

fn failed(reason: &str) -> StoreError {
    StoreError::Failed {
        reason: reason.to_owned(),
    }
}

#[async_trait]
impl LockStore for LockMemory {
    async fn has_locks(&self) -> Result<bool, StoreError> {
        Ok(self.answer()? != Some(Lie::NoLocks))
    }

    async fn put_locked(
        &self,
        id: BlobId,
        bytes: Bytes,
        retention: Retention,
    ) -> Result<VersionId, StoreError> {
        if matches!(self.answer()?, Some(Lie::NoLocks | Lie::RefusesLocks)) {
            return Err(failed("400"));
        }
        if self.answer()? == Some(Lie::Breaks) {
            return Err(failed("it answered 500 InternalError"));
        }
        if retention.until <= self.now() {
            return Err(failed("a lock must end in the future"));
        }
        Ok(self.push(id, Some(bytes), Some(retention)))
    }

    async fn get_version(
        &self,
        id: BlobId,
        version: &VersionId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        self.answer()?;
        let inner = self.lock();
        let kept = inner
            .versions
            .iter()
            .find(|kept| kept.seen.id == id && kept.seen.version == *version);
        let kept = kept.ok_or(StoreError::NotFound)?;
        let bytes = kept.seen.bytes.ok_or(StoreError::NotFound)?;
        if bytes != whole || range.is_empty() || range.end > whole {
            return Err(StoreError::Length);
        }
        let at = |offset: u64| usize::try_from(offset).unwrap();
        let part = kept.bytes.slice(at(range.start)..at(range.end));
        Ok(Box::pin(stream::iter([Ok(part)])))
    }

    async fn retention(
        &self,
        id: BlobId,
        version: &VersionId,
    ) -> Result<Option<Retention>, StoreError> {
        self.answer()?;
        let inner = self.lock();
        let mut all = inner.versions.iter();
        let kept = all.find(|kept| kept.seen.id == id && kept.seen.version == *version);
        kept.map(|kept| kept.retention).ok_or(StoreError::NotFound)
    }

    async fn retain(
        &self,
        id: BlobId,
        version: &VersionId,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let lie = self.answer()?;
        if lie == Some(Lie::RefusesToHold) {
            return Err(failed("400"));
        }
        let now = self.now();
        let mut inner = self.lock();
        let mut all = inner.versions.iter_mut();
        let kept = all.find(|kept| kept.seen.id == id && kept.seen.version == *version);
        let kept = kept.ok_or(StoreError::NotFound)?;
        let lock = Lock {
            retention: kept.retention,
            hold: false,
        };
        if !lock.may_become(Some(retention), lie == Some(Lie::Shortens), now)
            && lie != Some(Lie::Shortens)
        {
            return Err(StoreError::Denied);
        }
        if lie != Some(Lie::ForgetsLocks) {
            kept.retention = Some(retention);
        }
        Ok(())
    }

    async fn delete_version(
        &self,
        id: BlobId,
        version: &VersionId,
        bypass: bool,
    ) -> Result<(), StoreError> {
        let lie = self.answer()?;
        if lie == Some(Lie::BreaksOnDeletes) {
            return Err(failed("it answered 503 Unavailable"));
        }
        let now = self.now();
        let mut inner = self.lock();
        let at = inner
            .versions
            .iter()
            .position(|kept| kept.seen.id == id && kept.seen.version == *version);
        // S3 deletes what is not there.
        let Some(at) = at else { return Ok(()) };
        let retention = inner.versions[at].retention;
        let lock = Lock {
            retention,
            hold: false,
        };
        let bypassed = bypass && (lie == Some(Lie::Bypasses) || lock.may_become(None, true, now));
        let gone = !lock.holds(now) || bypassed || lie == Some(Lie::Deletes);
        if gone || lie == Some(Lie::Loses) {
            inner.versions.remove(at);
        }
        if gone {
            Ok(())
        } else {
            Err(StoreError::Denied)
        }
    }

    async fn versions(&self, _after: Option<After>) -> Result<Versions, StoreError> {
        self.answer()?;
        let mut found: Vec<Version> = self
            .lock()
            .versions
            .iter()
            .map(|k| k.seen.clone())
            .collect();
        found.reverse();
        found.sort_by_key(|version| version.id);
        Ok(Versions { found, next: None })
    }
}

/// The same place as a store of blobs: a deletion leaves a mark, as in a bucket with versions.
#[async_trait]
impl BlobStore for LockMemory {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.answer()?;
        let chunks = Exact::new(bytes, body).gather().await;
        let whole = chunks.map_err(StoreError::Aborted)?.concat();
        self.push(id, Some(whole.into()), None);
        Ok(())
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        if self.newest(id).is_some() {
            return Err(StoreError::Taken);
        }
        self.put(id, bytes, body).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        self.answer()?;
        let version = self.newest(id).ok_or(StoreError::NotFound)?;
        self.get_version(id, &version, range, whole).await
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        self.answer()?;
        self.push(id, None, None);
        Ok(())
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        let mut entries = Vec::new();
        for seen in self.versions(None).await?.found {
            let newest = self.newest(seen.id);
            if newest.as_ref() == Some(&seen.version) && after.is_none_or(|after| seen.id > after) {
                entries.push(BlobEntry {
                    id: seen.id,
                    bytes: seen.bytes.unwrap_or_default(),
                    modified: seen.modified,
                });
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }

    fn presign(&self, _id: BlobId, _seconds: u64) -> Option<String> {
        None
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        probe::run(self, id).await
    }
}

#[tokio::test]
async fn it_keeps_the_contract_of_a_store_and_of_locks() {
    let place = LockMemory::new();
    crate::store::contract::holds(Arc::<LockMemory>::clone(&place)).await;
    super::contract::holds(&*place, place.now()).await;
}
