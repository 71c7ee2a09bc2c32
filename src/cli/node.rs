//! Commands that work on published versions over the network, as a node does: compare and verify.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::args::Remote;
use super::output::{CliError, Exit, Output};
use super::remote::AT_ADDRESS;
use super::serve::runtime;
use super::way;
use super::words::count;
use crate::app::system::SystemClock;
use crate::config::{Environment, Variable};
use crate::manifest::{Entry, FileEntry};
use crate::node::{Credentials, Gateway, NodeError, Version, VersionAsk};
use crate::types::{BucketName, Clock, limits};

/// How differences are shown.
const COLUMNS: [&str; 3] = ["change", "key", "bytes"];

/// An error of a node's, in words.
pub(super) fn refuse(error: &dyn std::error::Error) -> CliError {
    CliError::of(Exit::Unavailable, error)
}

fn of_node(error: &NodeError) -> CliError {
    let exit = match error {
        NodeError::Absent | NodeError::Refused(_) | NodeError::Integrity(_) => Exit::No,
        NodeError::Unreachable(_) => Exit::Unavailable,
    };
    let told = CliError::of(exit, error);
    match error {
        NodeError::Unreachable(_) => told.hint(AT_ADDRESS),
        NodeError::Absent | NodeError::Refused(_) | NodeError::Integrity(_) => told,
    }
}

/// Opens a version at the gateway that a credential names.
pub(super) async fn open(
    remote: &Remote,
    ask: VersionAsk,
    environment: &Environment,
    pages_bytes: usize,
) -> Result<Version, CliError> {
    let gateway = Arc::new(gateway_of(remote, environment)?);
    open_at(gateway, &ask, pages_bytes).await
}

/// Opens a version at this gateway.
pub(super) async fn open_at(
    gateway: Arc<Gateway>,
    ask: &VersionAsk,
    pages_bytes: usize,
) -> Result<Version, CliError> {
    let opened = Version::open(gateway, ask, pages_bytes).await;
    opened.map_err(|error| of_node(&error))
}

/// The number of a dataset's newest version.
#[cfg(feature = "mount")]
pub(super) async fn newest(gateway: &Gateway, bucket: &BucketName) -> Result<u32, CliError> {
    let newest = Version::newest(gateway, bucket).await;
    newest.map_err(|error| of_node(&error))
}

/// The gateway of who signs: by the credential that is named, by the session of `kluis login`, or
/// by what the environment has.
pub(super) fn gateway_of(remote: &Remote, environment: &Environment) -> Result<Gateway, CliError> {
    let patience = Duration::from_secs(remote.io_timeout);
    let credentials = way::found(remote.credentials.as_deref(), environment)?;
    gateway(credentials.as_deref(), environment, patience)
}

/// The gateway that a credential names, in a file or else in the environment.
pub(super) fn gateway(
    credentials: Option<&Path>,
    environment: &Environment,
    patience: Duration,
) -> Result<Gateway, CliError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let credentials = match credentials {
        Some(path) => Credentials::of_file(path, &clock),
        None => Credentials::of_variables(&|name| variable(environment, name), &clock),
    };
    let usage = |error: &dyn std::error::Error| CliError::of(Exit::Usage, error);
    let credentials = credentials
        .map_err(|error| usage(&error).hint("--credentials names a file that has it"))?;
    Gateway::new(credentials, clock, patience).map_err(|error| usage(&error))
}

fn variable(environment: &Environment, name: &str) -> Option<String> {
    let known = Variable::ALL
        .into_iter()
        .find(|known| known.name() == name)?;
    let value = environment.get(known)?;
    Some(value.expose().to_owned())
}

fn asked(remote: &Remote, (bucket, number): &(BucketName, u32)) -> VersionAsk {
    VersionAsk {
        bucket: bucket.clone(),
        number: *number,
        signer: remote.signer,
        root: None,
        prefix: remote.prefix.clone(),
    }
}

/// Every object of a version by its key.
async fn files(version: &Version) -> Result<BTreeMap<String, FileEntry>, NodeError> {
    let mut all = BTreeMap::new();
    for number in 0..version.index().pages().len() {
        let page = version.page(number).await?;
        for entry in (0..page.len()).filter_map(|at| page.get(at)) {
            if let (Entry::File(file), Some(key)) = (entry.entry()?, entry.key()) {
                all.insert(key, file);
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
    let (old, new) = runtime()?.block_on(async {
        let old = open(remote, asked(remote, from), environment, pages).await?;
        let new = open(remote, asked(remote, to), environment, pages).await?;
        let old = files(&old).await.map_err(|error| of_node(&error))?;
        let new = files(&new).await.map_err(|error| of_node(&error))?;
        Ok::<_, CliError>((old, new))
    })?;
    let mut rows = Vec::new();
    for (key, file) in &old {
        match new.get(key) {
            None => rows.push(["removed".to_owned(), key.clone(), file.bytes.to_string()]),
            Some(now) if now.version != file.version => {
                rows.push(["changed".to_owned(), key.clone(), now.bytes.to_string()]);
            }
            Some(_) => {}
        }
    }
    for (key, file) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        rows.push(["added".to_owned(), key.clone(), file.bytes.to_string()]);
    }
    rows.sort_by(|a, b| a[1].cmp(&b[1]));
    let same = rows.is_empty();
    output.rows(COLUMNS, &rows)?;
    Ok(if same { Exit::Done } else { Exit::No })
}

/// Compares a directory with a version.
pub(super) fn verify(
    version: &(BucketName, u32),
    (directory, remote): (&Path, &Remote),
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    if !directory.is_dir() {
        let told = format!("{} is no directory", directory.display());
        return Err(CliError::new(Exit::Usage, told).hint("it is what is held against the version"));
    }
    let pages = limits::MOUNT_PAGES_BYTES;
    let expected = runtime()?.block_on(async {
        let opened = open(remote, asked(remote, version), environment, pages).await?;
        files(&opened).await.map_err(|error| of_node(&error))
    })?;
    let mut rows = Vec::new();
    let mut unsure = 0_u64;
    for (key, file) in &expected {
        let bytes = file.bytes.to_string();
        match compare(&directory.join(key), file)? {
            Compared::Same => {}
            Compared::Unsure => unsure = unsure.saturating_add(1),
            Compared::Missing => rows.push(["missing".to_owned(), key.clone(), bytes]),
            Compared::Differs => rows.push(["differs".to_owned(), key.clone(), bytes]),
        }
    }
    surplus(directory, (&expected, &remote.prefix), &mut rows)?;
    let same = rows.is_empty();
    output.rows(COLUMNS, &rows)?;
    if same {
        let objects = count(expected.len(), "object is", "objects are");
        output.note(&format!("{objects} as the version says"));
    }
    if unsure > 0 {
        output.note(&format!(
            "of {unsure} no checksum is known: their lengths are right"
        ));
    }
    Ok(if same { Exit::Done } else { Exit::No })
}

enum Compared {
    Same,
    /// As long as it should be, and no checksum is known.
    Unsure,
    Missing,
    Differs,
}

fn compare(path: &Path, expected: &FileEntry) -> Result<Compared, CliError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(Compared::Missing);
    };
    if !metadata.is_file() || metadata.len() != expected.bytes {
        return Ok(Compared::Differs);
    }
    let Some(crc64) = expected.crc64 else {
        return Ok(Compared::Unsure);
    };
    let mut file = File::open(path)?;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; limits::STORE_BATCH_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        digest.update(buffer.get(..count).unwrap_or_default());
    }
    Ok(if digest.finalize() == crc64 {
        Compared::Same
    } else {
        Compared::Differs
    })
}

/// Files of the directory that the version does not have, as far as they would be in the part that
/// is asked for. Symbolic links are not followed.
fn surplus(
    top: &Path,
    (expected, prefix): (&BTreeMap<String, FileEntry>, &str),
    rows: &mut Vec<[String; 3]>,
) -> Result<(), CliError> {
    let mut left: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                left.push(path);
                continue;
            }
            let below = path.strip_prefix(top).unwrap_or(&path);
            let key = below.to_string_lossy().into_owned();
            if key.starts_with(prefix) && !expected.contains_key(&key) {
                let bytes = entry.metadata()?.len().to_string();
                rows.push(["surplus".to_owned(), key, bytes]);
            }
        }
    }
    Ok(())
}
