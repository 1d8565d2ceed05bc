//! Clients of a test.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use rhai::{Dynamic, Map};
use serde::Serialize;

use super::{
    network::{Inbox, Network, decode, encode},
    runtime::{Refused, TestRuntime},
};
use crate::{
    connection::{Connection, Event, Work},
    host::Host,
    value::Packet,
};

/// Client of one namespace.
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
    runtime: TestRuntime,
    asked: AtomicI64,
}

impl TestClient {
    pub(super) fn connect(
        host: &Host,
        network: &Network,
        runtime: TestRuntime,
        (path, id): (&str, &str),
        auth: Dynamic,
        query: Map,
    ) -> Result<Self, Refused> {
        let (link, everyone) = network.links(path, id, query);
        let admitted =
            runtime.wait_for(host.connect_in_memory(path, id, auth, link.clone(), everyone));
        let connection = admitted.map_err(Refused)?;
        let inbox = network.add(&link, &connection);
        connection.enter(Box::new(()));
        runtime.run(|| connection.open(link));
        Ok(Self {
            id: id.to_owned(),
            inbox,
            connection,
            network: network.clone(),
            runtime,
            asked: AtomicI64::new(0),
        })
    }

    /// Returns the id of the client's socket.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends an event; `args` is a tuple or an array.
    pub fn emit(&self, event: &str, args: impl Serialize) {
        self.send(event, decode(&args), None);
    }

    /// Sends an event that asks for an ack, and returns the arguments of the ack as a JSON array; `None` if there is no
    /// ack yet.
    pub fn ask(&self, event: &str, args: impl Serialize) -> Option<String> {
        let id = self.ask_values(event, decode(&args));
        self.answer_to(id).map(|answer| answer.text)
    }

    /// Sends an event that asks for an ack, and returns the id of the ack, for [`TestClient::answer_to`].
    pub(super) fn ask_values(&self, event: &str, args: Vec<Dynamic>) -> i64 {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        self.send(event, args, Some(id));
        id
    }

    /// Removes and returns the ack with an id, if it has arrived.
    pub(super) fn answer_to(&self, id: i64) -> Option<Packet> {
        self.inbox.take_ack(id)
    }

    /// Returns the events that were sent to the client since the last call, each as `event [arguments]`.
    pub fn heard(&self) -> Vec<String> {
        let heard = self.inbox.take_all().into_iter();
        heard
            .map(|(event, args)| format!("{event} {}", args.text))
            .collect()
    }

    /// Returns the acks that arrived after [`TestClient::ask`] had returned, the arguments of each as a JSON array.
    pub fn answers(&self) -> Vec<String> {
        let answers = self.inbox.take_acks().into_values();
        answers.map(|answer| answer.text).collect()
    }

    /// Answers the oldest unanswered ack request of the server; `args` is a tuple or an array.
    pub fn answer(&self, args: impl Serialize) {
        self.answer_values(decode(&args));
    }

    /// Answers the oldest unanswered ack request of the server. Returns `false` if there is none.
    pub(super) fn answer_values(&self, args: Vec<Dynamic>) -> bool {
        let Some(question) = self.inbox.take_question() else {
            return false;
        };
        // The requesting socket may have disconnected.
        let _ = self.runtime.run(|| question.send(args));
        true
    }

    /// Disconnects the client from its namespace.
    pub fn disconnect(&self) {
        let path = self.connection.namespace().path();
        self.runtime.run(|| {
            self.network
                .leave(path, &self.id, "client namespace disconnect");
        });
    }

    pub(super) fn send(&self, event: &str, args: Vec<Dynamic>, ack: Option<i64>) {
        let size = encode(&args).map_or(0, |packet| packet.text.len());
        let event = Event::new(event, args, ack, size);
        self.runtime
            .run(|| self.connection.post(Work::Event(event)));
    }

    /// Removes the first event with this name and, if `args` is `Some`, with exactly these arguments. Returns its
    /// arguments.
    pub(super) fn take(&self, event: &str, args: Option<&Packet>) -> Option<Packet> {
        self.inbox.take(event, args)
    }

    /// Returns the events that were sent to the client and not yet taken.
    pub(super) fn unheard(&self) -> Vec<(String, Packet)> {
        self.inbox.heard()
    }

    pub(super) fn forget(&self) {
        self.inbox.take_all();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.inbox.is_connected()
    }

    /// Returns the names of the events to which the client's socket listens.
    pub(super) fn handlers(&self) -> Vec<Dynamic> {
        let events = self.connection.events().into_iter();
        events.map(Dynamic::from).collect()
    }
}
