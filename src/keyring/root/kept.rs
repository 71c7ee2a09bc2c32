//! The file of a root identity that a passphrase alone does not keep: what stands in it, strictly
//! read. It is no secret; without what it names it opens nothing.
//!
//! ```text
//! kluis-root = 1
//! recipient = "age1…"            the public half: what is opened must be this identity
//! [custodians]                   set, how many are needed, each one's name and sum
//! [transit]                      wrapped: the root as a key service encrypted it
//! [pkcs11]                       wrapped: the root as a token's key encrypted it
//! [plugin]                       wrapped: the root as an age file for a plugin, in base64
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::shares::{Gathering, Quorum, Share};
use super::{RootIdentity, ScryptWork, decrypt, encrypt, is_encrypted, secret_string};
use crate::keyring::{KeyRingError, files};
use crate::types::SecretText;
use crate::types::limits::WRAPPED_ROOT_BYTES_MAX;

/// The only version of the file.
const VERSION: u8 = 1;
/// How such a file begins; no identity file does.
const HEAD: &str = "# Root identity of a Kluis vault, kept elsewhere: docs/keys.md\n";

/// What keeps a root identity.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Keeper {
    /// Several persons, of whom some are needed.
    Custodians(Quorum),
    /// A key of a key service.
    Transit(Wrapped),
    /// A key on a PKCS#11 token.
    Pkcs11(Wrapped),
    /// An age plugin.
    Plugin(Wrapped),
}

/// What something made of a root that opens it again.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// As it was told; printable ASCII.
    pub wrapped: String,
}

impl Wrapped {
    fn is_whole(&self) -> bool {
        let bytes = self.wrapped.as_bytes();
        (1..=WRAPPED_ROOT_BYTES_MAX).contains(&bytes.len())
            && bytes.iter().all(u8::is_ascii_graphic)
    }
}

/// A root identity that its file does not hold.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct KeptRoot {
    #[serde(rename = "kluis-root")]
    version: u8,
    recipient: String,
    #[serde(flatten)]
    keeper: Keeper,
}

/// What a file of a root identity is.
#[derive(Debug)]
#[non_exhaustive]
pub enum RootFile {
    /// An age identity, plain or with a passphrase.
    Identity,
    /// Kept elsewhere.
    Kept(KeptRoot),
}

impl RootFile {
    /// Looks at a file.
    pub fn look(path: &Path) -> Result<Self, KeyRingError> {
        let bytes = files::read(path)?;
        if !bytes.starts_with(HEAD.as_bytes()) {
            return Ok(Self::Identity);
        }
        KeptRoot::from_bytes(&bytes)
            .map(Self::Kept)
            .ok_or_else(|| KeyRingError::NotARoot { path: path.into() })
    }
}

impl KeptRoot {
    /// What stands in the file of a root that is kept so.
    #[must_use]
    pub fn new(root: &RootIdentity, keeper: Keeper) -> Self {
        Self {
            version: VERSION,
            recipient: root.recipient(),
            keeper,
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Self = toml::from_str(std::str::from_utf8(bytes).ok()?).ok()?;
        let whole = match &kept.keeper {
            Keeper::Custodians(quorum) => quorum.is_whole(),
            Keeper::Transit(wrapped) | Keeper::Pkcs11(wrapped) | Keeper::Plugin(wrapped) => {
                wrapped.is_whole()
            }
        };
        // One spelling only: what is not what we would write is not read.
        (kept.version == VERSION && whole && kept.to_text()?.as_bytes() == bytes).then_some(kept)
    }

    fn to_text(&self) -> Option<String> {
        let text = toml::to_string(self).ok()?;
        Some(format!("{HEAD}{text}"))
    }

    /// Writes a new file; one that is there is never overwritten.
    pub fn create(&self, path: &Path) -> Result<(), KeyRingError> {
        let refused = || KeyRingError::NotARoot { path: path.into() };
        files::create(path, self.to_text().ok_or_else(refused)?.as_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// What keeps it.
    #[must_use]
    pub const fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Begins to gather the custodians' shares; nothing where it has none.
    #[must_use]
    pub fn gather(&self) -> Option<Gathering> {
        match &self.keeper {
            Keeper::Custodians(quorum) => {
                Some(Gathering::new(quorum.clone(), self.recipient.clone()))
            }
            Keeper::Transit(_) | Keeper::Pkcs11(_) | Keeper::Plugin(_) => None,
        }
    }

    /// Takes what the keeper opened: it is this root or nothing.
    pub(crate) fn open_with(&self, secret: &[u8]) -> Result<RootIdentity, KeyRingError> {
        RootIdentity::from_secret_text(secret)
            .filter(|root| root.recipient() == self.recipient)
            .ok_or(KeyRingError::OtherRoot)
    }
}

/// What a custodian's share is sealed with.
pub enum ShareLock {
    /// Her own age identity, by its public half, `age1…`.
    Recipient(String),
    /// A passphrase.
    Passphrase(SecretText, ScryptWork),
}

impl Share {
    /// Writes it to a new file, sealed for its custodian; `age -d` opens it too.
    pub fn to_file(&self, path: &Path, lock: &ShareLock) -> Result<(), KeyRingError> {
        let text = self.to_text();
        let plain = text.expose().as_bytes();
        let sealed = match lock {
            ShareLock::Recipient(recipient) => {
                let to: age::x25519::Recipient = recipient
                    .parse()
                    .map_err(|_bech32: &str| KeyRingError::NotARecipient)?;
                encrypt(&to, plain)?
            }
            ShareLock::Passphrase(passphrase, work) => {
                if passphrase.expose().is_empty() {
                    return Err(KeyRingError::PassphraseEmpty);
                }
                let mut to = age::scrypt::Recipient::new(secret_string(passphrase));
                to.set_work_factor(work.0);
                encrypt(&to, plain)?
            }
        };
        files::create(path, &sealed)
    }
}

/// Whether `text` is an age recipient that a share can be sealed for.
#[must_use]
pub fn is_recipient(text: &str) -> bool {
    text.parse::<age::x25519::Recipient>().is_ok()
}

/// What opens a share's file.
pub enum ShareKey<'a> {
    /// The custodian's identity.
    Identity(&'a RootIdentity),
    /// Her passphrase.
    Passphrase(&'a SecretText),
}

/// Opens a share's file: its text. A file that is not sealed is a share's text itself.
pub fn open_share(path: &Path, key: Option<&ShareKey<'_>>) -> Result<SecretText, KeyRingError> {
    let bytes = files::read(path)?;
    let plain = if is_encrypted(&bytes) {
        let opened = match key {
            None => return Err(KeyRingError::ShareLocked { path: path.into() }),
            Some(ShareKey::Identity(identity)) => identity.decrypt(&bytes),
            Some(ShareKey::Passphrase(passphrase)) => {
                let mut identity = age::scrypt::Identity::new(secret_string(passphrase));
                identity.set_max_work_factor(ScryptWork::MAX.0);
                decrypt(&identity, &bytes)
            }
        };
        opened.map_err(|_age| KeyRingError::ShareLocked { path: path.into() })?
    } else {
        bytes
    };
    let text = std::str::from_utf8(&plain)
        .map_err(|_binary| KeyRingError::Share(super::shares::ShareRefused::Damaged))?;
    Ok(SecretText::new(text.trim().to_owned()))
}
