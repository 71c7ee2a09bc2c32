//! Whether a place keeps its locks. A bucket's own word is not enough: a blob is locked for
//! minutes, and everything that must be refused is tried on it.
//!
//! The blob stays behind, since nothing can remove it; the next proof removes those of before.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{LockStore, VersionId, says_no};
use crate::store::StoreError;
use crate::types::{BlobId, Retention, RetentionMode, Timestamp};

/// The name of the blobs that are locked for a proof.
pub const PROBE: BlobId = BlobId::from_bytes([0; 16]);

/// How long such a blob is locked: longer than the quarter of an hour by which S3 lets clocks
/// differ, so that the moment is to come for the store too.
const PROBE_MS: u64 = 20 * 60 * 1000;
/// Blobs of earlier proofs that one proof removes.
const LEFT_MAX: usize = 100;
const BYTES: &[u8] = b"Kluis looks whether this can be deleted before its time.\n";

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proved {
    /// It refused all that it must refuse.
    Keeps,
    /// It has no locks, or does not keep them: why.
    Lacks(String),
}

fn lacks(what: &str) -> Proved {
    Proved::Lacks(what.to_owned())
}

/// Locks a blob in this mode and tries what must fail. An error is a place that cannot be asked
/// now.
pub async fn prove(
    place: &dyn LockStore,
    mode: RetentionMode,
    now: Timestamp,
) -> Result<Proved, StoreError> {
    match asked(place, mode, now).await {
        // Who may not ask for locks locks nothing here, whatever the place could do.
        Err(StoreError::Denied) => Ok(lacks(
            "the store refuses its credential what locks need (docs/audit.md, \"Locks\")",
        )),
        told => told,
    }
}

async fn asked(
    place: &dyn LockStore,
    mode: RetentionMode,
    now: Timestamp,
) -> Result<Proved, StoreError> {
    if !place.has_locks().await? {
        return Ok(lacks("its bucket has no Object Lock"));
    }
    let left = left(place).await?;
    let retention = Retention {
        mode,
        until: now.plus_millis(PROBE_MS),
    };
    let put = place.put_locked(PROBE, Bytes::from_static(BYTES), retention);
    let version = match put.await {
        Ok(version) => version,
        Err(error) if says_no(&error) => {
            return Ok(Proved::Lacks(format!("a lock is refused: {error}")));
        }
        Err(other) => return Err(other),
    };
    let proved = tried(place, &version, retention).await?;
    clean(place, left).await;
    Ok(proved)
}

/// Removes what earlier proofs left. That it cannot proves nothing: the next one tries again.
async fn clean(place: &dyn LockStore, left: Vec<VersionId>) {
    for old in left {
        match place.delete_version(PROBE, &old, false).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            // Its minutes are not over.
            Err(error) if says_no(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "what an earlier proof of locks left stays for now");
                return;
            }
        }
    }
}

async fn tried(
    place: &dyn LockStore,
    version: &VersionId,
    retention: Retention,
) -> Result<Proved, StoreError> {
    let told = place.retention(PROBE, version).await?;
    let keeps =
        told.is_some_and(|told| told.mode == retention.mode && told.until >= retention.until);
    if !keeps {
        return Ok(lacks("it took a lock and does not tell of it"));
    }
    let sooner = Retention {
        mode: retention.mode,
        until: Timestamp::from_millis(retention.until.millis().saturating_sub(PROBE_MS / 4)),
    };
    if !is_refused(place.retain(PROBE, version, sooner).await)? {
        return Ok(lacks("it shortens a lock"));
    }
    if !is_refused(place.delete_version(PROBE, version, false).await)? {
        return Ok(lacks("it deletes what it has locked"));
    }
    if let Some(lost) = lost(place, version).await? {
        return Ok(lost);
    }
    // Who holds the store's credential has every right there is: in this mode that must not help.
    if retention.mode == RetentionMode::Compliance
        && !is_refused(place.delete_version(PROBE, version, true).await)?
    {
        return Ok(lacks(
            "it deletes what it has locked to whoever asks to bypass the lock",
        ));
    }
    Ok(lost(place, version).await?.unwrap_or(Proved::Keeps))
}

/// Whether what must be there still is not.
async fn lost(place: &dyn LockStore, version: &VersionId) -> Result<Option<Proved>, StoreError> {
    let whole = u64::try_from(BYTES.len()).unwrap_or(u64::MAX);
    let mut body = match place.get_version(PROBE, version, 0..whole, whole).await {
        Ok(body) => body,
        Err(StoreError::NotFound | StoreError::Length) => {
            let what = "it refused to delete what it had locked, and lost it";
            return Ok(Some(lacks(what)));
        }
        Err(other) => return Err(other),
    };
    let mut read = Vec::new();
    while let Some(piece) = body.next().await {
        read.extend_from_slice(&piece?);
    }
    Ok((read != BYTES).then(|| lacks("what it has locked came back as other bytes")))
}

/// Whether the place said no. That it does not answer is no refusal.
fn is_refused(answer: Result<(), StoreError>) -> Result<bool, StoreError> {
    match answer {
        Ok(()) => Ok(false),
        Err(error) if says_no(&error) => Ok(true),
        Err(other) => Err(other),
    }
}

/// The versions that earlier proofs left.
async fn left(place: &dyn LockStore) -> Result<Vec<VersionId>, StoreError> {
    let page = place.versions(Some(PROBE), None).await?;
    let of_probes = page.found.into_iter().filter(|version| version.id == PROBE);
    Ok(of_probes
        .map(|version| version.version)
        .take(LEFT_MAX)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Lie, LockMemory};
    use super::*;
    use crate::types::Clock as _;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    async fn proved(place: &LockMemory, mode: RetentionMode) -> Proved {
        prove(place, mode, place.now()).await.unwrap()
    }

    const BOTH: [RetentionMode; 2] = [RetentionMode::Compliance, RetentionMode::Governance];

    #[tokio::test]
    async fn a_place_that_keeps_its_locks_is_told_apart_and_what_is_left_goes_the_next_time() {
        for (mode, lie) in BOTH
            .into_iter()
            .flat_map(|mode| [(mode, None), (mode, Some(Lie::Says400))])
        {
            let place = LockMemory::new();
            place.lie(lie);
            for _ in 0..3 {
                assert_eq!(proved(&place, mode).await, Proved::Keeps, "{lie:?}");
            }
            assert_eq!(place.count(), 3, "none of them can be removed yet");
            place.pass(DAY_MS);
            assert_eq!(proved(&place, mode).await, Proved::Keeps);
            assert_eq!(place.count(), 1);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_cleaned_up_now_takes_nothing_from_a_proof() {
        let place = LockMemory::new();
        proved(&place, RetentionMode::Compliance).await;
        place.pass(DAY_MS);
        place.lie(Some(Lie::BreaksOnOld));
        assert_eq!(
            proved(&place, RetentionMode::Compliance).await,
            Proved::Keeps
        );
        assert_eq!(place.count(), 2);
        place.lie(None);
        proved(&place, RetentionMode::Compliance).await;
        assert_eq!(place.count(), 2, "the next one removes it");
    }

    #[tokio::test]
    async fn a_place_that_only_says_so_is_found_out() {
        for (lie, says) in [
            (Lie::NoLocks, "no Object Lock"),
            (Lie::MayNotAsk, "credential"),
            (Lie::RefusesLocks, "a lock is refused"),
            (Lie::ForgetsLocks, "does not tell of it"),
            (Lie::Shortens, "shortens"),
            (Lie::Deletes, "deletes what it has locked"),
            (Lie::Loses, "lost it"),
        ] {
            for mode in BOTH {
                let place = LockMemory::new();
                place.lie(Some(lie));
                let Proved::Lacks(told) = proved(&place, mode).await else {
                    panic!("{lie:?} is believed");
                };
                assert!(told.contains(says), "{lie:?}: {told}");
            }
        }
    }

    #[tokio::test]
    async fn compliance_that_can_be_bypassed_is_none() {
        let place = LockMemory::new();
        place.lie(Some(Lie::Bypasses));
        let told = proved(&place, RetentionMode::Compliance).await;
        assert!(matches!(told, Proved::Lacks(told) if told.contains("bypass")));
        assert_eq!(
            proved(&place, RetentionMode::Governance).await,
            Proved::Keeps
        );
    }

    #[tokio::test]
    async fn a_place_that_does_not_answer_proves_nothing() {
        for lie in [
            Lie::Silent,
            Lie::Breaks,
            Lie::BreaksOnDeletes,
            Lie::Unreachable,
            Lie::Resets,
        ] {
            let place = LockMemory::new();
            place.lie(Some(lie));
            let told = prove(&*place, RetentionMode::Compliance, place.now()).await;
            let silent = matches!(told, Err(StoreError::Timeout | StoreError::Failed { .. }));
            assert!(silent, "{lie:?}: {told:?}");
        }
    }
}
