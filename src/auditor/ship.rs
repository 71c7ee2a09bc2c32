//! `kluis-audit ship`: closes runs of records into volumes and brings them to the store. A volume
//! counts once it was read back from the store and every record in it, made again from its columns,
//! was held against the log. Then journal files that hold nothing else can go.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::archive::{Archive, LogKeys, unreadable};
use super::args;
use super::entries::{broken, each, segments_of, signed};
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
use crate::journal::{Found, Prunable, Tail, lanes, prunable, prune};
use crate::ledger::evidence::Source as _;
use crate::ledger::{DAY_MS, Segment};
use crate::types::{Clock as _, Timestamp};

/// How often `--watch` looks for a volume to be closed.
const LOOK: Duration = Duration::from_secs(10);
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
    let mut archive = runtime.block_on(Archive::open(desk, keys))?;
    runtime.block_on(archive.arm(&config, output))?;
    let mut shipper = Shipper {
        archive,
        config,
        gate,
        tails: BTreeMap::new(),
        waiting: Runs::default(),
        next: None,
    };
    let mut expires = SystemClock.now();
    let locked = shipper.renew(&runtime, output)?;
    loop {
        let (made, freed) = runtime.block_on(async {
            // Others may work on the volumes in between.
            let _kept = shipper.archive.lock()?;
            shipper.archive.keys.now = SystemClock.now();
            let made = shipper.round(ask).await?;
            Ok::<_, CliError>((made, shipper.prune(ask.keep).await?))
        })?;
        if freed > 0 {
            output.note(&format!("{freed} files of the journal were removed"));
        }
        if made > 0 || !ask.watch {
            output.note(&format!("{made} volumes were added"));
        }
        if !ask.watch {
            return Ok(locked);
        }
        let begun = shipper.next.is_some();
        if begun && SystemClock.now() >= expires {
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

struct Shipper {
    archive: Archive,
    config: Config,
    /// Where the journal is kept, too.
    gate: Option<Gate>,
    tails: BTreeMap<String, Tail>,
    waiting: Runs,
    /// The log's entry that was not looked at yet.
    next: Option<u64>,
}

impl Shipper {
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

    /// Closes what is to be closed; how many volumes that made.
    async fn round(&mut self, ask: &args::Ship) -> Result<u64, CliError> {
        let keys = &self.archive.keys;
        let public = keys.notary.public(&keys.origin);
        let public = public.map_err(|error| CliError::of(Exit::Usage, &error))?;
        let mut log = DirSource::new(&self.config.proof.dir);
        if ask.watch && log.read("checkpoint")?.is_none() {
            // It may have been started beside a gateway that signs its first one in a moment.
            return Ok(0);
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
        self.say(ask)?;
        closed.extend(self.waiting.due(SystemClock.now(), ask.every, ask.all));
        let mut made = 0_u64;
        for run in closed {
            self.close(&run).await?;
            made = made.saturating_add(1);
        }
        Ok(made)
    }

    /// Says beside the log what waits for a volume, for who watches over it.
    fn say(&self, ask: &args::Ship) -> Result<(), CliError> {
        let oldest = self.waiting.oldest().map(Timestamp::millis);
        let shipped = Shipped {
            looked: SystemClock.now().millis(),
            waiting: oldest.filter(|_| !ask.all),
        };
        Ok(shipped.write(&self.config.proof.dir)?)
    }

    /// Removes journal files that hold nothing but what is in volumes; how many that was. Each
    /// volume is read again and held against the log before what it was made of goes.
    async fn prune(&self, keep: Duration) -> Result<usize, CliError> {
        let dir = self.config.journal.dir.clone();
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let before = SystemClock.now().millis().saturating_sub(keep);
        let before = Timestamp::from_millis(before);
        let mut freed = 0_usize;
        for lane in lanes(&dir).map_err(|error| journal(&error))? {
            let key = || self.archive.keys.notary.journal.duplicate();
            let limits = (self.archive.index.end_of(&lane), before);
            let range = prunable(&dir, &lane, key(), limits).map_err(|error| journal(&error))?;
            if let Some(range) = range {
                self.vouch(&lane, range).await?;
                // First where the lane begins in the store, then the files, then their batches.
                if let Some(gate) = &self.gate {
                    gate.mark(&dir, &lane, range.end)
                        .map_err(|e| refuse_gate(&e))?;
                }
            }
            let gone = prune(&dir, &lane, key(), limits).map_err(|error| journal(&error))?;
            if let Some(gate) = self.gate.as_ref().filter(|_| gone > 0) {
                gate.prune(&lane).map_err(|error| refuse_gate(&error))?;
            }
            freed = freed.saturating_add(gone);
        }
        Ok(freed)
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
    use super::*;

    #[test]
    fn who_watches_rests_and_goes_on() {
        rest(&runtime().unwrap(), Duration::from_millis(1));
    }
}
