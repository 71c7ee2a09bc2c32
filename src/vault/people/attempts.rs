//! Attempts to be somebody that fail: so many from one peer at once, then one a second. What is
//! tried beyond is refused unseen, right or wrong, so that a list of stolen credentials is not
//! tried faster; every refusal is recorded. No person is locked out: the bound is the peer's, and
//! the edge lets through who was already recognised from there.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::types::{AccessKeyId, Timestamp, limits};
use crate::vault::people::pace::Pace;
use crate::vault::{Call, ErrorKind, Vault, VaultError};

const TOO_MANY: VaultError = VaultError::new(
    ErrorKind::SlowDown,
    "too many attempts from this peer have failed",
);

/// The failed attempts of each peer.
pub(in crate::vault) struct Attempts {
    peers: Option<Pace<IpAddr>>,
    /// Whether any peer was ever beyond its bound: until then nobody is looked up.
    pressed: AtomicBool,
}

/// What counts as one peer: an address, of IPv6 the network of 64 bits that one site has.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Attempts {
    /// So many at once; 0 for no bound.
    pub(in crate::vault) fn new(burst: u32) -> Self {
        let (a_second, peers) = (limits::ATTEMPTS_PER_SECOND, limits::ATTEMPTS_PEERS_MAX);
        Self {
            peers: (burst > 0).then(|| Pace::new(burst, a_second, peers)),
            pressed: AtomicBool::new(false),
        }
    }

    fn failed(&self, address: IpAddr, now: Timestamp) {
        let Some(peers) = &self.peers else { return };
        let peer = peer(address);
        if !peers.take(&peer, now) || !peers.has(&peer, now) {
            self.pressed.store(true, Ordering::Release);
        }
    }

    fn may_try(&self, address: IpAddr, now: Timestamp) -> bool {
        let has = |peers: &Pace<IpAddr>| peers.has(&peer(address), now);
        !self.pressed.load(Ordering::Acquire) || self.peers.as_ref().is_none_or(has)
    }
}

impl Vault {
    /// Whether a peer may try to be somebody. One without an address (in memory) may.
    #[must_use]
    pub fn may_try(&self, client: Option<IpAddr>) -> bool {
        client.is_none_or(|client| self.attempts.may_try(client, self.now()))
    }

    /// Whether a credential of this name could be tried from a list. A session's is opened by the
    /// key ring's seal, and ends within the hour: one that is over is no attempt to be somebody.
    #[must_use]
    pub fn can_be_guessed(id: &AccessKeyId) -> bool {
        !crate::vault::people::session::is_of_session(id)
    }

    /// Counts an attempt that failed.
    pub fn note_failed_attempt(&self, client: Option<IpAddr>) {
        if let Some(client) = client {
            self.attempts.failed(client, self.now());
        }
    }

    /// Refuses a peer whose attempts have failed too often.
    pub(in crate::vault) fn attempt(&self, call: &Call) -> Result<(), VaultError> {
        if self.may_try(call.session.client_ip.parse().ok()) {
            Ok(())
        } else {
            Err(TOO_MANY)
        }
    }

    /// Counts an attempt that failed for this.
    pub(in crate::vault) fn failed_attempt(&self, call: &Call, error: VaultError) -> VaultError {
        self.note_failed_attempt(call.session.client_ip.parse().ok());
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_is_an_address_or_a_network_of_ipv6() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let (one, other) = (peer(address(one)), peer(address(other)));
            assert_eq!(one == other, same, "{one} {other}");
        }
    }

    #[test]
    fn one_peer_is_slowed_and_no_other() {
        let attempts = Attempts::new(limits::ATTEMPTS_BURST);
        let now = Timestamp::from_millis(1_000);
        let (bad, good) = (address("10.0.0.1"), address("10.0.0.2"));
        for _ in 0..limits::ATTEMPTS_BURST {
            assert!(attempts.may_try(bad, now));
            attempts.failed(bad, now);
        }
        assert!(!attempts.may_try(bad, now));
        assert!(attempts.may_try(good, now));
        let later = now.plus_millis(1_000);
        assert!(attempts.may_try(bad, later), "one a second");
        attempts.failed(bad, later);
        assert!(!attempts.may_try(bad, later));
    }

    #[test]
    fn no_bound_is_no_bound() {
        let attempts = Attempts::new(0);
        for _ in 0..1_000 {
            attempts.failed(address("10.0.0.1"), Timestamp::from_millis(1));
        }
        assert!(attempts.may_try(address("10.0.0.1"), Timestamp::from_millis(1)));
    }
}
