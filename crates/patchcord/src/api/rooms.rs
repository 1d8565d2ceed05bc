//! `io.rooms`, `socket.rooms`: lists of rooms to which no array limit applies; and room names in arguments.

use rhai::{
    Array, Dynamic, INT, ImmutableString, Module, combine_with_exported_module,
    plugin::export_module,
};

use super::{Fallible, refuse};
use crate::{connection::Connection, diagnostic::type_word, script::limit, value::register_type};

/// Maximum length of a room name, in bytes.
pub(crate) const MAX_ROOM_NAME: usize = 1024;

/// Room names at the time of the request.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(pub(super) Vec<String>);

impl IntoIterator for Rooms {
    type Item = ImmutableString;
    type IntoIter = std::iter::Map<std::vec::IntoIter<String>, fn(String) -> ImmutableString>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(ImmutableString::from)
    }
}

pub(super) fn register(module: &mut Module) {
    register_type::<Rooms>(module, "Rooms", |rooms| {
        Some(Dynamic::from_array(
            rooms.clone().into_iter().map(Dynamic::from).collect(),
        ))
    });
    module.set_iterable::<Rooms>();
    combine_with_exported_module!(module, "rooms", functions);
}

/// Adds a socket to rooms. Fails if the socket would exceed its limit of rooms.
pub(super) fn join_rooms(socket: &Connection, rooms: &[String]) -> Fallible {
    let max = limit(|limits| limits.rooms);
    match socket.join(rooms, max) {
        true => Ok(()),
        false => refuse(format!(
            "the socket `{}` is in {max} rooms or nearly so, which is the limit",
            socket.id()
        )),
    }
}

/// Returns the room names in an argument, which is one room or an array of rooms.
pub(super) fn room_names(word: &str, rooms: Dynamic) -> Fallible<Vec<String>> {
    let wrong = |got: &str| {
        refuse::<String>(format!(
            "`{word}` takes the name of a room, a string, or an array of them, and got {}",
            type_word(got)
        ))
    };
    let name = |room: Dynamic| match room.into_string() {
        Ok(name) if name.len() <= MAX_ROOM_NAME => Ok(name),
        Ok(_) => refuse(format!(
            "`{word}` takes names of rooms of up to {MAX_ROOM_NAME} bytes"
        )),
        Err(got) => wrong(got),
    };
    match rooms.try_cast_result::<Array>() {
        Ok(rooms) => rooms.into_iter().map(name).collect(),
        Err(room) => Ok(vec![name(room)?]),
    }
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the number of rooms.
    ///
    /// ```rhai
    /// print(socket.rooms.len());
    /// ```
    #[rhai_fn(name = "len", get = "len", pure)]
    pub(crate) fn count_rooms(rooms: &mut Rooms) -> INT {
        INT::try_from(rooms.0.len()).unwrap_or(INT::MAX)
    }

    /// Returns `true` if the list contains a room.
    ///
    /// ```rhai
    /// if "lobby" in socket.rooms { print("in the lobby"); }
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn contains(rooms: &mut Rooms, room: &str) -> bool {
        rooms.0.iter().any(|other| other == room)
    }

    /// Returns the room names as an array.
    ///
    /// ```rhai
    /// socket.emit("rooms", socket.rooms.to_array());
    /// ```
    #[rhai_fn(name = "to_array", pure)]
    pub(crate) fn rooms_to_array(rooms: &mut Rooms) -> Array {
        rooms.clone().into_iter().map(Dynamic::from).collect()
    }
}
