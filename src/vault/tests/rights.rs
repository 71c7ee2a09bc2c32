//! Rights that end: during a transfer, between people's uploads, and over who may approve what.

use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;

use super::support::{BUCKET, World, input, kind, place, sample};
use crate::catalog::UploadQuery;
use crate::policy::{Grant, GrantEffect};
use crate::types::{GrantId, ProjectName};
use crate::vault::{ErrorKind, NewObject, PlainBody, ReadAsk};

const ELEVEN_SECONDS_MS: u64 = 11_000;

fn project() -> ProjectName {
    "icu".parse().unwrap()
}

async fn reading(world: &World, who: &str) -> PlainBody {
    let call = world.call(Some(who));
    let reading = world
        .vault
        .read_object(&call, place("k"), ReadAsk::default())
        .await;
    reading.unwrap().body
}

/// What comes after time has passed: the rest of the bytes, or why not.
async fn rest(world: &World, mut body: PlainBody) -> Result<usize, ErrorKind> {
    world.clock.0.fetch_add(ELEVEN_SECONDS_MS, Ordering::SeqCst);
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes += piece.len(),
            Err(error) => {
                assert!(body.next().await.is_none(), "nothing comes after an error");
                return Err(error.kind());
            }
        }
    }
    Ok(bytes)
}

#[tokio::test]
async fn az_2_a_withdrawn_grant_cuts_a_running_read() {
    let world = World::new().await;
    world.put("olivia", "k", &sample(300_000)).await.unwrap();
    let grant = world.grant("stan", "reader").await;
    let mut kept = reading(&world, "ruben").await;
    let mut cut = reading(&world, "stan").await;
    let taken = kept.next().await.unwrap().unwrap().len();
    assert!(taken < 300_000 && cut.next().await.unwrap().is_ok());
    world
        .vault
        .revoke_grant(&world.call(None), &project(), grant)
        .await
        .unwrap();
    assert_eq!(rest(&world, cut).await, Err(ErrorKind::AccessDenied));
    assert_eq!(rest(&world, kept).await, Ok(300_000 - taken));
}

#[tokio::test]
async fn az_2_a_grant_that_ends_cuts_a_running_read() {
    let world = World::new().await;
    world.put("olivia", "k", &sample(300_000)).await.unwrap();
    let mut ending = grant(&world, "stan", "reader", "olivia");
    ending.expires = Some(crate::types::Timestamp::from_millis(
        world.vault.now().millis() + 5_000,
    ));
    world
        .vault
        .create_grant(&world.call(None), ending)
        .await
        .unwrap();
    let body = reading(&world, "stan").await;
    assert_eq!(rest(&world, body).await, Err(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn uploads_of_others_look_absent() {
    let world = World::new().await;
    world.grant("stan", "depositor").await;
    let call = world.call(Some("dirk"));
    let upload = world
        .vault
        .create_upload(&call, place("k"), NewObject::default(), None)
        .await
        .unwrap()
        .id
        .to_string();
    let call = world.call(Some("stan"));
    let part = world
        .vault
        .put_part(&call, place("k"), &upload, 1, input(b"x", 1))
        .await;
    assert_eq!(kind(part), Some(ErrorKind::NoSuchUpload));
    let call = world.call(Some("stan"));
    let abort = world.vault.abort_upload(&call, place("k"), &upload).await;
    assert_eq!(kind(abort), Some(ErrorKind::NoSuchUpload));
    for (who, seen) in [("dirk", 1), ("stan", 0), ("olivia", 1)] {
        let query = UploadQuery {
            limit: 10,
            ..UploadQuery::default()
        };
        let call = world.call(Some(who));
        let page = world.vault.list_uploads(&call, BUCKET, query).await;
        assert_eq!(page.unwrap().uploads.len(), seen, "{who}");
    }
}

fn grant(world: &World, principal: &str, role: &str, approver: &str) -> Grant {
    Grant {
        id: GrantId::random(world.vault.entropy.as_ref()).unwrap(),
        project: project(),
        principal: principal.parse().unwrap(),
        role: role.to_owned(),
        dataset: None,
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: None,
        permit: None,
        starts: world.vault.now(),
        expires: None,
        approver: approver.parse().unwrap(),
        created: world.vault.now(),
    }
}

#[tokio::test]
async fn az_3_only_who_manages_grants_approves_one() {
    let world = World::new().await;
    let cases = [
        ("stan", "reader", "stan", false),
        ("stan", "owner", "stan", false),
        ("stan", "reader", "ruben", false),
        ("stan", "reader", "anna", false),
        ("olivia", "auditor", "olivia", false),
        ("olivia", "exporter", "olivia", false),
        ("olivia", "reader", "olivia", true),
        ("stan", "auditor", "olivia", true),
    ];
    for (principal, role, approver, fine) in cases {
        let call = world.call(None);
        let grant = grant(&world, principal, role, approver);
        let made = kind(world.vault.create_grant(&call, grant).await);
        let expected = (!fine).then_some(ErrorKind::AccessDenied);
        assert_eq!(made, expected, "{role} for {principal} by {approver}");
        assert!(call.is_recorded());
    }
}

#[tokio::test]
async fn az_3_a_project_that_holds_data_is_not_founded_again() {
    let world = World::new().await;
    for grant in world.catalog.grants(&project(), 100).await.unwrap() {
        world
            .vault
            .revoke_grant(&world.call(None), &project(), grant.id)
            .await
            .unwrap();
    }
    let taken = grant(&world, "stan", "owner", "stan");
    let made = world.vault.create_grant(&world.call(None), taken).await;
    assert_eq!(kind(made), Some(ErrorKind::AccessDenied));
}
