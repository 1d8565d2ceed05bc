//! Outgoing event, and its encoded form.

use std::cell::OnceCell;

use rhai::Dynamic;

use super::{Event, SendError};
use crate::value::{EncodedEvent, plain};

/// Event that a script sends to one or many clients, now or after they have connected. It is encoded when the first
/// recipient needs it, once for all recipients.
#[derive(Debug)]
pub struct OutgoingEvent<'a> {
    name: &'a str,
    args: &'a [Dynamic],
    encoded: OnceCell<EncodedEvent<'a>>,
}

impl<'a> OutgoingEvent<'a> {
    /// Creates an event that has not been sent to any client yet.
    pub const fn new(name: &'a str, args: &'a [Dynamic]) -> Self {
        Self {
            name,
            args,
            encoded: OnceCell::new(),
        }
    }

    /// Returns the encoded form of the event.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent.
    pub fn encoded(&self) -> Result<&EncodedEvent<'a>, SendError> {
        if let Some(encoded) = self.encoded.get() {
            return Ok(encoded);
        }
        let encoded = EncodedEvent::new(self.name, self.args)?;
        Ok(self.encoded.get_or_init(|| encoded))
    }

    /// Returns the event in the form that listeners in another turn receive: without variables of the call that sends
    /// it.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent.
    pub(super) fn heard(&self) -> Result<Event, SendError> {
        let size = self.encoded()?.packet().size();
        let copies = self.args.iter().map(plain).collect::<Result<_, _>>();
        let args = copies.map_err(|error| SendError::Value(error.to_string()))?;
        Ok(Event::new(self.name, args, None, size))
    }
}
