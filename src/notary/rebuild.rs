//! Makes a lost shelf again from what is kept of a log elsewhere: its bundles of entries and the
//! states of its last rounds. The tiles follow from the entries.

use std::collections::BTreeMap;

use super::round::rolled_back;
use super::state::State;
use super::{CHECKPOINT, NotaryError, NotaryKeys, STATE, Shelf};
use crate::ledger::leaf_hash;
use crate::ledger::tlog::{Checkpoint, Growth, Hash, Note, Tile, TileKind, decode_bundle};
use crate::seal::open_log_state;

/// A bundle, by its index, and how many entries it holds, `None` behind the last; or why it cannot
/// be had.
pub type ReadBundle<'a> = dyn FnMut(u64) -> Result<Option<(u16, Vec<u8>)>, String> + 'a;

const FORKED: &str = "the checkpoint that is here is of another history than the log that is kept \
                      elsewhere, which was rolled back or forked: this directory is the proof";
const AHEAD: &str = "the checkpoint that is here is ahead of the log that is kept elsewhere";
const UNFIT: &str = "the log's entries are not those of its rounds";
const CHANGED: &str = "the log's entries changed while they were read";

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

    /// Writes tiles, checkpoint and, last, the newest of `states`. **Where something is here,
    /// nothing of it is touched** before all of the log was held against the checkpoint that is
    /// here, and against the roots that the states name. The checkpoint that is signed is that of
    /// the newest state, which names the root of what stands before its own entries: none that
    /// could fork.
    pub fn run(
        &self,
        place: &dyn Shelf,
        read: &mut ReadBundle<'_>,
        states: &[Vec<u8>],
    ) -> Result<(), NotaryError> {
        let Some(newest) = states.last() else {
            return Ok(());
        };
        let shown = self.shown(place)?;
        let state = place.read(STATE)?;
        let mut seen = None;
        if shown.is_some() || state.is_some() {
            let mut looked = self.again(None, states, (shown.as_ref(), state.as_ref()))?;
            self.walk(&mut looked, read, states)?;
            seen = Some(looked.seen);
        }
        let mut again = self.again(Some(place), states, (shown.as_ref(), None))?;
        again.known = seen;
        self.walk(&mut again, read, states)?;
        again.flush()?;
        let (size, root) = (again.growth.size(), again.growth.root());
        let checkpoint = Checkpoint::new(self.origin.to_owned(), size, root);
        let note = checkpoint.sign(&self.keys.signer(self.origin)?)?;
        place.put(CHECKPOINT, note.to_string().as_bytes())?;
        Ok(place.put(STATE, newest)?)
    }

    /// The checkpoint that is here, which may have been shown to others.
    fn shown(&self, place: &dyn Shelf) -> Result<Option<Checkpoint>, NotaryError> {
        let Some(bytes) = place.read(CHECKPOINT)? else {
            return Ok(None);
        };
        let key = self.keys.public(self.origin)?;
        let note = Note::parse(&bytes).ok();
        match note.and_then(|note| Checkpoint::open(&note, &key).ok()) {
            Some(shown) => Ok(Some(shown)),
            None => Err(rolled_back("the checkpoint that is here is not this log's")),
        }
    }

    /// A tree to be made again, and what is known of its roots.
    fn again<'p>(
        &self,
        place: Option<&'p dyn Shelf>,
        states: &[Vec<u8>],
        (shown, here): (Option<&Checkpoint>, Option<&Vec<u8>>),
    ) -> Result<Again<'p>, NotaryError> {
        let mut roots: BTreeMap<u64, Vec<(Hash, &'static str)>> = BTreeMap::new();
        if let Some(shown) = shown {
            roots
                .entry(shown.size)
                .or_default()
                .push((shown.root, FORKED));
        }
        let named = states.iter().map(|state| (state, UNFIT));
        let mut begins = 0;
        for (sealed, what) in here.map(|here| (here, FORKED)).into_iter().chain(named) {
            let state = self.state(sealed)?;
            if let Some(root) = state.root {
                roots.entry(state.base).or_default().push((root, what));
            }
            begins = state.base;
        }
        Ok(Again {
            growth: Growth::new(),
            partial: BTreeMap::new(),
            place,
            roots,
            begins,
            seen: Vec::new(),
            known: None,
        })
    }

    /// Makes the tree of all bundles, then of the entries of the rounds behind them.
    fn walk(
        &self,
        again: &mut Again<'_>,
        read: &mut ReadBundle<'_>,
        states: &[Vec<u8>],
    ) -> Result<(), NotaryError> {
        let failed = |what| NotaryError::Internal { what };
        for index in 0_u64.. {
            let Some((width, bytes)) = read(index).map_err(failed)? else {
                break;
            };
            again.saw(leaf_hash(&bytes))?;
            for entry in decode_bundle(width, &bytes)? {
                again.push(entry.to_vec())?;
            }
            again.write()?;
        }
        let mut end = 0;
        for sealed in states {
            let state = self.state(sealed)?;
            let had = again.growth.size().checked_sub(state.base);
            let had = had.ok_or_else(|| rolled_back("entries of the log are missing"))?;
            let had = usize::try_from(had).unwrap_or(usize::MAX);
            let entries = u64::try_from(state.entries.len()).unwrap_or(u64::MAX);
            end = state.base.saturating_add(entries);
            for entry in state.entries.into_iter().skip(had) {
                again.push(entry)?;
            }
        }
        again.end(end)
    }
}

/// A tree as it is made again.
struct Again<'a> {
    growth: Growth,
    partial: BTreeMap<u8, (Tile, Vec<u8>)>,
    /// Where it is written; `None` where it is only looked at.
    place: Option<&'a dyn Shelf>,
    /// What its root must be at some sizes, and what is wrong where it is not.
    roots: BTreeMap<u64, Vec<(Hash, &'static str)>>,
    /// Who opens the log begins with the tiles before its newest round, wherever that lies in the
    /// bundles.
    begins: u64,
    /// The bundles that were read.
    seen: Vec<Hash>,
    /// Those that must be read.
    known: Option<Vec<Hash>>,
}

impl Again<'_> {
    /// Another bundle was read: where it was read before, the same.
    fn saw(&mut self, bundle: Hash) -> Result<(), NotaryError> {
        let known = self.known.as_ref().map(|known| known.get(self.seen.len()));
        if known.is_some_and(|known| known != Some(&bundle)) {
            return Err(rolled_back(CHANGED));
        }
        self.seen.push(bundle);
        Ok(())
    }

    fn push(&mut self, entry: Vec<u8>) -> Result<(), NotaryError> {
        self.look()?;
        if self.growth.size() == self.begins {
            self.flush()?;
        }
        Ok(self.growth.push(entry)?)
    }

    /// Holds it against what is known of its root at this size.
    fn look(&self) -> Result<(), NotaryError> {
        let roots = self.roots.get(&self.growth.size());
        match roots
            .into_iter()
            .flatten()
            .find(|(root, _)| *root != self.growth.root())
        {
            Some((_, what)) => Err(rolled_back(what)),
            None => Ok(()),
        }
    }

    /// All is there: so many entries, and no root beyond them is known.
    fn end(&self, size: u64) -> Result<(), NotaryError> {
        self.look()?;
        if self.growth.size() != size {
            return Err(rolled_back(
                "there are entries of the log beyond its newest state",
            ));
        }
        if self
            .roots
            .keys()
            .next_back()
            .is_some_and(|known| *known > size)
        {
            return Err(rolled_back(AHEAD));
        }
        Ok(())
    }

    /// Writes all tiles of what was pushed.
    fn flush(&mut self) -> Result<(), NotaryError> {
        self.write()?;
        if let Some(place) = self.place {
            for (tile, bytes) in self.partial.values() {
                place.put(&tile.to_string(), bytes)?;
            }
        }
        Ok(())
    }

    /// Writes the full tiles, and remembers the partial ones: most are full soon.
    fn write(&mut self) -> Result<(), NotaryError> {
        for (tile, bytes) in self.growth.files()? {
            let level = match tile.kind {
                TileKind::Entries => u8::MAX,
                TileKind::Hashes(level) => level,
            };
            if !tile.is_full() {
                self.partial.insert(level, (tile, bytes));
                continue;
            }
            self.partial.remove(&level);
            if let Some(place) = self.place {
                place.put(&tile.to_string(), &bytes)?;
            }
        }
        Ok(())
    }
}
