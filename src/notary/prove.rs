//! The proof that one request's record is in the log, made by the gateway from its journal and the
//! log's tiles (c2sp.org/tlog-proof; its `extra` is `ledger::evidence::RecordProof`). What the
//! journal has let go is proved from the volumes, by `kluis-audit prove event`.

use std::io;
use std::path::PathBuf;

use super::entries::{EntryError, begin, bundle, node};
use super::{DirShelf, NotaryKeys, Shelf as _};
use crate::journal::{Found, JournalError, Tail, begins};
use crate::ledger::evidence::RecordProof;
use crate::ledger::tlog::{
    Checkpoint, CheckpointError, LogProof, Note, NoteError, inclusion_proof,
};
use crate::ledger::{Entry, Scope, Scopes, Segment, Session};
use crate::types::limits::{PROOF_BUNDLES_MAX, PROOF_SCAN_MAX, RECORDS_SCAN_MAX};
use crate::types::{EventId, ProjectName, Timestamp};

/// How far a lane's clock is believed to go back.
const BACK_MS: u64 = 60_000;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// It is not under a checkpoint yet, or has not ended.
    #[error("the record is under no checkpoint yet")]
    NotYet,
    /// The journal has not all that it takes any more, or it lies too far apart.
    #[error("the journal does not hold what the proof takes any more")]
    Gone,
    /// What is kept is not what the log says.
    #[error("what is kept is not what the log says")]
    Differs,
    /// The log's files.
    #[error("the log cannot be read")]
    Log(#[from] EntryError),
    /// The disk.
    #[error("the log cannot be read")]
    Io(#[from] io::Error),
    /// The journal.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// A checkpoint that is none.
    #[error("the checkpoint is none: {0}")]
    Note(#[from] NoteError),
    /// A checkpoint that is not this log's.
    #[error("the checkpoint is not this log's: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// Which record.
#[derive(Clone, Debug)]
pub struct ProveAsk {
    /// Whose log: nothing of another project is told.
    pub project: ProjectName,
    /// The lane of the request.
    pub lane: String,
    /// The number of the record that it begins with.
    pub seq: u64,
    /// The request.
    pub event: EventId,
    /// When it began.
    pub begun: Timestamp,
    /// Prove the record of its end, not that of its begin.
    pub end: bool,
}

/// Makes proofs, beside the notary that writes the log.
pub struct Prover {
    /// The log's directory.
    pub log: PathBuf,
    /// The journal's.
    pub journal: PathBuf,
    /// The log's name.
    pub origin: String,
    /// Its keys.
    pub keys: NotaryKeys,
}

/// The rows of one scope in a segment, and the session of the record that is asked for.
#[derive(Default)]
struct Rows {
    rows: Vec<(u64, Vec<u8>)>,
    session: Option<Session>,
}

impl Prover {
    /// The proof as text. Blocks on the disk.
    pub fn prove(&self, ask: &ProveAsk) -> Result<String, ProveError> {
        let files = DirShelf::look(&self.log);
        let bytes = files.read("checkpoint")?.ok_or(ProveError::NotYet)?;
        let note = Note::parse(&bytes)?;
        let public = self.keys.public(&self.origin)?;
        let size = Checkpoint::open(&note, &public)?.size;
        let (seq, time) = if ask.end {
            self.end_of(ask)?
        } else {
            (ask.seq, ask.begun)
        };
        let (index, segment) = self.entry(&ask.lane, (seq, time), size)?;
        let scope = Scope::Project(ask.project.clone());
        let key = self.keys.scope_key();
        let tag = key.tag(&scope);
        let mut made = None;
        // An end belongs where its begin does, which may lie far before it.
        for back in [RECORDS_SCAN_MAX, PROOF_SCAN_MAX] {
            let back = u64::try_from(back).unwrap_or(u64::MAX);
            let found = self.rows(&segment, (&scope, seq), back)?;
            let rows: Vec<(u64, &[u8])> = found
                .rows
                .iter()
                .map(|(seq, bytes)| (*seq, bytes.as_slice()))
                .collect();
            let session = found.session.as_ref();
            made = RecordProof::of(&key, (&segment, &tag), &rows, seq, session);
            if made.is_some() {
                break;
            }
        }
        let extra = made.ok_or(ProveError::Differs)?.encode();
        let mut read = |name: &str| files.read(name);
        let proof = inclusion_proof(index, size, |at| node(&mut read, at, size))?;
        let proof = LogProof {
            extra: Some(extra),
            index,
            proof,
            note,
        };
        Ok(proof.to_string())
    }

    /// Number and time of the record with which a request ended.
    fn end_of(&self, ask: &ProveAsk) -> Result<(u64, Timestamp), ProveError> {
        let mut tail = self.tail(&ask.lane, ask.seq)?;
        for _ in 0..PROOF_SCAN_MAX {
            match tail.read(u64::MAX)? {
                None => return Err(ProveError::NotYet),
                Some(Found::Lost(..)) => return Err(ProveError::Gone),
                Some(Found::Record(record, _)) => match &record.entry {
                    Entry::Completion(end) if end.event == ask.event => {
                        return Ok((record.seq, end.time));
                    }
                    Entry::Whole { intent, .. } if intent.event == ask.event => {
                        return Ok((record.seq, intent.time));
                    }
                    Entry::Completion(_)
                    | Entry::Whole { .. }
                    | Entry::Intent { .. }
                    | Entry::Session(_)
                    | Entry::Mark { .. }
                    | Entry::Policy { .. }
                    | Entry::Open(_) => {}
                },
            }
        }
        Err(ProveError::Gone)
    }

    fn tail(&self, lane: &str, at: u64) -> Result<Tail, ProveError> {
        let key = || self.keys.journal.duplicate();
        if begins(&self.journal, lane, key())? > at {
            return Err(ProveError::Gone);
        }
        let mut tail = Tail::open(&self.journal, lane, key(), at)?;
        tail.refresh()?;
        Ok(tail)
    }

    /// The entry that holds a record of about this time.
    fn entry(
        &self,
        lane: &str,
        (seq, time): (u64, Timestamp),
        size: u64,
    ) -> Result<(u64, Segment), ProveError> {
        let files = DirShelf::look(&self.log);
        let mut read = |name: &str| files.read(name);
        let time = Timestamp::from_millis(time.millis().saturating_sub(BACK_MS));
        let from = begin(&mut read, size, time)?;
        for at in from..from.saturating_add(PROOF_BUNDLES_MAX) {
            let entries = bundle(&mut read, (at, size))?;
            if entries.is_empty() {
                return Err(ProveError::NotYet);
            }
            let mut entries = entries.into_iter();
            let holds = |segment: &Segment| {
                segment.lane == lane && (segment.first..segment.end()).contains(&seq)
            };
            if let Some(found) = entries.find(|(_, segment)| holds(segment)) {
                return Ok(found);
            }
        }
        Err(ProveError::Gone)
    }

    /// The rows of a scope in a segment, reading from so many records before it.
    fn rows(
        &self,
        segment: &Segment,
        (scope, asked): (&Scope, u64),
        back: u64,
    ) -> Result<Rows, ProveError> {
        let lane = &segment.lane;
        let begun = begins(&self.journal, lane, self.keys.journal.duplicate())?;
        if begun > segment.first {
            return Err(ProveError::Gone);
        }
        let mut tail = self.tail(lane, segment.first.saturating_sub(back).max(begun))?;
        let mut scopes = Scopes::default();
        let mut found = Rows::default();
        while tail.next() < segment.end() {
            match tail.read(segment.end())? {
                Some(Found::Record(record, bytes)) => {
                    let hers = scopes.of(&record.entry).contains(scope);
                    if record.seq < segment.first || !hers {
                        continue;
                    }
                    if record.seq == asked && record.entry.session().is_some() {
                        found.session = record.session.as_deref().cloned();
                    }
                    found.rows.push((record.seq, bytes));
                }
                Some(Found::Lost(_, end)) if end <= segment.first => {}
                Some(Found::Lost(..)) | None => return Err(ProveError::Gone),
            }
        }
        Ok(found)
    }
}
