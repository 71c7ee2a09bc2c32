//! The blob format: sealing and opening, in memory, one segment at a time. `FORMAT.md` beside
//! this file is its specification.
//!
//! A pure core: no I/O, no clock, and randomness only as a parameter. No plaintext leaves it
//! before its segment has authenticated.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod binding;
mod error;
mod fuzz;
mod header;
pub(crate) mod keys;
pub mod layout;
mod manifest;
mod material;
mod record;
mod stream;
mod suite;
mod table;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod record_vectors;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod vectors;

pub use binding::{Binding, Place};
use error::Refusal;
pub use error::{OpenError, SealError};
#[doc(hidden)]
pub use fuzz::fuzz_decoders;
pub use header::{BlobKind, Description, HEADER_BYTES};
pub use manifest::{manifest_key_version, open_manifest_key, seal_manifest_key};
pub use material::{open_file_key, wrap_file_key};
pub(crate) use record::{open_bytes, seal_bytes};
pub use record::{open_log_state, open_snapshot, seal_log_state, seal_snapshot};
pub use stream::{DataKey, Opener, Origin, Sealer, open_blob, seal_blob};
pub use suite::{Suite, TAG_BYTES};
pub use table::{
    DatasetKey, Extent, Table, open_table, seal_table, sealed_table_bytes, table_key_version,
};
