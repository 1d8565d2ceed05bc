//! Handshake of a client: calls `on_handshake`, which accepts or rejects the client.

use std::sync::Arc;

use rhai::Dynamic;

use super::{Dispatcher, diagnose};
use crate::{
    api::{self, Socket},
    connection::{Connection, HandshakeReply, Link, Turn},
    event::{ConnectRefusal, HostEvent},
    script::{Handler, Hook},
};

/// Error message for a client whose `on_handshake` failed. It has no details, because the client must not see errors of
/// the script.
const FAILED: &str = "handshake failed";
/// Error message for a client for which `on_handshake` did not answer in time.
const TOO_LATE: &str = "handshake timed out";

impl Dispatcher {
    /// Runs the handshake of a client over `link`, and waits for the answer of the script.
    ///
    /// # Errors
    /// Returns the reason for the rejection, which the client receives.
    pub(in crate::host) async fn shake(
        &self,
        connection: &Arc<Connection>,
        link: Arc<dyn Link>,
    ) -> Result<(), String> {
        let version = connection.serving();
        if version.is_none_or(|version| !version.has(Hook::Handshake)) {
            return Ok(());
        }
        let (verdict, given) = HandshakeReply::new();
        connection.shake(link.clone(), verdict);
        let given = tokio::time::timeout(self.options.transport.connect_timeout, given).await;
        let verdict = match given {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(FAILED.to_owned()),
            Err(_) => Err(TOO_LATE.to_owned()),
        };
        connection.shaken(verdict.is_ok());
        verdict.inspect_err(|reason| self.announce_rejected(connection, &*link, reason))
    }

    /// Announces that a client was rejected.
    fn announce_rejected(&self, connection: &Connection, link: &dyn Link, reason: &str) {
        let address = link.handshake().remove("address");
        let address = address.and_then(|address| address.into_immutable_string().ok());
        self.announcer.announce(HostEvent::ConnectRefused {
            namespace: connection.namespace().path().to_string(),
            address: address.and_then(|address| address.parse().ok()),
            socket: Some(connection.id().to_string()),
            kind: ConnectRefusal::Handshake,
            reason: reason.to_owned(),
        });
    }

    /// Calls `on_handshake`. With one parameter, it accepts the client when it returns; with two, when it calls `next`.
    pub(super) fn handshake(&self, connection: &Arc<Connection>, verdict: &HandshakeReply) {
        let version = connection.serving();
        let hook = version.as_ref();
        let Some(hook) = hook.and_then(|version| Handler::of_hook(version, Hook::Handshake)) else {
            return verdict.give(Ok(()));
        };
        // A connection whose client comes back keeps its version until `on_connection` runs.
        if let Some(version) = version.as_ref().filter(|_| !connection.is_recovered()) {
            // `on_connection` of the same version follows, even if another version serves by then.
            connection.begin_as(version);
        }
        let waits = hook.parameters() == Some(2);
        let args = vec![
            Dynamic::from(Socket(connection.clone())),
            api::next(verdict.clone()),
        ];
        match Turn::new(connection.clone()).run(|| hook.call(args)) {
            Ok(_) if waits => {}
            Ok(_) => verdict.give(Ok(())),
            Err(error) => {
                let reason = error.thrown().and_then(|thrown| api::reason(&thrown));
                if reason.is_none() {
                    let diagnostic = diagnose(connection, &hook, error, &"`on_handshake`");
                    self.announcer
                        .announce(HostEvent::HandlerFailed { diagnostic });
                }
                verdict.give(Err(reason.unwrap_or_else(|| FAILED.to_owned())));
            }
        }
    }
}
