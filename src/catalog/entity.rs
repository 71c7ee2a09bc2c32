//! The rows of the catalog.

use std::sync::Arc;

use bytes::Bytes;

use super::card::{Card, CardDefaults};
use crate::types::{
    AccessKeyId, BucketName, ChecksumKind, Checksums, DatasetId, ETag, GrantId, KeyScope, Label,
    Lock, LockDefaults, LogTerms, ObjectKey, PrincipalId, PrincipalKind, ProjectName, Timestamp,
    UploadId, VersionId, VersionName, Versioning,
};

/// A project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectRow {
    /// Its name, which is its identity.
    pub name: ProjectName,
    /// When it was made.
    pub created: Timestamp,
    /// What its datasets are that say nothing themselves. Set by
    /// [`super::Mutation::SetDefaults`] alone.
    pub defaults: Option<CardDefaults>,
    /// How its records are kept. Set by [`super::Mutation::SetLogTerms`] alone: a project begins
    /// with the default.
    pub log: LogTerms,
}

/// A dataset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatasetRow {
    /// Its identity, bound into every key and blob.
    pub id: DatasetId,
    /// Project and name.
    pub bucket: BucketName,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub creator: PrincipalId,
    /// Whether it keeps what is overwritten. Set by [`super::Mutation::SetVersioning`] alone: a
    /// dataset begins without.
    pub versioning: Versioning,
    /// What new objects get that do not say otherwise. Set by mutations of their own, too.
    pub defaults: Defaults,
    /// What it is said to be; without it takes no data. Set by [`super::Mutation::SetCard`].
    pub card: Option<Arc<Card>>,
}

/// What a dataset gives to new objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Defaults {
    /// Object Lock, if it is enabled. Set by [`super::Mutation::SetObjectLock`].
    pub lock: Option<LockDefaults>,
    /// The name of the key that clients are told of. Set by [`super::Mutation::SetKeyName`].
    pub key_name: Option<String>,
}

/// A person or workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrincipalRow {
    /// Its name, which is its identity.
    pub id: PrincipalId,
    /// Person, workload or group.
    pub kind: PrincipalKind,
    /// The person a workload acts for; `None` for a person (ID-1).
    pub acts_for: Option<PrincipalId>,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it is suspended and may do nothing. Set by [`super::Mutation::SetSuspended`]
    /// alone.
    pub suspended: Option<Timestamp>,
    /// The highest label that it is cleared for; `None` for the default. Set by
    /// [`super::Mutation::SetClearance`] alone.
    pub clearance: Option<Label>,
}

/// An S3 credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialRow {
    /// The public half.
    pub id: AccessKeyId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// The secret half, sealed by the key ring.
    pub sealed_secret: Bytes,
    /// When it was made.
    pub created: Timestamp,
    /// After this moment it is refused.
    pub expires: Option<Timestamp>,
    /// Which part of its owner's rights it carries; `None` for all of them. Set by
    /// [`super::Mutation::ScopeCredential`] alone, in the commit that makes it.
    pub scope: Option<Box<KeyScope>>,
}

/// Whom an issuer's subject is here. Two subjects are never one by a change of letters: both are
/// kept and compared as they are (ID-7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityRow {
    /// The issuer's name in the vault's configuration.
    pub issuer: String,
    /// The subject in the issuer's words.
    pub subject: String,
    /// Whom it is here.
    pub principal: PrincipalId,
    /// Since when.
    pub linked: Timestamp,
}

/// When grants and credentials were last used, to the minute or so. The log knows each use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uses {
    /// Of grants.
    pub grants: Vec<(GrantId, Timestamp)>,
    /// Of credentials.
    pub credentials: Vec<(AccessKeyId, Timestamp)>,
}

/// What S3 keeps beside an object's bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectMeta {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, as the client wrote it.
    pub expires: Option<String>,
    /// `x-amz-meta-*`, names in lower case, in order of name.
    pub user: Vec<(String, String)>,
}

/// What is attached to an object beside its row: an object begins without.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attached {
    /// Tags, in order of name, each name once. Set by [`super::Mutation::SetAttached`].
    pub tags: Vec<(String, String)>,
    /// More. Each is set by a mutation of its own.
    pub facts: Facts,
}

/// What few objects have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// What keeps the version from being deleted.
    pub lock: Lock,
    /// The name of the key that its writer asked for, told to clients that ask (`aws:kms`). What
    /// the object is really sealed under is the dataset's key.
    pub key_name: Option<String>,
}

/// How an object came out of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The upload.
    pub upload: UploadId,
    /// Who began it.
    pub initiator: PrincipalId,
    /// SHA-256 of what its completion named.
    pub completion: Bytes,
    /// The checksums of each part, in order; empty if no part has any.
    pub parts: Vec<Checksums>,
}

/// One object: the current version under a key, or an older one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectRow {
    /// The dataset.
    pub dataset: DatasetId,
    /// The key.
    pub key: ObjectKey,
    /// This write's identity.
    pub version: VersionId,
    /// Plaintext length in bytes.
    pub bytes: u64,
    /// The entity tag.
    pub etag: ETag,
    /// When it was written.
    pub modified: Timestamp,
    /// Metadata.
    pub meta: ObjectMeta,
    /// Checksums of the plaintext that are known.
    pub checksums: Checksums,
    /// The parts' plaintext lengths, for reads by part number; empty unless multipart.
    pub part_bytes: Vec<u64>,
    /// The part table: which blobs, under which data keys; sealed under the dataset's key and
    /// bound to everything above but the metadata. Empty for an object of no bytes.
    pub sealed_table: Bytes,
    /// Whether versioning was enabled when it was written: the catalog decides that as it applies
    /// the write. If not, its name is `null`.
    pub versioned: bool,
    /// What can change without a write.
    pub attached: Attached,
}

impl ObjectRow {
    /// What clients call this version.
    #[must_use]
    pub const fn name(&self) -> VersionName {
        VersionName::of(self.version, self.versioned)
    }

    /// The row as a write makes it: what the catalog or other mutations set is left out.
    pub(super) fn bare(self) -> Self {
        Self {
            versioned: false,
            attached: Attached::default(),
            ..self
        }
    }
}

/// A delete marker: says that from here on there is no object under this key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkerRow {
    /// The dataset.
    pub dataset: DatasetId,
    /// The key.
    pub key: ObjectKey,
    /// Its identity.
    pub version: VersionId,
    /// Whether versioning was enabled when it was made; if not, its name is `null`.
    pub versioned: bool,
    /// When it was made.
    pub modified: Timestamp,
}

impl MarkerRow {
    /// What clients call it.
    #[must_use]
    pub const fn name(&self) -> VersionName {
        VersionName::of(self.version, self.versioned)
    }
}

/// One version of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time: it is looked up, never kept in a list"
)]
pub enum Version {
    /// An object.
    Object(ObjectRow),
    /// A delete marker.
    Marker(MarkerRow),
}

/// A multipart upload in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadRow {
    /// Its identity.
    pub id: UploadId,
    /// The dataset.
    pub dataset: DatasetId,
    /// The key it will be completed under.
    pub key: ObjectKey,
    /// Who began it.
    pub initiator: PrincipalId,
    /// When.
    pub initiated: Timestamp,
    /// Metadata of the object to be.
    pub meta: ObjectMeta,
    /// The checksum algorithm that the client announced, and whether composite.
    pub checksum: Option<(ChecksumKind, bool)>,
    /// Tags of the object to be. Set by [`super::Mutation::SetUploadTags`] alone.
    pub tags: Vec<(String, String)>,
    /// What else the object is to have. Set by [`super::Mutation::SetUploadFacts`] alone.
    pub facts: Facts,
}

/// One part of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartRow {
    /// The upload.
    pub upload: UploadId,
    /// 1 to 10,000.
    pub number: u32,
    /// This write's identity: uploading a part again makes another.
    pub version: VersionId,
    /// Plaintext length in bytes.
    pub bytes: u64,
    /// The entity tag.
    pub etag: ETag,
    /// When it was written.
    pub modified: Timestamp,
    /// Checksums of the part's plaintext that are known.
    pub checksums: Checksums,
    /// The part's own table of blobs, sealed as an object's is.
    pub sealed_table: Bytes,
}
