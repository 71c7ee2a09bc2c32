//! `kluis-audit bundle`: a project's records with what it takes to check them, for an auditor who
//! may read this project's log. The records are read from the journal, or from volumes where it has
//! let them go, and held against the log on the way: what no longer fits is an error, not evidence.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::archive::{Archive, LogKeys};
use super::args;
use super::entries::{broken, signed};
use super::expire::kept_by;
use super::records::{Part, Records};
use super::source::DirSource;
use crate::app::create_dir;
use crate::app::system::SystemClock;
use crate::cli::open::{Desk, call, journal};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::config::Config;
use crate::journal::{begins, lanes};
use crate::ledger::evidence::{
    Expired, Group, Manifest, RowsWriter, write_session, write_sessions_head,
};
use crate::ledger::tlog::{Checkpoint, Note, Tile, TileKind, VerifierKey, decode_bundle};
use crate::ledger::{DAY_MS, Entry, Kept, Scope, ScopeRoot, Segment, SegmentTrees, Tag, encode};
use crate::notary::NotaryKeys;
use crate::types::{Clock as _, Timestamp};

const README: &str = include_str!("README.txt");

/// Runs it.
pub(super) fn run(
    ask: &args::Bundle,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let config = desk.config()?;
    if ask.out.exists() {
        return Err(CliError::new(
            Exit::Usage,
            format!(
                "{} is there already, nothing was changed",
                ask.out.display()
            ),
        ));
    }
    let moment = |name: &str, time: Option<Timestamp>| {
        time.map(|time| format!(" {name}={time}"))
            .unwrap_or_default()
    };
    let query = format!(
        "bundle project={} auditor={}{}{}",
        ask.project,
        ask.auditor,
        moment("since", ask.since),
        moment("until", ask.until)
    );
    let (keys, volumes, kept) = desk.act(output, async |opened| {
        let call = call(opened, "audit bundle")?;
        let vault = &opened.vault;
        vault
            .hand_out_log(&call, &ask.project, &ask.auditor, &query)
            .await?;
        let keys = || LogKeys::of(&config, &opened.keyring);
        Ok((keys(), keys(), kept_by(opened).await?))
    })?;
    let origin = keys.origin.clone();
    let keys = keys.notary;
    let records = records(desk, &config, volumes)?;
    let public = keys.public(&origin);
    let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
    let name = if ask.cosigned {
        "cosigned"
    } else {
        "checkpoint"
    };
    let maker = Maker::open(&config.proof.dir, records, (keys, kept, &public), name)?;
    // Beside its place until it is whole: a bundle that was cut short has no name.
    let beside = partial(&ask.out);
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    let made = maker.make(&beside, ask);
    let rows = match made {
        Ok(rows) => rows,
        Err(error) => {
            drop(fs::remove_dir_all(&beside));
            return Err(error);
        }
    };
    fs::rename(&beside, &ask.out)?;
    output.note(&format!("{rows} records are in {}", ask.out.display()));
    output.hint(&format!(
        "`kluis-audit verify {} --log FILE` checks it, with the key that `kluis-audit key` prints",
        ask.out.display()
    ));
    Ok(Exit::Done)
}

/// Where the records are: with the volumes once the journal has let something go.
fn records(desk: Desk<'_>, config: &Config, keys: LogKeys) -> Result<Records, CliError> {
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

fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Reads a log and the journal that it is of.
struct Maker {
    log: DirSource,
    records: Records,
    kept: Kept,
    keys: NotaryKeys,
    public: VerifierKey,
    note: Note,
    checkpoint: Checkpoint,
}

/// What is being written.
struct Pages {
    rows: RowsWriter<BufWriter<File>>,
    sessions: BufWriter<File>,
    known: HashSet<[u8; 32]>,
    count: u64,
    /// When the newest records that are there no more came into the log.
    gone: Option<Timestamp>,
}

impl Maker {
    fn open(
        log: &Path,
        records: Records,
        (keys, kept, public): (NotaryKeys, Kept, &VerifierKey),
        name: &str,
    ) -> Result<Self, CliError> {
        let mut log = DirSource::new(log);
        let (note, checkpoint) = signed(&mut log, name, public)?;
        Ok(Self {
            log,
            records,
            kept,
            keys,
            public: public.clone(),
            note,
            checkpoint,
        })
    }

    /// Makes the bundle; how many records it has.
    fn make(mut self, out: &Path, ask: &args::Bundle) -> Result<u64, CliError> {
        create_dir(out)?;
        self.tiles(out)?;
        let scope = Scope::Project(ask.project.clone());
        let tag = self.keys.scope_key().tag(&scope);
        let mut sessions = BufWriter::new(File::create(out.join("sessions"))?);
        write_sessions_head(&mut sessions)?;
        let mut pages = Pages {
            rows: RowsWriter::new(BufWriter::new(File::create(out.join("rows"))?))?,
            sessions,
            known: HashSet::new(),
            count: 0,
            gone: None,
        };
        let range = self.walk((&scope, &tag), ask, &mut pages)?;
        pages.sessions.flush()?;
        pages.rows.finish()?;
        let expired = pages.gone.map(|newest| self.expired(&scope, newest));
        let mut manifest = Manifest::new(&self.checkpoint.origin, range, &[(scope, tag)]);
        if let Some(expired) = expired {
            manifest.expire(&tag, expired);
        }
        let manifest = serde_json::to_vec_pretty(&manifest);
        let manifest = manifest.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        fs::write(out.join("bundle.json"), manifest)?;
        let readme = README.replace("{key}", &self.public.to_string());
        fs::write(out.join("README.txt"), readme)?;
        fs::write(out.join("checkpoint"), self.note.to_string())?;
        Ok(pages.count)
    }

    /// What is there no more: records up to `newest`, which had the days that their project asks for
    /// at most. Whether that was due is for the verifier to judge.
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

    /// Goes through all entries from the log's beginning, since a completion belongs where its
    /// intent does; writes the rows of those that were asked for. Their range.
    fn walk(
        &mut self,
        (scope, tag): (&Scope, &Tag),
        ask: &args::Bundle,
        pages: &mut Pages,
    ) -> Result<(u64, u64), CliError> {
        let size = self.checkpoint.size;
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
                let wanted = ask.since.is_none_or(|since| segment.time >= since)
                    && ask.until.is_none_or(|until| segment.time < until);
                let part = self.records.of(&segment, wanted)?;
                if wanted {
                    let (first, _) = range.unwrap_or((index, index));
                    range = Some((first, index.saturating_add(1)));
                    self.segment((index, &segment), (scope, tag), part, pages)?;
                }
                index = index.saturating_add(1);
            }
        }
        Ok(range.unwrap_or((0, 0)))
    }

    fn segment(
        &self,
        (index, segment): (u64, &Segment),
        (scope, tag): (&Scope, &Tag),
        part: Part,
        pages: &mut Pages,
    ) -> Result<(), CliError> {
        let key = self.keys.scope_key();
        let mut trees = SegmentTrees::new(&key, &segment.lane, segment.first);
        let mut rows = Vec::new();
        let mut sessions = Vec::new();
        let gone = part.gone || part.expired.contains(tag);
        for held in part.records {
            for of in &held.scopes {
                trees.push(of, held.seq, &held.bytes);
            }
            if !gone && held.scopes.contains(scope) {
                sessions.extend(held.session);
                rows.push((held.seq, held.bytes));
            }
        }
        let there = |roots: &[ScopeRoot]| -> Vec<ScopeRoot> {
            let there = roots
                .iter()
                .filter(|root| !part.gone && !part.expired.contains(&root.tag));
            there.copied().collect()
        };
        if !segment.lost && there(&trees.roots()) != there(&segment.scopes) {
            let told = format!("what is kept is not what entry {index} says");
            return Err(broken(&told));
        }
        if gone && segment.scope(tag).is_some() {
            pages.gone = pages.gone.max(Some(segment.time));
        }
        if rows.is_empty() {
            return Ok(());
        }
        for (hash, session) in sessions {
            if pages.known.insert(hash) {
                let mut bytes = Vec::new();
                let encoded = encode(&Entry::Session((*session).clone()), &mut bytes);
                encoded.map_err(|error| broken(&error.to_string()))?;
                write_session(&mut pages.sessions, &bytes)?;
            }
        }
        pages.count = pages
            .count
            .saturating_add(u64::try_from(rows.len()).unwrap_or(0));
        let seed = key.seed(tag, &segment.lane, segment.first);
        Ok(pages.rows.group(&Group {
            entry: index,
            tag: *tag,
            seed,
            rows,
        })?)
    }
}
