//! Evidence: what a project's auditor is handed, and how it is checked on a machine that never saw
//! the vault. Specified in `docs/audit.md`, "A bundle".

mod rows;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

pub use rows::{
    Group, Manifest, ManifestScope, RowsError, RowsReader, RowsWriter, read_policies,
    read_sessions, write_policies, write_session, write_sessions_head,
};
pub use verify::{Finding, FindingKind, Report, Seen, Source, verify};
