//! When to try again, and when to give up.

use std::sync::Arc;
use std::time::Duration;

use crate::store::StoreError;
use crate::types::Entropy;
use crate::types::limits::STORE_RETRY_AFTER_MS_MAX;

/// The first pause; each further one is twice as long.
const PAUSE_MS_MIN: u64 = 100;
/// The longest pause that the gateway chooses by itself.
const PAUSE_MS_MAX: u64 = 5_000;

/// Why an attempt failed and whether another has a chance.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Refusal {
    #[source]
    pub(super) error: StoreError,
    pub(super) again: Again,
}

/// When the same request may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The answer is final.
    Never,
    /// At once: a connection that had been idle was closed by the other side.
    AtOnce,
    /// After a pause of the gateway's choice.
    Later,
    /// After a pause of the store's choice, in seconds.
    AfterSeconds(u64),
}

impl Refusal {
    pub(super) const fn last(error: StoreError) -> Self {
        Self {
            error,
            again: Again::Never,
        }
    }

    pub(super) const fn later(error: StoreError) -> Self {
        Self {
            error,
            again: Again::Later,
        }
    }

    pub(super) fn failed(reason: &str, again: Again) -> Self {
        let error = StoreError::Failed {
            reason: reason.to_owned(),
        };
        Self { error, again }
    }
}

/// The tries that one call has.
pub(super) struct Retries {
    left: u32,
    made: u32,
    entropy: Arc<dyn Entropy>,
}

impl Retries {
    pub(super) const fn new(retries: u32, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            left: retries,
            made: 0,
            entropy,
        }
    }

    /// Waits until the next try, or gives the error back when there is none.
    pub(super) async fn after(&mut self, refusal: Refusal) -> Result<(), StoreError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(refusal.error);
        };
        let mut random = [0; 4];
        // Without randomness the pause is merely less spread.
        let random = match self.entropy.fill(&mut random) {
            Ok(()) => u32::from_be_bytes(random),
            Err(_none) => 0,
        };
        let Some(pause) = pause(refusal.again, self.made, random) else {
            return Err(refusal.error);
        };
        self.left = left;
        self.made = self.made.saturating_add(1);
        tracing::debug!(error = %refusal.error, ?pause, "asking the store again");
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// Half of a pause is fixed and half is chance, so that many callers do not return as one.
fn pause(again: Again, made: u32, random: u32) -> Option<Duration> {
    let millis = match again {
        Again::Never => return None,
        Again::AtOnce => 0,
        Again::Later => {
            let doubled = 1_u64.checked_shl(made).unwrap_or(u64::MAX);
            let full = PAUSE_MS_MIN.saturating_mul(doubled).min(PAUSE_MS_MAX);
            spread(full / 2, full / 2, random)
        }
        Again::AfterSeconds(seconds) => {
            let asked = seconds.saturating_mul(1000).min(STORE_RETRY_AFTER_MS_MAX);
            spread(asked, PAUSE_MS_MIN, random)
        }
    };
    Some(Duration::from_millis(millis))
}

/// `fixed` and a random part of `chance`.
fn spread(fixed: u64, chance: u64, random: u32) -> u64 {
    // u32::MAX = 2^32 - 1, and chance is a few thousand: no overflow, and less than chance.
    let extra = chance.saturating_mul(u64::from(random)) >> 32;
    fixed.saturating_add(extra)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::CountingEntropy;

    #[test]
    fn pauses_double_and_are_spread_and_bounded() {
        let millis = |again, made, random| pause(again, made, random).map(|p| p.as_millis());
        assert_eq!(millis(Again::Later, 0, 0), Some(50));
        assert_eq!(millis(Again::Later, 0, u32::MAX), Some(99));
        assert_eq!(millis(Again::Later, 3, 0), Some(400));
        assert_eq!(millis(Again::Later, 99, u32::MAX), Some(4_999));
        assert_eq!(millis(Again::AtOnce, 9, 7), Some(0));
        assert_eq!(millis(Again::Never, 0, 0), None);
        assert_eq!(millis(Again::AfterSeconds(2), 0, 0), Some(2_000));
        assert_eq!(
            millis(Again::AfterSeconds(u64::MAX), 0, u32::MAX),
            Some(10_099)
        );
    }

    #[tokio::test]
    async fn tries_are_counted_and_the_last_error_is_told() {
        let mut retries = Retries::new(2, Arc::new(CountingEntropy::default()));
        for _ in 0..2 {
            let refusal = Refusal::failed("closed", Again::AtOnce);
            retries.after(refusal).await.unwrap();
        }
        let end = retries
            .after(Refusal::failed("closed", Again::AtOnce))
            .await;
        assert_eq!(end.unwrap_err().to_string(), "the store failed: closed");
    }

    #[tokio::test]
    async fn a_final_answer_is_not_asked_again() {
        let mut retries = Retries::new(9, Arc::new(CountingEntropy::default()));
        let end = retries.after(Refusal::last(StoreError::Denied)).await;
        assert!(matches!(end, Err(StoreError::Denied)));
    }
}
