//! Who says how a project's records are kept, and that nobody shortens it by himself.

use std::sync::Arc;

use super::ports::{Gate, Gated};
use super::support::World;
use crate::catalog::SharedCatalog;
use crate::ledger::Entry;
use crate::types::limits::LOG_KEPT_DAYS;
use crate::types::{ActKind, ApprovalId, ProjectName};
use crate::vault::{ActDraft, ErrorKind, LogTermsChange};

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

async fn keep(world: &World, by: Option<&str>, days: u32) -> Result<u32, ErrorKind> {
    let change = LogTermsChange {
        days: Some(days),
        pseudonyms: None,
        approval: None,
    };
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

/// Two persons agree that icu's records are kept for so many days.
async fn agreed(world: &World, days: &str) -> ApprovalId {
    let draft = ActDraft {
        kind: ActKind::ShortenLog,
        project: icu(),
        dataset: None,
        terms: vec![("days".to_owned(), days.to_owned())],
        reason: "the trial has ended".to_owned(),
    };
    let ask = world.call(Some("olivia"));
    let asked = world.vault.ask_act(&ask, draft).await.unwrap();
    let second = world.call(Some("otto"));
    let place = (&icu(), asked.id);
    world.vault.approve_act(&second, place).await.unwrap();
    asked.id
}

async fn shorten(
    world: &World,
    by: Option<&str>,
    days: u32,
    id: ApprovalId,
) -> Result<u32, ErrorKind> {
    let change = LogTermsChange {
        days: Some(days),
        pseudonyms: None,
        approval: Some(id),
    };
    let call = world.call(by);
    let set = world.vault.set_log_terms(&call, &icu(), change).await;
    assert!(call.is_recorded());
    set.map(|terms| terms.kept_days())
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn two_persons_shorten_it_once_and_to_exactly_what_they_agreed_on() {
    let world = World::new().await;
    let local = world.call(None);
    let otto = world
        .vault
        .create_principal(&local, "otto".parse().unwrap(), None);
    otto.await.unwrap();
    world.grant("otto", "owner").await;
    let id = agreed(&world, "400").await;
    // Other days, another asker, and where nothing is shortened.
    assert_eq!(
        shorten(&world, Some("olivia"), 399, id).await,
        Err(ErrorKind::AccessDenied)
    );
    assert_eq!(
        shorten(&world, Some("otto"), 400, id).await,
        Err(ErrorKind::AccessDenied)
    );
    assert_eq!(
        shorten(&world, None, 4_000, id).await,
        Err(ErrorKind::InvalidArgument)
    );
    assert_eq!(kept(&world, None).await, Ok(LOG_KEPT_DAYS));
    assert_eq!(shorten(&world, Some("olivia"), 400, id).await, Ok(400));
    assert_eq!(kept(&world, None).await, Ok(400));
    // It is spent.
    assert_eq!(keep(&world, None, 500).await, Ok(500));
    let again = shorten(&world, Some("olivia"), 400, id).await;
    assert!(again.is_err(), "{again:?}");
    assert_eq!(kept(&world, None).await, Ok(500));
    // The host may do what two agreed on.
    let id = agreed(&world, "450").await;
    assert_eq!(shorten(&world, None, 450, id).await, Ok(450));
    // What cannot be is not even asked for.
    for days in ["364", "0", "036", "40000", "ten", "450", "451"] {
        let draft = ActDraft {
            kind: ActKind::ShortenLog,
            project: icu(),
            dataset: None,
            terms: vec![("days".to_owned(), days.to_owned())],
            reason: "r".to_owned(),
        };
        let call = world.call(Some("olivia"));
        let told = world.vault.ask_act(&call, draft).await;
        assert_eq!(
            told.unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{days}"
        );
    }
}

/// She read the shorter time before the other set the longer one, and wrote it back.
#[tokio::test]
async fn a_change_of_what_was_read_before_another_change_undoes_none() {
    for delay in 0..16 {
        let mut world = World::new().await;
        let gate = Gate::polite();
        world.rewire(|mut parts| {
            parts.catalog = Arc::new(Gated::<SharedCatalog>::new(parts.catalog, &gate));
            parts
        });
        let names = async {
            let change = LogTermsChange {
                pseudonyms: Some(true),
                ..LogTermsChange::default()
            };
            let call = world.call(Some("olivia"));
            let set = world.vault.set_log_terms(&call, &icu(), change).await;
            set.map(drop).map_err(|error| error.kind())
        };
        let longer = async {
            for _ in 0..delay {
                tokio::task::yield_now().await;
            }
            keep(&world, None, 3_650).await
        };
        let (names, longer) = tokio::join!(names, longer);
        let told = world.vault.log_terms(&world.call(None), &icu()).await;
        let terms = told.unwrap();
        for (made, stands) in [
            (names, terms.pseudonyms),
            (longer.map(drop), terms.kept_days() == 3_650),
        ] {
            let conflicted = made == Err(ErrorKind::Conflict);
            assert!(
                stands == made.is_ok() && (stands || conflicted),
                "{delay}: {made:?}"
            );
        }
    }
}
