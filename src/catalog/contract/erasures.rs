//! What an erasure of less than a dataset takes, and what it says that it took.

use bytes::Bytes;

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    Attached, BlobUse, Conflict, EraseScope, Issue, KeyWorkRow, MarkerRow, Mutation, ObjectRow,
    PublicationRow, SharedCatalog, Tally, WorkEnd,
};
use crate::types::{
    KeyWorkId, ObjectKey, PublicationId, VersionId, VersionName, Versioning, limits,
};

fn publish(of: u32, number: u32) -> Vec<Mutation> {
    let publication = PublicationId::from_bytes(id(of));
    let freeze = Mutation::Freeze(PublicationRow {
        id: publication,
        dataset: DATASET,
        publisher: "ann".parse().unwrap(),
        frozen: at(5),
        issue: None,
    });
    let issue = Mutation::Issue {
        publication,
        issue: Issue {
            number,
            envelope: Bytes::from_static(b"root"),
            sealed_key: Bytes::from_static(b"key"),
        },
        blobs: BlobUse::default(),
    };
    vec![freeze, issue]
}

fn work(number: u32, scope: EraseScope) -> KeyWorkRow {
    KeyWorkRow {
        id: KeyWorkId::from_bytes(id(number)),
        dataset: DATASET,
        bucket: bucket("icu", "ecg"),
        scope: Some(scope),
        floor: number,
        keys: vec![1],
        persons: vec!["ann".parse().unwrap(), "bob".parse().unwrap()],
        reason: "why".into(),
        begun: at(number.into()),
        tally: Tally::default(),
        end: None,
    }
}

fn tag(number: u32, key: &str) -> Mutation {
    Mutation::SetAttached {
        dataset: DATASET,
        key: key.parse().unwrap(),
        version: version(number),
        attached: Attached {
            tags: vec![("state".into(), "clean".into())],
            ..Attached::default()
        },
    }
}

/// The keys of what was erased, how many blobs stay, and that the tally says as much.
async fn taken(catalog: &SharedCatalog, number: u32) -> (Vec<String>, u64) {
    let work = KeyWorkId::from_bytes(id(number));
    let erased = catalog.erased(&work, 0, 100).await.unwrap();
    let row = catalog.key_work(&work).await.unwrap().unwrap();
    let mut said = Tally::default();
    for write in &erased {
        said.add(write);
    }
    assert_eq!(
        (row.tally.writes, row.tally.bytes, row.tally.digest),
        (said.writes, said.bytes, said.digest)
    );
    let (_, kept) = catalog.doomed(&work, 100).await.unwrap();
    let keys = erased.iter().map(|write| write.key.to_string());
    (keys.collect(), kept)
}

/// Tagging what is frozen gives the live object a body of its own: it is the same write.
#[tokio::test]
async fn an_erased_version_takes_no_write_that_is_still_had() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commit = async |mutations| catalog.commit(mutations).await.unwrap();
        let objects = [(1, "gone"), (2, "kept"), (3, "tagged"), (4, "twice")];
        for (number, key) in objects {
            commit(vec![put(object(number, key), fresh(&[number]))]).await;
        }
        commit(publish(20, 1)).await;
        commit(vec![delete("gone", 6), tag(3, "tagged"), tag(4, "twice")]).await;
        commit(publish(21, 2)).await;
        commit(vec![delete("twice", 7)]).await;
        let (all, _) = catalog.dump(None, usize::MAX).await.unwrap();
        erases_one_and_then_the_other(&catalog).await;
        on_each(|again| {
            let all = all.clone();
            async move {
                again.commit(all).await.unwrap();
                erases_one_and_then_the_other(&again).await;
            }
        })
        .await;
    })
    .await;
}

async fn erases_one_and_then_the_other(catalog: &SharedCatalog) {
    let first = KeyWorkId::from_bytes(id(30));
    let erase = |number, of| {
        let row = work(number, EraseScope::Published(of));
        vec![Mutation::BeginKeyWork(row)]
    };
    catalog.commit(erase(30, 1)).await.unwrap();
    assert_eq!(taken(catalog, 30).await, (vec!["gone".to_owned()], 0));
    for key in ["kept", "tagged"] {
        let key: ObjectKey = key.parse().unwrap();
        assert!(catalog.object(&DATASET, &key).await.unwrap().is_some());
    }
    let (blobs, _) = catalog.doomed(&first, 9).await.unwrap();
    assert_eq!(blobs, [blob(1)]);
    let forget = Mutation::ForgetDoomed { work: first, blobs };
    let end = Mutation::EndKeyWork {
        work: first,
        end: WorkEnd {
            at: at(900),
            certificate: "signed".into(),
        },
    };
    catalog.commit(vec![forget, end]).await.unwrap();
    catalog.commit(erase(31, 2)).await.unwrap();
    assert_eq!(taken(catalog, 31).await, (vec!["twice".to_owned()], 0));
}

/// Clients call each of them `null` while it is there; an id is one of them.
#[tokio::test]
async fn an_id_names_one_write_though_no_versions_were_kept() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for number in 1..4 {
            let written = put(object(number, "k"), fresh(&[number]));
            catalog.commit(vec![written]).await.unwrap();
            catalog.commit(publish(20 + number, number)).await.unwrap();
        }
        let one = |number| {
            let name = VersionName::Id(version(number));
            let scope = EraseScope::Version("k".parse().unwrap(), name);
            vec![Mutation::BeginKeyWork(work(30, scope))]
        };
        let absent = catalog.commit(one(9)).await;
        assert_eq!(absent, refused(Conflict::NoObject));
        catalog.commit(one(3)).await.unwrap();
        assert_eq!(taken(&catalog, 30).await, (vec!["k".to_owned()], 0));
        let key: ObjectKey = "k".parse().unwrap();
        assert_eq!(catalog.object(&DATASET, &key).await.unwrap(), None);
        for number in 1..4 {
            let of = PublicationId::from_bytes(id(20 + number));
            let there = catalog.frozen(&of, &key).await.unwrap();
            assert_eq!(there.is_some(), number != 3, "{number}");
        }
    })
    .await;
}

/// A rotation reads pages of writes until one is empty, and destroys the old key then.
#[tokio::test]
async fn markers_alone_are_no_end_of_the_writes() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for number in 1..5_u32 {
            let marker = Mutation::RestoreMarker(MarkerRow {
                dataset: DATASET,
                key: format!("a{number}").parse().unwrap(),
                version: version(number),
                versioned: true,
                modified: at(9),
            });
            catalog.commit(vec![marker]).await.unwrap();
        }
        let last = put(object(9, "b"), fresh(&[9]));
        catalog.commit(vec![last]).await.unwrap();
        let page = catalog.writes(&DATASET, None, 2).await.unwrap();
        let keys: Vec<&str> = page.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["b"]);
    })
    .await;
}

/// A rotation reads them, of all keys or of one: large tables are no page that kills it. What is
/// overwritten between two pages is met all the same, and once.
#[tokio::test]
async fn a_page_of_writes_ends_early() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let versions = Mutation::SetVersioning {
            dataset: DATASET,
            state: Versioning::Enabled,
        };
        catalog.commit(vec![versions]).await.unwrap();
        let large = |number, key: &str| ObjectRow {
            sealed_table: vec![5; limits::PAGE_BYTES_MAX / 2 + 1].into(),
            ..object(number, key)
        };
        for (number, key) in [(3, "a"), (5, "a"), (4, "a"), (1, "b"), (2, "c")] {
            let written = put(large(number, key), fresh(&[number]));
            catalog.commit(vec![written]).await.unwrap();
        }
        for (limit, most) in [(1_000, 2), (1, 1)] {
            let mut seen: Vec<(ObjectKey, VersionId)> = Vec::new();
            loop {
                let after = seen.last().map(|(key, version)| (key, *version));
                let page = catalog.writes(&DATASET, after, limit).await.unwrap();
                assert!(page.len() <= most, "{}", page.len());
                if page.is_empty() {
                    break;
                }
                seen.extend(page.into_iter().map(|row| (row.key, row.version)));
                if limit == 1 && seen.len() == 2 {
                    let newer = put(object(9, "b"), fresh(&[9]));
                    catalog.commit(vec![newer]).await.unwrap();
                }
            }
            let named = |(key, number): (&str, u32)| (key.parse().unwrap(), version(number));
            let mut expected: Vec<(ObjectKey, VersionId)> =
                [("a", 3), ("a", 4), ("a", 5), ("b", 1), ("c", 2)]
                    .map(named)
                    .into();
            if limit == 1 {
                expected.insert(4, named(("b", 9)));
            }
            assert_eq!(seen, expected);
        }
    })
    .await;
}

/// A rotation seals again what is being published, however much of others is.
#[tokio::test]
async fn what_is_being_published_is_found_by_its_dataset() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let other = dataset(77, "icu", "other");
        catalog
            .commit(vec![Mutation::CreateDataset(other.clone())])
            .await
            .unwrap();
        let freeze = |number: u32, dataset| {
            Mutation::Freeze(PublicationRow {
                id: PublicationId::from_bytes(id(number)),
                dataset,
                publisher: "ann".parse().unwrap(),
                frozen: at(number.into()),
                issue: None,
            })
        };
        let mut all: Vec<Mutation> = (100..110).map(|number| freeze(number, other.id)).collect();
        all.extend([
            freeze(201, DATASET),
            freeze(203, DATASET),
            freeze(202, DATASET),
        ]);
        catalog.commit(all).await.unwrap();
        catalog.commit(publish(200, 1)).await.unwrap();
        let mut seen: Vec<PublicationId> = Vec::new();
        loop {
            let page = catalog
                .unissued(&DATASET, seen.last().copied(), 2)
                .await
                .unwrap();
            assert!(page.len() <= 2);
            if page.is_empty() {
                break;
            }
            seen.extend(page.iter().map(|row| row.id));
        }
        assert_eq!(
            seen,
            [201, 202, 203].map(|number| PublicationId::from_bytes(id(number)))
        );
    })
    .await;
}
