//! How often something may happen: a bucket of so many, filled again by so many a second, for each
//! of a bounded number of names.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::Timestamp;

/// What one second is in a bucket's own units.
const UNIT: u64 = 1_000;

/// A bucket for each name.
pub(in crate::vault) struct Pace<K> {
    /// What is left in thousandths, and when that was so.
    buckets: Mutex<HashMap<K, (u64, Timestamp)>>,
    burst: u64,
    per_second: u64,
    names_max: usize,
}

impl<K: Eq + Hash + Clone> Pace<K> {
    /// `burst` at once and `per_second` from then on, for at most `names_max` names at a time.
    pub(in crate::vault) fn new(burst: u32, per_second: u32, names_max: usize) -> Self {
        Self {
            buckets: Mutex::default(),
            burst: u64::from(burst).saturating_mul(UNIT),
            per_second: u64::from(per_second),
            names_max,
        }
    }

    /// Takes one out of a name's bucket; `false` if nothing is left.
    pub(in crate::vault) fn take(&self, name: &K, now: Timestamp) -> bool {
        self.take_many(name, 1, now)
    }

    /// Takes so many out of a name's bucket; `false`, and nothing is taken, if fewer are left.
    pub(in crate::vault) fn take_many(&self, name: &K, count: u64, now: Timestamp) -> bool {
        let mut buckets = self.lock();
        if buckets.len() >= self.names_max && !buckets.contains_key(name) {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
            // Nobody's emptied bucket is forgotten for the sake of a new name.
            if buckets.len() >= self.names_max {
                return false;
            }
        }
        let bucket = buckets.get(name).copied().unwrap_or((self.burst, now));
        let left = self.filled(bucket, now);
        let next = left.checked_sub(count.saturating_mul(UNIT));
        let _before = buckets.insert(name.clone(), (next.unwrap_or(left), now));
        next.is_some()
    }

    /// Whether something is left in a name's bucket; nothing is taken.
    pub(in crate::vault) fn has(&self, name: &K, now: Timestamp) -> bool {
        let buckets = self.lock();
        buckets
            .get(name)
            .is_none_or(|bucket| self.filled(*bucket, now) >= UNIT)
    }

    /// What is in a bucket now. A clock that went back adds nothing.
    fn filled(&self, (left, then): (u64, Timestamp), now: Timestamp) -> u64 {
        let more = now.since(then).saturating_mul(self.per_second);
        left.saturating_add(more).min(self.burst)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (u64, Timestamp)>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn many_are_taken_at_once_or_none() {
        let pace = Pace::new(10, 2, 10);
        assert!(pace.take_many(&"a", 7, at(0)));
        assert!(!pace.take_many(&"a", 4, at(0)));
        assert!(pace.take_many(&"a", 3, at(0)));
        assert!(!pace.take_many(&"a", 3, at(1_000)));
        assert!(pace.take_many(&"a", 3, at(1_500)));
        assert!(!pace.take_many(&"b", u64::MAX, at(0)));
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let pace = Pace::new(3, 2, 10);
        for _ in 0..3 {
            assert!(pace.take(&"a", at(0)));
        }
        assert!(!pace.take(&"a", at(0)));
        assert!(!pace.has(&"a", at(499)));
        assert!(pace.take(&"b", at(0)), "another name's is another bucket");
        assert!(pace.take(&"a", at(500)));
        assert!(!pace.take(&"a", at(500)));
        for _ in 0..3 {
            assert!(pace.take(&"a", at(1_000_000)), "no more than it holds");
        }
        assert!(!pace.take(&"a", at(1_000_000)));
        assert!(!pace.take(&"a", at(0)), "a clock that went back");
    }

    #[test]
    fn what_is_asked_in_vain_does_not_keep_a_bucket_empty() {
        let pace = Pace::new(1, 1, 10);
        assert!(pace.take(&"a", at(0)));
        for millis in 1..1_000 {
            assert!(!pace.take(&"a", at(millis)), "{millis}");
        }
        assert!(pace.take(&"a", at(1_000)));
    }

    #[test]
    fn new_names_push_no_emptied_bucket_out() {
        let pace = Pace::new(1, 1, 2);
        assert!(pace.take(&1, at(0)));
        assert!(pace.take(&2, at(500)));
        assert!(!pace.take(&3, at(600)), "no room");
        assert!(!pace.take(&1, at(600)));
        assert!(pace.take(&3, at(1_200)), "the first is full again");
        assert!(!pace.take(&2, at(1_200)));
    }
}
