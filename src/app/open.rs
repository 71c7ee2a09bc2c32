//! Opens what a configuration names: store, keys, catalog, journal, policy; and the vault on them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::gate::{complete, open_gate};
use super::health::Health;
use super::keeper::KeeperError;
use super::metered::MeteredStore;
use super::policy_files::{self, PolicyFileError};
use super::root::{OpenedRoot, open_ring, open_root};
use super::system::{SteadyClock, SystemClock, SystemEntropy};
use super::transit::TransitError;
use super::unseal::UnsealError;
use crate::catalog::{CatalogError, OnCommit, SharedCatalog, SqliteCatalog};
use crate::config::{Config, Environment, GateKind, SecretError, StoreKind, store_credentials};
use crate::gate::{Gate, GateError, OnPut};
use crate::journal::{JournalError, OnSync, Pages, SharedJournal, Wal, WalConfig};
use crate::keyring::{KeyRing, KeyRingError};
use crate::notary::Prover;
use crate::store::local::LocalStore;
use crate::store::s3::{S3ConfigError, S3Store, S3StoreConfig};
use crate::store::{SharedStore, StoreError};
use crate::types::{Clock, Entropy, SecretText, limits};
use crate::vault::{LabelRules, Parts, ReviewTimes, Settings, Vault, VaultError};

/// Which journal a process writes: each process is the only writer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The gateway.
    Gateway,
    /// Commands on the vault's host, one at a time.
    Admin,
}

impl Lane {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Admin => "admin",
        }
    }

    /// The one that another process writes.
    const fn other(self) -> Self {
        match self {
            Self::Gateway => Self::Admin,
            Self::Admin => Self::Gateway,
        }
    }

    /// How long a process waits for the one before it to end.
    const fn patience(self) -> Duration {
        match self {
            // One that was just stopped still closes its log.
            Self::Gateway => Duration::from_secs(2),
            Self::Admin => Duration::from_secs(10),
        }
    }
}

/// How often a process that waits looks again.
const LOOK: Duration = Duration::from_millis(50);

/// Requests that a command has open at once; it has one.
const ADMIN_OPEN_MAX: usize = 128;

/// Why a vault does not open. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenVaultError {
    /// The root identity has a passphrase and none was given.
    #[error("the root identity {} has a passphrase", path.display())]
    PassphraseNeeded {
        /// The identity's file.
        path: PathBuf,
    },
    /// The keys do not open.
    #[error("the keys do not open")]
    Keys(#[from] KeyRingError),
    /// The file of the root is of another kind than the configuration names.
    #[error("`keys.root` is `{configured}` and the file of the root is of kind `{found}`")]
    RootKind {
        /// What is configured.
        configured: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// The custodians did not open the root.
    #[error("the root is sealed")]
    Unseal(#[from] UnsealError),
    /// The key service did not open the root, or did not take it.
    #[error("the root is kept by a key service")]
    Transit(#[from] TransitError),
    /// The token or plugin did not open the root, or did not take it.
    #[error("the root is kept by a token or a plugin")]
    Keeper(#[from] KeeperError),
    /// Who unsealed the root cannot be put on record.
    #[error("who unsealed the root cannot be recorded")]
    Record(#[source] VaultError),
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
    /// The directory of a local store is not there: not mounted, or another was meant.
    #[error("the directory of the store is not there: {}", path.display())]
    StoreMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The catalog's file is not there: lost, or another was meant.
    #[error("the catalog is not there: {}", path.display())]
    CatalogMissing {
        /// The file.
        path: PathBuf,
    },
    /// An older program serves the catalog, which this one would bring to a schema that the older
    /// one cannot open again.
    #[error("a gateway serves the catalog, of schema {found}; this program would make it {known}")]
    CatalogServed {
        /// The schema that it has.
        found: u32,
        /// The one that this program needs.
        known: u32,
    },
    /// Whether a gateway serves the catalog cannot be seen.
    #[error("the lane of the gateway cannot be looked at")]
    Lane(#[source] std::io::Error),
    /// The store does not open.
    #[error("the store does not open")]
    Store(#[from] StoreError),
    /// The catalog does not open.
    #[error("the catalog does not open")]
    Catalog(#[from] CatalogError),
    /// The journal does not open.
    #[error("the journal does not open")]
    Journal(#[from] JournalError),
    /// The store cannot be the gate of the journal.
    #[error("the gate of the journal cannot be had")]
    Gate(#[from] GateError),
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
    /// The journal's gate in the store, where there is one.
    pub gate: Option<Gate>,
    /// Its keys.
    pub keyring: Arc<KeyRing>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What a person is asked for.
#[derive(Clone, Copy)]
pub enum Asked<'a> {
    /// The passphrase of the root identity in that file.
    Passphrase(&'a Path),
    /// The PIN of what keeps the root.
    Pin(&'a str),
}

/// Asks a person for a secret; `None` where there is nobody to ask.
pub type AskPassphrase<'a> = &'a (dyn Fn(Asked<'_>) -> Option<SecretText> + Sync);

/// Opens the store. `make`: the directory or the bucket is made if it is missing; otherwise that
/// is an error, since an empty store in the place of a full one would serve nothing and be filled.
pub async fn open_store(
    config: &Config,
    environment: &Environment,
    make: bool,
) -> Result<SharedStore, OpenVaultError> {
    match config.store.kind {
        StoreKind::Local => {
            let path = &config.store.path;
            if !make && !path.is_dir() {
                return Err(OpenVaultError::StoreMissing { path: path.clone() });
            }
            Ok(Arc::new(LocalStore::open(path, &SystemClock)?))
        }
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

pub(super) fn s3_config(
    config: &Config,
    environment: &Environment,
) -> Result<S3StoreConfig, OpenVaultError> {
    let set = &config.store;
    let need =
        |value: &Option<String>, key| value.clone().ok_or(OpenVaultError::StoreSetting { key });
    let credentials = store_credentials(set, environment)?;
    let endpoint = need(&set.endpoint, "endpoint")?;
    let bucket = need(&set.bucket, "bucket")?;
    let secret = credentials.secret_access_key;
    let base = S3StoreConfig::new(endpoint, bucket, credentials.access_key_id, secret);
    Ok(S3StoreConfig {
        public_endpoint: config.straight.endpoint.clone(),
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

/// Opens the catalog's file, which must be there: an empty one in the place of a lost one would
/// look like a vault without data.
pub fn open_catalog(config: &Config) -> Result<Arc<SqliteCatalog>, OpenVaultError> {
    open_catalog_told(config, None)
}

/// The same, and tells of each transaction.
pub(super) fn open_catalog_told(
    config: &Config,
    told: Option<OnCommit>,
) -> Result<Arc<SqliteCatalog>, OpenVaultError> {
    let path = &config.catalog.path;
    if !path.exists() {
        return Err(OpenVaultError::CatalogMissing { path: path.clone() });
    }
    // Nobody begins to serve it meanwhile, either.
    let _alone = match SqliteCatalog::behind(path)? {
        None => None,
        Some((found, known)) => {
            let lane = try_lane(config, Lane::Gateway);
            match lane.map_err(OpenVaultError::Lane)? {
                LaneState::Kept(lock) => Some(lock),
                LaneState::Held => return Err(OpenVaultError::CatalogServed { found, known }),
            }
        }
    };
    Ok(SqliteCatalog::open_told(path, told)?)
}

/// Who counts what a journal does.
#[derive(Clone, Default)]
struct Counts {
    sync: Option<OnSync>,
    put: Option<OnPut>,
}

/// Opens a lane of the journal.
fn open_journal(
    config: &Config,
    (keyring, gate): (&KeyRing, Option<&Gate>),
    lane: Lane,
    counts: Counts,
) -> Result<Arc<Wal>, OpenVaultError> {
    let dir = config.journal.dir.clone();
    let wal = WalConfig {
        file_bytes: config.journal.file_bytes.get(),
        wait_ms: u64::try_from(config.journal.wait.as_millis()).unwrap_or(u64::MAX),
        on_sync: counts.sync,
        replica: gate.map(|gate| gate.replica(lane.name(), counts.put)),
        synced: config.journal.gate != GateKind::Store,
        ..WalConfig::new(dir, lane.name().to_owned(), keyring.log_key())
    };
    let wal = match lane {
        Lane::Gateway => wal,
        // Each command begins a file of its own, of which it writes a few records.
        Lane::Admin => WalConfig {
            file_bytes: limits::JOURNAL_FILE_BYTES_MIN,
            open_max: ADMIN_OPEN_MAX,
            ..wal
        },
    };
    Ok(Wal::open(
        wal,
        Arc::new(SystemClock),
        Arc::new(SystemEntropy::new()),
    )?)
}

impl Counts {
    fn of(health: &Arc<Health>) -> Self {
        let (syncs, puts) = (Arc::clone(&health.metrics), Arc::clone(&health.metrics));
        Self {
            sync: Some(Arc::new(move |records, time| {
                syncs.journal_synced(records, time);
            })),
            put: Some(Arc::new(move |time| puts.journal_put(time))),
        }
    }
}

/// Opens a lane of the journal, and waits within bounds for the process that holds it.
async fn take_journal(
    config: &Config,
    kept: (&KeyRing, Option<&Gate>),
    lane: Lane,
    counts: Counts,
) -> Result<Arc<Wal>, OpenVaultError> {
    let mut waited = Duration::ZERO;
    loop {
        match open_journal(config, kept, lane, counts.clone()) {
            Err(OpenVaultError::Journal(JournalError::Locked)) if waited < lane.patience() => {
                tokio::time::sleep(LOOK).await;
                waited = waited.saturating_add(LOOK);
            }
            opened => return opened,
        }
    }
}

/// Whether a process writes a lane.
#[derive(Debug)]
pub enum LaneState {
    /// One does.
    Held,
    /// None does, and none can begin while this lives.
    Kept(File),
}

/// Looks whether a process writes a lane, and keeps others from it if not.
pub fn try_lane(config: &Config, lane: Lane) -> std::io::Result<LaneState> {
    let dir = config.journal.dir.join(lane.name());
    super::found::create_dir(&dir)?;
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(LaneState::Kept(file)),
        Err(TryLockError::WouldBlock) => Ok(LaneState::Held),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What it takes to open a vault.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// What is to be opened.
    pub config: &'a Config,
    /// Where secrets come from.
    pub environment: &'a Environment,
    /// Whose journal is written.
    pub lane: Lane,
    /// Who is asked for a passphrase.
    pub ask: AskPassphrase<'a>,
    /// The root, where it was opened before.
    pub root: Option<&'a OpenedRoot>,
    /// A journal in the place of the lane's own, for measurements alone.
    pub journal: Option<&'a SharedJournal>,
    /// Where is counted and noted how all of it fares.
    pub health: Option<&'a Arc<Health>>,
}

/// Puts on record how the root was opened, where there is something to tell.
async fn record(vault: &Vault, root: &OpenedRoot) -> Result<(), OpenVaultError> {
    for told in &root.told {
        let recorded = vault.record_unsealing(told).await;
        recorded.map_err(OpenVaultError::Record)?;
    }
    Ok(())
}

impl Opened {
    /// Opens everything. The policy's text is in the log when this returns.
    pub async fn open(opening: Opening<'_>) -> Result<Self, OpenVaultError> {
        Self::open_on(opening, || {
            let catalog: SharedCatalog = open_catalog(opening.config)?;
            Ok(catalog)
        })
        .await
    }

    /// Opens everything on a catalog of the caller's.
    pub async fn open_on(
        opening: Opening<'_>,
        catalog: impl FnOnce() -> Result<SharedCatalog, OpenVaultError> + Send,
    ) -> Result<Self, OpenVaultError> {
        let Opening {
            config,
            environment,
            lane,
            ask,
            root,
            journal,
            health,
        } = opening;
        let asked;
        let root = if let Some(root) = root {
            root
        } else {
            asked = open_root(config, environment, ask).await?;
            &asked
        };
        let keyring = open_ring(config, root)?;
        let policy = Arc::new(policy_files::load(config.policy.dir.as_deref())?);
        let mut store = open_store(config, environment, false).await?;
        if let Some(health) = health {
            store = Arc::new(MeteredStore::new(store, Arc::clone(health)));
        }
        // Before anything is written that the store would contradict for ever.
        super::gate::none_left(config, environment).await?;
        let catalog = catalog()?;
        let gate = open_gate(config, environment, &keyring)?;
        if let Some(gate) = &gate {
            complete(config, gate, lane.other())?;
        }
        let journal: SharedJournal = if let Some(journal) = journal {
            Arc::clone(journal)
        } else {
            let counts = health.map(Counts::of).unwrap_or_default();
            take_journal(config, (&keyring, gate.as_ref()), lane, counts).await?
        };
        journal.policy(policy.hash(), policy.text()).await?;
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::new(SystemClock));
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
        let day_ms = environment.day_ms();
        if day_ms != limits::DAY_MS {
            tracing::warn!(day_ms, "a build for tests: a lifecycle's day is shorter");
        }
        let settings = settings(config, (lane, day_ms), &keyring);
        let vault = Arc::new(Vault::new(parts, settings));
        show_log(&vault, config, &keyring);
        record(&vault, root).await?;
        Ok(Self {
            vault,
            store,
            catalog,
            journal,
            gate,
            keyring,
            clock,
            entropy,
        })
    }

    /// Ends a command: what it changed is put into a snapshot, unless a gateway is running, which
    /// does so by itself; then the log is closed and its lane free.
    pub async fn finish(self, config: &Config) -> Result<(), FinishError> {
        let written = self.write_snapshots(config).await;
        // Without it the last records may be lost, whatever became of the snapshot.
        let closed = self.journal.close().await;
        written?;
        Ok(closed?)
    }

    /// Does a command's work, and writes a snapshot whenever it waits for one.
    pub async fn with_snapshots<T>(&self, config: &Config, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.vault.snapshot_wanted() => {}
            }
            if let Err(error) = self.write_snapshots(config).await {
                // The work itself says, in time, that it waited in vain.
                tracing::warn!(%error, "no snapshot is written");
            }
        }
    }

    /// Puts what changed into snapshots, unless a gateway is running.
    async fn write_snapshots(&self, config: &Config) -> Result<(), FinishError> {
        // While its lane is kept here no gateway can begin, so nobody else writes one.
        let alone = try_lane(config, Lane::Gateway).map_err(FinishError::Lane)?;
        if !matches!(alone, LaneState::Held) {
            while self.vault.write_snapshot().await? > 0 {}
        }
        drop(alone);
        Ok(())
    }
}

/// What the vault itself is told of the configuration.
fn settings(config: &Config, (lane, day_ms): (Lane, u64), keyring: &KeyRing) -> Settings {
    Settings {
        default_project: config.server.default_project.clone(),
        snapshot_wait: config.catalog.snapshot_wait && lane == Lane::Gateway,
        snapshots_kept: true,
        host_approves: config.policy.host_approves,
        log_origin: super::notary::log_origin(config, keyring),
        straight: config.straight.projects.clone(),
        job_session_ms: super::tasks::millis(config.jobs.session),
        attempts: config.limits.failed_attempts,
        listed_max: config.catalog.listed_max,
        day_ms,
        review: ReviewTimes {
            privileged_ms: super::tasks::millis(config.policy.review_privileged),
            other_ms: super::tasks::millis(config.policy.review),
        },
        labels: LabelRules {
            order: config.labels.order.clone(),
            unlabelled: config.labels.unlabelled.clone(),
            clearance: config.labels.clearance.clone(),
            ceiling: config.labels.ceiling.clone(),
        },
    }
}

/// What went wrong at the end of a command, whose work stands all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// Whether a gateway is running cannot be seen.
    #[error("the lane of the gateway cannot be looked at")]
    Lane(#[source] std::io::Error),
    /// The snapshot was not written.
    #[error("no snapshot in the store holds the change yet")]
    Snapshot(#[from] VaultError),
    /// The log does not close.
    #[error("the log does not close")]
    Journal(#[from] JournalError),
}

/// Says where the log is read and proved.
fn show_log(vault: &Vault, config: &Config, keyring: &KeyRing) {
    let journal = &config.journal.dir;
    vault.show_records(Pages::new(journal.clone(), keyring.log_key()));
    vault.show_proofs(Prover {
        log: config.proof.dir.clone(),
        journal: journal.clone(),
        origin: super::notary::log_origin(config, keyring),
        keys: super::notary::log_keys(keyring),
    });
}
