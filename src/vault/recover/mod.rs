//! Rebuilding a lost catalog from the store and the keys, and saying what that cannot prove.
//!
//! A recovery begins with the newest base that is whole, follows the chain of snapshots from there
//! on, and counts what does not fit: snapshots that are missing or damaged, links that do not meet,
//! commits that another catalog wrote. Nothing is passed over in silence. While the store has blobs
//! that nothing explains, it looks for snapshots far beyond the last one.

mod find;
mod needs;
mod replay;

use std::collections::HashSet;

pub(super) use find::Listed;
use needs::Needs;
use replay::{Replay, numbered};

use super::Vault;
use super::error::{ErrorKind, VaultError};
use super::snapshot::POINTERS;
use crate::catalog::{Base, Chain, Since};
use crate::types::{BlobId, BucketName, DatasetId, Timestamp, limits};

/// What a recovery found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Blobs that the store lists.
    pub blobs: u64,
    /// The last commit that the base holds with which the recovery began, if it began with one.
    pub base: Option<u64>,
    /// First snapshots of newer bases that are not whole.
    pub damaged_bases: Vec<u64>,
    /// Snapshots read.
    pub snapshots: u64,
    /// Commits applied, those of the base left out.
    pub commits: u64,
    /// When the newest snapshot was made: what came after it is not in the result.
    pub newest: Option<Timestamp>,
    /// Numbers of snapshots that are not there. No loss by itself: a number may be passed over, and
    /// its commits are in a later one.
    pub missing_snapshots: Vec<u64>,
    /// Numbers of snapshots that are there and do not authenticate.
    pub damaged_snapshots: Vec<u64>,
    /// Numbers of snapshots that do not follow on what is before them: one was lost there, or
    /// replaced.
    pub broken_links: Vec<u64>,
    /// Where two catalogs wrote different commits under one number. What comes behind it is of
    /// another state, and left out.
    pub fork: Option<Fork>,
    /// Commits left out for that.
    pub forked_commits: u64,
    /// Commits between two snapshots that no snapshot holds.
    pub missing_commits: u64,
    /// Commits that rest on missing ones and could not be applied.
    pub refused_commits: u64,
    /// Datasets whose key the key ring does not have: erased, or the key ring is too old.
    pub keyless: Vec<BucketName>,
    /// Blobs that the catalog needs and the store does not list.
    pub missing_blobs: u64,
    /// Datasets with objects, parts or published versions that need such a blob, and how many.
    pub broken: Vec<(BucketName, u64)>,
    /// Blobs in the store that nothing refers to.
    pub unknown: Unknown,
    /// Whether the newest snapshot says that the catalog was in doubt: after a recovery that was
    /// not whole, or an adoption, and nobody had accepted it.
    pub was_doubted: bool,
    /// The number that the next snapshot gets.
    pub next_snapshot: u64,
}

/// Where the snapshots of two catalogs part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The first snapshot that holds other commits than those before it.
    pub snapshot: u64,
    /// The first commit that differs.
    pub commit: u64,
}

/// Blobs that nothing refers to: left by a crash, or written after the newest snapshot, or of
/// snapshots that the store did not show. By the store's own times.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Unknown {
    /// How many.
    pub blobs: u64,
    /// How many of them were written after the newest snapshot was made.
    pub later: u64,
    /// Between the first and the last of those, in ms, less what the listing took: a crash loses
    /// seconds, not more.
    pub later_ms: u64,
    /// Whether one may be that much later, as far as two clocks agree.
    pub maybe_later: bool,
}

impl Recovered {
    /// Whether everything that the snapshots speak of is there, and nothing says that some of them
    /// are not. What a crash leaves is ordinary.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.damaged_snapshots.is_empty()
            && self.damaged_bases.is_empty()
            && self.broken_links.is_empty()
            && self.fork.is_none()
            && self.missing_commits == 0
            && self.refused_commits == 0
            && self.keyless.is_empty()
            && self.missing_blobs == 0
            && !self.is_late()
    }

    /// Whether writes went on for so long after the newest snapshot that there must have been
    /// others: the store does not show them, or took none.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.unknown.later_ms >= limits::SNAPSHOT_LAG_WARN_MS
    }

    /// Whether the sweep must wait until a person accepts the result: another recovery, once the
    /// store shows more, may need what this one does not know.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        !self.is_whole() || self.unknown.maybe_later || self.was_doubted
    }
}

impl Vault {
    /// Fills an empty catalog from the snapshots in the store. `progress` hears what is done.
    /// Nothing is written into the store: [`Self::claim`] does that, once the catalog is in place.
    pub async fn recover(
        &self,
        progress: impl FnMut(&str) + Send,
    ) -> Result<Recovered, VaultError> {
        self.recover_within(limits::SNAPSHOT_SEARCH_MAX, progress)
            .await
    }

    /// The same; `search` is how far it looks for snapshots while blobs are unexplained.
    pub(super) async fn recover_within(
        &self,
        search: u64,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Recovered, VaultError> {
        let mut found = Recovered::default();
        if self.catalog.change_seq().await? != 0 {
            return Err(VaultError::new(
                ErrorKind::InvalidArgument,
                "the catalog is not empty",
            ));
        }
        progress("looking for snapshots in the store");
        let mut listed = self.list_snapshots().await?;
        if listed.found.is_empty() {
            // Those before a base are deleted, and its pointer may be gone.
            self.find_snapshots(&mut listed, 0, search).await;
        }
        found.blobs = u64::try_from(listed.names.len()).unwrap_or(u64::MAX);
        let mut replay = Replay::default();
        self.replay_base(&mut listed, &mut replay, &mut found)
            .await?;
        self.replay_changes(&listed, &mut replay, &mut found, &mut progress)
            .await?;
        progress("looking for what explains every blob");
        loop {
            found.unknown = self.unknown(&listed, found.newest).await?;
            let from = listed.next();
            // Without any, that far was looked already.
            let done = found.unknown.blobs == 0 || listed.found.is_empty();
            if done || !self.find_snapshots(&mut listed, from, search).await {
                break;
            }
            self.replay_changes(&listed, &mut replay, &mut found, &mut progress)
                .await?;
        }
        self.guard.forget();
        found.next_snapshot = listed.next();
        let there: HashSet<u64> = listed.found.iter().map(|(number, _)| *number).collect();
        let first = match found.base {
            Some(_) => listed.found.first().map_or(0, |(number, _)| *number),
            None => 0,
        };
        found.missing_snapshots = (first..found.next_snapshot)
            .filter(|number| !there.contains(number))
            .take(limits::PAGE_ENTRIES_MAX)
            .collect();
        progress("checking keys");
        self.check_keys(&mut found).await?;
        progress("checking that the store has every blob");
        self.check_blobs(&listed, &mut found).await?;
        self.begin_recovered(&listed, replay, &found).await?;
        Ok(found)
    }

    /// Lets change log and chain go on where the lost ones ended, with nothing to write: the
    /// snapshots that are in the store hold it all.
    async fn begin_recovered(
        &self,
        listed: &Listed,
        replay: Replay,
        found: &Recovered,
    ) -> Result<(), VaultError> {
        // No commit gets the number of one that was left out.
        let last = replay.applied.max(replay.highest);
        if self.catalog.change_seq().await? < last {
            self.catalog.commit(numbered(last, [])).await?;
        }
        let mut chain = Chain {
            lineage: self.lineage()?,
            head: replay.head,
            next: found.next_snapshot,
            upto: self.catalog.change_seq().await?,
            bases: listed.bases,
            floor: self.lowest(listed),
            // What comes behind a fork would be left out by the next recovery, too.
            unbased: found.fork.is_some(),
            doubted: found.is_doubtful().then(|| self.now()),
            ..Chain::default()
        };
        if let Some(first) = replay.begin {
            let behind = |from: u64| listed.found.iter().filter(move |each| each.0 >= from);
            let bytes = behind(first).map(|(_, bytes)| *bytes).sum();
            chain.base = Some(Base { first, bytes });
            // Those between, if any, are damaged.
            let before = listed.begins.iter().filter(|begin| **begin < first).max();
            chain.keep_from = before.copied().unwrap_or(0);
        }
        let behind = chain.base.as_ref().map_or(0, |base| base.first);
        let since = listed.found.iter().filter(|(number, _)| *number >= behind);
        chain.since = since.fold(Since::default(), |since, (_, bytes)| Since {
            count: since.count.saturating_add(1),
            bytes: since.bytes.saturating_add(*bytes),
        });
        Ok(self.catalog.keep_chain(&chain).await?)
    }

    /// The lowest number of a snapshot that is there.
    fn lowest(&self, listed: &Listed) -> u64 {
        let first = listed.found.first().map_or(0, |(number, _)| *number);
        let there = |number: &u64| {
            let id = self.keyring.snapshot_blob_id(*number);
            listed.names.contains_key(&id)
        };
        (0..first).find(there).unwrap_or(first)
    }

    /// Looks for every blob that a row refers to.
    async fn check_blobs(&self, listed: &Listed, found: &mut Recovered) -> Result<(), VaultError> {
        let mut needs = Needs::default();
        let mut cursor = None;
        loop {
            let (mutations, next) = self
                .catalog
                .dump(cursor, limits::SNAPSHOT_BYTES_MAX)
                .await?;
            for mutation in mutations {
                needs.look(mutation, &listed.names);
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

    /// Looks at the blobs that are no snapshot and that no row refers to.
    async fn unknown(
        &self,
        listed: &Listed,
        newest: Option<Timestamp>,
    ) -> Result<Unknown, VaultError> {
        let mut own: HashSet<BlobId> = HashSet::new();
        let pointers = POINTERS..POINTERS.saturating_add(listed.bases);
        // Those before the base are there until they are deleted.
        for number in (0..listed.next()).chain(pointers) {
            let id = self.keyring.snapshot_blob_id(number);
            if listed.names.contains_key(&id) {
                own.insert(id);
            }
        }
        let names = listed.names.keys().filter(|id| !own.contains(*id));
        let names: Vec<BlobId> = names.copied().collect();
        let newest = newest.map_or(0, Timestamp::millis);
        let mut unknown = Unknown::default();
        let (mut first, mut last) = (u64::MAX, 0);
        for chunk in names.chunks(limits::PAGE_ENTRIES_MAX) {
            let known = self.catalog.known_blobs(chunk).await?;
            for (id, _) in chunk.iter().zip(known).filter(|(_, known)| !known) {
                let modified = listed.names.get(id).map_or(0, |(_, time)| time.millis());
                unknown.blobs = unknown.blobs.saturating_add(1);
                unknown.maybe_later |=
                    modified.saturating_add(limits::SNAPSHOT_CLOCKS_APART_MS) > newest;
                if modified > newest {
                    unknown.later = unknown.later.saturating_add(1);
                    (first, last) = (first.min(modified), last.max(modified));
                }
            }
        }
        unknown.later_ms = last.saturating_sub(first);
        unknown.later_ms = unknown.later_ms.saturating_sub(listed.took_ms);
        Ok(unknown)
    }

    async fn check_keys(&self, found: &mut Recovered) -> Result<(), VaultError> {
        let mut all = self.all_datasets();
        while let Some(row) = all.next().await? {
            if self.keyring.dataset(&row.id).is_err() {
                found.keyless.push(row.bucket);
            }
        }
        Ok(())
    }
}
