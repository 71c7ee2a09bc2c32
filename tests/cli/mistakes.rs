//! The usual mistakes: each is told in one line, with a way to mend it and its exit code, and
//! changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use kluis::keyring::{RootIdentity, ScryptWork};
use kluis::types::SecretText;

use crate::{Vault, run};

#[test]
fn a_second_init_changes_nothing() {
    let vault = Vault::founded();
    let before = fs::read(vault.path("root.age")).expect("read");
    let dir = vault.dir().to_str().expect("a path");
    run(&["init", "--dir", dir]).expect(
        2,
        &["is there already, nothing was changed", "kluis: hint:"],
    );
    fs::remove_file(vault.path("kluis.toml")).expect("removed");
    run(&["init", "--dir", dir]).expect(2, &["root.age is there already", "move it away"]);
    assert_eq!(fs::read(vault.path("root.age")).expect("read"), before);
    assert!(!vault.path("kluis.toml").exists());
}

#[test]
fn init_where_nothing_can_be_made_leaves_nothing() {
    let vault = Vault::nothing();
    fs::write(vault.path("file"), "").expect("written");
    let dir = vault.path("file").join("vault");
    run(&["init", "--dir", dir.to_str().expect("a path")])
        .expect(2, &["cannot make", "hint: check that the directory exists"]);
    assert_eq!(fs::read(vault.path("file")).expect("read"), b"");
}

/// An identity that no vault knows would keep the next `init` from making one.
#[test]
fn init_that_fails_midway_leaves_nothing_and_is_run_again() {
    // SQLite cannot make its log where a directory is; no file is made through a link to nowhere.
    type Fault = fn(&Vault);
    let faults: [(&str, Fault, Fault); 2] = [
        (
            "catalog",
            |vault| fs::create_dir_all(vault.path("v/data/catalog.sqlite-wal/x")).expect("made"),
            |vault| fs::remove_dir_all(vault.path("v/data")).expect("removed"),
        ),
        (
            "kluis.toml",
            |vault| {
                fs::create_dir(vault.path("v")).expect("made");
                std::os::unix::fs::symlink("nowhere/x", vault.path("v/kluis.toml")).expect("made");
            },
            |vault| fs::remove_file(vault.path("v/kluis.toml")).expect("removed"),
        ),
    ];
    for (what, fault, mend) in faults {
        let vault = Vault::nothing();
        fault(&vault);
        let dir = vault.path("v");
        let dir = dir.to_str().expect("a path");
        let found = || {
            let mut found = Vec::new();
            let mut left = vec![vault.path("v")];
            while let Some(dir) = left.pop() {
                for entry in fs::read_dir(dir).expect("read") {
                    let path = entry.expect("an entry").path();
                    found.push(path.clone());
                    if path.is_dir() {
                        left.push(path);
                    }
                }
            }
            found.sort();
            found
        };
        let before = found();
        let init = ["init", "--dir", dir, "--project", "icu", "--owner", "ana"];
        let told = run(&init);
        assert_ne!(told.code, 0, "{what}: {}", told.err);
        assert!(
            told.err.contains("nothing of what was begun is left"),
            "{what}: {}",
            told.err
        );
        assert_eq!(found(), before, "{what}");
        mend(&vault);
        run(&init).expect(0, &["back up"]);
        assert!(vault.path("v/root.age").exists(), "{what}");
    }
}

/// What was there before an `init` that failed is there after it.
#[test]
fn init_that_fails_takes_nothing_away_that_it_did_not_make() {
    let vault = Vault::nothing();
    fs::create_dir_all(vault.path("v/data/keys")).expect("made");
    fs::write(vault.path("v/data/keys/ring.age"), "another's").expect("written");
    fs::write(vault.path("v/notes"), "mine").expect("written");
    let dir = vault.path("v");
    let dir = dir.to_str().expect("a path");
    run(&["init", "--dir", dir]).expect(2, &["ring.age", "nothing is overwritten"]);
    for (name, text) in [("data/keys/ring.age", "another's"), ("notes", "mine")] {
        let path = vault.path("v").join(name);
        assert_eq!(fs::read_to_string(path).expect("read"), text);
    }
    assert!(!vault.path("v/root.age").exists());
}

#[test]
fn an_owner_who_may_be_a_slip_of_the_pen_is_not_made() {
    let vault = Vault::founded();
    let create = |name: &str, more: &[&str]| {
        let line = ["project", "create", name, "--owner"];
        vault.run(&[&line[..], more].concat())
    };
    create("lab", &["laura.smit"]).expect(
        0,
        &["laura.smit was not known: this made the person laura.smit"],
    );
    create("lab-2", &["laura.smith"]).expect(
        2,
        &[
            "nobody called laura.smith; did you mean laura.smit?",
            "--new-owner",
        ],
    );
    let all = vault.run(&["principal", "list"]).expect(0, &["laura.smit"]);
    assert!(!all.out.contains("laura.smith"), "{}", all.out);
    let projects = vault.run(&["project", "list"]).expect(0, &["lab"]);
    assert!(!projects.out.contains("lab-2"), "{}", projects.out);
    let known = create("lab-2", &["laura.smit"]).expect(0, &["laura.smit owns it"]);
    assert!(!known.err.contains("was not known"), "{}", known.err);
    create("lab-3", &["laura.smith", "--new-owner"])
        .expect(0, &["this made the person laura.smith"]);
}

#[test]
fn configuration() {
    let vault = Vault::founded();
    vault.edit("[server]", "[server]\nregoin = \"x\"");
    let texts = [
        "unknown key `server.regoin`",
        "server.region",
        "kluis: hint:",
    ];
    vault.run(&["project", "list"]).expect(2, &texts);
    vault
        .run(&["doctor"])
        .expect(1, &["fail  config", "server.regoin"]);
    let nowhere = Vault::nothing();
    nowhere.run(&["serve"]).expect(
        2,
        &[
            "cannot read the configuration",
            "hint: `kluis init` makes one",
        ],
    );
}

#[test]
fn keys_that_do_not_open() {
    let vault = Vault::founded();
    let identity = vault.path("root.age");
    let act = ["principal", "create", "x"];
    let root = RootIdentity::from_file(&identity, None).unwrap_or_else(|e| panic!("{e}"));
    fs::remove_file(&identity).expect("removed");
    vault.run(&act).expect(
        2,
        &["could not read the key file", "hint: restore root.age"],
    );
    vault
        .run(&["doctor"])
        .expect(1, &["fail  keys", "mend: restore root.age"]);
    let passphrase = SecretText::new("canary passphrase".to_owned());
    let work = ScryptWork::log2(2).expect("some work");
    root.to_file(&identity, Some(&passphrase), work)
        .unwrap_or_else(|e| panic!("{e}"));
    vault
        .run(&act)
        .expect(2, &["has a passphrase", "hint: set KLUIS_PASSPHRASE"]);
    let with = |given: &str| {
        let output = vault.command(&act).env("KLUIS_PASSPHRASE", given).output();
        crate::Told::of(&output.expect("it runs"))
    };
    with("wrong canary").expect(
        2,
        &[
            "the passphrase does not open",
            "hint: check KLUIS_PASSPHRASE",
        ],
    );
    with("canary passphrase").expect(0, &["person"]);
    let told = vault.run(&["audit", "tail"]).expect(2, &[]);
    assert!(!told.err.contains("canary"));
    let other = Vault::founded();
    fs::remove_file(&identity).expect("removed");
    fs::copy(other.path("root.age"), &identity).expect("copied");
    vault.run(&act).expect(2, &["does not open this key ring"]);
}

#[test]
fn secrets_that_others_can_read() {
    let vault = Vault::founded();
    let open = |name: &str, mode| {
        fs::set_permissions(vault.path(name), fs::Permissions::from_mode(mode)).expect("set");
    };
    open("data/keys", 0o755);
    vault
        .run(&["principal", "create", "x"])
        .expect(2, &["every user of this machine may enter", "chmod o-rwx"]);
    open("data/keys", 0o700);
    open("root.age", 0o644);
    vault
        .run(&["doctor"])
        .expect(1, &["fail  keys", "mode 644", "mend: chmod 600"]);
}

#[test]
fn store_and_catalog_that_are_not_there() {
    let vault = Vault::founded();
    fs::rename(vault.path("data/store"), vault.path("elsewhere")).expect("moved");
    let act = ["principal", "create", "x"];
    vault.run(&act).expect(
        2,
        &[
            "the directory of the store is not there",
            "hint: is its disk mounted",
        ],
    );
    vault
        .run(&["serve"])
        .expect(2, &["hint: is its disk mounted"]);
    vault.run(&["doctor"]).expect(1, &["fail  store"]);
    assert!(
        !vault.path("data/store").exists(),
        "none is made in its place"
    );
    fs::rename(vault.path("elsewhere"), vault.path("data/store")).expect("moved");
    fs::remove_file(vault.path("data/catalog.sqlite")).expect("removed");
    for args in [&act[..], &["serve"], &["project", "list"]] {
        vault
            .run(args)
            .expect(2, &["the catalog is not there", "`kluis recover` rebuilds"]);
    }
    vault
        .run(&["doctor"])
        .expect(1, &["fail  catalog", "mend: `kluis recover`"]);
    assert!(
        !vault.path("data/catalog.sqlite").exists(),
        "none is made in its place"
    );
}

#[test]
fn a_catalog_of_a_newer_version_and_one_that_is_none() {
    let vault = Vault::founded();
    let file = vault.path("data/catalog.sqlite");
    let conn = rusqlite::Connection::open(&file).expect("opened");
    conn.pragma_update(None, "user_version", 99).expect("set");
    drop(conn);
    for args in [
        &["principal", "create", "x"][..],
        &["serve"],
        &["project", "list"],
    ] {
        vault
            .run(args)
            .expect(2, &["schema version 99", "hint: a newer Kluis wrote it"]);
    }
    vault
        .run(&["doctor"])
        .expect(1, &["fail  catalog", "version 99"]);
    fs::write(&file, vec![b'x'; 8192]).expect("written");
    vault
        .run(&["project", "list"])
        .expect(1, &["damaged", "hint: move the file away"]);
    vault.run(&["doctor"]).expect(1, &["fail  catalog"]);
    vault
        .run(&["recover"])
        .expect(2, &["there is a catalog already"]);
}

#[test]
fn a_damaged_journal_is_shown_as_far_as_it_goes() {
    let vault = Vault::founded();
    vault.run(&["principal", "create", "bob"]).expect(0, &[]);
    let lane = fs::read_dir(vault.path("data/journal/admin")).expect("read");
    let mut files: Vec<_> = lane.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "wal"));
    files.sort();
    let first = files.first().expect("a file");
    let mut bytes = fs::read(first).expect("read");
    bytes[5_000] ^= 1;
    fs::write(first, bytes).expect("written");
    let told = vault.run(&["audit", "tail"]);
    let told = told.expect(
        1,
        &["principal=bob", "the journal is damaged at file=admin/0000"],
    );
    assert!(told.err.contains("kluis: error:") && told.err.contains("kluis: hint:"));
    assert!(
        !told.out.contains("damaged"),
        "data is on standard output alone"
    );
    vault
        .run(&["doctor"])
        .expect(1, &["fail  journal", "damaged"]);
}

#[test]
fn names_that_are_not_there_or_there_already() {
    let vault = Vault::founded();
    let cases: [(&[&str], i32, &[&str]); 9] = [
        (
            &["project", "show", "icv"],
            1,
            &["no such project: icv", "hint: `kluis project list`"],
        ),
        (
            &["project", "create", "icu", "--owner", "ana"],
            1,
            &["the project is there already"],
        ),
        (
            &["principal", "create", "ana"],
            1,
            &["the principal is there already"],
        ),
        (
            &["principal", "create", "j", "--acts-for", "zoe"],
            1,
            &["no such principal: zoe"],
        ),
        (
            &["credential", "create", "zoe"],
            1,
            &["no such principal: zoe", "hint: `kluis principal"],
        ),
        (
            &["dataset", "create", "icv/a", "--creator", "ana"],
            1,
            &["no such project: icv"],
        ),
        (
            &["dataset", "delete", "icu/none"],
            1,
            &["no such dataset: icu/none"],
        ),
        (
            &[
                "grant",
                "create",
                "icu",
                "--to",
                "ana",
                "--role",
                "king",
                "--approver",
                "ana",
            ],
            2,
            &["no such role: king", "hint: the policy has these: auditor"],
        ),
        (
            &["credential", "revoke", "KLUS0000000000000000"],
            1,
            &["no such credential"],
        ),
    ];
    for (args, code, texts) in cases {
        let told = vault.run(args).expect(code, texts);
        assert_eq!(told.out, "", "{args:?}");
        assert!(told.err.starts_with("kluis: error: "), "{}", told.err);
    }
}

#[test]
fn a_credential_that_cannot_be_handed_over_is_not_left() {
    let vault = Vault::founded();
    let taken = vault.path("ana.env");
    let before = fs::read(&taken).expect("read");
    vault
        .run(&[
            "credential",
            "create",
            "ana",
            "--output",
            taken.to_str().expect("a path"),
        ])
        .expect(2, &["is there already", "nothing is overwritten"]);
    assert_eq!(fs::read(&taken).expect("read"), before);
    let list = vault.run(&["credential", "list", "ana"]).expect(0, &[]);
    assert_eq!(list.out.lines().count(), 2, "none was made");
    let nowhere = vault.path("no/such/dir.env");
    vault
        .run(&[
            "credential",
            "create",
            "ana",
            "--output",
            nowhere.to_str().expect("a path"),
        ])
        .expect(2, &["cannot write", "the credential was revoked again"]);
    let list = vault.run(&["credential", "list", "ana"]).expect(0, &[]);
    assert_eq!(list.out.lines().count(), 2, "none was left");
}

#[test]
fn a_secret_that_cannot_be_handed_over_leaves_what_was_there() {
    let vault = Vault::founded();
    let set = |url: &str, file: &str, code: i32, texts: &[&str]| {
        let file = vault.path(file);
        let output = file.to_str().expect("a path");
        let asked = ["webhook", "set", "icu", "--url", url, "--output", output];
        vault.run(&asked).expect(code, texts)
    };
    let list = || vault.run(&["webhook", "list", "--json"]).expect(0, &[]).out;
    set("https://a.example/hook", "a.secret", 0, &[]);
    let before = list();
    assert!(before.contains("https://a.example"), "{before}");
    let told = ["cannot write", "nothing was made or changed"];
    set("https://b.example/hook", "no/such/dir.secret", 2, &told);
    assert_eq!(list(), before, "the receiver is the one of before");
    // What is refused leaves no file.
    let nowhere = vault.path("c.secret");
    vault
        .run(&[
            "webhook",
            "set",
            "nowhere",
            "--url",
            "https://c.example",
            "--output",
            nowhere.to_str().expect("a path"),
        ])
        .expect(1, &["no such project"]);
    assert!(!nowhere.exists());
}

#[test]
fn policies_that_are_wrong() {
    let vault = Vault::founded();
    let dir = vault.path("policy");
    fs::create_dir_all(dir.join("roles")).expect("made");
    fs::copy("policies/model.conf", dir.join("model.conf")).expect("copied");
    fs::write(
        dir.join("roles/reader.csv"),
        "p, reader, object.raed, allow\n",
    )
    .expect("written");
    let dir = dir.to_str().expect("a path");
    vault.run(&["policy", "check", dir]).expect(
        1,
        &["roles/reader.csv:1: error: unknown action `object.raed`; did you mean object.read?"],
    );
    vault
        .run(&["policy", "check", "/nonexistent"])
        .expect(2, &["kluis: hint:"]);
    vault.edit("[policy]", &format!("[policy]\ndir = \"{dir}\""));
    vault.run(&["principal", "create", "x"]).expect(
        2,
        &["the policy does not load", "hint: `kluis policy check`"],
    );
    vault.run(&["doctor"]).expect(1, &["fail  policy"]);
    let table = vault.path("t.toml");
    fs::write(&table, "project = 'p'\nnow = '2027-01-01T00:00:00Z'\nexpect = [{ subject = 'a', action = 'object.read', dataset = 'd', is = 'allow' }]").expect("written");
    let table = table.to_str().expect("a path");
    run(&["policy", "test", table]).expect(1, &["expected allow, decided deny", "1 are not"]);
    let grants = "grants = [{ name = 'a reads', subject = 'a', role = 'reader' }]";
    fs::write(table, format!("project = 'p'\nnow = '2027-01-01T00:00:00Z'\n{grants}\nexpect = [{{ subject = 'a', action = 'log.read', is = 'allow' }}]")).expect("written");
    run(&["policy", "test", table]).expect(1, &["`a reads` through role reader"]);
    fs::write(table, "nonsense").expect("written");
    run(&["policy", "test", table]).expect(2, &["t.toml: the table cannot be read"]);
    let example = [
        "policy",
        "test",
        "policies/examples/health/expectations.toml",
        "--dir",
        "policies/examples/health",
    ];
    run(&example).expect(0, &["0 are not"]);
}

#[test]
fn a_dataset_that_is_refused_is_not_made() {
    let vault = Vault::founded();
    let create = |label: &str, end: &str| {
        vault.run(&[
            "dataset",
            "create",
            "icu/ct",
            "--creator",
            "ana",
            "--label",
            label,
            "--source",
            "PACS",
            "--basis",
            "b",
            "--ends",
            end,
        ])
    };
    create("topsecret", "2130-01-01").expect(1, &["no such label"]);
    vault
        .run(&["dataset", "show", "icu/ct"])
        .expect(1, &["no such dataset"]);
    create("internal", "2130-01-01").expect(0, &["icu--ct"]);
    vault
        .run(&["dataset", "describe", "icu/ct"])
        .expect(0, &["internal", "PACS", "2130-01-01"]);
    let again = create("internal", "2130-01-01");
    let again = again.expect(1, &["the dataset is there already"]);
    assert!(!again.err.contains("DatasetExists"), "{}", again.err);
}

#[test]
fn a_demo_does_not_touch_what_it_did_not_make() {
    let vault = Vault::founded();
    let dir = vault.dir().to_str().expect("a path");
    run(&[
        "demo",
        "--headless",
        "--dir",
        dir,
        "--listen",
        "127.0.0.1:0",
    ])
    .expect(2, &["no demo made this", "hint: `kluis serve`"]);
    let told = vault.run(&["project", "list"]).expect(0, &["icu"]);
    assert!(!told.out.contains("demo"), "{}", told.out);
}

/// A key pasted twice, or an enrolment that is repeated, is told with what to do.
#[test]
fn a_node_and_its_key_are_enrolled_once() {
    let vault = Vault::founded();
    let key = |name: &str| {
        let file = vault.path(name);
        let file = file.to_str().expect("a path");
        let at = ["--endpoint", "https://s3.example.org", "--output", file];
        let told = run(&[&["--json", "node", "init", name][..], &at[..]].concat());
        assert_eq!(told.code, 0, "{}", told.err);
        let row: serde_json::Value = serde_json::from_str(&told.out).expect("a row");
        row["key"].as_str().expect("a key").to_owned()
    };
    let (one, two) = (key("gpu-1"), key("gpu-2"));
    let enrol = |name: &str, key: &str| {
        vault.run(&["node", "enrol", name, "--cluster", "hpc1", "--key", key])
    };
    enrol("gpu-1", &one).expect(0, &["gpu-1 is a node of hpc1"]);
    enrol("gpu-2", &one).expect(
        1,
        &[
            "each node has its own",
            "hint: it is the key of gpu-1: `kluis node init gpu-2` on gpu-2",
        ],
    );
    for key in [&one, &two] {
        enrol("gpu-1", key).expect(
            1,
            &["is enrolled already", "`kluis node remove gpu-1` first"],
        );
    }
    let listed = vault.run(&["--json", "node", "list"]).out;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    vault.run(&["node", "remove", "gpu-1"]).expect(0, &[]);
    enrol("gpu-2", &one).expect(0, &["gpu-2 is a node of hpc1"]);
}
