//! Visas: what others assert of a person, each a token of its own that its issuer signed (GA4GH
//! Passport v1.3 with GA4GH's AAI profile 1.2). A pure core like the tokens that bring them.
//!
//! Visa documents alone: their header names by `jku` where their issuer's keys are. That place is
//! compared with those that the issuer's entry allows and is **never fetched**; the keys are those
//! of the entry. A visa without it is an access token, which only its issuer could vouch for.

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::condition::Conditions;
use super::{Audience, Keys, SKEW_MS, digest_of, is_subject, proved, provider, seconds};
use crate::types::{Timestamp, limits};

/// The claim by which a token brings visas.
pub(super) const PASSPORT: &str = "ga4gh_passport_v1";
/// What visas may be signed with (the profile's "Signing Algorithms").
const ACCEPTED: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];
/// Types whose visas say on whose authority they are.
const BY_AUTHORITY: [&str; 2] = ["ControlledAccessGrants", "AcceptedTermsAndPolicies"];

/// One whose visas are believed.
pub struct VisaIssuer {
    /// What records and commands call it.
    pub name: String,
    /// The `iss` of its visas, compared as it is.
    pub url: String,
    /// Where its visas may say that its keys are, compared as they are.
    pub places: Vec<String>,
    /// How long what it asserts is believed, in milliseconds from when it was.
    pub asserted_ms_max: u64,
    /// Whether its subjects are those of the tokens that bring its visas.
    pub same_subject: bool,
    /// Its keys.
    pub keys: Keys,
}

/// A visa that its issuer signed, in its time. Whom it is about here is for the caller to judge,
/// and `visas_end` judges what it depends on.
#[derive(Debug)]
pub struct Visa {
    /// The issuer's name.
    pub issuer: String,
    /// Whom it is about, in the issuer's words.
    pub subject: String,
    /// Whether that may be the subject of the token that brings it.
    pub same_subject: bool,
    /// Its type.
    pub kind: String,
    /// What it asserts.
    pub value: String,
    /// Which organisation asserts it.
    pub source: String,
    /// On which authority within that.
    pub by: Option<String>,
    /// When it ends by itself.
    pub ends: Timestamp,
    /// SHA-256 of what was signed.
    pub digest: [u8; 32],
    pub(super) conditions: Conditions,
}

/// Why a visa is not held. At fault: who made it, or brings it.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VisaError {
    /// Longer than a visa may be.
    #[error("the visa is too long")]
    TooLong,
    /// Not a visa, or one that is signed in no way that is accepted.
    #[error("the visa is malformed, or its algorithm is not accepted")]
    Malformed,
    /// It is an access token, which only its issuer could vouch for.
    #[error("the visa is an access token")]
    Access,
    /// No such issuer of visas is configured.
    #[error("the visa is of another issuer")]
    Issuer,
    /// It says that the issuer's keys are where they may not be.
    #[error("the visa names another place of keys")]
    Place,
    /// No key of the issuer, of the name that it gives, verifies it.
    #[error("no key of the issuer verifies the visa")]
    Signature,
    /// It is for somebody else to look at.
    #[error("the visa is for another audience")]
    Audience,
    /// It is over, or not yet, or what it asserts is.
    #[error("the visa is not in its time")]
    Time,
}

impl VisaError {
    /// The word for it in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLong => "long",
            Self::Malformed => "form",
            Self::Access => "access-token",
            Self::Issuer => "issuer",
            Self::Place => "jku",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Time => "time",
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
    nbf: Option<u64>,
    aud: Option<Audience>,
    scope: Option<String>,
    ga4gh_visa_v1: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    asserted: u64,
    value: String,
    source: String,
    by: Option<String>,
    /// `null` is no list, and spoils the visa.
    #[serde(default)]
    conditions: Conditions,
}

/// Whether a header's `typ` says that this is a visa.
pub(super) fn is_visa(typ: &str) -> bool {
    is_type(typ, "vnd.ga4gh.visa+jwt")
}

/// Media types are compared without case, and `application/` may be left out (RFC 7515, 4.1.9).
fn is_type(typ: &str, wanted: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == wanted
}

fn bounded(text: &str) -> bool {
    (1..=limits::VISA_TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}

impl Object {
    fn is_whole(&self) -> bool {
        let by = self.by.as_deref();
        bounded(&self.kind)
            && bounded(&self.value)
            && bounded(&self.source)
            && by.is_none_or(bounded)
            && (by.is_some() || !BY_AUTHORITY.contains(&self.kind.as_str()))
            && self.conditions.are_whole()
    }
}

/// Believes that a visa is its issuer's and in its time, or says why not. `audience` is what this
/// vault is to the issuer of the token that brings it.
pub fn verify_visa(
    visa: &str,
    audience: &str,
    issuers: &[VisaIssuer],
    now: Timestamp,
) -> Result<Visa, VisaError> {
    if visa.len() > limits::VISA_BYTES_MAX {
        return Err(VisaError::TooLong);
    }
    provider::install();
    let malformed = |_error| VisaError::Malformed;
    let header = jsonwebtoken::decode_header(visa).map_err(malformed)?;
    let typ = header.typ.as_deref();
    if !ACCEPTED.contains(&header.alg)
        || header.crit.is_some()
        || !typ.is_none_or(|typ| is_visa(typ) || is_type(typ, "jwt"))
    {
        return Err(VisaError::Malformed);
    }
    // Whose keys to try. It is believed only when one of them verifies it.
    let unproved: Payload =
        jsonwebtoken::dangerous::insecure_decode_claims(visa).map_err(malformed)?;
    let issuer = issuers.iter().find(|issuer| issuer.url == unproved.iss);
    let issuer = issuer.ok_or(VisaError::Issuer)?;
    let place = header.jku.ok_or(VisaError::Access)?;
    if !issuer.places.contains(&place) {
        return Err(VisaError::Place);
    }
    let kid = header.kid.ok_or(VisaError::Signature)?;
    let named = issuer
        .keys
        .0
        .iter()
        .filter(|key| key.id.as_ref() == Some(&kid));
    let payload = named
        .filter(|key| key.algorithms.contains(&header.alg))
        .take(limits::TOKEN_KEYS_MAX)
        .find_map(|key| proved::<Payload>(visa, header.alg, key))
        .ok_or(VisaError::Signature)?;
    judge(payload, (issuer, audience), now, visa)
}

/// Judges what a visa says, **which its issuer signed**.
fn judge(
    said: Payload,
    (issuer, audience): (&VisaIssuer, &str),
    now: Timestamp,
    visa: &str,
) -> Result<Visa, VisaError> {
    let object = said.ga4gh_visa_v1;
    if said.iss != issuer.url || !is_subject(&said.sub) || !object.is_whole() {
        return Err(VisaError::Malformed);
    }
    if said
        .scope
        .is_some_and(|scope| scope.split(' ').any(|one| one == "openid"))
    {
        return Err(VisaError::Access);
    }
    if said.aud.is_some_and(|aud| !aud.has(audience)) {
        return Err(VisaError::Audience);
    }
    let soon = now.plus_millis(SKEW_MS);
    let begin = [Some(said.iat), said.nbf, Some(object.asserted)];
    if begin
        .into_iter()
        .flatten()
        .map(seconds)
        .any(|begin| begin > soon)
    {
        return Err(VisaError::Time);
    }
    // What is asserted in a moment lasts no longer than what is asserted now.
    let asserted = seconds(object.asserted).min(now);
    let ends = seconds(said.exp).min(asserted.plus_millis(issuer.asserted_ms_max));
    if ends <= now {
        return Err(VisaError::Time);
    }
    Ok(Visa {
        issuer: issuer.name.clone(),
        subject: said.sub,
        same_subject: issuer.same_subject,
        kind: object.kind,
        value: object.value,
        source: object.source,
        by: object.by,
        ends,
        digest: digest_of(visa).ok_or(VisaError::Malformed)?,
        conditions: object.conditions,
    })
}

/// Until when each of one person's visas holds, with what it depends on; nothing for one whose
/// conditions are not met.
#[must_use]
pub fn visas_end(visas: &[Visa]) -> Vec<Option<Timestamp>> {
    let end = |visa: &Visa| {
        if visa.conditions.is_none() {
            return Some(visa.ends);
        }
        visa.conditions.end(visas).map(|end| end.min(visa.ends))
    };
    visas.iter().map(end).collect()
}

/// When a session ends that may last so long and rests on visas that end so: before each of them,
/// `now + TTL < min(exp, asserted + max)` (the specification's "Visa Expiry", option A).
#[must_use]
pub fn session_end(now: Timestamp, lasts_ms: u64, ends: &[Timestamp]) -> Timestamp {
    let whole = now.plus_millis(lasts_ms);
    ends.iter().fold(whole, |end, visa| {
        end.min(Timestamp::from_millis(visa.millis().saturating_sub(1)))
    })
}
