//! The edge without a vault: signed requests through the library and the scope around it, to
//! handlers that only read what they get and a log that only counts.
//!
//! The library checks signatures against the wall clock, so these tests sign with it.

mod bodies;
mod housed;
mod pages;
mod refusals;
mod unbroken;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::Full;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{
    DeleteObjectsInput, DeleteObjectsOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, PutObjectInput, PutObjectOutput,
};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::ops::{input_of, scope_of};
use super::scope::{self, Claim, Recorder};
use super::service::{S3Edge, S3Settings, assemble};
use crate::catalog::CorsRule;
use crate::types::{EventId, Timestamp};
use crate::vault::{BodyError, Call, CorsAsk, ErrorKind, Turned, VaultError};

const KEY: &str = "AKIAKLUISTESTKEY0001";
/// Another caller's, with the same secret.
const OTHER: &str = "AKIAKLUISTESTKEY0003";
const SECRET: &str = "a secret that only this test knows";

/// What the log was told of one turned request.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    operation: &'static str,
    principal: Option<String>,
    access_key: bool,
    status: u16,
    reason: String,
}

/// A log that counts.
#[derive(Default)]
struct Log {
    events: AtomicU64,
    broken: AtomicBool,
    records: Mutex<Vec<Record>>,
}

#[async_trait]
impl Recorder for Log {
    fn failed(&self, _client: Option<std::net::IpAddr>) {}

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn default_project(&self) -> String {
        "lab".to_owned()
    }

    fn new_event(&self) -> Result<EventId, VaultError> {
        let n = self.events.fetch_add(1, Ordering::Relaxed);
        Ok(EventId::from_bytes(u128::from(n).to_be_bytes()))
    }

    async fn record(&self, call: &Call, turned: Turned<'_>) -> Result<(), VaultError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(VaultError::new(
                ErrorKind::LogUnavailable,
                "the disk is full",
            ));
        }
        self.records.lock().unwrap().push(Record {
            operation: call.operation,
            principal: call.session.principal.as_ref().map(ToString::to_string),
            access_key: call.session.access_key.is_some(),
            status: turned.status,
            reason: turned.reason.to_owned(),
        });
        Ok(())
    }

    async fn preflight(
        &self,
        call: &Call,
        bucket: &str,
        ask: CorsAsk<'_>,
    ) -> Result<CorsRule, VaultError> {
        let rule = self.cors(bucket, ask).await?;
        let reason = if rule.is_some() { "" } else { "no rule" };
        let status = if rule.is_some() { 200 } else { 403 };
        self.record(
            call,
            Turned {
                bucket: Some(bucket),
                key: None,
                status,
                reason,
            },
        )
        .await?;
        call.recorded.store(true, Ordering::Release);
        rule.ok_or(VaultError::new(ErrorKind::AccessDenied, "no rule"))
    }

    /// One bucket has a rule for one page.
    async fn cors(&self, bucket: &str, ask: CorsAsk<'_>) -> Result<Option<CorsRule>, VaultError> {
        let here = bucket == "b--d" && ask.origin == "https://page.example";
        Ok(here.then(|| CorsRule {
            origins: vec![ask.origin.to_owned()],
            methods: vec![ask.method.to_owned()],
            ..CorsRule::default()
        }))
    }
}

/// The credentials of anna and of bea.
struct Auth;

#[async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let principal = match access_key {
            KEY => "anna",
            OTHER => "bea",
            _ => return Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId)),
        };
        scope::current().unwrap().claim(Claim {
            key: access_key.parse().unwrap(),
            principal: principal.parse().unwrap(),
            responsible: None,
            bounds: None,
        });
        Ok(SecretKey::from(SECRET))
    }
}

/// Handlers that read what they get.
struct Reader;

fn kind_of(error: BodyError) -> ErrorKind {
    match error {
        BodyError::Short | BodyError::Framing => ErrorKind::IncompleteBody,
        BodyError::Signature => ErrorKind::BodySignature,
        BodyError::PayloadHash => ErrorKind::BadDigest,
        BodyError::Stalled => ErrorKind::BodyTimeout,
    }
}

#[async_trait]
impl S3 for Reader {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let call = scope_of(&request)?.serve();
        let blob = request.input.body.take();
        let mut input = input_of(&request, blob)?;
        let refuse = |e| S3Error::from(VaultError::new(kind_of(e), "x"));
        let mut size = 0;
        while let Some(piece) = input.body.next().await {
            size += piece.map_err(refuse)?.len();
        }
        let sums = input.checks.at_end.take().unwrap()().map_err(refuse)?;
        call.recorded.store(true, Ordering::Release);
        Ok(S3Response::new(PutObjectOutput {
            size: Some(i64::try_from(size).unwrap()),
            checksum_crc32: sums.into_iter().map(|(_, text)| text).next(),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        _: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        panic!("as a test")
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let _forgotten: Call = scope_of(&request)?.serve();
        Ok(S3Response::new(HeadObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let call = scope_of(&request)?.serve();
        call.recorded.store(true, Ordering::Release);
        Ok(S3Response::new(DeleteObjectsOutput::default()))
    }
}

fn settings() -> S3Settings {
    S3Settings {
        region: "kluis".to_owned(),
        domain: None,
        source: "gateway-test".to_owned(),
        body_idle: Duration::from_secs(30),
    }
}

fn edge() -> (S3Edge, Arc<Log>) {
    let log = Arc::new(Log::default());
    let recorder: Arc<dyn Recorder> = Arc::<Log>::clone(&log);
    (
        assemble(Reader, Auth, None, recorder, &settings()).unwrap(),
        log,
    )
}

/// How a request is signed.
#[derive(Clone)]
struct Signing {
    key: &'static str,
    secret: &'static str,
    region: &'static str,
    at: SystemTime,
    expires: Option<Duration>,
    payload: SignableBody<'static>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library reads the wall clock too"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn signing(payload: &'static str) -> Signing {
    Signing {
        key: KEY,
        secret: SECRET,
        region: "kluis",
        at: now(),
        expires: None,
        payload: SignableBody::Precomputed(payload.to_owned()),
    }
}

/// Signs whatever headers the request has so far.
fn signed(request: Request<Bytes>, how: &Signing) -> Request<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    if how.expires.is_some() {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.expires_in = how.expires;
    }
    let identity = Credentials::new(how.key, how.secret, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(how.region)
        .name("s3")
        .time(how.at)
        .settings(settings)
        .build()
        .unwrap();
    let uri = format!("http://localhost{}", parts.uri);
    let headers = parts
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.to_str().unwrap()));
    let signable =
        SignableRequest::new(parts.method.as_str(), &uri, headers, how.payload.clone()).unwrap();
    let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
    let mut request = Request::builder()
        .method(parts.method.clone())
        .uri(&uri)
        .body(())
        .unwrap();
    *request.headers_mut() = std::mem::take(&mut parts.headers);
    instructions.apply_to_request_http1x(&mut request);
    let (mut parts, ()) = request.into_parts();
    let path = parts
        .uri
        .path_and_query()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    parts.uri = path;
    Request::from_parts(parts, Full::new(body))
}

/// A request with a host, a length and a body.
fn request(method: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Bytes> {
    let mut builder = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "localhost");
    if !body.is_empty() {
        builder = builder.header("content-length", body.len());
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Bytes::copy_from_slice(body)).unwrap()
}

/// Status and body of an answer.
async fn read(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
