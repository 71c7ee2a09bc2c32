//! The change log and the dump: each rebuilds an equal catalog.

use std::sync::Arc;

use bytes::Bytes;

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    Attached, CatalogError, Chain, Condition, Conflict, MemoryCatalog, Mutation, Setting,
    SettingKind, SharedCatalog, SqliteCatalog, codec,
};
use crate::types::{VersionName, Versioning};

/// A life of many kinds of commits.
fn life() -> Vec<Vec<Mutation>> {
    let mut commits = vec![
        vec![
            Mutation::CreateProject(project("icu")),
            Mutation::CreateProject(project("lab")),
            Mutation::CreatePrincipal(principal("ann")),
            Mutation::CreatePrincipal(workload("a-job", "ann")),
        ],
        vec![Mutation::CreateDataset(dataset(1, "icu", "ecg"))],
        vec![Mutation::CreateDataset(dataset(2, "lab", "dna"))],
        vec![Mutation::CreateDataset(dataset(3, "icu", "gone"))],
        vec![Mutation::CreateCredential(credential(1, "ann"))],
        vec![Mutation::CreateCredential(credential(2, "a-job"))],
        vec![Mutation::CreateCredential(credential(3, "a-job"))],
        vec![Mutation::CreateGrant(grant(1, "icu", "a-job"))],
        vec![Mutation::CreateGrant(grant(2, "lab", "ann"))],
        vec![Mutation::DeleteGrant(grant(2, "lab", "ann").id)],
        vec![Mutation::DeleteCredential(credential(3, "a-job").id)],
        vec![Mutation::DeleteDataset(dataset(3, "icu", "gone").id)],
    ];
    for number in 1..=40 {
        let key = format!("dir-{}/file {number}", number % 7);
        commits.push(vec![put(
            object(number, &key),
            fresh(&[number, number + 1000]),
        )]);
    }
    commits.extend([
        vec![put(object(50, "copy"), shared(&[1, 2, 3]))],
        vec![delete("dir-1/file 1", 51), delete("absent", 52)],
        vec![put(object(53, "dir-2/file 2"), fresh(&[53]))],
        vec![Mutation::CreateUpload(upload(60, "big"))],
        vec![Mutation::CreateUpload(upload(61, "big"))],
        vec![Mutation::CreateUpload(upload(62, "other"))],
        vec![put_part(part(60, 1, 70), fresh(&[70]))],
        vec![put_part(part(60, 2, 71), shared(&[70, 3]))],
        vec![put_part(part(61, 1, 72), fresh(&[72]))],
        vec![put_part(part(61, 1, 73), fresh(&[73]))],
        vec![put_part(part(61, 7, 74), fresh(&[74]))],
        vec![complete(60, &[(1, 70), (2, 71)], object(80, "big"))],
        vec![Mutation::AbortUpload {
            upload: upload_id(62),
            now: at(81),
        }],
    ]);
    commits.extend(versioned());
    commits.extend(super::people::life());
    commits.extend(super::approvals::life());
    commits
}

/// Versions, markers, what is attached and set.
fn versioned() -> Vec<Vec<Mutation>> {
    let tags = |text: &str| vec![(text.to_owned(), String::new())];
    let attach = |number, key: &str| Mutation::SetAttached {
        dataset: DATASET,
        key: key.parse().unwrap(),
        version: version(number),
        attached: Attached {
            tags: tags(key),
            ..Attached::default()
        },
    };
    let remove = |key: &str, marker| Mutation::RemoveObject {
        dataset: DATASET,
        key: key.parse().unwrap(),
        marker: version(marker),
        condition: Condition::None,
        now: at(marker.into()),
    };
    let state = |state| Mutation::SetVersioning {
        dataset: DATASET,
        state,
    };
    vec![
        vec![put(object(100, "v"), fresh(&[100])), attach(100, "v")],
        vec![state(Versioning::Enabled)],
        vec![put(object(101, "v"), fresh(&[101]))],
        vec![put(object(102, "v"), shared(&[100])), attach(101, "v")],
        vec![remove("v", 103), remove("never", 104)],
        vec![put(object(105, "w"), fresh(&[105])), attach(105, "w")],
        vec![put(object(106, "w"), fresh(&[106]))],
        vec![state(Versioning::Suspended)],
        vec![put(object(107, "w"), fresh(&[107])), remove("x", 108)],
        vec![Mutation::DeleteVersion {
            dataset: DATASET,
            key: "w".parse().unwrap(),
            version: VersionName::Id(version(105)),
            condition: Condition::None,
            now: at(109),
        }],
        vec![Mutation::SetSetting {
            dataset: DATASET,
            kind: SettingKind::Tags,
            value: Some(Setting::Tags(tags("a"))),
        }],
        vec![
            Mutation::CreateUpload(upload(110, "tagged")),
            Mutation::SetUploadTags {
                upload: upload_id(110),
                tags: tags("t"),
            },
        ],
    ]
}

async fn live(catalog: &SharedCatalog) {
    for commit in life() {
        catalog.commit(commit).await.unwrap();
    }
    assert_eq!(
        catalog.claim_unreferenced(at(60), 2).await.unwrap().len(),
        2
    );
}

/// Every page of a dump, as many bytes each.
async fn pages(catalog: &SharedCatalog, bytes_max: usize) -> Vec<Vec<Mutation>> {
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let (page, next) = catalog.dump(cursor, bytes_max).await.unwrap();
        assert!(!page.is_empty() || next.is_none());
        pages.push(page);
        cursor = next;
        if cursor.is_none() {
            return pages;
        }
    }
}

/// All that a catalog holds, but for the number of its newest change.
pub(super) async fn everything(catalog: &SharedCatalog) -> Vec<Mutation> {
    let mut all = pages(catalog, usize::MAX).await.concat();
    let first = all.remove(0);
    let seq = catalog.change_seq().await.unwrap();
    assert_eq!(first, Mutation::RestoreSeq(seq));
    all
}

async fn changes(catalog: &SharedCatalog, bytes_max: usize) -> Vec<(u64, Bytes)> {
    let mut all: Vec<(u64, Bytes)> = Vec::new();
    loop {
        let after = all.last().map_or(0, |(seq, _)| *seq);
        let some = catalog.changes(after, bytes_max).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

struct Pair {
    memory: SharedCatalog,
    sqlite: SharedCatalog,
    _directory: tempfile::TempDir,
}

fn pair() -> Pair {
    let directory = tempfile::tempdir().unwrap();
    Pair {
        memory: Arc::new(MemoryCatalog::new()),
        sqlite: SqliteCatalog::open(&directory.path().join("catalog.db")).unwrap(),
        _directory: directory,
    }
}

#[tokio::test]
async fn both_adapters_dump_the_same() {
    let pair = pair();
    live(&pair.memory).await;
    live(&pair.sqlite).await;
    assert_eq!(
        everything(&pair.memory).await,
        everything(&pair.sqlite).await
    );
}

#[tokio::test]
async fn a_dump_rebuilds_an_equal_catalog_in_the_other_adapter() {
    for bytes_max in [0, 700, 1 << 20] {
        let (old, new) = (pair(), pair());
        live(&old.memory).await;
        live(&old.sqlite).await;
        for (from, to) in [(&old.memory, &new.sqlite), (&old.sqlite, &new.memory)] {
            for page in pages(from, bytes_max).await {
                let sent = codec::decode(&codec::encode(&page)).unwrap();
                to.commit(sent).await.unwrap();
            }
            assert_eq!(everything(from).await, everything(to).await);
            let (older, newer) = (from.change_seq().await, to.change_seq().await);
            assert!(newer.unwrap() > older.unwrap());
        }
    }
}

#[tokio::test]
async fn the_change_log_rebuilds_an_equal_catalog() {
    for bytes_max in [0, 700, 1 << 20] {
        let (old, new) = (pair(), pair());
        live(&old.memory).await;
        live(&old.sqlite).await;
        for (from, to) in [(&old.memory, &new.sqlite), (&old.sqlite, &new.memory)] {
            for (seq, change) in changes(from, bytes_max).await {
                to.commit(codec::decode(&change).unwrap()).await.unwrap();
                assert_eq!(to.change_seq().await.unwrap(), seq);
            }
            assert_eq!(everything(from).await, everything(to).await);
        }
    }
}

#[tokio::test]
async fn a_dump_shows_one_moment() {
    on_each(|catalog| async move {
        live(&catalog).await;
        let before = everything(&catalog).await;
        let seq = catalog.change_seq().await.unwrap();
        let (mut all, mut cursor) = catalog.dump(None, 0).await.unwrap();
        catalog
            .commit(vec![put(object(120, "copy"), fresh(&[120]))])
            .await
            .unwrap();
        while cursor.is_some() {
            let (page, next) = catalog.dump(cursor, 500).await.unwrap();
            all.extend(page);
            cursor = next;
        }
        assert_eq!(all.remove(0), Mutation::RestoreSeq(seq));
        assert_eq!(all, before);
        // The change after that number brings a rebuilt catalog up to date.
        let rebuilt: SharedCatalog = Arc::new(MemoryCatalog::new());
        rebuilt.commit(all).await.unwrap();
        for (_, change) in catalog.changes(seq, 1).await.unwrap() {
            let mutations = codec::decode(&change).unwrap();
            rebuilt.commit(mutations).await.unwrap();
        }
        assert_eq!(everything(&rebuilt).await, everything(&catalog).await);
    })
    .await;
}

#[tokio::test]
async fn a_dump_that_another_ended_is_over() {
    on_each(|catalog| async move {
        live(&catalog).await;
        let (_, first) = catalog.dump(None, 0).await.unwrap();
        let (_, second) = catalog.dump(None, 0).await.unwrap();
        assert!(first.is_some() && second.is_some());
        let ended = catalog.dump(first, 0).await;
        assert!(matches!(ended, Err(CatalogError::Failed { .. })));
        assert!(catalog.dump(second, 0).await.is_ok());
        let forged = catalog.dump(Some(Bytes::from_static(b"x")), 0).await;
        assert!(matches!(forged, Err(CatalogError::Failed { .. })));
    })
    .await;
}

#[tokio::test]
async fn changes_are_forgotten_and_numbers_are_not() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for number in 1..=4 {
            let write = put(object(number, "k"), fresh(&[number]));
            catalog.commit(vec![write]).await.unwrap();
        }
        let refusal = catalog
            .commit(vec![Mutation::CreateProject(project("icu"))])
            .await;
        assert_eq!(refusal, refused(Conflict::ProjectExists));
        assert_eq!(catalog.change_seq().await.unwrap(), 5);
        assert_eq!(catalog.chain().await.unwrap(), None);
        let chain = Chain {
            upto: 3,
            next: 7,
            ..Chain::default()
        };
        catalog.keep_chain(&chain).await.unwrap();
        assert_eq!(catalog.chain().await.unwrap(), Some(chain.clone()));
        let left = changes(&catalog, 1 << 20).await;
        let numbers: Vec<u64> = left.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(numbers, [4, 5]);
        assert_eq!(catalog.change_seq().await.unwrap(), 5);
        let all = Chain {
            upto: u64::MAX,
            ..chain
        };
        catalog.keep_chain(&all).await.unwrap();
        assert!(changes(&catalog, 1 << 20).await.is_empty());
        catalog.commit(vec![delete("k", 9)]).await.unwrap();
        assert_eq!(catalog.change_seq().await.unwrap(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_commit_beyond_all_bounds_is_refused() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let mut row = object(1, "k");
        let bytes = crate::types::limits::CATALOG_CHANGE_BYTES_MAX;
        row.sealed_table = Bytes::from(vec![0; bytes]);
        let answer = catalog.commit(vec![put(row, fresh(&[1]))]).await;
        assert!(matches!(answer, Err(CatalogError::Failed { .. })));
    })
    .await;
}
