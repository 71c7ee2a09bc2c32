//! Follows one lane record by record, for the log that is made of it: each number comes once and in
//! order, and what cannot be read any more is told as such.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::JournalError;
use super::anchor::{Anchor, anchor};
use super::disk::{Disk as _, HostDisk};
use super::file::{LogFile, failed, files_of};
use super::format::LogKey;
use super::lane::lock;
use super::reader::{Lane, Record};
use crate::types::limits::LOG_LANES_MAX;
use crate::types::{Secret, Timestamp};

/// Findings in a row after which it waits for the next call.
const FINDINGS_MAX: u32 = 64;

/// The names of a journal's lanes, in order.
pub fn lanes(dir: &Path) -> Result<Vec<String>, JournalError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.file_type().map_err(failed)?.is_dir() && !files_of(&entry.path())?.is_empty() {
            names.push(name);
        }
        if names.len() > LOG_LANES_MAX {
            return Err(JournalError::Failed {
                reason: "too many lanes".to_owned(),
            });
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The number of the first record of the newest file of a lane that was made before `since`: from
/// there on nothing is missing of what began at `since` or later, unless the clock was set back.
pub(super) fn begin(
    dir: &Path,
    lane: &str,
    key: Secret<32>,
    since: Timestamp,
) -> Result<u64, JournalError> {
    let key = LogKey::new(key).ok_or_else(|| JournalError::Failed {
        reason: "the log key cannot be used".to_owned(),
    })?;
    for (first, path) in files_of(&dir.join(lane))?.iter().rev() {
        match LogFile::open(path, *first, lane, &key) {
            Ok(file) if file.header.created < since.millis() => return Ok(*first),
            // What a header hides that cannot be read is for the reading to report.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(0)
}

/// What comes next in a lane.
pub enum Found {
    /// A record and its canonical bytes.
    Record(Box<Record>, Vec<u8>),
    /// Records that cannot be read any more: from this number up to, not including, that one.
    Lost(u64, u64),
}

/// A lane that nobody writes while this lives: everything in it is durable.
pub struct Rest {
    _lock: File,
}

impl Rest {
    /// Takes a lane's lock and syncs its last file; `None` while another process writes it.
    pub fn take(dir: &Path, lane: &str) -> Result<Option<Self>, JournalError> {
        let dir = dir.join(lane);
        let file = match lock(&dir) {
            Err(JournalError::Locked) => return Ok(None),
            locked => locked?,
        };
        if let Some((_, last)) = files_of(&dir)?.last() {
            HostDisk.sync_file(last).map_err(failed)?;
        }
        Ok(Some(Self { _lock: file }))
    }
}

/// A reader of one lane.
pub struct Tail {
    lane: Lane,
    /// The number that comes next.
    next: u64,
    /// Read already, behind a gap.
    held: Option<(Box<Record>, Vec<u8>)>,
    /// Behind the record that was read last.
    read: Option<Anchor>,
    /// Behind the record that was told last; `None` behind a gap.
    told: Option<Anchor>,
}

impl Tail {
    /// Opens a lane at a record.
    pub fn open(dir: &Path, lane: &str, key: Secret<32>, next: u64) -> Result<Self, JournalError> {
        let key = LogKey::new(key).ok_or_else(|| JournalError::Failed {
            reason: "the log key cannot be used".to_owned(),
        })?;
        let mut lane = Lane::new(dir.join(lane), lane.into(), Arc::new(key));
        lane.skip_to_record(next)?;
        Ok(Self {
            lane,
            next,
            held: None,
            read: None,
            told: None,
        })
    }

    /// The number that comes next.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// What stands behind the record that came last; `None` before the first, and behind a gap.
    #[must_use]
    pub const fn anchor(&self) -> Option<Anchor> {
        self.told
    }

    /// Tells a gap again: it was the last thing that was read, and began at `from`.
    pub const fn rewind(&mut self, from: u64) {
        if self.held.is_some() {
            self.next = from;
        }
    }

    /// Looks for new files; to be called **after** `until` of [`Tail::read`] was asked for, and
    /// before reading.
    pub fn refresh(&mut self) -> Result<(), JournalError> {
        match self.lane.refresh() {
            // A file that cannot be opened is met again when it is its turn.
            Ok(()) | Err(JournalError::Damaged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What comes next, as long as its number is below `until`: what is not durable is never read.
    /// `None` where there is no more for now.
    pub fn read(&mut self, until: u64) -> Result<Option<Found>, JournalError> {
        let mut findings = 0_u32;
        while self.held.is_none() {
            if self.next >= until {
                return Ok(None);
            }
            match self.lane.read() {
                Ok(Some(record)) if record.seq < self.next => {}
                Ok(Some(record)) => {
                    let bytes = self.lane.record_bytes().to_vec();
                    self.read = self.lane.link().map(anchor);
                    self.held = Some((Box::new(record), bytes));
                }
                Ok(None) => return Ok(None),
                Err(JournalError::Damaged { .. }) => {
                    findings = findings.saturating_add(1);
                    if findings > FINDINGS_MAX {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let Some((record, bytes)) = self.held.take_if(|(record, _)| record.seq == self.next) else {
            let end = self.held.as_ref().map_or(self.next, |(held, _)| held.seq);
            let lost = Found::Lost(self.next, end);
            self.next = end;
            self.told = None;
            return Ok(Some(lost));
        };
        self.next = self.next.saturating_add(1);
        self.told = self.read;
        Ok(Some(Found::Record(record, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::support::{Counter, HandClock, config, event, secret};
    use crate::journal::{Journal as _, Wal};
    use crate::ledger::{encode, samples};

    fn read(tail: &mut Tail, until: u64) -> Vec<u64> {
        tail.refresh().unwrap();
        let mut seqs = Vec::new();
        while let Some(found) = tail.read(until).unwrap() {
            match found {
                Found::Record(record, bytes) => {
                    let mut again = Vec::new();
                    encode(&record.entry, &mut again).unwrap();
                    assert_eq!(again, bytes);
                    seqs.push(record.seq);
                }
                Found::Lost(..) => panic!("nothing is lost"),
            }
        }
        seqs
    }

    fn open(dir: &Path, entropy: &Arc<Counter>) -> Arc<Wal> {
        let entropy = Arc::<Counter>::clone(entropy);
        Wal::open(config(dir), HandClock::new(), entropy).unwrap()
    }

    async fn note(wal: &Wal, n: u32) {
        let session = Arc::new(samples::session());
        let intent = samples::intent(event(n));
        let completion = samples::completion(event(n));
        wal.note(&session, intent, completion).await.unwrap();
    }

    #[tokio::test]
    async fn it_follows_a_lane_that_is_written_and_ends_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let entropy = Counter::new();
        let open = || open(dir.path(), &entropy);
        let wal = open();
        note(&wal, 1).await;
        assert!(Rest::take(dir.path(), "gw-1").unwrap().is_none());
        // Mark, session, note.
        assert_eq!(wal.durable(), 3);
        let mut tail = Tail::open(dir.path(), "gw-1", secret(), 0).unwrap();
        assert_eq!(read(&mut tail, 2), [0, 1]);
        assert_eq!(read(&mut tail, wal.durable()), [2]);
        note(&wal, 2).await;
        assert_eq!(read(&mut tail, wal.durable()), [3]);
        wal.close().await.unwrap();
        // The mark of the end, once the lane is free; then the next start's.
        while Rest::take(dir.path(), "gw-1").unwrap().is_none() {}
        assert_eq!(read(&mut tail, u64::MAX), [4]);
        let wal = open();
        note(&wal, 3).await;
        assert_eq!(read(&mut tail, wal.durable()), [5, 6, 7]);
        for from in 0..8 {
            let mut tail = Tail::open(dir.path(), "gw-1", secret(), from).unwrap();
            let expected: Vec<u64> = (from..8).collect();
            assert_eq!(read(&mut tail, wal.durable()), expected);
        }
        assert_eq!(lanes(dir.path()).unwrap(), ["gw-1"]);
    }

    #[tokio::test]
    async fn what_was_damaged_is_told_by_its_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let entropy = Counter::new();
        for n in 0..3 {
            let wal = open(dir.path(), &entropy);
            note(&wal, n).await;
            wal.close().await.unwrap();
            while Rest::take(dir.path(), "gw-1").unwrap().is_none() {}
        }
        // The second file's first frame.
        let (first, path) = files_of(&dir.path().join("gw-1")).unwrap().swap_remove(1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[300] ^= 1;
        fs::write(&path, bytes).unwrap();
        let mut tail = Tail::open(dir.path(), "gw-1", secret(), 0).unwrap();
        tail.refresh().unwrap();
        let mut lost = Vec::new();
        let mut seen = Vec::new();
        while let Some(found) = tail.read(u64::MAX).unwrap() {
            match found {
                Found::Record(record, _) => seen.push(record.seq),
                Found::Lost(from, to) => lost.push((from, to)),
            }
        }
        assert_eq!(lost, [(first, 2 * first)]);
        let expected: Vec<u64> = (0..first).chain(2 * first..3 * first).collect();
        assert_eq!(seen, expected);
        assert!(matches!(tail.read(u64::MAX), Ok(None)));
    }
}
