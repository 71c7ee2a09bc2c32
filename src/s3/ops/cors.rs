//! A bucket's CORS rules.

use s3s::dto::{
    CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput,
    GetBucketCorsOutput, PutBucketCorsInput, PutBucketCorsOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, other_setting, unset, verify_xml};
use crate::catalog::{CorsRule, Setting, SettingKind};
use crate::s3::error::invalid_request;

const KIND: SettingKind = SettingKind::Cors;

fn read(rule: CORSRule) -> S3Result<CorsRule> {
    let max_age = rule.max_age_seconds.map(u32::try_from).transpose();
    Ok(CorsRule {
        id: rule.id,
        origins: rule.allowed_origins,
        methods: rule.allowed_methods,
        headers: rule.allowed_headers.unwrap_or_default(),
        exposed: rule.expose_headers.unwrap_or_default(),
        max_age: max_age.map_err(|_negative| invalid_request("An age is not negative."))?,
    })
}

fn told(rule: CorsRule) -> CORSRule {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    CORSRule {
        allowed_headers: some(rule.headers),
        allowed_methods: rule.methods,
        allowed_origins: rule.origins,
        expose_headers: some(rule.exposed),
        id: rule.id,
        max_age_seconds: rule.max_age.and_then(|age| i32::try_from(age).ok()),
    }
}

impl Handlers {
    /// A bucket's rules.
    pub(super) async fn get_bucket_cors(
        &self,
        request: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        let call = call_of(&request)?;
        let found = self.vault.setting(&call, &request.input.bucket, KIND).await;
        match found.map_err(|error| unset(error, S3ErrorCode::NoSuchCORSConfiguration))? {
            Setting::Cors(rules) => ok(GetBucketCorsOutput {
                cors_rules: Some(rules.into_iter().map(told).collect()),
            }),
            Setting::Tags(_) | Setting::Lifecycle(_) => Err(other_setting()),
        }
    }

    /// Sets a bucket's rules.
    pub(super) async fn put_bucket_cors(
        &self,
        request: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let rules = asked.cors_configuration.cors_rules.into_iter();
        let rules = Setting::Cors(rules.map(read).collect::<S3Result<_>>()?);
        self.vault
            .set_setting(&call, &asked.bucket, KIND, Some(rules))
            .await?;
        ok(PutBucketCorsOutput::default())
    }

    /// Removes a bucket's rules.
    pub(super) async fn delete_bucket_cors(
        &self,
        request: S3Request<DeleteBucketCorsInput>,
    ) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        let call = call_of(&request)?;
        self.vault
            .set_setting(&call, &request.input.bucket, KIND, None)
            .await?;
        ok(DeleteBucketCorsOutput::default())
    }
}
