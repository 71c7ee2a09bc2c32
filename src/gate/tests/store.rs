//! What the gate demands of a store, and how what it holds stays small.

use std::sync::Arc;

use super::support::{LANE, Overwriting, Ticking, World, close, event, fill, key, note};
use crate::gate::names::Kind;
use crate::gate::{Gate, GateError, GateParts};
use crate::journal::prune;
use crate::store::fault::{DeleteFault, Injected};
use crate::store::memory::MemoryStore;
use crate::store::{SharedStore, StoreError};
use crate::types::Timestamp;

fn opened(store: SharedStore, other: SharedStore) -> Result<Gate, GateError> {
    let ticking = Ticking::new();
    Gate::open(GateParts {
        store,
        other,
        key: key(),
        entropy: ticking,
    })
}

#[tokio::test]
async fn a_store_that_is_not_fit_is_refused_and_told_why() {
    let memory = || Arc::new(MemoryStore::new(Ticking::new()));
    // As Garage: If-None-Match is not looked at.
    let inner = memory();
    let lax: SharedStore = Arc::new(Overwriting(Arc::clone(&inner)));
    let told = opened(Arc::clone(&lax), lax).map(drop).unwrap_err();
    assert!(matches!(told, GateError::Unfit { lacks } if lacks.contains("If-None-Match")));
    // Another connection sees an older state.
    let told = opened(memory(), memory()).map(drop).unwrap_err();
    assert!(matches!(told, GateError::Unfit { lacks } if lacks.contains("at once")));
    let one = memory();
    let place: SharedStore = Arc::<MemoryStore>::clone(&one);
    assert!(opened(Arc::clone(&place), place).is_ok());
    for memory in [inner, one] {
        let left = crate::store::BlobStore::list(&*memory, None, 9)
            .await
            .unwrap();
        assert!(left.is_empty(), "the probe cleans up after itself");
    }
}

async fn full(world: &World) {
    let wal = world.open().unwrap();
    for n in 0..12 {
        note(&wal, n).await.unwrap();
        fill(&wal).await.unwrap();
    }
    close(world, wal).await.unwrap();
}

fn kinds(items: &[(crate::gate::names::Item, crate::types::BlobId)], kind: Kind) -> usize {
    items.iter().filter(|(item, _)| item.kind == kind).count()
}

#[tokio::test]
async fn full_files_become_one_blob_each_and_are_made_again_from_it() {
    let world = World::new();
    full(&world).await;
    let (files, events) = (world.files(), world.events());
    let before = world.items(LANE).await;
    let gate = world.gate();
    let made = gate.compact(&world.journal(), LANE).unwrap();
    assert_eq!(usize::try_from(made).unwrap(), files.len() - 1);
    let after = world.items(LANE).await;
    assert_eq!(kinds(&after, Kind::Whole), files.len() - 1);
    assert!(kinds(&after, Kind::Batch) < kinds(&before, Kind::Batch));
    assert_eq!(
        gate.compact(&world.journal(), LANE).unwrap(),
        0,
        "it is done"
    );
    world.lose_the_disk();
    close(&world, world.open().unwrap()).await.unwrap();
    for (name, bytes) in &files {
        assert_eq!(world.files().get(name), Some(bytes), "{name}");
    }
    assert_eq!(world.events(), events);
    // One of the files alone is lost, or one that is damaged has lost its header.
    let (name, _) = files.iter().next().unwrap();
    let path = world.journal().join(LANE).join(name);
    std::fs::remove_file(&path).unwrap();
    close(&world, world.open().unwrap()).await.unwrap();
    std::fs::write(&path, b"no header").unwrap();
    close(&world, world.open().unwrap()).await.unwrap();
    assert_eq!(world.events(), events);
}

#[tokio::test]
async fn putting_together_may_stop_at_each_deletion() {
    for step in 1..8 {
        let world = World::new();
        full(&world).await;
        let events = world.events();
        let gate = world.gate();
        let calls = world.fault.calls()[2];
        world
            .fault
            .on_delete(calls + step, DeleteFault::Error(Injected::Failed));
        let done = gate.compact(&world.journal(), LANE);
        assert!(matches!(
            done,
            Err(GateError::Store(StoreError::Failed { .. }))
        ));
        let copy = world.copy().await;
        close(&copy, copy.open().unwrap()).await.unwrap();
        assert_eq!(copy.events(), events, "step {step}");
        gate.compact(&world.journal(), LANE).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_put_together() {
    let world = World::new();
    full(&world).await;
    let events = world.events();
    let (name, bytes) = world.files().into_iter().next().unwrap();
    let path = world.journal().join(LANE).join(name);
    let mut all = std::fs::read(&path).unwrap();
    all[bytes.len() / 2] ^= 1;
    std::fs::write(&path, all).unwrap();
    let gate = world.gate();
    let made = gate.compact(&world.journal(), LANE).unwrap();
    assert_eq!(usize::try_from(made).unwrap(), world.files().len() - 2);
    // The store has it whole, and mends it.
    close(&world, world.open().unwrap()).await.unwrap();
    assert_eq!(world.events(), events);
}

#[tokio::test]
async fn what_is_removed_at_its_time_goes_from_the_store_and_nothing_else() {
    let later = Timestamp::from_millis(u64::MAX);
    for compacted in [false, true] {
        let world = World::new();
        full(&world).await;
        let gate = world.gate();
        if compacted {
            gate.compact(&world.journal(), LANE).unwrap();
        }
        let dir = world.journal();
        let firsts = gate.files(&dir, LANE).unwrap().firsts().unwrap();
        let left = firsts[2];
        gate.mark(&dir, LANE, left).unwrap();
        // Cut short here: both begin where they did, or at the mark.
        let copy = world.copy_whole().await;
        close(&copy, copy.open().unwrap()).await.unwrap();
        let all = world.events();
        prune(&dir, LANE, key(), (left, later)).unwrap();
        let rest = world.events();
        assert!(rest.len() < all.len());
        assert!(gate.prune(LANE).unwrap() > 0);
        assert_eq!(gate.prune(LANE).unwrap(), 0);
        world.lose_the_disk();
        close(&world, world.open().unwrap()).await.unwrap();
        // No finding, and nothing in front of the mark.
        assert_eq!(world.events(), rest);
        let wal = world.open().unwrap();
        note(&wal, 90).await.unwrap();
        close(&world, wal).await.unwrap();
        assert_eq!(world.events().last(), Some(&event(90)));
    }
}

/// Without the mark, a beginning that is missing was taken away.
#[tokio::test]
async fn a_store_that_drops_the_beginning_or_the_mark_is_found_out() {
    let world = World::new();
    full(&world).await;
    let gate = world.gate();
    let dir = world.journal();
    let firsts = gate.files(&dir, LANE).unwrap().firsts().unwrap();
    gate.mark(&dir, LANE, firsts[1]).unwrap();
    gate.prune(LANE).unwrap();
    let copy = world.copy().await;
    close(&copy, copy.open().unwrap()).await.unwrap();
    let items = world.items(LANE).await;
    let (_, mark) = items
        .iter()
        .find(|(item, _)| item.kind == Kind::Mark)
        .unwrap();
    let copy = world.copy().await;
    crate::store::BlobStore::delete(&*copy.memory, *mark)
        .await
        .unwrap();
    assert!(copy.open().is_err());
    let copy = world.copy().await;
    let blob = copy.memory.sealed(*mark).unwrap();
    copy.memory.tamper(*mark, blob.slice(1..));
    assert!(copy.open().is_err());
}

#[tokio::test]
async fn a_journal_that_was_cut_before_begins_in_the_store_behind_its_mark() {
    let later = Timestamp::from_millis(u64::MAX);
    let world = World::new();
    let wal = world.open_with(None, 60_000).unwrap();
    for n in 0..12 {
        note(&wal, n).await.unwrap();
        fill(&wal).await.unwrap();
    }
    close(&world, wal).await.unwrap();
    prune(&world.journal(), LANE, key(), (u64::MAX, later)).unwrap();
    let rest = world.events();
    close(&world, world.open().unwrap()).await.unwrap();
    world.lose_the_disk();
    close(&world, world.open().unwrap()).await.unwrap();
    assert_eq!(world.events(), rest);
}
