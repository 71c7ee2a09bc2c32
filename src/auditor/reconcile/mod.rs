//! `kluis-audit reconcile`: holds a store's own access log, or its inventory, against what Kluis
//! recorded, and tells what went around it (AU-8).

mod judge;
mod line;
mod looks;
mod path;
mod read;

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::archive::{Archive, LogKeys};
use super::args;
use super::hot::{Hot, lost_words};
use super::rows::{Span, volumes};
use crate::app::Opened;
use crate::archive::Row;
use crate::catalog::{BlobUse, Mutation, SharedCatalog};
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::config::Config;
use crate::ledger::{Entry, Intent, ObjectRef};
use crate::types::limits::RECONCILE_BLOBS_MAX;
use crate::types::{BlobId, BucketName, DatasetId, Timestamp, UploadId};
use judge::{Judge, Judged, Kind, Known, Name, TooMany, Windows, against};
use line::Access;
use looks::Looks;
use read::{Listed, Log, Place};

/// Longer than the sweep leaves what nothing refers to: a day, and a day for it to run.
const GRACE_MS: u64 = 2 * 24 * 60 * 60 * 1000;

/// How much of the catalog is read at once.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Runs it.
pub(super) fn run(
    ask: &args::Reconcile,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let place = Place::of(&config)?;
    let question = ask.words();
    let mut told = Told::default();
    // Both files are read before the vault is opened: what they say decides what is looked up.
    let mut log = match &ask.log {
        Some(path) => Log::read(path, ask.form, &place, &mut told)?,
        None => Log::default(),
    };
    let listed = match &ask.inventory {
        Some(path) => Some(Listed::read(path, &place, &mut told)?),
        None => None,
    };
    let wanted: Option<HashSet<BlobId>> = listed.is_none().then(|| log.blobs());
    let (keys, catalog) = desk.act(output, async |opened| {
        let call = call(opened, "audit reconcile")?;
        opened.vault.record_log_reading(&call, &question).await?;
        let catalog = Catalog::read(opened, wanted.as_ref()).await?;
        Ok((LogKeys::of(&config, opened).await?, catalog))
    })?;
    let slack_ms = u64::try_from(ask.slack.as_millis()).unwrap_or(u64::MAX);
    let (windows, index) = runtime()?.block_on(recorded(
        (desk, &config),
        keys,
        log.span(slack_ms),
        &catalog,
    ))?;
    log.fetch(&mut told, |id| catalog.name(id, &index));
    let judge = Judge {
        known: &catalog.known,
        windows: &windows,
        snapshots: &catalog.snapshots,
        volumes: &index,
        passing: &log.passing(),
        gateways: &ask.gateway,
        slack_ms,
    };
    let mut looks = Looks::of(log.accesses.iter().map(|(_, access, _)| access));
    for (number, access, name) in &log.accesses {
        let judged = judge.judge(access, *name);
        match looks.hold(judged, access, (*name, &catalog.snapshots)) {
            Judged::Covered => told.covered = told.covered.saturating_add(1),
            Judged::Undecided => told.undecided = told.undecided.saturating_add(1),
            Judged::Around(kind) => {
                told.access(kind, (*number, access, *name), &catalog, output)?;
            }
        }
    }
    if let Some(listed) = listed {
        let moment = (listed.newest, GRACE_MS);
        for (kind, id) in against(&listed.blobs, &catalog.known, &catalog.snapshots, moment) {
            told.listed(kind, id, &catalog, output)?;
        }
    }
    Ok(told.finish(output))
}

/// What the catalog says of blobs.
struct Catalog {
    known: HashMap<BlobId, Known>,
    snapshots: HashSet<BlobId>,
}

impl Catalog {
    async fn read(opened: &Opened, wanted: Option<&HashSet<BlobId>>) -> Result<Self, CliError> {
        let snapshots = opened.vault.snapshot_names().await;
        let snapshots = snapshots.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        Ok(Self {
            known: Holders::read(&opened.catalog, wanted).await?,
            snapshots,
        })
    }

    /// What a name stands for that is not where Kluis writes; `None` for what it does not need.
    fn name(&self, id: BlobId, volumes: &HashSet<BlobId>) -> Option<Name> {
        let held = self.known.get(&id);
        let blob = held.is_some_and(|known| !known.holders.is_empty());
        if blob || self.snapshots.contains(&id) {
            return Some(Name::Blob(id));
        }
        volumes.contains(&id).then_some(Name::Volume(id))
    }

    /// What a blob belongs to, in words.
    fn object(&self, id: BlobId) -> Option<String> {
        let (bucket, key) = self.known.get(&id)?.holders.first()?;
        let (project, dataset) = (&bucket.project, &bucket.dataset);
        Some(match key {
            Some(key) => format!("{project}/{dataset}:{key}"),
            None => format!("{project}/{dataset}"),
        })
    }
}

/// Reads the whole catalog once.
struct Holders<'a> {
    wanted: Option<&'a HashSet<BlobId>>,
    datasets: HashMap<DatasetId, BucketName>,
    uploads: HashMap<UploadId, (DatasetId, String)>,
    known: HashMap<BlobId, Known>,
}

impl<'a> Holders<'a> {
    async fn read(
        catalog: &SharedCatalog,
        wanted: Option<&'a HashSet<BlobId>>,
    ) -> Result<HashMap<BlobId, Known>, CliError> {
        let mut holders = Self {
            wanted,
            datasets: HashMap::new(),
            uploads: HashMap::new(),
            known: HashMap::new(),
        };
        let mut cursor = None;
        loop {
            let (page, next) = catalog.dump(cursor, PAGE_BYTES).await?;
            for mutation in page {
                holders.take(mutation);
            }
            if holders.known.len() > RECONCILE_BLOBS_MAX {
                let told = "the catalog knows more blobs than can be held";
                return Err(CliError::new(Exit::Unavailable, told));
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(holders.known),
            }
        }
    }

    fn hold(&mut self, dataset: &DatasetId, key: Option<&str>, at: Timestamp, blobs: &BlobUse) {
        let Some(bucket) = self.datasets.get(dataset) else {
            return;
        };
        for id in blobs.fresh.iter().chain(&blobs.shared) {
            if self.wanted.is_some_and(|wanted| !wanted.contains(id)) {
                continue;
            }
            let known = self.known.entry(*id).or_default();
            known.first = if known.holders.is_empty() {
                at
            } else {
                known.first.min(at)
            };
            let holder = (bucket.clone(), key.map(str::to_owned));
            if !known.holders.contains(&holder) {
                known.holders.push(holder);
            }
            known.since = known.since.max(at);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what holds no blob, new kinds included, is no concern here"
    )]
    fn take(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::CreateDataset(row) => drop(self.datasets.insert(row.id, row.bucket)),
            Mutation::CreateUpload(row) => {
                let place = (row.dataset, row.key.as_str().to_owned());
                self.uploads.insert(row.id, place);
            }
            Mutation::PutPart { row, blobs } => {
                if let Some((dataset, key)) = self.uploads.get(&row.upload).cloned() {
                    self.hold(&dataset, Some(&key), row.modified, &blobs);
                }
            }
            Mutation::PutObject { row, blobs, .. }
            | Mutation::RestoreVersion { row, blobs, .. }
            | Mutation::RestoreFrozen { row, blobs, .. } => {
                self.hold(&row.dataset, Some(row.key.as_str()), row.modified, &blobs);
            }
            Mutation::RestorePublication { row, blobs } => {
                self.hold(&row.dataset, None, row.frozen, &blobs);
            }
            Mutation::RestoreBlobs(lost) => {
                for (id, _since) in lost {
                    if self.wanted.is_none_or(|wanted| wanted.contains(&id)) {
                        self.known.entry(id).or_default();
                    }
                }
            }
            _ => {}
        }
    }
}

/// The requests that were recorded around `span`, and the volumes of the log.
async fn recorded(
    (desk, config): (Desk<'_>, &Config),
    keys: LogKeys,
    span: Span,
    catalog: &Catalog,
) -> Result<(Windows, HashSet<BlobId>), CliError> {
    let held = catalog.known.values().flat_map(|known| &known.holders);
    let buckets: HashSet<&BucketName> = held.map(|(bucket, _)| bucket).collect();
    let mut windows = Windows::default();
    let mut take = |row: &Row| add(&mut windows, row, &buckets);
    let archive = Archive::open(desk, keys).await?;
    volumes(&archive, span, |_lane, row| take(&row)).await?;
    let mut hot = Hot::open(&archive, config).await?;
    hot.read(&archive, |_lane, row| take(&row)).await?;
    for (_lane, row) in hot.open_rows() {
        take(row)?;
    }
    if hot.lost() > 0 {
        let told = lost_words(hot.lost());
        return Err(CliError::new(Exit::No, told));
    }
    let index = archive.index.volumes().iter();
    Ok((
        windows,
        index.filter_map(|place| place.blob().ok()).collect(),
    ))
}

fn add(windows: &mut Windows, row: &Row, buckets: &HashSet<&BucketName>) -> Result<(), CliError> {
    let (intent, end): (&Intent, _) = match &row.entry {
        Entry::Intent { intent, .. } => (intent, row.end.as_ref().map(|(_, end)| end.time)),
        Entry::Whole {
            intent, completion, ..
        } => (intent, Some(completion.time)),
        Entry::Session(_)
        | Entry::Completion(_)
        | Entry::Mark { .. }
        | Entry::Policy { .. }
        | Entry::Open(_) => return Ok(()),
    };
    // One that is open may go on until the end of days.
    let end = end.unwrap_or(Timestamp::from_millis(u64::MAX));
    let both = [Some(&intent.object), intent.source_object.as_ref()];
    for object in both.into_iter().flatten() {
        let ObjectRef {
            project: Some(project),
            dataset: Some(dataset),
            key,
            ..
        } = object
        else {
            continue;
        };
        let bucket = BucketName {
            project: project.clone(),
            dataset: dataset.clone(),
        };
        if buckets.contains(&bucket) {
            let key = key.as_ref().map(crate::types::ObjectKey::as_str);
            let added = windows.add(&bucket, key, (intent.time, end));
            added.map_err(|error: TooMany| {
                CliError::of(Exit::Unavailable, &error).hint("part the log by days")
            })?;
        }
    }
    Ok(())
}

/// What was found, and how much of everything there was.
#[derive(Default)]
struct Told {
    covered: u64,
    undecided: u64,
    refused: u64,
    elsewhere: u64,
    unread: u64,
    first_unread: u64,
    foreign: Vec<(u64, String)>,
    found: u64,
}

impl Told {
    fn unreadable(&mut self, number: u64) {
        if self.unread == 0 {
            self.first_unread = number;
        }
        self.unread = self.unread.saturating_add(1);
    }

    fn access(
        &mut self,
        kind: Kind,
        (number, access, name): (u64, &Access, Name),
        catalog: &Catalog,
        output: &mut Output,
    ) -> Result<(), CliError> {
        self.found = self.found.saturating_add(1);
        let object = match name {
            Name::Blob(id) => catalog.object(id),
            Name::Volume(_) => Some("a volume of the log".to_owned()),
            Name::Gate => Some("a batch of the journal".to_owned()),
            Name::Bucket | Name::Foreign => None,
        };
        if output.is_json() {
            return output.value(&json!({
                "finding": kind.word(),
                "line": number,
                "time": access.at.to_string(),
                "from": access.from,
                "name": access.key,
                "object": object,
            }));
        }
        output.line(&format!(
            "{:<8} {} line {number} from {} {} {}",
            kind.word(),
            access.at,
            access.from.escape_debug(),
            access.key.escape_debug(),
            object.unwrap_or_default().escape_debug()
        ))
    }

    fn listed(
        &mut self,
        kind: Kind,
        id: BlobId,
        catalog: &Catalog,
        output: &mut Output,
    ) -> Result<(), CliError> {
        self.found = self.found.saturating_add(1);
        let object = catalog.object(id);
        if output.is_json() {
            let name = id.to_string();
            return output
                .value(&json!({ "finding": kind.word(), "name": name, "object": object }));
        }
        let object = object.unwrap_or_default();
        output.line(&format!(
            "{:<8} {id} {}",
            kind.word(),
            object.escape_debug()
        ))
    }

    fn finish(mut self, output: &mut Output) -> Exit {
        for (number, key) in std::mem::take(&mut self.foreign) {
            self.found = self.found.saturating_add(1);
            let told = format!(
                "appeared: line {number}: {} is none of Kluis's",
                key.escape_debug()
            );
            output.error(&CliError::new(Exit::No, told));
        }
        if self.unread > 0 {
            let told = format!(
                "{} lines are none of the form, the first is line {}",
                self.unread, self.first_unread
            );
            output.error(&CliError::new(Exit::No, told).hint("is --form the right one?"));
        }
        output.note(&format!(
            "{} accesses went around Kluis; {} are covered by its records or its own upkeep, {} are \
             about blobs that are gone since, {} were refused by the store, {} are about something else",
            self.found, self.covered, self.undecided, self.refused, self.elsewhere
        ));
        if self.found == 0 && self.unread == 0 {
            Exit::Done
        } else {
            Exit::No
        }
    }
}
