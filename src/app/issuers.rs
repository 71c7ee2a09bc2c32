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

use super::fetch::{self, FetchError, Place};
use super::health::Health;
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
    text: Vec<u8>,
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

/// Reads the entries; each is whole and its name its own. With the text that they stand in.
fn entries(path: &Path) -> Result<(Vec<u8>, File), IssuersError> {
    let bytes = read(path, limits::TOKEN_KEYS_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
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
    Ok((bytes, file))
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
        let (text, file) = entries(path)?;
        let mut loaded = Loaded {
            text,
            ..Loaded::default()
        };
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
        Ok((keys_of(at.name, &text)?, error))
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

/// What was last seen of the file, so that each change of that is told once.
#[derive(Default)]
struct Watch {
    /// What is wrong, as it was told last; empty for nothing.
    alarmed: String,
    /// What was last taken.
    taken: Option<Vec<u8>>,
}

/// What is to be told of a look.
#[derive(PartialEq, Eq, Debug)]
enum News {
    /// Nothing new.
    None,
    /// Something is wrong, and was not before, or something else was.
    Fault,
    /// A changed file is in force.
    Changed,
    /// What was at fault is so no more.
    Mended,
}

impl Watch {
    /// Notes a look; what of it is news.
    fn note(&mut self, text: Option<Vec<u8>>, wrong: &str) -> News {
        let mended = wrong.is_empty() && !self.alarmed.is_empty();
        let fault = !wrong.is_empty() && wrong != self.alarmed;
        wrong.clone_into(&mut self.alarmed);
        let changed = text.is_some() && self.taken.is_some() && text != self.taken;
        self.taken = text.or_else(|| self.taken.take());
        if fault {
            News::Fault
        } else if mended {
            News::Mended
        } else if changed {
            News::Changed
        } else {
            News::None
        }
    }
}

/// Loads, then looks again and again until the end.
pub(super) async fn watch(
    vault: Arc<Vault>,
    file: PathBuf,
    interval: Duration,
    health: Arc<Health>,
    shutdown: Shutdown,
) {
    let mut fetched = Fetched::new(KEYS_FRESH);
    let mut watch = Watch::default();
    loop {
        look(&vault, &file, &mut fetched, &mut watch, &health).await;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.draining() => return,
        }
    }
}

async fn look(
    vault: &Vault,
    file: &Path,
    fetched: &mut Fetched,
    watch: &mut Watch,
    health: &Health,
) {
    let (text, count, wrong) = match fetched.load(file).await {
        Ok(loaded) => {
            let count = loaded
                .issuers
                .len()
                .saturating_add(loaded.visa_issuers.len());
            vault.replace_issuers(loaded.issuers);
            vault.replace_visa_issuers(loaded.visa_issuers);
            let wrong: Vec<_> = loaded.errors.iter().map(words).collect();
            (Some(loaded.text), count, wrong.join("; "))
        }
        Err(error) => (None, 0, words(&error)),
    };
    let never = text.is_none() && watch.taken.is_none();
    let news = watch.note(text, &wrong);
    if wrong.is_empty() {
        health.issuers.note(Ok(()));
    } else {
        health.metrics.issuers_reload_failures.inc();
        let stays = if never {
            "nobody is believed yet"
        } else {
            "what was good of them stays"
        };
        health.issuers.note(Err(format!("{stays}: {wrong}")));
    }
    match news {
        News::Fault => tracing::error!(why = wrong, "issuers of tokens are at fault"),
        News::Changed => tracing::info!(count, "a changed file of issuers is in force"),
        News::Mended => tracing::info!(count, "issuers of tokens are taken again, none at fault"),
        News::None => {}
    }
}

/// Whom the file names, whether or not their keys can be had; nobody where it is at fault.
#[must_use]
pub fn issuers_named(path: &Path) -> Vec<String> {
    let file = entries(path).map(|(_, file)| file);
    let file = file.unwrap_or_else(|_at_fault| File {
        issuer: Vec::new(),
        visa_issuer: Vec::new(),
    });
    let issuers = file.issuer.into_iter().map(|entry| entry.name);
    let visas = file.visa_issuer.iter();
    let visas = visas.map(|entry| entry.keys_at().name.to_owned());
    issuers.chain(visas).collect()
}

/// What is found of the file that names issuers, by whoever looks at it apart from the gateway.
pub struct IssuersFound {
    /// Whom it names whose keys can be had.
    pub names: Vec<String>,
    /// What is wrong with it.
    pub faults: Vec<String>,
}

/// Looks at the file and at the keys that it names; at those behind URLs only if they are to be
/// fetched, else at what is to be trusted there.
pub async fn look_at_issuers(path: &Path, fetches: bool) -> IssuersFound {
    let loaded = if fetches {
        Fetched::new(KEYS_FRESH).load(path).await
    } else {
        files(path)
    };
    match loaded {
        Ok(loaded) => {
            let names = loaded.issuers.iter().map(|issuer| issuer.name.clone());
            let visas = loaded.visa_issuers.iter().map(|issuer| issuer.name.clone());
            IssuersFound {
                names: names.chain(visas).collect(),
                faults: loaded.errors.iter().map(words).collect(),
            }
        }
        Err(error) => IssuersFound {
            names: Vec::new(),
            faults: vec![words(&error)],
        },
    }
}

/// What is wrong with the file and with the files that it names; nobody's keys.
fn files(path: &Path) -> Result<Loaded, IssuersError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let (text, file) = entries(path)?;
    let issuers = file.issuer.iter().map(Entry::keys_at);
    let visas = file.visa_issuer.iter().map(VisaEntry::keys_at);
    let mut errors = Vec::new();
    for at in issuers.chain(visas) {
        let seen = match (at.file, at.url) {
            (Some(file), _) => read(&folder.join(file), limits::TOKEN_KEYS_BYTES_MAX)
                .and_then(|text| keys_of(at.name, &text).map(drop)),
            (None, url) => {
                let ca = at.ca_file.map(|file| folder.join(file));
                let dialled = Place::of(url.unwrap_or_default())
                    .and_then(|place| place.dial(ca.as_deref()).map(drop));
                dialled.map_err(|source| IssuersError::Fetch {
                    name: at.name.to_owned(),
                    source,
                })
            }
        };
        errors.extend(seen.err());
    }
    Ok(Loaded {
        text,
        errors,
        ..Loaded::default()
    })
}

fn keys_of(name: &str, text: &[u8]) -> Result<Keys, IssuersError> {
    Keys::read(text).map_err(|source| IssuersError::Keys {
        name: name.to_owned(),
        source,
    })
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
#[path = "issuers_tests.rs"]
mod tests;
