//! The model's versions: for each key a stack of what is older than its current object, and of
//! delete markers; the newest first.

use super::super::{
    Attached, BlobUse, CatalogError, Condition, Conflict, ListQuery, MarkerRow, ObjectRow, Version,
    VersionEntry, VersionPage, VersionQuery, listing,
};
use super::page;
use super::state::{Blobs, State, must};
use crate::types::{DatasetId, ObjectKey, Timestamp, VersionId, VersionName, Versioning, limits};

type Place = (DatasetId, ObjectKey);

/// One version below the current object, with the blobs it holds.
pub(super) type Older = (Version, Blobs);

fn name(version: &Version) -> VersionName {
    match version {
        Version::Object(row) => row.name(),
        Version::Marker(row) => row.name(),
    }
}

fn entry(version: &Version, latest: bool) -> VersionEntry {
    let (key, modified, object) = match version {
        Version::Object(row) => (&row.key, row.modified, Some((row.bytes, row.etag.clone()))),
        Version::Marker(row) => (&row.key, row.modified, None),
    };
    VersionEntry::Version {
        key: key.clone(),
        name: name(version),
        latest,
        modified,
        object,
    }
}

impl State {
    pub(super) fn versioning(&self, dataset: &DatasetId) -> Result<Versioning, Conflict> {
        let mut rows = self.datasets.values();
        let row = rows.find(|row| row.id == *dataset);
        row.map(|row| row.versioning).ok_or(Conflict::NoDataset)
    }

    pub(super) fn set_versioning(
        &mut self,
        dataset: &DatasetId,
        state: Versioning,
    ) -> Result<(), Conflict> {
        self.versioning(dataset)?;
        must(state != Versioning::Off, Conflict::Versioned)?;
        let mut rows = self.datasets.values();
        let locking = rows.any(|row| row.id == *dataset && row.defaults.lock.is_some());
        must(state == Versioning::Enabled || !locking, Conflict::Locking)?;
        for row in self.datasets.values_mut().filter(|row| row.id == *dataset) {
            row.versioning = state;
        }
        Ok(())
    }

    /// Writes an object whose blobs are held already.
    pub(super) fn install(&mut self, row: ObjectRow, held: Blobs) -> Result<(), Conflict> {
        let state = self.versioning(&row.dataset)?;
        let place = (row.dataset, row.key.clone());
        let row = ObjectRow {
            versioned: state == Versioning::Enabled,
            attached: Attached::default(),
            ..row
        };
        let now = row.modified;
        let lost = self.make_room(&place, state, now)?;
        self.objects.insert(place, (row, held));
        self.lose(&lost, now);
        Ok(())
    }

    /// Moves or drops what a new version of a key does not leave in its place; the blobs dropped.
    fn make_room(
        &mut self,
        place: &Place,
        state: Versioning,
        now: Timestamp,
    ) -> Result<Blobs, Conflict> {
        let mut lost = Blobs::new();
        if let Some((row, held)) = self.objects.remove(place) {
            let kept = match state {
                Versioning::Off => false,
                Versioning::Enabled => true,
                Versioning::Suspended => row.versioned,
            };
            if kept {
                let stack = self.versions.entry(place.clone()).or_default();
                stack.insert(0, (Version::Object(row), held));
            } else {
                unlocked(&row, now)?;
                lost.extend(held);
            }
        }
        if state == Versioning::Suspended {
            lost.extend(self.drop_older(place, &VersionName::Null, now)?);
        }
        Ok(lost)
    }

    fn drop_older(
        &mut self,
        place: &Place,
        wanted: &VersionName,
        now: Timestamp,
    ) -> Result<Blobs, Conflict> {
        let Some(stack) = self.versions.get_mut(place) else {
            return Ok(Blobs::new());
        };
        let at = stack.iter().position(|(older, _)| name(older) == *wanted);
        let gone = at.map(|at| stack.remove(at));
        if stack.is_empty() {
            self.versions.remove(place);
        }
        let Some((version, held)) = gone else {
            return Ok(Blobs::new());
        };
        if let Version::Object(row) = &version {
            unlocked(row, now)?;
        }
        Ok(held)
    }

    pub(super) fn remove_object(
        &mut self,
        place: &Place,
        marker: VersionId,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<(), Conflict> {
        let state = self.versioning(&place.0)?;
        self.check(&place.0, &place.1, condition)?;
        let lost = self.make_room(place, state, now)?;
        if state != Versioning::Off {
            let marker = MarkerRow {
                dataset: place.0,
                key: place.1.clone(),
                version: marker,
                versioned: state == Versioning::Enabled,
                modified: now,
            };
            let stack = self.versions.entry(place.clone()).or_default();
            stack.insert(0, (Version::Marker(marker), Blobs::new()));
        }
        self.lose(&lost, now);
        Ok(())
    }

    pub(super) fn delete_version(
        &mut self,
        place: &Place,
        wanted: &VersionName,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<(), Conflict> {
        self.versioning(&place.0)?;
        let found = self.find_version(place, wanted);
        let object = match &found {
            Some(Version::Object(row)) => Some(row),
            Some(Version::Marker(_)) | None => None,
        };
        judge(condition, object)?;
        let current = self.objects.get(place).map(|(row, _)| row.name());
        let lost = if current == Some(*wanted) {
            let gone = self.objects.remove(place);
            if let Some((row, _)) = &gone {
                unlocked(row, now)?;
            }
            gone.map(|(_, held)| held)
        } else {
            Some(self.drop_older(place, wanted, now)?)
        };
        self.promote(place);
        self.lose(&lost.unwrap_or_default(), now);
        Ok(())
    }

    /// Where no object is current, the newest version becomes it, unless that is a marker.
    pub(super) fn promote(&mut self, place: &Place) {
        if self.objects.contains_key(place) {
            return;
        }
        let Some(stack) = self.versions.get_mut(place) else {
            return;
        };
        if let Some((Version::Object(row), held)) = stack.first().cloned() {
            stack.remove(0);
            self.objects.insert(place.clone(), (row, held));
        }
        if self.versions.get(place).is_some_and(Vec::is_empty) {
            self.versions.remove(place);
        }
    }

    /// The object of one write, which must be there.
    pub(super) fn written(
        &mut self,
        place: &Place,
        version: &VersionId,
    ) -> Result<&mut ObjectRow, Conflict> {
        let current = self.objects.get_mut(place).map(|(row, _)| row);
        let older = self.versions.get_mut(place).into_iter().flatten();
        let older = older.filter_map(|(older, _)| match older {
            Version::Object(row) => Some(row),
            Version::Marker(_) => None,
        });
        let mut rows = current.into_iter().chain(older);
        let row = rows.find(|row| row.version == *version);
        row.ok_or(Conflict::NoObject)
    }

    pub(super) fn restore_version(
        &mut self,
        row: ObjectRow,
        (versioned, current): (bool, bool),
        blobs: &BlobUse,
    ) -> Result<(), CatalogError> {
        self.versioning(&row.dataset)?;
        let place = (row.dataset, row.key.clone());
        if current {
            self.check(&place.0, &place.1, &Condition::Absent)?;
        }
        let held = self.hold(blobs)?;
        let row = ObjectRow {
            versioned,
            attached: Attached::default(),
            ..row
        };
        if current {
            self.objects.insert(place, (row, held));
        } else {
            let stack = self.versions.entry(place).or_default();
            stack.push((Version::Object(row), held));
        }
        Ok(())
    }

    pub(super) fn restore_marker(&mut self, row: MarkerRow) -> Result<(), Conflict> {
        self.versioning(&row.dataset)?;
        let stack = self.versions.entry((row.dataset, row.key.clone()));
        stack
            .or_default()
            .push((Version::Marker(row), Blobs::new()));
        Ok(())
    }

    pub(super) fn find_version(&self, place: &Place, wanted: &VersionName) -> Option<Version> {
        let all = self.all_versions(place);
        all.into_iter().find(|version| name(version) == *wanted)
    }

    /// The versions of a key, the newest first.
    fn all_versions(&self, place: &Place) -> Vec<Version> {
        let current = self.objects.get(place);
        let current = current.map(|(row, _)| Version::Object(row.clone()));
        let older = self.versions.get(place).into_iter().flatten();
        current
            .into_iter()
            .chain(older.map(|(version, _)| version.clone()))
            .collect()
    }

    pub(super) fn latest_marker(&self, place: &Place) -> Option<MarkerRow> {
        match self.all_versions(place).into_iter().next() {
            Some(Version::Marker(row)) => Some(row),
            Some(Version::Object(_)) | None => None,
        }
    }

    pub(super) fn list_versions(&self, dataset: &DatasetId, query: &VersionQuery) -> VersionPage {
        let list = ListQuery {
            prefix: query.prefix.clone(),
            delimiter: query.delimiter.clone(),
            after: None,
            limit: 0,
        };
        let mut keys: Vec<&ObjectKey> = self
            .objects
            .keys()
            .chain(self.versions.keys())
            .filter(|(of, key)| of == dataset && key.as_str().starts_with(&query.prefix))
            .map(|(_, key)| key)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut entries = Vec::new();
        for key in keys {
            let place = (*dataset, key.clone());
            let mut versions = self.all_versions(&place);
            let mut latest = true;
            let text = key.as_str();
            if let Some(prefix) = listing::folded(&list, text) {
                let after = query.after.as_ref().map_or("", |(after, _)| after);
                let folded = VersionEntry::Prefix(prefix.into());
                if prefix > after && entries.last() != Some(&folded) {
                    entries.push(folded);
                }
                continue;
            }
            match &query.after {
                Some((after, None)) if text <= after.as_str() => continue,
                Some((after, Some(_))) if text < after.as_str() => continue,
                Some((after, Some(wanted))) if text == after.as_str() => {
                    if let Some(at) = versions.iter().position(|v| name(v) == *wanted) {
                        versions.drain(..=at);
                        latest = false;
                    }
                }
                _ => {}
            }
            for version in &versions {
                entries.push(entry(version, latest));
                latest = false;
            }
        }
        let limit = query.limit.min(limits::PAGE_ENTRIES_MAX);
        let (entries, more) = page(entries.into_iter(), limit);
        VersionPage { entries, more }
    }
}

/// An object may go only if nothing locks it.
pub(super) fn unlocked(row: &ObjectRow, now: Timestamp) -> Result<(), Conflict> {
    must(!row.attached.facts.lock.holds(now), Conflict::Locked)
}

/// Judges a condition on an object, or on there being none.
pub(super) fn judge(when: &Condition, there: Option<&ObjectRow>) -> Result<(), Conflict> {
    when.judge(there.map(|row| (row.etag.as_str(), row.modified, row.bytes)))
}
