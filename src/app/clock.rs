//! Whether the clock of this machine goes as it should: it must neither jump nor run backwards.
//! Where it does, that stands in the log, which is ordered by numbers and not by times.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::health::Health;
use super::shutdown::Shutdown;
use crate::types::limits::{CLOCK_JUMP_MS, CLOCK_WARN_MS};
use crate::types::{Clock, Timestamp};
use crate::vault::{Vault, VaultError};

/// How often one looks.
const LOOK: Duration = Duration::from_secs(1);

/// By how many milliseconds the clock went ahead of the time that passed; backwards is negative.
fn moved(before: Timestamp, now: Timestamp, passed: Duration) -> i64 {
    let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    signed(now.millis())
        .saturating_sub(signed(before.millis()))
        .saturating_sub(signed(passed))
}

/// Sums what the clock moves, so that many small moves are one; steered clocks move by less.
#[derive(Default)]
struct Drift {
    sum: i64,
}

impl Drift {
    /// Takes a move; gives back what is to be told.
    fn add(&mut self, moved: i64) -> Option<i64> {
        self.sum = self.sum.saturating_add(moved);
        let most = i64::try_from(CLOCK_JUMP_MS).unwrap_or(i64::MAX);
        if self.sum.saturating_abs() <= most {
            return None;
        }
        Some(std::mem::take(&mut self.sum))
    }
}

/// Looks again and again until the end.
pub(super) async fn watch(
    (vault, clock): (Arc<Vault>, Arc<dyn Clock>),
    health: Arc<Health>,
    shutdown: Shutdown,
) {
    let record = move |moved| {
        let vault = Arc::clone(&vault);
        async move { vault.record_clock(moved).await }
    };
    looks((record, clock), health, shutdown).await;
}

/// The same with another keeper of the record.
async fn looks<F>(
    (record, clock): (impl Fn(i64) -> F, Arc<dyn Clock>),
    health: Arc<Health>,
    shutdown: Shutdown,
) where
    F: Future<Output = Result<(), VaultError>>,
{
    let mut last = (clock.now(), Instant::now());
    let mut drift = Drift::default();
    let mut told: Option<Instant> = None;
    loop {
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shutdown.draining() => return,
        }
        let now = (clock.now(), Instant::now());
        let passed = now.1.saturating_duration_since(last.1);
        let moved = moved(last.0, now.0, passed);
        last = now;
        if let Some(moved) = drift.add(moved) {
            told = Some(now.1);
            let _count = health.metrics.clock_jumps.inc();
            health
                .clock
                .note(Err(format!("the clock moved by {moved} ms at {}", now.0)));
            tracing::error!(moved_ms = moved, "the clock of this machine moved");
            if let Err(error) = record(moved).await {
                tracing::error!(
                    reason = error.reason(),
                    "that the clock moved is not recorded"
                );
            }
        }
        let warned = Duration::from_millis(CLOCK_WARN_MS);
        if told.is_some_and(|at| now.1.saturating_duration_since(at) > warned) {
            told = None;
            health.clock.note(Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_clock_that_goes_with_the_time_does_not_move() {
        let second = Duration::from_secs(1);
        assert_eq!(moved(at(5_000), at(6_000), second), 0);
        assert_eq!(moved(at(5_000), at(9_500), second), 3_500);
        assert_eq!(moved(at(5_000), at(4_000), second), -2_000);
        // A machine that stood still while the clock went on.
        assert_eq!(moved(at(0), at(3_600_000), second), 3_599_000);
        assert!(moved(at(u64::MAX), at(0), Duration::MAX) < 0);
    }

    /// A clock that gains so many milliseconds each second, and was set once.
    struct Bent {
        begin: Instant,
        gains: i64,
        /// From which second on it is how far off.
        step: (u64, i64),
    }

    impl Clock for Bent {
        fn now(&self) -> Timestamp {
            let passed = Instant::now().saturating_duration_since(self.begin);
            let millis = i64::try_from(passed.as_millis()).unwrap();
            let step = if passed.as_secs() >= self.step.0 {
                self.step.1
            } else {
                0
            };
            let now = 1_800_000_000_000 + millis + millis * self.gains / 1_000 + step;
            Timestamp::from_millis(u64::try_from(now).unwrap())
        }
    }

    /// What is recorded of such a clock within so many seconds, and what health says at the end.
    async fn told(gains: i64, step: (u64, i64), seconds: u64) -> (Vec<i64>, u64, bool) {
        let health = Arc::<Health>::default();
        let (trigger, shutdown) = super::super::shutdown::channel();
        let begin = Instant::now();
        let clock = Arc::new(Bent { begin, gains, step });
        let recorded = std::sync::Mutex::new(Vec::new());
        let record = |moved| {
            recorded.lock().unwrap().push(moved);
            std::future::ready(Ok(()))
        };
        let end = async {
            sleep(Duration::from_millis(seconds * 1_000 + 500)).await;
            trigger.stop();
        };
        let looking = looks((record, clock), Arc::clone(&health), shutdown);
        tokio::join!(looking, end);
        let jumps = health.metrics.clock_jumps.get();
        let recorded = recorded.lock().unwrap().clone();
        (recorded, jumps, health.clock.seen().is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn au_14_a_clock_that_gains_slowly_is_told_recorded_and_counted_each_second_more() {
        assert_eq!(told(0, (0, 0), 600).await, (vec![], 0, true));
        // 50 ms each second: by the 21st it is 1.05 s off.
        assert_eq!(told(50, (0, 0), 20).await, (vec![], 0, true));
        assert_eq!(told(50, (0, 0), 21).await, (vec![1_050], 1, false));
        assert_eq!(told(50, (0, 0), 63).await, (vec![1_050; 3], 3, false));
        assert_eq!(told(-50, (0, 0), 42).await, (vec![-1_050; 2], 2, false));
        // The slower, the later, and never not at all.
        assert_eq!(told(1, (0, 0), 1_001).await, (vec![1_001], 1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn au_14_a_clock_that_is_set_is_told_once_and_well_again_after_an_hour() {
        assert_eq!(told(0, (30, 1_001), 60).await, (vec![1_001], 1, false));
        assert_eq!(
            told(0, (30, -3_600_000), 60).await,
            (vec![-3_600_000], 1, false)
        );
        assert_eq!(told(0, (30, 1_000), 60).await, (vec![], 0, true));
        let (recorded, jumps, well) = told(0, (30, 5_000), 3_700).await;
        assert_eq!((recorded, jumps, well), (vec![5_000], 1, true));
    }

    #[test]
    fn a_jump_is_told_once_and_steering_is_not() {
        let mut drift = Drift::default();
        assert_eq!(drift.add(900), None);
        assert_eq!(drift.add(-900), None);
        assert_eq!(drift.add(1_001), Some(1_001));
        assert_eq!(drift.add(0), None);
        assert_eq!(drift.add(-3_000), Some(-3_000));
        // Many small moves in one direction are one.
        let told: Vec<i64> = (0..30).filter_map(|_| drift.add(100)).collect();
        assert_eq!(told, [1_100, 1_100]);
    }
}
