//! `kluis recover`: rebuilds a lost catalog beside the place of the old one, puts it there whole,
//! and says what that cannot prove.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::open::{Desk, call, journal, refuse};
use super::output::{CliError, Exit, Output};
use super::{belongs, recover_args, serve, words};
use crate::app::{Lane, LaneState, Opened, Opening, open_catalog, try_lane};
use crate::catalog::{MemoryCatalog, SharedCatalog, SqliteCatalog};
use crate::config::Config;
use crate::journal::{Filter, Pairs, Reader};
use crate::ledger::Outcome;
use crate::types::{Action, BucketName, Secret, Timestamp};
use crate::vault::Recovered;

/// How long the new catalog may take to close its write-ahead log, in looks of 50 ms.
const LOOKS_MAX: usize = 1_200;

/// How the new catalog is called while it is made.
const NEW: &str = ".recovering";

/// Rebuilds the catalog.
pub(super) fn run(
    ask: &recover_args::Recover,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    belongs::see(&config)?;
    serve::runtime()?.block_on(async {
        // While this lives no gateway can begin.
        let gateway = try_lane(&config, Lane::Gateway)
            .map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        if matches!(gateway, LaneState::Held) {
            return Err(
                CliError::new(Exit::Unavailable, "a gateway is running on this vault")
                    .hint("stop it first: what it acknowledges during a recovery would be lost"),
            );
        }
        if ask.accept || ask.adopt {
            return keep(ask.adopt, &config, desk, output).await;
        }
        if !ask.dry_run {
            check_empty(&config).await?;
        }
        let result = rebuild(ask.dry_run, &config, desk, output).await;
        if result.is_err() {
            clear(&beside(&config.catalog.path, NEW))?;
        }
        drop(gateway);
        result
    })
}

/// Goes on with the catalog that is there: accepts it, or adopts it though it is older than its
/// snapshots.
async fn keep(
    adopt: bool,
    config: &Config,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let opened = Opened::open(opening(config, desk))
        .await
        .map_err(|error| refuse(&error))?;
    let kept = keep_with(&opened, adopt, output).await;
    let closed = opened.journal.close().await;
    kept?;
    closed.map_err(|error| journal(&error))?;
    Ok(Exit::Done)
}

async fn keep_with(opened: &Opened, adopt: bool, output: &mut Output) -> Result<(), CliError> {
    let what = if adopt { "adopt" } else { "accept" };
    let call = call(opened, "recover")?;
    opened.vault.record_act(&call, what).await?;
    if !adopt {
        let accepted = opened.vault.accept().await?;
        if output.is_json() {
            return output.value(&json!({ "accepted": accepted }));
        }
        output.note(if accepted {
            "the catalog is accepted: blobs that it does not know are swept from now on"
        } else {
            "there is nothing to accept: no recovery left this catalog in doubt"
        });
        return Ok(());
    }
    let adopted = opened.vault.adopt().await?;
    if output.is_json() {
        return output.value(&json!({
            "commit": adopted.commit,
            "snapshots_had": adopted.before,
            "snapshots_written": adopted.snapshots,
        }));
    }
    output.note(&format!(
        "the catalog goes on from commit {}; its snapshots had come to commit {}",
        adopted.commit, adopted.before
    ));
    output.hint("what the store has beyond it is kept until `kluis recover --accept`");
    Ok(())
}

fn opening<'a>(config: &'a Config, desk: Desk<'a>) -> Opening<'a> {
    Opening {
        config,
        environment: desk.environment,
        lane: Lane::Admin,
        ask: &serve::passphrase,
        root: None,
        journal: None,
        health: None,
    }
}

/// Nothing is overwritten but a catalog in which nothing stands.
async fn check_empty(config: &Config) -> Result<(), CliError> {
    let path = &config.catalog.path;
    if !path.exists() {
        return Ok(());
    }
    let full = || {
        CliError::new(
            Exit::Usage,
            format!("there is a catalog already: {}", path.display()),
        )
        .hint("move it away with its -wal and -shm files, or look first with `--dry-run`")
    };
    let catalog = open_catalog(config).map_err(|_damaged| full())?;
    let catalog: SharedCatalog = catalog;
    if catalog.change_seq().await? == 0 && catalog.projects(None, 1).await?.is_empty() {
        Ok(())
    } else {
        Err(full())
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> CliError + '_ {
    move |error| CliError::new(Exit::Unavailable, format!("{}: {error}", path.display()))
}

fn remove(path: &Path) -> Result<(), CliError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a half-made catalog.
fn clear(new: &Path) -> Result<(), CliError> {
    ["", "-wal", "-shm"]
        .iter()
        .try_for_each(|end| remove(&beside(new, end)))
}

async fn rebuild(
    dry: bool,
    config: &Config,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let path = &config.catalog.path;
    let new = beside(path, NEW);
    clear(&new)?;
    let opened = Opened::open_on(opening(config, desk), || {
        let catalog: SharedCatalog = if dry {
            Arc::new(MemoryCatalog::new())
        } else {
            crate::app::create_folder(&new).map_err(|error| {
                crate::catalog::CatalogError::Failed {
                    reason: error.to_string(),
                }
            })?;
            SqliteCatalog::open(&new)?
        };
        Ok(catalog)
    })
    .await
    .map_err(|error| refuse(&error))?;
    if let Some(gate) = &opened.gate {
        // This process holds the lane of the gateway as well: what a lost directory held of it is
        // read below.
        let lane = gate.complete(&config.journal.dir, Lane::Gateway.name());
        lane.map_err(|error| journal(&error))?;
    }
    let found = recover(&opened, dry, output).await;
    let key = opened.keyring.log_key();
    let closed = opened.journal.close().await;
    drop(opened);
    let found = found?;
    closed.map_err(|error| journal(&error))?;
    let nothing = found.snapshots == 0;
    if nothing {
        clear(&new)?;
    } else if !dry {
        put_in_place(&new, path).await?;
    }
    let later = changes_after(config, key, found.newest);
    report(&found, later, dry, path, output)?;
    let lost = later.is_some_and(|count| count > 0);
    Ok(if found.is_whole() && !lost && found.snapshots > 0 {
        Exit::Done
    } else {
        Exit::No
    })
}

async fn recover(opened: &Opened, dry: bool, output: &mut Output) -> Result<Recovered, CliError> {
    let what = if dry { "dry run" } else { "catalog" };
    let call = call(opened, "recover")?;
    opened.vault.record_act(&call, what).await?;
    let mut steps = output.steps();
    let found = opened.vault.recover(|step| steps.tell(step)).await?;
    if !dry && found.snapshots > 0 {
        // Whoever served this vault before stops when it finds this.
        opened.vault.claim().await?;
        if found.fork.is_some() {
            // Behind a fork the next recovery would read nothing: it is to begin here.
            opened.vault.rebase().await?;
        }
    }
    Ok(found)
}

/// Gives the new catalog its name, once all of it is in one file.
async fn put_in_place(new: &Path, path: &Path) -> Result<(), CliError> {
    let wal = beside(new, "-wal");
    for _ in 0..LOOKS_MAX {
        if !wal.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if wal.exists() {
        return Err(CliError::new(
            Exit::Unavailable,
            format!("the new catalog does not close: {}", wal.display()),
        )
        .hint("nothing was put in the place of the old one: try again"));
    }
    // What an older catalog left beside itself must not be read as part of this one.
    let left = beside(path, "-wal");
    if left.exists() {
        let kept = beside(path, "-wal.lost");
        std::fs::rename(&left, &kept).map_err(failed(&left))?;
    }
    remove(&beside(path, "-shm"))?;
    let file = std::fs::File::open(new).map_err(failed(new))?;
    file.sync_all().map_err(failed(new))?;
    std::fs::rename(new, path).map_err(failed(path))?;
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed(folder))
}

/// How many changes the log of this machine has after the newest snapshot; `None` where it cannot
/// be read whole.
pub(super) fn changes_after(
    config: &Config,
    key: Secret<32>,
    newest: Option<Timestamp>,
) -> Option<u64> {
    let newest = newest?;
    let mut pairs = Pairs::new(Filter {
        outcome: Some(Outcome::Success),
        ..Filter::default()
    });
    let mut changes = 0_u64;
    for record in Reader::open(&config.journal.dir, key).ok()? {
        let Some(request) = pairs.push(record.ok()?) else {
            continue;
        };
        // What was acknowledged only once a snapshot held it ended after that snapshot was made.
        let later = request.completion.is_some_and(|end| {
            let moment = if config.catalog.snapshot_wait {
                request.intent.time
            } else {
                end.time
            };
            moment > newest
        });
        let writes = matches!(
            request.intent.action,
            Some(
                Action::ObjectWrite
                    | Action::ObjectDelete
                    | Action::DatasetCreate
                    | Action::DatasetDelete
                    | Action::GrantManage
            )
        ) || [
            "project create",
            "principal create",
            "credential create",
            "credential revoke",
        ]
        .contains(&request.intent.operation.as_str());
        if later && writes {
            changes = changes.saturating_add(1);
        }
    }
    Some(changes)
}

fn names(buckets: &[BucketName]) -> String {
    let names: Vec<String> = buckets
        .iter()
        .take(20)
        .map(|name| format!("{}/{}", name.project, name.dataset))
        .collect();
    names.join(", ")
}

fn report(
    found: &Recovered,
    later: Option<u64>,
    dry: bool,
    path: &Path,
    output: &mut Output,
) -> Result<(), CliError> {
    if output.is_json() {
        return output.value(&json_of(found, later, dry));
    }
    let fresh = found
        .newest
        .map_or_else(|| "nothing".to_owned(), |time| time.to_string());
    output.rows(
        ["found", "value"],
        &[
            ["snapshots".to_owned(), found.snapshots.to_string()],
            ["commits".to_owned(), found.commits.to_string()],
            ["fresh as of".to_owned(), fresh],
            ["blobs in the store".to_owned(), found.blobs.to_string()],
            [
                "blobs that are missing".to_owned(),
                found.missing_blobs.to_string(),
            ],
            [
                "blobs that nothing refers to".to_owned(),
                found.unknown.blobs.to_string(),
            ],
            ["next snapshot".to_owned(), found.next_snapshot.to_string()],
        ],
    )?;
    findings(found, later, output);
    if found.snapshots == 0 {
        output.note("no snapshot was found: another key ring, another store, or none was written");
    }
    output.note(
        "what cannot be proved: a store that hides its newest snapshots looks like one that never \
         had them",
    );
    if let Some(newest) = found.newest {
        output.note(&format!(
            "what was written after {newest} is not in the result"
        ));
    }
    if dry || found.snapshots == 0 {
        let why = if dry { "a dry run: " } else { "" };
        output.note(&format!("{why}nothing was written"));
    } else {
        output.note(&format!("the catalog is in {}", path.display()));
        if found.is_doubtful() {
            output.note("in doubt: nothing is swept, so that another recovery can find more");
            output.hint("once this is as good as it gets: `kluis recover --accept`");
        }
        output.hint("`kluis doctor` looks at the whole vault; then `kluis serve`");
    }
    Ok(())
}

/// What is missing, in words.
fn findings(found: &Recovered, later: Option<u64>, output: &mut Output) {
    let mut tell = |count: usize, what: String| {
        if count > 0 {
            output.note(&format!("missing: {what}"));
        }
    };
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let damaged = &found.damaged_snapshots;
    tell(
        damaged.len(),
        format!("snapshots that do not authenticate: {damaged:?}"),
    );
    let damaged = &found.damaged_bases;
    tell(
        damaged.len(),
        format!("pages of the bases that begin with these snapshots: {damaged:?}"),
    );
    let broken = &found.broken_links;
    tell(
        broken.len(),
        format!("what these snapshots follow on, lost or replaced: {broken:?}"),
    );
    if let Some(fork) = found.fork {
        tell(
            1,
            format!(
                "{} commits that another catalog wrote, from commit {} in snapshot {} on: a fork",
                found.forked_commits, fork.commit, fork.snapshot
            ),
        );
    }
    let n = found.missing_commits;
    tell(count(n), format!("{n} commits that no snapshot holds"));
    let n = found.refused_commits;
    tell(count(n), format!("{n} commits that rest on missing ones"));
    tell(
        found.keyless.len(),
        format!(
            "keys of datasets, erased or left out of the backup of the keys: {}",
            names(&found.keyless)
        ),
    );
    for (name, objects) in found.broken.iter().take(20) {
        tell(
            1,
            format!(
                "blobs of {objects} objects or parts in {}/{}",
                name.project, name.dataset
            ),
        );
    }
    let unknown = &found.unknown;
    if unknown.later > 0 {
        let missing = if found.is_late() { "missing: " } else { "" };
        output.note(&format!(
            "{missing}{} written after the newest snapshot, over {} seconds: what is in there is not \
             in the result",
            words::count(unknown.later, "blob was", "blobs were"),
            unknown.later_ms / 1000
        ));
    }
    match later {
        None => output.note("the log of this machine cannot say what came after"),
        Some(0) => {}
        Some(n) => output.note(&format!(
            "missing: the log of this machine has {} after the newest snapshot",
            words::count(n, "change", "changes")
        )),
    }
}

fn json_of(found: &Recovered, later: Option<u64>, dry: bool) -> serde_json::Value {
    let path = |name: &BucketName| format!("{}/{}", name.project, name.dataset);
    let broken = found
        .broken
        .iter()
        .map(|(name, rows)| json!({ "dataset": path(name), "rows": rows }));
    json!({
        "dry_run": dry,
        "whole": found.is_whole(),
        "snapshots": found.snapshots,
        "commits": found.commits,
        "fresh_as_of": found.newest.map(|time| time.to_string()),
        "blobs": found.blobs,
        "unknown_blobs": found.unknown.blobs,
        "unknown_blobs_after_newest": found.unknown.later,
        "in_doubt": found.is_doubtful(),
        "missing_blobs": found.missing_blobs,
        "broken": broken.collect::<Vec<_>>(),
        "unused_snapshot_numbers": found.missing_snapshots,
        "damaged_snapshots": found.damaged_snapshots,
        "base": found.base,
        "damaged_bases": found.damaged_bases,
        "broken_links": found.broken_links,
        "fork": found.fork.map(|fork| json!({
            "snapshot": fork.snapshot,
            "commit": fork.commit,
            "commits_left_out": found.forked_commits,
        })),
        "missing_commits": found.missing_commits,
        "refused_commits": found.refused_commits,
        "datasets_without_key": found.keyless.iter().map(path).collect::<Vec<_>>(),
        "changes_in_log_after": later,
        "next_snapshot": found.next_snapshot,
        "not_provable": "that the store shows its newest snapshots",
    })
}
