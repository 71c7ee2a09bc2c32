//! How a log grows in tiles: entries go in, files come out. It keeps what the rightmost, partial
//! tiles hold, and nothing of the rest.

use super::tile::{Tile, TileError, TileKind, encode_bundle};
use super::tree::{Edge, Hash};
use crate::ledger::leaf_hash;

/// Levels of tiles of a tree of less than 2^64 leaves.
const LEVELS: usize = 8;
const WIDTH: usize = 256;

/// A file of the log: its name and its bytes.
pub type TileFile = (Tile, Vec<u8>);

/// A log's right edge in tiles.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Growth {
    edge: Edge,
    /// Of each level the hashes of its partial tile.
    hashes: [Vec<Hash>; LEVELS],
    /// The entries of the partial bundle.
    entries: Vec<Vec<u8>>,
    /// The tiles that are full since the last [`Growth::files`].
    full: Vec<TileFile>,
    /// Which levels have changed since.
    changed: [bool; LEVELS],
}

impl Growth {
    /// A log without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The log of `size` entries whose partial tiles `read` gives; it must give those that
    /// [`Tile::of`] names.
    pub fn load<E: From<TileError>>(
        size: u64,
        mut read: impl FnMut(&Tile) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut growth = Self::default();
        let mut nodes = Vec::new();
        for (level, hashes) in growth.hashes.iter_mut().enumerate().rev() {
            let kind = TileKind::Hashes(u8::try_from(level).unwrap_or(0));
            if let Some(tile) = partial(kind, size) {
                *hashes = tile.hashes(&read(&tile)?)?;
                nodes.extend(hashes.iter().copied().collect::<Edge>().into_nodes());
            }
        }
        if let Some(tile) = partial(TileKind::Entries, size) {
            let bytes = read(&tile)?;
            let entries = super::tile::decode_bundle(tile.width, &bytes)?;
            let leaves = entries.iter().map(|entry| leaf_hash(entry));
            let [level0, ..] = &growth.hashes;
            if !leaves.eq(level0.iter().copied()) {
                return Err(TileError::Length.into());
            }
            growth.entries = entries.into_iter().map(<[u8]>::to_vec).collect();
        }
        growth.edge = Edge::from_nodes(size, nodes).ok_or(TileError::Length)?;
        Ok(growth)
    }

    /// How many entries the log has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root of its tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Appends an entry.
    pub fn push(&mut self, entry: Vec<u8>) -> Result<(), TileError> {
        let index = self.edge.size() / 256;
        let mut hash = leaf_hash(&entry);
        self.edge.push(hash);
        self.entries.push(entry);
        if self.entries.len() == WIDTH {
            let bytes = encode_bundle(&std::mem::take(&mut self.entries))?;
            self.full.push((whole(TileKind::Entries, index), bytes));
        }
        let mut index = index;
        for (level, (hashes, changed)) in self.hashes.iter_mut().zip(&mut self.changed).enumerate()
        {
            hashes.push(hash);
            *changed = true;
            if hashes.len() < WIDTH {
                break;
            }
            let kind = TileKind::Hashes(u8::try_from(level).unwrap_or(0));
            let hashes = std::mem::take(hashes);
            self.full.push((whole(kind, index), hashes.concat()));
            hash = hashes.into_iter().collect::<Edge>().root();
            index /= 256;
        }
        Ok(())
    }

    /// What must be written for what was pushed since the last call: full tiles, then partial ones.
    pub fn files(&mut self) -> Result<Vec<TileFile>, TileError> {
        let mut files = std::mem::take(&mut self.full);
        let size = self.size();
        let [level0, ..] = self.changed;
        if let Some(tile) = partial(TileKind::Entries, size).filter(|_| level0) {
            files.push((tile, encode_bundle(&self.entries)?));
        }
        for (level, (hashes, changed)) in self.hashes.iter().zip(&mut self.changed).enumerate() {
            let kind = TileKind::Hashes(u8::try_from(level).unwrap_or(0));
            if let Some(tile) = partial(kind, size).filter(|_| *changed) {
                files.push((tile, hashes.concat()));
            }
            *changed = false;
        }
        Ok(files)
    }
}

const fn whole(kind: TileKind, index: u64) -> Tile {
    Tile {
        kind,
        index,
        width: 256,
    }
}

/// The partial tile of a kind in a tree of `size` leaves, if there is one.
fn partial(kind: TileKind, size: u64) -> Option<Tile> {
    let level = match kind {
        TileKind::Entries => 0,
        TileKind::Hashes(level) => level,
    };
    let hashes = size.checked_shr(u32::from(level).checked_mul(8)?)?;
    Tile::of(kind, hashes / 256, size).filter(|tile| !tile.is_full())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tlog::tiles_of;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// In whatever steps it grows, and loaded again after each, the files are those that the
        /// specification names, and the root is the tree's.
        #[test]
        fn it_grows_in_the_tiles_of_the_specification(
            steps in prop::collection::vec(1_u64..600, 1..5),
        ) {
            let mut files = BTreeMap::new();
            let mut growth = Growth::new();
            let mut leaves = Vec::new();
            for step in steps {
                let before = growth.size();
                for n in 0..step {
                    let entry = (before + n).to_be_bytes().to_vec();
                    leaves.push(leaf_hash(&entry));
                    growth.push(entry).unwrap();
                }
                let made = growth.files().unwrap();
                let mut names: Vec<Tile> = made.iter().map(|(tile, _)| *tile).collect();
                names.sort_unstable();
                prop_assert_eq!(names, tiles_of(before, growth.size()));
                files.extend(made);
                let edge: Edge = leaves.iter().copied().collect();
                prop_assert_eq!(growth.root(), edge.root());
                let again = Growth::load(growth.size(), |tile| {
                    files.get(tile).cloned().ok_or(TileError::Path)
                });
                prop_assert_eq!(again.as_ref(), Ok(&growth));
                prop_assert!(growth.files().unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_log_of_altered_tiles_does_not_load() {
        let mut growth = Growth::new();
        for n in 0..300_u64 {
            growth.push(n.to_be_bytes().to_vec()).unwrap();
        }
        let files: BTreeMap<Tile, Vec<u8>> = growth.files().unwrap().into_iter().collect();
        let bundle = partial(TileKind::Entries, 300).unwrap();
        for at in 0..files[&bundle].len() {
            let read = |tile: &Tile| {
                let mut bytes = files[tile].clone();
                if *tile == bundle {
                    bytes[at] ^= 1;
                }
                Ok::<_, TileError>(bytes)
            };
            assert!(Growth::load(300, read).is_err(), "byte {at}");
        }
        let missing = Growth::load(300, |_| Err(TileError::Path));
        assert_eq!(missing, Err(TileError::Path));
    }
}
