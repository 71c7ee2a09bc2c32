//! Folds records into rows: a request's intent and completion stand in one. Requests that are open
//! where a volume ends begin the next one again, so that each has all it needs in itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ArchiveError;
use crate::ledger::{Completion, Entry, Session};
use crate::types::EventId;
use crate::types::limits::LOG_OPEN_MAX;

/// One or two records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The record's number in its lane; below the volume's first where it was open before.
    pub seq: u64,
    /// The record.
    pub entry: Entry,
    /// The session that it refers to, where it is known.
    pub session: Option<Arc<Session>>,
    /// Of an intent: its completion and that record's number.
    pub end: Option<(u64, Completion)>,
}

impl Row {
    /// Whether it is a request that has not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.entry, Entry::Intent { .. }) && self.end.is_none()
    }
}

/// Takes records in the order of their numbers.
#[derive(Default)]
pub struct Fold {
    rows: Vec<Row>,
    open: BTreeMap<EventId, usize>,
}

impl Fold {
    /// Begins with the requests that were open.
    #[must_use]
    pub fn new(carried: Vec<Row>) -> Self {
        let events = carried.iter().enumerate();
        let open = events.filter_map(|(at, row)| Some((row.entry.event()?, at)));
        Self {
            open: open.collect(),
            rows: carried,
        }
    }

    /// Takes the next record.
    pub fn push(
        &mut self,
        seq: u64,
        entry: Entry,
        session: Option<Arc<Session>>,
    ) -> Result<(), ArchiveError> {
        let entry = match entry {
            Entry::Completion(completion) => {
                let at = self.open.remove(&completion.event);
                let row = at.and_then(|at| self.rows.get_mut(at));
                match row {
                    Some(row) => {
                        row.end = Some((seq, completion));
                        return Ok(());
                    }
                    None => Entry::Completion(completion),
                }
            }
            Entry::Intent { session, intent } => {
                self.open.insert(intent.event, self.rows.len());
                if self.open.len() > LOG_OPEN_MAX {
                    return Err(ArchiveError::Open);
                }
                Entry::Intent { session, intent }
            }
            other @ (Entry::Session(_)
            | Entry::Whole { .. }
            | Entry::Mark { .. }
            | Entry::Policy { .. }
            | Entry::Open(_)) => other,
        };
        self.rows.push(Row {
            seq,
            entry,
            session,
            end: None,
        });
        Ok(())
    }

    /// Takes out every row but those of requests that are open, by ascending number.
    pub fn drain(&mut self) -> Vec<Row> {
        let mut places: Vec<usize> = self.open.values().copied().collect();
        places.sort_unstable();
        let mut kept = Vec::with_capacity(places.len());
        let mut gone = Vec::with_capacity(self.rows.len());
        for (at, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            if places.binary_search(&at).is_ok() {
                kept.push(row);
            } else {
                gone.push(row);
            }
        }
        *self = Self::new(kept);
        gone
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, by ascending number.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The requests that are open, for the next volume. What a broken journal doubled stays behind.
    #[must_use]
    pub fn open(&self) -> Vec<Row> {
        let mut places: Vec<usize> = self.open.values().copied().collect();
        places.sort_unstable();
        let rows = places.into_iter().filter_map(|at| self.rows.get(at));
        rows.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples;

    fn intent(n: u8) -> Entry {
        Entry::Intent {
            session: [0; 32],
            intent: samples::intent(samples::event(n)),
        }
    }

    fn completion(n: u8) -> Entry {
        Entry::Completion(samples::completion(samples::event(n)))
    }

    #[test]
    fn a_request_is_one_row_wherever_it_ends() {
        let mut fold = Fold::default();
        for (seq, entry) in [intent(1), intent(2), completion(1)]
            .into_iter()
            .enumerate()
        {
            fold.push(seq as u64, entry, None).unwrap();
        }
        assert_eq!(fold.len(), 2);
        assert_eq!(fold.rows()[0].end.as_ref().unwrap().0, 2);
        let open = fold.open();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].seq, 1);
        // The next volume begins with it, and may leave it open again.
        let again = Fold::new(open.clone());
        assert_eq!(again.open(), open);
        let mut next = Fold::new(open);
        next.push(3, completion(2), None).unwrap();
        next.push(4, completion(2), None).unwrap();
        assert_eq!(next.rows()[0].end.as_ref().unwrap().0, 3);
        let mut drained = Fold::new(next.open());
        drained.push(5, intent(3), None).unwrap();
        drained.push(6, intent(4), None).unwrap();
        drained.push(7, completion(3), None).unwrap();
        assert_eq!(drained.drain().len(), 1);
        assert_eq!(drained.rows(), drained.open());
        drained.push(8, completion(4), None).unwrap();
        assert_eq!(drained.drain()[0].end.as_ref().unwrap().0, 8);
        assert!(drained.is_empty());
        // The second completion of one request is a row of its own.
        assert!(matches!(next.rows()[1].entry, Entry::Completion(_)));
        assert!(next.open().is_empty());
    }
}
