//! Work on keys where part tables open under no key: nothing is destroyed that could still help.

use super::keywork::{ask, bucket, get, object, stocked};
use super::support::{BUCKET, World, sample};
use crate::catalog::{Mutation, ObjectRow};
use crate::seal::{open_table, seal_table};
use crate::types::DatasetId;
use crate::vault::read::object_binding;
use crate::vault::{ErrorKind, Unopened};

async fn dataset(world: &World) -> DatasetId {
    world.catalog.dataset(&bucket()).await.unwrap().unwrap().id
}

async fn row_of_b(world: &World) -> ObjectRow {
    let rows = world.catalog.writes(&dataset(world).await, "", 9).await;
    let mut rows = rows.unwrap().into_iter();
    rows.find(|row| row.key.as_str() == "b").unwrap()
}

/// Bends the part table of `b`, as a disk that goes bad does; the row as it was before.
async fn bend(world: &World) -> ObjectRow {
    let row = row_of_b(world).await;
    let mut bent = row.sealed_table.to_vec();
    *bent.last_mut().unwrap() ^= 1;
    set(world, bent.into()).await;
    row
}

/// Puts this table in the place of that of `b`, without asking whether it is one.
async fn set(world: &World, sealed_table: bytes::Bytes) {
    let row = row_of_b(world).await;
    let rewrapped = Mutation::Rewrap {
        dataset: row.dataset,
        key: row.key,
        version: row.version,
        sealed_table,
    };
    world.catalog.commit(vec![rewrapped]).await.unwrap();
}

/// Brings the table back, which the first key still opens, under the second.
async fn mend(world: &World, row: &ObjectRow) {
    let key = |version| world.keyring.dataset_at(&row.dataset, version).unwrap();
    let table = open_table(&key(1), &object_binding(row), &row.sealed_table).unwrap();
    let sealed = seal_table(&key(2), &object_binding(row), &table).unwrap();
    set(world, sealed).await;
}

async fn rotated(world: &World) -> Result<(), ErrorKind> {
    let call = world.call(None);
    let rotated = world.vault.rotate_key(&call, &bucket()).await;
    assert!(call.is_recorded());
    rotated.map(drop).map_err(|error| error.kind())
}

#[tokio::test]
async fn a_rotation_destroys_no_key_while_a_table_opens_under_none() {
    let world = stocked().await;
    let before = bend(&world).await;
    let id = dataset(&world).await;
    assert_eq!(rotated(&world).await, Err(ErrorKind::Integrity));
    assert_eq!(world.keyring.versions_of(&id).unwrap(), [1, 2]);
    assert_eq!(get(&world, BUCKET, "a").await.unwrap(), sample(70_000));
    let again = world.vault.resume_key_works(Unopened::Wait).await;
    assert!(again.is_err(), "it waits");
    assert_eq!(world.keyring.versions_of(&id).unwrap(), [1, 2]);
    // Somebody brings the table back, and the work ends.
    mend(&world, &before).await;
    let ended = world.vault.resume_key_works(Unopened::Wait).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(world.keyring.versions_of(&id).unwrap(), [2]);
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), sample(300));
}

#[tokio::test]
async fn what_opens_under_no_key_is_given_up_by_a_word_alone() {
    let world = stocked().await;
    let _before = bend(&world).await;
    let id = dataset(&world).await;
    assert_eq!(rotated(&world).await, Err(ErrorKind::Integrity));
    let ended = world.vault.resume_key_works(Unopened::GiveUp).await;
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(world.keyring.versions_of(&id).unwrap(), [2]);
    assert_eq!(get(&world, BUCKET, "a").await.unwrap(), sample(70_000));
}

#[tokio::test]
async fn an_erasure_of_one_object_takes_no_other_along() {
    let world = stocked().await;
    let before = bend(&world).await;
    let id = dataset(&world).await;
    let call = world.call(None);
    let (place, agreed) = (bucket(), ask(object("a")));
    let erased = world.vault.erase_agreed(&call, &place, agreed);
    let erased = erased.await.map(drop).map_err(|error| error.kind());
    assert_eq!(erased, Err(ErrorKind::Integrity));
    assert_eq!(world.keyring.versions_of(&id).unwrap(), [1, 2]);
    assert_eq!(get(&world, BUCKET, "a").await, Err(ErrorKind::NoSuchObject));
    mend(&world, &before).await;
    let ended = world.vault.resume_key_works(Unopened::Wait).await;
    assert_eq!(ended.unwrap(), 1, "and it ends when that is mended");
    assert_eq!(world.keyring.versions_of(&id).unwrap(), [2]);
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), sample(300));
}
