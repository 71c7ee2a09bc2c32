//! What is set for a dataset as a whole: versioning and tags.

use crate::vault::Vault;
use crate::vault::ask::{Call, Holding, Place, ReadAsk};
use crate::vault::datasets::cors::check_cors;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::lifecycle::check_lifecycle;
use crate::vault::objects::tags::check_tags;

use crate::catalog::{Mutation, Setting, SettingKind};
use crate::policy::{Grant, GrantEffect, Policy, Standing};
use crate::types::{Action, Timestamp, Versioning, limits};

impl Vault {
    /// Whether a dataset keeps versions; who may know that it is there may know this.
    pub async fn versioning(&self, call: &Call, bucket: &str) -> Result<Versioning, VaultError> {
        Ok(self.head_dataset(call, bucket).await?.versioning)
    }

    /// Enables or suspends versioning.
    pub async fn set_versioning(
        &self,
        call: &Call,
        bucket: &str,
        state: Versioning,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetConfigure)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(format!("versioning={state:?}"));
        let dataset = proof.dataset()?.id;
        let recorded = self.begin(call, intent).await?;
        let mutation = Mutation::SetVersioning { dataset, state };
        let result = self.commit(vec![mutation]).await;
        self.guard.forget();
        recorded.settle(result)
    }

    /// Records that somebody who may change a dataset set what is so anyway; nothing changes.
    pub async fn affirm(&self, call: &Call, bucket: &str, what: &str) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetConfigure)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(format!("as it is: {what}"));
        match proof.dataset() {
            Ok(_there) => self.note(call, intent, Ok(())).await,
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// The same of an object, by whoever may change what is attached to it.
    pub async fn affirm_object(
        &self,
        call: &Call,
        place: Place<'_>,
        what: &str,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectTag)
            .await?;
        let proof = self.authorize_version(call, place, proof).await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(format!("as it is: {what}"));
        match self.look(&proof, &ReadAsk::default()).await {
            Ok(seen) => {
                intent.object.version = Some(seen.row.version);
                self.note(call, intent, Ok(())).await
            }
            Err(error) => Err(self.turn_away(call, intent, error).await),
        }
    }

    /// Who holds what over a dataset, by grants over it or over its whole project: for whoever
    /// manages grants.
    pub async fn holdings(&self, call: &Call, bucket: &str) -> Result<Vec<Holding>, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::GrantManage)
            .await?;
        let name = &proof.dataset()?.bucket;
        let most = limits::DATASET_GRANTS_TOLD_MAX;
        let (recorded, grants) = tokio::join!(
            self.begin(call, Self::intent_of(call, &proof)),
            self.catalog.grants(&name.project, most)
        );
        let (policy, now) = (self.policy(), self.now());
        let over = |grant: &Grant| {
            let dataset = grant.dataset.as_ref();
            dataset.is_none_or(|dataset| *dataset == name.dataset) && is_told(grant, now)
        };
        let grants = recorded?.settle(grants.map_err(VaultError::from))?;
        let grants = grants.into_iter().filter(over);
        Ok(grants.map(|grant| holding(&policy, grant)).collect())
    }

    /// A setting of a dataset.
    pub async fn setting(
        &self,
        call: &Call,
        bucket: &str,
        kind: SettingKind,
    ) -> Result<Setting, VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetConfigure)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(format!("{kind:?}"));
        let dataset = proof.dataset()?.id;
        let (recorded, setting) = tokio::join!(
            self.begin(call, intent),
            self.catalog.setting(&dataset, kind)
        );
        let absent = VaultError::new(ErrorKind::NoSuchSetting, "the dataset has no such setting");
        let setting = setting.map_err(VaultError::from);
        recorded?.settle(setting.and_then(|setting| setting.ok_or(absent)))
    }

    /// Makes, replaces or (`None`) removes a setting.
    pub async fn set_setting(
        &self,
        call: &Call,
        bucket: &str,
        kind: SettingKind,
        value: Option<Setting>,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetConfigure)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        let verb = if value.is_some() { "set" } else { "remove" };
        intent.query = Some(format!("{verb} {kind:?}"));
        if let Err(error) = check(value.as_ref()) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let dataset = proof.dataset()?.id;
        let recorded = self.begin(call, intent).await?;
        let mutation = Mutation::SetSetting {
            dataset,
            kind,
            value,
        };
        let result = self.commit(vec![mutation]).await;
        if kind == SettingKind::Lifecycle {
            // When objects expire is cached; of the other settings nothing is.
            self.guard.forget();
        }
        recorded.settle(result)
    }
}

/// Whether a grant stands in a list that knows of principals, actions, prefixes and times alone:
/// one that is in force or will be, and, of those that allow, none that allows less than it would
/// say.
fn is_told(grant: &Grant, now: Timestamp) -> bool {
    let terms = &grant.terms;
    let narrowed =
        !terms.networks.is_empty() || !terms.partitions.is_empty() || terms.version.is_some();
    terms.standing == Standing::Approved
        && grant.ends().is_none_or(|end| now < end)
        && (grant.effect == GrantEffect::Deny || !narrowed)
}

fn holding(policy: &Policy, grant: Grant) -> Holding {
    let all = Action::ALL.iter().copied();
    let (named, ends) = (grant.terms.actions.clone(), grant.ends());
    Holding {
        id: grant.id,
        principal: grant.principal,
        denies: grant.effect == GrantEffect::Deny,
        actions: all
            .filter(|action| policy.role_allows(&grant.role, *action))
            .filter(|action| named.is_empty() || named.contains(action))
            .collect(),
        prefix: grant.prefix,
        starts: grant.starts,
        expires: ends,
    }
}

fn check(value: Option<&Setting>) -> Result<(), VaultError> {
    match value {
        None => Ok(()),
        Some(Setting::Tags(tags)) => check_tags(tags, limits::DATASET_TAGS_MAX),
        Some(Setting::Cors(rules)) => check_cors(rules),
        Some(Setting::Lifecycle(rules)) => check_lifecycle(rules),
    }
}
