//! Packets in the form that socketioxide accepts: values to serialize instead of text.
//!
//! socketioxide receives the text of each argument as a value that serializes as this text, so nothing is encoded
//! again. socketioxide itself writes the placeholders of attachments, because it counts them: in a packet with
//! attachments, arrays and maps are therefore taken apart down to the placeholders. socketioxide copies the
//! attachments, because it receives them as slices.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{
    Deserialize,
    ser::{Error, Serialize, SerializeTupleStruct, Serializer},
};
use serde_json::value::RawValue;

use super::{NUM, PLACEHOLDER, encode::Packet, encoded::EncodedEvent};

/// Arguments of a packet, for socketioxide to serialize. socketioxide itself writes the name of an event.
#[derive(Debug)]
pub struct Written<'a> {
    args: serde_json::Result<Vec<&'a RawValue>>,
    attachments: &'a [Bytes],
}

impl<'a> Written<'a> {
    /// Returns the arguments of an event.
    pub fn event(event: &'a EncodedEvent<'_>) -> Self {
        let Self { args, attachments } = Self::ack(event.packet());
        let args = args.map(|args| args.into_iter().skip(1).collect());
        Self { args, attachments }
    }

    /// Returns the arguments of an ack.
    pub fn ack(packet: &'a Packet) -> Self {
        Self {
            args: serde_json::from_str(&packet.text),
            attachments: &packet.attachments,
        }
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.args.as_ref().map_err(S::Error::custom)?;
        let mut args = serializer.serialize_tuple_struct("Args", texts.len())?;
        for text in texts {
            args.serialize_field(&Part {
                text,
                attachments: self.attachments,
            })?;
        }
        args.end()
    }
}

/// Text of one value, and the attachments of the packet that contains it.
struct Part<'a> {
    text: &'a RawValue,
    attachments: &'a [Bytes],
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.get().as_bytes().first() {
            Some(b'[') if !self.attachments.is_empty() => {
                let elements: Vec<_> = self.read()?;
                serializer.collect_seq(elements.into_iter().map(|text| self.inner(text)))
            }
            Some(b'{') if !self.attachments.is_empty() => {
                // The keys of a script's map are in the same order.
                let entries: BTreeMap<String, _> = self.read()?;
                match self.attachment(&entries) {
                    Some(bytes) => serializer.serialize_bytes(bytes),
                    None => {
                        let entries = entries.iter();
                        serializer.collect_map(entries.map(|(key, text)| (key, self.inner(text))))
                    }
                }
            }
            _ => self.text.serialize(serializer),
        }
    }
}

impl<'a> Part<'a> {
    fn read<T: Deserialize<'a>, E: Error>(&self) -> Result<T, E> {
        serde_json::from_str(self.text.get()).map_err(E::custom)
    }

    const fn inner(&self, text: &'a RawValue) -> Self {
        Self {
            text,
            attachments: self.attachments,
        }
    }

    /// Returns the attachment to which a map refers, if the map is a placeholder. A packet with attachments contains no
    /// map that only looks like a placeholder.
    fn attachment(&self, entries: &BTreeMap<String, &RawValue>) -> Option<&'a Bytes> {
        let field = |name| entries.get(name).map(|value| value.get());
        let num = field(NUM).filter(|_| field(PLACEHOLDER) == Some("true"))?;
        self.attachments.get(num.parse::<usize>().ok()?)
    }
}
