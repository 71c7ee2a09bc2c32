//! What owners are told of, and what waits for where their project has it sent.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::support::{World, kind};
use crate::catalog::{RosterKind, RosterRow};
use crate::types::{NoticeId, ProjectName, SecretText, limits};
use crate::vault::{EndingsSeen, ErrorKind, SECRET_PREFIX, Vault, Webhook};

const URL: &str = "https://hooks.example.org/services/opens-sesame";
const HOST: &str = "https://hooks.example.org";

fn icu() -> ProjectName {
    "icu".parse().unwrap()
}

async fn set(world: &World) -> SecretText {
    let url = SecretText::new(URL.to_owned());
    let (local, icu) = (world.call(None), icu());
    let made = world.vault.set_webhook(&local, &icu, (&url, HOST));
    made.await.unwrap()
}

async fn tried(world: &World) -> Option<ErrorKind> {
    kind(world.vault.try_webhook(&world.call(None), &icu()).await)
}

async fn waiting(vault: &Vault) -> usize {
    vault.pushes(&icu()).await.unwrap().1.len()
}

/// Tries the oldest that waits; `None` if it was given up.
async fn send(world: &World, taken: bool) -> Option<Webhook> {
    let (webhook, pushes) = world.vault.pushes(&icu()).await.unwrap();
    let trying = world.vault.begin_push(webhook.as_ref(), &pushes[0]).await;
    let trying = trying.unwrap()?;
    let sent = if taken {
        Ok(())
    } else {
        Err(std::io::Error::other("it answers status=500"))
    };
    world.vault.end_push(trying, sent).await.unwrap();
    webhook
}

#[tokio::test]
async fn az_11_an_owner_is_told_once_of_a_grant_that_is_about_to_end() {
    let world = World::new().await;
    let day = limits::DAY_MS;
    let mut long = world.draft("stan", "reader");
    long.dataset = Some("ecg".parse().unwrap());
    long.expires = Some(world.vault.now().plus_millis(60 * day));
    let mut short = world.draft("stan", "reader");
    short.expires = Some(world.vault.now().plus_millis(8 * day));
    let [long, short] = [long, short].map(|grant| world.make_grant(grant));
    let (long, short) = (long.await.unwrap(), short.await.unwrap());
    let mut seen = EndingsSeen::default();
    let mut tell = async || {
        let now = world.vault.now();
        world.vault.tell_endings(&mut seen, now).await.unwrap()
    };
    let told = async |id: String| {
        let call = world.call(Some("olivia"));
        let told = world.vault.notices(&call, None).await.unwrap();
        told.rows
            .iter()
            .filter(|row| row.text.contains(&id))
            .count()
    };
    assert_eq!(tell().await, 0);
    world.wait(6 * day - 1);
    assert_eq!(tell().await, 0);
    world.wait(1);
    assert_eq!(tell().await, 1, "a quarter of it is left");
    assert_eq!(tell().await, 0, "once");
    assert_eq!(told(short.to_string()).await, 1);
    world.wait(40 * day - 1);
    assert_eq!(tell().await, 0);
    world.wait(1);
    assert_eq!(tell().await, 1, "two weeks are left");
    assert_eq!(told(long.to_string()).await, 1);
    // After a restart nothing is told again, and what is over is forgotten.
    let mut again = EndingsSeen::default();
    let now = world.vault.now();
    assert_eq!(world.vault.tell_endings(&mut again, now).await.unwrap(), 0);
    let rows = world.catalog.roster_page(RosterKind::Ending, "", 9).await;
    assert_eq!(rows.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_told_waits_until_it_is_taken() {
    let mut world = World::new().await;
    assert_eq!(tried(&world).await, Some(ErrorKind::InvalidArgument));
    let secret = set(&world).await;
    assert!(secret.expose().starts_with(SECRET_PREFIX));
    assert!(world.vault.waiting_pushes().await.unwrap().is_empty());
    let mut short = world.draft("stan", "reader");
    short.expires = Some(world.vault.now().plus_millis(8_000));
    world.make_grant(short).await.unwrap();
    world.wait(6_000);
    let mut seen = EndingsSeen::default();
    let now = world.vault.now();
    assert_eq!(world.vault.tell_endings(&mut seen, now).await.unwrap(), 1);
    assert_eq!(world.vault.waiting_pushes().await.unwrap(), [icu()]);
    let sent = send(&world, false).await.unwrap();
    assert_eq!(sent.url.expose(), URL);
    assert_eq!(sent.secret.expose(), secret.expose());
    assert_eq!(waiting(&world.vault).await, 1, "not taken");
    // A restart loses nothing, and the catalog's file opens nothing.
    world.rewire(|parts| parts);
    assert_eq!(waiting(&world.vault).await, 1);
    let row = world
        .catalog
        .roster(RosterKind::Webhook, "icu")
        .await
        .unwrap();
    let Some(RosterRow::Webhook(row)) = row.map(|entry| entry.row) else {
        panic!("no webhook")
    };
    assert_eq!(row.host, HOST);
    let sealed = String::from_utf8_lossy(&row.sealed).into_owned();
    assert!(!sealed.contains("sesame") && !sealed.contains("whsec"));
    let log = format!("{:?}", world.journal.entries());
    assert!(log.contains(HOST) && !log.contains("sesame") && !log.contains("whsec"));
    assert!(send(&world, true).await.is_some());
    assert_eq!(waiting(&world.vault).await, 0);
    assert!(world.vault.waiting_pushes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_tried_for_a_day() {
    let world = World::new().await;
    let _secret = set(&world).await;
    assert_eq!(tried(&world).await, None);
    world.wait(limits::WEBHOOK_TRIED_MS - 1);
    assert!(send(&world, false).await.is_some());
    world.wait(1);
    assert!(send(&world, false).await.is_none(), "given up");
    assert_eq!(waiting(&world.vault).await, 0);
    // So is what waits for a receiver that is no longer one.
    assert_eq!(tried(&world).await, None);
    let local = world.call(None);
    world.vault.end_webhook(&local, &icu()).await.unwrap();
    assert!(send(&world, true).await.is_none());
    assert_eq!(waiting(&world.vault).await, 0);
    assert_eq!(
        kind(world.vault.end_webhook(&local, &icu()).await),
        Some(ErrorKind::InvalidArgument)
    );
}

/// A round holds what it read at its beginning, and takes minutes where each answer is slow.
#[tokio::test]
async fn a_receiver_that_is_ended_or_replaced_gets_nothing_more_of_a_round() {
    let world = World::new().await;
    let (local, project) = (world.call(None), icu());
    let _secret = set(&world).await;
    for _notice in 0..3 {
        assert_eq!(tried(&world).await, None);
    }
    let (webhook, pushes) = world.vault.pushes(&project).await.unwrap();
    let begin = async |which: usize| {
        let trying = world.vault.begin_push(webhook.as_ref(), &pushes[which]);
        trying.await.unwrap()
    };
    let trying = begin(0).await.expect("it is sent there");
    let sent = Ok::<(), std::io::Error>(());
    world.vault.end_push(trying, sent).await.unwrap();
    world.vault.end_webhook(&local, &project).await.unwrap();
    assert!(begin(1).await.is_none(), "ended");
    // The same address again, under another key and the number of before.
    let _secret = set(&world).await;
    assert!(begin(1).await.is_none(), "another");
    assert_eq!(waiting(&world.vault).await, 2, "what was not sent waits");
    // Nor is given up what was read while there was none.
    world.vault.end_webhook(&local, &project).await.unwrap();
    let (none, pushes) = world.vault.pushes(&project).await.unwrap();
    let _secret = set(&world).await;
    assert!(none.is_none());
    let trying = world.vault.begin_push(None, &pushes[0]).await.unwrap();
    assert!(trying.is_none() && waiting(&world.vault).await == 2);
    assert!(send(&world, true).await.is_some());
    assert_eq!(waiting(&world.vault).await, 1);
}

#[tokio::test]
async fn only_so_many_wait_and_what_is_told_is_told_all_the_same() {
    let world = World::new().await;
    let _secret = set(&world).await;
    for _notice in 0..limits::WEBHOOK_WAITING_MAX {
        assert_eq!(tried(&world).await, None);
    }
    assert_eq!(tried(&world).await, Some(ErrorKind::SlowDown));
    let mut short = world.draft("stan", "reader");
    short.expires = Some(world.vault.now().plus_millis(8_000));
    world.make_grant(short).await.unwrap();
    world.wait(6_000);
    let mut seen = EndingsSeen::default();
    let now = world.vault.now();
    assert_eq!(world.vault.tell_endings(&mut seen, now).await.unwrap(), 1);
    let shown = world.vault.notices(&world.call(Some("olivia")), None).await;
    assert_eq!(shown.unwrap().rows.len(), 1);
    assert_eq!(
        waiting(&world.vault).await,
        limits::WEBHOOK_ROUND_MAX,
        "a round"
    );
}

/// What is said to the operator's log meanwhile.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_operators_log_tells_of_a_notice_that_is_not_sent_and_names_nobody() {
    let said = Said::default();
    let lines = said.clone();
    let log = tracing_subscriber::fmt().with_ansi(false);
    let log = log.with_writer(move || lines.clone()).finish();
    let _heard = tracing::subscriber::set_default(log);
    let world = World::new().await;
    let _secret = set(&world).await;
    for _notice in 0..limits::WEBHOOK_WAITING_MAX {
        assert_eq!(tried(&world).await, None);
    }
    assert_eq!(tried(&world).await, Some(ErrorKind::SlowDown));
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    let line = said.lines().find(|line| line.contains("too many wait"));
    let line = line.expect("the operator is told");
    let id = line.split("notice=").nth(1).expect("by the notice's id");
    assert!(id.parse::<NoticeId>().is_ok(), "{line}");
    for name in ["icu", "ecg", "olivia", HOST] {
        assert!(!said.contains(name), "{name} in {said}");
    }
}

#[tokio::test]
async fn a_receiver_is_of_a_project_that_is_there() {
    let world = World::new().await;
    let local = world.call(None);
    let lab: ProjectName = "lab".parse().unwrap();
    for (project, url, host) in [
        (&lab, URL.to_owned(), HOST),
        (&icu(), String::new(), ""),
        (&icu(), "x".repeat(1_025), HOST),
        (&icu(), "x".to_owned(), HOST),
    ] {
        let url = SecretText::new(url);
        let made = world.vault.set_webhook(&local, project, (&url, host)).await;
        assert!(matches!(made, Err(error) if error.kind() == ErrorKind::InvalidArgument));
    }
}
