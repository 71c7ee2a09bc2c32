//! One TOML file becomes a typed [`Config`]. This module alone reads the process environment.
//!
//! Every setting stands once, in `settings.rs`, with its default and its explanation;
//! `docs/configuration.md`, `kluis config show` and the check for unknown keys all come from
//! there. It opens nothing but the file and the secrets that the file names.

mod check;
mod environment;
mod found;
mod problem;
mod reader;
mod render;
mod secrets;
mod settings;
mod value;

use std::fs::Metadata;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use environment::{Environment, Variable};
pub use found::is_own_directory;
pub use problem::{Fault, Place, Problem, Problems};
pub use render::{documentation, template};
pub use secrets::{SecretError, StoreCredentials, read_secret_file, store_credentials};
pub use settings::{
    Catalog, Config, Journal, Keys, LabelSection, Limits, Log, Ops, Otlp, Pkcs11, Plugin, Policy,
    Proof, Row, Server, Store, Sweep, Syslog, Transit, Volumes,
};
pub use value::{
    ByteSize, GateKind, LogFormat, LogLevel, PlainHttp, RootKind, StoreKind, StreamForm,
    TlsVersion, Worm, WormMode,
};

/// A configuration file is never larger; a larger one is another file, named by mistake.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no configuration. At fault: whoever wrote or named the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than a configuration can be.
    #[error("the configuration {} is larger than 1 MiB", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Nobody named the file, and others than this user and root could have laid it there.
    #[error("{} here is not taken: others than you and root could have written it", path.display())]
    Strange {
        /// Which file.
        path: PathBuf,
        /// Whose it or its directory is; `None` where many may write it.
        user: Option<u32>,
    },
    /// The file says something that cannot be; all faults found are listed.
    #[error("{problems}")]
    Invalid {
        /// What is wrong, and where.
        problems: Problems,
    },
}

impl Config {
    /// Reads and checks a file; relative paths in it are taken from the file's directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, |_as_it_is| {})
    }

    /// The same of a file that was found and not named: it is refused where others than this user
    /// and root could have laid it there.
    pub fn load_found(path: &Path) -> Result<Self, ConfigError> {
        Self::load_if(path, |_as_it_is| {}, found::judge)
    }

    /// The same with a change that goes before what the file says, and is checked with it.
    pub fn load_with(path: &Path, change: impl FnOnce(&mut Self)) -> Result<Self, ConfigError> {
        Self::load_if(path, change, |_path, _file| Ok(()))
    }

    fn load_if(
        path: &Path,
        change: impl FnOnce(&mut Self),
        judge: impl FnOnce(&Path, &Metadata) -> Result<(), ConfigError>,
    ) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        judge(path, &file.metadata().map_err(unreadable)?)?;
        let mut bytes = Vec::new();
        let limit = FILE_BYTES_MAX.saturating_add(1);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if u64::try_from(bytes.len()).is_ok_and(|n| n >= limit) {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })?;
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse_with(&text, base, change).map_err(|problems| ConfigError::Invalid {
            problems: problems.in_file(path),
        })
    }

    /// Reads and checks a text; relative paths in it are taken from `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Problems> {
        Self::parse_with(text, base, |_as_it_is| {})
    }

    /// The same with a change, as [`load_with`](Self::load_with) makes it.
    pub fn parse_with(
        text: &str,
        base: &Path,
        change: impl FnOnce(&mut Self),
    ) -> Result<Self, Problems> {
        let (mut config, mut problems) = Self::read(text);
        change(&mut config);
        if problems.is_empty() {
            problems = config.faults();
        }
        if problems.is_empty() {
            config.resolve(base);
            Ok(config)
        } else {
            Err(Problems::new(problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/kluis")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn an_empty_file_is_every_default() {
        let mut defaults = Config::default();
        defaults.resolve(Path::new("/etc/kluis"));
        assert_eq!(parse(""), Ok(defaults));
    }

    #[test]
    fn the_example_is_valid() {
        assert!(parse(include_str!("../../deploy/kluis.toml")).is_ok());
    }

    #[test]
    fn paths_are_taken_from_the_files_directory() {
        let config =
            parse("[catalog]\npath = 'db/c.sqlite'\n[journal]\ndir = '/var/j'").expect("valid");
        assert_eq!(config.catalog.path, Path::new("/etc/kluis/db/c.sqlite"));
        assert_eq!(config.journal.dir, Path::new("/var/j"));
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest_known_one() {
        let cases = [
            (
                "[server]\nlisten = '127.0.0.1:1'\nregoin = 'x'",
                "line 3, column 1",
                "server.region",
            ),
            ("[servr]\n", "line 1, column 2", "`server`"),
            ("[store]\n  buket = 'b'", "line 2, column 3", "store.bucket"),
            ("[store.bucket]\nname = 'b'", "line 1", "a text"),
            (
                "listen = '127.0.0.1:1'",
                "line 1, column 1",
                "server.listen",
            ),
            (
                "[server]\nconnections_max = 3",
                "line 2",
                "limits.connections_max",
            ),
        ];
        for (text, place, hint) in cases {
            let told = parse(text).expect_err(text);
            assert!(
                told.contains(place) && told.contains(hint),
                "{text}: {told}"
            );
        }
    }

    #[test]
    fn a_key_like_no_other_gets_no_guess() {
        let told = parse("[server]\nzzzzqqqq = 1").expect_err("unknown");
        assert!(
            told.contains("unknown key") && !told.contains("did you mean"),
            "{told}"
        );
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let told = parse("[server]\nlisten = 7\nregoin = 'x'\n[log]\nlevel = 'loud'")
            .expect_err("three faults");
        assert_eq!(
            told.lines().filter(|l| l.contains("line ")).count(),
            3,
            "{told}"
        );
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        for bad in [
            "[server]\nlisten = 'localhost'",
            "[server]\nlisten = 9000",
            "[server]\nplain_http = true",
            "[server]\ndefault_project = 'Main'",
            "[limits]\nconnections_max = -1",
            "[limits]\nconnections_max = 1.5",
            "[limits]\nconnections_max = '7'",
            "[limits]\nidle_timeout = 30",
            "[limits]\nidle_timeout = '30'",
            "[limits]\nidle_timeout = '30 fortnights'",
            "[limits]\nheader_bytes_max = '64KB'",
            "[limits]\nheader_bytes_max = '99999999999GiB'",
            "[limits]\nidle_timeout = '99999999999999999999d'",
            "[store]\nkind = 'azure'",
            "[log]\nformat = 'xml'",
            "[catalog]\nsnapshot_wait = 'yes'",
            "[policy]\ndir = 3",
            "store = 3",
            "[[store]]\nkind = 'local'",
            "[server",
            "[server]\nlisten = '127.0.0.1:1'\nlisten = '127.0.0.1:2'",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kluis.toml");
        let told = Config::load(&path).expect_err("absent").to_string();
        assert!(told.contains("kluis.toml"), "{told}");
    }

    #[test]
    fn a_huge_file_is_refused_unread() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kluis.toml");
        std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).expect("written");
        assert!(matches!(
            Config::load(&path),
            Err(ConfigError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kluis.toml");
        std::fs::write(&path, [0xff, 0xfe]).expect("written");
        assert!(matches!(Config::load(&path), Err(ConfigError::Read { .. })));
    }
}
