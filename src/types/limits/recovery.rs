//! The bounds of a recovery of the catalog.

/// Blobs that a recovery or an adoption keeps in memory as the store lists them, if the
/// configuration says nothing: 64 bytes each, 3 GB.
pub const LISTED_BLOBS_MAX: u32 = 50_000_000;
/// Commits that a recovery remembers, 40 bytes each, to tell what two snapshots hold from a fork.
pub const RECOVER_REMEMBERED_MAX: usize = 100_000;
