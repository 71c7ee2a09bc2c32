//! Use cases: decide, record, do, record. Written once; every edge calls these and no other way
//! leads to an object.

mod ask;
mod error;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

pub use ask::{
    AtEnd, BodyChecks, BodyError, Call, CompletedPart, Completing, CopySource, Deleted, Input,
    InputBody, NewObject, Place, ReadAsk, ReadConditions, Reading, Seen, Span, TagMatch, Turned,
    WriteConditions,
};
pub use error::{ErrorKind, VaultError};

use crate::catalog::{
    DatasetRow, ListQuery, ObjectRow, Page, PartPage, PartRow, UploadPage, UploadQuery, UploadRow,
};
use crate::types::{AccessKeyId, PrincipalId, SecretText, Timestamp, UploadId};

/// An object's plaintext, in order; each piece has authenticated. An error cuts the stream.
pub type PlainBody = Pin<Box<dyn Stream<Item = Result<Bytes, VaultError>> + Send + Sync>>;

/// Who a credential belongs to, and the secret that proves it.
pub struct Identity {
    /// Whose it is.
    pub principal: PrincipalId,
    /// The person a workload acts for.
    pub responsible: Option<PrincipalId>,
    /// The credential's secret half.
    pub secret: SecretText,
}

/// The vault.
pub struct Vault {}

macro_rules! later {
    () => {
        Err(VaultError::new(ErrorKind::Internal, "not yet"))
    };
}

#[expect(missing_docs, clippy::unused_async, reason = "signatures first")]
impl Vault {
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
    pub fn new_event(&self) -> Result<crate::types::EventId, VaultError> {
        later!()
    }
    pub async fn identity(&self, _id: &AccessKeyId) -> Result<Option<Identity>, VaultError> {
        later!()
    }
    pub async fn record_turned(&self, _call: &Call, _turned: Turned<'_>) -> Result<(), VaultError> {
        later!()
    }

    pub async fn list_datasets(&self, _call: &Call) -> Result<Vec<DatasetRow>, VaultError> {
        later!()
    }
    pub async fn head_dataset(
        &self,
        _call: &Call,
        _bucket: &str,
    ) -> Result<DatasetRow, VaultError> {
        later!()
    }
    pub async fn create_dataset(
        &self,
        _call: &Call,
        _bucket: &str,
    ) -> Result<DatasetRow, VaultError> {
        later!()
    }
    pub async fn delete_dataset(&self, _call: &Call, _bucket: &str) -> Result<(), VaultError> {
        later!()
    }
    pub async fn list_objects(
        &self,
        _call: &Call,
        _bucket: &str,
        _query: ListQuery,
    ) -> Result<Page, VaultError> {
        later!()
    }

    pub async fn head_object(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _ask: ReadAsk,
    ) -> Result<Seen, VaultError> {
        later!()
    }
    pub async fn read_object(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _ask: ReadAsk,
    ) -> Result<Reading, VaultError> {
        later!()
    }
    pub async fn write_object(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _new: NewObject,
        _input: Input,
    ) -> Result<ObjectRow, VaultError> {
        later!()
    }
    /// `meta`: `None` keeps the source's.
    pub async fn copy_object(
        &self,
        _call: &Call,
        _from: CopySource<'_>,
        _to: Place<'_>,
        _meta: Option<crate::catalog::ObjectMeta>,
        _conditions: WriteConditions,
    ) -> Result<ObjectRow, VaultError> {
        later!()
    }
    pub async fn delete_object(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _conditions: WriteConditions,
    ) -> Result<(), VaultError> {
        later!()
    }
    /// One record for each key.
    pub async fn delete_objects(
        &self,
        _call: &Call,
        _bucket: &str,
        _keys: Vec<(String, WriteConditions)>,
    ) -> Result<Vec<Deleted>, VaultError> {
        later!()
    }

    pub async fn create_upload(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _new: NewObject,
        _checksum: Option<(crate::types::ChecksumKind, bool)>,
    ) -> Result<UploadRow, VaultError> {
        later!()
    }
    pub async fn put_part(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _upload: &str,
        _number: u32,
        _input: Input,
    ) -> Result<PartRow, VaultError> {
        later!()
    }
    pub async fn copy_part(
        &self,
        _call: &Call,
        _from: CopySource<'_>,
        _to: Place<'_>,
        _upload: &str,
        _number: u32,
    ) -> Result<PartRow, VaultError> {
        later!()
    }
    pub async fn complete_upload(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _upload: &str,
        _completing: Completing,
    ) -> Result<ObjectRow, VaultError> {
        later!()
    }
    pub async fn abort_upload(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _upload: &str,
    ) -> Result<(), VaultError> {
        later!()
    }
    pub async fn list_parts(
        &self,
        _call: &Call,
        _place: Place<'_>,
        _upload: &str,
        _after: u32,
        _limit: usize,
    ) -> Result<(UploadRow, PartPage), VaultError> {
        later!()
    }
    pub async fn list_uploads(
        &self,
        _call: &Call,
        _bucket: &str,
        _query: UploadQuery,
    ) -> Result<UploadPage, VaultError> {
        later!()
    }
    pub fn unused(_: UploadId) {}
}
