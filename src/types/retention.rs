//! Object Lock: what keeps a version from being deleted, and who may loosen it. Rules alone; the
//! catalog applies them inside the commit.

use super::Timestamp;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const YEAR_DAYS: u64 = 365;

/// How strictly a version is retained.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RetentionMode {
    /// Who holds the right to bypass it may loosen it.
    Governance,
    /// Nobody may loosen it before its end.
    Compliance,
}

/// A version is kept until a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// How strictly.
    pub mode: RetentionMode,
    /// The first moment at which it may go.
    pub until: Timestamp,
}

/// What locks one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lock {
    /// Until a moment.
    pub retention: Option<Retention>,
    /// Until it is taken off again (legal hold).
    pub hold: bool,
}

impl Lock {
    /// Whether the version must stay at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.hold || self.active(now).is_some()
    }

    fn active(&self, now: Timestamp) -> Option<Retention> {
        self.retention.filter(|retention| retention.until > now)
    }

    /// Whether its retention may become `next` at `now`. One that still runs may be extended by
    /// whoever may set it; only governance may be loosened, with the right to bypass it.
    #[must_use]
    pub fn may_become(&self, next: Option<Retention>, bypass: bool, now: Timestamp) -> bool {
        let Some(old) = self.active(now) else {
            return true;
        };
        let extends = next.is_some_and(|next| next.mode == old.mode && next.until >= old.until);
        extends || (bypass && old.mode == RetentionMode::Governance)
    }
}

/// How long what is written is retained when the write says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// So many days.
    Days(u32),
    /// So many times 365 days.
    Years(u32),
}

impl Period {
    /// The moment at which a period that begins at `start` is over.
    #[must_use]
    pub fn end(self, start: Timestamp) -> Timestamp {
        let days = match self {
            Self::Days(days) => u64::from(days),
            Self::Years(years) => u64::from(years).saturating_mul(YEAR_DAYS),
        };
        start.plus_millis(days.saturating_mul(DAY_MS))
    }
}

/// Object Lock of a dataset, which once enabled is never off again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockDefaults {
    /// What is written without a retention of its own gets this one.
    pub retention: Option<(RetentionMode, Period)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retained until so many milliseconds.
    type Until = Option<(RetentionMode, u64)>;

    fn retained(until: Until) -> Option<Retention> {
        until.map(|(mode, until)| Retention {
            mode,
            until: Timestamp::from_millis(until),
        })
    }

    fn lock(until: Until) -> Lock {
        Lock {
            retention: retained(until),
            hold: false,
        }
    }

    #[test]
    fn a_version_stays_until_its_moment_and_under_a_hold() {
        let at = Timestamp::from_millis;
        let kept = lock(Some((RetentionMode::Governance, 10)));
        assert!(kept.holds(at(9)) && !kept.holds(at(10)));
        let held = Lock { hold: true, ..kept };
        assert!(held.holds(at(u64::MAX)));
        assert!(!Lock::default().holds(at(0)));
    }

    #[test]
    fn what_runs_is_extended_and_nothing_else() {
        use RetentionMode::{Compliance, Governance};
        let now = Timestamp::from_millis(5);
        let may =
            |old: Until, next: Until, bypass| lock(old).may_become(retained(next), bypass, now);
        for mode in [Governance, Compliance] {
            assert!(may(None, Some((mode, 6)), false));
            assert!(may(Some((mode, 5)), None, false), "it is over");
            assert!(may(Some((mode, 9)), Some((mode, 9)), false));
            assert!(may(Some((mode, 9)), Some((mode, 10)), false));
            assert!(!may(Some((mode, 9)), Some((mode, 8)), false));
            assert!(!may(Some((mode, 9)), None, false));
        }
        let (soft, hard) = (Some((Governance, 9)), Some((Compliance, 9)));
        assert!(!may(soft, hard, false) && !may(hard, soft, false));
        assert!(may(soft, None, true) && may(soft, hard, true));
        assert!(may(soft, Some((Governance, 6)), true));
        for next in [None, soft, Some((Compliance, 8)), Some((Governance, 99))] {
            assert!(!may(hard, next, true), "{next:?}");
        }
    }

    #[test]
    fn periods_end_and_do_not_overflow() {
        let start = Timestamp::from_millis(1);
        assert_eq!(Period::Days(1).end(start).millis(), 86_400_001);
        assert_eq!(Period::Years(1).end(start), Period::Days(365).end(start));
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(Period::Years(u32::MAX).end(end), end);
    }
}
