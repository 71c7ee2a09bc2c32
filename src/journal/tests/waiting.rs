//! Callers and the writer's thread: what waits, what is refused, what is never refused.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::support::{Counter, HandClock, TestDisk, config, event, read_good};
use crate::journal::{Journal as _, JournalError, MemoryJournal, Wal, WalConfig};
use crate::ledger::{Completion, Entry, Outcome, samples};

fn open_with(
    dir: &Path,
    disk: &TestDisk,
    change: impl FnOnce(&mut WalConfig),
) -> (Arc<Wal>, Arc<HandClock>) {
    let clock = HandClock::new();
    let mut config = config(dir);
    change(&mut config);
    let shared = Arc::<HandClock>::clone(&clock);
    let wal = Wal::open_on(Box::new(disk.clone()), config, shared, Counter::new()).unwrap();
    (wal, clock)
}

fn completions(dir: &Path) -> Vec<Completion> {
    let mut done = Vec::new();
    for record in read_good(dir) {
        if let Entry::Completion(completion) = record.entry {
            done.push(completion);
        }
    }
    done
}

#[tokio::test]
async fn what_is_begun_and_completed_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_with(dir.path(), &TestDisk::default(), |_| {});
    let session = Arc::new(samples::session());
    let slot = wal
        .begin(&session, samples::intent(event(1)))
        .await
        .unwrap();
    let on_disk = read_good(dir.path());
    let begun = on_disk
        .iter()
        .find(|r| r.entry.event() == Some(event(1)))
        .unwrap();
    assert_eq!(
        begun.session.as_deref(),
        Some(&*session),
        "durable before it was answered"
    );
    let mut completion = samples::completion(event(1));
    completion.reason = "é".repeat(400);
    slot.complete(completion);
    wal.close().await.unwrap();
    let done = completions(dir.path());
    assert_eq!(done.len(), 1);
    assert_eq!(
        done[0].reason,
        "é".repeat(256),
        "a long reason is cut, not refused"
    );
    assert!(
        wal.begin(&session, samples::intent(event(2)))
            .await
            .is_err(),
        "closed"
    );
    assert!(wal.ready().is_err());
    wal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_groups() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (wal, _) = open_with(dir.path(), &disk, |_| {});
    let session = Arc::new(samples::session());
    let tasks: Vec<_> = (0..150)
        .map(|n| {
            let (wal, session) = (Arc::clone(&wal), Arc::clone(&session));
            tokio::spawn(async move {
                let slot = wal
                    .begin(&session, samples::bare_intent(event(n)))
                    .await
                    .unwrap();
                slot.complete(samples::completion(event(n)));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    wal.close().await.unwrap();
    assert_eq!(completions(dir.path()).len(), 150);
    let sessions = read_good(dir.path());
    let sessions = sessions
        .iter()
        .filter(|r| matches!(r.entry, Entry::Session(_)))
        .count();
    assert_eq!(sessions, 1, "a session is written once");
}

#[tokio::test]
async fn an_intent_is_on_its_way_before_anyone_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_with(dir.path(), &TestDisk::default(), |_| {});
    let session = Arc::new(samples::session());
    let mut unasked = wal.begin(&session, samples::intent(event(1)));
    let _later = wal
        .begin(&session, samples::intent(event(2)))
        .await
        .unwrap();
    // The writer answers in the order of the queue, so that the first was told when the second was.
    assert!(futures_util::poll!(&mut unasked).is_ready());
}

#[tokio::test]
async fn a_slot_that_is_dropped_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_with(dir.path(), &TestDisk::default(), |_| {});
    drop(
        wal.begin(&Arc::new(samples::session()), samples::intent(event(1)))
            .await
            .unwrap(),
    );
    wal.close().await.unwrap();
    assert_eq!(completions(dir.path())[0].outcome, Outcome::Aborted);
}

#[tokio::test]
async fn a_slow_disk_refuses_within_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (wal, clock) = open_with(dir.path(), &disk, |config| config.wait_ms = 20);
    let session = Arc::new(samples::session());
    disk.hold(true);
    let mut first = Box::pin(wal.begin(&session, samples::intent(event(1))));
    assert!(futures_util::poll!(&mut first).is_pending());
    // The bound counts from when the writer has it, however late the machine lets it run.
    while wal.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(first.await.err(), Some(JournalError::Timeout)));
    clock.advance(1_000);
    assert!(
        matches!(wal.ready(), Err(JournalError::Timeout)),
        "it says why"
    );
    // This one waits behind the first and is given up before it was ever written.
    let second = wal.begin(&session, samples::intent(event(2))).await;
    assert!(matches!(second.err(), Some(JournalError::Timeout)));
    disk.hold(false);
    wal.close().await.unwrap();
    let records = read_good(dir.path());
    let events: Vec<_> = records.iter().filter_map(|r| r.entry.event()).collect();
    assert!(
        events == [event(1), event(1)],
        "intent and its end: {events:?}"
    );
    assert_eq!(completions(dir.path())[0].outcome, Outcome::Aborted);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (wal, _) = open_with(dir.path(), &disk, |_| {});
    let session = Arc::new(samples::session());
    disk.hold(true);
    let (one, two) = (samples::intent(event(1)), samples::intent(event(2)));
    let mut first = Box::pin(wal.begin(&session, one));
    assert!(futures_util::poll!(&mut first).is_pending());
    // The writer has it once it counts as at the disk; only then is the caller gone.
    while wal.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    drop(first);
    disk.hold(false);
    wal.begin(&session, two)
        .await
        .unwrap()
        .complete(samples::completion(event(2)));
    wal.close().await.unwrap();
    let mut done = completions(dir.path());
    done.sort_by_key(|c| c.event);
    let ends: Vec<_> = done.iter().map(|c| (c.event, c.outcome)).collect();
    assert_eq!(
        ends,
        [(event(1), Outcome::Aborted), (event(2), Outcome::Success)]
    );
}

#[tokio::test]
async fn queue_and_open_requests_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (wal, _) = open_with(dir.path(), &disk, |config| {
        (config.queue_max, config.open_max) = (4, 3);
    });
    let session = Arc::new(samples::session());
    let mut slots = Vec::new();
    for n in 0..3 {
        slots.push(
            wal.begin(&session, samples::intent(event(n)))
                .await
                .unwrap(),
        );
    }
    let busy = wal.begin(&session, samples::intent(event(9))).await;
    assert!(matches!(busy.err(), Some(JournalError::Busy)));
    assert!(matches!(wal.ready(), Err(JournalError::Busy)));
    // A refusal, which opens nothing, is still recorded.
    wal.note(
        &session,
        samples::intent(event(8)),
        samples::completion(event(8)),
    )
    .await
    .unwrap();
    slots.pop().unwrap().complete(samples::completion(event(2)));
    // Its room is free when it is durable: with the next group.
    wal.note(
        &session,
        samples::intent(event(7)),
        samples::completion(event(7)),
    )
    .await
    .unwrap();
    slots.push(
        wal.begin(&session, samples::intent(event(9)))
            .await
            .unwrap(),
    );
    drop(slots);
    wal.close().await.unwrap();
    assert_eq!(completions(dir.path()).len(), 4);
}

#[tokio::test]
async fn a_full_disk_refuses_and_resumes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (wal, clock) = open_with(dir.path(), &disk, |_| {});
    let session = Arc::new(samples::session());
    let slot = wal
        .begin(&session, samples::intent(event(1)))
        .await
        .unwrap();
    disk.fail(disk.steps() + 1, u64::MAX, ErrorKind::StorageFull);
    let full = wal.begin(&session, samples::intent(event(2))).await;
    assert!(matches!(full.err(), Some(JournalError::Full)));
    assert!(matches!(wal.ready(), Err(JournalError::Full)));
    slot.complete(samples::completion(event(1)));
    // The next attempt finds no file and no space for one: the reason stays the same.
    clock.advance(10_000);
    let full = wal.begin(&session, samples::intent(event(2))).await;
    assert!(matches!(full.err(), Some(JournalError::Full)));
    disk.heal();
    // No request comes and the clock stands still: the writer's own attempt makes it ready.
    while wal.ready().is_err() {
        tokio::task::yield_now().await;
    }
    wal.begin(&session, samples::intent(event(3)))
        .await
        .unwrap();
    wal.close().await.unwrap();
    assert!(
        completions(dir.path()).iter().any(|c| c.event == event(1)),
        "kept meanwhile"
    );
}

#[tokio::test]
async fn completions_reach_a_full_disk_without_a_request() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (wal, _) = open_with(dir.path(), &disk, |_| {});
    let session = Arc::new(samples::session());
    disk.fail_creating(true);
    let slot = wal
        .begin(&session, samples::intent(event(1)))
        .await
        .unwrap();
    // The file fills up to the half that is kept for completions.
    let text = "p".repeat(60_000);
    while wal.policy([1; 32], &text).await.is_ok() {}
    assert!(matches!(wal.ready(), Err(JournalError::Full)));
    slot.complete(samples::completion(event(1)));
    while completions(dir.path()).is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(wal.ready(), Err(JournalError::Full)), "still full");
    disk.fail_creating(false);
    wal.close().await.unwrap();
}

#[tokio::test]
async fn one_process_writes_a_lane() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_with(dir.path(), &TestDisk::default(), |_| {});
    let second = Wal::open(config(dir.path()), HandClock::new(), Counter::new());
    assert!(matches!(second.err(), Some(JournalError::Locked)));
    wal.close().await.unwrap();
    assert!(Wal::open(config(dir.path()), HandClock::new(), Counter::new()).is_ok());
}

#[tokio::test]
async fn records_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open_with(dir.path(), &TestDisk::default(), |_| {});
    let session = Arc::new(samples::session());
    let mut intent = samples::intent(event(1));
    intent.query = Some("q".repeat(5_000));
    let refused = wal.begin(&session, intent).await;
    assert!(matches!(refused.err(), Some(JournalError::TooLarge)));
    let other = wal
        .note(
            &session,
            samples::intent(event(1)),
            samples::completion(event(2)),
        )
        .await;
    assert!(matches!(other, Err(JournalError::Failed { .. })));
    let refused = wal.policy([0; 32], &"p".repeat(65 * 1024)).await;
    assert!(matches!(refused, Err(JournalError::TooLarge)));
    assert!(
        wal.ready().is_ok(),
        "the maker's fault is not the journal's"
    );
    wal.close().await.unwrap();
}

#[test]
fn bounds_that_do_not_hold_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [fn(&mut WalConfig); 6] = [
        |c| c.lane = String::new(),
        |c| c.lane = "../x".into(),
        |c| c.lane = "l".repeat(64),
        |c| c.file_bytes = 1024,
        |c| c.file_bytes = usize::MAX,
        |c| c.open_max = 1_000,
    ];
    for (at, change) in cases.into_iter().enumerate() {
        let mut config = config(dir.path());
        change(&mut config);
        let refused = Wal::open(config, HandClock::new(), Counter::new());
        assert!(
            matches!(refused.err(), Some(JournalError::Failed { .. })),
            "case {at}"
        );
    }
    let usual = WalConfig::new(
        dir.path().to_owned(),
        "gw-1".into(),
        super::support::secret(),
    );
    let wal = Wal::open(usual, HandClock::new(), Counter::new());
    assert!(wal.is_ok(), "the usual bounds hold together");
}

#[tokio::test]
async fn the_journal_in_memory_keeps_the_port_s_manners() {
    let journal = MemoryJournal::new(HandClock::new(), 6);
    let session = Arc::new(samples::session());
    let slot = journal
        .begin(&session, samples::intent(event(1)))
        .await
        .unwrap();
    slot.complete(samples::completion(event(1)));
    drop(
        journal
            .begin(&session, samples::intent(event(2)))
            .await
            .unwrap(),
    );
    let entries = journal.entries();
    assert_eq!(entries.len(), 5, "session, two intents, two ends");
    assert!(matches!(&entries[4], Entry::Completion(c) if c.outcome == Outcome::Aborted));
    journal.refuse(true);
    assert!(
        journal
            .begin(&session, samples::intent(event(3)))
            .await
            .is_err()
    );
    assert!(journal.ready().is_err());
    journal.refuse(false);
    journal.policy([1; 32], "p").await.unwrap();
    journal.policy([2; 32], "p").await.unwrap();
    assert_eq!(journal.entries().len(), 6, "no more than asked for");
    journal.close().await.unwrap();
}
