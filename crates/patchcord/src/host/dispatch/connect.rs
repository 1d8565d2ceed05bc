//! Runs `on_connection` for real: at the beginning of a connection, and when a connection begins anew.

use std::sync::Arc;

use rhai::Dynamic;

use super::Dispatcher;
use crate::{
    api::Socket,
    connection::{Connection, Turn},
    event::HostEvent,
    script::{Handler, Hook, Version},
};

impl Dispatcher {
    pub(super) fn connect(&self, connection: &Arc<Connection>) {
        let version = connection.version().or(connection.serving());
        if let Some(version) = version.filter(|_| connection.begin()) {
            connection.keep_data_of_handshake();
            self.on_connection(connection, version);
        }
        connection.end_pass();
        // Another version may serve since its handshake.
        self.adopt(connection);
    }

    /// Lets a live connection begin anew with a version, in its turn: everything that scripts have made of it is removed,
    /// and `on_connection` runs for real. Returns `false` if it fails; then the client is disconnected.
    pub(in crate::host) fn begin_anew(
        &self,
        connection: &Arc<Connection>,
        version: Arc<Version>,
    ) -> bool {
        connection.begin_anew();
        self.on_connection(connection, version)
    }

    fn on_connection(&self, connection: &Arc<Connection>, version: Arc<Version>) -> bool {
        let hook = Handler::of_hook(&version, Hook::Connection);
        let socket = Dynamic::from(Socket(connection.clone()));
        let turn = Turn::of(connection.clone());
        let connect = || match &hook {
            Some(hook) => turn.record(|| hook.call(vec![socket])),
            None => (Ok(Dynamic::UNIT), None),
        };
        let (result, tape) = connection.connect(version, connect);
        connection.keep_tape(tape);
        let (Err(error), Some(hook)) = (result, hook) else {
            return true;
        };
        self.failed(connection, &hook, error, &"`on_connection`");
        self.disconnect_failed(connection);
        false
    }

    /// Disconnects a client whose `on_connection` failed, because it does not have all of its handlers. `on_disconnect`
    /// follows as at any other end.
    pub(super) fn disconnect_failed(&self, connection: &Connection) {
        if !connection.is_connected() {
            return;
        }
        connection.disconnect(false);
        self.announcer.announce(HostEvent::ClientDisconnected {
            peer: None,
            socket: Some(connection.id().to_string()),
            reason: "its `on_connection` failed".to_owned(),
        });
    }
}
