//! Manifests built, read, bent and believed or not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::{BlobId, DatasetId, ETag, PublicationId, Secret, Timestamp, VersionId};

pub(super) fn file(number: u64) -> FileEntry {
    let version = VersionId::from_bytes(u128::from(number).to_be_bytes());
    FileEntry {
        bytes: number,
        modified: Timestamp::from_millis(number),
        version,
        etag: ETag::of(&version, 0),
        crc64: number.is_multiple_of(2).then_some(number),
        commitment: [7; 32],
    }
}

/// The pages of these keys, encoded and in order, with their index.
pub(super) fn build_pages<'a>(
    keys: impl IntoIterator<Item = &'a str>,
) -> (Index, Vec<Vec<u8>>, u64) {
    let mut builder = Builder::default();
    let mut built = Vec::new();
    for (number, key) in keys.into_iter().enumerate() {
        let file = file(number.try_into().unwrap());
        built.extend(builder.add(Listed { key, file }).unwrap());
    }
    let (rest, hidden) = builder.finish().unwrap();
    built.extend(rest);
    built.sort_by(|a, b| a.first.cmp(&b.first));
    let pages = built.iter().map(|page| PageRef {
        blob: BlobId::from_bytes([1; 16]),
        key: Secret::take(&mut [2; 32]),
        bytes: page.bytes.len().try_into().unwrap(),
        digest: [3; 32],
        entries: page.entries,
        first: page.first.clone(),
        last: page.last.clone(),
    });
    let index = Index::new(pages.collect()).unwrap();
    (
        index,
        built.into_iter().map(|page| page.bytes).collect(),
        hidden,
    )
}

/// The same, decoded; what the index says of each page is so.
fn build<'a>(keys: impl IntoIterator<Item = &'a str>) -> (Index, Vec<Page>, u64) {
    let (index, pages, hidden) = build_pages(keys);
    let pages: Vec<Page> = pages
        .into_iter()
        .zip(index.pages())
        .map(|(bytes, named)| {
            let decoded = Page::decode(bytes).unwrap();
            assert_eq!(decoded.len(), usize::try_from(named.entries).unwrap());
            assert_eq!(decoded.get(0).unwrap().sort_key(), named.first);
            let last = decoded.get(decoded.len() - 1).unwrap();
            assert_eq!(last.sort_key(), named.last);
            decoded
        })
        .collect();
    (index, pages, hidden)
}

/// Directory path and name of every entry, a directory's with a slash.
fn entries(pages: &[Page]) -> Vec<(String, String)> {
    let all = pages
        .iter()
        .flat_map(|page| (0..page.len()).filter_map(|at| page.get(at)));
    all.map(|entry| {
        let slash = if entry.is_directory { "/" } else { "" };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(entry.directory), text(entry.name) + slash)
    })
    .collect()
}

#[test]
fn a_tree_is_sorted_by_directory_and_every_directory_is_one_run() {
    let keys = ["a.txt", "a/b/1", "a/b/2", "a/c", "a0/x", "z"];
    let (_, pages, hidden) = build(keys);
    assert_eq!(hidden, 0);
    let found = entries(&pages);
    let found: Vec<_> = found
        .iter()
        .map(|(d, n)| (d.as_str(), n.as_str()))
        .collect();
    let expected = [
        ("a/b/", "1"),
        ("a/b/", "2"),
        ("a/", "b/"),
        ("a/", "c"),
        ("a0/", "x"),
        ("", "a.txt"),
        ("", "a/"),
        ("", "a0/"),
        ("", "z"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_no_directory_can_show_is_kept_apart() {
    let long = format!("{}/x", "n".repeat(256));
    let mut keys = vec![
        "/x",
        ".kluis/plan",
        "a//b",
        "d/",
        "f",
        "f!",
        "f/under",
        "ok/dir/",
        "g/h",
        "g/h/i/j",
        &long,
    ];
    keys.sort_unstable();
    let (_, pages, hidden) = build(keys);
    assert_eq!(hidden, 8);
    let found = entries(&pages);
    let shown: Vec<_> = found.iter().filter(|(d, _)| d != "\u{fffd}").collect();
    let shown: Vec<String> = shown.iter().map(|(d, n)| format!("{d}{n}")).collect();
    // A directory's own marker makes the directory; a file wins over what lies below its name.
    assert_eq!(shown, ["g/h", "ok/dir/", "d/", "f", "f!", "g/", "ok/"]);
}

#[test]
fn a_folder_marker_is_a_key_that_a_directory_could_have() {
    for marker in ["d/", "ok/dir/", "with space/", ".hidden/"] {
        assert!(is_marker(marker), "{marker}");
    }
    let long = format!("{}/", "n".repeat(256));
    for other in [
        "d",
        "/",
        "a//",
        "/d/",
        "",
        ".kluis/",
        ".kluis/d/",
        "../",
        "a/./",
        &long,
    ] {
        assert!(!is_marker(other), "{other}");
    }
}

#[test]
fn objects_out_of_order_are_refused() {
    for pair in [["b", "a"], ["a", "a"], ["a/b", "a.b/c"], ["d/x", "c/x"]] {
        let mut builder = Builder::default();
        let results: Vec<_> = pair
            .iter()
            .map(|key| builder.add(Listed { key, file: file(1) }).map(drop))
            .collect();
        let refused = results.contains(&Err(ManifestError::Form));
        // What closes a directory early shows at the end, when its pages overlap.
        assert!(
            refused || pair == ["a/b", "a.b/c"] || pair == ["d/x", "c/x"],
            "{pair:?}"
        );
    }
}

#[test]
fn many_files_make_many_pages_that_do_not_overlap() {
    // A wide directory with small ones between, and a deep chain.
    let mut keys: Vec<String> = (0..6_000).map(|n| format!("wide/{n:05}")).collect();
    keys.extend(
        (0..6_000)
            .step_by(7)
            .map(|n| format!("wide/{n:05}.d/leaf-{n}")),
    );
    keys.extend((0..3_000).map(|n| format!("small/{n:04}/only-file-of-its-directory")));
    keys.extend((1..100).map(|n| format!("{}x", "deep/".repeat(n))));
    keys.sort_unstable();
    let (index, pages, hidden) = build(keys.iter().map(String::as_str));
    assert_eq!(hidden, 0);
    assert!(pages.len() >= 4, "{}", pages.len());
    let mut files: Vec<String> = entries(&pages)
        .into_iter()
        .filter(|(_, name)| !name.ends_with('/'))
        .map(|(directory, name)| format!("{directory}{name}"))
        .collect();
    files.sort_unstable();
    assert_eq!(files, keys);
    // Every entry is found from the index down.
    for (at, page) in pages.iter().enumerate() {
        for slot in 0..page.len() {
            let key = page.get(slot).unwrap().sort_key();
            assert_eq!((index.seek(&key), page.seek(&key)), (at, slot));
        }
    }
}

pub(super) fn root() -> Root {
    Root {
        dataset: DatasetId::from_bytes([1; 16]),
        publication: PublicationId::from_bytes([2; 16]),
        number: 3,
        frozen: Timestamp::from_millis(4),
        previous: [5; 32],
        objects: 6,
        bytes: 7,
        hidden: 1,
        pages: 8,
        index: IndexRef {
            blob: BlobId::from_bytes([9; 16]),
            bytes: 10,
            digest: [11; 32],
        },
        bucket: crate::types::BucketName {
            project: "icu".parse().unwrap(),
            dataset: "ecg".parse().unwrap(),
        },
    }
}

#[test]
fn no_changed_bit_of_an_envelope_is_believed() {
    let signer = Signer::new(&Secret::take(&mut [1; 32])).unwrap();
    let envelope = signer.sign(&root()).unwrap();
    let (found, digest) = signer.key().open(&envelope).unwrap();
    assert_eq!(found, root());
    assert_eq!(Root::of_envelope(&envelope).unwrap(), (found, digest));
    for at in 0..envelope.len() * 8 {
        let mut bad = envelope.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert_eq!(
            signer.key().open(&bad),
            Err(ManifestError::Signature),
            "bit {at}"
        );
    }
    for cut in 0..envelope.len() {
        assert!(signer.key().open(&envelope[..cut]).is_err());
    }
    let other = Signer::new(&Secret::take(&mut [2; 32])).unwrap();
    assert_eq!(other.key().open(&envelope), Err(ManifestError::Signature));
}

#[test]
fn a_root_that_cannot_be_is_refused_whoever_signed_it() {
    let signer = Signer::new(&Secret::take(&mut [1; 32])).unwrap();
    let cases: [fn(&mut Root); 6] = [
        |root| root.number = 0,
        |root| root.number = 1,
        |root| root.previous = [0; 32],
        |root| root.hidden = 7,
        |root| root.pages = 0,
        |root| root.objects = 0,
    ];
    for bend in cases {
        let mut bent = root();
        bend(&mut bent);
        let envelope = signer.sign(&bent).unwrap();
        assert_eq!(signer.key().open(&envelope), Err(ManifestError::Form));
    }
}

proptest! {
    #[test]
    fn any_tree_is_found_whole(names in prop::collection::btree_set("[ab.]{1,3}(/[ab0!]{1,2}){0,3}/?", 1..60)) {
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|key| {
            key.split('/').all(|part| part != "." && part != "..")
        }).collect();
        let (index, pages, hidden) = build(names.iter().copied());
        let mut seen = BTreeMap::new();
        let mut kept_apart = 0_u64;
        for page in &pages {
            for at in 0..page.len() {
                let entry = page.get(at).unwrap();
                prop_assert_eq!(pages[index.seek(&entry.sort_key())].seek(&entry.sort_key()), at);
                if let Entry::File(file) = entry.entry().unwrap() {
                    kept_apart += u64::from(entry.is_hidden());
                    prop_assert!(seen.insert(entry.key().unwrap(), file.bytes).is_none());
                }
            }
        }
        prop_assert_eq!(kept_apart, hidden);
        let all: Vec<_> = seen.keys().map(String::as_str).collect();
        prop_assert_eq!(all, names);
    }

    #[test]
    fn bent_pages_do_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let keys = ["a/b/1", "a/b/2", "a/c", "z"];
        let mut builder = Builder::default();
        for key in keys {
            builder.add(Listed { key, file: file(3) }).unwrap();
        }
        let (mut built, _) = builder.finish().unwrap();
        let mut bytes = built.remove(0).bytes;
        let end = cut.index(bytes.len());
        prop_assert!(Page::decode(bytes[..end].to_vec()).is_ok_and(|page| page.len() < 7) || Page::decode(bytes[..end].to_vec()).is_err());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(page) = Page::decode(bytes) {
            for at in 0..page.len() {
                prop_assert!(page.get(at).unwrap().entry().is_ok());
            }
        }
    }

    #[test]
    fn an_index_reads_what_it_writes_and_refuses_all_else(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (index, _, _) = build(["a/b/1", "a/c", "z"]);
        let bytes = index.encode().unwrap();
        let again = Index::decode(&bytes).unwrap().encode().unwrap();
        prop_assert_eq!(&*again, &*bytes);
        let mut bad = bytes.to_vec();
        bad.push(0);
        prop_assert!(Index::decode(&bad).is_err());
        bad.pop();
        let at = at.index(bad.len());
        bad[at] ^= 1 << bit;
        if let Ok(other) = Index::decode(&bad) {
            let again = other.encode().unwrap();
            prop_assert_eq!(&**again, &*bad);
        }
    }
}
