//! One entry for fuzzers to what this room reads of a store's answers.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::answer::{check_range, is_error, refusal};
use super::retry::Again;

/// Reads `data` as an answer to a ranged GET: a line with the status, lines of headers, an empty
/// line, the body. Hidden: for `tests` and the fuzzing package.
///
/// Returns whether it was taken for the range that was asked for; `None` where a promise is broken.
#[must_use]
pub fn fuzz_answer(data: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().parse().ok();
    let Some(status) = status.and_then(|code| StatusCode::from_u16(code).ok()) else {
        return Some(false);
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (
            name.parse::<HeaderName>(),
            HeaderValue::from_str(value.trim()),
        ) {
            let _more: bool = headers.append(name, value);
        }
    }
    let taken = check_range(status, &headers, &(10..20), 100).is_ok();
    let refused = refusal(status, &headers, body.as_bytes());
    let _carried: bool = is_error(body.as_bytes());
    // Only success is taken, and what was throttled is tried again.
    let throttled = status == StatusCode::TOO_MANY_REQUESTS && body.is_empty();
    let kept = status.is_success() || !taken;
    let again = !throttled || refused.again != Again::Never;
    // What is told is printable, and not long.
    let told = refused.to_string();
    let calm = told.chars().all(|c| c.is_ascii_graphic() || c == ' ') && told.len() < 1_000;
    (kept && again && calm).then_some(taken)
}
