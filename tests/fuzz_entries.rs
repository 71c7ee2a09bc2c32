//! The fuzz entries of `fuzz/`, on every run of the tests: with random bytes, and with valid bytes
//! that were cut, bent and joined.

#[path = "../fuzz/entries.rs"]
mod entries;

use bytes::BytesMut;
use kluis::types::{BlobId, DatasetId, ETag, ObjectKey, Timestamp, VersionId};
use kluis::{catalog, ledger, policy, seal, vault};
use proptest::prelude::*;

const ENTRIES: [fn(&[u8]); 9] = [
    entries::blob,
    entries::seal_decoders,
    entries::part_table,
    entries::catalog_change,
    entries::record,
    entries::snapshot,
    entries::rules,
    entries::configuration,
    entries::names,
];

/// A blob of `bytes` bytes, sealed under the key that the entries open with.
fn sealed_blob(bytes: usize) -> Vec<u8> {
    let description = seal::Description {
        kind: seal::BlobKind::Object,
        dataset: DatasetId::from_bytes([1; 16]),
        owner: VersionId::from_bytes([2; 16]),
        index: 0,
        plaintext_bytes: u64::try_from(bytes).unwrap(),
        created: Timestamp::from_millis(5),
    };
    let blob = BlobId::from_bytes([3; 16]);
    let suite = seal::Suite::Aes256Gcm;
    let (mut sealer, header) =
        seal::Sealer::new(suite, blob, &entries::data_key(), &description).unwrap();
    let mut out = header.to_vec();
    while let Some(next) = sealer.next_bytes() {
        let mut segment = BytesMut::from(vec![0x5a; next].as_slice());
        sealer.seal(&mut segment).unwrap();
        out.extend_from_slice(&segment);
    }
    out
}

fn sealed_table() -> Vec<u8> {
    let key: ObjectKey = "a/b".parse().unwrap();
    let etag = ETag::of(&VersionId::from_bytes([2; 16]), 1);
    let table = seal::Table::new(Vec::new()).unwrap();
    let binding = entries::binding(&key, &etag, 0);
    seal::seal_table(&entries::dataset_key(), &binding, &table)
        .unwrap()
        .to_vec()
}

fn change() -> Vec<u8> {
    let project = catalog::Mutation::DeleteDataset(DatasetId::from_bytes([4; 16]));
    catalog::codec::encode(&[project]).to_vec()
}

fn record() -> Vec<u8> {
    let mut out = Vec::new();
    let entry = ledger::Entry::Mark {
        time: Timestamp::from_millis(9),
        kind: ledger::MarkKind::Opened,
    };
    ledger::encode(&entry, &mut out).unwrap();
    out
}

fn snapshot() -> Vec<u8> {
    let snapshot = vault::Snapshot {
        number: 1,
        created: Timestamp::from_millis(2),
        changes: vec![(3, change().into())],
    };
    snapshot.encode()
}

/// Bytes that are valid for one of the entries each.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        sealed_blob(1),
        sealed_blob(70_000),
        sealed_table(),
        change(),
        record(),
        snapshot(),
        policy::Policy::builtin().unwrap().text().into(),
        include_bytes!("../deploy/kluis.toml").to_vec(),
        b"icu-sepsis--ecg-2024".to_vec(),
        "adults/0001 é.edf".into(),
    ]
}

/// A seed with a piece cut out, doubled or replaced.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::collection::vec(any::<u8>(), 0..24);
    let at = any::<prop::sample::Index>();
    let seeds = prop::sample::select(seeds());
    (seeds, at, 0..40_usize, piece).prop_map(|(mut bytes, at, cut, piece)| {
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, piece);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        for entry in ENTRIES {
            entry(&data);
        }
    }

    #[test]
    fn bent_bytes_do_no_harm(data in bent()) {
        for entry in ENTRIES {
            entry(&data);
        }
    }
}

#[test]
fn the_seeds_are_valid() {
    let blob = Some(BlobId::from_bytes([3; 16]));
    for bytes in [1, 70_000] {
        let (_, plain) = seal::open_blob(&entries::data_key(), blob, &sealed_blob(bytes)).unwrap();
        assert_eq!(plain.len(), bytes);
    }
    let key: ObjectKey = "a/b".parse().unwrap();
    let etag = ETag::of(&VersionId::from_bytes([2; 16]), 1);
    let binding = entries::binding(&key, &etag, 0);
    assert!(seal::open_table(&entries::dataset_key(), &binding, &sealed_table()).is_ok());
    assert!(catalog::codec::decode(&change()).is_ok());
    assert!(ledger::decode(&record()).is_ok());
    assert!(vault::Snapshot::decode(&snapshot()).is_some());
    for seed in seeds() {
        for entry in ENTRIES {
            entry(&seed);
        }
    }
}
