//! The log's volumes where they are kept: the store, below a prefix of their own, and an index of
//! them beside the log, which is made again from the store where it is missing.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::entries::broken;
use super::expire::kept_by;
use super::worm::{Locks, Settled, Swept, blob, held_until};
use crate::app::system::{SystemClock, SystemEntropy};
use crate::app::{Opened, VolumeStore, create_dir, log_keys, log_origin, open_volumes, write_file};
use crate::archive::{
    ArchiveError, Index, Meta, Place, Row, Volume, VolumeKeys, rows_of, write_volume,
};
use crate::cli::open::{Desk, refuse};
use crate::cli::output::{CliError, Exit};
use crate::config::Config;
use crate::ledger::{Kept, Segment};
use crate::notary::NotaryKeys;
use crate::store::locked::{VersionId, says_no};
use crate::store::{BlobEntry, BlobStream, SharedStore, StoreError};
use crate::types::limits::{ARCHIVE_VOLUME_BYTES_MAX, ARCHIVE_VOLUMES_MAX, PAGE_ENTRIES_MAX};
use crate::types::{BlobId, Clock as _, Entropy as _, Timestamp};

/// What the log is read with, taken from the key ring once its use is recorded.
pub(super) struct LogKeys {
    pub(super) origin: String,
    pub(super) notary: NotaryKeys,
    pub(super) volumes: VolumeKeys,
    /// How long records are kept, and when that was asked.
    pub(super) kept: Kept,
    pub(super) now: Timestamp,
}

impl LogKeys {
    pub(super) async fn of(config: &Config, opened: &Opened) -> Result<Self, CliError> {
        let keyring = &opened.keyring;
        Ok(Self {
            origin: log_origin(config, keyring),
            notary: log_keys(keyring),
            volumes: VolumeKeys::new(keyring.log_files_key()),
            kept: kept_by(opened).await?,
            now: SystemClock.now(),
        })
    }
}

/// The volumes of a log.
pub(super) struct Archive {
    pub(super) keys: LogKeys,
    pub(super) index: Index,
    /// The store, in which locked volumes are read by their versions.
    pub(super) store: SharedStore,
    /// Its locks, where it is of a kind that can have them.
    pub(super) locks: Option<Locks>,
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
        | StoreError::Taken
        | StoreError::Kept { .. }
        | StoreError::Aborted(_)
        | StoreError::Failed { .. } => Exit::Unavailable,
    };
    let error = CliError::of(exit, error);
    CliError::new(exit, format!("a volume cannot be had: {}", error.message()))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::of(Exit::Usage, &error)),
    }
}

impl Archive {
    /// Opens it; makes the index again where there is none.
    pub(super) async fn open(desk: Desk<'_>, keys: LogKeys) -> Result<Self, CliError> {
        let config = desk.config()?;
        let volumes = open_volumes(&config, desk.environment, true).await;
        let volumes = volumes.map_err(|error| refuse(&error))?;
        Self::over(volumes, (&config.proof.dir, &config.journal.dir), keys).await
    }

    /// Opens the one in this store, whose index is beside this log. An index that is made again
    /// lacks what the store took away, so it must hold all that is in the log and not over.
    pub(super) async fn over(
        volumes: impl Into<VolumeStore>,
        (log, journal): (&Path, &Path),
        keys: LogKeys,
    ) -> Result<Self, CliError> {
        let (store, locks) = Locks::over(volumes.into());
        let mut archive = Self {
            index: Index::new(&keys.origin),
            store,
            locks,
            path: log.join("volumes"),
            keys,
        };
        let wrong = |error: &dyn std::error::Error| {
            CliError::of(Exit::No, error).hint(
                "move the index (`volumes` in `proof.dir`) away: it is made again from the store",
            )
        };
        let kept = read(&archive.path)?;
        let index = match &kept {
            Some(bytes) => Index::parse(bytes),
            None => Index::of(&archive.keys.origin, archive.find().await?),
        };
        archive.index = index.map_err(|error| wrong(&error))?;
        archive.pin()?;
        if kept.is_none() {
            super::whole::check(&archive.index, (log, journal), &archive.keys)?;
        }
        if archive.index.origin != archive.keys.origin {
            return Err(broken("the index of volumes is another log's"));
        }
        Ok(archive)
    }

    /// Reads the index again, which another process may have written since.
    fn reload(&mut self) -> Result<(), CliError> {
        if let Some(bytes) = read(&self.path)? {
            let index = Index::parse(&bytes);
            self.index = index.map_err(|error| CliError::of(Exit::No, &error))?;
        }
        self.pin()
    }

    /// Locked volumes are read by their versions from here on.
    fn pin(&self) -> Result<(), CliError> {
        self.locks
            .as_ref()
            .map_or(Ok(()), |locks| locks.pin(&self.index))
    }

    /// Keeps others from working on the volumes while the file lives; the index is as they left it.
    pub(super) fn lock(&mut self) -> Result<File, CliError> {
        let folder = self.path.parent().map(Path::to_owned);
        create_dir(&folder.unwrap_or_default())?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let file = options.open(self.path.with_extension("lock"))?;
        match file.try_lock() {
            Ok(()) => self.reload().map(|()| file),
            Err(TryLockError::WouldBlock) => Err(CliError::new(
                Exit::Unavailable,
                "another process makes volumes of this log",
            )),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Looks at everything that is in the store. What does not open there is not this log's.
    async fn find(&self) -> Result<Vec<Place>, CliError> {
        if let Some(locks) = &self.locks
            && locks.are_there(&self.index).await?
        {
            return locks.find(&self.keys).await;
        }
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

    pub(super) async fn get(&self, id: BlobId, bytes: u64) -> Result<Bytes, CliError> {
        within(bytes)?;
        gather(self.store.get(id, 0..bytes, bytes).await).await
    }

    /// That the store has a volume, as long as the index says; no more than its beginning is read.
    pub(super) async fn look_for(&self, place: &Place) -> Result<(), CliError> {
        within(place.bytes)?;
        let stream = self.store.get(blob(place)?, 0..1, place.bytes).await;
        gather(stream).await.map(drop)
    }

    /// Reads a volume whole.
    pub(super) async fn volume(&self, place: &Place) -> Result<Volume, CliError> {
        let bytes = self.get(blob(place)?, place.bytes).await?;
        let volume = Volume::open(&self.keys.volumes, &place.meta, bytes);
        volume.map_err(|error| unreadable(&error))
    }

    /// Writes a volume into the store; it is no part of the log yet.
    async fn put(&self, bytes: Bytes) -> Result<(BlobId, Option<VersionId>), CliError> {
        let mut id = [0; 16];
        let drawn = SystemEntropy::new().fill(&mut id);
        drawn.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        let id = BlobId::from_bytes(id);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        within(len)?;
        if let Some(locks) = &self.locks
            && let Some(mode) = locks.mode
        {
            let version = locks.try_out(id, bytes, (mode, self.keys.now)).await?;
            return Ok((id, Some(version)));
        }
        let body = Box::pin(stream::once(std::future::ready(Ok(bytes))));
        let put = self.store.put(id, len, body).await;
        put.map_err(|error| away(&error))?;
        Ok((id, None))
    }

    /// Writes a volume and reads it back from the store: what came back.
    pub(super) async fn settle(&self, meta: &Meta, rows: &[Row]) -> Result<Settled, CliError> {
        let bytes = write_volume(&self.keys.volumes, meta, rows, &SystemEntropy::new());
        let bytes = bytes.map_err(|error| unreadable(&error))?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let (id, version) = self.put(bytes).await?;
        let back = match (&self.locks, &version) {
            (Some(locks), Some(version)) => locks.get(id, version, len).await?,
            (Some(_) | None, _) => self.get(id, len).await?,
        };
        let volume = Volume::open(&self.keys.volumes, meta, back);
        Ok(Settled {
            volume: volume.map_err(|error| unreadable(&error))?,
            id,
            bytes: len,
            version,
        })
    }

    /// Where what was settled is, locked for as long as its records are kept.
    async fn place(&self, settled: &Settled, segments: &[Segment]) -> Result<Place, CliError> {
        let place = placed(&settled.volume, settled.id, settled.bytes);
        let place = place.map_err(|error| unreadable(&error))?;
        let (Some(locks), Some(version)) = (&self.locks, &settled.version) else {
            return Ok(place);
        };
        let until = held_until(segments, &place, &self.keys);
        let held = locks.hold(settled.id, version, until).await?;
        Ok(place.held(Some(held)))
    }

    /// Puts another index in the place of this one: on disk first, so that nothing is done by one
    /// that the next process does not find. Where terms have changed since the locks were looked
    /// at, they are looked at again.
    fn succeed(&mut self, mut next: Index) -> Result<(), CliError> {
        let mode = self.locks.as_ref().and_then(|locks| locks.mode);
        let terms = mode.map(|mode| super::renew::terms(&self.keys, mode));
        if next.terms != terms {
            next.terms = None;
        }
        self.write(&next)?;
        self.index = next;
        self.pin()
    }

    /// Puts a volume that holds less in the place of the one of its run: from here on it counts.
    pub(super) async fn replace(
        &mut self,
        settled: &Settled,
        segments: &[Segment],
    ) -> Result<(), CliError> {
        let place = self.place(settled, segments).await?;
        let wrong = |error| CliError::of(Exit::No, &error);
        let mut next = self.index.clone();
        next.replace(place).map_err(wrong)?;
        self.succeed(next)
    }

    /// Leaves out what holds nothing any more and removes everything from the store that the index
    /// has no use for: what was replaced, and what a crash left. What is locked there waits.
    ///
    /// Of what is not in the index only a volume of this log goes whose records all come before the
    /// end of the indexed ones: an index that is older than the store loses nothing.
    pub(super) async fn sweep(&mut self, over: Timestamp) -> Result<Swept, CliError> {
        if !self.index.forget_empty().is_empty() {
            self.save()?;
        }
        if let Some(locks) = &self.locks
            && locks.are_there(&self.index).await?
        {
            return locks.sweep(self, over).await;
        }
        let named: Result<BTreeSet<BlobId>, _> =
            self.index.volumes().iter().map(Place::blob).collect();
        let named = named.map_err(|error| CliError::of(Exit::No, &error))?;
        let mut swept = Swept::default();
        let mut missing = named.clone();
        let mut after = None;
        loop {
            let page = self.store.list(after, PAGE_ENTRIES_MAX).await;
            let page = page.map_err(|error| away(&error))?;
            let Some(last) = page.last() else {
                swept.missing.extend(missing);
                return Ok(swept);
            };
            after = Some(last.id);
            for entry in &page {
                if named.contains(&entry.id) {
                    missing.remove(&entry.id);
                } else {
                    self.sweep_one(entry, over, &mut swept).await?;
                }
            }
        }
    }

    /// Removes one that the index does not name, if it is a volume that nothing needs. One that
    /// cannot be read or removed keeps no other.
    async fn sweep_one(
        &self,
        entry: &BlobEntry,
        over: Timestamp,
        swept: &mut Swept,
    ) -> Result<(), CliError> {
        let bytes = match self.get(entry.id, entry.bytes).await {
            Ok(bytes) => bytes,
            Err(error) if error.exit() == Exit::No => return Ok(()),
            Err(error) => return Err(error),
        };
        let Ok(volume) = Volume::find(&self.keys.volumes, bytes) else {
            return Ok(());
        };
        if self.is_superseded(&volume, over)? {
            match self.store.delete(entry.id).await {
                Ok(()) => swept.gone = swept.gone.saturating_add(1),
                Err(error) if says_no(&error) => swept.kept = swept.kept.saturating_add(1),
                Err(error) => return Err(away(&error)),
            }
        }
        Ok(())
    }

    /// Whether the index holds these records in another volume, or let them go with the time of all
    /// that was recorded `over` then.
    pub(super) fn is_superseded(&self, volume: &Volume, over: Timestamp) -> Result<bool, CliError> {
        let meta = &volume.meta;
        let lane: Vec<&Place> = self.index.of_lane(&meta.lane).collect();
        let (Some(first), Some(last)) = (lane.first(), lane.last()) else {
            return Ok(false);
        };
        if meta.origin != self.keys.origin || meta.end > last.meta.end {
            return Ok(false);
        }
        if let Some(known) = lane.iter().find(|known| known.meta.is_of(meta)) {
            // A form that is newer than the one in the index may be all there is of it.
            return Ok(known.meta.expired().is_superset(&meta.expired()));
        }
        if meta.end <= first.meta.first {
            let place = placed(volume, BlobId::from_bytes([0; 16]), 0);
            let place = place.map_err(|error| unreadable(&error))?;
            return Ok(place.newest_ms < over.millis());
        }
        Ok(meta.first >= first.meta.first)
    }

    /// Adds a volume that was read back and held against the log: from here on it counts.
    pub(super) async fn add(
        &mut self,
        settled: &Settled,
        segments: &[Segment],
    ) -> Result<(), CliError> {
        let place = self.place(settled, segments).await?;
        let wrong = |error| CliError::of(Exit::No, &error);
        let mut next = self.index.clone();
        next.push(place).map_err(wrong)?;
        self.succeed(next)
    }

    /// Writes the index.
    pub(super) fn save(&self) -> Result<(), CliError> {
        self.write(&self.index)?;
        self.pin()
    }

    fn write(&self, index: &Index) -> Result<(), CliError> {
        let bytes = index.encode();
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

/// A volume's length, if one can have it.
pub(super) fn within(bytes: u64) -> Result<(), CliError> {
    if bytes == 0 || bytes > ARCHIVE_VOLUME_BYTES_MAX {
        return Err(broken("a volume has a length that none has"));
    }
    Ok(())
}

/// Reads a stream of the store to its end.
pub(super) async fn gather(stream: Result<BlobStream, StoreError>) -> Result<Bytes, CliError> {
    let mut stream = stream.map_err(|error| away(&error))?;
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.next().await {
        whole.extend_from_slice(&piece.map_err(|error| away(&error))?);
    }
    Ok(whole.freeze())
}

/// Where a volume is, with the moments that are in it.
pub(super) fn placed(volume: &Volume, id: BlobId, bytes: u64) -> Result<Place, ArchiveError> {
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
