//! Room for what packs have fetched and nobody has taken yet: a client that reads nothing of its
//! answers holds little, and thousands of them together no more than the room.
//!
//! Who holds much gets the less of what is left, so whoever comes finds some: a caller among the
//! others, and an answer among its caller's ([`limits::PACKS_FREE_PER_CALLER`],
//! [`limits::PACKS_SHARE_PER_ANSWER`]). Who holds nothing gets the one object that it goes on by.
//! Those who wait are served in order, as far as what they ask for fits.
//!
//! Nobody waits for ever: what is held is given back when it is sent, or when its answer ends, and
//! each answer ends by itself ([`super::ending`]). An answer asks for one object after the other,
//! in the order in which it sends them, so none waits for what it holds itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::types::{PrincipalId, limits};

/// The room of a vault.
pub(in crate::vault) struct Room {
    state: Mutex<State>,
}

struct State {
    free: u64,
    /// Those who have answers under way.
    callers: HashMap<Option<PrincipalId>, Arc<Caller>>,
    waiting: VecDeque<Waiter>,
}

/// What one caller has. Changed under the room's lock alone.
#[derive(Default)]
struct Caller {
    answers: AtomicUsize,
    held: AtomicU64,
}

struct Waiter {
    desk: Arc<Desk>,
    bytes: u64,
    turn: Arc<Notify>,
}

/// One answer's place in the room.
pub(super) struct Desk {
    room: Arc<Room>,
    who: Option<PrincipalId>,
    caller: Arc<Caller>,
    held: AtomicU64,
}

/// Room that is taken, or waited for, until this is dropped.
pub(super) struct Taken {
    desk: Arc<Desk>,
    bytes: u64,
    /// Set while it is waited for.
    turn: Option<Arc<Notify>>,
}

impl Room {
    /// Room for so many bytes.
    pub(in crate::vault) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: bytes,
                callers: HashMap::new(),
                waiting: VecDeque::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an answer of this caller's.
    pub(super) fn desk(self: &Arc<Self>, who: Option<PrincipalId>) -> Arc<Desk> {
        let caller = {
            let mut state = self.state();
            let caller = state.callers.entry(who.clone()).or_default();
            caller.answers.fetch_add(1, Ordering::Relaxed);
            Arc::clone(caller)
        };
        Arc::new(Desk {
            room: Arc::clone(self),
            who,
            caller,
            held: AtomicU64::new(0),
        })
    }
}

impl State {
    /// Gives the room for so many bytes, if the rule allows it.
    fn give(&mut self, desk: &Desk, bytes: u64) -> bool {
        let Some(free) = self.free.checked_sub(bytes) else {
            return false;
        };
        let (caller, answer) = (&desk.caller.held, &desk.held);
        let of_caller = caller.load(Ordering::Relaxed);
        let of_answer = answer.load(Ordering::Relaxed);
        let share = free / limits::PACKS_FREE_PER_CALLER;
        let left = share.saturating_sub(of_caller);
        let ahead = left / limits::PACKS_SHARE_PER_ANSWER;
        let fits = (of_caller == 0 || bytes <= left)
            && (of_answer == 0 || of_answer.saturating_add(bytes) <= ahead);
        if fits {
            self.free = free;
            caller.fetch_add(bytes, Ordering::Relaxed);
            answer.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Gives what fits to those who wait.
    fn serve(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|waiter| {
            let given = self.give(&waiter.desk, waiter.bytes);
            if given {
                waiter.turn.notify_one();
            }
            !given
        });
        self.waiting = waiting;
    }
}

impl Desk {
    /// Takes room for so many bytes, as soon as there is some.
    pub(super) async fn take(self: &Arc<Self>, bytes: u64) -> Taken {
        let mut taken = Taken {
            desk: Arc::clone(self),
            bytes,
            turn: None,
        };
        let turn = {
            let mut state = self.room.state();
            // Who comes later passes nobody whom it could keep waiting.
            if state.waiting.is_empty() && state.give(self, bytes) {
                return taken;
            }
            let turn = Arc::new(Notify::new());
            taken.turn = Some(Arc::clone(&turn));
            state.waiting.push_back(Waiter {
                desk: Arc::clone(self),
                bytes,
                turn: Arc::clone(&turn),
            });
            state.serve();
            turn
        };
        turn.notified().await;
        taken.turn = None;
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let desk = &self.desk;
        let mut state = desk.room.state();
        if let Some(turn) = &self.turn {
            let mut waiting = state.waiting.iter();
            if let Some(at) = waiting.position(|waiter| Arc::ptr_eq(&waiter.turn, turn)) {
                state.waiting.remove(at);
                return;
            }
        }
        state.free = state.free.saturating_add(self.bytes);
        desk.caller.held.fetch_sub(self.bytes, Ordering::Relaxed);
        desk.held.fetch_sub(self.bytes, Ordering::Relaxed);
        if !state.waiting.is_empty() {
            state.serve();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let mut state = self.room.state();
        if self.caller.answers.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.callers.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const KIB: u64 = 1024;
    const ALL: u64 = 64 * 1024;

    fn desk(room: &Arc<Room>, who: &str) -> Arc<Desk> {
        room.desk(Some(who.parse().unwrap()))
    }

    /// What an answer gets at once, in pieces of this size, until it would wait.
    fn fill(desk: &Arc<Desk>, bytes: u64) -> Vec<Taken> {
        std::iter::from_fn(|| desk.take(bytes).now_or_never()).collect()
    }

    fn held(taken: &[Taken]) -> u64 {
        taken.iter().map(|one| one.bytes).sum()
    }

    #[test]
    fn one_caller_gets_a_quarter_however_many_answers_she_leaves_lying() {
        let room = Room::new(ALL);
        let mut all = Vec::new();
        let mut last = ALL;
        for answer in 0..200 {
            let took = fill(&desk(&room, "ana"), KIB);
            assert!(held(&took) <= last, "{answer}: the later, the less");
            last = held(&took);
            all.extend(took);
        }
        assert!(held(&all) <= ALL / 4, "{}", held(&all));
        assert!(held(&all) >= ALL / 5, "{}", held(&all));
        assert_eq!(last, 0, "it waits");
        // Another one has her own, and reads ahead.
        let hers = fill(&desk(&room, "bea"), KIB);
        assert!(hers.len() > 1);
    }

    #[test]
    fn whoever_comes_finds_room_whatever_ten_others_hold() {
        let room = Room::new(ALL);
        let mut all = Vec::new();
        for caller in 0..11 {
            for answer in 0..100 {
                let took = fill(&desk(&room, &format!("caller-{caller}")), KIB);
                assert!(answer > 0 || !took.is_empty(), "{caller} gets nothing");
                all.extend(took);
            }
        }
        assert!(held(&all) <= ALL);
        assert_eq!(room.state().free, ALL - held(&all));
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back_in_order() {
        let room = Room::new(10 * KIB);
        let (ana, bea, cleo) = (desk(&room, "ana"), desk(&room, "bea"), desk(&room, "cleo"));
        let first = ana.take(8 * KIB).await;
        let mut second = Box::pin(bea.take(4 * KIB));
        let mut third = Box::pin(cleo.take(8 * KIB));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        let second = second.now_or_never().expect("her turn");
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        assert!(third.now_or_never().is_some());
        assert_eq!(room.state().free, 10 * KIB);
    }

    #[tokio::test]
    async fn what_fits_is_not_kept_waiting_by_what_does_not() {
        let room = Room::new(ALL);
        let ana = desk(&room, "ana");
        let held = fill(&ana, KIB);
        let mut more = Box::pin(ana.take(KIB));
        assert!((&mut more).now_or_never().is_none());
        let other = desk(&room, "ana").take(KIB).now_or_never();
        assert!(other.is_some(), "her other answer goes on");
        assert!(desk(&room, "bea").take(KIB).now_or_never().is_some());
        drop(held);
        assert!(more.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let room = Room::new(4 * KIB);
        let (ana, bea) = (desk(&room, "ana"), desk(&room, "bea"));
        let first = ana.take(4 * KIB).await;
        let mut waits = Box::pin(bea.take(KIB));
        assert!((&mut waits).now_or_never().is_none());
        drop(waits);
        assert!(room.state().waiting.is_empty());
        // It was given and nobody heard of it.
        let mut waits = Box::pin(bea.take(KIB));
        assert!((&mut waits).now_or_never().is_none());
        drop(first);
        assert_eq!(room.state().free, 3 * KIB);
        drop(waits);
        assert_eq!(room.state().free, 4 * KIB);
        drop((ana, bea));
        assert!(room.state().callers.is_empty());
    }
}
