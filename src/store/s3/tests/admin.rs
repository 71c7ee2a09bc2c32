//! Listing, deletion and the bucket before a hostile store.

use super::{ID, Server, Step, open, send};
use crate::store::{BlobStore as _, StoreError};

fn xml(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn page(keys: &[&str], token: Option<&str>) -> String {
    let entry = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2027-03-02T08:15:04.112Z</LastModified>\
             <Size>7</Size></Contents>"
        )
    };
    let keys: String = keys.iter().map(entry).collect();
    let token = match token {
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
        Some(token) => format!(
            "<IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{token}</NextContinuationToken>"
        ),
    };
    xml(&format!(
        "<ListBucketResult>{token}{keys}</ListBucketResult>"
    ))
}

async fn list(answers: &[String], limit: usize) -> Result<Vec<String>, String> {
    let script = answers.iter().flat_map(|answer| [Step::Head, send(answer)]);
    let server = Server::start(vec![script.collect()]);
    let all = server.store(0).list(None, limit).await;
    let all = all.map_err(|error| error.to_string())?;
    Ok(all.iter().map(|entry| entry.id.to_string()).collect())
}

const A: &str = "0a000000000000000000000000000000";
const B: &str = "0b000000000000000000000000000000";
const C: &str = "0c000000000000000000000000000000";

#[tokio::test]
async fn pages_are_joined_and_foreign_names_passed_over() {
    let answers = [
        page(
            &["!odd", A, "0a0", "0A000000000000000000000000000000"],
            Some("one"),
        ),
        page(&["0aa/x"], Some("two")),
        page(&[B, "0b000000000000000000000000000000.tmp", C], None),
    ];
    assert_eq!(list(&answers, 10).await.unwrap(), [A, B, C]);
    assert_eq!(list(&answers, 2).await.unwrap(), [A, B]);
    assert_eq!(list(&answers, 0).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_listing_that_lies_is_an_error() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>\
                  <ListBucketResult><Contents><Key>&b;</Key></Contents></ListBucketResult>";
    let cut = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    for (answers, expected) in [
        (vec![page(&[B, A], None)], "order"),
        (vec![page(&[A, A], None)], "order"),
        (
            vec![
                page(&[A], Some("t")),
                page(&[B], Some("t")),
                page(&[C], Some("t")),
            ],
            "advance",
        ),
        (vec![page(&[B], Some("t")), page(&[A], None)], "order"),
        (vec![xml(cut)], "cannot be continued"),
        (vec![xml("<ListBucketResult><Contents>")], "understood"),
        (vec![xml("no XML at all")], "understood"),
        (
            vec![xml("<Error><Code>InternalError</Code></Error>")],
            "understood",
        ),
        (vec![xml(laughs)], "understood"),
        (vec![xml(&" ".repeat(5_000_000))], "too long"),
        (
            vec!["HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned()],
            "no such blob",
        ),
        (
            vec!["HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned()],
            "credential",
        ),
    ] {
        let got = list(&answers, 10).await.unwrap_err();
        assert!(got.contains(expected), "{:.200}: {got}", answers[0]);
    }
}

#[tokio::test]
async fn a_deletion_of_what_is_absent_is_none_and_others_are_told() {
    for (answer, expected) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", ""),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "credential"),
        ("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "500"),
    ] {
        let server = Server::start(vec![vec![Step::Head, send(answer)]]);
        let got = match server.store(0).delete(ID).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(expected), "{answer}: {got}");
        assert_eq!(got.is_empty(), expected.is_empty(), "{answer}: {got}");
        assert!(server.seen(0).starts_with(&format!("DELETE /vault/{ID}")));
    }
}

#[tokio::test]
async fn the_bucket_is_made_once() {
    let none = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    let done = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let script = vec![
        Step::Head,
        send(none),
        Step::Head,
        send(done),
        Step::Head,
        send(done),
    ];
    let server = Server::start(vec![script]);
    let store = server.store(0);
    assert!(store.ensure_bucket().await.unwrap());
    assert!(!store.ensure_bucket().await.unwrap());
    let seen = server.seen(0);
    assert!(
        seen.contains("PUT /vault/ HTTP/1.1") || seen.contains("PUT /vault HTTP/1.1"),
        "{seen}"
    );
}

#[tokio::test]
async fn the_sdk_is_as_impatient_as_the_thin_client() {
    let server = Server::start(vec![vec![Step::Head, Step::Hang]]);
    let got = open(&server.impatient()).list(None, 1).await;
    assert!(matches!(got, Err(StoreError::Timeout)), "{got:?}");
    let slow = "HTTP/1.1 503 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    let script = || vec![Step::Head, send(slow)];
    let server = Server::start(vec![script(), script()]);
    let got = server.store(1).list(None, 1).await;
    assert!(matches!(got, Err(StoreError::Throttled)), "{got:?}");
    assert_eq!(server.used(), 2);
}
