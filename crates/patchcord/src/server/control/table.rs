//! Tables, and other human-readable texts, that several commands need.

use std::time::SystemTime;

use crate::diagnostic::{Diagnostic, Style, render};

/// Formats rows as a table. Columns whose headings begin with a space are right-aligned.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize, head: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.fold(head.trim().len(), usize::max)
    };
    let widths: Vec<_> = heads
        .iter()
        .enumerate()
        .map(|(n, head)| width(n, head))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(heads).zip(&widths);
        let cells: Vec<_> = cells
            .map(|((cell, head), width)| match head.starts_with(' ') {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heads.iter().map(|head| head.trim()))];
    lines.extend(
        rows.iter()
            .map(|row| line(&mut row.iter().map(String::as_str))),
    );
    lines.join("\n")
}

/// Returns the time since `time`, as a text such as `5 min`.
pub(super) fn age(time: SystemTime) -> String {
    let seconds = time.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns a count with its unit.
pub(super) fn many(count: usize, unit: &str) -> String {
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

/// Renders diagnostics, each once.
pub(super) fn problems(diagnostics: &[Diagnostic]) -> String {
    let drawn: Vec<_> = diagnostics
        .iter()
        .map(|one| render(one, Style::Plain))
        .collect();
    drawn.join("\n")
}
