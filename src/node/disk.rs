//! A cache on the node's disk: sealed bytes exactly as they were fetched, in files named after the
//! blob and the chunk. Whoever may write there can spoil it and gain nothing: each load is opened
//! again, under the key of the one blob, and what does not authenticate is removed and fetched.
//! So all mounts of a node share it; losing it, or half a file in a crash, costs a fetch.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::buffers::Chunk;
use super::folders::{Folders, Spot, cost};
use super::opening::Wanted;
use crate::types::limits;

/// How long nothing is written once the disk refused.
const REST: Duration = Duration::from_secs(30);

/// The cache.
pub struct DiskCache {
    folders: Folders,
    bytes_max: u64,
    /// Bytes that may be written before there is to be room made.
    room: AtomicU64,
    sweeping: AtomicBool,
    resting: Mutex<Option<Instant>>,
    readers: Semaphore,
    writers: Semaphore,
    /// A permit for each KiB that waits for a writer.
    waiting: Arc<Semaphore>,
    next: AtomicU64,
    hits: AtomicU64,
}

impl DiskCache {
    /// In a directory, which is made if there is none, of at most so many bytes. While room cannot
    /// be made there nothing is written, and what is there is read.
    pub fn open(root: &Path, bytes_max: u64) -> io::Result<Arc<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let cache = Self {
            folders: Folders::open(root)?,
            bytes_max,
            room: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            resting: Mutex::default(),
            readers: Semaphore::new(limits::DISK_READERS_MAX),
            writers: Semaphore::new(limits::DISK_WRITERS_MAX),
            waiting: Arc::new(Semaphore::new(limits::DISK_WAITING_KIB_MAX)),
            next: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        };
        if let Err(error) = cache.sweep() {
            tracing::warn!(%error, "the disk cache takes nothing: no room can be made in it");
            cache.refused(&error);
        }
        Ok(Arc::new(cache))
    }

    /// How many chunks came from here.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Whether there is something under a chunk's name.
    pub(super) fn has(&self, wanted: &Wanted) -> bool {
        self.folders.has(&spot(wanted))
    }

    /// A chunk's sealed bytes in a buffer, if a file of their length is here; what else is there
    /// is removed.
    pub(super) async fn load(
        self: &Arc<Self>,
        wanted: &Wanted,
        mut buffer: Chunk,
    ) -> Option<Chunk> {
        let (cache, spot, bytes) = (Arc::clone(self), spot(wanted), wanted.bytes());
        let _turn = self.readers.acquire().await.ok()?;
        buffer.resize(bytes, 0);
        let loaded = spawn_blocking(move || match cache.folders.read(&spot, &mut buffer) {
            Ok(()) => Some(buffer),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::debug!(%error, "a file of the disk cache is removed");
                cache.folders.remove(&spot);
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
        self.folders.remove(&spot(wanted));
    }

    /// Keeps a chunk's sealed bytes, without waiting for it, as far as there is room and the disk
    /// keeps up.
    pub(super) fn keep(self: &Arc<Self>, wanted: &Wanted, sealed: Chunk) {
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
        let (cache, spot) = (Arc::clone(self), spot(wanted));
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
            let written = spawn_blocking(move || writing.write(&spot, &sealed));
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

    fn write(&self, spot: &Spot, sealed: &[u8]) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{}-{number}", std::process::id());
        self.folders.write(spot, &temporary, sealed)
    }

    /// Makes room: the least recently used go first. One process at a time does.
    fn sweep(&self) -> io::Result<()> {
        let lock = self.folders.lock()?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let mut held = self.folders.list()?;
        held.sort_by_key(|file| std::cmp::Reverse(file.used));
        // Room for what is written until this is done again.
        let step = self.bytes_max / 8;
        let goal = self.bytes_max.saturating_sub(step);
        let mut sum = 0_u64;
        for file in held {
            let with = sum.saturating_add(file.bytes);
            if with <= goal {
                sum = with;
            } else if !self.folders.free(&file) {
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

/// Where a chunk is kept.
fn spot(wanted: &Wanted) -> Spot {
    let blob = wanted.blob.to_string();
    let folder = blob.get(..2).unwrap_or_default().to_owned();
    let name = format!("{blob}-{}", wanted.chunk);
    Spot { folder, name }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::super::buffers::Buffers;
    use super::super::folders::FILE_BYTES;
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

    async fn load(cache: &Arc<DiskCache>, wanted: &Wanted) -> Option<Vec<u8>> {
        let buffer = Buffers::new(0).take(wanted.bytes());
        let loaded = cache.load(wanted, buffer).await?;
        Some(loaded.to_vec())
    }

    fn put(cache: &Arc<DiskCache>, wanted: &Wanted, fill: u8) {
        cache.write(&spot(wanted), &sealed(wanted, fill)).unwrap();
    }

    /// Where a chunk's file is, below the cache's directory.
    fn path(root: &Path, wanted: &Wanted) -> PathBuf {
        let Spot { folder, name } = spot(wanted);
        root.join(folder).join(name)
    }

    fn remove(path: &Path) {
        std::fs::remove_file(path).unwrap();
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
            &|| symlink(&other, &path).unwrap(),
            &|| symlink("/dev/full", &path).unwrap(),
        ];
        for how in spoil {
            how();
            DiskCache::open(directory.path(), 1 << 20).unwrap();
            assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
            assert!(!other.exists());
            remove(&path);
        }
        // What cannot be replaced is no lock, and no reason not to mount: what is there is read.
        let one = wanted(1, 5_000);
        put(
            &DiskCache::open(directory.path(), 1 << 20).unwrap(),
            &one,
            7,
        );
        remove(&path);
        std::fs::create_dir(&path).unwrap();
        let cache = DiskCache::open(directory.path(), 1 << 20).unwrap();
        assert!(cache.has(&one));
        assert_eq!(cache.room.load(Ordering::Relaxed), 0);
        assert!(cache.sweep().is_err());
    }

    #[tokio::test]
    async fn what_is_kept_comes_back_and_what_is_not_a_file_of_its_length_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(directory.path(), 1 << 20).unwrap();
        let one = wanted(1, 5_000);
        assert!(load(&cache, &one).await.is_none());
        put(&cache, &one, 7);
        assert!(cache.has(&one));
        // Another process sees it too.
        let other = DiskCache::open(directory.path(), 1 << 20).unwrap();
        assert_eq!(load(&other, &one).await.unwrap(), sealed(&one, 7));
        assert_eq!(other.hits(), 1);
        let path = path(directory.path(), &one);
        let spoil: [&dyn Fn(); 5] = [
            &|| std::fs::write(&path, b"short").unwrap(),
            &|| std::fs::write(&path, b"").unwrap(),
            &|| std::fs::write(&path, vec![0; 1 << 16]).unwrap(),
            &|| symlink("/etc/passwd", &path).unwrap(),
            &|| pipe(&path),
        ];
        for how in spoil {
            drop(std::fs::remove_file(&path));
            how();
            assert!(load(&cache, &one).await.is_none());
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
            old(&path(directory.path(), &wanted(n, 60_000)), n.into());
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

    /// Who may write in the directory puts links in the place of folders, to lead whoever sweeps,
    /// writes or reads there, root among them, to what is not the cache's.
    #[tokio::test]
    async fn a_link_in_the_place_of_a_folder_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let (root, other) = (
            directory.path().join("cache"),
            directory.path().join("other"),
        );
        let cache = DiskCache::open(&root, 1 << 20).unwrap();
        let one = wanted(1, 5_000);
        put(&cache, &one, 7);
        let held = cache.folders.list().unwrap();
        assert_eq!(held.len(), 1);
        // The folder's files were listed; now another directory is under its name.
        std::fs::rename(root.join("01"), &other).unwrap();
        symlink(&other, root.join("01")).unwrap();
        assert!(!cache.folders.free(&held[0]));
        assert_eq!(cache.folders.list().unwrap().len(), 0);
        assert!(!cache.has(&one));
        assert!(load(&cache, &one).await.is_none());
        cache.spoilt(&one);
        assert!(cache.write(&spot(&one), &sealed(&one, 8)).is_err());
        let there: Vec<_> = std::fs::read_dir(&other).unwrap().collect();
        assert_eq!(there.len(), 1);
        let name = spot(&one).name;
        assert_eq!(std::fs::read(other.join(name)).unwrap(), sealed(&one, 7));
        // Nor is the cache's own directory one.
        symlink(&other, directory.path().join("link")).unwrap();
        assert!(DiskCache::open(&directory.path().join("link"), 1 << 20).is_err());
    }

    #[test]
    fn who_shares_the_directory_shares_its_folders() {
        let directory = tempfile::tempdir().unwrap();
        let shared = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(directory.path(), shared).unwrap();
        let cache = DiskCache::open(directory.path(), 1 << 20).unwrap();
        put(&cache, &wanted(1, 5_000), 7);
        let folder = std::fs::metadata(directory.path().join("01")).unwrap();
        assert_eq!(folder.permissions().mode() & 0o7777, 0o1777);
    }
}
