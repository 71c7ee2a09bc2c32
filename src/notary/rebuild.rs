//! Makes a lost shelf again from what is kept of a log elsewhere: its bundles of entries and the
//! states of its last rounds. The tiles follow from the entries.

use std::collections::BTreeMap;

use super::round::rolled_back;
use super::state::State;
use super::{CHECKPOINT, NotaryError, NotaryKeys, STATE, Shelf};
use crate::ledger::tlog::{Checkpoint, Growth, Tile, TileKind, decode_bundle};
use crate::seal::open_log_state;

/// The next bundle, in order, and how many entries it holds; or why it cannot be had.
pub type NextBundle<'a> = dyn FnMut() -> Result<Option<(u16, Vec<u8>)>, String> + 'a;

/// What a log is made again with.
pub struct Rebuild<'a> {
    /// The log's name.
    pub origin: &'a str,
    /// Its keys.
    pub keys: &'a NotaryKeys,
}

impl Rebuild<'_> {
    fn state(&self, sealed: &[u8]) -> Result<State, NotaryError> {
        let plain = open_log_state(&self.keys.state, self.origin, sealed);
        let plain = plain.map_err(|_refused| NotaryError::State)?;
        State::decode(&plain).ok_or(NotaryError::State)
    }

    /// The log's sizes before and after the round of a state.
    pub fn sizes(&self, sealed: &[u8]) -> Result<(u64, u64), NotaryError> {
        let state = self.state(sealed)?;
        let entries = u64::try_from(state.entries.len()).unwrap_or(u64::MAX);
        Ok((state.base, state.base.saturating_add(entries)))
    }

    /// Writes tiles, checkpoint and, last, the newest of `states`. The checkpoint is that of this
    /// state, which its keeper signs in any case: nothing is signed that could fork.
    pub fn run(
        &self,
        place: &dyn Shelf,
        next: &mut NextBundle<'_>,
        states: &[Vec<u8>],
    ) -> Result<(), NotaryError> {
        let mut growth = Growth::new();
        let mut partial = BTreeMap::new();
        let Some(newest) = states.last() else {
            return Ok(());
        };
        // Who opens the log begins with the tiles before its newest round, wherever that lies in
        // the bundles.
        let begins = self.sizes(newest)?.0;
        while let Some((width, bytes)) = next().map_err(|what| NotaryError::Internal { what })? {
            for entry in decode_bundle(width, &bytes)? {
                if growth.size() == begins {
                    flush(place, &mut growth, &mut partial)?;
                }
                growth.push(entry.to_vec())?;
            }
            write(place, &mut growth, &mut partial)?;
        }
        for sealed in states {
            let state = self.state(sealed)?;
            let had = growth.size().checked_sub(state.base);
            let had = had.ok_or_else(|| rolled_back("entries of the log are missing"))?;
            let had = usize::try_from(had).unwrap_or(usize::MAX);
            for entry in state.entries.into_iter().skip(had) {
                if growth.size() == begins {
                    flush(place, &mut growth, &mut partial)?;
                }
                growth.push(entry)?;
            }
        }
        if self.sizes(newest)?.1 != growth.size() {
            return Err(rolled_back(
                "there are entries of the log beyond its newest state",
            ));
        }
        flush(place, &mut growth, &mut partial)?;
        let checkpoint = Checkpoint::new(self.origin.to_owned(), growth.size(), growth.root());
        let note = checkpoint.sign(&self.keys.signer(self.origin)?)?;
        place.put(CHECKPOINT, note.to_string().as_bytes())?;
        Ok(place.put(STATE, newest)?)
    }
}

/// Writes all tiles of what was pushed.
fn flush(
    shelf: &dyn Shelf,
    growth: &mut Growth,
    partial: &mut BTreeMap<u8, (Tile, Vec<u8>)>,
) -> Result<(), NotaryError> {
    write(shelf, growth, partial)?;
    for (tile, bytes) in partial.values() {
        shelf.put(&tile.to_string(), bytes)?;
    }
    Ok(())
}

/// Writes the full tiles, and remembers the partial ones: most are full soon.
fn write(
    shelf: &dyn Shelf,
    growth: &mut Growth,
    partial: &mut BTreeMap<u8, (Tile, Vec<u8>)>,
) -> Result<(), NotaryError> {
    for (tile, bytes) in growth.files()? {
        let level = match tile.kind {
            TileKind::Entries => u8::MAX,
            TileKind::Hashes(level) => level,
        };
        if tile.is_full() {
            partial.remove(&level);
            shelf.put(&tile.to_string(), &bytes)?;
        } else {
            partial.insert(level, (tile, bytes));
        }
    }
    Ok(())
}
