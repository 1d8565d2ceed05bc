//! Interface to clients, as the layers above the wire need it.

use std::{fmt, pin::Pin, time::Duration};

use rhai::{Array, Dynamic, Map};

use super::Packing;
use crate::value::{EncodeError, EncodedEvent, Packet};

/// One socket of one client.
pub trait Link: fmt::Debug + Send + Sync {
    /// Sends an event to this client.
    ///
    /// # Errors
    /// Fails if the client cannot accept it.
    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError>;

    /// Sends an event that a client that comes back does not receive later.
    ///
    /// # Errors
    /// Fails if the client cannot accept it.
    fn emit_volatile(&self, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        self.emit(event)
    }

    /// Returns `true` if calls that follow a slow call run on the threads for slow calls. The calls of an in-memory
    /// client run on the thread of its test, so that the test does not depend on the speed of its machine.
    fn separates_slow_calls(&self) -> bool {
        true
    }

    /// Answers the event that the client sent with this acknowledgement id.
    ///
    /// # Errors
    /// Fails if the client cannot accept it.
    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError>;

    /// Sends an event that asks for an ack. Returns a future of the ack, or of the reason why there is none: the ack is
    /// too late, or the client has disconnected. Without a `timeout`, an ack is never too late.
    ///
    /// # Errors
    /// Fails if the client cannot accept it.
    fn ask(&self, event: &EncodedEvent<'_>, timeout: Option<Duration>)
    -> Result<Answer, SendError>;

    /// Disconnects the client from the namespace. The disconnect is then handled as a separate work item.
    fn disconnect(&self);

    /// Closes the client's session after everything queued for the client is sent.
    fn close(&self);

    /// Returns `true` if earlier packets are waiting for this client, so that a volatile event is skipped.
    fn is_stalled(&self) -> bool;

    /// Joins rooms. Does nothing for a client that has disconnected. The room named by the client's own id is stored by
    /// the connection, not by the link.
    fn join(&self, rooms: &[String]);

    /// Leaves a room.
    fn leave(&self, room: &str);

    /// Returns `true` if [`Link::shut_down`] ends the session of the client.
    fn can_shut_down(&self) -> bool {
        false
    }

    /// Ends the session of the client, because the server ends, for a reason in Node's wording, once all sockets of the
    /// session have called this method. The disconnect is then handled as a separate work item.
    fn shut_down(&self, _reason: &'static str) {}

    /// Leaves every room.
    fn leave_all(&self);

    /// Returns the client's rooms.
    fn rooms(&self) -> Vec<String>;

    /// Returns a description of the request that opened the client's session: `headers`, `query`, `address`, `url`,
    /// `time`, `secure`, `xdomain`.
    fn handshake(&self) -> Map;

    /// Returns `websocket` or `polling`.
    fn transport(&self) -> &'static str;
}

/// All sockets of one namespace, including those of other processes.
pub trait NamespaceLink: fmt::Debug + Send + Sync {
    /// Returns `true` if calls of the namespace's unit that follow a slow call run on the threads for slow calls, as
    /// those of a socket do: see [`Link::separates_slow_calls`].
    fn separates_slow_calls(&self) -> bool {
        true
    }

    /// Sends an event to every socket that `target` selects.
    ///
    /// # Errors
    /// Fails if some clients cannot accept the event. All others have received it.
    fn emit(&self, target: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError>;

    /// Returns the ids of the sockets of this process that `target` selects.
    fn ids(&self, target: &Named<'_>) -> Vec<String>;

    /// Returns the non-empty rooms of this process, except the rooms named by the sockets' own ids. They are in the
    /// order of creation if the link knows it, and otherwise sorted by name.
    fn rooms(&self) -> Vec<String>;

    /// Called when the hooks of a disconnected socket have run. Keeps the connection for its client if `may_return` is
    /// `true`. Returns `false` if the connection is not kept.
    fn left(&self, _id: &str, _may_return: bool) -> bool {
        false
    }

    /// Returns the connections that are kept for their clients, and what these need to come back, as plain data for the
    /// next process; `None` if nothing is kept.
    fn pack(&self, _packing: &mut Packing<'_>) -> Option<Map> {
        None
    }

    /// Returns the kept connections of an earlier process, as plain data, that are not taken in yet.
    fn inherited(&self) -> Option<Array> {
        None
    }

    /// Ends all connections that are kept for their clients.
    fn end_kept(&self) {}
}

/// Target, and those of its rooms that are named by socket ids. Links do not store these rooms.
#[derive(Debug)]
#[non_exhaustive]
pub struct Named<'a> {
    /// Recipients of the broadcast.
    pub target: &'a Target,
    /// Rooms of the target that are socket ids.
    pub ids: Vec<&'a str>,
    /// Excluded rooms that are socket ids.
    pub except: Vec<&'a str>,
}

/// Recipients of a broadcast: the sockets that are in any of `rooms` (all sockets if `rooms` is empty), and in none of
/// `except`. A socket is in the room named by its own id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Rooms of the recipients.
    pub rooms: Vec<String>,
    /// Rooms whose sockets are excluded.
    pub except: Vec<String>,
    /// `true` restricts the target to sockets of this process.
    pub local: bool,
}

impl Target {
    /// Returns the target that selects all sockets in the namespace.
    pub fn everyone() -> Self {
        Self::default()
    }

    /// Returns the target that selects the sockets in a room.
    pub fn room(name: &str) -> Self {
        Self {
            rooms: vec![name.to_owned()],
            ..Self::default()
        }
    }

    /// Returns the target that selects all sockets except one.
    pub fn all_but(id: &str) -> Self {
        Self {
            except: vec![id.to_owned()],
            ..Self::default()
        }
    }
}

impl SendError {
    /// Returns the number of clients that do not receive the event.
    pub const fn clients(&self) -> usize {
        match self {
            Self::Full(clients) => *clients,
            _ => 1,
        }
    }
}

/// Reason why something was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A value cannot be encoded.
    #[error("{0}")]
    Value(String),
    /// The client has disconnected.
    #[error("the socket has left")]
    Left,
    /// The send queues of some clients are full. The field is the number of these clients.
    #[error("{0} of the clients cannot take more: too much waits for them already")]
    Full(usize),
    /// The adapter that carries events to other processes failed.
    #[error("the adapter failed: {0}")]
    Adapter(String),
}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        Self::Value(error.to_string())
    }
}

/// Error message for an ack that did not arrive in time, as in Node.
const TIMED_OUT: &str = "operation has timed out";
/// Error message for an ack whose client has disconnected, as in Node.
const LEFT: &str = "socket has been disconnected";

/// Reason why there is no ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The ack did not arrive in time.
    TimedOut,
    /// The client has disconnected.
    Left,
}

impl NoAnswer {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::TimedOut => TIMED_OUT,
            Self::Left => LEFT,
        }
    }
}

/// Future of a client's ack: its arguments, or the reason why there is none.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<Dynamic>, NoAnswer>> + Send>>;
