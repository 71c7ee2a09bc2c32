//! The port to a second place of a lane: where one is set, no record counts as durable before its
//! bytes are there too. `gate` keeps one in the store.

use std::path::Path;
use std::time::Duration;

use super::JournalError;

/// Why what was sent is not known to be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Late {
    /// No answer yet. At fault: the store, or the way to it; the same bytes are sent again.
    #[error("no answer came in time")]
    Slow,
    /// It was refused, or the answer was lost; the same bytes are sent again.
    #[error("{0}")]
    Failed(String),
    /// The place holds other bytes: another process writes this lane. **Nothing that is written
    /// here from then on counts.**
    #[error("another gateway writes this journal in the store")]
    Superseded,
}

/// A second place of one lane. One run of bytes is on its way at a time.
pub trait Replica: Send {
    /// Brings the lane's directory and the other place to one state, before the lane is read. The
    /// lane's lock is held. Blocks on both.
    fn reconcile(&mut self, lane: &Path) -> Result<(), JournalError>;

    /// Begins to send bytes of the file whose first record is `first`, which stand at `offset`; 0
    /// begins the file, and replaces one that was begun with the same record. Called only when
    /// nothing is under way; it returns at once.
    fn begin(&mut self, first: u64, offset: u64, bytes: &[u8]) -> Result<(), Late>;

    /// Waits up to `patience` until what was begun is there; `Ok` also where nothing is under way.
    /// After an error it is still under way, and sent again as the same bytes by the next call.
    fn settle(&mut self, patience: Duration) -> Result<(), Late>;
}
