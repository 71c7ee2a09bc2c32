//! The contract of a place with locks as a test: against memory here, against a real store in
//! `tests/store_s3.rs`. It leaves blobs that are locked for minutes.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{
    BlobId, LockStore, Proved, Retention, RetentionMode, StoreError, Timestamp, VersionId, prove,
};

const HOUR_MS: u64 = 60 * 60 * 1000;

async fn read(
    place: &dyn LockStore,
    id: BlobId,
    version: &VersionId,
    whole: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut body = place.get_version(id, version, 0..whole, whole).await?;
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// Panics where a place does not keep its locks.
pub(crate) async fn holds(place: &dyn LockStore, now: Timestamp) {
    assert!(place.has_locks().await.expect("an answer"));
    for (n, mode) in [
        (1_u8, RetentionMode::Compliance),
        (2, RetentionMode::Governance),
    ] {
        let told = prove(place, mode, now).await.expect("an answer");
        assert_eq!(told, Proved::Keeps, "{mode:?}");
        locked(place, BlobId::from_bytes([n; 16]), mode, now).await;
    }
    listing(place, now).await;
}

async fn locked(place: &dyn LockStore, id: BlobId, mode: RetentionMode, now: Timestamp) {
    let until = |hours: u64| Retention {
        mode,
        until: now.plus_millis(hours * HOUR_MS),
    };
    // More than one answer of the store holds.
    let bytes: Bytes = (0..9_000_001_u32)
        .map(|n| n.to_be_bytes()[3] ^ n.to_be_bytes()[1])
        .collect();
    let whole = bytes.len() as u64;
    let first = place
        .put_locked(id, bytes.clone(), until(1))
        .await
        .expect("a PUT");
    let refused = place.delete_version(id, &first, false).await;
    assert!(
        matches!(refused, Err(StoreError::Denied)),
        "{mode:?}: {refused:?}"
    );
    // Another version under its name takes nothing away.
    let other = place
        .put_locked(id, Bytes::from_static(b"other"), until(1))
        .await
        .expect("a PUT");
    assert!(read(place, id, &first, whole).await.expect("a read") == bytes);
    assert_eq!(read(place, id, &other, 5).await.expect("a read"), b"other");
    let part = place
        .get_version(id, &first, 4_194_300..4_194_310, whole)
        .await;
    let part = part
        .expect("a range")
        .next()
        .await
        .expect("bytes")
        .expect("bytes");
    assert!(part == bytes[4_194_300..4_194_310]);
    for wrong in [whole - 1, whole + 1] {
        let got = place.get_version(id, &first, 0..1, wrong).await.err();
        assert!(matches!(got, Some(StoreError::Length)), "{got:?}");
    }
    place
        .retain(id, &first, until(2))
        .await
        .expect("a longer lock");
    let told = place
        .retention(id, &first)
        .await
        .expect("an answer")
        .expect("a lock");
    assert!(
        told.mode == mode && told.until >= until(2).until,
        "{told:?}"
    );
    let shorter = place.retain(id, &first, until(1)).await;
    assert!(shorter.is_err(), "{mode:?}: a lock was shortened");
    let seen = place
        .versions(Some(id), None)
        .await
        .expect("a listing")
        .found;
    assert!(seen.iter().all(|seen| seen.id == id));
    let of_it: Vec<_> = seen.iter().collect();
    for (version, bytes) in [(&first, whole), (&other, 5)] {
        let entry = of_it.iter().find(|seen| seen.version == *version);
        assert_eq!(entry.expect("it is listed").bytes, Some(bytes));
    }
    let nobody =
        VersionId::new(&other.as_str().replace(char::is_alphanumeric, "0")).expect("a name");
    assert!(read(place, id, &nobody, 5).await.is_err());
}

async fn listing(place: &dyn LockStore, now: Timestamp) {
    let mut listed = Vec::new();
    let mut after = None;
    for _ in 0..1_000 {
        let page = place.versions(None, after).await.expect("a page");
        listed.extend(page.found);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(after.is_none() && listed.is_sorted_by_key(|seen| seen.id));
    assert!(
        listed
            .iter()
            .all(|seen| seen.modified <= now.plus_millis(HOUR_MS))
    );
}
