//! A dataset that is deleted leaves its keys, which two persons erase; one under legal hold stays.

use std::sync::Arc;

use super::keywork::{ask, bucket, get, object, stocked};
use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, kind, place};
use crate::catalog::{EraseScope, KeyWorkRow, Mutation, Tally};
use crate::types::{ActKind, ApprovalId, BucketName, DatasetId, KeyWorkId, ProjectName};
use crate::vault::{ActDraft, CardChange, ErrorKind, Noticed, Unopened, Vault, WriteConditions};

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

/// What two persons agree on about the other dataset; `ida` is an owner too.
async fn agree(world: &World, what: &str) -> Result<ApprovalId, ErrorKind> {
    let project: ProjectName = "icu".parse().unwrap();
    let draft = ActDraft {
        kind: ActKind::Erase,
        project: project.clone(),
        dataset: Some("other".parse().unwrap()),
        terms: vec![("what".to_owned(), what.to_owned())],
        reason: "its end".to_owned(),
    };
    let asker = world.call(Some("olivia"));
    let row = world.vault.ask_act(&asker, draft).await;
    let id = row.map_err(|error| error.kind())?.id;
    let call = world.call(Some("ida"));
    let approved = world.vault.approve_act(&call, (&project, id)).await;
    approved.map_err(|error| error.kind())?;
    Ok(id)
}

async fn erase(world: &World, id: ApprovalId) -> Result<KeyWorkRow, ErrorKind> {
    let project = "icu".parse().unwrap();
    let call = world.call(Some("olivia"));
    let erased = world.vault.erase(&call, (&project, id)).await;
    erased.map_err(|error| error.kind())
}

async fn second_owner(world: &World) {
    let ida = "ida".parse().unwrap();
    let local = world.call(None);
    let made = world.vault.create_principal(&local, ida, None).await;
    made.unwrap();
    world.grant("ida", "owner").await;
}

#[tokio::test]
async fn az_10_one_person_deletes_a_dataset_and_two_destroy_its_keys() {
    let (world, dataset) = emptied().await;
    second_owner(&world).await;
    assert_eq!(
        agree(&world, "deleted").await,
        Err(ErrorKind::NoSuchDataset)
    );
    assert_eq!(delete(&world, &world.vault).await, None);
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1], "kept");
    let left = world.vault.deleted_datasets().await.unwrap();
    let told: Vec<_> = left.iter().map(|row| (row.dataset, &row.bucket)).collect();
    assert_eq!(told, [(dataset, &named(OTHER))]);
    assert_eq!(left[0].by, Some("olivia".parse().unwrap()));
    // Neither restarts nor work on keys that is resumed take what nobody agreed on.
    world
        .vault
        .resume_key_works(Unopened::GiveUp)
        .await
        .unwrap();
    let mut noticed = Noticed::default();
    let back = world.vault.notice_key_works(&mut noticed).await;
    assert_eq!(back.unwrap(), 0);
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1]);

    let work = erase(&world, agree(&world, "deleted").await.unwrap())
        .await
        .unwrap();
    assert!(world.keyring.versions_of(&dataset).unwrap().is_empty());
    assert_eq!((work.dataset, work.persons.len()), (dataset, 2));
    let certificate = world.vault.erasure_certificate(&work.id).await.unwrap();
    assert!(certificate.is_some_and(|text| text.contains(&dataset.to_string())));
    assert!(world.vault.deleted_datasets().await.unwrap().is_empty());
    assert_eq!(
        agree(&world, "deleted").await,
        Err(ErrorKind::NoSuchDataset)
    );
    // The other dataset is as before.
    assert_eq!(get(&world, BUCKET, "a").await.unwrap().len(), 70_000);
}

#[tokio::test]
async fn the_keys_of_a_deleted_dataset_are_not_those_of_the_next_of_its_name() {
    let (world, first) = emptied().await;
    second_owner(&world).await;
    assert_eq!(delete(&world, &world.vault).await, None);
    let early = agree(&world, "deleted").await.unwrap();
    world.wait(1_000);
    let make = async || {
        let call = world.call(Some("olivia"));
        let made = world.vault.create_dataset(&call, OTHER, false).await;
        made.unwrap().id
    };
    let second = make().await;
    assert_eq!(delete(&world, &world.vault).await, None);
    let living = make().await;
    // Agreed on before the second was deleted: it is the first's, whatever came between.
    assert_eq!(erase(&world, early).await.unwrap().dataset, first);
    assert_eq!(world.keyring.versions_of(&second).unwrap(), [1]);
    assert_eq!(erase(&world, early).await, Err(ErrorKind::Conflict), "once");
    let next = agree(&world, "deleted").await.unwrap();
    assert_eq!(erase(&world, next).await.unwrap().dataset, second);
    assert!(world.keyring.versions_of(&second).unwrap().is_empty());
    assert_eq!(
        world.keyring.versions_of(&living).unwrap(),
        [1],
        "untouched"
    );
    assert!(
        world
            .catalog
            .dataset(&named(OTHER))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        agree(&world, "deleted").await,
        Err(ErrorKind::NoSuchDataset)
    );
}

#[tokio::test]
async fn what_was_agreed_on_for_a_living_dataset_erases_no_deleted_one() {
    let (world, dataset) = emptied().await;
    second_owner(&world).await;
    let living = agree(&world, "dataset").await.unwrap();
    assert_eq!(delete(&world, &world.vault).await, None);
    assert_eq!(erase(&world, living).await, Err(ErrorKind::NoSuchDataset));
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1]);
    for other in ["object=a", "version=1", "dataset"] {
        assert_eq!(
            agree(&world, other).await,
            Err(ErrorKind::NoSuchDataset),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_dataset_is_not_deleted_while_its_keys_are_worked_on() {
    let (world, dataset) = emptied().await;
    let work = KeyWorkRow {
        id: KeyWorkId::from_bytes([9; 16]),
        dataset,
        bucket: named(OTHER),
        scope: None,
        floor: 2,
        keys: vec![1],
        persons: Vec::new(),
        reason: String::new(),
        begun: world.vault.now(),
        tally: Tally::default(),
        end: None,
    };
    let begun = world.catalog.commit(vec![Mutation::BeginKeyWork(work)]);
    begun.await.unwrap();
    assert_eq!(
        delete(&world, &world.vault).await,
        Some(ErrorKind::Conflict)
    );
    assert!(
        world
            .catalog
            .dataset(&named(OTHER))
            .await
            .unwrap()
            .is_some()
    );
    world.vault.resume_key_works(Unopened::Wait).await.unwrap();
    assert_eq!(delete(&world, &world.vault).await, None);
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
}

#[tokio::test]
async fn a_deletion_that_is_cut_short_is_none_or_whole_and_remembered() {
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
            let left = world.vault.deleted_datasets().await.unwrap();
            assert_eq!(there.is_some(), left.is_empty(), "step {at}");
            assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [1]);
            if finished {
                assert!(there.is_none() && at > 2);
                break;
            }
        }
    }
}
