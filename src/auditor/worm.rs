//! Locks on the log's volumes (S3 Object Lock): each is locked until the first of what it holds is
//! over, and a little longer; longer terms lengthen the locks, shorter ones leave them. A locked
//! volume is read by its version, so that a mark in front of it or another version over it hides
//! nothing; both are somebody's doing, and told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::archive::{Archive, LogKeys, away, gather, placed, unreadable, within};
use crate::app::{VolumeStore, Wormed, demand_locks, prove_locks};
use crate::archive::{Held, Index, Place, Volume};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::words::count;
use crate::config::{Config, StoreKind};
use crate::ledger::{DAY_MS, Scope, Segment};
use crate::store::locked::{After, PROBE, PinnedStore, SharedLocks, Version, VersionId, says_no};
use crate::store::{SharedStore, StoreError};
use crate::types::limits::{
    ARCHIVE_VOLUMES_MAX, STORE_LIST_PAGES_MAX, WORM_MARGIN_MS, WORM_NAMED_MAX, WORM_TRIAL_MS,
};
use crate::types::{BlobId, Retention, RetentionMode, Timestamp};

/// A volume that was written and came back.
pub(super) struct Settled {
    pub(super) volume: Volume,
    pub(super) id: BlobId,
    pub(super) bytes: u64,
    /// Its version, where it is under a lock.
    pub(super) version: Option<VersionId>,
}

/// What a sweep did and saw.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Swept {
    /// Volumes that were removed.
    pub(super) gone: u64,
    /// Volumes that nothing needs any more and that are locked, and when the first may go.
    pub(super) waiting: u64,
    pub(super) until: Option<Timestamp>,
    /// What others did to the volumes: the first of it in words, and how much there is.
    pub(super) strange: Vec<String>,
    pub(super) strangers: u64,
    /// Volumes of the index that are not in the store any more.
    pub(super) missing: BTreeSet<BlobId>,
    /// Volumes that nothing needs any more and that the store does not let go.
    pub(super) kept: u64,
    /// Locked versions that were read to see whose they are.
    looked: usize,
}

impl Swept {
    fn wait(&mut self, until: Timestamp) {
        self.waiting = self.waiting.saturating_add(1);
        self.until = Some(self.until.map_or(until, |first| first.min(until)));
    }

    fn accuse(&mut self, words: String) {
        self.strangers = self.strangers.saturating_add(1);
        if self.strange.len() < WORM_NAMED_MAX {
            self.strange.push(words);
        }
    }

    /// Says what waits, what somebody did and what is lost; how a command ends that saw it.
    pub(super) fn tell(&self, output: &mut Output) -> Exit {
        if let Some(until) = self.until {
            output.note(&format!(
                "{} locked in the store and go when their locks end, the first after {until}",
                count(self.waiting, "replaced volume is", "replaced volumes are")
            ));
        }
        for words in &self.strange {
            output.note(&format!("warning: {words}"));
        }
        if self.strangers > 0 {
            output.hint(&format!(
                "{}: Kluis does none of it. Every locked volume is read by its \
                 version; the store's access log says who it was (`kluis-audit reconcile`)",
                count(self.strangers, "such finding", "such findings")
            ));
        }
        if self.kept > 0 {
            output.note(&format!(
                "warning: the store does not let {} go; the next run tries again",
                count(self.kept, "replaced volume", "replaced volumes")
            ));
        }
        for id in self.missing.iter().take(WORM_NAMED_MAX) {
            output.note(&format!(
                "warning: volume {id} is not in the store any more"
            ));
        }
        if self.missing.is_empty() {
            return Exit::Done;
        }
        output.hint(&format!(
            "{} missing: Kluis removes none that the index names. Bring back what is missing from a \
             copy of the store; the log still proves what was in it",
            count(self.missing.len(), "volume is", "volumes are")
        ));
        Exit::No
    }
}

/// Until when a volume is locked: until the first of its records may go, and for as long as writing
/// it again without them may take. The clock bounds it: no segment from the future locks longer.
pub(super) fn held_until(segments: &[Segment], place: &Place, keys: &LogKeys) -> Timestamp {
    let key = keys.notary.scope_key();
    let named: BTreeMap<_, Scope> = keys.kept.scopes().map(|s| (key.tag(&s), s)).collect();
    let expired = place.meta.expired();
    let tags = segments.iter().flat_map(|segment| &segment.scopes);
    let left = tags.filter(|root| !expired.contains(&root.tag));
    // Of a scope whose name is not known nothing is known: it is kept as long as any.
    let days = left.map(|root| {
        keys.kept
            .days(named.get(&root.tag).unwrap_or(&Scope::Vault))
    });
    let newest = segments.iter().map(|segment| segment.time).max();
    let newest = newest.unwrap_or(keys.now).min(keys.now);
    let Some(days) = days.min() else {
        // It holds nothing any more.
        return newest;
    };
    let term = DAY_MS.saturating_mul(u64::from(days));
    newest.plus_millis(term.saturating_add(WORM_MARGIN_MS))
}

/// The locks of the volumes' place.
pub(super) struct Locks {
    place: SharedLocks,
    pinned: Arc<PinnedStore>,
    /// How volumes are locked; `None` where they are not.
    pub(super) mode: Option<RetentionMode>,
}

impl Locks {
    /// The store as volumes are read from it, and its locks.
    pub(super) fn over(volumes: VolumeStore) -> (SharedStore, Option<Self>) {
        let Some(place) = volumes.locks else {
            return (volumes.store, None);
        };
        let pinned = Arc::new(PinnedStore::new(volumes.store, Arc::clone(&place)));
        let store: SharedStore = Arc::<PinnedStore>::clone(&pinned);
        let locks = Self {
            place,
            pinned,
            mode: None,
        };
        (store, Some(locks))
    }

    /// Reads these volumes by their versions from here on.
    pub(super) fn pin(&self, index: &Index) -> Result<(), CliError> {
        let mut pins = BTreeMap::new();
        for place in index.volumes() {
            if let Some(held) = &place.held {
                pins.insert(blob(place)?, version(held)?);
            }
        }
        self.pinned.pin(pins);
        Ok(())
    }

    /// Whether the place has locks at all: then it has versions, too. Who may not ask has them
    /// where the index names what is locked, and nowhere else.
    pub(super) async fn are_there(&self, index: &Index) -> Result<bool, CliError> {
        match self.place.has_locks().await {
            Err(StoreError::Denied) => Ok(index.volumes().iter().any(|place| place.held.is_some())),
            there => there.map_err(|error| away(&error)),
        }
    }

    /// Writes a volume under a lock for as long as it takes to see whether it holds.
    pub(super) async fn try_out(
        &self,
        id: BlobId,
        bytes: Bytes,
        (mode, now): (RetentionMode, Timestamp),
    ) -> Result<VersionId, CliError> {
        let retention = Retention {
            mode,
            until: now.plus_millis(WORM_TRIAL_MS),
        };
        let put = self.place.put_locked(id, bytes, retention).await;
        put.map_err(|error| away(&error))
    }

    pub(super) async fn get(
        &self,
        id: BlobId,
        version: &VersionId,
        bytes: u64,
    ) -> Result<Bytes, CliError> {
        within(bytes)?;
        let stream = self.place.get_version(id, version, 0..bytes, bytes);
        gather(stream.await).await
    }

    /// Whether a version needs no other lock: it has one until then, as strict as is asked for.
    pub(super) fn keeps(&self, held: &Held, until: Timestamp) -> bool {
        let strict = held.compliance || self.mode != Some(RetentionMode::Compliance);
        strict && held.until_ms >= until.millis()
    }

    /// Locks a version until then at least, and sees that the store tells of it. What is locked in
    /// governance mode and may not become stricter stays so, for longer.
    pub(super) async fn hold(
        &self,
        id: BlobId,
        version: &VersionId,
        until: Timestamp,
    ) -> Result<Held, CliError> {
        let Some(mut mode) = self.mode else {
            return Err(CliError::new(Exit::No, "volumes are not locked here"));
        };
        let there = self.place.retention(id, version).await;
        let mut there = there.map_err(|error| away(&error))?;
        if !there.is_some_and(|there| holds(there, mode, until)) {
            // What is under compliance stays under it.
            let strict = there.filter(|there| there.mode == RetentionMode::Compliance);
            mode = strict.map_or(mode, |there| there.mode);
            let wanted = Retention { mode, until };
            mode = self.retain((id, version), there, wanted).await?;
            let told = self.place.retention(id, version).await;
            there = told.map_err(|error| away(&error))?;
        }
        match there.filter(|there| holds(*there, mode, until)) {
            Some(there) => Ok(Held {
                version: version.as_str().to_owned(),
                until_ms: until.millis(),
                compliance: there.mode == RetentionMode::Compliance,
            }),
            None => Err(CliError::new(
                Exit::No,
                "the store took a lock on a volume and does not tell of it",
            )
            .hint("`kluis doctor` says what the store lacks")),
        }
    }

    /// Sets a lock in the mode that is wanted, or in that of the one that is there; in which.
    async fn retain(
        &self,
        (id, version): (BlobId, &VersionId),
        there: Option<Retention>,
        wanted: Retention,
    ) -> Result<RetentionMode, CliError> {
        let mut mode = wanted.mode;
        let mut told = self.place.retain(id, version, wanted).await;
        if told.as_ref().is_err_and(says_no)
            && let Some(there) = there.filter(|there| there.mode != wanted.mode)
        {
            mode = there.mode;
            let until = wanted.until;
            if there.until >= until {
                return Ok(mode);
            }
            told = self
                .place
                .retain(id, version, Retention { mode, until })
                .await;
        }
        match told {
            Ok(()) => Ok(mode),
            Err(error) if says_no(&error) => Err(CliError::new(
                Exit::No,
                format!(
                    "the store refuses to lock volume {id} until {}",
                    wanted.until
                ),
            )
            .hint("its credential needs the right to set retentions")),
            Err(error) => Err(away(&error)),
        }
    }

    /// Every version in the place, page by page.
    async fn page(&self, after: Option<After>) -> Result<(Vec<Version>, Option<After>), CliError> {
        let page = self.place.versions(None, after).await;
        let page = page.map_err(|error| away(&error))?;
        let of_volumes = page.found.into_iter().filter(|seen| seen.id != PROBE);
        Ok((of_volumes.collect(), page.next))
    }

    /// As [`Archive::find`], whatever marks are in front. Of two versions of one run the one that
    /// is locked for longer counts.
    pub(super) async fn find(&self, keys: &LogKeys) -> Result<Vec<Place>, CliError> {
        let mut found = Vec::new();
        let mut after = None;
        for _ in 0..STORE_LIST_PAGES_MAX {
            let (page, next) = self.page(after).await?;
            for seen in &page {
                let Some(bytes) = seen.bytes.filter(|bytes| within(*bytes).is_ok()) else {
                    continue;
                };
                let whole = self.get(seen.id, &seen.version, bytes).await?;
                let Ok(volume) = Volume::find(&keys.volumes, whole) else {
                    continue;
                };
                if volume.meta.origin != keys.origin {
                    continue;
                }
                let place = placed(&volume, seen.id, bytes).map_err(|e| unreadable(&e))?;
                let lock = self.place.retention(seen.id, &seen.version).await;
                let lock = lock.map_err(|error| away(&error))?;
                found.push(place.held(Some(Held {
                    version: seen.version.as_str().to_owned(),
                    until_ms: lock.map_or(0, |lock| lock.until.millis()),
                    compliance: lock.is_some_and(|lock| lock.mode == RetentionMode::Compliance),
                })));
            }
            if found.len() > ARCHIVE_VOLUMES_MAX {
                return Err(CliError::new(Exit::No, "too many volumes"));
            }
            after = next;
            if after.is_none() {
                let until = |place: &Place| place.held.as_ref().map_or(0, |held| held.until_ms);
                found.sort_by_key(|place| Reverse(until(place)));
                return Ok(found);
            }
        }
        Err(CliError::new(Exit::No, "too many versions of volumes"))
    }

    /// As [`Archive::sweep`], of versions: what is locked waits, and what others did is told.
    pub(super) async fn sweep(
        &self,
        archive: &Archive,
        over: Timestamp,
    ) -> Result<Swept, CliError> {
        let mut named: BTreeMap<BlobId, &Place> = BTreeMap::new();
        for place in archive.index.volumes() {
            named.insert(blob(place)?, place);
        }
        let mut swept = Swept::default();
        let mut missing: BTreeSet<BlobId> = named.keys().copied().collect();
        let mut after = None;
        for _ in 0..STORE_LIST_PAGES_MAX {
            let (page, next) = self.page(after).await?;
            for seen in page {
                let known = named.get(&seen.id).copied();
                let Some(bytes) = seen.bytes else {
                    // What Kluis removes it removes by its version, and nothing that it needs.
                    if known.is_some() {
                        swept.accuse(format!(
                            "volume {} was deleted in the store at {}, by somebody else than Kluis",
                            seen.id, seen.modified
                        ));
                    }
                    continue;
                };
                let own = known.is_some_and(|place| {
                    let held = place.held.as_ref();
                    held.is_none_or(|held| held.version == seen.version.as_str())
                });
                if own {
                    missing.remove(&seen.id);
                    continue;
                }
                self.one(archive, (&seen, bytes), (known, over), &mut swept)
                    .await?;
            }
            after = next;
            if after.is_none() {
                swept.missing = missing;
                return Ok(swept);
            }
        }
        Err(CliError::new(Exit::No, "too many versions of volumes"))
    }

    /// Removes one version that the index does not name, if nothing needs it and no lock holds it.
    async fn one(
        &self,
        archive: &Archive,
        (seen, bytes): (&Version, u64),
        (known, over): (Option<&Place>, Timestamp),
        swept: &mut Swept,
    ) -> Result<(), CliError> {
        let lock = self.place.retention(seen.id, &seen.version).await;
        let lock = match lock {
            Ok(lock) => lock.filter(|lock| lock.until > archive.keys.now),
            Err(StoreError::NotFound) => return Ok(()),
            Err(error) => return Err(away(&error)),
        };
        if let Some(lock) = lock {
            // Kluis writes each volume under a name of its own: another version of one that is in
            // the index is a PUT of the same bytes that was tried again, or somebody else's.
            let strange = match known {
                Some(place) if place.bytes != bytes => true,
                Some(place) if swept.looked < WORM_NAMED_MAX => {
                    swept.looked = swept.looked.saturating_add(1);
                    let volume = self.opened(archive, (seen, bytes)).await?;
                    volume.is_none_or(|volume| volume.meta != place.meta)
                }
                Some(_) | None => false,
            };
            if strange {
                swept.accuse(written_over(seen));
            } else {
                swept.wait(lock.until);
            }
            return Ok(());
        }
        let volume = self.opened(archive, (seen, bytes)).await?;
        let same = |place: &Place| volume.as_ref().is_some_and(|v| v.meta == place.meta);
        if known.is_some_and(|place| !same(place)) {
            swept.accuse(written_over(seen));
        }
        let Some(volume) = volume else {
            return Ok(());
        };
        if archive.is_superseded(&volume, over)? {
            match self
                .place
                .delete_version(seen.id, &seen.version, false)
                .await
            {
                Ok(()) => swept.gone = swept.gone.saturating_add(1),
                // Its lock ends by the store's clock.
                Err(error) if says_no(&error) => swept.wait(archive.keys.now),
                Err(error) => return Err(away(&error)),
            }
        }
        Ok(())
    }

    /// What a version is, if it is a volume at all.
    async fn opened(
        &self,
        archive: &Archive,
        (seen, bytes): (&Version, u64),
    ) -> Result<Option<Volume>, CliError> {
        if within(bytes).is_err() {
            return Ok(None);
        }
        let whole = self.get(seen.id, &seen.version, bytes).await?;
        Ok(Volume::find(&archive.keys.volumes, whole).ok())
    }

    /// The version of a volume that was written before volumes were locked: the one that opens.
    pub(super) async fn version_of(
        &self,
        keys: &LogKeys,
        place: &Place,
    ) -> Result<VersionId, CliError> {
        let id = blob(place)?;
        let mut after = None;
        for _ in 0..STORE_LIST_PAGES_MAX {
            let page = self.place.versions(Some(id), after).await;
            let page = page.map_err(|error| away(&error))?;
            for seen in page.found {
                if seen.bytes != Some(place.bytes) {
                    continue;
                }
                let whole = self.get(id, &seen.version, place.bytes).await?;
                if Volume::open(&keys.volumes, &place.meta, whole).is_ok() {
                    return Ok(seen.version);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Err(away(&StoreError::NotFound))
    }
}

fn written_over(seen: &Version) -> String {
    format!(
        "volume {} was written over in the store at {}, by somebody else than Kluis",
        seen.id, seen.modified
    )
}

/// Whether a lock is as strict and as long as is asked for. Compliance is governance and more.
fn holds(there: Retention, mode: RetentionMode, until: Timestamp) -> bool {
    let strict = there.mode == mode || there.mode == RetentionMode::Compliance;
    strict && there.until >= until
}

pub(super) fn blob(place: &Place) -> Result<BlobId, CliError> {
    let id = place.blob();
    id.map_err(|error| CliError::of(Exit::No, &error))
}

pub(super) fn version(held: &Held) -> Result<VersionId, CliError> {
    let wrong = || CliError::new(Exit::No, "the index of volumes has not its form");
    VersionId::new(&held.version).ok_or_else(wrong)
}

impl Archive {
    /// Whether what is written from here on is locked. **Every command that writes volumes asks.**
    pub(super) async fn arm(
        &mut self,
        config: &Config,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let place = self.locks.as_ref().map(|locks| Arc::clone(&locks.place));
        let volumes = VolumeStore {
            store: Arc::clone(&self.store),
            locks: place,
        };
        let told = prove_locks(config, &volumes, self.keys.now).await;
        let told = told.map_err(|error| away(&error))?;
        demand_locks(config, &told).map_err(|error| {
            CliError::of(Exit::Usage, &error)
                .hint("name a bucket with Object Lock in `volumes.bucket`; docs/audit.md")
        })?;
        self.tell(config, &told, output);
        if let Some(locks) = &mut self.locks {
            locks.mode = told.ok();
        }
        Ok(())
    }

    fn tell(&self, config: &Config, told: &Wormed, output: &mut Output) {
        let locked = self
            .index
            .volumes()
            .iter()
            .any(|place| place.held.is_some());
        match told {
            Err(why) if locked => output.note(&format!(
                "warning: volumes were locked here before, and new ones are not: {why}"
            )),
            Err(why) if config.store.kind == StoreKind::S3 => {
                output.note(&format!("volumes are not locked in the store: {why}"));
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Refuses where volumes are locked and this one is not: what it was made of must not go yet.
    pub(super) fn must_be_held(&self, place: &Place) -> Result<(), CliError> {
        let armed = self
            .locks
            .as_ref()
            .is_some_and(|locks| locks.mode.is_some());
        let held = place.held.as_ref().is_some_and(|held| held.until_ms > 0);
        if armed && place.rows > 0 && !held {
            return Err(CliError::new(
                Exit::Unavailable,
                "a volume is not locked yet",
            ));
        }
        Ok(())
    }
}
