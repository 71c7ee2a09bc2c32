//! The bounds of published versions.

/// Datasets of one project that are published at once; each has all of itself frozen.
pub const PUBLICATIONS_AT_ONCE: usize = 2;
/// Published versions of one dataset.
pub const VERSIONS_MAX: u32 = 1_000_000;
