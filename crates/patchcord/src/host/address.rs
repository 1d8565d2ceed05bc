//! Networks. Limits per address count all addresses of a network as one address.

use std::net::{IpAddr, Ipv6Addr};

/// Bits of an IPv6 address that its holder chooses freely, because a provider assigns at least a /64 to each customer.
const INTERFACE: u128 = (1 << 64) - 1;

/// Network of a client, for limits per address: one IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// Returns the network of an address; `None` for a loopback address, to which no limit per address applies.
    pub(crate) fn from_address(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V6(address) => Some(Self(
                Ipv6Addr::from_bits(address.to_bits() & !INTERFACE).into(),
            )),
            address => Some(Self(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Option<Network> {
        Network::from_address(address.parse().unwrap())
    }

    #[test]
    fn ipv4_counts_by_address_and_ipv6_by_its_first_64_bits() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:f:f:f:f"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn loopback_is_in_no_network() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(network(address), None, "{address}");
        }
    }
}
