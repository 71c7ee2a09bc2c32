//! The chain of snapshots: older catalogs, forks, takeovers, outages, bases; and old vaults.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;

use super::support::{World, sample};
use crate::catalog::{MemoryCatalog, Mutation, SharedCatalog};
use crate::seal::seal_snapshot;
use crate::store::BlobStore as _;
use crate::store::fault::{DeleteFault, Injected, PutFault};
use crate::types::BlobId;
use crate::vault::{
    Body, ChainFault, Fork, GRACE_MS_MIN, Recovered, Snapshot, Span, SweepAsk, Swept,
};

/// A copy of the catalog as a backup makes one, its chain and waiting changes among it.
pub(super) async fn backup(catalog: &SharedCatalog) -> SharedCatalog {
    let copy = MemoryCatalog::new();
    copy.become_copy_of(catalog.as_ref()).await;
    Arc::new(copy)
}

pub(super) fn restore(world: &mut World, catalog: &SharedCatalog) {
    world.rewire(|mut parts| {
        parts.catalog = Arc::clone(catalog);
        parts
    });
}

pub(super) async fn put(world: &World, keys: &[&str]) {
    for key in keys {
        world.put("olivia", key, key.as_bytes()).await.unwrap();
    }
}

pub(super) async fn snapshot(world: &World) -> u64 {
    world.vault.write_snapshot().await.unwrap()
}

pub(super) async fn fault(world: &World) -> Option<ChainFault> {
    let checked = world.vault.check_chain().await;
    let written = world.vault.write_snapshot().await;
    let (checked, written) = (checked.err()?, written.err()?);
    assert_eq!(checked.chain_fault(), written.chain_fault());
    checked.chain_fault()
}

pub(super) async fn recover(world: &mut World) -> Recovered {
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    restore(world, &fresh);
    world.vault.recover_within(50, |_| {}).await.unwrap()
}

async fn sweep(world: &World) -> Swept {
    let ask = SweepAsk {
        grace_ms: 0,
        upload_ms: 7 * GRACE_MS_MIN,
    };
    world.vault.sweep(ask).await.unwrap()
}

pub(super) async fn names(world: &World) -> Vec<String> {
    world.names("job-1", "").await.unwrap()
}

#[tokio::test]
async fn a_restored_older_catalog_serves_nothing_and_writes_nothing() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let older = backup(&world.catalog).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    let blobs = world.blobs().await;
    restore(&mut world, &older);
    let want = Some(ChainFault::Older { number: 1 });
    assert_eq!(fault(&world).await, want);
    // With commits of its own, too: more than the newest snapshot holds.
    put(&world, &["x"]).await;
    put(&world, &["y"]).await;
    assert_eq!(fault(&world).await, want);
    world.wait(9 * GRACE_MS_MIN);
    let ask = SweepAsk {
        grace_ms: 0,
        upload_ms: 7 * GRACE_MS_MIN,
    };
    world.vault.sweep(ask).await.unwrap_err();
    for blob in blobs {
        assert!(
            world.store.sealed(blob).is_some(),
            "all that is newer is kept"
        );
    }
    recover(&mut world).await;
    assert_eq!(names(&world).await, ["a", "b"]);
}

#[tokio::test]
async fn who_was_taken_over_finds_out_before_it_writes_or_sweeps() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let first = Arc::clone(&world.catalog);
    let found = recover(&mut world).await;
    assert!(found.is_whole(), "{found:?}");
    world.vault.claim().await.unwrap();
    let second = Arc::clone(&world.catalog);
    put(&world, &["b"]).await;
    snapshot(&world).await;
    restore(&mut world, &first);
    assert_eq!(fault(&world).await, Some(ChainFault::Forked { number: 1 }));
    world.wait(9 * GRACE_MS_MIN);
    let ask = SweepAsk {
        grace_ms: 0,
        upload_ms: 7 * GRACE_MS_MIN,
    };
    assert!(
        world
            .vault
            .sweep(ask)
            .await
            .unwrap_err()
            .chain_fault()
            .is_some()
    );
    restore(&mut world, &second);
    assert_eq!(world.get("job-1", "b", Span::All).await.unwrap(), b"b");
    assert!(recover(&mut world).await.is_whole());
}

#[tokio::test]
async fn an_adopted_catalog_is_the_new_end_of_the_chain() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let older = backup(&world.catalog).await;
    let newer = Arc::clone(&world.catalog);
    put(&world, &["b", "c"]).await;
    snapshot(&world).await;
    let theirs = world.catalog.change_seq().await.unwrap();
    restore(&mut world, &older);
    let adopted = world.vault.adopt().await.unwrap();
    assert_eq!(adopted.before, theirs);
    assert!(
        world.catalog.change_seq().await.unwrap() > theirs,
        "no number comes twice"
    );
    put(&world, &["d"]).await;
    snapshot(&world).await;
    world.wait(9 * GRACE_MS_MIN);
    let swept = sweep(&world).await;
    assert!(swept.doubted && swept.orphans == 0, "until it is accepted");
    restore(&mut world, &newer);
    assert_eq!(fault(&world).await, Some(ChainFault::Forked { number: 2 }));
    let found = recover(&mut world).await;
    assert!(found.base.is_some() && found.fork.is_none(), "{found:?}");
    assert_eq!(names(&world).await, ["a", "d"]);
    assert!(
        sweep(&world).await.doubted,
        "blobs of b and c are unexplained"
    );
    assert!(world.vault.accept().await.unwrap());
    assert_eq!(sweep(&world).await.orphans, 2);
    assert!(!world.vault.accept().await.unwrap());
}

#[tokio::test]
async fn an_adoption_cut_short_serves_nothing_until_it_is_whole() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let older = backup(&world.catalog).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    restore(&mut world, &older);
    world.faults.always_put(PutFault::Error(Injected::Full));
    world.vault.adopt().await.unwrap_err();
    world.faults.heal();
    assert_eq!(fault(&world).await, Some(ChainFault::Unbased));
    world.vault.adopt().await.unwrap();
    assert_eq!(fault(&world).await, None);
    recover(&mut world).await;
    assert_eq!(names(&world).await, ["a"]);
}

#[tokio::test]
async fn a_long_outage_burns_no_number() {
    let mut world = World::new().await;
    snapshot(&world).await;
    for fault in [Injected::Full, Injected::Denied, Injected::Timeout] {
        world.faults.always_put(PutFault::Error(fault));
        for _ in 0..20 {
            put_in_catalog(&world).await;
            world.vault.write_snapshot().await.unwrap_err();
        }
        world.faults.heal();
        snapshot(&world).await;
    }
    assert_eq!(world.vault.commits_waiting().await.unwrap(), 0);
    let found = recover(&mut world).await;
    assert!(
        found.is_whole() && found.missing_snapshots.is_empty(),
        "{found:?}"
    );
    assert!(found.next_snapshot <= 7, "{found:?}");
}

/// A commit that needs no store.
async fn put_in_catalog(world: &World) {
    world
        .catalog
        .commit(vec![Mutation::RestoreSeq(0)])
        .await
        .unwrap();
}

/// A restart in an outage seals the same bytes again.
#[tokio::test]
async fn a_try_that_arrives_late_changes_nothing() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    let puts = world.faults.calls()[0];
    world
        .faults
        .on_put(puts + 1, PutFault::StoredButError(Injected::Timeout));
    world.vault.write_snapshot().await.unwrap_err();
    let id = world.keyring.snapshot_blob_id(0);
    let late = world.store.sealed(id).unwrap();
    // Not there yet when the next process begins.
    world.store.delete(id).await.unwrap();
    let catalog = Arc::clone(&world.catalog);
    restore(&mut world, &catalog);
    put(&world, &["b"]).await;
    snapshot(&world).await;
    assert!(world.store.sealed(id) == Some(late));
    assert!(recover(&mut world).await.is_whole());
    assert_eq!(names(&world).await, ["a", "b"]);
}

async fn small_base(world: &World) -> u64 {
    world.vault.rebase_by(1).await.unwrap()
}

#[tokio::test]
async fn a_recovery_begins_with_the_newest_base_and_what_is_older_goes() {
    let mut world = World::new().await;
    for round in ["a", "b", "c"] {
        put(&world, &[round]).await;
        snapshot(&world).await;
        assert!(small_base(&world).await > 1, "pages");
        put(&world, &[&format!("{round}2")]).await;
    }
    snapshot(&world).await;
    let before = world.catalog.dump(None, usize::MAX).await.unwrap().0;
    let pruned = world.vault.prune_snapshots(3).await.unwrap();
    assert_eq!(pruned, 3, "bounded");
    while world.vault.prune_snapshots(1_000).await.unwrap() > 0 {}
    assert!(
        world
            .store
            .sealed(world.keyring.snapshot_blob_id(0))
            .is_none()
    );
    world.wait(9 * GRACE_MS_MIN);
    assert_eq!(
        sweep(&world).await.orphans,
        0,
        "pages and pointers are kept"
    );
    let found = recover(&mut world).await;
    assert!(found.is_whole() && found.base.is_some(), "{found:?}");
    assert!(world.catalog.dump(None, usize::MAX).await.unwrap().0 == before);
    // It goes on, and once more.
    put(&world, &["d"]).await;
    snapshot(&world).await;
    assert!(recover(&mut world).await.is_whole());
    assert_eq!(names(&world).await, ["a", "a2", "b", "b2", "c", "c2", "d"]);
}

/// One that the store keeps holds up neither those after it nor a recovery, and the sweep tries it
/// again.
#[tokio::test]
async fn an_old_snapshot_that_the_store_keeps_holds_up_no_other() {
    for swept in [true, false] {
        let mut world = World::new().await;
        for round in ["a", "b", "c"] {
            put(&world, &[round]).await;
            snapshot(&world).await;
            small_base(&world).await;
        }
        let next = world.faults.calls()[2] + 2;
        let kept = DeleteFault::Error(Injected::Kept);
        world.faults.on_delete(next, kept);
        while world.vault.prune_snapshots(1_000).await.unwrap() > 0 {}
        let there = |number| {
            let id = world.keyring.snapshot_blob_id(number);
            world.store.sealed(id).is_some()
        };
        assert_eq!([0, 1, 2].map(there), [false, true, false]);
        world.wait(9 * GRACE_MS_MIN);
        if swept {
            assert_eq!(sweep(&world).await.orphans, 1);
            assert_eq!([0, 1, 2].map(there), [false; 3]);
        }
        assert!(recover(&mut world).await.is_whole());
        assert_eq!(names(&world).await, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn a_damaged_base_gives_way_to_the_one_before() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    small_base(&world).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    let first = world.catalog.chain().await.unwrap().unwrap().next;
    small_base(&world).await;
    while world.vault.prune_snapshots(1_000).await.unwrap() > 0 {}
    let page = world.keyring.snapshot_blob_id(first + 1);
    world.store.tamper(page, Bytes::from_static(b"damaged"));
    let found = recover(&mut world).await;
    assert_eq!(
        (found.damaged_bases.clone(), found.is_whole()),
        (vec![first], false)
    );
    assert_eq!(names(&world).await, ["a", "b"]);
    // The next base does not make the damaged one the one before it.
    let chain = world.catalog.chain().await.unwrap().unwrap();
    let whole = chain.base.unwrap().first;
    assert!(whole < first);
    world.vault.claim().await.unwrap();
    small_base(&world).await;
    let chain = world.catalog.chain().await.unwrap().unwrap();
    assert_eq!(chain.keep_from, whole);
}

#[tokio::test]
async fn a_base_cut_short_is_passed_over() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let puts = world.faults.calls()[0];
    world
        .faults
        .on_put(puts + 3, PutFault::Error(Injected::Full));
    world.vault.rebase_by(1).await.unwrap_err();
    // The next process does not have the bytes of the page any more.
    let catalog = Arc::clone(&world.catalog);
    restore(&mut world, &catalog);
    put(&world, &["b"]).await;
    snapshot(&world).await;
    let found = recover(&mut world).await;
    assert!(found.is_whole() && found.base.is_none(), "{found:?}");
    assert_eq!(names(&world).await, ["a", "b"]);
}

#[tokio::test]
async fn after_a_recovery_that_was_not_whole_no_orphan_is_swept_until_it_is_accepted() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    let hidden = world.keyring.snapshot_blob_id(1);
    let sealed = world.store.sealed(hidden).unwrap();
    world.store.delete(hidden).await.unwrap();
    let found = recover(&mut world).await;
    assert_eq!((found.unknown.later, found.is_whole()), (0, true));
    assert!(found.is_doubtful(), "it may have come after the newest");
    world.wait(9 * GRACE_MS_MIN);
    let swept = sweep(&world).await;
    assert_eq!((swept.orphans, swept.doubted), (0, true));
    // The store finds it again: a second recovery has it all.
    let bytes = sealed.len() as u64;
    let body = Box::pin(stream::iter([Ok(sealed)]));
    world.store.put(hidden, bytes, body).await.unwrap();
    assert!(recover(&mut world).await.is_whole());
    assert_eq!(world.get("job-1", "b", Span::All).await.unwrap(), b"b");
    assert!(!sweep(&world).await.doubted);
}

/// A snapshot as a program of before wrote it, under a number of its own.
pub(super) async fn old(world: &World, number: u64, from: u64) {
    let changes = world.catalog.changes(from, usize::MAX).await.unwrap();
    let snapshot = Snapshot {
        number,
        created: world.vault.now(),
        back: None,
        body: Body::Changes(changes),
    };
    let key = world.keyring.snapshot_key();
    let entropy = world.parts().entropy;
    let plain = snapshot.encode();
    let sealed = seal_snapshot(&key, &number.to_be_bytes(), &plain, entropy.as_ref()).unwrap();
    let bytes = sealed.len() as u64;
    let body = Box::pin(stream::iter([Ok(sealed)]));
    let id: BlobId = world.keyring.snapshot_blob_id(number);
    world.store.put(id, bytes, body).await.unwrap();
}

#[tokio::test]
async fn an_old_vault_goes_on_with_its_snapshots() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    old(&world, 0, 0).await;
    let seq = world.catalog.change_seq().await.unwrap();
    put(&world, &["b"]).await;
    // A number was burnt, and a crash left the changes of this one in the catalog.
    old(&world, 2, seq).await;
    put(&world, &["c"]).await;
    world.vault.check_chain().await.unwrap();
    snapshot(&world).await;
    let found = recover(&mut world).await;
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.next_snapshot, 4);
    assert_eq!(names(&world).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_old_vault_whose_catalog_is_older_or_another_is_refused() {
    let mut world = World::new().await;
    let older = backup(&world.catalog).await;
    put(&world, &["a"]).await;
    old(&world, 0, 0).await;
    restore(&mut world, &older);
    let want = Some(ChainFault::Older { number: 0 });
    assert_eq!(fault(&world).await, want);
    put(&world, &["x"]).await;
    assert_eq!(fault(&world).await, Some(ChainFault::Forked { number: 0 }));
}

#[tokio::test]
async fn a_fork_of_old_snapshots_is_told_and_its_commits_are_left_out() {
    let mut world = World::new().await;
    let older = backup(&world.catalog).await;
    let seq = world.catalog.change_seq().await.unwrap();
    put(&world, &["a", "b"]).await;
    old(&world, 0, 0).await;
    restore(&mut world, &older);
    put(&world, &["x", "y", "z"]).await;
    old(&world, 1, seq).await;
    let found = recover(&mut world).await;
    let fork = Fork {
        snapshot: 1,
        commit: seq + 1,
    };
    assert_eq!((found.fork, found.forked_commits), (Some(fork), 3));
    assert!(!found.is_whole());
    assert_eq!(
        names(&world).await,
        ["a", "b"],
        "nothing on the wrong state"
    );
}

#[tokio::test]
async fn snapshots_far_beyond_burnt_numbers_are_found_by_what_is_unexplained() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    old(&world, 0, 0).await;
    let seq = world.catalog.change_seq().await.unwrap();
    world.wait(1);
    world.put("olivia", "b", &sample(10)).await.unwrap();
    world.wait(crate::types::limits::SNAPSHOT_LAG_WARN_MS);
    let far = crate::types::limits::SNAPSHOT_GAP + 100;
    old(&world, far, seq).await;
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    restore(&mut world, &fresh);
    let search = 2 * crate::types::limits::SNAPSHOT_GAP;
    let found = world.vault.recover_within(search, |_| {}).await.unwrap();
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.next_snapshot, far + 1);
    assert_eq!(names(&world).await, ["a", "b"]);
    // Where it does not look so far, that is not whole.
    restore(
        &mut world,
        &(Arc::new(MemoryCatalog::new()) as SharedCatalog),
    );
    let near = world.vault.recover_within(1, |_| {}).await.unwrap();
    assert!(!near.is_whole());
    assert_eq!((near.unknown.blobs, near.unknown.later), (2, 2));
}

#[tokio::test]
async fn somebody_can_wait_until_a_commit_is_in_a_snapshot() {
    let world = World::new().await;
    put(&world, &["a"]).await;
    let seq = world.catalog.change_seq().await.unwrap();
    let long = std::time::Duration::from_secs(30);
    let mut wait = Box::pin(world.vault.snapshot_covers(seq, long));
    assert!(futures_util::poll!(&mut wait).is_pending());
    snapshot(&world).await;
    wait.await.unwrap();
    // A vault over the same catalog, of another process, knows it as well.
    let mut other = World::new().await;
    restore(&mut other, &world.catalog);
    other.vault.snapshot_covers(seq, long).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_snapshot_that_never_comes_ends() {
    let world = World::new().await;
    let patience = std::time::Duration::from_secs(30);
    let waited = world.vault.snapshot_covers(1, patience).await.unwrap_err();
    assert_eq!(waited.kind(), crate::vault::ErrorKind::Unavailable);
}
