//! The header of a blob and the description in it: canonical encoding, strict decoding.

use super::suite::{Suite, TAG_BYTES};
use super::{Refusal, layout};
use crate::types::{BlobId, DatasetId, Timestamp, VersionId};

/// Bytes before the blob id: magic 8, suite 1, class 1, reserved 6.
pub(super) const PREFIX_BYTES: usize = 16;
/// Bytes that each segment is bound to: the prefix and the blob id.
pub(super) const BOUND_BYTES: usize = PREFIX_BYTES + 16;
/// Bytes before the sealed description: those and the key commitment.
pub(super) const CLEAR_BYTES: usize = BOUND_BYTES + 32;
/// Bytes of a description: kind 1, reserved 3, index 4, length 8, created 8, dataset 16, owner 16.
pub(super) const DESCRIPTION_BYTES: usize = 56;
/// Bytes of a whole header.
pub const HEADER_BYTES: usize = CLEAR_BYTES + DESCRIPTION_BYTES + TAG_BYTES;

//= src/seal/FORMAT.md#header
//# The magic MUST be `KLUISv1` followed by one zero byte.
const MAGIC: [u8; 8] = *b"KLUISv1\0";
//= src/seal/FORMAT.md#header
//# The length class MUST be 16.
const CLASS: u8 = 16;
//= src/seal/FORMAT.md#header
//# The reserved bytes MUST be zero.
const RESERVED: [u8; 6] = [0; 6];

/// What a blob belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum BlobKind {
    /// Bytes of an object that was put in one go.
    Object,
    /// Bytes of a part of an upload.
    Part,
    /// A snapshot of the catalog.
    Snapshot,
    /// A piece of a published version's manifest.
    Manifest,
}

/// What a blob is, sealed into its header for a recovery without a catalog. It carries no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// What it belongs to.
    pub kind: BlobKind,
    /// The dataset that it was written into.
    pub dataset: DatasetId,
    /// The version of the object or part that it was written for.
    pub owner: VersionId,
    /// Which of its owner's blobs it is, from 0.
    pub index: u32,
    /// Plaintext length in bytes, at least 1.
    pub plaintext_bytes: u64,
    /// When it was made.
    pub created: Timestamp,
}

impl Description {
    /// The canonical encoding, 56 bytes.
    pub(super) fn encode(&self) -> [u8; DESCRIPTION_BYTES] {
        let kind = match self.kind {
            BlobKind::Object => 1,
            BlobKind::Part => 2,
            BlobKind::Snapshot => 3,
            BlobKind::Manifest => 4,
        };
        concat([
            &[kind, 0, 0, 0],
            &self.index.to_be_bytes(),
            &self.plaintext_bytes.to_be_bytes(),
            &self.created.millis().to_be_bytes(),
            self.dataset.as_bytes(),
            self.owner.as_bytes(),
        ])
    }

    /// Reads exactly what [`Self::encode`] writes.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, Refusal> {
        let from = &mut bytes;
        //= src/seal/FORMAT.md#description
        //# An opener MUST refuse an unknown kind and reserved bytes that are not zero.
        let kind = match take(from)? {
            [1, 0, 0, 0] => BlobKind::Object,
            [2, 0, 0, 0] => BlobKind::Part,
            [3, 0, 0, 0] => BlobKind::Snapshot,
            [4, 0, 0, 0] => BlobKind::Manifest,
            _ => return Err(Refusal::Description),
        };
        let index = u32::from_be_bytes(take(from)?);
        let plaintext_bytes = u64::from_be_bytes(take(from)?);
        let created = Timestamp::from_millis(u64::from_be_bytes(take(from)?));
        let dataset = DatasetId::from_bytes(take(from)?);
        let owner = VersionId::from_bytes(take(from)?);
        if !bytes.is_empty() || !layout::is_blob_length(plaintext_bytes) {
            return Err(Refusal::Description);
        }
        Ok(Self {
            kind,
            dataset,
            owner,
            index,
            plaintext_bytes,
            created,
        })
    }
}

/// The first 16 bytes of a header, which are the context of each key of the blob.
pub(super) fn prefix(suite: Suite) -> [u8; PREFIX_BYTES] {
    concat([&MAGIC, &[suite.code(), CLASS], &RESERVED])
}

/// The first 32 bytes of a header, which each segment is bound to.
pub(super) fn bound(suite: Suite, blob: &BlobId) -> [u8; BOUND_BYTES] {
    concat([&prefix(suite), blob.as_bytes()])
}

/// A header taken apart; nothing in it is authentic yet.
pub(super) struct Parsed {
    pub(super) suite: Suite,
    pub(super) blob: BlobId,
    pub(super) commitment: [u8; 32],
    /// The bytes before the sealed description.
    pub(super) clear: [u8; CLEAR_BYTES],
    pub(super) sealed_description: [u8; DESCRIPTION_BYTES + TAG_BYTES],
}

/// Takes a header apart and checks what can be checked without a key, in the order of the format.
pub(super) fn parse(header: &[u8]) -> Result<Parsed, Refusal> {
    //= src/seal/FORMAT.md#header
    //# The header MUST be 136 bytes long.
    let whole: &[u8; HEADER_BYTES] = header
        .try_into()
        .map_err(|_length: std::array::TryFromSliceError| Refusal::Header)?;
    let mut rest: &[u8] = whole;
    let from = &mut rest;
    let magic: [u8; 8] = take(from)?;
    let [suite, class] = take(from)?;
    let reserved: [u8; 6] = take(from)?;
    if magic != MAGIC {
        return Err(Refusal::Magic);
    }
    let suite = Suite::from_code(suite).ok_or(Refusal::Suite)?;
    if class != CLASS {
        return Err(Refusal::Class);
    }
    if reserved != RESERVED {
        return Err(Refusal::Reserved);
    }
    let blob = BlobId::from_bytes(take(from)?);
    let commitment = take(from)?;
    let sealed_description = take(from)?;
    let clear = concat([&bound(suite, &blob), &commitment]);
    Ok(Parsed {
        suite,
        blob,
        commitment,
        clear,
        sealed_description,
    })
}

/// The parts one after the other in an array that they fill exactly (the tests hold every use).
pub(super) fn concat<const N: usize, const P: usize>(parts: [&[u8]; P]) -> [u8; N] {
    let mut out = [0; N];
    let bytes = parts.iter().flat_map(|part| part.iter());
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// Takes the next `N` bytes off the front.
fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Refusal> {
    let (head, rest) = from.split_first_chunk().ok_or(Refusal::Header)?;
    *from = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn description() -> impl Strategy<Value = Description> {
        let kind = prop_oneof![
            Just(BlobKind::Object),
            Just(BlobKind::Part),
            Just(BlobKind::Snapshot),
            Just(BlobKind::Manifest)
        ];
        let ids = (any::<[u8; 16]>(), any::<[u8; 16]>());
        let length = 1..=layout::PLAINTEXT_BYTES_MAX;
        (kind, ids, any::<u32>(), length, any::<u64>()).prop_map(
            |(kind, (dataset, owner), index, plaintext_bytes, created)| Description {
                kind,
                dataset: DatasetId::from_bytes(dataset),
                owner: VersionId::from_bytes(owner),
                index,
                plaintext_bytes,
                created: Timestamp::from_millis(created),
            },
        )
    }

    proptest! {
        #[test]
        fn descriptions_round_trip(what in description()) {
            prop_assert_eq!(Description::decode(&what.encode()), Ok(what));
        }

        #[test]
        fn whatever_decodes_is_canonical(bytes in any::<[u8; DESCRIPTION_BYTES]>(), kind in 0u8..5) {
            let mut bytes = bytes;
            bytes[0] = kind;
            for b in &mut bytes[1..4] {
                *b %= 2;
            }
            if let Ok(what) = Description::decode(&bytes) {
                prop_assert_eq!(what.encode(), bytes);
            }
        }

        #[test]
        fn foreign_headers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(&bytes).is_err());
        }
    }

    #[test]
    fn lengths_that_are_no_blob_are_refused() {
        let what = Description {
            kind: BlobKind::Part,
            dataset: DatasetId::from_bytes([1; 16]),
            owner: VersionId::from_bytes([2; 16]),
            index: 3,
            plaintext_bytes: 4,
            created: Timestamp::from_millis(5),
        };
        for plaintext_bytes in [0, layout::PLAINTEXT_BYTES_MAX + 1, u64::MAX] {
            let bytes = Description {
                plaintext_bytes,
                ..what
            }
            .encode();
            assert_eq!(Description::decode(&bytes), Err(Refusal::Description));
        }
        let mut long = what.encode().to_vec();
        long.push(0);
        assert!(Description::decode(&long).is_err());
        assert!(Description::decode(&long[..55]).is_err());
    }

    #[test]
    fn the_last_byte_of_a_header_is_the_last_of_its_parts() {
        let blob = BlobId::from_bytes([9; 16]);
        assert_eq!(bound(Suite::Aes256Gcm, &blob)[BOUND_BYTES - 1], 9);
        assert_eq!(HEADER_BYTES, 136);
    }
}
