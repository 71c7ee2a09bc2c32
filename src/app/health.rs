//! How what a gateway stands on fares: looked at beside serving, so that whoever asks for health
//! waits for nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::certificate::{self, Lasting};
use super::exposure::{exposed, warning};
use super::lags::LogLags;
use super::shutdown::Shutdown;
use crate::catalog::SharedCatalog;
use crate::config::Config;
use crate::journal::SharedJournal;
use crate::ops::{Check, Checks, Metrics};
use crate::store::{SharedStore, StoreError};
use crate::types::Clock;
use crate::types::limits::JOURNAL_FREE_BYTES_WARN;

/// How often one looks.
const LOOK: Duration = Duration::from_secs(5);
/// A store that serves well is looked at only so often: every sixth look.
const STORE_LOOKS: u32 = 6;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was last seen of one thing; good until seen otherwise.
#[derive(Default)]
pub(super) struct Spot {
    bad: AtomicBool,
    reason: Mutex<String>,
}

impl Spot {
    /// Notes what was seen. Good news about what was good takes no lock.
    pub(super) fn note(&self, seen: Result<(), String>) {
        match seen {
            Ok(()) => self.bad.store(false, Ordering::Release),
            Err(reason) => {
                *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
                self.bad.store(true, Ordering::Release);
            }
        }
    }

    /// What was last seen.
    pub(super) fn seen(&self) -> Result<(), String> {
        if !self.bad.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        Err(reason.clone())
    }
}

/// What was last seen of everything, and what is counted.
#[derive(Default)]
pub struct Health {
    /// The counters.
    pub metrics: Arc<Metrics>,
    pub(super) catalog: Spot,
    pub(super) store: Spot,
    pub(super) policy: Spot,
    pub(super) issuers: Spot,
    pub(super) disk: Spot,
    pub(super) clock: Spot,
    pub(super) store_clock: Spot,
    pub(super) checkpoint: Spot,
    pub(super) witnesses: Spot,
    pub(super) volumes: Spot,
    pub(super) syslog: Spot,
    pub(super) otlp: Spot,
    pub(super) snapshots: Spot,
    pub(super) secrets: Spot,
    pub(super) certificate: Spot,
    pub(super) renewal: Spot,
}

impl Health {
    /// Notes how a call to the store ended. That a blob is missing or damaged is no fault of the
    /// way to it, and that a client gave up neither.
    pub(super) fn note_store<T>(&self, outcome: &Result<T, StoreError>) {
        match outcome {
            Ok(_)
            | Err(
                StoreError::NotFound
                | StoreError::Length
                | StoreError::Throttled
                | StoreError::Taken
                | StoreError::Kept { .. }
                | StoreError::Aborted(_),
            ) => self.store.note(Ok(())),
            Err(
                error @ (StoreError::Timeout
                | StoreError::Full
                | StoreError::Denied
                | StoreError::Failed { .. }),
            ) => self.store.note(Err(error.to_string())),
        }
    }

    /// What `/readyz` asks.
    pub(super) fn checks(self: &Arc<Self>, journal: &SharedJournal) -> Checks {
        let journal = Arc::clone(journal);
        let ready: Check = Arc::new(move || journal.ready().map_err(|error| error.to_string()));
        let spot = |of: fn(&Self) -> &Spot| -> Check {
            let health = Arc::clone(self);
            Arc::new(move || of(&health).seen())
        };
        Checks {
            needs: vec![
                ("journal", ready),
                ("catalog", spot(|health| &health.catalog)),
                ("store", spot(|health| &health.store)),
            ],
            // The last good policy serves on; a disk that is nearly full still takes records.
            warnings: vec![
                ("snapshots", spot(|health| &health.snapshots)),
                ("secrets", spot(|health| &health.secrets)),
                ("certificate", spot(|health| &health.certificate)),
                ("renewal", spot(|health| &health.renewal)),
                ("policy", spot(|health| &health.policy)),
                ("issuers", spot(|health| &health.issuers)),
                ("disk", spot(|health| &health.disk)),
                ("clock", spot(|health| &health.clock)),
                ("store_clock", spot(|health| &health.store_clock)),
                ("checkpoint", spot(|health| &health.checkpoint)),
                ("witnesses", spot(|health| &health.witnesses)),
                ("volumes", spot(|health| &health.volumes)),
                ("syslog", spot(|health| &health.syslog)),
                ("otlp", spot(|health| &health.otlp)),
            ],
        }
    }
}

/// What is looked at.
pub(super) struct Watched {
    /// The journal.
    pub(super) journal: SharedJournal,
    /// Where it is.
    pub(super) journal_dir: PathBuf,
    /// The log's directory, and the clock that it goes by.
    pub(super) log: (PathBuf, Arc<dyn Clock>),
    /// What says which files hold secrets.
    pub(super) config: Arc<Config>,
    /// The catalog.
    pub(super) catalog: SharedCatalog,
    /// The store, whose calls are counted and noted.
    pub(super) store: SharedStore,
}

/// Looks again and again until the end.
pub(super) async fn watch(health: Arc<Health>, watched: Watched, shutdown: Shutdown) {
    let mut looks: u32 = 0;
    loop {
        let store = health.store.seen().is_err() || looks.is_multiple_of(STORE_LOOKS);
        look(&health, &watched, store).await;
        looks = looks.wrapping_add(1);
        tokio::select! {
            () = sleep(LOOK) => {}
            () = shutdown.draining() => return,
        }
    }
}

/// Until when the certificate is good, and how that is told. That its file cannot be used is told
/// as `renewal`: the one before is served on.
async fn look_at_certificate(health: &Health, watched: &Watched) {
    let Some(file) = watched.config.server.tls_cert.clone() else {
        return;
    };
    let found = tokio::task::spawn_blocking(move || certificate::ends(&file)).await;
    let Ok(Some(end)) = found else {
        return;
    };
    let seconds = i64::try_from(end.millis() / 1_000).unwrap_or(i64::MAX);
    health.metrics.tls_certificate_end_seconds.set(seconds);
    let told = match certificate::lasting(end, watched.log.1.now()) {
        Lasting::Lasts => Ok(()),
        Lasting::Soon => Err(format!("the TLS certificate ends at {end}")),
        Lasting::Ended => Err(format!("the TLS certificate ended at {end}")),
    };
    health.certificate.note(told);
}

/// Whether secret files are their owner's alone.
async fn closed(config: &Arc<Config>) -> Result<(), String> {
    let config = Arc::clone(config);
    let found = tokio::task::spawn_blocking(move || exposed(&config)).await;
    // That nobody could look is no word on the files.
    found.map_or(Ok(()), |found| warning(&found))
}

async fn look(health: &Health, watched: &Watched, store: bool) {
    let metrics = &health.metrics;
    let waiting = i64::try_from(watched.journal.waiting()).unwrap_or(i64::MAX);
    metrics.journal_queue.set(waiting);
    let ready = watched.journal.ready().is_ok();
    metrics.journal_ready.set(i64::from(ready));
    let free = free_bytes(watched.journal_dir.clone()).await;
    if let Ok(free) = &free {
        let free = i64::try_from(*free).unwrap_or(i64::MAX);
        metrics.journal_free_bytes.set(free);
    }
    health.disk.note(free.and_then(enough));
    look_at_log(health, watched).await;
    health
        .catalog
        .note(answers(watched.catalog.generation()).await);
    if store {
        health.secrets.note(closed(&watched.config).await);
        look_at_certificate(health, watched).await;
        match timeout(PATIENCE, watched.store.list(None, 1)).await {
            Ok(listed) => health.note_store(&listed),
            Err(_late) => health.note_store::<()>(&Err(StoreError::Timeout)),
        }
    }
}

/// How far witnesses and volumes are behind the log.
async fn look_at_log(health: &Health, watched: &Watched) {
    let (dir, clock) = watched.log.clone();
    let looked = tokio::task::spawn_blocking(move || LogLags::of(&dir, clock.now()));
    let Ok(Ok(lags)) = timeout(PATIENCE, looked).await else {
        return;
    };
    health.metrics.log_lags(lags.cosigned, lags.volumes);
    health.witnesses.note(lags.witnesses());
    health.volumes.note(lags.shipping());
}

/// Whether it answers well, in time.
async fn answers<T, E: std::fmt::Display>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<(), String> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(_answer)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_late) => Err("no answer in time".to_owned()),
    }
}

/// Bytes free on the disk of a path. A disk that hangs holds up one thread and nobody else.
async fn free_bytes(path: PathBuf) -> Result<u64, String> {
    let asked = tokio::task::spawn_blocking(move || free_on(&path));
    match timeout(PATIENCE, asked).await {
        Ok(Ok(told)) => told.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_late) => Err("the disk does not answer".to_owned()),
    }
}

fn free_on(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn enough(free: u64) -> Result<(), String> {
    if free >= JOURNAL_FREE_BYTES_WARN {
        return Ok(());
    }
    let mib = free / (1024 * 1024);
    Err(format!(
        "{mib} MiB are free on the journal's disk; without space nothing is served"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::app::metered::MeteredStore;
    use crate::app::system::{SystemClock, SystemEntropy};
    use crate::catalog::MemoryCatalog;
    use crate::journal::{Wal, WalConfig};
    use crate::store::BodyAborted;
    use crate::store::fault::{FaultStore, Injected, ListFault};
    use crate::store::memory::MemoryStore;
    use crate::types::Secret;

    struct Place {
        health: Arc<Health>,
        faulty: Arc<FaultStore>,
        watched: Watched,
        _dir: tempfile::TempDir,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let health = Arc::<Health>::default();
        let metrics = Arc::clone(&health.metrics);
        let config = WalConfig {
            on_sync: Some(Arc::new(move |records, time| {
                metrics.journal_synced(records, time);
            })),
            ..WalConfig::new(
                dir.path().into(),
                "gateway".into(),
                Secret::take(&mut [7; 32]),
            )
        };
        let entropy = Arc::new(SystemEntropy::new());
        let faulty = Arc::new(FaultStore::new(Arc::new(MemoryStore::new(Arc::new(
            SystemClock,
        )))));
        let inner: SharedStore = Arc::<FaultStore>::clone(&faulty);
        let watched = Watched {
            journal: Wal::open(config, clock, entropy).unwrap(),
            log: (PathBuf::from("/nowhere"), Arc::new(SystemClock)),
            journal_dir: dir.path().into(),
            config: Arc::new(Config::parse("", dir.path()).unwrap()),
            catalog: Arc::new(MemoryCatalog::new()),
            store: Arc::new(MeteredStore::new(inner, Arc::clone(&health))),
        };
        Place {
            health,
            faulty,
            watched,
            _dir: dir,
        }
    }

    #[tokio::test]
    async fn a_root_that_others_read_is_warned_of_until_it_is_closed() {
        let place = place();
        let root = &place.watched.config.keys.identity;
        std::fs::write(root, "x").unwrap();
        for (mode, told) in [(0o640, true), (0o600, false), (0o604, true), (0o400, false)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(root, permissions).unwrap();
            look(&place.health, &place.watched, true).await;
            assert_eq!(place.health.secrets.seen().is_err(), told, "{mode:o}");
        }
        let checks = place.health.checks(&place.watched.journal);
        let named = |(name, _): &(&str, Check)| *name == "secrets";
        assert!(checks.warnings.iter().any(named) && !checks.needs.iter().any(named));
    }

    #[tokio::test]
    async fn a_certificate_that_ends_is_warned_of_until_it_is_renewed() {
        let mut place = place();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        let text = "[server]\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'";
        place.watched.config = Arc::new(Config::parse(text, dir.path()).unwrap());
        for (year, told) in [(2001, Some("ended at 2001-")), (2999, None)] {
            let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, 3, 2);
            let key = rcgen::KeyPair::generate().unwrap();
            std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
            look(&place.health, &place.watched, true).await;
            let seen = place.health.certificate.seen().err();
            assert_eq!(seen.is_some(), told.is_some(), "{seen:?}");
            assert!(seen.unwrap_or_default().contains(told.unwrap_or_default()));
            let end = certificate::ends(&file).unwrap().millis() / 1_000;
            let counted = place.health.metrics.tls_certificate_end_seconds.get();
            assert_eq!(u64::try_from(counted), Ok(end));
        }
        let checks = place.health.checks(&place.watched.journal);
        let named = |(name, _): &(&str, Check)| *name == "certificate";
        assert!(checks.warnings.iter().any(named) && !checks.needs.iter().any(named));
    }

    #[tokio::test]
    async fn all_is_well_and_counted() {
        let place = place();
        place.watched.journal.policy([1; 32], "text").await.unwrap();
        look(&place.health, &place.watched, true).await;
        let checks = place.health.checks(&place.watched.journal);
        for (name, check) in &checks.needs {
            assert_eq!(check(), Ok(()), "{name}");
        }
        let names: Vec<_> = checks.needs.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["journal", "catalog", "store"]);
        let metrics = &place.health.metrics;
        assert_eq!(metrics.journal_ready.get(), 1);
        assert_eq!(metrics.journal_queue.get(), 0);
        assert!(metrics.journal_free_bytes.get() > 0);
        assert!(metrics.journal_records.get() > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_unready_until_it_answers_again() {
        let place = place();
        let checks = place.health.checks(&place.watched.journal);
        let store = || checks.needs[2].1();
        for (call, error) in [
            Injected::Timeout,
            Injected::Full,
            Injected::Denied,
            Injected::Failed,
        ]
        .into_iter()
        .enumerate()
        {
            let call = u64::try_from(call).unwrap() * 2 + 1;
            place.faulty.on_list(call, ListFault::Error(error));
            look(&place.health, &place.watched, true).await;
            assert!(store().is_err(), "{error:?}");
            look(&place.health, &place.watched, true).await;
            assert_eq!(store(), Ok(()));
        }
        place.faulty.on_list(9, ListFault::Hang);
        look(&place.health, &place.watched, true).await;
        assert!(store().is_err());
    }

    #[test]
    fn what_is_no_fault_of_the_store_leaves_it_ready() {
        let health = Health::default();
        for error in [
            StoreError::NotFound,
            StoreError::Length,
            StoreError::Throttled,
            StoreError::Aborted(BodyAborted),
        ] {
            health.note_store::<()>(&Err(error));
            assert_eq!(health.store.seen(), Ok(()));
        }
    }

    #[test]
    fn little_space_is_a_warning() {
        assert_eq!(enough(JOURNAL_FREE_BYTES_WARN), Ok(()));
        assert!(enough(JOURNAL_FREE_BYTES_WARN - 1).is_err_and(|told| told.contains("1023 MiB")));
    }

    #[tokio::test]
    async fn a_disk_that_is_not_there_is_told() {
        assert!(free_bytes("/nowhere/at/all".into()).await.is_err());
    }
}
