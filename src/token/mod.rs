//! Tokens of others: JSON Web Tokens (RFC 7519) of issuers that a vault was told to believe. A pure
//! core: no file, no network, no clock; the keys and the moment are parameters.
//!
//! What is believed of a token, in this order: that it is small; that its header names an
//! asymmetric algorithm, never `none` and never one with a shared secret; that a key of the issuer
//! made for that algorithm verifies it; that issuer and audience are exactly those configured; that
//! it is in its time. A token names no key and no issuer that we would then go and fetch.
//!
//! A token may bring a passport: visas, which others signed (`visa.rs`).

mod condition;
mod provider;
#[cfg(test)]
mod tests;
mod visa;
#[cfg(test)]
mod visa_tests;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ring::digest;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use crate::types::{Timestamp, is_small_order, limits};

pub use visa::{Visa, VisaError, VisaIssuer, session_end, verify_visa, visas_end};

/// How far the clocks of issuer and vault may be apart, in milliseconds.
const SKEW_MS: u64 = 60_000;

/// Why a token is not believed. At fault: who sent it, unless said otherwise.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than a token may be.
    #[error("the token is too long")]
    TooLong,
    /// Not a token, or one whose algorithm is none that is believed.
    #[error("the token is malformed, or its algorithm is not accepted")]
    Malformed,
    /// No issuer of this name is configured.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// No key of the issuer verifies it.
    #[error("no key of the issuer verifies the token")]
    Signature,
    /// It is over, or not yet, or does not say when it ends.
    #[error("the token is not in its time")]
    Time,
    /// It names nobody.
    #[error("the token names no subject")]
    Subject,
    /// The groups that it claims are none, or too many.
    #[error("the token's groups are no bounded list of texts")]
    Groups,
    /// What it brings of visas is no list of them, or too many.
    #[error("the token's passport is no bounded list of visas")]
    Passport,
}

/// Why an issuer's keys cannot be used. At fault: the issuer, or whoever keeps the file.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeysError {
    /// Not a set of keys (RFC 7517), or too large a one.
    #[error("it is no set of keys")]
    NotKeys,
    /// None of its keys is for signatures that are accepted.
    #[error("none of its keys is for signatures of a kind that is accepted")]
    NoneOfUse,
}

/// One who is believed about who people are.
pub struct Issuer {
    /// What records and commands call it.
    pub name: String,
    /// The `iss` of its tokens, compared as it is.
    pub url: String,
    /// The audience that its tokens for this vault name.
    pub audience: String,
    /// Whether a token is good once only.
    pub once: bool,
    /// Which claim of its tokens says in which groups somebody is, if one does.
    pub groups: Option<String>,
    /// Whether visas that its tokens bring are looked at.
    pub passports: bool,
    /// Its keys.
    pub keys: Keys,
}

/// An issuer's keys, those that can be of use.
#[derive(Default)]
pub struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    verifies: DecodingKey,
}

/// What a token that is believed says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// The issuer's name.
    pub issuer: String,
    /// Whom it is about, in the issuer's words, byte by byte.
    pub subject: String,
    /// When it ends.
    pub expires: Timestamp,
    /// SHA-256 of what the issuer signed: its name where each may be used once.
    pub digest: [u8; 32],
    /// Whether it is good once only.
    pub once: bool,
    /// The class of the sign-in, where it says one.
    pub acr: Option<String>,
    /// Its methods; none where they are no bounded list of texts.
    pub amr: Vec<String>,
    /// The groups that it claims, as they are written, each as often as it is.
    pub groups: Vec<String>,
    /// The visas of its passport as they came: **none of them is believed yet**.
    pub visas: Vec<String>,
    /// The audience that it names and that is this vault's.
    pub audience: String,
}

#[derive(Deserialize)]
struct Raw<T> {
    iss: String,
    sub: Option<String>,
    aud: Audience,
    exp: Option<u64>,
    nbf: Option<u64>,
    iat: Option<u64>,
    #[serde(default)]
    acr: Option<Value>,
    #[serde(default)]
    amr: Option<Value>,
    /// A visa vouches for nobody who signs in.
    #[serde(default, rename = "ga4gh_visa_v1")]
    visa: Option<IgnoredAny>,
    #[serde(flatten)]
    more: T,
}

/// Nothing more of a token is of interest.
#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

impl Keys {
    /// Reads a set of keys; those of other uses and kinds are left out.
    pub fn read(text: &[u8]) -> Result<Self, KeysError> {
        if text.len() > limits::TOKEN_KEYS_BYTES_MAX {
            return Err(KeysError::NotKeys);
        }
        let set: JwkSet = serde_json::from_slice(text).map_err(|_no_json| KeysError::NotKeys)?;
        if set.keys.len() > limits::TOKEN_KEYS_MAX {
            return Err(KeysError::NotKeys);
        }
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err(KeysError::NoneOfUse);
        }
        Ok(Self(keys))
    }
}

impl Keys {
    /// One Ed25519 key that an operator has enrolled.
    pub fn of_ed25519(key: &[u8; 32]) -> Result<Self, KeysError> {
        let x = BASE64URL_NOPAD.encode(key);
        let set = serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]});
        Self::read(set.to_string().as_bytes())
    }
}

impl Key {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what the library learns later is accepted by nobody before we say so"
    )]
    fn of(jwk: &Jwk) -> Option<Self> {
        let uses = &jwk.common;
        let signs =
            !matches!(&uses.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
        let verifies = uses
            .key_operations
            .as_ref()
            .is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        // What a key's own kind can verify: a public key is never taken for a shared secret.
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(curve) => match &curve.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _other => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                let point = BASE64URL_NOPAD.decode(pair.x.as_bytes()).ok()?;
                if is_small_order(point.first_chunk().filter(|_| point.len() == 32)?) {
                    return None;
                }
                vec![Algorithm::EdDSA]
            }
            // Secrets, other curves, and what the library learns later.
            _other => return None,
        };
        if let Some(only) = uses.key_algorithm {
            algorithms.retain(|algorithm| format!("{algorithm:?}") == only.to_string());
        }
        let verifies = DecodingKey::from_jwk(jwk).ok()?;
        (!algorithms.is_empty()).then(|| Self {
            id: uses.key_id.clone(),
            algorithms,
            verifies,
        })
    }
}

/// Whose a token says it is; **nothing of it is believed yet**.
#[must_use]
pub fn claimed_issuer(token: &str) -> Option<String> {
    if token.len() > limits::TOKEN_BYTES_MAX {
        return None;
    }
    let raw: Raw<Nothing> = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    Some(raw.iss)
}

/// Believes a token, or says why not.
pub fn verify(token: &str, issuers: &[Issuer], now: Timestamp) -> Result<Claims, TokenError> {
    let (claims, Nothing {}) = verify_with(token, issuers, now)?;
    Ok(claims)
}

/// The same, with further claims of a token that is believed.
pub fn verify_with<T: DeserializeOwned>(
    token: &str,
    issuers: &[Issuer],
    now: Timestamp,
) -> Result<(Claims, T), TokenError> {
    if token.len() > limits::PASSPORT_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    // A line's end, as in a file that is sent as it is, is no part of a token: not of a wrong key.
    if token.contains(char::is_whitespace) {
        return Err(TokenError::Malformed);
    }
    provider::install();
    let malformed = |_error| TokenError::Malformed;
    let header = jsonwebtoken::decode_header(token).map_err(malformed)?;
    if !provider::ACCEPTED.contains(&header.alg) {
        return Err(TokenError::Malformed);
    }
    // Whose keys to try. It is believed only when one of them verifies it.
    let unproved: Raw<Nothing> =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(malformed)?;
    let issuer = issuers.iter().find(|issuer| issuer.url == unproved.iss);
    let issuer = issuer.ok_or(TokenError::Issuer)?;
    if token.len() > limits::TOKEN_BYTES_MAX && !issuer.passports {
        return Err(TokenError::TooLong);
    }
    if unproved.visa.is_some() || header.typ.as_deref().is_some_and(visa::is_visa) {
        return Err(TokenError::Malformed);
    }
    let named = |key: &&Key| header.kid.is_none() || key.id == header.kid;
    let made_for = |key: &&Key| key.algorithms.contains(&header.alg);
    let keys = issuer.keys.0.iter().filter(named).filter(made_for);
    let raw = keys
        .take(limits::TOKEN_KEYS_MAX)
        .find_map(|key| proved::<Raw<T>>(token, header.alg, key))
        .ok_or(TokenError::Signature)?;
    judge(&raw, issuer, now)?;
    let subject = raw.sub.filter(|subject| is_subject(subject));
    let (groups, visas) = further(token, issuer)?;
    let claims = Claims {
        issuer: issuer.name.clone(),
        subject: subject.ok_or(TokenError::Subject)?,
        expires: seconds(raw.exp.unwrap_or_default()),
        digest: digest_of(token).ok_or(TokenError::Malformed)?,
        once: issuer.once,
        acr: raw.acr.as_ref().and_then(word),
        amr: raw.amr.as_ref().map(words).unwrap_or_default(),
        groups,
        visas,
        audience: issuer.audience.clone(),
    };
    Ok((claims, raw.more))
}

/// The claims, if this key verifies the token. What they say is judged by the caller, whose clock
/// is a parameter.
fn proved<T: DeserializeOwned>(token: &str, algorithm: Algorithm, key: &Key) -> Option<T> {
    let mut only = Validation::new(algorithm);
    only.validate_exp = false;
    only.validate_nbf = false;
    only.validate_aud = false;
    only.required_spec_claims.clear();
    let token = jsonwebtoken::decode::<T>(token, &key.verifies, &only).ok()?;
    Some(token.claims)
}

fn judge<T>(raw: &Raw<T>, issuer: &Issuer, now: Timestamp) -> Result<(), TokenError> {
    if raw.iss != issuer.url {
        return Err(TokenError::Issuer);
    }
    if !raw.aud.has(&issuer.audience) {
        return Err(TokenError::Audience);
    }
    let soon = now.plus_millis(SKEW_MS);
    let ended = raw.exp.is_none_or(|end| seconds(end) <= now);
    let early = [raw.nbf, raw.iat].into_iter().flatten();
    if ended || early.map(seconds).any(|begin| begin > soon) {
        return Err(TokenError::Time);
    }
    Ok(())
}

/// SHA-256 of what was signed, and not of the signature: of one ECDSA signature anybody can make
/// another.
fn digest_of(token: &str) -> Option<[u8; 32]> {
    let (signed, _) = token.rsplit_once('.')?;
    let digest = digest::digest(&digest::SHA256, signed.as_bytes());
    digest.as_ref().try_into().ok()
}

/// The groups and the visas that a token, **which is believed**, brings of what is asked for.
fn further(token: &str, issuer: &Issuer) -> Result<(Vec<String>, Vec<String>), TokenError> {
    if issuer.groups.is_none() && !issuer.passports {
        return Ok((Vec::new(), Vec::new()));
    }
    let all: Map<String, Value> = jsonwebtoken::dangerous::insecure_decode_claims(token)
        .map_err(|_error| TokenError::Malformed)?;
    let groups = issuer.groups.as_ref().and_then(|name| all.get(name));
    let groups = groups.map(claimed_groups).transpose()?;
    let passport = issuer.passports.then(|| all.get(visa::PASSPORT)).flatten();
    let visas = passport.map(visas_of).transpose()?;
    Ok((groups.unwrap_or_default(), visas.unwrap_or_default()))
}

/// A list of texts, or one. One that is none, and one too many, spoil the token: nobody is let in
/// without what is denied to her group.
fn claimed_groups(value: &Value) -> Result<Vec<String>, TokenError> {
    let one = std::slice::from_ref(value);
    let claimed = value.as_array().map_or(one, Vec::as_slice);
    if claimed.len() > limits::CLAIMS_MAX {
        return Err(TokenError::Groups);
    }
    let bounded = |text: &&str| {
        (1..=limits::CLAIM_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
    };
    let text = |value: &Value| value.as_str().filter(bounded).map(str::to_owned);
    let texts: Option<Vec<String>> = claimed.iter().map(text).collect();
    texts.ok_or(TokenError::Groups)
}

/// A passport: a list of texts. What is in one is judged visa by visa.
fn visas_of(value: &Value) -> Result<Vec<String>, TokenError> {
    let all = value.as_array().ok_or(TokenError::Passport)?;
    if all.len() > limits::VISAS_MAX {
        return Err(TokenError::Passport);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts: Option<Vec<String>> = all.iter().map(text).collect();
    texts.ok_or(TokenError::Passport)
}

/// A class or method, within its bound.
fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let bounded = (1..=limits::ASSURANCE_BYTES_MAX).contains(&text.len());
    (bounded && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Methods: a list of them, or one. One that is none makes all of them none.
fn words(value: &Value) -> Vec<String> {
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    if all.len() > limits::ASSURANCES_MAX {
        return Vec::new();
    }
    all.iter()
        .map(word)
        .collect::<Option<_>>()
        .unwrap_or_default()
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}

/// A subject is kept as it is: no case folded, nothing trimmed, nothing replaced (ID-7).
fn is_subject(text: &str) -> bool {
    let bounded = (1..=limits::TOKEN_SUBJECT_BYTES_MAX).contains(&text.len());
    bounded && !text.chars().any(char::is_control)
}
