//! A TCP listener that serves HTTP/1.1 and HTTP/2 within bounds, plain or over TLS.
//!
//! Over the bound on connections nothing is accepted: further ones wait in the system's queue
//! until one ends. A stalled connection holds at most its read buffer, its write buffer (each
//! `header_bytes_max`) and one frame beyond them; the kernel sizes the socket's own buffers. A
//! stream of HTTP/2 that stalls is reset, whatever the others of its connection do.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Service, ServiceExt as _};

use super::answers::AnswersIo;
use super::crew::Crew;
use super::limits::{Bounds, ProgressBody, within};
use super::pace::{Exchange, Pace, PacedBody, PacedIo, Verdict};
use super::seat::{Seat, seated};
use super::shutdown::Shutdown;
use super::tls::Tls;
use crate::ops::{Metrics, Operation};

/// The first byte of every TLS handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// How long an idle connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What one HTTP/2 stream may send before it is read: four segments.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// What all streams of one HTTP/2 connection may send before they are read.
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits to be sent on one HTTP/2 stream: one segment.
const H2_SEND_BYTES_MAX: usize = 64 * 1024;
/// Pieces in which answers go to HTTP/2, as long as its frames: what a client must take of a stream
/// at a time, and what it may leave behind one that is over.
const H2_PIECE_BYTES: usize = 16 * 1024;
/// Streams that a client opened and reset before they were looked at (CVE-2023-44487).
const H2_RESETS_MAX: usize = 20;

/// The other side of the connection that a request came by; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The body of a request, as services get it.
pub type RequestBody = ProgressBody<Incoming>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A bound socket, before it serves.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    bounds: Arc<Bounds>,
    metrics: Arc<Metrics>,
    crew: Arc<Crew>,
}

impl Listener {
    /// Binds the address; without `tls` it will speak plain HTTP.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
        bounds: Bounds,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self {
            tcp,
            tls,
            bounds: Arc::new(bounds),
            metrics,
            crew: Arc::new(Crew::nobody()),
        })
    }

    /// The address that it is bound to; the port is the one that the system chose for port 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Lets a crew serve what is accepted, instead of the runtime that accepts.
    #[must_use]
    pub fn by(self, crew: Arc<Crew>) -> Self {
        Self { crew, ..self }
    }

    /// Serves until `shutdown` drains, and returns when the last connection has ended. Each
    /// request carries its [`PeerAddr`].
    pub async fn serve<S, B>(self, service: S, shutdown: Shutdown)
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let Self {
            tcp,
            tls,
            bounds,
            metrics,
            crew,
        } = self;
        let gate = Arc::new(Semaphore::new(permits(&bounds)));
        let streams = Handle::current();
        while let Some((stream, peer, permit)) = next(&tcp, &gate, &shutdown).await {
            let host = Host {
                peer,
                bounds: Arc::clone(&bounds),
                metrics: Arc::clone(&metrics),
                shutdown: shutdown.clone(),
                service: service.clone(),
                streams: Streams {
                    cores: streams.clone(),
                    idle: stream_idle(&bounds),
                    metrics: Arc::clone(&metrics),
                },
            };
            let tls = tls.clone();
            // It ends by `shutdown`; the permit says when.
            crew.serve(stream, move |stream| async move {
                let _counted = Counted::new(&host.metrics);
                host.welcome(stream, tls.as_deref(), Pace::new(Some(permit)))
                    .await;
            });
        }
        drop(tcp);
        let _all_gone = gate.acquire_many(bounds.connections_max).await.is_ok();
    }
}

fn permits(bounds: &Bounds) -> usize {
    usize::try_from(bounds.connections_max).unwrap_or(Semaphore::MAX_PERMITS)
}

/// The next connection; none when no more are to be taken.
async fn next(
    tcp: &TcpListener,
    gate: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accept = async {
        let permit = Arc::clone(gate).acquire_owned().await.ok()?;
        loop {
            match tcp.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, permit)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.draining() => None,
        guest = accept => guest,
    }
}

/// Counts a connection while it is open, however it ends.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

/// What serves one connection.
struct Host<S> {
    peer: SocketAddr,
    bounds: Arc<Bounds>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    service: S,
    streams: Streams,
}

/// Where the streams of HTTP/2 run: on all cores, since one connection may have many of them.
#[derive(Clone)]
struct Streams {
    cores: Handle,
    idle: Duration,
    metrics: Arc<Metrics>,
}

/// How long a stream may stall: a little longer than its connection, so that where nothing is taken
/// at all the connection goes as one.
fn stream_idle(bounds: &Bounds) -> Duration {
    let idle = bounds.idle_timeout;
    idle.saturating_add(idle / 4)
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let (idle, metrics) = (self.idle, Arc::clone(&self.metrics));
        // It ends with its connection, or by itself.
        drop(self.cores.spawn(async move {
            if !seated(stream, idle).await {
                metrics.streams_stalled.inc();
                tracing::info!("a client takes nothing of one stream; it is reset");
            }
        }));
    }
}

impl<S, B> Host<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Shakes hands where there is TLS, then serves.
    async fn welcome(self, stream: TcpStream, tls: Option<&Tls>, pace: Arc<Pace>) {
        let peer = self.peer;
        if let Err(error) = self.greet(stream, tls, pace).await {
            // At `debug`, because anyone on the network can cause it.
            tracing::debug!(%peer, %error, "a connection failed");
        }
    }

    async fn greet(
        self,
        mut stream: TcpStream,
        tls: Option<&Tls>,
        pace: Arc<Pace>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            self.drive(PacedIo::new(stream, Arc::clone(&pace)), pace)
                .await;
            return Ok(());
        };
        let handshake = async {
            let mut first = [0];
            stream.peek(&mut first).await?;
            if first != [TLS_HANDSHAKE] {
                refuse_plain_http(&mut stream).await?;
                return Err(io::Error::other("plain HTTP on a port that speaks TLS"));
            }
            tls.acceptor()
                .accept(PacedIo::new(stream, Arc::clone(&pace)))
                .await
        };
        let secure = tokio::select! {
            () = self.shutdown.draining() => return Ok(()),
            secure = timeout(self.bounds.header_timeout, handshake) => secure??,
        };
        self.drive(secure, pace).await;
        Ok(())
    }

    /// Serves until the connection ends or is to end.
    async fn drive<T>(self, io: T, pace: Arc<Pace>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let desk = Desk {
            peer: self.peer,
            bounds: Arc::clone(&self.bounds),
            metrics: Arc::clone(&self.metrics),
            pace: Arc::clone(&pace),
            service: self.service,
        };
        let service = service_fn(move |request| desk.clone().answer(request));
        let builder = builder(&self.bounds, self.streams);
        let io = TokioIo::new(AnswersIo::new(io, Arc::clone(&pace)));
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        let mut ending = false;
        let mut wake = Instant::now();
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %self.peer, %error, "a connection broke");
                    }
                    return;
                }
                () = self.shutdown.stopped() => return,
                () = self.shutdown.draining(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(wake) => match pace.judge(&self.bounds) {
                    Verdict::Until(then) => wake = then,
                    Verdict::Idle if !ending => {
                        ending = true;
                        connection.as_mut().graceful_shutdown();
                        wake = Instant::now().checked_add(GOODBYE).unwrap_or(wake);
                    }
                    Verdict::Idle => return,
                    Verdict::Stalled => {
                        self.metrics.connections_stalled.inc();
                        tracing::info!(peer = %self.peer, "a client takes nothing; it is cut");
                        return;
                    }
                },
            }
        }
    }
}

/// What answers the requests of one connection.
#[derive(Clone)]
struct Desk<S> {
    peer: SocketAddr,
    bounds: Arc<Bounds>,
    metrics: Arc<Metrics>,
    pace: Arc<Pace>,
    service: S,
}

impl<S, B> Desk<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Either<PacedBody<B>, Full<Bytes>>>, Infallible> {
        let exchange = Exchange::begin(&self.pace);
        let idle = self.bounds.idle_timeout;
        let method = request.method().clone();
        let piece_max = (request.version() == Version::HTTP_2).then_some(H2_PIECE_BYTES);
        let mut request =
            request.map(|body| ProgressBody::new(body, idle).counting(Arc::clone(&self.metrics)));
        request.extensions_mut().insert(PeerAddr(self.peer));
        request.extensions_mut().insert(self.peer);
        let progress = request.body().progress();
        let answer = self.service.oneshot(request);
        let begin = Instant::now();
        let answer = within(self.bounds.request_time, progress, answer).await;
        let answer = match answer {
            Some(Ok(answer)) => {
                let metrics = Arc::clone(&self.metrics);
                let paced = |body| PacedBody::new(body, exchange, metrics).in_pieces(piece_max);
                answer.map(|body| Either::Left(paced(body)))
            }
            Some(Err(never)) => match never {},
            None => {
                self.metrics.requests_timed_out.inc();
                tracing::warn!(peer = %self.peer, "a request took too long and was given up");
                if let Some(seat) = Seat::current() {
                    seat.turn(false);
                }
                too_long().map(Either::Right)
            }
        };
        let operation = answer.extensions().get::<Operation>();
        let operation = operation.map_or_else(|| word(&method), |operation| operation.0);
        self.metrics
            .request(operation, answer.status().as_u16(), begin.elapsed());
        Ok(answer)
    }
}

/// A method as a label: those of S3, and one word for all others, of which clients may invent any.
fn word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// The answer to a request that took longer than `limits.request_time`.
fn too_long() -> Response<Full<Bytes>> {
    const BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\
        ServiceUnavailable</Code><Message>The request took too long. Please try again.\
        </Message></Error>";
    let mut answer = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Says why a port that speaks TLS does not answer plain HTTP.
async fn refuse_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    const ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
        content-type: text/plain\r\n\r\nthis port speaks TLS: use https\n";
    stream.write_all(ANSWER.as_bytes()).await?;
    stream.shutdown().await
}

/// HTTP within bounds. [`Pace`] bounds time, so hyper's own timers stay off: they count a
/// connection that rests between requests as one that sends its head slowly.
fn builder(bounds: &Bounds, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(bounds.header_bytes_max)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(bounds.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(bounds.streams_max)
        .max_pending_accept_reset_streams(H2_RESETS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BYTES_MAX);
    builder
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
