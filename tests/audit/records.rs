//! One record proved by its event's id, and checked by whoever never saw the vault.

use super::bundles::filled;
use super::{Vault, audit, told};

const HERS: [&str; 4] = ["--project", "icu", "--auditor", "tess"];

impl Vault {
    /// The events of a project whose lines say `text`, as an export tells them.
    fn events(&self, text: &str) -> Vec<String> {
        let asks = [&["export", "--form", "json"], &HERS[..]].concat();
        let lines = told(&self.audit(&asks), 0, "");
        let lines = lines.lines().filter(|line| line.contains(text));
        let id = |line: &str| {
            let id = line.split("\"event_id\":\"").nth(1).expect("an event");
            id[..36].to_owned()
        };
        lines.map(id).collect()
    }

    /// The proof of a record in a file, with its text.
    fn proof(&self, event: &str, more: &[&str]) -> (String, String) {
        let asks = [&["prove", "event", event], &HERS[..], more].concat();
        let proof = told(&self.audit(&asks), 0, "c2sp.org/tlog-proof@v1\nextra ");
        let path = self.text("record.tlog-proof");
        std::fs::write(&path, &proof).expect("written");
        (path, proof)
    }
}

#[test]
fn a_record_is_proved_by_its_event_and_checked_by_a_stranger() {
    let vault = filled();
    let key = vault.key();
    let event = &vault.events("\"dataset\":\"ecg\"")[0];
    let (path, proof) = vault.proof(event, &[]);
    let verify = ["verify-record", &path, "--log", &key];
    let record = told(&audit(&verify), 0, "the record is in entry");
    assert!(
        record.contains(event) && record.contains("\"dataset\":\"ecg\""),
        "{record}"
    );
    // Nothing else of the project is told.
    assert!(!record.contains("mri"), "{record}");
    let (end, _) = vault.proof(event, &["--end"]);
    let record = told(&audit(&["verify-record", &end, "--log", &key]), 0, "");
    assert!(record.contains(event), "{record}");
    // Each bent line is refused.
    let lines: Vec<&str> = proof.lines().collect();
    for at in 1..lines.len() {
        let mut bent = lines.clone();
        let other = lines[at].replacen(['b', 'Q', '1'], "x", 1);
        if other == lines[at] {
            continue;
        }
        bent[at] = &other;
        std::fs::write(&path, bent.join("\n") + "\n").expect("written");
        told(&audit(&verify), 1, "");
    }
    // Another log's key, and a proof of an entry alone.
    let stranger = Vault::founded();
    let foreign = stranger.key();
    std::fs::write(&path, &proof).expect("written");
    told(
        &audit(&["verify-record", &path, "--log", &foreign]),
        1,
        "not trusted",
    );
    let log = vault.text("data/log");
    let entry = told(&audit(&["prove", "inclusion", &log, "--entry", "0"]), 0, "");
    std::fs::write(&path, entry).expect("written");
    told(&audit(&verify), 1, "not the proof of a record");
}

#[test]
fn nobody_gets_the_proof_of_a_record_that_is_not_hers() {
    let vault = filled();
    vault.kluis(&["project", "create", "onco", "--owner", "bas"], "onco");
    vault.serves_once();
    let lines = told(
        &vault.audit(&["export", "--form", "json", "--vault"]),
        0,
        "",
    );
    let line = lines
        .lines()
        .find(|line| line.contains("\"project\":\"onco\""));
    let line = line.expect("a request of another project");
    let event = &line.split("\"event_id\":\"").nth(1).expect("an event")[..36];
    let asks = [&["prove", "event", event], &HERS[..]].concat();
    told(&vault.audit(&asks), 1, "no such record");
    let theirs = [
        "prove",
        "event",
        event,
        "--project",
        "onco",
        "--auditor",
        "tess",
    ];
    told(&vault.audit(&theirs), 1, "no grant to read this log");
    told(
        &vault.audit(&["prove", "event", event, "--vault"]),
        0,
        "c2sp.org/tlog-proof@v1",
    );
    told(&vault.audit(&["prove", "event", event]), 2, "--project");
    told(
        &vault.audit(&["prove", "event", "none", "--vault"]),
        2,
        "none",
    );
}

/// The records are in volumes, and the journal has let them go.
#[test]
fn a_record_that_the_journal_let_go_is_proved_from_the_volumes() {
    let vault = filled();
    let key = vault.key();
    let event = vault.events("\"dataset\":\"ecg\"").remove(0);
    for _ in 0..3 {
        vault.serves_once();
        vault.ships();
    }
    vault.lets_go();
    let (path, _) = vault.proof(&event, &[]);
    let verify = ["verify-record", &path, "--log", &key];
    assert!(told(&audit(&verify), 0, "the record is in entry").contains(&event));
}
