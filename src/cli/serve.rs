//! `kluis serve` and `kluis demo`: commands that run until they are stopped.

use std::io::IsTerminal as _;
use std::path::Path;

use super::demo::{self, DemoAsk, DemoError};
use super::open;
use super::output::{CliError, Exit, Output};
use super::{args, config_command};
use crate::app::{Asked, Gateway, OpenVaultError, ServeError, log};
use crate::config::Environment;
use crate::journal::JournalError;
use crate::notary::NotaryError;
use crate::types::SecretText;

/// The runtime of a command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::of(Exit::Unavailable, &error))
}

/// Serves what a configuration describes.
pub(super) fn serve(path: &Path, environment: &Environment) -> Result<Exit, CliError> {
    let config = config_command::load(path)?;
    log::start(&config.log, environment).map_err(|error| CliError::of(Exit::Usage, &error))?;
    runtime()?.block_on(async {
        let gateway = Gateway::start(&config, environment, &passphrase)
            .await
            .map_err(|error| refuse(&error))?;
        tracing::info!(address = %gateway.address(), ops = %gateway.ops_address(), "serving");
        gateway.run().await.map_err(|error| refuse(&error))
    })?;
    Ok(Exit::Done)
}

/// Asks for a passphrase or a PIN where somebody sits at a terminal.
pub(super) fn passphrase(asked: Asked<'_>) -> Option<SecretText> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let prompt = match asked {
        Asked::Passphrase(path) => format!("Passphrase of the root identity {}: ", path.display()),
        Asked::Pin(whose) => format!("PIN of {whose}: "),
    };
    rpassword::prompt_password(prompt).ok().map(SecretText::new)
}

/// The demo.
pub(super) fn demo(
    ask: &args::Demo,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let ask = DemoAsk {
        dir: ask.dir.clone(),
        listen: ask.listen,
        headless: ask.headless,
        store: ask
            .store
            .store
            .clone()
            .zip(ask.store.store_endpoint.clone()),
    };
    runtime()?
        .block_on(demo::run(&ask, environment, output))
        .map_err(|error| match error {
            DemoError::Serve(ServeError::Bind { .. }) => CliError::of(Exit::Unavailable, &error)
                .hint("another program may listen there: `--listen 127.0.0.1:9100` is another address"),
            DemoError::Serve(error) => refuse(&error),
            DemoError::NotItsOwn { .. } => CliError::of(Exit::Usage, &error).hint(
                "`kluis serve` serves a vault that is there; `--dir` names another place for a demo",
            ),
            DemoError::Config(_) => CliError::of(Exit::Usage, &error).hint(format!(
                "`--listen 127.0.0.1:9000` stays on this machine; the rest stands in {}",
                ask.dir.join("kluis.toml").display()
            )),
            DemoError::Log(_) => CliError::of(Exit::Usage, &error),
            DemoError::File { .. } => CliError::of(Exit::Usage, &error)
                .hint("`--dir` names a directory that this user may write, on a disk with room"),
            DemoError::Keys(_)
            | DemoError::Store(_)
            | DemoError::Vault(_)
            | DemoError::Entropy(_)
            | DemoError::Name(_)
            | DemoError::Id(_)
            | DemoError::Credential(_)
            | DemoError::Endpoint(_)
            | DemoError::Owner(_)
            | DemoError::Show(_) => CliError::of(Exit::Unavailable, &error),
        })?;
    Ok(Exit::Done)
}

/// What to do about a gateway that does not serve.
fn refuse(error: &ServeError) -> CliError {
    let (exit, hint) = match error {
        ServeError::PlainHttp { .. } => (
            Exit::Usage,
            "set `server.tls_cert` and `server.tls_key`, or `server.plain_http = \"allow\"` where \
             something in front ends TLS",
        ),
        ServeError::OpsRemote { .. } => {
            (Exit::Usage, "set `ops.allow_remote = true` if it is meant")
        }
        ServeError::Bind { .. } => (
            Exit::Unavailable,
            "another program may listen there: `server.listen` and `ops.listen` in the \
             configuration name other addresses",
        ),
        ServeError::Worm(_) => (
            Exit::Usage,
            "name a bucket with Object Lock in `volumes.bucket`, or set volumes.worm = \"try\"; \
             docs/audit.md says what each is worth",
        ),
        ServeError::Probe(_) => (
            Exit::Unavailable,
            "`kluis doctor` says what the store lacks",
        ),
        ServeError::Open(OpenVaultError::Journal(JournalError::Locked)) => (
            Exit::Unavailable,
            "another gateway is running on this directory",
        ),
        ServeError::Log(NotaryError::RolledBack { .. } | NotaryError::State) => (
            Exit::No,
            "keep the directories of the log and the journal for those who investigate, and restore \
             them: going on would fork the log or leave it. docs/audit.md, \"When the log does not open\"",
        ),
        ServeError::Log(NotaryError::Locked) => (
            Exit::Unavailable,
            "another gateway keeps this log: stop it first",
        ),
        ServeError::Log(_) => (
            Exit::Unavailable,
            "see that `proof.dir` is a directory on a disk with room",
        ),
        ServeError::Tls(_) => (
            Exit::Usage,
            "`server.tls_cert` is a chain in PEM and `server.tls_key` the key that belongs to it",
        ),
        ServeError::Stream(_) => (
            Exit::Usage,
            "see `[syslog]` and `[otlp]`: the address, and the files that they name",
        ),
        ServeError::Snapshots(error) if let Some(fault) = error.chain_fault() => {
            (Exit::No, open::chain_hint(fault))
        }
        ServeError::Fenced(fault) => (Exit::No, open::chain_hint(*fault)),
        ServeError::Open(error) => return open::refuse(error),
        ServeError::Entropy(_)
        | ServeError::Edge(_)
        | ServeError::SelfTest(_)
        | ServeError::Snapshots(_)
        | ServeError::Crew(_)
        | ServeError::Signals(_) => (
            Exit::Unavailable,
            "`kluis doctor` says what is wrong and how to mend it",
        ),
    };
    CliError::of(exit, error).hint(hint)
}
