//! Multipart uploads and their parts.

use super::samples::*;
use super::{on_each, refused};
use crate::catalog::{Conflict, Mutation, PartRow, SharedCatalog, UploadQuery};
use crate::types::{DatasetId, limits};

async fn begin(catalog: &SharedCatalog, number: u32, key: &str) {
    let row = upload(number, key);
    catalog
        .commit(vec![Mutation::CreateUpload(row)])
        .await
        .unwrap();
}

async fn send(catalog: &SharedCatalog, row: PartRow, blobs: &[u32]) {
    catalog
        .commit(vec![put_part(row, fresh(blobs))])
        .await
        .unwrap();
}

fn abort(number: u32, now: u64) -> Mutation {
    Mutation::AbortUpload {
        upload: upload_id(number),
        now: at(now),
    }
}

#[tokio::test]
async fn uploads_need_a_dataset_and_a_new_id() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let mut row = upload(1, "k");
        row.dataset = DatasetId::from_bytes([7; 16]);
        let orphan = catalog.commit(vec![Mutation::CreateUpload(row)]).await;
        assert_eq!(orphan, refused(Conflict::NoDataset));
        begin(&catalog, 1, "k").await;
        let again = catalog
            .commit(vec![Mutation::CreateUpload(upload(1, "other"))])
            .await;
        assert!(again.is_err());
        let found = catalog.upload(&upload_id(1)).await.unwrap();
        assert_eq!(found, Some(upload(1, "k")));
        assert_eq!(catalog.upload(&upload_id(2)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn parts_are_paged_by_number() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        begin(&catalog, 1, "k").await;
        begin(&catalog, 2, "k").await;
        send(&catalog, part(2, 2, 50), &[50]).await;
        for number in [10_000, 1, 3] {
            send(&catalog, part(1, number, number), &[number]).await;
        }
        let page = catalog.parts(&upload_id(1), 0, 2).await.unwrap();
        assert_eq!(page.parts, [part(1, 1, 1), part(1, 3, 3)]);
        assert!(page.more);
        let page = catalog.parts(&upload_id(1), 3, 2).await.unwrap();
        assert_eq!(page.parts, [part(1, 10_000, 10_000)]);
        assert!(!page.more);
        let none = catalog.parts(&upload_id(1), 0, 0).await.unwrap();
        assert!(none.parts.is_empty() && !none.more);
    })
    .await;
}

/// One caller's tables, as large as they get, are not all read at once.
#[tokio::test]
async fn a_page_of_large_tables_ends_early() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        begin(&catalog, 1, "k").await;
        for number in 1..=5 {
            let mut row = part(1, number, number);
            row.sealed_table = vec![5; limits::PAGE_BYTES_MAX / 2 + 1].into();
            send(&catalog, row, &[number]).await;
        }
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = catalog.parts(&upload_id(1), after, 1_000).await.unwrap();
            assert!((1..=2).contains(&page.parts.len()), "and at least one");
            seen.extend(page.parts.iter().map(|part| part.number));
            after = *seen.last().unwrap();
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    })
    .await;
}

#[tokio::test]
async fn a_part_needs_its_upload() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let send = put_part(part(1, 1, 1), fresh(&[1]));
        assert_eq!(
            catalog.commit(vec![send]).await,
            refused(Conflict::NoUpload)
        );
        assert_eq!(known(&catalog, &[1]).await, [false]);
    })
    .await;
}

#[tokio::test]
async fn a_part_sent_again_drops_the_old_blobs() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        begin(&catalog, 1, "k").await;
        send(&catalog, part(1, 1, 5), &[5, 6]).await;
        send(&catalog, part(1, 1, 7), &[7]).await;
        let page = catalog.parts(&upload_id(1), 0, 9).await.unwrap();
        assert_eq!(page.parts, [part(1, 1, 7)]);
        let early = catalog.claim_unreferenced(at(7), 9).await.unwrap();
        assert!(early.is_empty());
        let lost = catalog.claim_unreferenced(at(8), 9).await.unwrap();
        assert_eq!(lost, [blob(5), blob(6)]);
    })
    .await;
}

#[tokio::test]
async fn a_completion_takes_what_it_names_and_drops_the_rest() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        let old = put(object(9, "k"), fresh(&[9]));
        catalog.commit(vec![old]).await.unwrap();
        begin(&catalog, 1, "k").await;
        send(&catalog, part(1, 1, 11), &[11]).await;
        send(&catalog, part(1, 2, 12), &[12, 13]).await;
        send(&catalog, part(1, 3, 14), &[14]).await;
        // The same blob in two parts, as copies of two ranges of one source make it.
        let copy = put_part(part(1, 4, 15), shared(&[11, 14]));
        catalog.commit(vec![copy]).await.unwrap();
        let row = object(100, "k");
        let finish = complete(1, &[(1, 11), (2, 12), (4, 15)], row.clone());
        catalog.commit(vec![finish.clone()]).await.unwrap();
        let found = catalog.object(&DATASET, &row.key).await.unwrap();
        assert_eq!(found, Some(row));
        assert_eq!(catalog.upload(&upload_id(1)).await.unwrap(), None);
        let parts = catalog.parts(&upload_id(1), 0, 9).await.unwrap();
        assert!(parts.parts.is_empty());
        let again = catalog.commit(vec![finish]).await;
        assert_eq!(again, refused(Conflict::NoUpload));
        // 14 lost its part but lives on in the copy.
        let lost = catalog.claim_unreferenced(at(101), 9).await.unwrap();
        assert_eq!(lost, [blob(9)]);
        catalog.commit(vec![delete("k", 200)]).await.unwrap();
        let lost = catalog.claim_unreferenced(at(201), 9).await.unwrap();
        assert_eq!(lost, [11, 12, 13, 14].map(blob));
    })
    .await;
}

#[tokio::test]
async fn a_completion_refuses_parts_that_changed() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        begin(&catalog, 1, "k").await;
        send(&catalog, part(1, 1, 11), &[11]).await;
        send(&catalog, part(1, 2, 12), &[12]).await;
        for parts in [
            &[(1, 11), (2, 99)][..],
            &[(1, 11), (3, 12)],
            &[(1, 12), (2, 11)],
        ] {
            let finish = complete(1, parts, object(100, "k"));
            let answer = catalog.commit(vec![finish]).await;
            assert_eq!(answer, refused(Conflict::PartChanged), "{parts:?}");
        }
        let left = catalog.parts(&upload_id(1), 0, 9).await.unwrap();
        assert_eq!(left.parts.len(), 2);
        let row = object(100, "k");
        assert_eq!(catalog.object(&DATASET, &row.key).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_completion_cannot_change_the_key() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        begin(&catalog, 1, "k").await;
        send(&catalog, part(1, 1, 11), &[11]).await;
        let finish = complete(1, &[(1, 11)], object(100, "other"));
        let answer = catalog.commit(vec![finish]).await;
        assert_eq!(answer, refused(Conflict::NoUpload));
        assert!(catalog.upload(&upload_id(1)).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn an_abort_drops_parts_and_blobs() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        begin(&catalog, 1, "k").await;
        send(&catalog, part(1, 1, 11), &[11]).await;
        send(&catalog, part(1, 2, 12), &[12]).await;
        catalog.commit(vec![abort(1, 20)]).await.unwrap();
        let again = catalog.commit(vec![abort(1, 21)]).await;
        assert_eq!(again, refused(Conflict::NoUpload));
        let parts = catalog.parts(&upload_id(1), 0, 9).await.unwrap();
        assert!(parts.parts.is_empty());
        let lost = catalog.claim_unreferenced(at(21), 9).await.unwrap();
        assert_eq!(lost, [blob(11), blob(12)]);
    })
    .await;
}

fn query(prefix: &str, after: Option<(&str, Option<u32>)>, limit: usize) -> UploadQuery {
    UploadQuery {
        prefix: prefix.into(),
        after: after.map(|(key, number)| (key.into(), number.map(upload_id))),
        limit,
    }
}

/// Which uploads a query gives, and whether there are more.
async fn listed(catalog: &SharedCatalog, query: UploadQuery) -> (Vec<u64>, bool) {
    let page = catalog.uploads(&DATASET, &query).await.unwrap();
    let numbers = page.uploads.iter().map(|row| row.initiated.millis());
    (numbers.collect(), page.more)
}

#[tokio::test]
async fn uploads_are_listed_by_key_and_beginning() {
    on_each(|catalog| async move {
        furnish(&catalog).await;
        for (number, key) in [(5, "a/x"), (2, "a/x"), (3, "a/y"), (4, "b"), (1, "a")] {
            begin(&catalog, number, key).await;
        }
        let cases = [
            (query("", None, 9), vec![1, 2, 5, 3, 4], false),
            (query("", None, 5), vec![1, 2, 5, 3, 4], false),
            (query("", None, 4), vec![1, 2, 5, 3], true),
            (query("a/", None, 9), vec![2, 5, 3], false),
            (query("", Some(("a/x", None)), 9), vec![3, 4], false),
            (query("", Some(("a/x", Some(2))), 1), vec![5], true),
            (query("", Some(("a/x", Some(5))), 9), vec![3, 4], false),
            (query("b", Some(("a", None)), 9), vec![4], false),
            (query("a/", Some(("b", None)), 9), vec![], false),
            // Upload 7 is gone: its key is begun again. Upload 4 is of another key: likewise.
            (
                query("", Some(("a/x", Some(7))), 9),
                vec![2, 5, 3, 4],
                false,
            ),
            (
                query("", Some(("a/x", Some(4))), 9),
                vec![2, 5, 3, 4],
                false,
            ),
            (query("", None, 0), vec![], false),
        ];
        for (query, numbers, more) in cases {
            let text = format!("{query:?}");
            assert_eq!(listed(&catalog, query).await, (numbers, more), "{text}");
        }
    })
    .await;
}
