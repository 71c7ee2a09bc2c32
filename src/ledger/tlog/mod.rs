//! Transparency logs in C2SP's formats: the Merkle tree of RFC 6962, its proofs, its tiles, signed
//! notes, checkpoints and cosignatures, and the policy that says whom to trust.
//!
//! The specifications are c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature, /tlog-tiles,
//! /tlog-proof, /tlog-witness and /tlog-policy. Decoders take the one canonical form alone.

mod checkpoint;
mod grow;
mod note;
mod proof;
mod tile;
mod tree;
mod trust;
mod wire;
mod witness;

#[cfg(test)]
mod note_tests;
#[cfg(test)]
mod tree_tests;

pub use checkpoint::{Checkpoint, CheckpointError, cosigned_at};
pub use grow::{Growth, TileFile};
pub use note::{KeyKind, Note, NoteError, NoteSignature, Signer, VerifierKey};
pub use proof::{
    ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
pub use tile::{Node, Tile, TileError, TileKind, decode_bundle, encode_bundle, tiles_of};
pub use tree::{Edge, Hash, empty_root, node_hash};
pub use trust::{Judged, TrustError, TrustPolicy, TrustedWitness};
pub use wire::{AddCheckpoint, LogProof, WireError};
pub use witness::{Submitted, WitnessRefusal, read_cosignature};
