//! Each step of the writer fails, and each is the last before a crash: nothing acknowledged is
//! lost, nothing comes twice, and the journal goes on by itself. The writer is driven without its
//! thread, so that each run is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::support::{
    Counter, Cut, HandClock, TestDisk, TestReplica, config, event, read_good, secret,
};
use crate::journal::format::LogKey;
use crate::journal::lane::{Lane, Place};
use crate::journal::queue::{Bounds, Effect, Pace, Queue, Queued, Slot};
use crate::journal::wal::Writer;
use crate::journal::{CompletionSlot, Replica};
use crate::ledger::{Entry, Outcome, encode, samples, session_hash};
use crate::types::{Clock, EventId};

/// What the callers of a journal were told.
#[derive(Clone, Default, Debug)]
struct Told {
    /// Durable intents.
    begun: BTreeSet<EventId>,
    /// Durable policy texts, by their version's first byte.
    policies: BTreeSet<u8>,
    refused: usize,
}

struct Harness {
    writer: Writer,
    queue: Arc<Queue>,
    clock: Arc<HandClock>,
    slots: Vec<Slot>,
    told: Arc<Mutex<Told>>,
}

const BOUNDS: Bounds = Bounds {
    queue: 64,
    open: 200,
    group: 32 * 1024,
    wait_ms: 5_000,
    pace: Pace {
        urgent: Duration::ZERO,
        lazy: Duration::ZERO,
    },
};

impl Harness {
    fn open(
        dir: &Path,
        disk: &TestDisk,
        entropy: &Arc<Counter>,
        told: &Arc<Mutex<Told>>,
    ) -> Option<Self> {
        Self::open_with(dir, (disk, None), entropy, told)
    }

    fn open_with(
        dir: &Path,
        (disk, replica): (&TestDisk, Option<Box<dyn Replica>>),
        entropy: &Arc<Counter>,
        told: &Arc<Mutex<Told>>,
    ) -> Option<Self> {
        let clock = HandClock::new();
        let shared: Arc<dyn Clock> = Arc::<HandClock>::clone(&clock);
        let capacity = config(dir).file_bytes;
        let place = Place {
            dir: dir.join("gw-1"),
            name: "gw-1".into(),
            capacity,
            patience: Duration::from_secs(5),
        };
        let key = LogKey::new(secret()).unwrap();
        let (disk, entropy) = (Box::new(disk.clone()), Arc::<Counter>::clone(entropy));
        let mut lane =
            Lane::recover(disk, place, (key, replica), Arc::clone(&shared), entropy).ok()?;
        lane.start().ok()?;
        let queue = Arc::new(Queue::new(BOUNDS, Arc::clone(&shared)));
        let writer = Writer::new(lane, Arc::clone(&queue), shared);
        Some(Self {
            writer,
            queue,
            clock,
            slots: Vec::new(),
            told: Arc::clone(told),
        })
    }

    /// Lets the writer do one group; long enough after the last for another attempt.
    fn turn(&mut self) {
        self.clock.advance(60_000);
        let work = self.queue.next(None, None);
        self.writer.work(work);
    }

    fn begin(&mut self, n: u32) -> bool {
        let session = Arc::new(samples::session());
        let hash = session_hash(&session).unwrap();
        let entry = Entry::Intent {
            session: hash,
            intent: samples::intent(event(n)),
        };
        let mut bytes = Vec::new();
        encode(&entry, &mut bytes).unwrap();
        let effect = Effect::Opens(event(n));
        let queued = Queued {
            bytes,
            session: Some((hash, session)),
            effect,
        };
        let mut answer = self.queue.push(queued, true).unwrap().receiver;
        self.turn();
        let mut told = self.told.lock().unwrap();
        // Without an answer yet its maker gives up, as at the end of his bound.
        let Ok(Ok(slot)) = answer.try_recv() else {
            told.refused += 1;
            return false;
        };
        told.begun.insert(event(n));
        self.slots.push(slot.unwrap());
        true
    }

    fn complete_oldest(&mut self) {
        if !self.slots.is_empty() {
            let slot = Box::new(self.slots.remove(0));
            slot.complete(samples::completion(event(0)));
        }
    }

    /// A large record, so that files fill up soon.
    fn policy(&mut self, n: u8) {
        let mut bytes = Vec::new();
        let text = "p".repeat(60_000);
        encode(
            &Entry::Policy {
                version: [n; 32],
                text,
            },
            &mut bytes,
        )
        .unwrap();
        let queued = Queued {
            bytes,
            session: None,
            effect: Effect::None,
        };
        let mut answer = self.queue.push(queued, true).unwrap().receiver;
        self.turn();
        if matches!(answer.try_recv(), Ok(Ok(_))) {
            self.told.lock().unwrap().policies.insert(n);
        }
    }

    fn close(mut self) {
        drop(self.queue.close());
        // The first attempt may meet the fault, the second is after it.
        for _ in 0..2 {
            self.turn();
        }
        assert_eq!(self.writer.finish(), None);
    }
}

/// Fills three files, with events open across each change of file.
fn script(harness: &mut Harness) {
    for n in 0..9u8 {
        harness.begin(u32::from(n) * 2);
        harness.begin(u32::from(n) * 2 + 1);
        harness.policy(n);
        harness.complete_oldest();
    }
}

/// Reads a journal that a restart has closed, and holds it against what callers were told.
fn check(dir: &Path, told: &Told, context: &str) -> BTreeMap<EventId, Vec<Outcome>> {
    let mut ends: BTreeMap<EventId, Vec<Outcome>> = BTreeMap::new();
    let mut begun = BTreeSet::new();
    let mut policies = BTreeSet::new();
    for (at, record) in read_good(dir).into_iter().enumerate() {
        assert_eq!(
            record.seq,
            u64::try_from(at).unwrap(),
            "{context}: no gap, no repeat"
        );
        match record.entry {
            Entry::Intent { intent, .. } => {
                assert!(begun.insert(intent.event), "{context}: an intent twice");
                assert!(record.session.is_some(), "{context}: a session is missing");
            }
            Entry::Completion(c) => ends.entry(c.event).or_default().push(c.outcome),
            Entry::Policy { version, .. } => {
                assert!(policies.insert(version[0]), "{context}: a policy twice");
            }
            Entry::Session(_) | Entry::Whole { .. } | Entry::Mark { .. } | Entry::Open(_) => {}
        }
    }
    assert!(
        begun.is_superset(&told.begun),
        "{context}: an acknowledged intent is lost"
    );
    assert!(
        policies.is_superset(&told.policies),
        "{context}: an acknowledged policy is lost"
    );
    for event in &begun {
        assert_eq!(
            ends.get(event).map(Vec::len),
            Some(1),
            "{context}: {event} has one end"
        );
    }
    assert!(
        ends.keys().all(|event| begun.contains(event)),
        "{context}: an end of nothing"
    );
    ends
}

/// A restart on a healthy disk, which closes whatever is open.
fn restart(dir: &Path, entropy: &Arc<Counter>) {
    let harness =
        Harness::open(dir, &TestDisk::default(), entropy, &Arc::default()).expect("reopens");
    harness.close();
}

fn run(fail: Option<(u64, u64, ErrorKind)>) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let (disk, entropy, told) = (TestDisk::default(), Counter::new(), Arc::default());
    if let Some((from, to, kind)) = fail {
        disk.fail(from, to, kind);
    }
    let context = format!("{fail:?}");
    let mut harness = loop {
        if let Some(harness) = Harness::open(dir.path(), &disk, &entropy, &told) {
            break harness;
        }
    };
    script(&mut harness);
    disk.heal();
    // By itself: the next request is served, whatever happened before.
    assert!(harness.begin(1000), "{context}: resumes");
    while !harness.slots.is_empty() {
        harness.complete_oldest();
    }
    let refused = told.lock().unwrap().refused;
    assert!(fail.is_some() || refused == 0);
    harness.close();
    let ends = check(dir.path(), &told.lock().unwrap(), &context);
    assert!(
        ends.values().all(|end| end == &[Outcome::Success]),
        "{context}: {ends:?}"
    );
    disk.steps()
}

#[test]
fn every_step_may_fail_once() {
    let steps = run(None);
    assert!(steps > 40, "the script takes {steps} steps");
    for step in 1..=steps {
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            run(Some((step, step + 1, kind)));
        }
    }
}

#[test]
fn every_step_may_be_the_first_of_a_long_outage() {
    let steps = run(None);
    for step in 20..=steps {
        run(Some((step, step + 7, ErrorKind::ReadOnlyFilesystem)));
    }
}

#[test]
fn every_step_may_be_the_last_before_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, entropy) = (TestDisk::default(), Counter::new());
    let told: Arc<Mutex<Told>> = Arc::default();
    let images = Arc::new(Mutex::new(0));
    let (seen, seeds, count) = (Arc::clone(&told), Arc::clone(&entropy), Arc::clone(&images));
    disk.watch(Box::new(move |step, image| {
        for cut in [Cut::Nothing, Cut::Half, Cut::All] {
            let copy = tempfile::tempdir().unwrap();
            std::fs::create_dir(copy.path().join("gw-1")).unwrap();
            image(cut, &copy.path().join("gw-1"));
            restart(copy.path(), &seeds);
            check(
                copy.path(),
                &seen.lock().unwrap(),
                &format!("step {step}, {cut:?}"),
            );
            *count.lock().unwrap() += 1;
        }
    }));
    let mut harness = Harness::open(dir.path(), &disk, &entropy, &told).unwrap();
    script(&mut harness);
    assert_eq!(told.lock().unwrap().begun.len(), 18);
    assert!(*images.lock().unwrap() > 120);
}

#[test]
fn a_restart_closes_what_was_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let (entropy, told) = (Counter::new(), Arc::default());
    let mut harness = Harness::open(dir.path(), &TestDisk::default(), &entropy, &told).unwrap();
    script(&mut harness);
    let open = harness.slots.len();
    // Killed: neither closed nor dropped slot by slot; the slots' completions reach no disk.
    drop(harness);
    restart(dir.path(), &entropy);
    restart(dir.path(), &entropy);
    let ends = check(dir.path(), &told.lock().unwrap(), "restarted twice");
    let crashed = ends
        .values()
        .filter(|end| end[..] == [Outcome::OpenAtCrash])
        .count();
    assert!(open > 5 && crashed >= open, "{open} open, {crashed} closed");
}

#[test]
fn completions_have_room_when_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, entropy) = (TestDisk::default(), Counter::new());
    let told: Arc<Mutex<Told>> = Arc::default();
    let mut harness = Harness::open(dir.path(), &disk, &entropy, &told).unwrap();
    // No new file can be made; the one that is there can be written.
    disk.fail_creating(true);
    harness.policy(1);
    harness.policy(2);
    let mut n = 0;
    while harness.begin(n) {
        n += 1;
    }
    assert!(
        harness.queue.ready().is_err(),
        "it says that it is not ready"
    );
    assert!(n > 10, "{n} fit before the half that is kept");
    let slots = harness.slots.len();
    while !harness.slots.is_empty() {
        harness.complete_oldest();
    }
    assert!(!harness.begin(5000), "still refused");
    let ended = read_good(dir.path());
    let ended = ended
        .iter()
        .filter(|r| matches!(r.entry, Entry::Completion(_)))
        .count();
    assert_eq!(ended, slots, "each completion is durable on the full disk");
    disk.fail_creating(false);
    assert!(harness.begin(6000), "resumes");
    assert!(harness.queue.ready().is_ok());
}

/// The same with a second place, whose own steps fail like those of the disk. At the end, and at
/// each step, a journal made of that place alone has all that was acknowledged.
fn run_beside(fail: Option<(u64, u64)>) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let (disk, entropy, told) = (TestDisk::default(), Counter::new(), Arc::default());
    let beside = TestReplica::new(&disk);
    if let Some((from, to)) = fail {
        disk.fail(from, to, ErrorKind::Other);
    }
    let context = format!("beside {fail:?}");
    // A start that fails is another process's to repeat, on what both places hold.
    let mut harness = loop {
        let with = (&disk, Some(beside.port()));
        if let Some(harness) = Harness::open_with(dir.path(), with, &entropy, &told) {
            break harness;
        }
        beside.forget();
        std::fs::remove_dir_all(dir.path().join("gw-1")).unwrap();
        beside.rebuild(dir.path());
    };
    script(&mut harness);
    disk.heal();
    assert!(harness.begin(1000), "{context}: resumes");
    while !harness.slots.is_empty() {
        harness.complete_oldest();
    }
    harness.close();
    assert_eq!(beside.under_way(), None, "{context}");
    check(dir.path(), &told.lock().unwrap(), &context);
    let copy = tempfile::tempdir().unwrap();
    beside.rebuild(copy.path());
    restart(copy.path(), &entropy);
    check(
        copy.path(),
        &told.lock().unwrap(),
        &format!("{context}, rebuilt"),
    );
    disk.steps()
}

#[test]
fn beside_a_second_place_every_step_of_either_may_fail() {
    let steps = run_beside(None);
    assert!(steps > run(None) + 40, "{steps} steps");
    for step in 1..=steps {
        run_beside(Some((step, step + 1)));
    }
    for step in (20..=steps).step_by(3) {
        run_beside(Some((step, step + 7)));
    }
}

#[test]
fn every_step_of_either_place_may_be_the_last_before_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, entropy) = (TestDisk::default(), Counter::new());
    let told: Arc<Mutex<Told>> = Arc::default();
    let images = Arc::new(Mutex::new(0));
    let beside = TestReplica::new(&disk);
    let (seen, seeds, count) = (Arc::clone(&told), Arc::clone(&entropy), Arc::clone(&images));
    let there = beside.clone();
    disk.watch(Box::new(move |step, image| {
        let told = seen.lock().unwrap();
        // The disk is lost.
        let copy = tempfile::tempdir().unwrap();
        there.rebuild(copy.path());
        restart(copy.path(), &seeds);
        check(copy.path(), &told, &format!("step {step}, rebuilt"));
        // The store is lost: where both are the gate, the disk alone has all of it.
        let copy = tempfile::tempdir().unwrap();
        std::fs::create_dir(copy.path().join("gw-1")).unwrap();
        image(Cut::Nothing, &copy.path().join("gw-1"));
        restart(copy.path(), &seeds);
        check(copy.path(), &told, &format!("step {step}, disk alone"));
        *count.lock().unwrap() += 1;
    }));
    let with = (&disk, Some(beside.port()));
    let mut harness = Harness::open_with(dir.path(), with, &entropy, &told).unwrap();
    script(&mut harness);
    assert_eq!(told.lock().unwrap().begun.len(), 18);
    assert!(*images.lock().unwrap() > 100);
}
