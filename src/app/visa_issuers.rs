//! Whose visas are believed: the entries `[[visa_issuer]]` of the file that names issuers. What
//! their visas name as the place of keys is compared and never fetched; an entry's own keys are
//! had like those of issuers (`issuers.rs`).

use std::path::PathBuf;

use serde::Deserialize;

use super::issuers::{IssuersError, KeysAt, named};
use crate::token::{Keys, VisaIssuer};
use crate::types::limits;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// One issuer of visas in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VisaEntry {
    name: String,
    url: String,
    /// Where its visas may say that its keys are.
    jku: Vec<String>,
    #[serde(default)]
    jwks_file: Option<PathBuf>,
    #[serde(default)]
    jwks_url: Option<String>,
    /// Certificates to trust for `jwks_url`, PEM; the system's if not said.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// How old what it asserts may be.
    #[serde(default = "days")]
    asserted_days_max: u32,
    #[serde(default)]
    subject: Binding,
}

/// Whose its visas are.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Binding {
    /// Those of the subject that it signs in itself, or that is linked to the principal.
    #[default]
    Strict,
    /// Also those of the subject that another issuer's token names alike.
    Same,
}

const fn days() -> u32 {
    limits::VISA_DAYS
}

/// Sees that each entry is whole. One that is an issuer of tokens too has that one's name, and
/// nobody else has: subjects are linked by it.
pub(super) fn check(entries: &[VisaEntry], issuers: &[(&str, &str)]) -> Result<(), IssuersError> {
    let mut known = issuers.to_vec();
    for (at, entry) in entries.iter().enumerate() {
        let own = (&*entry.name, &*entry.url);
        let before = entries.iter().take(at);
        let twice = before
            .into_iter()
            .any(|b| b.name == entry.name || b.url == entry.url);
        let mixed = known
            .iter()
            .any(|other| *other != own && (other.0 == own.0 || other.1 == own.1));
        let places = (1..=limits::VISA_PLACES_MAX).contains(&entry.jku.len());
        let problem = if at >= limits::VISA_ISSUERS_MAX {
            "is one too many"
        } else if !(named(&entry.name) && named(&entry.url)) {
            "lacks a name or a url"
        } else if twice || mixed {
            "is there twice, or has the name or the url of another"
        } else if !places || !entry.jku.iter().all(|place| named(place)) {
            "needs 1 to 8 places in jku"
        } else if entry.jwks_file.is_some() == entry.jwks_url.is_some() {
            "needs jwks_file or jwks_url, and not both"
        } else if !(1..=limits::VISA_DAYS_MAX).contains(&entry.asserted_days_max) {
            "has asserted_days_max beyond 1 to 3650"
        } else {
            known.push(own);
            continue;
        };
        return Err(IssuersError::Entry {
            name: entry.name.clone(),
            problem,
        });
    }
    Ok(())
}

impl VisaEntry {
    pub(super) fn keys_at(&self) -> KeysAt<'_> {
        KeysAt {
            name: &self.name,
            file: self.jwks_file.as_deref(),
            url: self.jwks_url.as_deref(),
            ca_file: self.ca_file.as_deref(),
        }
    }

    /// The issuer, with its keys.
    pub(super) fn with(self, keys: Keys) -> VisaIssuer {
        VisaIssuer {
            name: self.name,
            url: self.url,
            places: self.jku,
            asserted_ms_max: u64::from(self.asserted_days_max).saturating_mul(DAY_MS),
            same_subject: self.subject == Binding::Same,
            keys,
        }
    }
}
