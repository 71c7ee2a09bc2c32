//! The index of one subject's grants, and the function `holds` that the matcher calls.
//!
//! Foreign text (prefixes, keys) is only ever compared here, byte by byte: no pattern, no script.

use std::collections::HashMap;
use std::sync::Arc;

use casbin::rhai::{Dynamic, ImmutableString};

use super::grant::{Grant, GrantEffect};
use super::source::Policy;
use crate::types::{ProjectName, Timestamp};

/// How casbin names a grant that denies: no role's name holds a colon.
pub(super) const DENY: &str = "deny:";
/// The role of grants that deny and name a role which no file defines. They deny every action:
/// a role that is removed from the policy must not open what was closed by its name.
pub(super) const DENY_UNKNOWN: &str = "deny:?";

/// One subject's grants in one project, by role and dataset. Says nothing of time: that is asked.
#[derive(Debug)]
pub(super) struct Held {
    project: ProjectName,
    roles: HashMap<String, HashMap<Scope, Vec<Cover>>>,
}

/// A dataset's name, or nothing for the whole project.
type Scope = String;

/// What a grant covers within its dataset.
#[derive(Debug)]
struct Cover {
    prefix: String,
    starts: Timestamp,
    expires: Option<Timestamp>,
    /// Where the grant stands in the subject's list.
    grant: usize,
}

/// The part of a request that a grant must cover.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) project: &'a str,
    /// The dataset; empty for the project itself.
    pub(super) dataset: &'a str,
    /// A key, or a prefix; `None` when any part of the dataset will do.
    pub(super) key: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// The subject as a value of casbin's script engine.
#[derive(Clone)]
pub(super) struct SubjectValue(pub(super) Arc<Held>);

impl Held {
    /// Files the grants under the names that lines use; those that give nothing are left out.
    pub(super) fn new(policy: &Policy, project: &ProjectName, grants: &[Grant]) -> Self {
        let mut roles: HashMap<String, HashMap<Scope, Vec<Cover>>> = HashMap::new();
        for (index, grant) in grants.iter().enumerate() {
            let Some(name) = held_role(policy, grant) else {
                continue;
            };
            let dataset = grant.dataset.as_ref().map_or("", |name| name.as_str());
            roles
                .entry(name)
                .or_default()
                .entry(dataset.to_owned())
                .or_default()
                .push(Cover {
                    prefix: grant.prefix.clone(),
                    starts: grant.starts,
                    expires: grant.expires,
                    grant: index,
                });
        }
        // The narrowest grant speaks first, so that a record names the most telling one; among
        // equals the one that stands first.
        for covers in roles.values_mut().flat_map(HashMap::values_mut) {
            covers.sort_by_key(|cover| (std::cmp::Reverse(cover.prefix.len()), cover.grant));
        }
        Self {
            project: project.clone(),
            roles,
        }
    }

    /// The names under which grants are held, in order.
    pub(super) fn roles(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.roles.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The first grant of `role` that covers `place`, as its index in the subject's list.
    pub(super) fn find(&self, role: &str, place: Place<'_>) -> Option<usize> {
        if place.project != self.project.as_str() {
            return None;
        }
        let scopes = self.roles.get(role)?;
        let of = |scope: &str| {
            let covers = scopes.get(scope)?;
            covers.iter().find(|cover| cover.covers(place))
        };
        let narrow = if place.dataset.is_empty() {
            None
        } else {
            of(place.dataset)
        };
        narrow.or_else(|| of("")).map(|cover| cover.grant)
    }
}

impl Cover {
    fn covers(&self, place: Place<'_>) -> bool {
        place.key.is_none_or(|key| key.starts_with(&self.prefix))
            && is_live(self.starts, self.expires, place.now)
    }
}

/// Whether a window holds `now`: its start is in it, its end is not.
pub(super) fn is_live(starts: Timestamp, expires: Option<Timestamp>, now: Timestamp) -> bool {
    starts <= now && expires.is_none_or(|end| now < end)
}

/// The name under which a grant's lines stand; `None` when it gives nothing.
pub(super) fn held_role(policy: &Policy, grant: &Grant) -> Option<String> {
    let known = policy.lines(&grant.role).is_some();
    match grant.effect {
        GrantEffect::Allow => known.then(|| grant.role.clone()),
        GrantEffect::Deny if known => Some(format!("{DENY}{}", grant.role)),
        GrantEffect::Deny => Some(DENY_UNKNOWN.to_owned()),
    }
}

/// `holds(r.sub, p.role, r.dom, r.dataset, r.key, r.now)`; a value of a wrong type holds nothing.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of casbin's operator functions"
)]
pub(super) fn holds(
    sub: Dynamic,
    role: Dynamic,
    dom: Dynamic,
    dataset: Dynamic,
    key: Dynamic,
    now: Dynamic,
) -> Dynamic {
    let find = || {
        let sub = sub.read_lock::<SubjectValue>()?;
        let role = role.read_lock::<ImmutableString>()?;
        let dom = dom.read_lock::<ImmutableString>()?;
        let dataset = dataset.read_lock::<ImmutableString>()?;
        let key = if key.is_unit() {
            None
        } else {
            Some(key.read_lock::<ImmutableString>()?)
        };
        sub.0.find(
            &role,
            Place {
                project: &dom,
                dataset: &dataset,
                key: key.as_ref().map(|key| key.as_str()),
                now: *now.read_lock::<Timestamp>()?,
            },
        )
    };
    find().is_some().into()
}
