//! The journal is cut behind the log's back, or an older copy of it put in its place: records would
//! get numbers that the log has already, and be served outside it without a word.

use std::fs;
use std::path::{Path, PathBuf};

use super::tests::{MemoryShelf, log_on, note, own, wal_of};
use super::{Lane, Notary, NotaryError};
use crate::journal::{Journal as _, Rest, Wal};

/// The files of a lane, oldest first.
fn files(dir: &Path, lane: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir.join(lane))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wal"))
        .collect();
    files.sort();
    files
}

/// A process that writes a lane once and ends.
async fn process(dir: &Path, lane: &str, number: u64) {
    let wal = wal_of(dir, lane, number);
    note(&wal, 7, "icu").await;
    close(&wal, dir, lane).await;
}

async fn close(wal: &Wal, dir: &Path, lane: &str) {
    wal.close().await.unwrap();
    while Rest::take(dir, lane).unwrap().is_none() {}
}

/// Takes from a lane what the log covers.
type Cut = fn(&Path, &str);

fn newest_file(dir: &Path, lane: &str) {
    fs::remove_file(files(dir, lane).pop().unwrap()).unwrap();
}

fn last_frame(dir: &Path, lane: &str) {
    let path = files(dir, lane).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 20..].fill(0);
    fs::write(path, bytes).unwrap();
}

fn all_files(dir: &Path, lane: &str) {
    for path in files(dir, lane) {
        fs::remove_file(path).unwrap();
    }
}

fn whole_lane(dir: &Path, lane: &str) {
    fs::remove_dir_all(dir.join(lane)).unwrap();
}

const CUTS: [Cut; 4] = [newest_file, last_frame, all_files, whole_lane];

fn cut_is_told<T>(told: Result<T, NotaryError>) {
    assert!(
        matches!(told, Err(NotaryError::RolledBack { .. })),
        "{:?}",
        told.err()
    );
}

/// Each lane of a vault at rest, and its log, which covers all of it.
async fn world(dir: &Path, shelf: &MemoryShelf) -> Notary {
    for lane in ["gateway", "admin"] {
        process(dir, lane, 1).await;
        process(dir, lane, 2).await;
    }
    let mut notary = log_on(dir, shelf).unwrap();
    while notary.round(&[]).unwrap().is_some() {}
    notary
}

#[tokio::test]
async fn a_gateway_does_not_begin_on_a_journal_that_was_cut() {
    for cut in CUTS {
        for lane in ["gateway", "admin"] {
            let dir = tempfile::tempdir().unwrap();
            let (dir, shelf) = (dir.path(), MemoryShelf::new());
            drop(world(dir, &shelf).await);
            assert!(log_on(dir, &shelf).is_ok());
            cut(dir, lane);
            cut_is_told(log_on(dir, &shelf));
            // However often it is tried: the numbers come back, the records do not.
            for number in 3..12 {
                process(dir, lane, number).await;
                cut_is_told(log_on(dir, &shelf));
            }
        }
    }
}

#[tokio::test]
async fn a_lane_of_others_that_is_cut_while_the_log_is_kept_is_told() {
    for cut in CUTS {
        for writers in [0, 1, 5] {
            let dir = tempfile::tempdir().unwrap();
            let (dir, shelf) = (dir.path(), MemoryShelf::new());
            let mut notary = world(dir, &shelf).await;
            cut(dir, "admin");
            for number in 0..writers {
                process(dir, "admin", 10 + number).await;
            }
            // What nobody has written since is told by the next who writes, or at the next start.
            if writers > 0 || !files_are_as_before(cut) {
                cut_is_told(notary.round(&[]));
                cut_is_told(notary.round(&[]));
            }
            cut_is_told(log_on(dir, &shelf));
        }
    }
}

/// A cut that leaves the newest file its name and beginning.
fn files_are_as_before(cut: Cut) -> bool {
    std::ptr::fn_addr_eq(cut, last_frame as Cut)
}

#[tokio::test]
async fn a_lane_that_says_less_than_the_log_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, shelf) = (dir.path(), MemoryShelf::new());
    let wal = wal_of(dir, "gateway", 1);
    note(&wal, 1, "icu").await;
    let mut notary = log_on(dir, &shelf).unwrap();
    notary.round(&own(&wal)).unwrap();
    let less = Lane {
        name: "gateway",
        durable: wal.durable() - 1,
    };
    cut_is_told(notary.round(&[less]));
    // It was an error of whoever asked: the log goes on.
    note(&wal, 2, "icu").await;
    assert!(notary.round(&own(&wal)).unwrap().is_some());
}
