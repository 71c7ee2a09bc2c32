//! Keys as an operator handles them: what there is, replacing it, copies of it, a drill.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::Vault;

fn lines(told: &str) -> Vec<serde_json::Value> {
    let lines = told.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Files of datasets' keys below a directory.
fn keys(vault: &Vault, dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = vec![vault.path(dir).join("datasets")];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).expect("read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.file_name().expect("a name");
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Begins a copy of the keys in `copy`, and has it kept.
fn copy(vault: &Vault) {
    let to = vault.path("copy");
    let to = to.to_str().expect("a path");
    vault.run(&["key", "copy", to]).expect(0, &["keys.copies"]);
    vault.edit("[keys]\n", "[keys]\ncopies = [\"copy\"]\n");
}

#[test]
fn keys_are_listed_replaced_and_copied() {
    let vault = Vault::founded();
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &[]);
    vault.run(&["principal", "create", "ola"]).expect(0, &[]);
    let owner = ["dataset", "set", "icu/ecg", "--by", "ana", "--owner", "ola"];
    vault.run(&owner).expect(0, &[]);
    copy(&vault);
    let copied = keys(&vault, "copy");
    assert_eq!((copied.len(), &copied), (1, &keys(&vault, "data/keys")));
    let told = vault.run(&["key", "inventory", "--json"]).expect(0, &[]);
    let listed = lines(&told.out);
    let of = |name: &str| listed.iter().find(|row| row["of"] == name).cloned();
    let dataset = of("icu/ecg").expect("the dataset's key");
    assert_eq!(
        (dataset["version"].as_u64(), dataset["owner"].as_str()),
        (Some(1), Some("ola"))
    );
    assert_eq!(dataset["algorithm"], "AES-256-GCM");
    for key in ["root", "ring", "journal", "log", "publisher", "snapshots"] {
        assert!(listed.iter().any(|row| row["key"] == key), "{key}");
    }
    assert!(!told.out.contains("AGE-SECRET"));

    vault
        .run(&["key", "rotate", "icu/ecg"])
        .expect(0, &["rotate", "take a new one"]);
    assert_eq!(keys(&vault, "data/keys"), ["2.key"]);
    assert_eq!(keys(&vault, "copy"), ["2.key"]);
    let told = vault.run(&["key", "inventory", "--json"]).expect(0, &[]);
    let rotated = lines(&told.out);
    let dataset = rotated
        .iter()
        .find(|row| row["of"] == "icu/ecg")
        .expect("it");
    assert_eq!(dataset["version"], 2);
    assert!(!dataset["rotated"].as_str().expect("a time").is_empty());
    let works = vault.run(&["key", "works", "--json"]).expect(0, &[]);
    let work = lines(&works.out)[0]["work"]
        .as_str()
        .expect("an id")
        .to_owned();
    vault
        .run(&["key", "certificate", &work])
        .expect(1, &["no such certificate"]);
    vault.run(&["key", "rotate", "icu/none"]).expect(1, &[]);
    vault
        .run(&["key", "erase", "icu", &work])
        .expect(1, &["no such approval"]);
    vault
        .run(&["doctor"])
        .expect(0, &["the copy of the keys is whole"]);

    // The copy is away: what is there stays readable, nothing is made, and it is told.
    fs::rename(vault.path("copy"), vault.path("away")).expect("moved");
    vault
        .run(&["key", "rotate", "icu/ecg"])
        .expect(3, &["copy"]);
    vault
        .run(&["dataset", "create", "icu/mri", "--creator", "ana"])
        .expect(3, &["copy"]);
    vault.run(&["doctor"]).expect(1, &["is its disk mounted"]);
    fs::rename(vault.path("away"), vault.path("copy")).expect("moved back");
    vault.run(&["key", "resume"]).expect(0, &[]);
    vault.run(&["key", "rotate", "icu/ecg"]).expect(0, &[]);
    vault.run(&["doctor"]).expect(0, &[]);
}

#[test]
fn a_drill_restores_elsewhere_and_tells_how_long_it_took() {
    let vault = Vault::founded();
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &[]);
    copy(&vault);
    let before = fs::read(vault.path("data/catalog.sqlite")).expect("read");
    let into = vault.path("drill");
    let into = into.to_str().expect("a path");
    let told = vault
        .run(&["drill", "--into", into, "--json"])
        .expect(0, &[]);
    let told: serde_json::Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(told["datasets"], 1, "{told}");
    assert_eq!(
        (&told["broken"], &told["log_damages"]),
        (&0.into(), &0.into()),
        "{told}"
    );
    assert_eq!(told["catalog_whole"], true, "{told}");
    assert!(told["rpo_ms"].is_u64() && told["rto_ms"].is_u64(), "{told}");
    let after = fs::read(vault.path("data/catalog.sqlite")).expect("read");
    assert!(before == after, "the vault that serves is left alone");
    vault
        .run(&["drill", "--into", into])
        .expect(2, &["holds something already"]);
    // Without the key of its dataset a restore is none.
    for name in keys(&vault, "copy") {
        fs::remove_file(vault.path("copy").join("datasets").join(name)).expect("removed");
    }
    let again = vault.path("again");
    let again = again.to_str().expect("a path");
    let copy = vault.path("none");
    fs::create_dir(&copy).expect("made");
    let copy = copy.to_str().expect("a path");
    vault
        .run(&["drill", "--into", again, "--keys", copy])
        .expect(2, &[]);
}

#[test]
fn a_drill_takes_no_directory_that_others_can_write() {
    let vault = Vault::founded();
    let open = vault.path("open");
    fs::create_dir(&open).expect("made");
    for mode in [0o777, 0o770, 0o1777] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(&open, mode).expect("a mode");
        vault
            .run(&["drill", "--into", open.to_str().expect("a path")])
            .expect(2, &["where others may write"]);
    }
    let link = vault.path("link");
    std::os::unix::fs::symlink(vault.path("data"), &link).expect("a link");
    vault
        .run(&["drill", "--into", link.to_str().expect("a path")])
        .expect(2, &["a link"]);
    assert!(fs::read_dir(&open).expect("read").next().is_none());
}

#[test]
fn a_changed_root_opens_the_vault_and_the_old_one_does_not() {
    let vault = Vault::founded();
    let new = vault.path("new-root.age");
    let to = new.to_str().expect("a path");
    vault
        .run(&["key", "change-root", "--to", to])
        .expect(0, &["keys.identity"]);
    vault
        .run(&["principal", "create", "bob"])
        .expect(2, &["does not open this key ring"]);
    // Running it again ends what may have been cut short.
    vault
        .run(&["key", "change-root", "--to", to])
        .expect(0, &[]);
    vault.edit("# identity = \"root.age\"", "identity = \"new-root.age\"");
    vault.run(&["principal", "create", "bob"]).expect(0, &[]);
    vault.run(&["doctor"]).expect(0, &["opens the key ring"]);
    let told = vault.run(&["key", "inventory", "--json"]).expect(0, &[]);
    let listed = lines(&told.out);
    let version = |key: &str| {
        let row = listed.iter().find(|row| row["key"] == key);
        let row = row.expect(key);
        (row["version"].clone(), row["rotated"] == row["since"])
    };
    assert_eq!(version("root"), (2.into(), true), "counted once");
    assert_eq!(version("ring"), (1.into(), false));
}

#[test]
fn the_keys_of_a_deleted_dataset_stay_and_are_named() {
    let vault = Vault::founded();
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &[]);
    copy(&vault);
    vault.run(&["dataset", "delete", "icu/ecg"]).expect(
        0,
        &[
            "is deleted; its keys stay",
            "kluis approval ask erase icu/ecg what=deleted",
        ],
    );
    vault.run(&["key", "resume"]).expect(0, &[]);
    for dir in ["data/keys", "copy"] {
        assert_eq!(keys(&vault, dir).len(), 1, "{dir}");
    }
    vault
        .run(&["key", "inventory"])
        .expect(0, &["icu/ecg (deleted 2"]);
    // The next of its name has its own.
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &[]);
    assert_eq!(keys(&vault, "copy").len(), 2);
    vault.run(&["doctor"]).expect(0, &[]);
}
