//! Bundles of a part, of everything, and of what only the volumes hold; judged by both verifiers.

use std::path::Path;
use std::process::Command;

use super::{Vault, audit, told};

impl Vault {
    fn bundles(&self, name: &str, args: &[&str]) -> String {
        let out = self.text(name);
        let all = [&["bundle"], args, &["--out", &out]].concat();
        told(&self.audit(&all), 0, &format!("in {out}"));
        out
    }
}

const HERS: [&str; 4] = ["--project", "icu", "--auditor", "tess"];

#[expect(
    clippy::disallowed_methods,
    reason = "where the tests' own Python is, is no setting of the product"
)]
fn home() -> String {
    std::env::var("HOME").unwrap_or_default()
}

/// The second verifier, where Python has what it needs.
fn second(bundle: &str, key: &str, holds: bool) {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/verifier/kluis_verify.py"
    );
    let usable = |python: &str| {
        let told = Command::new(python)
            .args(["-c", "import cryptography"])
            .output();
        told.is_ok_and(|told| told.status.success())
    };
    let lab = format!("{}/.cache/kluis-lab/clients/bin/python", home());
    let Some(python) = [lab.as_str(), "python3"].into_iter().find(|p| usable(p)) else {
        return;
    };
    let told = Command::new(python)
        .args([script, bundle, key])
        .output()
        .expect("it runs");
    assert_eq!(told.status.success(), holds, "{bundle}: {told:?}");
}

/// Two datasets, and looks at the log by tess.
pub(super) fn filled() -> Vault {
    let vault = Vault::founded();
    for name in ["icu/ecg", "icu/mri"] {
        vault.kluis(&["dataset", "create", name, "--creator", "ana"], "icu--");
    }
    vault.serves_once();
    told(
        &vault.audit(&[
            "export",
            "--project",
            "icu",
            "--auditor",
            "tess",
            "--form",
            "csv",
        ]),
        0,
        "",
    );
    vault.serves_once();
    vault
}

#[test]
fn a_bundle_of_a_part_shows_that_and_proves_the_whole() {
    let vault = filled();
    let key = vault.key();
    let whole = vault.bundles("whole", &HERS);
    let verified = |bundle: &str, args: &[&str], code, text: &str| {
        told(
            &audit(&[&["verify", bundle, "--log", &key], args].concat()),
            code,
            text,
        )
    };
    let all = verified(&whole, &["--requests"], 0, "the evidence holds");
    assert!(all.contains("mri"), "{all}");
    for (name, part, shown, other) in [
        ("set", ["--dataset", "ecg"], "\"dataset\":\"ecg\"", "mri"),
        (
            "permit",
            ["--permit", "A-1"],
            "\"permit_id\":\"A-1\"",
            "dataset.create",
        ),
    ] {
        let bundle = vault.bundles(name, &[&HERS[..], &part].concat());
        let requests = verified(
            &bundle,
            &["--requests"],
            0,
            "other records the leaves are here",
        );
        assert!(
            requests.contains(shown) && !requests.contains(other),
            "{requests}"
        );
        let bytes = std::fs::read(Path::new(&bundle).join("rows")).expect("read");
        assert!(
            !bytes.windows(3).any(|part| part == other.as_bytes()),
            "{name}"
        );
        second(&bundle, &key, true);
    }
    // A dataset that nobody used, a person who did nothing: nothing is shown, and the tree holds.
    let none = vault.bundles("none", &[&HERS[..], &["--principal", "nobody"]].concat());
    let requests = verified(&none, &["--requests"], 0, "the evidence holds");
    assert_eq!(requests, "");
    // Another selection in the maker's words, or none: it is not what the log's key has signed.
    let manifest = Path::new(&none).join("bundle.json");
    let text = std::fs::read_to_string(&manifest).expect("read");
    for other in ["", ",\n  \"shown\": \"principal=ana\""] {
        let bent = text.replace(",\n  \"shown\": \"principal=nobody\"", other);
        assert_ne!(text, bent);
        std::fs::write(&manifest, bent).expect("written");
        verified(&none, &[], 1, "bundle.json is not the file that was signed");
        second(&none, &key, false);
    }
}

#[test]
fn whatever_byte_of_a_part_is_changed_it_does_not_hold() {
    let vault = filled();
    let key = vault.key();
    let bundle = vault.bundles("part", &[&HERS[..], &["--dataset", "ecg"]].concat());
    let bundle = Path::new(&bundle);
    let names = [
        "rows",
        "sessions",
        "policies",
        "bundle.json",
        "README.txt",
        "statement",
    ];
    for name in names {
        let path = bundle.join(name);
        let honest = std::fs::read(&path).expect("read");
        for at in [0, honest.len() / 3, honest.len() / 2, honest.len() - 1] {
            let mut bent = honest.clone();
            bent[at] ^= 1;
            std::fs::write(&path, &bent).expect("written");
            let verify = ["verify", bundle.to_str().expect("a path"), "--log", &key];
            assert_eq!(audit(&verify).status.code(), Some(1), "{name} byte {at}");
        }
        second(bundle.to_str().expect("a path"), &key, false);
        std::fs::remove_file(&path).expect("removed");
        let verify = ["verify", bundle.to_str().expect("a path"), "--log", &key];
        assert_eq!(audit(&verify).status.code(), Some(1), "{name} removed");
        std::fs::write(&path, &honest).expect("written");
    }
    second(bundle.to_str().expect("a path"), &key, true);
}

#[test]
fn a_bundle_of_the_vault_holds_every_scope() {
    let vault = filled();
    vault.kluis(&["project", "create", "onco", "--owner", "bas"], "onco");
    vault.serves_once();
    let key = vault.key();
    let bundle = vault.bundles("vault", &["--vault"]);
    let json = ["--json", "verify", &bundle, "--log", &key];
    let report = told(&audit(&json), 0, "\"holds\":true");
    for part in ["\"\"", "\"icu\"", "\"onco\"", "\"others\":0"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let hers = vault.bundles("hers", &HERS);
    let json = ["--json", "verify", &hers, "--log", &key];
    let report = told(&audit(&json), 0, "\"holds\":true");
    assert!(!report.contains("\"others\":0"), "{report}");
    second(&bundle, &key, true);
    let mine = [
        "bundle",
        "--project",
        "onco",
        "--auditor",
        "tess",
        "--out",
        &vault.text("no"),
    ];
    told(&vault.audit(&mine), 1, "no grant to read this log");
}

#[test]
fn a_bundle_brings_its_policy_versions_and_is_decided_again_by_a_stranger() {
    let vault = filled();
    let key = vault.key();
    let bundle = vault.bundles("bundle", &HERS);
    let replay = ["verify", &bundle, "--log", &key, "--replay"];
    told(&audit(&replay), 0, "0 different, 0 without");
    let path = Path::new(&bundle).join("policies");
    let honest = std::fs::read(&path).expect("read");
    // The same length, another role.
    let mut bent = honest.clone();
    let at = bent.windows(9).position(|part| part == b"\"auditor\"");
    let at = at.expect("her role") + 1;
    bent[at..at + 7].copy_from_slice(b"owner  ");
    std::fs::write(&path, &bent).expect("written");
    told(
        &audit(&replay),
        1,
        "a policy version is not what its hash says",
    );
    second(&bundle, &key, false);
    std::fs::write(&path, &honest[..honest.len() - 1]).expect("written");
    told(&audit(&replay), 1, "a policy version is not");
    second(&bundle, &key, false);
    std::fs::write(&path, &honest).expect("written");
    told(&audit(&replay), 0, "0 different, 0 without");
}

#[test]
fn what_the_journal_holds_no_more_comes_from_the_volumes() {
    let vault = filled();
    vault.ships();
    let key = vault.key();
    let before = vault.bundles("before", &HERS);
    // Gateways that begin new files, and every file that is in volumes let go.
    for _ in 0..3 {
        vault.serves_once();
        vault.ships();
    }
    vault.lets_go();
    let after = vault.bundles("after", &HERS);
    let shown = |bundle: &str| {
        let args = ["verify", bundle, "--log", &key, "--requests", "--replay"];
        told(&audit(&args), 0, "the evidence holds")
    };
    let (before, after) = (shown(&before), shown(&after));
    assert!(before.lines().all(|line| after.contains(line)), "{after}");
    second(&vault.text("after"), &key, true);
    // A part of it, too, and a request that began before the period is known by its beginning.
    let part = vault.bundles("part", &[&HERS[..], &["--dataset", "ecg"]].concat());
    let args = ["verify", &part, "--log", &key, "--requests", "--replay"];
    let requests = told(&audit(&args), 0, "the evidence holds");
    assert!(requests.contains("\"dataset\":\"ecg\""), "{requests}");
    assert!(!requests.contains("mri"), "{requests}");
    // Volumes gone too: no evidence is made up.
    for path in vault.volumes() {
        std::fs::remove_file(path).expect("removed");
    }
    let out = vault.text("none");
    let args = [&["bundle"], &HERS[..], &["--out", &out]].concat();
    told(&vault.audit(&args), 1, "");
    assert!(!vault.path("none").exists());
}
