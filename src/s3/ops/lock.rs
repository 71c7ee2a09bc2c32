//! Object Lock: of a bucket, and of one version.

use s3s::dto::{
    DefaultRetention, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
    PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput, PutObjectRetentionInput, PutObjectRetentionOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place, verify_xml};
use crate::s3::error::invalid_argument;
use crate::s3::translate::{times, wishes};
use crate::types::{Lock, LockDefaults, Period, Retention, RetentionMode};
use crate::vault::{Call, ErrorKind, Place, ReadAsk, VaultError};

fn malformed(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::MalformedXML, message)
}

/// The bucket's rule as the vault knows it.
fn defaults(asked: Option<ObjectLockConfiguration>) -> S3Result<LockDefaults> {
    let asked = asked.ok_or_else(|| malformed("There is no configuration."))?;
    let enabled = asked.object_lock_enabled;
    if enabled.is_none_or(|state| state.as_str() != ObjectLockEnabled::ENABLED) {
        return Err(malformed("Object Lock is Enabled."));
    }
    let Some(rule) = asked.rule else {
        return Ok(LockDefaults::default());
    };
    let retention = rule
        .default_retention
        .ok_or_else(|| malformed("A rule holds a default retention."))?;
    retained(&retention).map(|retention| LockDefaults {
        retention: Some(retention),
    })
}

fn retained(asked: &DefaultRetention) -> S3Result<(RetentionMode, Period)> {
    let mode = asked.mode.as_ref().map(ObjectLockRetentionMode::as_str);
    let mode = wishes::mode(mode.unwrap_or_default())?;
    let count = |count: i32| {
        let count = u32::try_from(count).ok().filter(|count| *count > 0);
        count.ok_or_else(no_period)
    };
    let period = match (asked.days, asked.years) {
        (Some(days), None) => Period::Days(count(days)?),
        (None, Some(years)) => Period::Years(count(years)?),
        _ => return Err(malformed("A period has days or years.")),
    };
    Ok((mode, period))
}

/// S3 has a name of its own for this, which the library does not know.
fn no_period() -> S3Error {
    let code = S3ErrorCode::from_bytes(b"InvalidRetentionPeriod");
    let mut error = S3Error::with_message(
        code.unwrap_or(S3ErrorCode::InvalidArgument),
        "A retention's period is a positive number.",
    );
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

fn told(lock: LockDefaults) -> ObjectLockConfiguration {
    let enabled = ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED);
    let rule = lock.retention.map(|(mode, period)| {
        let mut retention = DefaultRetention {
            mode: Some(mode_told(mode)),
            ..DefaultRetention::default()
        };
        match period {
            Period::Days(days) => retention.days = i32::try_from(days).ok(),
            Period::Years(years) => retention.years = i32::try_from(years).ok(),
        }
        ObjectLockRule {
            default_retention: Some(retention),
        }
    });
    ObjectLockConfiguration {
        object_lock_enabled: Some(enabled),
        rule,
    }
}

fn mode_told(mode: RetentionMode) -> ObjectLockRetentionMode {
    ObjectLockRetentionMode::from_static(wishes::mode_name(mode))
}

/// The retention that a request sets; an empty one takes it off.
fn retention(asked: Option<ObjectLockRetention>) -> S3Result<Option<Retention>> {
    let asked = asked.ok_or_else(|| malformed("There is no retention."))?;
    match (asked.mode, asked.retain_until_date) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => Ok(Some(Retention {
            mode: wishes::mode(mode.as_str())?,
            until: times::named(until),
        })),
        _ => Err(malformed("A retention has a mode and a moment.")),
    }
}

impl Handlers {
    /// Enables Object Lock, and says what new objects get.
    pub(super) async fn put_object_lock_configuration(
        &self,
        request: S3Request<PutObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        if asked.token.is_some() {
            return Err(invalid_argument("No token is given out here."));
        }
        let lock = defaults(asked.object_lock_configuration)?;
        let vault = &self.vault;
        vault.set_object_lock(&call, &asked.bucket, lock).await?;
        ok(PutObjectLockConfigurationOutput::default())
    }

    /// A bucket's Object Lock.
    pub(super) async fn get_object_lock_configuration(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let row = self.vault.head_dataset(&call, bucket).await?;
        let Some(lock) = row.defaults.lock else {
            return Err(S3Error::with_message(
                S3ErrorCode::ObjectLockConfigurationNotFoundError,
                "The bucket has no Object Lock.",
            ));
        };
        ok(GetObjectLockConfigurationOutput {
            object_lock_configuration: Some(told(lock)),
        })
    }

    /// Retains a version, extends that, or takes it off.
    pub(super) async fn put_object_retention(
        &self,
        request: S3Request<PutObjectRetentionInput>,
    ) -> S3Result<S3Response<PutObjectRetentionOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let retention = retention(asked.retention)?;
        let bypass = asked.bypass_governance_retention.unwrap_or(false);
        let vault = &self.vault;
        vault.set_retention(&call, place, retention, bypass).await?;
        ok(PutObjectRetentionOutput::default())
    }

    /// A version's retention.
    pub(super) async fn get_object_retention(
        &self,
        request: S3Request<GetObjectRetentionInput>,
    ) -> S3Result<S3Response<GetObjectRetentionOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let lock = self.lock_of(&call, place).await?;
        let retention = lock.retention.ok_or_else(no_lock)?;
        ok(GetObjectRetentionOutput {
            retention: Some(ObjectLockRetention {
                mode: Some(mode_told(retention.mode)),
                retain_until_date: times::told(retention.until),
            }),
        })
    }

    /// Puts a version under legal hold, or takes it out.
    pub(super) async fn put_object_legal_hold(
        &self,
        request: S3Request<PutObjectLegalHoldInput>,
    ) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let status = asked.legal_hold.and_then(|hold| hold.status);
        let status = status.as_ref().map(ObjectLockLegalHoldStatus::as_str);
        let hold = wishes::hold(status.unwrap_or_default())?;
        self.vault.set_hold(&call, place, hold).await?;
        ok(PutObjectLegalHoldOutput::default())
    }

    /// Whether a version is under legal hold.
    pub(super) async fn get_object_legal_hold(
        &self,
        request: S3Request<GetObjectLegalHoldInput>,
    ) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let lock = self.lock_of(&call, place).await?;
        let status = if lock.hold {
            ObjectLockLegalHoldStatus::ON
        } else {
            ObjectLockLegalHoldStatus::OFF
        };
        ok(GetObjectLegalHoldOutput {
            legal_hold: Some(ObjectLockLegalHold {
                status: Some(ObjectLockLegalHoldStatus::from_static(status)),
            }),
        })
    }

    /// A version's lock, in a bucket that has Object Lock.
    async fn lock_of(&self, call: &Call, place: Place<'_>) -> S3Result<Lock> {
        let seen = self
            .vault
            .head_object(call, place, ReadAsk::default())
            .await?;
        if seen.locking {
            Ok(seen.row.attached.facts.lock)
        } else {
            Err(VaultError::new(ErrorKind::NotLocking, "no Object Lock").into())
        }
    }
}

fn no_lock() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::NoSuchObjectLockConfiguration,
        "The object has no retention.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(mode: &str, days: Option<i32>, years: Option<i32>) -> ObjectLockConfiguration {
        let retention = DefaultRetention {
            days,
            mode: Some(ObjectLockRetentionMode::from(mode.to_owned())),
            years,
        };
        ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
            rule: Some(ObjectLockRule {
                default_retention: Some(retention),
            }),
        }
    }

    fn code(asked: Option<ObjectLockConfiguration>) -> Option<String> {
        let error = defaults(asked).err()?;
        Some(error.code().as_str().to_owned())
    }

    #[test]
    fn a_rule_is_read_and_told_the_same() {
        for asked in [
            rule("GOVERNANCE", Some(7), None),
            rule("COMPLIANCE", None, Some(2)),
            ObjectLockConfiguration {
                rule: None,
                ..rule("GOVERNANCE", Some(1), None)
            },
        ] {
            assert_eq!(told(defaults(Some(asked.clone())).unwrap()), asked);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let malformed = Some("MalformedXML");
        assert_eq!(code(None).as_deref(), malformed);
        let off = ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from("Disabled".to_owned())),
            rule: None,
        };
        assert_eq!(code(Some(off)).as_deref(), malformed);
        for (mode, days, years) in [
            ("GOVERNANCE", Some(1), Some(1)),
            ("GOVERNANCE", None, None),
            ("governance", Some(1), None),
            ("", Some(1), None),
        ] {
            assert_eq!(
                code(Some(rule(mode, days, years))).as_deref(),
                malformed,
                "{mode}"
            );
        }
        for days in [0, -1] {
            let code = code(Some(rule("GOVERNANCE", Some(days), None)));
            assert_eq!(code.as_deref(), Some("InvalidRetentionPeriod"));
        }
    }

    #[test]
    fn a_retention_is_whole_or_taken_off() {
        let empty = ObjectLockRetention::default();
        assert_eq!(retention(Some(empty)).unwrap(), None);
        assert!(retention(None).is_err());
        let half = ObjectLockRetention {
            mode: Some(mode_told(RetentionMode::Compliance)),
            retain_until_date: None,
        };
        assert!(retention(Some(half)).is_err());
    }
}
