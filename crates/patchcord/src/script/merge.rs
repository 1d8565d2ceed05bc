//! Three-way merge of values: the value that the old code produced, the value that the new code produces, and the value
//! that the connection holds.
//!
//! Maps are merged key by key. Any other value follows the new code if the connection has not changed it.

use rhai::{Dynamic, FnPtr, Map};

use super::values::MAX_DEPTH;
use crate::value::same;

/// Outcome of a merge. A `None` in it means that there is no value.
#[derive(Debug)]
pub(crate) enum Merged {
    /// The edit did not change the value.
    Same,
    /// The edit changed the value, but the connection keeps its own value.
    Kept,
    /// The connection had not changed the value, and gets the new one.
    Followed(Option<Dynamic>),
    /// In a map, some keys keep the connection's own values, and others get the new ones.
    Both(Dynamic),
    /// The connection had changed the value, but its type no longer fits, so the connection gets the new value.
    Reset(Option<Dynamic>),
}

/// Merges one value. `None` means that the key does not exist.
pub(crate) fn merge(
    base: Option<&Dynamic>,
    new: Option<&Dynamic>,
    live: Option<&Dynamic>,
) -> Merged {
    merge_within(base, new, live, 0)
}

fn merge_within(
    base: Option<&Dynamic>,
    new: Option<&Dynamic>,
    live: Option<&Dynamic>,
    depth: usize,
) -> Merged {
    if is_same(base, new) {
        return Merged::Same;
    }
    if is_same(base, live) {
        return Merged::Followed(new.cloned());
    }
    let (Some(new), Some(live)) = (new, live) else {
        // The connection has removed a key that the new code sets to another value, or has changed a key that the new
        // code no longer sets.
        return Merged::Kept;
    };
    if depth < MAX_DEPTH
        && let (Ok(new), Ok(live)) = (new.as_map_ref(), live.as_map_ref())
    {
        let base = base.and_then(|base| base.as_map_ref().ok());
        return maps(base.as_deref(), &new, &live, depth);
    }
    if base.is_none_or(|base| base.type_id() == new.type_id()) {
        return Merged::Kept;
    }
    match fit(new, live) {
        Fit::Stays => Merged::Kept,
        Fit::Converts(value) => Merged::Both(value),
        Fit::Never => Merged::Reset(Some(new.clone())),
    }
}

fn maps(base: Option<&Map>, new: &Map, live: &Map, depth: usize) -> Merged {
    let mut merged = live.clone();
    let mut followed = false;
    let keys = base.iter().flat_map(|base| base.keys()).chain(new.keys());
    for key in keys {
        let before = base.and_then(|base| base.get(key));
        match merge_within(before, new.get(key), live.get(key), depth + 1) {
            Merged::Same | Merged::Kept => continue,
            Merged::Followed(value) | Merged::Reset(value) => match value {
                Some(value) => drop(merged.insert(key.clone(), value)),
                None => drop(merged.remove(key)),
            },
            Merged::Both(value) => drop(merged.insert(key.clone(), value)),
        }
        followed = true;
    }
    match followed {
        true => Merged::Both(merged.into()),
        false => Merged::Kept,
    }
}

/// Relation between a value and code that expects the type of another value.
enum Fit {
    Stays,
    Converts(Dynamic),
    Never,
}

fn fit(new: &Dynamic, live: &Dynamic) -> Fit {
    if new.is_unit() || live.is_unit() || new.type_id() == live.type_id() {
        return Fit::Stays;
    }
    match (live.as_int(), new.is_float()) {
        #[allow(clippy::cast_precision_loss, reason = "a script does the same")]
        (Ok(live), true) => Fit::Converts((live as f64).into()),
        _ if live.is_float() && new.is_int() => Fit::Stays,
        _ => Fit::Never,
    }
}

/// Returns `true` for equal values. Closures are equal if they have the same code, and timers if they are the same
/// timer.
pub(crate) fn is_same_value(a: &Dynamic, b: &Dynamic) -> bool {
    is_same_within(a, b, 0)
}

fn is_same(a: Option<&Dynamic>, b: Option<&Dynamic>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => is_same_value(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn is_same_within(a: &Dynamic, b: &Dynamic, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    if let (Ok(a), Ok(b)) = (a.as_array_ref(), b.as_array_ref()) {
        let mut pairs = a.iter().zip(b.iter());
        return a.len() == b.len() && pairs.all(|(a, b)| is_same_within(a, b, depth + 1));
    }
    if let (Ok(a), Ok(b)) = (a.as_map_ref(), b.as_map_ref()) {
        let mut pairs = a.iter().zip(b.iter());
        return a.len() == b.len()
            && pairs.all(|((key, a), (other, b))| key == other && is_same_within(a, b, depth + 1));
    }
    if let (Some(a), Some(b)) = (a.read_lock::<FnPtr>(), b.read_lock::<FnPtr>()) {
        return a.fn_name() == b.fn_name();
    }
    same(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Dynamic> {
        (text != "-").then(|| rhai::Engine::new().eval(text).unwrap())
    }

    fn outcome(base: &str, new: &str, live: &str) -> String {
        let text = |value: Option<Dynamic>| value.map_or("-".to_owned(), |value| value.to_string());
        match merge(
            value(base).as_ref(),
            value(new).as_ref(),
            value(live).as_ref(),
        ) {
            Merged::Same | Merged::Kept => text(value(live)),
            Merged::Followed(value) | Merged::Reset(value) => text(value),
            Merged::Both(value) => text(Some(value)),
        }
    }

    #[test]
    fn a_value_follows_the_code_where_the_connection_has_not_changed_it() {
        for (base, new, live, merged) in [
            ("1", "2", "1", "2"),
            ("1", "2", "7", "7"),
            ("1", "1", "7", "7"),
            ("1", "1.5", "7", "7.0"),
            ("1.5", "1", "7.5", "7.5"),
            ("1", "\"x\"", "7", "x"),
            ("()", "#{}", "#{a: 1}", "#{\"a\": 1}"),
            ("()", "#{}", "()", "#{}"),
            ("()", "#{}", "\"x\"", "#{}"),
            ("5", "6", "()", ""),
            ("5", "()", "7", "7"),
            (
                "#{hp: 10}",
                "#{hp: 10, mana: 5}",
                "#{hp: 3}",
                "#{\"hp\": 3, \"mana\": 5}",
            ),
            (
                "#{hp: 10, old: 1}",
                "#{hp: 10}",
                "#{hp: 3, old: 1}",
                "#{\"hp\": 3}",
            ),
            (
                "#{hp: 10, old: 1}",
                "#{hp: 10}",
                "#{hp: 3, old: 2}",
                "#{\"hp\": 3, \"old\": 2}",
            ),
            (
                "#{a: #{b: 1, c: 1}}",
                "#{a: #{b: 1, c: 2, d: 3}}",
                "#{a: #{b: 9, c: 1}}",
                "#{\"a\": #{\"b\": 9, \"c\": 2, \"d\": 3}}",
            ),
            ("1", "2", "\"x\"", "x"),
            ("-", "1", "\"x\"", "x"),
            ("#{n: 1}", "#{n: \"x\"}", "#{n: 7}", "#{\"n\": \"x\"}"),
            ("[1]", "[2]", "[1]", "[2]"),
            ("[1]", "[2]", "[1, 9]", "[1, 9]"),
            ("-", "1", "-", "1"),
            ("-", "1", "5", "5"),
            ("1", "-", "1", "-"),
            ("1", "-", "5", "5"),
            ("1", "2", "-", "-"),
        ] {
            assert_eq!(
                outcome(base, new, live),
                merged,
                "{base} -> {new}, live {live}"
            );
        }
    }
}
