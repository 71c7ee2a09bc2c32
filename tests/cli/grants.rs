//! Grants on the vault's host, from a proposal to its end. The configuration says openly that the
//! host may act in the name that it gives (`policy.host_approves`).

use crate::Vault;

/// A vault with a dataset and people, on whose host an owner's name is enough.
fn house() -> Vault {
    let vault = Vault::founded();
    let file = vault.path("kluis.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    let line = |line: &str| {
        if line.contains("host_approves =") {
            "host_approves = true".to_owned()
        } else {
            line.to_owned()
        }
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    assert!(lines.contains(&"host_approves = true".to_owned()), "{text}");
    std::fs::write(&file, lines.join("\n") + "\n").expect("written");
    for person in ["bob", "carl"] {
        vault.run(&["principal", "create", person]).expect(0, &[]);
    }
    vault
        .run(&["dataset", "create", "icu/ecg", "--creator", "ana"])
        .expect(0, &["icu--ecg"]);
    vault
}

/// A grant to bob that somebody proposes: its id.
fn proposed(vault: &Vault, proposer: &str) -> String {
    let rests = ["--purpose", "test:cli", "--permit", "P-9"];
    let ends = ["--expires", "2199-12-31", "--proposer", proposer];
    let to = ["grant", "create", "icu", "--to", "bob", "--role", "reader"];
    let of = ["--dataset", "ecg", "--network", "10.12.0.0/16"];
    let told = vault.run(&[&to[..], &of, &rests, &ends].concat());
    let told = told.expect(0, &["it gives nothing until an owner approves it", "hint:"]);
    told.out.lines().nth(1).expect("an id").to_owned()
}

/// The value that `grant show` gives a name.
fn shown(vault: &Vault, id: &str, name: &str) -> String {
    let told = vault
        .run(&["--json", "grant", "show", "icu", id])
        .expect(0, &[]);
    let value: serde_json::Value = serde_json::from_str(&told.out).expect("one line of JSON");
    value[name].as_str().unwrap_or_default().to_owned()
}

/// Whether bob may read, and why not.
fn reads(vault: &Vault, code: i32, why: &str) {
    let who = ["policy", "explain", "--principal", "bob"];
    let what = ["--action", "object.read", "--dataset", "icu/ecg"];
    let from = ["--key", "a", "--from", "10.12.0.9"];
    vault
        .run(&[&who[..], &what, &from].concat())
        .expect(code, &[why]);
}

#[test]
fn a_proposal_gives_nothing_until_an_owner_approves_it() {
    let vault = house();
    let id = proposed(&vault, "bob");
    assert_eq!(shown(&vault, &id, "standing"), "proposed");
    reads(&vault, 1, "approval");
    vault.run(&["grant", "show", "icu", &id]).expect(
        0,
        &["bob", "reader", "ecg", "10.12.0.0/16", "P-9", "test:cli"],
    );
    let approve = |who: &str| vault.run(&["grant", "approve", "icu", &id, "--approver", who]);
    // Neither who gets it, nor who holds nothing, nor nobody.
    for (who, why) in [
        ("bob", "the approver may not manage grants here"),
        ("carl", "the approver may not manage grants here"),
    ] {
        approve(who).expect(1, &[why]);
    }
    approve("nobody").expect(1, &[]);
    vault.run(&["grant", "approve", "icu", &id]).expect(2, &[]);
    reads(&vault, 1, "approval");
    approve("ana").expect(0, &["is in force"]);
    assert_eq!(shown(&vault, &id, "approver"), "ana");
    assert_eq!(shown(&vault, &id, "standing"), "in force");
    reads(&vault, 0, "permit: P-9");
    approve("ana").expect(1, &[]);
    let log = vault.run(&["audit", "tail", "-n", "100"]);
    log.expect(0, &["grant approve", "refused"]);
    // Of another project, or none: no such grant.
    vault
        .run(&["grant", "show", "icu", &"0".repeat(32)])
        .expect(1, &["no such grant"]);
    vault
        .run(&["grant", "withdraw", "icu", &id])
        .expect(0, &["withdrawn"]);
    reads(&vault, 1, "denied");
}

#[test]
fn az_9_a_review_shows_each_grant_and_an_owner_confirms() {
    let vault = house();
    let id = proposed(&vault, "carl");
    let confirm = |who: &str| {
        let words = ["--json", "grant", "review", "icu", "--confirm", &id];
        vault.run(&[&words[..], &["--approver", who]].concat())
    };
    // A proposal is no grant yet: there is nothing to confirm.
    assert_ne!(confirm("ana").code, 0);
    vault
        .run(&["grant", "approve", "icu", &id, "--approver", "ana"])
        .expect(0, &["is in force"]);
    vault
        .run(&["grant", "review", "icu"])
        .expect(0, &["LAST_USED", "LAPSES", &id, "bob", "never"]);
    let lapses = |told: &str| -> String {
        let line = told
            .lines()
            .find(|line| line.contains(&id))
            .expect("a line");
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["lapses"].as_str().expect("a time").to_owned()
    };
    let review = || {
        let told = vault
            .run(&["--json", "grant", "review", "icu"])
            .expect(0, &[]);
        lapses(&told.out)
    };
    let before = review();
    confirm("bob").expect(1, &["the approver may not manage grants here"]);
    confirm("carl").expect(1, &[]);
    assert_eq!(review(), before, "nobody who may confirmed it");
    confirm("ana").expect(0, &[]);
    assert!(review() > before, "it lapses a year from now");
    let alone = ["grant", "review", "icu", "--confirm", &id];
    vault.run(&alone).expect(2, &["--approver"]);
    let log = vault.run(&["audit", "tail", "-n", "100"]);
    log.expect(0, &["grant review"]);
}
