//! A walk over all datasets, in order of their names.

use std::vec::IntoIter;

use crate::catalog::{DatasetRow, SharedCatalog};
use crate::types::{BucketName, limits};
use crate::vault::Vault;
use crate::vault::error::VaultError;

/// Where a walk is. What it gives was so when its page was read: who acts on it looks again.
pub(in crate::vault) struct Walk<'a> {
    catalog: &'a SharedCatalog,
    page: IntoIter<DatasetRow>,
    after: Option<BucketName>,
}

impl Walk<'_> {
    /// The next dataset; `None` behind the last.
    pub(in crate::vault) async fn next(&mut self) -> Result<Option<DatasetRow>, VaultError> {
        if self.page.as_slice().is_empty() {
            let (after, most) = (self.after.as_ref(), limits::PAGE_ENTRIES_MAX);
            self.page = self.catalog.datasets(after, most).await?.into_iter();
        }
        let next = self.page.next();
        if let Some(row) = &next {
            self.after = Some(row.bucket.clone());
        }
        Ok(next)
    }
}

impl Vault {
    /// All datasets, whoever's they are.
    pub(in crate::vault) fn all_datasets(&self) -> Walk<'_> {
        Walk {
            catalog: &self.catalog,
            page: Vec::new().into_iter(),
            after: None,
        }
    }

    /// Whether a dataset is there still, and under no legal hold (ER-2).
    pub(in crate::vault) async fn is_free(&self, dataset: &DatasetRow) -> Result<bool, VaultError> {
        let there = self.catalog.dataset(&dataset.bucket).await?;
        Ok(there.is_some_and(|row| {
            row.id == dataset.id && row.card.is_none_or(|card| card.held.is_none())
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::{DatasetRow, Defaults, Mutation};
    use crate::types::{BucketName, DatasetId, Versioning, limits};
    use crate::vault::tests::support::World;

    /// Each once, over the edges of pages, those too that come and go while it runs.
    #[tokio::test]
    async fn every_dataset_is_met_once() {
        let world = World::new().await;
        let many = 2 * limits::PAGE_ENTRIES_MAX;
        let row = |n: usize| DatasetRow {
            id: row_id(n),
            bucket: BucketName {
                project: "icu".parse().unwrap(),
                dataset: format!("x{n:05}").parse().unwrap(),
            },
            created: world.vault.now(),
            creator: "olivia".parse().unwrap(),
            versioning: Versioning::Off,
            defaults: Defaults::default(),
            card: None,
        };
        let make = |n| Mutation::CreateDataset(row(n));
        world
            .catalog
            .commit((0..many).map(make).collect())
            .await
            .unwrap();
        let mut walk = world.vault.all_datasets();
        let mut met = Vec::new();
        while let Some(row) = walk.next().await.unwrap() {
            met.push(row.bucket.dataset.to_string());
            if met.len() == 10 {
                // Behind the page that is read, and before what was met.
                let gone = Mutation::DeleteDataset(row_id(many - 1));
                world.catalog.commit(vec![gone, make(many)]).await.unwrap();
            }
        }
        let expected = (0..=many).filter(|n| *n != many - 1);
        let expected: Vec<String> = expected.map(|n| format!("x{n:05}")).collect();
        assert_eq!(met[0], "ecg");
        assert_eq!(met[1..], expected);
        assert!(walk.next().await.unwrap().is_none(), "it has an end");
    }

    fn row_id(n: usize) -> DatasetId {
        DatasetId::from_bytes(u128::try_from(n).unwrap().to_be_bytes())
    }
}
