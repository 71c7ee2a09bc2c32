//! Evidence: what an auditor is handed, and how it is checked on a machine that never saw the
//! vault. Specified in `docs/audit.md`, "A bundle".

mod record;
mod rows;
mod statement;
mod verify;
mod walk;

#[cfg(test)]
mod expired_tests;
#[cfg(test)]
mod part_tests;
#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod tests;

pub use record::{ProvenRecord, RecordProof, RecordProofError};
pub use rows::{
    Expired, Group, GroupRows, Manifest, ManifestScope, RowsError, RowsReader, RowsWriter, Told,
    read_policies, read_sessions, write_policies, write_session, write_sessions_head,
};
pub use statement::{STATED, Statement, StatementError};
pub use verify::{Demand, Finding, FindingKind, Report, Seen, Source, verify};
