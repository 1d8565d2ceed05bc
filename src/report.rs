//! Output of the program for the person at the terminal: host events, one line each, and diagnostics in full.
//!
//! Invariant: no text of a client or a script reaches the terminal as a control sequence, or begins a line that could
//! be mistaken for one of patchcord's. Only [`output`] writes text verbatim.

mod clock;
#[cfg(test)]
mod hint_tests;
mod hints;
mod json;

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::Path,
    time::SystemTime,
};

use serde::Serialize;

use super::values::LogFormat;
use patchcord::{
    diagnostic::{Diagnostic, Style, render, visible, visible_lines},
    event::{EventText, HostEvent, Level},
};

/// Writes to the terminal. A terminal that is closed is no reason to stop serving.
fn write(lines: &str) {
    let _ = writeln!(io::stderr().lock(), "{lines}");
}

pub(super) fn error(error: &anyhow::Error) {
    write(&visible_lines(&format!("error: {error:#}")));
}

/// Writes the result of a command to the standard output. The text is patchcord's own.
pub(super) fn output(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Writes several lines to the standard output, with the control characters of each line made visible.
pub(super) fn lines(text: &str) {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    output(&lines.join("\n"));
}

/// Writes a hint to the terminal.
pub(super) fn hint(text: &str) {
    write(&format!("hint: {}", visible(text)));
}

/// Writes to the standard output a text that a client or a script may have chosen.
pub(super) fn line(text: &str) {
    output(&visible_lines(text));
}

/// Writes one diagnostic and an empty line to the standard output.
pub(super) fn finding(diagnostic: &Diagnostic) {
    let style = match io::stdout().is_terminal() {
        true => Style::Color,
        false => Style::Plain,
    };
    output(&format!("{}\n", render(diagnostic, style)));
}

/// Writes the diagnostic of a line of the REPL that failed.
pub(super) fn problem(diagnostic: &Diagnostic) {
    write(&render(diagnostic, style()));
}

/// Writes one JSON document to the standard output.
pub(super) fn document(value: &impl Serialize) -> anyhow::Result<()> {
    output(&json::visible(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Writes the addresses of the server to the standard output; that of the second listener with `true` if it serves the
/// HTTP API. Other programs wait for the first line.
pub(super) fn listening(
    address: SocketAddr,
    admin: Option<(SocketAddr, bool)>,
    control: Option<(SocketAddr, &Path)>,
) {
    let mut text = format!("listening on http://{address}\n");
    if let Some((admin, has_api)) = admin {
        let api = if has_api {
            ", and for backends: /api"
        } else {
            ""
        };
        text += &format!(
            "listening on http://{admin} for the operator: /metrics /healthz /readyz{api}\n"
        );
    }
    if let Some((control, token)) = control {
        let token = token.display().to_string();
        text += &format!("control at {control}, token in {}\n", visible(&token));
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Log of a running server, human-readable or machine-readable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    format: LogFormat,
    verbose: bool,
    /// `true` to report only the first line of a reload.
    quiet_reloads: bool,
}

impl Log {
    pub(super) const fn new(format: LogFormat, verbose: bool, quiet_reloads: bool) -> Self {
        Self {
            format,
            verbose,
            quiet_reloads,
        }
    }

    pub(super) fn event(self, happened: &HostEvent) {
        match self.format {
            _ if happened.level() == Level::Debug && !self.verbose => {}
            LogFormat::Text => {
                let text = happened.text().verbose(self.verbose).style(style());
                timed(&with_hint(happened, text.short_reloads(self.quiet_reloads)));
            }
            LogFormat::Json => entry(happened),
        }
    }

    /// Writes a line that appears only with `--verbose`.
    pub(super) fn detail(self, text: &str) {
        match self.format {
            _ if !self.verbose => {}
            LogFormat::Text => timed(&visible(text)),
            LogFormat::Json => entry(&Note {
                kind: "detail",
                text,
            }),
        }
    }

    /// Writes a line for the operator.
    pub(super) fn notice(self, text: &str) {
        match self.format {
            LogFormat::Text => timed(&visible(text)),
            LogFormat::Json => entry(&Note {
                kind: "notice",
                text,
            }),
        }
    }

    /// Writes a warning to the operator. Further lines of the text are indented.
    pub(super) fn warning(self, text: &str) {
        match self.format {
            LogFormat::Text => timed(&format!("warning: {}", visible_lines(text))),
            LogFormat::Json => entry(&Note {
                kind: "warning",
                text,
            }),
        }
    }
}

#[derive(Serialize)]
struct Note<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    text: &'a str,
}

/// Writes lines to the terminal, with the time of day before the first.
fn timed(lines: &str) {
    write(&format!(
        "{} {lines}",
        clock::time_of_day(SystemTime::now())
    ));
}

/// Writes one JSON object on one line, with the time.
fn entry(what: &impl Serialize) {
    #[derive(Serialize)]
    struct Entry<'a, T> {
        time: String,
        #[serde(flatten)]
        what: &'a T,
    }
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    if let Ok(text) = serde_json::to_string(&Entry { time, what }) {
        write(&json::visible(&text));
    }
}

/// Writes an event of the REPL, as one line or a diagnostic.
pub(super) fn event(event: &HostEvent) {
    write(&with_hint(event, event.text().style(style())));
}

/// Returns the lines of an event, and what the operator can do about it.
fn with_hint(event: &HostEvent, text: EventText<'_>) -> String {
    match hints::of(event) {
        Some(hint) => format!("{text}\nhint: {}", visible(&hint)),
        None => text.to_string(),
    }
}

fn style() -> Style {
    match io::stderr().is_terminal() {
        true => Style::Color,
        false => Style::Plain,
    }
}
