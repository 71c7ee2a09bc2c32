//! The log's second place: each round is in the store before it is on the shelf, so before any
//! checkpoint of it leaves; each full bundle of entries, too. All other files of the log are made
//! of these.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::blob::{Digest, Round, decode_bundle, digest, encode_bundle};
use super::names::{Item, Kind};
use super::place::{Listing, Opened, Place, word};
use super::standing::Writers;
use super::{Gate, GateError, broken};
use crate::journal::JournalError;
use crate::ledger::tlog::{Tile, TileKind};
use crate::notary::{CHECKPOINT, Rebuild, STATE, Shelf, tile};

/// The scope of the log's blobs; no lane is called so.
const LOG: &str = "log/";

/// So many rounds of another keeper are taken up at once; the rest at the next try.
const ROUNDS: usize = 1_024;

/// A bundle of entries: its index, and its width where it is not full.
fn bundle(index: u64, width: u16) -> Item {
    let low = u64::from(width) % 256;
    Item::new(Kind::Bundle, index.saturating_mul(256).saturating_add(low))
}

/// A round that is not known to be both in the store and on the shelf.
struct UnderWay {
    sealed: Bytes,
    state: Vec<u8>,
    /// The store has it.
    stored: bool,
}

#[derive(Default)]
struct Line {
    /// The number of the next round.
    next: u64,
    previous: Digest,
    under_way: Option<UnderWay>,
    /// Rounds of another keeper, from `next` on, that were listed and are not here yet.
    others: VecDeque<(Item, u64)>,
    /// The number of the newest round that filled a bundle: the entries of all rounds before it are
    /// in full bundles, so that these can go.
    full: Option<u64>,
}

/// A shelf whose log the store holds as well.
pub struct StoreShelf {
    inner: Box<dyn Shelf>,
    place: Arc<Place>,
    writers: Writers,
    line: Mutex<Line>,
}

impl StoreShelf {
    /// Brings shelf and store to one state: a log that the shelf lacks is made again, one that the
    /// store lacks is sent. Blocks.
    pub fn open(
        gate: &Gate,
        inner: Box<dyn Shelf>,
        rebuild: &Rebuild<'_>,
    ) -> Result<Self, GateError> {
        let shelf = Self {
            inner,
            place: Arc::clone(&gate.place),
            writers: gate.writers.clone(),
            line: Mutex::default(),
        };
        // A listing comes in pages, and the keeper whose journal was taken over may have made its
        // last round beside it: what does not fit is looked at again.
        match shelf.reconcile(rebuild) {
            Err(GateError::Broken { .. }) => shelf.reconcile(rebuild)?,
            done => done?,
        }
        Ok(shelf)
    }

    fn reconcile(&self, rebuild: &Rebuild<'_>) -> Result<(), GateError> {
        let listing = self.place.list(LOG)?;
        let rounds = of_kind(&listing, Kind::Round);
        if rounds.is_empty() {
            return self.send_all(&listing, rebuild);
        }
        self.bring_back(&listing, &rounds, rebuild)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has no round: what the shelf has begins there.
    fn send_all(&self, listing: &Listing, rebuild: &Rebuild<'_>) -> Result<(), GateError> {
        let Some(state) = self.inner.read(STATE).map_err(disk)? else {
            if listing.is_empty() {
                return Ok(());
            }
            return Err(broken(
                "the store has entries of the log and no round of it",
            ));
        };
        let base = rebuild.sizes(&state).map_err(log)?.0;
        for index in 0..base.div_ceil(256) {
            let Some(at) = Tile::of(TileKind::Entries, index, base) else {
                break;
            };
            let item = bundle(index, at.width);
            if !listing.contains_key(&item) {
                let bytes = tile(&mut |name| self.inner.read(name), &at);
                let bytes = bytes.map_err(|error| broken(error.to_string()))?;
                self.place.put(LOG, item, &encode_bundle(&bytes))?;
            }
        }
        let mut line = self.line();
        self.begin(&mut line, &state)?;
        self.flush(&mut line)?;
        line.under_way = None;
        Ok(())
    }

    /// The store has rounds: the shelf is made what they say.
    fn bring_back(
        &self,
        listing: &Listing,
        rounds: &[(Item, u64)],
        rebuild: &Rebuild<'_>,
    ) -> Result<(), GateError> {
        for pair in rounds.windows(2) {
            if let [(before, _), (after, _)] = pair
                && after.number != before.number.saturating_add(1)
            {
                return Err(broken("the store has lost a round of the log"));
            }
        }
        let read = self.place.read(LOG, rounds)?;
        let states = follow(&read)?;
        let newest = states.last().map_or(&[][..], Vec::as_slice);
        let here = self.inner.read(STATE).map_err(disk)?;
        let at = states
            .iter()
            .rposition(|state| Some(state) == here.as_ref());
        // What the shelf has is finished there, and then come those behind it, one by one.
        let newest_here = at.unwrap_or_else(|| states.len().saturating_sub(1));
        let mut line = self.line();
        line.previous = read
            .get(newest_here)
            .map(|round| round.digest)
            .unwrap_or_default();
        line.others = rounds
            .iter()
            .skip(newest_here.saturating_add(1))
            .copied()
            .collect();
        line.next = rounds
            .get(newest_here)
            .map_or(0, |(item, _)| item.number.saturating_add(1));
        drop(line);
        if at.is_some() {
            return Ok(());
        }
        if let Some(here) = &here {
            let (base, end) = rebuild.sizes(here).map_err(log)?;
            if base.max(end) > rebuild.sizes(newest).map_err(log)?.1 {
                return Err(broken(
                    "the log's directory is ahead of the store: the store lost or hides its newest \
                     rounds, or the log was kept without the gate; docs/audit.md says what to do",
                ));
            }
        }
        let bundles = of_kind(listing, Kind::Bundle);
        let full = bundles.iter().filter(|(item, _)| item.number % 256 == 0);
        let full: Vec<(Item, u64)> = full.copied().collect();
        let count = u64::try_from(full.len()).unwrap_or(u64::MAX);
        let rest = bundles
            .iter()
            .filter(|(item, _)| item.number / 256 == count && item.number % 256 > 0);
        let rest = rest.max_by_key(|(item, _)| item.number);
        let all: Vec<(Item, u64)> = full.iter().chain(rest).copied().collect();
        let mut read = |index: u64| -> Result<Option<(u16, Vec<u8>)>, String> {
            let at = usize::try_from(index).ok().and_then(|index| all.get(index));
            let Some((item, bytes)) = at.copied() else {
                return Ok(None);
            };
            let lost = || "the store has lost entries of the log".to_owned();
            if item.number / 256 != index {
                return Err(lost());
            }
            let opened = self.place.read_one(LOG, (item, bytes));
            let opened = opened.map_err(|error| error.to_string())?;
            let entries = decode_bundle(&opened.plain).ok_or_else(lost)?;
            let width = u16::try_from(item.number % 256).unwrap_or(0);
            let width = if width == 0 { 256 } else { width };
            Ok(Some((width, entries.to_vec())))
        };
        tracing::info!("the log's directory is made again from the store");
        rebuild.run(&*self.inner, &mut read, &states).map_err(log)
    }

    /// Prepares a round; from here on its number is for these bytes.
    fn begin(&self, line: &mut Line, state: &[u8]) -> Result<(), GateError> {
        let plain = Round::encode(&line.previous, state);
        let item = Item::new(Kind::Round, line.next);
        line.under_way = Some(UnderWay {
            sealed: self.place.seal(LOG, item, &plain)?,
            state: state.to_vec(),
            stored: false,
        });
        Ok(())
    }

    /// Sends what is under way until the store has it.
    fn flush(&self, line: &mut Line) -> Result<(), GateError> {
        let Line {
            next,
            previous,
            under_way: Some(under_way),
            ..
        } = line
        else {
            return Ok(());
        };
        if !under_way.stored {
            let item = Item::new(Kind::Round, *next);
            self.place.put_sealed(LOG, item, &under_way.sealed)?;
            under_way.stored = true;
            *next = next.saturating_add(1);
            *previous = digest(&under_way.sealed);
        }
        Ok(())
    }

    /// Brings what was begun to both places. Where another keeper has taken its name, what that
    /// one made belongs to the log and comes first; what was begun here never was in it.
    fn finish(&self, line: &mut Line) -> Result<(), GateError> {
        if line.under_way.is_none() {
            return Ok(());
        }
        self.must_write()?;
        match self.flush(line) {
            Err(GateError::Journal(JournalError::Superseded)) => return self.give_way(line),
            done => done?,
        }
        if let Some(under_way) = &line.under_way {
            self.inner.put(STATE, &under_way.state).map_err(disk)?;
        }
        line.under_way = None;
        Ok(())
    }

    /// No round is made by whoever does not write the journal any more.
    fn must_write(&self) -> Result<(), GateError> {
        if self.writers.are_superseded() {
            return Err(JournalError::Superseded.into());
        }
        Ok(())
    }

    /// Lists the rounds of another keeper that follow those that are here, and takes up the first:
    /// the journal was taken over from whoever made them.
    fn give_way(&self, line: &mut Line) -> Result<(), GateError> {
        if self.writers.look(&self.place)? {
            return Err(JournalError::Superseded.into());
        }
        let listing = self.place.list(LOG)?;
        let others = (line.next..).map_while(|number| {
            let item = Item::new(Kind::Round, number);
            listing.get(&item).map(|bytes| (item, *bytes))
        });
        line.others = others.take(ROUNDS).collect();
        if self.follow_next(line)? {
            line.under_way = None;
            return Ok(());
        }
        Err(broken(
            "a round of the log is in the store and is not listed",
        ))
    }

    /// Takes up the next round of another keeper, if one is known: it must follow what is here.
    fn follow_next(&self, line: &mut Line) -> Result<bool, GateError> {
        let Some(at) = line.others.pop_front() else {
            return Ok(false);
        };
        let taken = self.take_up(line, at);
        if taken.is_err() {
            // Listed again where the next round's name is taken.
            line.others.clear();
        }
        taken.map(|()| true)
    }

    fn take_up(&self, line: &mut Line, at: (Item, u64)) -> Result<(), GateError> {
        let opened = self.place.read_one(LOG, at)?;
        let round = Round::decode(&opened.plain);
        let round = round.filter(|round| round.previous == line.previous);
        let wrong = || broken(format!("{} of the log does not follow ours", word(at.0)));
        let round = round.ok_or_else(wrong)?;
        tracing::warn!(round = at.0.number, "the last gateway's round is taken up");
        self.inner.put(STATE, &round.state).map_err(disk)?;
        line.next = at.0.number.saturating_add(1);
        line.previous = opened.digest;
        Ok(())
    }

    /// Removes the rounds before this one, which filled a bundle.
    fn clear(&self, filled: u64) -> Result<(), GateError> {
        let listing = self.place.list(LOG)?;
        let full = listing
            .keys()
            .filter(|item| item.kind == Kind::Bundle && item.number % 256 == 0);
        let full = u64::try_from(full.count()).unwrap_or(0);
        let gone = listing.keys().filter(|item| match item.kind {
            Kind::Round => item.number < filled,
            Kind::Bundle => item.number % 256 > 0 && item.number / 256 < full,
            Kind::Batch | Kind::Whole | Kind::Mark => false,
        });
        let gone: Vec<Item> = gone.copied().collect();
        self.place.delete(LOG, &gone)
    }
}

fn of_kind(listing: &Listing, kind: Kind) -> Vec<(Item, u64)> {
    let of = listing.iter().filter(|(item, _)| item.kind == kind);
    of.map(|(item, bytes)| (*item, *bytes)).collect()
}

/// The states of rounds, each of which says which came before it.
fn follow(read: &[Opened]) -> Result<Vec<Vec<u8>>, GateError> {
    let mut states = Vec::new();
    let mut before: Option<Digest> = None;
    for opened in read {
        let round = Round::decode(&opened.plain);
        let round = round.filter(|round| before.is_none_or(|before| round.previous == before));
        let wrong = || broken("a round of the log in the store does not follow the one before");
        states.push(round.ok_or_else(wrong)?.state);
        before = Some(opened.digest);
    }
    Ok(states)
}

#[expect(clippy::needless_pass_by_value, reason = "a converter for map_err")]
fn disk(error: io::Error) -> GateError {
    GateError::System(format!("the disk of the log: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "a converter for map_err")]
fn log(error: crate::notary::NotaryError) -> GateError {
    broken(format!("the log in the store: {error}"))
}

/// What the notary is told: the log lags meanwhile, and the journal goes on.
fn told(error: GateError) -> io::Error {
    if matches!(error, GateError::Journal(JournalError::Superseded)) {
        return io::Error::other("another gateway keeps this log in the store");
    }
    io::Error::other(error)
}

impl Shelf for StoreShelf {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if name == STATE {
            // What was begun comes first: the store may have it, and then it is the log's.
            self.finish(&mut self.line()).map_err(told)?;
        }
        self.inner.read(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if name == STATE {
            let mut line = self.line();
            if line.under_way.is_some() {
                return Err(io::Error::other("a round of the log is under way"));
            }
            self.must_write().map_err(told)?;
            self.begin(&mut line, bytes).map_err(told)?;
            let flushed = self.flush(&mut line);
            if let Err(GateError::Journal(JournalError::Superseded)) = &flushed {
                self.writers.look(&self.place).map_err(told)?;
            }
            flushed.map_err(told)?;
            self.inner.put(name, bytes)?;
            line.under_way = None;
            return Ok(());
        }
        let full = name.parse::<Tile>().ok();
        let full = full.filter(|tile| tile.kind == TileKind::Entries && tile.is_full());
        if let Some(full) = full {
            let item = bundle(full.index, full.width);
            let put = self.place.put(LOG, item, &encode_bundle(bytes));
            put.map_err(told)?;
            let mut line = self.line();
            line.full = line.next.checked_sub(1);
        }
        self.inner.put(name, bytes)?;
        let filled = self.line().full;
        if let Some(filled) = filled.filter(|_| name == CHECKPOINT) {
            // What is not removed now is removed at a later checkpoint.
            match self.clear(filled) {
                Ok(()) => self.line().full = None,
                Err(error) => tracing::debug!(%error, "rounds of the log stay in the store"),
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn follow(&self) -> io::Result<bool> {
        self.follow_next(&mut self.line()).map_err(told)
    }
}
