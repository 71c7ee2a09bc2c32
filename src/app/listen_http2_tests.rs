//! Tests of the listener with clients of HTTP/2: what they leave unread, and what they keep saying.

use hyper_util::rt::TokioExecutor;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_reads_nothing_is_cut_and_holds_little() {
    let line = dial();
    let mut client = http2(line.io).await;
    let answer = client.send_request(asks("/endless")).await.expect("a head");
    sleep(Duration::from_secs(9)).await;
    let held = line.made.load(Ordering::SeqCst);
    assert!(held <= 256 * 1024, "{held} bytes for one stalled stream");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(line.metrics.connections_stalled.get(), 1);
    assert_eq!(line.made.load(Ordering::SeqCst), held);
    drop((answer, line.trigger));
}

/// What an HTTP/2 client says first: the preface, and SETTINGS with no window for streams.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0ping-png";

/// Pings every two seconds until the connection is cut; after how long that was.
async fn ping(line: &mut Line) -> Duration {
    let begin = Instant::now();
    let mut pongs = [0; 256];
    loop {
        let said = line.io.write_all(PING).await;
        let read = timeout(Duration::from_secs(2), line.io.read(&mut pongs)).await;
        if said.is_err() || matches!(read, Ok(Ok(0) | Err(_))) {
            return begin.elapsed();
        }
        assert!(
            begin.elapsed() < Duration::from_mins(1),
            "it is held for ever"
        );
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_hold_a_connection_that_asks_nothing() {
    let mut line = dial();
    line.io.write_all(PREFACE).await.expect("room");
    let held = ping(&mut line).await;
    assert!(held < Duration::from_secs(8), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_hold_an_answer_that_is_not_read() {
    let mut line = dial();
    line.io.write_all(PREFACE).await.expect("room");
    line.io.write_all(&endless(1)).await.expect("room");
    let held = ping(&mut line).await;
    assert!(
        held > Duration::from_secs(8),
        "the answer was begun: {held:?}"
    );
    assert!(held < Duration::from_secs(15), "{held:?}");
    assert_eq!(line.metrics.connections_stalled.get(), 1);
}

/// A head that asks for `/endless` on a stream, by HPACK's static table: method 2, scheme 6, path
/// 4, authority 1.
fn endless(stream: u8) -> Vec<u8> {
    let mut fields = b"\x82\x86\x04\x08/endless\x01\x01x".to_vec();
    let len = u8::try_from(fields.len()).expect("short");
    let mut ask = vec![0, 0, len, 1, 0x05, 0, 0, 0, stream];
    ask.append(&mut fields);
    ask
}

/// A window of so many bytes more: of a stream, or of the connection.
fn window(stream: u8, bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    vec![0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 0, high, low]
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_is_reset_though_another_goes_on() {
    let mut line = dial();
    line.io.write_all(PREFACE).await.expect("room");
    for stream in [1, 3, 5] {
        line.io.write_all(&endless(stream)).await.expect("room");
    }
    // The first takes all that comes, the second a byte now and then, the third nothing.
    let (mut came, mut reset) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let mut last = begin;
    while begin.elapsed() < Duration::from_mins(1) {
        if last.elapsed() >= Duration::from_secs(2) {
            last = Instant::now();
            for (stream, bytes) in [(1, 16_384), (3, 1), (0, 16_385)] {
                let said = line.io.write_all(&window(stream, bytes)).await;
                said.expect("the connection stays");
            }
        }
        let mut some = [0; 1024];
        if let Ok(read) = timeout(Duration::from_secs(1), line.io.read(&mut some)).await {
            let read = read.expect("the connection stays");
            assert!(read > 0, "the connection stays");
            came.extend_from_slice(&some[..read]);
        }
        while let [a, b, c, kind, _, _, _, _, stream, ..] = *came.as_slice() {
            let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if came.len() < 9 + len {
                break;
            }
            came.drain(..9 + len);
            if kind == 3 {
                reset.push((stream, begin.elapsed().as_secs()));
            }
        }
    }
    reset.sort_unstable();
    let streams: Vec<u8> = reset.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(streams, [3, 5]);
    assert!(
        reset.iter().all(|(_, at)| (10..20).contains(at)),
        "{reset:?}"
    );
    assert_eq!(line.metrics.streams_stalled.get(), 2);
    assert_eq!(line.metrics.connections_stalled.get(), 0);
}

pub(super) type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

pub(super) async fn http2<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: T) -> Http2 {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let (client, connection) = builder
        .handshake(TokioIo::new(io))
        .await
        .expect("speaks HTTP/2");
    drop(tokio::spawn(connection));
    client
}

pub(super) fn asks(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://x{path}"))
        .body(Full::default())
        .expect("a request")
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_has_few_streams() {
    let line = dial();
    let mut client = http2(line.io).await;
    for _ in 0..50 {
        drop(tokio::spawn(client.send_request(asks("/hang"))));
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(line.made.load(Ordering::SeqCst), 8);
    drop(line.trigger);
}

#[tokio::test(start_paused = true)]
async fn an_http2_head_beyond_the_bound_is_refused() {
    let line = dial();
    let mut client = http2(line.io).await;
    for (headers, status) in [(3, 200), (4, 431)] {
        let mut long = asks("/peer");
        let value = HeaderValue::from_str(&"x".repeat(8 * 1024)).expect("a value");
        for name in ["a", "b", "c", "d"].into_iter().take(headers) {
            long.headers_mut().insert(name, value.clone());
        }
        let answer = client.send_request(long).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
    }
    drop(line.trigger);
}
