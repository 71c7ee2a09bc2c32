//! A process that waits for its custodians: it listens on a socket of this machine, which only its
//! own user and root may use, and takes one share at a time.
//!
//! Each connection says one line and hears one. Shares that are refused are counted, and too many
//! end the wait, with nothing opened. What was said is kept for the log, which cannot be written
//! before the root is open; until then it goes to the operator's log.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::OpenVaultError;
use super::root::{OpenedRoot, look_at_root};
use crate::config::Config;
use crate::keyring::{Gathered, Gathering, RootFile, ShareRefused};
use crate::types::SecretText;
use crate::types::limits::{SHARE_BYTES_MAX, SHARES_REFUSED_MAX};

/// How long a command waits for its custodians; a gateway waits until it is stopped.
pub(super) const COMMAND_WAIT: Duration = Duration::from_mins(10);
/// How long a connection may take to say its line and hear the answer.
const LINE_TIME: Duration = Duration::from_secs(5);
/// An answer is never longer.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;
/// What asks how far the custodians are.
const ASK: &str = "state";

/// Why a root stays sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnsealError {
    /// The socket cannot be used.
    #[error("the socket for the custodians' shares cannot be used: {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process waits at the socket.
    #[error("another process waits for the custodians at {}", path.display())]
    Busy {
        /// Where.
        path: PathBuf,
    },
    /// Nobody waits at the socket.
    #[error("nothing waits for shares at {}", path.display())]
    Nobody {
        /// Where.
        path: PathBuf,
    },
    /// Too many shares were refused.
    #[error("{SHARES_REFUSED_MAX} shares were refused; the root stays sealed")]
    Refused,
    /// The custodians did not come in time, or the process was stopped.
    #[error("the custodians did not come have={have} needed={needed}")]
    Waited {
        /// How many did.
        have: usize,
        /// How many are needed.
        needed: u8,
    },
    /// What answered is not a process that waits.
    #[error("the answer at the socket {} is none", path.display())]
    Answer {
        /// Where.
        path: PathBuf,
    },
}

/// How far the custodians are, in one answer.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// What became of the share: `sealed` (none was said), `taken`, `open` or `refused`.
    pub state: String,
    /// Whose it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custodian: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many shares are here.
    pub have: usize,
    /// How many are needed.
    pub needed: u8,
    /// All custodians.
    pub custodians: Vec<String>,
}

/// A process that waits.
pub struct Sealed {
    listener: UnixListener,
    path: PathBuf,
    gathering: Gathering,
    refused: usize,
    told: Vec<String>,
    seen: Seen,
}

/// What is seen of it from outside, for `/readyz`.
#[derive(Clone)]
pub(super) struct Seen(Arc<Mutex<(usize, u8)>>);

impl Seen {
    pub(super) fn words(&self) -> String {
        let (have, needed) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("sealed: {have} of {needed} shares are here; each custodian runs `kluis unseal`")
    }
}

impl Sealed {
    /// Begins to wait at the socket that the configuration names.
    pub fn open(config: &Config) -> Result<Self, OpenVaultError> {
        let kept = match look_at_root(config)? {
            RootFile::Kept(kept) => kept.gather(),
            RootFile::Identity => None,
        };
        let gathering = kept.ok_or(OpenVaultError::RootKind {
            configured: "custodians",
            found: "file",
        })?;
        let path = config.keys.unseal_socket.clone();
        let listener = listen(&path)?;
        let needed = gathering.quorum().needed();
        Ok(Self {
            listener,
            path,
            gathering,
            refused: 0,
            told: Vec::new(),
            seen: Seen(Arc::new(Mutex::new((0, needed)))),
        })
    }

    /// What is seen of it from outside.
    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Waits until enough shares are here, or `end` comes.
    pub async fn wait(mut self, end: impl Future<Output = ()>) -> Result<OpenedRoot, UnsealError> {
        tokio::pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut end => {
                    let needed = self.gathering.quorum().needed();
                    return Err(UnsealError::Waited { have: self.gathering.have(), needed });
                }
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(source) => return Err(socket(&self.path, source)),
            };
            if let Some(root) = self.serve(stream).await {
                return Ok(root);
            }
            if self.refused >= SHARES_REFUSED_MAX {
                return Err(UnsealError::Refused);
            }
        }
    }

    /// One connection: a line and its answer.
    async fn serve(&mut self, mut stream: UnixStream) -> Option<OpenedRoot> {
        let own = rustix::process::getuid().as_raw();
        let peer = stream.peer_cred().map(|peer| peer.uid());
        if !peer.is_ok_and(|uid| uid == own || uid == 0) {
            tracing::warn!("another user of this machine asked to unseal");
            return None;
        }
        let line = timeout(LINE_TIME, read_line(&mut stream)).await;
        let Ok(Ok(line)) = line else {
            return None;
        };
        let (told, root) = self.take(line.expose());
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = (told.have, told.needed);
        let mut answer = serde_json::to_vec(&told).unwrap_or_default();
        answer.push(b'\n');
        if timeout(LINE_TIME, stream.write_all(&answer)).await.is_err() {
            tracing::debug!("whoever unsealed did not wait for the answer");
        }
        root
    }

    /// What a line does.
    fn take(&mut self, line: &str) -> (Told, Option<OpenedRoot>) {
        let names = self.gathering.quorum().names();
        let mut told = Told {
            state: "sealed".to_owned(),
            custodian: None,
            why: None,
            have: self.gathering.have(),
            needed: self.gathering.quorum().needed(),
            custodians: names.iter().map(ToString::to_string).collect(),
        };
        if line == ASK {
            return (told, None);
        }
        let added = self.gathering.add(line);
        told.have = self.gathering.have();
        match added {
            Ok(Gathered::More { name, have }) => {
                self.note(format!("share of {name} taken, {have} of {}", told.needed));
                "taken".clone_into(&mut told.state);
                told.custodian = Some(name.to_string());
                (told, None)
            }
            Ok(Gathered::Open { name, root }) => {
                let number = told.needed;
                self.note(format!("share of {name} taken, {number} of {number}: open"));
                "open".clone_into(&mut told.state);
                told.custodian = Some(name.to_string());
                let opened = OpenedRoot {
                    identity: root,
                    told: std::mem::take(&mut self.told),
                };
                (told, Some(opened))
            }
            Err(why) => {
                self.refused = self.refused.saturating_add(1);
                self.note(format!("share refused: {why}"));
                "refused".clone_into(&mut told.state);
                told.custodian = whose(&why);
                told.why = Some(why.to_string());
                (told, None)
            }
        }
    }

    /// At most as many as shares are taken and refused: both are bounded.
    fn note(&mut self, what: String) {
        tracing::warn!(what, "unsealing");
        self.told.push(what);
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket for shares was gone already");
        }
    }
}

fn whose(refused: &ShareRefused) -> Option<String> {
    match refused {
        ShareRefused::Wrong { name } | ShareRefused::Twice { name } => Some(name.to_string()),
        ShareRefused::Damaged
        | ShareRefused::OtherSet
        | ShareRefused::Nobody
        | ShareRefused::OtherRoot => None,
    }
}

fn socket(path: &Path, source: io::Error) -> UnsealError {
    UnsealError::Socket {
        path: path.to_owned(),
        source,
    }
}

/// Listens, in the place of a socket that a process left behind.
fn listen(path: &Path) -> Result<UnixListener, UnsealError> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(UnsealError::Busy { path: path.into() });
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if std::os::unix::fs::FileTypeExt::is_socket(&there.file_type()) => {
            std::fs::remove_file(path).map_err(|source| socket(path, source))?;
        }
        Ok(_other) => return Err(socket(path, io::ErrorKind::AlreadyExists.into())),
        Err(_absent) => {}
    }
    let listener = UnixListener::bind(path).map_err(|source| socket(path, source))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(|source| socket(path, source))?;
    Ok(listener)
}

/// A line of at most a share's length; the buffer never grows, which would leave a copy.
async fn read_line(stream: &mut UnixStream) -> io::Result<SecretText> {
    let mut bytes = Zeroizing::new([0_u8; SHARE_BYTES_MAX + 1]);
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let read = stream.read(rest).await?;
        have = have.saturating_add(read);
        let line = bytes.get(..have).unwrap_or_default();
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let text = std::str::from_utf8(line.get(..end).unwrap_or_default());
            let text = text.map_err(|_binary| io::Error::from(io::ErrorKind::InvalidData))?;
            return Ok(SecretText::new(text.to_owned()));
        }
        if read == 0 {
            break;
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Hands a share over to the process that waits, or asks how far it is.
pub async fn hand_over(path: &Path, share: Option<&SecretText>) -> Result<Told, UnsealError> {
    let stream = UnixStream::connect(path).await.map_err(|source| {
        let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        if nobody.contains(&source.kind()) {
            return UnsealError::Nobody { path: path.into() };
        }
        socket(path, source)
    })?;
    let asking = async {
        let (reads, mut writes) = stream.into_split();
        writes
            .write_all(share.map_or(ASK, SecretText::expose).as_bytes())
            .await?;
        writes.write_all(b"\n").await?;
        let mut line = String::new();
        BufReader::new(reads.take(ANSWER_BYTES_MAX))
            .read_line(&mut line)
            .await?;
        Ok::<_, io::Error>(line)
    };
    let line = timeout(LINE_TIME.saturating_mul(2), asking).await;
    let line = line.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
    let line = line.map_err(|source| socket(path, source))?;
    serde_json::from_str(&line).map_err(|_no_answer| UnsealError::Answer { path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::system::SystemEntropy;
    use crate::keyring::{Keeper, KeptRoot, RootIdentity, Share, split};

    struct Place {
        config: Config,
        shares: Vec<Share>,
        recipient: String,
        _dir: tempfile::TempDir,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let toml = "[keys]\nroot = 'custodians'\nunseal_socket = 's'";
        let config = Config::parse(toml, dir.path()).unwrap();
        let root = RootIdentity::generate();
        let names = ["ana", "bob", "cas"].map(|name| name.parse().unwrap());
        let (quorum, shares) = split(&root, 2, &names, &SystemEntropy::new()).unwrap();
        let kept = KeptRoot::new(&root, Keeper::Custodians(quorum));
        kept.create(&config.keys.identity).unwrap();
        Place {
            config,
            shares,
            recipient: root.recipient(),
            _dir: dir,
        }
    }

    #[tokio::test]
    async fn two_of_three_open_it_and_all_that_was_said_is_told() {
        let place = place();
        let path = place.config.keys.unseal_socket.clone();
        assert!(matches!(
            hand_over(&path, None).await,
            Err(UnsealError::Nobody { .. })
        ));
        let sealed = Sealed::open(&place.config).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let seen = sealed.seen();
        let busy = Sealed::open(&place.config).map(|_| ());
        assert!(matches!(
            busy,
            Err(OpenVaultError::Unseal(UnsealError::Busy { .. }))
        ));
        let waiting = tokio::spawn(sealed.wait(std::future::pending()));
        let first = hand_over(&path, None).await.unwrap();
        assert_eq!(
            (first.state.as_str(), first.have, first.needed),
            ("sealed", 0, 2)
        );
        assert_eq!(first.custodians.len(), 3);
        let wrong = SecretText::new("KLUIS-SHARE-1:x".to_owned());
        let told = hand_over(&path, Some(&wrong)).await.unwrap();
        assert_eq!((told.state.as_str(), told.have), ("refused", 0));
        let told = hand_over(&path, Some(&place.shares[2].to_text()))
            .await
            .unwrap();
        assert_eq!((told.state.as_str(), told.have), ("taken", 1));
        assert!(seen.words().contains("1 of 2"));
        let told = hand_over(&path, Some(&place.shares[2].to_text()))
            .await
            .unwrap();
        assert_eq!((told.state.as_str(), told.have), ("refused", 1));
        assert_eq!(told.custodian.unwrap(), "cas");
        let told = hand_over(&path, Some(&place.shares[0].to_text()))
            .await
            .unwrap();
        assert_eq!(told.state, "open");
        let root = waiting
            .await
            .unwrap()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(root.identity.recipient(), place.recipient);
        assert_eq!(root.told.len(), 4, "{:?}", root.told);
        assert!(!root.told.iter().any(|told| told.contains("KLUIS-SHARE")));
        assert!(!path.exists(), "nothing waits any more");
    }

    #[tokio::test]
    async fn tries_are_bounded_and_leave_it_sealed() {
        let place = place();
        let path = place.config.keys.unseal_socket.clone();
        let sealed = Sealed::open(&place.config).unwrap();
        let waiting = tokio::spawn(sealed.wait(std::future::pending()));
        // One that says nothing, or too much, holds nobody up and counts for nothing.
        drop(UnixStream::connect(&path).await.unwrap());
        let mut long = UnixStream::connect(&path).await.unwrap();
        long.write_all(&[b'a'; SHARE_BYTES_MAX + 1]).await.unwrap();
        let mut rest = Vec::new();
        let _cut = long.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        for at in 0..SHARES_REFUSED_MAX {
            let guess = SecretText::new(format!("guess {at}"));
            assert_eq!(
                hand_over(&path, Some(&guess)).await.unwrap().state,
                "refused"
            );
        }
        assert!(matches!(waiting.await.unwrap(), Err(UnsealError::Refused)));
        assert!(matches!(
            hand_over(&path, None).await,
            Err(UnsealError::Nobody { .. })
        ));
    }

    #[tokio::test]
    async fn the_end_leaves_it_sealed_and_what_was_left_behind_is_taken_over() {
        let place = place();
        let path = place.config.keys.unseal_socket.clone();
        let ended = Sealed::open(&place.config)
            .unwrap()
            .wait(std::future::ready(()))
            .await;
        let waited = ended.map(|_| ());
        assert!(matches!(
            waited,
            Err(UnsealError::Waited { have: 0, needed: 2 })
        ));
        // As a process leaves it that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Sealed::open(&place.config).unwrap());
        std::fs::write(&path, "a file").unwrap();
        let told = Sealed::open(&place.config).map(|_| ());
        assert!(matches!(
            told,
            Err(OpenVaultError::Unseal(UnsealError::Socket { .. }))
        ));
        assert!(path.exists(), "what is no socket stays");
    }

    #[tokio::test]
    async fn a_root_of_another_kind_is_refused() {
        let place = place();
        let mut config = place.config.clone();
        config.keys.root = crate::config::RootKind::File;
        let told = look_at_root(&config);
        assert!(matches!(
            told,
            Err(OpenVaultError::RootKind {
                found: "custodians",
                ..
            })
        ));
        std::fs::remove_file(&config.keys.identity).unwrap();
        let plain = RootIdentity::generate();
        let work = crate::keyring::ScryptWork::STANDARD;
        plain.to_file(&config.keys.identity, None, work).unwrap();
        let told = Sealed::open(&place.config).map(|_| ());
        assert!(matches!(
            told,
            Err(OpenVaultError::RootKind { found: "file", .. })
        ));
    }
}
