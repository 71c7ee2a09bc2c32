//! Rebuilding a lost catalog from the store and the keys, and saying what that cannot prove.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::Vault;
use super::error::{ErrorKind, VaultError};
use crate::catalog::{BlobUse, CatalogError, Mutation, codec};
use crate::types::{BlobId, BucketName, DatasetId, Timestamp, UploadId, limits};

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
    /// Numbers of snapshots that are not there. No loss by itself: a number whose writing failed
    /// is never used again, and its commits are in a later one.
    pub missing_snapshots: Vec<u64>,
    /// Numbers of snapshots that are there and do not authenticate.
    pub damaged_snapshots: Vec<u64>,
    /// Commits between two snapshots that no snapshot holds.
    pub missing_commits: u64,
    /// Commits that rest on missing ones and could not be applied.
    pub refused_commits: u64,
    /// Datasets whose key the key ring does not have: erased, or the key ring is too old.
    pub keyless: Vec<BucketName>,
    /// Blobs that the catalog needs and the store does not list.
    pub missing_blobs: u64,
    /// Datasets with objects or parts that need such a blob, and how many.
    pub broken: Vec<(BucketName, u64)>,
    /// Blobs in the store that nothing refers to: written after the newest snapshot, or left by a
    /// crash.
    pub unknown_blobs: u64,
    /// The number that the next snapshot gets.
    pub next_snapshot: u64,
}

impl Recovered {
    /// Whether everything that the snapshots speak of is there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.damaged_snapshots.is_empty()
            && self.missing_commits == 0
            && self.refused_commits == 0
            && self.keyless.is_empty()
            && self.missing_blobs == 0
    }
}

/// Commits that are applied as one while they take no more bytes: an fsync for each would make a
/// large catalog wait for hours.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Commits on their way into the catalog.
#[derive(Default)]
struct Batch {
    /// Each with its number.
    commits: Vec<(u64, Vec<Mutation>)>,
    bytes: usize,
}

/// A commit that gets this number: with lower ones, the next recovery would take new commits for
/// old ones and pass over them; with higher ones, it would miss some.
fn numbered<'a>(seq: u64, mutations: impl IntoIterator<Item = &'a Mutation>) -> Vec<Mutation> {
    let mut all = vec![Mutation::RestoreSeq(seq.saturating_sub(1))];
    all.extend(mutations.into_iter().cloned());
    all
}

/// What a dump shows to need blobs, and which are not there.
#[derive(Default)]
struct Needs {
    datasets: HashMap<DatasetId, BucketName>,
    uploads: HashMap<UploadId, DatasetId>,
    missing: HashSet<BlobId>,
    broken: HashMap<DatasetId, u64>,
}

impl Needs {
    fn look(&mut self, mutation: Mutation, names: &HashMap<BlobId, u64>) {
        if let Mutation::CreateDataset(row) = mutation {
            self.datasets.insert(row.id, row.bucket);
        } else if let Mutation::CreateUpload(row) = mutation {
            self.uploads.insert(row.id, row.dataset);
        } else if let Mutation::PutObject { row, blobs, .. } = mutation {
            self.row(Some(row.dataset), &blobs, names);
        } else if let Mutation::RestoreVersion { row, blobs, .. } = mutation {
            self.row(Some(row.dataset), &blobs, names);
        } else if let Mutation::PutPart { row, blobs } = mutation {
            let dataset = self.uploads.get(&row.upload).copied();
            self.row(dataset, &blobs, names);
        }
    }

    fn row(&mut self, dataset: Option<DatasetId>, blobs: &BlobUse, names: &HashMap<BlobId, u64>) {
        let needed = blobs.shared.iter().chain(&blobs.fresh);
        let gone: Vec<BlobId> = needed
            .filter(|id| !names.contains_key(*id))
            .copied()
            .collect();
        if let (Some(dataset), false) = (dataset, gone.is_empty()) {
            *self.broken.entry(dataset).or_default() += 1;
        }
        self.missing.extend(gone);
    }
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
        let snapshots = self.find_snapshots(&names);
        let mut applied = 0_u64;
        let mut batch = Batch::default();
        for (read, (number, id, bytes)) in (1_u64..).zip(&snapshots) {
            progress(&format!("snapshot {read} of {}", snapshots.len()));
            let snapshot = match self.read_snapshot(*number, *id, *bytes).await {
                Ok(snapshot) => snapshot,
                Err(error) if error.kind() == ErrorKind::Integrity => {
                    found.damaged_snapshots.push(*number);
                    continue;
                }
                Err(error) => return Err(error),
            };
            found.snapshots += 1;
            found.newest = found.newest.max(Some(snapshot.created));
            for (seq, change) in snapshot.changes {
                // A crash between store and catalog makes two snapshots hold the same commits.
                if seq <= applied {
                    continue;
                }
                found.missing_commits += seq - applied - 1;
                applied = seq;
                self.gather(&mut batch, (seq, &change), &mut found).await?;
            }
        }
        self.apply(&mut batch, &mut found).await?;
        self.close_change_log(applied).await?;
        self.guard.forget();
        found.next_snapshot = snapshots.last().map_or(0, |(number, ..)| number + 1);
        let there: HashSet<u64> = snapshots.iter().map(|(number, ..)| *number).collect();
        found.missing_snapshots = (0..found.next_snapshot)
            .filter(|number| !there.contains(number))
            .collect();
        progress("checking keys and unknown blobs");
        self.check_recovered(&names, &snapshots, &mut found).await?;
        progress("checking that the store has every blob");
        self.check_blobs(&names, &mut found).await?;
        Ok(found)
    }

    async fn gather(
        &self,
        batch: &mut Batch,
        (seq, change): (u64, &Bytes),
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        let mutations = codec::decode(change).map_err(|error| {
            VaultError::caused(ErrorKind::Integrity, "a snapshot holds no change", error)
        })?;
        if batch.bytes.saturating_add(change.len()) > BATCH_BYTES {
            self.apply(batch, found).await?;
        }
        batch.bytes = batch.bytes.saturating_add(change.len());
        batch.commits.push((seq, mutations));
        Ok(())
    }

    /// Applies a batch as one commit; where that is refused, commit by commit.
    async fn apply(&self, batch: &mut Batch, found: &mut Recovered) -> Result<(), VaultError> {
        let commits = std::mem::take(batch).commits;
        let Some((last, _)) = commits.last() else {
            return Ok(());
        };
        let all = commits.iter().flat_map(|(_, mutations)| mutations);
        match self.catalog.commit(numbered(*last, all)).await {
            Ok(()) => {
                found.commits += u64::try_from(commits.len()).unwrap_or(u64::MAX);
                return Ok(());
            }
            Err(CatalogError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
        for (seq, mutations) in &commits {
            match self.catalog.commit(numbered(*seq, mutations)).await {
                Ok(()) => found.commits += 1,
                Err(CatalogError::Conflict(_)) => found.refused_commits += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Lets the change log go on where the lost one ended, with nothing to write: the snapshots
    /// that are in the store hold it all.
    async fn close_change_log(&self, applied: u64) -> Result<(), VaultError> {
        if self.catalog.change_seq().await? < applied {
            self.catalog.commit(numbered(applied, [])).await?;
        }
        let upto = self.catalog.change_seq().await?;
        Ok(self.catalog.forget_changes(upto).await?)
    }

    /// Looks for every blob that a row refers to.
    async fn check_blobs(
        &self,
        names: &HashMap<BlobId, u64>,
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        let mut needs = Needs::default();
        let mut cursor = None;
        loop {
            let (mutations, next) = self
                .catalog
                .dump(cursor, limits::SNAPSHOT_BYTES_MAX)
                .await?;
            for mutation in mutations {
                needs.look(mutation, names);
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        found.missing_blobs = u64::try_from(needs.missing.len()).unwrap_or(u64::MAX);
        let datasets = &needs.datasets;
        let of_dataset = |(id, count): (DatasetId, u64)| Some((datasets.get(&id)?.clone(), count));
        found.broken = needs.broken.into_iter().filter_map(of_dataset).collect();
        found.broken.sort();
        Ok(())
    }

    /// The number that the next snapshot gets, by what the store holds.
    pub async fn next_snapshot(&self) -> Result<u64, VaultError> {
        let names = self.list_store().await?;
        let last = self
            .find_snapshots(&names)
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

    fn find_snapshots(&self, names: &HashMap<BlobId, u64>) -> Vec<(u64, BlobId, u64)> {
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
        found
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
