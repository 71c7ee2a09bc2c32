//! What a client is told when a use case fails: one total table from kind to S3 code and status.
//!
//! Messages are constant. The reason goes to the record and to the operator's log, never here.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use s3s::{S3Error, S3ErrorCode};

use crate::vault::{ErrorKind, VaultError};

const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");
const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");

/// After how many seconds a client may try again.
const RETRY_AFTER_SECONDS: &str = "2";

/// What a kind of error looks like to a client.
struct Answer {
    code: S3ErrorCode,
    status: StatusCode,
    message: &'static str,
    retry: bool,
}

const fn no(code: S3ErrorCode, status: StatusCode, message: &'static str) -> Answer {
    Answer {
        code,
        status,
        message,
        retry: false,
    }
}

const fn later(code: S3ErrorCode, message: &'static str) -> Answer {
    Answer {
        code,
        status: StatusCode::SERVICE_UNAVAILABLE,
        message,
        retry: true,
    }
}

#[expect(clippy::too_many_lines, reason = "one row for each kind")]
const fn answer(kind: ErrorKind) -> Answer {
    use S3ErrorCode as Code;
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const ABSENT: StatusCode = StatusCode::NOT_FOUND;
    const CONFLICT: StatusCode = StatusCode::CONFLICT;
    const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
    const FAULT: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
    match kind {
        ErrorKind::AccessDenied => no(Code::AccessDenied, FORBIDDEN, "Access denied."),
        ErrorKind::AssuranceTooLow => no(
            Code::AccessDenied,
            FORBIDDEN,
            "AssuranceTooLow: the project demands a sign-in of higher assurance.",
        ),
        ErrorKind::GrantOver => no(
            Code::AccessDenied,
            FORBIDDEN,
            "GrantOver: the grant that allowed this has ended.",
        ),
        ErrorKind::GrantNotYet => no(
            Code::AccessDenied,
            FORBIDDEN,
            "GrantNotYet: the grant that allows this has not begun.",
        ),
        ErrorKind::GrantElsewhere => no(
            Code::AccessDenied,
            FORBIDDEN,
            "GrantElsewhere: the grant that allows this is for other networks or partitions.",
        ),
        ErrorKind::JobOver => no(
            Code::AccessDenied,
            FORBIDDEN,
            "JobOver: the job's right is over, or another job's.",
        ),
        ErrorKind::TakesTwo => no(
            Code::AccessDenied,
            FORBIDDEN,
            "TakesTwo: it takes two persons, one who asks and another who approves.",
        ),
        ErrorKind::TokenInvalid => no(Code::InvalidToken, BAD, "The token is not accepted."),
        ErrorKind::TokenExpired => no(Code::ExpiredToken, BAD, "The token is not in its time."),
        ErrorKind::NoSuchDataset => no(Code::NoSuchBucket, ABSENT, "There is no such bucket."),
        ErrorKind::NoSuchPublication => no(
            Code::NoSuchBucket,
            ABSENT,
            "The dataset has no such published version.",
        ),
        ErrorKind::NoSuchObject => no(Code::NoSuchKey, ABSENT, "There is no such object."),
        ErrorKind::NoSuchVersion => no(Code::NoSuchVersion, ABSENT, "There is no such version."),
        ErrorKind::IsMarker => no(
            Code::MethodNotAllowed,
            StatusCode::METHOD_NOT_ALLOWED,
            "The version is a delete marker.",
        ),
        ErrorKind::NoSuchSetting => no(Code::NoSuchTagSet, ABSENT, "The bucket has no tags."),
        ErrorKind::NoSuchUpload => no(Code::NoSuchUpload, ABSENT, "There is no such upload."),
        ErrorKind::Locked => no(
            Code::AccessDenied,
            FORBIDDEN,
            "The object is protected by Object Lock.",
        ),
        ErrorKind::InvalidRule => no(Code::InvalidRequest, BAD, "A rule is out of its bounds."),
        ErrorKind::NotLocking => no(
            Code::InvalidRequest,
            BAD,
            "The bucket is missing an Object Lock configuration.",
        ),
        ErrorKind::InvalidState => no(
            Code::InvalidBucketState,
            CONFLICT,
            "Object Lock needs a bucket whose versioning is enabled.",
        ),
        ErrorKind::NotDescribed => no(
            Code::InvalidBucketState,
            CONFLICT,
            "The bucket takes no data before its owner, label, source, legal basis and end are set: \
             `kluis dataset set`, or `kluis project defaults` for all of a project.",
        ),
        ErrorKind::AboveCeiling => no(
            Code::AccessDenied,
            FORBIDDEN,
            "The bucket's label is above what this installation takes.",
        ),
        ErrorKind::Quarantined => no(
            Code::AccessDenied,
            FORBIDDEN,
            "The bucket's data has reached its end: its owner can put the end off for a while.",
        ),
        ErrorKind::DatasetExists => no(
            Code::BucketAlreadyOwnedByYou,
            CONFLICT,
            "The bucket is there already.",
        ),
        ErrorKind::DatasetNotEmpty => no(
            Code::BucketNotEmpty,
            CONFLICT,
            "The bucket still holds objects or uploads.",
        ),
        ErrorKind::PreconditionFailed => no(
            Code::PreconditionFailed,
            StatusCode::PRECONDITION_FAILED,
            "A condition of the request does not hold.",
        ),
        ErrorKind::NotModified => no(
            Code::NotModified,
            StatusCode::NOT_MODIFIED,
            "The object was not changed.",
        ),
        ErrorKind::Conflict => no(
            Code::OperationAborted,
            CONFLICT,
            "Another request came in between. Try again.",
        ),
        ErrorKind::InvalidRange => no(
            Code::InvalidRange,
            StatusCode::RANGE_NOT_SATISFIABLE,
            "The range lies beyond the object's end.",
        ),
        ErrorKind::InvalidName => no(
            Code::InvalidArgument,
            BAD,
            "The object's key is not one that is served here: it is empty, or has a control character \
             or a part that is `.` or `..`.",
        ),
        ErrorKind::InvalidBucket => no(
            Code::InvalidBucketName,
            BAD,
            "A bucket is named <project>--<dataset>, of a-z, 0-9 and single hyphens.",
        ),
        ErrorKind::KeyTooLong => no(
            Code::KeyTooLongError,
            BAD,
            "An object's key is at most 1024 bytes long.",
        ),
        ErrorKind::InvalidArgument => no(
            Code::InvalidArgument,
            BAD,
            "An argument is out of its bounds.",
        ),
        ErrorKind::MetadataTooLarge => no(
            Code::MetadataTooLarge,
            BAD,
            "The user metadata are larger than they may be.",
        ),
        ErrorKind::TooManyTags => no(
            Code::InvalidTag,
            BAD,
            "There are more tags than there may be.",
        ),
        ErrorKind::InvalidTag => no(
            Code::InvalidTag,
            BAD,
            "A tag is longer than it may be, or is there twice.",
        ),
        ErrorKind::TooLarge => no(
            Code::EntityTooLarge,
            BAD,
            "The object or part is larger than it may be.",
        ),
        ErrorKind::PartTooSmall => no(
            Code::EntityTooSmall,
            BAD,
            "A part is smaller than it may be.",
        ),
        ErrorKind::InvalidPart => no(
            Code::InvalidPart,
            BAD,
            "A part is not there, or its entity tag is another.",
        ),
        ErrorKind::InvalidPartOrder => no(
            Code::InvalidPartOrder,
            BAD,
            "The parts are not in ascending order.",
        ),
        ErrorKind::IncompleteBody => no(
            Code::IncompleteBody,
            BAD,
            "The body is shorter or longer than announced, or its framing is broken.",
        ),
        ErrorKind::BadDigest => no(
            Code::BadDigest,
            BAD,
            "The body is not what its checksum says. Nothing was kept of it.",
        ),
        ErrorKind::BodySignature => no(
            Code::SignatureDoesNotMatch,
            FORBIDDEN,
            "A signature inside the body is wrong. Nothing was kept of it.",
        ),
        ErrorKind::BodyTimeout => no(Code::RequestTimeout, BAD, "The client stopped sending."),
        ErrorKind::LogUnavailable => later(
            Code::ServiceUnavailable,
            "The access log takes no record now, so nothing is served. Try again.",
        ),
        ErrorKind::SlowDown => later(Code::SlowDown, "Too many requests. Try again, slower."),
        ErrorKind::Unavailable => later(
            Code::ServiceUnavailable,
            "The store does not answer. Try again.",
        ),
        ErrorKind::Full => no(
            Code::ServiceUnavailable,
            StatusCode::INSUFFICIENT_STORAGE,
            "No space is left. Nothing was written.",
        ),
        ErrorKind::Integrity => no(
            Code::InternalError,
            FAULT,
            "The stored object is damaged. Nothing of it was handed out. Please tell the operator.",
        ),
        ErrorKind::Internal => no(
            Code::InternalError,
            FAULT,
            "An internal error. Please report it with the request's id.",
        ),
    }
}

impl From<VaultError> for S3Error {
    fn from(error: VaultError) -> Self {
        let answer = answer(error.kind());
        if answer.status.is_server_error() {
            tracing::warn!(kind = ?error.kind(), reason = %error.reason(), "request failed");
        }
        let mut out = Self::with_message(answer.code, answer.message);
        out.set_status_code(answer.status);
        if answer.retry {
            out.set_headers(retry_after());
        } else if let Some(headers) = facts(&error) {
            out.set_headers(headers);
        }
        out
    }
}

/// What RFC 9110 has a 304 (15.4.5) and a 416 (15.5.17) tell of the object.
fn facts(error: &VaultError) -> Option<HeaderMap> {
    if let Some(marker) = error.marker() {
        let name = HeaderValue::from_str(&marker.to_string()).ok()?;
        let allow = HeaderValue::from_static("DELETE");
        let mut headers = HeaderMap::from_iter([
            (DELETE_MARKER, HeaderValue::from_static("true")),
            (VERSION_ID, name),
        ]);
        headers.extend((error.kind() == ErrorKind::IsMarker).then_some((header::ALLOW, allow)));
        return Some(headers);
    }
    let (etag, bytes) = error.object()?;
    let (name, text) = if error.kind() == ErrorKind::NotModified {
        (header::ETAG, format!("\"{}\"", etag.as_str()))
    } else if error.kind() == ErrorKind::InvalidRange {
        (header::CONTENT_RANGE, format!("bytes */{bytes}"))
    } else {
        return None;
    };
    let value = HeaderValue::from_str(&text).ok()?;
    Some(HeaderMap::from_iter([(name, value)]))
}

fn retry_after() -> HeaderMap {
    let value = HeaderValue::from_static(RETRY_AFTER_SECONDS);
    HeaderMap::from_iter([(header::RETRY_AFTER, value)])
}

/// An operation, header or value that is not served.
pub(super) fn not_served(what: &str) -> S3Error {
    S3Error::with_message(
        S3ErrorCode::NotImplemented,
        format!("Not served here: {what}"),
    )
}

/// A request whose arguments cannot be.
pub(super) fn invalid_argument(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

/// A request that contradicts itself.
pub(super) fn invalid_request(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidRequest, message)
}

/// A fault of this edge.
pub(super) fn internal(message: &'static str) -> S3Error {
    tracing::error!(message, "fault of the S3 edge");
    S3Error::from(VaultError::new(ErrorKind::Internal, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ETag, VersionId, VersionName};

    const TABLE: &[(ErrorKind, &str, u16)] = &[
        (ErrorKind::AccessDenied, "AccessDenied", 403),
        (ErrorKind::NoSuchDataset, "NoSuchBucket", 404),
        (ErrorKind::NoSuchPublication, "NoSuchBucket", 404),
        (ErrorKind::TakesTwo, "AccessDenied", 403),
        (ErrorKind::NoSuchObject, "NoSuchKey", 404),
        (ErrorKind::NoSuchVersion, "NoSuchVersion", 404),
        (ErrorKind::IsMarker, "MethodNotAllowed", 405),
        (ErrorKind::NoSuchSetting, "NoSuchTagSet", 404),
        (ErrorKind::NoSuchUpload, "NoSuchUpload", 404),
        (ErrorKind::AssuranceTooLow, "AccessDenied", 403),
        (ErrorKind::GrantOver, "AccessDenied", 403),
        (ErrorKind::GrantNotYet, "AccessDenied", 403),
        (ErrorKind::GrantElsewhere, "AccessDenied", 403),
        (ErrorKind::JobOver, "AccessDenied", 403),
        (ErrorKind::Locked, "AccessDenied", 403),
        (ErrorKind::InvalidRule, "InvalidRequest", 400),
        (ErrorKind::NotLocking, "InvalidRequest", 400),
        (ErrorKind::InvalidState, "InvalidBucketState", 409),
        (ErrorKind::DatasetExists, "BucketAlreadyOwnedByYou", 409),
        (ErrorKind::DatasetNotEmpty, "BucketNotEmpty", 409),
        (ErrorKind::PreconditionFailed, "PreconditionFailed", 412),
        (ErrorKind::NotModified, "NotModified", 304),
        (ErrorKind::Conflict, "OperationAborted", 409),
        (ErrorKind::InvalidRange, "InvalidRange", 416),
        (ErrorKind::InvalidName, "InvalidArgument", 400),
        (ErrorKind::InvalidBucket, "InvalidBucketName", 400),
        (ErrorKind::KeyTooLong, "KeyTooLongError", 400),
        (ErrorKind::InvalidArgument, "InvalidArgument", 400),
        (ErrorKind::MetadataTooLarge, "MetadataTooLarge", 400),
        (ErrorKind::TooManyTags, "InvalidTag", 400),
        (ErrorKind::InvalidTag, "InvalidTag", 400),
        (ErrorKind::TooLarge, "EntityTooLarge", 400),
        (ErrorKind::PartTooSmall, "EntityTooSmall", 400),
        (ErrorKind::InvalidPart, "InvalidPart", 400),
        (ErrorKind::InvalidPartOrder, "InvalidPartOrder", 400),
        (ErrorKind::IncompleteBody, "IncompleteBody", 400),
        (ErrorKind::BadDigest, "BadDigest", 400),
        (ErrorKind::BodySignature, "SignatureDoesNotMatch", 403),
        (ErrorKind::BodyTimeout, "RequestTimeout", 400),
        (ErrorKind::LogUnavailable, "ServiceUnavailable", 503),
        (ErrorKind::SlowDown, "SlowDown", 503),
        (ErrorKind::Unavailable, "ServiceUnavailable", 503),
        (ErrorKind::Full, "ServiceUnavailable", 507),
        (ErrorKind::Integrity, "InternalError", 500),
        (ErrorKind::Internal, "InternalError", 500),
    ];

    #[test]
    fn kinds_map_as_the_table_says() {
        for (kind, code, status) in TABLE {
            let error = S3Error::from(VaultError::new(*kind, "secret reason"));
            assert_eq!(error.code().as_str(), *code, "{kind:?}");
            assert_eq!(
                error.status_code().map(|s| s.as_u16()),
                Some(*status),
                "{kind:?}"
            );
            // The record and the client are told the same.
            assert_eq!(kind.status(), *status, "{kind:?}");
            let retry = error
                .headers()
                .is_some_and(|h| h.contains_key("retry-after"));
            assert_eq!(retry, *status == 503, "{kind:?}");
        }
    }

    #[test]
    fn reasons_do_not_leak() {
        for (kind, _, _) in TABLE {
            let cause = std::io::Error::other("secret cause");
            let error = S3Error::from(VaultError::caused(*kind, "secret reason", cause));
            assert!(error.source().is_none());
            assert!(!error.to_string().contains("secret"), "{kind:?}");
        }
    }

    #[test]
    fn a_304_and_a_416_tell_of_the_object_and_no_other_error_does() {
        let etag = ETag::of(&VersionId::from_bytes([1; 16]), 1);
        let tag = format!("\"{}\"", etag.as_str());
        for (kind, _, _) in TABLE {
            let error = VaultError::new(*kind, "x").about(&etag, 7);
            let error = S3Error::from(error);
            let header = |name: &str| {
                let value = error.headers().and_then(|headers| headers.get(name));
                value.map(|value| value.to_str().unwrap().to_owned())
            };
            let (is_304, is_416) = (
                *kind == ErrorKind::NotModified,
                *kind == ErrorKind::InvalidRange,
            );
            assert_eq!(header("etag"), is_304.then(|| tag.clone()), "{kind:?}");
            let range = is_416.then(|| "bytes */7".to_owned());
            assert_eq!(header("content-range"), range, "{kind:?}");
            let unknown = S3Error::from(VaultError::new(*kind, "x"));
            let told = unknown
                .headers()
                .is_some_and(|h| !h.contains_key("retry-after"));
            assert!(!told, "{kind:?}");
        }
    }

    #[test]
    fn a_delete_marker_is_told_of() {
        for (kind, allow) in [
            (ErrorKind::NoSuchObject, None),
            (ErrorKind::IsMarker, Some("DELETE")),
        ] {
            let error = VaultError::new(kind, "x").marked(VersionName::Null);
            let error = S3Error::from(error);
            let header = |name: &str| {
                let value = error.headers().and_then(|headers| headers.get(name));
                value.map(|value| value.to_str().unwrap().to_owned())
            };
            assert_eq!(header("x-amz-delete-marker").as_deref(), Some("true"));
            assert_eq!(header("x-amz-version-id").as_deref(), Some("null"));
            assert_eq!(header("allow").as_deref(), allow, "{kind:?}");
        }
    }
}
