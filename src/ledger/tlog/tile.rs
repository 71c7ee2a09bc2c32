//! Tiles (c2sp.org/tlog-tiles): where the hashes and entries of a tree stand, and how entries are
//! written one after another.

use std::fmt;
use std::str::FromStr;

use super::tree::{Hash, node_hash};
use crate::types::limits::LOG_ENTRY_BYTES_MAX;

/// Hashes or entries of a full tile.
const WIDTH: u16 = 256;
/// The same, where indexes are counted.
const WIDE: u64 = 256;
/// The highest level that a path can name.
const LEVEL_MAX: u8 = 63;
/// The highest level of tiles that a tree of less than 2^64 leaves has.
const LEVELS: u8 = 8;

/// Bytes that are no tile, or a name that names none.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum TileError {
    /// A path that is not the one canonical form.
    #[error("the path names no tile")]
    Path,
    /// The bytes are not as many as the tile has.
    #[error("the tile has the wrong length")]
    Length,
    /// An entry or a bundle beyond its bound.
    #[error("an entry is too long for the log")]
    TooLong,
}

/// A full subtree of `2^level` leaves; the first is leaf `index × 2^level`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Node {
    /// Its height.
    pub level: u8,
    /// Its place among those of its height.
    pub index: u64,
}

/// What a tile holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum TileKind {
    /// Entries.
    Entries,
    /// Hashes of full subtrees of `256^level` leaves.
    Hashes(u8),
}

/// The name of a tile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// Its place among those of its kind.
    pub index: u64,
    /// How many, 1 to 256; with less than 256 it is partial.
    pub width: u16,
}

impl Tile {
    /// The tile as it is in a tree of `size` leaves; `None` where there is none.
    #[must_use]
    pub fn of(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Entries => 0,
            TileKind::Hashes(level) => level,
        };
        let hashes = size.checked_shr(u32::from(level).checked_mul(8)?)?;
        let first = index.checked_mul(WIDE)?;
        let width = hashes.saturating_sub(first).min(WIDE);
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { kind, index, width })
    }

    /// Whether it holds all that it ever will.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The tile of hashes that a node's hash comes from, in a tree of `size` leaves.
    #[must_use]
    pub fn holding(node: Node, size: u64) -> Option<Self> {
        let within = u32::from(node.level % 8);
        let first = node.index.checked_shl(within)?;
        Self::of(TileKind::Hashes(node.level / 8), first / WIDE, size)
    }

    /// Splits a tile's bytes into its hashes, exactly as many as it has.
    pub fn hashes(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() != usize::from(self.width) {
            return Err(TileError::Length);
        }
        Ok(hashes.to_vec())
    }

    /// The hash of `node`, from the hashes of the tile that holds it.
    #[must_use]
    pub fn node(node: Node, hashes: &[Hash]) -> Option<Hash> {
        let within = u32::from(node.level % 8);
        let first = node.index.checked_shl(within)? % WIDE;
        let first = usize::try_from(first).ok()?;
        let mut row = hashes
            .get(first..first.checked_add(1_usize.checked_shl(within)?)?)?
            .to_vec();
        while row.len() > 1 {
            let (pairs, _none_left) = row.as_chunks::<2>();
            row = pairs
                .iter()
                .map(|[left, right]| node_hash(left, right))
                .collect();
        }
        row.first().copied()
    }
}

impl fmt::Display for Tile {
    /// `tile/<L>/<N>[.p/<W>]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries")?,
            TileKind::Hashes(level) => write!(f, "tile/{level}")?,
        }
        let mut rest = self.index;
        let mut groups = Vec::new();
        loop {
            groups.push(rest % 1000);
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        while let Some(group) = groups.pop() {
            let mark = if groups.is_empty() { "" } else { "x" };
            write!(f, "/{mark}{group:03}")?;
        }
        if !self.is_full() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// A decimal without sign or leading zero.
fn decimal(text: &str) -> Option<u64> {
    let value = text.parse().ok()?;
    let canonical = !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
    canonical.then_some(value)
}

fn index(path: &str) -> Option<u64> {
    let mut index = 0_u64;
    let mut groups = path.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() {
            group.strip_prefix('x')?
        } else {
            group
        };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // A name has no leading groups of zeros.
    let first = path.strip_prefix("x000/");
    first.is_none().then_some(index)
}

impl FromStr for Tile {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (kind, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let kind = if kind == "entries" {
            TileKind::Entries
        } else {
            let level = decimal(kind).and_then(|level| u8::try_from(level).ok());
            let level = level.filter(|level| *level <= LEVEL_MAX);
            TileKind::Hashes(level.ok_or(TileError::Path)?)
        };
        let (place, width) = match rest.split_once(".p/") {
            None => (rest, WIDTH),
            Some((place, width)) => {
                let width = decimal(width).and_then(|width| u16::try_from(width).ok());
                let width = width.filter(|width| (1..WIDTH).contains(width));
                (place, width.ok_or(TileError::Path)?)
            }
        };
        let index = index(place).ok_or(TileError::Path)?;
        Ok(Self { kind, index, width })
    }
}

/// The tiles that a tree grows by from `before` to `size` leaves: those that are new or wider.
#[must_use]
pub fn tiles_of(before: u64, size: u64) -> Vec<Tile> {
    let kinds = (0..LEVELS).map(TileKind::Hashes);
    let mut tiles = Vec::new();
    for kind in std::iter::once(TileKind::Entries).chain(kinds) {
        let level = match kind {
            TileKind::Entries => 0,
            TileKind::Hashes(level) => level,
        };
        let shift = u32::from(level).saturating_mul(8);
        let (old, new) = (before >> shift, size >> shift);
        if old == new {
            continue;
        }
        let mut index = old / WIDE;
        while let Some(tile) = Tile::of(kind, index, size) {
            tiles.push(tile);
            index = index.saturating_add(1);
        }
    }
    tiles
}

/// Writes entries one after another, each behind its length as two bytes.
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, TileError> {
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        if entry.len() > LOG_ENTRY_BYTES_MAX {
            return Err(TileError::TooLong);
        }
        let len = u16::try_from(entry.len()).map_err(|_len| TileError::TooLong)?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// Reads exactly `width` entries.
pub fn decode_bundle(width: u16, bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(usize::from(width));
    for _ in 0..width {
        let (len, after) = rest.split_first_chunk().ok_or(TileError::Length)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (entry, after) = after.split_at_checked(len).ok_or(TileError::Length)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(TileError::Length)
    }
}
