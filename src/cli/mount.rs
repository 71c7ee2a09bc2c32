//! `kluis mount`.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::args::Mount;
use super::job;
use super::node::{open, open_with, refuse};
use super::output::{CliError, Exit, Output};
use super::serve::runtime;
use crate::app::{log, shutdown};
use crate::config::{Config, Environment};
use crate::mount::{MountAsk, serve};
use crate::node::VersionAsk;
use crate::types::limits;

const MIB: u64 = 1024 * 1024;

/// Mounts a version until a signal or an unmount.
pub(super) fn run(
    ask: &Mount,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let usage = |error: &dyn std::error::Error| CliError::of(Exit::Usage, error);
    log::start(&Config::default().log, environment).map_err(|error| usage(&error))?;
    let (bucket, number) = ask.version.clone();
    let wanted = VersionAsk {
        bucket,
        number,
        signer: ask.remote.signer,
        root: ask.root,
    };
    let memory = usize::try_from(ask.memory.saturating_mul(MIB)).unwrap_or(usize::MAX);
    let mount = MountAsk {
        directory: ask.directory.clone(),
        allow_other: ask.allow_other,
        direct: ask.direct_io,
        memory_bytes: memory,
        owner: (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        ),
    };
    runtime()?.block_on(async {
        let pages = limits::MOUNT_PAGES_BYTES;
        let version = match job::of_node(&ask.on)? {
            Some(credentials) => open_with(credentials, &ask.remote, wanted, pages).await?,
            None => open(&ask.remote, wanted, environment, pages).await?,
        };
        let mut signals = shutdown::signals()?;
        let stop = async {
            signals.next().await;
        };
        let shown = ask.directory.display().to_string();
        let mounted = || output.note(&format!("mounted at {shown}"));
        let served = serve(Arc::new(version), mount, stop, mounted).await;
        served.map_err(|error| {
            refuse(&error).hint("/dev/fuse and fusermount3 (package fuse3) must be there")
        })
    })?;
    Ok(Exit::Done)
}
