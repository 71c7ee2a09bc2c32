//! Where the log's volumes are: in the vault's own store below `log`, or in a bucket of their own;
//! and whether that place locks them.

use std::sync::Arc;

use super::open::{OpenVaultError, s3_config};
use super::system::{SystemClock, SystemEntropy};
use crate::config::{Config, Environment, StoreKind, Worm, WormMode};
use crate::store::local::LocalStore;
use crate::store::locked::{Proved, SharedLocks, prove};
use crate::store::s3::{S3Store, knows_no_locks};
use crate::store::{SharedStore, StoreError};
use crate::types::{RetentionMode, Timestamp};

/// The place of the volumes.
pub struct VolumeStore {
    /// As a store of blobs.
    pub store: SharedStore,
    /// With its versions and locks, where it is of a kind that can have them.
    pub locks: Option<SharedLocks>,
}

impl From<SharedStore> for VolumeStore {
    fn from(store: SharedStore) -> Self {
        Self { store, locks: None }
    }
}

/// Why volumes are not locked although they must be.
#[derive(Debug, thiserror::Error)]
#[error("`volumes.worm` is `require` and the log's volumes cannot be locked: {why}")]
pub struct Unlocked {
    /// What the place lacks.
    why: String,
}

/// Opens the place. `make`: it is made if it is missing, a bucket of their own with locks.
pub async fn open_volumes(
    config: &Config,
    environment: &Environment,
    make: bool,
) -> Result<VolumeStore, OpenVaultError> {
    if config.store.kind == StoreKind::Local {
        let path = config.store.path.join("log");
        if !make && !path.is_dir() {
            return Err(OpenVaultError::StoreMissing { path });
        }
        let store: SharedStore = Arc::new(LocalStore::open(&path, &SystemClock)?);
        return Ok(store.into());
    }
    let mut s3 = s3_config(config, environment)?;
    s3.prefix.push_str("log/");
    if let Some(bucket) = &config.volumes.bucket {
        s3.bucket.clone_from(bucket);
    }
    let entropy = Arc::new(SystemEntropy::new());
    let store = Arc::new(S3Store::open(&s3, Arc::new(SystemClock), entropy)?);
    if make {
        make_bucket(config, &store).await?;
    }
    let locks: SharedLocks = Arc::<S3Store>::clone(&store);
    Ok(VolumeStore {
        store,
        locks: Some(locks),
    })
}

async fn make_bucket(config: &Config, store: &S3Store) -> Result<(), StoreError> {
    let own = config.volumes.bucket.is_some();
    if own && config.volumes.worm != Worm::Off {
        match store.ensure_locking_bucket().await {
            Ok(_) => return Ok(()),
            // A bucket gets locks when it is made or never: only where it knows none at all, and
            // none are required, is one made without.
            Err(error) if !goes_without(config, &error) => return Err(error),
            Err(_knows_none) => {}
        }
    }
    store.ensure_bucket().await?;
    Ok(())
}

fn goes_without(config: &Config, error: &StoreError) -> bool {
    config.volumes.worm != Worm::Require && knows_no_locks(error)
}

/// The mode that is asked for.
#[must_use]
pub const fn worm_mode(config: &Config) -> RetentionMode {
    match config.volumes.worm_mode {
        WormMode::Compliance => RetentionMode::Compliance,
        WormMode::Governance => RetentionMode::Governance,
    }
}

/// Whether the volumes are locked, in which mode; or why not.
pub type Wormed = Result<RetentionMode, String>;

/// Asks the place. It leaves a blob of its own there that is locked for minutes.
pub async fn prove_locks(
    config: &Config,
    volumes: &VolumeStore,
    now: Timestamp,
) -> Result<Wormed, StoreError> {
    if config.volumes.worm == Worm::Off {
        return Ok(Err("`volumes.worm` is `off`".to_owned()));
    }
    let Some(locks) = &volumes.locks else {
        return Ok(Err(
            "the store is a directory, which locks nothing that its owner cannot unlock".to_owned(),
        ));
    };
    let mode = worm_mode(config);
    Ok(match prove(&**locks, mode, now).await? {
        Proved::Keeps => Ok(mode),
        Proved::Lacks(why) => Err(why),
    })
}

/// Refuses to go on without locks where they are required.
pub fn demand_locks(config: &Config, told: &Wormed) -> Result<(), Unlocked> {
    match told {
        Err(why) if config.volumes.worm == Worm::Require => Err(Unlocked { why: why.clone() }),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::locked::memory::{Lie, LockMemory};
    use crate::types::Clock as _;

    fn config(worm: &str, mode: &str) -> Config {
        let text = format!(
            "[store]\nkind = \"s3\"\nendpoint = \"http://127.0.0.1:1\"\nbucket = \"blobs\"\n\
             [volumes]\nworm = \"{worm}\"\nworm_mode = \"{mode}\"\n"
        );
        Config::parse(&text, std::path::Path::new("/vault")).unwrap()
    }

    fn place(memory: &Arc<LockMemory>) -> VolumeStore {
        VolumeStore {
            store: Arc::<LockMemory>::clone(memory),
            locks: Some(Arc::<LockMemory>::clone(memory)),
        }
    }

    #[tokio::test]
    async fn where_locks_are_required_and_not_kept_nothing_goes_on() {
        for (worm, lie, locked, goes_on) in [
            ("off", None, false, true),
            ("try", None, true, true),
            ("try", Some(Lie::NoLocks), false, true),
            ("try", Some(Lie::Deletes), false, true),
            // A credential from before locks: as it was.
            ("try", Some(Lie::MayNotAsk), false, true),
            ("try", Some(Lie::Says400), true, true),
            ("require", Some(Lie::Says400), true, true),
            ("require", Some(Lie::MayNotAsk), false, false),
            ("require", None, true, true),
            ("require", Some(Lie::NoLocks), false, false),
            ("require", Some(Lie::Shortens), false, false),
        ] {
            let memory = LockMemory::new();
            memory.lie(lie);
            for (word, mode) in [
                ("compliance", RetentionMode::Compliance),
                ("governance", RetentionMode::Governance),
            ] {
                let config = config(worm, word);
                let told = prove_locks(&config, &place(&memory), memory.now())
                    .await
                    .unwrap();
                assert_eq!(told.is_ok(), locked, "{worm} {lie:?}");
                assert!(told.clone().is_err() || told == Ok(mode));
                assert_eq!(
                    demand_locks(&config, &told).is_ok(),
                    goes_on,
                    "{worm} {lie:?}"
                );
            }
            assert!(worm != "off" || memory.count() == 0, "nothing is asked");
        }
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_no_store_without_locks() {
        for lie in [Lie::Silent, Lie::Unreachable, Lie::Resets] {
            let memory = LockMemory::new();
            memory.lie(Some(lie));
            let config = config("try", "compliance");
            let told = prove_locks(&config, &place(&memory), memory.now()).await;
            assert!(told.is_err(), "{lie:?}: {told:?}");
        }
    }

    #[test]
    fn a_bucket_without_locks_is_made_only_where_the_store_knows_none() {
        let failed = |reason: &str| StoreError::Failed {
            reason: reason.to_owned(),
        };
        for (error, may) in [
            (failed("it answered 501 NotImplemented"), true),
            (failed("it answered 400 InvalidRequest"), true),
            (failed("it answered 400 RequestTimeout"), false),
            (failed("it answered 409 OperationAborted"), false),
            (failed("it answered 500 InternalError"), false),
            (failed("no connection: Connection refused"), false),
            (StoreError::Timeout, false),
            (StoreError::Denied, false),
        ] {
            let goes = |worm| goes_without(&config(worm, "compliance"), &error);
            assert_eq!((goes("try"), goes("require")), (may, false), "{error}");
        }
    }

    #[tokio::test]
    async fn a_directory_locks_nothing_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path(), &SystemClock).unwrap();
        let store: SharedStore = Arc::new(store);
        let told = prove_locks(&Config::default(), &store.into(), Timestamp::from_millis(1)).await;
        assert!(told.unwrap().unwrap_err().contains("directory"));
    }
}
