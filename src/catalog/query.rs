//! Questions that return pages.

use super::entity::{PartRow, UploadRow};
#[cfg(doc)]
use crate::types::limits;
use crate::types::{ETag, ObjectKey, Timestamp, UploadId, VersionName};

/// A listing of objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListQuery {
    /// Only keys that begin so; empty for all.
    pub prefix: String,
    /// Fold keys that share a beginning up to this text after the prefix into one entry.
    pub delimiter: Option<String>,
    /// Only entries after this text, compared as bytes: a key, or a folded prefix as it was
    /// returned. A folded prefix that equals `after`, or that `after` begins with, is not
    /// returned again.
    pub after: Option<String>,
    /// How many entries at most, objects and folded prefixes together; 0 gives an empty page.
    /// No page is longer than [`limits::PAGE_ENTRIES_MAX`].
    pub limit: usize,
}

/// One entry of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListEntry {
    /// An object.
    Object {
        /// The key.
        key: ObjectKey,
        /// Plaintext length in bytes.
        bytes: u64,
        /// The entity tag.
        etag: ETag,
        /// When it was written.
        modified: Timestamp,
    },
    /// Keys folded at the delimiter; the text ends with it.
    Prefix(String),
}

/// One page of a listing, entries in byte order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The entries.
    pub entries: Vec<ListEntry>,
    /// Whether more follow; the last entry's text is then the next query's `after`.
    pub more: bool,
}

/// A listing of uploads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UploadQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Only uploads after this key, or after this upload of this key. An upload that is gone by
    /// then stands for the beginning of its key.
    pub after: Option<(String, Option<UploadId>)>,
    /// How many at most; no page is longer than [`limits::PAGE_ENTRIES_MAX`].
    pub limit: usize,
}

/// One page of uploads, in order of key, then time of beginning, then id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UploadPage {
    /// The uploads.
    pub uploads: Vec<UploadRow>,
    /// Whether more follow.
    pub more: bool,
}

/// One page of parts, in order of number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartPage {
    /// The parts.
    pub parts: Vec<PartRow>,
    /// Whether more follow.
    pub more: bool,
}

/// A listing of versions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Fold keys that share a beginning up to this text after the prefix into one entry.
    pub delimiter: Option<String>,
    /// Only entries after this key or folded prefix, or after this version of this key. A version
    /// that is gone by then stands for the beginning of its key.
    pub after: Option<(String, Option<VersionName>)>,
    /// How many entries at most; no page is longer than [`limits::PAGE_ENTRIES_MAX`].
    pub limit: usize,
}

/// One entry of a listing of versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VersionEntry {
    /// A version.
    Version {
        /// The key.
        key: ObjectKey,
        /// What clients call it.
        name: VersionName,
        /// Whether it is the newest of its key.
        latest: bool,
        /// When it was written.
        modified: Timestamp,
        /// Plaintext length in bytes and entity tag; `None` for a delete marker.
        object: Option<(u64, ETag)>,
    },
    /// Keys folded at the delimiter; the text ends with it.
    Prefix(String),
}

/// One page of versions, in byte order of key, the newest of a key first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VersionPage {
    /// The entries.
    pub entries: Vec<VersionEntry>,
    /// Whether more follow.
    pub more: bool,
}
