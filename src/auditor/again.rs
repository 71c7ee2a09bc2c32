//! When a command that goes on by itself tries again what failed: after a pause that doubles, up to
//! a bound. Pure: the clock is a parameter.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// What failed, each with when it is tried again and the pause before that.
#[derive(Default)]
pub(super) struct Pauses(BTreeMap<String, (Instant, Duration)>);

impl Pauses {
    /// Whether it is to be tried.
    pub(super) fn is_due(&self, what: &str, now: Instant) -> bool {
        self.0.get(what).is_none_or(|(due, _)| *due <= now)
    }

    /// It failed: for how long it is left alone.
    pub(super) fn failed(&mut self, what: &str, now: Instant) -> Duration {
        let last = self.0.get(what).map(|(_, pause)| *pause);
        let pause = last.map_or(PAUSE, |last| last.saturating_mul(2).min(PAUSE_MAX));
        self.0.insert(what.to_owned(), (now + pause, pause));
        pause
    }

    /// It did not: the next failure is a first one.
    pub(super) fn went(&mut self, what: &str) {
        self.0.remove(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_each_for_itself_and_begin_again() {
        let (mut pauses, mut now) = (Pauses::default(), Instant::now());
        assert!(pauses.is_due("a", now));
        let mut seen = Vec::new();
        for _ in 0..8 {
            let pause = pauses.failed("a", now);
            assert!(!pauses.is_due("a", now + pause - Duration::from_millis(1)));
            assert!(pauses.is_due("a", now + pause) && pauses.is_due("b", now));
            now += pause;
            seen.push(pause.as_secs());
        }
        assert_eq!(seen, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pauses.failed("b", now), PAUSE);
        pauses.went("a");
        assert!(pauses.is_due("a", now));
        assert_eq!(pauses.failed("a", now), PAUSE);
    }
}
