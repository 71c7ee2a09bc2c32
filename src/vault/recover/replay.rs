//! Applying what the snapshots hold, in the order of the chain.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::find::Listed;
use super::{Fork, Recovered, Vault};
use crate::catalog::{CatalogError, Link, Mutation, codec};
use crate::types::limits;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::snapshot::{Back, Body, Snapshot, digest};

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
/// old ones; with higher ones, it would miss some.
pub(super) fn numbered<'a>(
    seq: u64,
    mutations: impl IntoIterator<Item = &'a Mutation>,
) -> Vec<Mutation> {
    let mut all = vec![Mutation::RestoreSeq(seq.saturating_sub(1))];
    all.extend(mutations.into_iter().cloned());
    all
}

/// How far a recovery is.
#[derive(Default)]
pub(super) struct Replay {
    batch: Batch,
    /// The last commit that was taken.
    pub(super) applied: u64,
    /// The last commit that the base holds.
    based: u64,
    /// The first snapshot of the base.
    pub(super) begin: Option<u64>,
    /// How many of the snapshots that were found are done with.
    done: usize,
    /// The newest snapshot that the store handed out.
    pub(super) head: Option<Link>,
    /// Where the chain was before the page of a base, which may be one that arrived late.
    before_page: Option<[u8; 32]>,
    /// Which catalog wrote the one before; version 1 does not say.
    lineage: Option<[u8; 32]>,
    /// Whether there was one before that authenticates.
    authentic: bool,
    /// The highest number of a commit, one that was left out among them.
    pub(super) highest: u64,
    /// Whether the chain may begin anywhere: behind it older snapshots were deleted.
    begun: bool,
    /// The newest commits, to tell what two snapshots hold from what two catalogs wrote.
    recent: BTreeMap<u64, [u8; 32]>,
}

impl Replay {
    /// Whether a snapshot follows on what was read before it.
    fn follows(&mut self, back: Option<Back>, page: bool, link: &Link) -> bool {
        let head = self.head.as_ref().map(|head| head.digest);
        let previous = back.map(|back| back.previous);
        let late = previous.is_some() && previous == self.before_page;
        let fits = !self.begun
            || previous.is_none_or(|previous| late || previous == head.unwrap_or_default());
        self.begun = true;
        self.before_page = match (page, late) {
            (true, true) => previous,
            (true, false) => head,
            (false, _) => None,
        };
        self.head = Some(link.clone());
        fits
    }

    /// Whether an older catalog was adopted here, which does not go on from what was read: it
    /// begins with the whole of itself, or, where that is lost, with commits further on. A recovery
    /// begins with nothing at all. **To be asked before [`Self::follows`].**
    fn is_adoption(&mut self, snapshot: &Snapshot) -> bool {
        let (before, another) = (self.lineage, self.authentic);
        self.lineage = snapshot.back.map(|back| back.lineage);
        self.authentic = true;
        if !another || self.lineage == before {
            return false;
        }
        match &snapshot.body {
            Body::Page { .. } => true,
            Body::Changes(changes) => {
                let next = self.applied.saturating_add(1);
                let first = changes.first().map(|(seq, _)| *seq);
                before.is_some() && first.is_some_and(|first| first > next)
            }
            Body::Pointer { .. } => false,
        }
    }

    /// Keeps in mind which commit has this number.
    fn remember(&mut self, seq: u64, change: &Bytes) {
        self.recent.insert(seq, digest(change));
        if self.recent.len() > limits::RECOVER_REMEMBERED_MAX {
            self.recent.pop_first();
        }
    }
}

impl Vault {
    /// Applies the newest base that is whole, and sets out behind it; without one, from the first
    /// snapshot on.
    pub(super) async fn replay_base(
        &self,
        listed: &mut Listed,
        replay: &mut Replay,
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        for first in listed.begins.clone() {
            if let Some(pages) = self.pages_of(listed, first).await? {
                return self.apply_base(listed, &pages, replay, found).await;
            }
            found.damaged_bases.push(first);
        }
        if !listed.begins.is_empty() {
            listed.found.clear();
            self.find_snapshots(listed, 0, limits::SNAPSHOT_GAP).await;
        }
        let lowest = listed.found.first().map(|(number, _)| *number);
        if lowest.is_some_and(|lowest| lowest > 0)
            && let Some(pages) = self.unpointed_base(listed).await?
        {
            return self.apply_base(listed, &pages, replay, found).await;
        }
        replay.begun = lowest.is_some();
        Ok(())
    }

    async fn apply_base(
        &self,
        listed: &Listed,
        pages: &[(u64, u64)],
        replay: &mut Replay,
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        for (place, (number, bytes)) in (1_u64..).zip(pages) {
            let read = self.read_snapshot(*number, *bytes).await?;
            let body = read.snapshot.map(|snapshot| snapshot.body);
            let Some(Body::Page {
                seq,
                last,
                mutations,
                ..
            }) = body
            else {
                let reason = "a page of a base was there and is not";
                return Err(VaultError::new(ErrorKind::Integrity, reason));
            };
            replay.based = seq;
            let place = if last { seq } else { place };
            self.gather(replay, (place, &mutations), found).await?;
        }
        self.apply(replay, found).await?;
        found.commits = 0;
        found.base = Some(replay.based);
        replay.applied = replay.based;
        replay.begin = pages.first().map(|(number, _)| *number);
        let first = replay.begin.unwrap_or(0);
        let before = listed.found.iter().take_while(|each| each.0 < first);
        replay.done = before.count();
        Ok(())
    }

    /// The pages of the newest base that is whole, where no pointer tells of it and the snapshots
    /// before it are gone: every one is read for that.
    async fn unpointed_base(&self, listed: &Listed) -> Result<Option<Vec<(u64, u64)>>, VaultError> {
        for (number, bytes) in listed.found.iter().rev() {
            let read = self.read_snapshot(*number, *bytes).await?;
            if let Some(Body::Page { first, page: 0, .. }) = read.snapshot.map(|one| one.body)
                && first == *number
                && let Some(pages) = self.pages_of(listed, first).await?
            {
                return Ok(Some(pages));
            }
        }
        Ok(None)
    }

    /// Number and length of the pages of a base, if all of them are there and authentic.
    async fn pages_of(
        &self,
        listed: &Listed,
        first: u64,
    ) -> Result<Option<Vec<(u64, u64)>>, VaultError> {
        let mut pages = Vec::new();
        let behind = listed.found.iter().filter(|(number, _)| *number >= first);
        for (number, bytes) in behind {
            let read = self.read_snapshot(*number, *bytes).await?;
            let body = read.snapshot.map(|snapshot| snapshot.body);
            let Some(Body::Page {
                first: of,
                page,
                last,
                ..
            }) = body
            else {
                continue;
            };
            if of != first {
                continue;
            }
            if usize::try_from(page).ok() != Some(pages.len()) {
                return Ok(None);
            }
            pages.push((*number, *bytes));
            if last {
                return Ok(Some(pages));
            }
        }
        Ok(None)
    }

    /// Applies the snapshots that were found and are not done with.
    pub(super) async fn replay_changes(
        &self,
        listed: &Listed,
        replay: &mut Replay,
        found: &mut Recovered,
        progress: &mut (impl FnMut(&str) + Send),
    ) -> Result<(), VaultError> {
        let all = listed.found.len();
        for (number, bytes) in listed.found.iter().skip(replay.done) {
            replay.done = replay.done.saturating_add(1);
            progress(&format!("snapshot {} of {all}", replay.done));
            let read = self.read_snapshot(*number, *bytes).await?;
            let Some(snapshot) = read.snapshot else {
                found.damaged_snapshots.push(*number);
                replay.head = read.link.or_else(|| replay.head.take());
                replay.begun = true;
                continue;
            };
            found.snapshots += 1;
            found.newest = found.newest.max(Some(snapshot.created));
            found.was_doubted = snapshot.back.is_some_and(|back| back.doubted);
            if replay.is_adoption(&snapshot) {
                let commit = replay.applied.saturating_add(1);
                let snapshot = *number;
                found.fork.get_or_insert(Fork { snapshot, commit });
            }
            let page = matches!(snapshot.body, Body::Page { .. });
            if let Some(link) = &read.link
                && !replay.follows(snapshot.back, page, link)
            {
                found.broken_links.push(*number);
            }
            if let Body::Changes(changes) = &snapshot.body {
                self.replay_one((*number, changes), replay, found).await?;
            }
        }
        self.apply(replay, found).await
    }

    async fn replay_one(
        &self,
        (number, changes): (u64, &[(u64, Bytes)]),
        replay: &mut Replay,
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        for (seq, change) in changes {
            replay.highest = replay.highest.max(*seq);
            // What the base holds already.
            if *seq <= replay.based {
                continue;
            }
            if found.fork.is_some() {
                found.forked_commits += 1;
                continue;
            }
            if *seq <= replay.applied {
                // A crash between store and catalog made two snapshots hold the same commits;
                // other commits under their numbers are those of another catalog.
                if replay.recent.get(seq) != Some(&digest(change)) {
                    found.forked_commits += 1;
                    found.fork = Some(Fork {
                        snapshot: number,
                        commit: *seq,
                    });
                }
                continue;
            }
            found.missing_commits += seq - replay.applied - 1;
            replay.applied = *seq;
            replay.remember(*seq, change);
            self.gather(replay, (*seq, change), found).await?;
        }
        Ok(())
    }

    async fn gather(
        &self,
        replay: &mut Replay,
        (seq, change): (u64, &Bytes),
        found: &mut Recovered,
    ) -> Result<(), VaultError> {
        let mutations = codec::decode(change).map_err(|error| {
            VaultError::caused(ErrorKind::Integrity, "a snapshot holds no change", error)
        })?;
        if replay.batch.bytes.saturating_add(change.len()) > BATCH_BYTES {
            self.apply(replay, found).await?;
        }
        replay.batch.bytes = replay.batch.bytes.saturating_add(change.len());
        replay.batch.commits.push((seq, mutations));
        Ok(())
    }

    /// Applies a batch as one commit; where that is refused, commit by commit.
    async fn apply(&self, replay: &mut Replay, found: &mut Recovered) -> Result<(), VaultError> {
        let commits = std::mem::take(&mut replay.batch).commits;
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
}
