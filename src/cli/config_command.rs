//! `kluis config`: what the configuration says, and what is wrong with it.

use std::path::Path;

use super::args::ConfigCommand;
use super::belongs;
use super::output::{CliError, Exit, Output};
use super::way::CONFIG;
use crate::app::tls::Tls;
use crate::app::{load_policy, look_at_issuers};
use crate::config::{Config, ConfigError};

/// Runs one of its commands on the file.
pub(super) fn run(
    command: &ConfigCommand,
    path: &Path,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = load(path)?;
    match command {
        ConfigCommand::Check => {
            issuers(&config)?;
            files(&config)?;
            output.note(&format!("{} is valid", path.display()));
            output.hint("store, keys and receivers were not looked at: `kluis doctor` does");
            show(&config, output)?;
        }
        ConfigCommand::Show { changed } => {
            let mut rows = config.rows();
            if *changed {
                let defaults = Config::parse("", base(path))
                    .map_err(|problems| CliError::new(Exit::Usage, problems.to_string()))?
                    .rows();
                rows.retain(|row| !defaults.contains(row));
            }
            print(&rows, output)?;
        }
    }
    Ok(Exit::Done)
}

/// How issuers that are at fault are mended.
pub(super) const ISSUERS_MEND: &str = "docs/sign-in.md, \"Whom the vault believes\", explains the \
                                       file; a gateway takes it again by itself once it is mended";

/// Looks at the certificate with its key, and at the policy.
fn files(config: &Config) -> Result<(), CliError> {
    let server = &config.server;
    if let (Some(chain), Some(key)) = (&server.tls_cert, &server.tls_key) {
        let loaded = Tls::load(chain, key, server.tls_min_version).map(drop);
        loaded.map_err(|error| {
            let told = CliError::of(Exit::Usage, &error);
            let told = format!("`server.tls_cert`, `server.tls_key`: {}", told.message());
            CliError::new(Exit::Usage, told)
                .hint("a chain in PEM and the key that belongs to it, which this user may read")
        })?;
    }
    let policy = load_policy(config.policy.dir.as_deref()).map(drop);
    policy.map_err(|error| {
        let told = CliError::of(Exit::Usage, &error);
        CliError::new(Exit::Usage, format!("`policy.dir`: {}", told.message()))
            .hint("`kluis policy check` says more")
    })
}

/// Looks at the file of issuers, and at those that it names. Nothing is fetched.
fn issuers(config: &Config) -> Result<(), CliError> {
    let Some(file) = &config.identity.issuers else {
        return Ok(());
    };
    let found = super::serve::runtime()?.block_on(look_at_issuers(file, false));
    if found.faults.is_empty() {
        return Ok(());
    }
    let faults = found
        .faults
        .iter()
        .map(|why| format!("`identity.issuers`: {why}"));
    let told = faults.collect::<Vec<_>>().join("\n");
    Err(CliError::new(Exit::Usage, told).hint(ISSUERS_MEND))
}

/// Reads the configuration, with hints where it cannot be had. The one of the directory that a
/// command runs in is taken only where nobody else could have laid it there.
pub fn load(path: &Path) -> Result<Config, CliError> {
    let config = if path == Path::new(CONFIG) {
        Config::load_found(path)
    } else {
        Config::load(path)
    };
    config.map_err(|error| {
        let told = CliError::of(Exit::Usage, &error);
        match error {
            ConfigError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                told.hint("`kluis init` makes one; `--config PATH` names another")
            }
            ConfigError::Read { .. } => told.hint("is it a text, and may this user read it?"),
            ConfigError::TooLarge { .. } => told.hint("is it the right file?"),
            ConfigError::Strange { user, .. } => {
                let told = match user {
                    Some(user) => told.hint(format!(
                        "it, or its directory, is user {}'s",
                        belongs::name(user)
                    )),
                    None => told.hint("`chmod go-w` it and its directory, if it is yours"),
                };
                told.hint(
                    "it says which programs run: read it, then name it by `--config ./kluis.toml`",
                )
            }
            ConfigError::Invalid { .. } => told.hint(
                "docs/configuration.md lists every setting; `kluis config check` looks again",
            ),
        }
    })
}

fn base(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn show(config: &Config, output: &mut Output) -> Result<(), CliError> {
    print(&config.rows(), output)
}

fn print(rows: &[crate::config::Row], output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        let mut sections = serde_json::Map::new();
        for row in rows {
            let section = sections
                .entry(row.section)
                .or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
            if let Some(section) = section.as_object_mut() {
                section.insert(row.key.to_owned(), json(&row.value));
            }
        }
        return output.value(&sections);
    }
    let cells: Vec<_> = rows
        .iter()
        .map(|row| [format!("{}.{}", row.section, row.key), row.value.clone()])
        .collect();
    output.rows(["setting", "value"], &cells)
}

/// A value's TOML as JSON: settings hold texts, whole numbers, `true` and `false` alone.
fn json(value: &str) -> serde_json::Value {
    let table: Option<toml::Table> = toml::from_str(&format!("v = {value}")).ok();
    match table.as_ref().and_then(|table| table.get("v")) {
        Some(toml::Value::Boolean(yes)) => (*yes).into(),
        Some(toml::Value::Integer(number)) => (*number).into(),
        Some(toml::Value::String(text)) => text.as_str().into(),
        Some(
            toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_),
        )
        | None => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::captured;
    use super::*;

    struct File(tempfile::TempDir);

    impl File {
        fn of(text: &str) -> Self {
            let file = Self(tempfile::tempdir().expect("a directory"));
            std::fs::write(file.path(), text).expect("written");
            file
        }

        fn path(&self) -> std::path::PathBuf {
            self.0.path().join("kluis.toml")
        }
    }

    fn told(command: &ConfigCommand, text: &str, json: bool) -> Result<(String, String), CliError> {
        let (mut output, out, err) = captured(json);
        run(command, &File::of(text).path(), &mut output)?;
        Ok((out.text(), err.text()))
    }

    #[test]
    fn check_says_that_a_file_is_valid_and_what_it_means() {
        let (out, err) = told(&ConfigCommand::Check, "[server]\nregion = 'nl'", false)
            .unwrap_or_else(|_| panic!("valid"));
        assert!(err.contains("kluis.toml is valid\n"), "{err}");
        assert!(
            out.lines()
                .any(|l| l.split_whitespace().eq(["server.region", "\"nl\""])),
            "{out}"
        );
    }

    #[test]
    fn check_fails_with_every_fault_and_prints_no_data() {
        let (mut output, out, err) = captured(false);
        let file = File::of("[server]\nregoin = 'nl'\nlisten = 7");
        let error = run(&ConfigCommand::Check, &file.path(), &mut output).expect_err("faults");
        output.error(&error);
        assert_eq!(error.exit(), Exit::Usage);
        assert_eq!(out.text(), "");
        let err = err.text();
        assert!(
            err.contains("line 2, column 1: unknown key `server.regoin`"),
            "{err}"
        );
        assert!(
            err.contains("line 3, column 10: `server.listen` is an address"),
            "{err}"
        );
        assert!(err.lines().all(|line| line.starts_with("kluis: ")), "{err}");
    }

    #[test]
    fn check_looks_at_the_issuers_and_at_the_files_that_they_name() {
        let text = "[identity]\nissuers = 'issuers.toml'\n";
        let entry = "[[issuer]]\nname = 'k8s'\nurl = 'https://k8s'\naudience = 'kluis'\n";
        let at_url = format!("{entry}jwks_url = 'https://k8s.invalid/keys'\n");
        let at_file = format!("{entry}jwks_file = 'keys.json'\n");
        let with_ca = format!("{at_url}ca_file = 'ca.pem'\n");
        for (written, told) in [
            (None, "issuers.toml"),
            (Some("[[issuer]]\nname = 'k8s'".to_owned()), "at fault"),
            (Some(at_file), "keys.json"),
            (Some(with_ca), "the certificates to trust cannot be read"),
            (
                Some(at_url.replace("https://k8s.invalid", "k8s")),
                "a URL is https://",
            ),
        ] {
            let file = File::of(text);
            if let Some(written) = written {
                std::fs::write(file.0.path().join("issuers.toml"), written).unwrap();
            }
            let (mut output, out, _) = captured(false);
            let error = run(&ConfigCommand::Check, &file.path(), &mut output).expect_err("fault");
            assert_eq!((error.exit(), out.text().as_str()), (Exit::Usage, ""));
            assert!(
                error.message().contains(told),
                "{told}: {}",
                error.message()
            );
            assert!(error.message().starts_with("`identity.issuers`"), "{told}");
            assert!(error.hints()[0].contains("sign-in.md"), "{told}");
        }
        // Nobody is asked for keys that are fetched.
        let file = File::of(text);
        std::fs::write(file.0.path().join("issuers.toml"), at_url).unwrap();
        let (mut output, _, _) = captured(false);
        let checked = run(&ConfigCommand::Check, &file.path(), &mut output);
        assert_eq!(checked.expect("valid"), Exit::Done);
    }

    #[test]
    fn check_looks_at_certificate_and_policy() {
        for (text, named) in [
            (
                "[server]\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'",
                "`server.tls_cert`, `server.tls_key`: ",
            ),
            ("[policy]\ndir = 'nosuch'", "`policy.dir`: "),
        ] {
            let file = File::of(text);
            let (mut output, out, _) = captured(false);
            let error = run(&ConfigCommand::Check, &file.path(), &mut output).expect_err("fault");
            assert_eq!((error.exit(), out.text().as_str()), (Exit::Usage, ""));
            assert!(error.message().starts_with(named), "{}", error.message());
        }
    }

    #[test]
    fn a_missing_file_comes_with_a_hint() {
        let (mut output, _, err) = captured(false);
        let error = load(Path::new("/nonexistent/kluis.toml")).expect_err("absent");
        output.error(&error);
        assert!(
            err.text().contains("kluis: hint: `kluis init` makes one"),
            "{}",
            err.text()
        );
    }

    #[test]
    fn show_changed_leaves_out_the_defaults() {
        let command = ConfigCommand::Show { changed: true };
        let text = "[server]\nregion = 'nl'\nlisten = '127.0.0.1:9000'";
        let (out, _) = told(&command, text, false).unwrap_or_else(|_| panic!("valid"));
        assert_eq!(out.lines().count(), 2, "{out}");
    }

    #[test]
    fn show_as_json_has_the_files_shape() {
        let command = ConfigCommand::Show { changed: false };
        let (out, _) = told(&command, "", true).unwrap_or_else(|_| panic!("valid"));
        let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(value["server"]["region"], "kluis");
        assert_eq!(value["limits"]["connections_max"], 4096);
        assert_eq!(value["catalog"]["snapshot_wait"], false);
        assert_eq!(value["limits"]["idle_timeout"], "1m");
    }
}
