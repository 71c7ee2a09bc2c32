//! The durable journal: callers encode and wait, one thread seals, writes and syncs for all of
//! them. Faults end in refusals; when the disk can be written again, so does the journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::disk::{CacheDisk, Disk, HostDisk};
use super::fault::Fault;
use super::format::LogKey;
use super::lane::{Lane, Place};
use super::queue::{Answer, Bounds, Effect, Pace, Queue, Queued, Ticket, Waiting, Work, clipped};
use super::{CompletionSlot, Durable, Journal, JournalError, Replica};
use crate::ledger::{
    CodecError, Completion, Entry, Intent, MarkKind, Session, encode, session_hash,
};
use crate::types::limits::{
    JOURNAL_FILE_BYTES, JOURNAL_FILE_BYTES_MAX, JOURNAL_FILE_BYTES_MIN, JOURNAL_GROUP_BYTES_MAX,
    JOURNAL_OPEN_MAX, JOURNAL_PACE_LAZY_US, JOURNAL_PACE_US, JOURNAL_QUEUE_MAX,
    JOURNAL_RETRY_MS_MAX, JOURNAL_WAIT_MS_MAX, RECORD_REASON_BYTES_MAX,
};
use crate::types::{Clock, Entropy, Secret, Timestamp};

/// The longest frame of a completion: its reason and 128 bytes for the rest.
const COMPLETION_FRAME_BYTES_MAX: usize = RECORD_REASON_BYTES_MAX + 128;
/// The first pause after a fault; each further one is twice as long.
const RETRY_MS_MIN: u64 = 100;

/// Told of each sync: how many records it made durable, and how long it took.
pub type OnSync = Arc<dyn Fn(u64, Duration) + Send + Sync>;

/// Where a journal is and what bounds it.
pub struct WalConfig {
    /// The journal's directory; the lane is one in it.
    pub dir: PathBuf,
    /// The lane's name: 1 to 63 of `a-z 0-9 -`; one gateway, one lane.
    pub lane: String,
    /// The log key.
    pub key: Secret<32>,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Records that may wait.
    pub queue_max: usize,
    /// Events that may be open.
    pub open_max: usize,
    /// Milliseconds that a request waits for its record.
    pub wait_ms: u64,
    /// Who counts the syncs.
    pub on_sync: Option<OnSync>,
    /// Where each record is to be as well before it counts.
    pub replica: Option<Box<dyn Replica>>,
    /// Whether the files themselves are made durable; not, only where there is a replica.
    pub synced: bool,
}

impl WalConfig {
    /// The usual bounds, of `types::limits`.
    #[must_use]
    pub const fn new(dir: PathBuf, lane: String, key: Secret<32>) -> Self {
        Self {
            dir,
            lane,
            key,
            file_bytes: JOURNAL_FILE_BYTES,
            queue_max: JOURNAL_QUEUE_MAX,
            open_max: JOURNAL_OPEN_MAX,
            wait_ms: JOURNAL_WAIT_MS_MAX,
            on_sync: None,
            replica: None,
            synced: true,
        }
    }

    /// Half a file must hold the completions of all open events.
    fn check(&self) -> Result<(), JournalError> {
        let wrong = |what: &str| {
            Err(JournalError::Failed {
                reason: what.to_owned(),
            })
        };
        let letters = self
            .lane
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if self.lane.is_empty() || self.lane.len() > 63 || !letters {
            return wrong("a lane's name is 1 to 63 of a-z, 0-9 and -");
        }
        if !self.synced && self.replica.is_none() {
            return wrong("a journal that is not synced needs a second place");
        }
        if !(JOURNAL_FILE_BYTES_MIN..=JOURNAL_FILE_BYTES_MAX).contains(&self.file_bytes) {
            return wrong("a journal file has 256 KiB to 64 MiB");
        }
        if self.open_max.saturating_mul(COMPLETION_FRAME_BYTES_MAX) > self.file_bytes / 2 {
            return wrong("half a journal file cannot hold the completions of all open requests");
        }
        Ok(())
    }
}

/// A journal in files.
pub struct Wal {
    queue: Arc<Queue>,
    wait: Duration,
    durable: Arc<AtomicU64>,
}

impl Wal {
    /// Takes the lane's lock, closes what a crash left open, and begins a new file. Blocks on the
    /// disk.
    pub fn open(
        config: WalConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, JournalError> {
        let disk: Box<dyn Disk> = if config.synced {
            Box::new(HostDisk)
        } else {
            Box::new(CacheDisk)
        };
        Self::open_on(disk, config, clock, entropy)
    }

    /// The same on another disk.
    pub(super) fn open_on(
        disk: Box<dyn Disk>,
        config: WalConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, JournalError> {
        config.check()?;
        let bounds = Bounds {
            queue: config.queue_max,
            open: config.open_max,
            group: JOURNAL_GROUP_BYTES_MAX.min(config.file_bytes / 8),
            wait_ms: config.wait_ms,
            pace: Pace {
                urgent: Duration::from_micros(JOURNAL_PACE_US),
                lazy: Duration::from_micros(JOURNAL_PACE_LAZY_US),
            },
        };
        let key = LogKey::new(config.key).ok_or_else(|| JournalError::Failed {
            reason: "the log key cannot be used".to_owned(),
        })?;
        let place = Place {
            dir: config.dir.join(&config.lane),
            name: config.lane,
            capacity: config.file_bytes,
            patience: Duration::from_millis(config.wait_ms),
        };
        let with = (key, config.replica);
        let mut lane = Lane::recover(disk, place, with, Arc::clone(&clock), entropy)?;
        lane.start()?;
        let durable = lane.durable();
        let queue = Arc::new(Queue::new(bounds, Arc::clone(&clock)));
        let mut writer = Writer::new(lane, Arc::clone(&queue), clock);
        writer.on_sync = config.on_sync;
        std::thread::Builder::new()
            .name("kluis-journal".to_owned())
            .spawn(move || writer.run())
            .map_err(super::file::failed)?;
        Ok(Arc::new(Self {
            queue,
            wait: Duration::from_millis(config.wait_ms),
            durable,
        }))
    }

    /// Queues a record and waits, within the bound, until it is durable.
    async fn append(&self, queued: Queued) -> Answer {
        let ticket = self.queue.push(queued, true)?;
        answered(ticket.receiver, self.deadline()).await
    }

    /// Until when a record that is queued now may take; `None` is for ever.
    fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.wait)
    }

    /// Queues an intent. Whoever begins one mostly does something else before he asks for it.
    fn queue(&self, session: &Arc<Session>, intent: Intent) -> Result<Ticket, JournalError> {
        let effect = Effect::Opens(intent.event);
        let entry = Entry::Intent {
            session: session_hash(session).map_err(unfit)?,
            intent,
        };
        self.queue
            .push(record(&entry, effect, Some(session))?, false)
    }
}

/// Waits for the writer's word, which may have come before this is asked for the first time.
async fn answered(receiver: oneshot::Receiver<Answer>, deadline: Option<Instant>) -> Answer {
    let told = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, receiver).await,
        None => Ok(receiver.await),
    };
    match told {
        Ok(Ok(answer)) => answer,
        Ok(Err(_writer_gone)) => Err(JournalError::Failed {
            reason: "the journal's writer has stopped".to_owned(),
        }),
        Err(_elapsed) => Err(JournalError::Timeout),
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        // Nobody waits for it here: the writer flushes and ends by itself.
        drop(self.queue.close());
    }
}

/// A record that cannot be encoded is its maker's fault.
fn unfit(error: CodecError) -> JournalError {
    if error == CodecError::TooLong {
        return JournalError::TooLarge;
    }
    JournalError::Failed {
        reason: error.to_string(),
    }
}

fn record(
    entry: &Entry,
    effect: Effect,
    session: Option<&Arc<Session>>,
) -> Result<Queued, JournalError> {
    let mut bytes = Vec::with_capacity(512);
    encode(entry, &mut bytes).map_err(unfit)?;
    let session = entry.session().copied().zip(session.map(Arc::clone));
    Ok(Queued {
        bytes,
        session,
        effect,
    })
}

#[async_trait]
impl Journal for Wal {
    fn begin(&self, session: &Arc<Session>, intent: Intent) -> Durable {
        let queued = self.queue(session, intent);
        let deadline = self.deadline();
        let queue = Arc::clone(&self.queue);
        Box::pin(async move {
            let mut ticket = queued?;
            let slot = match ticket.receiver.try_recv() {
                Ok(answer) => answer?,
                Err(_not_yet) => {
                    queue.hurry(&ticket);
                    answered(ticket.receiver, deadline).await?
                }
            };
            let slot = slot.ok_or_else(|| JournalError::Failed {
                reason: "an intent got no slot".to_owned(),
            })?;
            let slot: Box<dyn CompletionSlot> = Box::new(slot);
            Ok(slot)
        })
    }

    async fn note(
        &self,
        session: &Arc<Session>,
        intent: Intent,
        completion: Completion,
    ) -> Result<(), JournalError> {
        let hash = session_hash(session).map_err(unfit)?;
        let entry = Entry::Whole {
            session: hash,
            intent,
            completion: clipped(completion),
        };
        self.append(record(&entry, Effect::None, Some(session))?)
            .await
            .map(|_no_slot| ())
    }

    async fn policy(&self, version: [u8; 32], text: &str) -> Result<(), JournalError> {
        let entry = Entry::Policy {
            version,
            text: text.to_owned(),
        };
        self.append(record(&entry, Effect::None, None)?)
            .await
            .map(|_no_slot| ())
    }

    fn ready(&self) -> Result<(), JournalError> {
        self.queue.ready()
    }

    fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    async fn close(&self) -> Result<(), JournalError> {
        // The sender is dropped, never used: hearing so is the answer.
        drop(self.queue.close().await);
        self.queue.fault().map_or(Ok(()), |fault| Err(fault.into()))
    }
}

/// When to try again after a fault.
#[derive(Clone, Copy)]
struct Retry {
    pause_ms: u64,
    failed: Timestamp,
}

/// The one writer of a lane, on its own thread.
pub(super) struct Writer {
    lane: Lane,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    retry: Option<Retry>,
    on_sync: Option<OnSync>,
    /// When the newest group began.
    began: Option<Instant>,
    /// The group that the replica is not known to have: answered once it has.
    held: Option<(Vec<Queued>, Vec<Waiting>)>,
}

/// However the thread ends, nobody waits for it any more.
struct Stop(Arc<Queue>, Option<Fault>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop(self.1.take());
    }
}

impl Writer {
    pub(super) const fn new(lane: Lane, queue: Arc<Queue>, clock: Arc<dyn Clock>) -> Self {
        Self {
            lane,
            queue,
            clock,
            retry: None,
            on_sync: None,
            began: None,
            held: None,
        }
    }

    fn run(mut self) {
        let mut stop = Stop(
            Arc::clone(&self.queue),
            Some(Fault::Failed("the writer died".to_owned())),
        );
        loop {
            let pause = self
                .retry
                .map(|retry| Duration::from_millis(retry.pause_ms));
            let work = self.queue.next(pause, self.began);
            let (closing, last) = (work.closing, work.last);
            self.work(work);
            // What cannot be written now is closed as open at crash by the next start.
            if closing && (last || self.retry.is_some()) {
                break;
            }
        }
        stop.1 = self.finish();
    }

    /// Closes the lane; what kept it from a good end, if anything did.
    pub(super) fn finish(self) -> Option<Fault> {
        let fault = self.retry.and_then(|_down| self.queue.fault());
        let finished = if self.lane.is_up() {
            self.lane.finish().err()
        } else {
            None
        };
        fault.or(finished)
    }

    /// Writes one group. Readiness changes before anyone is answered, so that who was just refused
    /// finds the journal unready and who was just served does not.
    pub(super) fn work(&mut self, work: Work) {
        // After a fault, requests try again once the pause is over; the timer and the end always.
        let patient = !work.timer && !work.closing;
        if let Some(retry) = self.retry
            && patient
            && self.pausing(retry)
        {
            let fault = self.queue.fault().unwrap_or(Fault::Full);
            self.queue.refuse(work.waiting, &fault);
            self.queue.keep(work.completions);
            return;
        }
        let admitted = self.admit(!work.waiting.is_empty());
        let (waiting, refused) = match &admitted {
            Ok(()) => (work.waiting, Vec::new()),
            Err(_) => (Vec::new(), work.waiting),
        };
        // Where intents have no room any more, completions still have theirs.
        let written = self.write(&work.completions, &waiting);
        let fault = admitted.err().or_else(|| written.clone().err());
        self.judge(fault.clone());
        if written.is_ok() {
            self.queue.done(&work.completions, waiting);
            self.lane.prepare_ahead();
        } else if self.lane.owes_group() && self.held.is_none() {
            // It stands in the file and may be in the replica: it is no other's to write again.
            // Who waits is refused by his own bound.
            self.held = Some((work.completions, waiting));
        } else {
            self.queue.keep(work.completions);
            self.queue
                .refuse(waiting, &fault.clone().unwrap_or(Fault::Full));
        }
        self.queue.refuse(refused, &fault.unwrap_or(Fault::Full));
    }

    /// Whether intents may be written; asked when there are any, and after a fault.
    fn admit(&mut self, asked: bool) -> Result<(), Fault> {
        self.revive()?;
        if asked || self.retry.is_some() {
            self.lane.admit()?;
        }
        Ok(())
    }

    fn write(&mut self, completions: &[Queued], waiting: &[Waiting]) -> Result<(), Fault> {
        if completions.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        // Once is enough to have waited for.
        self.lane.owed()?;
        let group = completions.iter().chain(waiting.iter().map(|w| &w.queued));
        let begin = Instant::now();
        self.began = Some(begin);
        self.lane.commit(group)?;
        if let Some(told) = &self.on_sync {
            let records = completions.len().saturating_add(waiting.len());
            told(u64::try_from(records).unwrap_or(u64::MAX), begin.elapsed());
        }
        Ok(())
    }

    /// What the replica owes, and a new file, if the last one failed.
    fn revive(&mut self) -> Result<(), Fault> {
        self.lane.catch_up()?;
        if let Some((completions, waiting)) = self.held.take() {
            self.queue.done(&completions, waiting);
        }
        if self.lane.is_up() {
            Ok(())
        } else {
            self.lane.resume(MarkKind::Resumed)
        }
    }

    const fn elapsed(now: Timestamp, retry: Retry) -> bool {
        // A clock that was set back must not prolong a pause.
        now.since(retry.failed) >= retry.pause_ms || now.millis() < retry.failed.millis()
    }

    fn pausing(&self, retry: Retry) -> bool {
        !Self::elapsed(self.clock.now(), retry)
    }

    /// Remembers how it went: readiness, and when to try again.
    fn judge(&mut self, fault: Option<Fault>) {
        self.retry = fault.as_ref().map(|_fault| Retry {
            pause_ms: self.retry.map_or(RETRY_MS_MIN, |retry| {
                retry.pause_ms.saturating_mul(2).min(JOURNAL_RETRY_MS_MAX)
            }),
            failed: self.clock.now(),
        });
        self.queue.set_health(fault);
    }
}
