//! Functions for a socket of socketioxide that both links share.

use std::sync::Arc;

use socketioxide::{SendError, SocketError, adapter::Adapter, socket::Socket};

use crate::host::transport::{wire::Wire, ws_frames};

/// Arguments of an event that has none; socketioxide accepts several in this form.
const NO_ARGS: [(); 0] = [];

/// Returns the rooms of a socket that scripts know.
pub(super) fn rooms_of<A: Adapter>(socket: &Socket<A>, here: Option<&str>) -> Vec<String> {
    let rooms = socket.rooms().into_iter();
    rooms
        .filter(|room| Some(&**room) != here)
        .map(Into::into)
        .collect()
}

/// Returns the wire of the socket's connection, if the connection came through the host's own service.
pub(super) fn wire<A: Adapter>(socket: &Socket<A>) -> Option<&Arc<Wire>> {
    socket.req_parts().extensions.get()
}

/// Passes the barrier to socketioxide. Returns `false` if socketioxide does not accept it.
pub(super) fn mark<A: Adapter>(socket: &Socket<A>) -> bool {
    socket.emit(ws_frames::MARK, &NO_ARGS).is_ok()
}

/// Returns `true` if socketioxide did not accept something for a client because the maximum amount waits for the
/// client.
pub(super) fn is_full(result: &Result<(), SendError>) -> bool {
    matches!(
        result,
        Err(SendError::Socket(SocketError::InternalChannelFull))
    )
}
