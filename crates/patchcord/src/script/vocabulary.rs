//! What cannot be read from the functions that an engine has: handles, and what words do with their arguments.

use std::any::TypeId;

/// `TypeId::of::<T>`
pub type TypeOf = fn() -> TypeId;

/// What cannot be read from the functions that an engine has.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Vocabulary {
    /// Names that stand for a handle: global ones, and parameters of hooks and callbacks.
    pub handles: &'static [(&'static str, TypeOf)],
    /// Types of the host's own that functions give, by their names in signatures.
    pub types: &'static [(&'static str, TypeOf)],
    /// Types that a `for` loop over another type gives.
    pub elements: &'static [(TypeOf, TypeOf)],
    /// ApiReference that take a closure, with the names of what it gets. The first argument narrows it down where there is
    /// one: the `disconnect` of `on`.
    pub callbacks: &'static [Callback],
    /// ApiReference that send their arguments, and how many of these stand before what is sent.
    pub sends: &'static [(&'static str, usize)],
    /// The most values that one call sends.
    pub most_sent: usize,
    /// A word that stands for several values among those that are sent.
    pub spread: &'static str,
    /// Maps with fixed keys: the handle, its property, the keys.
    pub maps: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Global names, of those in `handles`.
    pub globals: &'static [&'static str],
    /// Names of events that cannot be sent.
    pub reserved: &'static [&'static str],
    /// Where a script keeps what all its calls share; `""` is nowhere.
    pub shared: &'static str,
}

impl Vocabulary {
    /// Nothing but what the engine tells.
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

/// A word that takes a closure.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Callback {
    /// The word.
    pub word: &'static str,
    /// The first argument of the call, if it matters.
    pub argument: Option<&'static str>,
    /// The handle that the word is called on, if it matters.
    pub on: Option<&'static str>,
    /// What the closure gets.
    pub parameters: &'static [&'static str],
    /// Whether the word itself calls the closure, and keeps it for no event, timer or answer.
    pub at_once: bool,
}

impl Callback {
    /// The closure of `word` gets `parameters`.
    pub const fn new(word: &'static str, parameters: &'static [&'static str]) -> Self {
        Self {
            word,
            argument: None,
            on: None,
            parameters,
            at_once: false,
        }
    }

    /// The word itself calls the closure.
    #[must_use]
    pub const fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Only on this handle.
    #[must_use]
    pub const fn on(mut self, handle: &'static str) -> Self {
        self.on = Some(handle);
        self
    }

    /// Only where the first argument of the call is this text.
    #[must_use]
    pub const fn of(mut self, argument: &'static str) -> Self {
        self.argument = Some(argument);
        self
    }
}
