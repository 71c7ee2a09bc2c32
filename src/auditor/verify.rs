//! `kluis-audit verify`.

use std::path::Path;

use serde_json::json;

use super::args;
use super::replay::{Again, Counts, Verdict};
use super::source::DirSource;
use crate::app::system::SystemClock;
use crate::app::{create_dir, write_file};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::words::count;
use crate::journal::{Filter, Pairs, Record, Request};
use crate::ledger::evidence::{
    Demand, Finding, FindingKind, Report, RowsError, STATED, Source as _, Statement,
    StatementError, read_policies, verify,
};
use crate::ledger::tlog::{Checkpoint, KeyKind, Note, TrustPolicy, VerifierKey};
use crate::types::Clock as _;
use crate::types::limits::{LOG_KEPT_MAX, NOTE_BYTES_MAX, TRUST_BYTES_MAX};

/// Runs it.
pub(super) fn run(ask: &args::Verify, output: &mut Output) -> Result<Exit, CliError> {
    let trust = trusted(ask.log.as_deref(), ask.trust.as_deref())?;
    directory(&ask.dir)?;
    let kept = match &ask.kept {
        Some(dir) => kept(dir)?,
        None => Vec::new(),
    };
    let mut source = DirSource::new(&ask.dir);
    let (mut again, sound) = texts(&mut source)?;
    let mut counts = Counts::default();
    let mut pairs = Pairs::new(Filter::default());
    let mut failed = None;
    let demand = Demand {
        now: SystemClock.now(),
        days: ask.retention,
    };
    let report = verify(&mut source, &trust, &kept, demand, &mut |seen| {
        if !(ask.requests || ask.replay) || failed.is_some() {
            return;
        }
        let request = pairs.push(Record {
            lane: seen.lane.into(),
            seq: seen.seq,
            session: seen.session.map(std::sync::Arc::clone),
            entry: seen.entry,
        });
        if let Some(request) = request {
            if ask.replay {
                judge(&mut again, &request, &mut counts, output);
            }
            if ask.requests {
                failed = output.value(&request.view().json()).err();
            }
        }
    });
    let mut report = report.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
    if let Some(error) = failed {
        return Err(error);
    }
    for request in pairs.open() {
        if ask.replay {
            judge(&mut again, request, &mut counts, output);
        }
        if ask.requests {
            output.value(&request.view().json())?;
        }
    }
    stated(&mut source, sound, &mut report)?;
    if ask.replay {
        output.note(&counts.to_string());
    }
    tell(&report, ask.requests, output)?;
    if !report.findings.is_empty() || (ask.replay && !counts.all_same()) {
        return Ok(Exit::No);
    }
    if let Some(dir) = &ask.kept {
        keep(dir, &report)?;
    }
    Ok(Exit::Done)
}

/// The texts in a bundle that its decisions rest on, and whether each is what it is named by.
fn texts(source: &mut DirSource) -> Result<(Again, bool), CliError> {
    let mut again = Again::default();
    let mut full = None;
    let Some(file) = source.stream("policies")? else {
        return Ok((again, true));
    };
    let read = read_policies(std::io::BufReader::new(file), |version, text| {
        full = full.take().or_else(|| again.take(version, &text).err());
    });
    if let Some(error) = full {
        return Err(CliError::of(Exit::No, &error));
    }
    let sound = match read {
        Ok(()) => again.is_sound(),
        Err(RowsError::Io(error)) => return Err(error.into()),
        Err(_form) => false,
    };
    Ok((again, sound))
}

/// Decides a request again; tells where it is not the same.
fn judge(again: &mut Again, request: &Request, counts: &mut Counts, output: &mut Output) {
    let (session, end) = (request.session.as_deref(), request.completion.as_ref());
    let Some(verdict) = again.judge(session, &request.intent, end) else {
        return;
    };
    counts.count(&verdict);
    if verdict != Verdict::Same {
        let why = verdict.why().unwrap_or_default();
        let told = format!("replay: {} {} {why}", verdict.word(), request.view());
        output.error(&CliError::new(Exit::No, told.trim_end()));
    }
}

/// The files of a bundle are those that the log's key has signed, and its texts what they are
/// named by.
fn stated(source: &mut DirSource, sound: bool, report: &mut Report) -> Result<(), CliError> {
    let kind = FindingKind::Bundle;
    let Some(key) = &report.log else {
        return Ok(());
    };
    // Of a copy of the log itself nothing is stated; of a bundle each file is.
    let mut stated = false;
    for name in STATED.into_iter().chain(["statement"]) {
        stated = stated || source.stream(name)?.is_some();
    }
    if !stated {
        return Ok(());
    }
    match Statement::verify(source, key) {
        Ok(()) => {}
        Err(StatementError::Io(error)) => return Err(error.into()),
        Err(error) => {
            let text = error.to_string();
            report.findings.push(Finding { kind, text });
        }
    }
    if !sound {
        let text = "a policy version is not what its hash says".to_owned();
        report.findings.push(Finding { kind, text });
    }
    Ok(())
}

fn wrong(path: &Path, what: &str) -> CliError {
    CliError::new(Exit::Usage, format!("{}: {what}", path.display()))
}

/// That there is something to verify: a wrong path is no evidence against anybody.
pub(super) fn directory(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        return Ok(());
    }
    Err(wrong(path, "no such directory")
        .hint("it is what `kluis-audit bundle --out` made, or a copy of `proof.dir`"))
}

pub(super) fn text(path: &Path, most: usize) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, &error.to_string()))?;
    if text.len() > most {
        return Err(wrong(path, "is too long"));
    }
    Ok(text)
}

/// Whom to trust: a policy, or one log by its key.
pub(super) fn trusted(log: Option<&Path>, trust: Option<&Path>) -> Result<TrustPolicy, CliError> {
    if let Some(path) = trust {
        let policy = TrustPolicy::parse(&text(path, TRUST_BYTES_MAX)?);
        return policy.map_err(|error| wrong(path, &error.to_string()));
    }
    let Some(path) = log else {
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

/// Adds the checkpoint that was judged to those that are kept: what its file says by now may be
/// another.
fn keep(dir: &Path, report: &Report) -> Result<(), CliError> {
    let Some((checkpoint, note)) = report.checkpoint.as_ref().zip(report.note.as_ref()) else {
        return Ok(());
    };
    create_dir(dir).map_err(|error| wrong(dir, &error.to_string()))?;
    let path = dir.join(format!("{:020}.checkpoint", checkpoint.size));
    write_file(&path, note.to_string().as_bytes(), 0o644)
        .map_err(|error| wrong(&path, &error.to_string()))
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
            "hidden": report.hidden,
            "others": report.others,
            "shown": report.shown,
            "requests": report.requests,
            "open": report.open,
            "expired": report.expired,
            "clock_set_back": report.clock_set_back,
        }));
    }
    tell_counts(report, checkpoint, output);
    if holds {
        output.note("the evidence holds: nothing was taken out, put in, changed or moved");
    }
    Ok(())
}

/// What was checked, for people.
fn tell_counts(report: &Report, checkpoint: &Checkpoint, output: &mut Output) {
    let (first, end) = report.entries;
    output.note(&format!(
        "log {} of {}, cosigned by {}, a continuation of {}",
        checkpoint.origin,
        count(checkpoint.size, "entry", "entries"),
        count(report.cosigned.len(), "witness", "witnesses"),
        count(report.kept, "kept checkpoint", "kept checkpoints")
    ));
    // What is counted ends before the entry of that number.
    let last = end.saturating_sub(1);
    for scope in &report.scopes {
        let whose = if scope.is_empty() {
            "the vault"
        } else {
            scope.as_str()
        };
        output.note(&format!(
            "{whose}: {} of {} in entries {first} to {last}, {} not ended",
            count(report.rows, "record", "records"),
            count(report.requests, "request", "requests"),
            report.open
        ));
    }
    if let Some(shown) = &report.shown {
        output.note(&format!(
            "shown is {}; of {} the leaves are here",
            shown.escape_debug(),
            count(report.hidden, "other record", "other records")
        ));
    }
    if report.others > 0 {
        output.note(&format!(
            "beside them {} of other projects, or of none (people, keys, the host): no part of it",
            count(report.others, "record", "records")
        ));
    }
    if report.expired > 0 {
        output.note(&format!(
            "{} went when their time was over",
            count(report.expired, "record", "records")
        ));
    }
    if report.clock_set_back > 0 {
        output.note(&format!(
            "the clock was set back {}",
            count(report.clock_set_back, "time", "times")
        ));
    }
}
