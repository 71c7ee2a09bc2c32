//! Tests of the encoding: frozen vectors, what must be refused, and the round trip.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::ledger::samples;

fn bytes(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    encode(entry, &mut out).unwrap();
    out
}

fn every_kind() -> Vec<Entry> {
    let hash = [0xaa; 32];
    let event = samples::event(7);
    vec![
        Entry::Session(samples::session()),
        Entry::Session(samples::stranger()),
        Entry::Intent {
            session: hash,
            intent: samples::intent(event),
        },
        Entry::Intent {
            session: hash,
            intent: samples::bare_intent(event),
        },
        Entry::Completion(samples::completion(event)),
        Entry::Whole {
            session: hash,
            intent: samples::intent(event),
            completion: samples::completion(event),
        },
        Entry::Mark {
            time: Timestamp::from_millis(24),
            kind: MarkKind::Opened,
        },
        Entry::Policy {
            version: [1; 32],
            text: "p, reader, object.read, allow\n".into(),
        },
        Entry::Open(vec![samples::event(1), samples::event(2)]),
        Entry::Open(Vec::new()),
    ]
}

/// One a line: the bytes of each of `every_kind`.
const GOLDEN: &str = include_str!("codec_vectors.txt");

#[test]
fn golden_vectors_are_frozen() {
    let now: String = every_kind()
        .iter()
        .map(|entry| HEXLOWER.encode(&bytes(entry)) + "\n")
        .collect();
    #[expect(
        clippy::disallowed_methods,
        reason = "the one switch that renews golden files"
    )]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ledger/codec_vectors.txt");
        std::fs::write(path, &now).unwrap();
        return;
    }
    assert_eq!(now, GOLDEN);
}

#[test]
fn every_kind_round_trips() {
    for entry in every_kind() {
        assert_eq!(decode(&bytes(&entry)).unwrap(), entry);
    }
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    for entry in every_kind() {
        let whole = bytes(&entry);
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "{entry:?} cut at {end}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(decode(&longer), Err(CodecError::Trailing), "{entry:?}");
    }
}

#[test]
fn every_changed_byte_is_refused_or_another_record() {
    for entry in every_kind() {
        let whole = bytes(&entry);
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                if let Ok(other) = decode(&changed) {
                    assert_ne!(other, entry, "byte {at}");
                    assert_eq!(bytes(&other), changed, "byte {at}");
                }
            }
        }
    }
}

/// One a line: the fault, what is wrong, the bytes.
const INVALID: &str = include_str!("codec_invalid.txt");

#[test]
fn malformed_bytes_are_refused_by_their_fault() {
    assert!(INVALID.lines().count() > 50);
    for line in INVALID.lines() {
        let (fault, rest) = line.split_once(": ").unwrap();
        let (_, hex) = rest.split_once(": ").unwrap();
        let raw = HEXLOWER.decode(hex.as_bytes()).unwrap();
        let refused = decode(&raw).unwrap_err();
        assert_eq!(format!("{refused:?}"), fault, "{line}");
    }
}

#[test]
fn intent_and_completion_of_one_record_are_of_one_event() {
    let entry = Entry::Whole {
        session: [0; 32],
        intent: samples::intent(samples::event(1)),
        completion: samples::completion(samples::event(2)),
    };
    let mut out = vec![9];
    assert_eq!(encode(&entry, &mut out), Err(CodecError::Event));
    assert_eq!(out, [9], "a refused record leaves nothing behind");

    let mut whole = bytes(&Entry::Whole {
        session: [0; 32],
        intent: samples::bare_intent(samples::event(0x77)),
        completion: samples::completion(samples::event(0x77)),
    });
    let last = whole.windows(16).rposition(|w| w == [0x77; 16]).unwrap();
    whole[last] = 0x78;
    assert_eq!(decode(&whole), Err(CodecError::Event));
}

#[test]
fn texts_are_bounded_when_written() {
    let mut intent = samples::bare_intent(samples::event(1));
    for (len, result) in [
        (RECORD_TEXT_BYTES_MAX, Ok(())),
        (RECORD_TEXT_BYTES_MAX + 1, Err(CodecError::TooLong)),
    ] {
        intent.query = Some("q".repeat(len));
        let entry = Entry::Intent {
            session: [0; 32],
            intent: intent.clone(),
        };
        assert_eq!(encode(&entry, &mut Vec::new()), result, "{len}");
    }
    let mut completion = samples::completion(samples::event(1));
    completion.reason = "r".repeat(RECORD_REASON_BYTES_MAX + 1);
    let entry = Entry::Completion(completion);
    assert_eq!(encode(&entry, &mut Vec::new()), Err(CodecError::TooLong));
    let text = "p".repeat(POLICY_TEXT_BYTES_MAX + 1);
    let entry = Entry::Policy {
        version: [0; 32],
        text,
    };
    assert_eq!(encode(&entry, &mut Vec::new()), Err(CodecError::TooLong));
}

#[test]
fn a_record_with_the_longest_texts_is_within_the_bound() {
    let long = || "x".repeat(RECORD_TEXT_BYTES_MAX);
    let mut intent = samples::intent(samples::event(1));
    let key: ObjectKey = "k".repeat(OBJECT_KEY_BYTES_MAX).parse().unwrap();
    intent.operation = long();
    intent.query = Some(long());
    intent.object.key = Some(key);
    intent.source_object = Some(intent.object.clone());
    let policy = intent.policy.as_mut().unwrap();
    policy.rule = long();
    policy.purpose = Some(long());
    policy.permit = Some(long());
    let mut completion = samples::completion(samples::event(1));
    completion.reason = "r".repeat(RECORD_REASON_BYTES_MAX);
    let entry = Entry::Whole {
        session: [0; 32],
        intent,
        completion,
    };
    assert!(bytes(&entry).len() <= RECORD_BYTES_MAX);
}

#[test]
fn clipping_ends_between_characters() {
    assert_eq!(clip("abc", 8), "abc");
    assert_eq!(clip("abc", 2), "ab");
    assert_eq!(clip("a€b", 2), "a");
    assert_eq!(clip("€", 0), "");
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(entry) = decode(&raw) {
            prop_assert_eq!(bytes(&entry), raw);
        }
    }

    #[test]
    fn whatever_decodes_behind_a_good_head_encodes_to_the_same(
        kind in 1u8..8,
        raw in proptest::collection::vec(any::<u8>(), 0..128),
    ) {
        let raw = [&[0x83, 0x01, kind], &raw[..]].concat();
        if let Ok(entry) = decode(&raw) {
            prop_assert_eq!(bytes(&entry), raw);
        }
    }

    #[test]
    fn records_round_trip(
        time: u64, status: u16, sent: u64, size: Option<u64>,
        reason in "\\PC{0,40}", query in proptest::option::of("\\PC{0,40}"),
        start in 0u64..u64::MAX, allowed: bool,
    ) {
        let event = samples::event(3);
        let mut intent = samples::intent(event);
        intent.time = Timestamp::from_millis(time);
        intent.query = query;
        intent.range = ByteRange::new(start, u64::MAX);
        intent.policy.as_mut().unwrap().allowed = allowed;
        let mut completion = samples::completion(event);
        completion.status = status;
        completion.bytes = sent;
        completion.object_bytes = size;
        completion.reason = clip(&reason, RECORD_REASON_BYTES_MAX).to_owned();
        let entry = Entry::Whole { session: [5; 32], intent, completion };
        prop_assert_eq!(decode(&bytes(&entry)).unwrap(), entry);
    }
}
