//! A browser's form before the library reads it: it is made to say into which bucket it goes.
//!
//! AWS demands that a form's policy names its bucket. The library compares what a policy says of
//! the bucket with the request's, and misses nothing where it says nothing; but it refuses each
//! *field* that the policy does not cover. So a field `bucket` with the request's name is put in
//! front of the form's own, and a policy that says nothing of the bucket is good for none.
//!
//! Nothing of the form is read here, so nothing is read in another way than by the library. What
//! both must agree about is the boundary: it is taken in its plain form alone.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, header};
use http_body::{Body, Frame, SizeHint};

use super::coalesce::longer;

/// A boundary is no longer (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// A form that cannot be told apart from another reading of it. At fault: the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What goes in front of a form's own fields, if a request is a form; its length is told in the
/// headers from here on.
pub(super) fn lead(parts: &mut Parts, bucket: Option<&str>) -> Result<Option<Bytes>, Malformed> {
    let kinds = parts.headers.get_all(header::CONTENT_TYPE);
    let kinds: Vec<&[u8]> = kinds.iter().map(HeaderValue::as_bytes).collect();
    let is_form = |kind: &[u8]| {
        kind.to_ascii_lowercase()
            .windows(10)
            .any(|w| w == b"multipart/")
    };
    if parts.method != Method::POST || !kinds.iter().any(|kind| is_form(kind)) {
        return Ok(None);
    }
    let &[kind] = kinds.as_slice() else {
        return Err(Malformed);
    };
    let kind = std::str::from_utf8(kind).map_err(|_bytes| Malformed)?;
    let boundary = boundary(kind).ok_or(Malformed)?;
    let bucket = bucket.filter(|name| name.chars().all(is_of_a_name));
    let bucket = bucket.filter(|name| !name.is_empty()).ok_or(Malformed)?;
    let lead = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"bucket\"\r\n\r\n{bucket}\r\n"
    );
    let announced = parts.headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = u64::try_from(lead.len()).ok();
    if let (Some(announced), Some(length)) = (announced, length) {
        let sum = announced.checked_add(length).ok_or(Malformed)?;
        let _before = parts.headers.insert(header::CONTENT_LENGTH, sum.into());
    }
    Ok(Some(lead.into()))
}

const fn is_of_a_name(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_')
}

/// The boundary in `multipart/form-data; boundary=…` with nothing beside it, in quotes or not.
fn boundary(kind: &str) -> Option<&str> {
    let (kind, parameter) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (name, value) = parameter.trim().split_once('=')?;
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let value = quoted.unwrap_or(value);
    let plain = |c: char| c.is_ascii_alphanumeric() || "'-._+".contains(c);
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&value.len());
    (name.eq_ignore_ascii_case("boundary") && fits && value.chars().all(plain)).then_some(value)
}

/// A body behind what goes in front of it.
pub(super) struct Led<B> {
    lead: Option<Bytes>,
    inner: B,
}

impl<B> Led<B> {
    /// Puts it in front.
    pub(super) const fn new(lead: Bytes, inner: B) -> Self {
        Self {
            lead: Some(lead),
            inner,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Led<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(lead) = this.lead.take() {
            return Poll::Ready(Some(Ok(Frame::data(lead))));
        }
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lead.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let lead = self.lead.as_ref().map_or(0, Bytes::len);
        longer(&self.inner.size_hint(), lead)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn led(
        method: &str,
        kinds: &[&str],
        bucket: Option<&str>,
    ) -> Result<Option<String>, Malformed> {
        let mut request = Request::builder().method(method).uri("/b");
        for kind in kinds {
            request = request.header("content-type", *kind);
        }
        let request = request.header("content-length", "100").body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let lead = lead(&mut parts, bucket)?;
        let told = parts.headers["content-length"].to_str().unwrap();
        let more = lead.as_ref().map_or(0, Bytes::len);
        assert_eq!(told, (100 + more).to_string());
        Ok(lead.map(|lead| String::from_utf8(lead.to_vec()).unwrap()))
    }

    #[test]
    fn a_form_is_told_its_bucket_and_nothing_else_is() {
        let field =
            "--a-B.9\r\nContent-Disposition: form-data; name=\"bucket\"\r\n\r\nicu--ecg\r\n";
        for kind in [
            "multipart/form-data; boundary=a-B.9",
            "Multipart/Form-Data;boundary=a-B.9",
            "multipart/form-data; Boundary=\"a-B.9\"",
        ] {
            let told = led("POST", &[kind], Some("icu--ecg"));
            assert_eq!(told, Ok(Some(field.to_owned())), "{kind}");
            assert_eq!(led("PUT", &[kind], Some("icu--ecg")), Ok(None));
        }
        for other in ["application/xml", "application/x-www-form-urlencoded", ""] {
            assert_eq!(led("POST", &[other], Some("b")), Ok(None), "{other}");
        }
        assert_eq!(led("POST", &[], Some("b")), Ok(None));
    }

    #[test]
    fn a_boundary_that_may_be_read_otherwise_is_none() {
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; charset=utf-8; boundary=a",
            "multipart/form-data; boundary=a; charset=utf-8",
            "multipart/form-data; boundary=a b",
            "multipart/form-data; boundary=\"a\\b\"",
            "multipart/form-data; xboundary=a",
            "multipart/mixed; boundary=a",
            "text/plain, multipart/form-data; boundary=a",
            long.as_str(),
        ] {
            assert_eq!(led("POST", &[kind], Some("b")), Err(Malformed), "{kind}");
        }
        let plain = "multipart/form-data; boundary=a";
        let two = [plain, "multipart/form-data; boundary=b"];
        assert_eq!(led("POST", &two, Some("b")), Err(Malformed));
        assert_eq!(
            led("POST", &["text/plain", plain], Some("b")),
            Err(Malformed)
        );
        for bucket in [None, Some(""), Some("a\r\nb"), Some("a\"b"), Some("ä")] {
            assert_eq!(led("POST", &[plain], bucket), Err(Malformed), "{bucket:?}");
        }
    }
}
