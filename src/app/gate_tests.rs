//! A gateway that ends while full files are put together in a store that hangs.

use std::path::Path;

use super::*;
use crate::app::shutdown::channel;
use crate::journal::{Journal as _, Reader, Wal, WalConfig};
use crate::ledger::samples;
use crate::store::BlobStore as _;
use crate::store::fault::{DeleteFault, FaultStore};
use crate::store::memory::MemoryStore;
use crate::types::EventId;
use crate::types::limits::JOURNAL_FILE_BYTES_MIN;

fn key() -> Secret<32> {
    Secret::take(&mut [7; 32])
}

fn gate(fault: &Arc<FaultStore>) -> Gate {
    let store = || -> SharedStore { Arc::<FaultStore>::clone(fault) };
    let parts = GateParts {
        store: store(),
        other: store(),
        key: key(),
        entropy: Arc::new(SystemEntropy::new()),
    };
    Gate::open(parts).unwrap()
}

fn wal(dir: &Path, gate: &Gate) -> Arc<Wal> {
    let lane = Lane::Gateway.name();
    let config = WalConfig {
        file_bytes: JOURNAL_FILE_BYTES_MIN,
        open_max: 200,
        wait_ms: 60_000,
        replica: Some(gate.replica(lane, None)),
        ..WalConfig::new(dir.to_owned(), lane.to_owned(), key())
    };
    let entropy = Arc::new(SystemEntropy::new());
    Wal::open(config, Arc::new(SystemClock), entropy).unwrap()
}

fn records(dir: &Path) -> usize {
    let records = Reader::open(dir, key()).unwrap();
    records.map(Result::unwrap).count()
}

#[tokio::test]
async fn a_stop_does_not_wait_for_files_to_be_put_together() {
    let memory = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let store: SharedStore = Arc::<MemoryStore>::clone(&memory);
    let fault = Arc::new(FaultStore::new(store));
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let gate = gate(&fault);
    let journal = wal(place.path(), &gate);
    for n in 0..12 {
        let mut event = [0; 16];
        event[0] = n;
        let event = EventId::from_bytes(event);
        let session = Arc::new(samples::session());
        let (intent, completion) = (samples::intent(event), samples::completion(event));
        journal.note(&session, intent, completion).await.unwrap();
        let text = "p".repeat(60_000);
        journal.policy([n; 32], &text).await.unwrap();
    }
    let blobs = async || memory.list(None, usize::MAX).await.unwrap().len();
    let before = blobs().await;
    let deletions = fault.calls()[2];
    fault.always_delete(DeleteFault::Hang);
    let (trigger, shutdown) = channel();
    let with = (place.path().to_owned(), key());
    let keeping = tokio::spawn(keep(gate.clone(), with, shutdown));
    while fault.calls()[2] == deletions {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    trigger.drain();
    let ended = tokio::time::timeout(Duration::from_secs(5), keeping).await;
    ended.expect("it ends").unwrap();
    // What is written is closed as ever.
    journal.close().await.unwrap();
    drop(journal);
    drop(gate);
    fault.heal();
    // The next start ends what was begun.
    let all = records(place.path());
    let gate = self::gate(&fault);
    let (trigger, shutdown) = channel();
    let with = (place.path().to_owned(), key());
    let keeping = tokio::spawn(keep(gate.clone(), with, shutdown));
    let (_goes_on, stop) = Stop::pair();
    let name = Lane::Gateway.name();
    while blobs().await > before / 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    trigger.drain();
    keeping.await.unwrap();
    gate.compact(place.path(), name, &stop).unwrap();
    assert_eq!(gate.compact(place.path(), name, &stop).unwrap(), 0);
    // A machine without the disk has all of it.
    let lane = other.path().join(name);
    std::fs::create_dir_all(&lane).unwrap();
    gate.complete(other.path(), name).unwrap();
    assert_eq!(records(other.path()), all);
}
