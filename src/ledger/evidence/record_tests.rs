//! The proof of one record holds for that record, and for nothing else.

use super::tests::{signer, trust};
use super::{RecordProof, RecordProofError};
use crate::ledger::tlog::{Checkpoint, Growth, LogProof, ProofError, inclusion_proof};
use crate::ledger::{Entry, Scope, ScopeKey, Segment, SegmentTrees, encode, samples, session_hash};
use crate::types::{EventId, Secret, Timestamp};

const RECORDS: u8 = 11;

fn key() -> ScopeKey {
    ScopeKey::new(&Secret::take(&mut [7; 32]))
}

fn icu() -> Scope {
    Scope::Project("icu".parse().unwrap())
}

/// A begin and ten ends, of one project, as the one entry of a segment.
fn rows() -> Vec<Vec<u8>> {
    let session = session_hash(&samples::session()).unwrap();
    let mut intent = samples::intent(EventId::from_bytes([0; 16]));
    intent.object.project = Some("icu".parse().unwrap());
    let entry = |n: u8| match n {
        0 => Entry::Intent {
            session,
            intent: intent.clone(),
        },
        n => Entry::Completion(samples::completion(EventId::from_bytes([n; 16]))),
    };
    let encoded = |n: u8| {
        let mut bytes = Vec::new();
        encode(&entry(n), &mut bytes).unwrap();
        bytes
    };
    (0..RECORDS).map(encoded).collect()
}

/// The log of three such segments, and the proof of record `seq` of the second.
fn proof(seq: u64) -> LogProof {
    let (key, rows, mut growth) = (key(), rows(), Growth::new());
    let mut segments = Vec::new();
    for n in 0..3 {
        let first = n * u64::from(RECORDS);
        let mut trees = SegmentTrees::new(&key, "gateway", first);
        for (seq, row) in (first..).zip(&rows) {
            trees.push(&icu(), seq, row);
        }
        let segment = Segment {
            lane: "gateway".into(),
            first,
            count: u64::from(RECORDS),
            time: Timestamp::from_millis(1_800_000_000_000),
            scopes: trees.roots(),
            lost: false,
        };
        growth.push(segment.encode().unwrap()).unwrap();
        segments.push(segment);
    }
    let checkpoint = Checkpoint::new("vault.example/log".into(), growth.size(), growth.root());
    let rows: Vec<(u64, &[u8])> = (u64::from(RECORDS)..)
        .zip(rows.iter().map(Vec::as_slice))
        .collect();
    let session = (seq == u64::from(RECORDS)).then(samples::session);
    let tag = key.tag(&icu());
    let found = RecordProof::of(&key, (&segments[1], &tag), &rows, seq, session.as_ref());
    let files = growth.files().unwrap();
    let level: Vec<_> = segments
        .iter()
        .map(|segment| crate::ledger::leaf_hash(&segment.encode().unwrap()))
        .collect();
    assert!(!files.is_empty());
    let node = |node: crate::ledger::tlog::Node| -> Result<_, ProofError> {
        assert!(node.level <= 1);
        let first = usize::try_from(node.index).unwrap() << node.level;
        let part = &level[first..first + (1 << node.level)];
        Ok(part
            .iter()
            .copied()
            .collect::<crate::ledger::tlog::Edge>()
            .root())
    };
    LogProof {
        extra: Some(found.unwrap().encode()),
        index: 1,
        proof: inclusion_proof(1, 3, node).unwrap(),
        note: checkpoint.sign(&signer(1)).unwrap(),
    }
}

fn refused(proof: &LogProof) -> RecordProofError {
    let refused = RecordProof::verify(proof.to_string().as_bytes(), &trust());
    refused.err().unwrap()
}

#[test]
fn each_record_is_proved_by_itself() {
    for seq in u64::from(RECORDS)..2 * u64::from(RECORDS) {
        let proof = proof(seq);
        let proven = RecordProof::verify(proof.to_string().as_bytes(), &trust()).unwrap();
        assert_eq!((proven.index, proven.seq), (1, seq));
        assert_eq!(proven.session.is_some(), seq == u64::from(RECORDS));
        assert_eq!(proven.judged.checkpoint.size, 3);
        let mut bytes = Vec::new();
        encode(&proven.entry, &mut bytes).unwrap();
        let at = usize::try_from(seq).unwrap() - usize::from(RECORDS);
        assert_eq!(bytes, rows()[at]);
    }
}

#[test]
fn no_byte_of_it_can_be_another() {
    let honest = proof(u64::from(RECORDS));
    let extra = honest.extra.clone().unwrap();
    for at in 0..extra.len() {
        let mut bent = honest.clone();
        bent.extra.as_mut().unwrap()[at] ^= 1;
        assert!(!refused(&bent).to_string().is_empty(), "{at}");
    }
    for len in 0..extra.len() {
        let mut cut = honest.clone();
        cut.extra.as_mut().unwrap().truncate(len);
        assert!(
            matches!(refused(&cut), RecordProofError::Malformed),
            "{len}"
        );
    }
    let mut longer = honest;
    longer.extra.as_mut().unwrap().push(0);
    assert!(matches!(refused(&longer), RecordProofError::Malformed));
}

#[test]
fn another_place_another_log_and_another_scope_are_refused() {
    let honest = proof(u64::from(RECORDS) + 1);
    let mut moved = honest.clone();
    moved.index = 0;
    assert!(matches!(refused(&moved), RecordProofError::Proof(_)));
    let mut bare = honest.clone();
    bare.extra = None;
    assert!(matches!(refused(&bare), RecordProofError::Malformed));
    let mut longer = honest.clone();
    longer.proof.push([0; 32]);
    assert!(matches!(refused(&longer), RecordProofError::Proof(_)));
    let text = honest.to_string();
    let other = crate::ledger::tlog::TrustPolicy::log(signer(2).public().clone());
    let refused = RecordProof::verify(text.as_bytes(), &other).err().unwrap();
    assert!(matches!(refused, RecordProofError::Trust(_)));
}

#[test]
fn rows_that_are_not_what_the_log_says_prove_nothing() {
    let (key, rows) = (key(), rows());
    let tag = key.tag(&icu());
    let mut trees = SegmentTrees::new(&key, "gateway", 0);
    for (seq, row) in (0..).zip(&rows) {
        trees.push(&icu(), seq, row);
    }
    let segment = Segment {
        lane: "gateway".into(),
        first: 0,
        count: u64::from(RECORDS),
        time: Timestamp::from_millis(1),
        scopes: trees.roots(),
        lost: false,
    };
    let all: Vec<(u64, &[u8])> = (0..).zip(rows.iter().map(Vec::as_slice)).collect();
    let of =
        |rows: &[(u64, &[u8])], tag, seq| RecordProof::of(&key, (&segment, tag), rows, seq, None);
    assert!(of(&all, &tag, 3).is_some());
    assert!(of(&all, &tag, 99).is_none());
    assert!(of(&all, &[9; 16], 3).is_none());
    assert!(of(&all[1..], &tag, 3).is_none());
    let mut swapped = all.clone();
    swapped.swap(1, 2);
    assert!(of(&swapped, &tag, 3).is_none());
}
