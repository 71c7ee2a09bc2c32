//! Who is believed about who people are: the file that names issuers, and their keys, from files or
//! fetched. All of it beside the requests: none ever waits for an issuer.
//!
//! A broken file, or keys that cannot be had, leave what was good in force; at the start that is
//! nobody.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::fetch::{self, FetchError};
use super::shutdown::Shutdown;
use crate::token::{Issuer, Keys, KeysError};
use crate::types::limits;
use crate::vault::Vault;

/// How long keys that were fetched are used before they are fetched again.
const KEYS_FRESH: Duration = Duration::from_mins(5);

/// Why issuers are not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssuersError {
    /// A file cannot be read.
    #[error("cannot read path={}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file does not say what issuers are.
    #[error("the issuers' file is at fault path={}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: toml::de::Error,
    },
    /// An entry cannot be.
    #[error("issuer={name} {problem}")]
    Entry {
        /// Which.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An issuer's keys cannot be fetched.
    #[error("the keys of issuer={name} cannot be fetched")]
    Fetch {
        /// Which.
        name: String,
        /// What went wrong.
        #[source]
        source: FetchError,
    },
    /// An issuer's keys are none.
    #[error("the keys of issuer={name} are of no use")]
    Keys {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: KeysError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    issuer: Vec<Entry>,
}

/// One issuer in the file.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    url: String,
    audience: String,
    #[serde(default)]
    jwks_file: Option<PathBuf>,
    #[serde(default)]
    jwks_url: Option<String>,
    /// Certificates to trust for `jwks_url`, PEM; the system's if not said.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Whether a token is good once only.
    #[serde(default = "yes")]
    once: bool,
    /// The claim that says in which groups somebody is.
    #[serde(default)]
    groups: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Texts of keys that were fetched, each with when.
struct Fetched {
    fresh: Duration,
    texts: HashMap<String, (tokio::time::Instant, Vec<u8>)>,
}

/// Reads the entries; each is whole and its name its own.
fn entries(path: &Path) -> Result<Vec<Entry>, IssuersError> {
    let text = read(path, limits::TOKEN_KEYS_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&text);
    let file: File = toml::from_str(&text).map_err(|source| IssuersError::File {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |entry: &Entry, problem| {
        Err(IssuersError::Entry {
            name: entry.name.clone(),
            problem,
        })
    };
    for (at, entry) in file.issuer.iter().enumerate() {
        let before = file.issuer.iter().take(at);
        let named = |text: &str| (1..=limits::TOKEN_SUBJECT_BYTES_MAX).contains(&text.len());
        if at >= limits::ISSUERS_MAX {
            return wrong(entry, "is one too many");
        }
        if !(named(&entry.name) && named(&entry.url) && named(&entry.audience)) {
            return wrong(entry, "lacks a name, a url or an audience");
        }
        if entry.groups.as_deref().is_some_and(|claim| !named(claim)) {
            return wrong(entry, "names no claim");
        }
        if before
            .into_iter()
            .any(|b| b.name == entry.name || b.url == entry.url)
        {
            return wrong(entry, "is there twice");
        }
        if entry.jwks_file.is_some() == entry.jwks_url.is_some() {
            return wrong(entry, "needs jwks_file or jwks_url, and not both");
        }
    }
    Ok(file.issuer)
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, IssuersError> {
    let unreadable = |source| IssuersError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map_err(unreadable)
}

impl Fetched {
    fn new(fresh: Duration) -> Self {
        Self {
            fresh,
            texts: HashMap::new(),
        }
    }

    /// Everything the file says, with keys. An issuer whose keys cannot be had is left out, with
    /// the error; if they could be had before, those stay.
    async fn load(
        &mut self,
        path: &Path,
    ) -> Result<(Vec<Issuer>, Vec<IssuersError>), IssuersError> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let (mut issuers, mut errors) = (Vec::new(), Vec::new());
        for entry in entries(path)? {
            match self.issuer(&entry, folder).await {
                Ok((issuer, error)) => {
                    issuers.push(issuer);
                    errors.extend(error);
                }
                Err(error) => errors.push(error),
            }
        }
        Ok((issuers, errors))
    }

    async fn issuer(
        &mut self,
        entry: &Entry,
        folder: &Path,
    ) -> Result<(Issuer, Option<IssuersError>), IssuersError> {
        let (text, error) = match (&entry.jwks_file, &entry.jwks_url) {
            (Some(file), _) => (
                read(&folder.join(file), limits::TOKEN_KEYS_BYTES_MAX)?,
                None,
            ),
            (None, Some(url)) => self.keys(entry, url, folder).await?,
            (None, None) => {
                return Err(IssuersError::Entry {
                    name: entry.name.clone(),
                    problem: "has no keys",
                });
            }
        };
        let keys = Keys::read(&text).map_err(|source| IssuersError::Keys {
            name: entry.name.clone(),
            source,
        })?;
        let issuer = Issuer {
            name: entry.name.clone(),
            url: entry.url.clone(),
            audience: entry.audience.clone(),
            once: entry.once,
            groups: entry.groups.clone(),
            keys,
        };
        Ok((issuer, error))
    }

    /// The text of keys at a URL, fetched again when it is no longer fresh. What cannot be fetched
    /// leaves what was there.
    async fn keys(
        &mut self,
        entry: &Entry,
        url: &str,
        folder: &Path,
    ) -> Result<(Vec<u8>, Option<IssuersError>), IssuersError> {
        if let Some((at, text)) = self.texts.get(url)
            && at.elapsed() < self.fresh
        {
            return Ok((text.clone(), None));
        }
        let ca = entry.ca_file.as_ref().map(|file| folder.join(file));
        match fetch::get(url, ca.as_deref(), limits::TOKEN_KEYS_BYTES_MAX).await {
            Ok(text) => {
                // What is no set of keys does not take the place of one.
                if Keys::read(&text).is_ok() || !self.texts.contains_key(url) {
                    let fetched = (tokio::time::Instant::now(), text.clone());
                    let _before = self.texts.insert(url.to_owned(), fetched);
                }
                let text = self.texts.get(url).map_or(text, |(_, text)| text.clone());
                Ok((text, None))
            }
            Err(source) => {
                let error = IssuersError::Fetch {
                    name: entry.name.clone(),
                    source,
                };
                match self.texts.get(url) {
                    Some((_, text)) => Ok((text.clone(), Some(error))),
                    None => Err(error),
                }
            }
        }
    }
}

/// Loads, then looks again and again until the end.
pub(super) async fn watch(
    vault: Arc<Vault>,
    file: PathBuf,
    interval: Duration,
    shutdown: Shutdown,
) {
    let mut fetched = Fetched::new(KEYS_FRESH);
    let mut alarmed = String::new();
    loop {
        let told = match fetched.load(&file).await {
            Ok((issuers, errors)) => {
                vault.replace_issuers(issuers);
                errors.iter().map(words).collect::<Vec<_>>().join("; ")
            }
            Err(error) => words(&error),
        };
        if told.is_empty() || told != alarmed {
            if !told.is_empty() {
                tracing::error!(why = told, "issuers of tokens are at fault");
            }
            alarmed = told;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.draining() => return,
        }
    }
}

fn words(error: &IssuersError) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told.push_str(": ");
        told.push_str(&cause.to_string());
        source = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const KEYS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuers.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join("keys.json"), KEYS).unwrap();
        (dir, path)
    }

    const GOOD: &str = "[[issuer]]\nname = 'k8s'\nurl = 'https://k8s'\naudience = 'kluis'\n\
                        jwks_file = 'keys.json'\n";

    #[tokio::test]
    async fn issuers_come_with_their_keys_and_tokens_are_good_once_unless_said() {
        let (_dir, path) = written(&format!(
            "{GOOD}[[issuer]]\nname = 'b'\nurl = 'u'\naudience = 'a'\njwks_file = 'keys.json'\nonce = false\n"
        ));
        let (issuers, errors) = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
        assert!(errors.is_empty());
        let told: Vec<_> = issuers.iter().map(|i| (i.name.as_str(), i.once)).collect();
        assert_eq!(told, [("k8s", true), ("b", false)]);
    }

    #[tokio::test]
    async fn files_that_do_not_say_who_are_refused() {
        for bad in [
            "issuer = 3",
            "[[issuer]]\nname = 'a'",
            &GOOD.replace("jwks_file", "jwks"),
            &GOOD.replace("jwks_file = 'keys.json'\n", ""),
            &GOOD.replace("'k8s'", "''"),
            &format!("{GOOD}jwks_url = 'https://k8s/keys'\n"),
            &format!("{GOOD}{GOOD}"),
            &GOOD.repeat(40),
        ] {
            let (_dir, path) = written(bad);
            assert!(Fetched::new(KEYS_FRESH).load(&path).await.is_err(), "{bad}");
        }
        let (_dir, path) = written(&GOOD.replace("keys.json", "none.json"));
        let (issuers, errors) = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
        assert_eq!((issuers.len(), errors.len()), (0, 1), "nobody is believed");
    }

    /// Answers one request each, with these texts.
    async fn serve(answers: Vec<String>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        drop(tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _read = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }));
        url
    }

    fn http(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn fetched_keys_stay_while_the_issuer_is_away_or_at_fault() {
        let away = http("503 Service Unavailable", "");
        let garbage = http("200 OK", "<html>");
        let url = serve(vec![http("200 OK", KEYS), away, garbage]).await;
        let (_dir, path) =
            written(&GOOD.replace("jwks_file = 'keys.json'", &format!("jwks_url = '{url}'")));
        let mut fetched = Fetched::new(KEYS_FRESH);
        for (round, errors) in [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1)] {
            let (issuers, told) = fetched.load(&path).await.unwrap();
            assert_eq!((issuers.len(), told.len()), (1, errors), "{round}");
            if round >= 1 {
                fetched.fresh = Duration::ZERO;
            }
        }
    }

    #[tokio::test]
    async fn keys_that_never_came_are_nobodys() {
        for answer in [
            http("404 Not Found", KEYS),
            http("302 Found", KEYS),
            http("200 OK", &"x".repeat(limits::TOKEN_KEYS_BYTES_MAX + 1)),
            http("200 OK", "{}"),
            "garbage".to_owned(),
        ] {
            let url = serve(vec![answer.clone()]).await;
            let (_dir, path) =
                written(&GOOD.replace("jwks_file = 'keys.json'", &format!("jwks_url = '{url}'")));
            let (issuers, errors) = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
            assert_eq!((issuers.len(), errors.len()), (0, 1), "{answer:.40}");
        }
    }
}
