//! Tests of the listener: hostile and slow clients on a paused clock, TLS over real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::{get, put};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::limits::BodyError;
use super::super::shutdown::{Trigger, channel};
use super::super::tls::provider;
use super::super::tls::tests::Pair;
use super::*;
use crate::config::TlsVersion;

#[path = "listen_http2_tests.rs"]
mod http2;

use http2::{asks, http2};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);
const CHUNK: usize = 16 * 1024;
const CLOSE: &str = "connection: close\r\n";

fn bounds() -> Bounds {
    Bounds {
        connections_max: 2,
        streams_max: 8,
        header_bytes_max: 32 * 1024,
        header_timeout: Duration::from_secs(5),
        keep_alive: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(10),
        request_time: Duration::from_secs(30),
    }
}

/// `/slow` makes its one byte after a minute, `/peer` tells the peer, `/endless` never ends and
/// counts what it made, `/hang` counts and never answers, `/put` tells how its body ended.
fn service(made: Arc<AtomicUsize>) -> Router {
    let calls = Arc::clone(&made);
    let hang = move || {
        calls.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>()
    };
    let endless = move || {
        let made = Arc::clone(&made);
        async move {
            let frames = stream::repeat_with(move || {
                made.fetch_add(CHUNK, Ordering::SeqCst);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; CHUNK])))
            });
            axum::body::Body::new(StreamBody::new(frames))
        }
    };
    let peer = |request: Request<axum::body::Body>| async move {
        request
            .extensions()
            .get::<PeerAddr>()
            .map_or_else(String::new, |peer| peer.0.to_string())
    };
    let swallow = |request: Request<axum::body::Body>| async move {
        match request.into_body().collect().await {
            Ok(body) => format!("{} bytes", body.to_bytes().len()),
            Err(error) => format!("{:?}", find(&error)),
        }
    };
    let slow = || async {
        axum::body::Body::new(StreamBody::new(stream::once(Box::pin(async {
            sleep(Duration::from_mins(1)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        }))))
    };
    Router::new()
        .route("/slow", get(slow))
        .route("/peer", get(peer))
        .route("/endless", get(endless))
        .route("/hang", get(hang))
        .route("/put", put(swallow))
}

/// Whether a stall is among an error's causes.
fn find(mut error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    loop {
        if let Some(BodyError::Stalled) = error.downcast_ref() {
            return Some("stalled");
        }
        error = error.source()?;
    }
}

/// One connection in memory, on which time is a parameter.
struct Line {
    io: DuplexStream,
    trigger: Trigger,
    made: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

fn dial() -> Line {
    let (io, far) = duplex(8 * 1024);
    let (trigger, shutdown) = channel();
    let (made, metrics) = (Arc::new(AtomicUsize::new(0)), Arc::new(Metrics::new()));
    let host = Host {
        peer: PEER,
        bounds: Arc::new(bounds()),
        metrics: Arc::clone(&metrics),
        shutdown,
        service: service(Arc::clone(&made)),
        streams: Streams {
            cores: Handle::current(),
            idle: stream_idle(&bounds()),
            metrics: Arc::clone(&metrics),
        },
    };
    let pace = Pace::new(None);
    drop(tokio::spawn(
        host.drive(PacedIo::new(far, Arc::clone(&pace)), pace),
    ));
    Line {
        io,
        trigger,
        made,
        metrics,
    }
}

impl Line {
    /// Asks for a path; `more` are further header lines.
    async fn get(&mut self, path: &str, more: &str) {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n"))
            .await;
    }

    async fn say(&mut self, text: &str) {
        self.io
            .write_all(text.as_bytes())
            .await
            .expect("the line is open");
    }

    /// Everything until the other side hangs up, and how long that took.
    async fn rest(&mut self) -> (String, Duration) {
        let begin = Instant::now();
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ended = self.io.read_to_end(&mut bytes).await.is_ok();
        (
            String::from_utf8_lossy(&bytes).into_owned(),
            begin.elapsed(),
        )
    }

    /// Exactly so many bytes.
    async fn take(&mut self, bytes: usize) -> bool {
        self.io.read_exact(&mut vec![0; bytes]).await.is_ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_its_peer() {
    let mut line = dial();
    line.get("/peer", CLOSE).await;
    assert!(line.rest().await.0.ends_with("127.0.0.1:4711"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let (said, after) = dial().rest().await;
    assert_eq!(said, "");
    assert!((5..=6).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_or_preface_that_trickles_in_earns_no_time() {
    for start in ["GET /peer HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n"] {
        let mut line = dial();
        let begin = Instant::now();
        for byte in start.as_bytes().chunks(1) {
            if line.io.write_all(byte).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{start}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_rest_between_requests_for_a_while() {
    let mut line = dial();
    for _ in 0..3 {
        line.get("/peer", "").await;
        sleep(Duration::from_secs(19)).await;
    }
    let (said, after) = line.rest().await;
    assert_eq!(said.matches("200 OK").count(), 3);
    assert!(after <= Duration::from_secs(2), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_beyond_the_bound_is_refused() {
    let mut line = dial();
    line.say(&format!(
        "GET /peer HTTP/1.1\r\na: {}\r\n\r\n",
        "x".repeat(5000)
    ))
    .await;
    assert!(line.take("HTTP/1.1 200 OK".len()).await);
    let mut line = dial();
    let (mut read, mut write) = tokio::io::split(line.io);
    let long = format!("GET /peer HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(64 * 1024));
    drop(tokio::spawn(async move {
        write.write_all(long.as_bytes()).await
    }));
    let mut head = [0; 12];
    read.read_exact(&mut head).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 431");
    line.io = duplex(1).0;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_and_holds_little() {
    let mut line = dial();
    line.get("/endless", "").await;
    sleep(Duration::from_secs(9)).await;
    let held = line.made.load(Ordering::SeqCst);
    assert!(
        held <= 256 * 1024,
        "{held} bytes for one stalled connection"
    );
    sleep(Duration::from_secs(3)).await;
    assert_eq!(line.metrics.connections_stalled.get(), 1);
    line.rest().await;
    assert_eq!(line.made.load(Ordering::SeqCst), held);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_that_progresses_is_not_cut() {
    let mut line = dial();
    line.get("/endless", "").await;
    for _ in 0..100 {
        assert!(line.take(1024).await);
        sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(line.metrics.connections_stalled.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn work_without_end_is_given_up() {
    let mut line = dial();
    line.get("/hang", CLOSE).await;
    let (said, after) = line.rest().await;
    assert!(
        said.starts_with("HTTP/1.1 503") && said.contains("retry-after: 1"),
        "{said}"
    );
    assert!(said.contains("<Code>ServiceUnavailable</Code>"), "{said}");
    assert_eq!(after.as_secs(), 30);
    assert_eq!(line.metrics.requests_timed_out.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_an_error_to_the_service() {
    let mut line = dial();
    line.say("PUT /put HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc")
        .await;
    let (said, after) = line.rest().await;
    assert!(said.contains("Some(\"stalled\")"), "{said}");
    assert_eq!(after.as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_progresses_arrives() {
    let mut line = dial();
    line.say("PUT /put HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 50\r\n\r\n")
        .await;
    for _ in 0..50 {
        sleep(Duration::from_secs(9)).await;
        line.say("x").await;
    }
    assert!(line.rest().await.0.contains("50 bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_is_an_error_to_the_service() {
    let mut line = dial();
    line.say("PUT /put HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        .await;
    line.io.shutdown().await.expect("shut down");
    assert!(!line.rest().await.0.contains("bytes"));
}

#[tokio::test(start_paused = true)]
async fn draining_lets_a_stream_run_and_stopping_cuts_it() {
    let mut line = dial();
    line.get("/endless", "").await;
    assert!(line.take(1024).await);
    line.trigger.drain();
    for _ in 0..50 {
        sleep(Duration::from_secs(1)).await;
        assert!(line.take(64 * 1024).await);
    }
    line.trigger.stop();
    let (_, after) = line.rest().await;
    assert_eq!(after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn draining_ends_a_connection_that_rests() {
    let mut line = dial();
    line.get("/peer", "").await;
    assert!(line.take(16).await);
    line.trigger.drain();
    assert_eq!(line.rest().await.1, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_the_gateway_is_not_cut() {
    let mut line = dial();
    line.get("/slow", CLOSE).await;
    let (said, after) = line.rest().await;
    assert!(said.contains("\r\n1\r\nx\r\n0\r\n"), "{said}");
    assert_eq!(after.as_secs(), 60);
}

// What s3s asks of a request's body, and what its answer's body is asked here.
static_assertions::assert_impl_all!(RequestBody: Send, Sync, Unpin);
static_assertions::assert_impl_all!(s3s::Body: Send, Unpin, Body<Data = Bytes>);

#[tokio::test(start_paused = true)]
async fn requests_are_counted_in_words_of_the_program() {
    let mut line = dial();
    line.say("PUT /put HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    line.say("SECRET /canary HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    line.rest().await;
    let text = line.metrics.text().expect("encodes");
    for metric in [
        r#"requests_total{operation="PUT",status="2xx"} 1"#,
        r#"requests_total{operation="other",status="4xx"} 1"#,
        "received_bytes_total 3",
        "sent_bytes_total 7",
        "streams 0",
    ] {
        assert!(text.contains(metric), "{metric} is not in {text}");
    }
    assert!(!text.contains("SECRET") && !text.contains("canary"));
}

/// A listener on a real socket.
struct Served {
    address: SocketAddr,
    trigger: Trigger,
    task: tokio::task::JoinHandle<()>,
}

async fn serve(tls: Option<Arc<Tls>>) -> Served {
    let (trigger, shutdown) = channel();
    let any = SocketAddr::new(PEER.ip(), 0);
    let listener = Listener::bind(any, tls, bounds(), Arc::new(Metrics::new())).await;
    let listener = listener.expect("bound");
    let address = listener.address().expect("an address");
    let task = tokio::spawn(listener.serve(service(Arc::default()), shutdown));
    Served {
        address,
        trigger,
        task,
    }
}

async fn ask<T: AsyncRead + AsyncWrite + Unpin>(io: &mut T) -> bool {
    let asked = io.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut head = [0; 15];
    asked.is_ok() && io.read_exact(&mut head).await.is_ok() && &head == b"HTTP/1.1 200 OK"
}

async fn secure(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn beyond_the_bound_a_connection_waits_for_another_to_end() {
    let served = serve(None).await;
    let mut streams = Vec::new();
    for _ in 0..bounds().connections_max {
        let mut stream = TcpStream::connect(served.address).await.expect("connected");
        assert!(ask(&mut stream).await);
        streams.push(stream);
    }
    let mut late = TcpStream::connect(served.address)
        .await
        .expect("in the queue");
    let waits = timeout(Duration::from_millis(100), ask(&mut late)).await;
    assert!(waits.is_err(), "it was served beyond the bound");
    streams.clear();
    let mut head = [0; 15];
    late.read_exact(&mut head).await.expect("its turn has come");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn the_listener_ends_with_its_last_connection() {
    let served = serve(None).await;
    let mut stream = TcpStream::connect(served.address).await.expect("connected");
    assert!(ask(&mut stream).await);
    served.trigger.drain();
    served.task.await.expect("it returns");
    assert!(
        TcpStream::connect(served.address).await.is_err(),
        "it still listens"
    );
}

#[tokio::test]
async fn the_listener_waits_for_a_stream_that_runs() {
    let mut served = serve(None).await;
    let mut stream = TcpStream::connect(served.address).await.expect("connected");
    let asked = stream
        .write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(asked.is_ok() && stream.read_exact(&mut [0; 1024]).await.is_ok());
    served.trigger.drain();
    let early = timeout(Duration::from_millis(100), &mut served.task).await;
    assert!(early.is_err(), "it left a stream behind");
    drop(stream);
    served.task.await.expect("it returns");
}

#[tokio::test]
async fn a_listener_that_was_stopped_leaves_no_request_behind() {
    struct Running(Arc<AtomicUsize>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let running = Arc::new(AtomicUsize::new(0));
    let (count, started) = (Arc::clone(&running), Arc::new(tokio::sync::Notify::new()));
    let begun = Arc::clone(&started);
    let service = tower::service_fn(move |_request: Request<RequestBody>| {
        count.fetch_add(1, Ordering::SeqCst);
        begun.notify_one();
        let guard = Running(Arc::clone(&count));
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok(Response::new(Full::<Bytes>::default()))
        }
    });
    let (trigger, shutdown) = channel();
    let any = SocketAddr::new(PEER.ip(), 0);
    let listener = Listener::bind(any, None, bounds(), Arc::new(Metrics::new())).await;
    let listener = listener.expect("bound");
    let stream = TcpStream::connect(listener.address().expect("an address")).await;
    let task = tokio::spawn(listener.serve(service, shutdown));
    let mut client = http2(stream.expect("connected")).await;
    drop(tokio::spawn(client.send_request(asks("/"))));
    started.notified().await;
    trigger.stop();
    task.await.expect("it returns");
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_renewed_certificate_is_served_and_no_connection_is_dropped() {
    let pair = Pair::new();
    let first = pair.renew();
    let tls = Arc::new(pair.load(TlsVersion::V13).expect("loads"));
    let served = serve(Some(Arc::clone(&tls))).await;
    let v13 = &rustls::version::TLS13;
    let mut old = secure(served.address, &first, v13).await.expect("trusted");
    assert!(ask(&mut old).await);
    let second = pair.renew();
    assert!(matches!(tls.reload(), Ok(true)));
    assert!(
        secure(served.address, &first, v13).await.is_err(),
        "the old one is still served"
    );
    let mut new = secure(served.address, &second, v13).await.expect("trusted");
    assert!(ask(&mut new).await);
    old.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("open");
    let mut rest = Vec::new();
    old.read_to_end(&mut rest).await.expect("closed cleanly");
    assert!(String::from_utf8_lossy(&rest).contains("200 OK"));
    drop(served.trigger);
}

#[tokio::test]
async fn plain_http_on_a_port_that_speaks_tls_is_told_so() {
    let pair = Pair::new();
    let served = serve(Some(Arc::new(pair.load(TlsVersion::V13).expect("loads")))).await;
    let mut stream = TcpStream::connect(served.address).await.expect("connected");
    stream.write_all(b"GET").await.expect("sent");
    let mut said = String::new();
    // The rest of the request was never read: a reset may follow the answer.
    let _ended = stream.read_to_string(&mut said).await.is_ok();
    assert!(
        said.starts_with("HTTP/1.1 400") && said.contains("TLS"),
        "{said}"
    );
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_when_asked_for() {
    let pair = Pair::new();
    let trusted = pair.renew();
    for (oldest, spoken) in [(TlsVersion::V13, false), (TlsVersion::V12, true)] {
        let served = serve(Some(Arc::new(pair.load(oldest).expect("loads")))).await;
        let tried = secure(served.address, &trusted, &rustls::version::TLS12).await;
        assert_eq!(tried.is_ok(), spoken, "{oldest:?}");
        drop(served.trigger);
    }
}
