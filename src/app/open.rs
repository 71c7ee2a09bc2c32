//! Opens what a configuration names: store, keys, catalog, journal, policy; and the vault on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::policy_files::{self, PolicyFileError};
use super::system::{SystemClock, SystemEntropy};
use crate::catalog::{CatalogError, SharedCatalog, SqliteCatalog};
use crate::config::{
    Config, Environment, SecretError, StoreKind, Variable, read_secret_file, store_credentials,
};
use crate::journal::{JournalError, SharedJournal, Wal, WalConfig};
use crate::keyring::{KeyRing, KeyRingError, RootIdentity, file_needs_passphrase};
use crate::store::local::LocalStore;
use crate::store::s3::{S3ConfigError, S3Store, S3StoreConfig};
use crate::store::{SharedStore, StoreError};
use crate::types::{Clock, Entropy, SecretText};
use crate::vault::{Parts, Settings, Vault};

/// Which journal a process writes: each process is the only writer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The gateway.
    Gateway,
    /// Commands on the vault's host, one at a time.
    Admin,
}

impl Lane {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Admin => "admin",
        }
    }
}

/// Why a vault does not open. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenVaultError {
    /// The root identity has a passphrase and none was given.
    #[error("the root identity has a passphrase file={}", path.display())]
    PassphraseNeeded {
        /// The identity's file.
        path: PathBuf,
    },
    /// The keys do not open.
    #[error("the keys do not open")]
    Keys(#[from] KeyRingError),
    /// A secret is missing or exposed.
    #[error("a secret cannot be had")]
    Secret(#[from] SecretError),
    /// The store's settings are incomplete.
    #[error("`store.kind` is `s3` and `store.{key}` is not set")]
    StoreSetting {
        /// Which key is missing.
        key: &'static str,
    },
    /// The store's settings are wrong.
    #[error("the store's settings cannot be used")]
    StoreConfig(#[from] S3ConfigError),
    /// The store does not open.
    #[error("the store does not open")]
    Store(#[from] StoreError),
    /// The catalog does not open.
    #[error("the catalog does not open")]
    Catalog(#[from] CatalogError),
    /// The journal does not open.
    #[error("the journal does not open")]
    Journal(#[from] JournalError),
    /// The policy does not load: nothing would be allowed.
    #[error("the policy does not load")]
    Policy(#[from] PolicyFileError),
}

/// An open vault with what it stands on.
pub struct Opened {
    /// The use cases.
    pub vault: Arc<Vault>,
    /// Its store.
    pub store: SharedStore,
    /// Its catalog.
    pub catalog: SharedCatalog,
    /// Its journal.
    pub journal: SharedJournal,
    /// Its keys.
    pub keyring: Arc<KeyRing>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Asks a person for the passphrase of the root identity; `None` where there is nobody to ask.
pub type AskPassphrase<'a> = &'a dyn Fn(&Path) -> Option<SecretText>;

/// Opens the root identity, with its passphrase from the environment, a file, or a person.
pub fn open_root(
    config: &Config,
    environment: &Environment,
    ask: AskPassphrase<'_>,
) -> Result<RootIdentity, OpenVaultError> {
    let path = &config.keys.identity;
    if !file_needs_passphrase(path)? {
        return Ok(RootIdentity::from_file(path, None)?);
    }
    let passphrase = match (
        environment.get(Variable::Passphrase),
        &config.keys.passphrase_file,
    ) {
        (Some(passphrase), _) => Some(passphrase),
        (None, Some(file)) => Some(read_secret_file(file)?),
        (None, None) => ask(path),
    };
    let needed = || OpenVaultError::PassphraseNeeded { path: path.clone() };
    Ok(RootIdentity::from_file(
        path,
        Some(&passphrase.ok_or_else(needed)?),
    )?)
}

/// Opens the key ring.
pub fn open_keys(
    config: &Config,
    environment: &Environment,
    ask: AskPassphrase<'_>,
) -> Result<Arc<KeyRing>, OpenVaultError> {
    let root = open_root(config, environment, ask)?;
    Ok(Arc::new(KeyRing::open(&config.keys.dir, &root)?))
}

/// Opens the store. `make`: an S3 store's bucket is made if it is missing.
pub async fn open_store(
    config: &Config,
    environment: &Environment,
    make: bool,
) -> Result<SharedStore, OpenVaultError> {
    match config.store.kind {
        StoreKind::Local => Ok(Arc::new(LocalStore::open(
            &config.store.path,
            &SystemClock,
        )?)),
        StoreKind::S3 => {
            let store = S3Store::open(
                &s3_config(config, environment)?,
                Arc::new(SystemClock),
                Arc::new(SystemEntropy::new()),
            )?;
            if make {
                store.ensure_bucket().await?;
            }
            Ok(Arc::new(store))
        }
    }
}

fn s3_config(config: &Config, environment: &Environment) -> Result<S3StoreConfig, OpenVaultError> {
    let set = &config.store;
    let need =
        |value: &Option<String>, key| value.clone().ok_or(OpenVaultError::StoreSetting { key });
    let credentials = store_credentials(set, environment)?;
    let endpoint = need(&set.endpoint, "endpoint")?;
    let bucket = need(&set.bucket, "bucket")?;
    let secret = credentials.secret_access_key;
    let base = S3StoreConfig::new(endpoint, bucket, credentials.access_key_id, secret);
    Ok(S3StoreConfig {
        region: set.region.clone(),
        prefix: set.prefix.clone().unwrap_or_default(),
        ca_file: set.ca_file.clone(),
        connect_timeout: set.connect_timeout,
        header_timeout: set.header_timeout,
        idle_timeout: set.idle_timeout,
        retries: set.retries,
        connections_max: usize::try_from(set.connections_max).unwrap_or(usize::MAX),
        ..base
    })
}

/// Opens the catalog's file, and makes it if it is not there.
pub fn open_catalog(config: &Config) -> Result<Arc<SqliteCatalog>, OpenVaultError> {
    Ok(SqliteCatalog::open(&config.catalog.path)?)
}

/// Opens a lane of the journal.
pub fn open_journal(
    config: &Config,
    keyring: &KeyRing,
    lane: Lane,
) -> Result<Arc<Wal>, OpenVaultError> {
    let dir = config.journal.dir.clone();
    let wal = WalConfig {
        file_bytes: config.journal.file_bytes.get(),
        wait_ms: u64::try_from(config.journal.wait.as_millis()).unwrap_or(u64::MAX),
        ..WalConfig::new(dir, lane.name().to_owned(), keyring.log_key())
    };
    Ok(Wal::open(
        wal,
        Arc::new(SystemClock),
        Arc::new(SystemEntropy::new()),
    )?)
}

impl Opened {
    /// Opens everything. The policy's text is in the log when this returns.
    pub async fn open(
        config: &Config,
        environment: &Environment,
        lane: Lane,
        ask: AskPassphrase<'_>,
    ) -> Result<Self, OpenVaultError> {
        let keyring = open_keys(config, environment, ask)?;
        let policy = Arc::new(policy_files::load(config.policy.dir.as_deref())?);
        let store = open_store(config, environment, false).await?;
        let catalog: SharedCatalog = open_catalog(config)?;
        let journal: SharedJournal = open_journal(config, &keyring, lane)?;
        journal.policy(policy.hash(), policy.text()).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let parts = Parts {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            journal: Arc::clone(&journal),
            keyring: Arc::clone(&keyring),
            policy,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        };
        let settings = Settings {
            default_project: config.server.default_project.clone(),
            snapshot_wait: config.catalog.snapshot_wait,
        };
        let vault = Arc::new(Vault::new(parts, settings));
        Ok(Self {
            vault,
            store,
            catalog,
            journal,
            keyring,
            clock,
            entropy,
        })
    }
}
