//! Datasets: seeing, listing, making and deleting them.

pub(in crate::vault) mod cards;
pub(in crate::vault) mod cors;
mod deleted;
pub(in crate::vault) mod settings;
pub(in crate::vault) mod stages;
pub(in crate::vault) mod walk;

use super::Vault;
use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use crate::catalog::{
    Card, DatasetRow, Defaults, ListQuery, Mutation, Page, VersionPage, VersionQuery,
};
use crate::ledger::ObjectRef;
use crate::types::{Action, DatasetId, LockDefaults, NameError, PrincipalId, Versioning, limits};

impl Vault {
    /// The datasets that the caller may know of.
    pub async fn list_datasets(&self, call: &Call) -> Result<Vec<DatasetRow>, VaultError> {
        let intent = Self::intent(call, Some(Action::DatasetHead), ObjectRef::default());
        let Some(principal) = &call.session.principal else {
            return Err(self.turn_away(call, intent, super::NOBODY).await);
        };
        let recorded = self.begin(call, intent).await?;
        let result = self.visible_datasets(call, principal).await;
        recorded.settle(result)
    }

    /// That a dataset exists.
    pub async fn head_dataset(&self, call: &Call, bucket: &str) -> Result<DatasetRow, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetHead)
            .await?;
        let row = proof.dataset()?.clone();
        self.note(call, Self::intent_of(call, &proof), Ok(()))
            .await?;
        Ok(row)
    }

    /// One page of a dataset's objects.
    pub async fn list_objects(
        &self,
        call: &Call,
        bucket: &str,
        query: ListQuery,
    ) -> Result<Page, VaultError> {
        let proof = self
            .authorize_under(call, bucket, &query.prefix, Action::ObjectList)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = super::asked(proof.number(), Some(&query.prefix));
        let dataset = proof.dataset()?.id;
        let query = ListQuery {
            limit: query.limit.min(limits::PAGE_ENTRIES_MAX),
            ..query
        };
        let listing = async {
            match proof.publication() {
                Some(version) => self.catalog.list_frozen(&version.id, &query).await,
                None => self.catalog.list(&dataset, &query).await,
            }
        };
        let (recorded, page) = tokio::join!(self.begin(call, intent), listing);
        let recorded = recorded?;
        recorded.settle(page.map_err(VaultError::from))
    }

    /// One page of a dataset's versions, delete markers and all.
    pub async fn list_versions(
        &self,
        call: &Call,
        bucket: &str,
        query: VersionQuery,
    ) -> Result<VersionPage, VaultError> {
        // The names of what is current are among them.
        self.authorize_under(call, bucket, &query.prefix, Action::ObjectList)
            .await?;
        let proof = self
            .authorize_under(call, bucket, &query.prefix, Action::VersionList)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(super::cut(&query.prefix));
        let dataset = proof.dataset()?.id;
        let (recorded, page) = tokio::join!(
            self.begin(call, intent),
            self.catalog.versions(&dataset, &query)
        );
        let recorded = recorded?;
        recorded.settle(page.map_err(VaultError::from))
    }

    /// Makes a dataset: its key first, then its row, so that no dataset is without a key. Who made
    /// it before is told that it is there, as it is (`locking`: with Object Lock).
    pub async fn create_dataset(
        &self,
        call: &Call,
        bucket: &str,
        locking: bool,
    ) -> Result<DatasetRow, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetCreate)
            .await?;
        let recorded = self.begin(call, Self::intent_of(call, &proof)).await?;
        let result = async {
            let creator = call.session.principal.clone().ok_or(super::NOBODY)?;
            if let Ok(row) = proof.dataset() {
                if row.creator == creator && (!locking || row.defaults.lock.is_some()) {
                    return Ok(row.clone());
                }
                let there = "the dataset is there already";
                return Err(VaultError::new(ErrorKind::DatasetExists, there));
            }
            let project = &proof.bucket().project;
            let card = self.first_card(project, &creator).await?;
            self.make_dataset(proof.bucket(), creator, card, locking)
                .await
        }
        .await;
        recorded.settle(result)
    }

    pub(super) async fn make_dataset(
        &self,
        bucket: &crate::types::BucketName,
        creator: PrincipalId,
        card: Option<Card>,
        locking: bool,
    ) -> Result<DatasetRow, VaultError> {
        // What no S3 client could name is not made.
        let _name = bucket
            .for_s3(self.default_project())
            .ok_or(NameError::BucketTooLong)?;
        let row = DatasetRow {
            id: DatasetId::random(self.entropy.as_ref())?,
            bucket: bucket.clone(),
            created: self.now(),
            creator,
            versioning: Versioning::Off,
            defaults: Defaults::default(),
            card: None,
        };
        self.keyring
            .create_dataset(&row.id, self.entropy.as_ref())?;
        let mut mutations = vec![Mutation::CreateDataset(row.clone())];
        let dataset = row.id;
        mutations.extend(card.clone().map(|card| Mutation::SetCard {
            dataset,
            was: None,
            card,
        }));
        if locking {
            let (dataset, state) = (row.id, Versioning::Enabled);
            let lock = LockDefaults::default();
            mutations.push(Mutation::SetVersioning { dataset, state });
            mutations.push(Mutation::SetObjectLock { dataset, lock });
        }
        let committed = self.commit(mutations).await;
        self.guard.forget();
        match committed {
            Ok(()) => Ok(DatasetRow {
                card: card.map(std::sync::Arc::new),
                ..row
            }),
            Err(error) => {
                // The key of a dataset that surely is not there opens nothing.
                if matches!(
                    error.kind(),
                    ErrorKind::DatasetExists | ErrorKind::InvalidArgument
                ) {
                    self.keyring.destroy_dataset(&row.id)?;
                }
                Err(error)
            }
        }
    }

    /// Deletes an empty dataset that is under no legal hold. Its keys stay until two persons erase
    /// them.
    pub async fn delete_dataset(&self, call: &Call, bucket: &str) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetDelete)
            .await?;
        let recorded = self.begin(call, Self::intent_of(call, &proof)).await?;
        let result = self
            .drop_dataset(proof.dataset()?, call.session.principal.as_ref())
            .await;
        recorded.settle(result)
    }
}
