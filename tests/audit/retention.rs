//! What is over goes, in a vault that was there years ago: the log holds as before, and who removes
//! too early is found out. And the journal's files go once they are in volumes.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kluis::app::system::SystemEntropy;
use kluis::app::{log_keys, log_origin, open_keys};
use kluis::config::{Config, Environment};
use kluis::journal::{Journal as _, Wal, WalConfig};
use kluis::ledger::{AuthMethod, Completion, Intent, Nature, ObjectRef, Outcome, Session};
use kluis::notary::{DirShelf, Notary, NotaryParts};
use kluis::types::{Clock, EventId, Timestamp};

use super::{Vault, audit, files, told};

/// Stands still but for a millisecond each time.
struct Then(AtomicU64);

impl Clock for Then {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// 2016, which is more than five years ago.
const LONG_AGO: u64 = 1_460_000_000_000;

impl Vault {
    /// Records of requests long ago, under a checkpoint of then.
    pub(super) fn was_there_long_ago(&self) {
        let config = Config::load(&self.path("kluis.toml")).expect("a configuration");
        let environment = Environment::of(&[]);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let ring = runtime.block_on(open_keys(&config, &environment, &|_path| None));
        let ring = ring.expect("the key ring");
        let clock = || Arc::new(Then(AtomicU64::new(LONG_AGO)));
        let entropy = || Arc::new(SystemEntropy::new());
        let lane = "gateway".to_owned();
        let wal = WalConfig::new(config.journal.dir.clone(), lane, ring.log_key());
        let wal = Wal::open(wal, clock(), entropy()).expect("a journal");
        runtime.block_on(async {
            for n in 0..20 {
                let (intent, completion) = read(n, if n % 2 == 0 { "icu" } else { "lab" });
                wal.note(&session(), intent, completion)
                    .await
                    .expect("noted");
            }
            wal.close().await.expect("closed");
        });
        let mut notary = Notary::open(NotaryParts {
            journal: config.journal.dir.clone(),
            origin: log_origin(&config, &ring),
            keys: log_keys(&ring),
            shelf: Box::new(DirShelf::keep(&config.proof.dir).expect("a log")),
            settle: None,
            clock: clock(),
            entropy: entropy(),
        })
        .expect("a notary");
        // The lane is free when its thread has gone.
        while notary.round(&[]).expect("a round").is_none() {}
    }

    /// Removes the journal's files that were full a second ago, once that is so.
    pub(super) fn lets_go(&self) {
        for _ in 0..200 {
            let shipped = self.audit(&["ship", "--all", "--keep", "1s"]);
            let all = told(&shipped, 0, "volumes added");
            if String::from_utf8_lossy(&shipped.stderr).contains("files of the journal") {
                return;
            }
            drop(all);
        }
        panic!("nothing went");
    }
}

fn session() -> Arc<Session> {
    Arc::new(Session {
        principal: Some("long.gone".parse().expect("a name")),
        responsible: None,
        access_key: None,
        auth: AuthMethod::Local,
        client_ip: "192.0.2.7".to_owned(),
        user_agent: String::new(),
        source: "gateway".to_owned(),
    })
}

fn read(n: u8, project: &str) -> (Intent, Completion) {
    let event = EventId::from_bytes([n; 16]);
    let time = Timestamp::from_millis(LONG_AGO);
    let object = ObjectRef {
        project: Some(project.parse().expect("a name")),
        ..ObjectRef::default()
    };
    let intent = Intent {
        event,
        time,
        action: None,
        operation: "GetObject".to_owned(),
        nature: Nature::Normal,
        object,
        source_object: None,
        range: None,
        query: None,
        policy: None,
    };
    let completion = Completion {
        event,
        time,
        outcome: Outcome::Success,
        status: 200,
        reason: String::new(),
        bytes: 1,
        object_bytes: None,
    };
    (intent, completion)
}

#[test]
fn what_is_over_goes_and_the_evidence_holds() {
    let vault = Vault::founded();
    vault.was_there_long_ago();
    vault.kluis(&["project", "create", "lab", "--owner", "ana"], "owns it");
    vault.kluis(&["project", "log", "lab", "--days", "36525"], "36525");
    let key = vault.key();
    vault.ships();
    let shown = |asks: &[&str]| {
        let all = [&["export", "--form", "json"], asks].concat();
        told(&vault.audit(&all), 0, "").matches("long.gone").count()
    };
    let hers = ["--project", "icu", "--auditor", "tess"];
    assert_eq!((shown(&hers), shown(&["--vault"])), (10, 20));
    let due = told(&vault.audit(&["expire", "--dry-run"]), 0, "project=icu");
    assert!(
        due.contains("records=10") && !due.contains("project=lab"),
        "{due}"
    );
    assert_eq!(shown(&hers), 10, "nothing went");
    told(&vault.audit(&["expire"]), 0, "removed from the store: 1");
    assert_eq!((shown(&hers), shown(&["--vault"])), (0, 10));
    told(
        &vault.audit(&["expire"]),
        0,
        "volumes written again without what is over: 0",
    );
    // It stands in the project's own log, and the log goes on.
    let own = told(
        &vault.audit(&[&["export", "--form", "json"], &hers[..]].concat()),
        0,
        "",
    );
    assert!(own.contains("kept=1827 days"), "{own}");
    vault.ships();
    // The journal still holds the records of then, until it lets them go.
    told(
        &vault.audit(&["ship", "--all", "--keep", "1s"]),
        0,
        "files of the journal removed",
    );
    told(
        &vault.audit(&["ship", "--all", "--keep", "1s"]),
        0,
        "volumes added",
    );
    let out = vault.bundle("bundle");
    let verify = ["verify", &out, "--log", &key];
    told(
        &audit(&verify),
        0,
        "10 records went when their time was over",
    );
    // A verifier who asks for more is told; so is one from whom an entry's rows are kept back.
    let more = [&verify[..], &["--retention", "3653"]].concat();
    told(
        &audit(&more),
        1,
        "early: records of `icu` were kept for 1827 days",
    );
    let manifest = vault.path("bundle/bundle.json");
    let text = std::fs::read_to_string(&manifest).expect("read");
    let honest = text.split("\"before\": ").nth(1).expect("it says so");
    let honest = honest.split(['\n', ' ', '}']).next().expect("a number");
    std::fs::write(&manifest, text.replace(honest, "1")).expect("written");
    told(&audit(&verify), 1, "rows are missing");
    std::fs::write(&manifest, text.replace(honest, "99999999999999")).expect("written");
    told(&audit(&verify), 1, "are gone that are not 1827 days old");
    // Its owner may keep them longer, and nobody shorter.
    vault.kluis(&["project", "log", "icu", "--days", "3653"], "3653");
    let mut shorter = super::command(env!("CARGO_BIN_EXE_kluis"));
    shorter.arg("--config").arg(vault.path("kluis.toml"));
    shorter.args(["project", "log", "icu", "--days", "3652"]);
    told(&shorter.output().expect("it runs"), 1, "expire earlier");
}

#[test]
fn the_journal_lets_go_what_is_in_volumes_and_nothing_is_lost_or_doubled() {
    let vault = Vault::founded();
    let key = vault.key();
    vault.kluis(
        &["dataset", "create", "icu/ecg", "--creator", "ana"],
        "icu--ecg",
    );
    let wals = || {
        let all = files(&vault.path("data/journal"));
        let logs = all
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "wal"));
        logs.count()
    };
    for _ in 0..3 {
        vault.serves_once();
    }
    let before = wals();
    let asks = ["export", "--form", "json", "--vault"];
    let events = || -> Vec<String> {
        let lines = told(&vault.audit(&asks), 0, "");
        let ids = lines.lines().map(|line| {
            let id = line.split("\"event_id\":\"").nth(1).expect("an event");
            id[..36].to_owned()
        });
        ids.collect()
    };
    let first = events();
    // Young files stay; others go once they are in volumes.
    told(&vault.audit(&["ship", "--all"]), 0, "volumes added");
    assert!(wals() >= before);
    vault.lets_go();
    assert!(wals() < before, "{} {before}", wals());
    let after = events();
    let seen = |id: &String| after.iter().filter(|other| *other == id).count();
    assert!(first.iter().all(|id| seen(id) == 1), "lost or doubled");
    // The gateway goes on, and so does the evidence, made of volumes now.
    vault.serves_once();
    let out = vault.bundle("bundle");
    told(
        &audit(&["verify", &out, "--log", &key]),
        0,
        "the evidence holds",
    );
    vault.kluis(&["doctor"], "none damaged");
    // Without the volumes nothing is claimed.
    for path in vault.volumes() {
        std::fs::remove_file(path).expect("removed");
    }
    let again = vault.text("again");
    let asked = [
        "bundle",
        "--project",
        "icu",
        "--auditor",
        "tess",
        "--out",
        &again,
    ];
    told(&vault.audit(&asked), 1, "");
}

#[test]
fn a_volume_that_was_lost_or_bent_keeps_the_journal_whole() {
    let vault = Vault::founded();
    vault.ships();
    vault.serves_once();
    let volume = vault.volumes().remove(0);
    let mut bent = std::fs::read(&volume).expect("read");
    // In the first column's page, behind the four letters that the file begins with.
    bent[60] ^= 1;
    let wals = files(&vault.path("data/journal")).len();
    let other = Vault::founded();
    other.ships();
    other.serves_once();
    // As long as it takes another vault until its files are old enough, so are these.
    other.lets_go();
    for bad in [Some(bent), None] {
        match &bad {
            Some(bent) => std::fs::write(&volume, bent).expect("written"),
            None => std::fs::remove_file(&volume).expect("removed"),
        }
        let told = vault.audit(&["ship", "--all", "--keep", "1s"]);
        assert_ne!(told.status.code(), Some(0));
    }
    assert!(files(&vault.path("data/journal")).len() >= wals);
}

/// A volume that the store lost is evidence, told plainly, and keeps nothing else from its end.
#[test]
fn a_volume_that_is_missing_is_told_and_the_others_expire() {
    let vault = Vault::founded();
    vault.was_there_long_ago();
    vault.ships();
    let before = vault.volumes();
    vault.serves_once();
    vault.ships();
    let young = vault.volumes();
    let young = young.into_iter().find(|file| !before.contains(file));
    let young = young.expect("another volume");
    let kept = std::fs::read(&young).expect("read");
    std::fs::remove_file(&young).expect("removed");
    let expired = vault.audit(&["expire"]);
    for words in [
        "is not in the store any more",
        "1 volume is missing",
        "volumes written again without what is over: 1",
        "project=icu",
    ] {
        told(&expired, 1, words);
    }
    let again = vault.audit(&["expire"]);
    told(&again, 1, "is not in the store any more");
    std::fs::write(&young, kept).expect("brought back");
    told(
        &vault.audit(&["expire"]),
        0,
        "volumes written again without what is over: 0",
    );

    // One that is due itself: its records are gone, and not by their time.
    let vault = Vault::founded();
    vault.was_there_long_ago();
    vault.ships();
    let index = std::fs::read(vault.path("data/log/volumes")).expect("an index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let volumes = index["volumes"].as_array().expect("volumes");
    let due = volumes.iter().find(|one| one["meta"]["lane"] == "gateway");
    let due = due.expect("of then")["blob"].as_str().expect("a name");
    let file = vault.volumes();
    let file = file.into_iter().find(|file| file.ends_with(due));
    std::fs::remove_file(file.expect("in the store")).expect("removed");
    for args in [&["expire", "--dry-run"][..], &["expire"]] {
        let expired = vault.audit(args);
        told(&expired, 1, "of lane gateway cannot be had");
        let all = String::from_utf8_lossy(&[expired.stdout, expired.stderr].concat()).into_owned();
        assert!(!all.contains("records=10"), "nothing of it expires: {all}");
    }
    // What comes goes on into volumes; the lane whose last one is lost says so.
    let shipped = vault.audit(&["ship", "--all"]);
    told(&shipped, 0, "volumes added");
}

/// Who ships needs no one to remove what is over: it goes the same day.
#[test]
fn a_watch_over_the_volumes_removes_what_is_over() {
    let vault = Vault::founded();
    vault.was_there_long_ago();
    vault.serves_once();
    let mut watch = super::command(env!("CARGO_BIN_EXE_kluis-audit"));
    let mut child = watch
        .args([
            "--config",
            &vault.text("kluis.toml"),
            "ship",
            "--watch",
            "--every",
            "1s",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut told: Vec<String> = Vec::new();
    for line in lines.map_while(Result::ok) {
        let last = line.contains("written again without");
        told.push(line);
        if last {
            break;
        }
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let told = told.join("\n");
    assert!(told.contains("volumes added"), "{told}");
    assert!(
        told.contains("volumes written again without what is over: 1"),
        "{told}"
    );
}
