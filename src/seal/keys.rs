//! Every key derivation of the product, on one screen.
//!
//! ```text
//! root identity ──age──► ring key ─┬─ RingDatasets ──► wraps each dataset key (record DatasetKey)
//!                                  ├─ RingSecrets ───► seals credentials' secrets (record Secret)
//!                                  ├─ RingSnapshots ─► seals snapshots (record Snapshot)
//!                                  ├─ RingNames ─────► names snapshots in the store (HMAC)
//!                                  ├─ RingLog ───────► the log's key ─┬─ GateBlobs ► its blobs
//!                                  │                                  └─ GateNames ► their names
//!                                  ├─ RingLogSign ───► signs the log's checkpoints (Ed25519 seed)
//!                                  ├─ RingLogScopes ─► tags and salts of the log's scopes (HMAC)
//!                                  ├─ RingLogState ──► seals the log's state
//!                                  ├─ RingLogFiles ──► wraps the key of each file of the log
//!                                  ├─ RingLogNames ──► keys of people's pseudonyms (HMAC)
//!                                  ├─ RingPublish ───► signs published versions (Ed25519 seed)
//!                                  └─ RingPrint ─────► the ring's public fingerprint
//! dataset key (random) ─┬─ TableSalt ► salt of a part table (HMAC)
//!                       ├─ ManifestKey ► seals the key of a version's index
//!                       └─ Table ────► seals one part table, which holds data keys
//! data key (random, one blob) ─┬─ BlobSegments, BlobDescription ► seal the blob
//!                              └─ BlobCommitment ───────────────► names the key in the header
//! ```
//!
//! It holds no cipher and no format. ring keeps expanded keys in its own types, which it does not
//! wipe; every key that this module hands out is wiped.

use ring::{hkdf, hmac};

use super::SealError;
use crate::types::Secret;

/// What a derived key is for. No two share a label, and no label holds a zero byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Label {
    BlobSegments,
    BlobDescription,
    BlobCommitment,
    Table,
    TableSalt,
    DatasetKey,
    Secret,
    Snapshot,
    RingDatasets,
    RingSecrets,
    RingSnapshots,
    RingNames,
    RingLog,
    RingLogSign,
    RingLogScopes,
    RingLogState,
    RingLogFiles,
    RingLogNames,
    LogState,
    RingPublish,
    ManifestKey,
    RingPrint,
    GateBlobs,
    GateNames,
    GateBlob,
}

impl Label {
    const fn text(self) -> &'static str {
        match self {
            Self::BlobSegments => "kluis v1 blob segments",
            Self::BlobDescription => "kluis v1 blob description",
            Self::BlobCommitment => "kluis v1 blob commitment",
            Self::Table => "kluis v1 part table",
            Self::TableSalt => "kluis v1 part table salt",
            Self::DatasetKey => "kluis v1 dataset key",
            Self::Secret => "kluis v1 secret",
            Self::Snapshot => "kluis v1 snapshot",
            Self::RingDatasets => "kluis v1 ring dataset keys",
            Self::RingSecrets => "kluis v1 ring secrets",
            Self::RingSnapshots => "kluis v1 ring snapshots",
            Self::RingNames => "kluis v1 ring snapshot names",
            Self::RingLog => "kluis v1 ring log",
            Self::RingLogSign => "kluis v1 ring log signer",
            Self::RingLogScopes => "kluis v1 ring log scopes",
            Self::RingLogState => "kluis v1 ring log state",
            Self::RingLogFiles => "kluis v1 ring log files",
            Self::RingLogNames => "kluis v1 ring log names",
            Self::LogState => "kluis v1 log state",
            Self::RingPublish => "kluis v1 ring publisher",
            Self::ManifestKey => "kluis v1 manifest key",
            Self::RingPrint => "kluis v1 ring fingerprint",
            Self::GateBlobs => "kluis v1 gate blobs",
            Self::GateNames => "kluis v1 gate names",
            Self::GateBlob => "kluis v1 gate blob",
        }
    }
}

/// A key from which others are derived: HKDF-SHA256's extract step (RFC 5869, section 2.2).
pub(crate) struct Parent(hkdf::Prk);

impl Parent {
    /// `extract(salt, secret)`; an empty salt is that of the RFC, 32 zero bytes.
    pub(crate) fn new(secret: &Secret<32>, salt: &[u8]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.expose()))
    }

    /// `expand(prk, label ‖ 0 ‖ context, 32)` (RFC 5869, section 2.3).
    pub(crate) fn child(&self, label: Label, context: &[u8]) -> Result<Secret<32>, SealError> {
        let info: [&[u8]; 3] = [label.text().as_bytes(), &[0], context];
        Secret::fill_with(|out| {
            let okm = self.0.expand(&info, hkdf::HKDF_SHA256);
            okm.and_then(|okm| okm.fill(out))
                .map_err(|ring::error::Unspecified| SealError::Cipher)
        })
    }
}

/// HMAC-SHA256 of the parts, which the caller frames so that no two lists read alike.
pub(crate) fn mac(key: &Secret<32>, parts: &[&[u8]]) -> Secret<32> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    Secret::take(&mut out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Label; 25] = [
        Label::BlobSegments,
        Label::BlobDescription,
        Label::BlobCommitment,
        Label::Table,
        Label::TableSalt,
        Label::DatasetKey,
        Label::Secret,
        Label::Snapshot,
        Label::RingDatasets,
        Label::RingSecrets,
        Label::RingSnapshots,
        Label::RingNames,
        Label::RingLog,
        Label::RingLogSign,
        Label::RingLogScopes,
        Label::RingLogState,
        Label::RingLogFiles,
        Label::RingLogNames,
        Label::LogState,
        Label::RingPublish,
        Label::ManifestKey,
        Label::RingPrint,
        Label::GateBlobs,
        Label::GateNames,
        Label::GateBlob,
    ];

    #[test]
    fn no_two_keys_are_the_same() {
        let parent = Parent::new(&Secret::take(&mut [7; 32]), b"salt");
        let mut seen = std::collections::HashSet::new();
        for label in ALL {
            assert!(!label.text().contains('\0'));
            for context in [&b""[..], b"a", b"b"] {
                assert!(seen.insert(*parent.child(label, context).unwrap().expose()));
            }
        }
    }

    /// RFC 5869, test case 3 (no salt, no info) pins the extract step; the expand step is the
    /// same call with our info, whose value the vectors pin.
    #[test]
    fn extract_without_salt_is_that_of_the_rfc() {
        let secret = Secret::take(&mut [0x0b; 32]);
        let zeros = Parent::new(&secret, &[0; 32]).child(Label::Secret, b"");
        let empty = Parent::new(&secret, b"").child(Label::Secret, b"");
        assert_eq!(zeros.unwrap().expose(), empty.unwrap().expose());
    }
}
