//! Parts cut from wholes: nothing but the prefix, all of it, and the same whoever cuts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::build_pages;
use super::*;
use crate::types::{BucketName, Secret, Timestamp};

/// The sort keys of a part, cut as the vault cuts it, in order of the pages.
fn part_of(keys: &BTreeSet<String>, prefix: &str) -> Vec<Vec<u8>> {
    let (index, pages, _) = build_pages(keys.iter().map(String::as_str));
    let pages: Vec<Page> = pages
        .into_iter()
        .map(|bytes| Page::decode(bytes).unwrap())
        .collect();
    let scope = Scope::of(prefix).unwrap();
    let mut cut: Vec<Built> = Vec::new();
    for range in scope.ranges() {
        let from = index.seek(range.start());
        let some = pages.iter().zip(index.pages()).skip(from);
        for (page, _) in some.take_while(|(_, named)| !range.is_before(&named.first)) {
            cut.extend(page.cut(range).unwrap());
        }
    }
    let way = scope.last_on_the_way().filter(|key| {
        let at = index.seek(key);
        pages.get(at).is_some_and(|page| {
            let found = page.get(page.seek(key));
            found.is_some_and(|entry| entry.sort_key() == *key)
        })
    });
    if way.is_some() {
        cut.extend(scope.way().unwrap());
    }
    cut.sort_by(|a, b| a.first.cmp(&b.first));
    let mut all = Vec::new();
    for built in cut {
        let page = Page::decode(built.bytes).unwrap();
        assert_eq!(page.len(), usize::try_from(built.entries).unwrap());
        assert_eq!(page.get(0).unwrap().sort_key(), built.first);
        assert_eq!(page.get(page.len() - 1).unwrap().sort_key(), built.last);
        assert!(scope.holds(&built.first) && scope.holds(&built.last));
        all.extend((0..page.len()).map(|at| page.get(at).unwrap().sort_key()));
    }
    all
}

/// The same from the definition: all entries of the whole whose path begins with the prefix, and
/// the directories on the way to it.
fn expected(keys: &BTreeSet<String>, prefix: &str) -> Vec<Vec<u8>> {
    let (_, pages, _) = build_pages(keys.iter().map(String::as_str));
    let pages: Vec<Page> = pages
        .into_iter()
        .map(|bytes| Page::decode(bytes).unwrap())
        .collect();
    let entries = || {
        let each = pages
            .iter()
            .map(|page| (0..page.len()).map(|at| page.get(at)));
        each.flatten().flatten()
    };
    let path = |entry: &EntryRef<'_>| {
        let directory = if entry.is_hidden() {
            &b""[..]
        } else {
            entry.directory
        };
        let slash: &[u8] = if entry.is_directory { b"/" } else { b"" };
        [directory, entry.name, slash].concat()
    };
    let cut = prefix.rfind('/').map_or(0, |at| at + 1);
    let last = &prefix.as_bytes()[..cut];
    let there = entries().any(|entry| entry.is_directory && path(&entry) == last);
    let mut all: Vec<Vec<u8>> = Vec::new();
    for entry in entries() {
        let path = path(&entry);
        // The directory that the prefix names is on the way.
        let named = entry.is_directory && path == prefix.as_bytes();
        let below = path.starts_with(prefix.as_bytes()) && !named;
        let above = entry.is_directory && prefix.as_bytes().starts_with(&path);
        if below || (above && there) {
            all.push(entry.sort_key());
        }
    }
    all.sort();
    all
}

fn keys(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn shown(part: &[Vec<u8>]) -> Vec<String> {
    let text = |key: &Vec<u8>| String::from_utf8_lossy(key).replace('\u{fffd}', "|");
    part.iter().map(text).collect()
}

#[test]
fn a_part_holds_what_lies_under_its_prefix_and_the_way_to_it() {
    let all = keys(&["a/1", "a/b/1", "a/b/2", "a/bc/3", "a/c", "b", "z/a/b/1"]);
    assert_eq!(
        shown(&part_of(&all, "a/b/")),
        ["a/b/|1", "a/b/|2", "a/|b/", "|a/"]
    );
    assert_eq!(
        shown(&part_of(&all, "a/b")),
        ["a/b/|1", "a/b/|2", "a/bc/|3", "a/|b/", "a/|bc/", "|a/"]
    );
    assert_eq!(shown(&part_of(&all, "b")), ["|b"]);
    assert!(part_of(&all, "c/").is_empty());
    // Of a directory that is not there, not even those above it.
    assert!(part_of(&all, "a/d/").is_empty());
}

#[test]
fn objects_that_no_directory_shows_are_cut_too() {
    let all = keys(&["a/", "a//x", "b//y", "c"]);
    assert_eq!(shown(&part_of(&all, "b/")), ["||b//y"]);
    assert_eq!(shown(&part_of(&all, "a/")), ["||a/", "||a//x", "|a/"]);
}

#[test]
fn a_prefix_has_bounds() {
    assert!(Scope::of("").is_err());
    assert!(Scope::of(&"a".repeat(1_025)).is_err());
    assert!(Scope::of(&"a/".repeat(512)).is_ok());
}

fn part() -> Part {
    Part {
        whole: [1; 32],
        number: 2,
        frozen: Timestamp::from_millis(3),
        previous: [5; 32],
        pages: 2,
        index_bytes: 3,
        index: [4; 32],
        bucket: BucketName {
            project: "icu".parse().unwrap(),
            dataset: "ecg".parse().unwrap(),
        },
        prefix: "a/".into(),
    }
}

#[test]
fn a_part_is_believed_under_its_signature_only_and_no_root_passes_for_one() {
    let signer = Signer::new(&Secret::take(&mut [7; 32])).unwrap();
    let envelope = signer.sign_part(&part()).unwrap();
    assert_eq!(signer.key().open_part(&envelope).unwrap(), part());
    for at in 0..envelope.len() * 8 {
        let mut bent = envelope.clone();
        bent[at / 8] ^= 1 << (at % 8);
        assert!(signer.key().open_part(&bent).is_err(), "bit {at}");
    }
    assert!(signer.key().open(&envelope).is_err());
    let other = Signer::new(&Secret::take(&mut [8; 32])).unwrap();
    assert!(other.key().open_part(&envelope).is_err());
}

#[test]
fn a_parts_root_has_one_encoding() {
    let good = part().encode().unwrap();
    assert!(Part::decode(&[&good[..], b"x"].concat()).is_err());
    for end in 0..good.len() {
        assert!(Part::decode(&good[..end]).is_err(), "{end} bytes");
    }
    let none = Part {
        prefix: String::new(),
        ..part()
    };
    assert!(Part::decode(&none.encode().unwrap()).is_err());
    for (number, previous, good) in [
        (1, [0; 32], true),
        (0, [0; 32], false),
        (1, [5; 32], false),
        (2, [0; 32], false),
    ] {
        let part = Part {
            number,
            previous,
            ..part()
        };
        assert_eq!(
            Part::decode(&part.encode().unwrap()).is_ok(),
            good,
            "{number}"
        );
    }
    // The form that came with the whole's root is none any more.
    let old = [b"KLUISP1\0", &good[8..]].concat();
    assert!(Part::decode(&old).is_err());
}

proptest! {
    #[test]
    fn a_part_is_the_whole_without_what_lies_elsewhere(
        keys in prop::collection::btree_set("[ab/]{1,6}", 0..40),
        prefix in "[ab/]{1,4}",
    ) {
        let keys: BTreeSet<String> = keys.into_iter().filter(|key| !key.starts_with('/')).collect();
        prop_assert_eq!(part_of(&keys, &prefix), expected(&keys, &prefix));
    }

    #[test]
    fn random_bytes_are_no_part(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Part::decode(&bytes).is_err());
    }
}
