//! On the vault's host nobody acts in an owner's name; the demo's owner signs, too.

use serde_json::Value;

use crate::beside::start;
use crate::owner::{Far, RESTS, id, port, words};
use crate::{Told, kluis};

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
