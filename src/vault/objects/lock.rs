//! Object Lock: what a write may ask for, what it then gets, and what is changed afterwards. The
//! catalog judges every loosening and every deletion inside its commit; this page decides who may
//! ask.

use std::sync::Arc;

use crate::catalog::{DatasetRow, Facts, Mutation, ObjectRow};
use crate::types::{
    Action, Lock, LockDefaults, Period, Retention, RetentionMode, Timestamp, limits,
};
use crate::vault::Vault;
use crate::vault::access::proof::Authorized;
use crate::vault::ask::{Call, KeyWish, Place, ReadAsk, Wishes};
use crate::vault::error::{ErrorKind, VaultError};

const NOT_LOCKING: VaultError =
    VaultError::new(ErrorKind::NotLocking, "the dataset has no Object Lock");
const PAST: VaultError =
    VaultError::new(ErrorKind::InvalidArgument, "a retention ends in the future");

impl Vault {
    /// A write that locks its object asks for the right to lock, too.
    pub(in crate::vault) async fn authorize_lock(
        &self,
        call: &Call,
        place: Place<'_>,
        wishes: &Wishes,
    ) -> Result<(), VaultError> {
        if wishes.lock == Lock::default() {
            return Ok(());
        }
        self.authorize(call, place.bucket, Some(place.key), Action::ObjectLock)
            .await
            .map(drop)
    }

    /// Retains a version until a moment, or (`None`) no longer. Loosening what runs takes another
    /// right, and is impossible in compliance mode.
    pub async fn set_retention(
        &self,
        call: &Call,
        place: Place<'_>,
        retention: Option<Retention>,
        bypass: bool,
    ) -> Result<(), VaultError> {
        let proof = self.authorize_locking(call, place).await?;
        let bypass = bypass && self.may_bypass(call, place).await?;
        let now = self.settled_now();
        let past = retention.is_some_and(|retention| retention.until <= now);
        let way = if bypass { " bypass=governance" } else { "" };
        let change = format!("retention={}{way}", told(retention));
        let checked = if past { Err(PAST) } else { Ok(()) };
        self.change_lock(call, &proof, change, checked, |row| {
            Mutation::SetRetention {
                dataset: row.dataset,
                key: row.key.clone(),
                version: row.version,
                retention,
                bypass,
                now,
            }
        })
        .await
    }

    /// Puts a version under legal hold, or takes it out.
    pub async fn set_hold(
        &self,
        call: &Call,
        place: Place<'_>,
        hold: bool,
    ) -> Result<(), VaultError> {
        let proof = self.authorize_locking(call, place).await?;
        let change = format!("hold={hold}");
        self.change_lock(call, &proof, change, Ok(()), |row| Mutation::SetHold {
            dataset: row.dataset,
            key: row.key.clone(),
            version: row.version,
            hold,
        })
        .await
    }

    async fn authorize_locking(
        &self,
        call: &Call,
        place: Place<'_>,
    ) -> Result<Authorized, VaultError> {
        let proof = self
            .authorize(call, place.bucket, Some(place.key), Action::ObjectLock)
            .await?;
        self.authorize_version(call, place, proof).await
    }

    async fn change_lock(
        &self,
        call: &Call,
        proof: &Authorized,
        change: String,
        checked: Result<(), VaultError>,
        mutation: impl FnOnce(&ObjectRow) -> Mutation,
    ) -> Result<(), VaultError> {
        let mut intent = Self::intent_of(call, proof);
        intent.query = Some(change);
        let found = async {
            checked?;
            must_lock(proof.dataset()?)?;
            let seen = self.look(proof, &ReadAsk::default()).await?;
            Ok(Arc::clone(&seen.row))
        };
        let row = match found.await {
            Ok(row) => row,
            Err(error) => return Err(self.turn_away(call, intent, error).await),
        };
        intent.object.version = Some(row.version);
        let recorded = self.begin(call, intent).await?;
        recorded.settle(self.commit(vec![mutation(&row)]).await)
    }

    /// Enables Object Lock of a dataset that keeps versions, for good, and says what new objects
    /// get.
    pub async fn set_object_lock(
        &self,
        call: &Call,
        bucket: &str,
        lock: LockDefaults,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetConfigure)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(format!("lock={:?}", lock.retention));
        if let Err(error) = check_defaults(lock) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let dataset = proof.dataset()?.id;
        let recorded = self.begin(call, intent).await?;
        let mutation = Mutation::SetObjectLock { dataset, lock };
        let result = self.commit(vec![mutation]).await;
        self.guard.forget();
        recorded.settle(result)
    }

    /// Says which key's name new objects of a dataset get; `None` for none.
    pub async fn set_key_name(
        &self,
        call: &Call,
        bucket: &str,
        name: Option<String>,
    ) -> Result<(), VaultError> {
        let proof = self
            .authorize(call, bucket, None, Action::DatasetConfigure)
            .await?;
        let mut intent = Self::intent_of(call, &proof);
        intent.query = Some(format!("key={}", name.as_deref().unwrap_or("none")));
        if let Err(error) = name.as_deref().map_or(Ok(()), check_key_name) {
            return Err(self.turn_away(call, intent, error).await);
        }
        let dataset = proof.dataset()?.id;
        let recorded = self.begin(call, intent).await?;
        let mutation = Mutation::SetKeyName { dataset, name };
        let result = self.commit(vec![mutation]).await;
        self.guard.forget();
        recorded.settle(result)
    }
}

fn told(retention: Option<Retention>) -> String {
    retention.map_or_else(
        || "none".to_owned(),
        |retention| {
            let mode = match retention.mode {
                RetentionMode::Governance => "governance",
                RetentionMode::Compliance => "compliance",
            };
            format!("{mode} until {}", retention.until)
        },
    )
}

/// Object Lock is on. It never goes off again, so that a row read earlier says no less.
fn must_lock(dataset: &DatasetRow) -> Result<(), VaultError> {
    if dataset.defaults.lock.is_some() {
        Ok(())
    } else {
        Err(NOT_LOCKING)
    }
}

fn check_defaults(lock: LockDefaults) -> Result<(), VaultError> {
    const BAD: VaultError = VaultError::new(
        ErrorKind::InvalidArgument,
        "a period is at least a day and at most a hundred years",
    );
    let days = lock.retention.map_or(1, |(_, period)| match period {
        Period::Days(days) => days,
        Period::Years(years) => years.saturating_mul(365),
    });
    if (1..=limits::RETENTION_DAYS_MAX).contains(&days) {
        Ok(())
    } else {
        Err(BAD)
    }
}

fn check_key_name(name: &str) -> Result<(), VaultError> {
    const BAD: VaultError = VaultError::new(
        ErrorKind::InvalidArgument,
        "a key's name is too long or odd",
    );
    let fits =
        name.len() <= limits::KEY_NAME_BYTES_MAX && name.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(()) } else { Err(BAD) }
}

/// Sees that a write may get what it asks for.
pub(in crate::vault) fn check_wishes(
    dataset: &DatasetRow,
    wishes: &Wishes,
    now: Timestamp,
) -> Result<(), VaultError> {
    if let KeyWish::Named(name) = &wishes.key {
        check_key_name(name)?;
    }
    if wishes.lock == Lock::default() {
        return Ok(());
    }
    must_lock(dataset)?;
    if wishes.lock.retention.is_some_and(|r| r.until <= now) {
        return Err(PAST);
    }
    Ok(())
}

/// What an upload's object is to have, as far as the upload says it; the rest is the dataset's when
/// it is completed.
pub(in crate::vault) fn wished(dataset: &DatasetRow, wishes: Wishes) -> Facts {
    Facts {
        lock: wishes.lock,
        key_name: key_name(dataset, wishes.key),
    }
}

/// The wishes that an upload was begun with.
pub(in crate::vault) fn again(facts: Facts) -> Wishes {
    Wishes {
        lock: facts.lock,
        key: facts.key_name.map_or(KeyWish::Unnamed, KeyWish::Named),
    }
}

fn key_name(dataset: &DatasetRow, wish: KeyWish) -> Option<String> {
    match wish {
        KeyWish::Default => dataset.defaults.key_name.clone(),
        KeyWish::Unnamed => None,
        KeyWish::Named(name) => Some(name),
    }
}

/// What an object written at `now` gets.
pub(in crate::vault) fn facts(dataset: &DatasetRow, wishes: Wishes, now: Timestamp) -> Facts {
    let mut facts = wished(dataset, wishes);
    let defaults = dataset.defaults.lock.and_then(|lock| lock.retention);
    let default = defaults.map(|(mode, period)| Retention {
        mode,
        until: period.end(now),
    });
    facts.lock.retention = facts.lock.retention.or(default);
    facts
}
