//! Arguments of commands: their description, and their values in a request.

use serde_json::{Map, Value};

/// Argument of a command.
#[derive(Debug)]
pub struct Argument {
    /// Name of the argument in requests, and of its flag.
    pub name: &'static str,
    /// Name of the value in help.
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "help is of the command line")
    )]
    pub value: &'static str,
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "help is of the command line")
    )]
    pub about: &'static str,
    pub form: Form,
    pub kind: Kind,
}

/// Form in which an argument is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "commands to come use all of them")]
pub enum Form {
    /// Positional and required.
    Required,
    /// Positional and optional.
    Optional,
    /// Positional, any number of times: an array in requests.
    Many,
    /// Flag with a value.
    Flag,
    /// Flag without a value: `true` in requests.
    Switch,
}

/// Kind of the value of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, 1 or more.
    Number,
    Text,
}

/// Arguments of a request, checked against those of its command.
#[derive(Debug)]
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Checks that the arguments are those of the command `of`.
    ///
    /// # Errors
    /// Returns a description of the first argument that is wrong.
    pub(super) fn checked(
        of: &str,
        known: &[Argument],
        mut given: Map<String, Value>,
    ) -> Result<Self, String> {
        // A request may have `null` for an argument that it does not set.
        given.retain(|_, value| !value.is_null());
        for (name, value) in &given {
            let argument = known.iter().find(|one| one.name == name);
            let Some(Argument { form, kind, .. }) = argument else {
                return Err(format!("`{of}` has no argument `{name}`"));
            };
            let values = value.as_array().filter(|_| *form == Form::Many);
            let (is_right, expected) = match (form, kind) {
                (Form::Switch, _) => (value.is_boolean(), "`true` or `false`"),
                (Form::Many, _) => (
                    values.is_some_and(|all| all.iter().all(|one| is_of(*kind, one))),
                    "an array",
                ),
                (_, Kind::Number) => (is_of(*kind, value), "a whole number, 1 or more"),
                (_, Kind::Text) => (is_of(*kind, value), "a text"),
            };
            if !is_right {
                return Err(format!("`{name}` of `{of}` must be {expected}"));
            }
        }
        let mut required = known.iter();
        let required =
            required.find(|one| one.form == Form::Required && !given.contains_key(one.name));
        match required {
            Some(missing) => Err(format!("`{of}` needs `{}`", missing.name)),
            None => Ok(Self(given)),
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    pub(super) fn switch(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// Returns the values of an argument that may occur any number of times.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let values = self.0.get(name).and_then(Value::as_array);
        let texts = values.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

fn is_of(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Number => value.as_u64().is_some_and(|number| number > 0),
        Kind::Text => value.is_string(),
    }
}
