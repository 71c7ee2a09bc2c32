//! Identifiers: 128 random bits each, written as 32 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use super::{Entropy, EntropyError};

/// A text that names nothing of its kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum IdError {
    /// Not 32 lower-case hex digits.
    #[error("an identifier is 32 lower-case hex digits")]
    Id,
    /// A principal's name is another text.
    #[error("a name of a person, workload or group is 1 to 128 of a-z, 0-9 and . _ @ -")]
    Principal,
    /// An access key is another text.
    #[error("an access key is 20 of A-Z and 0-9")]
    AccessKey,
    /// No action.
    #[error("no action is called so; docs/policy.md has them all, as object.read")]
    Action,
    /// No act of two persons.
    #[error("an act of two persons is label.lower, break-glass, erase or log.shorten")]
    Act,
    /// A label is another text.
    #[error("a label is 1 to 32 of a-z, 0-9 and -")]
    Label,
    /// An order of labels is written otherwise.
    #[error("labels are written `public < internal < secret`: 1 to 16, each once")]
    Labels,
    /// No `ETag` of this vault.
    #[error("an ETag of this vault is an identifier, a dash and a number")]
    ETag,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Wraps 16 bytes that came from storage.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Draws a fresh identifier.
            pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_not_hex| IdError::Id)?;
                bytes.try_into().map(Self).map_err(|_wrong_length| IdError::Id)
            }
        }
    };
}

id! {
    /// Names one sealed, immutable blob in the store; the store learns nothing else about it.
    BlobId
}
id! {
    /// Names one dataset for ever: a dataset erased and made again under its old name is another.
    DatasetId
}
id! {
    /// Names one write of one object.
    VersionId
}
id! {
    /// Names one multipart upload.
    UploadId
}
id! {
    /// Names one freezing of a dataset, which becomes a published version.
    PublicationId
}
id! {
    /// Names one piece of work on a dataset's keys: a rotation or an erasure.
    KeyWorkId
}
id! {
    /// Names one grant.
    GrantId
}
id! {
    /// Names one act that takes two persons.
    ApprovalId
}
id! {
    /// Names one thing that an owner is told.
    NoticeId
}
id! {
    /// Names one mapping of what tokens claim to a group.
    ClaimId
}
id! {
    /// Names one request in the log; both of its records carry it.
    EventId
}

impl EventId {
    /// Makes a `UUIDv7` (RFC 9562, section 5.7), which sorts by time.
    pub fn v7(now: super::Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut random = [0; 10];
        entropy.fill(&mut random)?;
        let uuid = uuid::Builder::from_unix_timestamp_millis(now.millis(), &random).into_uuid();
        Ok(Self(uuid.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let id = BlobId::from_bytes([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = BlobId::from_bytes([0xab; 16]).to_string();
        for bad in [
            "",
            "ab",
            &good.to_uppercase(),
            &format!("{good}00"),
            &good.replace('b', "g"),
        ] {
            assert_eq!(bad.parse::<BlobId>(), Err(IdError::Id), "{bad}");
        }
    }
}
