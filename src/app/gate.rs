//! Where the gate of the records is in the store: below `gate`, beside the blobs, so that no sweep
//! and no recovery takes its blobs for the vault's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::open::{Lane, LaneState, OpenVaultError, Opened, s3_config, try_lane};
use super::shutdown::Shutdown;
use super::system::{SystemClock, SystemEntropy};
use crate::config::{Config, Environment, GateKind, StoreKind};
use crate::gate::{Gate, GateError, GateParts, Stop};
use crate::journal::newest;
use crate::keyring::KeyRing;
use crate::notary::SettleLane;
use crate::store::SharedStore;
use crate::store::local::LocalStore;
use crate::store::s3::S3Store;
use crate::types::Secret;

/// How often it is looked whether files of the journal are full.
const LOOK: Duration = if cfg!(test) {
    Duration::from_millis(20)
} else {
    Duration::from_mins(1)
};

/// File systems that are gone with the machine: tmpfs, ramfs (linux/magic.h).
const FLEETING: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// The place, each time by connections of its own; nothing is asked yet.
fn place(config: &Config, environment: &Environment) -> Result<SharedStore, OpenVaultError> {
    if config.store.kind == StoreKind::Local {
        let path = config.store.path.join("gate");
        return Ok(Arc::new(LocalStore::open(&path, &SystemClock)?));
    }
    let mut s3 = s3_config(config, environment)?;
    s3.prefix.push_str("gate/");
    let entropy = Arc::new(SystemEntropy::new());
    Ok(Arc::new(S3Store::open(
        &s3,
        Arc::new(SystemClock),
        entropy,
    )?))
}

/// Refuses a directory in memory as what records are durable in.
fn not_fleeting(path: &Path) -> Result<(), GateError> {
    let stat = rustix::fs::statfs(path).map_err(|error| GateError::System(error.to_string()))?;
    let kind = u64::try_from(stat.f_type).unwrap_or(0);
    if FLEETING.contains(&kind) {
        return Err(GateError::Unfit {
            lacks: "it is a directory in memory, which is gone with the machine",
        });
    }
    Ok(())
}

/// Opens the gate in the store, where the configuration has one, and proves that the store is fit
/// for it. Blocks on the store.
pub fn open_gate(
    config: &Config,
    environment: &Environment,
    keyring: &KeyRing,
) -> Result<Option<Gate>, OpenVaultError> {
    if config.journal.gate == GateKind::Local {
        return Ok(None);
    }
    let parts = GateParts {
        store: place(config, environment)?,
        other: place(config, environment)?,
        key: keyring.log_key(),
        entropy: Arc::new(SystemEntropy::new()),
    };
    if config.store.kind == StoreKind::Local {
        not_fleeting(&config.store.path)?;
    }
    Ok(Some(Gate::open(parts)?))
}

/// Refuses a gateway without a gate in the store where the store holds one: what the directory
/// lacks would be missing, and what it writes the store would never learn.
pub(super) async fn none_left(
    config: &Config,
    environment: &Environment,
) -> Result<(), OpenVaultError> {
    if config.journal.gate != GateKind::Local {
        return Ok(());
    }
    let local = config.store.kind == StoreKind::Local;
    if local && !config.store.path.join("gate").is_dir() {
        return Ok(());
    }
    if place(config, environment)?.list(None, 1).await?.is_empty() {
        return Ok(());
    }
    Err(GateError::Left.into())
}

/// Brings a lane that this process does not write to one state with the store. One that another
/// process writes it brings there by itself.
pub(super) fn complete(config: &Config, gate: &Gate, lane: Lane) -> Result<(), OpenVaultError> {
    match try_lane(config, lane).map_err(|error| GateError::System(error.to_string()))? {
        LaneState::Held => Ok(()),
        LaneState::Kept(_lock) => Ok(gate.complete(&config.journal.dir, lane.name())?),
    }
}

/// Begins to put full files of the journal together in the store, where it is the gate.
pub(super) fn spawn_keep(
    tasks: &mut JoinSet<()>,
    (opened, config): (&Opened, &Config),
    shutdown: &Shutdown,
) {
    if let Some(gate) = opened.gate.clone() {
        let (dir, key) = (config.journal.dir.clone(), opened.keyring.log_key());
        tasks.spawn(keep(gate, (dir, key), shutdown.clone()));
    }
}

/// Puts full files of the journal together in the store, every minute. Nobody waits for it where
/// the gateway ends: what is cut short is taken up again by the next one.
async fn keep(gate: Gate, (journal, key): (PathBuf, Secret<32>), shutdown: Shutdown) {
    let (stopper, stop) = Stop::pair();
    let mut done = [None, None];
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.draining() => return,
        }
        for (lane, done) in [Lane::Gateway, Lane::Admin].into_iter().zip(&mut done) {
            let name = lane.name();
            let dir = journal.clone();
            if !dir.join(name).is_dir() {
                continue;
            }
            let now = newest(&dir, name, &key).ok().flatten();
            if now.is_none() || now == *done {
                continue;
            }
            let (gate, stop) = (gate.clone(), stop.clone());
            let mut work = tokio::task::spawn_blocking(move || gate.compact(&dir, name, &stop));
            let told = tokio::select! {
                told = &mut work => told,
                () = shutdown.draining() => {
                    stopper.stop();
                    work.await
                }
            };
            match told {
                Ok(Err(GateError::Stopped)) => return,
                Ok(Ok(files)) => {
                    *done = now;
                    tracing::debug!(files, name, "files of the journal are put together");
                }
                Ok(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, name, "full files stay in pieces in the store");
                }
                Err(error) => tracing::error!(%error, "a task of the gate died"),
            }
        }
    }
}

/// How a lane of others is settled before the log reads it; its lock is held by whoever asks.
pub(super) fn settle(gate: &Gate, dir: &Path) -> SettleLane {
    let (gate, dir) = (gate.clone(), dir.to_owned());
    Box::new(move |lane| gate.complete(&dir, lane))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
