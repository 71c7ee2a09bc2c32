//! A store in a local directory.
//!
//! `ROOT/ab/ab…` (32 hex digits) is a blob, `ROOT/tmp/ab…` one being written. A PUT writes the
//! temporary file, syncs it, renames it and syncs the directory; so a crash leaves temporary files
//! and nothing else. Directories are opened once and never followed through a symbolic link.
//!
//! The system calls are in `files`; this file decides which thread makes them.

mod files;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rustix::fd::OwnedFd;
use tokio::task::spawn_blocking;

use self::files::{Files, Writing};
use super::body::{Exact, chunk_of};
use super::{BlobBody, BlobEntry, BlobStore, BlobStream, StoreError, probe};
use crate::types::limits::{STORE_BATCH_BYTES, STORE_REPLAY_BYTES_MAX};
use crate::types::{BlobId, Clock};

/// Blobs as files of a directory that belongs to the vault alone.
pub struct LocalStore {
    files: Arc<Files>,
}

impl LocalStore {
    /// Opens the store at `root`, which is made (mode 0700) if absent, and sweeps temporary files
    /// older than a day. Blocks.
    pub fn open(root: &Path, clock: &dyn Clock) -> Result<Self, StoreError> {
        let files = Files::open(root)?;
        files.sweep(clock.now())?;
        Ok(Self {
            files: Arc::new(files),
        })
    }
}

#[async_trait]
impl BlobStore for LocalStore {
    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        let mut body = Exact::new(bytes, body);
        let files = Arc::clone(&self.files);
        if bytes <= STORE_REPLAY_BYTES_MAX {
            let chunks = body.gather().await.map_err(StoreError::Aborted)?;
            return blocking(move || {
                let writing = Writing::begin(files, id)?;
                writing.write(&chunks)?;
                writing.finish()
            })
            .await;
        }
        let mut writing = blocking(move || Writing::begin(files, id)).await?;
        let mut batch = Vec::new();
        let mut batched: usize = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(StoreError::Aborted)?;
            batched = batched.saturating_add(chunk.len());
            batch.push(chunk);
            if batched >= STORE_BATCH_BYTES {
                let full = std::mem::take(&mut batch);
                batched = 0;
                writing = blocking(move || {
                    writing.write(&full)?;
                    Ok(writing)
                })
                .await?;
            }
        }
        blocking(move || {
            writing.write(&batch)?;
            writing.finish()
        })
        .await
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
        if range.is_empty() || range.end > whole {
            return Err(StoreError::Length);
        }
        let first = chunk_of(&range);
        let rest = first.end..range.end;
        // To another thread and back costs more than a small read itself.
        let (file, chunk) = if let Some(read) = self.files.read_cached(id, &first, whole) {
            read
        } else {
            let files = Arc::clone(&self.files);
            blocking(move || {
                let file = files.read(id)?;
                files::holds(&file, whole)?;
                let chunk = files::read_at(&file, &first)?;
                Ok((file, chunk))
            })
            .await?
        };
        if rest.is_empty() {
            return Ok(Box::pin(stream::iter([Ok(chunk)])));
        }
        let ready = stream::iter([Ok(chunk)]);
        let rest = stream::try_unfold((Arc::new(file), rest), |(file, mut rest)| async move {
            if rest.is_empty() {
                return Ok(None);
            }
            let next = chunk_of(&rest);
            rest.start = next.end;
            Ok(Some((read(&file, next).await?, (file, rest))))
        });
        Ok(Box::pin(ready.chain(rest)))
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        let files = Arc::clone(&self.files);
        blocking(move || files.delete(id)).await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        let files = Arc::clone(&self.files);
        blocking(move || files.list(after, limit)).await
    }

    fn presign(&self, _id: BlobId, _seconds: u64) -> Option<String> {
        None
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        probe::run(self, id).await
    }
}

/// Reads a chunk: on this thread if the system has it in memory, which it mostly does when a file
/// is read from front to end, else on one that may wait.
async fn read(file: &Arc<OwnedFd>, range: Range<u64>) -> Result<Bytes, StoreError> {
    if let Ok(chunk) = files::cached(file, &range) {
        return Ok(chunk);
    }
    let file = Arc::clone(file);
    blocking(move || files::read_at(&file, &range)).await
}

/// Runs system calls that may wait for a disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|e| lost(&e))?
}

fn lost(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Failed {
        reason: format!("the thread that serves the local store was lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::store::contract::{self, FixedClock, body, chunks, read, sample};
    use crate::types::Timestamp;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    fn id(n: u8) -> BlobId {
        BlobId::from_bytes([n; 16])
    }

    fn store() -> (tempfile::TempDir, LocalStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&dir.path().join("store"), &FixedClock).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let (_dir, store) = store();
        contract::holds(Arc::new(store)).await;
    }

    #[tokio::test]
    async fn what_was_put_is_there_when_opened_again_with_tight_modes() {
        let (dir, store) = store();
        store.put(id(0xab), 5, body(b"bytes")).await.unwrap();
        drop(store);
        let root = dir.path().join("store");
        let again = LocalStore::open(&root, &FixedClock).unwrap();
        assert_eq!(read(&again, id(0xab), 0..5, 5).await.unwrap(), b"bytes");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join("ab")), 0o700);
        assert_eq!(mode(&root.join("ab").join(id(0xab).to_string())), 0o600);
        assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn never_overwrites_and_leaves_no_temporary_file() {
        let (dir, store) = store();
        store.put(id(1), 3, body(b"old")).await.unwrap();
        store.put(id(1), 3, body(b"new")).await.unwrap_err();
        assert_eq!(read(&store, id(1), 0..3, 3).await.unwrap(), b"old");
        let tmp = dir.path().join("store/tmp");
        assert_eq!(fs::read_dir(tmp).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_abandoned_put_leaves_nothing() {
        let (dir, store) = store();
        let endless = chunks(vec![Ok(sample(300_000))]).chain(stream::pending());
        let mut put = store.put(id(1), 1_000_000, Box::pin(endless));
        let tmp = dir.path().join("store/tmp");
        while fs::read_dir(&tmp).unwrap().count() == 0 {
            assert!(futures_util::poll!(put.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        drop(put);
        while fs::read_dir(&tmp).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.list(None, 9).await.unwrap(), []);
    }

    #[tokio::test]
    async fn only_old_temporary_files_are_swept() {
        let (dir, store) = store();
        drop(store);
        let root = dir.path().join("store");
        let file = root.join("tmp").join(id(1).to_string());
        fs::write(&file, b"left by a crash").unwrap();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        let written = written.duration_since(std::time::UNIX_EPOCH).unwrap();
        let written = u64::try_from(written.as_millis()).unwrap();
        LocalStore::open(&root, &At(written + 86_000_000)).unwrap();
        assert!(file.exists());
        LocalStore::open(&root, &At(written + 86_402_000)).unwrap();
        assert!(!file.exists());
    }

    /// A snapshot is written under the same name again until it is there.
    #[tokio::test]
    async fn what_a_crash_left_of_a_blob_does_not_keep_it_from_being_written() {
        let (dir, store) = store();
        let tmp = dir.path().join("store/tmp");
        for round in 0..3_u8 {
            let name = id(1).to_string();
            let left = if round == 0 {
                name
            } else {
                format!("{name}.{round}")
            };
            fs::write(tmp.join(left), b"cut").unwrap();
            store.put_new(id(1), 5, body(b"whole")).await.unwrap();
            assert_eq!(read(&store, id(1), 0..5, 5).await.unwrap(), b"whole");
            let again = store.put_new(id(1), 5, body(b"other")).await;
            assert!(matches!(again, Err(StoreError::Taken)), "{again:?}");
            assert_eq!(fs::read_dir(&tmp).unwrap().count(), usize::from(round) + 1);
            store.delete(id(1)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn symbolic_links_are_not_followed() {
        let (dir, store) = store();
        let secret = dir.path().join("secret");
        fs::write(&secret, b"not of the store").unwrap();
        let root = dir.path().join("store");
        symlink(&secret, root.join("01").join(id(1).to_string())).unwrap();
        let got = read(&store, id(1), 0..3, 3).await.unwrap_err();
        assert!(matches!(got, StoreError::Failed { .. }), "{got:?}");
        assert_eq!(store.list(None, 9).await.unwrap(), []);
        store.delete(id(1)).await.unwrap();
        assert!(secret.exists());
        drop(store);
        fs::remove_dir(root.join("02")).unwrap();
        symlink(dir.path(), root.join("02")).unwrap();
        assert!(LocalStore::open(&root, &FixedClock).is_err());
    }

    /// What was just written is in memory: wherever the system can tell, no other thread is asked.
    #[tokio::test]
    async fn what_is_in_memory_is_read_where_it_is_asked_for() {
        let (_dir, store) = store();
        store.put(id(1), 5, body(b"bytes")).await.unwrap();
        let file = store.files.read(id(1)).unwrap();
        let tells = files::cached(&file, &(0..5)).is_ok();
        let read = store.files.read_cached(id(1), &(1..4), 5);
        assert_eq!(read.is_some(), tells);
        assert!(read.is_none_or(|(_, bytes)| bytes[..] == b"yte"[..]));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_blob_is_no_less_so_in_memory() {
        let (dir, store) = store();
        store.put(id(1), 5, body(b"bytes")).await.unwrap();
        let root = dir.path().join("store");
        let named = |n: u8| root.join(format!("{n:02x}")).join(id(n).to_string());
        symlink(named(1), named(2)).unwrap();
        fs::create_dir(named(3)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, named(4), rustix::fs::Mode::RUSR).unwrap();
        for n in 2..6 {
            assert!(store.files.read_cached(id(n), &(0..1), 5).is_none(), "{n}");
        }
        for (range, whole) in [(0..1, 4), (0..1, 6), (0..6, 6), (4..6, 5)] {
            let read = store.files.read_cached(id(1), &range, whole);
            assert!(read.is_none(), "{range:?} of {whole}");
        }
    }

    #[tokio::test]
    async fn foreign_files_are_passed_over() {
        let (dir, store) = store();
        store.put(id(1), 1, body(b"x")).await.unwrap();
        let root = dir.path().join("store");
        fs::write(root.join("README"), b"hello").unwrap();
        fs::write(root.join("01/notes"), b"hello").unwrap();
        // A blob's name in another blob's directory is none of ours.
        fs::write(root.join("02").join(id(3).to_string()), b"x").unwrap();
        fs::create_dir(root.join("02").join(id(2).to_string())).unwrap();
        let all = store.list(None, 9).await.unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        let got = read(&store, id(2), 0..1, 1).await;
        assert!(got.is_err(), "a directory is no blob");
    }

    #[tokio::test]
    async fn a_blob_extended_behind_the_back_is_an_error() {
        let (dir, store) = store();
        store.put(id(1), 5, body(b"bytes")).await.unwrap();
        let path = dir.path().join("store/01").join(id(1).to_string());
        fs::write(path, b"bytes and more").unwrap();
        for range in [0..5, 0..1, 4..5] {
            let got = read(&store, id(1), range.clone(), 5).await;
            assert!(matches!(got, Err(StoreError::Length)), "{range:?}: {got:?}");
        }
    }

    #[tokio::test]
    async fn a_blob_cut_behind_the_back_is_an_error() {
        let (dir, store) = store();
        let whole = chunks(vec![Ok(sample(900_000))]);
        store.put(id(1), 900_000, whole).await.unwrap();
        let path = dir.path().join("store/01").join(id(1).to_string());
        let mut stream = store.get(id(1), 0..900_000, 900_000).await.unwrap();
        stream.next().await.unwrap().unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(600_000).unwrap();
        let mut end = Ok(Bytes::new());
        while let Some(chunk) = stream.next().await {
            end = chunk;
        }
        assert!(matches!(end, Err(StoreError::Length)), "{end:?}");
    }
}
