//! A client of a test, and the network between it and the host: both in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rhai::{Dynamic, Map};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{Refused, host::Clockwork};
use crate::{
    connection::{
        Answer, Connection, Event, Link, Named, NamespaceLink, NoAnswer, SendError, Work,
    },
    host::Host,
    value::{self, Packet, to_packet},
};

/// The mailboxes of all clients, by namespace and id, and what happened to them.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    inboxes: Arc<Mutex<Inboxes>>,
    /// For whoever looks on; nothing is kept for nobody.
    news: Arc<Mutex<Option<Vec<News>>>>,
}

/// The id of a client, and what happened to it.
pub(super) type News = (String, String);

type Inboxes = BTreeMap<(String, String), Arc<Inbox>>;

#[derive(Default)]
struct Inbox {
    /// Events with their arguments.
    heard: Mutex<Vec<(String, Packet)>>,
    acks: Mutex<BTreeMap<i64, Packet>>,
    connection: Mutex<Option<Arc<Connection>>>,
    rooms: Mutex<BTreeSet<String>>,
    questions: Mutex<Vec<oneshot::Sender<Vec<Dynamic>>>>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

/// A client of one namespace.
///
/// ```
/// use patchcord::testing::TestHost;
///
/// let host = TestHost::new("fn on_connection(socket) {
///     socket.on(\"say\", |text| { io.emit(\"said\", text); \"ok\" });
/// }");
/// let (ada, bob) = (host.connect("/")?, host.connect("/")?);
/// assert_eq!(ada.ask("say", ["hi"]).as_deref(), Some("[\"ok\"]"));
/// assert_eq!(bob.heard(), ["said [\"hi\"]"]);
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Debug)]
pub struct TestClient {
    id: String,
    inbox: Arc<Inbox>,
    connection: Arc<Connection>,
    network: Network,
    clockwork: Clockwork,
    asked: AtomicI64,
}

impl TestClient {
    pub(super) fn connect(
        host: &Host,
        network: &Network,
        clockwork: Clockwork,
        (path, id): (&str, &str),
        auth: Dynamic,
        query: Map,
    ) -> Result<Self, Refused> {
        let inbox = Arc::new(Inbox::default());
        let link = Arc::new(One {
            inbox: inbox.clone(),
            network: network.clone(),
            path: path.to_owned(),
            id: id.to_owned(),
            query,
        });
        let everyone = Arc::new(Everyone {
            network: network.clone(),
            path: path.to_owned(),
        });
        let admitted = clockwork.wait_for(host.admit(path, id, auth, link.clone(), everyone));
        let connection = admitted.map_err(Refused)?;
        *lock(&inbox.connection) = Some(connection.clone());
        lock(&network.inboxes).insert((path.to_owned(), id.to_owned()), inbox.clone());
        connection.enter(Box::new(()));
        clockwork.run(|| connection.open(link));
        Ok(Self {
            id: id.to_owned(),
            inbox,
            connection,
            network: network.clone(),
            clockwork,
            asked: AtomicI64::new(0),
        })
    }

    /// The id of its socket.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends an event; `args` is a tuple or an array.
    pub fn emit(&self, event: &str, args: impl Serialize) {
        self.send(event, decode(&args), None);
    }

    /// Sends an event that asks for an ack, and gives the answer as a JSON array; `None` if there is none yet.
    pub fn ask(&self, event: &str, args: impl Serialize) -> Option<String> {
        let id = self.ask_values(event, decode(&args));
        self.answer_to(id).map(|answer| answer.text)
    }

    /// Asks, and gives what [`TestClient::answer_to`] knows the answer by.
    pub(super) fn ask_values(&self, event: &str, args: Vec<Dynamic>) -> i64 {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        self.send(event, args, Some(id));
        id
    }

    /// Takes the answer to a question, if it is there.
    pub(super) fn answer_to(&self, id: i64) -> Option<Packet> {
        lock(&self.inbox.acks).remove(&id)
    }

    /// What it was sent since the last time this was asked: each as `event [arguments]`.
    pub fn heard(&self) -> Vec<String> {
        let heard = std::mem::take(&mut *lock(&self.inbox.heard));
        let heard = heard.into_iter();
        heard
            .map(|(event, args)| format!("{event} {}", args.text))
            .collect()
    }

    /// The answers to events that [`TestClient::ask`] did not wait for, each as a JSON array.
    pub fn answers(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.inbox.acks))
            .into_values()
            .map(|answer| answer.text)
            .collect()
    }

    /// Answers the question that was asked first and is not answered yet; `args` is a tuple or an array.
    pub fn answer(&self, args: impl Serialize) {
        self.answer_values(decode(&args));
    }

    /// Whether there was a question.
    pub(super) fn answer_values(&self, args: Vec<Dynamic>) -> bool {
        let mut questions = lock(&self.inbox.questions);
        if questions.is_empty() {
            return false;
        }
        let question = questions.remove(0);
        drop(questions);
        // The socket that asked may have left.
        let _ = self.clockwork.run(|| question.send(args));
        true
    }

    /// Leaves.
    pub fn disconnect(&self) {
        let path = self.connection.namespace().path();
        self.clockwork.run(|| {
            self.network
                .leave(path, &self.id, "client namespace disconnect");
        });
    }

    pub(super) fn send(&self, event: &str, args: Vec<Dynamic>, ack: Option<i64>) {
        let size = encode(&args).map_or(0, |packet| packet.text.len());
        let event = Event::new(event, args, ack, size);
        self.clockwork
            .run(|| self.connection.post(Work::Event(event)));
    }

    /// Takes the first event of this name, and with these arguments if they are given, and gives its arguments.
    pub(super) fn take(&self, event: &str, args: Option<&Packet>) -> Option<Packet> {
        let mut heard = lock(&self.inbox.heard);
        let place = heard
            .iter()
            .position(|(heard, got)| heard == event && args.is_none_or(|args| args == got))?;
        Some(heard.remove(place).1)
    }

    /// What it was sent and nobody has taken.
    pub(super) fn unheard(&self) -> Vec<(String, Packet)> {
        lock(&self.inbox.heard).clone()
    }

    pub(super) fn forget(&self) {
        lock(&self.inbox.heard).clear();
    }

    pub(super) fn is_connected(&self) -> bool {
        lock(&self.inbox.connection).is_some()
    }

    /// The events that its socket listens to.
    pub(super) fn handlers(&self) -> Vec<Dynamic> {
        let events = self.connection.events().into_iter();
        events.map(Dynamic::from).collect()
    }
}

impl Network {
    /// What happened to clients since this was asked last; the first time asks for it.
    pub(super) fn news(&self) -> Vec<News> {
        lock(&self.news).replace(Vec::new()).unwrap_or_default()
    }

    fn tell(&self, id: &str, what: impl FnOnce() -> String) {
        if let Some(news) = &mut *lock(&self.news) {
            news.push((id.to_owned(), what()));
        }
    }

    fn deliver(&self, id: &str, inbox: &Inbox, event: &str, args: Packet) {
        self.tell(id, || format!("heard {event} {}", args.text));
        lock(&inbox.heard).push((event.to_owned(), args));
    }

    fn leave(&self, path: &str, id: &str, reason: &'static str) {
        let inbox = lock(&self.inboxes).remove(&(path.to_owned(), id.to_owned()));
        if let Some(connection) = inbox.and_then(|inbox| lock(&inbox.connection).take()) {
            self.tell(id, || format!("left: {reason}"));
            connection.post(Work::Disconnect(reason));
        }
    }
}

/// The way to one client.
#[derive(Debug)]
struct One {
    inbox: Arc<Inbox>,
    network: Network,
    path: String,
    id: String,
    query: Map,
}

impl Link for One {
    fn emit(&self, event: &str, args: &[Dynamic]) -> Result<(), SendError> {
        let packet = encode(args)?;
        self.network.deliver(&self.id, &self.inbox, event, packet);
        Ok(())
    }

    fn ack(&self, id: i64, args: &[Dynamic]) -> Result<(), SendError> {
        let packet = encode(args)?;
        lock(&self.inbox.acks).insert(id, packet);
        Ok(())
    }

    fn ask(
        &self,
        event: &str,
        args: &[Dynamic],
        timeout: Option<Duration>,
    ) -> Result<Answer, SendError> {
        self.emit(event, args)?;
        let (question, answer) = oneshot::channel();
        lock(&self.inbox.questions).push(question);
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
        lock(&self.inbox.rooms).extend(rooms.iter().cloned());
    }

    fn leave(&self, room: &str) {
        lock(&self.inbox.rooms).remove(room);
    }

    fn leave_all(&self) {
        lock(&self.inbox.rooms).clear();
    }

    fn rooms(&self) -> Vec<String> {
        lock(&self.inbox.rooms).iter().cloned().collect()
    }

    fn handshake(&self) -> Map {
        Map::from([
            ("headers".into(), Dynamic::from_map(Map::new())),
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

/// The way to all clients of a namespace.
#[derive(Debug)]
struct Everyone {
    network: Network,
    path: String,
}

impl Everyone {
    fn here(&self) -> Vec<(String, Arc<Inbox>)> {
        let inboxes = lock(&self.network.inboxes);
        let here = inboxes.iter().filter(|((path, _), _)| *path == self.path);
        here.map(|((_, id), inbox)| (id.clone(), inbox.clone()))
            .collect()
    }

    fn select(&self, named: &Named<'_>) -> Vec<(String, Arc<Inbox>)> {
        let Named {
            target,
            ids,
            except,
        } = named;
        let is_meant = |(id, inbox): &(String, Arc<Inbox>)| {
            let rooms = lock(&inbox.rooms);
            let is_in = |names: &[String], ids: &[&str]| {
                ids.contains(&&**id) || names.iter().any(|name| rooms.contains(name))
            };
            (target.rooms.is_empty() || is_in(&target.rooms, ids)) && !is_in(&target.except, except)
        };
        self.here().into_iter().filter(is_meant).collect()
    }
}

impl NamespaceLink for Everyone {
    fn emit(&self, target: &Named<'_>, event: &str, args: &[Dynamic]) -> Result<(), SendError> {
        let packet = encode(args)?;
        for (id, inbox) in self.select(target) {
            self.network.deliver(&id, &inbox, event, packet.clone());
        }
        Ok(())
    }

    fn ids(&self, target: &Named<'_>) -> Vec<String> {
        self.select(target).into_iter().map(|(id, _)| id).collect()
    }

    fn rooms(&self) -> Vec<String> {
        let here = self.here();
        let rooms: BTreeSet<_> = here
            .iter()
            .flat_map(|(_, inbox)| lock(&inbox.rooms).clone())
            .collect();
        rooms.into_iter().collect()
    }
}

pub(super) fn decode(args: &impl Serialize) -> Vec<Dynamic> {
    match serde_json::to_string(args).unwrap_or_default().as_str() {
        "null" => vec![],
        text => value::args(text, &[], &value::Limits::default()).unwrap_or_default(),
    }
}

fn encode(args: &[Dynamic]) -> Result<Packet, SendError> {
    to_packet(None, args).map_err(|e| SendError::Value(e.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
