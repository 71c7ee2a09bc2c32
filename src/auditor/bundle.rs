//! `kluis-audit bundle`: records with what it takes to check them, and what their decisions rest on:
//! of a project, for an auditor who may read its log, or of the whole vault; all of them, or those
//! of a dataset, a person or a permit, with the leaves of the others. The records are held against
//! the log on the way: what no longer fits is an error, not evidence.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::archive::{Archive, LogKeys};
use super::args;
use super::entries::{broken, signed};
use super::records::Records;
use super::rows::Span;
use super::source::DirSource;
use crate::app::create_dir;
use crate::archive::Kept;
use crate::cli::open::{Desk, call};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::journal::Filter;
use crate::ledger::evidence::{
    Group, Manifest, RowsWriter, write_policies, write_session, write_sessions_head,
};
use crate::ledger::tlog::{Checkpoint, Note, Tile, TileKind, VerifierKey, decode_bundle};
use crate::ledger::{
    Entry, Intent, Row, Scope, ScopeKey, Scopes, Segment, SegmentTrees, Session, Tag, encode,
};
use crate::policy::{CredentialScope, Pieces};
use crate::types::EventId;
use crate::types::limits::REPLAY_BYTES_MAX;

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
    let question = ask.words();
    let keys = desk.act(output, async |opened| {
        let call = call(opened, "audit bundle")?;
        super::admit(opened, &call, &ask.whose, &question).await?;
        Ok(LogKeys::of(&config, &opened.keyring))
    })?;
    let public = keys.notary.public(&keys.origin);
    let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
    let name = if ask.cosigned {
        "cosigned"
    } else {
        "checkpoint"
    };
    let mut log = DirSource::new(&config.proof.dir);
    let (note, checkpoint) = signed(&mut log, name, &public)?;
    // Beside its place until it is whole: a bundle that was cut short has no name.
    let beside = partial(&ask.out);
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    let made = runtime()?.block_on(async {
        let archive = Archive::open(desk, keys).await?;
        let maker = Maker {
            key: archive.keys.notary.scope_key(),
            records: Records::new(&archive, &config),
            log,
            public,
            note,
            checkpoint,
            scopes: Scopes::default(),
            selected: HashSet::new(),
        };
        maker.make(&beside, ask).await
    });
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

fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

impl args::Bundle {
    /// Which requests are shown, in words, where it is not all.
    fn shown(&self) -> Option<String> {
        let dataset = self.dataset.as_ref().map(|name| format!("dataset={name}"));
        let principal = self
            .principal
            .as_ref()
            .map(|name| format!("principal={name}"));
        let permit = self
            .permit
            .as_ref()
            .map(|permit| format!("permit={permit}"));
        let words: Vec<String> = [dataset, principal, permit].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

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
    log: DirSource,
    records: Records<'a>,
    key: ScopeKey,
    public: VerifierKey,
    note: Note,
    checkpoint: Checkpoint,
    /// Whose each record is, since the log's beginning.
    scopes: Scopes,
    /// Requests that are shown and have not ended.
    selected: HashSet<EventId>,
}

/// What is being written.
struct Pages {
    rows: RowsWriter<BufWriter<File>>,
    sessions: BufWriter<File>,
    known: HashSet<[u8; 32]>,
    count: u64,
    /// The scopes that have rows, with their tags.
    scopes: BTreeMap<Tag, Scope>,
    /// Every text that a decision can rest on.
    texts: BTreeSet<([u8; 32], String)>,
    text_bytes: usize,
    /// What decisions that are shown rest on.
    wanted: HashSet<[u8; 32]>,
    /// Credentials of requests that are shown.
    credentials: HashSet<String>,
}

impl Pages {
    fn new(out: &Path) -> Result<Self, CliError> {
        let mut sessions = BufWriter::new(File::create(out.join("sessions"))?);
        write_sessions_head(&mut sessions)?;
        Ok(Self {
            rows: RowsWriter::new(BufWriter::new(File::create(out.join("rows"))?))?,
            sessions,
            known: HashSet::new(),
            count: 0,
            scopes: BTreeMap::new(),
            texts: BTreeSet::new(),
            text_bytes: 0,
            wanted: HashSet::new(),
            credentials: HashSet::new(),
        })
    }

    /// Keeps a text that decisions may rest on.
    fn text(&mut self, version: [u8; 32], text: &str) -> Result<(), CliError> {
        if self.texts.insert((version, text.to_owned())) {
            self.text_bytes = self.text_bytes.saturating_add(text.len());
        }
        if self.text_bytes > REPLAY_BYTES_MAX {
            let told = "the log keeps more policy texts than can be held";
            return Err(CliError::new(Exit::Unavailable, told));
        }
        Ok(())
    }

    /// A record is shown: its session, and what its decision rests on, come along.
    fn show(&mut self, kept: &Kept) -> Result<(), CliError> {
        self.count = self.count.saturating_add(1);
        if let Entry::Intent { intent, .. } | Entry::Whole { intent, .. } = &kept.entry
            && let Some(policy) = &intent.policy
        {
            self.wanted.insert(policy.version);
        }
        if let (Some(hash), Some(session)) = (kept.entry.session(), &kept.session) {
            let credential = session.access_key.as_ref();
            self.credentials.extend(credential.map(ToString::to_string));
            if self.known.insert(*hash) {
                let mut bytes = Vec::new();
                let encoded = encode(&Entry::Session((**session).clone()), &mut bytes);
                encoded.map_err(|error| broken(&error.to_string()))?;
                write_session(&mut self.sessions, &bytes)?;
            }
        }
        Ok(())
    }

    /// Writes the texts that the shown decisions rest on, and what these name in turn.
    fn policies(&self, out: &Path) -> Result<(), CliError> {
        let mut policies = HashSet::new();
        for (version, text) in &self.texts {
            if self.wanted.contains(version) {
                policies.extend(Pieces::policy_of(text));
            }
        }
        let texts = self.texts.iter().filter(|(version, text)| {
            let scope = CredentialScope::read(version, text).ok();
            self.wanted.contains(version)
                || policies.contains(version)
                || scope.is_some_and(|s| self.credentials.contains(s.credential.as_str()))
        });
        let texts = texts.map(|(version, text)| (*version, text.as_str()));
        let mut file = BufWriter::new(File::create(out.join("policies"))?);
        Ok(write_policies(&mut file, texts)?)
    }
}

impl Maker<'_> {
    /// Makes the bundle; how many records it shows.
    async fn make(mut self, out: &Path, ask: &args::Bundle) -> Result<u64, CliError> {
        create_dir(out)?;
        self.tiles(out)?;
        let mut pages = Pages::new(out)?;
        if let Some(project) = &ask.whose.project {
            let scope = Scope::Project(project.clone());
            pages.scopes.insert(self.key.tag(&scope), scope);
        }
        let range = self.walk(ask, &mut pages).await?;
        pages.policies(out)?;
        pages.sessions.flush()?;
        let scopes = pages.scopes.iter();
        let scopes: Vec<(Scope, Tag)> = scopes.map(|(tag, scope)| (scope.clone(), *tag)).collect();
        pages.rows.finish()?;
        let mut manifest = Manifest::new(&self.checkpoint.origin, range, &scopes);
        manifest.shown = ask.shown();
        let manifest = serde_json::to_vec_pretty(&manifest);
        let manifest = manifest.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
        fs::write(out.join("bundle.json"), manifest)?;
        let readme = README.replace("{key}", &self.public.to_string());
        fs::write(out.join("README.txt"), readme)?;
        fs::write(out.join("checkpoint"), self.note.to_string())?;
        Ok(pages.count)
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
    async fn walk(
        &mut self,
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
                let span = Span {
                    since: ask.since,
                    until: ask.until,
                };
                let wanted = span.holds(segment.time);
                if wanted {
                    let (first, _) = range.unwrap_or((index, index));
                    range = Some((first, index.saturating_add(1)));
                }
                self.segment((index, &segment), (ask, wanted), pages)
                    .await?;
                index = index.saturating_add(1);
            }
        }
        Ok(range.unwrap_or((0, 0)))
    }

    async fn segment(
        &mut self,
        (index, segment): (u64, &Segment),
        (ask, wanted): (&args::Bundle, bool),
        pages: &mut Pages,
    ) -> Result<(), CliError> {
        let Some(records) = self.records.of(segment).await? else {
            return Ok(());
        };
        let mut trees = SegmentTrees::new(&self.key, &segment.lane, segment.first);
        let mut groups: BTreeMap<Tag, Vec<(usize, bool)>> = BTreeMap::new();
        for (at, kept) in records.iter().enumerate() {
            if let Entry::Policy { version, text } = &kept.entry {
                pages.text(*version, text)?;
            }
            let shown = shows(&mut self.selected, ask, kept);
            for scope in self.scopes.of(&kept.entry) {
                trees.push(&scope, kept.seq, &kept.bytes);
                let asked = match (&ask.whose.project, &scope) {
                    (None, _) => true,
                    (Some(project), Scope::Project(name)) => project == name,
                    (Some(_), Scope::Vault) => false,
                };
                if wanted && asked {
                    let tag = self.key.tag(&scope);
                    pages.scopes.insert(tag, scope);
                    groups.entry(tag).or_default().push((at, shown));
                }
            }
        }
        if trees.roots() != segment.scopes {
            return Err(broken(&format!(
                "journal and volumes do not hold what entry {index} says"
            )));
        }
        for (tag, rows) in groups {
            let seed = self.key.seed(&tag, &segment.lane, segment.first);
            let leaf = Row::new(&seed);
            let mut group = Group {
                entry: index,
                tag,
                seed,
                rows: Vec::new(),
                hidden: Vec::new(),
            };
            let mut buffer = Vec::new();
            for (at, shown) in rows {
                let Some(kept) = records.get(at) else {
                    continue;
                };
                if shown {
                    pages.show(kept)?;
                    group.rows.push((kept.seq, kept.bytes.clone()));
                } else {
                    let leaf = leaf.leaf(kept.seq, &kept.bytes, &mut buffer);
                    group.hidden.push((kept.seq, leaf));
                }
            }
            // The seed gives the salts of hidden rows too. Each names an event of 74 random bits, so
            // that nobody guesses one from its leaf.
            pages.rows.group(&group)?;
        }
        Ok(())
    }
}

/// Whether a record is shown: all are, or those of requests that fit and their ends.
fn shows(selected: &mut HashSet<EventId>, ask: &args::Bundle, kept: &Kept) -> bool {
    if ask.shown().is_none() {
        return true;
    }
    match &kept.entry {
        Entry::Intent { intent, .. } => {
            let fits = ask.fits(kept.session.as_deref(), intent);
            if fits {
                selected.insert(intent.event);
            }
            fits
        }
        Entry::Whole { intent, .. } => ask.fits(kept.session.as_deref(), intent),
        Entry::Completion(completion) => selected.remove(&completion.event),
        Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_) => false,
    }
}
