//! JSON: `json::parse` and `json::stringify`.

use rhai::{
    Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::Fallible;
use crate::{
    script::{budget::produce, limit, placed},
    value,
};

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("parse_json", |text: &str| parse(text));
    engine.register_fn("to_json", |map: &mut Map| {
        written(&Dynamic::from_map(map.clone()))
    });
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "json", functions);
    engine.register_static_module("json", module.into());
}

/// Parses JSON within the limits of the running call.
pub(crate) fn parse(text: &str) -> Fallible<Dynamic> {
    produce(text.len())?;
    let (max_array, max_map) = (limit(|l| l.array_size), limit(|l| l.map_size));
    let limits = value::Limits {
        max_string: limit(|l| l.string_size),
        max_depth: limit(|l| l.nesting),
        max_array,
        max_map,
        // Rhai would reject a value with more elements anyway, after building the value.
        max_values: max_array.saturating_add(max_map),
        ..value::Limits::default()
    };
    value::value(text, &[], &limits).map_err(|error| error.to_string().into())
}

/// Writes a value as JSON.
fn written(value: &Dynamic) -> Fallible<String> {
    let text = value::to_json(value).map_err(|error| error.to_string())?;
    produce(text.len())?;
    Ok(text)
}

/// Maximum indentation per level, in spaces, as in JavaScript.
const MAX_INDENT: usize = 10;

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Parses JSON (RFC 8259): objects become maps, `null` becomes `()`, and integers stay integers. Throws if the
    /// string is not valid JSON. The equivalent in Node is `JSON.parse`.
    ///
    /// ```rhai
    /// let settings = json::parse(`{"sound": true, "volume": 7}`);
    /// ```
    #[rhai_fn(name = "parse", return_raw)]
    pub(crate) fn parse_text(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        placed(&context, || parse(text))
    }

    /// Returns a value as JSON. Throws if the value contains a closure, a handle or a timestamp, which JSON cannot
    /// represent. The equivalent in Node, `JSON.stringify`, leaves out functions.
    ///
    /// ```rhai
    /// print(json::stringify([1, "two", #{ three: () }]));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn stringify(
        context: NativeCallContext<'_>,
        value: Dynamic,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || written(&value).map(Into::into))
    }

    /// Returns a value as JSON on several lines, indented by `indent` spaces for each level.
    ///
    /// ```rhai
    /// print(json::stringify(#{ name: "Ada", scores: [3, 5] }, 2));
    /// ```
    #[rhai_fn(name = "stringify", return_raw)]
    pub(crate) fn stringify_with(
        context: NativeCallContext<'_>,
        value: Dynamic,
        indent: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || {
            let text = written(&value)?;
            let indent = usize::try_from(indent).unwrap_or_default().min(MAX_INDENT);
            if indent == 0 {
                return Ok(text.into());
            }
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            let parsed = parsed.map_err(|error| error.to_string())?;
            let spaces = " ".repeat(indent);
            let mut pretty = Vec::new();
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            let mut serializer = Serializer::with_formatter(&mut pretty, formatter);
            let result = parsed.serialize(&mut serializer);
            result.map_err(|error| error.to_string())?;
            produce(pretty.len())?;
            let pretty = String::from_utf8(pretty).map_err(|error| error.to_string())?;
            Ok(pretty.into())
        })
    }
}
