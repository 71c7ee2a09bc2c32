//! Which requests a reader of the log asks for, and the pairing of intents with completions.
//! Pure: fed with records, in the order in which they were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::Record;
use crate::ledger::{Completion, Entry, Intent, Outcome, Session, View};
use crate::types::limits::JOURNAL_PAIRS_MAX;
use crate::types::{Action, DatasetName, EventId, PrincipalId, ProjectName, Timestamp};

/// What must hold of a request; `None` asks nothing.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// The project of its object.
    pub project: Option<ProjectName>,
    /// The dataset of its object.
    pub dataset: Option<DatasetName>,
    /// Who asked, or the person behind who asked.
    pub principal: Option<PrincipalId>,
    /// It began at this moment or later.
    pub since: Option<Timestamp>,
    /// It began before this moment.
    pub until: Option<Timestamp>,
    /// What was asked.
    pub action: Option<Action>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// This one request.
    pub event: Option<EventId>,
}

/// Whether `wanted` asks nothing or is what is there.
fn fits<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none() || wanted == there
}

impl Filter {
    /// Whether a request fits, as far as its intent tells. A copy fits by its source too.
    fn begins(&self, session: Option<&Session>, intent: &Intent) -> bool {
        let object = |object: &crate::ledger::ObjectRef| {
            fits(self.project.as_ref(), object.project.as_ref())
                && fits(self.dataset.as_ref(), object.dataset.as_ref())
        };
        let asks = |who: &PrincipalId| {
            session.is_some_and(|s| {
                s.principal.as_ref() == Some(who) || s.responsible.as_ref() == Some(who)
            })
        };
        (object(&intent.object) || intent.source_object.as_ref().is_some_and(object))
            && self.principal.as_ref().is_none_or(asks)
            && self.since.is_none_or(|since| intent.time >= since)
            && self.until.is_none_or(|until| intent.time < until)
            && fits(self.action.as_ref(), intent.action.as_ref())
            && fits(self.event.as_ref(), Some(&intent.event))
    }

    fn ends(&self, completion: Option<&Completion>) -> bool {
        fits(self.outcome.as_ref(), completion.map(|c| &c.outcome))
    }
}

/// One request as the log has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The lane.
    pub lane: Arc<str>,
    /// The number of its intent in the lane.
    pub seq: u64,
    /// Who asked.
    pub session: Option<Arc<Session>>,
    /// What was asked.
    pub intent: Intent,
    /// How it ended; `None` while it is open.
    pub completion: Option<Completion>,
}

impl Request {
    /// How it is shown.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            lane: &self.lane,
            seq: self.seq,
            session: self.session.as_deref(),
            intent: Some(&self.intent),
            completion: self.completion.as_ref(),
        }
    }
}

/// Pairs intents with completions and lets through what a filter asks for.
pub struct Pairs {
    filter: Filter,
    open: BTreeMap<EventId, Request>,
}

impl Pairs {
    /// Begins with nothing open.
    #[must_use]
    pub const fn new(filter: Filter) -> Self {
        Self {
            filter,
            open: BTreeMap::new(),
        }
    }

    /// Takes the next record; gives a request back when it is whole. Beyond
    /// `limits::JOURNAL_PAIRS_MAX` open requests the oldest is given back as it is.
    pub fn push(&mut self, record: Record) -> Option<Request> {
        let Record {
            lane,
            seq,
            session,
            entry,
        } = record;
        match entry {
            Entry::Intent { intent, .. } => {
                if !self.filter.begins(session.as_deref(), &intent) {
                    return None;
                }
                let event = intent.event;
                self.open.insert(
                    event,
                    Request {
                        lane,
                        seq,
                        session,
                        intent,
                        completion: None,
                    },
                );
                if self.open.len() <= JOURNAL_PAIRS_MAX {
                    return None;
                }
                let (_, oldest) = self.open.pop_first()?;
                self.filter.ends(None).then_some(oldest)
            }
            Entry::Completion(completion) => {
                let mut request = self.open.remove(&completion.event)?;
                request.completion = Some(completion);
                self.filter
                    .ends(request.completion.as_ref())
                    .then_some(request)
            }
            Entry::Whole {
                intent, completion, ..
            } => {
                let fits = self.filter.begins(session.as_deref(), &intent)
                    && self.filter.ends(Some(&completion));
                let completion = Some(completion);
                fits.then_some(Request {
                    lane,
                    seq,
                    session,
                    intent,
                    completion,
                })
            }
            Entry::Session(_) | Entry::Mark { .. } | Entry::Policy { .. } | Entry::Open(_) => None,
        }
    }

    /// What is still open, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Request> {
        self.open
            .values()
            .filter(|request| self.filter.ends(request.completion.as_ref()))
    }
}
