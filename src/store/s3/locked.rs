//! Object Lock of an S3 bucket. Locked blobs are few and large, so the SDK does it: nothing here is
//! on the way of a blob that is read or written for a client.

use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ObjectLockEnabled, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::stream;
use md5::{Digest as _, Md5};

use super::answer::content_range;
use super::sdk::judged;
use super::{S3Store, failed};
use crate::store::locked::{After, LockStore, Version, VersionId, Versions};
use crate::store::{BlobStream, StoreError};
use crate::types::{BlobId, Retention, RetentionMode, Timestamp};

/// What is asked for at once: half of what an answer may have (`STORE_ANSWER_BYTES_MAX`).
const PIECE_BYTES: u64 = 2 * 1024 * 1024;
/// Versions that S3 lists at once.
const PAGE_VERSIONS: i32 = 1_000;

impl S3Store {
    /// Makes the bucket, with locks, if there is none; true if it was made.
    pub async fn ensure_locking_bucket(&self) -> Result<bool, StoreError> {
        self.make_bucket(true).await
    }

    async fn piece(
        &self,
        (id, version): (BlobId, &VersionId),
        range: Range<u64>,
        whole: u64,
    ) -> Result<Bytes, StoreError> {
        let last = range.end.saturating_sub(1);
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.get_object().bucket(&self.bucket);
            let request = request.key(self.key(id)).version_id(version.as_str());
            let request = request.range(format!("bytes={}-{last}", range.start));
            let refusal = match request.send().await {
                Ok(answer) => {
                    let told = answer.content_range().and_then(content_range);
                    if told != Some((range.start, last, Some(whole))) {
                        return Err(StoreError::Length);
                    }
                    let body = answer.body.collect().await;
                    let body = body.map_err(|_cut| failed("its answer was cut"))?;
                    let bytes = body.into_bytes();
                    let wanted = range.end.saturating_sub(range.start);
                    let good = u64::try_from(bytes.len()) == Ok(wanted);
                    return if good {
                        Ok(bytes)
                    } else {
                        Err(StoreError::Length)
                    };
                }
                Err(e) => judged(&e),
            };
            retries.after(refusal).await?;
        }
    }

    /// What a listing says of a version; `None` for what is none of ours.
    fn version(
        &self,
        key: Option<&str>,
        version: Option<&str>,
        bytes: Option<u64>,
        modified: Option<&DateTime>,
    ) -> Option<Result<Version, StoreError>> {
        let id = key?.strip_prefix(&self.prefix)?.parse().ok()?;
        let lacking = || failed("its listing of versions lacks a version or a time");
        let modified = modified.and_then(|at| at.to_millis().ok());
        let modified = modified.and_then(|ms| u64::try_from(ms).ok());
        let (Some(version), Some(modified)) = (version.and_then(VersionId::new), modified) else {
            return Some(Err(lacking()));
        };
        Some(Ok(Version {
            id,
            version,
            bytes,
            modified: Timestamp::from_millis(modified),
        }))
    }
}

/// The whole second at which a lock of S3 ends: never before what was asked for.
fn end(until: Timestamp) -> Result<DateTime, StoreError> {
    let seconds = until.millis().div_ceil(1_000);
    let seconds = i64::try_from(seconds).map_err(|_far| failed("a lock ends too late"))?;
    Ok(DateTime::from_secs(seconds))
}

const fn put_mode(mode: RetentionMode) -> ObjectLockMode {
    match mode {
        RetentionMode::Governance => ObjectLockMode::Governance,
        RetentionMode::Compliance => ObjectLockMode::Compliance,
    }
}

const fn mode_of(mode: RetentionMode) -> ObjectLockRetentionMode {
    match mode {
        RetentionMode::Governance => ObjectLockRetentionMode::Governance,
        RetentionMode::Compliance => ObjectLockRetentionMode::Compliance,
    }
}

/// Reads a lock strictly: one that is not understood is none.
fn lock_of(told: Option<&ObjectLockRetention>) -> Option<Retention> {
    let told = told?;
    let mode = [RetentionMode::Governance, RetentionMode::Compliance];
    let mode = mode
        .into_iter()
        .find(|mode| told.mode() == Some(&mode_of(*mode)))?;
    let until = told.retain_until_date()?.to_millis().ok()?;
    Some(Retention {
        mode,
        until: Timestamp::from_millis(u64::try_from(until).ok()?),
    })
}

/// Whether a store that answers so to a question about locks knows none.
#[must_use]
pub fn knows_no_locks(error: &StoreError) -> bool {
    let unknown = |reason: &str| {
        let answers = ["it answered 400", "it answered 405", "it answered 501"];
        answers.iter().any(|answer| reason.starts_with(answer))
    };
    match error {
        StoreError::Failed { reason } if reason.contains("RequestTimeout") => false,
        StoreError::NotFound => true,
        StoreError::Failed { reason } => unknown(reason),
        StoreError::Length
        | StoreError::Throttled
        | StoreError::Timeout
        | StoreError::Full
        | StoreError::Denied
        | StoreError::Taken
        | StoreError::Kept { .. }
        | StoreError::Aborted(_) => false,
    }
}

#[async_trait]
impl LockStore for S3Store {
    async fn has_locks(&self) -> Result<bool, StoreError> {
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.get_object_lock_configuration();
            let refusal = match request.bucket(&self.bucket).send().await {
                Ok(answer) => {
                    let told = answer.object_lock_configuration();
                    let told = told.and_then(|told| told.object_lock_enabled());
                    return Ok(told == Some(&ObjectLockEnabled::Enabled));
                }
                Err(e) => judged(&e),
            };
            if knows_no_locks(&refusal.error) {
                return Ok(false);
            }
            retries.after(refusal).await?;
        }
    }

    async fn put_locked(
        &self,
        id: BlobId,
        bytes: Bytes,
        retention: Retention,
    ) -> Result<VersionId, StoreError> {
        // S3 wants a digest with each PUT under a lock; MD5 is the one that every store knows.
        let digest = BASE64.encode(&Md5::digest(&bytes));
        let until = end(retention.until)?;
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.put_object().bucket(&self.bucket).key(self.key(id));
            let request = request
                .content_md5(&digest)
                .object_lock_mode(put_mode(retention.mode))
                .object_lock_retain_until_date(until)
                .body(ByteStream::from(bytes.clone()));
            let refusal = match request.send().await {
                Ok(answer) => {
                    let version = answer.version_id().and_then(VersionId::new);
                    return version.ok_or_else(|| failed("it names no version of what it locks"));
                }
                Err(e) => judged(&e),
            };
            retries.after(refusal).await?;
        }
    }

    async fn get_version(
        &self,
        id: BlobId,
        version: &VersionId,
        range: Range<u64>,
        whole: u64,
    ) -> Result<BlobStream, StoreError> {
        if range.is_empty() || range.end > whole {
            return Err(StoreError::Length);
        }
        let mut all = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = at.saturating_add(PIECE_BYTES).min(range.end);
            all.push(Ok(self.piece((id, version), at..end, whole).await?));
            at = end;
        }
        Ok(Box::pin(stream::iter(all)))
    }

    async fn retention(
        &self,
        id: BlobId,
        version: &VersionId,
    ) -> Result<Option<Retention>, StoreError> {
        let mut retries = self.client.retries();
        loop {
            // A question about the lock alone is answered in as many ways as there are stores
            // where there is none; the head of a version tells it everywhere.
            let request = self.sdk.head_object().bucket(&self.bucket);
            let request = request.key(self.key(id)).version_id(version.as_str());
            let refusal = match request.send().await {
                Ok(head) => {
                    let mode = head.object_lock_mode().map(|mode| mode.as_str().into());
                    let told = ObjectLockRetention::builder().set_mode(mode);
                    let until = head.object_lock_retain_until_date().copied();
                    return Ok(lock_of(Some(&told.set_retain_until_date(until).build())));
                }
                Err(e) => judged(&e),
            };
            retries.after(refusal).await?;
        }
    }

    async fn retain(
        &self,
        id: BlobId,
        version: &VersionId,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let wanted = ObjectLockRetention::builder()
            .mode(mode_of(retention.mode))
            .retain_until_date(end(retention.until)?)
            .build();
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.put_object_retention().bucket(&self.bucket);
            let request = request.key(self.key(id)).version_id(version.as_str());
            let refusal = match request.retention(wanted.clone()).send().await {
                Ok(_) => return Ok(()),
                Err(e) => judged(&e),
            };
            retries.after(refusal).await?;
        }
    }

    async fn delete_version(
        &self,
        id: BlobId,
        version: &VersionId,
        bypass: bool,
    ) -> Result<(), StoreError> {
        let mut retries = self.client.retries();
        loop {
            let request = self.sdk.delete_object().bucket(&self.bucket);
            let request = request.key(self.key(id)).version_id(version.as_str());
            let request = request.set_bypass_governance_retention(bypass.then_some(true));
            let refusal = match request.send().await {
                Ok(_) => return Ok(()),
                Err(e) => judged(&e),
            };
            if matches!(refusal.error, StoreError::NotFound) {
                return Ok(());
            }
            retries.after(refusal).await?;
        }
    }

    async fn versions(
        &self,
        of: Option<BlobId>,
        after: Option<After>,
    ) -> Result<Versions, StoreError> {
        let prefix = of.map_or_else(|| self.prefix.clone(), |id| self.key(id));
        let mut retries = self.client.retries();
        let (key, version) = match &after {
            Some(after) => (Some(after.key.clone()), Some(after.version.clone())),
            None => (None, None),
        };
        let page = loop {
            let request = self.sdk.list_object_versions().bucket(&self.bucket);
            let request = request
                .set_prefix((!prefix.is_empty()).then(|| prefix.clone()))
                .set_key_marker(key.clone())
                .set_version_id_marker(version.clone())
                .max_keys(PAGE_VERSIONS);
            match request.send().await {
                Ok(page) => break page,
                Err(e) => retries.after(judged(&e)).await?,
            }
        };
        let blobs = page.versions().iter().filter_map(|seen| {
            let bytes = seen.size().and_then(|size| u64::try_from(size).ok());
            self.version(
                seen.key(),
                seen.version_id(),
                Some(bytes?),
                seen.last_modified(),
            )
        });
        let marks = page.delete_markers().iter().filter_map(|seen| {
            self.version(seen.key(), seen.version_id(), None, seen.last_modified())
        });
        let mut found = blobs.chain(marks).collect::<Result<Vec<_>, _>>()?;
        found.retain(|seen| of.is_none_or(|of| seen.id == of));
        found.sort_by_key(|seen| seen.id);
        let Some(more) = page.is_truncated() else {
            return Err(failed("its listing of versions cannot be understood"));
        };
        let next = page.next_key_marker().filter(|_| more).map(|key| After {
            key: key.to_owned(),
            version: page.next_version_id_marker().unwrap_or_default().to_owned(),
        });
        if more && (next.is_none() || next == after) {
            return Err(failed("its listing of versions cannot be continued"));
        }
        Ok(Versions { found, next })
    }
}
