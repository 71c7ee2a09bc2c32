//! What a right signature must cover, beyond what the library checks: one signature for one
//! request, and the host it was made for.

use http::{HeaderMap, header};
use s3s::{S3Error, S3ErrorCode, S3Result};

/// What a query that carries a signature names (`X-Amz-Expires` and so on).
const QUERY_FIELDS: &[&[u8]] = &[
    b"x-amz-algorithm",
    b"x-amz-credential",
    b"x-amz-date",
    b"x-amz-expires",
    b"x-amz-signature",
    b"x-amz-signedheaders",
];

/// What names a session beside a signature. A form has none: its fields come behind the look at who
/// signs.
const SESSION_TOKEN: &[u8] = b"x-amz-security-token";

/// Refuses a form that is signed elsewhere, too, or comes with headers that its policy does not
/// cover: all that it asks stands in its fields. The host is not signed in a form.
pub(super) fn check_form(headers: &HeaderMap, query: &str) -> S3Result<()> {
    let of_signing = |pair| is_signature_field(pair) || is_field(pair, SESSION_TOKEN);
    let twice = headers.contains_key(header::AUTHORIZATION) || query.split('&').any(of_signing);
    if twice {
        return Err(S3Error::with_message(
            S3ErrorCode::InvalidArgument,
            "A form is signed in its fields.",
        ));
    }
    let mut names = headers.keys().map(http::HeaderName::as_str);
    if names.any(|name| name.starts_with("x-amz-")) {
        return Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "A form's policy covers no header.",
        ));
    }
    Ok(())
}

/// Refuses a request that is signed twice, or whose signature would be right for another host.
/// The library has found the signature to be right.
pub(super) fn check(headers: &HeaderMap, query: &str) -> S3Result<()> {
    let mut in_headers = headers.get_all(header::AUTHORIZATION).into_iter();
    let authorization = in_headers.next();
    let in_query = query.split('&').any(is_signature_field);
    if in_headers.next().is_some() || (authorization.is_some() && in_query) {
        return Err(S3Error::with_message(
            S3ErrorCode::InvalidArgument,
            "A request is signed once: in its headers or in its query.",
        ));
    }
    let covers_host = match authorization {
        Some(value) => value.to_str().is_ok_and(header_covers_host),
        None => query_covers_host(query),
    };
    if covers_host {
        Ok(())
    } else {
        Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "The signature does not cover the host.",
        ))
    }
}

/// Refuses a signature that was made for another service than this one.
pub(super) fn check_service(headers: &HeaderMap, query: &str, service: &str) -> S3Result<()> {
    let scope = match headers.get(header::AUTHORIZATION) {
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|value| value.split_once("Credential="))
            .and_then(|(_, rest)| rest.split(',').next())
            .map(str::to_owned),
        None => query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| decoded(name) == b"X-Amz-Credential")
            .and_then(|(_, value)| String::from_utf8(decoded(value)).ok()),
    };
    let named = scope.as_deref().and_then(|scope| scope.split('/').nth(3));
    if named == Some(service) {
        return Ok(());
    }
    Err(S3Error::with_message(
        S3ErrorCode::SignatureDoesNotMatch,
        "The signature is for another service.",
    ))
}

/// Refuses what is not signed in its `Authorization` header for this service, and forms: what the
/// library takes for the signature of a form or of a query covers neither path nor body.
pub(super) fn check_header(headers: &HeaderMap, query: &str, service: &str) -> S3Result<()> {
    let is_form = |value: &http::HeaderValue| {
        let essence = value.as_bytes().trim_ascii_start().to_ascii_lowercase();
        !essence.is_ascii() || essence.starts_with(b"multipart/")
    };
    let elsewhere = query.split('&').any(is_signature_field)
        || headers.get_all(header::CONTENT_TYPE).iter().any(is_form);
    if elsewhere || !headers.contains_key(header::AUTHORIZATION) {
        return Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "Requests to this service are signed in the Authorization header alone.",
        ));
    }
    check(headers, query)?;
    check_service(headers, query, service)
}

fn decoded(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

fn is_signature_field(pair: &str) -> bool {
    QUERY_FIELDS.iter().any(|field| is_field(pair, field))
}

/// Whether a pair of a query is this field.
fn is_field(pair: &str, field: &[u8]) -> bool {
    let name = decoded(pair.split('=').next().unwrap_or_default());
    name.eq_ignore_ascii_case(field)
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=a;b, Signature=…`
fn header_covers_host(value: &str) -> bool {
    let (_, fields) = value.split_once(' ').unwrap_or_default();
    let mut lists = fields
        .split(',')
        .filter_map(|field| field.trim().strip_prefix("SignedHeaders="))
        .peekable();
    lists.peek().is_some() && lists.all(|list| names_host(list.as_bytes()))
}

fn query_covers_host(query: &str) -> bool {
    let mut lists = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| decoded(name) == b"X-Amz-SignedHeaders")
        .peekable();
    lists.peek().is_some() && lists.all(|(_, list)| names_host(&decoded(list)))
}

fn names_host(list: &[u8]) -> bool {
    list.split(|byte| *byte == b';').any(|name| name == b"host")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const RIGHT: &str = "AWS4-HMAC-SHA256 Credential=K/20270101/r/s3/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature=00";
    const QUERY: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=a%3Bhost";

    #[test]
    fn nothing_beside_a_forms_fields_says_who_signs() {
        let none = HeaderMap::new();
        assert!(check_form(&none, "").is_ok());
        assert!(check_form(&none, "x-id=PostObject&token=x").is_ok());
        for query in [
            QUERY,
            "X-Amz-Security-Token=t",
            "a=b&x-amz-security-token=t",
            "x-amz-security%2Dtoken=t",
            "x-amz-security-token",
        ] {
            assert!(check_form(&none, query).is_err(), "{query}");
        }
        for name in ["authorization", "x-amz-security-token", "x-amz-acl"] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            assert!(check_form(&headers, "").is_err(), "{name}");
        }
    }

    fn code(authorization: &[&str], query: &str) -> Option<String> {
        let value = |text: &&str| (header::AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in authorization.iter().map(value) {
            headers.append(name, value);
        }
        check(&headers, query)
            .err()
            .map(|e| e.code().as_str().to_owned())
    }

    #[test]
    fn one_signature_that_covers_the_host_passes() {
        assert_eq!(code(&[RIGHT], ""), None);
        assert_eq!(code(&[RIGHT], "prefix=X-Amz-Signature"), None);
        let dense = RIGHT.replace(", ", ",");
        assert_eq!(code(&[&dense], ""), None);
        assert_eq!(code(&[], QUERY), None);
        assert_eq!(code(&[], "X%2DAmz-SignedHeaders=host"), None);
    }

    #[test]
    fn a_host_that_is_not_covered_is_refused() {
        for list in ["x-amz-date", "", "hosts", "x-host", "Host", "a:host"] {
            let other = RIGHT.replace("host;x-amz-date", list);
            let verdict = code(&[&other], "");
            assert_eq!(verdict.as_deref(), Some("AccessDenied"), "{list}");
        }
        for query in [
            "",
            "X-Amz-SignedHeaders",
            "X-Amz-SignedHeaders=",
            "X-Amz-SignedHeaders=date",
            "x-amz-signedheaders=host",
            "X-Amz-SignedHeaders=host&X-Amz-SignedHeaders=date",
        ] {
            assert_eq!(code(&[], query).as_deref(), Some("AccessDenied"), "{query}");
        }
    }

    /// A form's signature and a presigned URL's cover neither the path nor the body of what the API
    /// is asked.
    #[test]
    fn the_api_takes_one_kind_of_signature() {
        let verdict = |authorization: Option<&str>, query: &str, kind: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let value = |text: &str| HeaderValue::from_str(text).unwrap();
            authorization.map(|text| headers.insert(header::AUTHORIZATION, value(text)));
            kind.map(|text| headers.insert(header::CONTENT_TYPE, value(text)));
            let verdict = check_header(&headers, query, "s3");
            verdict.err().map(|e| e.code().as_str().to_owned())
        };
        let json = Some("application/json");
        assert_eq!(verdict(Some(RIGHT), "", None), None);
        assert_eq!(verdict(Some(RIGHT), "a=b", json), None);
        let denied = Some("AccessDenied".to_owned());
        assert_eq!(verdict(None, "", json), denied);
        assert_eq!(verdict(None, QUERY, json), denied);
        assert_eq!(verdict(Some(RIGHT), QUERY, json), denied);
        for kind in [
            "multipart/form-data; boundary=b",
            "Multipart/Form-Data;boundary=b",
            " multipart/mixed",
            "multipart/form-data",
        ] {
            assert_eq!(verdict(Some(RIGHT), "", Some(kind)), denied, "{kind}");
            assert_eq!(verdict(None, QUERY, Some(kind)), denied, "{kind}");
        }
        let other = RIGHT.replace("/s3/", "/sts/");
        let mismatch = Some("SignatureDoesNotMatch".to_owned());
        assert_eq!(verdict(Some(&other), "", json), mismatch);
    }

    #[test]
    fn two_signatures_are_refused() {
        let twice = code(&[RIGHT, RIGHT], "");
        assert_eq!(twice.as_deref(), Some("InvalidArgument"));
        for query in [QUERY, "X-Amz-Signature=00", "a=b&x%2Damz-expires=1"] {
            let both = code(&[RIGHT], query);
            assert_eq!(both.as_deref(), Some("InvalidArgument"), "{query}");
        }
    }
}
