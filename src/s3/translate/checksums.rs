//! Checksums: which ones a request promises, in headers or behind its body, and which ones an
//! answer tells.

use data_encoding::BASE64;
use http::HeaderMap;
use s3s::dto::ChecksumType;
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};

use crate::s3::error::{invalid_request, not_served};
use crate::types::{ChecksumKind, Checksums, limits};
use crate::vault::{BodyChecks, BodyError};

/// S3's name, header, and length in bytes of a kind.
struct Form {
    kind: ChecksumKind,
    name: &'static str,
    header: &'static str,
    bytes: usize,
}

const FORMS: [Form; 5] = [
    Form {
        kind: ChecksumKind::Crc32,
        name: "CRC32",
        header: "x-amz-checksum-crc32",
        bytes: 4,
    },
    Form {
        kind: ChecksumKind::Crc32c,
        name: "CRC32C",
        header: "x-amz-checksum-crc32c",
        bytes: 4,
    },
    Form {
        kind: ChecksumKind::Crc64Nvme,
        name: "CRC64NVME",
        header: "x-amz-checksum-crc64nvme",
        bytes: 8,
    },
    Form {
        kind: ChecksumKind::Sha1,
        name: "SHA1",
        header: "x-amz-checksum-sha1",
        bytes: 20,
    },
    Form {
        kind: ChecksumKind::Sha256,
        name: "SHA256",
        header: "x-amz-checksum-sha256",
        bytes: 32,
    },
];

fn invalid(message: &'static str) -> S3Error {
    invalid_request(message)
}

/// A value that is the checksum of nothing.
fn no_digest() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::BadDigest,
        "The value of a checksum header is not one.",
    )
}

/// Whether `text` is the canonical base64 of a checksum of `bytes` bytes.
fn well_formed(text: &str, bytes: usize) -> bool {
    BASE64
        .decode(text.as_bytes())
        .is_ok_and(|found| found.len() == bytes)
}

/// A kind of checksum as S3 names it.
pub(in crate::s3) fn name(kind: ChecksumKind) -> &'static str {
    FORMS
        .iter()
        .find(|form| form.kind == kind)
        .map_or("", |form| form.name)
}

/// The kind that S3 calls `name`.
pub(in crate::s3) fn kind(name: &str) -> S3Result<ChecksumKind> {
    FORMS
        .iter()
        .find(|form| form.name.eq_ignore_ascii_case(name))
        .map(|form| form.kind)
        .ok_or_else(|| not_served("this checksum algorithm"))
}

/// The one value of a header; two are refused.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> S3Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("A header is there twice."));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_not_text| invalid("A header is not text."))
}

/// The checksums in a request's headers.
pub(in crate::s3) fn in_headers(headers: &HeaderMap) -> S3Result<Vec<(ChecksumKind, String)>> {
    let mut out = Vec::new();
    for form in &FORMS {
        if let Some(text) = single(headers, form.header)? {
            if !well_formed(text, form.bytes) {
                return Err(no_digest());
            }
            out.push((form.kind, text.to_owned()));
        }
    }
    Ok(out)
}

/// `Content-MD5`.
pub(in crate::s3) fn content_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(text) = single(headers, "content-md5")? else {
        return Ok(None);
    };
    md5_of(text).map(Some)
}

/// The whole object's checksum in a completion; a composite one ends in `-N`, which says how many
/// parts there are.
pub(in crate::s3) fn of_completion(headers: &HeaderMap) -> S3Result<Vec<(ChecksumKind, String)>> {
    let mut out = Vec::new();
    for form in &FORMS {
        let Some(text) = single(headers, form.header)? else {
            continue;
        };
        let (sum, parts) = text.split_once('-').unwrap_or((text, "1"));
        let counted = parts
            .parse::<u32>()
            .is_ok_and(|n| (1..=limits::PARTS_MAX).contains(&n));
        if !counted || !well_formed(sum, form.bytes) {
            return Err(no_digest());
        }
        out.push((form.kind, text.to_owned()));
    }
    Ok(out)
}

/// How many bytes a body has once its transfer framing is gone.
pub(in crate::s3) fn body_length(headers: &HeaderMap) -> S3Result<u64> {
    let streaming = single(headers, "x-amz-content-sha256")?
        .is_some_and(|value| value.starts_with("STREAMING-"));
    let name = if streaming {
        "x-amz-decoded-content-length"
    } else {
        "content-length"
    };
    let Some(text) = single(headers, name)? else {
        return Err(S3Error::new(S3ErrorCode::MissingContentLength));
    };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let length = text.parse().ok().filter(|_| digits);
    length.ok_or_else(|| invalid("The length of the body is not a number."))
}

/// The kinds that `x-amz-trailer` announces behind the body.
pub(in crate::s3) fn announced(headers: &HeaderMap) -> S3Result<Vec<ChecksumKind>> {
    let mut out = Vec::new();
    let Some(names) = single(headers, "x-amz-trailer")? else {
        return Ok(out);
    };
    for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let form = FORMS
            .iter()
            .find(|form| form.header.eq_ignore_ascii_case(name))
            .ok_or_else(|| not_served("this trailer"))?;
        if out.contains(&form.kind) {
            return Err(invalid("A trailer is announced twice."));
        }
        out.push(form.kind);
    }
    Ok(out)
}

/// The kind that the request asks to have computed, whether or not it says the value.
pub(in crate::s3) fn asked(headers: &HeaderMap) -> S3Result<Option<ChecksumKind>> {
    for header in ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"] {
        if let Some(name) = single(headers, header)?.filter(|n| !n.is_empty()) {
            return kind(name).map(Some);
        }
    }
    Ok(None)
}

/// The checksums behind a body that has ended: those announced, each once, and no others.
pub(in crate::s3) fn in_trailer(
    announced: &[ChecksumKind],
    trailer: Option<&TrailingHeaders>,
) -> Result<Vec<(ChecksumKind, String)>, BodyError> {
    let fields = trailer.and_then(TrailingHeaders::take).unwrap_or_default();
    match_trailer(announced, &fields)
}

fn match_trailer(
    announced: &[ChecksumKind],
    fields: &HeaderMap,
) -> Result<Vec<(ChecksumKind, String)>, BodyError> {
    let mut out = Vec::new();
    for form in FORMS.iter().filter(|form| announced.contains(&form.kind)) {
        let mut values = fields.get_all(form.header).iter();
        let value = values.next().ok_or(BodyError::Short)?;
        let text = value.to_str().map_err(|_not_text| BodyError::Framing)?;
        if values.next().is_some() || !well_formed(text, form.bytes) {
            return Err(BodyError::Framing);
        }
        out.push((form.kind, text.to_owned()));
    }
    // Whatever was not announced stands outside what the request signed.
    if fields.len() != out.len() {
        return Err(BodyError::Framing);
    }
    Ok(out)
}

/// The checksums of an answer, one for each of S3's fields.
#[derive(Default, Debug, PartialEq, Eq)]
pub(in crate::s3) struct Told {
    pub(in crate::s3) crc32: Option<String>,
    pub(in crate::s3) crc32c: Option<String>,
    pub(in crate::s3) crc64nvme: Option<String>,
    pub(in crate::s3) sha1: Option<String>,
    pub(in crate::s3) sha256: Option<String>,
    pub(in crate::s3) composite: bool,
}

impl Told {
    /// What is known of an object or part. S3 tells one type for all, so that of an object whose
    /// checksums are composite only those are told that are.
    pub(in crate::s3) fn of(known: &Checksums) -> Self {
        let is_composite = |text: &str| text.contains('-');
        let composite = known.composite && known.values.iter().any(|(_, t)| is_composite(t));
        let get = |kind| {
            let text = known.get(kind)?;
            (is_composite(text) == composite).then(|| text.to_owned())
        };
        Self {
            crc32: get(ChecksumKind::Crc32),
            crc32c: get(ChecksumKind::Crc32c),
            crc64nvme: get(ChecksumKind::Crc64Nvme),
            sha1: get(ChecksumKind::Sha1),
            sha256: get(ChecksumKind::Sha256),
            composite,
        }
    }

    /// `x-amz-checksum-type`; nothing when no checksum is told.
    pub(in crate::s3) fn kind(&self) -> Option<ChecksumType> {
        let none = self.crc32.is_none()
            && self.crc32c.is_none()
            && self.crc64nvme.is_none()
            && self.sha1.is_none()
            && self.sha256.is_none();
        (!none).then(|| checksum_type(self.composite))
    }
}

/// S3's word for composite or not.
pub(in crate::s3) fn checksum_type(composite: bool) -> ChecksumType {
    ChecksumType::from_static(if composite {
        ChecksumType::COMPOSITE
    } else {
        ChecksumType::FULL_OBJECT
    })
}

/// What a new upload says of its object's checksum: the kind, and whether it is composite.
pub(in crate::s3) fn of_upload(
    algorithm: Option<&str>,
    wanted: Option<&str>,
) -> S3Result<Option<(ChecksumKind, bool)>> {
    let Some(algorithm) = algorithm.filter(|a| !a.is_empty()) else {
        return match wanted {
            None => Ok(None),
            Some(_) => Err(invalid("A checksum type needs a checksum algorithm.")),
        };
    };
    let kind = kind(algorithm)?;
    let composite = match wanted {
        Some(ChecksumType::COMPOSITE) => true,
        Some(ChecksumType::FULL_OBJECT) => false,
        None => kind != ChecksumKind::Crc64Nvme,
        Some(_) => return Err(invalid("A checksum type is COMPOSITE or FULL_OBJECT.")),
    };
    let possible = match kind {
        ChecksumKind::Crc64Nvme => !composite,
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => composite,
        ChecksumKind::Crc32 | ChecksumKind::Crc32c => true,
    };
    if !possible {
        return Err(invalid("This checksum algorithm has no such type."));
    }
    Ok(Some((kind, composite)))
}

/// Writes told checksums into an answer's fields.
macro_rules! tell_checksums {
    ($output:expr, $told:expr) => {{
        let told = $told;
        $output.checksum_crc32 = told.crc32;
        $output.checksum_crc32c = told.crc32c;
        $output.checksum_crc64nvme = told.crc64nvme;
        $output.checksum_sha1 = told.sha1;
        $output.checksum_sha256 = told.sha256;
    }};
}
pub(in crate::s3) use tell_checksums;

/// Reads the checksums that a client repeats for a part; one that is not kept is refused, since it
/// cannot be held against the part.
pub(in crate::s3) fn of_part(
    part: &s3s::dto::CompletedPart,
) -> S3Result<Vec<(ChecksumKind, String)>> {
    let others = part.checksum_md5.is_some()
        || part.checksum_sha512.is_some()
        || part.checksum_xxhash128.is_some()
        || part.checksum_xxhash3.is_some()
        || part.checksum_xxhash64.is_some();
    if others {
        return Err(not_served("this checksum algorithm"));
    }
    let told = [
        (ChecksumKind::Crc32, &part.checksum_crc32),
        (ChecksumKind::Crc32c, &part.checksum_crc32c),
        (ChecksumKind::Crc64Nvme, &part.checksum_crc64nvme),
        (ChecksumKind::Sha1, &part.checksum_sha1),
        (ChecksumKind::Sha256, &part.checksum_sha256),
    ];
    let told = told.into_iter();
    Ok(told
        .filter_map(|(kind, text)| Some((kind, text.clone()?)))
        .collect())
}

/// What a form's fields say of its file.
pub(in crate::s3) fn of_form(form: &s3s::dto::PostObjectInput) -> S3Result<BodyChecks> {
    let texts = [
        form.checksum_crc32.as_ref(),
        form.checksum_crc32c.as_ref(),
        form.checksum_crc64nvme.as_ref(),
        form.checksum_sha1.as_ref(),
        form.checksum_sha256.as_ref(),
    ];
    let mut expected = Vec::new();
    for (form, text) in FORMS.iter().zip(texts) {
        let Some(text) = text else { continue };
        if !well_formed(text, form.bytes) {
            return Err(no_digest());
        }
        expected.push((form.kind, text.clone()));
    }
    let named = form
        .checksum_algorithm
        .as_ref()
        .map(|name| kind(name.as_str()));
    let md5 = form.content_md5.as_ref().map(|text| md5_of(text));
    Ok(BodyChecks {
        md5: md5.transpose()?,
        compute: named.transpose()?.into_iter().collect(),
        expected,
        at_end: None,
    })
}

fn md5_of(text: &str) -> S3Result<[u8; 16]> {
    let bytes = BASE64.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| S3Error::new(S3ErrorCode::InvalidDigest))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut out = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            out.append(name, HeaderValue::from_str(value).unwrap());
        }
        out
    }

    #[test]
    fn header_checksums_are_read_strictly() {
        let good = headers(&[
            ("x-amz-checksum-crc32", "NhCmhg=="),
            ("x-amz-checksum-crc64nvme", "jC+ERH7gnCc="),
        ]);
        assert_eq!(in_headers(&good).unwrap().len(), 2);
        for bad in [
            "",
            "NhCmhg",
            "NhCmhh==",
            "NhCmhg==-2",
            "AAAAAAAA",
            "N hCmhg==",
        ] {
            let bad = headers(&[("x-amz-checksum-crc32", bad)]);
            assert!(in_headers(&bad).is_err(), "{bad:?}");
        }
        let twice = headers(&[
            ("x-amz-checksum-crc32", "NhCmhg=="),
            ("x-amz-checksum-crc32", "NhCmhg=="),
        ]);
        assert!(in_headers(&twice).is_err());
    }

    #[test]
    fn a_completion_may_count_its_parts() {
        let of = |text: &str| of_completion(&headers(&[("x-amz-checksum-crc32", text)]));
        assert_eq!(of("NhCmhg==-3").unwrap()[0].1, "NhCmhg==-3");
        assert_eq!(of("NhCmhg==").unwrap().len(), 1);
        for bad in [
            "NhCmhg==-",
            "NhCmhg==-0",
            "NhCmhg==-10001",
            "NhCmhg==-1-1",
            "-1",
            "",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_length_of_a_body_is_announced() {
        let plain = headers(&[
            ("content-length", "5"),
            ("x-amz-decoded-content-length", "6"),
        ]);
        assert_eq!(body_length(&plain).unwrap(), 5);
        let sha = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let framed = headers(&[
            sha,
            ("content-length", "99"),
            ("x-amz-decoded-content-length", "6"),
        ]);
        assert_eq!(body_length(&framed).unwrap(), 6);
        let missing = body_length(&headers(&[sha, ("content-length", "5")])).unwrap_err();
        assert_eq!(missing.code().as_str(), "MissingContentLength");
        for bad in ["", "+5", "-1", "5x", "0x5", "99999999999999999999"] {
            let bad = headers(&[sha, ("x-amz-decoded-content-length", bad)]);
            assert!(body_length(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn content_md5_is_sixteen_bytes() {
        let good = headers(&[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")]);
        assert!(content_md5(&good).unwrap().is_some());
        assert!(content_md5(&HeaderMap::new()).unwrap().is_none());
        for bad in [
            "",
            "XUFAKrxLKna5cZ2REBfFkg",
            "AAAA",
            "5d41402abc4b2a76b9719d911017c592",
        ] {
            assert!(
                content_md5(&headers(&[("content-md5", bad)])).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn announced_trailers_are_known_ones() {
        let both = headers(&[("x-amz-trailer", "X-Amz-Checksum-CRC32, x-amz-checksum-sha1")]);
        assert_eq!(
            announced(&both).unwrap(),
            [ChecksumKind::Crc32, ChecksumKind::Sha1]
        );
        assert!(announced(&HeaderMap::new()).unwrap().is_empty());
        for bad in [
            "x-amz-checksum-md5",
            "x-amz-meta-a",
            "x-amz-checksum-sha1,x-amz-checksum-sha1",
        ] {
            assert!(
                announced(&headers(&[("x-amz-trailer", bad)])).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_trailer_holds_what_was_announced() {
        let crc = &[ChecksumKind::Crc32];
        let good = headers(&[("x-amz-checksum-crc32", "NhCmhg==")]);
        assert_eq!(match_trailer(crc, &good).unwrap().len(), 1);
        assert_eq!(match_trailer(&[], &HeaderMap::new()), Ok(Vec::new()));
        for (fields, expected) in [
            (headers(&[]), BodyError::Short),
            (
                headers(&[("x-amz-checksum-crc32c", "NhCmhg==")]),
                BodyError::Short,
            ),
            (
                headers(&[("x-amz-checksum-crc32", "NhCmhg")]),
                BodyError::Framing,
            ),
            (
                headers(&[("x-amz-checksum-crc32", "NhCmhg=="), ("x-amz-meta-a", "b")]),
                BodyError::Framing,
            ),
            (
                headers(&[
                    ("x-amz-checksum-crc32", "NhCmhg=="),
                    ("x-amz-checksum-crc32", "NhCmhg=="),
                ]),
                BodyError::Framing,
            ),
        ] {
            assert_eq!(match_trailer(crc, &fields), Err(expected), "{fields:?}");
        }
        assert_eq!(match_trailer(&[], &good), Err(BodyError::Framing));
    }

    #[test]
    fn uploads_have_possible_checksums_only() {
        use ChecksumKind::{Crc32, Crc64Nvme, Sha256};
        for (algorithm, wanted, expected) in [
            (None, None, None),
            (Some("CRC32"), None, Some((Crc32, true))),
            (Some("CRC32"), Some("FULL_OBJECT"), Some((Crc32, false))),
            (Some("CRC64NVME"), None, Some((Crc64Nvme, false))),
            (Some("SHA256"), Some("COMPOSITE"), Some((Sha256, true))),
        ] {
            assert_eq!(of_upload(algorithm, wanted).unwrap(), expected);
        }
        for (algorithm, wanted) in [
            (None, Some("COMPOSITE")),
            (Some("CRC64NVME"), Some("COMPOSITE")),
            (Some("SHA1"), Some("FULL_OBJECT")),
            (Some("CRC32"), Some("PARTIAL")),
            (Some("MD5"), None),
        ] {
            assert!(
                of_upload(algorithm, wanted).is_err(),
                "{algorithm:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn composite_and_full_are_not_mixed() {
        let known = Checksums {
            values: vec![
                (ChecksumKind::Crc32, "NhCmhg==-2".to_owned()),
                (ChecksumKind::Crc64Nvme, "jC+ERH7gnCc=".to_owned()),
            ],
            composite: true,
        };
        let told = Told::of(&known);
        assert_eq!(told.crc32.as_deref(), Some("NhCmhg==-2"));
        assert_eq!(told.crc64nvme, None);
        assert_eq!(told.kind().unwrap().as_str(), "COMPOSITE");
        let full = Checksums {
            values: vec![(ChecksumKind::Crc64Nvme, "jC+ERH7gnCc=".to_owned())],
            composite: false,
        };
        assert_eq!(Told::of(&full).kind().unwrap().as_str(), "FULL_OBJECT");
        assert_eq!(Told::of(&Checksums::default()).kind(), None);
    }
}
