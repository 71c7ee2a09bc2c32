//! What an allowed request is about, and what a caller may know of.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{DatasetRow, PublicationRow};
use crate::policy::Ask;
use crate::types::{Action, BucketName, PrincipalId, ProjectName, Rank, Versioning};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::about;
use crate::vault::{Bounds, Call, Vault};

impl Vault {
    /// The dataset that an allowed request is about, its version if it names one, and the rank of
    /// its label.
    pub(in crate::vault) async fn locate(
        &self,
        bucket: &BucketName,
        version: Option<u32>,
        action: Action,
    ) -> Result<(Option<DatasetRow>, Option<Arc<PublicationRow>>, Rank), VaultError> {
        if version.is_some() && !action.only_reads() {
            let frozen = "a version is never changed";
            return Err(VaultError::new(ErrorKind::AccessDenied, frozen));
        }
        let Some((mut row, rank)) = self.guard.dataset(bucket).await? else {
            let absent = VaultError::new(ErrorKind::NoSuchDataset, "no such dataset");
            let made = action == Action::DatasetCreate;
            return made.then_some((None, None, Rank::NONE)).ok_or(absent);
        };
        let Some(number) = version else {
            return Ok((Some(row), None, rank));
        };
        let absent = VaultError::new(ErrorKind::NoSuchPublication, "no such published version");
        let publication = self
            .guard
            .publication(row.id, number)
            .await?
            .ok_or(absent)?;
        // Of what is frozen there is one version of each object.
        row.versioning = Versioning::Off;
        Ok((Some(row), Some(publication), rank))
    }

    /// The datasets that the caller may know of, in order of project and name.
    pub(in crate::vault) async fn visible_datasets(
        &self,
        call: &Call,
        principal: &PrincipalId,
    ) -> Result<Vec<DatasetRow>, VaultError> {
        let projects = self.catalog.projects_of(principal).await?;
        let mut projects: HashSet<ProjectName> = projects.into_iter().collect();
        for group in self.guard.claimed_in(call).await? {
            projects.extend(self.catalog.projects_of(&group).await?);
        }
        let mut visible = Vec::new();
        let mut all = self.all_datasets();
        while let Some(row) = all.next().await? {
            if projects.contains(&row.bucket.project)
                && self
                    .may(call, (principal, &row.bucket, ""), Action::DatasetHead)
                    .await?
            {
                visible.push(row);
            }
        }
        Ok(visible)
    }

    /// Whether `principal` may do `action` on a dataset, with no record: for filters and for
    /// checks inside a use case that records itself.
    pub(in crate::vault) async fn may(
        &self,
        call: &Call,
        place: (&PrincipalId, &BucketName, &str),
        action: Action,
    ) -> Result<bool, VaultError> {
        self.may_of(call, place, None, action).await
    }

    /// The same of a published version.
    pub(in crate::vault) async fn may_of(
        &self,
        call: &Call,
        (principal, bucket, key): (&PrincipalId, &BucketName, &str),
        version: Option<u32>,
        action: Action,
    ) -> Result<bool, VaultError> {
        let subject = self
            .guard
            .subject_of(call, &bucket.project, principal)
            .await?;
        let ask = Ask {
            project: &bucket.project,
            principal,
            dataset: Some(&bucket.dataset),
            key,
            action,
            now: self.now(),
            when: about(call, version),
        };
        let labels = &self.settings.labels;
        let placed = self.guard.dataset(bucket).await?;
        let cleared = placed.is_none_or(|(row, rank)| {
            let ranks = (rank, subject.cleared());
            let job = call.bounds.as_deref().and_then(Bounds::job);
            crate::vault::access::barrier::judge(labels, &row, ranks, job, (action, ask.now))
                .is_ok()
        });
        Ok(cleared && subject.decide(&ask).allowed)
    }
}
