//! Bytes that are valid for one entry each: what a fuzzer begins with, and what the tests bend.

use bytes::BytesMut;
use kluis::types::{BlobId, DatasetId, ETag, ObjectKey, Timestamp, VersionId};
use kluis::{catalog, ledger, policy, seal, vault};

use super::{binding, data_key, dataset_key, files, request, tokens};

/// A blob of `bytes` bytes, sealed under the key that the entries open with.
pub(crate) fn sealed_blob(bytes: usize) -> Vec<u8> {
    let description = seal::Description {
        kind: seal::BlobKind::Object,
        dataset: DatasetId::from_bytes([1; 16]),
        owner: VersionId::from_bytes([2; 16]),
        index: 0,
        plaintext_bytes: u64::try_from(bytes).expect("small"),
        created: Timestamp::from_millis(5),
    };
    let blob = BlobId::from_bytes([3; 16]);
    let suite = seal::Suite::Aes256Gcm;
    let sealer = seal::Sealer::new(suite, blob, &data_key(), &description);
    let (mut sealer, header) = sealer.expect("a sealer");
    let mut out = header.to_vec();
    while let Some(next) = sealer.next_bytes() {
        let mut segment = BytesMut::from(vec![0x5a; next].as_slice());
        sealer.seal(&mut segment).expect("a segment");
        out.extend_from_slice(&segment);
    }
    out
}

/// A part table of no parts.
pub(crate) fn sealed_table() -> Vec<u8> {
    let key: ObjectKey = "a/b".parse().expect("a key");
    let etag = ETag::of(&VersionId::from_bytes([2; 16]), 1);
    let table = seal::Table::new(Vec::new()).expect("a table");
    let sealed = seal::seal_table(&dataset_key(), &binding(&key, &etag, 0), &table);
    sealed.expect("sealed").to_vec()
}

/// A commit of the catalog.
pub(crate) fn change() -> Vec<u8> {
    let project = catalog::Mutation::DeleteDataset(DatasetId::from_bytes([4; 16]));
    catalog::codec::encode(&[project]).to_vec()
}

/// A record of the log.
pub(crate) fn record() -> Vec<u8> {
    let mut out = Vec::new();
    let entry = ledger::Entry::Mark {
        time: Timestamp::from_millis(9),
        kind: ledger::MarkKind::Opened,
    };
    ledger::encode(&entry, &mut out).expect("encodes");
    out
}

/// An entry of the log.
pub(crate) fn segment() -> Vec<u8> {
    let scope = |tag: u8| ledger::ScopeRoot {
        tag: [tag; 16],
        count: 3,
        root: [tag; 32],
    };
    let segment = ledger::Segment {
        lane: "gateway".to_owned(),
        first: 40,
        count: 5,
        time: Timestamp::from_millis(9),
        scopes: vec![scope(1), scope(2)],
        lost: false,
    };
    segment.encode().expect("an entry")
}

/// One whose scopes hold more rows together than a number can say.
pub(crate) fn overflowing() -> Vec<u8> {
    let mut bytes = segment();
    for tag in [1_u8, 2] {
        let at = bytes
            .windows(17)
            .position(|w| w == [&[tag; 16][..], &[3]].concat());
        let at = at.expect("a scope") + 16;
        bytes.splice(
            at..=at,
            [0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        );
    }
    bytes
}

/// A snapshot of the catalog.
pub(crate) fn snapshot() -> Vec<u8> {
    let snapshot = vault::Snapshot {
        number: 1,
        created: Timestamp::from_millis(2),
        back: None,
        body: vault::Body::Changes(vec![(3, change().into())]),
    };
    snapshot.encode()
}

/// Each with the name of the entry that takes it.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let policy = policy::Policy::builtin().expect("the shipped policy");
    let chunked: &[u8] = b"1\r\na\r\n0\r\nx-amz-checksum-crc32:6Le+Qw==\r\n\r\n";
    let mut seeds = vec![
        ("blob", sealed_blob(1)),
        ("blob", sealed_blob(70_000)),
        ("part_table", sealed_table()),
        ("catalog_change", change()),
        ("record", record()),
        ("evidence", segment()),
        ("evidence", overflowing()),
        ("snapshot", snapshot()),
        ("journal", files::journal_seed()),
        ("rules", policy.text().into()),
        (
            "configuration",
            include_bytes!("../deploy/kluis.toml").to_vec(),
        ),
        ("names", b"icu-sepsis--ecg-2024".to_vec()),
        (
            "people",
            b"members[value eq \"uni.a\"] and not (displayName sw \"t\")\n{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"],\"displayName\":\"team\",\"members\":[{\"value\":\"uni.a\"}]}".to_vec(),
        ),
        (
            "people",
            b"userName eq \"a\"\n{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":[{\"op\":\"remove\",\"path\":\"members[value eq \\\"uni.a\\\"]\"}]}".to_vec(),
        ),
        ("names", "adults/0001 é.edf".into()),
        ("edge_decoders", chunked.to_vec()),
        ("edge_decoders", b"AWFkdWx0cw".to_vec()),
        ("edge_decoders", b"\"a\", W/\"b\"".to_vec()),
        ("edge_decoders", b"bytes=1-2".to_vec()),
        (
            "edge_decoders",
            b"x-amz-trailer: x-amz-checksum-crc32\nx-amz-meta-a: b".to_vec(),
        ),
        (
            "store_answer",
            b"206\ncontent-range: bytes 10-19/100\ncontent-length: 10".to_vec(),
        ),
        (
            "store_answer",
            b"503\nretry-after: 2\n\n<Error><Code>SlowDown</Code><Message>m</Message></Error>"
                .to_vec(),
        ),
    ];
    seeds.extend(files::key_seeds().into_iter().map(|seed| ("keys", seed)));
    seeds.extend(tokens::SEEDS.map(|seed| ("tokens", seed.to_vec())));
    seeds.extend(request::SEEDS.map(|seed| ("request", seed.into())));
    seeds
}
