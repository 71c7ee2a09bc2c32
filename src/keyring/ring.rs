//! What stands in `ring.age`: the ring key, and behind how many roots it has been.
//!
//! ```text
//! "kluis ring v1\n" ‖ ring key (32)                                  under the first root
//! "kluis ring v2\n" ‖ root version (4) ‖ since, ms (8) ‖ ring key (32)   from the second on
//! ```
//!
//! The mark is inside, so that whoever can write the file and does not know the key cannot change
//! it.

use zeroize::Zeroizing;

use crate::types::{Secret, Timestamp};

const MAGIC_FIRST: &[u8] = b"kluis ring v1\n";
const MAGIC: &[u8] = b"kluis ring v2\n";
/// Magic, mark and key.
const BYTES_MAX: usize = 14 + 4 + 8 + 32;

/// The how-manieth root identity a ring is encrypted to, and since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootMark {
    /// From 1 on.
    pub version: u32,
    /// Nothing is written down of the first.
    pub since: Option<Timestamp>,
}

impl RootMark {
    /// The root that a ring is made with.
    pub(super) const FIRST: Self = Self {
        version: 1,
        since: None,
    };

    /// The root that comes after this one.
    pub(super) const fn next(self, at: Timestamp) -> Self {
        Self {
            version: self.version.saturating_add(1),
            since: Some(at),
        }
    }
}

/// The plaintext of the file.
pub(super) fn plain(ring: &Secret<32>, mark: RootMark) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
    if let Some(since) = mark.since {
        plain.extend_from_slice(MAGIC);
        plain.extend_from_slice(&mark.version.to_be_bytes());
        plain.extend_from_slice(&since.millis().to_be_bytes());
    } else {
        plain.extend_from_slice(MAGIC_FIRST);
    }
    plain.extend_from_slice(ring.expose());
    plain
}

/// Reads it, strictly: one spelling of each.
pub(super) fn parse(plain: &[u8]) -> Option<(Secret<32>, RootMark)> {
    let (mark, key) = if let Some(key) = plain.strip_prefix(MAGIC_FIRST) {
        (RootMark::FIRST, key)
    } else {
        let rest = plain.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_first_chunk()?;
        let (since, key) = rest.split_first_chunk()?;
        let version = u32::from_be_bytes(*version);
        let since = Some(Timestamp::from_millis(u64::from_be_bytes(*since)));
        (RootMark { version, since }, key)
    };
    let known = mark.version > 1 || mark.since.is_none();
    let key: &[u8; 32] = key.try_into().ok().filter(|_| known)?;
    let key = Secret::fill_with(|out| {
        *out = *key;
        Ok::<(), std::convert::Infallible>(())
    });
    Some((key.ok()?, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret<32> {
        Secret::fill_with(|out| {
            *out = [7; 32];
            Ok::<(), std::convert::Infallible>(())
        })
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let second = RootMark::FIRST.next(Timestamp::from_millis(1_800_000_000_000));
        assert_eq!(
            (
                second.version,
                second.next(Timestamp::from_millis(1)).version
            ),
            (2, 3)
        );
        for mark in [RootMark::FIRST, second] {
            let written = plain(&secret(), mark);
            assert!(written.len() <= BYTES_MAX);
            let (key, read) = parse(&written).unwrap();
            assert_eq!((key.expose(), read), (&[7; 32], mark));
            for cut in 0..written.len() {
                assert!(parse(&written[..cut]).is_none(), "cut at {cut}");
            }
            assert!(parse(&[&written[..], b"x"].concat()).is_none());
        }
        // The first root has one spelling.
        for version in [0_u32, 1] {
            let mark = RootMark { version, ..second };
            assert!(parse(&plain(&secret(), mark)).is_none(), "{version}");
        }
    }
}
