//! Interface to the wire, as far as the layers above need it.

use std::{fmt, pin::Pin, time::Duration};

use rhai::{Dynamic, Map};

use crate::value::{EncodeError, EncodedEvent, Packet};

/// One socket of one client.
pub trait Link: fmt::Debug + Send + Sync {
    /// Sends an event to this client.
    ///
    /// # Errors
    /// When the client cannot accept it.
    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError>;

    /// Returns `true` if calls after a slow one run on the threads for slow calls. The calls of a client in memory run
    /// on the thread of the test that makes them, so that a test does not depend on the speed of its machine.
    fn separates_slow_calls(&self) -> bool {
        true
    }

    /// Answers the event that the client sent with this acknowledgement id.
    ///
    /// # Errors
    /// When the client cannot accept it.
    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError>;

    /// Sends an event that asks for an answer. Returns a future of the answer, or of the reason why there is none: the
    /// answer is too late, or the client has left. Without a `timeout` an answer is never too late.
    ///
    /// # Errors
    /// When the client cannot accept it.
    fn ask(&self, event: &EncodedEvent<'_>, timeout: Option<Duration>)
    -> Result<Answer, SendError>;

    /// Removes the client from the namespace. Its disconnect follows as a work item of its own.
    fn disconnect(&self);

    /// Closes the client's session, after everything that was sent to the client has left.
    fn close(&self);

    /// Returns `true` if earlier packets wait for this client, so that a volatile event is skipped.
    fn is_stalled(&self) -> bool;

    /// Joins rooms. Does nothing for a client that has left. The room of the client's own id is kept by the connection,
    /// and not by the link.
    fn join(&self, rooms: &[String]);

    /// Leaves a room.
    fn leave(&self, room: &str);

    /// Leaves every room.
    fn leave_all(&self);

    /// Returns the rooms that the client is in.
    fn rooms(&self) -> Vec<String>;

    /// Returns a description of the request that opened the client's session: `headers`, `query`, `address`, `url`,
    /// `time`, `secure`, `xdomain`.
    fn handshake(&self) -> Map;

    /// Returns `websocket` or `polling`.
    fn transport(&self) -> &'static str;
}

/// All sockets of one namespace, including those of other processes.
pub trait NamespaceLink: fmt::Debug + Send + Sync {
    /// Sends an event to every socket that `target` names.
    ///
    /// # Errors
    /// When some clients cannot accept it; the others have received it then.
    fn emit(&self, target: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError>;

    /// Returns the ids of the sockets of this process that `target` names.
    fn ids(&self, target: &Named<'_>) -> Vec<String>;

    /// Returns the rooms of this process that have sockets, except the rooms of the sockets' own ids, in the order of
    /// creation if the link knows it, and sorted by name if it does not.
    fn rooms(&self) -> Vec<String>;
}

/// Target, with a list of its rooms that are the own rooms of sockets, named by their ids. Links do not keep these
/// rooms.
#[derive(Debug)]
#[non_exhaustive]
pub struct Named<'a> {
    /// Recipients of the broadcast.
    pub target: &'a Target,
    /// Socket ids among the rooms of the target.
    pub ids: Vec<&'a str>,
    /// Socket ids among the excluded rooms.
    pub except: Vec<&'a str>,
}

/// Recipients of a broadcast: the sockets of any of `rooms` (all sockets, if there are none) that are in none of
/// `except`. A socket is in the room of its own id.
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
    /// Returns the target of all sockets in the namespace.
    pub fn everyone() -> Self {
        Self::default()
    }

    /// Returns the target of all sockets but one.
    pub fn all_but(id: &str) -> Self {
        Self {
            except: vec![id.to_owned()],
            ..Self::default()
        }
    }
}

impl SendError {
    /// Returns the number of clients that do not receive what was sent.
    pub const fn clients(&self) -> usize {
        match self {
            Self::Full(clients) => *clients,
            _ => 1,
        }
    }
}

/// Reason for which something was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A value cannot be encoded.
    #[error("{0}")]
    Value(String),
    /// The client has left.
    #[error("the socket has left")]
    Left,
    /// The send queues of some clients are full. Contains the number of these clients.
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

/// Error message for an answer that did not come in time, as in Node.
const TIMED_OUT: &str = "operation has timed out";
/// Error message for an answer whose client has left, as in Node.
const LEFT: &str = "socket has been disconnected";

/// Reason for which there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The answer did not come in time.
    TimedOut,
    /// The client has left.
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

/// Future of a client's answer: its arguments, or the reason why there are none.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<Dynamic>, NoAnswer>> + Send>>;
