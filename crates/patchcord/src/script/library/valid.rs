//! `valid`: checks data from a client before a script uses it.

use rhai::{Dynamic, EvalAltResult, Module, combine_with_exported_module, plugin::export_module};

use super::shape::Shape;
use crate::script::budget::produce;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "valid", functions);
}

/// Returns the problem of a shape that a script has written, or `None` if the shape is valid.
pub(crate) fn shape_problem(shape: &Dynamic) -> Option<String> {
    Shape::new(shape).err()
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Checks a value against a shape. Returns `()` if the value has the shape, otherwise a string with the problems:
    /// one line for each problem, at most 10 lines. A shape is a string, an array or a map.
    ///
    /// A string names the type: `"string"`, `"int"`, `"number"`, `"bool"`, `"array"`, `"map"`, `"binary"` or `"any"`.
    /// An `int` is an integer; a client that sends `2.0` sends one. Inclusive limits may follow. They apply to a
    /// number, or to a length in characters, elements, keys or bytes: `"string 1..256"`, `"int 0.."`, `"array ..10"`,
    /// `"string 8"`. The question mark in `"string?"` means that the value may be missing, and `"'red' | 'blue' | int"`
    /// means one of these.
    ///
    /// `[shape]` is an array whose elements have this shape, and `[shape, "1..10"]` is such an array with 1 to 10
    /// elements. `#{ key: shape }` is a map with these keys and no others. A key with a question mark, `"key?"`, may be
    /// missing, and the key `"*"` has the shape of all other values. In Node you would use a validation library.
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
        let shape = Shape::new(&shape).map_err(|problem| format!("`valid`: {problem}"))?;
        let problems = shape.problems(&value);
        produce(problems.as_ref().map_or(0, String::len))?;
        Ok(problems.map_or(Dynamic::UNIT, Dynamic::from))
    }
}
