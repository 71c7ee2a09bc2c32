//! Published versions: what stays, who may, what leaves only behind a record.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, kind, place, sample};
use crate::catalog::{ListQuery, SharedCatalog};
use crate::journal::SharedJournal;
use crate::ledger::{Entry, Outcome};
use crate::manifest::{Index, Page, digest};
use crate::policy::GrantEffect;
use crate::seal::{Opener, Table, open_blob};
use crate::store::SharedStore;
use crate::types::{Action, BucketName, ByteRange, ObjectKey};
use crate::vault::{
    ErrorKind, NewObject, Place, ReadAsk, ReadReport, Run, Span, SweepAsk, WriteConditions,
};

pub(super) const V1: &str = "icu--ecg--v1";

pub(super) fn run(from: &str, count: usize) -> Run {
    let from = from.parse().unwrap();
    Run { from, count }
}

async fn stocked() -> World {
    let world = World::new().await;
    for (key, bytes) in [("a/1", 10), ("a/2", 70_000), ("a/3", 0), ("b", 200_000)] {
        world.put("olivia", key, &sample(bytes)).await.unwrap();
    }
    world
}

pub(super) async fn published() -> World {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    world
}

async fn read(world: &World, bucket: &str, key: &str) -> Result<Vec<u8>, ErrorKind> {
    let call = world.call(Some("job-1"));
    let place = Place {
        bucket,
        key,
        version: None,
    };
    let reading = world
        .vault
        .read_object(&call, place, ReadAsk::default())
        .await;
    assert!(call.is_recorded());
    let mut body = reading.map_err(|error| error.kind())?.body;
    let mut all = Vec::new();
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece.map_err(|error| error.kind())?);
    }
    Ok(all)
}

/// Key and table of what is released to `who`.
async fn release(world: &World, who: &str, runs: Vec<Run>) -> Vec<String> {
    let call = world.call(Some(who));
    let released = world.vault.release_keys(&call, V1, runs).await.unwrap();
    assert!(call.is_recorded(), "every release is recorded");
    released
        .keys
        .iter()
        .map(|released| released.key.to_string())
        .collect()
}

/// The queries and keys of the newest records of an action.
pub(super) fn records(
    world: &World,
    action: Action,
) -> Vec<(Option<ObjectKey>, Option<String>, Outcome)> {
    let entries = world.journal.entries().into_iter();
    let whole = entries.filter_map(|entry| match entry {
        Entry::Whole {
            intent, completion, ..
        } if intent.action == Some(action) => {
            Some((intent.object.key, intent.query, completion.outcome))
        }
        _ => None,
    });
    whole.collect()
}

#[tokio::test]
async fn a_version_stays_as_it_was_published_and_its_blobs_with_it() {
    let world = published().await;
    world.put("olivia", "a/2", b"new").await.unwrap();
    world.put("olivia", "c", b"c").await.unwrap();
    let call = world.call(Some("olivia"));
    world
        .vault
        .delete_object(&call, place("b"), WriteConditions::default(), false)
        .await
        .unwrap();
    // Long after everything that is swept.
    world.wait(3 * 24 * 60 * 60 * 1000);
    let ask = SweepAsk {
        grace_ms: 0,
        upload_ms: 1,
    };
    let swept = world.vault.sweep(ask).await.unwrap();
    assert_eq!((swept.unreferenced, swept.orphans), (0, 0));
    assert_eq!(read(&world, V1, "a/2").await.unwrap(), sample(70_000));
    assert_eq!(read(&world, V1, "a/3").await.unwrap(), b"");
    assert_eq!(read(&world, V1, "b").await.unwrap(), sample(200_000));
    assert_eq!(read(&world, V1, "c").await, Err(ErrorKind::NoSuchObject));
    assert_eq!(read(&world, BUCKET, "a/2").await.unwrap(), b"new");
    assert_eq!(
        read(&world, "icu--ecg--v2", "b").await,
        Err(ErrorKind::NoSuchPublication)
    );
    let all = ListQuery {
        limit: 100,
        ..ListQuery::default()
    };
    let call = world.call(Some("job-1"));
    let page = world.vault.list_objects(&call, V1, all).await.unwrap();
    assert_eq!(page.entries.len(), 4);
}

#[tokio::test]
async fn nothing_changes_a_version_whoever_asks() {
    let world = published().await;
    let at = |key| Place {
        bucket: V1,
        key,
        version: None,
    };
    let vault = &world.vault;
    let call = || world.call(Some("olivia"));
    let denied = Some(ErrorKind::AccessDenied);
    let body = super::support::input(b"x", 10);
    let put = vault
        .write_object(&call(), at("x"), NewObject::default(), body)
        .await;
    assert_eq!(kind(put), denied);
    let delete = vault
        .delete_object(&call(), at("b"), WriteConditions::default(), false)
        .await;
    assert_eq!(kind(delete), denied);
    assert_eq!(
        kind(vault.set_object_tags(&call(), at("b"), Vec::new()).await),
        denied
    );
    assert_eq!(kind(vault.delete_dataset(&call(), V1).await), denied);
    assert_eq!(kind(vault.create_dataset(&call(), V1, false).await), denied);
    assert_eq!(kind(vault.publish(&call(), V1).await), denied);
    assert_eq!(world.last_completion().outcome, Outcome::Refused);
    assert_eq!(
        kind(vault.delete_dataset(&call(), BUCKET).await),
        Some(ErrorKind::DatasetNotEmpty)
    );
}

#[tokio::test]
async fn publishing_is_the_owners_and_chains_the_roots() {
    let world = published().await;
    for who in ["job-1", "ruben", "dirk", "stan", "anna"] {
        let refused = world.vault.publish(&world.call(Some(who)), BUCKET).await;
        assert_eq!(kind(refused), Some(ErrorKind::AccessDenied), "{who}");
    }
    let (local, ruben) = (world.call(None), "ruben".parse().unwrap());
    let bucket = BucketName::parse(BUCKET, world.vault.default_project()).unwrap();
    let refused = world.vault.publish_for(&local, &bucket, ruben, true).await;
    assert_eq!(kind(refused), Some(ErrorKind::AccessDenied));
    let call = world.call(Some("olivia"));
    let second = world.vault.publish(&call, BUCKET).await.unwrap();
    let all = world.vault.published(&second.root.dataset).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1], second);
    assert_eq!((second.root.number, second.root.objects), (2, 4));
    assert_eq!(second.root.previous, all[0].digest);
    assert_eq!(all[0].root.previous, [0; 32]);
    let noted = records(&world, Action::DatasetPublish);
    let hex = data_encoding::HEXLOWER.encode(&second.digest);
    let said = noted.iter().any(|(_, query, outcome)| {
        *outcome == Outcome::Success && query.as_ref().is_some_and(|query| query.ends_with(&hex))
    });
    assert!(said, "the root's digest stands in the log");
}

#[tokio::test]
async fn a_node_opens_a_version_with_what_it_is_given_and_nothing_else() {
    let world = published().await;
    let vault = &world.vault;
    let call = || world.call(Some("job-1"));
    let opening = vault.open_version(&call(), V1).await.unwrap();
    let (root, _) = opening.signer.open(&opening.envelope).unwrap();
    let sealed = vault.sealed_piece(&call(), V1, None).await.unwrap();
    assert_eq!(digest(&sealed), root.index.digest);
    let (_, plain) = open_blob(&opening.index_key, Some(root.index.blob), &sealed).unwrap();
    let index = Index::decode(&plain).unwrap();
    let page = vault.sealed_piece(&call(), V1, Some(0)).await.unwrap();
    let named = &index.pages()[0];
    assert_eq!(digest(&page), named.digest);
    let key = crate::seal::DataKey::of_secret(named.key.duplicate());
    let (_, plain) = open_blob(&key, Some(named.blob), &page).unwrap();
    let page = Page::decode(plain.to_vec()).unwrap();
    let at = (0..page.len()).find(|at| page.get(*at).unwrap().key().as_deref() == Some("b"));
    let entry = page.get(at.unwrap()).unwrap().entry().unwrap();
    let crate::manifest::Entry::File(file) = entry else {
        panic!("b is a file")
    };
    let released = vault
        .release_keys(&call(), V1, vec![run("b", 1)])
        .await
        .unwrap();
    let table = Table::receive(&released.keys[0].table, &file.commitment, file.bytes).unwrap();
    assert!(Table::receive(&released.keys[0].table, &[0; 32], file.bytes).is_err());
    assert!(Table::receive(&released.keys[0].table, &file.commitment, 1).is_err());
    let extent = &table.extents()[0];
    let range = (extent.blob, 136..136 + 65_552);
    let mut body = vault.read_sealed(&call(), V1, "b", range).await.unwrap();
    let mut sealed = bytes::BytesMut::new();
    while let Some(piece) = body.next().await {
        sealed.extend_from_slice(&piece.unwrap());
    }
    let mut opener: Opener = extent.opener(0).unwrap();
    opener.open(&mut sealed).unwrap();
    assert_eq!(sealed[..], sample(200_000)[..65_536]);
    // Neither a page that is none, nor bytes that are not the object's.
    let beyond = vault.sealed_piece(&call(), V1, Some(9)).await;
    assert_eq!(kind(beyond), Some(ErrorKind::InvalidArgument));
    for (key, range) in [("a/2", 0..136), ("b", 0..9_999_999), ("b", 5..5)] {
        let foreign = vault
            .read_sealed(&call(), V1, key, (extent.blob, range))
            .await;
        assert_eq!(kind(foreign), Some(ErrorKind::InvalidRange), "{key}");
    }
}

#[tokio::test]
async fn no_key_without_a_record_that_names_what_was_released() {
    let world = published().await;
    assert_eq!(release(&world, "job-1", vec![run("a/2", 1)]).await, ["a/2"]);
    assert_eq!(
        release(&world, "job-1", vec![run("a/1", 3)]).await,
        ["a/1", "a/2", "a/3"]
    );
    let both = vec![run("a/2", 1), run("b", 5)];
    assert_eq!(release(&world, "job-1", both).await, ["a/2", "b"]);
    let read = records(&world, Action::ObjectRead);
    let told: Vec<_> = read
        .iter()
        .map(|(key, query, _)| (key.as_ref().unwrap().as_str(), query.as_deref().unwrap()))
        .collect();
    let expected = [
        ("a/2", "version=1"),
        ("a/1", "version=1 objects=3 last=a/3"),
        ("a/2", "version=1"),
        ("b", "version=1"),
    ];
    assert_eq!(told, expected);
    // Each under an event of its own.
    let entries = world.journal.entries();
    let wholes = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Whole { .. }));
    let mut seen = std::collections::BTreeSet::new();
    assert!(
        wholes
            .filter_map(Entry::event)
            .all(|event| seen.insert(event))
    );
}

#[tokio::test]
async fn without_a_durable_record_no_key_leaves() {
    let mut world = published().await;
    let inner = Arc::clone(&world.journal) as SharedJournal;
    let gate = Gate::new(1, false);
    world.rewire(|parts| crate::vault::Parts {
        journal: Arc::new(Gated::new(inner, &gate)),
        ..parts
    });
    let call = world.call(Some("job-1"));
    let released = world.vault.release_keys(&call, V1, vec![run("b", 1)]);
    tokio::select! {
        released = released => panic!("{} keys left without a record", released.unwrap().keys.len()),
        () = gate.stopped() => {}
    }
}

#[tokio::test]
async fn keys_are_released_to_who_may_read_and_a_denied_prefix_ends_a_run() {
    let world = published().await;
    for who in ["stan", "dirk", "anna"] {
        let call = world.call(Some(who));
        let vault = &world.vault;
        assert_eq!(
            kind(vault.open_version(&call, V1).await),
            Some(ErrorKind::AccessDenied)
        );
        let released = vault
            .release_keys(&world.call(Some(who)), V1, vec![run("b", 1)])
            .await;
        assert!(
            released.is_err()
                || released.is_ok_and(|got| got.keys.is_empty() && got.gone.is_empty()),
            "{who}"
        );
        let sealed = vault.sealed_piece(&world.call(Some(who)), V1, None).await;
        assert_eq!(kind(sealed), Some(ErrorKind::AccessDenied));
    }
    let mut denial = world.draft("job-1", "job");
    denial.prefix = "a/3".into();
    denial.effect = GrantEffect::Deny;
    world.make_grant(denial).await.unwrap();
    world.wait(1_000);
    assert_eq!(
        release(&world, "job-1", vec![run("a/1", 4)]).await,
        ["a/1", "a/2"]
    );
    let none: [&str; 0] = [];
    assert_eq!(release(&world, "job-1", vec![run("a/3", 1)]).await, none);
    assert_eq!(
        records(&world, Action::ObjectRead).last().unwrap().2,
        Outcome::Refused
    );
    // What is there no more is told of what may be read, and of nothing else.
    let call = world.call(Some("job-1"));
    let runs = vec![run("a/3", 1), run("a/3-none", 1), run("a/none", 2)];
    let got = world.vault.release_keys(&call, V1, runs).await.unwrap();
    let gone: Vec<&str> = got.gone.iter().map(ObjectKey::as_str).collect();
    assert_eq!((got.keys.len(), gone), (0, vec!["a/none"]));
    // With a denial inside, the whole version is not for the node to see.
    let call = world.call(Some("job-1"));
    assert_eq!(
        kind(world.vault.open_version(&call, V1).await),
        Some(ErrorKind::AccessDenied)
    );
}

#[tokio::test]
async fn absurd_requests_for_keys_are_refused() {
    let world = published().await;
    for runs in [
        Vec::new(),
        vec![run("b", 0)],
        vec![run("b", 1_001)],
        vec![run("b", usize::MAX); 2],
    ] {
        let call = world.call(Some("job-1"));
        let refused = world.vault.release_keys(&call, V1, runs).await;
        assert_eq!(kind(refused), Some(ErrorKind::InvalidArgument));
    }
    let none: [&str; 0] = [];
    assert_eq!(
        release(&world, "job-1", vec![run("a", 5)]).await,
        none,
        "there is no such object"
    );
    let call = world.call(Some("job-1"));
    let live = world
        .vault
        .release_keys(&call, BUCKET, vec![run("b", 1)])
        .await;
    assert_eq!(
        kind(live),
        Some(ErrorKind::InvalidArgument),
        "of a version alone"
    );
}

#[tokio::test]
async fn a_withdrawn_grant_ends_the_lease() {
    let world = World::new().await;
    world.put("olivia", "a", b"x").await.unwrap();
    world
        .vault
        .publish(&world.call(Some("olivia")), BUCKET)
        .await
        .unwrap();
    let open: Vec<ObjectKey> = vec!["a".parse().unwrap()];
    let renewed = world
        .vault
        .renew(&world.call(Some("job-1")), (V1, ""), &open)
        .await;
    assert_eq!(renewed.unwrap(), []);
    let grants = world
        .catalog
        .grants(&"icu".parse().unwrap(), 100)
        .await
        .unwrap();
    let held = grants
        .iter()
        .find(|grant| grant.principal.as_str() == "job-1")
        .unwrap();
    let call = world.call(None);
    world
        .vault
        .revoke_grant(&call, (&held.project, held.id), None)
        .await
        .unwrap();
    let refused = world
        .vault
        .renew(&world.call(Some("job-1")), (V1, ""), &open)
        .await;
    assert_eq!(kind(refused), Some(ErrorKind::AccessDenied));
    // What was read before is told all the same, and stands in the log.
    let reports = vec![ReadReport {
        key: "a".parse().unwrap(),
        ranges: vec![ByteRange::new(0, 1).unwrap()],
    }];
    let told = world
        .vault
        .report_reads(&world.call(Some("job-1")), V1, reports)
        .await;
    assert_eq!(kind(told), Some(ErrorKind::AccessDenied));
}

#[tokio::test]
async fn a_publication_that_is_cut_short_anywhere_is_no_version_or_a_whole_one() {
    let mut at = 1;
    loop {
        let mut world = stocked().await;
        let gate = Gate::new(at, at % 2 == 0);
        let ungated = world.parts();
        world.rewire(|parts| crate::vault::Parts {
            store: Arc::new(Gated::new(Arc::clone(&parts.store), &gate)) as SharedStore,
            catalog: Arc::new(Gated::new(Arc::clone(&parts.catalog), &gate)) as SharedCatalog,
            ..parts
        });
        let call = world.call(Some("olivia"));
        let done = tokio::select! {
            published = world.vault.publish(&call, BUCKET) => published.is_ok(),
            () = gate.stopped() => false,
        };
        world.rewire(|_| ungated);
        world.put("olivia", "b", b"new").await.unwrap();
        let whole = read(&world, V1, "b").await;
        match &whole {
            Ok(bytes) => assert_eq!(*bytes, sample(200_000), "at {at}"),
            Err(error) => assert_eq!(
                (*error, done),
                (ErrorKind::NoSuchPublication, false),
                "at {at}"
            ),
        }
        world.wait(3 * 24 * 60 * 60 * 1000);
        let ask = SweepAsk {
            grace_ms: 0,
            upload_ms: 1,
        };
        world.vault.sweep(ask).await.unwrap();
        world.wait(3 * 24 * 60 * 60 * 1000);
        world.vault.sweep(ask).await.unwrap();
        let stale = world
            .catalog
            .stale_publications(world.vault.now(), 10)
            .await
            .unwrap();
        assert_eq!(stale, []);
        // Three objects with bytes, and with the version its page, its index and the old `b`.
        let expected = if whole.is_ok() { 6 } else { 3 };
        assert_eq!(world.blobs().await.len(), expected, "at {at}");
        assert_eq!(
            world.get("olivia", "a/2", Span::All).await.unwrap(),
            sample(70_000)
        );
        if done {
            return;
        }
        at += 1;
    }
}

#[tokio::test]
async fn up_5_only_who_may_list_all_is_told_how_much_is_published() {
    let world = published().await;
    let mut part = world.draft("stan", "reader");
    part.prefix = "a/".to_owned();
    world.make_grant(part).await.unwrap();
    for (who, counts) in [
        ("olivia", true),
        ("job-1", true),
        ("dirk", false),
        ("stan", false),
    ] {
        let call = world.call(Some(who));
        let told = world.vault.list_published(&call, BUCKET).await.unwrap();
        let told: Vec<bool> = told.into_iter().map(|(_, counts)| counts).collect();
        assert_eq!(told, [counts], "{who}");
    }
}

/// Who may know of one version knows of no other, nor of how many there are.
#[tokio::test]
async fn az_7_each_version_is_listed_for_who_may_know_of_it() {
    let world = published().await;
    for _ in 2..=3 {
        let call = world.call(Some("olivia"));
        world.vault.publish(&call, BUCKET).await.unwrap();
    }
    let listed = async |who: &str, bucket: &str| {
        let call = world.call(Some(who));
        let listed = world.vault.list_published(&call, bucket).await;
        assert!(call.is_recorded());
        let told = listed.map_err(|error| error.kind())?.into_iter();
        Ok::<Vec<_>, ErrorKind>(
            told.map(|(one, counts)| (one.root.number, counts))
                .collect(),
        )
    };
    let all = Ok(vec![(1, true), (2, true), (3, true)]);
    let of = |version: u32, prefix: &str| {
        let mut grant = world.draft("stan", "reader");
        grant.dataset = Some("ecg".parse().unwrap());
        grant.terms.version = Some(version);
        grant.prefix = prefix.to_owned();
        grant
    };
    assert_eq!(listed("stan", BUCKET).await, Err(ErrorKind::AccessDenied));
    let second = world.make_grant(of(2, "")).await.unwrap();
    for (bucket, seen) in [(BUCKET, Ok(vec![(2, true)])), (V1, Ok(vec![(2, true)]))] {
        assert_eq!(listed("stan", bucket).await, seen, "{bucket}");
    }
    // Neither what is current nor another dataset, whether it is there or not.
    for other in ["icu--other", "lab--ecg"] {
        let refused = listed("stan", other).await;
        assert_eq!(refused, Err(ErrorKind::AccessDenied), "{other}");
    }
    let head = world
        .vault
        .head_dataset(&world.call(Some("stan")), BUCKET)
        .await;
    assert_eq!(kind(head), Some(ErrorKind::AccessDenied));
    let entries = world.journal.entries().into_iter();
    let asked = entries.filter_map(|entry| match entry {
        Entry::Intent { intent, .. } => intent.query,
        _ => None,
    });
    assert_eq!(
        asked.filter(|asked| asked == "version=2").count(),
        2,
        "by what it was decided"
    );
    // Of a part she knows that it is there, and not how much is beside it.
    world.make_grant(of(3, "a/")).await.unwrap();
    let seen = listed("stan", BUCKET).await;
    assert_eq!(seen, Ok(vec![(2, true), (3, false)]));
    // What is granted ahead tells of nothing before it is there.
    world.make_grant(of(9, "")).await.unwrap();
    assert_eq!(
        listed("stan", BUCKET).await,
        Ok(vec![(2, true), (3, false)])
    );
    let icu = "icu".parse().unwrap();
    let olivia = world.call(Some("olivia"));
    let gone = world.vault.revoke_grant(&olivia, (&icu, second), None);
    gone.await.unwrap();
    assert_eq!(listed("stan", BUCKET).await, Ok(vec![(3, false)]));
    // A denial of one version hides that one.
    assert_eq!(listed("ruben", BUCKET).await, all);
    let mut denied = of(2, "");
    denied.principal = "ruben".parse().unwrap();
    denied.effect = GrantEffect::Deny;
    world.make_grant(denied).await.unwrap();
    assert_eq!(
        listed("ruben", BUCKET).await,
        Ok(vec![(1, true), (3, true)])
    );
    assert_eq!(listed("olivia", BUCKET).await, all);
}
