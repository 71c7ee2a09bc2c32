//! The Security Token Service as AWS SDKs call it, on the listener of S3: a form posted to `/`.
//!
//! `AssumeRoleWithWebIdentity` is not signed: the issuer's token is the proof. `GetCallerIdentity`
//! is, for the service `sts`. Nothing else is served. `docs/sign-in.md` says how clients are set
//! up.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use s3s::{Body, S3Response};

use crate::types::{EventId, SessionScope, limits};
use crate::vault::{AssumeAsk, Assumed, Call, ErrorKind, Rests, Vault, VaultError};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const VERSION: &str = "2011-06-15";
/// What a role's name begins with, whatever account it is of.
const ROLE: &str = ":role/";
/// A session lasts so many seconds unless it says otherwise, and at least as many as AWS allows.
const SECONDS_DEFAULT: u64 = 3_600;
const SECONDS_MIN: u64 = limits::SESSION_MS_MIN / 1_000;

/// Whether a request is for this service: the form of the old query protocol.
pub(super) fn is_for(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    *method == Method::POST
        && uri.path() == "/"
        && uri.query().is_none()
        && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// What is asked.
pub(super) enum Asked {
    /// A session for whoever a token names.
    Assume(Assume),
    /// Who am I.
    Identity,
}

/// A session that is asked for.
pub(super) struct Assume {
    token: String,
    role: String,
    session: String,
    seconds: u64,
}

/// Why a form is not obeyed.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

const fn invalid(message: &'static str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        code: "ValidationError",
        message,
    }
}

impl Asked {
    /// What the log calls it.
    pub(super) const fn operation(&self) -> &'static str {
        match self {
            Self::Assume(_) => "AssumeRoleWithWebIdentity",
            Self::Identity => "GetCallerIdentity",
        }
    }
}

/// Fields that are known, and no more than that many are looked at.
const FIELDS_MAX: usize = 8;
/// Bytes of a form: a token's with a passport, and a quarter as many for the rest.
pub(super) const FORM_BYTES_MAX: usize =
    limits::PASSPORT_BYTES_MAX + limits::PASSPORT_BYTES_MAX / 4;

/// Reads a form, in time that its bounds give: whoever sends it has signed nothing yet. A field
/// that comes twice, or that would narrow the session in a way that is not served, is refused.
pub(super) fn read(body: &[u8]) -> Result<Asked, Refusal> {
    const TOO_MUCH: Refusal = invalid("There are too many parameters, or they are too long.");
    if body.len() > FORM_BYTES_MAX {
        return Err(TOO_MUCH);
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(body) {
        if fields.len() == FIELDS_MAX {
            return Err(TOO_MUCH);
        }
        if fields.iter().any(|(known, _)| *known == name) {
            return Err(invalid("A parameter comes twice."));
        }
        fields.push((name.into_owned(), value.into_owned()));
    }
    let mut take = |wanted: &str| {
        let at = fields.iter().position(|(name, _)| name == wanted)?;
        Some(fields.swap_remove(at).1)
    };
    if take("Version").as_deref() != Some(VERSION) {
        return Err(invalid("The version is 2011-06-15."));
    }
    let asked = match take("Action").as_deref() {
        Some("GetCallerIdentity") => Asked::Identity,
        Some("AssumeRoleWithWebIdentity") => {
            let seconds = take("DurationSeconds").map(|text| text.parse::<u64>());
            let seconds = seconds
                .unwrap_or(Ok(SECONDS_DEFAULT))
                .ok()
                .filter(|seconds| *seconds >= SECONDS_MIN);
            Asked::Assume(Assume {
                token: take("WebIdentityToken").ok_or(invalid("A token is missing."))?,
                role: take("RoleArn").ok_or(invalid("A role is missing."))?,
                session: take("RoleSessionName").ok_or(invalid("A session's name is missing."))?,
                seconds: seconds.ok_or(invalid("A session lasts 900 to 3600 seconds."))?,
            })
        }
        _other => {
            return Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                code: "InvalidAction",
                message: "AssumeRoleWithWebIdentity and GetCallerIdentity are served.",
            });
        }
    };
    if fields.is_empty() {
        Ok(asked)
    } else {
        Err(invalid("A parameter is not understood."))
    }
}

/// Makes a session.
pub(super) async fn assume(vault: &Vault, call: &Call, asked: &Assume) -> S3Response<Body> {
    let event = call.event;
    let scope = match scope(asked) {
        Ok(scope) => scope,
        Err(refusal) => return refuse(&refusal, event),
    };
    let ask = AssumeAsk {
        token: &asked.token,
        project: scope.project,
        dataset: scope.dataset,
        purpose: scope.purpose,
        lasts_ms: asked
            .seconds
            .saturating_mul(1_000)
            .min(limits::SESSION_MS_MAX),
    };
    match vault.assume(call, ask).await {
        Ok(assumed) => answer(StatusCode::OK, &told(&assumed, &asked.session, event)),
        Err(error) => refuse(&refusal(&error), event),
    }
}

/// `…:role/kluis` for all that the principal may, or `…:role/PROJECT[/DATASET[/PURPOSE]]` for less.
fn scope(asked: &Assume) -> Result<SessionScope, Refusal> {
    const BAD: Refusal = invalid("A role is arn:aws:iam::kluis:role/PROJECT/DATASET/PURPOSE.");
    let named = |text: &str| {
        let bounded = (2..=64).contains(&text.len());
        bounded
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b))
    };
    if !named(&asked.session) {
        return Err(invalid(
            "A session's name is 2 to 64 of A-Z a-z 0-9 + = , . @ _ -",
        ));
    }
    let (head, role) = asked.role.split_once(ROLE).ok_or(BAD)?;
    if !head.starts_with("arn:") {
        return Err(BAD);
    }
    role.parse().map_err(|_none| BAD)
}

fn refusal(error: &VaultError) -> Refusal {
    let kind = error.kind();
    let (status, code, message) = if kind == ErrorKind::TokenInvalid {
        (
            StatusCode::BAD_REQUEST,
            "InvalidIdentityToken",
            "The token is not accepted.",
        )
    } else if kind == ErrorKind::TokenExpired {
        (
            StatusCode::BAD_REQUEST,
            "ExpiredTokenException",
            "The token is not in its time.",
        )
    } else if kind.status() >= 500 {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "Try again.",
        )
    } else {
        (StatusCode::FORBIDDEN, "AccessDenied", "Access denied.")
    };
    Refusal {
        status,
        code,
        message,
    }
}

/// Text inside XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn told(assumed: &Assumed, session: &str, event: EventId) -> String {
    let principal = &assumed.principal;
    let word = match &assumed.bounds.rests {
        Rests::Word(word) => (word.subject.as_str(), word.issuer.as_str()),
        Rests::Job(_) | Rests::Key(_) => ("", ""),
    };
    let fields = [
        ("AccessKeyId", assumed.id.as_str()),
        ("SecretAccessKey", assumed.secret.expose()),
        ("SessionToken", assumed.token.expose()),
        ("Expiration", &assumed.bounds.expires.to_string()),
    ];
    let mut credentials = String::new();
    for (name, value) in fields {
        // Writing to a String cannot fail.
        let _infallible = write!(credentials, "<{name}>{}</{name}>", escaped(value));
    }
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"{NAMESPACE}\">\
         <AssumeRoleWithWebIdentityResult><Credentials>{credentials}</Credentials>\
         <SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken>\
         <AssumedRoleUser><Arn>arn:aws:sts::kluis:assumed-role/{principal}/{session}</Arn>\
         <AssumedRoleId>{}:{session}</AssumedRoleId></AssumedRoleUser>\
         <Provider>{}</Provider></AssumeRoleWithWebIdentityResult>\
         <ResponseMetadata><RequestId>{event}</RequestId></ResponseMetadata>\
         </AssumeRoleWithWebIdentityResponse>",
        escaped(word.0),
        assumed.id,
        escaped(word.1),
    )
}

/// Says who the caller is.
pub(super) async fn identity(vault: &Vault, call: &Call) -> S3Response<Body> {
    match vault.whoami(call).await {
        Ok(principal) => {
            let key = call.session.access_key.as_ref();
            let user = key.map_or_else(String::new, ToString::to_string);
            let text = format!(
                "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult>\
                 <Arn>arn:aws:iam::kluis:user/{principal}</Arn><UserId>{user}</UserId>\
                 <Account>kluis</Account></GetCallerIdentityResult>\
                 <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
                 </GetCallerIdentityResponse>",
                call.event
            );
            answer(StatusCode::OK, &text)
        }
        Err(error) => refuse(&refusal(&error), call.event),
    }
}

/// A refusal as clients of this service read it.
pub(super) fn refuse(refusal: &Refusal, event: EventId) -> S3Response<Body> {
    let text = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>{event}</RequestId></ErrorResponse>",
        refusal.code, refusal.message
    );
    let mut response = answer(refusal.status, &text);
    let _none = response.extensions.insert(crate::api::Code(refusal.code));
    response
}

fn answer(status: StatusCode, text: &str) -> S3Response<Body> {
    let mut response = S3Response::with_status(Body::from(text.to_owned()), status);
    let headers = &mut response.headers;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken=t&\
                        RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Ficu%2Fecg%2Fehds%3Ax%2Fy&\
                        RoleSessionName=job-7";

    fn code(body: &str) -> Option<&'static str> {
        read(body.as_bytes()).err().map(|refusal| refusal.code)
    }

    /// With work that grows by their square, the first of these would take minutes.
    #[test]
    fn what_nobody_signed_is_bounded_before_it_is_looked_at() {
        let names = |count: usize| {
            let fields: Vec<String> = (0..count).map(|n| format!("a{n}=")).collect();
            fields.join("&")
        };
        for much in [
            names(300_000),
            names(9),
            "&".repeat(2 * FORM_BYTES_MAX),
            format!("{GOOD}&{}", names(4)),
            format!("{GOOD}&x={}", "x".repeat(FORM_BYTES_MAX)),
        ] {
            assert_eq!(code(&much), Some("ValidationError"), "{much:.80}");
        }
        let long = GOOD.replace(
            "Token=t",
            &format!("Token={}", "t".repeat(limits::PASSPORT_BYTES_MAX)),
        );
        assert!(read(long.as_bytes()).is_ok());
    }

    #[test]
    fn a_form_is_read_whole_or_refused() {
        let Ok(Asked::Assume(asked)) = read(GOOD.as_bytes()) else {
            panic!("a form");
        };
        assert_eq!(asked.seconds, 3_600);
        let Ok(SessionScope {
            project,
            dataset,
            purpose,
        }) = scope(&asked)
        else {
            panic!("a scope");
        };
        assert_eq!(project.unwrap().as_str(), "icu");
        assert_eq!(dataset.unwrap().as_str(), "ecg");
        assert_eq!(purpose.as_deref(), Some("ehds:x/y"));
        for (cut, why) in [
            ("&Version=2011-06-15", "ValidationError"),
            ("Action=AssumeRoleWithWebIdentity&", "InvalidAction"),
            ("&WebIdentityToken=t", "ValidationError"),
            ("&RoleSessionName=job-7", "ValidationError"),
        ] {
            assert_eq!(code(&GOOD.replace(cut, "")), Some(why), "{cut}");
        }
        for more in [
            "&Action=GetCallerIdentity",
            "&WebIdentityToken=u",
            "&Policy=%7B%7D",
            "&PolicyArns.member.1.arn=x",
            "&DurationSeconds=899",
            "&DurationSeconds=-1",
            "&DurationSeconds=x",
        ] {
            assert_eq!(
                code(&format!("{GOOD}{more}")),
                Some("ValidationError"),
                "{more}"
            );
        }
        assert_eq!(code(""), Some("ValidationError"));
        assert_eq!(
            code("Action=AssumeRole&Version=2011-06-15"),
            Some("InvalidAction")
        );
    }

    #[test]
    fn roles_and_sessions_that_are_none_are_refused() {
        let with = |role: &str, session: &str| Assume {
            token: String::new(),
            role: role.to_owned(),
            session: session.to_owned(),
            seconds: 900,
        };
        let good = "arn:aws:iam::kluis:role/icu/ecg";
        assert!(scope(&with(good, "ab")).is_ok());
        for session in ["", "a", "a b", "a/b", "<x>", &"a".repeat(65)] {
            assert!(scope(&with(good, session)).is_err(), "{session}");
        }
        for role in [
            "",
            "arn:aws:iam::1:role/",
            "arn:aws:iam::1:role/ICU",
            "arn:aws:iam::1:role/icu/",
            "arn:aws:iam::1:role/icu/ecg/",
            "arn:aws:iam::1:role/../lab",
            "aws:role/icu",
            "arn:aws:iam::1:user/icu",
        ] {
            assert!(scope(&with(role, "ab")).is_err(), "{role}");
        }
    }

    #[test]
    fn nothing_a_token_says_becomes_markup() {
        assert_eq!(escaped("a<b>&\"c\u{1}"), "a&lt;b&gt;&amp;&quot;c\u{fffd}");
    }
}
