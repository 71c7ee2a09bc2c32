//! `kluis-audit ship`: closes runs of records into volumes and brings them to the store. A volume
//! counts once it was read back from the store and every record in it, made again from its columns,
//! was held against the log. Then journal files that hold nothing else can go.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::again::Pauses;
use super::archive::{Archive, LogKeys, unreadable};
use super::args;
use super::entries::{broken, each, segments_of, signed};
use super::failures::worse;
use super::runs::Runs;
use super::source::DirSource;
use crate::app::Shipped;
use crate::app::system::SystemClock;
use crate::archive::{Fold, Meta, check};
use crate::cli::open::{Desk, call, gate as refuse_gate, journal};
use crate::cli::output::{CliError, Exit, Output};
use crate::cli::serve::runtime;
use crate::config::Config;
use crate::gate::Gate;
use crate::journal::{Found, Prunable, Tail, lanes as lanes_of, prunable, prune};
use crate::ledger::evidence::Source as _;
use crate::ledger::{DAY_MS, Segment};
use crate::types::{Clock as _, Timestamp};

/// How often `--watch` looks for a volume to be closed.
const LOOK: Duration = Duration::from_secs(10);
/// What nothing goes on without: the log, the index, what it is begun with.
const WHOLE: &str = "";
/// When what could not be removed is tried again.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Runs it.
pub(super) fn run(ask: &args::Ship, desk: Desk<'_>, output: &mut Output) -> Result<Exit, CliError> {
    let config = desk.config()?;
    let (keys, gate) = desk.act(output, async |opened| {
        let call = call(opened, "audit ship")?;
        opened.vault.record_act(&call, "the log's volumes").await?;
        Ok((LogKeys::of(&config, opened).await?, opened.gate.clone()))
    })?;
    let runtime = runtime()?;
    let archive = runtime.block_on(Archive::open(desk, keys))?;
    let mut shipper = Shipper {
        archive,
        config,
        gate,
        tails: BTreeMap::new(),
        waiting: Runs::default(),
        ready: BTreeMap::new(),
        next: None,
        pauses: Pauses::default(),
    };
    let mut expires = SystemClock.now();
    let begun = loop {
        match shipper.begin(&runtime, output) {
            Ok(begun) => break begun,
            Err(error) => shipper.wait(error, ask, (&runtime, output))?,
        }
    };
    loop {
        let looked = match runtime.block_on(shipper.look(ask)) {
            Ok(looked) => looked,
            Err(error) => {
                shipper.wait(error, ask, (&runtime, output))?;
                continue;
            }
        };
        shipper.pauses.went(WHOLE);
        let end = looked.tell(ask, output);
        if !ask.watch {
            return Ok(worse(begun, end));
        }
        if shipper.next.is_some() && SystemClock.now() >= expires {
            let all = args::Expire { dry_run: false };
            let again = match super::expire::remove(&all, desk, output) {
                Ok((kept, end)) => {
                    shipper.archive.keys.kept = kept;
                    if end == Exit::Done { DAY_MS } else { HOUR_MS }
                }
                // What is over waits an hour; what is new goes on into volumes.
                Err(error) => {
                    output.error(&error);
                    HOUR_MS
                }
            };
            expires = SystemClock.now().plus_millis(again);
        }
        rest(&runtime, LOOK);
    }
}

/// Waits. A timer begins within a runtime or not at all.
fn rest(runtime: &Runtime, time: Duration) {
    runtime.block_on(async { tokio::time::sleep(time).await });
}

/// What a look came to. Lanes stand each for itself.
#[derive(Default)]
struct Looked {
    /// Volumes that were added.
    made: u64,
    /// Files of the journal that were removed.
    freed: usize,
    /// What failed, and for how long it is left alone.
    failed: Vec<(CliError, Duration)>,
}

impl Looked {
    /// Says it; how a command ends that looked once.
    fn tell(self, ask: &args::Ship, output: &mut Output) -> Exit {
        if self.freed > 0 {
            output.note(&format!("files of the journal removed: {}", self.freed));
        }
        if self.made > 0 || !ask.watch {
            output.note(&format!("volumes added: {}", self.made));
        }
        let mut end = Exit::Done;
        for (error, pause) in self.failed {
            end = worse(end, error.exit());
            output.error(&error);
            if ask.watch {
                again(pause, output);
            }
        }
        end
    }
}

fn again(pause: Duration, output: &mut Output) {
    output.note(&format!("tried again in {} s", pause.as_secs()));
}

/// An error with what it keeps from being done.
fn about(what: &str, error: &CliError) -> CliError {
    let told = CliError::new(error.exit(), format!("{what}: {}", error.message()));
    error.hints().iter().fold(told, CliError::hint)
}

struct Shipper {
    archive: Archive,
    config: Config,
    /// Where the journal is kept, too.
    gate: Option<Gate>,
    tails: BTreeMap<String, Tail>,
    waiting: Runs,
    /// Runs that are to be volumes, lane by lane and in order.
    ready: BTreeMap<String, VecDeque<Vec<Segment>>>,
    /// The log's entry that was not looked at yet.
    next: Option<u64>,
    pauses: Pauses,
}

impl Shipper {
    /// Sees whether volumes are locked here, and that those that are there are.
    fn begin(&mut self, runtime: &Runtime, output: &mut Output) -> Result<Exit, CliError> {
        runtime.block_on(self.archive.arm(&self.config, output))?;
        self.renew(runtime, output)
    }

    /// Waits before another try where one may help and somebody watches; else gives the error back.
    fn wait(
        &mut self,
        error: CliError,
        ask: &args::Ship,
        (runtime, output): (&Runtime, &mut Output),
    ) -> Result<(), CliError> {
        if !ask.watch || error.exit() != Exit::Unavailable {
            return Err(error);
        }
        output.error(&error);
        let pause = self.pauses.failed(WHOLE, Instant::now());
        again(pause, output);
        rest(runtime, pause);
        Ok(())
    }

    /// Locks what is not locked yet, before what it was made of may go; how it ended.
    fn renew(&mut self, runtime: &Runtime, output: &mut Output) -> Result<Exit, CliError> {
        let _kept = self.archive.lock()?;
        let mut log = DirSource::new(&self.config.proof.dir);
        if self.archive.index.volumes().is_empty() {
            return Ok(Exit::Done);
        }
        let renewed = runtime.block_on(self.archive.renew(&mut log))?;
        Ok(renewed.tell(output))
    }

    /// Closes what is to be closed, and removes what is in volumes from the journal. Others may
    /// work on the volumes between two looks.
    async fn look(&mut self, ask: &args::Ship) -> Result<Looked, CliError> {
        let _kept = self.archive.lock()?;
        self.archive.keys.now = SystemClock.now();
        self.gather(ask)?;
        let mut looked = Looked::default();
        let lanes: Vec<String> = self.ready.keys().cloned().collect();
        for lane in lanes {
            let what = format!("lane {lane} waits for a volume");
            if self.pauses.is_due(&what, Instant::now()) {
                let shipped = self.ship(&lane, &mut looked.made).await;
                self.note(&what, shipped, &mut looked);
            }
        }
        for lane in lanes_of(&self.config.journal.dir).map_err(|error| journal(&error))? {
            let what = format!("the journal of lane {lane} keeps what is in volumes");
            if self.pauses.is_due(&what, Instant::now()) {
                let freed = self.prune(&lane, ask.keep).await;
                let freed = freed.map(|freed| looked.freed = looked.freed.saturating_add(freed));
                self.note(&what, freed, &mut looked);
            }
        }
        Ok(looked)
    }

    fn note(&mut self, what: &str, done: Result<(), CliError>, looked: &mut Looked) {
        match done {
            Ok(()) => self.pauses.went(what),
            Err(error) => {
                let pause = self.pauses.failed(what, Instant::now());
                looked.failed.push((about(what, &error), pause));
            }
        }
    }

    /// Finds in the log what is to be closed.
    fn gather(&mut self, ask: &args::Ship) -> Result<(), CliError> {
        let keys = &self.archive.keys;
        let public = keys.notary.public(&keys.origin);
        let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
        let mut log = DirSource::new(&self.config.proof.dir);
        if ask.watch && log.read("checkpoint")?.is_none() {
            // It may have been started beside a gateway that signs its first one in a moment.
            return Ok(());
        }
        let (_, checkpoint) = signed(&mut log, "checkpoint", &public)?;
        let mut closed = Vec::new();
        let (volumes, waiting) = (&self.archive.index, &mut self.waiting);
        let from = self.next.unwrap_or(0);
        each(&mut log, (from, checkpoint.size), |_, segment| {
            if segment.end() <= volumes.end_of(&segment.lane) {
                return Ok(());
            }
            closed.extend(waiting.take(segment, ask.every));
            Ok(())
        })?;
        self.next = Some(checkpoint.size);
        self.queue(closed);
        self.say(ask)?;
        let due = self.waiting.due(SystemClock.now(), ask.every, ask.all);
        self.queue(due);
        Ok(())
    }

    fn queue(&mut self, closed: Vec<Vec<Segment>>) {
        for run in closed {
            if let Some(first) = run.first() {
                let lane = self.ready.entry(first.lane.clone()).or_default();
                lane.push_back(run);
            }
        }
    }

    /// Closes the runs of a lane, in order. One that cannot be closed yet stays, and those behind.
    async fn ship(&mut self, lane: &str, made: &mut u64) -> Result<(), CliError> {
        while let Some(run) = self.ready.get_mut(lane).and_then(VecDeque::pop_front) {
            if let Err(error) = self.close(&run).await {
                self.queue_again(lane, run);
                return Err(error);
            }
            *made = made.saturating_add(1);
        }
        self.ready.remove(lane);
        Ok(())
    }

    fn queue_again(&mut self, lane: &str, run: Vec<Segment>) {
        if let Some(runs) = self.ready.get_mut(lane) {
            runs.push_front(run);
        }
    }

    /// Says beside the log what waits for a volume, for whoever watches over it.
    fn say(&self, ask: &args::Ship) -> Result<(), CliError> {
        let ready = self.ready.values().filter_map(VecDeque::front);
        let ready = ready.filter_map(|run| run.first()).map(|first| first.time);
        let oldest = ready.chain(self.waiting.oldest()).min();
        let oldest = oldest.map(Timestamp::millis);
        let shipped = Shipped {
            looked: SystemClock.now().millis(),
            waiting: oldest.filter(|_| !ask.all),
        };
        Ok(shipped.write(&self.config.proof.dir)?)
    }

    /// Removes a lane's journal files that hold nothing but what is in volumes; how many that was.
    /// Each volume is read again and held against the log before what it was made of goes.
    async fn prune(&self, lane: &str, keep: Duration) -> Result<usize, CliError> {
        let dir = &self.config.journal.dir;
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let before = SystemClock.now().millis().saturating_sub(keep);
        let before = Timestamp::from_millis(before);
        let key = || self.archive.keys.notary.journal.duplicate();
        let limits = (self.archive.index.end_of(lane), before);
        let range = prunable(dir, lane, key(), limits).map_err(|error| journal(&error))?;
        if let Some(range) = range {
            self.vouch(lane, range).await?;
            // First where the lane begins in the store, then the files, then their batches.
            if let Some(gate) = &self.gate {
                gate.mark(dir, lane, range.end)
                    .map_err(|e| refuse_gate(&e))?;
            }
        }
        let gone = prune(dir, lane, key(), limits).map_err(|error| journal(&error))?;
        if let Some(gate) = self.gate.as_ref().filter(|_| gone > 0) {
            gate.prune(lane).map_err(|error| refuse_gate(&error))?;
        }
        Ok(gone)
    }

    /// That the volumes hold all records of a run, and that the log says so.
    async fn vouch(&self, lane: &str, range: Prunable) -> Result<(), CliError> {
        let keys = &self.archive.keys;
        let public = keys.notary.public(&keys.origin);
        let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
        let mut log = DirSource::new(&self.config.proof.dir);
        let (_, checkpoint) = signed(&mut log, "checkpoint", &public)?;
        let mut at = range.first;
        for place in self.archive.index.of_lane(lane) {
            let meta = &place.meta;
            if meta.end <= at || meta.first >= range.end {
                continue;
            }
            if meta.first > at {
                break;
            }
            self.archive.must_be_held(place)?;
            let segments = segments_of(&mut log, checkpoint.size, place)?;
            let volume = self.archive.volume(place).await?;
            let checked = check(
                &volume,
                &segments,
                &keys.notary.scope_key(),
                |_, _, _, _, _| {},
            );
            checked.map_err(|error| unreadable(&error))?;
            at = meta.end;
        }
        if at < range.end {
            return Err(broken("the volumes lack records that the journal holds"));
        }
        Ok(())
    }

    /// Makes a volume of these segments of one lane.
    async fn close(&mut self, segments: &[Segment]) -> Result<(), CliError> {
        let (Some(first), Some(newest)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let lane = first.lane.clone();
        if newest.end() <= self.archive.index.end_of(&lane) {
            // The try before came so far as to add it.
            return Ok(());
        }
        if first.first != self.archive.index.end_of(&lane) {
            return Err(broken("the log does not go on where the volumes end"));
        }
        let mut fold = Fold::new(self.archive.open_of(&lane).await?);
        let gone = self.read(segments, &mut fold)?;
        let keys = &self.archive.keys;
        let meta = Meta::new(&keys.origin, &lane, (first.first, newest.end()), gone);
        let settled = self.archive.settle(&meta, fold.rows()).await?;
        drop(fold);
        let scopes = self.archive.keys.notary.scope_key();
        let checked = check(&settled.volume, segments, &scopes, |_, _, _, _, _| {});
        checked.map_err(|error| unreadable(&error))?;
        self.archive.add(&settled, segments).await
    }

    /// Reads the journal's records of these segments; which of them are lost.
    fn read(&mut self, segments: &[Segment], fold: &mut Fold) -> Result<Vec<(u64, u64)>, CliError> {
        let mut lost = Vec::new();
        for segment in segments {
            let tail = match self.tails.remove(&segment.lane) {
                Some(tail) if tail.next() == segment.first => Ok(tail),
                Some(_) | None => {
                    let key = self.archive.keys.notary.journal.duplicate();
                    let dir = &self.config.journal.dir;
                    Tail::open(dir, &segment.lane, key, segment.first)
                }
            };
            let mut tail = tail.map_err(|error| journal(&error))?;
            tail.refresh().map_err(|error| journal(&error))?;
            if segment.lost {
                lost.push((segment.first, segment.end()));
            }
            while tail.next() < segment.end() {
                let found = tail.read(segment.end()).map_err(|error| journal(&error))?;
                let missing = || broken("the journal lacks records that are in the log");
                match found.ok_or_else(missing)? {
                    Found::Lost(..) if segment.lost => {}
                    Found::Lost(..) => return Err(missing()),
                    Found::Record(record, _) => {
                        let pushed = fold.push(record.seq, record.entry, record.session);
                        pushed.map_err(|error| unreadable(&error))?;
                    }
                }
            }
            self.tails.insert(segment.lane.clone(), tail);
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::super::expire_tests::{Dying, World};
    use super::*;
    use crate::app::LogLags;
    use crate::store::SharedStore;

    #[test]
    fn who_watches_rests_and_goes_on() {
        rest(&runtime().unwrap(), Duration::from_millis(1));
    }

    const WATCH: args::Ship = args::Ship {
        every: Duration::ZERO,
        all: false,
        keep: Duration::from_hours(24 * 365 * 100),
        watch: true,
    };

    /// Records, each with its projects.
    type Records = std::collections::BTreeSet<(u64, String)>;

    /// A log of which nothing is in volumes, and a store that dies when it is told.
    async fn unshipped() -> (World, Arc<Dying>, Shipper, Records) {
        let world = World::new().await;
        let records = world.records().await;
        for place in world.open(&world.store).await.index.volumes() {
            let id = place.blob().unwrap();
            world.store.delete(id).await.unwrap();
        }
        std::fs::remove_file(world.path("log/volumes")).unwrap();
        let dying = Arc::new(Dying {
            inner: Arc::clone(&world.store),
            left: AtomicI64::new(1_000),
        });
        let store: SharedStore = Arc::<Dying>::clone(&dying);
        let mut config = Config::default();
        config.proof.dir = world.path("log");
        config.journal.dir = world.path("journal");
        let shipper = Shipper {
            archive: world.open(&store).await,
            config,
            gate: None,
            tails: BTreeMap::new(),
            waiting: Runs::default(),
            ready: BTreeMap::new(),
            next: None,
            pauses: Pauses::default(),
        };
        (world, dying, shipper, records)
    }

    /// An outage of the store of any length, at any step, ends no watch and loses nothing; what
    /// waits is told to whoever watches over it.
    #[tokio::test]
    async fn a_store_that_is_away_is_waited_for() {
        for step in 0..6 {
            let (world, dying, mut shipper, records) = unshipped().await;
            tokio::time::pause();
            dying.left.store(step, Ordering::SeqCst);
            for pause in [10, 20, 40] {
                let looked = shipper.look(&WATCH).await.unwrap();
                assert_eq!(looked.failed.len(), 1, "step {step}");
                let (error, again) = &looked.failed[0];
                assert_eq!((error.exit(), again.as_secs()), (Exit::Unavailable, pause));
                assert!(
                    error
                        .message()
                        .starts_with("lane gateway waits for a volume")
                );
                let lags = LogLags::of(&shipper.config.proof.dir, SystemClock.now());
                assert!(lags.volumes.unwrap() > Duration::from_hours(24), "{lags:?}");
                // Before it is due it is not tried.
                let looked = shipper.look(&WATCH).await.unwrap();
                assert_eq!((looked.made, looked.failed.len()), (0, 0));
                dying.left.store(0, Ordering::SeqCst);
                tokio::time::advance(*again).await;
            }
            dying.left.store(1_000, Ordering::SeqCst);
            tokio::time::advance(Duration::from_secs(40)).await;
            let looked = shipper.look(&WATCH).await.unwrap();
            assert!(looked.made > 0 && looked.failed.is_empty(), "step {step}");
            assert!(shipper.ready.is_empty());
            assert_eq!(world.records().await, records, "step {step}");
            let looked = shipper.look(&WATCH).await.unwrap();
            assert_eq!((looked.made, looked.failed.len()), (0, 0));
            tokio::time::resume();
        }
    }

    /// What can only be mended by somebody is told as that, and the other lanes go on; so does a
    /// watch. Once, it ends as a loss does.
    #[tokio::test]
    async fn a_lane_that_cannot_go_on_is_told_and_holds_up_no_other() {
        let (world, _dying, mut shipper, records) = unshipped().await;
        shipper.gather(&WATCH).unwrap();
        let runs = shipper.ready.get("gateway").unwrap().clone();
        let mut other = runs[0].clone();
        for segment in &mut other {
            segment.lane = "admin".to_owned();
        }
        shipper
            .ready
            .entry("admin".to_owned())
            .or_default()
            .push_back(other);
        let looked = shipper.look(&WATCH).await.unwrap();
        assert_eq!(looked.made, u64::try_from(runs.len()).unwrap());
        assert_eq!(looked.failed.len(), 1);
        assert!(looked.failed[0].0.message().contains("lane admin"));
        assert_eq!(shipper.ready.len(), 1, "it stays and is tried again");
        assert_eq!(world.records().await, records);
    }
}
