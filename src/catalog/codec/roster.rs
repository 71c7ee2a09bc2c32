//! How rows of the roster are encoded: the kind, then the fields in order of declaration.

use super::CodecError;
use super::rows::{bytes, fields};
use super::wire::{Reader, Wire};
use crate::catalog::{JobRow, NodeRow, RosterEntry, RosterKind, RosterRow};
use crate::policy::Demand;

bytes!(RosterKind {
    Node = 0,
    Job = 1,
    Demand = 2,
});
fields!(RosterEntry { revision, row });
fields!(NodeRow {
    cluster,
    key,
    networks,
    enrolled,
});
fields!(Demand { acr, amr, log_only });
fields!(JobRow {
    principal,
    word,
    assurance,
    project,
    dataset,
    version,
    purpose,
    cluster,
    account,
    nodes_max,
    created,
    start_by,
    lasts_ms,
    number,
    over,
    nodes,
    left,
    ended,
});

impl Wire for RosterRow {
    fn write(&self, out: &mut Vec<u8>) {
        self.kind().write(out);
        match self {
            Self::Node(row) => row.write(out),
            Self::Job(row) => row.write(out),
            Self::Demand(row) => row.write(out),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match RosterKind::read(reader)? {
            RosterKind::Node => Self::Node(Wire::read(reader)?),
            RosterKind::Job => Self::Job(Wire::read(reader)?),
            RosterKind::Demand => Self::Demand(Wire::read(reader)?),
        })
    }
}
