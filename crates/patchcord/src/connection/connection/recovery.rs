//! A connection whose client has lost its transport, and comes back: what is kept, and what `on_connection` changes when
//! it runs again.
//!
//! A connection is kept as it was just before its disconnect: the `disconnecting` and `disconnect` listeners and
//! `on_disconnect` run on the originals of its closures, and the connection keeps copies, because these calls clean up
//! (they clear timers, or empty variables).

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use rhai::{Dynamic, ImmutableString, Map};

use super::{Connection, Request};
use crate::{
    connection::{
        Client, DraftResult, Phase, PresenceLimits, Presented, Registered, RegisteredBy,
        listeners::Merging, merge::merge_data, pairs::Past,
    },
    script::{CarriedState, Copies, is_same_value, release_lost},
};

/// Presence of a socket when its client lost its transport: its keys with their metas.
#[derive(Debug)]
pub(super) struct KeptPresence {
    pub(super) keys: BTreeMap<ImmutableString, Dynamic>,
}

/// State of a connection before `on_connection` runs again for a client that has come back.
#[derive(Debug)]
pub struct BeforeReturn {
    registered: Registered,
    data: Map,
    rooms: Vec<String>,
    present: BTreeMap<ImmutableString, Dynamic>,
}

impl Connection {
    /// Returns the number of times that the client has come back.
    pub fn returns(&self) -> u32 {
        self.returns.load(Ordering::Acquire)
    }

    /// Returns `true` if the client has come back to this connection.
    pub fn is_recovered(&self) -> bool {
        self.returns() > 0
    }

    /// Records that the client may come back, before the disconnect is posted.
    pub fn expect_return(&self) {
        self.may_return.store(true, Ordering::Release);
    }

    /// Returns `true` if the client was expected to come back when it disconnected.
    pub fn is_return_expected(&self) -> bool {
        self.may_return.load(Ordering::Acquire)
    }

    /// Ends the connection, or sets it aside if its client may come back. From now on, it neither sends nor handles
    /// anything. Called in the connection's turn.
    pub fn depart(&self) {
        let may_return = self.is_return_expected() && !self.is_cut();
        if !may_return || !self.phase.advance(Phase::Connected, Phase::Away) {
            self.close();
            return;
        }
        let present = self.namespace.held_by(self);
        let mut state = self.state();
        let copy = state.registered.copy(&mut Copies::default());
        state.for_return = Some(Box::new(copy));
        if !present.is_empty() {
            state.present_for_return = Some(Box::new(KeptPresence { keys: present }));
        }
    }

    /// Frees everything that a client that comes back does not need, and replaces the registrations with the copies.
    /// Called in the connection's turn, after the calls of the disconnect.
    pub fn rest(&self) {
        self.beginnings.fetch_add(1, Ordering::Relaxed);
        self.mailbox.clear();
        let link = self.link.lock().take();
        let mut state = self.state();
        let kept = state.for_return.take().unwrap_or_default();
        let registered = std::mem::replace(&mut state.registered, *kept);
        let (adoption, cancellation) = (state.adoption.take(), state.cancellation.take());
        let acks = state.acks.end();
        state.pending_calls = 0;
        drop(state);
        registered.release();
        adoption.iter().for_each(|adoption| adoption.release());
        cancellation.iter().for_each(|token| token.cancel());
        // Dropped without holding the lock, because a closure may hold anything.
        drop((registered, adoption, acks, link));
    }

    /// Begins the return of the client with another CONNECT, and returns the number of the return.
    pub fn begin_return(&self, client: Client, auth: Dynamic, issued: i64) -> u32 {
        *self.request.lock() = Request {
            client,
            auth,
            issued,
        };
        self.may_return.store(false, Ordering::Release);
        self.returns.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Enters the namespace again, as [`Connection::enter`] does for a new connection.
    pub fn enter_again(self: &Arc<Self>, pass: Box<dyn Any + Send>, in_own_room: bool) {
        self.state().last_rooms = None;
        self.in_own_room.store(in_own_room, Ordering::Relaxed);
        self.enter(pass);
        let present = self.state().present_for_return.take();
        for (key, meta) in present.into_iter().flat_map(|present| present.keys) {
            self.keep_present(key, meta);
        }
    }

    /// Makes the socket present under a key that it had before.
    fn keep_present(&self, key: ImmutableString, meta: Dynamic) {
        // Without limits, nothing fails.
        let _ = self
            .namespace
            .present(self, key, meta, PresenceLimits::NONE);
    }

    /// Leaves the namespace, if the CONNECT of this return (0 is the first CONNECT) was never answered. The connection
    /// is then kept, if it was kept before. Returns `true` if it has left.
    pub fn abandon(&self, nth_return: u32) -> bool {
        if self.returns() != nth_return {
            return false;
        }
        if nth_return == 0 {
            let leaves = self.phase.advance(Phase::Accepted, Phase::Closed);
            if leaves {
                self.leave();
            }
            return leaves;
        }
        let leaves = self.phase.advance(Phase::Accepted, Phase::Away);
        if leaves {
            self.namespace.leave(self);
            self.end_pass();
            self.mailbox.clear();
            let early = std::mem::take(&mut self.state().early);
            early.into_iter().for_each(|send| send(None));
        }
        leaves
    }

    /// Removes the registrations before `on_connection` runs again, and returns the state of the connection.
    pub fn begin_again(&self) -> BeforeReturn {
        let data = self.data.get().map(|data| data.to_map(""));
        BeforeReturn {
            registered: self.state().registered.take(),
            data: data.unwrap_or_default(),
            rooms: self.rooms(),
            present: self.namespace.held_by(self),
        }
    }

    /// Merges what the second run of `on_connection` has made into the state from before it. `base` is what the same
    /// code has made in its first run, as a draft. What the second run does as the first one did has no effect: it is
    /// still in effect, or the connection has changed it since. Called in the connection's turn.
    pub fn merge_again(self: &Arc<Self>, before: BeforeReturn, base: &DraftResult) {
        self.undo_repeated_rooms(&before.rooms, &base.rooms);
        self.undo_repeated_presence(&before.present, &base.present);
        {
            let mut state = self.state();
            let mut new = std::mem::replace(&mut state.registered, before.registered);
            // Closures that wait for acks get the variables of the others, too.
            let asking = state.acks.numbered();
            for (number, handler) in &asking {
                let event = of_ack(*number);
                let by = RegisteredBy::Handler;
                new.listeners.add(event, handler.clone(), true, by);
            }
            let merged = state
                .registered
                .merge(&base.registered, new, &[], Merging::Again);
            for (number, _) in asking {
                if let Some(handler) = state.registered.listeners.take(&of_ack(number)) {
                    state.acks.replace(number, handler);
                }
            }
            state.registered.timers.start(&self.when_due());
            self.note_listens(state.registered.listeners.bits());
            let live = state.registered.handlers().chain(state.acks.handlers());
            release_lost(merged.gone.iter(), live);
        }
        self.merge_data_again(&before.data, base);
        let data = Some(before.data).filter(|data| !data.is_empty());
        self.state().data_at_handshake = data.map(Box::new);
    }

    /// Merges the keys of `socket.data` that the second run of `on_connection` has changed.
    fn merge_data_again(&self, before: &Map, base: &DraftResult) {
        let Some(data) = self.data.get() else {
            return;
        };
        let after = data.to_map("");
        let mut written = base.data.clone();
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (was, is) = (before.get(key), after.get(key));
            let is_same = match (was, is) {
                (Some(was), Some(is)) => is_same_value(was, is),
                (was, is) => was.is_none() && is.is_none(),
            };
            if is_same {
                continue;
            }
            written.insert(key.as_str().into(), is.cloned());
            match was {
                Some(value) => data.set(key, value.clone()),
                None => drop(data.remove(key)),
            }
        }
        let first = self.data_at_handshake();
        let (mut past, mut carried) = (Past::default(), CarriedState::default());
        merge_data(
            (data, &first),
            (&base.data, written),
            &mut past,
            &mut carried,
        );
    }

    /// Undoes the changes of rooms that `on_connection` has repeated: a client that has left a room is not in it again.
    fn undo_repeated_rooms(self: &Arc<Self>, before: &[String], base: &BTreeMap<String, bool>) {
        let after = self.rooms();
        for (room, joined) in base {
            let (was, is) = (before.contains(room), after.contains(room));
            match (*joined, was, is) {
                (true, false, true) => self.leave_room(room),
                (false, true, false) => drop(self.join(std::slice::from_ref(room), usize::MAX)),
                _ => {}
            }
        }
    }
}

impl Connection {
    /// Undoes the changes of the presence that `on_connection` has repeated: a key whose meta the client has changed
    /// keeps it, and a key that it has taken back is not present again.
    fn undo_repeated_presence(
        &self,
        before: &BTreeMap<ImmutableString, Dynamic>,
        base: &Presented,
    ) {
        let after = self.namespace.held_by(self);
        for (key, made) in base {
            match (made, before.get(key), after.get(key)) {
                (Some(made), Some(was), Some(is)) if is_same_value(made, is) => {
                    self.keep_present(key.clone(), was.clone());
                }
                (Some(made), None, Some(is)) if is_same_value(made, is) => {
                    self.namespace.absent(self, key);
                }
                (None, Some(was), None) => self.keep_present(key.clone(), was.clone()),
                _ => {}
            }
        }
    }
}

/// Returns the internal event under which a closure that waits for an ack takes part in a merge.
fn of_ack(number: u64) -> ImmutableString {
    format!("\u{0}ack {number}").into()
}
