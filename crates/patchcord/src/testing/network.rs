//! In-memory network between the clients of a test and the host.
//!
//! In: packets that the host sends through its links. Out: the inboxes that [`TestClient`](super::TestClient)s read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rhai::{Dynamic, Map};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::{
    connection::{Answer, Connection, Link, Named, NamespaceLink, NoAnswer, SendError, Work},
    value::{self, EncodeError, EncodedEvent, Packet, to_packet},
};

/// Inboxes of all clients, by namespace and id, and the events of the clients.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    inboxes: Arc<Mutex<Inboxes>>,
    /// Rooms, each with its namespace and name, in the order of creation. Some of them may now be empty.
    rooms: Arc<Mutex<Vec<(String, String)>>>,
    /// Events of the clients; `None` until they are requested for the first time, so that no events are stored without
    /// a reader.
    news: Arc<Mutex<Option<Vec<ClientEvent>>>>,
    /// `true` if calls that follow a slow call run on the threads for slow calls, as on a server.
    separates_slow_calls: Arc<AtomicBool>,
}

/// Event of a client: its id, and a description of what happened.
pub(super) type ClientEvent = (String, String);

type Inboxes = BTreeMap<(String, String), Arc<Inbox>>;

/// Packets that were sent to a client and not yet taken, and the client's connection in the host.
#[derive(Default)]
pub(super) struct Inbox {
    /// Events with their arguments.
    heard: Mutex<Vec<(String, Packet)>>,
    acks: Mutex<BTreeMap<i64, Packet>>,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Rooms of the client, in the order of joining.
    rooms: Mutex<Vec<String>>,
    questions: Mutex<Vec<oneshot::Sender<Vec<Dynamic>>>>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// Removes and returns all events.
    pub(super) fn take_all(&self) -> Vec<(String, Packet)> {
        std::mem::take(&mut *self.heard.lock())
    }

    /// Removes the first event with this name and, if `args` is `Some`, with exactly these arguments. Returns its
    /// arguments.
    pub(super) fn take(&self, event: &str, args: Option<&Packet>) -> Option<Packet> {
        let mut heard = self.heard.lock();
        let place = heard
            .iter()
            .position(|(heard, got)| heard == event && args.is_none_or(|args| args == got))?;
        Some(heard.remove(place).1)
    }

    /// Returns the events that were not yet taken.
    pub(super) fn heard(&self) -> Vec<(String, Packet)> {
        self.heard.lock().clone()
    }

    /// Removes and returns the ack of an event, if it has arrived.
    pub(super) fn take_ack(&self, id: i64) -> Option<Packet> {
        self.acks.lock().remove(&id)
    }

    /// Removes and returns all acks.
    pub(super) fn take_acks(&self) -> BTreeMap<i64, Packet> {
        std::mem::take(&mut *self.acks.lock())
    }

    /// Removes the oldest ack request of the server. Returns the sender for its ack.
    pub(super) fn take_question(&self) -> Option<oneshot::Sender<Vec<Dynamic>>> {
        let mut questions = self.questions.lock();
        (!questions.is_empty()).then(|| questions.remove(0))
    }

    /// Returns `true` if neither side has ended the connection.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.lock().is_some()
    }
}

impl Network {
    #[cfg(feature = "internals")]
    pub(super) fn separate_slow_calls(&self) {
        self.separates_slow_calls.store(true, Ordering::Relaxed);
    }

    /// Creates the links to a client that is about to connect, and to all clients of its namespace.
    pub(super) fn links(
        &self,
        path: &str,
        id: &str,
        query: Map,
    ) -> (Arc<InMemoryLink>, Arc<InMemoryNamespace>) {
        let one = InMemoryLink {
            inbox: Arc::default(),
            network: self.clone(),
            path: path.to_owned(),
            id: id.to_owned(),
            query,
        };
        let everyone = InMemoryNamespace {
            network: self.clone(),
            path: path.to_owned(),
        };
        (one.into(), everyone.into())
    }

    /// Adds a client that the host has accepted. Returns its inbox.
    pub(super) fn add(&self, client: &InMemoryLink, connection: &Arc<Connection>) -> Arc<Inbox> {
        let InMemoryLink {
            inbox, path, id, ..
        } = client;
        *inbox.connection.lock() = Some(connection.clone());
        self.inboxes
            .lock()
            .insert((path.clone(), id.clone()), inbox.clone());
        inbox.clone()
    }

    /// Returns the clients of a namespace.
    fn at(&self, path: &str) -> Vec<(String, Arc<Inbox>)> {
        let inboxes = self.inboxes.lock();
        let here = inboxes.iter().filter(|((at, _), _)| at == path);
        here.map(|((_, id), inbox)| (id.clone(), inbox.clone()))
            .collect()
    }

    /// Returns the rooms of a namespace that have members.
    fn filled(&self, path: &str) -> BTreeSet<String> {
        let here = self.at(path).into_iter();
        here.flat_map(|(_, inbox)| inbox.rooms.lock().clone())
            .collect()
    }

    /// Records the creation of those `rooms` that have no members yet, because a client is about to join them.
    fn create(&self, path: &str, rooms: &[String]) {
        let filled = self.filled(path);
        let mut created = self.rooms.lock();
        for room in rooms.iter().filter(|room| !filled.contains(*room)) {
            created.retain(|(at, name)| at != path || name != room);
            created.push((path.to_owned(), room.clone()));
        }
    }

    /// Returns the events of the clients since the last call. They are recorded from the first call on.
    pub(super) fn news(&self) -> Vec<ClientEvent> {
        self.news.lock().replace(Vec::new()).unwrap_or_default()
    }

    fn tell(&self, id: &str, what: impl FnOnce() -> String) {
        if let Some(news) = &mut *self.news.lock() {
            news.push((id.to_owned(), what()));
        }
    }

    fn deliver(&self, id: &str, inbox: &Inbox, event: &str, args: Packet) {
        self.tell(id, || format!("heard {event} {}", args.text));
        inbox.heard.lock().push((event.to_owned(), args));
    }

    /// Frees all connections without calling a script.
    pub(super) fn clear(&self) {
        let inboxes = std::mem::take(&mut *self.inboxes.lock());
        for connection in inboxes
            .values()
            .filter_map(|one| one.connection.lock().take())
        {
            connection.leave();
        }
    }

    /// Ends the connection of a client.
    pub(super) fn leave(&self, path: &str, id: &str, reason: &'static str) {
        let inbox = self
            .inboxes
            .lock()
            .remove(&(path.to_owned(), id.to_owned()));
        if let Some(connection) = inbox.and_then(|inbox| inbox.connection.lock().take()) {
            self.tell(id, || format!("left: {reason}"));
            connection.post(Work::Disconnect(reason));
        }
    }
}

/// Link to one client.
#[derive(Debug)]
pub(super) struct InMemoryLink {
    inbox: Arc<Inbox>,
    network: Network,
    path: String,
    id: String,
    query: Map,
}

impl Link for InMemoryLink {
    fn separates_slow_calls(&self) -> bool {
        self.network.separates_slow_calls.load(Ordering::Relaxed)
    }

    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let args = event.arguments();
        self.network
            .deliver(&self.id, &self.inbox, event.name(), args);
        Ok(())
    }

    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError> {
        self.inbox.acks.lock().insert(id, args.clone());
        Ok(())
    }

    fn ask(
        &self,
        event: &EncodedEvent<'_>,
        timeout: Option<Duration>,
    ) -> Result<Answer, SendError> {
        self.emit(event)?;
        let (question, answer) = oneshot::channel();
        self.inbox.questions.lock().push(question);
        let answer = async { answer.await.map_err(|_| NoAnswer::Left) };
        Ok(match timeout {
            Some(timeout) => Box::pin(async move {
                tokio::time::timeout(timeout, answer)
                    .await
                    .unwrap_or(Err(NoAnswer::TimedOut))
            }),
            None => Box::pin(answer),
        })
    }

    fn disconnect(&self) {
        self.network
            .leave(&self.path, &self.id, "server namespace disconnect");
    }

    fn close(&self) {}

    fn is_stalled(&self) -> bool {
        false
    }

    fn join(&self, rooms: &[String]) {
        self.network.create(&self.path, rooms);
        let mut joined = self.inbox.rooms.lock();
        for room in rooms {
            if !joined.contains(room) {
                joined.push(room.clone());
            }
        }
    }

    fn leave(&self, room: &str) {
        self.inbox.rooms.lock().retain(|joined| joined != room);
    }

    fn leave_all(&self) {
        self.inbox.rooms.lock().clear();
    }

    fn rooms(&self) -> Vec<String> {
        self.inbox.rooms.lock().clone()
    }

    fn handshake(&self) -> Map {
        Map::from([
            ("headers".into(), Dynamic::from_map(Map::new())),
            ("cookies".into(), Dynamic::from_map(Map::new())),
            ("query".into(), Dynamic::from_map(self.query.clone())),
            ("address".into(), "127.0.0.1".into()),
            ("url".into(), "/socket.io/?EIO=4&transport=websocket".into()),
            ("time".into(), "Thu, 01 Jan 1970 00:00:00 GMT".into()),
            ("secure".into(), false.into()),
            ("xdomain".into(), false.into()),
        ])
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

/// Link to all clients of a namespace.
#[derive(Debug)]
pub(super) struct InMemoryNamespace {
    network: Network,
    path: String,
}

impl InMemoryNamespace {
    fn select(&self, named: &Named<'_>) -> Vec<(String, Arc<Inbox>)> {
        let Named {
            target,
            ids,
            except,
        } = named;
        let is_meant = |(id, inbox): &(String, Arc<Inbox>)| {
            let rooms = inbox.rooms.lock();
            let is_in = |names: &[String], ids: &[&str]| {
                ids.contains(&&**id) || names.iter().any(|name| rooms.contains(name))
            };
            (target.rooms.is_empty() || is_in(&target.rooms, ids)) && !is_in(&target.except, except)
        };
        self.network
            .at(&self.path)
            .into_iter()
            .filter(is_meant)
            .collect()
    }
}

impl NamespaceLink for InMemoryNamespace {
    fn separates_slow_calls(&self) -> bool {
        self.network.separates_slow_calls.load(Ordering::Relaxed)
    }

    fn emit(&self, target: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let args = event.arguments();
        for (id, inbox) in self.select(target) {
            self.network
                .deliver(&id, &inbox, event.name(), args.clone());
        }
        Ok(())
    }

    fn ids(&self, target: &Named<'_>) -> Vec<String> {
        self.select(target).into_iter().map(|(id, _)| id).collect()
    }

    fn rooms(&self) -> Vec<String> {
        let filled = self.network.filled(&self.path);
        let rooms = self.network.rooms.lock();
        let here = rooms.iter().filter(|(path, _)| *path == self.path);
        let here = here.map(|(_, room)| room.clone());
        here.filter(|room| filled.contains(room)).collect()
    }
}

/// Returns the values of a tuple or an array.
pub(super) fn decode(args: &impl Serialize) -> Vec<Dynamic> {
    match serde_json::to_string(args).unwrap_or_default().as_str() {
        "null" => vec![],
        text => value::args(text, &[], &value::Limits::default()).unwrap_or_default(),
    }
}

/// Encodes arguments as a packet.
pub(super) fn encode(args: &[Dynamic]) -> Result<Packet, EncodeError> {
    to_packet(None, args)
}

#[cfg(test)]
mod tests {
    use crate::{testing::TestHost, value::ENCODED};

    #[test]
    fn an_event_is_encoded_once_whoever_it_is_sent_to_and_whoever_hears_of_it() {
        let host = TestHost::new(
            r#"fn on_handshake(socket) { if socket.handshake.auth == "early" { socket.emit("early", [1]); } }
            fn on_connection(socket) {
                socket.on_any_outgoing(|event, value| {});
                socket.on("one", || { socket.emit("sent", [1]); });
                socket.on("ask", || { socket.emit("sent", [1], |answer| {}); });
                socket.on("all", || { io.emit("sent", [1]); });
                socket.on("volatile", || { io.volatile.emit("sent", [1]); });
                socket.on("ask all", || { io.timeout(9).emit("sent", [1], |err, answers| {}); });
                socket.on("ack", || [1]);
            }"#,
        );
        let clients = ["ada", "bob", "cleo"].map(|name| host.connect_as("/", name).unwrap());
        for word in ["one", "ask", "all", "volatile", "ask all"] {
            // Clients in tests also encode what they send.
            ENCODED.set(0);
            clients[0].emit(word, ());
            assert_eq!(ENCODED.get(), 2, "{word}");
            assert_eq!(clients[0].heard(), ["sent [[1]]"], "{word}");
        }
        ENCODED.set(0);
        assert_eq!(clients[0].ask("ack", ()).as_deref(), Some("[[1]]"));
        assert_eq!(ENCODED.get(), 2);
        ENCODED.set(0);
        let early = host.connect_as("/", "early").unwrap();
        assert_eq!(early.heard(), ["early [[1]]"]);
        assert_eq!(ENCODED.get(), 1);
    }
}
