//! The bounds of acts that take two persons. Whoever may only ask for them, of one dataset, keeps
//! nobody else from asking or from seeing what waits.

/// Acts of one project that wait for a second person; beyond, one is to be answered first.
pub const APPROVALS_OPEN_MAX: u32 = 100;
/// Those of one asker, so that it takes ten people to fill a project's places.
pub const APPROVALS_OF_ONE_MAX: u32 = 10;
/// Of a project's places, those that break-glass alone may take.
pub const APPROVALS_FOR_EMERGENCIES: u32 = 20;
/// Acts that one person asks for at once, and how many seconds each one after them takes: 30 an
/// hour. What she takes back was asked for, and needs no pace of its own.
pub const ASKS_BURST: u32 = 30;
/// See [`ASKS_BURST`].
pub const ASK_SECONDS: u32 = 120;
/// People whose pace of asking is kept at a time.
pub const ASKERS_MAX: usize = 10_000;
/// Acts of one project that are listed: all that wait, and the newest of the others.
pub const APPROVALS_TOLD_MAX: usize = 1_000;
/// How long an act waits for the second person, in milliseconds: over a weekend.
pub const APPROVAL_WAIT_MS: u64 = 72 * 60 * 60 * 1_000;
/// How long an approved act may be done, in milliseconds.
pub const APPROVAL_GOOD_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long the catalog tells of an act that is over, in milliseconds; the log does for ever.
pub const APPROVAL_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1_000;
/// Acts that are over and that one commit forgets.
pub const APPROVALS_FORGET_MAX: usize = 100;
