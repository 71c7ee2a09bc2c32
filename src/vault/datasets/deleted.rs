//! Datasets that were deleted. Who may delete an empty one does so alone; its keys stay until two
//! persons erase them (AZ-10), so that no single person can make backups unreadable.

use crate::catalog::{
    DatasetRow, DeletedRow, Mutation, RosterEntry, RosterKind, RosterRow, UploadQuery,
};
use crate::types::{BucketName, DatasetId, PrincipalId, limits};
use crate::vault::Vault;
use crate::vault::error::VaultError;

impl Vault {
    /// What deletes a dataset and remembers whose keys are left. Uploads under way, and what is
    /// being published, hold no object and go with it (S3); a dataset with more of them than a page
    /// is not empty.
    async fn dropping(
        &self,
        row: &DatasetRow,
        by: Option<&PrincipalId>,
    ) -> Result<Vec<Mutation>, VaultError> {
        let all = UploadQuery {
            limit: limits::PAGE_ENTRIES_MAX,
            ..UploadQuery::default()
        };
        let page = self.catalog.uploads(&row.id, &all).await?;
        let now = self.now();
        let aborts = page
            .uploads
            .into_iter()
            .map(|upload| Mutation::AbortUpload {
                upload: upload.id,
                now,
            });
        let most = limits::PAGE_ENTRIES_MAX;
        let unissued = self.catalog.unissued(&row.id, None, most).await?;
        let drops = unissued.into_iter().map(|found| Mutation::DropPublication {
            publication: found.id,
            now,
        });
        let left = DeletedRow {
            dataset: row.id,
            bucket: row.bucket.clone(),
            at: now,
            by: by.cloned(),
        };
        let remember = Mutation::SetRoster {
            kind: RosterKind::Deleted,
            name: DeletedRow::name(&row.bucket, &row.id),
            was: None,
            entry: Some(RosterEntry {
                revision: 1,
                row: RosterRow::Deleted(left),
            }),
        };
        let last = [Mutation::DeleteDataset(row.id), remember];
        Ok(aborts.chain(drops).chain(last).collect())
    }

    /// Deletes a dataset, decided and recorded before.
    pub(in crate::vault) async fn drop_dataset(
        &self,
        row: &DatasetRow,
        by: Option<&PrincipalId>,
    ) -> Result<(), VaultError> {
        let committed = self.commit(self.dropping(row, by).await?).await;
        self.guard.forget();
        committed
    }

    /// The one that was deleted last of all that were called so and whose keys are there.
    pub(in crate::vault) async fn last_deleted(
        &self,
        bucket: &BucketName,
    ) -> Result<Option<DeletedRow>, VaultError> {
        let begins = DeletedRow::names_of(bucket);
        let rows = self.deleted_after(&begins, |name| name.starts_with(&begins));
        Ok(rows
            .await?
            .into_iter()
            .max_by_key(|row| (row.at, row.dataset)))
    }

    /// All that were deleted and whose keys are there, in order of their names.
    pub async fn deleted_datasets(&self) -> Result<Vec<DeletedRow>, VaultError> {
        self.deleted_after("", |_any| true).await
    }

    async fn deleted_after(
        &self,
        after: &str,
        goes_on: impl Fn(&str) -> bool,
    ) -> Result<Vec<DeletedRow>, VaultError> {
        let mut after = after.to_owned();
        let mut rows = Vec::new();
        loop {
            let most = limits::PAGE_ENTRIES_MAX;
            let page = self.catalog.roster_page(RosterKind::Deleted, &after, most);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Ok(rows);
            };
            last.clone_into(&mut after);
            for (name, entry) in page {
                if !goes_on(&name) {
                    return Ok(rows);
                }
                if let RosterRow::Deleted(row) = entry.row {
                    rows.push(row);
                }
            }
        }
    }

    /// What forgets a dataset that was deleted, once its keys are gone; nothing of one that is not
    /// remembered.
    pub(in crate::vault) async fn forgetting(
        &self,
        bucket: &BucketName,
        dataset: &DatasetId,
    ) -> Result<Option<Mutation>, VaultError> {
        let name = DeletedRow::name(bucket, dataset);
        let there = self.catalog.roster(RosterKind::Deleted, &name).await?;
        Ok(there.map(|entry| Mutation::SetRoster {
            kind: RosterKind::Deleted,
            name,
            was: Some(entry.revision),
            entry: None,
        }))
    }
}
