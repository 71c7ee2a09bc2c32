//! Object metadata, in and out.

use s3s::dto::Metadata;
use s3s::{S3Error, S3Result};

use crate::catalog::ObjectMeta;
use crate::types::limits;
use crate::vault::{ErrorKind, VaultError};

/// Checks metadata as a client sent them and puts them in order.
pub(in crate::s3) fn stored(mut meta: ObjectMeta, user: Option<Metadata>) -> S3Result<ObjectMeta> {
    meta.content_encoding = meta
        .content_encoding
        .as_deref()
        .and_then(without_aws_chunked);
    let mut pairs: Vec<(String, String)> = user.unwrap_or_default().into_iter().collect();
    let bytes: usize = pairs
        .iter()
        .map(|(n, v)| n.len().saturating_add(v.len()))
        .sum();
    if bytes > limits::USER_METADATA_BYTES_MAX {
        return Err(S3Error::from(VaultError::new(
            ErrorKind::MetadataTooLarge,
            "user metadata beyond their bound",
        )));
    }
    pairs.sort_unstable();
    meta.user = pairs;
    Ok(meta)
}

/// `Content-Encoding` without the transfer's `aws-chunked`; `None` when nothing is left.
fn without_aws_chunked(value: &str) -> Option<String> {
    let rest: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!rest.is_empty()).then(|| rest.join(", "))
}

/// User metadata as S3 returns them.
pub(in crate::s3) fn returned(meta: &ObjectMeta) -> Option<Metadata> {
    (!meta.user.is_empty()).then(|| meta.user.iter().cloned().collect())
}

/// Reads the metadata fields that writes, copies and uploads have in common.
macro_rules! sent_metadata {
    ($input:expr) => {
        $crate::s3::translate::metadata::stored(
            $crate::catalog::ObjectMeta {
                content_type: $input.content_type.take(),
                content_encoding: $input.content_encoding.take(),
                content_language: $input.content_language.take(),
                content_disposition: $input.content_disposition.take(),
                cache_control: $input.cache_control.take(),
                expires: $input.expires.take(),
                user: Vec::new(),
            },
            $input.metadata.take(),
        )
    };
}
pub(in crate::s3) use sent_metadata;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(pairs: &[(&str, &str)]) -> Metadata {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn of_user(pairs: &[(&str, &str)]) -> S3Result<ObjectMeta> {
        stored(ObjectMeta::default(), Some(user(pairs)))
    }

    #[test]
    fn aws_chunked_is_no_content_encoding() {
        for (sent, kept) in [
            ("aws-chunked", None),
            ("AWS-Chunked", None),
            ("", None),
            ("gzip", Some("gzip")),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, aws-chunked", Some("gzip")),
            ("aws-chunked, gzip, br", Some("gzip, br")),
        ] {
            assert_eq!(without_aws_chunked(sent).as_deref(), kept, "{sent}");
        }
    }

    #[test]
    fn metadata_are_kept_in_order() {
        let meta = of_user(&[("b", "2"), ("a", "häß")]).unwrap();
        let expected = [("a", "häß"), ("b", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(meta.user, expected);
        assert_eq!(returned(&meta).map(|m| m.len()), Some(2));
        assert!(returned(&ObjectMeta::default()).is_none());
    }

    #[test]
    fn metadata_have_a_bound() {
        let fits = "x".repeat(limits::USER_METADATA_BYTES_MAX - 1);
        assert!(of_user(&[("a", &fits)]).is_ok());
        let error = of_user(&[("ab", &fits)]).unwrap_err();
        assert_eq!(error.code().as_str(), "MetadataTooLarge");
    }
}
