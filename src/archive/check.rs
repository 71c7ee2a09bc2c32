//! Holds a volume against the log: every record's canonical bytes, made again from the columns,
//! must be those that the log's segments commit to.

use std::sync::Arc;

use super::ArchiveError;
use super::file::Volume;
use super::fold::Row;
use super::read::rows_of;
use crate::ledger::{
    Entry, Scope, ScopeKey, Segment, SegmentTrees, Session, encode, encode_completion, scopes_of,
};

/// What was found to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Records.
    pub records: u64,
    /// Rows, the carried ones among them.
    pub rows: u64,
}

/// Checks a volume against the segments that cover it, in the order of their numbers, and hands
/// every record to `seen`: its segment's place among `segments`, its scopes, number and bytes.
pub fn check(
    volume: &Volume,
    segments: &[Segment],
    key: &ScopeKey,
    mut seen: impl FnMut(usize, &[Scope], u64, &[u8], &Row),
) -> Result<Checked, ArchiveError> {
    let meta = &volume.meta;
    let mut rows = Vec::new();
    rows_of(volume, |row| {
        rows.push(row);
        Ok(())
    })?;
    let mut records = order(&rows, meta.first)?.into_iter().peekable();
    let mut at = meta.first;
    let mut checked = Checked {
        rows: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        records: 0,
    };
    let mut bytes = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        let differs = || ArchiveError::Differs {
            lane: segment.lane.clone(),
            first: segment.first,
        };
        if segment.lane != meta.lane || segment.first != at {
            return Err(differs());
        }
        at = segment.end();
        if segment.lost {
            if !meta.lost.contains(&(segment.first, at)) {
                return Err(differs());
            }
            continue;
        }
        let mut trees = SegmentTrees::new(key, &segment.lane, segment.first);
        for expected in segment.first..at {
            let (seq, row, end) = records.next().ok_or_else(differs)?;
            let row = rows
                .get(row)
                .filter(|_| seq == expected)
                .ok_or_else(differs)?;
            bytes.clear();
            match (&row.end, end) {
                (Some((_, completion)), true) => encode_completion(completion, &mut bytes)?,
                (_, _) => encode(&row.entry, &mut bytes)?,
            }
            // A completion belongs where its intent does, which stands in the same row.
            let scopes = scopes_of(&row.entry);
            for scope in &scopes {
                trees.push(scope, seq, &bytes);
            }
            seen(place, &scopes, seq, &bytes, row);
            checked.records = checked.records.saturating_add(1);
        }
        if trees.roots() != segment.scopes {
            return Err(differs());
        }
    }
    if at != meta.end || records.next().is_some() {
        return Err(ArchiveError::Other("it holds other records than it says"));
    }
    Ok(checked)
}

/// A record as it stands in a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its number in the lane.
    pub seq: u64,
    /// The record.
    pub entry: Entry,
    /// The session that it refers to.
    pub session: Option<Arc<Session>>,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

/// Every record of a volume, made again from its columns, in the order of their numbers.
pub fn records_of(volume: &Volume) -> Result<Vec<Kept>, ArchiveError> {
    let mut rows = Vec::new();
    rows_of(volume, |row| {
        rows.push(row);
        Ok(())
    })?;
    let order = order(&rows, volume.meta.first)?;
    let mut kept = Vec::with_capacity(order.len());
    for (seq, at, end) in order {
        let row = rows.get(at).ok_or(ArchiveError::Row(at))?;
        let entry = match (&row.end, end) {
            (Some((_, completion)), true) => Entry::Completion(completion.clone()),
            (_, _) => row.entry.clone(),
        };
        let mut bytes = Vec::new();
        encode(&entry, &mut bytes)?;
        let session = row.session.clone().filter(|_| !end);
        kept.push(Kept {
            seq,
            entry,
            session,
            bytes,
        });
    }
    Ok(kept)
}

/// Number, row and whether it is its completion, of each record from `first` on, in order.
fn order(rows: &[Row], first: u64) -> Result<Vec<(u64, usize, bool)>, ArchiveError> {
    let mut records = Vec::with_capacity(rows.len().saturating_mul(2));
    for (at, row) in rows.iter().enumerate() {
        // A request that was open before is here for its end alone.
        if row.seq >= first {
            records.push((row.seq, at, false));
        } else if !matches!(row.entry, Entry::Intent { .. }) {
            return Err(ArchiveError::Row(at));
        }
        if let Some((seq, _)) = &row.end {
            records.push((*seq, at, true));
        }
    }
    records.sort_unstable();
    Ok(records)
}
