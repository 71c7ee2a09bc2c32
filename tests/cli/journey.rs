//! The first day: from nothing to a vault whose log says who did what.

use std::os::unix::fs::PermissionsExt as _;

use crate::{Vault, run, value};

#[test]
fn from_init_to_doctor() {
    let vault = Vault::founded();
    let mode = |name: &str| {
        let metadata = std::fs::metadata(vault.path(name)).expect(name);
        metadata.permissions().mode() & 0o777
    };
    for secret in ["root.age", "ana.env", "kluis.toml", "data/catalog.sqlite"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    vault
        .run(&["principal", "create", "bob"])
        .expect(0, &["person"]);
    vault
        .run(&["principal", "create", "job-1", "--acts-for", "bob"])
        .expect(0, &["workload"]);
    vault
        .run(&["principal", "list"])
        .expect(0, &["ana", "bob", "job-1"]);
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &["icu--ecg"]);
    let grant = [
        "grant",
        "create",
        "icu",
        "--to",
        "job-1",
        "--role",
        "job",
        "--dataset",
        "ecg",
        "--approver",
        "ana",
        "--permit",
        "P-7",
        "--purpose",
        "ehds:scientific-research",
        "--expires",
        "2199-12-31",
    ];
    let id = vault.run(&grant).expect(0, &["GRANT"]).out;
    let id = id.lines().nth(1).expect("an id").to_owned();
    vault
        .run(&["project", "show", "icu"])
        .expect(0, &["icu/ecg", "job-1", "in force", &id]);
    vault
        .run(&["grant", "list", "icu", "--wide"])
        .expect(0, &["P-7", "ehds:scientific-research", &id]);
    let ask = [
        "policy",
        "explain",
        "--principal",
        "job-1",
        "--action",
        "object.read",
        "--dataset",
        "icu/ecg",
        "--key",
        "a",
    ];
    vault
        .run(&ask)
        .expect(0, &["allowed: job-1", "permit: P-7"]);
    vault
        .run(&["grant", "withdraw", "icu", &id])
        .expect(0, &["withdrawn"]);
    vault
        .run(&ask)
        .expect(1, &["denied", "holds no grant in this project"]);
}

#[test]
fn an_empty_vault_is_sound() {
    let vault = Vault::founded();
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &["icu--ecg"]);
    vault
        .run(&["dataset", "delete", "icu/ecg"])
        .expect(0, &["icu/ecg is deleted"]);
    vault
        .run(&["dataset", "show", "icu/ecg"])
        .expect(1, &["no such dataset"]);
    vault
        .run(&["policy", "check"])
        .expect(0, &["the policy compiles"]);
    vault.run(&["doctor"]).expect(
        0,
        &[
            "opens the key ring",
            "does what a store must",
            "none damaged",
        ],
    );
}

#[test]
fn only_an_owner_lets_others_in() {
    let vault = Vault::founded();
    vault
        .run(&["principal", "create", "mallory"])
        .expect(0, &[]);
    let grant = [
        "grant",
        "create",
        "icu",
        "--to",
        "mallory",
        "--role",
        "owner",
        "--approver",
        "mallory",
    ];
    vault
        .run(&grant)
        .expect(1, &["the approver may not manage grants here"]);
    vault
        .run(&["audit", "tail"])
        .expect(0, &["refused", "the approver may not manage grants here"]);
}

#[test]
fn the_logs_own_reading_stands_in_it_before_it_is_shown() {
    let vault = Vault::founded();
    let told = vault.run(&["audit", "tail", "--project", "icu"]);
    let told = told.expect(0, &["project create icu"]);
    assert!(!told.out.contains("audit tail"), "not of the project");
    let told = vault
        .run(&["audit", "tail", "-n", "1", "--json"])
        .expect(0, &[]);
    assert!(
        told.out.contains("\"operation\":\"audit tail\""),
        "{}",
        told.out
    );
    let record: serde_json::Value = serde_json::from_str(&told.out).expect("one line of JSON");
    assert_eq!(record["schema"], "kluis.audit/1");
    assert_eq!(record["nature"], "log");
    let event = record["event_id"].as_str().expect("an id");
    vault
        .run(&["audit", "show", event])
        .expect(0, &["\"query\": \"all\""]);
    let filters = [
        "audit",
        "show",
        "--action",
        "grant.manage",
        "--outcome",
        "success",
    ];
    assert_eq!(vault.run(&filters).expect(0, &[]).out.lines().count(), 1);
    vault
        .run(&["audit", "show", "0198f0c27a1e7c3b9d510c6a5d0f2b11"])
        .expect(1, &["no such event", "hint: `kluis audit tail`"]);
    vault.run(&["audit", "show"]).expect(2, &["kluis: error:"]);
    let none = ["audit", "show", "--principal", "nobody.here"];
    let told = vault.run(&none).expect(0, &[]);
    assert_eq!(
        (told.out.as_str(), told.err.as_str()),
        ("", "kluis: no records\n")
    );
    let told = vault.run(&[&none[..], &["--json"]].concat()).expect(0, &[]);
    assert_eq!((told.out.as_str(), told.err.as_str()), ("", ""));
}

#[test]
fn a_secret_is_in_its_file_and_nowhere_else() {
    let vault = Vault::founded();
    let made = vault
        .run(&["credential", "create", "ana"])
        .expect(0, &["AWS_ENDPOINT_URL=http://127.0.0.1:9000"]);
    let mut canaries = vec![value(&made.out, "AWS_SECRET_ACCESS_KEY")];
    assert!(!made.err.contains(&canaries[0]));
    let file = std::fs::read_to_string(vault.path("ana.env")).expect("read");
    canaries.push(value(&file, "AWS_SECRET_ACCESS_KEY"));
    let identity = std::fs::read_to_string(vault.path("root.age")).expect("read");
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET"));
    canaries.push(secret.expect("an identity").to_owned());
    let id = value(&made.out, "AWS_ACCESS_KEY_ID");
    let listed = vault.run(&["credential", "list", "ana"]);
    assert!(
        listed.expect(0, &[]).out.contains("never"),
        "nobody used it"
    );
    let mut all = String::new();
    for args in [
        &["credential", "list", "ana"][..],
        &["credential", "revoke", &id],
        &["audit", "tail", "-n", "100", "--json"],
        &["audit", "tail", "-n", "100"],
        &["doctor", "--json"],
        &["config", "show"],
        &["recover", "--dry-run"],
    ] {
        let told = vault.run(args);
        all.push_str(&told.out);
        all.push_str(&told.err);
    }
    assert!(all.contains(&id));
    let mut files = vec![vault.path("data/catalog.sqlite"), vault.path("kluis.toml")];
    files.extend(
        std::fs::read_dir(vault.path("data/journal/admin"))
            .expect("read")
            .map(|f| f.expect("f").path()),
    );
    for file in files {
        all.push_str(&String::from_utf8_lossy(
            &std::fs::read(file).expect("read"),
        ));
    }
    for canary in canaries {
        assert!(canary.len() > 20 && !all.contains(&canary));
    }
}

#[test]
fn a_passphrase_comes_from_the_environment() {
    let vault = Vault::nothing();
    let dir = vault.dir().to_str().expect("a path");
    run(&["init", "--dir", dir, "--passphrase"])
        .expect(2, &["no passphrase is given", "hint: set KLUIS_PASSPHRASE"]);
    assert_eq!(std::fs::read_dir(vault.dir()).expect("read").count(), 0);
}
