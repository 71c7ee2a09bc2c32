//! How long records are kept, and whether their time is over. A record that belongs to two projects
//! is kept as long as either asks; what belongs to none, as long as the longest.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use super::scope::Scope;
use crate::types::limits::LOG_KEPT_DAYS;
use crate::types::{ProjectName, Timestamp};

/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// For how many days each project's records are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    days: BTreeMap<ProjectName, u32>,
    longest: u32,
    shortest: u32,
}

impl Kept {
    /// Of these projects.
    #[must_use]
    pub fn new(days: impl IntoIterator<Item = (ProjectName, u32)>) -> Self {
        let days: BTreeMap<ProjectName, u32> = days.into_iter().collect();
        let most = days.values().copied().max().unwrap_or(0);
        let least = days.values().copied().min().unwrap_or(u32::MAX);
        Self {
            days,
            longest: most.max(LOG_KEPT_DAYS),
            shortest: least.min(LOG_KEPT_DAYS),
        }
    }

    /// The scopes whose terms are known.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let projects = self.days.keys().cloned().map(Scope::Project);
        projects.chain(std::iter::once(Scope::Vault))
    }

    /// For how many days a scope's records are kept; one of which nothing is known, as long as any.
    #[must_use]
    pub fn days(&self, scope: &Scope) -> u32 {
        match scope {
            Scope::Vault => self.longest,
            Scope::Project(name) => self.days.get(name).copied().unwrap_or(self.longest),
        }
    }

    /// What was recorded at this moment or later is not over for any scope.
    #[must_use]
    pub fn any_since(&self, now: Timestamp) -> Timestamp {
        back(now, self.shortest)
    }

    /// All terms in one word, which is another one where any of them is.
    #[must_use]
    pub fn terms(&self) -> String {
        let mut context = Context::new(&SHA256);
        for (name, days) in &self.days {
            context.update(format!("{name} {days}\n").as_bytes());
        }
        HEXLOWER.encode(context.finish().as_ref())
    }

    /// What came into the log before this moment is over.
    #[must_use]
    pub fn since(&self, scope: &Scope, now: Timestamp) -> Timestamp {
        back(now, self.days(scope))
    }
}

#[expect(
    clippy::as_conversions,
    reason = "a wider number, in a constant function"
)]
const fn wide(days: u32) -> u64 {
    days as u64
}

/// So many days before a moment.
#[must_use]
pub const fn back(now: Timestamp, days: u32) -> Timestamp {
    let days = DAY_MS.saturating_mul(wide(days));
    Timestamp::from_millis(now.millis().saturating_sub(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> Scope {
        Scope::Project(name.parse().unwrap())
    }

    #[test]
    fn each_project_has_its_own_time_and_the_vault_the_longest() {
        let terms = [("icu", 400), ("lab", 4_000)];
        let kept = Kept::new(terms.map(|(name, days)| (name.parse().unwrap(), days)));
        assert_eq!(kept.days(&project("icu")), 400);
        assert_eq!(kept.days(&project("lab")), 4_000);
        // Nothing is known of it, or it belongs to none.
        assert_eq!(kept.days(&project("gone")), 4_000);
        assert_eq!(kept.days(&Scope::Vault), 4_000);
        let now = Timestamp::from_millis(DAY_MS * 10_000);
        let at = |day| Timestamp::from_millis(DAY_MS * day);
        assert_eq!(kept.since(&project("icu"), now), at(9_600));
        assert_eq!(kept.any_since(now), at(9_600));
        assert_eq!(kept.scopes().count(), 3);
        let other = Kept::new(terms.map(|(name, days)| (name.parse().unwrap(), days + 1)));
        assert_ne!(kept.terms(), other.terms());
        let none = Kept::new([]);
        assert_eq!(none.days(&Scope::Vault), LOG_KEPT_DAYS);
        // A clock at the epoch lets nothing go.
        assert_eq!(none.since(&Scope::Vault, at(3)), at(0));
    }
}
