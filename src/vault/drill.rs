//! A restore drill: everything that a rebuilt catalog names is fetched and opened, and none of it
//! is handed to anybody.

use super::Vault;
use super::error::{ErrorKind, VaultError};
use super::objects::reading::Plaintext;
use crate::catalog::ObjectRow;
use crate::types::{BucketName, ByteRange, ObjectKey, VersionId, limits};

/// Names of what does not open that are told; the count is whole.
const TOLD_MAX: usize = 20;

/// What a drill found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drilled {
    /// Datasets.
    pub datasets: u64,
    /// Writes that opened to their last byte: current objects, older versions, published ones.
    pub readable: u64,
    /// Their plaintext bytes.
    pub bytes: u64,
    /// Writes that did not.
    pub broken: u64,
    /// The first of them, `bucket/key`.
    pub names: Vec<String>,
}

impl Vault {
    /// Opens all data that the catalog names, to the last byte. It stops where the store or the
    /// catalog does not answer; what does not authenticate, or has no key or blob, is counted.
    pub async fn drill(&self, progress: impl Fn(&str)) -> Result<Drilled, VaultError> {
        let mut found = Drilled::default();
        let mut all = self.all_datasets();
        while let Some(dataset) = all.next().await? {
            found.datasets = found.datasets.saturating_add(1);
            progress(&format!("reading {}", dataset.bucket));
            let mut last: Option<(ObjectKey, VersionId)> = None;
            loop {
                let after = last.as_ref().map(|(key, version)| (key, *version));
                let page = limits::PAGE_ENTRIES_MAX;
                let rows = self.catalog.writes(&dataset.id, after, page).await?;
                self.drill_rows(&dataset.bucket, &rows, &mut found).await?;
                let Some(end) = rows.into_iter().next_back() else {
                    break;
                };
                last = Some((end.key, end.version));
            }
            for version in self.versions_of(&dataset.id).await? {
                self.drill_frozen(&dataset.bucket, &version.id, &mut found)
                    .await?;
            }
        }
        Ok(found)
    }

    async fn drill_frozen(
        &self,
        bucket: &BucketName,
        version: &crate::types::PublicationId,
        found: &mut Drilled,
    ) -> Result<(), VaultError> {
        let mut from = String::new();
        loop {
            let rows = self
                .catalog
                .frozen_from(version, &from, limits::PAGE_ENTRIES_MAX)
                .await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            from = format!("{}\0", last.key);
            self.drill_rows(bucket, &rows, found).await?;
        }
    }

    async fn drill_rows(
        &self,
        bucket: &BucketName,
        rows: &[ObjectRow],
        found: &mut Drilled,
    ) -> Result<(), VaultError> {
        for row in rows {
            match self.opens(row).await {
                Ok(()) => {
                    found.readable = found.readable.saturating_add(1);
                    found.bytes = found.bytes.saturating_add(row.bytes);
                }
                Err(error) if error.kind() == ErrorKind::Integrity => {
                    found.broken = found.broken.saturating_add(1);
                    if found.names.len() < TOLD_MAX {
                        found.names.push(format!("{bucket}/{}", row.key));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// That a write opens; its plaintext goes nowhere.
    async fn opens(&self, row: &ObjectRow) -> Result<(), VaultError> {
        let table = self.open_object(row)?;
        let Some(all) = ByteRange::new(0, row.bytes) else {
            return Ok(());
        };
        let mut plaintext = Plaintext::plan(&self.store, table, all, (&self.tables, None))?;
        while plaintext.next().await?.is_some() {}
        Ok(())
    }
}
