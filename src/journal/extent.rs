//! A lane's files as runs of bytes, for whoever keeps the same bytes in a second place: how far
//! each is good, which mark stands in front of them, and how one is put back whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::disk::{Disk, HostDisk};
use super::file::{LogFile, Step, failed, file_name, files_of};
use super::format::{HEADER_BYTES, Link, LogKey};
use super::prune;
use crate::types::Secret;
use crate::types::limits::JOURNAL_FILE_BYTES_MAX;

/// The file that is being put back.
const RESTORED: &str = "restored.tmp";

/// Where a file of a lane is kept that never counted.
pub(super) fn aside(file: &Path) -> PathBuf {
    file.with_extension("unacknowledged")
}

/// How far a file of a lane is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Its random name for itself.
    pub id: [u8; 16],
    /// The file that it goes on behind; zeros in the first.
    pub before: [u8; 16],
    /// Bytes of its header and of the frames that authenticate.
    pub end: u64,
}

/// The files of one lane, as bytes.
pub struct LaneFiles {
    dir: PathBuf,
    lane: String,
    key: LogKey,
}

impl LaneFiles {
    /// Those of the lane in `dir`; nothing is read yet.
    pub fn of(dir: &Path, lane: &str, key: Secret<32>) -> Result<Self, JournalError> {
        Ok(Self {
            dir: dir.to_owned(),
            lane: lane.to_owned(),
            key: LogKey::new(key).ok_or_else(prune::unusable)?,
        })
    }

    /// The first record of each file behind the mark, in order.
    pub fn firsts(&self) -> Result<Vec<u64>, JournalError> {
        let from = self.mark()?.unwrap_or(0);
        let files = files_of(&self.dir)?;
        let firsts = files.into_iter().map(|(first, _)| first);
        Ok(firsts.filter(|first| *first >= from).collect())
    }

    fn open(&self, first: u64) -> Result<LogFile, JournalError> {
        LogFile::open(&self.path(first), first, &self.lane, &self.key)
    }

    fn path(&self, first: u64) -> PathBuf {
        self.dir.join(file_name(first))
    }

    /// How far a file is good; `None` where it is not there or has no good header.
    pub fn measure(&self, first: u64) -> Result<Option<Extent>, JournalError> {
        if !self.path(first).exists() {
            return Ok(None);
        }
        let mut file = match self.open(first) {
            Err(JournalError::Damaged { .. }) => return Ok(None),
            opened => opened?,
        };
        while let Step::Frame(..) = file.step()? {}
        Ok(Some(Extent {
            id: file.header.id,
            before: file.header.link.file,
            end: file.offset,
        }))
    }

    /// The bytes of a file that belong to the log, as the file behind it says; made durable here
    /// first. `None` where the two do not fit together, or there is no file behind it.
    pub fn belonging(&self, first: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let behind = self.firsts()?.into_iter().find(|next| *next > first);
        let Some(behind) = behind else {
            return Ok(None);
        };
        let end = self.open(behind)?.header.link;
        let mut file = self.open(first)?;
        while file.link.next < end.next {
            let Step::Frame(..) = file.step()? else {
                return Ok(None);
            };
        }
        if file.link != end {
            return Ok(None);
        }
        HostDisk.sync_file(&self.path(first)).map_err(failed)?;
        HostDisk.sync_dir(&self.dir).map_err(failed)?;
        self.read(first, 0..file.offset).map(Some)
    }

    /// Bytes of a file; fewer where it ends before.
    pub fn read(&self, first: u64, range: std::ops::Range<u64>) -> Result<Vec<u8>, JournalError> {
        let file = File::open(self.path(first)).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let len = range.end.min(size).saturating_sub(range.start);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > JOURNAL_FILE_BYTES_MAX {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start)
            .map_err(failed)?;
        Ok(bytes)
    }

    /// Puts a file back, or replaces the one that is there; durable when it returns `Ok`.
    pub fn restore(&self, first: u64, bytes: &[u8]) -> Result<(), JournalError> {
        self.replace(&file_name(first), RESTORED, bytes)
    }

    /// Moves a file out of the lane, and keeps it beside.
    pub fn set_aside(&self, first: u64) -> Result<(), JournalError> {
        let file = self.path(first);
        HostDisk.rename(&file, &aside(&file)).map_err(failed)?;
        HostDisk.sync_dir(&self.dir).map_err(failed)
    }

    fn replace(&self, name: &str, beside: &str, bytes: &[u8]) -> Result<(), JournalError> {
        let beside = self.dir.join(beside);
        let disk = HostDisk;
        disk.remove(&beside).map_err(failed)?;
        let file = disk.create(&beside).map_err(failed)?;
        let written = file.write_at(bytes, 0).and_then(|()| file.sync());
        written.map_err(failed)?;
        disk.rename(&beside, &self.dir.join(name)).map_err(failed)?;
        disk.sync_dir(&self.dir).map_err(failed)
    }

    /// The first record that the mark leaves; `None` where nothing was removed.
    pub fn mark(&self) -> Result<Option<u64>, JournalError> {
        let link = prune::begin(&self.dir, &self.lane, &self.key)?;
        Ok(link.map(|link| link.next))
    }

    /// The bytes of the mark that is there.
    pub fn mark_bytes(&self) -> Result<Option<Vec<u8>>, JournalError> {
        let link = prune::begin(&self.dir, &self.lane, &self.key)?;
        link.map(|link| self.marked(&link)).transpose()
    }

    /// The bytes of a mark that leaves the file of `first` as the first.
    pub fn mark_for(&self, first: u64) -> Result<Vec<u8>, JournalError> {
        self.marked(&self.open(first)?.header.link)
    }

    fn marked(&self, link: &Link) -> Result<Vec<u8>, JournalError> {
        prune::encode(link, &self.lane, &self.key).ok_or_else(prune::unusable)
    }

    /// What a mark says: the first record that it leaves, and the file before that; `None` where
    /// it is not of this lane and key.
    #[must_use]
    pub fn mark_says(&self, bytes: &[u8]) -> Option<(u64, [u8; 16])> {
        let link = prune::decode(bytes, &self.lane, &self.key)?;
        Some((link.next, link.file))
    }

    /// Sets a mark; durable when it returns `Ok`.
    pub fn set_mark(&self, bytes: &[u8]) -> Result<(), JournalError> {
        self.replace(prune::NAME, prune::BESIDE, bytes)
    }
}

/// Bytes of a file's header.
pub const FILE_HEADER_BYTES: usize = HEADER_BYTES;
