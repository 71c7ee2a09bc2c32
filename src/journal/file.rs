//! Reads one file of a lane, frame by frame, and says how it ends. Serves the restart, readers of
//! old files and readers of the file that is being written.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::JournalError;
use super::format::{
    FormatError, FrameKey, HEADER_BYTES, Header, Link, LogKey, PREFIX_BYTES, Prefix,
};
use crate::ledger::{self, Entry};
use crate::types::limits::{JOURNAL_FILE_BYTES_MAX, JOURNAL_FILES_MAX};

/// How much is read at once; more than the largest frame.
const WINDOW_BYTES: usize = 128 * 1024;
/// What a file holds behind its last frame; compared by the piece, for most of a file is that.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// Frames with a wrong checksum that the search behind a bad frame looks at before it gives up.
const SUSPECTS_MAX: usize = 1024;
/// How a file of a lane is called: its first frame's number.
const SUFFIX: &str = ".wal";

/// The file's name: `<first seq, 16 hex>.wal`.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:016x}{SUFFIX}")
}

/// The files of a lane in order, each with its first frame's number.
pub(super) fn files_of(lane: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(lane).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let Some(digits) = name.strip_suffix(SUFFIX) else {
            continue;
        };
        let first = u64::from_str_radix(digits, 16)
            .ok()
            .filter(|n| file_name(*n) == name);
        let Some(first) = first else { continue };
        if files.len() >= JOURNAL_FILES_MAX {
            return Err(JournalError::Failed {
                reason: "a lane has too many files".into(),
            });
        }
        files.push((first, path));
    }
    files.sort_unstable();
    Ok(files)
}

/// What the operating system said, without a path.
#[expect(clippy::needless_pass_by_value, reason = "a converter for map_err")]
pub(super) fn failed(error: io::Error) -> JournalError {
    if no_space(&error) {
        return JournalError::Full;
    }
    JournalError::Failed {
        reason: error.to_string(),
    }
}

/// Whether it is space that is wanting.
pub(super) fn no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// What comes next in a file.
pub(super) enum Step {
    /// A frame, with its number.
    Frame(u64, Box<Entry>),
    /// Nothing, or a torn end; more may come while the file is being written.
    End,
    /// A bad frame where a good one must stand.
    Damaged,
}

/// A file of a lane, opened and its header checked.
pub(super) struct LogFile {
    file: File,
    name: String,
    pub(super) header: Header,
    key: FrameKey,
    /// Behind the last frame that was read.
    pub(super) link: Link,
    /// Where the next frame begins.
    pub(super) offset: u64,
    /// The canonical bytes of the last record that was read.
    pub(super) record: Vec<u8>,
    window: Vec<u8>,
    window_at: u64,
    /// The offset behind which there were zeros only.
    searched: Option<u64>,
}

impl LogFile {
    /// Opens a file and checks its header against its name and lane.
    pub(super) fn open(
        path: &Path,
        first: u64,
        lane: &str,
        key: &LogKey,
    ) -> Result<Self, JournalError> {
        let name = format!("{lane}/{}", file_name(first));
        let damaged = || JournalError::Damaged {
            file: name.clone(),
            offset: 0,
        };
        let file = File::open(path).map_err(failed)?;
        let mut bytes = [0; HEADER_BYTES];
        if let Err(error) = file.read_exact_at(&mut bytes, 0) {
            let short = error.kind() == io::ErrorKind::UnexpectedEof;
            return Err(if short { damaged() } else { failed(error) });
        }
        let (header, chain) = Header::decode(&bytes, key).map_err(|error| match error {
            FormatError::Damaged => damaged(),
            FormatError::OtherKey => JournalError::Failed {
                reason: error.to_string(),
            },
        })?;
        if header.link.next != first || header.lane != lane {
            return Err(damaged());
        }
        let frames = key.frames(&header.id).ok_or_else(damaged)?;
        Ok(Self {
            link: Link {
                file: header.id,
                next: first,
                chain,
            },
            file,
            name,
            header,
            key: frames,
            offset: u64::try_from(HEADER_BYTES).unwrap_or(0),
            record: Vec::new(),
            window: Vec::new(),
            window_at: 0,
            searched: None,
        })
    }

    /// Forgets what was read ahead, which may be older than what is there by now.
    pub(super) fn look_again(&mut self) {
        self.window.clear();
    }

    /// Reads the next frame.
    pub(super) fn step(&mut self) -> Result<Step, JournalError> {
        if let Some(step) = self.frame()? {
            return Ok(step);
        }
        self.look_again();
        if self.searched == Some(self.offset) {
            return Ok(self.frame()?.unwrap_or(Step::End));
        }
        let rest = self.rest()?;
        if self.later_group(&rest) {
            // If a group was being written while it was read, it is whole by now.
            return Ok(self.frame()?.unwrap_or(Step::Damaged));
        }
        if rest.is_empty() {
            self.searched = Some(self.offset);
        }
        Ok(Step::End)
    }

    /// The good frame at the current offset, if one stands there.
    fn frame(&mut self) -> Result<Option<Step>, JournalError> {
        let prefix = self.at(PREFIX_BYTES)?.and_then(|bytes| bytes.first_chunk());
        let Some(prefix) = prefix.and_then(Prefix::decode) else {
            return Ok(None);
        };
        let whole = PREFIX_BYTES.saturating_add(prefix.len);
        let mut link = self.link;
        let Some(mut frame) = self.at(whole)?.map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        let Ok(record) = self.key.open(&mut link, &prefix, &mut frame) else {
            return Ok(None);
        };
        let Ok(entry) = ledger::decode(record) else {
            return Ok(Some(Step::Damaged));
        };
        self.record.clear();
        self.record.extend_from_slice(record);
        let seq = self.link.next;
        self.link = link;
        self.offset = self
            .offset
            .saturating_add(u64::try_from(whole).unwrap_or(u64::MAX));
        Ok(Some(Step::Frame(seq, Box::new(entry))))
    }

    /// The error that names this place.
    pub(super) fn damage(&self) -> JournalError {
        JournalError::Damaged {
            file: self.name.clone(),
            offset: self.offset,
        }
    }

    /// The `len` bytes at the current offset; `None` beyond the file's end.
    fn at(&mut self, len: usize) -> Result<Option<&[u8]>, JournalError> {
        let start = self.offset.checked_sub(self.window_at);
        let start = start.and_then(|n| usize::try_from(n).ok());
        let there = start.is_some_and(|n| n.saturating_add(len) <= self.window.len());
        if !there {
            self.window_at = self.offset;
            read_at(&self.file, self.offset, WINDOW_BYTES, &mut self.window)?;
        }
        let start = if there { start.unwrap_or(0) } else { 0 };
        Ok(self.window.get(start..start.saturating_add(len)))
    }

    /// What stands behind the current offset, without the zeros that a file is preallocated with:
    /// most of it, and read piece by piece so that it is never in memory at once.
    fn rest(&self) -> Result<Vec<u8>, JournalError> {
        let size = self.file.metadata().map_err(failed)?.len();
        let most = u64::try_from(JOURNAL_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        let step = u64::try_from(ZEROS.len()).unwrap_or(u64::MAX);
        let mut end = size.min(self.offset.saturating_add(most));
        let mut bytes = Vec::new();
        while end > self.offset {
            let start = end.saturating_sub(step).max(self.offset);
            read_at(&self.file, start, ZEROS.len(), &mut bytes)?;
            if !ZEROS.starts_with(&bytes) {
                break;
            }
            end = start;
        }
        let len = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        read_at(&self.file, self.offset, len, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether a good frame of a later group stands behind the bad one that `rest` begins with:
    /// only damage explains that.
    fn later_group(&self, mut rest: &[u8]) -> bool {
        let mut suspects = 0;
        while let Some(bytes) = rest.first_chunk() {
            let mut skip = 1;
            if let Some(prefix) = self.plausible(bytes) {
                let len = PREFIX_BYTES.saturating_add(prefix.len);
                if rest.get(..len).is_some_and(|frame| prefix.checks(frame)) {
                    if prefix.seq.saturating_sub(u64::from(prefix.back)) > self.link.next {
                        return true;
                    }
                    skip = len;
                } else {
                    suspects += 1;
                    if suspects > SUSPECTS_MAX {
                        return true;
                    }
                }
            }
            rest = rest.get(skip..).unwrap_or(&[]);
        }
        false
    }

    /// A prefix that could stand behind the current place.
    fn plausible(&self, bytes: &[u8; PREFIX_BYTES]) -> Option<Prefix> {
        let last = self.link.next.saturating_add(u64::from(u32::MAX));
        Prefix::decode(bytes).filter(|p| (self.link.next..=last).contains(&p.seq))
    }
}

/// Fills `out` with up to `len` bytes at `offset`.
fn read_at(file: &File, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), JournalError> {
    let size = file.metadata().map_err(failed)?.len();
    let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
    out.clear();
    out.resize(len.min(left), 0);
    match file.read_exact_at(out, offset) {
        Ok(()) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
