//! Packs, and URLs of the store: what they hold, for whom, and never without a record.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::ports::{Gate, Gated};
use super::published::{V1, published, records, run};
use super::support::{World, kind, sample};
use crate::journal::SharedJournal;
use crate::ledger::{Entry, Outcome};
use crate::policy::GrantEffect;
use crate::seal::{Opener, Table};
use crate::store::{BlobStore as _, SharedStore};
use crate::types::{Action, BlobId, BucketName, limits};
use crate::vault::{CardChange, ErrorKind, Parts, Presigned, Run, StraightAsk, VaultError};

/// The frames of a pack: keys and sealed blobs.
async fn pack(
    world: &World,
    who: &str,
    runs: Vec<Run>,
) -> Result<Vec<(String, Vec<u8>)>, VaultError> {
    let call = world.call(Some(who));
    let pack = world.vault.read_pack(&call, V1, runs).await;
    assert!(call.is_recorded(), "every pack is recorded");
    let (mut body, mut all) = (pack?, Vec::new());
    while let Some(piece) = body.next().await {
        all.extend_from_slice(&piece?);
    }
    let mut frames = Vec::new();
    let mut rest = all.as_slice();
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (key, tail) = tail.split_at(u16::from_be_bytes(*length).into());
        let (length, tail) = tail.split_first_chunk::<4>().unwrap();
        let (sealed, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        frames.push((String::from_utf8(key.to_vec()).unwrap(), sealed.to_vec()));
        rest = tail;
    }
    Ok(frames)
}

fn keys(frames: &[(String, Vec<u8>)]) -> Vec<&str> {
    frames.iter().map(|(key, _)| key.as_str()).collect()
}

async fn table(world: &World, key: &str) -> Table {
    let call = world.call(Some("job-1"));
    let released = world.vault.release_keys(&call, V1, vec![run(key, 1)]).await;
    let released = released.unwrap().keys.remove(0);
    Table::receive_unbound(&released.table).unwrap()
}

fn ask(key: &str, blobs: Vec<BlobId>) -> StraightAsk {
    let key = key.parse().unwrap();
    StraightAsk { key, blobs }
}

async fn presign(
    world: &World,
    who: &str,
    asks: Vec<StraightAsk>,
) -> Result<Vec<Presigned>, VaultError> {
    let call = world.call(Some(who));
    let given = world.vault.presign(&call, V1, asks).await;
    assert!(call.is_recorded(), "every question for URLs is recorded");
    given
}

/// Whose store gives URLs.
async fn straight() -> World {
    let mut world = published().await;
    let gate = Gate::polite();
    world.rewire(|parts| Parts {
        store: Arc::new(Gated::new(Arc::clone(&parts.store), &gate)) as SharedStore,
        ..parts
    });
    world
}

#[tokio::test]
async fn a_pack_brings_the_sealed_blobs_of_a_run_in_order_under_one_record() {
    let world = published().await;
    let frames = pack(&world, "job-1", vec![run("a/1", 4)]).await.unwrap();
    // What has no bytes has no blob.
    assert_eq!(keys(&frames), ["a/1", "a/2", "b"]);
    for (key, sealed) in &frames {
        let table = table(&world, key).await;
        let extent = &table.extents()[0];
        let mut opener: Opener = extent.opener(0).unwrap();
        let (head, mut rest) = sealed.split_at(crate::seal::HEADER_BYTES);
        opener.check_header(head, Some(extent.origin())).unwrap();
        let mut plain = Vec::new();
        while let Some(bytes) = opener.next_sealed_bytes() {
            let (segment, tail) = rest.split_at(bytes);
            let mut segment = segment.to_vec();
            let count = opener.open_slice(&mut segment).unwrap();
            plain.extend_from_slice(&segment[..count]);
            rest = tail;
        }
        assert_eq!(plain, sample(usize::try_from(table.bytes()).unwrap()));
    }
    let entries = world.journal.entries();
    let begun = entries.iter().find_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.operation == "test" => {
            intent
                .query
                .as_deref()
                .filter(|query| query.contains("packed"))?;
            Some(intent)
        }
        _ => None,
    });
    let intent = begun.unwrap();
    assert_eq!(intent.query.as_deref(), Some("version=1 packed=3 last=b"));
    let sent: usize = frames.iter().map(|(_, sealed)| sealed.len()).sum();
    let end = entries.iter().find_map(|entry| match entry {
        Entry::Completion(end) if end.event == intent.event => Some(end),
        _ => None,
    });
    let end = end.unwrap();
    assert_eq!((end.outcome, end.bytes), (Outcome::Success, sent as u64));
}

#[tokio::test]
async fn a_pack_leaves_out_what_may_not_be_read_and_what_the_store_does_not_give() {
    let world = published().await;
    for who in ["stan", "dirk", "anna"] {
        let frames = pack(&world, who, vec![run("b", 1)]).await;
        assert!(
            frames.is_err() || frames.is_ok_and(|frames| frames.is_empty()),
            "{who}"
        );
    }
    let gone = table(&world, "a/2").await.extents()[0].blob;
    world.store.delete(gone).await.unwrap();
    let runs = || vec![run("b", 1), run("a/1", 2), run("none", 1)];
    assert_eq!(
        keys(&pack(&world, "job-1", runs()).await.unwrap()),
        ["b", "a/1"]
    );
    // The run that a blob was missing of says so, and so does the object that is none.
    let missing =
        |entry: &Entry| matches!(entry, Entry::Completion(end) if end.outcome == Outcome::Failed);
    assert!(world.journal.entries().iter().any(missing));
    let last = records(&world, Action::ObjectRead).last().unwrap().2;
    assert_eq!(last, Outcome::Refused);
    let mut denial = world.draft("job-1", "job");
    denial.prefix = "a/1".into();
    denial.effect = GrantEffect::Deny;
    world.make_grant(denial).await.unwrap();
    world.wait(1_000);
    assert_eq!(keys(&pack(&world, "job-1", runs()).await.unwrap()), ["b"]);
    for runs in [vec![], vec![run("b", 0)], vec![run("b", 1_001)]] {
        let refused = pack(&world, "job-1", runs).await;
        assert_eq!(kind(refused), Some(ErrorKind::InvalidArgument));
    }
    assert_eq!(
        kind(
            world
                .vault
                .read_pack(
                    &world.call(Some("job-1")),
                    super::support::BUCKET,
                    vec![run("b", 1)]
                )
                .await
        ),
        Some(ErrorKind::InvalidArgument)
    );
}

#[tokio::test]
async fn urls_are_given_for_an_objects_own_blobs_behind_a_record_that_names_them() {
    let world = straight().await;
    let (a, b) = (table(&world, "a/2").await, table(&world, "b").await);
    let (a, b) = (a.extents()[0].blob, b.extents()[0].blob);
    let given = presign(
        &world,
        "job-1",
        vec![ask("a/2", vec![a]), ask("b", vec![b])],
    )
    .await;
    let blobs: Vec<BlobId> = given.unwrap().iter().map(|one| one.blob).collect();
    assert_eq!(blobs, [a, b]);
    let read = records(&world, Action::ObjectRead);
    let told = read.last().unwrap().1.clone().unwrap();
    assert_eq!(told, format!("version=1 straight=55s blobs={b}"));
    // Another object's blob, one that is nowhere, and an object that is not there.
    let nowhere = BlobId::from_bytes([7; 16]);
    for wrong in [
        ask("a/2", vec![b]),
        ask("a/2", vec![a, nowhere]),
        ask("none", vec![a]),
    ] {
        assert_eq!(presign(&world, "job-1", vec![wrong]).await.unwrap(), []);
        let last = records(&world, Action::ObjectRead).last().unwrap().2;
        assert_eq!(last, Outcome::Refused);
    }
    for asks in [vec![], vec![ask("b", vec![])], vec![ask("b", vec![b; 49])]] {
        let refused = presign(&world, "job-1", asks).await;
        assert_eq!(kind(refused), Some(ErrorKind::InvalidArgument));
    }
}

#[tokio::test]
async fn urls_are_given_to_nobody_else_and_by_no_store_that_has_none() {
    let world = straight().await;
    let b = table(&world, "b").await.extents()[0].blob;
    for who in ["stan", "dirk", "anna"] {
        let given = presign(&world, who, vec![ask("b", vec![b])]).await;
        assert!(
            given.is_err() || given.is_ok_and(|given| given.is_empty()),
            "{who}"
        );
    }
    let mut denial = world.draft("job-1", "job");
    denial.prefix = "b".into();
    denial.effect = GrantEffect::Deny;
    world.make_grant(denial).await.unwrap();
    world.wait(1_000);
    assert_eq!(
        presign(&world, "job-1", vec![ask("b", vec![b])])
            .await
            .unwrap(),
        []
    );
    // A store in memory has no URLs to give.
    let world = published().await;
    let b = table(&world, "b").await.extents()[0].blob;
    assert_eq!(
        presign(&world, "job-1", vec![ask("b", vec![b])])
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_project_that_is_not_named_is_given_no_urls() {
    let mut world = straight().await;
    let b = table(&world, "b").await.extents()[0].blob;
    let parts = world.parts();
    let settings = crate::vault::Settings {
        straight: vec!["other".parse().unwrap()],
        attempts: 0,
        ..super::support::settings(false)
    };
    world.vault = Arc::new(crate::vault::Vault::new(parts, settings));
    let refused = presign(&world, "job-1", vec![ask("b", vec![b])]).await;
    assert_eq!(kind(refused), Some(ErrorKind::InvalidState));
}

#[tokio::test]
async fn without_a_durable_record_neither_a_pack_nor_a_url_leaves() {
    for urls in [false, true] {
        let mut world = straight().await;
        let b = table(&world, "b").await.extents()[0].blob;
        let inner = Arc::clone(&world.journal) as SharedJournal;
        let gate = Gate::new(1, false);
        world.rewire(|parts| Parts {
            journal: Arc::new(Gated::new(inner, &gate)),
            ..parts
        });
        let call = world.call(Some("job-1"));
        let leaves = async {
            if urls {
                world
                    .vault
                    .presign(&call, V1, vec![ask("b", vec![b])])
                    .await
                    .map(drop)
            } else {
                world
                    .vault
                    .read_pack(&call, V1, vec![run("b", 1)])
                    .await
                    .map(drop)
            }
        };
        tokio::select! {
            left = leaves => panic!("{urls} {left:?} left without a record"),
            () = gate.stopped() => {}
        }
    }
}

#[tokio::test]
async fn er_2_of_a_dataset_that_has_ended_nothing_sealed_is_handed_on() {
    let world = straight().await;
    let b = table(&world, "b").await.extents()[0].blob;
    let change = CardChange {
        ends: Some(world.vault.now().plus_millis(40 * limits::DAY_MS)),
        ..CardChange::default()
    };
    let ecg = BucketName {
        project: "icu".parse().unwrap(),
        dataset: "ecg".parse().unwrap(),
    };
    let call = world.call(Some("olivia"));
    let told = world.vault.set_card(&call, &ecg, change, None).await;
    assert!(told.is_ok(), "{:?}", told.map(drop));
    assert!(pack(&world, "job-1", vec![run("b", 1)]).await.is_ok());
    world.wait(60 * limits::DAY_MS);
    let ended = Some(ErrorKind::Quarantined);
    let packed = pack(&world, "job-1", vec![run("b", 1)]).await;
    assert_eq!(kind(packed), ended);
    assert_eq!(
        kind(presign(&world, "job-1", vec![ask("b", vec![b])]).await),
        ended
    );
    let call = world.call(Some("job-1"));
    let keys = world.vault.release_keys(&call, V1, vec![run("b", 1)]).await;
    assert_eq!(kind(keys), ended);
    // By this a mount learns that it is over.
    let call = world.call(Some("job-1"));
    let renewed = world.vault.renew(&call, (V1, ""), &[]).await;
    assert_eq!(kind(renewed), ended);
}
