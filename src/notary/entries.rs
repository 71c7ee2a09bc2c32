//! The entries of a log and the hashes under them, read from its tiles by whoever proves what it
//! holds.

use std::io;

use crate::ledger::tlog::{Hash, Node, ProofError, Tile, TileKind, decode_bundle, encode_bundle};
use crate::ledger::{CodecError, Segment};
use crate::types::Timestamp;

/// Why an entry or a hash cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The disk.
    #[error("a tile cannot be read")]
    Io(#[from] io::Error),
    /// A tile that is missing or is none.
    #[error("{0} is missing or damaged")]
    Tile(String),
    /// An entry that is none.
    #[error("entry {index} of the log is none: {why}")]
    Entry {
        /// Its number.
        index: u64,
        /// Why.
        why: CodecError,
    },
    /// The log has no such entry or size.
    #[error("the log has no such entry or size")]
    Range(#[from] ProofError),
}

/// Reads a log's files by their names.
pub(super) type Read<'a> = dyn FnMut(&str) -> io::Result<Option<Vec<u8>>> + 'a;

/// A tile's bytes; where a full one has taken a partial one's place since, as much of it.
pub fn tile(read: &mut Read<'_>, tile: &Tile) -> Result<Vec<u8>, EntryError> {
    if let Some(bytes) = read(&tile.to_string())? {
        return Ok(bytes);
    }
    let missing = || EntryError::Tile(tile.to_string());
    let full = Tile {
        width: 256,
        ..*tile
    };
    let bytes = read(&full.to_string())?.ok_or_else(missing)?;
    let bytes = match tile.kind {
        TileKind::Hashes(_) => bytes
            .get(..usize::from(tile.width).saturating_mul(32))
            .map(<[u8]>::to_vec),
        TileKind::Entries => decode_bundle(256, &bytes).ok().and_then(|mut entries| {
            entries.truncate(usize::from(tile.width));
            encode_bundle(&entries).ok()
        }),
    };
    bytes.ok_or_else(missing)
}

/// The hash of a full subtree, in the tree of `size` entries.
pub fn node(read: &mut Read<'_>, node: Node, size: u64) -> Result<Hash, EntryError> {
    let beyond = || EntryError::Range(ProofError::Range);
    let at = Tile::holding(node, size).ok_or_else(beyond)?;
    let bytes = tile(read, &at)?;
    let hashes = at.hashes(&bytes);
    let hashes = hashes.map_err(|_length| EntryError::Tile(at.to_string()))?;
    Tile::node(node, &hashes).ok_or_else(beyond)
}

/// The entries of one bundle of tiles in a log of `size`, with their numbers; none beyond its end.
pub fn bundle(
    read: &mut Read<'_>,
    (bundle, size): (u64, u64),
) -> Result<Vec<(u64, Segment)>, EntryError> {
    let Some(at) = Tile::of(TileKind::Entries, bundle, size) else {
        return Ok(Vec::new());
    };
    let bytes = tile(read, &at)?;
    let entries = decode_bundle(at.width, &bytes);
    let entries = entries.map_err(|_form| EntryError::Tile(at.to_string()))?;
    let mut segments = Vec::with_capacity(entries.len());
    for (index, entry) in (bundle.saturating_mul(256)..).zip(entries) {
        let segment = Segment::decode(entry);
        segments.push((
            index,
            segment.map_err(|why| EntryError::Entry { index, why })?,
        ));
    }
    Ok(segments)
}

/// A bundle before which no entry was made at `time` or later, if the clock was not set back.
pub fn begin(read: &mut Read<'_>, size: u64, time: Timestamp) -> Result<u64, EntryError> {
    let (mut low, mut high) = (0, size.div_ceil(256));
    while low < high {
        let middle = low.midpoint(high);
        let entries = bundle(read, (middle, size))?;
        if entries
            .first()
            .is_some_and(|(_, segment)| segment.time < time)
        {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low.saturating_sub(1))
}
