//! On the vault's host nobody acts in an owner's name; the demo's owner signs, too.

use serde_json::Value;

use crate::beside::start;
use crate::owner::{Far, RESTS, id, port, words};
use crate::{Told, Vault, kluis};

#[test]
fn az_3_on_the_host_nobody_acts_in_an_owners_name() {
    let far = Far::founded();
    let reads = id(&far.grant("ana", "rob", "reader", &[]).expect(0, &[]));
    let host = |line: &str, more: &[&str]| far.vault.run(&words(line, more));
    let asked = host(
        "grant create icu --to rob --role contributor --dataset ecg --proposer rob",
        &RESTS,
    );
    let asked = id(&asked.expect(0, &["an owner runs `kluis grant approve icu"]));
    let before = far.vault.run(&["grant", "list", "icu", "--json"]).out;
    let grant = "grant create icu --to stan --role reader --approver ana";
    let defaults = "project defaults icu --label internal --source s --basis b --days 9 --by ana";
    let commands = [
        (grant.to_owned(), "--approver ana", &RESTS[..]),
        (
            format!("grant approve icu {asked} --approver ana"),
            "--approver ana",
            &[],
        ),
        (
            format!("grant review icu --confirm {reads} --approver ana"),
            "--approver ana",
            &[],
        ),
        (
            "dataset set icu/ecg --source s --by ana".to_owned(),
            "--by ana",
            &[],
        ),
        (
            "dataset publish icu/ecg --publisher ana".to_owned(),
            "--publisher ana",
            &[],
        ),
        (
            "dataset create icu/new --creator ana --source s".to_owned(),
            "--creator ana",
            &[],
        ),
        (defaults.to_owned(), "--by ana", &[]),
    ];
    for (line, flag, more) in commands {
        let hint =
            format!("hint: she runs the same without `{flag}` and with `--credentials FILE`");
        let told = host(&line, more).expect(1, &["nobody acts in another's name", &hint]);
        assert_eq!(told.out, "", "{line}");
    }
    assert_eq!(
        far.vault.run(&["grant", "list", "icu", "--json"]).out,
        before
    );
    // A denial falls on an owner's word alone; what allows may go.
    let deny = [
        "grant", "create", "icu", "--to", "stan", "--role", "reader", "--deny",
    ];
    let denial = id(&far
        .by("ana", &deny)
        .expect(0, &["stan may not read objects"]));
    host(&format!("grant withdraw icu {denial} --approver ana"), &[]).expect(1, &["she signs"]);
    host(&format!("grant withdraw icu {denial}"), &[]).expect(1, &[]);
    host(&format!("grant withdraw icu {reads}"), &[]).expect(0, &["is withdrawn"]);
}

#[test]
fn the_demos_owner_signs_as_any_owner_does() {
    let desk = tempfile::tempdir().expect("a directory");
    let dir = desk.path().join("demo");
    let mut demo = kluis();
    let listen = format!("127.0.0.1:{}", port());
    demo.current_dir(desk.path());
    demo.args(["demo", "--dir", "demo", "--listen", &listen]);
    // The show ends with lines to paste; those of kluis are pasted here.
    let running = start(demo, "audit tail");
    let run = |args: &[&str]| {
        let output = kluis().current_dir(&dir).args(args).output();
        Told::of(&output.expect("it runs"))
    };
    run(&["grant", "list", "demo", "--credentials", "owner.env"])
        .expect(0, &["ruben", "job-1", "anna", "in force"]);
    run(&[
        "audit",
        "tail",
        "--project",
        "demo",
        "--credentials",
        "auditor.env",
    ])
    .expect(0, &["GetObject"]);
    let log = run(&["audit", "show", "--action", "grant.manage", "--json"]).expect(0, &[]);
    let records: Vec<Value> = log
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let by = |how: &str| {
        let made = records.iter().filter(|r| r["auth"]["method"] == how);
        made.filter(|r| {
            r["query"]
                .as_str()
                .unwrap_or_default()
                .starts_with("grant=")
        })
        .count()
    };
    assert_eq!((by("local"), by("sigv4-header")), (1, 3), "{}", log.out);
    run(&[
        "grant",
        "create",
        "demo",
        "--to",
        "stan",
        "--role",
        "owner",
        "--approver",
        "olivia",
    ])
    .expect(1, &["nobody acts in another's name"]);
    drop(running);
}

#[test]
fn what_is_demanded_of_a_sign_in_is_shown_and_stays_until_nothing_is_said() {
    let vault = Vault::founded();
    let demand = |more: &[&str]| vault.run(&[&["project", "demand", "icu"], more].concat());
    let shown = || demand(&["--json"]).expect(0, &[]).out;
    let nothing =
        "{\"acr\":\"any\",\"amr\":\"any\",\"demanded_of\":\"nobody\",\"project\":\"icu\"}\n";
    assert_eq!(shown(), nothing);
    demand(&[]).expect(0, &["nobody"]);
    demand(&[
        "--acr",
        "https://refeds.org/profile/mfa",
        "--amr",
        "otp",
        "--amr",
        "pwd",
    ])
    .expect(0, &[]);
    let all = ["everybody", "https://refeds.org/profile/mfa", "otp,pwd"];
    let before = shown();
    assert_ne!(before, nothing);
    demand(&[]).expect(0, &all);
    vault.run(&["project", "show", "icu"]).expect(0, &all);
    vault
        .run(&["project", "show", "icu", "--json"])
        .expect(0, &all);
    // Neither looking nor half an option changes it.
    for (code, bad) in [
        (2, &["--log-only"][..]),
        (2, &["--nothing", "--acr", "x"]),
        (2, &["--nothing", "--amr", "x"]),
        (2, &["--nothing", "--log-only"]),
        (1, &["--acr", ""]),
        (1, &["--amr", "a,b"]),
    ] {
        demand(bad).expect(code, &[]);
        assert_eq!(shown(), before, "{bad:?}");
    }
    let unknown = ["project", "demand", "nosuch"];
    vault.run(&unknown).expect(1, &["nosuch"]);
    vault
        .run(&[&unknown[..], &["--nothing"]].concat())
        .expect(1, &["no such project"]);
    demand(&["--amr", "mfa", "--log-only"]).expect(0, &[]);
    demand(&[]).expect(0, &["who reads the log", "mfa", "any"]);
    demand(&["--nothing"]).expect(0, &["nothing is demanded any more"]);
    assert_eq!(shown(), nothing);
    let told = vault
        .run(&["project", "show", "icu", "--json"])
        .expect(0, &[]);
    assert!(!told.out.contains("demanded_of"), "{}", told.out);
}
