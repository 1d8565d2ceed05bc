//! Shapes of values that come from clients: `#{ title: "string 1..256", tags: ["string"] }`.
//!
//! In: a shape as a script writes it, and a value. Out: the problems of the value, one line for each path.

use std::fmt::{self, Write as _};

use rhai::{Array, Dynamic, Map};

use super::order::number;
use crate::{diagnostic::type_word, value::Binary};

/// Maximum number of problems that are reported for one value.
const MAX_PROBLEMS: usize = 10;
/// Maximum number of characters of a key or a string that a line shows.
const MAX_SHOWN: usize = 40;
/// Key in the shape of a map that stands for all other keys.
const OTHERS: &str = "*";

/// Shape of a value.
pub(super) struct Shape {
    what: What,
    /// `true` if the value may be `()`, and if its key may be missing in a map.
    is_optional: bool,
}

enum What {
    Kind(Kind, Bounds),
    Text(String),
    Either(Vec<Shape>),
    List(Box<Shape>, Bounds),
    Map(Vec<(String, Shape)>, Option<Box<Shape>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    String,
    Int,
    Number,
    Bool,
    Array,
    Map,
    Binary,
}

/// Names of the kinds of values.
const KINDS: [(&str, Kind); 8] = [
    ("any", Kind::Any),
    ("string", Kind::String),
    ("int", Kind::Int),
    ("number", Kind::Number),
    ("bool", Kind::Bool),
    ("array", Kind::Array),
    ("map", Kind::Map),
    ("binary", Kind::Binary),
];

/// Inclusive limits of a number, or of the length of a value.
#[derive(Clone, Copy, Default)]
struct Bounds {
    least: Option<f64>,
    most: Option<f64>,
}

impl Shape {
    /// Parses a shape.
    ///
    /// # Errors
    /// Fails if the shape is not valid; the error text names the reason.
    pub(super) fn new(shape: &Dynamic) -> Result<Self, String> {
        if let Ok(text) = shape.as_immutable_string_ref() {
            return Self::of_text(&text);
        }
        let what = if let Ok(list) = shape.as_array_ref() {
            let (of, bounds) = match &list[..] {
                [of] => (of, Bounds::default()),
                [of, bounds] => match bounds.as_immutable_string_ref() {
                    Ok(bounds) => (of, Bounds::of_length(&bounds)?),
                    Err(got) => {
                        let got = type_word(got);
                        return Err(format!(
                            "limits are a string, such as \"1..10\", found {got}"
                        ));
                    }
                },
                _ => {
                    return Err("the shape of an array is `[shape]` or `[shape, \"1..10\"]`".into());
                }
            };
            What::List(Box::new(Self::new(of)?), bounds)
        } else if let Ok(map) = shape.as_map_ref() {
            let others = map.get(OTHERS).map(Self::new).transpose()?.map(Box::new);
            let keys = map.iter().filter(|(key, _)| *key != OTHERS);
            let keys = keys.map(|(key, shape)| {
                let (name, shape) = (key.strip_suffix('?'), Self::new(shape)?);
                let is_optional = shape.is_optional || name.is_some();
                let shape = Self {
                    is_optional,
                    ..shape
                };
                Ok((name.unwrap_or(key).to_owned(), shape))
            });
            What::Map(keys.collect::<Result<_, String>>()?, others)
        } else {
            let got = type_word(shape.type_name());
            return Err(format!(
                "a shape is a string, an array or a map, found {got}"
            ));
        };
        Ok(Self {
            what,
            is_optional: false,
        })
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let parts = text.split('|').map(|part| Self::of_part(part.trim()));
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        if parts.len() == 1
            && let Some(one) = parts.pop()
        {
            return Ok(one);
        }
        Ok(Self {
            is_optional: parts.iter().any(|part| part.is_optional),
            what: What::Either(parts),
        })
    }

    fn of_part(part: &str) -> Result<Self, String> {
        let quoted = part
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''));
        if let Some(quoted) = quoted.filter(|quoted| !quoted.contains('\'')) {
            return Ok(Self {
                what: What::Text(quoted.to_owned()),
                is_optional: false,
            });
        }
        let (word, bounds) = part.split_once(' ').unwrap_or((part, ""));
        let name = word.strip_suffix('?').unwrap_or(word);
        let known = KINDS.iter().find(|(known, _)| *known == name);
        let Some((_, kind)) = known else {
            let kinds = KINDS.map(|(name, _)| name).join("`, `");
            return Err(format!(
                "`{part}` is not a shape: it is one of `{kinds}`, or a string in quotes, such as `'red'`"
            ));
        };
        if !bounds.is_empty() && matches!(kind, Kind::Any | Kind::Bool) {
            return Err(format!("`{name}` has no limits, found `{part}`"));
        }
        let bounds = match kind.words().1 {
            "" => Bounds::new(bounds)?,
            _ => Bounds::of_length(bounds)?,
        };
        Ok(Self {
            what: What::Kind(*kind, bounds),
            is_optional: name.len() < word.len(),
        })
    }

    /// Returns the problems of a value, one line for each path, or `None` if it has this shape.
    pub(super) fn problems(&self, value: &Dynamic) -> Option<String> {
        let mut found = Vec::new();
        self.check(value, &mut String::new(), &mut found);
        (!found.is_empty()).then(|| found.join("\n"))
    }

    fn check(&self, value: &Dynamic, path: &mut String, found: &mut Vec<String>) {
        if found.len() >= MAX_PROBLEMS || self.is_optional && value.is_unit() {
            return;
        }
        match &self.what {
            What::List(of, bounds) => {
                let list = value.as_array_ref().ok();
                let list = list.filter(|list| bounds.allow(length(list.len())));
                match list {
                    Some(list) => of.check_elements(&list, path, found),
                    None => found.push(self.line(value, path)),
                }
            }
            What::Map(keys, others) => match value.as_map_ref() {
                Ok(map) => check_keys(&map, (keys, others.as_deref()), path, found),
                Err(_) => found.push(self.line(value, path)),
            },
            _ if self.fits(value) => {}
            _ => found.push(self.line(value, path)),
        }
    }

    fn check_elements(&self, list: &Array, path: &mut String, found: &mut Vec<String>) {
        let len = path.len();
        for (place, element) in list.iter().enumerate() {
            // Writing to a `String` does not fail.
            let _ = write!(path, "[{place}]");
            self.check(element, path, found);
            path.truncate(len);
        }
    }

    /// Returns `true` if a value has this shape. Returns `false` for shapes of lists and maps, because `check` visits
    /// their elements.
    fn fits(&self, value: &Dynamic) -> bool {
        match &self.what {
            What::Kind(kind, bounds) => kind
                .measure(value)
                .is_some_and(|measure| bounds.allow(measure)),
            What::Text(text) => value
                .as_immutable_string_ref()
                .is_ok_and(|value| *value == text.as_str()),
            What::Either(shapes) => shapes.iter().any(|shape| shape.fits(value)),
            What::List(..) | What::Map(..) => false,
        }
    }

    fn line(&self, value: &Dynamic, path: &str) -> String {
        let (place, found) = (place(path), described(value));
        format!("{place}expected {self}, found {found}")
    }
}

/// Checks the entries of a map: those of its shape, and all others.
fn check_keys(
    map: &Map,
    (keys, others): (&[(String, Shape)], Option<&Shape>),
    path: &mut String,
    found: &mut Vec<String>,
) {
    let len = path.len();
    let mut within = |key: &str, check: &mut dyn FnMut(&mut String, &mut Vec<String>)| {
        if !path.is_empty() {
            path.push('.');
        }
        path.extend(key.chars().take(MAX_SHOWN).flat_map(char::escape_debug));
        check(path, found);
        path.truncate(len);
    };
    for (key, shape) in keys {
        within(key, &mut |path, found| match map.get(key.as_str()) {
            Some(value) => shape.check(value, path, found),
            None if shape.is_optional || found.len() >= MAX_PROBLEMS => {}
            None => found.push(format!("{}missing, expected {shape}", place(path))),
        });
    }
    let is_other = |key: &str| !keys.iter().any(|(known, _)| known == key);
    for (key, value) in map.iter().filter(|(key, _)| is_other(key)) {
        within(key, &mut |path, found| match others {
            Some(shape) => shape.check(value, path, found),
            None if found.len() >= MAX_PROBLEMS => {}
            None => found.push(format!("{}unknown key", place(path))),
        });
    }
}

#[allow(clippy::cast_precision_loss, reason = "no value is as long as that")]
const fn length(count: usize) -> f64 {
    count as f64
}

fn place(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("{path}: "),
    }
}

impl Kind {
    /// Returns the number that the limits apply to: the value itself, or its length. Returns `None` for values of other
    /// kinds.
    fn measure(self, value: &Dynamic) -> Option<f64> {
        let count = match self {
            Self::Any => 0,
            Self::Bool => value.as_bool().map(|_| 0).ok()?,
            Self::Int | Self::Number => {
                return number(value).filter(|_| self == Self::Number || value.is_int());
            }
            Self::String => value.as_immutable_string_ref().ok()?.chars().count(),
            Self::Array => value.as_array_ref().ok()?.len(),
            Self::Map => value.as_map_ref().ok()?.len(),
            Self::Binary => match value.as_blob_ref() {
                Ok(blob) => blob.len(),
                Err(_) => value.read_lock::<Binary>()?.len(),
            },
        };
        Some(length(count))
    }

    /// Returns the name of the kind for messages, and the unit of its length.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Any => ("any value", ""),
            Self::String => ("a string", "character"),
            Self::Int => ("an integer", ""),
            Self::Number => ("a number", ""),
            Self::Bool => ("a boolean", ""),
            Self::Array => ("an array", "element"),
            Self::Map => ("a map", "key"),
            Self::Binary => ("binary data", "byte"),
        }
    }
}

impl Bounds {
    /// Parses `1..256`, `..256`, `1..` or `7`.
    fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let limit = |limit: &str| match limit.trim() {
            "" => Ok(None),
            limit => match limit.parse::<f64>() {
                Ok(limit) if limit.is_finite() => Ok(Some(limit)),
                _ => Err(()),
            },
        };
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        match (limit(least), limit(most)) {
            (Ok(Some(least)), Ok(Some(most))) if least > most => {
                Err(format!("`{text}` has no value between its limits"))
            }
            (Ok(least), Ok(most)) => Ok(Self { least, most }),
            _ => Err(format!("limits are written `1..10`, found `{text}`")),
        }
    }

    /// Parses limits of a length, which are non-negative integers.
    fn of_length(text: &str) -> Result<Self, String> {
        let bounds = Self::new(text)?;
        let mut limits = bounds.least.into_iter().chain(bounds.most);
        match limits.all(|limit| limit >= 0.0 && limit.fract() == 0.0) {
            true => Ok(bounds),
            false => Err(format!("a length is an integer from 0 on, not `{text}`")),
        }
    }

    fn allow(self, measure: f64) -> bool {
        self.least.is_none_or(|least| least <= measure)
            && self.most.is_none_or(|most| measure <= most)
    }

    /// Writes the limits of a number, or of a length in `unit`s.
    fn write(self, f: &mut fmt::Formatter<'_>, unit: &'static str) -> fmt::Result {
        let from = if unit.is_empty() { "from" } else { "of" };
        let counted = |number| Counted(number, unit);
        match (self.least, self.most) {
            (None, None) => Ok(()),
            (Some(least), Some(most)) if least == most => write!(f, " of {}", counted(most)),
            (Some(least), Some(most)) => write!(f, " {from} {least} to {}", counted(most)),
            (Some(least), None) => write!(f, " of at least {}", counted(least)),
            (None, Some(most)) => write!(f, " of at most {}", counted(most)),
        }
    }
}

/// Number with its unit.
struct Counted(f64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, unit) = *self;
        match unit {
            "" => write!(f, "{number}"),
            _ if number == 1.0 => write!(f, "{number} {unit}"),
            _ => write!(f, "{number} {unit}s"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Kind(kind, bounds) => {
                let (name, unit) = kind.words();
                f.write_str(name)?;
                bounds.write(f, unit)
            }
            What::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
            What::Either(shapes) => {
                for (place, shape) in shapes.iter().enumerate() {
                    f.write_str(if place > 0 { " or " } else { "" })?;
                    shape.fmt(f)?;
                }
                Ok(())
            }
            What::List(_, bounds) => {
                let (name, unit) = Kind::Array.words();
                f.write_str(name)?;
                bounds.write(f, unit)
            }
            What::Map(..) => f.write_str(Kind::Map.words().0),
        }
    }
}

/// Describes a value: shows a short string, a number or a boolean itself, and any other value by its kind and length.
fn described(value: &Dynamic) -> String {
    if value.is_unit() {
        return "nothing".to_owned();
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        let count = text.chars().count();
        return match count <= MAX_SHOWN {
            true => format!("\"{}\"", text.escape_debug()),
            false => format!("a string of {}", Counted(length(count), "character")),
        };
    }
    if number(value).is_some() || value.is_bool() {
        return value.to_string();
    }
    let all = [Kind::Array, Kind::Map, Kind::Binary];
    let found = all
        .iter()
        .find_map(|kind| Some((kind, kind.measure(value)?)));
    match found {
        Some((kind, length)) => {
            let (name, unit) = kind.words();
            format!("{name} of {}", Counted(length, unit))
        }
        None => type_word(value.type_name()),
    }
}
