//! Determines which client a new session counts for.

use std::net::SocketAddr;

use axum::http::HeaderMap;

use crate::host::address::Network;

/// Headers in which a proxy names the client behind it.
const FORWARDING: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// Client that opens a session, as the limits count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// Client on this machine, or one whose address is unknown: no limit per address applies to it.
    Exempt,
    /// Client of a network.
    From(Network),
    /// Client behind a proxy that the host is not configured to trust: the address is that of the proxy, which all its
    /// clients share.
    Behind(Network),
}

impl Caller {
    /// Returns the client at `peer`, which [`ClientOptions::trust_proxy`](crate::host::ClientOptions::trust_proxy)
    /// determines.
    pub(super) fn from_headers(
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        trust_proxy: usize,
    ) -> Self {
        match peer.and_then(|peer| Network::from_address(peer.ip())) {
            None => Self::Exempt,
            Some(proxy) if forwarding(headers, trust_proxy).is_some() => Self::Behind(proxy),
            Some(client) => Self::From(client),
        }
    }
}

/// Returns the header of a proxy that the host is not configured to trust.
pub(super) fn forwarding(headers: &HeaderMap, trust_proxy: usize) -> Option<&'static str> {
    let mut found = FORWARDING.into_iter();
    let found = found.find(|name| headers.contains_key(*name));
    found.filter(|_| trust_proxy == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarding_header_shows_a_proxy_unless_it_is_trusted() {
        let peer: Option<SocketAddr> = "192.0.2.1:5000".parse().ok();
        let network = Network::from_address(peer.unwrap().ip()).unwrap();
        let direct = HeaderMap::new();
        assert_eq!(
            Caller::from_headers(&direct, peer, 0),
            Caller::From(network)
        );
        for name in FORWARDING {
            let mut headers = HeaderMap::new();
            headers.insert(name, "198.51.100.7".parse().unwrap());
            assert_eq!(
                Caller::from_headers(&headers, peer, 0),
                Caller::Behind(network)
            );
            assert_eq!(
                Caller::from_headers(&headers, peer, 1),
                Caller::From(network)
            );
            assert_eq!(forwarding(&headers, 0), Some(name));
            assert_eq!(forwarding(&headers, 1), None);
        }
        let local = "127.0.0.1:5000".parse().ok();
        assert_eq!(Caller::from_headers(&direct, local, 0), Caller::Exempt);
        assert_eq!(Caller::from_headers(&direct, None, 0), Caller::Exempt);
    }
}
