//! `kluis-audit expire`: removes the records whose time is over. A volume that holds some is
//! written again without them, read back, held against the log, and takes the place of the old one
//! in the index; only then the old one goes. The log keeps their roots, so that it verifies as
//! before.
//!
//! What is to go stands in the log first, for each project.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Archive, LogKeys, unreadable};
use super::args;
use super::entries::{segments_of, signed};
use super::failures::{Failures, worse};
use super::source::DirSource;
use crate::app::Opened;
use crate::app::system::SystemClock;
use crate::archive::{Place, check, remaining, rows_of};
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::project;
use crate::cli::serve::runtime;
use crate::ledger::{Kept, Scope, Segment, Tag};
use crate::types::{Clock as _, Timestamp};

/// Runs it.
pub(super) fn run(
    ask: &args::Expire,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    remove(ask, desk, output).map(|(_kept, end)| end)
}

/// The same; for how long records are kept today, and how it ended.
pub(super) fn remove(
    ask: &args::Expire,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(Kept, Exit), CliError> {
    let config = desk.config()?;
    let keys = desk.act(output, async |opened| {
        let call = call(opened, "audit expire")?;
        opened
            .vault
            .record_act(&call, "what of the log is over")
            .await?;
        LogKeys::of(&config, opened).await
    })?;
    let kept = keys.kept.clone();
    let runtime = runtime()?;
    let mut archive = runtime.block_on(Archive::open(desk, keys))?;
    let _kept = archive.lock()?;
    let mut log = DirSource::new(&config.proof.dir);
    let mut end = Exit::Done;
    if !ask.dry_run {
        runtime.block_on(archive.arm(&config, output))?;
        end = runtime.block_on(archive.renew(&mut log))?.tell(output);
    }
    let mut removal = Removal {
        archive,
        log,
        kept,
        now: SystemClock.now(),
    };
    let mut due = removal.due()?;
    let mut failures = Failures::default();
    runtime.block_on(removal.look_for(&mut due, &mut failures));
    let words = removal.words(&due);
    let told: Vec<_> = words.iter().map(|(_, word)| [word.clone()]).collect();
    if ask.dry_run {
        if told.is_empty() && !output.is_json() {
            output.note("nothing is due");
        } else {
            output.rows(["due"], &told)?;
        }
        return Ok((removal.kept, worse(end, failures.tell(output))));
    }
    if !due.volumes.is_empty() {
        desk.act(output, async |opened| {
            for (scope, word) in &words {
                let call = call(opened, "audit expire")?;
                let project = match scope {
                    Scope::Vault => None,
                    Scope::Project(name) => Some(name),
                };
                opened.vault.record_expiry(&call, project, word).await?;
            }
            Ok(())
        })?;
    }
    let (written, swept) = runtime.block_on(async {
        let written = removal.rewrite_all(&due, &mut failures).await;
        let over = removal.kept.since(&Scope::Vault, removal.now);
        (written, removal.archive.sweep(over).await)
    });
    for [word] in &told {
        output.note(word);
    }
    let end = worse(end, failures.tell(output));
    let swept = swept?;
    output.note(&format!(
        "volumes written again without what is over: {written}; removed from the store: {}",
        swept.gone
    ));
    Ok((removal.kept, worse(end, swept.tell(output))))
}

/// What the projects ask of the log.
pub(super) async fn kept_by(opened: &Opened) -> Result<Kept, CliError> {
    let rows = project::all(opened.vault.catalog()).await?;
    let days = rows.into_iter().map(|row| (row.name, row.log.kept_days()));
    Ok(Kept::new(days))
}

/// A volume with scopes whose time is over.
pub(super) struct Due {
    place: Place,
    pub(super) segments: Vec<Segment>,
    /// All of them, those that went before too.
    expired: BTreeSet<Tag>,
    /// Those that go now and whose name is known, each with how many records.
    goes: BTreeMap<Scope, u64>,
}

/// What is to go.
pub(super) struct Dues {
    pub(super) volumes: Vec<Due>,
}

/// Removes what is over.
pub(super) struct Removal {
    pub(super) archive: Archive,
    pub(super) log: DirSource,
    pub(super) kept: Kept,
    pub(super) now: Timestamp,
}

impl Removal {
    /// Looks for what is over. A scope's records go from a volume at once: when the time of the
    /// newest segment in it is over.
    pub(super) fn due(&mut self) -> Result<Dues, CliError> {
        let public = self.archive.keys.notary.public(&self.archive.keys.origin);
        let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
        let (_, checkpoint) = signed(&mut self.log, "checkpoint", &public)?;
        let key = self.archive.keys.notary.scope_key();
        let named = self.kept.scopes().map(|scope| (key.tag(&scope), scope));
        let named: BTreeMap<Tag, Scope> = named.collect();
        let young = self.kept.any_since(self.now).millis();
        let mut volumes = Vec::new();
        for place in self.archive.index.volumes() {
            if place.rows == 0 || place.newest_ms >= young {
                continue;
            }
            let segments = segments_of(&mut self.log, checkpoint.size, place)?;
            let newest = segments.iter().map(|segment| segment.time).max();
            let newest = newest.unwrap_or(self.now);
            let mut expired = place.meta.expired();
            let before = expired.len();
            let mut goes: BTreeMap<Scope, u64> = BTreeMap::new();
            for root in segments.iter().flat_map(|segment| &segment.scopes) {
                // Of one whose name is not known nothing is known.
                let scope = named.get(&root.tag);
                let since = self.kept.since(scope.unwrap_or(&Scope::Vault), self.now);
                if newest < since && !place.meta.expired().contains(&root.tag) {
                    expired.insert(root.tag);
                    if let Some(scope) = scope {
                        let count = goes.entry(scope.clone()).or_default();
                        *count = count.saturating_add(root.count);
                    }
                }
            }
            if expired.len() > before {
                let place = place.clone();
                volumes.push(Due {
                    place,
                    segments,
                    expired,
                    goes,
                });
            }
        }
        Ok(Dues { volumes })
    }

    /// Leaves out what the store does not have: of what is lost the log must not say that it goes.
    pub(super) async fn look_for(&self, due: &mut Dues, failures: &mut Failures) {
        let mut there = Vec::new();
        for due in std::mem::take(&mut due.volumes) {
            match self.archive.look_for(&due.place).await {
                Ok(()) => {
                    failures.went();
                    there.push(due);
                }
                Err(error) => {
                    if !failures.note(&due.place.meta, "cannot be had", &error) {
                        break;
                    }
                }
            }
        }
        due.volumes = there;
    }

    /// Whose records go, and what the log says of each.
    fn words(&self, due: &Dues) -> Vec<(Scope, String)> {
        let mut rows: BTreeMap<&Scope, u64> = BTreeMap::new();
        for (scope, more) in due.volumes.iter().flat_map(|due| &due.goes) {
            let count = rows.entry(scope).or_default();
            *count = count.saturating_add(*more);
        }
        let words = rows.iter().map(|(scope, count)| {
            let (days, since) = (self.kept.days(scope), self.kept.since(scope, self.now));
            let name = match scope {
                Scope::Vault => "vault".to_owned(),
                Scope::Project(name) => format!("project={name}"),
            };
            let word = format!("{name} kept={days} days before={since} records={count}");
            ((*scope).clone(), word)
        });
        words.collect()
    }

    /// Writes each volume again, as far as that can be done; how many those were.
    pub(super) async fn rewrite_all(&mut self, due: &Dues, failures: &mut Failures) -> usize {
        let mut written = 0_usize;
        for due in &due.volumes {
            match self.rewrite(due).await {
                Ok(()) => {
                    failures.went();
                    written = written.saturating_add(1);
                }
                Err(error) => {
                    if !failures.note(&due.place.meta, "still holds what is over", &error) {
                        break;
                    }
                }
            }
        }
        written
    }

    /// Writes a volume again without what is over.
    pub(super) async fn rewrite(&mut self, due: &Due) -> Result<(), CliError> {
        let archive = &mut self.archive;
        let key = archive.keys.notary.scope_key();
        let old = archive.volume(&due.place).await?;
        // What does not hold is kept as it is, for those who investigate.
        let checked = check(&old, &due.segments, &key, |_, _, _, _, _| {});
        checked.map_err(|error| unreadable(&error))?;
        let mut rows = Vec::new();
        let read = rows_of(&old, |row| {
            rows.push(row);
            Ok(())
        });
        read.map_err(|error| unreadable(&error))?;
        let rows = remaining(rows, &key, &due.expired);
        let meta = due.place.meta.without(&due.expired);
        let settled = archive.settle(&meta, &rows).await?;
        let checked = check(&settled.volume, &due.segments, &key, |_, _, _, _, _| {});
        checked.map_err(|error| unreadable(&error))?;
        archive.replace(&settled, &due.segments).await
    }
}
