//! `kluis init`: makes a vault where there is none. Configuration is written last, so that a
//! directory with a `kluis.toml` holds a whole vault.

use std::path::{Path, PathBuf};

use super::args;
use super::credential::{KeyTerms, hand_over};
use super::open::{Desk, refuse};
use super::output::{CliError, Exit, Output};
use super::root_args::KeeperArgs;
use super::{project, question, serve, unseal};
use crate::app::{
    Asking, NewRoot, OpenedRoot, create_dir, create_file, create_folder, make_catalog, make_ring,
    open_store,
};
use crate::config::{self, Config, Environment, RootKind, StoreKind, Variable};
use crate::types::{PrincipalId, ProjectName, SecretText};

/// What is to be made.
struct Plan {
    dir: PathBuf,
    root: NewRoot,
    first: Option<(ProjectName, PrincipalId)>,
}

/// Makes a vault.
pub(super) fn run(
    ask: &args::Init,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let plan = plan(ask, environment)?;
    let file = plan.dir.join("kluis.toml");
    if file.exists() {
        return Err(there(&file).hint(format!(
            "a vault is there already: `kluis --config {} doctor` looks at it",
            file.display()
        )));
    }
    let wanted = wanted(ask, plan.root.kind());
    let text = config::template(&wanted);
    let config = Config::parse(&text, &plan.dir).map_err(|problems| {
        CliError::new(Exit::Usage, problems.to_string())
            .hint("change the options, or write kluis.toml by hand: docs/configuration.md")
    })?;
    for path in [&config.keys.identity, &config.catalog.path] {
        if path.exists() {
            return Err(there(path).hint(
                "it may be of a vault whose kluis.toml is lost, or of an init that was cut short: \
                 move it away if it is not needed",
            ));
        }
    }
    let begun = Begun::look(&plan, &config);
    let made = make(&plan, &config, environment).and_then(|root| {
        let whole = create_file(&file, text.as_bytes(), 0o600);
        whole.map_err(|error| failed(&file, &error)).map(|()| root)
    });
    let root = made.map_err(|error| begun.take_back(error))?;
    output.note(&format!("a vault is in {}", plan.dir.display()));
    let desk = Desk {
        path: &file,
        environment,
    };
    let env = first(&plan, (&root, &config), desk, output).map_err(|error| {
        let config = file.display();
        error.hint(format!(
            "the vault is whole: go on with `kluis --config {config} project create …` and `kluis \
             --config {config} credential create …`"
        ))
    })?;
    farewell(&plan, &file, &config, env.as_deref(), output);
    Ok(Exit::Done)
}

fn there(path: &Path) -> CliError {
    CliError::new(
        Exit::Usage,
        format!("{} is there already, nothing was changed", path.display()),
    )
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(
        Exit::Usage,
        format!("cannot make {}: {error}", path.display()),
    )
    .hint("check that the directory exists and that this user may write there")
}

/// What the options say; a terminal is asked for the rest.
fn plan(ask: &args::Init, environment: &Environment) -> Result<Plan, CliError> {
    let interactive = question::interactive();
    let dir = match &ask.dir {
        Some(dir) => dir.clone(),
        None if interactive => match question::asked("Directory of the vault [.]:")? {
            said if said.is_empty() => ".".into(),
            said => said.into(),
        },
        None => ".".into(),
    };
    Ok(Plan {
        root: unseal::new_root(&ask.root, environment)?,
        first: ask.project.clone().zip(ask.owner.clone()),
        dir,
    })
}

/// Asks for a passphrase, twice, unless the environment has it.
pub(super) fn passphrase(
    wanted: bool,
    interactive: bool,
    environment: &Environment,
) -> Result<Option<SecretText>, CliError> {
    if wanted && let Some(given) = environment.get(Variable::Passphrase) {
        return Ok(Some(given));
    }
    if !interactive {
        if wanted {
            return Err(CliError::new(Exit::Usage, "no passphrase is given")
                .hint("set KLUIS_PASSPHRASE, or run it on a terminal to be asked"));
        }
        return Ok(None);
    }
    let read = |prompt: &str| rpassword::prompt_password(prompt).map(SecretText::new);
    let first = if wanted {
        read("Passphrase of the root identity: ")?
    } else {
        read("Passphrase of the root identity (empty for none): ")?
    };
    if first.expose().is_empty() {
        if wanted {
            return Err(CliError::new(Exit::Usage, "a passphrase is not empty"));
        }
        return Ok(None);
    }
    if read("The same again: ")?.expose() != first.expose() {
        return Err(CliError::new(Exit::Usage, "the passphrases differ").hint("nothing was made"));
    }
    Ok(Some(first))
}

/// Paths in the file are taken from its directory, and these are given from the current one.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_no_directory| path.to_owned())
}

/// What the options say about who keeps the root.
fn service(config: &mut Config, given: &KeeperArgs) {
    let (transit, asked) = (&mut config.transit, &given.transit);
    transit.url.clone_from(&asked.transit_url);
    if let Some(key) = &asked.transit_key {
        transit.key.clone_from(key);
    }
    transit.token_file = asked.transit_credential.as_deref().map(absolute);
    transit.ca_file = asked.transit_ca_file.as_deref().map(absolute);
    let (token, asked) = (&mut config.pkcs11, &given.token);
    token.module = asked.pkcs11_module.as_deref().map(absolute);
    token.token.clone_from(&asked.pkcs11_label);
    token.serial.clone_from(&asked.pkcs11_serial);
    if let Some(key) = &asked.pkcs11_key {
        token.key.clone_from(key);
    }
    let (plugin, asked) = (&mut config.plugin, &given.plugin);
    plugin.identity = asked.plugin_identity.as_deref().map(absolute);
    plugin.recipient.clone_from(&asked.plugin_recipient);
    plugin.dir = asked.plugin_dir.as_deref().map(absolute);
    let pin = given.pin_file.as_deref().map(absolute);
    match config.keys.root {
        RootKind::Pkcs11 => config.pkcs11.pin_file = pin,
        RootKind::Plugin => config.plugin.pin_file = pin,
        RootKind::File | RootKind::Custodians | RootKind::Transit => {}
    }
}

fn wanted(ask: &args::Init, root: RootKind) -> Config {
    let mut config = Config::default();
    config.keys.root = root;
    config.server.listen = ask.listen;
    service(&mut config, &ask.service);
    if let (Some(url), Some(endpoint)) = (&ask.store.store, &ask.store.store_endpoint) {
        config.store.kind = StoreKind::S3;
        config.store.endpoint = Some(endpoint.clone());
        config.store.bucket = Some(url.bucket.clone());
        config.store.prefix.clone_from(&url.prefix);
        if let Some(region) = &ask.store.store_region {
            config.store.region.clone_from(region);
        }
    }
    if let Some(project) = &ask.project {
        config.server.default_project = project.clone();
    }
    config
}

/// What was not there before, and is to go where this comes to nothing: an identity that no vault
/// knows would keep the next `init` from making one.
struct Begun {
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
}

impl Begun {
    fn look(plan: &Plan, config: &Config) -> Self {
        let (keys, catalog) = (&config.keys, &config.catalog.path);
        let beside = ["", "-wal", "-shm", "-journal"].map(|end| {
            let mut name = catalog.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        });
        let mut tries = keys.identity.as_os_str().to_owned();
        tries.push(".tries.lock");
        let mut files = vec![
            keys.identity.clone(),
            tries.into(),
            keys.dir.join("ring.age"),
            keys.dir.join("root.pub"),
        ];
        files.extend(beside);
        if let NewRoot::Custodians(sharing) = &plan.root {
            let shares = sharing.custodians.iter();
            files.extend(shares.map(|(name, _)| sharing.file(name)));
        }
        let mut made = vec![&config.journal.dir, &keys.dir];
        if config.store.kind == StoreKind::Local {
            made.push(&config.store.path);
        }
        let files = files.into_iter().filter(|path| is_absent(path));
        let files: Vec<PathBuf> = files.collect();
        // Those that are made on the way to one, too.
        let of_files = files.iter().filter_map(|path| path.parent());
        let ways = of_files.chain(made.into_iter().map(PathBuf::as_path));
        let ways = ways.flat_map(Path::ancestors).filter(|way| is_absent(way));
        let mut dirs: Vec<PathBuf> = ways.map(Path::to_owned).collect();
        dirs.sort();
        dirs.dedup();
        Self { files, dirs }
    }

    /// Takes away what there is by now; what cannot go is named.
    fn take_back(self, error: CliError) -> CliError {
        let there = |path: &Path| !is_absent(path);
        let mut left: Vec<String> = Vec::new();
        for path in self.files.iter().filter(|path| there(path)) {
            if std::fs::remove_file(path).is_err() {
                left.push(path.display().to_string());
            }
        }
        for path in self.dirs.iter().filter(|path| there(path)) {
            if !clear(path) {
                left.push(path.display().to_string());
            }
        }
        if left.is_empty() {
            return error.hint("nothing of what was begun is left: `kluis init` may be run again");
        }
        error.hint(format!(
            "this is left of what was begun: {}; remove it before `kluis init` is run again",
            left.join(", ")
        ))
    }
}

/// Removes a directory in which there are directories alone.
fn clear(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        let within = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !within || !clear(&entry.path()) {
            return false;
        }
    }
    std::fs::remove_dir(dir).is_ok()
}

/// Whether there is nothing at all at a path, no link either.
fn is_absent(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Makes directories, store, keys and catalog.
fn make(plan: &Plan, config: &Config, environment: &Environment) -> Result<OpenedRoot, CliError> {
    create_dir(&plan.dir).map_err(|error| failed(&plan.dir, &error))?;
    let mut files = vec![
        &config.keys.identity,
        &config.catalog.path,
        &config.keys.dir,
    ];
    if config.store.kind == StoreKind::Local {
        files.push(&config.store.path);
    }
    for path in files {
        create_folder(path).map_err(|error| failed(path, &error))?;
    }
    let journal = &config.journal.dir;
    create_dir(journal).map_err(|error| failed(journal, &error))?;
    // A store that cannot be had is found before anything else is made.
    serve::runtime()?
        .block_on(open_store(config, environment, true))
        .map_err(|error| refuse(&error))?;
    let from = Asking {
        environment,
        ask: &serve::passphrase,
    };
    let making = plan.root.make((config, from), &config.keys.identity);
    let root = serve::runtime()?.block_on(making);
    let root = root.map_err(|error| refuse(&error).hint("nothing is overwritten"))?;
    make_ring(config, &root.identity)
        .map_err(|error| CliError::of(Exit::Usage, &error).hint("nothing is overwritten"))?;
    make_catalog(config)?;
    Ok(root)
}

/// Makes the first project, its owner and the owner's credential; the credential's file.
fn first(
    plan: &Plan,
    (root, config): (&OpenedRoot, &Config),
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Option<PathBuf>, CliError> {
    let Some((project, owner)) = &plan.first else {
        return Ok(None);
    };
    let env = plan.dir.join(format!("{owner}.env"));
    desk.act_on((config, Some(root)), output, async |opened| {
        let _new: bool = project::create(opened, project, owner).await?;
        let terms = (owner, KeyTerms::default());
        let made = hand_over(opened, config, terms, Some(&env)).await;
        made.map(drop)
    })?;
    Ok(Some(env))
}

/// What to keep, and what to do next.
fn farewell(plan: &Plan, file: &Path, config: &Config, env: Option<&Path>, output: &mut Output) {
    let kluis = format!("kluis --config {}", file.display());
    output.note("back up, each apart from the store and from the other:");
    output.note(&format!(
        "  {}  the root identity, or how it is kept: without it nothing can be opened",
        config.keys.identity.display()
    ));
    output.note(&format!(
        "  {}  the keys, again after each new dataset",
        config.keys.dir.display()
    ));
    unseal::farewell(&plan.root, output);
    if matches!(plan.root, NewRoot::File(Some(_))) {
        output.hint(
            "the passphrase is asked for, or taken from KLUIS_PASSPHRASE or `keys.passphrase_file`",
        );
    }
    if let Some(env) = env {
        output.note(&format!(
            "the owner's credential is in {}: it is hers alone, and with it she works from any machine \
             (`--credentials FILE`)",
            env.display()
        ));
    } else {
        output.hint(&format!(
            "`{kluis} project create NAME --owner PERSON` makes the first project"
        ));
    }
    output.hint(&format!("`{kluis} serve` serves it"));
}
