//! Whose turn it is on one connection, and since when: what cuts a client that reads nothing,
//! asks nothing or finishes no request, and never one that is slow.
//!
//! Reading from the socket counts for nothing here: bytes that trickle in earn no time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::limits::{Bounds, millis};
use super::seat::Seat;
use crate::ops::Metrics;

/// One connection's state. The counters are hints for a timer: relaxed order is enough.
#[derive(Debug)]
pub(super) struct Pace {
    begin: Instant,
    /// When anything last progressed, in milliseconds since `begin`.
    last_ms: AtomicU64,
    /// Bytes of answers that the socket has not taken: while there are none, what it takes beside
    /// them is no progress.
    owed: AtomicU64,
    /// Requests whose answer has not been handed over whole.
    open: AtomicUsize,
    /// Of those, the ones in which the client waits for the gateway.
    ours: AtomicUsize,
    /// The socket takes no more bytes.
    blocked: AtomicBool,
    /// A request has been seen.
    served: AtomicBool,
    /// The connection's place. It is given back when the socket and every exchange are gone, the
    /// HTTP/2 streams too that run in tasks of their own: then nothing of it is left to record.
    _permit: Option<OwnedSemaphorePermit>,
}

/// What the bounds say of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then.
    Until(Instant),
    /// No request came within the bound.
    Idle,
    /// The client takes nothing of an answer.
    Stalled,
}

impl Pace {
    pub(super) fn new(permit: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            last_ms: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            served: AtomicBool::new(false),
            _permit: permit,
        })
    }

    fn touch(&self) {
        self.last_ms
            .store(millis(self.begin.elapsed()), Ordering::Relaxed);
    }

    /// So many bytes of answers are on their way to the socket.
    pub(super) fn owe(&self, bytes: u64) {
        self.owed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many fewer are: the socket took them, or they were not taken on.
    pub(super) fn owe_less(&self, bytes: u64) {
        // One task writes to a connection, so nothing comes between the two.
        let owed = self.owed.load(Ordering::Relaxed);
        self.owed
            .store(owed.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// The socket took so many bytes. TLS makes them a few more than the answers that are owed, so
    /// the last few of an answer may count for nothing.
    fn took(&self, bytes: usize) {
        if self.owed.load(Ordering::Relaxed) > 0 {
            self.owe_less(u64::try_from(bytes).unwrap_or(u64::MAX));
            self.touch();
        }
    }

    /// Judges the connection now.
    pub(super) fn judge(&self, bounds: &Bounds) -> Verdict {
        let open = self.open.load(Ordering::Relaxed) > 0;
        let ours = self.ours.load(Ordering::Relaxed) > 0;
        let now = Instant::now();
        if open && ours && !self.blocked.load(Ordering::Relaxed) {
            return later(now, bounds.idle_timeout);
        }
        let bound = if open {
            bounds.idle_timeout
        } else if self.served.load(Ordering::Relaxed) {
            bounds.keep_alive
        } else {
            bounds.header_timeout
        };
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        match later(self.begin, last.saturating_add(bound)) {
            Verdict::Until(deadline) if deadline > now => Verdict::Until(deadline),
            Verdict::Until(_) if open => Verdict::Stalled,
            Verdict::Until(_) | Verdict::Idle | Verdict::Stalled => Verdict::Idle,
        }
    }
}

/// The bounds are at most days, so the sum exists.
fn later(from: Instant, wait: Duration) -> Verdict {
    Verdict::Until(from.checked_add(wait).unwrap_or(from))
}

/// One request from its head to the last byte of its answer. It begins with the gateway's turn.
pub(super) struct Exchange {
    pace: Arc<Pace>,
    ours: bool,
}

impl Exchange {
    pub(super) fn begin(pace: &Arc<Pace>) -> Self {
        pace.served.store(true, Ordering::Relaxed);
        pace.open.fetch_add(1, Ordering::Relaxed);
        pace.ours.fetch_add(1, Ordering::Relaxed);
        pace.touch();
        Self {
            pace: Arc::clone(pace),
            ours: true,
        }
    }

    fn turn(&mut self, ours: bool) {
        if self.ours != ours {
            self.ours = ours;
            if ours {
                self.pace.ours.fetch_add(1, Ordering::Relaxed);
            } else {
                self.pace.ours.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.turn(false);
        self.pace.touch();
        self.pace.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body that says whose turn it is: between two frames the client's, while a frame is
/// being made the gateway's.
pub(super) struct PacedBody<B> {
    inner: B,
    exchange: Exchange,
    sending: Sending,
    /// That of the stream, on HTTP/2.
    seat: Option<Arc<Seat>>,
    /// How long its pieces are at most, if they are cut.
    piece_max: Option<usize>,
    /// What was cut off and waits for its turn.
    rest: Option<Bytes>,
}

/// Counts an answer while it is sent, and its bytes.
struct Sending(Arc<Metrics>);

impl Sending {
    fn begin(metrics: Arc<Metrics>) -> Self {
        metrics.streams.inc();
        Self(metrics)
    }

    fn count(&self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            let bytes = u64::try_from(data.len()).unwrap_or_default();
            self.0.sent_bytes.inc_by(bytes);
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.streams.dec();
    }
}

impl<B> PacedBody<B> {
    pub(super) fn new(inner: B, mut exchange: Exchange, metrics: Arc<Metrics>) -> Self {
        exchange.turn(false);
        exchange.pace.touch();
        let sending = Sending::begin(metrics);
        let seat = Seat::current();
        if let Some(seat) = &seat {
            seat.turn(false);
        }
        Self {
            inner,
            exchange,
            sending,
            seat,
            piece_max: None,
            rest: None,
        }
    }

    /// Hands the answer on in pieces of so many bytes at most.
    pub(super) const fn in_pieces(mut self, piece_max: Option<usize>) -> Self {
        self.piece_max = piece_max;
        self
    }

    /// Cuts off what is beyond a piece.
    fn cut(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let Some(most) = self.piece_max else {
            return frame;
        };
        match frame.into_data() {
            Ok(mut data) if data.len() > most => {
                let piece = data.split_to(most);
                self.rest = Some(data);
                Frame::data(piece)
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for PacedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = match self.rest.take() {
            Some(rest) => Poll::Ready(Some(Ok(Frame::data(rest)))),
            None => Pin::new(&mut self.inner).poll_frame(cx),
        };
        let polled = polled.map_ok(|frame| self.cut(frame));
        self.exchange.turn(polled.is_pending());
        if let Some(seat) = &self.seat {
            seat.turn(polled.is_pending());
        }
        if polled.is_ready() {
            self.exchange.pace.touch();
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.sending.count(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.inner.size_hint();
        if let Some(rest) = &self.rest {
            let rest = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            let upper = hint.upper().map(|upper| upper.saturating_add(rest));
            hint.set_lower(hint.lower().saturating_add(rest));
            if let Some(upper) = upper {
                hint.set_upper(upper);
            }
        }
        hint
    }
}

/// A socket that tells when the other side takes bytes.
pub(super) struct PacedIo<T> {
    inner: T,
    pace: Arc<Pace>,
}

impl<T> PacedIo<T> {
    pub(super) const fn new(inner: T, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.pace
            .blocked
            .store(polled.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(bytes @ 1..)) = polled {
            self.pace.took(*bytes);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PacedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, out)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PacedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::advance;

    use super::super::answers::AnswersIo;
    use super::*;

    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PONG: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn bounds() -> Bounds {
        Bounds {
            connections_max: 1,
            streams_max: 1,
            header_bytes_max: 65_536,
            header_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(10),
            request_time: Duration::from_secs(10),
        }
    }

    async fn after(pace: &Pace, seconds: u64) -> Verdict {
        advance(Duration::from_secs(seconds)).await;
        pace.judge(&bounds())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_idle_soon() {
        let pace = Pace::new(None);
        assert!(matches!(after(&pace, 4).await, Verdict::Until(_)));
        assert_eq!(after(&pace, 2).await, Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asked_once_may_rest() {
        let pace = Pace::new(None);
        drop(Exchange::begin(&pace));
        assert!(matches!(after(&pace, 19).await, Verdict::Until(_)));
        assert_eq!(after(&pace, 2).await, Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn the_gateways_turn_has_no_bound_here() {
        let pace = Pace::new(None);
        let _exchange = Exchange::begin(&pace);
        assert!(matches!(after(&pace, 1000).await, Verdict::Until(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_frame_stalls() {
        let pace = Pace::new(None);
        let body = http_body_util::Full::new(Bytes::from_static(b"x"));
        let _body = PacedBody::new(body, Exchange::begin(&pace), Arc::default());
        assert!(matches!(after(&pace, 9).await, Verdict::Until(_)));
        assert_eq!(after(&pace, 2).await, Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_socket_stalls_even_in_the_gateways_turn() {
        let pace = Pace::new(None);
        let _exchange = Exchange::begin(&pace);
        let (near, _far) = tokio::io::duplex(4);
        let mut io = PacedIo::new(near, Arc::clone(&pace));
        let write = tokio::spawn(async move { io.write_all(b"more than four").await });
        tokio::task::yield_now().await;
        assert_eq!(after(&pace, 11).await, Verdict::Stalled);
        write.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_bytes_slowly_does_not_stall() {
        let pace = Pace::new(None);
        let body = http_body_util::Full::new(Bytes::from_static(b"x"));
        let _body = PacedBody::new(body, Exchange::begin(&pace), Arc::default());
        let (near, _far) = tokio::io::duplex(64);
        let io = PacedIo::new(near, Arc::clone(&pace));
        let mut io = AnswersIo::new(io, Arc::clone(&pace));
        for _ in 0..20 {
            io.write_all(b"x").await.expect("room");
            assert!(matches!(after(&pace, 9).await, Verdict::Until(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_beside_answers_is_no_progress() {
        let pace = Pace::new(None);
        let body = http_body_util::Full::new(Bytes::from_static(b"x"));
        let _body = PacedBody::new(body, Exchange::begin(&pace), Arc::default());
        let (near, _far) = tokio::io::duplex(1024);
        let io = PacedIo::new(near, Arc::clone(&pace));
        let mut io = AnswersIo::new(io, Arc::clone(&pace));
        io.write_all(&SETTINGS).await.expect("room");
        io.write_all(&PONG).await.expect("room");
        assert!(matches!(after(&pace, 9).await, Verdict::Until(_)));
        io.write_all(&PONG).await.expect("room");
        assert_eq!(after(&pace, 2).await, Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn the_counters_return_to_nothing() {
        let pace = Pace::new(None);
        let body = http_body_util::Full::new(Bytes::from_static(b"x"));
        drop(PacedBody::new(body, Exchange::begin(&pace), Arc::default()));
        drop(Exchange::begin(&pace));
        assert_eq!(pace.open.load(Ordering::Relaxed), 0);
        assert_eq!(pace.ours.load(Ordering::Relaxed), 0);
    }
}
