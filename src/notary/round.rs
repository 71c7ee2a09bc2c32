//! One round of the log: read, commit, write, sign.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::state::{Covered, State};
use super::{
    CHECKPOINT, EntryError, NotaryError, NotaryKeys, NotaryParts, STATE, SettleLane, Shelf,
};
use crate::journal::{Found, Rest, Tail, lanes, newest, still_holds};
use crate::ledger::tlog::{Checkpoint, Growth, Hash, Note, Signer, Tile, VerifierKey};
use crate::ledger::{ScopeKey, Scopes, Segment, SegmentTrees};
use crate::seal::{open_log_state, seal_log_state};
use crate::types::limits::{
    LOG_ROUND_SEGMENTS_MAX, LOG_SCOPES_MAX, LOG_SEGMENT_BYTES_MAX, LOG_SEGMENT_RECORDS_MAX,
};
use crate::types::{Clock, Entropy, Secret, Timestamp};

/// A lane that this process writes itself, and how far it is durable.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    /// Its name.
    pub name: &'a str,
    /// The number of its first record that is not durable.
    pub durable: u64,
}

/// What a round made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// Records that are in the log since.
    pub records: u64,
    /// When the oldest of them was made that happened since; what was open before is left out.
    pub oldest: Option<Timestamp>,
    /// The newest checkpoint.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The round ended at its bound: there is more to do at once.
    pub more: bool,
}

/// Keeps one log.
pub struct Notary {
    journal: PathBuf,
    origin: String,
    journal_key: Secret<32>,
    state_key: Secret<32>,
    scope_key: ScopeKey,
    signer: Signer,
    shelf: Box<dyn Shelf>,
    settle: Option<SettleLane>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tails: BTreeMap<String, Tail>,
    /// The newest file of each lane of others when it was last held against the log.
    seen: BTreeMap<String, Option<(u64, [u8; 16])>>,
    /// `None` after a fault: it is read again.
    kept: Option<Kept>,
}

/// What was read from the shelf.
struct Kept {
    state: State,
    /// With the state's entries.
    growth: Growth,
    note: Option<Note>,
}

impl Notary {
    /// Opens a log or begins one; finishes the round that a crash cut short.
    pub fn open(parts: NotaryParts) -> Result<Self, NotaryError> {
        let NotaryParts {
            journal,
            origin,
            keys,
            shelf,
            settle,
            clock,
            entropy,
        } = parts;
        let signer = keys.signer(&origin)?;
        let scope_key = keys.scope_key();
        let NotaryKeys {
            journal: journal_key,
            state: state_key,
            ..
        } = keys;
        let mut notary = Self {
            journal,
            origin,
            journal_key,
            state_key,
            scope_key,
            signer,
            shelf,
            settle,
            clock,
            entropy,
            tails: BTreeMap::new(),
            seen: BTreeMap::new(),
            kept: None,
        };
        notary.kept()?;
        Ok(notary)
    }

    /// The log's public key.
    #[must_use]
    pub const fn public(&self) -> &VerifierKey {
        self.signer.public()
    }

    /// Puts everything that is durable under a checkpoint; `None` if there is nothing new. `own`
    /// are the lanes that this process writes; another is read while nobody writes it.
    pub fn round(&mut self, own: &[Lane<'_>]) -> Result<Option<Made>, NotaryError> {
        let done = self.try_round(own);
        if done.is_err() {
            // What is in memory may be ahead of the shelf.
            self.kept = None;
            self.tails.clear();
            self.seen.clear();
        }
        done
    }

    fn try_round(&mut self, own: &[Lane<'_>]) -> Result<Option<Made>, NotaryError> {
        let mut kept = match self.kept.take() {
            Some(kept) => kept,
            None => self.load()?,
        };
        let mut next = State {
            base: kept.growth.size(),
            root: Some(kept.growth.root()),
            entries: Vec::new(),
            ..kept.state.clone()
        };
        let mut records = 0;
        let mut oldest = None;
        let names = lanes(&self.journal)?;
        if next.lanes.keys().any(|name| !names.contains(name)) {
            return Err(rolled_back("a lane of the journal is gone"));
        }
        for name in names {
            let mine = own.iter().find(|lane| lane.name == name);
            // Held until the lane was read: nobody writes it meanwhile.
            let rest = match mine {
                Some(_) => None,
                None => Rest::take(&self.journal, &name)?,
            };
            let covered = next.lanes.get(&name).copied().unwrap_or_default();
            let until = match (mine, &rest) {
                (Some(lane), _) if lane.durable < covered.next => return Err(shorter()),
                (Some(lane), _) => lane.durable,
                (None, Some(_at_rest)) => {
                    self.hold(&name, covered)?;
                    u64::MAX
                }
                (None, None) => continue,
            };
            let (read, first) = self.read_lane(&name, until, &mut next)?;
            records = u64::saturating_add(records, read);
            oldest = [oldest, first].into_iter().flatten().min();
        }
        let more = next.entries.len() >= LOG_ROUND_SEGMENTS_MAX;
        if next.entries.is_empty() {
            self.kept = Some(kept);
            return Ok(None);
        }
        self.commit(&next)?;
        for entry in &next.entries {
            kept.growth.push(entry.clone())?;
        }
        kept.state = next;
        let (note, checkpoint) = self.publish(&mut kept.growth, kept.note.as_ref())?;
        kept.note = Some(note.clone());
        self.kept = Some(kept);
        Ok(Some(Made {
            records,
            oldest,
            note,
            checkpoint,
            more,
        }))
    }

    /// Reads a lane into segments; how many records that was, and the oldest one's time.
    fn read_lane(
        &mut self,
        name: &str,
        until: u64,
        next: &mut State,
    ) -> Result<(u64, Option<Timestamp>), NotaryError> {
        let begin = next.lanes.get(name).map_or(0, |covered| covered.next);
        let mut tail = match self.tails.remove(name) {
            Some(tail) if tail.next() == begin => tail,
            Some(_) | None => Tail::open(&self.journal, name, self.journal_key.duplicate(), begin)?,
        };
        tail.refresh()?;
        let mut at = begin;
        let mut oldest = None;
        while next.entries.len() < LOG_ROUND_SEGMENTS_MAX {
            let read = segment(&mut tail, name, until, (&self.scope_key, &mut next.scopes))?;
            let Some((mut segment, first)) = read else {
                break;
            };
            oldest = [oldest, first].into_iter().flatten().min();
            segment.time = self.clock.now();
            at = segment.end();
            next.entries.push(segment.encode()?);
        }
        if at > begin {
            let anchor = tail.anchor();
            next.lanes
                .insert(name.to_owned(), Covered { next: at, anchor });
        }
        self.tails.insert(name.to_owned(), tail);
        Ok((at.saturating_sub(begin), oldest))
    }

    /// Holds a lane of others against the log, if somebody wrote it since that was done last: who
    /// writes a lane begins a new file.
    fn hold(&mut self, name: &str, covered: Covered) -> Result<(), NotaryError> {
        let newest = newest(&self.journal, name, &self.journal_key)?;
        if self.seen.get(name) != Some(&newest) {
            if let Some(settle) = &self.settle {
                settle(name)?;
            }
            self.holds(name, covered)?;
            // What was read of it before may be of files that are no more.
            self.tails.remove(name);
            self.seen.insert(name.to_owned(), newest);
        }
        Ok(())
    }

    /// Another keeper's round may cover what a lane that nobody writes here lacks.
    fn complete(&self, name: &str, covered: Covered) -> Result<(), NotaryError> {
        let known = (covered.next, covered.anchor);
        let Some(settle) = &self.settle else {
            return Ok(());
        };
        let there = self.journal.join(name).is_dir();
        if !there || still_holds(&self.journal, name, &self.journal_key, known).unwrap_or(false) {
            return Ok(());
        }
        if let Some(_at_rest) = Rest::take(&self.journal, name)? {
            settle(name)?;
        }
        Ok(())
    }

    /// The journal must still hold what the log covers, and nothing else in its place: records
    /// that are given numbers a second time would never come into the log.
    fn holds(&self, name: &str, covered: Covered) -> Result<(), NotaryError> {
        let known = (covered.next, covered.anchor);
        if still_holds(&self.journal, name, &self.journal_key, known)? {
            Ok(())
        } else {
            Err(shorter())
        }
    }

    /// The one moment at which entries come to be in the log.
    fn commit(&self, state: &State) -> Result<(), NotaryError> {
        let plain = state.encode();
        let sealed = seal_log_state(&self.state_key, &self.origin, &plain, &*self.entropy)
            .map_err(|_sealing| NotaryError::Entropy)?;
        Ok(self.shelf.put(STATE, &sealed)?)
    }

    /// Writes the tiles of what was pushed, then the checkpoint.
    fn publish(
        &self,
        growth: &mut Growth,
        older: Option<&Note>,
    ) -> Result<(Note, Checkpoint), NotaryError> {
        let files = growth.files()?;
        for (tile, bytes) in &files {
            self.shelf.put(&tile.to_string(), bytes)?;
        }
        let checkpoint = Checkpoint::new(self.origin.clone(), growth.size(), growth.root());
        let text = checkpoint.to_string();
        // One that is there already keeps its cosignatures.
        if let Some(older) = older.filter(|older| older.text() == text) {
            return Ok((older.clone(), checkpoint));
        }
        let note = checkpoint.sign(&self.signer)?;
        self.shelf.put(CHECKPOINT, note.to_string().as_bytes())?;
        // Where a tile is full, its partial ones have done their service.
        for (tile, _) in files.iter().filter(|(tile, _)| tile.is_full()) {
            for width in 1..tile.width {
                let partial = Tile { width, ..*tile };
                self.shelf.remove(&partial.to_string())?;
            }
        }
        Ok((note, checkpoint))
    }

    fn kept(&mut self) -> Result<(), NotaryError> {
        if self.kept.is_none() {
            self.kept = Some(self.load()?);
        }
        Ok(())
    }

    /// Finishes the round of the state, and each that another keeper made behind it.
    fn load(&self) -> Result<Kept, NotaryError> {
        loop {
            let kept = self.load_state()?;
            if !self.shelf.follow()? {
                return Ok(kept);
            }
        }
    }

    /// Reads state, tiles and checkpoint, holds them against each other, and writes what the last
    /// round may not have written.
    fn load_state(&self) -> Result<Kept, NotaryError> {
        let state = match self.shelf.read(STATE)? {
            None => None,
            Some(sealed) => {
                let plain = open_log_state(&self.state_key, &self.origin, &sealed)
                    .map_err(|_refused| NotaryError::State)?;
                Some(State::decode(&plain).ok_or(NotaryError::State)?)
            }
        };
        let note = self.signed()?;
        let Some(state) = state else {
            if note.is_some() {
                return Err(rolled_back("a checkpoint is there, and no state"));
            }
            return Ok(Kept {
                state: State::default(),
                growth: Growth::new(),
                note: None,
            });
        };
        let mut growth = Growth::load(state.base, |tile| self.tile(tile))?;
        let before = (growth.size(), growth.root());
        if state.root.is_some_and(|root| root != before.1) {
            return Err(rolled_back("the tiles are not those of the state"));
        }
        for entry in &state.entries {
            growth.push(entry.clone())?;
        }
        let after = (growth.size(), growth.root());
        let signed = note.as_ref().map(|(_, signed)| (signed.size, signed.root));
        fits(signed, before, after)?;
        for (name, covered) in &state.lanes {
            self.complete(name, *covered)?;
            self.holds(name, *covered)?;
        }
        let note = note.map(|(note, _)| note);
        let (note, _) = self.publish(&mut growth, note.as_ref())?;
        Ok(Kept {
            state,
            growth,
            note: Some(note),
        })
    }

    /// The checkpoint on the shelf, if there is one; it must be this log's.
    fn signed(&self) -> Result<Option<(Note, Checkpoint)>, NotaryError> {
        let Some(bytes) = self.shelf.read(CHECKPOINT)? else {
            return Ok(None);
        };
        let opened = Note::parse(&bytes).ok().and_then(|note| {
            let checkpoint = Checkpoint::open(&note, self.signer.public()).ok()?;
            Some((note, checkpoint))
        });
        match opened {
            Some(opened) => Ok(Some(opened)),
            None => Err(rolled_back("the checkpoint is not this log's")),
        }
    }

    fn tile(&self, tile: &Tile) -> Result<Vec<u8>, NotaryError> {
        // A partial one that became full in the state's own round is gone already.
        match super::tile(&mut |name| self.shelf.read(name), tile) {
            Ok(bytes) => Ok(bytes),
            Err(EntryError::Io(error)) => Err(error.into()),
            Err(_missing) => Err(rolled_back("a tile is missing")),
        }
    }
}

/// The checkpoint must be that of the state, or of the state before its last round.
fn fits(
    signed: Option<(u64, Hash)>,
    before: (u64, Hash),
    after: (u64, Hash),
) -> Result<(), NotaryError> {
    match signed {
        Some(signed) if signed == before || signed == after => Ok(()),
        None if before.0 == 0 => Ok(()),
        None => Err(rolled_back("the checkpoint is missing")),
        Some((size, _)) if size > after.0 => {
            Err(rolled_back("the state is older than the checkpoint"))
        }
        Some(_) => Err(rolled_back("state, tiles and checkpoint do not fit")),
    }
}

const fn shorter() -> NotaryError {
    rolled_back("the journal is shorter than the log, or another one")
}

pub(super) const fn rolled_back(what: &'static str) -> NotaryError {
    NotaryError::RolledBack { what }
}

/// Reads the next segment of a lane: up to its bounds, or to the lane's end. Its time is not set.
fn segment(
    tail: &mut Tail,
    lane: &str,
    until: u64,
    (key, scopes): (&ScopeKey, &mut Scopes),
) -> Result<Option<(Segment, Option<Timestamp>)>, NotaryError> {
    let first = tail.next();
    let mut oldest: Option<Timestamp> = None;
    let mut trees = SegmentTrees::new(key, lane, first);
    let mut count = 0_usize;
    let mut taken = 0_usize;
    while count < LOG_SEGMENT_RECORDS_MAX
        && taken < LOG_SEGMENT_BYTES_MAX
        && trees.scopes().saturating_add(2) <= LOG_SCOPES_MAX
    {
        // A gap is a segment of its own: what came before it is closed first.
        let Some(found) = tail.read(until)? else {
            break;
        };
        match found {
            Found::Record(record, bytes) => {
                oldest = [oldest, record.entry.time()].into_iter().flatten().min();
                for scope in scopes.of(&record.entry) {
                    trees.push(&scope, record.seq, &bytes);
                }
                count = count.saturating_add(1);
                taken = taken.saturating_add(bytes.len());
            }
            Found::Lost(from, to) if count == 0 => return Ok(Some((lost(lane, from, to), None))),
            Found::Lost(from, _) => {
                tail.rewind(from);
                break;
            }
        }
    }
    if count == 0 {
        return Ok(None);
    }
    let segment = Segment {
        lane: lane.to_owned(),
        first,
        count: u64::try_from(count).unwrap_or(u64::MAX),
        time: Timestamp::default(),
        scopes: trees.roots(),
        lost: false,
    };
    Ok(Some((segment, oldest)))
}

fn lost(lane: &str, from: u64, to: u64) -> Segment {
    Segment {
        lane: lane.to_owned(),
        first: from,
        count: to.saturating_sub(from),
        time: Timestamp::default(),
        scopes: Vec::new(),
        lost: true,
    }
}
