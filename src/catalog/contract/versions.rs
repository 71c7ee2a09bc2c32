//! Versions, what is attached to objects, settings of datasets.

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    Attached, Condition, Conflict, Mutation, Setting, SettingKind, SharedCatalog, Version,
    VersionEntry, VersionQuery,
};
use crate::types::{VersionName, Versioning};

fn state(state: Versioning) -> Mutation {
    Mutation::SetVersioning {
        dataset: DATASET,
        state,
    }
}

fn remove(key: &str, marker: u32, now: u64) -> Mutation {
    Mutation::RemoveObject {
        dataset: DATASET,
        key: key.parse().unwrap(),
        marker: version(marker),
        condition: Condition::None,
        now: at(now),
    }
}

fn drop_version(key: &str, name: VersionName, now: u64) -> Mutation {
    Mutation::DeleteVersion {
        dataset: DATASET,
        key: key.parse().unwrap(),
        version: name,
        condition: Condition::None,
        now: at(now),
    }
}

fn id_of(number: u32) -> VersionName {
    VersionName::Id(version(number))
}

async fn commit(catalog: &SharedCatalog, mutation: Mutation) {
    catalog.commit(vec![mutation]).await.unwrap();
}

/// The versions in order, as text: `key name`, `*` for the latest, `-` for a marker.
async fn listed(catalog: &SharedCatalog, query: &VersionQuery) -> (Vec<String>, bool) {
    let page = catalog.versions(&DATASET, query).await.unwrap();
    let entries = page.entries.iter().map(|entry| match entry {
        VersionEntry::Prefix(text) => format!("{text}…"),
        VersionEntry::Version {
            key,
            name,
            latest,
            object,
            ..
        } => {
            let name = name.to_string();
            let name = name.trim_start_matches('0');
            let (latest, marker) = (if *latest { "*" } else { "" }, object.is_none());
            format!("{key} {name}{latest}{}", if marker { "-" } else { "" })
        }
    });
    (entries.collect(), page.more)
}

async fn all(catalog: &SharedCatalog) -> Vec<String> {
    let query = VersionQuery {
        limit: 1000,
        ..VersionQuery::default()
    };
    listed(catalog, &query).await.0
}

async fn current(catalog: &SharedCatalog, key: &str) -> Option<u64> {
    let row = catalog
        .object(&DATASET, &key.parse().unwrap())
        .await
        .unwrap();
    row.map(|row| row.bytes)
}

#[tokio::test]
async fn an_enabled_dataset_keeps_everything() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        commit(&catalog, put(object(1, "k"), fresh(&[1]))).await;
        commit(&catalog, state(Versioning::Enabled)).await;
        commit(&catalog, put(object(2, "k"), fresh(&[2]))).await;
        commit(&catalog, remove("k", 3, 30)).await;
        commit(&catalog, remove("absent", 4, 30)).await;
        assert_eq!(
            all(&catalog).await,
            ["absent 4*-", "k 3*-", "k 2", "k null"]
        );
        assert_eq!(current(&catalog, "k").await, None);
        let claimed = catalog.claim_unreferenced(at(1000), 9).await.unwrap();
        assert!(claimed.is_empty(), "{claimed:?}");
        let key = "k".parse().unwrap();
        let marker = catalog.latest_marker(&DATASET, &key).await.unwrap();
        assert_eq!(marker.map(|row| row.name()), Some(id_of(3)));
        let old = catalog
            .version(&DATASET, &key, &VersionName::Null)
            .await
            .unwrap();
        let Some(Version::Object(old)) = old else {
            panic!("{old:?}");
        };
        assert_eq!((old.bytes, old.versioned), (1, false));
        let found = catalog.version(&DATASET, &key, &id_of(1)).await.unwrap();
        assert_eq!(found, None, "null is not known by its id");
        let gone = catalog.commit(vec![delete("k", 9)]).await;
        assert_eq!(gone, refused(Conflict::Versioned));
        let gone = catalog.commit(vec![Mutation::DeleteDataset(DATASET)]).await;
        assert_eq!(gone, refused(Conflict::DatasetNotEmpty));
        let off = catalog.commit(vec![state(Versioning::Off)]).await;
        assert_eq!(off, refused(Conflict::Versioned));
    })
    .await;
}

#[tokio::test]
async fn what_is_dropped_gives_its_place_and_its_blobs_back() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        commit(&catalog, state(Versioning::Enabled)).await;
        commit(&catalog, put(object(1, "k"), fresh(&[1]))).await;
        commit(&catalog, put(object(2, "k"), shared(&[1]))).await;
        commit(&catalog, remove("k", 3, 30)).await;
        commit(&catalog, drop_version("k", id_of(9), 40)).await;
        commit(&catalog, drop_version("k", id_of(3), 40)).await;
        assert_eq!(current(&catalog, "k").await, Some(2));
        commit(&catalog, drop_version("k", id_of(2), 40)).await;
        assert_eq!(current(&catalog, "k").await, Some(1));
        assert!(
            catalog
                .claim_unreferenced(at(1000), 9)
                .await
                .unwrap()
                .is_empty()
        );
        commit(&catalog, drop_version("k", id_of(1), 50)).await;
        assert!(all(&catalog).await.is_empty());
        let claimed = catalog.claim_unreferenced(at(51), 9).await.unwrap();
        assert_eq!(claimed, [blob(1)]);
        commit(&catalog, Mutation::DeleteDataset(DATASET)).await;
    })
    .await;
}

#[tokio::test]
async fn a_suspended_dataset_has_one_null() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        commit(&catalog, put(object(1, "k"), fresh(&[1]))).await;
        commit(&catalog, state(Versioning::Enabled)).await;
        commit(&catalog, put(object(2, "k"), fresh(&[2]))).await;
        commit(&catalog, state(Versioning::Suspended)).await;
        commit(&catalog, put(object(3, "k"), fresh(&[3]))).await;
        assert_eq!(all(&catalog).await, ["k null*", "k 2"]);
        commit(&catalog, put(object(4, "k"), fresh(&[4]))).await;
        commit(&catalog, remove("k", 5, 50)).await;
        assert_eq!(all(&catalog).await, ["k null*-", "k 2"]);
        commit(&catalog, put(object(6, "k"), fresh(&[6]))).await;
        assert_eq!(all(&catalog).await, ["k null*", "k 2"]);
        assert_eq!(known(&catalog, &[2, 6]).await, [true, true]);
        let claimed = catalog.claim_unreferenced(at(1000), 9).await.unwrap();
        assert_eq!(claimed.len(), 3, "1, 3 and 4 are gone for good");
    })
    .await;
}

#[tokio::test]
async fn pages_of_versions_miss_and_repeat_nothing() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        commit(&catalog, state(Versioning::Enabled)).await;
        let mut number = 0;
        for key in ["a", "d/x", "d/y", "e", "z"] {
            for _ in 0..3 {
                number += 1;
                commit(&catalog, put(object(number, key), fresh(&[number]))).await;
            }
            number += 1;
            commit(&catalog, remove(key, number, 9)).await;
        }
        for (prefix, delimiter) in [("", None), ("d/", None), ("", Some("/"))] {
            let query = |after, limit| VersionQuery {
                prefix: prefix.to_owned(),
                delimiter: delimiter.map(str::to_owned),
                after,
                limit,
            };
            let (whole, more) = listed(&catalog, &query(None, 1000)).await;
            assert!(!more && whole.contains(&"d/…".to_owned()) == delimiter.is_some());
            for limit in 1..5 {
                let (mut walked, mut after) = (Vec::new(), None);
                loop {
                    let query = query(after, limit);
                    let page = catalog.versions(&DATASET, &query).await.unwrap();
                    let (texts, more) = listed(&catalog, &query).await;
                    walked.extend(texts);
                    after = page.entries.last().map(|entry| match entry {
                        VersionEntry::Version { key, name, .. } => (key.to_string(), Some(*name)),
                        VersionEntry::Prefix(text) => (text.clone(), None),
                    });
                    if !more {
                        break;
                    }
                }
                assert_eq!(walked, whole, "{prefix} {limit}");
            }
        }
        // A version that is gone stands for the beginning of its key.
        let query = VersionQuery {
            after: Some(("z".to_owned(), Some(id_of(999)))),
            limit: 2,
            ..VersionQuery::default()
        };
        assert_eq!(listed(&catalog, &query).await.0, ["z 14*-", "z 13"]);
        let none = VersionQuery::default();
        assert_eq!(listed(&catalog, &none).await, (Vec::new(), false));
    })
    .await;
}

#[tokio::test]
async fn what_is_attached_stays_with_its_version() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        commit(&catalog, state(Versioning::Enabled)).await;
        let tags = |text: &str| Attached {
            tags: vec![("t".to_owned(), text.to_owned())],
            ..Attached::default()
        };
        let attach = |number, attached| Mutation::SetAttached {
            dataset: DATASET,
            key: "k".parse().unwrap(),
            version: version(number),
            attached,
        };
        for number in [1, 2] {
            commit(&catalog, put(object(number, "k"), fresh(&[number]))).await;
            commit(&catalog, attach(number, tags(&number.to_string()))).await;
        }
        commit(&catalog, attach(1, tags("changed"))).await;
        let key = "k".parse().unwrap();
        for (number, text) in [(1, "changed"), (2, "2")] {
            let found = catalog
                .version(&DATASET, &key, &id_of(number))
                .await
                .unwrap();
            let Some(Version::Object(row)) = found else {
                panic!("{found:?}");
            };
            assert_eq!(row.attached, tags(text));
            assert_eq!(row.meta, object(number, "k").meta);
        }
        commit(&catalog, attach(2, Attached::default())).await;
        let row = catalog.object(&DATASET, &key).await.unwrap().unwrap();
        assert_eq!(row.attached, Attached::default());
        let absent = catalog.commit(vec![attach(7, tags("x"))]).await;
        assert_eq!(absent, refused(Conflict::NoObject));
    })
    .await;
}

#[tokio::test]
async fn settings_are_a_datasets_own() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let tags = Setting::Tags(vec![("a".to_owned(), "b".to_owned())]);
        let set = |value| Mutation::SetSetting {
            dataset: DATASET,
            kind: SettingKind::Tags,
            value,
        };
        commit(&catalog, set(Some(tags.clone()))).await;
        let get = || catalog.setting(&DATASET, SettingKind::Tags);
        assert_eq!(get().await.unwrap(), Some(tags));
        commit(&catalog, set(None)).await;
        assert_eq!(get().await.unwrap(), None);
        commit(&catalog, set(Some(Setting::Tags(Vec::new())))).await;
        commit(&catalog, Mutation::DeleteDataset(DATASET)).await;
        let gone = catalog.commit(vec![set(None)]).await;
        assert_eq!(gone, refused(Conflict::NoDataset));
    })
    .await;
}

#[tokio::test]
async fn an_uploads_tags_wait_for_its_object() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let tags = vec![("a".to_owned(), "b".to_owned())];
        let set = |number| Mutation::SetUploadTags {
            upload: upload_id(number),
            tags: tags.clone(),
        };
        let begin = Mutation::CreateUpload(upload(1, "k"));
        catalog.commit(vec![begin, set(1)]).await.unwrap();
        let row = catalog.upload(&upload_id(1)).await.unwrap().unwrap();
        assert_eq!(row.tags, tags);
        let absent = catalog.commit(vec![set(2)]).await;
        assert_eq!(absent, refused(Conflict::NoUpload));
    })
    .await;
}
