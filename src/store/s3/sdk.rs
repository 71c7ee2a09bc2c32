//! The AWS SDK for all that is not once per read: list, delete, buckets. It runs over the same
//! pool as the thin client, so that one cap on connections, one set of time-outs and one bound on
//! answers hold for both; errors are judged here, not by the SDK.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sdk_s3::Client as SdkClient;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::SdkError;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Request;

use super::client::Client;
use super::config::S3StoreConfig;
use super::outgoing::Upload;
use super::retry::{Again, Refusal};
use crate::store::{BodyAborted, StoreError};
use crate::types::Clock;
use crate::types::limits::STORE_ANSWER_BYTES_MAX;

/// An SDK client that has no patience, retries or connections of its own.
pub(super) fn sdk(config: &S3StoreConfig, client: &Arc<Client>) -> SdkClient {
    let connector = SharedHttpConnector::new(Connector(Arc::clone(client)));
    let secret = config.secret_key.expose();
    let credentials = Credentials::new(&config.access_key, secret, None, None, "kluis");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(config.endpoint.trim_end_matches('/'))
        .force_path_style(true)
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .time_source(Time(Arc::clone(&client.clock)))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    SdkClient::from_conf(config)
}

struct Time(Arc<dyn Clock>);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().millis())
    }
}

struct Connector(Arc<Client>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            call(&client, request)
                .await
                .map_err(|refusal| ConnectorError::other(refusal.into(), None))
        })
    }
}

async fn call(client: &Client, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let broken = |what: &str| Refusal::failed(what, Again::Never);
    let request = request
        .try_into_http1x()
        .map_err(|_invalid| broken("the SDK made an invalid request"))?;
    let (mut head, body) = request.into_parts();
    let body = body.bytes().map(Bytes::copy_from_slice);
    let body = body.ok_or_else(|| broken("the SDK streams where it should not"))?;
    let upload = Upload::whole(Vec::from_iter((!body.is_empty()).then_some(body)));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path
        .parse()
        .map_err(|_invalid| broken("the SDK made an invalid path"))?;
    let host = http::HeaderValue::from_str(&client.authority);
    let host = host.map_err(|_invalid| broken("the endpoint is no valid host"))?;
    head.headers.insert(http::header::HOST, host);
    let request = Request::from_parts(head, upload.begin());
    let (link, answer) = client.pool.send(request, &upload).await?;
    if !answer.status().is_success() {
        return Err(client.refused(link, answer).await);
    }
    let (head, body) = answer.into_parts();
    let (text, link) = client.read(link, body, STORE_ANSWER_BYTES_MAX).await?;
    let link = link.ok_or_else(|| broken("the store's answer is too long"))?;
    link.release();
    let answer = http::Response::from_parts(head, SdkBody::from(text));
    HttpResponse::try_from(answer).map_err(|_invalid| broken("the store's answer is invalid"))
}

/// Finds the connector's judgement in what the SDK made of it.
pub(super) fn judged<E, R>(error: &SdkError<E, R>) -> Refusal
where
    E: std::error::Error + 'static,
    R: fmt::Debug,
{
    let mut cause: Option<&(dyn std::error::Error + 'static)> = None;
    if let SdkError::DispatchFailure(failure) = error {
        cause = failure
            .as_connector_error()
            .and_then(std::error::Error::source);
    }
    // Bounded: the connector wraps once.
    for _ in 0..4 {
        let Some(inner) = cause else { break };
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return copy(refusal);
        }
        cause = inner.source();
    }
    let reason = if matches!(
        error,
        SdkError::ResponseError(_) | SdkError::ServiceError(_)
    ) {
        "its answer cannot be understood"
    } else {
        "the SDK refused the request"
    };
    Refusal::failed(reason, Again::Never)
}

fn copy(refusal: &Refusal) -> Refusal {
    let error = match &refusal.error {
        StoreError::NotFound => StoreError::NotFound,
        StoreError::Length => StoreError::Length,
        StoreError::Throttled => StoreError::Throttled,
        StoreError::Timeout => StoreError::Timeout,
        StoreError::Full => StoreError::Full,
        StoreError::Denied => StoreError::Denied,
        StoreError::Taken => StoreError::Taken,
        StoreError::Aborted(BodyAborted) => StoreError::Aborted(BodyAborted),
        StoreError::Kept { reason } => StoreError::Kept {
            reason: reason.clone(),
        },
        StoreError::Failed { reason } => StoreError::Failed {
            reason: reason.clone(),
        },
    };
    Refusal {
        error,
        again: refusal.again,
    }
}
