//! Encoding: from `Dynamic` values to packets.
//!
//! In: the arguments from a script. Out: the JSON text of a packet with its attachments, written in one pass
//! ([`to_packet`]). A value that has no equivalent in JavaScript is rejected, and the error names its location.

use std::cell::Cell;

use bytes::Bytes;
use rhai::{Array, Dynamic, FLOAT, INT, Map};
use serde::Serialize;

use crate::value::{
    NUM, PLACEHOLDER, Refusal,
    escape::needs_escape,
    walk::{Cells, Place, Shape, location},
};

thread_local! {
    /// Buffer into which the next text is written. The text itself is then allocated with its exact size.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Maximum size of the buffer that a thread keeps, in bytes.
const MAX_SPARE: usize = 64 * 1024;

/// Reason why a value was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A part of the value has no equivalent in JavaScript.
    #[error("{what} cannot be sent{}", location(*.argument, .path))]
    Refused {
        /// Kind of the part that cannot be sent.
        what: Refusal,
        /// Number of the argument, counted from 1; `None` if the value is not an argument.
        argument: Option<usize>,
        /// Path to the part within the argument, as a script would write it; empty for the argument itself.
        path: String,
    },
}

/// JSON text of a packet, and the attachments to which its placeholders refer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// `["event", arg, ...]` or `[arg, ...]`.
    pub text: String,
    /// Attachments, in the order of their numbers.
    pub attachments: Vec<Bytes>,
}

impl Packet {
    /// Creates a packet from its text and its attachments.
    pub const fn new(text: String, attachments: Vec<Bytes>) -> Self {
        Self { text, attachments }
    }

    /// Returns the size of the text and the attachments, in bytes.
    pub fn size(&self) -> usize {
        let attachments = self.attachments.iter().map(Bytes::len);
        self.text.len() + attachments.sum::<usize>()
    }

    /// Returns the number of messages that carry the packet: one for its text, and one for each attachment.
    pub const fn messages(&self) -> usize {
        1 + self.attachments.len()
    }
}

#[cfg(test)]
thread_local! {
    /// Number of packets that this thread has encoded.
    pub(crate) static ENCODED: Cell<usize> = const { Cell::new(0) };
}

/// Encodes the arguments of an event, or of an ack if there is no event.
///
/// # Errors
/// Returns an error if an argument contains a value that cannot be sent.
pub fn to_packet(event: Option<&str>, args: &[Dynamic]) -> Result<Packet, EncodeError> {
    #[cfg(test)]
    ENCODED.set(ENCODED.get() + 1);
    let cells = Cells::new();
    let mut writer = Writer::new(Some(Vec::new()));
    writer.text.push(b'[');
    if let Some(event) = event {
        writer.string(event);
    }
    for (index, value) in args.iter().enumerate() {
        if index > 0 || event.is_some() {
            writer.text.push(b',');
        }
        writer.value(value, &Place::argument(index, &cells))?;
    }
    writer.text.push(b']');
    Ok(Packet {
        attachments: writer.attachments.take().unwrap_or_default(),
        text: writer.finish(),
    })
}

/// Converts a value to JSON text. Binary data becomes an array of numbers.
///
/// # Errors
/// Returns an error if a part of the value cannot be represented in JSON.
pub fn to_json(value: &Dynamic) -> Result<String, EncodeError> {
    let cells = Cells::new();
    let mut writer = Writer::new(None);
    writer.value(value, &Place::whole(&cells))?;
    Ok(writer.finish())
}

// The error is boxed, because every step of the writer returns a `Result` with it.
impl From<Box<EncodeError>> for EncodeError {
    fn from(error: Box<Self>) -> Self {
        *error
    }
}

/// Writer of the JSON text of one packet, or of one value.
struct Writer {
    text: Vec<u8>,
    /// Attachments of the packet; `None` if binary data is written as numbers.
    attachments: Option<Vec<Bytes>>,
    /// `true` if the text contains a binary value. If it also contains a map that looks like a placeholder, the packet
    /// is rejected, because a client could not tell them apart.
    has_binary: bool,
    looks_like_binary: bool,
}

impl Writer {
    fn new(attachments: Option<Vec<Bytes>>) -> Self {
        Self {
            text: SPARE.take(),
            attachments,
            has_binary: false,
            looks_like_binary: false,
        }
    }

    /// Returns the text, and returns the buffer to the thread.
    fn finish(&mut self) -> String {
        // The check is fast, and the writer writes only valid UTF-8.
        let text = match std::str::from_utf8(&self.text) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(&self.text).into_owned(),
        };
        let mut buffer = std::mem::take(&mut self.text);
        if buffer.capacity() <= MAX_SPARE {
            buffer.clear();
            SPARE.set(buffer);
        }
        text
    }

    fn value(&mut self, value: &Dynamic, place: &Place<'_>) -> Result<(), Box<EncodeError>> {
        match Shape::new(value) {
            Shape::Unit => self.text.extend_from_slice(b"null"),
            Shape::Bool(true) => self.text.extend_from_slice(b"true"),
            Shape::Bool(false) => self.text.extend_from_slice(b"false"),
            Shape::Int(int) => self.serialize(&int),
            Shape::Float(float) => self.float(float),
            Shape::Char(letter) => self.string(letter.encode_utf8(&mut [0; 4])),
            Shape::Str(text) => self.string(&text),
            Shape::Array(array) => return self.array(&array, place),
            Shape::Map(map) => return self.map(&map, place),
            Shape::Blob(blob) => {
                return self.binary(&blob, place, || Bytes::copy_from_slice(&blob));
            }
            Shape::Binary(binary) => {
                let bytes = binary.as_bytes();
                return self.binary(bytes, place, || bytes.clone());
            }
            Shape::Shared(content) => {
                let inside = place.through(&content);
                return self.value(&content, &inside.map_err(|what| refuse(place, what))?);
            }
            Shape::Foreign(what) => return Err(refuse(place, what)),
        }
        Ok(())
    }

    /// Writes a value that JSON can represent.
    fn serialize(&mut self, value: &impl Serialize) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.text, value);
    }

    fn string(&mut self, string: &str) {
        if needs_escape(string) {
            return self.serialize(&string);
        }
        self.text.reserve(string.len() + 2);
        self.text.push(b'"');
        self.text.extend_from_slice(string.as_bytes());
        self.text.push(b'"');
    }

    /// Writes a number as JavaScript does: without a fraction if it is an integer, and as null if JSON cannot represent
    /// it.
    fn float(&mut self, float: FLOAT) {
        const END_OF_INT: FLOAT = -(INT::MIN as FLOAT);
        let is_int = float.fract() == 0.0 && (-END_OF_INT..END_OF_INT).contains(&float);
        match is_int {
            true => self.serialize(&(float as INT)),
            // serde_json writes a number that is not finite as null.
            false => self.serialize(&float),
        }
    }

    fn array(&mut self, array: &Array, place: &Place<'_>) -> Result<(), Box<EncodeError>> {
        place.enter().map_err(|what| refuse(place, what))?;
        self.text.push(b'[');
        for (index, value) in array.iter().enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            self.value(value, &place.index(index))?;
        }
        self.text.push(b']');
        Ok(())
    }

    fn map(&mut self, map: &Map, place: &Place<'_>) -> Result<(), Box<EncodeError>> {
        place.enter().map_err(|what| refuse(place, what))?;
        self.text.push(b'{');
        for (index, (key, value)) in map.iter().enumerate() {
            if key == PLACEHOLDER && is_true(value) {
                self.looks_like_binary = true;
                self.check_placeholders(place)?;
            }
            if index > 0 {
                self.text.push(b',');
            }
            self.string(key);
            self.text.push(b':');
            self.value(value, &place.key(key))?;
        }
        self.text.push(b'}');
        Ok(())
    }

    /// Writes binary data. `bytes` is called only if the data becomes an attachment.
    fn binary(
        &mut self,
        data: &[u8],
        place: &Place<'_>,
        bytes: impl FnOnce() -> Bytes,
    ) -> Result<(), Box<EncodeError>> {
        self.has_binary = true;
        self.check_placeholders(place)?;
        let Some(attachments) = &mut self.attachments else {
            self.serialize(&data);
            return Ok(());
        };
        let num = attachments.len();
        attachments.push(bytes());
        self.text.push(b'{');
        self.string(PLACEHOLDER);
        self.text.extend_from_slice(b":true,");
        self.string(NUM);
        self.text.push(b':');
        self.serialize(&num);
        self.text.push(b'}');
        Ok(())
    }

    fn check_placeholders(&self, place: &Place<'_>) -> Result<(), Box<EncodeError>> {
        match self.has_binary && self.looks_like_binary {
            true => Err(refuse(place, Refusal::Placeholder)),
            false => Ok(()),
        }
    }
}

#[cold]
fn refuse(place: &Place<'_>, what: Refusal) -> Box<EncodeError> {
    let (argument, path) = place.describe();
    Box::new(EncodeError::Refused {
        what,
        argument,
        path,
    })
}

fn is_true(value: &Dynamic) -> bool {
    match Shape::new(value) {
        Shape::Bool(flag) => flag,
        Shape::Shared(content) => matches!(Shape::new(&content), Shape::Bool(true)),
        _ => false,
    }
}
