//! The last step before an answer leaves: whatever was not recorded is recorded now.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use s3s::{Body, HttpError, S3Error, S3ErrorCode};

use super::error::internal;
use super::scope::{Recorder, Scope};
use crate::api::Code;
use crate::types::limits;
use crate::vault::{BodyError, ErrorKind, Turned, VaultError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");
const XML: HeaderValue = HeaderValue::from_static("application/xml");
/// One more than the longest name: what is cut is read as no bucket, not as another one.
const BUCKET_BYTES_MAX: usize = limits::BUCKET_REF_BYTES_MAX + 1;

/// Which operation an answer is to, as the log names it: an extension of every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served(pub &'static str);

/// What the client wrote, as far as the record of a turned request tells it.
pub(super) struct Asked {
    method: Method,
    hashed: bool,
    bucket: Option<String>,
    key: Option<String>,
}

impl Asked {
    /// Reads it from a request's parts.
    pub(super) fn of(parts: &Parts, domain: Option<&str>) -> Self {
        let path = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy();
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) =
            match domain.and_then(|domain| host_bucket(&parts.headers, &parts.uri, domain)) {
                Some(bucket) => (bucket, path),
                None => path.split_once('/').unwrap_or((path, "")),
            };
        let hash = parts.headers.get("x-amz-content-sha256");
        Self {
            method: parts.method.clone(),
            hashed: hash.is_some_and(|h| h.len() == 64),
            bucket: cut(bucket, BUCKET_BYTES_MAX),
            key: cut(key, limits::OBJECT_KEY_BYTES_MAX),
        }
    }

    /// Whether it is about an object.
    pub(super) const fn names_object(&self) -> bool {
        self.key.is_some()
    }

    /// The bucket, as the client wrote it.
    pub(super) fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref()
    }

    /// What a request is called whose operation is not known.
    pub(super) fn method_name(&self) -> &'static str {
        for (method, name) in [
            (Method::GET, "GET"),
            (Method::HEAD, "HEAD"),
            (Method::PUT, "PUT"),
            (Method::POST, "POST"),
            (Method::DELETE, "DELETE"),
            (Method::OPTIONS, "OPTIONS"),
        ] {
            if self.method == method {
                return name;
            }
        }
        "other"
    }
}

/// The bucket in `Host: <bucket>.<domain>`.
pub(super) fn host_bucket<'a>(
    headers: &'a HeaderMap,
    uri: &'a Uri,
    domain: &str,
) -> Option<&'a str> {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let host = host.or_else(|| uri.host())?;
    let host = host.split(':').next()?;
    let domain = domain.split(':').next()?;
    host.strip_suffix(domain)?.strip_suffix('.')
}

/// At most `max` bytes of a text that is not empty.
fn cut(text: &str, max: usize) -> Option<String> {
    let end = text.floor_char_boundary(max);
    let (head, _) = text.split_at_checked(end)?;
    (!head.is_empty()).then(|| head.to_owned())
}

/// What came of the library's call.
pub(super) type Answered = Result<Result<Response<Body>, HttpError>, Box<dyn Any + Send>>;

/// Catches a panic of the library, so that even then there is a record and an answer.
pub(super) fn caught(
    call: impl Future<Output = Result<Response<Body>, HttpError>>,
) -> impl Future<Output = Answered> {
    AssertUnwindSafe(call).catch_unwind()
}

/// Makes sure of the record, then releases the answer.
pub(super) async fn release(
    recorder: &dyn Recorder,
    scope: &Scope,
    asked: &Asked,
    region: &str,
    answered: Answered,
) -> Response<Body> {
    let mut response = match answered {
        Ok(Ok(response)) => partial(said_better(response, scope, asked)),
        Ok(Err(_fault)) => of_error(internal("the library failed")),
        Err(_panic) => of_error(internal("the library panicked")),
    };
    if !scope.is_recorded() {
        let call = scope.call();
        if scope.is_unproved() {
            recorder.failed(scope.client());
        }
        if response.status().is_success() || response.status().is_redirection() {
            response = of_error(internal("an answer without a record"));
        }
        let turned = Turned {
            bucket: asked.bucket.as_deref(),
            key: asked.key.as_deref(),
            status: response.status().as_u16(),
            reason: &code_of(&response),
        };
        if let Err(error) = recorder.record(&call, turned).await {
            tracing::warn!(reason = %error.reason(), "a turned request could not be recorded");
            let unavailable = VaultError::new(ErrorKind::LogUnavailable, "no record");
            response = of_error(unavailable.into());
        }
    }
    let mut response = with_size(with_region(response, region));
    let _none: Option<Served> = response.extensions_mut().insert(Served(scope.operation()));
    with_request_id(response, &scope.event().to_string())
}

/// Tells who signed for another region which one it is; clients then sign again by themselves.
fn with_region(mut response: Response<Body>, region: &str) -> Response<Body> {
    const MALFORMED: &str = "AuthorizationHeaderMalformed";
    // HEAD has no XML that could tell the code.
    let bare = response.status() == StatusCode::BAD_REQUEST && !has_body(&response);
    if bare || (!response.status().is_success() && code_of(&response) == MALFORMED) {
        if let Ok(value) = HeaderValue::from_str(region) {
            let _old: Option<HeaderValue> = response.headers_mut().insert(REGION, value);
        }
        add_to_error(&mut response, &format!("<Region>{region}</Region>"));
    }
    response
}

/// Says in the XML of a 416, too, how long the object is. Amazon's runtime for clients reads it
/// there, and by that alone knows an empty object, the first range of which it asked for.
fn with_size(mut response: Response<Body>) -> Response<Body> {
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        return response;
    }
    let range = response.headers().get(header::CONTENT_RANGE);
    let size = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes */"));
    if let Some(element) = size.map(|size| format!("<ActualObjectSize>{size}</ActualObjectSize>")) {
        add_to_error(&mut response, &element);
    }
    response
}

/// A part of an object is a 206. The library knows this of a GET and says 200 to a HEAD.
fn partial(mut response: Response<Body>) -> Response<Body> {
    let is_part = response.headers().contains_key(header::CONTENT_RANGE);
    if is_part && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn has_body(response: &Response<Body>) -> bool {
    response.body().bytes().is_none_or(|body| !body.is_empty())
}

/// The library reports a body that it could not read for itself as its own fault; it is not.
fn said_better(response: Response<Body>, scope: &Scope, asked: &Asked) -> Response<Body> {
    if response.status() != StatusCode::INTERNAL_SERVER_ERROR || scope.is_served() {
        return response;
    }
    if scope.is_crowded() {
        return of_error(S3ErrorCode::SlowDown.into());
    }
    if scope.watch().exceeds_xml() {
        return of_error(S3ErrorCode::MaxMessageLengthExceeded.into());
    }
    match scope.watch().verdict() {
        Err(BodyError::Short | BodyError::Stalled) => {
            of_error(VaultError::new(ErrorKind::IncompleteBody, "short").into())
        }
        Ok(()) if asked.hashed => of_error(S3Error::with_message(
            S3ErrorCode::BadDigest,
            "The body is not what x-amz-content-sha256 says.",
        )),
        Ok(()) | Err(BodyError::Framing | BodyError::Signature | BodyError::PayloadHash) => {
            response
        }
    }
}

/// An error as an answer.
pub(super) fn of_error(error: S3Error) -> Response<Body> {
    error.to_http_response().unwrap_or_else(|_unwritable| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// The error code of the API's answer or in an answer's XML, or its status when it has none.
fn code_of(response: &Response<Body>) -> String {
    if let Some(Code(code)) = response.extensions().get() {
        return (*code).to_owned();
    }
    let body = response.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, behind)| behind.split_once("</Code>"))
        .map(|(code, _)| code);
    match code {
        Some(code) if code.len() <= 64 => code.to_owned(),
        Some(_) | None => response.status().as_str().to_owned(),
    }
}

/// Tells the request's id, in a header and in the XML of an error.
fn with_request_id(mut response: Response<Body>, id: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(id) {
        let _old: Option<HeaderValue> = response.headers_mut().insert(REQUEST_ID, value);
    }
    if !response.status().is_success() {
        add_to_error(&mut response, &format!("<RequestId>{id}</RequestId>"));
    }
    response
}

/// Adds an element to the XML of an error, if there is such XML.
fn add_to_error(response: &mut Response<Body>, element: &str) {
    const END: &[u8] = b"</Error>";
    let Some(body) = response.body().bytes() else {
        return;
    };
    if let Some(head) = body.strip_suffix(END) {
        let mut longer = Vec::with_capacity(body.len().saturating_add(64));
        longer.extend_from_slice(head);
        longer.extend_from_slice(element.as_bytes());
        longer.extend_from_slice(END);
        *response.body_mut() = Body::from(Bytes::from(longer));
        let headers = response.headers_mut();
        let _length: Option<HeaderValue> = headers.remove(header::CONTENT_LENGTH);
        // The library forgets the type of an error that has headers of its own.
        headers.entry(header::CONTENT_TYPE).or_insert(XML);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(uri: &str, host: &str, domain: Option<&str>) -> (Option<String>, Option<String>) {
        let request = Request::builder().uri(uri).header("host", host).body(());
        let (parts, ()) = request.unwrap().into_parts();
        let asked = Asked::of(&parts, domain);
        (asked.bucket, asked.key)
    }

    fn some(bucket: &str, key: &str) -> (Option<String>, Option<String>) {
        (cut(bucket, 99), cut(key, 99))
    }

    #[test]
    fn what_was_asked_is_read_from_path_or_host() {
        assert_eq!(asked("/", "h", None), (None, None));
        assert_eq!(asked("/b", "h", None), some("b", ""));
        assert_eq!(asked("/b/a%2Fc?x", "h", None), some("b", "a/c"));
        let domain = Some("s3.example:9000");
        assert_eq!(asked("/a/c", "b.s3.example:9000", domain), some("b", "a/c"));
        assert_eq!(asked("/b/c", "s3.example:9000", domain), some("b", "c"));
        assert_eq!(asked("/b/c", "evils3.example", domain), some("b", "c"));
    }

    #[test]
    fn what_was_asked_is_cut() {
        let long = format!("/{}/{}", "b".repeat(500), "%C3%A9".repeat(2000));
        let (bucket, key) = asked(&long, "h", None);
        assert_eq!(bucket.unwrap().len(), 106);
        assert_eq!(key.unwrap().len(), 1024);
        assert_eq!(asked("/%FF%00", "h", None), some("\u{fffd}\0", ""));
    }

    #[test]
    fn a_part_is_a_206_and_an_error_stays_one() {
        let range = HeaderValue::from_static("bytes 1-9/10");
        for (status, range, expected) in [
            (200, Some(&range), 206),
            (200, None, 200),
            (206, Some(&range), 206),
            (416, Some(&range), 416),
        ] {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
                .headers_mut()
                .extend(range.map(|range| (header::CONTENT_RANGE, range.clone())));
            assert_eq!(partial(response).status().as_u16(), expected);
        }
    }

    #[test]
    fn a_range_beyond_the_end_tells_the_size_in_its_xml() {
        let answer = |code, status: u16, range: Option<&'static str>| {
            let mut response = of_error(S3Error::new(code));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(range) = range.map(HeaderValue::from_static) {
                response
                    .headers_mut()
                    .extend([(header::CONTENT_RANGE, range)]);
            }
            let body = with_size(response).body().bytes().unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let told = answer(S3ErrorCode::InvalidRange, 416, Some("bytes */0"));
        assert!(told.ends_with("<ActualObjectSize>0</ActualObjectSize></Error>"));
        for (status, range) in [
            (416, None),
            (416, Some("bytes 0-1/2")),
            (403, Some("bytes */0")),
        ] {
            let told = answer(S3ErrorCode::InvalidRange, status, range);
            assert!(!told.contains("ActualObjectSize"), "{status} {range:?}");
        }
    }

    #[test]
    fn errors_carry_the_request_id() {
        let response = of_error(S3Error::new(S3ErrorCode::AccessDenied));
        assert_eq!(code_of(&response), "AccessDenied");
        let response = with_request_id(response, "0190");
        assert_eq!(response.headers()["x-amz-request-id"], "0190");
        let body = response.body().bytes().unwrap();
        assert!(body.ends_with(b"<RequestId>0190</RequestId></Error>"));
        assert_eq!(code_of(&Response::new(Body::empty())), "200");
    }

    #[test]
    fn errors_say_that_they_are_xml() {
        let busy = VaultError::new(ErrorKind::SlowDown, "test");
        for error in [busy.into(), S3Error::new(S3ErrorCode::AccessDenied)] {
            let response = with_request_id(of_error(error), "0190");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/xml");
        }
        let bare = with_request_id(Response::new(Body::empty()), "0190");
        assert!(!bare.headers().contains_key(header::CONTENT_TYPE));
    }
}
