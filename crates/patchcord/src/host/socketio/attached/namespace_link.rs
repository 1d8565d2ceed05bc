//! Link from scripts to all sockets of a namespace.

use std::{
    collections::{BTreeSet, HashSet},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use socketioxide::{
    SocketIo,
    adapter::Adapter,
    extract::SocketRef,
    socket::{Sid, Socket},
};

use super::{cluster::Remote, socket::is_full, stalled};
use crate::{
    connection::{Named, NamespaceLink, SendError},
    value::{EncodedEvent, Written},
};

/// Link from scripts to one namespace of socketioxide.
pub(in crate::host::socketio) struct Broadcasts<A: Adapter> {
    pub(in crate::host::socketio) io: SocketIo<A>,
    pub(in crate::host::socketio) path: Arc<str>,
    /// Link to the sockets of other processes, if the adapter has one.
    pub(in crate::host::socketio) remote: Option<Remote>,
}

impl<A: Adapter> std::fmt::Debug for Broadcasts<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broadcasts")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> Broadcasts<A> {
    fn sockets(&self, named: &Named<'_>) -> Vec<SocketRef<A>> {
        let Some(all) = self.io.of(&*self.path) else {
            return Vec::new();
        };
        let target = named.target;
        let left_out = sids(&named.except);
        let own: Vec<_> = sids(&named.ids)
            .into_iter()
            .filter_map(|id| all.get_socket(id))
            .filter(|socket| !is_in(socket, &target.except))
            .collect();
        let mut sockets = all
            .to(target.rooms.clone())
            .except(target.except.clone())
            .sockets();
        if !own.is_empty() {
            let found: HashSet<_> = sockets.iter().map(|socket| socket.id).collect();
            sockets.extend(own.into_iter().filter(|socket| !found.contains(&socket.id)));
        }
        sockets.retain(|socket| !left_out.contains(&socket.id));
        sockets
    }
}

impl<A: Adapter> NamespaceLink for Broadcasts<A> {
    fn emit(&self, named: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let written = Written::event(event);
        let mut full = 0;
        for socket in self.sockets(named) {
            if stalled::is_disconnecting(&socket) {
                continue;
            }
            if is_full(&socket.emit(event.name(), &written)) {
                full += 1;
                stalled::disconnect_stalled(socket);
            }
        }
        if let Some(remote) = self.remote.as_ref().filter(|_| !named.target.local) {
            remote.emit(named.target, event)?;
        }
        match full {
            0 => Ok(()),
            full => Err(SendError::Full(full)),
        }
    }

    fn ids(&self, named: &Named<'_>) -> Vec<String> {
        self.sockets(named)
            .into_iter()
            .map(|socket| socket.id.to_string())
            .collect()
    }

    fn rooms(&self) -> Vec<String> {
        let here = self.remote.as_ref().map(|remote| &**remote.here());
        let rooms = self
            .io
            .of(&*self.path)
            .and_then(|sockets| poll_now(sockets.local().rooms()));
        let rooms = rooms.and_then(Result::ok).unwrap_or_default().into_iter();
        let rooms = rooms.filter(|room| Some(&**room) != here);
        let mut rooms: Vec<_> = rooms.map(String::from).collect();
        rooms.sort_unstable();
        rooms
    }
}

fn sids(ids: &[&str]) -> BTreeSet<Sid> {
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}

fn is_in<A: Adapter>(socket: &Socket<A>, rooms: &[String]) -> bool {
    !rooms.is_empty()
        && socket
            .rooms()
            .iter()
            .any(|room| rooms.iter().any(|one| one == room))
}

/// Polls a future once. Once is enough, because operations on sockets of this process do not wait.
fn poll_now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
