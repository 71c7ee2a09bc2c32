//! Files that a thief or a failing disk may have changed: the journal's and the key ring's. They
//! are read through the doors that a gateway uses, from a directory of this thread's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kluis::journal::{Journal as _, Reader, Wal, WalConfig};
use kluis::keyring::{KeyRing, RootIdentity};
use kluis::types::{Clock, DatasetId, Secret, Timestamp, limits};
use tempfile::TempDir;

use super::Foretold;

/// Bytes of a journal file's header (`docs/audit.md`).
const HEADER_BYTES: usize = 256;
/// No file of this size holds so many records and findings.
const FOUND_MAX: usize = 100_000;
/// A root identity that opens nothing but what is made here.
const ROOT: &str = "AGE-SECRET-KEY-19H68PS2ACH3KDR7ZYG7SYMH7QQW87SRLP9D4GLL6VVEUSETZZC4Q0UV4P8\n";

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }
}

fn log_key() -> Secret<32> {
    Secret::random(&Foretold(9)).expect("foretold")
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("gateway/0000000000000000.wal")
}

/// A whole journal file with a few records, without the zeros behind them.
pub(crate) fn journal_seed() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let config = WalConfig {
        file_bytes: limits::JOURNAL_FILE_BYTES_MIN,
        open_max: 128,
        ..WalConfig::new(dir.path().into(), "gateway".into(), log_key())
    };
    let wal = Wal::open(config, Arc::new(Still), Arc::new(Foretold(10))).expect("a journal");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for text in ["one", "two"] {
            wal.policy([1; 32], text).await.expect("a record");
        }
        wal.close().await.expect("an end");
    });
    let mut bytes = fs::read(log_file(dir.path())).expect("its file");
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    bytes.truncate(end + 1);
    bytes
}

struct Log {
    dir: TempDir,
    header: Vec<u8>,
}

thread_local! {
    static LOG: Log = {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("gateway")).expect("a lane");
        let mut header = journal_seed();
        header.truncate(HEADER_BYTES);
        Log { dir, header }
    };
}

/// A journal's file, and what stands behind a good header: numbers that rise, and an end.
pub(crate) fn journal(data: &[u8]) {
    LOG.with(|log| {
        for bytes in [data.to_vec(), [&log.header, data].concat()] {
            fs::write(log_file(log.dir.path()), bytes).expect("a file");
            let reader = Reader::open(log.dir.path(), log_key()).expect("a journal");
            let mut next = 0;
            for (count, found) in reader.enumerate() {
                assert!(count < FOUND_MAX, "no end");
                if let Ok(record) = found {
                    assert!(record.seq >= next, "told twice");
                    next = record.seq + 1;
                }
            }
        }
    });
}

/// The parts of a key ring: root identity, ring, a dataset's key.
pub(crate) struct KeyFiles {
    dir: TempDir,
    root: RootIdentity,
    dataset: DatasetId,
}

impl KeyFiles {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("root.age");
        write(&file, ROOT.as_bytes());
        let root = RootIdentity::from_file(&file, None).expect("an identity");
        let dataset = DatasetId::from_bytes([1; 16]);
        let ring = KeyRing::create(&dir.path().join("keys"), &root, &Foretold(11));
        let ring = ring.expect("a ring");
        ring.create_dataset(&dataset, &Foretold(12)).expect("a key");
        Self { dir, root, dataset }
    }

    fn ring_file(&self) -> PathBuf {
        self.dir.path().join("keys/ring.age")
    }

    fn dataset_file(&self) -> PathBuf {
        let name = format!("keys/datasets/{}.key", self.dataset);
        self.dir.path().join(name)
    }
}

fn write(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).expect("a file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a mode");
}

thread_local! {
    static KEYS: KeyFiles = KeyFiles::new();
}

/// What the files of a key ring hold when nobody changed them.
pub(crate) fn key_seeds() -> Vec<Vec<u8>> {
    KEYS.with(|keys| {
        let files = [keys.ring_file(), keys.dataset_file()];
        let mut seeds: Vec<_> = files.map(|file| fs::read(file).expect("a file")).into();
        seeds.push(ROOT.into());
        seeds
    })
}

/// A file in the place of each of a key ring's: it opens as it was made, or not at all.
pub(crate) fn keys(data: &[u8]) {
    KEYS.with(|keys| {
        let root = keys.dir.path().join("other.age");
        write(&root, data);
        // Without a passphrase: how long one takes to try, a file says itself, within a bound.
        drop(RootIdentity::from_file(&root, None));
        let ring_dir = keys.dir.path().join("keys");
        let swapped = |file: PathBuf| {
            let good = fs::read(&file).expect("a file");
            write(&file, data);
            let opened = KeyRing::open(&ring_dir, &keys.root);
            let opened = opened.and_then(|ring| ring.dataset(&keys.dataset));
            write(&file, &good);
            opened.is_ok() == (data == good)
        };
        assert!(swapped(keys.dataset_file()), "another key");
        // age files of the same ring differ each time they are written: only damage is seen here.
        let _same: bool = swapped(keys.ring_file());
    });
}
