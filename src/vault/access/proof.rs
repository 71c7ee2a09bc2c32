//! The proof that a request may go on, and the decision that makes it.
//!
//! An [`Authorized`] is the only way to an object. Nobody but this file can make one or change what
//! it says. Decisions are made from names alone, before it is known whether anything is there, so
//! that absent and forbidden look alike to whoever may not know (AZ-7).

use std::sync::Arc;

use crate::catalog::{DatasetRow, PublicationRow};
use crate::ledger::{ObjectRef, PolicyRef};
use crate::policy::{Ask, Circumstances, Decision, Ground, SubjectPolicy};
use crate::types::{Action, BucketName, BucketRef, ObjectKey, Timestamp, VersionName, Versioning};
use crate::vault::access::barrier;
use crate::vault::access::lease::{Lease, RECHECK_MS};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::people::assurance::about;
use crate::vault::{Bounds, Call, Vault, asked};

/// What a request was allowed: made by [`Vault::authorize`] and by nothing else, spent by value.
pub(in crate::vault) struct Authorized {
    bucket: BucketName,
    /// `None` only for an action that makes the dataset.
    dataset: Option<DatasetRow>,
    /// The published version that is asked for, if one is.
    publication: Option<Arc<PublicationRow>>,
    key: Option<ObjectKey>,
    /// The version that is named, once [`Vault::authorize_version`] has decided about it.
    version: Option<VersionName>,
    action: Action,
    decision: Decision,
    lease: Lease,
}

impl Authorized {
    /// The dataset's name, which may be there or not.
    pub(in crate::vault) const fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// What is allowed.
    pub(in crate::vault) const fn action(&self) -> Action {
        self.action
    }

    /// What it rests on.
    pub(in crate::vault) const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The published version that is asked for, if one is.
    pub(in crate::vault) const fn publication(&self) -> Option<&Arc<PublicationRow>> {
        self.publication.as_ref()
    }

    /// The version of an object that the request names, once that was decided about too.
    pub(in crate::vault) const fn version(&self) -> Option<VersionName> {
        self.version
    }

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

impl Vault {
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
