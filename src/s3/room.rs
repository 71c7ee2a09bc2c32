//! Room for the bytes of bodies, which callers share. **What has come takes room; what was
//! announced takes none.** Nobody has more than a part of what the others leave, so whoever comes
//! finds some. What is short needs no room, of so many bodies of a person as she needs to go on
//! whatever others do: a connection brings as many as it has streams.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::{PrincipalId, limits};

/// Whose bytes they are.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Caller {
    /// The person who answers for a request that is proved.
    Person(PrincipalId),
    /// The address of a request that nobody has proved; of IPv6 the network of a site's host,
    /// which has all of its addresses to choose from.
    Peer(Option<IpAddr>),
}

impl Caller {
    /// Whoever sends from an address.
    pub(super) fn peer(address: Option<IpAddr>) -> Self {
        Self::Peer(address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(all) => {
                let [a, b, c, d, ..] = all.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }))
    }
}

/// There is no room left for this caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// How much there is of a room.
pub(super) struct Sizes {
    /// In all.
    pub(super) bytes: usize,
    /// A caller's part: so many-th of what others leave.
    pub(super) part: usize,
    /// What a body of a person has free. Of all bodies that is so for
    /// [`limits::SHORT_BODIES_MAX`], of which a person's part is a
    /// [`limits::SHORT_BODIES_PART`]th of what others leave, and nobody's who is not proved.
    pub(super) short: usize,
    /// What a body takes at least that takes anything: what it is held in.
    pub(super) least: usize,
}

/// Something of which each caller has at most one part of what others leave.
struct Shares {
    whole: usize,
    part: usize,
    taken: usize,
    of: HashMap<Caller, usize>,
}

impl Shares {
    fn new(whole: usize, part: usize) -> Self {
        Self {
            whole,
            part,
            taken: 0,
            of: HashMap::new(),
        }
    }

    fn take(&mut self, who: &Caller, more: usize) -> Result<(), Full> {
        if more == 0 {
            return Ok(());
        }
        let own = self.of.get(who).copied().unwrap_or_default();
        let others = self.taken.saturating_sub(own);
        let left = self.whole.saturating_sub(others);
        let own = own.saturating_add(more);
        if own > left.checked_div(self.part).unwrap_or_default() {
            return Err(Full);
        }
        self.taken = self.taken.saturating_add(more);
        self.of.insert(who.clone(), own);
        Ok(())
    }

    fn give(&mut self, who: &Caller, back: usize) {
        self.taken = self.taken.saturating_sub(back);
        if let Some(own) = self.of.get_mut(who) {
            *own = own.saturating_sub(back);
            if *own == 0 {
                self.of.remove(who);
            }
        }
    }
}

struct Taken {
    bytes: Shares,
    /// Bodies whose first bytes are free.
    short: Shares,
}

/// So many bytes, of which each caller may have one part of what others leave.
pub(super) struct Room {
    short: usize,
    least: usize,
    taken: Mutex<Taken>,
}

/// What one body takes, given back when it is dropped.
pub(super) struct Place {
    room: Arc<Room>,
    who: Caller,
    /// What has come of it.
    come: usize,
    /// What it takes for that.
    bytes: usize,
    /// Whether what is short of it is free.
    free: bool,
}

impl Room {
    /// An empty one.
    pub(super) fn new(sizes: &Sizes) -> Arc<Self> {
        Arc::new(Self {
            short: sizes.short,
            least: sizes.least,
            taken: Mutex::new(Taken {
                bytes: Shares::new(sizes.bytes, sizes.part),
                short: Shares::new(limits::SHORT_BODIES_MAX, limits::SHORT_BODIES_PART),
            }),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a body of which nothing has come.
    pub(super) fn place(self: &Arc<Self>, who: Caller) -> Place {
        Place {
            room: Arc::clone(self),
            who,
            come: 0,
            bytes: 0,
            free: false,
        }
    }

    /// Bytes that bodies hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.taken().bytes.taken
    }
}

impl Place {
    /// Takes room for bytes that have come.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if bytes == 0 {
            return Ok(());
        }
        let mut taken = self.room.taken();
        if self.come == 0 && !self.free && self.room.short > 0 {
            let is_proved = matches!(self.who, Caller::Person(_));
            self.free = is_proved && taken.short.take(&self.who, 1).is_ok();
        }
        let come = self.come.saturating_add(bytes);
        let free = if self.free { self.room.short } else { 0 };
        let wanted = match come.saturating_sub(free) {
            0 => 0,
            beyond => beyond.max(self.room.least),
        };
        let more = wanted.saturating_sub(self.bytes);
        taken.bytes.take(&self.who, more)?;
        drop(taken);
        (self.come, self.bytes) = (come, self.bytes.saturating_add(more));
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.bytes == 0 && !self.free {
            return;
        }
        let mut taken = self.room.taken();
        taken.bytes.give(&self.who, self.bytes);
        taken.short.give(&self.who, usize::from(self.free));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Caller {
        Caller::Person(name.parse().unwrap())
    }

    /// One without anything free.
    fn room(bytes: usize, part: usize) -> Arc<Room> {
        Room::new(&Sizes {
            bytes,
            part,
            short: 0,
            least: 0,
        })
    }

    /// One in which 16 bytes of a body are free, and none takes less than 8.
    fn kind() -> Arc<Room> {
        Room::new(&Sizes {
            bytes: 1024,
            part: 4,
            short: 16,
            least: 8,
        })
    }

    /// As many bodies as are free of one person, where nobody else has any.
    fn free(room: &Arc<Room>, who: &str) -> Vec<Place> {
        let bodies = limits::SHORT_BODIES_MAX / limits::SHORT_BODIES_PART;
        let places = (0..bodies).map(|_| {
            let mut place = room.place(person(who));
            assert_eq!(place.grow(16), Ok(()));
            place
        });
        places.collect()
    }

    #[test]
    fn so_many_short_bodies_of_one_caller_are_free_and_the_next_takes_room() {
        let room = kind();
        let mut first = free(&room, "stan");
        assert_eq!(room.held(), 0);
        let mut next = room.place(person("stan"));
        assert_eq!(next.grow(1), Ok(()));
        assert_eq!(room.held(), 8, "what it is held in");
        assert_eq!((next.grow(7), room.held()), (Ok(()), 8));
        assert_eq!((next.grow(4), room.held()), (Ok(()), 12));
        // Another's are free, and his are again when one of his is over.
        let mut hers = room.place(person("ana"));
        assert_eq!((hers.grow(16), room.held()), (Ok(()), 12));
        drop((first.pop(), hers));
        let mut again = room.place(person("stan"));
        assert_eq!((again.grow(16), room.held()), (Ok(()), 12));
        drop((first, next, again));
        assert_eq!(room.held(), 0);
        let taken = room.taken();
        assert_eq!((taken.short.taken, taken.short.of.len()), (0, 0));
    }

    #[test]
    fn beyond_what_is_free_no_byte_is_and_of_nobody_any() {
        let room = kind();
        let mut place = room.place(person("ana"));
        for (bytes, held) in [(10, 0), (6, 0), (1, 8), (7, 8), (10, 18)] {
            assert_eq!((place.grow(bytes), room.held()), (Ok(()), held));
        }
        drop(place);
        let mut peer = room.place(Caller::peer(Some([192, 0, 2, 1].into())));
        for (bytes, held) in [(0, 0), (1, 8), (8, 9)] {
            assert_eq!((peer.grow(bytes), room.held()), (Ok(()), held));
        }
    }

    #[test]
    fn whoever_is_refused_keeps_no_place_that_is_free() {
        let room = kind();
        for _ in 0..limits::SHORT_BODIES_MAX {
            let mut place = room.place(person("stan"));
            assert_eq!(place.grow(4096), Err(Full));
            assert_eq!(place.grow(4096), Err(Full));
        }
        assert_eq!(free(&room, "stan").len() + room.held(), 64);
    }

    /// Takes what there is, byte by byte.
    fn fill(room: &Arc<Room>, who: Caller) -> Place {
        let mut place = room.place(who);
        while place.grow(1).is_ok() {}
        place
    }

    #[test]
    fn nobody_has_more_than_a_part_of_what_others_leave() {
        let room = room(1024, 4);
        let stan = fill(&room, person("stan"));
        assert_eq!(stan.bytes, 256);
        // However many bodies it is.
        assert_eq!(room.place(person("stan")).grow(1), Err(Full));
        let ana = fill(&room, person("ana"));
        assert_eq!(ana.bytes, 192);
        drop(stan);
        let bea = fill(&room, person("bea"));
        assert_eq!(bea.bytes, 208);
        drop((ana, bea));
        assert_eq!(room.held(), 0);
        assert!(
            room.taken().bytes.of.is_empty(),
            "who has nothing is forgotten"
        );
    }

    #[test]
    fn many_who_take_what_they_can_leave_some() {
        let room = room(64 * 1024 * 1024, 4);
        let crowd: Vec<_> = (0..16)
            .map(|n| {
                let mut place = room.place(person(&format!("p{n}")));
                while place.grow(4096).is_ok() {}
                place
            })
            .collect();
        assert_eq!(room.place(person("ana")).grow(64 * 1024), Ok(()));
        drop(crowd);
    }

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let room = room(1024, 4);
        let mut place = room.place(person("ana"));
        assert_eq!(place.grow(257), Err(Full));
        assert_eq!(place.grow(usize::MAX), Err(Full));
        assert_eq!(room.held(), 0);
        assert_eq!(place.grow(256), Ok(()));
    }

    #[test]
    fn a_site_has_one_part_whatever_address_it_sends_from() {
        let peer = |text: &str| Caller::peer(Some(text.parse().unwrap()));
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:3:4:5:6"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
        assert_ne!(peer("192.0.2.1"), Caller::peer(None));
    }
}
