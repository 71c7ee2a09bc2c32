//! The store: there, able to do what it must; and whether its clock agrees with this machine's.

use std::os::unix::fs::PermissionsExt as _;

use super::Report;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::app::{open_store, store_ahead};
use crate::cli::open::{Desk, refuse};
use crate::config::{Config, StoreKind};
use crate::store::StoreError;
use crate::types::BlobId;

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
    match store_ahead(&store, id, &SystemClock).await {
        Ok(Some(ms)) => report.warn(
            "clock",
            format!("the store's clock is {ms} ms ahead of this machine's (behind, if negative)"),
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
        StoreError::Kept { .. } => "the gateway's account must be able to delete what it wrote",
        StoreError::Throttled | StoreError::Timeout => "the store is overloaded or out of reach",
        StoreError::Failed { .. } => {
            "does the store run, and is `store.endpoint` its address? It must keep what is written \
             to it and list it at once"
        }
        StoreError::NotFound | StoreError::Length | StoreError::Taken | StoreError::Aborted(_) => {
            "the store must keep what is written to it and list it at once"
        }
    }
}
