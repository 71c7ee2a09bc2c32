//! What the key ring did not do, each with a hint for the operator and no secret.

use std::io;
use std::path::PathBuf;

use super::root::{ShareRefused, SplitError};
use crate::seal::{OpenError, SealError};
use crate::types::EntropyError;

/// What the key ring did not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// A file or directory could not be used. At fault: the machine or its configuration.
    #[error("could not {doing}, check that it exists and that this user may use it: path=`{}`", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key file is there already; it is never overwritten.
    #[error("a key file is there already and is never overwritten, move it away if it is not needed: path=`{}`", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The dataset has no key: it was never made, or it was erased.
    #[error("the dataset has no key: it was never made or it was erased")]
    NotFound,
    /// A key file is not what was written: damaged, truncated, renamed, or of another vault.
    #[error("the key file is damaged or belongs elsewhere, restore it from the backup of the keys: path=`{}`", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The root identity is not the one that this ring was made for.
    #[error("this root identity does not open this key ring, give the one that root.pub names: path=`{}`", .path.display())]
    WrongRoot {
        /// The ring's file.
        path: PathBuf,
    },
    /// What should be a copy of this ring is the ring of another vault.
    #[error("this is another vault's key ring, not a copy of this one: name this vault's own in `keys.copies`: path=`{}`", .path.display())]
    OtherRing {
        /// That ring's file.
        path: PathBuf,
    },
    /// The file is no age identity file with exactly one X25519 identity.
    #[error("this is not an age identity file with one identity (AGE-SECRET-KEY-1...): path=`{}`", .path.display())]
    NotAnIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The identity file is encrypted and no passphrase was given.
    #[error("the identity file is encrypted, give its passphrase: path=`{}`", .path.display())]
    PassphraseNeeded {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase does not open the identity file, or the file is damaged.
    #[error("the passphrase does not open the identity file: path=`{}`", .path.display())]
    PassphraseWrong {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is empty.
    #[error("a passphrase is not empty")]
    PassphraseEmpty,
    /// The identity file asks for more scrypt work than is safe to do.
    #[error("the identity file asks for scrypt work of 2^{required}, encrypt it again with at most 2^{max}: path=`{}`", .path.display())]
    PassphraseWork {
        /// What the file asks for.
        required: u8,
        /// What is done at most.
        max: u8,
        /// The file.
        path: PathBuf,
    },
    /// The file says that its root is kept elsewhere, and not how.
    #[error("this is not the file of a root that is kept elsewhere, restore it from its backup: path=`{}`", .path.display())]
    NotARoot {
        /// The file.
        path: PathBuf,
    },
    /// What keeps the root gave back something else.
    #[error("what keeps the root gave back another one")]
    OtherRoot,
    /// A custodian's recipient is none.
    #[error("a custodian's recipient is an age recipient, age1...")]
    NotARecipient,
    /// A share's file does not open with what was given.
    #[error("the share does not open: give the identity or the passphrase that it was sealed with: path=`{}`", .path.display())]
    ShareLocked {
        /// The file.
        path: PathBuf,
    },
    /// A share is not taken.
    #[error("the share is refused")]
    Share(#[source] ShareRefused),
    /// The root cannot be split so.
    #[error("the root cannot be shared")]
    Split(#[source] SplitError),
    /// Everyone on the machine may look into the directory of the keys.
    #[error("every user of this machine may enter the directory of the keys, run chmod o-rwx on it: path=`{}`", .path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
    },
    /// More files lie in the directory of the datasets' keys than the vault has bounds for.
    #[error("the directory holds more key files than a vault may have: path=`{}`", .path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// A sealed secret is not what this ring sealed for this context. At fault: the catalog's host.
    #[error("a secret in the catalog did not authenticate")]
    Secret(#[source] OpenError),
    /// The machine gave no randomness.
    #[error("no key can be made without randomness")]
    Entropy(#[source] EntropyError),
    /// Sealing failed.
    #[error("a key could not be sealed")]
    Seal(#[source] SealError),
    /// age could not encrypt: a fault of this program.
    #[error("a key file could not be encrypted, please report this")]
    Encrypt(#[source] age::EncryptError),
}
