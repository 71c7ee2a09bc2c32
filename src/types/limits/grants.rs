//! The bounds of grants. Whoever manages the grants of one dataset makes them for anybody: none of
//! these may be reached for somebody else by what she makes.

/// Grants of one principal in one project that are approved or deny; far more than a person reads.
/// A group has as many of its own.
pub const GRANTS_OF_ONE_MAX: u32 = 1_000;
/// Grants of one project, proposals and those that are over among them. Below
/// [`CATALOG_GRANTS_MAX`](super::CATALOG_GRANTS_MAX) and
/// [`SUBJECT_GRANTS_MAX`](super::SUBJECT_GRANTS_MAX), so that nobody can hold more than is read,
/// through however many groups.
pub const GRANTS_OF_PROJECT_MAX: u32 = 9_500;
/// What is kept free of both for break-glass.
pub const GRANTS_FOR_EMERGENCIES: u32 = 100;
/// Proposals of one project that wait for approval; beyond, the owner is to answer first.
pub const GRANT_PROPOSALS_MAX: usize = 1_000;
/// Those of one proposer.
pub const GRANT_PROPOSALS_OF_ONE_MAX: usize = 100;
/// Bytes that changes of a project's grants may write into the log in an hour, as the rights that
/// decisions rest on; beyond, none is made or approved until the next, and withdrawing goes on.
pub const RIGHTS_BYTES_PER_HOUR_MAX: u64 = 256 * 1024 * 1024;
/// Verdicts that are remembered of one set of roles and one action. A set of three roles has eight
/// at most.
pub const VERDICTS_MAX: usize = 64;
