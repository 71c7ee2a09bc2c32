//! What is over goes, whole and nothing else, whatever step it dies at.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::archive::{Archive, LogKeys};
use super::entries::{each, segments_of, signed};
use super::expire::Removal;
use super::failures::Failures;
use super::source::DirSource;
use crate::app::VolumeStore;
use crate::app::system::SystemEntropy;
use crate::archive::{Fold, Meta, VolumeKeys, check, records_of};
use crate::cli::output::CliError;
use crate::journal::{Found, Journal as _, Tail, Wal, WalConfig};
use crate::ledger::{DAY_MS, Kept, Scope, samples};
use crate::notary::{DirShelf, Lane, Notary, NotaryKeys, NotaryParts};
use crate::store::locked::SharedLocks;
use crate::store::locked::memory::LockMemory;
use crate::store::memory::MemoryStore;
use crate::store::{BlobBody, BlobEntry, BlobStore, BlobStream, SharedStore, StoreError};
use crate::types::limits::{JOURNAL_FILE_BYTES_MIN, LOG_KEPT_DAYS};
use crate::types::{BlobId, Clock, EventId, RetentionMode, Secret, Timestamp};

const ORIGIN: &str = "vault.example/log";
const BEGIN: u64 = 1_600_000_000_000;

struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn secret(n: u8) -> Secret<32> {
    Secret::take(&mut [n; 32])
}

fn notary_keys() -> NotaryKeys {
    NotaryKeys {
        journal: secret(1),
        signing: secret(2),
        scopes: secret(3),
        state: secret(4),
    }
}

/// Projects, and for how many days each has its records kept.
fn kept((icu, lab): (u32, u32)) -> Kept {
    let terms = [("icu", icu), ("lab", lab)];
    Kept::new(terms.map(|(name, days)| (name.parse().unwrap(), days)))
}

/// So many days after the world began.
pub(super) fn after(days: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + 60_000 + days * DAY_MS)
}

fn keys((days, icu): (u64, u32), lab: u32) -> LogKeys {
    LogKeys {
        origin: ORIGIN.to_owned(),
        notary: notary_keys(),
        volumes: VolumeKeys::new(secret(5)),
        kept: kept((icu, lab)),
        now: after(days),
    }
}

/// A store that does so many operations and fails from then on, as for a process that died.
pub(super) struct Dying {
    pub(super) inner: SharedStore,
    pub(super) left: AtomicI64,
}

impl Dying {
    fn step(&self) -> Result<(), StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            Ok(())
        } else {
            Err(StoreError::Timeout)
        }
    }
}

#[async_trait]
impl BlobStore for Dying {
    fn presign(&self, _id: BlobId, _seconds: u64) -> Option<String> {
        None
    }

    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.step()?;
        self.inner.put(id, bytes, body).await
    }
    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.put(id, bytes, body).await
    }
    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        self.step()?;
        self.inner.get(id, range, whole).await
    }
    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        self.step()?;
        self.inner.delete(id).await
    }
    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        self.step()?;
        self.inner.list(after, limit).await
    }
    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        self.inner.probe(id).await
    }
}

/// A log of two volumes with records of `icu`, `lab` and a copy from the one to the other.
pub(super) struct World {
    dir: tempfile::TempDir,
    pub(super) store: SharedStore,
    /// The same place with its locks, where volumes are locked; its clock is the world's.
    locks: Option<Arc<LockMemory>>,
    /// How many days have passed, and how many icu's records are kept.
    pub(super) at: Mutex<(u64, u32)>,
    /// How many lab's are.
    lab: AtomicU32,
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(Ticking(AtomicU64::new(BEGIN)));
        Self::over(Arc::new(MemoryStore::new(clock)), None).await
    }

    /// On this store, with these locks.
    pub(super) async fn over(store: SharedStore, locks: Option<&Arc<LockMemory>>) -> Self {
        Self::over_kept(store, locks, LOG_KEPT_DAYS).await
    }

    /// The same, of which icu's records are kept for so many days from the beginning.
    pub(super) async fn over_kept(
        store: SharedStore,
        locks: Option<&Arc<LockMemory>>,
        icu: u32,
    ) -> Self {
        Self::over_many(store, locks, (icu, 2)).await
    }

    /// The same, of so many volumes.
    pub(super) async fn over_many(
        store: SharedStore,
        locks: Option<&Arc<LockMemory>>,
        (icu, volumes): (u32, u8),
    ) -> Self {
        let clock = || Arc::new(Ticking(AtomicU64::new(BEGIN)));
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            store,
            locks: locks.cloned(),
            at: Mutex::new((0, icu)),
            lab: AtomicU32::new(LOG_KEPT_DAYS),
        };
        let config = WalConfig {
            file_bytes: JOURNAL_FILE_BYTES_MIN,
            open_max: 100,
            ..WalConfig::new(world.path("journal"), "gateway".into(), secret(1))
        };
        let wal = Wal::open(config, clock(), Arc::new(SystemEntropy::new())).unwrap();
        let mut notary = Notary::open(NotaryParts {
            journal: world.path("journal"),
            origin: ORIGIN.into(),
            keys: notary_keys(),
            shelf: Box::new(DirShelf::keep(&world.path("log")).unwrap()),
            settle: None,
            clock: clock(),
            entropy: Arc::new(SystemEntropy::new()),
        })
        .unwrap();
        for volume in 0..volumes {
            for (n, project, source) in
                [(1, "icu", None), (2, "lab", None), (3, "icu", Some("lab"))]
            {
                note(&wal, volume * 8 + n, project, source).await;
                let name = "gateway";
                let durable = wal.durable();
                notary.round(&[Lane { name, durable }]).unwrap();
            }
            world.ship().await;
        }
        wal.close().await.unwrap();
        world
    }

    /// The same world, whose volumes are locked from here on.
    pub(super) fn locked(mut self, locks: &Arc<LockMemory>) -> Self {
        self.locks = Some(Arc::clone(locks));
        self
    }

    pub(super) fn set_lab(&self, days: u32) {
        self.lab.store(days, Ordering::SeqCst);
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Opens the volumes after so many days.
    async fn opened(&self, store: &SharedStore, at: (u64, u32)) -> Result<Archive, CliError> {
        let log = self.path("log");
        let keys = keys(at, self.lab.load(Ordering::SeqCst));
        if let Some(locks) = &self.locks {
            locks.set(keys.now);
        }
        let volumes = VolumeStore {
            store: Arc::clone(store),
            locks: self.locks.clone().map(|locks| -> SharedLocks { locks }),
        };
        let mut archive = Archive::over(volumes, (&log, &self.path("journal")), keys).await?;
        if let Some(locks) = &mut archive.locks {
            locks.mode = Some(RetentionMode::Compliance);
        }
        Ok(archive)
    }

    pub(super) async fn open(&self, store: &SharedStore) -> Archive {
        let at = *self.at.lock().unwrap();
        self.opened(store, at).await.unwrap()
    }

    /// Closes a volume of all that is in none.
    async fn ship(&self) {
        let mut archive = self.open(&self.store).await;
        let from = archive.index.end_of("gateway");
        let mut segments = Vec::new();
        let mut log = DirSource::new(&self.path("log"));
        let size = size(&mut log);
        each(&mut log, (0, size), |_, segment| {
            if segment.first >= from {
                segments.push(segment);
            }
            Ok(())
        })
        .unwrap();
        let end = segments.last().unwrap().end();
        let open = archive.open_of("gateway").await.unwrap();
        let mut fold = Fold::new(open);
        let mut tail = Tail::open(&self.path("journal"), "gateway", secret(1), from).unwrap();
        while let Some(Found::Record(record, _)) = tail.read(end).unwrap() {
            fold.push(record.seq, record.entry, record.session).unwrap();
        }
        let meta = Meta::new(ORIGIN, "gateway", (from, end), Vec::new());
        let settled = archive.settle(&meta, fold.rows()).await.unwrap();
        archive.add(&settled, &segments).await.unwrap();
    }

    pub(super) async fn removal(&self, store: &SharedStore, days: u64, icu: u32) -> Removal {
        Removal {
            archive: self.opened(store, (days, icu)).await.unwrap(),
            log: DirSource::new(&self.path("log")),
            kept: kept((icu, self.lab.load(Ordering::SeqCst))),
            now: after(days),
        }
    }

    /// Removes what is over after so many days.
    pub(super) async fn expire(
        &self,
        store: &SharedStore,
        days: u64,
        icu: u32,
    ) -> Result<usize, ()> {
        *self.at.lock().unwrap() = (days, icu);
        let mut removal = self.removal(store, days, icu).await;
        let mut failures = Failures::default();
        let mut due = removal.due().map_err(drop)?;
        removal.look_for(&mut due, &mut failures).await;
        let written = removal.rewrite_all(&due, &mut failures).await;
        let over = removal.kept.since(&Scope::Vault, removal.now);
        let swept = removal.archive.sweep(over).await.map_err(drop)?;
        if failures.count > 0 || !swept.missing.is_empty() {
            return Err(());
        }
        Ok(written)
    }

    /// Every record that the index leads to, by its number and projects, each volume held against
    /// the log.
    pub(super) async fn records(&self) -> BTreeSet<(u64, String)> {
        let archive = self.open(&self.store).await;
        let mut log = DirSource::new(&self.path("log"));
        let size = size(&mut log);
        let mut found = BTreeSet::new();
        for place in archive.index.volumes() {
            let volume = archive.volume(place).await.unwrap();
            let segments = segments_of(&mut log, size, place).unwrap();
            let key = notary_keys().scope_key();
            check(&volume, &segments, &key, |_, _, _, _, _| {}).unwrap();
            records_of(&volume, |record| {
                let scopes: Vec<&str> = record.scopes.iter().map(Scope::name).collect();
                assert!(found.insert((record.seq, scopes.join("+"))), "doubled");
                Ok(())
            })
            .unwrap();
        }
        found
    }

    async fn blobs(&self) -> usize {
        self.store.list(None, 100).await.unwrap().len()
    }
}

pub(super) fn size(log: &mut DirSource) -> u64 {
    let public = notary_keys().public(ORIGIN).unwrap();
    signed(log, "checkpoint", &public).unwrap().1.size
}

async fn note(wal: &Arc<Wal>, n: u8, project: &str, source: Option<&str>) {
    let event = EventId::from_bytes([n; 16]);
    let time = Timestamp::from_millis(BEGIN);
    let mut intent = samples::intent(event);
    intent.time = time;
    intent.object.project = Some(project.parse().unwrap());
    let from = crate::ledger::ObjectRef {
        project: source.map(|name| name.parse().unwrap()),
        ..crate::ledger::ObjectRef::default()
    };
    intent.source_object = Some(from);
    let mut completion = samples::completion(event);
    completion.time = time;
    let session = Arc::new(samples::session());
    let slot = wal.begin(&session, intent).await.unwrap();
    slot.complete(completion.clone());
    let mut own = samples::bare_intent(event);
    own.time = time;
    wal.note(&session, own, completion).await.unwrap();
}

fn of<'a>(records: &'a BTreeSet<(u64, String)>, scopes: &str) -> Vec<&'a (u64, String)> {
    records.iter().filter(|(_, s)| s == scopes).collect()
}

#[tokio::test]
async fn what_is_over_goes_and_nothing_else() {
    let world = World::new().await;
    let before = world.records().await;
    assert_eq!(of(&before, "icu").len(), 4);
    // A day too early nothing is due; the longest is for what belongs to nobody.
    assert_eq!(world.expire(&world.store, 364, 365).await, Ok(0));
    assert_eq!(world.records().await, before);
    assert_eq!(world.expire(&world.store, 365, 365).await, Ok(2));
    let after = world.records().await;
    let stays: BTreeSet<_> = before.iter().filter(|(_, s)| s != "icu").cloned().collect();
    assert_eq!(after, stays, "what another project keeps stays");
    assert_eq!(of(&after, "icu+lab").len(), 4);
    assert_eq!(
        world.blobs().await,
        2,
        "the old volumes are gone from the store"
    );
    // Once; and a rise afterwards brings nothing back and harms nothing.
    assert_eq!(world.expire(&world.store, 366, 365).await, Ok(0));
    assert_eq!(world.expire(&world.store, 366, 3_650).await, Ok(0));
    assert_eq!(world.records().await, stays);
    // At last all of it; the last volume stays and says where the lane goes on.
    let days = u64::from(LOG_KEPT_DAYS);
    assert_eq!(world.expire(&world.store, days, 365).await, Ok(2));
    assert!(world.records().await.is_empty());
    assert_eq!(world.blobs().await, 1);
    assert_eq!(world.expire(&world.store, days + 1, 365).await, Ok(0));
}

#[tokio::test]
async fn a_death_at_any_step_loses_nothing_and_is_made_good() {
    let days = u64::from(LOG_KEPT_DAYS);
    for (days, icu) in [(365, 365), (days, 365)] {
        let mut died = 0;
        for left in 0..64 {
            let world = World::new().await;
            let before = world.records().await;
            let dying: SharedStore = Arc::new(Dying {
                inner: Arc::clone(&world.store),
                left: AtomicI64::new(left),
            });
            let done = world.expire(&dying, days, icu).await;
            // What is not over is there, each record once, under the log's roots.
            let seen = world.records().await;
            assert!(seen.is_subset(&before), "step {left}");
            if days == 365 {
                assert!(
                    before
                        .iter()
                        .all(|row| row.1 == "icu" || seen.contains(row))
                );
            }
            // Also for whoever finds the volumes without their index.
            std::fs::remove_file(world.path("log/volumes")).unwrap();
            world.expire(&world.store, days, icu).await.unwrap();
            let over = world.records().await;
            assert!(of(&over, "icu").is_empty(), "step {left}");
            assert_eq!(of(&over, "lab").is_empty(), days > 365, "step {left}");
            let expected = if days == 365 { 2 } else { 1 };
            assert_eq!(world.blobs().await, expected, "step {left}");
            if done.is_ok() {
                break;
            }
            died += 1;
        }
        assert!(died > 8, "each step failed once: {died}");
    }
}

#[tokio::test]
async fn a_volume_that_does_not_hold_is_left_as_it_is() {
    let world = World::new().await;
    let mut removal = world.removal(&world.store, 365, 365).await;
    let due = removal.due().unwrap();
    // Another volume of the same run, which the log does not know.
    let archive = world.open(&world.store).await;
    let place = archive.index.volumes()[0].clone();
    let volume = archive.volume(&place).await.unwrap();
    let mut rows = Vec::new();
    crate::archive::rows_of(&volume, |row| {
        rows.push(row);
        Ok(())
    })
    .unwrap();
    rows.pop();
    let bent = archive.settle(&place.meta, &rows).await.unwrap();
    let segments = &due.volumes[0].segments;
    removal.archive.replace(&bent, segments).await.unwrap();
    let mut removal = world.removal(&world.store, 365, 365).await;
    let fresh = removal.due().unwrap();
    assert!(removal.rewrite(&fresh.volumes[0]).await.is_err());
    // The other one, which holds, is as good as before.
    assert!(removal.rewrite(&due.volumes[1]).await.is_ok());
}

/// The store takes the oldest volume away, and the index beside the log is lost: what is made again
/// from the store would begin later, and nobody would miss what was before.
#[tokio::test]
async fn a_lost_index_does_not_hide_that_the_store_took_the_oldest_volume() {
    let days = u64::from(LOG_KEPT_DAYS);
    for taken in [1, 2] {
        let world = World::new().await;
        let index = world.path("log/volumes");
        let oldest: Vec<BlobId> = {
            let archive = world.open(&world.store).await;
            let volumes = archive.index.volumes().iter().take(taken);
            volumes.map(|place| place.blob().unwrap()).collect()
        };
        for id in oldest {
            world.store.delete(id).await.unwrap();
        }
        // With its index it is missed when it is read.
        let archive = world.open(&world.store).await;
        let first = archive.index.volumes().first().unwrap().clone();
        assert!(archive.volume(&first).await.is_err());
        std::fs::remove_file(&index).unwrap();
        // The journal of all of it, if nothing is in volumes: then nothing is lost.
        let told = world.opened(&world.store, (days - 1, 365)).await;
        assert_eq!(told.is_ok(), taken == 2, "{taken}");
        // Not once the journal has let it go.
        std::fs::rename(world.path("journal"), world.path("elsewhere")).unwrap();
        std::fs::create_dir(world.path("journal")).unwrap();
        for (days, icu) in [(0, 365), (365, 365), (days - 1, 365), (days, 3_650)] {
            let Err(told) = world.opened(&world.store, (days, icu)).await else {
                panic!("{taken} volumes were taken, {days} days");
            };
            assert!(told.message().contains("not over"), "{}", told.message());
        }
        // What is over for all may be gone.
        assert!(world.opened(&world.store, (days, 365)).await.is_ok());
    }
}

/// An index that is made again from all that is there is as good as the one that was lost.
#[tokio::test]
async fn an_index_is_made_again_from_a_whole_store() {
    let world = World::new().await;
    let before = world.records().await;
    std::fs::remove_file(world.path("log/volumes")).unwrap();
    assert_eq!(world.records().await, before);
    std::fs::remove_file(world.path("log/checkpoint")).unwrap();
    assert!(
        world.opened(&world.store, (0, 365)).await.is_ok(),
        "no log, nothing to lack"
    );
}

/// One that the store lost is told each time, and what is over goes from all others.
#[tokio::test]
async fn au_9_a_volume_that_is_missing_keeps_nothing_from_expiring() {
    let clock = Arc::new(Ticking(AtomicU64::new(BEGIN)));
    let store: SharedStore = Arc::new(MemoryStore::new(clock));
    let world = World::over_many(store, None, (LOG_KEPT_DAYS, 3)).await;
    let before = world.records().await;
    let lost = world.open(&world.store).await.index.volumes()[0].clone();
    world.store.delete(lost.blob().unwrap()).await.unwrap();
    let mut removal = world.removal(&world.store, 365, 365).await;
    let mut failures = Failures::default();
    let mut due = removal.due().unwrap();
    assert_eq!(due.volumes.len(), 3);
    removal.look_for(&mut due, &mut failures).await;
    assert_eq!((due.volumes.len(), failures.count), (2, 1));
    assert!(failures.words[0].contains("records 0 to"), "{failures:?}");
    assert_eq!(removal.rewrite_all(&due, &mut failures).await, 2);
    let over = removal.kept.since(&Scope::Vault, removal.now);
    let swept = removal.archive.sweep(over).await.unwrap();
    assert_eq!((swept.gone, swept.missing.len()), (2, 1), "{swept:?}");
    assert!(swept.missing.contains(&lost.blob().unwrap()));
    // The index goes on naming it: nobody takes it for something that was never there.
    assert!(
        world
            .open(&world.store)
            .await
            .index
            .volumes()
            .contains(&lost)
    );
    assert_eq!(world.expire(&world.store, 366, 365).await, Err(()));
    let archive = world.open(&world.store).await;
    let mut left = BTreeSet::new();
    for place in &archive.index.volumes()[1..] {
        let volume = archive.volume(place).await.unwrap();
        records_of(&volume, |record| {
            let scopes: Vec<&str> = record.scopes.iter().map(Scope::name).collect();
            left.insert((record.seq, scopes.join("+")));
            Ok(())
        })
        .unwrap();
    }
    let stays = |row: &&(u64, String)| row.0 >= lost.meta.end && row.1 != "icu";
    assert_eq!(left, before.iter().filter(stays).cloned().collect());
}

/// A store that is away is not asked for each volume, and nothing is lost by it.
#[tokio::test]
async fn a_store_that_is_away_ends_an_expiry_soon_and_harms_nothing() {
    let world = World::new().await;
    let before = world.records().await;
    let dying = Arc::new(Dying {
        inner: Arc::clone(&world.store),
        left: AtomicI64::new(0),
    });
    let away: SharedStore = Arc::<Dying>::clone(&dying);
    let mut removal = world.removal(&away, 365, 365).await;
    let mut failures = Failures::default();
    let mut due = removal.due().unwrap();
    removal.look_for(&mut due, &mut failures).await;
    assert_eq!((due.volumes.len(), failures.count), (0, 2));
    assert_eq!(world.records().await, before);
    dying.left.store(1_000, Ordering::SeqCst);
    assert_eq!(world.expire(&away, 365, 365).await, Ok(2));
}
