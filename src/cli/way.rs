//! Where a command acts: on the vault's host, by whoever holds its keys there, or at a gateway, by
//! whoever signs. Over the network nobody is named: whose credential it is, she acts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueHint};
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::login;
use super::open::Desk;
use super::output::{CliError, Exit, Output};
use super::remote::{self, Caller, Question};
use crate::config::Environment;
use crate::node::Credentials;
use crate::types::PrincipalId;
use crate::vault::NOBODY_SPEAKS;
use crate::wire::Identity;

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
    Signed(Signer),
}

/// Who signs, and whom the gateway takes that for.
pub(super) struct Signer {
    /// One for all that a command asks: a session is taken once, and its token with it.
    credentials: Arc<Credentials>,
    person: Box<Identity>,
    /// The members that the gateway told of: gateways of before told fewer.
    told: Vec<String>,
}

impl<'a> Way<'a> {
    /// A credential that is named goes before all else; then the configuration, if it is there.
    pub(super) fn of(who: &Signed, desk: Desk<'a>, output: &mut Output) -> Result<Self, CliError> {
        // One that is named, or cannot be looked for, is an error of its own where it is missing.
        let absent = matches!(desk.path.try_exists(), Ok(false));
        let here = desk.path != Path::new(CONFIG) || !absent;
        if who.credentials.is_none() && here {
            return Ok(Self::Host(desk));
        }
        let named = (who.credentials.as_deref(), None);
        let found = login::signed_by(named, desk.environment).map_err(|error| {
            let told = format!("there is no {CONFIG} here, and {}", error.message());
            CliError::new(Exit::Usage, told)
                .hint(FROM_ANYWHERE)
                .hint("on the vault's host: `--config PATH` names its configuration")
        });
        Signer::known(found?.0.as_deref(), desk.environment, output).map(Self::Signed)
    }
}

/// How somebody signs who does not yet.
const FROM_ANYWHERE: &str = "from anywhere: `--credentials FILE`, or sign in with `kluis login`";

/// The file of whoever signs, where it is not the environment: for every command that acts over the
/// network in any case.
pub(super) fn found(
    credentials: Option<&Path>,
    environment: &Environment,
) -> Result<Option<PathBuf>, CliError> {
    let found = login::signed_by((credentials, None), environment);
    let found = found.map_err(|error| {
        CliError::new(Exit::Usage, error.message().to_owned()).hint(FROM_ANYWHERE)
    });
    Ok(found?.0)
}

impl Signer {
    /// Who signs, found as by every command that acts over the network: by the credential that is
    /// named, by the session of `kluis login`, or by what the environment has.
    pub(super) fn of(
        caller: &Caller,
        environment: &Environment,
        output: &mut Output,
    ) -> Result<Self, CliError> {
        let found = found(caller.credentials.as_deref(), environment)?;
        Self::known(found.as_deref(), environment, output)
    }

    /// The same, once it is found. Where that is and whom the gateway takes it for is asked and
    /// said before anything is done.
    pub(super) fn known(
        credentials: Option<&Path>,
        environment: &Environment,
        output: &mut Output,
    ) -> Result<Self, CliError> {
        let mut signer = Self {
            credentials: super::node::credentials(credentials, environment)?,
            person: Box::default(),
            told: Vec::new(),
        };
        let at = remote::place(signer.credentials.endpoint())?;
        let told: Map<String, Value> = signer.ask(Question::of(Method::GET, &["identity"]))?;
        signer.told = told.keys().cloned().collect();
        let person = serde_json::from_value(Value::Object(told));
        signer.person = person.map_err(|_other| no_answer())?;
        let Identity {
            principal,
            acts_for,
            ..
        } = signer.person.as_ref();
        let is_named = |name: &String| name.parse::<PrincipalId>().is_ok();
        if !is_named(principal) || !acts_for.iter().all(is_named) {
            return Err(no_answer());
        }
        output.signed(&at, principal, acts_for.as_deref());
        Ok(signer)
    }

    /// Whom the gateway takes it for, and whom that acts for.
    pub(super) fn person(&self) -> (&str, Option<&str>) {
        (&self.person.principal, self.person.acts_for.as_deref())
    }

    /// All that it told of the signer.
    pub(super) fn identity(&self) -> &Identity {
        &self.person
    }

    /// Whether it told anything of that name.
    pub(super) fn tells(&self, name: &str) -> bool {
        self.told.iter().any(|told| told == name)
    }

    /// Asks the gateway.
    pub(super) fn send(&self, question: Question<'_>) -> Result<Bytes, CliError> {
        remote::send(&self.credentials, question)
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
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        self.ask(Question {
            body: Some(remote::body(body)?),
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

/// Who is named where nobody signs, in whose name the host may act (`policy.host_approves`).
pub(super) fn named<'p>(
    flag: &str,
    named: Option<&'p PrincipalId>,
    desk: Desk<'_>,
) -> Result<&'p PrincipalId, CliError> {
    match named {
        Some(who) => Ok(who),
        None => Err(lacking(flag, desk.config()?.policy.host_approves)),
    }
}

/// Nobody is named where nobody signs. A flag that would be refused is not asked for.
pub(super) fn lacking(flag: &str, speaks: bool) -> CliError {
    if !speaks {
        return CliError::new(Exit::Usage, NOBODY_SPEAKS)
            .hint("she runs the same with `--credentials FILE`, from any machine");
    }
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
