//! Crashes at every call of every port: what was acknowledged is there afterwards, what was not is
//! there whole or not at all, and nothing was read that no record tells of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, input, place, sample};
use crate::catalog::{SharedCatalog, VersionEntry, VersionQuery};
use crate::journal::SharedJournal;
use crate::ledger::Entry;
use crate::store::SharedStore;
use crate::types::{EventId, VersionName, Versioning};
use crate::vault::{
    CompletedPart, Completing, CopySource, NewObject, ReadConditions, Span, SweepAsk, Vault,
    WriteConditions,
};

#[derive(Clone, Copy, Debug)]
enum Op {
    Put(&'static str, usize),
    Multipart(&'static str, [usize; 2]),
    Copy(&'static str, &'static str),
    Delete(&'static str),
    Get(&'static str),
    MakeSet,
    DropSet,
    Keep,
    /// Delete the newest version of a key for good.
    DropNewest(&'static str),
    Snapshot,
    Sweep,
}

const SCRIPT: [Op; 22] = [
    Op::Put("a", 100),
    Op::Put("b", 300),
    Op::Put("a", 200),
    Op::Get("b"),
    Op::Snapshot,
    Op::Copy("b", "c"),
    Op::Delete("b"),
    Op::Get("c"),
    Op::Multipart("m", [66, 5]),
    Op::MakeSet,
    Op::Snapshot,
    Op::Sweep,
    Op::Put("c", 3),
    Op::DropSet,
    Op::Delete("absent"),
    Op::Get("m"),
    Op::Keep,
    Op::Put("a", 50),
    Op::Delete("a"),
    Op::DropNewest("a"),
    Op::DropNewest("a"),
    Op::Delete("m"),
];

const OTHER: &str = "icu--other";

/// What the script has seen happen.
#[derive(Default)]
struct Seen {
    done: usize,
    /// Events of reads of which a byte came, and of writes that were acknowledged.
    served: Vec<EventId>,
}

/// Objects, and whether the second dataset is there.
type Model = (BTreeMap<&'static str, Vec<u8>>, bool);

fn apply(model: &mut Model, op: Op) {
    let objects = &mut model.0;
    match op {
        Op::Put(key, bytes) => drop(objects.insert(key, sample(bytes))),
        Op::Multipart(key, [a, b]) => drop(objects.insert(key, sample(a + b))),
        Op::Copy(from, to) => drop(objects.insert(to, objects[from].clone())),
        Op::Delete(key) => drop(objects.remove(key)),
        // First the marker, then what was written over the first object: see the script.
        Op::DropNewest(key) => {
            let bytes = if objects.contains_key(key) { 200 } else { 50 };
            drop(objects.insert(key, sample(bytes)));
        }
        Op::MakeSet => model.1 = true,
        Op::DropSet => model.1 = false,
        Op::Get(_) | Op::Snapshot | Op::Sweep | Op::Keep => {}
    }
}

async fn run(world: &World, seen: &Mutex<Seen>) {
    for op in SCRIPT {
        step(world, op, seen).await;
        seen.lock().unwrap().done += 1;
    }
}

async fn step(world: &World, op: Op, seen: &Mutex<Seen>) {
    let vault = &world.vault;
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    match op {
        Op::Put(key, bytes) => {
            let body = input(&sample(bytes), 4096);
            let put = vault.write_object(&call, place(key), NewObject::default(), body);
            put.await.unwrap();
        }
        Op::Multipart(key, cuts) => return multipart(world, key, cuts).await,
        Op::Copy(from, to) => {
            let from = CopySource {
                place: place(from),
                conditions: ReadConditions::default(),
                span: Span::All,
            };
            let copy = vault.copy_object(&call, from, place(to), None, none);
            copy.await.unwrap();
        }
        Op::Delete(key) => {
            let _gone = vault
                .delete_object(&call, place(key), none, false)
                .await
                .unwrap();
        }
        Op::Get(key) => {
            use futures_util::StreamExt as _;
            let ask = crate::vault::ReadAsk::default();
            let mut body = vault
                .read_object(&call, place(key), ask)
                .await
                .unwrap()
                .body;
            while let Some(piece) = body.next().await {
                piece.unwrap();
                seen.lock().unwrap().served.push(call.event);
            }
        }
        Op::Keep => {
            let on = Versioning::Enabled;
            vault.set_versioning(&call, BUCKET, on).await.unwrap();
        }
        Op::DropNewest(key) => {
            let newest = newest(world, key).await;
            let place = crate::vault::Place {
                version: Some(newest),
                ..place(key)
            };
            let gone = vault
                .delete_object(&call, place, none, false)
                .await
                .unwrap();
            assert_eq!(gone.version, Some(newest));
        }
        Op::MakeSet => drop(vault.create_dataset(&call, OTHER, false).await.unwrap()),
        Op::DropSet => vault.delete_dataset(&call, OTHER).await.unwrap(),
        Op::Snapshot => {
            vault.write_snapshot().await.unwrap();
            return;
        }
        Op::Sweep => {
            world.wait(2 * 24 * 60 * 60 * 1000);
            sweep(vault).await;
            return;
        }
    }
    seen.lock().unwrap().served.push(call.event);
}

async fn newest(world: &World, key: &str) -> VersionName {
    let query = VersionQuery {
        prefix: key.to_owned(),
        limit: 1,
        ..VersionQuery::default()
    };
    let call = world.call(Some("olivia"));
    let page = world
        .vault
        .list_versions(&call, BUCKET, query)
        .await
        .unwrap();
    match &page.entries[0] {
        VersionEntry::Version { name, .. } => *name,
        VersionEntry::Prefix(_) => unreachable!(),
    }
}

async fn sweep(vault: &Vault) {
    let ask = SweepAsk {
        grace_ms: 0,
        upload_ms: 1,
    };
    vault.sweep(ask).await.unwrap();
}

async fn multipart(world: &World, key: &'static str, cuts: [usize; 2]) {
    let vault = &world.vault;
    let data = sample(cuts[0] + cuts[1]);
    let call = world.call(Some("olivia"));
    let upload = vault.create_upload(&call, place(key), NewObject::default(), None);
    let upload = upload.await.unwrap().id.to_string();
    let mut parts = Vec::new();
    for (number, bytes) in [(1, &data[..cuts[0]]), (2, &data[cuts[0]..])] {
        let call = world.call(Some("olivia"));
        let part = vault.put_part(&call, place(key), &upload, number, input(bytes, 4096));
        parts.push(CompletedPart {
            number,
            etag: part.await.unwrap().0.etag.to_string(),
            checksums: Vec::new(),
        });
    }
    let completing = Completing {
        parts,
        ..Completing::default()
    };
    let call = world.call(Some("olivia"));
    let done = vault.complete_upload(&call, place(key), &upload, completing);
    done.await.unwrap();
}

/// The same world with every port behind a gate.
fn gate(world: &mut World, gate: &Arc<Gate>) {
    world.rewire(|mut parts| {
        parts.store = Arc::new(Gated::<SharedStore>::new(parts.store, gate));
        parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, gate));
        parts.journal = Arc::new(Gated::<SharedJournal>::new(parts.journal, gate));
        parts
    });
}

async fn state(world: &World) -> Model {
    let mut objects = BTreeMap::new();
    for key in ["a", "b", "c", "m"] {
        if let Ok(bytes) = world.get("olivia", key, Span::All).await {
            objects.insert(key, bytes);
        }
    }
    let listed = world.names("olivia", "").await.unwrap();
    assert!(
        listed.iter().eq(objects.keys()),
        "what is listed can be read"
    );
    let sets = world.vault.list_datasets(&world.call(Some("olivia"))).await;
    (objects, sets.unwrap().len() == 2)
}

/// Crashes at call `at`; how many calls the script makes, if it came to its end.
async fn crash(at: u64, after: bool) -> Option<u64> {
    let mut world = World::new().await;
    let catalog = Arc::clone(&world.catalog);
    let guard = Gate::new(at, after);
    gate(&mut world, &guard);
    let seen = Mutex::new(Seen::default());
    let durable = {
        let mut script = Box::pin(run(&world, &seen));
        tokio::select! {
            biased;
            () = &mut script => return Some(guard.calls()),
            () = guard.stopped() => {}
        }
        // What the crash itself would lose must not count: the log as it is before anything is
        // dropped.
        world.journal.entries()
    };
    let seen = seen.into_inner().unwrap();
    let why = format!("call {at}, effect {after}, in {:?}", SCRIPT[seen.done]);
    let known = |event: &EventId| {
        durable.iter().any(|entry| {
            matches!(entry, Entry::Intent { intent, .. } | Entry::Whole { intent, .. }
                if intent.event == *event)
        })
    };
    assert!(seen.served.iter().all(known), "{why}");

    world.catalog = catalog;
    world.rewire(|parts| parts);
    let mut before = Model::default();
    for op in &SCRIPT[..seen.done] {
        apply(&mut before, *op);
    }
    let mut behind = before.clone();
    apply(&mut behind, SCRIPT[seen.done]);
    let found = state(&world).await;
    assert!(found == before || found == behind, "{why}");

    // Nothing that counts is swept, and nothing that does not is kept.
    for _ in 0..2 {
        world.wait(2 * 24 * 60 * 60 * 1000);
        sweep(&world.vault).await;
    }
    assert!(state(&world).await == found, "{why}");
    let mut stored = world.blobs().await;
    stored.retain(|id| (0..2).all(|n| world.keyring.snapshot_blob_id(n) != *id));
    let referred = world.catalog.known_blobs(&stored).await.unwrap();
    assert!(referred.iter().all(|known| *known), "orphans stay: {why}");
    None
}

#[tokio::test]
async fn a_crash_before_any_call_loses_nothing_acknowledged() {
    let calls = crash(u64::MAX, false).await.unwrap();
    assert!(calls > 60, "{calls}");
    for at in 1..=calls {
        assert_eq!(crash(at, false).await, None, "call {at}");
    }
}

#[tokio::test]
async fn a_crash_behind_any_call_loses_nothing_acknowledged() {
    let calls = crash(u64::MAX, true).await.unwrap();
    for at in 1..=calls {
        assert_eq!(crash(at, true).await, None, "call {at}");
    }
}
