//! The connections to the store: bounded in number, reused last in first out, cut when dropped.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::config::S3StoreConfig;
use super::outgoing::{Outgoing, Progress, Upload};
use super::retry::{Again, Refusal};
use super::wire::Dialer;
use crate::store::StoreError;
use crate::types::limits::STORE_CHUNK_BYTES;

/// How long an idle connection is kept: shorter than the time-outs of common stores, so that they
/// rarely close one that is just being taken.
const IDLE_KEPT: Duration = Duration::from_secs(15);

/// How patient the client is.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) connect: Duration,
    pub(super) header: Duration,
    pub(super) idle: Duration,
}

/// All connections to one store.
pub(super) struct Pool {
    dialer: Dialer,
    timing: Timing,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

/// A connection and the task that drives it.
struct Line {
    sender: http1::SendRequest<Outgoing>,
    driver: JoinHandle<()>,
    /// Bytes that the system took for sending.
    sent: Arc<AtomicU64>,
}

impl Drop for Line {
    /// Cuts the connection: what was half sent must not be completed by anyone.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection in use. **Dropped without [`Link::release`], it is cut.**
pub(super) struct Link {
    line: Line,
    reused: bool,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Link {
    /// Gives the connection back after an answer was read to its end.
    pub(super) fn release(self) {
        let Self { line, pool, .. } = self;
        let since = Instant::now();
        let mut idle = pool.idle();
        idle.push(Idle { line, since });
        // The oldest lies at the bottom and is the last to be taken.
        if idle
            .first()
            .is_some_and(|old| since.duration_since(old.since) > IDLE_KEPT)
        {
            idle.remove(0);
        }
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
            idle: Mutex::default(),
        }
    }

    pub(super) const fn timing(&self) -> Timing {
        self.timing
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Outgoing>,
        upload: &Upload,
    ) -> Result<(Link, Response<Incoming>), Refusal> {
        let mut link = self.link().await?;
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
            if let Ok(answer) = timeout(patience, answer.as_mut()).await {
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
    async fn link(self: &Arc<Self>) -> Result<Link, Refusal> {
        let waiting = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = timeout(self.timing.header, waiting).await else {
            // All connections are in use and stay so.
            return Err(Refusal::last(StoreError::Throttled));
        };
        let (line, reused) = match self.take_idle().await {
            Some(line) => (line, true),
            None => (self.dial().await?, false),
        };
        Ok(Link {
            line,
            reused,
            pool: Arc::clone(self),
            _permit: permit,
        })
    }

    async fn take_idle(&self) -> Option<Line> {
        loop {
            let Idle { mut line, since } = self.idle().pop()?;
            if since.elapsed() > IDLE_KEPT || line.sender.is_closed() {
                continue;
            }
            if let Ok(Ok(())) = timeout(self.timing.connect, line.sender.ready()).await {
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
            .max_buf_size(STORE_CHUNK_BYTES)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|e| Refusal::failed(&chain(&e), Again::Later))?;
        let driver = tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %chain(&e), "a connection to the store ended");
            }
        });
        Ok(Line {
            sender,
            driver,
            sent,
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
pub(super) fn chain(error: &hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
