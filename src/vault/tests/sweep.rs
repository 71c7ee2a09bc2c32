//! Sweeping: nothing younger than a day, nothing that is referred to, nothing in flight.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::ports::{Gate, Gated};
use super::support::{World, input, place, sample};
use crate::catalog::SharedCatalog;
use crate::ledger::Entry;
use crate::store::fault::{DeleteFault, Injected};
use crate::store::local::LocalStore;
use crate::store::{BlobStore as _, SharedStore};
use crate::types::{BlobId, limits};
use crate::vault::{
    BodyChecks, BodyError, CopySource, GRACE_MS_MIN, Input, NewObject, Parts, ReadConditions, Span,
    SweepAsk, Swept, WriteConditions,
};

/// Asks for no grace at all; the vault keeps to its least.
const ASK: SweepAsk = SweepAsk {
    grace_ms: 0,
    upload_ms: 7 * GRACE_MS_MIN,
};

async fn sweep(world: &World) -> Swept {
    world.vault.sweep(ASK).await.unwrap()
}

async fn orphan(world: &World, n: u8) -> BlobId {
    let id = BlobId::from_bytes([n; 16]);
    let body = Box::pin(stream::iter([Ok(Bytes::from_static(b"left"))]));
    world.store.put(id, 4, body).await.unwrap();
    id
}

#[tokio::test]
async fn an_orphan_lives_a_day() {
    let world = World::new().await;
    world.put("olivia", "k", b"kept").await.unwrap();
    orphan(&world, 1).await;
    for _ in 0..2 {
        assert_eq!(sweep(&world).await, Swept::default());
        world.wait(GRACE_MS_MIN / 2);
    }
    assert_eq!(sweep(&world).await, Swept::default(), "a day to the ms");
    world.wait(1);
    assert_eq!(sweep(&world).await.orphans, 1);
    assert_eq!(sweep(&world).await, Swept::default());
    assert_eq!(world.get("job-1", "k", Span::All).await.unwrap(), b"kept");
}

#[tokio::test]
async fn what_lost_its_last_reference_lives_a_day() {
    let world = World::new().await;
    world.put("olivia", "k", b"old").await.unwrap();
    world.wait(9 * GRACE_MS_MIN);
    world.put("olivia", "k", b"new").await.unwrap();
    assert_eq!(sweep(&world).await, Swept::default());
    world.wait(GRACE_MS_MIN);
    assert_eq!(sweep(&world).await, Swept::default());
    world.wait(1);
    let swept = sweep(&world).await;
    assert_eq!((swept.unreferenced, swept.orphans), (1, 0));
    assert_eq!(world.blobs().await.len(), 1);
    assert_eq!(world.get("job-1", "k", Span::All).await.unwrap(), b"new");
}

#[tokio::test]
async fn a_copy_keeps_its_blobs() {
    let world = World::new().await;
    let data = sample(100_000);
    world.put("olivia", "from", &data).await.unwrap();
    let from = CopySource {
        place: place("from"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let none = WriteConditions::default;
    let call = world.call(Some("olivia"));
    let copy = world
        .vault
        .copy_object(&call, from, place("to"), None, none());
    copy.await.unwrap();
    for (key, left) in [("from", 1), ("to", 0)] {
        let call = world.call(Some("olivia"));
        let deleted = world.vault.delete_object(&call, place(key), none(), false);
        deleted.await.unwrap();
        world.wait(2 * GRACE_MS_MIN);
        sweep(&world).await;
        assert_eq!(world.blobs().await.len(), left);
        if left == 1 {
            assert!(world.get("job-1", "to", Span::All).await.unwrap() == data);
        }
    }
}

#[tokio::test]
async fn a_body_in_flight_is_left_alone_however_slow() {
    let world = World::new().await;
    // The store in memory shows a blob only when it is whole; another may show it early.
    let first = stream::iter([Ok::<_, BodyError>(Bytes::from(sample(100)))]);
    let body = first.chain(stream::pending()).boxed();
    let input = Input {
        bytes: 200,
        body,
        checks: BodyChecks::default(),
    };
    let call = world.call(Some("olivia"));
    let mut slow = Box::pin(world.vault.write_object(
        &call,
        place("k"),
        NewObject::default(),
        input,
    ));
    assert!(futures_util::poll!(&mut slow).is_pending());
    let flying = world.vault.in_flight.first().unwrap();
    let shown = Box::pin(stream::iter([Ok(Bytes::from_static(b"early"))]));
    world.store.put(flying, 5, shown).await.unwrap();
    world.wait(3 * GRACE_MS_MIN);
    assert_eq!(sweep(&world).await.orphans, 0);
    drop(slow);
    assert!(world.vault.in_flight.first().is_none());
    assert_eq!(sweep(&world).await.orphans, 1);
}

#[tokio::test]
async fn snapshots_are_kept() {
    let world = World::new().await;
    for _ in 0..3 {
        world.put("olivia", "k", &sample(100)).await.unwrap();
        world.vault.write_snapshot().await.unwrap();
    }
    world.wait(9 * GRACE_MS_MIN);
    let swept = sweep(&world).await;
    assert_eq!((swept.unreferenced, swept.orphans), (2, 0));
    assert_eq!(world.blobs().await.len(), 1 + 3);
}

#[tokio::test]
async fn abandoned_uploads_are_reaped_with_their_parts() {
    let world = World::new().await;
    let call = world.call(Some("dirk"));
    let upload = world
        .vault
        .create_upload(&call, place("k"), NewObject::default(), None);
    let upload = upload.await.unwrap().id.to_string();
    let call = world.call(Some("dirk"));
    let part = world
        .vault
        .put_part(&call, place("k"), &upload, 1, input(b"part", 9));
    part.await.unwrap();
    world.wait(7 * GRACE_MS_MIN);
    assert_eq!(sweep(&world).await, Swept::default());
    world.wait(1);
    assert_eq!(sweep(&world).await.uploads, 1);
    assert_eq!(world.blobs().await.len(), 1, "its part lives another day");
    world.wait(GRACE_MS_MIN + 1);
    assert_eq!(sweep(&world).await.unreferenced, 1);
    assert!(world.blobs().await.is_empty());
}

/// Of an upload of `k`: its identity.
async fn begin(world: &World) -> String {
    let call = world.call(Some("dirk"));
    let new = NewObject::default();
    let upload = world.vault.create_upload(&call, place("k"), new, None);
    upload.await.unwrap().id.to_string()
}

async fn part(world: &World, upload: &str, number: u32) {
    let call = world.call(Some("dirk"));
    let body = input(b"part", 9);
    let part = world
        .vault
        .put_part(&call, place("k"), upload, number, body);
    part.await.unwrap();
}

/// The log's word of uploads that were aborted for their age.
fn told(world: &World) -> Vec<String> {
    let entries = world.journal.entries();
    let intents = entries.iter().filter_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.operation == "AbortAbandonedUpload" => Some(intent),
        _ => None,
    });
    let words = intents.map(|intent| {
        let key = intent.object.key.as_ref().unwrap();
        let rule = &intent.policy.as_ref().unwrap().rule;
        format!("{key} {rule} {}", intent.query.as_deref().unwrap())
    });
    words.collect()
}

#[tokio::test]
async fn an_upload_that_goes_on_for_weeks_is_not_reaped() {
    let world = World::new().await;
    let upload = begin(&world).await;
    for number in 1..=5 {
        world.wait(7 * GRACE_MS_MIN);
        assert_eq!(sweep(&world).await, Swept::default(), "week {number}");
        part(&world, &upload, number).await;
    }
    world.wait(7 * GRACE_MS_MIN);
    assert_eq!(sweep(&world).await, Swept::default());
    assert_eq!(told(&world), [""; 0]);
    world.wait(1);
    assert_eq!(sweep(&world).await.uploads, 1);
    let words = format!("k sweep:abandoned upload={upload}");
    assert_eq!(told(&world), [words], "the log says who aborted it");
}

#[tokio::test]
async fn er_2_a_hold_keeps_an_abandoned_upload() {
    let world = World::new().await;
    let upload = begin(&world).await;
    part(&world, &upload, 1).await;
    world.hold("case 7").await;
    world.wait(30 * GRACE_MS_MIN);
    let before = world.journal.entries().len();
    assert_eq!(sweep(&world).await, Swept::default());
    let after = world.journal.entries().len();
    assert_eq!(before, after, "nor is it tried in the log each hour");
    assert_eq!(world.blobs().await.len(), 1);
    world.hold("").await;
    assert_eq!(sweep(&world).await.uploads, 1);
}

#[tokio::test]
async fn a_blob_that_the_store_keeps_holds_up_no_other() {
    let world = World::new().await;
    world.put("olivia", "k", b"old").await.unwrap();
    world.put("olivia", "k", b"new").await.unwrap();
    for n in 1..=3 {
        orphan(&world, n).await;
    }
    world.wait(2 * GRACE_MS_MIN);
    for k in 1..=2 {
        world
            .faults
            .on_delete(k, DeleteFault::Error(Injected::Denied));
    }
    let swept = sweep(&world).await;
    // What lost its reference and was not deleted is an orphan to the walk behind it.
    assert_eq!((swept.unreferenced, swept.refused), (0, 2));
    assert_eq!(swept.orphans, 3);
    assert_eq!(sweep(&world).await.orphans, 1);
    assert_eq!(world.blobs().await.len(), 1);
    assert_eq!(world.get("job-1", "k", Span::All).await.unwrap(), b"new");
}

#[tokio::test]
async fn a_store_that_fails_ends_the_sweep_at_once() {
    let world = World::new().await;
    for n in 1..=3 {
        orphan(&world, n).await;
    }
    world.wait(2 * GRACE_MS_MIN);
    for error in [Injected::Timeout, Injected::Throttled, Injected::Failed] {
        world.faults.always_delete(DeleteFault::Error(error));
        world.vault.sweep(ASK).await.unwrap_err();
        world.faults.heal();
        assert_eq!(world.blobs().await.len(), 3, "{error:?}");
    }
    assert_eq!(sweep(&world).await.orphans, 3);
}

#[tokio::test]
async fn a_store_that_deletes_nothing_ends_the_sweep() {
    let world = World::new().await;
    for n in 0..=limits::SWEEP_REFUSALS_MAX {
        let id = BlobId::from_bytes(u128::from(n).to_be_bytes());
        let body = Box::pin(stream::iter([Ok(Bytes::from_static(b"left"))]));
        world.store.put(id, 4, body).await.unwrap();
    }
    world.wait(2 * GRACE_MS_MIN);
    world
        .faults
        .always_delete(DeleteFault::Error(Injected::Denied));
    world.vault.sweep(ASK).await.unwrap_err();
    world.faults.heal();
    let swept = sweep(&world).await;
    assert_eq!(swept.orphans, limits::SWEEP_REFUSALS_MAX + 1);
}

#[tokio::test]
async fn what_the_store_did_not_delete_is_found_again() {
    let world = World::new().await;
    world.put("olivia", "k", b"old").await.unwrap();
    world.put("olivia", "k", b"new").await.unwrap();
    world.wait(2 * GRACE_MS_MIN);
    world
        .faults
        .on_delete(1, DeleteFault::Error(Injected::Timeout));
    world.vault.sweep(ASK).await.unwrap_err();
    assert_eq!(world.blobs().await.len(), 2);
    assert_eq!(sweep(&world).await.orphans, 1);
    assert_eq!(world.blobs().await.len(), 1);
    assert_eq!(world.get("job-1", "k", Span::All).await.unwrap(), b"new");
}

/// A retention that denies is asked about no more than so often; a file costs no way to a store.
#[tokio::test]
async fn files_that_the_system_keeps_hold_up_none_however_many_they_are() {
    let world = World::new().await;
    for n in 0..=limits::SWEEP_REFUSALS_MAX + 4 {
        let id = BlobId::from_bytes(u128::from(n).to_be_bytes());
        let body = Box::pin(stream::iter([Ok(Bytes::from_static(b"left"))]));
        world.store.put(id, 4, body).await.unwrap();
    }
    world.wait(2 * GRACE_MS_MIN);
    for k in 1..=limits::SWEEP_REFUSALS_MAX + 3 {
        world
            .faults
            .on_delete(k, DeleteFault::Error(Injected::Kept));
    }
    let swept = sweep(&world).await;
    let kept = limits::SWEEP_REFUSALS_MAX + 3;
    assert_eq!((swept.orphans, swept.refused), (2, kept));
    assert_eq!(sweep(&world).await.orphans, kept, "each is tried again");
    assert!(world.blobs().await.is_empty());
}

/// A directory has the name of a blob: to unlink it is refused whoever asks, root too.
#[tokio::test]
async fn a_file_that_the_system_keeps_holds_up_no_other() {
    let mut world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let local = Arc::new(LocalStore::open(&root, world.clock.as_ref()).unwrap());
    let store: SharedStore = Arc::<LocalStore>::clone(&local);
    world.rewire(|parts| Parts { store, ..parts });
    for key in ["a", "b", "c"] {
        world.put("olivia", key, b"old").await.unwrap();
    }
    let olds = local.list(None, 9).await.unwrap();
    for key in ["a", "b", "c"] {
        world.put("olivia", key, b"new").await.unwrap();
    }
    let path = |id: BlobId| {
        let name = id.to_string();
        root.join(&name[..2]).join(name)
    };
    let stays = path(olds[0].id);
    std::fs::remove_file(&stays).unwrap();
    std::fs::create_dir(&stays).unwrap();
    world.wait(2 * GRACE_MS_MIN);
    let swept = sweep(&world).await;
    assert_eq!((swept.unreferenced, swept.refused), (2, 1));
    assert_eq!(local.list(None, 9).await.unwrap().len(), 3);
    assert!(stays.exists() && !path(olds[1].id).exists() && !path(olds[2].id).exists());
    assert_eq!(world.get("job-1", "a", Span::All).await.unwrap(), b"new");
}

/// The request is dropped and its blobs are in flight no more, yet the writer comes to its commit.
#[tokio::test]
async fn what_a_queued_commit_refers_to_is_known_though_its_client_went_away() {
    let mut world = World::new().await;
    let gate = Gate::new(u64::MAX, false);
    world.rewire(|mut parts| {
        parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, &gate));
        parts
    });
    let held = gate.turn().acquire_owned().await.unwrap();
    let mut put = Box::pin(world.put("olivia", "k", b"kept"));
    while gate.queued() == 0 {
        assert!(futures_util::poll!(&mut put).is_pending());
        tokio::task::yield_now().await;
    }
    drop(put);
    let blobs = world.blobs().await;
    assert_eq!(blobs.len(), 1);
    let (known, ()) = tokio::join!(world.vault.surely_known(&blobs), async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(held);
    });
    assert_eq!(known.unwrap(), [true]);
    let orphan = orphan(&world, 1).await;
    let known = world.vault.surely_known(&[blobs[0], orphan]).await;
    assert_eq!(known.unwrap(), [true, false]);
    world.wait(GRACE_MS_MIN + 1);
    assert_eq!(sweep(&world).await.orphans, 1);
    assert_eq!(world.get("job-1", "k", Span::All).await.unwrap(), b"kept");
}
