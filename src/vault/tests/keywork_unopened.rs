//! Work on keys where part tables open under no key: nothing is destroyed that could still help.

use std::fs;
use std::path::Path;

use super::keywork::{ask, bucket, get, object, stock, stocked};
use super::support::{BUCKET, World, sample};
use crate::catalog::{Mutation, ObjectRow};
use crate::keyring::{KeyRing, RootIdentity};
use crate::seal::{open_table, seal_table};
use crate::types::DatasetId;
use crate::vault::objects::read::object_binding;
use crate::vault::{ErrorKind, Noticed, Unopened};

async fn dataset(world: &World) -> DatasetId {
    world.catalog.dataset(&bucket()).await.unwrap().unwrap().id
}

async fn row_of_b(world: &World) -> ObjectRow {
    let rows = world.catalog.writes(&dataset(world).await, None, 9).await;
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

/// A directory as it was, brought back beside what is there now.
fn restore(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            restore(&entry.path(), &there);
        } else if !there.exists() {
            fs::copy(entry.path(), there).unwrap();
        }
    }
}

#[tokio::test]
async fn what_waits_for_people_keeps_no_key_that_returns() {
    let disk = tempfile::tempdir().unwrap();
    let (keys, backup) = (disk.path().join("keys"), disk.path().join("backup"));
    let root = RootIdentity::generate();
    let world = World::keyed(|entropy| KeyRing::create(&keys, &root, entropy).unwrap());
    world.found().await;
    stock(&world).await;
    let call = world.call(Some("olivia"));
    let made = world.vault.create_dataset(&call, "icu--other", false).await;
    let other = made.unwrap();
    restore(&keys, &backup);
    // This waits for people; what is begun after it does not.
    let before = bend(&world).await;
    assert_eq!(rotated(&world).await, Err(ErrorKind::Integrity));
    world.wait(1);
    let call = world.call(None);
    let done = world.vault.rotate_key(&call, &other.bucket).await;
    assert!(done.unwrap().end.is_some());
    let mut noticed = Noticed::default();
    let mut looks = Vec::new();
    for mended in [false, true] {
        if mended {
            mend(&world, &before).await;
            for row in world.vault.open_key_works().await.unwrap() {
                let ended = world.vault.resume_key_work(&row, Unopened::Wait).await;
                ended.unwrap();
            }
            world.wait(3_600_000);
        }
        restore(&backup, &keys);
        for _ in 0..2 {
            let gone = world.vault.notice_key_works(&mut noticed).await;
            looks.push(gone.unwrap());
        }
        let versions = world.keyring.versions_of(&other.id);
        assert_eq!(versions.unwrap(), [2], "{mended}");
    }
    assert_eq!(looks, [1, 0, 2, 0], "the other's alone, then both");
    let mended = world.keyring.versions_of(&dataset(&world).await);
    assert_eq!(mended.unwrap(), [2]);
}

#[tokio::test]
async fn each_piece_of_work_is_carried_on_by_itself() {
    let world = stocked().await;
    let _before = bend(&world).await;
    assert_eq!(rotated(&world).await, Err(ErrorKind::Integrity));
    let open = world.vault.open_key_works().await.unwrap();
    assert_eq!(open.len(), 1);
    let waits = world.vault.resume_key_work(&open[0], Unopened::Wait).await;
    assert_eq!(waits.unwrap_err().kind(), ErrorKind::Integrity);
    let given_up = world.vault.resume_key_work(&open[0], Unopened::GiveUp);
    given_up.await.unwrap();
    assert!(world.vault.open_key_works().await.unwrap().is_empty());
}
