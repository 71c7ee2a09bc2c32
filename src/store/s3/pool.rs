//! The connections to the store: bounded in number, reused last in first out, cut when dropped.

use std::error::Error;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::runtime::{self, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::config::S3StoreConfig;
use super::outgoing::{Outgoing, Progress, Upload};
use super::parking::{LEFT_ALONE, Parking};
use super::retry::{Again, Refusal};
use super::wire::{Dialer, Wire};
use crate::store::StoreError;
use crate::types::limits::STORE_WIRE_BUFFER_BYTES;

/// How long an idle connection is kept: shorter than the time-outs of common stores, so that they
/// rarely close one that is just being taken.
const IDLE_KEPT: Duration = Duration::from_secs(15);

/// How patient the client is.
struct Timing {
    connect: Duration,
    header: Duration,
    idle: Duration,
}

/// All connections to one store.
pub(super) struct Pool {
    dialer: Dialer,
    timing: Timing,
    permits: Arc<Semaphore>,
    /// How many there are.
    most: usize,
    idle: Mutex<Vec<Idle>>,
    /// Those in the middle of an answer.
    pub(super) parking: Arc<Parking>,
}

struct Idle {
    line: Line,
    since: Instant,
}

type Connection = http1::Connection<TokioIo<Wire>, Outgoing>;

/// A connection. Whoever uses it drives it, in his own task: no other task has to be woken, and
/// nothing is read that nobody has asked for.
struct Line {
    sender: http1::SendRequest<Outgoing>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Connection>>>,
    /// Bytes that the system took for sending.
    sent: Arc<AtomicU64>,
    /// The runtime that hears of its events: whoever runs elsewhere is woken by another thread.
    home: runtime::Id,
}

impl Line {
    /// Moves what can be moved.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if let Poll::Ready(end) = connection.as_mut().poll(cx) {
            // Whoever waits for an answer or a body is told by hyper itself.
            if let Err(e) = end {
                tracing::debug!(error = %chain(&e), "a connection to the store ended");
            }
            self.connection = None;
        }
    }

    /// Whether an idle connection still is one: one look tells if the store has closed it.
    async fn usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }
}

/// A connection in use. **Dropped without [`Link::release`], it is cut**: what was half sent must
/// not be completed by anyone.
pub(super) struct Link {
    line: Line,
    reused: bool,
    /// What the current request sends.
    upload: Arc<Upload>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Link {
    /// The next bytes of an answer's body, never empty; `None` at its end.
    pub(super) async fn frame(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = poll_fn(|cx| {
                self.line.drive(cx);
                Pin::new(&mut *body).poll_frame(cx)
            });
            match timeout(self.pool.timing.idle, frame).await {
                Err(_elapsed) => return Err(Refusal::later(StoreError::Timeout)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => return Err(broken_body(&e)),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }

    /// Gives the connection back after an answer was read to its end. A store that answers before
    /// it has the whole request is not given the rest: that connection is cut.
    pub(super) fn release(self) {
        if !self.upload.is_sent() {
            return;
        }
        let Self { line, pool, .. } = self;
        let since = Instant::now();
        let mut idle = pool.idle();
        idle.push(Idle { line, since });
        // They lie in the order of their return, the oldest at the bottom, and are taken from the
        // top: what is too old is one run.
        let old = idle.partition_point(|kept| since.duration_since(kept.since) > IDLE_KEPT);
        idle.drain(..old);
    }
}

impl Pool {
    pub(super) fn new(dialer: Dialer, config: &S3StoreConfig) -> Self {
        Self {
            dialer,
            timing: Timing {
                connect: config.connect_timeout,
                header: config.header_timeout,
                idle: config.idle_timeout,
            },
            permits: Arc::new(Semaphore::new(config.connections_max)),
            most: config.connections_max,
            idle: Mutex::default(),
            parking: Arc::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Outgoing>,
        upload: &Arc<Upload>,
    ) -> Result<(Link, Response<Incoming>), Refusal> {
        let mut link = self.link(Arc::clone(upload)).await?;
        let sent = Arc::clone(&link.line.sent);
        let standing = || (upload.standing(), sent.load(Ordering::Relaxed));
        let mut answer = std::pin::pin!(link.line.sender.send_request(request));
        let answer = loop {
            let before = standing();
            let sending = upload.bytes() > 0 && before.0.progress != Progress::Done;
            let patience = if sending {
                self.timing.idle
            } else {
                self.timing.header
            };
            let answered = poll_fn(|cx| {
                link.line.drive(cx);
                answer.as_mut().poll(cx)
            });
            if let Ok(answer) = timeout(patience, answered).await {
                break answer;
            }
            let now = standing();
            let stuck = match now.0.progress {
                // The sender's slowness is not the store's.
                Progress::Waiting => false,
                Progress::Sending | Progress::Done => now == before,
                Progress::Aborted => true,
            };
            if stuck {
                return Err(Refusal::later(StoreError::Timeout));
            }
        };
        match answer {
            Ok(answer) => Ok((link, answer)),
            Err(error) => Err(self.broken(link.reused, upload, &error)),
        }
    }

    /// A connection that was idle, or a new one.
    async fn link(self: &Arc<Self>, upload: Arc<Upload>) -> Result<Link, Refusal> {
        let permit = self.permit().await?;
        let (line, reused) = match self.take_idle().await {
            Some(line) => (line, true),
            None => (self.dial().await?, false),
        };
        Ok(Link {
            line,
            reused,
            upload,
            pool: Arc::clone(self),
            _permit: permit,
        })
    }

    /// Leave to use a connection. Where there is none, one that is left alone is cut for it.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let mut waiting = std::pin::pin!(Arc::clone(&self.permits).acquire_owned());
        let begin = Instant::now();
        loop {
            self.parking.cut_longest();
            let left = self.timing.header.saturating_sub(begin.elapsed());
            match timeout(left.min(LEFT_ALONE), waiting.as_mut()).await {
                Ok(Ok(permit)) => return Ok(permit),
                Err(_elapsed) if begin.elapsed() < self.timing.header => {}
                // All connections are in use and stay so.
                Ok(Err(_)) | Err(_) => return Err(Refusal::last(StoreError::Throttled)),
            }
        }
    }

    /// An idle connection of this runtime's. Another's is taken only where there are so many that a
    /// further one would be too many.
    fn pop_idle(&self) -> Option<Idle> {
        let here = Handle::current().id();
        let mut idle = self.idle();
        let own = idle.iter().rposition(|kept| kept.line.home == here);
        let at = own.or_else(|| {
            idle.len()
                .checked_sub(1)
                .filter(|_| idle.len() >= self.most)
        })?;
        Some(idle.remove(at))
    }

    async fn take_idle(&self) -> Option<Line> {
        loop {
            let Idle { mut line, since } = self.pop_idle()?;
            if since.elapsed() <= IDLE_KEPT && line.usable().await {
                return Some(line);
            }
        }
    }

    async fn dial(&self) -> Result<Line, Refusal> {
        let sent = Arc::new(AtomicU64::new(0));
        let dialing = self.dialer.dial(Arc::clone(&sent));
        let wire = match timeout(self.timing.connect, dialing).await {
            Err(_elapsed) => return Err(Refusal::later(StoreError::Timeout)),
            Ok(Err(e)) => return Err(unreachable(&e)),
            Ok(Ok(wire)) => wire,
        };
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(STORE_WIRE_BUFFER_BYTES)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|e| Refusal::failed(&chain(&e), Again::Later))?;
        Ok(Line {
            sender,
            connection: Some(Box::pin(connection)),
            sent,
            home: Handle::current().id(),
        })
    }

    /// Words the end of a connection before an answer.
    fn broken(&self, reused: bool, upload: &Upload, error: &hyper::Error) -> Refusal {
        if upload.progress() == Progress::Aborted {
            return Refusal::last(StoreError::Aborted(crate::store::BodyAborted));
        }
        // A store that was restarted has closed all that were idle: do not try them one by one.
        let again = if reused {
            self.idle().clear();
            Again::AtOnce
        } else {
            Again::Later
        };
        Refusal::failed(&chain(error), again)
    }
}

/// The store cannot be reached; what the system says helps the operator.
fn unreachable(error: &io::Error) -> Refusal {
    let certificate = error
        .get_ref()
        .is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>);
    let again = if certificate {
        Again::Never
    } else {
        Again::Later
    };
    let reason = format!("no connection: {error}");
    Refusal::failed(&reason, again)
}

/// An error of hyper with its cause, which `Display` leaves out.
fn chain(error: &hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Words the end of a connection within a body.
fn broken_body(error: &hyper::Error) -> Refusal {
    // hyper's word for a body that ended in order, but before its announced length.
    let cause = error.source().and_then(|e| e.downcast_ref::<io::Error>());
    if cause.is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof) {
        Refusal::later(StoreError::Length)
    } else {
        Refusal::failed(&chain(error), Again::Later)
    }
}
