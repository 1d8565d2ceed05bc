//! Copies of values that a script stores in `io.data` or `socket.data`.
//!
//! In: any value. Out: a deep copy that shares no variable with the script, so that nothing changes it later, and it
//! contains no lock. A value that belongs to one version or one process is rejected, and the error names its location.

use rhai::Dynamic;

use crate::value::{
    Refusal,
    walk::{Cells, Place, Shape, location},
};

/// Part of a value that cannot be stored, and its location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be kept as data{}", location(None, .path))]
#[non_exhaustive]
pub struct NotPlain {
    /// Kind of the part.
    pub what: Refusal,
    /// Path of the part, as a script would write it; empty for the value itself.
    pub path: String,
}

/// Returns a deep copy of `value` without shared cells. Strings and [`Binary`](crate::value::Binary) are immutable and
/// shared.
///
/// # Errors
/// Returns an error if the value contains a closure, a timestamp or another type, is nested too deeply, or has a
/// variable that is in use.
pub fn plain(value: &Dynamic) -> Result<Dynamic, NotPlain> {
    copy(value, Place::whole(&Cells::new()))
}

fn copy(value: &Dynamic, place: Place<'_>) -> Result<Dynamic, NotPlain> {
    let refuse = |what| NotPlain {
        what,
        path: place.describe().1,
    };
    Ok(match Shape::new(value) {
        Shape::Unit => Dynamic::UNIT,
        Shape::Bool(flag) => flag.into(),
        Shape::Int(int) => int.into(),
        Shape::Float(float) => float.into(),
        Shape::Char(letter) => letter.into(),
        Shape::Str(text) => text.clone().into(),
        Shape::Blob(blob) => Dynamic::from_blob(blob.clone()),
        Shape::Binary(binary) => Dynamic::from(binary.clone()),
        Shape::Array(array) => {
            place.enter().map_err(refuse)?;
            let elements = array.iter().enumerate();
            let copies = elements.map(|(index, value)| copy(value, place.index(index)));
            Dynamic::from_array(copies.collect::<Result<_, _>>()?)
        }
        Shape::Map(map) => {
            place.enter().map_err(refuse)?;
            let copies = map.iter().map(|(key, value)| {
                let value = copy(value, place.key(key))?;
                Ok((key.clone(), value))
            });
            Dynamic::from_map(copies.collect::<Result<_, _>>()?)
        }
        Shape::Shared(content) => copy(&content, place.through(&content).map_err(refuse)?)?,
        Shape::Foreign(what) => return Err(refuse(what)),
    })
}
