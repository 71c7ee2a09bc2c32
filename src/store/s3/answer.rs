//! What the head of a store's answer means. Pure; nothing here trusts what it reads.

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use super::retry::{Again, Refusal};
use crate::store::StoreError;

/// Judges the head of an answer to a GET that was not refused. Only a GET of the whole blob is sent
/// without a range.
pub(super) fn check_range(
    status: StatusCode,
    headers: &HeaderMap,
    range: &Range<u64>,
    whole: u64,
) -> Result<(), Refusal> {
    let wanted = range.end.saturating_sub(range.start);
    let length = content_length(headers)?;
    if status == StatusCode::OK && !headers.contains_key(CONTENT_RANGE) {
        let asked_for_all = (range.start, range.end) == (0, whole);
        let reason = match length {
            Some(length) if asked_for_all && length == whole => return Ok(()),
            Some(_) if asked_for_all => return Err(Refusal::last(StoreError::Length)),
            None if asked_for_all => "the store did not say how long a blob is",
            _ => "the store ignores ranges: it answered 200 to a ranged GET",
        };
        return Err(Refusal::failed(reason, Again::Never));
    }
    // Some servers serve the range and say 200 all the same (rclone's does).
    if status != StatusCode::PARTIAL_CONTENT && status != StatusCode::OK {
        let reason = format!("the store answered {} to a ranged GET", status.as_u16());
        return Err(Refusal::failed(&reason, Again::Never));
    }
    let text = headers.get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
    let Some((first, last, total)) = text.and_then(content_range) else {
        let reason = "the store sent a partial answer without a valid Content-Range";
        return Err(Refusal::failed(reason, Again::Never));
    };
    let wrong_length = length.is_some_and(|length| length != wanted);
    // Some stores do not tell the whole (`*`); what they append is never read, nor told.
    let wrong_length = wrong_length || total.is_some_and(|total| total != whole);
    if first != range.start || last.checked_add(1) != Some(range.end) || wrong_length {
        return Err(Refusal::last(StoreError::Length));
    }
    Ok(())
}

/// The length that was announced, if any. hyper has refused contradictory ones.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(digits);
    let bad = || Refusal::failed("the store sent an invalid Content-Length", Again::Never);
    length.map(Some).ok_or_else(bad)
}

/// The first and last offset of `bytes 0-99/1000` or `bytes 0-99/*` (RFC 9110, section 14.4), and
/// the length of the whole.
pub(super) fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (digits(first)?, digits(last)?);
    let total = match total {
        "*" => None,
        total => Some(digits(total)?),
    };
    let beyond = total.is_some_and(|total| total <= last);
    (first <= last && !beyond).then_some((first, last, total))
}

/// A number without the signs that `parse` would allow.
fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Judges an answer that is no success, by its status and the head of its body.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let code = element(body, "Code").unwrap_or_default();
    let message = element(body, "Message").unwrap_or_default();
    match code.as_str() {
        "NoSuchBucket" => {
            return Refusal::failed("the bucket does not exist", Again::Never);
        }
        "NoSuchKey" => return Refusal::last(StoreError::NotFound),
        "InvalidRange" => return Refusal::last(StoreError::Length),
        "RequestTimeTooSkewed" => {
            let reason = "the store's clock and the gateway's are too far apart";
            return Refusal::failed(reason, Again::Never);
        }
        "QuotaExceeded"
        | "InsufficientStorage"
        | "StorageFull"
        | "XMinioStorageFull"
        | "InsufficientCapacity" => return Refusal::last(StoreError::Full),
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded" => return throttled(headers),
        _ => {}
    }
    match status {
        StatusCode::NOT_FOUND => Refusal::last(StoreError::NotFound),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refusal::last(StoreError::Denied),
        StatusCode::RANGE_NOT_SATISFIABLE => Refusal::last(StoreError::Length),
        StatusCode::INSUFFICIENT_STORAGE => Refusal::last(StoreError::Full),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => throttled(headers),
        other => {
            let transient = other.is_server_error()
                || other == StatusCode::REQUEST_TIMEOUT
                || code == "RequestTimeout";
            let again = if transient {
                Again::Later
            } else {
                Again::Never
            };
            let reason = format!("it answered {} {code}: {message}", other.as_u16());
            Refusal::failed(reason.trim_end_matches([':', ' ']), again)
        }
    }
}

fn throttled(headers: &HeaderMap) -> Refusal {
    let seconds = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let again = seconds.and_then(digits).map(Again::AfterSeconds);
    Refusal {
        error: StoreError::Throttled,
        again: again.unwrap_or(Again::Later),
    }
}

/// The text of the first `<name>…</name>`, up to 200 printable ASCII characters of it. No XML is
/// parsed here: a word for the log needs none of its powers.
fn element(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
    Some(inner.chars().filter(printable).take(200).collect())
}

/// Whether a success carries an error in its body, as some stores do when they change their mind.
pub(super) fn is_error(body: &[u8]) -> bool {
    element(body, "Code").is_some() || body.windows(6).any(|window| window == b"<Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn range_error(status: u16, pairs: &[(&'static str, &'static str)]) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        match check_range(status, &headers(pairs), &(10..20), 100) {
            Ok(()) => String::new(),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn only_the_range_asked_for_is_taken() {
        let ok = ("content-range", "bytes 10-19/100");
        assert_eq!(range_error(206, &[ok]), "");
        assert_eq!(range_error(206, &[("content-range", "bytes 10-19/*")]), "");
        assert_eq!(range_error(206, &[ok, ("content-length", "10")]), "");
        for (length, bad) in [
            ("10", "bytes 10-20/100"),
            ("10", "bytes 9-19/100"),
            ("10", "bytes 10-18/100"),
            ("9", "bytes 10-19/100"),
            ("11", "bytes 10-19/100"),
            ("10", "bytes 10-19/99"),
            ("10", "bytes 10-19/101"),
        ] {
            let pairs = [("content-range", bad), ("content-length", length)];
            assert!(range_error(206, &pairs).contains("length"), "{bad}");
        }
        for bad in [
            "",
            "bytes",
            "bytes 10-19",
            "bytes 10-19/19",
            "bytes 19-10/100",
            "bytes */100",
            "bytes +10-19/100",
            "bytes 10-19/x",
            "chars 10-19/100",
            "bytes 10-99999999999999999999/*",
            "bytes 10--19/100",
        ] {
            let error = range_error(206, &[("content-range", bad)]);
            assert!(error.contains("Content-Range"), "{bad}: {error}");
        }
        assert_eq!(range_error(200, &[ok, ("content-length", "10")]), "");
        assert!(range_error(200, &[ok, ("content-length", "11")]).contains("length"));
        assert!(range_error(206, &[]).contains("Content-Range"));
        assert!(range_error(200, &[("content-length", "10")]).contains("ignores ranges"));
        assert!(range_error(204, &[]).contains("204"));
    }

    #[test]
    fn a_whole_blob_may_come_as_200() {
        let ok = headers(&[("content-length", "20")]);
        let check =
            |pairs: &HeaderMap, end, whole| check_range(StatusCode::OK, pairs, &(0..end), whole);
        check(&ok, 20, 20).unwrap();
        check(&ok, 20, 21).unwrap_err();
        check(&ok, 19, 20).unwrap_err();
        check(&headers(&[]), 20, 20).unwrap_err();
        for length in ["19", "21"] {
            let other = headers(&[("content-length", length)]);
            let refusal = check(&other, 20, 20).unwrap_err();
            assert!(refusal.to_string().contains("another length"), "{length}");
        }
    }

    fn judge(status: u16, body: &str) -> (String, Again) {
        let status = StatusCode::from_u16(status).unwrap();
        let judged = refusal(status, &headers(&[]), body.as_bytes());
        (judged.error.to_string(), judged.again)
    }

    #[test]
    fn refusals_are_told_apart() {
        let xml = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        for (status, body, word, again) in [
            (404, xml("NoSuchKey"), "no such blob", Again::Never),
            (404, String::new(), "no such blob", Again::Never),
            (
                404,
                xml("NoSuchBucket"),
                "bucket does not exist",
                Again::Never,
            ),
            (403, xml("AccessDenied"), "credential", Again::Never),
            (403, xml("RequestTimeTooSkewed"), "clock", Again::Never),
            (401, String::new(), "credential", Again::Never),
            (416, String::new(), "another length", Again::Never),
            (507, String::new(), "full", Again::Never),
            (403, xml("QuotaExceeded"), "full", Again::Never),
            (503, xml("SlowDown"), "throttling", Again::Later),
            (429, String::new(), "throttling", Again::Later),
            (
                500,
                xml("InternalError"),
                "it answered 500 InternalError: m",
                Again::Later,
            ),
            (502, "<html>".to_owned(), "it answered 502", Again::Later),
            (400, xml("RequestTimeout"), "RequestTimeout", Again::Later),
            (400, xml("EntityTooLarge"), "EntityTooLarge", Again::Never),
            (301, String::new(), "it answered 301", Again::Never),
            (307, xml("TemporaryRedirect"), "307", Again::Never),
        ] {
            let (text, when) = judge(status, &body);
            assert!(text.contains(word), "{status} {body}: {text}");
            assert_eq!(when, again, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_read_strictly() {
        for (value, again) in [
            ("7", Again::AfterSeconds(7)),
            ("-7", Again::Later),
            ("+7", Again::Later),
            ("soon", Again::Later),
            ("99999999999999999999999", Again::Later),
        ] {
            let judged = refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                &headers(&[("retry-after", value)]),
                b"",
            );
            assert_eq!(judged.again, again, "{value}");
        }
    }

    #[test]
    fn what_reaches_the_log_is_short_and_printable() {
        let evil = format!("<Code>a\u{1b}[31m\n{}\u{202e}</Code>", "x".repeat(1000));
        let word = element(evil.as_bytes(), "Code").unwrap();
        assert_eq!(word.len(), 200);
        assert!(word.starts_with("a[31mxxx"));
        assert_eq!(element(b"<Code>never closed", "Code"), None);
    }
}
