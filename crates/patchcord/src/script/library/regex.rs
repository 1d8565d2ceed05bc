//! Regular expressions: `re`.

use std::{borrow::Cow, cell::RefCell, collections::HashMap, rc::Rc};

use regex::{Captures, Regex, RegexBuilder};
use rhai::{
    Array, Dynamic, EvalAltResult, ImmutableString, Map, Module, combine_with_exported_module,
    plugin::export_module,
};

use super::Fallible;
use crate::{
    script::{budget::produce, limit},
    value::register_type,
};

/// Maximum length of a pattern, in bytes.
const MAX_PATTERN: usize = 1 << 10;
/// Maximum number of groups of a pattern, including the whole match. A search may keep the groups of every state of the
/// pattern.
const MAX_GROUPS: usize = 32;
/// Maximum size of the tables that a search builds from a compiled pattern, in bytes.
const MAX_TABLES: usize = 1 << 20;
/// Maximum size of a compiled pattern, in bytes.
const MAX_COMPILED: usize = 4 << 20;
/// Maximum length of a searched string, in bytes. The time of a search is proportional to the lengths of the string and
/// of the pattern, and nothing can interrupt it.
const MAX_TEXT: usize = 64 << 10;
/// Maximum number of compiled patterns that a thread caches.
const MAX_KEPT: usize = 32;

thread_local! {
    /// Compiled patterns of this thread.
    static COMPILED: RefCell<HashMap<ImmutableString, Rc<Regex>>> = RefCell::default();
}

pub(super) fn register(module: &mut Module) {
    register_type::<Pattern>(module, "Regex", |pattern| Some(pattern.0.clone().into()));
    combine_with_exported_module!(module, "regex", functions);
}

/// Returns the problem of a pattern that a script has written, or `None` if the pattern is valid.
pub(crate) fn pattern_problem(pattern: &str) -> Option<String> {
    compile(pattern).err()
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a pattern has at most {MAX_PATTERN} bytes"));
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_TABLES)
        .build();
    let compiled = compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the pattern takes more than {MAX_COMPILED} bytes when it is compiled")
        }
        error => {
            let text = error.to_string();
            let reason = text.rsplit("error: ").next().unwrap_or_default();
            format!("`{pattern}` is not a valid pattern: {reason}")
        }
    })?;
    match compiled.captures_len() > MAX_GROUPS {
        true => Err(format!("a pattern has at most {} groups", MAX_GROUPS - 1)),
        false => Ok(compiled),
    }
}

/// Regular expression as a script value: its pattern. Each thread compiles a pattern once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(ImmutableString);

impl Pattern {
    fn compiled(&self) -> Fallible<Rc<Regex>> {
        let kept = COMPILED.with_borrow(|compiled| compiled.get(&self.0).cloned());
        if let Some(kept) = kept {
            return Ok(kept);
        }
        // Compiling takes much longer than reading the pattern.
        produce(64 * self.0.len())?;
        let compiled = compile(&self.0).map_err(|problem| format!("`re`: {problem}"))?;
        let compiled = Rc::new(compiled);
        COMPILED.with_borrow_mut(|all| {
            if all.len() >= MAX_KEPT {
                all.clear();
            }
            all.insert(self.0.clone(), compiled.clone());
        });
        Ok(compiled)
    }

    /// Returns the compiled pattern for a search in `text`. Charges the call for the search.
    fn for_text(&self, text: &str) -> Fallible<Rc<Regex>> {
        produce(text.len())?;
        match text.len() <= MAX_TEXT {
            true => self.compiled(),
            false => Err(format!("a pattern searches a string of at most {MAX_TEXT} bytes").into()),
        }
    }
}

/// Returns the groups of a match: the whole match as `0`, all other groups by number and by name.
fn groups(regex: &Regex, found: &Captures<'_>) -> Fallible<Map> {
    let mut groups = Map::new();
    for (number, name) in regex.capture_names().enumerate() {
        let text = found.get(number).map_or(Dynamic::UNIT, |group| {
            ImmutableString::from(group.as_str()).into()
        });
        produce(found.get(number).map_or(0, |group| group.len()))?;
        if let Some(name) = name {
            groups.insert(name.into(), text.clone());
        }
        groups.insert(number.to_string().into(), text);
    }
    Ok(groups)
}

fn texts<'t>(found: impl Iterator<Item = &'t str>) -> Fallible<Array> {
    let most = limit(|limits| limits.array_size);
    let mut texts = Array::new();
    for text in found {
        if texts.len() >= most {
            return Err(format!("the result has more than {most} strings").into());
        }
        produce(text.len() + size_of::<Dynamic>())?;
        texts.push(text.to_owned().into());
    }
    Ok(texts)
}

/// Returns a replacement in which the number of a group ends with its digits, as in JavaScript: `$1px` becomes
/// `${1}px`.
fn with_braces(replacement: &str) -> Cow<'_, str> {
    let mut parts = replacement.split('$');
    let first = parts.next().unwrap_or_default();
    if first.len() == replacement.len() {
        return replacement.into();
    }
    let mut result = first.to_owned();
    let mut is_escaped = false;
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at_checked(digits).unwrap_or_default();
        match number.is_empty() || is_escaped {
            true => result.extend(["$", part]),
            false => result.extend(["${", number, "}", rest]),
        }
        // The second of two dollar signs stands for itself.
        is_escaped = part.is_empty() && !is_escaped;
    }
    result.into()
}

fn replaced(
    pattern: &Pattern,
    text: &str,
    replacement: &str,
    most: usize,
) -> Fallible<ImmutableString> {
    let regex = pattern.for_text(text)?;
    let max = limit(|limits| limits.string_size);
    let replacement = &*with_braces(replacement);
    let groups = replacement.matches('$').count();
    let (mut result, mut end) = (String::new(), 0);
    let all = regex.captures_iter(text);
    for found in all.take(most) {
        let Some(whole) = found.get(0) else { continue };
        result.push_str(text.get(end..whole.start()).unwrap_or_default());
        produce(whole.len() + size_of::<Dynamic>())?;
        // Checked before, because a short replacement can insert a long match many times.
        let inserted = groups.saturating_mul(whole.len());
        if inserted.saturating_add(replacement.len() + result.len()) > max {
            return Err(format!("a string has at most {max} bytes").into());
        }
        found.expand(replacement, &mut result);
        end = whole.end();
    }
    result.push_str(text.get(end..).unwrap_or_default());
    produce(result.len())?;
    Ok(result.into())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns a regular expression in the syntax of the Rust crate `regex`, for strings of at most 64 KiB. Throws if
    /// the pattern is not valid; `patchcord check` reports invalid patterns that are literals. Write the pattern in
    /// backticks, so that you need not escape `\d`. Finding one match takes time in proportion to the length of the
    /// string, so that a client's input cannot make it slow; for this reason, there are no lookarounds and
    /// backreferences. The equivalent in Node is `new RegExp(pattern)`; here, `\d`, `\w` and `\s` also match the digits,
    /// letters and spaces of other scripts, and `[0-9]` only the ten digits. Use `re_escape` for a client's string in a
    /// pattern.
    ///
    /// ```rhai
    /// socket.on("set name", |name| {
    ///     if !re(`^[\w -]{1,30}$`).is_match(name) { return #{ error: "letters, digits, `-` and spaces" }; }
    ///     socket.data.name = name;
    ///     #{ ok: true }
    /// });
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn re(pattern: ImmutableString) -> Result<Pattern, Box<EvalAltResult>> {
        let pattern = Pattern(pattern);
        pattern.compiled()?;
        Ok(pattern)
    }

    /// Returns a string with a backslash before each character that has a meaning in patterns, so that a client's string
    /// can be a part of a pattern. JavaScript has `RegExp.escape`.
    ///
    /// ```rhai
    /// let word = "a.b";
    /// print(re(`\b${re_escape(word)}\b`).is_match("a.b c"));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn re_escape(text: &str) -> Result<ImmutableString, Box<EvalAltResult>> {
        produce(2 * text.len())?;
        Ok(regex::escape(text).into())
    }

    /// Returns `true` if a part of the string matches. The equivalent in Node is `pattern.test(text)`.
    ///
    /// ```rhai
    /// if re(`(?i)^https?://`).is_match("HTTPS://example.com") { print("a link"); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn is_match(regex: &mut Pattern, text: &str) -> Result<bool, Box<EvalAltResult>> {
        Ok(regex.for_text(text)?.is_match(text))
    }

    /// Returns the first match as a string, or `()` if there is none.
    ///
    /// ```rhai
    /// let number = re(`\d+`).find("room 12");    // "12"
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn find(regex: &mut Pattern, text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        let found = regex.for_text(text)?;
        let found = found
            .find(text)
            .map(|found| ImmutableString::from(found.as_str()));
        Ok(found.map_or(Dynamic::UNIT, Dynamic::from))
    }

    /// Returns all non-overlapping matches as an array of strings. The equivalent in Node is `text.match(/.../g)`.
    ///
    /// ```rhai
    /// let mentions = re(`@\w+`).find_all("@ada and @bob");    // ["@ada", "@bob"]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn find_all(regex: &mut Pattern, text: &str) -> Result<Array, Box<EvalAltResult>> {
        let found = regex.for_text(text)?;
        texts(found.find_iter(text).map(|found| found.as_str()))
    }

    /// Returns the capture groups of the first match as a map, or `()` if there is no match. The key `"0"` has the
    /// whole match; each group has its number as a key, and its name if it has one (`(?<name>...)`). A group that does
    /// not participate in the match is `()`. The equivalent in Node is `pattern.exec(text)`.
    ///
    /// ```rhai
    /// let command = re(`^/(?<name>\w+)\s+(?<rest>.*)$`).captures("/nick Ada");
    /// if command != () { print(`${command.name}: ${command.rest}`); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn captures(regex: &mut Pattern, text: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        let regex = regex.for_text(text)?;
        match regex.captures(text) {
            Some(found) => Ok(groups(&regex, &found)?.into()),
            None => Ok(Dynamic::UNIT),
        }
    }

    /// Returns a copy of the string with the first match replaced. In the replacement, `$1` and `${name}` stand for
    /// capture groups, and `$$` for `$`. The equivalent in Node is `text.replace(pattern, with)`.
    ///
    /// ```rhai
    /// print(re(`(\w+) (\w+)`).replace("Ada Lovelace", "$2, $1"));
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn replace(
        regex: &mut Pattern,
        text: &str,
        replacement: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        replaced(regex, text, replacement, 1)
    }

    /// Returns a copy of the string with all matches replaced.
    ///
    /// ```rhai
    /// let clean = re(`(?i)darn`).replace_all("Darn it, darn!", "***");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn replace_all(
        regex: &mut Pattern,
        text: &str,
        replacement: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        replaced(regex, text, replacement, usize::MAX)
    }

    /// Returns the parts of the string between the matches. The equivalent in Node is `text.split(pattern)`.
    ///
    /// ```rhai
    /// let words = re(`\s+`).split("a  b c");    // ["a", "b", "c"]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn split(regex: &mut Pattern, text: &str) -> Result<Array, Box<EvalAltResult>> {
        let found = regex.for_text(text)?;
        texts(found.split(text))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub(crate) fn to_string(regex: &mut Pattern) -> ImmutableString {
        regex.0.clone()
    }
}
