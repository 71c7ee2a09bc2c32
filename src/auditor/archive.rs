//! The log's volumes where they are kept: the store, below a prefix of their own, and an index of
//! them beside the log, which is made again from the store where it is missing.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::entries::broken;
use crate::app::system::SystemEntropy;
use crate::app::{create_dir, log_keys, log_origin, open_store, write_file};
use crate::archive::{ArchiveError, Index, Place, Row, Volume, VolumeKeys, rows_of};
use crate::cli::open::{Desk, refuse};
use crate::cli::output::{CliError, Exit};
use crate::config::{Config, StoreKind};
use crate::keyring::KeyRing;
use crate::notary::NotaryKeys;
use crate::store::{SharedStore, StoreError};
use crate::types::limits::{ARCHIVE_VOLUME_BYTES_MAX, ARCHIVE_VOLUMES_MAX, PAGE_ENTRIES_MAX};
use crate::types::{BlobId, Entropy as _};

/// What the log is read with, taken from the key ring once its use is recorded.
pub(super) struct LogKeys {
    pub(super) origin: String,
    pub(super) notary: NotaryKeys,
    pub(super) volumes: VolumeKeys,
}

impl LogKeys {
    pub(super) fn of(config: &Config, keyring: &KeyRing) -> Self {
        Self {
            origin: log_origin(config, keyring),
            notary: log_keys(keyring),
            volumes: VolumeKeys::new(keyring.log_files_key()),
        }
    }
}

/// The volumes of a log.
pub(super) struct Archive {
    pub(super) keys: LogKeys,
    pub(super) index: Index,
    pub(super) store: SharedStore,
    path: PathBuf,
}

/// A volume that does not open, in words.
pub(super) fn unreadable(error: &ArchiveError) -> CliError {
    CliError::of(Exit::No, error).hint(
        "keep store and log for those who investigate; the journal may still hold the records",
    )
}

pub(super) fn away(error: &StoreError) -> CliError {
    let exit = match error {
        StoreError::NotFound | StoreError::Length => Exit::No,
        StoreError::Throttled
        | StoreError::Timeout
        | StoreError::Full
        | StoreError::Denied
        | StoreError::Aborted(_)
        | StoreError::Failed { .. } => Exit::Unavailable,
    };
    let error = CliError::of(exit, error);
    CliError::new(exit, format!("a volume cannot be had: {}", error.message()))
}

/// The store of volumes: the vault's own, below `log`.
fn beside(config: &Config) -> Config {
    let mut config = config.clone();
    match config.store.kind {
        StoreKind::Local => config.store.path.push("log"),
        StoreKind::S3 => {
            let prefix = config.store.prefix.take().unwrap_or_default();
            config.store.prefix = Some(format!("{prefix}log/"));
        }
    }
    config
}

impl Archive {
    /// Opens it; makes the index again where there is none.
    pub(super) async fn open(desk: Desk<'_>, keys: LogKeys) -> Result<Self, CliError> {
        let config = desk.config()?;
        let store = open_store(&beside(&config), desk.environment, true).await;
        let mut archive = Self {
            index: Index::new(&keys.origin),
            store: store.map_err(|error| refuse(&error))?,
            path: config.proof.dir.join("volumes"),
            keys,
        };
        let wrong = |error: &dyn std::error::Error| {
            CliError::of(Exit::No, error).hint(
                "move the index (`volumes` in `proof.dir`) away: it is made again from the store",
            )
        };
        archive.index = match std::fs::read(&archive.path) {
            Ok(bytes) => Index::parse(&bytes).map_err(|error| wrong(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let found = archive.find().await?;
                Index::of(&archive.keys.origin, found).map_err(|error| wrong(&error))?
            }
            Err(error) => return Err(CliError::of(Exit::Usage, &error)),
        };
        if archive.index.origin != archive.keys.origin {
            return Err(broken("the index of volumes is another log's"));
        }
        Ok(archive)
    }

    /// Keeps others from adding volumes while the file lives.
    pub(super) fn lock(&self) -> Result<File, CliError> {
        let folder = self.path.parent().map(std::path::Path::to_owned);
        create_dir(&folder.unwrap_or_default())?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let file = options.open(self.path.with_extension("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(CliError::new(
                Exit::Unavailable,
                "another process makes volumes of this log",
            )),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Looks at everything that is in the store. What does not open there is not this log's.
    async fn find(&self) -> Result<Vec<Place>, CliError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.list(after, PAGE_ENTRIES_MAX).await;
            let page = page.map_err(|error| away(&error))?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = Some(last.id);
            for entry in &page {
                let bytes = self.get(entry.id, entry.bytes).await?;
                let volume = Volume::find(&self.keys.volumes, bytes);
                if let Ok(volume) = volume
                    && volume.meta.origin == self.keys.origin
                {
                    let place = placed(&volume, entry.id, entry.bytes);
                    found.push(place.map_err(|error| unreadable(&error))?);
                }
            }
            if found.len() > ARCHIVE_VOLUMES_MAX {
                return Err(CliError::new(Exit::No, "too many volumes"));
            }
        }
    }

    async fn get(&self, id: BlobId, bytes: u64) -> Result<Bytes, CliError> {
        if bytes == 0 || bytes > ARCHIVE_VOLUME_BYTES_MAX {
            return Err(broken("a volume has a length that none has"));
        }
        let stream = self.store.get(id, 0..bytes, bytes).await;
        let mut stream = stream.map_err(|error| away(&error))?;
        let mut whole = BytesMut::new();
        while let Some(piece) = stream.next().await {
            whole.extend_from_slice(&piece.map_err(|error| away(&error))?);
        }
        Ok(whole.freeze())
    }

    /// Reads a volume whole.
    pub(super) async fn volume(&self, place: &Place) -> Result<Volume, CliError> {
        let id = place
            .blob()
            .map_err(|error| CliError::of(Exit::No, &error))?;
        let bytes = self.get(id, place.bytes).await?;
        let volume = Volume::open(&self.keys.volumes, &place.meta, bytes);
        volume.map_err(|error| unreadable(&error))
    }

    /// Writes a volume into the store; it is no part of the log yet.
    pub(super) async fn put(&self, bytes: Bytes) -> Result<BlobId, CliError> {
        let mut id = [0; 16];
        let drawn = SystemEntropy::new().fill(&mut id);
        drawn.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        let id = BlobId::from_bytes(id);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if len > ARCHIVE_VOLUME_BYTES_MAX {
            return Err(CliError::new(Exit::No, "a volume is too large"));
        }
        let body = Box::pin(stream::once(std::future::ready(Ok(bytes))));
        let put = self.store.put(id, len, body).await;
        put.map_err(|error| away(&error))?;
        Ok(id)
    }

    /// Adds a volume that was read back and held against the log: from here on it counts.
    pub(super) fn add(&mut self, volume: &Volume, id: BlobId, bytes: u64) -> Result<(), CliError> {
        let place = placed(volume, id, bytes).map_err(|error| unreadable(&error))?;
        let wrong = |error| CliError::of(Exit::No, &error);
        self.index.push(place).map_err(wrong)?;
        self.save()
    }

    /// Writes the index.
    pub(super) fn save(&self) -> Result<(), CliError> {
        let bytes = self.index.encode();
        let bytes = bytes.map_err(|error| CliError::of(Exit::No, &error))?;
        Ok(write_file(&self.path, &bytes, 0o600)?)
    }

    /// The requests of a lane that are open where its volumes end.
    pub(super) async fn open_of(&self, lane: &str) -> Result<Vec<Row>, CliError> {
        let Some(place) = self.index.last_of(lane) else {
            return Ok(Vec::new());
        };
        let volume = self.volume(place).await?;
        let mut open = Vec::new();
        let read = rows_of(&volume, |row| {
            if row.is_open() {
                open.push(row);
            }
            Ok(())
        });
        read.map_err(|error| unreadable(&error))?;
        Ok(open)
    }
}

/// Where a volume is, with the moments that are in it.
fn placed(volume: &Volume, id: BlobId, bytes: u64) -> Result<Place, ArchiveError> {
    let mut times = (u64::MAX, 0_u64);
    let mut rows = 0_u64;
    rows_of(volume, |row| {
        rows = rows.saturating_add(1);
        let end = row.end.as_ref().map(|(_, end)| end.time);
        for time in row
            .entry
            .begun()
            .into_iter()
            .chain(row.entry.time())
            .chain(end)
        {
            times = (times.0.min(time.millis()), times.1.max(time.millis()));
        }
        Ok(())
    })?;
    Ok(Place::new(volume.meta.clone(), id, bytes, times, rows))
}
