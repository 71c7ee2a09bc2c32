//! Requests to the gateway's API: signed, over connections that are kept, tried again through a
//! restart of the gateway or a lost network for as long as the mount is told to be patient.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};

use super::credentials::{Credentials, CredentialsError, Current, Source};
use super::job::{Act, JobSource, Started};
use super::line::{Lines, Patience, Take};
use super::web_identity::element;
use crate::store::s3::{Dialer, EMPTY_PAYLOAD, Parts, S3ConfigError};
use crate::types::{Clock, limits};
use crate::wire::{JobSession, Problem};

/// How long nothing may come of a body.
const IDLE: Duration = Duration::from_secs(20);
/// With a connection, the head of an answer, and a body.
const LINE: Patience = Patience {
    dial: Duration::from_secs(20),
    head: Duration::from_secs(20),
    idle: IDLE,
};
/// The first pause before another try; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long what was said of a job that is over is taken for an answer.
const OVER: Duration = Duration::from_secs(5);
/// An answer that is read whole: 1,000 tables of several extents each.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the log calls this client.
const CLIENT: &str = concat!("kluis/", env!("CARGO_PKG_VERSION"));
/// What asks for a session of a token.
const FORM: &str = "application/x-www-form-urlencoded";
/// Of what a refusal says, the part that is shown.
const TITLE_CHARS_MAX: usize = 400;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatewayError {
    /// The gateway answered, and refuses.
    #[error("the gateway refuses: {status} {code}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its code.
        code: String,
        /// What it says of it, for a person: printable and short.
        title: String,
    },
    /// It did not answer within the patience, or not in order.
    #[error("the gateway does not answer: {0}")]
    Unreachable(String),
    /// It was not asked: a file that says who asks cannot be used as it is.
    #[error("{0}")]
    Credential(String),
}

impl GatewayError {
    pub(super) fn broken(error: &dyn std::fmt::Display) -> Self {
        Self::Unreachable(error.to_string())
    }

    /// Whether it is refused because of the session, which is over or of a job that is.
    fn knows_no_session(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "InvalidAccessKeyId")
    }

    /// A file of the credential, with what is wrong with it.
    fn unusable(error: &CredentialsError) -> Self {
        let cause = std::error::Error::source(error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        Self::Credential(format!("{error}{cause}"))
    }

    /// Whether another try may do better.
    const fn may_pass(&self) -> bool {
        match self {
            // A file that is being renewed may be whole a moment later.
            Self::Unreachable(_) | Self::Credential(_) => true,
            Self::Refused { status, .. } => matches!(*status, 408 | 429 | 502..=504),
        }
    }
}

/// A request to the gateway.
#[derive(Clone)]
pub struct Asking {
    /// The method.
    pub method: Method,
    /// Percent-encoded.
    pub path: String,
    /// Percent-encoded and in order of name.
    pub query: String,
    /// The body.
    pub body: Bytes,
}

/// What is left of the patience with one request.
pub(super) struct Tries {
    end: Instant,
    pause: Duration,
}

impl Tries {
    /// Waits before another try, or gives the error back where none would help.
    pub(super) async fn again(&mut self, error: GatewayError) -> Result<(), GatewayError> {
        if !error.may_pass() || Instant::now() >= self.end {
            return Err(error);
        }
        tracing::debug!(%error, "another try");
        sleep(self.pause).await;
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        Ok(())
    }
}

/// The gateway of one version.
pub struct Gateway {
    lines: Lines,
    /// Shared by gateways that are asked for one after another: a session that one of them took is
    /// the next one's.
    credentials: Arc<Credentials>,
    clock: Arc<dyn Clock>,
    /// One session of a job is asked for at a time; with why there is none, since when.
    renewing: tokio::sync::Mutex<Option<(GatewayError, Instant)>>,
    patience: Duration,
}

impl Gateway {
    /// Of a credential; it blocks to read certificates.
    pub fn new(
        credentials: impl Into<Arc<Credentials>>,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<Self, S3ConfigError> {
        let credentials = credentials.into();
        let dialer = Dialer::to_url(credentials.endpoint(), credentials.ca_file())?;
        Ok(Self {
            lines: Lines::new(dialer, limits::NODE_CONNECTIONS_MAX, LINE),
            credentials,
            clock,
            renewing: tokio::sync::Mutex::default(),
            patience,
        })
    }

    /// Further certificates that are trusted.
    pub(super) fn ca_file(&self) -> Option<std::path::PathBuf> {
        self.credentials.ca_file().map(std::path::Path::to_owned)
    }

    /// Where it is, as the credential names it.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.credentials.endpoint()
    }

    /// How long a request is tried.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Asks, again and again while that may help; the whole answer.
    pub(super) async fn ask(&self, asking: &Asking) -> Result<Bytes, GatewayError> {
        let mut tries = self.tries();
        loop {
            match self.once(asking).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// The same, which waits so long for an answer to begin: what is asked takes long.
    #[must_use]
    pub const fn waiting(mut self, head: Duration) -> Self {
        self.lines.wait(head);
        self
    }

    /// One request of a person's own: asked once, since it may change something. An answer longer
    /// than `most` bytes is none.
    pub async fn call(&self, asking: &Asking, most: usize) -> Result<Bytes, GatewayError> {
        self.bounded(asking, most.min(ANSWER_BYTES_MAX)).await
    }

    /// Asks once; the whole answer.
    pub(super) async fn once(&self, asking: &Asking) -> Result<Bytes, GatewayError> {
        self.bounded(asking, ANSWER_BYTES_MAX).await
    }

    async fn bounded(&self, asking: &Asking, most: usize) -> Result<Bytes, GatewayError> {
        let mut answer = BytesMut::new();
        self.read(asking, &mut |piece| {
            if answer.len().saturating_add(piece.len()) > most {
                return Err(GatewayError::Unreachable("too long an answer".into()));
            }
            answer.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(answer.freeze())
    }

    /// Sees that a session is fresh, long before the last one ends.
    async fn refresh(&self) -> Result<(), GatewayError> {
        if self.credentials.due().is_none() {
            return Ok(());
        }
        let _one = self.renewing.lock().await;
        let Some(source) = self.credentials.due() else {
            return Ok(());
        };
        match self.start(source).await {
            Ok(started) => self.credentials.renewed(&started),
            // Asked for long before the end: somebody else's haste is not to end a job.
            Err(error) if self.credentials.goes_on() => {
                tracing::warn!(%error, "the session is not renewed yet");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn start(&self, source: &Source) -> Result<Started, GatewayError> {
        let started = match source {
            Source::Job(job) => {
                let answer = self.state_job(job, Act::Start).await?;
                started(&answer)
            }
            Source::Web(web) => {
                let body = web.asked();
                let body = body.map_err(|error| GatewayError::unusable(&error))?;
                let answer = self.post("/", Some(FORM), &body).await?;
                web.started(&answer)
            }
        };
        started.ok_or_else(|| GatewayError::Unreachable("no session came".into()))
    }

    /// Says that the job has ended here, or will start again.
    pub async fn end_job(&self, act: Act) -> Result<(), GatewayError> {
        let Some(source) = self.credentials.job() else {
            return Ok(());
        };
        let mut tries = self.tries();
        loop {
            match self.state_job(source, act).await {
                Ok(_nothing) => return Ok(()),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn state_job(&self, source: &JobSource, act: Act) -> Result<Bytes, GatewayError> {
        let path = match act {
            Act::Start => "/.kluis/v1/jobs/start",
            Act::End | Act::Again => "/.kluis/v1/jobs/end",
        };
        let body = source.stated(act);
        let body = body.map_err(|error| GatewayError::broken(&error))?;
        self.post(path, None, &body).await
    }

    /// Asks once, unsigned, for a session or its end; the whole answer.
    async fn post(
        &self,
        path: &str,
        kind: Option<&'static str>,
        body: &Bytes,
    ) -> Result<Bytes, GatewayError> {
        let authority = self.lines.authority();
        let make = || {
            let request = Request::builder().method(Method::POST).uri(path);
            let request = request.header(USER_AGENT, CLIENT);
            let mut request = request.header(HOST, authority);
            if let Some(kind) = kind {
                request = request.header(CONTENT_TYPE, kind);
            }
            let request = request.header(CONTENT_LENGTH, body.len());
            let made = request.body(Full::new(body.clone()));
            made.map_err(|error| GatewayError::broken(&error))
        };
        let mut answer = BytesMut::new();
        let mut take = |piece: &[u8]| {
            if answer.len().saturating_add(piece.len()) > limits::STORE_ERROR_BYTES_MAX {
                return Err(GatewayError::Unreachable("too long an answer".into()));
            }
            answer.extend_from_slice(piece);
            Ok(())
        };
        self.lines.read(&make, served, &mut take).await?;
        Ok(answer.freeze())
    }

    /// Tries, as many as help.
    pub(super) fn tries(&self) -> Tries {
        Tries {
            end: Instant::now() + self.patience,
            pause: PAUSE,
        }
    }

    /// One try: the answer's body, piece by piece.
    pub(super) async fn read(&self, asking: &Asking, take: Take<'_>) -> Result<(), GatewayError> {
        self.refresh().await?;
        let used = self.credentials.current();
        let signed = || self.signed(asking, &used);
        match self.lines.read(&signed, served, take).await {
            Err(error) if error.knows_no_session() => {
                let next = self.session_after(&used, error).await?;
                let signed = || self.signed(asking, &next);
                self.lines.read(&signed, served, take).await
            }
            done => done,
        }
    }

    /// The session in the place of a job's that is not taken any more before its time; or why
    /// there is none, in the gateway's words on the job.
    async fn session_after(
        &self,
        used: &Arc<Current>,
        refused: GatewayError,
    ) -> Result<Arc<Current>, GatewayError> {
        let Some(source) = self.credentials.job() else {
            return Err(refused);
        };
        let mut over = self.renewing.lock().await;
        let now = self.credentials.current();
        if !Arc::ptr_eq(used, &now) {
            return Ok(now);
        }
        if let Some((told, since)) = over.as_ref()
            && since.elapsed() < OVER
        {
            return Err(told.clone());
        }
        let answer = self.state_job(source, Act::Start).await;
        let started = answer.map(|answer| started(&answer));
        let next = match started {
            Ok(Some(started)) => {
                self.credentials.renewed(&started);
                Ok(self.credentials.current())
            }
            Err(why @ GatewayError::Refused { .. }) => Err(why),
            Ok(None) | Err(GatewayError::Unreachable(_) | GatewayError::Credential(_)) => {
                Err(refused.clone())
            }
        };
        // One that is refused at once, too, is followed by none before this is over.
        let told = next.as_ref().err().unwrap_or(&refused).clone();
        *over = Some((told, Instant::now()));
        next
    }

    fn signed(
        &self,
        asking: &Asking,
        current: &Current,
    ) -> Result<Request<Full<Bytes>>, GatewayError> {
        let hash;
        let payload = if asking.body.is_empty() {
            EMPTY_PAYLOAD
        } else {
            let digest = ring::digest::digest(&ring::digest::SHA256, &asking.body);
            hash = HEXLOWER.encode(digest.as_ref());
            &hash
        };
        let authority = self.lines.authority();
        let mut headers = vec![("host", authority), ("x-amz-content-sha256", payload)];
        if let Some(token) = &current.token {
            headers.push(("x-amz-security-token", token.expose()));
        }
        let parts = Parts {
            method: asking.method.as_str(),
            path: &asking.path,
            query: &asking.query,
            headers: &headers,
            payload,
        };
        let signature = current.signer.sign(&parts, self.clock.now());
        let uri = if asking.query.is_empty() {
            asking.path.clone()
        } else {
            format!("{}?{}", asking.path, asking.query)
        };
        let mut request = Request::builder()
            .method(&asking.method)
            .uri(uri)
            .header(HOST, authority)
            .header(USER_AGENT, CLIENT)
            .header(CONTENT_LENGTH, asking.body.len())
            .header("x-amz-content-sha256", payload)
            .header("x-amz-date", signature.date)
            .header(AUTHORIZATION, signature.authorization);
        if let Some(token) = &current.token {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|error| GatewayError::broken(&error))?;
            value.set_sensitive(true);
            request = request.header("x-amz-security-token", value);
        }
        request
            .body(Full::new(asking.body.clone()))
            .map_err(|error| GatewayError::broken(&error))
    }
}

/// An answer that was asked for, or why there is none.
fn served(
    answer: Response<Incoming>,
) -> Result<Response<Incoming>, impl Future<Output = GatewayError> + Send> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    Err(Box::pin(refused(status, answer.into_body())))
}

/// The session that an answer is.
fn started(answer: &[u8]) -> Option<Started> {
    let session: JobSession = serde_json::from_slice(answer).ok()?;
    Some(session.into())
}

/// Why the gateway refuses, in its own code.
async fn refused(status: StatusCode, mut body: Incoming) -> GatewayError {
    let mut text = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout(IDLE, body.frame()).await {
        let room = limits::STORE_ERROR_BYTES_MAX.saturating_sub(text.len());
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        text.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        if room <= piece.len() {
            break;
        }
    }
    let problem: Result<Problem, _> = serde_json::from_slice(&text);
    // What fails before an endpoint has it, and what S3 has words for, is answered in S3's.
    let (code, title) = problem.map_or_else(
        |_not_json| {
            let text = String::from_utf8_lossy(&text);
            let code = element(&text, "Code").map(str::to_owned);
            let message = text.split_once("<Message>");
            let message = message.and_then(|(_, rest)| rest.split_once("</Message>"));
            (
                code.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned()),
                message.map_or_else(String::new, |(inside, _)| inside.to_owned()),
            )
        },
        |problem| (problem.code, problem.title),
    );
    let title = title
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_CHARS_MAX);
    let code = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == ' ')
        .take(64);
    GatewayError::Refused {
        status: status.as_u16(),
        code: code.collect(),
        title: title.collect(),
    }
}
