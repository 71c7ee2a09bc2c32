//! Whether work on keys would be refused: asked before a key is made for it, since a key that was
//! made may have sealed something by the time that the work is refused. The commit that begins the
//! work judges again.

use super::super::Vault;
use super::super::error::VaultError;
use super::drive::Begin;
use crate::catalog::{
    CatalogError, Conflict, DatasetRow, EraseScope, Version, VersionEntry, VersionQuery,
};
use crate::types::{DatasetId, ObjectKey, VersionName, limits};

impl Vault {
    pub(super) async fn judge_work(&self, begin: &Begin) -> Result<(), VaultError> {
        let there = self.catalog.dataset(&begin.bucket).await?;
        let there = there.filter(|row| row.id == begin.dataset);
        let left = begin.scope == Some(EraseScope::Dataset)
            && self
                .forgetting(&begin.bucket, &begin.dataset)
                .await?
                .is_some();
        must(there.is_some() || left, Conflict::NoDataset)?;
        let works = self.catalog.open_key_works().await?;
        let busy = works.iter().any(|work| work.dataset == begin.dataset);
        must(!busy, Conflict::KeyWork)?;
        let is_held = |row: &DatasetRow| row.card.as_ref().is_some_and(|card| card.held.is_some());
        let held = there.as_ref().is_some_and(is_held);
        match &begin.scope {
            Some(_) if held => must(false, Conflict::Locked),
            None => Ok(()),
            Some(scope) => self.judge_there(&begin.dataset, scope).await,
        }
    }

    /// That what is to be erased is there, and that no lock keeps it.
    pub(in crate::vault) async fn judge_there(
        &self,
        dataset: &DatasetId,
        scope: &EraseScope,
    ) -> Result<(), VaultError> {
        match scope {
            EraseScope::Dataset => Ok(()),
            EraseScope::Published(number) => {
                let there = self.catalog.publication(dataset, *number).await?;
                must(there.is_some(), Conflict::NoPublication)
            }
            EraseScope::Object(key) => self.judge_object(dataset, key).await,
            EraseScope::Version(key, name) => {
                let open = self.judge_version(dataset, key, name).await?;
                must(open, Conflict::NoObject)
            }
        }
    }

    async fn judge_object(&self, dataset: &DatasetId, key: &ObjectKey) -> Result<(), VaultError> {
        let mut query = VersionQuery {
            prefix: key.to_string(),
            limit: limits::PAGE_ENTRIES_MAX,
            ..VersionQuery::default()
        };
        let mut found = false;
        loop {
            let page = self.catalog.versions(dataset, &query).await?;
            // Longer keys with this beginning come after it.
            let mine = page.entries.iter().filter_map(|entry| match entry {
                VersionEntry::Version { key: at, name, .. } => (at == key).then_some(*name),
                VersionEntry::Prefix(_) => None,
            });
            let names: Vec<VersionName> = mine.collect();
            for name in &names {
                found |= self.judge_version(dataset, key, name).await?;
            }
            if !page.more || names.len() < page.entries.len() {
                return must(found, Conflict::NoObject);
            }
            query.after = names.last().map(|name| (key.to_string(), Some(*name)));
        }
    }

    /// Whether there is something to erase; refused where it is locked.
    async fn judge_version(
        &self,
        dataset: &DatasetId,
        key: &ObjectKey,
        name: &VersionName,
    ) -> Result<bool, VaultError> {
        let mut there = self.catalog.version(dataset, key, name).await?;
        if let (None, VersionName::Id(id)) = (&there, name) {
            // Written while no versions were kept: clients call it `null` for as long as it is.
            let null = self.catalog.version(dataset, key, &VersionName::Null);
            let is_it =
                |there: &Version| matches!(there, Version::Object(row) if row.version == *id);
            there = null.await?.filter(is_it);
        }
        let Some(Version::Object(row)) = there else {
            return Ok(false);
        };
        must(
            !row.attached.facts.lock.holds(self.settled_now()),
            Conflict::Locked,
        )?;
        Ok(true)
    }
}

fn must(holds: bool, conflict: Conflict) -> Result<(), VaultError> {
    if holds {
        Ok(())
    } else {
        Err(VaultError::from(CatalogError::Conflict(conflict)))
    }
}
