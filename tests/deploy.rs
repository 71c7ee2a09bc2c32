//! What is shipped in `deploy/` agrees with itself, with what its pages say to install and where,
//! and with systemd, where that is here to ask.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAMS: [&str; 2] = ["/usr/local/bin/kluis", "/usr/local/bin/kluis-audit"];
const CONFIGURATION: &str = "/etc/kluis/kluis.toml";
const EPILOG: &str = "/etc/slurm/kluis-epilog.sh";

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below `deploy/`, by its path from the top.
fn shipped() -> Vec<String> {
    let (mut left, mut files) = (vec![top().join("deploy")], Vec::new());
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let below = path.strip_prefix(top()).expect("below the top");
                files.push(below.to_str().expect("a name").to_owned());
            }
        }
    }
    files.sort();
    files
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().expect("a name")
}

fn units() -> Vec<String> {
    let unit = |path: &String| {
        [".service", ".timer", ".conf"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    shipped().into_iter().filter(unit).collect()
}

/// What a unit starts.
fn started(unit: &str) -> Vec<Vec<String>> {
    let lines = text(unit);
    let lines = lines
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart="));
    lines
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect()
}

#[test]
fn each_file_stands_in_a_page_that_says_what_it_is() {
    let pages = text("deploy/README.md") + &text("deploy/slurm/README.md");
    let files: Vec<String> = shipped();
    assert!(files.len() > 15, "{files:?}");
    let untold: Vec<&String> = files
        .iter()
        .filter(|file| !file.contains("README") && !file.starts_with("deploy/demo/"))
        .filter(|file| !pages.contains(name(file)))
        .collect();
    assert!(untold.is_empty(), "{untold:?}");
}

#[test]
fn what_is_started_is_where_the_pages_install_it() {
    let host = text("deploy/README.md");
    let build = "--features sql --bin kluis --bin kluis-audit";
    let install = "install -m 0755 target/release/kluis target/release/kluis-audit /usr/local/bin/";
    let image = text("deploy/container/Containerfile");
    assert!(host.contains(build) && image.contains(build));
    assert!(host.contains(install) && text("docs/upgrading.md").contains(install));
    assert!(host.contains(&format!("deploy/kluis.toml {CONFIGURATION}")));
    assert!(image.contains("/src/target/release/kluis-audit /usr/local/bin/\n"));
    assert!(image.contains(&format!("ENTRYPOINT [\"{}\"]", PROGRAMS[0])));
    assert!(image.contains(CONFIGURATION));

    let mut seen = 0;
    for unit in units() {
        for words in started(&unit) {
            seen += 1;
            if unit.starts_with("deploy/slurm/") {
                assert_eq!(words[0], EPILOG, "{unit}");
                continue;
            }
            assert!(PROGRAMS.contains(&words[0].as_str()), "{unit}: {words:?}");
            let at = words.iter().position(|word| word == "--config");
            let configuration = words.get(at.expect("a configuration") + 1);
            assert_eq!(
                configuration.map(String::as_str),
                Some(CONFIGURATION),
                "{unit}"
            );
        }
    }
    assert_eq!(seen, 5);

    let slurm = text("deploy/slurm/README.md");
    assert!(slurm.contains(&format!("Epilog={EPILOG}\n")));
    for script in ["kluis-prolog.sh", "kluis-epilog.sh"] {
        let words = text(&format!("deploy/slurm/{script}"));
        let first = words.find(&format!("KLUIS={};", PROGRAMS[0]));
        assert!(first.is_some(), "{script} runs another program first");
    }
}

/// The words of each unit are those that the program has.
#[cfg(feature = "audit")]
#[test]
fn what_is_started_has_the_arguments_that_units_give_it() {
    let mut seen = 0;
    for unit in units() {
        for words in started(&unit) {
            let program = match words[0].as_str() {
                "/usr/local/bin/kluis" => env!("CARGO_BIN_EXE_kluis"),
                "/usr/local/bin/kluis-audit" => env!("CARGO_BIN_EXE_kluis-audit"),
                _script => continue,
            };
            // Of words that it does not know it says so, whatever follows.
            let told = Command::new(program)
                .args(&words[1..])
                .arg("--help")
                .output();
            let told = told.expect("it runs");
            assert!(told.status.success(), "{unit}: {words:?} {told:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

/// systemd knows each setting of each unit, and finds nothing wrong with them together.
#[test]
fn systemd_takes_the_units_as_they_are() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        let told = b"SKIP: no systemd-analyze, the units are not verified here\n";
        std::io::stderr().write_all(told).expect("said");
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    let own = root.path().join("etc/systemd/system");
    let system = root.path().join("usr/lib/systemd/system");
    for directory in [&own, &system] {
        fs::create_dir_all(directory).expect("made");
    }
    for entry in fs::read_dir("/usr/lib/systemd/system").expect("systemd's own units") {
        let path = entry.expect("an entry").path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if matches!(kind, Some("target" | "slice")) && path.is_file() {
            let _bytes = fs::copy(&path, system.join(path.file_name().expect("a name")));
        }
    }
    for program in PROGRAMS.into_iter().chain([EPILOG]) {
        let place = root.path().join(&program[1..]);
        fs::create_dir_all(place.parent().expect("a directory")).expect("made");
        let _bytes = fs::copy("/bin/true", place).expect("copied");
    }
    let mut named = Vec::new();
    for unit in units() {
        let below = unit.strip_prefix("deploy/").expect("below");
        let (_, below) = below.split_once('/').expect("a directory");
        let place = own.join(below);
        fs::create_dir_all(place.parent().expect("a directory")).expect("made");
        let _bytes = fs::copy(top().join(&unit), place).expect("copied");
        if !below.contains('/') {
            named.push(below.to_owned());
        }
    }
    let verify = |root: &Path| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).args(&named);
        command.arg(format!("--root={}", root.display()));
        let told = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        (told.status.success(), said)
    };
    assert_eq!(verify(root.path()), (true, String::new()));
    // A slip in what is common to several is told, too.
    let common = own.join("kluis-audit-.service.d/10-hardened.conf");
    let words = fs::read_to_string(&common).expect("read");
    fs::write(&common, words.replace("ProtectHome=", "ProtectHoem=")).expect("written");
    let (_, said) = verify(root.path());
    assert!(said.contains("ProtectHoem"), "{said}");
}

/// The image's health check is healthy where `/healthz` says so, and only there.
#[test]
fn the_images_health_check_asks_the_listener_of_the_example() {
    let image = text("deploy/container/Containerfile").replace("\\\n", "");
    let line = image.lines().find(|line| line.starts_with("HEALTHCHECK"));
    let (_, words) = line
        .expect("a check")
        .split_once(" CMD ")
        .expect("a command");
    // JSON, of which bash's own escapes are left.
    let words: Vec<String> = serde_json::from_str(words).expect("a list");
    let ops = text("deploy/kluis.toml");
    assert!(ops.contains("listen = \"127.0.0.1:9001\"") && words[2].contains("/127.0.0.1/9001 "));
    let cases = [
        (Some("HTTP/1.1 200 OK"), true),
        (Some("HTTP/1.0 200 OK"), true),
        (Some("HTTP/1.1 503 Service Unavailable"), false),
        (Some("HTTP/1.1 404 Not Found\r\nx: HTTP/1.1 200"), false),
        (None, false),
    ];
    for (answer, healthy) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener
            .local_addr()
            .expect("an address")
            .port()
            .to_string();
        let asked = std::thread::spawn(move || {
            let answer = answer?;
            let (mut stream, _) = listener.accept().expect("a question");
            // It comes line by line.
            let (mut question, mut read) = ([0; 64], 0);
            while !question[..read].ends_with(b"\r\n\r\n") {
                let more = stream.read(&mut question[read..]).expect("read");
                assert!(more > 0, "it ends before its end");
                read += more;
            }
            write!(stream, "{answer}\r\n\r\nok\n").expect("written");
            Some(String::from_utf8_lossy(&question[..read]).into_owned())
        });
        if answer.is_none() {
            asked.join().expect("closed");
            let told = probe(&words, &port);
            assert!(!told, "nobody answers");
            continue;
        }
        assert_eq!(probe(&words, &port), healthy, "{answer:?}");
        let question = asked.join().expect("answered").expect("a question");
        assert!(
            question.starts_with("GET /healthz HTTP/1.0\r\n\r\n"),
            "{question}"
        );
    }
}

fn probe(words: &[String], port: &str) -> bool {
    let mut command = Command::new(&words[0]);
    command.arg(&words[1]).arg(words[2].replace("9001", port));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.status().expect("bash").success()
}
