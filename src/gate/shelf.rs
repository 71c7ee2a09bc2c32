//! The log's second place: each round is in the store before it is on the shelf, so before any
//! checkpoint of it leaves; each full bundle of entries, too. All other files of the log are made
//! of these.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::blob::{Digest, Round, decode_bundle, digest, encode_bundle};
use super::names::{Item, Kind};
use super::place::{Listing, Opened, Place};
use super::{Gate, GateError, broken};
use crate::journal::JournalError;
use crate::ledger::tlog::{Tile, TileKind};
use crate::notary::{CHECKPOINT, Rebuild, STATE, Shelf, tile};

/// The scope of the log's blobs; no lane is called so.
const LOG: &str = "log/";

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
    /// The number of the newest round that filled a bundle: the entries of all rounds before it are
    /// in full bundles, so that these can go.
    full: Option<u64>,
}

/// A shelf whose log the store holds as well.
pub struct StoreShelf {
    inner: Box<dyn Shelf>,
    place: Arc<Place>,
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
            line: Mutex::default(),
        };
        let listing = shelf.place.list(LOG)?;
        let rounds = of_kind(&listing, Kind::Round);
        match rounds.last() {
            None => shelf.send_all(&listing, rebuild)?,
            Some((newest, _)) => {
                let next = newest.number.saturating_add(1);
                shelf.bring_back(&listing, &rounds, rebuild)?;
                shelf.line().next = next;
            }
        }
        Ok(shelf)
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
        self.line().previous = read.last().map(|round| round.digest).unwrap_or_default();
        let here = self.inner.read(STATE).map_err(disk)?;
        if here.as_deref() == Some(newest) {
            return Ok(());
        }
        // The shelf is one round behind: what comes next finishes it.
        let before = states.iter().rev().nth(1);
        if before.is_some() && here.as_ref() == before {
            return self.inner.put(STATE, newest).map_err(disk);
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
        let mut at = full
            .iter()
            .chain(rest)
            .enumerate()
            .map(|(n, (item, bytes))| {
                let there = item.number / 256 == u64::try_from(n).unwrap_or(u64::MAX);
                there.then_some((*item, *bytes))
            });
        let mut next = || -> Result<Option<(u16, Vec<u8>)>, String> {
            let Some(found) = at.next() else {
                return Ok(None);
            };
            let lost = || "the store has lost entries of the log".to_owned();
            let (item, bytes) = found.ok_or_else(lost)?;
            let opened = self.place.read_one(LOG, (item, bytes));
            let opened = opened.map_err(|error| error.to_string())?;
            let entries = decode_bundle(&opened.plain).ok_or_else(lost)?;
            let width = u16::try_from(item.number % 256).unwrap_or(0);
            Ok(Some((
                if width == 0 { 256 } else { width },
                entries.to_vec(),
            )))
        };
        tracing::info!("the log's directory is made again from the store");
        rebuild.run(&*self.inner, &mut next, &states).map_err(log)
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
        let mut line = self.line();
        if name == STATE && line.under_way.is_some() {
            // What was begun comes first: the store may have it, and then it is the log's.
            self.flush(&mut line).map_err(told)?;
            if let Some(under_way) = &line.under_way {
                self.inner.put(STATE, &under_way.state)?;
            }
            line.under_way = None;
        }
        drop(line);
        self.inner.read(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if name == STATE {
            let mut line = self.line();
            if line.under_way.is_some() {
                return Err(io::Error::other("a round of the log is under way"));
            }
            self.begin(&mut line, bytes).map_err(told)?;
            self.flush(&mut line).map_err(told)?;
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
}
