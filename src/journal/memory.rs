//! A journal in memory, for tests and as the measure of what durability costs. **It keeps no
//! promise**: nothing in it survives the process.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::queue::clipped;
use super::{CompletionSlot, Durable, Journal, JournalError};
use crate::ledger::{
    Completion, Entry, Intent, Outcome, Session, SessionHash, encode, session_hash,
};
use crate::types::{Clock, EventId};

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    sessions: Vec<SessionHash>,
    refusing: bool,
}

/// The newest entries of a process.
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    keep: usize,
}

impl MemoryJournal {
    /// A journal of at most `keep` entries; older ones are forgotten.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, keep: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Arc::default(),
            clock,
            keep,
        })
    }

    /// What it holds, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.with(|state| state.entries.iter().cloned().collect())
    }

    /// From now on refuses intents as if the disk were full, or no longer.
    pub fn refuse(&self, refusing: bool) {
        self.with(|state| state.refusing = refusing);
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, session: &Arc<Session>, intent: Intent) -> Result<Slot, JournalError> {
        let event = intent.event;
        let hash = session_hash(session).map_err(|_unfit| JournalError::TooLarge)?;
        self.add(
            Entry::Intent {
                session: hash,
                intent,
            },
            Some(session),
        )?;
        Ok(Slot {
            state: Some(Arc::clone(&self.state)),
            clock: Arc::clone(&self.clock),
            keep: self.keep,
            event,
        })
    }

    /// Encodes as the durable journal does, so that both refuse the same and cost the same.
    fn add(&self, entry: Entry, session: Option<&Session>) -> Result<(), JournalError> {
        let mut bytes = Vec::with_capacity(512);
        encode(&entry, &mut bytes).map_err(|_unfit| JournalError::TooLarge)?;
        self.with(|state| {
            if state.refusing {
                return Err(JournalError::Full);
            }
            if let (Some(hash), Some(session)) = (entry.session(), session)
                && !state.sessions.contains(hash)
            {
                state.sessions.truncate(self.keep.min(64));
                state.sessions.insert(0, *hash);
                push(state, self.keep, Entry::Session(session.clone()));
            }
            push(state, self.keep, entry);
            Ok(())
        })
    }
}

fn push(state: &mut State, keep: usize, entry: Entry) {
    while state.entries.len() >= keep.max(1) {
        state.entries.pop_front();
    }
    state.entries.push_back(entry);
}

#[async_trait]
impl Journal for MemoryJournal {
    fn begin(&self, session: &Arc<Session>, intent: Intent) -> Durable {
        Box::pin(ready(self.open(session, intent).map(|slot| {
            let slot: Box<dyn CompletionSlot> = Box::new(slot);
            slot
        })))
    }

    async fn note(
        &self,
        session: &Arc<Session>,
        intent: Intent,
        completion: Completion,
    ) -> Result<(), JournalError> {
        let hash = session_hash(session).map_err(|_unfit| JournalError::TooLarge)?;
        let completion = clipped(completion);
        self.add(
            Entry::Whole {
                session: hash,
                intent,
                completion,
            },
            Some(session),
        )
    }

    async fn policy(&self, version: [u8; 32], text: &str) -> Result<(), JournalError> {
        self.add(
            Entry::Policy {
                version,
                text: text.to_owned(),
            },
            None,
        )
    }

    fn ready(&self) -> Result<(), JournalError> {
        if self.with(|state| state.refusing) {
            Err(JournalError::Full)
        } else {
            Ok(())
        }
    }

    fn waiting(&self) -> usize {
        0
    }

    fn durable(&self) -> u64 {
        0
    }

    async fn close(&self) -> Result<(), JournalError> {
        Ok(())
    }
}

struct Slot {
    state: Option<Arc<Mutex<State>>>,
    clock: Arc<dyn Clock>,
    keep: usize,
    event: EventId,
}

impl Slot {
    fn put(&mut self, completion: Completion) {
        if let Some(state) = self.state.take() {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            push(
                &mut state,
                self.keep,
                Entry::Completion(clipped(completion)),
            );
        }
    }
}

impl CompletionSlot for Slot {
    fn complete(mut self: Box<Self>, mut completion: Completion) {
        completion.event = self.event;
        self.put(completion);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let time = self.clock.now();
        let (event, outcome) = (self.event, Outcome::Aborted);
        let reason = "given up before it was completed".to_owned();
        self.put(Completion {
            event,
            time,
            outcome,
            status: 0,
            reason,
            bytes: 0,
            object_bytes: None,
        });
    }
}
