//! Buckets, which are datasets.

use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketConfiguration, CreateBucketInput,
    CreateBucketOutput, DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput,
    DeleteBucketInput, DeleteBucketOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, verify_xml};
use crate::catalog::Facts;
use crate::s3::error::not_served;
use crate::s3::translate::listing::{self, Texts};
use crate::s3::translate::{owner_named, times, wishes};
use crate::vault::KeyWish;

impl Handlers {
    /// The datasets that the caller may see, in order of name.
    pub(super) async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let page = listing::page(asked.max_buckets)?;
        let after = listing::some(asked.continuation_token)
            .map(|token| listing::after(&token))
            .transpose()?;
        let prefix = asked.prefix.unwrap_or_default();
        Texts::Plain.check(&[Some(&prefix)])?;
        let elsewhere = asked.bucket_region.is_some_and(|r| r != *self.region);

        let default = self.vault.default_project();
        let mut rows: Vec<(String, Option<Timestamp>)> = self
            .vault
            .list_datasets(&call)
            .await?
            .into_iter()
            .map(|row| (row.bucket, times::told(row.created)))
            // One of a project that was the default one when it was made may have no shorter name.
            .map(|(bucket, made)| {
                (
                    bucket.for_s3(default).unwrap_or_else(|| bucket.to_string()),
                    made,
                )
            })
            .filter(|(name, _)| !elsewhere && name.starts_with(&prefix))
            .filter(|(name, _)| after.as_ref().is_none_or(|after| name > after))
            .collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // Without `max-buckets` a client expects all.
        let more = asked.max_buckets.is_some() && rows.len() > page;
        if more {
            rows.truncate(page);
        }
        let last = rows.last().filter(|_| more);
        let token = last.map(|(name, _)| listing::token(name));
        let principal = call.session.principal.as_ref();
        ok(ListBucketsOutput {
            buckets: Some(rows.into_iter().map(|row| self.told(row)).collect()),
            continuation_token: token,
            owner: principal.map(|p| owner_named(p.as_str())),
            prefix: listing::some(Some(prefix)),
        })
    }

    fn told(&self, (name, created): (String, Option<Timestamp>)) -> Bucket {
        Bucket {
            bucket_region: Some(self.region.to_string()),
            creation_date: created,
            name: Some(name),
            ..Bucket::default()
        }
    }

    /// Whether a dataset is there.
    pub(super) async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let call = call_of(&request)?;
        let _row = self
            .vault
            .head_dataset(&call, &request.input.bucket)
            .await?;
        ok(HeadBucketOutput {
            bucket_region: Some(self.region.to_string()),
            ..HeadBucketOutput::default()
        })
    }

    /// Everything is where this gateway is.
    pub(super) async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let call = call_of(&request)?;
        let _row = self
            .vault
            .head_dataset(&call, &request.input.bucket)
            .await?;
        let region = BucketLocationConstraint::from(self.region.to_string());
        ok(GetBucketLocationOutput {
            location_constraint: Some(region),
        })
    }

    /// Everything is sealed with AES-256, under whatever name of a key.
    pub(super) async fn get_bucket_encryption(
        &self,
        request: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        let call = call_of(&request)?;
        let row = self
            .vault
            .head_dataset(&call, &request.input.bucket)
            .await?;
        let (algorithm, name) = wishes::sealed(&Facts {
            key_name: row.defaults.key_name,
            ..Facts::default()
        });
        let rule = ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                kms_master_key_id: name,
                sse_algorithm: algorithm,
            }),
            blocked_encryption_types: None,
            bucket_key_enabled: Some(false),
        };
        ok(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
                rules: vec![rule],
            }),
        })
    }

    /// Says which name of a key clients are told of. Nothing is sealed otherwise for it.
    pub(super) async fn put_bucket_encryption(
        &self,
        request: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let mut rules = asked.server_side_encryption_configuration.rules.into_iter();
        let (Some(rule), None) = (rules.next(), rules.next()) else {
            return Err(S3Error::with_message(
                S3ErrorCode::MalformedXML,
                "The encryption has one rule.",
            ));
        };
        let default = rule.apply_server_side_encryption_by_default;
        let default = default.ok_or(S3ErrorCode::MalformedXML)?;
        let name = match wishes::key(Some(&default.sse_algorithm), default.kms_master_key_id)? {
            KeyWish::Named(name) => Some(name),
            KeyWish::Unnamed | KeyWish::Default => None,
        };
        self.vault.set_key_name(&call, &asked.bucket, name).await?;
        ok(PutBucketEncryptionOutput::default())
    }

    /// Takes that name back.
    pub(super) async fn delete_bucket_encryption(
        &self,
        request: S3Request<DeleteBucketEncryptionInput>,
    ) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
        let call = call_of(&request)?;
        self.vault
            .set_key_name(&call, &request.input.bucket, None)
            .await?;
        ok(DeleteBucketEncryptionOutput::default())
    }

    /// Makes a dataset.
    pub(super) async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        self.check_configuration(asked.create_bucket_configuration.as_ref())?;
        let bucket = &asked.bucket;
        let locking = asked.object_lock_enabled_for_bucket.unwrap_or(false);
        let _row = self.vault.create_dataset(&call, bucket, locking).await?;
        ok(CreateBucketOutput {
            location: Some(format!("/{bucket}")),
            ..CreateBucketOutput::default()
        })
    }

    fn check_configuration(&self, asked: Option<&CreateBucketConfiguration>) -> S3Result<()> {
        let Some(asked) = asked else {
            return Ok(());
        };
        if asked.bucket.is_some() || asked.location.is_some() {
            return Err(not_served("a directory bucket"));
        }
        if asked.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
            return Err(not_served("tags of a bucket"));
        }
        match asked
            .location_constraint
            .as_ref()
            .map(BucketLocationConstraint::as_str)
        {
            None | Some("") => Ok(()),
            Some(region) if *region == *self.region => Ok(()),
            Some(_) => Err(S3Error::with_message(
                S3ErrorCode::IllegalLocationConstraintException,
                "The location is not this gateway's region.",
            )),
        }
    }

    /// Deletes an empty dataset.
    pub(super) async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let call = call_of(&request)?;
        self.vault
            .delete_dataset(&call, &request.input.bucket)
            .await?;
        ok(DeleteBucketOutput::default())
    }
}
