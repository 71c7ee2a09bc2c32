//! URLs that read one blob for a short time without another credential: `SigV4` in the query.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>

use data_encoding::HEXLOWER;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};

use super::sign::{Signer, UNSIGNED_PAYLOAD, basic_date};
use crate::types::Timestamp;

/// All but what RFC 3986 leaves unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Signer {
    /// The query that makes a GET of `path` at `authority` signed for `seconds` from `now`. Only
    /// the host is signed beside it: which range is read is free.
    pub(crate) fn presign(
        &self,
        authority: &str,
        path: &str,
        seconds: u64,
        now: Timestamp,
    ) -> String {
        let date = basic_date(now);
        let day = self.day(now, &date);
        let credential = format!("{}/{}", self.access_key, day.scope);
        let credential = utf8_percent_encode(&credential, RESERVED);
        // In order of name, as the canonical request has it.
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}\
             &X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host"
        );
        let canonical =
            format!("GET\n{path}\n{query}\nhost:{authority}\n\nhost\n{UNSIGNED_PAYLOAD}");
        let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
        let hash = HEXLOWER.encode(hash.as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{}\n{hash}", day.scope);
        let tag = hmac::sign(&day.key, text.as_bytes());
        format!("{query}&X-Amz-Signature={}", HEXLOWER.encode(tag.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use aws_sigv4::sign::v4;
    use proptest::prelude::*;

    use super::*;
    use crate::types::SecretText;

    /// What AWS's own signer makes of it, in order of name.
    fn oracle(key: &str, region: &str, path: &str, seconds: u64, now: Timestamp) -> Vec<String> {
        let credentials = Credentials::new(key, "secret", None, None, "test");
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(seconds));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_millis(now.millis()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("https://store.example:8333{path}");
        let headers = [("host", "store.example:8333")];
        let body = SignableBody::UnsignedPayload;
        let request = SignableRequest::new("GET", &uri, headers.into_iter(), body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut http = http::Request::builder().uri(uri).body(()).unwrap();
        instructions.apply_to_request_http1x(&mut http);
        let mut all: Vec<String> = http
            .uri()
            .query()
            .unwrap()
            .split('&')
            .map(str::to_owned)
            .collect();
        all.sort();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn presigns_as_the_sdk_does(
            key in "[A-Z0-9_.-]{3,20}",
            region in "[a-z][a-z0-9-]{0,14}",
            path in "/[a-z0-9.-]{3,20}/[A-Za-z0-9._-]{1,40}",
            seconds in 1..600_u64,
            millis in 1_000_000_000_000..4_000_000_000_000_u64,
        ) {
            let now = Timestamp::from_millis(millis);
            let secret = SecretText::new("secret".to_owned());
            let signer = Signer::new(key.clone(), secret, region.clone(), "s3");
            let query = signer.presign("store.example:8333", &path, seconds, now);
            let mut all: Vec<String> = query.split('&').map(str::to_owned).collect();
            all.sort();
            prop_assert_eq!(all, oracle(&key, &region, &path, seconds, now));
        }
    }
}
