//! Sends events to a connection's client, and manages the connection's rooms.

use std::sync::{Arc, atomic::Ordering};

use rhai::Dynamic;

use super::{Connection, Early};
use crate::{
    connection::{Link, OUTGOING, OutgoingEvent, Phase, SendError, Target, Work},
    event::HostEvent,
    value::{self, DecodeError, to_packet},
};

/// Maximum length of an event name in a host event, in characters. It is limited because clients choose the name.
const MAX_NAME: usize = 200;

impl Connection {
    /// Sends an event to the client. Does nothing if the client has disconnected.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent, or the client cannot accept it.
    pub fn emit(self: &Arc<Self>, event: &OutgoingEvent<'_>) -> Result<(), SendError> {
        let (phase, returns) = (self.phase(), self.returns());
        if self.is_returning_in(phase) {
            return self.emit_for_return(event);
        }
        if phase < Phase::Connected {
            let event = event.encoded()?.for_later();
            self.once_open(Box::new(move |link| {
                // If the client cannot accept the event, it does not receive it, as with any other event.
                link.map(|link| link.emit(&event));
            }));
            return Ok(());
        }
        self.tell(event)?;
        match self.send(|link| link.emit(event.encoded()?)) {
            // The client has just left, and may even be back.
            Err(SendError::Left)
                if self.is_returning_in(self.phase()) || self.returns() != returns =>
            {
                self.emit_for_return(event)
            }
            sent => sent,
        }
    }

    /// Returns `true` if the client is away, or comes back now.
    fn is_returning_in(&self, phase: Phase) -> bool {
        match phase {
            Phase::Away => true,
            phase => phase < Phase::Connected && self.is_recovered(),
        }
    }

    /// Sends an event by the log of the namespace, so that a client that comes back receives it in its place among the
    /// events that it has missed.
    fn emit_for_return(&self, event: &OutgoingEvent<'_>) -> Result<(), SendError> {
        let target = Target::room(self.id());
        self.namespace().emit(&target, false, event)
    }

    /// Sends an event to the client, unless its send queue has other data. A client that comes back does not receive
    /// the event later.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent, or the client cannot accept it.
    pub fn emit_volatile(self: &Arc<Self>, event: &OutgoingEvent<'_>) -> Result<(), SendError> {
        if self.is_stalled() {
            return Ok(());
        }
        if self.phase() < Phase::Connected {
            return self.emit(event);
        }
        self.tell(event)?;
        self.send(|link| link.emit_volatile(event.encoded()?))
    }

    /// Uses the link to the client as soon as there is one. Does nothing if the client has disconnected.
    fn reach(&self, with: impl FnOnce(&dyn Link) + Send + 'static) {
        match self.link() {
            Some(link) => with(&*link),
            None => self.once_open(Box::new(|link| {
                if let Some(link) = link {
                    with(link);
                }
            })),
        }
    }

    /// Calls `send` now, or after the CONNECT is answered. `send` receives no link if the client disconnects before
    /// that.
    pub(super) fn once_open(&self, send: Early) {
        let mut state = self.state();
        if self.phase() < Phase::Connected {
            state.early.push(send);
        } else {
            drop(state);
            send(self.link().as_deref());
        }
    }

    /// Schedules the `on_any_outgoing` listeners for an event. This happens before the event is sent, so that the
    /// listeners have received it before the client can answer.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent.
    pub(in crate::connection) fn tell(
        self: &Arc<Self>,
        event: &OutgoingEvent<'_>,
    ) -> Result<(), SendError> {
        if self.may_hear(OUTGOING)
            && self.is_connected()
            && let Some(unheard) = self.post(Work::Outgoing(event.heard()?))
        {
            self.lost(
                &unheard.name,
                "`on_any_outgoing` does not hear of it: too much waits for it already",
            );
        }
        Ok(())
    }

    /// Announces that an event did not reach its destination.
    pub fn lost(&self, event: &str, reason: impl Into<String>) {
        self.namespace().driver().announce(HostEvent::EventDropped {
            namespace: self.namespace().path().clone(),
            socket: Some(self.id().to_string()),
            event: event.chars().take(MAX_NAME).collect(),
            reason: reason.into(),
            count: 1,
        });
    }

    /// Announces that an event from the client cannot be read.
    pub fn unread(&self, text: &str, error: &DecodeError) {
        let name = value::event_name(text);
        let problem = format!("the packet cannot be read: {error}");
        self.lost(name.as_deref().unwrap_or("?"), problem);
    }

    /// Sends the ack of an event.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent, or the client cannot accept it.
    pub fn ack(&self, id: i64, args: &[Dynamic]) -> Result<(), SendError> {
        self.send(|link| link.ack(id, &to_packet(None, args)?))
    }

    /// Stops handling the client's events and sending to it, because the client is about to be disconnected.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Ends the session of the client, because the server ends. Called in the connection's turn, so that everything that
    /// the client has sent before is handled and answered.
    pub fn shut_down(&self, reason: &'static str) {
        self.is_shutting_down.store(true, Ordering::Relaxed);
        if let Some(link) = self.link() {
            link.shut_down(reason);
        }
    }

    /// Returns `true` if no ack reaches the client any more.
    pub fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::Relaxed)
    }

    /// Returns `true` if the client is about to be disconnected.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Disconnects the client from the namespace. With `close`, disconnects it from all namespaces and closes its
    /// session.
    pub fn disconnect(&self, close: bool) {
        self.cut();
        if !close {
            return self.once_open(Box::new(|link| {
                link.inspect(|link| link.disconnect());
            }));
        }
        let link = self.link();
        self.namespace().driver().disconnect_client(self.id());
        self.once_open(Box::new(move |now| {
            now.or(link.as_deref()).inspect(|link| link.close());
        }));
    }

    /// Returns `true` if a volatile event is skipped now.
    pub fn is_stalled(&self) -> bool {
        self.link().is_some_and(|link| link.is_stalled())
    }

    /// Returns `socket.transport`, or an empty string after the client has disconnected.
    pub fn transport(&self) -> &'static str {
        self.link().map_or("", |link| link.transport())
    }

    /// Joins rooms, unless the client has disconnected. If the client would then be in more than `max` rooms, joins
    /// none of them and returns `false`.
    pub fn join(&self, rooms: &[String], max: usize) -> bool {
        let fits = self.fits(rooms, max);
        if fits {
            if rooms.iter().any(|room| **room == **self.id()) {
                self.in_own_room.store(true, Ordering::Relaxed);
            }
            let rooms = rooms.to_vec();
            self.reach(move |link| link.join(&rooms));
        }
        fits
    }

    /// Returns `true` if the client would be in at most `max` rooms after joining `rooms`. The rooms are counted only
    /// if the number of joins exceeds `max`, because counting is slow.
    fn fits(&self, rooms: &[String], max: usize) -> bool {
        let joined = self.joined.fetch_add(rooms.len(), Ordering::Relaxed);
        if joined + rooms.len() <= max {
            return true;
        }
        if self.link().is_none() {
            return false;
        }
        let now = self.rooms();
        let new = rooms.iter().filter(|room| !now.contains(room)).count();
        let fits = now.len() + new <= max;
        let count = if fits { now.len() + new } else { now.len() };
        self.joined.store(count, Ordering::Relaxed);
        fits
    }

    /// Leaves a room.
    pub fn leave_room(&self, room: &str) {
        if *room == **self.id() {
            self.in_own_room.store(false, Ordering::Relaxed);
        }
        let room = room.to_owned();
        self.reach(move |link| link.leave(&room));
    }

    /// Leaves every room, including the one named by the client's own id.
    pub fn leave_all(&self) {
        self.in_own_room.store(false, Ordering::Relaxed);
        self.reach(|link| link.leave_all());
    }

    /// Returns the client's rooms. While its `disconnecting` listeners run, these are the rooms before the disconnect.
    pub fn rooms(&self) -> Vec<String> {
        let last = match self.phase() {
            Phase::Away | Phase::Closed => self.state().last_rooms.clone(),
            _ => None,
        };
        last.or_else(|| self.link().map(|link| self.with_own_room(link.rooms())))
            .unwrap_or_default()
    }

    /// Returns `true` if the client is in the room named by its own id.
    pub fn is_in_own_room(&self) -> bool {
        self.in_own_room.load(Ordering::Relaxed)
    }

    fn with_own_room(&self, mut rooms: Vec<String>) -> Vec<String> {
        if self.is_in_own_room() && !rooms.iter().any(|room| **room == **self.id()) {
            rooms.insert(0, self.id().to_string());
        }
        rooms
    }

    /// Records the rooms of a disconnecting client: `rooms`, and the one named by its own id.
    pub fn remember_rooms(&self, rooms: Vec<String>) {
        self.state().last_rooms = Some(self.with_own_room(rooms));
        self.in_own_room.store(false, Ordering::Relaxed);
    }

    /// Records that the client is no longer in any room.
    pub fn forget_rooms(&self) {
        self.state().last_rooms = Some(Vec::new());
    }

    fn send(&self, send: impl FnOnce(&dyn Link) -> Result<(), SendError>) -> Result<(), SendError> {
        match self.link() {
            Some(link) if self.is_connected() => send(&*link),
            _ => Err(SendError::Left),
        }
    }
}
