//! Locks and versions before a hostile store.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{ID, Server, Step, send};
use crate::store::StoreError;
use crate::store::locked::{After, LockStore as _, VersionId};
use crate::types::{Retention, RetentionMode, Timestamp};

fn answer(head: &str, body: &str) -> Step {
    let length = body.len();
    send(&format!(
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// One connection on which each request is answered with the next of these.
fn server(answers: Vec<Step>) -> Server {
    let script = answers.into_iter().flat_map(|answer| [Step::Head, answer]);
    Server::start(vec![script.collect()])
}

fn version() -> VersionId {
    VersionId::new("v1").unwrap()
}

const UNTIL: Retention = Retention {
    mode: RetentionMode::Compliance,
    until: Timestamp::from_millis(1_900_000_000_001),
};

fn locks(inner: &str) -> String {
    format!("<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>")
}

#[tokio::test]
async fn a_bucket_has_locks_only_where_it_says_so() {
    let enabled = locks("<ObjectLockEnabled>Enabled</ObjectLockEnabled>");
    let other = locks("<ObjectLockEnabled>enabled, perhaps</ObjectLockEnabled>");
    for (head, body, expected) in [
        ("200 OK", enabled.as_str(), Some(true)),
        ("200 OK", other.as_str(), Some(false)),
        ("200 OK", &locks(""), Some(false)),
        (
            "404 No",
            "<Error><Code>ObjectLockConfigurationNotFoundError</Code></Error>",
            Some(false),
        ),
        (
            "501 No",
            "<Error><Code>NotImplemented</Code></Error>",
            Some(false),
        ),
        ("400 No", "", Some(false)),
        ("403 No", "", None),
        ("500 No", "", None),
        ("404 No", "<Error><Code>NoSuchBucket</Code></Error>", None),
    ] {
        let server = server(vec![answer(head, body)]);
        let told = server.store(0).has_locks().await;
        assert_eq!(
            told.as_ref().ok(),
            expected.as_ref(),
            "{head} {body}: {told:?}"
        );
        assert!(server.seen(0).contains("object-lock"), "{}", server.seen(0));
    }
}

#[tokio::test]
async fn a_put_under_a_lock_counts_with_its_version_alone() {
    for (head, good) in [
        ("200 OK\r\nx-amz-version-id: 3/L4kq+x", true),
        ("200 OK\r\nx-amz-version-id: two words", false),
        ("200 OK", false),
        ("403 No", false),
    ] {
        // The SDK sends what is small in one piece: five bytes.
        let script = vec![Step::Head, Step::Body(5), answer(head, "")];
        let server = Server::start(vec![script]);
        let store = server.store(0);
        let put = store.put_locked(ID, Bytes::from_static(b"bytes"), UNTIL);
        let put = put.await;
        assert_eq!(put.is_ok(), good, "{head}: {put:?}");
        let seen = server.seen(0).to_lowercase();
        for header in [
            "x-amz-object-lock-mode: compliance",
            // Never before what was asked for: the next whole second.
            "x-amz-object-lock-retain-until-date: 2030-03-17t17:46:41z",
            "content-md5: ",
        ] {
            assert!(seen.contains(header), "{header}: {seen}");
        }
    }
}

#[tokio::test]
async fn of_a_version_nothing_is_taken_but_the_range_that_was_asked_for() {
    for (range, body, good) in [
        ("bytes 0-4/9", "bytes", true),
        ("bytes 0-4/10", "bytes", false),
        ("bytes 0-4/*", "bytes", false),
        ("bytes 1-5/9", "bytes", false),
        ("bytes 0-4/9", "byte", false),
        ("bytes 0-4/9", "bytes!", false),
        ("bytes", "bytes", false),
    ] {
        let head = format!("206 Part\r\nContent-Range: {range}");
        let server = server(vec![answer(&head, body)]);
        let got = server.store(0).get_version(ID, &version(), 0..5, 9).await;
        let Ok(mut got) = got else {
            assert!(!good, "{range} {body}");
            continue;
        };
        assert!(good, "{range} {body}");
        assert_eq!(got.next().await.unwrap().unwrap(), "bytes");
        assert!(server.seen(0).contains("versionId=v1"));
    }
    let none = server(Vec::new());
    for (range, whole) in [(0..0, 9), (0..10, 9), (9..10, 9)] {
        let got = none
            .store(0)
            .get_version(ID, &version(), range, whole)
            .await;
        assert!(matches!(got.err(), Some(StoreError::Length)));
    }
}

#[tokio::test]
async fn a_lock_that_is_not_understood_is_none() {
    let date = "x-amz-object-lock-retain-until-date: 2030-03-17T17:46:41Z";
    for (headers, locked) in [
        (
            format!("x-amz-object-lock-mode: COMPLIANCE\r\n{date}"),
            true,
        ),
        (
            format!("x-amz-object-lock-mode: compliance\r\n{date}"),
            false,
        ),
        (format!("x-amz-object-lock-mode: FOREVER\r\n{date}"), false),
        ("x-amz-object-lock-mode: COMPLIANCE".to_owned(), false),
        (date.to_owned(), false),
    ] {
        let head = send(&format!(
            "HTTP/1.1 200 OK\r\n{headers}\r\nContent-Length: 0\r\n\r\n"
        ));
        let server = server(vec![head]);
        let told = server.store(0).retention(ID, &version()).await.unwrap();
        assert_eq!(told.is_some(), locked, "{headers}: {told:?}");
        assert!(told.is_none_or(|told| told.until.millis() == 1_900_000_001_000));
    }
}

fn page(inner: &str) -> Step {
    answer(
        "200 OK\r\nContent-Type: application/xml",
        &format!("<ListVersionsResult>{inner}</ListVersionsResult>"),
    )
}

fn entry(tag: &str, key: &str, version: &str) -> String {
    format!(
        "<{tag}><Key>{key}</Key><VersionId>{version}</VersionId><Size>7</Size>\
         <LastModified>2027-03-02T08:15:04.112Z</LastModified></{tag}>"
    )
}

#[tokio::test]
async fn a_listing_of_versions_that_lies_is_an_error() {
    let more = "<IsTruncated>true</IsTruncated>";
    let next = |key: &str| {
        format!(
            "{more}<NextKeyMarker>{key}</NextKeyMarker>\
             <NextVersionIdMarker>v1</NextVersionIdMarker>"
        )
    };
    let end = "<IsTruncated>false</IsTruncated>";
    let after = || After {
        key: "a".to_owned(),
        version: "v1".to_owned(),
    };
    for (inner, good) in [
        (end.to_owned(), true),
        (next("b"), true),
        (String::new(), false),
        (more.to_owned(), false),
        // It does not advance.
        (next("a"), false),
        (
            format!("{end}{}", entry("Version", &ID.to_string(), "")),
            false,
        ),
        (
            format!("{end}{}", entry("Version", &ID.to_string(), "a b")),
            false,
        ),
        (format!("{end}{}", entry("Version", "elsewhere", "")), true),
    ] {
        let server = server(vec![page(&inner)]);
        let told = server.store(0).versions(None, Some(after())).await;
        assert_eq!(told.is_ok(), good, "{inner}: {told:?}");
    }
    let both = format!(
        "{end}{}{}{}",
        entry("DeleteMarker", &ID.to_string(), "v2"),
        entry("Version", &ID.to_string(), "v1"),
        entry("Version", "note.txt", "v1")
    );
    let server = server(vec![page(&both)]);
    let told = server.store(0).versions(Some(ID), None).await.unwrap();
    assert!(server.seen(0).contains(&format!("prefix={ID}")));
    let seen: Vec<_> = told
        .found
        .iter()
        .map(|seen| (seen.version.as_str(), seen.bytes))
        .collect();
    assert_eq!(
        seen,
        [("v1", Some(7)), ("v2", None)],
        "a mark has no length"
    );
    assert_eq!(told.next, None);
}
