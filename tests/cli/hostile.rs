//! Commands before a gateway that lies: rubbish, endless answers, texts that would steer a
//! terminal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::{Told, kluis};

/// Answers every request so, and counts what was taken of it.
pub(crate) struct Liar {
    endpoint: String,
    taken: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What a request is answered with.
#[derive(Clone)]
pub(crate) enum Lie {
    Answer(&'static str, String),
    /// One after the other, and again from the first.
    Turns(&'static [&'static str]),
    /// Says 10 GiB, and sends on for as long as anybody takes it.
    Endless,
    Bytes(&'static [u8]),
}

/// What an honest gateway says to whoever asks whom it takes her for.
const HONEST: &str =
    r#"{"principal": "b", "acts_for": null, "access_key_id": "KLUS2222222222222222"}"#;

impl Liar {
    /// Lies, except on whom it takes the caller for.
    pub(crate) fn telling(lie: Lie) -> Self {
        Self::answering(Lie::Answer("200 OK", HONEST.to_owned()), lie)
    }

    /// Answers who asks whom it takes her for, and all else.
    fn answering(identity: Lie, lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let liar = Self {
            endpoint,
            taken: Arc::default(),
            seen: Arc::default(),
        };
        let (count, seen) = (Arc::clone(&liar.taken), Arc::clone(&liar.seen));
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut turn = 0;
            for wire in listener.incoming().map_while(Result::ok) {
                let Ok(head) = head(&wire) else { continue };
                let asks = head.starts_with("GET /.kluis/v1/identity ");
                seen.lock().expect("no panic").push(head);
                // Whoever leaves early is why it is told.
                let _left = if asks {
                    tell(&wire, &identity, (0, &count)).is_err()
                } else {
                    turn += 1;
                    tell(&wire, &lie, (turn, &count)).is_err()
                };
            }
        });
        liar
    }

    /// The heads of all requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }

    /// A command on a machine that names a credential in its environment.
    pub(crate) fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = kluis();
        command
            .current_dir(home)
            .args(args)
            .env("HOME", home)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "KLUS2222222222222222")
            .env("AWS_SECRET_ACCESS_KEY", "a secret of nobody")
            .env("AWS_REGION", "kluis");
        command
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn run(&self, args: &[&str]) -> Told {
        let dir = tempfile::tempdir().expect("a directory");
        Told::of(&self.command(dir.path(), args).output().expect("it runs"))
    }
}

fn head(wire: &TcpStream) -> std::io::Result<String> {
    let mut head = String::new();
    let mut lines = BufReader::new(wire).lines();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        head += &line;
        head.push('\n');
    }
    Ok(head)
}

fn tell(
    mut wire: &TcpStream,
    lie: &Lie,
    (turn, taken): (usize, &AtomicUsize),
) -> std::io::Result<()> {
    let whole = |mut wire: &TcpStream, status: &str, body: &str| {
        write!(
            wire,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    match lie {
        Lie::Answer(status, body) => whole(wire, status, body),
        Lie::Turns(bodies) => whole(wire, "200 OK", bodies[turn % bodies.len()]),
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
pub(crate) const COMMANDS: [&[&str]; 22] = [
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
    &["approval", "list", "icu"],
    &["approval", "show", "icu", ID],
    &["approval", "approve", "icu", ID],
    &["approval", "withdraw", "icu", ID],
    &["job", "list"],
    &[
        "job",
        "submit",
        "icu/ecg@1",
        "--cluster",
        "c",
        "--account",
        "a",
    ],
    &["notices"],
    &["project", "log", "icu"],
    &["group", "show", "readers", "--project", "icu"],
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
        // Of all of it, and of all but whom it takes the caller for.
        for liar in [
            Liar::answering(lie.clone(), lie.clone()),
            Liar::telling(lie.clone()),
        ] {
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
                let said = format!("kluis: at {} as person b\n", liar.endpoint);
                let err = told.err.strip_prefix(&said).unwrap_or(&told.err);
                assert!(err.starts_with("kluis: error: "), "{what}: {}", told.err);
                is_harmless(&told, &what);
            }
        }
    }
}

/// Whom the gateway takes the caller for stands before what is done, and steers no terminal.
#[test]
fn a_name_that_is_none_is_an_error_before_anything_is_asked() {
    for told in [
        r#"{"principal": "b\u001b[2J", "acts_for": null}"#,
        r#"{"principal": "", "acts_for": null}"#,
        r#"{"principal": "b", "acts_for": "a\nkluis: done"}"#,
        r#"{"acts_for": null}"#,
    ] {
        let lie = Lie::Answer("200 OK", told.to_owned());
        let liar = Liar::answering(lie.clone(), lie);
        for command in COMMANDS {
            let told = liar
                .run(command)
                .expect(3, &["the gateway's answer is none"]);
            is_harmless(&told, &format!("{command:?}"));
        }
        assert_eq!(liar.seen().len(), COMMANDS.len(), "nothing else was asked");
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
        r#"{{"version": "icu/ecg@1{evil}", "number": 1, "objects": 1, "bytes": 1, "published": "{evil}",
            "publisher": "{evil}", "root": "{evil}", "signer": "{evil}", "hidden": 3}}"#
    );
    let record = format!(
        r#"{{"time": "{evil}", "operation": "{evil}", "query": "{evil}", "actor": {{"sub": "{evil}"}},
            "outcome": {{"detail": "{evil}", "reason": "{evil}"}}, "client": {{"ip": "{evil}"}},
            "object": {{"project": "{evil}", "dataset": "{evil}", "key": "{evil}"}}}}"#
    );
    let approval = format!(
        r#"{{"approval": "{evil}", "act": "{evil}", "project": "{evil}", "dataset": "{evil}",
            "terms": {{"{evil}": "{evil}"}}, "reason": "{evil}", "summary": "{evil}",
            "state": "{evil}", "asker": "{evil}", "approver": "{evil}", "asked": "{evil}",
            "due": "{evil}"}}"#
    );
    let notice = format!(
        r#"{{"notice": "{evil}", "at": "{evil}", "project": "{evil}", "dataset": null,
            "text": "{evil}"}}"#
    );
    let members = format!(
        r#"{{"members": [{{"principal": "{evil}", "kind": "{evil}", "acts_for": "{evil}",
            "name": "{evil}"}}], "next": null, "organisation": "{evil}",
            "claims": [{{"issuer": "{evil}", "claim": "{evil}"}}],
            "visas": [{{"issuer": "{evil}", "type": "{evil}", "value": "{evil}"}}]}}"#
    );
    let cases: [(&[&str], String); 13] = [
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
        (COMMANDS[13], format!(r#"{{"approvals": [{approval}]}}"#)),
        (COMMANDS[14], approval),
        (COMMANDS[19], format!(r#"{{"notices": [{notice}]}}"#)),
        (COMMANDS[21], members),
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

/// Pages that lead back to the first by the last.
const PAGES: [&str; 3] = [
    r#"{"records": [], "next": "a", "open": 0}"#,
    r#"{"records": [], "next": "b", "open": 0}"#,
    r#"{"records": [], "next": "c", "open": 0}"#,
];

#[test]
fn members_that_never_end_are_no_answer() {
    let body = r#"{"members": [], "next": "b", "organisation": null, "claims": [], "visas": []}"#;
    let liar = Liar::telling(Lie::Answer("200 OK", body.to_owned()));
    let command = ["group", "show", "readers", "--project", "icu"];
    liar.run(&command)
        .expect(3, &["the gateway's answer is none"]);
}

#[test]
fn notices_that_never_end_are_no_answer() {
    let mark = |at: u64| format!(r#"{{"notices": [], "next": "{at}-{ID}"}}"#);
    for next in [mark(7), r#"{"notices": [], "next": "older"}"#.to_owned()] {
        let liar = Liar::telling(Lie::Answer("200 OK", next));
        liar.run(&["notices", "--all"])
            .expect(3, &["the gateway's answer is none"]);
    }
    // Without that, a page is a page.
    let liar = Liar::telling(Lie::Answer("200 OK", mark(7)));
    liar.run(&["notices"]).expect(0, &["--all"]);
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
    // Nor has one that leads back by others: each is asked for once.
    let liar = Liar::telling(Lie::Turns(&PAGES));
    liar.run(COMMANDS[12])
        .expect(3, &["the gateway's answer is none"]);
    assert_eq!(liar.seen().len(), 1 + 4);
}
