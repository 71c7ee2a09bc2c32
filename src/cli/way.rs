//! Where a command acts: on the vault's host, by who holds its keys there, or at a gateway, by who
//! signs. Over the network nobody is named: whose credential it is, she acts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueHint};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::login;
use super::login_args::{Kept, Whoami};
use super::open::Desk;
use super::output::{CliError, Exit};
use super::remote::{Caller, Question};
use crate::config::Environment;
use crate::types::PrincipalId;
use crate::vault::NOBODY_SPEAKS;

/// The configuration that is looked for where none is named.
pub(super) const CONFIG: &str = "kluis.toml";

/// Who signs, where a command acts over the network.
#[derive(Debug, Args)]
pub struct Signed {
    /// Act over the network, signed by the credential in this file [default: on the vault's host
    /// where its configuration is; elsewhere over the network, as `kluis whoami` says]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Global options")]
    pub credentials: Option<PathBuf>,
}

/// Where a command acts.
pub(super) enum Way<'a> {
    /// On the vault's host.
    Host(Desk<'a>),
    /// At a gateway, as who signs.
    Signed(Signer<'a>),
}

/// Who signs.
pub(super) struct Signer<'a> {
    caller: Caller,
    environment: &'a Environment,
}

impl<'a> Way<'a> {
    /// A credential that is named goes before all else; then the configuration, if it is there.
    pub(super) fn of(who: &Signed, desk: Desk<'a>) -> Result<Self, CliError> {
        let environment = desk.environment;
        let by = |caller| {
            Ok(Self::Signed(Signer {
                caller,
                environment,
            }))
        };
        if who.credentials.is_some() {
            let credentials = who.credentials.clone();
            return by(Caller { credentials });
        }
        // One that is named, or cannot be looked for, is an error of its own where it is missing.
        let absent = matches!(desk.path.try_exists(), Ok(false));
        if desk.path != Path::new(CONFIG) || !absent {
            return Ok(Self::Host(desk));
        }
        let nobody = Whoami {
            kept: Kept { session: None },
            caller: Caller { credentials: None },
        };
        match login::signed_by(&nobody, environment) {
            Ok((caller, _until)) => by(caller),
            Err(error) => Err(CliError::new(
                Exit::Usage,
                format!("there is no {CONFIG} here, and {}", error.message()),
            )
            .hint("from anywhere: `--credentials FILE`, or sign in with `kluis login`")
            .hint("on the vault's host: `--config PATH` names its configuration")),
        }
    }
}

impl Signer<'_> {
    /// Asks the gateway.
    pub(super) fn send(&self, question: Question<'_>) -> Result<Bytes, CliError> {
        self.caller.send(self.environment, question)
    }

    /// Asks the gateway; what it answers, if that is what was asked for.
    pub(super) fn ask<T: DeserializeOwned>(&self, question: Question<'_>) -> Result<T, CliError> {
        let answer = self.send(question)?;
        serde_json::from_slice(&answer).map_err(|_other| no_answer())
    }

    /// The same with a body.
    pub(super) fn say<T: DeserializeOwned>(
        &self,
        (method, path): (Method, &[&str]),
        body: Value,
    ) -> Result<T, CliError> {
        self.ask(Question {
            body: Some(body),
            ..Question::of(method, path)
        })
    }
}

/// What a gateway answered is not what was asked for.
pub(super) fn no_answer() -> CliError {
    CliError::new(Exit::Unavailable, "the gateway's answer is none")
        .hint("is AWS_ENDPOINT_URL a gateway's address, and it as new as this command?")
}

/// For what takes the gateway long.
pub(super) const LONG: Duration = Duration::from_hours(1);

/// That nobody is named where whoever signs acts.
pub(super) fn unnamed(flag: &str, named: Option<&PrincipalId>) -> Result<(), CliError> {
    let Some(who) = named else {
        return Ok(());
    };
    let told = format!("over the network who signs acts, and `{flag} {who}` names nobody");
    Err(CliError::new(Exit::Usage, told).hint(format!(
        "leave `{flag}` out; `kluis whoami` says who signs, `--credentials FILE` who is to"
    )))
}

/// Who is named where nobody signs.
pub(super) fn named<'p>(
    flag: &str,
    named: Option<&'p PrincipalId>,
) -> Result<&'p PrincipalId, CliError> {
    named.ok_or_else(|| lacking(flag))
}

/// Nobody is named where nobody signs.
pub(super) fn lacking(flag: &str) -> CliError {
    let told = format!("on the vault's host `{flag}` says on whose word");
    CliError::new(Exit::Usage, told)
        .hint("with `--credentials FILE` it is her own, from any machine")
}

/// A refusal to act in another's name, with how she does it herself.
pub(super) fn herself(error: CliError, flag: &str, who: &PrincipalId) -> CliError {
    if error.message() != NOBODY_SPEAKS {
        return error;
    }
    error
        .hint(format!(
            "she runs the same without `{flag} {who}` and with `--credentials FILE`, from any \
             machine"
        ))
        .hint(format!(
            "`kluis credential create {who} --output {who}.env` makes her such a file; who signs \
             in with `kluis login` needs none"
        ))
}
