//! Why a lane could not be written, as its writer keeps it.

use std::io;

use super::file::no_space;
use super::{JournalError, Late};

/// Why the lane could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No space.
    Full,
    /// The second place.
    Replica(Late),
    /// Anything else.
    Failed(String),
}

impl Fault {
    pub(super) fn of(error: &io::Error) -> Self {
        if no_space(error) {
            Self::Full
        } else {
            Self::Failed(error.to_string())
        }
    }

    /// A broken invariant: a bug, not a circumstance.
    pub(super) fn internal(what: &str) -> Self {
        Self::Failed(format!("internal: {what}; please report"))
    }
}

impl From<Fault> for JournalError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => Self::Full,
            Fault::Replica(Late::Superseded) => Self::Superseded,
            Fault::Replica(late) => Self::Replica {
                reason: late.to_string(),
            },
            Fault::Failed(reason) => Self::Failed { reason },
        }
    }
}
