//! Plain values as MessagePack, the form in which a store keeps them.
//!
//! In: a value that [`plain`](super::plain) has accepted. Out: its bytes, and back again. Every type comes back as it
//! was. MessagePack has no letters and no attachments, so they are extension types.

use rhai::{Array, Dynamic, Map};
use rmpv::{Value, decode::read_value_with_max_depth, encode::write_value};

use super::{Binary, MAX_DEPTH, walk::Shape};

/// Extension type of an attachment.
const BINARY: i8 = 1;
/// Extension type of a letter.
const CHAR: i8 = 2;

/// Appends a value to `bytes`. Anything that is not plain becomes `()`.
pub fn pack(value: &Dynamic, bytes: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write_value(bytes, &to_packed(value));
}

fn to_packed(value: &Dynamic) -> Value {
    match Shape::new(value) {
        Shape::Unit | Shape::Foreign(_) => Value::Nil,
        Shape::Bool(flag) => flag.into(),
        Shape::Int(int) => int.into(),
        Shape::Float(float) => Value::F64(float),
        Shape::Char(letter) => Value::Ext(CHAR, letter.to_string().into_bytes()),
        Shape::Str(text) => Value::from(text.as_str()),
        Shape::Blob(blob) => Value::Binary(blob.clone()),
        Shape::Binary(binary) => Value::Ext(BINARY, binary.as_bytes().to_vec()),
        Shape::Array(array) => Value::Array(array.iter().map(to_packed).collect()),
        Shape::Map(map) => {
            let pairs = map.iter();
            Value::Map(
                pairs
                    .map(|(key, value)| (Value::from(key.as_str()), to_packed(value)))
                    .collect(),
            )
        }
        Shape::Shared(content) => to_packed(&content),
    }
}

/// Returns the value that [`pack`] has packed; `None` if the bytes are malformed.
#[must_use]
pub fn unpack(mut bytes: &[u8]) -> Option<Dynamic> {
    // rmpv counts two for each array and map, and for each text or number in it.
    let packed = read_value_with_max_depth(&mut bytes, 2 * MAX_DEPTH + 4).ok()?;
    bytes.is_empty().then(|| from_packed(packed)).flatten()
}

/// Returns a plain value as a blob, so that its depth does not add to that of the value that contains it.
pub(crate) fn packed_value(value: &Dynamic) -> Dynamic {
    let mut bytes = Vec::new();
    pack(value, &mut bytes);
    Dynamic::from_blob(bytes)
}

/// Returns the value of [`packed_value`].
pub(crate) fn unpacked_value(packed: &Dynamic) -> Option<Dynamic> {
    unpack(&packed.as_blob_ref().ok()?)
}

fn from_packed(packed: Value) -> Option<Dynamic> {
    Some(match packed {
        Value::Nil => Dynamic::UNIT,
        Value::Boolean(flag) => flag.into(),
        Value::Integer(int) => int.as_i64()?.into(),
        Value::F64(float) => float.into(),
        Value::F32(float) => f64::from(float).into(),
        Value::String(text) => text.into_str()?.into(),
        Value::Binary(blob) => Dynamic::from_blob(blob),
        Value::Ext(BINARY, bytes) => Dynamic::from(Binary::from(bytes)),
        Value::Ext(CHAR, bytes) => {
            let text = String::from_utf8(bytes).ok()?;
            let mut letters = text.chars();
            let letter = letters.next().filter(|_| letters.as_str().is_empty())?;
            letter.into()
        }
        Value::Ext(..) => return None,
        Value::Array(elements) => {
            let elements = elements.into_iter().map(from_packed);
            Dynamic::from_array(elements.collect::<Option<Array>>()?)
        }
        Value::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| {
                let Value::String(key) = key else {
                    return None;
                };
                Some((key.into_str()?.into(), from_packed(value)?))
            });
            Dynamic::from_map(pairs.collect::<Option<Map>>()?)
        }
    })
}
