//! The chain of snapshots cut short at every step, and with others at work between its steps:
//! nothing acknowledged is lost, and nothing that is whole reads as damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::chain::{backup, names, put, recover, restore, snapshot};
use super::ports::{Gate, Gated};
use super::support::World;
use crate::catalog::{MemoryCatalog, SharedCatalog};
use crate::store::SharedStore;
use crate::vault::{ChainFault, Vault, VaultError};

/// Bytes in a page of a base: it has more than one.
const PAGE: usize = 1_500;

#[derive(Clone, Copy, Debug)]
enum Op {
    Put,
    Snapshot,
    /// A base of some pages.
    Base,
    Prune,
    /// What a gateway's start and each sweep do.
    Check,
}

const SCRIPT: [Op; 15] = [
    Op::Put,
    Op::Check,
    Op::Snapshot,
    Op::Put,
    Op::Base,
    Op::Put,
    Op::Snapshot,
    Op::Put,
    Op::Base,
    Op::Put,
    Op::Base,
    Op::Prune,
    Op::Put,
    Op::Snapshot,
    Op::Check,
];

/// What the script has seen happen.
#[derive(Default)]
struct Seen {
    put: AtomicUsize,
    snapped: AtomicUsize,
}

impl Seen {
    /// What must be there, of which so many were acknowledged.
    fn keys(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("k{n}")).collect()
    }
}

async fn run(vault: &Vault, world: &World, seen: &Seen) {
    for op in SCRIPT {
        let put_before = seen.put.load(Ordering::SeqCst);
        match op {
            Op::Put => {
                put(world, &[&format!("k{put_before}")]).await;
                seen.put.fetch_add(1, Ordering::SeqCst);
            }
            Op::Snapshot => {
                vault.write_snapshot().await.unwrap();
                seen.snapped.store(put_before, Ordering::SeqCst);
            }
            Op::Base => {
                assert!(vault.rebase_by(PAGE).await.unwrap() > 1);
                seen.snapped.store(put_before, Ordering::SeqCst);
            }
            Op::Prune => assert!(vault.prune_snapshots(1_000).await.unwrap() > 0),
            Op::Check => drop(vault.check_chain().await.unwrap()),
        }
    }
}

fn gate(world: &mut World, gate: &Arc<Gate>) {
    world.rewire(|mut parts| {
        parts.store = Arc::new(Gated::<SharedStore>::new(parts.store, gate));
        parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, gate));
        parts
    });
}

fn fresh() -> SharedCatalog {
    Arc::new(MemoryCatalog::new())
}

/// Crashes at call `at`; how many calls the script makes, if it came to its end.
async fn crash(at: u64, after: bool) -> Option<u64> {
    let mut world = World::new().await;
    // Who may do what is known in any case.
    snapshot(&world).await;
    let catalog = Arc::clone(&world.catalog);
    let store = world.parts().store;
    let guard = Gate::new(at, after);
    gate(&mut world, &guard);
    let seen = Seen::default();
    {
        let mut script = Box::pin(run(&world.vault, &world, &seen));
        tokio::select! {
            biased;
            () = &mut script => return Some(guard.calls()),
            () = guard.stopped() => {}
        }
    }
    let why = format!("call {at}, effect {after}");
    let (put_then, snapped) = (
        seen.put.load(Ordering::SeqCst),
        seen.snapped.load(Ordering::SeqCst),
    );
    world.rewire(|mut parts| {
        parts.store = store;
        parts
    });

    // The catalog's disk dies with it: what snapshots held is there, and all of it is whole.
    let found = recover(&mut world).await;
    assert!(found.is_whole() && found.fork.is_none(), "{why}: {found:?}");
    let there = names(&world).await;
    assert!(there == Seen::keys(there.len()), "{why}: {there:?}");
    assert!(there.len() >= snapped, "{why}: {there:?}");

    // It starts again on the catalog that it had, and goes on; then the disk dies.
    restore(&mut world, &catalog);
    world.vault.check_chain().await.expect(&why);
    let there = names(&world).await;
    assert!(there == Seen::keys(there.len()) && there.len() >= put_then);
    put(&world, &["new"]).await;
    while snapshot(&world).await > 0 {}
    world.vault.rebase_by(PAGE).await.expect(&why);
    put(&world, &["newer"]).await;
    while snapshot(&world).await > 0 {}
    while world.vault.prune_snapshots(1_000).await.expect(&why) > 0 {}
    let before = world.catalog.dump(None, usize::MAX).await.unwrap().0;
    let found = recover(&mut world).await;
    assert!(found.is_whole() && found.base.is_some(), "{why}: {found:?}");
    let dumped = world.catalog.dump(None, usize::MAX).await.unwrap().0;
    assert!(dumped == before, "{why}");
    None
}

#[tokio::test]
async fn a_crash_before_any_call_of_the_chain_loses_nothing() {
    let calls = crash(u64::MAX, false).await.unwrap();
    assert!(calls > 100, "{calls}");
    for at in 1..=calls {
        assert_eq!(crash(at, false).await, None, "call {at}");
    }
}

#[tokio::test]
async fn a_crash_behind_any_call_of_the_chain_loses_nothing() {
    let calls = crash(u64::MAX, true).await.unwrap();
    for at in 1..=calls {
        assert_eq!(crash(at, true).await, None, "call {at}");
    }
}

/// Writes and snapshots between the pages of a base, wherever they come: a recovery that begins
/// with the base has all of them.
#[tokio::test]
async fn what_is_written_while_a_base_is_written_is_behind_it() {
    for late in 0..80 {
        let mut world = World::new().await;
        put(&world, &["a"]).await;
        snapshot(&world).await;
        gate(&mut world, &Gate::polite());
        let vault = Arc::clone(&world.vault);
        let writing = async {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            put(&world, &["b"]).await;
            world.vault.write_snapshot().await.unwrap();
            put(&world, &["c"]).await;
            world.vault.write_snapshot().await.unwrap();
        };
        let (based, ()) = tokio::join!(vault.rebase_by(1), writing);
        assert!(based.unwrap() > 1);
        let found = recover(&mut world).await;
        assert!(
            found.is_whole() && found.base.is_some(),
            "{late}: {found:?}"
        );
        assert_eq!(names(&world).await, ["a", "b", "c"], "{late}");
    }
}

/// Two hosts that serve one vault, each with a copy of its catalog, whoever comes first: one goes
/// on, the other finds out, and what the first acknowledged is there.
#[tokio::test]
async fn of_two_at_once_one_goes_on_and_the_other_finds_out() {
    for late in 0..12 {
        let mut world = World::new().await;
        put(&world, &["a"]).await;
        snapshot(&world).await;
        let (one, two) = (Arc::clone(&world.catalog), backup(&world.catalog).await);
        gate(&mut world, &Gate::polite());
        let mut vaults = Vec::new();
        for (key, catalog) in [("one", &one), ("two", &two)] {
            restore(&mut world, catalog);
            put(&world, &[key]).await;
            vaults.push(Arc::clone(&world.vault));
        }
        let second = async {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            vaults[1].write_snapshot().await
        };
        let (first, second) = tokio::join!(vaults[0].write_snapshot(), second);
        assert!(first.is_ok() != second.is_ok(), "{late}");
        let winner = if first.is_ok() { "one" } else { "two" };
        let loser = if first.is_ok() { &two } else { &one };
        restore(&mut world, loser);
        let fault = world.vault.write_snapshot().await.unwrap_err();
        let fault = VaultError::chain_fault(&fault);
        // Copies of one catalog have one lineage: each takes itself for an older one.
        assert!(
            matches!(
                fault,
                Some(ChainFault::Older { number: 1 } | ChainFault::Forked { number: 1 })
            ),
            "{late}: {fault:?}"
        );
        restore(&mut world, &fresh());
        let found = world.vault.recover_within(50, |_| {}).await.unwrap();
        assert!(found.fork.is_none() && found.broken_links.is_empty());
        assert_eq!(names(&world).await, ["a", winner], "{late}");
    }
}
