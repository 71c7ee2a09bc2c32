//! What a write asks for beside its object: a lock, and the name of a key; and how an answer tells
//! of them.

use s3s::dto::{
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetentionMode, ServerSideEncryption,
    Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::times;
use crate::catalog::Facts;
use crate::s3::error::{invalid_argument, invalid_request};
use crate::types::{Lock, Retention, RetentionMode};
use crate::vault::KeyWish;

/// `x-amz-server-side-encryption` and its key's name. Everything is sealed under the dataset's key
/// whatever is asked; of `aws:kms` the name is kept, since clients look for it.
pub(in crate::s3) fn key(
    algorithm: Option<&ServerSideEncryption>,
    name: Option<String>,
) -> S3Result<KeyWish> {
    match (algorithm.map(ServerSideEncryption::as_str), name) {
        (None, None) => Ok(KeyWish::Default),
        (Some(ServerSideEncryption::AES256), None) => Ok(KeyWish::Unnamed),
        (Some(ServerSideEncryption::AWS_KMS), name) => Ok(KeyWish::Named(name.unwrap_or_default())),
        _ => Err(invalid_argument(
            "The encryption is AES256 without a key, or aws:kms.",
        )),
    }
}

/// A mode of retention; S3 has two types for it.
pub(in crate::s3) fn mode(text: &str) -> S3Result<RetentionMode> {
    match text {
        ObjectLockMode::GOVERNANCE => Ok(RetentionMode::Governance),
        ObjectLockMode::COMPLIANCE => Ok(RetentionMode::Compliance),
        _ => Err(malformed("The mode is GOVERNANCE or COMPLIANCE.")),
    }
}

/// A mode as S3 writes it.
pub(in crate::s3) const fn mode_name(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => ObjectLockRetentionMode::GOVERNANCE,
        RetentionMode::Compliance => ObjectLockRetentionMode::COMPLIANCE,
    }
}

/// `ON` or `OFF`.
pub(in crate::s3) fn hold(status: &str) -> S3Result<bool> {
    match status {
        ObjectLockLegalHoldStatus::ON => Ok(true),
        ObjectLockLegalHoldStatus::OFF => Ok(false),
        _ => Err(malformed("A legal hold is ON or OFF.")),
    }
}

fn malformed(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::MalformedXML, message)
}

/// The lock in a write's headers. Mode and moment belong together.
pub(in crate::s3) fn lock(
    sent_mode: Option<&str>,
    until: Option<Timestamp>,
    sent_hold: Option<&str>,
) -> S3Result<Lock> {
    let retention = match (sent_mode, until) {
        (None, None) => None,
        (Some(text), Some(until)) => Some(Retention {
            mode: mode(text).map_err(|_bad| invalid_argument("There is no such lock mode."))?,
            until: times::named(until),
        }),
        _ => return Err(invalid_request("A lock's mode and moment belong together.")),
    };
    let hold = sent_hold.map(hold).transpose();
    Ok(Lock {
        retention,
        hold: hold
            .map_err(|_bad| invalid_argument("A legal hold is ON or OFF."))?
            .unwrap_or(false),
    })
}

/// Reads what writes, copies, uploads and forms ask for alike.
macro_rules! sent_wishes {
    ($input:expr) => {
        $crate::vault::Wishes {
            lock: $crate::s3::translate::wishes::lock(
                $input.object_lock_mode.as_ref().map(|mode| mode.as_str()),
                $input.object_lock_retain_until_date.take(),
                $input
                    .object_lock_legal_hold_status
                    .as_ref()
                    .map(|status| status.as_str()),
            )?,
            key: $crate::s3::translate::wishes::key(
                $input.server_side_encryption.as_ref(),
                $input.ssekms_key_id.take(),
            )?,
        }
    };
}
pub(in crate::s3) use sent_wishes;

/// The algorithm and the key's name that an answer tells.
pub(in crate::s3) fn sealed(facts: &Facts) -> (ServerSideEncryption, Option<String>) {
    match &facts.key_name {
        None => (super::sealed(), None),
        Some(name) => (
            ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS),
            (!name.is_empty()).then(|| name.clone()),
        ),
    }
}

/// Tells how an object is sealed.
macro_rules! tell_sealed {
    ($output:expr, $facts:expr) => {{
        let (algorithm, name) = $crate::s3::translate::wishes::sealed($facts);
        $output.server_side_encryption = Some(algorithm);
        $output.ssekms_key_id = name;
    }};
}
pub(in crate::s3) use tell_sealed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types;

    fn sse(text: &str) -> ServerSideEncryption {
        ServerSideEncryption::from(text.to_owned())
    }

    #[test]
    fn a_key_belongs_to_its_algorithm() {
        let of = |algorithm: Option<&str>, name: Option<&str>| {
            key(algorithm.map(sse).as_ref(), name.map(str::to_owned)).ok()
        };
        assert_eq!(of(None, None), Some(KeyWish::Default));
        assert_eq!(of(Some("AES256"), None), Some(KeyWish::Unnamed));
        let named = |name: &str| Some(KeyWish::Named(name.to_owned()));
        assert_eq!(of(Some("aws:kms"), None), named(""));
        assert_eq!(of(Some("aws:kms"), Some("k")), named("k"));
        for (algorithm, name) in [
            (None, Some("k")),
            (Some("AES256"), Some("k")),
            (Some("aes:kms"), None),
            (Some("aws:kms:dsse"), None),
            (Some(""), None),
        ] {
            assert_eq!(of(algorithm, name), None, "{algorithm:?} {name:?}");
        }
    }

    #[test]
    fn a_lock_is_whole_or_none() {
        let moment = || times::told(types::Timestamp::from_millis(5_000));
        assert_eq!(lock(None, None, None).unwrap(), Lock::default());
        let whole = lock(Some("COMPLIANCE"), moment(), Some("ON")).unwrap();
        assert!(whole.hold);
        assert_eq!(whole.retention.map(|r| r.until.millis()), Some(5_000));
        assert!(lock(Some("GOVERNANCE"), None, None).is_err());
        assert!(lock(None, moment(), None).is_err());
        assert!(lock(Some("governance"), moment(), None).is_err());
        assert!(lock(None, None, Some("on")).is_err());
    }
}
