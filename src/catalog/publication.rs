//! Datasets frozen as they were at one moment.

use bytes::Bytes;

use crate::types::{DatasetId, PrincipalId, PublicationId, Timestamp};

/// A dataset frozen at one moment: its objects as they were then, for good. It becomes a published
/// version when its manifest is issued; until then nobody reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicationRow {
    /// Its identity.
    pub id: PublicationId,
    /// The dataset that was frozen.
    pub dataset: DatasetId,
    /// Who did it.
    pub publisher: PrincipalId,
    /// When.
    pub frozen: Timestamp,
    /// What makes it a version. Set by [`super::Mutation::Issue`] alone.
    pub issue: Option<Issue>,
}

/// What makes a frozen dataset a published version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issue {
    /// Its number within the dataset, from 1.
    pub number: u32,
    /// The manifest's root with its signature.
    pub envelope: Bytes,
    /// The key of the manifest's index, sealed under the dataset's key.
    pub sealed_key: Bytes,
}
