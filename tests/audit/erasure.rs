//! Certificates of erasure, from two persons' word to an auditor who never saw the vault.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use super::{Vault, audit, command, told};

/// A gateway that runs until it is told to stop.
pub(super) struct Serving(Child);

impl Vault {
    pub(super) fn serve(&self) -> Serving {
        let mut command = command(env!("CARGO_BIN_EXE_kluis"));
        command.arg("--config").arg(self.path("kluis.toml"));
        let child = command
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = child.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut serving = lines.by_ref().map_while(Result::ok);
        let line = serving.find(|line| line.contains("\"serving\"") || line.contains(" serving"));
        let line = line.expect("it serves");
        let at = line.find("address").expect("its address");
        let mut parts = line[at..].split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
        let address = parts.find(|part| part.contains(':') && part.contains('.'));
        let address = address.expect("its address").to_owned();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        for person in ["ana", "ola"] {
            let file = self.path(&format!("{person}.env"));
            let text = std::fs::read_to_string(&file).expect("read");
            let rest = text
                .lines()
                .filter(|line| !line.starts_with("AWS_ENDPOINT_URL"));
            let rest: Vec<&str> = rest.collect();
            let text = format!("AWS_ENDPOINT_URL=http://{address}\n{}\n", rest.join("\n"));
            std::fs::write(&file, text).expect("written");
        }
        Serving(child)
    }

    pub(super) fn tells(&self, args: &[&str]) -> String {
        let mut command = command(env!("CARGO_BIN_EXE_kluis"));
        command
            .arg("--config")
            .arg(self.path("kluis.toml"))
            .arg("--json");
        told(&command.args(args).output().expect("it runs"), 0, "")
    }

    /// Erases an empty dataset on the word of two; the certificate's file.
    fn erased(&self, dataset: &str, name: &str) -> String {
        let (ana, ola) = (self.text("ana.env"), self.text("ola.env"));
        let why = ["--reason", "its end", "--credentials", &ana];
        let ask = ["approval", "ask", "erase", dataset, "what=dataset"];
        let asked = self.tells(&[&ask[..], &why].concat());
        let approval = field(&asked, "approval");
        self.tells(&[
            "approval",
            "approve",
            "icu",
            &approval,
            "--credentials",
            &ola,
        ]);
        let work = field(&self.tells(&["key", "erase", "icu", &approval]), "work");
        let mut command = command(env!("CARGO_BIN_EXE_kluis"));
        command.arg("--config").arg(self.path("kluis.toml"));
        let printed = command.args(["key", "certificate", &work]).output();
        let certificate = told(
            &printed.expect("it runs"),
            0,
            "kluis erasure certificate v1",
        );
        std::fs::write(self.path(name), certificate).expect("written");
        self.text(name)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

pub(super) fn field(told: &str, name: &str) -> String {
    let line = told.lines().next().expect("a line");
    let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
    value[name].as_str().expect(name).to_owned()
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one certificate, and each way to be no certificate"
)]
fn er_1_a_certificate_is_checked_by_the_command_and_no_other_passes() {
    let vault = Vault::founded();
    vault.kluis(&["principal", "create", "ola"], "ola");
    let owner = ["grant", "create", "icu", "--to", "ola", "--role", "owner"];
    vault.kluis(&[&owner[..], &["--approver", "ana"]].concat(), "GRANT");
    let file = vault.text("ola.env");
    vault.kluis(
        &["credential", "create", "ola", "--output", &file],
        "ola.env",
    );
    for dataset in ["icu/ecg", "icu/mri"] {
        vault.kluis(&["dataset", "create", dataset, "--creator", "ana"], "icu--");
    }
    vault.serves_once();
    let early = vault.bundle("early");
    let serving = vault.serve();
    let certificate = vault.erased("icu/ecg", "ecg.txt");
    let other = vault.erased("icu/mri", "mri.txt");
    drop(serving);
    vault.serves_once();
    let whole = vault.bundle("whole");
    let key = vault.key();
    let check = |file: &str, key: &str, more: &[&str], code: i32, text: &str| {
        let args = ["verify-erasure", file, "--log", key];
        told(&audit(&[&args[..], more].concat()), code, text)
    };
    let held = check(&certificate, &key, &[], 0, "holds");
    assert!(held.contains("ana") && held.contains("ola"), "{held}");
    let of = ["--dataset", "icu/ecg", "--what", "dataset"];
    check(
        &certificate,
        &key,
        &of,
        0,
        "the certificate and its list hold",
    );
    assert!(!held.contains("has a record"), "nobody looked: {held}");
    // The log is looked at where a bundle of it is given, and says no where it has no record.
    let looked = |bundle: &str, code: i32, text: &str| {
        check(&certificate, &key, &["--bundle", bundle], code, text)
    };
    looked(&whole, 0, "the log has a record of its SHA-256");
    looked(&early, 1, "no record of it is in this bundle");
    looked(&vault.text("nowhere"), 2, "no such directory");
    std::fs::write(vault.path("whole/checkpoint"), "forged").expect("written");
    looked(&whole, 1, "the bundle does not hold");
    // A good one of something else proves nothing of this.
    check(&other, &key, &of, 1, "icu--mri");
    let object = ["--dataset", "icu/ecg", "--what", "object=a"];
    check(&certificate, &key, &object, 1, "something else: dataset");
    check(
        &certificate,
        &key,
        &["--dataset", "icu/ecg", "--what", "all"],
        2,
        "as it was asked for",
    );
    // Edited, cut, mixed of two, or a list that grew.
    let text = std::fs::read_to_string(&certificate).expect("read");
    let mri = std::fs::read_to_string(&other).expect("read");
    let (bad, signed) = (
        vault.path("bad.txt"),
        mri.split_once("\n\n").expect("a signature").1,
    );
    for edited in [
        text.replace("approved-by ola", "approved-by ana"),
        text.replace("icu--ecg", "icu--mri"),
        text.replace("keys 1", "keys 0"),
        text.replace("writes 0", "writes 1"),
        format!("{text}a0b685e60db116abb6df6803463bfcfd 1 a\n"),
        format!("{}\n\n{signed}", text.split_once("\n\n").expect("a body").0),
        text.lines().take(4).collect::<Vec<_>>().join("\n"),
        String::new(),
    ] {
        assert_ne!(edited, text);
        std::fs::write(&bad, edited).expect("written");
        check(&bad.to_string_lossy(), &key, &[], 1, "");
    }
    // Another log's key, and none.
    let stranger = Vault::founded();
    check(&certificate, &stranger.key(), &[], 1, "");
    check(&certificate, &certificate, &[], 2, "not a verifier key");
    check(&vault.text("none.txt"), &key, &[], 2, "none.txt");
}
