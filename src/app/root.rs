//! The root identity, behind whatever keeps it: a file, custodians, a key service, a token, a
//! plugin. `keys.root` says which, and a file of another kind is refused: nobody lowers what
//! protects the root by changing a file.

use std::sync::Arc;

use super::keeper::{self, Asking};
use super::open::{AskPassphrase, Asked, OpenVaultError};
use super::transit;
use super::unseal::{COMMAND_WAIT, Sealed};
use crate::config::{Config, Environment, RootKind, Variable, read_secret_file};
use crate::keyring::{
    Keeper, KeptRoot, KeyRing, RootFile, RootIdentity, Wrapped, file_needs_passphrase,
};

/// An open root, and what is to be put on record of how it was opened.
/// **Implements none of Debug, Clone.**
pub struct OpenedRoot {
    /// The identity.
    pub identity: RootIdentity,
    /// What happened on the way, in order; no secret.
    pub told: Vec<String>,
}

impl OpenedRoot {
    const fn quiet(identity: RootIdentity) -> Self {
        Self {
            identity,
            told: Vec::new(),
        }
    }
}

/// The kind that a root's file is of.
#[must_use]
pub const fn kind_of(file: &RootFile) -> RootKind {
    match file {
        RootFile::Identity => RootKind::File,
        RootFile::Kept(kept) => match kept.keeper() {
            Keeper::Custodians(_) => RootKind::Custodians,
            Keeper::Transit(_) => RootKind::Transit,
            Keeper::Pkcs11(_) => RootKind::Pkcs11,
            Keeper::Plugin(_) => RootKind::Plugin,
        },
    }
}

/// Looks at the root's file, which must be of the kind that the configuration names.
pub fn look_at_root(config: &Config) -> Result<RootFile, OpenVaultError> {
    let file = RootFile::look(&config.keys.identity)?;
    let (found, configured) = (kind_of(&file), config.keys.root);
    if found == configured {
        return Ok(file);
    }
    Err(OpenVaultError::RootKind {
        configured: configured.as_str(),
        found: found.as_str(),
    })
}

/// Opens the root identity. Where custodians keep it, this waits for them, within bounds.
pub async fn open_root(
    config: &Config,
    environment: &Environment,
    ask: AskPassphrase<'_>,
) -> Result<OpenedRoot, OpenVaultError> {
    match look_at_root(config)? {
        RootFile::Identity => from_file(config, environment, ask).map(OpenedRoot::quiet),
        RootFile::Kept(kept) => from_keeper(config, &kept, Asking { environment, ask }).await,
    }
}

/// Has what keeps a root open it.
pub(super) async fn from_keeper(
    config: &Config,
    kept: &KeptRoot,
    from: Asking<'_>,
) -> Result<OpenedRoot, OpenVaultError> {
    match kept.keeper() {
        Keeper::Custodians(_) => {
            let sealed = Sealed::open(config)?;
            let late = tokio::time::sleep(COMMAND_WAIT);
            Ok(sealed.wait(late).await?)
        }
        Keeper::Transit(Wrapped { wrapped }) => {
            let root = transit::open(&config.transit, (kept, wrapped)).await?;
            Ok(OpenedRoot::quiet(root))
        }
        Keeper::Pkcs11(Wrapped { wrapped }) => {
            let root = keeper::open(config, RootKind::Pkcs11, (kept, wrapped, from)).await?;
            Ok(OpenedRoot::quiet(root))
        }
        Keeper::Plugin(Wrapped { wrapped }) => {
            let root = keeper::open(config, RootKind::Plugin, (kept, wrapped, from)).await?;
            Ok(OpenedRoot::quiet(root))
        }
    }
}

/// Opens it from its file, with its passphrase from the environment, a file, or a person.
fn from_file(
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
        (None, None) => ask(Asked::Passphrase(path)),
    };
    let needed = || OpenVaultError::PassphraseNeeded { path: path.clone() };
    let passphrase = passphrase.ok_or_else(needed)?;
    Ok(RootIdentity::from_file(path, Some(&passphrase))?)
}

/// Opens the key ring.
pub async fn open_keys(
    config: &Config,
    environment: &Environment,
    ask: AskPassphrase<'_>,
) -> Result<Arc<KeyRing>, OpenVaultError> {
    open_ring(config, &open_root(config, environment, ask).await?)
}

/// Opens the key ring with a root that is open.
pub(super) fn open_ring(
    config: &Config,
    root: &OpenedRoot,
) -> Result<Arc<KeyRing>, OpenVaultError> {
    let ring = KeyRing::open(&config.keys.dir, &root.identity)?;
    let ring = ring.keeping(config.keys.copies.clone());
    if let Err(error) = ring.mend_copies() {
        // Reading needs no copy; whatever makes or destroys a key fails until it is there.
        tracing::error!(%error, "a copy of the keys cannot be kept: no key is made or destroyed");
    }
    Ok(Arc::new(ring))
}
