//! Follows a log entry by entry and puts whole requests together: each comes when it has ended.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::entries::Entries;
use super::{Cursor, StreamError};
use crate::journal::{Filter, Found, Pairs, Request, Tail};
use crate::ledger::tlog::VerifierKey;
use crate::ledger::{Entry, Segment};
use crate::notary::Shelf;
use crate::types::limits::{JOURNAL_PAIRS_MAX, STREAM_BATCH_REQUESTS};
use crate::types::{EventId, ProjectName, Secret, Timestamp};

/// What a log is followed with.
pub struct FollowParts {
    /// The journal's directory.
    pub journal: PathBuf,
    /// Opens it.
    pub journal_key: Secret<32>,
    /// The log.
    pub shelf: Box<dyn Shelf>,
    /// Its public key.
    pub public: VerifierKey,
    /// Only requests that name this project.
    pub project: Option<ProjectName>,
    /// Where it goes on; `None` begins with what is recorded from now on.
    pub cursor: Option<Cursor>,
}

/// What came.
#[derive(Debug)]
pub struct Batch {
    /// Requests that have ended, in the order of their ends.
    pub requests: Vec<Request>,
    /// Where the log goes on once they were taken.
    pub cursor: Cursor,
    /// When the newest of it came into the log.
    pub time: Timestamp,
    /// Records that cannot be read any more.
    pub lost: u64,
}

/// Follows a log.
pub struct Follow {
    journal: PathBuf,
    journal_key: Secret<32>,
    entries: Entries,
    origin: String,
    tails: BTreeMap<String, Tail>,
    pairs: Pairs,
    /// In which entry each request began that has not ended.
    open: BTreeMap<EventId, u64>,
    next: u64,
    /// What ended before this entry was taken already.
    taken: u64,
    /// Where the last batch ended.
    good: Cursor,
    filter: Filter,
}

impl Follow {
    /// Begins at a cursor, or at the log's end.
    pub fn new(parts: FollowParts) -> Result<Self, StreamError> {
        let origin = parts.public.name().to_owned();
        let entries = Entries::new(parts.shelf, parts.public);
        let (next, from) = match parts.cursor {
            Some(cursor) => (cursor.next, cursor.from),
            None => {
                let size = entries.size()?;
                (size, size)
            }
        };
        let filter = Filter {
            project: parts.project,
            ..Filter::default()
        };
        Ok(Self {
            journal: parts.journal,
            journal_key: parts.journal_key,
            entries,
            tails: BTreeMap::new(),
            pairs: Pairs::new(filter.clone()),
            filter,
            good: Cursor::new(&origin, next, from),
            origin,
            open: BTreeMap::new(),
            next: from,
            taken: next,
        })
    }

    /// Where it goes on.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let oldest = self.open.values().min().copied();
        let next = self.next.max(self.taken);
        Cursor::new(&self.origin, next, oldest.unwrap_or(next))
    }

    /// The next requests that have ended; `None` where the log ends now. A batch is larger than
    /// [`STREAM_BATCH_REQUESTS`] only if one entry alone is.
    pub fn next(&mut self) -> Result<Option<Batch>, StreamError> {
        let read = self.try_next();
        match &read {
            Ok(Some(batch)) => self.good = batch.cursor.clone(),
            Ok(None) => {}
            // What was read so far is read again.
            Err(_) => {
                self.tails.clear();
                self.open.clear();
                self.pairs = Pairs::new(self.filter.clone());
                (self.next, self.taken) = (self.good.from, self.good.next);
            }
        }
        read
    }

    fn try_next(&mut self) -> Result<Option<Batch>, StreamError> {
        let size = self.entries.size()?;
        if self.taken > size {
            return Err(StreamError::Ahead);
        }
        let mut requests = Vec::new();
        let mut lost = 0_u64;
        let mut time = None;
        while self.next < size && requests.len() < STREAM_BATCH_REQUESTS {
            for segment in self.entries.bundle(self.next, size)? {
                let fresh = self.next >= self.taken;
                let ended = self.segment(&segment, &mut lost)?;
                self.next = self.next.saturating_add(1);
                if fresh {
                    requests.extend(ended);
                    time = Some(segment.time);
                }
                if requests.len() >= STREAM_BATCH_REQUESTS {
                    break;
                }
            }
        }
        Ok(time.map(|time| Batch {
            requests,
            cursor: self.cursor(),
            time,
            lost,
        }))
    }

    /// The requests that ended in a segment.
    fn segment(&mut self, segment: &Segment, lost: &mut u64) -> Result<Vec<Request>, StreamError> {
        let mut ended = Vec::new();
        let tail = match self.tails.remove(&segment.lane) {
            Some(tail) if tail.next() == segment.first => Ok(tail),
            Some(_) | None => Tail::open(
                &self.journal,
                &segment.lane,
                self.journal_key.duplicate(),
                segment.first,
            ),
        };
        let mut tail = tail?;
        tail.refresh()?;
        while let Some(found) = tail.read(segment.end())? {
            match found {
                Found::Lost(from, to) => *lost = lost.saturating_add(to.saturating_sub(from)),
                Found::Record(record, _) => {
                    self.note(&record.entry);
                    ended.extend(self.pairs.push(*record));
                }
            }
        }
        if tail.next() < segment.end() {
            let left = segment.end().saturating_sub(tail.next());
            *lost = lost.saturating_add(left);
        } else {
            self.tails.insert(segment.lane.clone(), tail);
        }
        Ok(ended)
    }

    /// Keeps in mind where each open request began.
    fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Intent { intent, .. } => {
                self.open.insert(intent.event, self.next);
                if self.open.len() > JOURNAL_PAIRS_MAX {
                    self.open.pop_first();
                }
            }
            Entry::Completion(completion) => {
                self.open.remove(&completion.event);
            }
            Entry::Whole { .. }
            | Entry::Session(_)
            | Entry::Mark { .. }
            | Entry::Policy { .. }
            | Entry::Open(_) => {}
        }
    }
}
