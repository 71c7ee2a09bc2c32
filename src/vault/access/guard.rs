//! The guard: from a request to the proof that it may go on.
//!
//! An [`Authorized`] is the only way to an object and has one constructor, here. Decisions are
//! made from names alone, before it is known whether anything is there, so that absent and
//! forbidden look alike to whoever may not know (AZ-7).

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;

use crate::catalog::{
    CredentialRow, DatasetRow, JobRow, LifecycleRule, NodeRow, PublicationRow, SharedCatalog,
};
use crate::ledger::{ObjectRef, PolicyRef};
use crate::policy::{Ask, Circumstances, Decision, Ground, Policy, ProjectPolicy, SubjectPolicy};
use crate::types::{
    AccessKeyId, Action, BucketName, BucketRef, Clock, DatasetId, ObjectKey, PrincipalId,
    ProjectName, Rank, Timestamp, VersionName, Versioning, limits,
};
use crate::vault::access::barrier;
pub(in crate::vault) use crate::vault::access::lease::Lease;
use crate::vault::access::lease::RECHECK_MS;
use crate::vault::access::uses::Recent;
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::kept::{Kept, ScopeText};
pub(in crate::vault) use crate::vault::people::assurance::{about, circumstances};
use crate::vault::people::claims::{Claimant, Claimed};
use crate::vault::people::session::Session;
use crate::vault::{Bounds, Call, Identity, LabelRules, Parts, Vault, asked};

/// How long a cached answer may be used before the catalog is asked whether anything changed: a
/// withdrawn grant or credential is refused within this time (AZ-2 asks for 1 s).
const FRESH_MS: u64 = 100;

/// What a request was allowed: made by [`Vault::authorize`] and by nothing else, spent by value.
pub(in crate::vault) struct Authorized {
    pub(in crate::vault) bucket: BucketName,
    /// `None` only for an action that makes the dataset.
    pub(in crate::vault) dataset: Option<DatasetRow>,
    /// The published version that is asked for, if one is.
    pub(in crate::vault) publication: Option<Arc<PublicationRow>>,
    pub(in crate::vault) key: Option<ObjectKey>,
    /// The version that is named, once [`Vault::authorize_version`] has decided about it.
    pub(in crate::vault) version: Option<VersionName>,
    pub(in crate::vault) action: Action,
    pub(in crate::vault) decision: Decision,
    lease: Lease,
}

impl Authorized {
    /// The right to go on, for a transfer that may take long.
    pub(in crate::vault) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// What a further question about the same bucket is asked with.
    pub(in crate::vault) fn circumstances<'a>(&self, call: &'a Call) -> Circumstances<'a> {
        about(call, self.lease.version)
    }

    /// The dataset, which every action but its creation has.
    pub(in crate::vault) fn dataset(&self) -> Result<&DatasetRow, VaultError> {
        self.dataset
            .as_ref()
            .ok_or(VaultError::new(ErrorKind::NoSuchDataset, "no such dataset"))
    }

    /// The number of the published version that is asked for.
    pub(in crate::vault) fn number(&self) -> Option<u32> {
        let issue = self.publication.as_ref()?.issue.as_ref()?;
        Some(issue.number)
    }

    /// The key, which every action on an object has.
    pub(in crate::vault) fn key(&self) -> Result<&ObjectKey, VaultError> {
        self.key
            .as_ref()
            .ok_or(VaultError::new(ErrorKind::InvalidName, "no object key"))
    }
}

/// The decision as the log keeps it.
pub(in crate::vault) fn policy_ref(decision: &Decision) -> PolicyRef {
    PolicyRef {
        allowed: decision.allowed,
        rule: decision.rule.clone(),
        version: decision.version,
        grant: decision.grant,
        purpose: decision.purpose.clone(),
        permit: decision.permit.clone(),
    }
}

/// What a request's key stands for.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// The dataset itself.
    Dataset,
    /// One object.
    Key(&'a str),
    /// All objects or uploads whose keys begin so.
    Prefix(&'a str),
    /// The dataset itself, for a job that nobody has placed yet, by grants of this purpose.
    Job(Option<&'a str>),
    /// Those of its published versions that the caller may know of.
    Versions,
}

impl Name<'_> {
    /// Whether it is of one state of the dataset: of what is current, or of the version that is
    /// named.
    const fn is_of_one(self) -> bool {
        !matches!(self, Self::Versions)
    }
}

/// A credential with what its owner is.
struct Known {
    row: CredentialRow,
    responsible: Option<PrincipalId>,
    secret: crate::types::SecretText,
    /// What its scope binds it to; `None` for a credential that carries all its owner's rights.
    bounds: Option<(Arc<Bounds>, ScopeText)>,
}

/// What an answer was read under: what is kept of it must not outlive either.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::vault) struct Seen {
    /// The catalog's generation.
    generation: u64,
    /// How often this process dropped what it had: another policy changes no catalog.
    epoch: u64,
}

#[derive(Default)]
pub(in crate::vault) struct Cache {
    seen: Seen,
    checked: Timestamp,
    credentials: HashMap<AccessKeyId, Arc<Known>>,
    /// Each with the rank of its label.
    datasets: HashMap<BucketName, (DatasetRow, Rank)>,
    publications: HashMap<(DatasetId, u32), Arc<PublicationRow>>,
    /// When objects expire; `None` for a dataset whose objects do not.
    pub(in crate::vault) lifecycles: HashMap<DatasetId, Option<Arc<[LifecycleRule]>>>,
    pub(in crate::vault) projects: HashMap<ProjectName, Arc<ProjectPolicy>>,
    pub(in crate::vault) subjects: HashMap<(ProjectName, PrincipalId), Arc<SubjectPolicy>>,
    /// The same, of sessions that are in groups by what their tokens claim.
    pub(in crate::vault) claimants: HashMap<Claimant, Arc<SubjectPolicy>>,
    /// What an issuer's tokens claim and stands for a group.
    pub(in crate::vault) claims: HashMap<String, Arc<Claimed>>,
    /// What an issuer's visas assert and stands for a group.
    pub(in crate::vault) visas: HashMap<String, Arc<Claimed>>,
    pub(in crate::vault) sessions: HashMap<AccessKeyId, Arc<Session>>,
    /// By issuer and subject; nobody is kept too.
    pub(in crate::vault) links: HashMap<(String, String), Option<PrincipalId>>,
    /// What keeps one looks again before it says no: a job that starts clears nothing.
    pub(in crate::vault) jobs: HashMap<String, Arc<JobRow>>,
    pub(in crate::vault) nodes: HashMap<String, Arc<NodeRow>>,
}

impl Cache {
    fn clear(&mut self) {
        self.credentials.clear();
        self.datasets.clear();
        self.publications.clear();
        self.lifecycles.clear();
        self.projects.clear();
        self.subjects.clear();
        self.claimants.clear();
        self.claims.clear();
        self.visas.clear();
        self.sessions.clear();
        self.links.clear();
        self.jobs.clear();
        self.nodes.clear();
    }
}

/// Credentials, datasets and policies as they are now, cached until the catalog's generation or
/// the policy changes.
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

/// The decision about a question. Whoever may know of a version alone may ask which there are: then
/// it is decided as a question about the first such version, by what is granted and nothing else.
fn decided<'a>(
    subject: &SubjectPolicy,
    ask: Ask<'a>,
    name: Name<'_>,
) -> (Option<u32>, Ask<'a>, Decision) {
    let decision = subject.decide(&ask);
    let narrow = !name.is_of_one() && !decision.allowed;
    let dataset = ask.dataset.filter(|_| narrow);
    for number in dataset.into_iter().flat_map(|of| subject.versions(of)) {
        let mut ask = ask;
        ask.when.version = Some(number);
        let decision = subject.decide(&ask);
        if decision.allowed {
            return (ask.when.version, ask, decision);
        }
    }
    (ask.when.version, ask, decision)
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
            let entries = cache.subjects.len().max(cache.credentials.len());
            let others = cache.sessions.len().max(cache.links.len());
            let others = others.max(cache.publications.len()).max(cache.jobs.len());
            let rest = cache.claimants.len().max(cache.lifecycles.len());
            let rest = rest.max(cache.datasets.len());
            let entries = entries.max(others).max(rest);
            if entries >= limits::GUARD_CACHE_MAX {
                cache.clear();
            }
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

    /// Decides whether the caller may do `action` on a dataset or on the object `key`; the proof if
    /// so. A refusal is in the log when this returns.
    pub(in crate::vault) async fn authorize(
        &self,
        call: &Call,
        bucket: &str,
        key: Option<&str>,
        action: Action,
    ) -> Result<Authorized, VaultError> {
        let name = key.map_or(Name::Dataset, Name::Key);
        self.prove(call, bucket, name, action).await
    }

    /// Adds the version that a request names to its proof: another right is asked for it, since it
    /// may have been overwritten or deleted in order not to be read. Where versions were never
    /// kept, `null` names what is current.
    pub(in crate::vault) async fn authorize_version(
        &self,
        call: &Call,
        place: crate::vault::Place<'_>,
        proof: Authorized,
    ) -> Result<Authorized, VaultError> {
        let Some(name) = place.version else {
            return Ok(proof);
        };
        if proof.dataset()?.versioning == Versioning::Off && name == VersionName::Null {
            return Ok(proof);
        }
        self.authorize(call, place.bucket, Some(place.key), Action::VersionRead)
            .await?;
        let mut proof = proof;
        proof.version = Some(name);
        proof.lease.also = Some(Action::VersionRead);
        Ok(proof)
    }

    /// Decides whether the caller may know of a dataset that a job of hers is to read. On which
    /// nodes is open: what the job does is decided again there.
    pub(in crate::vault) async fn authorize_job(
        &self,
        call: &Call,
        bucket: &str,
    ) -> Result<Authorized, VaultError> {
        self.prove(call, bucket, Name::Job(None), Action::DatasetHead)
            .await
    }

    /// That she may by grants of the job's purpose, too. A refusal is the caller's to record.
    pub(in crate::vault) async fn judge_job(
        &self,
        call: &Call,
        (bucket, purpose): (&str, &str),
    ) -> Result<(), VaultError> {
        let (name, action) = (Name::Job(Some(purpose)), Action::DatasetHead);
        let judged = self.judge(call, bucket, name, action).await;
        judged.map(drop).map_err(|(_, _, error)| error)
    }

    /// Decides whether the caller may know of a dataset, or of any of its published versions: which
    /// those are is for whoever asks to find out, version by version.
    pub(in crate::vault) async fn authorize_versions(
        &self,
        call: &Call,
        bucket: &str,
    ) -> Result<Authorized, VaultError> {
        self.prove(call, bucket, Name::Versions, Action::DatasetHead)
            .await
    }

    /// Decides whether the caller may do `action` with all that begins with `prefix`.
    pub(in crate::vault) async fn authorize_under(
        &self,
        call: &Call,
        bucket: &str,
        prefix: &str,
        action: Action,
    ) -> Result<Authorized, VaultError> {
        self.prove(call, bucket, Name::Prefix(prefix), action).await
    }

    async fn prove(
        &self,
        call: &Call,
        bucket: &str,
        name: Name<'_>,
        action: Action,
    ) -> Result<Authorized, VaultError> {
        match self.judge(call, bucket, name, action).await {
            Ok(proof) => Ok(proof),
            Err((object, decision, error)) => {
                let mut intent = Self::intent(call, Some(action), object);
                intent.policy = decision.as_ref().map(policy_ref);
                let named = BucketRef::parse(bucket, &self.settings.default_project);
                let under = match name {
                    Name::Prefix(prefix) => Some(prefix),
                    Name::Dataset | Name::Key(_) | Name::Job(_) | Name::Versions => None,
                };
                let version = named.ok().and_then(|named| named.version);
                intent.query = asked(version.filter(|_| name.is_of_one()), under);
                if matches!(name, Name::Job(_)) {
                    let version = intent.query.unwrap_or_default();
                    intent.query = Some(format!("job= {version}"));
                }
                Err(self.turn_away(call, intent, error).await)
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one decision, a step a line")]
    async fn judge(
        &self,
        call: &Call,
        bucket: &str,
        name: Name<'_>,
        action: Action,
    ) -> Result<Authorized, (ObjectRef, Option<Decision>, VaultError)> {
        let mut object = ObjectRef::default();
        macro_rules! or_refuse {
            ($result:expr, $decision:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(error) => return Err((object, $decision, error.into())),
                }
            };
        }
        let named = BucketRef::parse(bucket, &self.settings.default_project);
        let BucketRef { bucket, version } = or_refuse!(named, None);
        let version = version.filter(|_| name.is_of_one());
        object.project = Some(bucket.project.clone());
        object.dataset = Some(bucket.dataset.clone());
        let (key_name, text) = match name {
            Name::Dataset | Name::Job(_) | Name::Versions => (None, ""),
            Name::Key(text) => (Some(or_refuse!(text.parse::<ObjectKey>(), None)), text),
            Name::Prefix(text) => (None, text),
        };
        object.key.clone_from(&key_name);
        let denied = VaultError::new(ErrorKind::AccessDenied, "no rule allows it");
        let principal = or_refuse!(call.subject().ok_or(denied), None);
        let subject = self.guard.subject_of(call, &bucket.project, principal);
        let subject = or_refuse!(subject.await, None);
        let (now, mut when) = (self.now(), about(call, version));
        if let Name::Job(purpose) = name {
            when.ground = Ground::Unplaced;
            when.purpose = when.purpose.or(purpose);
        }
        let ask = Ask {
            project: &bucket.project,
            principal,
            dataset: Some(&bucket.dataset),
            key: text,
            action,
            now,
            when,
        };
        let (decided_of, ask, decision) = decided(&subject, ask, name);
        if !decision.allowed {
            let near = subject.nearly(&ask, &decision);
            let denied = crate::vault::people::assurance::refusal(&decision, near);
            return Err((object, Some(decision), denied));
        }
        let found = self.locate(&bucket, version, action).await;
        let (dataset, publication, rank) = or_refuse!(found, Some(decision));
        if let Some(row) = &dataset {
            let ranks = (rank, subject.cleared());
            let job = call.bounds.as_deref().and_then(Bounds::job);
            let judged = barrier::judge(&self.settings.labels, row, ranks, job, (action, now));
            or_refuse!(judged, Some(decision));
        }
        self.guard.used(&decision, now);
        Ok(Authorized {
            lease: Lease {
                guard: Arc::clone(&self.guard),
                principal: principal.clone(),
                access_key: call.session.access_key.clone(),
                bounds: call.bounds.clone(),
                client: when.client,
                version: decided_of,
                bucket: bucket.clone(),
                key: key_name.clone(),
                action,
                also: None,
                confirmed: now,
                due: Timestamp::from_millis(now.millis().saturating_add(RECHECK_MS)),
            },
            bucket,
            dataset,
            publication,
            key: key_name,
            version: None,
            action,
            decision,
        })
    }
}
