//! Functions for a socket of socketioxide that both links share.

use socketioxide::{SendError, SocketError, adapter::Adapter, socket::Socket};

/// Returns the rooms of a socket, without `here`, which is hidden from scripts.
pub(super) fn rooms_of<A: Adapter>(socket: &Socket<A>, here: Option<&str>) -> Vec<String> {
    let rooms = socket.rooms().into_iter();
    rooms
        .filter(|room| Some(&**room) != here)
        .map(Into::into)
        .collect()
}

/// Returns `true` if socketioxide did not accept a packet because the queue of the client is full.
pub(super) fn is_full(result: &Result<(), SendError>) -> bool {
    matches!(
        result,
        Err(SendError::Socket(SocketError::InternalChannelFull))
    )
}
