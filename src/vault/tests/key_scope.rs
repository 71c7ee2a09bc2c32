//! Lasting credentials with a scope: what they carry of their owner's rights, and nothing else.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt as _;

use super::support::{BUCKET, World, kind, place, sample};
use crate::catalog::ListQuery;
use crate::ledger::{Entry, Session};
use crate::policy::CredentialScope;
use crate::types::{AccessKeyId, KeyScope};
use crate::vault::{Call, ErrorKind, JobAsk, ReadAsk, WriteConditions};

const OTHER: &str = "icu--other";

/// Olivia, who owns all of the project, with two datasets.
async fn stage() -> World {
    let world = World::new().await;
    let call = world.call(Some("olivia"));
    world
        .vault
        .create_dataset(&call, OTHER, false)
        .await
        .unwrap();
    for key in ["raw/a", "raw/b", "clean/a"] {
        world.put("olivia", key, &sample(70_000)).await.unwrap();
    }
    world
}

fn scope(bend: impl FnOnce(&mut KeyScope)) -> KeyScope {
    let mut scope = KeyScope {
        project: Some("icu".parse().unwrap()),
        dataset: Some("ecg".parse().unwrap()),
        ..KeyScope::default()
    };
    bend(&mut scope);
    scope
}

async fn make(world: &World, scope: KeyScope) -> AccessKeyId {
    let local = world.call(None);
    let made = world
        .vault
        .create_credential(&local, "olivia".parse().unwrap(), (None, scope));
    made.await.unwrap().id
}

/// A call that is signed with this credential, from this address.
async fn signed(world: &World, id: &AccessKeyId, client: &str) -> Call {
    let known = world.vault.identify(id, None, client.parse().ok()).await;
    let known = known.unwrap().unwrap();
    let call = world.call(Some("olivia"));
    Call {
        session: Arc::new(Session {
            access_key: Some(id.clone()),
            client_ip: client.to_owned(),
            ..(*call.session).clone()
        }),
        bounds: known.bounds,
        recorded: Arc::new(AtomicBool::new(false)),
        ..call
    }
}

async fn key(world: &World, bend: impl FnOnce(&mut KeyScope)) -> Call {
    let id = make(world, scope(bend)).await;
    signed(world, &id, "127.0.0.1").await
}

async fn reads(world: &World, call: &Call, bucket: &str, name: &str) -> bool {
    let place = crate::vault::Place {
        bucket,
        ..place(name)
    };
    let read = world.vault.read_object(call, place, ReadAsk::default());
    let read = read.await;
    assert!(call.is_recorded(), "allowed or refused, it is in the log");
    read.is_ok()
}

async fn lists(world: &World, call: &Call, prefix: &str) -> bool {
    let ask = ListQuery {
        prefix: prefix.to_owned(),
        limit: 9,
        ..ListQuery::default()
    };
    world.vault.list_objects(call, BUCKET, ask).await.is_ok()
}

#[tokio::test]
async fn a_credential_without_a_scope_is_bound_to_nothing() {
    let world = stage().await;
    let id = make(&world, KeyScope::default()).await;
    let call = signed(&world, &id, "203.0.113.9").await;
    assert!(call.bounds.is_none());
    let row = world.catalog.credential(&id).await.unwrap().unwrap();
    assert_eq!(row.scope, None);
}

#[tokio::test]
async fn a_scope_gives_nothing_that_its_owner_has_not() {
    let world = stage().await;
    let local = world.call(None);
    let made =
        world
            .vault
            .create_credential(&local, "stan".parse().unwrap(), (None, scope(|_all| ())));
    let id = made.await.unwrap().id;
    let call = signed(&world, &id, "127.0.0.1").await;
    let call = Call {
        session: Arc::new(Session {
            principal: Some("stan".parse().unwrap()),
            ..(*call.session).clone()
        }),
        ..call
    };
    assert!(!reads(&world, &call, BUCKET, "raw/a").await);
}

#[tokio::test]
async fn a_scope_of_a_dataset_reaches_no_other() {
    let world = stage().await;
    let call = key(&world, |_dataset| ()).await;
    assert!(reads(&world, &call, BUCKET, "raw/a").await);
    let ask = ListQuery::default();
    let other = world.vault.list_objects(&call, OTHER, ask).await;
    assert_eq!(kind(other), Some(ErrorKind::AccessDenied));
    let seen = world.vault.list_datasets(&call).await.unwrap();
    let seen: Vec<String> = seen.iter().map(|row| row.bucket.to_string()).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let make = world.vault.create_dataset(&call, "icu--third", false).await;
    assert_eq!(kind(make), Some(ErrorKind::AccessDenied));
    let project = key(&world, |scope| scope.dataset = None).await;
    let other = world
        .vault
        .list_objects(&project, OTHER, ListQuery::default());
    assert!(other.await.is_ok(), "all of the project");
    let elsewhere = key(&world, |scope| {
        scope.project = Some("onco".parse().unwrap());
    })
    .await;
    assert!(!reads(&world, &elsewhere, BUCKET, "raw/a").await);
}

#[tokio::test]
async fn a_scope_of_a_prefix_shows_and_reads_nothing_beside_it() {
    let world = stage().await;
    let call = key(&world, |scope| scope.prefix = "raw/".to_owned()).await;
    assert!(reads(&world, &call, BUCKET, "raw/a").await);
    for beside in ["clean/a", "raw", "ra", ""] {
        assert!(!reads(&world, &call, BUCKET, beside).await, "{beside}");
    }
    assert!(lists(&world, &call, "raw/").await);
    for wider in ["", "r", "raw", "clean/"] {
        assert!(!lists(&world, &call, wider).await, "{wider}");
    }
    // The whole dataset is more than a prefix.
    let deleted = world.vault.delete_dataset(&call, BUCKET).await;
    assert_eq!(kind(deleted), Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn a_scope_for_reading_changes_nothing() {
    let world = stage().await;
    let call = key(&world, |scope| scope.only_reads = true).await;
    assert!(reads(&world, &call, BUCKET, "raw/a").await);
    let none = WriteConditions::default();
    let gone = world
        .vault
        .delete_object(&call, place("raw/a"), none, false);
    assert_eq!(kind(gone.await), Some(ErrorKind::AccessDenied));
    let gone = world.vault.delete_dataset(&call, BUCKET).await;
    assert_eq!(kind(gone), Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn a_scope_of_networks_is_used_from_them_alone() {
    let world = stage().await;
    let net = scope(|scope| scope.networks = vec!["10.0.0.0/8".parse().unwrap()]);
    let id = make(&world, net).await;
    for (from, may) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("11.0.0.1", false),
        ("::1", false),
        ("local", false),
    ] {
        let call = signed(&world, &id, from).await;
        assert_eq!(reads(&world, &call, BUCKET, "raw/a").await, may, "{from}");
    }
}

#[tokio::test]
async fn a_scope_of_a_purpose_uses_no_grant_of_another() {
    let world = stage().await;
    let same = key(&world, |scope| scope.purpose = Some("test:try".to_owned())).await;
    assert!(reads(&world, &same, BUCKET, "raw/a").await);
    let other = key(&world, |scope| {
        scope.purpose = Some("test:other".to_owned());
    })
    .await;
    assert!(!reads(&world, &other, BUCKET, "raw/a").await);
}

#[tokio::test]
async fn a_scope_leaves_out_what_is_its_owners_own() {
    let world = stage().await;
    let narrow = key(&world, |_dataset| ()).await;
    let jobs = world.vault.list_jobs(&narrow).await;
    assert_eq!(kind(jobs), Some(ErrorKind::AccessDenied));
    let notices = world.vault.notices(&narrow, None).await;
    assert_eq!(kind(notices), Some(ErrorKind::AccessDenied));
    let project = "icu".parse().unwrap();
    let acts = world.vault.acts(&narrow, &project).await;
    assert_eq!(kind(acts), Some(ErrorKind::AccessDenied));
    // A job would reach past prefix and networks: none is submitted, however wide the scope is.
    let wide = key(&world, |scope| scope.dataset = None).await;
    let ask = JobAsk {
        bucket: BUCKET,
        purpose: None,
        cluster: "hal".to_owned(),
        account: "olivia".to_owned(),
        nodes_max: 1,
        waits_ms: 3_600_000,
        lasts_ms: 3_600_000,
    };
    let job = world.vault.submit_job(&wide, ask).await;
    assert_eq!(kind(job), Some(ErrorKind::AccessDenied));
    assert!(
        world.vault.list_jobs(&wide).await.is_ok(),
        "her own affairs"
    );
}

#[tokio::test]
async fn what_runs_by_a_credential_with_a_scope_ends_with_it() {
    let world = World::new().await;
    world
        .put("olivia", "big", &sample(100 * 65_536))
        .await
        .unwrap();
    let id = make(&world, scope(|scope| scope.only_reads = true)).await;
    let call = signed(&world, &id, "127.0.0.1").await;
    let read = world
        .vault
        .read_object(&call, place("big"), ReadAsk::default());
    let mut body = read.await.unwrap().body;
    body.next().await.unwrap().unwrap();
    let local = world.call(None);
    world
        .vault
        .revoke_credential(&local, id.clone())
        .await
        .unwrap();
    let mut ms = 0;
    while let Ok(_segment) = body.next().await.expect("the object is long enough") {
        ms += 1_000;
        world.wait(1_000);
    }
    assert!(ms <= 60_000, "{ms} ms");
    let gone = world.vault.identify(&id, None, None).await.unwrap();
    assert!(gone.is_none());
}

#[tokio::test]
async fn a_scope_of_nothing_that_there_can_be_is_refused_and_recorded() {
    let world = stage().await;
    let bad = [
        scope(|scope| scope.project = None),
        scope(|scope| scope.version = Some(0)),
        scope(|scope| scope.purpose = Some("a\nb".to_owned())),
        scope(|scope| scope.networks = vec!["10.0.0.0/8".parse().unwrap(); 2]),
    ];
    for scope in bad {
        let local = world.call(None);
        let made = world
            .vault
            .create_credential(&local, "olivia".parse().unwrap(), (None, scope));
        assert_eq!(kind(made.await.map(drop)), Some(ErrorKind::InvalidArgument));
        assert!(local.is_recorded());
    }
    let owner = "olivia".parse().unwrap();
    let rows = world.catalog.credentials(&owner, 9).await.unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn az_5_the_scope_is_in_the_log_before_it_decides_and_again_each_day() {
    let world = stage().await;
    let id = make(&world, scope(|scope| scope.prefix = "raw/".to_owned())).await;
    let told = || {
        let entries = world.journal.entries();
        let texts = entries.into_iter().filter_map(|entry| match entry {
            Entry::Policy { version, text } if CredentialScope::is_scope(&text) => {
                Some(CredentialScope::read(&version, &text).unwrap())
            }
            _ => None,
        });
        texts.collect::<Vec<_>>()
    };
    assert!(told().is_empty());
    for _use in 0..3 {
        let call = signed(&world, &id, "127.0.0.1").await;
        reads(&world, &call, BUCKET, "raw/a").await;
    }
    let [once] = &told()[..] else { panic!("once") };
    assert_eq!((&once.credential, once.prefix.as_str()), (&id, "raw/"));
    world.wait(86_400_000);
    signed(&world, &id, "127.0.0.1").await;
    assert_eq!(
        told().len(),
        2,
        "what is kept of a log for a time holds all of it"
    );
}
