//! The root identity, the key ring, and that every dataset has a key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Report;
use crate::app::{OpenVaultError, exposed, look_at_root, open_keys, renew_token};
use crate::catalog::{DatasetRow, KeyWorkRow};
use crate::cli::open::{Desk, refuse};
use crate::cli::serve;
use crate::config::{Config, RootKind};
use crate::keyring::{Keeper, KeptRoot, KeyRing, Quorum, RootFile};

/// Looks at the files and opens the ring.
pub(super) fn look(config: &Config, desk: Desk<'_>, report: &mut Report) -> Option<Arc<KeyRing>> {
    of_files(config, report);
    match look_at_root(config) {
        Ok(RootFile::Kept(kept)) => {
            let Keeper::Custodians(quorum) = kept.keeper() else {
                return open(config, desk, report);
            };
            of_custodians(config, &kept, quorum, report);
            None
        }
        Ok(_) => open(config, desk, report),
        Err(error) => {
            fail(&error, report);
            None
        }
    }
}

fn open(config: &Config, desk: Desk<'_>, report: &mut Report) -> Option<Arc<KeyRing>> {
    let runtime = match serve::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            report.fail("keys", error.message(), "try again");
            return None;
        }
    };
    match runtime.block_on(open_keys(config, desk.environment, &serve::passphrase)) {
        Ok(ring) => {
            let print = ring.fingerprint();
            let identity = config.keys.identity.display();
            report.ok("keys", format!("{identity} opens the key ring {print}"));
            if config.keys.root == RootKind::Transit {
                of_token(&runtime, config, report);
            }
            Some(ring)
        }
        Err(error) => {
            fail(&error, report);
            None
        }
    }
}

/// The key service's token lives on: renewed here as a gateway does it.
fn of_token(runtime: &tokio::runtime::Runtime, config: &Config, report: &mut Report) {
    match runtime.block_on(renew_token(&config.transit)) {
        Ok(left) => {
            let hours = left.as_secs() / 3_600;
            report.ok(
                "keys",
                format!("the key service's token is renewed, for {hours} hours"),
            );
        }
        Err(error) => report.warn(
            "keys",
            format!("the key service's token is not renewed: {error}"),
            "give it a period and the policy `default`: a vault whose token has ended does not \
             open again",
        ),
    }
}

/// A root that custodians keep is not opened for a look: what can be seen without them is.
fn of_custodians(config: &Config, kept: &KeptRoot, quorum: &Quorum, report: &mut Report) {
    let named = std::fs::read_to_string(config.keys.dir.join("root.pub")).unwrap_or_default();
    if !named.lines().any(|line| line == kept.recipient()) {
        let says = "the key ring is of another root than the custodians'";
        report.fail(
            "keys",
            says,
            "restore the file of the root or the ring from its backup",
        );
    }
    let custodians: Vec<String> = quorum.names().iter().map(ToString::to_string).collect();
    let (needed, all) = (quorum.needed(), custodians.len());
    let says = format!(
        "{needed} of {all} custodians open the root: {}",
        custodians.join(", ")
    );
    report.ok("keys", says);
    if usize::from(needed) == all {
        report.warn(
            "keys",
            "every custodian is needed: whoever loses a share loses the vault",
            "share the root anew with one more, `kluis key change-root`",
        );
    }
    for path in shares_beside(&config.keys.identity) {
        report.warn(
            "keys",
            format!("{} lies beside the vault", path.display()),
            "a share belongs to its custodian: hand it over and delete it here",
        );
    }
}

/// Shares in the directory of the root's file, and in those in it.
fn shares_beside(identity: &Path) -> Vec<PathBuf> {
    let dir = identity.parent().unwrap_or_else(|| Path::new("."));
    let entries = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        entries
            .flatten()
            .map(|entry| entry.path())
            .take(1_000)
            .collect::<Vec<_>>()
    };
    let mut all = entries(dir);
    for folder in all.clone().iter().filter(|path| path.is_dir()) {
        all.extend(entries(folder));
    }
    all.retain(|path| path.extension().is_some_and(|end| end == "share"));
    all
}

fn fail(error: &OpenVaultError, report: &mut Report) {
    let told = refuse(error);
    report.fail("keys", told.message(), &super::mend(&told));
}

/// A secret file is for its owner alone.
fn of_files(config: &Config, report: &mut Report) {
    for found in exposed(config) {
        let mend = format!("chmod 600 {}", found.path.display());
        if found.to_everybody() {
            report.fail("keys", found.to_string(), &mend);
        } else {
            report.warn("keys", found.to_string(), &mend);
        }
    }
}

/// Every copy of the keys is there and has what the directory has.
pub(super) fn of_copies(ring: &KeyRing, report: &mut Report) {
    let copies = ring.copies().len();
    if copies == 0 {
        return;
    }
    match ring.mend_copies() {
        Ok(()) if copies == 1 => report.ok("keys", "the copy of the keys is whole"),
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
        let what = row.word();
        report.warn(
            "keys",
            format!(
                "work on keys ({what}) of {name} began at {} and is not done",
                row.begun
            ),
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
        let says = match datasets.len() {
            0 => "no dataset is there that needs a key".to_owned(),
            1 => "the one dataset has its key".to_owned(),
            all => format!("each of {all} datasets has its key"),
        };
        report.ok("keys", says);
    } else {
        report.fail(
            "keys",
            format!("no key opens for: {}", keyless.join(", ")),
            "restore the directory of the keys from its newest backup; an erased dataset stays lost",
        );
    }
}
