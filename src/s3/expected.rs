//! Whose a bucket is, as a client expects it: `x-amz-expected-bucket-owner`, and the same of a
//! copy's source. A client says it so that it never writes to, or reads from, a bucket of the same
//! name that is somebody else's.
//!
//! The owner is the project, as `GetBucketAcl` and listings tell it. It is part of the bucket's
//! name, so nothing is looked up, and who guesses learns nothing of what is there.

use http::HeaderMap;
use s3s::dto::CopySource;
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::error::not_served;
use super::translate::owner;

const OF_BUCKET: &str = "x-amz-expected-bucket-owner";
const OF_SOURCE: &str = "x-amz-source-expected-bucket-owner";
const SOURCE: &str = "x-amz-copy-source";

/// Refuses a request whose bucket, or whose copy's source, is not whose the client expects.
pub(super) fn check(headers: &HeaderMap, bucket: Option<&str>, default: &str) -> S3Result<()> {
    one(headers, OF_BUCKET, bucket, default)?;
    if !headers.contains_key(OF_SOURCE) {
        return Ok(());
    }
    let mut sources = headers.get_all(SOURCE).iter();
    let source = match (sources.next(), sources.next()) {
        (Some(source), None) => source.to_str().ok().and_then(|s| CopySource::parse(s).ok()),
        _ => None,
    };
    let source = match &source {
        Some(CopySource::Bucket { bucket, .. }) => Some(&**bucket),
        _ => None,
    };
    one(headers, OF_SOURCE, source, default)
}

/// Each of the header's values is the owner; where there is no bucket it cannot be obeyed.
fn one(headers: &HeaderMap, name: &str, bucket: Option<&str>, default: &str) -> S3Result<()> {
    let mut expected = headers.get_all(name).iter().peekable();
    if expected.peek().is_none() {
        return Ok(());
    }
    let Some(bucket) = bucket else {
        return Err(not_served(&format!("the header {name} here")));
    };
    let owner = owner(bucket, default).id.unwrap_or_default();
    if expected.all(|value| value.as_bytes() == owner.as_bytes()) {
        return Ok(());
    }
    Err(S3Error::with_message(
        S3ErrorCode::AccessDenied,
        "Access denied. The bucket is not the expected owner's.",
    ))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn verdict(pairs: &[(&'static str, &'static str)], bucket: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            let _another: bool = headers.append(name, HeaderValue::from_static(value));
        }
        match check(&headers, bucket, "lab") {
            Ok(()) => "goes on".to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn a_bucket_of_the_expected_owner_is_served() {
        for (bucket, owner) in [("icu--ecg", "icu"), ("ecg", "lab"), ("icu--ecg--v1", "icu")] {
            let verdict = verdict(&[(OF_BUCKET, owner)], Some(bucket));
            assert_eq!(verdict, "goes on", "{bucket}");
        }
        let both = [
            (OF_BUCKET, "icu"),
            (SOURCE, "/ecg/a%2Fb?versionId=null"),
            (OF_SOURCE, "lab"),
        ];
        assert_eq!(verdict(&both, Some("icu--ecg")), "goes on");
        assert_eq!(verdict(&[(SOURCE, "ecg/a")], Some("icu--ecg")), "goes on");
        assert_eq!(verdict(&[], None), "goes on");
    }

    #[test]
    fn a_bucket_of_another_is_not() {
        for owner in [
            "lab",
            "ICU",
            "icu ",
            "icu--ecg",
            "ecg",
            "",
            "111122223333",
            "ic",
            "icu-",
        ] {
            let verdict = verdict(&[(OF_BUCKET, owner)], Some("icu--ecg"));
            assert_eq!(verdict, "AccessDenied", "{owner:?}");
        }
        // Said twice, it holds twice.
        for two in [["icu", "lab"], ["lab", "icu"]] {
            let two = two.map(|owner| (OF_BUCKET, owner));
            assert_eq!(verdict(&two, Some("icu--ecg")), "AccessDenied");
        }
    }

    #[test]
    fn a_source_of_another_is_not() {
        let from =
            |source, owner| verdict(&[(SOURCE, source), (OF_SOURCE, owner)], Some("icu--ecg"));
        assert_eq!(from("/icu--ecg/a", "lab"), "AccessDenied");
        assert_eq!(from("ecg/a", "icu"), "AccessDenied");
        // What is no source is nobody's.
        for wrong in [
            "",
            "/",
            "x",
            "arn:aws:s3:us-west-2:123456789012:accesspoint/a/object/k",
        ] {
            assert_eq!(from(wrong, "icu"), "NotImplemented", "{wrong:?}");
        }
        assert_eq!(
            verdict(&[(OF_SOURCE, "icu")], Some("icu--ecg")),
            "NotImplemented"
        );
        let two = [
            (SOURCE, "icu--a/k"),
            (SOURCE, "lab--a/k"),
            (OF_SOURCE, "icu"),
        ];
        assert_eq!(verdict(&two, Some("icu--ecg")), "NotImplemented");
        // The source's owner says nothing of the bucket's, and the other way round.
        let crossed = [(OF_BUCKET, "lab"), (SOURCE, "/ecg/a"), (OF_SOURCE, "lab")];
        assert_eq!(verdict(&crossed, Some("icu--ecg")), "AccessDenied");
    }

    #[test]
    fn where_no_bucket_is_there_is_no_owner() {
        assert_eq!(verdict(&[(OF_BUCKET, "lab")], None), "NotImplemented");
    }
}
