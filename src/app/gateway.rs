//! A running gateway: opened, probed, tested against itself, serving.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt as _;
use sync_wrapper::SyncStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::util::MapResponse;

use super::crew::Crew;
use super::exposure::exposed;
use super::health::{self, Health, Watched};
use super::limits::Bounds;
use super::listen::Listener;
use super::notary::LogKeeper;
use super::open::{AskPassphrase, Lane, OpenVaultError, Opened, Opening, open_catalog_told};
use super::root::OpenedRoot;
use super::shutdown::{Shutdown, Trigger, channel, signals, supervise};
use super::snapshots::Snapshots;
use super::streams::StartError;
use super::system::{SystemClock, forbid_dumps, forbid_huge_pages, raise_open_files};
use super::tasks::{keep_uses, millis, sweep, work_on_keys};
use super::tls::{Tls, TlsError};
use super::transit_token::keep_token;
use super::unseal::Sealed;
use super::volumes::{Unlocked, demand_locks, open_volumes, prove_locks};
use super::{clock, gate, issuers, policy_files, pushes, store_clock, streams};
use crate::catalog::{OnCommit, SharedCatalog};
use crate::config::{Config, Environment, PlainHttp, RootKind, StoreKind, Worm};
use crate::journal::SharedJournal;
use crate::notary::NotaryError;
use crate::ops::{Check, Checks, Metrics, Operation, router as ops_router};
use crate::s3::{BuildError, S3Edge, S3Settings, SelfTestError, Served, router};
use crate::store::StoreError;
use crate::types::{BlobId, Clock as _, EntropyError, Secret};
use crate::vault::{ChainFault, SweepAsk, Vault, VaultError};

/// Why a gateway does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The vault does not open.
    #[error("the vault does not open")]
    Open(#[from] OpenVaultError),
    /// The store lacks what Kluis needs, or cannot be reached.
    #[error("the store failed its probe")]
    Probe(#[source] StoreError),
    /// The log's volumes are to be locked and cannot be.
    #[error("the log's volumes are not safe in the store")]
    Worm(#[from] Unlocked),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Entropy(#[from] EntropyError),
    /// The S3 edge cannot be built.
    #[error("the S3 listener cannot be set up")]
    Edge(#[from] BuildError),
    /// The S3 edge served what it must refuse.
    #[error("the S3 listener failed its own test")]
    SelfTest(#[from] SelfTestError),
    /// The certificate cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// Plain HTTP beyond loopback, not allowed.
    #[error("plain HTTP on {address}, which other machines reach")]
    PlainHttp {
        /// The address.
        address: SocketAddr,
    },
    /// The operator's listener beyond loopback, not allowed.
    #[error("the ops listener is on {address}, which other machines reach")]
    OpsRemote {
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The snapshots in the store are not looked at, or not the catalog's.
    #[error("the catalog cannot be served")]
    Snapshots(#[source] VaultError),
    /// While it served, another catalog went on with the vault.
    #[error("this gateway has ended")]
    Fenced(#[source] ChainFault),
    /// The log cannot be gone on with.
    #[error("the log of the records cannot be kept")]
    Log(#[from] NotaryError),
    /// A stream of the log cannot begin.
    #[error("the log cannot be streamed")]
    Stream(#[from] StartError),
    /// The threads that serve cannot be started.
    #[error("the threads that serve connections cannot be started")]
    Crew(#[source] std::io::Error),
    /// Signals cannot be heard.
    #[error("signals cannot be heard")]
    Signals(#[source] std::io::Error),
}

/// A gateway that serves until it is stopped.
pub struct Gateway {
    opened: Opened,
    address: SocketAddr,
    ops: SocketAddr,
    trigger: Trigger,
    tasks: JoinSet<()>,
    snapshots: LastTask,
    log: (LogKeeper, tokio::task::JoinHandle<()>),
    wait: std::time::Duration,
    signals: Signals,
    fenced: watch::Receiver<Option<ChainFault>>,
    /// Its threads serve until the log is closed.
    crew: Arc<Crew>,
}

/// What ends when nothing is served any more, and how it is told.
type LastTask = (Trigger, tokio::task::JoinHandle<()>);

type Signals = std::pin::Pin<Box<dyn futures_util::Stream<Item = ()> + Send + Sync>>;

/// Before any key is in memory: no core dump, memory in small pages, and as many files as the
/// system allows; and whose files of secrets are not theirs alone is said.
fn harden(config: &Config) {
    for found in exposed(config) {
        tracing::warn!("a secret file is not its owner's alone: {found}");
    }
    if let Err(error) = forbid_huge_pages() {
        tracing::debug!(%error, "huge pages cannot be forbidden");
    }
    if let Err(error) = forbid_dumps() {
        tracing::warn!(%error, "core dumps cannot be forbidden");
    }
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "the number of open files cannot be raised");
    }
}

/// Counts the catalog's transactions.
fn on_commit(health: &Health) -> OnCommit {
    let metrics = Arc::clone(&health.metrics);
    Arc::new(move |commits| metrics.catalog_committed(commits))
}

impl Gateway {
    /// Opens the vault, probes the store, and serves.
    pub async fn start(
        config: &Config,
        environment: &Environment,
        ask: AskPassphrase<'_>,
    ) -> Result<Self, ServeError> {
        Self::start_on(config, environment, ask, None).await
    }

    /// The same on a journal of the caller's. **Only a measurement brings one**: what it keeps is
    /// the evidence of every request, and nothing in the command or its configuration reaches this.
    pub async fn start_on(
        config: &Config,
        environment: &Environment,
        ask: AskPassphrase<'_>,
        journal: Option<&SharedJournal>,
    ) -> Result<Self, ServeError> {
        check_addresses(config)?;
        harden(config);
        let mut signals: Signals =
            Box::pin(SyncStream::new(signals().map_err(ServeError::Signals)?));
        let health = Arc::<Health>::default();
        let metrics = Arc::clone(&health.metrics);
        let root = unseal(config, &metrics, &mut signals).await?;
        let opening = Opening {
            config,
            environment,
            lane: Lane::Gateway,
            ask,
            root: root.as_ref(),
            journal,
            health: Some(&health),
        };
        let opened = Opened::open_on(opening, || {
            let catalog: SharedCatalog = open_catalog_told(config, Some(on_commit(&health)))?;
            Ok(catalog)
        })
        .await?;
        probe(&opened).await?;
        look_at_locks(config, environment).await?;
        let chained = opened.vault.check_chain().await;
        chained.map_err(ServeError::Snapshots)?;
        let edge = router(Arc::clone(&opened.vault), &edge_settings(config))?;
        edge.self_test().await?;
        let tls = open_tls(config)?;
        let (s3, crew) = bind_s3(config, tls.clone(), &metrics).await?;
        let ops = bind(config.ops.listen, None, Bounds::of_ops(), &metrics).await?;
        let address = bound(&s3, config.server.listen)?;
        let ops_address = bound(&ops, config.ops.listen)?;
        let log = LogKeeper::open(&opened, config, &health).await?;
        let log = log.start(config.proof.interval);
        let (trigger, shutdown) = channel();
        let mut tasks = JoinSet::new();
        spawn_listeners(
            &mut tasks,
            (s3, edge),
            (ops, health.checks(&opened.journal)),
            &metrics,
            &shutdown,
        );
        let vault = &opened.vault;
        let (fault, fenced) = watch::channel(None);
        let snapshots = spawn_keepers(&mut tasks, config, (vault, fault), &health, &shutdown);
        spawn_watches(&mut tasks, (&opened, config), &health, &shutdown);
        gate::spawn_keep(&mut tasks, (&opened, config), &shutdown);
        streams::start(&mut tasks, (&opened, config), &health, &shutdown)?;
        if let Some(tls) = tls {
            let interval = config.server.tls_reload_interval;
            let told = move |renewed| health.renewal.note(renewed);
            tasks.spawn(async move { tls.watch(interval, told, shutdown).await });
        }
        let wait = config.server.shutdown_wait;
        Ok(Self {
            opened,
            address,
            ops: ops_address,
            trigger,
            tasks,
            snapshots,
            log,
            wait,
            signals,
            fenced,
            crew,
        })
    }

    /// Where S3 is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are served.
    #[must_use]
    pub const fn ops_address(&self) -> SocketAddr {
        self.ops
    }

    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> &Arc<Vault> {
        &self.opened.vault
    }

    /// The key that opens the log.
    #[must_use]
    pub fn log_key(&self) -> Secret<32> {
        self.opened.keyring.log_key()
    }

    /// Serves until a signal, lets running streams finish, and closes the log.
    pub async fn run(self) -> Result<(), ServeError> {
        let Self {
            opened,
            trigger,
            mut tasks,
            snapshots,
            log,
            wait,
            signals,
            fenced,
            crew,
            ..
        } = self;
        let mut told = fenced.clone();
        let fault = futures_util::stream::once(async move {
            if told.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        let signals = futures_util::stream::select(signals, Box::pin(fault));
        let supervisor = tokio::spawn(supervise(trigger, wait, signals));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the gateway died");
            }
        }
        supervisor.abort();
        // Whatever the last request changed is in a snapshot now, if the store still answers.
        let (end, snapshots) = snapshots;
        end.stop();
        if tokio::time::timeout(wait, snapshots).await.is_err() {
            tracing::warn!("the last snapshot was not written in time");
        }
        opened.journal.close().await.map_err(OpenVaultError::from)?;
        // A round that is under way ends before the last one begins.
        let (log, keeping) = log;
        keeping.abort();
        log.finish().await;
        drop(crew);
        tracing::info!("stopped, the log is closed");
        let fault = *fenced.borrow();
        fault.map_or(Ok(()), |fault| Err(ServeError::Fenced(fault)))
    }
}

/// Waits for the custodians, where they keep the root, until a signal. Meanwhile nothing is served
/// but health: alive, and not ready.
async fn unseal(
    config: &Config,
    metrics: &Arc<Metrics>,
    signals: &mut Signals,
) -> Result<Option<OpenedRoot>, ServeError> {
    if config.keys.root != RootKind::Custodians {
        return Ok(None);
    }
    let sealed = Sealed::open(config)?;
    let seen = sealed.seen();
    let ready: Check = Arc::new(move || Err(seen.words()));
    let checks = Checks {
        needs: vec![("root", ready)],
        warnings: Vec::new(),
    };
    let ops = bind(config.ops.listen, None, Bounds::of_ops(), metrics).await?;
    let (trigger, shutdown) = channel();
    let health = tokio::spawn(ops.serve(ops_router(checks, Arc::clone(metrics)), shutdown));
    let socket = config.keys.unseal_socket.display();
    tracing::warn!(%socket, "sealed: each custodian runs `kluis unseal`");
    let stopped = async {
        let _signal = signals.next().await;
    };
    let waited = sealed.wait(stopped).await;
    trigger.stop();
    if let Err(error) = health.await {
        tracing::error!(%error, "health was not served while sealed");
    }
    Ok(Some(waited.map_err(OpenVaultError::from)?))
}

/// Asks the store for what Kluis needs of it.
async fn probe(opened: &Opened) -> Result<(), ServeError> {
    let probe = BlobId::random(opened.entropy.as_ref())?;
    opened.store.probe(probe).await.map_err(ServeError::Probe)
}

/// Asks the place of the log's volumes for its locks, where they are wanted.
async fn look_at_locks(config: &Config, environment: &Environment) -> Result<(), ServeError> {
    let (kind, worm) = (config.store.kind, config.volumes.worm);
    if kind == StoreKind::Local || worm == Worm::Off {
        return Ok(());
    }
    // A bucket of their own is made with locks before the first volume needs it.
    let volumes = match open_volumes(config, environment, true).await {
        Ok(volumes) => volumes,
        // Who only tries serves all the same: no read or write of a client needs that bucket.
        Err(error) if worm != Worm::Require => {
            tracing::warn!(%error, "the place of the log's volumes cannot be had");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    match prove_locks(config, &volumes, SystemClock.now()).await {
        Ok(told) => {
            demand_locks(config, &told)?;
            match told {
                Ok(mode) => tracing::info!(?mode, "the log's volumes are locked in the store"),
                Err(why) => tracing::info!(%why, "the log's volumes are not locked in the store"),
            }
        }
        Err(error) if worm == Worm::Require => return Err(ServeError::Probe(error)),
        Err(error) => tracing::warn!(%error, "whether the log's volumes are locked is not known"),
    }
    Ok(())
}

fn check_addresses(config: &Config) -> Result<(), ServeError> {
    let server = &config.server;
    let plain = server.tls_cert.is_none() || server.tls_key.is_none();
    if plain && !server.listen.ip().is_loopback() && server.plain_http == PlainHttp::Loopback {
        return Err(ServeError::PlainHttp {
            address: server.listen,
        });
    }
    if !config.ops.listen.ip().is_loopback() && !config.ops.allow_remote {
        return Err(ServeError::OpsRemote {
            address: config.ops.listen,
        });
    }
    Ok(())
}

fn edge_settings(config: &Config) -> S3Settings {
    S3Settings {
        region: config.server.region.clone(),
        domain: config.server.domain.clone(),
        source: "gateway".to_owned(),
        body_idle: config.limits.idle_timeout,
    }
}

fn open_tls(config: &Config) -> Result<Option<Arc<Tls>>, ServeError> {
    let server = &config.server;
    let (Some(certificate), Some(key)) = (&server.tls_cert, &server.tls_key) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Tls::load(
        certificate,
        key,
        server.tls_min_version,
    )?)))
}

/// The listener of S3, and the threads that serve what it accepts.
async fn bind_s3(
    config: &Config,
    tls: Option<Arc<Tls>>,
    metrics: &Arc<Metrics>,
) -> Result<(Listener, Arc<Crew>), ServeError> {
    let bounds = Bounds::from(&config.limits);
    let crew = Arc::new(Crew::of_cores().map_err(ServeError::Crew)?);
    let s3 = bind(config.server.listen, tls, bounds, metrics).await?;
    Ok((s3.by(Arc::clone(&crew)), crew))
}

async fn bind(
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    bounds: Bounds,
    metrics: &Arc<Metrics>,
) -> Result<Listener, ServeError> {
    Listener::bind(address, tls, bounds, Arc::clone(metrics))
        .await
        .map_err(|source| ServeError::Bind { address, source })
}

fn bound(listener: &Listener, address: SocketAddr) -> Result<SocketAddr, ServeError> {
    listener
        .address()
        .map_err(|source| ServeError::Bind { address, source })
}

/// What is looked at beside serving.
fn watched(opened: &Opened, config: &Config) -> Watched {
    Watched {
        journal: Arc::clone(&opened.journal),
        journal_dir: config.journal.dir.clone(),
        log: (config.proof.dir.clone(), Arc::clone(&opened.clock)),
        config: Arc::new(config.clone()),
        catalog: Arc::clone(&opened.catalog),
        store: Arc::clone(&opened.store),
    }
}

/// Tells the listener under which word an answer is counted.
fn counted(mut answer: http::Response<s3s::Body>) -> http::Response<s3s::Body> {
    if let Some(Served(operation)) = answer.extensions().get() {
        let operation = Operation(operation);
        answer.extensions_mut().insert(operation);
    }
    answer
}

fn spawn_listeners(
    tasks: &mut JoinSet<()>,
    (s3, edge): (Listener, S3Edge),
    (ops, checks): (Listener, Checks),
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
) {
    let ending = shutdown.clone();
    let service = MapResponse::new(edge, counted);
    tasks.spawn(async move { s3.serve(service, ending).await });
    let ending = shutdown.clone();
    let service = ops_router(checks, Arc::clone(metrics));
    tasks.spawn(async move { ops.serve(service, ending).await });
}

/// Looks at the ports' health and at the clock, again and again.
fn spawn_watches(
    tasks: &mut JoinSet<()>,
    (opened, config): (&Opened, &Config),
    health: &Arc<Health>,
    shutdown: &Shutdown,
) {
    tasks.spawn(health::watch(
        Arc::clone(health),
        watched(opened, config),
        shutdown.clone(),
    ));
    if config.keys.root == RootKind::Transit {
        tasks.spawn(keep_token(config.transit.clone(), shutdown.clone()));
    }
    let watching = (Arc::clone(&opened.vault), Arc::clone(&opened.clock));
    tasks.spawn(clock::watch(watching, Arc::clone(health), shutdown.clone()));
    tasks.spawn(store_clock::watch(
        (Arc::clone(&opened.vault), Arc::clone(&opened.store)),
        (Arc::clone(&opened.clock), Arc::clone(&opened.entropy)),
        Arc::clone(health),
        shutdown.clone(),
    ));
}

fn spawn_keepers(
    tasks: &mut JoinSet<()>,
    config: &Config,
    (vault, fault): (&Arc<Vault>, watch::Sender<Option<ChainFault>>),
    health: &Arc<Health>,
    shutdown: &Shutdown,
) -> LastTask {
    let ask = SweepAsk {
        grace_ms: millis(config.sweep.grace),
        upload_ms: millis(config.sweep.upload_age),
    };
    tasks.spawn(keep_uses(Arc::clone(vault), shutdown.clone()));
    tasks.spawn(work_on_keys(Arc::clone(vault), shutdown.clone()));
    tasks.spawn(pushes::tell(Arc::clone(vault), shutdown.clone()));
    let sender = Arc::new(pushes::Sender::new(config));
    tasks.spawn(pushes::push(Arc::clone(vault), sender, shutdown.clone()));
    if let Some(file) = config.identity.issuers.clone() {
        let interval = config.identity.reload_interval;
        let (vault, health) = (Arc::clone(vault), Arc::clone(health));
        let shutdown = shutdown.clone();
        tasks.spawn(issuers::watch(vault, file, interval, health, shutdown));
    }
    let interval = config.sweep.interval;
    tasks.spawn(sweep(Arc::clone(vault), ask, interval, shutdown.clone()));
    let interval = config.catalog.snapshot_interval;
    let (end, ending) = channel();
    let snapshots = Snapshots {
        vault: Arc::clone(vault),
        health: Arc::clone(health),
        fault,
    };
    let last = tokio::spawn(async move { snapshots.run(interval, ending).await });
    if let Some(dir) = config.policy.dir.clone() {
        tasks.spawn(policy_files::watch(
            Arc::clone(vault),
            dir,
            config.policy.reload_interval,
            Arc::clone(health),
            shutdown.clone(),
        ));
    }
    (end, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_under_its_operation() {
        let mut answer = http::Response::new(s3s::Body::empty());
        assert!(counted(answer).extensions().get::<Operation>().is_none());
        answer = http::Response::new(s3s::Body::empty());
        answer.extensions_mut().insert(Served("GetObject"));
        let operation = counted(answer).extensions().get::<Operation>().copied();
        assert_eq!(operation, Some(Operation("GetObject")));
    }

    #[tokio::test]
    async fn who_only_tries_to_lock_the_log_serves_without_its_bucket() {
        let environment = || {
            Environment::of(&[
                ("KLUIS_STORE_ACCESS_KEY_ID", "key"),
                ("KLUIS_STORE_SECRET_ACCESS_KEY", "secret"),
            ])
        };
        for (worm, serves) in [("off", true), ("try", true), ("require", false)] {
            // Nobody listens there.
            let text = format!(
                "[store]\nkind = \"s3\"\nendpoint = \"http://127.0.0.1:1\"\nbucket = \"blobs\"\n\
                 retries = 0\n[volumes]\nbucket = \"icu-log\"\nworm = \"{worm}\"\n"
            );
            let config = Config::parse(&text, std::path::Path::new("/vault")).unwrap();
            let looked = look_at_locks(&config, &environment()).await;
            assert_eq!(looked.is_ok(), serves, "{worm}: {looked:?}");
        }
    }
}
