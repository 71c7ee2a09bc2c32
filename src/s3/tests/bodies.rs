//! Bodies in all payload modes, whole and mutilated.

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};

use super::*;

const TRAILER_MODE: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const TRAILER: (&str, &str) = ("x-amz-trailer", "x-amz-checksum-crc32");
const LENGTH: (&str, &str) = ("x-amz-decoded-content-length", "5");
const WHOLE: &[u8] = b"2\r\nhe\r\n3\r\nllo\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";

async fn put(headers: &[(&str, &str)], body: &[u8], payload: &'static str) -> (u16, String) {
    let (edge, _) = edge();
    let put = signed(request("PUT", "/b--d/k", headers, body), &signing(payload));
    read(edge.serve(put).await).await
}

#[tokio::test]
async fn a_body_with_a_trailer_is_taken() {
    let (status, text) = put(&[LENGTH, TRAILER], WHOLE, TRAILER_MODE).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn every_truncation_is_refused() {
    for end in 0..WHOLE.len() {
        let (status, _) = put(&[LENGTH, TRAILER], &WHOLE[..end], TRAILER_MODE).await;
        assert_eq!(status, 400, "{:?}", String::from_utf8_lossy(&WHOLE[..end]));
    }
}

#[tokio::test]
async fn a_trailer_that_is_not_the_announced_one_is_refused() {
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:NhCmhg==\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCm\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\nx-amz-meta-a:b\r\n\r\n",
    ] {
        let (status, text) = put(&[LENGTH, TRAILER], body.as_bytes(), TRAILER_MODE).await;
        assert_eq!(status, 400, "{body:?}");
        assert!(text.contains("<Code>IncompleteBody</Code>"), "{text}");
    }
}

#[tokio::test]
async fn the_decoded_length_is_exact() {
    for (length, status) in [("5", 200), ("4", 400), ("6", 400), ("5x", 400), ("", 411)] {
        let length = ("x-amz-decoded-content-length", length);
        let (got, text) = put(&[length, TRAILER], WHOLE, TRAILER_MODE).await;
        assert!(
            got == status || (status == 411 && got == 400),
            "{length:?} {text}"
        );
    }
    let (status, _) = put(&[TRAILER], WHOLE, TRAILER_MODE).await;
    assert_eq!(status, 411);
}

#[tokio::test]
async fn a_trailer_needs_a_streaming_payload() {
    let (status, text) = put(&[TRAILER], b"hello", "UNSIGNED-PAYLOAD").await;
    assert_eq!(status, 400, "{text}");
}

#[tokio::test]
async fn a_signed_payload_has_its_hash() {
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let (status, text) = put(&[], b"hello", hash).await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = put(&[], b"hellO", hash).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("<Code>BadDigest</Code>"), "{text}");
}

#[tokio::test]
async fn no_bytes_are_a_body_too() {
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let none = [("content-length", "0")];
    for payload in [EMPTY, "UNSIGNED-PAYLOAD"] {
        let (status, text) = put(&none, b"", payload).await;
        assert_eq!(status, 200, "{text}");
        let (status, text) = put(&[], b"", payload).await;
        assert_eq!(status, 200, "{text}");
    }
    let length = ("x-amz-decoded-content-length", "0");
    let body = b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    let (status, text) = put(&[length, TRAILER], body, TRAILER_MODE).await;
    assert_eq!(status, 200, "{text}");
}

/// Signs a body's chunks, and its trailer if there is one.
fn chunked(
    seed: &str,
    at: SystemTime,
    date: &str,
    chunks: &[&str],
    trailer: Option<&str>,
) -> Vec<u8> {
    let key = generate_signing_key(SECRET, at, "kluis", "s3");
    let scope = format!("{}/kluis/s3/aws4_request", &date[..8]);
    let hash = |text: &str| {
        data_encoding::HEXLOWER
            .encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
    };
    let mut previous = seed.to_owned();
    let mut body = Vec::new();
    for chunk in chunks.iter().chain(&[""]) {
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{previous}\n{}\n{}",
            hash(""),
            hash(chunk)
        );
        previous = calculate_signature(&key, text.as_bytes());
        let size = chunk.len();
        body.extend(format!("{size:x};chunk-signature={previous}\r\n{chunk}").into_bytes());
        if size > 0 || trailer.is_none() {
            body.extend(b"\r\n");
        }
    }
    if let Some(trailer) = trailer {
        let text = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{date}\n{scope}\n{previous}\n{}",
            hash(&format!("{trailer}\n"))
        );
        let last = calculate_signature(&key, text.as_bytes());
        body.extend(format!("{trailer}\r\nx-amz-trailer-signature:{last}\r\n\r\n").into_bytes());
    }
    body
}

/// Sends signed chunks after `change` has had its way with them.
async fn put_chunks(trailer: Option<&str>, change: impl Fn(Vec<u8>) -> Vec<u8>) -> (u16, String) {
    let payload = if trailer.is_some() {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    } else {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    };
    let how = signing(payload);
    let mut headers = vec![LENGTH];
    headers.extend(trailer.map(|_| TRAILER));
    let empty = signed(request("PUT", "/b--d/k", &headers, b""), &how);
    let text = |name: &str| empty.headers()[name].to_str().unwrap().to_owned();
    let authorization = text("authorization");
    let (_, seed) = authorization.rsplit_once("Signature=").unwrap();
    let body = change(chunked(
        seed,
        how.at,
        &text("x-amz-date"),
        &["he", "llo"],
        trailer,
    ));
    let (mut parts, _) = empty.into_parts();
    let length = body.len().into();
    let _old: Option<http::HeaderValue> = parts.headers.insert("content-length", length);
    let (edge, _) = edge();
    let put = Request::from_parts(parts, Full::new(Bytes::from(body)));
    read(edge.serve(put).await).await
}

const CRC: Option<&str> = Some("x-amz-checksum-crc32:NhCmhg==");

#[tokio::test]
async fn signed_chunks_are_taken() {
    for trailer in [None, CRC] {
        let (status, text) = put_chunks(trailer, |body| body).await;
        assert_eq!(status, 200, "{text}");
    }
}

#[tokio::test]
async fn truncated_signed_chunks_are_refused() {
    for trailer in [None, CRC] {
        let whole = chunked(
            &"0".repeat(64),
            now(),
            "20270101T000000Z",
            &["he", "llo"],
            trailer,
        );
        for cut in 1..whole.len().min(250) {
            let (status, text) = put_chunks(trailer, |mut body| {
                body.truncate(body.len() - cut);
                body
            })
            .await;
            assert!(status == 400 || status == 403, "{cut} {status} {text}");
        }
    }
}

#[tokio::test]
async fn altered_chunks_are_refused() {
    for trailer in [None, CRC] {
        let (status, text) = put_chunks(trailer, |body| {
            String::from_utf8(body)
                .unwrap()
                .replace("llo", "lla")
                .into_bytes()
        })
        .await;
        assert_eq!(status, 403, "{text}");
        assert!(
            text.contains("<Code>SignatureDoesNotMatch</Code>"),
            "{text}"
        );
    }
    let (status, text) = put_chunks(CRC, |body| {
        String::from_utf8(body)
            .unwrap()
            .replace("NhCmhg==", "NhCmhA==")
            .into_bytes()
    })
    .await;
    assert_eq!(status, 403, "{text}");
}
