//! What stands in the blobs of the gate, under their seal. Pure; specified in `docs/audit.md`,
//! "The gate in the store". Integers are big-endian.

use ring::digest::{SHA256, digest as sha256};

/// SHA-256 of a blob's sealed bytes.
pub(super) type Digest = [u8; 32];

const BATCH: &[u8; 8] = b"KLUISGB1";
const WHOLE: &[u8; 8] = b"KLUISGW1";
const MARK: &[u8; 8] = b"KLUISGM1";
const ROUND: &[u8; 8] = b"KLUISGR1";
const BUNDLE: &[u8; 8] = b"KLUISGE1";

pub(super) fn digest(sealed: &[u8]) -> Digest {
    sha256(&SHA256, sealed)
        .as_ref()
        .try_into()
        .unwrap_or_default()
}

/// A run of bytes of a file of a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    /// That of the batch before it, whichever file that is of; zeros before the first.
    pub(super) previous: Digest,
    /// The file's first record.
    pub(super) first: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// What stands there; nothing in one that only takes a name.
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    /// `"KLUISGB1" ‖ previous(32) ‖ first(8) ‖ offset(8) ‖ bytes`.
    pub(super) fn encode(previous: &Digest, (first, offset): (u64, u64), bytes: &[u8]) -> Vec<u8> {
        let (first, offset) = (first.to_be_bytes(), offset.to_be_bytes());
        [&BATCH[..], previous, &first, &offset, bytes].concat()
    }

    pub(super) fn decode(plain: &[u8]) -> Option<Self> {
        let rest = plain.strip_prefix(BATCH)?;
        let (previous, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (offset, bytes) = rest.split_first_chunk()?;
        Some(Self {
            previous: *previous,
            first: u64::from_be_bytes(*first),
            offset: u64::from_be_bytes(*offset),
            bytes: bytes.to_vec(),
        })
    }
}

/// A whole file of a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Whole {
    /// That of the last batch of what it holds.
    pub(super) last: Digest,
    /// The file's first record.
    pub(super) first: u64,
    /// Its bytes, as far as they belong to the log.
    pub(super) bytes: Vec<u8>,
}

impl Whole {
    /// `"KLUISGW1" ‖ last(32) ‖ first(8) ‖ bytes`.
    pub(super) fn encode(last: &Digest, first: u64, bytes: &[u8]) -> Vec<u8> {
        [&WHOLE[..], last, &first.to_be_bytes(), bytes].concat()
    }

    pub(super) fn decode(plain: &[u8]) -> Option<Self> {
        let rest = plain.strip_prefix(WHOLE)?;
        let (last, rest) = rest.split_first_chunk()?;
        let (first, bytes) = rest.split_first_chunk()?;
        Some(Self {
            last: *last,
            first: u64::from_be_bytes(*first),
            bytes: bytes.to_vec(),
        })
    }
}

/// A round of the log: its state, which is sealed by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Round {
    /// That of the round before it; zeros before the first.
    pub(super) previous: Digest,
    /// The state's bytes.
    pub(super) state: Vec<u8>,
}

impl Round {
    /// `"KLUISGR1" ‖ previous(32) ‖ state`.
    pub(super) fn encode(previous: &Digest, state: &[u8]) -> Vec<u8> {
        [&ROUND[..], previous, state].concat()
    }

    pub(super) fn decode(plain: &[u8]) -> Option<Self> {
        let rest = plain.strip_prefix(ROUND)?;
        let (previous, state) = rest.split_first_chunk()?;
        Some(Self {
            previous: *previous,
            state: state.to_vec(),
        })
    }
}

/// `"KLUISGM1" ‖ the mark's file`.
pub(super) fn encode_mark(mark: &[u8]) -> Vec<u8> {
    [&MARK[..], mark].concat()
}

pub(super) fn decode_mark(plain: &[u8]) -> Option<&[u8]> {
    plain.strip_prefix(MARK)
}

/// `"KLUISGE1" ‖ the bundle`, as the log's tile has it.
pub(super) fn encode_bundle(bundle: &[u8]) -> Vec<u8> {
    [&BUNDLE[..], bundle].concat()
}

pub(super) fn decode_bundle(plain: &[u8]) -> Option<&[u8]> {
    plain.strip_prefix(BUNDLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_reads_what_it_writes_and_no_other_kind() {
        let batch = Batch::encode(&[1; 32], (7, 256), b"frames");
        let whole = Whole::encode(&[2; 32], 7, b"file");
        let round = Round::encode(&[3; 32], b"state");
        let read = Batch::decode(&batch).unwrap();
        assert_eq!((read.first, read.offset), (7, 256));
        assert_eq!((read.previous, &read.bytes[..]), ([1; 32], &b"frames"[..]));
        let read = Whole::decode(&whole).unwrap();
        assert_eq!((read.last, read.first), ([2; 32], 7));
        assert_eq!(read.bytes, b"file");
        let read = Round::decode(&round).unwrap();
        assert_eq!((read.previous, &read.state[..]), ([3; 32], &b"state"[..]));
        for other in [&whole, &round, &encode_mark(b"m"), &encode_bundle(b"b")] {
            assert_eq!(Batch::decode(other), None);
        }
        for other in [&batch, &round, &encode_mark(b"m")] {
            assert_eq!(Whole::decode(other), None);
            assert_eq!(decode_bundle(other), None);
        }
        assert_eq!(Round::decode(&batch), None);
        assert_eq!(decode_mark(&batch), None);
        for len in 0..56 {
            assert_eq!(Batch::decode(&batch[..len]), None, "{len}");
        }
    }
}
