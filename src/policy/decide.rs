//! One subject's view of a project's policy, and its decisions.

use std::collections::BTreeSet;
use std::sync::Arc;

use casbin::rhai::Dynamic;

use super::canon;
use super::demand::{Assurance, Demand};
use super::engine::Engine;
use super::grant::{Circumstances, Grant};
use super::held::{DENY_LINE, Held, KeyValue, MomentValue, Place, Reach, SubjectValue};
use super::source::{Policy, sha256};
use crate::types::{Action, DatasetName, GrantId, PrincipalId, ProjectName, Rank, Timestamp};

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// In which project.
    pub project: &'a ProjectName,
    /// Who asks.
    pub principal: &'a PrincipalId,
    /// About which dataset; `None` for the project as a whole, which only a grant over the whole
    /// project covers.
    pub dataset: Option<&'a DatasetName>,
    /// An object's key; for a listing its prefix; for a grant that is made its prefix; empty for a
    /// dataset as a whole, which no grant over a prefix covers (`dataset.head` excepted).
    pub key: &'a str,
    /// What is asked.
    pub action: Action,
    /// When.
    pub now: Timestamp,
    /// From where and for what.
    pub when: Circumstances<'a>,
}

/// An answer, with what the audit record says of it (AZ-5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Whether it is allowed. Nothing else here is.
    pub allowed: bool,
    /// The line that decided, `p, role, action, effect`; a grant that denies stands there as
    /// `deny:role`. Empty when no line matched: default deny. `fault: …` when the question could
    /// not be put, which is a deny too.
    pub rule: String,
    /// SHA-256 of the policy's hash and the subject's grants in canonical form, the groups that she
    /// holds some of them through, and what bars her.
    pub version: [u8; 32],
    /// The grant through which the line matched.
    pub grant: Option<GrantId>,
    /// That grant's purpose.
    pub purpose: Option<String>,
    /// The permit that it rests on.
    pub permit: Option<String>,
}

/// A subject's grants over a project's enforcer. Immutable: make another when grants change.
pub struct SubjectPolicy {
    pub(super) policy: Arc<Policy>,
    pub(super) grants: Vec<Grant>,
    engine: Arc<Engine>,
    project: ProjectName,
    principal: PrincipalId,
    held: Arc<Held>,
    version: [u8; 32],
    barred: Option<Bar>,
    cleared: Rank,
    demand: Demand,
}

/// Why a subject may do nothing, whatever she holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// She, or the person that she acts for, is suspended.
    Suspended,
    /// She is not known (any more).
    Unknown,
}

impl Bar {
    /// What stands in place of a rule.
    const fn rule(self) -> &'static str {
        match self {
            Self::Suspended => "barred: suspended",
            Self::Unknown => "barred: unknown",
        }
    }

    /// The same as the last line of the rights that a version is the hash of.
    pub(super) const fn line(self) -> &'static str {
        match self {
            Self::Suspended => "barred: suspended\n",
            Self::Unknown => "barred: unknown\n",
        }
    }
}

/// A question that was put to a view of another project.
const FAULT_PROJECT: &str = "fault: another project";
/// A question that was put to a view of another subject.
const FAULT_PRINCIPAL: &str = "fault: another principal";
/// The caller's credential is for another project or dataset.
const OUTSIDE: &str = "barred: outside the credential's scope";
/// What the line begins with that names the groups.
pub(super) const THROUGH: &str = "through: ";
/// What the line begins with that says what is demanded.
pub(super) const DEMANDS: &str = "demands: ";
/// The project demands a better sign-in of whoever would be allowed.
pub const UNASSURED: &str = "barred: assurance";
/// casbin failed, or named a line that no grant of the subject supports.
const FAULT_ENGINE: &str = "fault: engine";

impl SubjectPolicy {
    pub(super) fn new(
        (policy, engine): (Arc<Policy>, Arc<Engine>),
        (project, principal): (ProjectName, PrincipalId),
        (held, grants): (Held, Vec<Grant>),
    ) -> Self {
        let subject = Self {
            policy,
            grants,
            engine,
            project,
            principal,
            held: Arc::new(held),
            version: [0; 32],
            barred: None,
            cleared: Rank::NONE,
            demand: Demand::default(),
        };
        subject.versioned()
    }

    fn versioned(self) -> Self {
        let version = sha256(&[&self.policy.hash(), self.rights().as_bytes()]);
        Self { version, ..self }
    }

    /// The same subject in a project that demands this of how she signed in.
    #[must_use]
    pub fn demanding(self, demand: Demand) -> Self {
        let demanding = Self { demand, ..self };
        demanding.versioned()
    }

    /// The same subject, who may do nothing.
    #[must_use]
    pub fn barred(self, why: Bar) -> Self {
        let barred = Self {
            barred: Some(why),
            ..self
        };
        barred.versioned()
    }

    /// What the version is the hash of, behind the policy's: the grants, through which groups she
    /// holds those that are not her own, what the project demands, and what bars.
    pub(super) fn rights(&self) -> String {
        let mut rights = canon::write(&self.grants);
        let holders = self.grants.iter().map(|grant| &grant.principal);
        let groups: BTreeSet<&str> = holders
            .filter(|holder| **holder != self.principal)
            .map(PrincipalId::as_str)
            .collect();
        if !groups.is_empty() {
            rights.push_str(&through(&groups));
        }
        if !self.demand.is_empty() {
            rights.push_str(&demands(&self.demand));
        }
        if let Some(bar) = self.barred {
            rights.push_str(bar.line());
        }
        rights
    }

    /// The same subject, cleared for data of this rank and below.
    #[must_use]
    pub fn cleared_for(self, cleared: Rank) -> Self {
        Self { cleared, ..self }
    }

    /// Whether she is known as well as the project demands of whoever does this.
    #[must_use]
    pub fn is_assured(&self, action: Action, assurance: Assurance<'_>) -> bool {
        self.demand.is_met(action, assurance)
    }

    /// What she is cleared for; the caller compares it with the data's label.
    #[must_use]
    pub const fn cleared(&self) -> Rank {
        self.cleared
    }

    /// Decides. Default deny, deny overrides, a failure of the engine is a deny.
    #[must_use]
    pub fn decide(&self, ask: &Ask<'_>) -> Decision {
        if *ask.project != self.project {
            return self.deny(FAULT_PROJECT);
        }
        if *ask.principal != self.principal {
            return self.deny(FAULT_PRINCIPAL);
        }
        let place = place(ask);
        if ask.when.within.is_some_and(|only| !only.admits(&place)) {
            return self.deny(OUTSIDE);
        }
        if let Some(bar) = self.barred {
            return self.deny(bar.rule());
        }
        let holds = |role: &str| self.held.find(role, place).is_some();
        let request = || self.request(place, ask.action);
        let Some(verdict) = self.engine.ask(ask.action.as_str(), holds, request) else {
            return self.deny(FAULT_ENGINE);
        };
        let wanted = if verdict.allowed { "allow" } else { "deny" };
        let row = verdict.rows.iter().find_map(|row| match row.as_slice() {
            [role, action, effect] if effect == wanted => Some((role, action)),
            _ => None,
        });
        let Some((role, action)) = row else {
            // No line: default deny. An engine that allows must name a line.
            return self.deny(if verdict.allowed { FAULT_ENGINE } else { "" });
        };
        let Some(grant) = self.held.find(role, place).and_then(|i| self.grants.get(i)) else {
            return self.deny(FAULT_ENGINE);
        };
        if verdict.allowed && !self.demand.is_met(ask.action, ask.when.assurance) {
            return self.deny(UNASSURED);
        }
        Decision {
            allowed: verdict.allowed,
            // As the file has it: how a line is filed here is nobody's concern.
            rule: [
                "p",
                role.strip_prefix(DENY_LINE).unwrap_or(role),
                action,
                wanted,
            ]
            .join(", "),
            version: self.version,
            grant: Some(grant.id),
            purpose: grant.purpose.clone(),
            permit: grant.permit.clone(),
        }
    }

    /// Hash of the policy and of these grants, as in each [`Decision`].
    #[must_use]
    pub const fn version(&self) -> [u8; 32] {
        self.version
    }

    /// The published versions of a dataset that grants are narrowed to. What they give is decided
    /// as ever.
    pub fn versions<'a>(&'a self, dataset: &'a DatasetName) -> impl Iterator<Item = u32> + 'a {
        let of_it = move |grant: &&Grant| grant.dataset.as_ref().is_none_or(|name| name == dataset);
        let grants = self.grants.iter().filter(of_it);
        grants.filter_map(|grant| grant.terms.version)
    }

    /// The grants in canonical form, which [`grants_from_text`](super::grants_from_text) reads;
    /// [`SubjectPolicy::version`] hashes them after the policy's hash.
    #[must_use]
    pub fn grants_text(&self) -> String {
        canon::write(&self.grants)
    }

    /// Whether a question is about this view's project and subject.
    pub(super) fn is_about(&self, ask: &Ask<'_>) -> bool {
        *ask.project == self.project && *ask.principal == self.principal
    }

    /// The request, in the order of the model's `r`.
    fn request(&self, place: Place<'_>, action: Action) -> Vec<Dynamic> {
        vec![
            Dynamic::from(SubjectValue(Arc::clone(&self.held))),
            Dynamic::from(place.project.to_owned()),
            Dynamic::from(place.dataset.to_owned()),
            Dynamic::from(KeyValue {
                key: place.key.into(),
                reach: place.reach,
            }),
            Dynamic::from(action.as_str().to_owned()),
            Dynamic::from(MomentValue::of(&place)),
        ]
    }

    fn deny(&self, rule: &str) -> Decision {
        Decision {
            allowed: false,
            rule: rule.to_owned(),
            version: self.version,
            grant: None,
            purpose: None,
            permit: None,
        }
    }
}

/// The line of the rights that names the groups.
pub(super) fn through(groups: &BTreeSet<&str>) -> String {
    format!("{THROUGH}{}\n", serde_json::json!(groups))
}

/// The line of the rights that says what the project demands of a sign-in.
pub(super) fn demands(demand: &Demand) -> String {
    let fields = serde_json::json!([demand.acr, demand.amr, demand.log_only]);
    format!("{DEMANDS}{fields}\n")
}

/// What a grant must cover for `ask`.
pub(super) fn place<'a>(ask: &Ask<'a>) -> Place<'a> {
    Place {
        project: ask.project.as_str(),
        dataset: ask.dataset.map_or("", DatasetName::as_str),
        key: ask.key,
        reach: reach(ask.action),
        now: ask.now,
        action: ask.action,
        when: ask.when,
    }
}

/// What the key of a question about `action` stands for.
const fn reach(action: Action) -> Reach {
    match action {
        Action::ObjectRead
        | Action::ObjectHead
        | Action::ObjectWrite
        | Action::ObjectDelete
        | Action::ObjectExport
        | Action::ObjectTag
        | Action::ObjectLock
        | Action::LockBypass
        | Action::VersionRead
        | Action::VersionDelete
        // Her own uploads only: nobody else's names show.
        | Action::UploadManage => Reach::Key,
        Action::ObjectList
        | Action::VersionList
        | Action::DatasetConfigure
        | Action::DatasetCreate
        | Action::DatasetDelete
        | Action::DatasetPublish
        | Action::GrantManage
        | Action::LogRead
        | Action::ActAsk
        | Action::ActApprove => Reach::Region,
        // Who may use a part of a dataset may know that the dataset exists.
        Action::DatasetHead => Reach::Existence,
    }
}
