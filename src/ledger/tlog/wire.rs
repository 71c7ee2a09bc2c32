//! Two texts around a checkpoint: what a log sends to a witness (c2sp.org/tlog-witness), and a
//! proof that can be checked offline (c2sp.org/tlog-proof).

use std::fmt;

use data_encoding::BASE64;

use super::checkpoint::{hash, size};
use super::note::{Note, NoteError, base64};
use super::tree::Hash;
use crate::types::limits::NOTE_BYTES_MAX;

/// Hashes of one proof: a tree has at most 2^63 leaves.
const PROOF_HASHES_MAX: usize = 63;
/// Bytes of one of these texts.
const TEXT_BYTES_MAX: usize = NOTE_BYTES_MAX + 256 * 1024;
const PROOF_HEAD: &str = "c2sp.org/tlog-proof@v1";

/// A text that is not what it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum WireError {
    /// Not its form.
    #[error("the text has not the form that its specification gives")]
    Malformed,
    /// The note in it is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// The body of `add-checkpoint`: how the log grew since what the witness knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCheckpoint {
    /// The size that the witness is believed to know.
    pub old: u64,
    /// From there to the checkpoint.
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub note: Note,
}

/// The proof that an entry is in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogProof {
    /// What it takes to rebuild the entry; not authenticated by itself.
    pub extra: Option<Vec<u8>>,
    /// The entry's place.
    pub index: u64,
    /// From the entry's sibling up.
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub note: Note,
}

fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    hashes
        .iter()
        .try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))
}

/// Splits off the lines before the first empty one; the rest is a note.
fn lines(text: &[u8]) -> Result<(Vec<&str>, Note), WireError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(WireError::Malformed);
    }
    let text = std::str::from_utf8(text).map_err(|_not_utf8| WireError::Malformed)?;
    let (head, note) = text.split_once("\n\n").ok_or(WireError::Malformed)?;
    Ok((head.split('\n').collect(), Note::parse(note.as_bytes())?))
}

fn hashes(lines: &[&str]) -> Result<Vec<Hash>, WireError> {
    if lines.len() > PROOF_HASHES_MAX {
        return Err(WireError::Malformed);
    }
    let hashes = lines.iter().map(|line| hash(line));
    hashes.collect::<Option<_>>().ok_or(WireError::Malformed)
}

fn named<'a>(line: Option<&&'a str>, name: &str) -> Option<&'a str> {
    line?.strip_prefix(name)?.strip_prefix(' ')
}

impl AddCheckpoint {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let (lines, note) = lines(body)?;
        let (first, proof) = lines.split_first().ok_or(WireError::Malformed)?;
        let old = named(Some(first), "old").and_then(size);
        Ok(Self {
            old: old.ok_or(WireError::Malformed)?,
            proof: hashes(proof)?,
            note,
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        write_hashes(f, &self.proof)?;
        write!(f, "\n{}", self.note)
    }
}

impl LogProof {
    /// Reads a proof.
    pub fn parse(text: &[u8]) -> Result<Self, WireError> {
        let (lines, note) = lines(text)?;
        let mut rest = lines.as_slice();
        let mut next = || {
            let (first, after) = rest.split_first().ok_or(WireError::Malformed)?;
            rest = after;
            Ok::<_, WireError>(first)
        };
        if *next()? != PROOF_HEAD {
            return Err(WireError::Malformed);
        }
        let mut line = next()?;
        let mut extra = None;
        if let Some(blob) = named(Some(line), "extra") {
            extra = Some(base64(blob).ok_or(WireError::Malformed)?);
            line = next()?;
        }
        let index = named(Some(line), "index").and_then(size);
        Ok(Self {
            extra,
            index: index.ok_or(WireError::Malformed)?,
            proof: hashes(rest)?,
            note,
        })
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEAD}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        write_hashes(f, &self.proof)?;
        write!(f, "\n{}", self.note)
    }
}
