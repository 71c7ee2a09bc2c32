//! Founds the demo's vault: configuration, root identity, keys, project, people, credentials. Each
//! step looks first, so that a second start, also after a crash, goes on where the first was.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::DemoAsk;
use super::show::ShowError;
use crate::app::log::LogError;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::app::{self, Gateway, OpenVaultError, ServeError, open_store};
use crate::catalog::SharedCatalog;
use crate::config::{Config, ConfigError, Environment};
use crate::keyring::KeyRingError;
use crate::node::{self, Asking, Credentials, CredentialsError, GatewayError};
use crate::policy::{Grant, GrantEffect, Terms};
use crate::store::s3::S3ConfigError;
use crate::types::{
    BucketName, Clock, EntropyError, GrantId, IdError, KeyScope, NameError, PrincipalId,
    ProjectName, limits,
};
use crate::vault::{CardChange, Vault, VaultError};

/// The demo's project.
pub(super) const PROJECT: &str = "demo";
/// The demo's dataset, as S3 names it.
pub(super) const BUCKET: &str = "demo--wdbc";

/// The first line of a configuration that a demo wrote, by which it knows its own vault again.
const MARK: &str = "# Written by `kluis demo`.";

/// How long the demo's grants hold.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
/// What they are for, and on what they rest.
const PURPOSE: &str = "demo:try-it-out";
const PERMIT: &str = "demo";
/// The demo's own gateway answers at once.
const PATIENCE: Duration = Duration::from_secs(30);

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
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What is there was made by somebody, and not by a demo.
    #[error("no demo made this, and nothing was changed: {}", path.display())]
    NotItsOwn {
        /// Which file.
        path: PathBuf,
    },
    /// What the demo is to be is wrong, as it was asked or as its file was changed.
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
    /// The owner's credential cannot be read back.
    #[error("the owner's credential cannot be used")]
    Credential(#[from] CredentialsError),
    /// The demo's own address is none.
    #[error("the endpoint of the demo cannot be used")]
    Endpoint(#[from] S3ConfigError),
    /// The demo's own gateway did not do what its owner asked.
    #[error("what the owner says is not done")]
    Owner(#[from] GatewayError),
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
/// Nothing is made before the configuration is right, nor in a vault that no demo made.
pub(super) async fn prepare(ask: &DemoAsk, environment: &Environment) -> Result<Config, DemoError> {
    let config = configured(ask)?;
    app::make_keys(&config)?;
    app::make_catalog(&config).map_err(OpenVaultError::from)?;
    drop(open_store(&config, environment, true).await?);
    Ok(config)
}

/// The configuration of this directory's demo, which is written where there is none.
fn configured(ask: &DemoAsk) -> Result<Config, DemoError> {
    let file = ask.dir.join("kluis.toml");
    let listen = |config: &mut Config| config.server.listen = ask.listen;
    if file.exists() {
        if !is_marked(&file).map_err(at(&file))? {
            return Err(DemoError::NotItsOwn { path: file });
        }
        return Ok(Config::load_with(&file, listen)?);
    }
    for (name, ..) in PEOPLE {
        let path = env_of(&ask.dir, name);
        if path.exists() {
            return Err(DemoError::NotItsOwn { path });
        }
    }
    let text = configuration(ask);
    let checked = Config::parse_with(&text, &ask.dir, listen);
    let config = checked.map_err(|problems| ConfigError::Invalid { problems })?;
    app::create_dir(&ask.dir).map_err(at(&ask.dir))?;
    write_file(&file, text.as_bytes(), 0o600)?;
    Ok(config)
}

/// Whether a configuration begins as a demo's does.
fn is_marked(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    let most = u64::try_from(MARK.len()).unwrap_or(u64::MAX);
    std::fs::File::open(path)?
        .take(most)
        .read_to_end(&mut head)?;
    Ok(head == MARK.as_bytes())
}

fn env_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.env"))
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
        "{MARK} `kluis config show` prints every setting there is.\n\
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
    for (_, principal, acts_for, _) in PEOPLE {
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
    }
    if !holds(catalog, &project, &owner).await? {
        let founding = founding(vault, &project, &owner)?;
        vault.create_grant(&local(vault)?, founding).await?;
    }
    for (file, principal, _, _) in PEOPLE {
        credential(vault, catalog, &env_of(dir, file), principal, endpoint).await?;
    }
    // From here on it is the owner's to say, and she says it over the network as any owner does.
    let olivia = Owner::of(dir)?;
    for (_, principal, _, role) in PEOPLE {
        let id: PrincipalId = principal.parse()?;
        if let (Some(role), false) = (role, holds(catalog, &project, &id).await?) {
            let end = vault.now().plus_millis(YEAR_MS).to_string();
            let grant = json!({
                "principal": principal, "role": role, "purpose": PURPOSE, "permit": PERMIT,
                "expires": end,
            });
            olivia.says(Method::POST, "grants", &grant).await?;
        }
    }
    let there = catalog.project(&project).await.map_err(VaultError::from)?;
    if there.is_some_and(|row| row.defaults.is_none()) {
        olivia.says(Method::PUT, "defaults", &defaults()).await?;
    }
    let bucket = BucketName::parse(BUCKET, &project)?;
    if catalog
        .dataset(&bucket)
        .await
        .map_err(VaultError::from)?
        .is_none()
    {
        let call = local(vault)?;
        let as_defaults = CardChange::default();
        vault
            .found_dataset(&call, bucket, Some(&owner), as_defaults)
            .await?;
    }
    Ok(())
}

/// Whether somebody holds anything in the project.
async fn holds(
    catalog: &SharedCatalog,
    project: &ProjectName,
    who: &PrincipalId,
) -> Result<bool, DemoError> {
    let held = catalog.grants_of(project, who).await;
    Ok(!held.map_err(VaultError::from)?.is_empty())
}

/// The owner, at the demo's own gateway: on the host nobody speaks in her name.
struct Owner(node::Gateway);

impl Owner {
    fn of(dir: &Path) -> Result<Self, DemoError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let credentials = Credentials::of_file(&env_of(dir, "owner"), &clock)?;
        Ok(Self(node::Gateway::new(credentials, clock, PATIENCE)?))
    }

    /// Asks for something in her project.
    async fn says(&self, method: Method, what: &str, body: &Value) -> Result<(), DemoError> {
        let asking = Asking {
            method,
            path: format!("/.kluis/v1/projects/{PROJECT}/{what}"),
            query: String::new(),
            body: body.to_string().into(),
        };
        let answer = self.0.call(&asking, limits::STORE_ERROR_BYTES_MAX).await;
        answer.map(drop).map_err(DemoError::from)
    }
}

/// What the demo's datasets are, so that any client may make a bucket and fill it.
fn defaults() -> Value {
    json!({
        "label": "internal", "source": "whatever is tried out", "basis": "a demonstration",
        "days": 3_650,
    })
}

fn local(vault: &Arc<Vault>) -> Result<crate::vault::Call, VaultError> {
    crate::cli::call::local(vault, "demo")
}

/// The grant that makes the project's first owner.
fn founding(vault: &Vault, project: &ProjectName, owner: &PrincipalId) -> Result<Grant, DemoError> {
    Ok(Grant {
        id: GrantId::random(&SystemEntropy::new())?,
        project: project.clone(),
        principal: owner.clone(),
        role: "owner".to_owned(),
        dataset: None,
        prefix: String::new(),
        effect: GrantEffect::Allow,
        purpose: Some(PURPOSE.to_owned()),
        permit: Some(PERMIT.to_owned()),
        starts: vault.now(),
        // An office has no end; what she gives may then have any.
        expires: None,
        approver: owner.clone(),
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
        .create_credential(
            &local(vault)?,
            principal.parse()?,
            (None, KeyScope::default()),
        )
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

    fn ask(dir: &Path, listen: &str) -> DemoAsk {
        DemoAsk {
            dir: dir.to_owned(),
            listen: listen.parse().unwrap(),
            headless: true,
            store: None,
        }
    }

    #[test]
    fn the_demo_writes_a_configuration_that_its_owner_may_change() {
        let text = configuration(&ask(Path::new("d"), "127.0.0.1:0"));
        let config = Config::parse(&text, Path::new("d")).unwrap();
        assert_eq!(config.log.level, LogLevel::Warn);
        let louder = text.replace("level = \"warn\"", "level = \"debug\"");
        let config = Config::parse(&louder, Path::new("d")).unwrap();
        assert_eq!(config.log.level, LogLevel::Debug);
    }

    #[test]
    fn a_vault_that_no_demo_made_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let ask = ask(dir.path(), "127.0.0.1:0");
        let files = [
            ("kluis.toml", "[server]\n"),
            ("kluis.toml", ""),
            ("job.env", "A=b\n"),
        ];
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let refused = configured(&ask).unwrap_err();
            assert!(matches!(refused, DemoError::NotItsOwn { path: told } if told == path));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            std::fs::remove_file(&path).unwrap();
        }
        assert!(configured(&ask).is_ok(), "an empty directory is its own");
        std::fs::write(dir.path().join("job.env"), "A=b\n").unwrap();
        assert!(configured(&ask).is_ok(), "and so is what it makes there");
    }

    #[test]
    fn a_demo_that_was_refused_leaves_nothing_and_may_be_asked_again() {
        let house = tempfile::tempdir().unwrap();
        let dir = house.path().join("d");
        let refused = configured(&ask(&dir, "0.0.0.0:9000"));
        assert!(matches!(refused, Err(DemoError::Config(_))));
        assert!(!dir.exists());
        let config = configured(&ask(&dir, "127.0.0.1:9100")).unwrap();
        assert_eq!(config.server.listen, "127.0.0.1:9100".parse().unwrap());
        // What an earlier version wrote unchecked is mended by the argument.
        let file = dir.join("kluis.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("127.0.0.1:9100", "0.0.0.0:9000")).unwrap();
        assert!(configured(&ask(&dir, "127.0.0.1:9100")).is_ok());
        assert!(configured(&ask(&dir, "0.0.0.0:9000")).is_err());
    }
}
