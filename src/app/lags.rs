//! How far what comes behind the journal lags: witnesses' cosignatures and volumes. Read from the
//! files that `kluis-audit cosign` and `ship` leave beside the log; where they never ran, nothing
//! lags.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::ledger::tlog::{Checkpoint, Note};
use crate::types::Timestamp;
use crate::types::limits::{LOG_COSIGNED_LAG_WARN_MS, LOG_VOLUME_LAG_WARN_MS, NOTE_BYTES_MAX};

/// The file by which `kluis-audit ship` says what it has seen.
const SHIPPED: &str = "shipped";

/// What `kluis-audit ship` has seen of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shipped {
    /// When it looked, in milliseconds since the epoch.
    pub looked: u64,
    /// When the oldest segment came into the log that is in no volume.
    pub waiting: Option<u64>,
}

impl Shipped {
    /// Keeps it beside the log.
    pub fn write(&self, log: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        super::write_file(&log.join(SHIPPED), &bytes, 0o644)
    }

    fn read(log: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(log.join(SHIPPED)).ok()?).ok()
    }
}

/// For how long what is in the log waits; `None` where nobody was ever there to take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogLags {
    /// For cosignatures by enough witnesses.
    pub cosigned: Option<Duration>,
    /// For volumes.
    pub volumes: Option<Duration>,
}

impl LogLags {
    /// Looks at a log's directory.
    #[must_use]
    pub fn of(log: &Path, now: Timestamp) -> Self {
        let since = |millis: u64| {
            let at = Timestamp::from_millis(millis);
            Duration::from_millis(now.since(at))
        };
        let volumes = Shipped::read(log).map(|shipped| {
            // What came since it looked may wait, too.
            since(shipped.waiting.unwrap_or(shipped.looked))
        });
        let cosigned = cosigned(log).map(|at| at.map_or(Duration::ZERO, since));
        Self { cosigned, volumes }
    }

    /// What an operator must know of witnesses.
    pub fn witnesses(&self) -> Result<(), String> {
        within(
            self.cosigned,
            LOG_COSIGNED_LAG_WARN_MS,
            "cosigned by enough witnesses",
        )
    }

    /// What an operator must know of volumes.
    pub fn shipping(&self) -> Result<(), String> {
        within(self.volumes, LOG_VOLUME_LAG_WARN_MS, "in volumes")
    }
}

fn within(lag: Option<Duration>, most: u64, what: &str) -> Result<(), String> {
    match lag {
        Some(lag) if lag > Duration::from_millis(most) => {
            let minutes = lag.as_secs() / 60;
            Err(format!(
                "records of the last {minutes} minutes are not {what}"
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// Since when the log has more than was cosigned, in milliseconds; the inner `None` where it has not.
fn cosigned(log: &Path) -> Option<Option<u64>> {
    let path = log.join("cosigned");
    let seen = size(&path)?;
    let modified = std::fs::metadata(&path)
        .and_then(|file| file.modified())
        .ok()?;
    let at = modified.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let behind = size(&log.join("checkpoint"))? > seen;
    Some(behind.then_some(u64::try_from(at).unwrap_or(u64::MAX)))
}

/// The size that a checkpoint says; whose it is, is for verifiers.
fn size(path: &Path) -> Option<u64> {
    let bytes = std::fs::read(path)
        .ok()
        .filter(|b| b.len() <= NOTE_BYTES_MAX)?;
    let checkpoint: Checkpoint = Note::parse(&bytes).ok()?.text().parse().ok()?;
    Some(checkpoint.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tlog::{KeyKind, Signer, empty_root};
    use crate::types::Secret;

    fn put(dir: &Path, name: &str, size: u64) {
        let seed = Secret::take(&mut [3; 32]);
        let signer = Signer::new("vault.example/log", KeyKind::Note, &seed).unwrap();
        let checkpoint = Checkpoint::new("vault.example/log".into(), size, empty_root());
        let note = checkpoint.sign(&signer).unwrap().to_string();
        std::fs::write(dir.join(name), note).unwrap();
    }

    fn modified(path: &Path) -> u64 {
        let time = std::fs::metadata(path).unwrap().modified().unwrap();
        u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
    }

    #[test]
    fn where_nobody_cosigns_or_ships_nothing_lags() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(u64::MAX);
        assert_eq!(LogLags::of(dir.path(), now), LogLags::default());
        put(dir.path(), "checkpoint", 5);
        std::fs::write(dir.path().join("cosigned"), "nonsense").unwrap();
        std::fs::write(dir.path().join("shipped"), "{}").unwrap();
        let lags = LogLags::of(dir.path(), now);
        assert_eq!(lags, LogLags::default());
        assert_eq!((lags.witnesses(), lags.shipping()), (Ok(()), Ok(())));
    }

    #[test]
    fn a_log_that_is_ahead_of_its_witnesses_is_told_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "checkpoint", 5);
        put(dir.path(), "cosigned", 5);
        let cosigned = Timestamp::from_millis(modified(&dir.path().join("cosigned")));
        let most = LOG_COSIGNED_LAG_WARN_MS;
        let at = |ms| LogLags::of(dir.path(), cosigned.plus_millis(ms));
        assert_eq!(
            at(most + 1).cosigned,
            Some(Duration::ZERO),
            "all is cosigned"
        );
        put(dir.path(), "checkpoint", 6);
        assert_eq!(at(most).cosigned, Some(Duration::from_millis(most)));
        assert!(at(most).witnesses().is_ok());
        assert!(at(most + 1).witnesses().is_err());
    }

    #[test]
    fn a_shipper_that_stopped_or_cannot_go_on_is_told_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let most = LOG_VOLUME_LAG_WARN_MS;
        for waiting in [None, Some(1_000)] {
            let looked = if waiting.is_some() { most } else { 1_000 };
            Shipped { looked, waiting }.write(dir.path()).unwrap();
            let at = |ms| LogLags::of(dir.path(), Timestamp::from_millis(1_000 + ms));
            assert_eq!(at(5).volumes, Some(Duration::from_millis(5)));
            assert!(at(most).shipping().is_ok());
            assert!(at(most + 1).shipping().is_err());
        }
    }
}
