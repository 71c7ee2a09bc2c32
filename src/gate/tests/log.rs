//! The log and its second place: made again from there it is the same log, and never another.

use std::sync::Arc;

use super::support::{LANE, Ticking, World, close, key, note};
use crate::gate::names::Kind;
use crate::gate::{Gate, GateError, StoreShelf};
use crate::journal::Journal as _;
use crate::journal::Wal;
use crate::ledger::leaf_hash;
use crate::ledger::tlog::{Checkpoint, Edge, decode_bundle};
use crate::ledger::tlog::{Tile, TileKind};
use crate::notary::{
    DirShelf, Lane, Made, Notary, NotaryError, NotaryKeys, NotaryParts, Rebuild, Shelf as _,
};
use crate::store::BlobStore as _;
use crate::store::fault::{Injected, PutFault};
use crate::types::Secret;

pub(super) const ORIGIN: &str = "vault.example/log";

pub(super) fn keys() -> NotaryKeys {
    NotaryKeys {
        journal: key(),
        signing: Secret::take(&mut [1; 32]),
        scopes: Secret::take(&mut [2; 32]),
        state: Secret::take(&mut [3; 32]),
    }
}

pub(super) fn shelf(world: &World, gate: &Gate) -> Result<StoreShelf, GateError> {
    let inner = DirShelf::keep(&world.disk.path().join("log")).unwrap();
    let keys = keys();
    let rebuild = Rebuild {
        origin: ORIGIN,
        keys: &keys,
    };
    StoreShelf::open(gate, Box::new(inner), &rebuild)
}

pub(super) fn notary(world: &World, gate: &Gate) -> Result<Notary, NotaryError> {
    let kept = shelf(world, gate).map_err(|error| NotaryError::Internal {
        what: error.to_string(),
    })?;
    let (place, dir) = (gate.clone(), world.journal());
    Notary::open(NotaryParts {
        journal: world.journal(),
        origin: ORIGIN.to_owned(),
        keys: keys(),
        shelf: Box::new(kept),
        settle: Some(Box::new(move |lane| place.complete(&dir, lane))),
        clock: Arc::<Ticking>::clone(&world.ticking),
        entropy: Arc::<Ticking>::clone(&world.ticking),
    })
}

pub(super) fn round(notary: &mut Notary, wal: &Wal) -> Result<Option<Made>, NotaryError> {
    notary.round(&[Lane {
        name: LANE,
        durable: wal.durable(),
    }])
}

/// All entries of the log in a directory, and its checkpoint; the tiles must fit it.
pub(super) fn read(world: &World) -> (Checkpoint, Vec<Vec<u8>>) {
    let shelf = DirShelf::look(&world.disk.path().join("log"));
    let note = shelf.read("checkpoint").unwrap().unwrap();
    let note = crate::ledger::tlog::Note::parse(&note).unwrap();
    let signer = keys().public(ORIGIN).unwrap();
    let checkpoint = Checkpoint::open(&note, &signer).unwrap();
    let mut entries = Vec::new();
    let mut index = 0;
    while let Some(tile) = Tile::of(TileKind::Entries, index, checkpoint.size) {
        let bytes = shelf.read(&tile.to_string()).unwrap().unwrap();
        let bundle = decode_bundle(tile.width, &bytes).unwrap();
        entries.extend(bundle.into_iter().map(<[u8]>::to_vec));
        index += 1;
    }
    let edge: Edge = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(edge.root(), checkpoint.root);
    (checkpoint, entries)
}

pub(super) fn lose(world: &World) {
    world.lose_the_disk();
    std::fs::remove_dir_all(world.disk.path().join("log")).unwrap();
}

pub(super) async fn grow(world: &World, gate: &Gate, rounds: std::ops::Range<u32>) {
    let wal = world.open_by(gate, 60_000).unwrap();
    let mut notary = notary(world, gate).unwrap();
    for n in rounds {
        note(&wal, n).await.unwrap();
        assert!(round(&mut notary, &wal).unwrap().is_some());
    }
    close(world, wal).await.unwrap();
    while notary.round(&[]).unwrap().is_some() {}
}

#[tokio::test]
async fn a_lost_log_is_made_again_and_grows_on_from_its_last_checkpoint() {
    // Below a full bundle, about one, and beyond two.
    for rounds in [3, 254, 255, 256, 257, 510, 511, 512, 513, 530] {
        let world = World::new();
        let gate = world.gate();
        grow(&world, &gate, 0..rounds).await;
        let (checkpoint, entries) = read(&world);
        let kept = world.items("log/").await;
        let full = entries.len() / 256;
        let bundles = kept.iter().filter(|(item, _)| item.kind == Kind::Bundle);
        assert_eq!(bundles.count(), full);
        assert!(kept.len() <= full + 300, "rounds go: {}", kept.len());
        lose(&world);
        let wal = world.open_by(&gate, 60_000).unwrap();
        let mut again = notary(&world, &gate).unwrap();
        let (same, there) = read(&world);
        assert_eq!((same.size, same.root), (checkpoint.size, checkpoint.root));
        assert_eq!(there, entries);
        note(&wal, 9_000).await.unwrap();
        round(&mut again, &wal).unwrap().unwrap();
        let (grown, more) = read(&world);
        assert!(grown.size > checkpoint.size);
        assert_eq!(more[..entries.len()], entries[..], "{rounds}");
        close(&world, wal).await.unwrap();
    }
}

/// A round of two entries fills a bundle with its first: its second is in no full one, so that it
/// stays in the store behind whatever round comes next, and behind a keeper that is started again.
#[tokio::test]
async fn a_round_that_fills_a_bundle_in_its_middle_is_not_lost() {
    const OTHER: &str = "gw-2";
    let world = World::new();
    let gate = world.gate();
    let told = |notary: &mut Notary, lanes: &[(&'static str, &Arc<Wal>)]| {
        let lanes: Vec<Lane<'_>> = lanes
            .iter()
            .map(|(name, wal)| Lane {
                name,
                durable: wal.durable(),
            })
            .collect();
        notary.round(&lanes).unwrap().unwrap().checkpoint.size
    };
    let one = world.open_by(&gate, 60_000).unwrap();
    let mut keeper = notary(&world, &gate).unwrap();
    note(&one, 0).await.unwrap();
    assert_eq!(told(&mut keeper, &[(LANE, &one)]), 1);
    let two = world.open_lane(OTHER, Some(&gate), 60_000).unwrap();
    let both = async |keeper: &mut Notary, n: u32| {
        note(&one, n).await.unwrap();
        note(&two, 10_000 + n).await.unwrap();
        told(keeper, &[(LANE, &one), (OTHER, &two)])
    };
    for n in 1..128 {
        assert_eq!(both(&mut keeper, n).await, u64::from(n) * 2 + 1);
    }
    assert_eq!(both(&mut keeper, 128).await, 257);
    drop(keeper);
    let mut keeper = notary(&world, &gate).unwrap();
    assert_eq!(both(&mut keeper, 129).await, 259);
    let (checkpoint, entries) = read(&world);
    drop(keeper);
    two.close().await.unwrap();
    close(&world, one).await.unwrap();
    lose(&world);
    let wal = world.open_by(&gate, 60_000).unwrap();
    std::fs::create_dir(world.journal().join(OTHER)).unwrap();
    gate.complete(&world.journal(), OTHER).unwrap();
    let _again = notary(&world, &gate).unwrap();
    let (same, there) = read(&world);
    assert_eq!((same.size, same.root), (checkpoint.size, checkpoint.root));
    assert_eq!(there, entries);
    close(&world, wal).await.unwrap();
}

/// The machine and its disk are lost at each PUT of a round: no checkpoint that was ever signed is
/// anything but a beginning of the log afterwards.
#[tokio::test]
async fn at_each_step_a_lost_disk_forks_nothing() {
    for step in 0..14 {
        for fault in [
            PutFault::Error(Injected::Failed),
            PutFault::StoredButError(Injected::Failed),
        ] {
            let world = World::new();
            let gate = world.gate();
            grow(&world, &gate, 0..3).await;
            let wal = world.open_by(&gate, 40).unwrap();
            let mut keeper = notary(&world, &gate).unwrap();
            let calls = world.fault.calls()[0];
            for at in step..1000 {
                world.fault.on_put(calls + 1 + at, fault);
            }
            let mut signed = vec![read(&world)];
            for n in 0..6 {
                drop(note(&wal, 100 + n).await);
                if let Ok(Some(_)) = round(&mut keeper, &wal) {
                    signed.push(read(&world));
                }
            }
            drop(keeper);
            drop(close(&world, wal).await);
            for copy in [world.copy().await, world.copy_whole().await] {
                let gate = copy.gate();
                let wal = copy.open_by(&gate, 60_000).unwrap();
                let mut keeper = notary(&copy, &gate).unwrap();
                note(&wal, 200).await.unwrap();
                round(&mut keeper, &wal).unwrap();
                let (_, entries) = read(&copy);
                for (checkpoint, before) in &signed {
                    let context = format!("step {step} {fault:?} size {}", checkpoint.size);
                    assert_eq!(entries[..before.len()], before[..], "{context}");
                }
                close(&copy, wal).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_round_whose_answer_was_lost_is_the_next_one() {
    let world = World::new();
    let gate = world.gate();
    let wal = world.open_by(&gate, 60_000).unwrap();
    let mut keeper = notary(&world, &gate).unwrap();
    note(&wal, 1).await.unwrap();
    let calls = world.fault.calls()[0];
    world
        .fault
        .on_put(calls + 1, PutFault::StoredButError(Injected::Timeout));
    assert!(round(&mut keeper, &wal).is_err());
    note(&wal, 2).await.unwrap();
    round(&mut keeper, &wal).unwrap().unwrap();
    let (_, entries) = read(&world);
    let rounds = world.items("log/").await.len();
    assert_eq!((entries.len(), rounds), (2, 2));
    close(&world, wal).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_older_than_the_log_is_refused() {
    let world = World::new();
    let gate = world.gate();
    grow(&world, &gate, 0..3).await;
    let older = world.copy().await;
    grow(&world, &gate, 3..6).await;
    let full = world.copy_whole().await;
    // The disk is there, the store's newest rounds are not.
    for (item, id) in full.items("log/").await {
        let known = older.memory.sealed(id).is_some();
        if item.kind == Kind::Round && !known {
            full.memory.delete(id).await.unwrap();
        }
    }
    let told = notary(&full, &full.gate()).map(drop).unwrap_err();
    assert!(told.to_string().contains("ahead"), "{told}");
    // The rounds are there, the newest batches are not: the journal is shorter than the log.
    let short = world.copy().await;
    for (_, id) in short.items(LANE).await {
        if older.memory.sealed(id).is_none() {
            short.memory.delete(id).await.unwrap();
        }
    }
    let gate = short.gate();
    let wal = short.open_by(&gate, 1_000).unwrap();
    let told = notary(&short, &gate).map(drop).unwrap_err();
    assert!(matches!(told, NotaryError::RolledBack { .. }), "{told}");
    close(&short, wal).await.unwrap();
}

#[tokio::test]
async fn altered_and_missing_rounds_and_bundles_are_refused() {
    let world = World::new();
    let gate = world.gate();
    grow(&world, &gate, 0..262).await;
    let items = world.items("log/").await;
    let newest = items
        .iter()
        .rfind(|(item, _)| item.kind == Kind::Round)
        .unwrap()
        .1;
    for (item, id) in items {
        let copy = world.copy().await;
        let mut bent = copy.memory.sealed(id).unwrap().to_vec();
        bent[40] ^= 1;
        copy.memory.tamper(id, bent.into());
        assert!(shelf(&copy, &copy.gate()).is_err(), "{item:?} altered");
        // The oldest round that is kept made the bundle full, which has all of it.
        let kept_twice = item.kind == Kind::Round && item.number == 255;
        if id != newest && !kept_twice {
            let copy = world.copy().await;
            copy.memory.delete(id).await.unwrap();
            assert!(shelf(&copy, &copy.gate()).is_err(), "{item:?} missing");
        }
    }
}

#[tokio::test]
async fn a_log_of_before_is_sent_whole() {
    for rounds in [2, 300] {
        let world = World::new();
        let wal = world.open_with(None, 60_000).unwrap();
        let mut keeper = Notary::open(NotaryParts {
            journal: world.journal(),
            origin: ORIGIN.to_owned(),
            keys: keys(),
            shelf: Box::new(DirShelf::keep(&world.disk.path().join("log")).unwrap()),
            settle: None,
            clock: Arc::<Ticking>::clone(&world.ticking),
            entropy: Arc::<Ticking>::clone(&world.ticking),
        })
        .unwrap();
        for n in 0..rounds {
            note(&wal, n).await.unwrap();
            round(&mut keeper, &wal).unwrap();
        }
        close(&world, wal).await.unwrap();
        drop(keeper);
        let (_, entries) = read(&world);
        let gate = world.gate();
        grow(&world, &gate, 1_000..1_003).await;
        lose(&world);
        close(&world, world.open_by(&gate, 60_000).unwrap())
            .await
            .unwrap();
        drop(notary(&world, &gate).unwrap());
        let (_, there) = read(&world);
        assert_eq!(there[..entries.len()], entries[..]);
    }
}
