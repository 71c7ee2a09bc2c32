//! GET before a hostile store.

use futures_util::StreamExt as _;

use super::{ID, Server, Step, open, send};
use crate::store::contract::read;
use crate::store::{BlobStore as _, StoreError};

/// A right answer to a GET of the range 10..20.
const RIGHT: &str = "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\
                     Content-Range: bytes 10-19/100\r\n\r\n0123456789";

async fn get(server: &Server, retries: u32) -> Result<Vec<u8>, StoreError> {
    read(&server.store(retries), ID, 10..20, 100).await
}

/// The outcome of a GET without retries before a store that sends this and closes.
async fn outcome(answer: &str) -> String {
    let server = Server::start(vec![vec![Step::Head, send(answer)]]);
    match get(&server, 0).await {
        Ok(bytes) => String::from_utf8(bytes).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_right_answer_is_read_and_the_request_is_signed() {
    let server = Server::start(vec![vec![Step::Head, send(RIGHT)]]);
    assert_eq!(get(&server, 0).await.unwrap(), b"0123456789");
    let head = server.seen(0).to_lowercase();
    assert!(
        head.starts_with(&format!("get /vault/{ID} http/1.1\r\n")),
        "{head}"
    );
    for part in [
        "range: bytes=10-19\r\n",
        "x-amz-date: 20270302t081504z\r\n",
        "signedheaders=host;range;x-amz-content-sha256;x-amz-date",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    assert!(!head.contains("secret"), "{head}");
}

/// The outcome of a GET of a whole blob of ten bytes, and the request's head.
async fn whole(answer: &str) -> (String, String) {
    let server = Server::start(vec![vec![Step::Head, send(answer)]]);
    let outcome = match read(&server.store(0), ID, 0..10, 10).await {
        Ok(bytes) => String::from_utf8(bytes).unwrap(),
        Err(error) => error.to_string(),
    };
    (outcome, server.seen(0).to_lowercase())
}

#[tokio::test]
async fn a_whole_blob_is_asked_for_without_a_range_and_held_to_its_length() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let right = format!("{ok}Content-Length: 10\r\n\r\n0123456789");
    let (outcome, head) = whole(&right).await;
    assert_eq!(outcome, "0123456789");
    assert!(!head.contains("range"), "{head}");
    assert!(
        head.contains("signedheaders=host;x-amz-content-sha256;x-amz-date"),
        "{head}"
    );
    for (wrong, expected) in [
        (format!("{ok}Content-Length: 9\r\n\r\n012345678"), LENGTH),
        (format!("{ok}Content-Length: 11\r\n\r\n0123456789a"), LENGTH),
        (format!("{ok}Content-Length: 10\r\n\r\n01234"), LENGTH),
        (format!("{ok}\r\n0123456789"), "how long"),
        (RIGHT.to_owned(), LENGTH),
    ] {
        let (outcome, _) = whole(&wrong).await;
        assert!(outcome.contains(expected), "{wrong}: {outcome}");
    }
}

const LENGTH: &str = "another length than asked for";

#[tokio::test]
async fn partial_answers_of_another_range_are_errors() {
    for (length, range, body, expected) in [
        ("9", "bytes 10-18/100", "012345678", LENGTH),
        ("11", "bytes 10-20/100", "0123456789a", LENGTH),
        ("11", "bytes 10-19/100", "0123456789a", LENGTH),
        ("10", "bytes 10-19/101", "0123456789", LENGTH),
        ("10", "bytes 10-19/20", "0123456789", LENGTH),
        ("10", "bytes 0-9/100", "0123456789", LENGTH),
        ("10", "bytes 10-19/100", "01234", LENGTH),
        ("10", "bytes", "0123456789", "without a valid Content-Range"),
        ("x", "bytes 10-19/100", "0123456789", "the store failed"),
        (
            "10, 20",
            "bytes 10-19/100",
            "0123456789",
            "the store failed",
        ),
    ] {
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Length:";
        let answer = format!("{head} {length}\r\nContent-Range: {range}\r\n\r\n{body}");
        let got = outcome(&answer).await;
        assert!(got.contains(expected), "{answer}: {got}");
    }
    let bare = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-19/100\r\n\r\n";
    for (body, expected) in [("01234", LENGTH), ("0123456789a", LENGTH)] {
        let got = outcome(&format!("{bare}{body}")).await;
        assert!(got.contains(expected), "{body}: {got}");
    }
    assert_eq!(outcome(&format!("{bare}0123456789")).await, "0123456789");
}

#[tokio::test]
async fn other_answers_are_errors() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(400_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5_000));
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    let wholer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789";
    let status = |code: u16| format!("HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n");
    for (answer, expected) in [
        (whole.to_owned(), "ignores ranges"),
        (wholer.to_owned(), "ignores ranges"),
        (status(202), "answered 202"),
        (status(416), LENGTH),
        (status(404), "no such blob"),
        (status(403), "credential"),
        (status(507), "full"),
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "the store failed"),
        (String::new(), "the store failed"),
        (long, "the store failed"),
        (many, "the store failed"),
    ] {
        let got = outcome(&answer).await;
        assert!(got.contains(expected), "{answer:.120}: {got}");
    }
}

#[tokio::test]
async fn chunked_answers_are_held_to_the_length_too() {
    let head = "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\
                Content-Range: bytes 10-19/100\r\n\r\n";
    let right = format!("{head}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n");
    assert_eq!(outcome(&right).await, "0123456789");
    for wrong in [
        "5\r\n01234\r\n0\r\n\r\n",
        "5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n",
        "5\r\n01234\r\n5\r\n56789\r\n1\r\na\r\n0\r\n\r\n",
        "a\r\n01234",
    ] {
        let got = outcome(&format!("{head}{wrong}")).await;
        assert!(got.contains("another length"), "{wrong:?}: {got}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(vec![vec![Step::Head, send(RIGHT)]]);
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/vault/x\r\nContent-Length: 0\r\n\r\n",
        other.endpoint
    );
    assert!(outcome(&answer).await.contains("it answered 307"));
    assert_eq!(other.used(), 0);
}

#[tokio::test]
async fn throttling_is_obeyed_and_then_told() {
    let slow = "HTTP/1.1 503 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    let script = || vec![Step::Head, send(slow)];
    let server = Server::start(vec![script(), script(), vec![Step::Head, send(RIGHT)]]);
    assert_eq!(get(&server, 2).await.unwrap(), b"0123456789");
    let server = Server::start(vec![script(), script()]);
    let got = get(&server, 1).await;
    assert!(matches!(got, Err(StoreError::Throttled)), "{got:?}");
    assert_eq!(server.used(), 2);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_asked_again_and_then_given_up() {
    let hang = || vec![Step::Head, Step::Hang];
    let drip = vec![
        Step::Head,
        send("HTTP/1.1 200 OK\r\nX: "),
        Step::Drip(vec![b'x']),
    ];
    let server = Server::start(vec![hang(), vec![Step::Head, send(RIGHT)]]);
    let mut config = server.impatient();
    config.retries = 1;
    let got = read(&open(&config), ID, 10..20, 100).await.unwrap();
    assert_eq!(got, b"0123456789");
    for script in [hang(), drip] {
        let server = Server::start(vec![script]);
        let got = read(&open(&server.impatient()), ID, 10..20, 100).await;
        assert!(matches!(got, Err(StoreError::Timeout)), "{got:?}");
    }
}

#[tokio::test]
async fn a_broken_body_is_resumed_where_it_broke() {
    let half = RIGHT.strip_suffix("56789").unwrap();
    let rest = "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\
                Content-Range: bytes 15-19/100\r\n\r\n56789";
    for end in [Step::Hang, Step::Reset, send("")] {
        let first = vec![Step::Head, send(half), end.clone()];
        let second = vec![Step::Head, send(rest)];
        let server = Server::start(vec![first, second]);
        let mut config = server.impatient();
        config.retries = 2;
        let store = open(&config);
        let mut stream = store.get(ID, 10..20, 100).await.unwrap();
        // Awaited before the break, so that a reset cannot overtake the first half.
        let mut all = stream.next().await.unwrap().unwrap().to_vec();
        while let Some(chunk) = stream.next().await {
            all.extend_from_slice(&chunk.unwrap());
        }
        if all == b"0123456789" && server.seen(1).contains("bytes=15-19") {
            continue;
        }
        // A reset may discard what was sent before it; then all of the range is asked for.
        assert!(matches!(end, Step::Reset), "{end:?} {all:?}");
    }
}

#[tokio::test]
async fn resuming_is_bounded() {
    let first = vec![Step::Head, send(&RIGHT[..RIGHT.len() - 5])];
    let more = "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\
                Content-Range: bytes 15-19/100\r\n\r\n";
    let none = || vec![Step::Head, send(more)];
    let server = Server::start(vec![first, none(), none(), none()]);
    let got = get(&server, 2).await;
    assert!(matches!(got, Err(StoreError::Length)), "{got:?}");
    assert_eq!(server.used(), 3);
}

#[tokio::test]
async fn a_stalled_body_times_out() {
    let half = RIGHT.strip_suffix("56789").unwrap();
    let server = Server::start(vec![vec![Step::Head, send(half), Step::Hang]]);
    let store = open(&server.impatient());
    let mut stream = store.get(ID, 10..20, 100).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "01234");
    let end = stream.next().await.unwrap();
    assert!(matches!(end, Err(StoreError::Timeout)), "{end:?}");
    assert!(stream.next().await.is_none(), "an error is the end");
}

#[tokio::test]
async fn a_body_that_drips_is_progress() {
    let head = RIGHT.strip_suffix("0123456789").unwrap();
    let server = Server::start(vec![vec![
        Step::Head,
        send(head),
        Step::Drip(b"x".to_vec()),
    ]]);
    let config = server.impatient();
    let got = read(&open(&config), ID, 10..20, 100).await.unwrap();
    assert_eq!(got, b"xxxxxxxxxx");
}

#[tokio::test]
async fn an_error_of_absurd_size_is_read_no_further_than_it_matters() {
    let head = "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let flood = Step::Flood(chunk.into_bytes());
    let server = Server::start(vec![vec![Step::Head, send(head), flood]]);
    let got = get(&server, 0).await;
    assert!(matches!(got, Err(StoreError::NotFound)), "{got:?}");
}

#[tokio::test]
async fn a_connection_is_used_again_after_answers_and_refusals() {
    let refusal = "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabc";
    let script = vec![
        Step::Head,
        send(RIGHT),
        Step::Head,
        send(refusal),
        Step::Head,
        send(RIGHT),
    ];
    let server = Server::start(vec![script]);
    let store = server.store(0);
    assert_eq!(read(&store, ID, 10..20, 100).await.unwrap(), b"0123456789");
    read(&store, ID, 10..20, 100).await.unwrap_err();
    assert_eq!(read(&store, ID, 10..20, 100).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn connections_closed_while_idle_cost_no_error() {
    let script = || vec![Step::Head, send(RIGHT)];
    let server = Server::start(vec![script(), script(), script()]);
    let store = server.store(1);
    for _ in 0..3 {
        assert_eq!(read(&store, ID, 10..20, 100).await.unwrap(), b"0123456789");
    }
    assert_eq!(server.used(), 3);
}

#[tokio::test]
async fn connections_are_capped() {
    let half = RIGHT.strip_suffix("56789").unwrap();
    let held = vec![Step::Head, send(half), Step::Hang];
    let server = Server::start(vec![held, vec![Step::Head, send(RIGHT)]]);
    let mut config = server.impatient();
    config.connections_max = 1;
    let store = open(&config);
    let stream = store.get(ID, 10..20, 100).await.unwrap();
    let got = read(&store, ID, 10..20, 100).await;
    assert!(matches!(got, Err(StoreError::Throttled)), "{got:?}");
    drop(stream);
    assert_eq!(read(&store, ID, 10..20, 100).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn nobody_listening_is_told() {
    let server = Server::start(vec![]);
    let store = server.store(1);
    tokio::task::yield_now().await;
    let got = read(&store, ID, 10..20, 100).await.unwrap_err().to_string();
    assert!(got.contains("the store failed: no connection"), "{got}");
}

#[tokio::test]
async fn an_empty_or_reversed_range_is_refused_without_asking() {
    let server = Server::start(vec![vec![Step::Head]]);
    let store = server.store(0);
    #[expect(clippy::reversed_empty_ranges, reason = "what is tested")]
    for range in [5..5, 9..5, 99..101] {
        assert!(matches!(
            read(&store, ID, range, 100).await,
            Err(StoreError::Length)
        ));
    }
    assert_eq!(server.used(), 0);
}

#[tokio::test]
async fn a_download_that_nobody_reads_gives_its_connection_to_who_needs_one() {
    let whole = |range: &str, length: &str, body: &str| {
        send(&format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\n\
             Content-Range: bytes {range}/100\r\n\r\n{body}"
        ))
    };
    let server = Server::start(vec![
        vec![Step::Head, whole("10-19", "10", "01234"), Step::Hang],
        vec![Step::Head, send(RIGHT)],
        vec![Step::Head, whole("15-19", "5", "56789")],
    ]);
    let mut config = server.config();
    config.connections_max = 1;
    let store = open(&config);
    let mut left = store.get(ID, 10..20, 100).await.unwrap();
    assert_eq!(left.next().await.unwrap().unwrap(), b"01234"[..]);
    assert_eq!(
        read(&store, ID, 10..20, 100).await.unwrap(),
        b"0123456789",
        "another is served"
    );
    assert_eq!(left.next().await.unwrap().unwrap(), b"56789"[..]);
    assert!(left.next().await.is_none());
    assert!(server.seen(2).contains("range: bytes=15-19"), "it goes on");
}

#[tokio::test]
async fn a_connection_that_is_being_read_is_not_taken() {
    let begun = "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\
                 Content-Range: bytes 10-19/100\r\n\r\n01234";
    let server = Server::start(vec![vec![Step::Head, send(begun), Step::Hang]]);
    let mut config = server.impatient();
    config.connections_max = 1;
    config.idle_timeout = std::time::Duration::from_secs(60);
    let store = open(&config);
    let mut reading = store.get(ID, 10..20, 100).await.unwrap();
    assert_eq!(reading.next().await.unwrap().unwrap(), b"01234"[..]);
    assert!(futures_util::poll!(reading.next()).is_pending());
    let refused = store.get(ID, 10..20, 100).await.err();
    assert!(
        matches!(refused, Some(StoreError::Throttled)),
        "{refused:?}"
    );
}
