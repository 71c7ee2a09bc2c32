//! A cache on the node's disk: sealed bytes exactly as they were fetched, in files named after the
//! blob and the chunk. Whoever may write there can spoil it and gain nothing: each load is opened
//! again, under the key of the one blob, and what does not authenticate is removed and fetched.
//! So all mounts of a node share it; losing it, or half a file in a crash, costs a fetch.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, futimens};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::opening::Wanted;
use crate::types::limits;

/// How long nothing is written once the disk refused.
const REST: Duration = Duration::from_secs(30);
/// What a file costs a disk beside its bytes.
const FILE_BYTES: u64 = 4096;
/// How old a file must be that was never finished, to be removed.
const UNFINISHED: Duration = Duration::from_hours(1);

/// The cache.
pub struct DiskCache {
    root: PathBuf,
    bytes_max: u64,
    /// Bytes that may be written before there is to be room made.
    room: AtomicU64,
    sweeping: AtomicBool,
    resting: Mutex<Option<Instant>>,
    writers: Semaphore,
    /// A permit for each KiB that waits for a writer.
    waiting: Arc<Semaphore>,
    next: AtomicU64,
    hits: AtomicU64,
}

/// A file of the cache, as room is made.
struct Held {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl DiskCache {
    /// In a directory, which is made if there is none, of at most so many bytes.
    pub fn open(root: &Path, bytes_max: u64) -> io::Result<Arc<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let cache = Self {
            root: root.to_owned(),
            bytes_max,
            room: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            resting: Mutex::default(),
            writers: Semaphore::new(limits::DISK_WRITERS_MAX),
            waiting: Arc::new(Semaphore::new(limits::DISK_WAITING_KIB_MAX)),
            next: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        };
        cache.sweep()?;
        Ok(Arc::new(cache))
    }

    /// How many chunks came from here.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    fn path(&self, wanted: &Wanted) -> PathBuf {
        let blob = wanted.blob.to_string();
        let folder = blob.get(..2).unwrap_or_default();
        self.root
            .join(folder)
            .join(format!("{blob}-{}", wanted.chunk))
    }

    /// Whether there is something under a chunk's name.
    pub(super) fn has(&self, wanted: &Wanted) -> bool {
        let held = std::fs::symlink_metadata(self.path(wanted));
        held.is_ok_and(|held| held.is_file())
    }

    /// A chunk's sealed bytes, if a file of their length is here; what else is there is removed.
    pub(super) async fn load(self: &Arc<Self>, wanted: &Wanted) -> Option<Vec<u8>> {
        let (path, bytes) = (self.path(wanted), wanted.bytes());
        let loaded = spawn_blocking(move || match read(&path, bytes) {
            Ok(sealed) => Some(sealed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::debug!(%error, "a file of the disk cache is removed");
                remove(&path);
                None
            }
        });
        let sealed = loaded.await.ok()??;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(sealed)
    }

    /// Removes a chunk that did not authenticate.
    pub(super) fn spoilt(&self, wanted: &Wanted) {
        tracing::warn!("a file of the disk cache does not authenticate and is removed");
        remove(&self.path(wanted));
    }

    /// Keeps a chunk's sealed bytes, without waiting for it, as far as there is room and the disk
    /// keeps up.
    pub(super) fn keep(self: &Arc<Self>, wanted: &Wanted, sealed: Vec<u8>) {
        let now = Instant::now();
        let resting = *self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.is_some_and(|until| now < until) {
            return;
        }
        let kib = u32::try_from(sealed.len() / 1024).unwrap_or(u32::MAX);
        let behind = Arc::clone(&self.waiting).try_acquire_many_owned(kib.saturating_add(1));
        let Ok(queued) = behind else {
            return;
        };
        let bytes = cost(u64::try_from(sealed.len()).unwrap_or(u64::MAX));
        let taken = self
            .room
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |room| {
                room.checked_sub(bytes)
            });
        let (cache, path) = (Arc::clone(self), self.path(wanted));
        if taken.is_err() {
            if !self.sweeping.swap(true, Ordering::AcqRel) {
                spawn_blocking(move || {
                    let swept = cache.sweep();
                    cache.sweeping.store(false, Ordering::Release);
                    if let Err(error) = swept {
                        cache.refused(&error);
                    }
                });
            }
            return;
        }
        tokio::spawn(async move {
            let _queued = queued;
            let Ok(_turn) = cache.writers.acquire().await else {
                return;
            };
            let writing = Arc::clone(&cache);
            let written = spawn_blocking(move || writing.write(&path, &sealed));
            if let Ok(Err(error)) = written.await {
                cache.refused(&error);
            }
        });
    }

    fn refused(&self, error: &io::Error) {
        tracing::debug!(%error, "the disk cache rests");
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        *resting = Some(Instant::now() + REST);
    }

    /// A file comes about whole, or not at all.
    fn write(&self, path: &Path, sealed: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            // Who shares the directory shares what is in it.
            let mode = std::fs::metadata(&self.root)?.permissions().mode();
            match DirBuilder::new().create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_made_by_another) => {}
                Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(mode))?,
            }
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}-{number}", std::process::id());
        let temporary = folder.join(name);
        let mut options = OpenOptions::new();
        let options = options.create_new(true).write(true).mode(0o644);
        let mut file = match options.open(&temporary) {
            // One that a process of this number left.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&temporary)?;
                options.open(&temporary)?
            }
            opened => opened?,
        };
        let written = file
            .write_all(sealed)
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            remove(&temporary);
        }
        written
    }

    /// Makes room: the least recently used go first. One process at a time does.
    fn sweep(&self) -> io::Result<()> {
        let path = self.root.join("lock");
        let lock = match lock_file(&path) {
            // Whatever has the name is no lock.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                remove(&path);
                lock_file(&path)?
            }
            opened => opened?,
        };
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let mut held = Vec::new();
        for folder in std::fs::read_dir(&self.root)?
            .flatten()
            .take(limits::DISK_FOLDERS_MAX)
        {
            if folder.file_type().is_ok_and(|kind| kind.is_dir()) {
                list(&folder.path(), &mut held);
            }
        }
        held.sort_by_key(|file| std::cmp::Reverse(file.used));
        // Room for what is written until this is done again.
        let step = self.bytes_max / 8;
        let goal = self.bytes_max.saturating_sub(step);
        let mut sum = 0_u64;
        for file in held {
            let with = sum.saturating_add(file.bytes);
            if with <= goal {
                sum = with;
            } else if std::fs::remove_file(&file.path).is_err() {
                // Another's, in a directory where that cannot be removed.
                sum = with;
            }
        }
        let room = self.bytes_max.saturating_sub(sum).min(step);
        self.room.store(room, Ordering::Release);
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// The file whose lock lets one process make room, made if there is none.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).read(true).write(true);
    let file = options.mode(0o666).custom_flags(no_detour()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(file)
}

/// Neither a link nor a pipe that would wait for ever.
fn no_detour() -> i32 {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// What a file of so many bytes takes.
const fn cost(bytes: u64) -> u64 {
    bytes.saturating_add(FILE_BYTES)
}

/// The files of a folder; what was never finished long ago is removed.
fn list(folder: &Path, held: &mut Vec<Held>) {
    let Ok(files) = std::fs::read_dir(folder) else {
        return;
    };
    for file in files.flatten() {
        let Ok(metadata) = file.metadata() else {
            continue;
        };
        let (path, used) = (
            file.path(),
            metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        );
        let unfinished = file.file_name().as_encoded_bytes().starts_with(b".");
        let old = used.elapsed().is_ok_and(|age| age > UNFINISHED);
        if !metadata.is_file() || (unfinished && old) || held.len() >= limits::DISK_FILES_MAX {
            remove(&path);
        } else if !unfinished {
            let bytes = cost(metadata.len());
            held.push(Held { used, bytes, path });
        }
    }
}

/// Reads a file that must be one, of this length, and marks it as used now.
fn read(path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    let mut file = options.read(true).custom_flags(no_detour()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || usize::try_from(metadata.len()) != Ok(bytes) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut sealed = vec![0; bytes];
    file.read_exact(&mut sealed)?;
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let used = Timestamps {
        last_access: now,
        last_modification: now,
    };
    // Another's file stays as old as it is.
    let _unchanged = futimens(&file, &used);
    Ok(sealed)
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "a file of the disk cache stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{DataKey, Extent, Suite};
    use crate::types::{BlobId, Secret, VersionId};

    fn wanted(n: u8, bytes: u64) -> Wanted {
        let extent = Extent {
            blob: BlobId::from_bytes([n; 16]),
            key: DataKey::of_secret(Secret::take(&mut [n; 32])),
            suite: Suite::Aes256Gcm,
            blob_plaintext_bytes: bytes,
            owner: VersionId::from_bytes([0; 16]),
            index: 0,
            start: 0,
            len: bytes,
        };
        Wanted::new(&extent, 0).unwrap()
    }

    fn sealed(wanted: &Wanted, fill: u8) -> Vec<u8> {
        vec![fill; wanted.bytes()]
    }

    fn put(cache: &Arc<DiskCache>, wanted: &Wanted, fill: u8) {
        cache
            .write(&cache.path(wanted), &sealed(wanted, fill))
            .unwrap();
    }

    /// A pipe that nobody reads or writes: who opens it may wait for ever.
    fn pipe(path: &Path) {
        use rustix::fs::{CWD, FileType, mknodat};
        mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap();
    }

    #[test]
    fn what_is_no_lock_and_has_its_name_is_replaced_and_never_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (
            directory.path().join("lock"),
            directory.path().join("other"),
        );
        let spoil: [&dyn Fn(); 3] = [
            &|| pipe(&path),
            &|| std::os::unix::fs::symlink(&other, &path).unwrap(),
            &|| std::os::unix::fs::symlink("/dev/full", &path).unwrap(),
        ];
        for how in spoil {
            how();
            DiskCache::open(directory.path(), 1 << 20).unwrap();
            assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
            assert!(!other.exists());
            remove(&path);
        }
        // What cannot be replaced is an error, not a cache.
        std::fs::create_dir(&path).unwrap();
        assert!(DiskCache::open(directory.path(), 1 << 20).is_err());
    }

    #[tokio::test]
    async fn what_is_kept_comes_back_and_what_is_not_a_file_of_its_length_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(directory.path(), 1 << 20).unwrap();
        let one = wanted(1, 5_000);
        assert!(cache.load(&one).await.is_none());
        put(&cache, &one, 7);
        assert!(cache.has(&one));
        // Another process sees it too.
        let other = DiskCache::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(other.load(&one).await.unwrap(), sealed(&one, 7));
        assert_eq!(other.hits(), 1);
        let path = cache.path(&one);
        let spoil: [&dyn Fn(); 5] = [
            &|| std::fs::write(&path, b"short").unwrap(),
            &|| std::fs::write(&path, b"").unwrap(),
            &|| std::fs::write(&path, vec![0; 1 << 16]).unwrap(),
            &|| std::os::unix::fs::symlink("/etc/passwd", &path).unwrap(),
            &|| pipe(&path),
        ];
        for how in spoil {
            remove(&path);
            how();
            assert!(cache.load(&one).await.is_none());
            assert!(std::fs::symlink_metadata(&path).is_err());
        }
        put(&cache, &one, 8);
        cache.spoilt(&one);
        assert!(!cache.has(&one));
    }

    #[test]
    fn the_oldest_go_first_and_unfinished_files_later() {
        let directory = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(directory.path(), 10 * (60_000 + FILE_BYTES + 152)).unwrap();
        let old = |path: &Path, age: u64| {
            let file = File::options().append(true).open(path).unwrap();
            let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
            file.set_modified(then).unwrap();
        };
        for n in 1..=12 {
            put(&cache, &wanted(n, 60_000), n);
            old(&cache.path(&wanted(n, 60_000)), n.into());
        }
        let left = directory.path().join("01/.1-1");
        std::fs::write(&left, "half").unwrap();
        cache.sweep().unwrap();
        let there: Vec<u8> = (1..=12)
            .filter(|n| cache.has(&wanted(*n, 60_000)))
            .collect();
        assert_eq!(there, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(left.exists());
        old(&left, 0);
        cache.sweep().unwrap();
        assert!(!left.exists());
        assert!(cache.room.load(Ordering::Relaxed) > 0);
    }
}
