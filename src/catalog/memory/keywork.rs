//! The model's work on keys.

use super::super::keywork::{index_sealed_under, sealed_under};
use super::super::{
    CatalogError, Conflict, DeletedRow, DoomedBlob, EraseScope, ErasedWrite, FLOOR_ERASED, Issue,
    KeyWorkRow, Mutation, ObjectRow, PublicationRow, RosterKind, Tally, Version, WorkEnd,
};
use super::paging::lighten;
use super::state::{Blobs, State, insert, must};
use crate::types::{
    BlobId, DatasetId, KeyWorkId, ObjectKey, PublicationId, Timestamp, UploadId, VersionId, limits,
};

/// Work with what it took out.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) row: KeyWorkRow,
    pub(super) erased: Vec<ErasedWrite>,
    pub(super) doomed: Vec<DoomedBlob>,
}

impl State {
    /// Below which version a dataset's keys are no longer in use.
    pub(super) fn floor(&self, dataset: &DatasetId) -> u32 {
        let works = self.key_works.values();
        let works = works.filter(|work| work.row.dataset == *dataset);
        works.map(|work| work.row.floor).max().unwrap_or_default()
    }

    pub(super) fn hides(&self, dataset: &DatasetId) -> bool {
        self.floor(dataset) == FLOOR_ERASED
    }

    pub(super) fn check_floor(&self, dataset: &DatasetId, table: &[u8]) -> Result<(), Conflict> {
        must(
            sealed_under(table) >= self.floor(dataset),
            Conflict::KeyRetired,
        )
    }

    pub(super) fn check_index(&self, dataset: &DatasetId, key: &[u8]) -> Result<(), Conflict> {
        let sealed = index_sealed_under(key);
        must(sealed >= self.floor(dataset), Conflict::KeyRetired)
    }

    /// What is under legal hold as a whole is neither erased nor deleted.
    pub(super) fn check_hold(&self, dataset: &DatasetId) -> Result<(), Conflict> {
        let mut rows = self.datasets.values().filter(|row| row.id == *dataset);
        let held = rows.any(|row| row.card.as_ref().is_some_and(|card| card.held.is_some()));
        must(!held, Conflict::Locked)
    }

    /// Deletes an empty dataset that is under no legal hold.
    pub(super) fn drop_dataset(&mut self, dataset: &DatasetId) -> Result<(), Conflict> {
        self.check_hold(dataset)?;
        let idle = self.works_on(dataset).all(KeyWorkRow::is_of_deleted);
        must(idle, Conflict::KeyWork)?;
        self.delete_dataset(dataset)
    }

    /// Work on a dataset's keys that is not done.
    fn works_on(&self, dataset: &DatasetId) -> impl Iterator<Item = &KeyWorkRow> {
        let rows = self.key_works.values().map(|work| &work.row);
        rows.filter(|row| row.dataset == *dataset && row.end.is_none())
    }

    /// Whether all that is left of a dataset are the keys that this erases.
    fn is_left(&self, row: &KeyWorkRow) -> bool {
        let name = DeletedRow::name(&row.bucket, &row.dataset);
        let left = self.roster.contains_key(&(RosterKind::Deleted, name));
        left && row.scope == Some(EraseScope::Dataset)
    }

    pub(super) fn begin_key_work(&mut self, row: KeyWorkRow) -> Result<(), CatalogError> {
        if !self.is_left(&row) {
            self.need_dataset(&row.dataset)?;
        }
        let idle = self.works_on(&row.dataset).next().is_none();
        must(idle, Conflict::KeyWork)?;
        must(row.floor > self.floor(&row.dataset), Conflict::KeyRetired)?;
        let row = KeyWorkRow {
            tally: Tally::default(),
            end: None,
            ..row
        };
        let (id, dataset, now) = (row.id, row.dataset, row.begun);
        let scope = row.scope.clone();
        self.restore_key_work(row)?;
        let unissued = self.publications.values().map(|(row, _)| row);
        let unissued: Vec<PublicationId> = unissued
            .filter(|row| row.dataset == dataset && row.issue.is_none())
            .map(|row| row.id)
            .collect();
        for publication in unissued {
            self.drop_publication(&publication, now)?;
        }
        let Some(scope) = scope else { return Ok(()) };
        self.check_hold(&dataset)?;
        let is_in = |row: &ObjectRow| scope.is_about(&row.key, (&row.version, row.versioned));
        let meant = |row: &ObjectRow| row.dataset == dataset && is_in(row);
        let older = self.versions.values().flatten();
        let older = older.filter_map(|(version, _)| match version {
            Version::Object(row) => Some(row),
            Version::Marker(_) => None,
        });
        let mut live = self.objects.values().map(|(row, _)| row).chain(older);
        let locked = live.any(|row| meant(row) && row.attached.facts.lock.holds(now));
        must(!locked, Conflict::Locked)?;
        if scope == EraseScope::Dataset {
            return Ok(());
        }
        if let EraseScope::Published(number) = scope {
            return Ok(self.erase_published(&id, (&dataset, number), now)?);
        }
        self.erase(&id, &dataset, &scope, now)?;
        let taken = self.key_works.get(&id).map(|work| work.row.tally.writes);
        Ok(must(taken > Some(0), Conflict::NoObject)?)
    }

    pub(super) fn restore_key_work(&mut self, row: KeyWorkRow) -> Result<(), CatalogError> {
        let work = Work {
            erased: Vec::new(),
            doomed: Vec::new(),
            row,
        };
        let repeated = CatalogError::repeated("work on keys");
        insert(&mut self.key_works, work.row.id, work, repeated)
    }

    fn open_work(&mut self, id: &KeyWorkId) -> Result<&mut Work, Conflict> {
        let work = self.key_works.get_mut(id);
        let work = work.filter(|work| work.row.end.is_none());
        work.ok_or(Conflict::NoKeyWork)
    }

    /// The model knows no limit.
    pub(super) fn erase_rows(&mut self, id: &KeyWorkId) -> Result<(), Conflict> {
        let row = self.open_work(id)?.row.clone();
        must(row.scope == Some(EraseScope::Dataset), Conflict::NoKeyWork)?;
        self.erase(id, &row.dataset, &EraseScope::Dataset, row.begun)
    }

    fn erase(
        &mut self,
        id: &KeyWorkId,
        dataset: &DatasetId,
        scope: &EraseScope,
        now: Timestamp,
    ) -> Result<(), Conflict> {
        let mut lost = Blobs::new();
        let mut taken = Vec::new();
        let mut take = |row: &ObjectRow, held: &Blobs| {
            let meant =
                row.dataset == *dataset && scope.is_about(&row.key, (&row.version, row.versioned));
            if meant {
                lost.extend(held);
                taken.push(ErasedWrite {
                    key: row.key.clone(),
                    version: row.version,
                    bytes: row.bytes,
                });
            }
            !meant
        };
        self.frozen.retain(|_, (row, held)| take(row, held));
        self.objects.retain(|_, (row, held)| take(row, held));
        for stack in self.versions.values_mut() {
            stack.retain(|(version, held)| match version {
                Version::Object(row) => take(row, held),
                Version::Marker(row) => {
                    row.dataset != *dataset
                        || !scope.is_about(&row.key, (&row.version, row.versioned))
                }
            });
        }
        self.versions.retain(|_, stack| !stack.is_empty());
        if let EraseScope::Version(key, _) = scope {
            self.promote(&(*dataset, key.clone()));
        }
        self.publications.retain(|_, (row, held)| {
            let gone = *scope == EraseScope::Dataset && row.dataset == *dataset;
            if gone {
                lost.extend(held.iter());
            }
            !gone
        });
        let uploads: Vec<UploadId> = self
            .uploads
            .values()
            .filter(|row| {
                let all =
                    *scope == EraseScope::Dataset || *scope == EraseScope::Object(row.key.clone());
                row.dataset == *dataset && all
            })
            .map(|row| row.id)
            .collect();
        for upload in uploads {
            self.uploads.remove(&upload);
            lost.extend(self.take_parts(&upload));
        }
        self.doom(id, (lost, taken), now)
    }

    fn erase_published(
        &mut self,
        id: &KeyWorkId,
        (dataset, number): (&DatasetId, u32),
        now: Timestamp,
    ) -> Result<(), Conflict> {
        let mut rows = self.publications.values_mut();
        let found = rows.find(|(row, _)| {
            let of = row.issue.as_ref().filter(|issue| issue.number == number);
            row.dataset == *dataset && of.is_some_and(|issue| !issue.sealed_key.is_empty())
        });
        let (row, held) = found.ok_or(Conflict::NoPublication)?;
        let mut lost = std::mem::take(held);
        if let Some(issue) = &mut row.issue {
            issue.sealed_key = bytes::Bytes::new();
        }
        let publication = row.id;
        let mut taken_out = Vec::new();
        self.frozen.retain(|(of, _), (row, held)| {
            if *of == publication {
                taken_out.push((row.clone(), held.clone()));
            }
            *of != publication
        });
        let mut gone = Vec::new();
        for (row, held) in taken_out {
            let mut frozen = self.frozen.values();
            let same = |other: &ObjectRow| {
                (other.dataset, &other.key, other.version) == (row.dataset, &row.key, row.version)
            };
            let stays =
                frozen.any(|(other, _)| same(other)) || self.writes(dataset).into_iter().any(same);
            if stays {
                self.lose(&held, now);
                continue;
            }
            lost.extend(held);
            gone.push(ErasedWrite {
                key: row.key,
                version: row.version,
                bytes: row.bytes,
            });
        }
        self.doom(id, (lost, gone), now)
    }

    /// Notes what was taken out, and claims the blobs that nothing refers to any more.
    fn doom(
        &mut self,
        id: &KeyWorkId,
        (lost, taken): (Blobs, Vec<ErasedWrite>),
        now: Timestamp,
    ) -> Result<(), Conflict> {
        self.lose(&lost, now);
        let claimed: Blobs = lost
            .iter()
            .copied()
            .filter(|id| self.blobs.get(id).is_some_and(Option::is_some))
            .collect();
        self.blobs.retain(|id, _| !claimed.contains(id));
        let work = self.open_work(id)?;
        for write in taken {
            if !work.erased.contains(&write) {
                work.row.tally.add(&write);
                work.erased.push(write);
            }
        }
        let blobs = u64::try_from(claimed.len()).unwrap_or(u64::MAX);
        work.row.tally.blobs = work.row.tally.blobs.saturating_add(blobs);
        work.doomed.retain(|blob| !lost.contains(&blob.id));
        let doomed = lost.into_iter().map(|id| DoomedBlob {
            id,
            shared: !claimed.contains(&id),
        });
        work.doomed.extend(doomed);
        Ok(())
    }

    pub(super) fn rewrap(
        &mut self,
        place: &(DatasetId, ObjectKey),
        version: &VersionId,
        table: &bytes::Bytes,
    ) -> Result<(), Conflict> {
        self.check_floor(&place.0, table)?;
        let set = |row: &mut ObjectRow| {
            if (row.dataset, &row.key, &row.version) == (place.0, &place.1, version) {
                row.sealed_table = table.clone();
            }
        };
        self.objects.values_mut().for_each(|(row, _)| set(row));
        self.frozen.values_mut().for_each(|(row, _)| set(row));
        for (older, _) in self.versions.values_mut().flatten() {
            if let Version::Object(row) = older {
                set(row);
            }
        }
        Ok(())
    }

    pub(super) fn rewrap_part(
        &mut self,
        place: (UploadId, u32),
        version: &VersionId,
        table: bytes::Bytes,
    ) -> Result<(), Conflict> {
        let there = self.parts.get(&place);
        if there.is_none_or(|(row, _)| row.version != *version) {
            return Ok(());
        }
        if let Some(upload) = self.uploads.get(&place.0) {
            self.check_floor(&upload.dataset, &table)?;
        }
        if let Some((row, _)) = self.parts.get_mut(&place) {
            row.sealed_table = table;
        }
        Ok(())
    }

    pub(super) fn rewrap_index(
        &mut self,
        id: &PublicationId,
        sealed_key: bytes::Bytes,
    ) -> Result<(), Conflict> {
        if let Some((row, _)) = self.publications.get(id) {
            self.check_index(&row.dataset, &sealed_key)?;
        }
        let Some((row, _)) = self.publications.get_mut(id) else {
            return Ok(());
        };
        let issue = row.issue.take().ok_or(Conflict::NoPublication)?;
        *row = PublicationRow {
            issue: Some(Issue {
                sealed_key,
                ..issue
            }),
            ..row.clone()
        };
        Ok(())
    }

    pub(super) fn forget_doomed(
        &mut self,
        id: &KeyWorkId,
        gone: &[BlobId],
    ) -> Result<(), Conflict> {
        let doomed = &mut self.open_work(id)?.doomed;
        doomed.retain(|blob| blob.shared || !gone.contains(&blob.id));
        Ok(())
    }

    pub(super) fn end_key_work(&mut self, id: &KeyWorkId, end: WorkEnd) -> Result<(), Conflict> {
        let work = self.open_work(id)?;
        must(
            work.doomed.iter().all(|blob| blob.shared),
            Conflict::KeyWork,
        )?;
        let row = work.row.clone();
        if row.scope == Some(EraseScope::Dataset) && !self.is_left(&row) {
            let ended = self.delete_dataset(&row.dataset);
            ended.map_err(|conflict| {
                let full = conflict == Conflict::DatasetNotEmpty;
                if full { Conflict::KeyWork } else { conflict }
            })?;
        }
        let work = self.open_work(id)?;
        work.doomed.clear();
        work.row.end = Some(end);
        Ok(())
    }

    pub(super) fn restore_erased(
        &mut self,
        id: &KeyWorkId,
        writes: Vec<ErasedWrite>,
        doomed: Vec<DoomedBlob>,
    ) -> Result<(), Conflict> {
        let work = self.key_works.get_mut(id).ok_or(Conflict::NoKeyWork)?;
        work.erased.extend(writes);
        work.doomed.extend(doomed);
        Ok(())
    }

    /// As mutations that put it back.
    pub(super) fn dump_key_works(&self) -> Vec<Mutation> {
        let works = self.key_works.values();
        let rows = works
            .clone()
            .map(|work| Mutation::RestoreKeyWork(work.row.clone()));
        let rest = works.map(|work| Mutation::RestoreErased {
            work: work.row.id,
            writes: work.erased.clone(),
            blobs: work.doomed.clone(),
        });
        rows.chain(rest).collect()
    }

    /// Work in order of its beginning.
    pub(super) fn works(&self) -> Vec<KeyWorkRow> {
        let mut works: Vec<KeyWorkRow> = self
            .key_works
            .values()
            .map(|work| work.row.clone())
            .collect();
        works.sort_by_key(|row| (row.begun, row.id));
        works
    }

    pub(super) fn works_after(
        &self,
        dataset: Option<&DatasetId>,
        after: Option<(Timestamp, KeyWorkId)>,
        limit: usize,
    ) -> Vec<KeyWorkRow> {
        let works = self.works().into_iter();
        let works = works.filter(|row| dataset.is_none_or(|id| row.dataset == *id));
        let works = works.filter(|row| after.is_none_or(|after| (row.begun, row.id) > after));
        works.take(limit.min(limits::PAGE_ENTRIES_MAX)).collect()
    }

    pub(super) fn open_works(&self) -> Vec<KeyWorkRow> {
        let works = self.works().into_iter();
        works.filter(|row| row.end.is_none()).collect()
    }

    pub(super) fn erased(&self, id: &KeyWorkId, from: u64, limit: usize) -> Vec<ErasedWrite> {
        let all = self.key_works.get(id).map(|work| work.erased.iter());
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let left = all.into_iter().flatten().skip(from);
        left.take(limit.min(limits::PAGE_ENTRIES_MAX))
            .cloned()
            .collect()
    }

    pub(super) fn doomed(&self, id: &KeyWorkId, limit: usize) -> (Vec<BlobId>, u64) {
        let all = self.key_works.get(id).map(|work| work.doomed.iter());
        let (kept, mut gone): (Vec<&DoomedBlob>, Vec<&DoomedBlob>) =
            all.into_iter().flatten().partition(|blob| blob.shared);
        gone.sort_by_key(|blob| blob.id);
        let gone = gone.into_iter().map(|blob| blob.id);
        let kept = u64::try_from(kept.len()).unwrap_or(u64::MAX);
        (
            gone.take(limit.min(limits::PAGE_ENTRIES_MAX)).collect(),
            kept,
        )
    }

    /// Objects of a dataset, current and older, in order of key and version.
    fn writes(&self, dataset: &DatasetId) -> Vec<&ObjectRow> {
        let older = self.versions.values().flatten();
        let older = older.filter_map(|(version, _)| match version {
            Version::Object(row) => Some(row),
            Version::Marker(_) => None,
        });
        let all = self.objects.values().map(|(row, _)| row).chain(older);
        let mut all: Vec<&ObjectRow> = all.filter(|row| row.dataset == *dataset).collect();
        all.sort_by(|a, b| (&a.key, a.version).cmp(&(&b.key, b.version)));
        all
    }

    /// A page of them.
    pub(super) fn writes_after(
        &self,
        dataset: &DatasetId,
        after: Option<(&ObjectKey, VersionId)>,
        limit: usize,
    ) -> Vec<ObjectRow> {
        let all = self.writes(dataset).into_iter();
        let rest = all.filter(|row| after.is_none_or(|after| (&row.key, row.version) > after));
        let limit = limit.clamp(1, limits::PAGE_ENTRIES_MAX);
        let mut page: Vec<ObjectRow> = rest.take(limit).cloned().collect();
        lighten(&mut page, |row| row.sealed_table.len());
        page
    }
}
