//! An object that is a cut of another: what is left out stays with the other, whoever holds keys.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::published::{V1, run};
use super::support::{BUCKET, World, kind, place, sample};
use crate::catalog::{BlobUse, Issue, Mutation, PublicationRow};
use crate::seal::Table;
use crate::types::{BucketName, PublicationId};
use crate::vault::{
    CompletedPart, Completing, CopySource, ErrorKind, NewObject, ReadConditions, Span, StraightAsk,
};

/// An object made of these ranges of another, first and last byte of each.
async fn cut(world: &World, from: &str, to: &str, ranges: &[(u64, u64)]) {
    let call = world.call(Some("olivia"));
    let upload = world
        .vault
        .create_upload(&call, place(to), NewObject::default(), None)
        .await
        .unwrap()
        .id
        .to_string();
    let mut parts = Vec::new();
    for (number, (first, last)) in (1..).zip(ranges) {
        let source = CopySource {
            place: place(from),
            conditions: ReadConditions::default(),
            span: Span::Between(*first, *last),
        };
        let call = world.call(Some("olivia"));
        let copied = world
            .vault
            .copy_part(&call, source, place(to), &upload, number);
        parts.push(CompletedPart {
            number,
            etag: copied.await.unwrap().0.etag.to_string(),
            checksums: Vec::new(),
        });
    }
    let completing = Completing {
        parts,
        ..Completing::default()
    };
    let call = world.call(Some("olivia"));
    let done = world
        .vault
        .complete_upload(&call, place(to), &upload, completing);
    done.await.unwrap();
}

async fn publish(world: &World) -> Option<ErrorKind> {
    let call = world.call(Some("olivia"));
    let published = world.vault.publish(&call, BUCKET).await;
    assert!(call.is_recorded());
    kind(published)
}

async fn released(world: &World, key: &str) -> Option<Table> {
    let call = world.call(Some("job-1"));
    let runs = vec![run(key, 1)];
    let released = world.vault.release_keys(&call, V1, runs).await.unwrap();
    let released = released.keys.first()?;
    Table::receive_unbound(&released.table)
}

#[tokio::test]
async fn a_cut_is_read_through_the_gateway_and_never_published() {
    let world = World::new().await;
    let data = sample(150_000);
    world.put("olivia", "private", &data).await.unwrap();
    cut(&world, "private", "public", &[(0, 999)]).await;
    let read = world.get("job-1", "public", Span::All).await.unwrap();
    assert!(read == data[..1000], "its own bytes are there");
    assert_eq!(publish(&world).await, Some(ErrorKind::InvalidArgument));
    let versions = world
        .vault
        .list_published(&world.call(Some("olivia")), BUCKET)
        .await;
    assert!(versions.unwrap().is_empty(), "nothing is half published");
    // With a hole in the middle, or one byte short, it is a cut too.
    cut(
        &world,
        "private",
        "public",
        &[(0, 69_999), (80_000, 149_999)],
    )
    .await;
    assert_eq!(publish(&world).await, Some(ErrorKind::InvalidArgument));
    cut(&world, "private", "public", &[(0, 149_998)]).await;
    assert_eq!(publish(&world).await, Some(ErrorKind::InvalidArgument));
}

#[tokio::test]
async fn what_is_copied_range_by_range_and_whole_is_published() {
    let world = World::new().await;
    let data = sample(150_000);
    world.put("olivia", "from", &data).await.unwrap();
    // As clients copy what is large; in any order, and some of it twice.
    cut(
        &world,
        "from",
        "to",
        &[(70_000, 149_999), (0, 69_999), (5, 5)],
    )
    .await;
    assert_eq!(publish(&world).await, None);
    let table = released(&world, "to").await.unwrap();
    assert_eq!(table.bytes(), 150_001);
}

/// As a version that was published before cuts were refused.
async fn published_all_the_same(world: &World) {
    let bucket = BucketName::parse(BUCKET, &"icu".parse().unwrap()).unwrap();
    let dataset = world.catalog.dataset(&bucket).await.unwrap().unwrap().id;
    let row = PublicationRow {
        id: PublicationId::from_bytes([7; 16]),
        dataset,
        publisher: "olivia".parse().unwrap(),
        frozen: world.vault.now(),
        issue: None,
    };
    let issue = Mutation::Issue {
        publication: row.id,
        issue: Issue {
            number: 1,
            envelope: Bytes::from_static(b"none"),
            sealed_key: Bytes::from_static(b"none"),
        },
        blobs: BlobUse::default(),
    };
    let commit = world.catalog.commit(vec![Mutation::Freeze(row), issue]);
    commit.await.unwrap();
}

#[tokio::test]
async fn no_key_url_pack_or_sealed_byte_of_a_cut_leaves() {
    let world = World::new().await;
    let private = sample(150_000);
    let blobs = world
        .blobs_of(async {
            world.put("olivia", "private", &private).await.unwrap();
        })
        .await;
    world.put("olivia", "whole", &sample(5_000)).await.unwrap();
    cut(&world, "private", "public", &[(0, 999)]).await;
    published_all_the_same(&world).await;
    assert!(released(&world, "whole").await.is_some());
    assert!(
        released(&world, "private").await.is_some(),
        "all of it may be read"
    );
    assert!(released(&world, "public").await.is_none(), "no key");

    let call = world.call(Some("job-1"));
    let sealed = world
        .vault
        .read_sealed(&call, V1, "public", (blobs[0], 0..64));
    assert_eq!(
        sealed.await.err().map(|e| e.kind()),
        Some(ErrorKind::InvalidArgument)
    );

    let call = world.call(Some("job-1"));
    let runs = vec![run("public", 1)];
    let pack = world.vault.read_pack(&call, V1, runs).await.unwrap();
    let frames: Vec<_> = pack.collect().await;
    assert!(
        frames
            .iter()
            .all(|frame| frame.as_ref().is_ok_and(Bytes::is_empty)),
        "no pack"
    );

    let ask = StraightAsk {
        key: "public".parse().unwrap(),
        blobs,
    };
    let call = world.call(Some("job-1"));
    let urls = world.vault.presign(&call, V1, vec![ask]).await;
    assert!(urls.unwrap().is_empty(), "no URL");
    assert!(call.is_recorded());
}
