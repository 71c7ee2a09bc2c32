//! The log's followers: each request once or more, whatever breaks; and what receivers read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{
    Cursor, Follow, FollowParts, OtlpAnswer, Receiver, Refused, StreamError, Syslog, Told, frame,
    otlp_request, read_answer, run,
};
use crate::journal::{Journal as _, Request, Wal, WalConfig};
use crate::ledger::export::Form;
use crate::ledger::samples;
use crate::notary::{DirShelf, Lane, Notary, NotaryKeys, NotaryParts};
use crate::types::limits::JOURNAL_FILE_BYTES_MIN;
use crate::types::{Clock, Entropy, EntropyError, EventId, Secret, Timestamp};

const ORIGIN: &str = "vault.example/log";

struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

impl Entropy for Ticking {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let n = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = n[at % 8];
        }
        Ok(())
    }
}

fn ticking() -> Arc<Ticking> {
    Arc::new(Ticking(AtomicU64::new(1)))
}

fn secret(n: u8) -> Secret<32> {
    Secret::take(&mut [n; 32])
}

fn keys() -> NotaryKeys {
    NotaryKeys {
        journal: secret(1),
        signing: secret(2),
        scopes: secret(3),
        state: secret(4),
    }
}

struct World {
    dir: tempfile::TempDir,
    wal: Arc<Wal>,
    notary: Notary,
}

#[expect(clippy::future_not_send, reason = "each test has one thread")]
impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = WalConfig {
            file_bytes: JOURNAL_FILE_BYTES_MIN,
            open_max: 100,
            ..WalConfig::new(dir.path().join("journal"), "gateway".into(), secret(1))
        };
        let wal = Wal::open(config, ticking(), ticking()).unwrap();
        let notary = Notary::open(NotaryParts {
            journal: dir.path().join("journal"),
            origin: ORIGIN.into(),
            keys: keys(),
            shelf: Box::new(DirShelf::keep(&dir.path().join("log")).unwrap()),
            settle: None,
            clock: ticking(),
            entropy: ticking(),
        });
        Self {
            dir,
            wal,
            notary: notary.unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts what is there under a checkpoint.
    fn round(&mut self) {
        let lane = Lane {
            name: "gateway",
            durable: self.wal.durable(),
        };
        self.notary.round(&[lane]).unwrap();
    }

    async fn begin(&self, n: u8) -> Box<dyn crate::journal::CompletionSlot> {
        let session = Arc::new(samples::session());
        let intent = samples::intent(EventId::from_bytes([n; 16]));
        self.wal.begin(&session, intent).await.unwrap()
    }

    /// Ends a request; durable with what is noted behind it.
    async fn end(&self, n: u8, slot: Box<dyn crate::journal::CompletionSlot>) {
        slot.complete(samples::completion(EventId::from_bytes([n; 16])));
        self.note(n.wrapping_add(100), "lab").await;
    }

    async fn note(&self, n: u8, project: &str) {
        let event = EventId::from_bytes([n; 16]);
        let mut intent = samples::intent(event);
        intent.object.project = Some(project.parse().unwrap());
        let session = Arc::new(samples::session());
        let completion = samples::completion(event);
        self.wal.note(&session, intent, completion).await.unwrap();
    }

    fn follow(&self, cursor: Option<Cursor>, project: Option<&str>) -> Follow {
        Follow::new(FollowParts {
            journal: self.path("journal"),
            journal_key: secret(1),
            shelf: Box::new(DirShelf::look(&self.path("log"))),
            public: keys().public(ORIGIN).unwrap(),
            project: project.map(|name| name.parse().unwrap()),
            cursor,
        })
        .unwrap()
    }
}

fn start() -> Cursor {
    Cursor::new(ORIGIN, 0, 0)
}

/// The first byte of each request's event.
fn numbers(requests: &[Request]) -> Vec<u8> {
    let numbers = requests.iter().map(|r| r.intent.event.as_bytes()[0]);
    numbers.collect()
}

fn all(follow: &mut Follow) -> Vec<u8> {
    let mut seen = Vec::new();
    while let Some(batch) = follow.take().unwrap() {
        seen.extend(numbers(&batch.requests));
    }
    seen
}

#[tokio::test]
async fn requests_come_whole_when_they_have_ended_and_go_on_behind_a_cursor() {
    let mut world = World::new();
    let mut follow = world.follow(Some(start()), None);
    assert!(
        follow.take().unwrap().is_none(),
        "nothing is under a checkpoint"
    );
    let one = world.begin(1).await;
    world.note(2, "icu").await;
    world.round();
    let batch = follow.take().unwrap().unwrap();
    assert_eq!(numbers(&batch.requests), [2]);
    assert!(batch.cursor.from < batch.cursor.next, "one is open");
    let cursor = batch.cursor;
    let two = world.begin(3).await;
    world.end(1, one).await;
    world.round();
    // As after a restart: what began before the cursor is whole, and nothing comes twice.
    for follow in [&mut follow, &mut world.follow(Some(cursor), None)] {
        let batch = follow.take().unwrap().unwrap();
        assert_eq!(numbers(&batch.requests), [1, 101]);
        let request = &batch.requests[0];
        assert!(request.session.is_some() && request.completion.is_some());
        assert!(follow.take().unwrap().is_none());
    }
    world.end(3, two).await;
    world.round();
    assert_eq!(all(&mut follow), [3, 103]);
    assert_eq!(follow.cursor().from, follow.cursor().next);
    // Who begins without a cursor gets what comes from now on.
    let mut late = world.follow(None, None);
    world.note(9, "icu").await;
    world.round();
    assert_eq!(all(&mut late), [9]);
}

#[tokio::test]
async fn a_stream_of_one_project_has_its_requests_alone() {
    let mut world = World::new();
    world.note(1, "icu").await;
    world.note(2, "lab").await;
    world.round();
    assert_eq!(all(&mut world.follow(Some(start()), Some("icu"))), [1]);
    assert_eq!(
        all(&mut world.follow(Some(start()), Some("nobody"))),
        [0; 0]
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_a_fault_costs_nothing() {
    let mut world = World::new();
    world.note(1, "icu").await;
    world.round();
    let mut follow = world.follow(Some(start()), None);
    let tiles = world.path("log/tile");
    let away = world.path("away");
    std::fs::rename(&tiles, &away).unwrap();
    assert!(matches!(follow.take(), Err(StreamError::Tile)));
    std::fs::rename(&away, &tiles).unwrap();
    assert_eq!(all(&mut follow), [1], "it is read again");
    // The log was rolled back behind what was taken.
    let ahead = Some(Cursor::new(ORIGIN, 99, 99));
    assert!(matches!(
        world.follow(ahead, None).take(),
        Err(StreamError::Ahead)
    ));
    // The journal's only file is gone: that is said, and the rest goes on.
    for file in std::fs::read_dir(world.path("journal/gateway")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "wal") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let batch = world.follow(Some(start()), None).take().unwrap().unwrap();
    assert!(batch.requests.is_empty() && batch.lost > 0);
}

#[test]
fn a_cursor_is_of_one_log_and_whole_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cursor");
    assert_eq!(Cursor::read(&path, ORIGIN).unwrap(), None);
    let cursor = Cursor::new(ORIGIN, 7, 3);
    cursor.write(&path).unwrap();
    assert_eq!(Cursor::read(&path, ORIGIN).unwrap(), Some(cursor));
    assert!(Cursor::read(&path, "other").is_err());
    let bytes = std::fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert!(Cursor::read(&path, ORIGIN).is_err(), "cut to {len}");
    }
}

/// Refuses so many times, then takes; keeps what it took.
#[derive(Clone, Default)]
struct Fickle {
    refusals: Arc<AtomicU64>,
    taken: Arc<Mutex<Vec<u8>>>,
    failures: Arc<AtomicU64>,
}

#[async_trait]
impl Receiver for Fickle {
    async fn take(&mut self, requests: &[Request]) -> Result<(), Refused> {
        let left = self.refusals.load(Ordering::SeqCst);
        if left > 0 {
            self.refusals.store(left - 1, Ordering::SeqCst);
            return Err(Refused("busy".to_owned()));
        }
        self.taken.lock().unwrap().extend(numbers(requests));
        Ok(())
    }
}

impl Told for Fickle {
    fn taken(&self, _requests: usize, _time: Timestamp) {}
    fn idle(&self) {}
    fn waiting(&self, _time: Timestamp) {}
    fn failed(&self, _why: &str) {
        self.failures.fetch_add(1, Ordering::SeqCst);
    }
    fn lost(&self, _records: u64) {}
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn kept(path: &Path) -> Option<Cursor> {
    Cursor::read(path, ORIGIN).unwrap()
}

#[tokio::test]
async fn what_is_refused_comes_again_and_the_cursor_waits_for_it() {
    let mut world = World::new();
    world.note(1, "icu").await;
    world.note(2, "icu").await;
    world.round();
    // The waits between attempts pass at once; the journal's thread needs none of it.
    tokio::time::pause();
    let fickle = Fickle::default();
    fickle.refusals.store(5, Ordering::SeqCst);
    let path = world.path("cursor");
    let go = |world: &World| {
        let follow = world.follow(Some(kept(&path).unwrap_or_else(start)), None);
        tokio::spawn(run(
            follow,
            path.clone(),
            Box::new(fickle.clone()),
            Arc::new(fickle.clone()),
        ))
    };
    let running = go(&world);
    until(|| fickle.failures.load(Ordering::SeqCst) > 0).await;
    assert!(kept(&path).is_none(), "nothing was taken yet");
    until(|| kept(&path).is_some()).await;
    running.abort();
    assert_eq!(*fickle.taken.lock().unwrap(), [1, 2]);
    assert_eq!(fickle.failures.load(Ordering::SeqCst), 5);
    // Another process goes on where this one was.
    tokio::time::resume();
    world.note(3, "icu").await;
    world.round();
    let before = kept(&path);
    let running = go(&world);
    until(|| kept(&path) != before).await;
    running.abort();
    assert_eq!(*fickle.taken.lock().unwrap(), [1, 2, 3]);
}

fn request() -> Request {
    let event = EventId::from_bytes([7; 16]);
    Request {
        lane: "gateway".into(),
        seq: 41,
        session: Some(Arc::new(samples::session())),
        intent: samples::intent(event),
        completion: Some(samples::completion(event)),
    }
}

#[test]
fn a_message_is_as_rfc_5424_has_it() {
    let message = Syslog::new("vault.example", Form::Json)
        .message(&request())
        .unwrap();
    let head = "<110>1 2027-03-02T08:15:04.498Z vault.example kluis - object.read \
        [kluis@32473 id=\"07070707-0707-0707-0707-070707070707\" lane=\"gateway\" seq=\"41\"] \u{feff}{";
    assert!(message.starts_with(head), "{message}");
    let mut framed = Vec::new();
    frame("häh", &mut framed);
    assert_eq!(framed, "4 häh".as_bytes());
    // A host that is none is none.
    for host in ["", "a b", "ä", "a\n", &"a".repeat(256)] {
        let message = Syslog::new(host, Form::Json).message(&request()).unwrap();
        assert!(message.contains("498Z - kluis - "), "{message}");
    }
    let mut refused = request();
    refused.completion.as_mut().unwrap().outcome = crate::ledger::Outcome::Refused;
    let message = Syslog::new("h", Form::Json).message(&refused).unwrap();
    assert!(message.starts_with("<108>1 "));
}

#[test]
fn no_text_of_a_record_breaks_a_message() {
    let mut bent = request();
    bent.intent.query = Some("a\n<0>1 - - - - - -] \"\\\u{0}\u{1b}".into());
    let message = Syslog::new("h", Form::Json).message(&bent).unwrap();
    assert!(!message.chars().any(char::is_control), "{message}");
    for form in [Form::Ocsf, Form::Fhir, Form::Nen, Form::Csv] {
        let message = Syslog::new("h", form).message(&bent).unwrap();
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn a_log_record_has_its_id_and_numbers() {
    let text = otlp_request(&[request()], "gw-1", Form::Json);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let record = &value["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["eventName"], "object.read");
    assert_eq!(record["timeUnixNano"], "1803975304112000000");
    assert_eq!(record["severityNumber"], 9);
    let id = &record["attributes"][0]["value"]["stringValue"];
    assert_eq!(id, "07070707-0707-0707-0707-070707070707");
    let body = record["body"]["stringValue"].as_str().unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["schema"], "kluis.audit/1");
}

#[test]
fn only_an_answer_that_says_so_has_taken_something() {
    let partly = |rejected| OtlpAnswer::Partly { rejected };
    for (status, body, expected) in [
        (200, "", OtlpAnswer::Taken),
        (200, "{}", OtlpAnswer::Taken),
        (200, r#"{"partialSuccess":{}}"#, OtlpAnswer::Taken),
        (
            200,
            r#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#,
            partly(3),
        ),
        (
            200,
            r#"{"partialSuccess":{"rejectedLogRecords":4}}"#,
            partly(4),
        ),
        (200, "<html>", OtlpAnswer::Later),
        (200, "[]", OtlpAnswer::Later),
        (204, "", OtlpAnswer::Refused),
        (301, "", OtlpAnswer::Refused),
        (400, "{}", OtlpAnswer::Refused),
        (401, "", OtlpAnswer::Refused),
        (429, "", OtlpAnswer::Later),
        (500, "", OtlpAnswer::Refused),
        (502, "", OtlpAnswer::Later),
        (503, "", OtlpAnswer::Later),
        (504, "", OtlpAnswer::Later),
    ] {
        assert_eq!(
            read_answer(status, body.as_bytes()),
            expected,
            "{status} {body}"
        );
    }
}
