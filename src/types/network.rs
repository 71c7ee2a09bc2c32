//! Networks: where a request may come from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Whether a host of a URL, in brackets or without them, names this machine itself: what goes there
/// crosses no network.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Why a network was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("a network is written 10.12.0.0/16 or 2001:db8::/32, with no bit set beyond its length")]
pub struct NetworkError;

/// Addresses that share their first bits (RFC 4632). One spelling for one network: bits beyond the
/// length are none, and an IPv4 network is never written as IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The network of this length around an address; `None` for a length that it cannot have. It
    /// contains the address, and is the only one of the length that does.
    #[must_use]
    pub fn around(address: IpAddr, length: u8) -> Option<Self> {
        let address = masked(address.to_canonical(), length)?;
        Some(Self { address, length })
    }

    /// How many bits its addresses share.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether an address lies in it. An IPv4 address that came as IPv6 (`::ffff:…`) is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.length) == Some(self.address)
    }

    /// Whether all addresses of another one lie in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

/// Whether somebody at this address is in one of the networks, where any are named. Whom nobody
/// knows the address of is in none.
#[must_use]
pub fn is_from(networks: &[Network], client: Option<IpAddr>) -> bool {
    let within = |client| networks.iter().any(|net| net.contains(client));
    networks.is_empty() || client.is_some_and(within)
}

/// The address without the bits beyond `length`; `None` for a length that it cannot have.
fn masked(address: IpAddr, length: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let beyond = 32_u32.checked_sub(length.into())?;
            let mask = u32::MAX.checked_shl(beyond).unwrap_or(0);
            Some(IpAddr::V4((v4.to_bits() & mask).into()))
        }
        IpAddr::V6(v6) => {
            let beyond = 128_u32.checked_sub(length.into())?;
            let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
            Some(IpAddr::V6((v6.to_bits() & mask).into()))
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, digits) = text.split_once('/').ok_or(NetworkError)?;
        let address: IpAddr = address.parse().map_err(|_no_address| NetworkError)?;
        let length: u8 = digits.parse().map_err(|_no_length| NetworkError)?;
        let network = Self { address, length };
        // What would be written otherwise is not a network's one spelling.
        let same = masked(address, length) == Some(address)
            && address.to_canonical() == address
            && network.to_string() == text;
        same.then_some(network).ok_or(NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_or_out() {
        for (net, inside, outside) in [
            ("10.12.0.0/16", "10.12.255.255", "10.13.0.0"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1/128", "::1", "::2"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
        ] {
            assert!(network(net).contains(address(inside)), "{net} {inside}");
            assert!(!network(net).contains(address(outside)), "{net} {outside}");
        }
    }

    #[test]
    fn an_ipv4_address_that_came_as_ipv6_is_ipv4() {
        assert!(network("10.0.0.0/8").contains(address("::ffff:10.1.2.3")));
        assert!(!network("::/0").contains(address("::ffff:10.1.2.3")));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            " 10.0.0.0/8",
            "010.0.0.0/8",
            "10.0.0/8",
            "2001:db8::1/32",
            "2001:DB8::/32",
            "::ffff:10.0.0.0/104",
            "::/129",
            "any",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
        }
    }
}
