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
        Entry::Intent { session: hash, intent: samples::intent(event) },
        Entry::Intent { session: hash, intent: samples::bare_intent(event) },
        Entry::Completion(samples::completion(event)),
        Entry::Whole {
            session: hash,
            intent: samples::intent(event),
            completion: samples::completion(event),
        },
        Entry::Mark { time: Timestamp::from_millis(24), kind: MarkKind::Opened },
        Entry::Policy { version: [1; 32], text: "p, reader, object.read, allow\n".into() },
        Entry::Open(vec![samples::event(1), samples::event(2)]),
        Entry::Open(Vec::new()),
    ]
}

/// `tests/vectors` would be read by other implementations; this is the frozen copy.
const GOLDEN: &str = include_str!("codec_vectors.txt");

#[test]
fn golden_vectors_are_frozen() {
    let now: String =
        every_kind().iter().map(|entry| HEXLOWER.encode(&bytes(entry)) + "\n").collect();
    #[expect(clippy::disallowed_methods, reason = "the one switch that renews golden files")]
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

#[test]
fn malformed_bytes_are_refused_by_their_fault() {
    let event = "50".to_owned() + &"07".repeat(16);
    let hash = "5820".to_owned() + &"aa".repeat(32);
    let intent = |rest: &str, keys: u8| {
        format!("830102{:02x}00{hash}01{event}0200{rest}", 0xa0 | keys)
    };
    let done = |rest: &str, keys: u8| format!("830103{:02x}00{event}{rest}", 0xa0 | keys);
    let cases: &[(&str, String, CodecError)] = &[
        ("nothing", String::new(), CodecError::Short),
        ("a map at the top", "a0".into(), CodecError::Type),
        ("two items", "820105".into(), CodecError::Value),
        ("four items", "84010500".into(), CodecError::TooLong),
        ("version 0", "830005a200000100".into(), CodecError::Version),
        ("version 2", "830205a200000100".into(), CodecError::Version),
        ("kind 0", "830100a0".into(), CodecError::Unknown),
        ("kind 8", "830108a0".into(), CodecError::Unknown),
        ("a long version", "83180105a200000100".into(), CodecError::Canonical),
        ("a time in two bytes", "830105a2001700".into(), CodecError::Canonical),
        ("23 in two bytes", "830105a20018170100".into(), CodecError::Canonical),
        ("255 in three bytes", "830105a2001900ff0100".into(), CodecError::Canonical),
        ("65535 in five bytes", "830105a2001a0000ffff0100".into(), CodecError::Canonical),
        ("2^32-1 in nine", "830105a2001b00000000ffffffff0100".into(), CodecError::Canonical),
        ("an indefinite map", "830105bf00000100ff".into(), CodecError::Canonical),
        ("an indefinite array", "9f0105a200000100ff".into(), CodecError::Canonical),
        ("a negative time", "830105a200200100".into(), CodecError::Type),
        ("a tagged time", "830105a200c1000100".into(), CodecError::Type),
        ("a float time", "830105a200f900000100".into(), CodecError::Type),
        ("a null time", "830105a200f60100".into(), CodecError::Type),
        ("keys reversed", "830105a201000000".into(), CodecError::Missing),
        ("a key twice", "830105a200000000".into(), CodecError::Canonical),
        ("an unknown key", "830105a3000001000200".into(), CodecError::Unknown),
        ("a key too few", "830105a10000".into(), CodecError::Missing),
        ("a text key", "830105a2613000".into(), CodecError::Type),
        ("mark 4", "830105a200000104".into(), CodecError::Value),
        ("25 keys", "830105b819".into(), CodecError::TooLong),
        ("a short version", "830106a2004101".into(), CodecError::Value),
        ("open events reversed", format!("83010782{}{}", ev(2), ev(1)), CodecError::Canonical),
        ("an open event twice", format!("83010782{}{}", ev(1), ev(1)), CodecError::Canonical),
        ("513 open events", "830107990201".into(), CodecError::TooLong),
        ("an unknown action", intent("0361780461610500", 6), CodecError::Value),
        ("an action in capitals", intent("036b4f424a4543542e524541440461610500", 6), CodecError::Value),
        ("bad utf-8", intent("0461ff0500", 5), CodecError::Utf8),
        ("an overlong utf-8", intent("0462c0800500", 5), CodecError::Utf8),
        ("an operation of 2049", intent("04790801", 5), CodecError::TooLong),
        ("an operation of 2^64-1", intent("047bffffffffffffffff", 5), CodecError::TooLong),
        ("nature 3", intent("0461610503", 5), CodecError::Value),
        ("an empty object", intent("046161050006a0", 6), CodecError::Canonical),
        ("a project in capitals", intent("046161050006a1006141", 6), CodecError::Value),
        ("a key of dots", intent("046161050006a102622e2e", 6), CodecError::Value),
        ("a short object version", intent("046161050006a10340", 6), CodecError::Value),
        ("an empty range", intent("0461610500088201 01".replace(' ', "").as_str(), 6), CodecError::Value),
        ("a reversed range", intent("04616105000882 0201".replace(' ', "").as_str(), 6), CodecError::Value),
        ("a range of three", intent("0461610500088301", 6), CodecError::TooLong),
        ("allowed as 1", intent("04616105000aa30001", 6), CodecError::Type),
        ("allowed as null", intent("04616105000aa300f6", 6), CodecError::Type),
        ("true in two bytes", intent("04616105000aa300f815", 6), CodecError::Type),
        ("outcome 5", done("01000205", 6), CodecError::Value),
        ("a status of 65536", done("01000200031a0001000004600500", 6), CodecError::Value),
        ("a reason of 513", done("0100020003000479 0201".replace(' ', "").as_str(), 6), CodecError::TooLong),
        ("a session without auth", "830101a3046005600660".into(), CodecError::Missing),
        ("a principal of spaces", "830101a5006120".into(), CodecError::Value),
        ("a short access key", "830101a5026141".into(), CodecError::Value),
    ];
    for (name, hex, fault) in cases {
        let raw = HEXLOWER.decode(hex.as_bytes()).unwrap();
        assert_eq!(decode(&raw), Err(*fault), "{name}");
    }
}

fn ev(n: u8) -> String {
    HEXLOWER.encode(&[&[0x50], &[n; 16][..]].concat())
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
        let entry = Entry::Intent { session: [0; 32], intent: intent.clone() };
        assert_eq!(encode(&entry, &mut Vec::new()), result, "{len}");
    }
    let mut completion = samples::completion(samples::event(1));
    completion.reason = "r".repeat(RECORD_REASON_BYTES_MAX + 1);
    let entry = Entry::Completion(completion);
    assert_eq!(encode(&entry, &mut Vec::new()), Err(CodecError::TooLong));
    let text = "p".repeat(POLICY_TEXT_BYTES_MAX + 1);
    let entry = Entry::Policy { version: [0; 32], text };
    assert_eq!(encode(&entry, &mut Vec::new()), Err(CodecError::TooLong));
}

#[test]
fn a_record_with_the_longest_texts_is_within_the_bound() {
    let long = || "x".repeat(RECORD_TEXT_BYTES_MAX);
    let mut intent = samples::intent(samples::event(1));
    let key: crate::types::ObjectKey = "k".repeat(OBJECT_KEY_BYTES_MAX).parse().unwrap();
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
    let entry = Entry::Whole { session: [0; 32], intent, completion };
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
