//! JSON for a terminal.

use std::{borrow::Cow, fmt::Write};

use patchcord::diagnostic::is_hidden;

/// Returns JSON with `\u001b` escapes in place of the characters that [`patchcord::diagnostic::visible`] escapes. These
/// occur only in the strings of JSON, so the value stays the same.
pub(super) fn visible(json: &str) -> Cow<'_, str> {
    // Line breaks are layout of JSON, because strings contain none.
    let escaped = |c: char| c != '\n' && is_hidden(c);
    if !json.chars().any(escaped) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match escaped(c) {
            // Writing to a string cannot fail. All of these characters are in the first plane.
            true => drop(write!(shown, "\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchcord::{diagnostic::hostile::TEXT, event::samples::every};

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "a\u{202e}": "\u{7f}\u{85}\u{9b}2J\u{2028}\n\u{1b}\"\\" });
        for json in [
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
        ] {
            let shown = visible(&json);
            assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
                value
            );
        }
    }

    #[test]
    fn an_event_is_one_object_of_json_in_one_line_and_keeps_its_texts() {
        for event in every(TEXT) {
            let written = serde_json::to_string(&event).unwrap();
            let shown = visible(&written);
            assert!(!shown.contains(is_hidden), "{shown:?}");
            let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(value, serde_json::to_value(&event).unwrap());
        }
    }
}
