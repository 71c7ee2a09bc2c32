//! Blobs that nobody refers to any more, and the race between their sweeper and a copy.

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{Conflict, Mutation};

#[tokio::test]
async fn replaced_and_deleted_rows_give_their_blobs_free() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commits = [
            put(object(10, "a"), fresh(&[1])),
            put(object(20, "a"), fresh(&[2, 3])),
            put(object(30, "b"), fresh(&[4])),
            delete("a", 40),
        ];
        for mutation in commits {
            catalog.commit(vec![mutation]).await.unwrap();
        }
        assert_eq!(
            known(&catalog, &[1, 2, 3, 4, 5]).await,
            [true, true, true, true, false]
        );
        // 1 was lost at 20, 2 and 3 at 40; the bound is exclusive.
        assert!(
            catalog
                .claim_unreferenced(at(20), 9)
                .await
                .unwrap()
                .is_empty()
        );
        let seq = catalog.change_seq().await.unwrap();
        assert_eq!(
            catalog.claim_unreferenced(at(99), 2).await.unwrap(),
            [blob(1), blob(2)]
        );
        assert_eq!(
            catalog.claim_unreferenced(at(99), 9).await.unwrap(),
            [blob(3)]
        );
        assert_eq!(catalog.change_seq().await.unwrap(), seq + 2);
        assert!(
            catalog
                .claim_unreferenced(at(99), 9)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(catalog.change_seq().await.unwrap(), seq + 2);
        assert_eq!(
            known(&catalog, &[1, 2, 3, 4]).await,
            [false, false, false, true]
        );
    })
    .await;
}

#[tokio::test]
async fn a_shared_blob_outlives_its_first_owner() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commits = vec![
            put(object(1, "a"), fresh(&[1])),
            put(object(2, "b"), shared(&[1])),
            delete("a", 3),
        ];
        catalog.commit(commits).await.unwrap();
        assert!(
            catalog
                .claim_unreferenced(at(99), 9)
                .await
                .unwrap()
                .is_empty()
        );
        catalog.commit(vec![delete("b", 4)]).await.unwrap();
        assert_eq!(
            catalog.claim_unreferenced(at(99), 9).await.unwrap(),
            [blob(1)]
        );
    })
    .await;
}

#[tokio::test]
async fn an_object_copied_onto_itself_keeps_its_blobs() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commits = vec![
            put(object(1, "a"), fresh(&[1])),
            put(object(2, "a"), shared(&[1])),
        ];
        catalog.commit(commits).await.unwrap();
        assert!(
            catalog
                .claim_unreferenced(at(99), 9)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(known(&catalog, &[1]).await, [true]);
    })
    .await;
}

#[tokio::test]
async fn a_copy_saves_a_lost_blob_until_it_is_claimed() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commits = vec![
            put(object(1, "a"), fresh(&[1, 2])),
            delete("a", 2),
            put(object(3, "b"), shared(&[1])),
        ];
        catalog.commit(commits).await.unwrap();
        assert_eq!(
            catalog.claim_unreferenced(at(99), 9).await.unwrap(),
            [blob(2)]
        );
        let late = put(object(4, "c"), shared(&[1, 2]));
        assert_eq!(
            catalog.commit(vec![late]).await,
            refused(Conflict::BlobGone)
        );
        let key = "c".parse().unwrap();
        assert_eq!(catalog.object(&DATASET, &key).await.unwrap(), None);
        // The refused copy left no reference behind.
        catalog.commit(vec![delete("b", 5)]).await.unwrap();
        assert_eq!(
            catalog.claim_unreferenced(at(99), 9).await.unwrap(),
            [blob(1)]
        );
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_what_was_never_there_is_refused() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let copy = put(object(1, "a"), shared(&[1]));
        assert_eq!(
            catalog.commit(vec![copy]).await,
            refused(Conflict::BlobGone)
        );
        catalog
            .commit(vec![Mutation::CreateUpload(upload(1, "a"))])
            .await
            .unwrap();
        let copy = put_part(part(1, 1, 1), shared(&[1]));
        assert_eq!(
            catalog.commit(vec![copy]).await,
            refused(Conflict::BlobGone)
        );
    })
    .await;
}

#[tokio::test]
async fn forgetting_spares_blobs_in_use() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let commits = vec![
            put(object(1, "a"), fresh(&[1])),
            put(object(2, "b"), fresh(&[2])),
            delete("b", 3),
            Mutation::ForgetBlobs(vec![blob(1), blob(2), blob(3)]),
        ];
        catalog.commit(commits).await.unwrap();
        assert_eq!(known(&catalog, &[1, 2]).await, [true, false]);
    })
    .await;
}
