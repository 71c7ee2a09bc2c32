//! The gate in the store: what makes a record durable where the gateway's disk is not trusted to
//! stay. Each group of a lane, and each round of the log, is in the store under a name that can be
//! taken once, before anybody is told; a lost directory is made again from there, byte for byte.
//! Bytes are in `docs/audit.md`, "The gate in the store"; why, in decision 49.
//!
//! It holds no record's meaning: a lane's bytes are those of `journal`, sealed there already.

mod blob;
mod keep;
mod lane;
mod names;
mod place;
mod restore;
mod shelf;
mod standing;
mod stop;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lane::StoreReplica;
use place::Place;
pub use shelf::StoreShelf;
use standing::Writers;
pub use stop::{Stop, Stopper};

use crate::journal::{JournalError, LaneFiles, Replica};
use crate::store::{SharedStore, StoreError};
use crate::types::{Entropy, Secret};

/// Told of each batch that the store took: how long that was.
pub type OnPut = Arc<dyn Fn(Duration) + Send + Sync>;

/// Why the gate cannot be had, or does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The store did not do it.
    #[error("the store of the gate failed")]
    Store(#[from] StoreError),
    /// The store lacks what a gate needs. At fault: the configuration.
    #[error("the store cannot be the gate: {lacks}")]
    Unfit {
        /// What it lacks.
        lacks: &'static str,
    },
    /// The store holds a gate and the configuration has none. At fault: the configuration.
    #[error("the store holds the gate of this journal and `journal.gate` is `local`")]
    Left,
    /// The journal's directory failed, or is not of this journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store holds what it should not, or has lost what it acknowledged.
    #[error("{what}")]
    Broken {
        /// What.
        what: String,
    },
    /// The work was to end, and did at one of its steps: it is taken up again another time.
    #[error("it was stopped")]
    Stopped,
    /// The system gives no randomness, or no thread.
    #[error("the system failed: {0}")]
    System(String),
}

impl GateError {
    /// What to tell a journal that cannot begin.
    fn into_journal(self) -> JournalError {
        match self {
            Self::Journal(error) => error,
            Self::Broken { what } => JournalError::Diverged { what },
            Self::Unfit { .. } | Self::Left | Self::Stopped | Self::System(_) => {
                JournalError::Replica {
                    reason: self.to_string(),
                }
            }
            Self::Store(error) => JournalError::Replica {
                reason: error.to_string(),
            },
        }
    }
}

/// What a gate stands on.
pub struct GateParts {
    /// A store in which nothing else is.
    pub store: SharedStore,
    /// The same store by connections of their own, which the probe reads through.
    pub other: SharedStore,
    /// The log key.
    pub key: Secret<32>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// The gate of one vault.
#[derive(Clone)]
pub struct Gate {
    place: Arc<Place>,
    writers: Writers,
}

impl Gate {
    /// Opens it, and proves that the store refuses a name that is taken and shows at once what was
    /// written. Blocks.
    pub fn open(parts: GateParts) -> Result<Self, GateError> {
        let other = Arc::clone(&parts.other);
        let place = Place::open(parts)?;
        place.prove(&other)?;
        Ok(Self {
            place: Arc::new(place),
            writers: Writers::default(),
        })
    }

    /// The second place of a lane that this process writes.
    #[must_use]
    pub fn replica(&self, lane: &str, on_put: Option<OnPut>) -> Box<dyn Replica> {
        let standing = self.writers.begin(lane);
        Box::new(StoreReplica::of(&self.place, lane, (standing, on_put)))
    }

    /// Brings a lane that nobody writes and the store to one state. **Its lock is held.** `dir` is
    /// the journal's.
    pub fn complete(&self, dir: &Path, lane: &str) -> Result<(), JournalError> {
        let files = self.files(dir, lane)?;
        let done = restore::reconcile(&self.place, lane, &files);
        done.map(|_head| ()).map_err(GateError::into_journal)
    }

    /// Puts what is full of a lane together, so that the store holds few blobs; how many files
    /// that was. It may be written meanwhile. Once `stop` is raised it ends at its next step, of
    /// which none that waits for the store is waited for.
    pub fn compact(&self, dir: &Path, lane: &str, stop: &Stop) -> Result<u64, GateError> {
        let files = self.files(dir, lane)?;
        match keep::compact(&self.place.until(stop), lane, &files) {
            Err(GateError::Store(_)) if stop.is_raised() => Err(GateError::Stopped),
            done => done,
        }
    }

    /// Says in the store that a lane begins with the file of `first`, before the files in front of
    /// it go.
    pub fn mark(&self, dir: &Path, lane: &str, first: u64) -> Result<(), GateError> {
        let files = self.files(dir, lane)?;
        keep::mark(&self.place, lane, &files, first)
    }

    /// Removes from the store what stands in front of the newest mark.
    pub fn prune(&self, lane: &str) -> Result<u64, GateError> {
        keep::prune(&self.place, lane)
    }

    fn files(&self, dir: &Path, lane: &str) -> Result<LaneFiles, JournalError> {
        LaneFiles::of(&dir.join(lane), lane, self.place.log_key())
    }
}

fn broken(what: impl Into<String>) -> GateError {
    GateError::Broken { what: what.into() }
}
