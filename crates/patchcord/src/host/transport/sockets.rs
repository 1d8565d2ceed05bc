//! Sockets of one client, one for each namespace that the client is in.

use std::sync::Arc;

use bytes::Bytes;

/// Socket of a client, which receives the packets of its namespace.
pub(in crate::host) trait Receiver: Send + Sync {
    /// Returns the public id of the socket.
    fn id(&self) -> &str;

    /// Handles an event: JSON text, attachments, and the id of its ack if the client asks for one.
    ///
    /// # Errors
    /// Returns the problem if the text is not an event. The caller then disconnects the client.
    fn event(&self, text: &str, attachments: &[Bytes], ack: Option<i64>) -> Result<(), String>;

    /// Handles the answer to an event of the server. Returns `false` if nothing waits for it.
    ///
    /// # Errors
    /// Returns the problem if the text is not an answer. The caller then disconnects the client.
    fn answer(&self, id: i64, text: &str, attachments: &[Bytes]) -> Result<bool, String>;

    /// Announces that an event of the client is dropped.
    fn dropped(&self, reason: &str);

    /// Ends the socket on behalf of the server.
    fn disconnect(&self);
}

/// Sockets of one client. The name of a namespace whose socket the server has ended stays here, because packets for it
/// may still be on their way.
#[derive(Default)]
pub(super) struct Sockets(Vec<Entry>);

struct Entry {
    namespace: Arc<str>,
    socket: Option<Arc<dyn Receiver>>,
}

/// Result of a search for the socket of a namespace.
pub(super) enum Found {
    /// The client is in the namespace.
    Socket(Arc<dyn Receiver>),
    /// The client was in the namespace, and the server has ended its socket.
    Ended,
    /// The client was never in the namespace, or has left it.
    Unknown,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let namespaces = self.0.iter().map(|entry| &*entry.namespace);
        f.debug_list().entries(namespaces).finish()
    }
}

impl Sockets {
    /// Adds the socket of a namespace.
    pub(super) fn add(&mut self, namespace: &Arc<str>, socket: Arc<dyn Receiver>) {
        self.0.retain(|entry| entry.namespace != *namespace);
        // Reserves room for exactly one more socket, because most clients have only one.
        self.0.reserve_exact(1);
        self.0.push(Entry {
            namespace: namespace.clone(),
            socket: Some(socket),
        });
    }

    /// Ends the socket with this id in a namespace, and remembers the names of the last `keep` namespaces whose sockets
    /// have ended. Returns the socket, which the caller must drop without holding a lock; `None` if it has already
    /// ended.
    pub(super) fn end(
        &mut self,
        namespace: &str,
        id: &str,
        keep: usize,
    ) -> Option<Arc<dyn Receiver>> {
        let is_it = |socket: &Arc<dyn Receiver>| socket.id() == id;
        let at = self.live_at(namespace)?;
        self.0.get(at)?.socket.as_ref().filter(|one| is_it(one))?;
        let mut entry = self.0.remove(at);
        let socket = entry.socket.take();
        let mut ended = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, one)| one.socket.is_none());
        if let (Some((oldest, _)), true) = (ended.next(), ended.count() + 1 >= keep) {
            self.0.remove(oldest);
        }
        self.0.push(entry);
        socket
    }

    /// Removes the socket of a namespace that its client leaves, because no packet of the client may follow. Returns
    /// the socket, which the caller must drop without holding a lock; `None` if it has already ended.
    pub(super) fn forget(&mut self, namespace: &str) -> Option<Arc<dyn Receiver>> {
        let at = self.live_at(namespace)?;
        self.0.remove(at).socket
    }

    /// Returns the index of the socket of a namespace, if it has not ended.
    fn live_at(&self, namespace: &str) -> Option<usize> {
        let is_live = |one: &Entry| &*one.namespace == namespace && one.socket.is_some();
        self.0.iter().position(is_live)
    }

    /// Returns the socket of a namespace.
    pub(super) fn find(&self, namespace: &str) -> Found {
        match self.0.iter().find(|one| &*one.namespace == namespace) {
            Some(Entry {
                socket: Some(one), ..
            }) => Found::Socket(one.clone()),
            Some(_) => Found::Ended,
            None => Found::Unknown,
        }
    }

    /// Returns the sockets that have not ended.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<dyn Receiver>> {
        self.0.iter().filter_map(|entry| entry.socket.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl Receiver for Named {
        fn id(&self) -> &str {
            self.0
        }
        fn event(&self, _: &str, _: &[Bytes], _: Option<i64>) -> Result<(), String> {
            Ok(())
        }
        fn answer(&self, _: i64, _: &str, _: &[Bytes]) -> Result<bool, String> {
            Ok(true)
        }
        fn dropped(&self, _: &str) {}
        fn disconnect(&self) {}
    }

    fn found(sockets: &Sockets, namespace: &str) -> String {
        match sockets.find(namespace) {
            Found::Socket(socket) => socket.id().to_owned(),
            Found::Ended => "ended".to_owned(),
            Found::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn a_namespace_is_known_after_its_socket_has_ended() {
        let mut sockets = Sockets::default();
        sockets.add(&"/a".into(), Arc::new(Named("one")));
        assert_eq!(found(&sockets, "/a"), "one");
        assert_eq!(found(&sockets, "/b"), "unknown");
        assert!(sockets.end("/a", "other", 2).is_none());
        assert!(sockets.end("/a", "one", 2).is_some() && sockets.end("/a", "one", 2).is_none());
        assert!(sockets.forget("/a").is_none());
        assert_eq!(found(&sockets, "/a"), "ended");
        sockets.add(&"/a".into(), Arc::new(Named("two")));
        assert_eq!(found(&sockets, "/a"), "two");
        assert_eq!(sockets.live().count(), 1);
        assert!(sockets.forget("/a").is_some() && sockets.end("/a", "two", 2).is_none());
        assert_eq!(found(&sockets, "/a"), "unknown");
    }

    #[test]
    fn the_names_of_ended_sockets_do_not_pile_up() {
        let mut sockets = Sockets::default();
        sockets.add(&"/stays".into(), Arc::new(Named("stays")));
        for round in 0..10 {
            let name: Arc<str> = format!("/{round}").into();
            sockets.add(&name, Arc::new(Named("short")));
            drop(sockets.end(&name, "short", 3));
        }
        let known: Vec<_> = (0..10)
            .filter(|n| found(&sockets, &format!("/{n}")) == "ended")
            .collect();
        assert_eq!(known, [7, 8, 9]);
        assert_eq!(found(&sockets, "/stays"), "stays");
    }
}
