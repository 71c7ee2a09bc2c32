//! Versions of objects as clients name them.

use std::fmt;
use std::str::FromStr;

use super::{IdError, VersionId};

/// What a client calls a version: an id, or `null` for the one that was written while versioning
/// was off or suspended, of which a key has at most one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VersionName {
    /// `null`.
    Null,
    /// 32 hex digits.
    Id(VersionId),
}

impl VersionName {
    /// The name of a write; `versioned`: whether versioning was enabled then.
    #[must_use]
    pub const fn of(version: VersionId, versioned: bool) -> Self {
        if versioned {
            Self::Id(version)
        } else {
            Self::Null
        }
    }

    /// Whether it names a write of this id, made while versioning was enabled or not.
    #[must_use]
    pub fn names(&self, version: &VersionId, versioned: bool) -> bool {
        *self == Self::of(*version, versioned)
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Id(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl FromStr for VersionName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "null" => Ok(Self::Null),
            _ => text.parse().map(Self::Id),
        }
    }
}

/// Whether a dataset keeps what is overwritten or deleted. Once enabled it is never off again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Versioning {
    /// Never enabled: a write replaces, a delete removes.
    #[default]
    Off,
    /// Nothing is replaced or removed but by naming its version.
    Enabled,
    /// New writes replace the version `null` alone; older versions stay.
    Suspended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nothing_else_is_one() {
        let id = VersionId::from_bytes([0xab; 16]);
        for name in [VersionName::Null, VersionName::Id(id)] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for bad in ["", "Null", "3/L4kqtJlcpXroDTDmJ", "ab", "null "] {
            assert_eq!(bad.parse::<VersionName>(), Err(IdError::Id), "{bad}");
        }
        assert!(VersionName::Null.names(&id, false) && !VersionName::Null.names(&id, true));
        assert!(VersionName::Id(id).names(&id, true) && !VersionName::Id(id).names(&id, false));
    }
}
