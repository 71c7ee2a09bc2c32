//! Checkpoints (c2sp.org/tlog-checkpoint): what a log says about itself at a size, as a note.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use super::note::{KeyKind, Note, NoteError, Signer, VerifierKey, base64, cosignature};
use super::tree::Hash;

/// Why a note is no checkpoint to be believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The note itself is refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A text that is no checkpoint's.
    #[error("the note is no checkpoint")]
    Malformed,
    /// The checkpoint of another log.
    #[error("the checkpoint is of another log")]
    Origin,
}

/// What a log commits to at a size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's identity.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// Further lines, which say nothing here. Kluis writes none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without further lines.
    #[must_use]
    pub const fn new(origin: String, size: u64, root: Hash) -> Self {
        Self {
            origin,
            size,
            root,
            extensions: Vec::new(),
        }
    }

    /// Signs it.
    pub fn sign(&self, signer: &Signer) -> Result<Note, CheckpointError> {
        if self.origin != signer.public().name() {
            return Err(CheckpointError::Origin);
        }
        let text = self.to_string();
        text.parse::<Self>()?;
        Ok(Note::sign(text, signer)?)
    }

    /// The checkpoint of a note that `log` has signed. The key's name is the log's origin.
    pub fn open(note: &Note, log: &VerifierKey) -> Result<Self, CheckpointError> {
        if log.kind() != KeyKind::Note {
            return Err(NoteError::Key.into());
        }
        note.verify(log)?;
        let checkpoint: Self = note.text().parse()?;
        if checkpoint.origin != log.name() {
            return Err(CheckpointError::Origin);
        }
        Ok(checkpoint)
    }
}

/// When a witness has cosigned a note, in seconds since the epoch.
pub fn cosigned_at(note: &Note, witness: &VerifierKey) -> Result<u64, NoteError> {
    if witness.kind() != KeyKind::Cosignature {
        return Err(NoteError::Key);
    }
    let signature = note.verified(witness)?;
    let (time, _signature) = cosignature(&signature.bytes).ok_or(NoteError::Signature)?;
    Ok(time)
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64.encode(&self.root);
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A size as checkpoints write it: decimal, no leading zero, below 2^63.
pub(super) fn size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    let sane = size <= i64::MAX.unsigned_abs();
    (sane && size.to_string() == text).then_some(size)
}

/// A hash as checkpoints and proofs write it.
pub(super) fn hash(text: &str) -> Option<Hash> {
    base64(text)?.try_into().ok()
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let malformed = || CheckpointError::Malformed;
        let text = text.strip_suffix('\n').ok_or_else(malformed)?;
        let mut lines = text.split('\n');
        let mut line = || {
            lines
                .next()
                .filter(|line| !line.is_empty())
                .ok_or_else(malformed)
        };
        let origin = line()?.to_owned();
        let size = size(line()?).ok_or_else(malformed)?;
        let root = hash(line()?).ok_or_else(malformed)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed());
        }
        Ok(Self {
            origin,
            size,
            root,
            extensions,
        })
    }
}
