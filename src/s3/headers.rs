//! Which `x-amz-*` request headers are understood. One that is not could change what the request
//! means, so it is refused instead of ignored.

use http::{HeaderMap, Method};
use s3s::{S3Error, S3Result};

use super::error::{invalid_argument, not_served};

/// What to do about a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// It is read, or says nothing that could be obeyed or disobeyed.
    Pass,
    /// Only these values say what is done anyway.
    Only(&'static [&'static str]),
    /// It is read by the operations that write a whole object; elsewhere only these values say what
    /// is done anyway.
    Writes(&'static [&'static str]),
    /// It asks for something that is not served.
    Refuse,
}

const ENCRYPTION: &str = "x-amz-server-side-encryption";
const CUSTOMER: &str = "x-amz-server-side-encryption-customer-algorithm";
/// The operations that write a whole object.
const WRITES: &[&str] = &[
    "PutObject",
    "CopyObject",
    "CreateMultipartUpload",
    "PostObject",
];
/// The operations on an upload that was begun: it says itself how it is sealed.
const PARTS: &[&str] = &["UploadPart", "UploadPartCopy", "CompleteMultipartUpload"];
/// The operations that set an access control list.
const ACLS: &[&str] = &["PutBucketAcl", "PutObjectAcl"];
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";

fn rule(operation: &str, name: &str) -> Rule {
    match name {
        // The signature and the framing.
        "x-amz-date"
        | "x-amz-content-sha256"
        | "x-amz-decoded-content-length"
        | "x-amz-trailer"
        // Checksums that are verified or computed.
        | "x-amz-checksum-algorithm"
        | "x-amz-sdk-checksum-algorithm"
        | "x-amz-checksum-mode"
        | "x-amz-checksum-type"
        | "x-amz-checksum-crc32"
        | "x-amz-checksum-crc32c"
        | "x-amz-checksum-crc64nvme"
        | "x-amz-checksum-sha1"
        | "x-amz-checksum-sha256"
        // A session's; the edge has judged it.
        | "x-amz-security-token"
        // Copies.
        | "x-amz-copy-source"
        | "x-amz-copy-source-range"
        | "x-amz-copy-source-if-match"
        | "x-amz-copy-source-if-none-match"
        | "x-amz-copy-source-if-modified-since"
        | "x-amz-copy-source-if-unmodified-since"
        | "x-amz-metadata-directive"
        // Tags; the use case asks for the right to set them.
        | "x-amz-tagging"
        // Compared with the bucket's owner at the gate.
        | "x-amz-expected-bucket-owner"
        | "x-amz-source-expected-bucket-owner"
        // Deletes.
        | "x-amz-if-match-last-modified-time"
        | "x-amz-if-match-size"
        // Uploads and attributes.
        | "x-amz-mp-object-size"
        | "x-amz-object-attributes"
        | "x-amz-max-parts"
        | "x-amz-part-number-marker"
        // Offers that a server may leave.
        | "x-amz-te"
        | "x-amz-optional-object-attributes"
        | "x-amz-request-payer"
        | "x-amz-user-agent" => Rule::Pass,
        // The C++ SDK names the one version that S3's API ever had.
        "x-amz-api-version" => Rule::Only(&["2006-03-01"]),
        // Read by what would change an access control list.
        "x-amz-acl" if ACLS.contains(&operation) => Rule::Pass,
        "x-amz-acl" => Rule::Only(&["private", "bucket-owner-full-control"]),
        "x-amz-storage-class" => Rule::Only(&["STANDARD"]),
        // Read by the writes of whole objects alone; a part is sealed as its upload says.
        ENCRYPTION | KMS_KEY if PARTS.contains(&operation) => Rule::Pass,
        ENCRYPTION | KMS_KEY => Rule::Writes(&["AES256"]),
        "x-amz-object-lock-mode" | "x-amz-object-lock-retain-until-date" => Rule::Writes(&[]),
        "x-amz-object-lock-legal-hold" => Rule::Writes(&["OFF"]),
        "x-amz-server-side-encryption-bucket-key-enabled" => Rule::Only(&["false", "False"]),
        "x-amz-object-ownership" => Rule::Only(&["BucketOwnerEnforced"]),
        // Who may is asked by the use case.
        "x-amz-bypass-governance-retention" | "x-amz-bucket-object-lock-enabled" => Rule::Only(&["true", "True", "false", "False"]),
        "x-amz-tagging-directive" => Rule::Only(&["COPY", "REPLACE"]),
        _ if name.starts_with("x-amz-meta-") => Rule::Pass,
        _ if name.starts_with("x-amz-") => Rule::Refuse,
        _ => Rule::Pass,
    }
}

/// Refuses a request that carries a header which is not understood.
pub(super) fn check(operation: &str, method: &Method, headers: &HeaderMap) -> S3Result<()> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let (wish, key) = (
        headers.contains_key(ENCRYPTION),
        headers.contains_key(KMS_KEY),
    );
    let customer = headers.contains_key(CUSTOMER);
    let misplaced = if reads {
        wish || key
    } else {
        (key && !wish) || (customer && wish)
    };
    if misplaced {
        return Err(invalid_argument(
            "A read says nothing about encryption, and a key needs its one algorithm.",
        ));
    }
    for (name, value) in headers {
        let name = name.as_str();
        match rule(operation, name) {
            // Conditions of a delete; another request would not obey them.
            Rule::Pass if name.starts_with("x-amz-if-match-") && *method != Method::DELETE => {
                return Err(refusal(name));
            }
            Rule::Pass => {}
            Rule::Writes(_) if WRITES.contains(&operation) => {}
            Rule::Only(values) | Rule::Writes(values)
                if values.iter().any(|v| v.as_bytes() == value.as_bytes()) => {}
            Rule::Only(_) | Rule::Writes(_) | Rule::Refuse => return Err(refusal(name)),
        }
    }
    Ok(())
}

fn refusal(name: &str) -> S3Error {
    not_served(&format!("the header {name} with this value"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn verdict(name: &str, value: &str) -> Option<String> {
        let name: HeaderName = name.parse().unwrap();
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
        check("PutObjectTagging", &Method::PUT, &headers)
            .err()
            .map(|e| e.code().as_str().to_owned())
    }

    #[test]
    fn what_is_understood_passes() {
        for (name, value) in [
            ("host", "x"),
            ("x-amzn-trace-id", "Root=1"),
            ("x-amz-date", "20270101T000000Z"),
            ("x-amz-meta-mtime", "1.5"),
            ("x-amz-acl", "private"),
            ("x-amz-api-version", "2006-03-01"),
            ("x-amz-storage-class", "STANDARD"),
            ("x-amz-server-side-encryption", "AES256"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-bypass-governance-retention", "true"),
        ] {
            assert_eq!(verdict(name, value), None, "{name}: {value}");
        }
    }

    #[test]
    fn what_would_be_disobeyed_is_refused() {
        for (name, value) in [
            ("x-amz-acl", "public-read"),
            ("x-amz-acl", "Private"),
            ("x-amz-api-version", "2030-01-01"),
            ("x-amz-grant-read", "id=1"),
            ("x-amz-storage-class", "GLACIER"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", "k"),
            ("x-amz-copy-source-server-side-encryption-customer-key", "k"),
            ("x-amz-object-lock-mode", "COMPLIANCE"),
            ("x-amz-object-lock-legal-hold", "ON"),
            ("x-amz-bypass-governance-retention", "maybe"),
            ("x-amz-tagging-directive", "MERGE"),
            ("x-amz-website-redirect-location", "/x"),
            ("x-amz-expected-bucket-owners", "111122223333"),
            ("x-amz-write-offset-bytes", "5"),
            ("x-amz-if-match-size", "5"),
            ("x-amz-checksum-md5", "AAAA"),
            ("x-amz-checksum-sha512", "AAAA"),
            ("x-amz-mfa", "1 2"),
            ("x-amz-no-one-knows", "1"),
        ] {
            assert_eq!(
                verdict(name, value).as_deref(),
                Some("NotImplemented"),
                "{name}: {value}"
            );
        }
        assert_eq!(verdict("x-amz-security-token", "t"), None);
    }

    #[test]
    fn a_read_says_nothing_about_encryption() {
        let code = |method: &Method, pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            let verdict = check("PutObject", method, &pairs.collect());
            verdict.err().map(|e| e.code().as_str().to_owned())
        };
        let (aes, key) = ((ENCRYPTION, "AES256"), (KMS_KEY, "k"));
        assert_eq!(code(&Method::PUT, &[aes]), None);
        for (method, pairs) in [
            (Method::GET, &[aes][..]),
            (Method::HEAD, &[aes, key]),
            (Method::PUT, &[key]),
            (Method::PUT, &[aes, (CUSTOMER, "AES256")]),
        ] {
            let code = code(&method, pairs);
            assert_eq!(
                code.as_deref(),
                Some("InvalidArgument"),
                "{method} {pairs:?}"
            );
        }
        let size = [("x-amz-if-match-size", "5")];
        assert_eq!(code(&Method::DELETE, &size), None);
        assert!(code(&Method::PUT, &size).is_some());
    }
}
