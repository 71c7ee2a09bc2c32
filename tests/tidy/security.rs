//! What the pages and the code say of defences: each has its test, and a proof one maker.

use super::{code, quoted, read, root, rust};

/// Whoever could write the fields of a proof could make one, or make another of one.
#[test]
fn one_file_makes_proofs() {
    const MAKER: &str = "src/vault/access/proof.rs";
    let maker = code(&read(&root().join(MAKER)));
    let begin = "struct Authorized {";
    let (_, fields) = maker.split_once(begin).expect("the proof");
    let (fields, _) = fields.split_once("\n}").expect("its end");
    let open = |field: &str| field.starts_with("pub ") || field.starts_with("pub(");
    let open = fields.lines().map(str::trim).find(|field| open(field));
    assert_eq!(open, None, "a proof's fields are its own");
    assert!(maker.contains("Ok(Authorized {"), "it makes them");
    for (name, text) in rust(&["src"]) {
        let made = code(&text).contains("Authorized {");
        assert!(!made || name == MAKER, "{name} makes a proof");
    }
}

/// In SECURITY.md a test is named as `room::module::name`, an attack as `tests/…py`, "its title".
#[test]
fn every_test_that_security_names_is_there() {
    let text = read(&root().join("SECURITY.md"));
    let mut count = 0;
    for named in quoted(&text).filter(|text| text.contains("::")) {
        let parts: Vec<&str> = named.split("::").collect();
        let (name, module) = parts.split_last().expect("a path");
        let sources = [
            format!("src/{}.rs", module.join("/")),
            format!("src/{}/mod.rs", module.join("/")),
            format!("src/{}_tests.rs", module.join("/")),
            format!("{}.rs", module.join("/")),
        ];
        let there = sources.iter().any(|source| holds_test(source, name));
        assert!(there, "there is no test {named}");
        count += 1;
    }
    assert!(count >= 40, "only {count} tests are named");
    for named in quoted(&text).filter(|text| text.starts_with("tests/")) {
        assert!(root().join(named).exists(), "there is no {named}");
    }
    let mut attacks = 0;
    for (at, _) in text.match_indices(".py` \"") {
        let file = text[..at].rsplit('`').next().expect("a path");
        let title: String = text[at + 6..].chars().take_while(|c| *c != '"').collect();
        let script = read(&root().join(format!("{file}.py")));
        let call = format!("check(\"{title}\"");
        assert!(script.contains(&call), "{file}.py has no attack {title:?}");
        attacks += 1;
    }
    assert!(attacks >= 10, "only {attacks} attacks are named");
}

fn holds_test(source: &str, name: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(root().join(source)) else {
        return false;
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begin = format!("fn {name}(");
    let declared = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&begin)
    });
    declared.is_some_and(|at| {
        let before = lines[at.saturating_sub(6)..at].iter().rev();
        let mut attributes = before.take_while(|line| !line.ends_with('}'));
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}
