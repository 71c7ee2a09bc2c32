//! Holds a lane against what somebody remembers of it: which record came last, and the link behind
//! it. A lane that was cut, and one that was cut and written on, has another one there, or none.

use std::path::Path;

use super::JournalError;
use super::file::{LogFile, files_of};
use super::format::{Link, LogKey};
use super::prune::{begin, unusable};
use super::tail::{Found, Tail};
use crate::types::Secret;

/// What stands behind a record: the file that holds it, and the chain. `file(16) ‖ chain(32)`.
pub type Anchor = [u8; 48];

/// The anchor of a link.
pub(super) fn anchor(link: &Link) -> Anchor {
    let mut out = [0; 48];
    let (file, chain) = out.split_at_mut(link.file.len());
    file.copy_from_slice(&link.file);
    chain.copy_from_slice(&link.chain);
    out
}

/// Whether a lane still holds the record before `next`, with this anchor behind it where one is
/// known; or did, when its files were removed at their time. What was damaged is not missed: who
/// reads the lane is told of it.
pub fn still_holds(
    dir: &Path,
    lane: &str,
    key: &Secret<32>,
    (next, known): (u64, Option<Anchor>),
) -> Result<bool, JournalError> {
    let Some(last) = next.checked_sub(1) else {
        return Ok(true);
    };
    let place = dir.join(lane);
    let log_key = LogKey::new(key.duplicate()).ok_or_else(unusable)?;
    if !place.is_dir() {
        return Ok(false);
    }
    let mark = begin(&place, lane, &log_key)?;
    let from = mark.map_or(0, |link| link.next);
    if !files_of(&place)?.iter().any(|(first, _)| *first >= from) {
        return Ok(false);
    }
    let same = |there: Option<Anchor>| known.is_none() || there == known;
    if let Some(mark) = mark.filter(|mark| mark.next >= next) {
        return Ok(mark.next > next || same(Some(anchor(&mark))));
    }
    let mut tail = Tail::open(dir, lane, key.duplicate(), last)?;
    tail.refresh()?;
    Ok(match tail.read(next)? {
        Some(Found::Record(..)) => same(tail.anchor()),
        // There is more behind it: damage, and told as such.
        Some(Found::Lost(..)) => true,
        None => false,
    })
}

/// Which file of a lane is the newest, by its own name for itself: another one after each writer.
pub fn newest(
    dir: &Path,
    lane: &str,
    key: &Secret<32>,
) -> Result<Option<(u64, [u8; 16])>, JournalError> {
    let key = LogKey::new(key.duplicate()).ok_or_else(unusable)?;
    let files = files_of(&dir.join(lane))?;
    let Some((first, path)) = files.last() else {
        return Ok(None);
    };
    match LogFile::open(path, *first, lane, &key) {
        Ok(file) => Ok(Some((*first, file.header.id))),
        Err(JournalError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::journal::tests::support::{Counter, HandClock, config, event, secret};
    use crate::journal::{Journal as _, Rest, Wal, prune};
    use crate::ledger::samples;
    use crate::types::Timestamp;

    const LANE: &str = "gw-1";

    /// Writes a file of a lane; the number behind its last record.
    async fn write(dir: &Path, entropy: &Arc<Counter>) -> u64 {
        let entropy = Arc::<Counter>::clone(entropy);
        let wal = Wal::open(config(dir), HandClock::new(), entropy).unwrap();
        let session = Arc::new(samples::session());
        let (intent, completion) = (samples::intent(event(1)), samples::completion(event(1)));
        wal.note(&session, intent, completion).await.unwrap();
        wal.close().await.unwrap();
        while Rest::take(dir, LANE).unwrap().is_none() {}
        wal.durable()
    }

    /// What a keeper of the lane remembers.
    fn remember(dir: &Path) -> (u64, Option<Anchor>) {
        let mut tail = Tail::open(dir, LANE, secret(), 0).unwrap();
        tail.refresh().unwrap();
        while let Some(Found::Record(..)) = tail.read(u64::MAX).unwrap() {}
        assert!(tail.anchor().is_some());
        (tail.next(), tail.anchor())
    }

    fn holds(dir: &Path, known: (u64, Option<Anchor>)) -> bool {
        still_holds(dir, LANE, &secret(), known).unwrap_or(false)
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let files = files_of(&dir.join(LANE)).unwrap();
        files.into_iter().map(|(_, path)| path).collect()
    }

    #[tokio::test]
    async fn a_lane_that_was_cut_and_written_on_is_not_taken_for_itself() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let dir = dir.path();
        assert!(holds(dir, (0, None)), "nothing is remembered");
        write(dir, &entropy).await;
        write(dir, &entropy).await;
        let known = remember(dir);
        assert!(holds(dir, known));
        // It goes on.
        write(dir, &entropy).await;
        assert!(holds(dir, known));
        let later = remember(dir);
        // Its newest file is away.
        let cut = files(dir).pop().unwrap();
        fs::remove_file(cut).unwrap();
        assert!(holds(dir, known) && !holds(dir, later));
        // It has as many records as before, and more; they are others.
        while write(dir, &entropy).await <= later.0 {}
        assert!(holds(dir, known) && !holds(dir, later));
        // By numbers alone that does not show.
        assert!(holds(dir, (later.0, None)));
        for path in files(dir) {
            fs::remove_file(path).unwrap();
        }
        assert!(!holds(dir, known));
        fs::remove_dir_all(dir.join(LANE)).unwrap();
        assert!(!holds(dir, known));
    }

    #[tokio::test]
    async fn a_lane_whose_last_frame_was_wiped_is_shorter() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let dir = dir.path();
        write(dir, &entropy).await;
        let known = remember(dir);
        let path = files(dir).pop().unwrap();
        let whole = fs::read(&path).unwrap();
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for at in [end, end - 40] {
            let mut cut = whole.clone();
            cut[at..].fill(0);
            fs::write(&path, cut).unwrap();
            assert!(!holds(dir, known));
            assert!(!holds(dir, (known.0, None)));
        }
        // What comes after has its numbers, and is not it.
        while write(dir, &entropy).await <= known.0 {}
        assert!(!holds(dir, known));
    }

    #[tokio::test]
    async fn what_was_removed_at_its_time_is_not_missed() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let dir = dir.path();
        write(dir, &entropy).await;
        let known = remember(dir);
        let older = (known.0 - 1, None);
        write(dir, &entropy).await;
        let late = Timestamp::from_millis(u64::MAX);
        assert_eq!(prune(dir, LANE, secret(), (known.0, late)).unwrap(), 1);
        assert!(holds(dir, known) && holds(dir, older));
        // The mark says which file went.
        assert!(!holds(dir, (known.0, Some([7; 48]))));
        fs::remove_file(files(dir).pop().unwrap()).unwrap();
        assert!(!holds(dir, known));
    }

    #[tokio::test]
    async fn the_newest_file_is_another_after_each_writer() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let dir = dir.path();
        let mut seen = Vec::new();
        for _ in 0..2 {
            write(dir, &entropy).await;
            let now = newest(dir, LANE, &secret()).unwrap();
            assert!(now.is_some() && !seen.contains(&now));
            seen.push(now);
        }
        // A file that takes the other's name is another.
        fs::remove_file(files(dir).pop().unwrap()).unwrap();
        write(dir, &entropy).await;
        let now = newest(dir, LANE, &secret()).unwrap();
        assert_eq!(now.unwrap().0, seen[1].unwrap().0);
        assert!(!seen.contains(&now));
    }
}
