//! What the tests of this module share: short ways to write grants and questions.

use std::sync::Arc;

use super::{
    Ask, Circumstances, Decision, Grant, GrantEffect, Policy, PolicySource, ProjectPolicy,
    SubjectPolicy, Terms,
};
use crate::types::{Action, DatasetName, GrantId, PrincipalId, ProjectName, Timestamp};

/// The moment of most questions.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

pub(super) fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

pub(super) fn person(name: &str) -> PrincipalId {
    name.parse().unwrap()
}

pub(super) fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

/// A live grant to `ana` in `icu` over `on` (`*`, `dataset` or `dataset/prefix`).
pub(super) fn grant(id: u8, role: &str, on: &str) -> Grant {
    let (name, prefix) = on.split_once('/').unwrap_or((on, ""));
    Grant {
        id: GrantId::from_bytes([id; 16]),
        project: project("icu"),
        principal: person("ana"),
        role: role.to_owned(),
        dataset: (name != "*").then(|| dataset(name)),
        prefix: prefix.to_owned(),
        effect: GrantEffect::Allow,
        purpose: Some(format!("purpose {id}")),
        permit: Some(format!("permit {id}")),
        starts: Timestamp::default(),
        expires: None,
        approver: person("olga"),
        created: Timestamp::default(),
        terms: Terms::default(),
    }
}

/// The same, denying.
pub(super) fn deny(id: u8, role: &str, on: &str) -> Grant {
    Grant {
        effect: GrantEffect::Deny,
        ..grant(id, role, on)
    }
}

pub(super) fn builtin() -> Arc<Policy> {
    Arc::new(Policy::builtin().unwrap())
}

/// The shipped model with these roles.
pub(super) fn policy(roles: &[(&str, &str)]) -> Arc<Policy> {
    let source = PolicySource {
        model: PolicySource::builtin().model,
        roles: roles
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    };
    Arc::new(Policy::compile(&source).unwrap())
}

/// `ana`'s view of `icu`.
pub(super) fn ana(policy: &Arc<Policy>, grants: Vec<Grant>) -> SubjectPolicy {
    let icu = ProjectPolicy::new(policy, &project("icu")).unwrap();
    icu.subject(&person("ana"), grants).unwrap()
}

/// `ana` asks in `icu`, at `NOW`, about `on` (`*`, `dataset` or `dataset/key`).
pub(super) fn ask(view: &SubjectPolicy, action: Action, on: &str) -> Decision {
    ask_at(view, action, on, NOW)
}

pub(super) fn ask_at(view: &SubjectPolicy, action: Action, on: &str, now: Timestamp) -> Decision {
    let (name, key) = on.split_once('/').unwrap_or((on, ""));
    let name = (name != "*").then(|| dataset(name));
    view.decide(&Ask {
        project: &project("icu"),
        principal: &person("ana"),
        dataset: name.as_ref(),
        key,
        action,
        now,
        when: Circumstances::default(),
    })
}
