//! The port to the durable log: a record is in it before its request is served.
//!
//! **Fail closed**: when the journal cannot make an intent durable within its bounds, it says so
//! and the request is refused. It never drops a record and never answers early.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::ledger::{Completion, Intent, Session};

mod anchor;
mod disk;
mod extent;
mod fault;
mod file;
mod format;
mod framer;
mod lane;
mod memory;
mod pages;
mod prune;
mod queue;
mod reader;
mod replica;
mod select;
mod tail;
mod wal;

#[cfg(test)]
mod tests;

pub use anchor::{Anchor, newest, still_holds};
pub use extent::{Extent, FILE_HEADER_BYTES, LaneFiles};
pub use memory::MemoryJournal;
pub use pages::{Cursor, Page, Pages};
pub use prune::{Prunable, begins, prunable, prune};
pub use reader::{Reader, Record};
pub use replica::{Late, Replica};
pub use select::{EndedRight, Filter, Pairs, Request};
pub use tail::{Found, Rest, Tail, lanes};
pub use wal::{OnSync, Wal, WalConfig};

/// A journal shared by every use case.
pub type SharedJournal = Arc<dyn Journal>;

/// Why a record is not durable. Each is a 503 to the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The queue is full. Try again.
    #[error("too many records are waiting")]
    Busy,
    /// The disk did not answer within the bound.
    #[error("the journal's disk did not answer in time")]
    Timeout,
    /// The disk is full. At fault: the operator; serving resumes by itself.
    #[error("the journal's disk is full")]
    Full,
    /// The record is larger than a record may be. At fault: the vault.
    #[error("a record is too large")]
    TooLarge,
    /// A frame cannot be read. At fault: the disk, or who altered it.
    #[error("the journal is damaged at file={file} offset={offset}")]
    Damaged {
        /// Which file.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// Another process writes this lane.
    #[error("another process holds this journal")]
    Locked,
    /// The store, which is to hold each record too, has not taken one. Try again.
    #[error("the store does not take the journal's records: {reason}")]
    Replica {
        /// What it said.
        reason: String,
    },
    /// Another gateway writes this lane in the store. At fault: who started two.
    #[error("another gateway writes this journal in the store")]
    Superseded,
    /// Directory and store hold what cannot be of one journal. At fault: who altered one of them.
    #[error("the journal and its copy in the store do not belong together: {what}")]
    Diverged {
        /// What does not fit.
        what: String,
    },
    /// Any other fault of the disk.
    #[error("the journal failed: {reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
}

/// Takes a request's completion; room for it was kept when its intent was written, so that it
/// cannot be refused.
pub trait CompletionSlot: Send + Sync {
    /// Queues the completion; durable before the journal's file closes. It holds up nobody.
    fn complete(self: Box<Self>, completion: Completion);
}

/// Ready when an intent is durable, or cannot be.
pub type Durable = BoxFuture<'static, Result<Box<dyn CompletionSlot>, JournalError>>;

/// A durable log of requests.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Queues an intent before it returns. **Durable when the future says `Ok`**; the slot takes
    /// its completion.
    ///
    /// Whoever has other work to wait for does that first: a future that was not polled yet is told
    /// without waking anyone.
    fn begin(&self, session: &Arc<Session>, intent: Intent) -> Durable;

    /// Writes intent and completion in one; durable when it returns `Ok`.
    async fn note(
        &self,
        session: &Arc<Session>,
        intent: Intent,
        completion: Completion,
    ) -> Result<(), JournalError>;

    /// Writes the text of a policy version, at most `limits::POLICY_TEXT_BYTES_MAX` bytes, so that
    /// decisions under it can be replayed; durable when it returns `Ok`.
    async fn policy(&self, version: [u8; 32], text: &str) -> Result<(), JournalError>;

    /// Whether it would accept a record now; the reason if not (for `/readyz`).
    fn ready(&self) -> Result<(), JournalError>;

    /// How many records wait to be durable.
    fn waiting(&self) -> usize;

    /// The number of the first record of its lane that is not durable in a file. What stands in the
    /// files from there on may never come to belong to the log.
    fn durable(&self) -> u64;

    /// Makes everything queued durable and closes the lane cleanly.
    async fn close(&self) -> Result<(), JournalError>;
}
