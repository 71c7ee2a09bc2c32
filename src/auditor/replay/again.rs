//! Decisions made again, from the texts that the log keeps. Pure: no file, no clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::question::{Question, in_her_name, questions};
use crate::ledger::{AuthMethod, Completion, Intent, PolicyRef, Session};
use crate::policy::{
    Ask, Assurance, Circumstances, CredentialScope, Decision, Ground, Pieces, Policy, PolicyError,
    PolicySource, Rights, SubjectPolicy,
};
use crate::types::limits::{REPLAY_BYTES_MAX, REPLAY_SUBJECTS_MAX};
use crate::types::{AccessKeyId, PrincipalId, ProjectName, Timestamp};

/// How long after a request began its decision can have been made.
const DECIDED_MS: u64 = 60_000;

/// What a decision came to the second time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::auditor) enum Verdict {
    /// The same effect by the same rule and grant.
    Same,
    /// Another one.
    Different(Box<Decision>),
    /// What it rests on is not in the log.
    Gone(&'static str),
    /// What it rests on is there and is not what the record names.
    Altered(&'static str),
    /// The record does not say all that was asked.
    Unclear(&'static str),
}

impl Verdict {
    /// Its word.
    pub(in crate::auditor) const fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different(_) => "different",
            Self::Gone(_) => "gone",
            Self::Altered(_) => "altered",
            Self::Unclear(_) => "unclear",
        }
    }

    /// Why it is not the same, where the word does not say it.
    pub(in crate::auditor) const fn why(&self) -> Option<&'static str> {
        match self {
            Self::Same | Self::Different(_) => None,
            Self::Gone(why) | Self::Altered(why) | Self::Unclear(why) => Some(why),
        }
    }
}

/// How many decisions came to what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::auditor) struct Counts {
    same: u64,
    different: u64,
    gone: u64,
    altered: u64,
    unclear: u64,
}

impl Counts {
    pub(in crate::auditor) const fn count(&mut self, verdict: &Verdict) {
        let count = match verdict {
            Verdict::Same => &mut self.same,
            Verdict::Different(_) => &mut self.different,
            Verdict::Gone(_) => &mut self.gone,
            Verdict::Altered(_) => &mut self.altered,
            Verdict::Unclear(_) => &mut self.unclear,
        };
        *count = count.saturating_add(1);
    }

    pub(in crate::auditor) fn all_same(&self) -> bool {
        let same = self.same;
        *self
            == Self {
                same,
                ..Self::default()
            }
    }

    pub(in crate::auditor) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "decisions: {} the same, {} different, {} without their policy version, {} by one that \
             was altered, {} not told in full",
            self.same, self.different, self.gone, self.altered, self.unclear
        )
    }
}

/// Too many texts for one replay.
#[derive(Debug, thiserror::Error)]
#[error("the log keeps more policy texts than can be held")]
pub(in crate::auditor) struct TooMuch;

/// Rights and the policy that they are under.
type Opened = (Arc<Policy>, Arc<Rights>);
/// Whom a record is judged for, and the rights that it is judged by.
type Judged = (Arc<SubjectPolicy>, Arc<Rights>);

/// The texts that the log keeps, and the views that were made of them.
#[derive(Default)]
pub(in crate::auditor) struct Again {
    bytes: usize,
    /// A credential's scope is not what it is named by.
    bent: bool,
    policies: HashMap<[u8; 32], Option<Arc<Policy>>>,
    rights: HashMap<[u8; 32], Pieces>,
    scopes: HashMap<AccessKeyId, Option<CredentialScope>>,
    opened: HashMap<[u8; 32], Result<Opened, Verdict>>,
    subjects: HashMap<([u8; 32], ProjectName, PrincipalId), Arc<SubjectPolicy>>,
}

const GONE: Verdict = Verdict::Gone("the policy version is not in the log");
const ALTERED: Verdict = Verdict::Altered("the policy version is not what its hash says");

impl Again {
    /// Takes a text of the log under its name. One that is not what it is named by spoils that
    /// name, and no other.
    pub(in crate::auditor) fn take(
        &mut self,
        version: [u8; 32],
        text: &str,
    ) -> Result<(), TooMuch> {
        let known = self.policies.contains_key(&version);
        if Pieces::is_piece(text) {
            let before = self.rights.entry(version).or_default();
            let pieces = before.clone();
            before.add(text);
            if *before == pieces {
                return Ok(());
            }
        } else if CredentialScope::is_scope(text) {
            let read = CredentialScope::read(&version, text);
            self.bent |= read.is_err();
            if let Ok(scope) = read {
                let id = scope.credential.clone();
                let same = |old: &Option<CredentialScope>| old.as_ref() == Some(&scope);
                let one = self.scopes.get(&id).is_none_or(same);
                self.scopes.insert(id, one.then_some(scope));
            }
        } else {
            let source = PolicySource::from_text(text);
            let policy = source.and_then(|source| Policy::compile(&source)).ok();
            let policy = policy.filter(|policy| policy.hash() == version);
            if known && policy.is_some() {
                return Ok(());
            }
            self.policies.insert(version, policy.map(Arc::new));
        }
        self.bytes = self.bytes.saturating_add(text.len());
        (self.bytes <= REPLAY_BYTES_MAX)
            .then_some(())
            .ok_or(TooMuch)
    }

    /// Whether every text is what its name says, and whole.
    pub(in crate::auditor) fn is_sound(&self) -> bool {
        let mut rights = self.rights.iter();
        !self.bent
            && self.policies.values().all(Option::is_some)
            && rights.all(|(version, pieces)| pieces.rights(version).is_ok())
    }

    /// The rights behind a version and their policy.
    fn open(&mut self, version: &[u8; 32]) -> Result<Opened, Verdict> {
        if let Some(opened) = self.opened.get(version) {
            return opened.clone();
        }
        let opened = self.read(version);
        self.opened.insert(*version, opened.clone());
        opened
    }

    fn read(&self, version: &[u8; 32]) -> Result<Opened, Verdict> {
        let pieces = self.rights.get(version).ok_or(GONE)?;
        let rights = pieces.rights(version).map_err(|error| {
            if matches!(error, PolicyError::Incomplete) {
                Verdict::Gone("a part of the policy version is not there")
            } else {
                ALTERED
            }
        })?;
        let gone = Verdict::Gone("the policy's text is not in the log");
        match self.policies.get(&rights.policy) {
            None => Err(gone),
            Some(None) => Err(Verdict::Altered(
                "the policy's text is not what its hash says",
            )),
            Some(Some(policy)) => Ok((Arc::clone(policy), Arc::new(rights))),
        }
    }

    fn subject(
        &mut self,
        policy: &PolicyRef,
        project: &ProjectName,
        principal: &PrincipalId,
    ) -> Result<Option<Judged>, Verdict> {
        let (text, rights) = self.open(&policy.version)?;
        let slot = (policy.version, project.clone(), principal.clone());
        if let Some(subject) = self.subjects.get(&slot) {
            return Ok(Some((Arc::clone(subject), rights)));
        }
        // Grants of another project or holder under this version: it was not one of hers here.
        let Ok(subject) = rights.subject(&text, project, principal) else {
            return Ok(None);
        };
        let subject = Arc::new(subject);
        if self.subjects.len() >= REPLAY_SUBJECTS_MAX {
            self.subjects.clear();
        }
        self.subjects.insert(slot, Arc::clone(&subject));
        Ok(Some((subject, rights)))
    }

    /// Decides a recorded request again; `None` where nothing was decided.
    pub(in crate::auditor) fn judge(
        &mut self,
        session: Option<&Session>,
        intent: &Intent,
        end: Option<&Completion>,
    ) -> Option<Verdict> {
        let recorded = intent.policy.as_ref()?;
        Some(match self.decide(session, intent, end, recorded) {
            Ok(verdict) | Err(verdict) => verdict,
        })
    }

    fn decide(
        &mut self,
        session: Option<&Session>,
        intent: &Intent,
        end: Option<&Completion>,
        recorded: &PolicyRef,
    ) -> Result<Verdict, Verdict> {
        let session = session.ok_or(Verdict::Unclear("its session is not known"))?;
        let project = intent.object.project.as_ref();
        let project = project.ok_or(Verdict::Unclear("the record names no project"))?;
        let asked = questions(session, intent).map_err(Verdict::Unclear)?;
        let hers = in_her_name(session, &asked);
        let scope = self.scope(session)?;
        let mut other = None;
        for question in asked.into_iter().chain(hers) {
            let found = self.subject(recorded, project, &question.principal)?;
            let Some((subject, rights)) = found else {
                continue;
            };
            for now in moments(intent.time, end, &rights) {
                let ask = ask((project, session, intent), (&question, now), scope.as_ref());
                let again = subject.decide(&ask);
                if is_same(recorded, &again) {
                    return Ok(Verdict::Same);
                }
                other.get_or_insert(again);
            }
        }
        // Rights of nobody who can have been asked about.
        Ok(other.map_or(ALTERED, |again| Verdict::Different(Box::new(again))))
    }

    /// What the credential was bound to: known of each that a session was made for.
    fn scope(&self, session: &Session) -> Result<Option<CredentialScope>, Verdict> {
        let Some(id) = &session.access_key else {
            return Ok(None);
        };
        match self.scopes.get(id) {
            None => Ok(None),
            Some(Some(scope)) => Ok(Some(scope.clone())),
            Some(None) => Err(Verdict::Altered("the credential has two scopes in the log")),
        }
    }
}

fn ask<'a>(
    (project, session, intent): (&'a ProjectName, &Session, &'a Intent),
    (question, now): (&'a Question, Timestamp),
    scope: Option<&'a CredentialScope>,
) -> Ask<'a> {
    let when = Circumstances {
        client: session.client_ip.parse().ok(),
        version: question.version,
        assurance: if session.auth == AuthMethod::Local {
            Assurance::Host
        } else {
            Assurance::default()
        },
        ground: if question.unplaced {
            Ground::Unplaced
        } else {
            Ground::Elsewhere
        },
        ..Circumstances::default()
    };
    Ask {
        project,
        principal: &question.principal,
        dataset: intent.object.dataset.as_ref(),
        key: &question.key,
        action: intent.action.unwrap_or(crate::types::Action::ObjectRead),
        now,
        when: scope.map_or(when, |scope| scope.narrow(when)),
    }
}

fn is_same(recorded: &PolicyRef, again: &Decision) -> bool {
    recorded.allowed == again.allowed
        && recorded.rule == again.rule
        && recorded.version == again.version
        && recorded.grant == again.grant
        && recorded.purpose == again.purpose
        && recorded.permit == again.permit
}

/// When the decision can have been made: as the request began, or at any moment at which a grant
/// began or ended before it was over.
fn moments(begun: Timestamp, end: Option<&Completion>, rights: &Rights) -> Vec<Timestamp> {
    let last = begun.plus_millis(DECIDED_MS);
    let last = end.map_or(last, |end| end.time.min(last));
    let edges = rights.grants.iter().flat_map(|grant| {
        let edges = [Some(grant.starts), grant.expires, grant.terms.lapses];
        edges.into_iter().flatten()
    });
    let mut moments: Vec<Timestamp> = edges.filter(|at| *at > begun && *at <= last).collect();
    moments.push(begun);
    moments.sort_unstable();
    moments.dedup();
    moments
}
