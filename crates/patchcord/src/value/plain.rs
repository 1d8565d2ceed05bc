//! Values for keeping: what a script stores in `io.data` or `socket.data`.
//!
//! In comes any value; out goes a deep copy that shares no variable with the script, so that nothing changes it later
//! and no lock stands in it. What belongs to one version or one process is refused with its place.

use rhai::Dynamic;

use crate::value::{
    Refusal,
    walk::{Cells, Place, Shape, location},
};

/// What a value for keeping may not hold, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be kept as data{}", location(None, .path))]
#[non_exhaustive]
pub struct NotPlain {
    /// What was found.
    pub what: Refusal,
    /// Where, as a script would write it; empty for the value itself.
    pub path: String,
}

/// A deep copy of `value` without shared cells. Strings and [`Binary`](crate::value::Binary) are immutable and shared.
///
/// # Errors
/// When it holds a closure, a timestamp or another type, is nested too deep, or a variable in it is in use.
pub fn plain(value: &Dynamic) -> Result<Dynamic, NotPlain> {
    copy(value, Place::whole(&Cells::new()))
}

fn copy(value: &Dynamic, place: Place<'_>) -> Result<Dynamic, NotPlain> {
    let refuse = |what| NotPlain {
        what,
        path: place.describe().1,
    };
    Ok(match Shape::of(value) {
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
