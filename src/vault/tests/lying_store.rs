//! A store that fails and lies: whatever it does, no wrong byte is handed out, the error says
//! what happened, and the record says how far it went.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::support::{World, input, place, sample};
use crate::ledger::Outcome;
use crate::seal::layout;
use crate::store::BlobStore as _;
use crate::store::fault::{GetFault, Injected, PutFault};
use crate::types::{BlobId, ByteRange};
use crate::vault::{
    CompletedPart, Completing, CopySource, ErrorKind, NewObject, ReadAsk, ReadConditions, Span,
    WriteConditions,
};

const BYTES: usize = 200_000;
const HEADER: u64 = 136;
const SEALED: u64 = 65_552;

/// Ranges of the plaintext: all, within each segment, across two, the last byte.
const RANGES: [(u64, u64); 7] = [
    (0, 199_999),
    (0, 0),
    (10, 65_535),
    (65_536, 65_600),
    (65_535, 131_072),
    (196_608, 199_999),
    (199_999, 199_999),
];

/// An object and its only blob.
async fn one_blob(world: &World, key: &str, data: &[u8]) -> BlobId {
    let put = async { world.put("olivia", key, data).await.unwrap() };
    let blobs = world.blobs_of(put).await;
    assert_eq!(blobs.len(), 1);
    blobs[0]
}

/// Every boundary of the sealed form of `BYTES` bytes.
fn offsets() -> Vec<u64> {
    let mut offsets = vec![0, 7, 8, 9, 10, 15, 16, 31, 32, 63, 64, 119, 120, 135];
    let total = layout::sealed_bytes(BYTES as u64);
    for segment in 0..4 {
        let start = HEADER + segment * SEALED;
        let end = (start + SEALED).min(total);
        offsets.extend([start, start + 100, end - 17, end - 16, end - 1]);
    }
    offsets
}

/// The read must fail as damage, after nothing but right bytes.
async fn refused(world: &World, data: &[u8], (first, last): (u64, u64), why: &str) {
    let (got, end) = world.drain("job-1", "k", Span::Between(first, last)).await;
    assert_eq!(end, Some(ErrorKind::Integrity), "{why} {first}-{last}");
    let want = &data[first as usize..=last as usize];
    assert!(got.len() < want.len(), "{why} {first}-{last}");
    assert!(want.starts_with(&got), "{why} {first}-{last}");
    assert_eq!(world.last_completion().outcome, Outcome::Failed);
}

async fn served(world: &World, data: &[u8], (first, last): (u64, u64), why: &str) {
    let (got, end) = world.drain("job-1", "k", Span::Between(first, last)).await;
    assert_eq!(end, None, "{why} {first}-{last}");
    assert!(got == data[first as usize..=last as usize], "{why}");
    assert_eq!(world.last_completion().outcome, Outcome::Success);
}

#[tokio::test]
async fn a_flipped_bit_is_found_wherever_a_read_fetches_it() {
    let world = World::new().await;
    let data = sample(BYTES);
    one_blob(&world, "k", &data).await;
    let mut found = 0;
    for (first, last) in RANGES {
        let range = ByteRange::new(first, last + 1).unwrap();
        let fetched = layout::sealed_range(BYTES as u64, range).unwrap().sealed;
        for at in offsets() {
            world.faults.always_get(GetFault::FlipBit { at });
            let why = format!("bit at {at}");
            if fetched.contains(&at) {
                refused(&world, &data, (first, last), &why).await;
                found += 1;
            } else {
                served(&world, &data, (first, last), &why).await;
            }
        }
    }
    assert!(found > 60, "{found}");
}

#[tokio::test]
async fn every_bit_of_a_small_blob_counts() {
    let world = World::new().await;
    let blob = one_blob(&world, "k", b"0123456789").await;
    let sealed = world.store.sealed(blob).unwrap();
    for at in 0..sealed.len() {
        for bit in [0, 3, 7] {
            let mut lie = sealed.to_vec();
            lie[at] ^= 1 << bit;
            assert!(world.store.tamper(blob, lie.into()));
            let got = world.drain("job-1", "k", Span::All).await;
            assert_eq!(got, (vec![], Some(ErrorKind::Integrity)), "{at}.{bit}");
        }
    }
    world.store.tamper(blob, sealed);
    let got = world.drain("job-1", "k", Span::All).await;
    assert_eq!(got, (b"0123456789".to_vec(), None));
}

#[tokio::test]
async fn a_blob_cut_short_is_found() {
    let world = World::new().await;
    let data = sample(BYTES);
    let blob = one_blob(&world, "k", &data).await;
    let sealed = world.store.sealed(blob).unwrap();
    for at in offsets() {
        world.store.tamper(blob, sealed.slice(..at as usize));
        refused(&world, &data, RANGES[0], &format!("stored up to {at}")).await;
    }
    world.store.tamper(blob, sealed);
    for by in [1, 15, 16, 17, 3_408, 3_409, 65_552, 70_000, 200_199] {
        world.faults.always_get(GetFault::Truncate { by });
        refused(&world, &data, RANGES[0], &format!("sent without {by}")).await;
    }
}

#[tokio::test]
async fn an_extended_blob_is_refused_and_what_is_sent_too_much_is_not_read() {
    let world = World::new().await;
    let data = sample(BYTES);
    let blob = one_blob(&world, "k", &data).await;
    for by in [1, 16, 65_552] {
        world.faults.always_get(GetFault::Extend { by });
        for range in RANGES {
            served(&world, &data, range, "extended").await;
        }
    }
    world.faults.heal();
    let longer = [
        world.store.sealed(blob).unwrap(),
        Bytes::from_static(&[0; 99]),
    ]
    .concat();
    world.store.tamper(blob, longer.into());
    for range in RANGES {
        refused(&world, &data, range, "stored longer").await;
    }
}

#[tokio::test]
async fn another_blob_is_not_this_one() {
    let world = World::new().await;
    let data = sample(BYTES);
    let old = one_blob(&world, "k", &data).await;
    let (other_data, data) = (data, sample(BYTES + 1)[1..].to_vec());
    let twin = one_blob(&world, "twin", &other_data).await;
    let new = one_blob(&world, "k", &data).await;
    for (lie, why) in [(old, "rolled back"), (twin, "replaced")] {
        world.faults.always_get(GetFault::Other(lie));
        for range in RANGES {
            refused(&world, &data, range, why).await;
        }
    }
    world.faults.heal();
    world.faults.swap(new, twin);
    refused(&world, &data, RANGES[0], "swapped").await;
    let (got, end) = world.drain("job-1", "twin", Span::All).await;
    assert_eq!((got, end), (vec![], Some(ErrorKind::Integrity)));
    world.faults.heal();
    // One header's blob with the segments of the other; whole segments in another order.
    let (ours, theirs) = (
        world.store.sealed(new).unwrap(),
        world.store.sealed(twin).unwrap(),
    );
    let spliced = [&ours[..136], &theirs[136..]].concat();
    world.store.tamper(new, spliced.into());
    refused(&world, &data, RANGES[0], "spliced").await;
    let (a, b) = (136 + 65_552, 136 + 2 * 65_552);
    let turned = [&ours[..136], &ours[a..b], &ours[136..a], &ours[b..]].concat();
    world.store.tamper(new, turned.into());
    refused(&world, &data, RANGES[0], "reordered").await;
    world.store.tamper(new, Bytes::new());
    refused(&world, &data, RANGES[0], "empty").await;
    world.store.delete(new).await.unwrap();
    refused(&world, &data, RANGES[0], "missing").await;
}

const fn kind_of(error: Injected) -> ErrorKind {
    match error {
        Injected::NotFound | Injected::Length => ErrorKind::Integrity,
        Injected::Throttled => ErrorKind::SlowDown,
        Injected::Timeout | Injected::Denied | Injected::Kept | Injected::Failed => {
            ErrorKind::Unavailable
        }
        Injected::Full => ErrorKind::Full,
        Injected::Aborted => ErrorKind::IncompleteBody,
    }
}

#[tokio::test]
async fn an_error_stays_an_error() {
    let world = World::new().await;
    let data = sample(BYTES);
    one_blob(&world, "k", &data).await;
    for error in Injected::ALL {
        world.faults.always_get(GetFault::Error(error));
        let got = world.drain("job-1", "k", Span::All).await;
        assert_eq!(got, (vec![], Some(kind_of(error))), "{error:?}");
        for (bytes, yielded) in [(0, 0), (100, 0), (65_688, 65_536), (150_000, 131_072)] {
            world
                .faults
                .always_get(GetFault::ErrorAfter { bytes, error });
            let (got, end) = world.drain("job-1", "k", Span::All).await;
            assert_eq!(end, Some(kind_of(error)), "{error:?} after {bytes}");
            assert!(got == data[..yielded], "{error:?} after {bytes}");
        }
    }
    world.faults.heal();
    served(&world, &data, RANGES[0], "healed").await;
}

#[tokio::test]
async fn a_failed_put_leaves_the_old_object() {
    let world = World::new().await;
    world.put("olivia", "k", b"before").await.unwrap();
    let faults = Injected::ALL.into_iter().flat_map(|error| {
        let after = PutFault::ErrorAfter {
            bytes: 70_000,
            error,
        };
        [
            PutFault::Error(error),
            after,
            PutFault::StoredButError(error),
        ]
    });
    for fault in faults {
        world.faults.always_put(fault);
        let put = world.put("olivia", "k", &sample(100_000)).await;
        let (PutFault::Error(error)
        | PutFault::ErrorAfter { error, .. }
        | PutFault::StoredButError(error)) = fault
        else {
            unreachable!()
        };
        // A blob cannot be missing or of a wrong length before it is there: a fault all the same.
        assert_eq!(put.unwrap_err().kind(), kind_of(error), "{fault:?}");
        let got = world.drain("olivia", "k", Span::All).await;
        assert_eq!(got, (b"before".to_vec(), None), "{fault:?}");
    }
    assert_eq!(world.blobs().await.len(), 1, "nothing stays behind");
}

#[tokio::test]
async fn a_put_that_was_never_stored_is_found_at_the_first_read() {
    let world = World::new().await;
    world.faults.always_put(PutFault::Drop);
    world.put("olivia", "k", b"gone").await.unwrap();
    let got = world.drain("olivia", "k", Span::All).await;
    assert_eq!(got, (vec![], Some(ErrorKind::Integrity)));
}

#[tokio::test]
async fn whoever_gives_up_on_a_stalled_store_is_recorded_with_what_she_got() {
    let world = World::new().await;
    let data = sample(BYTES);
    one_blob(&world, "k", &data).await;
    world.faults.always_get(GetFault::Stall { bytes: 70_000 });
    let call = world.call(Some("job-1"));
    let reading = world
        .vault
        .read_object(&call, place("k"), ReadAsk::default())
        .await;
    let mut body = reading.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), data[..65_536]);
    assert!(futures_util::poll!(body.next()).is_pending());
    drop(body);
    let completion = world.last_completion();
    assert_eq!(completion.event, call.event);
    assert_eq!(completion.outcome, Outcome::Aborted);
    assert_eq!(completion.bytes, 65_536);
}

/// Parts of these lengths make the object `k`; their blobs in order.
async fn multipart(world: &World, data: &[u8], cuts: &[usize]) -> Vec<BlobId> {
    let call = world.call(Some("olivia"));
    let new = NewObject::default();
    let upload = world
        .vault
        .create_upload(&call, place("k"), new, None)
        .await;
    let upload = upload.unwrap().id.to_string();
    let (mut blobs, mut parts, mut start) = (Vec::new(), Vec::new(), 0);
    for (index, bytes) in cuts.iter().enumerate() {
        let number = u32::try_from(index).unwrap() + 1;
        let body = input(&data[start..start + bytes], 4096);
        start += bytes;
        let call = world.call(Some("olivia"));
        let mut etag = None;
        let put = async {
            let row = world
                .vault
                .put_part(&call, place("k"), &upload, number, body);
            etag = Some(row.await.unwrap().0.etag.to_string());
        };
        blobs.extend(world.blobs_of(put).await);
        parts.push(CompletedPart {
            number,
            etag: etag.unwrap(),
            checksums: Vec::new(),
        });
    }
    let completing = Completing {
        parts,
        ..Completing::default()
    };
    let call = world.call(Some("olivia"));
    let done = world
        .vault
        .complete_upload(&call, place("k"), &upload, completing);
    done.await.unwrap();
    blobs
}

#[tokio::test]
async fn one_bad_part_spoils_what_touches_it() {
    let world = World::new().await;
    let data = sample(BYTES);
    let cuts = [70_000, 3, 65_536, 64_461];
    let blobs = multipart(&world, &data, &cuts).await;
    assert_eq!(blobs.len(), cuts.len());
    let mut start = 0;
    for (blob, bytes) in blobs.iter().zip(cuts) {
        let end = start + bytes as u64;
        let sealed = world.store.sealed(*blob).unwrap();
        let mut lie = sealed.to_vec();
        *lie.last_mut().unwrap() ^= 1;
        world.store.tamper(*blob, lie.into());
        refused(&world, &data, (start, end - 1), "a part").await;
        let (got, kind) = world.drain("job-1", "k", Span::All).await;
        assert_eq!(kind, Some(ErrorKind::Integrity));
        assert!(got.len() as u64 >= start, "what lies before is served");
        assert!(data.starts_with(&got));
        if start > 0 {
            served(&world, &data, (0, start - 1), "before").await;
        }
        if end < BYTES as u64 {
            served(&world, &data, (end, BYTES as u64 - 1), "behind").await;
        }
        world.store.tamper(*blob, sealed);
        start = end;
    }
    world.faults.swap(blobs[0], blobs[3]);
    refused(&world, &data, (0, 9), "parts swapped").await;
}

#[tokio::test]
async fn a_copy_is_as_well_guarded_as_its_source() {
    let world = World::new().await;
    let data = sample(BYTES);
    let blob = one_blob(&world, "source", &data).await;
    let from = CopySource {
        place: place("source"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    world
        .vault
        .copy_object(&call, from, place("k"), None, none)
        .await
        .unwrap();
    for at in offsets() {
        world.faults.always_get(GetFault::FlipBit { at });
        refused(&world, &data, RANGES[0], "copied").await;
    }
    world.faults.heal();
    world.store.delete(blob).await.unwrap();
    refused(&world, &data, RANGES[0], "gone").await;
}
