//! Removes the oldest files of a lane once their records are kept elsewhere, so that the disk does
//! not fill. What is left begins behind a mark under the log key, which says where: a lane that
//! begins anywhere else was cut by somebody.
//!
//! ```text
//! <lane>/pruned = "KLUISPRN" next(8) file(16) chain(32) tag(32)    the link of the first file left
//! tag           = HMAC-SHA256(HKDF(log key, "kluis/journal/1/pruned"), all before ‖ lane)
//! ```
//!
//! First the mark, durable, then the files, oldest first: after a crash at any step readers begin
//! at the mark, and the next call removes what is left before it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ring::hmac;

use super::JournalError;
use super::disk::{Disk, HostDisk};
use super::file::{LogFile, failed, files_of};
use super::format::{Link, LogKey};
use crate::types::{Secret, Timestamp};

pub(super) const NAME: &str = "pruned";
pub(super) const BESIDE: &str = "pruned.tmp";
const MAGIC: &[u8; 8] = b"KLUISPRN";
/// Magic, number, file, chain.
const BODY_BYTES: usize = 8 + 8 + 16 + 32;

pub(super) fn unusable() -> JournalError {
    JournalError::Failed {
        reason: "the log key cannot be used".to_owned(),
    }
}

/// What is under the tag.
fn bound(body: &[u8], lane: &str) -> Vec<u8> {
    [body, lane.as_bytes()].concat()
}

pub(super) fn encode(link: &Link, lane: &str, key: &LogKey) -> Option<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&link.next.to_be_bytes());
    out.extend_from_slice(&link.file);
    out.extend_from_slice(&link.chain);
    let tag = hmac::sign(&key.mark()?, &bound(&out, lane));
    out.extend_from_slice(tag.as_ref());
    Some(out)
}

pub(super) fn decode(bytes: &[u8], lane: &str, key: &LogKey) -> Option<Link> {
    let (body, tag) = bytes.split_at_checked(BODY_BYTES)?;
    let rest = body.strip_prefix(MAGIC)?;
    let (next, rest) = rest.split_first_chunk()?;
    let (file, chain) = rest.split_first_chunk()?;
    let link = Link {
        next: u64::from_be_bytes(*next),
        file: *file,
        chain: chain.try_into().ok()?,
    };
    hmac::verify(&key.mark()?, &bound(body, lane), tag).ok()?;
    Some(link)
}

/// Where a lane's files begin since some were removed; `None` where none were.
pub(super) fn begin(dir: &Path, lane: &str, key: &LogKey) -> Result<Option<Link>, JournalError> {
    let file = match File::open(dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    // One byte more than it has, so that a longer one is none.
    let most = u64::try_from(BODY_BYTES + 33).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    let damaged = || JournalError::Damaged {
        file: format!("{lane}/{NAME}"),
        offset: 0,
    };
    decode(&bytes, lane, key).map(Some).ok_or_else(damaged)
}

/// The number of the first record that a lane's files hold: 0 where none were removed.
pub fn begins(dir: &Path, lane: &str, key: Secret<32>) -> Result<u64, JournalError> {
    let key = LogKey::new(key).ok_or_else(unusable)?;
    let link = begin(&dir.join(lane), lane, &key)?;
    Ok(link.map_or(0, |link| link.next))
}

/// What can go of a lane: whole files, never the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prunable {
    /// The first record in them.
    pub first: u64,
    /// The number behind the last one.
    pub end: u64,
}

struct Plan {
    /// Files in front of the mark, or that will be.
    gone: Vec<PathBuf>,
    /// Where the lane begins then, if that is new.
    link: Option<Link>,
    range: Option<Prunable>,
}

fn plan(
    dir: &Path,
    lane: &str,
    key: &LogKey,
    (until, before): (u64, Timestamp),
) -> Result<Plan, JournalError> {
    let mark = begin(dir, lane, key)?;
    let from = mark.map_or(0, |link| link.next);
    let files = files_of(dir)?;
    let mut left = files.iter().filter(|(first, _)| *first >= from);
    let first = left.next().map(|(first, _)| *first);
    let mut link = None;
    for (next, path) in left {
        if *next > until {
            break;
        }
        let header = LogFile::open(path, *next, lane, key)?.header;
        // It was begun when the file before it was full.
        if header.created >= before.millis() {
            break;
        }
        link = Some(header.link);
    }
    let begin = link.map_or(from, |link| link.next);
    // The newest is being written, wherever the mark may be.
    let newest = files.last().map(|(first, _)| *first);
    let range = first
        .zip(link)
        .map(|(first, Link { next: end, .. })| Prunable { first, end });
    Ok(Plan {
        gone: files
            .into_iter()
            .filter_map(|(first, path)| (first < begin && Some(first) != newest).then_some(path))
            .collect(),
        link,
        range,
    })
}

/// The records of a lane's files that can be removed: all below `until`, in files that were full
/// `before` then. `None` where there are none.
pub fn prunable(
    dir: &Path,
    lane: &str,
    key: Secret<32>,
    (until, before): (u64, Timestamp),
) -> Result<Option<Prunable>, JournalError> {
    let key = LogKey::new(key).ok_or_else(unusable)?;
    Ok(plan(&dir.join(lane), lane, &key, (until, before))?.range)
}

/// Removes them, and what an earlier call did not come to remove; how many files that was. **Only
/// for records that are kept elsewhere.** The lane may be written meanwhile, by another process
/// too.
pub fn prune(
    dir: &Path,
    lane: &str,
    key: Secret<32>,
    limits: (u64, Timestamp),
) -> Result<usize, JournalError> {
    prune_on(&HostDisk, (dir, lane), key, limits)
}

fn prune_on(
    disk: &dyn Disk,
    (dir, lane): (&Path, &str),
    key: Secret<32>,
    limits: (u64, Timestamp),
) -> Result<usize, JournalError> {
    let key = LogKey::new(key).ok_or_else(unusable)?;
    let dir = dir.join(lane);
    let plan = plan(&dir, lane, &key, limits)?;
    if let Some(link) = plan.link {
        let bytes = encode(&link, lane, &key).ok_or_else(unusable)?;
        let beside = dir.join(BESIDE);
        disk.remove(&beside).map_err(failed)?;
        let file = disk.create(&beside).map_err(failed)?;
        file.write_at(&bytes, 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        disk.rename(&beside, &dir.join(NAME)).map_err(failed)?;
        disk.sync_dir(&dir).map_err(failed)?;
    }
    for path in &plan.gone {
        disk.remove(path).map_err(failed)?;
    }
    if !plan.gone.is_empty() {
        disk.sync_dir(&dir).map_err(failed)?;
    }
    Ok(plan.gone.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::tests::support::{
        Counter, HandClock, TestDisk, config, event, read_all, secret,
    };
    use crate::journal::{Journal as _, Reader, Rest, Wal};
    use crate::ledger::samples;

    const LATER: Timestamp = Timestamp::from_millis(u64::MAX);

    /// A lane of five files; the first numbers of each, and the number behind the last record.
    async fn lane(dir: &Path, entropy: &Arc<Counter>) -> (Vec<u64>, u64) {
        let mut end = 0;
        for n in 0..5 {
            let entropy = Arc::<Counter>::clone(entropy);
            let wal = Wal::open(config(dir), HandClock::new(), entropy).unwrap();
            let session = Arc::new(samples::session());
            let (intent, completion) = (samples::intent(event(n)), samples::completion(event(n)));
            wal.note(&session, intent, completion).await.unwrap();
            wal.close().await.unwrap();
            while Rest::take(dir, "gw-1").unwrap().is_none() {}
            end = wal.durable();
        }
        (files(dir), end)
    }

    fn files(dir: &Path) -> Vec<u64> {
        let files = files_of(&dir.join("gw-1")).unwrap();
        files.into_iter().map(|(first, _)| first).collect()
    }

    /// The numbers that a reader gives, and how many findings.
    fn read(dir: &Path) -> (Vec<u64>, usize) {
        let (good, bad): (Vec<_>, Vec<_>) = read_all(dir).into_iter().partition(Result::is_ok);
        (
            good.into_iter().map(|r| r.unwrap().seq).collect(),
            bad.len(),
        )
    }

    fn go(dir: &Path, until: u64) -> usize {
        prune(dir, "gw-1", secret(), (until, LATER)).unwrap()
    }

    #[tokio::test]
    async fn whole_files_go_and_the_rest_is_read_without_a_finding() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let (firsts, end) = lane(dir.path(), &entropy).await;
        let all = |from: u64| -> (Vec<u64>, usize) { ((from..end).collect(), 0) };
        assert_eq!(read(dir.path()), all(0));
        assert_eq!(
            go(dir.path(), firsts[1] - 1),
            0,
            "its end is not kept elsewhere"
        );
        assert_eq!(begins(dir.path(), "gw-1", secret()).unwrap(), 0);
        let range = prunable(dir.path(), "gw-1", secret(), (firsts[2], LATER)).unwrap();
        let expected = Prunable {
            first: 0,
            end: firsts[2],
        };
        assert_eq!(range, Some(expected));
        assert_eq!(go(dir.path(), firsts[2]), 2);
        assert_eq!(begins(dir.path(), "gw-1", secret()).unwrap(), firsts[2]);
        assert_eq!(read(dir.path()), all(firsts[2]));
        assert_eq!(go(dir.path(), firsts[2]), 0, "it is done");
        // The newest stays, whatever is asked.
        assert_eq!(go(dir.path(), u64::MAX), 2);
        assert_eq!(files(dir.path()), firsts[4..]);
        assert_eq!(read(dir.path()), all(firsts[4]));
        // The lane goes on.
        let wal = Wal::open(config(dir.path()), HandClock::new(), entropy).unwrap();
        wal.close().await.unwrap();
        let (seqs, findings) = read(dir.path());
        assert_eq!((seqs.first(), findings), (Some(&firsts[4]), 0));
        assert!(seqs.len() > all(firsts[4]).0.len());
    }

    #[tokio::test]
    async fn what_is_too_young_stays() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let (_, end) = lane(dir.path(), &entropy).await;
        let young = Timestamp::from_millis(1_800_000_000_000);
        assert_eq!(
            prune(dir.path(), "gw-1", secret(), (end, young)).unwrap(),
            0
        );
    }

    #[tokio::test]
    async fn what_is_taken_away_without_the_key_is_told() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let (firsts, _) = lane(dir.path(), &entropy).await;
        let lane = dir.path().join("gw-1");
        go(dir.path(), firsts[1]);
        let mark = std::fs::read(lane.join(NAME)).unwrap();
        go(dir.path(), firsts[2]);
        let newest = std::fs::read(lane.join(NAME)).unwrap();
        assert_eq!(read(dir.path()).1, 0);
        let mut forged = newest.clone();
        forged[15] ^= 1;
        let longer = [&newest[..], b"x"].concat();
        for bad in [&mark, &forged, &longer, &newest[..20].to_vec(), &Vec::new()] {
            std::fs::write(lane.join(NAME), bad).unwrap();
            let told = Reader::open(dir.path(), secret())
                .map(|reader| reader.filter(Result::is_err).count());
            assert!(told.is_err() || told.is_ok_and(|n| n > 0));
        }
        std::fs::remove_file(lane.join(NAME)).unwrap();
        assert!(read(dir.path()).1 > 0, "the mark is gone");
        std::fs::write(lane.join(NAME), &newest).unwrap();
        // A file behind the mark.
        std::fs::remove_file(lane.join(super::super::file::file_name(firsts[2]))).unwrap();
        assert!(read(dir.path()).1 > 0);
    }

    /// The mark stays, the files behind it are away: what would be written there is hidden from
    /// every reader, and in front of the mark.
    #[tokio::test]
    async fn a_lane_that_ends_before_its_mark_is_not_written_on() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let (firsts, end) = lane(dir.path(), &entropy).await;
        let place = dir.path().join("gw-1");
        let at = |first: u64| place.join(super::super::file::file_name(first));
        let first = std::fs::read(at(firsts[0])).unwrap();
        go(dir.path(), firsts[3]);
        for first in &firsts[3..] {
            std::fs::remove_file(at(*first)).unwrap();
        }
        let opened = || {
            let entropy = Arc::<Counter>::clone(&entropy);
            Wal::open(config(dir.path()), HandClock::new(), entropy).map(drop)
        };
        assert!(matches!(opened(), Err(JournalError::Damaged { .. })));
        assert!(files(dir.path()).is_empty());
        // Nor where an older file is put back, and that file is never removed.
        std::fs::write(at(firsts[0]), first).unwrap();
        assert!(matches!(opened(), Err(JournalError::Damaged { .. })));
        assert_eq!(go(dir.path(), end), 0);
        assert_eq!(files(dir.path()), firsts[..1]);
    }

    #[tokio::test]
    async fn a_mark_of_another_lane_or_key_is_none() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
        let (firsts, _) = lane(dir.path(), &entropy).await;
        go(dir.path(), firsts[1]);
        let bytes = std::fs::read(dir.path().join("gw-1").join(NAME)).unwrap();
        let key = LogKey::new(secret()).unwrap();
        assert!(decode(&bytes, "gw-1", &key).is_some());
        assert!(decode(&bytes, "gw-2", &key).is_none());
        let other = LogKey::new(Secret::take(&mut [1; 32])).unwrap();
        assert!(decode(&bytes, "gw-1", &other).is_none());
    }

    #[tokio::test]
    async fn a_crash_at_any_step_is_finished_by_the_next_call() {
        let mut died = 0;
        for step in 1..64 {
            let (dir, entropy) = (tempfile::tempdir().unwrap(), Counter::new());
            let (firsts, end) = lane(dir.path(), &entropy).await;
            let limits = (firsts[3], LATER);
            let place = (dir.path(), "gw-1");
            let disk = TestDisk::default();
            disk.fail(step, u64::MAX, io::ErrorKind::Other);
            let done = prune_on(&disk, place, secret(), limits);
            // Whole or not done, to whoever reads now.
            let (seqs, findings) = read(dir.path());
            assert_eq!(findings, 0, "step {step}");
            let from = if begins(dir.path(), "gw-1", secret()).unwrap() == 0 {
                0
            } else {
                firsts[3]
            };
            assert_eq!(seqs, (from..end).collect::<Vec<_>>(), "step {step}");
            go(dir.path(), firsts[3]);
            assert_eq!(files(dir.path()), firsts[3..], "step {step}");
            assert_eq!(read(dir.path()), ((firsts[3]..end).collect(), 0));
            if done.is_ok() {
                break;
            }
            died += 1;
        }
        assert!(died > 7, "each step failed once: {died}");
    }
}
