//! Room for the bytes of bodies, which callers share. **What has come takes room; what was
//! announced takes none.** Nobody has more than a part of what the others leave, so whoever comes
//! finds some.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::PrincipalId;

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

#[derive(Default)]
struct Taken {
    all: usize,
    of: HashMap<Caller, usize>,
}

/// So many bytes, of which each caller may have one part of what others leave.
pub(super) struct Room {
    bytes: usize,
    part: usize,
    taken: Mutex<Taken>,
}

/// What one body takes, given back when it is dropped.
pub(super) struct Place {
    room: Arc<Room>,
    who: Caller,
    bytes: usize,
}

impl Room {
    /// `bytes` in all, a `part`-th of what others leave for each caller.
    pub(super) fn new(bytes: usize, part: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            part,
            taken: Mutex::default(),
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
            bytes: 0,
        }
    }

    /// Bytes that bodies hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.taken().all
    }
}

impl Place {
    /// Takes room for bytes that have come.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let mut taken = self.room.taken();
        let own = taken.of.get(&self.who).copied().unwrap_or_default();
        let others = taken.all.saturating_sub(own);
        let left = self.room.bytes.saturating_sub(others);
        let more = own.saturating_add(bytes);
        if more > left.checked_div(self.room.part).unwrap_or_default() {
            return Err(Full);
        }
        taken.all = taken.all.saturating_add(bytes);
        taken.of.insert(self.who.clone(), more);
        drop(taken);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.room.taken();
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Some(own) = taken.of.get_mut(&self.who) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                taken.of.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Caller {
        Caller::Person(name.parse().unwrap())
    }

    /// Takes what there is, byte by byte.
    fn fill(room: &Arc<Room>, who: Caller) -> Place {
        let mut place = room.place(who);
        while place.grow(1).is_ok() {}
        place
    }

    #[test]
    fn nobody_has_more_than_a_part_of_what_others_leave() {
        let room = Room::new(1024, 4);
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
        assert!(room.taken().of.is_empty(), "who has nothing is forgotten");
    }

    #[test]
    fn many_who_take_what_they_can_leave_some() {
        let room = Room::new(64 * 1024 * 1024, 4);
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
        let room = Room::new(1024, 4);
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
