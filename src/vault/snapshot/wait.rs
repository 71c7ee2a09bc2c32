//! Waiting for a snapshot that holds a commit.

use std::time::Duration;

use super::Vault;
use crate::vault::error::{ErrorKind, VaultError};

/// How long an acknowledgement waits for its snapshot.
const WAIT: Duration = Duration::from_secs(30);

/// How often who waits looks for a snapshot that another process wrote.
const LOOK: Duration = Duration::from_millis(200);

impl Vault {
    /// Returns when somebody waits for a snapshot.
    pub async fn snapshot_wanted(&self) {
        self.snapshots.wanted.notified().await;
    }

    /// Waits until a snapshot holds what was committed. If none comes, the write stands in the
    /// catalog all the same, unacknowledged.
    pub(in crate::vault) async fn wait_for_snapshot(&self) -> Result<(), VaultError> {
        // Whatever is wrong here, the write stands: never an error that says it does not.
        let seq = self.catalog.change_seq().await.map_err(|error| {
            VaultError::caused(ErrorKind::Unavailable, "no snapshot can be awaited", error)
        })?;
        self.snapshot_covers(seq, WAIT).await
    }

    /// Waits until snapshots in the store hold all commits up to `seq`, whichever process writes
    /// them; after `patience` it is [`ErrorKind::Unavailable`]. **Nobody writes one by this**: in a
    /// gateway the task of the snapshots does, a command alone calls [`Self::write_snapshot`].
    pub async fn snapshot_covers(&self, seq: u64, patience: Duration) -> Result<(), VaultError> {
        let mut covered = self.snapshots.covered.subscribe();
        let wait = async {
            self.snapshots.wanted.notify_one();
            loop {
                let chain = self.catalog.chain().await?;
                if chain.is_some_and(|chain| chain.upto >= seq) {
                    return Ok(());
                }
                let told = covered.wait_for(|upto| *upto >= seq);
                if matches!(tokio::time::timeout(LOOK, told).await, Ok(Ok(_))) {
                    return Ok(());
                }
            }
        };
        let waited: Result<Result<(), VaultError>, _> = tokio::time::timeout(patience, wait).await;
        match waited {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(VaultError::caused(
                ErrorKind::Unavailable,
                "no snapshot can be awaited",
                error,
            )),
            Err(_late) => Err(VaultError::new(
                ErrorKind::Unavailable,
                "no snapshot holds the write yet",
            )),
        }
    }

    /// Waits until the snapshots in the store hold all that is committed by now, for what comes
    /// next and cannot be taken back. As long as they come nearer it waits on; who writes them may
    /// be another process.
    pub(in crate::vault) async fn settle_in_snapshots(&self) -> Result<(), VaultError> {
        if !self.settings.snapshots_kept {
            return Ok(());
        }
        let seq = self.catalog.change_seq().await?;
        let mut upto = self.covered_upto().await?;
        loop {
            let waited = self.snapshot_covers(seq, WAIT).await;
            let now = self.covered_upto().await?;
            if waited.is_ok() {
                return Ok(());
            }
            if now <= upto {
                return Err(VaultError::new(
                    ErrorKind::Unavailable,
                    "no snapshot in the store holds the new tables yet, so the old keys stay; the \
                     work goes on by itself once the store takes snapshots",
                ));
            }
            upto = now;
        }
    }

    /// The last commit that a snapshot holds.
    async fn covered_upto(&self) -> Result<u64, VaultError> {
        Ok(self.catalog.chain().await?.map_or(0, |chain| chain.upto))
    }

    /// How many commits no snapshot holds.
    pub async fn commits_waiting(&self) -> Result<u64, VaultError> {
        let upto = self.covered_upto().await?;
        Ok(self.catalog.change_seq().await?.saturating_sub(upto))
    }

    /// Whether the catalog has changes that no snapshot holds.
    pub async fn has_changes(&self) -> Result<bool, VaultError> {
        Ok(!self.catalog.changes(0, 1).await?.is_empty())
    }
}
