//! What can be written to the catalog, each with its precondition.

use bytes::Bytes;

use super::approval::{ApprovalRow, ApprovalStep, NoticeRow, WaitingCheck};
use super::card::{Card, CardDefaults};
use super::entity::{
    Attached, CredentialRow, DatasetRow, Facts, IdentityRow, MarkerRow, ObjectRow, Origin, PartRow,
    PrincipalRow, ProjectRow, UploadRow, Uses,
};
use super::grants_check::GrantsCheck;
use super::keywork::{DoomedBlob, ErasedWrite, KeyWorkRow, WorkEnd};
use super::publication::{Issue, PublicationRow};
use super::roster::{RosterEntry, RosterKind};
use super::setting::{Setting, SettingKind};
use crate::policy::{Grant, Terms};
#[cfg(doc)]
use crate::types::limits;
use crate::types::{
    AccessKeyId, ApprovalId, BlobId, DatasetId, ETag, GrantId, KeyScope, KeyWorkId, Label,
    LockDefaults, LogTerms, ObjectKey, PrincipalId, ProjectName, PublicationId, Retention,
    Timestamp, UploadId, VersionId, VersionName, Versioning,
};

/// The blobs that a row refers to. The catalog counts references by the row's version.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlobUse {
    /// Blobs just written to the store, not known to the catalog yet.
    pub fresh: Vec<BlobId>,
    /// Blobs that other rows hold already (a copy); [`super::Conflict::BlobGone`] if one was
    /// claimed by the sweeper in between.
    pub shared: Vec<BlobId>,
}

/// When a write or delete of an object may happen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// Always.
    #[default]
    None,
    /// Only if no object is there (`If-None-Match: *`).
    Absent,
    /// Only if one is there (`If-Match: *`).
    Present,
    /// Only if the one there has this tag (`If-Match: "…"`).
    Matches(ETag),
    /// Only if none is there or that one has another tag (`If-None-Match: "…"`).
    Differs(ETag),
    /// Only if the one there is all of this.
    Is(Likeness),
}

/// What an object is known by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Likeness {
    /// Its tag.
    pub etag: Option<ETag>,
    /// When it was written; whole seconds count.
    pub modified: Option<Timestamp>,
    /// Its plaintext length in bytes.
    pub bytes: Option<u64>,
}

impl Condition {
    /// Judges the condition on an object, its tag, time of writing and length, or on there being
    /// none.
    pub(crate) fn judge(
        &self,
        there: Option<(&str, Timestamp, u64)>,
    ) -> Result<(), super::Conflict> {
        use super::Conflict;
        let must = |holds| {
            if holds {
                Ok(())
            } else {
                Err(Conflict::ETagDiffers)
            }
        };
        match (self, there) {
            (Self::None, _)
            | (Self::Absent | Self::Differs(_), None)
            | (Self::Present, Some(_)) => Ok(()),
            (Self::Absent, Some(_)) => Err(Conflict::ObjectExists),
            (Self::Present | Self::Matches(_) | Self::Is(_), None) => Err(Conflict::NoObject),
            (Self::Matches(etag), Some((tag, ..))) => must(etag.as_str() == tag),
            (Self::Differs(etag), Some((tag, ..))) => must(etag.as_str() != tag),
            (Self::Is(like), Some((tag, modified, bytes))) => must(
                like.etag.as_ref().is_none_or(|etag| etag.as_str() == tag)
                    && like
                        .modified
                        .is_none_or(|t| t.seconds() == modified.seconds())
                    && like.bytes.is_none_or(|b| b == bytes),
            ),
        }
    }
}

/// One change of the catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// Makes a project; it must be new.
    CreateProject(ProjectRow),
    /// Says how a project's records are kept in the log; it must exist.
    SetLogTerms {
        /// The project.
        project: ProjectName,
        /// The terms from now on.
        terms: LogTerms,
    },
    /// Changes nothing; refused unless a project's records are kept on these terms. Before a change
    /// of them, which was judged on these, it is judged in the same commit.
    CheckLogTerms {
        /// The project.
        project: ProjectName,
        /// The terms that were read.
        terms: LogTerms,
    },
    /// Makes a dataset; its project must exist, its name and id must be new.
    CreateDataset(DatasetRow),
    /// Deletes a dataset, which must hold no object and no upload.
    DeleteDataset(DatasetId),
    /// Changes nothing; refused while the dataset is under legal hold. Before a deletion that
    /// nobody asked for in person, it is judged in the same commit.
    CheckHold(DatasetId),
    /// Makes a principal; it must be new.
    CreatePrincipal(PrincipalRow),
    /// Makes a credential; its principal must exist.
    CreateCredential(CredentialRow),
    /// Narrows a credential to a part of its owner's rights; once, and it is never widened.
    ScopeCredential {
        /// Which.
        credential: AccessKeyId,
        /// The scope.
        scope: KeyScope,
    },
    /// Deletes a credential, which must exist.
    DeleteCredential(AccessKeyId),
    /// Makes a grant; project and principal must exist.
    CreateGrant(Grant),
    /// Withdraws a grant, which must exist.
    DeleteGrant(GrantId),
    /// Changes nothing; refused unless the grant is there on these terms. Before a change that was
    /// judged on its being so, it is judged in the same commit.
    CheckGrant {
        /// Which.
        grant: GrantId,
        /// The terms that were read.
        terms: Terms,
    },
    /// Changes nothing; refused unless a project's grants are so. Judged as
    /// [`Self::CheckGrant`] is.
    CheckGrants(GrantsCheck),
    /// Sets on whose word a grant rests, and its terms; it must exist. A grant begins with none.
    SetTerms {
        /// The grant.
        grant: GrantId,
        /// Its approver from now on.
        approver: PrincipalId,
        /// Its terms from now on.
        terms: Terms,
    },
    /// Suspends a principal (since when), or (`None`) lets it be again; it must exist.
    SetSuspended {
        /// The principal.
        principal: PrincipalId,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// Makes a principal a member of a group. Both must exist, the one being a group and the other
    /// none. Who is a member already stays one.
    AddMember {
        /// The group.
        group: PrincipalId,
        /// The member.
        member: PrincipalId,
    },
    /// Takes a member out of a group, in which it must be.
    RemoveMember {
        /// The group.
        group: PrincipalId,
        /// The member.
        member: PrincipalId,
    },
    /// Says whom an issuer's subject is. The principal must exist and be no group; neither the
    /// subject nor, with this issuer, the principal may be linked already.
    LinkIdentity(IdentityRow),
    /// Ends that; it must be so.
    UnlinkIdentity {
        /// The issuer.
        issuer: String,
        /// The subject.
        subject: String,
    },
    /// Spends a token that is good once; it must not be spent. Those that are over by `now` are
    /// forgotten, at most [`limits::SPENT_FORGET_MAX`] at a time.
    SpendToken {
        /// The token's SHA-256.
        token: [u8; 32],
        /// When it is over.
        expires: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// Writes, replaces or (`None`) removes a row of the roster, if its revision is still `was`
    /// (`None`: if it is not there).
    SetRoster {
        /// The row's kind, which a new row is of.
        kind: RosterKind,
        /// The row's name.
        name: String,
        /// The revision that was read.
        was: Option<u64>,
        /// The row from now on, with its revision.
        entry: Option<RosterEntry>,
    },
    /// Changes nothing; refused while a node is enrolled with this key: one key is one node.
    CheckNodeKey([u8; 32]),
    /// Asks for an act that takes two persons; its project must exist. What has been over for
    /// [`limits::APPROVAL_KEPT_MS`] by `now` is forgotten, at most
    /// [`limits::APPROVALS_FORGET_MAX`] at a time.
    AskApproval {
        /// The act.
        row: ApprovalRow,
        /// Now.
        now: Timestamp,
    },
    /// Changes nothing; refused unless so few acts of a project wait. Stands before the
    /// [`Self::AskApproval`] that it is for.
    CheckWaiting(WaitingCheck),
    /// Takes a step of an approval, which must stand so that it may. **Spent in the commit that
    /// does the act, an approval is good once.**
    StepApproval {
        /// Which.
        approval: ApprovalId,
        /// The step.
        step: ApprovalStep,
    },
    /// Says what datasets of a project are that say nothing themselves; it must exist.
    SetDefaults {
        /// The project.
        project: ProjectName,
        /// What they are.
        defaults: Option<CardDefaults>,
    },
    /// Says what a dataset is, in the place of what was said before.
    SetCard {
        /// The dataset.
        dataset: DatasetId,
        /// What must stand there; nobody writes over what she did not see.
        was: Option<Card>,
        /// What it is from now on.
        card: Card,
    },
    /// Clears a principal for a label and all below; it must exist.
    SetClearance {
        /// The principal.
        principal: PrincipalId,
        /// The label; `None` for the default.
        clearance: Option<Label>,
    },
    /// Tells somebody something; whether she is there is not asked. What was told
    /// [`limits::NOTICE_KEPT_MS`] before is forgotten, at most [`limits::NOTICES_FORGET_MAX`] at a
    /// time.
    AddNotice(NoticeRow),
    /// Notes when grants and credentials were used. What is gone, or was used later, is left alone.
    NoteUses(Uses),
    /// Writes an object. While versioning is off it takes the place of the one that is there;
    /// while it is enabled that one stays as an older version; while it is suspended the new one
    /// takes the place of the version `null`, wherever that stands.
    PutObject {
        /// The object.
        row: ObjectRow,
        /// Its blobs.
        blobs: BlobUse,
        /// When.
        condition: Condition,
    },
    /// Deletes an object of a dataset whose versioning is off; in another it is refused. What
    /// change logs held before there were versions.
    DeleteObject {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// When.
        condition: Condition,
        /// The time at which its blobs lose this reference.
        now: Timestamp,
    },
    /// Begins an upload.
    CreateUpload(UploadRow),
    /// Writes a part in the place of an earlier one of its number; the upload must exist.
    PutPart {
        /// The part.
        row: PartRow,
        /// Its blobs.
        blobs: BlobUse,
    },
    /// Turns an upload into an object: the parts named must still be those versions; the object
    /// takes over their blobs, all other parts and the upload are gone.
    CompleteUpload {
        /// The upload.
        upload: UploadId,
        /// Number and version of each part, in order.
        parts: Vec<(u32, VersionId)>,
        /// The object.
        row: ObjectRow,
        /// When.
        condition: Condition,
    },
    /// Drops an upload and its parts; the upload must exist.
    AbortUpload {
        /// The upload.
        upload: UploadId,
        /// The time at which its blobs lose these references.
        now: Timestamp,
    },
    /// Registers blobs that no row refers to (yet), each with the time at which it lost its last
    /// reference; the rows that follow in a dump share them. Used by a recovery only.
    RestoreBlobs(Vec<(BlobId, Timestamp)>),
    /// Takes blobs out of the catalog; those that a row refers to are left alone. This is how the
    /// change log tells of [`super::Catalog::claim_unreferenced`].
    ForgetBlobs(Vec<BlobId>),
    /// Lets the change log's numbers go on after this one, so that none ever names two changes.
    /// A dump begins with it: the number of the newest change that it holds.
    RestoreSeq(u64),
    /// Enables or suspends versioning; never off again.
    SetVersioning {
        /// The dataset.
        dataset: DatasetId,
        /// The new state.
        state: Versioning,
    },
    /// Deletes an object as a client does who names no version. While versioning is off it is gone;
    /// otherwise it stays as an older version under a new delete marker (while suspended, the
    /// version `null` is gone and the marker is the new one). What is absent is no error unless
    /// the condition says so.
    RemoveObject {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The marker's identity, if there is to be one.
        marker: VersionId,
        /// When.
        condition: Condition,
        /// The time of the marker, or at which the blobs lose this reference.
        now: Timestamp,
    },
    /// Deletes one version for good; the newest of those that are left is then the current one.
    /// What is absent is no error unless the condition says so.
    DeleteVersion {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// Which version.
        version: VersionName,
        /// When; judged on that version.
        condition: Condition,
        /// The time at which its blobs lose this reference.
        now: Timestamp,
    },
    /// Replaces the tags of one version, which must be there; its facts stay.
    SetAttached {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The write in question.
        version: VersionId,
        /// The tags from now on; of the facts nothing is read.
        attached: Attached,
    },
    /// Sets how long a version is retained, or (`None`) that it is not. What locks it now is
    /// judged: [`super::Conflict::Locked`] where it may not become so.
    SetRetention {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The write in question.
        version: VersionId,
        /// The retention from now on.
        retention: Option<Retention>,
        /// Whether governance may be loosened.
        bypass: bool,
        /// The time at which it is judged.
        now: Timestamp,
    },
    /// Puts a version under legal hold, or takes it out.
    SetHold {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The write in question.
        version: VersionId,
        /// Whether it is held from now on.
        hold: bool,
    },
    /// Says the name of the key that an object's writer asked for.
    SetObjectKeyName {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The write in question.
        version: VersionId,
        /// The name.
        name: String,
    },
    /// Says how an object came out of an upload.
    SetOrigin {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The write in question.
        version: VersionId,
        /// How.
        origin: Origin,
    },
    /// Enables Object Lock of a dataset that keeps versions, and says what new objects get.
    SetObjectLock {
        /// The dataset.
        dataset: DatasetId,
        /// What new objects get.
        lock: LockDefaults,
    },
    /// Says which key's name new objects of a dataset get.
    SetKeyName {
        /// The dataset.
        dataset: DatasetId,
        /// The name.
        name: Option<String>,
    },
    /// Sets what else the object that an upload is to become is to have; the upload must exist.
    SetUploadFacts {
        /// The upload.
        upload: UploadId,
        /// The facts.
        facts: Facts,
    },
    /// Sets the tags of the object that an upload is to become; the upload must exist.
    SetUploadTags {
        /// The upload.
        upload: UploadId,
        /// The tags.
        tags: Vec<(String, String)>,
    },
    /// Makes, replaces or (`None`) removes a setting of a dataset.
    SetSetting {
        /// The dataset.
        dataset: DatasetId,
        /// Which setting.
        kind: SettingKind,
        /// Its value.
        value: Option<Setting>,
    },
    /// Puts an object back as the current one under its key, where there must be none, or
    /// (`current` false) below all versions of its key. Used by a dump only.
    RestoreVersion {
        /// The object.
        row: ObjectRow,
        /// Whether versioning was enabled when it was written.
        versioned: bool,
        /// Whether it is the current one.
        current: bool,
        /// Its blobs.
        blobs: BlobUse,
    },
    /// Puts a delete marker back below all versions of its key. Used by a dump only.
    RestoreMarker(MarkerRow),
    /// Freezes a dataset: its current objects stay as they are now, whatever becomes of them in the
    /// dataset, until the publication is dropped. An issue in the row is left out.
    Freeze(PublicationRow),
    /// Makes a frozen dataset a published version; its number must be the next of the dataset.
    Issue {
        /// What was frozen; not issued yet.
        publication: PublicationId,
        /// Number, root and key.
        issue: Issue,
        /// The manifest's blobs.
        blobs: BlobUse,
    },
    /// Drops a frozen dataset, issued or not.
    DropPublication {
        /// Which.
        publication: PublicationId,
        /// The time at which its blobs lose this reference.
        now: Timestamp,
    },
    /// Puts a frozen dataset back, its rows apart. Used by a dump only.
    RestorePublication {
        /// The publication, issued or not.
        row: PublicationRow,
        /// The manifest's blobs.
        blobs: BlobUse,
    },
    /// Puts one row of a frozen dataset back. Used by a dump only.
    RestoreFrozen {
        /// Whose row.
        publication: PublicationId,
        /// The object as it was frozen.
        row: ObjectRow,
        /// Whether versioning was enabled when it was written.
        versioned: bool,
        /// What was attached to it.
        attached: Attached,
        /// What is kept beside that.
        facts: Facts,
        /// Whether the dataset still has this write, with the same attached: an adapter may then
        /// share what it keeps of it.
        live: bool,
        /// Its blobs.
        blobs: BlobUse,
    },
    /// Begins work on a dataset's keys, of which there is one piece at a time. From here on rows
    /// sealed under a key below its floor are refused ([`super::Conflict::KeyRetired`]) and what
    /// is erased is gone for everybody: an object or version with its rows, a dataset with its
    /// name. Frozen datasets that are no versions yet are dropped. What is locked is refused.
    BeginKeyWork(KeyWorkRow),
    /// Takes more rows of a dataset that is being erased out of the catalog.
    EraseRows {
        /// The work.
        work: KeyWorkId,
        /// How many rows at most.
        limit: u32,
    },
    /// Puts a part table in the place of the one that every row of this write has; none is no
    /// error.
    Rewrap {
        /// The dataset.
        dataset: DatasetId,
        /// The key.
        key: ObjectKey,
        /// The write.
        version: VersionId,
        /// The same table, sealed under another key.
        sealed_table: Bytes,
    },
    /// Puts a part table in the place of a part's; a part that is gone is no error.
    RewrapPart {
        /// The upload.
        upload: UploadId,
        /// The part's number.
        number: u32,
        /// The part's version.
        version: VersionId,
        /// The same table, sealed under another key.
        sealed_table: Bytes,
    },
    /// Puts the key of a published version's index in the place of the one that is there; a version
    /// that is gone is no error.
    RewrapIndex {
        /// The version.
        publication: PublicationId,
        /// The same key, sealed under another.
        sealed_key: Bytes,
    },
    /// Notes that blobs of an erasure are gone from the store.
    ForgetDoomed {
        /// The work.
        work: KeyWorkId,
        /// The blobs.
        blobs: Vec<BlobId>,
    },
    /// Ends work on keys, of which nothing may be left to do. A dataset that was erased is gone.
    EndKeyWork {
        /// The work.
        work: KeyWorkId,
        /// How it ended.
        end: WorkEnd,
    },
    /// Puts work on keys back as it is. Used by a dump only.
    RestoreKeyWork(KeyWorkRow),
    /// Puts what an erasure took out back. Used by a dump only.
    RestoreErased {
        /// The work.
        work: KeyWorkId,
        /// The next lines of its list.
        writes: Vec<ErasedWrite>,
        /// Blobs.
        blobs: Vec<DoomedBlob>,
    },
}
