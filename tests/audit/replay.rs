//! Decisions of the past, made again on the vault's host: from the journal, from volumes, and after
//! the grants are others.

use super::{Vault, told};

impl Vault {
    #[track_caller]
    fn replays(&self, args: &[&str], code: i32, text: &str) -> String {
        let hers = ["--json", "replay", "--project", "icu", "--auditor", "tess"];
        told(&self.audit(&[&hers[..], args].concat()), code, text)
    }
}

#[test]
fn az_5_decisions_are_made_again_whatever_the_grants_are_now() {
    let vault = Vault::founded();
    vault.serves_once();
    let look = ["query", "--project", "icu", "--auditor"];
    let asks = |who: &str, code: i32, text: &str| {
        let output = vault.audit(&[&look[..], &[who, "--sql", "SELECT 1"]].concat());
        told(&output, code, text);
    };
    asks("tess", 0, "");
    asks("ana", 1, "no grant to read this log");
    let all = ["--all"];
    let before = vault.replays(&all, 0, "0 different, 0 without");
    let shown = |effect: &str| before.matches(&format!("\"effect\":\"{effect}\"")).count();
    // What was recorded, and what was decided again.
    assert!(shown("deny") >= 2 && shown("allow") >= 4, "{before}");
    assert!(!before.contains("\"verdict\":\"different\""), "{before}");
    // Another grant makes another version; what was decided under the old one stands.
    let more = ["grant", "create", "icu", "--to", "ana", "--role", "auditor"];
    let rests = [
        "--purpose",
        "audit:own",
        "--permit",
        "A-2",
        "--expires",
        "2199-12-31",
    ];
    vault.kluis(&["principal", "create", "olga"], "person");
    let owner = ["grant", "create", "icu", "--to", "olga", "--role", "owner"];
    vault.kluis(
        &[&owner[..], &rests, &["--approver", "ana"]].concat(),
        "GRANT",
    );
    vault.kluis(
        &[&more[..], &rests, &["--approver", "olga"]].concat(),
        "GRANT",
    );
    asks("ana", 0, "");
    let after = vault.replays(&all, 0, "0 different, 0 without");
    assert!(after.lines().count() > before.lines().count(), "{after}");
    for line in before.lines() {
        assert!(after.contains(line), "{line}");
    }
    // The same from volumes, whose texts are looked for in all of them.
    vault.ships();
    let shipped = vault.replays(&all, 0, "0 different, 0 without");
    assert!(
        after.lines().all(|line| shipped.contains(line)),
        "{shipped}"
    );
    // One request by its name; none by another's.
    let name = after.lines().next().expect("one");
    let name = name.split("\"event_id\":\"").nth(1).expect("a name");
    let one = vault.replays(&["--event", &name[..36]], 0, "decisions: 1 the same");
    assert_eq!(one.lines().count(), 1);
    let none = "01010101-0101-0101-0101-010101010101";
    vault.replays(&["--event", none], 1, "no such request");
    vault.replays(&["--until", "2020-01-01"], 0, "decisions: 0 the same");
    // The log of another is not replayed for her, and that she asked is in hers.
    let foreign = ["replay", "--project", "icu", "--auditor", "bob"];
    told(&vault.audit(&foreign), 1, "no grant to read this log");
    let looks = vault.replays(&all, 0, "");
    assert!(looks.contains("audit replay"), "{looks}");
}
