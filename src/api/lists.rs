//! `io.sockets`, `io.rooms`, `socket.rooms`: lists that no array limit cuts.

use std::sync::Arc;

use rhai::{
    Array, Dynamic, INT, ImmutableString, Module, combine_with_exported_module,
    plugin::export_module,
};

use super::Socket;
use crate::connection::Connection;

/// Sockets, as they were when they were asked for.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(pub(super) Vec<Arc<Connection>>);

/// Names of rooms, as they were when they were asked for.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(pub(super) Vec<String>);

impl IntoIterator for Sockets {
    type Item = Socket;
    type IntoIter =
        std::iter::Map<std::vec::IntoIter<Arc<Connection>>, fn(Arc<Connection>) -> Socket>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(Socket)
    }
}

impl IntoIterator for Rooms {
    type Item = ImmutableString;
    type IntoIter = std::iter::Map<std::vec::IntoIter<String>, fn(String) -> ImmutableString>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(ImmutableString::from)
    }
}

pub(super) fn register(module: &mut Module) {
    module
        .set_custom_type::<Sockets>("Sockets")
        .set_custom_type::<Rooms>("Rooms");
    module.set_iterable::<Sockets>().set_iterable::<Rooms>();
    combine_with_exported_module!(module, "lists", words);
}

fn length(count: usize) -> INT {
    INT::try_from(count).unwrap_or(INT::MAX)
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod words {
    /// How many sockets these are.
    ///
    /// ```rhai
    /// print(io.sockets.len());
    /// ```
    #[rhai_fn(name = "len", get = "len", pure)]
    pub(crate) fn count_sockets(sockets: &mut Sockets) -> INT {
        length(sockets.0.len())
    }

    /// How many rooms these are.
    ///
    /// ```rhai
    /// print(socket.rooms.len());
    /// ```
    #[rhai_fn(name = "len", get = "len", pure)]
    pub(crate) fn count_rooms(rooms: &mut Rooms) -> INT {
        length(rooms.0.len())
    }

    /// Whether a room is among these.
    ///
    /// ```rhai
    /// if "lobby" in socket.rooms { print("in the lobby"); }
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn contains(rooms: &mut Rooms, room: &str) -> bool {
        rooms.0.iter().any(|other| other == room)
    }

    /// These sockets as an array.
    ///
    /// ```rhai
    /// let ids = io.sockets.to_array().map(|socket| socket.id);
    /// ```
    #[rhai_fn(name = "to_array", pure)]
    pub(crate) fn sockets_to_array(sockets: &mut Sockets) -> Array {
        sockets.clone().into_iter().map(Dynamic::from).collect()
    }

    /// These rooms as an array.
    ///
    /// ```rhai
    /// socket.emit("rooms", socket.rooms.to_array());
    /// ```
    #[rhai_fn(name = "to_array", pure)]
    pub(crate) fn rooms_to_array(rooms: &mut Rooms) -> Array {
        rooms.clone().into_iter().map(Dynamic::from).collect()
    }
}
