//! Erasure and rotation: what is gone is gone with yesterday's catalog and store too, what is not
//! stays, and a crash at any step leaves the one or the other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};

use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, input, kind, place, sample};
use crate::catalog::{
    Catalog as _, EraseScope, KeyWorkRow, MemoryCatalog, Mutation, SharedCatalog,
};
use crate::ledger::Entry;
use crate::ledger::erasure::{Certificate, Certified};
use crate::ledger::tlog::{KeyKind, Signer};
use crate::seal::table_key_version;
use crate::store::BlobStore as _;
use crate::types::{Action, BlobId, BucketName, DatasetId, VersionId, VersionName, Versioning};
use crate::vault::keywork::Agreed;
use crate::vault::{
    CompletedPart, Completing, CopySource, ErrorKind, NewObject, Place, ReadAsk, ReadConditions,
    Span, Vault, VaultError, WriteConditions,
};

const V1: &str = "icu--ecg--v1";

fn bucket() -> BucketName {
    BucketName::parse(BUCKET, &"icu".parse().unwrap()).unwrap()
}

fn ask(scope: EraseScope) -> Agreed {
    Agreed {
        scope,
        reason: "withdrawn consent".into(),
        persons: vec!["olivia".parse().unwrap(), "oscar".parse().unwrap()],
    }
}

fn object(key: &str) -> EraseScope {
    EraseScope::Object(key.parse().unwrap())
}

/// `a` and `b` in the dataset, and both published.
async fn stocked() -> World {
    let world = World::new().await;
    world.put("olivia", "a", &sample(70_000)).await.unwrap();
    world.put("olivia", "b", &sample(300)).await.unwrap();
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
    world
}

async fn erase(world: &World, scope: EraseScope) -> Result<KeyWorkRow, VaultError> {
    let call = world.call(None);
    let erased = world.vault.erase_agreed(&call, &bucket(), ask(scope)).await;
    assert!(call.is_recorded(), "every erasure is recorded");
    erased
}

async fn rotate(world: &World) -> KeyWorkRow {
    let call = world.call(None);
    world.vault.rotate_key(&call, &bucket()).await.unwrap()
}

async fn id(world: &World) -> DatasetId {
    world.catalog.dataset(&bucket()).await.unwrap().unwrap().id
}

/// What a thief of yesterday's backups has: the catalog and every blob.
struct Yesterday {
    catalog: Vec<Mutation>,
    blobs: Vec<(BlobId, Bytes)>,
}

impl Yesterday {
    async fn of(world: &World) -> Self {
        let (catalog, rest) = world.catalog.dump(None, usize::MAX).await.unwrap();
        assert_eq!(rest, None);
        let mut blobs = Vec::new();
        for entry in world.store.list(None, 10_000).await.unwrap() {
            let bytes = world.store.sealed(entry.id).unwrap();
            blobs.push((entry.id, bytes));
        }
        Self { catalog, blobs }
    }

    /// Restores both beside today's keys.
    async fn restore(self, world: &mut World) {
        for (id, bytes) in self.blobs {
            if !world.store.tamper(id, bytes.clone()) {
                let length = u64::try_from(bytes.len()).unwrap();
                let body = Box::pin(stream::once(std::future::ready(Ok(bytes))));
                world.store.put(id, length, body).await.unwrap();
            }
        }
        let catalog: SharedCatalog = Arc::new(MemoryCatalog::new());
        catalog.commit(self.catalog).await.unwrap();
        world.rewire(|mut parts| {
            parts.catalog = catalog;
            parts
        });
    }
}

async fn get(world: &World, bucket: &str, key: &str) -> Result<Vec<u8>, ErrorKind> {
    let place = Place {
        bucket,
        key,
        version: None,
    };
    let call = world.call(Some("job-1"));
    let reading = world.vault.read_object(&call, place, ReadAsk::default());
    let reading = reading.await.map_err(|error| error.kind())?;
    let pieces: Vec<Bytes> = reading
        .body
        .try_collect()
        .await
        .map_err(|error: VaultError| error.kind())?;
    Ok(pieces.concat())
}

async fn put_in(world: &World, bucket: &str, key: &str, bytes: &[u8]) -> VersionId {
    let call = world.call(Some("olivia"));
    let place = Place {
        bucket,
        key,
        version: None,
    };
    let new = NewObject::default();
    let put = world.vault.write_object(&call, place, new, input(bytes, 9));
    put.await.unwrap().version
}

async fn begin(world: &World, key: &str) -> String {
    let call = world.call(Some("olivia"));
    let new = NewObject::default();
    let upload = world.vault.create_upload(&call, place(key), new, None);
    upload.await.unwrap().id.to_string()
}

async fn part(world: &World, key: &str, upload: &str) -> CompletedPart {
    let call = world.call(Some("olivia"));
    let body = input(&sample(9), 9);
    let row = world.vault.put_part(&call, place(key), upload, 1, body);
    CompletedPart {
        number: 1,
        etag: row.await.unwrap().0.etag.to_string(),
        checksums: Vec::new(),
    }
}

/// The certificate of an erasure, verified as a stranger does.
async fn certified(world: &World, row: &KeyWorkRow) -> Certified {
    let file = world
        .vault
        .erasure_certificate(&row.id)
        .await
        .unwrap()
        .unwrap();
    let seed = world.keyring.log_signing_seed();
    let log = Signer::new("kluis/test", KeyKind::Note, &seed).unwrap();
    let held = Certificate::verify(&file, log.public()).unwrap();
    let hex = data_encoding::HEXLOWER.encode(&held.hash);
    let noted = world
        .journal
        .entries()
        .into_iter()
        .any(|entry| match entry {
            Entry::Whole { intent, .. } => intent.query.is_some_and(|query| query.contains(&hex)),
            _ => false,
        });
    assert!(noted, "the log has the certificate's hash");
    held
}

#[tokio::test]
async fn er_1_an_erased_object_is_gone_with_yesterdays_backups_too() {
    let mut world = stocked().await;
    let yesterday = Yesterday::of(&world).await;
    let before = world.blobs().await.len();
    let erased = erase(&world, object("a")).await.unwrap();
    assert_eq!(get(&world, BUCKET, "a").await, Err(ErrorKind::NoSuchObject));
    assert_eq!(get(&world, V1, "a").await, Err(ErrorKind::NoSuchObject));
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), sample(300));
    assert_eq!(get(&world, V1, "b").await.unwrap(), sample(300));
    assert_eq!(
        world.blobs().await.len(),
        before - 1,
        "its ciphertext is deleted"
    );
    let held = certified(&world, &erased).await.certificate;
    assert_eq!(
        (held.writes, held.bytes, held.blobs, held.kept),
        (1, 70_000, 1, 0)
    );
    assert_eq!((held.scope.as_str(), held.keys), ("object a", vec![1]));
    assert_eq!(
        (held.asked_by.as_str(), held.approved_by.as_str()),
        ("olivia", "oscar")
    );

    yesterday.restore(&mut world).await;
    for key in ["a", "b"] {
        let opened = get(&world, BUCKET, key).await;
        assert_eq!(opened, Err(ErrorKind::Integrity), "{key}");
        assert!(get(&world, V1, key).await.is_err());
    }
}

#[tokio::test]
async fn er_1_an_erased_dataset_leaves_neither_key_nor_row_nor_blob() {
    let mut world = stocked().await;
    let upload = begin(&world, "c").await;
    part(&world, "c", &upload).await;
    let dataset = id(&world).await;
    let yesterday = Yesterday::of(&world).await;
    let erased = erase(&world, EraseScope::Dataset).await.unwrap();
    assert_eq!(world.blobs().await, []);
    assert!(world.keyring.dataset(&dataset).is_err());
    assert_eq!(world.catalog.dataset(&bucket()).await.unwrap(), None);
    assert_eq!(
        get(&world, BUCKET, "a").await,
        Err(ErrorKind::NoSuchDataset)
    );
    let held = certified(&world, &erased).await.certificate;
    assert_eq!((held.writes, held.bytes, held.kept), (2, 70_300, 0));

    // Its name is free, for another dataset with another key.
    let call = world.call(Some("olivia"));
    let again = world
        .vault
        .create_dataset(&call, BUCKET, false)
        .await
        .unwrap();
    assert_ne!(again.id, dataset);

    yesterday.restore(&mut world).await;
    for bucket in [BUCKET, V1] {
        for key in ["a", "b"] {
            assert_eq!(get(&world, bucket, key).await, Err(ErrorKind::Integrity));
        }
    }
    let put = world.put("olivia", "new", b"x").await;
    assert!(
        put.is_err(),
        "nothing is sealed under a key that is no more"
    );
}

#[tokio::test]
async fn er_1_one_version_goes_and_the_one_below_it_is_current_again() {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    let state = Versioning::Enabled;
    world
        .vault
        .set_versioning(&call, BUCKET, state)
        .await
        .unwrap();
    let first = put_in(&world, BUCKET, "v", b"one").await;
    let second = put_in(&world, BUCKET, "v", b"two").await;
    let scope = EraseScope::Version("v".parse().unwrap(), VersionName::Id(second));
    let erased = erase(&world, scope.clone()).await.unwrap();
    assert_eq!(get(&world, BUCKET, "v").await.unwrap(), b"one");
    let held = certified(&world, &erased).await.certificate;
    assert_eq!((held.writes, held.bytes), (1, 3));
    assert_eq!(held.scope, format!("version {second} of v"));
    let again = erase(&world, scope).await;
    assert_eq!(kind(again), Some(ErrorKind::NoSuchObject));
    assert_ne!(first, second);
}

#[tokio::test]
async fn er_1_what_a_copy_elsewhere_refers_to_stays_and_the_certificate_says_so() {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    world
        .vault
        .create_dataset(&call, "icu--other", false)
        .await
        .unwrap();
    let from = CopySource {
        place: place("a"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let to = Place {
        bucket: "icu--other",
        key: "a",
        version: None,
    };
    world.grant("olivia", "exporter").await;
    let (call, none) = (world.call(Some("olivia")), WriteConditions::default());
    let copied = world.vault.copy_object(&call, from, to, None, none);
    copied.await.unwrap();
    let erased = erase(&world, object("a")).await.unwrap();
    let held = certified(&world, &erased).await.certificate;
    assert_eq!((held.blobs, held.kept), (0, 1));
    assert_eq!(
        get(&world, "icu--other", "a").await.unwrap(),
        sample(70_000)
    );
}

#[tokio::test]
async fn er_1_a_legal_hold_refuses_every_erasure_that_reaches_it() {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    world
        .vault
        .create_dataset(&call, "icu--locked", true)
        .await
        .unwrap();
    let held = put_in(&world, "icu--locked", "a", b"held").await;
    let free = put_in(&world, "icu--locked", "b", b"free").await;
    let at = Place {
        bucket: "icu--locked",
        key: "a",
        version: None,
    };
    let call = world.call(Some("olivia"));
    world.vault.set_hold(&call, at, true).await.unwrap();
    let locked = BucketName::parse("icu--locked", &"icu".parse().unwrap()).unwrap();
    let version = |key: &str, id| EraseScope::Version(key.parse().unwrap(), VersionName::Id(id));
    for scope in [EraseScope::Dataset, object("a"), version("a", held)] {
        let call = world.call(None);
        let refused = world.vault.erase_agreed(&call, &locked, ask(scope)).await;
        assert_eq!(kind(refused), Some(ErrorKind::Locked));
    }
    assert_eq!(get(&world, "icu--locked", "a").await.unwrap(), b"held");
    let call = world.call(None);
    let erased = world
        .vault
        .erase_agreed(&call, &locked, ask(version("b", free)));
    erased.await.unwrap();
    assert_eq!(get(&world, "icu--locked", "a").await.unwrap(), b"held");
}

#[tokio::test]
async fn cr_5_a_rotation_reads_no_data_and_leaves_the_old_key_useless() {
    let mut world = stocked().await;
    let upload = begin(&world, "c").await;
    let part = part(&world, "c", &upload).await;
    let yesterday = Yesterday::of(&world).await;
    let blobs = world.blobs().await;
    let row = rotate(&world).await;
    assert!(row.end.is_some() && row.scope.is_none());
    assert_eq!(world.blobs().await, blobs, "no blob is written or deleted");
    let dataset = id(&world).await;
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [2]);
    for object in world.catalog.writes(&dataset, "", 100).await.unwrap() {
        assert_eq!(table_key_version(&object.sealed_table), Some(2));
    }
    for bucket in [BUCKET, V1] {
        assert_eq!(get(&world, bucket, "a").await.unwrap(), sample(70_000));
    }
    let call = world.call(Some("olivia"));
    world.vault.open_version(&call, V1).await.unwrap();
    let completing = Completing {
        parts: vec![part],
        ..Completing::default()
    };
    let call = world.call(Some("olivia"));
    let made = world
        .vault
        .complete_upload(&call, place("c"), &upload, completing);
    made.await.unwrap();
    assert_eq!(get(&world, BUCKET, "c").await.unwrap(), sample(9));
    rotate(&world).await;
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [3]);
    assert_eq!(get(&world, V1, "b").await.unwrap(), sample(300));
    yesterday.restore(&mut world).await;
    assert_eq!(get(&world, BUCKET, "b").await, Err(ErrorKind::Integrity));
}

#[tokio::test]
async fn er_1_a_published_version_goes_and_what_only_it_had() {
    let world = stocked().await;
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    let gone = world.vault.delete_object(&call, place("a"), none, false);
    gone.await.unwrap();
    let erased = erase(&world, EraseScope::Published(1)).await.unwrap();
    let held = certified(&world, &erased).await.certificate;
    assert_eq!(
        (held.writes, held.bytes),
        (1, 70_000),
        "`b` is still in the dataset"
    );
    assert!(get(&world, V1, "a").await.is_err() && get(&world, V1, "b").await.is_err());
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), sample(300));
    let call = world.call(Some("olivia"));
    assert!(world.vault.open_version(&call, V1).await.is_err());
    let call = world.call(Some("olivia"));
    let next = world.vault.publish(&call, BUCKET).await.unwrap();
    assert_eq!(next.root.number, 2, "no other version gets its number");
    for absent in [1, 7] {
        let again = erase(&world, EraseScope::Published(absent)).await;
        assert_eq!(kind(again), Some(ErrorKind::NoSuchVersion));
    }
}

/// Two vaults over the same: one rotates while the other is between sealing and committing.
#[tokio::test]
async fn cr_5_a_write_that_meets_a_rotation_is_sealed_again() {
    let world = stocked().await;
    let gate = Gate::polite();
    let mut parts = world.parts();
    parts.catalog = Arc::new(Gated::new(Arc::clone(&world.catalog), &gate));
    parts.store = Arc::new(Gated::new(parts.store, &gate));
    let writer = Vault::new(parts, super::support::settings(false));
    for round in 0..8 {
        let key = format!("meets-{round}");
        let call = world.call(Some("olivia"));
        let body = input(&sample(500), 100);
        let new = NewObject::default();
        let put = writer.write_object(&call, place(&key), new, body);
        let (put, _rotated) = tokio::join!(put, rotate(&world));
        put.unwrap();
        assert_eq!(get(&world, BUCKET, &key).await.unwrap(), sample(500));
    }
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Rotate,
    Object,
    Dataset,
}

/// Stops the world at each call of each port, restarts it, and lets it carry on.
async fn crash_everywhere(work: Work) {
    for after in [false, true] {
        let mut at = 1;
        loop {
            let mut world = stocked().await;
            let gate = Gate::new(at, after);
            let mut parts = world.parts();
            parts.catalog = Arc::new(Gated::new(Arc::clone(&parts.catalog), &gate));
            parts.store = Arc::new(Gated::new(Arc::clone(&parts.store), &gate));
            parts.journal = Arc::new(Gated::new(Arc::clone(&parts.journal), &gate));
            let vault = Vault::new(parts, super::support::settings(false));
            let call = world.call(None);
            let done = async {
                match work {
                    Work::Rotate => drop(vault.rotate_key(&call, &bucket()).await.unwrap()),
                    Work::Object => {
                        let (set, one) = (bucket(), ask(object("a")));
                        drop(vault.erase_agreed(&call, &set, one).await.unwrap());
                    }
                    Work::Dataset => {
                        let all = ask(EraseScope::Dataset);
                        drop(vault.erase_agreed(&call, &bucket(), all).await.unwrap());
                    }
                }
            };
            let finished = tokio::select! {
                () = done => true,
                () = gate.stopped() => false,
            };
            world.rewire(|parts| parts);
            check_between(&world, work, at).await;
            let open = world.catalog.open_key_works().await.unwrap();
            world.vault.resume_key_works().await.unwrap();
            let begun = !world
                .catalog
                .key_works(None, None, 9)
                .await
                .unwrap()
                .is_empty();
            check_after(&world, work, begun).await;
            if finished {
                assert!(open.is_empty() && at > 5, "{work:?} has steps to crash at");
                break;
            }
            at += 1;
        }
    }
}

/// Right after the crash: readable or surely gone, never half.
async fn check_between(world: &World, work: Work, at: u64) {
    let all = [get(world, BUCKET, "a").await, get(world, BUCKET, "b").await];
    let [a, b] = &all;
    let whole = |read: &Result<Vec<u8>, ErrorKind>, bytes| *read == Ok(sample(bytes));
    match work {
        Work::Rotate => assert!(whole(a, 70_000) && whole(b, 300), "{at}"),
        Work::Object => {
            let begun = !world
                .catalog
                .key_works(None, None, 9)
                .await
                .unwrap()
                .is_empty();
            assert!(whole(b, 300), "{at}");
            let version = get(world, V1, "a").await;
            assert_eq!(whole(a, 70_000), !begun, "{at}");
            assert_eq!(whole(&version, 70_000), !begun, "{at}");
        }
        Work::Dataset => {
            let there = world.catalog.dataset(&bucket()).await.unwrap().is_some();
            assert_eq!((whole(a, 70_000), whole(b, 300)), (there, there), "{at}");
        }
    }
}

async fn check_after(world: &World, work: Work, begun: bool) {
    assert!(world.catalog.open_key_works().await.unwrap().is_empty());
    let a = get(world, BUCKET, "a").await;
    match work {
        Work::Rotate => assert_eq!(a.unwrap(), sample(70_000)),
        Work::Object => assert_eq!(a.is_err(), begun),
        Work::Dataset => {
            assert_eq!(a.is_err(), begun);
            if begun {
                assert_eq!(world.blobs().await, []);
            }
        }
    }
    for row in world.catalog.key_works(None, None, 9).await.unwrap() {
        if row.scope.is_some() {
            let file = world.vault.erasure_certificate(&row.id).await.unwrap();
            assert!(file.is_some(), "whoever ends it signs");
        }
        let versions = world.keyring.versions_of(&row.dataset).unwrap();
        assert!(versions.iter().all(|version| *version >= row.floor));
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_rotation_loses_nothing() {
    crash_everywhere(Work::Rotate).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_an_erasure_leaves_the_object_or_nothing() {
    crash_everywhere(Work::Object).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_an_erasure_leaves_the_dataset_or_nothing() {
    crash_everywhere(Work::Dataset).await;
}

#[tokio::test]
async fn er_3_erasing_data_erases_no_record() {
    let world = stocked().await;
    get(&world, BUCKET, "a").await.unwrap();
    let before = world.journal.entries();
    erase(&world, EraseScope::Dataset).await.unwrap();
    let after = world.journal.entries();
    assert!(after.starts_with(&before));
    let told = after.iter().skip(before.len()).any(|entry| match entry {
        Entry::Intent { intent, .. } => intent.action == Some(Action::DatasetDelete),
        _ => false,
    });
    assert!(told);
}

#[tokio::test]
async fn a_lost_catalog_comes_back_as_it_was_after_an_erasure() {
    let mut world = stocked().await;
    world.vault.write_snapshot(0).await.unwrap();
    erase(&world, object("a")).await.unwrap();
    rotate(&world).await;
    world.vault.write_snapshot(1).await.unwrap();
    let (before, _) = world.catalog.dump(None, usize::MAX).await.unwrap();
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    world.rewire(|mut parts| {
        parts.catalog = fresh;
        parts
    });
    let found = world.vault.recover(|_| {}).await.unwrap();
    assert_eq!((found.missing_blobs, found.refused_commits), (0, 0));
    let (after, _) = world.catalog.dump(None, usize::MAX).await.unwrap();
    assert!(before == after);
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), sample(300));
}

#[tokio::test]
async fn work_is_one_at_a_time_and_a_key_that_returns_is_destroyed_again() {
    let world = stocked().await;
    let dataset = id(&world).await;
    rotate(&world).await;
    let mut seen = None;
    assert_eq!(world.vault.notice_key_works(&mut seen).await.unwrap(), 0);
    assert!(seen.is_some());
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [2]);
    let none = WriteConditions::default();
    let call = world.call(Some("olivia"));
    let gone = world.vault.delete_object(&call, place("a"), none, false);
    gone.await.unwrap();
    assert_eq!(get(&world, V1, "a").await.unwrap(), sample(70_000));
}
