//! The verbs on disk that key files need: make one that was not there, durably; replace; read
//! within a bound; destroy. A file is complete under its name or not there at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::KeyRingError;

/// No key file is longer; an identity file with comments is a few hundred bytes.
pub(super) const FILE_BYTES_MAX: u64 = 64 * 1024;
/// How many left-over temporary names are passed over before giving up.
const NAMES_TRIED_MAX: usize = 1_024;

/// Distinguishes the temporary files of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes a file with mode 0600; durable when it returns `Ok`. A file that is there stays.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), KeyRingError> {
    let temporary = write_beside(path, bytes)?;
    // Renamed and not linked: two names would be two places to destroy.
    let renamed = rustix::fs::renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE);
    if let Err(cause) = renamed {
        discard(&temporary);
        if cause == Errno::EXIST {
            return Err(KeyRingError::Exists { path: path.into() });
        }
        return Err(io_error("make the key file", path)(cause.into()));
    }
    sync_parent(path)
}

/// Writes a file with mode 0600 in the place of the one that is there, if any.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyRingError> {
    let temporary = write_beside(path, bytes)?;
    if let Err(cause) = fs::rename(&temporary, path) {
        discard(&temporary);
        return Err(io_error("write the file", path)(cause));
    }
    sync_parent(path)
}

/// Reads a whole file of at most [`FILE_BYTES_MAX`].
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyRingError> {
    let failed = io_error("read the key file", path);
    let file = File::open(path).map_err(&failed)?;
    let length = file.metadata().map_err(&failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(KeyRingError::Damaged { path: path.into() });
    }
    // One byte of room more than the file has: the buffer never grows, which would leave a copy.
    let room = usize::try_from(length).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let mut bounded = file.take(length);
    bounded.read_to_end(&mut bytes).map_err(&failed)?;
    Ok(bytes)
}

/// [`read`], but `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyRingError> {
    match read(path) {
        Err(KeyRingError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        bytes => bytes.map(Some),
    }
}

/// Overwrites a file with zeros and removes it; durable when it returns `Ok`.
///
/// The zeros are a courtesy: a disk may keep what was overwritten. What counts is that the file
/// held a *wrapped* key and that its backups are destroyed too.
pub(super) fn destroy(path: &Path) -> Result<(), KeyRingError> {
    let failed = io_error("destroy the key file", path);
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(KeyRingError::NotFound);
        }
        Err(cause) => return Err(failed(cause)),
    };
    let length = file.metadata().map_err(&failed)?.len();
    let zeros = vec![0; usize::try_from(length.min(FILE_BYTES_MAX)).unwrap_or(0)];
    file.write_all(&zeros).map_err(&failed)?;
    file.sync_all().map_err(&failed)?;
    fs::remove_file(path).map_err(&failed)?;
    sync_parent(path)
}

/// Whether a key file is one that [`destroy`] has begun with and not removed, or is gone by now: a
/// process was killed in between, or is about to go on. Zeros come from the front.
pub(super) fn is_half_destroyed(path: &Path) -> Result<bool, KeyRingError> {
    let is_zeros = |bytes: Zeroizing<Vec<u8>>| {
        let begin = bytes.first_chunk::<8>();
        begin.is_some_and(|begin| *begin == [0; 8])
    };
    Ok(read_if_there(path)?.is_none_or(is_zeros))
}

/// Makes a directory with mode 0700, and those above it; one that is there is kept.
pub(super) fn make_directory(path: &Path) -> Result<(), KeyRingError> {
    let failed = io_error("make the directory", path);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(&failed)?;
    sync_parent(path)
}

/// Refuses a directory that every user of the machine may enter. Its group may: container
/// platforms hand volumes to a process by its group.
pub(super) fn check_directory(path: &Path) -> Result<(), KeyRingError> {
    let failed = io_error("look at the directory of the keys", path);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(KeyRingError::Exposed { path: path.into() });
    }
    Ok(())
}

/// Names what was tried, for a `map_err`.
pub(super) fn io_error(
    doing: &'static str,
    path: &Path,
) -> impl Fn(io::Error) -> KeyRingError + use<> {
    let path = PathBuf::from(path);
    move |source| KeyRingError::Io {
        doing,
        path: path.clone(),
        source,
    }
}

/// Writes a complete, synced file under a temporary name in the directory of `path`.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, KeyRingError> {
    let failed = io_error("write the file", path);
    let (temporary, mut file) = open_beside(path).map_err(&failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(cause) = written {
        discard(&temporary);
        return Err(failed(cause));
    }
    Ok(temporary)
}

fn open_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    for _ in 0..NAMES_TRIED_MAX {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = parent(path).join(format!(".kluis-{}-{number}.tmp", process::id()));
        match options.open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(cause),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes a temporary file after a failure, whose cause matters more than this one's.
fn discard(temporary: &Path) {
    if fs::remove_file(temporary).is_err() {
        tracing::warn!(path = %temporary.display(), "a temporary file was left behind");
    }
}

/// Makes the directory's own change durable.
fn sync_parent(path: &Path) -> Result<(), KeyRingError> {
    let parent = parent(path);
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("make the change of the directory durable", parent))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
