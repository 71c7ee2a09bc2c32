//! One entry for fuzzers to what this edge reads by itself: the framing of a body, tokens,
//! conditions, ranges, what a signature covers, checksums. What the library reads before is driven
//! by whole requests (`fuzz/request.rs`).

use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{ETagCondition, Metadata, Range};

use super::framing::Framing;
use super::signed;
use super::translate::conditions::Sent;
use super::translate::{checksums, listing, metadata, ranges};
use crate::catalog::ObjectMeta;
use crate::types::limits;
use crate::vault::{ReadConditions, TagMatch};

/// Reads `data` as each of them. Hidden: for `tests` and the fuzzing package.
///
/// Returns whether one of them took it, so that a fuzzer can tell seeds apart; `None` where one
/// broke a promise.
#[must_use]
pub fn fuzz_decoders(data: &[u8]) -> Option<bool> {
    let framed = framing(data)?;
    let text = String::from_utf8_lossy(data);
    let token = match listing::after(&text) {
        Ok(after) if listing::token(&after) == text => true,
        Ok(_other_form) => return None,
        Err(_) => false,
    };
    let range = Range::parse(&text);
    let spanned = range.is_ok_and(|range| ranges::span(Some(range), None).is_ok());
    let copied = ranges::copied(Some(&text)).is_ok();
    Some(framed || token || spanned || copied || conditions(data)? || headers(&text)?)
}

/// However a body is cut into pieces, its framing is the same; and it ends with its line.
fn framing(data: &[u8]) -> Option<bool> {
    let mut whole = Framing::new();
    whole.feed(data);
    let mut pieces = Framing::new();
    for piece in data.chunks(1 + data.len() % 7) {
        pieces.feed(piece);
    }
    let ended = whole.finish().is_ok();
    let same = ended == pieces.finish().is_ok();
    (same && (!ended || data.ends_with(b"\r\n"))).then_some(ended)
}

/// A tag that equals strongly equals weakly.
fn conditions(data: &[u8]) -> Option<bool> {
    let Ok(condition) = ETagCondition::parse_http_header(data) else {
        return Some(false);
    };
    let sent = Sent {
        matches: Some(condition.clone()),
        differs: Some(condition),
        modified: None,
        unmodified: None,
    };
    let ReadConditions {
        matches, differs, ..
    } = sent.conditions();
    match (matches?, differs?) {
        (TagMatch::Any, TagMatch::Any) => Some(true),
        (TagMatch::Tags(strong), TagMatch::Tags(weak)) => {
            strong.iter().all(|tag| weak.contains(tag)).then_some(true)
        }
        (TagMatch::Any | TagMatch::Tags(_), _) => None,
    }
}

/// Lines of `name: value`, read for all that headers say; the first line is a query too.
fn headers(text: &str) -> Option<bool> {
    let mut map = HeaderMap::new();
    let mut user = Metadata::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (
            name.parse::<HeaderName>(),
            HeaderValue::from_str(value.trim()),
        ) {
            if let Some(word) = name.as_str().strip_prefix("x-amz-meta-") {
                drop(user.insert(word.to_owned(), value.to_str().unwrap_or("").to_owned()));
            }
            let _more: bool = map.append(name, value);
        }
    }
    let query = text.lines().next().unwrap_or_default();
    let signed = signed::check(&map, query).is_ok();
    let sums = checksums::in_headers(&map).is_ok_and(|sums| !sums.is_empty());
    let announced = checksums::announced(&map).unwrap_or_default();
    let trailer = checksums::in_trailer(&announced, None).is_ok();
    let rest = [
        checksums::content_md5(&map).is_ok(),
        checksums::of_completion(&map).is_ok(),
        checksums::body_length(&map).is_ok(),
        checksums::asked(&map).is_ok(),
    ];
    // Nothing that was announced may be missing at the end.
    if !announced.is_empty() && trailer {
        return None;
    }
    match metadata::stored(ObjectMeta::default(), Some(user)) {
        Ok(meta) => {
            let bytes = meta
                .user
                .iter()
                .map(|(name, value)| name.len().saturating_add(value.len()));
            let bytes: usize = bytes.sum();
            (bytes <= limits::USER_METADATA_BYTES_MAX)
                .then_some(signed || sums || rest.contains(&true))
        }
        Err(_) => Some(signed || sums),
    }
}
