//! Snapshots and recovery: what the store and the keys give back of a lost catalog.

use std::sync::Arc;

use bytes::Bytes;

use super::support::{BUCKET, World, input, place, sample, settings};
use crate::catalog::{Catalog, MemoryCatalog, Mutation, SharedCatalog};
use crate::store::BlobStore as _;
use crate::store::fault::{Injected, ListFault, PutFault};
use crate::types::{BlobId, limits};
use crate::vault::{ErrorKind, NewObject, Place, Recovered, Span, Vault, WriteConditions};

async fn dump(catalog: &dyn Catalog) -> Vec<Mutation> {
    let (all, rest) = catalog.dump(None, usize::MAX).await.unwrap();
    assert_eq!(rest, None);
    all
}

async fn delete(world: &World, key: &str) {
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    let deleted = world.vault.delete_object(&call, place(key), none, false);
    deleted.await.unwrap();
}

/// A founded vault with three snapshots: 0 the founding and `a`, 1 `b`, 2 `c` and no more `a`.
async fn three() -> World {
    let world = World::new().await;
    world.put("olivia", "a", &sample(70_000)).await.unwrap();
    world.vault.write_snapshot().await.unwrap();
    world.put("olivia", "b", b"bee").await.unwrap();
    world.wait(1000);
    world.vault.write_snapshot().await.unwrap();
    world.put("olivia", "c", b"sea").await.unwrap();
    delete(&world, "a").await;
    world.wait(1000);
    world.vault.write_snapshot().await.unwrap();
    world
}

/// Loses the catalog and rebuilds it.
async fn recover(world: &mut World) -> Result<Recovered, ErrorKind> {
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    world.rewire(|mut parts| {
        parts.catalog = fresh;
        parts
    });
    let recovered = world.vault.recover_within(50, |_| {}).await;
    recovered.map_err(|error| error.kind())
}

fn snapshot(world: &World, number: u64) -> BlobId {
    world.keyring.snapshot_blob_id(number)
}

/// Whoever lists at all is a store that does so for ever: a recovery ends with a word.
#[tokio::test]
async fn a_store_that_lists_for_ever_ends_a_recovery_and_an_adoption() {
    let mut world = three().await;
    world.faults.always_list(ListFault::Endless);
    let before = world.faults.calls()[3];
    assert_eq!(recover(&mut world).await, Err(ErrorKind::InvalidArgument));
    assert_eq!(
        world.catalog.change_seq().await.unwrap(),
        0,
        "and begun nothing"
    );
    let refused = world.vault.adopt().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.reason().contains("catalog.listed_max"));
    let pages = 10_000 / limits::PAGE_ENTRIES_MAX as u64 + 1;
    assert!(world.faults.calls()[3] - before <= 2 * pages);
}

#[tokio::test]
async fn a_lost_catalog_comes_back_whole() {
    let mut world = three().await;
    let before = dump(world.catalog.as_ref()).await;
    let seq = world.catalog.change_seq().await.unwrap();
    let found = recover(&mut world).await.unwrap();
    let want = Recovered {
        blobs: 3 + 3,
        snapshots: 3,
        commits: seq,
        newest: Some(world.vault.now()),
        next_snapshot: 3,
        ..Recovered::default()
    };
    assert_eq!(found, want);
    assert!(dump(world.catalog.as_ref()).await == before);
    assert_eq!(world.get("job-1", "b", Span::All).await.unwrap(), b"bee");
    assert_eq!(world.names("job-1", "").await.unwrap(), ["b", "c"]);
    assert!(
        !world.vault.has_changes().await.unwrap(),
        "the snapshots hold it all"
    );
}

#[tokio::test]
async fn a_recovered_vault_goes_on_and_can_be_recovered_again() {
    let mut world = three().await;
    for (number, key) in [(3, "d"), (4, "e")] {
        let found = recover(&mut world).await.unwrap();
        assert_eq!(found.next_snapshot, number);
        world.put("olivia", key, key.as_bytes()).await.unwrap();
        world.vault.write_snapshot().await.unwrap();
    }
    let found = recover(&mut world).await.unwrap();
    assert_eq!((found.missing_commits, found.refused_commits), (0, 0));
    assert_eq!(
        world.names("job-1", "").await.unwrap(),
        ["b", "c", "d", "e"]
    );
}

#[tokio::test]
async fn a_missing_snapshot_is_named_and_costs_its_commits_alone() {
    let mut world = three().await;
    world.store.delete(snapshot(&world, 1)).await.unwrap();
    let found = recover(&mut world).await.unwrap();
    assert_eq!(
        (found.missing_snapshots, found.broken_links),
        (vec![1], vec![2])
    );
    assert_eq!((found.missing_commits, found.refused_commits), (1, 0));
    assert_eq!(found.unknown.blobs, 1, "what b was");
    assert_eq!(world.names("job-1", "").await.unwrap(), ["c"]);
    // What is written from now on survives the next loss, in spite of the gap.
    world.put("olivia", "d", b"d").await.unwrap();
    world.vault.write_snapshot().await.unwrap();
    let found = recover(&mut world).await.unwrap();
    assert_eq!((found.missing_commits, found.refused_commits), (1, 0));
    assert_eq!(world.names("job-1", "").await.unwrap(), ["c", "d"]);
}

#[tokio::test]
async fn without_its_first_snapshot_little_comes_back_and_it_says_so() {
    let mut world = three().await;
    let seq = world.catalog.change_seq().await.unwrap();
    world.store.delete(snapshot(&world, 0)).await.unwrap();
    let found = recover(&mut world).await.unwrap();
    assert_eq!(found.missing_snapshots, [0]);
    assert_eq!(found.missing_commits, seq - 3);
    assert_eq!((found.commits, found.refused_commits), (0, 3));
    assert_eq!(found.unknown.blobs, 3);
}

#[tokio::test]
async fn the_newest_snapshot_hidden_costs_freshness_alone() {
    let mut world = three().await;
    world.store.delete(snapshot(&world, 2)).await.unwrap();
    let found = recover(&mut world).await.unwrap();
    assert_eq!(found.snapshots, 2);
    assert!(found.missing_snapshots.is_empty(), "it cannot be known");
    assert_eq!(world.vault.now().since(found.newest.unwrap()), 1000);
    assert_eq!(
        found.unknown.blobs, 1,
        "c's blob shows that something came after"
    );
    assert_eq!(world.names("job-1", "").await.unwrap(), ["a", "b"]);
    let got = world.get("job-1", "a", Span::All).await.unwrap();
    assert!(got == sample(70_000));
}

#[tokio::test]
async fn nothing_of_a_forged_snapshot_is_believed() {
    let mut world = three().await;
    let id = snapshot(&world, 1);
    let honest = world.store.sealed(id).unwrap();
    let other = world.store.sealed(snapshot(&world, 0)).unwrap();
    let mut flipped = honest.to_vec();
    flipped[honest.len() / 2] ^= 1;
    let short = honest.slice(..honest.len() - 1);
    let longer = [&honest[..], &[0]].concat();
    let lies = [flipped.into(), other, short, longer.into(), Bytes::new()];
    for (number, lie) in lies.into_iter().enumerate() {
        world.store.tamper(id, lie);
        let found = recover(&mut world).await.unwrap();
        assert_eq!(found.damaged_snapshots, [1], "lie {number}");
        assert_eq!(found.missing_commits, 1, "lie {number}");
        assert!(!found.is_whole(), "lie {number}");
        assert_eq!(world.names("job-1", "").await.unwrap(), ["c"]);
    }
    world.store.tamper(id, honest);
    assert!(recover(&mut world).await.unwrap().is_whole());
}

/// The store took it and its answer was lost: the same number holds the same bytes, and is no
/// other's.
#[tokio::test]
async fn a_snapshot_whose_answer_was_lost_is_found_and_not_written_again() {
    let mut world = three().await;
    world.put("olivia", "d", b"d").await.unwrap();
    let puts = world.faults.calls()[0];
    let lost = PutFault::StoredButError(Injected::Timeout);
    world.faults.on_put(puts + 1, lost);
    world.vault.write_snapshot().await.unwrap_err();
    assert!(world.vault.has_changes().await.unwrap());
    let sealed = world.store.sealed(snapshot(&world, 3)).unwrap();
    world.put("olivia", "e", b"e").await.unwrap();
    assert_eq!(world.vault.write_snapshot().await.unwrap(), 2);
    assert!(world.store.sealed(snapshot(&world, 3)) == Some(sealed));
    let seq = world.catalog.change_seq().await.unwrap();
    let before = dump(world.catalog.as_ref()).await;
    let found = recover(&mut world).await.unwrap();
    assert_eq!((found.snapshots, found.commits), (5, seq));
    assert!(found.is_whole() && found.missing_snapshots.is_empty());
    assert!(dump(world.catalog.as_ref()).await == before);
}

#[tokio::test]
async fn a_catalog_that_holds_something_is_not_written_over() {
    let world = three().await;
    let before = dump(world.catalog.as_ref()).await;
    let refused = world.vault.recover(|_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(dump(world.catalog.as_ref()).await == before);
}

#[tokio::test]
async fn a_dataset_without_its_key_is_named() {
    let mut world = three().await;
    let ids = world.keyring.dataset_ids().unwrap();
    for id in ids {
        world.keyring.destroy_dataset(&id).unwrap();
    }
    let found = recover(&mut world).await.unwrap();
    assert_eq!(found.keyless.len(), 1);
    assert!(!found.is_whole());
    let got = world.get("job-1", "b", Span::All).await.unwrap_err();
    assert_eq!(
        got.kind(),
        ErrorKind::Integrity,
        "trying again does not help"
    );
}

#[tokio::test]
async fn an_acknowledgement_waits_for_its_snapshot_when_asked_to() {
    let mut world = World::new().await;
    world.vault = Arc::new(Vault::new(world.parts(), settings(true)));
    let call = world.call(Some("olivia"));
    let place = Place {
        bucket: BUCKET,
        key: "k",
        version: None,
    };
    let write = world
        .vault
        .write_object(&call, place, NewObject::default(), input(b"safe", 4));
    let mut write = Box::pin(write);
    for _ in 0..50 {
        assert!(futures_util::poll!(&mut write).is_pending());
    }
    world.vault.snapshot_wanted().await;
    world.vault.write_snapshot().await.unwrap();
    write.await.unwrap();
    assert!(!world.vault.has_changes().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_never_comes_is_no_acknowledgement_and_loses_nothing() {
    let mut world = World::new().await;
    world.vault = Arc::new(Vault::new(world.parts(), settings(true)));
    let put = world.put("olivia", "k", b"there").await.unwrap_err();
    assert_eq!(put.kind(), ErrorKind::Unavailable);
    assert_eq!(world.get("olivia", "k", Span::All).await.unwrap(), b"there");
}

/// The version was committed and may have been seen; the next one is another.
#[tokio::test(start_paused = true)]
async fn a_version_whose_snapshot_never_comes_keeps_its_number() {
    let mut world = World::new().await;
    world.put("olivia", "k", b"there").await.unwrap();
    world.vault = Arc::new(Vault::new(world.parts(), settings(true)));
    let (call, vault) = (world.call(Some("olivia")), Arc::clone(&world.vault));
    let first = async {
        // Of the dataset as it is frozen, and none of the version that follows.
        vault.snapshot_wanted().await;
        vault.write_snapshot().await.unwrap();
    };
    let (published, ()) = tokio::join!(vault.publish(&call, BUCKET), first);
    assert_eq!(published.unwrap_err().kind(), ErrorKind::Unavailable);
    world.vault = Arc::new(Vault::new(world.parts(), settings(false)));
    let call = world.call(Some("olivia"));
    let again = world.vault.publish(&call, BUCKET).await.unwrap();
    assert_eq!(again.root.number, 2);
    let call = world.call(Some("olivia"));
    let all = world.vault.list_published(&call, BUCKET).await.unwrap();
    assert_eq!(
        all.iter().map(|(v, _)| v.root.number).collect::<Vec<_>>(),
        [1, 2]
    );
}
