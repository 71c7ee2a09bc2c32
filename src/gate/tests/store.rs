//! What the gate demands of a store, and how what it holds stays small.

use std::sync::Arc;
use std::time::Duration;

use super::support::{LANE, Overwriting, Ticking, World, close, event, fill, key, note};
use crate::gate::names::{Item, Kind, batch_of};
use crate::gate::{Gate, GateError, GateParts, Stop};
use crate::journal::prune;
use crate::store::fault::{DeleteFault, GetFault, Injected, ListFault, PutFault};
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

/// Puts full files together, and nobody stops it.
fn compact(world: &World, gate: &Gate) -> Result<u64, GateError> {
    let (_goes_on, stop) = Stop::pair();
    gate.compact(&world.journal(), LANE, &stop)
}

/// Whether of each file but the newest there is one blob and its beginning.
async fn is_together(world: &World) -> bool {
    let items = world.items(LANE).await;
    let batches = items.iter().filter(|(item, _)| item.kind == Kind::Batch);
    let newest = batches.clone().map(|(i, _)| batch_of(i.number).0).max();
    let more = batches.filter(|(item, _)| {
        let (file, index) = batch_of(item.number);
        Some(file) != newest && index > 0
    });
    let whole = |file| {
        let item = Item::new(Kind::Whole, file);
        items.iter().any(|(there, _)| *there == item)
    };
    more.count() == 0 && (0..newest.unwrap()).all(whole)
}

fn kinds(items: &[(Item, crate::types::BlobId)], kind: Kind) -> usize {
    items.iter().filter(|(item, _)| item.kind == kind).count()
}

#[tokio::test]
async fn full_files_become_one_blob_each_and_are_made_again_from_it() {
    let world = World::new();
    full(&world).await;
    let (files, events) = (world.files(), world.events());
    let before = world.items(LANE).await;
    let gate = world.gate();
    let made = compact(&world, &gate).unwrap();
    assert_eq!(usize::try_from(made).unwrap(), files.len() - 1);
    let after = world.items(LANE).await;
    assert_eq!(kinds(&after, Kind::Whole), files.len() - 1);
    assert!(kinds(&after, Kind::Batch) < kinds(&before, Kind::Batch));
    assert_eq!(compact(&world, &gate).unwrap(), 0, "it is done");
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
        let done = compact(&world, &gate);
        assert!(matches!(
            done,
            Err(GateError::Store(StoreError::Failed { .. }))
        ));
        let copy = world.copy().await;
        close(&copy, copy.open().unwrap()).await.unwrap();
        assert_eq!(copy.events(), events, "step {step}");
        assert!(compact(&world, &gate).unwrap() > 0, "it is taken up again");
        assert!(is_together(&world).await, "step {step}");
        assert_eq!(compact(&world, &gate).unwrap(), 0);
    }
}

/// Batches go only behind a blob that has all of them, whoever wrote that.
#[tokio::test]
async fn batches_stay_beside_a_whole_file_that_is_another() {
    let world = World::new();
    full(&world).await;
    let gate = world.gate();
    let calls = world.fault.calls()[2];
    world
        .fault
        .on_delete(calls + 1, DeleteFault::Error(Injected::Failed));
    assert!(compact(&world, &gate).is_err());
    let before = world.items(LANE).await;
    let whole = before.iter().find(|(item, _)| item.kind == Kind::Whole);
    let (_, id) = *whole.unwrap();
    let mut bent = world.memory.sealed(id).unwrap().to_vec();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    world.memory.tamper(id, bent.into());
    let told = compact(&world, &gate).unwrap_err();
    assert!(matches!(told, GateError::Broken { .. }), "{told}");
    assert_eq!(world.items(LANE).await, before);
}

/// A stop is not held up by a store that hangs, at whichever call; nothing is lost, and the next
/// start ends what was begun.
#[tokio::test]
async fn putting_together_ends_when_it_is_to_stop() {
    for call in 0..12_u64 {
        let world = World::new();
        full(&world).await;
        let events = world.events();
        let gate = world.gate();
        let calls = world.fault.calls();
        match call {
            0 => world.fault.on_list(calls[3] + 1, ListFault::Hang),
            1..3 => world.fault.on_put(calls[0] + call, PutFault::Hang),
            3..8 => world.fault.on_get(calls[1] + call - 2, GetFault::Hang),
            _ => world
                .fault
                .on_delete(calls[2] + (call - 7) * 2, DeleteFault::Hang),
        }
        let (stopper, stop) = Stop::pair();
        let (dir, theirs) = (world.journal(), gate.clone());
        let work = tokio::task::spawn_blocking(move || theirs.compact(&dir, LANE, &stop));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!work.is_finished(), "{call}: it hangs");
        stopper.stop();
        let told = tokio::time::timeout(Duration::from_secs(5), work).await;
        let told = told.expect("it ends").unwrap();
        assert!(matches!(told, Err(GateError::Stopped)), "{call}: {told:?}");
        for copy in [world.copy().await, world.copy_whole().await] {
            close(&copy, copy.open().unwrap()).await.unwrap();
            assert_eq!(copy.events(), events, "{call}");
        }
        compact(&world, &gate).unwrap();
        assert!(is_together(&world).await, "{call}");
        world.lose_the_disk();
        close(&world, world.open().unwrap()).await.unwrap();
        assert_eq!(world.events(), events, "{call}");
    }
    // Told before it begins, it asks nothing.
    let world = World::new();
    full(&world).await;
    let gate = world.gate();
    let calls = world.fault.calls();
    let (stopper, stop) = Stop::pair();
    drop(stopper);
    let told = gate.compact(&world.journal(), LANE, &stop);
    assert!(matches!(told, Err(GateError::Stopped)));
    assert_eq!(world.fault.calls(), calls);
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
    let made = compact(&world, &gate).unwrap();
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
            compact(&world, &gate).unwrap();
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

/// A mark of an earlier filling of the place, put back, would hide files in front of it.
#[tokio::test]
async fn a_mark_of_an_earlier_filling_is_found_out() {
    let world = World::new();
    full(&world).await;
    let gate = world.gate();
    let dir = world.journal();
    let firsts = gate.files(&dir, LANE).unwrap().firsts().unwrap();
    gate.mark(&dir, LANE, firsts[2]).unwrap();
    let (mark, id) = *world.items(LANE).await.last().unwrap();
    assert_eq!(mark, Item::new(Kind::Mark, 2));
    let sealed = world.memory.sealed(id).unwrap();
    // The place is emptied, and what the directory has is sent again: it begins later by then.
    let later = Timestamp::from_millis(u64::MAX);
    prune(&dir, LANE, key(), (firsts[1], later)).unwrap();
    for id in world.blobs().await.into_keys() {
        crate::store::BlobStore::delete(&*world.memory, id)
            .await
            .unwrap();
    }
    close(&world, world.open().unwrap()).await.unwrap();
    let copy = world.copy().await;
    close(&copy, copy.open().unwrap()).await.unwrap();
    assert_eq!(copy.events(), world.events());
    for copy in [world.copy().await, world.copy_whole().await] {
        super::support::put(&*copy.memory, id, sealed.clone())
            .await
            .unwrap();
        let told = copy.open().map(drop).unwrap_err();
        assert!(told.to_string().contains("mark"), "{told}");
    }
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
