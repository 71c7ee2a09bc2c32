//! The bytes of a journal file: keys, header, frames, the chain. Pure; specified in
//! `docs/audit.md`, "The journal's files".
//!
//! ```text
//! file   = header(256) frame* zeros
//! frame  = crc32c(4) len(4) seq(8) back(4) sealed(len)        big-endian; crc over all after it
//! sealed = AES-256-GCM(key of the file, nonce = 0^4 ‖ seq, AAD = chain ‖ back, record)
//! chain  = SHA-256(chain before ‖ leaf hash of the record); first: SHA-256(header)
//! ```

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{Context, SHA256, digest};
use ring::{hkdf, hmac};

use crate::ledger::leaf_hash;
use crate::types::Secret;
use crate::types::limits::{POLICY_TEXT_BYTES_MAX, RECORD_BYTES_MAX};

/// Bytes of a file's header.
pub(super) const HEADER_BYTES: usize = 256;
/// Bytes of a frame before its payload: 4 + 4 + 8 + 4.
pub(super) const PREFIX_BYTES: usize = 20;
/// Bytes that sealing adds.
const TAG_BYTES: usize = 16;
/// What a record grows by in a file.
pub(super) const FRAME_OVERHEAD: usize = PREFIX_BYTES + TAG_BYTES;
/// The longest sealed payload: a record, or a policy's text with what surrounds it.
pub(super) const SEALED_BYTES_MAX: usize = {
    let policy = POLICY_TEXT_BYTES_MAX + 64;
    let largest = if policy > RECORD_BYTES_MAX {
        policy
    } else {
        RECORD_BYTES_MAX
    };
    largest + TAG_BYTES
};

const MAGIC: &[u8; 8] = b"KLUISWAL";
const VERSION: u32 = 1;
/// The file before is damaged behind the frame where this one goes on.
const FLAG_PREVIOUS_DAMAGED: u32 = 1;
const LANE_BYTES_MAX: usize = 63;
/// Where the header's tag begins; all before it is under the tag.
const TAG_AT: usize = HEADER_BYTES - 32;

/// A file's random name for itself.
pub(super) type FileId = [u8; 16];
/// The hash of everything in a lane up to a frame.
pub(super) type Chain = [u8; 32];

/// Bytes that are no header or no frame, or not of this key.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub(super) enum FormatError {
    /// Not what it should be; altered, cut, or of another place.
    #[error("the bytes are damaged")]
    Damaged,
    /// The file was written under another log key.
    #[error("the file belongs to another log key")]
    OtherKey,
}

/// Where the next frame of a lane goes: after this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The file that holds the last frame; zeros before the first file.
    pub(super) file: FileId,
    /// The next frame's number.
    pub(super) next: u64,
    /// The chain after the last frame.
    pub(super) chain: Chain,
}

impl Link {
    /// Before the first frame of a lane.
    pub(super) const START: Self = Self {
        file: [0; 16],
        next: 0,
        chain: [0; 32],
    };
}

/// What a file says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Its random name.
    pub(super) id: FileId,
    /// The lane it belongs to.
    pub(super) lane: String,
    /// When it was made, milliseconds since the epoch.
    pub(super) created: u64,
    /// Where it goes on: **only the frames up to here of the file before belong to the log**.
    pub(super) link: Link,
    /// Whether the file before is damaged behind `link`.
    pub(super) previous_damaged: bool,
}

/// A length for `Hkdf::expand`.
struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// The log key, as the journal uses it.
pub(super) struct LogKey {
    secret: Secret<32>,
    /// Tells one log key from another; says nothing about either.
    id: [u8; 8],
}

impl LogKey {
    pub(super) fn new(secret: Secret<32>) -> Option<Self> {
        let mut id = [0; 8];
        derive(&secret, &[], b"kluis/journal/1/key id", &mut id)?;
        Some(Self { secret, id })
    }

    /// The cipher of one file's frames.
    pub(super) fn frames(&self, file: &FileId) -> Option<FrameKey> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        derive(&self.secret, file, b"kluis/journal/1/frames", &mut *key)?;
        let unbound = UnboundKey::new(&AES_256_GCM, &*key).ok()?;
        Some(FrameKey(LessSafeKey::new(unbound)))
    }

    fn header(&self, file: &FileId) -> Option<hmac::Key> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        derive(&self.secret, file, b"kluis/journal/1/header", &mut *key)?;
        Some(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }

    /// What vouches for the mark in front of the files that are left (`prune.rs`).
    pub(super) fn mark(&self) -> Option<hmac::Key> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        derive(&self.secret, &[], b"kluis/journal/1/pruned", &mut *key)?;
        Some(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }
}

/// HKDF-SHA256 (RFC 5869) of the log key; `None` never for these lengths.
fn derive(secret: &Secret<32>, salt: &[u8], info: &[u8], out: &mut [u8]) -> Option<()> {
    let info = [info];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.expose());
    prk.expand(&info, Len(out.len())).ok()?.fill(out).ok()
}

impl Header {
    /// The header's bytes and the chain that begins with them.
    pub(super) fn encode(&self, key: &LogKey) -> Option<([u8; HEADER_BYTES], Chain)> {
        let lane = self.lane.as_bytes();
        if lane.len() > LANE_BYTES_MAX {
            return None;
        }
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        let flags = if self.previous_damaged {
            FLAG_PREVIOUS_DAMAGED
        } else {
            0
        };
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&key.id);
        out.extend_from_slice(&self.created.to_be_bytes());
        out.extend_from_slice(&self.link.next.to_be_bytes());
        out.extend_from_slice(&self.link.file);
        out.extend_from_slice(&self.link.chain);
        out.push(u8::try_from(lane.len()).ok()?);
        out.extend_from_slice(lane);
        out.resize(TAG_AT, 0);
        let tag = hmac::sign(&key.header(&self.id)?, &out);
        out.extend_from_slice(tag.as_ref());
        let bytes = out.try_into().ok()?;
        Some((bytes, first_chain(&bytes)))
    }

    /// Reads a header; it is valid only in the one form that `encode` makes.
    pub(super) fn decode(
        bytes: &[u8; HEADER_BYTES],
        key: &LogKey,
    ) -> Result<(Self, Chain), FormatError> {
        let mut r = Take(bytes);
        if r.take::<8>()? != *MAGIC || r.take()? != VERSION.to_be_bytes() {
            return Err(FormatError::Damaged);
        }
        let flags = u32::from_be_bytes(r.take()?);
        let id = r.take()?;
        if r.take()? != key.id {
            return Err(FormatError::OtherKey);
        }
        let created = u64::from_be_bytes(r.take()?);
        let next = u64::from_be_bytes(r.take()?);
        let link = Link {
            next,
            file: r.take()?,
            chain: r.take()?,
        };
        let [len] = r.take()?;
        let lane = r.slice(usize::from(len))?;
        let header = Self {
            id,
            lane: std::str::from_utf8(lane)
                .map_err(|_not_utf8| FormatError::Damaged)?
                .to_owned(),
            created,
            link,
            previous_damaged: flags == FLAG_PREVIOUS_DAMAGED,
        };
        // Canonical and authentic at once: what it says must give the same bytes, tag included.
        let (again, chain) = header.encode(key).ok_or(FormatError::Damaged)?;
        let same: bool = subtle::ConstantTimeEq::ct_eq(&again[..], &bytes[..]).into();
        if same {
            Ok((header, chain))
        } else {
            Err(FormatError::Damaged)
        }
    }
}

/// Takes fields off the front of a header.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn slice(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(FormatError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(FormatError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }
}

fn first_chain(header: &[u8]) -> Chain {
    let mut chain = [0; 32];
    chain.copy_from_slice(digest(&SHA256, header).as_ref());
    chain
}

/// `SHA-256(chain ‖ leaf)`.
fn next_chain(chain: &Chain, record: &[u8]) -> Chain {
    let mut context = Context::new(&SHA256);
    context.update(chain);
    context.update(&leaf_hash(record));
    let mut next = [0; 32];
    next.copy_from_slice(context.finish().as_ref());
    next
}

fn nonce(seq: u64) -> Nonce {
    let mut bytes = [0; 12];
    if let Some(counter) = bytes.last_chunk_mut::<8>() {
        *counter = seq.to_be_bytes();
    }
    Nonce::assume_unique_for_key(bytes)
}

fn aad(chain: &Chain, back: u32) -> Aad<[u8; 36]> {
    let mut bytes = [0; 36];
    let (head, tail) = bytes.split_at_mut(32);
    head.copy_from_slice(chain);
    tail.copy_from_slice(&back.to_be_bytes());
    Aad::from(bytes)
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Prefix {
    crc: u32,
    /// Bytes of the sealed payload.
    pub(super) len: usize,
    /// The frame's number in its lane.
    pub(super) seq: u64,
    /// How many frames of its group stand before it. The group before was durable when this one
    /// was written: so a bad frame before a good one of a later group is damage, not a torn end.
    pub(super) back: u32,
}

impl Prefix {
    /// Reads a prefix whose length is possible.
    pub(super) fn decode(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let mut r = Take(bytes);
        let crc = u32::from_be_bytes(r.take().ok()?);
        let len = usize::try_from(u32::from_be_bytes(r.take().ok()?)).ok()?;
        let seq = u64::from_be_bytes(r.take().ok()?);
        let back = u32::from_be_bytes(r.take().ok()?);
        (TAG_BYTES < len && len <= SEALED_BYTES_MAX).then_some(Self {
            crc,
            len,
            seq,
            back,
        })
    }

    /// Whether the checksum is the one of the frame that begins with this prefix.
    pub(super) fn checks(&self, frame: &[u8]) -> bool {
        frame.get(4..).is_some_and(|rest| crc32c(rest) == self.crc)
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let wide = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(wide).unwrap_or(0)
}

/// Seals and opens the frames of one file.
pub(super) struct FrameKey(LessSafeKey);

impl FrameKey {
    /// Appends the frame of `record` to `out` and moves `link` on. **Each `seq` is sealed once
    /// under a file's key**: a file whose write failed is never written again.
    pub(super) fn seal(
        &self,
        link: &mut Link,
        back: u32,
        record: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let len = record.len().checked_add(TAG_BYTES)?;
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&u32::try_from(len).ok()?.to_be_bytes());
        out.extend_from_slice(&link.next.to_be_bytes());
        out.extend_from_slice(&back.to_be_bytes());
        let payload = out.len();
        out.extend_from_slice(record);
        let plain = out.get_mut(payload..)?;
        let aad = aad(&link.chain, back);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(link.next), aad, plain)
            .ok()?;
        out.extend_from_slice(tag.as_ref());
        let crc = crc32c(out.get(start.checked_add(4)?..)?);
        out.get_mut(start..)?
            .first_chunk_mut::<4>()?
            .copy_from_slice(&crc.to_be_bytes());
        link.chain = next_chain(&link.chain, record);
        link.next = link.next.checked_add(1)?;
        Some(())
    }

    /// Opens the frame that must come at `link`, in place; moves `link` on.
    pub(super) fn open<'f>(
        &self,
        link: &mut Link,
        prefix: &Prefix,
        frame: &'f mut [u8],
    ) -> Result<&'f [u8], FormatError> {
        let whole = frame.len() == PREFIX_BYTES.saturating_add(prefix.len);
        if prefix.seq != link.next || !whole || !prefix.checks(frame) {
            return Err(FormatError::Damaged);
        }
        let sealed = frame.get_mut(PREFIX_BYTES..).ok_or(FormatError::Damaged)?;
        let aad = aad(&link.chain, prefix.back);
        let record = self
            .0
            .open_in_place(nonce(link.next), aad, sealed)
            .map_err(|_unspecified| FormatError::Damaged)?;
        link.chain = next_chain(&link.chain, record);
        link.next = link.next.checked_add(1).ok_or(FormatError::Damaged)?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> LogKey {
        LogKey::new(Secret::take(&mut [byte; 32])).unwrap()
    }

    fn header() -> Header {
        Header {
            id: [1; 16],
            lane: "gw-1".into(),
            created: 1000,
            link: Link {
                file: [2; 16],
                next: 7,
                chain: [3; 32],
            },
            previous_damaged: false,
        }
    }

    fn open(key: &FrameKey, link: &mut Link, frame: &[u8]) -> Result<Vec<u8>, FormatError> {
        let prefix = frame
            .first_chunk()
            .and_then(Prefix::decode)
            .ok_or(FormatError::Damaged)?;
        key.open(link, &prefix, &mut frame.to_vec())
            .map(<[u8]>::to_vec)
    }

    #[test]
    fn headers_round_trip_and_bind_every_bit() {
        let (bytes, chain) = header().encode(&key(1)).unwrap();
        assert_eq!(Header::decode(&bytes, &key(1)).unwrap(), (header(), chain));
        assert_eq!(Header::decode(&bytes, &key(2)), Err(FormatError::OtherKey));
        for at in 0..HEADER_BYTES {
            for bit in [1, 0x80] {
                let mut bad = bytes;
                bad[at] ^= bit;
                assert!(Header::decode(&bad, &key(1)).is_err(), "byte {at}");
            }
        }
        assert!(Header::decode(&[0; HEADER_BYTES], &key(1)).is_err());
        let long = Header {
            lane: "l".repeat(64),
            ..header()
        };
        assert!(long.encode(&key(1)).is_none());
    }

    #[test]
    fn frames_bind_every_bit_place_and_file() {
        let frames = key(1).frames(&[1; 16]).unwrap();
        let (mut link, mut out) = (header().link, Vec::new());
        frames.seal(&mut link, 0, b"one", &mut out).unwrap();
        let first = out.len();
        frames.seal(&mut link, 1, b"two", &mut out).unwrap();
        let (one, two) = out.split_at(first);

        let mut at = header().link;
        assert_eq!(
            open(&frames, &mut at, two),
            Err(FormatError::Damaged),
            "out of order"
        );
        assert_eq!(at, header().link, "a refused frame moves nothing");
        assert_eq!(open(&frames, &mut at, one).unwrap(), b"one");
        assert_eq!(
            open(&frames, &mut at, one),
            Err(FormatError::Damaged),
            "twice"
        );
        assert_eq!(open(&frames, &mut at, two).unwrap(), b"two");
        assert_eq!(at, link);

        for byte in 0..one.len() {
            let mut bad = one.to_vec();
            bad[byte] ^= 1;
            assert!(
                open(&frames, &mut header().link, &bad).is_err(),
                "byte {byte}"
            );
            // Someone who mends the checksum gains nothing.
            let crc = crc32c(&bad[4..]);
            bad[..4].copy_from_slice(&crc.to_be_bytes());
            if byte >= 4 {
                assert!(
                    open(&frames, &mut header().link, &bad).is_err(),
                    "byte {byte}"
                );
            }
        }
        let other = key(1).frames(&[9; 16]).unwrap();
        assert!(
            open(&other, &mut header().link, one).is_err(),
            "another file's key"
        );
        let mut spliced = Link {
            chain: [4; 32],
            ..header().link
        };
        assert!(open(&frames, &mut spliced, one).is_err(), "another history");
    }

    /// A header and two frames; another implementation can be held against it.
    #[test]
    fn the_format_is_frozen() {
        let (header_bytes, chain) = header().encode(&key(0x42)).unwrap();
        let frames = key(0x42).frames(&[1; 16]).unwrap();
        let mut out = header_bytes.to_vec();
        let mut link = Link {
            file: [1; 16],
            next: 7,
            chain,
        };
        for (back, record) in [(0, &b"\x83\x01\x05\xa2\x00\x01\x01\x00"[..]), (1, b"two")] {
            frames.seal(&mut link, back, record, &mut out).unwrap();
        }
        let hex = data_encoding::HEXLOWER.encode(&out);
        assert_eq!(hex, include_str!("format_vector.txt").trim_end());
    }

    #[test]
    fn impossible_lengths_are_no_prefix() {
        for len in [
            0u32,
            1,
            16,
            u32::MAX,
            u32::try_from(SEALED_BYTES_MAX).unwrap() + 1,
        ] {
            let mut bytes = [0; PREFIX_BYTES];
            bytes[4..8].copy_from_slice(&len.to_be_bytes());
            assert!(Prefix::decode(&bytes).is_none(), "{len}");
        }
    }

    #[test]
    fn a_file_shows_no_record() {
        let frames = key(1).frames(&[1; 16]).unwrap();
        let mut out = Vec::new();
        frames
            .seal(&mut header().link, 0, b"canary-name", &mut out)
            .unwrap();
        assert!(!out.windows(6).any(|w| w == b"canary"));
    }
}
