//! The log's volumes in the store: whether they are locked there, and whether anybody has deleted
//! one in front of its lock.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Report;
use crate::app::system::SystemClock;
use crate::app::{demand_locks, open_volumes, prove_locks};
use crate::cli::open::{Desk, refuse};
use crate::cli::words::count;
use crate::config::{Config, StoreKind, Worm};
use crate::store::StoreError;
use crate::store::locked::{LockStore, Versions};
use crate::types::limits::{STORE_LIST_PAGES_MAX, WORM_NAMED_MAX};
use crate::types::{BlobId, Clock as _, RetentionMode};

const MEND: &str =
    "a bucket with Object Lock in `volumes.bucket`; docs/audit.md says what it is worth";

/// What `kluis-audit ship` wrote down, as far as it matters here.
#[derive(Deserialize)]
struct Known {
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
struct Volume {
    blob: String,
    held: Option<Held>,
}

#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    compliance: bool,
}

impl Known {
    /// How many volumes are locked less strictly than in this mode: what was locked in governance
    /// mode stays so where the store makes no lock stricter.
    fn weaker(&self, mode: RetentionMode) -> usize {
        let weak = |volume: &&Volume| volume.held.as_ref().is_some_and(|held| !held.compliance);
        match mode {
            RetentionMode::Compliance => self.volumes.iter().filter(weak).count(),
            RetentionMode::Governance => 0,
        }
    }

    fn ids(&self) -> BTreeSet<BlobId> {
        let ids = self.volumes.iter().map(|volume| volume.blob.parse().ok());
        ids.flatten().collect()
    }
}

/// Asks the place of the volumes for its locks, and looks at what stands there.
pub(super) async fn look(config: &Config, desk: Desk<'_>, report: &mut Report) {
    if config.store.kind == StoreKind::Local || config.volumes.worm == Worm::Off {
        return;
    }
    // They are at the same endpoint, by the same credential.
    if report.fails("store") {
        return report.warn("worm", "not looked at", "mend the store first");
    }
    let volumes = match open_volumes(config, desk.environment, false).await {
        Ok(volumes) => volumes,
        Err(error) => return report.fail("worm", refuse(&error).message(), MEND),
    };
    let told = match prove_locks(config, &volumes, SystemClock.now()).await {
        Ok(told) => told,
        // A bucket of their own is made by the first start of a gateway.
        Err(error) => return report.error("worm", &error, MEND),
    };
    if let Err(error) = demand_locks(config, &told) {
        return report.error("worm", &error, MEND);
    }
    let mode = match told {
        Ok(mode) => mode,
        Err(why) => return report.ok("worm", format!("the log's volumes are not locked: {why}")),
    };
    report.ok("worm", format!("the log's volumes are locked ({mode:?})"));
    let Some(locks) = &volumes.locks else { return };
    let Some(known) = known(config) else { return };
    let weaker = known.weaker(mode);
    if weaker > 0 {
        report.warn(
            "worm",
            format!(
                "{} locked in governance mode alone, from before",
                count(weaker, "volume is", "volumes are")
            ),
            "`kluis-audit ship` locks them in compliance mode, where the store allows it",
        );
    }
    match deleted(&**locks, &known.ids()).await {
        Ok(found) if found.is_empty() => {}
        Ok(found) => report.warn(
            "worm",
            format!(
                "{} deleted in the store by somebody else than Kluis, and there still, to be read \
                 by version:\n{}",
                count(found.len(), "volume was", "volumes were"),
                found
                    .iter()
                    .take(WORM_NAMED_MAX)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n")
            ),
            "find out who it was: the store's access log says so (`kluis-audit reconcile`)",
        ),
        Err(error) => report.error("worm", &error, "see that the store lists versions"),
    }
}

/// The volumes that the index beside the log names; none where nothing was shipped.
fn known(config: &Config) -> Option<Known> {
    let bytes = std::fs::read(config.proof.dir.join("volumes")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The marks in front of these volumes: Kluis leaves none.
async fn deleted(
    locks: &dyn LockStore,
    known: &BTreeSet<BlobId>,
) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..STORE_LIST_PAGES_MAX {
        let Versions { found: page, next } = locks.versions(None, after).await?;
        let marks = page
            .iter()
            .filter(|seen| seen.bytes.is_none() && known.contains(&seen.id));
        found.extend(marks.map(|seen| format!("{} at {}", seen.id, seen.modified)));
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BlobStore as _;
    use crate::store::locked::memory::LockMemory;
    use crate::types::Retention;

    #[test]
    fn what_is_locked_less_strictly_than_asked_for_is_counted() {
        let known = r#"{"volumes": [{"blob": "x"}, {"blob": "y", "held": {"version": "1"}},
            {"blob": "z", "held": {"compliance": true}}]}"#;
        let known: Known = serde_json::from_str(known).unwrap();
        assert_eq!(known.weaker(RetentionMode::Compliance), 1);
        assert_eq!(known.weaker(RetentionMode::Governance), 0);
    }

    #[tokio::test]
    async fn a_mark_in_front_of_a_volume_is_seen_and_no_other() {
        let memory = LockMemory::new();
        let [ours, other] = [1, 2].map(|n| BlobId::from_bytes([n; 16]));
        let retention = Retention {
            mode: RetentionMode::Compliance,
            until: memory.now().plus_millis(1_000),
        };
        for id in [ours, other] {
            let put = memory.put_locked(id, bytes::Bytes::from_static(b"x"), retention);
            put.await.unwrap();
        }
        let known = BTreeSet::from([ours]);
        assert!(deleted(&*memory, &known).await.unwrap().is_empty());
        memory.delete(other).await.unwrap();
        assert!(deleted(&*memory, &known).await.unwrap().is_empty());
        memory.delete(ours).await.unwrap();
        let told = deleted(&*memory, &known).await.unwrap();
        assert!(
            told.len() == 1 && told[0].starts_with(&ours.to_string()),
            "{told:?}"
        );
    }
}
