//! Keys of later versions, and copies of the directory that the ring keeps.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::datasets::key_file;
use super::*;
use crate::seal::testing::Draws;

const A: DatasetId = DatasetId::from_bytes([0xaa; 16]);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const B: DatasetId = DatasetId::from_bytes([0xbb; 16]);

struct Disk {
    root: RootIdentity,
    held: TempDir,
}

impl Disk {
    /// A ring with keys for A and B.
    fn new() -> Self {
        let disk = Self {
            root: RootIdentity::generate(),
            held: tempfile::tempdir().unwrap(),
        };
        let draws = Draws::new(1);
        let ring = KeyRing::create(&disk.dir(), &disk.root, &draws).unwrap();
        ring.create_dataset(&A, &draws).unwrap();
        ring.create_dataset(&B, &draws).unwrap();
        disk
    }

    fn dir(&self) -> PathBuf {
        self.held.path().join("keys")
    }

    fn copy(&self) -> PathBuf {
        self.held.path().join("copy")
    }

    fn open(&self) -> KeyRing {
        KeyRing::open(&self.dir(), &self.root).unwrap()
    }

    /// A ring that keeps a copy, which was begun.
    fn copied(&self) -> KeyRing {
        let ring = self.open();
        ring.begin_copy(&self.copy()).unwrap();
        ring.keeping(vec![self.copy()])
    }
}

fn key(ring: &KeyRing, version: u32) -> [u8; 32] {
    *ring.dataset_at(&A, version).unwrap().secret.expose()
}

#[test]
fn the_newest_key_seals_and_older_ones_open_until_they_go() {
    let disk = Disk::new();
    let ring = disk.open();
    let first = key(&ring, 1);
    ring.ensure_key(&A, 2, &Draws::new(2)).unwrap();
    let second = key(&ring, 2);
    assert_ne!(first, second);
    ring.ensure_key(&A, 2, &Draws::new(3)).unwrap();
    for ring in [&ring, &disk.open()] {
        assert_eq!(ring.dataset(&A).unwrap().version, 2);
        assert_eq!((key(ring, 1), key(ring, 2)), (first, second));
        assert_eq!(ring.versions_of(&A).unwrap(), [1, 2]);
        let none = ring.dataset_at(&A, 3);
        assert!(matches!(none, Err(KeyRingError::NotFound)));
    }
    assert_eq!(ring.destroy_below(&A, 2).unwrap(), 1);
    assert_eq!(ring.destroy_below(&A, 2).unwrap(), 0, "once");
    for ring in [&ring, &disk.open()] {
        assert!(matches!(
            ring.dataset_at(&A, 1),
            Err(KeyRingError::NotFound)
        ));
        assert_eq!(key(ring, 2), second);
        assert_eq!(ring.dataset_ids().unwrap(), [A, B]);
    }
    ring.destroy_dataset(&A).unwrap();
    for ring in [&ring, &disk.open()] {
        assert!(ring.dataset(&A).is_err() && ring.dataset_at(&A, 2).is_err());
        assert_eq!(ring.dataset_ids().unwrap(), [B]);
    }
}

#[test]
fn a_key_that_another_process_made_is_found() {
    let disk = Disk::new();
    let (one, other) = (disk.open(), disk.open());
    assert_eq!(one.dataset(&A).unwrap().version, 1);
    other.ensure_key(&A, 2, &Draws::new(2)).unwrap();
    assert_eq!(one.dataset(&A).unwrap().version, 1, "as it read it");
    assert_eq!(key(&one, 2), key(&other, 2));
    assert_eq!(one.dataset(&A).unwrap().version, 2);
}

#[test]
fn a_key_of_another_version_is_not_taken_for_this_one() {
    let disk = Disk::new();
    let ring = disk.open();
    ring.ensure_key(&A, 2, &Draws::new(2)).unwrap();
    let (first, second) = (key_file(&disk.dir(), &A, 1), key_file(&disk.dir(), &A, 2));
    fs::copy(&first, &second).unwrap();
    let swapped = disk.open().dataset(&A).map(|_| ());
    assert!(matches!(swapped, Err(KeyRingError::Damaged { .. })));
    for name in ["02.key", "1.key", "x.key", "3"] {
        fs::write(second.with_file_name(name), b"x").unwrap();
    }
    assert_eq!(disk.open().versions_of(&A).unwrap(), [1, 2]);
}

#[test]
fn a_key_below_what_was_destroyed_is_not_made_again() {
    let disk = Disk::new();
    let ring = disk.open();
    ring.ensure_key(&A, 2, &Draws::new(2)).unwrap();
    let backup = fs::read(key_file(&disk.dir(), &A, 1)).unwrap();
    ring.destroy_below(&A, 2).unwrap();
    let again = ring.ensure_key(&A, 1, &Draws::new(3));
    assert!(matches!(again, Err(KeyRingError::NotFound)));
    fs::write(key_file(&disk.dir(), &A, 1), backup).unwrap();
    ring.forget_dataset(&A);
    assert!(matches!(
        ring.dataset_at(&A, 1),
        Err(KeyRingError::NotFound)
    ));
    assert_eq!(
        ring.destroy_below(&A, 2).unwrap(),
        1,
        "and can be destroyed again"
    );
}

#[test]
fn a_copy_has_every_key_and_keeps_none_that_is_destroyed() {
    let disk = Disk::new();
    let ring = disk.copied();
    ring.ensure_key(&A, 2, &Draws::new(2)).unwrap();
    let same = |version| {
        let read = |dir: &Path| fs::read(key_file(dir, &A, version)).unwrap();
        assert_eq!(read(&disk.dir()), read(&disk.copy()));
    };
    same(1);
    same(2);
    let restored = KeyRing::open(&disk.copy(), &disk.root).unwrap();
    assert_eq!(key(&restored, 2), key(&ring, 2));
    ring.destroy_below(&A, 2).unwrap();
    assert!(!key_file(&disk.copy(), &A, 1).exists());
    same(2);
    ring.destroy_dataset(&A).unwrap();
    let restored = KeyRing::open(&disk.copy(), &disk.root).unwrap();
    assert_eq!(restored.dataset_ids().unwrap(), [B]);
}

#[test]
fn without_a_copy_nothing_is_made_and_nothing_counts_as_destroyed() {
    let disk = Disk::new();
    let ring = disk.copied();
    let away = disk.held.path().join("away");
    fs::rename(disk.copy(), &away).unwrap();
    assert!(matches!(ring.mend_copies(), Err(KeyRingError::Io { .. })));
    let made = ring.ensure_key(&A, 2, &Draws::new(2));
    assert!(matches!(made, Err(KeyRingError::Io { .. })));
    let gone = ring.destroy_below(&A, 2);
    assert!(matches!(gone, Err(KeyRingError::Io { .. })));
    // An empty directory in its place is a disk that is not mounted.
    fs::create_dir(disk.copy()).unwrap();
    assert!(matches!(
        ring.destroy_below(&A, 2),
        Err(KeyRingError::Io { .. })
    ));
    fs::remove_dir(disk.copy()).unwrap();
    fs::rename(&away, disk.copy()).unwrap();
    ring.ensure_key(&A, 2, &Draws::new(3)).unwrap();
    assert!(
        key_file(&disk.copy(), &A, 2).exists(),
        "what it lacked is mended"
    );
    assert_eq!(ring.destroy_below(&A, 2).unwrap(), 1);
}

#[test]
fn cr_5_a_changed_root_opens_the_ring_and_its_copies_and_the_old_one_neither() {
    let disk = Disk::new();
    let before = key(&disk.copied(), 1);
    let new = RootIdentity::generate();
    let copies = [disk.copy()];
    KeyRing::change_root(&disk.dir(), &copies, (&disk.root, &new), NOW).unwrap();
    for dir in [disk.dir(), disk.copy()] {
        let ring = KeyRing::open(&dir, &new).unwrap();
        assert_eq!(key(&ring, 1), before);
        assert_eq!((ring.root().version, ring.root().since), (2, Some(NOW)));
        let old = KeyRing::open(&dir, &disk.root).map(|_| ());
        assert!(matches!(old, Err(KeyRingError::WrongRoot { .. })));
    }
    KeyRing::open(&disk.dir(), &new)
        .unwrap()
        .keeping(copies.to_vec())
        .mend_copies()
        .unwrap();
    let third = RootIdentity::generate();
    let refused = KeyRing::change_root(&disk.dir(), &copies, (&disk.root, &third), NOW);
    assert!(matches!(refused, Err(KeyRingError::WrongRoot { .. })));
    fs::rename(disk.copy(), disk.held.path().join("away")).unwrap();
    let away = KeyRing::change_root(&disk.dir(), &copies, (&new, &third), NOW);
    assert!(matches!(away, Err(KeyRingError::Io { .. })));
    assert!(
        KeyRing::open(&disk.dir(), &new).is_ok(),
        "nothing was changed"
    );
}

#[test]
fn cr_5_a_change_of_the_root_that_is_cut_short_leaves_a_ring_that_opens() {
    for step in 0..4 {
        let disk = Disk::new();
        let dir = disk.dir();
        let ring = fs::read(dir.join("ring.age")).unwrap();
        let new = RootIdentity::generate();
        KeyRing::change_root(&dir, &[], (&disk.root, &new), NOW).unwrap();
        let both = format!("{}\n{}\n", disk.root.recipient(), new.recipient());
        // What stood there after so many steps.
        if step < 3 {
            fs::write(dir.join("root.pub"), &both).unwrap();
        }
        if step < 2 {
            fs::write(dir.join("ring.age"), &ring).unwrap();
        }
        if step < 1 {
            let old = format!("{}\n", disk.root.recipient());
            fs::write(dir.join("root.pub"), old).unwrap();
        }
        let opens = [&disk.root, &new].map(|root| KeyRing::open(&dir, root).is_ok());
        assert_eq!(opens, [step < 2, step >= 2], "after {step} steps");
        KeyRing::change_root(&dir, &[], (&disk.root, &new), NOW).unwrap();
        let root = KeyRing::open(&dir, &new).unwrap().root();
        assert_eq!(root.version, 2, "it is counted once, after {step} steps");
        assert!(KeyRing::open(&dir, &disk.root).is_err());
    }
}

#[test]
fn a_copy_of_another_ring_is_refused() {
    let (disk, other) = (Disk::new(), Disk::new());
    other.open().begin_copy(&disk.copy()).unwrap();
    let ring = disk.open();
    let begun = ring.begin_copy(&disk.copy());
    assert!(matches!(begun, Err(KeyRingError::Exists { .. })));
    let ring = ring.keeping(vec![disk.copy()]);
    assert!(matches!(
        ring.mend_copies(),
        Err(KeyRingError::Exists { .. })
    ));
}
