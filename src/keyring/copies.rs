//! Copies of the directory of the keys that the ring keeps itself: a backup in which a key that was
//! destroyed is destroyed too.

use std::path::{Path, PathBuf};

use super::datasets::{key_file, versions_dir, versions_in};
use super::{KeyRing, KeyRingError, files};
use crate::types::DatasetId;

/// The files of a ring that are not a dataset's.
const RING_FILES: [&str; 2] = ["root.pub", "ring.age"];

/// Refuses a directory that is no ring's: a disk that is not mounted looks like one that holds
/// nothing to destroy.
pub(super) fn check(dir: &Path) -> Result<(), KeyRingError> {
    let ring = dir.join("ring.age");
    let failed = files::io_error("find the keys, or their copy,", &ring);
    std::fs::metadata(&ring).map(drop).map_err(failed)
}

impl KeyRing {
    /// Keeps these directories as copies, which [`Self::begin_copy`] began: from here on they have
    /// what the directory has, or nothing is made and nothing counts as destroyed.
    #[must_use]
    pub fn keeping(self, copies: Vec<PathBuf>) -> Self {
        Self { copies, ..self }
    }

    /// Brings what copies lack into them. One that is not there, or of another ring, is an error.
    pub fn mend_copies(&self) -> Result<(), KeyRingError> {
        let Some(dir) = &self.directory else {
            return Ok(());
        };
        for copy in &self.copies {
            check(copy)?;
            for name in RING_FILES {
                copy_file(&dir.join(name), &copy.join(name))?;
            }
            self.fill(dir, copy)?;
        }
        Ok(())
    }

    /// Begins a copy in a directory, which is made; from then on it is to be kept.
    pub fn begin_copy(&self, copy: &Path) -> Result<(), KeyRingError> {
        let Some(dir) = &self.directory else {
            return Ok(());
        };
        files::make_directory(&copy.join("datasets"))?;
        files::check_directory(copy)?;
        for name in RING_FILES {
            copy_file(&dir.join(name), &copy.join(name))?;
        }
        self.fill(dir, copy)
    }

    /// Brings every key into a copy.
    fn fill(&self, dir: &Path, copy: &Path) -> Result<(), KeyRingError> {
        for id in self.dataset_ids()? {
            for version in versions_in(dir, &id)? {
                copy_one(dir, copy, &id, version)?;
            }
        }
        Ok(())
    }

    /// The directories that are kept as copies.
    #[must_use]
    pub fn copies(&self) -> &[PathBuf] {
        &self.copies
    }

    /// Brings a key into every copy.
    pub(super) fn copy_key(&self, id: &DatasetId, version: u32) -> Result<(), KeyRingError> {
        let Some(dir) = &self.directory else {
            return Ok(());
        };
        for copy in &self.copies {
            check(copy)?;
            copy_one(dir, copy, id, version)?;
        }
        Ok(())
    }
}

fn copy_one(dir: &Path, copy: &Path, id: &DatasetId, version: u32) -> Result<(), KeyRingError> {
    let (from, to) = (key_file(dir, id, version), key_file(copy, id, version));
    // What is half destroyed is no longer brought anywhere: whoever began that ends it.
    if files::is_half_destroyed(&from)? {
        return Ok(());
    }
    if version > 1 {
        files::make_directory(&versions_dir(copy, id))?;
    }
    // Copies go first: until the directory's own goes, the key counts, and is whole everywhere.
    if to.exists() && files::is_half_destroyed(&to)? {
        return files::replace(&to, &files::read(&from)?);
    }
    copy_file(&from, &to)
}

/// Makes `to` what `from` is; one that is there and differs is another ring's.
fn copy_file(from: &Path, to: &Path) -> Result<(), KeyRingError> {
    put(to, &files::read(from)?)
}

/// Makes a file of these bytes, unless it is there with the same.
pub(super) fn put(to: &Path, bytes: &[u8]) -> Result<(), KeyRingError> {
    match files::read_if_there(to)? {
        Some(there) if **there == *bytes => Ok(()),
        Some(_other) => Err(KeyRingError::Exists { path: to.into() }),
        None => files::create(to, bytes),
    }
}
