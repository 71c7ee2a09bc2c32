//! The log as it grows, to receivers elsewhere: syslog and OpenTelemetry. **It never stands in the
//! way of a request and replaces nothing**: it reads what is under a checkpoint, behind the log's
//! keeper, and what a receiver does not take waits in the log.
//!
//! ```text
//! log ──Follow──► whole requests ──Receiver──► somewhere
//!                       └─ only then ─► Cursor (a file): from there it goes on after a restart
//! ```
//!
//! A request is sent once or more, never less: each has its `event_id`, by which doubles are told.
//! Connections are the receivers' matter (`app`); here is no socket.

mod cursor;
mod entries;
mod follow;
mod otlp;
mod run;
mod syslog;

#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub use follow::{Batch, Follow, FollowParts};
pub use otlp::{OtlpAnswer, otlp_request, read_answer};
pub use run::{Receiver, Refused, Told, run};
pub use syslog::{Syslog, frame};

use crate::journal::JournalError;
use crate::ledger::CodecError;
use crate::ledger::tlog::{CheckpointError, NoteError, TileError};

/// Why the log cannot be followed just now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The disk of the log or of the cursor.
    #[error("the disk failed")]
    Disk(#[from] std::io::Error),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// The checkpoint is no note.
    #[error("the checkpoint is none")]
    Note(#[from] NoteError),
    /// The checkpoint is not this log's.
    #[error("the checkpoint is not this log's")]
    Checkpoint(#[from] CheckpointError),
    /// A tile that is missing or damaged.
    #[error("a tile of the log is missing or damaged")]
    Tile,
    /// An entry that is none.
    #[error("an entry of the log is none")]
    Entry(#[from] CodecError),
    /// The cursor's file is none, or of another log.
    #[error(
        "the cursor is none of this log: remove {0} to begin with what is recorded from now on"
    )]
    Cursor(String),
    /// The log is shorter than what was taken of it.
    #[error("the log has fewer entries than were taken of it: it was rolled back")]
    Ahead,
}

impl From<TileError> for StreamError {
    fn from(_length: TileError) -> Self {
        Self::Tile
    }
}
