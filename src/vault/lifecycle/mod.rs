//! Lifecycle: what an owner's rules say is deleted when, and the run that does it. Each deletion
//! stands in the log as done by the system under the rule's name, and goes through the catalog as a
//! client's does: what Object Lock keeps stays.

mod rules;
mod told;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::{StreamExt as _, stream};

pub use self::told::Expires;

use self::rules::{Calendar, Deed, Due, Listed, Walk, needs_tags};
use super::Vault;
use super::ask::Call;
use super::error::{ErrorKind, VaultError};
use crate::catalog::{
    Condition, DatasetRow, LifecycleRule, Mutation, Setting, SettingKind, UploadQuery, UploadRow,
    Version, VersionEntry, VersionQuery,
};
use crate::ledger::{AuthMethod, Nature, ObjectRef, PolicyRef, Session};
use crate::types::{Action, ObjectKey, Timestamp, VersionId, VersionName, limits};

/// What a run did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycled {
    /// Current objects deleted.
    pub expired: u64,
    /// Older versions and delete markers deleted for good.
    pub versions: u64,
    /// Uploads given up.
    pub uploads: u64,
    /// Deletions that did not happen: locked, changed meanwhile, or failed.
    pub refused: u64,
}

/// One deletion that the vault does by itself.
pub(in crate::vault) struct Deletion {
    /// As the log calls it.
    pub(in crate::vault) operation: &'static str,
    /// By what rule it is allowed.
    pub(in crate::vault) rule: String,
    /// What else the log is told.
    pub(in crate::vault) words: String,
    pub(in crate::vault) action: Action,
    pub(in crate::vault) object: ObjectRef,
    pub(in crate::vault) mutation: Mutation,
}

impl Deletion {
    fn by(rule: &LifecycleRule, (action, object): (Action, ObjectRef), mutation: Mutation) -> Self {
        let id = &rule.id;
        Self {
            operation: "LifecycleExpiration",
            rule: format!("lifecycle:{id}"),
            words: format!("rule={id}"),
            action,
            object,
            mutation,
        }
    }
}

impl Vault {
    /// Deletes what is due by the rules of every dataset, at a moment that has surely come.
    pub async fn run_lifecycle(&self, now: Timestamp) -> Result<Lifecycled, VaultError> {
        let now = now.min(self.settled_now());
        let mut done = Lifecycled::default();
        let mut all = self.all_datasets();
        while let Some(dataset) = all.next().await? {
            let rules = self.rules_in_force(&dataset).await?;
            if !rules.is_empty() {
                self.run_versions(&dataset, &rules, now, &mut done).await?;
                self.run_uploads(&dataset, &rules, now, &mut done).await?;
            }
        }
        Ok(done)
    }

    const fn calendar(&self, now: Timestamp) -> Calendar {
        let day_ms = self.settings.day_ms;
        Calendar { now, day_ms }
    }

    /// The rules of a dataset as they are now; none where it is gone, or where a legal hold on it
    /// keeps all of it (ER-2).
    async fn rules_in_force(&self, dataset: &DatasetRow) -> Result<Vec<LifecycleRule>, VaultError> {
        if !self.is_free(dataset).await? {
            return Ok(Vec::new());
        }
        let kind = SettingKind::Lifecycle;
        match self.catalog.setting(&dataset.id, kind).await? {
            Some(Setting::Lifecycle(rules)) => Ok(rules),
            _ => Ok(Vec::new()),
        }
    }

    async fn run_versions(
        &self,
        dataset: &DatasetRow,
        rules: &[LifecycleRule],
        now: Timestamp,
        done: &mut Lifecycled,
    ) -> Result<(), VaultError> {
        let mut walk = Walk::new(rules, self.calendar(now));
        let mut query = VersionQuery {
            prefix: common_prefix(rules),
            limit: limits::PAGE_ENTRIES_MAX,
            ..VersionQuery::default()
        };
        loop {
            let page = self.catalog.versions(&dataset.id, &query).await?;
            let mut due = Vec::new();
            for entry in page.entries {
                let Some(version) = self.listed(dataset, rules, entry).await? else {
                    continue;
                };
                query.after = Some((version.key.clone(), Some(version.name)));
                due.extend(walk.next(version));
            }
            if !page.more {
                due.extend(walk.end());
            }
            self.delete_due(dataset, due, now, done).await?;
            // A long run obeys what was said meanwhile; the next one begins with other rules.
            if !page.more || self.rules_in_force(dataset).await? != rules {
                return Ok(());
            }
        }
    }

    /// An entry as the rules look at it.
    async fn listed(
        &self,
        dataset: &DatasetRow,
        rules: &[LifecycleRule],
        entry: VersionEntry,
    ) -> Result<Option<Listed>, VaultError> {
        let VersionEntry::Version {
            key,
            name,
            latest,
            modified,
            object,
        } = entry
        else {
            return Ok(None);
        };
        let mut tags = Vec::new();
        if object.is_some() && needs_tags(rules, key.as_str()) {
            let found = self.catalog.version(&dataset.id, &key, &name).await?;
            if let Some(Version::Object(row)) = found {
                tags.clone_from(&row.attached.tags);
            }
        }
        Ok(Some(Listed {
            key: key.to_string(),
            name,
            latest,
            modified,
            object,
            tags,
        }))
    }

    async fn delete_due(
        &self,
        dataset: &DatasetRow,
        due: Vec<Due<'_>>,
        now: Timestamp,
        done: &mut Lifecycled,
    ) -> Result<(), VaultError> {
        let each = due.into_iter().map(|due| async move {
            let deed = due.deed;
            let Some(deletion) = self.deletion(dataset, due, now).await? else {
                return Ok((deed, false));
            };
            self.delete_by_itself(dataset, deletion)
                .await
                .map(|gone| (deed, gone))
        });
        let each: Vec<_> = each.collect();
        let mut ends = stream::iter(each).buffered(limits::DELETES_AT_ONCE);
        while let Some(end) = ends.next().await {
            let counter = match end? {
                (_, false) => &mut done.refused,
                (Deed::Expire, true) => &mut done.expired,
                (Deed::Delete, true) => &mut done.versions,
            };
            *counter = counter.saturating_add(1);
        }
        Ok(())
    }

    /// The deletion of a version that is due; `None` while Object Lock keeps it.
    async fn deletion(
        &self,
        dataset: &DatasetRow,
        due: Due<'_>,
        now: Timestamp,
    ) -> Result<Option<Deletion>, VaultError> {
        let Ok(key) = due.version.key.parse::<ObjectKey>() else {
            return Ok(None);
        };
        let (id, name) = (dataset.id, due.version.name);
        let keeps = dataset.versioning != crate::types::Versioning::Off;
        if due.deed == Deed::Delete && dataset.defaults.lock.is_some() {
            let there = self.catalog.version(&id, &key, &name).await?;
            let lock = match there {
                Some(Version::Object(row)) => row.attached.facts.lock,
                Some(Version::Marker(_)) | None => crate::types::Lock::default(),
            };
            if lock.holds(now) {
                return Ok(None);
            }
        }
        let marker = VersionId::random(self.entropy.as_ref())?;
        let gone = match name {
            VersionName::Id(id) => Some(id),
            VersionName::Null => None,
        };
        let (action, version, mutation) = match due.deed {
            Deed::Expire => {
                // The very object that was listed: one written meanwhile stays.
                let Some((_, etag)) = due.version.object else {
                    return Ok(None);
                };
                let condition = Condition::Matches(etag);
                let mutation = Mutation::RemoveObject {
                    dataset: id,
                    key: key.clone(),
                    marker,
                    condition,
                    now,
                };
                (Action::ObjectDelete, keeps.then_some(marker), mutation)
            }
            Deed::Delete => {
                // The very version that was listed: one named `null` may be another by now.
                let condition = match due.version.object {
                    Some((_, etag)) => Condition::Matches(etag),
                    None => Condition::Absent,
                };
                let mutation = Mutation::DeleteVersion {
                    dataset: id,
                    key: key.clone(),
                    version: name,
                    condition,
                    now,
                };
                (Action::VersionDelete, gone, mutation)
            }
        };
        let object = ObjectRef {
            version,
            ..object_of(dataset, key)
        };
        Ok(Some(Deletion::by(due.rule, (action, object), mutation)))
    }

    async fn run_uploads(
        &self,
        dataset: &DatasetRow,
        rules: &[LifecycleRule],
        now: Timestamp,
        done: &mut Lifecycled,
    ) -> Result<(), VaultError> {
        let calendar = self.calendar(now);
        let abandoned = |row: &UploadRow| {
            let mut rules = rules.iter().filter(|rule| rule.enabled);
            rules.find(|rule| {
                let key = row.key.as_str().starts_with(&rule.filter.prefix);
                let days = rule
                    .abort_days
                    .filter(|_| key && rule.filter.tags.is_empty());
                days.is_some_and(|days| calendar.is_due(days, row.initiated))
            })
        };
        let mut query = UploadQuery {
            limit: limits::PAGE_ENTRIES_MAX,
            ..UploadQuery::default()
        };
        loop {
            let page = self.catalog.uploads(&dataset.id, &query).await?;
            for row in page.uploads {
                query.after = Some((row.key.to_string(), Some(row.id)));
                let Some(rule) = abandoned(&row) else {
                    continue;
                };
                let abort = Mutation::AbortUpload {
                    upload: row.id,
                    now,
                };
                let object = object_of(dataset, row.key);
                let deletion = Deletion::by(rule, (Action::UploadManage, object), abort);
                let counter = if self.delete_by_itself(dataset, deletion).await? {
                    &mut done.uploads
                } else {
                    &mut done.refused
                };
                *counter = counter.saturating_add(1);
            }
            if !page.more || self.rules_in_force(dataset).await? != rules {
                return Ok(());
            }
        }
    }

    /// Deletes, with its record; whether it happened. A log that takes no record ends the run.
    pub(in crate::vault) async fn delete_by_itself(
        &self,
        dataset: &DatasetRow,
        deletion: Deletion,
    ) -> Result<bool, VaultError> {
        let call = self.system_call(deletion.operation)?;
        let mut intent = Self::intent(&call, Some(deletion.action), deletion.object);
        intent.query = Some(super::cut(&deletion.words));
        intent.policy = Some(PolicyRef {
            allowed: true,
            rule: super::cut(&deletion.rule),
            version: self.policy().hash(),
            grant: None,
            purpose: None,
            permit: None,
        });
        let recorded = self.begin(&call, intent).await?;
        let unheld = Mutation::CheckHold(dataset.id);
        let result = self.commit(vec![unheld, deletion.mutation]).await;
        match recorded.settle(result) {
            Ok(()) => Ok(true),
            Err(error) if error.kind().status() < 500 => Ok(false),
            Err(error) if error.kind() == ErrorKind::LogUnavailable => Err(error),
            Err(error) => {
                let dataset = dataset.id;
                tracing::warn!(%dataset, reason = %error.reason(), "a deletion by the vault itself failed");
                Ok(false)
            }
        }
    }

    /// A call by the vault itself.
    pub(in crate::vault) fn system_call(
        &self,
        operation: &'static str,
    ) -> Result<Call, VaultError> {
        let session = Session {
            principal: None,
            responsible: None,
            access_key: None,
            auth: AuthMethod::Local,
            client_ip: "local".to_owned(),
            user_agent: String::new(),
            source: "system".to_owned(),
        };
        Ok(Call {
            session: Arc::new(session),
            event: self.new_event()?,
            time: self.now(),
            operation,
            nature: Nature::Normal,
            bounds: None,
            recorded: Arc::new(AtomicBool::new(false)),
        })
    }
}

/// An object of a dataset, as the log names it.
pub(in crate::vault) fn object_of(dataset: &DatasetRow, key: ObjectKey) -> ObjectRef {
    ObjectRef {
        project: Some(dataset.bucket.project.clone()),
        dataset: Some(dataset.bucket.dataset.clone()),
        key: Some(key),
        version: None,
    }
}

/// What the prefixes of all rules in force begin with: nothing outside it is looked at.
fn common_prefix(rules: &[LifecycleRule]) -> String {
    let mut prefixes = rules.iter().filter(|rule| rule.enabled);
    let Some(first) = prefixes.next() else {
        return String::new();
    };
    let mut common = first.filter.prefix.as_str();
    for rule in prefixes {
        while !rule.filter.prefix.starts_with(common) {
            let mut chars = common.chars();
            let _last: Option<char> = chars.next_back();
            common = chars.as_str();
        }
    }
    common.to_owned()
}

/// Sees that rules are within their bounds and can be told apart.
pub(super) fn check_lifecycle(rules: &[LifecycleRule]) -> Result<(), VaultError> {
    const BAD: VaultError = VaultError::new(ErrorKind::InvalidRule, "a lifecycle rule is none");
    let text = |text: &str, most: usize| text.len() <= most && !text.chars().any(char::is_control);
    let fine = |rule: &LifecycleRule| {
        let filter = &rule.filter;
        let days = |days: u32| days >= 1;
        let expiry = rule.expiry.is_none_or(|expiry| match expiry {
            crate::catalog::Expiry::Days(count) => days(count),
            crate::catalog::Expiry::At(_) => true,
        });
        let does = rule.expiry.is_some()
            || rule.lone_markers
            || rule.noncurrent.is_some()
            || rule.abort_days.is_some();
        let tags = super::objects::tags::check_tags(&filter.tags, limits::OBJECT_TAGS_MAX).is_ok();
        // A marker and an upload have no tags and no size yet.
        let sized = filter.larger.is_some() || filter.smaller.is_some();
        let untagged = filter.tags.is_empty() || !(rule.lone_markers || rule.abort_days.is_some());
        text(&rule.id, limits::RULE_NAME_BYTES_MAX)
            && !rule.id.is_empty()
            && text(&filter.prefix, limits::OBJECT_KEY_BYTES_MAX)
            && tags
            && untagged
            && !(sized && rule.abort_days.is_some())
            && expiry
            && does
            && rule
                .noncurrent
                .is_none_or(|old| days(old.days) && old.keep != Some(0))
            && rule.abort_days.is_none_or(days)
    };
    let mut names: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| pair.first() == pair.last());
    let most = limits::LIFECYCLE_RULES_MAX;
    if rules.is_empty() || rules.len() > most || twice || !rules.iter().all(fine) {
        return Err(BAD);
    }
    Ok(())
}
