//! From `Dynamic` to the wire.
//!
//! In come the arguments a script gave; out goes the JSON text of a packet with its attachments, written in one pass
//! ([`to_packet`]). What has no equal in JavaScript is refused with its place.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use rhai::{Array, Dynamic, FLOAT, INT, Map};
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, SerializeTupleStruct, Serializer};

use crate::value::{
    NUM, PLACEHOLDER, Refusal,
    walk::{Cells, Place, Shape, location},
};

/// Why a value was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It holds something that has no equal in JavaScript.
    #[error("{what} cannot be sent{}", location(*.argument, .path))]
    Refused {
        /// What it holds.
        what: Refusal,
        /// In which argument, counted from 1; `None` when it was a single value.
        argument: Option<usize>,
        /// Where in it, as a script would write it; empty for the argument itself.
        path: String,
    },
    /// The JSON writer failed.
    #[error("the payload cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// The JSON text of a packet and the attachments its placeholders count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// `["event", arg, ...]` or `[arg, ...]`.
    pub text: String,
    /// The attachments, in the order of their numbers.
    pub attachments: Vec<Bytes>,
}

impl Packet {
    /// The bytes of its text and its attachments.
    pub fn size(&self) -> usize {
        let attachments = self.attachments.iter().map(Bytes::len);
        self.text.len() + attachments.sum::<usize>()
    }

    /// How many messages carry it: one for its text, and one for each attachment.
    pub const fn messages(&self) -> usize {
        1 + self.attachments.len()
    }
}

#[cfg(test)]
thread_local! {
    /// How many packets this thread has encoded.
    pub(crate) static ENCODED: Cell<usize> = const { Cell::new(0) };
}

/// Encodes the arguments of an event, or of an ack when there is no event.
///
/// # Errors
/// When an argument holds what cannot be sent.
pub fn to_packet(event: Option<&str>, args: &[Dynamic]) -> Result<Packet, EncodeError> {
    #[cfg(test)]
    ENCODED.set(ENCODED.get() + 1);
    let output = Output {
        attachments: Some(RefCell::default()),
        ..Output::new()
    };
    let message = Message {
        event,
        args,
        output: &output,
    };
    let text = serde_json::to_string(&message);
    match (text, output.refused.take()) {
        (_, Some(refused)) => Err(refused),
        (Err(error), None) => Err(EncodeError::Json(error)),
        (Ok(text), None) => Ok(Packet {
            text,
            attachments: output.attachments.unwrap_or_default().into_inner(),
        }),
    }
}

/// A value as JSON text. Binary data becomes an array of numbers.
///
/// # Errors
/// When something in it has no form in JSON.
pub fn to_json(value: &Dynamic) -> Result<String, EncodeError> {
    let output = Output::new();
    let node = Node {
        value,
        place: Place::whole(&output.cells),
        output: &output,
    };
    let text = serde_json::to_string(&node);
    match output.refused.take() {
        Some(refused) => Err(refused),
        None => text.map_err(EncodeError::Json),
    }
}

/// What is the same for all values of one packet.
struct Output {
    cells: Cells,
    /// Where attachments go; without it binary data is written as numbers.
    attachments: Option<RefCell<Vec<Bytes>>>,
    /// A binary value was written, and a map that looks like the place of one: a client could not tell them apart.
    binary: Cell<bool>,
    looks_like_binary: Cell<bool>,
    /// The refusal that ended the walk: the serializer's own error is text only.
    refused: Cell<Option<EncodeError>>,
}

impl Output {
    fn new() -> Self {
        Self {
            cells: Cells::new(),
            attachments: None,
            binary: Cell::new(false),
            looks_like_binary: Cell::new(false),
            refused: Cell::new(None),
        }
    }

    /// Writes binary data: `bytes` is asked only for what becomes an attachment here.
    fn binary<S: Serializer>(
        &self,
        serializer: S,
        data: &[u8],
        bytes: impl FnOnce() -> Bytes,
    ) -> Result<S::Ok, S::Error> {
        let Some(attachments) = &self.attachments else {
            return serializer.serialize_bytes(data);
        };
        let num = attachments.borrow().len();
        attachments.borrow_mut().push(bytes());
        let mut placeholder = serializer.serialize_map(Some(2))?;
        placeholder.serialize_entry(PLACEHOLDER, &true)?;
        placeholder.serialize_entry(NUM, &num)?;
        placeholder.end()
    }
}

/// A list of arguments, with the event before them if there is one.
struct Message<'a> {
    event: Option<&'a str>,
    args: &'a [Dynamic],
    output: &'a Output,
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let len = self.args.len() + usize::from(self.event.is_some());
        let mut fields = serializer.serialize_tuple_struct("Args", len)?;
        if let Some(event) = self.event {
            fields.serialize_field(event)?;
        }
        for (index, value) in self.args.iter().enumerate() {
            fields.serialize_field(&Node {
                value,
                place: Place::argument(index, &self.output.cells),
                output: self.output,
            })?;
        }
        fields.end()
    }
}

/// One value where it stands.
struct Node<'a> {
    value: &'a Dynamic,
    place: Place<'a>,
    output: &'a Output,
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Shape::of(self.value) {
            Shape::Unit => serializer.serialize_unit(),
            Shape::Bool(flag) => serializer.serialize_bool(flag),
            Shape::Int(int) => serializer.serialize_i64(int),
            Shape::Float(float) => serialize_float(serializer, float),
            Shape::Char(letter) => serializer.serialize_char(letter),
            Shape::Str(text) => serializer.serialize_str(&text),
            Shape::Array(array) => self.array(serializer, &array),
            Shape::Map(map) => self.map(serializer, &map),
            Shape::Blob(blob) => {
                self.mark(&self.output.binary)?;
                let copy = || Bytes::copy_from_slice(&blob);
                self.output.binary(serializer, &blob, copy)
            }
            Shape::Binary(binary) => {
                self.mark(&self.output.binary)?;
                let share = || binary.as_bytes().clone();
                self.output.binary(serializer, binary.as_bytes(), share)
            }
            Shape::Shared(content) => self.shared(serializer, &content),
            Shape::Foreign(what) => Err(self.refuse(what)),
        }
    }
}

impl Node<'_> {
    fn array<S: Serializer>(&self, serializer: S, array: &Array) -> Result<S::Ok, S::Error> {
        self.place.enter().map_err(|what| self.refuse(what))?;
        let mut seq = serializer.serialize_seq(Some(array.len()))?;
        for (index, value) in array.iter().enumerate() {
            seq.serialize_element(&Node {
                value,
                place: self.place.index(index),
                output: self.output,
            })?;
        }
        seq.end()
    }

    fn map<S: Serializer>(&self, serializer: S, map: &Map) -> Result<S::Ok, S::Error> {
        self.place.enter().map_err(|what| self.refuse(what))?;
        let mut entries = serializer.serialize_map(Some(map.len()))?;
        for (key, value) in map {
            if key == PLACEHOLDER && is_true(value) {
                self.mark(&self.output.looks_like_binary)?;
            }
            let node = Node {
                value,
                place: self.place.key(key),
                output: self.output,
            };
            entries.serialize_entry(key.as_str(), &node)?;
        }
        entries.end()
    }

    fn shared<S: Serializer>(&self, serializer: S, content: &Dynamic) -> Result<S::Ok, S::Error> {
        let place = self.place.through(content);
        let node = Node {
            value: content,
            place: place.map_err(|what| self.refuse(what))?,
            output: self.output,
        };
        node.serialize(serializer)
    }

    fn mark<E: Error>(&self, seen: &Cell<bool>) -> Result<(), E> {
        seen.set(true);
        match self.output.binary.get() && self.output.looks_like_binary.get() {
            true => Err(self.refuse(Refusal::Placeholder)),
            false => Ok(()),
        }
    }

    #[cold]
    fn refuse<E: Error>(&self, what: Refusal) -> E {
        let (argument, path) = self.place.describe();
        let refused = EncodeError::Refused {
            what,
            argument,
            path,
        };
        let text = E::custom(&refused);
        self.output.refused.set(Some(refused));
        text
    }
}

/// Writes a number as JavaScript does: whole ones without a fraction, those that JSON does not have as null.
fn serialize_float<S: Serializer>(serializer: S, float: FLOAT) -> Result<S::Ok, S::Error> {
    const END_OF_INT: FLOAT = -(INT::MIN as FLOAT);
    if !float.is_finite() {
        serializer.serialize_unit()
    } else if float.fract() == 0.0 && (-END_OF_INT..END_OF_INT).contains(&float) {
        serializer.serialize_i64(float as INT)
    } else {
        serializer.serialize_f64(float)
    }
}

fn is_true(value: &Dynamic) -> bool {
    match Shape::of(value) {
        Shape::Bool(flag) => flag,
        Shape::Shared(content) => matches!(Shape::of(&content), Shape::Bool(true)),
        _ => false,
    }
}
