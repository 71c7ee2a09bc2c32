//! The root identity: an age identity (X25519) in a file, plain or encrypted with a passphrase, or
//! kept elsewhere (`kept.rs`), by custodians (`shares.rs`). `age-keygen` makes plain files too, and
//! `age -d` opens the encrypted ones.

mod kept;
mod shares;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_shares;

use std::io::{Read as _, Write as _};
use std::iter;
use std::path::Path;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};
pub use kept::{
    Keeper, KeptRoot, RootFile, ShareKey, ShareLock, Wrapped, is_recipient, open_share,
};
pub use shares::{Gathered, Gathering, Quorum, Share, ShareRefused, SplitError, split};
use zeroize::Zeroizing;

use crate::keyring::{KeyRingError, files};
use crate::types::SecretText;

/// How age files begin.
const AGE_MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// How an identity's line begins.
const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-1";

/// How much work a passphrase costs who guesses it: scrypt with N = 2^n, r = 8, p = 1.
///
/// Always set by us: age's own choice measures the machine at that moment, and a busy one chooses
/// a work factor that is far too small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScryptWork(u8);

impl ScryptWork {
    /// 2^18: 256 MiB, as the age command does.
    pub const STANDARD: Self = Self(18);
    /// The most that a file may ask for, 2^22: 4 GiB and a few seconds.
    pub const MAX: Self = Self(22);

    /// 2^`log2`, 1 to 22. **Less than [`Self::STANDARD`] is for tests only.**
    #[must_use]
    pub const fn log2(log2: u8) -> Option<Self> {
        if log2 >= 1 && log2 <= Self::MAX.0 {
            Some(Self(log2))
        } else {
            None
        }
    }
}

/// What opens a key ring, held by the vault's custodians.
/// **Implements none of Debug, Display, Clone, Serialize.**
///
/// ```compile_fail
/// fn print(root: &kluis::keyring::RootIdentity) { println!("{root:?}"); }
/// ```
/// ```compile_fail
/// fn copy(root: &kluis::keyring::RootIdentity) -> kluis::keyring::RootIdentity { root.clone() }
/// ```
#[non_exhaustive]
pub enum RootIdentity {
    /// A key that a file holds.
    File(FileIdentity),
}

/// A root identity whose key is in this process' memory while it opens the ring.
pub struct FileIdentity(x25519::Identity);

impl RootIdentity {
    /// Makes a new identity from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::File(FileIdentity(x25519::Identity::generate()))
    }

    /// Writes the identity to a new file of mode 0600, encrypted if there is a passphrase. A file
    /// that is there already is never overwritten.
    pub fn to_file(
        &self,
        path: &Path,
        passphrase: Option<&SecretText>,
        work: ScryptWork,
    ) -> Result<(), KeyRingError> {
        let text = self.to_text();
        let Some(passphrase) = passphrase else {
            return files::create(path, text.as_bytes());
        };
        if passphrase.expose().is_empty() {
            return Err(KeyRingError::PassphraseEmpty);
        }
        let mut recipient = scrypt::Recipient::new(secret_string(passphrase));
        recipient.set_work_factor(work.0);
        files::create(path, &encrypt(&recipient, text.as_bytes())?)
    }

    /// Reads an identity file. A passphrase given for a plain file is passed over.
    pub fn from_file(path: &Path, passphrase: Option<&SecretText>) -> Result<Self, KeyRingError> {
        let bytes = files::read(path)?;
        if !is_encrypted(&bytes) {
            return Self::from_text(&bytes, path);
        }
        let needed = || KeyRingError::PassphraseNeeded { path: path.into() };
        let mut identity = scrypt::Identity::new(secret_string(passphrase.ok_or_else(needed)?));
        identity.set_max_work_factor(ScryptWork::MAX.0);
        let text = decrypt(&identity, &bytes).map_err(|cause| {
            let path = path.into();
            if let DecryptError::ExcessiveWork { required, .. } = cause {
                let max = ScryptWork::MAX.0;
                return KeyRingError::PassphraseWork {
                    required,
                    max,
                    path,
                };
            }
            // Encrypted, but to no passphrase.
            if matches!(cause, DecryptError::NoMatchingKeys) {
                return KeyRingError::NotAnIdentity { path };
            }
            KeyRingError::PassphraseWrong { path }
        })?;
        Self::from_text(&text, path)
    }

    /// The public half, `age1...`: who has it can encrypt to this identity.
    #[must_use]
    pub fn recipient(&self) -> String {
        let Self::File(FileIdentity(identity)) = self;
        identity.to_public().to_string()
    }

    /// Encrypts to this identity's public half.
    pub(super) fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, KeyRingError> {
        let Self::File(FileIdentity(identity)) = self;
        encrypt(&identity.to_public(), plain)
    }

    /// Opens what was encrypted to this identity.
    pub(super) fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let Self::File(FileIdentity(identity)) = self;
        decrypt(identity, sealed)
    }

    /// The identity as text without its comments: what is kept elsewhere.
    pub(crate) fn secret_text(&self) -> Zeroizing<String> {
        let Self::File(FileIdentity(identity)) = self;
        Zeroizing::new(identity.to_string().expose_secret().to_owned())
    }

    /// Reads what [`Self::secret_text`] gave.
    fn from_secret_text(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let identity = text.parse().ok()?;
        Some(Self::File(FileIdentity(identity)))
    }

    /// The text of an identity file, as `age-keygen` writes it.
    fn to_text(&self) -> Zeroizing<String> {
        let Self::File(FileIdentity(identity)) = self;
        let secret = identity.to_string();
        let head = "# root identity of a Kluis vault; without it no dataset can be opened\n";
        let public = format!("# public key: {}\n", self.recipient());
        let parts = [head, &public, secret.expose_secret(), "\n"];
        // The room is exact: a string that grew would leave the key in the memory it left.
        let room = parts.iter().map(|part| part.len()).sum();
        let mut text = Zeroizing::new(String::with_capacity(room));
        for part in parts {
            text.push_str(part);
        }
        text
    }

    /// Reads comments, empty lines and exactly one identity.
    fn from_text(bytes: &[u8], path: &Path) -> Result<Self, KeyRingError> {
        let refused = || KeyRingError::NotAnIdentity { path: path.into() };
        let text = std::str::from_utf8(bytes).map_err(|_binary| refused())?;
        let mut lines = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (lines.next(), lines.next()) {
            (Some(line), None) if line.starts_with(IDENTITY_PREFIX) => line
                .parse()
                .map(|identity| Self::File(FileIdentity(identity)))
                .map_err(|_not_bech32: &str| refused()),
            _ => Err(refused()),
        }
    }
}

/// Whether an identity file is encrypted with a passphrase.
pub fn file_needs_passphrase(path: &Path) -> Result<bool, KeyRingError> {
    files::read(path).map(|bytes| is_encrypted(&bytes))
}

fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(AGE_MAGIC)
}

fn secret_string(text: &SecretText) -> SecretString {
    SecretString::from(text.expose().to_owned())
}

/// Encrypts to any recipient, a plugin's too.
pub(crate) fn encrypt(recipient: &dyn Recipient, plain: &[u8]) -> Result<Vec<u8>, KeyRingError> {
    let encryptor =
        Encryptor::with_recipients(iter::once(recipient)).map_err(KeyRingError::Encrypt)?;
    let written = |cause| KeyRingError::Encrypt(age::EncryptError::Io(cause));
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(written)?;
    writer.write_all(plain).map_err(written)?;
    writer.finish().map_err(written)?;
    Ok(sealed)
}

/// Opens with any identity, a plugin's too.
pub(crate) fn decrypt(
    identity: &dyn Identity,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let decryptor = Decryptor::new_buffered(sealed)?;
    let mut reader = decryptor.decrypt(iter::once(identity))?;
    // The plaintext is shorter than its file: the buffer never grows, which would leave a copy.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain).map_err(DecryptError::Io)?;
    Ok(plain)
}
