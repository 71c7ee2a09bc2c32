//! What grants take up, and that nobody fills by them what others need.

use super::support::{World, kind};
use crate::catalog::Mutation;
use crate::ledger::Entry;
use crate::policy::{Grant, Standing, Terms};
use crate::types::{DatasetName, GrantId, Network, PrincipalId, ProjectName, limits};
use crate::vault::ErrorKind;

const FREE: usize = limits::GRANTS_FOR_EMERGENCIES as usize;

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

async fn person(world: &World, name: &str) {
    let who: PrincipalId = name.parse().unwrap();
    let local = world.call(None);
    world
        .vault
        .create_principal(&local, who, None)
        .await
        .unwrap();
}

/// So many grants of a role, put there at once.
async fn fill(world: &World, whom: &str, count: usize) {
    let made = (0..count).map(|_| {
        Mutation::CreateGrant(Grant {
            terms: Terms::default(),
            ..world.draft(whom, "reader")
        })
    });
    world.catalog.commit(made.collect()).await.unwrap();
    world.vault.guard.forget();
}

async fn make(world: &World, by: &str, grant: Grant) -> Option<ErrorKind> {
    let call = world.call(Some(by));
    let grant = Grant {
        approver: by.parse().unwrap(),
        ..grant
    };
    let made = world.vault.create_grant(&call, grant).await;
    assert!(call.is_recorded());
    kind(made)
}

async fn withdraw(world: &World, by: &str, id: GrantId) -> Option<ErrorKind> {
    let call = world.call(Some(by));
    kind(world.vault.revoke_grant(&call, (&icu(), id), None).await)
}

fn ecg() -> DatasetName {
    "ecg".parse().unwrap()
}

#[tokio::test]
async fn a_datasets_owner_shuts_nobody_out_by_grants_without_end() {
    let world = World::new().await;
    person(&world, "otto").await;
    let otto = Grant {
        dataset: Some(ecg()),
        ..world.draft("otto", "owner")
    };
    world.make_grant(otto).await.unwrap();
    let ecg = |whom: &str| Grant {
        dataset: Some(ecg()),
        ..world.draft(whom, "reader")
    };
    let own = limits::GRANTS_OF_ONE_MAX as usize - FREE;
    // Olivia holds one already.
    fill(&world, "olivia", own - 2).await;
    assert_eq!(make(&world, "otto", ecg("olivia")).await, None);
    let full = Some(ErrorKind::Conflict);
    assert_eq!(make(&world, "otto", ecg("olivia")).await, full);
    assert_eq!(make(&world, "otto", ecg("ruben")).await, None);
    // She goes on, and makes room.
    world.put("olivia", "a", b"x").await.unwrap();
    let grants = world
        .catalog
        .grants_of(&icu(), &"olivia".parse().unwrap())
        .await
        .unwrap();
    let spare = grants.iter().find(|grant| grant.role == "reader").unwrap();
    assert_eq!(withdraw(&world, "olivia", spare.id).await, None);
    assert_eq!(make(&world, "otto", ecg("olivia")).await, None);
}

#[tokio::test]
async fn a_project_has_so_many_grants_whoever_holds_them() {
    let world = World::new().await;
    let most = limits::GRANTS_OF_PROJECT_MAX as usize - FREE;
    let there = world.catalog.grants(&icu(), 99).await.unwrap().len();
    let each = limits::GRANTS_OF_ONE_MAX as usize - FREE;
    let mut left = most - there - 1;
    let mut number = 0;
    while left > 0 {
        let name = format!("p{number}");
        person(&world, &name).await;
        fill(&world, &name, left.min(each)).await;
        left -= left.min(each);
        number += 1;
    }
    person(&world, "late").await;
    let grant = || world.draft("late", "reader");
    assert_eq!(make(&world, "olivia", grant()).await, None);
    let full = Some(ErrorKind::Conflict);
    assert_eq!(make(&world, "olivia", grant()).await, full);
    let call = world.call(Some("ruben"));
    let asked = Grant {
        approver: "ruben".parse().unwrap(),
        ..grant()
    };
    let asked = world.vault.propose_grant(&call, asked).await;
    assert_eq!(kind(asked), full);
}

/// A proposal of a reader's, as large as there is.
fn large(world: &World) -> Grant {
    let networks = (0..32_u8).map(|n| format!("2001:db8:ffff:ffff:ffff:ffff:ffff:{n:x}/128"));
    let networks: Vec<Network> = networks.map(|net| net.parse().unwrap()).collect();
    Grant {
        approver: "ruben".parse().unwrap(),
        dataset: Some(ecg()),
        prefix: "p".repeat(1_000),
        terms: Terms {
            networks,
            ..Terms::default()
        },
        ..world.draft("ruben", "reader")
    }
}

/// Bytes of rights in the log.
fn kept(world: &World) -> usize {
    let entries = world.journal.entries();
    let texts = entries.iter().filter_map(|entry| match entry {
        Entry::Policy { text, .. } => Some(text.len()),
        _ => None,
    });
    texts.sum()
}

#[tokio::test]
async fn what_is_proposed_is_no_right_and_fills_no_log() {
    let world = World::new().await;
    let propose = async || {
        let call = world.call(Some("ruben"));
        let asked = world.vault.propose_grant(&call, large(&world)).await;
        asked.map(|grant| grant.id).map_err(|error| error.kind())
    };
    let mut ids: Vec<GrantId> = Vec::new();
    for _ in 0..limits::GRANT_PROPOSALS_OF_ONE_MAX {
        ids.push(propose().await.unwrap());
    }
    assert_eq!(propose().await, Err(ErrorKind::Conflict));
    let before = kept(&world);
    for id in ids {
        assert_eq!(withdraw(&world, "ruben", id).await, None);
        let _id: GrantId = propose().await.unwrap();
    }
    assert_eq!(kept(&world), before, "nobody's rights changed");
    let held = world.catalog.grants(&icu(), 9_999).await.unwrap();
    let waiting = held
        .iter()
        .filter(|grant| grant.terms.standing == Standing::Proposed);
    assert_eq!(waiting.count(), limits::GRANT_PROPOSALS_OF_ONE_MAX);
}

#[tokio::test]
async fn changes_of_rights_have_a_pace_and_withdrawals_none() {
    let world = World::new().await;
    let guard = &world.vault.guard;
    let reader = world.grant("ruben", "reader").await;
    let most = limits::RIGHTS_BYTES_PER_HOUR_MAX;
    guard.kept.count(&icu(), most / 2, guard.now());
    let draft = || world.draft("ruben", "contributor");
    assert_eq!(make(&world, "olivia", draft()).await, None);
    guard.kept.count(&icu(), most / 2, guard.now());
    let busy = Some(ErrorKind::SlowDown);
    assert_eq!(make(&world, "olivia", draft()).await, busy);
    assert_eq!(withdraw(&world, "olivia", reader).await, None);
    // Another project's changes are none of this one's, nor those of an hour ago.
    assert!(guard.kept.has_room(&"onco".parse().unwrap(), guard.now()));
    world.wait(60 * 60 * 1000);
    assert_eq!(make(&world, "olivia", draft()).await, None);
}
