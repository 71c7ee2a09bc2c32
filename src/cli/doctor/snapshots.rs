//! How far the catalog's snapshots are, and whether the store agrees.

use super::Report;
use crate::app::open_store;
use crate::app::system::SystemClock;
use crate::catalog::{CatalogError, Chain, SharedCatalog};
use crate::cli::open::{Desk, chain_hint};
use crate::config::Config;
use crate::keyring::KeyRing;
use crate::store::{SharedStore, StoreError};
use crate::types::limits::SNAPSHOT_LAG_WARN_MS;
use crate::types::{BlobId, Clock as _};
use crate::vault::ChainFault;

/// Looks at what no snapshot holds yet, whether the catalog is in doubt, and whether the store's
/// newest snapshot is the catalog's. It reads alone.
pub(super) async fn look(
    catalog: &SharedCatalog,
    (config, desk): (&Config, Desk<'_>),
    ring: &KeyRing,
    report: &mut Report,
) -> Result<(), CatalogError> {
    let Some(chain) = catalog.chain().await? else {
        report.ok("snapshots", "none by this version yet");
        return Ok(());
    };
    // Where it does not open, that is told already.
    if let Ok(store) = open_store(config, desk.environment, false).await
        && let Ok(Some((says, mend))) = apart(&chain, ring, &store).await
        // A gateway may have gone on meanwhile.
        && catalog.chain().await?.as_ref() == Some(&chain)
    {
        report.fail("snapshots", says, mend);
    }
    let waiting = catalog.change_seq().await?.saturating_sub(chain.upto);
    let created = chain.head.as_ref().map(|head| head.created);
    let newest = created.map_or_else(
        || "there is none".to_owned(),
        |time| format!("the newest is of {time}"),
    );
    // Nothing says since when a change waits: an idle vault may have begun to just now.
    let since = created.map_or(u64::MAX, |time| SystemClock.now().since(time));
    if waiting > 0 && since > SNAPSHOT_LAG_WARN_MS {
        report.warn(
            "snapshots",
            format!("{waiting} commits are in no snapshot; {newest}"),
            "losing the catalog's disk now loses them: start the gateway; its log says why the store \
             takes none",
        );
    } else {
        report.ok("snapshots", newest);
    }
    if let Some(since) = chain.doubted {
        report.warn(
            "snapshots",
            format!("the catalog is in doubt since {since}: nothing unknown to it is swept"),
            "once it is as good as it gets: `kluis recover --accept`",
        );
    }
    Ok(())
}

/// What lies between catalog and store, and how to mend it.
async fn apart(
    chain: &Chain,
    ring: &KeyRing,
    store: &SharedStore,
) -> Result<Option<(String, &'static str)>, StoreError> {
    let next = ring.snapshot_blob_id(chain.next);
    let before = u128::from_be_bytes(*next.as_bytes()).checked_sub(1);
    let before = before.map(|n| BlobId::from_bytes(n.to_be_bytes()));
    let found = store.list(before, 1).await?;
    let there = found.first().is_some_and(|entry| entry.id == next);
    if there && chain.attempt.is_none() {
        let says = format!(
            "the store has snapshot {}, which the catalog does not know: it is an older copy, or \
             another catalog has gone on with this vault",
            chain.next
        );
        return Ok(Some((says, "`kluis serve` says which, and what to do")));
    }
    let Some(head) = &chain.head else {
        return Ok(None);
    };
    let blob = ring.snapshot_blob_id(head.number);
    match store.get(blob, 0..1, head.bytes).await {
        Ok(_stream) => Ok(None),
        Err(StoreError::NotFound | StoreError::Length) => {
            let number = head.number;
            let fault = ChainFault::Lost { number, blob };
            Ok(Some((fault.to_string(), chain_hint(fault))))
        }
        Err(error) => Err(error),
    }
}
