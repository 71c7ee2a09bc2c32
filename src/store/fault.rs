//! Test equipment: a store that fails and lies on command. "k → F" means fault F on the k'th call,
//! counted from 1 for each operation by itself. Never part of a running vault.
//!
//! The vault must survive whatever this does: an error stays an error, a lie never becomes a byte
//! of plaintext.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::{
    BlobBody, BlobEntry, BlobStore, BlobStream, BodyAborted, SharedStore, StoreError, probe,
};
use crate::types::{BlobId, Timestamp};

/// An error to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injected {
    /// [`StoreError::NotFound`]
    NotFound,
    /// [`StoreError::Length`]
    Length,
    /// [`StoreError::Throttled`]
    Throttled,
    /// [`StoreError::Timeout`]
    Timeout,
    /// [`StoreError::Full`]
    Full,
    /// [`StoreError::Denied`]
    Denied,
    /// [`StoreError::Kept`]
    Kept,
    /// [`StoreError::Aborted`]
    Aborted,
    /// [`StoreError::Failed`]
    Failed,
}

impl Injected {
    /// Every error that a store may give.
    pub const ALL: [Self; 9] = [
        Self::NotFound,
        Self::Length,
        Self::Throttled,
        Self::Timeout,
        Self::Full,
        Self::Denied,
        Self::Kept,
        Self::Aborted,
        Self::Failed,
    ];
}

impl From<Injected> for StoreError {
    fn from(injected: Injected) -> Self {
        match injected {
            Injected::NotFound => Self::NotFound,
            Injected::Length => Self::Length,
            Injected::Throttled => Self::Throttled,
            Injected::Timeout => Self::Timeout,
            Injected::Full => Self::Full,
            Injected::Denied => Self::Denied,
            Injected::Kept => Self::Kept {
                reason: "injected".to_owned(),
            },
            Injected::Aborted => Self::Aborted(BodyAborted),
            Injected::Failed => Self::Failed {
                reason: "injected".to_owned(),
            },
        }
    }
}

/// What goes wrong in a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutFault {
    /// Fails before the body is read; nothing is stored.
    Error(Injected),
    /// Fails after this many bytes of the body were read; nothing is stored.
    ErrorAfter {
        /// Bytes read first.
        bytes: u64,
        /// The error.
        error: Injected,
    },
    /// Stores the blob and answers with an error all the same: the caller cannot know.
    StoredButError(Injected),
    /// Reads the body, acknowledges it and stores nothing.
    Drop,
    /// Never answers.
    Hang,
    /// Answers late.
    Delay(Duration),
}

/// What goes wrong in a GET. Offsets are those of the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetFault {
    /// Fails instead of opening.
    Error(Injected),
    /// Opens, yields this many bytes of the range, then fails.
    ErrorAfter {
        /// Bytes yielded first.
        bytes: u64,
        /// The error.
        error: Injected,
    },
    /// Flips the lowest bit of the byte at this offset, if the range holds it.
    FlipBit {
        /// Offset in the blob.
        at: u64,
    },
    /// Ends without an error before the end of the range.
    Truncate {
        /// Bytes withheld.
        by: u64,
    },
    /// Goes on beyond the end of the range with zeros.
    Extend {
        /// Bytes added.
        by: u64,
    },
    /// Yields the same range of another blob: a swap, or a roll-back to an older one.
    Other(BlobId),
    /// Never answers.
    Hang,
    /// Opens, yields this many bytes of the range, then nothing more.
    Stall {
        /// Bytes yielded first.
        bytes: u64,
    },
    /// Answers late.
    Delay(Duration),
}

/// What goes wrong in a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteFault {
    /// Fails; nothing is deleted.
    Error(Injected),
    /// Acknowledges and deletes nothing.
    Drop,
    /// Never answers.
    Hang,
}

/// What goes wrong in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFault {
    /// Fails.
    Error(Injected),
    /// Claims that there is nothing.
    Empty,
    /// Never answers.
    Hang,
    /// Names of its own making, on and on.
    Endless,
}

/// Calls so far and what is to go wrong in which.
struct Plan<F> {
    calls: u64,
    faults: BTreeMap<u64, F>,
    always: Option<F>,
}

impl<F> Default for Plan<F> {
    fn default() -> Self {
        Self {
            calls: 0,
            faults: BTreeMap::new(),
            always: None,
        }
    }
}

impl<F: Copy> Plan<F> {
    fn next(&mut self) -> Option<F> {
        self.calls = self.calls.saturating_add(1);
        self.faults.remove(&self.calls).or(self.always)
    }
}

#[derive(Default)]
struct Plans {
    put: Plan<PutFault>,
    get: Plan<GetFault>,
    delete: Plan<DeleteFault>,
    list: Plan<ListFault>,
    swapped: BTreeMap<BlobId, BlobId>,
}

/// A store before which faults are injected.
pub struct FaultStore {
    inner: SharedStore,
    plans: Mutex<Plans>,
}

impl FaultStore {
    /// Honest until told otherwise.
    #[must_use]
    pub fn new(inner: SharedStore) -> Self {
        Self {
            inner,
            plans: Mutex::default(),
        }
    }

    /// Fault on the `k`'th PUT from the making of this store, counted from 1.
    pub fn on_put(&self, k: u64, fault: PutFault) {
        self.plans().put.faults.insert(k, fault);
    }

    /// Fault on the `k`'th GET.
    pub fn on_get(&self, k: u64, fault: GetFault) {
        self.plans().get.faults.insert(k, fault);
    }

    /// Fault on the `k`'th deletion.
    pub fn on_delete(&self, k: u64, fault: DeleteFault) {
        self.plans().delete.faults.insert(k, fault);
    }

    /// Fault on the `k`'th listing.
    pub fn on_list(&self, k: u64, fault: ListFault) {
        self.plans().list.faults.insert(k, fault);
    }

    /// Fault on every listing that has none of its own.
    pub fn always_list(&self, fault: ListFault) {
        self.plans().list.always = Some(fault);
    }

    /// Fault on every PUT that has none of its own.
    pub fn always_put(&self, fault: PutFault) {
        self.plans().put.always = Some(fault);
    }

    /// Fault on every GET that has none of its own.
    pub fn always_get(&self, fault: GetFault) {
        self.plans().get.always = Some(fault);
    }

    /// Fault on every deletion that has none of its own.
    pub fn always_delete(&self, fault: DeleteFault) {
        self.plans().delete.always = Some(fault);
    }

    /// From now on each of two blobs is read under the other's name.
    pub fn swap(&self, a: BlobId, b: BlobId) {
        let mut plans = self.plans();
        plans.swapped.insert(a, b);
        plans.swapped.insert(b, a);
    }

    /// Honest again; the calls are counted on.
    pub fn heal(&self) {
        let mut plans = self.plans();
        plans.put.faults.clear();
        plans.put.always = None;
        plans.get.faults.clear();
        plans.get.always = None;
        plans.delete.faults.clear();
        plans.delete.always = None;
        plans.list.faults.clear();
        plans.swapped.clear();
    }

    /// How often PUT, GET, DELETE and LIST were called.
    #[must_use]
    pub fn calls(&self) -> [u64; 4] {
        let plans = self.plans();
        [
            plans.put.calls,
            plans.get.calls,
            plans.delete.calls,
            plans.list.calls,
        ]
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        let swapped = self.plans().swapped.get(&id).copied();
        match swapped {
            Some(other) => self.other(other, range).await,
            None => self.inner.get(id, range, whole).await,
        }
    }

    /// Another blob than the one asked for, with a lie about its length.
    async fn other(&self, id: BlobId, range: Range<u64>) -> Result<BlobStream, StoreError> {
        let before = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
        let before = before.map(|n| BlobId::from_bytes(n.to_be_bytes()));
        let page = self.inner.list(before, 1).await?;
        let found = page.first().filter(|entry| entry.id == id);
        let whole = found.ok_or(StoreError::NotFound)?.bytes;
        self.inner.get(id, range, whole).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl BlobStore for FaultStore {
    async fn put(&self, id: BlobId, bytes: u64, mut body: BlobBody) -> Result<(), StoreError> {
        let fault = self.plans().put.next();
        match fault {
            None => self.inner.put(id, bytes, body).await,
            Some(PutFault::Error(error)) => Err(error.into()),
            Some(PutFault::ErrorAfter { bytes, error }) => {
                consume(&mut body, bytes).await?;
                Err(error.into())
            }
            Some(PutFault::StoredButError(error)) => {
                self.inner.put(id, bytes, body).await?;
                Err(error.into())
            }
            Some(PutFault::Drop) => consume(&mut body, u64::MAX).await,
            Some(PutFault::Hang) => std::future::pending().await,
            Some(PutFault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                self.inner.put(id, bytes, body).await
            }
        }
    }

    /// Counted and planned with the others.
    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.put(id, bytes, body).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        let fault = self.plans().get.next();
        let Some(fault) = fault else {
            return self.open(id, range, whole).await;
        };
        let bytes = range.end.saturating_sub(range.start);
        match fault {
            GetFault::Error(error) => Err(error.into()),
            GetFault::ErrorAfter { bytes, error } => {
                let rest = stream::iter([Err(error.into())]);
                let body = cut(self.open(id, range, whole).await?, bytes);
                Ok(Box::pin(body.chain(rest)))
            }
            GetFault::FlipBit { at } => {
                let body = self.open(id, range.clone(), whole).await?;
                Ok(flip(body, at.checked_sub(range.start)))
            }
            GetFault::Truncate { by } => Ok(cut(
                self.open(id, range, whole).await?,
                bytes.saturating_sub(by),
            )),
            GetFault::Extend { by } => {
                let zeros = vec![0; usize::try_from(by).unwrap_or(0)];
                let rest = stream::iter([Ok(Bytes::from(zeros))]);
                Ok(Box::pin(self.open(id, range, whole).await?.chain(rest)))
            }
            GetFault::Other(other) => self.other(other, range).await,
            GetFault::Hang => std::future::pending().await,
            GetFault::Stall { bytes } => {
                let body = cut(self.open(id, range, whole).await?, bytes);
                Ok(Box::pin(body.chain(stream::pending())))
            }
            GetFault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                self.open(id, range, whole).await
            }
        }
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        let fault = self.plans().delete.next();
        match fault {
            None => self.inner.delete(id).await,
            Some(DeleteFault::Error(error)) => Err(error.into()),
            Some(DeleteFault::Drop) => Ok(()),
            Some(DeleteFault::Hang) => std::future::pending().await,
        }
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        let fault = self.plans().list.next();
        match fault {
            None => self.inner.list(after, limit).await,
            Some(ListFault::Error(error)) => Err(error.into()),
            Some(ListFault::Empty) => Ok(Vec::new()),
            Some(ListFault::Hang) => std::future::pending().await,
            Some(ListFault::Endless) => Ok(made_up(after).take(limit).collect()),
        }
    }

    fn presign(&self, id: BlobId, seconds: u64) -> Option<String> {
        self.inner.presign(id, seconds)
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        probe::run(self, id).await
    }
}

/// Blobs that nobody wrote, in order behind `after`.
fn made_up(after: Option<BlobId>) -> impl Iterator<Item = BlobEntry> {
    let begin = after.map_or(0, |id| u128::from_be_bytes(*id.as_bytes()));
    (1..).map_while(move |step| {
        let id = begin.checked_add(step)?;
        Some(BlobEntry {
            id: BlobId::from_bytes(id.to_be_bytes()),
            bytes: 1,
            modified: Timestamp::from_millis(0),
        })
    })
}

/// Reads up to `bytes` bytes of a body and forgets them.
async fn consume(body: &mut BlobBody, bytes: u64) -> Result<(), StoreError> {
    let mut seen: u64 = 0;
    while seen < bytes {
        let Some(chunk) = body.next().await else {
            break;
        };
        let chunk = chunk.map_err(StoreError::Aborted)?;
        seen = seen.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// The first `bytes` bytes of a stream.
fn cut(body: BlobStream, bytes: u64) -> BlobStream {
    Box::pin(stream::unfold(
        (body, bytes),
        |(mut body, left)| async move {
            if left == 0 {
                return None;
            }
            let chunk = match body.next().await? {
                Ok(chunk) => chunk,
                Err(error) => return Some((Err(error), (body, 0))),
            };
            let keep = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            let left = left.saturating_sub(u64::try_from(keep).unwrap_or(u64::MAX));
            Some((Ok(chunk.slice(..keep)), (body, left)))
        },
    ))
}

/// A stream with one bit flipped at an offset from its own start.
fn flip(body: BlobStream, at: Option<u64>) -> BlobStream {
    let mut at = at.and_then(|at| usize::try_from(at).ok());
    Box::pin(body.map(move |chunk| {
        let chunk = chunk?;
        let Some(offset) = at else { return Ok(chunk) };
        if let Some(beyond) = offset.checked_sub(chunk.len()) {
            at = Some(beyond);
            return Ok(chunk);
        }
        at = None;
        let mut lie = BytesMut::from(&chunk[..]);
        if let Some(byte) = lie.get_mut(offset) {
            *byte ^= 1;
        }
        Ok(lie.freeze())
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::contract::{self, FixedClock, body, read};
    use crate::store::memory::MemoryStore;

    fn id(n: u8) -> BlobId {
        BlobId::from_bytes([n; 16])
    }

    async fn store() -> FaultStore {
        let store = FaultStore::new(Arc::new(MemoryStore::new(Arc::new(FixedClock))));
        store.put(id(1), 5, body(b"first")).await.unwrap();
        store.put(id(2), 6, body(b"second")).await.unwrap();
        store
    }

    #[tokio::test]
    async fn an_honest_one_keeps_the_contract() {
        let inner = Arc::new(MemoryStore::new(Arc::new(FixedClock)));
        contract::holds(Arc::new(FaultStore::new(inner))).await;
    }

    #[tokio::test]
    async fn each_error_comes_on_its_call_and_once() {
        for error in Injected::ALL {
            let store = store().await;
            let expected = StoreError::from(error).to_string();
            store.on_get(2, GetFault::Error(error));
            store.on_put(3, PutFault::Error(error));
            store.on_delete(1, DeleteFault::Error(error));
            store.on_list(1, ListFault::Error(error));
            assert_eq!(read(&store, id(1), 0..5, 5).await.unwrap(), b"first");
            let got = read(&store, id(1), 0..5, 5).await.unwrap_err();
            assert_eq!(got.to_string(), expected);
            let got = store.put(id(3), 1, body(b"x")).await.unwrap_err();
            assert_eq!(got.to_string(), expected);
            let got = store.delete(id(1)).await.unwrap_err();
            assert_eq!(got.to_string(), expected);
            let got = store.list(None, 1).await.unwrap_err();
            assert_eq!(got.to_string(), expected);
            assert_eq!(store.list(None, 9).await.unwrap().len(), 2);
            assert_eq!(store.calls(), [3, 2, 1, 2]);
        }
    }

    #[tokio::test]
    async fn each_lie_is_told() {
        let store = store().await;
        store.on_get(1, GetFault::FlipBit { at: 2 });
        store.on_get(2, GetFault::Truncate { by: 2 });
        store.on_get(3, GetFault::Extend { by: 1 });
        store.on_get(4, GetFault::Other(id(2)));
        assert_eq!(read(&store, id(1), 1..5, 5).await.unwrap(), b"isst");
        assert_eq!(read(&store, id(1), 0..5, 5).await.unwrap(), b"fir");
        assert_eq!(read(&store, id(1), 3..5, 5).await.unwrap(), b"st\0");
        assert_eq!(read(&store, id(1), 0..5, 5).await.unwrap(), b"secon");
        store.swap(id(1), id(2));
        assert_eq!(read(&store, id(2), 0..5, 6).await.unwrap(), b"first");
        store.heal();
        assert_eq!(read(&store, id(2), 0..6, 6).await.unwrap(), b"second");
    }

    #[tokio::test]
    async fn a_stream_may_fail_in_the_middle() {
        let store = store().await;
        let error = Injected::Timeout;
        store.on_get(1, GetFault::ErrorAfter { bytes: 2, error });
        let mut stream = store.get(id(1), 0..5, 5).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "fi");
        let end = stream.next().await.unwrap();
        assert!(matches!(end, Err(StoreError::Timeout)));
    }

    #[tokio::test]
    async fn a_put_may_vanish_or_be_there_in_spite_of_its_error() {
        let store = store().await;
        store.on_put(3, PutFault::Drop);
        store.on_put(4, PutFault::StoredButError(Injected::Timeout));
        let error = Injected::Full;
        store.on_put(5, PutFault::ErrorAfter { bytes: 1, error });
        store.put(id(3), 1, body(b"x")).await.unwrap();
        store.put(id(4), 1, body(b"x")).await.unwrap_err();
        let full = store.put(id(5), 1, body(b"x")).await;
        assert!(matches!(full, Err(StoreError::Full)));
        let there: Vec<_> = store.list(None, 9).await.unwrap();
        let there: Vec<_> = there.iter().map(|entry| entry.id).collect();
        assert_eq!(there, [id(1), id(2), id(4)]);
    }

    #[tokio::test]
    async fn a_hang_is_for_ever_and_a_deletion_may_be_a_lie() {
        let store = store().await;
        store.on_get(1, GetFault::Hang);
        store.on_put(3, PutFault::Hang);
        store.on_delete(1, DeleteFault::Drop);
        store.on_list(1, ListFault::Empty);
        assert!(futures_util::poll!(store.get(id(1), 0..1, 1)).is_pending());
        assert!(futures_util::poll!(store.put(id(3), 1, body(b"x"))).is_pending());
        store.delete(id(1)).await.unwrap();
        assert_eq!(store.list(None, 9).await.unwrap(), []);
        assert_eq!(read(&store, id(1), 0..5, 5).await.unwrap(), b"first");
    }
}
