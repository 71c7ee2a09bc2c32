//! Work on keys: what it refuses, what it takes out, what of it comes back with a dump.

use bytes::Bytes;

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    Card, CatalogError, Condition, Conflict, DatasetRow, EraseScope, FLOOR_ERASED, Issue,
    KeyWorkRow, MemoryCatalog, Mutation, ObjectRow, PublicationRow, SharedCatalog, Stage, Tally,
    WorkEnd,
};
use crate::types::{KeyWorkId, ObjectKey, PublicationId, Timestamp, VersionName};

fn work_id(number: u32) -> KeyWorkId {
    KeyWorkId::from_bytes(id(number))
}

fn work(number: u32, floor: u32, scope: Option<EraseScope>) -> KeyWorkRow {
    KeyWorkRow {
        id: work_id(number),
        dataset: DATASET,
        bucket: bucket("icu", "ecg"),
        scope,
        floor,
        keys: vec![1],
        persons: vec!["ann".parse().unwrap(), "bob".parse().unwrap()],
        reason: "why".into(),
        begun: at(number.into()),
        tally: Tally::default(),
        end: None,
    }
}

fn begin(number: u32, floor: u32, scope: Option<EraseScope>) -> Vec<Mutation> {
    vec![Mutation::BeginKeyWork(work(number, floor, scope))]
}

fn end(number: u32) -> Vec<Mutation> {
    vec![Mutation::EndKeyWork {
        work: work_id(number),
        end: WorkEnd {
            at: at(900),
            certificate: "signed".into(),
        },
    }]
}

/// A table that says which key it is sealed under.
fn table(version: u32) -> Bytes {
    [&[1][..], &version.to_be_bytes(), b"sealed"]
        .concat()
        .into()
}

/// The same of the key of an index.
fn index_key(version: u32) -> Bytes {
    [&version.to_be_bytes()[..], &[7; 80]].concat().into()
}

fn sealed(number: u32, key: &str, version: u32) -> ObjectRow {
    ObjectRow {
        sealed_table: table(version),
        ..object(number, key)
    }
}

/// Objects `a` and `b`, and an upload with a part.
async fn stocked(catalog: &SharedCatalog) {
    furnish(catalog).await;
    let commits = vec![
        put(sealed(1, "a", 1), fresh(&[1])),
        put(sealed(2, "b", 1), fresh(&[2])),
        Mutation::CreateUpload(upload(3, "a")),
        put_part(part(3, 1, 4), fresh(&[4])),
    ];
    catalog.commit(commits).await.unwrap();
}

fn on(key: &str) -> EraseScope {
    EraseScope::Object(key.parse().unwrap())
}

async fn there(catalog: &SharedCatalog) -> Option<DatasetRow> {
    catalog.dataset(&bucket("icu", "ecg")).await.unwrap()
}

async fn keys(catalog: &SharedCatalog) -> Vec<String> {
    let rows = catalog.writes(&DATASET, None, 100).await.unwrap();
    rows.iter().map(|row| row.key.to_string()).collect()
}

/// Replays a dump into an empty catalog, whose dump is the same.
async fn comes_back(catalog: &SharedCatalog) {
    let (all, _) = catalog.dump(None, usize::MAX).await.unwrap();
    let again = MemoryCatalog::new();
    let again: SharedCatalog = std::sync::Arc::new(again);
    again.commit(all).await.unwrap();
    let works = again.key_works(None, None, 100).await.unwrap();
    assert_eq!(works, catalog.key_works(None, None, 100).await.unwrap());
    for row in works {
        let erased = catalog.erased(&row.id, 0, 100).await.unwrap();
        assert_eq!(again.erased(&row.id, 0, 100).await.unwrap(), erased);
        let doomed = catalog.doomed(&row.id, 100).await.unwrap();
        assert_eq!(again.doomed(&row.id, 100).await.unwrap(), doomed);
    }
    assert_eq!(there(&again).await, there(catalog).await);
}

#[tokio::test]
async fn rows_below_the_floor_are_refused() {
    on_each(|catalog| async move {
        stocked(&catalog).await;
        catalog.commit(begin(10, 2, None)).await.unwrap();
        let retired = refused(Conflict::KeyRetired);
        let put_at = |version| vec![put(sealed(20, "c", version), fresh(&[20]))];
        assert_eq!(catalog.commit(put_at(1)).await, retired);
        let stale = crate::catalog::PartRow {
            sealed_table: table(1),
            ..part(3, 2, 21)
        };
        let stale = put_part(stale, fresh(&[21]));
        assert_eq!(catalog.commit(vec![stale]).await, retired);
        let done = vec![complete(3, &[(1, 4)], sealed(22, "a", 1))];
        assert_eq!(catalog.commit(done).await, retired);
        catalog.commit(put_at(2)).await.unwrap();
        let lower = begin(11, 2, None);
        assert_eq!(catalog.commit(lower).await, refused(Conflict::KeyWork));
        catalog.commit(end(10)).await.unwrap();
        assert_eq!(catalog.commit(begin(11, 2, None)).await, retired);
        assert_eq!(catalog.commit(put_at(1)).await, retired, "for good");
        assert_eq!(catalog.commit(end(10)).await, refused(Conflict::NoKeyWork));
        comes_back(&catalog).await;
    })
    .await;
}

#[tokio::test]
async fn a_rewrap_reaches_every_row_of_a_write_and_no_other() {
    on_each(|catalog| async move {
        stocked(&catalog).await;
        let publication = PublicationId::from_bytes(id(5));
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
                number: 1,
                envelope: Bytes::from_static(b"root"),
                sealed_key: Bytes::from_static(b"key"),
            },
            blobs: fresh(&[6]),
        };
        catalog.commit(vec![freeze, issue]).await.unwrap();
        catalog.commit(begin(10, 2, None)).await.unwrap();
        let rewrap = |number, key: &str, under| Mutation::Rewrap {
            dataset: DATASET,
            key: key.parse().unwrap(),
            version: version(number),
            sealed_table: table(under),
        };
        let stale = catalog.commit(vec![rewrap(1, "a", 1)]).await;
        assert_eq!(stale, refused(Conflict::KeyRetired));
        let part_at = |under| Mutation::RewrapPart {
            upload: upload_id(3),
            number: 1,
            version: version(4),
            sealed_table: table(under),
        };
        let index_at = |under| Mutation::RewrapIndex {
            publication,
            sealed_key: index_key(under),
        };
        for stale in [part_at(1), index_at(1)] {
            let late = catalog.commit(vec![stale]).await;
            assert_eq!(late, refused(Conflict::KeyRetired));
        }
        let (parts, index) = (part_at(2), index_at(2));
        let none = rewrap(99, "a", 2);
        let all = vec![rewrap(1, "a", 2), parts, index, none];
        catalog.commit(all).await.unwrap();
        let rows = catalog.writes(&DATASET, None, 100).await.unwrap();
        let tables: Vec<_> = rows.iter().map(|row| row.sealed_table.clone()).collect();
        assert_eq!(tables, [table(2), table(1)]);
        let frozen = catalog.frozen_from(&publication, "", 9).await.unwrap();
        assert_eq!(frozen[0].sealed_table, table(2));
        assert_eq!(frozen[1].sealed_table, table(1));
        let part = catalog.parts(&upload_id(3), 0, 9).await.unwrap().parts;
        assert_eq!(part[0].sealed_table, table(2));
        let issued = catalog.publication(&DATASET, 1).await.unwrap().unwrap();
        assert_eq!(issued.issue.unwrap().sealed_key, index_key(2));
        comes_back(&catalog).await;
    })
    .await;
}

#[tokio::test]
async fn an_erased_object_is_gone_in_the_commit_that_begins_it() {
    on_each(|catalog| async move {
        stocked(&catalog).await;
        let copied = put(sealed(7, "copy", 1), shared(&[2]));
        catalog.commit(vec![copied]).await.unwrap();
        let absent = catalog.commit(begin(9, 2, Some(on("absent")))).await;
        assert_eq!(absent, refused(Conflict::NoObject));
        assert!(
            catalog.open_key_works().await.unwrap().is_empty(),
            "all or none"
        );
        catalog.commit(begin(10, 2, Some(on("a")))).await.unwrap();
        assert_eq!(keys(&catalog).await, ["b", "copy"]);
        assert_eq!(catalog.upload(&upload_id(3)).await.unwrap(), None);
        let row = catalog.key_work(&work_id(10)).await.unwrap().unwrap();
        assert_eq!(
            (row.tally.writes, row.tally.bytes, row.tally.blobs),
            (1, 1, 2)
        );
        let doomed = catalog.doomed(&work_id(10), 9).await.unwrap();
        assert_eq!(doomed, (vec![blob(1), blob(4)], 0));
        let shares = put(sealed(8, "d", 2), shared(&[1]));
        let gone = catalog.commit(vec![shares]).await;
        assert_eq!(gone, refused(Conflict::BlobGone), "no copy brings it back");
        assert_eq!(catalog.commit(end(10)).await, refused(Conflict::KeyWork));
        comes_back(&catalog).await;
        let forget = Mutation::ForgetDoomed {
            work: work_id(10),
            blobs: vec![blob(1), blob(4)],
        };
        catalog.commit(vec![forget]).await.unwrap();
        catalog.commit(end(10)).await.unwrap();
        catalog.commit(begin(11, 3, Some(on("b")))).await.unwrap();
        let doomed = catalog.doomed(&work_id(11), 9).await.unwrap();
        assert_eq!(doomed, (vec![], 1), "its copy keeps the blob");
        let listed = catalog.erased(&work_id(10), 0, 9).await.unwrap();
        assert_eq!(listed[0].key.as_str(), "a");
        comes_back(&catalog).await;
    })
    .await;
}

#[tokio::test]
async fn a_blob_that_parts_of_one_upload_share_goes_with_the_last_of_them() {
    on_each(|catalog| async move {
        stocked(&catalog).await;
        let again = |number| put_part(part(3, number, 4 + number), shared(&[4]));
        let elsewhere = put_part(part(3, 9, 19), shared(&[2, 2]));
        let commits = vec![again(2), again(3), elsewhere];
        catalog.commit(commits).await.unwrap();
        catalog.commit(begin(10, 2, Some(on("a")))).await.unwrap();
        assert_eq!(catalog.upload(&upload_id(3)).await.unwrap(), None);
        let doomed = catalog.doomed(&work_id(10), 9).await.unwrap();
        assert_eq!(doomed, (vec![blob(1), blob(4)], 1), "`b` keeps its own");
        let row = catalog.key_work(&work_id(10)).await.unwrap().unwrap();
        assert_eq!(row.tally.blobs, 2);
        comes_back(&catalog).await;
    })
    .await;
}

#[tokio::test]
async fn an_erased_dataset_is_hidden_at_once_and_emptied_by_and_by() {
    on_each(|catalog| async move {
        stocked(&catalog).await;
        let all = Some(EraseScope::Dataset);
        catalog.commit(begin(10, FLOOR_ERASED, all)).await.unwrap();
        assert_eq!(there(&catalog).await, None);
        assert_eq!(catalog.datasets(None, 9).await.unwrap().len(), 0);
        let late = catalog
            .commit(vec![put(sealed(9, "z", 7), fresh(&[9]))])
            .await;
        assert_eq!(late, refused(Conflict::KeyRetired));
        let taken = Mutation::CreateDataset(dataset(9, "icu", "ecg"));
        let taken = catalog.commit(vec![taken]).await;
        assert_eq!(taken, refused(Conflict::DatasetExists), "until it is done");
        assert_eq!(catalog.commit(end(10)).await, refused(Conflict::KeyWork));
        comes_back(&catalog).await;
        for _ in 0..9 {
            let (work, limit) = (work_id(10), 1);
            let rows = Mutation::EraseRows { work, limit };
            catalog.commit(vec![rows]).await.unwrap();
        }
        assert_eq!(keys(&catalog).await.len(), 0);
        let (blobs, kept) = catalog.doomed(&work_id(10), 9).await.unwrap();
        assert_eq!((blobs.len(), kept), (3, 0));
        let forget = Mutation::ForgetDoomed {
            work: work_id(10),
            blobs,
        };
        catalog.commit(vec![forget]).await.unwrap();
        catalog.commit(end(10)).await.unwrap();
        let again = Mutation::CreateDataset(dataset(9, "icu", "ecg"));
        catalog.commit(vec![again]).await.unwrap();
        comes_back(&catalog).await;
    })
    .await;
}

/// A deletion that no person asked for is judged by the dataset's hold in its own commit.
#[tokio::test]
async fn what_is_held_as_a_whole_stops_a_commit() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let object = vec![put(sealed(1, "a", 1), fresh(&[1]))];
        catalog.commit(object).await.unwrap();
        let card = |held: Option<&str>| Card {
            owner: "ann".parse().unwrap(),
            label: "internal".parse().unwrap(),
            source: "a register".into(),
            basis: "consent".into(),
            ends: at(99),
            held: held.map(str::to_owned),
            use_class: held.map(|_| "civil".parse().unwrap()),
            told: Stage::Active,
        };
        let set = |was: Option<Card>, card: Card| Mutation::SetCard {
            dataset: DATASET,
            was,
            card,
        };
        let key: ObjectKey = "a".parse().unwrap();
        let gone = || {
            let delete = Mutation::DeleteObject {
                dataset: DATASET,
                key: "a".parse().unwrap(),
                condition: Condition::None,
                now: at(20),
            };
            vec![Mutation::CheckHold(DATASET), delete]
        };
        let held = card(Some("case 7"));
        catalog.commit(vec![set(None, held.clone())]).await.unwrap();
        let stopped = catalog.commit(gone()).await;
        assert_eq!(stopped, refused(Conflict::Locked));
        assert!(catalog.object(&DATASET, &key).await.unwrap().is_some());
        let free = vec![set(Some(held), card(None))];
        catalog.commit(free).await.unwrap();
        catalog.commit(gone()).await.unwrap();
        assert!(catalog.object(&DATASET, &key).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn what_is_held_is_not_erased() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let versions = Mutation::SetVersioning {
            dataset: DATASET,
            state: crate::types::Versioning::Enabled,
        };
        let hold = Mutation::SetHold {
            dataset: DATASET,
            key: "a".parse().unwrap(),
            version: version(1),
            hold: true,
        };
        let all = vec![versions, put(sealed(1, "a", 1), fresh(&[1])), hold];
        catalog.commit(all).await.unwrap();
        let newer = put(sealed(2, "a", 1), fresh(&[2]));
        catalog.commit(vec![newer]).await.unwrap();
        let one = |number| {
            let name = VersionName::Id(version(number));
            Some(EraseScope::Version("a".parse().unwrap(), name))
        };
        let dataset = Some(EraseScope::Dataset);
        for (floor, scope) in [(FLOOR_ERASED, dataset), (2, Some(on("a"))), (2, one(1))] {
            let stays: Result<(), CatalogError> = catalog.commit(begin(10, floor, scope)).await;
            assert_eq!(stays, refused(Conflict::Locked));
        }
        catalog.commit(begin(10, 2, one(2))).await.unwrap();
        assert_eq!(catalog.erased(&work_id(10), 0, 9).await.unwrap().len(), 1);
        let left = catalog
            .object(&DATASET, &"a".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(
            left.unwrap().version,
            version(1),
            "the one below is current again"
        );
    })
    .await;
}

#[tokio::test]
async fn work_is_listed_by_its_beginning() {
    on_each(|catalog| async move {
        stocked(&catalog).await;
        for (number, floor) in [(30, 2), (20, 3)] {
            catalog.commit(begin(number, floor, None)).await.unwrap();
            catalog.commit(end(number)).await.unwrap();
        }
        let all = catalog.key_works(Some(&DATASET), None, 9).await.unwrap();
        let ids: Vec<_> = all.iter().map(|row| row.id).collect();
        assert_eq!(ids, [work_id(20), work_id(30)]);
        let after = Some((Timestamp::from_millis(20), work_id(20)));
        assert_eq!(catalog.key_works(None, after, 9).await.unwrap().len(), 1);
    })
    .await;
}
