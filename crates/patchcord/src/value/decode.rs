//! Decoding: from packets to `Dynamic` values, in one pass, with one function for each kind of payload.
//!
//! In: the JSON text of a packet and its attachments. Out: the arguments for a handler. The text is read once, strings
//! are created directly as Rhai strings, and attachments are shared and never copied. The grammar of each payload is in
//! `visit`; the limits and errors are those of [`Decoder`].

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
/// Returns an error if the text is not an event, or exceeds the limits.
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
/// Returns an error if the text is not an array, or exceeds the limits.
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
/// Returns an error if the text is not JSON, or exceeds the limits.
pub fn value(text: &str, attachments: &[Bytes], limits: &Limits) -> Result<Dynamic, DecodeError> {
    let decoder = Decoder::new(attachments, limits);
    decoder.read(text, ValueSeed::new(&decoder))
}

/// Reads the arguments of an ack from the deserializer of socketioxide, which does not provide the text.
///
/// # Errors
/// Returns an error if the payload of the ack is not an array, or exceeds the default limits.
pub fn answer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Dynamic>, D::Error> {
    let decoder = Decoder::new(&[], &Limits::default());
    deserializer.deserialize_tuple_struct("Args", usize::MAX, ArgsSeed(&decoder))
}
