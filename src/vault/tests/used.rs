//! What a review rests on: a grant or a credential that is in use never looks unused, whatever
//! it is used for.

use std::sync::Arc;

use super::support::{BUCKET, World, unbound};
use crate::ledger::ObjectRef;
use crate::types::{
    AccessKeyId, ActKind, Action, BucketName, GrantId, PrincipalId, ProjectName, Timestamp,
};
use crate::vault::{ActDraft, Call, CardChange, LogAsk, Turned, Vault};

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

/// When each grant was last used, as it is written.
async fn used(world: &World, id: GrantId) -> Option<Timestamp> {
    world.vault.keep_uses().await.unwrap();
    let call = world.call(None);
    let rows = world.vault.review_grants(&call, &icu(), None).await;
    let row = rows.unwrap().into_iter().find(|row| row.grant.id == id);
    row.unwrap().used
}

/// When a credential was last used, as it is written.
async fn signed(world: &World, id: &AccessKeyId) -> Option<Timestamp> {
    world.vault.keep_uses().await.unwrap();
    let whose: PrincipalId = "stan".parse().unwrap();
    let rows = world.catalog.credential_uses(&whose, 10).await.unwrap();
    rows.into_iter().find(|row| row.0 == *id).map(|row| row.1)
}

async fn person(world: &World, name: &str, role: &str) -> GrantId {
    let call = world.call(None);
    let name_of = name.parse().unwrap();
    let made = world.vault.create_principal(&call, name_of, None).await;
    made.unwrap();
    world.grant(name, role).await
}

#[tokio::test]
async fn who_reads_the_log_uses_her_grant() {
    let world = World::new().await;
    let id = person(&world, "aya", "auditor").await;
    let other = person(&world, "adam", "auditor").await;
    assert_eq!(used(&world, id).await, None);
    world.wait(7);
    let call = world.call(Some("aya"));
    let mut intent = Vault::intent(&call, Some(Action::LogRead), ObjectRef::default());
    let project = icu();
    let looked = world.vault.may_look(&call, (&project, None), &mut intent);
    assert!(looked.await.is_ok());
    let first = world.vault.now();
    assert_eq!(used(&world, id).await, Some(first));
    world.wait(7);
    let auditor = "aya".parse().unwrap();
    let ask = LogAsk {
        project: &project,
        auditor: &auditor,
        query: "all",
        names: false,
    };
    let call = world.call(None);
    assert!(world.vault.hand_out_log(&call, ask).await.is_ok());
    assert_eq!(used(&world, id).await, Some(first.plus_millis(7)));
    assert_eq!(used(&world, other).await, None, "somebody else's is not");
}

#[tokio::test]
async fn who_decides_and_describes_uses_her_grant_and_who_is_refused_does_not() {
    let world = World::new().await;
    let owner = person(&world, "oscar", "owner").await;
    let officer = person(&world, "oona", "officer").await;
    let reader = world.grant("stan", "reader").await;
    let vault = &world.vault;
    // Refused: nothing is used.
    let call = world.call(Some("stan"));
    drop(vault.review_grants(&call, &icu(), None).await);
    let draft = || ActDraft {
        kind: ActKind::LowerLabel,
        project: icu(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![("to".to_owned(), "public".to_owned())],
        reason: "names were removed".to_owned(),
    };
    let call = world.call(Some("stan"));
    assert!(vault.ask_act(&call, draft()).await.is_err());
    for id in [owner, officer, reader] {
        assert_eq!(used(&world, id).await, None);
    }
    world.wait(3);
    let call = world.call(Some("oscar"));
    assert!(vault.review_grants(&call, &icu(), None).await.is_ok());
    assert_eq!(used(&world, owner).await, Some(vault.now()));
    world.wait(3);
    let call = world.call(Some("oscar"));
    let row = vault.ask_act(&call, draft()).await.unwrap();
    assert_eq!(used(&world, owner).await, Some(vault.now()));
    let call = world.call(Some("oona"));
    let approved = vault.approve_act(&call, (&icu(), row.id)).await;
    assert!(approved.is_ok());
    assert_eq!(used(&world, officer).await, Some(vault.now()));
    world.wait(3);
    let change = CardChange {
        source: Some("the ward".to_owned()),
        ..CardChange::default()
    };
    let bucket = BucketName::parse(BUCKET, &icu()).unwrap();
    let call = world.call(Some("oscar"));
    let told = vault.set_card(&call, &bucket, change, None);
    assert!(told.await.is_ok());
    assert_eq!(used(&world, owner).await, Some(vault.now()));
}

#[tokio::test]
async fn a_credential_is_used_by_whatever_it_signs() {
    let world = World::new().await;
    let call = world.call(None);
    let stan = "stan".parse().unwrap();
    let made = world.vault.create_credential(&call, stan, unbound()).await;
    let id = made.unwrap().id;
    let by = |proved: bool| -> Call {
        let mut call = world.call(Some("stan"));
        let mut session = (*call.session).clone();
        session.access_key = Some(id.clone());
        if !proved {
            session.principal = None;
        }
        call.session = Arc::new(session);
        call
    };
    let turned = |status| Turned {
        bucket: None,
        key: None,
        status,
        reason: "r",
    };
    // Named, and not proved: no use of it.
    world
        .vault
        .record_turned(&by(false), turned(403))
        .await
        .unwrap();
    assert_eq!(signed(&world, &id).await, None);
    // A question about herself alone, which no grant lets.
    world.wait(5);
    world
        .vault
        .record_turned(&by(true), turned(200))
        .await
        .unwrap();
    assert_eq!(signed(&world, &id).await, Some(world.vault.now()));
    // What is refused was signed, too: whose key was stolen sees it here.
    world.wait(5);
    let told = world.vault.review_grants(&by(true), &icu(), None).await;
    drop(told);
    let call = by(true);
    assert!(world.vault.delete_dataset(&call, BUCKET).await.is_err());
    assert_eq!(signed(&world, &id).await, Some(world.vault.now()));
}
