//! Doubles of the ports: one that stops the world at the k'th call, one that alters rows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{future::pending, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use crate::catalog::{
    ApprovalRow, Catalog, CatalogError, Chain, CredentialRow, DatasetRow, ErasedWrite, IdentityRow,
    KeyWorkRow, ListQuery, MarkerRow, Mutation, NoticeMark, NoticeRow, ObjectRow, Origin, Page,
    PartPage, PrincipalRow, ProjectRow, PublicationRow, RosterEntry, RosterKind, Setting,
    SettingKind, SharedCatalog, UploadPage, UploadQuery, UploadRow, Version, VersionPage,
    VersionQuery,
};
use crate::journal::{Durable, Journal, JournalError, SharedJournal};
use crate::ledger::{Completion, Intent, Session};
use crate::policy::Grant;
use crate::store::{BlobBody, BlobEntry, BlobStore, BlobStream, SharedStore, StoreError};
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, BucketName, DatasetId, GrantId, KeyWorkId, ObjectKey,
    PrincipalId, ProjectName, PublicationId, Timestamp, UploadId, VersionId, VersionName,
};

/// Counts the calls of all ports and stops at one of them, for ever: what was acknowledged before
/// is durable, the rest is lost.
pub(super) struct Gate {
    calls: AtomicU64,
    at: u64,
    /// Whether the effect of the last call happens, unseen by its caller.
    after: bool,
    /// Whether each call lets other tasks go first.
    polite: bool,
    stopped: Notify,
    /// The turn of the catalog's one writer.
    turn: Arc<Semaphore>,
    /// Commits that were asked for.
    queued: AtomicU64,
}

impl Gate {
    pub(super) fn new(at: u64, after: bool) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            at,
            after,
            polite: false,
            stopped: Notify::new(),
            turn: Arc::new(Semaphore::new(1)),
            queued: AtomicU64::new(0),
        })
    }

    /// A gate that stops nothing: before each call, whatever else is under way makes one step.
    pub(super) fn polite() -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            at: u64::MAX,
            after: false,
            polite: true,
            stopped: Notify::new(),
            turn: Arc::new(Semaphore::new(1)),
            queued: AtomicU64::new(0),
        })
    }

    /// The writer's turn: while a test has it, commits wait.
    pub(super) fn turn(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turn)
    }

    pub(super) fn queued(&self) -> u64 {
        self.queued.load(Ordering::SeqCst)
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Returns when the world stands still.
    pub(super) async fn stopped(&self) {
        self.stopped.notified().await;
    }

    async fn pass<T>(&self, call: impl Future<Output = T> + Send) -> T {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if self.polite {
            tokio::task::yield_now().await;
        }
        if number < self.at {
            return call.await;
        }
        let effect = number == self.at && self.after;
        if effect {
            let _unseen: T = call.await;
        }
        self.stopped.notify_one();
        pending().await
    }
}

/// Alters an object's row on its way out.
pub(super) type Bend = Box<dyn Fn(&mut ObjectRow) + Send + Sync>;

/// Any port behind a gate.
pub(super) struct Gated<P> {
    pub(super) inner: P,
    pub(super) gate: Arc<Gate>,
    pub(super) bend: Mutex<Option<Bend>>,
}

impl<P> Gated<P> {
    pub(super) fn new(inner: P, gate: &Arc<Gate>) -> Self {
        Self {
            inner,
            gate: Arc::clone(gate),
            bend: Mutex::new(None),
        }
    }
}

#[async_trait]
impl BlobStore for Gated<SharedStore> {
    fn presign(&self, id: BlobId, seconds: u64) -> Option<String> {
        Some(format!("https://store.example/{id}?seconds={seconds}"))
    }

    async fn put(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.gate.pass(self.inner.put(id, bytes, body)).await
    }

    async fn put_new(&self, id: BlobId, bytes: u64, body: BlobBody) -> Result<(), StoreError> {
        self.gate.pass(self.inner.put_new(id, bytes, body)).await
    }

    async fn get(
        &self,
        id: BlobId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        self.gate.pass(self.inner.get(id, range, whole)).await
    }

    async fn delete(&self, id: BlobId) -> Result<(), StoreError> {
        self.gate.pass(self.inner.delete(id)).await
    }

    async fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, StoreError> {
        self.gate.pass(self.inner.list(after, limit)).await
    }

    async fn probe(&self, id: BlobId) -> Result<(), StoreError> {
        self.gate.pass(self.inner.probe(id)).await
    }
}

#[async_trait]
impl Journal for Gated<SharedJournal> {
    fn begin(&self, session: &Arc<Session>, intent: Intent) -> Durable {
        let (gate, inner) = (Arc::clone(&self.gate), Arc::clone(&self.inner));
        let session = Arc::clone(session);
        Box::pin(async move { gate.pass(inner.begin(&session, intent)).await })
    }

    async fn note(
        &self,
        session: &Arc<Session>,
        intent: Intent,
        completion: Completion,
    ) -> Result<(), JournalError> {
        let note = self.inner.note(session, intent, completion);
        self.gate.pass(note).await
    }

    async fn policy(&self, version: [u8; 32], text: &str) -> Result<(), JournalError> {
        self.gate.pass(self.inner.policy(version, text)).await
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

macro_rules! gated {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Catalog for Gated<SharedCatalog> {
            async fn object(
                &self,
                dataset: &DatasetId,
                key: &ObjectKey,
            ) -> Result<Option<ObjectRow>, CatalogError> {
                let mut row = self.gate.pass(self.inner.object(dataset, key)).await?;
                if let (Some(row), Ok(bend)) = (&mut row, self.bend.lock())
                    && let Some(bend) = bend.as_ref()
                {
                    bend(row);
                }
                Ok(row)
            }

            /// Done in its turn, whether or not anybody still waits for it.
            async fn commit(&self, mutations: Vec<Mutation>) -> Result<(), CatalogError> {
                let (inner, turn) = (Arc::clone(&self.inner), self.gate.turn());
                let commit = async {
                    let queued = tokio::task::spawn(async move {
                        let _turn = turn.acquire().await;
                        inner.commit(mutations).await
                    });
                    let _before = self.gate.queued.fetch_add(1, Ordering::SeqCst);
                    queued.await.expect("it does not panic")
                };
                self.gate.pass(commit).await
            }

            async fn claim_unreferenced(
                &self,
                before: Timestamp,
                limit: usize,
            ) -> Result<Vec<BlobId>, CatalogError> {
                let claim = async {
                    let _turn = self.gate.turn.acquire().await;
                    self.inner.claim_unreferenced(before, limit).await
                };
                self.gate.pass(claim).await
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, CatalogError> {
                self.gate.pass(self.inner.$name($($arg),*)).await
            })*
        }
    };
}

gated! {
    generation() -> u64;
    project(name: &ProjectName) -> Option<ProjectRow>;
    projects(after: Option<&ProjectName>, limit: usize) -> Vec<ProjectRow>;
    dataset(bucket: &BucketName) -> Option<DatasetRow>;
    datasets(after: Option<&BucketName>, limit: usize) -> Vec<DatasetRow>;
    principal(id: &PrincipalId) -> Option<PrincipalRow>;
    credential(id: &AccessKeyId) -> Option<CredentialRow>;
    credentials(principal: &PrincipalId, limit: usize) -> Vec<CredentialRow>;
    grants_of(project: &ProjectName, principal: &PrincipalId) -> Vec<Grant>;
    grants(project: &ProjectName, limit: usize) -> Vec<Grant>;
    projects_of(principal: &PrincipalId) -> Vec<ProjectName>;
    grant(id: &GrantId) -> Option<Grant>;
    groups_of(principal: &PrincipalId) -> Vec<PrincipalId>;
    members(group: &PrincipalId, after: Option<&PrincipalId>, limit: usize) -> Vec<PrincipalId>;
    identity(issuer: &str, subject: &str) -> Option<IdentityRow>;
    identities_of(principal: &PrincipalId, limit: usize) -> Vec<IdentityRow>;
    roster(kind: RosterKind, name: &str) -> Option<RosterEntry>;
    roster_page(kind: RosterKind, after: &str, limit: usize) -> Vec<(String, RosterEntry)>;
    grant_uses(project: &ProjectName, limit: usize) -> Vec<(GrantId, Timestamp)>;
    credential_uses(principal: &PrincipalId, limit: usize) -> Vec<(AccessKeyId, Timestamp)>;
    notices(to: &PrincipalId, before: Option<NoticeMark>, limit: usize) -> Vec<NoticeRow>;
    approval(id: &ApprovalId) -> Option<ApprovalRow>;
    waiting(project: &ProjectName, now: Timestamp, limit: usize) -> Vec<ApprovalRow>;
    approvals(project: &ProjectName, limit: usize) -> Vec<ApprovalRow>;
    version(dataset: &DatasetId, key: &ObjectKey, name: &VersionName) -> Option<Version>;
    latest_marker(dataset: &DatasetId, key: &ObjectKey) -> Option<MarkerRow>;
    origin(dataset: &DatasetId, key: &ObjectKey, version: &VersionId) -> Option<Origin>;
    versions(dataset: &DatasetId, query: &VersionQuery) -> VersionPage;
    setting(dataset: &DatasetId, kind: SettingKind) -> Option<Setting>;
    list(dataset: &DatasetId, query: &ListQuery) -> Page;
    upload(id: &UploadId) -> Option<UploadRow>;
    uploads(dataset: &DatasetId, query: &UploadQuery) -> UploadPage;
    parts(upload: &UploadId, after: u32, limit: usize) -> PartPage;
    known_blobs(ids: &[BlobId]) -> Vec<bool>;
    change_seq() -> u64;
    changes(after: u64, bytes_max: usize) -> Vec<(u64, Bytes)>;
    chain() -> Option<Chain>;
    keep_chain(chain: &Chain) -> ();
    publication(dataset: &DatasetId, number: u32) -> Option<PublicationRow>;
    publications(dataset: &DatasetId, after: u32, limit: usize) -> Vec<PublicationRow>;
    stale_publications(before: Timestamp, limit: usize) -> Vec<PublicationRow>;
    unissued(
        dataset: &DatasetId,
        after: Option<PublicationId>,
        limit: usize
    ) -> Vec<PublicationRow>;
    frozen(publication: &PublicationId, key: &ObjectKey) -> Option<ObjectRow>;
    frozen_from(publication: &PublicationId, from: &str, limit: usize) -> Vec<ObjectRow>;
    list_frozen(publication: &PublicationId, query: &ListQuery) -> Page;
    key_works(
        dataset: Option<&DatasetId>,
        after: Option<(Timestamp, KeyWorkId)>,
        limit: usize
    ) -> Vec<KeyWorkRow>;
    open_key_works() -> Vec<KeyWorkRow>;
    key_work(id: &KeyWorkId) -> Option<KeyWorkRow>;
    erased(id: &KeyWorkId, from: u64, limit: usize) -> Vec<ErasedWrite>;
    doomed(id: &KeyWorkId, limit: usize) -> (Vec<BlobId>, u64);
    writes(
        dataset: &DatasetId,
        after: Option<(&ObjectKey, VersionId)>,
        limit: usize
    ) -> Vec<ObjectRow>;
    dump(cursor: Option<Bytes>, bytes_max: usize) -> (Vec<Mutation>, Option<Bytes>);
}
