//! The writer's half of a lane, without threads: which file is written, what is durable, what is
//! open, how a file begins and what a restart finds. Every step that can fail leaves the lane in
//! a state from which it goes on.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::disk::{Disk, DiskFile};
use super::extent::aside;
use super::fault::Fault;
use super::file::{LogFile, Step, failed, file_name, files_of};
use super::format::{FRAME_OVERHEAD, FrameKey, HEADER_BYTES, Header, Link, LogKey};
use super::framer::{Framer, Fresh};
use super::prune::begin;
use super::queue::{Effect, Queued};
use super::{JournalError, Late, Replica};
use crate::ledger::{self, Completion, Entry, MarkKind, Outcome, Session, SessionHash};
use crate::types::limits::RECORD_EVENTS_MAX;
use crate::types::{Clock, Entropy, EventId};

/// The file that will be the next one, while it is prepared.
const SPARE: &str = "spare.tmp";
/// Held by the process that writes the lane.
const LOCK: &str = "lock";
/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Where a lane is and how large its files are.
pub(super) struct Place {
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Its name.
    pub(super) name: String,
    /// Bytes of one file.
    pub(super) capacity: usize,
    /// How long a group waits for the second place.
    pub(super) patience: Duration,
}

/// What was sent to the second place and is not known to be there.
struct UnderWay {
    /// Behind it, where it stands in the file as well; `None` where the file failed meanwhile and
    /// it belongs to no log.
    link: Option<Link>,
    /// What it does to the open events; of a file's beginning nothing.
    group: Option<Vec<Effect>>,
}

/// How long the next attempt of what is under way is waited for.
const AGAIN: Duration = Duration::from_secs(1);

/// The file that is being written.
struct Active {
    file: Box<dyn DiskFile>,
    /// The number of its first record, which is its name.
    first: u64,
    key: FrameKey,
    /// Where the next group goes; everything before is durable.
    offset: usize,
    /// The sessions that readers of this file know.
    sessions: HashSet<SessionHash>,
}

/// The file that comes next.
struct Spare {
    file: Box<dyn DiskFile>,
    /// So many bytes of it are zeros and durable.
    zeroed: usize,
}

/// The one writer of a lane.
pub(super) struct Lane {
    disk: Box<dyn Disk>,
    place: Place,
    key: LogKey,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Behind the last frame that is durable and belongs to the log.
    link: Link,
    /// The number of the first frame that is not, for whoever reads while it is written.
    durable: Arc<AtomicU64>,
    previous_damaged: bool,
    active: Option<Active>,
    spare: Option<Spare>,
    /// Preparing ahead failed for this file; it is tried again when there is need.
    ahead_failed: bool,
    /// Events whose intent is durable and whose completion is not.
    open: BTreeSet<EventId>,
    buffer: Vec<u8>,
    replica: Option<Box<dyn Replica>>,
    under_way: Option<UnderWay>,
    /// Held until the lane is dropped.
    _lock: File,
}

impl Lane {
    /// Takes the lane's lock and reads its last file. Writes nothing but the directory, and what
    /// a replica has and the directory lacks.
    pub(super) fn recover(
        disk: Box<dyn Disk>,
        place: Place,
        (key, replica): (LogKey, Option<Box<dyn Replica>>),
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, JournalError> {
        make_dir(&place.dir).map_err(failed)?;
        let lock = lock(&place.dir)?;
        let mut lane = Self {
            disk,
            place,
            key,
            clock,
            entropy,
            link: Link::START,
            durable: Arc::default(),
            previous_damaged: false,
            active: None,
            spare: None,
            ahead_failed: false,
            open: BTreeSet::new(),
            buffer: Vec::new(),
            replica,
            under_way: None,
            _lock: lock,
        };
        if let Some(replica) = &mut lane.replica {
            replica.reconcile(&lane.place.dir)?;
        }
        lane.scan()?;
        Ok(lane)
    }

    /// Finds the end of the last file and what is open there.
    fn scan(&mut self) -> Result<(), JournalError> {
        let files = files_of(&self.place.dir)?;
        let mark = begin(&self.place.dir, &self.place.name, &self.key)?;
        let Some((first, path)) = files.last() else {
            return self.not_before(mark);
        };
        let mut file = LogFile::open(path, *first, &self.place.name, &self.key)?;
        loop {
            match file.step()? {
                Step::Frame(_, entry) => self.note_open(*entry),
                Step::End => break,
                Step::Damaged => {
                    self.previous_damaged = true;
                    break;
                }
            }
        }
        // The next file will vouch for these frames; they may be in memory only.
        self.disk.sync_file(path).map_err(failed)?;
        self.settle(file.link);
        self.not_before(mark)
    }

    /// What is written in front of the mark of the files that were removed, no reader would see.
    fn not_before(&self, mark: Option<Link>) -> Result<(), JournalError> {
        match mark {
            Some(mark) if self.link.next < mark.next => Err(JournalError::Damaged {
                file: format!("{}/{}", self.place.name, file_name(self.link.next)),
                offset: 0,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Everything before `link` is durable and belongs to the log.
    fn settle(&mut self, link: Link) {
        self.link = link;
        self.durable.store(link.next, Ordering::Release);
    }

    /// The number of the first frame that is not durable, as it moves on.
    pub(super) fn durable(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.durable)
    }

    fn note_open(&mut self, entry: Entry) {
        match entry {
            Entry::Intent { intent, .. } => {
                self.open.insert(intent.event);
            }
            Entry::Completion(completion) => {
                self.open.remove(&completion.event);
            }
            Entry::Open(events) => self.open.extend(events),
            Entry::Session(_) | Entry::Whole { .. } | Entry::Mark { .. } | Entry::Policy { .. } => {
            }
        }
    }

    /// Begins the first file of this process; in it, each event that the last one left open gets
    /// its completion.
    pub(super) fn start(&mut self) -> Result<(), Fault> {
        let time = self.clock.now();
        let close = |event: &EventId| {
            Entry::Completion(Completion {
                event: *event,
                time,
                outcome: Outcome::OpenAtCrash,
                status: 0,
                reason: "no completion was written before the journal stopped".to_owned(),
                bytes: 0,
                object_bytes: None,
            })
        };
        let closing: Vec<_> = self.open.iter().map(close).collect();
        self.prepare()?;
        self.begin_file(MarkKind::Opened, &closing)?;
        self.open.clear();
        Ok(())
    }

    /// Goes on in a new file, after the last one filled up or failed.
    pub(super) fn resume(&mut self, kind: MarkKind) -> Result<(), Fault> {
        let events: Vec<_> = self.open.iter().copied().collect();
        let carried: Vec<_> = events
            .chunks(RECORD_EVENTS_MAX)
            .map(|part| Entry::Open(part.to_vec()))
            .collect();
        self.prepare()?;
        self.begin_file(kind, &carried)
    }

    /// Whether there is a file to write to.
    pub(super) const fn is_up(&self) -> bool {
        self.active.is_some()
    }

    /// Whether intents may be written: only while the completions that they will need have room,
    /// in the rest of this file or in one already prepared.
    pub(super) fn admit(&mut self) -> Result<(), Fault> {
        if self.left() >= self.place.capacity / 2 {
            Ok(())
        } else {
            self.prepare()
        }
    }

    /// Bytes left in the active file.
    fn left(&self) -> usize {
        self.active
            .as_ref()
            .map_or(0, |a| self.place.capacity.saturating_sub(a.offset))
    }

    /// Writes a group and makes it durable. After a fault nothing of it belongs to the log, and
    /// the file is never touched again: what a failed sync left there is not to be trusted.
    pub(super) fn commit<'q>(
        &mut self,
        group: impl Iterator<Item = &'q Queued> + Clone,
    ) -> Result<(), Fault> {
        self.owed()?;
        let (mut link, mut fresh) = self.frame(group.clone())?;
        if self.buffer.len() > self.left() {
            self.resume(MarkKind::Continued)?;
            (link, fresh) = self.frame(group.clone())?;
            if self.buffer.len() > self.left() {
                return Err(Fault::internal("a group is larger than a file"));
            }
        }
        let Some(active) = &mut self.active else {
            return Err(Fault::internal("no file"));
        };
        let offset = u64::try_from(active.offset).unwrap_or(u64::MAX);
        // The two side by side.
        if let Some(replica) = &mut self.replica {
            let begun = replica.begin(active.first, offset, &self.buffer);
            begun.map_err(Fault::Replica)?;
            let group = Some(Vec::new());
            self.under_way = Some(UnderWay { link: None, group });
        }
        let written = active
            .file
            .write_at(&self.buffer, offset)
            .and_then(|()| active.file.sync());
        if let Err(error) = written {
            self.active = None;
            if let Some(under_way) = &mut self.under_way {
                under_way.group = None;
            }
            return Err(Fault::of(&error));
        }
        active.offset = active.offset.saturating_add(self.buffer.len());
        fresh.join(&mut active.sessions);
        let effects = group.map(|queued| queued.effect);
        self.under_way = Some(UnderWay {
            link: Some(link),
            group: Some(effects.collect()),
        });
        self.arrive(self.place.patience)
    }

    /// Waits for the second place, where there is one; then what was under way is durable.
    fn arrive(&mut self, patience: Duration) -> Result<(), Fault> {
        if let Some(replica) = &mut self.replica
            && let Err(late) = replica.settle(patience)
        {
            if late == Late::Superseded {
                self.disown();
            }
            return Err(Fault::Replica(late));
        }
        let Some(UnderWay { link, group }) = self.under_way.take() else {
            return Ok(());
        };
        if let Some(link) = link {
            self.settle(link);
        }
        for effect in group.into_iter().flatten() {
            match effect {
                Effect::Opens(event) => {
                    self.open.insert(event);
                }
                Effect::Closes(event) => {
                    self.open.remove(&event);
                }
                Effect::None => {}
            }
        }
        Ok(())
    }

    /// Another writer has the name of the file that was begun here: it never counted, and would
    /// contradict the other's at each start.
    fn disown(&mut self) {
        let begun = |under_way: &UnderWay| under_way.link.is_some() && under_way.group.is_none();
        if !self.under_way.as_ref().is_some_and(begun) {
            return;
        }
        let Some(active) = self.active.take() else {
            return;
        };
        let name = self.place.dir.join(file_name(active.first));
        let moved = self.disk.rename(&name, &aside(&name));
        if let Err(error) = moved.and_then(|()| self.disk.sync_dir(&self.place.dir)) {
            tracing::warn!(%error, "a file that never counted is not set aside");
        }
    }

    /// Waits a moment for what the second place was sent and has not confirmed.
    pub(super) fn catch_up(&mut self) -> Result<(), Fault> {
        if self.under_way.is_none() {
            return Ok(());
        }
        self.arrive(AGAIN.min(self.place.patience))
    }

    /// Errs while something is under way: nothing may be written behind it.
    pub(super) fn owed(&self) -> Result<(), Fault> {
        match &self.under_way {
            None => Ok(()),
            Some(_) => Err(Fault::Replica(Late::Slow)),
        }
    }

    /// Whether that is a group that stands in the file.
    pub(super) fn owes_group(&self) -> bool {
        self.under_way.as_ref().is_some_and(|u| u.group.is_some())
    }

    /// Seals a group into the buffer, each new session before its first use.
    fn frame<'q>(
        &mut self,
        group: impl Iterator<Item = &'q Queued>,
    ) -> Result<(Link, Fresh), Fault> {
        let Some(active) = &self.active else {
            return Err(Fault::internal("no file"));
        };
        self.buffer.clear();
        let mut framer = Framer {
            key: &active.key,
            link: self.link,
            back: 0,
            out: &mut self.buffer,
        };
        let mut fresh = Fresh::default();
        for queued in group {
            if let Some((hash, session)) = &queued.session
                && fresh.needs(&active.sessions, hash)
            {
                framer.entry(&Entry::Session(Session::clone(session)))?;
            }
            framer.record(&queued.bytes)?;
        }
        Ok((framer.link, fresh))
    }

    /// Makes the spare file whole: all zeros, all its blocks given out by the file system, so that
    /// writing to it later needs neither space nor a change of its size.
    fn prepare(&mut self) -> Result<(), Fault> {
        while !self.spare_is_whole() {
            self.prepare_piece()?;
        }
        Ok(())
    }

    /// Does a piece of that ahead of need, so that no group waits for the whole. A fault here is
    /// none yet: it shows when the file is needed.
    pub(super) fn prepare_ahead(&mut self) {
        let soon = self.left() < self.place.capacity / 4 * 3;
        if soon && self.is_up() && !self.spare_is_whole() && !self.ahead_failed {
            self.ahead_failed = self.prepare_piece().is_err();
        }
    }

    fn spare_is_whole(&self) -> bool {
        let zeroed = self.spare.as_ref().map(|spare| spare.zeroed);
        zeroed.is_some_and(|zeroed| zeroed >= self.place.capacity)
    }

    /// Writes and syncs a sixteenth of the spare.
    fn prepare_piece(&mut self) -> Result<(), Fault> {
        let path = self.place.dir.join(SPARE);
        let made = match self.spare.take() {
            Some(spare) => Ok(spare),
            None => self.disk.remove(&path).and_then(|()| {
                let file = self.disk.create(&path)?;
                Ok(Spare { file, zeroed: 0 })
            }),
        };
        let piece = self.place.capacity.div_ceil(16);
        let grown = made.and_then(|mut spare| {
            let end = spare.zeroed.saturating_add(piece).min(self.place.capacity);
            while spare.zeroed < end {
                let zeros = ZEROS.len().min(end.saturating_sub(spare.zeroed));
                let zeros = ZEROS.get(..zeros).unwrap_or(&ZEROS);
                let at = u64::try_from(spare.zeroed).unwrap_or(u64::MAX);
                spare.file.write_at(zeros, at)?;
                spare.zeroed = spare.zeroed.saturating_add(zeros.len());
            }
            spare.file.sync()?;
            Ok(spare)
        });
        match grown {
            Ok(spare) => {
                self.spare = Some(spare);
                Ok(())
            }
            Err(error) => {
                // Half a spare only takes the space that others need; a failure to remove it
                // shows again when the next one is made.
                drop(self.disk.remove(&path));
                Err(Fault::of(&error))
            }
        }
    }

    /// Turns the spare into the active file. Header and beginning are durable **before** the file
    /// gets its name, so that a named file always begins well.
    fn begin_file(&mut self, kind: MarkKind, extra: &[Entry]) -> Result<(), Fault> {
        self.owed()?;
        // From here on the file before is history, whether or not this one comes to be.
        self.active = None;
        let Some(Spare { file, .. }) = self.spare.take() else {
            return Err(Fault::internal("no spare file"));
        };
        self.ahead_failed = false;
        let mut id = [0; 16];
        let drawn = self.entropy.fill(&mut id);
        drawn.map_err(|error| Fault::Failed(error.to_string()))?;
        let header = Header {
            id,
            lane: self.place.name.clone(),
            created: self.clock.now().millis(),
            link: self.link,
            previous_damaged: self.previous_damaged,
        };
        let encoded = header.encode(&self.key).zip(self.key.frames(&id));
        let Some(((bytes, chain), key)) = encoded else {
            return Err(Fault::internal("a header cannot be made"));
        };
        let mut out = Vec::with_capacity(HEADER_BYTES.saturating_add(FRAME_OVERHEAD));
        out.extend_from_slice(&bytes);
        let link = Link {
            file: id,
            next: self.link.next,
            chain,
        };
        let mut framer = Framer {
            key: &key,
            link,
            back: 0,
            out: &mut out,
        };
        framer.entry(&Entry::Mark {
            time: self.clock.now(),
            kind,
        })?;
        for entry in extra {
            framer.entry(entry)?;
        }
        let link = framer.link;
        if out.len() > self.place.capacity {
            return Err(Fault::internal("a beginning is larger than a file"));
        }
        let first = self.link.next;
        if let Some(replica) = &mut self.replica {
            replica.begin(first, 0, &out).map_err(Fault::Replica)?;
            let (link, group) = (None, None);
            self.under_way = Some(UnderWay { link, group });
        }
        let publish = file.write_at(&out, 0).and_then(|()| {
            file.sync()?;
            let name = self.place.dir.join(file_name(first));
            self.disk.rename(&self.place.dir.join(SPARE), &name)?;
            self.disk.sync_dir(&self.place.dir)
        });
        publish.map_err(|error| Fault::of(&error))?;
        self.previous_damaged = false;
        self.active = Some(Active {
            file,
            first,
            key,
            offset: out.len(),
            sessions: HashSet::new(),
        });
        self.under_way = Some(UnderWay {
            link: Some(link),
            group: None,
        });
        self.arrive(self.place.patience)
    }

    /// Marks the lane as closed in good order and gives the prepared space back.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        let mark = Entry::Mark {
            time: self.clock.now(),
            kind: MarkKind::Closed,
        };
        ledger::encode(&mark, &mut bytes).map_err(|error| Fault::internal(&error.to_string()))?;
        let queued = Queued {
            bytes,
            session: None,
            effect: Effect::None,
        };
        let marked = self.commit(std::iter::once(&queued));
        let removed = self.disk.remove(&self.place.dir.join(SPARE));
        marked.and_then(|()| removed.map_err(|error| Fault::of(&error)))
    }
}

/// Makes the lane's directory, readable by its owner only.
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

/// Takes the lane's lock for as long as the file is open.
pub(super) fn lock(dir: &Path) -> Result<File, JournalError> {
    let mut options = fs::OpenOptions::new();
    let options = options.create(true).truncate(false).write(true);
    let file = options.open(dir.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
