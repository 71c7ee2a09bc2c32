//! How rows of the roster are encoded: the kind, then the fields in order of declaration.

use super::CodecError;
use super::rows::{bytes, fields};
use super::wire::{Reader, Wire};
use crate::catalog::{
    AliasRow, ClaimRow, DeletedRow, EndingRow, JobRow, Linking, NodeRow, PersonRow, RosterEntry,
    RosterKind, RosterRow, SourceRow, TeamRow, WebhookRow,
};
use crate::policy::Demand;

bytes!(RosterKind {
    Node = 0,
    Job = 1,
    Demand = 2,
    Source = 3,
    Person = 4,
    Team = 5,
    Alias = 6,
    Claim = 7,
    Webhook = 8,
    Push = 9,
    Ending = 10,
    Visa = 11,
    Deleted = 12,
});
fields!(RosterEntry { revision, row });
fields!(NodeRow {
    cluster,
    key,
    networks,
    enrolled,
} else { partition, uses });
fields!(Demand { acr, amr, log_only });
bytes!(Linking {
    ByHand = 0,
    UserName = 1,
    ExternalId = 2,
});
fields!(SourceRow {
    key,
    agent,
    issuer,
    linking,
    created,
    expires,
});
fields!(PersonRow {
    source,
    user_name,
    external_id,
    display_name,
    active,
    created,
    modified,
});
fields!(TeamRow {
    source,
    display_name,
    external_id,
    created,
    modified,
});
fields!(AliasRow { principal });
fields!(WebhookRow {
    sealed,
    host,
    created,
});
fields!(EndingRow { ends });
fields!(DeletedRow {
    dataset,
    bucket,
    at,
    by,
});
fields!(ClaimRow { id, group, created });
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

/// What stands in the place of [`RosterKind::Node`] before a node that is in a partition or has use
/// classes, which follow it: rows of before there were any are as they were.
const NODE_PLACED: u8 = 128;

impl Wire for RosterRow {
    fn write(&self, out: &mut Vec<u8>) {
        if let Self::Node(row) = self
            && (row.partition.is_some() || !row.uses.is_empty())
        {
            out.push(NODE_PLACED);
            row.write(out);
            row.partition.write(out);
            return row.uses.write(out);
        }
        self.kind().write(out);
        match self {
            Self::Node(row) => row.write(out),
            Self::Job(row) => row.write(out),
            Self::Demand(row) => row.write(out),
            Self::Source(row) => row.write(out),
            Self::Person(row) => row.write(out),
            Self::Team(row) => row.write(out),
            Self::Alias(row) => row.write(out),
            Self::Claim(row) | Self::Visa(row) => row.write(out),
            Self::Webhook(row) => row.write(out),
            Self::Push(row) => row.write(out),
            Self::Ending(row) => row.write(out),
            Self::Deleted(row) => row.write(out),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let form = u8::read(reader)?;
        if form == NODE_PLACED {
            return placed(reader).map(Self::Node);
        }
        Ok(match RosterKind::read(&mut Reader::new(&[form]))? {
            RosterKind::Node => Self::Node(Wire::read(reader)?),
            RosterKind::Job => Self::Job(Wire::read(reader)?),
            RosterKind::Demand => Self::Demand(Wire::read(reader)?),
            RosterKind::Source => Self::Source(Wire::read(reader)?),
            RosterKind::Person => Self::Person(Wire::read(reader)?),
            RosterKind::Team => Self::Team(Wire::read(reader)?),
            RosterKind::Alias => Self::Alias(Wire::read(reader)?),
            RosterKind::Claim => Self::Claim(Wire::read(reader)?),
            RosterKind::Webhook => Self::Webhook(Wire::read(reader)?),
            RosterKind::Push => Self::Push(Wire::read(reader)?),
            RosterKind::Ending => Self::Ending(Wire::read(reader)?),
            RosterKind::Visa => Self::Visa(Wire::read(reader)?),
            RosterKind::Deleted => Self::Deleted(Wire::read(reader)?),
        })
    }
}

/// A node with its place. One that has none is written without, and no other way.
fn placed(reader: &mut Reader<'_>) -> Result<NodeRow, CodecError> {
    let mut row = NodeRow::read(reader)?;
    row.partition = Wire::read(reader)?;
    row.uses = Wire::read(reader)?;
    if row.partition.is_none() && row.uses.is_empty() {
        return Err(CodecError::Value);
    }
    Ok(row)
}
