//! Grammar of the payloads, which defines how the parts of the text become values.
//!
//! serde_json passes one token after the other to these visitors. They build the values, and ask the [`Decoder`]
//! whether the limits allow them.

use std::{borrow::Cow, fmt};

use rhai::{Array, Dynamic, FLOAT, INT, Identifier, ImmutableString, Map};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::value::{
    Binary,
    decoder::{DecodeError, Decoder, Event},
};

/// Seed for a whole event.
pub(super) struct EventSeed<'a>(pub(super) &'a Decoder<'a>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Event<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Event<'de>, D::Error> {
        self.0.fault.set(Some(DecodeError::NotAnArray));
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Event<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Event<'de>, A::Error> {
        let decoder = self.0;
        let Some(name) = seq.next_element_seed(NameSeed(decoder))? else {
            return Err(decoder.refuse(DecodeError::NameMissing));
        };
        let args = ValueSeed::new(decoder).elements(seq)?;
        Ok(Event { name, args })
    }
}

/// Seed for the name of an event.
struct NameSeed<'a>(&'a Decoder<'a>);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        self.0.fault.set(Some(DecodeError::NameNotString));
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        self.0.check_string(name)?;
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        self.0.check_string(name)?;
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_u64<E: Error>(self, name: u64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_string()))
    }

    fn visit_i64<E: Error>(self, name: i64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_string()))
    }

    fn visit_f64<E: Error>(self, name: f64) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_string()))
    }
}

/// Seed for the arguments of an ack.
pub(super) struct ArgsSeed<'a>(pub(super) &'a Decoder<'a>);

impl<'de> DeserializeSeed<'de> for ArgsSeed<'_> {
    type Value = Vec<Dynamic>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Dynamic>, D::Error> {
        self.0.fault.set(Some(DecodeError::NotAnArray));
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ArgsSeed<'_> {
    type Value = Vec<Dynamic>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<Dynamic>, A::Error> {
        ValueSeed::new(self.0).elements(seq)
    }
}

/// Seed for one value that is nested in `depth` arrays and maps.
#[derive(Clone, Copy)]
pub(super) struct ValueSeed<'a> {
    decoder: &'a Decoder<'a>,
    depth: usize,
}

impl<'a> ValueSeed<'a> {
    pub(super) fn new(decoder: &'a Decoder<'a>) -> Self {
        Self { decoder, depth: 0 }
    }

    /// Reads the rest of an array whose elements have the same nesting depth as this value.
    fn elements<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Array, A::Error> {
        let limit = self.decoder.limits.max_array;
        let mut array = Array::new();
        while let Some(value) = seq.next_element_seed(self)? {
            if array.len() >= limit {
                return Err(self.decoder.refuse(DecodeError::ArrayTooLong { limit }));
            }
            self.decoder.count_value()?;
            array.push(value);
        }
        Ok(array)
    }

    fn inside<E: Error>(self) -> Result<Self, E> {
        let limit = self.decoder.limits.max_depth;
        if self.depth >= limit {
            return Err(self.decoder.refuse(DecodeError::TooDeep { limit }));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::UNIT)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Dynamic, E> {
        Ok(Dynamic::from_bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Dynamic, E> {
        Ok(Dynamic::from_int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Dynamic, E> {
        Ok(INT::try_from(value)
            .map_or_else(|_| Dynamic::from_float(value as FLOAT), Dynamic::from_int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Dynamic, E> {
        Ok(Dynamic::from_float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Dynamic, E> {
        self.decoder.check_string(value)?;
        Ok(ImmutableString::from(value).into())
    }

    /// Accepts an attachment: the deserializer of socketioxide passes attachments in this way.
    fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Dynamic, E> {
        Ok(Dynamic::from(Binary::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Dynamic, A::Error> {
        let elements = self.inside()?.elements(seq)?;
        Ok(Dynamic::from_array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Dynamic, A::Error> {
        let inside = self.inside()?;
        let limit = self.decoder.limits.max_map;
        let mut read = Vec::new();
        while let Some(key) = entries.next_key_seed(KeySeed(self.decoder))? {
            self.decoder.count_value()?;
            read.push((key, entries.next_value_seed(inside)?));
        }
        // All entries are sorted at once, which costs less than inserting one after the other. Of duplicate keys, the
        // last one wins.
        let map = Map::from_iter(read);
        if map.len() > limit {
            return Err(self.decoder.refuse(DecodeError::MapTooLarge { limit }));
        }
        Ok(match self.decoder.attachment(&map)? {
            Some(binary) => Dynamic::from(binary),
            None => Dynamic::from_map(map),
        })
    }
}

/// Seed for the key of a map entry.
struct KeySeed<'a>(&'a Decoder<'a>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Identifier;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Identifier, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Identifier;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Identifier, E> {
        self.0.check_string(key)?;
        Ok(key.into())
    }
}
