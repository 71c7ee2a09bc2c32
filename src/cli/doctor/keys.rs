//! The root identity, the key ring, and that every dataset has a key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::Report;
use crate::app::{OpenVaultError, open_keys};
use crate::catalog::{DatasetRow, KeyWorkRow};
use crate::cli::open::{Desk, refuse};
use crate::cli::serve;
use crate::config::Config;
use crate::keyring::KeyRing;

/// Looks at the files and opens the ring.
pub(super) fn look(config: &Config, desk: Desk<'_>, report: &mut Report) -> Option<Arc<KeyRing>> {
    let identity = &config.keys.identity;
    exposed(identity, report);
    if let Some(file) = &config.keys.passphrase_file {
        exposed(file, report);
    }
    match open_keys(config, desk.environment, &serve::passphrase) {
        Ok(ring) => {
            let print = ring.fingerprint();
            report.ok(
                "keys",
                format!("{} opens the key ring {print}", identity.display()),
            );
            Some(ring)
        }
        Err(error) => {
            fail(&error, report);
            None
        }
    }
}

fn fail(error: &OpenVaultError, report: &mut Report) {
    let told = refuse(error);
    report.fail("keys", told.message(), &told.hints().join("; "));
}

/// A secret file is for its owner alone.
fn exposed(path: &Path, report: &mut Report) {
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    let says = format!("{} has mode {mode:o}", path.display());
    let mend = format!("chmod 600 {}", path.display());
    if mode & 0o007 != 0 {
        report.fail("keys", format!("{says}: every user can read it"), &mend);
    } else if mode & 0o070 != 0 {
        report.warn("keys", format!("{says}: its group can read it"), &mend);
    }
}

/// Every copy of the keys is there and has what the directory has.
pub(super) fn of_copies(ring: &KeyRing, report: &mut Report) {
    let copies = ring.copies().len();
    if copies == 0 {
        return;
    }
    match ring.mend_copies() {
        Ok(()) => report.ok("keys", format!("{copies} copies of the keys are whole")),
        Err(error) => report.error(
            "keys",
            &error,
            "is its disk mounted? `kluis key copy` begins a copy; until it is there no key is made \
             or destroyed",
        ),
    }
}

/// Work on keys that waits.
pub(super) fn of_works(open: &[KeyWorkRow], report: &mut Report) {
    for row in open {
        let name = format!("{}/{}", row.bucket.project, row.bucket.dataset);
        let what = row.scope.as_ref().map_or("rotation", |_| "erasure");
        report.warn(
            "keys",
            format!("a {what} of {name} began at {} and is not done", row.begun),
            "a running gateway carries it on; so does `kluis key resume`",
        );
    }
}

/// Every dataset has a key, and every key a dataset.
pub(super) fn of_datasets(ring: &KeyRing, datasets: &[DatasetRow], report: &mut Report) {
    let keyless: Vec<String> = datasets
        .iter()
        .filter(|row| ring.dataset(&row.id).is_err())
        .map(|row| format!("{}/{}", row.bucket.project, row.bucket.dataset))
        .collect();
    if keyless.is_empty() {
        report.ok(
            "keys",
            format!("each of {} datasets has its key", datasets.len()),
        );
    } else {
        report.fail(
            "keys",
            format!("no key opens for: {}", keyless.join(", ")),
            "restore the directory of the keys from its newest backup; an erased dataset stays lost",
        );
    }
}
