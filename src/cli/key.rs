//! `kluis key`: what keys there are, replacing them, and what became of those that are gone.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::cell::NOT_DONE;
use super::key_args::{ChangeRoot, KeyCommand};
use super::open::{Desk, absent, call};
use super::output::{CliError, Exit, Output};
use crate::app::system::SystemClock;
use crate::app::{Asking, kind_of, open_root};
use crate::catalog::{KeyWorkRow, SharedCatalog};
use crate::config::Config;
use crate::keyring::{KeyRing, RootFile};
use crate::types::{Clock as _, KeyWorkId, PrincipalId, Timestamp, limits};
use crate::vault::{Unopened, erasure_words};

/// How work on keys is listed.
pub(super) const COLUMNS: [&str; 8] = [
    "work", "dataset", "what", "begun", "ended", "writes", "bytes", "persons",
];

/// Runs one of its commands.
pub(super) fn run(
    command: &KeyCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        KeyCommand::Inventory => return super::key_inventory::run(desk, output),
        KeyCommand::Rotate { name } => {
            let row = desk.act(output, async |opened| {
                let call = call(opened, "key rotate")?;
                Ok(opened.vault.rotate_key(&call, name).await?)
            })?;
            output.rows(COLUMNS, &[cells(&row)])?;
            output.hint("copies of the catalog from before open nothing of it: take a new one");
        }
        KeyCommand::ChangeRoot(ask) => change_root(ask, desk, output)?,
        KeyCommand::Erase { project, approval } => {
            let row = desk.act(output, async |opened| {
                let call = call(opened, "key erase")?;
                Ok(opened.vault.erase(&call, (project, *approval)).await?)
            })?;
            output.rows(COLUMNS, &[cells(&row)])?;
            output.note("it is erased; nothing but the log and the certificate tells of it");
            let id = row.id;
            output.hint(&format!(
                "`kluis key certificate {id}` prints the certificate"
            ));
            output.hint("copies of the catalog from before open nothing of it: take a new one");
        }
        KeyCommand::Resume { give_up } => {
            let unopened = if *give_up {
                Unopened::GiveUp
            } else {
                Unopened::Wait
            };
            let ended = desk.act(output, async |opened| {
                Ok(opened.vault.resume_key_works(unopened).await?)
            })?;
            output.note(&match ended {
                0 => "no work on keys waits".to_owned(),
                1 => "one piece of work on keys was carried to its end".to_owned(),
                _ => format!("{ended} pieces of work on keys were carried to their end"),
            });
        }
        KeyCommand::Works => works(desk, output)?,
        KeyCommand::Certificate { work } => {
            let file = desk.act(output, async |opened| {
                let call = call(opened, "key certificate")?;
                let vault = &opened.vault;
                vault.record_act(&call, &format!("work={work}")).await?;
                Ok(vault.erasure_certificate(work).await?)
            })?;
            let missing = || {
                absent("certificate", work)
                    .hint("`kluis key works` lists erasures; one that is not done has none yet")
            };
            output.data(file.ok_or_else(missing)?.as_bytes())?;
        }
        KeyCommand::Copy { directory } => {
            desk.act(output, async |opened| {
                let call = call(opened, "key copy")?;
                opened.vault.record_act(&call, "a copy of the keys").await?;
                let begun = opened.keyring.begin_copy(directory);
                begun.map_err(|error| CliError::of(Exit::Usage, &error))
            })?;
            let shown = directory.display();
            output.note(&format!("{shown} holds a copy of the keys"));
            output.hint("add it to `keys.copies`, so that it stays one");
            if same_disk(directory, &desk.config()?.keys.dir) {
                output.hint("it is on the disk of the keys themselves: one on another outlives it");
            }
        }
    }
    Ok(Exit::Done)
}

/// Whether both lie on one disk, as far as that can be seen.
fn same_disk(one: &Path, other: &Path) -> bool {
    let disk = |path: &Path| std::fs::metadata(path).map(|data| data.dev());
    disk(one)
        .ok()
        .zip(disk(other).ok())
        .is_some_and(|(one, other)| one == other)
}

/// All rotations and erasures, oldest first.
pub(super) async fn all_works(catalog: &SharedCatalog) -> Result<Vec<KeyWorkRow>, CliError> {
    let mut all: Vec<KeyWorkRow> = Vec::new();
    let mut after: Option<(Timestamp, KeyWorkId)> = None;
    loop {
        let page = catalog
            .key_works(None, after, limits::PAGE_ENTRIES_MAX)
            .await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some((last.begun, last.id));
        all.extend(page);
    }
}

fn works(desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let catalog = desk.catalog()?;
    let rows = super::serve::runtime()?.block_on(all_works(&catalog))?;
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output.rows(COLUMNS, &rows)
}

fn change_root(ask: &ChangeRoot, desk: Desk<'_>, output: &mut Output) -> Result<(), CliError> {
    let config = desk.config()?;
    let failed = |error| super::open::refuse(&error);
    let open = |config: &Config, output: &mut Output| {
        super::unseal::announce(config, output);
        let runtime = super::serve::runtime()?;
        let opened = open_root(config, desk.environment, &super::serve::passphrase);
        runtime.block_on(opened).map_err(failed)
    };
    let old = open(&config, output)?;
    let to = &ask.to;
    let (new, kind) = if to.exists() {
        // What was interrupted: the new root is opened as it is kept.
        let mut there = config.clone();
        there.keys.identity.clone_from(to);
        let file = RootFile::look(to).map_err(|error| failed(error.into()))?;
        there.keys.root = kind_of(&file);
        (open(&there, output)?, there.keys.root)
    } else {
        let how = super::unseal::new_root(&ask.root, desk.environment)?;
        let from = Asking {
            environment: desk.environment,
            ask: &super::serve::passphrase,
        };
        let made = super::serve::runtime()?.block_on(how.make((&config, from), to));
        let made = made.map_err(failed)?;
        super::unseal::farewell(&how, output);
        (made, how.kind())
    };
    let (dir, copies) = (&config.keys.dir, &config.keys.copies);
    let roots = (&old.identity, &new.identity);
    KeyRing::may_change_root(dir, copies, roots).map_err(|error| failed(error.into()))?;
    // The record first. Where the ring does not open to the old one any more, this was begun
    // before and is in the log.
    if KeyRing::open(dir, &old.identity).is_ok() {
        desk.act_on((&config, Some(&old)), output, async |opened| {
            let call = call(opened, "key change-root")?;
            let what = format!(
                "new root {} {}",
                new.identity.recipient(),
                new.told.join(", ")
            );
            Ok(opened.vault.record_act(&call, what.trim_end()).await?)
        })?;
    }
    let at = SystemClock.now();
    KeyRing::change_root(dir, copies, roots, at).map_err(|error| failed(error.into()))?;
    let (shown, kind) = (to.display(), kind.as_str());
    output.note(&format!("the key ring opens to {shown} alone"));
    output.hint(&format!(
        "set `keys.identity` to it and `keys.root` to \"{kind}\", keep a copy elsewhere, and destroy \
         the old identity"
    ));
    Ok(())
}

/// One piece of work as a row of a table.
pub(super) fn cells(row: &KeyWorkRow) -> [String; 8] {
    let scope = row.scope.as_ref().map(erasure_words).unwrap_or_default();
    let what = format!("{} {scope}", row.word()).trim_end().to_owned();
    let ended = row.end.as_ref();
    let persons: Vec<&str> = row.persons.iter().map(PrincipalId::as_str).collect();
    [
        row.id.to_string(),
        format!("{}/{}", row.bucket.project, row.bucket.dataset),
        what,
        row.begun.to_string(),
        ended.map_or_else(|| NOT_DONE.to_owned(), |end| end.at.to_string()),
        row.tally.writes.to_string(),
        row.tally.bytes.to_string(),
        persons.join(" "),
    ]
}
