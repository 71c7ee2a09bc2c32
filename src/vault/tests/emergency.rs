//! AZ-11: break-glass is for minutes, on two persons' word, and its owner knows.

use super::published::run;
use super::support::*;
use crate::catalog::{Mutation, NoticeRow};
use crate::ledger::{Entry, Nature};
use crate::policy::GrantEffect;
use crate::types::{ActKind, ApprovalId, NoticeId, ProjectName, limits};
use crate::vault::{
    ActDraft, Call, CardChange, CopySource, ErrorKind, ReadConditions, Span, WriteConditions,
};

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

/// Rita may ask, oona approves; stan holds nothing.
async fn world() -> World {
    let world = World::new().await;
    for (name, role) in [("oona", "officer"), ("rita", "responder")] {
        let local = world.call(None);
        world
            .vault
            .create_principal(&local, name.parse().unwrap(), None)
            .await
            .unwrap();
        world.grant(name, role).await;
    }
    world.put("olivia", "a", b"bytes").await.unwrap();
    world
}

async fn ask(world: &World, who: &str, minutes: u32) -> Result<ApprovalId, ErrorKind> {
    let term = |name: &str, value: String| (name.to_owned(), value);
    let draft = ActDraft {
        kind: ActKind::BreakGlass,
        project: icu(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![
            term("who", who.to_owned()),
            term("minutes", minutes.to_string()),
        ],
        reason: "patient in theatre 3".to_owned(),
    };
    let row = world.vault.ask_act(&world.call(Some("rita")), draft).await;
    row.map(|row| row.id).map_err(|error| error.kind())
}

async fn asked(world: &World, who: &str, minutes: u32) -> ApprovalId {
    ask(world, who, minutes).await.unwrap()
}

async fn approved(world: &World, who: &str, minutes: u32) -> ApprovalId {
    let id = asked(world, who, minutes).await;
    world
        .vault
        .approve_act(&world.call(Some("oona")), (&icu(), id))
        .await
        .unwrap();
    id
}

async fn glass(world: &World, who: &str, id: ApprovalId) -> Option<ErrorKind> {
    let call = world.call(Some(who));
    let told = world.vault.break_glass(&call, (&icu(), id)).await;
    assert!(call.is_recorded());
    kind(told)
}

async fn read(world: &World, who: &str) -> Option<ErrorKind> {
    kind(world.get(who, "a", Span::All).await)
}

#[tokio::test]
async fn az_11_it_is_for_minutes_and_every_record_is_flagged() {
    let world = world().await;
    assert_eq!(read(&world, "stan").await, Some(ErrorKind::AccessDenied));
    let id = approved(&world, "stan", 30).await;
    assert_eq!(
        read(&world, "stan").await,
        Some(ErrorKind::AccessDenied),
        "not broken yet"
    );
    assert_eq!(glass(&world, "rita", id).await, None);
    assert_eq!(read(&world, "stan").await, None);
    let nature = |who: &str| {
        let entries = world.journal.entries();
        let found = entries.into_iter().rev().find_map(|entry| match entry {
            Entry::Intent { intent, .. } => Some(intent),
            _ => None,
        });
        let intent = found.unwrap();
        assert!(intent.policy.is_some(), "{who}");
        intent.nature
    };
    assert_eq!(nature("stan"), Nature::Emergency);
    assert!(world.names("stan", "").await.is_ok());
    assert_eq!(nature("stan"), Nature::Emergency);
    assert_eq!(read(&world, "ruben").await, None);
    assert_eq!(nature("ruben"), Nature::Normal);
    // It reads and does nothing else.
    assert!(world.put("stan", "b", b"b").await.is_err());
    world.wait(30 * 60_000);
    assert_eq!(
        read(&world, "stan").await,
        Some(ErrorKind::GrantOver),
        "time is up"
    );
    assert_eq!(
        glass(&world, "rita", id).await,
        Some(ErrorKind::Conflict),
        "once"
    );
}

/// She writes by a right of her own; what she reads for it is break-glass.
#[tokio::test]
async fn az_11_a_copy_of_what_it_opens_is_flagged() {
    let world = world().await;
    world.grant("stan", "depositor").await;
    let copy = async || {
        let call = world.call(Some("stan"));
        let from = CopySource {
            place: place("a"),
            conditions: ReadConditions::default(),
            span: Span::All,
        };
        let none = WriteConditions::default();
        let copied = world.vault.copy_object(&call, from, place("b"), None, none);
        let kind = kind(copied.await);
        let entries = world.journal.entries();
        let nature = entries.iter().rev().find_map(|entry| match entry {
            Entry::Intent { intent, .. } if intent.event == call.event => Some(intent.nature),
            _ => None,
        });
        (kind, nature)
    };
    assert_eq!(copy().await, (Some(ErrorKind::AccessDenied), None));
    let id = approved(&world, "stan", 30).await;
    assert_eq!(glass(&world, "rita", id).await, None);
    assert_eq!(copy().await, (None, Some(Nature::Emergency)));
}

/// What a mount asks for: the version's root, its keys, its lease.
#[tokio::test]
async fn az_11_a_mount_by_it_is_flagged() {
    let world = world().await;
    let published = world
        .vault
        .publish(&world.call(Some("olivia")), BUCKET)
        .await;
    published.unwrap();
    let id = approved(&world, "stan", 30).await;
    assert_eq!(glass(&world, "rita", id).await, None);
    let version = "icu--ecg--v1";
    let natures = |call: &Call| -> Vec<Nature> {
        let entries = world.journal.entries().into_iter();
        let by = entries.filter_map(|entry| match entry {
            Entry::Intent { intent, .. } | Entry::Whole { intent, .. }
                if intent.operation == call.operation =>
            {
                Some(intent.nature)
            }
            _ => None,
        });
        by.collect()
    };
    let call = |operation| Call {
        operation,
        ..world.call(Some("stan"))
    };
    let open = call("OpenVersion");
    world.vault.open_version(&open, version).await.unwrap();
    let release = call("ReleaseKeys");
    let runs = vec![run("a", 1)];
    let released = world.vault.release_keys(&release, version, runs).await;
    assert_eq!(released.unwrap().keys.len(), 1);
    let renew = call("RenewLease");
    let renewed = world.vault.renew(&renew, (version, ""), &[]).await;
    assert_eq!(renewed.unwrap(), []);
    for call in [&open, &release, &renew] {
        let natures = natures(call);
        assert!(!natures.is_empty(), "{}", call.operation);
        for nature in natures {
            assert_eq!(nature, Nature::Emergency, "{}", call.operation);
        }
    }
}

#[tokio::test]
async fn az_11_the_owner_is_told_at_once() {
    let world = world().await;
    let id = approved(&world, "stan", 30).await;
    let told = async |who: &str| {
        let page = world.vault.notices(&world.call(Some(who)), None).await;
        page.unwrap().rows
    };
    assert!(told("olivia").await.is_empty());
    assert_eq!(glass(&world, "rita", id).await, None);
    let hers = told("olivia").await;
    assert_eq!(hers.len(), 1);
    for word in ["stan", "rita", "oona", "patient in theatre 3"] {
        assert!(hers[0].text.contains(word), "{}", hers[0].text);
    }
    for who in ["stan", "rita", "oona", "ruben", "anna"] {
        assert!(told(who).await.is_empty(), "{who}");
    }
    let nobody = world.vault.notices(&world.call(None), None).await;
    assert_eq!(kind(nobody), Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn az_11_however_much_else_is_told_the_owner_finds_it() {
    let world = world().await;
    let id = approved(&world, "stan", 30).await;
    assert_eq!(glass(&world, "rita", id).await, None);
    let others = (0..limits::NOTICES_TOLD_MAX).map(|number| {
        Mutation::AddNotice(NoticeRow {
            id: NoticeId::from_bytes(u128::try_from(number).unwrap().to_be_bytes()),
            to: "olivia".parse().unwrap(),
            at: world.vault.now().plus_millis(1),
            project: icu(),
            dataset: None,
            text: "a grant ends".to_owned(),
        })
    });
    world.catalog.commit(others.collect()).await.unwrap();
    let told = async |before| {
        let olivia = world.call(Some("olivia"));
        world.vault.notices(&olivia, before).await.unwrap()
    };
    let newest = told(None).await;
    assert_eq!(newest.rows.len(), limits::NOTICES_TOLD_MAX);
    let glass = |row: &NoticeRow| row.text.starts_with("break-glass");
    assert!(!newest.rows.iter().any(glass));
    let older = told(newest.next).await;
    assert!(older.rows.iter().any(glass), "{older:?}");
    assert_eq!(older.next, None);
}

#[tokio::test]
async fn az_11_nobody_breaks_it_alone_or_for_another_thing() {
    let world = world().await;
    let id = asked(&world, "stan", 30).await;
    assert_eq!(
        glass(&world, "rita", id).await,
        Some(ErrorKind::Conflict),
        "not approved"
    );
    assert_eq!(
        glass(&world, "stan", id).await,
        Some(ErrorKind::AccessDenied)
    );
    let unknown = ApprovalId::from_bytes([3; 16]);
    assert_eq!(
        glass(&world, "rita", unknown).await,
        Some(ErrorKind::AccessDenied)
    );
    // Not for a workload, nor for nobody: a second person is not even asked.
    for who in ["job-1", "nobody"] {
        let told = ask(&world, who, 30).await;
        assert_eq!(told, Err(ErrorKind::InvalidArgument), "{who}");
    }
    let suspend = async |suspended| {
        let (local, stan) = (world.call(None), "stan".parse().unwrap());
        world.vault.suspend(&local, stan, suspended).await.unwrap();
    };
    suspend(true).await;
    let told = ask(&world, "stan", 30).await;
    assert_eq!(told, Err(ErrorKind::InvalidArgument), "she is suspended");
    suspend(false).await;
    // An approval of something else opens nothing.
    let draft = ActDraft {
        kind: ActKind::Erase,
        project: icu(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![("what".to_owned(), "dataset".to_owned())],
        reason: "its end".to_owned(),
    };
    let other = world
        .vault
        .ask_act(&world.call(Some("olivia")), draft)
        .await
        .unwrap()
        .id;
    world
        .vault
        .approve_act(&world.call(Some("oona")), (&icu(), other))
        .await
        .unwrap();
    assert_eq!(
        glass(&world, "olivia", other).await,
        Some(ErrorKind::AccessDenied)
    );
    assert_eq!(read(&world, "stan").await, Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn az_11_it_breaks_neither_a_denial_nor_a_label() {
    let world = world().await;
    let mut denial = world.draft("stan", "reader");
    denial.effect = GrantEffect::Deny;
    world.make_grant(denial).await.unwrap();
    let id = approved(&world, "stan", 30).await;
    assert_eq!(glass(&world, "rita", id).await, None);
    assert_eq!(read(&world, "stan").await, Some(ErrorKind::AccessDenied));

    let world = self::world().await;
    // All but whom it is for are cleared for it.
    for who in ["olivia", "rita", "oona"] {
        let (local, secret) = (world.call(None), "secret".parse().unwrap());
        let cleared = world
            .vault
            .clear(&local, who.parse().unwrap(), Some(secret));
        cleared.await.unwrap();
    }
    let bucket = crate::types::BucketName {
        project: icu(),
        dataset: "ecg".parse().unwrap(),
    };
    let change = CardChange {
        label: Some("secret".parse().unwrap()),
        ..CardChange::default()
    };
    world
        .vault
        .set_card(&world.call(Some("olivia")), &bucket, change, None)
        .await
        .unwrap();
    let id = approved(&world, "stan", 30).await;
    assert_eq!(glass(&world, "rita", id).await, None);
    assert_eq!(read(&world, "stan").await, Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn az_11_its_purpose_is_nobody_elses_and_it_is_not_prolonged() {
    let world = world().await;
    let mut forged = world.draft("stan", "reader");
    forged.purpose = Some("break-glass:0".to_owned());
    assert_eq!(
        world.make_grant(forged).await,
        Err(ErrorKind::InvalidArgument)
    );
    let id = approved(&world, "stan", 30).await;
    let grant = world
        .vault
        .break_glass(&world.call(Some("rita")), (&icu(), id))
        .await
        .unwrap();
    let call = world.call(Some("olivia"));
    let told = world
        .vault
        .confirm_grant(&call, (&icu(), grant.id), None)
        .await;
    assert_eq!(kind(told), Some(ErrorKind::InvalidArgument));
    // Its owner ends it.
    let call = world.call(Some("olivia"));
    world
        .vault
        .revoke_grant(&call, (&icu(), grant.id), None)
        .await
        .unwrap();
    assert_eq!(read(&world, "stan").await, Some(ErrorKind::AccessDenied));
}

/// What is one's own is seen and taken back without a right, and so without a decision: by nobody
/// who is suspended all the same.
#[tokio::test]
async fn az_2_who_is_suspended_sees_and_changes_nothing_of_her_own() {
    let world = world().await;
    let id = asked(&world, "stan", 30).await;
    let granted = world.grant("rita", "reader").await;
    for suspended in [false, true] {
        let local = world.call(None);
        let who = || "rita".parse().unwrap();
        world.vault.suspend(&local, who(), suspended).await.unwrap();
        let refused = suspended.then_some(ErrorKind::AccessDenied);
        let call = || world.call(Some("rita"));
        let vault = &world.vault;
        assert_eq!(kind(vault.notices(&call(), None).await), refused);
        assert_eq!(kind(vault.list_jobs(&call()).await), refused);
        assert_eq!(kind(vault.acts(&call(), &icu()).await), refused);
        assert_eq!(kind(vault.show_act(&call(), (&icu(), id)).await), refused);
        let mine = vault.review_grants(&call(), &icu(), None).await;
        assert_eq!(kind(mine), refused);
        let mine = vault.show_grant(&call(), (&icu(), granted)).await;
        assert_eq!(kind(mine), refused);
    }
    let call = world.call(Some("rita"));
    let withdrawn = world.vault.withdraw_act(&call, (&icu(), id)).await;
    assert_eq!(kind(withdrawn), Some(ErrorKind::AccessDenied));
    assert!(call.is_recorded());
    let (local, rita) = (world.call(None), "rita".parse().unwrap());
    world.vault.suspend(&local, rita, false).await.unwrap();
    let call = world.call(Some("rita"));
    let withdrawn = world.vault.withdraw_act(&call, (&icu(), id)).await;
    assert_eq!(kind(withdrawn), None);
}
