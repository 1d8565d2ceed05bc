//! `valid`: looks at what a client has sent, before it is used.

use rhai::{Dynamic, EvalAltResult, Module, combine_with_exported_module, plugin::export_module};

use super::shape::Shape;
use crate::script::budget::produce;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "valid", words);
}

/// Returns what is wrong with a shape that a script has written.
pub(crate) fn shape_problem(shape: &Dynamic) -> Option<String> {
    Shape::of(shape).err()
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod words {
    /// Compares a value with a shape. Returns `()` if the value has it, otherwise a text that says what is wrong: one line
    /// for each place, at most 10 lines. A shape is a text:
    ///
    /// `"string"`, `"int"`, `"number"`, `"bool"`, `"array"`, `"map"`, `"binary"`, `"any"`; with limits that are allowed
    /// themselves, of numbers or of lengths in characters, elements, keys or bytes: `"string 1..256"`, `"int 0.."`, `"array
    /// ..10"`, `"string 8"`; `"string?"` may be missing; `"'red' | 'blue' | int"` is one of several.
    ///
    /// `[shape]` is an array whose elements have a shape, `[shape, "1..10"]` one of so many. `#{ key: shape }` is a map with
    /// these keys and no others; a key with a question mark, `"key?"`, may be missing, and the key `"*"` is the shape of all
    /// others. An `int` is a whole number; a client that sends
    /// `2.0` sends one. In Node a library does this.
    ///
    /// ```rhai
    /// fn on_connection(socket) {
    ///     socket.on("todo:create", |todo| {
    ///         let wrong = valid(todo, #{ title: "string 1..256", done: "bool?", tags: ["string 1..20", "..5"] });
    ///         if wrong != () { return #{ error: wrong }; }
    ///         io.data.push("todos", todo, 100);
    ///         #{ ok: true }
    ///     });
    /// }
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn valid(value: Dynamic, shape: Dynamic) -> Result<Dynamic, Box<EvalAltResult>> {
        let shape = Shape::of(&shape).map_err(|problem| format!("`valid`: {problem}"))?;
        let problems = shape.problems(&value);
        produce(problems.as_ref().map_or(0, String::len))?;
        Ok(problems.map_or(Dynamic::UNIT, Dynamic::from))
    }
}
