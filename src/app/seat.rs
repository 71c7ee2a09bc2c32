//! One stream of HTTP/2 whose client takes nothing of its answer: it ends by itself, whatever else
//! is taken on its connection.
//!
//! A connection's own pace cannot tell: each byte that is taken of any stream is progress of it.
//! The library asks a body for nothing while the client's window is closed, so what bounds a stream
//! runs beside it, in the stream's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::limits::millis;

/// While it is the gateway's turn.
const OURS: u64 = u64::MAX;

tokio::task_local! {
    static SEAT: Arc<Seat>;
}

/// Whose turn it is on one stream, and since when. A hint for a timer: relaxed order is enough.
#[derive(Debug)]
pub(super) struct Seat {
    begin: Instant,
    since_ms: AtomicU64,
}

impl Seat {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            since_ms: AtomicU64::new(OURS),
        })
    }

    /// That of the stream whose task this is; none on a connection of HTTP/1.
    pub(super) fn current() -> Option<Arc<Self>> {
        SEAT.try_with(Arc::clone).ok()
    }

    /// A piece of the answer is being made, or was handed on and waits for the client.
    pub(super) fn turn(&self, ours: bool) {
        let since = if ours {
            OURS
        } else {
            millis(self.begin.elapsed())
        };
        self.since_ms.store(since, Ordering::Relaxed);
    }

    /// Until the client has taken nothing for so long.
    async fn stalled(&self, idle: Duration) {
        loop {
            let now = Instant::now();
            let since = match self.since_ms.load(Ordering::Relaxed) {
                OURS => now,
                since => later(self.begin, Duration::from_millis(since)),
            };
            let end = later(since, idle);
            if end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// The bounds are at most days, so the sum exists.
fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait).unwrap_or(from)
}

/// Runs a stream to its end, or until its client has taken nothing for so long; whether it came to
/// its end.
pub(super) async fn seated(stream: impl Future, idle: Duration) -> bool {
    let seat = Seat::new();
    tokio::select! {
        biased;
        _ended = SEAT.scope(Arc::clone(&seat), stream) => true,
        () = seat.stalled(idle) => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn turn(ours: bool) {
        Seat::current().expect("a stream's task").turn(ours);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_taken_ends_and_one_that_is_made_does_not() {
        let made = async {
            sleep(Duration::from_secs(1_000)).await;
            turn(false);
            sleep(Duration::from_secs(9)).await;
            turn(false);
            sleep(Duration::from_secs(9)).await;
            turn(true);
            sleep(Duration::from_mins(1)).await;
        };
        assert!(seated(made, IDLE).await);
        let begin = Instant::now();
        let left = async {
            turn(false);
            sleep(Duration::from_secs(1_000)).await;
        };
        assert!(!seated(left, IDLE).await);
        assert_eq!(begin.elapsed(), IDLE);
        assert!(Seat::current().is_none());
    }
}
