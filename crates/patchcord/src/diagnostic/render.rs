//! Rendering of diagnostics as text for people. Diagnostics are rendered only here.
//!
//! In: a [`Diagnostic`] and a [`Style`]. Out: text of several lines without a final line break. Invariant: the caret is
//! under the character that is meant, the location is written as `file:line:column`, and no text from a script or
//! client reaches the terminal as a control sequence.

use std::ops::Range;

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin as Location, Renderer, Snippet,
    renderer::{AnsiColor, Style as Paint},
};

use super::{
    Diagnostic, Frame, Place, Severity,
    visible::{is_hidden, visible},
};

const HINT: Paint = AnsiColor::BrightCyan.on_default().bold();

/// Style of the text: with or without colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// No escape sequences, for files, pipes, pages and tests.
    #[default]
    Plain,
    /// Escape sequences for a terminal.
    Color,
}

/// Renders a diagnostic: message, location with its line of code, hints, the chain of calls (the innermost first), and
/// the call of the host.
///
/// ```
/// use patchcord::diagnostic::{Diagnostic, Style, render};
///
/// let problem = Diagnostic::warning("unused variable `n`");
/// assert_eq!(render(&problem, Style::Plain), problem.to_string());
/// assert!(render(&problem, Style::Color).contains("\u{1b}["));
/// ```
#[must_use]
pub fn render(diagnostic: &Diagnostic, style: Style) -> String {
    let mut lines = vec![report(diagnostic, style)];
    for hint in &diagnostic.hints {
        lines.push(format!("{} {}", painted("hint:", style), visible(hint)));
    }
    for (frame, times) in calls(&diagnostic.trace) {
        let repeated = if times > 1 {
            format!(" ({times} times)")
        } else {
            String::new()
        };
        lines.push(visible(&format!("{frame}{repeated}")).into_owned());
    }
    if let Some(origin) = &diagnostic.origin {
        lines.push(visible(&format!("called from {origin}")).into_owned());
    }
    lines.join("\n")
}

fn report(diagnostic: &Diagnostic, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = Group::with_title(level.primary_title(visible(&diagnostic.message)));
    let group = match &diagnostic.place {
        None => title,
        Some(place) => match excerpt(place) {
            Some((text, marked)) => title.element(
                Snippet::source(text)
                    .path(visible(&place.file))
                    .line_start(place.line)
                    .annotation(AnnotationKind::Primary.span(marked)),
            ),
            None => title.element(
                Location::path(visible(&place.file))
                    .line(place.line)
                    .char_column(place.column),
            ),
        },
    };
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Color => Renderer::styled(),
    };
    renderer.render(&[group])
}

/// Returns the line of code at a location, and the range of its bytes to mark. Only this line is passed on, because the
/// text may be long.
fn excerpt(place: &Place) -> Option<(String, Range<usize>)> {
    let source = place.source.as_deref()?;
    let line = source.split('\n').nth(place.line.checked_sub(1)?)?;
    let line: String = line
        .trim_end_matches('\r')
        .chars()
        .map(|c| {
            // The renderer shows the other control characters as symbols.
            if is_hidden(c) && !c.is_ascii() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    let length = line.chars().count();
    let start = place
        .column
        .checked_sub(1)
        .filter(|start| *start <= length)?;
    let end = start.saturating_add(place.length).min(length);
    let byte = |column: usize| {
        line.char_indices()
            .nth(column)
            .map_or(line.len(), |(i, _)| i)
    };
    let marked = byte(start)..byte(end);
    Some((line, marked))
}

/// Returns the chain of calls, the innermost first. A function that called itself is one step.
fn calls(trace: &[Frame]) -> Vec<(&Frame, usize)> {
    let mut calls: Vec<(&Frame, usize)> = Vec::new();
    for frame in trace.iter().rev() {
        match calls.last_mut() {
            Some((last, times)) if *last == frame => *times += 1,
            _ => calls.push((frame, 1)),
        }
    }
    calls
}

fn painted(head: &str, style: Style) -> String {
    match style {
        Style::Plain => head.to_owned(),
        Style::Color => format!("{HINT}{head}{HINT:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Diagnostic, Place};
    use rhai::Engine;

    fn marked(source: &str, line: usize, column: usize, length: usize) -> String {
        let place = Place::new("a.rhai", line, column)
            .length(length)
            .source(source.into());
        render(&Diagnostic::error("x").at(place), Style::Plain)
    }

    /// Returns the line of code and the marks under it, both without the bar and everything before it.
    fn excerpt(text: &str) -> (String, String) {
        let mut rows = text
            .lines()
            .skip(3)
            .map(|row| row.split_once('|').unwrap().1.to_owned());
        (rows.next().unwrap(), rows.next().unwrap())
    }

    #[test]
    fn the_caret_stands_under_tabs_wide_characters_and_line_ends() {
        let cases = [
            ("\tlet b = ];", 10, 1, "             ^"),
            ("let a = \"日本\"; x", 15, 1, "                 ^"),
            ("let a = \"🎉\"; x", 14, 1, "               ^"),
            ("let a = x\r\nlet b", 9, 1, "         ^"),
            ("f(x", 4, 1, "    ^"),
            ("f(x", 3, 90, "   ^"),
        ];
        for (source, column, length, marks) in cases {
            let text = marked(source, 1, column, length);
            assert!(text.contains(&format!("--> a.rhai:1:{column}\n")), "{text}");
            assert_eq!(excerpt(&text).1.trim_end(), marks, "{text}");
        }
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let source = format!(
            "let a = [{}wrong, {}];",
            "1234, ".repeat(3000),
            "5678, ".repeat(3000)
        );
        let text = marked(&source, 1, 18_010, 5);
        let (code, marks) = excerpt(&text);
        let start = marks.find('^').unwrap();
        let before: String = code.chars().skip(start).take(5).collect();
        assert_eq!(
            (before.as_str(), marks.trim()),
            ("wrong", "^^^^^"),
            "{text}"
        );
        assert!(code.chars().count() < 200, "{text}");
        assert!(text.contains("a.rhai:1:18010"));
    }

    #[test]
    fn a_place_outside_the_text_is_still_named() {
        for (line, column) in [(7, 3), (1, 9), (usize::MAX, usize::MAX)] {
            let text = marked("let a", line, column, 1);
            assert!(
                text.ends_with(&format!("--> a.rhai:{line}:{column}")),
                "{text}"
            );
        }
        let unread = Diagnostic::error("x").at(Place::new("lib/a.rhai", 2, 5));
        assert!(unread.to_string().ends_with("--> lib/a.rhai:2:5"));
    }

    #[test]
    fn a_file_whose_text_is_gone_still_has_its_place() {
        let engine = Engine::new();
        let mut ast = engine.compile("fn f() { 1 / 0 }\nf()").unwrap();
        ast.set_source("gone.rhai");
        let error = engine.eval_ast::<()>(&ast).unwrap_err();
        let diagnostic = Diagnostic::from_eval(&error, "gone.rhai", &|_| None);
        assert_eq!(diagnostic.place, Some(Place::new("gone.rhai", 1, 12)));
        assert_eq!(diagnostic.trace.len(), 1);
        assert_eq!(
            diagnostic.trace[0].to_string(),
            "in function `f` called at gone.rhai:2:1"
        );
    }
}
