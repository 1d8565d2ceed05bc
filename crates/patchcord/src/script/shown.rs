//! Readable values of a live connection: plain data of a bounded size.
//!
//! A closure is shown as its location, and a handle as its kind. Anything that is too long is truncated, and marked as
//! truncated.

use std::sync::Arc;

use rhai::{Dynamic, FnPtr};
use serde_json::{Map, Value};

use super::{Handler, Version, captures::split_value_name, code::Code, timer::TimerHandle};
use crate::{diagnostic::type_word, value::Binary};

/// Maximum length of a string, in characters.
const MAX_TEXT: usize = 200;
/// Maximum number of elements of an array or a map that are shown.
const MAX_ELEMENTS: usize = 32;
/// Maximum number of elements of all arrays and maps in a value that are shown.
const MAX_ALL: usize = 256;
/// Maximum depth of nested values.
const MAX_DEPTH: usize = 8;

/// File and line.
pub type Spot = (Arc<str>, usize);

/// Returns the location of the code of a handler.
pub fn place(handler: &Handler) -> Spot {
    let code = handler.code();
    let row = code.places().row_of(handler.function());
    match row.and_then(|row| code.places().row(row)) {
        Some(row) => (row.file.clone(), row.position.0),
        None => {
            let function = handler
                .name()
                .and_then(|name| function(code, name, handler.file()));
            let line = || handler.position().map_or(0, |(line, _)| line);
            (handler.file().into(), function.unwrap_or_else(line))
        }
    }
}

/// Returns the line of a named function.
fn function(code: &Code, name: &str, file: &str) -> Option<usize> {
    let mut functions = code.places().functions().iter();
    let found = functions.find(|one| one.name == name && *one.file == *file)?;
    Some(found.position.0)
}

/// Converts a value of a connection to plain data. `version` is the version of the connection.
pub fn shown(value: &Dynamic, version: &Arc<Version>) -> Value {
    let mut showing = Showing {
        version,
        left: MAX_ALL,
    };
    showing.value(value, 0)
}

struct Showing<'a> {
    version: &'a Arc<Version>,
    left: usize,
}

impl Showing<'_> {
    fn value(&mut self, value: &Dynamic, depth: usize) -> Value {
        if value.is_shared() {
            return match value.read_lock::<Dynamic>().map(|value| value.clone()) {
                Some(inner) => self.value(&inner, depth + 1),
                None => "in use".into(),
            };
        }
        if depth > MAX_DEPTH || self.left == 0 {
            return "...".into();
        }
        if let Ok(flag) = value.as_bool() {
            return flag.into();
        }
        if let Ok(int) = value.as_int() {
            return int.into();
        }
        if let Ok(float) = value.as_float() {
            return float.into();
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            return cut(&text).into();
        }
        if let Ok(array) = value.as_array_ref() {
            let mut shown: Vec<_> = Vec::new();
            for element in array.iter().take(self.fitting(array.len())) {
                shown.push(self.value(element, depth + 1));
            }
            if let Some(more) = more(array.len(), shown.len()) {
                shown.push(more.into());
            }
            return shown.into();
        }
        if let Ok(map) = value.as_map_ref() {
            let mut shown = Map::new();
            for (key, element) in map.iter().take(self.fitting(map.len())) {
                shown.insert(cut(key), self.value(element, depth + 1));
            }
            if let Some(more) = more(map.len(), shown.len()) {
                shown.insert("...".to_owned(), more.into());
            }
            return shown.into();
        }
        self.other(value)
    }

    fn other(&self, value: &Dynamic) -> Value {
        if value.is_unit() {
            return Value::Null;
        }
        if let Some(closure) = value.read_lock::<FnPtr>() {
            return self.closure(&closure).into();
        }
        if let Some(timer) = value.read_lock::<TimerHandle>() {
            return format!("timer {}", timer.0).into();
        }
        if let Some(binary) = value.read_lock::<Binary>() {
            return format!("{} bytes", binary.len()).into();
        }
        if let Ok(blob) = value.as_blob_ref() {
            return format!("{} bytes", blob.len()).into();
        }
        match value.as_char() {
            Ok(letter) => letter.to_string().into(),
            Err(_) => type_word(value.type_name()).into(),
        }
    }

    fn closure(&self, closure: &FnPtr) -> String {
        if let Some((code, row)) = self.version.origin(closure.fn_name())
            && let Some(row) = code.places().row(row)
        {
            let place = format!("closure {}:{}", row.file, row.position.0);
            return match Arc::ptr_eq(&code, self.version.own()) {
                true => place,
                false => format!("{place} of version {}", code.number()),
            };
        }
        let (name, file) = split_value_name(closure.fn_name());
        let file = file.unwrap_or_else(|| self.version.entry());
        match function(self.version, name, file) {
            Some(line) => format!("function `{name}` {file}:{line}"),
            None => format!("function `{name}`"),
        }
    }

    /// Returns the number of elements that are shown, out of `all`.
    fn fitting(&mut self, all: usize) -> usize {
        let shown = all.min(MAX_ELEMENTS).min(self.left);
        self.left -= shown;
        shown
    }
}

fn more(all: usize, shown: usize) -> Option<String> {
    (all > shown).then(|| format!("and {} more", all - shown))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
