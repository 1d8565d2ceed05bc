//! Packets that a client sends, by either transport: each goes to its socket or to socketioxide, or ends the session.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

use super::Wire;
use crate::{
    event::{ConnectRefusal, HostEvent},
    host::{
        namespaces::INVALID_NAMESPACE,
        transport::{
            client_frames,
            flush::{self, Flush},
            packet::{self, Kind, Packet, Partial},
            protocol::{CLOSE, MAX_NAMESPACE, MESSAGE, PONG},
            rate::{Rate, RateDecision},
            sockets::{Found, Receiver},
        },
    },
};

/// Maximum length of the `auth` of a CONNECT in bytes, because it is kept for as long as the socket exists.
const MAX_AUTH: usize = 64 * 1024;
/// Maximum time for the attachments of a packet to arrive.
const ATTACHMENTS: Duration = Duration::from_secs(30);

impl Wire {
    /// Handles a text packet of Engine.IO.
    pub(in crate::host::transport) fn receive_text(self: &Arc<Self>, packet: &[u8]) {
        match packet.split_first() {
            Some((&MESSAGE, message)) => match std::str::from_utf8(message) {
                Ok(message) => self.message(packet, message),
                Err(_) => self.malformed("a text that is not UTF-8"),
            },
            Some((&PONG, _)) if self.receive_pong() => {}
            Some((&PONG, _)) => {
                self.is_within_rate();
                let is_late = |partial: &Partial| partial.since.elapsed() > ATTACHMENTS;
                if self.partial.lock().as_deref().is_some_and(is_late) {
                    return self.cut_off("the attachments of a packet did not come in time");
                }
                self.lock().hand_text(&[PONG]);
            }
            Some((&CLOSE, [])) => {
                self.left();
                let mut state = self.lock();
                if let Some(polling) = &mut state.polling {
                    polling.is_closed = true;
                }
                state.hand_text(&[CLOSE]);
            }
            _ => self.malformed("a packet that is none of Engine.IO's"),
        }
    }

    /// Handles an attachment.
    pub(in crate::host::transport) fn receive_binary(self: &Arc<Self>, attachment: Bytes) {
        let Some(mut partial) = self.partial.lock().take() else {
            return self.malformed("an attachment that belongs to no packet");
        };
        partial.attachments.push(attachment);
        if partial.attachments.len() < partial.expected {
            *self.partial.lock() = Some(partial);
        } else if let Some(packet) = Packet::parse(&partial.text) {
            self.deliver(&packet, &partial.attachments);
        }
    }

    /// Counts a frame that continues a message toward the limit of the client.
    pub(in crate::host::transport) fn count_frame(self: &Arc<Self>) {
        self.is_within_rate();
    }

    /// Passes a control frame of the WebSocket to socketioxide, which answers pings and closes.
    pub(in crate::host::transport) fn receive_control(self: &Arc<Self>, frame: &[u8]) {
        self.is_within_rate();
        self.lock().hand(|inbox| inbox.extend_from_slice(frame));
    }

    /// Records the end of the network connection. The client has then closed its transport, as in Node, even if it has
    /// sent no close frame. If `is_complete` is `false`, the end of a frame or message is missing, and the connection
    /// has failed.
    pub(in crate::host::transport) fn network_ended(&self, is_complete: bool) {
        let mut state = self.lock();
        if state.is_over() {
            return;
        }
        state.has_ended = true;
        state.hand(|inbox| {
            if is_complete {
                client_frames::push(inbox, OpCode::Control(Control::Close), &[]);
            }
        });
    }

    /// Handles a Socket.IO packet: `text` is the packet, and `whole` the Engine.IO packet that contains it.
    fn message(self: &Arc<Self>, whole: &[u8], text: &str) {
        let Some(packet) = Packet::parse(text) else {
            return self.malformed("a packet that is none of Socket.IO's");
        };
        if self.partial.lock().is_some() {
            return self.malformed("a packet between another one and its attachments");
        }
        match packet.kind {
            Kind::Connect => self.connect(&packet, whole),
            Kind::Disconnect if !packet.payload.is_empty() => {
                self.malformed("a DISCONNECT with a payload");
            }
            Kind::Disconnect => {
                if self.find(packet.namespace).is_some() {
                    self.leave(packet.namespace, whole);
                }
            }
            Kind::Event | Kind::Ack if packet.attachments == 0 => self.deliver(&packet, &[]),
            Kind::Event | Kind::Ack => self.begin_partial(&packet, text),
        }
    }

    /// Handles a DISCONNECT, unless the server ends the socket at the same time, because socketioxide must receive only
    /// one of the two ends.
    fn leave(&self, namespace: &str, whole: &[u8]) {
        let mut state = self.lock();
        let socket = state.sockets.forget(namespace);
        if socket.is_some() {
            state.hand_text(whole);
        }
        drop(state);
    }

    fn begin_partial(self: &Arc<Self>, packet: &Packet<'_>, text: &str) {
        if self.check_attachments(packet.attachments) {
            *self.partial.lock() = Some(Box::new(Partial {
                text: text.into(),
                since: tokio::time::Instant::now(),
                expected: packet.attachments,
                attachments: Vec::new(),
            }));
        }
    }

    /// Passes an event or an ack to its socket.
    fn deliver(self: &Arc<Self>, packet: &Packet<'_>, attachments: &[Bytes]) {
        let Some(socket) = self.find(packet.namespace) else {
            return;
        };
        let reader = &**self as &dyn Flush;
        let handled = match packet.kind {
            Kind::Ack => {
                let Some(id) = packet.id else {
                    return self.malformed("an ack without an id");
                };
                let answered = flush::collect(Some(reader), || {
                    socket.answer(id, packet.payload, attachments)
                });
                answered.map(|was_asked_for| {
                    if !was_asked_for {
                        self.is_within_rate();
                    }
                })
            }
            _ if !self.takes(&*socket) => return,
            _ => flush::collect(Some(reader), || {
                socket.event(packet.payload, attachments, packet.id)
            }),
        };
        if let Err(problem) = handled {
            self.malformed(&format!("a packet that cannot be read: {problem}"));
        }
    }

    /// Returns the socket of the client in a namespace. Disconnects a client that was never in the namespace, as Node
    /// does.
    fn find(self: &Arc<Self>, namespace: &str) -> Option<Arc<dyn Receiver>> {
        let found = self.lock().sockets.find(namespace);
        match found {
            Found::Socket(socket) => Some(socket),
            Found::Ended => None,
            Found::Unknown => {
                let problem = "a packet for a namespace that it has not connected to";
                self.disconnect_for("forced server close", problem);
                None
            }
        }
    }

    /// Handles a CONNECT: rejects it, or passes it to socketioxide.
    fn connect(self: &Arc<Self>, packet: &Packet<'_>, whole: &[u8]) {
        let namespace = packet.namespace;
        if self.lock().is_write_closed() {
            return;
        }
        if namespace.len() > MAX_NAMESPACE {
            // Such a name must appear neither in the answer nor in the log.
            return self.malformed("a CONNECT whose namespace is longer than 256 bytes");
        }
        if packet.payload.len() > MAX_AUTH {
            return self.refuse_connect(namespace, ConnectRefusal::LargeAuth);
        }
        if !packet.payload.is_empty() && !is_object(packet.payload) {
            return self.malformed("a CONNECT whose `auth` is no object");
        }
        let (is_there, is_coming, count) = {
            let state = self.lock();
            let is_there = matches!(state.sockets.find(namespace), Found::Socket(_));
            let count = state.sockets.live().count() + state.connects.len();
            (is_there, state.connects.has(namespace), count)
        };
        if is_there {
            let problem = "a second CONNECT to a namespace";
            return self.disconnect_for("forced server close", problem);
        }
        if is_coming {
            return;
        }
        let is_within_rate = !self.has_connected.swap(true, Ordering::Relaxed)
            || self.is_within(self.connect_rate(), "it goes on to connect and disconnect");
        if count >= self.options().clients.max_namespaces_per_client {
            return self.refuse_connect(namespace, ConnectRefusal::TooManyNamespaces);
        }
        if !is_within_rate {
            return self.refuse_connect(namespace, ConnectRefusal::TooOften);
        }
        let namespaces = self.context.namespaces.upgrade();
        let address = self.opening.peer.map(|peer| peer.ip());
        // `ensure_for` announces a CONNECT that is rejected.
        let reserved = namespaces.as_ref();
        let reserved = reserved.and_then(|all| all.ensure_for(namespace, address));
        let Some(reserved) = reserved else {
            if namespaces.is_none_or(|all| all.is_closing()) {
                return self.refuse_connects();
            }
            return self.answer_refused(namespace, INVALID_NAMESPACE);
        };
        let mut state = self.lock();
        state.connects.request(namespace, whole, Box::new(reserved));
        state.hand_text(whole);
    }

    /// Rejects a CONNECT, and announces the rejection.
    fn refuse_connect(self: &Arc<Self>, namespace: &str, kind: ConnectRefusal) {
        let address = self.opening.peer.map(|peer| peer.ip());
        let refused = HostEvent::connect_refused(namespace, address, kind);
        self.context.announcer.announce(refused);
        self.answer_refused(namespace, kind.reason());
    }

    fn answer_refused(self: &Arc<Self>, namespace: &str, reason: &str) {
        self.send_text(packet::refused(namespace, reason).as_bytes());
    }

    /// Returns `true` if the client may send one more event now. Otherwise announces that the event is dropped.
    fn takes(self: &Arc<Self>, socket: &dyn Receiver) -> bool {
        let takes = self.is_within_rate();
        if !takes {
            socket.dropped("rate limit exceeded (`max-events-per-second`)");
        }
        takes
    }

    /// Counts a packet. Returns `true` if the client may send it now.
    fn is_within_rate(self: &Arc<Self>) -> bool {
        let problem = "rate limit exceeded repeatedly (`max-events-per-second`)";
        let rate = self.rate.as_ref();
        rate.is_none_or(|rate| self.is_within(rate, problem))
    }

    /// Counts a packet toward a limit. Returns `true` if the packet is within it. Disconnects a client that exceeds it
    /// for too long.
    fn is_within(self: &Arc<Self>, rate: &Rate, problem: &str) -> bool {
        let verdict = rate.take(Instant::now());
        if verdict == RateDecision::Abuse {
            self.cut_off(problem);
        }
        verdict == RateDecision::Passes
    }
}

/// Returns `true` if a text is a JSON object.
fn is_object(text: &str) -> bool {
    text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}
