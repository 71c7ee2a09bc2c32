//! The journal: readable from end to end, its lanes closed or held. Nothing of a record is shown.

use std::collections::BTreeSet;

use super::Report;
use crate::app::system::SystemClock;
use crate::app::{Lane, LaneState, LogLags, try_lane};
use crate::config::Config;
use crate::journal::{JournalError, Reader};
use crate::keyring::KeyRing;
use crate::ledger::Entry;
use crate::types::Clock as _;

/// Damages that are named one by one.
const DAMAGES_SHOWN_MAX: usize = 20;

/// Looks at the lanes, then reads all of them.
pub(super) fn look(config: &Config, ring: Option<&KeyRing>, report: &mut Report) {
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
        report.error(
            "journal",
            damage,
            "keep the file for those who investigate: what it held cannot be proved any more",
        );
    }
    if damages.is_empty() {
        report.ok("journal", format!("{records} entries read, none damaged"));
    }
    if !open.is_empty() && !serving {
        report.warn(
            "journal",
            format!("{} requests were open when the gateway stopped", open.len()),
            "the next start of the gateway closes them in the log",
        );
    }
}
