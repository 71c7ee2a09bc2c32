//! Snapshots of the catalog into the store beside serving: how often, what happens while the store
//! takes none, and when the gateway must end because the vault is not its own any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::health::Health;
use super::shutdown::Shutdown;
use crate::types::Timestamp;
use crate::types::limits::SNAPSHOT_LAG_WARN_MS;
use crate::vault::{ChainFault, Vault, VaultError};

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// How often a failure that lasts is logged again.
const AGAIN_MS: u64 = 60 * 60 * 1000;

/// Writes snapshots.
pub(super) struct Snapshots {
    pub(super) vault: Arc<Vault>,
    pub(super) health: Arc<Health>,
    /// Tells that this gateway may not go on.
    pub(super) fault: watch::Sender<Option<ChainFault>>,
}

/// What failed, since when, and when it was last logged.
#[derive(Default)]
struct Failing {
    since: Option<Timestamp>,
    logged: Option<Timestamp>,
    count: u32,
}

impl Failing {
    /// How long to wait before the next try: twice as long each time.
    fn pause(&self, interval: Duration) -> Duration {
        let doubled = interval.saturating_mul(1 << self.count.min(10));
        doubled.min(PAUSE_MAX).max(interval)
    }

    /// Notes a failure; true where it is to be logged.
    fn note(&mut self, now: Timestamp) -> bool {
        self.count = self.count.saturating_add(1);
        self.since.get_or_insert(now);
        let again = self.logged.is_none_or(|last| now.since(last) >= AGAIN_MS);
        if again {
            self.logged = Some(now);
        }
        again
    }
}

impl Snapshots {
    /// Writes a snapshot every `interval` until the end, and a last one then. It ends early where
    /// catalog and store do not belong together any more.
    pub(super) async fn run(self, interval: Duration, shutdown: Shutdown) {
        let mut failing = Failing::default();
        let mut ended = false;
        while !ended {
            if failing.count > 0 {
                // Who waits for a snapshot does not make a store that refuses refuse more often.
                tokio::select! {
                    () = tokio::time::sleep(failing.pause(interval)) => {}
                    () = shutdown.stopped() => ended = true,
                }
            } else {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = self.vault.snapshot_wanted() => {}
                    () = shutdown.stopped() => ended = true,
                }
            }
            if self.write_all(&mut failing).await {
                return;
            }
        }
    }

    /// Writes all that is new; true where nothing may be written any more.
    async fn write_all(&self, failing: &mut Failing) -> bool {
        let began = self.vault.now();
        let failed = loop {
            match self.vault.write_snapshot().await {
                Ok(0) => break None,
                Ok(commits) => tracing::debug!(commits, "a snapshot is in the store"),
                Err(error) => break Some(error),
            }
        };
        let Some(error) = failed else {
            *failing = Failing::default();
            self.tell(Duration::ZERO, None).await;
            return false;
        };
        let again = failing.note(began);
        let lag = self.vault.now().since(failing.since.unwrap_or(began));
        let lag = Duration::from_millis(lag);
        let cause = error.reason();
        if again {
            let lag_s = lag.as_secs();
            tracing::error!(cause, lag_s, "the catalog's snapshot lags");
        }
        self.tell(lag, Some(&error)).await;
        let fault = error.chain_fault().filter(|fault| ends(*fault, lag));
        if let Some(fault) = fault {
            tracing::error!(%fault, "this gateway ends: the vault is not its own any more");
            self.fault.send_replace(Some(fault));
        }
        fault.is_some()
    }

    async fn tell(&self, lag: Duration, error: Option<&VaultError>) {
        let metrics = &self.health.metrics;
        metrics
            .snapshot_lag_seconds
            .set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
        if let Ok(waiting) = self.vault.commits_waiting().await {
            let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
            metrics.snapshot_waiting.set(waiting);
        }
        let late = lag >= Duration::from_millis(SNAPSHOT_LAG_WARN_MS);
        self.health.snapshots.note(match error {
            Some(error) if late || error.chain_fault().is_some() => Err(format!(
                "changes of the last {} minutes are in no snapshot: {}",
                lag.as_secs() / 60,
                error.reason()
            )),
            Some(_) | None => Ok(()),
        });
    }
}

/// Whether a gateway must end for this. That another catalog has gone on is seen by what it wrote;
/// a snapshot that is not there may be a replica's that lags, and is looked for again first.
fn ends(fault: ChainFault, lag: Duration) -> bool {
    match fault {
        ChainFault::Lost { .. } => lag >= Duration::from_millis(SNAPSHOT_LAG_WARN_MS),
        ChainFault::Older { .. } | ChainFault::Forked { .. } | ChainFault::Unbased => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlobId;

    #[test]
    fn a_snapshot_that_is_not_there_is_looked_for_again_before_the_gateway_ends() {
        let blob = BlobId::from_bytes([1; 16]);
        let lost = ChainFault::Lost { number: 3, blob };
        let patience = Duration::from_millis(SNAPSHOT_LAG_WARN_MS);
        assert!(!ends(lost, Duration::ZERO));
        assert!(!ends(
            lost,
            patience.saturating_sub(Duration::from_millis(1))
        ));
        assert!(ends(lost, patience));
        for fault in [
            ChainFault::Older { number: 3 },
            ChainFault::Forked { number: 3 },
            ChainFault::Unbased,
        ] {
            assert!(ends(fault, Duration::ZERO), "{fault}");
        }
    }

    #[test]
    fn a_store_that_refuses_is_asked_ever_less_and_told_of_every_hour() {
        let mut failing = Failing::default();
        let interval = Duration::from_secs(5);
        let at = |ms| Timestamp::from_millis(1_000 + ms);
        assert!(failing.note(at(0)), "the first is logged");
        assert_eq!(failing.pause(interval), interval * 2);
        assert!(!failing.note(at(AGAIN_MS - 1)));
        assert!(failing.note(at(AGAIN_MS)), "and again, as long as it lasts");
        for _ in 0..40 {
            failing.note(at(AGAIN_MS));
        }
        assert_eq!(failing.pause(interval), PAUSE_MAX);
        let hour = Duration::from_hours(1);
        assert_eq!(failing.pause(hour), hour, "never more often than asked for");
        assert_eq!(failing.since, Some(at(0)));
    }
}
