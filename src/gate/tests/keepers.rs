//! Two gateways on one store, and the log: the younger one keeps it, by itself, whatever the older
//! one still does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::log::{ORIGIN, grow, keys, notary, read, round};
use super::support::{Ticking, World, close, note};
use crate::gate::names::{Item, Kind};
use crate::gate::{Gate, StoreShelf};
use crate::journal::{Journal as _, Wal};
use crate::notary::{DirShelf, Notary, NotaryError, NotaryParts, Rebuild, Shelf};
use crate::store::fault::{Injected, PutFault};
use crate::types::BlobId;

const COMMANDS: &str = "admin";

/// Another machine on the same store, with an empty disk.
fn beside(world: &World) -> World {
    let memory = Arc::clone(&world.memory);
    let fault = Arc::clone(&world.fault);
    let disk = tempfile::tempdir().unwrap();
    let ticking = Arc::clone(&world.ticking);
    World {
        ticking,
        memory,
        fault,
        disk,
    }
}

async fn rounds(world: &World) -> Vec<(Item, BlobId)> {
    let items = world.items("log/").await;
    let rounds = items.into_iter().filter(|(i, _)| i.kind == Kind::Round);
    rounds.collect()
}

/// A command on a gateway's host.
async fn command(world: &World, gate: &Gate, n: u32) {
    let wal = world.open_lane(COMMANDS, Some(gate), 60_000).unwrap();
    note(&wal, n).await.unwrap();
    wal.close().await.unwrap();
    let free = || crate::journal::Rest::take(&world.journal(), COMMANDS).unwrap();
    while free().is_none() {}
}

/// Rounds until one is made; how many were not.
fn made(keeper: &mut Notary, wal: &Wal) -> u32 {
    for failed in 0..10 {
        match round(keeper, wal) {
            Ok(Some(_)) => return failed,
            Ok(None) => panic!("there was nothing to do"),
            Err(NotaryError::Disk(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it does not go on by itself");
}

struct Gateway {
    world: World,
    gate: Gate,
    wal: Arc<Wal>,
    keeper: Notary,
}

impl Gateway {
    fn start(world: World) -> Self {
        let gate = world.gate();
        let wal = world.open_by(&gate, 200).unwrap();
        let keeper = notary(&world, &gate).unwrap();
        Self {
            world,
            gate,
            wal,
            keeper,
        }
    }

    async fn end(self) {
        drop(self.keeper);
        drop(close(&self.world, self.wal).await);
    }

    /// It is told that it is the older one, and makes no round from then on, though there is
    /// something for one.
    async fn is_over(&mut self) {
        command(&self.world, &self.gate, 80).await;
        let (before, calls) = (rounds(&self.world).await, self.world.fault.calls()[0]);
        for _ in 0..3 {
            let told = round(&mut self.keeper, &self.wal).unwrap_err();
            assert!(matches!(told, NotaryError::Disk(_)), "{told}");
            assert!(told_of(&told).contains("another gateway"), "{told:?}");
        }
        assert_eq!(rounds(&self.world).await, before);
        assert_eq!(self.world.fault.calls()[0], calls, "it does not even try");
    }
}

fn told_of(error: &NotaryError) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

/// Everything of the log that one machine showed is a beginning of what the other has.
fn is_continued(older: &World, younger: &World) {
    let (_, before) = read(older);
    let (_, now) = read(younger);
    assert_eq!(now[..before.len()], before[..]);
}

/// A machine without a disk finds all of it in the store.
async fn is_whole(younger: &World) {
    let (checkpoint, entries) = read(younger);
    let copy = younger.copy().await;
    std::fs::create_dir_all(copy.journal().join(COMMANDS)).unwrap();
    let again = Gateway::start(copy);
    let (same, there) = read(&again.world);
    assert_eq!((same.size, same.root), (checkpoint.size, checkpoint.root));
    assert_eq!(there, entries);
    again.end().await;
}

#[tokio::test]
async fn the_younger_keeper_goes_on_behind_a_round_that_it_lists() {
    let mut one = Gateway::start(World::new());
    note(&one.wal, 1).await.unwrap();
    round(&mut one.keeper, &one.wal).unwrap().unwrap();
    note(&one.wal, 2).await.unwrap();
    let world = beside(&one.world);
    let gate = world.gate();
    // Taken over, and not known to the older one, whose records wait for their round.
    let wal = world.open_by(&gate, 200).unwrap();
    round(&mut one.keeper, &one.wal).unwrap().unwrap();
    let keeper = notary(&world, &gate).unwrap();
    let mut two = Gateway {
        world,
        gate,
        wal,
        keeper,
    };
    assert_eq!(read(&one.world).0.size, read(&two.world).0.size);
    note(&two.wal, 3).await.unwrap();
    assert_eq!(made(&mut two.keeper, &two.wal), 0);
    assert!(note(&one.wal, 4).await.is_err());
    one.is_over().await;
    note(&two.wal, 5).await.unwrap();
    assert_eq!(made(&mut two.keeper, &two.wal), 0);
    is_continued(&one.world, &two.world);
    is_whole(&two.world).await;
    one.end().await;
    two.end().await;
}

/// The older one's rounds come when the younger has read the log: it takes them up, and goes on.
#[tokio::test]
async fn the_younger_keeper_takes_up_the_rounds_that_came_behind_its_listing() {
    for late in 1..4 {
        let mut one = Gateway::start(World::new());
        note(&one.wal, 1).await.unwrap();
        round(&mut one.keeper, &one.wal).unwrap().unwrap();
        note(&one.wal, 2).await.unwrap();
        let world = beside(&one.world);
        std::fs::create_dir_all(world.journal().join(COMMANDS)).unwrap();
        let mut two = Gateway::start(world);
        // What was durable before, then commands on that host, which the other has not read.
        for n in 0..late {
            assert_eq!(made(&mut one.keeper, &one.wal), 0);
            command(&one.world, &one.gate, 50 + n).await;
        }
        let ahead = read(&one.world).0.size;
        note(&two.wal, 3).await.unwrap();
        assert_eq!(made(&mut two.keeper, &two.wal), 1, "{late}");
        assert!(read(&two.world).0.size > ahead);
        is_continued(&one.world, &two.world);
        // The older has a command to cover and has not written since: it finds out.
        assert!(one.wal.ready().is_ok());
        assert!(round(&mut one.keeper, &one.wal).is_err());
        one.is_over().await;
        assert!(note(&one.wal, 4).await.is_err(), "nor a record");
        for n in 0..3 {
            note(&two.wal, 60 + n).await.unwrap();
            assert_eq!(made(&mut two.keeper, &two.wal), 0);
        }
        is_continued(&one.world, &two.world);
        is_whole(&two.world).await;
        one.end().await;
        two.end().await;
    }
}

/// A round is on its way when its gateway is superseded: in the store or not, it is not sent again.
#[tokio::test]
async fn a_round_under_way_is_not_sent_by_who_was_superseded() {
    for (fault, arrived) in [
        (PutFault::Error(Injected::Failed), false),
        (PutFault::StoredButError(Injected::Timeout), true),
    ] {
        for listed in [false, true] {
            let mut one = Gateway::start(World::new());
            note(&one.wal, 1).await.unwrap();
            round(&mut one.keeper, &one.wal).unwrap().unwrap();
            note(&one.wal, 2).await.unwrap();
            let world = beside(&one.world);
            let send = |one: &mut Gateway| {
                let calls = one.world.fault.calls()[0];
                one.world.fault.on_put(calls + 1, fault);
                assert!(round(&mut one.keeper, &one.wal).is_err());
            };
            let mut two = if listed {
                send(&mut one);
                Gateway::start(world)
            } else {
                let two = Gateway::start(world);
                send(&mut one);
                two
            };
            assert_eq!(rounds(&two.world).await.len(), 1 + usize::from(arrived));
            assert!(note(&one.wal, 3).await.is_err());
            one.is_over().await;
            note(&two.wal, 4).await.unwrap();
            let failed = made(&mut two.keeper, &two.wal);
            assert_eq!(failed, u32::from(arrived && !listed), "{fault:?} {listed}");
            is_continued(&one.world, &two.world);
            is_whole(&two.world).await;
            one.end().await;
            two.end().await;
        }
    }
}

/// Puts so many files, and then none: the machine dies.
struct Dying {
    inner: DirShelf,
    left: Arc<AtomicU32>,
}

impl Dying {
    fn step(&self) -> io::Result<()> {
        let left = self.left.load(Ordering::SeqCst);
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        let died = || io::Error::other("died");
        if left == 0 { Err(died()) } else { Ok(()) }
    }
}

impl Shelf for Dying {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.inner.read(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.inner.put(name, bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.inner.remove(name)
    }
}

fn dying(world: &World, gate: &Gate, left: &Arc<AtomicU32>) -> Notary {
    let inner = Dying {
        inner: DirShelf::keep(&world.disk.path().join("log")).unwrap(),
        left: Arc::clone(left),
    };
    let keys_of = keys();
    let rebuild = Rebuild {
        origin: ORIGIN,
        keys: &keys_of,
    };
    let shelf = StoreShelf::open(gate, Box::new(inner), &rebuild).unwrap();
    let (place, dir) = (gate.clone(), world.journal());
    Notary::open(NotaryParts {
        journal: world.journal(),
        origin: ORIGIN.to_owned(),
        keys: keys(),
        shelf: Box::new(shelf),
        settle: Some(Box::new(move |lane| place.complete(&dir, lane))),
        clock: Arc::<Ticking>::clone(&world.ticking),
        entropy: Arc::<Ticking>::clone(&world.ticking),
    })
    .unwrap()
}

/// The younger one dies at each step of taking up two rounds and making its own, and is started
/// again, with its disk and without.
#[tokio::test]
async fn taking_up_rounds_may_stop_at_each_step() {
    let mut through = false;
    for steps in 0..40 {
        let mut one = Gateway::start(World::new());
        note(&one.wal, 1).await.unwrap();
        round(&mut one.keeper, &one.wal).unwrap().unwrap();
        note(&one.wal, 2).await.unwrap();
        let world = beside(&one.world);
        std::fs::create_dir_all(world.journal().join(COMMANDS)).unwrap();
        let gate = world.gate();
        let wal = world.open_by(&gate, 200).unwrap();
        let left = Arc::new(AtomicU32::new(u32::MAX));
        let mut keeper = dying(&world, &gate, &left);
        for n in 0..2 {
            made(&mut one.keeper, &one.wal);
            command(&one.world, &one.gate, 50 + n).await;
        }
        note(&wal, 3).await.unwrap();
        assert!(round(&mut keeper, &wal).is_err(), "the name is taken");
        left.store(steps, Ordering::SeqCst);
        through = round(&mut keeper, &wal).is_ok();
        drop(keeper);
        let mut signed = vec![read(&one.world).1];
        if world.disk.path().join("log/checkpoint").exists() {
            signed.push(read(&world).1);
        }
        drop(close(&world, wal).await);
        for copy in [world.copy().await, world.copy_whole().await] {
            std::fs::create_dir_all(copy.journal().join(COMMANDS)).unwrap();
            let mut again = Gateway::start(copy);
            note(&again.wal, 9).await.unwrap();
            assert_eq!(made(&mut again.keeper, &again.wal), 0, "{steps}");
            let (_, now) = read(&again.world);
            for before in &signed {
                assert_eq!(now[..before.len()], before[..], "{steps}");
            }
            again.end().await;
        }
        one.end().await;
        if through {
            break;
        }
    }
    assert!(through, "more steps than were tried");
}

/// What has the round's name must follow what is here; nothing else is believed, nor written.
#[tokio::test]
async fn a_round_that_does_not_follow_is_not_taken_up() {
    for replayed in [false, true] {
        let mut one = Gateway::start(World::new());
        for n in 0..3 {
            note(&one.wal, n).await.unwrap();
            round(&mut one.keeper, &one.wal).unwrap().unwrap();
        }
        note(&one.wal, 7).await.unwrap();
        // Another end of the same log.
        let fork = one.world.copy_whole().await;
        let mut two = Gateway::start(beside(&one.world));
        made(&mut one.keeper, &one.wal);
        grow(&fork, &fork.gate(), 90..93).await;
        let (_, taken) = *rounds(&one.world).await.last().unwrap();
        let theirs = rounds(&fork).await;
        let sealed = if replayed {
            // The fork's round of the number behind it, under this name.
            fork.memory.sealed(theirs[4].1).unwrap()
        } else {
            let mut bent = one.world.memory.sealed(taken).unwrap().to_vec();
            bent[60] ^= 1;
            bent.into()
        };
        two.world.memory.tamper(taken, sealed);
        let log = two.world.disk.path().join("log");
        let before = std::fs::read(log.join("state")).unwrap();
        note(&two.wal, 8).await.unwrap();
        for _ in 0..4 {
            let told = round(&mut two.keeper, &two.wal).unwrap_err();
            assert!(matches!(told, NotaryError::Disk(_)), "{told}");
        }
        assert_eq!(std::fs::read(log.join("state")).unwrap(), before);
        one.end().await;
        two.end().await;
    }
}

/// The same number, sealed well, of a history that went on from an older copy of the store.
#[tokio::test]
async fn a_round_of_a_rolled_back_store_is_not_taken_up() {
    let mut one = Gateway::start(World::new());
    note(&one.wal, 0).await.unwrap();
    round(&mut one.keeper, &one.wal).unwrap().unwrap();
    let fork = one.world.copy().await;
    note(&one.wal, 1).await.unwrap();
    round(&mut one.keeper, &one.wal).unwrap().unwrap();
    grow(&fork, &fork.gate(), 90..93).await;
    // The next number, from the other history.
    let (theirs, id) = rounds(&fork).await[2];
    assert_eq!(theirs.number, 2);
    let sealed = fork.memory.sealed(id).unwrap();
    super::support::put(&*one.world.memory, id, sealed)
        .await
        .unwrap();
    note(&one.wal, 2).await.unwrap();
    for _ in 0..3 {
        let told = round(&mut one.keeper, &one.wal).unwrap_err();
        assert!(matches!(told, NotaryError::Disk(_)), "{told}");
    }
    assert!(
        told_of(&round(&mut one.keeper, &one.wal).unwrap_err()).contains("follow"),
        "it says what does not fit"
    );
    one.end().await;
}
