//! Log and kept connections of one namespace, between two processes.

use std::sync::Arc;

use rhai::{Array, Dynamic, Map};
use tokio::time::Instant;

use super::{ClientState, Left, NamespaceRecovery};
use crate::{
    connection::{Connection, Namespace, Packing},
    host::socketio::recovery::inherited::{PackedSocket, packed_instant, packed_number},
};

impl Left {
    /// Creates the state of a socket of an earlier process, with its connection.
    fn inherited(packed: PackedSocket, connection: Arc<Connection>, number: u64) -> Self {
        Self {
            _keeping: connection.namespace().keep(),
            connection,
            identity: packed.identity,
            rooms: packed.rooms,
            in_own_room: packed.in_own_room,
            left_at: packed.left_at,
            number,
            until: packed.until,
        }
    }

    fn pack(&self, packing: &mut Packing<'_>) -> Dynamic {
        let rooms = self.rooms.iter();
        let rooms = rooms.map(|(room, position)| ((&**room).into(), packed_number(*position)));
        Dynamic::from_map(Map::from([
            ("pid".into(), (&*self.identity.pid).into()),
            ("begins".into(), packed_number(self.identity.begins())),
            ("sent".into(), packed_number(self.identity.sent())),
            ("rooms".into(), rooms.collect::<Map>().into()),
            ("in_own_room".into(), self.in_own_room.into()),
            ("left_at".into(), packed_number(self.left_at)),
            ("until".into(), packed_instant(self.until)),
            ("connection".into(), self.connection.pack(packing)),
        ]))
    }
}

impl NamespaceRecovery {
    /// Returns the log and the kept connections as plain data; `None` if there are none. `joins` is the position of the
    /// last join of a room. Connections of an earlier process that were not taken in yet are passed on.
    pub(in crate::host::socketio) fn pack(
        &self,
        packing: &mut Packing<'_>,
        joins: u64,
    ) -> Option<Map> {
        let (log, kept) = self.log_and_kept();
        let sockets: Array = kept.iter().map(|left| left.pack(packing)).collect();
        // Their connections are not needed any more.
        kept.into_iter().for_each(Left::end);
        let inherited = self.inherited.lock().take();
        if log.is_unit() && sockets.is_empty() && inherited.is_none() {
            return None;
        }
        let mut packed = Map::from([
            ("log".into(), log),
            ("joins".into(), packed_number(joins)),
            ("sockets".into(), sockets.into()),
        ]);
        if let Some(inherited) = inherited {
            packed.insert("sockets".into(), inherited.sockets);
            packed.insert("versions".into(), inherited.versions);
        }
        Some(packed)
    }

    /// Keeps the connections that an earlier process has kept, before the first client connects. `unpack` creates
    /// connections from their plain data.
    pub(in crate::host::socketio) async fn take_in<F>(&self, namespace: &Arc<Namespace>, unpack: F)
    where
        F: FnOnce(&Arc<Namespace>, &[Dynamic], &Dynamic) -> Vec<Option<Arc<Connection>>>
            + Send
            + 'static,
    {
        let namespace = namespace.clone();
        let take_in = async || {
            let Some(inherited) = self.inherited.lock().take() else {
                return;
            };
            // There may be thousands.
            let unpacked = tokio::task::spawn_blocking(move || {
                let packed = inherited.sockets.into_array().unwrap_or_default();
                let sockets: Vec<_> = packed.iter().filter_map(PackedSocket::unpack).collect();
                let connections: Vec<_> =
                    sockets.iter().map(|one| one.connection.clone()).collect();
                let connections = unpack(&namespace, &connections, &inherited.versions);
                sockets.into_iter().zip(connections).collect::<Vec<_>>()
            });
            for (socket, connection) in unpacked.await.unwrap_or_default() {
                if let Some(connection) = connection {
                    self.keep_inherited(socket, connection);
                }
            }
        };
        self.has_taken_in.get_or_init(take_in).await;
    }

    /// Returns the kept connections of an earlier process, as plain data, that are not taken in yet.
    pub(in crate::host::socketio) fn inherited(&self) -> Option<Array> {
        let inherited = self.inherited.lock();
        let sockets = inherited.as_ref()?.sockets.clone();
        drop(inherited);
        sockets.into_array().ok()
    }

    /// Returns the log as plain data, and removes the kept connections.
    fn log_and_kept(&self) -> (Dynamic, Vec<Left>) {
        let mut state = self.lock();
        let log = match state.log.last() {
            0 => Dynamic::UNIT,
            _ => state.log.pack(),
        };
        let kept = state
            .clients
            .extract_if(|_, client| matches!(client, ClientState::Kept(_)));
        let mut kept: Vec<_> = kept
            .filter_map(|(_, client)| match client {
                ClientState::Kept(left) => Some(*left),
                _ => None,
            })
            .collect();
        drop(state);
        kept.sort_unstable_by_key(|left| left.number);
        kept.iter().for_each(|left| self.host.forget(left.number));
        (log, kept)
    }

    /// Keeps a connection of an earlier process, unless its time is over.
    fn keep_inherited(&self, socket: PackedSocket, connection: Arc<Connection>) {
        let (number, latest) = self.host.next();
        let mut left = Box::new(Left::inherited(socket, connection, number));
        left.until = left.until.min(latest);
        match left.until > Instant::now() {
            true => self.put_back(left),
            false => left.end(),
        }
    }
}
