//! Who is believed about who people are: the file that names issuers, and their keys, from files or
//! fetched; and whose visas. All of it beside the requests: none ever waits for an issuer.
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
use super::visa_issuers::{self, VisaEntry};
use crate::token::{Issuer, Keys, KeysError, VisaIssuer};
use crate::types::limits;
use crate::vault::Vault;

/// How long keys that were fetched are used before they are fetched again.
const KEYS_FRESH: Duration = Duration::from_mins(5);

/// Why issuers are not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssuersError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file does not say what issuers are.
    #[error("the issuers' file {} is at fault", path.display())]
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
    #[serde(default)]
    visa_issuer: Vec<VisaEntry>,
}

/// Where an entry's keys are.
pub(super) struct KeysAt<'a> {
    pub(super) name: &'a str,
    pub(super) file: Option<&'a Path>,
    pub(super) url: Option<&'a str>,
    pub(super) ca_file: Option<&'a Path>,
}

/// What the file says, with keys, and what is wrong with entries that were left out.
#[derive(Default)]
struct Loaded {
    issuers: Vec<Issuer>,
    visa_issuers: Vec<VisaIssuer>,
    errors: Vec<IssuersError>,
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
    /// Whether visas that its tokens bring are looked at.
    #[serde(default)]
    passports: bool,
}

impl Entry {
    fn keys_at(&self) -> KeysAt<'_> {
        KeysAt {
            name: &self.name,
            file: self.jwks_file.as_deref(),
            url: self.jwks_url.as_deref(),
            ca_file: self.ca_file.as_deref(),
        }
    }
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
fn entries(path: &Path) -> Result<File, IssuersError> {
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
    let known: Vec<_> = file.issuer.iter().map(|i| (&*i.name, &*i.url)).collect();
    visa_issuers::check(&file.visa_issuer, &known)?;
    Ok(file)
}

/// Whether a text can be a name, or what is compared with one of a token.
pub(super) fn named(text: &str) -> bool {
    (1..=limits::TOKEN_SUBJECT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
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
    async fn load(&mut self, path: &Path) -> Result<Loaded, IssuersError> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let mut loaded = Loaded::default();
        let file = entries(path)?;
        for entry in file.issuer {
            let keys = self.keys(&entry.keys_at(), folder).await;
            if let Some(keys) = loaded.keys(keys) {
                loaded.issuers.push(Issuer {
                    name: entry.name,
                    url: entry.url,
                    audience: entry.audience,
                    once: entry.once,
                    groups: entry.groups,
                    passports: entry.passports,
                    keys,
                });
            }
        }
        for entry in file.visa_issuer {
            let keys = self.keys(&entry.keys_at(), folder).await;
            if let Some(keys) = loaded.keys(keys) {
                loaded.visa_issuers.push(entry.with(keys));
            }
        }
        Ok(loaded)
    }

    /// An entry's keys; with an error where they are those of before.
    async fn keys(
        &mut self,
        at: &KeysAt<'_>,
        folder: &Path,
    ) -> Result<(Keys, Option<IssuersError>), IssuersError> {
        let (text, error) = match (at.file, at.url) {
            (Some(file), _) => (
                read(&folder.join(file), limits::TOKEN_KEYS_BYTES_MAX)?,
                None,
            ),
            (None, Some(url)) => self.fetched(at, url, folder).await?,
            (None, None) => {
                return Err(IssuersError::Entry {
                    name: at.name.to_owned(),
                    problem: "has no keys",
                });
            }
        };
        let keys = Keys::read(&text).map_err(|source| IssuersError::Keys {
            name: at.name.to_owned(),
            source,
        })?;
        Ok((keys, error))
    }

    /// The text of keys at a URL, fetched again when it is no longer fresh. What cannot be fetched
    /// leaves what was there.
    async fn fetched(
        &mut self,
        at: &KeysAt<'_>,
        url: &str,
        folder: &Path,
    ) -> Result<(Vec<u8>, Option<IssuersError>), IssuersError> {
        if let Some((at, text)) = self.texts.get(url)
            && at.elapsed() < self.fresh
        {
            return Ok((text.clone(), None));
        }
        let ca = at.ca_file.map(|file| folder.join(file));
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
                    name: at.name.to_owned(),
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

impl Loaded {
    /// Keys that could be had; what is wrong is noted.
    fn keys(&mut self, keys: Result<(Keys, Option<IssuersError>), IssuersError>) -> Option<Keys> {
        match keys {
            Ok((keys, error)) => {
                self.errors.extend(error);
                Some(keys)
            }
            Err(error) => {
                self.errors.push(error);
                None
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
            Ok(loaded) => {
                vault.replace_issuers(loaded.issuers);
                vault.replace_visa_issuers(loaded.visa_issuers);
                loaded
                    .errors
                    .iter()
                    .map(words)
                    .collect::<Vec<_>>()
                    .join("; ")
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
        let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
        assert!(loaded.errors.is_empty());
        let told: Vec<_> = loaded
            .issuers
            .iter()
            .map(|i| (i.name.as_str(), i.once))
            .collect();
        assert_eq!(told, [("k8s", true), ("b", false)]);
    }

    const VISAS: &str = "[[visa_issuer]]\nname = 'ega'\nurl = 'https://ega'\n\
                         jku = ['https://ega/jwks']\njwks_file = 'keys.json'\n";

    #[tokio::test]
    async fn issuers_of_visas_come_with_their_keys_and_are_strict_unless_said() {
        let more = "[[visa_issuer]]\nname = 'k8s'\nurl = 'https://k8s'\njku = ['a', 'b']\n\
                    jwks_file = 'keys.json'\nsubject = 'same'\nasserted_days_max = 30\n";
        let (_dir, path) = written(&format!("{GOOD}passports = true\n{VISAS}{more}"));
        let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
        assert!(loaded.errors.is_empty());
        assert!(loaded.issuers[0].passports);
        let day = 24 * 60 * 60 * 1_000;
        let told = loaded.visa_issuers.iter().map(|issuer| {
            let days = issuer.asserted_ms_max / day;
            (
                &*issuer.name,
                issuer.places.len(),
                issuer.same_subject,
                days,
            )
        });
        let expected = [("ega", 1, false, 365), ("k8s", 2, true, 30)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn entries_of_visa_issuers_that_cannot_be_are_refused() {
        for bad in [
            VISAS.replace("jku = ['https://ega/jwks']\n", ""),
            VISAS.replace("['https://ega/jwks']", "[]"),
            VISAS.replace("'https://ega/jwks'", "''"),
            VISAS.replace("['https://ega/jwks']", "'https://ega/jwks'"),
            VISAS.replace("'https://ega/jwks'", &"'x',".repeat(9)),
            VISAS.replace("jwks_file = 'keys.json'\n", ""),
            VISAS.replace("'ega'", "''"),
            VISAS.replace("'ega'", "\"e\\nga\""),
            format!("{VISAS}jwks_url = 'https://ega/jwks'\n"),
            format!("{VISAS}subject = 'any'\n"),
            format!("{VISAS}asserted_days_max = 0\n"),
            format!("{VISAS}asserted_days_max = 3651\n"),
            format!("{VISAS}audience = 'kluis'\n"),
            format!("{VISAS}{VISAS}"),
            // One name for two, and two names for one.
            format!("{GOOD}{}", VISAS.replace("'ega'", "'k8s'")),
            format!("{GOOD}{}", VISAS.replace("'https://ega'", "'https://k8s'")),
        ] {
            let (_dir, path) = written(&bad);
            assert!(Fetched::new(KEYS_FRESH).load(&path).await.is_err(), "{bad}");
        }
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
        let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
        let told = (loaded.issuers.len(), loaded.errors.len());
        assert_eq!(told, (0, 1), "nobody is believed");
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
            let loaded = fetched.load(&path).await.unwrap();
            let told = (loaded.issuers.len(), loaded.errors.len());
            assert_eq!(told, (1, errors), "{round}");
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
            let loaded = Fetched::new(KEYS_FRESH).load(&path).await.unwrap();
            let told = (loaded.issuers.len(), loaded.errors.len());
            assert_eq!(told, (0, 1), "{answer:.40}");
        }
    }
}
