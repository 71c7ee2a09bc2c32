//! The probe: does a store do what the port says? It writes one blob of its own, looks at it from
//! every side and deletes it, and names in one sentence what the store lacks.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::{BlobBody, BlobStore, BlobStream, BodyAborted, StoreError};
use crate::types::BlobId;

/// More than one chunk of any adapter and no multiple of a block.
const PROBE_BYTES: usize = 300_007;

/// Runs the probe under a name that no blob has; cleans up after itself also when it fails.
pub(super) async fn run(store: &dyn BlobStore, id: BlobId) -> Result<(), StoreError> {
    let found = check(store, id).await;
    let deleted = store.delete(id).await;
    found?;
    deleted.map_err(|e| lacks("deleting a blob failed", &e))?;
    let whole = u64::try_from(PROBE_BYTES).unwrap_or(u64::MAX);
    match read(store, id, 0..1, whole).await {
        Err(StoreError::NotFound) => {}
        Err(other) => return Err(lacks("reading a deleted blob failed otherwise", &other)),
        Ok(_) => return Err(failed("a blob can still be read after it was deleted")),
    }
    store
        .delete(id)
        .await
        .map_err(|e| lacks("deleting an absent blob is refused", &e))
}

async fn check(store: &dyn BlobStore, id: BlobId) -> Result<(), StoreError> {
    match read(store, id, 0..1, 1).await {
        Err(StoreError::NotFound) => {}
        Err(other) => return Err(lacks("reading an absent blob failed otherwise", &other)),
        Ok(_) => return Err(failed("an absent blob can be read")),
    }
    let sample = sample();
    let bytes = u64::try_from(sample.len()).unwrap_or(u64::MAX);
    let chunk: Result<Bytes, BodyAborted> = Ok(sample.clone());
    let body: BlobBody = Box::pin(stream::iter([chunk]));
    store
        .put(id, bytes, body)
        .await
        .map_err(|e| lacks("writing a blob failed", &e))?;
    for (range, what) in [
        (0..1, "the first byte of a blob"),
        (1..4_097, "a range near the start of a blob"),
        (150_000..280_001, "a range in the middle of a blob"),
        (bytes.saturating_sub(1)..bytes, "the last byte of a blob"),
        (0..bytes, "a whole blob"),
    ] {
        let expected = slice(&sample, &range);
        let got = read(store, id, range, bytes)
            .await
            .map_err(|e| lacks(&format!("reading {what} failed"), &e))?;
        if got != expected {
            return Err(failed(&format!("{what} came back as other bytes")));
        }
    }
    let more = bytes.saturating_add(1);
    if read(store, id, 0..more, more).await.is_ok() {
        return Err(failed("a range beyond the end of a blob was served"));
    }
    if read(store, id, 0..1, bytes.saturating_sub(1)).await.is_ok() {
        return Err(failed("it does not tell how long a blob is as a whole"));
    }
    listed(store, id, bytes).await
}

async fn listed(store: &dyn BlobStore, id: BlobId, bytes: u64) -> Result<(), StoreError> {
    let before = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
    let before = before.map(|n| BlobId::from_bytes(n.to_be_bytes()));
    let page = store
        .list(before, 1)
        .await
        .map_err(|e| lacks("listing failed", &e))?;
    match page.first() {
        Some(entry) if entry.id == id && entry.bytes == bytes => Ok(()),
        Some(entry) if entry.id == id => Err(failed("the listing tells a wrong length")),
        _ => Err(failed("a blob just written is missing in the listing")),
    }
}

async fn read(
    store: &dyn BlobStore,
    id: BlobId,
    range: Range<u64>,
    whole: u64,
) -> Result<BytesMut, StoreError> {
    let mut body: BlobStream = store.get(id, range, whole).await?;
    let mut all = BytesMut::new();
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

/// Bytes in which no two ranges of the probe look alike.
fn sample() -> Bytes {
    (0..u32::try_from(PROBE_BYTES).unwrap_or(0))
        .map(|n| {
            let [_, _, high, low] = n.wrapping_mul(40_503).to_be_bytes();
            high ^ low
        })
        .collect()
}

fn slice(sample: &Bytes, range: &Range<u64>) -> Bytes {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    Bytes::copy_from_slice(sample.get(start..end).unwrap_or_default())
}

/// Keeps a cause that the operator can act on; words the rest.
fn lacks(what: &str, error: &StoreError) -> StoreError {
    match error {
        StoreError::Denied => StoreError::Denied,
        StoreError::Timeout => StoreError::Timeout,
        StoreError::Throttled => StoreError::Throttled,
        StoreError::Full => StoreError::Full,
        StoreError::NotFound
        | StoreError::Length
        | StoreError::Taken
        | StoreError::Kept { .. }
        | StoreError::Aborted(_)
        | StoreError::Failed { .. } => failed(&format!("{what}: {error}")),
    }
}

fn failed(reason: &str) -> StoreError {
    StoreError::Failed {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::contract::FixedClock;
    use crate::store::fault::{DeleteFault, FaultStore, GetFault, ListFault, PutFault};
    use crate::store::memory::MemoryStore;

    const ID: BlobId = BlobId::from_bytes([9; 16]);

    fn faulty() -> FaultStore {
        FaultStore::new(Arc::new(MemoryStore::new(Arc::new(FixedClock))))
    }

    async fn reason(store: &FaultStore) -> String {
        run(store, ID).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_honest_store_passes_and_is_left_clean() {
        let store = faulty();
        run(&store, ID).await.unwrap();
        assert_eq!(store.list(None, 10).await.unwrap(), []);
    }

    #[tokio::test]
    async fn each_lack_is_named() {
        let store = faulty();
        store.always_get(GetFault::FlipBit { at: 299_000 });
        assert!(
            reason(&store)
                .await
                .contains("a whole blob came back as other bytes")
        );
        let store = faulty();
        store.on_put(1, PutFault::Drop);
        assert!(reason(&store).await.contains("first byte of a blob failed"));
        let store = faulty();
        store.on_delete(1, DeleteFault::Drop);
        assert!(reason(&store).await.contains("can still be read after"));
        let store = faulty();
        store.on_list(1, ListFault::Empty);
        assert!(reason(&store).await.contains("missing in the listing"));
        let store = faulty();
        store.always_get(GetFault::Truncate { by: 1 });
        assert!(reason(&store).await.contains("other bytes"));
    }

    #[tokio::test]
    async fn a_failed_probe_cleans_up() {
        let store = faulty();
        store.on_get(4, GetFault::Extend { by: 1 });
        run(&store, ID).await.unwrap_err();
        assert_eq!(store.list(None, 10).await.unwrap(), []);
    }
}
