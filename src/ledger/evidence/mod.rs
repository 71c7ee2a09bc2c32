//! Evidence: what a project's auditor is handed, and how it is checked on a machine that never saw
//! the vault. Specified in `docs/audit.md`, "A bundle".

mod rows;
mod verify;
mod walk;

#[cfg(test)]
mod expired_tests;
#[cfg(test)]
mod tests;

pub use rows::{
    Expired, Group, Manifest, ManifestScope, RowsError, RowsReader, RowsWriter, read_sessions,
    write_session, write_sessions_head,
};
pub use verify::{Demand, Finding, FindingKind, Report, Seen, Source, verify};
