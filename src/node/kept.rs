//! What is fetched once however many ask for it, and kept while there is room: the least recently
//! used goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::NodeError;

/// A value, there or on its way.
type Slot<V> = Arc<OnceCell<Arc<V>>>;

struct Entry<V> {
    slot: Slot<V>,
    used: u64,
    weight: usize,
}

struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    order: BTreeMap<u64, K>,
    clock: u64,
    weight: usize,
}

/// Values by key, of at most so many bytes together; what is being used or fetched comes on top.
pub(super) struct Kept<K, V> {
    state: Mutex<State<K, V>>,
    bytes_max: usize,
}

/// Somebody who asked for a value, until this is dropped. Who gives up while it is being fetched
/// leaves no slot behind that nobody fetches for.
struct Asked<'a, K: Hash + Eq + Copy + Send + Sync, V: Send + Sync> {
    kept: &'a Kept<K, V>,
    key: K,
    slot: Option<Slot<V>>,
}

impl<K: Hash + Eq + Copy + Send + Sync, V: Send + Sync> Drop for Asked<'_, K, V> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let mut state = self.kept.state();
        let same = state.entries.get(&self.key);
        // The entry's and this one: nobody else waits for it.
        let alone = Arc::strong_count(&slot) <= 2 && !slot.initialized();
        if alone && same.is_some_and(|entry| Arc::ptr_eq(&entry.slot, &slot)) {
            state.remove(&self.key);
        }
        // Under the lock, so that of two who give up at once the second sees the first gone.
        drop(slot);
        drop(state);
    }
}

impl<K: Hash + Eq + Copy + Send + Sync, V: Send + Sync> Kept<K, V> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                entries: HashMap::new(),
                order: BTreeMap::new(),
                clock: 0,
                weight: 0,
            }),
            bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of a key, the newest used from now on.
    fn slot(&self, key: K) -> Slot<V> {
        let mut state = self.state();
        state.clock = state.clock.saturating_add(1);
        let now = state.clock;
        let known = state.entries.get_mut(&key).map(|entry| {
            let before = std::mem::replace(&mut entry.used, now);
            (Arc::clone(&entry.slot), before)
        });
        state.order.insert(now, key);
        if let Some((slot, before)) = known {
            state.order.remove(&before);
            return slot;
        }
        let slot = Slot::default();
        let entry = Entry {
            slot: Arc::clone(&slot),
            used: now,
            weight: 0,
        };
        state.entries.insert(key, entry);
        slot
    }

    /// Whether the value is there or being fetched; if not, the caller is to fetch it.
    pub(super) fn is_wanted(&self, key: &K) -> bool {
        self.state().entries.contains_key(key)
    }

    /// The value, fetched if it is not there. `weight` is how many bytes it takes.
    pub(super) async fn get(
        &self,
        key: K,
        fetch: impl Future<Output = Result<(V, usize), NodeError>> + Send,
    ) -> Result<Arc<V>, NodeError> {
        let asked = Asked {
            kept: self,
            key,
            slot: Some(self.slot(key)),
        };
        // Borrowed, not held a second time: that is what counts who waits.
        let Some(slot) = asked.slot.as_ref() else {
            return Err(NodeError::Absent);
        };
        let made = slot
            .get_or_try_init(|| async {
                let (value, weight) = fetch.await?;
                self.weigh(key, slot, weight);
                Ok(Arc::new(value))
            })
            .await;
        match made {
            Ok(value) => Ok(Arc::clone(value)),
            Err(error) => {
                self.forget(&key, slot);
                Err(error)
            }
        }
    }

    /// Drops a slot that stayed empty, unless another has come into its place.
    fn forget(&self, key: &K, slot: &Slot<V>) {
        let mut state = self.state();
        let same = state.entries.get(key);
        if same.is_some_and(|entry| Arc::ptr_eq(&entry.slot, slot) && !slot.initialized()) {
            state.remove(key);
        }
    }

    fn weigh(&self, key: K, slot: &Slot<V>, weight: usize) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(&key) else {
            return;
        };
        if !Arc::ptr_eq(&entry.slot, slot) {
            return;
        }
        entry.weight = weight;
        state.weight = state.weight.saturating_add(weight);
        while state.weight > self.bytes_max {
            // What is being fetched has no weight and stays.
            let oldest = state.order.values().find(|oldest| {
                **oldest != key && state.entries.get(*oldest).is_some_and(|e| e.weight > 0)
            });
            let Some(oldest) = oldest.copied() else { break };
            state.remove(&oldest);
        }
    }

    /// Drops everything that is not being fetched.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        let all: Vec<K> = state.entries.keys().copied().collect();
        for key in all {
            state.remove(&key);
        }
    }

    /// Bytes that are kept.
    pub(super) fn weight(&self) -> usize {
        self.state().weight
    }
}

impl<K: Hash + Eq + Copy, V> State<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.weight = self.weight.saturating_sub(entry.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_fetch_serves_all_who_ask_and_a_failed_one_is_tried_again() {
        let kept: Kept<u8, u8> = Kept::new(100);
        let fetches = AtomicUsize::new(0);
        let fetch = |ok: bool| async move {
            tokio::task::yield_now().await;
            if ok {
                Ok((7, 1))
            } else {
                Err(NodeError::Absent)
            }
        };
        let counted = |ok| {
            let fetches = &fetches;
            async move {
                fetches.fetch_add(1, Ordering::SeqCst);
                fetch(ok).await
            }
        };
        let (a, b) = tokio::join!(kept.get(1, counted(true)), kept.get(1, counted(true)));
        assert_eq!((*a.unwrap(), *b.unwrap()), (7, 7));
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert!(kept.get(2, counted(false)).await.is_err());
        assert!(!kept.is_wanted(&2));
        assert!(kept.get(2, counted(true)).await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind_and_takes_nothing_from_who_waits() {
        let kept: Kept<u8, u8> = Kept::new(100);
        let never = || std::future::pending::<Result<(u8, usize), NodeError>>();
        {
            let mut first = std::pin::pin!(kept.get(1, never()));
            assert!(first.as_mut().now_or_never().is_none());
            assert!(kept.is_wanted(&1));
        }
        assert!(!kept.is_wanted(&1), "nobody fetches it");
        let mut first = Box::pin(kept.get(2, never()));
        let mut second = Box::pin(kept.get(2, async { Ok((7, 1)) }));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(kept.is_wanted(&2), "the second waits");
        assert_eq!(*second.await.unwrap(), 7);
        assert!(kept.is_wanted(&2), "it is kept");
    }

    #[tokio::test]
    async fn the_least_recently_used_goes_first() {
        let kept: Kept<u8, u8> = Kept::new(3);
        for key in 1..=3 {
            kept.get(key, async move { Ok((key, 1)) }).await.unwrap();
        }
        kept.get(1, async { Err(NodeError::Absent) }).await.unwrap();
        kept.get(4, async { Ok((4, 1)) }).await.unwrap();
        let there: Vec<u8> = (1..=4).filter(|key| kept.is_wanted(key)).collect();
        assert_eq!((there, kept.weight()), (vec![1, 3, 4], 3));
        // One that is larger than all the room stays alone.
        kept.get(9, async { Ok((9, 50)) }).await.unwrap();
        let there: Vec<u8> = (1..=9).filter(|key| kept.is_wanted(key)).collect();
        assert_eq!(there, [9]);
        kept.clear();
        assert_eq!(kept.weight(), 0);
    }
}
