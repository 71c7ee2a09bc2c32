//! Reads the lanes of a journal back: in order within a lane, merged by time across lanes, also
//! while they are being written. What is damaged is reported and stepped over.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::file::{LogFile, Step, failed, files_of};
use super::format::{Link, LogKey};
use super::prune::begin;
use crate::ledger::{Entry, Session, SessionHash, session_hash};
use crate::types::limits::{JOURNAL_FILES_MAX, JOURNAL_SESSIONS_MAX};
use crate::types::{Secret, Timestamp};

/// One entry and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its lane.
    pub lane: Arc<str>,
    /// Its number in the lane, from 0 without gap.
    pub seq: u64,
    /// The session that it refers to.
    pub session: Option<Arc<Session>>,
    /// The entry.
    pub entry: Entry,
}

/// Reads all lanes of a journal. As an iterator it ends where the journal ends **now**; asked
/// again later, it goes on with what was written since.
///
/// An error is a finding: the next call goes on behind it.
pub struct Reader {
    dir: PathBuf,
    key: Arc<LogKey>,
    lanes: Vec<Lane>,
    /// The disk failed just now: the next call gives no entry, so that a loop ends.
    failed: bool,
    since: Timestamp,
    /// It ended: the next call looks for what was written since.
    ended: bool,
}

impl Reader {
    /// Opens a journal's directory.
    pub fn open(dir: &Path, key: Secret<32>) -> Result<Self, JournalError> {
        Self::open_since(dir, key, Timestamp::default())
    }

    /// The same, without the files that were full before `since`: of what began at `since` or later
    /// nothing is missing, unless the clock was set back; of what began earlier, some is.
    pub fn open_since(dir: &Path, key: Secret<32>, since: Timestamp) -> Result<Self, JournalError> {
        let key = LogKey::new(key).ok_or_else(|| JournalError::Failed {
            reason: "the log key cannot be used".to_owned(),
        })?;
        let mut reader = Self {
            dir: dir.to_owned(),
            key: Arc::new(key),
            lanes: Vec::new(),
            failed: false,
            since,
            ended: false,
        };
        reader.find_lanes()?;
        Ok(reader)
    }

    /// Adds the lanes that it does not know yet.
    fn find_lanes(&mut self) -> Result<(), JournalError> {
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let known = self.lanes.iter().any(|lane| *lane.name == *name);
            if known || !entry.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            if self.lanes.len() >= JOURNAL_FILES_MAX {
                return Err(JournalError::Failed {
                    reason: "too many lanes".to_owned(),
                });
            }
            let mut lane = Lane::new(entry.path(), name.into(), Arc::clone(&self.key));
            lane.skip_to(self.since)?;
            self.lanes.push(lane);
        }
        Ok(())
    }

    /// The lane whose next entry is the oldest; findings come first.
    fn oldest(&mut self) -> Option<Result<Record, JournalError>> {
        for lane in &mut self.lanes {
            lane.fill();
        }
        let first = self
            .lanes
            .iter_mut()
            .filter(|l| l.head.is_some())
            .min_by_key(|l| l.time)?;
        first.head.take()
    }
}

impl Iterator for Reader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.failed) {
            return None;
        }
        if std::mem::take(&mut self.ended) {
            for lane in &mut self.lanes {
                lane.at_end = false;
            }
        }
        let next = self.oldest().or_else(|| match self.find_lanes() {
            Ok(()) => self.oldest(),
            Err(error) => Some(Err(error)),
        });
        self.ended = next.is_none();
        self.failed = matches!(next, Some(Err(JournalError::Failed { .. })));
        next
    }
}

/// One lane and how far it was read.
pub(super) struct Lane {
    dir: PathBuf,
    name: Arc<str>,
    key: Arc<LogKey>,
    /// Files behind the current one and the next.
    waiting: VecDeque<(u64, PathBuf)>,
    /// The newest file that was ever listed.
    listed: Option<u64>,
    current: Option<LogFile>,
    /// The file that vouches for the current one.
    next: Option<LogFile>,
    /// The current file is damaged here: nothing more comes from it.
    given_up: bool,
    begun: bool,
    /// Nothing more for now; not looked at again before all lanes have ended.
    at_end: bool,
    sessions: HashMap<SessionHash, Arc<Session>>,
    head: Option<Result<Record, JournalError>>,
    /// Of the head, or of the one before where the head has none.
    time: Timestamp,
}

impl Lane {
    pub(super) fn new(dir: PathBuf, name: Arc<str>, key: Arc<LogKey>) -> Self {
        Self {
            dir,
            name,
            key,
            waiting: VecDeque::new(),
            listed: None,
            current: None,
            next: None,
            given_up: false,
            begun: false,
            at_end: false,
            sessions: HashMap::new(),
            head: None,
            time: Timestamp::default(),
        }
    }

    /// The lane's files, without those that are to go.
    fn files(&self) -> Result<Vec<(u64, PathBuf)>, JournalError> {
        let from = begin(&self.dir, &self.name, &self.key)?;
        let mut files = files_of(&self.dir)?;
        files.retain(|(first, _)| from.is_none_or(|from| *first >= from.next));
        Ok(files)
    }

    /// Begins with the newest file that was made before `since`, or with the first. A header
    /// that cannot be read ends the skipping: what it hides is for the reading to report.
    fn skip_to(&mut self, since: Timestamp) -> Result<(), JournalError> {
        let files = self.files()?;
        for (at, (first, path)) in files.iter().enumerate().skip(1).rev() {
            let Ok(file) = LogFile::open(path, *first, &self.name, &self.key) else {
                return Ok(());
            };
            if file.header.created < since.millis() {
                self.listed = files.get(at.saturating_sub(1)).map(|(first, _)| *first);
                self.begun = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Begins with the file that record `seq` is in, or with the first.
    pub(super) fn skip_to_record(&mut self, seq: u64) -> Result<(), JournalError> {
        let files = self.files()?;
        let later = files.iter().filter(|(first, _)| *first <= seq).count();
        let before = later.checked_sub(2).and_then(|at| files.get(at));
        self.listed = before.map(|(first, _)| *first);
        self.begun = before.is_some();
        Ok(())
    }

    /// Looks which files there are now. One that vouches for less than the file before holds is
    /// then known before that file is read on.
    pub(super) fn refresh(&mut self) -> Result<(), JournalError> {
        if let Some(file) = &mut self.current {
            file.look_again();
        }
        self.look_ahead(true)
    }

    /// The canonical bytes of the record that was read last.
    pub(super) fn record_bytes(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |file| &file.record)
    }

    /// What stands behind the record that was read last.
    pub(super) fn link(&self) -> Option<&Link> {
        self.current.as_ref().map(|file| &file.link)
    }

    /// Has the next entry or finding ready, if there is one.
    fn fill(&mut self) {
        if self.head.is_some() || self.at_end {
            return;
        }
        self.head = match self.read() {
            Ok(record) => record.map(Ok),
            Err(error) => Some(Err(error)),
        };
        match &self.head {
            Some(Ok(record)) => self.time = record.entry.time().unwrap_or(self.time),
            // A finding is told before anything else.
            Some(Err(_)) => self.time = Timestamp::default(),
            None => self.at_end = true,
        }
    }

    pub(super) fn read(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            self.look_ahead(self.current.is_none() || self.given_up)?;
            let Some(file) = &mut self.current else {
                let Some(next) = self.next.take() else {
                    return Ok(None);
                };
                self.enter(next)?;
                continue;
            };
            if let Some(next) = &self.next
                && (self.given_up || file.link.next >= next.header.link.next)
            {
                self.pass_on()?;
                continue;
            }
            if self.given_up {
                return Ok(None);
            }
            match file.step()? {
                Step::Frame(seq, entry) => return self.record(seq, *entry).map(Some),
                Step::Damaged => {
                    self.given_up = true;
                    return Err(file.damage());
                }
                Step::End if self.next.is_none() => {
                    self.look_ahead(true)?;
                    if self.next.is_none() {
                        return Ok(None);
                    }
                }
                Step::End => {
                    let Some(next) = &self.next else {
                        return Ok(None);
                    };
                    // The next file vouches for frames that are not here.
                    self.given_up = true;
                    if next.header.link.file == file.header.id {
                        return Err(file.damage());
                    }
                }
            }
        }
    }

    /// Opens the file after the current one, if there is one; `list` looks for new ones.
    fn look_ahead(&mut self, list: bool) -> Result<(), JournalError> {
        if self.next.is_some() {
            return Ok(());
        }
        if list && self.waiting.is_empty() {
            let newer = |(first, _): &(u64, PathBuf)| self.listed.is_none_or(|l| *first > l);
            self.waiting = self.files()?.into_iter().filter(newer).collect();
            if let Some((first, _)) = self.waiting.back() {
                self.listed = Some(*first);
            }
        }
        if let Some((first, path)) = self.waiting.pop_front() {
            self.next = Some(LogFile::open(&path, first, &self.name, &self.key)?);
        }
        Ok(())
    }

    /// Leaves the current file for the next, which must go on exactly where this one ends.
    fn pass_on(&mut self) -> Result<(), JournalError> {
        let (Some(file), Some(next)) = (self.current.take(), self.next.take()) else {
            return Ok(());
        };
        let link = next.header.link;
        let told = self.given_up;
        let damaged_behind = next.header.previous_damaged && !told;
        let finding = if link.file != file.header.id {
            // The file between is missing.
            Some(next.damage())
        } else if damaged_behind || (file.link.next == link.next && file.link != link) {
            Some(file.damage())
        } else {
            None
        };
        self.begun = true;
        self.enter(next)?;
        finding.map_or(Ok(()), Err)
    }

    fn enter(&mut self, file: LogFile) -> Result<(), JournalError> {
        // What was before it was removed at its time, or else it was taken away.
        let cut = !self.begun
            && file.header.link != Link::START
            && begin(&self.dir, &self.name, &self.key)? != Some(file.header.link);
        let finding = cut.then(|| file.damage());
        self.begun = true;
        self.given_up = false;
        self.sessions.clear();
        self.current = Some(file);
        // The lane does not begin at its beginning.
        finding.map_or(Ok(()), Err)
    }

    fn record(&mut self, seq: u64, entry: Entry) -> Result<Record, JournalError> {
        if let Entry::Session(session) = &entry
            && let Ok(hash) = session_hash(session)
        {
            // The writer's rule, so that both forget at the same place.
            if self.sessions.len() >= JOURNAL_SESSIONS_MAX {
                self.sessions.clear();
            }
            self.sessions.insert(hash, Arc::new(session.clone()));
        }
        let session = entry
            .session()
            .map(|hash| self.sessions.get(hash).map(Arc::clone));
        if let (Some(None), Some(file)) = (&session, &self.current) {
            return Err(file.damage());
        }
        Ok(Record {
            lane: Arc::clone(&self.name),
            seq,
            session: session.flatten(),
            entry,
        })
    }
}
