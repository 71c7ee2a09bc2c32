//! Sweeping: what nothing refers to any more is deleted from the store, never earlier than a day
//! after it lost its last reference or was written.

mod uploads;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::Vault;
use super::error::VaultError;
use crate::catalog::Mutation;
use crate::store::StoreError;
use crate::store::locked::says_no;
use crate::types::{BlobId, Timestamp, limits};

/// The least age of what is swept: a day, whatever the configuration says.
pub const GRACE_MS_MIN: u64 = 24 * 60 * 60 * 1000;

/// Blobs that running requests have written and not committed yet: however slowly a client sends,
/// they are not swept.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashSet<BlobId>>);

impl InFlight {
    /// A poisoned lock says that everything is in flight: nothing is swept.
    fn holds(&self, blob: &BlobId) -> bool {
        self.0.lock().map_or(true, |blobs| blobs.contains(blob))
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> Option<BlobId> {
        self.0.lock().ok()?.iter().next().copied()
    }
}

/// The blobs of one request; they are in flight until this is dropped.
pub(super) struct Flight {
    registry: Arc<InFlight>,
    pub(super) blobs: Vec<BlobId>,
}

impl Flight {
    pub(super) const fn new(registry: Arc<InFlight>) -> Self {
        Self {
            registry,
            blobs: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, blob: BlobId) {
        if let Ok(mut all) = self.registry.0.lock() {
            all.insert(blob);
        }
        self.blobs.push(blob);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Ok(mut all) = self.registry.0.lock() {
            for blob in &self.blobs {
                all.remove(blob);
            }
        }
    }
}

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Uploads aborted for their age.
    pub uploads: u64,
    /// Blobs deleted that had lost their last reference.
    pub unreferenced: u64,
    /// Blobs deleted that no row ever referred to: what crashes left.
    pub orphans: u64,
    /// Blobs that the store did not delete; the next sweep tries them again.
    pub refused: u64,
    /// Nothing was done: the catalog was made by a recovery that left something open, or adopted,
    /// and nobody has accepted it yet.
    pub doubted: bool,
}

/// What is swept at which age.
#[derive(Debug, Clone, Copy)]
pub struct SweepAsk {
    /// Blobs this old, in ms; raised to [`GRACE_MS_MIN`].
    pub grace_ms: u64,
    /// Uploads of which nothing came for this long, in ms.
    pub upload_ms: u64,
}

/// What the store did not delete.
#[derive(Debug, Default, Clone, Copy)]
struct Refusals {
    all: u64,
    in_a_row: u64,
}

impl Vault {
    /// Aborts abandoned uploads and deletes what nothing refers to: only where the catalog is the
    /// vault's own, and whole. What another one, or a better recovery, needs must stay.
    pub async fn sweep(&self, ask: SweepAsk) -> Result<Swept, VaultError> {
        let mut swept = Swept::default();
        if self.check_chain().await?.doubted.is_some() {
            swept.doubted = true;
            return Ok(swept);
        }
        let now = self.settled_now().millis();
        let before = |age: u64| Timestamp::from_millis(now.saturating_sub(age));
        let grace = ask.grace_ms.max(GRACE_MS_MIN);
        swept.uploads = self.sweep_uploads(before(ask.upload_ms)).await?;
        let unissued = self.catalog.stale_publications(before(grace), 100).await?;
        for row in unissued {
            let (publication, now) = (row.id, self.settled_now());
            let undo = Mutation::DropPublication { publication, now };
            self.commit(vec![undo]).await?;
        }
        let mut refusals = Refusals::default();
        loop {
            self.look_at_chain().await?;
            let blobs = self.catalog.claim_unreferenced(before(grace), 100).await?;
            if blobs.is_empty() {
                break;
            }
            for blob in blobs {
                swept.unreferenced += self.sweep_blob(blob, &mut refusals).await?;
            }
        }
        swept.orphans = self.sweep_orphans(before(grace), &mut refusals).await?;
        swept.refused = refusals.all;
        Ok(swept)
    }

    async fn sweep_orphans(
        &self,
        before: Timestamp,
        refusals: &mut Refusals,
    ) -> Result<u64, VaultError> {
        let snapshots = self.snapshot_names().await?;
        let mut swept = 0;
        let mut after = None;
        loop {
            let page = self.store.list(after, limits::PAGE_ENTRIES_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(swept);
            };
            after = Some(last.id);
            let old: Vec<BlobId> = page
                .iter()
                .filter(|entry| entry.modified < before && !snapshots.contains(&entry.id))
                .map(|entry| entry.id)
                // First this, then the catalog: what commits in between is known by then.
                .filter(|id| !self.in_flight.holds(id))
                .collect();
            let known = self.surely_known(&old).await?;
            let orphans = old.iter().zip(known).filter(|(_, known)| !known);
            let orphans: Vec<BlobId> = orphans.map(|(blob, _)| *blob).collect();
            if !orphans.is_empty() {
                // A walk through a large store takes long, and the vault may be another's by now.
                self.look_at_chain().await?;
            }
            for blob in orphans {
                swept += self.sweep_blob(blob, refusals).await?;
            }
        }
    }

    /// Deletes a blob from the store; how many that were: 1, or 0 where the store denies it for
    /// this one, as under a retention, which keeps none after it from going. A store that fails, or
    /// denies all, ends the sweep; a file that the system keeps says nothing of any other.
    async fn sweep_blob(&self, blob: BlobId, refusals: &mut Refusals) -> Result<u64, VaultError> {
        let error = match self.store.delete(blob).await {
            Ok(()) => {
                refusals.in_a_row = 0;
                return Ok(1);
            }
            Err(error) if says_no(&error) => error,
            Err(error) => return Err(error.into()),
        };
        refusals.all += 1;
        refusals.in_a_row += u64::from(!matches!(error, StoreError::Kept { .. }));
        if refusals.in_a_row >= limits::SWEEP_REFUSALS_MAX {
            return Err(error.into());
        }
        if refusals.all == 1 {
            tracing::warn!(%blob, %error, "the store keeps what nothing refers to");
        }
        Ok(0)
    }

    /// Which of these blobs the catalog knows once all is done that was asked of it before. Who
    /// goes away while a commit of his waits in the queue has nothing in flight any more, and the
    /// commit is done all the same.
    pub(super) async fn surely_known(&self, blobs: &[BlobId]) -> Result<Vec<bool>, VaultError> {
        let known = self.catalog.known_blobs(blobs).await?;
        if known.iter().all(|known| *known) {
            return Ok(known);
        }
        // It takes nothing, and is answered when its turn has come.
        let _none = self
            .catalog
            .claim_unreferenced(Timestamp::default(), 0)
            .await?;
        Ok(self.catalog.known_blobs(blobs).await?)
    }
}
