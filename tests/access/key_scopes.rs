//! Lasting credentials with a scope, over the edge: what they carry, and what they leave out. That
//! one with another scope is refused everywhere is in `table.rs`.

use kluis::types::KeyScope;

use crate::table::Stranger;
use crate::world::{Asked, Keys, World, asked, icu};

fn of_ecg(bend: impl FnOnce(&mut KeyScope)) -> KeyScope {
    let mut scope = KeyScope {
        project: Some(icu()),
        dataset: Some("ecg".parse().expect("a name")),
        ..KeyScope::default()
    };
    bend(&mut scope);
    scope
}

/// An owner's credentials whose scopes leave all of this out.
pub(crate) async fn strangers(world: &World) -> Vec<Stranger> {
    world.member("sofie", "owner").await;
    let dataset = KeyScope {
        project: Some(icu()),
        dataset: Some("another".parse().expect("a name")),
        ..KeyScope::default()
    };
    let project = KeyScope {
        project: Some("lab".parse().expect("a name")),
        ..KeyScope::default()
    };
    let network = KeyScope {
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        ..KeyScope::default()
    };
    let purpose = KeyScope {
        purpose: Some("another:purpose".to_owned()),
        ..KeyScope::default()
    };
    vec![
        (
            "key of another project",
            Some(world.scoped("sofie", project).await),
        ),
        (NARROW[0], Some(world.scoped("sofie", dataset).await)),
        (NARROW[1], Some(world.scoped("sofie", network).await)),
        (NARROW[2], Some(world.scoped("sofie", purpose).await)),
    ]
}

/// To these scopes their owner's own affairs are closed, too.
pub(crate) const NARROW: [&str; 3] = [
    "key of another dataset",
    "key for another network",
    "key for another purpose",
];

/// Olivia's dataset with an object under each of two prefixes.
async fn stage() -> (World, Keys) {
    let world = World::new().await;
    let olivia = world.keys("olivia", None).await;
    for put in [
        asked("PUT", "/icu--ecg"),
        asked("PUT", "/icu--ecg/raw/a").body("x"),
        asked("PUT", "/icu--ecg/clean/a").body("x"),
    ] {
        assert_eq!(status(&world, &olivia, &put).await, 200, "{}", put.uri);
    }
    (world, olivia)
}

async fn status(world: &World, keys: &Keys, request: &Asked) -> u16 {
    world.serve(Some(keys), request).await.status
}

#[tokio::test]
async fn a_key_of_a_prefix_is_served_there_and_nowhere_else() {
    let (world, _olivia) = stage().await;
    let prefix = |scope: &mut KeyScope| scope.prefix = "raw/".to_owned();
    let keys = world.scoped("olivia", of_ecg(prefix)).await;
    for (request, expected) in [
        (asked("GET", "/icu--ecg/raw/a"), 200),
        (asked("HEAD", "/icu--ecg/raw/a"), 200),
        (asked("PUT", "/icu--ecg/raw/b").body("y"), 200),
        (asked("GET", "/icu--ecg?list-type=2&prefix=raw/"), 200),
        (asked("HEAD", "/icu--ecg"), 200),
        (asked("GET", "/icu--ecg/clean/a"), 403),
        (asked("HEAD", "/icu--ecg/clean/a"), 403),
        (asked("PUT", "/icu--ecg/clean/b").body("y"), 403),
        (asked("PUT", "/icu--ecg/raw").body("y"), 403),
        (asked("DELETE", "/icu--ecg/clean/a"), 403),
        (asked("GET", "/icu--ecg?list-type=2"), 403),
        (asked("GET", "/icu--ecg?list-type=2&prefix=ra"), 403),
        (asked("GET", "/icu--ecg?versions"), 403),
        (asked("GET", "/icu--ecg?uploads"), 403),
        (asked("POST", "/icu--ecg/clean/c?uploads"), 403),
        // Neither what it may not read, nor whence.
        (copy("/icu--ecg/raw/c", "/icu--ecg/clean/a"), 403),
        (copy("/icu--ecg/clean/c", "/icu--ecg/raw/a"), 403),
        (copy("/icu--ecg/raw/c", "/icu--ecg/raw/a"), 200),
        (asked("DELETE", "/icu--ecg"), 403),
    ] {
        let got = status(&world, &keys, &request).await;
        assert_eq!(got, expected, "{} {}", request.method, request.uri);
    }
}

fn copy(to: &str, from: &'static str) -> Asked {
    asked("PUT", to).with("x-amz-copy-source", from)
}

#[tokio::test]
async fn a_key_for_reading_changes_nothing_and_shows_one_dataset() {
    let (world, olivia) = stage().await;
    let made = asked("PUT", "/icu--other");
    assert_eq!(status(&world, &olivia, &made).await, 200);
    let keys = world
        .scoped("olivia", of_ecg(|scope| scope.only_reads = true))
        .await;
    let seen = world.serve(Some(&keys), &asked("GET", "/")).await;
    assert!(seen.body.contains("icu--ecg") && !seen.body.contains("icu--other"));
    for (request, expected) in [
        (asked("GET", "/icu--ecg/raw/a"), 200),
        (asked("GET", "/icu--ecg?list-type=2"), 200),
        (asked("PUT", "/icu--ecg/raw/b").body("y"), 403),
        (asked("DELETE", "/icu--ecg/raw/a"), 403),
        (asked("POST", "/icu--ecg/raw/a?uploads"), 403),
        (asked("DELETE", "/icu--ecg/raw/a?tagging"), 403),
        (asked("PUT", "/icu--third"), 403),
        (asked("GET", "/icu--other?list-type=2"), 403),
        (asked("GET", "/.kluis/v1/jobs"), 403),
        (asked("GET", "/.kluis/v1/notices"), 403),
    ] {
        let got = status(&world, &keys, &request).await;
        assert_eq!(got, expected, "{} {}", request.method, request.uri);
    }
}

/// A proposal stands in its maker's name, for more than such a key may touch.
#[tokio::test]
async fn a_narrow_key_proposes_nothing_in_its_owners_name() {
    let (world, olivia) = stage().await;
    let body = serde_json::json!({
        "principal": "zoe", "role": "reader", "dataset": "ecg", "purpose": "p", "permit": "q",
        "expires": "2199-12-31T00:00:00Z", "propose": true,
    });
    world.member("zoe", "reader").await;
    let propose = || asked("POST", "/.kluis/v1/projects/icu/grants").body(body.to_string());
    let only_reads = of_ecg(|scope| scope.only_reads = true);
    let prefix = of_ecg(|scope| scope.prefix = "raw/".to_owned());
    for scope in [only_reads, prefix] {
        let keys = world.scoped("olivia", scope).await;
        let got = world.serve(Some(&keys), &propose()).await;
        assert_eq!(got.status, 403, "{}", got.body);
    }
    let got = world.serve(Some(&olivia), &propose()).await;
    assert_eq!(got.status, 201, "{}", got.body);
}

#[tokio::test]
async fn a_key_with_a_scope_is_no_session() {
    let (world, _olivia) = stage().await;
    let keys = world.scoped("olivia", of_ecg(|_all| ())).await;
    let with_token = Keys {
        token: Some("a token of nobody".to_owned()),
        ..keys.clone()
    };
    let read = asked("GET", "/icu--ecg/raw/a");
    assert_eq!(status(&world, &keys, &read).await, 200);
    assert_eq!(status(&world, &with_token, &read).await, 403);
}
