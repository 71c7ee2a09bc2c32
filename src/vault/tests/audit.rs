//! Records: one for each request, before it is served, and none served without.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use super::support::{BUCKET, World, input, kind, place, sample, unbound};
use crate::catalog::{ListQuery, UploadQuery};
use crate::journal::{Durable, Journal, JournalError, MemoryJournal, SharedJournal};
use crate::ledger::{Completion, Entry, Intent, Outcome, Session, encode};
use crate::store::BlobStore as _;
use crate::store::fault::{GetFault, Injected, PutFault};
use crate::types::{AccessKeyId, BucketName, ByteRange, EventId, GrantId, PrincipalId};
use crate::vault::{
    Call, CardChange, CompletedPart, Completing, CopySource, Doomed, ErrorKind, NewObject, Place,
    ReadAsk, ReadConditions, Span, VaultError, WriteConditions,
};

/// Every use case that an edge can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Read,
    Head,
    Write,
    Copy,
    Delete,
    DeleteMany,
    List,
    ListSets,
    HeadSet,
    CreateSet,
    DeleteSet,
    CreateUpload,
    PutPart,
    CopyPart,
    Complete,
    Abort,
    ListParts,
    ListUploads,
    CreateProject,
    CreatePrincipal,
    CreateCredential,
    RevokeCredential,
    CreateGrant,
    RevokeGrant,
    FoundSet,
    ReadLog,
}

const ALL: [Use; 26] = [
    Use::Read,
    Use::Head,
    Use::List,
    Use::ListSets,
    Use::HeadSet,
    Use::ListParts,
    Use::ListUploads,
    Use::Write,
    Use::Copy,
    Use::CopyPart,
    Use::PutPart,
    Use::CreateUpload,
    Use::Complete,
    Use::Abort,
    Use::Delete,
    Use::DeleteMany,
    Use::CreateSet,
    Use::DeleteSet,
    Use::CreateProject,
    Use::CreatePrincipal,
    Use::CreateCredential,
    Use::RevokeCredential,
    Use::CreateGrant,
    Use::RevokeGrant,
    Use::FoundSet,
    Use::ReadLog,
];

/// What use cases act on: an object `k`, an upload of `k` with one part.
struct Stage {
    upload: String,
    etag: String,
    access_key: AccessKeyId,
    grant: GrantId,
    world: World,
}

async fn stage() -> Stage {
    let world = World::new().await;
    world.put("olivia", "k", &sample(70_000)).await.unwrap();
    let call = world.call(Some("olivia"));
    let vault = &world.vault;
    let upload = vault.create_upload(&call, place("k"), NewObject::default(), None);
    let upload = upload.await.unwrap().id.to_string();
    let call = world.call(Some("olivia"));
    let part = vault.put_part(&call, place("k"), &upload, 1, input(b"part", 9));
    let etag = part.await.unwrap().0.etag.to_string();
    let call = world.call(None);
    let made = vault.create_credential(&call, "olivia".parse().unwrap(), unbound());
    let access_key = made.await.unwrap().id;
    let grant = world.grant("stan", "operator").await;
    Stage {
        upload,
        etag,
        access_key,
        grant,
        world,
    }
}

/// Asks once; true bytes that were handed out are counted.
async fn ask(
    stage: &Stage,
    use_case: Use,
    call: &Call,
    place: Place<'_>,
) -> (u64, Result<(), VaultError>) {
    let mut bytes = 0;
    let result = if use_case == Use::Read {
        read(stage, call, place, &mut bytes).await
    } else if let Some(result) = on_objects(stage, use_case, call, place).await {
        result
    } else {
        elsewhere(stage, use_case, call, place.bucket).await
    };
    (bytes, result)
}

async fn read(
    stage: &Stage,
    call: &Call,
    place: Place<'_>,
    bytes: &mut u64,
) -> Result<(), VaultError> {
    let vault = &stage.world.vault;
    let mut reading = vault.read_object(call, place, ReadAsk::default()).await?;
    while let Some(piece) = reading.body.next().await {
        *bytes += piece?.len() as u64;
    }
    Ok(())
}

async fn on_objects(
    stage: &Stage,
    use_case: Use,
    call: &Call,
    place: Place<'_>,
) -> Option<Result<(), VaultError>> {
    let (vault, upload) = (&stage.world.vault, stage.upload.as_str());
    let from = CopySource {
        place,
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let none = WriteConditions::default();
    let body = || input(&sample(70_000), 4096);
    let new = NewObject::default();
    let completing = Completing {
        parts: vec![CompletedPart {
            number: 1,
            etag: stage.etag.clone(),
            checksums: Vec::new(),
        }],
        ..Completing::default()
    };
    Some(match use_case {
        Use::Head => vault
            .head_object(call, place, ReadAsk::default())
            .await
            .map(drop),
        Use::Write => vault.write_object(call, place, new, body()).await.map(drop),
        Use::Copy => vault
            .copy_object(call, from, place, None, none)
            .await
            .map(drop),
        Use::Delete => vault
            .delete_object(call, place, none, false)
            .await
            .map(drop),
        Use::CreateUpload => vault.create_upload(call, place, new, None).await.map(drop),
        Use::PutPart => vault
            .put_part(call, place, upload, 1, body())
            .await
            .map(drop),
        Use::CopyPart => vault
            .copy_part(call, from, place, upload, 2)
            .await
            .map(drop),
        Use::Complete => vault
            .complete_upload(call, place, upload, completing)
            .await
            .map(drop),
        Use::Abort => vault.abort_upload(call, place, upload).await,
        Use::ListParts => vault.list_parts(call, place, upload, 0, 10).await.map(drop),
        _ => return None,
    })
}

fn doomed(key: &str) -> Doomed {
    Doomed {
        key: key.to_owned(),
        ..Doomed::default()
    }
}

async fn elsewhere(
    stage: &Stage,
    use_case: Use,
    call: &Call,
    bucket: &str,
) -> Result<(), VaultError> {
    let vault = &stage.world.vault;
    let olivia = || "olivia".parse().unwrap();
    match use_case {
        Use::DeleteMany => {
            let keys = vec![doomed("k")];
            let mut ended = vault.delete_objects(call, bucket, keys).await?;
            ended.pop().map_or(Ok(()), |(_, result)| result.map(drop))
        }
        Use::List => vault
            .list_objects(call, bucket, ListQuery::default())
            .await
            .map(drop),
        Use::ListSets => vault.list_datasets(call).await.map(drop),
        Use::HeadSet => vault.head_dataset(call, bucket).await.map(drop),
        Use::CreateSet => vault.create_dataset(call, bucket, false).await.map(drop),
        Use::DeleteSet => vault.delete_dataset(call, bucket).await,
        Use::ListUploads => vault
            .list_uploads(call, bucket, UploadQuery::default())
            .await
            .map(drop),
        Use::CreateProject => vault
            .create_project(call, "new".parse().unwrap())
            .await
            .map(drop),
        Use::CreatePrincipal => vault
            .create_principal(call, "newcomer".parse().unwrap(), None)
            .await
            .map(drop),
        Use::CreateCredential => vault
            .create_credential(call, olivia(), unbound())
            .await
            .map(drop),
        Use::RevokeCredential => {
            let key = stage.access_key.clone();
            vault.revoke_credential(call, key).await
        }
        Use::CreateGrant => {
            let grant = stage.world.draft("stan", "reader");
            vault.create_grant(call, grant).await.map(drop)
        }
        Use::RevokeGrant => {
            let icu = "icu".parse().unwrap();
            vault.revoke_grant(call, (&icu, stage.grant), None).await
        }
        Use::FoundSet => {
            let bucket = BucketName::parse("icu--made", &"icu".parse().unwrap()).unwrap();
            let owner: PrincipalId = olivia();
            let made = vault.found_dataset(call, bucket, Some(&owner), CardChange::default());
            made.await.map(drop)
        }
        Use::ReadLog => vault.record_log_reading(call, "all").await,
        other => panic!("{other:?} is no such use case"),
    }
}

/// The events of the entries behind the first `before`, each with how many times it began and
/// ended.
fn events(journal: &MemoryJournal, before: usize) -> Vec<(EventId, usize, usize)> {
    let mut events: Vec<(EventId, usize, usize)> = Vec::new();
    for entry in journal.entries().split_off(before) {
        let Some(event) = entry.event() else { continue };
        let at = events.iter().position(|(known, ..)| *known == event);
        let at = at.unwrap_or_else(|| {
            events.push((event, 0, 0));
            events.len() - 1
        });
        let (begun, ended) = match entry {
            Entry::Intent { .. } => (1, 0),
            Entry::Completion(_) => (0, 1),
            Entry::Whole { .. } => (1, 1),
            _ => (0, 0),
        };
        events[at].1 += begun;
        events[at].2 += ended;
    }
    events
}

#[tokio::test]
async fn requests_and_records_are_as_many() {
    let scenes = [
        ("allowed", Some("olivia"), BUCKET, "k"),
        ("denied", Some("stan"), BUCKET, "k"),
        ("unknown", Some("nobody-knows-her"), BUCKET, "k"),
        ("nobody", None, BUCKET, "k"),
        ("absent", Some("olivia"), BUCKET, "absent"),
        ("absent dataset", Some("olivia"), "icu--absent", "k"),
        ("foreign project", Some("olivia"), "other--x", "k"),
        ("bad key", Some("olivia"), BUCKET, "a/../b"),
        ("empty key", Some("olivia"), BUCKET, ""),
        ("bad bucket", Some("olivia"), "NO_BUCKET", "k"),
        ("store fails", Some("olivia"), BUCKET, "k"),
    ];
    for (name, who, bucket, key) in scenes {
        for use_case in ALL {
            let stage = stage().await;
            let world = &stage.world;
            if name == "store fails" {
                world.faults.always_get(GetFault::Error(Injected::Failed));
                world.faults.always_put(PutFault::Error(Injected::Failed));
            }
            let before = world.journal.entries().len();
            let call = world.call(who);
            let (_, result) = ask(
                &stage,
                use_case,
                &call,
                Place {
                    bucket,
                    key,
                    version: None,
                },
            )
            .await;
            let why = format!("{name} {use_case:?} {result:?}");
            assert!(call.is_recorded(), "{why}");
            let events = events(&world.journal, before);
            assert_eq!(events.len(), 1, "{why}");
            let (event, begun, ended) = events[0];
            assert_eq!((begun, ended), (1, 1), "{why}");
            assert!(event == call.event || use_case == Use::DeleteMany, "{why}");
            let completion = world.last_completion();
            assert_eq!(
                completion.outcome == Outcome::Success,
                result.is_ok(),
                "{why}"
            );
        }
    }
}

#[tokio::test]
async fn without_a_log_nothing_is_served_and_nothing_changes() {
    for use_case in ALL {
        for who in ["olivia", "stan"] {
            let stage = stage().await;
            let world = &stage.world;
            world.journal.refuse(true);
            let before = (
                world.journal.entries(),
                world.catalog.change_seq().await.unwrap(),
                world.blobs().await,
            );
            let call = world.call(Some(who));
            let (bytes, result) = ask(&stage, use_case, &call, place("k")).await;
            let why = format!("{use_case:?} as {who}");
            assert_eq!(kind(result), Some(ErrorKind::LogUnavailable), "{why}");
            assert_eq!(bytes, 0, "{why}");
            assert!(!call.is_recorded(), "{why}");
            let after = (
                world.journal.entries(),
                world.catalog.change_seq().await.unwrap(),
                world.blobs().await,
            );
            assert!(before == after, "{why}");
            assert_eq!(world.faults.calls()[0], 2, "no PUT was tried: {why}");
            world.journal.refuse(false);
            let call = world.call(Some(who));
            let (_, result) = ask(&stage, use_case, &call, place("k")).await;
            assert_ne!(kind(result), Some(ErrorKind::LogUnavailable), "{why}");
            assert!(call.is_recorded(), "{why}");
        }
    }
}

/// Holds every record back until it is told to go on.
struct Slow {
    inner: Arc<MemoryJournal>,
    go: Arc<Semaphore>,
}

impl Slow {
    async fn wait(&self) {
        self.go.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Journal for Slow {
    fn begin(&self, session: &Arc<Session>, intent: Intent) -> Durable {
        let (go, inner) = (Arc::clone(&self.go), Arc::clone(&self.inner));
        let session = Arc::clone(session);
        Box::pin(async move {
            go.acquire().await.unwrap().forget();
            inner.begin(&session, intent).await
        })
    }

    async fn note(
        &self,
        session: &Arc<Session>,
        intent: Intent,
        completion: Completion,
    ) -> Result<(), JournalError> {
        self.wait().await;
        self.inner.note(session, intent, completion).await
    }

    async fn policy(&self, version: [u8; 32], text: &str) -> Result<(), JournalError> {
        self.inner.policy(version, text).await
    }

    fn ready(&self) -> Result<(), JournalError> {
        self.inner.ready()
    }

    fn waiting(&self) -> usize {
        self.inner.waiting()
    }

    fn durable(&self) -> u64 {
        self.inner.durable()
    }

    async fn close(&self) -> Result<(), JournalError> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn no_answer_comes_before_its_record() {
    for use_case in ALL {
        let mut stage = stage().await;
        let slow = Arc::new(Slow {
            inner: Arc::clone(&stage.world.journal),
            go: Arc::new(Semaphore::new(0)),
        });
        let shared = Arc::clone(&slow) as SharedJournal;
        stage.world.rewire(|mut parts| {
            parts.journal = shared;
            parts
        });
        let world = &stage.world;
        let seq = world.catalog.change_seq().await.unwrap();
        let puts = world.faults.calls()[0];
        let call = world.call(Some("olivia"));
        let mut asked = Box::pin(ask(&stage, use_case, &call, place("k")));
        for _ in 0..20 {
            let poll = futures_util::poll!(&mut asked);
            assert!(poll.is_pending(), "{use_case:?}");
            tokio::task::yield_now().await;
        }
        assert_eq!(
            world.catalog.change_seq().await.unwrap(),
            seq,
            "{use_case:?}"
        );
        assert_eq!(world.faults.calls()[0], puts, "{use_case:?}");
        slow.go.add_permits(1);
        let (_, result) = asked.await;
        assert_ne!(
            kind(result),
            Some(ErrorKind::LogUnavailable),
            "{use_case:?}"
        );
    }
}

#[tokio::test]
async fn a_reader_who_stops_half_way_is_recorded_with_what_she_took() {
    let world = World::new().await;
    world.put("olivia", "k", &sample(200_000)).await.unwrap();
    for taken in 0..4 {
        let before = world.journal.entries().len();
        let call = world.call(Some("job-1"));
        let ask = ReadAsk {
            span: Span::From(10),
            ..ReadAsk::default()
        };
        let reading = world.vault.read_object(&call, place("k"), ask).await;
        let mut body = reading.unwrap().body;
        let mut bytes = 0;
        for _ in 0..taken {
            bytes += body.next().await.unwrap().unwrap().len() as u64;
        }
        world.wait(5);
        drop(body);
        let entries = world.journal.entries().split_off(before);
        let order: Vec<_> = entries
            .iter()
            .filter(|entry| entry.event() == Some(call.event))
            .collect();
        let [Entry::Intent { intent, .. }, Entry::Completion(end)] = order[..] else {
            panic!("intent, then completion: {order:?}")
        };
        assert_eq!(intent.range.map(ByteRange::start), Some(10));
        assert!(intent.policy.as_ref().is_some_and(|policy| policy.allowed));
        assert_eq!((end.outcome, end.bytes), (Outcome::Aborted, bytes));
        assert_eq!(end.object_bytes, Some(200_000));
        assert_eq!(end.time.since(intent.time), 5);
    }
}

#[tokio::test]
async fn a_copy_names_its_source() {
    let world = World::new().await;
    world.put("olivia", "source", b"x").await.unwrap();
    let from = CopySource {
        place: place("source"),
        conditions: ReadConditions::default(),
        span: Span::All,
    };
    let call = world.call(Some("olivia"));
    let none = WriteConditions::default();
    let copied = world
        .vault
        .copy_object(&call, from, place("target"), None, none);
    copied.await.unwrap();
    let entries = world.journal.entries();
    let intent = entries.iter().find_map(|entry| match entry {
        Entry::Intent { intent, .. } if intent.event == call.event => Some(intent),
        _ => None,
    });
    let intent = intent.unwrap();
    let key = |object: &crate::ledger::ObjectRef| object.key.as_ref().unwrap().to_string();
    assert_eq!(key(&intent.object), "target");
    assert_eq!(key(intent.source_object.as_ref().unwrap()), "source");
}

#[tokio::test]
async fn many_deletions_are_many_records() {
    let world = World::new().await;
    for n in 0..100 {
        world.put("olivia", &format!("d/{n}"), b"x").await.unwrap();
    }
    let before = world.journal.entries().len();
    let keys: Vec<_> = (0..100)
        .map(|n| doomed(&format!("d/{n}")))
        .chain([doomed("a/../b")])
        .collect();
    let call = world.call(Some("olivia"));
    let ended = world
        .vault
        .delete_objects(&call, BUCKET, keys.clone())
        .await;
    let ended = ended.unwrap();
    let order: Vec<_> = ended.iter().map(|(one, _)| one.clone()).collect();
    assert_eq!(order, keys);
    assert_eq!(ended.iter().filter(|(_, end)| end.is_ok()).count(), 100);
    let events = events(&world.journal, before);
    assert_eq!(events.len(), 101);
    assert!(
        events
            .iter()
            .all(|(_, begun, ended)| (*begun, *ended) == (1, 1))
    );
    assert!(world.names("olivia", "").await.unwrap().is_empty());
    let too_many = vec![doomed("k"); 1001];
    let call = world.call(Some("olivia"));
    let refused = world.vault.delete_objects(&call, BUCKET, too_many).await;
    assert_eq!(kind(refused), Some(ErrorKind::InvalidArgument));
    assert!(call.is_recorded());
}

#[tokio::test]
async fn the_log_holds_neither_contents_nor_secrets() {
    let stage = stage().await;
    let world = &stage.world;
    let canary = b"canary-5f1c-plaintext";
    world.put("olivia", "k", canary).await.unwrap();
    world.drain("job-1", "k", Span::All).await;
    let call = world.call(None);
    let made = world
        .vault
        .create_credential(&call, "olivia".parse().unwrap(), unbound());
    let secret = made.await.unwrap().secret;
    world.vault.identity(&stage.access_key).await.unwrap();
    let mut log = Vec::new();
    for entry in world.journal.entries() {
        encode(&entry, &mut log).unwrap();
    }
    let holds = |needle: &[u8]| log.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"olivia"), "the search works");
    assert!(!holds(&canary[..]));
    assert!(!holds(secret.expose().as_bytes()));
    assert_eq!(
        world.clock.0.load(Ordering::SeqCst),
        world.vault.now().millis()
    );
    // The store holds the canary as little as the log.
    for blob in world.blobs().await {
        let sealed = world.store.sealed(blob).unwrap();
        assert!(!sealed.windows(canary.len()).any(|window| window == canary));
    }
    assert!(!world.faults.list(None, 10).await.unwrap().is_empty());
}
