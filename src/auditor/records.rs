//! The records of the log's segments, whole: from the journal, or from the volumes where the journal
//! does not hold them any more. What comes from either is for the caller to hold against the log.

use std::collections::BTreeMap;

use super::archive::{Archive, unreadable};
use super::entries::broken;
use crate::archive::{Kept, records_of};
use crate::cli::open::journal;
use crate::cli::output::CliError;
use crate::config::Config;
use crate::journal::{Found, Tail};
use crate::ledger::Segment;
use crate::types::Secret;

/// Reads segments in the order of each lane.
pub(super) struct Records<'a> {
    archive: &'a Archive,
    config: &'a Config,
    tails: BTreeMap<String, Tail>,
    /// The volume that was read last: lane, and its records.
    volume: Option<(String, Vec<Kept>)>,
}

impl<'a> Records<'a> {
    pub(super) const fn new(archive: &'a Archive, config: &'a Config) -> Self {
        Self {
            archive,
            config,
            tails: BTreeMap::new(),
            volume: None,
        }
    }

    fn key(&self) -> Secret<32> {
        self.archive.keys.notary.journal.duplicate()
    }

    /// The records of a segment; `None` where it was logged without any, as lost.
    pub(super) async fn of(&mut self, segment: &Segment) -> Result<Option<Vec<Kept>>, CliError> {
        if segment.lost {
            return Ok(None);
        }
        if let Some(records) = self.journal(segment)? {
            return Ok(Some(records));
        }
        self.volume(segment).await.map(Some)
    }

    /// From the journal; `None` where it lacks some.
    fn journal(&mut self, segment: &Segment) -> Result<Option<Vec<Kept>>, CliError> {
        let dir = &self.config.journal.dir;
        if !dir.join(&segment.lane).is_dir() {
            return Ok(None);
        }
        let mut tail = match self.tails.remove(&segment.lane) {
            Some(tail) if tail.next() == segment.first => tail,
            // It is known to lack what comes before.
            Some(tail) if tail.next() > segment.first => {
                self.tails.insert(segment.lane.clone(), tail);
                return Ok(None);
            }
            Some(_) | None => {
                let opened = Tail::open(dir, &segment.lane, self.key(), segment.first);
                opened.map_err(|error| journal(&error))?
            }
        };
        tail.refresh().map_err(|error| journal(&error))?;
        let mut records = Vec::new();
        let mut whole = true;
        while tail.next() < segment.end() {
            match tail.read(segment.end()).map_err(|error| journal(&error))? {
                Some(Found::Record(record, bytes)) => records.push(Kept {
                    seq: record.seq,
                    entry: record.entry,
                    session: record.session,
                    bytes,
                }),
                Some(Found::Lost(..)) => whole = false,
                None => {
                    whole = false;
                    break;
                }
            }
        }
        self.tails.insert(segment.lane.clone(), tail);
        Ok(whole.then_some(records))
    }

    /// From the volume that covers it.
    async fn volume(&mut self, segment: &Segment) -> Result<Vec<Kept>, CliError> {
        let missing = || {
            broken(&format!(
                "neither journal nor volumes hold records {} to {} of lane {}",
                segment.first,
                segment.end(),
                segment.lane
            ))
        };
        let within = |records: &[Kept]| {
            let from = records.partition_point(|kept| kept.seq < segment.first);
            let to = records.partition_point(|kept| kept.seq < segment.end());
            let count = to.saturating_sub(from);
            (u64::try_from(count).ok() == Some(segment.count)).then_some((from, to))
        };
        let held = self.volume.as_ref();
        let held = held.is_some_and(|(lane, all)| *lane == segment.lane && within(all).is_some());
        if !held {
            let places = self.archive.index.volumes().iter();
            let place = places
                .filter(|place| place.meta.lane == segment.lane)
                .find(|place| place.meta.first <= segment.first && segment.end() <= place.meta.end);
            let volume = self.archive.volume(place.ok_or_else(missing)?).await?;
            let records = records_of(&volume).map_err(|error| unreadable(&error))?;
            self.volume = Some((segment.lane.clone(), records));
        }
        let (_, all) = self.volume.as_ref().ok_or_else(missing)?;
        let (from, to) = within(all).ok_or_else(missing)?;
        let records = all.get(from..to).unwrap_or_default();
        Ok(records.to_vec())
    }
}
