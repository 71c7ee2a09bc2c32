//! `kluis credential`: S3 credentials. A secret is handed over once, to a file of its owner or to a
//! pipe, never to a terminal unasked.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use super::cell::NEVER;
use super::credential_args::CredentialCommand;
use super::open::{Desk, absent, call};
use super::output::{CliError, Exit, Output};
use super::project::end;
use crate::app::{Opened, create_file, env_lines};
use crate::config::Config;
use crate::types::{KeyScope, PrincipalId, SecretText, Timestamp, limits};
use crate::vault::NewCredential;

/// Until when a credential is good, and for what.
pub(super) type KeyTerms = (Option<Timestamp>, KeyScope);

/// Runs one of its commands.
pub(super) fn run(
    command: &CredentialCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        CredentialCommand::Create {
            principal,
            expires,
            output: file,
            force,
            scope,
        } => {
            if file.is_none() && output.is_terminal() && !force {
                return Err(
                    CliError::new(Exit::Usage, "a secret is not shown on a terminal")
                        .hint("write it to a file with `--output FILE`, or insist with `--force`"),
                );
            }
            let terms = (*expires, KeyScope::from(&**scope));
            create(desk, (principal, terms), file.as_deref(), output)?;
        }
        CredentialCommand::List { principal } => {
            let catalog = desk.catalog()?;
            let runtime = super::serve::runtime()?;
            if runtime.block_on(catalog.principal(principal))?.is_none() {
                return Err(unknown(principal));
            }
            let rows = runtime.block_on(catalog.credentials(principal, limits::GUARD_CACHE_MAX))?;
            let uses =
                runtime.block_on(catalog.credential_uses(principal, limits::GUARD_CACHE_MAX))?;
            let last: HashMap<_, _> = uses.into_iter().collect();
            let rows: Vec<_> = rows
                .iter()
                .map(|row| {
                    [
                        row.id.to_string(),
                        row.created.to_string(),
                        end(row.expires),
                        row.scope.as_deref().map_or_else(all, KeyScope::to_string),
                        last.get(&row.id)
                            .map_or_else(|| NEVER.to_owned(), Timestamp::to_string),
                    ]
                })
                .collect();
            output.rows(
                ["access_key_id", "created", "expires", "scope", "last_used"],
                &rows,
            )?;
        }
        CredentialCommand::Revoke { id } => {
            desk.act(output, async |opened| {
                let call = call(opened, "credential revoke")?;
                Ok(opened.vault.revoke_credential(&call, id.clone()).await?)
            })?;
            output.note(&format!(
                "{id} is revoked; gateways refuse it within a second"
            ));
        }
    }
    Ok(Exit::Done)
}

fn unknown(principal: &PrincipalId) -> CliError {
    absent("principal", principal).hint(format!("`kluis principal create {principal}` makes it"))
}

/// The scope of a credential that carries all its owner's rights.
fn all() -> String {
    "all".to_owned()
}

fn create(
    desk: Desk<'_>,
    (principal, terms): (&PrincipalId, KeyTerms),
    file: Option<&Path>,
    output: &mut Output,
) -> Result<(), CliError> {
    if let Some(path) = file.filter(|path| path.exists()) {
        return Err(there(path));
    }
    let config = desk.config()?;
    let made = desk.act(output, async |opened| {
        if opened.vault.catalog().principal(principal).await?.is_none() {
            return Err(unknown(principal));
        }
        hand_over(opened, &config, (principal, terms), file).await
    })?;
    let file = file.map(|path| path.display().to_string());
    if let Some(path) = &file {
        output.note(&format!("the credential is in {path}"));
    }
    let endpoint = endpoint(&config);
    let place = (config.server.region.as_str(), endpoint.as_deref());
    match (output.is_json(), &file) {
        (true, Some(path)) => {
            let id = made.id.to_string();
            output.value(&json!({ "access_key_id": id, "file": path }))
        }
        (true, None) => output.data(json_line(&made, place)?.expose().as_bytes()),
        (false, None) => {
            let text = env_lines(&made, place.0, place.1);
            output.data(text.expose().as_bytes())
        }
        (false, Some(_)) => Ok(()),
    }
}

/// A credential for a machine: the names that `kluis login --process` has for S3 tools are AWS's,
/// these are the variables', in JSON.
fn json_line(
    made: &NewCredential,
    (region, endpoint): (&str, Option<&str>),
) -> Result<SecretText, CliError> {
    let text = |value: &str| {
        let text = serde_json::to_string(value);
        text.map_err(|error| CliError::of(Exit::Usage, &error))
    };
    let id = text(made.id.as_str())?;
    let secret = zeroize::Zeroizing::new(text(made.secret.expose())?);
    let (region, endpoint) = (text(region)?, endpoint.map(text).transpose()?);
    let endpoint = endpoint.unwrap_or_else(|| "null".to_owned());
    Ok(SecretText::new(format!(
        "{{\"access_key_id\":{id},\"secret_access_key\":{},\"region\":{region},\
         \"endpoint_url\":{endpoint}}}\n",
        secret.as_str()
    )))
}

fn there(path: &Path) -> CliError {
    CliError::new(Exit::Usage, format!("{} is there already", path.display()))
        .hint("nothing is overwritten: name another file or move that one away")
}

/// Makes a credential and, where one is named, writes it to a new file. A credential that cannot be
/// handed over is revoked.
pub(super) async fn hand_over(
    opened: &Opened,
    config: &Config,
    (principal, terms): (&PrincipalId, KeyTerms),
    file: Option<&Path>,
) -> Result<NewCredential, CliError> {
    let vault = &opened.vault;
    let made = vault
        .create_credential(
            &call(opened, "credential create")?,
            principal.clone(),
            terms,
        )
        .await?;
    let Some(path) = file else {
        return Ok(made);
    };
    let endpoint = endpoint(config);
    let text = env_lines(&made, &config.server.region, endpoint.as_deref());
    if let Err(error) = create_file(path, text.expose().as_bytes(), 0o600) {
        let call = call(opened, "credential revoke")?;
        vault.revoke_credential(&call, made.id).await?;
        return Err(CliError::new(
            Exit::Usage,
            format!("cannot write {}: {error}", path.display()),
        )
        .hint("the credential was revoked again"));
    }
    Ok(made)
}

/// Where clients on this machine or by its address reach the gateway; none where the
/// configuration does not say.
fn endpoint(config: &Config) -> Option<String> {
    let server = &config.server;
    let scheme = if server.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    if let Some(domain) = &server.domain {
        return Some(format!("{scheme}://{domain}:{}", server.listen.port()));
    }
    let known = server.listen.port() != 0 && !server.listen.ip().is_unspecified();
    known.then(|| format!("{scheme}://{}", server.listen))
}
