//! What is said to an OpenID provider, and what is believed of its answers: authorization code with
//! PKCE (OpenID Connect Core 1.0, RFC 7636, RFC 8252) and the device flow (RFC 8628). A pure core.
//!
//! A token's signature is not checked here: it came over TLS from the provider itself (section
//! 3.1.3.7 of the Core allows that), and the vault believes none that it has not checked.

use data_encoding::BASE64URL_NOPAD;
use ring::digest;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use crate::types::{Timestamp, limits};

/// Why a person is not signed in. At fault: the provider, or who stands between, unless said
/// otherwise.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub(super) enum LoginError {
    /// Its configuration is not what a provider's is.
    #[error("the provider's configuration is none")]
    Configuration,
    /// It says that it is another.
    #[error("the provider says that it is issuer={0}")]
    Issuer(String),
    /// It has no such flow.
    #[error("the provider does not offer {0}")]
    NotOffered(&'static str),
    /// The browser came back with another request's answer.
    #[error("the answer belongs to another sign-in: its state is not the one that was sent")]
    State,
    /// The provider says no, or the person did.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// The device's code was not entered in time. At fault: the person.
    #[error("the code was not entered in time")]
    Expired,
    /// What came is no answer to what was asked.
    #[error("the provider's answer is none: {0}")]
    Answer(&'static str),
    /// The token is for somebody else, of somebody else, or not of this sign-in.
    #[error("the token is not of this sign-in: {0}")]
    Token(&'static str),
}

/// What a provider says of itself.
#[derive(Deserialize)]
pub(super) struct Provider {
    issuer: String,
    authorization_endpoint: Option<String>,
    pub(super) token_endpoint: String,
    pub(super) device_authorization_endpoint: Option<String>,
}

impl Provider {
    /// Reads it; it must be of this issuer.
    pub(super) fn read(text: &[u8], issuer: &str) -> Result<Self, LoginError> {
        let provider: Self =
            serde_json::from_slice(text).map_err(|_not_json| LoginError::Configuration)?;
        if provider.issuer != issuer {
            return Err(LoginError::Issuer(printable(&provider.issuer)));
        }
        Ok(provider)
    }
}

/// What a provider says, without what a terminal could obey.
fn printable(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(200).collect()
}

/// The secrets of one sign-in.
pub(super) struct Once {
    state: String,
    nonce: String,
    verifier: String,
}

impl Once {
    /// Of 96 random bytes.
    pub(super) fn of(random: &[u8; 96]) -> Self {
        let (state, rest) = random.split_at(32);
        let (nonce, verifier) = rest.split_at(32);
        Self {
            state: BASE64URL_NOPAD.encode(state),
            nonce: BASE64URL_NOPAD.encode(nonce),
            verifier: BASE64URL_NOPAD.encode(verifier),
        }
    }

    /// Where the person's browser is to go.
    pub(super) fn page(
        &self,
        provider: &Provider,
        (client, scope): (&str, &str),
        redirect: &str,
    ) -> Result<String, LoginError> {
        let endpoint = provider.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or(LoginError::NotOffered("a page to sign in"))?;
        let hash = digest::digest(&digest::SHA256, self.verifier.as_bytes());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", client)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", scope)
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("code_challenge", &BASE64URL_NOPAD.encode(hash.as_ref()))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{query}"))
    }

    /// Whether this is the answer to this sign-in, whatever it says.
    pub(super) fn is_answer(&self, query: &str) -> bool {
        let state = only(query, "state").ok().flatten().unwrap_or_default();
        state.as_bytes().ct_eq(self.state.as_bytes()).into()
    }

    /// The code that the browser came back with.
    pub(super) fn code(&self, query: &str, issuer: &str) -> Result<String, LoginError> {
        if !self.is_answer(query) {
            return Err(LoginError::State);
        }
        // RFC 9207: a provider that says who it is says that it is this one.
        if only(query, "iss")?.is_some_and(|iss| iss != issuer) {
            return Err(LoginError::State);
        }
        if let Some(error) = only(query, "error")? {
            return Err(LoginError::Refused(printable(&error)));
        }
        only(query, "code")?.ok_or(LoginError::Answer("it has no code"))
    }

    /// What the code is exchanged with.
    pub(super) fn exchange(&self, code: &str, client: &str, redirect: &str) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect)
            .append_pair("client_id", client)
            .append_pair("code_verifier", &self.verifier)
            .finish()
    }

    /// The nonce that the token must have.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }
}

/// A parameter that may be there once.
fn only(query: &str, name: &str) -> Result<Option<String>, LoginError> {
    let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
    let first = found.next().map(|(_, value)| value.into_owned());
    if found.next().is_some() {
        return Err(LoginError::Answer("a parameter is there twice"));
    }
    Ok(first)
}

/// What a person is to enter where.
#[derive(Deserialize)]
pub(super) struct Device {
    #[serde(rename = "device_code")]
    pub(super) code: String,
    user_code: String,
    verification_uri: String,
    expires_in: u64,
    interval: Option<u64>,
}

impl Device {
    /// Asks for one.
    pub(super) fn ask(client: &str, scope: &str) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client)
            .append_pair("scope", scope)
            .finish()
    }

    pub(super) fn read(text: &[u8]) -> Result<Self, LoginError> {
        let bad = LoginError::Answer("it names no code for a device");
        serde_json::from_slice(text).map_err(|_not_json| bad)
    }

    /// What the person is told.
    pub(super) fn told(&self) -> (String, String) {
        (
            printable(&self.verification_uri),
            printable(&self.user_code),
        )
    }

    /// How often to ask, in seconds, and for how long.
    pub(super) fn pace(&self) -> (u64, u64) {
        let interval = self.interval.unwrap_or(5).clamp(1, 60);
        (interval, self.expires_in.min(1_800))
    }

    /// Asks whether it was entered.
    pub(super) fn poll(&self, client: &str) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:device_code")
            .append_pair("device_code", &self.code)
            .append_pair("client_id", client)
            .finish()
    }
}

/// What the token endpoint answers.
pub(super) enum Answer {
    /// The identity token.
    Token(String),
    /// Not yet; by how many seconds to ask less often.
    Wait(u64),
}

#[derive(Deserialize)]
struct Raw {
    id_token: Option<String>,
    error: Option<String>,
}

impl Answer {
    /// Reads it.
    pub(super) fn read(text: &[u8], waits: bool) -> Result<Self, LoginError> {
        let no_json = LoginError::Answer("it is no JSON");
        let raw: Raw = serde_json::from_slice(text).map_err(|_not_json| no_json)?;
        match (raw.error.as_deref(), raw.id_token) {
            (Some("authorization_pending"), _) if waits => Ok(Self::Wait(0)),
            (Some("slow_down"), _) if waits => Ok(Self::Wait(5)),
            (Some("expired_token"), _) if waits => Err(LoginError::Expired),
            (Some(error), _) => Err(LoginError::Refused(printable(error))),
            (None, Some(token)) => Ok(Self::Token(token)),
            (None, None) => Err(LoginError::Answer("it has no identity token")),
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: serde_json::Value,
    exp: u64,
    nonce: Option<String>,
}

fn read_claims<T: serde::de::DeserializeOwned>(token: &str) -> Option<T> {
    let part = token.split('.').nth(1)?;
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whom the provider's token is about, as the provider calls her; nobody where that cannot be
/// written down exactly.
pub(super) fn subject(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct About {
        sub: String,
    }
    let About { sub } = read_claims(token)?;
    let exact = sub.len() <= limits::TOKEN_SUBJECT_BYTES_MAX && !sub.contains(char::is_control);
    exact.then_some(sub)
}

/// Sees that a token is of this sign-in.
pub(super) fn judge(
    token: &str,
    (issuer, client): (&str, &str),
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<(), LoginError> {
    let claims: Claims = read_claims(token).ok_or(LoginError::Token("it is none"))?;
    let names = |value: &serde_json::Value| value.as_str() == Some(client);
    let for_us = match &claims.aud {
        serde_json::Value::Array(all) => all.iter().any(names),
        one @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_)
        | serde_json::Value::Object(_)) => names(one),
    };
    if claims.iss != issuer {
        return Err(LoginError::Token("another issuer's"));
    }
    if !for_us {
        return Err(LoginError::Token("for another audience"));
    }
    if claims.exp <= now.seconds() {
        return Err(LoginError::Token("it is over"));
    }
    let same = |sent: &str| {
        let told = claims.nonce.as_deref().unwrap_or_default();
        bool::from(told.as_bytes().ct_eq(sent.as_bytes()))
    };
    if !nonce.is_none_or(same) {
        return Err(LoginError::Token("its nonce is not the one that was sent"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example.org";
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn once() -> Once {
        let mut random = [0; 96];
        for (at, byte) in random.iter_mut().enumerate() {
            *byte = u8::try_from(at).unwrap();
        }
        Once::of(&random)
    }

    fn provider() -> Provider {
        let text = serde_json::json!({
            "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/a?x=1"),
            "token_endpoint": format!("{ISSUER}/t"),
        });
        Provider::read(text.to_string().as_bytes(), ISSUER).unwrap()
    }

    #[test]
    fn a_page_carries_state_nonce_and_challenge_and_never_the_verifier() {
        let once = once();
        let page = once.page(
            &provider(),
            ("kluis", "openid"),
            "http://127.0.0.1:1/callback",
        );
        let page = page.unwrap();
        assert!(page.starts_with("https://id.example.org/a?x=1&response_type=code"));
        for part in [&once.state, &once.nonce] {
            assert!(page.contains(part.as_str()));
        }
        assert!(page.contains("code_challenge_method=S256") && !page.contains(&once.verifier));
        assert!(once.exchange("c", "kluis", "r").contains(&once.verifier));
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_standard() {
        let once = Once {
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
            ..once()
        };
        let page = once.page(&provider(), ("kluis", "openid"), "r").unwrap();
        assert!(page.contains("code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    }

    #[test]
    fn another_sign_ins_answer_is_refused() {
        let once = once();
        let state = &once.state;
        let good = format!("code=c&state={state}");
        assert_eq!(once.code(&good, ISSUER), Ok("c".to_owned()));
        let good = format!("code=c&state={state}&iss=https%3A%2F%2Fid.example.org");
        assert_eq!(once.code(&good, ISSUER), Ok("c".to_owned()));
        for (query, error) in [
            ("code=c".to_owned(), LoginError::State),
            ("code=c&state=x".to_owned(), LoginError::State),
            (format!("code=c&state={state}x"), LoginError::State),
            (
                format!("code=c&state={state}&iss=https://other"),
                LoginError::State,
            ),
            ("error=access_denied".to_owned(), LoginError::State),
            (
                format!("error=access_denied&state={state}"),
                LoginError::Refused("access_denied".to_owned()),
            ),
            (
                format!("state={state}"),
                LoginError::Answer("it has no code"),
            ),
            (
                format!("code=c&code=d&state={state}"),
                LoginError::Answer("a parameter is there twice"),
            ),
            (
                format!("code=c&state={state}&state={state}"),
                LoginError::State,
            ),
        ] {
            let waited_for = error != LoginError::State || query.contains("iss=");
            assert_eq!(once.is_answer(&query), waited_for, "{query}");
            assert_eq!(once.code(&query, ISSUER), Err(error), "{query}");
        }
    }

    #[test]
    fn a_provider_that_lies_about_itself_is_refused() {
        for text in ["", "{}", "[]", r#"{"issuer": "https://id.example.org"}"#] {
            let told = Provider::read(text.as_bytes(), ISSUER).map(drop);
            assert_eq!(told, Err(LoginError::Configuration), "{text}");
        }
        let other = r#"{"issuer": "https://id.example.org/", "token_endpoint": "t"}"#;
        let told = Provider::read(other.as_bytes(), ISSUER).map(drop);
        assert_eq!(told, Err(LoginError::Issuer(format!("{ISSUER}/"))));
        let bare = format!(r#"{{"issuer": "{ISSUER}", "token_endpoint": "t"}}"#);
        let provider = Provider::read(bare.as_bytes(), ISSUER).unwrap();
        let told = once().page(&provider, ("kluis", "openid"), "r");
        assert!(matches!(told, Err(LoginError::NotOffered(_))));
    }

    #[test]
    fn tokens_of_others_are_refused() {
        let token = |claims: serde_json::Value| {
            format!(
                "e30.{}.sig",
                BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
            )
        };
        let claims = |field: &str, value: serde_json::Value| {
            let mut claims = serde_json::json!({
                "iss": ISSUER, "aud": ["x", "kluis"], "exp": 1_001, "nonce": "n",
            });
            claims[field] = value;
            judge(&token(claims), (ISSUER, "kluis"), Some("n"), NOW)
        };
        assert_eq!(claims("aud", "kluis".into()), Ok(()));
        assert_eq!(claims("more", 1.into()), Ok(()));
        for (field, value) in [
            ("iss", "https://other.example".into()),
            ("aud", "other".into()),
            ("aud", serde_json::json!(["a", "b"])),
            ("aud", serde_json::json!(null)),
            ("exp", 1_000.into()),
            ("exp", "never".into()),
            ("nonce", "m".into()),
            ("nonce", serde_json::json!(null)),
        ] {
            assert!(claims(field, value.clone()).is_err(), "{field} {value}");
        }
        for text in ["", "a.b", "..", "a.!.c"] {
            assert!(judge(text, (ISSUER, "kluis"), None, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn a_subject_is_told_exactly_or_not_at_all() {
        let of = |claims: &str| {
            subject(&format!(
                "e30.{}.s",
                BASE64URL_NOPAD.encode(claims.as_bytes())
            ))
        };
        assert_eq!(of(r#"{"sub": "5f2c8@idp"}"#).as_deref(), Some("5f2c8@idp"));
        let long = format!(r#"{{"sub": "{}"}}"#, "s".repeat(256));
        for none in ["{}", "", r#"{"sub": 7}"#, r#"{"sub": "a\u001bb"}"#, &long] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(subject("none"), None);
    }

    #[test]
    fn a_device_waits_as_it_is_told() {
        let wait = |text: &str| match Answer::read(text.as_bytes(), true) {
            Ok(Answer::Wait(more)) => Ok(more),
            Ok(Answer::Token(token)) => panic!("{token}"),
            Err(error) => Err(error),
        };
        assert_eq!(wait(r#"{"error": "authorization_pending"}"#), Ok(0));
        assert_eq!(wait(r#"{"error": "slow_down"}"#), Ok(5));
        assert_eq!(
            wait(r#"{"error": "expired_token"}"#),
            Err(LoginError::Expired)
        );
        let told = wait(r#"{"error": "access_denied\u001b[2J"}"#);
        assert_eq!(
            told,
            Err(LoginError::Refused("access_denied[2J".to_owned()))
        );
        assert!(wait("{}").is_err() && wait("no").is_err());
        let now = Answer::read(br#"{"error": "slow_down"}"#, false).map(drop);
        assert!(now.is_err(), "only a device waits");
        let device = Device::read(
            br#"{"device_code": "d", "user_code": "A", "verification_uri": "u",
                "expires_in": 9999999, "interval": 0}"#,
        );
        assert_eq!(device.unwrap().pace(), (1, 1_800));
    }
}
