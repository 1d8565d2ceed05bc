//! Limits on the TCP connections of a server: in total, and for each address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

use super::{config::Config, descriptors};
use crate::host::Network;

/// Limit that one more connection would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    All,
    Address,
}

/// Maximum numbers of connections, and the connections that are open.
#[derive(Debug)]
pub(super) struct TcpLimit {
    all: usize,
    /// Maximum of one address; `None` behind a proxy, because the connections of all clients come from it.
    per_address: Option<usize>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Number of connections of each network; a network without connections has no entry.
    networks: HashMap<Network, usize>,
}

impl TcpLimit {
    /// Creates the limits of a server behind `proxies` proxies.
    pub(super) fn new(config: &Config, proxies: usize) -> Arc<Self> {
        let all = config
            .max_tcp_connections
            .unwrap_or_else(descriptors::for_connections);
        // One address alone cannot use up all connections: it leaves a quarter for the others.
        let per_address = config
            .max_tcp_connections_per_address
            .unwrap_or((all - all / 4).max(1));
        Arc::new(Self {
            all,
            per_address: (proxies == 0).then_some(per_address),
            open: Mutex::default(),
        })
    }

    /// Returns a permit for a connection from `address`.
    ///
    /// # Errors
    /// Returns the limit that the connection would exceed.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Over> {
        let mut open = self.open.lock();
        if open.all >= self.all {
            return Err(Over::All);
        }
        let network = Network::from_address(address);
        if let (Some(network), Some(most)) = (network, self.per_address) {
            let count = open.networks.get(&network).copied().unwrap_or_default();
            if count >= most {
                return Err(Over::Address);
            }
            open.networks.insert(network, count + 1);
        }
        open.all += 1;
        Ok(Permit {
            limit: self.clone(),
            network,
        })
    }
}

/// Permit for a connection, held while the connection is open.
#[derive(Debug)]
pub(super) struct Permit {
    limit: Arc<TcpLimit>,
    network: Option<Network>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limit.open.lock();
        open.all -= 1;
        let Some(network) = self.network else {
            return;
        };
        if let Entry::Occupied(mut entry) = open.networks.entry(network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(proxies: usize) -> Arc<TcpLimit> {
        let config = Config {
            max_tcp_connections: Some(8),
            ..Config::default()
        };
        TcpLimit::new(&config, proxies)
    }

    fn admitted(limit: &Arc<TcpLimit>, address: &str) -> (Vec<Permit>, Over) {
        let mut permits = Vec::new();
        loop {
            match limit.admit(address.parse().unwrap()) {
                Ok(permit) => permits.push(permit),
                Err(over) => return (permits, over),
            }
        }
    }

    #[test]
    fn one_address_leaves_a_quarter_to_others_and_connections_that_close_make_room() {
        let limit = limit(0);
        let (permits, over) = admitted(&limit, "2001:db8::1");
        assert_eq!((permits.len(), over), (6, Over::Address));
        assert_eq!(admitted(&limit, "2001:db8::2").1, Over::Address);
        let (others, over) = admitted(&limit, "192.0.2.1");
        assert_eq!((others.len(), over), (2, Over::All));
        drop((permits, others));
        assert!(limit.open.lock().networks.is_empty());
        assert_eq!(admitted(&limit, "192.0.2.1").0.len(), 6);
    }

    #[test]
    fn loopback_and_trusted_proxies_have_no_limit_per_address() {
        let (permits, over) = admitted(&limit(0), "127.0.0.1");
        assert_eq!((permits.len(), over), (8, Over::All));
        let (permits, over) = admitted(&limit(1), "192.0.2.1");
        assert_eq!((permits.len(), over), (8, Over::All));
    }
}
