//! The newest records: what the journal holds behind the volumes.

use super::archive::{Archive, unreadable};
use crate::archive::{Fold, Row};
use crate::cli::open::journal;
use crate::cli::output::{CliError, Exit};
use crate::cli::words::count;
use crate::config::Config;
use crate::journal::{Found, Tail, lanes};
use crate::types::limits::ARCHIVE_HOT_RECORDS_MAX;

/// Follows every lane of the journal from where its volumes end.
pub(super) struct Hot {
    lanes: Vec<HotLane>,
    /// Records that were read in all.
    read: usize,
    config: Config,
}

struct HotLane {
    name: String,
    tail: Tail,
    fold: Fold,
    /// Records that cannot be read any more.
    lost: u64,
}

impl Hot {
    /// Begins where the volumes end, with what is open there.
    pub(super) async fn open(archive: &Archive, config: &Config) -> Result<Self, CliError> {
        let mut hot = Self {
            lanes: Vec::new(),
            read: 0,
            config: config.clone(),
        };
        hot.find(archive).await?;
        Ok(hot)
    }

    /// Looks for lanes that are new.
    async fn find(&mut self, archive: &Archive) -> Result<(), CliError> {
        let dir = self.config.journal.dir.clone();
        for name in lanes(&dir).map_err(|error| journal(&error))? {
            if self.lanes.iter().any(|lane| lane.name == name) {
                continue;
            }
            let key = archive.keys.notary.journal.duplicate();
            let tail = Tail::open(&dir, &name, key, archive.index.end_of(&name));
            self.lanes.push(HotLane {
                tail: tail.map_err(|error| journal(&error))?,
                fold: Fold::new(archive.open_of(&name).await?),
                name,
                lost: 0,
            });
        }
        Ok(())
    }

    /// Reads what was written since, and hands over each request that has ended and each other
    /// record; requests that are open stay behind.
    pub(super) async fn read(
        &mut self,
        archive: &Archive,
        mut take: impl FnMut(&str, Row) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        self.find(archive).await?;
        for lane in &mut self.lanes {
            lane.tail.refresh().map_err(|error| journal(&error))?;
            loop {
                let found = lane.tail.read(u64::MAX).map_err(|error| journal(&error))?;
                match found {
                    None => break,
                    Some(Found::Lost(from, to)) => {
                        lane.lost = lane.lost.saturating_add(to.saturating_sub(from));
                    }
                    Some(Found::Record(record, _)) => {
                        let pushed = lane.fold.push(record.seq, record.entry, record.session);
                        pushed.map_err(|error| unreadable(&error))?;
                        self.read = self.read.saturating_add(1);
                    }
                }
                if lane.fold.len() >= crate::types::limits::ARCHIVE_BATCH_ROWS {
                    for row in lane.fold.drain() {
                        take(&lane.name, row)?;
                    }
                }
                if self.read > ARCHIVE_HOT_RECORDS_MAX {
                    return Err(CliError::new(
                        Exit::Unavailable,
                        "too many records are in no volume yet",
                    )
                    .hint("`kluis-audit ship` closes them; `--watch` keeps it at that"));
                }
            }
            for row in lane.fold.drain() {
                take(&lane.name, row)?;
            }
        }
        Ok(())
    }

    /// The requests that are open.
    pub(super) fn open_rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|lane| lane.fold.rows().iter().map(|row| (&*lane.name, row)))
    }

    /// How many records cannot be read any more.
    pub(super) fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.lost).sum()
    }

    /// From here on as many records again may come.
    #[cfg(feature = "sql")]
    pub(super) const fn forget(&mut self) {
        self.read = 0;
    }
}

/// What is told of records that cannot be read any more.
pub(super) fn lost_words(lost: u64) -> String {
    let records = count(lost, "record", "records");
    format!("{records} cannot be read any more")
}
