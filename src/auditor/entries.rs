//! The entries of a log, read from its tiles in order.

use super::source::DirSource;
use crate::archive::Place;
use crate::cli::output::{CliError, Exit};
use crate::ledger::Segment;
use crate::ledger::evidence::Source as _;
use crate::ledger::tlog::{
    Checkpoint, Note, Tile, TileKind, VerifierKey, decode_bundle, encode_bundle,
};
use crate::types::Timestamp;

/// What cannot be evidence any more.
pub(super) fn broken(what: &str) -> CliError {
    CliError::new(Exit::No, what.to_owned())
        .hint("keep journal and log for those who investigate: they are no evidence any more")
}

/// A checkpoint in a log's directory, signed by `public`: `checkpoint` is the newest, `cosigned`
/// the newest that witnesses have cosigned.
pub(super) fn signed(
    log: &mut DirSource,
    name: &str,
    public: &VerifierKey,
) -> Result<(Note, Checkpoint), CliError> {
    let unsigned = || {
        CliError::new(Exit::No, "the vault has no checkpoint yet")
            .hint("a gateway signs one within seconds of the first record")
    };
    let bytes = log.read(name)?.ok_or_else(unsigned)?;
    let note = Note::parse(&bytes).map_err(|error| broken(&error.to_string()))?;
    let checkpoint = Checkpoint::open(&note, public);
    let checkpoint = checkpoint.map_err(|error| broken(&error.to_string()))?;
    Ok((note, checkpoint))
}

/// A tile's bytes; where a full one has taken a partial one's place since, as much of it.
pub(super) fn tile(log: &mut DirSource, tile: &Tile) -> Result<Vec<u8>, CliError> {
    if let Some(bytes) = log.read(&tile.to_string())? {
        return Ok(bytes);
    }
    let missing = || broken(&format!("{tile} is missing"));
    let full = Tile {
        width: 256,
        ..*tile
    };
    let bytes = log.read(&full.to_string())?.ok_or_else(missing)?;
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

/// The segments that a volume covers, found by their time: entries come nearly in that order.
pub(super) fn segments_of(
    log: &mut DirSource,
    size: u64,
    place: &Place,
) -> Result<Vec<Segment>, CliError> {
    let meta = &place.meta;
    // What is in the volume came into the log after it was recorded.
    let from = begin(log, size, Timestamp::from_millis(place.oldest_ms))?;
    for from in [from, 0] {
        let mut segments = Vec::new();
        let mut at = meta.first;
        let mut done = false;
        let mut next = from;
        while next < size && !done {
            // By the bundle, so that nothing behind the volume is read.
            let end = next.saturating_add(256).min(size);
            each(log, (next, end), |_, segment| {
                if segment.lane == meta.lane && segment.first == at && segment.end() <= meta.end {
                    at = segment.end();
                    segments.push(segment);
                }
                Ok(())
            })?;
            done = at >= meta.end;
            next = end;
        }
        if done {
            return Ok(segments);
        }
    }
    Err(broken("a volume has records that are not in the log"))
}

/// An entry before which nothing was made at `time` or later, if the clock was not set back.
fn begin(log: &mut DirSource, size: u64, time: Timestamp) -> Result<u64, CliError> {
    let (mut low, mut high) = (0, size.div_ceil(256));
    while low < high {
        let middle = low.midpoint(high);
        let first = middle.saturating_mul(256);
        let mut begun = None;
        each(
            log,
            (first, first.saturating_add(256).min(size)),
            |_, segment| {
                begun.get_or_insert(segment.time);
                Ok(())
            },
        )?;
        if begun.is_some_and(|begun| begun < time) {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low.saturating_sub(1).saturating_mul(256))
}

/// Hands each entry from `from` up to the log's `size` to `take`, with its number.
pub(super) fn each(
    log: &mut DirSource,
    (from, size): (u64, u64),
    mut take: impl FnMut(u64, Segment) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut bundle = from / 256;
    let mut index = bundle.saturating_mul(256);
    while let Some(at) = Tile::of(TileKind::Entries, bundle, size) {
        bundle = bundle.saturating_add(1);
        let bytes = tile(log, &at)?;
        let entries = decode_bundle(at.width, &bytes);
        for entry in entries.map_err(|error| broken(&error.to_string()))? {
            if index >= from {
                let segment = Segment::decode(entry);
                let segment =
                    segment.map_err(|error| broken(&format!("entry {index}: {error}")))?;
                take(index, segment)?;
            }
            index = index.saturating_add(1);
        }
    }
    Ok(())
}
