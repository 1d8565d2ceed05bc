//! What is asked of a socket of the crate, whichever link it is behind.

use std::sync::Arc;

use socketioxide::{SendError, SocketError, adapter::Adapter, socket::Socket};

use crate::host::transport::{wire::Wire, ws_frames};

/// The arguments of an event that has none, as the crate takes several.
const NO_ARGS: [(); 0] = [];

/// The rooms of a socket that scripts know of.
pub(super) fn rooms_of<A: Adapter>(socket: &Socket<A>, here: Option<&str>) -> Vec<String> {
    let rooms = socket.rooms().into_iter();
    rooms
        .filter(|room| Some(&**room) != here)
        .map(Into::into)
        .collect()
}

/// What the host knows of the socket's connection, if it came through the host's own service.
pub(super) fn wire<A: Adapter>(socket: &Socket<A>) -> Option<&Arc<Wire>> {
    socket.req_parts().extensions.get()
}

/// Hands the mark to the crate, if it takes it.
pub(super) fn mark<A: Adapter>(socket: &Socket<A>) -> bool {
    socket.emit(ws_frames::MARK, &NO_ARGS).is_ok()
}

/// Whether the crate took something for a client not, because as much waits for it as may.
pub(super) fn is_full(result: &Result<(), SendError>) -> bool {
    matches!(
        result,
        Err(SendError::Socket(SocketError::InternalChannelFull))
    )
}
