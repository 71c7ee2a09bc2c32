//! Tags: in headers as a query string, in XML as pairs.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use s3s::dto::Tag;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::s3::error::invalid_argument;
use crate::vault::{ErrorKind, Tags, VaultError};

fn none() -> S3Error {
    VaultError::new(ErrorKind::InvalidTag, "not a tag").into()
}

/// `x-amz-tagging`: `name=value&…`, each percent-encoded, a space also as `+`.
pub(in crate::s3) fn of_header(text: Option<&str>) -> S3Result<Tags> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        let text = percent_decode_str(&spaced).decode_utf8();
        text.map(Cow::into_owned)
            .map_err(|_not_utf8| invalid_argument("x-amz-tagging is not UTF-8."))
    };
    let pairs = text.unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    });
    sorted(pairs.collect::<S3Result<Tags>>()?)
}

/// The pairs of a `TagSet`.
pub(in crate::s3) fn of_xml(tags: Vec<Tag>) -> S3Result<Tags> {
    let pairs = tags.into_iter().map(|tag| match (tag.key, tag.value) {
        (Some(name), Some(value)) => Ok((name, value)),
        _ => Err(S3Error::with_message(
            S3ErrorCode::MalformedXML,
            "A tag has a key and a value.",
        )),
    });
    sorted(pairs.collect::<S3Result<Tags>>()?)
}

/// In order of name. Bounds and doubles are the vault's business.
fn sorted(mut tags: Tags) -> S3Result<Tags> {
    tags.sort();
    // Reserved for the service (S3).
    if tags.iter().any(|(name, _)| name.starts_with("aws:")) {
        return Err(none());
    }
    Ok(tags)
}

/// Tags as S3 tells them.
pub(in crate::s3) fn told(tags: &Tags) -> Vec<Tag> {
    let tag = |(name, value): &(String, String)| Tag {
        key: Some(name.clone()),
        value: Some(value.clone()),
    };
    tags.iter().map(tag).collect()
}

/// How many there are, where there are any.
pub(in crate::s3) fn count(tags: &Tags) -> Option<i32> {
    i32::try_from(tags.len()).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<Vec<(String, String)>> {
        of_header(Some(text)).ok()
    }

    #[test]
    fn a_header_holds_pairs() {
        let pairs = |pairs: &[(&str, &str)]| {
            let pair = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
            Some(pairs.iter().map(pair).collect::<Vec<_>>())
        };
        assert_eq!(header(""), pairs(&[]));
        assert_eq!(of_header(None).ok(), pairs(&[]));
        assert_eq!(header("b=2&a=1&"), pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(header("a+b=c%20d%26"), pairs(&[("a b", "c d&")]));
        assert_eq!(header("a&b="), pairs(&[("a", ""), ("b", "")]));
        assert_eq!(header("a=b=c"), pairs(&[("a", "b=c")]));
        assert_eq!(header("a=%FF"), None);
        assert_eq!(header("aws:x=1"), None);
    }

    #[test]
    fn a_tag_in_xml_has_both_halves() {
        let tag = |key: Option<&str>, value: Option<&str>| Tag {
            key: key.map(str::to_owned),
            value: value.map(str::to_owned),
        };
        let tags = of_xml(vec![tag(Some("b"), Some("")), tag(Some("a"), Some("1"))]).unwrap();
        assert_eq!(tags[0].0, "a");
        assert_eq!(told(&tags)[1].key.as_deref(), Some("b"));
        assert_eq!((count(&tags), count(&Vec::new())), (Some(2), None));
        assert!(of_xml(vec![tag(Some("a"), None)]).is_err());
        assert!(of_xml(vec![tag(None, Some("a"))]).is_err());
    }
}
