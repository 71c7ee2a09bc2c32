//! Properties of sealing: what goes in comes out, by any range; nothing altered opens; no nonce
//! comes twice under a key; and the specification's sentences stand where they are obeyed.

use std::collections::HashSet;
use std::fmt::{Debug, Display};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use static_assertions::assert_not_impl_any;

use super::testing::{Draws, Dry};
use super::*;
use crate::types::limits::SEGMENT_BYTES;
use crate::types::{BlobId, ByteRange, DatasetId, Entropy as _, Timestamp, VersionId};

assert_not_impl_any!(DataKey: Debug, Display, Clone, serde::Serialize);
assert_not_impl_any!(DatasetKey: Debug, Display, Clone, serde::Serialize);
assert_not_impl_any!(Extent: Debug, Display, Clone, serde::Serialize);
assert_not_impl_any!(Table: Debug, Display, Clone, serde::Serialize);
assert_not_impl_any!(Sealer: Debug, Display, Clone);
assert_not_impl_any!(Opener: Debug, Display, Clone);

const ID: BlobId = BlobId::from_bytes([5; 16]);

fn description(plaintext_bytes: u64) -> Description {
    Description {
        kind: BlobKind::Object,
        dataset: DatasetId::from_bytes([1; 16]),
        owner: VersionId::from_bytes([2; 16]),
        index: 3,
        plaintext_bytes,
        created: Timestamp::from_millis(4),
    }
}

fn plaintext(bytes: usize) -> Vec<u8> {
    let mut plain = vec![0; bytes];
    Draws::new(99).fill(&mut plain).unwrap();
    plain
}

fn seal_whole(suite: Suite, key: &DataKey, plain: &[u8]) -> Vec<u8> {
    let what = description(u64::try_from(plain.len()).unwrap());
    let (mut writer, header) = Sealer::new(suite, ID, key, &what).unwrap();
    let mut sealed = header.to_vec();
    for chunk in plain.chunks(SEGMENT_BYTES) {
        assert_eq!(writer.next_bytes(), Some(chunk.len()));
        let mut segment = BytesMut::with_capacity(chunk.len() + TAG_BYTES);
        segment.extend_from_slice(chunk);
        let at = segment.as_ptr();
        writer.seal(&mut segment).unwrap();
        assert_eq!(segment.as_ptr(), at, "sealed in place");
        sealed.extend_from_slice(&segment);
    }
    assert!(writer.finished());
    sealed
}

fn key() -> DataKey {
    DataKey::random(&Draws::new(1)).unwrap()
}

/// Opens a range as the vault does: fetch what the layout says, check the header if it comes.
fn open_range(suite: Suite, sealed: &[u8], plain: u64, range: ByteRange) -> Vec<u8> {
    let at = layout::sealed_range(plain, range).unwrap();
    let bounds = usize::try_from(at.sealed.start).unwrap()..usize::try_from(at.sealed.end).unwrap();
    let mut fetched = Bytes::copy_from_slice(&sealed[bounds]);
    let mut opener = Opener::new(suite, ID, &key(), plain, at.first_segment).unwrap();
    if at.includes_header {
        let header = fetched.split_to(HEADER_BYTES);
        let origin = Origin {
            owner: VersionId::from_bytes([2; 16]),
            index: 3,
        };
        let found = opener.check_header(&header, Some(origin)).unwrap();
        assert_eq!(found, description(plain));
    }
    let mut out = Vec::new();
    while !fetched.is_empty() {
        let mut segment = BytesMut::from(fetched.split_to(opener.next_sealed_bytes().unwrap()));
        opener.open(&mut segment).unwrap();
        out.extend_from_slice(&segment);
    }
    out.drain(..at.skip);
    out.truncate(usize::try_from(at.take).unwrap());
    out
}

fn suites() -> impl Strategy<Value = Suite> {
    prop_oneof![Just(Suite::Aes256Gcm), Just(Suite::ChaCha20Poly1305)]
}

/// Lengths at and around the segments' edges, and any other.
fn lengths() -> impl Strategy<Value = usize> {
    let edge = (0usize..4, -2isize..3)
        .prop_map(|(n, d)| (n * SEGMENT_BYTES).saturating_add_signed(d).max(1));
    prop_oneof![edge, 1usize..300_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_range_of_any_blob_comes_out(
        suite in suites(), bytes in lengths(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
    ) {
        let plain = plaintext(bytes);
        let sealed = seal_whole(suite, &key(), &plain);
        let length = u64::try_from(bytes).unwrap();
        prop_assert_eq!(u64::try_from(sealed.len()).unwrap(), layout::sealed_bytes(length));
        let (_, whole) = open_blob(&key(), Some(ID), &sealed).unwrap();
        prop_assert_eq!(&whole[..], &plain[..]);
        let (a, b) = (a.index(bytes), b.index(bytes));
        let (start, end) = (a.min(b), a.max(b) + 1);
        let range = ByteRange::new(u64::try_from(start).unwrap(), u64::try_from(end).unwrap());
        let found = open_range(suite, &sealed, length, range.unwrap());
        prop_assert_eq!(&found[..], &plain[start..end]);
    }

    #[test]
    fn no_changed_bit_opens(suite in suites(), bytes in lengths(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut sealed = seal_whole(suite, &key(), &plaintext(bytes));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(open_blob(&key(), Some(ID), &sealed), Err(OpenError::NotAuthentic));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(open_blob(&key(), None, &bytes), Err(OpenError::NotAuthentic));
    }
}

#[test]
fn every_changed_bit_of_a_small_blob_is_refused() {
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        let good = seal_whole(suite, &key(), b"x");
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let opened = open_blob(&key(), None, &bad);
                assert_eq!(opened, Err(OpenError::NotAuthentic), "{at} {bit}");
            }
        }
    }
}

#[test]
fn no_nonce_comes_twice_in_a_blob() {
    let mut seen = HashSet::new();
    for counter in 0..5 {
        assert!(seen.insert(stream::nonce(counter, false)));
        assert!(seen.insert(stream::nonce(counter, true)));
    }
    assert_eq!(stream::nonce(1, true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(stream::nonce(1 << 40, false)[..7], [0, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn equal_segments_differ_in_place_and_blob() {
    let plain = vec![0; 3 * SEGMENT_BYTES];
    let a = seal_whole(Suite::Aes256Gcm, &key(), &plain);
    let b = {
        let other = DataKey::random(&Draws::new(2)).unwrap();
        seal_whole(Suite::Aes256Gcm, &other, &plain)
    };
    let mut seen = HashSet::new();
    for blob in [&a, &b] {
        for segment in blob[HEADER_BYTES..].chunks(SEGMENT_BYTES + TAG_BYTES) {
            assert!(seen.insert(segment.to_vec()));
        }
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_sealer_takes_each_segment_once_and_at_its_length() {
    let what = description(65_537);
    let (mut sealer, _) = Sealer::new(Suite::Aes256Gcm, ID, &key(), &what).unwrap();
    for wrong in [0, 1, 65_535, 65_537] {
        let mut segment = BytesMut::from(&vec![7; wrong][..]);
        assert_eq!(sealer.seal(&mut segment), Err(SealError::Length));
        assert_eq!(segment.len(), wrong);
    }
    sealer.seal(&mut BytesMut::zeroed(65_536)).unwrap();
    assert!(!sealer.finished());
    let long = sealer.seal(&mut BytesMut::zeroed(2));
    assert_eq!(long, Err(SealError::Length));
    sealer.seal(&mut BytesMut::zeroed(1)).unwrap();
    assert!(sealer.finished());
    let more = sealer.seal(&mut BytesMut::zeroed(1));
    assert_eq!(more, Err(SealError::Finished));
}

#[test]
fn lengths_that_are_no_blob_are_not_begun() {
    for bytes in [0, layout::PLAINTEXT_BYTES_MAX + 1, u64::MAX] {
        let sealer = Sealer::new(Suite::Aes256Gcm, ID, &key(), &description(bytes));
        assert!(matches!(sealer, Err(SealError::Length)));
        let opener = Opener::new(Suite::Aes256Gcm, ID, &key(), bytes, 0);
        assert!(matches!(opener, Err(OpenError::OutOfTurn)));
    }
    let beyond = Opener::new(Suite::Aes256Gcm, ID, &key(), 65_536, 1);
    assert!(matches!(beyond, Err(OpenError::OutOfTurn)));
}

#[test]
fn a_refused_segment_leaves_no_byte_and_the_opener_where_it_was() {
    let plain = plaintext(100_000);
    let sealed = seal_whole(Suite::Aes256Gcm, &key(), &plain);
    let first = &sealed[HEADER_BYTES..][..65_552];
    let last = &sealed[HEADER_BYTES + 65_552..];
    let mut opener = Opener::new(Suite::Aes256Gcm, ID, &key(), 100_000, 0).unwrap();
    let mut flipped = first.to_vec();
    flipped[0] ^= 1;
    for bad in [&flipped[..], last, &first[..65_551], &[]] {
        let mut segment = BytesMut::from(bad);
        assert_eq!(opener.open(&mut segment), Err(OpenError::NotAuthentic));
        assert!(segment.is_empty());
    }
    opener.open(&mut BytesMut::from(first)).unwrap();
    assert!(!opener.finished());
    opener.open(&mut BytesMut::from(last)).unwrap();
    assert!(opener.finished());
    let more = opener.open(&mut BytesMut::from(last));
    assert_eq!(more, Err(OpenError::OutOfTurn));
}

#[test]
fn a_header_of_another_origin_length_or_suite_is_refused() {
    let sealed = seal_whole(Suite::Aes256Gcm, &key(), &plaintext(10));
    let header = &sealed[..HEADER_BYTES];
    let precisely = |suite, id, bytes, origin| {
        let opener = Opener::new(suite, id, &key(), bytes, 0).unwrap();
        opener.check_header_precisely(header, origin)
    };
    let origin = |owner, index| {
        Some(Origin {
            owner: VersionId::from_bytes([owner; 16]),
            index,
        })
    };
    let aes = Suite::Aes256Gcm;
    let other = BlobId::from_bytes([6; 16]);
    assert!(precisely(aes, ID, 10, origin(2, 3)).is_ok());
    assert_eq!(precisely(aes, ID, 10, origin(1, 3)), Err(Refusal::Origin));
    assert_eq!(precisely(aes, ID, 10, origin(2, 0)), Err(Refusal::Origin));
    assert_eq!(precisely(aes, ID, 11, None), Err(Refusal::Origin));
    assert_eq!(precisely(aes, other, 10, None), Err(Refusal::BlobId));
    let chacha = precisely(Suite::ChaCha20Poly1305, ID, 10, None);
    assert_eq!(chacha, Err(Refusal::Suite));
}

#[test]
fn without_randomness_there_is_no_key() {
    assert!(matches!(DataKey::random(&Dry), Err(SealError::Entropy(_))));
}

/// Each `//#` line of the sources is a sentence of the specification, and each sentence there that
/// says MUST is quoted where it is obeyed.
#[test]
fn the_specification_is_quoted_where_it_is_obeyed() {
    let spec = include_str!("FORMAT.md");
    let sources = [
        include_str!("binding.rs"),
        include_str!("header.rs"),
        include_str!("layout.rs"),
        include_str!("record.rs"),
        include_str!("stream.rs"),
        include_str!("suite.rs"),
        include_str!("table/mod.rs"),
    ];
    let quoted: HashSet<&str> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.trim().strip_prefix("//# "))
        .collect();
    for sentence in &quoted {
        assert!(spec.contains(sentence), "not in FORMAT.md: {sentence}");
    }
    let rule = |line: &&str| line.contains("MUST") && !line.contains("RFC 2119");
    for rule in spec.lines().filter(rule) {
        let found = quoted.iter().any(|sentence| rule.contains(sentence));
        assert!(found, "nobody obeys: {rule}");
    }
}
