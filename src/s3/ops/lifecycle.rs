//! A bucket's lifecycle.

use s3s::dto::{
    BucketLifecycleConfiguration, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, other_setting, unset, verify_xml};
use crate::catalog::{Setting, SettingKind};
use crate::s3::translate::lifecycle;

const KIND: SettingKind = SettingKind::Lifecycle;

impl Handlers {
    /// A bucket's rules.
    pub(super) async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        let call = call_of(&request)?;
        let found = self.vault.setting(&call, &request.input.bucket, KIND).await;
        match found.map_err(|error| unset(error, S3ErrorCode::NoSuchLifecycleConfiguration))? {
            Setting::Lifecycle(rules) => ok(GetBucketLifecycleConfigurationOutput {
                rules: Some(rules.into_iter().map(lifecycle::told).collect()),
                ..GetBucketLifecycleConfigurationOutput::default()
            }),
            Setting::Tags(_) | Setting::Cors(_) => Err(other_setting()),
        }
    }

    /// Sets a bucket's rules.
    pub(super) async fn put_bucket_lifecycle_configuration(
        &self,
        request: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let Some(BucketLifecycleConfiguration { rules }) = asked.lifecycle_configuration else {
            return Err(S3Error::new(S3ErrorCode::MalformedXML));
        };
        let rules = Setting::Lifecycle(lifecycle::read(rules)?);
        self.vault
            .set_setting(&call, &asked.bucket, KIND, Some(rules))
            .await?;
        ok(PutBucketLifecycleConfigurationOutput::default())
    }

    /// Removes a bucket's rules.
    pub(super) async fn delete_bucket_lifecycle(
        &self,
        request: S3Request<DeleteBucketLifecycleInput>,
    ) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
        let call = call_of(&request)?;
        self.vault
            .set_setting(&call, &request.input.bucket, KIND, None)
            .await?;
        ok(DeleteBucketLifecycleOutput::default())
    }
}
