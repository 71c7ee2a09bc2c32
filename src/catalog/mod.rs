//! The port to the vault's own database: names, sizes, metadata, part tables, who holds what.
//!
//! Reads are single calls; writes are [`Mutation`]s, applied all or none by [`Catalog::commit`],
//! with their preconditions judged inside the transaction. The adapters hold no rule of S3.

mod access_change;
mod approval;
mod card;
mod chain;
pub mod codec;
mod entity;
mod grants_check;
mod keywork;
mod listing;
mod memory;
mod mutation;
mod people;
mod publication;
mod query;
mod rebuild;
mod roster;
mod setting;
mod sqlite;

#[cfg(test)]
mod contract;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use approval::{ApprovalRow, ApprovalState, ApprovalStep, NoticeMark, NoticeRow, WaitingCheck};
pub use card::{Card, CardDefaults, Stage};
pub use chain::{Attempt, Base, Chain, Link, Since};
pub use entity::{
    Attached, CredentialRow, DatasetRow, Defaults, Facts, IdentityRow, MarkerRow, ObjectMeta,
    ObjectRow, Origin, PartRow, PrincipalRow, ProjectRow, UploadRow, Uses, Version,
};
pub use grants_check::GrantsCheck;
pub use keywork::{DoomedBlob, EraseScope, ErasedWrite, FLOOR_ERASED, KeyWorkRow, Tally, WorkEnd};
pub use memory::MemoryCatalog;
pub use mutation::{BlobUse, Condition, Likeness, Mutation};
pub use publication::{Issue, PublicationRow};
pub use query::{
    ListEntry, ListQuery, Page, PartPage, UploadPage, UploadQuery, VersionEntry, VersionPage,
    VersionQuery,
};
pub(crate) use rebuild::attaching;
pub use roster::{
    AliasRow, ClaimRow, DeletedRow, EndingRow, JobRow, Linking, NodeRow, PersonRow, RosterEntry,
    RosterKind, RosterRow, SourceRow, TeamRow, WebhookRow,
};
pub use setting::{
    CorsRule, Expiry, FilterForm, LifecycleFilter, LifecycleRule, Noncurrent, Setting, SettingKind,
};
pub use sqlite::{OnCommit, SqliteCatalog};

use crate::policy::Grant;
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, BucketName, DatasetId, GrantId, KeyWorkId, ObjectKey,
    PrincipalId, ProjectName, PublicationId, Timestamp, UploadId, VersionId, VersionName, limits,
};

/// A catalog shared by every use case.
pub type SharedCatalog = Arc<dyn Catalog>;

/// What a catalog did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A precondition of a mutation does not hold; nothing was changed.
    #[error("a precondition does not hold: {0:?}")]
    Conflict(Conflict),
    /// The queue of commits is full. Try again.
    #[error("too many commits are waiting")]
    Busy,
    /// The disk is full or read-only; nothing was changed.
    #[error("the catalog's disk takes no more")]
    Full,
    /// A row cannot be read as what it should be. At fault: the catalog's host.
    #[error("the catalog holds a damaged row: {what}")]
    Damaged {
        /// Which kind of row.
        what: &'static str,
    },
    /// The schema is newer than this program.
    #[error("the catalog has schema version {found}, this program knows {known}")]
    Schema {
        /// What the file says.
        found: u32,
        /// What this program can read.
        known: u32,
    },
    /// Any other fault of the database.
    #[error("the catalog failed: {reason}")]
    Failed {
        /// What it said, for the operator's log; never shown to a client.
        reason: String,
    },
}

/// Which precondition did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The project is there already.
    ProjectExists,
    /// No such project.
    NoProject,
    /// The dataset is there already.
    DatasetExists,
    /// No such dataset (any more).
    NoDataset,
    /// The dataset still holds objects or uploads.
    DatasetNotEmpty,
    /// The principal is there already.
    PrincipalExists,
    /// No such principal.
    NoPrincipal,
    /// No such credential.
    NoCredential,
    /// No such grant.
    NoGrant,
    /// A grant that a change rests on was withdrawn or changed meanwhile.
    GrantChanged,
    /// The project, or somebody in it, has as many grants as there may be.
    TooManyGrants,
    /// What should be a group is none, or what should be its member is one.
    NoGroup,
    /// The principal is no member of the group.
    NoMember,
    /// The subject is linked already, or the principal to another subject of the issuer.
    IdentityTaken,
    /// The subject is not linked.
    NoIdentity,
    /// The token was spent before.
    TokenSpent,
    /// The dataset's description was changed meanwhile.
    CardChanged,
    /// How the project's records are kept was changed meanwhile.
    LogTermsChanged,
    /// The row of the roster is not the one that was read.
    RosterChanged,
    /// A node is enrolled with this key.
    NodeKeyTaken,
    /// No such approval.
    NoApproval,
    /// The approval does not stand as it must for this step, or its time is over.
    ApprovalOver,
    /// As many acts wait as may, of the project or of one asker.
    TooManyWait,
    /// No object under this key.
    NoObject,
    /// An object is there, and the write was to happen only if none is.
    ObjectExists,
    /// The object's entity tag is another.
    ETagDiffers,
    /// The object was to go for good, and its dataset keeps versions.
    Versioned,
    /// No such frozen dataset.
    NoPublication,
    /// The version's number is not the next one, or the publication has one already.
    NumberTaken,
    /// The version is locked: it may neither go nor be loosened.
    Locked,
    /// Object Lock needs a dataset that keeps versions.
    Locking,
    /// No such upload: never begun, completed or aborted.
    NoUpload,
    /// A part changed or vanished between the reading and the completion.
    PartChanged,
    /// A blob that a copy would share was swept in between.
    BlobGone,
    /// The row is sealed under a key that is no longer in use: seal it again.
    KeyRetired,
    /// Other work on the dataset's keys is not done yet, or this work has something left to do.
    KeyWork,
    /// No such work on keys, or it has ended.
    NoKeyWork,
}

impl CatalogError {
    /// An identifier that is drawn at random is there already: a fault of the program, not of
    /// whoever asked.
    fn repeated(what: &str) -> Self {
        Self::Failed {
            reason: format!("this {what} is there already"),
        }
    }
}

impl From<Conflict> for CatalogError {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<codec::CodecError> for CatalogError {
    fn from(_: codec::CodecError) -> Self {
        Self::Damaged {
            what: "encoded row",
        }
    }
}

/// Encodes a commit for the change log, within the bound.
fn encode_change(mutations: &[Mutation]) -> Result<Bytes, CatalogError> {
    let change = codec::encode(mutations);
    if change.len() > limits::CATALOG_CHANGE_BYTES_MAX {
        return Err(CatalogError::Failed {
            reason: format!("a commit of {} bytes is too large", change.len()),
        });
    }
    Ok(change)
}

/// The vault's database. Every method is safe to call from many tasks at once.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// Applies the mutations in order, all or none; durable when it returns `Ok`.
    async fn commit(&self, mutations: Vec<Mutation>) -> Result<(), CatalogError>;

    /// A number that grows with every commit, by any process, that changes a project, dataset,
    /// principal, credential or grant; cheap enough to ask often. Caches of these are dropped when
    /// it changes. Objects and uploads leave it alone, or every upload would empty the caches.
    async fn generation(&self) -> Result<u64, CatalogError>;

    /// One project.
    async fn project(&self, name: &ProjectName) -> Result<Option<ProjectRow>, CatalogError>;
    /// All projects in order of name, those after `after`, at most `limit`.
    async fn projects(
        &self,
        after: Option<&ProjectName>,
        limit: usize,
    ) -> Result<Vec<ProjectRow>, CatalogError>;

    /// One dataset by name.
    async fn dataset(&self, bucket: &BucketName) -> Result<Option<DatasetRow>, CatalogError>;
    /// All datasets in order of project and name, those after `after`, at most `limit`.
    async fn datasets(
        &self,
        after: Option<&BucketName>,
        limit: usize,
    ) -> Result<Vec<DatasetRow>, CatalogError>;

    /// One principal.
    async fn principal(&self, id: &PrincipalId) -> Result<Option<PrincipalRow>, CatalogError>;
    /// One credential.
    async fn credential(&self, id: &AccessKeyId) -> Result<Option<CredentialRow>, CatalogError>;
    /// The credentials of a principal, at most `limit`.
    async fn credentials(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<CredentialRow>, CatalogError>;
    /// The grants, withdrawn ones left out, that a principal holds in a project.
    async fn grants_of(
        &self,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Vec<Grant>, CatalogError>;
    /// All grants of a project, withdrawn ones left out, at most `limit`.
    async fn grants(&self, project: &ProjectName, limit: usize)
    -> Result<Vec<Grant>, CatalogError>;
    /// The projects in which a principal holds a grant.
    async fn projects_of(&self, principal: &PrincipalId) -> Result<Vec<ProjectName>, CatalogError>;
    /// One grant.
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, CatalogError>;
    /// The groups that a principal is a member of, in order; more than
    /// [`limits::GROUPS_OF_MAX`] are a failure, since one left out could hold a denial.
    async fn groups_of(&self, principal: &PrincipalId) -> Result<Vec<PrincipalId>, CatalogError>;
    /// The members of a group in order, those after `after`, at most `limit`.
    async fn members(
        &self,
        group: &PrincipalId,
        after: Option<&PrincipalId>,
        limit: usize,
    ) -> Result<Vec<PrincipalId>, CatalogError>;
    /// Whom an issuer's subject is.
    async fn identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<IdentityRow>, CatalogError>;
    /// The subjects that a principal is linked to, at most `limit`.
    async fn identities_of(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<IdentityRow>, CatalogError>;
    /// A row of the roster.
    async fn roster(
        &self,
        kind: RosterKind,
        name: &str,
    ) -> Result<Option<RosterEntry>, CatalogError>;
    /// Rows of one kind in order of name, those after `after`, at most `limit`.
    async fn roster_page(
        &self,
        kind: RosterKind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, RosterEntry)>, CatalogError>;
    /// When the grants of a project were last used, those that were; at most `limit`.
    async fn grant_uses(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<(GrantId, Timestamp)>, CatalogError>;
    /// When the credentials of a principal were last used, those that were; at most `limit`.
    async fn credential_uses(
        &self,
        principal: &PrincipalId,
        limit: usize,
    ) -> Result<Vec<(AccessKeyId, Timestamp)>, CatalogError>;

    /// One act that takes two persons.
    async fn approval(&self, id: &ApprovalId) -> Result<Option<ApprovalRow>, CatalogError>;
    /// The acts of a project that wait to be approved or done, whoever asked, the newest first, at
    /// most `limit`. How many others there are does not matter.
    async fn waiting(
        &self,
        project: &ProjectName,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, CatalogError>;
    /// The acts of a project, wherever they stand, the newest first, at most `limit`.
    async fn approvals(
        &self,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, CatalogError>;

    /// What somebody was told, the newest first, at most `limit`; behind `before`, which need not
    /// be there any more.
    async fn notices(
        &self,
        to: &PrincipalId,
        before: Option<NoticeMark>,
        limit: usize,
    ) -> Result<Vec<NoticeRow>, CatalogError>;

    /// One object, with its sealed part table.
    async fn object(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, CatalogError>;
    /// One version of a key, the current one too.
    async fn version(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        name: &VersionName,
    ) -> Result<Option<Version>, CatalogError>;
    /// How an object came out of an upload; `None` for one that did not.
    async fn origin(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        version: &VersionId,
    ) -> Result<Option<Origin>, CatalogError>;
    /// The delete marker that is the newest version of a key, if it is one.
    async fn latest_marker(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
    ) -> Result<Option<MarkerRow>, CatalogError>;
    /// One page of a dataset's versions; its cost grows with what it returns.
    async fn versions(
        &self,
        dataset: &DatasetId,
        query: &VersionQuery,
    ) -> Result<VersionPage, CatalogError>;
    /// A setting of a dataset.
    async fn setting(
        &self,
        dataset: &DatasetId,
        kind: SettingKind,
    ) -> Result<Option<Setting>, CatalogError>;

    /// One page of a listing. **Its cost grows with what it returns, not with what it skips.**
    async fn list(&self, dataset: &DatasetId, query: &ListQuery) -> Result<Page, CatalogError>;

    /// A published version of a dataset, by its number.
    async fn publication(
        &self,
        dataset: &DatasetId,
        number: u32,
    ) -> Result<Option<PublicationRow>, CatalogError>;
    /// A dataset's published versions in order of number, those after `after`, at most `limit` and
    /// [`limits::PAGE_ENTRIES_MAX`].
    async fn publications(
        &self,
        dataset: &DatasetId,
        after: u32,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError>;
    /// Datasets that were frozen before `before` and never became versions, at most `limit`.
    async fn stale_publications(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError>;
    /// What of one dataset was frozen and is no version, in order of identity, those after `after`,
    /// at most `limit` and [`limits::PAGE_ENTRIES_MAX`].
    async fn unissued(
        &self,
        dataset: &DatasetId,
        after: Option<PublicationId>,
        limit: usize,
    ) -> Result<Vec<PublicationRow>, CatalogError>;
    /// One object of a frozen dataset; its `dataset` is the one that was frozen.
    async fn frozen(
        &self,
        publication: &PublicationId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRow>, CatalogError>;
    /// Objects of a frozen dataset, whole, in byte order of key, from `from` on (itself included),
    /// at most `limit` and [`limits::PAGE_ENTRIES_MAX`], and fewer, at least one, where their part
    /// tables reach [`limits::PAGE_BYTES_MAX`]: who reads all reads until there is none.
    async fn frozen_from(
        &self,
        publication: &PublicationId,
        from: &str,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, CatalogError>;
    /// One page of a listing of a frozen dataset, as [`Self::list`].
    async fn list_frozen(
        &self,
        publication: &PublicationId,
        query: &ListQuery,
    ) -> Result<Page, CatalogError>;

    /// One upload.
    async fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>, CatalogError>;
    /// One page of a dataset's uploads, in order of key and then of beginning.
    async fn uploads(
        &self,
        dataset: &DatasetId,
        query: &UploadQuery,
    ) -> Result<UploadPage, CatalogError>;
    /// An upload's parts in order of number, those after number `after`, at most `limit` and
    /// [`limits::PAGE_ENTRIES_MAX`]; fewer, and more to come, where their part tables reach
    /// [`limits::PAGE_BYTES_MAX`].
    async fn parts(
        &self,
        upload: &UploadId,
        after: u32,
        limit: usize,
    ) -> Result<PartPage, CatalogError>;

    /// Which of these blobs the catalog knows, in their order (the sweeper asks before it deletes
    /// an orphan).
    async fn known_blobs(&self, ids: &[BlobId]) -> Result<Vec<bool>, CatalogError>;
    /// Takes up to `limit` blobs that lost their last reference before `before` out of the
    /// catalog, for good: the caller deletes them from the store. Answered behind all commits that
    /// were asked for before, also where nobody waits for them any more.
    async fn claim_unreferenced(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobId>, CatalogError>;

    /// Work on keys, oldest first, that began after `after` (its time and identity): of one dataset
    /// or of all, at most `limit`.
    async fn key_works(
        &self,
        dataset: Option<&DatasetId>,
        after: Option<(Timestamp, KeyWorkId)>,
        limit: usize,
    ) -> Result<Vec<KeyWorkRow>, CatalogError>;
    /// Work on keys that is not done.
    async fn open_key_works(&self) -> Result<Vec<KeyWorkRow>, CatalogError>;
    /// One piece of work on keys.
    async fn key_work(&self, id: &KeyWorkId) -> Result<Option<KeyWorkRow>, CatalogError>;
    /// What an erasure took out, in the order of its list, from line `from` on (0 is the first), at
    /// most `limit`.
    async fn erased(
        &self,
        id: &KeyWorkId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ErasedWrite>, CatalogError>;
    /// Blobs of an erasure that are to go from the store, at most `limit`, and how many others stay
    /// because something else refers to them.
    async fn doomed(
        &self,
        id: &KeyWorkId,
        limit: usize,
    ) -> Result<(Vec<BlobId>, u64), CatalogError>;
    /// Current and older objects of a dataset in order of key and then of version, those after
    /// `after`, at most `limit` and [`limits::PAGE_ENTRIES_MAX`], and fewer, at least one, where
    /// their part tables reach [`limits::PAGE_BYTES_MAX`]: who reads all reads until there is none.
    /// A write that becomes an older version keeps its place in this order.
    async fn writes(
        &self,
        dataset: &DatasetId,
        after: Option<(&ObjectKey, VersionId)>,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, CatalogError>;

    /// The sequence number of the newest commit in the change log.
    async fn change_seq(&self) -> Result<u64, CatalogError>;
    /// Changes after `after`, oldest first, encoded mutations ([`codec`]) of one commit each, until
    /// `bytes_max` is passed; at least one if there is any. A first number above `after + 1` shows
    /// that changes in between were forgotten.
    async fn changes(
        &self,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Bytes)>, CatalogError>;
    /// How far the snapshots are; `None` for a catalog that never had one by this program.
    async fn chain(&self) -> Result<Option<Chain>, CatalogError>;
    /// Keeps how far the snapshots are and drops the changes that they hold, those up to and
    /// including `chain.upto`, in one transaction. It is no commit: it is in no change log.
    async fn keep_chain(&self, chain: &Chain) -> Result<(), CatalogError>;
    /// The whole catalog as mutations that rebuild it, in pages: `cursor` is what the page before
    /// returned, `None` begins; the returned cursor is `None` at the end. All pages show the
    /// moment of the first, whose first mutation is [`Mutation::RestoreSeq`]: the changes after
    /// that number bring a rebuilt catalog up to date. One dump runs at a time: beginning another
    /// ends it, and its cursor then gives `Failed`.
    async fn dump(
        &self,
        cursor: Option<Bytes>,
        bytes_max: usize,
    ) -> Result<(Vec<Mutation>, Option<Bytes>), CatalogError>;
}
