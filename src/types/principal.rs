//! Who asks: persons, and workloads that act for a person.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{IdError, limits};

/// A person's or workload's name: 1 to 128 of `a-z 0-9 . _ @ -`, so that no two subjects can
/// collide by normalisation (ID-7) and none can break a policy line or a log line.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PrincipalId(Arc<str>);

impl PrincipalId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrincipalId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let ok = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-');
        if text.is_empty() || text.len() > limits::PRINCIPAL_BYTES_MAX || !text.bytes().all(ok) {
            return Err(IdError::Principal);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of principal it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PrincipalKind {
    /// A natural person.
    Person,
    /// A job or service; it always acts for a person (ID-1).
    Workload,
    /// Several persons or workloads, as an organisation keeps them. It holds grants for its members
    /// and can do nothing itself: it has no credential.
    Group,
}

/// The public half of a credential: 20 upper-case letters and digits, as S3 clients expect.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AccessKeyId(Arc<str>);

impl AccessKeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccessKeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let ok = |b: u8| matches!(b, b'A'..=b'Z' | b'0'..=b'9');
        if text.len() != 20 || !text.bytes().all(ok) {
            return Err(IdError::AccessKey);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
