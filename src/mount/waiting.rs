//! Requests that wait for the network: who waits can be ended meanwhile, and that it waits is said.
//!
//! The kernel waits for the answer to a request that was taken, whatever becomes of the process
//! that asked: not even SIGKILL ends it before. `fuser` passes on no word of a signal
//! (`FUSE_INTERRUPT`), so that each request that waits looks for itself.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::signals::{Pending, pending};
use crate::node::NodeError;

/// How long a request waits before it looks for signals, and between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits although its process was asked to end and is going to answer that itself: a
/// gateway that is restarted is back by then, and a mapping that is read has SIGBUS for an error.
const ASKED: Duration = Duration::from_secs(10);
/// From when on the wait is told.
const TOLD: Duration = Duration::from_secs(5);
/// A status beyond this, of a thread in too many groups, is not read whole.
const STATUS_BYTES_MAX: u64 = 1024 * 1024;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Halt {
    /// What it asked for cannot be had.
    Failed(NodeError),
    /// Who asked is to end.
    Interrupted,
}

impl From<NodeError> for Halt {
    fn from(error: NodeError) -> Self {
        Self::Failed(error)
    }
}

#[derive(Default)]
struct Requests {
    /// Those that wait, each from when on.
    since: BTreeMap<u64, Instant>,
    next: u64,
    told: bool,
}

/// The requests that wait.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Requests>);

/// A request that waits, until this is dropped.
struct Waits<'a>(&'a Waiting, u64);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.since.remove(&self.1);
        if requests.told && requests.since.is_empty() {
            requests.told = false;
            tracing::info!("no read waits for the gateway or the store any more");
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, since: Instant) -> Waits<'_> {
        let mut requests = self.lock();
        let number = requests.next;
        requests.next = number.wrapping_add(1);
        requests.since.insert(number, since);
        Waits(self, number)
    }

    /// How many wait, and how long the first of them has.
    pub(super) fn now(&self) -> (usize, Duration) {
        let requests = self.lock();
        let first = requests.since.values().min();
        let longest = first.map_or(Duration::ZERO, Instant::elapsed);
        (requests.since.len(), longest)
    }

    /// Whether they wait for longer than a busy gateway or store would make them.
    pub(super) fn is_long(&self) -> bool {
        self.now().1 >= TOLD
    }

    /// Says in the log, once, that they wait.
    fn tell(&self) {
        let long = self.is_long();
        let mut requests = self.lock();
        if long && !requests.told {
            requests.told = true;
            let waiting = requests.since.len();
            tracing::warn!(waiting, "reads wait for the gateway or the store");
        }
    }

    /// What `work` comes to, unless the thread that asked for it (`pid`, by its number where the
    /// mount was made; 0 for one that has none there) is to end before.
    pub(super) async fn unless_ended<T: Send>(
        &self,
        pid: u32,
        work: impl Future<Output = Result<T, NodeError>> + Send,
    ) -> Result<T, Halt> {
        let began = Instant::now();
        let mut work = pin!(work);
        if let Ok(done) = timeout(LOOK, work.as_mut()).await {
            return Ok(done?);
        }
        let _waits = self.begin(began);
        loop {
            self.tell();
            match signals(pid) {
                Some(Pending::Ends) => return Err(Halt::Interrupted),
                Some(Pending::Asked) if began.elapsed() >= ASKED => return Err(Halt::Interrupted),
                _ => {}
            }
            if let Ok(done) = timeout(LOOK, work.as_mut()).await {
                return Ok(done?);
            }
        }
    }
}

/// A thread's pending signals; none where they cannot be known.
fn signals(pid: u32) -> Option<Pending> {
    if pid == 0 {
        return None;
    }
    let mut status = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/status"))
        .ok()?
        .take(STATUS_BYTES_MAX)
        .read_to_end(&mut status)
        .ok()?;
    pending(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_not_to_end_waits_as_long_as_it_takes_and_that_is_told() {
        let waiting = Waiting::default();
        let work = async {
            tokio::time::sleep(Duration::from_secs(500)).await;
            assert_eq!(waiting.now().0, 1);
            assert!(waiting.is_long() && waiting.lock().told);
            Ok(7)
        };
        for pid in [0, std::process::id(), u32::MAX] {
            assert_eq!(signals(pid), None, "{pid}");
        }
        assert_eq!(
            waiting
                .unless_ended(std::process::id(), work)
                .await
                .unwrap(),
            7
        );
        assert_eq!(waiting.now(), (0, Duration::ZERO));
        assert!(!waiting.lock().told);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_had_at_once_or_fails_waits_for_nothing() {
        let waiting = Waiting::default();
        assert_eq!(waiting.unless_ended(0, async { Ok(1) }).await.unwrap(), 1);
        let failed = waiting.unless_ended(0, async { Err::<(), _>(NodeError::Absent) });
        assert!(matches!(failed.await, Err(Halt::Failed(NodeError::Absent))));
        let slow = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert!(!waiting.is_long() && !waiting.lock().told, "not yet");
            Err::<(), _>(NodeError::Absent)
        };
        assert!(waiting.unless_ended(0, slow).await.is_err());
        assert_eq!(waiting.lock().next, 1);
    }
}
