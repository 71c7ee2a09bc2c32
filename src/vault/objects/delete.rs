//! Deleting: an object as a client does who names no version, or one version for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, stream};

use crate::catalog::{Mutation, Version};
use crate::ledger::ObjectRef;
use crate::types::{Action, BucketName, Timestamp, VersionId, VersionName, Versioning, limits};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::{Call, Deleted, Doomed, Place, Removed, TagMatch, WriteConditions};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::objects::write::condition;

impl Vault {
    /// Deletes an object, or one version of it for good; deleting what is absent is no error.
    pub async fn delete_object(
        &self,
        call: &Call,
        place: Place<'_>,
        conditions: WriteConditions,
        bypass: bool,
    ) -> Result<Removed, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectDelete)
            .await?;
        self.authorize_conditions(call, place, &conditions).await?;
        // Where versions were never kept, `null` names what is current.
        let off = proof.dataset()?.versioning == Versioning::Off;
        match place.version {
            Some(name) if !(off && name == VersionName::Null) => {
                self.authorize(call, place.bucket, Some(place.key), Action::VersionDelete)
                    .await?;
                let bypass = bypass && self.may_bypass(call, place).await?;
                self.delete_version(call, &proof, (name, bypass), conditions)
                    .await
            }
            _ => self.remove_object(call, &proof, conditions).await,
        }
    }

    async fn remove_object(
        &self,
        call: &Call,
        proof: &Authorized,
        conditions: WriteConditions,
    ) -> Result<Removed, VaultError> {
        let marker = VersionId::random(self.entropy.as_ref())?;
        let versioning = proof.dataset()?.versioning;
        let mut intent = Self::intent_of(call, proof);
        let kept = versioning != Versioning::Off;
        intent.object.version = kept.then_some(marker);
        let recorded = self.begin(call, intent).await?;
        let result = async {
            let mutation = Mutation::RemoveObject {
                dataset: proof.dataset()?.id,
                key: proof.key()?.clone(),
                marker,
                condition: condition(&conditions)?,
                now: self.now(),
            };
            match self.commit(vec![mutation]).await {
                // Under a delete marker there is something, and it is another (S3).
                Err(error)
                    if error.kind() == ErrorKind::NoSuchObject
                        && conditions.matches != Some(TagMatch::Any)
                        && self.absent(proof).await.marker().is_some() =>
                {
                    return Err(VaultError::new(
                        ErrorKind::PreconditionFailed,
                        "a delete marker is there",
                    ));
                }
                other => other?,
            }
            let name = VersionName::of(marker, versioning == Versioning::Enabled);
            Ok(Removed {
                version: kept.then_some(name),
                marker: kept,
            })
        }
        .await;
        recorded.settle(result)
    }

    async fn delete_version(
        &self,
        call: &Call,
        proof: &Authorized,
        (name, bypass): (VersionName, bool),
        conditions: WriteConditions,
    ) -> Result<Removed, VaultError> {
        let mut intent = Self::intent_of(call, proof);
        match name {
            VersionName::Id(id) => intent.object.version = Some(id),
            VersionName::Null => intent.query = Some("version=null".to_owned()),
        }
        if bypass {
            let null = intent.query.take().map(|text| text + " ");
            intent.query = Some(null.unwrap_or_default() + "bypass=governance");
        }
        let (dataset, key) = (proof.dataset()?.id, proof.key()?.clone());
        let recorded = self.begin(call, intent).await?;
        let result = async {
            let there = self.catalog.version(&dataset, &key, &name).await?;
            let now = self.settled_now();
            let loosen = bypass.then(|| loosening(there.as_ref(), now)).flatten();
            let delete = Mutation::DeleteVersion {
                dataset,
                key,
                version: name,
                condition: condition(&conditions)?,
                now,
            };
            self.commit(loosen.into_iter().chain([delete]).collect())
                .await?;
            Ok(Removed {
                version: Some(name),
                marker: matches!(there, Some(Version::Marker(_))),
            })
        }
        .await;
        recorded.settle(result)
    }

    /// Whether the caller may loosen what governance retains. Asked without a record of its own:
    /// who may not does what needs no loosening all the same.
    pub(in crate::vault) async fn may_bypass(
        &self,
        call: &Call,
        place: Place<'_>,
    ) -> Result<bool, VaultError> {
        let Some(principal) = &call.session.principal else {
            return Ok(false);
        };
        let bucket = BucketName::parse(place.bucket, self.default_project())?;
        self.may(call, (principal, &bucket, place.key), Action::LockBypass)
            .await
    }

    /// Deletes many objects, each decided and recorded by itself.
    pub async fn delete_objects(
        &self,
        call: &Call,
        bucket: &str,
        keys: Vec<Doomed>,
    ) -> Result<Vec<Deleted>, VaultError> {
        if keys.len() > limits::DELETE_KEYS_MAX {
            let error = VaultError::new(ErrorKind::InvalidArgument, "more than 1000 keys");
            let intent = Self::intent(call, Some(Action::ObjectDelete), ObjectRef::default());
            return Err(self.turn_away(call, intent, error).await);
        }
        // Nothing new begins after the log refused; what runs ends in good order.
        let unlogged = AtomicBool::new(false);
        let each = stream::iter(keys).map(|one| self.delete_one(call, bucket, one, &unlogged));
        let outcomes: Vec<Deleted> = each.buffered(limits::DELETES_AT_ONCE).collect().await;
        let refused = |error: &VaultError| error.kind() == ErrorKind::LogUnavailable;
        let mut kept = Vec::with_capacity(outcomes.len());
        for (one, outcome) in outcomes {
            match outcome {
                Err(error) if refused(&error) => return Err(error),
                other => kept.push((one, other)),
            }
        }
        Ok(kept)
    }

    async fn delete_one(
        &self,
        call: &Call,
        bucket: &str,
        doomed: Doomed,
        unlogged: &AtomicBool,
    ) -> Deleted {
        if unlogged.load(Ordering::Acquire) {
            let error = VaultError::new(ErrorKind::LogUnavailable, "the log refused before");
            return (doomed, Err(error));
        }
        let event = match self.new_event() {
            Ok(event) => event,
            Err(error) => return (doomed, Err(error)),
        };
        let one = Call {
            session: Arc::clone(&call.session),
            event,
            time: call.time,
            operation: call.operation,
            nature: call.nature,
            bounds: call.bounds.clone(),
            recorded: Arc::clone(&call.recorded),
        };
        let place = Place {
            bucket,
            key: &doomed.key,
            version: doomed.version,
        };
        let conditions = doomed.conditions.clone();
        let result = self
            .delete_object(&one, place, conditions, doomed.bypass)
            .await;
        if let Err(error) = &result
            && error.kind() == ErrorKind::LogUnavailable
        {
            unlogged.store(true, Ordering::Release);
        }
        (doomed, result)
    }
}

/// What takes the retention off a version that may then be deleted. The catalog refuses it where it
/// is compliance that retains.
fn loosening(there: Option<&Version>, now: Timestamp) -> Option<Mutation> {
    let Some(Version::Object(row)) = there else {
        return None;
    };
    row.attached.facts.lock.retention?;
    Some(Mutation::SetRetention {
        dataset: row.dataset,
        key: row.key.clone(),
        version: row.version,
        retention: None,
        bypass: true,
        now,
    })
}
