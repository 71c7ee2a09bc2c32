//! The index of one subject's grants, and the function `holds` that the matcher calls.
//!
//! Foreign text (prefixes, keys) is only ever compared here, byte by byte: no pattern, no script.

use std::collections::HashMap;
use std::sync::Arc;

use casbin::rhai::{Dynamic, ImmutableString};

use super::demand::Assurance;
use super::grant::{Circumstances, Grant, GrantEffect, Ground, Standing, Terms};
use super::shelf::Shelf;
use super::source::Policy;
use crate::types::{Action, IpAddr, PartitionName, ProjectName, Timestamp};

/// How casbin names a grant that denies: no role's name holds a colon.
pub(super) const DENY: &str = "deny:";
/// The role of grants that deny and name a role which no file defines. They deny every action:
/// a role that is removed from the policy must not open what was closed by its name.
pub(super) const DENY_UNKNOWN: &str = "deny:?";

/// How casbin names a denying line of a role that a grant gives. Apart from the role's allowing
/// lines, because what denies covers more than what allows ([`Reach`]).
pub(super) const DENY_LINE: &str = "deny-line:";

/// One subject's grants in one project, by role and dataset. Says nothing of time: that is asked.
#[derive(Debug)]
pub(super) struct Held {
    project: ProjectName,
    roles: HashMap<String, HashMap<Scope, Shelf>>,
}

/// A dataset's name, or nothing for the whole project.
type Scope = String;

/// What a grant covers within its dataset.
#[derive(Debug)]
pub(super) struct Cover {
    pub(super) prefix: String,
    pub(super) starts: Timestamp,
    pub(super) ends: Option<Timestamp>,
    /// The one purpose that it allows; a denial is for every purpose.
    pub(super) purpose: Option<String>,
    /// What narrows it; most say nothing.
    pub(super) terms: Option<Terms>,
    /// Where the grant stands in the subject's list.
    pub(super) grant: usize,
}

/// The part of a request that a grant must cover.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) project: &'a str,
    /// The dataset; empty for the project itself.
    pub(super) dataset: &'a str,
    pub(super) key: &'a str,
    pub(super) reach: Reach,
    pub(super) now: Timestamp,
    pub(super) action: Action,
    pub(super) when: Circumstances<'a>,
}

/// What the key of a request stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// One key. A grant covers it whose prefix it begins with.
    Key,
    /// All keys that begin so: a listing, a grant, a whole dataset. What allows must cover all of
    /// them; what denies some of them denies the whole, else a listing would show denied names.
    Region,
    /// That the dataset is there. Any allowing grant on it will do; only a denial of the whole
    /// dataset denies it.
    Existence,
}

/// A key as a value of casbin's script engine.
#[derive(Clone)]
pub(super) struct KeyValue {
    pub(super) key: ImmutableString,
    pub(super) reach: Reach,
}

/// When, what and how it is asked, as a value of casbin's script engine: the model's `r.now`.
#[derive(Clone)]
pub(super) struct MomentValue {
    now: Timestamp,
    action: Action,
    client: Option<IpAddr>,
    purpose: Option<ImmutableString>,
    version: Option<u32>,
    ground: GroundValue,
}

/// [`Ground`], kept.
#[derive(Clone)]
enum GroundValue {
    Elsewhere,
    In(PartitionName),
    Unplaced,
}

impl From<Ground<'_>> for GroundValue {
    fn from(ground: Ground<'_>) -> Self {
        match ground {
            Ground::Elsewhere => Self::Elsewhere,
            Ground::In(partition) => Self::In(partition.clone()),
            Ground::Unplaced => Self::Unplaced,
        }
    }
}

impl GroundValue {
    const fn told(&self) -> Ground<'_> {
        match self {
            Self::Elsewhere => Ground::Elsewhere,
            Self::In(partition) => Ground::In(partition),
            Self::Unplaced => Ground::Unplaced,
        }
    }
}

impl MomentValue {
    pub(super) fn of(place: &Place<'_>) -> Self {
        let Circumstances {
            client,
            purpose,
            version,
            within: _,
            assurance: _,
            ground,
        } = place.when;
        Self {
            now: place.now,
            action: place.action,
            client,
            purpose: purpose.map(Into::into),
            version,
            ground: ground.into(),
        }
    }
}

/// The subject as a value of casbin's script engine.
#[derive(Clone)]
pub(super) struct SubjectValue(pub(super) Arc<Held>);

impl Held {
    /// Files the grants under the names that lines use; those that give nothing are left out.
    pub(super) fn new(policy: &Policy, project: &ProjectName, grants: &[Grant]) -> Self {
        let mut roles: HashMap<String, HashMap<Scope, Vec<Cover>>> = HashMap::new();
        for (index, grant) in grants.iter().enumerate() {
            if grant.terms.standing == Standing::Proposed {
                continue;
            }
            let terms = (grant.terms != Terms::default()).then_some(&grant.terms);
            let dataset = grant.dataset.as_ref().map_or("", |name| name.as_str());
            for name in held_roles(policy, grant) {
                roles
                    .entry(name)
                    .or_default()
                    .entry(dataset.to_owned())
                    .or_default()
                    .push(Cover {
                        prefix: grant.prefix.clone(),
                        starts: grant.starts,
                        ends: grant.ends(),
                        purpose: grant.purpose.clone(),
                        terms: terms.cloned(),
                        grant: index,
                    });
            }
        }
        let shelved = |(role, scopes): (String, HashMap<Scope, Vec<Cover>>)| {
            let denies = denies(&role);
            let scopes = scopes.into_iter();
            let scopes = scopes.map(|(scope, covers)| (scope, Shelf::new(covers, denies)));
            (role, scopes.collect())
        };
        Self {
            project: project.clone(),
            roles: roles.into_iter().map(shelved).collect(),
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
        let of = |scope: &str| scopes.get(scope)?.find(&place, denies(role));
        if place.dataset.is_empty() {
            let all = || scopes.values().filter_map(|shelf| shelf.find(&place, true));
            // The first in the subject's list: a map has no order.
            let part = || denies(role).then(|| all().min()).flatten();
            return of("").or_else(|| part().filter(|_| place.is_over_parts()));
        }
        of(place.dataset).or_else(|| of(""))
    }
}

/// Whether lines under this name deny: no role's own name holds a colon.
fn denies(role: &str) -> bool {
    role.contains(':')
}

impl Cover {
    pub(super) fn covers(&self, place: Place<'_>, denies: bool) -> bool {
        place.is_within(&self.prefix, denies)
            && is_live(self.starts, self.ends, place.now)
            && (denies || place.is_for(self.purpose.as_deref()))
            && self
                .terms
                .as_ref()
                .and_then(|terms| terms.exclude((place.action, denies), &place.when))
                .is_none()
    }
}

impl Place<'_> {
    /// Whether what denies on one dataset denies this too: it is asked of a project, and of all
    /// that lies in it.
    pub(super) fn is_over_parts(&self) -> bool {
        self.dataset.is_empty() && self.reach == Reach::Region
    }

    /// Whether a grant of this purpose serves the one that the caller's credential is for.
    pub(super) fn is_for(&self, purpose: Option<&str>) -> bool {
        self.when.purpose.is_none() || self.when.purpose == purpose
    }

    /// Whether a grant over `prefix` that allows (or denies) covers the key; see [`Reach`].
    pub(super) fn is_within(&self, prefix: &str, denies: bool) -> bool {
        match (self.reach, denies) {
            (Reach::Key, _) | (Reach::Region, false) => self.key.starts_with(prefix),
            (Reach::Region, true) => self.key.starts_with(prefix) || prefix.starts_with(self.key),
            (Reach::Existence, denies) => !denies || prefix.is_empty(),
        }
    }
}

/// Whether a window holds `now`: its start is in it, its end is not.
pub(super) fn is_live(starts: Timestamp, expires: Option<Timestamp>, now: Timestamp) -> bool {
    starts <= now && expires.is_none_or(|end| now < end)
}

/// The names under which a grant's lines stand; none when it gives nothing.
fn held_roles(policy: &Policy, grant: &Grant) -> Vec<String> {
    let Some(lines) = policy.lines(&grant.role) else {
        return match grant.effect {
            GrantEffect::Allow => Vec::new(),
            GrantEffect::Deny => vec![DENY_UNKNOWN.to_owned()],
        };
    };
    match grant.effect {
        GrantEffect::Deny => vec![format!("{DENY}{}", grant.role)],
        GrantEffect::Allow if lines.iter().any(|line| line.effect == GrantEffect::Deny) => {
            vec![grant.role.clone(), format!("{DENY_LINE}{}", grant.role)]
        }
        GrantEffect::Allow => vec![grant.role.clone()],
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
        let key = key.read_lock::<KeyValue>()?;
        let moment = now.read_lock::<MomentValue>()?;
        sub.0.find(
            &role,
            Place {
                project: &dom,
                dataset: &dataset,
                key: &key.key,
                reach: key.reach,
                now: moment.now,
                action: moment.action,
                when: Circumstances {
                    client: moment.client,
                    purpose: moment.purpose.as_deref(),
                    version: moment.version,
                    within: None,
                    assurance: Assurance::default(),
                    ground: moment.ground.told(),
                },
            },
        )
    };
    find().is_some().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testkit::{NOW, builtin, grant, project};

    /// Decisions check the project first; the index does not rely on it.
    #[test]
    fn an_index_answers_for_its_own_project_only() {
        let grants = [grant(1, "reader", "*")];
        let held = Held::new(&builtin(), &project("icu"), &grants);
        let at = |project| Place {
            project,
            dataset: "ecg",
            key: "a",
            reach: Reach::Key,
            now: NOW,
            action: Action::ObjectRead,
            when: Circumstances::default(),
        };
        assert_eq!(held.find("reader", at("icu")), Some(0));
        for other in ["icu-2", "ic", "", "*"] {
            assert_eq!(held.find("reader", at(other)), None, "{other}");
        }
        assert_eq!(held.find("owner", at("icu")), None);
    }
}
