//! Pure translations between S3's words and the vault's.

pub(super) mod checksums;
pub(super) mod conditions;
pub(super) mod lifecycle;
pub(super) mod listing;
pub(super) mod metadata;
pub(super) mod ranges;
pub(super) mod tags;
pub(super) mod times;
pub(super) mod wishes;

use s3s::dto::{CopySource as Source, ETag, Owner, ServerSideEncryption};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::error::not_served;
use crate::types::VersionName;
use crate::vault::Place;

/// The entity tag as S3 writes it: strong and quoted, in headers and XML alike.
pub(super) fn etag(tag: &crate::types::ETag) -> ETag {
    ETag::Strong(tag.as_str().to_owned())
}

/// Everything is sealed with AES-256.
pub(super) fn sealed() -> ServerSideEncryption {
    ServerSideEncryption::from_static(ServerSideEncryption::AES256)
}

/// Who owns what is in a bucket: its project; where the bucket's name says none, the default one.
pub(super) fn owner(bucket: &str, default: &str) -> Owner {
    owner_named(
        bucket
            .split_once("--")
            .map_or(default, |(project, _)| project),
    )
}

/// An owner of this name.
pub(super) fn owner_named(name: &str) -> Owner {
    Owner {
        display_name: Some(name.to_owned()),
        id: Some(name.to_owned()),
    }
}

/// The version that a request names. A name that was never given names nothing.
pub(super) fn version_named(version: Option<&str>) -> S3Result<Option<VersionName>> {
    match version {
        None | Some("") => Ok(None),
        Some(name) => name.parse().map(Some).map_err(|_foreign| {
            S3Error::with_message(S3ErrorCode::NoSuchVersion, "There is no such version.")
        }),
    }
}

/// Where a copy's source is.
pub(super) fn copy_source(source: &Source) -> S3Result<Place<'_>> {
    match source {
        Source::Bucket {
            bucket,
            key,
            version_id,
        } => Ok(Place {
            bucket,
            key,
            version: version_named(version_id.as_deref())?,
        }),
        Source::AccessPoint { .. } | Source::Outpost { .. } => {
            Err(not_served("a copy from an access point"))
        }
    }
}

/// A part's number, 1 to 10,000.
pub(super) fn part_number(number: i32) -> S3Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|n| (1..=crate::types::limits::PARTS_MAX).contains(n))
        .ok_or_else(|| super::error::invalid_argument("A part's number is 1 to 10000."))
}

/// A length as S3's signed type; lengths beyond it cannot be stored.
pub(super) fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_numbers_have_bounds() {
        for (number, expected) in [(1, Some(1)), (10_000, Some(10_000)), (0, None), (-1, None)] {
            assert_eq!(part_number(number).ok(), expected);
        }
        assert!(part_number(10_001).is_err());
    }

    #[test]
    fn a_version_that_was_never_given_is_not_there() {
        assert_eq!(version_named(None).unwrap(), None);
        assert_eq!(version_named(Some("")).unwrap(), None);
        assert_eq!(
            version_named(Some("null")).unwrap(),
            Some(VersionName::Null)
        );
        let id = "0123456789abcdef0123456789abcdef";
        let named = version_named(Some(id)).unwrap();
        assert_eq!(named.map(|name| name.to_string()).as_deref(), Some(id));
        for foreign in ["3/L4kqtJlcpXroDTDmJ", "NULL", "0"] {
            let error = version_named(Some(foreign)).unwrap_err();
            assert_eq!(error.code().as_str(), "NoSuchVersion", "{foreign}");
        }
    }

    #[test]
    fn a_copy_comes_from_a_bucket() {
        let source = Source::parse("/icu--ecg/a%2Fb").unwrap();
        let place = copy_source(&source).unwrap();
        assert_eq!((place.bucket, place.key), ("icu--ecg", "a/b"));
        assert_eq!(place.version, None);
        let versioned = Source::parse("icu--ecg/a?versionId=null").unwrap();
        let place = copy_source(&versioned).unwrap();
        assert_eq!(place.version, Some(VersionName::Null));
        let versioned = Source::parse("icu--ecg/a?versionId=x").unwrap();
        assert!(copy_source(&versioned).is_err());
        let arn = "arn:aws:s3:us-west-2:123456789012:accesspoint/name/object/key";
        assert!(copy_source(&Source::parse(arn).unwrap()).is_err());
    }

    #[test]
    fn the_owner_is_the_project() {
        assert_eq!(owner("icu--ecg", "lab").id.as_deref(), Some("icu"));
        assert_eq!(owner("ecg", "lab").id.as_deref(), Some("lab"));
    }
}
