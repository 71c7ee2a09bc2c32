//! What readers say of a journal that was altered, and of one that is being written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::support::{Counter, HandClock, config, event, read_all, read_good, secret};
use crate::journal::file::files_of;
use crate::journal::{Filter, Journal as _, JournalError, Pairs, Reader, Record, Wal};
use crate::ledger::{Entry, MarkKind, Outcome, samples};
use crate::types::{Action, Clock as _, Secret, Timestamp};

fn open(dir: &Path, lane: &str, entropy: &Arc<Counter>) -> Arc<Wal> {
    let mut config = config(dir);
    config.lane = lane.into();
    Wal::open(config, HandClock::new(), Arc::<Counter>::clone(entropy)).unwrap()
}

/// Three files of five or six records each.
async fn three_files(dir: &Path) -> Vec<PathBuf> {
    let entropy = Counter::new();
    let wal = open(dir, "gw-1", &entropy);
    let session = Arc::new(samples::session());
    for n in 0..12u8 {
        let slot = wal
            .begin(&session, samples::intent(event(u32::from(n))))
            .await
            .unwrap();
        wal.policy([n; 32], &"p".repeat(50_000)).await.unwrap();
        slot.complete(samples::completion(event(0)));
    }
    wal.close().await.unwrap();
    let files = files_of(&dir.join("gw-1")).unwrap();
    files.into_iter().map(|(_, path)| path).collect()
}

/// Alters a file; says where each finding is and how many records are still read.
fn altered(dir: &Path, path: &Path, alter: impl FnOnce(&mut Vec<u8>)) -> (Vec<String>, usize) {
    let mut bytes = std::fs::read(path).unwrap();
    alter(&mut bytes);
    std::fs::write(path, bytes).unwrap();
    findings(dir)
}

fn findings(dir: &Path) -> (Vec<String>, usize) {
    let (mut found, mut good) = (Vec::new(), 0);
    for record in read_all(dir) {
        match record {
            Ok(_) => good += 1,
            Err(JournalError::Damaged { file, .. }) => found.push(file),
            Err(other) => panic!("{other}"),
        }
    }
    (found, good)
}

fn name(path: &Path) -> String {
    format!("gw-1/{}", path.file_name().unwrap().to_str().unwrap())
}

#[tokio::test]
async fn every_flipped_byte_is_found_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = three_files(dir.path()).await;
    assert!(files.len() >= 3);
    let (none, all) = findings(dir.path());
    assert!(none.is_empty());
    for path in &files[..2] {
        let clean = std::fs::read(path).unwrap();
        // Header, prefix of the first frame, its payload, a frame in the middle.
        for at in [0, 13, 20, 200, 255, 257, 262, 270, 275, 280, 3_000, 60_000] {
            let (found, good) = altered(dir.path(), path, |bytes| bytes[at] ^= 0x10);
            assert!(found.contains(&name(path)), "byte {at}: {found:?}");
            assert!(good < all);
            std::fs::write(path, &clean).unwrap();
        }
    }
    assert_eq!(findings(dir.path()), (Vec::new(), all));
}

#[tokio::test]
async fn a_missing_or_swapped_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let files = three_files(dir.path()).await;
    let (_, all) = findings(dir.path());
    for gone in &files[..files.len() - 1] {
        let aside = dir.path().join("aside");
        std::fs::rename(gone, &aside).unwrap();
        let (found, good) = findings(dir.path());
        assert_eq!(found.len(), 1, "without {gone:?}: {found:?}");
        assert!(good < all);
        std::fs::rename(&aside, gone).unwrap();
    }
    let (one, two) = (
        std::fs::read(&files[0]).unwrap(),
        std::fs::read(&files[1]).unwrap(),
    );
    std::fs::write(&files[0], two).unwrap();
    std::fs::write(&files[1], one).unwrap();
    assert!(findings(dir.path()).0.len() >= 2, "swapped");
}

#[tokio::test]
async fn damage_before_a_later_group_is_no_torn_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = three_files(dir.path()).await;
    let last = files.last().unwrap();
    let clean = std::fs::read(last).unwrap();
    // The first frame is the mark; the second is of a later group, as is all that follows.
    let second = 256
        + 20
        + usize::try_from(u32::from_be_bytes(clean[260..264].try_into().unwrap())).unwrap();
    let (found, _) = altered(dir.path(), last, |bytes| bytes[second + 30] ^= 1);
    assert_eq!(found, [name(last)]);
    let (found, _) = altered(dir.path(), last, |bytes| bytes[second..second + 40].fill(0));
    assert_eq!(found, [name(last)], "zeroed");

    // A restart steps over it, and readers are still told.
    let wal = open(dir.path(), "gw-1", &Counter::new());
    wal.close().await.unwrap();
    assert_eq!(findings(dir.path()).0, [name(last)]);
}

#[tokio::test]
async fn a_torn_end_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let files = three_files(dir.path()).await;
    let last = files.last().unwrap();
    let clean = std::fs::read(last).unwrap();
    let end = clean.iter().rposition(|byte| *byte != 0).unwrap();
    for cut in [end, end - 1, end - 30, end - 60] {
        let (found, _) = altered(dir.path(), last, |bytes| {
            *bytes = clean.clone();
            bytes[cut..].fill(0);
        });
        assert!(found.is_empty(), "cut at {cut}: {found:?}");
        let (found, _) = altered(dir.path(), last, |bytes| bytes.truncate(cut));
        assert!(found.is_empty(), "file cut at {cut}: {found:?}");
    }
}

#[tokio::test]
async fn another_key_reads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = three_files(dir.path()).await;
    let other = Secret::take(&mut [0x43; 32]);
    let all: Vec<_> = Reader::open(dir.path(), other).unwrap().collect();
    assert!(all.iter().all(Result::is_err));
    assert!(!all.is_empty());
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        for canary in [
            &b"devries"[..],
            b"records/",
            b"icu-sepsis",
            b"ppppp",
            b"HDAB",
        ] {
            assert!(!bytes.windows(canary.len()).any(|w| w == canary));
        }
    }
}

#[tokio::test]
async fn a_reader_follows_what_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path(), "gw-1", &Counter::new());
    let session = Arc::new(samples::session());
    let mut reader = Reader::open(dir.path(), secret()).unwrap();
    let mut seen = Vec::new();
    for n in 0..10u8 {
        wal.note(
            &session,
            samples::intent(event(7)),
            samples::completion(event(7)),
        )
        .await
        .unwrap();
        wal.policy([n; 32], &"p".repeat(60_000)).await.unwrap();
        let new: Vec<Record> = reader.by_ref().map(Result::unwrap).collect();
        let whole = new
            .iter()
            .filter(|r| matches!(r.entry, Entry::Whole { .. }))
            .count();
        assert_eq!(whole, 1, "round {n}");
        seen.extend(new);
    }
    wal.close().await.unwrap();
    seen.extend(reader.by_ref().map(Result::unwrap));
    assert!(reader.next().is_none());
    assert_eq!(
        seen,
        read_good(dir.path()),
        "what was followed is what is there"
    );
    let last = &seen.last().unwrap().entry;
    assert!(matches!(
        last,
        Entry::Mark {
            kind: MarkKind::Closed,
            ..
        }
    ));
}

#[tokio::test]
async fn a_reader_may_begin_late() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let shared = Arc::<HandClock>::clone(&clock);
    let wal = Wal::open(config(dir.path()), shared, Counter::new()).unwrap();
    let session = Arc::new(samples::session());
    let mut times = Vec::new();
    for n in 0..12u8 {
        clock.advance(1_000);
        times.push(clock.now());
        let mut intent = samples::intent(event(u32::from(n)));
        intent.time = clock.now();
        let completion = samples::completion(intent.event);
        wal.note(&session, intent, completion).await.unwrap();
        wal.policy([n; 32], &"p".repeat(50_000)).await.unwrap();
    }
    wal.close().await.unwrap();
    let all = read_good(dir.path()).len();
    for (n, since) in times.into_iter().enumerate() {
        let late = Reader::open_since(dir.path(), secret(), since).unwrap();
        let late: Vec<_> = late.map(Result::unwrap).collect();
        for m in n..12 {
            let wanted = Some(event(u32::try_from(m).unwrap()));
            assert!(
                late.iter().any(|r| r.entry.event() == wanted),
                "{m} since {n}"
            );
        }
        let fewer = late.len() < all / 2;
        assert!(n < 11 || fewer, "since {n}: {} of {all}", late.len());
    }
}

#[tokio::test]
async fn lanes_are_merged_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let entropy = Counter::new();
    let (a, b) = (
        open(dir.path(), "a", &entropy),
        open(dir.path(), "b", &entropy),
    );
    let session = Arc::new(samples::session());
    for n in 0..20u32 {
        let mut completion = samples::completion(event(n));
        completion.time = Timestamp::from_millis(2_000_000_000_000 + u64::from(n));
        let wal = if n % 3 == 0 { &a } else { &b };
        wal.note(&session, samples::intent(event(n)), completion)
            .await
            .unwrap();
    }
    a.close().await.unwrap();
    b.close().await.unwrap();
    let events: Vec<_> = read_good(dir.path())
        .iter()
        .filter_map(|r| r.entry.event())
        .collect();
    assert_eq!(events, (0..20).map(event).collect::<Vec<_>>());
}

/// Asks something of requests.
type Change = fn(&mut Filter, Timestamp);

#[tokio::test]
async fn filters_select_requests() {
    let dir = tempfile::tempdir().unwrap();
    three_files(dir.path()).await;
    let wal = open(dir.path(), "gw-1", &Counter::new());
    let stranger = Arc::new(samples::stranger());
    let mut refused = samples::completion(event(99));
    refused.outcome = Outcome::Refused;
    wal.note(&stranger, samples::bare_intent(event(99)), refused)
        .await
        .unwrap();
    drop(
        wal.begin(&stranger, samples::intent(event(98)))
            .await
            .unwrap(),
    );
    wal.close().await.unwrap();

    let count = |filter: Filter| {
        let mut pairs = Pairs::new(filter);
        let whole = read_good(dir.path())
            .into_iter()
            .filter_map(|r| pairs.push(r))
            .count();
        (whole, pairs.open().count())
    };
    let time = samples::intent(event(0)).time;
    let cases: [(usize, Change); 11] = [
        (14, |_, _| {}),
        (12, |f, _| f.principal = "j.devries".parse().ok()),
        (12, |f, _| f.principal = "m.jansen@umcg.nl".parse().ok()),
        (13, |f, _| f.project = "icu-sepsis".parse().ok()),
        (0, |f, _| f.dataset = "other".parse().ok()),
        (1, |f, _| f.outcome = Some(Outcome::Refused)),
        (1, |f, _| f.outcome = Some(Outcome::Aborted)),
        (1, |f, _| f.event = Some(event(3))),
        (13, |f, time| f.since = Some(time)),
        (1, |f, time| f.until = Some(time)),
        (0, |f, _| f.action = Some(Action::ObjectDelete)),
    ];
    for (at, (expected, change)) in cases.into_iter().enumerate() {
        let mut filter = Filter::default();
        change(&mut filter, time);
        assert_eq!(count(filter), (expected, 0), "case {at}");
    }
}
