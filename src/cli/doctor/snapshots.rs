//! How far the catalog's snapshots are.

use super::Report;
use crate::app::system::SystemClock;
use crate::catalog::{CatalogError, SharedCatalog};
use crate::types::Clock as _;
use crate::types::limits::SNAPSHOT_LAG_WARN_MS;

/// Looks at what no snapshot holds yet, and whether the catalog is in doubt.
pub(super) async fn look(catalog: &SharedCatalog, report: &mut Report) -> Result<(), CatalogError> {
    let Some(chain) = catalog.chain().await? else {
        report.ok("snapshots", "none by this version yet");
        return Ok(());
    };
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
