//! A node's own identity, and the job that it vouches for: what it states to the gateway, signed
//! by its key (a JSON Web Token, RFC 7519, as RFC 7523 section 3 uses them), and good for a minute.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use zeroize::Zeroizing;

use super::credentials::{CredentialsError, read, variable};
use crate::types::{Clock, Entropy, SecretText, limits};
use crate::wire::{JobSession, JobStatement};

/// Whom statements are for.
const AUDIENCE: &str = "kluis";
/// For how long one is good, in seconds.
const SECONDS: u64 = 60;

/// What a node's file names.
const NODE: &str = "KLUIS_NODE";
const KEY: &str = "KLUIS_NODE_KEY";
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const CA: &str = "AWS_CA_BUNDLE";
const REGION: &str = "AWS_REGION";

/// A node's name and key, and where its gateway is.
pub struct NodeIdentity {
    name: String,
    key: Ed25519KeyPair,
    pub(super) endpoint: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) region: String,
}

/// A new identity: what the node keeps, and what an operator enrols.
pub struct NewNode {
    /// The file's text.
    pub text: SecretText,
    /// The public key, in base64.
    pub public: String,
}

/// The job that runs here, as the scheduler names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobName {
    /// The right's name, `person/id`.
    pub job: String,
    /// The scheduler's number of the job.
    pub number: String,
    /// Under which account of the cluster it runs.
    pub account: String,
}

/// What a node states of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// It starts here, or goes on.
    Start,
    /// It has ended here.
    End,
    /// It has ended here and will start again.
    Again,
}

impl NewNode {
    /// Draws a key.
    pub fn draw(
        name: &str,
        endpoint: &str,
        ca_file: Option<&Path>,
        entropy: &dyn Entropy,
    ) -> Result<Self, CredentialsError> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        entropy
            .fill(seed.as_mut())
            .map_err(|_no_entropy| CredentialsError::Missing(KEY))?;
        let key = pair(seed.as_ref())?;
        let seed = Zeroizing::new(BASE64.encode(seed.as_ref()));
        let mut text = format!("{NODE}={name}\n{ENDPOINT}={endpoint}\n{KEY}={}\n", *seed);
        if let Some(path) = ca_file {
            text = format!("{text}{CA}={}\n", path.display());
        }
        Ok(Self {
            text: SecretText::new(text),
            public: BASE64.encode(key.public_key().as_ref()),
        })
    }
}

fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, CredentialsError> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_no_key| CredentialsError::Missing(KEY))
}

impl NodeIdentity {
    /// Out of the file that `kluis node init` wrote.
    pub fn of_file(path: &Path) -> Result<Self, CredentialsError> {
        let (metadata, text) = read(path)?;
        let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner != 0 && owner != own {
            return Err(CredentialsError::Foreign {
                path: path.to_owned(),
            });
        }
        let needs =
            |name: &'static str| variable(&text, name).ok_or(CredentialsError::Missing(name));
        let seed = Zeroizing::new(needs(KEY)?);
        let seed = BASE64.decode(seed.as_bytes()).map(Zeroizing::new);
        let seed = seed.map_err(|_not_base64| CredentialsError::Missing(KEY))?;
        Ok(Self {
            name: needs(NODE)?,
            key: pair(&seed)?,
            endpoint: needs(ENDPOINT)?,
            ca_file: variable(&text, CA).map(PathBuf::from),
            region: variable(&text, REGION).unwrap_or_else(|| "kluis".into()),
        })
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A statement about a job, good once and for a minute.
    pub fn state(
        &self,
        (act, job): (Act, &JobName),
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<String, CredentialsError> {
        let mut random = [0_u8; 16];
        entropy
            .fill(&mut random)
            .map_err(|_no_entropy| CredentialsError::Missing("randomness"))?;
        let act = match act {
            Act::Start => "start",
            Act::End => "end",
            Act::Again => "again",
        };
        let now = clock.now().seconds();
        let claims = json!({
            "iss": self.name, "aud": AUDIENCE, "sub": job.job, "iat": now,
            "exp": now.saturating_add(SECONDS), "jti": BASE64URL_NOPAD.encode(&random),
            "act": act, "number": job.number, "account": job.account,
        });
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(message.as_bytes());
        Ok(format!(
            "{message}.{}",
            BASE64URL_NOPAD.encode(signature.as_ref())
        ))
    }
}

/// A job on this node: its sessions come from the gateway, each for minutes.
pub struct JobSource {
    pub(super) node: NodeIdentity,
    pub(super) job: JobName,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl JobSource {
    /// Of a node and a job on it.
    #[must_use]
    pub fn new(
        node: NodeIdentity,
        job: JobName,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            node,
            job,
            clock,
            entropy,
        }
    }

    /// The body of a request that states it.
    pub(super) fn stated(&self, act: Act) -> Result<bytes::Bytes, CredentialsError> {
        let state = (act, &self.job);
        let statement = self
            .node
            .state(state, self.clock.as_ref(), self.entropy.as_ref())?;
        let stated = serde_json::to_vec(&JobStatement { statement });
        Ok(stated.unwrap_or_default().into())
    }
}

/// A session as it begins.
pub(super) struct Started {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: String,
    /// In seconds from now.
    pub(super) expires_in: u64,
}

impl From<JobSession> for Started {
    fn from(mut session: JobSession) -> Self {
        Self {
            access_key_id: std::mem::take(&mut session.access_key_id),
            secret_access_key: std::mem::take(&mut session.secret_access_key),
            session_token: std::mem::take(&mut session.session_token),
            expires_in: session.expires_in,
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.secret_access_key.zeroize();
        self.session_token.zeroize();
    }
}

/// When a session that lives so long is to be renewed, in milliseconds from its start: at two
/// thirds, so that a gateway may be away for a third of it.
pub(super) const fn renewal_ms(expires_in: u64) -> u64 {
    let lives = expires_in.saturating_mul(1_000);
    let lives = if lives > limits::SESSION_MS_MAX {
        limits::SESSION_MS_MAX
    } else {
        lives
    };
    lives.saturating_sub(lives / 3)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::types::{EntropyError, Timestamp};

    /// Every draw is another.
    #[derive(Default)]
    struct Double(AtomicU8);

    impl Clock for Double {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_000_000)
        }
    }

    impl Entropy for Double {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0.fetch_add(1, Ordering::SeqCst));
            Ok(())
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.env");
        std::fs::write(&path, text).unwrap();
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, own).unwrap();
        (directory, path)
    }

    #[test]
    fn an_identity_comes_back_as_it_was_drawn() {
        let double = Double::default();
        let made = NewNode::draw("gpu-1", "http://127.0.0.1:9", None, &double).unwrap();
        let (_kept, path) = file(made.text.expose());
        let node = NodeIdentity::of_file(&path).unwrap();
        assert_eq!(node.name(), "gpu-1");
        assert_eq!(BASE64.encode(node.key.public_key().as_ref()), made.public);
        let job = JobName {
            job: "ann/1".into(),
            number: "7".into(),
            account: "ann".into(),
        };
        let one = node.state((Act::Start, &job), &double, &double).unwrap();
        let two = node.state((Act::Start, &job), &double, &double).unwrap();
        assert_ne!(one, two, "each is good once");
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        let whole = "KLUIS_NODE=a\nAWS_ENDPOINT_URL=http://x\nKLUIS_NODE_KEY=";
        let seed = BASE64.encode(&[7; 32]);
        let (directory, path) = file(&format!("{whole}{seed}"));
        drop(directory);
        assert!(NodeIdentity::of_file(&path).is_err(), "gone");
        for text in [
            "",
            whole,
            &format!("{whole}AAAA"),
            &format!("{whole}not base64"),
            &format!("KLUIS_NODE_KEY={seed}"),
        ] {
            let (_kept, path) = file(text);
            assert!(NodeIdentity::of_file(&path).is_err(), "{text}");
        }
    }

    #[test]
    fn an_identity_that_others_can_read_or_another_owns_is_none() {
        let seed = BASE64.encode(&[7; 32]);
        let text = format!("KLUIS_NODE=a\nAWS_ENDPOINT_URL=http://x\nKLUIS_NODE_KEY={seed}");
        let (_kept, path) = file(&text);
        assert!(NodeIdentity::of_file(&path).is_ok());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, open).unwrap();
        let refused = NodeIdentity::of_file(&path).map(drop).unwrap_err();
        assert!(
            matches!(refused, CredentialsError::Exposed { .. }),
            "{refused}"
        );
        if rustix::process::geteuid().is_root() {
            let (_kept, path) = file(&text);
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            let refused = NodeIdentity::of_file(&path).map(drop).unwrap_err();
            assert!(
                matches!(refused, CredentialsError::Foreign { .. }),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_session_is_renewed_in_its_time() {
        assert_eq!(renewal_ms(900), 600_000);
        assert_eq!(renewal_ms(0), 0);
        assert_eq!(renewal_ms(u64::MAX), 2_400_000);
    }
}
