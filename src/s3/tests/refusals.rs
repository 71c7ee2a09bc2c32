//! Whatever is turned away is answered as S3 answers it, and recorded before it is answered.

use super::*;

const YEAR: Duration = Duration::from_hours(365 * 24);
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Sends a request that must be turned away, with this status and code and one record.
async fn turned(request: Request<Full<Bytes>>, status: u16, code: &str) -> Record {
    let (edge, log) = edge();
    let response = edge.serve(request).await;
    assert!(response.headers().contains_key("x-amz-request-id"));
    let (got, body) = read(response).await;
    assert!(
        body.contains(&format!("<Code>{code}</Code>")),
        "{got} {body}"
    );
    assert!(body.contains("<RequestId>"), "{body}");
    assert_eq!(got, status, "{body}");
    let mut records = std::mem::take(&mut *log.records.lock().unwrap());
    let record = records.pop().unwrap();
    assert!(records.is_empty(), "one record for one request");
    assert_eq!((record.status, record.reason.as_str()), (status, code));
    record
}

fn bare(request: Request<Bytes>) -> Request<Full<Bytes>> {
    request.map(Full::new)
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    for (method, uri) in [
        ("GET", "/"),
        ("GET", "/b--d/k"),
        ("PUT", "/b--d/k"),
        ("DELETE", "/b--d"),
    ] {
        let record = turned(bare(request(method, uri, &[], b"")), 403, "AccessDenied").await;
        assert_eq!((record.principal, record.access_key), (None, false));
    }
    let (edge, log) = edge();
    edge.self_test().await.unwrap();
    assert!(log.records.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_signature_names_nobody() {
    let how = Signing {
        secret: "another secret",
        ..signing(EMPTY)
    };
    let get = signed(request("GET", "/b--d/k", &[], b""), &how);
    let record = turned(get, 403, "SignatureDoesNotMatch").await;
    assert_eq!((record.principal, record.access_key), (None, true));
}

#[tokio::test]
async fn an_unknown_key_is_refused() {
    let how = Signing {
        key: "AKIAKLUISTESTKEY0002",
        ..signing(EMPTY)
    };
    let get = signed(request("GET", "/b--d/k", &[], b""), &how);
    let record = turned(get, 403, "InvalidAccessKeyId").await;
    assert_eq!(record.principal, None);
}

#[tokio::test]
async fn a_skewed_clock_is_refused() {
    for at in [
        now() - Duration::from_mins(16),
        now() + Duration::from_mins(16),
    ] {
        let how = Signing {
            at,
            ..signing(EMPTY)
        };
        let get = signed(request("GET", "/b--d/k", &[], b""), &how);
        let _record: Record = turned(get, 403, "RequestTimeTooSkewed").await;
    }
}

#[tokio::test]
async fn what_is_not_served_is_refused_by_name() {
    for (method, uri, operation) in [
        ("GET", "/b--d/k?torrent", "GetObjectTorrent"),
        ("PUT", "/b--d?policy", "PutBucketPolicy"),
        ("GET", "/b--d?website", "GetBucketWebsite"),
        ("PUT", "/b--d?x-id=CreateBucket&policy", "PutBucketPolicy"),
        (
            "DELETE",
            "/b--d?publicAccessBlock",
            "DeletePublicAccessBlock",
        ),
        (
            "DELETE",
            "/b--d?ownershipControls",
            "DeleteBucketOwnershipControls",
        ),
    ] {
        let asked = signed(request(method, uri, &[], b""), &signing(EMPTY));
        let record = turned(asked, 501, "NotImplemented").await;
        assert_eq!(record.operation, operation);
        assert_eq!(record.principal.as_deref(), Some("anna"));
    }
}

#[tokio::test]
async fn a_header_that_would_be_disobeyed_is_refused() {
    for header in [
        ("x-amz-acl", "public-read"),
        ("x-amz-server-side-encryption-context", "e30="),
        ("x-amz-tagging-directive", "MERGE"),
    ] {
        let put = signed(
            request("PUT", "/b--d/k", &[header], b"x"),
            &signing(UNSIGNED),
        );
        let _record: Record = turned(put, 501, "NotImplemented").await;
    }
    let token = [("x-amz-security-token", "t")];
    let put = signed(request("PUT", "/b--d/k", &token, b"x"), &signing(UNSIGNED));
    let _record: Record = turned(put, 400, "InvalidToken").await;
}

/// A safeguard of the client's: before anything is looked up, so that who guesses learns nothing.
#[tokio::test]
async fn a_bucket_that_is_not_the_expected_owners_is_refused() {
    const EXPECTED: &str = "x-amz-expected-bucket-owner";
    for (uri, owner) in [
        ("/b--d/k", "lab"),
        ("/b--d/k", ""),
        ("/data/k", "b"),
        ("/data?location", "data"),
    ] {
        let get = signed(
            request("GET", uri, &[(EXPECTED, owner)], b""),
            &signing(EMPTY),
        );
        let record = turned(get, 403, "AccessDenied").await;
        assert_eq!(record.principal.as_deref(), Some("anna"), "{uri} {owner}");
    }
    let copy = [
        ("x-amz-copy-source", "/c--d/k"),
        ("x-amz-source-expected-bucket-owner", "b"),
    ];
    let put = signed(request("PUT", "/b--d/k", &copy, b""), &signing(EMPTY));
    let _record: Record = turned(put, 403, "AccessDenied").await;
    let get = signed(
        request("GET", "/", &[(EXPECTED, "lab")], b""),
        &signing(EMPTY),
    );
    let _record: Record = turned(get, 501, "NotImplemented").await;
}

/// A version's name is longer than S3's bound; what is longer than any name is none.
#[tokio::test]
async fn a_name_that_is_longer_than_s3s_is_read() {
    let (p, d) = ("p".repeat(30), "d".repeat(63));
    for name in [format!("{p}--{d}--v1000000"), format!("p--{d}"), d.clone()] {
        let uri = format!("/{name}?publicAccessBlock");
        let asked = signed(request("DELETE", &uri, &[], b""), &signing(EMPTY));
        let record = turned(asked, 501, "NotImplemented").await;
        assert_eq!(record.operation, "DeletePublicAccessBlock", "{name}");
    }
    for name in [
        format!("{p}--{d}--v10000000"),
        "d".repeat(1_000),
        format!("{d}.d"),
        format!("{d}_d"),
        format!("{d}D"),
        "dd".to_owned(),
    ] {
        let get = signed(
            request("GET", &format!("/{name}/k"), &[], b""),
            &signing(EMPTY),
        );
        let _record: Record = turned(get, 400, "InvalidBucketName").await;
    }
}

#[tokio::test]
async fn who_signs_for_another_region_is_told_the_right_one() {
    for (method, told) in [("GET", true), ("HEAD", false)] {
        let how = Signing {
            region: "us-east-1",
            ..signing(EMPTY)
        };
        let (edge, log) = edge();
        let asked = signed(request(method, "/b--d/k", &[], b""), &how);
        let response = edge.serve(asked).await;
        assert_eq!(response.headers()["x-amz-bucket-region"], "kluis");
        let (status, body) = read(response).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(body.contains("<Region>kluis</Region>"), told, "{body}");
        assert_eq!(log.records.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_request_is_signed_once() {
    let mut get = presigned("GET", "/b--d/k", Duration::from_mins(1));
    let header = signed(request("GET", "/b--d/k", &[], b""), &signing(EMPTY));
    let authorization = header.headers()["authorization"].clone();
    get.headers_mut().insert("authorization", authorization);
    let record = turned(get, 400, "InvalidArgument").await;
    assert_eq!(record.principal.as_deref(), Some("anna"));
}

fn presigned(method: &str, uri: &str, life: Duration) -> Request<Full<Bytes>> {
    let how = Signing {
        expires: Some(life),
        ..signing(UNSIGNED)
    };
    signed(request(method, uri, &[], b""), &how)
}

#[tokio::test]
async fn no_unsigned_header_changes_a_presigned_request() {
    let hour = Duration::from_hours(1);
    for (name, value) in [
        ("x-amz-copy-source", "other--data/secret"),
        ("x-amz-meta-a", "b"),
        ("x-amz-acl", "private"),
    ] {
        let mut put = presigned("PUT", "/b--d/k", hour);
        let name: http::HeaderName = name.parse().unwrap();
        let _old: Option<http::HeaderValue> =
            put.headers_mut().insert(name, value.parse().unwrap());
        let _record: Record = turned(put, 403, "AccessDenied").await;
    }
}

#[tokio::test]
async fn a_presigned_url_lives_seven_days_at_most() {
    let put = presigned("PUT", "/b--d/k", 10 * YEAR);
    let _record: Record = turned(put, 400, "AuthorizationQueryParametersError").await;
    let how = Signing {
        expires: Some(Duration::from_mins(1)),
        at: now() - Duration::from_mins(2),
        ..signing(UNSIGNED)
    };
    let expired = signed(request("PUT", "/b--d/k", &[], b""), &how);
    let _record: Record = turned(expired, 403, "AccessDenied").await;
}

#[tokio::test]
async fn signature_version_2_is_refused() {
    let header = [
        (
            "authorization",
            "AWS AKIAKLUISTESTKEY0001:frJIUN8DYpKDtOLCwo//yllqDzg=",
        ),
        ("date", "Tue, 27 Mar 2027 19:36:42 +0000"),
    ];
    let get = bare(request("GET", "/b--d/k", &header, b""));
    let _record: Record = turned(get, 403, "AccessDenied").await;
    let uri = "/b--d/k?AWSAccessKeyId=AKIAKLUISTESTKEY0001&Signature=a&Expires=4000000000";
    let _record: Record = turned(bare(request("GET", uri, &[], b"")), 403, "AccessDenied").await;
}

#[tokio::test]
async fn forms_are_refused() {
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let body = b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ndata\r\n--x--\r\n";
    let (edge, log) = edge();
    let post = bare(request("POST", "/b--d", &form, body));
    let (status, _) = read(edge.serve(post).await).await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(log.records.lock().unwrap().len(), 1);
}

fn delete(body: &[u8], payload: &'static str) -> Request<Full<Bytes>> {
    signed(
        request("POST", "/b--d?delete", &[], body),
        &signing(payload),
    )
}

#[tokio::test]
async fn xml_that_cannot_be_read_is_refused() {
    let laughs = br#"<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
        <Delete><Object><Key>&b;</Key></Object></Delete>"#;
    for body in [
        &b"<Delete>"[..],
        b"<Delete></Wrong>",
        b"\xff\xfe",
        b"no xml",
        laughs,
    ] {
        let _record: Record = turned(delete(body, UNSIGNED), 400, "MalformedXML").await;
    }
}

#[tokio::test]
async fn xml_of_another_hash_is_refused() {
    let body = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let _record: Record = turned(delete(body, EMPTY), 400, "BadDigest").await;
}

#[tokio::test]
async fn too_much_xml_is_refused() {
    let body = vec![b' '; crate::types::limits::XML_BODY_BYTES_MAX + 1];
    let (edge, log) = edge();
    let (status, text) = read(edge.serve(delete(&body, UNSIGNED)).await).await;
    assert_eq!(status, 400, "{text}");
    assert_eq!(log.records.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn names_out_of_bounds_are_refused() {
    let long = format!("/b--d/{}", "k".repeat(1025));
    for (uri, code) in [
        (long.as_str(), "KeyTooLongError"),
        ("/B_d/k", "InvalidBucketName"),
    ] {
        let get = signed(request("GET", uri, &[], b""), &signing(EMPTY));
        let _record: Record = turned(get, 400, code).await;
    }
}

#[tokio::test]
async fn without_a_record_there_is_no_answer() {
    let (edge, log) = edge();
    log.broken.store(true, Ordering::Relaxed);
    let response = edge.serve(bare(request("GET", "/b--d/k", &[], b""))).await;
    assert!(response.headers().contains_key("retry-after"));
    let (status, body) = read(response).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("<Code>ServiceUnavailable</Code>"), "{body}");
}

#[tokio::test]
async fn a_panic_is_answered_and_recorded() {
    let get = signed(request("GET", "/b--d/k", &[], b""), &signing(EMPTY));
    let record = turned(get, 500, "InternalError").await;
    assert_eq!(record.operation, "GetObject");
}

#[tokio::test]
async fn a_success_that_nobody_recorded_is_none() {
    let (edge, log) = edge();
    let head = signed(request("HEAD", "/b--d/k", &[], b""), &signing(EMPTY));
    let (status, _) = read(edge.serve(head).await).await;
    assert_eq!(status, 500);
    assert_eq!(log.records.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_before_the_body_was_taken_closes_the_connection() {
    let (edge, _) = edge();
    let ask = |method: &str, body: &'static [u8]| {
        let request = Request::builder().method(method).uri("/icu--ecg/k");
        let request = request.header("host", "localhost");
        request.body(Full::new(Bytes::from_static(body))).unwrap()
    };
    let refused = edge.serve(ask("PUT", b"abc")).await;
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["connection"], "close");
    let bare = edge.serve(ask("GET", b"")).await;
    assert_eq!(bare.status(), 403);
    assert!(!bare.headers().contains_key("connection"));
}
