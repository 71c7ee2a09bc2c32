//! What a part table belongs to, in a canonical encoding: the facts of a catalog row that the
//! catalog's host must not alter.

use super::SealError;
use crate::types::{DatasetId, ETag, ObjectKey, UploadId, VersionId};

/// Where a table stands in the catalog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// In an object's row.
    Object {
        /// The object's key.
        key: &'a ObjectKey,
    },
    /// In a part's row.
    Part {
        /// The upload.
        upload: UploadId,
        /// 1 to 10,000.
        number: u32,
    },
}

/// The facts that a table is sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding<'a> {
    /// The dataset.
    pub dataset: DatasetId,
    /// The row's version.
    pub version: VersionId,
    /// Object or part, and which.
    pub place: Place<'a>,
    /// Plaintext length in bytes; the extents add up to it.
    pub bytes: u64,
    /// The entity tag.
    pub etag: &'a ETag,
}

impl Binding<'_> {
    /// Appends the canonical encoding: no two bindings share one, as each field has a fixed
    /// length or its length before it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), SealError> {
        out.extend_from_slice(self.dataset.as_bytes());
        out.extend_from_slice(self.version.as_bytes());
        match self.place {
            Place::Object { key } => {
                out.push(1);
                put_text(out, key.as_str())?;
            }
            Place::Part { upload, number } => {
                out.push(2);
                out.extend_from_slice(upload.as_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        out.extend_from_slice(&self.bytes.to_be_bytes());
        put_text(out, self.etag.as_str())
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), SealError> {
    let length = u16::try_from(text.len()).map_err(|_too_long| SealError::Length)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}
