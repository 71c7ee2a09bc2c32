//! The journal: readable from end to end, its lanes closed or held; and whether the log of its
//! checkpoints can be kept. Nothing of a record is shown.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{Access, access};

use super::Report;
use crate::app::system::SystemClock;
use crate::app::{Lane, LaneState, LogLags, try_lane};
use crate::cli::words::count;
use crate::config::Config;
use crate::journal::{JournalError, Reader};
use crate::keyring::KeyRing;
use crate::ledger::Entry;
use crate::types::Clock as _;

/// Damages that are named one by one.
const DAMAGES_SHOWN_MAX: usize = 20;

/// Looks at the lanes, then reads all of them.
pub(super) fn look(config: &Config, ring: Option<&KeyRing>, report: &mut Report) {
    kept(&config.proof.dir, report);
    let dir = &config.journal.dir;
    if !dir.is_dir() {
        return report.fail(
            "journal",
            format!("{} is not there", dir.display()),
            "is its disk mounted, and `journal.dir` right? Make it, with mode 700, if the log is \
             to begin anew",
        );
    }
    lags(config, report);
    let serving = lane(config, Lane::Gateway, "a gateway is serving", report);
    lane(config, Lane::Admin, "a command is running", report);
    let Some(ring) = ring else {
        return report.warn(
            "journal",
            "not read: no key opens it",
            "mend the keys first",
        );
    };
    match Reader::open(dir, ring.log_key()) {
        Ok(reader) => read(reader, serving, report),
        Err(error) => report.error("journal", &error, "see that this user may read it"),
    }
}

/// Whether the log can be kept: without it no gateway starts. The first start makes what of the
/// directory is not there; nothing is written here.
fn kept(dir: &Path, report: &mut Report) {
    let there = dir.ancestors().find(|path| path.exists());
    let there = there.unwrap_or_else(|| Path::new("."));
    let lock = dir.join("lock");
    let looked = access(there, Access::WRITE_OK | Access::EXEC_OK).and_then(|()| {
        if lock.exists() {
            access(&lock, Access::WRITE_OK)
        } else {
            Ok(())
        }
    });
    let name = dir.display();
    match looked {
        Ok(()) if there == dir => report.ok("log", format!("it can be kept in {name}")),
        Ok(()) => report.ok("log", format!("the first start makes {name}")),
        Err(error) => report.fail(
            "log",
            format!("{name} cannot be written: {}", std::io::Error::from(error)),
            "set `proof.dir` to a directory that is the gateway's to write, on a disk that stays",
        ),
    }
}

/// Whether witnesses and volumes keep up with the log.
fn lags(config: &Config, report: &mut Report) {
    let lags = LogLags::of(&config.proof.dir, SystemClock.now());
    if let Err(late) = lags.witnesses() {
        report.warn(
            "witnesses",
            late,
            "see that `kluis-audit cosign --watch` runs and reaches them",
        );
    } else if lags.cosigned.is_some() {
        report.ok("witnesses", "they keep up with the log");
    }
    if let Err(late) = lags.shipping() {
        report.warn(
            "volumes",
            late,
            "see that `kluis-audit ship --watch` runs and reaches the store",
        );
    } else if lags.volumes.is_some() {
        report.ok("volumes", "they keep up with the log");
    }
}

/// Whether a process holds a lane.
fn lane(config: &Config, lane: Lane, says: &str, report: &mut Report) -> bool {
    match try_lane(config, lane) {
        Ok(LaneState::Held) => {
            report.ok("journal", says);
            true
        }
        Ok(LaneState::Kept(_)) => false,
        Err(error) => {
            report.error("journal", &error, "see that this user may write there");
            false
        }
    }
}

fn read(reader: Reader, serving: bool, report: &mut Report) {
    let mut records = 0_u64;
    let mut open = BTreeSet::new();
    let mut damages: Vec<JournalError> = Vec::new();
    for record in reader {
        match record {
            Ok(record) => {
                records = records.saturating_add(1);
                match record.entry {
                    Entry::Intent { intent, .. } => {
                        open.insert(intent.event);
                    }
                    Entry::Completion(completion) => {
                        open.remove(&completion.event);
                    }
                    Entry::Session(_)
                    | Entry::Whole { .. }
                    | Entry::Mark { .. }
                    | Entry::Policy { .. }
                    | Entry::Open(_) => {}
                }
            }
            Err(error) => damages.push(error),
        }
    }
    for damage in damages.iter().take(DAMAGES_SHOWN_MAX) {
        let mend = if matches!(damage, JournalError::Damaged { .. }) {
            "keep the file for those who investigate: what it held cannot be proved any more"
        } else {
            "see that this user may read it, and that its disk is sound; nothing is said of what it \
             holds"
        };
        report.error("journal", damage, mend);
    }
    if damages.is_empty() {
        report.ok(
            "journal",
            format!("{} read, none damaged", count(records, "entry", "entries")),
        );
    }
    if !open.is_empty() && !serving {
        report.warn(
            "journal",
            format!("{} requests were open when the gateway stopped", open.len()),
            "the next start of the gateway closes them in the log",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::State;
    use super::*;

    fn told(dir: &Path) -> (State, String) {
        let mut report = Report::default();
        kept(dir, &mut report);
        let line = report.0.pop().expect("a line");
        assert!(report.0.is_empty() && line.mend.is_some() == (line.state == State::Fail));
        (line.state, line.says)
    }

    #[test]
    fn a_log_that_cannot_be_kept_is_told_and_nothing_is_made() {
        let place = tempfile::tempdir().expect("a directory");
        let dir = place.path().join("data/log");
        let (state, says) = told(&dir);
        assert!(state == State::Ok && says.contains("the first start makes"));
        assert!(!place.path().join("data").exists());
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("lock"), "").expect("written");
        let (state, says) = told(&dir);
        assert!(state == State::Ok && says.contains("can be kept in"));
        // Where a file is, root itself makes nothing.
        let file = place.path().join("file");
        fs::write(&file, "").expect("written");
        for wrong in [file.clone(), file.join("log"), file.join("a/b")] {
            let (state, says) = told(&wrong);
            let name = wrong.display().to_string();
            assert!(state == State::Fail && says.contains(&name), "{says}");
        }
    }
}
