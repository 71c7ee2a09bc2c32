//! Reads a policy's files, and watches them: a broken change keeps the last good policy and
//! alarms (AZ-4).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::health::Health;
use super::shutdown::Shutdown;
use crate::policy::{Policy, PolicyError, PolicySource};
use crate::types::limits;
use crate::vault::Vault;

/// Why a policy was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// A file or the directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// More or larger files than a policy has.
    #[error("the policy is too large: {}", path.display())]
    TooLarge {
        /// Where.
        path: PathBuf,
    },
    /// The text is not a policy.
    #[error("the policy is at fault")]
    Policy(#[from] PolicyError),
}

/// Reads `model.conf` and `roles/*.csv` of a directory; the policy that Kluis ships where none is
/// named.
pub fn read(dir: Option<&Path>) -> Result<PolicySource, PolicyFileError> {
    let Some(dir) = dir else {
        return Ok(PolicySource::builtin());
    };
    let model = read_text(&dir.join("model.conf"))?;
    let folder = dir.join("roles");
    let unreadable = |source| PolicyFileError::Read {
        path: folder.clone(),
        source,
    };
    let mut roles = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        if path.extension().is_some_and(|extension| extension == "csv")
            && let Some(name) = name
        {
            if roles.len() >= limits::POLICY_ROLES_MAX {
                return Err(PolicyFileError::TooLarge { path: folder });
            }
            roles.push((name, read_text(&path)?));
        }
    }
    roles.sort();
    Ok(PolicySource { model, roles })
}

fn read_text(path: &Path) -> Result<String, PolicyFileError> {
    let unreadable = |source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > u64::try_from(limits::POLICY_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(PolicyFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads and compiles.
pub fn load(dir: Option<&Path>) -> Result<Policy, PolicyFileError> {
    Ok(Policy::compile(&read(dir)?)?)
}

/// Looks at the files again and again until the end, and puts each good change in force.
pub(super) async fn watch(
    vault: Arc<Vault>,
    dir: PathBuf,
    interval: Duration,
    health: Arc<Health>,
    shutdown: Shutdown,
) {
    let mut alarmed = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.draining() => return,
        }
        match load(Some(&dir)) {
            Ok(policy) if policy.hash() == vault.policy().hash() => {
                alarmed = false;
                health.policy.note(Ok(()));
            }
            Ok(policy) => match vault.replace_policy(Arc::new(policy)).await {
                Ok(()) => {
                    alarmed = false;
                    health.policy.note(Ok(()));
                    tracing::info!("a changed policy is in force");
                }
                Err(error) => {
                    tracing::error!(
                        reason = error.reason(),
                        "a policy change cannot be recorded"
                    );
                }
            },
            Err(error) => {
                health.metrics.policy_reload_failures.inc();
                health
                    .policy
                    .note(Err(format!("the last good one stays: {error}")));
                if !alarmed {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the changed policy is refused, the last good one stays");
                }
                alarmed = true;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::shutdown::channel;
    use super::super::system::{SystemClock, SystemEntropy};
    use super::*;
    use crate::catalog::MemoryCatalog;
    use crate::journal::MemoryJournal;
    use crate::keyring::KeyRing;
    use crate::store::memory::MemoryStore;
    use crate::vault::{LabelRules, Parts, ReviewTimes, Settings};

    const LOOK: Duration = Duration::from_secs(5);

    pub(in crate::app) fn vault(policy: Policy) -> Arc<Vault> {
        let clock: Arc<dyn crate::types::Clock> = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy::new());
        let label = |text: &str| text.parse().unwrap();
        let parts = Parts {
            store: Arc::new(MemoryStore::new(Arc::clone(&clock))),
            catalog: Arc::new(MemoryCatalog::new()),
            journal: MemoryJournal::new(Arc::clone(&clock), 1_000),
            keyring: Arc::new(KeyRing::in_memory(entropy.as_ref()).unwrap()),
            policy: Arc::new(policy),
            clock,
            entropy,
        };
        let settings = Settings {
            default_project: "icu".parse().unwrap(),
            snapshot_wait: false,
            snapshots_kept: false,
            log_origin: "kluis/test".to_owned(),
            straight: Vec::new(),
            host_approves: true,
            job_session_ms: limits::JOB_SESSION_MS,
            attempts: limits::ATTEMPTS_BURST,
            listed_max: limits::LISTED_BLOBS_MAX,
            day_ms: limits::DAY_MS,
            review: ReviewTimes {
                privileged_ms: 1,
                other_ms: 1,
            },
            labels: LabelRules {
                order: "public < internal".parse().unwrap(),
                unlabelled: label("internal"),
                clearance: label("internal"),
                ceiling: label("internal"),
            },
        };
        Arc::new(Vault::new(parts, settings))
    }

    #[tokio::test(start_paused = true)]
    async fn az_4_a_broken_change_keeps_the_last_good_policy_and_alarms() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().to_owned();
        let shipped = PolicySource::builtin();
        std::fs::create_dir(dir.join("roles")).unwrap();
        std::fs::write(dir.join("model.conf"), &shipped.model).unwrap();
        let role = |name: &str| dir.join("roles").join(format!("{name}.csv"));
        for (name, text) in &shipped.roles {
            std::fs::write(role(name), text).unwrap();
        }
        let vault = vault(load(Some(&dir)).unwrap());
        let (health, good) = (Arc::new(Health::default()), vault.policy().hash());
        let (trigger, shutdown) = channel();
        let watching = watch(
            Arc::clone(&vault),
            dir.clone(),
            LOOK,
            Arc::clone(&health),
            shutdown,
        );
        let watching = tokio::spawn(watching);
        let looked = || tokio::time::sleep(LOOK * 2);
        let failures = || health.metrics.policy_reload_failures.get();
        looked().await;
        assert_eq!((vault.policy().hash(), failures()), (good, 0));
        assert_eq!(health.policy.seen(), Ok(()));
        // No text, gone as a whole, and a model that is no text.
        let (name, _) = shipped.roles.last().unwrap();
        let spoilt: [&dyn Fn(); 3] = [
            &|| std::fs::write(role(name), [0x70, 0x2c, 0xff]).unwrap(),
            &|| std::fs::remove_dir_all(dir.join("roles")).unwrap(),
            &|| std::fs::write(dir.join("model.conf"), [0xff, 0xfe]).unwrap(),
        ];
        let mut before = failures();
        for spoil in spoilt {
            spoil();
            looked().await;
            assert_eq!(vault.policy().hash(), good, "the last good one serves");
            assert!(
                health
                    .policy
                    .seen()
                    .unwrap_err()
                    .contains("the last good one stays")
            );
            assert!(failures() > before, "it is counted");
            before = failures();
        }
        // Mended, with a role less: the next look puts it in force.
        std::fs::create_dir(dir.join("roles")).unwrap();
        std::fs::write(dir.join("model.conf"), &shipped.model).unwrap();
        for (name, text) in shipped
            .roles
            .iter()
            .filter(|(name, _)| name != "lock-breaker")
        {
            std::fs::write(role(name), text).unwrap();
        }
        looked().await;
        assert_ne!(vault.policy().hash(), good);
        assert_eq!(vault.policy().hash(), load(Some(&dir)).unwrap().hash());
        assert_eq!(health.policy.seen(), Ok(()));
        trigger.drain();
        watching.await.unwrap();
    }
}
