//! Tags of objects and of buckets.

use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetObjectTaggingInput, GetObjectTaggingOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, other_setting, place, verify_xml};
use crate::catalog::{Setting, SettingKind};
use crate::s3::translate::tags;

impl Handlers {
    /// An object's tags.
    pub(super) async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let seen = self.vault.object_tags(&call, place).await?;
        ok(GetObjectTaggingOutput {
            tag_set: tags::told(&seen.row.attached.tags),
            version_id: seen.version.map(|name| name.to_string()),
        })
    }

    /// Sets an object's tags.
    pub(super) async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let tags = tags::of_xml(asked.tagging.tag_set)?;
        let row = self.vault.set_object_tags(&call, place, tags).await?;
        ok(PutObjectTaggingOutput {
            version_id: row.versioned.then(|| row.name().to_string()),
        })
    }

    /// Removes an object's tags.
    pub(super) async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let row = self.vault.set_object_tags(&call, place, Vec::new()).await?;
        ok(DeleteObjectTaggingOutput {
            version_id: row.versioned.then(|| row.name().to_string()),
        })
    }

    /// A bucket's tags.
    pub(super) async fn get_bucket_tagging(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let kind = SettingKind::Tags;
        match self.vault.setting(&call, bucket, kind).await? {
            Setting::Tags(found) => ok(GetBucketTaggingOutput {
                tag_set: tags::told(&found),
            }),
            Setting::Cors(_) | Setting::Lifecycle(_) => Err(other_setting()),
        }
    }

    /// Sets a bucket's tags.
    pub(super) async fn put_bucket_tagging(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let value = Setting::Tags(tags::of_xml(asked.tagging.tag_set)?);
        self.vault
            .set_setting(&call, &asked.bucket, SettingKind::Tags, Some(value))
            .await?;
        ok(PutBucketTaggingOutput::default())
    }

    /// Removes a bucket's tags.
    pub(super) async fn delete_bucket_tagging(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        let call = call_of(&request)?;
        self.vault
            .set_setting(&call, &request.input.bucket, SettingKind::Tags, None)
            .await?;
        ok(DeleteBucketTaggingOutput::default())
    }
}
