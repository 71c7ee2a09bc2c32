//! How much is published at once.

use super::published::published;
use super::support::{BUCKET, kind};
use crate::types::{BucketName, DatasetId, limits};
use crate::vault::ErrorKind;

#[tokio::test]
async fn of_two_publications_at_once_one_is_refused_before_anything_is_frozen() {
    let world = published().await;
    let bucket = BucketName::parse(BUCKET, world.vault.default_project()).unwrap();
    let id = world.catalog.dataset(&bucket).await.unwrap().unwrap().id;
    let publish = async || {
        let call = world.call(Some("olivia"));
        let made = world.vault.publish(&call, BUCKET).await;
        assert!(call.is_recorded());
        kind(made)
    };
    let (seq, blobs) = (world.catalog.change_seq().await, world.blobs().await);
    let turn = world.vault.publishing.begin(id, &bucket.project).unwrap();
    assert_eq!(publish().await, Some(ErrorKind::Conflict));
    drop(turn);
    // Of others of the project as many as may be.
    let other = |number: usize| DatasetId::from_bytes([u8::try_from(number).unwrap() + 100; 16]);
    let begin = |number| world.vault.publishing.begin(other(number), &bucket.project);
    let mut all: Vec<_> = (0..limits::PUBLICATIONS_AT_ONCE)
        .map(|number| begin(number).unwrap())
        .collect();
    assert_eq!(publish().await, Some(ErrorKind::SlowDown));
    assert_eq!(world.catalog.change_seq().await, seq, "nothing was frozen");
    assert_eq!(world.blobs().await, blobs);
    // Another project's do not count.
    let lab = "lab".parse().unwrap();
    let free = world.vault.publishing.begin(other(50), &lab);
    assert!(free.is_ok());
    all.pop();
    assert_eq!(publish().await, None);
    assert_eq!(publish().await, None, "and it has ended");
}
