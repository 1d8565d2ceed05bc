//! Translates texts of Rhai and Rust into the terms of a script author.
//!
//! In: type names, sentences and values from Rhai's errors. Out: the type names that `type_of` returns in a script,
//! sentences in patchcord's style, and values as short text. Invariant: no function here follows a value without a
//! bound, because a map that captured itself must not crash the process.

use rhai::Dynamic;

/// Maximum length of the text of a thrown value that is shown, in characters.
const MAX_TEXT: usize = 1000;
/// Maximum number of levels of a thrown array or map that are shown.
const MAX_DEPTH: usize = 3;
/// Maximum number of items in one level of a thrown array or map that are shown.
const MAX_ITEMS: usize = 8;

/// Returns the name of a type as a script author knows it: `i64` is `int`, `&str | ImmutableString | String` is
/// `string`.
pub(crate) fn type_word(name: &str) -> String {
    let name = name.trim();
    if name.contains('|') || name.ends_with("str") {
        return "string".to_owned();
    }
    let generics = name.split_once('<').map_or("", |(_, rest)| rest);
    let bare = name.split('<').next().unwrap_or(name);
    let bare = bare.rsplit("::").next().unwrap_or(bare);
    let word = match bare {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "isize" | "usize" | "INT" => {
            "int"
        }
        "f32" | "f64" | "FLOAT" => "float",
        "String" | "ImmutableString" | "SmartString" => "string",
        "Vec" if generics.starts_with("u8") => "blob",
        "Vec" | "Array" => "array",
        "Blob" => "blob",
        "BTreeMap" | "Map" => "map",
        "Fn" | "FnPtr" => "closure",
        "Range" | "RangeInclusive" | "StepRange" | "range=" => "range",
        "Instant" => "timestamp",
        other => other,
    };
    word.to_owned()
}

/// Returns the types of a call's arguments, read from the text between the parentheses of a signature.
pub(super) fn type_words(list: &str) -> Vec<String> {
    let mut depth = 0usize;
    list.split(|c: char| {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => (),
        }
        c == ',' && depth == 0
    })
    .filter(|part| !part.trim().is_empty())
    .map(type_word)
    .collect()
}

/// Returns a sentence of Rhai in patchcord's style: lower-case, backticks, no final period, `expected` for `Expecting`.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut quoted = String::with_capacity(text.len());
    for (i, part) in text.split('\'').enumerate() {
        if i > 0 {
            quoted.push('`');
        }
        quoted.push_str(part);
    }
    let quoted = quoted.replace("Expecting", "expected");
    let mut chars = quoted.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => quoted,
    }
}

/// Returns the message of a thrown value: a string, the `message` of a map, or the value itself.
pub(super) fn thrown(value: &Dynamic) -> String {
    if value.is_unit() {
        return "the script threw an error without a message".to_owned();
    }
    let text = match value.as_map_ref() {
        Ok(map) => match map.get("message") {
            Some(message) => plain(message, 0),
            None => plain(value, 0),
        },
        Err(_) => plain(value, 0),
    };
    match text.trim() {
        "" => "the script threw an error without a message".to_owned(),
        text => shorten(text),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn plain(value: &Dynamic, depth: usize) -> String {
    if let Ok(text) = value.as_immutable_string_ref() {
        return match depth {
            0 => text.to_string(),
            _ => format!("{:?}", shorten(&text)),
        };
    }
    if let Ok(array) = value.as_array_ref() {
        let items = array.iter().map(|item| inner(item, depth));
        return format!("[{}]", listed(items, array.len()));
    }
    if let Ok(map) = value.as_map_ref() {
        let items = map
            .iter()
            .map(|(key, item)| format!("{key}: {}", inner(item, depth)));
        return format!("#{{{}}}", listed(items, map.len()));
    }
    match type_word(value.type_name()).as_str() {
        "int" | "float" | "bool" | "char" => value.to_string(),
        other => other.to_owned(),
    }
}

fn inner(value: &Dynamic, depth: usize) -> String {
    if depth < MAX_DEPTH {
        plain(value, depth + 1)
    } else {
        "...".to_owned()
    }
}

fn listed(items: impl Iterator<Item = String>, len: usize) -> String {
    let mut shown: Vec<_> = items.take(MAX_ITEMS).collect();
    if len > MAX_ITEMS {
        shown.push("...".to_owned());
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use rhai::{Engine, EvalAltResult};

    use super::{sentence, thrown, type_word, type_words};

    #[test]
    fn types_have_the_names_that_scripts_use() {
        let names = [
            ("i64", "int"),
            ("&str | ImmutableString | String", "string"),
            ("&str", "string"),
            ("alloc::string::String", "string"),
            ("rhai::ImmutableString", "string"),
            ("alloc::vec::Vec<rhai::types::dynamic::Dynamic>", "array"),
            ("alloc::vec::Vec<u8>", "blob"),
            ("Fn", "closure"),
            ("rhai::types::fn_ptr::FnPtr", "closure"),
            ("core::ops::range::Range<i64>", "range"),
            ("range=", "range"),
            ("()", "()"),
            ("patchcord::api::socket::Socket", "Socket"),
        ];
        for (name, word) in names {
            assert_eq!(type_word(name), word, "{name}");
        }
        let list =
            "Socket, &str | ImmutableString | String, alloc::collections::BTreeMap<K, V>, f64";
        assert_eq!(type_words(list), ["Socket", "string", "map", "float"]);
    }

    #[test]
    fn sentences_are_lower_case_with_backticks() {
        assert_eq!(sentence("Expecting '{' or '|'"), "expected `{` or `|`");
        assert_eq!(sentence("BLOB is full."), "BLOB is full");
    }

    #[test]
    fn a_thrown_value_is_shown_without_following_it_for_ever() {
        let message = |script: &str| match *Engine::new().run(script).unwrap_err() {
            EvalAltResult::ErrorRuntime(value, _) => thrown(&value),
            other => panic!("{other:?}"),
        };
        assert_eq!(message("throw 42"), "42");
        assert_eq!(
            message("throw"),
            "the script threw an error without a message"
        );
        assert_eq!(message(r#"throw #{ message: "no", code: 3 }"#), "no");
        assert_eq!(
            message(r#"throw #{ code: [1, "a", ()] }"#),
            r##"#{code: [1, "a", ()]}"##
        );
        assert_eq!(
            message("let m = #{ a: 1 }; m.me = || m; throw m"),
            "#{a: 1, me: closure}"
        );
        assert_eq!(message("throw [[[[[[1]]]]]]"), "[[[[...]]]]");
        assert_eq!(
            message("let s = \"x\"; s.pad(5000, 'x'); throw s")
                .chars()
                .count(),
            1003
        );
    }
}
