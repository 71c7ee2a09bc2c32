//! Making a root identity, and giving it to what is to keep it.

use std::path::{Path, PathBuf};

use super::found::create_dir;
use super::keeper::{self, Asking};
use super::open::OpenVaultError;
use super::root::{OpenedRoot, from_keeper};
use super::system::SystemEntropy;
use super::transit;
use crate::config::{Config, RootKind};
use crate::keyring::{
    Keeper, KeptRoot, KeyRingError, RootIdentity, ScryptWork, ShareLock, Wrapped, split,
};
use crate::types::{PrincipalId, SecretText};

/// Among whom a root is shared.
pub struct Sharing {
    /// Each custodian with what her share is sealed with.
    pub custodians: Vec<(PrincipalId, ShareLock)>,
    /// How many of them open it.
    pub needed: u8,
    /// Where the files of the shares are put, `NAME.share`.
    pub dir: PathBuf,
}

impl Sharing {
    /// The file of one's share.
    #[must_use]
    pub fn file(&self, name: &PrincipalId) -> PathBuf {
        self.dir.join(format!("{name}.share"))
    }
}

/// What is to keep a new root.
pub enum NewRoot {
    /// Its file, with a passphrase or without.
    File(Option<SecretText>),
    /// Several persons.
    Custodians(Sharing),
    /// The key of a key service that the configuration names.
    Transit,
    /// The key on a token that the configuration names; made there if it is not.
    Pkcs11,
    /// The age plugin that the configuration names.
    Plugin,
}

impl NewRoot {
    /// The kind that the configuration names.
    #[must_use]
    pub const fn kind(&self) -> RootKind {
        match self {
            Self::File(_) => RootKind::File,
            Self::Custodians(_) => RootKind::Custodians,
            Self::Transit => RootKind::Transit,
            Self::Pkcs11 => RootKind::Pkcs11,
            Self::Plugin => RootKind::Plugin,
        }
    }

    /// Makes a root and its file; nothing that is there is overwritten.
    pub async fn make(
        &self,
        (config, from): (&Config, Asking<'_>),
        file: &Path,
    ) -> Result<OpenedRoot, OpenVaultError> {
        if file.exists() {
            return Err(KeyRingError::Exists { path: file.into() }.into());
        }
        let identity = RootIdentity::generate();
        let mut told = Vec::new();
        match self {
            Self::File(passphrase) => {
                identity.to_file(file, passphrase.as_ref(), ScryptWork::STANDARD)?;
            }
            Self::Custodians(sharing) => {
                let kept = share(&identity, sharing)?;
                kept.create(file)?;
                let names: Vec<&str> = sharing.custodians.iter().map(|(n, _)| n.as_str()).collect();
                told.push(format!(
                    "root shared, {} of {}: {}",
                    sharing.needed,
                    names.len(),
                    names.join(" ")
                ));
            }
            Self::Transit => {
                let wrapped = transit::wrap(&config.transit, &identity).await?;
                let keeper = Keeper::Transit(Wrapped { wrapped });
                tried((config, from), &identity, keeper)
                    .await?
                    .create(file)?;
            }
            Self::Pkcs11 => {
                let wrapped = keeper::wrap(config, RootKind::Pkcs11, (&identity, from)).await?;
                let keeper = Keeper::Pkcs11(Wrapped { wrapped });
                tried((config, from), &identity, keeper)
                    .await?
                    .create(file)?;
            }
            Self::Plugin => {
                let wrapped = keeper::wrap(config, RootKind::Plugin, (&identity, from)).await?;
                let keeper = Keeper::Plugin(Wrapped { wrapped });
                tried((config, from), &identity, keeper)
                    .await?
                    .create(file)?;
            }
        }
        Ok(OpenedRoot { identity, told })
    }
}

/// What is to stand in a root's file; that it opens is known before anything is sealed under it.
async fn tried(
    (config, from): (&Config, Asking<'_>),
    root: &RootIdentity,
    keeper: Keeper,
) -> Result<KeptRoot, OpenVaultError> {
    let kept = KeptRoot::new(root, keeper);
    drop(from_keeper(config, &kept, from).await?);
    Ok(kept)
}

/// Splits a root and writes the files of the shares, all of them before its own: a root without the
/// shares that open it is lost.
fn share(root: &RootIdentity, sharing: &Sharing) -> Result<KeptRoot, OpenVaultError> {
    let names: Vec<PrincipalId> = sharing.custodians.iter().map(|(n, _)| n.clone()).collect();
    let entropy = SystemEntropy::new();
    let (quorum, shares) =
        split(root, sharing.needed, &names, &entropy).map_err(KeyRingError::Split)?;
    create_dir(&sharing.dir).map_err(|source| KeyRingError::Io {
        doing: "make the directory of the shares",
        path: sharing.dir.clone(),
        source,
    })?;
    for name in &names {
        let path = sharing.file(name);
        if path.exists() {
            return Err(KeyRingError::Exists { path }.into());
        }
    }
    for ((name, lock), share) in sharing.custodians.iter().zip(&shares) {
        share.to_file(&sharing.file(name), lock)?;
    }
    Ok(KeptRoot::new(root, Keeper::Custodians(quorum)))
}
