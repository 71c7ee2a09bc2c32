//! The tree, its proofs and its tiles: published vectors, and a naive model after RFC 6962.

use std::collections::HashMap;

use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;

use super::proof::ProofError;
use super::{
    Edge, Hash, Node, Tile, TileKind, consistency_proof, decode_bundle, empty_root, encode_bundle,
    inclusion_proof, node_hash, tiles_of, verify_consistency, verify_inclusion,
};
use crate::ledger::leaf_hash;

/// The leaves and roots that Certificate Transparency's tests have used since RFC 6962.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// `MTH(D)` as the RFC writes it.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        more => {
            let split = more.len().next_power_of_two() / 2;
            node_hash(&naive(&more[..split]), &naive(&more[split..]))
        }
    }
}

/// A node's hash, straight from the leaves.
#[expect(
    clippy::unnecessary_wraps,
    reason = "what proofs are made from can fail"
)]
pub(super) fn node(leaves: &[Hash], node: Node) -> Result<Hash, ProofError> {
    let width = 1_usize << node.level;
    let first = usize::try_from(node.index).unwrap() * width;
    let range = leaves.get(first..first + width);
    Ok(naive(range.expect("only full subtrees are asked for")))
}

#[test]
fn the_roots_are_those_of_certificate_transparency() {
    let mut edge = Edge::new();
    assert_eq!(edge.root(), empty_root());
    for (leaf, root) in LEAVES.iter().zip(ROOTS) {
        edge.push(leaf_hash(&HEXLOWER.decode(leaf.as_bytes()).unwrap()));
        assert_eq!(HEXLOWER.encode(&edge.root()), root);
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    #[serde(default)]
    leaf_idx: u64,
    #[serde(default)]
    tree_size: u64,
    #[serde(default)]
    root: String,
    #[serde(default)]
    leaf_hash: String,
    #[serde(default)]
    size1: u64,
    #[serde(default)]
    size2: u64,
    #[serde(default)]
    root1: String,
    #[serde(default)]
    root2: String,
    proof: Option<Vec<String>>,
    want_err: bool,
}

/// A hash of the vectors; what has another length is none, which types rule out here.
fn hash(text: &str) -> Option<Hash> {
    BASE64.decode(text.as_bytes()).unwrap().try_into().ok()
}

fn proof(vector: &Vector) -> Option<Vec<Hash>> {
    let lines = vector.proof.iter().flatten();
    lines.map(|line| hash(line)).collect()
}

#[test]
fn inclusion_vectors_end_as_published() {
    let text = include_str!("../../../tests/vectors/merkle/inclusion.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    let mut good = 0;
    for vector in &vectors {
        let parts = hash(&vector.leaf_hash)
            .zip(hash(&vector.root))
            .zip(proof(vector));
        let holds = parts.is_some_and(|((leaf, root), proof)| {
            verify_inclusion(&leaf, vector.leaf_idx, vector.tree_size, &proof, &root).is_ok()
        });
        assert_eq!(holds, !vector.want_err, "{}", vector.name);
        good += usize::from(holds);
    }
    assert_eq!((vectors.len(), good), (98, 6));
}

#[test]
fn consistency_vectors_end_as_published() {
    let text = include_str!("../../../tests/vectors/merkle/consistency.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    let mut good = 0;
    for vector in &vectors {
        let parts = hash(&vector.root1)
            .zip(hash(&vector.root2))
            .zip(proof(vector));
        let holds = parts.is_some_and(|((older, root), proof)| {
            verify_consistency((vector.size1, &older), (vector.size2, &root), &proof).is_ok()
        });
        // The roots of this good one are 12 bytes: a hash here has 32.
        let short = vector.name == "additional/sizes-are-equal-one-and-proof-is-empty";
        assert_eq!(holds, !vector.want_err && !short, "{}", vector.name);
        good += usize::from(holds);
    }
    assert_eq!((vectors.len(), good), (98, 5));
}

#[test]
fn every_proof_of_small_trees_holds_and_no_other() {
    let all = leaves(34);
    for size in 1..=34_u64 {
        let tree = &all[..usize::try_from(size).unwrap()];
        let root = naive(tree);
        let edge: Edge = tree.iter().copied().collect();
        assert_eq!(edge.root(), root);
        for index in 0..size {
            let leaf = tree[usize::try_from(index).unwrap()];
            let proof = inclusion_proof(index, size, |n| node(tree, n)).unwrap();
            verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
            let longer = [&proof[..], &[root]].concat();
            assert!(verify_inclusion(&leaf, index, size, &longer, &root).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_inclusion(&leaf, index, size, shorter, &root).is_err());
            }
        }
        for older in 1..=size {
            let before = naive(&all[..usize::try_from(older).unwrap()]);
            let proof = consistency_proof(older, size, |n| node(tree, n)).unwrap();
            verify_consistency((older, &before), (size, &root), &proof).unwrap();
            for other in (1..=size).filter(|other| *other != older) {
                assert!(verify_consistency((other, &before), (size, &root), &proof).is_err());
            }
        }
    }
}

#[test]
fn no_proof_is_made_of_what_is_not_there() {
    let all = leaves(5);
    for (index, size) in [(5, 5), (0, 0), (u64::MAX, 5)] {
        let made = inclusion_proof(index, size, |n| node(&all, n));
        assert_eq!(made, Err(ProofError::Range));
    }
    for (older, size) in [(0, 5), (6, 5), (0, 0)] {
        let made = consistency_proof(older, size, |n| node(&all, n));
        assert_eq!(made, Err(ProofError::Range));
    }
}

proptest! {
    /// A tree that grew in steps, kept in tiles alone, proves what a naive tree proves.
    #[test]
    fn tiles_hold_the_whole_tree(steps in prop::collection::vec(1_u64..700, 1..4), at: u64) {
        let size: u64 = steps.iter().sum();
        let all = leaves(size);
        let mut files: HashMap<String, Vec<Hash>> = HashMap::new();
        let mut before = 0;
        for step in steps {
            for tile in tiles_of(before, before + step) {
                let TileKind::Hashes(level) = tile.kind else { continue };
                let first = tile.index * 256;
                let level = level * 8;
                let hashes = (first..first + u64::from(tile.width))
                    .map(|index| node(&all, Node { level, index }).unwrap());
                files.insert(tile.to_string(), hashes.collect());
            }
            before += step;
        }
        let read = |n: Node| {
            let tile = Tile::holding(n, size).expect("a tile");
            let hashes = files.get(&tile.to_string()).expect("a file");
            Ok::<_, ProofError>(Tile::node(n, hashes).expect("a node"))
        };
        let root = naive(&all);
        let index = at % size;
        let leaf = all[usize::try_from(index).unwrap()];
        let proof = inclusion_proof(index, size, read).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        let older = index + 1;
        let before = naive(&all[..usize::try_from(older).unwrap()]);
        let proof = consistency_proof(older, size, read).unwrap();
        prop_assert_eq!(verify_consistency((older, &before), (size, &root), &proof), Ok(()));
    }

    #[test]
    fn tile_paths_are_read_as_they_are_written(kind in 0_u8..65, index: u64, width in 1_u16..257) {
        let kind = if kind == 64 { TileKind::Entries } else { TileKind::Hashes(kind) };
        let tile = Tile { kind, index, width };
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
    }

    #[test]
    fn whatever_reads_as_a_path_is_written_so(path in "tile/([0-9]{1,2}|entries)/(x?[0-9]{2,4}/){0,2}[0-9]{2,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }

    #[test]
    fn bundles_are_read_as_they_are_written(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9),
        cut in 1_usize..9,
    ) {
        let width = u16::try_from(entries.len()).unwrap();
        let bytes = encode_bundle(&entries).unwrap();
        prop_assert_eq!(decode_bundle(width, &bytes).unwrap(), entries);
        prop_assert!(decode_bundle(width + 1, &bytes).is_err());
        if width > 0 {
            prop_assert!(decode_bundle(width - 1, &bytes).is_err());
            prop_assert!(decode_bundle(width, &bytes[..bytes.len() - cut.min(bytes.len())]).is_err());
        }
    }
}

/// The examples of c2sp.org/tlog-tiles.
#[test]
fn the_specifications_tiles() {
    let tile = |text: &str| text.parse::<Tile>();
    assert_eq!(tile("tile/0/x001/x234/067").unwrap().index, 1_234_067);
    let of = |level, size| {
        let all = (0..).map_while(|n| Tile::of(TileKind::Hashes(level), n, size));
        let last = all.last().expect("a tile");
        (last.index, last.width)
    };
    assert_eq!(of(0, 70_000), (273, 112));
    assert_eq!(of(1, 70_000), (1, 17));
    assert_eq!(of(2, 70_000), (0, 1));
    assert_eq!((of(0, 256), of(1, 256)), ((0, 256), (0, 1)));
    assert_eq!(Tile::of(TileKind::Hashes(2), 0, 256), None);
}

#[test]
fn other_paths_name_no_tile() {
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+1/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/entries/x000",
        "tile/entries/001/002",
        "tile/entries/x000/001",
        "tile/entries/x1/001",
        "tile/0/x001/x234/067/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/000.P/1",
        "tile/8/0/000",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
}

#[test]
fn an_entry_is_at_most_65535_bytes() {
    assert!(encode_bundle(&[vec![0; 65_535]]).is_ok());
    assert!(encode_bundle(&[vec![0; 65_536]]).is_err());
}
