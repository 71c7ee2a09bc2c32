//! Which runs of a lane's segments are closed into a volume, and when. Pure: the clock is a
//! parameter.
//!
//! A record is in a volume at the latest so long after it was recorded: until its checkpoint (2 s),
//! `every` until its run is due, and until the next look. With `ship --watch --every 100s` that is
//! within two minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::Segment;
use crate::types::Timestamp;
use crate::types::limits::ARCHIVE_RECORDS_MAX;

/// Segments of a lane that are in no volume yet.
#[derive(Default)]
struct Waiting {
    segments: Vec<Segment>,
    records: u64,
}

/// What waits for a volume, lane by lane.
#[derive(Default)]
pub(super) struct Runs(BTreeMap<String, Waiting>);

impl Runs {
    /// Takes the next segment of its lane; gives back the run before it where that is to be closed:
    /// full with it, or so old.
    pub(super) fn take(&mut self, segment: Segment, every: Duration) -> Option<Vec<Segment>> {
        let lane = self.0.entry(segment.lane.clone()).or_default();
        let full = lane.records.saturating_add(segment.count) > ARCHIVE_RECORDS_MAX;
        let first = lane.segments.first();
        let old = first.is_some_and(|first| is_old(first, segment.time, every));
        let closed = (full || old) && !lane.segments.is_empty();
        let closed = closed.then(|| std::mem::take(lane).segments);
        lane.records = lane.records.saturating_add(segment.count);
        lane.segments.push(segment);
        closed
    }

    /// The runs that are due now, or all of them.
    pub(super) fn due(&mut self, now: Timestamp, every: Duration, all: bool) -> Vec<Vec<Segment>> {
        let lanes = self.0.values_mut();
        let due = lanes.filter(|lane| {
            let first = lane.segments.first();
            first.is_some_and(|first| all || is_old(first, now, every))
        });
        due.map(|lane| std::mem::take(lane).segments).collect()
    }

    /// When the oldest segment that waits came into the log.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let first = self.0.values().filter_map(|lane| lane.segments.first());
        first.map(|segment| segment.time).min()
    }
}

fn is_old(first: &Segment, now: Timestamp, every: Duration) -> bool {
    u128::from(now.since(first.time)) >= every.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often `ship --watch` looks.
    const LOOK_MS: u64 = 10_000;

    fn segment(lane: &str, first: u64, count: u64, ms: u64) -> Segment {
        Segment {
            lane: lane.to_owned(),
            first,
            count,
            time: Timestamp::from_millis(ms),
            scopes: Vec::new(),
            lost: false,
        }
    }

    /// The longest that a record of a lane waits that has an entry each `pace`, looked at each ten
    /// seconds; in milliseconds.
    fn longest(every: Duration, pace: u64) -> u64 {
        let (mut runs, mut next, mut longest) = (Runs::default(), 0_u64, 0);
        for now in (0..3_600_000).step_by(usize::try_from(LOOK_MS).unwrap()) {
            let mut closed = Vec::new();
            while next * pace <= now {
                let segment = segment("gw", next, 1, next * pace);
                closed.extend(runs.take(segment, every));
                next += 1;
            }
            closed.extend(runs.due(Timestamp::from_millis(now), every, false));
            for segment in closed.iter().flatten() {
                longest = longest.max(now - segment.time.millis());
            }
        }
        longest
    }

    #[test]
    fn records_are_in_a_volume_within_two_minutes_where_that_is_asked_for() {
        for pace in [250, 1_000, 7_000, 90_000, 600_000] {
            let most = longest(Duration::from_secs(100), pace);
            assert!(most <= 100_000 + LOOK_MS, "{pace}: {most}");
            // A checkpoint before and the writing behind it have ten seconds left.
            assert!(most <= 110_000 && most > 0, "{pace}: {most}");
        }
        assert!(longest(Duration::from_mins(10), 1_000) > 120_000);
    }

    #[test]
    fn a_run_is_closed_before_it_would_be_too_large_and_each_lane_for_itself() {
        let mut runs = Runs::default();
        let hour = Duration::from_hours(1);
        assert!(runs.take(segment("a", 0, 200_000, 0), hour).is_none());
        assert!(runs.take(segment("b", 0, 200_000, 0), hour).is_none());
        assert!(runs.take(segment("a", 200_000, 62_144, 1), hour).is_none());
        let closed = runs.take(segment("a", 262_144, 1, 2), hour).unwrap();
        assert_eq!(closed.len(), 2, "exactly full, and not beyond");
        // One segment alone may be more than a volume has.
        assert_eq!(runs.take(segment("c", 0, 300_000, 3), hour), None);
        assert_eq!(runs.oldest(), Some(Timestamp::from_millis(0)));
        let now = Timestamp::from_millis(3_600_001);
        let due = runs.due(now, hour, false);
        assert_eq!(due.len(), 1, "{due:?}");
        assert_eq!(runs.due(now, hour, true).len(), 2);
        assert!(runs.due(now, hour, true).is_empty());
        assert_eq!(runs.oldest(), None);
    }

    /// A clock that runs backwards delays a run and loses none.
    #[test]
    fn a_clock_that_runs_backwards_closes_nothing_early_and_loses_nothing() {
        let mut runs = Runs::default();
        let every = Duration::from_secs(100);
        assert!(runs.take(segment("a", 0, 1, 500_000), every).is_none());
        assert!(runs.take(segment("a", 1, 1, 100_000), every).is_none());
        assert!(
            runs.due(Timestamp::from_millis(200_000), every, false)
                .is_empty()
        );
        let due = runs.due(Timestamp::from_millis(600_000), every, false);
        assert_eq!(due.iter().map(Vec::len).sum::<usize>(), 2);
    }
}
