//! `kluis drill`: a restore elsewhere, to the last byte, beside the vault that serves (OP-3).

use std::cell::RefCell;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::key_args;
use super::open::{Desk, call, refuse};
use super::output::{CliError, Exit, Output};
use super::recover::changes_after;
use super::serve;
use crate::app::{Lane, NewFile, Opened, Opening, create_dir};
use crate::catalog::{SharedCatalog, SqliteCatalog};
use crate::config::{Config, is_own_directory};
use crate::journal::Reader;
use crate::types::Secret;
use crate::vault::{Drilled, Recovered};

/// What was restored and read.
struct Run {
    recovered: Recovered,
    drilled: Drilled,
    /// Milliseconds until the catalog stood, and until all was read.
    restored_ms: u128,
    read_ms: u128,
    /// Age of the newest snapshot in milliseconds.
    lag_ms: Option<u64>,
}

/// Runs it.
pub(super) fn run(
    ask: &key_args::Drill,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let mut config = desk.config()?;
    own_directory(&ask.into)?;
    if let Some(keys) = ask.keys.as_ref().or_else(|| config.keys.copies.first()) {
        config.keys.dir.clone_from(keys);
    }
    config.keys.copies.clear();
    let (run, key) = serve::runtime()?.block_on(restore(ask, &config, desk, output))?;
    let log = read_log(&config, key.duplicate());
    let later = changes_after(&config, key, run.recovered.newest);
    report(ask, &run, (&log, later), output)?;
    let whole = run.recovered.is_whole() && run.drilled.broken == 0 && log.damages == 0;
    Ok(if whole { Exit::Done } else { Exit::No })
}

/// Makes the directory of a drill, or takes an empty one that is this user's alone: all that the
/// catalog holds goes into it.
fn own_directory(into: &Path) -> Result<(), CliError> {
    const EMPTY: &str = "a drill begins in an empty directory";
    let refused = |what: &str| CliError::new(Exit::Usage, format!("{} {what}", into.display()));
    let unmade = |error| {
        CliError::new(
            Exit::Usage,
            format!("cannot make {}: {error}", into.display()),
        )
        .hint("`--into` names an empty directory, or one that can be made")
    };
    create_dir(into).map_err(unmade)?;
    if !is_own_directory(into).map_err(unmade)? {
        let strange = refused("is another user's, a link, or where others may write");
        return Err(strange.hint("name a directory that is not there, in one that is yours"));
    }
    // From here on nobody else can lay anything into it.
    let used = std::fs::read_dir(into).map_err(unmade)?.next().is_some();
    if used {
        return Err(refused("holds something already").hint(EMPTY));
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a restore takes is what is asked"
)]
#[expect(clippy::future_not_send, reason = "a command has one thread")]
async fn restore(
    ask: &key_args::Drill,
    config: &Config,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<(Run, Secret<32>), CliError> {
    let begun = Instant::now();
    let file = ask.into.join("catalog.db");
    let made = NewFile::create(&file, 0o600).and_then(|made| made.write(&[]));
    made.map_err(|error| {
        CliError::new(
            Exit::Usage,
            format!("cannot make {}: {error}", file.display()),
        )
    })?;
    let opening = Opening {
        config,
        environment: desk.environment,
        lane: Lane::Admin,
        ask: &serve::passphrase,
        root: None,
        journal: None,
        health: None,
    };
    let opened = Opened::open_on(opening, || {
        let catalog: SharedCatalog = SqliteCatalog::open(&file)?;
        Ok(catalog)
    })
    .await
    .map_err(|error| refuse(&error))?;
    let call = call(&opened, "drill")?;
    opened.vault.record_act(&call, "a restore drill").await?;
    let result = async {
        let mut steps = output.steps();
        let recovered = opened.vault.recover(|step| steps.tell(step)).await?;
        let restored_ms = begun.elapsed().as_millis();
        let steps = RefCell::new(steps);
        let drilled = opened.vault.drill(|step| steps.borrow_mut().tell(step));
        let drilled = drilled.await?;
        let newest = recovered.newest;
        Ok::<_, CliError>(Run {
            lag_ms: newest.map(|newest| opened.vault.now().since(newest)),
            recovered,
            drilled,
            restored_ms,
            read_ms: begun.elapsed().as_millis(),
        })
    }
    .await;
    let key = opened.keyring.log_key();
    let closed = opened.journal.close().await;
    closed.map_err(|error| super::open::journal(&error))?;
    Ok((result?, key))
}

/// The log as it was read from end to end.
struct Log {
    records: u64,
    damages: u64,
}

fn read_log(config: &Config, key: Secret<32>) -> Log {
    let mut log = Log {
        records: 0,
        damages: 0,
    };
    let Ok(reader) = Reader::open(&config.journal.dir, key) else {
        log.damages = 1;
        return log;
    };
    for record in reader {
        match record {
            Ok(_) => log.records = log.records.saturating_add(1),
            Err(_) => log.damages = log.damages.saturating_add(1),
        }
    }
    log
}

fn report(
    ask: &key_args::Drill,
    run: &Run,
    (log, later): (&Log, Option<u64>),
    output: &mut Output,
) -> Result<(), CliError> {
    let (recovered, drilled) = (&run.recovered, &run.drilled);
    if output.is_json() {
        return output.value(&json!({
            "rpo_ms": run.lag_ms,
            "changes_not_restored": later,
            "rto_ms": run.read_ms,
            "restored_ms": run.restored_ms,
            "datasets": drilled.datasets,
            "readable": drilled.readable,
            "bytes": drilled.bytes,
            "broken": drilled.broken,
            "names": drilled.names,
            "snapshots": recovered.snapshots,
            "missing_blobs": recovered.missing_blobs,
            "catalog_whole": recovered.is_whole(),
            "log_records": log.records,
            "log_damages": log.damages,
        }));
    }
    let seconds = |ms: u128| format!("{}.{:03} s", ms / 1000, ms % 1000);
    let age = run.lag_ms.map(|ms| seconds(u128::from(ms)));
    let rows = [
        [
            "RPO: age of the newest snapshot".to_owned(),
            age.unwrap_or_else(|| "none".to_owned()),
        ],
        [
            "changes that the log has and the restore has not".to_owned(),
            later.map_or_else(|| "cannot be told".to_owned(), |count| count.to_string()),
        ],
        ["RTO: until all was read".to_owned(), seconds(run.read_ms)],
        [
            "of that, until the catalog stood".to_owned(),
            seconds(run.restored_ms),
        ],
        ["datasets".to_owned(), drilled.datasets.to_string()],
        [
            "writes that opened to the last byte".to_owned(),
            drilled.readable.to_string(),
        ],
        ["their bytes".to_owned(), drilled.bytes.to_string()],
        [
            "writes that did not open".to_owned(),
            drilled.broken.to_string(),
        ],
        [
            "entries of the log read".to_owned(),
            log.records.to_string(),
        ],
        ["damages in the log".to_owned(), log.damages.to_string()],
    ];
    output.rows(["what", "found"], &rows)?;
    for name in &drilled.names {
        output.note(&format!("does not open: {name}"));
    }
    told_where(&ask.into, output);
    Ok(())
}

fn told_where(into: &Path, output: &mut Output) {
    let shown = into.display();
    output.note(&format!(
        "the restored catalog is in {shown}: remove it, it holds names"
    ));
}
