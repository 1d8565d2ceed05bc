//! Outgoing events, encoded once: all senders use this form, and none of them encodes the values again.

use std::borrow::Cow;

use rhai::Dynamic;

use super::encode::{EncodeError, Packet, to_packet};

/// Event with its name and its encoded packet.
#[derive(Debug, Clone)]
pub struct EncodedEvent<'a> {
    name: Cow<'a, str>,
    packet: Packet,
}

impl<'a> EncodedEvent<'a> {
    /// Encodes an event.
    ///
    /// # Errors
    /// Returns an error if an argument contains a value that cannot be sent.
    pub fn new(name: &'a str, args: &[Dynamic]) -> Result<Self, EncodeError> {
        Ok(Self {
            name: Cow::Borrowed(name),
            packet: to_packet(Some(name), args)?,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name and the arguments in encoded form.
    pub const fn packet(&self) -> &Packet {
        &self.packet
    }

    /// Returns a copy that owns its name, so that it can be sent later.
    pub fn for_later(&self) -> EncodedEvent<'static> {
        EncodedEvent {
            name: Cow::Owned(self.name.clone().into_owned()),
            packet: self.packet.clone(),
        }
    }

    /// Returns the arguments in encoded form, without the name.
    pub fn arguments(&self) -> Packet {
        let name = serde_json::Value::from(self.name()).to_string();
        let behind = self.packet.text.get(1 + name.len()..).unwrap_or_default();
        Packet {
            text: format!("[{}", behind.strip_prefix(',').unwrap_or(behind)),
            attachments: self.packet.attachments.clone(),
        }
    }
}
