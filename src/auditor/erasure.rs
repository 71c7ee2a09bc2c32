//! `kluis-audit verify-erasure`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::json;

use super::args;
use crate::catalog::EraseScope;
use crate::cli::output::{CliError, Exit, Output};
use crate::ledger::erasure::Certificate;
use crate::ledger::tlog::VerifierKey;
use crate::types::limits::{CERTIFICATE_BYTES_MAX, TRUST_BYTES_MAX};
use crate::vault::erasure_words;

/// Runs it.
pub(super) fn run(ask: &args::VerifyErasure, output: &mut Output) -> Result<Exit, CliError> {
    let key = read(&ask.log, u64::try_from(TRUST_BYTES_MAX).unwrap_or(u64::MAX))?;
    let key: VerifierKey = key.trim().parse().map_err(|error| {
        CliError::of(Exit::Usage, &error).hint("`kluis-audit key` prints the log's key")
    })?;
    let file = read(&ask.file, CERTIFICATE_BYTES_MAX)?;
    let held = Certificate::verify(&file, &key).map_err(|error| CliError::of(Exit::No, &error))?;
    let said = &held.certificate;
    expected(ask, said)?;
    output.value(&json!({
        "holds": true,
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
    output.note("the certificate and its list hold; the log has a record of its SHA-256");
    Ok(Exit::Done)
}

/// Refuses a certificate that is good and of something else.
fn expected(ask: &args::VerifyErasure, said: &Certificate) -> Result<(), CliError> {
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
