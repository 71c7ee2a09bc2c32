//! The log as columns: a **volume** is a Parquet file with a run of one lane's records, encrypted
//! (Parquet Modular Encryption). Each record's canonical bytes are made again from its columns, so
//! that what is queried is what is verified.
//!
//! ```text
//! records ──Fold──► rows (a request in one row) ──columns──► Parquet ──► store
//!            ◄──────────── Volume::rows ◄───────────────────┘
//! ```
//!
//! It holds no SQL and knows no journal and no log: those are the auditor's command's.

mod check;
mod columns;
mod expire;
mod file;
mod fold;
mod index;
mod read;
mod texts;

#[cfg(test)]
pub(crate) mod tests;

pub use check::{Checked, Found, check, records_of};
pub use columns::{batch, schema};
pub use expire::remaining;
pub use file::{Meta, Volume, VolumeKeys, is_sealed, read_meta, write_volume};
pub use fold::{Fold, Row};
pub use index::{Held, Index, IndexError, Place};
pub use read::rows_of;
pub use texts::texts_of;

/// Why a volume is refused, or none can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It is no Parquet file of this key and place, or altered. At fault: the store, or who wrote
    /// there.
    #[error("the volume does not open")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Columns that cannot be.
    #[error("the volume's columns do not fit: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    /// A key that does not open.
    #[error("the volume's key does not open")]
    Key(#[from] crate::seal::OpenError),
    /// No key can be wrapped.
    #[error("the volume's key cannot be wrapped")]
    Seal(#[from] crate::seal::SealError),
    /// A record that has no canonical bytes.
    #[error("a row is no record")]
    Codec(#[from] crate::ledger::CodecError),
    /// What it says of itself is not what was expected of it.
    #[error("the volume is not the one that was asked for: {0}")]
    Other(&'static str),
    /// A row that no record makes.
    #[error("row {0} of the volume is no record")]
    Row(usize),
    /// The records are not those that the log commits to.
    #[error("the volume does not hold what the log says of segment {first} of {lane}")]
    Differs {
        /// The lane.
        lane: String,
        /// The segment's first record.
        first: u64,
    },
    /// More requests are open than a journal can have.
    #[error("too many requests are open")]
    Open,
}
