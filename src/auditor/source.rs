//! A directory as the source of a verification.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::ledger::evidence::Source;
use crate::ledger::tlog::{Node, ProofError, Tile};
use crate::types::limits::LOG_FILE_BYTES_MAX;

/// A bundle, or a log's directory. Names come from tiles and constants, never from a file.
pub(super) struct DirSource(PathBuf);

/// Why a proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum HashError {
    /// The log has no such entry or size.
    #[error("the log has no such entry or size")]
    Range(#[from] ProofError),
    /// A tile that is missing or has another length.
    #[error("{0} is missing or damaged")]
    Tile(String),
    /// The disk.
    #[error("a tile cannot be read")]
    Io(#[from] io::Error),
}

impl DirSource {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    fn open(&self, name: &str) -> io::Result<Option<File>> {
        match File::open(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }

    /// The hash of a full subtree, in the tree of `size` entries.
    pub(super) fn node(
        &mut self,
        node: Node,
        size: u64,
    ) -> Result<crate::ledger::tlog::Hash, HashError> {
        let beyond = || HashError::Range(ProofError::Range);
        let tile = Tile::holding(node, size).ok_or_else(beyond)?;
        let damaged = || HashError::Tile(tile.to_string());
        let bytes = match self.read(&tile.to_string())? {
            None => self.read(&Tile { width: 256, ..tile }.to_string())?,
            there => there,
        };
        let mut bytes = bytes.ok_or_else(damaged)?;
        bytes.truncate(usize::from(tile.width).saturating_mul(32));
        let hashes = tile.hashes(&bytes).map_err(|_length| damaged())?;
        Tile::node(node, &hashes).ok_or_else(beyond)
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
