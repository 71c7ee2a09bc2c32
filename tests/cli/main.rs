//! The command itself, run as its users run it, each test in a directory of its own.

mod belongs;
mod beside;
mod grants;
mod host;
mod hostile;
mod journey;
mod keys;
mod lost;
mod mistakes;
mod owner;
mod people;
mod session;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A vault in a directory of its own.
pub(crate) struct Vault {
    dir: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code, and that each text stands in what was told.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, texts: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for text in texts {
            assert!(all.contains(text), "`{text}` is not in: {all}");
        }
        self
    }
}

/// The command, with nothing of the environment that it could take for its own.
pub(crate) fn kluis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluis"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(std::process::Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Told {
    let output = kluis().args(args).output().expect("it runs");
    Told::of(&output)
}

impl Vault {
    /// An empty directory.
    pub(crate) fn nothing() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    /// A vault with project `icu` of owner `ana`, who has a credential in `ana.env`.
    pub(crate) fn init() -> Self {
        let vault = Self::nothing();
        let dir = vault.dir.path().to_str().expect("a path");
        run(&["init", "--dir", dir, "--project", "icu", "--owner", "ana"]).expect(0, &["back up"]);
        vault
    }

    /// The same, with what the project's datasets are.
    pub(crate) fn founded() -> Self {
        let vault = Self::init();
        // The world is made quickly, by one person; `owner.rs` has one whose owner signs.
        vault.edit("# host_approves = false", "host_approves = true");
        let defaults = [
            "--label", "internal", "--source", "monitors", "--basis", "consent",
        ];
        let mut set = vec![
            "project", "defaults", "icu", "--days", "3650", "--by", "ana",
        ];
        set.extend(defaults);
        vault.run(&set).expect(0, &["new datasets"]);
        vault
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A command on this vault.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = kluis();
        command.arg("--config").arg(self.path("kluis.toml"));
        command.args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Told {
        Told::of(&self.command(args).output().expect("it runs"))
    }

    /// Changes the configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.path("kluis.toml");
        let text = std::fs::read_to_string(&file).expect("read");
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&file, text.replacen(from, to, 1)).expect("written");
    }

    /// The blobs of a local store.
    pub(crate) fn blobs(&self, store: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for folder in std::fs::read_dir(self.path(store)).expect("read") {
            let folder = folder.expect("an entry").path();
            let entries = std::fs::read_dir(folder).expect("read");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        files.sort();
        files
    }
}

/// The value of a line `NAME=value`.
pub(crate) fn value(text: &str, name: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let mut found = lines.filter(|(key, _)| *key == name);
    found.next().expect(name).1.to_owned()
}
