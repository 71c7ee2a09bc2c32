//! Requests of web pages: the browser's question before one (preflight), and the headers by which
//! it lets the page read the answer. Which page may do what is the vault's to say.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use s3s::{Body, S3Error, S3ErrorCode};

use super::answer::of_error;
use super::error::invalid_request;
use super::scope::{Recorder, Scope};
use crate::catalog::CorsRule;
use crate::vault::{CorsAsk, ErrorKind};

/// An origin is a scheme, a host and a port.
const ORIGIN_BYTES_MAX: usize = 512;
/// Headers that a page may ask for at once.
const HEADERS_MAX: usize = 100;
const OPERATION: &str = "OptionsPreflight";
const VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
);

/// What a page's browser says of its request.
pub(super) struct Page {
    origin: String,
    method: String,
    headers: Vec<String>,
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= ORIGIN_BYTES_MAX).then_some(value)
}

impl Page {
    /// What the request itself says; nothing for one that no page sent.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let origin = text(&parts.headers, &header::ORIGIN)?;
        Some(Self {
            origin: origin.to_owned(),
            method: parts.method.as_str().to_owned(),
            headers: Vec::new(),
        })
    }

    /// What a preflight asks about.
    fn asked(parts: &Parts) -> Option<Self> {
        let headers = &parts.headers;
        let list = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let list = list.map_or(Ok(""), HeaderValue::to_str).ok()?;
        let asked: Vec<String> = list
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
            .take(HEADERS_MAX.saturating_add(1))
            .collect();
        (asked.len() <= HEADERS_MAX).then_some(())?;
        Some(Self {
            origin: text(headers, &header::ORIGIN)?.to_owned(),
            method: text(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?.to_owned(),
            headers: asked,
        })
    }

    fn ask(&self) -> CorsAsk<'_> {
        CorsAsk {
            origin: &self.origin,
            method: &self.method,
            headers: &self.headers,
        }
    }
}

/// Whether a request is a browser's question. It carries no signature.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
}

/// Answers a preflight. What is wrong with it as such is recorded with the answer's release.
pub(super) async fn preflight(
    recorder: &dyn Recorder,
    scope: &Scope,
    bucket: Option<&str>,
    parts: &Parts,
) -> Response<Body> {
    scope.name(OPERATION);
    let Some(page) = Page::asked(parts) else {
        return of_error(invalid_request(
            "A preflight has an Origin and an Access-Control-Request-Method.",
        ));
    };
    let call = scope.serve();
    let bucket = bucket.unwrap_or_default();
    match recorder.preflight(&call, bucket, page.ask()).await {
        Ok(rule) => {
            let mut response = Response::new(Body::empty());
            tell(response.headers_mut(), &rule, &page);
            response
        }
        Err(error) if error.kind() == ErrorKind::AccessDenied => of_error(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "CORSResponse: This CORS request is not allowed.",
        )),
        Err(error) => of_error(error.into()),
    }
}

/// Lets a page read the answer to its request, if a rule says so; refusals, too, since the page's
/// owner would else not learn what is wrong.
pub(super) async fn add(
    recorder: &dyn Recorder,
    response: &mut Response<Body>,
    bucket: Option<&str>,
    page: &Page,
) {
    let Some(bucket) = bucket else { return };
    match recorder.cors(bucket, page.ask()).await {
        Ok(Some(rule)) => tell(response.headers_mut(), &rule, page),
        Ok(None) => {}
        Err(error) => tracing::warn!(reason = %error.reason(), "CORS rules cannot be read"),
    }
}

fn tell(headers: &mut HeaderMap, rule: &CorsRule, page: &Page) {
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            let _old: Option<HeaderValue> = headers.insert(name, value);
        }
    };
    // For all origins the answer is one and holds no credentials.
    let anyone = rule.origins.iter().any(|origin| origin == "*");
    if anyone {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, &page.origin);
        set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    let methods = rule.methods.join(", ");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, &methods);
    if !page.headers.is_empty() {
        set(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            &page.headers.join(", "),
        );
    }
    if !rule.exposed.is_empty() {
        set(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &rule.exposed.join(", "),
        );
    }
    if let Some(age) = rule.max_age {
        set(header::ACCESS_CONTROL_MAX_AGE, &age.to_string());
    }
    let _old: Option<HeaderValue> = headers.insert(header::VARY, VARY);
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/b--d/k");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_a_page_has_an_origin() {
        assert!(Page::of(&parts("GET", &[])).is_none());
        assert!(Page::of(&parts("GET", &[("origin", "")])).is_none());
        let long = "a".repeat(600);
        assert!(Page::of(&parts("GET", &[("origin", &long)])).is_none());
        let page = Page::of(&parts("PUT", &[("origin", "https://a")])).unwrap();
        assert_eq!((&*page.origin, &*page.method), ("https://a", "PUT"));
    }

    #[test]
    fn a_preflight_says_what_it_asks() {
        let origin = ("origin", "https://a");
        let method = ("access-control-request-method", "PUT");
        assert!(Page::asked(&parts("OPTIONS", &[origin])).is_none());
        assert!(Page::asked(&parts("OPTIONS", &[method])).is_none());
        let list = ("access-control-request-headers", "X-Amz-Date, ,range");
        let page = Page::asked(&parts("OPTIONS", &[origin, method, list])).unwrap();
        assert_eq!(page.headers, ["x-amz-date", "range"]);
        let many = "a,".repeat(101);
        let many = ("access-control-request-headers", many.as_str());
        assert!(Page::asked(&parts("OPTIONS", &[origin, method, many])).is_none());
    }

    #[test]
    fn an_answer_for_all_holds_no_credentials() {
        let page = Page::of(&parts("GET", &[("origin", "https://a")])).unwrap();
        let mut response = Response::new(Body::empty());
        let mut rule = CorsRule {
            origins: vec!["*".to_owned()],
            methods: vec!["GET".to_owned(), "PUT".to_owned()],
            ..CorsRule::default()
        };
        tell(response.headers_mut(), &rule, &page);
        let header = |response: &Response<Body>, name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let allow = "access-control-allow-credentials";
        assert_eq!(header(&response, allow), None);
        let methods = header(&response, "access-control-allow-methods");
        assert_eq!(methods.as_deref(), Some("GET, PUT"));
        rule.origins = vec!["https://*".to_owned()];
        let mut response = Response::new(Body::empty());
        tell(response.headers_mut(), &rule, &page);
        assert_eq!(header(&response, allow).as_deref(), Some("true"));
        let origin = header(&response, "access-control-allow-origin");
        assert_eq!(origin.as_deref(), Some("https://a"));
        assert!(header(&response, "vary").is_some());
    }
}
