//! Who is let in by whom: nobody by herself or by what is gone, and no longer than it holds.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::support::{BUCKET, World, input, kind, place, sample};
use crate::catalog::Mutation;
use crate::ledger::Entry;
use crate::policy::{Ask, Circumstances, Demand, Grant, GrantEffect, Policy};
use crate::types::{ActKind, Action, GrantId, PrincipalId, VersionName, Versioning};
use crate::vault::{
    ActDraft, CopySource, ErrorKind, NewObject, Place, ReadAsk, ReadConditions, Span, VaultError,
    WriteConditions,
};

async fn principal(world: &World, name: &str, acts_for: Option<&str>) {
    let acts_for = acts_for.map(|person| person.parse().unwrap());
    let local = world.call(None);
    let made = world
        .vault
        .create_principal(&local, name.parse().unwrap(), acts_for);
    made.await.unwrap();
}

async fn group(world: &World, name: &str, members: &[&str]) {
    let name: PrincipalId = name.parse().unwrap();
    let made = world
        .vault
        .create_group(&world.call(None), name.clone())
        .await;
    made.unwrap();
    for member in members {
        let member = member.parse().unwrap();
        let local = world.call(None);
        let added = world.vault.add_member(&local, name.clone(), member);
        added.await.unwrap();
    }
}

async fn reads(world: &World, who: &str) -> Option<ErrorKind> {
    kind(world.get(who, "k", Span::All).await)
}

#[tokio::test]
async fn az_3_a_project_is_founded_on_the_host_alone() {
    let world = World::new().await;
    let project = "lab".parse().unwrap();
    world
        .vault
        .create_project(&world.call(None), project)
        .await
        .unwrap();
    let mut grant = world.draft("stan", "owner");
    grant.project = "lab".parse().unwrap();
    grant.approver = "stan".parse().unwrap();
    for who in ["stan", "olivia", "dirk"] {
        grant.approver = who.parse().unwrap();
        grant.id = GrantId::random(world.vault.entropy.as_ref()).unwrap();
        let call = world.call(Some(who));
        let made = world.vault.create_grant(&call, grant.clone()).await;
        assert_eq!(kind(made), Some(ErrorKind::AccessDenied), "{who}");
        assert!(call.is_recorded());
    }
    grant.terms.actions = vec![Action::GrantManage];
    let made = world
        .vault
        .create_grant(&world.call(None), grant)
        .await
        .unwrap();
    assert_eq!(
        made.terms.actions,
        [Action::GrantManage],
        "its terms are as asked"
    );
}

#[tokio::test]
async fn az_6_nobody_approves_what_she_gets_through_her_workload() {
    let world = World::new().await;
    principal(&world, "olivia-bot", Some("olivia")).await;
    world.grant("olivia-bot", "owner").await;
    group(&world, "bots", &["dirk", "olivia-bot"]).await;
    group(&world, "others", &["dirk"]).await;
    let denied = Err(ErrorKind::AccessDenied);
    for (grantee, approver, role, expected) in [
        ("olivia-bot", "olivia", "auditor", denied),
        ("olivia-bot", "olivia", "exporter", denied),
        ("olivia", "olivia-bot", "exporter", denied),
        ("olivia", "olivia", "lock-breaker", denied),
        ("olivia-bot", "olivia", "lock-breaker", denied),
        ("bots", "olivia", "auditor", denied),
        ("bots", "olivia-bot", "auditor", denied),
        ("olivia", "olivia", "auditor", denied),
        // A right that neither shows the log, lets bytes out nor loosens locks, and others' rights.
        ("olivia-bot", "olivia", "reader", Ok(())),
        ("others", "olivia", "auditor", Ok(())),
        ("stan", "olivia", "exporter", Ok(())),
    ] {
        let mut grant = world.draft(grantee, role);
        grant.approver = approver.parse().unwrap();
        let made = world.make_grant(grant).await;
        assert_eq!(
            made.map(drop),
            expected,
            "{role} for {grantee} by {approver}"
        );
    }
}

/// What she approved for a group gives her nothing when she joins it afterwards.
#[tokio::test]
async fn az_6_nobody_joins_a_group_to_get_what_she_approved_for_it() {
    let world = World::new().await;
    group(&world, "others", &["dirk", "stan"]).await;
    world.grant("others", "auditor").await;
    let join = |who: &str| {
        let (local, who) = (world.call(None), who.parse().unwrap());
        let vault = &world.vault;
        async move {
            let joined = vault.add_member(&local, "others".parse().unwrap(), who);
            joined.await.unwrap();
        }
    };
    principal(&world, "olivia-bot", Some("olivia")).await;
    let (icu, now) = ("icu".parse().unwrap(), world.vault.now());
    let sees = async |who: &str| {
        let who = who.parse().unwrap();
        let subject = world.vault.guard.subject(&icu, &who).await.unwrap();
        let ask = Ask {
            project: &icu,
            principal: &who,
            dataset: None,
            key: "",
            action: Action::LogRead,
            now,
            when: Circumstances::default(),
        };
        subject.decide(&ask).allowed
    };
    for who in ["olivia", "olivia-bot"] {
        join(who).await;
        assert!(!sees(who).await, "{who}");
    }
    join("ruben").await;
    for who in ["dirk", "stan", "ruben"] {
        assert!(sees(who).await, "{who}");
    }
}

#[tokio::test]
async fn az_6_a_person_by_name_lets_bytes_out_and_nobody_else() {
    let world = World::new().await;
    group(&world, "team", &["dirk"]).await;
    let olivia = Some("olivia".parse().unwrap());
    let refused = Err(ErrorKind::InvalidArgument);
    for (grantee, expected) in [("team", refused), ("job-1", refused), ("stan", Ok(()))] {
        let grant = world.draft(grantee, "exporter");
        assert_eq!(world.make_grant(grant.clone()).await.map(drop), expected);
        let local = world.call(None);
        let proposal = Grant {
            id: GrantId::random(world.vault.entropy.as_ref()).unwrap(),
            ..grant.clone()
        };
        let proposed = world.vault.propose_grant(&local, proposal).await;
        let proposed = proposed.map(drop).map_err(|error| error.kind());
        assert_eq!(proposed, expected, "{grantee}");
        // One that was made before this rule is in force until it lapses: no review prolongs it.
        let before = Grant {
            id: GrantId::random(world.vault.entropy.as_ref()).unwrap(),
            ..grant.clone()
        };
        let made = vec![Mutation::CreateGrant(before.clone())];
        world.catalog.commit(made).await.unwrap();
        let place = (&before.project, before.id);
        let local = world.call(None);
        let confirmed = world.vault.confirm_grant(&local, place, olivia.as_ref());
        let confirmed = confirmed.await.map(drop).map_err(|error| error.kind());
        assert_eq!(confirmed, expected, "{grantee}");
        // A denial is for anybody.
        let denial = Grant {
            id: GrantId::random(world.vault.entropy.as_ref()).unwrap(),
            effect: GrantEffect::Deny,
            ..grant
        };
        world.make_grant(denial).await.unwrap();
    }
}

#[tokio::test]
async fn id_1_a_workload_is_a_persons_and_nobody_elses() {
    let world = World::new().await;
    group(&world, "team", &["dirk"]).await;
    let made = async |name: &str, acts_for: &str| {
        let (local, acts_for) = (world.call(None), acts_for.parse().unwrap());
        let name = name.parse().unwrap();
        let made = world.vault.create_principal(&local, name, Some(acts_for));
        kind(made.await)
    };
    for nobody in ["job-1", "team", "nobody", "bot"] {
        assert_eq!(made("bot", nobody).await, Some(ErrorKind::InvalidArgument));
        let bot = world.catalog.principal(&"bot".parse().unwrap()).await;
        assert!(bot.unwrap().is_none());
    }
    assert_eq!(made("bot", "dirk").await, None);
}

#[tokio::test]
async fn a_grant_ends_with_the_dataset_that_it_names() {
    let world = World::new().await;
    let ecg = "ecg".parse().unwrap();
    let mut named = world.draft("stan", "reader");
    named.dataset = Some(ecg);
    world.make_grant(named.clone()).await.unwrap();
    let mut denied = named.clone();
    denied.id = GrantId::random(world.vault.entropy.as_ref()).unwrap();
    denied.principal = "ruben".parse().unwrap();
    denied.effect = GrantEffect::Deny;
    world.make_grant(denied).await.unwrap();
    let mut other = named;
    other.id = GrantId::random(world.vault.entropy.as_ref()).unwrap();
    other.dataset = Some("eeg".parse().unwrap());
    world.make_grant(other.clone()).await.unwrap();

    world.put("olivia", "k", b"old").await.unwrap();
    assert_eq!(reads(&world, "stan").await, None);
    let call = world.call(Some("olivia"));
    world
        .vault
        .delete_object(&call, place("k"), WriteConditions::default(), false)
        .await
        .unwrap();
    world
        .vault
        .delete_dataset(&world.call(Some("olivia")), BUCKET)
        .await
        .unwrap();
    world
        .vault
        .create_dataset(&world.call(Some("olivia")), BUCKET, false)
        .await
        .unwrap();
    world.put("olivia", "k", b"new").await.unwrap();
    assert_eq!(reads(&world, "stan").await, Some(ErrorKind::AccessDenied));
    assert_eq!(
        reads(&world, "ruben").await,
        Some(ErrorKind::AccessDenied),
        "a denial stays"
    );
    assert_eq!(
        reads(&world, "job-1").await,
        None,
        "the project's grants stay"
    );
    let left = world.catalog.grant(&other.id).await.unwrap();
    assert_eq!(left.map(|grant| grant.id), Some(other.id));
}

#[tokio::test]
async fn a_suspended_group_gives_nobody_anything_and_denies_as_before() {
    let world = World::new().await;
    world.put("olivia", "k", b"bytes").await.unwrap();
    group(&world, "radiology", &["stan"]).await;
    group(&world, "barred", &["ruben"]).await;
    world.grant("radiology", "reader").await;
    let mut deny = world.draft("barred", "reader");
    deny.effect = GrantEffect::Deny;
    world.make_grant(deny).await.unwrap();
    assert_eq!(reads(&world, "stan").await, None);
    assert_eq!(reads(&world, "ruben").await, Some(ErrorKind::AccessDenied));
    for (suspended, seen) in [(true, Some(ErrorKind::AccessDenied)), (false, None)] {
        for name in ["radiology", "barred"] {
            let call = world.call(None);
            let done = world.vault.suspend(&call, name.parse().unwrap(), suspended);
            done.await.unwrap();
        }
        world.wait(1_000);
        assert_eq!(reads(&world, "stan").await, seen);
        assert_eq!(reads(&world, "ruben").await, Some(ErrorKind::AccessDenied));
    }
}

/// A decision that began under the old policy keeps nothing of it for those that come.
#[tokio::test]
async fn az_4_what_was_read_under_the_old_policy_is_not_kept_under_the_new() {
    let world = World::new().await;
    let seen = world.vault.guard.generation().await.unwrap();
    let again = world.vault.guard.generation().await.unwrap();
    assert_eq!(seen, again);
    let policy = Arc::new(Policy::builtin().unwrap());
    world.vault.replace_policy(policy).await.unwrap();
    let mut kept = false;
    world.vault.guard.keep(seen, |_cache| kept = true);
    assert!(!kept, "the answer is of before");
    let fresh = world.vault.guard.generation().await.unwrap();
    world.vault.guard.keep(fresh, |_cache| kept = true);
    assert!(kept);
}

#[tokio::test]
async fn az_2_a_running_read_of_an_old_version_ends_with_the_right_to_versions() {
    let world = World::new().await;
    let call = world.call(Some("olivia"));
    let on = world
        .vault
        .set_versioning(&call, BUCKET, Versioning::Enabled);
    on.await.unwrap();
    let call = world.call(Some("olivia"));
    let bytes = sample(100 * 65_536);
    let put = world.vault.write_object(
        &call,
        place("k"),
        NewObject::default(),
        input(&bytes, 1 << 20),
    );
    let version = put.await.unwrap().version;
    world.put("olivia", "k", b"newer").await.unwrap();
    world.grant("stan", "reader").await;
    let owner = world.grant("stan", "owner").await;
    let old = Place {
        version: Some(VersionName::Id(version)),
        ..place("k")
    };
    let call = world.call(Some("stan"));
    let reading = world
        .vault
        .read_object(&call, old, ReadAsk::default())
        .await;
    let mut body = reading.unwrap().body;
    body.next().await.unwrap().unwrap();
    let icu = "icu".parse().unwrap();
    let local = world.call(None);
    world
        .vault
        .revoke_grant(&local, (&icu, owner), None)
        .await
        .unwrap();
    let mut end = None;
    for _second in 0..60 {
        world.wait(1_000);
        if let Err(error) = body.next().await.unwrap() {
            end = Some(error.kind());
            break;
        }
    }
    assert_eq!(
        end,
        Some(ErrorKind::AccessDenied),
        "she may still read what is current"
    );
    assert_eq!(reads(&world, "stan").await, None);
}

#[tokio::test]
async fn az_10_two_persons_can_act_where_assurance_is_demanded() {
    let world = World::new().await;
    principal(&world, "oscar", None).await;
    world.grant("oscar", "owner").await;
    let icu = "icu".parse().unwrap();
    let draft = ActDraft {
        kind: ActKind::LowerLabel,
        project: "icu".parse().unwrap(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![("to".to_owned(), "public".to_owned())],
        reason: "names were removed".to_owned(),
    };
    let id = world
        .vault
        .ask_act(&world.call(Some("olivia")), draft)
        .await
        .unwrap()
        .id;
    let call = world.call(Some("oscar"));
    world.vault.approve_act(&call, (&icu, id)).await.unwrap();
    let demand = Demand {
        acr: Vec::new(),
        amr: vec!["mfa".to_owned()],
        log_only: false,
    };
    let local = world.call(None);
    world
        .vault
        .demand_assurance(&local, &icu, demand)
        .await
        .unwrap();
    let act = world.catalog.approval(&id).await.unwrap().unwrap().act;
    let told = |told: Result<_, VaultError>| told.map(drop).map_err(|error| error.kind());
    // Whoever carries it out is judged as she is known now; the other was when she approved.
    let weak = world
        .vault
        .approved(&world.call(Some("olivia")), id, &act)
        .await;
    assert!(told(weak).is_err(), "her own sign-in is too weak");
    let host = world.vault.approved(&world.call(None), id, &act).await;
    assert_eq!(told(host), Ok(()));
}

#[tokio::test]
async fn az_5_a_copy_says_on_which_rights_it_read_and_took_away() {
    let world = World::new().await;
    let olivia = || world.call(Some("olivia"));
    world
        .vault
        .create_dataset(&olivia(), "icu--eeg", false)
        .await
        .unwrap();
    world.put("olivia", "k", b"bytes").await.unwrap();
    let read = world.grant("stan", "reader").await;
    let export = world.grant("stan", "exporter").await;
    let write = world.grant("stan", "contributor").await;
    let call = world.call(Some("stan"));
    let from = CopySource {
        place: place("k"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let to = Place {
        bucket: "icu--eeg",
        ..place("k")
    };
    let copied = world
        .vault
        .copy_object(&call, from, to, None, WriteConditions::default());
    copied.await.unwrap();
    let entries = world.journal.entries();
    let intent = entries.iter().rev().find_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.event == call.event => Some(intent),
        _ => None,
    });
    let intent = intent.unwrap();
    assert_eq!(intent.policy.as_ref().unwrap().grant, Some(write));
    let said = intent.query.as_deref().unwrap();
    let (reads, exports) = said.split_once(" export ").unwrap();
    let grants = [read, export, write].map(|grant| format!("grant={grant} "));
    assert!(reads.starts_with("read grant="), "{said}");
    assert!(grants.iter().any(|grant| reads.contains(grant)), "{said}");
    assert!(exports.starts_with(&grants[1]), "{said}");
    assert!(exports.contains("purpose=test:try permit=T-1"), "{said}");
}
