//! Witnesses, as an owner's organisation runs them, and a log that is shown to them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use super::{Vault, audit, command, told};

/// A running witness; ended with it.
struct Witness {
    child: Child,
    url: String,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Witness {
    fn start(vault: &Vault, name: &str, log: &str) -> Self {
        Self::start_with(vault, name, log, &[])
    }

    fn start_with(vault: &Vault, name: &str, log: &str, more: &[&str]) -> Self {
        let mut command = command(env!("CARGO_BIN_EXE_kluis-audit"));
        let (key, state) = (vault.text(&format!("{name}.key")), vault.text(name));
        command.args(["witness", "serve", "--key", &key, "--state", &state]);
        let mut child = command
            .args(["--log", log, "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = lines.next().expect("a line").expect("text");
        let (_, url) = line.rsplit_once(' ').expect("an address");
        let url = url.to_owned();
        Self { child, url }
    }
}

impl Vault {
    /// Makes a witness's key; its public half.
    fn witness(&self, name: &str) -> String {
        let out = self.text(&format!("{name}.key"));
        let new = ["witness", "new", "--name", name, "--out", &out];
        let key = told(&audit(&new), 0, name);
        told(&audit(&new), 2, "exists");
        key.trim_end().to_owned()
    }

    /// A policy of these witnesses, of whom so many must cosign.
    fn policy(&self, least: &str, witnesses: &[(&str, &str, &str)]) -> String {
        let log = std::fs::read_to_string(self.path("log.vkey")).expect("a key");
        let mut text = format!("log {log}");
        for (name, key, url) in witnesses {
            text = format!("{text}witness {name} {key} {url}\n");
        }
        let names: Vec<&str> = witnesses.iter().map(|(name, ..)| *name).collect();
        let names = names.join(" ");
        let text = format!("{text}group all-of-them {least} {names}\nquorum all-of-them\n");
        std::fs::write(self.path("policy"), text).expect("written");
        self.text("policy")
    }
}

#[test]
fn a_policy_that_is_not_there_is_named() {
    let vault = Vault::founded();
    let nowhere = vault.audit(&["cosign", "--trust", "no.policy"]);
    told(&nowhere, 2, "kluis-audit: error: no.policy: No such file");
}

#[test]
fn a_bundle_holds_under_a_quorum_of_witnesses() {
    let vault = Vault::founded();
    vault.serves_once();
    let log = vault.key();
    let keys = [vault.witness("one"), vault.witness("two")];
    let one = Witness::start(&vault, "one", &log);
    let two = Witness::start(&vault, "two", &log);
    let at = |least: &str| {
        let all = [("one", &*keys[0], &*one.url), ("two", &*keys[1], &*two.url)];
        vault.policy(least, &all)
    };
    let policy = at("all");
    let cosign = ["cosign", "--trust", &policy];
    told(&vault.audit(&cosign), 0, "cosigned by 2 witnesses");
    // It grows; a witness goes, and comes back with what it has seen.
    vault.kluis(&["principal", "create", "bob"], "person");
    vault.serves_once();
    let url = two.url.clone();
    drop(two);
    let away = told(&vault.audit(&cosign), 3, "too few witnesses");
    assert!(away.is_empty());
    let policy = vault.policy("1", &[("one", &keys[0], &one.url), ("two", &keys[1], &url)]);
    told(
        &vault.audit(&["cosign", "--trust", &policy]),
        0,
        "cosigned by 1 witness",
    );
    let two = Witness::start(&vault, "two", &log);
    let policy = vault.policy(
        "all",
        &[("one", &keys[0], &one.url), ("two", &keys[1], &two.url)],
    );
    told(
        &vault.audit(&["cosign", "--trust", &policy]),
        0,
        "cosigned by 2 witnesses",
    );
    // The evidence needs them; what only the log signed is not enough.
    let hers = ["bundle", "--project", "icu", "--auditor", "tess"];
    let (with, without) = (vault.text("with"), vault.text("without"));
    told(
        &vault.audit(&[&hers[..], &["--cosigned", "--out", &with]].concat()),
        0,
        &format!("`kluis-audit verify {with} --trust FILE`"),
    );
    told(
        &vault.audit(&[&hers[..], &["--out", &without]].concat()),
        0,
        &format!("`kluis-audit verify {without} --log FILE`"),
    );
    told(
        &audit(&["verify", &with, "--trust", &policy]),
        0,
        "cosigned by 2 witnesses",
    );
    told(
        &audit(&["verify", &without, "--trust", &policy]),
        1,
        "too few witnesses",
    );
    let bent = std::fs::read_to_string(vault.path("with/checkpoint")).expect("read");
    let lines: Vec<&str> = bent.lines().collect();
    let last = lines.len() - 1;
    std::fs::write(
        vault.path("with/checkpoint"),
        format!("{}\n", lines[..last].join("\n")),
    )
    .expect("written");
    told(
        &audit(&["verify", &with, "--trust", &policy]),
        1,
        "too few witnesses",
    );
}

#[test]
fn a_witness_is_reached_over_tls_by_who_trusts_it() {
    let vault = Vault::founded();
    vault.serves_once();
    let log = vault.key();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
    let put = |name: &str, text: String| {
        std::fs::write(vault.path(name), text).expect("written");
        vault.text(name)
    };
    let chain = put("chain.pem", made.cert.pem());
    let key_file = put("key.pem", made.signing_key.serialize_pem());
    let foreign = put("other.pem", other.cert.pem());
    let key = vault.witness("one");
    let tls = ["--tls-cert", &chain, "--tls-key", &key_file];
    let one = Witness::start_with(&vault, "one", &log, &tls);
    assert!(one.url.starts_with("https://"), "{}", one.url);
    let policy = vault.policy("all", &[("one", &key, &one.url)]);
    let cosign = ["cosign", "--trust", &policy];
    let with = |ca: &str| vault.audit(&[&cosign[..], &["--ca", ca]].concat());
    told(&with(&foreign), 3, "it cannot be reached");
    told(&with(&chain), 0, "cosigned by 1 witness");
    // A certificate that is none, and a witness on another machine in clear.
    told(&with(&log), 2, "no certificate to trust");
    let policy = vault.policy("all", &[("one", &key, "http://192.0.2.1:8787")]);
    told(&vault.audit(&["cosign", "--trust", &policy]), 2, "https://");
    let half = [
        "witness", "serve", "--key", &key_file, "--state", &chain, "--log", &log,
    ];
    told(
        &audit(&[&half[..], &["--tls-cert", &chain]].concat()),
        2,
        "--tls-key",
    );
}

#[test]
fn a_witness_does_not_cosign_a_log_that_was_rolled_back_or_is_not_known() {
    let vault = Vault::founded();
    vault.serves_once();
    let log = vault.key();
    let key = vault.witness("one");
    let one = Witness::start(&vault, "one", &log);
    let policy = vault.policy("all", &[("one", &key, &one.url)]);
    let older = std::fs::read(vault.path("data/log/checkpoint")).expect("read");
    vault.kluis(&["principal", "create", "bob"], "person");
    vault.serves_once();
    let cosign = ["cosign", "--trust", &policy];
    told(&vault.audit(&cosign), 0, "cosigned by 1 witness");
    std::fs::write(vault.path("data/log/checkpoint"), older).expect("written");
    told(&vault.audit(&cosign), 3, "the log was rolled back");
    // Another vault's log: the witness does not know it.
    let other = Vault::founded();
    other.serves_once();
    other.key();
    let policy = other.policy("all", &[("one", &key, &one.url)]);
    told(&other.audit(&["cosign", "--trust", &policy]), 3, "404");
    // A second witness on the same state would be a fork of it.
    let (key, state) = (vault.text("one.key"), vault.text("one"));
    let again = [
        "witness", "serve", "--key", &key, "--state", &state, "--log", &log,
    ];
    told(&audit(&again), 3, "keeps this state");
    told(&vault.audit(&["cosign", "--trust", &log]), 2, "line 1");
}
