//! The store: there, able to do what it must; and whether its clock agrees with this machine's.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use futures_util::stream;

use super::Report;
use crate::app::open_store;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::cli::open::{Desk, refuse};
use crate::config::{Config, StoreKind};
use crate::store::{BodyAborted, SharedStore, StoreError};
use crate::types::{BlobId, Clock as _, Timestamp};

/// A store's times have at best whole seconds.
const RESOLUTION_MS: u64 = 1_000;
/// Clocks that differ by more make signatures and grants end at the wrong moment.
const DRIFT_MS_MAX: u64 = 1_000;

/// Opens the store and probes it.
pub(super) async fn look(config: &Config, desk: Desk<'_>, report: &mut Report) {
    let name = match config.store.kind {
        StoreKind::Local => config.store.path.display().to_string(),
        StoreKind::S3 => format!(
            "{} at {}",
            config.store.bucket.as_deref().unwrap_or_default(),
            config.store.endpoint.as_deref().unwrap_or_default()
        ),
    };
    let store = match open_store(config, desk.environment, false).await {
        Ok(store) => store,
        Err(error) => {
            let told = refuse(&error);
            let mend = if matches!(error, crate::app::OpenVaultError::Store(_)) {
                "see that its directory or endpoint is right and that this user may write there"
                    .to_owned()
            } else {
                told.hints().join("; ")
            };
            return report.fail("store", told.message(), &mend);
        }
    };
    if config.store.kind == StoreKind::Local
        && let Ok(metadata) = std::fs::metadata(&config.store.path)
        && metadata.permissions().mode() & 0o007 != 0
    {
        report.warn(
            "store",
            format!("every user of this machine may enter {name}"),
            "chmod o-rwx it: names and sizes of blobs need not be seen",
        );
    }
    let Ok(id) = BlobId::random(&SystemEntropy::new()) else {
        return report.fail("store", "no randomness", "see that the system gives some");
    };
    match store.probe(id).await {
        Ok(()) => report.ok("store", format!("{name} does what a store must")),
        Err(error) => return report.error("store", &error, mend(&error)),
    }
    match drift(&store, id).await {
        Ok(Some(says)) => report.warn(
            "clock",
            says,
            "let both machines keep their time by NTP (chrony, systemd-timesyncd)",
        ),
        Ok(None) => report.ok("clock", "it agrees with the store's"),
        Err(error) => report.error("clock", &error, mend(&error)),
    }
}

const fn mend(error: &StoreError) -> &'static str {
    match error {
        StoreError::Denied => "the store's credential must read, write, list and delete there",
        StoreError::Full => "make room in the store",
        StoreError::Throttled | StoreError::Timeout => "the store is overloaded or out of reach",
        StoreError::NotFound
        | StoreError::Length
        | StoreError::Aborted(_)
        | StoreError::Failed { .. } => {
            "the store must keep what is written to it and list it at once"
        }
    }
}

/// Writes a blob, looks at its time, deletes it; what differs.
async fn drift(store: &SharedStore, id: BlobId) -> Result<Option<String>, StoreError> {
    let before = SystemClock.now();
    let byte: Result<Bytes, BodyAborted> = Ok(Bytes::from_static(b"?"));
    store.put(id, 1, Box::pin(stream::iter([byte]))).await?;
    let after = SystemClock.now();
    let previous = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
    let previous = previous.map(|n| BlobId::from_bytes(n.to_be_bytes()));
    let listed = store.list(previous, 1).await;
    store.delete(id).await?;
    let entry = listed?.into_iter().find(|entry| entry.id == id);
    Ok(entry.and_then(|entry| differs(before, entry.modified, after)))
}

fn differs(before: Timestamp, written: Timestamp, after: Timestamp) -> Option<String> {
    let behind = before.since(written).saturating_sub(RESOLUTION_MS);
    let ahead = written.since(after);
    if behind > DRIFT_MS_MAX {
        return Some(format!(
            "the store's clock is {behind} ms behind this machine's"
        ));
    }
    (ahead > DRIFT_MS_MAX)
        .then(|| format!("the store's clock is {ahead} ms ahead of this machine's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_told_beyond_a_second_in_either_direction() {
        let at = Timestamp::from_millis;
        let look = |written| differs(at(100_000), at(written), at(100_200));
        assert_eq!(look(100_100), None);
        assert_eq!(
            look(98_000),
            None,
            "a second of drift, a second of rounding"
        );
        assert!(look(97_999).unwrap().contains("behind"));
        assert_eq!(look(101_200), None);
        assert!(look(101_201).unwrap().contains("1001 ms ahead"));
    }
}
