//! A store that was rolled back, or mixes two histories of one log: what the directory has shown is
//! held against it before anything there is touched, and no checkpoint is signed that could fork.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::log::{grow, lose, notary, read, round, shelf};
use super::support::{World, close, note, put};
use crate::gate::names::{Item, Kind};
use crate::gate::{Gate, GateError};
use crate::store::fault::GetFault;
use crate::types::BlobId;

/// The directory of `ours` beside the store of `theirs`.
fn between(ours: World, theirs: &World) -> World {
    World {
        memory: Arc::clone(&theirs.memory),
        fault: Arc::clone(&theirs.fault),
        ..ours
    }
}

/// Two histories that begin with the same rounds: a machine went on with its disk, and another
/// without one, on a copy of the store of before. Each with so many rounds in all.
async fn forked(common: u32, (ours, theirs): (u32, u32)) -> (World, World) {
    let world = World::new();
    grow(&world, &world.gate(), 0..common).await;
    let other = world.copy().await;
    grow(&world, &world.gate(), common..ours).await;
    grow(&other, &other.gate(), 5_000..5_000 + theirs - common).await;
    (world, other)
}

fn log_of(world: &World) -> std::path::PathBuf {
    world.disk.path().join("log")
}

/// Each file of a directory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path.display().to_string(), bytes);
            }
        }
    }
    found
}

/// The log is refused with these words, and its directory is as it was.
fn refused(world: &World, gate: &Gate, words: &str) {
    let before = files(&log_of(world));
    let told = shelf(world, gate).map(drop).unwrap_err();
    assert!(matches!(&told, GateError::Broken { .. }), "{told}");
    assert!(told.to_string().contains(words), "{told}");
    assert_eq!(files(&log_of(world)), before);
}

async fn of(world: &World, kind: Kind) -> Vec<(Item, BlobId)> {
    let items = world.items("log/").await;
    items.into_iter().filter(|(i, _)| i.kind == kind).collect()
}

/// The store's log is as long as the directory's or longer, and another one: below a full bundle,
/// with the fork within one that is full there, and with both beyond.
#[tokio::test]
async fn a_store_of_another_history_takes_nothing_from_the_directory() {
    for (common, ours, theirs) in [(2, 4, 6), (2, 4, 4), (2, 4, 260), (250, 258, 270)] {
        let (world, other) = forked(common, (ours, theirs)).await;
        let (shown, _) = read(&world);
        let world = between(world, &other);
        refused(&world, &world.gate(), "another history");
        assert_eq!(read(&world).0, shown);
        // Its state alone is lost: the checkpoint is held against it all the same.
        std::fs::remove_file(log_of(&world).join("state")).unwrap();
        refused(&world, &world.gate(), "another history");
        // Moved away, it is made again from the store.
        std::fs::rename(log_of(&world), world.disk.path().join("kept")).unwrap();
        drop(shelf(&world, &world.gate()).unwrap());
        assert_eq!(read(&world).0, read(&other).0);
    }
}

/// An older copy of the directory is brought to where the store is, whether its rounds are there
/// still or are in bundles.
#[tokio::test]
async fn an_older_directory_of_the_same_history_is_brought_on() {
    for (then, now) in [(3, 4), (3, 9), (3, 262), (250, 530)] {
        let world = World::new();
        grow(&world, &world.gate(), 0..then).await;
        let older = world.copy_whole().await;
        grow(&world, &world.gate(), then..now).await;
        let older = between(older, &world);
        let gate = older.gate();
        let wal = older.open_by(&gate, 60_000).unwrap();
        let mut keeper = notary(&older, &gate).unwrap();
        assert_eq!(read(&older), read(&world), "{then} {now}");
        note(&wal, 9_000).await.unwrap();
        round(&mut keeper, &wal).unwrap().unwrap();
        let (_, grown) = read(&older);
        let (_, before) = read(&world);
        assert_eq!(grown[..before.len()], before[..]);
        close(&older, wal).await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_held_against_the_store_stays() {
    let (world, other) = forked(2, (9, 6)).await;
    let world = between(world, &other);
    let log = log_of(&world);
    // Ahead, with its state and without.
    refused(&world, &world.gate(), "ahead");
    std::fs::remove_file(log.join("state")).unwrap();
    refused(&world, &world.gate(), "ahead");
    // None that can be read.
    for bytes in [&b"rubbish"[..], b""] {
        std::fs::write(log.join("checkpoint"), bytes).unwrap();
        refused(&world, &world.gate(), "not this log's");
    }
}

/// Bundles are bound to rounds by the root that each round's state names.
#[tokio::test]
async fn bundles_of_one_history_and_rounds_of_another_are_no_log() {
    let (world, other) = forked(100, (270, 270)).await;
    let (ours, theirs) = (
        of(&world, Kind::Bundle).await,
        of(&other, Kind::Bundle).await,
    );
    assert_eq!((ours.len(), theirs.len()), (1, 1));
    let sealed = other.memory.sealed(theirs[0].1).unwrap();
    let copy = world.copy().await;
    copy.memory.tamper(ours[0].1, sealed.clone());
    let told = shelf(&copy, &copy.gate()).map(drop).unwrap_err();
    assert!(told.to_string().contains("not those of its"), "{told}");
    assert!(!log_of(&copy).join("checkpoint").exists(), "none is signed");
    assert!(!log_of(&copy).join("state").exists());
    // And where an older copy of the directory is: it stays as it is.
    let world = World::new();
    grow(&world, &world.gate(), 0..3).await;
    let older = world.copy_whole().await;
    grow(&world, &world.gate(), 3..270).await;
    let ours = of(&world, Kind::Bundle).await;
    let older = between(older, &world);
    older.memory.tamper(ours[0].1, sealed);
    refused(&older, &older.gate(), "");
}

/// A store that shows one bundle while it is looked at, and another when it is written.
#[tokio::test]
async fn a_bundle_that_changes_while_it_is_read_is_found_out() {
    let world = World::new();
    grow(&world, &world.gate(), 0..3).await;
    let older = world.copy_whole().await;
    let other = world.copy().await;
    grow(&world, &world.gate(), 3..270).await;
    grow(&other, &other.gate(), 5_000..5_267).await;
    let theirs = of(&other, Kind::Bundle).await[0].1;
    let sealed = other.memory.sealed(theirs).unwrap();
    let older = between(older, &world);
    let ours = older.memory.sealed(of(&world, Kind::Bundle).await[0].1);
    assert_eq!(ours.unwrap().len(), sealed.len());
    // Beside the gate's names: it is no blob of the gate there.
    let elsewhere = BlobId::from_bytes([9; 16]);
    put(&*older.memory, elsewhere, sealed).await.unwrap();
    let gate = older.gate();
    let calls = older.fault.calls()[1];
    let rounds = u64::try_from(of(&older, Kind::Round).await.len()).unwrap();
    // Each round, the bundle, and the bundle again; for each of two tries.
    for n in [2, rounds + 4] {
        older
            .fault
            .on_get(calls + rounds + n, GetFault::Other(elsewhere));
    }
    refused(&older, &gate, "changed");
    // It was that bundle alone.
    drop(shelf(&older, &gate).unwrap());
    assert_eq!(read(&older), read(&world));
    lose(&older);
}
