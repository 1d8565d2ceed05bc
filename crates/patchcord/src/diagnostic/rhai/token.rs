//! Token at a position of a source text.
//!
//! In: a text and one of Rhai's positions (line and column from 1, in characters, no length). Out: the token at this
//! position with the text around it. The token shows how much to underline, what was found, and on what a method was
//! called. A position that is not in the text has no token.

use std::sync::Arc;

use rhai::Position;

use crate::diagnostic::Place;

/// Operators and brackets of more than one character, longer ones first.
const SYMBOLS: [&str; 37] = [
    "...", "**=", "<<=", ">>=", "===", "!==", "..=", "::<", "&&=", "||=", "??=", "++", "--", "**",
    "<<", ">>", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "?[", "=>", "->", "<-", ":=", "::",
    "..", "+=", "-=", "*=", "/=", "%=", "#{",
];

/// Token and the text on both sides of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// Text of the token; empty at the end of the source.
    pub(super) text: &'a str,
    before: &'a str,
    after: &'a str,
}

impl<'a> Token<'a> {
    /// Returns the token that starts at `position`.
    pub(super) fn at(source: &'a str, position: Position) -> Option<Self> {
        let line = position.line()?;
        let column = position.position().unwrap_or(1);
        let start = offset(source, line, column)?;
        let (before, rest) = source.split_at_checked(start)?;
        if rest.trim().is_empty() {
            return Some(Self::end(source));
        }
        let (text, after) = rest.split_at_checked(length(rest))?;
        Some(Self {
            text,
            before,
            after,
        })
    }

    /// Returns the token `name`, if the text contains it exactly once.
    pub(super) fn only(source: &'a str, name: &str) -> Option<Self> {
        let mut found = source
            .match_indices(name)
            .map(|(start, _)| start)
            .filter(|&start| {
                let before = source.get(..start).unwrap_or_default();
                let after = source.get(start + name.len()..).unwrap_or_default();
                !before.ends_with(is_word_char) && !after.starts_with(is_word_char)
            });
        let start = found.next()?;
        if found.next().is_some() {
            return None;
        }
        let (before, rest) = source.split_at_checked(start)?;
        let (text, after) = rest.split_at_checked(name.len())?;
        Some(Self {
            text,
            before,
            after,
        })
    }

    /// Returns an empty token directly after the last text that is not whitespace, because Rhai's own position would be
    /// on an empty line.
    fn end(source: &'a str) -> Self {
        Self {
            text: "",
            before: source.trim_end(),
            after: "",
        }
    }

    /// Returns the description of the token for messages.
    pub(super) fn found(&self) -> String {
        match self.text {
            "" => "the end of the script".to_owned(),
            text if text.starts_with('"') => "a string".to_owned(),
            text if text.starts_with('`') => "a string".to_owned(),
            text => format!("`{text}`"),
        }
    }

    /// Returns `true` if the token is a name or a keyword.
    pub(super) fn is_word(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    }

    /// Returns `true` if the token follows the symbol or the whole word `text`, ignoring whitespace.
    pub(super) fn follows(&self, text: &str) -> bool {
        let before = self.before.trim_end().strip_suffix(text);
        before.is_some_and(|before| {
            !(text.starts_with(is_word_char) && before.ends_with(is_word_char))
        })
    }

    /// Returns `true` if `text` occurs before the token on its line.
    pub(super) fn before_on_its_line(&self, text: &str) -> bool {
        let line = self.before.rsplit('\n').next();
        line.is_some_and(|line| line.contains(text))
    }

    /// Returns `true` if `text` follows the token, ignoring whitespace.
    pub(super) fn precedes(&self, text: &str) -> bool {
        self.after.trim_start().starts_with(text)
    }

    /// Returns `true` if whitespace and a name follow the token.
    pub(super) fn precedes_a_name(&self) -> bool {
        let after = self.after.trim_start_matches(' ');
        after.len() < self.after.len() && after.starts_with(is_word_char)
    }

    /// Returns `true` if only whitespace precedes the token on its line, and there is text on the lines above.
    pub(super) fn begins_a_line(&self) -> bool {
        let blanks = self
            .before
            .get(self.before.trim_end().len()..)
            .unwrap_or_default();
        blanks.contains('\n') && !self.before.trim_end().is_empty()
    }

    /// Returns the text before the dot of a property or a method: a chain of names, or an empty text for anything else.
    /// Returns `None` if there is no dot.
    pub(super) fn receiver(&self) -> Option<&'a str> {
        let before = self.before.trim_end().strip_suffix('.')?;
        let before = before.strip_suffix('?').unwrap_or(before);
        let chain = before.trim_end_matches(|c: char| is_word_char(c) || c == '.');
        let receiver = before.get(chain.len()..).unwrap_or_default();
        let complete = receiver.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        Some(if complete { receiver } else { "" })
    }

    /// Returns the location of the token in `file`, whose text contains the token.
    pub(super) fn place(&self, file: &str, source: Arc<str>) -> Place {
        let line = self.before.matches('\n').count() + 1;
        let start = self.before.rfind('\n').map_or(0, |end| end + 1);
        let column = self.before.get(start..).unwrap_or_default().chars().count() + 1;
        Place::new(file, line, column)
            .length(self.text.chars().count())
            .source(source)
    }
}

pub(super) fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns the byte offset of a line and column. A column after the last character is the end of the line.
fn offset(source: &str, line: usize, column: usize) -> Option<usize> {
    let mut lines = source.split_inclusive('\n');
    let skipped: usize = lines
        .by_ref()
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let text = match lines.next() {
        Some(text) => text.trim_end_matches(['\r', '\n']),
        None if source.matches('\n').count() + 1 == line => "",
        None => return None,
    };
    let within = text
        .char_indices()
        .nth(column - 1)
        .map_or(text.len(), |(i, _)| i);
    Some(skipped + within)
}

/// Returns the length of the token at the start of `rest`, in bytes, never past the end of the line.
fn length(rest: &str) -> usize {
    let line = rest.split(['\r', '\n']).next().unwrap_or_default();
    let Some(first) = line.chars().next() else {
        return 0;
    };
    match first {
        '"' | '`' | '\'' => string_length(line, first),
        '0'..='9' => number_length(line),
        c if is_word_char(c) => line.find(|c| !is_word_char(c)).unwrap_or(line.len()),
        _ => SYMBOLS
            .iter()
            .find(|symbol| line.starts_with(**symbol))
            .map_or(first.len_utf8(), |symbol| symbol.len()),
    }
}

fn string_length(line: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in line.char_indices().skip(1) {
        if c == quote && !escaped {
            return i + c.len_utf8();
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    line.len()
}

fn number_length(line: &str) -> usize {
    let digits = |text: &str| text.find(|c| !is_word_char(c)).unwrap_or(text.len());
    let whole = digits(line);
    match line.get(whole..).and_then(|rest| rest.strip_prefix('.')) {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            whole + 1 + digits(fraction)
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use rhai::Position;

    use super::Token;

    fn token(source: &str, line: u16, column: u16) -> &str {
        Token::at(source, Position::new(line, column)).unwrap().text
    }

    #[test]
    fn a_token_is_as_long_as_it_is_written() {
        let source = "let a_1 = 3.14; x.foo(\"a\\\"b\", `t`) ??= 1..2;\n  'c' #{ 日本";
        assert_eq!(token(source, 1, 1), "let");
        assert_eq!(token(source, 1, 5), "a_1");
        assert_eq!(token(source, 1, 11), "3.14");
        assert_eq!(token(source, 1, 17), "x");
        assert_eq!(token(source, 1, 23), "\"a\\\"b\"");
        assert_eq!(token(source, 1, 31), "`t`");
        assert_eq!(token(source, 1, 36), "??=");
        assert_eq!(token(source, 1, 40), "1");
        assert_eq!(token(source, 2, 3), "'c'");
        assert_eq!(token(source, 2, 7), "#{");
        assert_eq!(token(source, 2, 10), "日");
    }

    #[test]
    fn the_end_of_the_text_is_behind_the_last_thing_written() {
        for source in ["a(\n  1", "a(\n  1\n", "a(\r\n  1\r\n\r\n"] {
            let lines = u16::try_from(source.matches('\n').count() + 1).unwrap();
            let token = Token::at(source, Position::new(lines, 60)).unwrap();
            assert_eq!(token.found(), "the end of the script");
            let place = token.place("a.rhai", source.into());
            assert_eq!(
                (place.line, place.column, place.length),
                (2, 4, 1),
                "{source:?}"
            );
        }
    }

    #[test]
    fn positions_outside_the_text_have_no_token() {
        assert!(Token::at("a", Position::NONE).is_none());
        assert!(Token::at("a", Position::new(3, 1)).is_none());
        assert!(Token::at("", Position::new(1, 1)).is_some());
    }

    #[test]
    fn a_method_knows_what_it_was_called_on() {
        let receiver = |source: &'static str, column| {
            Token::at(source, Position::new(1, column))
                .unwrap()
                .receiver()
        };
        assert_eq!(receiver("socket.emit(1)", 8), Some("socket"));
        assert_eq!(
            receiver("socket.broadcast.emit(1)", 18),
            Some("socket.broadcast")
        );
        assert_eq!(receiver("io.of(1).emit(1)", 10), Some(""));
        assert_eq!(receiver("emit(1)", 1), None);
    }

    #[test]
    fn a_token_follows_whole_words() {
        let follows = |source, column| {
            Token::at(source, Position::new(1, column))
                .unwrap()
                .follows("function")
        };
        assert!(follows("function f", 10));
        assert!(!follows("my_function f", 13));
    }

    #[test]
    fn a_name_is_found_only_when_it_stands_there_once() {
        assert_eq!(
            Token::only("a.push(1); pushed", "push").unwrap().receiver(),
            Some("a")
        );
        assert!(Token::only("a.push(1); b.push(2)", "push").is_none());
    }
}
