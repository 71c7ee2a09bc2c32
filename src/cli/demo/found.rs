//! Founds the demo's vault: configuration, root identity, keys, project, people, credentials. Each
//! step looks first, so that a second start, also after a crash, goes on where the first was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DemoAsk;
use super::show::ShowError;
use crate::app::log::LogError;
use crate::app::system::SystemEntropy;
use crate::app::{self, Gateway, OpenVaultError, ServeError, open_store};
use crate::catalog::{CardDefaults, SharedCatalog};
use crate::config::{Config, ConfigError, Environment};
use crate::keyring::KeyRingError;
use crate::policy::{Grant, GrantEffect, Terms};
use crate::types::{
    BucketName, EntropyError, GrantId, IdError, NameError, PrincipalId, ProjectName,
};
use crate::vault::{Vault, VaultError};

/// The demo's project.
pub(super) const PROJECT: &str = "demo";
/// The demo's dataset, as S3 names it.
pub(super) const BUCKET: &str = "demo--wdbc";

/// How long the demo's grants hold.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Who is in the demo: file, principal, the person a workload acts for, role.
const PEOPLE: [(&str, &str, Option<&str>, Option<&str>); 5] = [
    ("owner", "olivia", None, Some("owner")),
    ("researcher", "ruben", None, Some("reader")),
    ("job", "job-1", Some("ruben"), Some("job")),
    ("auditor", "anna", None, Some("auditor")),
    ("stranger", "stan", None, None),
];

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::cli) enum DemoError {
    /// A file of the demo cannot be read or written.
    #[error("cannot use path={}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The demo's configuration was changed and is wrong.
    #[error("the demo's configuration cannot be used")]
    Config(#[from] ConfigError),
    /// The log of this process cannot be set up.
    #[error("the log cannot be set up")]
    Log(#[from] LogError),
    /// The keys cannot be made.
    #[error("the keys cannot be made")]
    Keys(#[from] KeyRingError),
    /// The store's bucket cannot be made.
    #[error("the store cannot be prepared")]
    Store(#[from] OpenVaultError),
    /// The gateway does not serve.
    #[error("the gateway does not serve")]
    Serve(#[from] ServeError),
    /// The vault refused.
    #[error("the vault refused: {}", .0.reason())]
    Vault(#[from] VaultError),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Entropy(#[from] EntropyError),
    /// A built-in name is none. At fault: the build.
    #[error("a name of the demo is none")]
    Name(#[from] NameError),
    /// A built-in id is none. At fault: the build.
    #[error("an id of the demo is none")]
    Id(#[from] IdError),
    /// The show found something else than it promises.
    #[error("the show failed")]
    Show(#[from] ShowError),
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> DemoError {
    let path = path.to_owned();
    move |source| DemoError::File { path, source }
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), DemoError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a whole file or none.
pub(super) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DemoError> {
    app::write_file(path, bytes, mode).map_err(at(path))
}

/// Makes directory, configuration, root identity, key ring and bucket where they are missing.
pub(super) async fn prepare(ask: &DemoAsk, environment: &Environment) -> Result<Config, DemoError> {
    let dir = &ask.dir;
    app::create_dir(dir).map_err(at(dir))?;
    let file = dir.join("kluis.toml");
    if !file.exists() {
        write_file(&file, configuration(ask).as_bytes(), 0o600)?;
    }
    let mut config = Config::load(&file)?;
    config.server.listen = ask.listen;
    app::make_keys(&config)?;
    app::make_catalog(&config).map_err(OpenVaultError::from)?;
    drop(open_store(&config, environment, true).await?);
    Ok(config)
}

fn configuration(ask: &DemoAsk) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let store = match &ask.store {
        None => "kind = \"local\"\npath = \"store\"\n".to_owned(),
        Some((url, endpoint)) => {
            let prefix = url
                .prefix
                .as_ref()
                .map(|prefix| format!("prefix = {}\n", quoted(prefix)));
            format!(
                "kind = \"s3\"\nendpoint = {}\nbucket = {}\n{}",
                quoted(endpoint),
                quoted(&url.bucket),
                prefix.unwrap_or_default()
            )
        }
    };
    format!(
        "# Written by `kluis demo`. `kluis config show` prints every setting there is.\n\
         [server]\nlisten = {}\ndefault_project = \"demo\"\n\n\
         [ops]\nlisten = \"127.0.0.1:0\"\n\n\
         [store]\n{store}\n\
         [catalog]\npath = \"catalog.sqlite\"\n\n\
         [keys]\ndir = \"keys\"\nidentity = \"root.age\"\n\n\
         [journal]\ndir = \"journal\"\n\n\
         [log]\nlevel = \"warn\"\n",
        quoted(&ask.listen.to_string()),
    )
}

/// Makes project, dataset, people, grants and credentials where they are missing, and leaves each
/// one's credential in `<dir>/<who>.env`.
pub(super) async fn people(gateway: &Gateway, dir: &Path, endpoint: &str) -> Result<(), DemoError> {
    let vault = gateway.vault();
    let catalog = vault.catalog();
    let project: ProjectName = PROJECT.parse()?;
    if catalog
        .project(&project)
        .await
        .map_err(VaultError::from)?
        .is_none()
    {
        vault
            .create_project(&local(vault)?, project.clone())
            .await?;
    }
    let owner: PrincipalId = "olivia".parse()?;
    for (_, principal, acts_for, role) in PEOPLE {
        let principal: PrincipalId = principal.parse()?;
        let acts_for = acts_for.map(str::parse).transpose()?;
        if catalog
            .principal(&principal)
            .await
            .map_err(VaultError::from)?
            .is_none()
        {
            vault
                .create_principal(&local(vault)?, principal.clone(), acts_for)
                .await?;
        }
        let held = catalog
            .grants_of(&project, &principal)
            .await
            .map_err(VaultError::from)?;
        if let (Some(role), true) = (role, held.is_empty()) {
            let grant = grant(vault, &project, &principal, role, &owner)?;
            vault.create_grant(&local(vault)?, grant).await?;
        }
    }
    let there = catalog.project(&project).await.map_err(VaultError::from)?;
    if there.is_some_and(|row| row.defaults.is_none()) {
        let defaults = defaults()?;
        vault
            .set_defaults(&local(vault)?, &project, defaults, Some(&owner))
            .await?;
    }
    let bucket = BucketName::parse(BUCKET, &project)?;
    if catalog
        .dataset(&bucket)
        .await
        .map_err(VaultError::from)?
        .is_none()
    {
        vault.found_dataset(&local(vault)?, bucket, owner).await?;
    }
    for (file, principal, _, _) in PEOPLE {
        credential(
            vault,
            catalog,
            &dir.join(format!("{file}.env")),
            principal,
            endpoint,
        )
        .await?;
    }
    Ok(())
}

/// What the demo's datasets are, so that any client may make a bucket and fill it.
fn defaults() -> Result<CardDefaults, DemoError> {
    Ok(CardDefaults {
        label: "internal".parse()?,
        source: "whatever is tried out".to_owned(),
        basis: "a demonstration".to_owned(),
        days: 3_650,
    })
}

fn local(vault: &Arc<Vault>) -> Result<crate::vault::Call, VaultError> {
    crate::cli::call::local(vault, "demo")
}

fn grant(
    vault: &Vault,
    project: &ProjectName,
    principal: &PrincipalId,
    role: &str,
    approver: &PrincipalId,
) -> Result<Grant, DemoError> {
    Ok(Grant {
        id: GrantId::random(&SystemEntropy::new())?,
        project: project.clone(),
        principal: principal.clone(),
        role: role.to_owned(),
        dataset: None,
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: Some("demo:try-it-out".to_owned()),
        permit: Some("demo".to_owned()),
        starts: vault.now(),
        expires: Some(vault.now().plus_millis(YEAR_MS)),
        approver: approver.clone(),
        created: vault.now(),
        terms: Terms::default(),
    })
}

/// Keeps the credential that the file holds if the vault still knows it; makes one otherwise.
async fn credential(
    vault: &Arc<Vault>,
    catalog: &SharedCatalog,
    path: &Path,
    principal: &str,
    endpoint: &str,
) -> Result<(), DemoError> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .next_back()
    };
    let kept = value("AWS_ACCESS_KEY_ID").and_then(|id| id.parse().ok());
    if let (Some(id), Some(secret)) = (kept, value("AWS_SECRET_ACCESS_KEY"))
        && catalog
            .credential(&id)
            .await
            .map_err(VaultError::from)?
            .is_some()
    {
        return write_env(path, endpoint, id.as_str(), &secret);
    }
    let made = vault
        .create_credential(&local(vault)?, principal.parse()?, None)
        .await?;
    write_env(path, endpoint, made.id.as_str(), made.secret.expose())
}

fn write_env(path: &Path, endpoint: &str, id: &str, secret: &str) -> Result<(), DemoError> {
    let text = format!(
        "AWS_ENDPOINT_URL={endpoint}\nAWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}\n\
         AWS_REGION=kluis\nAWS_DEFAULT_REGION=kluis\nKLUIS_BUCKET={BUCKET}\n"
    );
    write_file(path, text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    #[test]
    fn the_demo_writes_a_configuration_that_its_owner_may_change() {
        let ask = DemoAsk {
            dir: "d".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            headless: true,
            store: None,
        };
        let text = configuration(&ask);
        let config = Config::parse(&text, Path::new("d")).unwrap();
        assert_eq!(config.log.level, LogLevel::Warn);
        let louder = text.replace("level = \"warn\"", "level = \"debug\"");
        let config = Config::parse(&louder, Path::new("d")).unwrap();
        assert_eq!(config.log.level, LogLevel::Debug);
    }
}
