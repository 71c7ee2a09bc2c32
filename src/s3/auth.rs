//! Looks up the secret that must have signed a request.

use std::sync::Arc;

use async_trait::async_trait;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::error::internal;
use super::scope::{self, Claim};
use crate::types::AccessKeyId;
use crate::vault::Vault;

/// Credentials as the vault knows them.
pub(super) struct Credentials(pub(super) Arc<Vault>);

fn unknown() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::InvalidAccessKeyId,
        "There is no such access key.",
    )
}

#[async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let Ok(key) = access_key.parse::<AccessKeyId>() else {
            return Err(unknown());
        };
        let scope = scope::current().ok_or_else(|| internal("a credential outside a request"))?;
        let guessed = Vault::can_be_guessed(&key);
        if guessed && !self.0.may_try(scope.client()) && !scope.was_recognised(&key) {
            return Err(S3ErrorCode::SlowDown.into());
        }
        let Some(identity) = self.0.identify(&key, scope.token(), scope.client()).await? else {
            if guessed {
                self.0.note_failed_attempt(scope.client());
            }
            return Err(unknown());
        };
        scope.claim(Claim {
            key,
            principal: identity.principal,
            responsible: identity.responsible,
            bounds: identity.bounds,
        });
        Ok(SecretKey::from(identity.secret.expose()))
    }
}
