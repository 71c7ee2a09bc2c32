//! A directory as the source of a verification.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::ledger::evidence::Source;
use crate::ledger::tlog::{Hash, Node};
use crate::notary::{self, EntryError};
use crate::types::limits::LOG_FILE_BYTES_MAX;

/// A bundle, or a log's directory. Names come from tiles and constants, never from a file.
pub(super) struct DirSource(PathBuf);

impl DirSource {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Opens a plain file. An archive carries links and pipes, too: those are refused, and never
    /// waited for.
    fn open(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match open(self.0.join(name), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?.into(),
        };
        if file.metadata()?.is_file() {
            return Ok(Some(file));
        }
        let told = format!("{name} is no plain file");
        Err(io::Error::new(io::ErrorKind::InvalidData, told))
    }

    /// The hash of a full subtree, in the tree of `size` entries.
    pub(super) fn node(&mut self, node: Node, size: u64) -> Result<Hash, EntryError> {
        notary::node(&mut |name| self.read(name), node, size)
    }
}

impl Source for DirSource {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name)? else {
            return Ok(None);
        };
        let most = u64::try_from(LOG_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > LOG_FILE_BYTES_MAX {
            let told = format!("{name} is longer than a log's files are");
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        Ok(Some(bytes))
    }

    fn stream(&mut self, name: &str) -> io::Result<Option<Box<dyn Read>>> {
        let file = self.open(name)?;
        Ok(file.map(|file| -> Box<dyn Read> { Box::new(file) }))
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    /// A pipe that nobody writes, a link, a directory: none is read, and none is waited for.
    #[test]
    fn what_is_no_plain_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        mknodat(CWD, at("checkpoint"), FileType::Fifo, 0o600.into(), 0).unwrap();
        std::fs::write(at("honest"), b"text").unwrap();
        std::os::unix::fs::symlink(at("honest"), at("rows")).unwrap();
        std::fs::create_dir(at("policies")).unwrap();
        let mut source = DirSource::new(dir.path());
        for name in ["checkpoint", "rows", "policies"] {
            assert!(source.read(name).is_err(), "{name}");
            assert!(source.stream(name).is_err(), "{name}");
        }
        assert_eq!(
            source.read("honest").unwrap().as_deref(),
            Some(&b"text"[..])
        );
        assert_eq!(source.read("sessions").unwrap(), None);
    }
}
