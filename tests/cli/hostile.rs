//! Commands before a gateway that lies: rubbish, endless answers, texts that would steer a
//! terminal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Told, kluis};

/// Answers every request so, and counts what was taken of it.
struct Liar {
    endpoint: String,
    taken: Arc<AtomicUsize>,
}

/// What a request is answered with.
#[derive(Clone)]
enum Lie {
    Answer(&'static str, String),
    /// Says 10 GiB, and sends on for as long as anybody takes it.
    Endless,
    Bytes(&'static [u8]),
}

impl Liar {
    fn telling(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for wire in listener.incoming().map_while(Result::ok) {
                // Whoever leaves early is why it is told.
                let _left = tell(&wire, &lie, &count).is_err();
            }
        });
        Self { endpoint, taken }
    }

    fn run(&self, args: &[&str]) -> Told {
        let dir = tempfile::tempdir().expect("a directory");
        let output = kluis()
            .current_dir(dir.path())
            .args(args)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "KLUS2222222222222222")
            .env("AWS_SECRET_ACCESS_KEY", "a secret of nobody")
            .env("AWS_REGION", "kluis")
            .output()
            .expect("it runs");
        Told::of(&output)
    }
}

fn tell(mut wire: &TcpStream, lie: &Lie, taken: &AtomicUsize) -> std::io::Result<()> {
    let mut head = BufReader::new(wire).lines();
    while head
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    match lie {
        Lie::Answer(status, body) => write!(
            wire,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Lie::Bytes(bytes) => wire.write_all(bytes),
        Lie::Endless => {
            write!(
                wire,
                "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n["
            )?;
            let piece = vec![b'['; 1024 * 1024];
            loop {
                wire.write_all(&piece)?;
                taken.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    }
}

const ID: &str = "0123456789abcdef0123456789abcdef";

/// Every command that asks a gateway and shows what it says.
const COMMANDS: [&[&str]; 13] = [
    &["grant", "list", "icu"],
    &["grant", "show", "icu", ID],
    &["grant", "approve", "icu", ID],
    &["grant", "review", "icu"],
    &["grant", "review", "icu", "--confirm", ID],
    &["grant", "create", "icu", "--to", "b", "--role", "reader"],
    &["dataset", "list"],
    &["dataset", "show", "icu/ecg"],
    &["dataset", "set", "icu/ecg", "--source", "s"],
    &["dataset", "publish", "icu/ecg"],
    &["dataset", "versions", "icu/ecg"],
    &["audit", "tail", "--project", "icu"],
    &["audit", "show", ID, "--project", "icu"],
];

fn is_harmless(told: &Told, what: &str) {
    let all = format!("{}{}", told.out, told.err);
    let steers = |c: char| c.is_control() && c != '\n';
    assert!(!all.contains(steers), "{what}: {all:?}");
    assert!(all.len() < 64 * 1024, "{what}: {} bytes", all.len());
    assert!(!all.contains("panicked"), "{what}: {all}");
}

#[test]
fn an_answer_that_is_none_is_an_error_and_nothing_is_shown() {
    let deep = "[".repeat(1_000_000);
    let answers = [
        Lie::Answer("200 OK", String::new()),
        Lie::Answer("200 OK", "{}".to_owned()),
        Lie::Answer("200 OK", "[null, 7]".to_owned()),
        Lie::Answer("200 OK", deep),
        Lie::Answer("200 OK", "<html>\u{1b}[2J</html>".to_owned()),
        Lie::Answer("302 Found", String::new()),
        Lie::Bytes(b"\x1b[2J\x00\xff not HTTP\r\n\r\n"),
        Lie::Bytes(b""),
    ];
    for lie in answers {
        let liar = Liar::telling(lie);
        for command in COMMANDS {
            let told = liar.run(command);
            let what = format!("{command:?}");
            assert!(
                [1, 3].contains(&told.code),
                "{what}: {} {}",
                told.code,
                told.err
            );
            assert_eq!(told.out, "", "{what}");
            assert!(
                told.err.starts_with("kluis: error: "),
                "{what}: {}",
                told.err
            );
            is_harmless(&told, &what);
        }
    }
}

#[test]
fn an_endless_answer_is_left() {
    for command in [COMMANDS[0], COMMANDS[6], COMMANDS[11]] {
        let liar = Liar::telling(Lie::Endless);
        let told = liar.run(command).expect(3, &["too long an answer"]);
        is_harmless(&told, &format!("{command:?}"));
        let taken = liar.taken.load(Ordering::Relaxed);
        assert!(taken < 128 * 1024 * 1024, "{command:?} took {taken} bytes");
    }
}

#[test]
fn a_refusal_cannot_steer_a_terminal() {
    let evil = "\\u001b[2J\\u009b1m\\u0007\\r\\nkluis: done";
    let problem = format!(r#"{{"code": "A{evil}", "title": "B{evil}", "status": 403}}"#);
    let xml = "<Error><Code>A\u{1b}[2J</Code><Message>B\u{9b}1m\u{202e}</Message></Error>";
    for body in [problem, xml.to_owned(), "\u{1b}]0;title\u{7}".to_owned()] {
        for (status, exit) in [("403 Forbidden", 1), ("503 Slow Down", 3), ("500 Oops", 3)] {
            let liar = Liar::telling(Lie::Answer(status, body.clone()));
            for command in COMMANDS {
                for json in [&[][..], &["--json"]] {
                    let told = liar.run(&[command, json].concat()).expect(exit, &[]);
                    is_harmless(&told, &format!("{command:?} {body}"));
                }
            }
        }
    }
}

/// What is as it should be, with texts in it that would steer a terminal.
#[test]
fn an_answers_texts_cannot_steer_a_terminal() {
    let evil = "\\u001b[2J\\u009b1m\\u0007\\r\\nGRANT";
    let grant = format!(
        r#"{{"grant": "{ID}", "project": "icu", "principal": "b", "role": "r{evil}", "dataset": null,
            "version": null, "prefix": "{evil}", "effect": "allow", "actions": [], "networks": [],
            "partitions": [], "purpose": "{evil}", "permit": "{evil}", "lets": [],
            "starts": "2027-01-01T00:00:00Z", "expires": null, "lapses": null,
            "standing": "approved", "proposer": null, "approver": "a",
            "created": "2027-01-01T00:00:00Z", "last_used": null, "privileged": true}}"#
    );
    let card = format!(
        r#"{{"dataset": "icu/ecg", "bucket": "{evil}", "id": "{evil}", "creator": "{evil}",
            "created": "{evil}", "owner": "{evil}", "label": "{evil}", "source": "{evil}",
            "basis": "{evil}", "ends": "{evil}", "use_class": "{evil}", "hold": "{evil}",
            "stage": "{evil}", "next_stage": "{evil}"}}"#
    );
    let version = format!(
        r#"{{"version": "icu/ecg@1{evil}", "objects": 1, "bytes": 1, "published": "{evil}",
            "publisher": "{evil}", "root": "{evil}", "hidden": 3}}"#
    );
    let record = format!(
        r#"{{"time": "{evil}", "operation": "{evil}", "query": "{evil}", "actor": {{"sub": "{evil}"}},
            "outcome": {{"detail": "{evil}", "reason": "{evil}"}}, "client": {{"ip": "{evil}"}},
            "object": {{"project": "{evil}", "dataset": "{evil}", "key": "{evil}"}}}}"#
    );
    let cases: [(&[&str], String); 9] = [
        (COMMANDS[0], format!(r#"{{"grants": [{grant}]}}"#)),
        (COMMANDS[1], grant.clone()),
        (COMMANDS[3], format!(r#"{{"grants": [{grant}]}}"#)),
        (COMMANDS[5], grant),
        (COMMANDS[6], format!(r#"{{"datasets": [{card}]}}"#)),
        (COMMANDS[7], card),
        (COMMANDS[9], version.clone()),
        (COMMANDS[10], format!(r#"{{"versions": [{version}]}}"#)),
        (
            COMMANDS[11],
            format!(r#"{{"records": [{record}], "next": null, "open": 0}}"#),
        ),
    ];
    for (command, body) in cases {
        let liar = Liar::telling(Lie::Answer("200 OK", body));
        for json in [&[][..], &["--json"]] {
            let told = liar.run(&[command, json].concat()).expect(0, &[]);
            assert!(!told.out.is_empty(), "{command:?}");
            is_harmless(&told, &format!("{command:?}"));
        }
    }
}

#[test]
fn another_grant_or_dataset_than_was_asked_for_is_no_answer() {
    let other = ID.replace('0', "1");
    let grant = format!(
        r#"{{"grant": "{other}", "project": "icu", "principal": "b", "role": "r", "dataset": null,
            "version": null, "prefix": "", "effect": "allow", "actions": [], "networks": [],
            "partitions": [], "purpose": null, "permit": null, "starts": "2027-01-01T00:00:00Z",
            "expires": null, "lapses": null, "standing": "proposed", "proposer": "b",
            "approver": null, "created": "2027-01-01T00:00:00Z"}}"#
    );
    let liar = Liar::telling(Lie::Answer("200 OK", grant));
    for command in [COMMANDS[1], COMMANDS[2], COMMANDS[4]] {
        liar.run(command)
            .expect(3, &["the gateway's answer is none"]);
    }
    // A page that leads to itself has no end.
    let page = r#"{"records": [], "next": "again", "open": 0}"#.to_owned();
    let liar = Liar::telling(Lie::Answer("200 OK", page));
    liar.run(COMMANDS[12])
        .expect(3, &["the gateway's answer is none"]);
}
