//! Why a question was decided as it was: every grant of the subject, and why it applied or not.

use std::fmt;

use super::decide::{Ask, Decision, SubjectPolicy, place};
use super::grant::{Excluded, Grant, GrantEffect, Standing};
use super::held::is_live;
use crate::types::{Action, GrantId, Timestamp};

/// A decision and what it was made of. For people: a decision alone is cheaper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The decision, the same that [`SubjectPolicy::decide`] gives.
    pub decision: Decision,
    /// The subject's grants in order of identity.
    pub considered: Vec<Considered>,
}

/// One grant and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Considered {
    /// Which grant.
    pub grant: GrantId,
    /// Its role, as the grant has it: foreign text.
    pub role: String,
    /// Whether it allows or denies.
    pub effect: GrantEffect,
    /// What became of it.
    pub verdict: Verdict,
}

/// What keeps a grant from allowing that would; the nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Near {
    /// It is for other networks, or for jobs on other partitions.
    Elsewhere,
    /// It has not begun.
    NotYet,
    /// It has ended, or lapsed.
    Over,
}

/// Why a grant applied or did not: the first reason that holds, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The question was put to a view of another project or subject: nothing was considered.
    NotAsked,
    /// No file defines its role. A grant that allows gives nothing then; one that denies denies
    /// everything, and has this reason only where it does not cover what is asked.
    RoleUnknown,
    /// It is for another dataset, or for a dataset where the whole project is asked about.
    OtherDataset,
    /// What is asked does not begin with its prefix.
    PrefixDiffers,
    /// It starts later.
    NotYet {
        /// When.
        starts: Timestamp,
    },
    /// It is over.
    Expired {
        /// Since when.
        expires: Timestamp,
    },
    /// No review confirmed it in time.
    Lapsed {
        /// Since when.
        lapsed: Timestamp,
    },
    /// Nobody approved it yet.
    Proposed,
    /// It is for another purpose than the caller's credential.
    OtherPurpose,
    /// It is not for the network that the request comes from.
    OtherNetwork,
    /// It is for jobs on nodes of other partitions.
    OtherPartition,
    /// It is for other actions of its role.
    OtherAction,
    /// It is for another version of the dataset.
    OtherVersion,
    /// Its role does not speak of the action.
    RoleLacksAction,
    /// It covers what is asked, but a condition of the model excludes the question.
    ModelExcludes,
    /// It covers what is asked and allows it; a denial still overrides.
    Allows,
    /// It covers what is asked and denies it.
    Denies,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked: another project or subject"),
            Self::RoleUnknown => f.write_str("its role is not in the policy"),
            Self::OtherDataset => f.write_str("it is for another dataset"),
            Self::PrefixDiffers => f.write_str("the key does not begin with its prefix"),
            Self::NotYet { starts } => write!(f, "it starts at {starts}"),
            Self::Expired { expires } => write!(f, "it ended at {expires}"),
            Self::Lapsed { lapsed } => write!(f, "no review confirmed it; it lapsed at {lapsed}"),
            Self::Proposed => f.write_str("it waits for approval"),
            Self::OtherPurpose => f.write_str("it is for another purpose"),
            Self::OtherNetwork => f.write_str("it is not for where the request comes from"),
            Self::OtherPartition => f.write_str("it is for jobs on other partitions"),
            Self::OtherAction => f.write_str("it does not name the action"),
            Self::OtherVersion => f.write_str("it is for another version"),
            Self::RoleLacksAction => f.write_str("its role does not have the action"),
            Self::ModelExcludes => f.write_str("a condition of the model excludes the request"),
            Self::Allows => f.write_str("it allows"),
            Self::Denies => f.write_str("it denies"),
        }
    }
}

impl SubjectPolicy {
    /// Decides and says why.
    #[must_use]
    pub fn explain(&self, ask: &Ask<'_>) -> Explanation {
        let decision = self.decide(ask);
        let asked = self.is_about(ask);
        let considered = (0..self.grants.len())
            .filter_map(|index| self.consider(index, ask, asked, &decision))
            .collect();
        Explanation {
            decision,
            considered,
        }
    }

    /// Of a question that no line allows or denies: what keeps that grant of the subject from
    /// allowing it which comes nearest, because it holds from elsewhere, later, or did before.
    #[must_use]
    pub fn nearly(&self, ask: &Ask<'_>, decision: &Decision) -> Option<Near> {
        if decision.allowed || !decision.rule.is_empty() || !self.is_about(ask) {
            return None;
        }
        let near = |(index, grant): (usize, &Grant)| {
            let (allows, _) = self.effects(grant, ask.action);
            let verdict = self.verdict(index, ask, decision).filter(|_| allows)?;
            match verdict {
                Verdict::OtherNetwork | Verdict::OtherPartition => Some(Near::Elsewhere),
                Verdict::NotYet { .. } => Some(Near::NotYet),
                Verdict::Expired { .. } | Verdict::Lapsed { .. } => Some(Near::Over),
                Verdict::NotAsked
                | Verdict::RoleUnknown
                | Verdict::OtherDataset
                | Verdict::PrefixDiffers
                | Verdict::Proposed
                | Verdict::OtherPurpose
                | Verdict::OtherAction
                | Verdict::OtherVersion
                | Verdict::RoleLacksAction
                | Verdict::ModelExcludes
                | Verdict::Allows
                | Verdict::Denies => None,
            }
        };
        self.grants.iter().enumerate().filter_map(near).min()
    }

    fn consider(
        &self,
        index: usize,
        ask: &Ask<'_>,
        asked: bool,
        decision: &Decision,
    ) -> Option<Considered> {
        let grant = self.grants.get(index)?;
        let verdict = if asked {
            self.verdict(index, ask, decision)?
        } else {
            Verdict::NotAsked
        };
        Some(Considered {
            grant: grant.id,
            role: grant.role.clone(),
            effect: grant.effect,
            verdict,
        })
    }

    fn verdict(&self, index: usize, ask: &Ask<'_>, decision: &Decision) -> Option<Verdict> {
        let grant = self.grants.get(index)?;
        if grant.terms.standing == Standing::Proposed {
            return Some(Verdict::Proposed);
        }
        let place = place(ask);
        let (can_allow, can_deny) = self.effects(grant, ask.action);
        if self.policy.lines(&grant.role).is_none() && !can_deny {
            return Some(Verdict::RoleUnknown);
        }
        let part = can_deny && place.is_over_parts();
        if !part && grant.dataset.is_some() && grant.dataset.as_ref() != ask.dataset {
            return Some(Verdict::OtherDataset);
        }
        let whole = grant.dataset.as_ref() == ask.dataset || grant.dataset.is_none();
        let allows = whole && place.is_within(&grant.prefix, false);
        let denies = can_deny && place.is_within(&grant.prefix, true);
        if !denies && !allows {
            return Some(Verdict::PrefixDiffers);
        }
        if !is_live(grant.starts, grant.ends(), ask.now) {
            return Some(match (grant.expires, grant.ends()) {
                (Some(expires), _) if expires <= ask.now => Verdict::Expired { expires },
                (_, Some(lapsed)) if lapsed <= ask.now => Verdict::Lapsed { lapsed },
                _ => Verdict::NotYet {
                    starts: grant.starts,
                },
            });
        }
        let excluded = |denies| grant.terms.exclude((ask.action, denies), &ask.when);
        let denies = denies && excluded(true).is_none();
        let allows = allows && excluded(false).is_none() && place.is_for(grant.purpose.as_deref());
        if !denies && !allows {
            return Some(match excluded(can_deny) {
                Some(Excluded::Network) => Verdict::OtherNetwork,
                Some(Excluded::Partition) => Verdict::OtherPartition,
                Some(Excluded::Action) => Verdict::OtherAction,
                Some(Excluded::Version) => Verdict::OtherVersion,
                None => Verdict::OtherPurpose,
            });
        }
        let allows = can_allow && allows;
        if !denies && !allows {
            return Some(if can_deny {
                Verdict::PrefixDiffers
            } else {
                Verdict::RoleLacksAction
            });
        }
        // A grant applies and yet no line did: only the model's further conditions can do that.
        if !decision.allowed && decision.rule.is_empty() {
            return Some(Verdict::ModelExcludes);
        }
        Some(if denies {
            Verdict::Denies
        } else {
            Verdict::Allows
        })
    }

    /// Whether a grant has something that allows the action, and something that denies it.
    fn effects(&self, grant: &Grant, action: Action) -> (bool, bool) {
        let Some(lines) = self.policy.lines(&grant.role) else {
            return (false, grant.effect == GrantEffect::Deny);
        };
        let says = |effect| {
            lines
                .iter()
                .any(|line| line.action == action && line.effect == effect)
        };
        let (allow, deny) = (says(GrantEffect::Allow), says(GrantEffect::Deny));
        match grant.effect {
            GrantEffect::Allow => (allow, deny),
            GrantEffect::Deny => (false, allow || deny),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testkit::{NOW, ana, builtin, dataset, deny, grant, person, project};
    use crate::policy::{Circumstances, Policy, PolicySource, Terms};

    fn narrowed(id: u8, narrow: impl FnOnce(&mut Terms)) -> Grant {
        let mut grant = grant(id, "reader", "ecg");
        narrow(&mut grant.terms);
        grant
    }

    #[test]
    fn every_reason_is_given() {
        let later = NOW.plus_millis(1);
        let grants = vec![
            grant(1, "nobody", "*"),
            grant(2, "reader", "mri"),
            grant(3, "reader", "ecg/b/"),
            Grant {
                starts: later,
                ..grant(4, "reader", "ecg")
            },
            Grant {
                expires: Some(NOW),
                ..grant(5, "reader", "ecg")
            },
            grant(6, "depositor", "ecg"),
            grant(7, "reader", "ecg/a/"),
            deny(8, "job", "*"),
            deny(9, "nobody", "ecg"),
            narrowed(10, |terms| terms.standing = Standing::Proposed),
            narrowed(11, |terms| terms.lapses = Some(NOW)),
            narrowed(12, |terms| {
                terms.networks = vec!["10.0.0.0/8".parse().unwrap()];
            }),
            narrowed(13, |terms| terms.actions = vec![Action::ObjectHead]),
            narrowed(14, |terms| terms.version = Some(3)),
        ];
        let view = ana(&builtin(), grants);
        let (icu, ana, ecg) = (project("icu"), person("ana"), dataset("ecg"));
        let mut ask = Ask {
            project: &icu,
            principal: &ana,
            dataset: Some(&ecg),
            key: "a/1",
            action: Action::ObjectRead,
            now: NOW,
            when: Circumstances::default(),
        };
        let explained = view.explain(&ask);
        assert!(!explained.decision.allowed);
        let verdicts: Vec<_> = explained.considered.iter().map(|c| c.verdict).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::RoleUnknown,
                Verdict::OtherDataset,
                Verdict::PrefixDiffers,
                Verdict::NotYet { starts: later },
                Verdict::Expired { expires: NOW },
                Verdict::RoleLacksAction,
                Verdict::Allows,
                Verdict::Denies,
                Verdict::Denies,
                Verdict::Proposed,
                Verdict::Lapsed { lapsed: NOW },
                Verdict::OtherNetwork,
                Verdict::OtherAction,
                Verdict::OtherVersion,
            ]
        );
        ask.when.purpose = Some("another");
        let for_another = view.explain(&ask).considered;
        assert_eq!(for_another[6].verdict, Verdict::OtherPurpose);
        assert_eq!(for_another[7].verdict, Verdict::Denies);
        let bob = person("bob");
        ask.principal = &bob;
        let of_bob = view.explain(&ask).considered;
        assert!(of_bob.iter().all(|c| c.verdict == Verdict::NotAsked));
    }

    /// To the holder alone, of what her grant is about alone, and never beside a denial.
    #[test]
    fn what_comes_nearest_is_told_and_nothing_else() {
        let over = |id, on| Grant {
            expires: Some(NOW),
            ..grant(id, "reader", on)
        };
        let soon = Grant {
            starts: NOW.plus_millis(1),
            ..grant(2, "reader", "ecg")
        };
        let away = narrowed(3, |terms| {
            terms.networks = vec!["10.0.0.0/8".parse().unwrap()];
        });
        let lapsed = narrowed(4, |terms| terms.lapses = Some(NOW));
        let proposed = narrowed(5, |terms| terms.standing = Standing::Proposed);
        let read = Action::ObjectRead;
        let cases = [
            (vec![], read, "ecg/a", None),
            (vec![over(1, "ecg")], read, "ecg/a", Some(Near::Over)),
            (vec![over(1, "*")], read, "absent/a", Some(Near::Over)),
            (vec![lapsed], read, "ecg/a", Some(Near::Over)),
            (vec![soon.clone()], read, "ecg/a", Some(Near::NotYet)),
            (
                vec![over(1, "ecg"), soon.clone()],
                read,
                "ecg/a",
                Some(Near::NotYet),
            ),
            (
                vec![away.clone(), soon],
                read,
                "ecg/a",
                Some(Near::Elsewhere),
            ),
            (vec![over(1, "mri")], read, "ecg/a", None),
            (vec![over(1, "ecg/b/")], read, "ecg/a", None),
            (vec![over(1, "ecg")], Action::ObjectWrite, "ecg/a", None),
            (vec![away], Action::ObjectWrite, "ecg/a", None),
            (vec![proposed], read, "ecg/a", None),
            (
                vec![over(1, "ecg"), deny(6, "reader", "ecg")],
                read,
                "ecg/a",
                None,
            ),
            (
                vec![over(1, "ecg"), grant(7, "reader", "ecg")],
                read,
                "ecg/a",
                None,
            ),
        ];
        let (icu, bob) = (project("icu"), person("bob"));
        for (number, (grants, action, on, told)) in cases.into_iter().enumerate() {
            let view = ana(&builtin(), grants);
            let (name, key) = on.split_once('/').unwrap();
            let (name, whose) = (dataset(name), person("ana"));
            let mut ask = Ask {
                project: &icu,
                principal: &whose,
                dataset: Some(&name),
                key,
                action,
                now: NOW,
                when: Circumstances::default(),
            };
            let near = view.nearly(&ask, &view.decide(&ask));
            assert_eq!(near, told, "case {number}");
            ask.principal = &bob;
            assert_eq!(view.nearly(&ask, &view.decide(&ask)), None, "case {number}");
        }
    }

    #[test]
    fn a_condition_of_the_model_is_a_reason_too() {
        let mut source = PolicySource::builtin();
        source.model = source
            .model
            .replace("r.now)\n", "r.now) && r.dataset != \"ecg\"\n");
        let policy = Policy::compile(&source).unwrap().into();
        let view = ana(
            &policy,
            vec![grant(1, "reader", "*"), grant(2, "auditor", "*")],
        );
        let (icu, ana, ecg) = (project("icu"), person("ana"), dataset("ecg"));
        let explained = view.explain(&Ask {
            project: &icu,
            principal: &ana,
            dataset: Some(&ecg),
            key: "a",
            action: Action::ObjectRead,
            now: NOW,
            when: Circumstances::default(),
        });
        let verdicts: Vec<_> = explained.considered.iter().map(|c| c.verdict).collect();
        assert_eq!(verdicts, [Verdict::ModelExcludes, Verdict::RoleLacksAction]);
    }
}
