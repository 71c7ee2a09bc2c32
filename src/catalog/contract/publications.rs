//! Frozen datasets: what stays as it was, what it holds on to, what a rebuilt catalog has of it.

use bytes::Bytes;

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{
    Attached, BlobUse, Conflict, Issue, ListQuery, Mutation, PublicationRow, SharedCatalog,
};
use crate::types::PublicationId;

fn publication(number: u32) -> PublicationId {
    PublicationId::from_bytes(id(number))
}

fn freeze(number: u32) -> Mutation {
    Mutation::Freeze(PublicationRow {
        id: publication(number),
        dataset: DATASET,
        publisher: "ann".parse().unwrap(),
        frozen: at(number.into()),
        issue: None,
    })
}

fn issue(number: u32, of: u32, blobs: BlobUse) -> Mutation {
    Mutation::Issue {
        publication: publication(of),
        issue: Issue {
            number,
            envelope: Bytes::from_static(b"root"),
            sealed_key: Bytes::from_static(b"key"),
        },
        blobs,
    }
}

fn drop_of(number: u32, now: u64) -> Mutation {
    Mutation::DropPublication {
        publication: publication(number),
        now: at(now),
    }
}

fn tag(number: u32, key: &str, value: &str) -> Mutation {
    Mutation::SetAttached {
        dataset: DATASET,
        key: key.parse().unwrap(),
        version: version(number),
        attached: Attached {
            tags: vec![("state".into(), value.into())],
            ..Attached::default()
        },
    }
}

async fn keys(catalog: &SharedCatalog, number: u32) -> Vec<(String, u64)> {
    let rows = catalog.frozen_from(&publication(number), "", 100).await;
    let rows = rows.unwrap().into_iter();
    rows.map(|row| (row.key.to_string(), row.bytes)).collect()
}

async fn claimed(catalog: &SharedCatalog) -> Vec<crate::types::BlobId> {
    catalog.claim_unreferenced(at(1_000), 100).await.unwrap()
}

#[tokio::test]
async fn a_frozen_dataset_stays_whatever_becomes_of_its_objects() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for change in [
            put(object(10, "a/1"), fresh(&[1])),
            put(object(11, "a/2"), fresh(&[2])),
            put(object(12, "b"), fresh(&[3])),
            tag(12, "b", "raw"),
            freeze(1),
            put(object(20, "a/1"), fresh(&[4])),
            delete("a/2", 30),
            tag(12, "b", "clean"),
            put(object(21, "c"), fresh(&[5])),
        ] {
            catalog.commit(vec![change]).await.unwrap();
        }
        let was = [("a/1", 10), ("a/2", 11), ("b", 12)];
        let was: Vec<_> = was.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect();
        assert_eq!(keys(&catalog, 1).await, was);
        let row = catalog.frozen(&publication(1), &"b".parse().unwrap()).await;
        let row = row.unwrap().unwrap();
        assert_eq!(row.attached.tags[0].1, "raw", "tags are frozen too");
        assert_eq!(row.dataset, DATASET);
        let live = catalog.object(&DATASET, &"b".parse().unwrap()).await;
        assert_eq!(live.unwrap().unwrap().attached.tags[0].1, "clean");
        let absent = catalog.frozen(&publication(1), &"c".parse().unwrap()).await;
        assert_eq!(absent.unwrap(), None);
        let folded = ListQuery {
            delimiter: Some("/".into()),
            limit: 10,
            ..ListQuery::default()
        };
        let page = catalog.list_frozen(&publication(1), &folded).await.unwrap();
        assert_eq!(page.entries.len(), 2);
        assert_eq!(claimed(&catalog).await, []);
        // What only the frozen rows held goes with them, and nothing else.
        catalog.commit(vec![drop_of(1, 40)]).await.unwrap();
        assert_eq!(claimed(&catalog).await, [blob(1), blob(2)]);
        assert_eq!(keys(&catalog, 1).await, []);
        assert_eq!(known(&catalog, &[3, 4, 5]).await, [true; 3]);
    })
    .await;
}

#[tokio::test]
async fn an_object_outlives_the_version_that_it_was_frozen_in() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commit = async |mutation| catalog.commit(vec![mutation]).await.unwrap();
        commit(put(object(10, "a"), fresh(&[1]))).await;
        commit(freeze(1)).await;
        commit(freeze(2)).await;
        commit(drop_of(1, 20)).await;
        commit(drop_of(2, 21)).await;
        assert_eq!(claimed(&catalog).await, []);
        let there = catalog.object(&DATASET, &"a".parse().unwrap()).await;
        assert_eq!(there.unwrap().unwrap().bytes, 10);
        commit(delete("a", 30)).await;
        assert_eq!(claimed(&catalog).await, [blob(1)]);
    })
    .await;
}

#[tokio::test]
async fn versions_are_numbered_without_a_gap_and_once() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commit = async |mutation| catalog.commit(vec![mutation]).await;
        commit(freeze(1)).await.unwrap();
        commit(freeze(2)).await.unwrap();
        let none = BlobUse::default;
        assert_eq!(
            commit(issue(2, 1, none())).await,
            refused(Conflict::NumberTaken)
        );
        assert_eq!(
            commit(issue(0, 1, none())).await,
            refused(Conflict::NumberTaken)
        );
        assert_eq!(
            commit(issue(1, 3, none())).await,
            refused(Conflict::NoPublication)
        );
        assert_eq!(catalog.publication(&DATASET, 1).await.unwrap(), None);
        commit(issue(1, 2, fresh(&[7]))).await.unwrap();
        assert_eq!(
            commit(issue(1, 1, none())).await,
            refused(Conflict::NumberTaken)
        );
        assert_eq!(
            commit(issue(2, 2, none())).await,
            refused(Conflict::NumberTaken)
        );
        commit(issue(2, 1, none())).await.unwrap();
        let first = catalog.publication(&DATASET, 1).await.unwrap().unwrap();
        assert_eq!(first.id, publication(2));
        let all = catalog.publications(&DATASET, 0, 10).await.unwrap();
        let all: Vec<_> = all.iter().map(|row| row.id).collect();
        assert_eq!(all, [publication(2), publication(1)]);
        assert_eq!(
            catalog.publications(&DATASET, 1, 10).await.unwrap().len(),
            1
        );
        assert_eq!(catalog.publications(&DATASET, 0, 1).await.unwrap().len(), 1);
        assert_eq!(claimed(&catalog).await, []);
        commit(drop_of(2, 50)).await.unwrap();
        assert_eq!(claimed(&catalog).await, [blob(7)]);
        assert_eq!(
            commit(drop_of(2, 50)).await,
            refused(Conflict::NoPublication)
        );
    })
    .await;
}

#[tokio::test]
async fn what_never_became_a_version_is_found_by_its_age() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commit = async |mutation| catalog.commit(vec![mutation]).await.unwrap();
        commit(freeze(5)).await;
        commit(freeze(6)).await;
        commit(freeze(7)).await;
        commit(issue(1, 5, BlobUse::default())).await;
        let stale = catalog.stale_publications(at(7), 10).await.unwrap();
        let stale: Vec<_> = stale.iter().map(|row| row.id).collect();
        assert_eq!(stale, [publication(6)]);
    })
    .await;
}

#[tokio::test]
async fn a_dataset_with_a_version_is_not_deleted() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        catalog.commit(vec![freeze(1)]).await.unwrap();
        let gone = vec![Mutation::DeleteDataset(DATASET)];
        let refusal = refused(Conflict::DatasetNotEmpty);
        assert_eq!(catalog.commit(gone.clone()).await, refusal);
        catalog.commit(vec![drop_of(1, 9)]).await.unwrap();
        catalog.commit(gone).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_rebuilt_catalog_has_the_versions_of_the_first() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for change in [
            put(object(10, "a"), fresh(&[1])),
            put(object(11, "b"), fresh(&[2])),
            put(object(12, "c"), fresh(&[3])),
            tag(10, "a", "raw"),
            tag(11, "b", "raw"),
            freeze(1),
            issue(1, 1, fresh(&[9])),
            tag(10, "a", "clean"),
            delete("b", 20),
            put(object(22, "c"), fresh(&[4])),
            freeze(2),
        ] {
            catalog.commit(vec![change]).await.unwrap();
        }
        let mutations = super::rebuild::everything(&catalog).await;
        on_each(|again| {
            let (catalog, mutations) = (std::sync::Arc::clone(&catalog), mutations.clone());
            async move {
                for mutation in mutations {
                    again.commit(vec![mutation]).await.unwrap();
                }
                for number in [1, 2] {
                    let before = catalog.frozen_from(&publication(number), "", 9).await;
                    let after = again.frozen_from(&publication(number), "", 9).await;
                    assert_eq!(after, before);
                }
                let versions = again.publications(&DATASET, 0, 9).await;
                assert_eq!(versions, catalog.publications(&DATASET, 0, 9).await);
                again.commit(vec![drop_of(1, 50)]).await.unwrap();
                assert_eq!(claimed(&again).await, [blob(2), blob(3), blob(9)]);
                again.commit(vec![drop_of(2, 51)]).await.unwrap();
                assert_eq!(claimed(&again).await, []);
                assert_eq!(known(&again, &[1, 4]).await, [true; 2]);
            }
        })
        .await;
    })
    .await;
}
