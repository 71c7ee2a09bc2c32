//! Erasure and rotation: what is gone is gone with yesterday's catalog and store too, what is not
//! stays, and a crash at any step leaves the one or the other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};

use super::ports::{Gate, Gated};
use super::support::{BUCKET, World, input, kind, place, sample};
use crate::catalog::{EraseScope, KeyWorkRow, MemoryCatalog, Mutation, SharedCatalog};
use crate::ledger::Entry;
use crate::ledger::erasure::{Certificate, Certified};
use crate::ledger::tlog::{KeyKind, Signer};
use crate::seal::table_key_version;
use crate::store::BlobStore as _;
use crate::types::{
    ActKind, Action, ApprovalId, BlobId, BucketName, DatasetId, ProjectName, VersionId,
    VersionName, Versioning,
};
use crate::vault::keywork::Agreed;
use crate::vault::{
    ActDraft, CompletedPart, Completing, CopySource, ErrorKind, NewObject, Noticed, Place, ReadAsk,
    ReadConditions, Span, Vault, VaultError, WriteConditions,
};

pub(super) const V1: &str = "icu--ecg--v1";

pub(super) fn bucket() -> BucketName {
    BucketName::parse(BUCKET, &"icu".parse().unwrap()).unwrap()
}

pub(super) fn ask(scope: EraseScope) -> Agreed {
    Agreed {
        scope,
        reason: "withdrawn consent".into(),
        persons: vec!["olivia".parse().unwrap(), "oscar".parse().unwrap()],
    }
}

pub(super) fn object(key: &str) -> EraseScope {
    EraseScope::Object(key.parse().unwrap())
}

/// `a` and `b` in the dataset, and both published.
pub(super) async fn stocked() -> World {
    let world = World::new().await;
    stock(&world).await;
    world
}

pub(super) async fn stock(world: &World) {
    world.put("olivia", "a", &sample(70_000)).await.unwrap();
    world.put("olivia", "b", &sample(300)).await.unwrap();
    let call = world.call(Some("olivia"));
    world.vault.publish(&call, BUCKET).await.unwrap();
}

pub(super) async fn erase(world: &World, scope: EraseScope) -> Result<KeyWorkRow, VaultError> {
    let call = world.call(None);
    let erased = world.vault.erase_agreed(&call, &bucket(), ask(scope)).await;
    assert!(call.is_recorded(), "every erasure is recorded");
    erased
}

pub(super) async fn rotate(world: &World) -> KeyWorkRow {
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

pub(super) async fn get(world: &World, bucket: &str, key: &str) -> Result<Vec<u8>, ErrorKind> {
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

/// What the record of a read says beside object and range.
async fn read_words(world: &World) -> Option<String> {
    get(world, BUCKET, "b").await.unwrap();
    let entries = world.journal.entries().into_iter().rev();
    let mut reads = entries.filter_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.action == Some(Action::ObjectRead) => Some(intent),
        _ => None,
    });
    reads.next().unwrap().query
}

pub(super) async fn put_in(world: &World, bucket: &str, key: &str, bytes: &[u8]) -> VersionId {
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

pub(super) async fn begin(world: &World, key: &str) -> String {
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
pub(super) async fn certified(world: &World, row: &KeyWorkRow) -> Certified {
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
    let oscar = world.call(None);
    let made = world
        .vault
        .create_principal(&oscar, "oscar".parse().unwrap(), None);
    made.await.unwrap();
    world.grant("oscar", "owner").await;
    let exporter = crate::policy::Grant {
        approver: "oscar".parse().unwrap(),
        ..world.draft("olivia", "exporter")
    };
    world.make_grant(exporter).await.unwrap();
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
    let before = read_words(&world).await;
    assert_eq!(before, None, "the first key goes without saying");
    let row = rotate(&world).await;
    assert_eq!(read_words(&world).await.as_deref(), Some("key=2"));
    assert!(row.end.is_some() && row.scope.is_none());
    assert_eq!(world.blobs().await, blobs, "no blob is written or deleted");
    let dataset = id(&world).await;
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [2]);
    for object in world.catalog.writes(&dataset, None, 100).await.unwrap() {
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

#[tokio::test]
async fn er_3_erasing_data_erases_no_record() {
    let world = stocked().await;
    get(&world, BUCKET, "a").await.unwrap();
    let before = world.journal.entries();
    erase(&world, EraseScope::Dataset).await.unwrap();
    let after = world.journal.entries();
    assert!(after.starts_with(&before));
    let told = after.iter().skip(before.len()).any(|entry| match entry {
        Entry::Whole { intent, .. } => intent.action == Some(Action::DatasetDelete),
        _ => false,
    });
    assert!(told);
}

#[tokio::test]
async fn a_lost_catalog_comes_back_as_it_was_after_an_erasure() {
    let mut world = stocked().await;
    world.vault.write_snapshot().await.unwrap();
    erase(&world, object("a")).await.unwrap();
    rotate(&world).await;
    world.vault.write_snapshot().await.unwrap();
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
async fn op_3_a_drill_opens_everything_and_names_what_does_not_open() {
    let mut world = stocked().await;
    rotate(&world).await;
    world.vault.write_snapshot().await.unwrap();
    let fresh: SharedCatalog = Arc::new(MemoryCatalog::new());
    world.rewire(|mut parts| {
        parts.catalog = fresh;
        parts
    });
    world.vault.recover(|_| {}).await.unwrap();
    let whole = world.vault.drill(|_| {}).await.unwrap();
    assert_eq!((whole.datasets, whole.readable, whole.broken), (1, 4, 0));
    assert_eq!(
        whole.bytes,
        2 * 70_300,
        "the dataset and its published version"
    );
    let table = world
        .catalog
        .writes(&id(&world).await, None, 9)
        .await
        .unwrap();
    let table = world.vault.open_object(&table[0]).unwrap();
    let blob = table.extents()[0].blob;
    let mut bent = world.store.sealed(blob).unwrap().to_vec();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    world.store.tamper(blob, bent.into());
    let broken = world.vault.drill(|_| {}).await.unwrap();
    assert_eq!((broken.readable, broken.broken), (2, 2));
    assert_eq!(broken.names, ["icu--ecg/a", "icu--ecg/a"]);
}

#[tokio::test]
async fn work_is_one_at_a_time_and_a_key_that_returns_is_destroyed_again() {
    let world = stocked().await;
    let dataset = id(&world).await;
    rotate(&world).await;
    let mut noticed = Noticed::default();
    let noted = world.vault.notice_key_works(&mut noticed).await;
    assert_eq!(noted.unwrap(), 0);
    assert_eq!(world.keyring.versions_of(&dataset).unwrap(), [2]);
    let none = WriteConditions::default();
    let call = world.call(Some("olivia"));
    let gone = world.vault.delete_object(&call, place("a"), none, false);
    gone.await.unwrap();
    assert_eq!(get(&world, V1, "a").await.unwrap(), sample(70_000));
}

/// Two owners, over the ways that persons take.
pub(super) async fn agree(world: &World, what: &str) -> ApprovalId {
    let draft = ActDraft {
        kind: ActKind::Erase,
        project: "icu".parse().unwrap(),
        dataset: Some("ecg".parse().unwrap()),
        terms: vec![("what".to_owned(), what.to_owned())],
        reason: "withdrawn consent".to_owned(),
    };
    let call = world.call(Some("olivia"));
    let row = world.vault.ask_act(&call, draft).await.unwrap();
    row.id
}

#[tokio::test]
async fn az_10_an_erasure_takes_two_persons_and_exactly_what_they_agreed_on() {
    let world = stocked().await;
    let call = world.call(None);
    let oscar = world
        .vault
        .create_principal(&call, "oscar".parse().unwrap(), None);
    oscar.await.unwrap();
    world.grant("oscar", "owner").await;
    let icu: ProjectName = "icu".parse().unwrap();
    let run = async |who: Option<&str>, id| {
        let call = world.call(who);
        let erased = world.vault.erase(&call, (&icu, id)).await;
        assert!(call.is_recorded(), "done or refused, it is in the log");
        erased.map_err(|error| error.kind())
    };
    let id = agree(&world, "object=a").await;
    let early = run(Some("olivia"), id).await;
    assert!(early.is_err(), "nobody approved yet");
    let call = world.call(Some("oscar"));
    world.vault.approve_act(&call, (&icu, id)).await.unwrap();
    for other in ["oscar", "ruben", "stan", "job-1"] {
        let refused = run(Some(other), id).await;
        assert_eq!(refused, Err(ErrorKind::AccessDenied), "{other}");
    }
    assert_eq!(get(&world, BUCKET, "a").await.unwrap(), sample(70_000));
    let row = run(Some("olivia"), id).await.unwrap();
    let held = certified(&world, &row).await.certificate;
    assert_eq!(
        (held.asked_by.as_str(), held.approved_by.as_str()),
        ("olivia", "oscar")
    );
    assert!(get(&world, BUCKET, "a").await.is_err());
    assert!(run(Some("olivia"), id).await.is_err(), "once");
    assert_eq!(get(&world, BUCKET, "b").await.unwrap(), sample(300));
    // On the host, by whoever holds no right: only what two persons agreed on.
    let id = agree(&world, "dataset").await;
    assert!(run(None, id).await.is_err());
    world
        .vault
        .approve_act(&world.call(Some("oscar")), (&icu, id))
        .await
        .unwrap();
    run(None, id).await.unwrap();
    assert!(get(&world, BUCKET, "b").await.is_err());
}
