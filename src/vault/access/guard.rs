//! The guard: credentials, datasets and policies as they are now, which every decision rests on.

use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;

use crate::catalog::{DatasetRow, PublicationRow, SharedCatalog};
use crate::policy::Policy;
use crate::types::{AccessKeyId, BucketName, Clock, DatasetId, Rank, Timestamp, limits};
use crate::vault::access::cache::{Cache, Known, Seen};
use crate::vault::access::uses::Recent;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::kept::{Kept, ScopeText};
use crate::vault::{Bounds, Identity, LabelRules, Parts, Vault};

/// How long a cached answer may be used before the catalog is asked whether anything changed: a
/// withdrawn grant or credential is refused within this time (AZ-2 asks for 1 s).
const FRESH_MS: u64 = 100;

/// Answers of the catalog, cached until its generation or the policy changes.
pub(in crate::vault) struct Guard {
    pub(in crate::vault) catalog: SharedCatalog,
    pub(in crate::vault) clock: Arc<dyn Clock>,
    policy: ArcSwap<Policy>,
    pub(in crate::vault) labels: LabelRules,
    cache: RwLock<Cache>,
    /// Which grants and credentials were used of late.
    pub(in crate::vault) recent: Recent,
    /// What decisions rest on, in the log.
    pub(in crate::vault) kept: Kept,
}

impl Guard {
    pub(in crate::vault) fn new(parts: &Parts, labels: LabelRules) -> Self {
        let cache = RwLock::new(Cache::default());
        Self {
            catalog: Arc::clone(&parts.catalog),
            clock: Arc::clone(&parts.clock),
            policy: ArcSwap::new(Arc::clone(&parts.policy)),
            labels,
            cache,
            recent: Recent::default(),
            kept: Kept::new(Arc::clone(&parts.journal)),
        }
    }

    pub(in crate::vault) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The policy in force.
    pub(in crate::vault) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Puts another policy in force; every decision from now on is made under it.
    pub(in crate::vault) fn replace_policy(&self, policy: Arc<Policy>) {
        self.policy.store(policy);
        self.forget();
    }

    /// Drops what is cached, after this process changed it.
    pub(in crate::vault) fn forget(&self) {
        if let Ok(mut cache) = self.cache.write() {
            cache.clear();
            cache.seen.epoch = cache.seen.epoch.wrapping_add(1);
            cache.checked = Timestamp::default();
        }
    }

    /// Looks at most every [`FRESH_MS`] whether another commit changed what is cached; returns what
    /// cached answers belong to.
    pub(in crate::vault) async fn generation(&self) -> Result<Seen, VaultError> {
        let now = self.clock.now();
        if let Ok(cache) = self.cache.read()
            && now.since(cache.checked) < FRESH_MS
            && cache.checked <= now
        {
            return Ok(cache.seen);
        }
        let epoch = self.cached(|cache| Some(cache.seen.epoch));
        let generation = self.catalog.generation().await?;
        let mut cache = self.cache.write().map_err(|_poisoned| poisoned())?;
        if generation != cache.seen.generation {
            cache.clear();
            cache.seen.generation = generation;
        }
        // What was dropped meanwhile may be read again under another generation than this.
        if epoch == Some(cache.seen.epoch) {
            cache.checked = now;
        }
        Ok(cache.seen)
    }

    /// Keeps an answer that was read under `seen`, unless something changed meanwhile.
    pub(in crate::vault) fn keep(&self, seen: Seen, keep: impl FnOnce(&mut Cache)) {
        if let Ok(mut cache) = self.cache.write()
            && cache.seen == seen
        {
            cache.make_room(limits::GUARD_CACHE_MAX);
            keep(&mut cache);
        }
    }

    /// What the cache has.
    pub(in crate::vault) fn cached<T>(&self, look: impl FnOnce(&Cache) -> Option<T>) -> Option<T> {
        self.cache.read().ok().and_then(|cache| look(&cache))
    }

    pub(in crate::vault) async fn dataset(
        &self,
        bucket: &BucketName,
    ) -> Result<Option<(DatasetRow, Rank)>, VaultError> {
        let generation = self.generation().await?;
        if let Ok(cache) = self.cache.read()
            && let Some(found) = cache.datasets.get(bucket)
        {
            return Ok(Some(found.clone()));
        }
        let Some(row) = self.catalog.dataset(bucket).await? else {
            return Ok(None);
        };
        let rank = self.labels.of_data(row.card.as_deref());
        self.keep(generation, |cache| {
            let _before = cache.datasets.insert(bucket.clone(), (row.clone(), rank));
        });
        Ok(Some((row, rank)))
    }

    pub(in crate::vault) async fn publication(
        &self,
        dataset: DatasetId,
        number: u32,
    ) -> Result<Option<Arc<PublicationRow>>, VaultError> {
        let generation = self.generation().await?;
        if let Ok(cache) = self.cache.read()
            && let Some(row) = cache.publications.get(&(dataset, number))
        {
            return Ok(Some(Arc::clone(row)));
        }
        let row = self.catalog.publication(&dataset, number).await?;
        let row = row.map(Arc::new);
        if let Some(row) = &row {
            self.keep(generation, |cache| {
                cache
                    .publications
                    .insert((dataset, number), Arc::clone(row));
            });
        }
        Ok(row)
    }

    async fn known(
        &self,
        id: &AccessKeyId,
        vault: &Vault,
    ) -> Result<Option<Arc<Known>>, VaultError> {
        let generation = self.generation().await?;
        if let Ok(cache) = self.cache.read()
            && let Some(known) = cache.credentials.get(id)
        {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(row) = self.catalog.credential(id).await? else {
            return Ok(None);
        };
        let Some(owner) = self.catalog.principal(&row.principal).await? else {
            return Ok(None);
        };
        let secret = vault.open_credential(&row)?;
        let known = Arc::new(Known {
            bounds: Bounds::of_key(&row).map(|bounds| {
                let text = ScopeText::of(&row.id, &bounds);
                (Arc::new(bounds), text)
            }),
            row,
            responsible: owner.acts_for,
            secret,
        });
        self.keep(generation, |cache| {
            cache.credentials.insert(id.clone(), Arc::clone(&known));
        });
        Ok(Some(known))
    }
}

const fn poisoned() -> VaultError {
    VaultError::new(ErrorKind::Internal, "a task died while it held the guard")
}

impl Vault {
    /// Whose credential this is, and its secret; `None` when it is unknown or has expired.
    pub async fn identity(&self, id: &AccessKeyId) -> Result<Option<Identity>, VaultError> {
        let Some(known) = self.guard.known(id, self).await? else {
            return Ok(None);
        };
        if known.row.expires.is_some_and(|end| end <= self.now()) {
            return Ok(None);
        }
        if let Some((_, text)) = &known.bounds {
            self.guard.keep_scope(text).await?;
        }
        Ok(Some(Identity {
            principal: known.row.principal.clone(),
            responsible: known.responsible.clone(),
            secret: known.secret.duplicate(),
            bounds: known.bounds.as_ref().map(|(bounds, _)| Arc::clone(bounds)),
        }))
    }
}
