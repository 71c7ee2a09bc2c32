//! Bounds on part tables: of objects that are read, and of copies.
//!
//! Room for those that are held open: an object of 100,000 pieces has one of 10 MB, and who
//! reads it slowly holds that for as long as he reads.
//!
//! Who holds much gets the less of what is left, so that whoever comes finds room
//! ([`limits::TABLES_FREE_PER_CALLER`]). Nobody waits: beyond the room a caller is told to slow
//! down, before anything is handed to him.
//!
//! A copy moves no byte of its object and writes all of its table: what one caller's copies write
//! has a pace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::seal::{Table, sealed_table_bytes};
use crate::types::{PrincipalId, limits};
use crate::vault::error::{ErrorKind, VaultError};
use crate::vault::log::share::answerable;
use crate::vault::{Call, Vault};

const NO_ROOM: VaultError = VaultError::new(
    ErrorKind::SlowDown,
    "what the caller reads is made of too many pieces to read so much of it at once",
);

/// The room of a vault.
pub(in crate::vault) struct Tables {
    state: Mutex<State>,
}

struct State {
    free: u64,
    held: HashMap<Option<PrincipalId>, u64>,
}

/// Room that is taken until this is dropped.
pub(in crate::vault) struct Taken {
    of: Arc<Tables>,
    who: Option<PrincipalId>,
    bytes: u64,
}

impl State {
    fn give(&mut self, who: Option<&PrincipalId>, bytes: u64) -> Option<()> {
        let free = self.free.checked_sub(bytes)?;
        let who = who.cloned();
        let held = self.held.get(&who).copied().unwrap_or_default();
        let most = free / limits::TABLES_FREE_PER_CALLER;
        if held > 0 && held.saturating_add(bytes) > most {
            return None;
        }
        self.free = free;
        self.held.insert(who, held.saturating_add(bytes));
        Some(())
    }
}

impl Tables {
    /// Room for so many bytes.
    pub(in crate::vault) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: bytes,
                held: HashMap::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for so many bytes, for whoever answers for a request (nobody: the host itself).
    pub(in crate::vault) fn take(
        self: &Arc<Self>,
        who: Option<&PrincipalId>,
        bytes: u64,
    ) -> Result<Taken, VaultError> {
        self.state().give(who, bytes).ok_or(NO_ROOM)?;
        Ok(Taken {
            of: Arc::clone(self),
            who: who.cloned(),
            bytes,
        })
    }
}

impl Vault {
    /// That a copy's table may be written now: long ones have a pace. What the host itself does has
    /// none.
    pub(in crate::vault) fn pace_copies(
        &self,
        call: &Call,
        table: &Table,
    ) -> Result<(), VaultError> {
        const TOO_FAST: VaultError = VaultError::new(
            ErrorKind::SlowDown,
            "the caller copies too many pieces too fast",
        );
        let bytes = sealed_table_bytes(table.extents().len());
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let Some(who) = answerable(&call.session) else {
            return Ok(());
        };
        if bytes <= limits::TABLE_SHORT_BYTES
            || self.copiers.take_many(who, bytes / 1024, self.now())
        {
            return Ok(());
        }
        Err(TOO_FAST)
    }
}

impl Taken {
    /// Takes room for so many bytes more.
    pub(in crate::vault) fn grow(&mut self, bytes: u64) -> Result<(), VaultError> {
        let given = self.of.state().give(self.who.as_ref(), bytes);
        given.ok_or(NO_ROOM)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Gives back what is beyond so many bytes.
    pub(in crate::vault) fn shrink(&mut self, bytes: u64) {
        let beyond = self.bytes.saturating_sub(bytes);
        self.give_back(beyond);
        self.bytes = self.bytes.saturating_sub(beyond);
    }

    fn give_back(&self, bytes: u64) {
        let mut state = self.of.state();
        state.free = state.free.saturating_add(bytes);
        let held = state.held.get(&self.who).copied().unwrap_or_default();
        match held.saturating_sub(bytes) {
            0 => state.held.remove(&self.who),
            left => state.held.insert(self.who.clone(), left),
        };
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(room: &Arc<Tables>, who: &str, bytes: u64) -> Option<Taken> {
        room.take(Some(&who.parse().unwrap()), bytes).ok()
    }

    #[test]
    fn one_caller_gets_a_quarter_and_others_find_room() {
        let room = Tables::new(4_096);
        let fill = |who: &str| std::iter::from_fn(|| take(&room, who, 16)).collect::<Vec<_>>();
        let hers = fill("ana");
        assert_eq!(hers.len(), 64);
        let mut all = vec![hers];
        for number in 0..9 {
            let took = fill(&format!("other-{number}"));
            assert!(!took.is_empty(), "{number}");
            all.push(took);
        }
        assert!(room.state().free > 128, "{}", room.state().free);
        assert!(take(&room, "ana", 16).is_none());
        drop(all);
        assert_eq!(room.state().free, 4_096);
        assert!(room.state().held.is_empty());
    }

    #[test]
    fn who_holds_nothing_gets_one_that_fits_and_no_more() {
        let room = Tables::new(100);
        assert!(take(&room, "ana", 101).is_none());
        let large = take(&room, "ana", 90);
        assert!(large.is_some());
        assert!(take(&room, "bea", 20).is_none());
        assert!(take(&room, "bea", 10).is_some());
        assert!(take(&room, "ana", 1).is_none());
    }

    #[test]
    fn what_is_taken_grows_within_the_rule_and_shrinks() {
        let room = Tables::new(100);
        let mut taken = take(&room, "ana", 10).unwrap();
        assert!(taken.grow(30).is_err());
        assert!(taken.grow(10).is_ok());
        assert_eq!(room.state().free, 80);
        taken.shrink(5);
        taken.shrink(50);
        assert_eq!(room.state().free, 95);
        drop(taken);
        assert_eq!(room.state().free, 100);
    }
}
