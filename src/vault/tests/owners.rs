//! A project keeps an owner; and what an owner's slips of the pen cost her.

use std::sync::Arc;

use super::cards::set;
use super::ports::{Gate, Gated};
use super::support::{World, kind};
use crate::catalog::SharedCatalog;
use crate::ledger::Entry;
use crate::policy::{Grant, Terms};
use crate::types::{GrantId, KeyScope, PrincipalId, ProjectName, Timestamp};
use crate::vault::{CardChange, ErrorKind};

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

async fn person(world: &World, name: &str) -> PrincipalId {
    let who: PrincipalId = name.parse().unwrap();
    let local = world.call(None);
    let made = world
        .vault
        .create_principal(&local, who.clone(), None)
        .await;
    made.unwrap();
    who
}

async fn withdraw(world: &World, by: Option<&str>, id: GrantId) -> Option<ErrorKind> {
    let call = world.call(by);
    let done = world.vault.revoke_grant(&call, (&icu(), id), None).await;
    assert!(call.is_recorded());
    kind(done)
}

async fn grant_of(world: &World, name: &str) -> GrantId {
    let who = name.parse().unwrap();
    let grants = world.catalog.grants_of(&icu(), &who).await.unwrap();
    grants[0].id
}

type Bend = fn(&mut Grant);

#[tokio::test]
async fn az_3_the_last_owner_stays_whoever_withdraws() {
    let world = World::new().await;
    let olivia = grant_of(&world, "olivia").await;
    for by in [Some("olivia"), None] {
        let told = withdraw(&world, by, olivia).await;
        assert_eq!(told, Some(ErrorKind::InvalidArgument), "{by:?}");
    }
    // None of these owns all of the project, now and from anywhere.
    let bends: [(&str, Bend); 5] = [
        ("oa", |grant| grant.dataset = Some("ecg".parse().unwrap())),
        ("ob", |grant| {
            grant.expires = Some(Timestamp::from_millis(1_800_000_000_001));
        }),
        ("oc", |grant| {
            grant.starts = grant.starts.plus_millis(86_400_000);
        }),
        ("od", |grant| {
            grant.terms.networks = vec!["10.0.0.0/8".parse().unwrap()];
        }),
        ("oe", |_suspended| ()),
    ];
    for (name, bend) in bends {
        let who = person(&world, name).await;
        let mut grant = world.draft(name, "owner");
        bend(&mut grant);
        world.make_grant(grant).await.unwrap();
        if name == "oe" {
            let local = world.call(None);
            world.vault.suspend(&local, who, true).await.unwrap();
        }
    }
    world.wait(10);
    let told = withdraw(&world, Some("olivia"), olivia).await;
    assert_eq!(told, Some(ErrorKind::InvalidArgument));
    person(&world, "oscar").await;
    let oscar = world.grant("oscar", "owner").await;
    assert_eq!(
        withdraw(&world, Some("oscar"), olivia).await,
        None,
        "there is another"
    );
    assert_eq!(
        withdraw(&world, Some("oscar"), oscar).await,
        Some(ErrorKind::InvalidArgument)
    );
    // Whose grant is no owner's is withdrawn as ever.
    let reader = grant_of(&world, "ruben").await;
    assert_eq!(withdraw(&world, Some("oscar"), reader).await, None);
}

/// Both were judged while the other was an owner; the catalog's writer then comes to both commits.
#[tokio::test]
async fn az_3_two_owners_who_withdraw_each_other_leave_one() {
    let mut world = World::new().await;
    let gate = Gate::new(u64::MAX, false);
    world.rewire(|mut parts| {
        parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, &gate));
        parts
    });
    person(&world, "oscar").await;
    let oscar = world.grant("oscar", "owner").await;
    let olivia = grant_of(&world, "olivia").await;
    let held = gate.turn().acquire_owned().await.unwrap();
    let before = gate.queued();
    let mut first = Box::pin(withdraw(&world, Some("olivia"), oscar));
    let mut second = Box::pin(withdraw(&world, Some("oscar"), olivia));
    for _ in 0..10_000 {
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        if gate.queued() == before + 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.queued(), before + 2, "both were let so far");
    drop(held);
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first, second), (None, Some(ErrorKind::Conflict)));
    let owners = world.catalog.grants(&icu(), 99).await.unwrap();
    let owners = owners.iter().filter(|grant| grant.role == "owner");
    let ids: Vec<GrantId> = owners.map(|grant| grant.id).collect();
    assert_eq!(ids, [olivia]);
}

#[tokio::test]
async fn the_record_of_a_proposal_names_no_approver() {
    let world = World::new().await;
    let asked = Grant {
        approver: "ruben".parse().unwrap(),
        terms: Terms::default(),
        ..world.draft("ruben", "reader")
    };
    let call = world.call(Some("ruben"));
    world.vault.propose_grant(&call, asked).await.unwrap();
    let entries = world.journal.entries();
    let said = entries.iter().rev().find_map(|entry| match entry {
        Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => intent.query.clone(),
        _ => None,
    });
    let said = said.unwrap();
    assert!(said.contains(" approver= proposer=ruben "), "{said}");
}

#[tokio::test]
async fn a_slip_in_a_date_ends_nothing() {
    let world = World::new().await;
    let past = [world.vault.now(), Timestamp::from_millis(1_577_836_800_000)];
    for ends in past {
        let change = CardChange {
            ends: Some(ends),
            ..CardChange::default()
        };
        let told = set(&world, "olivia", change).await;
        assert_eq!(told.err(), Some(ErrorKind::InvalidArgument));
        let local = world.call(None);
        let terms = (Some(ends), KeyScope::default());
        let owner = "olivia".parse().unwrap();
        let made = world.vault.create_credential(&local, owner, terms).await;
        assert_eq!(kind(made.map(drop)), Some(ErrorKind::InvalidArgument));
    }
}
