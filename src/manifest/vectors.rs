//! The test vectors of `tests/vectors/manifest/`: made here by `UPDATE_GOLDEN=1`, the same in each
//! run, and read by whoever implements the format again. Most must be refused.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::tests::{build_pages, file, root};
use super::*;
use crate::types::Secret;

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", "manifest"]
        .iter()
        .collect()
}

/// How reading a piece ends.
fn verdict(piece: &str, bytes: &[u8], signer: &SignerKey) -> &'static str {
    let result = match piece {
        "envelope" => signer.open(bytes).map(drop),
        "index" => Index::decode(bytes).map(drop),
        _ => Page::decode(bytes.to_vec()).map(drop),
    };
    match result {
        Ok(()) => "ok",
        Err(ManifestError::Form) => "form",
        Err(ManifestError::Signature) => "signature",
        Err(ManifestError::Digest) => "digest",
        Err(ManifestError::TooLarge) => "too-large",
    }
}

/// A run of one directory, of entries that are encoded already.
fn run(directory: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
    let length = u16::try_from(directory.len()).unwrap().to_be_bytes();
    let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
    [&length, directory, &count, &entries.concat()].concat()
}

fn encoded(name: &[u8], entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    entry.encode(name, &mut out).unwrap();
    out
}

/// Name, piece and bytes.
type Case = (String, &'static str, Vec<u8>);

/// Name, piece and bytes of every case.
fn cases(signer: &Signer) -> Vec<Case> {
    let mut cases = envelopes(signer);
    cases.extend(whole());
    cases.extend(
        bent()
            .into_iter()
            .map(|(name, bytes)| (name.into(), "page", bytes)),
    );
    cases
}

fn envelopes(signer: &Signer) -> Vec<Case> {
    let envelope = signer.sign(&root()).unwrap();
    let mut cases: Vec<Case> = vec![("the envelope".into(), "envelope", envelope.clone())];
    for at in [
        0, 7, 8, 24, 40, 44, 52, 84, 100, 108, 112, 128, 132, 164, 200,
    ] {
        let mut bad = envelope.clone();
        bad[at] ^= 1;
        cases.push((format!("a bit at {at} of the envelope"), "envelope", bad));
    }
    cases.push((
        "an envelope cut".into(),
        "envelope",
        envelope[..100].to_vec(),
    ));
    let mut absurd = [root(), root(), root(), root()];
    absurd[0].number = 0;
    absurd[1].number = 1;
    absurd[2].previous = [0; 32];
    absurd[3].hidden = absurd[3].objects + 1;
    for (at, root) in absurd.iter().enumerate() {
        let name = format!("a signed root that cannot be, {at}");
        cases.push((name, "envelope", signer.sign(root).unwrap()));
    }
    cases
}

/// A page and an index, whole and cut.
fn whole() -> Vec<Case> {
    let (index, pages, _) = build_pages(["a.txt", "a/b/1", "a/b/2", "a/c", "a0/x", "z"]);
    let index = index.encode().unwrap().to_vec();
    let mut cases: Vec<Case> = vec![("no entry at all".into(), "page", Vec::new())];
    for (piece, bytes) in [("page", pages[0].clone()), ("index", index)] {
        let cut = bytes[..bytes.len() - 1].to_vec();
        let longer = [&bytes[..], &[0]].concat();
        cases.push((format!("the {piece}"), piece, bytes));
        cases.push((format!("the {piece}, cut"), piece, cut));
        cases.push((format!("the {piece}, and a byte behind it"), piece, longer));
    }
    cases
}

fn folder(name: &[u8]) -> Vec<u8> {
    encoded(name, &Entry::Directory)
}

fn of(name: &[u8]) -> Vec<u8> {
    encoded(name, &Entry::File(file(3)))
}

/// A file's entry with one byte set, counted from its end.
fn with(behind: usize, byte: u8) -> Vec<u8> {
    let mut entry = of(b"a");
    let at = entry.len() - behind;
    entry[at] = byte;
    entry
}

fn bent() -> Vec<(&'static str, Vec<u8>)> {
    let mut kind = of(b"a");
    kind[0] = 3;
    let twice = [run(b"b/", &[of(b"x")]), run(b"a/", &[of(b"x")])];
    vec![
        ("names out of order", run(b"", &[of(b"b"), of(b"a")])),
        ("a name twice", run(b"", &[of(b"a"), of(b"a")])),
        ("directories out of order", twice.concat()),
        ("a run of nothing", run(b"a/", &[])),
        ("a directory without its slash", run(b"a", &[of(b"x")])),
        ("a directory with an empty part", run(b"a//", &[of(b"x")])),
        ("a directory named ..", run(b"../", &[of(b"x")])),
        ("a name with a slash", run(b"", &[of(b"a/b")])),
        ("a name with a zero byte", run(b"", &[of(b"a\0")])),
        ("an empty name", run(b"", &[of(b"")])),
        ("a name that is .", run(b"", &[of(b".")])),
        ("a directory's entry named ..", run(b"", &[folder(b"..")])),
        ("a name that is no UTF-8", run(b"", &[of(&[0xc3])])),
        ("a name of 256 bytes", run(b"", &[of(&[b'n'; 256])])),
        ("an unknown kind", run(b"", &[kind])),
        ("a checksum neither known nor not", run(b"", &[with(41, 2)])),
        (
            "an unknown checksum that is not zero",
            run(b"", &[with(33, 1)]),
        ),
        (
            "a directory among the hidden",
            run(&[0xfe], &[folder(b"a")]),
        ),
        ("a hidden name with slashes", run(&[0xfe], &[of(b"a//b/")])),
    ]
}

#[test]
fn the_vectors_are_those_of_this_format() {
    let signer = Signer::new(&Secret::take(&mut [1; 32])).unwrap();
    let key = signer.key();
    let cases: Vec<Value> = cases(&signer)
        .into_iter()
        .map(|(name, piece, bytes)| {
            let result = verdict(piece, &bytes, &key);
            json!({"name": name, "piece": piece, "hex": HEXLOWER.encode(&bytes), "result": result})
        })
        .collect();
    let refused = cases.iter().filter(|case| case["result"] != "ok").count();
    assert!(refused * 2 > cases.len(), "most must be refused");
    let all = json!({"signer": key.to_string(), "cases": cases});
    let text = serde_json::to_string_pretty(&all).unwrap() + "\n";
    let path = directory().join("vectors.json");
    #[expect(clippy::disallowed_methods, reason = "a test that writes its own file")]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
