//! A dataset that is deleted takes its keys along, unless it is under legal hold.

use std::sync::Arc;

use super::keywork::{ask, bucket, get, object, stocked};
use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, kind, place};
use crate::catalog::EraseScope;
use crate::types::{BucketName, DatasetId};
use crate::vault::{CardChange, ErrorKind, Noticed, Unopened, Vault, WriteConditions};

const OTHER: &str = "icu--other";

fn named(name: &str) -> BucketName {
    BucketName::parse(name, &"icu".parse().unwrap()).unwrap()
}

/// A second dataset, which holds nothing any more.
async fn emptied() -> (World, DatasetId) {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    let made = world.vault.create_dataset(&call, OTHER, false).await;
    (world, made.unwrap().id)
}

async fn delete(world: &World, vault: &Vault) -> Option<ErrorKind> {
    let call = world.call(Some("olivia"));
    kind(vault.delete_dataset(&call, OTHER).await)
}

#[tokio::test]
async fn er_2_a_deleted_dataset_leaves_no_key_behind_and_none_comes_back() {
    let (world, dataset) = emptied().await;
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1]);
    assert_eq!(delete(&world, &world.vault).await, None);
    assert!(world.keyring.versions_of(&dataset).unwrap().is_empty());
    assert!(world.catalog.open_key_works().await.unwrap().is_empty());
    let works = world.catalog.key_works(None, None, 9).await.unwrap();
    let told: Vec<_> = works
        .iter()
        .map(|row| (row.word(), row.persons.len()))
        .collect();
    assert_eq!(told, [("delete", 1)]);
    let certificate = world.vault.erasure_certificate(&works[0].id).await.unwrap();
    assert_eq!(
        certificate, None,
        "one person deletes what is empty, two erase"
    );
    // The other dataset and its name are as before; the name can be taken again.
    assert_eq!(get(&world, BUCKET, "a").await.unwrap().len(), 70_000);
    let call = world.call(Some("olivia"));
    let again = world
        .vault
        .create_dataset(&call, OTHER, false)
        .await
        .unwrap();
    assert_ne!(again.id, dataset);
    assert_eq!(
        world
            .vault
            .notice_key_works(&mut Noticed::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(world.keyring.versions_of(&again.id).unwrap(), [1]);
}

#[tokio::test]
async fn a_dataset_that_holds_something_keeps_its_key() {
    let (world, dataset) = emptied().await;
    let none = WriteConditions::default();
    let call = world.call(Some("olivia"));
    let refused = world.vault.delete_dataset(&call, BUCKET).await;
    assert_eq!(kind(refused), Some(ErrorKind::DatasetNotEmpty));
    assert!(world.catalog.open_key_works().await.unwrap().is_empty());
    assert_eq!(get(&world, BUCKET, "a").await.unwrap().len(), 70_000);
    let call = world.call(Some("olivia"));
    let gone = world.vault.delete_object(&call, place("a"), none, false);
    gone.await.unwrap();
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1]);
}

#[tokio::test]
async fn er_2_what_is_under_legal_hold_is_neither_deleted_nor_erased() {
    let (world, dataset) = emptied().await;
    let change = |held: Option<&str>| CardChange {
        held: Some(held.map(str::to_owned)),
        ..CardChange::default()
    };
    for name in [OTHER, BUCKET] {
        let call = world.call(Some("olivia"));
        let (name, change) = (named(name), change(Some("case 7")));
        let held = world.vault.set_card(&call, &name, change, None);
        held.await.unwrap();
    }
    assert_eq!(delete(&world, &world.vault).await, Some(ErrorKind::Locked));
    for scope in [EraseScope::Dataset, object("a"), EraseScope::Published(1)] {
        let call = world.call(None);
        let erased = world.vault.erase_agreed(&call, &bucket(), ask(scope)).await;
        assert_eq!(kind(erased), Some(ErrorKind::Locked));
    }
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1]);
    assert_eq!(get(&world, BUCKET, "a").await.unwrap().len(), 70_000);
    let call = world.call(Some("olivia"));
    let name = named(OTHER);
    let free = world.vault.set_card(&call, &name, change(None), None);
    free.await.unwrap();
    assert_eq!(delete(&world, &world.vault).await, None);
    assert!(world.keyring.versions_of(&dataset).unwrap().is_empty());
}

#[tokio::test]
async fn a_deletion_that_is_cut_short_is_none_or_takes_the_key_in_the_end() {
    for after in [false, true] {
        for at in 1.. {
            let (mut world, dataset) = emptied().await;
            let gate = Gate::new(at, after);
            let mut parts = world.parts();
            parts.catalog = Arc::new(Gated::new(Arc::clone(&parts.catalog), &gate));
            parts.journal = Arc::new(Gated::new(Arc::clone(&parts.journal), &gate));
            let vault = Vault::new(parts, super::support::settings(false));
            let finished = tokio::select! {
                told = delete(&world, &vault) => told.is_none(),
                () = gate.stopped() => false,
            };
            world.rewire(|parts| parts);
            world.vault.resume_key_works(Unopened::Wait).await.unwrap();
            let there = world.catalog.dataset(&named(OTHER)).await.unwrap();
            let keys = world.keyring.versions_of(&dataset).unwrap();
            assert_eq!(there.is_some(), !keys.is_empty(), "step {at}");
            if finished {
                assert!(there.is_none() && at > 3);
                break;
            }
        }
    }
}
