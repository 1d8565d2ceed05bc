//! Outcome of what is sent to the sockets of a namespace.

use super::Namespace;
use crate::{connection::SendError, event::HostEvent};

impl Namespace {
    /// Accounts for the outcome of sending `event` to one socket or to several: a socket that has disconnected is only
    /// counted, and every other loss is announced.
    ///
    /// # Errors
    /// Returns the text of the error if an argument cannot be sent.
    pub fn account(
        &self,
        result: Result<(), SendError>,
        socket: Option<&str>,
        event: &str,
    ) -> Result<(), String> {
        match result {
            Ok(()) => {}
            Err(SendError::Left) => self.driver().counters().sends_after_disconnect.add(),
            Err(SendError::Value(message)) => return Err(message),
            Err(error) => self.driver().announce(HostEvent::EventDropped {
                namespace: self.path().clone(),
                socket: socket.map(str::to_owned),
                event: event.to_owned(),
                reason: error.to_string(),
                count: error.clients(),
            }),
        }
        Ok(())
    }
}
