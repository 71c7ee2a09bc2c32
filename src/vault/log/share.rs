//! How many requests one caller may have between intent and completion. The journal keeps room for
//! so many in all; readers who stall, however honest, take it from nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::Session;
use crate::types::PrincipalId;
use crate::vault::error::{ErrorKind, VaultError};

const TOO_MANY: VaultError = VaultError::new(
    ErrorKind::SlowDown,
    "the caller has as many requests under way as one may",
);

/// The requests that each caller has under way.
pub(in crate::vault) struct Shares {
    most: usize,
    open: Mutex<HashMap<PrincipalId, usize>>,
}

/// A place among those of its caller, until it is dropped.
pub(in crate::vault) struct Share {
    of: Arc<Shares>,
    who: PrincipalId,
}

/// Who answers for a session: a workload's person, else whoever it is; nobody for the host itself.
pub(in crate::vault) fn answerable(session: &Session) -> Option<&PrincipalId> {
    session.responsible.as_ref().or(session.principal.as_ref())
}

impl Shares {
    /// At most so many for each.
    pub(in crate::vault) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<PrincipalId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for whoever answers for a session: a workload's person has no more by having many.
    /// What the host itself does is not bounded here.
    pub(in crate::vault) fn take(
        self: &Arc<Self>,
        session: &Session,
    ) -> Result<Option<Share>, VaultError> {
        let Some(who) = answerable(session) else {
            return Ok(None);
        };
        let mut open = self.open();
        if let Some(count) = open.get_mut(who) {
            if *count >= self.most {
                return Err(TOO_MANY);
            }
            *count = count.saturating_add(1);
        } else {
            open.insert(who.clone(), 1);
        }
        drop(open);
        Ok(Some(Share {
            of: Arc::clone(self),
            who: who.clone(),
        }))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.of.open();
        if let Some(count) = open.get_mut(&self.who) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples;

    fn session(principal: &str, responsible: Option<&str>) -> Session {
        Session {
            principal: Some(principal.parse().unwrap()),
            responsible: responsible.map(|who| who.parse().unwrap()),
            ..samples::session()
        }
    }

    #[test]
    fn one_caller_has_so_many_and_another_has_her_own() {
        let shares = Shares::new(2);
        let ana = session("ana", None);
        let mut held: Vec<_> = (0..2).map(|_| shares.take(&ana).ok().unwrap()).collect();
        let refused = shares.take(&ana).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::SlowDown);
        let _hers = shares.take(&session("bea", None)).ok().unwrap();
        held.pop();
        held.push(shares.take(&ana).ok().unwrap());
        assert!(shares.take(&ana).is_err());
    }

    #[test]
    fn a_persons_workloads_are_one_caller() {
        let shares = Shares::new(2);
        let _first = shares.take(&session("train", Some("ana"))).ok().unwrap();
        let _second = shares.take(&session("score", Some("ana"))).ok().unwrap();
        assert!(shares.take(&session("third", Some("ana"))).is_err());
        assert!(shares.take(&session("ana", None)).is_err());
        assert!(shares.take(&session("train", Some("bea"))).is_ok());
    }

    #[test]
    fn who_has_nothing_under_way_is_forgotten() {
        let shares = Shares::new(2);
        drop(shares.take(&session("ana", None)));
        assert!(shares.open().is_empty());
        let nobody = Session {
            principal: None,
            responsible: None,
            ..samples::session()
        };
        for _ in 0..10 {
            assert!(shares.take(&nobody).ok().unwrap().is_none());
        }
    }
}
