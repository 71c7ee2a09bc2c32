//! The test vectors of `tests/vectors/seal/`: made here by `UPDATE_GOLDEN=1`, the same in each run,
//! and opened here; `tests/opener/` opens them with an implementation of its own.
//!
//! A case is a list of pieces (of honest blobs, or given in hex), some bits flipped, a key, and the
//! class of the refusal that `FORMAT.md` names, or `ok`.

use std::path::PathBuf;

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use ring::digest;
use serde_json::{Value, json};

use super::header::{self, DESCRIPTION_BYTES};
use super::stream::{BlobKeys, nonce, open_blob_precisely};
use super::suite::NONCE_ZERO;
use super::testing::Draws;
use super::*;
use crate::types::limits::SEGMENT_BYTES;
use crate::types::{BlobId, ByteRange, DatasetId, Entropy as _, Secret, Timestamp, VersionId};

const SEALED: usize = SEGMENT_BYTES + TAG_BYTES;

/// An honest blob and all that is known of it.
struct Honest {
    name: &'static str,
    suite: Suite,
    id: BlobId,
    key: [u8; 32],
    description: Description,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl Honest {
    fn new(name: &'static str, suite: Suite, bytes: usize, seed: u64) -> Self {
        let draws = Draws::new(seed);
        let mut key = [0; 32];
        draws.fill(&mut key).unwrap();
        let mut plain = vec![0; bytes];
        draws.fill(&mut plain).unwrap();
        let id = BlobId::random(&draws).unwrap();
        let description = Description {
            kind: BlobKind::Object,
            dataset: DatasetId::random(&draws).unwrap(),
            owner: VersionId::random(&draws).unwrap(),
            index: 1,
            plaintext_bytes: u64::try_from(bytes).unwrap(),
            created: Timestamp::from_millis(1_803_975_304_112),
        };
        let (mut writer, head) = Sealer::new(suite, id, &data_key(&key), &description).unwrap();
        let mut sealed = head.to_vec();
        for chunk in plain.chunks(SEGMENT_BYTES) {
            let mut segment = BytesMut::from(chunk);
            writer.seal(&mut segment).unwrap();
            sealed.extend_from_slice(&segment);
        }
        Self {
            name,
            suite,
            id,
            key,
            description,
            plain,
            sealed,
        }
    }

    fn keys(&self) -> BlobKeys {
        BlobKeys::derive(self.suite, &self.id, &data_key(&self.key)).unwrap()
    }

    /// A piece of this blob.
    fn piece(&self, start: usize, end: usize) -> Value {
        assert!(start <= end && end <= self.sealed.len());
        json!({ "blob": self.name, "start": start, "end": end })
    }

    fn whole(&self) -> Value {
        self.piece(0, self.sealed.len())
    }

    fn body(&self) -> Value {
        self.piece(HEADER_BYTES, self.sealed.len())
    }

    /// A header of this blob's keys around any description: what only a holder of the key can make.
    fn forge_header(&self, description: [u8; DESCRIPTION_BYTES], nonce: [u8; 12]) -> Value {
        let mut header = self.sealed[..64].to_vec();
        let mut sealed = description;
        let tag = self.keys().description.seal(nonce, &header, &mut sealed);
        header.extend_from_slice(&sealed);
        header.extend_from_slice(&tag.unwrap());
        hex(&header)
    }

    /// A segment of this blob's key with any nonce and binding.
    fn forge_segment(&self, nonce: [u8; 12], bound: &[u8], plain: &[u8]) -> Value {
        let mut sealed = plain.to_vec();
        let tag = self.keys().segments.seal(nonce, bound, &mut sealed);
        sealed.extend_from_slice(&tag.unwrap());
        hex(&sealed)
    }

    /// A case about this blob, under its key and name.
    fn case(&self, name: &str, result: &str, pieces: &[Value], flips: &[(usize, u8)]) -> Value {
        let flips = flips
            .iter()
            .map(|(at, xor)| json!({ "at": at, "xor": xor }));
        let mut case = json!({
            "name": format!("{}: {name}", self.name),
            "of": self.name,
            "key": HEXLOWER.encode(&self.key),
            "blob_id": self.id.to_string(),
            "pieces": pieces,
            "flips": flips.collect::<Vec<_>>(),
            "result": result,
        });
        if result == "ok" {
            case["plaintext_sha256"] = json!(sha256(&self.plain));
            case["plaintext_bytes"] = json!(self.plain.len());
        }
        case
    }
}

fn data_key(bytes: &[u8; 32]) -> DataKey {
    DataKey(Secret::take(&mut bytes.to_owned()))
}

fn hex(bytes: &[u8]) -> Value {
    json!({ "hex": HEXLOWER.encode(bytes) })
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn with(mut case: Value, field: &str, value: Value) -> Value {
    case[field] = value;
    case
}

fn honest() -> [Honest; 5] {
    use Suite::{Aes256Gcm, ChaCha20Poly1305};
    [
        Honest::new("one", Aes256Gcm, 1, 1),
        Honest::new("small", ChaCha20Poly1305, 1_000, 2),
        Honest::new("exact", Aes256Gcm, 65_536, 3),
        Honest::new("two", ChaCha20Poly1305, 65_537, 4),
        Honest::new("three", Aes256Gcm, 131_073, 5),
    ]
}

/// Each field of each header, altered; and what is before the header or instead of it.
fn header_cases(b: &Honest) -> Vec<Value> {
    let flip = |name: &str, result: &str, at: usize, xor: u8| {
        b.case(name, result, &[b.whole()], &[(at, xor)])
    };
    let no_name = |case: Value| with(case, "blob_id", Value::Null);
    let other_suite = b.suite.code() ^ 3;
    vec![
        flip("magic, first byte", "magic", 0, 1),
        flip("magic, version", "magic", 6, 3),
        flip("magic, last byte", "magic", 7, 1),
        flip("unknown suite 0", "suite", 8, b.suite.code()),
        flip("unknown suite 255", "suite", 8, !b.suite.code()),
        flip(
            "the other suite",
            "commitment",
            8,
            b.suite.code() ^ other_suite,
        ),
        flip("class 15", "class", 9, 31),
        flip("class 17", "class", 9, 1),
        flip("reserved, first byte", "reserved", 10, 1),
        flip("reserved, last byte", "reserved", 15, 128),
        flip("another blob id than asked for", "blob-id", 16, 1),
        no_name(flip("altered blob id, first byte", "commitment", 16, 1)),
        no_name(flip("altered blob id, last byte", "commitment", 31, 1)),
        flip("commitment, first byte", "commitment", 32, 1),
        flip("commitment, last byte", "commitment", 63, 128),
        flip("description, kind", "description", 64, 3),
        flip("description, index", "description", 71, 1),
        flip("description, length", "description", 79, 1),
        flip("description, owner", "description", 119, 1),
        flip("description, tag", "description", 135, 1),
        with(
            flip("another key", "commitment", 0, 0),
            "key",
            json!("00".repeat(32)),
        ),
        b.case("nothing", "header", &[], &[]),
        b.case("half a header", "header", &[b.piece(0, 68)], &[]),
        b.case("a header less a byte", "header", &[b.piece(0, 135)], &[]),
        b.case("a byte before it", "magic", &[hex(&[0]), b.whole()], &[]),
    ]
}

/// Lengths that are not those of the description.
fn length_cases(b: &Honest) -> Vec<Value> {
    let end = b.sealed.len();
    let cut = |name: &str, at: usize| b.case(name, "length", &[b.piece(0, at)], &[]);
    let mut cases = vec![
        cut("a header alone", HEADER_BYTES),
        cut("cut in the first segment", HEADER_BYTES + 1),
        cut("cut before the last tag", end - TAG_BYTES),
        cut("less a byte", end - 1),
        b.case("a byte more", "length", &[b.whole(), hex(&[0])], &[]),
        b.case("twice", "length", &[b.whole(), b.whole()], &[]),
        b.case("its body twice", "length", &[b.whole(), b.body()], &[]),
    ];
    if end > HEADER_BYTES + SEALED {
        cases.push(cut("last segment dropped", HEADER_BYTES + SEALED));
        let rest = b.piece(HEADER_BYTES + SEALED, end);
        let dropped = [b.piece(0, HEADER_BYTES), rest];
        cases.push(b.case("first segment dropped", "length", &dropped, &[]));
    }
    cases
}

/// Segments altered, each bit of interest.
fn segment_cases(b: &Honest) -> Vec<Value> {
    let end = b.sealed.len();
    let flip = |name: &str, at: usize| b.case(name, "segment", &[b.whole()], &[(at, 1)]);
    vec![
        flip("first ciphertext byte", HEADER_BYTES),
        flip("last ciphertext byte", end - TAG_BYTES - 1),
        flip("last tag, first byte", end - TAG_BYTES),
        flip("last tag, last byte", end - 1),
    ]
}

/// Segments moved within the three of one blob, or in from another.
fn splice_cases(three: &Honest, two: &Honest, exact: &Honest) -> Vec<Value> {
    let h = three.piece(0, HEADER_BYTES);
    let at = |n: usize| HEADER_BYTES + n * SEALED;
    let s = |n: usize| three.piece(at(n), at(n + 1).min(three.sealed.len()));
    let case = |name: &str, pieces: &[Value]| three.case(name, "segment", pieces, &[]);
    vec![
        case("segments swapped", &[h.clone(), s(1), s(0), s(2)]),
        case("first segment repeated", &[h.clone(), s(0), s(0), s(2)]),
        case("second segment repeated", &[h.clone(), s(1), s(1), s(2)]),
        case(
            "a segment of another blob",
            &[h.clone(), exact.body(), s(1), s(2)],
        ),
        case(
            "the last segment of another blob",
            &[h, s(0), s(1), two.piece(at(1), two.sealed.len())],
        ),
        three.case(
            "the header of another blob",
            "blob-id",
            &[two.piece(0, HEADER_BYTES), s(0), s(1), s(2)],
            &[],
        ),
        three.case("another blob whole", "blob-id", &[two.whole()], &[]),
        with(
            three.case(
                "another blob whole, no name",
                "commitment",
                &[two.whole()],
                &[],
            ),
            "blob_id",
            Value::Null,
        ),
    ]
}

/// What only a holder of the key can make, and no honest writer does.
fn forged_cases(one: &Honest, three: &Honest) -> Vec<Value> {
    let good = one.description.encode();
    let describe = |name: &str, at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        let header = one.forge_header(bytes, NONCE_ZERO);
        one.case(name, "description", &[header, one.body()], &[])
    };
    let bound = &one.sealed[..32];
    let segment = |name: &str, nonce: [u8; 12], bound: &[u8]| {
        let segment = one.forge_segment(nonce, bound, &one.plain);
        let pieces = [one.piece(0, HEADER_BYTES), segment];
        one.case(name, "segment", &pieces, &[])
    };
    let mut shorter = three.description;
    shorter.plaintext_bytes = 131_072;
    let shorter = three.forge_header(shorter.encode(), NONCE_ZERO);
    let mut longer = one.description;
    longer.plaintext_bytes = 2;
    let longer = one.forge_header(longer.encode(), NONCE_ZERO);
    let odd_nonce = one.forge_header(good, nonce(1, false));
    vec![
        describe("description of no kind", 0, 0),
        describe("description of an unknown kind", 0, 5),
        describe("description, reserved first", 1, 1),
        describe("description, reserved last", 3, 1),
        describe("description of no bytes", 15, 0),
        describe("description beyond the longest blob", 10, 1),
        one.case(
            "description, odd nonce",
            "description",
            &[odd_nonce, one.body()],
            &[],
        ),
        one.case(
            "description longer than the blob",
            "length",
            &[longer, one.body()],
            &[],
        ),
        three.case(
            "shortened, no segment says last",
            "segment",
            &[
                shorter,
                three.piece(HEADER_BYTES, HEADER_BYTES + 2 * SEALED),
            ],
            &[],
        ),
        segment("last flag missing", nonce(0, false), bound),
        segment("counter begins at 1", nonce(1, true), bound),
        segment("bound to nothing", nonce(0, true), &[]),
        segment(
            "bound to the whole clear header",
            nonce(0, true),
            &one.sealed[..64],
        ),
    ]
}

fn document(blobs: &[Honest; 5]) -> Value {
    let [one, small, exact, two, three] = blobs;
    let mut cases = Vec::new();
    for b in blobs {
        cases.push(b.case("as sealed", "ok", &[b.whole()], &[]));
        let unnamed = b.case("as sealed, no name", "ok", &[b.whole()], &[]);
        cases.push(with(unnamed, "blob_id", Value::Null));
        cases.extend(length_cases(b));
        cases.extend(segment_cases(b));
    }
    cases.extend(header_cases(one));
    cases.extend(header_cases(small));
    cases.extend(splice_cases(three, two, exact));
    cases.extend(forged_cases(one, three));
    let blobs = blobs.iter().map(|b| {
        json!({ "name": b.name, "file": format!("{}.blob", b.name), "sha256": sha256(&b.sealed),
            "suite": b.suite.code(), "key": HEXLOWER.encode(&b.key), "blob_id": b.id.to_string(),
            "description": {
                "kind": "object", "index": b.description.index,
                "plaintext_bytes": b.description.plaintext_bytes,
                "created_ms": b.description.created.millis(),
                "dataset": b.description.dataset.to_string(),
                "owner": b.description.owner.to_string() } })
    });
    json!({ "specification": "src/seal/FORMAT.md", "blobs": blobs.collect::<Vec<_>>(), "cases": cases })
}

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", "seal"]
        .iter()
        .collect()
}

/// Holds a file to what this build makes; `UPDATE_GOLDEN=1` writes it.
pub(super) fn golden(name: &str, bytes: &[u8]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "golden files change only when asked to"
    )]
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let path = directory().join(name);
    if update {
        std::fs::write(&path, bytes).unwrap();
    }
    let found = std::fs::read(&path).unwrap_or_default();
    assert!(
        found == bytes,
        "{name} is another; UPDATE_GOLDEN=1 writes it"
    );
}

#[test]
fn the_vectors_are_those_of_this_format() {
    let blobs = honest();
    for b in &blobs {
        golden(&format!("{}.blob", b.name), &b.sealed);
    }
    let text = serde_json::to_string_pretty(&document(&blobs)).unwrap() + "\n";
    golden("vectors.json", text.as_bytes());
}

/// Puts a case's bytes together as any implementation does.
fn assemble(case: &Value, blobs: &[Honest; 5]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
    for piece in case["pieces"].as_array().unwrap() {
        if let Some(text) = piece["hex"].as_str() {
            bytes.extend_from_slice(&HEXLOWER.decode(text.as_bytes()).unwrap());
        } else {
            let blob = blobs.iter().find(|b| piece["blob"] == b.name).unwrap();
            let range = number(&piece["start"])..number(&piece["end"]);
            bytes.extend_from_slice(&blob.sealed[range]);
        }
    }
    for flip in case["flips"].as_array().unwrap() {
        bytes[number(&flip["at"])] ^= u8::try_from(flip["xor"].as_u64().unwrap()).unwrap();
    }
    bytes
}

const fn class(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Header => "header",
        Refusal::Magic => "magic",
        Refusal::Suite => "suite",
        Refusal::Class => "class",
        Refusal::Reserved => "reserved",
        Refusal::BlobId => "blob-id",
        Refusal::Commitment => "commitment",
        Refusal::Description => "description",
        Refusal::Length => "length",
        Refusal::Segment => "segment",
        Refusal::Origin | Refusal::Record => "not a class of the vectors",
    }
}

fn cases() -> Vec<Value> {
    let text = std::fs::read(directory().join("vectors.json")).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    document["cases"].as_array().unwrap().clone()
}

fn key_of(case: &Value) -> DataKey {
    let key = HEXLOWER.decode(case["key"].as_str().unwrap().as_bytes());
    data_key(&key.unwrap().try_into().unwrap())
}

#[test]
fn every_case_ends_in_its_class() {
    let blobs = honest();
    let cases = cases();
    let valid = cases.iter().filter(|case| case["result"] == "ok").count();
    assert!(
        cases.len() > 100 && valid * 10 <= cases.len(),
        "most are invalid"
    );
    for case in &cases {
        let id = case["blob_id"].as_str().map(|id| id.parse().unwrap());
        let opened = open_blob_precisely(&key_of(case), id, &assemble(case, &blobs));
        let found = opened.as_ref().map_or_else(|r| class(*r), |_| "ok");
        assert_eq!(found, case["result"], "{}", case["name"]);
        if let Ok((_, plain)) = opened {
            assert_eq!(sha256(&plain), case["plaintext_sha256"]);
        }
    }
}

/// Reads the blob as the gateway does, which asks the store for exactly what the layout says.
fn read_as_gateway(case: &Value, b: &Honest, bytes: &[u8]) -> Result<Vec<u8>, OpenError> {
    let length = b.description.plaintext_bytes;
    let range = ByteRange::new(0, length).unwrap();
    let sealed = layout::sealed_range(length, range).unwrap().sealed;
    let end = usize::try_from(sealed.end).unwrap();
    let bytes = bytes.get(..end).ok_or(OpenError::NotAuthentic)?;
    let mut opener = Opener::new(b.suite, b.id, &key_of(case), length, 0)?;
    let (head, mut rest) = bytes.split_at(HEADER_BYTES);
    opener.check_header(head, None)?;
    let mut plain = Vec::new();
    while let Some(n) = opener.next_sealed_bytes() {
        let (segment, tail) = rest.split_at(n);
        let mut segment = BytesMut::from(segment);
        opener.open(&mut segment)?;
        plain.extend_from_slice(&segment);
        rest = tail;
    }
    assert!(opener.finished() && rest.is_empty());
    Ok(plain)
}

#[test]
fn the_gateway_reads_the_true_bytes_or_none() {
    let blobs = honest();
    for case in cases() {
        let b = blobs.iter().find(|b| case["of"] == b.name).unwrap();
        let bytes = assemble(&case, &blobs);
        match read_as_gateway(&case, b, &bytes) {
            Ok(plain) => {
                assert!(plain == b.plain, "{}", case["name"]);
                // Bytes after the blob are never asked for; all else is as it was sealed.
                assert!(bytes.starts_with(&b.sealed), "{}", case["name"]);
            }
            Err(cause) => {
                assert_eq!(cause, OpenError::NotAuthentic);
                assert_ne!(case["result"], "ok", "{}", case["name"]);
            }
        }
    }
}

#[test]
fn a_forged_header_needs_every_byte() {
    // The forging helper itself, held to the honest writer.
    let one = Honest::new("one", Suite::Aes256Gcm, 1, 1);
    let forged = one.forge_header(one.description.encode(), NONCE_ZERO);
    assert_eq!(forged, hex(&one.sealed[..HEADER_BYTES]));
    let bound = header::bound(one.suite, &one.id);
    let segment = one.forge_segment(nonce(0, true), &bound, &one.plain);
    assert_eq!(segment, hex(&one.sealed[HEADER_BYTES..]));
}
