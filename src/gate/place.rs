//! The gate's corner of the store, for callers that may block: the journal's writer, the notary,
//! commands. Requests are made on a thread of its own, so that nobody's runtime waits for itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::blob::digest;
use super::names::Item;
use super::stop::Stop;
use super::{GateError, GateParts, broken};
use crate::journal::JournalError;
use crate::seal::keys::{Label, Parent};
use crate::seal::{open_bytes, seal_bytes};
use crate::store::{SharedStore, StoreError};
use crate::types::limits::{GATE_BLOB_BYTES_MAX, GATE_CALL_MS_MAX, GATE_GETS, PAGE_ENTRIES_MAX};
use crate::types::{BlobId, Entropy, Secret};

/// What the probe writes under a name, and then tries to write there as well.
const PROBES: [&[u8]; 2] = [b"gate probe: first", b"gate probe: other"];

/// Blobs of the gate, sealed and named.
pub(super) struct Place {
    /// Taken when it is dropped, which may be on a thread of another runtime; `None` in one that
    /// stands on another's.
    runtime: Option<Runtime>,
    handle: Handle,
    /// What ends its calls, where they may be ended.
    stop: Option<Stop>,
    store: SharedStore,
    log: Secret<32>,
    blobs: Secret<32>,
    names: Secret<32>,
    entropy: Arc<dyn Entropy>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A PUT that is under way.
pub(super) struct Sending {
    answer: Receiver<Result<(), StoreError>>,
    task: JoinHandle<()>,
}

impl Sending {
    /// Its answer; `None` where none came in time. It goes on then.
    pub(super) fn wait(&self, patience: Duration) -> Option<Result<(), StoreError>> {
        match self.answer.recv_timeout(patience) {
            Ok(answer) => Some(answer),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Some(Err(gone())),
        }
    }

    /// Gives it up: whether it arrives is not known.
    pub(super) fn give_up(self) {
        self.task.abort();
    }
}

fn gone() -> StoreError {
    StoreError::Failed {
        reason: "the gate's thread is gone".to_owned(),
    }
}

fn system(error: impl std::fmt::Display) -> GateError {
    GateError::System(error.to_string())
}

/// What the store has: each blob of a scope, and its length.
pub(super) type Listing = BTreeMap<Item, u64>;

/// A blob as it was read.
pub(super) struct Opened {
    pub(super) plain: Zeroizing<Vec<u8>>,
    pub(super) digest: [u8; 32],
}

impl Place {
    pub(super) fn open(parts: GateParts) -> Result<Self, GateError> {
        let parent = Parent::new(&parts.key, &[]);
        let child = |label| parent.child(label, &[]).map_err(system);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(GATE_GETS)
            .thread_name("kluis-gate")
            .enable_all()
            .build();
        let runtime = runtime.map_err(system)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            stop: None,
            store: parts.store,
            blobs: child(Label::GateBlobs)?,
            names: child(Label::GateNames)?,
            log: parts.key,
            entropy: parts.entropy,
        })
    }

    /// The same place, whose calls end when `stop` is raised.
    pub(super) fn until(&self, stop: &Stop) -> Self {
        Self {
            runtime: None,
            handle: self.handle.clone(),
            stop: Some(stop.clone()),
            store: Arc::clone(&self.store),
            log: self.log.duplicate(),
            blobs: self.blobs.duplicate(),
            names: self.names.duplicate(),
            entropy: Arc::clone(&self.entropy),
        }
    }

    /// Errs where its work is to end.
    pub(super) fn goes_on(&self) -> Result<(), GateError> {
        if self.stop.as_ref().is_some_and(Stop::is_raised) {
            return Err(GateError::Stopped);
        }
        Ok(())
    }

    /// The log key.
    pub(super) const fn log_key(&self) -> Secret<32> {
        self.log.duplicate()
    }

    /// Does it on the gate's thread and waits for it, within bounds.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_within(Duration::from_millis(GATE_CALL_MS_MAX), work)
    }

    fn run_within<T: Send + 'static>(
        &self,
        bound: Duration,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, told) = sync_channel(1);
        let stop = self.stop.clone();
        self.handle.spawn(async move {
            let stopped = async {
                match stop {
                    Some(stop) => stop.raised().await,
                    None => std::future::pending().await,
                }
            };
            let late = || Err(StoreError::Timeout);
            let done = tokio::select! {
                biased;
                () = stopped => late(),
                done = tokio::time::timeout(bound, work) => done.unwrap_or_else(|_| late()),
            };
            // Who asked waits for it.
            drop(answer.send(done));
        });
        told.recv().map_err(|_died| gone())?
    }

    /// Seals a blob; each time to other bytes.
    pub(super) fn seal(&self, scope: &str, item: Item, plain: &[u8]) -> Result<Bytes, GateError> {
        let context = context(scope, item);
        let entropy = self.entropy.as_ref();
        seal_bytes(&self.blobs, Label::GateBlob, &context, plain, entropy).map_err(system)
    }

    fn unseal(&self, scope: &str, item: Item, sealed: &[u8]) -> Result<Opened, GateError> {
        let context = context(scope, item);
        let plain = open_bytes(&self.blobs, Label::GateBlob, &context, sealed);
        let forged = |_refused| broken(format!("a blob of `{scope}` is altered: {}", word(item)));
        Ok(Opened {
            plain: plain.map_err(forged)?,
            digest: digest(sealed),
        })
    }

    fn name(&self, scope: &str, item: Item) -> BlobId {
        item.name(&self.names, scope)
    }

    /// Begins to write a blob under a name that nothing may have.
    pub(super) fn send(&self, scope: &str, item: Item, sealed: Bytes) -> Sending {
        let (store, id) = (Arc::clone(&self.store), self.name(scope, item));
        let (answer, told) = sync_channel(1);
        let task = self.handle.spawn(async move {
            let put = put_new(&store, id, sealed).await;
            // Who gave it up does not hear it.
            drop(answer.send(put));
        });
        Sending { answer: told, task }
    }

    /// Writes a blob that is there already, by an earlier try or another process of this vault,
    /// or is not: `true` where this wrote it.
    pub(super) fn put(&self, scope: &str, item: Item, plain: &[u8]) -> Result<bool, GateError> {
        let sealed = self.seal(scope, item, plain)?;
        let (store, id) = (Arc::clone(&self.store), self.name(scope, item));
        match self.run(async move { put_new(&store, id, sealed).await }) {
            Ok(()) => Ok(true),
            Err(StoreError::Taken) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes these sealed bytes; it is no error where they are there already.
    pub(super) fn put_sealed(
        &self,
        scope: &str,
        item: Item,
        sealed: &Bytes,
    ) -> Result<(), GateError> {
        let (store, id) = (Arc::clone(&self.store), self.name(scope, item));
        let again = sealed.clone();
        match self.run(async move { put_new(&store, id, again).await }) {
            Ok(()) => Ok(()),
            Err(StoreError::Taken) => {
                let bound = Duration::from_millis(GATE_CALL_MS_MAX);
                if self.has(scope, (item, sealed), bound)? {
                    return Ok(());
                }
                Err(JournalError::Superseded.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the store has exactly these sealed bytes; asked so long at most.
    pub(super) fn has(
        &self,
        scope: &str,
        (item, sealed): (Item, &Bytes),
        bound: Duration,
    ) -> Result<bool, StoreError> {
        let (store, id) = (Arc::clone(&self.store), self.name(scope, item));
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        match self.run_within(bound, async move { get(&store, id, bytes).await }) {
            Ok(there) => Ok(there == *sealed),
            Err(StoreError::Length) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everything of a scope.
    pub(super) fn list(&self, scope: &str) -> Result<Listing, GateError> {
        let store = Arc::clone(&self.store);
        let (names, scope) = (self.names.duplicate(), scope.to_owned());
        let listed = self.run(async move {
            let mut found = Listing::new();
            let mut after = None;
            loop {
                let page = store.list(after, PAGE_ENTRIES_MAX).await?;
                let Some(last) = page.last() else {
                    return Ok(found);
                };
                after = Some(last.id);
                let items = page.iter().filter_map(|entry| {
                    let item = Item::read(entry.id, &names, &scope)?;
                    Some((item, entry.bytes))
                });
                found.extend(items);
            }
        });
        Ok(listed?)
    }

    /// Reads blobs that were listed, several at a time, in their order.
    pub(super) fn read(
        &self,
        scope: &str,
        items: &[(Item, u64)],
    ) -> Result<Vec<Opened>, GateError> {
        let mut opened = Vec::new();
        for some in items.chunks(GATE_GETS) {
            let store = Arc::clone(&self.store);
            let some_of = some.iter();
            let wanted: Vec<(BlobId, u64)> = some_of
                .map(|(item, bytes)| (self.name(scope, *item), *bytes))
                .collect();
            let read = self.run(async move {
                let gets = wanted.into_iter().map(|(id, bytes)| {
                    let store = Arc::clone(&store);
                    async move { get(&store, id, bytes).await }
                });
                let read: Vec<_> = stream::iter(gets).buffered(GATE_GETS).collect().await;
                read.into_iter().collect::<Result<Vec<Bytes>, _>>()
            });
            for (sealed, (item, _)) in read?.iter().zip(some) {
                opened.push(self.unseal(scope, *item, sealed)?);
            }
        }
        Ok(opened)
    }

    /// Reads one blob that was listed.
    pub(super) fn read_one(&self, scope: &str, at: (Item, u64)) -> Result<Opened, GateError> {
        let mut read = self.read(scope, &[at])?;
        read.pop().ok_or_else(|| system("a blob was not read"))
    }

    /// Removes blobs, several at a time; what is not there is no error.
    pub(super) fn delete(&self, scope: &str, items: &[Item]) -> Result<(), GateError> {
        for some in items.chunks(GATE_GETS) {
            self.goes_on()?;
            let store = Arc::clone(&self.store);
            let ids: Vec<BlobId> = some.iter().map(|item| self.name(scope, *item)).collect();
            self.run(async move {
                let deletes = ids.into_iter().map(|id| {
                    let store = Arc::clone(&store);
                    async move { store.delete(id).await }
                });
                let done: Vec<_> = stream::iter(deletes).buffered(GATE_GETS).collect().await;
                done.into_iter().collect::<Result<(), _>>()
            })?;
        }
        Ok(())
    }

    /// Proves with a blob of its own that a name is taken once, and that what was written is there
    /// at once for whoever reads and lists through other connections.
    pub(super) fn prove(&self, other: &SharedStore) -> Result<(), GateError> {
        let id = BlobId::random(self.entropy.as_ref()).map_err(system)?;
        let proved = self.look(other, id);
        let store = Arc::clone(&self.store);
        let removed = self.run(async move { store.delete(id).await });
        proved?;
        Ok(removed?)
    }

    fn look(&self, other: &SharedStore, id: BlobId) -> Result<(), GateError> {
        let unfit = |lacks| Err(GateError::Unfit { lacks });
        let [first, second] = PROBES.map(Bytes::from_static);
        let bytes = u64::try_from(first.len()).unwrap_or(u64::MAX);
        let write = |sealed: &Bytes| {
            let (store, sealed) = (Arc::clone(&self.store), sealed.clone());
            self.run(async move { put_new(&store, id, sealed).await })
        };
        write(&first)?;
        let reader = Arc::clone(other);
        match self.run(async move { get(&reader, id, bytes).await }) {
            Ok(there) if there == first => {}
            Ok(_) | Err(StoreError::NotFound | StoreError::Length) => {
                return unfit("what was written cannot be read at once");
            }
            Err(error) => return Err(error.into()),
        }
        let before = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
        let before = before.map(|n| BlobId::from_bytes(n.to_be_bytes()));
        let lister = Arc::clone(other);
        let page = self.run(async move { lister.list(before, 1).await })?;
        if page.first().is_none_or(|entry| entry.id != id) {
            return unfit("what was written is not listed at once");
        }
        match write(&second) {
            Err(StoreError::Taken) => {}
            Ok(()) => {
                return unfit(
                    "it lets a name be taken twice (no If-None-Match), so two gateways could \
                     overwrite each other's records",
                );
            }
            Err(error) => return Err(error.into()),
        }
        let reader = Arc::clone(other);
        match self.run(async move { get(&reader, id, bytes).await }) {
            Ok(there) if there == first => Ok(()),
            Ok(_) | Err(StoreError::NotFound | StoreError::Length) => {
                unfit("a name that it refused to take again holds other bytes")
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What a blob's seal is bound to.
fn context(scope: &str, item: Item) -> Vec<u8> {
    [scope.as_bytes(), &[0], &item.bytes()].concat()
}

/// A blob, for a message.
pub(super) fn word(item: Item) -> String {
    format!("{:?} {:#x}", item.kind, item.number)
}

async fn put_new(store: &SharedStore, id: BlobId, sealed: Bytes) -> Result<(), StoreError> {
    let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
    let body = Box::pin(stream::once(std::future::ready(Ok(sealed))));
    store.put_new(id, bytes, body).await
}

async fn get(store: &SharedStore, id: BlobId, bytes: u64) -> Result<Bytes, StoreError> {
    if bytes == 0 || bytes > GATE_BLOB_BYTES_MAX {
        return Err(StoreError::Length);
    }
    let mut stream = store.get(id, 0..bytes, bytes).await?;
    let mut sealed = Vec::new();
    while let Some(piece) = stream.next().await {
        sealed.extend_from_slice(&piece?);
    }
    Ok(sealed.into())
}
