//! Where things stand in a blob: lengths and offsets, computed from the plaintext's length alone.

use std::ops::Range;

use super::{HEADER_BYTES, TAG_BYTES};
use crate::types::ByteRange;
use crate::types::limits::{SEGMENT_BYTES, STORE_CHUNK_BYTES, STORE_CHUNKS_BEGIN};

/// The longest blob of the format: 2^40 bytes are 2^24 segments, far below the 2^32 messages that
/// AES-GCM allows under one key (NIST SP 800-38D, section 8.3), and no sum below can overflow.
pub const PLAINTEXT_BYTES_MAX: u64 = 1 << 40;

/// [`SEGMENT_BYTES`], as a length within a blob.
const SEGMENT: u64 = 65_536;
/// A full segment as it is stored.
const SEALED_SEGMENT: u64 = SEGMENT + TAG;
const TAG: u64 = 16;
const HEADER: u64 = 136;

const _: () = assert!(SEGMENT_BYTES == 65_536 && TAG_BYTES == 16 && HEADER_BYTES == 136);
// What a store hands over at once is what is opened at once.
const _: () = assert!(STORE_CHUNK_BYTES == SEALED_SEGMENT && STORE_CHUNKS_BEGIN == HEADER);

/// Which bytes of a blob hold a range of its plaintext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedRange {
    /// The bytes to fetch: whole segments, after the header if that comes too.
    pub sealed: Range<u64>,
    /// The first segment in them.
    pub first_segment: u64,
    /// Plaintext bytes to drop from the first opened segment.
    pub skip: usize,
    /// Plaintext bytes wanted, after those dropped.
    pub take: u64,
    /// Whether the bytes begin with the header, which is then to be checked first.
    pub includes_header: bool,
}

/// Whether a blob can have this plaintext length.
#[must_use]
pub const fn is_blob_length(plaintext_bytes: u64) -> bool {
    //= src/seal/FORMAT.md#description
    //# The plaintext length MUST be 1 to 1,099,511,627,776 (2 to the power of 40): nothing makes no blob.
    plaintext_bytes >= 1 && plaintext_bytes <= PLAINTEXT_BYTES_MAX
}

/// How many segments a blob has.
#[must_use]
pub const fn segments(plaintext_bytes: u64) -> u64 {
    plaintext_bytes.div_ceil(SEGMENT)
}

/// The length of a whole sealed blob, header included. It saturates; lengths that no blob can have
/// are refused by `Sealer` and `Opener`.
#[must_use]
pub const fn sealed_bytes(plaintext_bytes: u64) -> u64 {
    //= src/seal/FORMAT.md#segments
    //# The blob MUST be as long as its description says: 136 + plaintext length + 16 for each segment, and nothing after it.
    HEADER
        .saturating_add(plaintext_bytes)
        .saturating_add(segments(plaintext_bytes).saturating_mul(TAG))
}

/// The plaintext length of one segment; `None` beyond the last.
#[must_use]
pub fn segment_bytes(plaintext_bytes: u64, segment: u64) -> Option<usize> {
    //= src/seal/FORMAT.md#segments
    //# Every segment but the last MUST hold 65,536 bytes of plaintext.
    let start = segment.checked_mul(SEGMENT)?;
    let left = plaintext_bytes.checked_sub(start).filter(|n| *n > 0)?;
    usize::try_from(left.min(SEGMENT)).ok()
}

/// Which bytes of a blob to fetch for `range` of its plaintext; `None` if the range ends beyond the
/// blob, or there can be no such blob. A range that begins in segment 0 brings the header too.
#[must_use]
pub fn sealed_range(plaintext_bytes: u64, range: ByteRange) -> Option<SealedRange> {
    if !is_blob_length(plaintext_bytes) || range.end() > plaintext_bytes {
        return None;
    }
    let first = range.start().checked_div(SEGMENT)?;
    let after = segments(range.end());
    let includes_header = first == 0;
    let start = if includes_header {
        0
    } else {
        HEADER.checked_add(first.checked_mul(SEALED_SEGMENT)?)?
    };
    let end = if after == segments(plaintext_bytes) {
        sealed_bytes(plaintext_bytes)
    } else {
        HEADER.checked_add(after.checked_mul(SEALED_SEGMENT)?)?
    };
    Some(SealedRange {
        sealed: start..end,
        first_segment: first,
        skip: usize::try_from(range.start().checked_rem(SEGMENT)?).ok()?,
        take: range.len(),
        includes_header,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_at_the_edges() {
        for (plain, sealed) in [
            (1, 136 + 1 + 16),
            (65_535, 136 + 65_535 + 16),
            (65_536, 136 + 65_536 + 16),
            (65_537, 136 + 65_537 + 32),
            (131_072, 136 + 131_072 + 32),
        ] {
            assert_eq!(sealed_bytes(plain), sealed);
        }
        assert_eq!(sealed_bytes(u64::MAX), u64::MAX);
        assert_eq!(segment_bytes(65_537, 0), Some(65_536));
        assert_eq!(segment_bytes(65_537, 1), Some(1));
        assert_eq!(segment_bytes(65_537, 2), None);
        assert_eq!(segment_bytes(65_536, 1), None);
        assert_eq!(segment_bytes(1, u64::MAX), None);
    }

    #[test]
    fn ranges_that_no_blob_has() {
        let range = |a, b| ByteRange::new(a, b).unwrap();
        assert_eq!(sealed_range(10, range(0, 11)), None);
        assert_eq!(sealed_range(10, range(10, 11)), None);
        assert_eq!(sealed_range(0, range(0, 1)), None);
        assert_eq!(sealed_range(u64::MAX, range(0, 1)), None);
        assert_eq!(sealed_range(10, range(u64::MAX - 1, u64::MAX)), None);
    }

    proptest! {
        /// Against the plain way: walk over all segments and see which hold a byte of the range.
        #[test]
        fn ranges_agree_with_a_walk(plain in 1u64..400_000, a in 0u64..400_000, n in 1u64..200_000) {
            let range = ByteRange::new(a, a + n).unwrap();
            let found = sealed_range(plain, range);
            prop_assert_eq!(found.is_some(), a + n <= plain);
            let Some(found) = found else { return Ok(()) };
            let (mut at, mut plain_at, mut want) = (136, 0, None::<Range<u64>>);
            for segment in 0..segments(plain) {
                let bytes = u64::try_from(segment_bytes(plain, segment).unwrap()).unwrap();
                if plain_at < a + n && a < plain_at + bytes {
                    let start = want.as_ref().map_or(at, |w| w.start);
                    want = Some(start..at + bytes + 16);
                }
                at += bytes + 16;
                plain_at += bytes;
            }
            prop_assert_eq!(at, sealed_bytes(plain));
            let mut want = want.unwrap();
            if found.includes_header {
                prop_assert_eq!(want.start, 136);
                want.start = 0;
            }
            prop_assert_eq!(found.sealed, want);
            prop_assert_eq!(found.first_segment * 65_536 + u64::try_from(found.skip).unwrap(), a);
            prop_assert_eq!(found.take, n);
        }
    }
}
