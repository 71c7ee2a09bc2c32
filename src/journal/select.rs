//! Which requests a reader of the log asks for, and the pairing of intents with completions.
//! Pure: fed with records, in the order in which they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::reader::Record;
use crate::ledger::{
    Completion, Entry, Intent, Nature, ObjectRef, Outcome, Pseudonyms, RunEnd, Session, View,
};
use crate::types::limits::JOURNAL_PAIRS_MAX;
use crate::types::{
    Action, DatasetName, EventId, GrantId, ObjectKey, PrincipalId, ProjectName, Timestamp,
};

/// What must hold of a request; `None` asks nothing.
#[derive(Clone, Default)]
pub struct Filter {
    /// Who asks sees pseudonyms and names persons by them; a name is nobody's then, so that none
    /// can be tried.
    pub hidden: Option<Arc<Pseudonyms>>,
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
    /// It is what was done with a dataset: it names one, and is no look at the log. A look names
    /// the one that it was about, too.
    pub of_dataset: bool,
    /// It is of none of these datasets of the project, nor copies from one.
    pub without: BTreeSet<DatasetName>,
    /// This object, or a run of objects that may have held it.
    pub key: Option<ObjectKey>,
    /// An object whose key begins so, or a run that may have held one.
    pub prefix: Option<String>,
    /// By this workload.
    pub job: Option<PrincipalId>,
    /// Allowed or denied by this grant.
    pub grant: Option<GrantId>,
    /// For this purpose.
    pub purpose: Option<String>,
    /// Under this permit.
    pub permit: Option<String>,
    /// Of this nature.
    pub nature: Option<Nature>,
    /// From this address.
    pub ip: Option<String>,
    /// By somebody whose right of these had ended as it began.
    pub ended: Option<Vec<EndedRight>>,
}

/// A right that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedRight {
    /// Whose it was.
    pub principal: PrincipalId,
    /// Over one dataset, or all of the project.
    pub dataset: Option<DatasetName>,
    /// When it ended.
    pub at: Timestamp,
}

/// Whether `wanted` asks nothing or is what is there.
fn fits<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none() || wanted == there
}

impl Filter {
    /// Whether a request fits, as far as its intent tells. A copy fits by its source too.
    #[must_use]
    pub fn begins(&self, session: Option<&Session>, intent: &Intent) -> bool {
        let object = |object: &ObjectRef, run: Option<RunEnd<'_>>| {
            fits(self.project.as_ref(), object.project.as_ref())
                && fits(self.dataset.as_ref(), object.dataset.as_ref())
                && self.names(object, run)
                && (object.dataset.is_some() || !self.of_dataset)
        };
        let asks = |who: &PrincipalId| {
            session.is_some_and(|s| {
                self.means(s.principal.as_ref(), who) || self.means(s.responsible.as_ref(), who)
            })
        };
        let barred = |object: &ObjectRef| {
            let of = object.dataset.as_ref();
            fits(self.project.as_ref(), object.project.as_ref())
                && of.is_some_and(|dataset| self.without.contains(dataset))
        };
        let source = intent.source_object.as_ref();
        (object(&intent.object, RunEnd::of(intent))
            || source.is_some_and(|source| object(source, None)))
            && !(self.of_dataset && intent.nature == Nature::Log)
            && !barred(&intent.object)
            && !source.is_some_and(barred)
            && self.principal.as_ref().is_none_or(asks)
            && self.since.is_none_or(|since| intent.time >= since)
            && self.until.is_none_or(|until| intent.time < until)
            && fits(self.action.as_ref(), intent.action.as_ref())
            && fits(self.event.as_ref(), Some(&intent.event))
            && self.circumstances(session, intent)
    }

    /// Whether what is asked for may be among the objects.
    fn names(&self, object: &ObjectRef, run: Option<RunEnd<'_>>) -> bool {
        let first = object.key.as_ref().map(ObjectKey::as_str);
        let within = |holds: &dyn Fn(RunEnd<'_>, &str) -> bool| {
            run.zip(first).is_some_and(|(run, first)| holds(run, first))
        };
        let is = |key: &ObjectKey| {
            first == Some(key.as_str()) || within(&|run, first| run.may_hold(first, key.as_str()))
        };
        let begins = |prefix: &String| {
            first.is_some_and(|key| key.starts_with(prefix))
                || within(&|run, first| run.may_hold_under(first, prefix))
        };
        self.key.as_ref().is_none_or(is) && self.prefix.as_ref().is_none_or(begins)
    }

    /// Whether a person is meant by this name, as who asks knows it.
    fn means(&self, person: Option<&PrincipalId>, name: &PrincipalId) -> bool {
        match &self.hidden {
            None => person == Some(name),
            Some(key) => person.and_then(|person| key.of(person)).as_ref() == Some(name),
        }
    }

    fn circumstances(&self, session: Option<&Session>, intent: &Intent) -> bool {
        let policy = intent.policy.as_ref();
        let who = session.and_then(|session| session.principal.as_ref());
        let works = |job: &PrincipalId| {
            self.means(who, job) && session.is_some_and(|session| session.responsible.is_some())
        };
        let late = |ended: &Vec<EndedRight>| {
            ended.iter().any(|right| {
                who == Some(&right.principal)
                    && intent.time >= right.at
                    && fits(right.dataset.as_ref(), intent.object.dataset.as_ref())
            })
        };
        self.job.as_ref().is_none_or(works)
            && fits(self.grant.as_ref(), policy.and_then(|p| p.grant.as_ref()))
            && fits(
                self.purpose.as_ref(),
                policy.and_then(|p| p.purpose.as_ref()),
            )
            && fits(self.permit.as_ref(), policy.and_then(|p| p.permit.as_ref()))
            && fits(self.nature.as_ref(), Some(&intent.nature))
            && fits(self.ip.as_ref(), session.map(|session| &session.client_ip))
            && self.ended.as_ref().is_none_or(late)
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

    /// How many that fit so far are still open.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// What is still open, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Request> {
        self.open
            .values()
            .filter(|request| self.filter.ends(request.completion.as_ref()))
    }
}
