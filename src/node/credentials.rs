//! The job's credential: a session that its node asks for by itself, as a job's or for the token of
//! a service account; or a file of `NAME=value` lines, read again when it changes, so that a
//! renewed credential needs no new mount.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::job::{JobSource, Started, renewal_ms};
use super::web_identity::WebIdentity;
use crate::store::s3::Signer;
use crate::types::{Clock, SecretText, Timestamp, is_this_machine};

/// A credential file beyond this is none.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("the credential file {path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Other accounts than its owner's can read or change the file.
    #[error("others can read the file {path}: chmod 600 it")]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The node's identity belongs to another account, which therefore knows its key.
    #[error("the file {path} is neither root's nor this account's")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A variable is missing.
    #[error("the credential names no {0}")]
    Missing(&'static str),
    /// Tokens and secrets of sessions would cross the network in clear.
    #[error("sessions are asked for over https, or on this machine, not at {endpoint}")]
    InClear {
        /// Where.
        endpoint: String,
    },
}

/// What one reading gave.
pub(super) struct Current {
    pub(super) signer: Signer,
    /// Of a temporary credential.
    pub(super) token: Option<SecretText>,
}

/// Where requests go and who signs them.
pub struct Credentials {
    file: Option<PathBuf>,
    endpoint: String,
    ca_file: Option<PathBuf>,
    state: Mutex<(Option<SystemTime>, Arc<Current>)>,
    /// Who asks for sessions, and when the next one is due.
    sessions: Option<(Source, Mutex<Due>)>,
}

/// On what word sessions are asked for.
pub(super) enum Source {
    /// A node's, of a job.
    Job(JobSource),
    /// An issuer's, of a service account.
    Web(WebIdentity),
}

impl Source {
    fn now(&self) -> Timestamp {
        match self {
            Self::Job(job) => job.clock.now(),
            Self::Web(web) => web.clock.now(),
        }
    }

    fn region(&self) -> &str {
        match self {
            Self::Job(job) => &job.node.region,
            Self::Web(web) => &web.region,
        }
    }
}

/// When a session is to be renewed, and when it ends.
#[derive(Clone, Copy, Default)]
struct Due {
    at: Timestamp,
    ends: Timestamp,
}

/// Until a renewal that failed is tried again, in milliseconds.
const AGAIN_MS: u64 = 5_000;

impl Credentials {
    /// Out of a file, as `kluis credential create --output` writes it.
    pub fn of_file(path: &Path, clock: &Arc<dyn Clock>) -> Result<Self, CredentialsError> {
        let (metadata, text) = read(path)?;
        let mut credentials = Self::of_variables(&|name| variable(&text, name), clock)?;
        if credentials.sessions.is_some() {
            return Ok(credentials);
        }
        credentials.file = Some(path.to_owned());
        credentials.state = Mutex::new((metadata.modified().ok(), credentials.current()));
        Ok(credentials)
    }

    /// With these certificates trusted beside the machine's, where the credential names none.
    #[must_use]
    pub fn trusting(mut self, ca_file: Option<PathBuf>) -> Self {
        self.ca_file = self.ca_file.or(ca_file);
        self
    }

    /// Out of variables: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, and if there are such `AWS_SESSION_TOKEN` and `AWS_CA_BUNDLE`.
    /// Without an access key `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` and
    /// `AWS_ROLE_SESSION_NAME` say whose token is good for sessions, in the order of AWS's SDKs.
    pub fn of_variables(
        variable: &dyn Fn(&str) -> Option<String>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CredentialsError> {
        let web = if variable("AWS_ACCESS_KEY_ID").is_none() {
            WebIdentity::of_variables(variable, region(variable), clock)?
        } else {
            None
        };
        let current = match &web {
            Some(_) => nobody(),
            None => signer(variable)?,
        };
        let endpoint = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.ok_or(CredentialsError::Missing("AWS_ENDPOINT_URL"))?;
        if web.is_some() {
            check_closed(&endpoint)?;
        }
        Ok(Self {
            file: None,
            endpoint,
            ca_file: variable("AWS_CA_BUNDLE").map(PathBuf::from),
            state: Mutex::new((None, Arc::new(current))),
            sessions: web.map(|web| (Source::Web(web), Mutex::default())),
        })
    }

    /// Of a job on this node; there is none before the first session.
    pub fn of_job(source: JobSource) -> Result<Self, CredentialsError> {
        check_closed(&source.node.endpoint)?;
        Ok(Self {
            file: None,
            endpoint: source.node.endpoint.clone(),
            ca_file: source.node.ca_file.clone(),
            state: Mutex::new((None, Arc::new(nobody()))),
            sessions: Some((Source::Job(source), Mutex::default())),
        })
    }

    /// Who asks for a session, if one is due by now.
    pub(super) fn due(&self) -> Option<&Source> {
        let (source, due) = self.sessions.as_ref()?;
        let due = due
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .at;
        (due <= source.now()).then_some(source)
    }

    /// A renewal failed. Whether the session that is there goes on, and is renewed later.
    pub(super) fn goes_on(&self) -> bool {
        let Some((source, due)) = &self.sessions else {
            return true;
        };
        let now = source.now();
        let mut due = due
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        due.at = now.plus_millis(AGAIN_MS);
        if due.ends <= due.at {
            due.at = now;
        }
        now < due.ends
    }

    /// Who vouches for the job, if it is a job's.
    pub(super) const fn job(&self) -> Option<&JobSource> {
        match &self.sessions {
            Some((Source::Job(job), _)) => Some(job),
            Some((Source::Web(_), _)) | None => None,
        }
    }

    /// Takes a session.
    pub(super) fn renewed(&self, started: &Started) {
        let Some((source, due)) = &self.sessions else {
            return;
        };
        let secret = SecretText::new(started.secret_access_key.clone());
        let (id, region) = (started.access_key_id.clone(), source.region().to_owned());
        let current = Current {
            signer: Signer::new(id, secret, region, "s3"),
            token: Some(SecretText::new(started.session_token.clone())),
        };
        let now = source.now();
        let next = Due {
            at: now.plus_millis(renewal_ms(started.expires_in)),
            ends: now.plus_millis(started.expires_in.saturating_mul(1_000)),
        };
        let lock = |error| std::sync::PoisonError::into_inner(error);
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .1 = Arc::new(current);
        *due.lock().unwrap_or_else(lock) = next;
    }

    /// Where requests go.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// The credential as it is now. A file that cannot be read or is not whole leaves the last one.
    pub(super) fn current(&self) -> Arc<Current> {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(path) = &self.file {
            let changed = std::fs::metadata(path).and_then(|m| m.modified()).ok();
            if changed != state.0
                && let Ok((metadata, text)) = read(path)
                && let Ok(current) = signer(&|name| variable(&text, name))
            {
                *state = (metadata.modified().ok(), Arc::new(current));
            }
        }
        Arc::clone(&state.1)
    }
}

/// What a credential's file says, and what the system says of the file. Nobody but its owner and
/// group may read it, as everywhere in this program (`config::secrets`).
pub(super) fn read(
    path: &Path,
) -> Result<(Metadata, zeroize::Zeroizing<String>), CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    // Of what was opened, whatever stands at the path by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.mode() & 0o007 != 0 {
        return Err(CredentialsError::Exposed {
            path: path.to_owned(),
        });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(unreadable(std::io::ErrorKind::InvalidData.into()));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(unreadable)?;
    Ok((metadata, text))
}

/// `export NAME=value`, with or without quotes or the word.
#[must_use]
pub fn variable(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (found, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (found.trim() == name && !value.is_empty()).then(|| value.to_owned())
    })
}

/// That nobody reads what goes to an endpoint and comes from there. A signed request shows no
/// secret, and the answer that is a session does.
fn check_closed(endpoint: &str) -> Result<(), CredentialsError> {
    let uri = endpoint.parse::<http::Uri>().ok();
    let closed = uri.is_some_and(|uri| match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(is_this_machine),
        _other => false,
    });
    if closed {
        return Ok(());
    }
    let endpoint = endpoint.to_owned();
    Err(CredentialsError::InClear { endpoint })
}

fn region(variable: &dyn Fn(&str) -> Option<String>) -> String {
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    region.unwrap_or_else(|| "kluis".into())
}

/// Before the first session.
fn nobody() -> Current {
    let none = SecretText::new(String::new());
    Current {
        signer: Signer::new(String::new(), none, "kluis".into(), "s3"),
        token: None,
    }
}

fn signer(variable: &dyn Fn(&str) -> Option<String>) -> Result<Current, CredentialsError> {
    let needs = |name: &'static str| variable(name).ok_or(CredentialsError::Missing(name));
    let id = needs("AWS_ACCESS_KEY_ID")?;
    let secret = SecretText::new(needs("AWS_SECRET_ACCESS_KEY")?);
    Ok(Current {
        signer: Signer::new(id, secret, region(variable), "s3"),
        token: variable("AWS_SESSION_TOKEN").map(SecretText::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(path: &Path, mode: u32) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    }

    const FILE: &str = "# a comment\nexport AWS_ACCESS_KEY_ID='KLUS'\nAWS_SECRET_ACCESS_KEY=\"s\"\n\
        AWS_ENDPOINT_URL=http://127.0.0.1:1\nAWS_SESSION_TOKEN=\n";

    fn clock() -> Arc<dyn Clock> {
        Arc::new(Set(0.into()))
    }

    #[test]
    fn a_file_is_read_as_a_shell_would() {
        assert_eq!(variable(FILE, "AWS_ACCESS_KEY_ID").as_deref(), Some("KLUS"));
        assert_eq!(
            variable(FILE, "AWS_SECRET_ACCESS_KEY").as_deref(),
            Some("s")
        );
        assert_eq!(variable(FILE, "AWS_SESSION_TOKEN"), None);
        assert_eq!(variable(FILE, "AWS"), None);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.env");
        std::fs::write(&path, FILE).unwrap();
        close(&path, 0o600);
        let credentials = Credentials::of_file(&path, &clock()).unwrap();
        assert!(credentials.current().token.is_none());
        let change = |text: String, age: u64| {
            std::fs::write(&path, text).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
            file.set_modified(time).unwrap();
        };
        change(FILE.replace("TOKEN=", "TOKEN=t"), 1);
        assert!(credentials.current().token.is_some());
        change("half".into(), 2);
        assert!(credentials.current().token.is_some());
        std::fs::remove_file(&path).unwrap();
        assert!(credentials.current().token.is_some());
    }

    #[test]
    fn what_others_can_read_is_no_credential() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.env");
        std::fs::write(&path, FILE).unwrap();
        for mode in [0o644, 0o604, 0o602, 0o601] {
            close(&path, mode);
            let refused = Credentials::of_file(&path, &clock()).map(drop).unwrap_err();
            assert!(
                matches!(refused, CredentialsError::Exposed { .. }),
                "{mode:o}"
            );
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
        // A link to it is read as what it leads to.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Credentials::of_file(&link, &clock()).is_err());
        for mode in [0o600, 0o640, 0o400] {
            close(&path, mode);
            assert!(Credentials::of_file(&link, &clock()).is_ok(), "{mode:o}");
        }
        // One that was closed, and is opened to others later on, is not read again.
        let credentials = Credentials::of_file(&path, &clock()).unwrap();
        std::fs::write(&path, FILE.replace("TOKEN=", "TOKEN=t")).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        close(&path, 0o644);
        assert!(credentials.current().token.is_none());
    }

    /// A clock that is set; what it draws is always the same.
    struct Set(std::sync::atomic::AtomicU64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(std::sync::atomic::Ordering::SeqCst))
        }
    }

    impl crate::types::Entropy for Set {
        fn fill(&self, out: &mut [u8]) -> Result<(), crate::types::EntropyError> {
            out.fill(7);
            Ok(())
        }
    }

    /// A session of a quarter of an hour is renewed from ten minutes on; while that fails it goes
    /// on, and is tried each five seconds, until it is over.
    #[test]
    fn a_jobs_session_is_renewed_long_before_its_end_and_a_failure_is_borne_until_then() {
        use super::super::job::{JobName, NewNode, NodeIdentity};
        const BEGUN: u64 = 1_000_000;
        let clock = Arc::new(Set(BEGUN.into()));
        let drawn = NewNode::draw("gpu-1", "http://127.0.0.1:9", None, clock.as_ref()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.env");
        std::fs::write(&path, drawn.text.expose()).unwrap();
        close(&path, 0o600);
        let job = JobName {
            job: "ann/1".into(),
            number: "7".into(),
            account: "ann".into(),
        };
        let node = NodeIdentity::of_file(&path).unwrap();
        let credentials = Credentials::of_job(JobSource::new(
            node,
            job,
            Arc::<Set>::clone(&clock),
            Arc::<Set>::clone(&clock),
        ));
        let credentials = credentials.unwrap();
        let at = |seconds: u64| {
            let ms = BEGUN + seconds * 1_000;
            clock.0.store(ms, std::sync::atomic::Ordering::SeqCst);
            credentials.due().is_some()
        };
        let session = |number: u32| Started {
            access_key_id: format!("KLUT{number}"),
            secret_access_key: "s".into(),
            session_token: format!("t{number}"),
            expires_in: 900,
        };
        let token = || {
            let current = credentials.current();
            current
                .token
                .as_ref()
                .map(|token| token.expose().to_owned())
        };
        assert!(at(0), "there is none yet");
        assert!(!credentials.goes_on(), "nor one that could go on");
        assert!(credentials.due().is_some(), "it is asked for again at once");
        credentials.renewed(&session(1));
        assert_eq!(token().as_deref(), Some("t1"));
        assert!(!at(0) && !at(599) && at(600));
        // The gateway is away.
        for seconds in (600..895).step_by(5) {
            assert!(at(seconds), "{seconds}");
            assert!(credentials.goes_on(), "{seconds}");
            assert!(!at(seconds) && !at(seconds + 4), "{seconds}");
            assert_eq!(token().as_deref(), Some("t1"), "{seconds}");
        }
        assert!(at(895) && credentials.goes_on());
        assert!(at(895), "no waiting past the end");
        assert!(at(899) && credentials.goes_on());
        assert!(at(900) && !credentials.goes_on(), "it is over");
        // It is back.
        credentials.renewed(&session(2));
        assert_eq!(token().as_deref(), Some("t2"));
        assert!(!at(900) && !at(1_499) && at(1_500));
    }

    /// As AWS's SDKs: a key that is named goes first, and a file may name either.
    #[test]
    fn a_service_accounts_token_stands_in_for_a_key() {
        let web = "AWS_ENDPOINT_URL=http://127.0.0.1:1\nAWS_WEB_IDENTITY_TOKEN_FILE=/t\n\
                   AWS_ROLE_ARN=arn:aws:iam::kluis:role/icu\n";
        let of = |text: String| Credentials::of_variables(&|name| variable(&text, name), &clock());
        let credentials = of(web.to_owned()).unwrap();
        assert!(matches!(credentials.due(), Some(Source::Web(_))));
        assert!(credentials.job().is_none(), "there is no job to end");
        let both = of(format!("{web}{FILE}")).unwrap();
        assert!(both.due().is_none(), "a key is there");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.env");
        std::fs::write(&path, web).unwrap();
        close(&path, 0o600);
        let credentials = Credentials::of_file(&path, &clock()).unwrap();
        assert!(matches!(credentials.due(), Some(Source::Web(_))));
        for host in [
            "http://kluis:9000",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "x",
        ] {
            let away = of(web.replace("http://127.0.0.1:1", host)).map(drop);
            let told = away.unwrap_err();
            assert!(matches!(told, CredentialsError::InClear { .. }), "{host}");
        }
        for host in [
            "https://kluis.example.org",
            "http://localhost:9000",
            "http://[::1]:9",
        ] {
            assert!(
                of(web.replace("http://127.0.0.1:1", host)).is_ok(),
                "{host}"
            );
        }
        let refused = of(web.replace("AWS_ROLE_ARN", "OTHER")).map(drop);
        assert!(refused.unwrap_err().to_string().contains("AWS_ROLE_ARN"));
    }

    /// A credential's file is made where the vault is; what to trust is the using machine's to say.
    #[test]
    fn the_files_authority_goes_before_the_environments() {
        let of = |text: &str| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("me.env");
            std::fs::write(&path, text).unwrap();
            close(&path, 0o600);
            let found = Credentials::of_file(&path, &clock()).unwrap();
            found.trusting(Some("/site.pem".into())).ca_file
        };
        assert_eq!(of(FILE), Some("/site.pem".into()));
        let own = format!("{FILE}AWS_CA_BUNDLE=/own.pem\n");
        assert_eq!(of(&own), Some("/own.pem".into()));
    }

    #[test]
    fn what_is_missing_is_named() {
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ENDPOINT_URL",
        ] {
            let less = |asked: &str| variable(FILE, asked).filter(|_| asked != name);
            let refused = Credentials::of_variables(&less, &clock())
                .map(drop)
                .unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }
}
