//! Uploads that nobody goes on with: aborted by their last sign of life, each with its record.

use crate::catalog::{DatasetRow, Mutation, UploadQuery, UploadRow};
use crate::types::{Action, Timestamp, limits};
use crate::vault::lifecycle::{Deletion, object_of};
use crate::vault::{Vault, VaultError};

impl Vault {
    /// Aborts uploads of which neither their beginning nor a part came since `before`; how many.
    /// A legal hold on their dataset keeps them.
    pub(super) async fn sweep_uploads(&self, before: Timestamp) -> Result<u64, VaultError> {
        let mut swept = 0;
        let mut all = self.all_datasets();
        while let Some(dataset) = all.next().await? {
            swept += self.sweep_uploads_of(&dataset, before).await?;
        }
        Ok(swept)
    }

    async fn sweep_uploads_of(
        &self,
        dataset: &DatasetRow,
        before: Timestamp,
    ) -> Result<u64, VaultError> {
        let mut swept = 0;
        let mut query = UploadQuery {
            limit: limits::PAGE_ENTRIES_MAX,
            ..UploadQuery::default()
        };
        loop {
            let page = self.catalog.uploads(&dataset.id, &query).await?;
            for row in page.uploads {
                query.after = Some((row.key.to_string(), Some(row.id)));
                if self.is_alive(&row, before).await? {
                    continue;
                }
                // What is held is not even tried: each try would stand in the log. The commit asks
                // again.
                if !self.is_free(dataset).await? {
                    return Ok(swept);
                }
                let deletion = Deletion {
                    operation: "AbortAbandonedUpload",
                    rule: "sweep:abandoned".to_owned(),
                    words: format!("upload={}", row.id),
                    action: Action::UploadManage,
                    object: object_of(dataset, row.key),
                    mutation: Mutation::AbortUpload {
                        upload: row.id,
                        now: self.now(),
                    },
                };
                swept += u64::from(self.delete_by_itself(dataset, deletion).await?);
            }
            if !page.more {
                return Ok(swept);
            }
        }
    }

    /// Whether anything of it came since then: large uploads take weeks.
    async fn is_alive(&self, row: &UploadRow, since: Timestamp) -> Result<bool, VaultError> {
        if row.initiated >= since {
            return Ok(true);
        }
        let mut after = 0;
        loop {
            let page = self
                .catalog
                .parts(&row.id, after, limits::PAGE_ENTRIES_MAX)
                .await?;
            if page.parts.iter().any(|part| part.modified >= since) {
                return Ok(true);
            }
            match page.parts.last() {
                Some(last) if page.more => after = last.number,
                Some(_) | None => return Ok(false),
            }
        }
    }
}
