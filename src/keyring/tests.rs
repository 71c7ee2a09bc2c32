//! The key ring on disk: what comes back, what is refused, what is gone.

use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use tempfile::TempDir;

use super::*;
use crate::seal::testing::{Draws, Dry};

assert_not_impl_any!(KeyRing: Debug, Display, Clone);
assert_not_impl_any!(RootIdentity: Debug, Display, Clone, serde::Serialize);
assert_impl_all!(KeyRing: Send, Sync);

const A: DatasetId = DatasetId::from_bytes([0xaa; 16]);
const B: DatasetId = DatasetId::from_bytes([0xbb; 16]);

struct Disk {
    root: RootIdentity,
    dir: PathBuf,
    _held: TempDir,
}

impl Disk {
    /// A ring with keys for A and B.
    fn new() -> Self {
        let held = tempfile::tempdir().unwrap();
        let dir = held.path().join("keys");
        let root = RootIdentity::generate();
        let draws = Draws::new(1);
        let ring = KeyRing::create(&dir, &root, &draws).unwrap();
        ring.create_dataset(&A, &draws).unwrap();
        ring.create_dataset(&B, &draws).unwrap();
        Self {
            root,
            dir,
            _held: held,
        }
    }

    fn open(&self) -> Result<KeyRing, KeyRingError> {
        KeyRing::open(&self.dir, &self.root)
    }

    fn file(&self, id: &DatasetId) -> PathBuf {
        self.dir.join("datasets").join(format!("{id}.key"))
    }

    fn refusal(&self) -> KeyRingError {
        self.open().map(|_| ()).unwrap_err()
    }
}

fn secret(ring: &KeyRing, id: &DatasetId) -> [u8; 32] {
    *ring.dataset(id).unwrap().secret.expose()
}

#[test]
fn keys_come_back_after_a_restart() {
    let disk = Disk::new();
    let (first, second) = (disk.open().unwrap(), disk.open().unwrap());
    assert_eq!(secret(&first, &A), secret(&second, &A));
    assert_ne!(secret(&first, &A), secret(&first, &B));
    assert_eq!(first.dataset(&A).unwrap().version, 1);
    let again = first.dataset(&A).unwrap();
    assert!(Arc::ptr_eq(&again, &first.dataset(&A).unwrap()));
    assert_eq!(first.dataset_ids().unwrap(), [A, B]);
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert!(first.log_key().same_as(&second.log_key()));
    assert!(first.snapshot_key().same_as(&second.snapshot_key()));
    assert!(!first.snapshot_key().same_as(&first.log_key()));
}

#[test]
fn files_are_for_their_owner_only() {
    let disk = Disk::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&disk.dir), 0o700);
    assert_eq!(mode(&disk.dir.join("datasets")), 0o700);
    for file in ["ring.age", "root.pub"] {
        assert_eq!(mode(&disk.dir.join(file)), 0o600);
    }
    assert_eq!(mode(&disk.file(&A)), 0o600);
    let names = fs::read_dir(disk.dir.join("datasets")).unwrap().count();
    assert_eq!(names, 2, "no temporary file is left");
}

#[test]
fn a_directory_open_to_everyone_is_refused() {
    let disk = Disk::new();
    fs::set_permissions(&disk.dir, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(disk.refusal(), KeyRingError::Exposed { .. }));
    fs::set_permissions(&disk.dir, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(disk.open().is_ok());
}

#[test]
fn no_key_on_disk_is_in_clear() {
    let disk = Disk::new();
    let ring = disk.open().unwrap();
    let key = secret(&ring, &A);
    let file = fs::read(disk.file(&A)).unwrap();
    assert_eq!(file.len(), 8 + 4 + 32 + 32 + 16);
    assert_eq!(file[..12], *b"KLUISDK1\0\0\0\x01");
    let sealed = fs::read(disk.dir.join("ring.age")).unwrap();
    let plain = disk.root.decrypt(&sealed).unwrap();
    assert!(plain.starts_with(b"kluis ring v1\n") && plain.len() == 14 + 32);
    assert!(!file.windows(8).any(|w| key.windows(8).any(|k| k == w)));
}

#[test]
fn what_is_there_is_never_overwritten() {
    let disk = Disk::new();
    let again = KeyRing::create(&disk.dir, &disk.root, &Draws::new(2));
    assert!(matches!(again, Err(KeyRingError::Exists { .. })));
    let ring = disk.open().unwrap();
    let before = secret(&ring, &A);
    let again = ring.create_dataset(&A, &Draws::new(2));
    assert!(matches!(again, Err(KeyRingError::Exists { .. })));
    assert_eq!(secret(&disk.open().unwrap(), &A), before);
}

#[test]
fn a_creation_that_was_cut_short_begins_anew() {
    let disk = Disk::new();
    fs::remove_file(disk.dir.join("ring.age")).unwrap();
    assert!(matches!(disk.refusal(), KeyRingError::Io { .. }));
    let other = RootIdentity::generate();
    KeyRing::create(&disk.dir, &other, &Draws::new(3)).unwrap();
    assert!(KeyRing::open(&disk.dir, &other).is_ok());
}

#[test]
fn another_root_does_not_open_the_ring() {
    let disk = Disk::new();
    let other = RootIdentity::generate();
    let opened = KeyRing::open(&disk.dir, &other);
    assert!(matches!(opened, Err(KeyRingError::WrongRoot { .. })));
    // Nor when root.pub was made to name it; and then the true root is refused too.
    let public = format!("{}\n", other.recipient());
    fs::write(disk.dir.join("root.pub"), public).unwrap();
    let opened = KeyRing::open(&disk.dir, &other);
    assert!(matches!(opened, Err(KeyRingError::WrongRoot { .. })));
    assert!(matches!(disk.refusal(), KeyRingError::Damaged { .. }));
}

#[test]
fn a_missing_root_pub_is_written_again() {
    let disk = Disk::new();
    let path = disk.dir.join("root.pub");
    let before = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    disk.open().unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_failed_creation_leaves_the_ring_that_is_there() {
    let disk = Disk::new();
    let other = RootIdentity::generate();
    assert!(KeyRing::create(&disk.dir, &other, &Draws::new(2)).is_err());
    assert!(disk.open().is_ok());
}

#[test]
fn a_damaged_ring_is_refused() {
    let disk = Disk::new();
    let path = disk.dir.join("ring.age");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(disk.open().is_err(), "byte {at}");
        fs::write(&path, &good[..at]).unwrap();
        assert!(disk.open().is_err(), "cut at {at}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(disk.open().is_err());
    for plain in [&b""[..], b"kluis ring v1\n", b"kluis ring v2\n", &[7; 46]] {
        fs::write(&path, disk.root.encrypt(plain).unwrap()).unwrap();
        assert!(matches!(disk.refusal(), KeyRingError::Damaged { .. }));
    }
    fs::write(&path, vec![0; 65 * 1024]).unwrap();
    assert!(matches!(disk.refusal(), KeyRingError::Damaged { .. }));
    fs::write(&path, &good).unwrap();
    assert!(disk.open().is_ok());
}

#[test]
fn a_damaged_dataset_key_is_refused() {
    let disk = Disk::new();
    let path = disk.file(&A);
    let good = fs::read(&path).unwrap();
    let load = || disk.open().unwrap().dataset(&A).map(|_| ());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(matches!(load(), Err(KeyRingError::Damaged { .. })), "{at}");
        fs::write(&path, &good[..at]).unwrap();
        assert!(matches!(load(), Err(KeyRingError::Damaged { .. })), "{at}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(load(), Err(KeyRingError::Damaged { .. })));
}

#[test]
fn a_swapped_or_foreign_dataset_key_is_refused() {
    let (disk, foreign) = (Disk::new(), Disk::new());
    fs::copy(disk.file(&B), disk.file(&A)).unwrap();
    let swapped = disk.open().unwrap().dataset(&A).map(|_| ());
    assert!(matches!(swapped, Err(KeyRingError::Damaged { .. })));
    let other = KeyRing::create(&foreign.dir.join("x"), &foreign.root, &Draws::new(9)).unwrap();
    other.create_dataset(&A, &Draws::new(9)).unwrap();
    let from = foreign.dir.join("x/datasets").join(format!("{A}.key"));
    fs::copy(from, disk.file(&A)).unwrap();
    let foreign = disk.open().unwrap().dataset(&A).map(|_| ());
    assert!(matches!(foreign, Err(KeyRingError::Damaged { .. })));
}

#[test]
fn a_destroyed_key_is_gone() {
    let disk = Disk::new();
    let ring = disk.open().unwrap();
    let held = ring.dataset(&A).unwrap();
    ring.destroy_dataset(&A).unwrap();
    assert!(!disk.file(&A).exists());
    for ring in [&ring, &disk.open().unwrap()] {
        assert!(matches!(ring.dataset(&A), Err(KeyRingError::NotFound)));
        assert_eq!(ring.dataset_ids().unwrap(), [B]);
        let again = ring.destroy_dataset(&A);
        assert!(matches!(again, Err(KeyRingError::NotFound)));
        assert!(ring.dataset(&B).is_ok());
    }
    let made = ring.create_dataset(&A, &Draws::new(5));
    assert!(matches!(made, Err(KeyRingError::NotFound)));
    drop(held);
}

#[test]
fn a_key_put_back_after_its_destruction_stays_refused() {
    let disk = Disk::new();
    let ring = disk.open().unwrap();
    let backup = fs::read(disk.file(&A)).unwrap();
    ring.destroy_dataset(&A).unwrap();
    // What a load that was under way would do.
    fs::write(disk.file(&A), backup).unwrap();
    assert!(matches!(ring.dataset(&A), Err(KeyRingError::NotFound)));
}

#[test]
fn a_damaged_key_can_be_destroyed() {
    let disk = Disk::new();
    fs::write(disk.file(&A), b"").unwrap();
    disk.open().unwrap().destroy_dataset(&A).unwrap();
    assert!(!disk.file(&A).exists());
}

#[test]
fn a_forgotten_key_is_read_again() {
    let disk = Disk::new();
    let ring = disk.open().unwrap();
    ring.dataset(&A).unwrap();
    disk.open().unwrap().destroy_dataset(&A).unwrap();
    assert!(ring.dataset(&A).is_ok(), "another process cannot reach it");
    ring.forget_dataset(&A);
    assert!(matches!(ring.dataset(&A), Err(KeyRingError::NotFound)));
}

#[test]
fn stray_files_are_no_keys() {
    let disk = Disk::new();
    for name in [".kluis-1-0.tmp", "notes.key", "notes", "AA.key"] {
        fs::write(disk.dir.join("datasets").join(name), b"x").unwrap();
    }
    assert_eq!(disk.open().unwrap().dataset_ids().unwrap(), [A, B]);
}

#[test]
fn a_ring_in_memory_does_the_same() {
    let draws = Draws::new(1);
    let ring = KeyRing::in_memory(&draws).unwrap();
    assert!(matches!(ring.dataset(&A), Err(KeyRingError::NotFound)));
    ring.create_dataset(&A, &draws).unwrap();
    let again = ring.create_dataset(&A, &draws);
    assert!(matches!(again, Err(KeyRingError::Exists { .. })));
    ring.forget_dataset(&A);
    assert!(ring.dataset(&A).is_ok());
    assert_eq!(ring.dataset_ids().unwrap(), [A]);
    ring.destroy_dataset(&A).unwrap();
    assert!(matches!(ring.dataset(&A), Err(KeyRingError::NotFound)));
    let again = ring.destroy_dataset(&A);
    assert!(matches!(again, Err(KeyRingError::NotFound)));
}

#[test]
fn without_randomness_no_key_is_made() {
    let disk = Disk::new();
    let made = disk.open().unwrap();
    let c = DatasetId::from_bytes([0xcc; 16]);
    let failed = made.create_dataset(&c, &Dry);
    assert!(matches!(failed, Err(KeyRingError::Entropy(_))));
    assert!(matches!(made.dataset(&c), Err(KeyRingError::NotFound)));
    let ring = KeyRing::in_memory(&Dry).map(|_| ());
    assert!(matches!(ring, Err(KeyRingError::Entropy(_))));
}

#[test]
fn secrets_open_in_their_ring_and_context_only() {
    let (ring, other) = (
        KeyRing::in_memory(&Draws::new(1)).unwrap(),
        KeyRing::in_memory(&Draws::new(2)).unwrap(),
    );
    let sealed = ring.seal_secret(b"id", b"text", &Draws::new(3)).unwrap();
    assert_eq!(&**ring.open_secret(b"id", &sealed).unwrap(), b"text");
    for bad in [
        ring.open_secret(b"ie", &sealed),
        other.open_secret(b"id", &sealed),
        ring.open_secret(b"id", &sealed[1..]),
        ring.open_secret(b"id", b""),
    ] {
        assert!(matches!(bad, Err(KeyRingError::Secret(_))));
    }
}

#[test]
fn snapshots_have_names_of_their_own_in_each_ring() {
    let (ring, other) = (
        KeyRing::in_memory(&Draws::new(1)).unwrap(),
        KeyRing::in_memory(&Draws::new(2)).unwrap(),
    );
    let mut seen = HashSet::new();
    for sequence in [0, 1, 2, u64::MAX] {
        assert!(seen.insert(ring.snapshot_blob_id(sequence)));
        assert!(seen.insert(other.snapshot_blob_id(sequence)));
        assert_eq!(
            ring.snapshot_blob_id(sequence),
            ring.snapshot_blob_id(sequence)
        );
    }
    assert_ne!(ring.fingerprint(), other.fingerprint());
}

#[test]
fn messages_end_without_a_stop_and_hint() {
    let path = PathBuf::from("/x");
    let shown = KeyRingError::WrongRoot { path }.to_string();
    assert_eq!(
        shown,
        "this root identity does not open this key ring, give the one that root.pub names: path=`/x`"
    );
}
