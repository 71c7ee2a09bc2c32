//! The log's pure core: what a record is, how it is written down, byte for byte, and how it is
//! shown. No file, no clock, no randomness: the journal has those.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod cbor;
mod codec;
pub mod erasure;
pub mod evidence;
pub mod export;
mod hash;
mod line;
mod pseudonym;
mod record;
mod retention;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod scope;
mod segment;
pub mod tlog;
mod view;
mod words;

pub use codec::{CodecError, clip, decode, encode, encode_completion};
pub use hash::{LeafHash, leaf_hash, session_hash};
pub use line::{is_hidden, line};
pub use pseudonym::{Cover, Pseudonyms};
pub use record::{
    AuthMethod, Completion, Entry, Intent, MarkKind, Nature, ObjectRef, Outcome, PolicyRef,
    Session, SessionHash,
};
pub use retention::{DAY_MS, Kept, back};
pub use run::{Handed, RunEnd, run_words};
pub use scope::{Row, Salt, Scope, ScopeKey, Scopes, SegmentTrees, Tag, salted_leaf, scopes_of};
pub use segment::{ScopeRoot, Segment};
pub use view::{View, parse_event};
pub use words::Word;
