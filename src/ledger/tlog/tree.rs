//! The Merkle tree of RFC 6962 section 2.1, as much of it as appending needs: its right edge.

use ring::digest::{Context, SHA256, digest};

use crate::ledger::hash::array;

/// A SHA-256 hash: of a leaf, a node or a whole tree.
pub type Hash = [u8; 32];

/// `SHA-256(0x01 ‖ left ‖ right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    array(&context.finish())
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    array(&digest(&SHA256, b""))
}

/// The right edge of a tree: the roots of the full subtrees that it is made of, the largest first.
/// Enough to append to it and to know its root; 32 bytes for each bit of its size that is set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edge {
    size: u64,
    nodes: Vec<Hash>,
}

impl Edge {
    /// The edge of no leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            nodes: Vec::new(),
        }
    }

    /// The edge of `size` leaves from the roots that it is made of, the largest first; `None` where
    /// they are not as many as that takes.
    pub(super) fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        let wanted = usize::try_from(size.count_ones()).ok()?;
        (nodes.len() == wanted).then_some(Self { size, nodes })
    }

    /// The roots that it is made of, the largest first.
    pub(super) fn into_nodes(self) -> Vec<Hash> {
        self.nodes
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut size = self.size;
        while size & 1 == 1 {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            size >>= 1;
        }
        self.nodes.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else {
            return empty_root();
        };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }
}

impl Extend<Hash> for Edge {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        for leaf in leaves {
            self.push(leaf);
        }
    }
}

impl FromIterator<Hash> for Edge {
    fn from_iter<T: IntoIterator<Item = Hash>>(leaves: T) -> Self {
        let mut edge = Self::new();
        edge.extend(leaves);
        edge
    }
}
