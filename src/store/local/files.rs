//! The system calls of the local store. Everything here blocks.

use std::collections::BTreeSet;
use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fstat, fsync,
    linkat, mkdirat, openat, openat2, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, writev};

use crate::store::{BlobEntry, StoreError};
use crate::types::limits::STORE_SWEEP_FILES_MAX;
use crate::types::{BlobId, Timestamp};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// NONBLOCK: a pipe under a blob's name must not hang the opening.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Milliseconds for which a temporary file may belong to a running upload: a day.
const SWEEP_AGE_MS: u64 = 24 * 60 * 60 * 1000;
/// Temporary files of one blob that crashes may leave before they are swept.
const LEFT_MAX: u32 = 1_000;
/// Slices of one `writev` (POSIX guarantees 16, Linux takes 1,024).
const SLICES_MAX: usize = 64;

/// The directories of the store, opened once.
pub(super) struct Files {
    tmp: OwnedFd,
    /// By the first byte of a name: 256.
    fans: Vec<OwnedFd>,
    /// Whether this system can say that a call would wait for a disk; so it is until it cannot.
    tells: AtomicBool,
}

impl Files {
    /// Opens the directories, making those that are absent.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        // The path to the root is the operator's and may lead through links; below it none may.
        let made = match mkdirat(CWD, root, DIRECTORY_MODE) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => return Err(failed("making the store's directory", e)),
        };
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let root = openat(CWD, root, flags, Mode::empty())
            .map_err(|e| failed("opening the store's directory", e))?;
        if made {
            // Or a crash could take the directory away with all that is in it.
            openat(&root, "..", flags, Mode::empty())
                .and_then(fsync)
                .map_err(|e| failed("syncing the directory above the store", e))?;
        }
        let tmp = subdirectory(&root, "tmp")?;
        let fans = (0..=u8::MAX).map(|byte| subdirectory(&root, &format!("{byte:02x}")));
        let fans = fans.collect::<Result<_, _>>()?;
        fsync(&root).map_err(|e| failed("syncing the store's directory", e))?;
        Ok(Self {
            tmp,
            fans,
            tells: AtomicBool::new(true),
        })
    }

    fn fan(&self, id: BlobId) -> Result<BorrowedFd<'_>, StoreError> {
        let [first, ..] = *id.as_bytes();
        let fan = self.fans.get(usize::from(first));
        fan.map(AsFd::as_fd).ok_or(StoreError::NotFound)
    }

    /// Opens a blob for reading.
    pub(super) fn read(&self, id: BlobId) -> Result<OwnedFd, StoreError> {
        openat(self.fan(id)?, id.to_string(), READ, Mode::empty()).map_err(|e| match e {
            Errno::NOENT => StoreError::NotFound,
            other => failed("opening a blob", other),
        })
    }

    /// A blob of exactly `whole` bytes and a range of it, if the system has name and bytes in
    /// memory: the one thing here that does not block. What is wrong with the blob, [`Self::read`]
    /// and [`holds`] say.
    pub(super) fn read_cached(
        &self,
        id: BlobId,
        range: &Range<u64>,
        whole: u64,
    ) -> Option<(OwnedFd, Bytes)> {
        if !self.tells.load(Ordering::Relaxed) {
            return None;
        }
        let opened = openat2(
            self.fan(id).ok()?,
            id.to_string(),
            READ,
            Mode::empty(),
            ResolveFlags::CACHED | ResolveFlags::BENEATH,
        );
        let file = opened.inspect_err(|e| self.heed(*e)).ok()?;
        holds(&file, whole).ok()?;
        let chunk = cached(&file, range).inspect_err(|e| self.heed(*e)).ok()?;
        Some((file, chunk))
    }

    /// An old kernel, a sandbox that forbids the call and a file system over a network wait
    /// whether or not they are asked not to; they are not asked again.
    fn heed(&self, e: Errno) {
        if matches!(
            e,
            Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP
        ) {
            self.tells.store(false, Ordering::Relaxed);
        }
    }

    /// Removes a blob. Not synced: a blob that a crash brings back is swept again.
    pub(super) fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        match unlinkat(self.fan(id)?, id.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(stays(e)),
        }
    }

    /// See [`crate::store::BlobStore::list`].
    pub(super) fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        let first = after.map_or(0, |id| usize::from(id.as_bytes()[0]));
        let mut entries = Vec::new();
        for (byte, fan) in (0..=u8::MAX).zip(&self.fans).skip(first) {
            let mut after = after;
            while entries.len() < limit {
                let left = limit.saturating_sub(entries.len());
                let names = names(fan, byte, after, left)?;
                for id in &names {
                    entries.extend(entry(fan, *id)?);
                }
                // Some may have been deleted since: only a short page is the end of a directory.
                if names.len() < left {
                    break;
                }
                after = names.last().copied();
            }
        }
        Ok(entries)
    }

    /// Removes temporary files that no upload can still be writing.
    pub(super) fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let wrap = |e| failed("sweeping temporary files", e);
        let listing = Dir::read_from(&self.tmp).map_err(wrap)?;
        for found in listing.take(STORE_SWEEP_FILES_MAX) {
            let found = found.map_err(wrap)?;
            let Ok(stat) = statat(&self.tmp, found.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if regular && now.since(modified(&stat)) > SWEEP_AGE_MS {
                match unlinkat(&self.tmp, found.file_name(), AtFlags::empty()).map_err(stays) {
                    Ok(()) => {}
                    Err(error @ StoreError::Kept { .. }) => {
                        tracing::warn!(%error, "a temporary file of the store stays");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Opens a directory below the root, making it if absent.
fn subdirectory(root: &OwnedFd, name: &str) -> Result<OwnedFd, StoreError> {
    match mkdirat(root, name, DIRECTORY_MODE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(failed("making a directory of the store", e)),
    }
    openat(root, name, DIRECTORY, Mode::empty())
        .map_err(|e| failed("opening a directory of the store", e))
}

/// The `limit` smallest blob names of a directory after `after`, without holding more than that.
fn names(
    fan: &OwnedFd,
    byte: u8,
    after: Option<BlobId>,
    limit: usize,
) -> Result<BTreeSet<BlobId>, StoreError> {
    let wrap = |e| failed("listing blobs", e);
    let mut smallest = BTreeSet::new();
    for found in Dir::read_from(fan).map_err(wrap)? {
        let found = found.map_err(wrap)?;
        let name = found.file_name().to_str().ok();
        let Some(id) = name.and_then(|name| name.parse::<BlobId>().ok()) else {
            continue;
        };
        if id.as_bytes()[0] != byte || after.is_some_and(|after| id <= after) {
            continue;
        }
        // Links and directories under a blob's name must not crowd blobs out of a page.
        let kind = found.file_type();
        if kind != FileType::RegularFile && kind != FileType::Unknown {
            continue;
        }
        smallest.insert(id);
        if smallest.len() > limit {
            smallest.pop_last();
        }
    }
    Ok(smallest)
}

/// What a listing says of a blob; `None` if it was deleted since, or is none.
fn entry(fan: &OwnedFd, id: BlobId) -> Result<Option<BlobEntry>, StoreError> {
    let stat = match statat(fan, id.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(failed("looking at a blob", e)),
    };
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(regular.then(|| BlobEntry {
        id,
        bytes: u64::try_from(stat.st_size).unwrap_or(0),
        modified: modified(&stat),
    }))
}

fn modified(stat: &Stat) -> Timestamp {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let millis = stat.st_mtime_nsec / 1_000_000;
    Timestamp::from_millis(seconds.saturating_mul(1000)).plus_millis(millis)
}

/// Whether an open file is a blob of exactly `whole` bytes.
pub(super) fn holds(file: &OwnedFd, whole: u64) -> Result<(), StoreError> {
    let stat = fstat(file).map_err(|e| failed("looking at a blob", e))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(StoreError::Failed {
            reason: "something that is no file has the name of a blob".to_owned(),
        });
    }
    if u64::try_from(stat.st_size) != Ok(whole) {
        return Err(StoreError::Length);
    }
    Ok(())
}

/// Reads exactly a range of at most one chunk.
pub(super) fn read_at(file: &OwnedFd, range: &Range<u64>) -> Result<Bytes, StoreError> {
    let bytes = range.end.saturating_sub(range.start);
    let bytes = usize::try_from(bytes).map_err(|_too_long| StoreError::Length)?;
    let mut chunk = Vec::with_capacity(bytes);
    let mut offset = range.start;
    while offset < range.end {
        let seen = match pread(file, spare_capacity(&mut chunk), offset) {
            Ok(0) => return Err(StoreError::Length),
            Ok(seen) => seen,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(failed("reading a blob", e)),
        };
        offset = offset.saturating_add(u64::try_from(seen).unwrap_or(u64::MAX));
    }
    // The allocator may have given more room than asked for, and the read filled it.
    chunk.truncate(bytes);
    Ok(chunk.into())
}

/// Reads exactly a range of at most one chunk, or errs if any of it would have to wait for a disk.
pub(super) fn cached(file: &OwnedFd, range: &Range<u64>) -> Result<Bytes, Errno> {
    let bytes = range.end.saturating_sub(range.start);
    let bytes = usize::try_from(bytes).map_err(|_too_long| Errno::TOOBIG)?;
    let mut chunk = vec![0; bytes];
    let mut slices = [IoSliceMut::new(&mut chunk)];
    let seen = preadv2(file, &mut slices, range.start, ReadWriteFlags::NOWAIT)?;
    if seen == bytes {
        Ok(chunk.into())
    } else {
        Err(Errno::AGAIN)
    }
}

/// A blob being written. **Dropped before [`Self::finish`] succeeded, it leaves nothing.**
pub(super) struct Writing {
    files: Arc<Files>,
    file: OwnedFd,
    id: BlobId,
    /// Its temporary name.
    name: String,
    /// Whether that is still there.
    pending: bool,
}

impl Writing {
    /// Makes the temporary file. A write of the same name that a crash cut short has left its own,
    /// until it is swept: it must not keep the name from being written.
    pub(super) fn begin(files: Arc<Files>, id: BlobId) -> Result<Self, StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut name = id.to_string();
        for number in 1..=LEFT_MAX {
            match openat(&files.tmp, &name, flags, FILE_MODE) {
                Ok(file) => {
                    return Ok(Self {
                        files,
                        file,
                        id,
                        name,
                        pending: true,
                    });
                }
                Err(Errno::EXIST) => name = format!("{id}.{number}"),
                Err(other) => return Err(failed("making a temporary file", other)),
            }
        }
        Err(StoreError::Taken)
    }

    /// Appends chunks with as few system calls as they need.
    pub(super) fn write(&self, chunks: &[Bytes]) -> Result<(), StoreError> {
        for group in chunks.chunks(SLICES_MAX) {
            let mut slices: Vec<_> = group.iter().map(|chunk| IoSlice::new(chunk)).collect();
            let mut rest = slices.as_mut_slice();
            while !rest.is_empty() {
                match writev(&self.file, rest) {
                    Ok(0) => return Err(failed("writing a blob", Errno::IO)),
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(failed("writing a blob", e)),
                }
            }
        }
        Ok(())
    }

    /// Makes the blob durable and visible, in this order.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        fsync(&self.file).map_err(|e| failed("syncing a blob", e))?;
        self.publish()?;
        let fan = self.files.fan(self.id)?;
        fsync(fan).map_err(|e| failed("syncing a directory of the store", e))
    }

    /// Renames without replacing; file systems that cannot, link and unlink.
    fn publish(&mut self) -> Result<(), StoreError> {
        let (tmp, fan) = (&self.files.tmp, self.files.fan(self.id)?);
        let (from, to) = (&self.name, self.id.to_string());
        let linked = match renameat_with(tmp, from, fan, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.pending = false;
                return Ok(());
            }
            Err(Errno::INVAL | Errno::NOSYS) => linkat(tmp, from, fan, &to, AtFlags::empty()),
            Err(e) => Err(e),
        };
        linked.map_err(|e| match e {
            Errno::EXIST => StoreError::Taken,
            other => failed("publishing a blob", other),
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.pending {
            let gone = unlinkat(&self.files.tmp, &self.name, AtFlags::empty());
            if let Err(e) = gone {
                tracing::warn!(error = %e, "a temporary file of the store stays until swept");
            }
        }
    }
}

/// Words an error of the system; no space left is a case of its own.
fn failed(what: &str, e: Errno) -> StoreError {
    match e {
        Errno::NOSPC | Errno::DQUOT => StoreError::Full,
        other => StoreError::Failed {
            reason: format!("{what}: {}", io::Error::from(other)),
        },
    }
}

/// Words why a file was not removed. What the system denies it denies of this file: one that is
/// immutable, in use, or no file at all keeps no other from going. A disk that fails or takes no
/// changes is no such case.
fn stays(e: Errno) -> StoreError {
    match e {
        Errno::PERM | Errno::ACCESS | Errno::ISDIR | Errno::BUSY | Errno::TXTBSY => {
            StoreError::Kept {
                reason: io::Error::from(e).to_string(),
            }
        }
        other => failed("deleting a file", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_space_and_no_quota_are_a_full_store() {
        for e in [Errno::NOSPC, Errno::DQUOT] {
            assert!(matches!(failed("writing", e), StoreError::Full));
        }
        let other = failed("writing a blob", Errno::ROFS).to_string();
        assert!(
            other.starts_with("the store failed: writing a blob: "),
            "{other}"
        );
    }

    #[test]
    fn a_denial_is_of_one_file_and_a_failing_disk_of_all() {
        for e in [
            Errno::PERM,
            Errno::ACCESS,
            Errno::ISDIR,
            Errno::BUSY,
            Errno::TXTBSY,
        ] {
            assert!(matches!(stays(e), StoreError::Kept { .. }), "{e}");
        }
        for e in [Errno::ROFS, Errno::IO, Errno::STALE, Errno::NOTDIR] {
            assert!(matches!(stays(e), StoreError::Failed { .. }), "{e}");
        }
    }

    #[test]
    fn a_full_disk_is_told_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::open(&dir.path().join("store")).unwrap());
        let id = BlobId::from_bytes([1; 16]);
        let mut writing = Writing::begin(Arc::clone(&files), id).unwrap();
        // The one file that is always full stands in for the disk.
        writing.file = openat(CWD, "/dev/full", OFlags::WRONLY, Mode::empty()).unwrap();
        let full = writing.write(&[Bytes::from_static(b"x")]);
        assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
        drop(writing);
        let left = std::fs::read_dir(dir.path().join("store/tmp")).unwrap();
        assert_eq!(left.count(), 0);
        assert!(matches!(files.read(id), Err(StoreError::NotFound)));
    }
}
