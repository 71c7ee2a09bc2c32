//! Work on the keys of datasets: rotation and erasure. Both are one construction.
//!
//! A dataset's key wraps its part tables, and these hold the data keys. To rotate, the ring gets a
//! new key, the catalog refuses from then on what is sealed under the old one, each table is
//! sealed again under the new one, and the old one is destroyed; no data is read or written. To
//! erase an object, its rows go in the commit that begins this: its tables are in older catalogs,
//! backups and snapshots only, under the key that is destroyed at the end. To erase a dataset, all
//! its keys are destroyed at once.
//!
//! What is begun stands in the catalog, and each step can be done twice: a crash leaves work that
//! the next process takes up.

mod drive;
mod erase;
mod judge;
mod rewrap;

use std::collections::BTreeSet;

use crate::types::{KeyWorkId, Timestamp};

/// What becomes of part tables that no key opens any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unopened {
    /// The work waits, and the old keys stay: a copy of them, or `kluis recover`, may mend it.
    Wait,
    /// They are given up together with the old keys.
    GiveUp,
}

/// Work on keys that a process has seen.
#[derive(Clone, Default, Debug)]
pub struct Noticed {
    /// All work up to here, in the order of its beginning.
    upto: Option<(Timestamp, KeyWorkId)>,
    /// Of it, what had not ended.
    open: BTreeSet<KeyWorkId>,
}

pub use drive::erasure_words;
#[cfg(test)]
pub(super) use erase::Agreed;
