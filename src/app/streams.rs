//! The log's streams: receivers of syslog over TLS and of OTLP over HTTP, each with a task of its
//! own beside serving. What a receiver does not take waits in the log; no request waits for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::dial::Dial;
use super::fetch::{FetchError, Place, post};
use super::health::{Health, Spot};
use super::notary::{log_keys, log_origin};
use super::open::Opened;
use super::shutdown::Shutdown;
use crate::config::{Config, SecretError, StreamForm, read_secret_file};
use crate::journal::Request;
use crate::keyring::KeyRing;
use crate::ledger::export::Form;
use crate::notary::{DirShelf, NotaryError};
use crate::ops::Metrics;
use crate::stream::{
    Cursor, Follow, FollowParts, OtlpAnswer, Receiver, Refused, StreamError, Syslog, Told, frame,
    otlp_request, read_answer, run,
};
use crate::types::limits::{STREAM_ANSWER_BYTES_MAX, STREAM_SEND_MS_MAX};
use crate::types::{Clock, ProjectName, Timestamp};

/// Why a stream cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The receiver's address, certificates or credential.
    #[error("the receiver of {stream} cannot be spoken to")]
    Receiver {
        /// Which stream.
        stream: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log, or how far it was taken.
    #[error("the log cannot be followed")]
    Log(#[from] StreamError),
    /// The log's key.
    #[error("the log's key cannot be had")]
    Key(#[from] NotaryError),
}

const fn form(form: StreamForm) -> Form {
    match form {
        StreamForm::Json => Form::Json,
        StreamForm::Ocsf => Form::Ocsf,
        StreamForm::Fhir => Form::Fhir,
        StreamForm::Nen7513 => Form::Nen,
    }
}

fn unspoken(stream: &'static str) -> impl Fn(FetchError) -> StartError {
    move |source| StartError::Receiver {
        stream,
        source: Box::new(source),
    }
}

/// Begins the streams that are configured.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    (opened, config): (&Opened, &Config),
    health: &Arc<Health>,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let mut begin = |stream: &'static str, project, receiver: Box<dyn Receiver>| {
        let cursor = config.proof.dir.join(format!("stream-{stream}"));
        let follow = follow(config, &opened.keyring, project, &cursor)?;
        let told = Arc::new(Teller {
            stream,
            health: Arc::clone(health),
            clock: Arc::clone(&opened.clock),
            waiting: AtomicU64::new(0),
        });
        let ending = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = run(follow, cursor, receiver, told) => {}
                () = ending.draining() => {}
            }
        });
        Ok::<(), StartError>(())
    };
    if let Some(address) = &config.syslog.address {
        let receiver = SyslogReceiver::new(address, config).map_err(unspoken("syslog"))?;
        begin("syslog", config.syslog.project.clone(), Box::new(receiver))?;
    }
    if let Some(url) = &config.otlp.url {
        let receiver = OtlpReceiver::new(url, config).map_err(unspoken("otlp"))?;
        begin("otlp", config.otlp.project.clone(), Box::new(receiver))?;
    }
    Ok(())
}

/// The log from where the stream was; one that begins is kept at once, so that nothing is left out
/// from here on.
fn follow(
    config: &Config,
    keyring: &KeyRing,
    project: Option<ProjectName>,
    path: &Path,
) -> Result<Follow, StartError> {
    let origin = log_origin(config, keyring);
    let keys = log_keys(keyring);
    let public = keys.public(&origin).map_err(NotaryError::from)?;
    let cursor = Cursor::read(path, &origin)?;
    let begins = cursor.is_none();
    let follow = Follow::new(FollowParts {
        journal: config.journal.dir.clone(),
        journal_key: keys.journal,
        shelf: Box::new(DirShelf::look(&config.proof.dir)),
        public,
        project,
        cursor,
    })?;
    if begins {
        follow.cursor().write(path)?;
    }
    Ok(follow)
}

/// Tells of a stream by metrics, `/readyz` and the operator's log.
struct Teller {
    stream: &'static str,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    /// When the newest came into the log that waits; 0 for nothing.
    waiting: AtomicU64,
}

impl Teller {
    fn spot(&self) -> &Spot {
        if self.stream == "syslog" {
            &self.health.syslog
        } else {
            &self.health.otlp
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.health.metrics
    }

    fn lag(&self, since: u64) -> Duration {
        let since = Timestamp::from_millis(since);
        Duration::from_millis(self.clock.now().since(since))
    }
}

impl Told for Teller {
    fn waiting(&self, time: Timestamp) {
        self.waiting.store(time.millis(), Ordering::Relaxed);
    }

    fn taken(&self, requests: usize, time: Timestamp) {
        self.spot().note(Ok(()));
        let count = u64::try_from(requests).unwrap_or(u64::MAX);
        let lag = self.lag(time.millis());
        self.metrics().stream_taken(self.stream, count, lag);
    }

    fn idle(&self) {
        self.metrics().stream_taken(self.stream, 0, Duration::ZERO);
    }

    fn failed(&self, why: &str) {
        // Once for each outage.
        if self.spot().seen().is_ok() {
            tracing::warn!(stream = self.stream, why, "the log's stream waits");
        }
        self.spot().note(Err(why.to_owned()));
        let waiting = self.waiting.load(Ordering::Relaxed);
        let lag = if waiting == 0 {
            Duration::ZERO
        } else {
            self.lag(waiting)
        };
        self.metrics().stream_failed(self.stream, lag);
    }

    fn lost(&self, records: u64) {
        tracing::error!(
            stream = self.stream,
            records,
            "records are not in the journal any more, and were not streamed"
        );
        self.metrics().stream_lost(self.stream, records);
    }
}

/// Bounds the time of handing something over.
async fn in_time<T>(doing: impl Future<Output = Result<T, Refused>> + Send) -> Result<T, Refused> {
    let most = Duration::from_millis(STREAM_SEND_MS_MAX);
    let late = |_late| Refused("it took too long".to_owned());
    tokio::time::timeout(most, doing).await.map_err(late)?
}

fn refused(error: &(dyn std::error::Error + 'static)) -> Refused {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    Refused(text)
}

/// Syslog over TLS (RFC 5425). The protocol knows no receipt, so each batch has a session of its
/// own, and the receiver's end of it is the receipt, under TLS's keys: a `close_notify`. A bare end
/// of the connection is anybody's on the path, and a receipt only where the configuration says so:
/// of whoever is asked honestly it says the same, for a system that closes a connection without
/// having read all of it resets it instead.
struct SyslogReceiver {
    dial: Dial,
    bare_end: bool,
    host: String,
    port: u16,
    syslog: Syslog,
}

/// The port that RFC 5425 names.
const SYSLOG_PORT: u16 = 6514;

impl SyslogReceiver {
    fn new(address: &str, config: &Config) -> Result<Self, FetchError> {
        let set = &config.syslog;
        let authority: http::uri::Authority = address.parse().map_err(|_none| FetchError::Url)?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let own = match (&set.tls_cert, &set.tls_key) {
            (Some(chain), Some(key)) => Some((chain.as_path(), key.as_path())),
            _ => None,
        };
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            dial: Dial::new(set.ca_file.as_deref(), own)?,
            bare_end: set.bare_end,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(SYSLOG_PORT),
            syslog: Syslog::new(name.trim_end(), form(set.form)),
        })
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), Refused> {
        let stream = self.dial.connect(&self.host, self.port).await;
        let mut stream = stream.map_err(|error| refused(&error))?;
        let failed = |error: std::io::Error| refused(&error);
        stream.write_all(bytes).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        stream.shutdown().await.map_err(failed)?;
        // It has nothing to say; what it says all the same is bounded.
        let mut said = Vec::new();
        let most = u64::try_from(STREAM_ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
        let read = (&mut stream).take(most).read_to_end(&mut said).await;
        match read {
            Ok(count) if count < STREAM_ANSWER_BYTES_MAX => Ok(()),
            Ok(_) => Err(Refused(
                "it answers, as no receiver of syslog does".to_owned(),
            )),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && self.bare_end => {
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Refused(
                "it ended without close_notify, which is no receipt: see syslog.bare_end"
                    .to_owned(),
            )),
            Err(error) => Err(refused(&error)),
        }
    }
}

#[async_trait]
impl Receiver for SyslogReceiver {
    async fn take(&mut self, requests: &[Request]) -> Result<(), Refused> {
        let mut bytes = Vec::new();
        for message in requests.iter().filter_map(|r| self.syslog.message(r)) {
            frame(&message, &mut bytes);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        in_time(self.send(&bytes)).await
    }
}

/// OTLP over HTTP, in JSON.
struct OtlpReceiver {
    place: Place,
    dial: Option<Dial>,
    token: Option<PathBuf>,
    instance: String,
    form: Form,
}

impl OtlpReceiver {
    fn new(url: &str, config: &Config) -> Result<Self, FetchError> {
        let place = Place::of(url)?;
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            dial: place.dial(config.otlp.ca_file.as_deref())?,
            place,
            token: config.otlp.token_file.clone(),
            instance: name.trim_end().to_owned(),
            form: form(config.otlp.form),
        })
    }

    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Refused> {
        let json = HeaderValue::from_static("application/json");
        let mut headers = vec![(header::CONTENT_TYPE, json)];
        if let Some(path) = &self.token {
            // Read each time: whoever renews it need not tell us.
            let token = read_secret_file(path).map_err(|error| unread(&error))?;
            let value = zeroize::Zeroizing::new(format!("Bearer {}", token.expose().trim()));
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_not_one| Refused("the token is none".to_owned()))?;
            value.set_sensitive(true);
            headers.push((header::AUTHORIZATION, value));
        }
        Ok(headers)
    }
}

/// Why there is no token, without the file's name: this is told where everybody reads it.
fn unread(error: &SecretError) -> Refused {
    Refused(match error {
        SecretError::Read { source, .. } => format!("the token's file: {source}"),
        SecretError::Exposed { .. } => {
            "others can read the token's file, so it is not used: chmod 600".to_owned()
        }
        SecretError::Shape { .. } | SecretError::Missing { .. } => "the token is none".to_owned(),
    })
}

#[async_trait]
impl Receiver for OtlpReceiver {
    async fn take(&mut self, requests: &[Request]) -> Result<(), Refused> {
        let headers = self.headers()?;
        let body = Bytes::from(otlp_request(requests, &self.instance, self.form));
        let asking = async {
            let answer = post(
                &self.place,
                self.dial.as_ref(),
                (&headers, body),
                STREAM_ANSWER_BYTES_MAX,
            );
            answer.await.map_err(|error| refused(&error))
        };
        let (status, body) = in_time(asking).await?;
        match read_answer(status, &body) {
            OtlpAnswer::Taken => Ok(()),
            OtlpAnswer::Partly { rejected } => {
                tracing::error!(rejected, "the receiver of otlp will not have some records");
                Ok(())
            }
            OtlpAnswer::Later => Err(Refused(format!("it is busy, or no receiver: {status}"))),
            OtlpAnswer::Refused => Err(Refused(format!("it takes none of it: {status}"))),
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
