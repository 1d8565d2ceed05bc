//! Namespace as the application uses it: it sends to sockets, moves them between rooms, and calls `on_api`.
//!
//! In: the path of a namespace, and rooms. Out: the same effects as those of `io` in a script. Nothing here runs in the
//! turn of a connection, so nothing here waits for a script, except [`NamespaceHandle::call`].

mod call;
mod error;
mod sockets;

use std::sync::Arc;

use rhai::Dynamic;
use serde::Serialize;

pub use error::NamespaceError;
pub use sockets::RemoteSocket;

use super::{Host, transport::flush};
use crate::{
    api,
    connection::{Connection, Namespace, OutgoingEvent, Target},
    value,
};

/// Namespace of a host, and the sockets in it that the next operation is for: all of them, unless [`to`](Self::to) and
/// [`except`](Self::except) select some. The equivalent in Node is `io.of(path)`. Returned by [`Host::namespace`].
///
/// The handle keeps no version and no sockets: each operation uses those of its moment. It keeps the host alive, as any
/// other handle of the host does. Call its methods on a Tokio runtime.
///
/// ```
/// use patchcord::testing::TestHost;
///
/// let host = TestHost::with([("chat.rhai", "fn on_connection(socket) { socket.join(\"lobby\"); }")]);
/// let ada = host.connect("/chat")?;
/// host.on_runtime(|| {
///     let chat = host.namespace("/chat").unwrap();
///     assert_eq!(chat.to("lobby").except("muted").emit("news", ("hi", 3))?, 1);
///     assert_eq!(chat.to("nobody").count()?, 0);
///     Ok::<_, patchcord::host::NamespaceError>(())
/// })?;
/// assert_eq!(ada.heard(), ["news [\"hi\",3]"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NamespaceHandle {
    host: Host,
    path: Arc<str>,
    target: Target,
    volatile: bool,
}

impl Host {
    /// Returns a handle of the namespace that scripts serve at a path, such as `/chat`, or `/room/7` for a script
    /// `room/{id}.rhai`. Returns `None` if no script serves the path.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::with([("room/{id}.rhai", "fn on_connection(socket) { }")]);
    /// assert!(host.namespace("/room/7").is_some());
    /// assert!(host.namespace("/chat").is_none());
    /// ```
    pub fn namespace(&self, path: &str) -> Option<NamespaceHandle> {
        self.state.namespaces.at(path)?;
        Some(NamespaceHandle {
            host: self.clone(),
            path: path.into(),
            target: Target::everyone(),
            volatile: false,
        })
    }
}

impl NamespaceHandle {
    /// Returns the path of the namespace.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns a handle for the sockets in a room. Several calls add up: they select the sockets in any of the rooms.
    /// Every socket is in the room named by its id.
    pub fn to(&self, room: impl Into<String>) -> Self {
        let mut selected = self.clone();
        selected.target.rooms.push(room.into());
        selected
    }

    /// Returns a handle that leaves out the sockets in a room. Several calls add up.
    pub fn except(&self, room: impl Into<String>) -> Self {
        let mut selected = self.clone();
        selected.target.except.push(room.into());
        selected
    }

    /// Returns a handle whose `emit` skips each client that cannot receive the event now, as `volatile` in scripts does.
    pub fn volatile(&self) -> Self {
        let mut volatile = self.clone();
        volatile.volatile = true;
        volatile
    }

    /// Sends an event to the selected sockets. `args` is a tuple or an array, one element for each argument, and `()`
    /// stands for no arguments. Returns the number of sockets of this process that were selected; with an adapter, the
    /// event reaches the sockets of other processes too.
    ///
    /// An event that a client cannot receive is announced as a
    /// [`HostEvent::EventDropped`](crate::HostEvent::EventDropped), as for an event of a script.
    ///
    /// # Errors
    /// Returns [`NamespaceError`] if the event cannot be sent to anybody, or if no script serves the namespace any more.
    pub fn emit(&self, event: &str, args: impl Serialize) -> Result<usize, NamespaceError> {
        api::check_event(event).map_err(NamespaceError::Event)?;
        let args = self.arguments(&args)?;
        self.act(|namespace| {
            let outgoing = OutgoingEvent::new(event, &args);
            // Encoded even if nobody is there, so that the same arguments are always accepted or always refused.
            let encoded = outgoing.encoded().map(drop);
            let selected = namespace.select(&self.target).len();
            let sent =
                encoded.and_then(|()| namespace.emit(&self.target, self.volatile, &outgoing));
            let sent = namespace.account(sent, None, event);
            sent.map_err(NamespaceError::Arguments).map(|()| selected)
        })
    }

    /// Makes the selected sockets join rooms. Returns the number of sockets that were selected.
    ///
    /// # Errors
    /// Returns [`NamespaceError::TooManyRooms`] if some of the sockets would be in more rooms than
    /// [`Limits::rooms`](crate::script::Limits::rooms) allows; all others have joined. Fails also if the name of a room
    /// is too long, or if no script serves the namespace any more.
    pub fn join<R: Into<String>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<usize, NamespaceError> {
        let rooms = names(rooms)?;
        let max = self.host.options().limits.rooms;
        self.act(|namespace| {
            let selected = namespace.select(&self.target);
            let refused = selected.iter().filter(|one| !one.join(&rooms, max));
            match refused.count() {
                0 => Ok(selected.len()),
                sockets => Err(NamespaceError::TooManyRooms { sockets, max }),
            }
        })
    }

    /// Makes the selected sockets leave rooms. Returns the number of sockets that were selected.
    ///
    /// # Errors
    /// Fails if the name of a room is too long, or if no script serves the namespace any more.
    pub fn leave<R: Into<String>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<usize, NamespaceError> {
        let rooms = names(rooms)?;
        self.each(|socket| rooms.iter().for_each(|room| socket.leave_room(room)))
    }

    /// Disconnects the selected sockets from the namespace. With `close`, closes the connections of their clients.
    /// Returns the number of sockets that were selected.
    ///
    /// # Errors
    /// Fails if no script serves the namespace any more.
    pub fn disconnect(&self, close: bool) -> Result<usize, NamespaceError> {
        self.each(|socket| socket.disconnect(close))
    }

    /// Returns the number of selected sockets.
    ///
    /// # Errors
    /// Fails if no script serves the namespace any more.
    pub fn count(&self) -> Result<usize, NamespaceError> {
        self.each(|_| {})
    }

    fn each(&self, act: impl Fn(&Connection)) -> Result<usize, NamespaceError> {
        self.act(|namespace| {
            let selected = namespace.select(&self.target);
            selected.iter().for_each(|socket| act(socket));
            Ok(selected.len())
        })
    }

    /// Runs `act` for the namespace; what it sends to a client is written at once, at the end. Returns the default if no
    /// socket is in the instance of a dynamic namespace.
    fn act<T: Default>(
        &self,
        act: impl FnOnce(&Arc<Namespace>) -> Result<T, NamespaceError>,
    ) -> Result<T, NamespaceError> {
        match self.now()? {
            Some(namespace) => flush::collect(None, || act(&namespace)),
            None => Ok(T::default()),
        }
    }

    /// Returns the namespace as it is now; `None` if no socket is in the instance of a dynamic namespace.
    fn now(&self) -> Result<Option<Arc<Namespace>>, NamespaceError> {
        let found = self.host.state.namespaces.at(&self.path);
        found.ok_or_else(|| NamespaceError::NotServed(self.path.clone()))
    }

    /// Converts arguments to values of scripts, within the limits for what clients send.
    fn arguments(&self, args: &impl Serialize) -> Result<Vec<Dynamic>, NamespaceError> {
        let wrong = |error: &dyn std::fmt::Display| NamespaceError::Arguments(error.to_string());
        let text = serde_json::to_string(args).map_err(|error| wrong(&error))?;
        match text.as_str() {
            "null" => Ok(Vec::new()),
            text => value::args(text, &[], &self.host.state.server.decoding)
                .map_err(|error| wrong(&error)),
        }
    }
}

/// Returns the names of rooms, if they are not too long.
fn names<R: Into<String>>(
    rooms: impl IntoIterator<Item = R>,
) -> Result<Vec<String>, NamespaceError> {
    let rooms: Vec<String> = rooms.into_iter().map(Into::into).collect();
    match rooms.iter().any(|room| room.len() > api::MAX_ROOM_NAME) {
        true => Err(NamespaceError::RoomName),
        false => Ok(rooms),
    }
}
