//! What sealing and opening can fail with, and why exactly a blob was refused (which stays in
//! here).

use crate::types::EntropyError;

/// Why nothing was sealed. At fault: the caller, or the machine's randomness.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// A blob, segment or table of a length that the format does not have. At fault: the caller.
    #[error("what was to be sealed has a length that the format does not allow")]
    Length,
    /// The last segment was sealed already. At fault: the caller.
    #[error("the blob is complete, nothing more can be sealed into it")]
    Finished,
    /// A table of too many extents, or an extent that lies outside its blob. At fault: the caller.
    #[error("the part table is not consistent")]
    Table,
    /// The machine gave no randomness.
    #[error("nothing can be sealed without randomness")]
    Entropy(#[source] EntropyError),
    /// The cipher refused lengths that were checked before: a fault of this program.
    #[error("the cipher failed, please report this")]
    Cipher,
}

/// Why nothing was opened.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The sealed bytes are not what was sealed under this key and for this place: altered,
    /// truncated, swapped, rolled back, or of another key. At fault: whoever kept them. **All such
    /// causes are this one**, so that no caller tells an attacker how far he came.
    #[error("the sealed bytes did not authenticate")]
    NotAuthentic,
    /// The last segment was opened already, or there is no such segment. At fault: the caller.
    #[error("the blob has no such segment")]
    OutOfTurn,
}

/// The precise reason, in the order of `FORMAT.md`; for the vectors and tests of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Header,
    Magic,
    Suite,
    Class,
    Reserved,
    BlobId,
    Commitment,
    Description,
    /// The description is authentic but of another owner, index or length than the caller expects.
    Origin,
    Length,
    Segment,
    Record,
}

impl From<Refusal> for OpenError {
    fn from(_class: Refusal) -> Self {
        Self::NotAuthentic
    }
}

/// A derivation that failed while opening opens nothing.
impl From<SealError> for Refusal {
    fn from(_cause: SealError) -> Self {
        Self::Record
    }
}
