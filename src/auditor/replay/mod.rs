//! `kluis-audit replay`: decides recorded requests again with the policy version that each names,
//! and says where effect, rule or grant are not the same (AZ-5).

mod again;
mod question;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Value, json};

use super::archive::{Archive, LogKeys, unreadable};
use super::args;
use super::hot::{Hot, lost_words};
use super::rows::{Span, in_scope, volumes};
use crate::archive::{Row, texts_of};
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::ledger::{Entry, PolicyRef, Pseudonyms, View};
use crate::types::GrantId;
use again::TooMuch;
pub(super) use again::{Again, Counts, Verdict};

/// Runs it.
pub(super) fn run(
    ask: &args::Replay,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let question = ask.words();
    let (keys, hidden) = desk.act(output, async |opened| {
        let call = call(opened, "audit replay")?;
        let hidden = super::admit(opened, &call, &ask.whose, (&question, false)).await?;
        Ok((LogKeys::of(&config, opened).await?, hidden))
    })?;
    let mut replay = Replay {
        ask,
        hidden,
        again: Again::default(),
        counts: Counts::default(),
        output,
    };
    runtime()?.block_on(async {
        let archive = Archive::open(desk, keys).await?;
        for place in archive.index.volumes() {
            let volume = archive.volume(place).await?;
            let mut full = None;
            let read = texts_of(&volume, |version, text| {
                full = full
                    .take()
                    .or_else(|| replay.again.take(version, &text).err());
            });
            read.map_err(|error| unreadable(&error))?;
            full.map_or(Ok(()), |full| Err(too_much(&full)))?;
        }
        let (newest, lost) = newest(&archive, &config, &mut replay).await?;
        if lost > 0 {
            return Err(CliError::new(Exit::No, lost_words(lost)));
        }
        volumes(&archive, replay.span(), |lane, row| replay.row(lane, &row)).await?;
        newest
            .iter()
            .try_for_each(|(lane, row)| replay.row(lane, row))
    })?;
    replay.finish()
}

fn too_much(error: &TooMuch) -> CliError {
    CliError::of(Exit::Unavailable, error)
}

/// The newest records that were asked for, and the texts among all of them.
async fn newest(
    archive: &Archive,
    config: &crate::config::Config,
    replay: &mut Replay<'_>,
) -> Result<(Vec<(String, Row)>, u64), CliError> {
    let mut rows = Vec::new();
    let mut hot = Hot::open(archive, config).await?;
    hot.read(archive, |lane, row| {
        if let Entry::Policy { version, text } = &row.entry {
            let taken = replay.again.take(*version, text);
            taken.map_err(|error| too_much(&error))?;
        } else if replay.wants(&row) {
            rows.push((lane.to_owned(), row));
        }
        Ok(())
    })
    .await?;
    for (lane, row) in hot.open_rows() {
        if replay.wants(row) {
            rows.push((lane.to_owned(), row.clone()));
        }
    }
    Ok((rows, hot.lost()))
}

struct Replay<'a> {
    ask: &'a args::Replay,
    hidden: Option<Arc<Pseudonyms>>,
    again: Again,
    counts: Counts,
    output: &'a mut Output,
}

fn decision(allowed: bool, rule: &str, grant: Option<GrantId>) -> Value {
    let grant = grant.map(|id| id.to_string());
    let effect = if allowed { "allow" } else { "deny" };
    json!({ "effect": effect, "rule": rule, "grant_id": grant })
}

impl Replay<'_> {
    const fn span(&self) -> Span {
        Span {
            since: self.ask.since,
            until: self.ask.until,
        }
    }

    /// Whether this row was asked for.
    fn wants(&self, row: &Row) -> bool {
        let begun = row.entry.begun();
        begun.is_some_and(|begun| self.span().holds(begun))
            && in_scope(row, self.ask.whose.project.as_ref())
            && (self.ask.event.is_none() || self.ask.event == row.entry.event())
    }

    fn row(&mut self, lane: &str, row: &Row) -> Result<(), CliError> {
        if !self.wants(row) {
            return Ok(());
        }
        let session = row.session.as_deref();
        let Some(mut view) = View::of(lane, row.seq, session, &row.entry) else {
            return Ok(());
        };
        if let Some((_, completion)) = &row.end {
            view.completion = Some(completion);
        }
        let Some(intent) = view.intent else {
            return Ok(());
        };
        let Some(verdict) = self.again.judge(session, intent, view.completion) else {
            return Ok(());
        };
        self.counts.count(&verdict);
        if verdict == Verdict::Same && self.ask.event.is_none() && !self.ask.all {
            return Ok(());
        }
        // What was decided again is told as the record is: without names where those are hidden.
        let cover = self.hidden.as_ref().map(|key| key.cover(&view));
        let verdict = match (&self.hidden, verdict) {
            (Some(key), Verdict::Different(mut again)) => {
                again.rule = key.rule(&again.rule, session);
                Verdict::Different(again)
            }
            (_, verdict) => verdict,
        };
        let shown = cover.as_ref().map_or(view, |cover| cover.over(&view));
        let recorded = shown.intent.and_then(|intent| intent.policy.as_ref());
        recorded.map_or(Ok(()), |recorded| self.tell(&shown, recorded, &verdict))
    }

    fn tell(
        &mut self,
        view: &View<'_>,
        recorded: &PolicyRef,
        verdict: &Verdict,
    ) -> Result<(), CliError> {
        let before = decision(recorded.allowed, &recorded.rule, recorded.grant);
        let again = match verdict {
            Verdict::Different(again) => decision(again.allowed, &again.rule, again.grant),
            Verdict::Same => before.clone(),
            Verdict::Gone(_) | Verdict::Altered(_) | Verdict::Unclear(_) => Value::Null,
        };
        if self.output.is_json() {
            let record = view.json();
            return self.output.value(&json!({
                "verdict": verdict.word(),
                "why": verdict.why(),
                "event_id": record.get("event_id"),
                "time": record.get("time"),
                "actor": record.get("actor"),
                "operation": record.get("operation"),
                "policy_version": record.pointer("/policy/version_sha256"),
                "recorded": before,
                "again": again,
            }));
        }
        let told = match (verdict, verdict.why()) {
            (Verdict::Different(again), _) => {
                let effect = if again.allowed { "allow" } else { "deny" };
                format!("{effect} by `{}` now", again.rule.escape_debug())
            }
            (_, Some(why)) => why.to_owned(),
            (_, None) => String::new(),
        };
        self.output
            .line(&format!("{:<9} {view} {told}", verdict.word()))
    }

    fn finish(self) -> Result<Exit, CliError> {
        if self.ask.event.is_some() && self.counts.is_empty() {
            let told = "no such request with a decision is to be seen";
            return Err(CliError::new(Exit::No, told));
        }
        self.output.note(&self.counts.to_string());
        Ok(if self.counts.all_same() {
            Exit::Done
        } else {
            Exit::No
        })
    }
}
