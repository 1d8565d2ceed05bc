//! Functions on strings. Indexes and lengths count characters, not UTF-16 units as in JavaScript.

use rhai::{
    Array, Dynamic, EvalAltResult, INT, ImmutableString, Module, combine_with_exported_module,
    plugin::export_module,
};

use super::{Fallible, part};
use crate::{
    diagnostic::type_word,
    script::{budget::produce, limit},
};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "text", functions);
}

/// Returns a string or a character as a string.
fn as_text(value: &Dynamic) -> Fallible<ImmutableString> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(text.clone());
    }
    match value.as_char() {
        Ok(letter) => Ok(letter.to_string().into()),
        Err(_) => {
            let got = type_word(value.type_name());
            Err(format!("expected a string or a character, got {got}").into())
        }
    }
}

/// Charges the call for a string of `bytes` bytes. Fails if this exceeds the maximum length of a string.
fn room(bytes: usize) -> Fallible {
    let max = limit(|limits| limits.string_size);
    if bytes > max {
        return Err(
            format!("a string has at most {max} bytes, and this one would have {bytes}").into(),
        );
    }
    produce(bytes)
}

/// Returns the padding that extends `text` to a length of `len` characters: `with`, repeated.
fn padding(text: &str, len: INT, with: &str) -> Fallible<String> {
    let len = usize::try_from(len).unwrap_or_default();
    let missing = len.saturating_sub(text.chars().count());
    if missing > 0 && with.is_empty() {
        return Err("there is nothing to pad with: the string is empty".into());
    }
    let widest = with.chars().map(char::len_utf8).max().unwrap_or_default();
    room(text.len().saturating_add(missing.saturating_mul(widest)))?;
    Ok(with.chars().cycle().take(missing).collect())
}

/// Returns the characters from `start` up to, but not including, `end`.
fn slice(text: &str, start: INT, end: INT) -> Fallible<ImmutableString> {
    let range = part(text.chars().count(), start, end);
    let begin = text.char_indices().nth(range.start);
    let rest = begin.map_or("", |(at, _)| text.get(at..).unwrap_or_default());
    let end = rest.char_indices().nth(range.len());
    let found = end.map_or(rest, |(at, _)| rest.get(..at).unwrap_or_default());
    produce(found.len())?;
    Ok(found.into())
}

/// Replaces the content of a string with `new`, and returns the string.
fn change(text: &mut ImmutableString, new: &str) -> Fallible<ImmutableString> {
    if new.len() != text.len() || new != text.as_str() {
        produce(new.len())?;
        *text = new.into();
    }
    Ok(text.clone())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Removes whitespace from both ends. Changes the string in place and returns it; in Node, `trim` only returns a
    /// copy.
    ///
    /// ```rhai
    /// let name = " Ada ".trim();
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn trim(text: &mut ImmutableString) -> Result<ImmutableString, Box<EvalAltResult>> {
        let new = text.trim().to_owned();
        change(text, &new)
    }

    /// Returns a copy of the string without whitespace at the start.
    ///
    /// ```rhai
    /// print("  indented".trim_start());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn trim_start(
        text: &mut ImmutableString,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        change(&mut text.clone(), text.trim_start())
    }

    /// Returns a copy of the string without whitespace at the end.
    ///
    /// ```rhai
    /// print("a line\n".trim_end());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn trim_end(
        text: &mut ImmutableString,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        change(&mut text.clone(), text.trim_end())
    }

    /// Converts the string to upper case. Changes the string in place and returns it; `to_upper` only returns a copy.
    ///
    /// ```rhai
    /// let code = "abc"; code.make_upper();
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn make_upper(
        text: &mut ImmutableString,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let new = text.to_uppercase();
        change(text, &new)
    }

    /// Converts the string to lower case. Changes the string in place and returns it; `to_lower` only returns a copy.
    ///
    /// ```rhai
    /// let name = "ADA"; name.make_lower();
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn make_lower(
        text: &mut ImmutableString,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let new = text.to_lowercase();
        change(text, &new)
    }

    /// Truncates the string to its first `len` characters. Changes the string in place and returns it.
    ///
    /// ```rhai
    /// let title = "a long title".truncate(6);
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn truncate(
        text: &mut ImmutableString,
        len: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let new = slice(text, 0, len.max(0))?;
        change(text, &new)
    }

    /// Removes every occurrence of a substring or a character. Changes the string in place and returns it.
    ///
    /// ```rhai
    /// let digits = "12 345".remove(" ");
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn remove(
        text: &mut ImmutableString,
        removed: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let new = match removed.is_empty() {
            true => text.to_string(),
            false => text.replace(removed, ""),
        };
        change(text, &new)
    }

    #[rhai_fn(name = "remove", return_raw)]
    pub(crate) fn remove_character(
        text: &mut ImmutableString,
        removed: char,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let new = text.replace(removed, "");
        change(text, &new)
    }

    /// Returns the string repeated `times` times.
    ///
    /// ```rhai
    /// print("-".repeat(20));
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn repeat(
        text: &mut ImmutableString,
        times: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let times = usize::try_from(times).unwrap_or_default();
        room(text.len().saturating_mul(times))?;
        Ok(text.repeat(times).into())
    }

    /// Returns the substring from index `start` to the end. A negative index counts from the end.
    ///
    /// ```rhai
    /// print("file.txt".slice(-3));
    /// ```
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub(crate) fn slice_from(
        text: &mut ImmutableString,
        start: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        slice(text, start, INT::MAX)
    }

    /// Returns the substring from index `start` up to, but not including, index `end`. A negative index counts from the
    /// end.
    ///
    /// ```rhai
    /// let id = socket.id.slice(0, 6);
    /// ```
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub(crate) fn slice_of(
        text: &mut ImmutableString,
        start: INT,
        end: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        slice(text, start, end)
    }

    /// Returns the string, padded at the start with spaces to a length of `len` characters.
    ///
    /// ```rhai
    /// print("7".pad_start(3));
    /// ```
    #[rhai_fn(name = "pad_start", pure, return_raw)]
    pub(crate) fn pad_start_with_spaces(
        text: &mut ImmutableString,
        len: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        Ok(format!("{}{text}", padding(text, len, " ")?).into())
    }

    /// Returns the string, padded at the start with `filler`, which is repeated as needed, to a length of `len`
    /// characters.
    ///
    /// ```rhai
    /// let hour = 7.to_string().pad_start(2, "0");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn pad_start(
        text: &mut ImmutableString,
        len: INT,
        filler: Dynamic,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        Ok(format!("{}{text}", padding(text, len, &as_text(&filler)?)?).into())
    }

    /// Returns the string, padded at the end with spaces to a length of `len` characters.
    ///
    /// ```rhai
    /// print("name".pad_end(10) + "score");
    /// ```
    #[rhai_fn(name = "pad_end", pure, return_raw)]
    pub(crate) fn pad_end_with_spaces(
        text: &mut ImmutableString,
        len: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        Ok(format!("{text}{}", padding(text, len, " ")?).into())
    }

    /// Returns the string, padded at the end with `filler`, which is repeated as needed, to a length of `len`
    /// characters. `pad` does the same in place.
    ///
    /// ```rhai
    /// print("name".pad_end(10, "."));
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn pad_end(
        text: &mut ImmutableString,
        len: INT,
        filler: Dynamic,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        Ok(format!("{text}{}", padding(text, len, &as_text(&filler)?)?).into())
    }

    /// Returns `true` if the string contains `part`, which is a string or a character, as `contains` does.
    ///
    /// ```rhai
    /// socket.on("chat message", |text| { if text.includes("http") { return "no links, please"; } });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn includes(
        text: &mut ImmutableString,
        part: Dynamic,
    ) -> Result<bool, Box<EvalAltResult>> {
        Ok(text.contains(as_text(&part)?.as_str()))
    }

    /// Returns the lines of the string as an array, without line endings.
    ///
    /// ```rhai
    /// for line in "first\nsecond".lines() { print(line); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn lines(text: &mut ImmutableString) -> Result<Array, Box<EvalAltResult>> {
        let max = limit(|limits| limits.array_size);
        let count = text.lines().take(max.saturating_add(1)).count();
        if count > max {
            return Err(format!("an array has at most {max} elements").into());
        }
        produce(text.len() + count * size_of::<Dynamic>())?;
        Ok(text.lines().map(|line| line.to_owned().into()).collect())
    }

    /// Returns a copy of the string with `&`, `<`, `>`, `"` and `'` escaped for HTML. Better still, let the page set
    /// `textContent`, which needs no escaping.
    ///
    /// ```rhai
    /// socket.on("chat message", |text| { io.emit("chat message", text.escape_html()); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn escape_html(
        text: &mut ImmutableString,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let escape = |letter: char| match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            _ => "",
        };
        let size = text
            .chars()
            .map(|letter| escape(letter).len().max(letter.len_utf8()));
        room(size.sum())?;
        let mut escaped = String::with_capacity(text.len());
        for letter in text.chars() {
            match escape(letter) {
                "" => escaped.push(letter),
                written => escaped.push_str(written),
            }
        }
        Ok(escaped.into())
    }
}
