//! Every decoder of foreign bytes, each as one function that panics when a promise is broken. The
//! fuzz targets call them, and `tests/fuzz_entries.rs` on every run of the tests.

#[path = "files.rs"]
pub(crate) mod files;
#[path = "request.rs"]
pub(crate) mod request;
#[path = "seeds.rs"]
pub(crate) mod seeds;
#[path = "tokens.rs"]
pub(crate) mod tokens;

use std::path::Path;

use kluis::types::{AccessKeyId, BlobId, BucketName, ObjectKey, PrincipalId, ProjectName, Secret};
use kluis::{catalog, config, ledger, policy, s3, scim, seal, store, types, vault};

pub(crate) use files::{journal, keys};
pub(crate) use request::request;
pub(crate) use tokens::tokens;

/// A stream of the same bytes again and again, for keys that need not be secret here.
struct Foretold(u8);

impl types::Entropy for Foretold {
    fn fill(&self, out: &mut [u8]) -> Result<(), types::EntropyError> {
        out.fill(self.0);
        Ok(())
    }
}

/// The key that the seeds are sealed under.
pub(crate) fn data_key() -> seal::DataKey {
    seal::DataKey::random(&Foretold(7)).expect("foretold")
}

/// The key of the seeds' dataset.
pub(crate) fn dataset_key() -> seal::DatasetKey {
    seal::DatasetKey {
        secret: Secret::random(&Foretold(8)).expect("foretold"),
        version: 1,
    }
}

/// What the seeds' part table is bound to.
pub(crate) fn binding<'a>(
    key: &'a ObjectKey,
    etag: &'a types::ETag,
    bytes: u64,
) -> seal::Binding<'a> {
    seal::Binding {
        dataset: types::DatasetId::from_bytes([1; 16]),
        version: types::VersionId::from_bytes([2; 16]),
        place: seal::Place::Object { key },
        bytes,
        etag,
    }
}

/// A sealed blob, whole: nothing but an authentic one opens.
pub(crate) fn blob(data: &[u8]) {
    let blob = BlobId::from_bytes([3; 16]);
    if let Ok((description, plain)) = seal::open_blob(&data_key(), Some(blob), data) {
        assert_eq!(u64::try_from(plain.len()), Ok(description.plaintext_bytes));
    }
}

/// Headers, descriptions and part tables behind their seal: strict and canonical.
pub(crate) fn seal_decoders(data: &[u8]) {
    assert!(seal::fuzz_decoders(data).is_some(), "not canonical");
}

/// A sealed part table, as a host of the catalog could hand it over.
pub(crate) fn part_table(data: &[u8]) {
    let key: ObjectKey = "a/b".parse().expect("a key");
    let etag = types::ETag::of(&types::VersionId::from_bytes([2; 16]), 1);
    let binding = binding(&key, &etag, 0);
    if let Ok(table) = seal::open_table(&dataset_key(), &binding, data) {
        assert_eq!(table.bytes(), 0);
    }
}

/// A commit in the catalog's change log or in a snapshot.
pub(crate) fn catalog_change(data: &[u8]) {
    assert!(catalog::codec::decodes_canonically(data), "not canonical");
}

/// A record of the log.
pub(crate) fn record(data: &[u8]) {
    if let Ok(entry) = ledger::decode(data) {
        let mut again = Vec::new();
        ledger::encode(&entry, &mut again).expect("what decodes has an encoding");
        assert_eq!(again, data, "not canonical");
    }
}

/// What a stranger hands to a verifier: an entry of the log, a signed text, a proof.
pub(crate) fn evidence(data: &[u8]) {
    if let Ok(segment) = ledger::Segment::decode(data) {
        assert_eq!(segment.encode().as_deref(), Ok(data), "not canonical");
    }
    for width in [1, 256] {
        if let Ok(entries) = ledger::tlog::decode_bundle(width, data) {
            assert_eq!(entries.len(), usize::from(width));
        }
    }
    if let Ok(note) = ledger::tlog::Note::parse(data) {
        assert!(!note.text().is_empty());
    }
    let _read = ledger::evidence::RecordProof::parse(data).is_some();
    let text = String::from_utf8_lossy(data);
    if let Some(certificate) = ledger::erasure::Certificate::parse(&text) {
        assert_eq!(certificate.text(), text, "not canonical");
    }
}

/// A snapshot of the catalog, behind its seal.
pub(crate) fn snapshot(data: &[u8]) {
    if let Some(snapshot) = vault::Snapshot::decode(data) {
        assert_eq!(snapshot.encode(), data, "not canonical");
    }
}

/// A policy's model, roles, grants and expectations.
pub(crate) fn rules(data: &[u8]) {
    let _compiled: bool = policy::fuzz_policy(data);
}

/// A configuration file; whatever is wrong with it can be said.
pub(crate) fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(problems) = config::Config::parse(&text, Path::new("etc")) {
        assert!(!problems.to_string().is_empty());
    }
}

/// What the S3 edge reads by itself: framing, tokens, conditions, ranges, what is signed, sums.
pub(crate) fn edge_decoders(data: &[u8]) {
    assert!(s3::fuzz_decoders(data).is_some(), "a promise is broken");
}

/// What a hostile store answers.
pub(crate) fn store_answer(data: &[u8]) {
    assert!(
        store::s3::fuzz_answer(data).is_some(),
        "a promise is broken"
    );
}

/// Names of every kind: what is taken is written back as it was.
pub(crate) fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let home: ProjectName = "main".parse().expect("a name");
    if let Ok(key) = text.parse::<ObjectKey>() {
        assert_eq!(key.as_str(), text);
        assert!(key.as_str().len() <= types::limits::OBJECT_KEY_BYTES_MAX);
    }
    if let Ok(bucket) = BucketName::parse(&text, &home) {
        assert!(text.len() <= types::limits::BUCKET_REF_BYTES_MAX);
        let told = bucket.for_s3(&home);
        assert!(
            told.is_none_or(
                |told| told.len() <= 63 && BucketName::parse(&told, &home) == Ok(bucket)
            )
        );
    }
    if let Ok(principal) = text.parse::<PrincipalId>() {
        assert_eq!(principal.as_str(), text);
    }
    if let Ok(key) = text.parse::<AccessKeyId>() {
        assert_eq!(key.as_str(), text);
    }
    if let Ok(blob) = text.parse::<BlobId>() {
        assert_eq!(blob.to_string(), text);
    }
    if let Ok(etag) = text.parse::<types::ETag>() {
        assert_eq!(etag.as_str(), text);
    }
    // An event may be written in more ways than one: with or without hyphens.
    if let Some(event) = ledger::parse_event(&text) {
        assert_eq!(ledger::parse_event(&event.to_string()), Some(event));
    }
}

/// What an organisation says of its people: a filter, or a body on one line behind it.
pub(crate) fn people(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (filter, body) = text.split_once('\n').unwrap_or((&text, ""));
    let group = serde_json::from_str(body).ok();
    let group = group.as_ref().and_then(|body| scim::Group::read(body).ok());
    if let (Ok(filter), Some(group)) = (scim::Filter::read(filter), &group) {
        let _holds: bool = filter.holds(group);
    }
    let Ok(json) = serde_json::from_str(body) else {
        return;
    };
    if let Ok(user) = scim::User::read(&json) {
        assert!(scim::is_user_name(&user.user_name));
    }
    if let Ok(patch) = scim::Patch::read(&json) {
        let id: PrincipalId = "uni.team".parse().expect("a name");
        let before = scim::Group {
            display_name: "team".to_owned(),
            external_id: None,
            members: vec!["uni.a".parse().expect("a name")],
        };
        if let Ok(after) = patch.group(&before, &id) {
            assert!(after.members.is_sorted() && scim::is_shown_name(&after.display_name));
        }
    }
}

/// An entry with its name, which is its target's.
type Named = (&'static str, fn(&[u8]));

/// Every entry.
pub(crate) const ALL: [Named; 17] = [
    ("people", people),
    ("tokens", tokens),
    ("blob", blob),
    ("seal_decoders", seal_decoders),
    ("part_table", part_table),
    ("catalog_change", catalog_change),
    ("record", record),
    ("evidence", evidence),
    ("snapshot", snapshot),
    ("journal", journal),
    ("keys", keys),
    ("rules", rules),
    ("configuration", configuration),
    ("names", names),
    ("edge_decoders", edge_decoders),
    ("store_answer", store_answer),
    ("request", request),
];
