//! Listings against a naive oracle, over keys that are chosen to be nasty.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::samples::*;
use crate::catalog::{ListEntry, ListQuery, MemoryCatalog, Mutation, SharedCatalog, SqliteCatalog};
use crate::types::{DatasetId, ObjectKey};

/// Pieces of keys: delimiters of one and of many characters, neighbours of `/` in byte order, the
/// ends of the one-, two-, three- and four-byte ranges of UTF-8.
const PIECES: &[&str] = &[
    "/",
    "//",
    "a",
    "b",
    "ab",
    ".",
    "0",
    " ",
    "::",
    ":",
    "\u{7e}",
    "\u{a0}",
    "\u{7ff}",
    "\u{800}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10ffff}",
    "\u{e9}",
    "-",
];

fn text(pieces: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = String> {
    vec(select(PIECES), pieces).prop_map(|pieces| pieces.concat())
}

fn keys() -> impl Strategy<Value = BTreeSet<String>> {
    let key = text(1..6).prop_filter("a key", |key| key.parse::<ObjectKey>().is_ok());
    proptest::collection::btree_set(key, 0..40)
}

fn query() -> impl Strategy<Value = ListQuery> {
    let delimiter = prop_oneof![
        3 => Just(None),
        6 => Just(Some("/".to_owned())),
        1 => Just(Some(String::new())),
        4 => text(1..3).prop_map(Some),
    ];
    (
        prop_oneof![2 => Just(String::new()), 3 => text(0..3)],
        delimiter,
        proptest::option::of(text(0..5)),
        0_usize..8,
    )
        .prop_map(|(prefix, delimiter, after, limit)| ListQuery {
            prefix,
            delimiter,
            after,
            limit,
        })
}

/// Texts of all entries that a query gives without a limit, each with whether it is folded.
fn oracle(keys: &BTreeSet<String>, query: &ListQuery) -> Vec<(String, bool)> {
    let mut entries = BTreeSet::new();
    for key in keys {
        let Some(rest) = key.strip_prefix(&query.prefix) else {
            continue;
        };
        let delimiter = query.delimiter.as_deref().unwrap_or_default();
        let entry = match rest.split_once(delimiter) {
            Some((head, _)) if !delimiter.is_empty() => {
                (format!("{}{head}{delimiter}", query.prefix), true)
            }
            _ => (key.clone(), false),
        };
        if entry.0.as_bytes() > query.after.as_deref().unwrap_or_default().as_bytes() {
            entries.insert(entry);
        }
    }
    entries.into_iter().collect()
}

async fn fill(catalog: &SharedCatalog, keys: &BTreeSet<String>) {
    furnish(catalog).await;
    let neighbours = [0, 2].map(|number| {
        let row = dataset(number, "icu", &format!("other-{number}"));
        Mutation::CreateDataset(row)
    });
    let mut commit = neighbours.to_vec();
    for (number, key) in (1..).zip(keys) {
        commit.push(put(object(number, key), fresh(&[number])));
        for neighbour in [0_u8, 2] {
            let mut row = object(number, key);
            row.dataset = DatasetId::from_bytes([neighbour; 16]);
            commit.push(put(row, shared(&[number])));
        }
    }
    catalog.commit(commit).await.unwrap();
}

async fn texts(catalog: &SharedCatalog, query: &ListQuery) -> (Vec<(String, bool)>, bool) {
    let page = catalog.list(&DATASET, query).await.unwrap();
    let entries = page.entries.into_iter().map(|entry| match entry {
        ListEntry::Object {
            key,
            bytes,
            etag,
            modified,
        } => {
            let written = object(u32::try_from(bytes).unwrap(), key.as_str());
            assert_eq!((etag, modified), (written.etag, written.modified));
            (key.as_str().to_owned(), false)
        }
        ListEntry::Prefix(prefix) => (prefix, true),
    });
    (entries.collect(), page.more)
}

/// One page is as the oracle says, and pages that follow each other miss and repeat nothing.
async fn agrees(catalog: &SharedCatalog, keys: &BTreeSet<String>, query: &ListQuery) {
    let expected = oracle(keys, query);
    let (page, more) = texts(catalog, query).await;
    let cut = query.limit.min(expected.len());
    assert_eq!(page, expected[..cut], "{query:?} of {keys:?}");
    assert_eq!(more, query.limit > 0 && expected.len() > cut, "{query:?}");
    let mut walked = Vec::new();
    let mut next = ListQuery {
        limit: query.limit.max(1),
        ..query.clone()
    };
    loop {
        let (page, more) = texts(catalog, &next).await;
        next.after = page.last().map(|(text, _)| text.clone());
        walked.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(walked, expected, "{query:?} of {keys:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn pages_are_as_the_oracle_says(keys in keys(), queries in vec(query(), 12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let sqlite = SqliteCatalog::open(&directory.path().join("catalog.db")).unwrap();
            let catalogs: [SharedCatalog; 2] = [Arc::new(MemoryCatalog::new()), sqlite];
            for catalog in &catalogs {
                fill(catalog, &keys).await;
                for query in &queries {
                    agrees(catalog, &keys, query).await;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_page_has_a_bound_of_its_own() {
    super::on_each(|catalog| async move {
        let keys: BTreeSet<String> = (0..1_002).map(|n| format!("k{n:04}")).collect();
        fill(&catalog, &keys).await;
        let all = ListQuery {
            limit: usize::MAX,
            ..ListQuery::default()
        };
        let page = catalog.list(&DATASET, &all).await.unwrap();
        assert_eq!((page.entries.len(), page.more), (1_000, true));
    })
    .await;
}
