//! Sealing a dataset's part tables again, under its newest key: in batches, from the beginning,
//! passing over what is done. No data is read or written.

use std::sync::Arc;

use super::super::Vault;
use super::super::error::{ErrorKind, VaultError};
use super::super::objects::read::object_binding;
use super::super::objects::upload::part_binding;
use super::Unopened;
use crate::catalog::{
    KeyWorkRow, Mutation, ObjectRow, PartRow, PublicationRow, UploadQuery, UploadRow,
};
use crate::seal::{
    DatasetKey, manifest_key_version, open_table, seal_manifest_key, seal_table, table_key_version,
};
use crate::types::{DatasetId, ObjectKey, VersionId, limits};

/// Bytes of sealed tables in one commit; one table alone may have more.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Tables in one commit.
const BATCH_TABLES: usize = 500;

/// The old keys stay for as long as somebody could still bring back what they open.
const UNOPENED: VaultError = VaultError::new(
    ErrorKind::Integrity,
    "part tables open under no key, so the old keys stay: bring back the missing keys from a copy, \
     or the catalog by `kluis recover`, then `kluis key resume`; `--give-up` destroys them",
);

/// Tables that are sealed again and not committed yet.
#[derive(Default)]
struct Batch {
    mutations: Vec<Mutation>,
    bytes: usize,
    /// What did not open under the old key and so is left as it is.
    unreadable: u64,
}

impl Batch {
    /// Adds what a table became; one that no key opens is counted.
    fn add(&mut self, bytes: usize, made: Result<Mutation, VaultError>) -> Result<(), VaultError> {
        match made {
            Ok(mutation) => {
                self.mutations.push(mutation);
                self.bytes = self.bytes.saturating_add(bytes);
            }
            Err(error) if error.kind() == ErrorKind::Integrity => {
                self.unreadable = self.unreadable.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    const fn is_full(&self) -> bool {
        self.bytes > BATCH_BYTES || self.mutations.len() >= BATCH_TABLES
    }
}

/// Whether a sealed text of this key version is to be sealed again.
fn is_below(version: Option<u32>, row: &KeyWorkRow) -> bool {
    version.is_none_or(|version| version < row.floor)
}

impl Vault {
    /// Seals all tables and index keys of a dataset that are under older keys again. In this order:
    /// what moves from one kind of row to another meanwhile is met in the later one.
    /// Tables that no key opens are an error at the end, unless they are given up.
    pub(super) async fn rewrap_dataset(
        &self,
        row: &KeyWorkRow,
        unopened: Unopened,
    ) -> Result<(), VaultError> {
        let mut batch = Batch::default();
        self.rewrap_parts(row, &mut batch).await?;
        self.rewrap_writes(row, &mut batch).await?;
        self.rewrap_publications(row, &mut batch).await?;
        self.commit_batch(&mut batch).await?;
        let tables = batch.unreadable;
        match unopened {
            _ if tables == 0 => Ok(()),
            Unopened::Wait => {
                tracing::error!(tables, dataset = %row.dataset, "part tables open under no key");
                Err(UNOPENED)
            }
            Unopened::GiveUp => {
                tracing::warn!(tables, dataset = %row.dataset, "part tables are given up");
                Ok(())
            }
        }
    }

    async fn commit_batch(&self, batch: &mut Batch) -> Result<(), VaultError> {
        batch.bytes = 0;
        let mutations = std::mem::take(&mut batch.mutations);
        Ok(self.catalog.commit(mutations).await?)
    }

    async fn rewrap_writes(&self, row: &KeyWorkRow, batch: &mut Batch) -> Result<(), VaultError> {
        let mut last: Option<(ObjectKey, VersionId)> = None;
        loop {
            let after = last.as_ref().map(|(key, version)| (key, *version));
            let page = self.catalog.writes(&row.dataset, after, BATCH_TABLES);
            let page = page.await?;
            for object in &page {
                self.rewrap_object(row, object, batch).await?;
            }
            let Some(end) = page.into_iter().next_back() else {
                return Ok(());
            };
            last = Some((end.key, end.version));
        }
    }

    async fn rewrap_object(
        &self,
        row: &KeyWorkRow,
        object: &ObjectRow,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        if !is_below(table_key_version(&object.sealed_table), row) {
            return Ok(());
        }
        let made = self.resealed(object).map(|sealed_table| Mutation::Rewrap {
            dataset: object.dataset,
            key: object.key.clone(),
            version: object.version,
            sealed_table,
        });
        batch.add(object.sealed_table.len(), made)?;
        if batch.is_full() {
            self.commit_batch(batch).await?;
        }
        Ok(())
    }

    /// An object's part table, sealed under the dataset's newest key.
    pub(in crate::vault) fn resealed(&self, row: &ObjectRow) -> Result<bytes::Bytes, VaultError> {
        let table = self.open_object(row)?;
        let key = self.keyring.dataset(&row.dataset)?;
        Ok(seal_table(&key, &object_binding(row), &table)?)
    }

    /// What to write in the place of a row that was refused because the dataset's key was replaced
    /// meanwhile: its table under the new key. Any other error is given back, and so is this one
    /// where there is no newer key.
    pub(in crate::vault) fn resealed_after(
        &self,
        error: VaultError,
        row: &ObjectRow,
    ) -> Result<bytes::Bytes, VaultError> {
        let table = &row.sealed_table;
        self.after_rotation(error, (&row.dataset, table), |key| {
            let table = self.open_object(row)?;
            Ok(seal_table(&*key()?, &object_binding(row), &table)?)
        })
    }

    /// The same of a part.
    pub(in crate::vault) fn resealed_part_after(
        &self,
        error: VaultError,
        (upload, part): (&UploadRow, &PartRow),
    ) -> Result<bytes::Bytes, VaultError> {
        let sealed = &part.sealed_table;
        self.after_rotation(error, (&upload.dataset, sealed), |key| {
            let old = self.key_of(&upload.dataset, sealed)?;
            let binding = part_binding(upload, part);
            let table = open_table(&old, &binding, sealed)?;
            Ok(seal_table(&*key()?, &binding, &table)?)
        })
    }

    fn after_rotation(
        &self,
        error: VaultError,
        (dataset, sealed): (&DatasetId, &[u8]),
        seal: impl FnOnce(
            &dyn Fn() -> Result<Arc<DatasetKey>, VaultError>,
        ) -> Result<bytes::Bytes, VaultError>,
    ) -> Result<bytes::Bytes, VaultError> {
        if !error.is_retired_key() {
            return Err(error);
        }
        // The old key is read from memory, the new one from its file.
        let newest = || {
            self.keyring.forget_dataset(dataset);
            Ok(self.keyring.dataset(dataset)?)
        };
        let made = seal(&newest);
        match made {
            Ok(made) if table_key_version(&made) > table_key_version(sealed) => Ok(made),
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// A part's table, likewise.
    pub(in crate::vault) fn resealed_part(
        &self,
        upload: &UploadRow,
        part: &PartRow,
    ) -> Result<bytes::Bytes, VaultError> {
        let key = self.key_of(&upload.dataset, &part.sealed_table)?;
        let binding = part_binding(upload, part);
        let table = open_table(&key, &binding, &part.sealed_table)?;
        let key = self.keyring.dataset(&upload.dataset)?;
        Ok(seal_table(&key, &binding, &table)?)
    }

    async fn rewrap_parts(&self, row: &KeyWorkRow, batch: &mut Batch) -> Result<(), VaultError> {
        let mut query = UploadQuery {
            limit: limits::PAGE_ENTRIES_MAX,
            ..UploadQuery::default()
        };
        loop {
            let page = self.catalog.uploads(&row.dataset, &query).await?;
            for upload in &page.uploads {
                self.rewrap_upload(row, upload, batch).await?;
                query.after = Some((upload.key.to_string(), Some(upload.id)));
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn rewrap_upload(
        &self,
        row: &KeyWorkRow,
        upload: &UploadRow,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        let mut after = 0;
        loop {
            let page = self
                .catalog
                .parts(&upload.id, after, limits::PAGE_ENTRIES_MAX)
                .await?;
            for part in &page.parts {
                after = part.number;
                if !is_below(table_key_version(&part.sealed_table), row) {
                    continue;
                }
                let sealed = self.resealed_part(upload, part);
                let made = sealed.map(|sealed_table| Mutation::RewrapPart {
                    upload: upload.id,
                    number: part.number,
                    version: part.version,
                    sealed_table,
                });
                batch.add(part.sealed_table.len(), made)?;
                if batch.is_full() {
                    self.commit_batch(batch).await?;
                }
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Frozen rows, of which most share what the objects have, and the keys of indexes.
    async fn rewrap_publications(
        &self,
        row: &KeyWorkRow,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        // What is frozen only now has tables of today, or those of rows that were met above.
        let mut all: Vec<PublicationRow> = Vec::new();
        loop {
            let (after, most) = (all.last().map(|last| last.id), limits::PAGE_ENTRIES_MAX);
            let page = self.catalog.unissued(&row.dataset, after, most).await?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        all.extend(self.versions_of(&row.dataset).await?);
        for publication in &all {
            // The rows before it read what is committed.
            self.commit_batch(batch).await?;
            self.rewrap_frozen(row, publication, batch).await?;
            self.rewrap_index(row, publication, batch)?;
        }
        Ok(())
    }

    async fn rewrap_frozen(
        &self,
        row: &KeyWorkRow,
        publication: &PublicationRow,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        let mut from = String::new();
        loop {
            let page = self
                .catalog
                .frozen_from(&publication.id, &from, limits::PAGE_ENTRIES_MAX)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = format!("{}\0", last.key);
            for object in &page {
                self.rewrap_object(row, object, batch).await?;
            }
        }
    }

    fn rewrap_index(
        &self,
        row: &KeyWorkRow,
        publication: &PublicationRow,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
        let Some(issue) = &publication.issue else {
            return Ok(());
        };
        // One that was erased has left its number, and no key.
        if issue.sealed_key.is_empty() || !is_below(manifest_key_version(&issue.sealed_key), row) {
            return Ok(());
        }
        let sealed = || {
            let index = self.index_key(publication)?;
            let key = self.keyring.dataset(&row.dataset)?;
            let id = &publication.id;
            Ok(seal_manifest_key(&key, id, &index, self.entropy.as_ref())?)
        };
        let made = sealed().map(|sealed_key| Mutation::RewrapIndex {
            publication: publication.id,
            sealed_key,
        });
        batch.add(issue.sealed_key.len(), made)
    }
}
