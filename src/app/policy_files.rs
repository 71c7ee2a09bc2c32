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
    #[error("cannot read path={}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// More or larger files than a policy has.
    #[error("the policy is too large path={}", path.display())]
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
