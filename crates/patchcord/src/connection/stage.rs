//! Selection of the clients that a version serves first.
//!
//! Invariant: a client is selected with all of its sockets, in every namespace, or with none. The selection changes for
//! all of them at once, with a single store.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use arc_swap::ArcSwap;

/// Client of a socket, recognized in all namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(u64);

impl Client {
    /// Creates the client from an identity that all of its sockets have in common.
    pub fn new(identity: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Selection of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chosen {
    /// No client.
    Nobody,
    /// These clients.
    Clients(BTreeSet<Client>),
    /// A share of all clients, including future ones. A client in a share is also in every larger share.
    Share(Share),
}

/// Share of all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Greatest value of a client in the share.
    greatest: u64,
}

impl Share {
    /// Creates a share in percent; `None` unless `percent` is greater than 0 and at most 100.
    pub fn percent(percent: f64) -> Option<Self> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "positive, and the cast saturates"
        )]
        let greatest = (percent / 100.0 * u64::MAX as f64) as u64;
        (percent > 0.0 && percent <= 100.0).then_some(Self { greatest })
    }
}

impl Chosen {
    /// Returns `true` if a client is selected.
    pub fn has(&self, client: Client) -> bool {
        match self {
            Self::Nobody => false,
            Self::Clients(clients) => clients.contains(&client),
            Self::Share(share) => client.0 <= share.greatest,
        }
    }
}

/// Selection of the clients that the staged versions serve, in all namespaces.
#[derive(Debug)]
pub struct Stage {
    chosen: ArcSwap<Chosen>,
}

impl Default for Stage {
    /// Creates a stage without clients.
    fn default() -> Self {
        Self {
            chosen: ArcSwap::from_pointee(Chosen::Nobody),
        }
    }
}

impl Stage {
    /// Returns the selection.
    pub fn chosen(&self) -> Arc<Chosen> {
        self.chosen.load_full()
    }

    /// Replaces the selection, in all namespaces at once.
    pub fn choose(&self, chosen: Chosen) {
        self.chosen.store(Arc::new(chosen));
    }

    /// Returns `true` if a client is selected.
    pub fn has(&self, client: Client) -> bool {
        self.chosen.load().has(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_about_as_many_clients_as_it_says_and_a_greater_one_has_them_too() {
        let share = |percent| Chosen::Share(Share::percent(percent).unwrap());
        let clients: Vec<_> = (0..10_000)
            .map(|n| Client::new(&format!("client{n}")))
            .collect();
        let count = |chosen: &Chosen| clients.iter().filter(|one| chosen.has(**one)).count();
        for (percent, least, most) in [(1.0, 60, 140), (10.0, 900, 1_100), (50.0, 4_800, 5_200)] {
            let count = count(&share(percent));
            assert!((least..=most).contains(&count), "{percent} %: {count}");
        }
        assert_eq!(count(&share(100.0)), 10_000);
        let (few, many) = (share(10.0), share(20.0));
        assert!(clients.iter().all(|one| !few.has(*one) || many.has(*one)));
        for wrong in [0.0, -1.0, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::percent(wrong), None, "{wrong}");
        }
    }
}
