//! `kluis-audit verify-erasure`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::json;

use super::args_of_proof::VerifyErasure;
use super::source::DirSource;
use super::verify::{directory, trusted};
use crate::app::system::SystemClock;
use crate::catalog::EraseScope;
use crate::cli::output::{CliError, Exit, Output};
use crate::ledger::erasure::{Certificate, Certified};
use crate::ledger::evidence::{Demand, verify};
use crate::ledger::tlog::VerifierKey;
use crate::ledger::{Entry, Outcome};
use crate::types::limits::{CERTIFICATE_BYTES_MAX, TRUST_BYTES_MAX};
use crate::types::{Action, Clock as _};
use crate::vault::erasure_words;

/// Runs it.
pub(super) fn run(ask: &VerifyErasure, output: &mut Output) -> Result<Exit, CliError> {
    let key = read(&ask.log, u64::try_from(TRUST_BYTES_MAX).unwrap_or(u64::MAX))?;
    let key: VerifierKey = key.trim().parse().map_err(|error| {
        CliError::of(Exit::Usage, &error).hint("`kluis-audit key` prints the log's key")
    })?;
    let file = read(&ask.file, CERTIFICATE_BYTES_MAX)?;
    let held = Certificate::verify(&file, &key).map_err(|error| CliError::of(Exit::No, &error))?;
    let said = &held.certificate;
    expected(ask, said)?;
    let recorded = match &ask.bundle {
        Some(dir) => Some(recorded(dir, ask, &held)?),
        None => None,
    };
    output.record(&json!({
        "holds": recorded.unwrap_or(true),
        "recorded": recorded,
        "log": said.log,
        "work": said.work.to_string(),
        "dataset": said.dataset.to_string(),
        "name": said.bucket.to_string(),
        "scope": said.scope,
        "asked_by": said.asked_by.to_string(),
        "approved_by": said.approved_by.to_string(),
        "reason": said.reason,
        "begun": said.begun.to_string(),
        "ended": said.ended.to_string(),
        "keys": said.keys,
        "copies": said.copies,
        "writes": said.writes,
        "bytes": said.bytes,
        "blobs_deleted": said.blobs,
        "blobs_kept": said.kept,
        "sha256": HEXLOWER.encode(&held.hash),
    }))?;
    match recorded {
        Some(true) => {
            output.note("the certificate and its list hold; the log has a record of its SHA-256");
        }
        Some(false) => {
            let told = "the certificate and its list hold; no record of it is in this bundle";
            return Err(CliError::new(Exit::No, told).hint(
                "is the bundle of this project, whole, and made after the erasure had ended?",
            ));
        }
        None => {
            output.note("the certificate and its list hold; the log itself was not looked at");
            output.hint("`--bundle DIR` looks for its record in what `kluis-audit bundle` made");
        }
    }
    Ok(Exit::Done)
}

/// Whether a bundle, which must hold as evidence, has the record of this certificate's hash.
fn recorded(dir: &Path, ask: &VerifyErasure, held: &Certified) -> Result<bool, CliError> {
    let said = &held.certificate;
    let words = format!(
        "work={} certificate={}",
        said.work,
        HEXLOWER.encode(&held.hash)
    );
    let trust = trusted(Some(&ask.log), None)?;
    directory(dir)?;
    let demand = Demand {
        now: SystemClock.now(),
        days: 0,
    };
    let mut found = false;
    let report = verify(&mut DirSource::new(dir), &trust, &[], demand, &mut |seen| {
        let Entry::Whole {
            intent, completion, ..
        } = &seen.entry
        else {
            return;
        };
        // What others ask is text of theirs: a listing's prefix may read like such a record.
        let erases = matches!(
            intent.action,
            Some(Action::DatasetDelete | Action::ObjectDelete | Action::VersionDelete)
        );
        found |= erases
            && completion.outcome == Outcome::Success
            && intent.object.project.as_ref() == Some(&said.bucket.project)
            && intent.object.dataset.as_ref() == Some(&said.bucket.dataset)
            && intent.query.as_deref() == Some(&words);
    });
    let report = report.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
    match report.findings.first() {
        None => Ok(found),
        Some(finding) => {
            let told = format!("{}: {}", finding.kind.word(), finding.text);
            Err(CliError::new(Exit::No, told)
                .hint("the bundle does not hold: `kluis-audit verify` names every fault"))
        }
    }
}

/// Refuses a certificate that is good and of something else.
fn expected(ask: &VerifyErasure, said: &Certificate) -> Result<(), CliError> {
    let other = |of: &str| {
        let told = format!("the certificate is of something else: {of}");
        CliError::new(Exit::No, told).hint("it is signed by this log, and proves nothing of yours")
    };
    if ask
        .dataset
        .as_ref()
        .is_some_and(|name| *name != said.bucket)
    {
        return Err(other(&said.bucket.to_string()));
    }
    let Some(what) = &ask.what else { return Ok(()) };
    let scope = EraseScope::parse(what).ok_or_else(|| {
        CliError::new(Exit::Usage, "what is erased is written as it was asked for")
            .hint("dataset, object=KEY, write=VERSION:KEY or version=N")
    })?;
    if erasure_words(&scope) != said.scope {
        return Err(other(&said.scope));
    }
    Ok(())
}

fn read(path: &Path, bytes_max: u64) -> Result<String, CliError> {
    let wrong =
        |error: std::io::Error| CliError::new(Exit::Usage, format!("{}: {error}", path.display()));
    let length = fs::metadata(path).map_err(wrong)?.len();
    if length > bytes_max {
        let what = format!("{}: larger than any such file", path.display());
        return Err(CliError::new(Exit::Usage, what));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(bytes_max)
        .read_to_string(&mut text)
        .map_err(wrong)?;
    Ok(text)
}
