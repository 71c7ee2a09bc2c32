//! This machine's clock beside the store's: a clock that drifts slowly, or was wrong from the
//! start, is told by no other clock of the same machine (AU-14). Which of the two is right is not
//! known; that they lie apart stands in the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::time::sleep;

use super::health::Health;
use super::shutdown::Shutdown;
use crate::store::{BodyAborted, SharedStore, StoreError};
use crate::types::limits::{CLOCK_APART_MS, CLOCK_JUMP_MS};
use crate::types::{BlobId, Clock, Entropy, Timestamp};
use crate::vault::Vault;

/// How often one looks: a clock that loses a second a day is told within the day.
const LOOK: Duration = Duration::from_mins(10);
/// A store's times have at best whole seconds.
const RESOLUTION_MS: u64 = 1_000;

/// By how many milliseconds the store's clock is ahead of this machine's; behind is negative, and
/// `None` where it is no more than cannot be told apart. Writes a blob, looks at its time, deletes
/// it.
pub async fn store_ahead(
    store: &SharedStore,
    id: BlobId,
    clock: &dyn Clock,
) -> Result<Option<i64>, StoreError> {
    let before = clock.now();
    let byte: Result<Bytes, BodyAborted> = Ok(Bytes::from_static(b"?"));
    store.put(id, 1, Box::pin(stream::iter([byte]))).await?;
    let after = clock.now();
    let previous = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
    let previous = previous.map(|n| BlobId::from_bytes(n.to_be_bytes()));
    let listed = store.list(previous, 1).await;
    store.delete(id).await?;
    let entry = listed?.into_iter().find(|entry| entry.id == id);
    Ok(entry.and_then(|entry| ahead(before, entry.modified, after)))
}

fn ahead(before: Timestamp, written: Timestamp, after: Timestamp) -> Option<i64> {
    let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    let behind = before.since(written).saturating_sub(RESOLUTION_MS);
    if behind > CLOCK_APART_MS {
        return Some(signed(behind).saturating_neg());
    }
    let ahead = written.since(after);
    (ahead > CLOCK_APART_MS).then(|| signed(ahead))
}

/// What was told last, so that the same is not told again and a drift that goes on is.
#[derive(Default)]
struct Told(Option<i64>);

impl Told {
    /// Whether this is to be told: clocks that lie apart and did not, or by a second more or less
    /// than was told, and clocks that agree again.
    fn is_news(&mut self, apart: Option<i64>) -> bool {
        let step = i64::try_from(CLOCK_JUMP_MS).unwrap_or(i64::MAX);
        let news = match (self.0, apart) {
            (None, None) => false,
            (Some(before), Some(now)) => now.saturating_sub(before).saturating_abs() > step,
            (None, Some(_)) | (Some(_), None) => true,
        };
        if news {
            self.0 = apart;
        }
        news
    }
}

/// Looks again and again until the end. A store that does not answer is told elsewhere.
pub(super) async fn watch(
    (vault, store): (Arc<Vault>, SharedStore),
    (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    health: Arc<Health>,
    shutdown: Shutdown,
) {
    let mut told = Told::default();
    loop {
        // Not at once: at its start a gateway has just probed the store.
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shutdown.draining() => return,
        }
        if let Ok(id) = BlobId::random(entropy.as_ref())
            && let Ok(apart) = store_ahead(&store, id, clock.as_ref()).await
            && told.is_news(apart)
        {
            tell(&vault, &health, apart).await;
        }
    }
}

/// Tells the operator and the log.
async fn tell(vault: &Vault, health: &Health, apart: Option<i64>) {
    let said = apart.map_or(Ok(()), |ms| {
        Err(format!(
            "the store's clock is {ms} ms ahead of this machine's (behind, if negative)"
        ))
    });
    health.store_clock.note(said);
    if let Some(ms) = apart {
        tracing::error!(
            ahead_ms = ms,
            "this machine's clock and the store's lie apart"
        );
    }
    if let Err(error) = vault.record_clocks_apart(apart).await {
        tracing::error!(
            reason = error.reason(),
            "that the clocks lie apart is not recorded"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::app::system::SystemEntropy;
    use crate::store::memory::MemoryStore;

    /// A clock that a test sets.
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn what_lies_apart_is_told_beyond_a_second_in_either_direction() {
        let at = Timestamp::from_millis;
        let look = |written| ahead(at(100_000), at(written), at(100_200));
        assert_eq!(look(100_100), None);
        assert_eq!(look(98_000), None, "a second of drift, one of rounding");
        assert_eq!(look(97_999), Some(-1_001));
        assert_eq!(look(101_200), None);
        assert_eq!(look(101_201), Some(1_001));
        assert_eq!(look(0), Some(-99_000));
    }

    /// No other clock of the machine sees it: each second it goes 50 ms too slowly.
    #[tokio::test]
    async fn a_clock_that_drifts_slowly_is_told_when_it_is_a_second_off_and_each_second_more() {
        let (own, right) = (1_000_000, 1_000_000);
        let own = Arc::new(Hand(AtomicU64::new(own)));
        let right = Arc::new(Hand(AtomicU64::new(right)));
        let store: SharedStore = Arc::new(MemoryStore::new(Arc::<Hand>::clone(&right)));
        let (mut told, mut news) = (Told::default(), Vec::new());
        for _ in 0..80 {
            let _before = own.0.fetch_add(950, Ordering::SeqCst);
            let _before = right.0.fetch_add(1_000, Ordering::SeqCst);
            let id = BlobId::random(&SystemEntropy::new()).unwrap();
            let apart = store_ahead(&store, id, own.as_ref()).await.unwrap();
            if told.is_news(apart) {
                news.push(apart);
            }
        }
        assert_eq!(news, [Some(1_050), Some(2_100), Some(3_150)]);
        assert!(
            store.list(None, 9).await.unwrap().is_empty(),
            "nothing stays"
        );
        // Set right, it is told once.
        own.0
            .store(right.0.load(Ordering::SeqCst), Ordering::SeqCst);
        let id = BlobId::random(&SystemEntropy::new()).unwrap();
        let apart = store_ahead(&store, id, own.as_ref()).await.unwrap();
        assert!(told.is_news(apart) && apart.is_none());
        assert!(!told.is_news(None));
    }
}
