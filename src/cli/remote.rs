//! A command that a person runs from anywhere, signed with her own credential: one request to the
//! gateway's API.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueHint};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use super::output::{CliError, Exit};
use super::serve::runtime;
use crate::node::{Asking, Credentials, GatewayError, NO_AUTHORITY};
use crate::types::limits;

/// Where the API lies on a gateway.
const PREFIX: &str = "/.kluis/v1/";
/// A person waits no longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What may be wrong where nobody answers, or somebody else does.
pub(super) const AT_ADDRESS: &str = "does it run, and is AWS_ENDPOINT_URL its address, https:// \
                                     where it speaks TLS and http:// where it does not?";

/// What may be wrong where somebody answers whose certificate is not taken.
const AT_TRUST: &str = "AWS_CA_BUNDLE, in the credential's file or the environment, names \
                        certificates to trust beside this machine's";

/// How an answer that did not come is mended.
pub(super) fn not_there(told: &str) -> &'static str {
    if told.contains(NO_AUTHORITY) {
        AT_TRUST
    } else {
        AT_ADDRESS
    }
}

/// Who signs, and where the gateway is.
#[derive(Debug, Args)]
pub struct Caller {
    /// The credential file of whoever acts [default: as `kluis whoami` says]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub credentials: Option<PathBuf>,
}

/// One request of a command. Of a path each part is one text, whatever stands in it.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Below the API, or (`s3`) of S3.
    pub(super) path: &'a [&'a str],
    pub(super) s3: bool,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    /// For how long it is waited for.
    pub(super) patience: Duration,
    /// The longest answer that is one.
    pub(super) bytes_max: usize,
}

impl<'a> Question<'a> {
    /// One of the API, answered soon.
    pub(super) const fn of(method: Method, path: &'a [&'a str]) -> Self {
        Self {
            method,
            path,
            s3: false,
            query: Vec::new(),
            body: None,
            patience: PATIENCE,
            bytes_max: limits::COMMAND_LIST_BYTES_MAX,
        }
    }

    fn asking(self) -> Asking {
        let parts = self.path.iter().map(|part| encoded(part));
        let prefix = if self.s3 { "/" } else { PREFIX };
        let path = format!("{prefix}{}", parts.collect::<Vec<_>>().join("/"));
        // What is signed is in order of name.
        let mut query = self.query;
        query.sort_unstable();
        let query = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        Asking {
            method: self.method,
            path,
            query: query.collect::<Vec<_>>().join("&"),
            body: self
                .body
                .map_or_else(Bytes::new, |body| Bytes::from(body.to_string())),
        }
    }
}

/// A text as a part of a signed path or query. Names hold hyphens, which are left as they are.
fn encoded(text: &str) -> String {
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    encoded
        .replace("%2D", "-")
        .replace("%2E", ".")
        .replace("%5F", "_")
        .replace("%7E", "~")
}

/// A message as the body of a request.
pub(super) fn body(message: &impl Serialize) -> Result<Value, CliError> {
    serde_json::to_value(message).map_err(|error| CliError::of(Exit::Usage, &error))
}

/// Asks the gateway that a credential names: its answer as it came.
pub(super) fn send(
    credentials: &Arc<Credentials>,
    question: Question<'_>,
) -> Result<Bytes, CliError> {
    let gateway = super::node::gateway_by(Arc::clone(credentials), question.patience)?;
    let (patience, most) = (question.patience, question.bytes_max);
    let asking = question.asking();
    let answer = runtime()?.block_on(gateway.waiting(patience).call(&asking, most));
    answer.map_err(|error| refused(&error))
}

/// A gateway's address, as it may be shown.
pub(super) fn place(endpoint: &str) -> Result<String, CliError> {
    // A URL may hold a name and a password before its host.
    let shown = endpoint.parse::<http::Uri>().ok().and_then(|uri| {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        Some(format!("{scheme}://{host}"))
    });
    shown.ok_or_else(|| CliError::new(Exit::Usage, "the gateway's address is none"))
}

fn refused(error: &GatewayError) -> CliError {
    match error {
        GatewayError::Refused {
            status,
            code,
            title,
        } => {
            let exit = if *status >= 500 || *status == 429 {
                Exit::Unavailable
            } else {
                Exit::No
            };
            // What the gateway says of it is what went wrong, and no way to mend it.
            if title.is_empty() {
                let told = CliError::of(exit, error);
                if exit == Exit::No && is_foreign(*status, code) {
                    return told.hint("no gateway answers so").hint(AT_ADDRESS);
                }
                told
            } else {
                CliError::new(exit, format!("{error}: {title}"))
            }
        }
        GatewayError::Unreachable(why) => {
            CliError::of(Exit::Unavailable, error).hint(not_there(why))
        }
        GatewayError::Credential(_) => CliError::of(Exit::Usage, error),
    }
}

/// Whether an answer is in nobody's code but HTTP's own: of a port that serves something else, or
/// of TLS that was spoken to in clear.
fn is_foreign(status: u16, code: &str) -> bool {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()) == Some(code)
}

/// Whether a refusal is that what was to be made is there.
pub(super) fn is_there(error: &CliError) -> bool {
    error
        .message()
        .starts_with("the gateway refuses: 409 Exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_or_query_is_one_text() {
        let asking = Question {
            query: vec![
                ("since", "2027-01-01T00:00:00Z".to_owned()),
                ("key", "a b&c=/é".to_owned()),
            ],
            ..Question::of(Method::GET, &["projects", "icu-1/../x", "records"])
        };
        let asking = asking.asking();
        assert_eq!(asking.path, "/.kluis/v1/projects/icu-1%2F..%2Fx/records");
        assert_eq!(
            asking.query,
            "key=a%20b%26c%3D%2F%C3%A9&since=2027-01-01T00%3A00%3A00Z"
        );
    }

    #[test]
    fn a_refusal_says_what_the_gateway_says_and_no_more() {
        let refusal = |status, title: &str| {
            refused(&GatewayError::Refused {
                status,
                code: "AccessDenied".to_owned(),
                title: title.to_owned(),
            })
        };
        let told = refusal(403, "Access denied.");
        let words = "the gateway refuses: 403 AccessDenied: Access denied.";
        assert_eq!((told.message(), told.exit()), (words, Exit::No));
        assert!(told.hints().is_empty(), "a title is no hint");
        assert!(!is_there(&told));
        let bare = refusal(503, "");
        assert_eq!(bare.exit(), Exit::Unavailable);
        let away = refused(&GatewayError::Unreachable("refused".to_owned()));
        assert_eq!(away.exit(), Exit::Unavailable);
        assert!(away.hints()[0].contains("AWS_ENDPOINT_URL"));
        let strange = refused(&GatewayError::Unreachable(NO_AUTHORITY.to_owned()));
        assert!(strange.hints()[0].contains("AWS_CA_BUNDLE"));
        let told = "others can read the file /t: chmod 600 it";
        let open = refused(&GatewayError::Credential(told.to_owned()));
        assert_eq!((open.message(), open.exit()), (told, Exit::Usage));
        assert!(open.hints().is_empty(), "nobody was asked");
        assert!(bare.hints().is_empty(), "a gateway may be too busy to say");
    }

    #[test]
    fn who_answers_and_is_no_gateway_is_told_from_one_that_refuses() {
        let refusal = |status, code: &str, title: &str| {
            refused(&GatewayError::Refused {
                status,
                code: code.to_owned(),
                title: title.to_owned(),
            })
        };
        for (status, code) in [(400, "Bad Request"), (404, "Not Found")] {
            let told = refusal(status, code, "");
            let words = format!("the gateway refuses: {status} {code}");
            assert_eq!((told.message(), told.exit()), (words.as_str(), Exit::No));
            assert!(told.hints()[1].contains("https://"), "{:?}", told.hints());
        }
        for (status, code, title) in [
            (403, "AccessDenied", ""),
            (404, "NoSuchDataset", "There is no such dataset."),
            (503, "Service Unavailable", ""),
        ] {
            assert!(refusal(status, code, title).hints().is_empty(), "{code}");
        }
    }
}
