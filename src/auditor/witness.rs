//! `kluis-audit witness`: a small witness (c2sp.org/tlog-witness), for an owner's organisation or
//! an auditor's to run. It keeps one file for each log, and that file only ever goes forward.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use data_encoding::{BASE64, HEXLOWER};
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Limited};

use super::args::{WitnessCommand, WitnessServe};
use crate::app::create_file;
use crate::app::limits::Bounds;
use crate::app::listen::Listener;
use crate::app::shutdown::channel;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::app::tls::Tls;
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::config::TlsVersion;
use crate::ledger::tlog::{Checkpoint, KeyKind, Signer, Submitted, VerifierKey, WitnessRefusal};
use crate::notary::{DirShelf, NotaryError, Shelf as _};
use crate::ops::Metrics;
use crate::types::limits::{NOTE_BYTES_MAX, TRUST_BYTES_MAX};
use crate::types::{Clock as _, Secret};

/// How long a request's body may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the certificate is looked at for a change.
const RELOAD: Duration = Duration::from_secs(5);
/// What an answer's size is called.
const SIZE: &str = "text/x.tlog.size";
/// How the file of a signing key begins (c2sp.org/signed-note has the form from Go's `note`).
const PRIVATE: &str = "PRIVATE+KEY+";

/// Runs it.
pub(super) fn run(command: &WitnessCommand, output: &mut Output) -> Result<Exit, CliError> {
    match command {
        WitnessCommand::New { name, out } => new(name, out, output),
        WitnessCommand::Serve(ask) => serve(ask, output),
    }
}

fn wrong(what: impl Into<String>) -> CliError {
    CliError::new(Exit::Usage, what)
}

fn signer(name: &str, seed: &Secret<32>) -> Result<Signer, CliError> {
    let signer = Signer::new(name, KeyKind::Cosignature, seed);
    signer.map_err(|error| CliError::of(Exit::Usage, &error))
}

/// Makes a key; prints its public half.
fn new(name: &str, out: &Path, output: &mut Output) -> Result<Exit, CliError> {
    let seed = Secret::random(&SystemEntropy::new());
    let seed = seed.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
    let signer = signer(name, &seed)?;
    let secret = [&[KeyKind::Cosignature.byte()][..], seed.expose()].concat();
    let text = zeroize::Zeroizing::new(format!("{PRIVATE}{name}+{}\n", BASE64.encode(&secret)));
    create_file(out, text.as_bytes(), 0o600).map_err(|error| CliError::of(Exit::Usage, &error))?;
    output.line(&signer.public().to_string())?;
    output.hint("give this line to those who trust the witness, and to the log's operator");
    Ok(Exit::Done)
}

fn read_key(path: &Path) -> Result<Signer, CliError> {
    let refused = || wrong(format!("{} is not the key of a witness", path.display()));
    let text = crate::config::read_secret_file(path);
    let text = text.map_err(|error| CliError::of(Exit::Usage, &error))?;
    let rest = text.expose().trim_end().strip_prefix(PRIVATE);
    let (name, secret) = rest
        .and_then(|rest| rest.split_once('+'))
        .ok_or_else(refused)?;
    let secret = BASE64
        .decode(secret.as_bytes())
        .map_err(|_base64| refused())?;
    let mut secret = zeroize::Zeroizing::new(secret);
    let (kind, seed) = secret.split_first_mut().ok_or_else(refused)?;
    let seed: &mut [u8; 32] = seed.try_into().map_err(|_length| refused())?;
    if *kind != KeyKind::Cosignature.byte() {
        return Err(refused());
    }
    signer(name, &Secret::take(seed))
}

struct Witness {
    signer: Signer,
    logs: Vec<VerifierKey>,
    /// What was seen of each log; one request at a time looks and stores.
    seen: Mutex<DirShelf>,
}

/// A log's file: no origin can name another.
fn file_of(origin: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, origin.as_bytes());
    HEXLOWER.encode(hash.as_ref())
}

/// Why no cosignature is given.
enum Refused {
    Asked(WitnessRefusal),
    /// The state cannot be read or stored: nothing may be signed.
    State(String),
}

impl Witness {
    fn cosign(&self, body: &[u8]) -> Result<String, Refused> {
        let submitted = Submitted::open(body, &self.logs).map_err(Refused::Asked)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |error: &dyn std::error::Error| Refused::State(error.to_string());
        let name = file_of(&submitted.checkpoint.origin);
        let last = match seen.read(&name).map_err(|error| state(&error))? {
            None => None,
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let last: Checkpoint = text.parse().map_err(|error| state(&error))?;
                Some(last)
            }
        };
        submitted.judge(last.as_ref()).map_err(Refused::Asked)?;
        // Durable before the cosignature leaves.
        let stored = seen.put(&name, submitted.checkpoint.to_string().as_bytes());
        stored.map_err(|error| state(&error))?;
        let now = SystemClock.now().seconds();
        Ok(format!("{}\n", self.signer.cosign(submitted.text(), now)))
    }
}

fn answer(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, body).into_response()
}

/// A body's bytes, `most` at most; `None`: there are more, or it broke off. Bytes are kept and not
/// frames: one of a single byte holds the whole buffer that it was read into.
async fn gathered(body: Body, most: usize) -> Option<Bytes> {
    let mut body = Limited::new(body, most);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes.freeze())
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Body) -> Response {
    let body = gathered(body, NOTE_BYTES_MAX.saturating_mul(2));
    let Ok(Some(body)) = tokio::time::timeout(PATIENCE, body).await else {
        return answer(400, "the body is too long or too slow\n".to_owned());
    };
    let judged = tokio::task::spawn_blocking(move || witness.cosign(&body)).await;
    match judged {
        Ok(Ok(line)) => answer(200, line),
        Ok(Err(Refused::Asked(refusal))) => match refusal.status() {
            (status, Some(size)) => {
                let body = format!("{size}\n");
                let mut answered = answer(status, body);
                let size = header::HeaderValue::from_static(SIZE);
                answered.headers_mut().insert(header::CONTENT_TYPE, size);
                answered
            }
            (status, None) => answer(status, format!("{refusal}\n")),
        },
        Ok(Err(Refused::State(error))) => {
            tracing::error!(error, "the witness's state cannot be kept");
            answer(500, "the state cannot be kept\n".to_owned())
        }
        Err(_died) => answer(500, "\n".to_owned()),
    }
}

fn serve(ask: &WitnessServe, output: &mut Output) -> Result<Exit, CliError> {
    let mut logs = Vec::new();
    for path in &ask.log {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let key: Option<VerifierKey> = (text.len() <= TRUST_BYTES_MAX)
            .then(|| text.trim_end().parse().ok())
            .flatten();
        let key = key.filter(|key| key.kind() == KeyKind::Note);
        let refused = || wrong(format!("{} is not the public key of a log", path.display()));
        logs.push(key.ok_or_else(refused)?);
    }
    let seen = DirShelf::keep(&ask.state).map_err(|error| {
        if matches!(error, NotaryError::Locked) {
            return CliError::new(Exit::Unavailable, "another witness keeps this state");
        }
        CliError::of(Exit::Usage, &error)
    })?;
    let witness = Arc::new(Witness {
        signer: read_key(&ask.key)?,
        logs,
        seen: Mutex::new(seen),
    });
    let routes = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .with_state(witness);
    let tls = match (&ask.tls_cert, &ask.tls_key) {
        (Some(chain), Some(key)) => {
            let tls = Tls::load(chain, key, TlsVersion::V12);
            Some(Arc::new(
                tls.map_err(|error| CliError::of(Exit::Usage, &error))?,
            ))
        }
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    runtime()?.block_on(async {
        let metrics = Arc::new(Metrics::new());
        let listener = Listener::bind(ask.listen, tls.clone(), Bounds::of_ops(), metrics).await;
        let listener = listener.map_err(|error| CliError::of(Exit::Usage, &error))?;
        output.note(&format!("witnessing on {scheme}://{}", listener.address()?));
        let (trigger, shutdown) = channel();
        let ending = shutdown.clone();
        let renewing = async move {
            match tls {
                Some(tls) => {
                    tls.watch(RELOAD, |_told| (), ending).await;
                    std::future::pending::<()>().await;
                }
                None => std::future::pending().await,
            }
        };
        let stop = async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            trigger.stop();
        };
        let serving = async {
            tokio::join!(listener.serve(routes, shutdown), stop);
        };
        tokio::select! {
            () = serving => {}
            () = renewing => {}
        }
        Ok(Exit::Done)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A buffer as a connection reads it, which counts those that are alive.
    struct Buffer(Arc<AtomicUsize>);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &[b'x'; 8_192]
        }
    }

    impl Drop for Buffer {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_byte_of_a_frame_costs_a_byte() {
        let alive = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (living, seen) = (Arc::clone(&alive), Arc::clone(&most));
        let frames = (0..2_000).map(move |_| {
            let now = living.fetch_add(1, Ordering::Relaxed) + 1;
            seen.fetch_max(now, Ordering::Relaxed);
            let buffer = Bytes::from_owner(Buffer(Arc::clone(&living)));
            Ok::<_, std::io::Error>(buffer.slice(..1))
        });
        let body = Body::from_stream(futures_util::stream::iter(frames));
        let bytes = gathered(body, 2_000).await.unwrap();
        assert_eq!(bytes, vec![b'x'; 2_000]);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
        let most = most.load(Ordering::Relaxed);
        assert!(most <= 2, "{most} buffers were kept");
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_or_breaks_off_is_none() {
        assert!(gathered(Body::from(vec![0; 11]), 10).await.is_none());
        assert_eq!(
            gathered(Body::from(vec![0; 10]), 10).await.unwrap().len(),
            10
        );
        let broken = [
            Ok(Bytes::from_static(b"a")),
            Err(std::io::Error::other("gone")),
        ];
        let broken = Body::from_stream(futures_util::stream::iter(broken));
        assert!(gathered(broken, 10).await.is_none());
    }
}
