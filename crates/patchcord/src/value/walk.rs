//! Common parts of all walks through a `Dynamic`: they read types without panicking, track the location, and end the
//! walk at its limits.
//!
//! A walk matches on the [`Shape`] of a value and descends with a [`Place`]. Shared cells are locked one at a time, and
//! never through Rhai's own inspection functions, which recurse forever in a cell that contains itself, and panic on a
//! poisoned cell.

use std::{cell::Cell, fmt};

use rhai::{
    Array, Blob, Dynamic, DynamicReadLock, FLOAT, FnPtr, INT, ImmutableString, Instant, Map,
};

use crate::value::Binary;

/// Maximum nesting depth of arrays and maps, including the outermost one. serde_json stops at 128, with a message that
/// does not name the limit.
pub const MAX_DEPTH: usize = 120;

/// Maximum number of shared cells that one walk opens. Cells that share cells double the walk at each level, so a
/// maximum depth alone does not bound it.
const MAX_CELLS: usize = 4096;

/// Maximum number of steps of a path that a message shows.
const MAX_STEPS: usize = 16;
/// Maximum number of characters of a key that a message shows.
const MAX_KEY: usize = 40;

/// Reason why a value cannot leave its script.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A function pointer or closure.
    Closure,
    /// A point in time of this process.
    Timestamp,
    /// A value of a type of the host or the embedder. The field is the name of the type.
    Custom(&'static str),
    /// A captured variable that an outer part of the same call is using, or was using when the call panicked.
    Locked,
    /// More than [`MAX_DEPTH`] nested arrays and maps, or a value that contains itself.
    TooDeep,
    /// A value that contains the same variables too many times.
    TooShared,
    /// A map that the receiver would mistake for the placeholder of an attachment.
    Placeholder,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closure => f.write_str("a closure"),
            Self::Timestamp => f.write_str("a timestamp"),
            Self::Custom(name) => write!(f, "a value of type `{}`", short_name(name)),
            Self::Locked => f.write_str("a variable that is in use"),
            Self::TooDeep => write!(f, "a value nested more than {MAX_DEPTH} levels deep"),
            Self::TooShared => write!(f, "a value of more than {MAX_CELLS} shared variables"),
            Self::Placeholder => {
                f.write_str("a map whose `_placeholder` is `true`, in a packet with binary data,")
            }
        }
    }
}

/// Returns the name of a type without its module path. The name of a generic type keeps it, because its parameters have
/// module paths too.
fn short_name(name: &str) -> &str {
    match name.rsplit_once("::") {
        Some((_, last)) if !name.contains('<') => last,
        _ => name,
    }
}

/// Content of a `Dynamic`, borrowed.
pub(super) enum Shape<'a> {
    Unit,
    Bool(bool),
    Int(INT),
    Float(FLOAT),
    Char(char),
    Str(DynamicReadLock<'a, ImmutableString>),
    Array(DynamicReadLock<'a, Array>),
    Map(DynamicReadLock<'a, Map>),
    Blob(DynamicReadLock<'a, Blob>),
    Binary(DynamicReadLock<'a, Binary>),
    /// A shared cell, locked for reading. [`Place::through`] returns the location of its content.
    Shared(DynamicReadLock<'a, Dynamic>),
    /// A value that JSON cannot represent.
    Foreign(Refusal),
}

impl<'a> Shape<'a> {
    pub(super) fn new(value: &'a Dynamic) -> Self {
        if value.is_shared() {
            return value
                .read_lock()
                .map_or(Self::Foreign(Refusal::Locked), Self::Shared);
        }
        // Rhai's `is_...` functions check the kind of a value, and `read_lock` checks the requested type.
        let known = if value.is_string() {
            value.read_lock().map(Self::Str)
        } else if value.is_int() {
            value.as_int().ok().map(Self::Int)
        } else if value.is_map() {
            value.read_lock().map(Self::Map)
        } else if value.is_array() {
            value.read_lock().map(Self::Array)
        } else if value.is_float() {
            value.as_float().ok().map(Self::Float)
        } else if value.is_bool() {
            value.as_bool().ok().map(Self::Bool)
        } else if value.is_unit() {
            Some(Self::Unit)
        } else if value.is_char() {
            value.as_char().ok().map(Self::Char)
        } else if value.is_blob() {
            value.read_lock().map(Self::Blob)
        } else {
            value.read_lock().map(Self::Binary)
        };
        known.unwrap_or_else(|| Self::Foreign(Self::foreign(value)))
    }

    fn foreign(value: &Dynamic) -> Refusal {
        if value.read_lock::<FnPtr>().is_some() {
            Refusal::Closure
        } else if value.read_lock::<Instant>().is_some() {
            Refusal::Timestamp
        } else {
            Refusal::Custom(value.type_name())
        }
    }
}

/// Returns `true` for plain data that contains no other values.
pub(crate) fn is_leaf(value: &Dynamic) -> bool {
    !matches!(
        Shape::new(value),
        Shape::Array(_) | Shape::Map(_) | Shape::Shared(_) | Shape::Foreign(_)
    )
}

/// Number of cells that a walk may still open.
pub(super) struct Cells(Cell<usize>);

impl Cells {
    pub(super) fn new() -> Self {
        Self(Cell::new(MAX_CELLS))
    }

    /// Counts a cell. Returns `None` if there were too many cells.
    pub(super) fn open(&self) -> Option<()> {
        self.0.set(self.0.get().checked_sub(1)?);
        Some(())
    }
}

/// Location of a value in a walk: a list of steps on the stack, which costs nothing until it is shown.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    outer: Option<&'a Place<'a>>,
    step: Step<'a>,
    depth: usize,
    cells: &'a Cells,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Whole,
    Argument(usize),
    Index(usize),
    Key(&'a str),
}

impl<'a> Place<'a> {
    /// Returns the location of the value itself.
    pub(super) fn whole(cells: &'a Cells) -> Self {
        Self {
            outer: None,
            step: Step::Whole,
            depth: 0,
            cells,
        }
    }

    /// Returns the location of the argument with this index.
    pub(super) fn argument(index: usize, cells: &'a Cells) -> Self {
        Self {
            step: Step::Argument(index),
            ..Self::whole(cells)
        }
    }

    /// Checks that the value here may be an array or a map, which must not be nested too deeply.
    pub(super) fn enter(&self) -> Result<(), Refusal> {
        if self.depth < MAX_DEPTH {
            Ok(())
        } else {
            Err(Refusal::TooDeep)
        }
    }

    /// Returns the location of an element of the array here.
    pub(super) fn index(&'a self, index: usize) -> Self {
        self.inside(Step::Index(index))
    }

    /// Returns the location of an entry of the map here.
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        self.inside(Step::Key(key))
    }

    fn inside(&'a self, step: Step<'a>) -> Self {
        Self {
            outer: Some(self),
            step,
            depth: self.depth + 1,
            cells: self.cells,
        }
    }

    /// Returns the same location, for the content of the cell here. A cell in a cell counts as a level, because it may
    /// be the same cell.
    pub(super) fn through(self, content: &Dynamic) -> Result<Self, Refusal> {
        self.cells.open().ok_or(Refusal::TooShared)?;
        let is_deeper = content.is_shared();
        if is_deeper {
            self.enter()?;
        }
        Ok(Self {
            depth: self.depth + usize::from(is_deeper),
            ..self
        })
    }

    /// Returns the path as a script would write it, and the number (from 1) of the argument in which it starts.
    pub(super) fn describe(&self) -> (Option<usize>, String) {
        let mut steps = Vec::new();
        let mut argument = None;
        let mut here = Some(self);
        while let Some(place) = here {
            match place.step {
                Step::Whole => {}
                Step::Argument(index) => argument = Some(index + 1),
                step => steps.push(step),
            }
            here = place.outer;
        }
        let mut path: String = steps.iter().rev().take(MAX_STEPS).map(Step::text).collect();
        if steps.len() > MAX_STEPS {
            path.push('…');
        }
        (argument, path.trim_start_matches('.').to_owned())
    }
}

impl Step<'_> {
    fn text(&self) -> String {
        match *self {
            Self::Whole | Self::Argument(_) => String::new(),
            Self::Index(index) => format!("[{index}]"),
            Self::Key(key) if key.chars().count() > MAX_KEY => {
                let start: String = key.chars().take(MAX_KEY).collect();
                format!("[{:?}]", start + "…")
            }
            Self::Key(key) if rhai::is_valid_identifier(key) => format!(".{key}"),
            Self::Key(key) => format!("[{key:?}]"),
        }
    }
}

/// Returns the end of a message about a value: the location of the value.
pub(super) fn location(argument: Option<usize>, path: &str) -> String {
    match (argument, path) {
        (None, "") => String::new(),
        (None, path) => format!(": at `{path}`"),
        (Some(argument), "") => format!(": argument {argument}"),
        (Some(argument), path) => format!(": argument {argument}, at `{path}`"),
    }
}
