//! The catalog is lost: what comes back, and what is said of the rest.

use std::fs;

use crate::beside::start;
use crate::{Vault, kluis};

/// The demo's configuration, with an end that waits for no idle client.
const DEMO: &str = r#"# Written by `kluis demo`.
[server]
listen = "127.0.0.1:0"
default_project = "demo"
shutdown_wait = "1s"
[ops]
listen = "127.0.0.1:0"
[store]
path = "store"
[catalog]
path = "catalog.sqlite"
[keys]
dir = "keys"
identity = "root.age"
[journal]
dir = "journal"
"#;

fn lose(vault: &Vault, catalog: &str) {
    for end in ["", "-wal", "-shm"] {
        let path = vault.path(&format!("{catalog}{end}"));
        if path.exists() {
            fs::remove_file(path).expect("removed");
        }
    }
}

#[test]
fn a_lost_catalog_comes_back_and_stays_recoverable() {
    let vault = Vault::founded();
    for round in ["bob", "carl", "dirk"] {
        vault.run(&["principal", "create", round]).expect(0, &[]);
        let before = vault.run(&["project", "show", "icu", "--json"]).out;
        vault
            .run(&["recover"])
            .expect(2, &["there is a catalog already"]);
        lose(&vault, "data/catalog.sqlite");
        vault
            .run(&["recover", "--dry-run"])
            .expect(0, &["a dry run"]);
        assert!(
            !vault.path("data/catalog.sqlite").exists(),
            "a dry run writes nothing"
        );
        let told = vault.run(&["recover", "--json"]).expect(0, &[]);
        let found: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
        assert_eq!(found["whole"], true, "{found}");
        assert_eq!(vault.run(&["project", "show", "icu", "--json"]).out, before);
        vault.run(&["principal", "list"]).expect(0, &["ana", round]);
        let left = fs::read_dir(vault.path("data")).expect("read");
        for entry in left {
            let name = entry.expect("an entry").file_name();
            assert!(!name.to_string_lossy().contains("recovering"), "{name:?}");
        }
    }
    vault.run(&["doctor"]).expect(0, &[]);
}

#[test]
fn a_restored_older_catalog_is_refused_until_it_is_adopted() {
    let vault = Vault::founded();
    let (catalog, older) = (
        vault.path("data/catalog.sqlite"),
        vault.path("older.sqlite"),
    );
    fs::copy(&catalog, &older).expect("copied");
    vault.run(&["principal", "create", "bob"]).expect(0, &[]);
    lose(&vault, "data/catalog.sqlite");
    fs::copy(&older, &catalog).expect("restored");
    vault.run(&["serve"]).expect(
        1,
        &["the catalog is older than its snapshots", "kluis recover"],
    );
    vault.run(&["doctor"]).expect(
        1,
        &["the store has snapshot", "which the catalog does not know"],
    );
    vault
        .run(&["principal", "create", "dora"])
        .expect(1, &["older than its snapshots", "kluis recover"]);
    vault
        .run(&["recover", "--adopt", "--dry-run"])
        .expect(2, &["cannot be used with"]);
    vault
        .run(&["recover", "--adopt"])
        .expect(0, &["goes on from commit", "--accept"]);
    vault.run(&["principal", "create", "carl"]).expect(0, &[]);
    vault
        .run(&["doctor"])
        .expect(0, &["the catalog is in doubt"]);
    vault
        .run(&["recover", "--accept"])
        .expect(0, &["is accepted"]);
    vault
        .run(&["recover", "--accept"])
        .expect(0, &["nothing to accept"]);
    lose(&vault, "data/catalog.sqlite");
    let told = vault.run(&["recover", "--json"]).expect(0, &[]);
    let found: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(
        (&found["whole"], &found["fork"]),
        (&true.into(), &serde_json::Value::Null)
    );
    let list = vault.run(&["principal", "list"]).expect(0, &["carl"]);
    assert!(!list.out.contains("bob"), "the older state was meant");
}

#[test]
fn a_damaged_snapshot_is_stepped_over_and_told() {
    let vault = Vault::founded();
    vault.run(&["principal", "create", "bob"]).expect(0, &[]);
    vault.run(&["principal", "create", "carl"]).expect(0, &[]);
    let mut blobs = vault.blobs("data/store");
    assert_eq!(blobs.len(), 4, "a snapshot of each command");
    let newest = |path: &std::path::PathBuf| {
        fs::metadata(path)
            .expect("there")
            .modified()
            .expect("a time")
    };
    blobs.sort_by_key(newest);
    let second = &blobs[2];
    let mut bytes = fs::read(second).expect("read");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(second, bytes).expect("written");
    lose(&vault, "data/catalog.sqlite");
    vault.run(&["recover"]).expect(
        1,
        &[
            "snapshots that do not authenticate: [2]",
            "1 commits that no snapshot holds",
        ],
    );
    let list = vault
        .run(&["principal", "list"])
        .expect(0, &["ana", "carl"]);
    assert!(!list.out.contains("bob"));
}

#[test]
fn a_store_that_lost_its_newest_snapshot_is_found_out_by_the_log() {
    let vault = Vault::founded();
    let old = vault.blobs("data/store");
    vault.run(&["principal", "create", "bob"]).expect(0, &[]);
    for blob in vault.blobs("data/store") {
        if !old.contains(&blob) {
            fs::remove_file(blob).expect("removed");
        }
    }
    lose(&vault, "data/catalog.sqlite");
    vault.run(&["recover"]).expect(
        1,
        &[
            "the log of this machine has 1 change after the newest snapshot",
            "cannot be proved",
        ],
    );
}

#[test]
fn another_key_ring_recovers_nothing() {
    let (vault, other) = (Vault::founded(), Vault::founded());
    fs::remove_dir_all(vault.path("data/store")).expect("removed");
    fs::rename(other.path("data/store"), vault.path("data/store")).expect("moved");
    lose(&vault, "data/catalog.sqlite");
    vault.run(&["recover"]).expect(
        1,
        &[
            "no snapshot was found: another key ring",
            "nothing was written",
        ],
    );
    assert!(
        !vault.path("data/catalog.sqlite").exists(),
        "an empty one would be served"
    );
}

#[test]
fn blobs_that_the_store_lost_are_found() {
    let vault = Vault::nothing();
    fs::write(vault.path("kluis.toml"), DEMO).expect("written");
    let mut demo = kluis();
    demo.arg("demo")
        .arg("--dir")
        .arg(vault.dir())
        .args(["--listen", "127.0.0.1:0"]);
    let running = start(demo, "It serves until you press");
    running.stop();
    lose(&vault, "catalog.sqlite");
    vault
        .run(&["recover"])
        .expect(0, &["blobs that are missing        0"]);
    vault
        .run(&["doctor"])
        .expect(0, &["the one dataset has its key"]);
    let largest = vault
        .blobs("store")
        .into_iter()
        .max_by_key(|path| fs::metadata(path).expect("there").len())
        .expect("a blob");
    fs::remove_file(largest).expect("removed");
    lose(&vault, "catalog.sqlite");
    vault.run(&["recover"]).expect(
        1,
        &[
            "blobs that are missing        1",
            "missing: blobs of 1 objects or parts in demo/wdbc",
        ],
    );
}
