//! The entries of a log, read from its tiles in order.

use super::source::DirSource;
use crate::archive::Place;
use crate::cli::output::{CliError, Exit};
use crate::ledger::Segment;
use crate::ledger::evidence::Source as _;
use crate::ledger::tlog::{Checkpoint, Note, Tile, VerifierKey};
use crate::notary::{self, EntryError};
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

/// What is wrong with the log's own files, in words.
pub(super) fn unread(error: EntryError) -> CliError {
    match error {
        EntryError::Io(error) => error.into(),
        EntryError::Tile(_) | EntryError::Entry { .. } | EntryError::Range(_) => {
            broken(&error.to_string())
        }
    }
}

/// A tile's bytes; where a full one has taken a partial one's place since, as much of it.
pub(super) fn tile(log: &mut DirSource, tile: &Tile) -> Result<Vec<u8>, CliError> {
    notary::tile(&mut |name| log.read(name), tile).map_err(unread)
}

/// The segments that a volume covers, found by their time: entries come nearly in that order.
pub(super) fn segments_of(
    log: &mut DirSource,
    size: u64,
    place: &Place,
) -> Result<Vec<Segment>, CliError> {
    let meta = &place.meta;
    // What is in the volume came into the log after it was recorded.
    let oldest = Timestamp::from_millis(place.oldest_ms);
    let from = notary::begin(&mut |name| log.read(name), size, oldest).map_err(unread)?;
    let from = from.saturating_mul(256);
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

/// Hands each entry from `from` up to the log's `size` to `take`, with its number.
pub(super) fn each(
    log: &mut DirSource,
    (from, size): (u64, u64),
    mut take: impl FnMut(u64, Segment) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut bundle = from / 256;
    loop {
        let entries = notary::bundle(&mut |name| log.read(name), (bundle, size));
        let entries = entries.map_err(unread)?;
        if entries.is_empty() {
            return Ok(());
        }
        bundle = bundle.saturating_add(1);
        for (index, segment) in entries {
            if index >= from {
                take(index, segment)?;
            }
        }
    }
}
