//! How far a receiver has everything, in a file: replaced whole, durable when it is written.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StreamError;

const SCHEMA: &str = "kluis.cursor/1";

/// A place in the log, in entries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    schema: String,
    /// The log.
    origin: String,
    /// Everything that ended before this entry was taken.
    pub next: u64,
    /// The entry in which the oldest request began that had not ended by then; `next` if all had.
    pub from: u64,
}

impl Cursor {
    /// A place in a log.
    #[must_use]
    pub fn new(origin: &str, next: u64, from: u64) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            origin: origin.to_owned(),
            next,
            from: from.min(next),
        }
    }

    /// Reads the file; `None` where there is none.
    pub fn read(path: &Path, origin: &str) -> Result<Option<Self>, StreamError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let read: Option<Self> = serde_json::from_slice(&bytes).ok();
        let fits = |c: &Self| c.schema == SCHEMA && c.origin == origin && c.from <= c.next;
        let cursor = read.filter(fits);
        cursor
            .map(Some)
            .ok_or_else(|| StreamError::Cursor(path.display().to_string()))
    }

    /// Replaces the file.
    pub fn write(&self, path: &Path) -> Result<(), StreamError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let beside = PathBuf::from(name);
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside)?;
        let bytes = serde_json::to_vec(self).map_err(io::Error::from)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        Ok(())
    }
}
