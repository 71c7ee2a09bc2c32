//! The model's frozen datasets: plain copies.

use super::super::{
    BlobUse, CatalogError, Conflict, Issue, Mutation, ObjectRow, PublicationRow, Version,
};
use super::state::{Blobs, State, insert, must};
use crate::types::{DatasetId, PublicationId, Timestamp, limits};

impl State {
    pub(super) fn freeze(&mut self, row: PublicationRow) -> Result<(), CatalogError> {
        let (id, dataset) = (row.id, row.dataset);
        let row = PublicationRow { issue: None, ..row };
        self.add(row, Blobs::new())?;
        let objects = self.objects.iter().filter(|((of, _), _)| *of == dataset);
        let frozen: Vec<_> = objects
            .map(|((_, key), object)| ((id, key.clone()), object.clone()))
            .collect();
        self.frozen.extend(frozen);
        Ok(())
    }

    fn add(&mut self, row: PublicationRow, held: Blobs) -> Result<(), CatalogError> {
        self.need_dataset(&row.dataset)?;
        let repeated = CatalogError::repeated("publication");
        insert(&mut self.publications, row.id, (row, held), repeated)
    }

    pub(super) fn issue(
        &mut self,
        id: &PublicationId,
        issue: Issue,
        uses: &BlobUse,
    ) -> Result<(), CatalogError> {
        let found = self.publications.get(id);
        let (row, _) = found.ok_or(Conflict::NoPublication)?.clone();
        must(row.issue.is_none(), Conflict::NumberTaken)?;
        self.check_index(&row.dataset, &issue.sealed_key)?;
        let of = self.publications.values();
        let of = of.filter(|(other, _)| other.dataset == row.dataset);
        let last = of.filter_map(|(other, _)| other.issue.as_ref().map(|issue| issue.number));
        let next = last.max().unwrap_or_default().checked_add(1);
        must(next == Some(issue.number), Conflict::NumberTaken)?;
        let held = self.hold(uses)?;
        let issue = Some(issue);
        self.publications
            .insert(*id, (PublicationRow { issue, ..row }, held));
        Ok(())
    }

    pub(super) fn drop_publication(
        &mut self,
        id: &PublicationId,
        now: Timestamp,
    ) -> Result<(), Conflict> {
        let gone = self.publications.remove(id);
        let (_, mut lost) = gone.ok_or(Conflict::NoPublication)?;
        self.frozen.retain(|(of, _), (_, held)| {
            if of == id {
                lost.append(held);
            }
            of != id
        });
        self.lose(&lost, now);
        Ok(())
    }

    pub(super) fn restore_publication(
        &mut self,
        row: PublicationRow,
        uses: &BlobUse,
    ) -> Result<(), CatalogError> {
        let held = self.hold(uses)?;
        self.add(row, held)
    }

    pub(super) fn restore_frozen(
        &mut self,
        id: PublicationId,
        row: ObjectRow,
        uses: &BlobUse,
    ) -> Result<(), CatalogError> {
        must(self.publications.contains_key(&id), Conflict::NoPublication)?;
        let held = self.hold(uses)?;
        self.frozen.insert((id, row.key.clone()), (row, held));
        Ok(())
    }

    /// Published versions in order of number.
    pub(super) fn issued(
        &self,
        dataset: &DatasetId,
        after: u32,
        limit: usize,
    ) -> Vec<PublicationRow> {
        let rows = self.publications.values().map(|(row, _)| row);
        let number = |row: &PublicationRow| row.issue.as_ref().map_or(0, |issue| issue.number);
        let mut rows: Vec<PublicationRow> = rows
            .filter(|row| row.dataset == *dataset && number(row) > after)
            .cloned()
            .collect();
        rows.sort_by_key(number);
        rows.truncate(limit);
        rows
    }

    /// What never became a version.
    pub(super) fn stale(&self, before: Timestamp, limit: usize) -> Vec<PublicationRow> {
        let rows = self.publications.values().map(|(row, _)| row);
        let mut rows: Vec<PublicationRow> = rows
            .filter(|row| row.issue.is_none() && row.frozen < before)
            .cloned()
            .collect();
        rows.sort_by_key(|row| row.frozen);
        rows.truncate(limit);
        rows
    }

    /// The same of one dataset, in order of identity.
    pub(super) fn unissued(
        &self,
        dataset: &DatasetId,
        after: Option<PublicationId>,
        limit: usize,
    ) -> Vec<PublicationRow> {
        let rows = self.publications.values().map(|(row, _)| row);
        let mut rows: Vec<PublicationRow> = rows
            .filter(|row| row.issue.is_none() && row.dataset == *dataset)
            .filter(|row| after.is_none_or(|after| row.id > after))
            .cloned()
            .collect();
        rows.sort_by_key(|row| row.id);
        rows.truncate(limit.min(limits::PAGE_ENTRIES_MAX));
        rows
    }

    /// Whether the dataset still has this write as it was frozen.
    fn has(&self, row: &ObjectRow) -> bool {
        let place = (row.dataset, row.key.clone());
        let current = self.objects.get(&place).map(|(row, _)| row);
        let older = self.versions.get(&place).into_iter().flatten();
        let older = older.filter_map(|(version, _)| match version {
            Version::Object(row) => Some(row),
            Version::Marker(_) => None,
        });
        current.into_iter().chain(older).any(|there| there == row)
    }

    /// As mutations that put it back.
    pub(super) fn dump_publications(&self) -> Vec<Mutation> {
        let uses = |held: &Blobs| BlobUse {
            fresh: Vec::new(),
            shared: held.iter().copied().collect(),
        };
        let rows = self.publications.values();
        let rows = rows.map(|(row, held)| Mutation::RestorePublication {
            row: row.clone(),
            blobs: uses(held),
        });
        let frozen = self.frozen.iter();
        let frozen = frozen.map(|((id, _), (row, held))| Mutation::RestoreFrozen {
            publication: *id,
            row: row.clone(),
            versioned: row.versioned,
            attached: row.attached.clone(),
            facts: row.attached.facts.clone(),
            live: self.has(row),
            blobs: uses(held),
        });
        rows.chain(frozen).collect()
    }
}
