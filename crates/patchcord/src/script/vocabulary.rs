//! Facts about an API that cannot be derived from the functions of an engine: handles, and how functions use their
//! arguments.

use std::any::TypeId;

/// `TypeId::of::<T>`
pub type TypeOf = fn() -> TypeId;

/// Facts about an API that cannot be derived from the functions of an engine.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Vocabulary {
    /// Names that refer to a handle: global names, and parameters of hooks and callbacks.
    pub handles: &'static [(&'static str, TypeOf)],
    /// The host's own types that functions return, by their names in signatures.
    pub types: &'static [(&'static str, TypeOf)],
    /// Types of the elements in a `for` loop over another type.
    pub elements: &'static [(TypeOf, TypeOf)],
    /// Functions that accept a closure, with the names of the closure's parameters. If the first argument of the call
    /// matters, the entry contains it, such as the `disconnect` of `on`.
    pub callbacks: &'static [Callback],
    /// Functions that send their arguments, each with the number of arguments before the data that is sent.
    pub sends: &'static [(&'static str, usize)],
    /// Maximum number of values that one call sends.
    pub most_sent: usize,
    /// Function whose result is sent as several values.
    pub spread: &'static str,
    /// Maps with fixed keys: the handle, its property, and the keys.
    pub maps: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Those names in `handles` that are global.
    pub globals: &'static [&'static str],
    /// Names of events that cannot be sent.
    pub reserved: &'static [&'static str],
    /// Name under which a script keeps data that all its calls share; `""` if there is none.
    pub shared: &'static str,
}

impl Vocabulary {
    /// Vocabulary without any facts.
    pub const NONE: Self = Self {
        handles: &[],
        types: &[],
        elements: &[],
        callbacks: &[],
        sends: &[],
        most_sent: usize::MAX,
        spread: "",
        maps: &[],
        globals: &[],
        reserved: &[],
        shared: "",
    };
}

/// Function that accepts a closure.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Callback {
    /// Name of the function.
    pub word: &'static str,
    /// First argument of the call, if it matters.
    pub argument: Option<&'static str>,
    /// Handle on which the function is called, if it matters.
    pub on: Option<&'static str>,
    /// Names of the closure's parameters.
    pub parameters: &'static [&'static str],
    /// `true` if the function itself calls the closure, instead of keeping it for an event, a timer or an ack.
    pub at_once: bool,
}

impl Callback {
    /// Creates a callback: the closure of `word` receives `parameters`.
    pub const fn new(word: &'static str, parameters: &'static [&'static str]) -> Self {
        Self {
            word,
            argument: None,
            on: None,
            parameters,
            at_once: false,
        }
    }

    /// Marks a function that itself calls the closure.
    #[must_use]
    pub const fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Restricts the callback to calls on this handle.
    #[must_use]
    pub const fn on(mut self, handle: &'static str) -> Self {
        self.on = Some(handle);
        self
    }

    /// Restricts the callback to calls whose first argument is this string.
    #[must_use]
    pub const fn of(mut self, argument: &'static str) -> Self {
        self.argument = Some(argument);
        self
    }
}
