//! The notary: puts what the journal holds under signed checkpoints. It reads records behind the
//! requests, never in their way, and writes a log in C2SP's tiles.
//!
//! ```text
//! DIR/state              sealed: how far each lane is in the log, and the round being written
//! DIR/tile/…             tiles and bundles of entries (c2sp.org/tlog-tiles)
//! DIR/checkpoint         the newest signed checkpoint (c2sp.org/tlog-checkpoint)
//! ```
//!
//! A round commits by replacing `state`, which then holds the new entries whole; only after that it
//! writes tiles and signs a checkpoint, from `state` alone. So a crash at any step repeats what
//! follows, byte for byte, and no checkpoint is ever signed twice differently.

mod entries;
mod prove;
mod rebuild;
mod round;
mod shelf;
mod state;

#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use entries::{EntryError, begin, bundle, node, tile};
pub use prove::{ProveAsk, ProveError, Prover};
pub use rebuild::{ReadBundle, Rebuild};
pub use round::{Lane, Made, Notary};
pub use shelf::{DirShelf, Shelf};

use crate::journal::JournalError;
use crate::ledger::CodecError;
use crate::ledger::tlog::{CheckpointError, NoteError, Signer, TileError, VerifierKey};
use crate::ledger::{ScopeKey, tlog::KeyKind};
use crate::types::{Clock, Entropy, Secret};

/// The file of a log's state.
pub const STATE: &str = "state";
/// The file of its newest checkpoint.
pub const CHECKPOINT: &str = "checkpoint";

/// Why the log does not grow. Serving goes on: the journal holds every record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotaryError {
    /// The disk of the log failed.
    #[error("the disk of the log failed")]
    Disk(#[from] std::io::Error),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// Another process keeps this log.
    #[error("another process keeps this log")]
    Locked,
    /// The state is older than the checkpoint, or one of them is missing or altered: going on would
    /// fork the log. Or the journal holds less than the log, or other records: what is written
    /// there would have numbers that the log has already, and never come into it.
    #[error("the log was rolled back or altered: {what}")]
    RolledBack {
        /// What does not fit.
        what: &'static str,
    },
    /// The state belongs to another log or key.
    #[error("the log's state does not open: it is of another vault or origin, or altered")]
    State,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Entropy,
    /// A name that no log can have, or a key that none can have.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A broken invariant.
    #[error("internal: {what}; please report")]
    Internal {
        /// Which.
        what: String,
    },
}

impl From<TileError> for NotaryError {
    fn from(error: TileError) -> Self {
        Self::Internal {
            what: error.to_string(),
        }
    }
}

impl From<CodecError> for NotaryError {
    fn from(error: CodecError) -> Self {
        Self::Internal {
            what: error.to_string(),
        }
    }
}

impl From<CheckpointError> for NotaryError {
    fn from(error: CheckpointError) -> Self {
        Self::Internal {
            what: error.to_string(),
        }
    }
}

/// What a log is kept with.
pub struct NotaryKeys {
    /// Opens the journal.
    pub journal: Secret<32>,
    /// The seed of the key that signs checkpoints.
    pub signing: Secret<32>,
    /// Tags and salts.
    pub scopes: Secret<32>,
    /// Seals the state.
    pub state: Secret<32>,
}

impl NotaryKeys {
    /// The public key of a log of this name.
    pub fn public(&self, origin: &str) -> Result<VerifierKey, NoteError> {
        Ok(self.signer(origin)?.public().clone())
    }

    /// What a log of this name signs with.
    pub fn signer(&self, origin: &str) -> Result<Signer, NoteError> {
        Signer::new(origin, KeyKind::Note, &self.signing)
    }

    /// What tags and salts are made with.
    #[must_use]
    pub fn scope_key(&self) -> ScopeKey {
        ScopeKey::new(&self.scopes)
    }
}

/// Asked of a lane that nobody writes, before it is read: all that stands in its files then counts.
pub type SettleLane = Box<dyn Fn(&str) -> Result<(), JournalError> + Send>;

/// What a notary stands on.
pub struct NotaryParts {
    /// The journal's directory.
    pub journal: PathBuf,
    /// The log's name.
    pub origin: String,
    /// Its keys.
    pub keys: NotaryKeys,
    /// Where the log is written.
    pub shelf: Box<dyn Shelf>,
    /// What a lane of others is settled with, where its files alone do not count.
    pub settle: Option<SettleLane>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}
