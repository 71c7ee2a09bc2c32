//! Connections whose answers nobody reads just now. A client that takes nothing must not keep from
//! others what the store allows of connections: one that lies here too long can be cut, and its
//! download goes on from its offset when it is asked for more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::pool::Link;

/// How long an answer is left alone between two reads before its connection may be taken: a client
/// that makes progress comes back far sooner.
pub(super) const LEFT_ALONE: Duration = Duration::from_secs(1);

/// All spots, by a number that is given once.
#[derive(Default)]
pub(super) struct Parking {
    spots: Mutex<Spots>,
}

#[derive(Default)]
struct Spots {
    next: u64,
    taken: BTreeMap<u64, Arc<Mutex<Option<Parked>>>>,
}

/// An answer that is being read.
pub(super) struct Answer {
    pub(super) link: Link,
    pub(super) body: Incoming,
    /// What came already and was not asked for yet.
    pub(super) rest: Bytes,
}

struct Parked {
    answer: Answer,
    since: Instant,
}

impl Parking {
    fn spots(&self) -> MutexGuard<'_, Spots> {
        self.spots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the connection that has been left alone longest, if that is long enough.
    pub(super) fn cut_longest(&self) {
        let spots = self.spots();
        let mut longest: Option<(Instant, Arc<Mutex<Option<Parked>>>)> = None;
        for spot in spots.taken.values() {
            let since = lock(spot).as_ref().map(|parked| parked.since);
            if let Some(since) = since
                && longest.as_ref().is_none_or(|(oldest, _)| since < *oldest)
            {
                longest = Some((since, Arc::clone(spot)));
            }
        }
        drop(spots);
        if let Some((since, spot)) = longest
            && since.elapsed() >= LEFT_ALONE
        {
            // Unless its download took it meanwhile and parked it anew.
            let cut = lock(&spot).take_if(|parked| parked.since == since);
            drop(cut);
        }
    }
}

fn lock(spot: &Mutex<Option<Parked>>) -> MutexGuard<'_, Option<Parked>> {
    spot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One download's place. It is only taken up when an answer is left in the middle, which those of
/// small blobs never are.
pub(super) struct Spot {
    parking: Arc<Parking>,
    mine: Option<(u64, Arc<Mutex<Option<Parked>>>)>,
}

impl Spot {
    pub(super) const fn new(parking: Arc<Parking>) -> Self {
        Self {
            parking,
            mine: None,
        }
    }

    /// Leaves an answer here until the next read.
    pub(super) fn park(&mut self, answer: Answer) {
        let (_, spot) = self.mine.get_or_insert_with(|| {
            let spot = Arc::default();
            let mut spots = self.parking.spots();
            let number = spots.next;
            spots.next = number.saturating_add(1);
            spots.taken.insert(number, Arc::clone(&spot));
            (number, spot)
        });
        let since = Instant::now();
        *lock(spot) = Some(Parked { answer, since });
    }

    /// Takes it up again; `None` where it was cut, or never was.
    pub(super) fn take(&mut self) -> Option<Answer> {
        let (_, spot) = self.mine.as_ref()?;
        lock(spot).take().map(|parked| parked.answer)
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        if let Some((number, _)) = &self.mine {
            self.parking.spots().taken.remove(number);
        }
    }
}
