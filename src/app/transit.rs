//! A root identity that a key of a key service keeps: the transit engine of OpenBao, and of what
//! speaks like it. The key never leaves the service; the file of the root holds what the service
//! made of the root, bound to its public half, and opens to nobody without the service's consent.
//!
//! Each call is one bounded request, over TLS or to this machine, with a token that is read from
//! its file each time. Nothing is tried twice and nothing is kept: a service that is away is a
//! vault that does not open.

use std::path::Path;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::fetch::{FetchError, Place, post};
use crate::config::{SecretError, Transit, read_secret_file};
use crate::keyring::{KeptRoot, KeyRingError, RootIdentity};

/// An answer is never longer: it holds one wrapped root, some hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Where the service takes its token.
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// Why the key service did not do it. No text of the service is shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransitError {
    /// It is not configured.
    #[error("`transit.{key}` is not set")]
    Setting {
        /// Which key is missing.
        key: &'static str,
    },
    /// Its token cannot be had.
    #[error("the token for the key service cannot be had")]
    Token(#[source] SecretError),
    /// It was not reached, or not in time.
    #[error("the key service was not reached")]
    Reach(#[from] ReachError),
    /// It refused.
    #[error("the key service refused status={status}")]
    Status {
        /// Its answer's status.
        status: u16,
    },
    /// It answered something else.
    #[error("the key service's answer is none")]
    Answer,
    /// What it opened is not the root.
    #[error("the key service opened something else than this root")]
    Root(#[source] KeyRingError),
}

/// The way to the service failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReachError(#[from] FetchError);

impl From<FetchError> for TransitError {
    fn from(error: FetchError) -> Self {
        Self::Reach(ReachError(error))
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Wrapped {
    ciphertext: String,
}

/// Borrowed, so that the secret stands in the answer's buffer alone.
#[derive(Deserialize)]
struct Opened<'a> {
    plaintext: &'a str,
}

/// Has a root wrapped: what its file is to hold.
pub(super) async fn wrap(config: &Transit, root: &RootIdentity) -> Result<String, TransitError> {
    let secret = root.secret_text();
    let plain = Zeroizing::new(BASE64.encode(secret.as_bytes()));
    let bound = BASE64.encode(root.recipient().as_bytes());
    let head = "{\"plaintext\":\"";
    let middle = "\",\"associated_data\":\"";
    let tail = "\"}";
    // Base64 needs no escapes; the room is exact, so that no copy is left behind.
    let parts = [head, plain.as_str(), middle, bound.as_str(), tail];
    let mut body = Zeroizing::new(Vec::with_capacity(
        parts.iter().map(|part| part.len()).sum(),
    ));
    for part in parts {
        body.extend_from_slice(part.as_bytes());
    }
    let answer = ask(config, &of_key(config, "encrypt"), body).await?;
    let answer: Answer<Wrapped> =
        serde_json::from_slice(&answer).map_err(|_other| TransitError::Answer)?;
    Ok(answer.data.ciphertext)
}

/// Has a root opened.
pub(super) async fn open(
    config: &Transit,
    (kept, wrapped): (&KeptRoot, &str),
) -> Result<RootIdentity, TransitError> {
    let body = serde_json::json!({
        "ciphertext": wrapped,
        "associated_data": BASE64.encode(kept.recipient().as_bytes()),
    });
    let body = Zeroizing::new(body.to_string().into_bytes());
    let answer = ask(config, &of_key(config, "decrypt"), body).await?;
    let answer: Answer<Opened<'_>> =
        serde_json::from_slice(&answer).map_err(|_other| TransitError::Answer)?;
    let secret = BASE64.decode(answer.data.plaintext.as_bytes());
    let secret = Zeroizing::new(secret.map_err(|_other| TransitError::Answer)?);
    kept.open_with(&secret).map_err(TransitError::Root)
}

/// The path of a verb of the key.
fn of_key(config: &Transit, verb: &str) -> String {
    format!("{}/{verb}/{}", config.mount, config.key)
}

/// One request: its answer's body. **It is wiped when dropped, on both ways.**
pub(super) async fn ask(
    config: &Transit,
    path: &str,
    body: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let missing = |key| TransitError::Setting { key };
    let url = config.url.as_deref().ok_or_else(|| missing("url"))?;
    let file = config
        .token_file
        .as_deref()
        .ok_or_else(|| missing("token_file"))?;
    let url = url.trim_end_matches('/');
    let url = format!("{url}/v1/{path}");
    let place = Place::of(&url)?;
    let dial = place.dial(config.ca_file.as_deref())?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (TOKEN, token(file)?),
    ];
    let body = Bytes::from_owner(body);
    let (status, body) = post(&place, dial.as_ref(), (&headers, body), ANSWER_BYTES_MAX).await?;
    let body = Zeroizing::new(body);
    if status != 200 {
        return Err(TransitError::Status { status });
    }
    Ok(body)
}

fn token(file: &Path) -> Result<HeaderValue, TransitError> {
    let token = read_secret_file(file).map_err(TransitError::Token)?;
    let shape = || TransitError::Token(SecretError::Shape { path: file.into() });
    let mut value = HeaderValue::from_str(token.expose()).map_err(|_no_value| shape())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::keyring::{Keeper, Wrapped};

    /// A key service that answers once with this, and what it was asked.
    async fn service(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut some = [0; 4096];
                let read = stream.read(&mut some).await.unwrap();
                request.extend_from_slice(&some[..read]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (url, asked)
    }

    fn http(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    struct Place {
        config: Transit,
        root: RootIdentity,
        kept: KeptRoot,
        _dir: tempfile::TempDir,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "a-token\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        let config = Transit {
            token_file: Some(file),
            ..Transit::default()
        };
        let root = RootIdentity::generate();
        let wrapped = "vault:v1:x".to_owned();
        let kept = KeptRoot::new(&root, Keeper::Transit(Wrapped { wrapped }));
        Place {
            config,
            root,
            kept,
            _dir: dir,
        }
    }

    async fn told(place: &mut Place, answer: String) -> Result<String, TransitError> {
        let (url, asked) = service(answer).await;
        place.config.url = Some(url);
        let opened = open(&place.config, (&place.kept, "vault:v1:x")).await;
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("POST /v1/transit/decrypt/kluis-root "),
            "{asked}"
        );
        assert!(asked.contains("x-vault-token: a-token"), "{asked}");
        opened.map(|root| root.recipient())
    }

    fn plain(root: &RootIdentity) -> String {
        let text = BASE64.encode(root.secret_text().as_bytes());
        format!("{{\"data\": {{\"plaintext\": \"{text}\", \"more\": 1}}, \"lease\": 0}}")
    }

    #[tokio::test]
    async fn a_root_comes_back_and_is_bound_to_its_public_half() {
        let mut place = place();
        let right = plain(&place.root);
        let opened = told(&mut place, http("200 OK", &right)).await.unwrap();
        assert_eq!(opened, place.root.recipient());
        let (url, asked) =
            service(http("200 OK", "{\"data\":{\"ciphertext\":\"vault:v1:y\"}}")).await;
        place.config.url = Some(url);
        let wrapped = wrap(&place.config, &place.root).await.unwrap();
        let asked = asked.await.unwrap();
        assert_eq!(wrapped, "vault:v1:y");
        let bound = BASE64.encode(place.root.recipient().as_bytes());
        assert!(
            asked.contains(&format!("\"associated_data\":\"{bound}\"")),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_opens_nothing() {
        let mut place = place();
        for body in [
            "",
            "{}",
            "[]",
            "{\"data\":{}}",
            "{\"data\":{\"plaintext\":\"!\"}}",
        ] {
            let told = told(&mut place, http("200 OK", body)).await;
            assert!(
                matches!(told, Err(TransitError::Answer)),
                "{body}: {told:?}"
            );
        }
        let other = plain(&RootIdentity::generate());
        let told_other = told(&mut place, http("200 OK", &other)).await;
        assert!(matches!(told_other, Err(TransitError::Root(_))));
        let right = plain(&place.root);
        for (status, number) in [
            ("403 Forbidden", 403),
            ("302 Found", 302),
            ("204 None", 204),
        ] {
            let told = told(&mut place, http(status, &right)).await;
            let refused = matches!(told, Err(TransitError::Status { status }) if status == number);
            assert!(refused, "{status}: {told:?}");
        }
        let long = " ".repeat(ANSWER_BYTES_MAX + 1);
        for answer in [http("200 OK", &long), "garbage".to_owned(), String::new()] {
            let told = told(&mut place, answer).await;
            assert!(matches!(told, Err(TransitError::Reach(_))), "{told:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_set_or_not_there_opens_nothing() {
        let mut place = place();
        let ask = async |config: &Transit| wrap(config, &RootIdentity::generate()).await;
        let unset = ask(&place.config).await;
        assert!(matches!(unset, Err(TransitError::Setting { key: "url" })));
        place.config.url = Some("https://192.0.2.1".to_owned());
        place.config.ca_file = Some("/nowhere".into());
        let untrusted = ask(&place.config).await;
        assert!(matches!(untrusted, Err(TransitError::Reach(_))));
        place.config.url = Some("http://192.0.2.1".to_owned());
        assert!(matches!(
            ask(&place.config).await,
            Err(TransitError::Reach(_))
        ));
        place.config.token_file = Some("/nowhere".into());
        place.config.url = Some("http://127.0.0.1:9".to_owned());
        assert!(matches!(
            ask(&place.config).await,
            Err(TransitError::Token(_))
        ));
    }
}
