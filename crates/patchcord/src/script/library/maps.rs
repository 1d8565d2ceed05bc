//! Functions on maps. The keys of a map are in alphabetical order.

use rhai::{
    Array, Dynamic, EvalAltResult, FnPtr, ImmutableString, Map, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::Fallible;
use crate::{diagnostic::type_word, script::budget::produce, value::weight};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "maps", functions);
}

/// Converts an array of keys to strings.
fn keys(keys: &Array) -> Fallible<Vec<ImmutableString>> {
    let key = |key: &Dynamic| {
        key.as_immutable_string_ref()
            .map(|key| key.clone())
            .map_err(|got| {
                let got = type_word(got);
                format!("a key is a string, and this one is {got}").into()
            })
    };
    keys.iter().map(key).collect()
}

/// Returns the entries whose keys satisfy the predicate `fits`.
fn having(map: &Map, fits: impl Fn(&str) -> bool) -> Fallible<Map> {
    let found = map.iter().filter(|(key, _)| fits(key));
    produce(
        found
            .clone()
            .map(|(key, value)| key.len() + weight(value))
            .sum(),
    )?;
    Ok(found
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the entries of the map as an array of `[key, value]` arrays. The equivalent in Node is `Object.entries`.
    ///
    /// ```rhai
    /// for entry in #{ ada: 3, bob: 5 }.entries() { print(`${entry[0]} has ${entry[1]}`); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn entries(map: &mut Map) -> Result<Array, Box<EvalAltResult>> {
        produce(
            map.iter()
                .map(|(key, value)| 3 * key.len() + weight(value))
                .sum(),
        )?;
        let entry = |(key, value): (&rhai::Identifier, &Dynamic)| -> Dynamic {
            vec![key.as_str().into(), value.clone()].into()
        };
        Ok(map.iter().map(entry).collect())
    }

    /// Returns a map with the same keys. Each value is the result of calling a closure with the old value.
    ///
    /// ```rhai
    /// let doubled = #{ ada: 3, bob: 5 }.map_values(|score| score * 2);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn map_values(
        context: NativeCallContext<'_>,
        map: &mut Map,
        change: FnPtr,
    ) -> Result<Map, Box<EvalAltResult>> {
        let mut changed = Map::new();
        for (key, value) in map.iter() {
            let value = change.call_raw(&context, None, [value.clone()])?;
            changed.insert(key.clone(), value);
        }
        Ok(changed)
    }

    /// Returns a map with only the entries that have one of these keys. Keys that are not in the map are ignored.
    ///
    /// ```rhai
    /// let shown = #{ id: 7, name: "Ada", secret: "x" }.pick(["id", "name"]);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn pick(map: &mut Map, wanted: Array) -> Result<Map, Box<EvalAltResult>> {
        let wanted = keys(&wanted)?;
        having(map, |key| wanted.iter().any(|wanted| wanted == key))
    }

    /// Returns a map without the entries that have one of these keys.
    ///
    /// ```rhai
    /// let shown = #{ id: 7, name: "Ada", secret: "x" }.omit(["secret"]);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn omit(map: &mut Map, unwanted: Array) -> Result<Map, Box<EvalAltResult>> {
        let unwanted = keys(&unwanted)?;
        having(map, |key| unwanted.iter().all(|unwanted| unwanted != key))
    }
}
