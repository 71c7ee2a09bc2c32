//! The entries of the log, read from its tiles: as many as its newest checkpoint covers.

use super::StreamError;
use crate::ledger::Segment;
use crate::ledger::tlog::{Checkpoint, Note, Tile, TileKind, VerifierKey, decode_bundle};
use crate::notary::Shelf;

/// A log that another keeps.
pub(super) struct Entries {
    shelf: Box<dyn Shelf>,
    key: VerifierKey,
}

impl Entries {
    pub(super) const fn new(shelf: Box<dyn Shelf>, key: VerifierKey) -> Self {
        Self { shelf, key }
    }

    /// How many entries there are; 0 before the first checkpoint.
    pub(super) fn size(&self) -> Result<u64, StreamError> {
        let Some(bytes) = self.shelf.read("checkpoint")? else {
            return Ok(0);
        };
        let note = Note::parse(&bytes)?;
        Ok(Checkpoint::open(&note, &self.key)?.size)
    }

    /// The entries from `from` to the end of its bundle, of a log of `size`.
    pub(super) fn bundle(&self, from: u64, size: u64) -> Result<Vec<Segment>, StreamError> {
        let Some(tile) = Tile::of(TileKind::Entries, from / 256, size) else {
            return Ok(Vec::new());
        };
        let (bytes, width) = self.tile(&tile)?;
        let first = (from / 256).saturating_mul(256);
        let entries = decode_bundle(width, &bytes)?;
        (first..size)
            .zip(entries)
            .filter(|(index, _)| *index >= from)
            .map(|(_, entry)| Ok(Segment::decode(entry)?))
            .collect()
    }

    /// A tile's bytes and width; a full one may have taken a partial one's place since.
    fn tile(&self, tile: &Tile) -> Result<(Vec<u8>, u16), StreamError> {
        if let Some(bytes) = self.shelf.read(&tile.to_string())? {
            return Ok((bytes, tile.width));
        }
        let full = Tile {
            width: 256,
            ..*tile
        };
        let bytes = self.shelf.read(&full.to_string())?;
        Ok((bytes.ok_or(StreamError::Tile)?, full.width))
    }
}
