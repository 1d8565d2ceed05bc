//! The way to the wire, as far as anything above needs to know it.

use std::{fmt, pin::Pin, time::Duration};

use rhai::{Dynamic, Map};

use crate::value::{EncodeError, EncodedEvent, Packet};

/// One socket of one client.
pub trait Link: fmt::Debug + Send + Sync {
    /// Sends an event to this client.
    ///
    /// # Errors
    /// When the client cannot take it.
    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError>;

    /// Answers the event that the client sent with this acknowledgement id.
    ///
    /// # Errors
    /// When the client cannot take it.
    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError>;

    /// Sends an event that asks for an answer, and gives what becomes of it: the answer, or that it is too late, or that
    /// the client has left. Without a `timeout` it is never too late.
    ///
    /// # Errors
    /// When the client cannot take it.
    fn ask(&self, event: &EncodedEvent<'_>, timeout: Option<Duration>)
    -> Result<Answer, SendError>;

    /// Takes the client out of the namespace. Its disconnect follows as work of its own.
    fn disconnect(&self);

    /// Closes the client's connection, once what was sent is on its way.
    fn close(&self);

    /// Whether earlier packets wait for this client, so that a volatile one is skipped.
    fn is_stalled(&self) -> bool;

    /// Joins rooms. Does nothing for a client that has left. Whether it is in the room of its own id, its connection knows.
    fn join(&self, rooms: &[String]);

    /// Leaves a room.
    fn leave(&self, room: &str);

    /// Leaves every room.
    fn leave_all(&self);

    /// The rooms it is in.
    fn rooms(&self) -> Vec<String>;

    /// What is known of the request that opened the client's connection: `headers`, `query`, `address`, `url`, `time`,
    /// `secure`, `xdomain`.
    fn handshake(&self) -> Map;

    /// `websocket` or `polling`.
    fn transport(&self) -> &'static str;
}

/// All sockets of one namespace, those of other processes included.
pub trait NamespaceLink: fmt::Debug + Send + Sync {
    /// Sends an event to every socket that `target` names.
    ///
    /// # Errors
    /// When some clients cannot take it; the others have it then.
    fn emit(&self, target: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError>;

    /// The ids of the sockets of this process that `target` names.
    fn ids(&self, target: &Named<'_>) -> Vec<String>;

    /// The rooms of this process that somebody is in, beside those of the sockets' own ids.
    fn rooms(&self) -> Vec<String>;
}

/// A target, and those of its rooms whose sockets are in the rooms of their own ids, which links do not keep.
#[derive(Debug)]
#[non_exhaustive]
pub struct Named<'a> {
    /// Who gets it.
    pub target: &'a Target,
    /// Ids among the rooms.
    pub ids: Vec<&'a str>,
    /// Ids among the rooms left out.
    pub except: Vec<&'a str>,
}

/// Who gets a broadcast: the sockets of any of `rooms` (all sockets, if there are none) that are in none of
/// `except`. A socket is in the room of its own id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The rooms.
    pub rooms: Vec<String>,
    /// The rooms left out.
    pub except: Vec<String>,
    /// Only sockets of this process.
    pub local: bool,
}

impl Target {
    /// Everyone in the namespace.
    pub fn everyone() -> Self {
        Self::default()
    }

    /// Everyone but one socket.
    pub fn all_but(id: &str) -> Self {
        Self {
            except: vec![id.to_owned()],
            ..Self::default()
        }
    }
}

impl SendError {
    /// How many clients do not get what was sent.
    pub const fn clients(&self) -> usize {
        match self {
            Self::Full(clients) => *clients,
            _ => 1,
        }
    }
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A value has no form on the wire.
    #[error("{0}")]
    Value(String),
    /// The client has left.
    #[error("the socket has left")]
    Left,
    /// So much waits for this client that nothing more is taken.
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

/// What an answer is called that did not come in time, as in Node.
const TIMED_OUT: &str = "operation has timed out";
/// What an answer is called whose client left, as in Node.
const LEFT: &str = "socket has been disconnected";

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// It did not come in time.
    TimedOut,
    /// The client left.
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

/// What a client answers, when it does: the arguments, or why there are none.
pub type Answer = Pin<Box<dyn Future<Output = Result<Vec<Dynamic>, NoAnswer>> + Send>>;
