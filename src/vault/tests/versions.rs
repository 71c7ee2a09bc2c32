//! Versions: random lives against a simple model, with sweeps and losses of the catalog in between;
//! and who may see what was overwritten or deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use proptest::prelude::*;

use super::support::{BUCKET, World, input, kind, place, sample};
use crate::catalog::{MemoryCatalog, SharedCatalog, VersionEntry, VersionQuery};
use crate::ledger::Entry;
use crate::types::{VersionName, Versioning};
use crate::vault::{
    CopySource, ErrorKind, NewObject, Place, ReadAsk, ReadConditions, Span, SweepAsk, VaultError,
    WriteConditions,
};

const KEYS: [&str; 3] = ["a", "a/b", "\u{e9}"];
const TWO_DAYS_MS: u64 = 2 * 24 * 60 * 60 * 1000;

#[derive(Clone, Copy, Debug)]
enum Op {
    Set(bool),
    Put(usize, usize),
    Delete(usize),
    /// Delete the n-th version of a key for good.
    Drop(usize, usize),
    /// Copy the n-th version of a key to another.
    Copy(usize, usize, usize),
    /// Get the n-th version of a key.
    Get(usize, usize),
    List(usize),
    Sweep,
    /// Lose the catalog and rebuild it from the store.
    Lose,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    let nth = 0_usize..4;
    prop_oneof![
        2 => any::<bool>().prop_map(Op::Set),
        6 => (key.clone(), 0_usize..200).prop_map(|(k, b)| Op::Put(k, b)),
        3 => key.clone().prop_map(Op::Delete),
        3 => (key.clone(), nth.clone()).prop_map(|(k, n)| Op::Drop(k, n)),
        1 => (key.clone(), nth.clone(), key.clone()).prop_map(|(k, n, t)| Op::Copy(k, n, t)),
        3 => (key, nth).prop_map(|(k, n)| Op::Get(k, n)),
        2 => (1_usize..5).prop_map(Op::List),
        1 => Just(Op::Sweep),
        1 => Just(Op::Lose),
    ]
}

/// A version: its name, and its bytes unless it is a marker.
type Known = (VersionName, Option<Vec<u8>>);

/// Each key's versions, the newest first.
#[derive(Default)]
struct Model {
    state: Versioning,
    keys: BTreeMap<&'static str, Vec<Known>>,
}

impl Model {
    fn add(&mut self, key: &'static str, name: VersionName, bytes: Option<Vec<u8>>) {
        let versions = self.keys.entry(key).or_default();
        if self.state != Versioning::Enabled {
            versions.retain(|(name, _)| *name != VersionName::Null);
        }
        versions.insert(0, (name, bytes));
    }

    fn nth(&self, key: &str, n: usize) -> Option<Known> {
        self.keys.get(key)?.get(n).cloned()
    }

    fn all(&self) -> Vec<(String, VersionName, bool, bool)> {
        let keys = self.keys.iter();
        keys.flat_map(|(key, versions)| {
            let versions = versions.iter().enumerate();
            versions.map(|(n, (name, bytes))| ((*key).to_owned(), *name, n == 0, bytes.is_none()))
        })
        .collect()
    }
}

fn named(key: &str, version: VersionName) -> Place<'_> {
    Place {
        version: Some(version),
        ..place(key)
    }
}

async fn read(world: &World, who: &str, place: Place<'_>) -> Result<Vec<u8>, VaultError> {
    let call = world.call(Some(who));
    let reading = world
        .vault
        .read_object(&call, place, ReadAsk::default())
        .await;
    assert!(call.is_recorded());
    let mut body = reading?.body;
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

async fn set(world: &World, state: Versioning) -> Result<(), VaultError> {
    let call = world.call(Some("olivia"));
    world.vault.set_versioning(&call, BUCKET, state).await
}

#[expect(clippy::too_many_lines, reason = "one arm for each operation")]
async fn apply(world: &mut World, model: &mut Model, op: Op, round: usize) {
    let vault = Arc::clone(&world.vault);
    let call = world.call(Some("olivia"));
    match op {
        Op::Set(on) => {
            let state = if on {
                Versioning::Enabled
            } else {
                Versioning::Suspended
            };
            set(world, state).await.unwrap();
            model.state = state;
        }
        Op::Put(key, bytes) => {
            let data = sample(bytes + round)[round..].to_vec();
            let new = NewObject {
                tags: vec![("round".to_owned(), round.to_string())],
                ..NewObject::default()
            };
            let put = vault.write_object(&call, place(KEYS[key]), new, input(&data, 64));
            let row = put.await.unwrap();
            assert_eq!(row.versioned, model.state == Versioning::Enabled);
            model.add(KEYS[key], row.name(), Some(data));
        }
        Op::Delete(key) => {
            let none = WriteConditions::default();
            let gone = vault
                .delete_object(&call, place(KEYS[key]), none, false)
                .await
                .unwrap();
            assert_eq!(gone.marker, model.state != Versioning::Off);
            match gone.version {
                Some(name) => model.add(KEYS[key], name, None),
                None => drop(model.keys.remove(KEYS[key])),
            }
        }
        Op::Drop(key, n) => {
            let Some((name, bytes)) = model.nth(KEYS[key], n) else {
                return;
            };
            let none = WriteConditions::default();
            let gone = vault
                .delete_object(&call, named(KEYS[key], name), none, false)
                .await
                .unwrap();
            let off = model.state == Versioning::Off;
            assert_eq!(gone.version, (!off).then_some(name));
            assert_eq!(gone.marker, bytes.is_none());
            let versions = model.keys.entry(KEYS[key]).or_default();
            versions.remove(n);
        }
        Op::Copy(key, n, to) => {
            let Some((name, bytes)) = model.nth(KEYS[key], n) else {
                return;
            };
            let from = CopySource {
                place: named(KEYS[key], name),
                conditions: ReadConditions::default(),
                span: Span::All,
            };
            let none = WriteConditions::default();
            let copied = vault
                .copy_object(&call, from, place(KEYS[to]), None, none)
                .await;
            match bytes {
                None => assert_eq!(kind(copied), Some(ErrorKind::IsMarker)),
                Some(bytes) => model.add(KEYS[to], copied.unwrap().name(), Some(bytes)),
            }
        }
        Op::Get(key, n) => get(world, model, KEYS[key], n).await,
        Op::List(limit) => assert_eq!(list(world, limit).await, model.all(), "{op:?}"),
        Op::Sweep => {
            world.wait(TWO_DAYS_MS);
            sweep(world).await;
        }
        Op::Lose => {
            vault.write_snapshot().await.unwrap();
            let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
            world.rewire(|mut parts| {
                parts.catalog = fresh;
                parts
            });
            let found = world.vault.recover(|_| {}).await.unwrap();
            assert!(found.is_whole(), "{found:?}");
        }
    }
}

async fn sweep(world: &World) {
    let ask = SweepAsk {
        grace_ms: 0,
        upload_ms: 1,
    };
    world.vault.sweep(ask).await.unwrap();
}

async fn get(world: &World, model: &Model, key: &str, n: usize) {
    let current = read(world, "olivia", place(key))
        .await
        .map_err(|e| e.kind());
    let newest = model.nth(key, 0).and_then(|(_, bytes)| bytes);
    assert!(current == newest.ok_or(ErrorKind::NoSuchObject), "{key}");
    let Some((name, bytes)) = model.nth(key, n) else {
        return;
    };
    let got = read(world, "olivia", named(key, name)).await;
    assert!(
        got.map_err(|e| e.kind()) == bytes.ok_or(ErrorKind::IsMarker),
        "{key} {name}"
    );
}

/// All pages of a listing of versions: key, name, latest, marker.
async fn list(world: &World, limit: usize) -> Vec<(String, VersionName, bool, bool)> {
    let mut query = VersionQuery {
        limit,
        ..VersionQuery::default()
    };
    let mut all = Vec::new();
    loop {
        let call = world.call(Some("olivia"));
        let page = world
            .vault
            .list_versions(&call, BUCKET, query.clone())
            .await
            .unwrap();
        assert!(page.entries.len() <= limit);
        for entry in page.entries {
            let VersionEntry::Version {
                key,
                name,
                latest,
                object,
                ..
            } = entry
            else {
                panic!("nothing was to be folded");
            };
            all.push((key.to_string(), name, latest, object.is_none()));
        }
        if !page.more {
            return all;
        }
        query.after = all.last().map(|(key, name, ..)| (key.clone(), Some(*name)));
    }
}

fn live(ops: &[Op]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let mut world = World::new().await;
        let mut model = Model::default();
        for (round, op) in ops.iter().enumerate() {
            apply(&mut world, &mut model, *op, round).await;
        }
        // Nothing that is known is swept, and nothing that is gone for good is kept.
        for _ in 0..2 {
            world.wait(TWO_DAYS_MS);
            sweep(&world).await;
        }
        assert_eq!(list(&world, 1000).await, model.all());
        for key in KEYS {
            for n in 0..model.keys.get(key).map_or(1, Vec::len) {
                get(&world, &model, key, n).await;
            }
        }
        let chain = world.catalog.chain().await.unwrap().unwrap_or_default();
        let blobs = world.blobs().await.len() as u64 - chain.next;
        let all = model.keys.values().flatten();
        let bytes = all.filter(|(_, bytes)| bytes.as_ref().is_some_and(|b| !b.is_empty()));
        // Copies share theirs.
        assert!(blobs <= bytes.count() as u64, "{ops:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_dataset_keeps_versions_as_s3_would_have_it(
        ops in proptest::collection::vec(op(), 1..40)
    ) {
        live(&ops);
    }
}

/// What is under a marker comes back when the marker goes, after a loss of the catalog too.
#[test]
fn a_marker_that_goes_gives_its_object_back() {
    live(&[
        Op::Put(0, 9),
        Op::Set(true),
        Op::Put(0, 99),
        Op::Delete(0),
        Op::Delete(0),
        Op::Lose,
        Op::Drop(0, 0),
        Op::Get(0, 0),
        Op::Drop(0, 0),
        Op::Get(0, 0),
        Op::Drop(0, 0),
        Op::Get(0, 0),
        Op::List(1),
    ]);
}

/// While versioning is suspended, a write replaces the version `null` and no other.
#[test]
fn a_suspended_dataset_replaces_null_alone() {
    live(&[
        Op::Put(1, 1),
        Op::Set(true),
        Op::Put(1, 2),
        Op::Set(false),
        Op::Put(1, 3),
        Op::Delete(1),
        Op::Put(1, 4),
        Op::Sweep,
        Op::Lose,
        Op::List(2),
        Op::Get(1, 1),
    ]);
}

#[tokio::test]
async fn only_who_may_sees_what_was_withdrawn() {
    let world = World::new().await;
    set(&world, Versioning::Enabled).await.unwrap();
    world.put("olivia", "k", b"first").await.unwrap();
    world.put("olivia", "k", b"second").await.unwrap();
    let versions = list(&world, 1000).await;
    let (second, first) = (versions[0].1, versions[1].1);
    for who in ["job-1", "ruben", "dirk", "anna", "stan"] {
        for version in [first, second, VersionName::Null] {
            let got = read(&world, who, named("k", version)).await;
            assert_eq!(kind(got), Some(ErrorKind::AccessDenied), "{who} {version}");
            let call = world.call(Some(who));
            let none = WriteConditions::default();
            let gone = world
                .vault
                .delete_object(&call, named("k", version), none, false)
                .await;
            assert_eq!(kind(gone), Some(ErrorKind::AccessDenied), "{who} {version}");
        }
        let call = world.call(Some(who));
        let listed = world
            .vault
            .list_versions(&call, BUCKET, VersionQuery::default())
            .await;
        assert_eq!(kind(listed), Some(ErrorKind::AccessDenied), "{who}");
        let call = world.call(Some(who));
        let set = world
            .vault
            .set_versioning(&call, BUCKET, Versioning::Suspended)
            .await;
        assert_eq!(kind(set), Some(ErrorKind::AccessDenied), "{who}");
    }
    assert_eq!(read(&world, "job-1", place("k")).await.unwrap(), b"second");
    assert_eq!(
        read(&world, "olivia", named("k", first)).await.unwrap(),
        b"first"
    );
}

#[tokio::test]
async fn tags_need_the_right_to_set_them() {
    let world = World::new().await;
    let new = NewObject {
        tags: vec![("a".to_owned(), "b".to_owned())],
        ..NewObject::default()
    };
    let call = world.call(Some("dirk"));
    let put = world
        .vault
        .write_object(&call, place("k"), new.clone(), input(b"x", 1));
    assert_eq!(kind(put.await), Some(ErrorKind::AccessDenied));
    assert!(call.is_recorded());
    let call = world.call(Some("olivia"));
    let put = world
        .vault
        .write_object(&call, place("k"), new, input(b"x", 1));
    put.await.unwrap();
    for who in ["job-1", "dirk", "stan"] {
        let call = world.call(Some(who));
        let set = world
            .vault
            .set_object_tags(&call, place("k"), Vec::new())
            .await;
        assert_eq!(kind(set), Some(ErrorKind::AccessDenied), "{who}");
    }
    let call = world.call(Some("job-1"));
    let seen = world.vault.object_tags(&call, place("k")).await.unwrap();
    assert_eq!(seen.row.attached.tags, [("a".to_owned(), "b".to_owned())]);
}

#[tokio::test]
async fn records_name_versions() {
    let world = World::new().await;
    set(&world, Versioning::Enabled).await.unwrap();
    world.put("olivia", "k", b"x").await.unwrap();
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    let marker = world
        .vault
        .delete_object(&call, place("k"), none, false)
        .await
        .unwrap();
    let versions = list(&world, 1000).await;
    let told = |event| {
        world
            .journal
            .entries()
            .iter()
            .find_map(|entry| match entry {
                Entry::Intent { intent, .. } if intent.event == event => intent.object.version,
                _ => None,
            })
    };
    let deleted = told(call.event).map(VersionName::Id);
    assert_eq!(deleted, marker.version);
    assert_eq!(marker.version, Some(versions[0].1));
    let written = world.journal.entries().iter().any(|entry| {
        matches!(entry, Entry::Intent { intent, .. }
            if intent.object.version.map(VersionName::Id) == Some(versions[1].1))
    });
    assert!(written, "a write's record names the version it makes");
}
