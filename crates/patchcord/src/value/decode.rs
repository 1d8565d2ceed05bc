//! From the wire to `Dynamic`, in one pass: one function for each kind of payload.
//!
//! In comes the JSON text of a packet and its attachments; out go the arguments a handler is called with. The text is
//! read once, strings go straight into Rhai's own, attachments are shared and never copied. The grammar of each payload
//! is in `visit`, the limits and errors are those of [`Decoder`].

use bytes::Bytes;
use rhai::Dynamic;
use serde::de::Deserializer;

use crate::value::{
    decoder::{DecodeError, Decoder, Event, Limits},
    visit::{ArgsSeed, EventSeed, ValueSeed},
};

/// Decodes `["name", arg, ...]`.
///
/// # Errors
/// When the text is not an event, or exceeds the limits.
pub fn event<'t>(
    text: &'t str,
    attachments: &[Bytes],
    limits: &Limits,
) -> Result<Event<'t>, DecodeError> {
    let decoder = Decoder::new(attachments, limits);
    decoder.read(text, EventSeed(&decoder))
}

/// Returns the name of an event whose arguments cannot be decoded.
pub fn event_name(text: &str) -> Option<String> {
    let elements = text.trim_start().strip_prefix('[')?;
    let mut values = serde_json::Deserializer::from_str(elements).into_iter();
    match values.next()?.ok()? {
        serde_json::Value::String(name) => Some(name),
        serde_json::Value::Number(name) => Some(name.to_string()),
        _ => None,
    }
}

/// Decodes `[arg, ...]`, the payload of an ack.
///
/// # Errors
/// When the text is not an array, or exceeds the limits.
pub fn args(
    text: &str,
    attachments: &[Bytes],
    limits: &Limits,
) -> Result<Vec<Dynamic>, DecodeError> {
    let decoder = Decoder::new(attachments, limits);
    decoder.read(text, ArgsSeed(&decoder))
}

/// Decodes one value, such as the `auth` of a CONNECT.
///
/// # Errors
/// When the text is not JSON, or exceeds the limits.
pub fn value(text: &str, attachments: &[Bytes], limits: &Limits) -> Result<Dynamic, DecodeError> {
    let decoder = Decoder::new(attachments, limits);
    decoder.read(text, ValueSeed::new(&decoder))
}

/// Reads the arguments of an answer from the Socket.IO crate's deserializer, which has no text to give.
///
/// # Errors
/// When it is not an array, or exceeds the default limits.
pub fn answer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Dynamic>, D::Error> {
    let decoder = Decoder::new(&[], &Limits::default());
    deserializer.deserialize_tuple_struct("Args", usize::MAX, ArgsSeed(&decoder))
}
