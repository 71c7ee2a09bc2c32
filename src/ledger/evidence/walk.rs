//! The way through a log, entry by entry: leaves into the tree, segments into their lanes, rows
//! into their segments.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::rows::{Group, RowsError};
use super::verify::{Claims, FindingKind, Report, Seen, Source, Visit};
use crate::ledger::tlog::{Checkpoint, Edge, Hash, Tile, TileKind, decode_bundle, empty_root};
use crate::ledger::{Entry, Intent, ObjectRef, Scope, Segment, Tag, decode, leaf_hash};
use crate::types::EventId;
use crate::types::limits::{LOG_LANES_MAX, LOG_OPEN_MAX};

/// The way through the log, entry by entry.
pub(super) struct Walk<'a> {
    claims: Claims,
    pub(super) report: Report,
    visit: Visit<'a>,
    /// Of each lane the number behind its last segment.
    lanes: BTreeMap<String, u64>,
    /// Requests that have not ended, of each scope: one of two projects is in both.
    open: BTreeSet<(Scope, EventId)>,
    /// The numbers of this segment's records that were visited: one of two projects is there twice.
    visited: BTreeSet<u64>,
    time: u64,
    /// The next group of rows.
    head: Option<Group>,
    /// Rows are not read any more.
    rows_end: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(claims: Claims, report: Report, visit: Visit<'a>) -> Self {
        Self {
            claims,
            report,
            visit,
            lanes: BTreeMap::new(),
            open: BTreeSet::new(),
            visited: BTreeSet::new(),
            time: 0,
            head: None,
            rows_end: false,
        }
    }

    fn find(&mut self, kind: FindingKind, text: impl Into<String>) {
        self.report.find(kind, text);
    }

    /// Recomputes the tree from its leaves; the roots on the way are those of kept checkpoints.
    pub(super) fn tree(
        &mut self,
        source: &mut dyn Source,
        checkpoint: &Checkpoint,
        mut kept: BTreeMap<u64, Hash>,
    ) -> io::Result<()> {
        let size = checkpoint.size;
        let mut edge = Edge::new();
        let mut above: Vec<Hash> = Vec::new();
        if kept.remove(&0).is_some_and(|root| root != empty_root()) {
            self.find(
                FindingKind::Forked,
                "a kept checkpoint of no entries has a root",
            );
        }
        let mut index = 0_u64;
        while let Some(tile) = Tile::of(TileKind::Hashes(0), index, size) {
            let Some(hashes) = hashes(source, &tile)? else {
                let text = format!("{tile} is missing or has another length");
                self.find(FindingKind::Tree, text);
                return Ok(());
            };
            self.entries(source, (&tile, &hashes))?;
            for hash in &hashes {
                edge.push(*hash);
                if let Some(root) = kept.remove(&edge.size()) {
                    if root == edge.root() {
                        self.report.kept = self.report.kept.saturating_add(1);
                    } else {
                        let at = edge.size();
                        let text =
                            format!("the first {at} entries are not those of a kept checkpoint");
                        self.find(FindingKind::Forked, text);
                    }
                }
            }
            above.extend(
                tile.is_full()
                    .then(|| hashes.into_iter().collect::<Edge>().root()),
            );
            index = index.saturating_add(1);
        }
        if edge.root() != checkpoint.root {
            self.find(
                FindingKind::Tree,
                "the hashes do not lead to the checkpoint's root",
            );
        }
        self.above(source, size, above)
    }

    /// Tiles above the leaves, where they are there, are what the leaves say.
    fn above(
        &mut self,
        source: &mut dyn Source,
        size: u64,
        mut level_hashes: Vec<Hash>,
    ) -> io::Result<()> {
        for level in 1..8 {
            let mut next = Vec::new();
            for (index, row) in level_hashes.chunks(256).enumerate() {
                let index = u64::try_from(index).unwrap_or(u64::MAX);
                let Some(tile) = Tile::of(TileKind::Hashes(level), index, size) else {
                    continue;
                };
                let there = hashes(source, &tile)?;
                if there.is_some_and(|there| there != row) {
                    self.find(FindingKind::Tree, format!("{tile} is not of this tree"));
                }
                next.extend(
                    tile.is_full()
                        .then(|| row.iter().copied().collect::<Edge>().root()),
                );
            }
            level_hashes = next;
        }
        Ok(())
    }

    /// The entries of one tile, as far as they are claimed.
    fn entries(
        &mut self,
        source: &mut dyn Source,
        (tile, hashes): (&Tile, &[Hash]),
    ) -> io::Result<()> {
        let (first, end) = self.claims.range;
        let begin = tile.index.saturating_mul(256);
        let last = begin.saturating_add(u64::from(tile.width));
        if last <= first || begin >= end {
            return Ok(());
        }
        let entries = Tile {
            kind: TileKind::Entries,
            ..*tile
        };
        let bytes = file(source, &entries)?;
        let bundle = bytes.as_deref().map(|bytes| {
            // A full bundle may stand for a partial one.
            decode_bundle(tile.width, bytes).or_else(|_length| {
                decode_bundle(256, bytes).map(|mut all| {
                    all.truncate(usize::from(tile.width));
                    all
                })
            })
        });
        let Some(Ok(bundle)) = bundle else {
            self.find(
                FindingKind::Entry,
                format!("{entries} is missing or damaged"),
            );
            return Ok(());
        };
        for ((index, entry), hash) in (begin..).zip(bundle).zip(hashes) {
            if index < first || index >= end {
                continue;
            }
            if leaf_hash(entry) != *hash {
                self.find(FindingKind::Entry, format!("entry {index} was altered"));
                continue;
            }
            match Segment::decode(entry) {
                Ok(segment) => self.segment(index, &segment)?,
                Err(error) => self.find(FindingKind::Entry, format!("entry {index}: {error}")),
            }
        }
        Ok(())
    }

    fn segment(&mut self, index: u64, segment: &Segment) -> io::Result<()> {
        let (first, _) = self.claims.range;
        let known = self.lanes.get(&segment.lane).copied();
        let expected = known.unwrap_or(if first == 0 { 0 } else { segment.first });
        let lane = &segment.lane;
        if segment.first != expected {
            self.report.find(
                FindingKind::Lane,
                format!(
                    "entry {index}: lane {lane} goes on at {} instead of {expected}",
                    segment.first
                ),
            );
        }
        if segment.lost {
            let (from, to) = (segment.first, segment.end());
            self.report.find(
                FindingKind::Lost,
                format!("entry {index}: records {from} to {to} of lane {lane} could not be read"),
            );
        }
        if known.is_some() || self.lanes.len() < LOG_LANES_MAX {
            self.lanes.insert(lane.clone(), segment.end());
        } else {
            self.find(FindingKind::Lane, "there are more lanes than a log has");
        }
        if segment.time.millis() < self.time {
            self.report.clock_set_back = self.report.clock_set_back.saturating_add(1);
        }
        self.time = segment.time.millis();
        self.visited.clear();
        if self.claims.rows.is_some() {
            let claimed = |tag: &Tag| self.claims.scopes.iter().any(|(_, known)| known == tag);
            let others = segment.scopes.iter().filter(|root| !claimed(&root.tag));
            let others = others.fold(0_u64, |sum, root| sum.saturating_add(root.count));
            self.report.others = self.report.others.saturating_add(others);
        }
        for (scope, tag) in self.claims.scopes.clone() {
            let logged = segment.scope(&tag);
            self.before(index, &tag)?;
            let here = self.head.as_ref();
            let here = here.is_some_and(|group| group.entry == index && group.tag == tag);
            match (logged, here) {
                (None, false) => {}
                (Some(root), true) => {
                    let group = self.head.take();
                    self.next_group()?;
                    if let Some(group) = group {
                        let wanted = (root.count, root.root);
                        self.group(segment, &scope, wanted, group);
                    }
                }
                (Some(root), false) if self.is_over(&tag, segment) => {
                    self.report.expired = self.report.expired.saturating_add(root.count);
                }
                (Some(root), false) => self.find(
                    FindingKind::Rows,
                    format!("entry {index}: its {} rows are missing", root.count),
                ),
                (None, true) => {
                    self.find(
                        FindingKind::Rows,
                        format!("entry {index}: it has no such rows"),
                    );
                    self.next_group()?;
                }
            }
        }
        Ok(())
    }

    /// Whether a scope's rows of this segment may be gone: whether they were due is judged once.
    fn is_over(&self, tag: &Tag, segment: &Segment) -> bool {
        let expired = self.claims.expired.get(tag);
        expired.is_some_and(|expired| segment.time.millis() < expired.before)
    }

    /// Groups that come before where the log is: of entries or scopes that have none.
    fn before(&mut self, index: u64, tag: &Tag) -> io::Result<()> {
        while let Some(group) = &self.head {
            if (group.entry, &group.tag) >= (index, tag) {
                break;
            }
            let entry = group.entry;
            self.find(
                FindingKind::Rows,
                format!("entry {entry}: it has no such rows"),
            );
            self.next_group()?;
        }
        Ok(())
    }

    pub(super) fn next_group(&mut self) -> io::Result<()> {
        self.head = None;
        let Some(rows) = self.claims.rows.as_mut().filter(|_| !self.rows_end) else {
            return Ok(());
        };
        match rows.group() {
            Ok(Some(group)) => self.head = Some(group),
            Ok(None) => self.rows_end = true,
            Err(RowsError::Io(error)) => return Err(error),
            Err(RowsError::Malformed) => {
                self.rows_end = true;
                self.find(FindingKind::Bundle, "the file rows is cut or damaged");
            }
        }
        Ok(())
    }

    /// One group of rows against the root that was logged.
    fn group(&mut self, segment: &Segment, scope: &Scope, wanted: (u64, Hash), group: Group) {
        let edge = group.leaves();
        let (logged, entry) = (wanted.0, group.entry);
        if (edge.size(), edge.root()) != wanted {
            let here = edge.size();
            self.find(
                FindingKind::Rows,
                format!("entry {entry}: {logged} rows were logged, and these {here} are others"),
            );
            return;
        }
        let rows = group.shown();
        let shown = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let hidden = edge.size().saturating_sub(shown);
        self.report.hidden = self.report.hidden.saturating_add(hidden);
        let mut next = segment.first;
        for (seq, record) in rows {
            let told = match decode(&record) {
                _ if seq < next || seq >= segment.end() => Err("its number is out of order".into()),
                Err(error) => Err(error.to_string()),
                Ok(record) => self.row(&segment.lane, seq, scope, record),
            };
            next = seq.saturating_add(1);
            match told {
                Ok(()) => self.report.rows = self.report.rows.saturating_add(1),
                Err(told) => self.find(
                    FindingKind::Record,
                    format!("record {seq} of lane {}: {told}", segment.lane),
                ),
            }
        }
    }

    fn row(&mut self, lane: &str, seq: u64, scope: &Scope, entry: Entry) -> Result<(), String> {
        let session = match entry.session() {
            None => None,
            Some(hash) => match self.claims.sessions.get(hash) {
                None => return Err("its session is not in the bundle".into()),
                found => found,
            },
        };
        let foreign = || "it is not of this project".to_owned();
        match (&entry, scope) {
            (
                Entry::Intent { intent, .. } | Entry::Whole { intent, .. },
                Scope::Project(project),
            ) => {
                let names = |object: &ObjectRef| object.project.as_ref() == Some(project);
                let source = intent.source_object.as_ref();
                if !names(&intent.object) && !source.is_some_and(names) {
                    return Err(foreign());
                }
            }
            (Entry::Completion(_), _) | (_, Scope::Vault) => {}
            (
                Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_),
                Scope::Project(_),
            ) => return Err(foreign()),
        }
        let whole = self.claims.range.0 == 0 && self.claims.expired.is_empty();
        paired(&mut self.open, scope, &entry, whole)?;
        if self.claims.scopes.len() > 1 && !self.visited.insert(seq) {
            return Ok(());
        }
        if matches!(entry, Entry::Intent { .. } | Entry::Whole { .. }) {
            self.report.requests = self.report.requests.saturating_add(1);
        }
        (self.visit)(Seen {
            lane,
            seq,
            session,
            entry,
        });
        Ok(())
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.head.is_some() {
            self.before(u64::MAX, &[0xff; 16])?;
        }
        let open: BTreeSet<EventId> = self.open.iter().map(|(_, event)| *event).collect();
        self.report.open = u64::try_from(open.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// Each intent has one completion, and each completion an intent: before it, if the log is here
/// from its beginning.
fn paired(
    open: &mut BTreeSet<(Scope, EventId)>,
    scope: &Scope,
    entry: &Entry,
    whole: bool,
) -> Result<(), String> {
    match entry {
        Entry::Intent {
            intent: Intent { event, .. },
            ..
        } => {
            if !open.insert((scope.clone(), *event)) {
                return Err("its request began before".into());
            }
            if open.len() > LOG_OPEN_MAX {
                open.pop_first();
            }
        }
        Entry::Completion(completion) => {
            if !open.remove(&(scope.clone(), completion.event)) && whole {
                return Err("it ends a request that never began".into());
            }
        }
        Entry::Whole { .. }
        | Entry::Session(_)
        | Entry::Mark { .. }
        | Entry::Policy { .. }
        | Entry::Open(_) => {}
    }
    Ok(())
}

/// A tile's file; a full one may stand for a partial one.
fn file(source: &mut dyn Source, tile: &Tile) -> io::Result<Option<Vec<u8>>> {
    if let Some(bytes) = source.read(&tile.to_string())? {
        return Ok(Some(bytes));
    }
    if tile.is_full() {
        return Ok(None);
    }
    source.read(
        &Tile {
            width: 256,
            ..*tile
        }
        .to_string(),
    )
}

fn hashes(source: &mut dyn Source, tile: &Tile) -> io::Result<Option<Vec<Hash>>> {
    let Some(mut bytes) = file(source, tile)? else {
        return Ok(None);
    };
    bytes.truncate(usize::from(tile.width).saturating_mul(32));
    Ok(tile.hashes(&bytes).ok())
}
