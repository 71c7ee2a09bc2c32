//! Rebuilding a lost catalog from the store and the keys, and saying what that cannot prove.

use std::collections::{HashMap, HashSet};

use super::Vault;
use super::error::{ErrorKind, VaultError};
use crate::catalog::{CatalogError, Mutation, codec};
use crate::types::{BlobId, BucketName, Timestamp, limits};

/// What a recovery found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Blobs that the store lists.
    pub blobs: u64,
    /// Snapshots read.
    pub snapshots: u64,
    /// Commits applied.
    pub commits: u64,
    /// When the newest snapshot was made: what came after it is not in the result.
    pub newest: Option<Timestamp>,
    /// Numbers of snapshots that should be there and are not: commits are missing.
    pub missing_snapshots: Vec<u64>,
    /// Commits that no snapshot holds, though later ones are there.
    pub missing_commits: u64,
    /// Commits that could not be applied, because they rest on missing ones.
    pub unfit_commits: u64,
    /// Datasets whose key the key ring does not have: erased, or the key ring is too old.
    pub keyless: Vec<BucketName>,
    /// Blobs in the store that nothing refers to: written after the newest snapshot, or left by a
    /// crash.
    pub unknown_blobs: u64,
    /// The number that the next snapshot gets.
    pub next_snapshot: u64,
}

/// How far beyond the last snapshot found another one is looked for.
const GAP: u64 = 100_000;

impl Vault {
    /// Fills an empty catalog from the snapshots in the store. `progress` hears what is done.
    pub async fn recover(
        &self,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Recovered, VaultError> {
        let mut found = Recovered::default();
        if self.catalog.change_seq().await? != 0 {
            return Err(VaultError::new(
                ErrorKind::InvalidArgument,
                "the catalog is not empty",
            ));
        }
        progress("listing the store");
        let names = self.list_store().await?;
        found.blobs = u64::try_from(names.len()).unwrap_or(u64::MAX);
        progress("looking for snapshots");
        let snapshots = self.find_snapshots(&names)?;
        let mut applied = 0_u64;
        for (number, id, bytes) in &snapshots {
            progress(&format!("snapshot {} of {}", number + 1, snapshots.len()));
            let snapshot = self.read_snapshot(*number, *id, *bytes).await?;
            found.snapshots += 1;
            found.newest = found.newest.max(Some(snapshot.created));
            for (seq, change) in snapshot.changes {
                if seq <= applied {
                    continue;
                }
                let mutations = codec::decode(&change).map_err(|error| {
                    VaultError::caused(ErrorKind::Integrity, "a snapshot holds no change", error)
                })?;
                // A commit before the first one found is missing like any other.
                found.missing_commits += seq - applied - 1;
                if self.replay(seq, applied, mutations).await? {
                    found.commits += 1;
                } else {
                    found.unfit_commits += 1;
                }
                applied = seq;
            }
        }
        // The snapshots hold these; the next one begins behind them.
        self.catalog.forget_changes(applied).await?;
        self.guard.forget();
        found.next_snapshot = snapshots.last().map_or(0, |(number, ..)| number + 1);
        let there: HashSet<u64> = snapshots.iter().map(|(number, ..)| *number).collect();
        found.missing_snapshots = (0..found.next_snapshot)
            .filter(|number| !there.contains(number))
            .collect();
        progress("checking blobs and keys");
        self.check_recovered(&names, &snapshots, &mut found).await?;
        Ok(found)
    }

    /// Applies one commit under its old number, so that later snapshots count on from it. False
    /// when it rests on one that is missing: it stands for nothing then, and its number is kept.
    async fn replay(
        &self,
        seq: u64,
        applied: u64,
        mut mutations: Vec<Mutation>,
    ) -> Result<bool, VaultError> {
        let before = Mutation::RestoreSeq(seq - 1);
        if seq - applied > 1 {
            mutations.insert(0, before.clone());
        }
        match self.catalog.commit(mutations).await {
            Ok(()) => Ok(true),
            Err(CatalogError::Conflict(_)) => {
                self.catalog.commit(vec![before]).await?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The number that the next snapshot gets, by what the store holds.
    pub async fn next_snapshot(&self) -> Result<u64, VaultError> {
        let names = self.list_store().await?;
        let last = self
            .find_snapshots(&names)?
            .last()
            .map(|(number, ..)| *number);
        Ok(last.map_or(0, |number| number.saturating_add(1)))
    }

    async fn list_store(&self) -> Result<HashMap<BlobId, u64>, VaultError> {
        let mut names = HashMap::new();
        let mut after = None;
        loop {
            let page = self.store.list(after, limits::PAGE_ENTRIES_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(names);
            };
            after = Some(last.id);
            names.extend(page.iter().map(|entry| (entry.id, entry.bytes)));
        }
    }

    fn find_snapshots(
        &self,
        names: &HashMap<BlobId, u64>,
    ) -> Result<Vec<(u64, BlobId, u64)>, VaultError> {
        let mut found = Vec::new();
        let mut end = GAP;
        let mut number = 0;
        while number < end {
            let id = self.keyring.snapshot_blob_id(number);
            if let Some(bytes) = names.get(&id) {
                found.push((number, id, *bytes));
                end = number.saturating_add(GAP);
            }
            number += 1;
        }
        Ok(found)
    }

    async fn check_recovered(
        &self,
        names: &HashMap<BlobId, u64>,
        snapshots: &[(u64, BlobId, u64)],
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        let own: HashSet<BlobId> = snapshots.iter().map(|(_, id, _)| *id).collect();
        let names: Vec<BlobId> = names
            .keys()
            .filter(|id| !own.contains(*id))
            .copied()
            .collect();
        for chunk in names.chunks(limits::PAGE_ENTRIES_MAX) {
            let known = self.catalog.known_blobs(chunk).await?;
            let unknown = known.iter().filter(|known| !**known).count();
            found.unknown_blobs += u64::try_from(unknown).unwrap_or(u64::MAX);
        }
        let mut after: Option<BucketName> = None;
        loop {
            let page = self
                .catalog
                .datasets(after.as_ref(), limits::PAGE_ENTRIES_MAX)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.bucket.clone());
            let keyless = page
                .iter()
                .filter(|row| self.keyring.dataset(&row.id).is_err());
            found.keyless.extend(keyless.map(|row| row.bucket.clone()));
        }
    }
}
