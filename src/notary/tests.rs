//! A log made of a real journal on a shelf that can stop at each step: whatever happens, each
//! record is in the log once, and every checkpoint ever signed is a beginning of the last.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Lane, Notary, NotaryError, NotaryKeys, NotaryParts, Shelf};
use crate::journal::{Found, Journal as _, Tail, Wal, WalConfig};
use crate::ledger::tlog::{Checkpoint, Edge, Note, Tile, TileKind, decode_bundle};
use crate::ledger::{Scopes, Segment, SegmentTrees, leaf_hash, samples};
use crate::types::limits::JOURNAL_FILE_BYTES_MIN;
use crate::types::{Clock, Entropy, EntropyError, EventId, Secret, Timestamp};

const ORIGIN: &str = "vault.example/log";

/// Each time later than the last.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

impl Entropy for Ticking {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let n = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        out.iter_mut()
            .enumerate()
            .for_each(|(at, b)| *b = n[at % 8]);
        Ok(())
    }
}

fn ticking() -> Arc<Ticking> {
    Arc::new(Ticking(AtomicU64::new(1)))
}

/// Where a shelf stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Never,
    Before(u64),
    Behind(u64),
}

#[derive(Default)]
struct Held {
    files: BTreeMap<String, Vec<u8>>,
    steps: u64,
    /// Every checkpoint that was ever on the shelf.
    signed: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct MemoryShelf {
    files: Arc<Mutex<Held>>,
    stop: Stop,
}

impl MemoryShelf {
    pub(super) fn new() -> Self {
        Self {
            files: Arc::default(),
            stop: Stop::Never,
        }
    }

    fn step(&self, act: impl FnOnce(&mut Held)) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        files.steps += 1;
        let stopped = || Err(io::ErrorKind::Other.into());
        match self.stop {
            Stop::Before(at) if files.steps >= at => return stopped(),
            Stop::Behind(at) if files.steps > at => return stopped(),
            Stop::Before(_) | Stop::Behind(_) | Stop::Never => act(&mut files),
        }
        match self.stop {
            Stop::Behind(at) if files.steps == at => stopped(),
            Stop::Before(_) | Stop::Behind(_) | Stop::Never => Ok(()),
        }
    }
}

impl Shelf for MemoryShelf {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().files.get(name).cloned())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(|files| {
            if name == "checkpoint" {
                files.signed.push(bytes.to_vec());
            }
            let before = files.files.insert(name.to_owned(), bytes.to_vec());
            // What was published is never written differently.
            if name.starts_with("tile/") {
                assert!(
                    before.is_none_or(|before| before == bytes),
                    "{name} changed"
                );
            }
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step(|files| drop(files.files.remove(name)))
    }
}

fn secret(n: u8) -> Secret<32> {
    Secret::take(&mut [n; 32])
}

fn keys() -> NotaryKeys {
    NotaryKeys {
        journal: secret(1),
        signing: secret(2),
        scopes: secret(3),
        state: secret(4),
    }
}

pub(super) fn log_on(dir: &Path, shelf: &MemoryShelf) -> Result<Notary, NotaryError> {
    Notary::open(NotaryParts {
        journal: dir.to_owned(),
        origin: ORIGIN.to_owned(),
        keys: keys(),
        shelf: Box::new(shelf.clone()),
        settle: None,
        clock: ticking(),
        entropy: ticking(),
    })
}

fn wal(dir: &Path, lane: &str) -> Arc<Wal> {
    wal_of(dir, lane, 1)
}

/// The same by a process of its own: what it draws is what no other draws.
pub(super) fn wal_of(dir: &Path, lane: &str, process: u64) -> Arc<Wal> {
    let entropy = Arc::new(Ticking(AtomicU64::new(process << 32)));
    let config = WalConfig {
        file_bytes: JOURNAL_FILE_BYTES_MIN,
        open_max: 100,
        ..WalConfig::new(dir.to_owned(), lane.to_owned(), secret(1))
    };
    Wal::open(config, ticking(), entropy).unwrap()
}

pub(super) async fn note(wal: &Wal, n: u8, project: &str) {
    let event = EventId::from_bytes([n; 16]);
    let mut intent = samples::intent(event);
    intent.object.project = Some(project.parse().unwrap());
    let session = Arc::new(samples::session());
    let slot = wal.begin(&session, intent).await.unwrap();
    slot.complete(samples::completion(event));
    let completion = samples::completion(event);
    wal.note(&session, samples::bare_intent(event), completion)
        .await
        .unwrap();
}

/// The segments of a log, held against its newest checkpoint.
fn segments(shelf: &MemoryShelf) -> Vec<Segment> {
    let key = keys().public(ORIGIN).unwrap();
    let files = shelf.files.lock().unwrap();
    let open = |bytes: &[u8]| Checkpoint::open(&Note::parse(bytes).unwrap(), &key).unwrap();
    let newest = open(&files.files["checkpoint"]);
    let mut edge = Edge::new();
    let mut roots = BTreeMap::from([(0, edge.root())]);
    let mut segments = Vec::new();
    for index in 0.. {
        let Some(tile) = Tile::of(TileKind::Entries, index, newest.size) else {
            break;
        };
        let bytes = &files.files[&tile.to_string()];
        for entry in decode_bundle(tile.width, bytes).unwrap() {
            edge.push(leaf_hash(entry));
            roots.insert(edge.size(), edge.root());
            segments.push(Segment::decode(entry).unwrap());
        }
    }
    assert_eq!(edge.root(), newest.root);
    for bytes in &files.signed {
        let older = open(bytes);
        assert_eq!(roots.get(&older.size), Some(&older.root), "forked");
    }
    segments
}

/// Each record of the journal is in the log once, in order, under the scopes that it names.
fn covers(dir: &Path, shelf: &MemoryShelf, until: &[(&str, u64)]) {
    let mut scopes = Scopes::default();
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let key = keys().scope_key();
    for segment in segments(shelf) {
        let end = ends.entry(segment.lane.clone()).or_default();
        assert_eq!(segment.first, *end, "a gap or a double");
        *end = segment.end();
        let mut tail = Tail::open(dir, &segment.lane, secret(1), segment.first).unwrap();
        let mut trees = SegmentTrees::new(&key, &segment.lane, segment.first);
        for _ in 0..segment.count {
            let Some(Found::Record(record, bytes)) = tail.read(u64::MAX).unwrap() else {
                panic!("the journal lacks a record");
            };
            for scope in scopes.of(&record.entry) {
                trees.push(&scope, record.seq, &bytes);
            }
        }
        assert_eq!(trees.roots(), segment.scopes);
    }
    for (lane, until) in until {
        assert_eq!(ends.get(*lane), Some(until));
    }
}

pub(super) fn own(wal: &Wal) -> [Lane<'static>; 1] {
    [Lane {
        name: "gateway",
        durable: wal.durable(),
    }]
}

#[tokio::test]
async fn every_step_may_be_the_last() {
    let mut step = 1;
    let mut whole = false;
    while !whole {
        for stop in [Stop::Before(step), Stop::Behind(step)] {
            let dir = tempfile::tempdir().unwrap();
            let shelf = MemoryShelf::new();
            let stopping = MemoryShelf {
                stop,
                ..shelf.clone()
            };
            let wal = wal(dir.path(), "gateway");
            let mut notary = log_on(dir.path(), &stopping).unwrap();
            let mut stopped = false;
            for n in 0..3 {
                note(&wal, n, if n % 2 == 0 { "icu" } else { "onco" }).await;
                stopped |= notary.round(&own(&wal)).is_err();
            }
            // The process is gone; the next one finds what is on the shelf.
            drop(notary);
            let mut notary = log_on(dir.path(), &shelf).unwrap();
            note(&wal, 9, "icu").await;
            notary.round(&own(&wal)).unwrap();
            covers(dir.path(), &shelf, &[("gateway", wal.durable())]);
            assert_eq!(notary.round(&own(&wal)).unwrap(), None);
            whole = !stopped;
        }
        step += 1;
    }
    assert!(step > 9, "{step} steps");
}

#[tokio::test]
async fn a_disk_that_heals_goes_on_in_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = MemoryShelf::new();
    let wal = wal(dir.path(), "gateway");
    let mut notary = log_on(
        dir.path(),
        &MemoryShelf {
            stop: Stop::Before(3),
            ..shelf.clone()
        },
    )
    .unwrap();
    note(&wal, 1, "icu").await;
    assert!(notary.round(&own(&wal)).is_err());
    // Steps begin again at one: the disk is well until the third.
    shelf.files.lock().unwrap().steps = 0;
    assert!(notary.round(&own(&wal)).is_err());
    shelf.files.lock().unwrap().steps = 0;
    drop(notary.round(&own(&wal)));
    let mut again = log_on(dir.path(), &shelf).unwrap();
    drop(again.round(&own(&wal)));
    covers(dir.path(), &shelf, &[("gateway", wal.durable())]);
}

#[tokio::test]
async fn a_lane_of_others_is_read_when_nobody_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = MemoryShelf::new();
    let gateway = wal(dir.path(), "gateway");
    let admin = wal(dir.path(), "admin");
    note(&admin, 1, "icu").await;
    let mut notary = log_on(dir.path(), &shelf).unwrap();
    notary.round(&own(&gateway)).unwrap();
    assert!(
        segments(&shelf)
            .iter()
            .all(|segment| segment.lane == "gateway")
    );
    let durable = admin.durable();
    admin.close().await.unwrap();
    notary.round(&own(&gateway)).unwrap();
    let closed = durable + 1;
    covers(
        dir.path(),
        &shelf,
        &[("gateway", gateway.durable()), ("admin", closed)],
    );
}

#[tokio::test]
async fn nothing_that_is_not_durable_comes_into_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = MemoryShelf::new();
    let wal = wal(dir.path(), "gateway");
    note(&wal, 1, "icu").await;
    let mut notary = log_on(dir.path(), &shelf).unwrap();
    let lane = Lane {
        name: "gateway",
        durable: 2,
    };
    notary.round(&[lane]).unwrap();
    covers(dir.path(), &shelf, &[("gateway", 2)]);
}

#[tokio::test]
async fn a_log_that_was_rolled_back_or_altered_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = MemoryShelf::new();
    let wal = wal(dir.path(), "gateway");
    let mut notary = log_on(dir.path(), &shelf).unwrap();
    let mut images = Vec::new();
    for n in 0..3 {
        note(&wal, n, "icu").await;
        notary.round(&own(&wal)).unwrap();
        images.push(shelf.files.lock().unwrap().files.clone());
    }
    let newest = images[2].clone();
    let opened = |files: BTreeMap<String, Vec<u8>>| {
        let shelf = MemoryShelf::new();
        shelf.files.lock().unwrap().files = files;
        log_on(dir.path(), &shelf).err()
    };
    assert!(opened(newest.clone()).is_none());
    // An older state, no state, an older checkpoint, no checkpoint.
    let with = |name: &str, bytes: Option<&Vec<u8>>| {
        let mut files = newest.clone();
        match bytes {
            Some(bytes) => drop(files.insert(name.to_owned(), bytes.clone())),
            None => drop(files.remove(name)),
        }
        opened(files)
    };
    let back = |told: Option<NotaryError>| {
        assert!(
            matches!(told, Some(NotaryError::RolledBack { .. })),
            "{told:?}"
        );
    };
    back(with("state", images[0].get("state")));
    back(with("state", None));
    back(with("checkpoint", images[0].get("checkpoint")));
    back(with("checkpoint", None));
    back(with("checkpoint", Some(&b"nonsense\n".to_vec())));
    assert!(matches!(
        with("state", Some(&vec![0; 200])),
        Some(NotaryError::State)
    ));
    // The tiles of the last round are written again from the state; those before it are built on.
    for name in images[1].keys().filter(|name| name.starts_with("tile/")) {
        let mut files = newest.clone();
        let bytes = files.get_mut(name).unwrap();
        bytes[3] ^= 1;
        // Tiles that the state does not build on are read by nobody here.
        if let Some(told) = opened(files) {
            let fine = matches!(
                told,
                NotaryError::RolledBack { .. } | NotaryError::Internal { .. }
            );
            assert!(fine, "{name}: {told:?}");
        }
    }
}
