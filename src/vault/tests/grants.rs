//! The life of a grant: proposed, approved, used, reviewed, withdrawn; and the people it is for.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::support::{BUCKET, REVIEW, World, kind, place, sample, unbound};
use crate::ledger::{Entry, Intent};
use crate::policy::{Grant, GrantEffect, Standing};
use crate::types::{GrantId, PrincipalId, ProjectName, Timestamp};
use crate::vault::{Call, ErrorKind, GrantUse, ReadAsk, Span};

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

fn person(name: &str) -> PrincipalId {
    name.parse().unwrap()
}

async fn propose(world: &World, by: Option<&str>, grant: Grant) -> Result<GrantId, ErrorKind> {
    let made = world.vault.propose_grant(&world.call(by), grant).await;
    made.map(|grant| grant.id).map_err(|error| error.kind())
}

/// Somebody who signed approves.
async fn approve(world: &World, by: &str, id: GrantId) -> Result<(), ErrorKind> {
    let call = world.call(Some(by));
    let done = world.vault.approve_grant(&call, (&icu(), id), None).await;
    done.map(drop).map_err(|error| error.kind())
}

async fn confirm(world: &World, by: &str, id: GrantId) -> Result<(), ErrorKind> {
    let call = world.call(Some(by));
    let done = world.vault.confirm_grant(&call, (&icu(), id), None).await;
    done.map(drop).map_err(|error| error.kind())
}

async fn withdraw(world: &World, by: Option<&str>, id: GrantId) -> Result<(), ErrorKind> {
    let call = world.call(by);
    let done = world.vault.revoke_grant(&call, (&icu(), id), None).await;
    done.map_err(|error| error.kind())
}

async fn reads(world: &World, who: &str) -> bool {
    world.get(who, "k", Span::All).await.is_ok()
}

async fn review(world: &World, by: Option<&str>) -> Vec<GrantUse> {
    let call = world.call(by);
    world
        .vault
        .review_grants(&call, &icu(), None)
        .await
        .unwrap()
}

/// A draft that `by` words.
fn draft(world: &World, by: &str, to: &str, role: &str) -> Grant {
    Grant {
        approver: person(by),
        ..world.draft(to, role)
    }
}

async fn with_object() -> World {
    let world = World::new().await;
    world.put("olivia", "k", b"x").await.unwrap();
    world
}

fn last_intent(world: &World) -> Intent {
    let entries = world.journal.entries().into_iter().rev();
    let mut intents = entries.filter_map(|entry| match entry {
        Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => Some(intent),
        _ => None,
    });
    intents.next().unwrap()
}

#[tokio::test]
async fn az_3_a_proposal_takes_effect_when_an_owner_approves_it() {
    let world = with_object().await;
    let id = propose(&world, None, draft(&world, "stan", "stan", "reader"));
    let id = id.await.unwrap();
    assert!(!reads(&world, "stan").await);
    for other in ["stan", "ruben", "dirk", "anna", "job-1", "nobody"] {
        let told = approve(&world, other, id).await;
        assert_eq!(told, Err(ErrorKind::AccessDenied), "{other}");
        assert!(!reads(&world, "stan").await);
    }
    approve(&world, "olivia", id).await.unwrap();
    let words = last_intent(&world).query.unwrap();
    assert!(words.contains("approver=olivia"), "{words}");
    assert!(reads(&world, "stan").await);
    let granted = world.catalog.grant(&id).await.unwrap().unwrap();
    assert_eq!(granted.approver, person("olivia"));
    assert_eq!(granted.terms.proposer, Some(person("stan")));
    assert_eq!(
        approve(&world, "olivia", id).await,
        Err(ErrorKind::InvalidArgument)
    );
}

#[tokio::test]
async fn az_3_whoever_runs_the_platform_cannot_approve() {
    let world = with_object().await;
    world
        .vault
        .create_principal(&world.call(None), person("otto"), None)
        .await
        .unwrap();
    world.grant("otto", "operator").await;
    let id = propose(&world, None, draft(&world, "otto", "otto", "reader"));
    let id = id.await.unwrap();
    assert_eq!(
        approve(&world, "otto", id).await,
        Err(ErrorKind::AccessDenied)
    );
    // On the host nobody approves without a name, nor by the operator's own.
    for by in [None, Some(person("otto"))] {
        let call = world.call(None);
        let told = world
            .vault
            .approve_grant(&call, (&icu(), id), by.as_ref())
            .await;
        assert_eq!(told.unwrap_err().kind(), ErrorKind::AccessDenied);
    }
    assert_eq!(
        world
            .make_grant(draft(&world, "otto", "otto", "reader"))
            .await,
        Err(ErrorKind::AccessDenied)
    );
}

#[tokio::test]
async fn nobody_approves_in_the_name_of_another() {
    let world = with_object().await;
    let call = world.call(Some("stan"));
    let forged = world
        .vault
        .create_grant(&call, world.draft("stan", "reader"))
        .await;
    assert_eq!(forged.unwrap_err().kind(), ErrorKind::AccessDenied);
    let id = propose(&world, None, draft(&world, "stan", "stan", "reader"))
        .await
        .unwrap();
    let olivia = person("olivia");
    let forged = world
        .vault
        .approve_grant(&call, (&icu(), id), Some(&olivia))
        .await;
    assert_eq!(forged.unwrap_err().kind(), ErrorKind::AccessDenied);
    let anonymous = Call {
        session: Arc::new(crate::ledger::Session {
            auth: crate::ledger::AuthMethod::None,
            ..(*world.call(None).session).clone()
        }),
        ..world.call(None)
    };
    let told = world
        .vault
        .approve_grant(&anonymous, (&icu(), id), Some(&olivia))
        .await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::AccessDenied);
    assert!(!reads(&world, "stan").await);
}

#[tokio::test]
async fn az_1_a_grant_without_purpose_permit_or_end_is_refused() {
    let world = with_object().await;
    let without: [fn(&mut Grant); 3] = [
        |grant| grant.purpose = None,
        |grant| grant.permit = None,
        |grant| grant.expires = None,
    ];
    for cut in without {
        for role in ["reader", "job", "depositor", "exporter", "auditor"] {
            let mut grant = world.draft("stan", role);
            cut(&mut grant);
            let told = world.make_grant(grant.clone()).await;
            assert_eq!(told, Err(ErrorKind::InvalidArgument), "{role}");
            let told = propose(&world, None, grant).await;
            assert_eq!(told, Err(ErrorKind::InvalidArgument), "{role}");
        }
    }
    let bad: [fn(&mut Grant); 8] = [
        |grant| grant.purpose = Some(String::new()),
        |grant| grant.permit = Some("a\nb".to_owned()),
        |grant| grant.permit = Some("x".repeat(129)),
        |grant| grant.role = "king".to_owned(),
        |grant| grant.expires = Some(grant.starts),
        |grant| grant.prefix = "a".repeat(1_025),
        |grant| grant.terms.actions = vec![crate::types::Action::ObjectWrite],
        |grant| grant.terms.networks = vec!["::/0".parse().unwrap(); 33],
    ];
    for (number, spoil) in bad.into_iter().enumerate() {
        let mut grant = world.draft("stan", "reader");
        spoil(&mut grant);
        let told = world.make_grant(grant).await;
        assert_eq!(told, Err(ErrorKind::InvalidArgument), "{number}");
    }
    assert!(!reads(&world, "stan").await);
    // A denial takes nothing from anybody who needs a reason.
    let mut denial = world.draft("stan", "reader");
    denial.effect = GrantEffect::Deny;
    (denial.purpose, denial.permit, denial.expires) = (None, None, None);
    world.make_grant(denial).await.unwrap();
}

#[tokio::test]
async fn a_stranger_proposes_nothing_over_the_network() {
    let world = with_object().await;
    let told = propose(
        &world,
        Some("stan"),
        draft(&world, "stan", "stan", "reader"),
    )
    .await;
    assert_eq!(told, Err(ErrorKind::AccessDenied));
    let told = propose(
        &world,
        Some("ruben"),
        draft(&world, "olivia", "ruben", "contributor"),
    );
    assert_eq!(
        told.await,
        Err(ErrorKind::AccessDenied),
        "in the name of another"
    );
    let mut grant = draft(&world, "ruben", "ruben", "contributor");
    grant.dataset = Some("ecg".parse().unwrap());
    let id = propose(&world, Some("ruben"), grant).await.unwrap();
    let mine = review(&world, Some("ruben")).await;
    assert_eq!(mine.iter().filter(|row| row.grant.id == id).count(), 1);
    assert!(
        mine.iter()
            .all(|row| row.grant.principal == person("ruben"))
    );
    // She may take back what she asked for, and nothing else.
    assert_eq!(
        withdraw(&world, Some("stan"), id).await,
        Err(ErrorKind::AccessDenied)
    );
    withdraw(&world, Some("ruben"), id).await.unwrap();
    let held = mine.iter().find(|row| row.grant.id != id).unwrap().grant.id;
    assert_eq!(
        withdraw(&world, Some("ruben"), held).await,
        Err(ErrorKind::AccessDenied)
    );
}

#[tokio::test]
async fn absent_and_foreign_grants_look_alike() {
    let world = with_object().await;
    let foreign = GrantId::from_bytes([9; 16]);
    let held = world.grant("ruben", "contributor").await;
    for id in [foreign, held] {
        assert_eq!(
            approve(&world, "stan", id).await,
            Err(ErrorKind::AccessDenied)
        );
        assert_eq!(
            withdraw(&world, Some("stan"), id).await,
            Err(ErrorKind::AccessDenied)
        );
    }
    assert_eq!(
        approve(&world, "olivia", foreign).await,
        Err(ErrorKind::InvalidArgument)
    );
    world
        .vault
        .create_project(&world.call(None), "lab".parse().unwrap())
        .await
        .unwrap();
    let lab = "lab".parse().unwrap();
    let call = world.call(None);
    let told = world.vault.revoke_grant(&call, (&lab, held), None).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_denial_falls_only_on_an_owners_word() {
    let world = with_object().await;
    let mut denial = world.draft("ruben", "reader");
    denial.effect = GrantEffect::Deny;
    let id = world.make_grant(denial).await.unwrap();
    assert!(!reads(&world, "ruben").await);
    assert_eq!(
        withdraw(&world, None, id).await,
        Err(ErrorKind::AccessDenied)
    );
    assert!(!reads(&world, "ruben").await);
    withdraw(&world, Some("olivia"), id).await.unwrap();
    assert!(reads(&world, "ruben").await);
}

#[tokio::test]
async fn az_9_a_review_shows_last_uses_and_what_it_does_not_confirm_lapses() {
    let world = with_object().await;
    let id = world.grant("stan", "reader").await;
    let other = world.grant("stan", "depositor").await;
    let used = world.vault.now();
    assert!(reads(&world, "stan").await);
    world.wait(5);
    let row = async |id| {
        let rows = review(&world, Some("olivia")).await;
        rows.into_iter().find(|row| row.grant.id == id).unwrap()
    };
    assert_eq!(row(id).await.used, None, "not written yet");
    assert!(world.vault.keep_uses().await.unwrap() > 0);
    assert_eq!(world.vault.keep_uses().await.unwrap(), 0);
    assert_eq!(row(id).await.used, Some(used));
    assert!(!row(id).await.privileged);
    assert_eq!(row(other).await.used, None);
    withdraw(&world, Some("olivia"), other).await.unwrap();

    let lapse = row(id).await.grant.terms.lapses.unwrap();
    world.wait(lapse.since(world.vault.now()) - 1);
    assert!(reads(&world, "stan").await);
    world.wait(1);
    assert!(!reads(&world, "stan").await, "nobody confirmed it");
    for other in ["stan", "ruben", "anna"] {
        assert_eq!(
            confirm(&world, other, id).await,
            Err(ErrorKind::AccessDenied)
        );
    }
    confirm(&world, "olivia", id).await.unwrap();
    assert!(reads(&world, "stan").await);
    let next = row(id).await.grant.terms.lapses;
    assert_eq!(next, Some(world.vault.now().plus_millis(REVIEW.other_ms)));
    world.wait(REVIEW.other_ms);
    assert!(!reads(&world, "stan").await);
    assert!(reads(&world, "olivia").await, "an owner does not lapse");
}

#[tokio::test]
async fn what_lets_out_or_shows_the_log_is_reviewed_sooner_and_never_by_itself() {
    let world = with_object().await;
    let id = world.grant("stan", "exporter").await;
    let granted = world.catalog.grant(&id).await.unwrap().unwrap();
    let soon = world.vault.now().plus_millis(REVIEW.privileged_ms);
    assert_eq!(granted.terms.lapses, Some(soon));
    let own = propose(
        &world,
        Some("olivia"),
        draft(&world, "olivia", "olivia", "exporter"),
    );
    let own = own.await.unwrap();
    assert_eq!(
        approve(&world, "olivia", own).await,
        Err(ErrorKind::AccessDenied)
    );
    let team = person("team");
    let local = || world.call(None);
    world
        .vault
        .create_group(&local(), team.clone())
        .await
        .unwrap();
    world
        .vault
        .add_member(&local(), team, person("olivia"))
        .await
        .unwrap();
    let through = propose(
        &world,
        Some("olivia"),
        draft(&world, "olivia", "team", "auditor"),
    );
    let through = through.await.unwrap();
    assert_eq!(
        approve(&world, "olivia", through).await,
        Err(ErrorKind::AccessDenied)
    );
}

#[tokio::test]
async fn a_member_reads_while_she_is_one() {
    let world = with_object().await;
    let (team, stan) = (person("team"), person("stan"));
    let local = || world.call(None);
    world
        .vault
        .create_group(&local(), team.clone())
        .await
        .unwrap();
    world.grant("team", "reader").await;
    assert!(!reads(&world, "stan").await);
    world
        .vault
        .add_member(&local(), team.clone(), stan.clone())
        .await
        .unwrap();
    assert!(reads(&world, "stan").await);
    let seen = world
        .vault
        .list_datasets(&world.call(Some("stan")))
        .await
        .unwrap();
    assert_eq!(seen.len(), 1);
    world
        .vault
        .remove_member(&local(), team.clone(), stan.clone())
        .await
        .unwrap();
    assert!(!reads(&world, "stan").await);
    let seen = world
        .vault
        .list_datasets(&world.call(Some("stan")))
        .await
        .unwrap();
    assert_eq!(seen, []);
    let told = world
        .vault
        .create_credential(&local(), team, unbound())
        .await;
    assert_eq!(
        told.err().map(|e| e.kind()),
        Some(ErrorKind::InvalidArgument)
    );
}

#[tokio::test]
async fn who_is_suspended_may_do_nothing_nor_what_acts_for_her() {
    let world = with_object().await;
    let suspend = async |name: &str, is| {
        let call = world.call(None);
        world.vault.suspend(&call, person(name), is).await.unwrap();
    };
    for (name, other) in [("ruben", "job-1"), ("job-1", "job-1")] {
        assert!(reads(&world, other).await);
        suspend(name, true).await;
        assert!(!reads(&world, other).await, "{name}");
        let policy = last_intent(&world).policy.unwrap();
        assert_eq!(policy.rule, "barred: suspended");
        suspend(name, false).await;
        assert!(reads(&world, other).await);
    }
    suspend("olivia", true).await;
    let id = propose(&world, None, draft(&world, "stan", "stan", "reader"))
        .await
        .unwrap();
    assert_eq!(
        approve(&world, "olivia", id).await,
        Err(ErrorKind::AccessDenied)
    );
}

/// Reads a segment a second from what `who` opened before `end`; how long that went on.
async fn cut_after(world: &World, call: &Call, end: impl AsyncFnOnce()) -> u64 {
    let reading = world
        .vault
        .read_object(call, place("big"), ReadAsk::default());
    let mut body = reading.await.unwrap().body;
    body.next().await.unwrap().unwrap();
    end().await;
    let mut ms = 0;
    while let Ok(_segment) = body.next().await.expect("the object is long enough") {
        ms += 1000;
        world.wait(1000);
    }
    ms
}

#[tokio::test]
async fn az_2_suspension_and_the_end_of_membership_cut_what_runs() {
    let world = with_object().await;
    world
        .put("olivia", "big", &sample(100 * 65_536))
        .await
        .unwrap();
    let local = || world.call(None);
    let call = world.call(Some("job-1"));
    let ms = cut_after(&world, &call, async || {
        world
            .vault
            .suspend(&local(), person("ruben"), true)
            .await
            .unwrap();
    });
    assert!(ms.await <= 60_000);

    let (team, stan) = (person("team"), person("stan"));
    world
        .vault
        .create_group(&local(), team.clone())
        .await
        .unwrap();
    world.grant("team", "reader").await;
    world
        .vault
        .add_member(&local(), team.clone(), stan.clone())
        .await
        .unwrap();
    let call = world.call(Some("stan"));
    let ms = cut_after(&world, &call, async || {
        world
            .vault
            .remove_member(&local(), team, stan)
            .await
            .unwrap();
    });
    assert!(ms.await <= 60_000);
}

#[tokio::test]
async fn az_12_a_grant_for_a_network_holds_for_requests_from_there() {
    let world = with_object().await;
    let mut grant = world.draft("stan", "reader");
    grant.terms.networks = vec!["10.12.0.0/16".parse().unwrap()];
    world.make_grant(grant).await.unwrap();
    for (address, expected) in [
        ("10.12.4.17", None),
        ("10.13.0.1", Some(ErrorKind::GrantElsewhere)),
        ("", Some(ErrorKind::GrantElsewhere)),
        ("10.12.4.17, 10.13.0.1", Some(ErrorKind::GrantElsewhere)),
    ] {
        let mut call = world.call(Some("stan"));
        let mut session = (*call.session).clone();
        session.client_ip = address.to_owned();
        call.session = Arc::new(session);
        let told = world
            .vault
            .read_object(&call, place("k"), ReadAsk::default());
        assert_eq!(kind(told.await), expected, "{address}");
    }
}

#[tokio::test]
async fn the_record_of_a_read_names_grant_purpose_and_permit() {
    let world = with_object().await;
    let id = world.grant("stan", "reader").await;
    assert!(reads(&world, "stan").await);
    let policy = last_intent(&world).policy.unwrap();
    assert_eq!(policy.grant, Some(id));
    assert_eq!(policy.purpose.as_deref(), Some("test:try"));
    assert_eq!(policy.permit.as_deref(), Some("T-1"));
    assert_eq!(policy.rule, "p, reader, object.read, allow");
}

#[tokio::test]
async fn proposals_are_bounded_and_an_approval_counts_from_its_day() {
    let world = with_object().await;
    let id = propose(&world, None, draft(&world, "stan", "stan", "reader"))
        .await
        .unwrap();
    let proposed = world.catalog.grant(&id).await.unwrap().unwrap();
    assert_eq!(proposed.terms.standing, Standing::Proposed);
    assert_eq!(proposed.terms.lapses, None);
    world.wait(50);
    approve(&world, "olivia", id).await.unwrap();
    let approved = world.catalog.grant(&id).await.unwrap().unwrap();
    let lapse = world.vault.now().plus_millis(REVIEW.other_ms);
    assert_eq!(approved.terms.lapses, Some(lapse));
    let mut late = draft(&world, "stan", "stan", "reader");
    late.starts = Timestamp::from_millis(world.vault.now().millis() + 1_000);
    let id = world
        .make_grant(Grant {
            approver: person("olivia"),
            ..late
        })
        .await
        .unwrap();
    let granted = world.catalog.grant(&id).await.unwrap().unwrap();
    assert_eq!(granted.terms.lapses, Some(lapse.plus_millis(1_000)));
    assert_eq!(granted.dataset, None, "{BUCKET} among others");
}
