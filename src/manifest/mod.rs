//! Published versions: the manifest that says what a version holds. A pure core: it encodes,
//! decodes, looks up, signs and checks; `FORMAT.md` is its specification. Where the bytes lie, who
//! may have them and how pages are sealed is not its business.
//!
//! ```text
//! root (signed) ──sha256──► index ──sha256, key──► page ──commitment──► part table ──keys──► blobs
//! ```
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod build;
mod index;
mod page;
mod part;
mod root;
mod wire;

#[cfg(test)]
mod part_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use build::{Builder, Built, Listed, is_marker};
pub use index::{Index, PageRef};
pub use page::{Entry, EntryRef, FileEntry, Page};
pub use part::{Part, Range, Scope};
pub use root::{Digest, IndexRef, Root, Signer, SignerKey, digest};

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// Its bytes are not those of the format.
    #[error("the manifest is not in the format")]
    Form,
    /// It was signed by another key, or altered.
    #[error("the manifest's signature does not verify")]
    Signature,
    /// It is not the piece that its parent names.
    #[error("a piece of the manifest has another digest")]
    Digest,
    /// A bound of the format is passed.
    #[error("the manifest is too large")]
    TooLarge,
}
