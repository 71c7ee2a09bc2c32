//! One subject's view of a project's policy, and its decisions.

use std::sync::Arc;

use casbin::rhai::Dynamic;

use super::engine::Engine;
use super::grant::{Grant, GrantEffect};
use super::held::{Held, Place, SubjectValue};
use super::source::{Policy, sha256};
use crate::types::{Action, DatasetName, GrantId, PrincipalId, ProjectName, Timestamp};

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
    /// SHA-256 of the policy's hash and the subject's grants in canonical form.
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
}

/// A question that was put to a view of another project.
const FAULT_PROJECT: &str = "fault: another project";
/// A question that was put to a view of another subject.
const FAULT_PRINCIPAL: &str = "fault: another principal";
/// casbin failed, or named a line that no grant of the subject supports.
const FAULT_ENGINE: &str = "fault: engine";

impl SubjectPolicy {
    pub(super) fn new(
        (policy, engine): (Arc<Policy>, Arc<Engine>),
        (project, principal): (ProjectName, PrincipalId),
        (held, grants): (Held, Vec<Grant>),
    ) -> Self {
        let version = sha256(&[&policy.hash(), canonical(&grants).as_bytes()]);
        Self {
            policy,
            grants,
            engine,
            project,
            principal,
            held: Arc::new(held),
            version,
        }
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
        let Some(verdict) = self.engine.ask(self.request(place, ask.action)) else {
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
        Decision {
            allowed: verdict.allowed,
            rule: ["p", role, action, wanted].join(", "),
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

    /// The grants in canonical form; [`SubjectPolicy::version`] hashes them after the policy's hash.
    #[must_use]
    pub fn grants_text(&self) -> String {
        canonical(&self.grants)
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
            place
                .key
                .map_or(Dynamic::UNIT, |key| Dynamic::from(key.to_owned())),
            Dynamic::from(action.as_str().to_owned()),
            Dynamic::from(place.now),
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

/// What a grant must cover for `ask`.
pub(super) fn place<'a>(ask: &Ask<'a>) -> Place<'a> {
    Place {
        project: ask.project.as_str(),
        dataset: ask.dataset.map_or("", DatasetName::as_str),
        // Who may use a part of a dataset may know that the dataset exists.
        key: (ask.action != Action::DatasetHead).then_some(ask.key),
        now: ask.now,
    }
}

/// One JSON array a line, in order of identity: one form for one set of grants.
fn canonical(grants: &[Grant]) -> String {
    let mut text = String::new();
    for grant in grants {
        let effect = match grant.effect {
            GrantEffect::Allow => "allow",
            GrantEffect::Deny => "deny",
        };
        let line = serde_json::json!([
            grant.id.to_string(),
            grant.project.as_str(),
            grant.principal.as_str(),
            grant.role,
            grant.dataset.as_ref().map(DatasetName::as_str),
            grant.prefix,
            effect,
            grant.purpose,
            grant.permit,
            grant.starts.millis(),
            grant.expires.map(Timestamp::millis),
            grant.approver.as_str(),
            grant.created.millis(),
        ]);
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}
