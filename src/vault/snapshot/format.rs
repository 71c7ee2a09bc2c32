//! What a snapshot is, behind its seal.
//!
//! ```text
//! version 1: "KLUISsn1" ‖ number (8) ‖ created ms (8) ‖ changes
//! version 2: "KLUISsn2" ‖ number (8) ‖ created ms (8) ‖ lineage (32) ‖ previous (32)
//!            ‖ doubted (1) ‖ kind (1) ‖ body
//! kind 0, changes: count (4) ‖ count × (commit (8) ‖ length (4) ‖ mutations)
//! kind 1, a page of a base: first (8) ‖ page (4) ‖ commit (8) ‖ last (1) ‖ mutations
//! kind 2, a pointer to a base: first (8)
//! ```
//!
//! Integers are big-endian; the mutations of a page reach to the end. Version 1 is read for ever
//! and written no more.

use bytes::{BufMut as _, Bytes};

use crate::types::Timestamp;

/// What one snapshot holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number, from 0.
    pub number: u64,
    /// When it was made.
    pub created: Timestamp,
    /// What binds it to the one before; `None` for version 1, which had nothing of the kind.
    pub back: Option<Back>,
    /// What it holds.
    pub body: Body,
}

/// What binds a snapshot to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Back {
    /// Which catalog wrote it: drawn at a founding, a recovery, an adoption.
    pub lineage: [u8; 32],
    /// SHA-256 of the sealed bytes of the one before; zeros before the first.
    pub previous: [u8; 32],
    /// Whether the catalog was in doubt, so that one that is recovered from here is, too.
    pub doubted: bool,
}

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Commit number and encoded mutations of each commit, in order. None of them: somebody took
    /// the vault over here.
    Changes(Vec<(u64, Bytes)>),
    /// A part of the whole catalog.
    Page {
        /// The number of the first page.
        first: u64,
        /// Which page this is, from 0.
        page: u32,
        /// The last commit that the whole shows.
        seq: u64,
        /// Whether the whole ends here.
        last: bool,
        /// Encoded mutations.
        mutations: Bytes,
    },
    /// Where a base begins.
    Pointer {
        /// The number of its first page.
        first: u64,
    },
}

const MAGIC_1: &[u8; 8] = b"KLUISsn1";
const MAGIC_2: &[u8; 8] = b"KLUISsn2";

impl Snapshot {
    /// The one encoding of a snapshot.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_slice(if self.back.is_some() {
            MAGIC_2
        } else {
            MAGIC_1
        });
        out.put_u64(self.number);
        out.put_u64(self.created.millis());
        if let Some(back) = &self.back {
            out.put_slice(&back.lineage);
            out.put_slice(&back.previous);
            out.put_u8(u8::from(back.doubted));
        }
        let kinds = self.back.is_some();
        let kind = |out: &mut Vec<u8>, kind| {
            if kinds {
                out.put_u8(kind);
            }
        };
        match &self.body {
            Body::Changes(changes) => {
                kind(&mut out, 0);
                out.put_u32(u32::try_from(changes.len()).unwrap_or(u32::MAX));
                for (seq, change) in changes {
                    out.put_u64(*seq);
                    out.put_u32(u32::try_from(change.len()).unwrap_or(u32::MAX));
                    out.put_slice(change);
                }
            }
            Body::Page {
                first,
                page,
                seq,
                last,
                mutations,
            } => {
                kind(&mut out, 1);
                out.put_u64(*first);
                out.put_u32(*page);
                out.put_u64(*seq);
                out.put_u8(u8::from(*last));
                out.put_slice(mutations);
            }
            Body::Pointer { first } => {
                kind(&mut out, 2);
                out.put_u64(*first);
            }
        }
        out
    }

    /// Reads exactly what [`Self::encode`] writes; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (created, rest) = rest.split_first_chunk()?;
        let (back, body) = match magic {
            MAGIC_1 => (None, read_changes(rest)?),
            MAGIC_2 => {
                let (lineage, rest) = rest.split_first_chunk()?;
                let (previous, rest) = rest.split_first_chunk()?;
                let (doubted, rest) = rest.split_first()?;
                let (kind, rest) = rest.split_first()?;
                let back = Back {
                    lineage: *lineage,
                    previous: *previous,
                    doubted: read_mark(*doubted)?,
                };
                let body = match kind {
                    0 => read_changes(rest)?,
                    1 => read_page(rest)?,
                    2 => Body::Pointer {
                        first: u64::from_be_bytes(rest.try_into().ok()?),
                    },
                    _ => return None,
                };
                (Some(back), body)
            }
            _ => return None,
        };
        Some(Self {
            number: u64::from_be_bytes(*number),
            created: Timestamp::from_millis(u64::from_be_bytes(*created)),
            back,
            body,
        })
    }

    /// The last commit that the snapshots hold with this one, if it says so.
    #[must_use]
    pub fn upto(&self) -> Option<u64> {
        match &self.body {
            Body::Changes(changes) => changes.last().map(|(seq, _)| *seq),
            Body::Page { seq, last, .. } => last.then_some(*seq),
            Body::Pointer { .. } => None,
        }
    }
}

fn read_changes(rest: &[u8]) -> Option<Body> {
    let (count, mut rest) = rest.split_first_chunk()?;
    let mut changes = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (seq, tail) = rest.split_first_chunk()?;
        let (len, tail) = tail.split_first_chunk()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (change, tail) = tail.split_at_checked(len)?;
        changes.push((u64::from_be_bytes(*seq), Bytes::copy_from_slice(change)));
        rest = tail;
    }
    rest.is_empty().then_some(Body::Changes(changes))
}

fn read_page(rest: &[u8]) -> Option<Body> {
    let (first, rest) = rest.split_first_chunk()?;
    let (page, rest) = rest.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (last, mutations) = rest.split_first()?;
    Some(Body::Page {
        first: u64::from_be_bytes(*first),
        page: u32::from_be_bytes(*page),
        seq: u64::from_be_bytes(*seq),
        last: read_mark(*last)?,
        mutations: Bytes::copy_from_slice(mutations),
    })
}

const fn read_mark(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Snapshot> {
        let changes = Body::Changes(vec![(3, Bytes::from_static(b"abc")), (4, Bytes::new())]);
        let back = Some(Back {
            lineage: [5; 32],
            previous: [6; 32],
            doubted: true,
        });
        let page = Body::Page {
            first: 8,
            page: 0,
            seq: 9,
            last: true,
            mutations: Bytes::new(),
        };
        let bodies = [
            (None, changes.clone()),
            (back, changes),
            (back, Body::Changes(Vec::new())),
            (back, Body::Pointer { first: 8 }),
            (back, page),
        ];
        let made = |(back, body)| Snapshot {
            number: 7,
            created: Timestamp::from_millis(9),
            back,
            body,
        };
        bodies.into_iter().map(made).collect()
    }

    #[test]
    fn snapshots_round_trip_and_nothing_else_is_one() {
        for snapshot in samples() {
            let encoded = snapshot.encode();
            for end in 0..encoded.len() {
                assert_eq!(Snapshot::decode(&encoded[..end]), None, "cut at {end}");
            }
            // The mutations of a page reach to the end, whatever that is.
            if !matches!(snapshot.body, Body::Page { .. }) {
                let mut longer = encoded.clone();
                longer.push(0);
                assert_eq!(Snapshot::decode(&longer), None);
            }
            let mut other = encoded.clone();
            other[0] ^= 1;
            assert_eq!(Snapshot::decode(&other), None);
            assert_eq!(Snapshot::decode(&encoded), Some(snapshot));
        }
    }

    #[test]
    fn a_kind_or_a_mark_that_is_none_is_refused() {
        let [.., pointer, page] = &samples()[..] else {
            unreachable!("there are five");
        };
        let mut kind = pointer.encode();
        kind[89] = 3;
        assert_eq!(Snapshot::decode(&kind), None);
        let mut doubted = pointer.encode();
        doubted[88] = 2;
        assert_eq!(Snapshot::decode(&doubted), None);
        let mut last = page.encode();
        *last.last_mut().unwrap() = 2;
        assert_eq!(Snapshot::decode(&last), None);
    }
}
