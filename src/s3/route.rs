//! The API's requests, on the listener of S3: the same signatures, the same scope, the same record.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::route::S3Route;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::error::{internal, invalid_request};
use super::gather::{Gathered, Gathering};
use super::ops::scope_of;
use super::room::Caller;
use super::scope::Scope;
use super::{answer, expected, headers, signed, sts};
use crate::api::{Api, ApiError, Ask, Endpoint, Found};
use crate::types::{SecretText, limits};
use crate::vault::Vault;

/// Leads to the API what belongs there.
pub(super) struct ApiRoute {
    pub(super) api: Api,
    /// For the service of session tokens.
    pub(super) vault: Arc<Vault>,
    /// The domain whose subdomains are buckets: their paths are keys.
    pub(super) domain: Option<Arc<str>>,
    /// The room for bodies.
    pub(super) gathering: Gathering,
}

impl ApiRoute {
    async fn sts(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let scope = Arc::clone(scope_of(&request)?);
        let signed = request.credentials.is_some();
        // Unsigned, its caller is an address: the issuer's token, which is in it, is the proof.
        let body = self
            .gathering
            .whole(request.input, sts::FORM_BYTES_MAX, scope.caller());
        let body = body.await?;
        let asked = match sts::read(&body.bytes) {
            Ok(asked) => asked,
            Err(refusal) => return Ok(sts::refuse(&refusal, scope.event())),
        };
        scope.name(asked.operation());
        match asked {
            sts::Asked::Assume(asked) => Ok(sts::assume(&self.vault, &scope.serve(), &asked).await),
            sts::Asked::Identity if signed => Ok(sts::identity(&self.vault, &scope.serve()).await),
            sts::Asked::Identity => Err(unsigned()),
        }
    }

    /// The body of a request to an endpoint. What comes with the credential of no organisation is
    /// not looked at: it is refused for that.
    async fn body(
        &self,
        endpoint: &Endpoint,
        path: &str,
        (scope, bearer): (&Scope, Option<&SecretText>),
        body: Body,
    ) -> S3Result<Gathered> {
        let (most, who) = if !endpoint.unsigned {
            (limits::API_BODY_BYTES_MAX, scope.caller())
        } else if !Api::takes_bearer(path) {
            (limits::API_UNSIGNED_BYTES_MAX, Caller::peer(scope.client()))
        } else if let Some(teller) = self.vault.agent_of(bearer).await? {
            (limits::API_BODY_BYTES_MAX, Caller::Person(teller))
        } else {
            return Ok(Gathering::nothing());
        };
        self.gathering.whole(body, most, who).await
    }

    fn is_unsigned(&self, method: &Method, uri: &Uri) -> bool {
        matches!(self.api.find(method, uri.path()), Found::Endpoint(endpoint, _) if endpoint.unsigned)
    }
}

#[async_trait]
impl S3Route for ApiRoute {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> bool {
        let of_bucket = |domain: &Arc<str>| answer::host_bucket(headers, uri, domain).is_some();
        if sts::is_for(method, uri, headers) {
            if let Some(scope) = extensions.get::<Arc<Scope>>() {
                scope.name("STS");
            }
            return true;
        }
        if !Api::owns(uri.path()) || self.domain.as_ref().is_some_and(of_bucket) {
            return false;
        }
        // Named here, so that the record of a wrong signature says what it was for.
        if let (Some(scope), Found::Endpoint(endpoint, _)) = (
            extensions.get::<Arc<Scope>>(),
            self.api.find(method, uri.path()),
        ) {
            scope.name(endpoint.operation);
        }
        true
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let of_sts = sts::is_for(&request.method, &request.uri, &request.headers);
        let Some(credentials) = &request.credentials else {
            if of_sts || self.is_unsigned(&request.method, &request.uri) {
                return Ok(());
            }
            return Err(unsigned());
        };
        let scope = scope_of(request)?;
        if !scope.prove(&credentials.access_key) {
            return Err(internal("a signature of another credential"));
        }
        let query = request.uri.query().unwrap_or_default();
        let service = if of_sts { "sts" } else { "s3" };
        signed::check_header(&request.headers, query, service)?;
        if scope.has_stray_token() {
            return Err(S3ErrorCode::InvalidToken.into());
        }
        headers::check(scope.operation(), &request.method, &request.headers)?;
        // No endpoint has a bucket of S3's, so that none has its owner.
        expected::check(&request.headers, None, "")?;
        // A body whose hash is not signed could be another's.
        let hash = request.headers.get("x-amz-content-sha256");
        if of_sts && hash.is_none() {
            // The library has hashed the body itself, as this service's signatures want it.
            return Ok(());
        }
        if hash.is_none_or(|hash| hash.len() != 64) {
            return Err(invalid_request(
                "The API wants x-amz-content-sha256 to be the body's SHA-256.",
            ));
        }
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if sts::is_for(&request.method, &request.uri, &request.headers) {
            return self.sts(request).await;
        }
        let (endpoint, parameters) = match self.api.find(&request.method, request.uri.path()) {
            Found::Endpoint(endpoint, parameters) => (endpoint, parameters),
            Found::NoPath => return Ok(told(ApiError::absent().to_response())),
            Found::NoMethod => return Ok(told(ApiError::no_method().to_response())),
        };
        let scope = Arc::clone(scope_of(&request)?);
        let bearer = scope.bearer();
        let path = request.uri.path();
        let body = self.body(endpoint, path, (&scope, bearer.as_ref()), request.input);
        let body = body.await?;
        let ask = Ask {
            call: scope.serve(),
            parameters,
            query: request.uri.query().unwrap_or_default().to_owned(),
            headers: request.headers,
            bearer,
            body: body.bytes.clone(),
        };
        Ok(told(self.api.answer(endpoint, ask).await))
    }
}

/// The API's answer, as S3's edge hands it on.
fn told(answer: http::Response<axum::body::Body>) -> S3Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut response = S3Response::with_status(Body::http_body_unsync(body), parts.status);
    response.headers = parts.headers;
    response.extensions = parts.extensions;
    response
}

fn unsigned() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::AccessDenied,
        "Access denied. Requests are signed.",
    )
}
