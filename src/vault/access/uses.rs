//! Which grants and credentials were used of late: a grant where a decision rests on it, whatever
//! that is about, a credential where a request that it signed is recorded. Noted in memory, written
//! to the catalog once a minute or so. A crash loses a minute of it; the log has every use.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::catalog::{Mutation, Uses};
use crate::ledger::Session;
use crate::policy::Decision;
use crate::types::{AccessKeyId, GrantId, Timestamp, limits};
use crate::vault::access::guard::Guard;
use crate::vault::{Vault, VaultError};

/// Last uses since they were written last.
#[derive(Default)]
pub(in crate::vault) struct Recent {
    grants: Table<GrantId>,
    credentials: Table<AccessKeyId>,
}

impl Guard {
    /// Remembers the grant by which something was allowed; where it was noted before, without a
    /// lock that others wait for.
    pub(in crate::vault) fn used(&self, decision: &Decision, now: Timestamp) {
        if let (true, Some(id)) = (decision.allowed, &decision.grant) {
            self.recent.grants.note(id, now);
        }
    }

    /// Remembers a credential that signed a request. Sessions end by themselves and are reviewed by
    /// nobody.
    pub(in crate::vault) fn signed(&self, session: &Session, now: Timestamp) {
        if let (Some(_proved), Some(id)) = (&session.principal, &session.access_key)
            && Vault::can_be_guessed(id)
        {
            self.recent.credentials.note(id, now);
        }
    }
}

struct Table<K>(RwLock<HashMap<K, AtomicU64>>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Clone + Eq + Hash + Ord> Table<K> {
    fn note(&self, id: &K, now: Timestamp) {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = seen.get(id) {
            let _before: u64 = last.fetch_max(now.millis(), Ordering::Relaxed);
            return;
        }
        drop(seen);
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Beyond the bound a use waits for the next writing to be noted; the log has it.
        if seen.len() < limits::USES_MAX {
            let _before = seen.insert(id.clone(), AtomicU64::new(now.millis()));
        }
    }

    fn take(&self) -> Vec<(K, Timestamp)> {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *seen).into_iter();
        let mut rows: Vec<_> = taken
            .map(|(id, last)| (id, Timestamp::from_millis(last.into_inner())))
            .collect();
        rows.sort_unstable();
        rows
    }
}

impl Vault {
    /// Writes the last uses to the catalog; how many there were.
    pub async fn keep_uses(&self) -> Result<usize, VaultError> {
        let recent = &self.guard.recent;
        let uses = Uses {
            grants: recent.grants.take(),
            credentials: recent.credentials.take(),
        };
        let count = uses.grants.len().saturating_add(uses.credentials.len());
        if count > 0 {
            self.commit(vec![Mutation::NoteUses(uses)]).await?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_use_counts_and_is_taken_once() {
        let recent = Recent::default();
        let at = Timestamp::from_millis;
        let id = GrantId::from_bytes([1; 16]);
        for now in [5, 9, 7] {
            recent.grants.note(&id, at(now));
        }
        assert_eq!(recent.grants.take(), [(id, at(9))]);
        assert_eq!(recent.grants.take(), []);
        assert_eq!(recent.credentials.take(), []);
    }
}
