//! The chain of snapshots where it parts: what is told of a fork, what a catalog that is not the
//! vault's own may not do, and a store that is not of one mind.

use std::sync::Arc;

use bytes::Bytes;

use super::chain::{backup, fault, names, old, put, recover, restore, snapshot};
use super::keywork::{ask, bucket};
use super::support::{World, settings};
use crate::catalog::{EraseScope, MemoryCatalog, SharedCatalog};
use crate::store::BlobStore as _;
use crate::store::fault::{GetFault, Injected, ListFault, PutFault};
use crate::vault::{ChainFault, ErrorKind, GRACE_MS_MIN, Settings, SweepAsk, Unopened, Vault};

const SWEEP: SweepAsk = SweepAsk {
    grace_ms: 0,
    upload_ms: 7 * GRACE_MS_MIN,
};

/// An older catalog was adopted, and its base is damaged: the commits behind it are not applied to
/// the state that was left.
#[tokio::test]
async fn an_adoption_whose_base_is_damaged_is_a_fork() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    world.vault.rebase_by(1).await.unwrap();
    let older = backup(&world.catalog).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    restore(&mut world, &older);
    world.vault.adopt().await.unwrap();
    let chain = world.catalog.chain().await.unwrap().unwrap();
    let first = chain.base.unwrap().first;
    put(&world, &["d"]).await;
    snapshot(&world).await;
    let page = world.keyring.snapshot_blob_id(first);
    let sealed = world.store.sealed(page).unwrap();
    // One of several pages would do as well; here it is the only one, and the next tells.
    world.store.tamper(page, Bytes::from_static(b"damaged"));
    let found = recover(&mut world).await;
    assert_eq!(found.damaged_bases, [first]);
    assert!(!found.is_whole() && found.is_doubtful(), "{found:?}");
    assert!(!names(&world).await.contains(&"d".to_owned()));
    // Whole again, it is as it was adopted.
    world.store.tamper(page, sealed);
    let found = recover(&mut world).await;
    assert!(found.fork.is_none() && found.base.is_some(), "{found:?}");
    assert_eq!(names(&world).await, ["a", "d"]);
}

/// The same where the pointer to the base is hidden, and its pages are there.
#[tokio::test]
async fn an_adoption_whose_pointer_is_hidden_is_a_fork() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let older = backup(&world.catalog).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    restore(&mut world, &older);
    world.vault.adopt().await.unwrap();
    let chain = world.catalog.chain().await.unwrap().unwrap();
    put(&world, &["d"]).await;
    snapshot(&world).await;
    let pointer = world
        .keyring
        .snapshot_blob_id(super::super::snapshot::POINTERS);
    world.store.delete(pointer).await.unwrap();
    let found = recover(&mut world).await;
    let fork = found.fork.expect("told");
    assert_eq!(fork.snapshot, chain.base.unwrap().first);
    assert!(found.forked_commits > 0 && !found.is_whole(), "{found:?}");
    assert_eq!(names(&world).await, ["a", "b"], "one state, not a mixture");
}

/// The result of a forked recovery is where the next one begins.
#[tokio::test]
async fn what_is_written_after_a_fork_is_recovered() {
    let mut world = World::new().await;
    let older = backup(&world.catalog).await;
    let seq = world.catalog.change_seq().await.unwrap();
    put(&world, &["a"]).await;
    old(&world, 0, 0).await;
    restore(&mut world, &older);
    put(&world, &["x", "y", "z"]).await;
    old(&world, 1, seq).await;
    let theirs = world.catalog.change_seq().await.unwrap();
    assert!(recover(&mut world).await.fork.is_some());
    assert!(
        world.catalog.change_seq().await.unwrap() >= theirs,
        "no number comes twice"
    );
    world.vault.claim().await.unwrap();
    let unbased = world.vault.write_snapshot().await.unwrap_err();
    assert_eq!(unbased.chain_fault(), Some(ChainFault::Unbased));
    world.vault.rebase().await.unwrap();
    put(&world, &["n"]).await;
    snapshot(&world).await;
    let found = recover(&mut world).await;
    assert!(found.fork.is_none() && found.base.is_some(), "{found:?}");
    assert!(found.is_doubtful(), "nobody has accepted it");
    assert_eq!(names(&world).await, ["a", "n"]);
}

/// Nobody's key and nobody's blob goes by the word of a catalog that is not the vault's own.
#[tokio::test(start_paused = true)]
async fn a_catalog_that_is_not_the_vaults_destroys_no_key_and_deletes_no_blob() {
    let mut world = super::keywork::stocked().await;
    world.vault.write_snapshot().await.unwrap();
    let older = backup(&world.catalog).await;
    put(&world, &["later"]).await;
    snapshot(&world).await;
    restore(&mut world, &older);
    let kept = Settings {
        snapshots_kept: true,
        ..settings(false)
    };
    world.vault = Arc::new(Vault::new(world.parts(), kept));
    let blobs = world.blobs().await;
    let row = world.catalog.dataset(&bucket()).await.unwrap().unwrap();
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket()).await.unwrap_err();
    assert_eq!(rotated.chain_fault(), Some(ChainFault::Older { number: 1 }));
    assert!(world.keyring.versions_of(&row.id).unwrap().contains(&1));
    for _ in 0..2 {
        world
            .vault
            .resume_key_works(Unopened::Wait)
            .await
            .unwrap_err();
    }
    let call = world.call(None);
    let erased = world
        .vault
        .erase_agreed(&call, &bucket(), ask(EraseScope::Dataset))
        .await;
    assert!(erased.is_err());
    assert!(world.keyring.versions_of(&row.id).unwrap().contains(&1));
    world.wait(9 * GRACE_MS_MIN);
    let swept = world.vault.sweep(SWEEP).await.unwrap_err();
    assert_eq!(swept.chain_fault(), Some(ChainFault::Older { number: 1 }));
    assert_eq!(world.blobs().await, blobs);
}

/// A sweep takes long: the vault may become another's while it walks.
#[tokio::test]
async fn a_sweep_stops_when_the_vault_becomes_anothers() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let first = Arc::clone(&world.catalog);
    put(&world, &["a"]).await;
    snapshot(&world).await;
    recover(&mut world).await;
    world.vault.claim().await.unwrap();
    world.wait(9 * GRACE_MS_MIN);
    let blobs = world.blobs().await;
    restore(&mut world, &first);
    let swept = world.vault.sweep(SWEEP).await.unwrap_err();
    assert!(swept.chain_fault().is_some());
    let looked = world.vault.look_at_chain().await.unwrap_err();
    assert!(looked.chain_fault().is_some());
    assert_eq!(world.blobs().await, blobs);
    assert!(
        first
            .claim_unreferenced(world.vault.now(), 10)
            .await
            .unwrap()
            .len()
            == 1,
        "it was not even claimed"
    );
}

#[tokio::test]
async fn a_newest_snapshot_that_is_gone_stops_all_until_the_catalog_is_written_anew() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    let blob = world.keyring.snapshot_blob_id(1);
    let sealed = world.store.sealed(blob).unwrap();
    world.store.delete(blob).await.unwrap();
    let lost = Some(ChainFault::Lost { number: 1, blob });
    assert_eq!(fault(&world).await, lost);
    assert!(world.vault.sweep(SWEEP).await.is_err());
    // It is there again: nothing has happened.
    let whole = Box::pin(futures_util::stream::iter([Ok(sealed.clone())]));
    world
        .store
        .put(blob, sealed.len() as u64, whole)
        .await
        .unwrap();
    assert_eq!(fault(&world).await, None);
    world.store.delete(blob).await.unwrap();
    world.vault.adopt().await.unwrap();
    put(&world, &["c"]).await;
    snapshot(&world).await;
    assert_eq!(fault(&world).await, None);
    let found = recover(&mut world).await;
    assert!(found.is_whole() && found.is_doubtful(), "{found:?}");
    assert_eq!(names(&world).await, ["a", "b", "c"]);
}

/// A replica that lags, a listing that is behind: tried again, it goes on, and no word of a fork.
#[tokio::test]
async fn a_store_that_is_not_of_one_mind_is_asked_again() {
    let world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    put(&world, &["b"]).await;
    let gets = world.faults.calls()[1];
    world
        .faults
        .on_get(gets + 1, GetFault::Error(Injected::NotFound));
    let behind = world.vault.write_snapshot().await.unwrap_err();
    assert!(matches!(
        behind.chain_fault(),
        Some(ChainFault::Lost { number: 0, .. })
    ));
    // The answer of the next is lost, and it is listed before it can be read.
    let puts = world.faults.calls()[0];
    world
        .faults
        .on_put(puts + 1, PutFault::StoredButError(Injected::Timeout));
    world.vault.write_snapshot().await.unwrap_err();
    let gets = world.faults.calls()[1];
    world
        .faults
        .on_get(gets + 2, GetFault::Error(Injected::NotFound));
    let behind = world.vault.write_snapshot().await.unwrap_err();
    assert_eq!(behind.chain_fault(), None);
    assert_eq!(behind.kind(), ErrorKind::Integrity);
    // Read before it is listed: it is sent again, refused as taken, and found to be the same.
    let lists = world.faults.calls()[3];
    world.faults.on_list(lists + 1, ListFault::Empty);
    assert_eq!(snapshot(&world).await, 1);
    assert_eq!(fault(&world).await, None);
}

/// What was in doubt when the catalog was lost is in doubt when it is back.
#[tokio::test]
async fn doubt_outlives_the_catalog() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let older = backup(&world.catalog).await;
    put(&world, &["b"]).await;
    snapshot(&world).await;
    restore(&mut world, &older);
    world.vault.adopt().await.unwrap();
    world.wait(9 * GRACE_MS_MIN);
    put(&world, &["c"]).await;
    snapshot(&world).await;
    for _ in 0..2 {
        let found = recover(&mut world).await;
        assert!(found.is_whole() && found.was_doubted, "{found:?}");
        assert!(world.vault.sweep(SWEEP).await.unwrap().doubted);
        world.vault.claim().await.unwrap();
    }
    assert!(world.vault.accept().await.unwrap());
    world.vault.claim().await.unwrap();
    let found = recover(&mut world).await;
    assert!(!found.was_doubted, "{found:?}");
    assert!(!found.unknown.maybe_later && found.unknown.blobs == 1);
    assert_eq!(world.vault.sweep(SWEEP).await.unwrap().orphans, 1);
}

/// The pointers to the bases are gone, and what came before the bases is deleted: the pages are
/// found by themselves.
#[tokio::test]
async fn a_base_whose_pointer_is_lost_is_found() {
    let mut world = World::new().await;
    for round in ["a", "b", "c"] {
        put(&world, &[round]).await;
        snapshot(&world).await;
        assert!(world.vault.rebase_by(300).await.unwrap() > 1);
    }
    put(&world, &["d"]).await;
    snapshot(&world).await;
    while world.vault.prune_snapshots(1_000).await.unwrap() > 0 {}
    let chain = world.catalog.chain().await.unwrap().unwrap();
    assert!(chain.floor > 0 && chain.bases == 3);
    for pointer in 0..3 {
        let number = super::super::snapshot::POINTERS + pointer;
        let id = world.keyring.snapshot_blob_id(number);
        world.store.delete(id).await.unwrap();
    }
    let before = world.catalog.dump(None, usize::MAX).await.unwrap().0;
    let found = recover(&mut world).await;
    assert!(found.is_whole() && found.base.is_some(), "{found:?}");
    assert!(world.catalog.dump(None, usize::MAX).await.unwrap().0 == before);
    world.vault.claim().await.unwrap();
    put(&world, &["e"]).await;
    world.vault.rebase_by(300).await.unwrap();
    assert!(recover(&mut world).await.is_whole());
    assert_eq!(names(&world).await, ["a", "b", "c", "d", "e"]);
}

/// The store has the newest snapshot and does not list it: a recovery does not write over it.
#[tokio::test]
async fn a_recovery_writes_over_nothing_that_is_not_listed() {
    let mut world = World::new().await;
    put(&world, &["a"]).await;
    snapshot(&world).await;
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    restore(&mut world, &fresh);
    world
        .faults
        .on_list(world.faults.calls()[3] + 1, ListFault::Empty);
    let found = world.vault.recover_within(50, |_| {}).await.unwrap();
    assert_eq!(found.snapshots, 0);
    world
        .faults
        .on_list(world.faults.calls()[3] + 1, ListFault::Empty);
    let claimed = world.vault.claim().await.unwrap_err();
    assert_eq!(
        claimed.chain_fault(),
        Some(ChainFault::Forked { number: 0 })
    );
    assert!(recover(&mut world).await.is_whole());
    assert_eq!(names(&world).await, ["a"]);
}
