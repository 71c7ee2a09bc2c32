//! The vectors of derived keys, sealed records and part tables (`records.json`): a changed label or
//! layout would lock every vault out, and shows here first.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::keys::{Label, Parent, mac};
use super::testing::Draws;
use super::vectors::golden;
use super::*;
use crate::types::{BlobId, DatasetId, ETag, Entropy as _, ObjectKey, Secret, UploadId, VersionId};

const RING: [u8; 32] = [0x11; 32];
const DATASET: [u8; 32] = [0x22; 32];

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn ring(label: Label) -> Secret<32> {
    let parent = Parent::new(&Secret::take(&mut RING.to_owned()), &[]);
    parent.child(label, &[]).unwrap()
}

fn derived() -> Value {
    let of = |label: Label, text: &str| json!({ "label": text, "key": hex(ring(label).expose()) });
    json!([
        of(Label::RingDatasets, "kluis v1 ring dataset keys"),
        of(Label::RingSecrets, "kluis v1 ring secrets"),
        of(Label::RingSnapshots, "kluis v1 ring snapshots"),
        of(Label::RingNames, "kluis v1 ring snapshot names"),
        of(Label::RingLog, "kluis v1 ring log"),
        of(Label::RingPrint, "kluis v1 ring fingerprint"),
    ])
}

fn records() -> Value {
    let draws = Draws::new(7);
    let of = |parent: Label, label: Label, text: &str, context: &[u8], plain: &[u8]| {
        let key = ring(parent);
        let sealed = seal_bytes(&key, label, context, plain, &draws).unwrap();
        json!({ "key": hex(key.expose()), "label": text, "context": hex(context),
            "sealed": hex(&sealed), "plaintext": hex(plain) })
    };
    let context = [&[0xaa; 16][..], &[0, 0, 0, 1]].concat();
    json!([
        of(
            Label::RingDatasets,
            Label::DatasetKey,
            "kluis v1 dataset key",
            &context,
            &DATASET
        ),
        of(
            Label::RingSecrets,
            Label::Secret,
            "kluis v1 secret",
            b"whose",
            b"secret"
        ),
        of(
            Label::RingSnapshots,
            Label::Snapshot,
            "kluis v1 snapshot",
            b"7",
            b""
        ),
    ])
}

fn names() -> Value {
    let name = |n: u64| {
        let tag = mac(&ring(Label::RingNames), &[&n.to_be_bytes()]);
        json!({ "sequence": n, "blob_id": hex(&tag.expose()[..16]) })
    };
    json!([name(0), name(1), name(1 << 40)])
}

/// Two extents, one of each suite, the second a slice.
fn table() -> Table {
    let draws = Draws::new(8);
    let extent = |suite, index, start, len| Extent {
        blob: BlobId::random(&draws).unwrap(),
        key: DataKey::random(&draws).unwrap(),
        suite,
        blob_plaintext_bytes: 1_000,
        owner: VersionId::random(&draws).unwrap(),
        index,
        start,
        len,
    };
    Table::new(vec![
        extent(Suite::Aes256Gcm, 0, 0, 1_000),
        extent(Suite::ChaCha20Poly1305, 7, 300, 500),
    ])
    .unwrap()
}

fn tables() -> Value {
    let key = DatasetKey {
        secret: Secret::take(&mut DATASET.to_owned()),
        version: 3,
    };
    let (dataset, version) = ([0xaa; 16], [0xbb; 16]);
    let etag = ETag::of(&VersionId::from_bytes(version), 2);
    let object: ObjectKey = "scans/ключ 1.dcm".parse().unwrap();
    let of = |place: Place<'_>, shown: Value, table: &Table| {
        let binding = Binding {
            dataset: DatasetId::from_bytes(dataset),
            version: VersionId::from_bytes(version),
            place,
            bytes: table.bytes(),
            etag: &etag,
        };
        let sealed = seal_table(&key, &binding, table).unwrap();
        assert!(open_table(&key, &binding, &sealed).is_ok());
        let extents = table.extents().iter().map(|e| {
            json!({ "blob_id": e.blob.to_string(), "key": hex(e.key.0.expose()),
                "suite": e.suite.code(), "blob_plaintext_bytes": e.blob_plaintext_bytes,
                "owner": e.owner.to_string(), "index": e.index, "start": e.start, "len": e.len })
        });
        json!({ "dataset_key": hex(&DATASET), "key_version": 3, "dataset": hex(&dataset),
            "version": hex(&version), "place": shown, "bytes": table.bytes(),
            "etag": etag.as_str(), "sealed": hex(&sealed), "extents": extents.collect::<Vec<_>>() })
    };
    let upload = UploadId::from_bytes([0xcc; 16]);
    let in_object = Place::Object { key: &object };
    let in_part = Place::Part { upload, number: 9 };
    let empty = Table::new(Vec::new()).unwrap();
    json!([
        of(in_object, json!({ "object": object.as_str() }), &table()),
        of(in_object, json!({ "object": object.as_str() }), &empty),
        of(
            in_part,
            json!({ "upload": upload.to_string(), "number": 9 }),
            &table()
        ),
    ])
}

#[test]
fn the_records_are_those_of_this_format() {
    let document = json!({ "specification": "src/seal/FORMAT.md", "ring_key": hex(&RING),
        "derived": derived(), "records": records(), "snapshot_names": names(), "tables": tables() });
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    golden("records.json", text.as_bytes());
}

#[test]
fn foretold_draws_differ() {
    // The vectors would prove little if every key in them were the same.
    let (mut a, mut b) = ([0; 40], [0; 40]);
    Draws::new(7).fill(&mut a).unwrap();
    Draws::new(8).fill(&mut b).unwrap();
    assert!(a != b && a[..8] != a[32..]);
}
