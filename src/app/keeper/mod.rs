//! A root identity that a token or an `age` plugin keeps. Both are code of others: a library of the
//! token's maker, a program. So each is spoken to in a process of its own (`child.rs`), which is
//! asked once, is given its time and no more, and ends; nothing of others is ever loaded beside the
//! ring.
//!
//! The PIN comes from the environment, a file, or a person, and goes through a pipe. One that
//! nobody has just typed is tried twice in a row at most (`tries.rs`).

mod child;
mod plugin;
mod run;
#[cfg(feature = "pkcs11")]
mod token;
mod tries;
mod words;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use child::serve_keeper;
pub use words::Refused;
use words::{Ask, Foreign, Told, Work};

use self::tries::Tries;
use super::open::{AskPassphrase, Asked};
use crate::config::{Config, Environment, RootKind, SecretError, Variable, read_secret_file};
use crate::keyring::{KeptRoot, KeyRingError, RootIdentity};
use crate::types::SecretText;

/// What this program calls itself with, as its own child.
pub(crate) const KEEPER: &str = "--keeper";
/// Neither side says more: a wrapped root, an identity's file, a PIN and paths.
const ASK_BYTES_MAX: usize = 48 * 1024;
/// How often it is looked whether another process is done with its PIN.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why a token or a plugin did not open the root, or did not take it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// It is not configured.
    #[error("`{key}` is not set")]
    Setting {
        /// Which key is missing.
        key: &'static str,
    },
    /// A file that it needs cannot be had: the PIN's or the identity's.
    #[error("what opens the keeper of the root cannot be had")]
    Secret(#[source] SecretError),
    /// A wrong PIN was tried as often as is done without a person.
    #[error("the PIN was refused before, and is not tried again without a person: {}", path.display())]
    Tries {
        /// The count.
        path: PathBuf,
    },
    /// The count of tries cannot be kept.
    #[error("the count of refused PINs cannot be kept")]
    Count(#[source] KeyRingError),
    /// The process that speaks to it did not start.
    #[error("the process that speaks to the keeper of the root failed")]
    Start(#[source] std::io::Error),
    /// Another process tries a PIN of it, and is not done.
    #[error("another process tries a PIN, and is not done seconds={}", wait.as_secs())]
    Busy {
        /// How long it was waited for.
        wait: Duration,
    },
    /// It did not answer in time.
    #[error("the keeper of the root did not answer seconds={}", wait.as_secs())]
    Late {
        /// How long it had.
        wait: Duration,
    },
    /// It died, or its answer is none.
    #[error("what speaks to the keeper of the root died or said nothing that is an answer")]
    Answer,
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What it opened is not the root.
    #[error("the keeper opened something else than this root")]
    Root(#[source] KeyRingError),
}

/// Where a PIN comes from.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The environment.
    pub environment: &'a Environment,
    /// A person, where one sits there.
    pub ask: AskPassphrase<'a>,
}

/// Has a root wrapped by the keeper of that kind: what its file is to hold.
pub(super) async fn wrap(
    config: &Config,
    kind: RootKind,
    (root, from): (&RootIdentity, Asking<'_>),
) -> Result<String, KeeperError> {
    let (secret, recipient) = (root.secret_text(), root.recipient());
    let speaker = Speaker::new(config, kind, from)?;
    let answer = speaker.ask(&recipient, &Asks::Wrap(&secret)).await?;
    match serde_json::from_slice(&answer) {
        Ok(Told::Wrapped(wrapped)) => Ok(wrapped.into_owned()),
        _other => Err(KeeperError::Answer),
    }
}

/// Has a root opened.
pub(super) async fn open(
    config: &Config,
    kind: RootKind,
    (kept, wrapped, from): (&KeptRoot, &str, Asking<'_>),
) -> Result<RootIdentity, KeeperError> {
    let speaker = Speaker::new(config, kind, from)?;
    let answer = speaker.ask(kept.recipient(), &Asks::Open(wrapped)).await?;
    match serde_json::from_slice(&answer) {
        Ok(Told::Opened(secret)) => {
            let opened = kept.open_with(secret.as_bytes());
            opened.map_err(KeeperError::Root)
        }
        _other => Err(KeeperError::Answer),
    }
}

/// What is asked, before there is a PIN.
enum Asks<'a> {
    Wrap(&'a str),
    Open(&'a str),
}

impl<'a> Asks<'a> {
    const fn work(&self) -> Work<'a> {
        match self {
            Self::Wrap(secret) => Work::Wrap(Cow::Borrowed(secret)),
            Self::Open(wrapped) => Work::Open(Cow::Borrowed(wrapped)),
        }
    }
}

/// A keeper as the configuration describes it.
struct Speaker<'a> {
    keeper: Foreign<'a>,
    dir: Option<&'a Path>,
    wait: Duration,
    pin_file: Option<&'a Path>,
    named: Cow<'a, str>,
    identity: &'a Path,
    from: Asking<'a>,
}

impl<'a> Speaker<'a> {
    fn new(config: &'a Config, kind: RootKind, from: Asking<'a>) -> Result<Self, KeeperError> {
        let missing = |key| KeeperError::Setting { key };
        let identity = config.keys.identity.as_path();
        if kind == RootKind::Pkcs11 {
            let token = &config.pkcs11;
            let module = token.module.as_deref();
            let label = token.token.as_deref();
            let label = label.ok_or_else(|| missing("pkcs11.token"))?;
            return Ok(Self {
                keeper: Foreign::Token {
                    module: Cow::Borrowed(module.ok_or_else(|| missing("pkcs11.module"))?),
                    label: Cow::Borrowed(label),
                    serial: token.serial.as_deref().map(Cow::Borrowed),
                    key: Cow::Borrowed(&token.key),
                },
                dir: None,
                wait: token.wait,
                pin_file: token.pin_file.as_deref(),
                named: Cow::Owned(format!("the token {label}")),
                identity,
                from,
            });
        }
        let plugin = &config.plugin;
        let file = plugin.identity.as_deref();
        let file = file.ok_or_else(|| missing("plugin.identity"))?;
        let plugins = read_identity(file).map_err(KeeperError::Secret)?;
        Ok(Self {
            keeper: Foreign::Plugin {
                identity: Cow::Owned(plugins),
                recipient: plugin.recipient.as_deref().map(Cow::Borrowed),
            },
            dir: plugin.dir.as_deref(),
            wait: plugin.wait,
            pin_file: plugin.pin_file.as_deref(),
            named: Cow::Borrowed("the plugin"),
            identity,
            from,
        })
    }

    /// Asks with the PIN that is at hand, and a person only if that is what is missing.
    async fn ask(
        &self,
        recipient: &str,
        asks: &Asks<'_>,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, KeeperError> {
        let pin = match self.from.environment.get(Variable::Pin) {
            Some(pin) => Some(pin),
            None => self.pin_of_file()?,
        };
        let tries = match pin {
            Some(_) => Some(self.tries().await?),
            None => None,
        };
        if let Some(tries) = tries.as_ref().filter(|tries| !tries.may_try()) {
            let path = tries.path().to_owned();
            return Err(KeeperError::Tries { path });
        }
        let told = self.try_pin(recipient, asks, pin.as_ref().zip(tries)).await;
        if !matches!(told, Err(KeeperError::Refused(Refused::PinMissing))) {
            return told;
        }
        let Some(pin) = (self.from.ask)(Asked::Pin(&self.named)) else {
            return told;
        };
        // Nobody waits for her while she types.
        let tries = self.tries().await?;
        self.try_pin(recipient, asks, Some((&pin, tries))).await
    }

    /// The count of tries, which no other process has until it is dropped.
    async fn tries(&self) -> Result<Tries, KeeperError> {
        let free = async {
            loop {
                let tries = Tries::take(self.identity).map_err(KeeperError::Count)?;
                if let Some(tries) = tries {
                    return Ok(tries);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(self.wait, free).await;
        waited.unwrap_or(Err(KeeperError::Busy { wait: self.wait }))
    }

    fn pin_of_file(&self) -> Result<Option<SecretText>, KeeperError> {
        let pin = self.pin_file.map(read_secret_file).transpose();
        pin.map_err(KeeperError::Secret)
    }

    /// One try. A PIN counts as refused until it is known that it was not; until then its count is
    /// no other process's.
    async fn try_pin(
        &self,
        recipient: &str,
        asks: &Asks<'_>,
        trying: Option<(&SecretText, Tries)>,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, KeeperError> {
        let (pin, tries) = trying.unzip();
        if let Some(tries) = &tries {
            tries.begin().map_err(KeeperError::Count)?;
        }
        let asked = Ask {
            keeper: self.keeper.clone(),
            pin: pin.map(|pin| Cow::Borrowed(pin.expose())),
            recipient: Cow::Borrowed(recipient),
            work: asks.work(),
        };
        let mut command = run::own();
        if let (Some(dir), Foreign::Plugin { identity, .. }) = (self.dir, &self.keeper) {
            plugin::see(identity, dir)?;
            command.env("PATH", dir);
        }
        let answer = run::ask(command, &asked, self.wait).await?;
        let refused = match serde_json::from_slice(&answer) {
            Ok(Told::Refused(refused)) => Some(refused),
            Ok(Told::Wrapped(_) | Told::Opened(_)) => None,
            Err(_no_answer) => return Err(KeeperError::Answer),
        };
        let counted = match (&refused, &tries) {
            (_, None) | (Some(Refused::PinWrong | Refused::Login(_)), _) => Ok(()),
            (None, Some(tries)) => tries.forget(),
            (Some(_), Some(tries)) => tries.undo(),
        };
        counted.map_err(KeeperError::Count)?;
        refused.map_or(Ok(answer), |refused| Err(refused.into()))
    }
}

/// The text of a plugin's identity; it opens nothing without its hardware, yet is nobody's else.
fn read_identity(path: &Path) -> Result<String, SecretError> {
    let failed = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes =
        crate::keyring::take_file(path).map_err(|error| failed(std::io::Error::other(error)))?;
    let bytes = bytes.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    let text = std::str::from_utf8(&bytes).ok();
    let text = text.filter(|text| text.len() <= IDENTITY_BYTES_MAX);
    text.map(ToOwned::to_owned)
        .ok_or_else(|| SecretError::Shape { path: path.into() })
}

/// An identity's file with its comments is never longer.
const IDENTITY_BYTES_MAX: usize = 16 * 1024;
