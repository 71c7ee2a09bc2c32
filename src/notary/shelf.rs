//! The few things that a log asks of where it is kept. Each is whole or not done, and durable when
//! it returns; names are those of tiles, `state` and `checkpoint`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::NotaryError;
use crate::types::limits::LOG_FILE_BYTES_MAX;

/// A place for a log's files.
pub trait Shelf: Send {
    /// A file's bytes; `None` where there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes a file, or replaces the one that is there.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Removes a file, if it is there.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Replaces `state` by that of the next round where another keeper made one behind it, which
    /// is finished here; whether there was one. Only a shelf with a second place has any.
    fn follow(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A directory, kept by one process.
pub struct DirShelf {
    dir: PathBuf,
    /// `None` for whoever only reads.
    _lock: Option<File>,
}

fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|path| !path.as_os_str().is_empty());
    if let Some(parent) = parent {
        make(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

impl DirShelf {
    /// Takes a directory, which is made if it is not there.
    pub fn keep(dir: &Path) -> Result<Self, NotaryError> {
        make(dir)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: Some(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(NotaryError::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Looks at a directory that another process may keep.
    #[must_use]
    pub fn look(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            _lock: None,
        }
    }
}

impl Shelf for DirShelf {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let most = u64::try_from(LOG_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > LOG_FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too long"));
        }
        Ok(Some(bytes))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(name);
        let folder = path.parent().unwrap_or(&self.dir);
        make(folder)?;
        let beside = self.dir.join("new.tmp");
        self.remove("new.tmp")?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}
