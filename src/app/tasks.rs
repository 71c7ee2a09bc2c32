//! What runs beside serving: last uses, work on keys, lifecycles, bases of the catalog, the sweep.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shutdown::Shutdown;
use crate::types::{KeyWorkId, limits};
use crate::vault::{ErrorKind, Noticed, SweepAsk, Unopened, Vault, VaultError};

/// How often last uses are written.
const USES_INTERVAL: Duration = Duration::from_mins(1);

/// Writes which grants and credentials were used, every minute and at the end.
pub(super) async fn keep_uses(vault: Arc<Vault>, shutdown: Shutdown) {
    let mut ended = false;
    while !ended {
        tokio::select! {
            () = tokio::time::sleep(USES_INTERVAL) => {}
            () = shutdown.draining() => ended = true,
        }
        if let Err(error) = vault.keep_uses().await {
            tracing::warn!(reason = error.reason(), "last uses were not written");
        }
    }
}

/// How long work on keys waits that only people can help on.
const KEY_WORK_HOPELESS: Duration = Duration::from_hours(1);
/// How often work on keys that another process began, or that a crash left, is looked for.
const KEY_WORK_INTERVAL: Duration = Duration::from_secs(10);

/// When work on keys is tried again that only people can help on. Each piece has its own time.
#[derive(Default)]
struct Later(HashMap<KeyWorkId, Instant>);

impl Later {
    /// Carries on all work that is due.
    async fn carry_on(&mut self, vault: &Vault) -> Result<(), VaultError> {
        let open = vault.open_key_works().await?;
        self.0.retain(|id, _| open.iter().any(|row| row.id == *id));
        for row in open {
            let due = self.0.get(&row.id);
            if due.is_some_and(|due| Instant::now() < *due) {
                continue;
            }
            if let Err(error) = vault.resume_key_work(&row, Unopened::Wait).await {
                let (work, dataset) = (row.id, row.dataset);
                tracing::warn!(%work, %dataset, reason = error.reason(), "work on keys waits");
                // It reads each row of a dataset: what only people mend is not tried all the time.
                // A store that lags behind the catalog mends itself.
                if error.kind() == ErrorKind::Integrity && error.chain_fault().is_none() {
                    self.0.insert(work, Instant::now() + KEY_WORK_HOPELESS);
                }
            }
        }
        Ok(())
    }
}

/// Carries on rotations and erasures, and notices those that other processes did.
pub(super) async fn work_on_keys(vault: Arc<Vault>, shutdown: Shutdown) {
    let mut noticed = Noticed::default();
    let mut later = Later::default();
    loop {
        if let Err(error) = later.carry_on(&vault).await {
            tracing::warn!(reason = error.reason(), "work on keys waits");
        }
        match vault.notice_key_works(&mut noticed).await {
            Ok(0) => {}
            Ok(keys) => tracing::warn!(keys, "destroyed keys were back and are destroyed again"),
            Err(error) => {
                let reason = error.reason();
                tracing::warn!(reason, "keys that should be gone may be there");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(KEY_WORK_INTERVAL) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Milliseconds of a setting.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes a base where one is due, and deletes snapshots that none needs; how many of each.
async fn rebase(vault: &Vault) -> Result<(u64, u64), VaultError> {
    let pages = if vault.base_is_due().await? {
        vault.rebase().await?
    } else {
        0
    };
    let pruned = vault.prune_snapshots(limits::SNAPSHOT_PRUNE_MAX).await?;
    Ok((pages, pruned))
}

/// Applies lifecycles and sweeps every `interval` until the end.
pub(super) async fn sweep(
    vault: Arc<Vault>,
    ask: SweepAsk,
    interval: Duration,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.draining() => return,
        }
        match vault.run_lifecycle(vault.now()).await {
            Ok(done) => tracing::info!(
                expired = done.expired,
                versions = done.versions,
                uploads = done.uploads,
                refused = done.refused,
                "rules of lifecycles were applied"
            ),
            Err(error) => tracing::warn!(reason = error.reason(), "lifecycles stopped early"),
        }
        match rebase(&vault).await {
            Ok((0, 0)) => {}
            Ok((pages, pruned)) => tracing::info!(pages, pruned, "the catalog's base"),
            Err(error) => tracing::warn!(reason = error.reason(), "no base of the catalog"),
        }
        match vault.sweep(ask).await {
            Ok(swept) => tracing::info!(
                uploads = swept.uploads,
                unreferenced = swept.unreferenced,
                orphans = swept.orphans,
                refused = swept.refused,
                doubted = swept.doubted,
                "swept"
            ),
            Err(error) => tracing::warn!(reason = error.reason(), "the sweep stopped early"),
        }
    }
}
