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
use crate::types::{BlobId, Clock, Lock, Retention, RetentionMode, Timestamp};

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
    /// It breaks where something is to be deleted that is locked no more.
    BreaksOnOld,
    /// It has no line left where something is to be locked.
    Unreachable,
    /// It cuts the line where a lock is to be changed or something deleted.
    Resets,
    /// It refuses what a lock forbids as `MinIO` does, which says 400.
    Says400,
    /// It lets governance become compliance.
    Raises,
    /// The credential may not ask for locks and versions.
    MayNotAsk,
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

    #[cfg(feature = "audit")]
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

    /// The same, of what a credential may lack the right to.
    fn may_ask(&self) -> Result<Option<Lie>, StoreError> {
        match self.answer()? {
            Some(Lie::MayNotAsk) => Err(StoreError::Denied),
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

/// What is said to whoever wants what a lock forbids.
fn forbidden(lie: Option<Lie>) -> StoreError {
    if lie == Some(Lie::Says400) {
        let words = "Object is WORM protected and cannot be overwritten";
        return failed(&format!("it answered 400 InvalidRequest: {words}"));
    }
    StoreError::Denied
}

#[async_trait]
impl LockStore for LockMemory {
    async fn has_locks(&self) -> Result<bool, StoreError> {
        Ok(self.may_ask()? != Some(Lie::NoLocks))
    }

    async fn put_locked(
        &self,
        id: BlobId,
        bytes: Bytes,
        retention: Retention,
    ) -> Result<VersionId, StoreError> {
        if matches!(self.answer()?, Some(Lie::NoLocks | Lie::RefusesLocks)) {
            let words = "it answered 400 InvalidRequest: Bucket is missing ObjectLockConfiguration";
            return Err(failed(words));
        }
        if self.answer()? == Some(Lie::Breaks) {
            return Err(failed("it answered 500 InternalError"));
        }
        if self.answer()? == Some(Lie::Unreachable) {
            return Err(failed("no connection: Connection refused (os error 111)"));
        }
        if retention.until <= self.now() {
            let words = "it answered 400 InvalidArgument: The date must be in the future";
            return Err(failed(words));
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
        self.may_ask()?;
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
        let lie = self.may_ask()?;
        if lie == Some(Lie::RefusesToHold) {
            return Err(failed("it answered 400 InvalidRequest"));
        }
        if lie == Some(Lie::Resets) {
            return Err(failed("connection closed before message completed"));
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
        let raised = lie == Some(Lie::Raises)
            && retention.mode == RetentionMode::Compliance
            && kept
                .retention
                .is_none_or(|old| old.until <= retention.until);
        if !lock.may_become(Some(retention), false, now) && !raised && lie != Some(Lie::Shortens) {
            return Err(forbidden(lie));
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
            return Err(failed("it answered 500 InternalError"));
        }
        if lie == Some(Lie::Resets) {
            return Err(failed("connection closed before message completed"));
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
        if lie == Some(Lie::BreaksOnOld) && !lock.holds(now) {
            return Err(failed("it answered 500 InternalError"));
        }
        let bypassed = bypass && (lie == Some(Lie::Bypasses) || lock.may_become(None, true, now));
        let gone = !lock.holds(now) || bypassed || lie == Some(Lie::Deletes);
        if gone || lie == Some(Lie::Loses) {
            inner.versions.remove(at);
        }
        if gone { Ok(()) } else { Err(forbidden(lie)) }
    }

    async fn versions(
        &self,
        of: Option<BlobId>,
        _after: Option<After>,
    ) -> Result<Versions, StoreError> {
        self.may_ask()?;
        let inner = self.lock();
        let wanted = |kept: &&Kept| of.is_none_or(|of| kept.seen.id == of);
        let kept = inner.versions.iter().filter(wanted);
        let mut found: Vec<Version> = kept.map(|kept| kept.seen.clone()).collect();
        drop(inner);
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
        self.answer()?;
        let mut all: Vec<Version> = {
            let inner = self.lock();
            inner
                .versions
                .iter()
                .map(|kept| kept.seen.clone())
                .collect()
        };
        all.sort_by_key(|seen| seen.id);
        for seen in all {
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
