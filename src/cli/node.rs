//! Commands that work on published versions over the network, as a node does, and what differs
//! between two of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::Remote;
use super::output::{CliError, Exit, Output};
use super::remote::not_there;
use super::serve::runtime;
use super::way;
use crate::app::system::SystemClock;
use crate::config::{Environment, Variable};
use crate::manifest::{Entry, FileEntry};
use crate::node::{Credentials, CredentialsError, Gateway, NodeError, Version, VersionAsk};
use crate::types::{BucketName, Clock, limits};

/// How differences are shown.
pub(super) const COLUMNS: [&str; 3] = ["change", "key", "bytes"];

/// An error of a node's, in words.
pub(super) fn refuse(error: &dyn std::error::Error) -> CliError {
    CliError::of(Exit::Unavailable, error)
}

pub(super) fn of_node(error: &NodeError) -> CliError {
    let exit = match error {
        NodeError::Absent | NodeError::Erased | NodeError::Refused(_) | NodeError::Integrity(_) => {
            Exit::No
        }
        NodeError::Unreachable(_) => Exit::Unavailable,
        NodeError::Credential(_) => Exit::Usage,
    };
    let told = CliError::of(exit, error);
    match error {
        NodeError::Unreachable(_) => {
            let hint = not_there(told.message());
            told.hint(hint)
        }
        NodeError::Absent
        | NodeError::Erased
        | NodeError::Refused(_)
        | NodeError::Credential(_)
        | NodeError::Integrity(_) => told,
    }
}

/// A prefix that no key of a version begins with: a slip, and no part that is empty.
pub(super) fn nothing_under(prefix: &str) -> CliError {
    let told = format!("nothing of the version lies under {prefix}");
    CliError::new(Exit::No, told).hint("--prefix is what keys begin with, as `adults/`")
}

/// Opens a version at the gateway that a credential names.
pub(super) async fn open(
    remote: &Remote,
    ask: VersionAsk,
    environment: &Environment,
    pages_bytes: usize,
) -> Result<Version, CliError> {
    let gateway = Arc::new(gateway_of(remote, environment)?);
    let opened = Version::open(gateway, &ask, pages_bytes).await;
    opened.map_err(|error| of_node(&error))
}

/// The number of a dataset's newest version.
#[cfg(feature = "mount")]
pub(super) async fn newest(gateway: &Gateway, bucket: &BucketName) -> Result<u32, CliError> {
    let newest = Version::newest(gateway, bucket).await;
    newest.map_err(|error| of_node(&error))
}

/// The gateway of whoever signs: by the credential that is named, by the session of `kluis login`,
/// or by what the environment has.
pub(super) fn gateway_of(remote: &Remote, environment: &Environment) -> Result<Gateway, CliError> {
    let patience = Duration::from_secs(remote.io_timeout);
    let file = way::found(remote.credentials.as_deref(), environment)?;
    gateway_by(credentials(file.as_deref(), environment)?, patience)
}

/// The credential in a file, or else in the environment.
pub(super) fn credentials(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<Arc<Credentials>, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let found = match path {
        // A credential's file is made on the vault's host; what is trusted here this machine says.
        Some(path) => Credentials::of_file(path, &clock)
            .map(|found| found.trusting(variable(environment, "AWS_CA_BUNDLE").map(Into::into))),
        None => Credentials::of_variables(&|name| variable(environment, name), &clock),
    };
    found.map(Arc::new).map_err(|error| {
        let told = CliError::of(Exit::Usage, &error);
        match error {
            CredentialsError::Missing(name) => {
                told.hint(format!("--credentials names a file that has {name}"))
            }
            CredentialsError::Unreadable { .. } => {
                told.hint("--credentials names a file as `kluis credential create` makes it")
            }
            CredentialsError::Exposed { .. }
            | CredentialsError::Foreign { .. }
            | CredentialsError::InClear { .. } => told,
        }
    })
}

/// The gateway that a credential names.
pub(super) fn gateway_by(
    credentials: Arc<Credentials>,
    patience: Duration,
) -> Result<Gateway, CliError> {
    let gateway = Gateway::new(credentials, Arc::new(SystemClock), patience);
    gateway.map_err(|error| CliError::of(Exit::Usage, &error))
}

fn variable(environment: &Environment, name: &str) -> Option<String> {
    let known = Variable::ALL
        .into_iter()
        .find(|known| known.name() == name)?;
    let value = environment.get(known)?;
    Some(value.expose().to_owned())
}

pub(super) fn asked(remote: &Remote, (bucket, number): &(BucketName, u32)) -> VersionAsk {
    VersionAsk {
        bucket: bucket.clone(),
        number: *number,
        signer: remote.signer,
        root: None,
        prefix: remote.prefix.clone(),
    }
}

/// An object of a version.
pub(super) struct Object {
    pub(super) file: FileEntry,
    /// Whether no directory can show its name.
    pub(super) hidden: bool,
}

/// Every object of a version by its key.
pub(super) async fn objects(version: &Version) -> Result<BTreeMap<String, Object>, NodeError> {
    let mut all = BTreeMap::new();
    for number in 0..version.index().pages().len() {
        let page = version.page(number).await?;
        for entry in (0..page.len()).filter_map(|at| page.get(at)) {
            if let (Entry::File(file), Some(key)) = (entry.entry()?, entry.key()) {
                let hidden = entry.is_hidden();
                all.insert(key, Object { file, hidden });
            }
        }
    }
    Ok(all)
}

/// Says what differs between two versions.
pub(super) fn diff(
    (from, to): (&(BucketName, u32), &(BucketName, u32)),
    remote: &Remote,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let pages = limits::MOUNT_PAGES_BYTES;
    // One for both: a token may be good for one session.
    let gateway = Arc::new(gateway_of(remote, environment)?);
    let (old, new) = runtime()?.block_on(async {
        let open = async |version: &(BucketName, u32)| {
            let ask = asked(remote, version);
            let opened = Version::open(Arc::clone(&gateway), &ask, pages).await;
            opened.map_err(|error| of_node(&error))
        };
        let (old, new) = (open(from).await?, open(to).await?);
        let old = objects(&old).await.map_err(|error| of_node(&error))?;
        let new = objects(&new).await.map_err(|error| of_node(&error))?;
        Ok::<_, CliError>((old, new))
    })?;
    if !remote.prefix.is_empty() && old.is_empty() && new.is_empty() {
        return Err(nothing_under(&remote.prefix));
    }
    let mut rows = Vec::new();
    let mut push = |change: &str, key: &str, object: &Object| {
        let bytes = object.file.bytes.to_string();
        rows.push([change.to_owned(), key.to_owned(), bytes]);
    };
    for (key, was) in &old {
        match new.get(key) {
            None => push("removed", key, was),
            Some(now) if now.file.version != was.file.version => push("changed", key, now),
            Some(_) => {}
        }
    }
    for (key, now) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        push("added", key, now);
    }
    rows.sort_by(|a, b| a[1].cmp(&b[1]));
    let same = rows.is_empty();
    output.rows(COLUMNS, &rows)?;
    Ok(if same { Exit::Done } else { Exit::No })
}
