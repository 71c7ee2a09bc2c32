//! `kluis-audit bundle`: records with what it takes to check them, and what their decisions rest
//! on: of a project, for an auditor who may read its log, or of the whole vault; all of them, or
//! those of a dataset, a person or a permit, with the leaves of the others. The records are read
//! from the journal, or from volumes where it has let them go, and held against the log on the way:
//! what no longer fits is an error, not evidence.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{Archive, LogKeys, unreadable};
use super::args;
use super::entries::{broken, signed};
use super::pages::Pages;
use super::records::{Held, Part, Records};
use super::rows::Span;
use super::source::DirSource;
use crate::app::create_dir;
use crate::app::system::SystemClock;
use crate::archive::texts_of;
use crate::cli::open::{Desk, call, journal};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::cli::words::count;
use crate::config::Config;
use crate::journal::{Filter, begins, lanes};
use crate::ledger::evidence::{Expired, Group, GroupRows, Manifest, Statement, Told};
use crate::ledger::tlog::{Checkpoint, Note, Signer, Tile, TileKind, decode_bundle};
use crate::ledger::{
    DAY_MS, Entry, Intent, Kept, Row, Scope, ScopeKey, ScopeRoot, Segment, SegmentTrees, Session,
    Tag, back,
};
use crate::types::limits::LOG_KEPT_DAYS_MIN;
use crate::types::{Clock as _, EventId, Timestamp};

const README: &str = include_str!("README.txt");

/// Runs it.
pub(super) fn run(
    ask: &args::Bundle,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    if ask.out.exists() {
        let told = format!(
            "{} is there already, nothing was changed",
            ask.out.display()
        );
        return Err(CliError::new(Exit::Usage, told));
    }
    let question = ask.words();
    let (keys, volumes, hidden) = desk.act(output, async |opened| {
        let call = call(opened, "audit bundle")?;
        let hidden = super::admit(opened, &call, &ask.whose, (&question, false)).await?;
        let keys = async || LogKeys::of(&config, opened).await;
        Ok((keys().await?, keys().await?, hidden.is_some()))
    })?;
    let signer = keys.notary.signer(&keys.origin);
    let signer = signer.map_err(|error| CliError::of(Exit::Usage, &error))?;
    let name = if ask.cosigned {
        "cosigned"
    } else {
        "checkpoint"
    };
    let mut log = DirSource::new(&config.proof.dir);
    let (note, checkpoint) = signed(&mut log, name, signer.public())?;
    let maker = Maker {
        ask,
        hidden,
        log,
        records: records(desk, &config, volumes)?,
        key: keys.notary.scope_key(),
        kept: keys.kept,
        signer,
        note,
        checkpoint,
        scopes: BTreeMap::new(),
        selected: HashSet::new(),
        gone: BTreeMap::new(),
    };
    // Beside its place until it is whole: a bundle that was cut short has no name.
    let beside = partial(&ask.out);
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    let rows = match maker.make(&beside) {
        Ok(rows) => rows,
        Err(error) => {
            drop(fs::remove_dir_all(&beside));
            return Err(error);
        }
    };
    fs::rename(&beside, &ask.out)?;
    let records = count(rows, "record is", "records are");
    output.note(&format!("{records} in {}", ask.out.display()));
    if hidden {
        output.hint(
            "the project's people are shown under pseudonyms, so this bundle has each record's leaf \
             alone; `kluis-audit export` shows requests, and who manages grants makes a bundle of them",
        );
    }
    let by = if ask.cosigned {
        "--trust FILE` checks it, cosignatures too, by a policy that names the log's key and witnesses"
    } else {
        "--log FILE` checks it, with the key that `kluis-audit key` prints"
    };
    output.hint(&format!("`kluis-audit verify {} {by}", ask.out.display()));
    Ok(Exit::Done)
}

/// Where the records are: with the volumes once the journal has let something go.
pub(super) fn records(desk: Desk<'_>, config: &Config, keys: LogKeys) -> Result<Records, CliError> {
    let dir = config.journal.dir.clone();
    let mut pruned = false;
    for lane in lanes(&dir).map_err(|error| journal(&error))? {
        let begun = begins(&dir, &lane, keys.notary.journal.duplicate());
        pruned = pruned || begun.map_err(|error| journal(&error))? > 0;
    }
    let key = keys.notary.journal.duplicate();
    let archive = if pruned {
        Some(runtime()?.block_on(Archive::open(desk, keys))?)
    } else {
        None
    };
    Ok(Records::new(dir, key, archive))
}

/// What is shown to whoever sees no names.
const NO_NAMES: &str = "no record: people are under pseudonyms";

fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

impl args::Bundle {
    /// Which requests are shown, in words, where it is not all.
    fn shown(&self) -> Option<String> {
        let words = self.part();
        (!words.is_empty()).then(|| words.trim_start().to_owned())
    }

    /// Whether a request is of the part that is asked for.
    fn fits(&self, session: Option<&Session>, intent: &Intent) -> bool {
        let filter = Filter {
            dataset: self.dataset.clone(),
            principal: self.principal.clone(),
            permit: self.permit.clone(),
            ..Filter::default()
        };
        filter.begins(session, intent)
    }
}

/// Reads a log and the records that it is of.
struct Maker<'a> {
    ask: &'a args::Bundle,
    /// Who asks sees no names: a record names people, so none is shown, and of each its leaf.
    hidden: bool,
    log: DirSource,
    records: Records,
    key: ScopeKey,
    kept: Kept,
    signer: Signer,
    note: Note,
    checkpoint: Checkpoint,
    /// Whose records are asked for, by their tags.
    scopes: BTreeMap<Tag, Scope>,
    /// Requests that are shown and have not ended.
    selected: HashSet<EventId>,
    /// When the newest records of a scope that are there no more came into the log.
    gone: BTreeMap<Tag, Timestamp>,
}

impl Maker<'_> {
    /// Makes the bundle; how many records it shows.
    fn make(mut self, out: &Path) -> Result<u64, CliError> {
        create_dir(out)?;
        self.tiles(out)?;
        self.scopes = match &self.ask.whose.project {
            Some(project) => self.tagged(std::iter::once(Scope::Project(project.clone()))),
            None => self.tagged(self.kept.scopes()),
        };
        let shown = if self.hidden {
            Some(NO_NAMES.to_owned())
        } else {
            self.ask.shown()
        };
        let mut pages = Pages::new(out, shown.is_some())?;
        self.texts(&mut pages)?;
        let range = self.walk(&mut pages)?;
        let scopes = self.scopes.iter();
        let scopes: Vec<(Scope, Tag)> = scopes.map(|(tag, scope)| (scope.clone(), *tag)).collect();
        let mut manifest = Manifest::new(&self.checkpoint.origin, range, &scopes);
        manifest.shown = shown;
        for (tag, newest) in &self.gone {
            if let Some(scope) = self.scopes.get(tag) {
                manifest.expire(tag, self.expired(scope, *newest));
            }
        }
        let count = pages.finish(out)?;
        let manifest = serde_json::to_vec_pretty(&manifest);
        let manifest = manifest.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        fs::write(out.join("bundle.json"), manifest)?;
        let readme = README.replace("{key}", &self.signer.public().to_string());
        fs::write(out.join("README.txt"), readme)?;
        fs::write(out.join("checkpoint"), self.note.to_string())?;
        let statement = Statement::of(&mut DirSource::new(out));
        let statement = statement.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        let statement = statement.sign(&self.signer);
        let statement = statement.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        fs::write(out.join("statement"), statement.to_string())?;
        Ok(count)
    }

    fn tagged(&self, scopes: impl Iterator<Item = Scope>) -> BTreeMap<Tag, Scope> {
        scopes.map(|scope| (self.key.tag(&scope), scope)).collect()
    }

    /// What is there no more: records up to `newest`, which had the days that their project asks
    /// for at most. Whether that was due is for the verifier to judge.
    fn expired(&self, scope: &Scope, newest: Timestamp) -> Expired {
        let before = newest.plus_millis(1);
        let age = SystemClock.now().since(before) / DAY_MS;
        let days = u32::try_from(age).unwrap_or(u32::MAX);
        Expired {
            days: days.min(self.kept.days(scope)),
            before: before.millis(),
        }
    }

    /// Copies the tiles of this checkpoint.
    fn tiles(&mut self, out: &Path) -> Result<(), CliError> {
        let size = self.checkpoint.size;
        let hashes = (0..8).map(TileKind::Hashes);
        for kind in std::iter::once(TileKind::Entries).chain(hashes) {
            let mut index = 0_u64;
            while let Some(tile) = Tile::of(kind, index, size) {
                let bytes = super::entries::tile(&mut self.log, &tile)?;
                let path = out.join(tile.to_string());
                create_dir(path.parent().unwrap_or(out))?;
                fs::write(path, bytes)?;
                index = index.saturating_add(1);
            }
        }
        Ok(())
    }

    /// The texts in volumes: what a decision rests on may have been written long before it. Those
    /// that the journal still holds come on the way through it.
    fn texts(&self, pages: &mut Pages) -> Result<(), CliError> {
        let Some(archive) = self.records.archive() else {
            return Ok(());
        };
        let runtime = runtime()?;
        for place in archive.index.volumes() {
            let volume = runtime.block_on(archive.volume(place))?;
            let mut failed = None;
            let read = texts_of(&volume, |version, text| {
                failed = failed.take().or_else(|| pages.text(version, &text).err());
            });
            read.map_err(|error| unreadable(&error))?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Goes through all entries from the log's beginning, since a completion belongs where its
    /// intent does; writes the rows of those that were asked for. Their range.
    fn walk(&mut self, pages: &mut Pages) -> Result<(u64, u64), CliError> {
        let size = self.checkpoint.size;
        let span = Span {
            since: self.ask.since,
            until: self.ask.until,
        };
        let mut range: Option<(u64, u64)> = None;
        let (mut index, mut bundle) = (0_u64, 0_u64);
        while let Some(tile) = Tile::of(TileKind::Entries, bundle, size) {
            bundle = bundle.saturating_add(1);
            let bytes = super::entries::tile(&mut self.log, &tile)?;
            let entries = decode_bundle(tile.width, &bytes);
            for entry in entries.map_err(|error| broken(&error.to_string()))? {
                let segment = Segment::decode(entry);
                let segment =
                    segment.map_err(|error| broken(&format!("entry {index}: {error}")))?;
                let wanted = span.holds(segment.time);
                // What is of the part is known where it begins, which may be before the period.
                let part = self.records.of(&segment, wanted || pages.part)?;
                let shown = self.known(&part, pages)?;
                if wanted {
                    let (first, _) = range.unwrap_or((index, index));
                    range = Some((first, index.saturating_add(1)));
                    self.segment((index, &segment), &part, &shown, pages)?;
                }
                index = index.saturating_add(1);
            }
        }
        Ok(range.unwrap_or((0, 0)))
    }

    /// Which records of a segment are shown. The texts among them are kept.
    fn known(&mut self, part: &Part, pages: &mut Pages) -> Result<Vec<bool>, CliError> {
        let mut shown = Vec::with_capacity(part.records.len());
        for held in &part.records {
            if let Entry::Policy { version, text } = &held.entry {
                pages.text(*version, text)?;
            }
            shown.push(!self.hidden && (!pages.part || self.selects(held)));
        }
        Ok(shown)
    }

    /// Whether a record is of the part: of a request that fits, or its end.
    fn selects(&mut self, held: &Held) -> bool {
        let session = held.session.as_ref().map(|(_, session)| session.as_ref());
        match &held.entry {
            Entry::Intent { intent, .. } => {
                let fits = self.ask.fits(session, intent);
                if fits {
                    self.selected.insert(intent.event);
                }
                fits
            }
            Entry::Whole { intent, .. } => self.ask.fits(session, intent),
            Entry::Completion(completion) => self.selected.remove(&completion.event),
            Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_) => false,
        }
    }

    fn segment(
        &mut self,
        (index, segment): (u64, &Segment),
        part: &Part,
        shown: &[bool],
        pages: &mut Pages,
    ) -> Result<(), CliError> {
        let mut trees = SegmentTrees::new(&self.key, &segment.lane, segment.first);
        let mut groups: BTreeMap<Tag, Vec<(&Held, bool)>> = BTreeMap::new();
        for (held, shown) in part.records.iter().zip(shown) {
            for of in &held.scopes {
                trees.push(of, held.seq, &held.bytes);
                let tag = self.key.tag(of);
                if self.ask.whose.project.is_none() {
                    self.scopes.entry(tag).or_insert_with(|| of.clone());
                }
                if self.scopes.contains_key(&tag) && !part.expired.contains(&tag) {
                    groups.entry(tag).or_default().push((held, *shown));
                }
            }
        }
        let there = |roots: &[ScopeRoot]| -> Vec<ScopeRoot> {
            let there = roots
                .iter()
                .filter(|root| !part.gone && !part.expired.contains(&root.tag));
            there.copied().collect()
        };
        if segment.lost {
            return Ok(());
        }
        if there(&trees.roots()) != there(&segment.scopes) {
            let told = format!("what is kept is not what entry {index} says");
            return Err(broken(&told));
        }
        // No project's records are over before this, whatever it asked for once.
        let soonest = back(SystemClock.now(), LOG_KEPT_DAYS_MIN);
        if part.gone && !segment.scopes.is_empty() && segment.time >= soonest {
            let told =
                format!("the volumes lack the records of entry {index}, whose time is not over");
            return Err(broken(&told));
        }
        for root in &segment.scopes {
            if (part.gone || part.expired.contains(&root.tag))
                && self.scopes.contains_key(&root.tag)
            {
                let newest = self.gone.entry(root.tag).or_insert(segment.time);
                *newest = (*newest).max(segment.time);
            }
        }
        for (tag, rows) in groups {
            let seed = self.key.seed(&tag, &segment.lane, segment.first);
            let rows = group_rows(&rows, seed, pages)?;
            let entry = index;
            pages.group(&Group { entry, tag, rows })?;
        }
        Ok(())
    }
}

/// What a bundle tells of the rows of one scope in one entry.
fn group_rows(
    rows: &[(&Held, bool)],
    seed: [u8; 32],
    pages: &mut Pages,
) -> Result<GroupRows, CliError> {
    for (held, _) in rows.iter().filter(|(_, shown)| *shown) {
        pages.show(held)?;
    }
    if !pages.part {
        let rows = rows.iter().map(|(held, _)| (held.seq, held.bytes.clone()));
        return Ok(GroupRows::Whole(seed, rows.collect()));
    }
    let salts = Row::new(&seed);
    let mut buffer = Vec::new();
    let told = rows.iter().map(|(held, shown)| {
        if *shown {
            Told::Record(held.seq, salts.salt(held.seq), held.bytes.clone())
        } else {
            Told::Leaf(salts.leaf(held.seq, &held.bytes, &mut buffer))
        }
    });
    Ok(GroupRows::Part(told.collect()))
}
