//! Answers: JSON, and errors as RFC 9457 has them (`application/problem+json`).

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::vault::{ErrorKind, VaultError};
use crate::wire::Problem;

/// After how many seconds a client may try again.
const RETRY_AFTER_SECONDS: &str = "2";

/// The error's code, for the record of a request that no use case recorded: an extension of every
/// error's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub &'static str);

/// Why a request is not served. Its words are for the client: constant, or about the client's own
/// text.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    title: String,
}

impl ApiError {
    /// A request whose arguments cannot be.
    #[must_use]
    pub const fn bad(title: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "InvalidArgument",
            title,
        }
    }

    /// A request that does not fit how things stand.
    #[must_use]
    pub const fn conflict(title: String) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            code: "Conflict",
            title,
        }
    }

    /// The same in other words, which are for the client.
    #[must_use]
    pub fn saying(self, title: String) -> Self {
        Self { title, ..self }
    }

    /// A path at which nothing is served.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "NoSuchEndpoint",
            title: "There is no such endpoint; openapi.json lists those there are.".to_owned(),
        }
    }

    /// A method that is not served at a path.
    #[must_use]
    pub fn no_method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "MethodNotAllowed",
            title: "The endpoint takes other methods; openapi.json lists them.".to_owned(),
        }
    }

    /// The error as an answer.
    #[must_use]
    pub fn to_response(&self) -> Response<Body> {
        let problem = Problem {
            title: self.title.clone(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
        };
        let mut response = json(self.status, &problem);
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let wait = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            headers.insert(header::RETRY_AFTER, wait);
        }
        let _none: Option<Code> = response.extensions_mut().insert(Code(self.code));
        response
    }
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Our own types, whose maps have text for keys: writing them cannot fail.
    json_text(status, serde_json::to_vec(value).unwrap_or_default())
}

/// An answer of JSON that is written already.
pub(super) fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        let kind = error.kind();
        let status = StatusCode::from_u16(kind.status()).unwrap_or_default();
        if status.is_server_error() {
            tracing::warn!(?kind, reason = %error.reason(), "request failed");
        }
        let (code, title) = said(kind);
        Self {
            status,
            code,
            title: title.to_owned(),
        }
    }
}

/// What a client is told.
#[expect(clippy::too_many_lines, reason = "one table, a line for each kind")]
const fn said(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::AccessDenied => ("AccessDenied", "Access denied."),
        ErrorKind::AssuranceTooLow => (
            "AssuranceTooLow",
            "The project demands a sign-in of higher assurance.",
        ),
        ErrorKind::GrantOver => ("GrantOver", "The grant that allowed this has ended."),
        ErrorKind::GrantNotYet => ("GrantNotYet", "The grant that allows this has not begun."),
        ErrorKind::GrantElsewhere => (
            "GrantElsewhere",
            "The grant that allows this is for other networks or partitions.",
        ),
        ErrorKind::JobOver => ("JobOver", "The job's right is over, or another job's."),
        ErrorKind::TakesTwo => (
            "TakesTwo",
            "It takes two persons: one asks for it (`kluis approval ask`), another approves.",
        ),
        ErrorKind::TokenInvalid => ("InvalidToken", "The token is not accepted."),
        ErrorKind::TokenExpired => ("ExpiredToken", "The token is not in its time."),
        ErrorKind::NoSuchDataset => ("NoSuchDataset", "There is no such dataset."),
        ErrorKind::NoSuchPublication => (
            "NoSuchVersion",
            "The dataset has no such published version; `kluis dataset versions` lists them.",
        ),
        ErrorKind::NoSuchObject => ("NoSuchObject", "There is no such object."),
        ErrorKind::NoSuchVersion | ErrorKind::IsMarker => {
            ("NoSuchVersion", "There is no such version.")
        }
        ErrorKind::NoSuchSetting => ("NoSuchSetting", "There is no such setting."),
        ErrorKind::Locked => ("Locked", "A lock keeps it as it is."),
        ErrorKind::InvalidRule => ("InvalidRule", "A rule is none."),
        ErrorKind::NotLocking | ErrorKind::InvalidState => {
            ("InvalidState", "The dataset's state does not allow it.")
        }
        ErrorKind::NoSuchUpload => ("NoSuchUpload", "There is no such upload."),
        ErrorKind::NotDescribed => (
            "NotDescribed",
            "The dataset takes no data before its owner, label, source, legal basis and end are set.",
        ),
        ErrorKind::AboveCeiling => (
            "AccessDenied",
            "The dataset's label is above what this installation takes.",
        ),
        ErrorKind::Quarantined => ("AccessDenied", "The dataset has reached its end."),
        ErrorKind::DatasetExists => ("Exists", "It is there already."),
        ErrorKind::DatasetNotEmpty => ("NotEmpty", "The dataset still holds objects or uploads."),
        ErrorKind::PreconditionFailed => ("PreconditionFailed", "A condition does not hold."),
        ErrorKind::NotModified => ("NotModified", "It was not changed."),
        ErrorKind::Conflict => ("Conflict", "Another request came in between. Try again."),
        ErrorKind::InvalidRange => ("InvalidRange", "The range lies beyond the end."),
        ErrorKind::InvalidName | ErrorKind::InvalidBucket | ErrorKind::KeyTooLong => {
            ("InvalidName", "A name is not one that is served here.")
        }
        ErrorKind::InvalidArgument
        | ErrorKind::MetadataTooLarge
        | ErrorKind::TooManyTags
        | ErrorKind::InvalidTag
        | ErrorKind::InvalidPart
        | ErrorKind::InvalidPartOrder
        | ErrorKind::PartTooSmall => ("InvalidArgument", "An argument is out of its bounds."),
        ErrorKind::TooLarge => ("TooLarge", "It is larger than it may be."),
        ErrorKind::IncompleteBody | ErrorKind::BodyTimeout => {
            ("IncompleteBody", "The body ended early.")
        }
        ErrorKind::BadDigest => ("BadDigest", "The body is not what its checksum says."),
        ErrorKind::BodySignature => ("AccessDenied", "A signature inside the body is wrong."),
        ErrorKind::LogUnavailable => (
            "LogUnavailable",
            "No record can be made now, so nothing is served. Try again.",
        ),
        ErrorKind::SlowDown => ("SlowDown", "Too much at once. Try again, slower."),
        ErrorKind::Unavailable => ("Unavailable", "The store does not answer. Try again."),
        ErrorKind::Full => ("Full", "No space is left. Nothing was written."),
        ErrorKind::Integrity => (
            "Integrity",
            "What is stored does not authenticate. Nothing of it was handed out.",
        ),
        ErrorKind::Internal => ("Internal", "A fault of the vault itself."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do_and_not_why() {
        let error = VaultError::new(ErrorKind::LogUnavailable, "the disk is full");
        let response = ApiError::from(error).to_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.extensions().get(), Some(&Code("LogUnavailable")));
    }
}
