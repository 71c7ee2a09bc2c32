//! A store that can be copied, gates and journals on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use tempfile::TempDir;

use crate::gate::names::Item;
use crate::gate::{Gate, GateParts};
use crate::journal::{Journal as _, JournalError, Reader, Rest, Wal, WalConfig};
use crate::ledger::{Entry, samples};
use crate::seal::keys::{Label, Parent};
use crate::store::fault::FaultStore;
use crate::store::memory::MemoryStore;
use crate::store::{BlobBody, BlobEntry, BlobStore, BlobStream, SharedStore, StoreError};
use crate::types::limits::JOURNAL_FILE_BYTES_MIN;
use crate::types::{BlobId, Clock, Entropy, EntropyError, EventId, Secret, Timestamp};

pub(super) const LANE: &str = "gw-1";

/// Each time later, each draw another; shared by a world.
pub(super) struct Ticking(AtomicU64);

impl Ticking {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1)))
    }
}

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
            .for_each(|(at, b)| *b = n[at % 8] ^ u8::try_from(at).unwrap_or(0));
        Ok(())
    }
}

pub(super) fn key() -> Secret<32> {
    Secret::take(&mut [0x42; 32])
}

pub(super) fn event(n: u32) -> EventId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    EventId::from_bytes(bytes)
}

/// A vault's store and the machine's disk.
pub(super) struct World {
    pub(super) ticking: Arc<Ticking>,
    pub(super) memory: Arc<MemoryStore>,
    pub(super) fault: Arc<FaultStore>,
    pub(super) disk: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let ticking = Ticking::new();
        let memory = Arc::new(MemoryStore::new(Arc::<Ticking>::clone(&ticking)));
        Self::on(ticking, memory)
    }

    fn on(ticking: Arc<Ticking>, memory: Arc<MemoryStore>) -> Self {
        let inner: SharedStore = Arc::<MemoryStore>::clone(&memory);
        Self {
            ticking,
            memory,
            fault: Arc::new(FaultStore::new(inner)),
            disk: tempfile::tempdir().unwrap(),
        }
    }

    /// The store as it is now, with an empty disk beside it.
    pub(super) async fn copy(&self) -> Self {
        let memory = Arc::new(MemoryStore::new(Arc::<Ticking>::clone(&self.ticking)));
        for (id, sealed) in self.blobs().await {
            put(&*memory, id, sealed).await.unwrap();
        }
        Self::on(Arc::clone(&self.ticking), memory)
    }

    /// The same with the disk as it is.
    pub(super) async fn copy_whole(&self) -> Self {
        let copy = self.copy().await;
        copy_dir(self.disk.path(), copy.disk.path());
        copy
    }

    pub(super) async fn blobs(&self) -> BTreeMap<BlobId, Bytes> {
        let listed = self.memory.list(None, usize::MAX).await.unwrap();
        let sealed = |entry: &BlobEntry| self.memory.sealed(entry.id).unwrap();
        listed
            .iter()
            .map(|entry| (entry.id, sealed(entry)))
            .collect()
    }

    /// What the blobs of a scope are, in order.
    pub(super) async fn items(&self, scope: &str) -> Vec<(Item, BlobId)> {
        let names = Parent::new(&key(), &[])
            .child(Label::GateNames, &[])
            .unwrap();
        let blobs = self.blobs().await;
        let items = blobs
            .keys()
            .filter_map(|id| Some((Item::read(*id, &names, scope)?, *id)));
        let mut items: Vec<_> = items.collect();
        items.sort_unstable();
        items
    }

    pub(super) fn gate(&self) -> Gate {
        self.try_gate(Arc::<MemoryStore>::clone(&self.memory))
            .unwrap()
    }

    pub(super) fn try_gate(&self, other: SharedStore) -> Result<Gate, crate::gate::GateError> {
        Gate::open(GateParts {
            store: Arc::<FaultStore>::clone(&self.fault),
            other,
            key: key(),
            entropy: Arc::<Ticking>::clone(&self.ticking),
        })
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.disk.path().join("journal")
    }

    pub(super) fn open(&self) -> Result<Arc<Wal>, JournalError> {
        self.open_by(&self.gate(), 60_000)
    }

    pub(super) fn open_by(&self, gate: &Gate, wait_ms: u64) -> Result<Arc<Wal>, JournalError> {
        self.open_with(Some(gate), wait_ms)
    }

    pub(super) fn open_with(
        &self,
        gate: Option<&Gate>,
        wait_ms: u64,
    ) -> Result<Arc<Wal>, JournalError> {
        self.open_lane(LANE, gate, wait_ms)
    }

    pub(super) fn open_lane(
        &self,
        lane: &str,
        gate: Option<&Gate>,
        wait_ms: u64,
    ) -> Result<Arc<Wal>, JournalError> {
        let config = WalConfig {
            file_bytes: JOURNAL_FILE_BYTES_MIN,
            queue_max: 256,
            open_max: 200,
            wait_ms,
            replica: gate.map(|gate| gate.replica(lane, None)),
            synced: gate.is_none(),
            ..WalConfig::new(self.journal(), lane.to_owned(), key())
        };
        let entropy = Arc::<Ticking>::clone(&self.ticking);
        Wal::open(config, Arc::<Ticking>::clone(&self.ticking), entropy)
    }

    /// All events of the journal, each once; no finding.
    pub(super) fn events(&self) -> Vec<EventId> {
        let records = Reader::open(&self.journal(), key()).unwrap();
        let mut events = Vec::new();
        for record in records {
            if let Entry::Whole { intent, .. } = record.unwrap().entry {
                events.push(intent.event);
            }
        }
        events
    }

    /// The bytes of each file of the lane, without what they are preallocated with.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(self.journal().join(LANE)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let wal = entry
                .path()
                .extension()
                .is_some_and(|ending| ending == "wal");
            if wal || name == "pruned" {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                let end = bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |at| at + 1);
                bytes.truncate(end);
                files.insert(name, bytes);
            }
        }
        files
    }

    pub(super) fn lose_the_disk(&self) {
        std::fs::remove_dir_all(self.journal()).unwrap();
    }
}

pub(super) async fn put(
    store: &dyn BlobStore,
    id: BlobId,
    sealed: Bytes,
) -> Result<(), StoreError> {
    let bytes = u64::try_from(sealed.len()).unwrap();
    let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
    store.put(id, bytes, body).await
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Writes a request's record.
pub(super) async fn note(wal: &Wal, n: u32) -> Result<(), JournalError> {
    let session = Arc::new(samples::session());
    let (intent, completion) = (samples::intent(event(n)), samples::completion(event(n)));
    wal.note(&session, intent, completion).await
}

/// Writes so much that the lane goes on in another file after four of these.
pub(super) async fn fill(wal: &Wal) -> Result<(), JournalError> {
    wal.policy([7; 32], &"p".repeat(60_000)).await
}

/// Ends a journal, whatever it says, and waits until its lane is free.
pub(super) async fn close(world: &World, wal: Arc<Wal>) -> Result<(), JournalError> {
    let closed = wal.close().await;
    drop(wal);
    if world.journal().join(LANE).is_dir() {
        while Rest::take(&world.journal(), LANE).unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }
    closed
}

/// A store that takes a name as often as it is asked to.
pub(super) struct Overwriting(pub(super) Arc<MemoryStore>);

#[async_trait]
impl BlobStore for Overwriting {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.0.delete(id).await?;
        self.0.put(id, bytes, body).await
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.put(id, bytes, body).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: std::ops::Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        self.0.get(id, range, whole).await
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        self.0.delete(id).await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        self.0.list(after, limit).await
    }

    fn presign(&self, id: BlobId, seconds: u64) -> Option<String> {
        self.0.presign(id, seconds)
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        self.0.probe(id).await
    }
}
