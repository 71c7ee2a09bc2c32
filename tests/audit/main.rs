//! The auditor's command, run as auditors run it: a vault that serves, a bundle from it, and its
//! verification with nothing but the bundle and the log's public key.

mod bundles;
mod erasure;
mod names;
mod records;
mod replay;
mod retention;
mod volumes;
mod witness;

#[cfg(feature = "sql")]
mod glass;
#[cfg(feature = "sql")]
mod query;

use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Vault(tempfile::TempDir);

/// A command with nothing of the environment that it could take for its own.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn told(output: &Output, code: i32, text: &str) -> String {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert_eq!(output.status.code(), Some(code), "{all}");
    assert!(all.contains(text), "`{text}` is not in: {all}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The auditor's command, without a vault.
fn audit(args: &[&str]) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_kluis-audit"));
    command.args(args).output().expect("it runs")
}

impl Vault {
    /// A vault with project `icu` of owner `ana` and an auditor `tess`.
    fn founded() -> Self {
        let vault = Self(tempfile::tempdir().expect("a directory"));
        let dir = vault.0.path().to_str().expect("a path").to_owned();
        let made = command(env!("CARGO_BIN_EXE_kluis"))
            .args(["init", "--dir", &dir, "--project", "icu", "--owner", "ana"])
            .args(["--listen", "127.0.0.1:0"])
            .output();
        told(&made.expect("it runs"), 0, "back up");
        let file = vault.path("kluis.toml");
        let text = std::fs::read_to_string(&file).expect("read");
        let text = text.replace("# listen = \"127.0.0.1:9001\"", "listen = \"127.0.0.1:0\"");
        // The world is made on the host, by one person who is everybody.
        assert!(text.contains("# host_approves = false"), "{text}");
        let text = text.replace("# host_approves = false", "host_approves = true");
        std::fs::write(&file, text).expect("written");
        vault.kluis(&["principal", "create", "tess"], "person");
        let grant = [
            "grant", "create", "icu", "--to", "tess", "--role", "auditor",
        ];
        let rests = [
            "--purpose",
            "audit:nen7513",
            "--permit",
            "A-1",
            "--expires",
            "2199-12-31",
        ];
        let grant = [&grant[..], &rests, &["--approver", "ana"]].concat();
        vault.kluis(&grant, "GRANT");
        vault
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path").to_owned()
    }

    fn kluis(&self, args: &[&str], text: &str) {
        let mut command = command(env!("CARGO_BIN_EXE_kluis"));
        command.arg("--config").arg(self.path("kluis.toml"));
        told(&command.args(args).output().expect("it runs"), 0, text);
    }

    /// The auditor's command on the vault's host.
    fn audit(&self, args: &[&str]) -> Output {
        let config = self.text("kluis.toml");
        audit(&[&["--config", &config], args].concat())
    }

    /// Starts a gateway and stops it, which puts everything recorded under a checkpoint.
    fn serves_once(&self) {
        self.serves_while(|_serving| {});
    }

    /// The same, doing something in between; it gets the line that says where the gateway serves.
    fn serves_while(&self, act: impl FnOnce(&str)) {
        let mut command = command(env!("CARGO_BIN_EXE_kluis"));
        command.arg("--config").arg(self.path("kluis.toml"));
        let mut child = command
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let serving = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("serving"));
        // It is ended whatever becomes of the test.
        let serving = serving.expect("it ended before it served");
        let acted = catch_unwind(AssertUnwindSafe(|| act(&serving)));
        let pid = child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.expect("kill runs").success());
        lines.map_while(Result::ok).for_each(drop);
        assert!(child.wait().expect("it ends").success());
        if let Err(panicked) = acted {
            resume_unwind(panicked);
        }
    }

    fn bundle(&self, name: &str) -> String {
        let out = self.text(name);
        let args = [
            "bundle",
            "--project",
            "icu",
            "--auditor",
            "tess",
            "--out",
            &out,
        ];
        told(&self.audit(&args), 0, &format!("in {out}"));
        out
    }

    /// The log's public key in a file.
    fn key(&self) -> String {
        let key = told(&self.audit(&["key"]), 0, "kluis/");
        std::fs::write(self.path("log.vkey"), key).expect("written");
        self.text("log.vkey")
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn a_bundle_is_checked_by_who_never_saw_the_vault() {
    let vault = Vault::founded();
    vault.serves_once();
    let key = vault.key();
    vault.kluis(
        &["dataset", "create", "icu/ecg", "--creator", "ana"],
        "icu--ecg",
    );
    vault.serves_once();
    let first = vault.bundle("first");
    let kept = vault.text("kept");
    let verify = ["verify", &first, "--log", &key, "--kept", &kept];
    told(&audit(&verify), 0, "the evidence holds");
    // Who asked for it and when is itself in the next one.
    vault.serves_once();
    let second = vault.bundle("second");
    let shown = [
        "verify",
        &second,
        "--log",
        &key,
        "--kept",
        &kept,
        "--requests",
    ];
    let requests = told(&audit(&shown), 0, "a continuation of 1 kept checkpoint");
    assert!(requests.contains("audit bundle"), "{requests}");
    assert!(requests.contains("\"dataset\":\"ecg\""), "{requests}");
    // The older one is now a log that was rolled back.
    told(&audit(&verify), 1, "rolled-back");
    // The log's own directory verifies too.
    let log = vault.text("data/log");
    told(
        &audit(&["verify", &log, "--log", &key]),
        0,
        "the evidence holds",
    );
    let json = ["--json", "verify", &second, "--log", &key];
    told(&audit(&json), 0, "\"holds\":true");
}

#[test]
fn whatever_byte_of_a_bundle_is_changed_it_does_not_hold() {
    let vault = Vault::founded();
    vault.serves_once();
    let key = vault.key();
    let bundle = vault.bundle("bundle");
    for path in files(Path::new(&bundle)) {
        let honest = std::fs::read(&path).expect("read");
        let mut bent = honest.clone();
        let at = bent.len() / 2;
        bent[at] ^= 1;
        std::fs::write(&path, &bent).expect("written");
        let output = audit(&["verify", &bundle, "--log", &key]);
        assert_eq!(output.status.code(), Some(1), "{}", path.display());
        std::fs::write(&path, &honest).expect("written");
    }
    told(
        &audit(&["verify", &bundle, "--log", &key]),
        0,
        "the evidence holds",
    );
}

#[test]
fn nobody_gets_the_log_of_a_project_that_is_not_hers() {
    let vault = Vault::founded();
    vault.kluis(&["project", "create", "onco", "--owner", "bas"], "onco");
    vault.serves_once();
    for (project, who) in [
        ("onco", "tess"),
        ("icu", "ana"),
        ("icu", "nobody"),
        ("none", "tess"),
    ] {
        let out = vault.text("out");
        let args = [
            "bundle",
            "--project",
            project,
            "--auditor",
            who,
            "--out",
            &out,
        ];
        told(&vault.audit(&args), 1, "no grant to read this log");
        assert!(!vault.path("out").exists());
    }
    // The refusals are in the log of the project that was asked for.
    vault.serves_once();
    let bundle = vault.bundle("mine");
    let key = vault.key();
    let shown = audit(&["verify", &bundle, "--log", &key, "--requests"]);
    let requests = told(&shown, 0, "the evidence holds");
    assert!(requests.contains("no grant to read this log"), "{requests}");
    assert!(!requests.contains("onco"), "{requests}");
}

#[test]
fn another_key_and_no_key_verify_nothing() {
    let (one, other) = (Vault::founded(), Vault::founded());
    one.serves_once();
    let bundle = one.bundle("bundle");
    let foreign = other.key();
    told(
        &audit(&["verify", &bundle, "--log", &foreign]),
        1,
        "checkpoint",
    );
    told(&audit(&["verify", &bundle]), 2, "--log");
    std::fs::write(other.path("nonsense"), "key\n").expect("written");
    let nonsense = other.text("nonsense");
    told(
        &audit(&["verify", &bundle, "--log", &nonsense]),
        2,
        "not the public key",
    );
    let empty = other.text("data");
    told(
        &audit(&["verify", &empty, "--log", &foreign]),
        1,
        "there is no checkpoint",
    );
}

#[test]
fn proofs_are_made_from_tiles() {
    let vault = Vault::founded();
    vault.serves_once();
    let log = vault.text("data/log");
    let inclusion = ["prove", "inclusion", &log, "--entry", "0"];
    told(&audit(&inclusion), 0, "c2sp.org/tlog-proof@v1\nindex 0\n");
    let consistency = ["prove", "consistency", &log, "--from", "1"];
    told(&audit(&consistency), 0, "old 1\n");
    told(
        &audit(&["prove", "inclusion", &log, "--entry", "999"]),
        1,
        "no such entry",
    );
    told(
        &audit(&["prove", "consistency", &log, "--from", "0"]),
        1,
        "no such entry",
    );
    told(&vault.audit(&["checkpoint", "show"]), 0, "\n— kluis/");
}

/// The state of the log is put back behind its checkpoint: the gateway does not go on with it.
#[test]
fn a_gateway_does_not_fork_its_log() {
    let vault = Vault::founded();
    vault.serves_once();
    let state = std::fs::read(vault.path("data/log/state")).expect("read");
    vault.kluis(&["principal", "create", "bob"], "person");
    vault.serves_once();
    std::fs::write(vault.path("data/log/state"), state).expect("written");
    let mut command = command(env!("CARGO_BIN_EXE_kluis"));
    command.arg("--config").arg(vault.path("kluis.toml"));
    let output = command.arg("serve").output().expect("it runs");
    told(&output, 1, "rolled back");
}
