//! Whether volumes that were found in the store are all that there must be. An index that was kept
//! beside the log says which there are; one that is made again from the store knows of none that
//! the store took away, so it is held against the log's entries.

use std::collections::BTreeMap;
use std::path::Path;

use super::archive::LogKeys;
use super::entries::{broken, each, signed};
use super::source::DirSource;
use crate::archive::Index;
use crate::cli::open::journal;
use crate::cli::output::{CliError, Exit};
use crate::journal::{begins, lanes};
use crate::ledger::evidence::Source as _;
use crate::ledger::{Scope, Segment};

/// What is there of a lane: volumes from and to a record, and the journal from one on.
struct Held {
    volumes: Option<(u64, u64)>,
    journal: u64,
}

impl Held {
    fn of(index: &Index, (dir, keys): (&Path, &LogKeys), lane: &str) -> Result<Self, CliError> {
        let known = lanes(dir).map_err(|error| journal(&error))?;
        // Another gateway's journal is not here: what it holds is no excuse for the store.
        let journal = if known.iter().any(|known| known == lane) {
            begins(dir, lane, keys.notary.journal.duplicate()).map_err(|error| journal(&error))?
        } else {
            u64::MAX
        };
        let first = index.of_lane(lane).next();
        Ok(Self {
            volumes: first.map(|first| (first.meta.first, index.end_of(lane))),
            journal,
        })
    }

    fn holds(&self, segment: &Segment) -> bool {
        let (first, end) = self.volumes.unwrap_or((0, 0));
        let in_volumes = first <= segment.first && segment.end() <= end;
        // Behind volumes questions go on in the journal; before them nothing is asked of it.
        in_volumes || (segment.first >= end && segment.first >= self.journal)
    }
}

/// Refuses an index that was made again if records are in the log, in no volume, and not over.
pub(super) fn check(
    index: &Index,
    (log, journal): (&Path, &Path),
    keys: &LogKeys,
) -> Result<(), CliError> {
    let mut log = DirSource::new(log);
    if log.read("checkpoint")?.is_none() {
        return Ok(());
    }
    let public = keys.notary.public(&keys.origin);
    let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
    let (_, checkpoint) = signed(&mut log, "checkpoint", &public)?;
    let key = keys.notary.scope_key();
    let known: BTreeMap<_, Scope> = keys.kept.scopes().map(|s| (key.tag(&s), s)).collect();
    let mut lanes: BTreeMap<String, Held> = BTreeMap::new();
    each(&mut log, (0, checkpoint.size), |_, segment| {
        if !lanes.contains_key(&segment.lane) {
            let held = Held::of(index, (journal, keys), &segment.lane)?;
            lanes.insert(segment.lane.clone(), held);
        }
        let there = lanes.get(&segment.lane);
        if segment.lost || there.is_some_and(|held| held.holds(&segment)) {
            return Ok(());
        }
        let is_over = segment.scopes.iter().all(|root| {
            // A scope of which nothing is known is kept as long as any.
            let scope = known.get(&root.tag).unwrap_or(&Scope::Vault);
            segment.time < keys.kept.since(scope, keys.now)
        });
        if is_over {
            return Ok(());
        }
        Err(broken(&format!(
            "records {} to {} of lane {} are in the log and in no volume, and their time is not over",
            segment.first,
            segment.end(),
            segment.lane
        )))
    })
}
