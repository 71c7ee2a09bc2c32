//! The operations: each translates its input into one use case and the answer back.

mod bucket;
mod copy;
mod delete;
mod get;
mod list;
mod multipart;
mod put;

use std::sync::Arc;

use async_trait::async_trait;
use s3s::dto::{self, StreamingBlob};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::body;
use super::error::{internal, invalid_request};
use super::scope::Scope;
use super::translate::checksums;
use crate::vault::{Call, Input, Vault};

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
}

/// The scope of a request.
pub(super) fn scope_of<T>(request: &S3Request<T>) -> S3Result<&Arc<Scope>> {
    request
        .extensions
        .get::<Arc<Scope>>()
        .ok_or_else(|| internal("a request without a scope"))
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
    let checks = crate::vault::BodyChecks {
        md5: checksums::content_md5(headers)?,
        expected,
        compute,
        at_end: Some(Box::new(move || {
            watch.verdict()?;
            checksums::in_trailer(&announced, trailer.as_ref())
        })),
    };
    Ok(body::input(blob, checksums::body_length(headers)?, checks))
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
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput;
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
