//! Runs `on_connection` with its effects: when a client connects, and when a connection starts over.

use std::sync::Arc;

use rhai::Dynamic;

use super::{Dispatcher, drafts};
use crate::{
    api::{self, Socket},
    connection::{Connection, Draft, Turn},
    event::HostEvent,
    script::{Handler, Hook, Version},
};

impl Dispatcher {
    pub(super) fn connect(&self, connection: &Arc<Connection>) {
        let version = connection.version().or(connection.serving());
        if connection.is_recovered() {
            self.connect_again(connection);
        } else if let Some(version) = version.filter(|_| connection.begin()) {
            connection.keep_data_of_handshake();
            self.on_connection(connection, version);
        }
        connection.end_pass();
        // The version that serves may have changed since the handshake.
        self.adopt(connection);
    }

    /// Runs `on_connection` of the version that serves for a client that has come back. Its effects are real, but the
    /// connection keeps what its handlers have changed since the client first connected.
    fn connect_again(&self, connection: &Arc<Connection>) {
        let Some(new) = connection.serving().filter(|_| connection.begin()) else {
            return;
        };
        let Some(old) = connection.version() else {
            // An earlier process could not leave its closures to this one.
            self.on_connection(connection, new);
            return;
        };
        if connection.may_have_lost_values() {
            let draft = Draft::new(api::freeze(), connection.tape().as_deref(), None);
            let (same, _) = drafts::run(connection, &old, Hook::Connection, draft);
            connection.restore_lost(&same.registered);
        }
        // The client may have been away during an edit.
        self.adopt(connection);
        if new.starts_over() && !Arc::ptr_eq(&old, &new) {
            return;
        }
        let draft = Draft::new(api::freeze(), connection.tape().as_deref(), None);
        let (base, _) = drafts::run(connection, &new, Hook::Connection, draft);
        let before = connection.begin_again();
        self.on_connection(connection, new);
        let turn = Turn::new(connection.clone());
        turn.run(|| connection.merge_again(before, &base));
    }

    /// Starts a live connection over with a version: removes everything that scripts have added to it, and runs
    /// `on_connection` with its effects. It must be called in the connection's turn. Returns `false` if `on_connection`
    /// fails; then the client is disconnected.
    pub(in crate::host) fn start_over(
        &self,
        connection: &Arc<Connection>,
        version: Arc<Version>,
    ) -> bool {
        connection.start_over();
        self.on_connection(connection, version)
    }

    fn on_connection(&self, connection: &Arc<Connection>, version: Arc<Version>) -> bool {
        let hook = Handler::of_hook(&version, Hook::Connection);
        let socket = Dynamic::from(Socket(connection.clone()));
        let turn = Turn::new(connection.clone());
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

    /// Disconnects a client whose `on_connection` failed, because the connection lacks some of its handlers.
    /// `on_disconnect` follows, as at any other disconnect.
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
