//! Escapes text that a client or a script may have chosen, so that it is harmless. Such text is escaped only here.
//!
//! In: any text. Out: the same text, in which escapes replace the characters that a terminal interprets, that end a
//! line, or that change the direction of writing. Every line of a log and every label of a metric goes through here.

use std::borrow::Cow;

/// Indentation of all lines of a text after the first.
const CONTINUATION: &str = "    ";

/// Returns the text with escapes, such as `\u{1b}`, instead of control characters, line separators, and the marks that
/// change the direction of writing. The result is one line, and has no effect on a terminal other than being shown.
///
/// ```
/// use patchcord::diagnostic::visible;
///
/// assert_eq!(visible("Zoë \u{1b}[2J\nnew line"), "Zoë \\u{1b}[2J\\nnew line");
/// ```
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Escapes a text of several lines in the same way, but keeps its line breaks. All lines after the first are indented,
/// so that none of them can be mistaken for a line from another source.
///
/// ```
/// use patchcord::diagnostic::visible_lines;
///
/// assert_eq!(visible_lines("Ada\r\nmain.rhai: version 7 serves"), "Ada\n    main.rhai: version 7 serves");
/// ```
#[must_use]
pub fn visible_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(visible).collect();
    lines.join(&format!("\n{CONTINUATION}"))
}

/// Returns `true` if a character is a control character, ends a line, or changes the direction of writing.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_everything_else_stays() {
        for hidden in [
            '\0', '\u{7}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{61c}',
            '\u{200e}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{2069}',
        ] {
            let text = format!("a{hidden}b");
            let shown = visible(&text);
            assert!(!shown.chars().any(is_hidden), "{shown}");
            assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown}");
        }
        for text in [
            "",
            "plain",
            "日本語",
            "e\u{301}",
            "👩\u{200d}💻",
            "a\\nb",
            " \u{a0} ",
        ] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn a_line_of_a_text_cannot_be_taken_for_one_of_somebody_else() {
        for text in ["one\ntwo", "one\r\ntwo", "one\n\ntwo\n", "\ntwo"] {
            let shown = visible_lines(text);
            for line in shown.split('\n').skip(1) {
                assert!(line.starts_with(CONTINUATION), "{shown:?}");
            }
        }
        assert_eq!(
            visible_lines("one\rtwo\u{85}three\u{2028}four\n")
                .lines()
                .count(),
            1
        );
        assert_eq!(visible_lines(""), "");
    }
}
