//! What packs hold that nobody reads: bounded together and in time, and no caller's alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};

use super::ports::{Gate, Gated};
use super::published::{V1, run};
use super::support::{BUCKET, World, sample};
use crate::ledger::{Entry, Outcome};
use crate::store::SharedStore;
use crate::types::limits;
use crate::vault::{ErrorKind, Parts, PlainBody, VaultError};

/// As many objects as one pack holds, each half as large as a pack takes.
const OBJECT_BYTES: usize = 512 * 1024;
const OBJECTS: usize = 30;

/// A published version of them, and what counts the questions to its store.
async fn world() -> (World, Arc<Gate>) {
    let mut world = World::new().await;
    let gate = Gate::polite();
    let counted = Arc::clone(&gate);
    world.rewire(|parts| Parts {
        store: Arc::new(Gated::new(Arc::clone(&parts.store), &counted)) as SharedStore,
        ..parts
    });
    let body = sample(OBJECT_BYTES);
    for number in 10..10 + OBJECTS {
        let key = format!("p/{number}");
        world.put("olivia", &key, &body).await.unwrap();
    }
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    (world, gate)
}

async fn ask(world: &World, who: &str) -> PlainBody {
    let call = world.call(Some(who));
    let pack = world.vault.read_pack(&call, V1, vec![run("p/10", OBJECTS)]);
    pack.await.unwrap()
}

/// Reads on until nothing comes at once.
async fn ahead(pack: &mut PlainBody) {
    for _ in 0..200 {
        if pack.next().now_or_never().is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn rest(mut pack: PlainBody) -> (usize, Option<VaultError>) {
    let mut frames = 0;
    while let Some(frame) = pack.next().await {
        match frame {
            Ok(frame) => drop::<Bytes>(frame),
            Err(error) => return (frames, Some(error)),
        }
        frames += 1;
    }
    (frames, None)
}

#[tokio::test(start_paused = true)]
async fn packs_that_nobody_reads_hold_no_more_than_a_quarter_and_others_go_on() {
    let (world, gate) = world().await;
    let before = gate.calls();
    let mut stalled = Vec::new();
    for _ in 0..100 {
        let mut pack = ask(&world, "job-1").await;
        // A piece is asked for, what is read ahead comes, and nobody asks again.
        ahead(&mut pack).await;
        stalled.push(pack);
    }
    let fetched = (gate.calls() - before) * OBJECT_BYTES as u64;
    let quarter = limits::PACKS_HELD_BYTES_MAX / 4;
    // Of each answer that got a piece, one was handed out and is dropped.
    let handed = 100 * OBJECT_BYTES as u64;
    assert!(fetched <= quarter + handed, "{fetched} bytes were fetched");
    // Another caller's pack goes on meanwhile.
    let (frames, error) = rest(ask(&world, "ruben").await).await;
    assert_eq!((frames, error.map(|e| e.kind())), (OBJECTS, None));
    // So does the same one's once the time of those is over, though nobody asks them for more.
    let time = Duration::from_millis(limits::PACK_MS_MAX);
    tokio::time::sleep(time / 2).await;
    let begun = tokio::time::Instant::now();
    let (frames, error) = rest(ask(&world, "job-1").await).await;
    assert_eq!((frames, error.map(|e| e.kind())), (OBJECTS, None));
    assert!(begun.elapsed() < time);
    // Their records say why they ended.
    let ended = |entry: &&Entry| {
        let Entry::Completion(end) = entry else {
            return false;
        };
        end.outcome == Outcome::Aborted && end.reason.contains("takes too long")
    };
    let entries = world.journal.entries();
    assert_eq!(entries.iter().filter(ended).count(), 100);
    for pack in stalled {
        let late = rest(pack).await.1;
        assert_eq!(late.map(|e| e.kind()), Some(ErrorKind::Unavailable));
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_the_socket_has_not_taken_keeps_its_room() {
    let (world, gate) = world().await;
    let mut held = Vec::new();
    let mut packs = Vec::new();
    let before = gate.calls();
    for _ in 0..40 {
        let mut pack = ask(&world, "job-1").await;
        for _ in 0..OBJECTS {
            let waiting = tokio::time::timeout(Duration::from_millis(1), pack.next()).await;
            let Ok(Some(frame)) = waiting else { break };
            held.push(frame.unwrap());
        }
        packs.push(pack);
    }
    let bytes: usize = held.iter().map(Bytes::len).sum();
    let most = limits::PACKS_HELD_BYTES_MAX / 4;
    assert!(bytes as u64 <= most, "{bytes} bytes");
    let fetched = (gate.calls() - before) * OBJECT_BYTES as u64;
    assert!(fetched <= most, "{fetched} bytes were fetched");
    // What is over is nobody's any more.
    packs.clear();
    let starved = ask(&world, "job-1").await;
    let mut starved = Box::pin(rest(starved));
    assert!((&mut starved).now_or_never().is_none());
    held.clear();
    assert_eq!(starved.await.0, OBJECTS);
}
