//! Inclusion and consistency proofs: made as RFC 6962 sections 2.1.1 and 2.1.2 define them, checked
//! by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use super::tile::Node;
use super::tree::{Hash, node_hash};

/// A proof that does not prove.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf or the older size lies outside the tree.
    #[error("the proof is of a leaf or a size that the tree does not have")]
    Range,
    /// Too many or too few hashes.
    #[error("the proof has the wrong length")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Leaves from the first number up to, and without, the second.
type Range = (u64, u64);

/// The hash of the leaves `lo..hi`, from full subtrees. `lo` is a multiple of the largest power of
/// two below `hi - lo`, as it is for every range that a proof asks for.
fn range_hash<E>(
    lo: u64,
    hi: u64,
    node: &mut impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let len = hi.saturating_sub(lo);
    if len.is_power_of_two() {
        let level = u8::try_from(len.trailing_zeros()).unwrap_or(63);
        let index = lo.checked_shr(u32::from(level)).unwrap_or(0);
        return node(Node { level, index });
    }
    let middle = lo.saturating_add(split(len));
    let left = range_hash(lo, middle, node)?;
    let right = range_hash(middle, hi, node)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two below `len`, which is 2 at least.
const fn split(len: u64) -> u64 {
    1_u64 << 63_u32.saturating_sub(len.saturating_sub(1).leading_zeros())
}

/// The way from the root of a tree of `size` leaves to leaf `index`, until `there` says of a range
/// that it is reached: that range, and the ranges left aside, from the root down.
fn descend(index: u64, size: u64, there: impl Fn(u64, u64) -> bool) -> (Range, Vec<Range>) {
    let (mut lo, mut hi) = (0_u64, size);
    let mut aside = Vec::new();
    while !there(lo, hi) {
        let middle = lo.saturating_add(split(hi.saturating_sub(lo)));
        if index < middle {
            aside.push((middle, hi));
            hi = middle;
        } else {
            aside.push((lo, middle));
            lo = middle;
        }
    }
    ((lo, hi), aside)
}

/// The proof that leaf `index` is in the tree of `size` leaves, from the leaf's sibling up. `node`
/// gives the hashes of full subtrees.
pub fn inclusion_proof<E: From<ProofError>>(
    index: u64,
    size: u64,
    mut node: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if index >= size {
        return Err(ProofError::Range.into());
    }
    let (_, aside) = descend(index, size, |lo, hi| hi.saturating_sub(lo) == 1);
    hashes_upwards(&aside, &mut node)
}

/// The proof that the tree of `older` leaves, at least one, is the beginning of the tree of `size`.
pub fn consistency_proof<E: From<ProofError>>(
    older: u64,
    size: u64,
    mut node: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    if older == 0 || older > size {
        return Err(ProofError::Range.into());
    }
    let ((lo, hi), mut path) = descend(older.saturating_sub(1), size, |_, hi| hi == older);
    // Where the older tree is itself a subtree on the left edge, its root is known.
    if lo > 0 {
        path.push((lo, hi));
    }
    hashes_upwards(&path, &mut node)
}

fn hashes_upwards<E>(
    path: &[Range],
    node: &mut impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    path.iter()
        .rev()
        .map(|(lo, hi)| range_hash(*lo, *hi, node))
        .collect()
}

/// Where the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a leaf up to the root, as the algorithms of RFC 9162 walk it.
struct Climb {
    /// The place of the subtree reached, in its level (`fn`).
    at: u64,
    /// The last place of that level (`sn`).
    last: u64,
}

impl Climb {
    const fn new(index: u64, size: u64) -> Self {
        let last = size.saturating_sub(1);
        Self { at: index, last }
    }

    const fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }

    /// The side of the proof's next hash, and a level up; the root has none beside it.
    const fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let left = self.at & 1 == 1 || self.at == self.last;
        if left {
            // At the right edge of a tree that is not full: levels that have no node of their own.
            while self.at & 1 == 0 && self.at != 0 {
                self.up();
            }
        }
        self.up();
        Ok(if left { Side::Left } else { Side::Right })
    }

    const fn end(&self) -> Result<(), ProofError> {
        match self.last {
            0 => Ok(()),
            _ => Err(ProofError::Length),
        }
    }
}

/// Checks that a leaf is in a tree at its index.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let mut climb = Climb::new(index, size);
    let mut hash = *leaf;
    for other in proof {
        hash = match climb.step()? {
            Side::Left => node_hash(other, &hash),
            Side::Right => node_hash(&hash, other),
        };
    }
    climb.end()?;
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks that the tree of `older` leaves is the beginning of the tree of `size`. A tree without
/// leaves is the beginning of each, which needs no proof and is refused here.
pub fn verify_consistency(
    (older, older_root): (u64, &Hash),
    (size, root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if older == 0 || older > size {
        return Err(ProofError::Range);
    }
    if older == size {
        return match (proof.is_empty(), older_root == root) {
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
            (false, _) => Err(ProofError::Length),
        };
    }
    let mut climb = Climb::new(older.saturating_sub(1), size);
    let (first, rest) = if older.is_power_of_two() {
        (older_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length)?
    };
    // To the largest subtree that ends with the older tree: the older tree has its hash already.
    while climb.at & 1 == 1 {
        climb.up();
    }
    let (mut older_hash, mut hash) = (*first, *first);
    for other in rest {
        match climb.step()? {
            Side::Left => {
                older_hash = node_hash(other, &older_hash);
                hash = node_hash(other, &hash);
            }
            Side::Right => hash = node_hash(&hash, other),
        }
    }
    climb.end()?;
    if older_hash == *older_root && hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}
