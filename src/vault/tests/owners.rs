//! A project keeps an owner; and what an owner's slips of the pen cost her.

use std::sync::Arc;

use super::cards::set;
use super::people::{by, organisation, user};
use super::ports::{Gate, Gated};
use super::support::{World, kind};
use crate::catalog::{Mutation, SharedCatalog};
use crate::ledger::Entry;
use crate::policy::{Ask, Circumstances, Grant, GrantEffect, Terms};
use crate::scim::Group;
use crate::types::{Action, GrantId, KeyScope, PrincipalId, ProjectName, Timestamp};
use crate::vault::{CardChange, ErrorKind, ScimRefusal};

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

/// A vault whose commits wait until the gate lets them.
async fn gated() -> (World, Arc<Gate>) {
    let mut world = World::new().await;
    let gate = Gate::new(u64::MAX, false);
    world.rewire(|mut parts| {
        parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, &gate));
        parts
    });
    (world, gate)
}

/// Both were judged while the other was an owner; the catalog's writer then comes to both commits.
#[tokio::test]
async fn az_3_two_owners_who_withdraw_each_other_leave_one() {
    let (world, gate) = gated().await;
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

/// What an owner who is not one for good tries, to become one or to keep what she has.
#[tokio::test]
async fn who_is_lent_an_office_cannot_keep_it() {
    let soon = |grant: &mut Grant| grant.expires = Some(grant.starts.plus_millis(600_000));
    let here = |grant: &mut Grant| grant.terms.networks = vec!["127.0.0.0/8".parse().unwrap()];
    let helps = |grant: &mut Grant| grant.terms.actions = vec![Action::GrantManage];
    let lent: [(&str, Bend); 3] = [("bea", soon), ("bo", here), ("bas", helps)];
    let world = World::new().await;
    person(&world, "friend").await;
    let olivia = grant_of(&world, "olivia").await;
    for (name, bend) in lent {
        person(&world, name).await;
        let mut office = world.draft(name, "owner");
        office.expires = None;
        bend(&mut office);
        world.make_grant(office.clone()).await.unwrap();
        let make = async |bend: &dyn Fn(&mut Grant), whom: &str, role: &str| {
            let mut grant = world.draft(whom, role);
            grant.approver = name.parse().unwrap();
            bend(&mut grant);
            let call = world.call(Some(name));
            let made = world.vault.create_grant(&call, grant).await;
            assert!(call.is_recorded());
            kind(made)
        };
        let further = Some(ErrorKind::InvalidArgument);
        for whom in [name, "friend"] {
            assert_eq!(make(&|_full| (), whom, "owner").await, further, "{name}");
            let endless = |grant: &mut Grant| grant.expires = None;
            assert_eq!(make(&endless, whom, "owner").await, further, "{name}");
        }
        // An owner's grant is an owner's to withdraw.
        let told = withdraw(&world, Some(name), olivia).await;
        assert_eq!(told, Some(ErrorKind::AccessDenied), "{name}");
        // What keeps to the same bounds is hers to give.
        let same = |grant: &mut Grant| {
            grant.expires = office.expires.or(grant.expires);
            grant.terms = office.terms.clone();
            grant.terms.actions = office.terms.actions.clone();
        };
        assert_eq!(make(&same, "friend", "owner").await, None, "{name}");
    }
    // Who lets in and does nothing else lets readers in, as long as they like.
    let mut reader = world.draft("friend", "reader");
    reader.approver = "bas".parse().unwrap();
    let call = world.call(Some("bas"));
    assert!(world.vault.create_grant(&call, reader).await.is_ok());
    for (name, bend) in [("bea", "no end like hers"), ("bo", "from anywhere")] {
        let mut reader = world.draft("friend", "reader");
        reader.approver = name.parse().unwrap();
        let call = world.call(Some(name));
        let made = world.vault.create_grant(&call, reader).await;
        assert_eq!(kind(made), Some(ErrorKind::InvalidArgument), "{bend}");
    }
}

/// A suspended group lends nothing: not its lasting office to whoever has a shorter one of her own.
#[tokio::test]
async fn a_suspended_groups_office_lends_nothing() {
    let world = World::new().await;
    let (local, vault) = (world.call(None), &world.vault);
    let board: PrincipalId = "board".parse().unwrap();
    vault.create_group(&local, board.clone()).await.unwrap();
    world.grant("board", "owner").await;
    let bea = person(&world, "bea").await;
    vault.add_member(&local, board.clone(), bea).await.unwrap();
    let mut office = world.draft("bea", "owner");
    office.expires = Some(office.starts.plus_millis(600_000));
    world.make_grant(office).await.unwrap();
    let make = async || {
        let mut reader = world.draft("stan", "reader");
        reader.approver = "bea".parse().unwrap();
        let call = world.call(Some("bea"));
        kind(vault.create_grant(&call, reader).await)
    };
    assert_eq!(make().await, None);
    vault.suspend(&local, board, true).await.unwrap();
    assert_eq!(make().await, Some(ErrorKind::InvalidArgument));
    let olivia = grant_of(&world, "olivia").await;
    let told = withdraw(&world, Some("bea"), olivia).await;
    assert_eq!(told, Some(ErrorKind::AccessDenied));
}

/// The same by way of a proposal that she approves.
#[tokio::test]
async fn who_is_lent_an_office_approves_nothing_that_outlasts_it() {
    let world = World::new().await;
    person(&world, "bea").await;
    let mut office = world.draft("bea", "owner");
    office.expires = Some(office.starts.plus_millis(600_000));
    world.make_grant(office).await.unwrap();
    let mut asked = world.draft("ruben", "contributor");
    asked.approver = "ruben".parse().unwrap();
    let call = world.call(Some("ruben"));
    let asked = world.vault.propose_grant(&call, asked).await.unwrap();
    let approve = async |who: &str| {
        let call = world.call(Some(who));
        let place = (&icu(), asked.id);
        kind(world.vault.approve_grant(&call, place, None).await)
    };
    assert_eq!(approve("bea").await, Some(ErrorKind::InvalidArgument));
    assert_eq!(approve("olivia").await, None);
}

fn denial(world: &World, whom: &str, by: &str) -> Grant {
    Grant {
        effect: GrantEffect::Deny,
        approver: by.parse().unwrap(),
        expires: None,
        ..world.draft(whom, "owner")
    }
}

async fn deny(world: &World, by: &str, grant: Grant) -> Option<ErrorKind> {
    let call = world.call(Some(by));
    let made = world.vault.create_grant(&call, grant).await;
    assert!(call.is_recorded());
    kind(made)
}

#[tokio::test]
async fn no_denial_closes_a_project() {
    let world = World::new().await;
    let none = Some(ErrorKind::InvalidArgument);
    let ecg = |grant: Grant| Grant {
        dataset: Some("ecg".parse().unwrap()),
        ..grant
    };
    let part = |grant: Grant| Grant {
        prefix: "a/".to_owned(),
        ..ecg(grant)
    };
    let hers = || denial(&world, "olivia", "olivia");
    for grant in [hers(), ecg(hers()), part(hers())] {
        assert_eq!(deny(&world, "olivia", grant).await, none);
    }
    // What leaves her the right to withdraw it closes nothing.
    let mut reads = hers();
    reads.terms.actions = vec![Action::ObjectRead];
    assert_eq!(deny(&world, "olivia", reads).await, None);
    // Who owns one dataset bars nobody who owns them all, nor from that one.
    person(&world, "otto").await;
    let otto = ecg(world.draft("otto", "owner"));
    world.make_grant(otto).await.unwrap();
    for grant in [
        ecg(denial(&world, "olivia", "otto")),
        part(denial(&world, "olivia", "otto")),
        ecg(denial(&world, "ruben", "otto")),
    ] {
        let told = deny(&world, "otto", grant).await;
        assert_eq!(told, Some(ErrorKind::AccessDenied));
    }
    // Of two owners one may bar the other, and then neither ends the project.
    person(&world, "oscar").await;
    let oscar = world.grant("oscar", "owner").await;
    let told = deny(&world, "oscar", denial(&world, "olivia", "oscar")).await;
    assert_eq!(told, None);
    let told = deny(&world, "oscar", denial(&world, "oscar", "oscar")).await;
    assert_eq!(told, none);
    for by in [Some("oscar"), None] {
        assert_eq!(withdraw(&world, by, oscar).await, none);
    }
}

/// A group's grant makes an owner of whoever is in it: of nobody, or of whom a denial bars, of
/// none.
#[tokio::test]
async fn a_group_owns_as_far_as_somebody_in_it_does() {
    let world = World::new().await;
    let olivia = grant_of(&world, "olivia").await;
    let local = world.call(None);
    let board: PrincipalId = "board".parse().unwrap();
    let vault = &world.vault;
    vault.create_group(&local, board.clone()).await.unwrap();
    world.grant("board", "owner").await;
    let none = Some(ErrorKind::InvalidArgument);
    assert_eq!(withdraw(&world, Some("olivia"), olivia).await, none);
    let oscar = person(&world, "oscar").await;
    vault.add_member(&local, board, oscar).await.unwrap();
    let told = deny(&world, "olivia", denial(&world, "oscar", "olivia")).await;
    assert_eq!(told, None);
    assert_eq!(withdraw(&world, Some("olivia"), olivia).await, none);
    person(&world, "otto").await;
    world.grant("otto", "owner").await;
    assert_eq!(withdraw(&world, Some("olivia"), olivia).await, None);
}

/// A denied group, of which an organisation tells or the host: whoever comes in is barred.
#[tokio::test]
async fn who_comes_into_a_denied_group_leaves_an_owner() {
    let world = World::new().await;
    let local = world.call(None);
    let (vault, none) = (&world.vault, Some(ErrorKind::InvalidArgument));
    let [olivia, guests]: [PrincipalId; 2] = ["olivia", "guests"].map(|name| name.parse().unwrap());
    vault.create_group(&local, guests.clone()).await.unwrap();
    let told = deny(&world, "olivia", denial(&world, "guests", "olivia")).await;
    assert_eq!(told, None);
    let add = async |who: &PrincipalId| {
        let call = world.call(None);
        let added = vault.add_member(&call, guests.clone(), who.clone()).await;
        assert!(call.is_recorded());
        kind(added)
    };
    assert_eq!(add(&olivia).await, none, "she is the only one");
    // One who owns for a day is none who lasts as long.
    let otto = person(&world, "otto").await;
    let mut brief = world.draft("otto", "owner");
    brief.expires = Some(world.vault.now().plus_millis(86_400_000));
    world.make_grant(brief).await.unwrap();
    assert_eq!(add(&olivia).await, none);
    assert_eq!(add(&otto).await, None, "nor is he missed");
    let oscar = person(&world, "oscar").await;
    world.grant("oscar", "owner").await;
    assert_eq!(add(&olivia).await, None);
    assert_eq!(add(&oscar).await, none, "now he is");
    assert!(vault.catalog.members(&guests, None, 9).await.unwrap().len() == 2);
    // A project that has no owner anyhow keeps nobody out.
    vault.suspend(&local, oscar.clone(), true).await.unwrap();
    assert_eq!(add(&oscar).await, None);
}

#[tokio::test]
async fn az_3_an_organisation_bars_no_last_owner() {
    let world = World::new().await;
    let token = organisation(&world, "uni").await;
    let make = async |name: &str| {
        let teller = by(&world, &token).await;
        let made = world.vault.scim_create_user(&teller, user(name)).await;
        made.unwrap().id
    };
    let (ana, bea) = (make("ana").await, make("bea").await);
    for owner in [&ana, &bea] {
        world.grant(owner.as_str(), "owner").await;
    }
    let teller = by(&world, &token).await;
    let guests = Group {
        display_name: "guests".to_owned(),
        external_id: None,
        members: Vec::new(),
    };
    let found = world.vault.scim_create_group(&teller, guests).await;
    let guests = found.unwrap().id;
    let denies = |whom: &PrincipalId| Grant {
        effect: GrantEffect::Deny,
        expires: None,
        ..world.draft(whom.as_str(), "owner")
    };
    world.make_grant(denies(&guests)).await.unwrap();
    world
        .make_grant(Grant {
            approver: bea.clone(),
            ..denies(&"olivia".parse().unwrap())
        })
        .await
        .unwrap();
    let tell = async |members: Vec<PrincipalId>| {
        let teller = by(&world, &token).await;
        let change = |old: &Group, _: &PrincipalId| {
            Ok(Group {
                members: members.clone(),
                ..old.clone()
            })
        };
        let told = world
            .vault
            .scim_change_group(&teller, guests.as_str(), None, change);
        match told.await {
            Ok(_) => None,
            Err(ScimRefusal::Vault(error)) => Some(error.kind()),
            Err(ScimRefusal::Said(said)) => panic!("{said:?}"),
        }
    };
    let refused = Some(ErrorKind::InvalidArgument);
    assert_eq!(
        tell(vec![ana.clone(), bea.clone()]).await,
        refused,
        "not all at once"
    );
    assert_eq!(tell(vec![ana.clone()]).await, None);
    assert_eq!(
        tell(vec![ana.clone(), bea.clone()]).await,
        refused,
        "nor one by one"
    );
}

/// Both were judged while there was another owner.
#[tokio::test]
async fn two_owners_who_bar_each_other_leave_one() {
    let (world, gate) = gated().await;
    person(&world, "oscar").await;
    world.grant("oscar", "owner").await;
    let olivia = grant_of(&world, "olivia").await;
    let held = gate.turn().acquire_owned().await.unwrap();
    let before = gate.queued();
    let bars = |by: &'static str, whom: &'static str| {
        let grant = denial(&world, whom, by);
        deny(&world, by, grant)
    };
    let mut first = Box::pin(bars("olivia", "oscar"));
    let mut second = Box::pin(bars("oscar", "olivia"));
    let mut third = Box::pin(withdraw(&world, Some("oscar"), olivia));
    for _ in 0..10_000 {
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        if gate.queued() == before + 3 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.queued(), before + 3, "all were let so far");
    drop(held);
    let told = tokio::join!(first, second, third);
    let late = Some(ErrorKind::Conflict);
    assert_eq!(told, (None, late, late));
}

/// What was made by older rules, or by a role whose file changed, does not close a project for
/// ever.
#[tokio::test]
async fn on_the_host_a_denial_falls_that_leaves_no_owner_and_no_other() {
    let world = World::new().await;
    let icu = icu();
    let row = |grant: Grant| Grant {
        terms: Terms::default(),
        ..grant
    };
    let kept = row(denial(&world, "ruben", "olivia"));
    let closing = row(denial(&world, "olivia", "olivia"));
    for grant in [&kept, &closing] {
        let made = vec![Mutation::CreateGrant(grant.clone())];
        world.catalog.commit(made).await.unwrap();
    }
    world.wait(1_000);
    assert_eq!(
        withdraw(&world, Some("olivia"), closing.id).await,
        Some(ErrorKind::AccessDenied)
    );
    assert_eq!(withdraw(&world, None, closing.id).await, None);
    let told = withdraw(&world, None, kept.id).await;
    assert_eq!(told, Some(ErrorKind::AccessDenied));
    assert_eq!(withdraw(&world, Some("olivia"), kept.id).await, None);
    assert!(world.catalog.grants(&icu, 99).await.unwrap().len() > 1);
}

#[tokio::test]
async fn whoever_owns_one_dataset_takes_from_nobody_what_is_asked_of_the_project() {
    let world = World::new().await;
    let _who = person(&world, "dora").await;
    let mut part = world.draft("dora", "owner");
    part.dataset = Some("ecg".parse().unwrap());
    world.make_grant(part).await.unwrap();
    let denial = |approver: &str, who: &str, role: &str, actions: &[Action]| Grant {
        effect: GrantEffect::Deny,
        dataset: Some("ecg".parse().unwrap()),
        approver: approver.parse().unwrap(),
        terms: Terms {
            actions: actions.to_vec(),
            ..Terms::default()
        },
        ..world.draft(who, role)
    };
    let on_a_part = |grant: Grant| Grant {
        prefix: "raw/".to_owned(),
        ..grant
    };
    for (who, role, actions) in [
        ("anna", "auditor", &[][..]),
        ("anna", "auditor", &[Action::LogRead]),
        ("olivia", "owner", &[Action::DatasetConfigure]),
        ("olivia", "owner", &[Action::ActAsk]),
        ("olivia", "owner", &[Action::ActApprove]),
    ] {
        for bend in [|grant: Grant| grant, on_a_part] {
            let made = bend(denial("dora", who, role, actions));
            assert_eq!(
                world.make_grant(made.clone()).await.err(),
                Some(ErrorKind::AccessDenied),
                "{made:?}"
            );
            // Nor as what somebody else proposed.
            let proposed = Grant {
                approver: "olivia".parse().unwrap(),
                ..made
            };
            let call = world.call(Some("olivia"));
            let id = world.vault.propose_grant(&call, proposed).await.unwrap().id;
            let by_dora = world.call(Some("dora"));
            let approved = world
                .vault
                .approve_grant(&by_dora, (&icu(), id), None)
                .await;
            assert_eq!(kind(approved), Some(ErrorKind::AccessDenied));
        }
    }
    // What concerns her dataset alone she denies as ever; an owner of the project denies the log.
    let hers = denial("dora", "ruben", "reader", &[]);
    world.make_grant(hers).await.unwrap();
    let anna: PrincipalId = "anna".parse().unwrap();
    let looks = async || {
        let (call, project) = (world.call(Some("anna")), icu());
        let subject = world.vault.guard.subject_of(&call, &project, &anna).await;
        let decision = subject.unwrap().decide(&Ask {
            project: &project,
            principal: &anna,
            dataset: None,
            key: "",
            action: Action::LogRead,
            now: world.vault.now(),
            when: Circumstances::default(),
        });
        decision.allowed
    };
    assert!(looks().await);
    world
        .make_grant(denial("olivia", "anna", "auditor", &[]))
        .await
        .unwrap();
    assert!(!looks().await);
}
