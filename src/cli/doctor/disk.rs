//! Room on the disks of journal, log, catalog and store.

use std::path::Path;

use super::Report;
use crate::config::{Config, StoreKind};

/// Less is a warning: 1 GiB.
const FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// Less is a failure: the journal's next file may not fit.
const FREE_BYTES_FAIL: u64 = 128 * 1024 * 1024;

/// Looks at each disk.
pub(super) fn look(config: &Config, report: &mut Report) {
    let mut places = vec![
        ("the journal", config.journal.dir.as_path()),
        ("the log", config.proof.dir.as_path()),
        ("the catalog", config.catalog.path.as_path()),
    ];
    if config.store.kind == StoreKind::Local {
        places.push(("the store", config.store.path.as_path()));
    }
    for (what, path) in places {
        one(what, path, report);
    }
}

fn one(what: &str, path: &Path, report: &mut Report) {
    const MEND: &str = "make room, or move it to a larger disk: without room nothing is served";
    let stat = match rustix::fs::statvfs(path) {
        Ok(stat) => stat,
        // The check of what is missing says so.
        Err(_absent) => return,
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let all = stat.f_blocks.saturating_mul(stat.f_frsize);
    let share = free
        .saturating_mul(100)
        .checked_div(all)
        .unwrap_or_default();
    let mib = free / (1024 * 1024);
    let says = format!("{mib} MiB free for {what}, {share} % of its disk");
    if free < FREE_BYTES_FAIL {
        report.fail("disk", says, MEND);
    } else if free < FREE_BYTES_MIN || free < all / 10 {
        report.warn("disk", says, MEND);
    } else {
        report.ok("disk", says);
    }
}
