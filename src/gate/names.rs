//! How blobs of the gate are called: by what they are, under a key, so that the vault reads a
//! listing and the store learns nothing from it.
//!
//! ```text
//! what = kind(1) ‖ number(7)                                        big-endian
//! name = tag ‖ (what XOR pad)     tag = HMAC(key, "tag" ‖ scope ‖ 0 ‖ what)[..8]
//!                                 pad = HMAC(key, "pad" ‖ scope ‖ 0 ‖ tag)[..8]
//! ```
//!
//! That is a synthetic IV (as in RFC 5297): the tag of what is hidden is the IV that hides it.

use subtle::ConstantTimeEq as _;

use crate::seal::keys::mac;
use crate::types::{BlobId, Secret};

/// What a blob of the gate is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    /// A group of a lane; its number is [`batch_number`].
    Batch,
    /// A whole file of a lane; its number is the file's ordinal.
    Whole,
    /// The mark in front of a lane's files; its number is the ordinal of the first of them.
    Mark,
    /// A round of the log.
    Round,
    /// A full bundle of the log's entries.
    Bundle,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Whole => 2,
            Self::Mark => 3,
            Self::Round => 4,
            Self::Bundle => 5,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Batch,
            2 => Self::Whole,
            3 => Self::Mark,
            4 => Self::Round,
            5 => Self::Bundle,
            _ => return None,
        })
    }
}

/// What a blob is, and which.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) number: u64,
}

/// Numbers end here: seven bytes of a name.
const NUMBERS: u64 = 1 << 56;
/// Batches of one file.
const BATCHES: u64 = 1 << 32;

/// The number of a file's batch: the how-manieth file of its lane, and the how-manieth batch of
/// that. `None` beyond 16 million files or four billion batches.
pub(super) fn batch_number(ordinal: u64, index: u64) -> Option<u64> {
    let number = ordinal.checked_mul(BATCHES)?.checked_add(index)?;
    (index < BATCHES && number < NUMBERS).then_some(number)
}

/// The file and the batch of a batch's number.
pub(super) const fn batch_of(number: u64) -> (u64, u64) {
    (number / BATCHES, number % BATCHES)
}

impl Item {
    pub(super) const fn new(kind: Kind, number: u64) -> Self {
        Self { kind, number }
    }

    /// What its seal and its name are bound to.
    pub(super) fn bytes(self) -> [u8; 8] {
        let [_zero, rest @ ..] = self.number.to_be_bytes();
        let mut bytes = [self.kind.code(); 8];
        for (to, from) in bytes.iter_mut().skip(1).zip(rest) {
            *to = from;
        }
        bytes
    }

    fn of(bytes: [u8; 8]) -> Option<Self> {
        let [code, ..] = bytes;
        let number = u64::from_be_bytes(bytes) % NUMBERS;
        Kind::of(code).map(|kind| Self { kind, number })
    }

    /// Its name in a scope: a lane's, or the log's.
    pub(super) fn name(self, key: &Secret<32>, scope: &str) -> BlobId {
        let what = self.bytes();
        let tag = half(key, b"tag", scope, what);
        let hidden = xor(what, half(key, b"pad", scope, tag));
        let mut name = [0; 16];
        let (head, rest) = name.split_at_mut(8);
        head.copy_from_slice(&tag);
        rest.copy_from_slice(&hidden);
        BlobId::from_bytes(name)
    }

    /// What a name says; `None` where it is of another scope, or of no gate of this key.
    pub(super) fn read(name: BlobId, key: &Secret<32>, scope: &str) -> Option<Self> {
        let (tag, hidden) = name.as_bytes().split_first_chunk::<8>()?;
        let hidden = hidden.try_into().ok()?;
        let what = xor(hidden, half(key, b"pad", scope, *tag));
        let item = Self::of(what)?;
        let same: bool = half(key, b"tag", scope, what).ct_eq(tag).into();
        same.then_some(item)
    }
}

fn half(key: &Secret<32>, what: &[u8], scope: &str, bytes: [u8; 8]) -> [u8; 8] {
    let tag = mac(key, &[what, scope.as_bytes(), &[0], &bytes]);
    let (half, _) = tag.expose().split_at(8);
    half.try_into().unwrap_or_default()
}

fn xor(mut bytes: [u8; 8], pad: [u8; 8]) -> [u8; 8] {
    for (byte, pad) in bytes.iter_mut().zip(pad) {
        *byte ^= pad;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret<32> {
        Secret::take(&mut [byte; 32])
    }

    #[test]
    fn names_are_read_back_and_no_other_name_is() {
        let mut seen = std::collections::HashSet::new();
        for kind in [
            Kind::Batch,
            Kind::Whole,
            Kind::Mark,
            Kind::Round,
            Kind::Bundle,
        ] {
            for number in [0, 1, 255, BATCHES, NUMBERS - 1] {
                let item = Item::new(kind, number);
                let name = item.name(&key(1), "gateway");
                assert!(seen.insert(name));
                assert_eq!(Item::read(name, &key(1), "gateway"), Some(item));
                assert_eq!(Item::read(name, &key(1), "admin"), None);
                assert_eq!(Item::read(name, &key(2), "gateway"), None);
                for at in 0..16 {
                    let mut bent = *name.as_bytes();
                    bent[at] ^= 1;
                    let bent = BlobId::from_bytes(bent);
                    assert_eq!(Item::read(bent, &key(1), "gateway"), None, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn batches_of_a_file_are_numbered_within_it() {
        for (ordinal, index) in [(0, 0), (0, 7), (3, 0), ((1 << 24) - 1, BATCHES - 1)] {
            let number = batch_number(ordinal, index).unwrap();
            assert_eq!(batch_of(number), (ordinal, index));
        }
        assert_eq!(batch_number(0, BATCHES), None);
        assert_eq!(batch_number(1 << 24, 0), None);
        assert_eq!(batch_number(u64::MAX, 0), None);
    }
}
