//! Builds the edge: the library's service, its options, and the scope around it.
//!
//! There is one way to build it, and that way sets authentication and access; the library by itself
//! serves everyone when authentication is forgotten.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as HttpBody;
use s3s::auth::S3Auth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::SingleDomain;
use s3s::region::Region;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::validation::{AwsNameValidation, NameValidation};
use s3s::{Body, S3, S3ErrorCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::access::Gate;
use super::answer::{self, Asked};
use super::auth::Credentials;
use super::coalesce::Coalesced;
use super::cors::{self, Page};
use super::form::{self, Led};
use super::gather::Gathering;
use super::housed::{Housed, Housing};
use super::ops::Handlers;
use super::room::{Room, Sizes};
use super::route::ApiRoute;
use super::scope::{Origin, Recorder, Scope, Sessions, within};
use super::unbroken::Unbroken;
use super::watch::{BoxError, Watch, WatchFor, Watched};
use crate::api::Api;
use crate::types::limits;
use crate::vault::Vault;

/// A signed chunk is held in memory until its signature is checked: what the largest chunks of
/// common clients need (8 MiB), twice.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How far a client's clock may be off (S3: 15 minutes).
const SKEW_SECONDS_MAX: u32 = 15 * 60;
/// How long a body may take that is gathered whole before it is looked at.
const GATHERING_TIME: Duration = Duration::from_millis(limits::GATHERING_MS_MAX);
/// The room for bodies that the library gathers.
const HOUSE: Sizes = Sizes {
    bytes: limits::GATHERED_XML_BYTES_MAX,
    part: limits::GATHERED_PART,
    short: limits::XML_SHORT_BYTES_MAX,
    least: limits::GATHERED_LEAST_BYTES,
};
/// How long a presigned URL may live (S3: 7 days).
const PRESIGNED_SECONDS_MAX: u32 = 7 * 24 * 60 * 60;

/// What an operator decides about the edge.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The region that requests are signed for.
    pub region: String,
    /// The domain whose subdomains are buckets (`<bucket>.<domain>`); without it, buckets stand in
    /// the path.
    pub domain: Option<String>,
    /// This gateway's name in the log.
    pub source: String,
    /// For how long a client may send nothing in the middle of a body. A transfer that makes
    /// progress has no limit.
    pub body_idle: Duration,
}

/// Why an edge cannot be built. At fault: the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not a region.
    #[error("a region is made of a-z, 0-9 and hyphens")]
    Region(#[source] s3s::region::InvalidRegion),
    /// Not a domain.
    #[error("the domain for buckets is not one")]
    Domain(#[source] s3s::host::DomainError),
}

/// The edge would serve whom it must not. At fault: the build.
#[derive(Debug, thiserror::Error)]
#[error("an unsigned {method} was answered with status={status} instead of 403")]
pub struct SelfTestError {
    method: Method,
    status: u16,
}

/// Builds the edge over a vault.
pub fn router(vault: Arc<Vault>, settings: &S3Settings) -> Result<S3Edge, BuildError> {
    let handlers = Handlers::new(Arc::clone(&vault), settings.region.as_str());
    let auth = Credentials(Arc::clone(&vault));
    let route = ApiRoute {
        api: Api::new(Arc::clone(&vault)),
        vault: Arc::clone(&vault),
        domain: settings.domain.as_deref().map(Arc::from),
        gathering: Gathering::default(),
    };
    assemble(handlers, auth, Some(route), vault, settings)
}

/// The one way to put an edge together.
pub(super) fn assemble(
    handlers: impl S3,
    auth: impl S3Auth,
    route: Option<ApiRoute>,
    recorder: Arc<dyn Recorder>,
    settings: &S3Settings,
) -> Result<S3Edge, BuildError> {
    let gate = Gate {
        default_project: recorder.default_project(),
    };
    Ok(S3Edge {
        library: library(handlers, auth, route, (settings, gate))?,
        recorder,
        sessions: Arc::default(),
        region: settings.region.as_str().into(),
        source: settings.source.as_str().into(),
        domain: settings.domain.as_deref().map(Arc::from),
        idle: settings.body_idle,
        room: Room::new(&HOUSE),
    })
}

fn library(
    handlers: impl S3,
    auth: impl S3Auth,
    route: Option<ApiRoute>,
    (settings, gate): (&S3Settings, Gate),
) -> Result<S3Service, BuildError> {
    let region = Region::new(settings.region.as_str().into()).map_err(BuildError::Region)?;
    let mut builder = S3ServiceBuilder::new(handlers);
    builder.set_auth(auth);
    builder.set_access(gate);
    builder.set_validation(Names);
    if let Some(route) = route {
        builder.set_route(route);
    }
    let config = Arc::new(config(region));
    builder.set_config(Arc::new(StaticConfigProvider::new(config)));
    if let Some(domain) = &settings.domain {
        let domain = SingleDomain::new(domain).map_err(BuildError::Domain)?;
        // A foreign host name is not a bucket.
        builder.set_host(domain.with_cname_fallback(false));
    }
    Ok(builder.build())
}

/// Which names of buckets reach the vault, where they are read: S3's, and longer ones of versions
/// and of what belongs to a project that was the default one.
struct Names;

impl NameValidation for Names {
    fn validate_bucket_name(&self, name: &str) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let longer = limits::BUCKET_NAME_BYTES_MAX.saturating_add(1)..=limits::BUCKET_REF_BYTES_MAX;
        AwsNameValidation::new().validate_bucket_name(name)
            || (longer.contains(&name.len()) && name.bytes().all(plain))
    }
}

/// Every option of the library, each on purpose.
fn config(region: Region) -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = limits::XML_BODY_BYTES_MAX;
    config.put_object_max_size = Some(limits::BODY_BYTES_MAX);
    config.aws_chunked_stream_max_chunk_size = CHUNK_BYTES_MAX;
    // The library reads a form's fields before it knows who sent it: as little as S3 allows. The
    // file is a stream, since a form without a length is refused before.
    config.allow_post_signature = true;
    config.post_object_max_file_size = limits::BODY_BYTES_MAX;
    config.form_max_field_size = 20 * 1024;
    config.form_max_fields_size = 40 * 1024;
    config.form_max_parts = 64;
    config.custom_route_max_body_size = u64::try_from(limits::API_BODY_BYTES_MAX).ok();
    config.presigned_url_max_skew_time_secs = SKEW_SECONDS_MAX;
    config.presigned_url_max_expires_secs = PRESIGNED_SECONDS_MAX;
    config.allow_presigned_url = true;
    config.enable_sig_v2 = false;
    config.expected_region = Some(region);
    // Which of them a request may be signed for is seen at the gate.
    config.sig_v4_allowed_services = vec!["s3".to_owned(), "sts".to_owned()];
    // No unsigned header changes what a request does. The moment is part of every signature by
    // itself, and may come out of `Date` (`dated`).
    config.unsigned_amz_header_allowlist = vec!["x-amz-date".to_owned()];
    // A key is what the client wrote; `a//b` and `a/b` are two.
    config.normalize_forward_slash_path = false;
    config.normalize_content_length = true;
    // An operation is what the request is, never what its `x-id` says it were.
    config.operation_id_routing = false;
    config
}

/// The edge as an HTTP service; cheap to clone.
///
/// The peer's address is taken from the request's extension [`std::net::SocketAddr`].
#[derive(Clone)]
pub struct S3Edge {
    library: S3Service,
    recorder: Arc<dyn Recorder>,
    sessions: Arc<Sessions>,
    region: Arc<str>,
    source: Arc<str>,
    domain: Option<Arc<str>>,
    idle: Duration,
    /// For bodies that the library gathers.
    room: Arc<Room>,
}

impl S3Edge {
    /// Makes sure that unsigned requests are refused. To be run once before serving.
    pub async fn self_test(&self) -> Result<(), SelfTestError> {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/self--test/key"),
            (Method::PUT, "/self--test/key"),
            (Method::DELETE, "/self--test"),
        ] {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method.clone();
            *request.uri_mut() = http::Uri::from_static(path);
            let status = match self.library.call(request).await {
                Ok(response) => response.status(),
                Err(_fault) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            if status != StatusCode::FORBIDDEN {
                return Err(SelfTestError {
                    method,
                    status: status.as_u16(),
                });
            }
        }
        Ok(())
    }

    /// Serves one request, with whatever body the HTTP server gives.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let asked = Asked::of(&parts, self.domain.as_deref());
        let want = self.watch_for(&parts, &asked);
        let watch = Watch::new(want);
        dated(&mut parts.headers);
        let origin = Origin::of(&mut parts, &self.source);
        let begun = Scope::begin(
            &*self.recorder,
            asked.method_name(),
            origin,
            &self.sessions,
            &watch,
        );
        let scope = match begun {
            Ok(scope) => scope,
            // Without an event there is no record, and without a record no service.
            Err(error) => return answer::of_error(error.into()),
        };
        let _none: Option<Arc<Scope>> = parts.extensions.insert(Arc::clone(&scope));
        let has_body = !body.is_end_stream();
        let may_close = has_body && parts.version < Version::HTTP_2;
        let lead = form::lead(&mut parts, asked.bucket());
        let is_unclear = lead.is_err();
        let body = if has_body {
            let housing = want.within.map(|_gathered| Housing {
                room: Arc::clone(&self.room),
                scope: Arc::clone(&scope),
                copies: if want.keep { 2 } else { 1 },
            });
            let body = Housed::new(Watched::new(body, watch), housing);
            watched(lead.ok().flatten(), body)
        } else {
            watch.nothing_comes();
            Body::empty()
        };
        let edge = self.clone();
        let own = Arc::clone(&scope);
        let serving = async move {
            let asks = cors::is_preflight(&parts);
            let page = Page::of(&parts).filter(|_| !asks);
            let answered = if asks {
                let asking = cors::preflight(&*edge.recorder, &own, asked.bucket(), &parts);
                answer::caught(asking.map(Ok)).await
            } else if is_endless_form(&parts) {
                Ok(Ok(answer::of_error(
                    S3ErrorCode::MissingContentLength.into(),
                )))
            } else if is_unclear {
                Ok(Ok(answer::of_error(
                    S3ErrorCode::MalformedPOSTRequest.into(),
                )))
            } else {
                let call = edge.library.call(Request::from_parts(parts, body));
                within(Arc::clone(&own), answer::caught(call)).await
            };
            let recorder = &*edge.recorder;
            let mut answer = answer::release(recorder, &own, &asked, &edge.region, answered).await;
            if let Some(page) = page {
                cors::add(recorder, &mut answer, asked.bucket(), &page).await;
            }
            answer
        };
        let mut answer = Unbroken::new(scope, Arc::clone(&self.recorder), serving).await;
        if may_close && !answer.status().is_success() {
            close_after(&mut answer);
        }
        answer
    }

    fn watch_for(&self, parts: &http::request::Parts, asked: &Asked) -> WatchFor {
        let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let query = parts.uri.query().unwrap_or_default();
        let is_xml = is_xml(&parts.method, query);
        let gathered = is_xml || is_gathered(parts, asked);
        WatchFor {
            announced: text(header::CONTENT_LENGTH.as_str()).and_then(|v| v.parse().ok()),
            chunked: text("x-amz-content-sha256").is_some_and(|v| v.starts_with("STREAMING-")),
            keep: is_xml,
            idle: self.idle,
            within: gathered.then_some(GATHERING_TIME),
        }
    }
}

/// A body as the library gets it: under watch, behind what leads a form, in pieces of some length.
fn watched<B>(lead: Option<Bytes>, body: Housed<Watched<B>>) -> Body
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    match lead {
        Some(lead) => Body::http_body_unsync(Coalesced::new(Led::new(lead, body))),
        None => Body::http_body_unsync(Coalesced::new(body)),
    }
}

/// A request refused before its body was taken leaves the connection in the middle of that body,
/// or of the client's wait for leave to send it (RFC 9110, section 10.1.1): what came next on it
/// could be read as the rest of the body.
fn close_after<B>(answer: &mut Response<B>) {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
}

/// Signature Version 4 takes the moment from `Date` where there is no `x-amz-date`, which is all
/// that the library looks at. Whatever stands there is part of what was signed.
fn dated(headers: &mut http::HeaderMap) {
    const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
    let signed = headers.get(header::AUTHORIZATION);
    if signed.is_none() || headers.contains_key(AMZ_DATE) {
        return;
    }
    let moment = headers
        .get(header::DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok())
        .map(|moment| moment.to_offset(time::UtcOffset::UTC));
    let Some(moment) = moment else { return };
    let text = format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second()
    );
    if let Ok(value) = HeaderValue::from_str(&text) {
        let _none: Option<HeaderValue> = headers.insert(AMZ_DATE, value);
    }
}

/// Whether a body of this type is a form.
fn is_form(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes().to_ascii_lowercase();
    kind.starts_with(b"multipart/")
}

/// Whether a request is a form of unknown length, which the library would hold in memory.
fn is_endless_form(parts: &http::request::Parts) -> bool {
    let form = parts.headers.get(header::CONTENT_TYPE).is_some_and(is_form);
    form && parts.method == Method::POST && !parts.headers.contains_key(header::CONTENT_LENGTH)
}

/// Whether the library gathers a request's body whole, beside those of [`is_xml`]: all but what is
/// an object's, a part's or a form's.
fn is_gathered(parts: &http::request::Parts, asked: &Asked) -> bool {
    let form = parts.headers.get(header::CONTENT_TYPE).is_some_and(is_form);
    match parts.method {
        Method::POST => !form,
        Method::PUT => !asked.names_object(),
        _ => true,
    }
}

/// Whether a request's body is XML whose checksum the handler compares, by its sub-resource.
fn is_xml(method: &Method, query: &str) -> bool {
    let names = |wanted: &[&str]| {
        let mut pairs = query.split('&');
        pairs.any(|pair| wanted.contains(&pair.split('=').next().unwrap_or_default()))
    };
    match *method {
        Method::POST => names(&["delete"]),
        Method::PUT => names(&[
            "versioning",
            "tagging",
            "acl",
            "cors",
            "encryption",
            "legal-hold",
            "lifecycle",
            "object-lock",
            "ownershipControls",
            "publicAccessBlock",
            "retention",
        ]),
        _ => false,
    }
}

impl<B> tower::Service<Request<B>> for S3Edge
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let edge = self.clone();
        Box::pin(async move { Ok(edge.serve(request).await) })
    }
}
