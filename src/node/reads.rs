//! What was read through each open file, gathered and told to the gateway in batches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;

use super::version::Version;
use crate::types::{ByteRange, limits};
use crate::wire::{ObjectReads, ReportReadsRequest};

/// Ranges of one file, in order, apart from each other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Touched(Vec<(u64, u64)>);

impl Touched {
    /// Adds a range.
    pub fn add(&mut self, range: ByteRange) {
        let (mut start, mut end) = (range.start(), range.end());
        let from = self.0.partition_point(|(_, known)| *known < start);
        let to = self.0.partition_point(|(known, _)| *known <= end);
        for (a, b) in self.0.drain(from..to.max(from)) {
            start = start.min(a);
            end = end.max(b);
        }
        self.0.insert(from, (start, end));
        if self.0.len() > limits::NODE_RANGES_MAX {
            self.join_closest();
        }
    }

    /// Makes one of the two that lie closest: it then says more than was read, never less.
    fn join_closest(&mut self) {
        let gaps = self.0.windows(2).enumerate().map(|(at, pair)| match pair {
            [(_, end), (start, _)] => (start.saturating_sub(*end), at),
            _ => (u64::MAX, at),
        });
        let Some((_, at)) = gaps.min() else { return };
        let next = self.0.remove(at.saturating_add(1));
        if let Some(range) = self.0.get_mut(at) {
            range.1 = next.1;
        }
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }
}

/// Reports on their way.
#[derive(Default)]
pub struct Reads {
    waiting: Mutex<(VecDeque<ObjectReads>, u64)>,
}

impl Reads {
    /// Adds what was read through one open file. At the bound the oldest is lost and counted: that
    /// its key was released stands in the log already.
    pub fn add(&self, key: String, touched: &Touched) {
        let mut waiting = self.lock();
        if waiting.0.len() >= limits::NODE_REPORTS_MAX {
            waiting.0.pop_front();
            waiting.1 = waiting.1.saturating_add(1);
        }
        let ranges = touched.ranges().to_vec();
        waiting.0.push_back(ObjectReads { key, ranges });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (VecDeque<ObjectReads>, u64)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait, and how many were lost.
    #[must_use]
    pub fn waiting(&self) -> (usize, u64) {
        let waiting = self.lock();
        (waiting.0.len(), waiting.1)
    }

    /// Sends what waits; what cannot be sent now waits on, what is refused is in the log as such.
    pub async fn send(&self, version: &Arc<Version>) {
        loop {
            let batch = {
                let mut waiting = self.lock();
                let count = waiting.0.len().min(limits::RELEASE_KEYS_MAX / 4);
                let reads: Vec<ObjectReads> = waiting.0.drain(..count).collect();
                ReportReadsRequest { reads }
            };
            if batch.reads.is_empty() {
                return;
            }
            let body = serde_json::to_vec(&batch).unwrap_or_default();
            let asking = version.asking(Method::POST, "reads", String::new(), body.into());
            match version.gateway().once(&asking).await {
                Ok(_) => {}
                Err(super::GatewayError::Refused { code, .. }) => {
                    tracing::warn!(code, "a report of reads is refused");
                }
                Err(error) => {
                    tracing::debug!(%error, "reports of reads wait");
                    let mut waiting = self.lock();
                    for report in batch.reads.into_iter().rev() {
                        waiting.0.push_front(report);
                    }
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_cover_what_was_read_and_stay_apart(reads in prop::collection::vec((0_u64..500, 1_u64..20), 1..300)) {
            let mut touched = Touched::default();
            let mut model = std::collections::BTreeSet::new();
            let mut exact = true;
            for (start, len) in reads {
                touched.add(ByteRange::new(start, start + len).unwrap());
                model.extend(start..start + len);
                exact &= touched.ranges().len() < limits::NODE_RANGES_MAX;
            }
            let ranges = touched.ranges();
            prop_assert!(ranges.len() <= limits::NODE_RANGES_MAX);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            let covered: std::collections::BTreeSet<u64> = ranges.iter().flat_map(|(a, b)| *a..*b).collect();
            prop_assert!(covered.is_superset(&model));
            if exact {
                prop_assert_eq!(covered, model);
            }
        }
    }
}
