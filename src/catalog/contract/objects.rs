//! Objects: conditions, replacement, all or none.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    BlobUse, CatalogError, Condition, Conflict, Mutation, ObjectRow, SharedCatalog,
};
use crate::types::{BlobId, DatasetId, ETag};

async fn get(catalog: &SharedCatalog, key: &str) -> Option<ObjectRow> {
    let key = key.parse().unwrap();
    catalog.object(&DATASET, &key).await.unwrap()
}

#[tokio::test]
async fn an_object_is_read_as_it_was_written() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for number in [1, 2, 3, 999] {
            let row = object(number, &format!("dir//k{number} \u{10ffff}"));
            let write = put(row.clone(), fresh(&[number]));
            catalog.commit(vec![write]).await.unwrap();
            assert_eq!(get(&catalog, row.key.as_str()).await, Some(row));
        }
        assert_eq!(get(&catalog, "dir").await, None);
        let elsewhere = DatasetId::from_bytes([7; 16]);
        let key = object(1, "dir//k1 \u{10ffff}").key;
        assert_eq!(catalog.object(&elsewhere, &key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_write_needs_its_dataset() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let mut row = object(1, "k");
        row.dataset = DatasetId::from_bytes([7; 16]);
        let write = catalog.commit(vec![put(row, fresh(&[1]))]).await;
        assert_eq!(write, refused(Conflict::NoDataset));
        let remove = Mutation::DeleteObject {
            dataset: DatasetId::from_bytes([7; 16]),
            key: "k".parse().unwrap(),
            condition: Condition::None,
            now: at(1),
        };
        let removed = catalog.commit(vec![remove]).await;
        assert_eq!(removed, refused(Conflict::NoDataset));
    })
    .await;
}

/// What is to happen to a conditional write.
type Verdict = Result<(), Conflict>;

/// Each condition against no object, and against the object of version 1.
fn conditions() -> Vec<(Condition, Verdict, Verdict)> {
    let (mine, other) = (object(1, "k").etag, ETag::of(&version(1), 9));
    vec![
        (Condition::None, Ok(()), Ok(())),
        (Condition::Absent, Ok(()), Err(Conflict::ObjectExists)),
        (Condition::Present, Err(Conflict::NoObject), Ok(())),
        (Condition::Matches(mine), Err(Conflict::NoObject), Ok(())),
        (
            Condition::Matches(other),
            Err(Conflict::NoObject),
            Err(Conflict::ETagDiffers),
        ),
    ]
}

#[tokio::test]
async fn conditions_decide_a_write() {
    for (condition, if_absent, if_present) in conditions() {
        let condition = &condition;
        on_each(|catalog| async move {
            furnish(&catalog).await;
            let write = put_if(object(2, "k"), fresh(&[2]), condition.clone());
            let absent = catalog.commit(vec![write]).await;
            assert_eq!(absent, if_absent.map_err(CatalogError::Conflict));
            assert_eq!(get(&catalog, "k").await.is_some(), if_absent.is_ok());

            let first = put(object(1, "k"), fresh(&[1]));
            catalog.commit(vec![first]).await.unwrap();
            let write = put_if(object(3, "k"), fresh(&[3]), condition.clone());
            let present = catalog.commit(vec![write]).await;
            assert_eq!(present, if_present.map_err(CatalogError::Conflict));
            let stands = if if_present.is_ok() { 3 } else { 1 };
            assert_eq!(get(&catalog, "k").await, Some(object(stands, "k")));
            assert_eq!(known(&catalog, &[3]).await, [if_present.is_ok()]);
        })
        .await;
    }
}

#[tokio::test]
async fn conditions_decide_a_delete() {
    for (condition, if_absent, if_present) in conditions() {
        let condition = &condition;
        on_each(|catalog| async move {
            furnish(&catalog).await;
            let remove = delete_if("k", 5, condition.clone());
            let absent = catalog.commit(vec![remove.clone()]).await;
            assert_eq!(absent, if_absent.map_err(CatalogError::Conflict));
            let first = put(object(1, "k"), fresh(&[1]));
            catalog.commit(vec![first]).await.unwrap();
            let present = catalog.commit(vec![remove]).await;
            assert_eq!(present, if_present.map_err(CatalogError::Conflict));
            assert_eq!(get(&catalog, "k").await.is_none(), if_present.is_ok());
        })
        .await;
    }
}

#[tokio::test]
async fn conditions_decide_a_completion() {
    for (condition, if_absent, if_present) in conditions() {
        let condition = &condition;
        on_each(|catalog| async move {
            furnish(&catalog).await;
            let begin = |number| {
                vec![
                    Mutation::CreateUpload(upload(number, "k")),
                    put_part(part(number, 1, number), fresh(&[number])),
                ]
            };
            let finish = |number| {
                let row = object(number, "k");
                complete_if(number, &[(1, number)], row, condition.clone())
            };
            catalog.commit(begin(20)).await.unwrap();
            let absent = catalog.commit(vec![finish(20)]).await;
            assert_eq!(absent, if_absent.map_err(CatalogError::Conflict));
            let first = put(object(1, "k"), fresh(&[1]));
            catalog.commit(vec![first]).await.unwrap();
            catalog.commit(begin(30)).await.unwrap();
            let present = catalog.commit(vec![finish(30)]).await;
            assert_eq!(present, if_present.map_err(CatalogError::Conflict));
            let left = catalog.upload(&upload_id(30)).await.unwrap();
            assert_eq!(left.is_none(), if_present.is_ok());
        })
        .await;
    }
}

#[tokio::test]
async fn a_commit_is_all_or_none() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let seq = catalog.change_seq().await.unwrap();
        let generation = catalog.generation().await.unwrap();
        let commit = vec![
            Mutation::CreateProject(project("new")),
            put(object(1, "a"), fresh(&[1])),
            put_if(object(2, "a"), fresh(&[2]), Condition::Absent),
        ];
        let answer = catalog.commit(commit).await;
        assert_eq!(answer, refused(Conflict::ObjectExists));
        assert_eq!(get(&catalog, "a").await, None);
        let project = catalog.project(&"new".parse().unwrap()).await.unwrap();
        assert_eq!(project, None);
        assert_eq!(known(&catalog, &[1, 2]).await, [false, false]);
        assert_eq!(catalog.change_seq().await.unwrap(), seq);
        assert_eq!(catalog.generation().await.unwrap(), generation);
    })
    .await;
}

#[tokio::test]
async fn a_commit_sees_what_it_did_before() {
    on_each(|catalog| async move {
        let commit = vec![
            Mutation::CreateProject(project("icu")),
            Mutation::CreateDataset(dataset(1, "icu", "ecg")),
            put(object(1, "a"), fresh(&[1])),
            put_if(object(2, "a"), shared(&[1]), Condition::Present),
            delete("a", 3),
        ];
        assert_eq!(catalog.commit(commit).await, Ok(()));
        assert_eq!(get(&catalog, "a").await, None);
        assert_eq!(catalog.commit(Vec::new()).await, Ok(()));
        assert_eq!(catalog.change_seq().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_fresh_blob_is_never_drawn_twice() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let first = put(object(1, "a"), fresh(&[1, 1]));
        catalog.commit(vec![first]).await.unwrap();
        let again = put(object(2, "b"), fresh(&[1]));
        let answer = catalog.commit(vec![again]).await;
        assert!(matches!(answer, Err(CatalogError::Failed { .. })));
        assert_eq!(get(&catalog, "b").await, None);
    })
    .await;
}

/// Of many writers that each want the key to be free, one gets it, whoever commits beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conditional_writes_have_one_winner() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let mut writers = JoinSet::new();
        for number in 1..=64_u32 {
            let catalog = Arc::clone(&catalog);
            writers.spawn(async move {
                let key = if number % 2 == 0 { "prize" } else { "crowd" };
                let condition = if number % 2 == 0 {
                    Condition::Absent
                } else {
                    Condition::None
                };
                let row = object(number, key);
                let answer = catalog
                    .commit(vec![put_if(row, fresh(&[number]), condition)])
                    .await;
                (number, answer)
            });
        }
        let (mut winners, mut seen) = (Vec::new(), 0);
        while let Some(joined) = writers.join_next().await {
            let (number, answer) = joined.unwrap();
            seen += 1;
            match answer {
                Ok(()) if number % 2 == 0 => winners.push(number),
                Ok(()) => {}
                lost => {
                    assert_eq!(lost, refused(Conflict::ObjectExists));
                    assert_eq!(known(&catalog, &[number]).await, [false]);
                }
            }
        }
        assert_eq!((winners.len(), seen), (1, 64));
        assert_eq!(
            get(&catalog, "prize").await,
            Some(object(winners[0], "prize"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_blob_may_be_named_often() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let first = put(object(1, "a"), fresh(&[1]));
        catalog.commit(vec![first]).await.unwrap();
        let both = BlobUse {
            fresh: vec![blob(2)],
            shared: vec![blob(1), blob(1), blob(2)],
        };
        let copy = put(object(2, "b"), both);
        catalog.commit(vec![copy, delete("a", 3)]).await.unwrap();
        catalog.commit(vec![delete("b", 4)]).await.unwrap();
        let claimed = catalog.claim_unreferenced(at(5), 9).await.unwrap();
        assert_eq!(claimed, [1, 2].map(blob) as [BlobId; 2]);
    })
    .await;
}
