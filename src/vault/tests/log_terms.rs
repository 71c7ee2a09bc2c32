//! Who says how a project's records are kept, and that nobody shortens it by himself.

use super::support::World;
use crate::ledger::Entry;
use crate::types::ProjectName;
use crate::types::limits::LOG_KEPT_DAYS;
use crate::vault::{ErrorKind, LogTermsChange};

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

async fn keep(world: &World, by: Option<&str>, days: u32) -> Result<u32, ErrorKind> {
    let change = LogTermsChange { days: Some(days) };
    let call = world.call(by);
    let set = world.vault.set_log_terms(&call, &icu(), change).await;
    set.map(|terms| terms.kept_days())
        .map_err(|error| error.kind())
}

async fn kept(world: &World, by: Option<&str>) -> Result<u32, ErrorKind> {
    let told = world.vault.log_terms(&world.call(by), &icu()).await;
    told.map(|terms| terms.kept_days())
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn owners_and_the_operator_have_records_kept_longer() {
    let world = World::new().await;
    assert_eq!(kept(&world, Some("olivia")).await, Ok(LOG_KEPT_DAYS));
    assert_eq!(keep(&world, Some("olivia"), 2_000).await, Ok(2_000));
    assert_eq!(keep(&world, None, 3_000).await, Ok(3_000));
    assert_eq!(kept(&world, None).await, Ok(3_000));
    let stands = world.journal.entries().iter().any(|entry| match entry {
        Entry::Intent { intent, .. } | Entry::Whole { intent, .. } => {
            intent.query.as_deref() == Some("log terms days=2000")
        }
        _ => false,
    });
    assert!(stands);
}

#[tokio::test]
async fn nobody_shortens_it_by_himself() {
    let world = World::new().await;
    for by in [Some("olivia"), None] {
        let told = keep(&world, by, LOG_KEPT_DAYS - 1).await;
        assert_eq!(told, Err(ErrorKind::AccessDenied));
    }
    assert_eq!(keep(&world, None, 4_000).await, Ok(4_000));
    assert_eq!(
        keep(&world, None, 4_000).await,
        Ok(4_000),
        "it is so already"
    );
    assert_eq!(
        keep(&world, Some("olivia"), 3_999).await,
        Err(ErrorKind::AccessDenied)
    );
    assert_eq!(kept(&world, None).await, Ok(4_000));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let world = World::new().await;
    for days in [0, 364, 36_526, u32::MAX] {
        assert_eq!(
            keep(&world, None, days).await,
            Err(ErrorKind::InvalidArgument),
            "{days}"
        );
    }
}

#[tokio::test]
async fn who_does_not_manage_grants_learns_nothing() {
    let world = World::new().await;
    for by in ["ruben", "anna", "stan"] {
        assert_eq!(
            keep(&world, Some(by), 4_000).await,
            Err(ErrorKind::AccessDenied),
            "{by}"
        );
        assert_eq!(
            kept(&world, Some(by)).await,
            Err(ErrorKind::AccessDenied),
            "{by}"
        );
    }
    // A project that is not there is told as one that is another's.
    let nowhere: ProjectName = "nowhere".parse().unwrap();
    let told = world
        .vault
        .log_terms(&world.call(Some("olivia")), &nowhere)
        .await;
    assert_eq!(
        told.map_err(|error| error.kind()),
        Err(ErrorKind::AccessDenied)
    );
}
