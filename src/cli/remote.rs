//! A command that a person runs from anywhere, signed with her own credential: one request to the
//! gateway's API.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueHint};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::output::{CliError, Exit};
use super::serve::runtime;
use crate::config::Environment;
use crate::node::GatewayError;

/// Where the API lies on a gateway.
const PREFIX: &str = "/.kluis/v1/";
/// A person waits no longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who signs, and where the gateway is.
#[derive(Debug, Args)]
pub struct Caller {
    /// The credential file of who acts [default: the environment]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub credentials: Option<PathBuf>,
}

impl Caller {
    /// Asks the gateway: the answer's JSON, `null` where there is none. Of `path` each part is one
    /// text, whatever stands in it.
    pub(super) fn ask(
        &self,
        environment: &Environment,
        (method, path): (Method, &[&str]),
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let credentials = self.credentials.as_deref();
        let gateway = super::node::gateway(credentials, environment, PATIENCE)?;
        let parts = path.iter().map(|part| {
            // Names of projects hold hyphens, which a signed path leaves as they are.
            let encoded = utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
            encoded
                .replace("%2D", "-")
                .replace("%2E", ".")
                .replace("%5F", "_")
                .replace("%7E", "~")
        });
        let path = format!("{PREFIX}{}", parts.collect::<Vec<_>>().join("/"));
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answer = runtime()?.block_on(gateway.call(method, path, body));
        let answer = answer.map_err(|error| refused(&error))?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| CliError::of(Exit::Unavailable, &error))
    }
}

fn refused(error: &GatewayError) -> CliError {
    match error {
        GatewayError::Refused { status, title, .. } => {
            let exit = if *status >= 500 {
                Exit::Unavailable
            } else {
                Exit::No
            };
            // What the gateway says of it is what went wrong, and no way to mend it.
            if title.is_empty() {
                CliError::of(exit, error)
            } else {
                CliError::new(exit, format!("{error}: {title}"))
            }
        }
        GatewayError::Unreachable(_) => CliError::of(Exit::Unavailable, error)
            .hint("does it run, and is AWS_ENDPOINT_URL its address?"),
    }
}

/// A text member of an answer; empty for none.
pub(super) fn text(value: &Value, name: &str) -> String {
    let found = value.get(name).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

/// The members of an answer's list.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let found = value.get(name).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let bare = refusal(503, "");
        assert_eq!(bare.exit(), Exit::Unavailable);
        let away = refused(&GatewayError::Unreachable("refused".to_owned()));
        assert_eq!(away.exit(), Exit::Unavailable);
        assert!(away.hints()[0].contains("AWS_ENDPOINT_URL"));
    }
}
