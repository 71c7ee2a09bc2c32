//! AZ-3: on the vault's host nobody acts with an owner's right, where the vault says so.

use super::support::{World, kind};
use crate::policy::{GrantEffect, Standing};
use crate::types::{BucketName, PrincipalId, ProjectName};
use crate::vault::{CardChange, ErrorKind, Settings};

async fn closed() -> World {
    let mut world = World::new().await;
    world.settings(|settings| Settings {
        host_approves: false,
        ..settings
    });
    world
}

const DENIED: Option<ErrorKind> = Some(ErrorKind::AccessDenied);

#[tokio::test]
async fn az_3_the_host_approves_confirms_and_opens_nothing_in_an_owners_name() {
    let world = closed().await;
    let icu: ProjectName = "icu".parse().unwrap();
    let olivia: PrincipalId = "olivia".parse().unwrap();
    let host = || world.call(None);
    let vault = &world.vault;
    let draft = || world.draft("stan", "reader");
    assert_eq!(kind(vault.create_grant(&host(), draft()).await), DENIED);
    let proposed = vault.propose_grant(&host(), draft()).await.unwrap();
    assert_eq!(proposed.terms.standing, Standing::Proposed, "it may ask");
    let place = (&icu, proposed.id);
    let approved = vault.approve_grant(&host(), place, Some(&olivia)).await;
    assert_eq!(kind(approved), DENIED);
    let signed = world.call(Some("olivia"));
    vault.approve_grant(&signed, place, None).await.unwrap();
    let confirmed = vault.confirm_grant(&host(), place, Some(&olivia)).await;
    assert_eq!(kind(confirmed), DENIED);
    // What allows may go on the host's word; what denies may not, by nobody's name.
    vault.revoke_grant(&host(), place, None).await.unwrap();
    let denial = crate::policy::Grant {
        effect: GrantEffect::Deny,
        ..draft()
    };
    let signed = world.call(Some("olivia"));
    let denial = vault.create_grant(&signed, denial).await.unwrap().id;
    for by in [None, Some(&olivia)] {
        let gone = vault.revoke_grant(&host(), (&icu, denial), by).await;
        assert_eq!(kind(gone), DENIED);
    }
}

#[tokio::test]
async fn az_3_the_host_describes_no_dataset_in_an_owners_name() {
    let world = closed().await;
    let olivia: PrincipalId = "olivia".parse().unwrap();
    let place = |name: &str| BucketName {
        project: "icu".parse().unwrap(),
        dataset: name.parse().unwrap(),
    };
    let change = || CardChange {
        source: Some("elsewhere".to_owned()),
        ..CardChange::default()
    };
    let (vault, call, ecg) = (&world.vault, world.call(None), place("ecg"));
    let set = vault.set_card(&call, &ecg, change(), Some(&olivia));
    assert_eq!(kind(set.await), DENIED);
    let made = vault.found_dataset(&call, place("new"), Some(&olivia), change());
    assert_eq!(kind(made.await), DENIED);
    let plain = vault.found_dataset(&call, place("new"), Some(&olivia), CardChange::default());
    assert!(plain.await.is_ok(), "with the project's own defaults");
    let signed = world.call(Some("olivia"));
    let set = vault.set_card(&signed, &ecg, change(), None);
    assert!(set.await.is_ok());
}

#[tokio::test]
async fn az_3_the_host_publishes_nothing_in_an_owners_name() {
    let world = closed().await;
    let olivia: PrincipalId = "olivia".parse().unwrap();
    let ecg = BucketName {
        project: "icu".parse().unwrap(),
        dataset: "ecg".parse().unwrap(),
    };
    let published = world
        .vault
        .publish_for(&world.call(None), &ecg, olivia, true)
        .await;
    assert_eq!(kind(published), DENIED);
    let signed = world.call(Some("olivia"));
    assert!(world.vault.publish(&signed, "icu--ecg").await.is_ok());
}

/// As over the network: whoever may not make it there is not named as its maker here.
#[tokio::test]
async fn az_1_the_host_makes_no_dataset_for_who_may_not() {
    let world = World::new().await;
    let vault = &world.vault;
    let host = || world.call(None);
    let nurses: PrincipalId = "nurses".parse().unwrap();
    vault.create_group(&host(), nurses.clone()).await.unwrap();
    let owning = world.draft("nurses", "owner");
    vault.create_grant(&host(), owning).await.unwrap();
    let found = async |who: &str, name: &str| {
        let bucket = BucketName::parse(name, &"icu".parse().unwrap()).unwrap();
        let who: PrincipalId = who.parse().unwrap();
        let call = host();
        let made = vault.found_dataset(&call, bucket, Some(&who), CardChange::default());
        kind(made.await)
    };
    // She who reads, who holds nothing, a job of a reader, and an owner elsewhere.
    for who in ["stan", "ruben", "job-1", "anna"] {
        assert_eq!(found(who, "icu--new").await, DENIED, "{who}");
        let signed = world.call(Some(who));
        let made = vault.create_dataset(&signed, "icu--new", false).await;
        assert_eq!(kind(made), DENIED, "{who}");
    }
    for nobody in ["nobody", "nurses"] {
        let none = Some(ErrorKind::InvalidArgument);
        assert_eq!(found(nobody, "icu--new").await, none, "{nobody}");
    }
    assert_eq!(found("olivia", "lab--new").await, DENIED, "elsewhere");
    assert_eq!(found("olivia", "icu--new").await, None);
    let olivia: PrincipalId = "olivia".parse().unwrap();
    vault.suspend(&host(), olivia, true).await.unwrap();
    assert_eq!(found("olivia", "icu--newer").await, DENIED, "suspended");
}

/// By whoever signs, in her own name alone; what is refused makes nothing.
#[tokio::test]
async fn az_1_a_dataset_is_made_with_its_description_or_not_at_all() {
    let world = World::new().await;
    let icu = "icu".parse().unwrap();
    let bucket = || BucketName::parse("icu--new", &icu).unwrap();
    let labelled = |label: &str| CardChange {
        label: Some(label.parse().unwrap()),
        source: Some("PACS".to_owned()),
        basis: Some("protocol 12".to_owned()),
        ends: Some(world.vault.now().plus_millis(86_400_000)),
        ..CardChange::default()
    };
    let found = async |by: &str, named: Option<&str>, change: CardChange| {
        let named = named.map(|name| name.parse().unwrap());
        let call = world.call(Some(by));
        let made = world
            .vault
            .found_dataset(&call, bucket(), named.as_ref(), change);
        let made = made.await;
        assert!(call.is_recorded());
        made
    };
    let wrong = found("olivia", None, labelled("topsecret")).await;
    assert_eq!(kind(wrong), Some(ErrorKind::InvalidArgument));
    let lowered = CardChange {
        label: Some("public".parse().unwrap()),
        ..CardChange::default()
    };
    let lowered = found("olivia", None, lowered).await;
    assert!(lowered.is_err(), "without defaults a label is not all");
    for by in ["stan", "ruben", "job-1"] {
        let told = found(by, None, labelled("internal")).await;
        assert_eq!(kind(told), DENIED, "{by}");
    }
    let another = found("stan", Some("olivia"), labelled("internal")).await;
    assert_eq!(kind(another), DENIED);
    assert_eq!(world.catalog.dataset(&bucket()).await.unwrap(), None);
    let made = found("olivia", None, labelled("internal")).await.unwrap();
    assert_eq!(made.card.unwrap().owner, "olivia".parse().unwrap());
    let again = found("olivia", None, labelled("internal")).await;
    assert_eq!(kind(again), Some(ErrorKind::DatasetExists));
}
