//! Which operations are served. Everything else is refused here, and by name, so that an operation
//! that the library learns is a lint error until someone has decided about it.
//!
//! Whether *this* caller may do *this* is not decided here: the use case decides.

use std::sync::Arc;

use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::error::{internal, not_served};
use super::scope::Scope;
use super::{expected, headers, signed};

/// The gate before every operation.
pub(super) struct Gate {
    /// Whose a bucket is whose name says no project.
    pub(super) default_project: String,
}

macro_rules! operations {
    (
        served: { $($yes:ident $yes_input:ident $yes_name:literal,)* }
        refused: { $($no:ident $no_input:ident $no_name:literal,)* }
    ) => {
        /// The operations that are served.
        pub const SERVED: &[&str] = &[$($yes_name),*];
        /// The operations that are known and refused.
        pub(super) const REFUSED: &[&str] = &[$($no_name),*];

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl S3Access for Gate {
            async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
                check(context, &self.default_project)
            }

            $(
                async fn $yes(&self, _: &mut S3Request<dto::$yes_input>) -> S3Result<()> {
                    Ok(())
                }
            )*

            $(
                async fn $no(&self, _: &mut S3Request<dto::$no_input>) -> S3Result<()> {
                    Err(not_served(concat!("the operation ", $no_name)))
                }
            )*
        }
    };
}

/// Runs before the library reads the operation's input.
fn check(context: &mut S3AccessContext<'_>, default_project: &str) -> S3Result<()> {
    let Some(access_key) = context.credentials().map(|c| c.access_key.clone()) else {
        return Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "Access denied. Requests are signed.",
        ));
    };
    let scope = context.extensions_mut().get::<Arc<Scope>>().cloned();
    let scope = scope.ok_or_else(|| internal("a request without a scope"))?;
    if !scope.prove(&access_key) {
        return Err(internal("a signature of another credential"));
    }
    let name = context.s3_op().name();
    let query = context.uri().query().unwrap_or_default();
    if name == "PostObject" {
        signed::check_form(context.headers(), query)?;
    } else {
        signed::check(context.headers(), query)?;
        signed::check_service(context.headers(), query, "s3")?;
    }
    if scope.has_stray_token() {
        return Err(S3Error::with_message(
            S3ErrorCode::InvalidToken,
            "The token belongs to no session of this credential.",
        ));
    }
    let Some(served) = SERVED.iter().find(|served| **served == name) else {
        if let Some(refused) = REFUSED.iter().find(|refused| **refused == name) {
            scope.name(refused);
        }
        return Err(not_served(&format!("the operation {name}")));
    };
    scope.name(served);
    headers::check(name, context.method(), context.headers())?;
    expected::check(
        context.headers(),
        context.s3_path().get_bucket_name(),
        default_project,
    )
}

operations! {
    served: {
        list_buckets ListBucketsInput "ListBuckets",
        head_bucket HeadBucketInput "HeadBucket",
        get_bucket_location GetBucketLocationInput "GetBucketLocation",
        create_bucket CreateBucketInput "CreateBucket",
        delete_bucket DeleteBucketInput "DeleteBucket",
        get_bucket_versioning GetBucketVersioningInput "GetBucketVersioning",
        get_bucket_encryption GetBucketEncryptionInput "GetBucketEncryption",
        list_objects ListObjectsInput "ListObjects",
        list_objects_v2 ListObjectsV2Input "ListObjectsV2",
        get_object GetObjectInput "GetObject",
        head_object HeadObjectInput "HeadObject",
        get_object_attributes GetObjectAttributesInput "GetObjectAttributes",
        get_object_tagging GetObjectTaggingInput "GetObjectTagging",
        put_object PutObjectInput "PutObject",
        copy_object CopyObjectInput "CopyObject",
        delete_object DeleteObjectInput "DeleteObject",
        delete_objects DeleteObjectsInput "DeleteObjects",
        create_multipart_upload CreateMultipartUploadInput "CreateMultipartUpload",
        upload_part UploadPartInput "UploadPart",
        upload_part_copy UploadPartCopyInput "UploadPartCopy",
        complete_multipart_upload CompleteMultipartUploadInput "CompleteMultipartUpload",
        abort_multipart_upload AbortMultipartUploadInput "AbortMultipartUpload",
        list_parts ListPartsInput "ListParts",
        list_multipart_uploads ListMultipartUploadsInput "ListMultipartUploads",
        get_public_access_block GetPublicAccessBlockInput "GetPublicAccessBlock",
        get_bucket_ownership_controls GetBucketOwnershipControlsInput "GetBucketOwnershipControls",
        get_bucket_policy_status GetBucketPolicyStatusInput "GetBucketPolicyStatus",
        get_object_acl GetObjectAclInput "GetObjectAcl",
        get_bucket_acl GetBucketAclInput "GetBucketAcl",
        put_object_tagging PutObjectTaggingInput "PutObjectTagging",
        delete_object_tagging DeleteObjectTaggingInput "DeleteObjectTagging",
        put_bucket_tagging PutBucketTaggingInput "PutBucketTagging",
        get_bucket_tagging GetBucketTaggingInput "GetBucketTagging",
        delete_bucket_tagging DeleteBucketTaggingInput "DeleteBucketTagging",
        put_bucket_versioning PutBucketVersioningInput "PutBucketVersioning",
        list_object_versions ListObjectVersionsInput "ListObjectVersions",
        get_bucket_cors GetBucketCorsInput "GetBucketCors",
        put_bucket_cors PutBucketCorsInput "PutBucketCors",
        delete_bucket_cors DeleteBucketCorsInput "DeleteBucketCors",
        put_bucket_encryption PutBucketEncryptionInput "PutBucketEncryption",
        delete_bucket_encryption DeleteBucketEncryptionInput "DeleteBucketEncryption",
        get_bucket_lifecycle_configuration GetBucketLifecycleConfigurationInput "GetBucketLifecycleConfiguration",
        put_bucket_lifecycle_configuration PutBucketLifecycleConfigurationInput "PutBucketLifecycleConfiguration",
        delete_bucket_lifecycle DeleteBucketLifecycleInput "DeleteBucketLifecycle",
        get_object_lock_configuration GetObjectLockConfigurationInput "GetObjectLockConfiguration",
        put_object_lock_configuration PutObjectLockConfigurationInput "PutObjectLockConfiguration",
        get_object_retention GetObjectRetentionInput "GetObjectRetention",
        put_object_retention PutObjectRetentionInput "PutObjectRetention",
        get_object_legal_hold GetObjectLegalHoldInput "GetObjectLegalHold",
        put_object_legal_hold PutObjectLegalHoldInput "PutObjectLegalHold",
        get_bucket_policy GetBucketPolicyInput "GetBucketPolicy",
        put_bucket_acl PutBucketAclInput "PutBucketAcl",
        put_bucket_ownership_controls PutBucketOwnershipControlsInput "PutBucketOwnershipControls",
        put_object_acl PutObjectAclInput "PutObjectAcl",
        put_public_access_block PutPublicAccessBlockInput "PutPublicAccessBlock",
        post_object PostObjectInput "PostObject",
    }
    refused: {
        create_bucket_metadata_configuration CreateBucketMetadataConfigurationInput "CreateBucketMetadataConfiguration",
        create_bucket_metadata_table_configuration CreateBucketMetadataTableConfigurationInput "CreateBucketMetadataTableConfiguration",
        create_session CreateSessionInput "CreateSession",
        delete_bucket_analytics_configuration DeleteBucketAnalyticsConfigurationInput "DeleteBucketAnalyticsConfiguration",
        delete_bucket_intelligent_tiering_configuration DeleteBucketIntelligentTieringConfigurationInput "DeleteBucketIntelligentTieringConfiguration",
        delete_bucket_inventory_configuration DeleteBucketInventoryConfigurationInput "DeleteBucketInventoryConfiguration",
        delete_bucket_metadata_configuration DeleteBucketMetadataConfigurationInput "DeleteBucketMetadataConfiguration",
        delete_bucket_metadata_table_configuration DeleteBucketMetadataTableConfigurationInput "DeleteBucketMetadataTableConfiguration",
        delete_bucket_metrics_configuration DeleteBucketMetricsConfigurationInput "DeleteBucketMetricsConfiguration",
        delete_bucket_ownership_controls DeleteBucketOwnershipControlsInput "DeleteBucketOwnershipControls",
        delete_bucket_policy DeleteBucketPolicyInput "DeleteBucketPolicy",
        delete_bucket_replication DeleteBucketReplicationInput "DeleteBucketReplication",
        delete_bucket_website DeleteBucketWebsiteInput "DeleteBucketWebsite",
        delete_object_annotation DeleteObjectAnnotationInput "DeleteObjectAnnotation",
        delete_public_access_block DeletePublicAccessBlockInput "DeletePublicAccessBlock",
        get_bucket_abac GetBucketAbacInput "GetBucketAbac",
        get_bucket_accelerate_configuration GetBucketAccelerateConfigurationInput "GetBucketAccelerateConfiguration",
        get_bucket_analytics_configuration GetBucketAnalyticsConfigurationInput "GetBucketAnalyticsConfiguration",
        get_bucket_intelligent_tiering_configuration GetBucketIntelligentTieringConfigurationInput "GetBucketIntelligentTieringConfiguration",
        get_bucket_inventory_configuration GetBucketInventoryConfigurationInput "GetBucketInventoryConfiguration",
        get_bucket_logging GetBucketLoggingInput "GetBucketLogging",
        get_bucket_metadata_configuration GetBucketMetadataConfigurationInput "GetBucketMetadataConfiguration",
        get_bucket_metadata_table_configuration GetBucketMetadataTableConfigurationInput "GetBucketMetadataTableConfiguration",
        get_bucket_metrics_configuration GetBucketMetricsConfigurationInput "GetBucketMetricsConfiguration",
        get_bucket_notification_configuration GetBucketNotificationConfigurationInput "GetBucketNotificationConfiguration",
        get_bucket_replication GetBucketReplicationInput "GetBucketReplication",
        get_bucket_request_payment GetBucketRequestPaymentInput "GetBucketRequestPayment",
        get_bucket_website GetBucketWebsiteInput "GetBucketWebsite",
        get_object_annotation GetObjectAnnotationInput "GetObjectAnnotation",
        get_object_torrent GetObjectTorrentInput "GetObjectTorrent",
        list_bucket_analytics_configurations ListBucketAnalyticsConfigurationsInput "ListBucketAnalyticsConfigurations",
        list_bucket_intelligent_tiering_configurations ListBucketIntelligentTieringConfigurationsInput "ListBucketIntelligentTieringConfigurations",
        list_bucket_inventory_configurations ListBucketInventoryConfigurationsInput "ListBucketInventoryConfigurations",
        list_bucket_metrics_configurations ListBucketMetricsConfigurationsInput "ListBucketMetricsConfigurations",
        list_directory_buckets ListDirectoryBucketsInput "ListDirectoryBuckets",
        list_object_annotations ListObjectAnnotationsInput "ListObjectAnnotations",
        put_bucket_abac PutBucketAbacInput "PutBucketAbac",
        put_bucket_accelerate_configuration PutBucketAccelerateConfigurationInput "PutBucketAccelerateConfiguration",
        put_bucket_analytics_configuration PutBucketAnalyticsConfigurationInput "PutBucketAnalyticsConfiguration",
        put_bucket_intelligent_tiering_configuration PutBucketIntelligentTieringConfigurationInput "PutBucketIntelligentTieringConfiguration",
        put_bucket_inventory_configuration PutBucketInventoryConfigurationInput "PutBucketInventoryConfiguration",
        put_bucket_logging PutBucketLoggingInput "PutBucketLogging",
        put_bucket_metrics_configuration PutBucketMetricsConfigurationInput "PutBucketMetricsConfiguration",
        put_bucket_notification_configuration PutBucketNotificationConfigurationInput "PutBucketNotificationConfiguration",
        put_bucket_policy PutBucketPolicyInput "PutBucketPolicy",
        put_bucket_replication PutBucketReplicationInput "PutBucketReplication",
        put_bucket_request_payment PutBucketRequestPaymentInput "PutBucketRequestPayment",
        put_bucket_website PutBucketWebsiteInput "PutBucketWebsite",
        put_object_annotation PutObjectAnnotationInput "PutObjectAnnotation",
        rename_object RenameObjectInput "RenameObject",
        restore_object RestoreObjectInput "RestoreObject",
        select_object_content SelectObjectContentInput "SelectObjectContent",
        update_bucket_metadata_annotation_table_configuration UpdateBucketMetadataAnnotationTableConfigurationInput "UpdateBucketMetadataAnnotationTableConfiguration",
        update_bucket_metadata_inventory_table_configuration UpdateBucketMetadataInventoryTableConfigurationInput "UpdateBucketMetadataInventoryTableConfiguration",
        update_bucket_metadata_journal_table_configuration UpdateBucketMetadataJournalTableConfigurationInput "UpdateBucketMetadataJournalTableConfiguration",
        update_object_encryption UpdateObjectEncryptionInput "UpdateObjectEncryption",
        write_get_object_response WriteGetObjectResponseInput "WriteGetObjectResponse",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations of the library's trait, as of its version 0.17.0.
    const OPERATIONS: usize = 113;

    #[test]
    fn every_operation_is_served_or_refused() {
        let mut all: Vec<&str> = SERVED.iter().chain(REFUSED).copied().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), OPERATIONS);
    }

    #[test]
    fn what_must_be_refused_is_refused() {
        for name in [
            "DeletePublicAccessBlock",
            "DeleteBucketOwnershipControls",
            "PutBucketPolicy",
            "PutBucketWebsite",
            "GetObjectTorrent",
            "SelectObjectContent",
            "PutObjectAnnotation",
            "RenameObject",
        ] {
            assert!(REFUSED.contains(&name), "{name}");
        }
    }
}
