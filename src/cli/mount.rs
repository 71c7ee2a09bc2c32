//! `kluis mount`.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::net::UnixStream as Line;

use super::args::Mount;
use super::job;
use super::node::{gateway_of, newest, nothing_under, of_node, refuse};
use super::output::{CliError, Exit, Output};
use super::serve::runtime;
use super::{supervise, term};
use crate::app::system::{SystemClock, SystemEntropy, forbid_dumps};
use crate::app::{log, shutdown};
use crate::config::{Config, Environment};
use crate::mount::{MountAsk, Supervised, fuse_on, is_descriptor, serve};
use crate::node::{DiskCache, NodeError, Seen, Version, VersionAsk};
use crate::types::{BlobId, limits};

const MIB: u64 = 1024 * 1024;
/// Where root's mounts keep what they have seen.
const SEEN: &str = "/var/lib/kluis/seen";

/// Mounts a version until a signal or an unmount.
pub(super) fn run(
    ask: &Mount,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let usage = |error: &dyn std::error::Error| CliError::of(Exit::Usage, error);
    log::start(&Config::default().log, environment).map_err(|error| usage(&error))?;
    // Of the supervisor too: it holds the connection, through which whoever takes it answers reads.
    if let Err(error) = forbid_dumps() {
        tracing::warn!(%error, "this process may be dumped, with keys and plaintext");
    }
    let while_file = ask.while_file.as_deref();
    if !ask.worker {
        // One that follows another is ended in order instead.
        term::check(while_file, &SystemClock)?;
    }
    if ask.supervised && !ask.worker {
        if is_descriptor(&ask.directory) {
            let message = "a descriptor cannot be supervised: who mounted it holds it";
            return Err(CliError::new(Exit::Usage, message));
        }
        return supervise::run(&ask.directory, output);
    }
    if ask.worker {
        supervise::spare_less();
    }
    let supervisor = if ask.worker { Some(line()?) } else { None };
    let supervised = supervisor.as_ref().map(UnixStream::try_clone).transpose()?;
    let supervised = supervised.map(Supervised::begin).transpose()?;
    // Who goes on with a mount finds it there, and nobody yet who answers.
    let goes_on = supervised.as_ref().is_some_and(Supervised::resumes);
    if !is_descriptor(&ask.directory) && !goes_on {
        free(&ask.directory)?;
    }
    let mount = how(ask)?;
    runtime()?.block_on(async {
        let version = version(ask, environment).await?;
        let mut signals = shutdown::signals()?;
        let supervisor = supervisor.map(supervise::watched).transpose()?;
        let stop = async {
            tokio::select! {
                _ = signals.next() => {}
                () = supervisor_gone(supervisor.as_ref()) => {}
                () = term::over(while_file, &SystemClock) => {}
            }
        };
        let shown = ask.directory.display().to_string();
        let mounted = || output.note(&format!("mounted at {shown}"));
        let served = serve(Arc::new(version), mount, supervised, stop, mounted).await;
        served.map_err(|error| {
            // A place that root does not mount on is no matter of waiting.
            if error.kind() == std::io::ErrorKind::InvalidInput {
                return usage(&error)
                    .hint("mount it below directories of root's, or as that account");
            }
            refuse(&error).hint("/dev/fuse and fusermount3 (package fuse3) must be there")
        })
    })?;
    Ok(Exit::Done)
}

/// That a directory can be mounted on: it is there, and no mount of FUSE's already.
fn free(directory: &Path) -> Result<(), CliError> {
    let shown = directory.display();
    if let Ok(Some(kind)) = fuse_on(directory) {
        let message = format!("{shown} is a mount already ({kind})");
        return Err(CliError::new(Exit::Usage, message).hint(format!(
            "`fusermount3 -u {shown}` (root: `umount {shown}`) ends that one; another directory \
             takes another"
        )));
    }
    if !directory.is_dir() {
        let message = format!("{shown} is no directory");
        return Err(CliError::new(Exit::Usage, message).hint("`mkdir` makes one to mount on"));
    }
    Ok(())
}

/// How it is made.
fn how(ask: &Mount) -> Result<MountAsk, CliError> {
    let usage = |error: &dyn std::error::Error| CliError::of(Exit::Usage, error);
    let memory = usize::try_from(ask.memory.saturating_mul(MIB)).unwrap_or(usize::MAX);
    let unguessable = BlobId::random(&SystemEntropy::new()).map_err(|error| usage(&error))?;
    let cache_bytes = ask.cache_size.saturating_mul(MIB);
    let disk = ask
        .cache
        .as_ref()
        .map(|path| DiskCache::open(path, cache_bytes));
    let disk = disk
        .transpose()
        .map_err(|error| usage(&error).hint("--cache needs a directory that can be written"))?;
    Ok(MountAsk {
        disk,
        through_gateway: ask.through_gateway,
        random: unguessable.to_string(),
        directory: ask.directory.clone(),
        allow_other: ask.allow_other,
        direct: ask.direct_io,
        memory_bytes: memory,
        owner: (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        ),
        plan_writer: ask.plan_writer,
        reader: ask.reader,
    })
}

/// The line to the supervisor.
fn line() -> std::io::Result<UnixStream> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(UnixStream::from(input))
}

/// Returns when there is a supervisor no more; never where there was none.
async fn supervisor_gone(line: Option<&Line>) {
    match line {
        Some(line) => while let Ok(Some(_)) = supervise::hear_from(line).await {},
        None => std::future::pending().await,
    }
}

/// The version that is asked for, if this machine has not seen another in its place.
async fn version(ask: &Mount, environment: &Environment) -> Result<Version, CliError> {
    let (bucket, number) = ask.version.clone();
    let latest = number.is_none();
    let gateway = match job::of_node(&ask.on)? {
        Some(_) if latest => {
            let message = "a job's right is for one version: name its number";
            return Err(CliError::new(Exit::Usage, message));
        }
        Some(credentials) => job::gateway(credentials, ask.remote.io_timeout)?,
        None => gateway_of(&ask.remote, environment)?,
    };
    let gateway = Arc::new(gateway);
    let number = match number {
        Some(number) => number,
        None => newest(&gateway, &bucket).await?,
    };
    let wanted = VersionAsk {
        bucket,
        number,
        signer: ask.remote.signer,
        root: ask.root,
        prefix: ask.remote.prefix.clone(),
    };
    let hinted = |error: NodeError| refused(&error, ask);
    let version = Version::open(gateway, &wanted, limits::MOUNT_PAGES_BYTES)
        .await
        .map_err(hinted)?;
    if !wanted.prefix.is_empty() && version.is_empty().await.map_err(hinted)? {
        return Err(nothing_under(&wanted.prefix));
    }
    let no = |error: &dyn std::error::Error| CliError::of(Exit::No, error);
    let seen = match (&ask.seen, rustix::process::getuid().is_root()) {
        (Some(directory), _) => Some(Seen::at(directory.clone()).map_err(|error| no(&error))?),
        (None, true) => match Seen::at(Path::new(SEEN).to_owned()) {
            Ok(seen) => Some(seen),
            Err(error) => {
                tracing::warn!(%error, "which versions were seen is not kept");
                None
            }
        },
        (None, false) => None,
    };
    if let Some(seen) = seen {
        let told = (version.digest(), version.signer());
        let judged = seen.judge(version.root(), told, latest);
        judged.map_err(|error| no(&error))?;
    }
    Ok(version)
}

/// A version that cannot be opened, with what may mend that.
fn refused(error: &NodeError, ask: &Mount) -> CliError {
    let told = of_node(error);
    let hint = match error {
        NodeError::Refused(words) => {
            let code = words.split(':').next().unwrap_or_default();
            hint(code, ask.on.node.is_some())
        }
        NodeError::Integrity(_) if ask.root.is_some() || ask.remote.signer.is_some() => Some(
            "are --root and --signer those of this version? `kluis dataset versions` shows both; \
             if they are, what came is another one and is not to be read",
        ),
        NodeError::Absent
        | NodeError::Erased
        | NodeError::Integrity(_)
        | NodeError::Credential(_)
        | NodeError::Unreachable(_) => None,
    };
    match hint {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

/// What may mend a refusal by its code; of a job on this node, or of whoever signs by herself.
fn hint(code: &str, job: bool) -> Option<&'static str> {
    match (code, job) {
        ("JobOver", _) => Some(
            "a right is for one job: `kluis job submit` asks for the next one, and `kluis job \
             list` shows a person those of hers that wait or run",
        ),
        ("InvalidToken", true) => Some(
            "is this node enrolled, by this name and with this key? On the vault's host: `kluis \
             node list`",
        ),
        ("ExpiredToken", true) => Some("is this machine's clock right?"),
        ("AccessDenied", true) => Some(
            "a job's right is for one version, cluster and account (--account), and its person \
             must still be let read that version: `kluis job list`, by that person, shows the right",
        ),
        ("AccessDenied", false) => Some(
            "a mount takes the right to list and read the whole dataset; a right to a prefix \
             mounts what lies under it: --prefix PREFIX",
        ),
        ("InvalidAccessKeyId", false) => Some(
            "the credential is not known, or over: `kluis whoami` says whose is used, `kluis \
             login` makes a session",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_jobs_right_is_no_matter_of_a_prefix() {
        let codes = ["AccessDenied", "JobOver", "InvalidToken", "ExpiredToken"];
        for code in codes {
            let told = hint(code, true);
            assert!(
                told.is_some_and(|told| !told.contains("--prefix")),
                "{code}"
            );
        }
        assert!(hint("AccessDenied", false).is_some_and(|told| told.contains("--prefix PREFIX")));
        for code in ["NoSuchVersion", "GrantOver", "SlowDown", ""] {
            assert_eq!(
                (hint(code, true), hint(code, false)),
                (None, None),
                "{code}"
            );
        }
    }
}
