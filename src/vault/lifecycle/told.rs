//! What who reads or writes an object is told of its end.

use std::sync::Arc;

use super::rules::{Sight, expiry};
use crate::catalog::{LifecycleRule, ObjectRow, Setting, SettingKind};
use crate::types::{DatasetId, Timestamp};
use crate::vault::Vault;
use crate::vault::access::guard::Guard;
use crate::vault::error::VaultError;

/// When a current object expires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expires {
    /// From when on: a run of the lifecycle after it deletes the object.
    pub at: Timestamp,
    /// The rule's name.
    pub rule: String,
}

impl Vault {
    /// When an object expires, as long as it is the current one and nothing else is said. A word
    /// beside an answer: nothing fails for want of it.
    pub async fn expires(&self, row: &ObjectRow) -> Option<Expires> {
        let rules = self.guard.lifecycle(row.dataset).await.ok()??;
        let sight = Sight {
            key: row.key.as_str(),
            bytes: row.bytes,
            tags: &row.attached.tags,
        };
        let when = (row.modified, self.calendar(self.now()));
        let (at, rule) = expiry(&rules, sight, when)?;
        let rule = rule.id.clone();
        Some(Expires { at, rule })
    }
}

impl Guard {
    /// A dataset's rules; `None` where none says when a current object expires. Each read asks:
    /// they are cached with whoever may read.
    async fn lifecycle(
        &self,
        dataset: DatasetId,
    ) -> Result<Option<Arc<[LifecycleRule]>>, VaultError> {
        let generation = self.generation().await?;
        if let Some(known) = self.cached(|cache| cache.lifecycles.get(&dataset).cloned()) {
            return Ok(known);
        }
        let rules = match self
            .catalog
            .setting(&dataset, SettingKind::Lifecycle)
            .await?
        {
            Some(Setting::Lifecycle(rules)) => rules,
            _ => Vec::new(),
        };
        let expires = |rule: &LifecycleRule| rule.enabled && rule.expiry.is_some();
        let rules = rules.iter().any(expires).then(|| Arc::from(rules));
        self.keep(generation, |cache| {
            let _before = cache.lifecycles.insert(dataset, rules.clone());
        });
        Ok(rules)
    }
}
