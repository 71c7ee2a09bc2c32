//! What can be written to the catalog, each with its precondition.

use super::entity::{
    CredentialRow, DatasetRow, ObjectRow, PartRow, PrincipalRow, ProjectRow, UploadRow,
};
use crate::policy::Grant;
use crate::types::{
    AccessKeyId, BlobId, DatasetId, ETag, GrantId, ObjectKey, Timestamp, UploadId, VersionId,
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
}

/// One change of the catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// Makes a project; it must be new.
    CreateProject(ProjectRow),
    /// Makes a dataset; its project must exist, its name and id must be new.
    CreateDataset(DatasetRow),
    /// Deletes a dataset, which must hold no object and no upload.
    DeleteDataset(DatasetId),
    /// Makes a principal; it must be new.
    CreatePrincipal(PrincipalRow),
    /// Makes a credential; its principal must exist.
    CreateCredential(CredentialRow),
    /// Deletes a credential, which must exist.
    DeleteCredential(AccessKeyId),
    /// Makes a grant; project and principal must exist.
    CreateGrant(Grant),
    /// Withdraws a grant, which must exist.
    DeleteGrant(GrantId),
    /// Writes an object in the place of the one that is there, if any.
    PutObject {
        /// The object.
        row: ObjectRow,
        /// Its blobs.
        blobs: BlobUse,
        /// When.
        condition: Condition,
    },
    /// Deletes an object; deleting what is absent is no error unless the condition says so.
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
}

impl Mutation {
    /// Whether it changes who may do what, and so [`super::Catalog::generation`].
    pub(super) const fn changes_access(&self) -> bool {
        match self {
            Self::CreateProject(_)
            | Self::CreateDataset(_)
            | Self::DeleteDataset(_)
            | Self::CreatePrincipal(_)
            | Self::CreateCredential(_)
            | Self::DeleteCredential(_)
            | Self::CreateGrant(_)
            | Self::DeleteGrant(_) => true,
            Self::PutObject { .. }
            | Self::DeleteObject { .. }
            | Self::CreateUpload(_)
            | Self::PutPart { .. }
            | Self::CompleteUpload { .. }
            | Self::AbortUpload { .. }
            | Self::RestoreBlobs(_)
            | Self::ForgetBlobs(_)
            | Self::RestoreSeq(_) => false,
        }
    }
}
