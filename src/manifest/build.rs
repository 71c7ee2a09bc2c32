//! From objects in order of key to pages, in one pass, with one page of memory for each directory
//! that is open.

use super::ManifestError;
use super::page::{AFTER, Entry, FileEntry, HIDDEN, is_name};
use super::wire::put_counted;
use crate::types::limits;

/// The top directory's name for what the mount itself shows.
const RESERVED: &str = ".kluis";

/// An object of the version, in order of key.
pub struct Listed<'a> {
    /// Its key.
    pub key: &'a str,
    /// What the page says of it.
    pub file: FileEntry,
}

/// A page, ready to be sealed.
#[derive(Debug)]
pub struct Built {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many entries.
    pub entries: u32,
    /// The first entry's sort key.
    pub first: Vec<u8>,
    /// The last entry's sort key.
    pub last: Vec<u8>,
}

/// Some entries of one directory, encoded.
struct Run {
    directory: Vec<u8>,
    entries: Vec<u8>,
    count: u32,
    first: Vec<u8>,
    last: Vec<u8>,
    /// Whether a page of this directory was made already.
    split: bool,
    /// Names of files that a later directory here could have too: each a beginning of the next.
    names: Vec<Vec<u8>>,
}

impl Run {
    const fn new(directory: Vec<u8>) -> Self {
        Self {
            directory,
            entries: Vec::new(),
            count: 0,
            first: Vec::new(),
            last: Vec::new(),
            split: false,
            names: Vec::new(),
        }
    }

    fn push(&mut self, name: &[u8], entry: &Entry) -> Result<(), ManifestError> {
        let slash: &[u8] = match entry {
            Entry::Directory => b"/",
            Entry::File(_) => b"",
        };
        let key = [&self.directory[..], &[AFTER], name, slash].concat();
        // Keys must come in order: else pages would overlap.
        if key <= self.last {
            return Err(ManifestError::Form);
        }
        entry.encode(name, &mut self.entries)?;
        self.count = self.count.checked_add(1).ok_or(ManifestError::TooLarge)?;
        if self.count == 1 {
            self.first.clone_from(&key);
        }
        self.last = key;
        Ok(())
    }

    /// Whether a file of this name is here. Names are asked for in order.
    fn has_file(&mut self, name: &[u8]) -> bool {
        while self
            .names
            .last()
            .is_some_and(|known| !name.starts_with(known))
        {
            self.names.pop();
        }
        self.names.last().is_some_and(|known| known == name)
    }

    /// Takes what was gathered as a piece of a page.
    fn take(&mut self) -> Result<Option<Built>, ManifestError> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(self.entries.len().saturating_add(64));
        put_counted(&mut bytes, &self.directory)?;
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.append(&mut self.entries);
        self.split = true;
        Ok(Some(Built {
            bytes,
            entries: std::mem::take(&mut self.count),
            first: std::mem::take(&mut self.first),
            last: self.last.clone(),
        }))
    }
}

/// Makes pages.
pub struct Builder {
    /// The directories that are open, from the top down.
    open: Vec<Run>,
    hidden: Run,
    /// The page that small directories share.
    shared: Option<Built>,
    ready: Vec<Built>,
    hidden_count: u64,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            open: vec![Run::new(Vec::new())],
            hidden: Run::new(HIDDEN.to_vec()),
            shared: None,
            ready: Vec::new(),
            hidden_count: 0,
        }
    }
}

impl Builder {
    /// Adds the next object; pages that are complete by now.
    pub fn add(&mut self, listed: Listed<'_>) -> Result<Vec<Built>, ManifestError> {
        let key = listed.key.as_bytes();
        let entry = Entry::File(listed.file);
        let shown = shown_as(key);
        let opened = match shown {
            Some((directory, _)) => self.enter(directory)?,
            None => false,
        };
        match shown {
            Some((_, name)) if opened && !name.is_empty() => {
                if let Some(run) = self.open.last_mut() {
                    // Keeps those alone that this name begins with; they could be directories yet.
                    run.has_file(name);
                    run.names.push(name.to_vec());
                    run.push(name, &entry)?;
                    if run.entries.len() >= limits::MANIFEST_PAGE_BYTES {
                        let page = run.take()?;
                        self.ready.extend(page);
                    }
                }
            }
            _ => {
                self.hidden_count = self.hidden_count.saturating_add(1);
                self.hidden.push(key, &entry)?;
                if self.hidden.entries.len() >= limits::MANIFEST_PAGE_BYTES {
                    let page = self.hidden.take()?;
                    self.ready.extend(page);
                }
            }
        }
        Ok(std::mem::take(&mut self.ready))
    }

    /// Ends it: the last pages, and how many objects no directory shows.
    pub fn finish(mut self) -> Result<(Vec<Built>, u64), ManifestError> {
        while self.open.len() > 1 {
            self.close()?;
        }
        let hidden = std::mem::replace(&mut self.hidden, Run::new(Vec::new()));
        self.merge(hidden)?;
        self.close()?;
        self.ready.extend(self.shared.take());
        Ok((self.ready, self.hidden_count))
    }

    /// Opens the directories of a path, which ends with a slash or is empty, after closing those
    /// that it does not lie in. Not if a file has the name of one.
    fn enter(&mut self, path: &[u8]) -> Result<bool, ManifestError> {
        while let Some(run) = self.open.last() {
            if path.starts_with(&run.directory) {
                break;
            }
            self.close()?;
        }
        while let Some(run) = self.open.last_mut() {
            let Some(rest) = path
                .get(run.directory.len()..)
                .filter(|rest| !rest.is_empty())
            else {
                break;
            };
            let name = rest.split(|b| *b == b'/').next().unwrap_or_default();
            if run.has_file(name) {
                return Ok(false);
            }
            let below = [&run.directory[..], name, b"/"].concat();
            run.push(name, &Entry::Directory)?;
            let full = run.entries.len() >= limits::MANIFEST_PAGE_BYTES;
            let page = if full { run.take()? } else { None };
            self.ready.extend(page);
            self.open.push(Run::new(below));
        }
        Ok(true)
    }

    /// Closes the innermost directory.
    fn close(&mut self) -> Result<(), ManifestError> {
        match self.open.pop() {
            Some(run) => self.merge(run),
            None => Ok(()),
        }
    }

    /// Puts what is left of a directory where it belongs: pages must not overlap.
    fn merge(&mut self, mut run: Run) -> Result<(), ManifestError> {
        let split = run.split;
        let Some(piece) = run.take()? else {
            return Ok(());
        };
        if split {
            self.ready.extend(self.shared.take());
            self.ready.push(piece);
            return Ok(());
        }
        let Some(shared) = &mut self.shared else {
            self.shared = Some(piece);
            return Ok(());
        };
        let together = shared.bytes.len().saturating_add(piece.bytes.len());
        if together > limits::MANIFEST_PAGE_BYTES {
            self.ready.push(std::mem::replace(shared, piece));
            return Ok(());
        }
        shared.bytes.extend_from_slice(&piece.bytes);
        shared.entries = shared.entries.saturating_add(piece.entries);
        shared.last = piece.last;
        Ok(())
    }
}

/// Whether a key is that of a folder marker: it ends with a slash, and could be a directory's.
#[must_use]
pub fn is_marker(key: &str) -> bool {
    key.ends_with('/') && shown_as(key.as_bytes()).is_some()
}

/// Directory and name under which an object is shown; the name is empty for a directory's own
/// marker. `None` if no directory can show it.
fn shown_as(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let cut = key.iter().rposition(|b| *b == b'/');
    let (directory, name) = match cut {
        None => (&[][..], key),
        Some(at) => key.split_at(at.saturating_add(1)),
    };
    let mut path = directory.split(|b| *b == b'/');
    // The last piece, behind the last slash, is empty.
    path.next_back();
    let top = key.split(|b| *b == b'/').next();
    let sound =
        path.all(is_name) && (name.is_empty() || is_name(name)) && top != Some(RESERVED.as_bytes());
    sound.then_some((directory, name))
}
