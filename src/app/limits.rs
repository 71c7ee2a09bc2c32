//! Bounds on one request: on a body that makes no progress, and on work that takes too long.
//!
//! A transfer that makes progress has no time-out, however long it takes (UP-3).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config;
use crate::ops::Metrics;

/// The listener's bounds; what each is for stands in `docs/configuration.md`.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections open at once.
    pub connections_max: u32,
    /// Streams on one HTTP/2 connection.
    pub streams_max: u32,
    /// Bytes of a request's head; also of a connection's read and write buffer.
    pub header_bytes_max: usize,
    /// Until the first request's head is complete.
    pub header_timeout: Duration,
    /// Between requests.
    pub keep_alive: Duration,
    /// Without progress of a transfer.
    pub idle_timeout: Duration,
    /// Until an answer's head, while the request's body makes no progress.
    pub request_time: Duration,
}

impl Bounds {
    /// The bounds of the listener for health and metrics: few clients, short answers.
    #[must_use]
    pub fn of_ops() -> Self {
        Self {
            connections_max: 64,
            streams_max: 8,
            header_bytes_max: 16 * 1024,
            header_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(10),
            request_time: Duration::from_secs(10),
        }
    }
}

impl From<&config::Limits> for Bounds {
    fn from(limits: &config::Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            streams_max: limits.connection_streams_max,
            header_bytes_max: limits.header_bytes_max.get(),
            header_timeout: limits.header_timeout,
            keep_alive: limits.keep_alive,
            idle_timeout: limits.idle_timeout,
            request_time: limits.request_time,
        }
    }
}

/// Why a request's body broke off. At fault: the client, or the way to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// No byte arrived within the bound.
    #[error("the client sent no byte within the time allowed")]
    Stalled,
    /// The connection broke or its framing is wrong.
    #[error("the client's body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a request's body fares, for whoever bounds the request's time.
#[derive(Debug)]
pub struct BodyProgress {
    begin: Instant,
    last_ms: AtomicU64,
    waits: AtomicBool,
}

impl BodyProgress {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            last_ms: AtomicU64::new(0),
            waits: AtomicBool::new(false),
        })
    }

    fn touch(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
        if !waits {
            self.last_ms
                .store(millis(self.begin.elapsed()), Ordering::Relaxed);
        }
    }

    /// When the last byte arrived; now, where the client is waited for and the body's own bound
    /// counts.
    fn last(&self) -> Instant {
        if self.waits.load(Ordering::Relaxed) {
            return Instant::now();
        }
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.begin.checked_add(last).unwrap_or(self.begin)
    }
}

/// Saturating; 584 million years fit.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A request's body that errs when no byte arrives within a bound while it is asked for bytes.
pub struct ProgressBody<B> {
    inner: B,
    idle: Duration,
    /// None for an empty body, so that a small GET allocates nothing.
    progress: Option<Arc<BodyProgress>>,
    /// Made when the body first has to be waited for: most small bodies never are.
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when no byte has come, while one is waited for.
    waits: Option<Instant>,
    metrics: Option<Arc<Metrics>>,
}

impl<B: Body> ProgressBody<B> {
    /// Bounds a body.
    pub fn new(inner: B, idle: Duration) -> Self {
        let progress = (!inner.is_end_stream()).then(BodyProgress::new);
        Self {
            inner,
            idle,
            progress,
            timer: None,
            waits: None,
            metrics: None,
        }
    }

    /// A view of its progress; none where the body is empty.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<BodyProgress>> {
        self.progress.as_ref().map(Arc::clone)
    }

    /// Counts its bytes.
    #[must_use]
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    fn count(&self, frame: &Frame<Bytes>) {
        if let (Some(metrics), Some(data)) = (&self.metrics, frame.data_ref()) {
            metrics
                .received_bytes
                .inc_by(u64::try_from(data.len()).unwrap_or_default());
        }
    }

    fn touch(&self, waits: bool) {
        if let Some(progress) = &self.progress {
            progress.touch(waits);
        }
    }

    /// Whether the bound has passed; else the task is woken when it may have. The timer is set
    /// anew when it fires, not for each wait: a fast body waits thousands of times.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waits.is_none() {
            self.touch(true);
        }
        let since = *self.waits.get_or_insert_with(Instant::now);
        let deadline = since.checked_add(self.idle).unwrap_or(since);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<B> Body for ProgressBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.waits = None;
            self.touch(false);
            if let Some(Ok(frame)) = &frame {
                self.count(frame);
            }
            return Poll::Ready(frame.map(|f| f.map_err(|e| BodyError::Broken(e.into()))));
        }
        self.poll_stalled(cx)
            .map(|()| Some(Err(BodyError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Runs `work` until it is done, or until `time` has passed since it began or since the request's
/// body last made progress: then it is dropped and there is no answer.
pub(super) async fn within<T>(
    time: Duration,
    body: Option<Arc<BodyProgress>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let now = Instant::now();
    let mut timer = std::pin::pin!(sleep_until(now.checked_add(time)?));
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = &mut timer => {
                let last = body.as_ref().map_or(now, |body| body.last().max(now));
                let deadline = last.checked_add(time)?;
                if deadline <= Instant::now() {
                    return None;
                }
                timer.as_mut().reset(deadline);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// A body of single bytes, each after the wait given in seconds.
    fn body(waits: &'static [u64]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames = stream::unfold(waits.iter(), |mut waits| async {
            sleep(Duration::from_secs(*waits.next()?)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), waits))
        });
        StreamBody::new(Box::pin(frames))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_that_progresses_has_no_bound() {
        let slow = ProgressBody::new(body(&[9; 100]), IDLE);
        let bytes = slow.collect().await.expect("whole").to_bytes();
        assert_eq!(bytes.len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_errs_in_time() {
        let start = Instant::now();
        let stalls = ProgressBody::new(body(&[1, 11]), IDLE);
        assert!(matches!(stalls.collect().await, Err(BodyError::Stalled)));
        assert_eq!(start.elapsed(), Duration::from_secs(11));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_rests_is_not_the_clients_fault() {
        let mut ready = ProgressBody::new(body(&[0, 0]), IDLE);
        assert!(ready.frame().await.is_some());
        sleep(Duration::from_mins(1)).await;
        assert!(matches!(ready.frame().await, Some(Ok(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_a_body_is_bounded() {
        let late = sleep(Duration::from_secs(11));
        assert_eq!(within(IDLE, None, late).await, None);
        let early = sleep(Duration::from_secs(9));
        assert_eq!(within(IDLE, None, early).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_on_a_body_that_progresses_is_not_bounded() {
        let slow = ProgressBody::new(body(&[9; 50]), IDLE);
        let progress = slow.progress();
        assert!(within(IDLE, progress, slow.collect()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_client_has_the_bodys_own_bound() {
        let stalls = ProgressBody::new(body(&[1, 500]), Duration::from_mins(1));
        let progress = stalls.progress();
        let outcome = within(IDLE, progress, stalls.collect()).await;
        assert!(matches!(outcome, Some(Err(BodyError::Stalled))));
    }

    #[tokio::test(start_paused = true)]
    async fn work_after_the_body_is_bounded_again() {
        let start = Instant::now();
        let slow = ProgressBody::new(body(&[9; 3]), IDLE);
        let progress = slow.progress();
        let work = async {
            assert!(slow.collect().await.is_ok());
            std::future::pending::<()>().await;
        };
        assert_eq!(within(IDLE, progress, work).await, None);
        assert_eq!(start.elapsed(), Duration::from_secs(3 * 9 + 10));
    }
}
