//! Entity tags: opaque, stable per write, in a form that no client compares with an MD5.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::{IdError, VersionId};

/// An entity tag without its quotes: `<32 hex>-<N>`. The hyphen tells a client that it is not an
/// MD5 (facts of rclone, boto3, s5cmd).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ETag(Arc<str>);

impl ETag {
    /// The tag of one write of `parts` parts.
    #[must_use]
    pub fn of(version: &VersionId, parts: u32) -> Self {
        Self(format!("{}-{parts}", HEXLOWER.encode(version.as_bytes())).into())
    }

    /// The tag as text, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ETag {
    type Err = IdError;

    /// Reads a tag that this type printed.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (id, parts) = text.split_once('-').ok_or(IdError::ETag)?;
        let _: VersionId = id.parse()?;
        let _: u32 = parts.parse().map_err(|_not_a_number| IdError::ETag)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
