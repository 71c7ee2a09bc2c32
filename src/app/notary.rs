//! The log beside the gateway: every interval what is durable is put under a checkpoint, and once
//! more when the journal is closed. No request waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::gate::settle;
use super::gateway::ServeError;
use super::health::Health;
use super::open::{Lane, OpenVaultError, Opened};
use crate::config::Config;
use crate::gate::StoreShelf;
use crate::journal::SharedJournal;
use crate::keyring::KeyRing;
use crate::notary::{
    DirShelf, Lane as Written, Made, Notary, NotaryError, NotaryKeys, NotaryParts, Rebuild, Shelf,
};
use crate::types::Clock;
use crate::types::limits::LOG_CHECKPOINT_LAG_WARN_MS;

/// The log's name: what the configuration says, or one made of the ring's fingerprint.
#[must_use]
pub fn log_origin(config: &Config, keyring: &KeyRing) -> String {
    let set = config.proof.origin.clone();
    set.unwrap_or_else(|| format!("kluis/{}", keyring.fingerprint()))
}

/// What the log is kept with.
#[must_use]
pub fn log_keys(keyring: &KeyRing) -> NotaryKeys {
    NotaryKeys {
        journal: keyring.log_key(),
        signing: keyring.log_signing_seed(),
        scopes: keyring.log_scope_key(),
        state: keyring.log_state_key(),
    }
}

/// The log of a running gateway.
#[derive(Clone)]
pub(super) struct LogKeeper {
    notary: Arc<Mutex<Notary>>,
    journal: SharedJournal,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
}

impl LogKeeper {
    /// Opens the log, or begins it. Where the store is the gate, it is made again from there first.
    pub(super) async fn open(
        opened: &Opened,
        config: &Config,
        health: &Arc<Health>,
    ) -> Result<Self, ServeError> {
        let (origin, keys) = (
            log_origin(config, &opened.keyring),
            log_keys(&opened.keyring),
        );
        let (gate, dir) = (opened.gate.clone(), config.proof.dir.clone());
        let journal = config.journal.dir.clone();
        let (clock, entropy) = (Arc::clone(&opened.clock), Arc::clone(&opened.entropy));
        let open = tokio::task::spawn_blocking(move || {
            let mut shelf: Box<dyn Shelf> = Box::new(DirShelf::keep(&dir)?);
            if let Some(gate) = &gate {
                let rebuild = Rebuild {
                    origin: &origin,
                    keys: &keys,
                };
                let kept = StoreShelf::open(gate, shelf, &rebuild);
                shelf = Box::new(kept.map_err(OpenVaultError::from)?);
            }
            let settle = gate.map(|gate| settle(&gate, &journal));
            let parts = NotaryParts {
                journal,
                origin,
                keys,
                shelf,
                settle,
                clock,
                entropy,
            };
            Ok::<_, ServeError>(Notary::open(parts)?)
        });
        let notary = open.await.map_err(|died| NotaryError::Internal {
            what: died.to_string(),
        })??;
        Ok(Self {
            notary: Arc::new(Mutex::new(notary)),
            journal: Arc::clone(&opened.journal),
            clock: Arc::clone(&opened.clock),
            health: Arc::clone(health),
        })
    }

    /// One round, on a thread that may block. `closed`: the journal of this process is closed, and
    /// its lane is read like those of others.
    async fn round(&self, closed: bool) -> Result<Option<Made>, NotaryError> {
        let (notary, journal) = (Arc::clone(&self.notary), Arc::clone(&self.journal));
        let round = tokio::task::spawn_blocking(move || {
            let mut notary = notary.lock().unwrap_or_else(PoisonError::into_inner);
            if closed {
                return notary.round(&[]);
            }
            // A journal in memory has nothing in a file: no lane of the disk is its own.
            let durable = Some(journal.durable()).filter(|durable| *durable > 0);
            let name = Lane::Gateway.name();
            let own = durable.map(|durable| Written { name, durable });
            notary.round(own.as_slice())
        });
        match round.await {
            Ok(made) => made,
            Err(died) => Err(NotaryError::Internal {
                what: died.to_string(),
            }),
        }
    }

    /// Rounds until there is nothing more to do.
    async fn catch_up(&self, closed: bool) -> Result<(), NotaryError> {
        while let Some(made) = self.round(closed).await? {
            let size = made.checkpoint.size;
            self.note(&made);
            tracing::debug!(records = made.records, size, "a checkpoint is signed");
            if !made.more {
                break;
            }
        }
        Ok(())
    }

    /// Counts how long the oldest record of a round waited for its checkpoint.
    fn note(&self, made: &Made) {
        let Some(oldest) = made.oldest else { return };
        let lag = Duration::from_millis(self.clock.now().since(oldest));
        self.health.metrics.log_checkpointed(lag);
        let most = Duration::from_millis(LOG_CHECKPOINT_LAG_WARN_MS);
        let late = || {
            format!(
                "the last checkpoint came {} s after its records",
                lag.as_secs()
            )
        };
        let seen = if lag > most { Err(late()) } else { Ok(()) };
        self.health.checkpoint.note(seen);
    }

    /// Begins to keep the log, until the handle is aborted.
    pub(super) fn start(self, interval: Duration) -> (Self, tokio::task::JoinHandle<()>) {
        let keeping = tokio::spawn(self.clone().run(interval));
        (self, keeping)
    }

    async fn run(self, interval: Duration) {
        let mut failing = false;
        loop {
            tokio::time::sleep(interval).await;
            match self.catch_up(false).await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, cause, "the log lags; the journal goes on");
                    }
                    failing = true;
                    let told = format!("the log does not grow: {error}");
                    self.health.checkpoint.note(Err(told));
                }
            }
        }
    }

    /// The last round, when the journal is closed.
    pub(super) async fn finish(&self) {
        if let Err(error) = self.catch_up(true).await {
            tracing::error!(%error, "the last records are not under a checkpoint yet");
        }
    }
}
