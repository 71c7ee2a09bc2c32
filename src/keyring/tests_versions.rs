//! Keys of later versions, and copies of the directory that the ring keeps.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::datasets::key_file;
use super::*;
use crate::seal::testing::Draws;
use crate::types::limits::KEY_VERSIONS_MAX;

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
        Self::of(1)
    }

    /// The same, its keys drawn from a seed.
    fn of(seed: u64) -> Self {
        let disk = Self {
            root: RootIdentity::generate(),
            held: tempfile::tempdir().unwrap(),
        };
        let draws = Draws::new(seed);
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

/// What a crash leaves of a key file between its zeros and its removal.
fn zeros(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
}

#[test]
fn a_key_that_a_crash_half_destroyed_hides_none_that_came_after_it() {
    let disk = Disk::new();
    let ring = disk.copied();
    for version in [2, 3] {
        ring.ensure_key(&A, version, &Draws::new(9)).unwrap();
    }
    let third = key(&ring, 3);
    for version in [1, 2] {
        zeros(&key_file(&disk.dir(), &A, version));
        let ring = disk.open();
        assert_eq!(key(&ring, 3), third, "{version}");
        let gone = ring.dataset_at(&A, 1).map(|_| ());
        assert!(matches!(gone, Err(KeyRingError::NotFound)));
    }
    let ring = disk.open().keeping(vec![disk.copy()]);
    ring.mend_copies().unwrap();
    assert_eq!(ring.destroy_below(&A, 3).unwrap(), 2, "it is ended");
    assert_eq!(ring.versions_of(&A).unwrap(), [3]);
}

#[test]
fn zeros_that_no_destruction_leaves_are_a_damage() {
    for damaged in [2, 3] {
        let disk = Disk::new();
        let ring = disk.open();
        for version in [2, 3] {
            ring.ensure_key(&A, version, &Draws::new(9)).unwrap();
        }
        zeros(&key_file(&disk.dir(), &A, damaged));
        let opened = disk.open().dataset(&A).map(|_| ());
        assert!(matches!(opened, Err(KeyRingError::Damaged { .. })));
    }
    let disk = Disk::new();
    zeros(&key_file(&disk.dir(), &A, 1));
    let only = disk.open().dataset(&A).map(|_| ());
    assert!(matches!(only, Err(KeyRingError::Damaged { .. })));
    for short in [&b""[..], &[0; 7], b"KLUISDK1"] {
        fs::write(key_file(&disk.dir(), &B, 1), short).unwrap();
        let cut = disk.open().dataset(&B).map(|_| ());
        assert!(matches!(cut, Err(KeyRingError::Damaged { .. })));
    }
}

#[test]
fn a_copy_that_was_half_destroyed_is_whole_while_the_key_counts() {
    let disk = Disk::new();
    let ring = disk.copied();
    ring.ensure_key(&A, 2, &Draws::new(9)).unwrap();
    for version in [1, 2] {
        let [of_ring, of_copy] = [disk.dir(), disk.copy()].map(|dir| key_file(&dir, &A, version));
        zeros(&of_copy);
        ring.mend_copies().unwrap();
        assert_eq!(fs::read(&of_ring).unwrap(), fs::read(&of_copy).unwrap());
    }
    let first = key_file(&disk.copy(), &A, 1);
    fs::remove_file(&first).unwrap();
    zeros(&key_file(&disk.dir(), &A, 1));
    ring.mend_copies().unwrap();
    assert!(!first.exists(), "what is half destroyed goes nowhere");
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
    // A key that a copy lacks is none: nothing is sealed under it, after a restart neither.
    for ring in [&ring, &disk.open()] {
        assert_eq!(ring.versions_of(&A).unwrap(), [1]);
        assert_eq!(ring.dataset(&A).unwrap().version, 1);
    }
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

/// The directory failed after its copies had the key.
#[test]
fn a_key_that_only_a_copy_has_is_the_key_of_its_version() {
    let disk = Disk::new();
    let ring = disk.copied();
    ring.ensure_key(&A, 2, &Draws::new(2)).unwrap();
    let second = key(&ring, 2);
    fs::remove_file(key_file(&disk.dir(), &A, 2)).unwrap();
    let ring = disk.open().keeping(vec![disk.copy()]);
    ring.ensure_key(&A, 2, &Draws::new(3)).unwrap();
    assert_eq!(key(&ring, 2), second);
    // Not one that is of another dataset, or damaged.
    let copied = key_file(&disk.copy(), &A, 3);
    for wrong in [fs::read(key_file(&disk.dir(), &B, 1)).unwrap(), vec![1; 99]] {
        fs::write(&copied, wrong).unwrap();
        let made = ring.ensure_key(&A, 3, &Draws::new(4));
        assert!(matches!(made, Err(KeyRingError::Damaged { .. })));
        assert_eq!(ring.versions_of(&A).unwrap(), [1, 2]);
    }
}

#[test]
fn keys_beyond_their_bound_are_not_made_and_those_that_are_there_open() {
    let disk = Disk::new();
    let ring = disk.open();
    let most = u32::try_from(KEY_VERSIONS_MAX).unwrap();
    for version in 2..=most {
        ring.ensure_key(&A, version, &Draws::new(u64::from(version)))
            .unwrap();
    }
    for _attempt in 0..2 {
        let more = ring.ensure_key(&A, most + 1, &Draws::new(1));
        assert!(matches!(more, Err(KeyRingError::TooMany { .. })));
        assert_eq!(disk.open().dataset(&A).unwrap().version, most);
    }
    let one_more = key_file(&disk.dir(), &A, most + 1);
    fs::copy(key_file(&disk.dir(), &A, most), one_more).unwrap();
    assert_eq!(
        disk.open().versions_of(&A).unwrap().len(),
        KEY_VERSIONS_MAX + 1
    );
    assert_eq!(ring.destroy_below(&A, most).unwrap(), KEY_VERSIONS_MAX - 1);
    ring.ensure_key(&A, most + 2, &Draws::new(1)).unwrap();
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
    // Cut short between the copy and the directory: the copy opens to the third alone.
    let kept = fs::read(disk.dir().join("ring.age")).unwrap();
    KeyRing::change_root(&disk.dir(), &copies, (&new, &third), NOW).unwrap();
    fs::write(disk.dir().join("ring.age"), &kept).unwrap();
    KeyRing::change_root(&disk.dir(), &copies, (&new, &third), NOW).unwrap();
    assert!(KeyRing::open(&disk.copy(), &third).is_ok());
    let new = third;
    let third = RootIdentity::generate();
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

#[test]
fn a_change_of_the_root_leaves_the_ring_of_another_vault_alone() {
    let (disk, other) = (Disk::new(), Disk::of(2));
    let new = RootIdentity::generate();
    let own = || fs::read(disk.dir().join("ring.age")).unwrap();
    let before = own();
    let attempt = |other: &Disk| {
        let copies = [disk.copy(), other.dir()];
        KeyRing::change_root(&disk.dir(), &copies, (&disk.root, &new), NOW)
    };
    disk.open().begin_copy(&disk.copy()).unwrap();
    let refused = attempt(&other);
    assert!(matches!(refused, Err(KeyRingError::OtherRing { .. })));
    // Nor where one root opens both.
    KeyRing::change_root(&other.dir(), &[], (&other.root, &disk.root), NOW).unwrap();
    let refused = attempt(&other);
    assert!(matches!(refused, Err(KeyRingError::OtherRing { .. })));
    assert!(KeyRing::open(&other.dir(), &disk.root).is_ok());
    // Nor one that nobody can tell.
    fs::write(other.dir().join("ring.age"), "none").unwrap();
    let refused = attempt(&other);
    assert!(matches!(refused, Err(KeyRingError::Damaged { .. })));
    assert_eq!(own(), before, "nothing was written");
    assert!(KeyRing::open(&disk.copy(), &disk.root).is_ok());
}
