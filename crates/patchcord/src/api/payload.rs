//! Payloads for values that cannot be sent themselves.

use rhai::{Array, Dynamic};

use super::{Fallible, data::as_map, rooms::Rooms, sockets::Sockets};

/// Converts a handle for data to a map, [`Rooms`] to an array of names, and [`Sockets`] to an array of ids. Returns
/// every other value unchanged.
pub(crate) fn as_value(value: Dynamic) -> Fallible<Dynamic> {
    if let Some(map) = as_map(&value) {
        return map.map(Dynamic::from_map);
    }
    if let Some(Rooms(rooms)) = value.read_lock::<Rooms>().as_deref() {
        let names = rooms.iter().map(|room| room.as_str().into());
        return Ok(names.collect::<Array>().into());
    }
    if let Some(Sockets(sockets)) = value.read_lock::<Sockets>().as_deref() {
        let ids = sockets.iter().map(|socket| socket.id().to_string().into());
        return Ok(ids.collect::<Array>().into());
    }
    Ok(value)
}
