//! The records of a log's segments, wherever they are: in the journal, or in volumes once the
//! journal has let them go.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::archive::{Archive, unreadable};
use super::entries::broken;
use crate::archive::records_of;
use crate::cli::open::journal;
use crate::cli::output::CliError;
use crate::cli::serve::runtime;
use crate::journal::{Found, Tail, begins};
use crate::ledger::{Entry, Scope, Scopes, Segment, Session, SessionHash, Tag};
use crate::types::Secret;

/// One record.
pub(super) struct Held {
    pub(super) seq: u64,
    /// Its canonical bytes.
    pub(super) bytes: Vec<u8>,
    pub(super) entry: Entry,
    pub(super) scopes: Vec<Scope>,
    /// The session that it names, where that is known.
    pub(super) session: Option<(SessionHash, Arc<Session>)>,
}

/// What is there of a segment.
#[derive(Default)]
pub(super) struct Part {
    pub(super) records: Vec<Held>,
    /// Scopes whose records went when their time was over.
    pub(super) expired: BTreeSet<Tag>,
    /// All of it went.
    pub(super) gone: bool,
}

/// A volume in memory.
struct Loaded {
    first: u64,
    end: u64,
    records: BTreeMap<u64, Held>,
    expired: BTreeSet<Tag>,
}

/// Reads segments in the log's order.
pub(super) struct Records {
    dir: PathBuf,
    key: Secret<32>,
    /// `None` while the journal holds everything.
    archive: Option<Archive>,
    tails: BTreeMap<String, Tail>,
    volumes: BTreeMap<String, Loaded>,
    /// Where each request belongs whose completion comes later.
    scopes: Scopes,
}

impl Records {
    /// Of this journal; the archive is needed once it has let something go.
    pub(super) fn new(dir: PathBuf, key: Secret<32>, archive: Option<Archive>) -> Self {
        Self {
            dir,
            key,
            archive,
            tails: BTreeMap::new(),
            volumes: BTreeMap::new(),
            scopes: Scopes::default(),
        }
    }

    /// The volumes, where the journal does not hold everything any more.
    pub(super) const fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// The records of a segment. Of one that is not `wanted` nothing is told, but what is behind
    /// it may need it.
    pub(super) fn of(&mut self, segment: &Segment, wanted: bool) -> Result<Part, CliError> {
        let lane = &segment.lane;
        let begun = begins(&self.dir, lane, self.key.duplicate());
        if begun.map_err(|error| journal(&error))? == 0 {
            return self.in_journal(segment);
        }
        let Some(archive) = &self.archive else {
            return Err(broken(
                "the journal lacks records, and no volume is at hand",
            ));
        };
        if segment.first >= archive.index.end_of(lane) {
            return self.in_journal(segment);
        }
        if !wanted {
            return Ok(Part::default());
        }
        self.in_volume(segment)
    }

    fn in_volume(&mut self, segment: &Segment) -> Result<Part, CliError> {
        let lane = &segment.lane;
        let (first, end) = (segment.first, segment.end());
        let there = self.volumes.get(lane);
        if there.is_none_or(|volume| first < volume.first || end > volume.end) {
            let Some(loaded) = self.load(segment)? else {
                return Ok(Part {
                    gone: true,
                    ..Part::default()
                });
            };
            self.volumes.insert(lane.clone(), loaded);
        }
        let Some(volume) = self.volumes.get_mut(lane) else {
            return Ok(Part::default());
        };
        // Each is asked for once, in order.
        let behind = volume.records.split_off(&end);
        let mut records = std::mem::replace(&mut volume.records, behind);
        let records = records.split_off(&first);
        Ok(Part {
            records: records.into_values().collect(),
            expired: volume.expired.clone(),
            gone: false,
        })
    }

    /// Reads the volume that holds a segment; `None` where the volumes begin behind it.
    fn load(&self, segment: &Segment) -> Result<Option<Loaded>, CliError> {
        let lacking = || broken("the volumes lack records that are in the log");
        let archive = self.archive.as_ref().ok_or_else(lacking)?;
        let range = (segment.first, segment.end());
        let Some(place) = archive.index.holding(&segment.lane, range) else {
            let first = archive.index.of_lane(&segment.lane).next();
            let before = first.is_some_and(|first| range.1 <= first.meta.first);
            return if before { Ok(None) } else { Err(lacking()) };
        };
        let volume = runtime()?.block_on(archive.volume(place))?;
        let mut records = BTreeMap::new();
        let read = records_of(&volume, |found| {
            let row = found.row;
            let (entry, session) = match &row.end {
                Some((seq, end)) if *seq == found.seq => (Entry::Completion(end.clone()), None),
                Some(_) | None => (row.entry.clone(), row.entry.session().copied()),
            };
            let held = Held {
                seq: found.seq,
                bytes: found.bytes.to_vec(),
                entry,
                session: session.zip(row.session.clone()),
                scopes: found.scopes,
            };
            records.insert(found.seq, held);
            Ok(())
        });
        read.map_err(|error| unreadable(&error))?;
        Ok(Some(Loaded {
            first: place.meta.first,
            end: place.meta.end,
            records,
            expired: place.meta.expired(),
        }))
    }

    /// The tail of a lane, at the first record that no volume holds if it is read behind volumes.
    fn tail(&mut self, segment: &Segment) -> Result<&mut Tail, CliError> {
        match self.tails.entry(segment.lane.clone()) {
            Slot::Occupied(there) => Ok(there.into_mut()),
            Slot::Vacant(free) => {
                if segment.first > 0
                    && let Some(archive) = &self.archive
                {
                    for row in runtime()?.block_on(archive.open_of(&segment.lane))? {
                        self.scopes.of(&row.entry);
                    }
                }
                let key = self.key.duplicate();
                let tail = Tail::open(&self.dir, &segment.lane, key, segment.first);
                Ok(free.insert(tail.map_err(|error| journal(&error))?))
            }
        }
    }

    fn in_journal(&mut self, segment: &Segment) -> Result<Part, CliError> {
        let lacking = || broken("the journal does not hold what the log says");
        let mut records = Vec::new();
        loop {
            let tail = self.tail(segment)?;
            if tail.next() >= segment.end() {
                break;
            }
            let found = tail.read(segment.end()).map_err(|error| journal(&error))?;
            match found.ok_or_else(lacking)? {
                Found::Lost(..) if segment.lost => {}
                Found::Lost(..) => return Err(lacking()),
                Found::Record(record, bytes) => {
                    let hash = record.entry.session().copied();
                    records.push(Held {
                        seq: record.seq,
                        bytes,
                        scopes: self.scopes.of(&record.entry),
                        session: hash.zip(record.session),
                        entry: record.entry,
                    });
                }
            }
        }
        Ok(Part {
            records,
            ..Part::default()
        })
    }
}
