//! What runs beside serving: snapshots of the catalog into the store, lifecycles and the sweep.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::shutdown::Shutdown;
use crate::vault::{ErrorKind, SweepAsk, Unopened, Vault, VaultError};

/// Why the number of the next snapshot is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file that keeps it cannot be read or written.
    #[error("cannot keep the snapshot's number file={}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store or the catalog failed.
    #[error("the snapshot was not written")]
    Vault(#[from] VaultError),
}

/// The number of the next snapshot, kept in a file beside the catalog. A number is given out once:
/// the file says `n + 1` before snapshot `n` is written, so that no blob is ever written twice.
pub struct Snapshots {
    vault: Arc<Vault>,
    file: PathBuf,
    next: AtomicU64,
}

impl Snapshots {
    /// Reads the number; where the file is missing, asks the store.
    pub async fn open(vault: Arc<Vault>, catalog: &Path) -> Result<Self, SnapshotError> {
        let file = catalog.with_extension("snapshots");
        let kept = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse::<u64>().ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(SnapshotError::File { path: file, source }),
        };
        let next = match kept {
            Some(next) => next,
            None => vault.next_snapshot().await?,
        };
        Ok(Self {
            vault,
            file,
            next: AtomicU64::new(next),
        })
    }

    /// Keeps the number that a recovery found, for the catalog that it made; a higher one that is
    /// kept already stays.
    pub fn restore(catalog: &Path, next: u64) -> Result<u64, SnapshotError> {
        let file = catalog.with_extension("snapshots");
        let kept = std::fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let next = kept.map_or(next, |kept| kept.max(next));
        keep(&file, next).map_err(|source| SnapshotError::File { path: file, source })?;
        Ok(next)
    }

    /// The number that the next snapshot gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Writes what changed; returns how many commits that was.
    pub async fn write(&self) -> Result<usize, SnapshotError> {
        if !self.vault.has_changes().await? {
            return Ok(0);
        }
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        keep(&self.file, number.saturating_add(1)).map_err(|source| SnapshotError::File {
            path: self.file.clone(),
            source,
        })?;
        Ok(self.vault.write_snapshot(number).await?)
    }

    /// Writes a snapshot every `interval` until the end, and a last one then.
    pub async fn run(&self, interval: Duration, shutdown: Shutdown) {
        let mut ended = false;
        let mut failing = false;
        while !ended {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.vault.snapshot_wanted() => {}
                () = shutdown.stopped() => ended = true,
            }
            loop {
                match self.write().await {
                    Ok(0) => {
                        failing = false;
                        break;
                    }
                    Ok(commits) => tracing::debug!(commits, "a snapshot is in the store"),
                    Err(error) => {
                        if !failing {
                            let cause = reason(&error);
                            tracing::error!(%error, cause, "the catalog's snapshot lags");
                        }
                        failing = true;
                        break;
                    }
                }
            }
        }
    }
}

fn reason(error: &SnapshotError) -> String {
    match error {
        SnapshotError::File { source, .. } => source.to_string(),
        SnapshotError::Vault(error) => error.reason(),
    }
}

/// Makes the number durable.
fn keep(file: &Path, next: u64) -> std::io::Result<()> {
    super::found::write_file(file, format!("{next}\n").as_bytes(), 0o600)?;
    let folder = file.parent().filter(|path| !path.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

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

/// Carries on rotations and erasures, and notices those that other processes did.
pub(super) async fn work_on_keys(vault: Arc<Vault>, shutdown: Shutdown) {
    let mut seen = None;
    let mut due = Instant::now();
    loop {
        if due <= Instant::now()
            && let Err(error) = vault.resume_key_works(Unopened::Wait).await
        {
            tracing::warn!(reason = error.reason(), "work on keys waits");
            // It reads each row of a dataset: what only people mend is not tried all the time.
            if error.kind() == ErrorKind::Integrity {
                due = Instant::now() + KEY_WORK_HOPELESS;
            }
        }
        match vault.notice_key_works(&mut seen).await {
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

/// Applies lifecycles and sweeps every `interval` until the end.
pub(super) async fn sweep(
    vault: Arc<Vault>,
    snapshots: Arc<Snapshots>,
    ask: SweepAsk,
    interval: Duration,
    shutdown: Shutdown,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.draining() => return,
        }
        let ask = SweepAsk {
            next_snapshot: snapshots.next(),
            ..ask
        };
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
        match vault.sweep(ask).await {
            Ok(swept) => tracing::info!(
                uploads = swept.uploads,
                unreferenced = swept.unreferenced,
                orphans = swept.orphans,
                "swept"
            ),
            Err(error) => tracing::warn!(reason = error.reason(), "the sweep stopped early"),
        }
    }
}
