//! AWS Signature Version 4, as far as blobs need it: no query, no body hash, few headers. The
//! signing key of a day is derived once, which makes a signature four times cheaper than deriving
//! it for each request.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use data_encoding::HEXLOWER;
use ring::{digest, hmac};
use time::OffsetDateTime;

use crate::types::{SecretText, Timestamp};

/// The SHA-256 of nothing: the payload of a request without a body.
pub(crate) const EMPTY_PAYLOAD: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The payload is not signed: `seal` authenticates it better, end to end.
pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

const MILLIS_OF_DAY: u64 = 24 * 60 * 60 * 1000;

/// What of a request is signed. Headers are lower-case and in order, `x-amz-date` among them is
/// left to the signer.
pub(crate) struct Parts<'a> {
    pub(crate) method: &'a str,
    /// Percent-encoded already.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) payload: &'a str,
}

/// The headers that make a request signed.
pub(crate) struct Signature {
    /// For `x-amz-date`.
    pub(crate) date: String,
    /// For `Authorization`.
    pub(crate) authorization: String,
}

/// Signs with one credential for one region and service.
pub(crate) struct Signer {
    pub(super) access_key: String,
    secret_key: SecretText,
    region: String,
    service: &'static str,
    today: ArcSwapOption<Day>,
}

pub(super) struct Day {
    number: u64,
    pub(super) scope: String,
    pub(super) key: hmac::Key,
}

impl Signer {
    pub(crate) fn new(
        access_key: String,
        secret_key: SecretText,
        region: String,
        service: &'static str,
    ) -> Self {
        Self {
            access_key,
            secret_key,
            region,
            service,
            today: ArcSwapOption::empty(),
        }
    }

    /// Signs a request as of `now`.
    pub(crate) fn sign(&self, parts: &Parts<'_>, now: Timestamp) -> Signature {
        let date = basic_date(now);
        let day = self.day(now, &date);
        let (canonical, names) = canonical(parts, &date);
        let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
        let hash = HEXLOWER.encode(hash.as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{}\n{hash}", day.scope);
        let tag = hmac::sign(&day.key, text.as_bytes());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={}",
            self.access_key,
            day.scope,
            HEXLOWER.encode(tag.as_ref()),
        );
        Signature {
            date,
            authorization,
        }
    }

    /// `HMAC(HMAC(HMAC(HMAC("AWS4" + secret, day), region), service), "aws4_request")`.
    pub(super) fn day(&self, now: Timestamp, date: &str) -> Arc<Day> {
        let number = now.millis() / MILLIS_OF_DAY;
        if let Some(day) = &*self.today.load()
            && day.number == number
        {
            return Arc::clone(day);
        }
        let ymd = date.split('T').next().unwrap_or_default();
        let mut secret = zeroize::Zeroizing::new(String::from("AWS4"));
        secret.push_str(self.secret_key.expose());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        for part in [ymd, &self.region, self.service, "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        let scope = format!("{ymd}/{}/{}/aws4_request", self.region, self.service);
        let day = Arc::new(Day { number, scope, key });
        self.today.store(Some(Arc::clone(&day)));
        day
    }
}

/// The canonical request and the list of its signed headers.
fn canonical(parts: &Parts<'_>, date: &str) -> (String, String) {
    let mut text = String::with_capacity(512);
    let mut names = String::with_capacity(64);
    for line in [parts.method, parts.path, parts.query] {
        text.push_str(line);
        text.push('\n');
    }
    let now = ("x-amz-date", date);
    let before = parts.headers.iter().copied().filter(|h| *h < now);
    let behind = parts.headers.iter().copied().filter(|h| *h > now);
    for (name, value) in before.chain([now]).chain(behind) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{name}:{value}");
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
    }
    text.push('\n');
    text.push_str(&names);
    text.push('\n');
    text.push_str(parts.payload);
    (text, names)
}

/// ISO 8601, basic: `20150830T123600Z`.
pub(super) fn basic_date(now: Timestamp) -> String {
    let seconds = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
    // Beyond the year 9999 any signature is refused anyway.
    let t = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use aws_sigv4::sign::v4;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signer(region: &str, service: &'static str) -> Signer {
        let secret = SecretText::new(SECRET.to_owned());
        Signer::new("AKIDEXAMPLE".to_owned(), secret, region.to_owned(), service)
    }

    /// 2015-08-30T12:36:00Z, as in AWS's test suite.
    const THEN: Timestamp = Timestamp::from_millis(1_440_938_160_000);

    /// AWS's published test suite for Signature Version 4: get-vanilla, post-vanilla,
    /// get-vanilla-query-order-key-case and get-unreserved.
    #[test]
    fn the_published_vectors_hold() {
        let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for (method, path, query, signature) in [
            (
                "GET",
                "/",
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "/",
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                "/",
                "Param1=value1&Param2=value2",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "GET",
                unreserved,
                "",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
        ] {
            let parts = Parts {
                method,
                path,
                query,
                headers: &[("host", "example.amazonaws.com")],
                payload: EMPTY_PAYLOAD,
            };
            let signed = signer("us-east-1", "service").sign(&parts, THEN);
            let expected = format!(
                "AWS4-HMAC-SHA256 \
                 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(signed.date, "20150830T123600Z");
            assert_eq!(signed.authorization, expected, "{method} {path} {query}");
        }
    }

    fn oracle(region: &str, path: &str, range: &str, now: Timestamp) -> String {
        let credentials = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test");
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_millis(now.millis()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://store:8333{path}");
        let headers = [("host", "store:8333"), ("range", range)];
        let body = SignableBody::UnsignedPayload;
        let request = SignableRequest::new("GET", uri, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let (headers, _) = instructions.into_parts();
        let authorization = headers.iter().find(|h| h.name() == "authorization");
        authorization.unwrap().value().to_owned()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn signs_as_the_sdk_does(
            region in "[a-z][a-z0-9-]{0,14}",
            path in "/[a-z0-9.-]{3,20}/[A-Za-z0-9._-]{1,40}",
            range in "bytes=[0-9]{1,9}-[0-9]{1,9}",
            millis in 1_000_000_000_000..4_000_000_000_000_u64,
        ) {
            let now = Timestamp::from_millis(millis);
            let headers = [
                ("host", "store:8333"),
                ("range", range.as_str()),
                ("x-amz-content-sha256", UNSIGNED_PAYLOAD),
            ];
            let parts = Parts {
                method: "GET",
                path: &path,
                query: "",
                headers: &headers,
                payload: UNSIGNED_PAYLOAD,
            };
            let signed = signer(&region, "s3").sign(&parts, now);
            prop_assert_eq!(signed.authorization, oracle(&region, &path, &range, now));
        }
    }

    #[test]
    fn a_new_day_has_a_new_key() {
        let signer = signer("us-east-1", "s3");
        let headers = [("host", "h")];
        let parts = Parts {
            method: "GET",
            path: "/",
            query: "",
            headers: &headers,
            payload: EMPTY_PAYLOAD,
        };
        let midnight = Timestamp::from_millis(1_440_979_200_000);
        let before = signer.sign(&parts, Timestamp::from_millis(1_440_979_199_999));
        let after = signer.sign(&parts, midnight);
        assert!(before.authorization.contains("/20150830/"));
        assert!(after.authorization.contains("/20150831/"));
        let fresh = self::signer("us-east-1", "s3").sign(&parts, midnight);
        assert_eq!(after.authorization, fresh.authorization);
    }
}
