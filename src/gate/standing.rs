//! Whether this process still writes its lanes. Of two gateways the older one finds the next name
//! of its lane taken; from then on it makes no round of the log either. One that writes nothing
//! does not find it by itself, so that it is looked for where a round's name is taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::GateError;
use super::names::Kind;
use super::place::Place;

/// How a lane that this process writes stands in the store.
#[derive(Default)]
pub(super) struct Standing {
    superseded: AtomicBool,
    /// The number of the first batch that this process cannot have sent.
    beyond: AtomicU64,
}

impl Standing {
    /// Another process writes the lane, for ever.
    pub(super) fn supersede(&self) {
        self.superseded.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }

    /// Batches up to this number are this process's, or may be; said before one is sent.
    pub(super) fn reach(&self, beyond: u64) {
        self.beyond.store(beyond, Ordering::SeqCst);
    }
}

/// The lanes that this process writes.
#[derive(Clone, Default)]
pub(super) struct Writers(Arc<Mutex<BTreeMap<String, Arc<Standing>>>>);

impl Writers {
    /// A lane that is written from now on.
    pub(super) fn begin(&self, lane: &str) -> Arc<Standing> {
        let standing = Arc::<Standing>::default();
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(lane.to_owned(), Arc::clone(&standing));
        standing
    }

    fn all(&self) -> Vec<(String, Arc<Standing>)> {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = lanes.iter();
        all.map(|(lane, standing)| (lane.clone(), Arc::clone(standing)))
            .collect()
    }

    /// Whether another process is known to write one of them.
    pub(super) fn are_superseded(&self) -> bool {
        self.all()
            .iter()
            .any(|(_, standing)| standing.is_superseded())
    }

    /// The same, with a look at what the store has of each.
    pub(super) fn look(&self, place: &Place) -> Result<bool, GateError> {
        for (lane, standing) in self.all() {
            let listing = place.list(&lane)?;
            let batches = listing.keys().filter(|item| item.kind == Kind::Batch);
            let newest = batches.map(|item| item.number).max();
            // Asked behind the listing: what this process sent meanwhile is within it.
            let beyond = standing.beyond.load(Ordering::SeqCst);
            if newest.is_some_and(|newest| newest >= beyond) {
                standing.supersede();
            }
        }
        Ok(self.are_superseded())
    }
}
