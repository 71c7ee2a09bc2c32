//! How far the snapshots of this catalog are. It stands in the catalog itself, in one transaction
//! with the changes that it lets go, so that an older copy of the file shows itself as one.

use crate::types::Timestamp;

/// The chain of snapshots as its catalog knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Drawn when the chain began here: at the founding, at a recovery, when a catalog was adopted.
    pub lineage: [u8; 32],
    /// The newest snapshot that is in the store.
    pub head: Option<Link>,
    /// The number that the next snapshot gets.
    pub next: u64,
    /// The last commit that a snapshot holds.
    pub upto: u64,
    /// A snapshot that was begun and may be in the store.
    pub attempt: Option<Attempt>,
    /// No snapshot with a lower number is there any more.
    pub floor: u64,
    /// No snapshot with a lower number is needed: where the base before the newest begins.
    pub keep_from: u64,
    /// How many bases there were: each has a pointer to it in the store.
    pub bases: u64,
    /// The newest base.
    pub base: Option<Base>,
    /// Snapshots since, and their bytes.
    pub since: Since,
    /// Nothing but a base may be written: the catalog was adopted, and no snapshot leads to it.
    pub unbased: bool,
    /// When a recovery that was not whole, or the adoption of an older catalog, made this catalog,
    /// until somebody accepts what it is: what it does not know is not swept.
    pub doubted: Option<Timestamp>,
}

/// One snapshot in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub number: u64,
    /// Its sealed length.
    pub bytes: u64,
    /// SHA-256 of its sealed bytes.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
}

/// A snapshot that is on its way. It is sealed again to the same bytes, so that a number holds one
/// thing however often it is tried and however late a try arrives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// What it will be.
    pub link: Link,
    /// The last commit that the snapshots hold with it.
    pub upto: u64,
    /// The random bytes under which it is sealed.
    pub salt: [u8; 32],
    /// Whether it holds changes, which the catalog still has; otherwise a page of a base.
    pub changes: bool,
}

/// The whole catalog, written as snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// The number of its first snapshot.
    pub first: u64,
    /// All its bytes, sealed.
    pub bytes: u64,
}

/// What was written since the newest base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    /// Snapshots.
    pub count: u64,
    /// Their bytes, sealed.
    pub bytes: u64,
}
