//! Holds a volume against the log: every record's canonical bytes, made again from the columns,
//! must be those that the log's segments commit to. Of a scope whose time is over the log's root
//! stays, and no record may be there that no other scope keeps.

use super::ArchiveError;
use super::file::Volume;
use super::fold::Row;
use super::read::rows_of;
use crate::ledger::{
    Entry, Scope, ScopeKey, ScopeRoot, Segment, SegmentTrees, encode, encode_completion, scopes_of,
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
    let expired = meta.expired();
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
        let mut count = 0_u64;
        while let Some((seq, row, end)) = records.next_if(|(seq, ..)| *seq < at) {
            let row = rows.get(row).ok_or_else(differs)?;
            encode_record(row, end, &mut bytes)?;
            // A completion belongs where its intent does, which stands in the same row.
            let scopes = scopes_of(&row.entry);
            for scope in &scopes {
                trees.push(scope, seq, &bytes);
            }
            if scopes.iter().all(|scope| expired.contains(&key.tag(scope))) {
                return Err(ArchiveError::Other("it holds records whose time is over"));
            }
            seen(place, &scopes, seq, &bytes, row);
            count = count.saturating_add(1);
        }
        let whole = expired.is_empty();
        let kept = |roots: &[ScopeRoot]| -> Vec<ScopeRoot> {
            let kept = roots.iter().filter(|root| !expired.contains(&root.tag));
            kept.copied().collect()
        };
        // The root of a scope commits to how many records it has, and to the number of each.
        if kept(&trees.roots()) != kept(&segment.scopes) || (whole && count != segment.count) {
            return Err(differs());
        }
        checked.records = checked.records.saturating_add(count);
    }
    if at != meta.end || records.next().is_some() {
        return Err(ArchiveError::Other("it holds other records than it says"));
    }
    Ok(checked)
}

/// The canonical bytes of a row's record: of its completion, or of what it begins with.
fn encode_record(row: &Row, end: bool, out: &mut Vec<u8>) -> Result<(), ArchiveError> {
    out.clear();
    match (&row.end, end) {
        (Some((_, completion)), true) => Ok(encode_completion(completion, out)?),
        (_, _) => Ok(encode(&row.entry, out)?),
    }
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

/// A record of a volume, made again from its columns.
pub struct Found<'a> {
    /// Its number.
    pub seq: u64,
    /// Its canonical bytes.
    pub bytes: &'a [u8],
    /// Where it belongs.
    pub scopes: Vec<Scope>,
    /// The row that it stands in.
    pub row: &'a Row,
}

/// Hands every record of a volume to `take`, in the order of their numbers. They are what the
/// volume says: whether the log says so too is for the taker to judge.
pub fn records_of(
    volume: &Volume,
    mut take: impl FnMut(Found<'_>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut rows = Vec::new();
    rows_of(volume, |row| {
        rows.push(row);
        Ok(())
    })?;
    let mut bytes = Vec::new();
    for (seq, at, end) in order(&rows, volume.meta.first)? {
        let row = rows.get(at).ok_or(ArchiveError::Row(at))?;
        encode_record(row, end, &mut bytes)?;
        take(Found {
            seq,
            bytes: &bytes,
            scopes: scopes_of(&row.entry),
            row,
        })?;
    }
    Ok(())
}
