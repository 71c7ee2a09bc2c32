//! The keys of datasets: made, looked up, destroyed, each version of each in a file of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{KeyRing, KeyRingError, files};
use crate::seal::keys::Label;
use crate::seal::{DatasetKey, open_bytes, seal_bytes};
use crate::types::limits::{DATASETS_MAX, KEY_VERSIONS_MAX};
use crate::types::{DatasetId, Entropy, Secret};

/// How a dataset's key file begins; key version (4) and a sealed record follow.
const KEY_MAGIC: [u8; 8] = *b"KLUISDK1";
/// The version of a dataset's first key.
const KEY_FIRST: u32 = 1;
/// Files of one dataset's keys that are looked at. More than are ever made: a bound that keeps keys
/// from being read would lose what they seal.
const FILES_MAX: usize = 4 * KEY_VERSIONS_MAX;
/// A floor above every version.
const FLOOR_ALL: u32 = u32::MAX;

impl KeyRing {
    /// Makes a dataset's first key; durable when it returns `Ok`, and only then may anything be
    /// sealed under it.
    pub fn create_dataset(
        &self,
        id: &DatasetId,
        entropy: &dyn Entropy,
    ) -> Result<(), KeyRingError> {
        self.create_key(id, KEY_FIRST, entropy)
    }

    /// Makes a dataset's key of a version, unless it is there: the newest one is what is sealed
    /// under from now on. Durable, in every copy too, when it returns `Ok`.
    pub fn ensure_key(
        &self,
        id: &DatasetId,
        version: u32,
        entropy: &dyn Entropy,
    ) -> Result<(), KeyRingError> {
        match self.create_key(id, version, entropy) {
            Err(KeyRingError::Exists { .. }) => self.copy_key(id, version),
            made => made,
        }?;
        self.forget_dataset(id);
        Ok(())
    }

    fn create_key(
        &self,
        id: &DatasetId,
        version: u32,
        entropy: &dyn Entropy,
    ) -> Result<(), KeyRingError> {
        if self.floor(id) > version {
            return Err(KeyRingError::NotFound);
        }
        let secret = Secret::random(entropy).map_err(KeyRingError::Entropy)?;
        let Some(dir) = &self.directory else {
            return self.create_in_memory(id, DatasetKey { secret, version });
        };
        let there = versions_in(dir, id)?;
        if there.contains(&version) {
            let path = key_file(dir, id, version);
            return Err(KeyRingError::Exists { path });
        }
        if there.len() >= KEY_VERSIONS_MAX {
            return Err(KeyRingError::TooMany {
                path: versions_dir(dir, id),
            });
        }
        let context = key_context(id, version);
        let sealed = seal_bytes(
            &self.keys.datasets,
            Label::DatasetKey,
            &context,
            secret.expose(),
            entropy,
        )
        .map_err(KeyRingError::Seal)?;
        let file = [&KEY_MAGIC[..], &version.to_be_bytes(), &sealed].concat();
        // What a copy has already was made for a directory that failed after it. Nothing was
        // sealed under it, or the directory has lost it: either way it is the key of this version.
        let file = match self.of_copies(id, version)? {
            Some(there) => there.to_vec(),
            None => file,
        };
        // The directory last: a key counts from when it is there, and then every copy has it.
        for dir in self.copies.iter().chain([dir]) {
            if version > KEY_FIRST {
                files::make_directory(&versions_dir(dir, id))?;
            }
            super::copies::put(&key_file(dir, id, version), &file)?;
        }
        Ok(())
    }

    /// A key of this version that some copy has.
    fn of_copies(
        &self,
        id: &DatasetId,
        version: u32,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyRingError> {
        for copy in &self.copies {
            super::copies::check(copy)?;
            let path = key_file(copy, id, version);
            if let Some(file) = files::read_if_there(&path)? {
                // Of this ring, dataset and version, or it is not taken over.
                self.load_one(id, version, &path)?;
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn create_in_memory(&self, id: &DatasetId, key: DatasetKey) -> Result<(), KeyRingError> {
        let mut state = self.write();
        let keys = state.open.entry(*id).or_default();
        if keys.iter().any(|there| there.version == key.version) {
            let path = PathBuf::from(id.to_string());
            return Err(KeyRingError::Exists { path });
        }
        keys.push(Arc::new(key));
        keys.sort_by_key(|key| key.version);
        Ok(())
    }

    /// The key that a dataset's new rows are sealed under: its newest. The first call for a dataset
    /// reads its files, the others only memory.
    pub fn dataset(&self, id: &DatasetId) -> Result<Arc<DatasetKey>, KeyRingError> {
        self.pick(id, |keys| keys.last().map(Arc::clone))
    }

    /// A dataset's key of one version.
    pub fn dataset_at(
        &self,
        id: &DatasetId,
        version: u32,
    ) -> Result<Arc<DatasetKey>, KeyRingError> {
        let of = |keys: &[Arc<DatasetKey>]| {
            let mut keys = keys.iter();
            keys.find(|key| key.version == version).map(Arc::clone)
        };
        match self.pick(id, of) {
            // Another process may have made it since the files were read.
            Err(KeyRingError::NotFound) if self.directory.is_some() => {
                self.forget_dataset(id);
                self.pick(id, of)
            }
            found => found,
        }
    }

    /// The versions of the keys that a dataset has, in order.
    pub fn versions_of(&self, id: &DatasetId) -> Result<Vec<u32>, KeyRingError> {
        let Some(dir) = &self.directory else {
            let state = self.read();
            let keys = state.open.get(id).map(Vec::as_slice).unwrap_or_default();
            return Ok(keys.iter().map(|key| key.version).collect());
        };
        versions_in(dir, id)
    }

    fn pick(
        &self,
        id: &DatasetId,
        pick: impl Fn(&[Arc<DatasetKey>]) -> Option<Arc<DatasetKey>>,
    ) -> Result<Arc<DatasetKey>, KeyRingError> {
        if let Some(keys) = self.read().open.get(id) {
            return pick(keys).ok_or(KeyRingError::NotFound);
        }
        let dir = self.directory.as_ref().ok_or(KeyRingError::NotFound)?;
        let mut keys = self.load(dir, id)?;
        let mut state = self.write();
        let floor = state.floors.get(id).copied().unwrap_or_default();
        keys.retain(|key| key.version >= floor);
        if keys.is_empty() {
            return Err(KeyRingError::NotFound);
        }
        if state.open.len() >= DATASETS_MAX {
            state.open.clear();
        }
        // Another task may have loaded them meanwhile: all share one copy.
        let keys = state.open.entry(*id).or_insert(keys);
        pick(keys).ok_or(KeyRingError::NotFound)
    }

    fn load(&self, dir: &Path, id: &DatasetId) -> Result<Vec<Arc<DatasetKey>>, KeyRingError> {
        match self.load_all(dir, id) {
            // A destruction of several that ran beside the reading goes the same way: what it
            // reached behind the first look is gone at the second.
            Err(KeyRingError::Damaged { .. }) => self.load_all(dir, id),
            loaded => loaded,
        }
    }

    fn load_all(&self, dir: &Path, id: &DatasetId) -> Result<Vec<Arc<DatasetKey>>, KeyRingError> {
        let mut keys = Vec::new();
        let mut half_gone = None;
        for version in versions_in(dir, id)? {
            let path = key_file(dir, id, version);
            match self.load_one(id, version, &path) {
                // Destroyed in between.
                Err(KeyRingError::NotFound) => {}
                // Older ones go first: behind a key that is whole, zeros are a damage.
                Err(KeyRingError::Damaged { path })
                    if keys.is_empty() && files::is_half_destroyed(&path)? =>
                {
                    half_gone = Some(path);
                }
                loaded => keys.push(Arc::new(loaded?)),
            }
        }
        match half_gone {
            // Nothing newer stands for it: a disk that lost a key looks like this, too.
            Some(path) if keys.is_empty() => Err(KeyRingError::Damaged { path }),
            _passed_over => Ok(keys),
        }
    }

    fn load_one(
        &self,
        id: &DatasetId,
        version: u32,
        path: &Path,
    ) -> Result<DatasetKey, KeyRingError> {
        let file = files::read_if_there(path)?.ok_or(KeyRingError::NotFound)?;
        let damaged = || KeyRingError::Damaged { path: path.into() };
        let rest = file.strip_prefix(&KEY_MAGIC).ok_or_else(damaged)?;
        let (found, sealed) = rest.split_first_chunk().ok_or_else(damaged)?;
        if u32::from_be_bytes(*found) != version {
            return Err(damaged());
        }
        let context = key_context(id, version);
        let plain = open_bytes(&self.keys.datasets, Label::DatasetKey, &context, sealed)
            .map_err(|_not_authentic| damaged())?;
        let plain: &[u8; 32] = plain
            .as_slice()
            .try_into()
            .map_err(|_length: std::array::TryFromSliceError| damaged())?;
        let secret = Secret::fill_with(|out| {
            *out = *plain;
            Ok::<(), KeyRingError>(())
        })?;
        Ok(DatasetKey { secret, version })
    }

    /// Destroys a dataset's keys, for good: nothing sealed under them can be opened again. What is
    /// in the named copies of the directory goes first; a key that a running read still uses is
    /// not reached. [`KeyRingError::NotFound`] where there was none.
    pub fn destroy_dataset(&self, id: &DatasetId) -> Result<(), KeyRingError> {
        match self.destroy_below(id, FLOOR_ALL)? {
            0 => Err(KeyRingError::NotFound),
            _some => Ok(()),
        }
    }

    /// Destroys a dataset's keys below a version; how many there were.
    pub fn destroy_below(&self, id: &DatasetId, floor: u32) -> Result<usize, KeyRingError> {
        // Forgotten first: from here on no reader gets them, whatever becomes of the files.
        let known = {
            let mut state = self.write();
            let before = state.floors.entry(*id).or_default();
            *before = floor.max(*before);
            let keys = state.open.remove(id).unwrap_or_default();
            let (gone, kept): (Vec<_>, Vec<_>) =
                keys.into_iter().partition(|key| key.version < floor);
            if self.directory.is_none() && !kept.is_empty() {
                state.open.insert(*id, kept);
            }
            gone.len()
        };
        let Some(dir) = &self.directory else {
            return Ok(known);
        };
        let mut destroyed = 0;
        for dir in self.copies.iter().chain([dir]) {
            super::copies::check(dir)?;
            destroyed = destroy_in(dir, id, floor)?.max(destroyed);
        }
        Ok(destroyed)
    }

    /// Drops a dataset's keys from memory, so that the next use reads their files: for gateways
    /// that share a directory, when another may have made or destroyed one.
    pub fn forget_dataset(&self, id: &DatasetId) {
        if self.directory.is_some() {
            self.write().open.remove(id);
        }
    }

    /// Drops the keys of all datasets from memory.
    pub fn forget_datasets(&self) {
        if self.directory.is_some() {
            self.write().open.clear();
        }
    }

    /// All datasets that have a key, in order of id.
    pub fn dataset_ids(&self) -> Result<Vec<DatasetId>, KeyRingError> {
        let mut ids = match &self.directory {
            Some(dir) => ids_in(&dir.join("datasets"))?,
            None => self.read().open.keys().copied().collect(),
        };
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Below which version this process destroyed keys of a dataset.
    fn floor(&self, id: &DatasetId) -> u32 {
        self.read().floors.get(id).copied().unwrap_or_default()
    }
}

/// Where a version of a dataset's key lies in a directory of keys.
pub(super) fn key_file(dir: &Path, id: &DatasetId, version: u32) -> PathBuf {
    if version == KEY_FIRST {
        return dir.join("datasets").join(format!("{id}.key"));
    }
    versions_dir(dir, id).join(format!("{version}.key"))
}

/// Where all but the first lie.
pub(super) fn versions_dir(dir: &Path, id: &DatasetId) -> PathBuf {
    dir.join("datasets").join(format!("{id}.d"))
}

/// The versions that lie in a directory of keys, in order; whatever else lies there is passed over.
pub(super) fn versions_in(dir: &Path, id: &DatasetId) -> Result<Vec<u32>, KeyRingError> {
    let mut versions = Vec::new();
    let first = key_file(dir, id, KEY_FIRST);
    // What cannot be looked at is no key that is not there.
    let there = first.try_exists();
    if there.map_err(files::io_error("look for the key file", &first))? {
        versions.push(KEY_FIRST);
    }
    let later = versions_dir(dir, id);
    let failed = files::io_error("list the keys of a dataset", &later);
    let entries = match fs::read_dir(&later) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(versions),
        entries => entries.map_err(&failed)?,
    };
    for entry in entries {
        let name = entry.map_err(&failed)?.file_name();
        let text = name.to_str().and_then(|name| name.strip_suffix(".key"));
        let version = text.and_then(|text| text.parse::<u32>().ok());
        let canonical = |version: &u32| {
            *version > KEY_FIRST && text.is_some_and(|text| version.to_string() == text)
        };
        versions.extend(version.filter(canonical));
        if versions.len() > FILES_MAX {
            return Err(KeyRingError::TooMany { path: later });
        }
    }
    versions.sort_unstable();
    Ok(versions)
}

/// Destroys what lies in a directory of keys below a version; how many.
fn destroy_in(dir: &Path, id: &DatasetId, floor: u32) -> Result<usize, KeyRingError> {
    let mut destroyed: usize = 0;
    for version in versions_in(dir, id)? {
        if version >= floor {
            break;
        }
        match files::destroy(&key_file(dir, id, version)) {
            Err(KeyRingError::NotFound) => {}
            gone => gone?,
        }
        destroyed = destroyed.saturating_add(1);
    }
    Ok(destroyed)
}

/// What a wrapped dataset key is bound to: `dataset id ‖ key version`.
fn key_context(id: &DatasetId, version: u32) -> Vec<u8> {
    [&id.as_bytes()[..], &version.to_be_bytes()].concat()
}

/// The ids that name a key here; whatever else lies there is passed over.
fn ids_in(dir: &Path) -> Result<Vec<DatasetId>, KeyRingError> {
    let failed = files::io_error("list the keys of the datasets", dir);
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir).map_err(&failed)? {
        let path = entry.map_err(&failed)?.path();
        let stem = path.file_stem().and_then(OsStr::to_str);
        let Some(id) = stem.and_then(|stem| stem.parse().ok()) else {
            continue;
        };
        let extension = path.extension().and_then(OsStr::to_str);
        let holds = match extension {
            Some("key") => true,
            Some("d") => fs::read_dir(&path).map_err(&failed)?.next().is_some(),
            _other => false,
        };
        if holds {
            ids.push(id);
        }
        if ids.len() > DATASETS_MAX.saturating_mul(2) {
            return Err(KeyRingError::TooMany { path: dir.into() });
        }
    }
    Ok(ids)
}
