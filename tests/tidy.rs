//! The rules of the house, held by a test: what may name what, what the cores are free of, how
//! large a file may be, and that the pages speak of what is there. `ARCHITECTURE.md` has the map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/security.rs"]
mod security;
#[path = "tidy/words.rs"]
mod words;

use house::HOUSE;

const CORES: [&str; 6] = ["seal", "policy", "ledger", "manifest", "token", "scim"];
const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;
const CODE_COLUMNS_MAX: usize = 140;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `dir` that belongs to the project, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 6] = [
        ".git",
        "target",
        "node_modules",
        "kluis-demo",
        "__pycache__",
        "corpus",
    ];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if NOT_OURS.iter().any(|other| *other == name) {
            continue;
        }
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn rust(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        for path in files(&root().join(folder)) {
            if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((name_of(&path), read(&path)));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust in {folders:?}");
    found
}

fn name_of(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("below the root");
    path.to_string_lossy().into_owned()
}

/// The code of a file without its comments.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let comment = line.find("//").filter(|at| !line[..*at].contains('"'));
        comment.map_or(line, |at| &line[..at])
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The identifiers that follow `prefix`, also in a group in braces.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1_i32;
            let mut word = String::new();
            let mut takes = true;
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        names.insert(std::mem::take(&mut word));
                        takes = true;
                    }
                    ':' => takes = false,
                    c if takes && depth == 1 && is_word(c) => word.push(c),
                    _ => {}
                }
                if depth == 0 {
                    names.insert(word);
                    break;
                }
            }
        } else {
            names.insert(rest.chars().take_while(|c| is_word(*c)).collect());
        }
    }
    names
}

const fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Whether a file is compiled for tests alone: its parent says `#[cfg(test)]` before its name, or
/// it lies in a folder `tests`.
fn is_test(name: &str) -> bool {
    let path = root().join(name);
    if name.contains("/tests/") || name.ends_with("tests.rs") {
        return true;
    }
    let (Some(stem), Some(folder)) = (path.file_stem(), path.parent()) else {
        return false;
    };
    let parent = folder.join("mod.rs");
    if path == parent || !parent.exists() {
        return false;
    }
    let declared = format!("mod {};", stem.to_string_lossy());
    let text = read(&parent);
    let mut lines = text
        .lines()
        .rev()
        .skip_while(|line| !line.ends_with(&declared));
    lines.next();
    lines
        .take_while(|line| line.starts_with("#["))
        .any(|line| line == "#[cfg(test)]")
}

/// What is shipped of a file: everything before its tests.
fn shipped(text: &str) -> String {
    let mut code = code(text);
    if let Some(end) = code.find("#[cfg(test)]\nmod tests {") {
        code.truncate(end);
    }
    code
}

#[test]
fn a_room_names_only_what_stands_below_it() {
    let rooms: Vec<&str> = HOUSE.iter().map(|(room, _)| *room).collect();
    for (room, below) in HOUSE {
        let height = rooms.iter().position(|other| *other == room);
        for other in below {
            let under = rooms.iter().position(|name| name == other);
            assert!(under < height, "{other} stands below {room}");
        }
        for (name, text) in rust(&[&format!("src/{room}")]) {
            let code = code(&text);
            for named in named_after(&code, "crate::") {
                let fine = named == room || below.contains(&named.as_str());
                assert!(
                    fine || !rooms.contains(&named.as_str()),
                    "{name} names `{named}`, which does not stand below `{room}`"
                );
            }
            let depth = name.trim_end_matches("mod.rs").matches('/').count() - 1;
            for named in named_after(&code, &"super::".repeat(depth)) {
                let outside = rooms.contains(&named.as_str()) && !child(&name, &named);
                assert!(!outside, "{name} leaves its room for `{named}`");
            }
        }
    }
    let modules: BTreeSet<String> = named_after(&code(&read(&root().join("src/lib.rs"))), "mod ");
    let listed: BTreeSet<String> = rooms.iter().map(|room| (*room).to_owned()).collect();
    assert_eq!(modules, listed, "every module of src/lib.rs has a place");
}

/// Whether a room has a module of that name itself, so that `super::name` stays inside.
fn child(name: &str, module: &str) -> bool {
    let mut folder = root().join(name);
    while folder.pop() && folder != root().join("src") {
        if folder.join(module).is_dir() || folder.join(format!("{module}.rs")).is_file() {
            return true;
        }
    }
    false
}

#[test]
fn the_scanner_sees_what_is_named() {
    let code = "use crate::{types::Range, store, vault::{self, read}};\ncrate::seal::open();";
    let expected = ["seal", "store", "types", "vault"];
    assert!(named_after(code, "crate::").iter().eq(&expected));
}

#[test]
fn cores_are_pure() {
    const FOREIGN: [&str; 16] = [
        "async fn",
        "async move",
        ".await",
        "tokio",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant::",
        "SystemRandom",
        "hyper::",
        "axum::",
        "http::",
        "s3s::",
        "rusqlite",
    ];
    for core in CORES {
        for (name, text) in rust(&[&format!("src/{core}")]) {
            if is_test(&name) {
                continue;
            }
            let code = shipped(&text);
            for word in FOREIGN {
                assert!(!code.contains(word), "{name} is a core and says `{word}`");
            }
        }
    }
}

#[test]
fn use_cases_know_no_protocol() {
    for (name, text) in rust(&["src/vault", "src/types"]) {
        let code = code(&text);
        for word in [
            "http::",
            "hyper",
            "axum",
            "s3s",
            "rusqlite",
            "aws_sdk_s3",
            "quick_xml",
        ] {
            assert!(!code.contains(word), "{name} says `{word}`");
        }
    }
}

#[test]
fn files_and_lines_are_short_and_files_say_what_they_are() {
    for (name, text) in rust(&["src", "tests", "benches", "tools", "fuzz"]) {
        assert!(text.starts_with("//!"), "{name} begins with what it is");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines");
        for (number, line) in text.lines().enumerate() {
            // The width of code is rustfmt's, which leaves macros and texts alone. A sentence of a
            // format is quoted whole.
            let line = line.trim_end();
            let comment = line.trim_start().starts_with("//");
            let quoted = line.trim_start().starts_with("//#");
            let columns = if comment {
                COLUMNS_MAX
            } else {
                CODE_COLUMNS_MAX
            };
            let long = line.chars().count() > columns && !quoted && !line.contains('"');
            assert!(!long, "{name}:{} is too long", number + 1);
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    let words = [
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("XX", "X:"),
    ];
    for (name, text) in rust(&["src", "tests", "benches", "tools", "fuzz"]) {
        for word in words {
            assert!(!text.contains(word), "{name} says {word}");
        }
    }
}

/// What of `text` stands in calls of the macros of `tracing`, before their words.
fn logged(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tracing::") {
        let rest = &text[at..];
        let Some(open) = rest.find("!(") else {
            continue;
        };
        if !rest["tracing::".len()..open]
            .chars()
            .all(char::is_alphabetic)
        {
            continue;
        }
        // The words are the first text in quotes, and what comes before them are the fields.
        let fields = &rest[open + 2..];
        found.push(fields[..fields.find('"').unwrap_or(fields.len())].to_owned());
    }
    found
}

/// `SECURITY.md`: the operator's log holds no names. Whose an id is, the vault's own log says.
#[test]
fn the_operators_log_has_no_field_for_a_name() {
    const NAMES: [&str; 9] = [
        "project",
        "principal",
        "bucket",
        "group",
        "person",
        "key",
        "who",
        "user",
        "publisher",
    ];
    // What a node's or an auditor's own commands say, they say to who runs them.
    const ELSEWHERE: [&str; 4] = ["src/mount/", "src/node/", "src/cli/", "src/auditor/"];
    let mut seen = 0;
    for (name, text) in rust(&["src"]) {
        if is_test(&name) || ELSEWHERE.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        for fields in logged(&shipped(&text)) {
            seen += 1;
            let mut words = fields.split(|c| !is_word(c));
            let named = words.find(|word| NAMES.contains(word));
            assert_eq!(named, None, "{name} logs {fields}");
        }
    }
    assert!(seen > 50, "the scanner sees what is logged, {seen}");
    let found = logged("tracing::warn!(%project, \"x\"); tracing::info!(a = %b.bucket, \"y\")");
    assert_eq!(found, ["%project, ", "a = %b.bucket, "]);
}

#[test]
fn one_provider_of_cryptography() {
    let lock = read(&root().join("Cargo.lock"));
    for name in [
        "aws-lc-sys",
        "aws-lc-rs",
        "openssl-sys",
        "native-tls",
        "s3s-aws",
    ] {
        let line = format!("name = \"{name}\"");
        assert!(
            !lock.lines().any(|other| other == line),
            "{name} is in Cargo.lock"
        );
    }
    assert!(lock.lines().any(|line| line == "name = \"ring\""));
}

#[test]
fn no_file_knows_a_machine() {
    let words = [
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
    ];
    for path in files(root()) {
        let Ok(text) = String::from_utf8(std::fs::read(&path).expect("a file")) else {
            continue;
        };
        // SCIM's own word for persons is in its addresses (RFC 7644, section 3.2).
        let text = text
            .replace(concat!("v2/Us", "ers/"), "")
            .replace(concat!("BASE}/Us", "ers/"), "");
        for word in words {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
}

#[test]
fn the_changelog_has_this_version() {
    let package = read(&root().join("Cargo.toml"));
    let mut lines = package.lines();
    let version = lines.find_map(|line| line.strip_prefix("version = "));
    let version = version.expect("a version").trim_matches('"');
    let heading = format!("## [{version}]");
    let text = read(&root().join("CHANGELOG.md"));
    assert!(text.lines().any(|line| line.starts_with(&heading)));
}

#[test]
fn decisions_are_numbered_and_whole() {
    let pages: Vec<PathBuf> = files(&root().join("docs/decisions"));
    assert!(pages.len() >= 11);
    for (number, path) in pages.iter().enumerate() {
        let name = name_of(path);
        let begin = format!("docs/decisions/{:04}-", number + 1);
        assert!(name.starts_with(&begin), "{name} is not the next number");
        let text = read(path);
        for part in ["Context", "Decision", "Alternatives", "Consequences"] {
            assert!(text.contains(&format!("## {part}")), "{name} has no {part}");
        }
    }
}

/// Decision 2 gives a reason for each crate that `Cargo.toml` names, and lists its features.
#[test]
fn every_dependency_has_its_reason() {
    let mut asked = BTreeMap::<String, BTreeSet<String>>::new();
    let mut section = "";
    let package = read(&root().join("Cargo.toml"));
    for line in package.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((name, rest)) = line.split_once(" = ")
            && section.ends_with("dependencies]")
        {
            let list = rest.split_once("features = [").map_or("", |(_, list)| list);
            let list = list.split(']').next().unwrap_or_default();
            let features = list.split('"').skip(1).step_by(2).map(str::to_owned);
            asked.entry(name.to_owned()).or_default().extend(features);
        }
    }
    assert!(asked.len() >= 60, "only {} dependencies seen", asked.len());
    let text = read(&root().join("docs/decisions/0002-dependencies.md"));
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').collect();
        let mut expected = BTreeSet::new();
        for name in quoted(cells[1]) {
            let features = asked.remove(name);
            expected.extend(features.unwrap_or_else(|| panic!("{name} is no dependency")));
        }
        let listed: BTreeSet<String> = quoted(cells[3]).map(str::to_owned).collect();
        assert_eq!(listed, expected, "the features of{}", cells[1]);
    }
    assert!(asked.is_empty(), "decision 2 does not name {asked:?}");
}

/// Markdown pages, by name.
fn pages() -> Vec<(String, String)> {
    let all = files(root()).into_iter();
    let pages = all.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    pages.map(|path| (name_of(&path), read(&path))).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (name, text) in pages() {
        let page = root().join(&name);
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            if target.contains("://") {
                continue;
            }
            let (file, chapter) = target.split_once('#').unwrap_or((&target, ""));
            let other = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            assert!(other.exists(), "{name} links to {target}");
            let found = chapter.is_empty() || chapters(&read(&other)).contains(chapter);
            assert!(found, "{name} links to {target}, which has no such chapter");
        }
    }
}

/// The names by which links lead to a page's chapters, as forges make them of headings.
fn chapters(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let names = headings.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let letters = words
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        letters.map(|c| if c == ' ' { '-' } else { c }).collect()
    });
    names.collect()
}

/// The texts between backticks of a page.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
