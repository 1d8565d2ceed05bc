//! Lists of sockets and rooms.

use std::{collections::BTreeSet, sync::Arc};

use rhai::Dynamic;
use serde::Serialize;
use serde_json::Value;

use super::{NamespaceError, NamespaceHandle};
use crate::{
    connection::{Connection, Namespace, Target},
    value,
};

/// Connected socket, as [`NamespaceHandle::sockets`] lists it. The equivalent in Node is `RemoteSocket`. The headers of
/// the client's request are left out, because they contain its credentials.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RemoteSocket {
    /// `socket.id`
    pub id: Arc<str>,
    /// Rooms that the socket is in, including the room named by its id.
    pub rooms: Vec<String>,
    /// `socket.data`
    pub data: Value,
    /// `socket.handshake.address`: address of the client.
    pub address: Option<String>,
    /// `socket.handshake.issued`: time of the handshake, in milliseconds since 1970.
    pub issued: i64,
    /// `websocket` or `polling`
    pub transport: &'static str,
}

impl RemoteSocket {
    /// Returns the description of a socket; `None` if its client has disconnected.
    fn new(connection: &Connection) -> Option<Self> {
        let link = connection.link()?;
        let address = link.handshake().remove("address");
        let data = value::to_json(&Dynamic::from_map(connection.data().to_map("")));
        Some(Self {
            id: connection.id().clone(),
            rooms: connection.rooms(),
            data: data
                .ok()
                .and_then(|data| serde_json::from_str(&data).ok())
                .unwrap_or_default(),
            address: address.and_then(|address| address.into_string().ok()),
            issued: connection.issued(),
            transport: link.transport(),
        })
    }
}

impl NamespaceHandle {
    /// Returns the selected sockets of this process.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::new("fn on_connection(socket) { socket.data.name = \"Ada\"; socket.join(\"lobby\"); }");
    /// let ada = host.connect("/")?;
    /// let sockets = host.namespace("/").unwrap().to("lobby").sockets()?;
    /// assert_eq!((&*sockets[0].id, &sockets[0].data["name"]), (ada.id(), &"Ada".into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails if no script serves the namespace any more.
    pub fn sockets(&self) -> Result<Vec<RemoteSocket>, NamespaceError> {
        self.act(|namespace| {
            let selected = namespace.select(&self.target);
            Ok(selected
                .iter()
                .filter_map(|one| RemoteSocket::new(one))
                .collect())
        })
    }

    /// Returns the number of selected sockets, and those of them whose ids follow `after`, in the order of their ids, up
    /// to the first one for which `wants_more` returns `false`; with `true` if no further ones follow.
    pub(crate) fn sockets_after(
        &self,
        after: &str,
        mut wants_more: impl FnMut(&RemoteSocket) -> bool,
    ) -> Result<(usize, Vec<RemoteSocket>, bool), NamespaceError> {
        self.act(|namespace| {
            let mut selected = namespace.select(&self.target);
            let count = selected.len();
            selected.retain(|socket| &**socket.id() > after);
            selected.sort_unstable_by(|a, b| a.id().cmp(b.id()));
            let (mut rest, mut sockets) = (selected.iter(), Vec::new());
            for socket in rest.by_ref().filter_map(|one| RemoteSocket::new(one)) {
                let is_last = !wants_more(&socket);
                sockets.push(socket);
                if is_last {
                    break;
                }
            }
            Ok((count, sockets, rest.as_slice().is_empty()))
        })
    }

    /// Returns the rooms that the selected sockets are in, sorted by name, without the rooms named by ids of sockets.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::new("fn on_connection(socket) { socket.join([\"lobby\", \"game\"]); }");
    /// let _ada = host.connect("/")?;
    /// assert_eq!(host.namespace("/").unwrap().rooms()?, ["game", "lobby"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails if no script serves the namespace any more.
    pub fn rooms(&self) -> Result<Vec<String>, NamespaceError> {
        self.act(|namespace| Ok(rooms(namespace, &self.target)))
    }
}

/// Returns the rooms of the sockets that a target selects.
fn rooms(namespace: &Arc<Namespace>, target: &Target) -> Vec<String> {
    let rooms: BTreeSet<String> = match *target == Target::everyone() {
        true => namespace.rooms().into_iter().collect(),
        false => {
            let selected = namespace.select(target);
            selected.iter().flat_map(|one| one.rooms()).collect()
        }
    };
    let is_id = |room: &String| namespace.connection(room).is_some();
    rooms.into_iter().filter(|room| !is_id(room)).collect()
}
