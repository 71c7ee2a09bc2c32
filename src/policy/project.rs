//! One project's enforcers. They hold role lines only; grants come with the subject.
//!
//! One enforcer for each set of roles that some subject of the project holds, shared by all who
//! hold that set, and in it for each action: a decision then sees the lines of its subject's roles
//! about what is asked, and no others. Measured costs and the alternatives are in `docs/policy.md`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::decide::SubjectPolicy;
use super::engine::{Engine, Row};
use super::error::PolicyError;
use super::grant::{Grant, GrantEffect};
use super::held::{DENY, DENY_LINE, DENY_UNKNOWN, Held};
use super::source::Policy;
use crate::types::{Action, PrincipalId, ProjectName, limits};

/// The enforcers of one project under one policy.
pub struct ProjectPolicy {
    policy: Arc<Policy>,
    project: ProjectName,
    /// By the roles held. Dropped with the last subject that uses it, so the map is bounded by
    /// the subjects that the caller keeps.
    engines: Mutex<HashMap<Vec<String>, Weak<Engine>>>,
}

impl ProjectPolicy {
    /// Makes a project's policy, aside from whatever is in use.
    pub fn new(policy: &Arc<Policy>, project: &ProjectName) -> Result<Self, PolicyError> {
        Ok(Self {
            policy: Arc::clone(policy),
            project: project.clone(),
            engines: Mutex::new(HashMap::new()),
        })
    }

    /// The project.
    #[must_use]
    pub const fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The policy that it was made from.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// One subject's view. `grants` are all that she holds in this project, expired ones included
    /// or not as the caller likes; a grant of anyone else is an error, not ignored.
    pub fn subject(
        &self,
        principal: &PrincipalId,
        grants: Vec<Grant>,
    ) -> Result<SubjectPolicy, PolicyError> {
        self.member(principal, &[], grants)
    }

    /// The same of a member of groups, with what these hold in this project.
    pub fn member(
        &self,
        principal: &PrincipalId,
        groups: &[PrincipalId],
        mut grants: Vec<Grant>,
    ) -> Result<SubjectPolicy, PolicyError> {
        if grants.len() > limits::SUBJECT_GRANTS_MAX {
            return Err(PolicyError::TooManyGrants);
        }
        let own = |grant: &Grant| {
            let holder = &grant.principal;
            grant.project == self.project && (holder == principal || groups.contains(holder))
        };
        if !grants.iter().all(own) {
            return Err(PolicyError::ForeignGrant);
        }
        grants.sort_by_key(|grant| grant.id);
        let held = Held::new(&self.policy, &self.project, &grants);
        let engine = self.engine(&held.roles());
        Ok(SubjectPolicy::new(
            (Arc::clone(&self.policy), engine),
            (self.project.clone(), principal.clone()),
            (held, grants),
        ))
    }

    /// The enforcer over the lines of `roles`, which are in order.
    fn engine(&self, roles: &[&str]) -> Arc<Engine> {
        let key: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        // What a panic could leave behind is a map without an entry, which is harmless.
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&key).and_then(Weak::upgrade) {
            return engine;
        }
        engines.retain(|_, engine| engine.strong_count() > 0);
        let rows: Vec<Row> = roles
            .iter()
            .flat_map(|role| rows(&self.policy, role))
            .collect();
        let engine = Arc::new(Engine::new(self.policy.model(), rows));
        engines.insert(key, Arc::downgrade(&engine));
        engine
    }
}

/// The lines of a role as it is held: as the file has them, or all denying.
fn rows(policy: &Policy, held: &str) -> Vec<Row> {
    let row = |action: Action, effect: GrantEffect| {
        let effect = match effect {
            GrantEffect::Allow => "allow",
            GrantEffect::Deny => "deny",
        };
        [
            held.to_owned(),
            action.as_str().to_owned(),
            effect.to_owned(),
        ]
    };
    if held == DENY_UNKNOWN {
        let all = Action::ALL.iter();
        return all.map(|action| row(*action, GrantEffect::Deny)).collect();
    }
    // Under its own name a role has its allowing lines, under the others what denies.
    let (role, keep, effect) = match (held.strip_prefix(DENY), held.strip_prefix(DENY_LINE)) {
        (Some(role), _) => (role, None, GrantEffect::Deny),
        (None, Some(role)) => (role, Some(GrantEffect::Deny), GrantEffect::Deny),
        (None, None) => (held, Some(GrantEffect::Allow), GrantEffect::Allow),
    };
    let lines = policy.lines(role).unwrap_or_default().iter();
    lines
        .filter(|line| keep.is_none_or(|keep| line.effect == keep))
        .map(|line| row(line.action, effect))
        .collect()
}
