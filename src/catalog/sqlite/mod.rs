//! The embedded catalog: one SQLite file in write-ahead mode, for one node.
//!
//! Other processes of the node (the command line) may write the same file. Point reads run where
//! they are called: they take microseconds, less than a change of threads. Pages and dumps go to a
//! blocking thread. Every commit goes through [`writer`].

mod access;
mod apply;
mod apply_facts;
mod apply_object;
mod apply_version;
mod approvals;
mod blobs;
mod cards;
mod dump;
mod dumps;
mod erase;
mod error;
mod inspect;
mod keywork;
mod list;
mod open;
mod publications;
mod read;
mod readers;
mod roster;
mod rows;
mod schema;
mod sql;
mod versions;
mod writer;

#[cfg(test)]
mod cost;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use self::dumps::Dumps;
use self::readers::Readers;
pub use self::writer::OnCommit;
use self::writer::{Work, Writer};
use super::codec::encode_value;
use super::{
    ApprovalRow, Catalog, CatalogError, Chain, CredentialRow, DatasetRow, ErasedWrite, IdentityRow,
    KeyWorkRow, ListQuery, MarkerRow, Mutation, NoticeMark, NoticeRow, ObjectRow, Origin, Page,
    PartPage, PrincipalRow, ProjectRow, PublicationRow, RosterEntry, RosterKind, Setting,
    SettingKind, UploadPage, UploadQuery, UploadRow, Version, VersionPage, VersionQuery,
    encode_change,
};
use crate::policy::Grant;
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, BucketName, DatasetId, GrantId, KeyWorkId, ObjectKey,
    PrincipalId, ProjectName, PublicationId, Timestamp, UploadId, VersionId, VersionName, limits,
};

/// A catalog in one file.
pub struct SqliteCatalog {
    readers: Arc<Readers>,
    writer: Writer,
    /// One permit per long read.
    scans: Arc<Semaphore>,
    dumps: Arc<Mutex<Dumps>>,
}

impl SqliteCatalog {
    /// Opens the file, makes it (mode 0600) if there is none, and brings it to this program's
    /// schema. Blocks for milliseconds.
    pub fn open(path: &Path) -> Result<Arc<Self>, CatalogError> {
        Self::open_told(path, None)
    }

    /// The same, and tells of each transaction.
    pub fn open_told(path: &Path, told: Option<OnCommit>) -> Result<Arc<Self>, CatalogError> {
        open::create_file(path)?;
        let conn = open::writer(path)?;
        schema::migrate(&conn, schema::STEPS)?;
        Ok(Arc::new(Self {
            readers: Arc::new(Readers::new(path.to_owned())),
            writer: Writer::start(conn, told)?,
            scans: Arc::new(Semaphore::new(limits::CATALOG_SCANS_MAX)),
            dumps: Arc::default(),
        }))
    }

    /// A long read, away from the threads that serve requests.
    async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let readers = Arc::clone(&self.readers);
        self.blocking(move || readers.with(read)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let failed = |reason: String| CatalogError::Failed { reason };
        let permit = Arc::clone(&self.scans)
            .acquire_owned()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        worked.await.map_err(|error| failed(error.to_string()))?
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn commit(&self, mutations: Vec<Mutation>) -> Result<(), CatalogError> {
        if mutations.is_empty() {
            return Ok(());
        }
        let change = encode_change(&mutations)?;
        let commit = Work::Commit { mutations, change };
        self.writer.run(commit).await.map(drop)
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        self.readers.with(read::generation)
    }

    async fn project(&self, name: &ProjectName) -> Result<Option<ProjectRow>, CatalogError> {
        self.readers.with(|conn| read::project(conn, name))
    }

    async fn projects(
        &self,
        after: Option<&ProjectName>,
        limit: usize,
    ) -> Result<Vec<ProjectRow>, CatalogError> {
        let after = after.cloned();
        self.scan(move |conn| {
            let after = after.as_ref().map_or("", ProjectName::as_str);
            read::projects(conn, after, limit)
        })
        .await
    }

    async fn dataset(&self, bucket: &BucketName) -> Result<Option<DatasetRow>, CatalogError> {
        self.readers.with(|conn| read::dataset(conn, bucket))
    }

    async fn datasets(
        &self,
        after: Option<&BucketName>,
        limit: usize,
    ) -> Result<Vec<DatasetRow>, CatalogError> {
        let after = after.cloned();
        self.scan(move |conn| {
            let after = after.as_ref().map_or(("", ""), |bucket| {
                (bucket.project.as_str(), bucket.dataset.as_str())
            });
            read::datasets(conn, after, limit)
        })
        .await
    }

    async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRow>, CatalogError> {
        self.readers.with(|conn| read::principal(conn, id))
    }

    async fn credential(&self, id: &AccessKeyId) -> Result<Option<CredentialRow>, CatalogError> {
        self.readers.with(|conn| read::credential(conn, id))
    }

    async fn credentials(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<CredentialRow>, CatalogError> {
        let principal = principal.clone();
        self.scan(move |conn| read::credentials(conn, &principal, limit))
            .await
    }

    async fn grants_of(
        &self,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Vec<Grant>, CatalogError> {
        self.readers
            .with(|conn| read::grants_of(conn, project, principal))
    }

    async fn grants(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<Grant>, CatalogError> {
        let project = project.clone();
        self.scan(move |conn| read::grants(conn, &project, limit))
            .await
    }

    async fn projects_of(&self, principal: &PrincipalId) -> Result<Vec<ProjectName>, CatalogError> {
        self.readers.with(|conn| read::projects_of(conn, principal))
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, CatalogError> {
        self.readers.with(|conn| access::grant(conn, id))
    }

    async fn groups_of(&self, principal: &PrincipalId) -> Result<Vec<PrincipalId>, CatalogError> {
        self.readers.with(|conn| access::groups_of(conn, principal))
    }

    async fn members(
        &self,
        group: &PrincipalId,
        after: Option<&PrincipalId>,
        limit: usize,
    ) -> Result<Vec<PrincipalId>, CatalogError> {
        let (group, after) = (group.clone(), after.cloned());
        self.scan(move |conn| {
            let after = after.as_ref().map_or("", PrincipalId::as_str);
            access::members(conn, &group, after, limit)
        })
        .await
    }

    async fn identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<IdentityRow>, CatalogError> {
        self.readers
            .with(|conn| access::identity(conn, issuer, subject))
    }

    async fn identities_of(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<IdentityRow>, CatalogError> {
        self.readers
            .with(|conn| access::identities_of(conn, principal, limit))
    }

    async fn roster(
        &self,
        kind: RosterKind,
        name: &str,
    ) -> Result<Option<RosterEntry>, CatalogError> {
        self.readers.with(|conn| roster::get(conn, kind, name))
    }

    async fn roster_page(
        &self,
        kind: RosterKind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, RosterEntry)>, CatalogError> {
        let after = after.to_owned();
        self.scan(move |conn| roster::page(conn, (kind, &after), limit))
            .await
    }

    async fn grant_uses(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<(GrantId, Timestamp)>, CatalogError> {
        let project = project.clone();
        self.scan(move |conn| access::grant_uses(conn, &project, limit))
            .await
    }

    async fn credential_uses(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<(AccessKeyId, Timestamp)>, CatalogError> {
        let principal = principal.clone();
        self.scan(move |conn| access::credential_uses(conn, &principal, limit))
            .await
    }

    async fn approval(&self, id: &ApprovalId) -> Result<Option<ApprovalRow>, CatalogError> {
        self.readers.with(|conn| approvals::approval(conn, id))
    }

    async fn waiting(
        &self,
        project: &ProjectName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, CatalogError> {
        let project = project.clone();
        self.scan(move |conn| approvals::waiting(conn, &project, now, limit))
            .await
    }

    async fn approvals(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, CatalogError> {
        let project = project.clone();
        self.scan(move |conn| approvals::approvals(conn, &project, limit))
            .await
    }

    async fn notices(
        &self,
        to: &PrincipalId,
        before: Option<NoticeMark>,
        limit: usize,
    ) -> Result<Vec<NoticeRow>, CatalogError> {
        let to = to.clone();
        self.scan(move |conn| approvals::notices(conn, &to, (before, limit)))
            .await
    }

    async fn object(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, CatalogError> {
        self.readers.with(|conn| read::object(conn, dataset, key))
    }

    async fn version(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        name: &VersionName,
    ) -> Result<Option<Version>, CatalogError> {
        self.readers
            .with(|conn| versions::version(conn, (dataset, key), name))
    }

    async fn origin(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        version: &VersionId,
    ) -> Result<Option<Origin>, CatalogError> {
        self.readers
            .with(|conn| versions::origin(conn, (dataset, key), version))
    }

    async fn latest_marker(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
    ) -> Result<Option<MarkerRow>, CatalogError> {
        self.readers
            .with(|conn| versions::latest_marker(conn, (dataset, key)))
    }

    async fn versions(
        &self,
        dataset: &DatasetId,
        query: &VersionQuery,
    ) -> Result<VersionPage, CatalogError> {
        let (dataset, query) = (*dataset, query.clone());
        self.scan(move |conn| versions::page(conn, &dataset, &query))
            .await
    }

    async fn setting(
        &self,
        dataset: &DatasetId,
        kind: SettingKind,
    ) -> Result<Option<Setting>, CatalogError> {
        self.readers
            .with(|conn| versions::setting(conn, dataset, kind))
    }

    async fn list(&self, dataset: &DatasetId, query: &ListQuery) -> Result<Page, CatalogError> {
        let (dataset, query) = (*dataset, query.clone());
        self.scan(move |conn| list::objects(conn, dataset.as_bytes(), &query, list::OBJECTS))
            .await
    }

    async fn publication(
        &self,
        dataset: &DatasetId,
        number: u32,
    ) -> Result<Option<PublicationRow>, CatalogError> {
        self.readers
            .with(|conn| publications::of_number(conn, dataset, number))
    }

    async fn publications(
        &self,
        dataset: &DatasetId,
        after: u32,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError> {
        let dataset = *dataset;
        self.scan(move |conn| publications::all(conn, &dataset, after, limit))
            .await
    }

    async fn stale_publications(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError> {
        self.scan(move |conn| publications::stale(conn, before, limit))
            .await
    }

    async fn unissued(
        &self,
        dataset: &DatasetId,
        after: Option<PublicationId>,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError> {
        self.readers
            .with(|conn| publications::unissued(conn, dataset, after, limit))
    }

    async fn frozen(
        &self,
        publication: &PublicationId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, CatalogError> {
        self.readers
            .with(|conn| publications::object(conn, publication, key))
    }

    async fn frozen_from(
        &self,
        publication: &PublicationId,
        from: &str,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, CatalogError> {
        let (publication, from) = (*publication, from.as_bytes().to_vec());
        self.scan(move |conn| publications::page(conn, &publication, &from, limit))
            .await
    }

    async fn list_frozen(
        &self,
        publication: &PublicationId,
        query: &ListQuery,
    ) -> Result<Page, CatalogError> {
        let (publication, query) = (*publication, query.clone());
        self.scan(move |conn| list::objects(conn, publication.as_bytes(), &query, list::FROZEN))
            .await
    }

    async fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>, CatalogError> {
        self.readers.with(|conn| read::upload(conn, id))
    }

    async fn uploads(
        &self,
        dataset: &DatasetId,
        query: &UploadQuery,
    ) -> Result<UploadPage, CatalogError> {
        let (dataset, query) = (*dataset, query.clone());
        self.scan(move |conn| list::uploads(conn, &dataset, &query))
            .await
    }

    async fn parts(
        &self,
        upload: &UploadId,
        after: u32,
        limit: usize,
    ) -> Result<PartPage, CatalogError> {
        let upload = *upload;
        self.scan(move |conn| list::parts(conn, &upload, after, limit))
            .await
    }

    async fn known_blobs(&self, ids: &[BlobId]) -> Result<Vec<bool>, CatalogError> {
        let ids = ids.to_vec();
        self.scan(move |conn| read::known_blobs(conn, &ids)).await
    }

    async fn claim_unreferenced(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobId>, CatalogError> {
        self.writer.run(Work::Claim { before, limit }).await
    }

    async fn key_works(
        &self,
        dataset: Option<&DatasetId>,
        after: Option<(Timestamp, KeyWorkId)>,
        limit: usize,
    ) -> Result<Vec<KeyWorkRow>, CatalogError> {
        self.readers
            .with(|c| keywork::all(c, dataset, after, limit))
    }

    async fn open_key_works(&self) -> Result<Vec<KeyWorkRow>, CatalogError> {
        self.readers.with(keywork::open)
    }

    async fn key_work(&self, id: &KeyWorkId) -> Result<Option<KeyWorkRow>, CatalogError> {
        self.readers.with(|conn| keywork::one(conn, id))
    }

    async fn erased(
        &self,
        id: &KeyWorkId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ErasedWrite>, CatalogError> {
        self.readers.with(|c| keywork::erased(c, id, from, limit))
    }

    async fn doomed(
        &self,
        id: &KeyWorkId,
        limit: usize,
    ) -> Result<(Vec<BlobId>, u64), CatalogError> {
        self.readers.with(|conn| keywork::doomed(conn, id, limit))
    }

    async fn writes(
        &self,
        dataset: &DatasetId,
        after: Option<(&ObjectKey, VersionId)>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, CatalogError> {
        let (id, after) = (*dataset, after.map(|(key, version)| (key.clone(), version)));
        self.scan(move |conn| keywork::writes(conn, &id, after.as_ref(), limit))
            .await
    }

    async fn change_seq(&self) -> Result<u64, CatalogError> {
        self.readers.with(read::change_seq)
    }

    async fn changes(
        &self,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Bytes)>, CatalogError> {
        self.scan(move |conn| read::changes(conn, after, bytes_max))
            .await
    }

    async fn chain(&self) -> Result<Option<Chain>, CatalogError> {
        self.readers.with(read::chain)
    }

    async fn keep_chain(&self, chain: &Chain) -> Result<(), CatalogError> {
        let work = Work::Chain {
            state: encode_value(chain),
            upto: chain.upto,
        };
        self.writer.run(work).await.map(drop)
    }

    async fn dump(
        &self,
        cursor: Option<Bytes>,
        bytes_max: usize,
    ) -> Result<(Vec<Mutation>, Option<Bytes>), CatalogError> {
        let (readers, dumps) = (Arc::clone(&self.readers), Arc::clone(&self.dumps));
        self.blocking(move || {
            // A session is out of its place while it is used, so a panic leaves none half used.
            let mut dumps = dumps.lock().unwrap_or_else(PoisonError::into_inner);
            dumps.page(&readers, cursor.as_ref(), bytes_max)
        })
        .await
    }
}
