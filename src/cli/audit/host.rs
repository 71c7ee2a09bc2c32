//! The log on the vault's host: all lanes are read. That it is read stands in the log before
//! anything is shown (AU-16).

use std::collections::VecDeque;
use std::time::Duration;

use super::super::open::{Desk, call, journal};
use super::super::output::{CliError, Exit, Output};
use super::super::serve;
use super::{absent, nothing, print, whole};
use crate::journal::{Filter, JournalError, Pairs, Reader, Request};
use crate::types::EventId;

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(250);

/// Shows the last requests, and those to come where `follow` says so.
pub(super) fn tail(
    filter: Filter,
    (lines, follow): (u32, bool),
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    Log::open(desk, "audit tail", filter, output)?.tail(lines, follow, output)
}

/// Shows one request, or those that fit.
pub(super) fn show(filter: Filter, desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let event = filter.event;
    Log::open(desk, "audit show", filter, output)?.show(event, output)
}

/// The question as the log keeps it.
fn query(filter: &Filter) -> String {
    let text = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
    let parts = [
        text("project", filter.project.as_ref().map(ToString::to_string)),
        text("dataset", filter.dataset.as_ref().map(ToString::to_string)),
        text(
            "principal",
            filter.principal.as_ref().map(ToString::to_string),
        ),
        text("key", filter.key.as_ref().map(ToString::to_string)),
        text("prefix", filter.prefix.clone()),
        text("permit", filter.permit.clone()),
        text("since", filter.since.map(|time| time.to_string())),
        text("until", filter.until.map(|time| time.to_string())),
        text("action", filter.action.map(|action| action.to_string())),
        text("outcome", filter.outcome.map(|outcome| outcome.to_string())),
        text("event", filter.event.map(|event| event.to_string())),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "all".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The log, being read.
struct Log {
    reader: Reader,
    pairs: Pairs,
    /// What was found damaged is told once the rest is shown.
    damage: Vec<JournalError>,
    /// How much of it was told.
    told: usize,
}

impl Log {
    /// Records the reading, then opens the log. The lane of commands is free again.
    fn open(
        desk: Desk<'_>,
        operation: &'static str,
        filter: Filter,
        output: &mut Output,
    ) -> Result<Self, CliError> {
        let config = desk.config()?;
        let question = query(&filter);
        let key = desk.act(output, async |opened| {
            let call = call(opened, operation)?;
            opened.vault.record_log_reading(&call, &question).await?;
            Ok(opened.keyring.log_key())
        })?;
        let reader = Reader::open(&config.journal.dir, key).map_err(|error| journal(&error))?;
        Ok(Self {
            reader,
            pairs: Pairs::new(filter),
            damage: Vec::new(),
            told: 0,
        })
    }

    /// The next request that is whole and fits; `None` where the log ends now.
    fn next(&mut self) -> Option<Request> {
        for record in self.reader.by_ref() {
            match record {
                Ok(record) => {
                    if let Some(request) = self.pairs.push(record) {
                        return Some(request);
                    }
                }
                Err(error) => self.damage.push(error),
            }
        }
        None
    }

    fn tail(&mut self, lines: u32, follow: bool, output: &mut Output) -> Result<Exit, CliError> {
        let most = usize::try_from(lines).unwrap_or(usize::MAX);
        let mut last = VecDeque::new();
        while let Some(request) = self.next() {
            last.push_back(request);
            if last.len() > most {
                last.pop_front();
            }
        }
        let open: Vec<Request> = self.pairs.open().cloned().collect();
        let hidden = (last.len().saturating_add(open.len())).saturating_sub(most);
        for request in last.iter().chain(&open).skip(hidden) {
            print(&request.view().json(), output)?;
        }
        self.tell(output);
        if last.is_empty() && open.is_empty() && !follow {
            nothing(output);
        }
        if follow {
            serve::runtime()?.block_on(self.follow(output))?;
        }
        Ok(self.exit())
    }

    /// Shows requests as they are completed, until the process is interrupted.
    async fn follow(&mut self, output: &mut Output) -> Result<(), CliError> {
        loop {
            while let Some(request) = self.next() {
                print(&request.view().json(), output)?;
            }
            self.tell(output);
            tokio::time::sleep(LOOK).await;
        }
    }

    fn show(mut self, event: Option<EventId>, output: &mut Output) -> Result<Exit, CliError> {
        let mut shown = 0_u64;
        while let Some(request) = self.next() {
            shown = shown.saturating_add(1);
            whole(&request.view().json(), event.is_some(), output)?;
        }
        for request in self.pairs.open() {
            shown = shown.saturating_add(1);
            whole(&request.view().json(), event.is_some(), output)?;
        }
        self.tell(output);
        match event {
            Some(event) if shown == 0 => return Err(absent(event)),
            None if shown == 0 => nothing(output),
            Some(_) | None => {}
        }
        Ok(self.exit())
    }

    fn tell(&mut self, output: &mut Output) {
        for error in self.damage.iter().skip(self.told) {
            output.error(&journal(error));
        }
        self.told = self.damage.len();
    }

    const fn exit(&self) -> Exit {
        if self.damage.is_empty() {
            Exit::Done
        } else {
            Exit::No
        }
    }
}
