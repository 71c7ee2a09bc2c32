//! The contract of the port as tests: whatever keeps it can hold blobs. It names nothing but what
//! its parent module imports, so that an integration test includes this file by its path too.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};

use super::{BlobBody, BlobId, BlobStore, BodyAborted, SharedStore, StoreError};
use super::{Clock, Entropy, EntropyError, Timestamp};

/// A clock that stands at 2027-03-02T08:15:04.112Z.
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_803_975_304_112)
    }
}

/// Entropy that counts: never twice the same, the same in each run.
#[derive(Default)]
pub(crate) struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A body of one chunk.
pub(crate) fn body(bytes: &'static [u8]) -> BlobBody {
    chunks(vec![Ok(Bytes::from_static(bytes))])
}

/// A body of these chunks.
pub(crate) fn chunks(chunks: Vec<Result<Bytes, BodyAborted>>) -> BlobBody {
    Box::pin(stream::iter(chunks))
}

/// Bytes that differ at every offset near and far.
pub(crate) fn sample(bytes: usize) -> Bytes {
    let mut x = 0x2545_f491_u32;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x.to_be_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

/// A name that this run of the contract has not used: the store may hold blobs of earlier runs.
fn fresh(run: u64) -> BlobId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let high = (run ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    BlobId::from_bytes(((u128::from(high) << 64) | u128::from(n)).to_be_bytes())
}

/// Reads a range of a blob of `whole` bytes to its end.
pub(crate) async fn read(
    store: &dyn BlobStore,
    id: BlobId,
    range: Range<u64>,
    whole: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut body = store.get(id, range, whole).await?;
    let mut all = Vec::new();
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

/// Panics where the store breaks the contract. Leaves the store as it found it.
pub(crate) async fn holds(store: SharedStore) {
    // Runs differ by the process, so that a store that outlives it holds no name twice.
    let run = u64::from(std::process::id()) << 32;
    ranges(&*store, run).await;
    many_chunks(&*store, run).await;
    wrong_bodies(&*store, run).await;
    absent(&*store, run).await;
    listing(&*store, run).await;
    side_by_side(&store, run).await;
    unread_streams(&*store, run).await;
    taken_names(&*store, run).await;
    store.probe(fresh(run)).await.expect("the probe passes");
}

async fn ranges(store: &dyn BlobStore, run: u64) {
    let id = fresh(run);
    let sample = sample(10_000);
    let whole = chunks(vec![Ok(sample.clone())]);
    store.put(id, 10_000, whole).await.expect("a small PUT");
    for range in [0..1, 0..10_000, 9_999..10_000, 1..9_999, 4_096..8_192_u16] {
        let expected = &sample[range.start.into()..range.end.into()];
        let got = read(store, id, range.start.into()..range.end.into(), 10_000).await;
        assert!(got.expect("a range") == expected, "{range:?}");
    }
    for beyond in [
        0..10_001,
        9_999..10_001,
        10_000..10_001,
        1_000_000..1_000_001,
    ] {
        let got = read(store, id, beyond.clone(), 10_000).await;
        assert!(
            matches!(got, Err(StoreError::Length)),
            "{beyond:?}: {got:?}"
        );
    }
    // Cut or extended behind the vault's back: no byte of it is read.
    for whole in [0, 1, 9_999, 10_001, u64::MAX] {
        for range in [0..1, 0..10_000, 9_999..10_000] {
            let got = store.get(id, range.clone(), whole).await.err();
            let told = matches!(got, Some(StoreError::Length));
            assert!(told, "{range:?} of {whole}: {got:?}");
        }
    }
    store.delete(id).await.expect("a deletion");
}

async fn many_chunks(store: &dyn BlobStore, run: u64) {
    for total in [1_usize, 262_143, 262_144, 262_145, 3_000_001] {
        let id = fresh(run);
        let sample = sample(total);
        let pieces = sample.chunks(65_552).map(Bytes::copy_from_slice).map(Ok);
        let bytes = total as u64;
        let put = store.put(id, bytes, chunks(pieces.collect())).await;
        put.expect("a PUT of many chunks");
        let got = read(store, id, 0..bytes, bytes)
            .await
            .expect("the whole blob");
        assert!(got == sample, "{total} bytes differ");
        let tail = read(store, id, bytes / 2..bytes, bytes)
            .await
            .expect("its tail");
        assert!(
            tail == sample[total / 2..],
            "the tail of {total} bytes differs"
        );
        store.delete(id).await.expect("a deletion");
    }
}

async fn wrong_bodies(store: &dyn BlobStore, run: u64) {
    for total in [1_000_usize, 1_000_000] {
        let bytes = total as u64;
        let (a, b) = (sample(total / 2), sample(total / 2));
        for (what, parts) in [
            ("nothing", vec![]),
            ("short", vec![Ok(a.clone())]),
            ("long", vec![Ok(a.clone()), Ok(b.clone()), Ok(b.clone())]),
            ("aborted", vec![Ok(a.clone()), Err(BodyAborted)]),
            ("aborted at the end", vec![Ok(a), Ok(b), Err(BodyAborted)]),
        ] {
            let id = fresh(run);
            let put = store.put(id, bytes, chunks(parts)).await;
            assert!(
                matches!(put, Err(StoreError::Aborted(_))),
                "{what}: {put:?}"
            );
            let got = read(store, id, 0..1, 1).await;
            assert!(matches!(got, Err(StoreError::NotFound)), "{what}: {got:?}");
        }
    }
}

async fn absent(store: &dyn BlobStore, run: u64) {
    let id = fresh(run);
    let got = read(store, id, 0..1, 1).await;
    assert!(matches!(got, Err(StoreError::NotFound)), "{got:?}");
    store.delete(id).await.expect("deleting what is absent");
    store.put(id, 1, body(b"x")).await.expect("a PUT");
    store.delete(id).await.expect("a deletion");
    store.delete(id).await.expect("a second deletion");
    let got = read(store, id, 0..1, 1).await;
    assert!(matches!(got, Err(StoreError::NotFound)), "{got:?}");
}

async fn listing(store: &dyn BlobStore, run: u64) {
    let mut ids: Vec<_> = (0..7).map(|_| fresh(run)).collect();
    for (id, n) in ids.iter().zip(1_usize..) {
        let put = store.put(*id, n as u64, chunks(vec![Ok(sample(n))]));
        put.await.expect("a PUT");
    }
    let lengths: Vec<_> = ids.iter().copied().zip(1_u64..).collect();
    let all = store.list(None, 1_000_000).await.expect("a listing");
    assert!(
        all.is_sorted_by(|a, b| a.id < b.id),
        "the listing is out of order"
    );
    for (id, bytes) in lengths {
        let entry = all.iter().find(|e| e.id == id).expect("the blob is listed");
        assert_eq!(entry.bytes, bytes);
        assert!(entry.modified.millis() > 1_500_000_000_000, "{entry:?}");
    }
    for limit in [1, 2, 3, all.len()] {
        let mut walked = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(after, limit).await.expect("a page");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            walked.extend(page);
        }
        assert_eq!(walked, all, "in pages of {limit}");
    }
    assert_eq!(store.list(None, 0).await.expect("an empty page"), []);
    let gone = ids.pop().expect("an id");
    store.delete(gone).await.expect("a deletion");
    let rest = store.list(None, 1_000_000).await.expect("a listing");
    assert!(
        rest.iter().all(|e| e.id != gone),
        "a deleted blob is listed"
    );
    for id in ids {
        store.delete(id).await.expect("a deletion");
    }
}

async fn side_by_side(store: &SharedStore, run: u64) {
    let ids: BTreeSet<_> = (0..24).map(|_| fresh(run)).collect();
    let work = ids.iter().zip(1_usize..).map(|(id, n)| async move {
        let sample = sample(n * 20_000);
        let bytes = sample.len() as u64;
        let put = store.put(*id, bytes, chunks(vec![Ok(sample.clone())]));
        put.await.expect("a PUT among many");
        let got = read(&**store, *id, 0..bytes, bytes).await;
        assert!(got.expect("a GET among many") == sample);
        store.delete(*id).await.expect("a deletion among many");
    });
    future::join_all(work).await;
}

/// A stream that nobody reads to its end costs the store nothing that lasts.
/// A name is taken once; a store that cannot tell keeps one of both.
async fn taken_names(store: &dyn BlobStore, run: u64) {
    let id = fresh(run);
    store.put_new(id, 5, body(b"first")).await.expect("a PUT");
    let again = store.put_new(id, 5, body(b"other")).await;
    let expected: &[u8] = match again {
        Ok(()) => b"other",
        Err(StoreError::Taken) => b"first",
        Err(other) => panic!("{other}"),
    };
    assert_eq!(read(store, id, 0..5, 5).await.expect("a GET"), expected);
    store.delete(id).await.expect("deleted");
}

async fn unread_streams(store: &dyn BlobStore, run: u64) {
    let id = fresh(run);
    let sample = sample(2_000_000);
    let put = store.put(id, 2_000_000, chunks(vec![Ok(sample.clone())]));
    put.await.expect("a PUT");
    for _ in 0..40 {
        let mut half = store
            .get(id, 0..2_000_000, 2_000_000)
            .await
            .expect("a stream");
        half.next().await.expect("a chunk").expect("a chunk");
    }
    let got = read(store, id, 1_999_000..2_000_000, 2_000_000).await;
    assert!(got.expect("the end of the blob") == sample[1_999_000..]);
    store.delete(id).await.expect("a deletion");
}
