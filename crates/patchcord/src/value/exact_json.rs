//! Plain values as JSON that comes back as it was, for people and for backups.
//!
//! In: a value that [`plain`](super::plain) has accepted. Out: its JSON. What JSON has no form for becomes an object
//! with one key: `{"$blob": "AAE="}`, `{"$binary": "AAE="}`, `{"$char": "a"}`, `{"$float": "NaN"}`. A map that looks like
//! one of these becomes `{"$map": {...}}`.

use base64::{Engine, engine::general_purpose::STANDARD};
use rhai::{Array, Dynamic, Map};
use serde_json::{Number, Value, json};

use super::{Binary, MAX_DEPTH, walk::Shape};

/// Returns a value as JSON. Anything that is not plain becomes `null`.
#[must_use]
pub fn to_exact_json(value: &Dynamic) -> Value {
    match Shape::new(value) {
        Shape::Unit | Shape::Foreign(_) => Value::Null,
        Shape::Bool(flag) => flag.into(),
        Shape::Int(int) => int.into(),
        Shape::Float(float) => match Number::from_f64(float) {
            Some(number) => Value::Number(number),
            None => json!({ "$float": float.to_string() }),
        },
        Shape::Char(letter) => json!({ "$char": letter.to_string() }),
        Shape::Str(text) => text.as_str().into(),
        Shape::Blob(blob) => json!({ "$blob": STANDARD.encode(blob.as_slice()) }),
        Shape::Binary(binary) => json!({ "$binary": STANDARD.encode(binary.as_bytes()) }),
        Shape::Array(array) => array.iter().map(to_exact_json).collect(),
        Shape::Map(map) => {
            let pairs = map.iter();
            let object = pairs.map(|(key, value)| (key.to_string(), to_exact_json(value)));
            let object: Value = object.collect();
            match is_form(&object) {
                true => json!({ "$map": object }),
                false => object,
            }
        }
        Shape::Shared(content) => to_exact_json(&content),
    }
}

/// Returns `true` for an object that would be read as a form of another type.
fn is_form(value: &Value) -> bool {
    let object = value.as_object().filter(|object| object.len() == 1);
    object.is_some_and(|object| object.keys().all(|key| key.starts_with('$')))
}

/// Returns the value of JSON that [`to_exact_json`] has written.
///
/// # Errors
/// Returns the part that cannot be read.
pub fn from_exact_json(json: Value) -> Result<Dynamic, String> {
    read(json, MAX_DEPTH)
}

fn read(json: Value, depth: usize) -> Result<Dynamic, String> {
    let inside = || {
        let inside = depth.checked_sub(1);
        inside.ok_or_else(|| format!("more than {MAX_DEPTH} nested arrays and objects"))
    };
    Ok(match json {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => int.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => return Err(format!("`{number}` is too large for an integer")),
        },
        Value::String(text) => text.into(),
        Value::Array(elements) => {
            let depth = inside()?;
            let elements = elements.into_iter().map(|element| read(element, depth));
            Dynamic::from_array(elements.collect::<Result<Array, _>>()?)
        }
        form @ Value::Object(_) if is_form(&form) => read_form(form, inside()?)?,
        Value::Object(object) => read_map(object, inside()?)?,
    })
}

fn read_map(object: serde_json::Map<String, Value>, depth: usize) -> Result<Dynamic, String> {
    let pairs = object.into_iter();
    let pairs = pairs.map(|(key, value)| Ok((key.into(), read(value, depth)?)));
    pairs
        .collect::<Result<Map, String>>()
        .map(Dynamic::from_map)
}

fn read_form(form: Value, depth: usize) -> Result<Dynamic, String> {
    let unreadable = format!("`{form}` has no form that is known here");
    let Value::Object(form) = form else {
        return Err(unreadable);
    };
    let Some((name, content)) = form.into_iter().next() else {
        return Err(unreadable);
    };
    let value = match (name.as_str(), content) {
        ("$blob", Value::String(text)) => STANDARD.decode(text).ok().map(Dynamic::from_blob),
        ("$binary", Value::String(text)) => {
            let bytes = STANDARD.decode(text).ok();
            bytes.map(|bytes| Dynamic::from(Binary::from(bytes)))
        }
        ("$char", Value::String(text)) => {
            let mut letters = text.chars();
            let letter = letters.next().filter(|_| letters.as_str().is_empty());
            letter.map(Dynamic::from)
        }
        ("$float", Value::String(text)) => text.parse::<f64>().ok().map(Dynamic::from),
        ("$map", Value::Object(object)) => return read_map(object, depth),
        _ => None,
    };
    value.ok_or(unreadable)
}
