//! What waits for the journal's writer, and the promise that a completion is never refused.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fault::Fault;
use super::format::FRAME_OVERHEAD;
use super::{CompletionSlot, JournalError};
use crate::ledger::{Completion, Entry, Outcome, Session, SessionHash, clip, encode};
use crate::types::limits::{JOURNAL_LINGER_MS, JOURNAL_QUEUE_BYTES_MAX, RECORD_REASON_BYTES_MAX};
use crate::types::{Clock, EventId, Timestamp};

/// What a record does to the set of open events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// An intent.
    Opens(EventId),
    /// A completion.
    Closes(EventId),
    /// Anything else.
    None,
}

/// A record ready to be sealed.
pub(super) struct Queued {
    /// Its canonical bytes.
    pub(super) bytes: Vec<u8>,
    /// Its session, which the file must hold before it.
    pub(super) session: Option<(SessionHash, Arc<Session>)>,
    /// What it does.
    pub(super) effect: Effect,
}

impl Queued {
    /// About how many bytes it takes in a file, its session included.
    fn weight(&self) -> usize {
        let session = self.session.as_ref().map_or(0, |(_, s)| {
            let texts = s.client_ip.len().saturating_add(s.user_agent.len());
            texts.saturating_add(s.source.len()).saturating_add(512)
        });
        self.bytes
            .len()
            .saturating_add(session)
            .saturating_add(FRAME_OVERHEAD)
    }
}

/// What a waiter gets: a slot for its completion, if it began an event.
pub(super) type Answer = Result<Option<Slot>, JournalError>;

/// A record's place in the queue.
pub(super) struct Ticket {
    number: u64,
    /// Hears of the record.
    pub(super) receiver: oneshot::Receiver<Answer>,
}

/// A record whose maker waits until it is durable.
pub(super) struct Waiting {
    /// The record.
    pub(super) queued: Queued,
    /// Who waits.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What the writer does next.
pub(super) struct Work {
    /// Completions; they cannot be refused.
    pub(super) completions: Vec<Queued>,
    /// Intents and the like; someone waits for each.
    pub(super) waiting: Vec<Waiting>,
    /// The end is near: no more comes from callers.
    pub(super) closing: bool,
    /// Nothing else waits.
    pub(super) last: bool,
    /// Nobody asked: it is time to write what lingers, or to try again after a fault.
    pub(super) timer: bool,
}

/// The bounds of a queue.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Records that wait.
    pub(super) queue: usize,
    /// Events between intent and completion.
    pub(super) open: usize,
    /// Bytes of one group.
    pub(super) group: usize,
    /// Milliseconds after which the writer counts as stuck.
    pub(super) wait_ms: u64,
    /// How long behind the beginning of a group the next one may begin.
    pub(super) pace: Pace,
}

/// How a group waits for company while other requests are under way, whose records would otherwise
/// need a sync of their own.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// While somebody waits for a record in the queue and for nothing else.
    pub(super) urgent: Duration,
    /// While nobody does: the makers of the records are at something else.
    pub(super) lazy: Duration,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Records that ever waited, and how many of them the writer has taken.
    pushed: u64,
    taken: u64,
    /// Behind the newest of them that somebody waits for and for nothing else.
    hurried: u64,
    completions: VecDeque<Queued>,
    /// Slots given or about to be given, and completions not yet durable.
    open: usize,
    health: Option<Fault>,
    /// Since when the writer has been at the disk.
    busy_since: Option<Timestamp>,
    /// The writer waits for company and looks by itself.
    pacing: bool,
    closing: bool,
    stopped: bool,
    on_stop: Vec<oneshot::Sender<()>>,
}

impl State {
    /// Records that wait, completions among them.
    fn here(&self) -> usize {
        self.waiting.len().saturating_add(self.completions.len())
    }

    /// Whether somebody waits for a record in the queue and for nothing else.
    const fn is_urgent(&self) -> bool {
        self.hurried > self.taken
    }

    /// How long behind the last group's beginning the next one begins: at once for whoever has
    /// little company to expect, since fewer requests are under way than records wait.
    fn patience(&self, pace: Pace) -> Duration {
        let others = self.open.saturating_sub(self.here());
        if self.is_urgent() {
            if others > self.waiting.len() {
                pace.urgent
            } else {
                Duration::ZERO
            }
        } else if others > 0 {
            pace.lazy
        } else {
            Duration::ZERO
        }
    }

    /// Whether the writer, which waits for company, is to look again. Said once.
    fn stirs(&mut self, became_urgent: bool, pace: Pace) -> bool {
        let stirs = self.pacing && (became_urgent || self.patience(pace).is_zero());
        self.pacing &= !stirs;
        stirs
    }
}

/// The queue between the callers and the one writer.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
}

fn closed() -> JournalError {
    JournalError::Failed {
        reason: "the journal is closed".to_owned(),
    }
}

impl Queue {
    pub(super) fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            bounds,
            clock,
        }
    }

    /// A panic elsewhere cannot leave the state half changed: no call in a critical section panics.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record; for an intent, keeps room for its completion. `urgent` where its maker has
    /// nothing else to do than to wait.
    pub(super) fn push(&self, queued: Queued, urgent: bool) -> Result<Ticket, JournalError> {
        let (answer, receiver) = oneshot::channel();
        let opens = usize::from(matches!(queued.effect, Effect::Opens(_)));
        let mut state = self.state();
        if state.closing || state.stopped {
            return Err(closed());
        }
        let bytes = state.waiting_bytes.saturating_add(queued.bytes.len());
        let full = state.waiting.len() >= self.bounds.queue
            || bytes > JOURNAL_QUEUE_BYTES_MAX
            || state.open.saturating_add(opens) > self.bounds.open;
        if full {
            return Err(JournalError::Busy);
        }
        state.waiting_bytes = bytes;
        state.open = state.open.saturating_add(opens);
        let asleep = state.waiting.is_empty() && !state.pacing;
        state.waiting.push_back(Waiting { queued, answer });
        let number = state.pushed;
        state.pushed = number.saturating_add(1);
        let became_urgent = urgent && !state.is_urgent();
        if urgent {
            state.hurried = state.pushed;
        }
        let wake = asleep || state.stirs(became_urgent, self.bounds.pace);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(Ticket { number, receiver })
    }

    /// The maker of a record has nothing else to do than to wait for it now.
    pub(super) fn hurry(&self, ticket: &Ticket) {
        let mut state = self.state();
        let before = state.is_urgent();
        state.hurried = state.hurried.max(ticket.number.saturating_add(1));
        let became_urgent = state.is_urgent() && !before;
        if became_urgent && state.stirs(true, self.bounds.pace) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Queues a completion. The writer is not woken: while events are open it looks by itself.
    fn complete(&self, queued: Queued) {
        let mut state = self.state();
        if state.stopped {
            return;
        }
        state.completions.push_back(queued);
        if state.stirs(false, self.bounds.pace) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Waits for work. After a fault, `pause` is when the writer tries again by itself; until then
    /// completions alone do not wake it. `began` is when the last group did.
    pub(super) fn next(&self, pause: Option<Duration>, began: Option<Instant>) -> Work {
        let linger = Duration::from_millis(JOURNAL_LINGER_MS);
        let mut state = self.state();
        state.busy_since = None;
        loop {
            let due = pause.is_some() || !state.completions.is_empty();
            if state.closing {
                return self.take(&mut state);
            }
            if !state.waiting.is_empty() {
                let patience = state.patience(self.bounds.pace);
                let earliest = began.and_then(|began| began.checked_add(patience));
                let early = earliest.and_then(|at| at.checked_duration_since(Instant::now()));
                let Some(early) = early.filter(|early| !early.is_zero()) else {
                    return self.take(&mut state);
                };
                state.pacing = true;
                state = self
                    .wake
                    .wait_timeout(state, early)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                state.pacing = false;
                continue;
            }
            let limit = pause.or_else(|| (state.open > 0).then_some(linger));
            let Some(limit) = limit else {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (after, timeout) = self
                .wake
                .wait_timeout(state, limit)
                .unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && due {
                let mut work = self.take(&mut state);
                work.timer = true;
                return work;
            }
        }
    }

    /// One group: all completions that fit, then intents whose makers still wait.
    fn take(&self, state: &mut State) -> Work {
        let mut work = Work {
            completions: Vec::new(),
            waiting: Vec::new(),
            closing: false,
            last: false,
            timer: false,
        };
        let mut bytes = 0usize;
        while bytes < self.bounds.group {
            let Some(queued) = state.completions.pop_front() else {
                break;
            };
            bytes = bytes.saturating_add(queued.weight());
            work.completions.push(queued);
        }
        while bytes < self.bounds.group {
            let Some(waiting) = state.waiting.pop_front() else {
                break;
            };
            state.taken = state.taken.saturating_add(1);
            state.waiting_bytes = state
                .waiting_bytes
                .saturating_sub(waiting.queued.bytes.len());
            if waiting.answer.is_closed() {
                // Its maker was refused meanwhile; what never happened needs no record.
                release(state, &waiting.queued);
                continue;
            }
            bytes = bytes.saturating_add(waiting.queued.weight());
            work.waiting.push(waiting);
        }
        work.closing = state.closing;
        work.last = state.waiting.is_empty() && state.completions.is_empty();
        state.busy_since = Some(self.clock.now());
        work
    }

    /// Answers those whose records are durable, frees the room of completions.
    pub(super) fn done(self: &Arc<Self>, completions: &[Queued], waiting: Vec<Waiting>) {
        {
            let mut state = self.state();
            state.open = state.open.saturating_sub(completions.len());
        }
        for waiting in waiting {
            let slot = match waiting.queued.effect {
                Effect::Opens(event) => Some(Slot {
                    queue: Some(Arc::clone(self)),
                    event,
                }),
                Effect::Closes(_) | Effect::None => None,
            };
            // If nobody waits any more, the slot comes back and its drop writes that the request
            // was given up.
            drop(waiting.answer.send(Ok(slot)));
        }
    }

    /// Refuses those whose records are not durable.
    pub(super) fn refuse(&self, waiting: Vec<Waiting>, fault: &Fault) {
        for waiting in waiting {
            release(&mut self.state(), &waiting.queued);
            // Who no longer waits needs no refusal.
            drop(waiting.answer.send(Err(fault.clone().into())));
        }
    }

    /// Puts completions back that could not be written, before all others.
    pub(super) fn keep(&self, completions: Vec<Queued>) {
        let mut state = self.state();
        for queued in completions.into_iter().rev() {
            state.completions.push_front(queued);
        }
    }

    /// Says how the writer is.
    pub(super) fn set_health(&self, health: Option<Fault>) {
        self.state().health = health;
    }

    /// Whether a record would be taken now.
    pub(super) fn ready(&self) -> Result<(), JournalError> {
        let state = self.state();
        if state.closing || state.stopped {
            return Err(closed());
        }
        if let Some(fault) = &state.health {
            return Err(fault.clone().into());
        }
        let stuck = |since| self.clock.now().since(since) > self.bounds.wait_ms;
        if state.busy_since.is_some_and(stuck) {
            return Err(JournalError::Timeout);
        }
        if state.waiting.len() >= self.bounds.queue || state.open >= self.bounds.open {
            return Err(JournalError::Busy);
        }
        Ok(())
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Asks for the end; the receiver hears when the writer has stopped.
    pub(super) fn close(&self) -> oneshot::Receiver<()> {
        let (stopped, receiver) = oneshot::channel();
        let mut state = self.state();
        state.closing = true;
        if !state.stopped {
            state.on_stop.push(stopped);
        }
        drop(state);
        self.wake.notify_one();
        receiver
    }

    /// The writer is gone: nothing may wait for it any more.
    pub(super) fn stop(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.stopped = true;
        state.health = fault;
        let waiting = std::mem::take(&mut state.waiting);
        let on_stop = std::mem::take(&mut state.on_stop);
        state.completions.clear();
        drop(state);
        // Dropping a sender tells its waiter.
        drop((waiting, on_stop));
    }

    /// What stopped the writer, if not its good end.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.state().health.clone()
    }
}

/// Gives back the room that was kept for an intent's completion.
fn release(state: &mut State, queued: &Queued) {
    if matches!(queued.effect, Effect::Opens(_)) {
        state.open = state.open.saturating_sub(1);
    }
}

/// A completion's canonical bytes; its reason is cut rather than refused.
pub(super) fn completion_record(completion: Completion) -> Queued {
    let event = completion.event;
    let mut bytes = Vec::with_capacity(96);
    let encoded = encode(&Entry::Completion(clipped(completion)), &mut bytes);
    debug_assert!(
        encoded.is_ok(),
        "a completion with a short reason always fits"
    );
    Queued {
        bytes,
        session: None,
        effect: Effect::Closes(event),
    }
}

/// The completion with a reason that fits.
pub(super) fn clipped(mut completion: Completion) -> Completion {
    let len = clip(&completion.reason, RECORD_REASON_BYTES_MAX).len();
    completion.reason.truncate(len);
    completion
}

/// Room for one completion. Dropped without one, it writes that the request was given up.
pub(super) struct Slot {
    queue: Option<Arc<Queue>>,
    event: EventId,
}

impl CompletionSlot for Slot {
    fn complete(mut self: Box<Self>, mut completion: Completion) {
        // The room was kept for this event and no other.
        completion.event = self.event;
        if let Some(queue) = self.queue.take() {
            queue.complete(completion_record(completion));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else {
            return;
        };
        let completion = Completion {
            event: self.event,
            time: queue.clock.now(),
            outcome: Outcome::Aborted,
            status: 0,
            reason: "given up before it was completed".to_owned(),
            bytes: 0,
            object_bytes: None,
        };
        queue.complete(completion_record(completion));
    }
}
