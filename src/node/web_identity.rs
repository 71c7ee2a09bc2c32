//! Sessions for the token of an issuer, asked for as AWS SDKs do (`AssumeRoleWithWebIdentity`): for
//! a person who signed in, or for a service account, whose token lies in a file and is renewed
//! there.

use std::path::PathBuf;
use std::sync::Arc;

use super::credentials::{CredentialsError, read};
use super::job::Started;
use crate::types::{Clock, SecretText, Timestamp, limits};

/// The names of what says whose token it is, as SDKs know them.
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const SESSION: &str = "AWS_ROLE_SESSION_NAME";
/// What a session is called that says nothing of it.
const SESSION_DEFAULT: &str = "kluis";
/// For how long a session is asked for, in seconds: as short as there are.
const SECONDS: u64 = limits::SESSION_MS_MIN / 1_000;

/// A session as the gateway gives it.
pub struct Assumed {
    /// Its access key.
    pub id: String,
    /// The secret that signs.
    pub secret: SecretText,
    /// The token that goes with each request.
    pub token: SecretText,
    /// Until when, as it is written.
    pub expires: String,
}

impl Assumed {
    /// Out of the answer; nothing if it is no session.
    #[must_use]
    pub fn read(answer: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(answer).ok()?;
        let part = |name: &str| element(text, name).map(str::to_owned);
        Some(Self {
            id: part("AccessKeyId")?,
            secret: SecretText::new(part("SecretAccessKey")?),
            token: SecretText::new(part("SessionToken")?),
            expires: part("Expiration")?,
        })
    }
}

/// The text of an element of an answer of S3 or STS, if it is a plain word.
#[must_use]
pub fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    // What it is made of has no letter that XML would write otherwise, nor one that a shell obeys.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+/=-_:.".contains(&b);
    inside.bytes().all(plain).then_some(inside)
}

/// The form that asks for a session under a role (its ARN), for so many seconds where it says so.
#[must_use]
pub fn form(token: &SecretText, (role, session): (&str, &str), seconds: Option<u64>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", role)
        .append_pair("RoleSessionName", session)
        .append_pair("WebIdentityToken", token.expose());
    if let Some(seconds) = seconds {
        form.append_pair("DurationSeconds", &seconds.to_string());
    }
    form.finish()
}

/// A service account whose token lies in a file.
pub(super) struct WebIdentity {
    token_file: PathBuf,
    role: String,
    session: String,
    pub(super) region: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl WebIdentity {
    /// What variables say of one; nothing where they name no token.
    pub(super) fn of_variables(
        variable: &dyn Fn(&str) -> Option<String>,
        region: String,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, CredentialsError> {
        let Some(token_file) = variable(TOKEN_FILE) else {
            return Ok(None);
        };
        Ok(Some(Self {
            token_file: token_file.into(),
            role: variable(ROLE).ok_or(CredentialsError::Missing(ROLE))?,
            session: variable(SESSION).unwrap_or_else(|| SESSION_DEFAULT.to_owned()),
            region,
            clock: Arc::clone(clock),
        }))
    }

    /// The body of a request for a session, with the token as it is in its file by now.
    pub(super) fn asked(&self) -> Result<bytes::Bytes, CredentialsError> {
        let (_, text) = read(&self.token_file)?;
        let token = SecretText::new(text.trim().to_owned());
        let named = (self.role.as_str(), self.session.as_str());
        Ok(form(&token, named, Some(SECONDS)).into())
    }

    /// The session that an answer is, as it counts here; nothing if it is none, or over.
    pub(super) fn started(&self, answer: &[u8]) -> Option<Started> {
        let assumed = Assumed::read(answer)?;
        let ends = Timestamp::parse(&assumed.expires)?;
        let left = ends.millis().checked_sub(self.clock.now().millis())? / 1_000;
        (left > 0).then(|| Started {
            access_key_id: assumed.id.clone(),
            secret_access_key: assumed.secret.expose().to_owned(),
            session_token: assumed.token.expose().to_owned(),
            expires_in: left.min(SECONDS),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::parse("2027-03-01T12:00:00Z").unwrap()
        }
    }

    fn identity(file: &std::path::Path) -> WebIdentity {
        let variable = |name: &str| match name {
            TOKEN_FILE => Some(file.display().to_string()),
            ROLE => Some("arn:aws:iam::kluis:role/icu/ecg".to_owned()),
            _other => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(Fixed);
        let found = WebIdentity::of_variables(&variable, "kluis".to_owned(), &clock);
        found.unwrap().unwrap()
    }

    fn answer(expires: &str) -> String {
        format!(
            "<R><Credentials><AccessKeyId>KLUT1</AccessKeyId><SecretAccessKey>s+/=</SecretAccessKey>\
             <SessionToken>t.t</SessionToken><Expiration>{expires}</Expiration></Credentials></R>"
        )
    }

    #[test]
    fn a_session_counts_from_here_and_one_that_is_over_is_none() {
        let identity = identity(std::path::Path::new("/nowhere"));
        let left = |expires: &str| {
            let started = identity.started(answer(expires).as_bytes());
            started.map(|started| started.expires_in)
        };
        assert_eq!(left("2027-03-01T12:10:00.500Z"), Some(600));
        assert_eq!(left("2027-03-01T13:00:00Z"), Some(900), "what was asked");
        for none in ["2027-03-01T12:00:00Z", "2027-03-01T11:00:00Z", "soon", ""] {
            assert_eq!(left(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_session_is_none() {
        let whole = answer("2027-03-01T12:10:00Z");
        assert!(Assumed::read(whole.as_bytes()).is_some());
        for part in [
            "AccessKeyId",
            "SecretAccessKey",
            "SessionToken",
            "Expiration",
        ] {
            let less = whole.replace(&format!("<{part}>"), "<Other>");
            assert!(Assumed::read(less.as_bytes()).is_none(), "{part}");
        }
        // A value that would be more than a word: a header, a line of a shell, an element.
        for bad in ["a\nb", "$(id)", "<a>", "a b", "é"] {
            let bent = whole.replace("KLUT1", bad);
            assert!(Assumed::read(bent.as_bytes()).is_none(), "{bad}");
        }
        assert!(Assumed::read(b"\xff").is_none());
    }

    #[test]
    fn the_token_is_read_each_time_and_only_from_a_closed_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let identity = identity(&path);
        assert!(identity.asked().is_err(), "there is none");
        for token in ["one.a.b\n", "two.a+b.c"] {
            std::fs::write(&path, token).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o400);
            std::fs::set_permissions(&path, mode).unwrap();
            let form = identity.asked().unwrap();
            let pairs: Vec<_> = form_urlencoded::parse(&form).collect();
            let value = |name: &str| {
                let pair = pairs.iter().find(|(known, _)| known == name);
                pair.map(|(_, value)| value.to_string())
            };
            assert_eq!(value("WebIdentityToken").as_deref(), Some(token.trim()));
            assert_eq!(value("DurationSeconds").as_deref(), Some("900"));
            assert_eq!(value("RoleSessionName").as_deref(), Some("kluis"));
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::write(&path, "three").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, mode).unwrap();
        let refused = identity.asked().unwrap_err();
        assert!(matches!(refused, CredentialsError::Exposed { .. }));
    }

    #[test]
    fn a_token_without_a_role_is_an_error_and_none_is_none() {
        let clock: Arc<dyn Clock> = Arc::new(Fixed);
        let of = |variable: &dyn Fn(&str) -> Option<String>| {
            WebIdentity::of_variables(variable, "kluis".to_owned(), &clock)
        };
        assert!(of(&|_name| None).unwrap().is_none());
        let only = |name: &str| (name == TOKEN_FILE).then(|| "/t".to_owned());
        let refused = of(&only).map(drop).unwrap_err();
        assert!(refused.to_string().contains(ROLE), "{refused}");
    }
}
