//! A project whose people are under pseudonyms (AU-15): what each command shows to an auditor, and
//! to whoever manages the project's grants too.

use super::bundles::filled;
use super::{Vault, audit, told};

const HERS: [&str; 4] = ["--project", "icu", "--auditor", "tess"];

/// A vault in which ana made datasets of `icu` and looked at it herself; its people are under
/// pseudonyms since.
fn hidden() -> Vault {
    let vault = filled();
    vault.serves_while(|line| {
        let (_, said) = line.split_once("address").expect("an address");
        let (_, at) = said.split_once("127.0.0.1:").expect("a port");
        let digits = at.chars().take_while(char::is_ascii_digit);
        let endpoint = format!("http://127.0.0.1:{}", digits.collect::<String>());
        let env = std::fs::read_to_string(vault.path("ana.env")).expect("read");
        let rest = env
            .lines()
            .filter(|line| !line.starts_with("AWS_ENDPOINT_URL="));
        let rest: Vec<&str> = rest.collect();
        let env = format!("AWS_ENDPOINT_URL={endpoint}\n{}\n", rest.join("\n"));
        // A copy is as little to be read by others.
        std::fs::copy(vault.path("ana.env"), vault.path("served.env")).expect("copied");
        std::fs::write(vault.path("served.env"), env).expect("written");
        let own = vault.text("served.env");
        let mine = ["approval", "list", "icu", "--credentials", &own];
        vault.kluis(&mine, "");
    });
    let on = ["project", "log", "icu", "--pseudonyms", "on"];
    vault.kluis(&on, "on");
    vault.serves_once();
    vault
}

impl Vault {
    fn of_icu(&self, command: &[&str], more: &[&str], code: i32, text: &str) -> String {
        let args = [command, &HERS[..], more].concat();
        told(&self.audit(&args), code, text)
    }
}

#[test]
fn an_auditor_gets_no_name_by_any_command() {
    let vault = hidden();
    let key = vault.key();
    for ship in [false, true] {
        if ship {
            vault.ships();
        }
        for form in ["json", "ocsf", "fhir", "nen7513", "ldv", "csv"] {
            let lines = vault.of_icu(&["export", "--form", form], &[], 0, "p-");
            // People's names stand in quotes, or between them and a colon.
            for name in ["\"ana\"", "\"tess\"", "principal=tess", "\"bo\""] {
                assert!(!lines.contains(name), "{form} {name}: {lines}");
            }
        }
        let replayed = vault.of_icu(&["--json", "replay", "--all"], &[], 0, "");
        assert!(!replayed.contains("\"ana\""), "{replayed}");
    }
    // A record names people, so there is no proof of it for her, and a bundle has leaves alone.
    let all = told(
        &vault.audit(&["export", "--form", "json", "--vault"]),
        0,
        "\"ana\"",
    );
    let line = all.lines().find(|line| line.contains("ListApprovals"));
    let event = line.and_then(|line| line.split("\"event_id\":\"").nth(1));
    let event = &event.expect("an event")[..36];
    vault.of_icu(&["prove", "event", event], &[], 1, "under pseudonyms");
    let out = vault.text("leaves");
    vault.of_icu(&["bundle", "--out", &out], &[], 0, "0 records are in");
    let verify = ["verify", &out, "--log", &key, "--requests"];
    let shown = told(&audit(&verify), 0, "the evidence holds");
    assert!(!shown.contains("ana"), "{shown}");
    for name in ["rows", "sessions", "policies", "bundle.json"] {
        let bytes = std::fs::read(vault.path("leaves").join(name)).expect("read");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("ana") && !text.contains("tess"),
            "{name}: {text}"
        );
    }
}

/// Who holds the key of a pseudonym tries names with it. Under a key that she brings herself, each
/// is found, and by number and event the same rows under the project's own pseudonyms, too.
#[test]
fn an_auditor_hides_people_under_no_key_of_her_own() {
    let vault = hidden();
    let own = vault.text("own.key");
    told(&audit(&["pseudonym", "new", "--out", &own]), 0, "");
    let out = vault.text("own.out");
    for form in ["json", "csv", "fhir"] {
        let ask = ["--form", form, "--pseudonyms", &own];
        vault.of_icu(&["export"], &ask, 1, "under pseudonyms");
        let filed = [&ask[..], &["--out", &out]].concat();
        vault.of_icu(&["export"], &filed, 1, "under pseudonyms");
        assert!(!vault.path("own.out").exists());
    }
    // What she does get is none of hers to resolve.
    let lines = vault.of_icu(&["export", "--form", "json"], &[], 0, "p-");
    let name = lines.split("\"sub\":\"p-").nth(1).expect("a pseudonym");
    let name = format!("p-{}", &name[..26]);
    let names = vault.text("staff");
    std::fs::write(&names, "ana\ntess\nbo\n").expect("written");
    let who = ["pseudonym", "resolve", "--key", &own, "--project", "icu"];
    let who = [&who[..], &["--names", &names, &name]].concat();
    told(&audit(&who), 1, "");
    // Her trying stands in the log; where she sees names she may hide them under a key of her own.
    let all = ["export", "--form", "json", "--vault"];
    let stands = told(&vault.audit(&all), 0, "export");
    let mut stands = stands.lines();
    assert!(stands.any(|line| line.contains(" pseudonyms") && line.contains("refused")));
    vault.kluis(&["project", "log", "icu", "--pseudonyms", "off"], "off");
    let own = ["--form", "json", "--pseudonyms", &own];
    let lines = vault.of_icu(&["export"], &own, 0, "\"sub\":\"p-");
    assert!(!lines.contains("\"sub\":\"ana\""), "{lines}");
}

#[test]
fn who_manages_grants_sees_names_and_has_the_key() {
    let vault = hidden();
    let lines = vault.of_icu(&["export", "--form", "json"], &[], 0, "p-");
    let made = lines.lines().find(|line| line.contains("ListApprovals"));
    let name = made.and_then(|line| line.split("\"sub\":\"").nth(1));
    let name = &name.expect("a pseudonym")[..28];
    // Only who manages the project's grants gets its key; the same key is nobody's elsewhere.
    let out = vault.text("names.key");
    for who in ["tess", "nobody"] {
        let ask = [
            "pseudonym",
            "key",
            "--project",
            "icu",
            "--by",
            who,
            "--out",
            &out,
        ];
        told(&vault.audit(&ask), 1, "");
        assert!(!vault.path("names.key").exists(), "{who}");
    }
    let ask = [
        "pseudonym",
        "key",
        "--project",
        "icu",
        "--by",
        "ana",
        "--out",
        &out,
    ];
    told(&vault.audit(&ask), 0, "for the project's controller alone");
    let names = vault.text("names");
    std::fs::write(&names, "tess\nana\nbas\n").expect("written");
    let who = [
        "pseudonym",
        "resolve",
        "--key",
        &out,
        "--project",
        "icu",
        "--names",
        &names,
        name,
    ];
    told(&audit(&who), 0, "ana");
    let elsewhere = [
        "pseudonym",
        "resolve",
        "--key",
        &out,
        "--project",
        "onco",
        "--names",
        &names,
        name,
    ];
    told(&audit(&elsewhere), 1, "");
    // That it was handed out, and refused, stands in the project's log.
    let stands = told(
        &vault.audit(&["export", "--form", "json", "--vault"]),
        0,
        "names for=ana",
    );
    assert!(stands.contains("names for=tess"), "{stands}");
    // Off again, she sees names.
    vault.kluis(&["project", "log", "icu", "--pseudonyms", "off"], "off");
    vault.of_icu(&["export", "--form", "json"], &[], 0, "\"ana\"");
}

#[cfg(feature = "sql")]
#[test]
fn no_question_in_sql_reaches_a_name() {
    let vault = hidden();
    for ship in [false, true] {
        if ship {
            vault.ships();
        }
        let ask = |sql: &str| vault.of_icu(&["--json", "query", "--sql", sql], &[], 0, "");
        let people = ask("SELECT DISTINCT principal, responsible, credential, rule FROM requests");
        assert!(people.contains("p-") && !people.contains("ana"), "{people}");
        for guess in [
            "principal = 'ana'",
            "principal LIKE 'an%'",
            "principal IN ('ana', 'tess')",
            "principal BETWEEN 'an' AND 'ao'",
            "principal NOT LIKE 'p-%'",
            "responsible = 'ana'",
            "credential IS NOT NULL",
            "length(principal) <> 28",
            "rule LIKE '%ana%'",
            "query LIKE '%tess%'",
        ] {
            let sql = format!("SELECT event FROM requests WHERE {guess}");
            assert_eq!(ask(&sql).trim(), "", "{guess}");
            let sql = format!("SELECT count(*) AS n FROM requests WHERE {guess}");
            assert!(ask(&sql).contains("\"n\":0"), "{guess}");
        }
        let count = ask("SELECT count(*) AS n FROM requests");
        assert!(!count.contains("\"n\":0"), "{count}");
        let flag = vault.of_icu(&["--json", "query"], &["--principal", "ana"], 0, "");
        assert_eq!(flag.trim(), "");
    }
}
