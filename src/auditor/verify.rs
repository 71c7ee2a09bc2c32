//! `kluis-audit verify`.

use std::path::Path;

use serde_json::json;

use super::args;
use super::source::DirSource;
use crate::app::system::SystemClock;
use crate::app::{create_dir, write_file};
use crate::cli::output::{CliError, Exit, Output};
use crate::journal::{Filter, Pairs, Record};
use crate::ledger::evidence::{Demand, Report, Source as _, verify};
use crate::ledger::tlog::{KeyKind, Note, TrustPolicy, VerifierKey};
use crate::types::Clock as _;
use crate::types::limits::{LOG_KEPT_MAX, NOTE_BYTES_MAX, TRUST_BYTES_MAX};

/// Runs it.
pub(super) fn run(ask: &args::Verify, output: &mut Output) -> Result<Exit, CliError> {
    let trust = trust(ask)?;
    let kept = match &ask.kept {
        Some(dir) => kept(dir)?,
        None => Vec::new(),
    };
    let mut source = DirSource::new(&ask.dir);
    let mut pairs = Pairs::new(Filter::default());
    let mut failed = None;
    let demand = Demand {
        now: SystemClock.now(),
        days: ask.retention,
    };
    let report = verify(&mut source, &trust, &kept, demand, &mut |seen| {
        if !ask.requests || failed.is_some() {
            return;
        }
        let request = pairs.push(Record {
            lane: seen.lane.into(),
            seq: seen.seq,
            session: seen.session.map(std::sync::Arc::clone),
            entry: seen.entry,
        });
        if let Some(request) = request {
            failed = output.value(&request.view().json()).err();
        }
    });
    let report = report.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
    if let Some(error) = failed {
        return Err(error);
    }
    if ask.requests {
        for request in pairs.open() {
            output.value(&request.view().json())?;
        }
    }
    tell(&report, ask.requests, output)?;
    if !report.findings.is_empty() {
        return Ok(Exit::No);
    }
    if let Some(dir) = &ask.kept {
        keep(dir, &mut source, &report)?;
    }
    Ok(Exit::Done)
}

fn wrong(path: &Path, what: &str) -> CliError {
    CliError::new(Exit::Usage, format!("{}: {what}", path.display()))
}

fn text(path: &Path, most: usize) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, &error.to_string()))?;
    if text.len() > most {
        return Err(wrong(path, "is too long"));
    }
    Ok(text)
}

fn trust(ask: &args::Verify) -> Result<TrustPolicy, CliError> {
    if let Some(path) = &ask.trust {
        let policy = TrustPolicy::parse(&text(path, TRUST_BYTES_MAX)?);
        return policy.map_err(|error| wrong(path, &error.to_string()));
    }
    let Some(path) = &ask.log else {
        return Err(CliError::new(Exit::Usage, "whom to trust is not said")
            .hint("--log FILE with the log's key, or --trust FILE with a policy"));
    };
    let key: Option<VerifierKey> = text(path, TRUST_BYTES_MAX)?.trim_end().parse().ok();
    let key = key.filter(|key| key.kind() == KeyKind::Note);
    let key = key.ok_or_else(|| wrong(path, "is not the public key of a log"))?;
    Ok(TrustPolicy::log(key))
}

/// The checkpoints of earlier verifications.
fn kept(dir: &Path) -> Result<Vec<Note>, CliError> {
    let mut notes = Vec::new();
    if !dir.is_dir() {
        return Ok(notes);
    }
    let failed = |error: std::io::Error| wrong(dir, &error.to_string());
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|ending| ending != "checkpoint") {
            continue;
        }
        if notes.len() >= LOG_KEPT_MAX {
            return Err(wrong(dir, "holds more checkpoints than can be compared"));
        }
        let note = Note::parse(text(&path, NOTE_BYTES_MAX)?.as_bytes());
        notes.push(note.map_err(|error| wrong(&path, &error.to_string()))?);
    }
    Ok(notes)
}

/// Adds the checkpoint to those that are kept.
fn keep(dir: &Path, source: &mut DirSource, report: &Report) -> Result<(), CliError> {
    let Some(checkpoint) = &report.checkpoint else {
        return Ok(());
    };
    create_dir(dir).map_err(|error| wrong(dir, &error.to_string()))?;
    let path = dir.join(format!("{:020}.checkpoint", checkpoint.size));
    let bytes = source.read("checkpoint")?.unwrap_or_default();
    write_file(&path, &bytes, 0o644).map_err(|error| wrong(&path, &error.to_string()))
}

fn tell(report: &Report, requests: bool, output: &mut Output) -> Result<(), CliError> {
    for finding in &report.findings {
        let text = format!("{}: {}", finding.kind.word(), finding.text);
        output.error(&CliError::new(Exit::No, text));
    }
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| json!({"kind": finding.kind.word(), "text": finding.text}))
        .collect();
    let holds = findings.is_empty();
    let Some(checkpoint) = &report.checkpoint else {
        return if output.is_json() && !requests {
            output.value(&json!({"holds": holds, "findings": findings}))
        } else {
            Ok(())
        };
    };
    let cosigned: Vec<&str> = report
        .cosigned
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    if output.is_json() && !requests {
        return output.value(&json!({
            "holds": holds,
            "findings": findings,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": data_encoding::BASE64.encode(&checkpoint.root),
            "entries": [report.entries.0, report.entries.1],
            "cosigned": cosigned,
            "kept": report.kept,
            "scopes": report.scopes,
            "rows": report.rows,
            "requests": report.requests,
            "open": report.open,
            "expired": report.expired,
            "clock_set_back": report.clock_set_back,
        }));
    }
    let (first, end) = report.entries;
    output.note(&format!(
        "log {} of {} entries, cosigned by {} witnesses, a continuation of {} kept checkpoints",
        checkpoint.origin,
        checkpoint.size,
        cosigned.len(),
        report.kept
    ));
    for scope in &report.scopes {
        let whose = if scope.is_empty() {
            "the vault"
        } else {
            scope.as_str()
        };
        output.note(&format!(
            "{whose}: {} records of {} requests in entries {first} to {end}, {} not ended",
            report.rows, report.requests, report.open
        ));
    }
    if report.expired > 0 {
        output.note(&format!(
            "{} records went when their time was over",
            report.expired
        ));
    }
    if report.clock_set_back > 0 {
        output.note(&format!(
            "the clock was set back {} times",
            report.clock_set_back
        ));
    }
    if holds {
        output.note("the evidence holds: nothing was taken out, put in, changed or moved");
    }
    Ok(())
}
