//! PUT before a hostile store.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::super::client::Taking;
use super::super::outgoing::Upload;
use super::{ID, Server, Step, open, send};
use crate::store::contract::{body, chunks, sample};
use crate::store::{BlobBody, BlobStore as _, BodyAborted, StoreError};

const OK: &str = "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n";
const SLOW: &str = "HTTP/1.1 503 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";

/// Longer than what is gathered before it is sent.
const LONG: usize = 600_000;

fn long() -> BlobBody {
    let whole = sample(LONG);
    let pieces = (0..6).map(|n| Ok(whole.slice(n * 100_000..(n + 1) * 100_000)));
    chunks(pieces.collect())
}

#[tokio::test]
async fn a_small_blob_is_sent_with_its_length_and_unsigned_payload() {
    let server = Server::start(vec![vec![Step::Head, Step::Body(5), send(OK)]]);
    server.store(0).put(ID, 5, body(b"bytes")).await.unwrap();
    let seen = server.seen(0);
    let head = seen.to_lowercase();
    assert!(
        head.starts_with(&format!("put /vault/{ID} http/1.1\r\n")),
        "{head}"
    );
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    assert!(
        head.contains("x-amz-content-sha256: unsigned-payload\r\n"),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(seen.ends_with("\r\n\r\nbytes"), "{seen}");
}

#[tokio::test]
async fn a_small_blob_is_sent_again() {
    let refuse = vec![Step::Head, Step::Body(5), send(SLOW)];
    let cut = vec![Step::Head, Step::Body(2), Step::Reset];
    let take = vec![Step::Head, Step::Body(5), send(OK)];
    let server = Server::start(vec![refuse, cut, take]);
    server.store(3).put(ID, 5, body(b"bytes")).await.unwrap();
    assert!(server.seen(2).ends_with("\r\n\r\nbytes"));
}

/// A store that refuses before it has read the body: the rest of the body belongs to the next
/// connection alone.
#[tokio::test]
async fn a_refusal_before_the_body_was_sent_loses_none_of_it() {
    // More than the system buffers.
    const WHOLE: usize = 16_000_000;
    let refuse = vec![Step::Head, send(SLOW), Step::ToEnd];
    let take = vec![Step::Head, Step::Body(WHOLE), send(OK)];
    let server = Server::start(vec![refuse, take]);
    let chunk = Bytes::from(vec![b'x'; 10_000]);
    let upload = Upload::whole(vec![chunk; WHOLE / 10_000]);
    let store = server.store(0);
    store
        .client
        .store(ID, &upload, Taking::Any)
        .await
        .unwrap_err();
    // Time for the server to make room on the first connection.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    store.client.store(ID, &upload, Taking::Any).await.unwrap();
    let seen = server.seen(1);
    let (_, sent) = seen.split_once("\r\n\r\n").unwrap();
    assert!(sent.len() == WHOLE && sent.bytes().all(|b| b == b'x'));
}

#[tokio::test]
async fn a_streamed_blob_is_not_sent_again_once_it_flowed() {
    for (end, expected) in [
        (send(SLOW), "throttling"),
        (Step::Reset, "the store failed"),
    ] {
        let first = vec![Step::Head, Step::Body(1_000), end];
        let second = vec![Step::Head, Step::Body(LONG), send(OK)];
        let server = Server::start(vec![first, second]);
        let put = server.store(3).put(ID, LONG as u64, long()).await;
        let error = put.unwrap_err().to_string();
        // The reset may overtake the answer.
        let reset = error.contains("the store failed");
        assert!(error.contains(expected) || reset, "{error}");
        assert_eq!(server.used(), 1);
    }
}

#[tokio::test]
async fn a_streamed_blob_that_has_not_begun_to_flow_is_sent_elsewhere() {
    let first = vec![Step::Head, send(SLOW)];
    let second = vec![Step::Head, Step::Body(LONG), send(OK)];
    let server = Server::start(vec![first, second]);
    // The sender begins when the first connection has answered.
    let seen = std::sync::Arc::clone(&server.seen);
    let late = stream::once(async move {
        while seen.lock().unwrap()[1].is_empty() {
            tokio::task::yield_now().await;
        }
    });
    let late = late.flat_map(|()| long());
    let store = server.store(1);
    store.put(ID, LONG as u64, Box::pin(late)).await.unwrap();
    assert_eq!(server.used(), 2);
}

#[tokio::test]
async fn an_abort_cuts_the_connection_before_the_last_byte() {
    let server = Server::start(vec![vec![Step::Head, Step::ToEnd]]);
    let whole = sample(LONG);
    let parts = vec![
        Ok(whole.slice(..300_000)),
        Ok(whole.slice(300_000..)),
        Err(BodyAborted),
    ];
    let store = server.store(3);
    let put = store.put(ID, LONG as u64, chunks(parts)).await;
    assert!(matches!(put, Err(StoreError::Aborted(_))), "{put:?}");
    while server.seen.lock().unwrap()[0].len() < 1_000 {
        tokio::task::yield_now().await;
    }
    let seen = server.seen.lock().unwrap()[0].clone();
    let (head, sent) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("600000"), "{head}");
    // Lossy text is never shorter than the bytes were.
    let sent = sent.chars().count();
    assert!(sent <= 300_000, "{sent} bytes of an aborted body were sent");
}

#[tokio::test]
async fn an_aborted_small_blob_never_reaches_the_store() {
    let server = Server::start(vec![vec![Step::Head]]);
    let parts = vec![Ok(Bytes::from_static(b"byt")), Err(BodyAborted)];
    let put = server.store(3).put(ID, 5, chunks(parts)).await;
    assert!(matches!(put, Err(StoreError::Aborted(_))), "{put:?}");
    assert_eq!(server.used(), 0);
}

#[tokio::test]
async fn an_acknowledgement_that_proves_nothing_is_no_success() {
    let error = "<Error><Code>InternalError</Code></Error>";
    let in_body = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{error}",
        error.len()
    );
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<Err";
    for (answer, expected) in [
        (in_body.as_str(), "InternalError"),
        (cut, "another length"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (
            "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "301",
        ),
        ("HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n", "full"),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "credential"),
    ] {
        let script = vec![Step::Head, Step::Body(5), send(answer)];
        let server = Server::start(vec![script]);
        let put = server.store(0).put(ID, 5, body(b"bytes")).await;
        let got = put.unwrap_err().to_string();
        assert!(got.contains(expected), "{answer}: {got}");
    }
}

#[tokio::test]
async fn a_200_before_the_body_was_sent_is_a_lie() {
    let server = Server::start(vec![vec![Step::Head, send(OK), Step::Hang]]);
    let slow = chunks(vec![Ok(sample(300_000))]).chain(stream::pending());
    let put = server.store(0).put(ID, LONG as u64, Box::pin(slow)).await;
    let got = put.unwrap_err().to_string();
    assert!(got.contains("before it had all of it"), "{got}");
}

#[tokio::test]
async fn a_slow_sender_never_times_out() {
    let script = vec![Step::Head, Step::Body(LONG), send(OK)];
    let server = Server::start(vec![script]);
    // Each pause is longer than any time-out of this store.
    let slow = long().then(|chunk| async {
        tokio::time::sleep(Duration::from_millis(260)).await;
        chunk
    });
    let store = open(&server.impatient());
    store.put(ID, LONG as u64, Box::pin(slow)).await.unwrap();
}

#[tokio::test]
async fn a_store_that_takes_nothing_or_never_acknowledges_times_out() {
    let deaf = vec![Step::Head, Step::Body(1), Step::Deaf];
    let mute = vec![Step::Head, Step::Body(LONG), Step::Hang];
    for (script, bytes) in [(mute, LONG as u64), (deaf, 60_000_000)] {
        let server = Server::start(vec![script]);
        let chunk = sample(100_000);
        let endless = stream::repeat_with(move || Ok(chunk.clone()));
        let taken = endless.take(usize::try_from(bytes / 100_000).unwrap());
        let store = open(&server.impatient());
        let put = store.put(ID, bytes, Box::pin(taken)).await;
        let fine = matches!(put, Err(StoreError::Timeout));
        assert!(fine, "{bytes}: {put:?}");
    }
}

const TAKEN: &str = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";
const DELETED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// What a store answers to two blobs under one name, to their deletion, and to a third blob.
fn asked(second: &str, third: &str) -> Server {
    Server::start(vec![
        vec![Step::Head, Step::Body(1), send(OK)],
        vec![Step::Head, Step::Body(1), send(second)],
        vec![Step::Head, send(DELETED)],
        vec![Step::Head, Step::Body(5), send(third)],
        vec![Step::Head, Step::Body(5), send(third)],
    ])
}

#[tokio::test]
async fn a_store_that_can_is_asked_to_refuse_a_name_that_is_taken() {
    let server = asked(TAKEN, TAKEN);
    let store = server.store(0);
    for _ in 0..2 {
        let put = store.put_new(ID, 5, body(b"bytes")).await;
        assert!(matches!(put, Err(StoreError::Taken)), "{put:?}");
    }
    for n in [0, 1, 3, 4] {
        let head = server.seen(n).to_lowercase();
        assert!(head.contains("if-none-match: *\r\n"), "{head}");
        let signed = "signedheaders=host;if-none-match;x-amz-content-sha256;x-amz-date";
        assert!(head.contains(signed), "{head}");
    }
    assert!(server.seen(2).starts_with("DELETE "), "{}", server.seen(2));
    assert!(server.seen(3).contains(&ID.to_string()));
    assert!(
        !server.seen(0).contains(&ID.to_string()),
        "a name of its own"
    );
}

#[tokio::test]
async fn a_store_that_does_not_refuse_a_name_is_not_asked_to() {
    for second in [
        OK,
        "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
    ] {
        let server = asked(second, OK);
        let store = server.store(0);
        for n in [3, 4] {
            store.put_new(ID, 5, body(b"bytes")).await.unwrap();
            assert!(!server.seen(n).to_lowercase().contains("if-none-match"));
        }
    }
}

/// Nothing is decided by a store that is away for a moment.
#[tokio::test]
async fn a_store_that_does_not_answer_is_asked_again() {
    let mut scripts = vec![
        vec![Step::Head, Step::Body(1), send(OK)],
        vec![Step::Head, Step::Body(1), send(SLOW)],
        vec![Step::Head, send(DELETED)],
    ];
    scripts.extend([
        vec![Step::Head, Step::Body(1), send(OK)],
        vec![Step::Head, Step::Body(1), send(TAKEN)],
        vec![Step::Head, send(DELETED)],
        vec![Step::Head, Step::Body(5), send(TAKEN)],
    ]);
    let server = Server::start(scripts);
    let store = server.store(0);
    let put = store.put_new(ID, 5, body(b"bytes")).await;
    assert!(matches!(put, Err(StoreError::Throttled)), "{put:?}");
    let put = store.put_new(ID, 5, body(b"bytes")).await;
    assert!(matches!(put, Err(StoreError::Taken)), "{put:?}");
}
