//! The operations: each translates its input into one use case and the answer back.

mod bucket;
mod copy;
mod cors;
mod delete;
mod get;
mod lifecycle;
mod list;
mod lock;
mod multipart;
mod post;
mod put;
mod rights;
mod tagging;
mod versions;
mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use s3s::dto::{self, Owner, StreamingBlob};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use self::xml::verify_xml;
use super::body;
use super::error::{internal, invalid_request};
use super::scope::Scope;
use super::translate::{self, checksums};
use crate::catalog::ObjectRow;
use crate::vault::{BodyChecks, Call, ErrorKind, Input, Place, Vault, VaultError};

/// Serves the library's operations from a vault.
pub(super) struct Handlers {
    vault: Arc<Vault>,
    region: Arc<str>,
}

impl Handlers {
    /// Over this vault, in this region.
    pub(super) fn new(vault: Arc<Vault>, region: &str) -> Self {
        Self {
            vault,
            region: region.into(),
        }
    }

    /// Who owns what is in a bucket.
    fn owner(&self, bucket: &str) -> Owner {
        translate::owner(bucket, self.vault.default_project().as_str())
    }

    /// `x-amz-expiration` of an object that was just written.
    async fn expiration(&self, row: &ObjectRow) -> Option<String> {
        let expires = self.vault.expires(row).await?;
        translate::lifecycle::expiration(&expires)
    }
}

/// The scope of a request.
pub(super) fn scope_of<T>(request: &S3Request<T>) -> S3Result<&Arc<Scope>> {
    request
        .extensions
        .get::<Arc<Scope>>()
        .ok_or_else(|| internal("a request without a scope"))
}

/// Where an object is, or the version of it that the request names.
fn place<'a>(bucket: &'a str, key: &'a str, version: Option<&str>) -> S3Result<Place<'a>> {
    let version = translate::version_named(version)?;
    Ok(Place {
        bucket,
        key,
        version,
    })
}

/// The catalog never gives another setting than the one that was asked for.
fn other_setting() -> S3Error {
    internal("a setting of another kind")
}

/// Says of a setting that is not there what S3 calls that.
fn unset(error: VaultError, code: S3ErrorCode) -> S3Error {
    if error.kind() == ErrorKind::NoSuchSetting {
        let mut named = S3Error::with_message(code, "The bucket has no such setting.");
        named.set_status_code(http::StatusCode::NOT_FOUND);
        return named;
    }
    error.into()
}

/// The request as the vault knows it.
fn call_of<T>(request: &S3Request<T>) -> S3Result<Call> {
    Ok(scope_of(request)?.serve())
}

#[expect(clippy::unnecessary_wraps, reason = "it ends every operation")]
fn ok<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

/// A body on its way in, with everything that it must agree with.
pub(super) fn input_of<T>(request: &S3Request<T>, blob: Option<StreamingBlob>) -> S3Result<Input> {
    let checks = checks_of(request)?;
    Ok(body::input(
        blob,
        checksums::body_length(&request.headers)?,
        checks,
    ))
}

/// What the headers of a request say of its body.
fn checks_of<T>(request: &S3Request<T>) -> S3Result<BodyChecks> {
    let headers = &request.headers;
    let watch = Arc::clone(scope_of(request)?.watch());
    let announced = checksums::announced(headers)?;
    if !announced.is_empty() && !watch.is_chunked() {
        return Err(invalid_request("A trailer needs a streaming payload."));
    }
    let expected = checksums::in_headers(headers)?;
    let mut compute = announced.clone();
    compute.extend(checksums::asked(headers)?);
    compute.retain(|kind| !expected.iter().any(|(known, _)| known == kind));
    compute.sort_unstable();
    compute.dedup();
    let trailer = request.trailing_headers.clone();
    Ok(BodyChecks {
        md5: checksums::content_md5(headers)?,
        expected,
        compute,
        at_end: Some(Box::new(move || {
            watch.verdict()?;
            checksums::in_trailer(&announced, trailer.as_ref())
        })),
    })
}

macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident;)*) => {
        #[async_trait]
        impl S3 for Handlers {
            $(
                async fn $name(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                    self.$name(request).await
                }
            )*
        }
    };
}

// The inherent methods of the same names stand in the files beside this one.
operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput;
    head_bucket(HeadBucketInput) -> HeadBucketOutput;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput;
    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput;
    put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput;
    post_object(PostObjectInput) -> PostObjectOutput;
    create_bucket(CreateBucketInput) -> CreateBucketOutput;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    list_objects(ListObjectsInput) -> ListObjectsOutput;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    get_object(GetObjectInput) -> GetObjectOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput;
    put_object(PutObjectInput) -> PutObjectOutput;
    copy_object(CopyObjectInput) -> CopyObjectOutput;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    upload_part(UploadPartInput) -> UploadPartOutput;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    list_parts(ListPartsInput) -> ListPartsOutput;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
}
