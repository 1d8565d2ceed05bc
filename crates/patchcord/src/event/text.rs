//! Host events as human-readable text.
//!
//! In: an event. Out: its lines. Invariant: each line goes through [`visible`], which escapes what a client may have
//! chosen. Only a diagnostic goes through [`render`] instead, which escapes in the same way.

mod staging;
mod store;

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::Duration,
};

use super::{HostEvent, KeptReason, Reload, RollbackReason, UnchangedScript};
use crate::diagnostic::{Diagnostic, Style, render, visible, visible_lines};

/// Event as human-readable text: one or more lines, without a final line break. Text that a client or a script has
/// chosen cannot control a terminal, or be mistaken for a line of the host.
///
/// ```
/// use patchcord::{HostEvent, diagnostic::Style, testing::TestHost};
///
/// let mut host = TestHost::new("fn on_connection(socket) { }");
/// let _ada = host.connect("/")?;
/// host.edit("main.rhai", "fn on_connection(socket) { let n = 1; socket.on(\"n\", || n); }");
/// let event = host.events().pop().unwrap();
/// assert!(event.to_string().starts_with("main.rhai: version 2 of / on 1 connection, "));
/// let short = event.text().short_reloads(true).to_string();
/// assert_eq!(short.lines().count(), 1);
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EventText<'a> {
    event: &'a HostEvent,
    verbose: bool,
    short_reloads: bool,
    style: Style,
}

impl<'a> EventText<'a> {
    /// Also names the files and the hash of each version. Off by default.
    #[must_use]
    pub const fn verbose(mut self, on: bool) -> Self {
        self.verbose = on;
        self
    }

    /// Shortens the report of a reload to its first line. Off by default.
    #[must_use]
    pub const fn short_reloads(mut self, on: bool) -> Self {
        self.short_reloads = on;
        self
    }

    /// Renders diagnostics in this style. [`Style::Plain`] by default.
    #[must_use]
    pub const fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

impl HostEvent {
    /// Returns the event as human-readable text whose form can be configured. `to_string()` uses the default form.
    pub const fn text(&self) -> EventText<'_> {
        EventText {
            event: self,
            verbose: false,
            short_reloads: false,
            style: Style::Plain,
        }
    }
}

impl Display for HostEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl Display for EventText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Lines {
            lines: Vec::new(),
            show: *self,
        };
        lines.event(self.event);
        f.write_str(&lines.lines.join("\n"))
    }
}

/// Lines of one event.
struct Lines<'a> {
    lines: Vec<String>,
    show: EventText<'a>,
}

impl Lines<'_> {
    /// Adds exactly one line, whatever the text contains.
    fn line(&mut self, text: &str) {
        self.lines.push(visible(text).into_owned());
    }

    /// Adds one line, and an indented one for each line break in `text`.
    fn with_breaks(&mut self, head: &str, text: &str) {
        self.lines
            .push(format!("{} {}", visible(head), visible_lines(text)));
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        self.lines.push(render(diagnostic, self.show.style));
    }

    /// Adds the lines of an event.
    fn event(&mut self, event: &HostEvent) {
        match event {
            HostEvent::Loaded { .. }
            | HostEvent::Replaced { .. }
            | HostEvent::RolledBack { .. }
            | HostEvent::KeptByRollback { .. }
            | HostEvent::Rejected { .. }
            | HostEvent::Unchanged { .. }
            | HostEvent::Paused { .. }
            | HostEvent::Resumed
            | HostEvent::HistoryFailed { .. }
            | HostEvent::Warnings { .. }
            | HostEvent::Removed { .. }
            | HostEvent::ScriptsUnreadable { .. } => scripts(self, event),
            HostEvent::Staged { .. }
            | HostEvent::Promoted { .. }
            | HostEvent::Abandoned { .. }
            | HostEvent::WaitsForStage { .. } => staging::lines(self, event),
            HostEvent::Missing { .. }
            | HostEvent::Returned { .. }
            | HostEvent::Moved { .. }
            | HostEvent::Ignored { .. } => files(self, event),
            HostEvent::Unheard {
                script,
                namespace,
                event,
                since,
                similar,
                clients,
            } => {
                let clients = many(*clients);
                self.line(&match since {
                    Some(version) => format!(
                        "{script}: \"{event}\": sent by {clients} since version {version}, which does not listen"
                    ),
                    None => format!("{script}: nobody listens to \"{event}\" in {namespace}, which a client sent"),
                });
                if let Some(similar) = similar {
                    self.line(&format!("  hint: there is \"{similar}\""));
                }
            }
            HostEvent::Unanswered { script, event, .. } => {
                self.line(&format!(
                    "warning: {script}: the ack of \"{event}\" was neither called nor kept, and its client waits for ever"
                ));
                self.line("hint: call it on every way through the listener, or return a value and declare no ack");
            }
            HostEvent::ServiceFailed {
                namespace,
                service,
                target,
                error,
                ..
            } => self.line(&format!(
                "warning: {namespace}: `{service}` of `{target}` failed: {error}"
            )),
            HostEvent::StoreFailed { .. } | HostEvent::StoreRecovered { .. } => {
                store::lines(self, event);
            }
            HostEvent::HandlerFailed { diagnostic } => self.diagnostic(diagnostic),
            HostEvent::HandlerFailuresSuppressed {
                diagnostic,
                count: times,
            } => {
                self.line(&format!("{times} times more in 10 s:"));
                self.diagnostic(diagnostic);
            }
            HostEvent::Log {
                text,
                namespace,
                socket,
                script,
                line: at,
                ..
            } => {
                let script = script.as_deref().unwrap_or("-");
                let at = at.map_or_else(String::new, |at| format!(":{at}"));
                let socket = socket.as_deref().unwrap_or("-");
                self.with_breaks(&format!("{namespace} {socket} {script}{at}"), text);
            }
            HostEvent::EventDropped { .. }
            | HostEvent::SlowConsumer { .. }
            | HostEvent::ClientDisconnected { .. }
            | HostEvent::RequestRejected { .. }
            | HostEvent::ConnectRefused { .. }
            | HostEvent::HeadersLeftOut { .. }
            | HostEvent::ResponseUnread { .. }
            | HostEvent::BundleMissing { .. }
            | HostEvent::UntrustedProxy { .. }
            | HostEvent::AcceptFailed { .. }
            | HostEvent::AttachWarning { .. }
            | HostEvent::HostRefused { .. }
            | HostEvent::OriginRefused { .. } => clients(self, event),
            HostEvent::Suppressed {
                event,
                count: times,
            } => {
                self.line(&format!("{times} times more in 10 s, such as:"));
                self.event(event);
            }
        }
    }
}

/// Adds the lines of an event about the scripts.
fn scripts(lines: &mut Lines<'_>, event: &HostEvent) {
    let verbose = lines.show.verbose;
    match event {
        HostEvent::Loaded {
            namespace,
            script,
            version,
            hash,
            files,
            ..
        } => {
            let source = source(hash, files, verbose);
            lines.line(&format!(
                "{script}: version {version} serves {namespace}{source}"
            ));
        }
        HostEvent::Replaced {
            namespace,
            script,
            version,
            hash,
            files,
            reload,
            ..
        } => {
            let source = source(hash, files, verbose);
            let head = format!("version {version}");
            reloaded(lines, &head, (namespace, script), reload, &source);
        }
        HostEvent::RolledBack {
            namespace,
            script,
            from,
            version,
            hash,
            files,
            reason,
            reload,
            ..
        } => {
            if let RollbackReason::Errors { connections } = reason {
                lines.line(&format!(
                    "{script}: version {from} fails on {connections} connections where version {version} did not"
                ));
            }
            let source = source(hash, files, verbose);
            let head = format!("rolled back to version {version}");
            reloaded(lines, &head, (namespace, script), reload, &source);
        }
        HostEvent::KeptByRollback {
            namespace,
            script,
            version,
            reason,
        } => {
            let why = match reason {
                KeptReason::SavedSince => "which was saved later",
                KeptReason::First => "because none served before",
                KeptReason::BeforeRestart => "because the version in the files was rolled back",
            };
            lines.line(&format!(
                "{script}: version {version} keeps serving {namespace}, {why}"
            ));
        }
        HostEvent::Rejected {
            scripts,
            diagnostics,
        } => rejected(lines, scripts, diagnostics),
        HostEvent::Unchanged {
            script, version, ..
        } => lines.line(&format!("{script}: as version {version}, which serves")),
        HostEvent::Paused { files } => lines.line(&match files.as_slice() {
            [] => "paused: saves wait for `resume`".to_owned(),
            files => format!("paused: {} saved, waits for `resume`", files.join(", ")),
        }),
        HostEvent::Resumed => lines.line("resumed: saves take effect again"),
        HostEvent::HistoryFailed { error: problem } => {
            lines.line(&format!("warning: history: {problem}"));
        }
        HostEvent::Warnings { diagnostics } => {
            diagnostics
                .iter()
                .for_each(|diagnostic| lines.diagnostic(diagnostic));
        }
        HostEvent::Removed { namespace, script } => {
            lines.line(&format!(
                "{script}: the file is gone, {namespace} is no longer served"
            ));
        }
        HostEvent::ScriptsUnreadable { error: problem } => {
            lines.line(&format!("error: {problem}"));
            lines.line("what was loaded keeps serving");
        }
        _ => {}
    }
}

/// Adds the line of an event about the files of the scripts.
fn files(lines: &mut Lines<'_>, event: &HostEvent) {
    match event {
        HostEvent::Missing {
            namespace,
            script,
            clients,
            milliseconds,
            same_text,
        } => {
            let time = Duration::from_millis(*milliseconds);
            let effect = match clients {
                0 => format!("{namespace} will no longer be served"),
                clients => format!("{} of {namespace} will be disconnected", many(*clients)),
            };
            let renamed = same_text
                .as_ref()
                .map_or_else(String::new, |other| format!(" ({other} has the same text)"));
            lines.line(&format!(
                "{script}: the file is gone: {effect} in {}, unless it comes back{renamed}",
                format_args!("{time:?}")
            ));
        }
        HostEvent::Returned {
            namespace,
            script,
            version,
        } => lines.line(&format!(
            "{script}: the file is back, version {version} serves {namespace} as before"
        )),
        HostEvent::Moved {
            namespace,
            from,
            to,
            clients,
        } => lines.line(&format!(
            "{to} serves {namespace} in place of {from}: {} disconnected",
            many(*clients)
        )),
        HostEvent::Ignored { file, reason } => {
            lines.line(&format!("warning: {file} is not served: {reason}"));
        }
        _ => {}
    }
}

fn many(clients: usize) -> String {
    match clients {
        1 => "1 client".to_owned(),
        _ => format!("{clients} clients"),
    }
}

/// Adds the lines of an event about clients.
fn clients(lines: &mut Lines<'_>, event: &HostEvent) {
    match event {
        HostEvent::EventDropped {
            namespace,
            socket,
            event,
            reason,
            count: times,
        } => {
            let socket = socket.as_deref().unwrap_or("-");
            let what = match times {
                1 => format!("event `{event}`"),
                _ => format!("{times} more events, such as `{event}`,"),
            };
            lines.line(&format!(
                "warning: {what} dropped in {namespace}, socket {socket}: {reason}"
            ));
        }
        HostEvent::SlowConsumer {
            peer,
            socket,
            queued_packets: packets,
            queued_bytes: backlog,
        } => {
            let client = client(*peer, socket.as_deref());
            lines.line(&format!(
                "warning: slow client {client} disconnected: {packets} packets ({backlog} bytes) queued"
            ));
        }
        HostEvent::ClientDisconnected {
            peer,
            socket,
            reason,
        } => {
            let client = client(*peer, socket.as_deref());
            lines.line(&format!("warning: client {client} disconnected: {reason}"));
        }
        HostEvent::RequestRejected {
            peer,
            reason,
            count: times,
        } => {
            let (peer, more) = (or_dash(*peer), more(*times));
            lines.line(&format!("warning: rejected {peer}{more}: {reason}"));
        }
        HostEvent::HeadersLeftOut {
            peer,
            names,
            count: times,
        } => {
            let (peer, more, names) = (or_dash(*peer), more(*times), names.join("`, `"));
            lines.line(&format!(
                "warning: headers of {peer}{more} are too long for `socket.handshake.headers`, which keeps 8 KiB: `{names}`"
            ));
        }
        HostEvent::ResponseUnread { peer, count: times } => {
            let (peer, more) = (or_dash(*peer), more(*times));
            lines.line(&format!(
                "warning: connection of {peer}{more} closed: nothing of a response was read within `write-timeout`"
            ));
        }
        HostEvent::BundleMissing { path } => {
            lines.line(&format!(
                "warning: a page asks for `{path}`, the official client, which is not served"
            ));
        }
        HostEvent::UntrustedProxy { peer, header } => {
            lines.line(&format!(
                "warning: `{header}` comes from {peer}, a proxy that is not trusted: its clients count as one address, \
                 and limits per address do not hold for them"
            ));
        }
        HostEvent::ConnectRefused { .. } => connect_refused(lines, event),
        HostEvent::AcceptFailed { error: problem } => {
            lines.line(&format!(
                "error: cannot accept connections: {problem}; retrying"
            ));
        }
        HostEvent::AttachWarning { error: problem } => lines.line(&format!("warning: {problem}")),
        HostEvent::OriginRefused { origin } => {
            lines.line(&format!("warning: a page of `{origin}` was refused"));
        }
        HostEvent::HostRefused { host } => {
            lines.line(&format!(
                "warning: a request for the host `{host}` was refused"
            ));
        }
        _ => {}
    }
}

/// Adds the line of a rejected CONNECT.
fn connect_refused(lines: &mut Lines<'_>, event: &HostEvent) {
    if let HostEvent::ConnectRefused {
        namespace,
        address,
        socket,
        kind,
        reason,
    } = event
    {
        let client = client(*address, socket.as_deref());
        let why = match kind.reason() {
            kind if kind == reason => String::new(),
            kind => format!("{kind}: "),
        };
        lines.line(&format!(
            "warning: client {client} not let into {namespace}: {why}{reason}"
        ));
    }
}

fn client(address: Option<impl Display>, socket: Option<&str>) -> String {
    format!("{} ({})", socket.unwrap_or("-"), or_dash(address))
}

/// Returns the number of events that an announcement stands for, as text; empty for one event.
fn more(times: usize) -> String {
    match times {
        1 => String::new(),
        _ => format!(" and {times} more in 10 s"),
    }
}

fn or_dash(address: Option<impl Display>) -> String {
    address.map_or_else(|| "-".to_owned(), |address| address.to_string())
}

/// Returns the hash of a version and the files from which it was read; empty unless `verbose`.
fn source(hash: &str, files: &[Arc<str>], verbose: bool) -> String {
    match verbose {
        true => format!("; {hash} of {}", files.join(", ")),
        false => String::new(),
    }
}

/// Adds the lines of a reload: the first one, and the changes with their effects.
fn reloaded(
    lines: &mut Lines<'_>,
    head: &str,
    (namespace, script): (&str, &str),
    reload: &Reload,
    source: &str,
) {
    let Reload {
        rebound,
        milliseconds,
        ..
    } = reload;
    let connections = match rebound {
        1 => "1 connection".to_owned(),
        _ => format!("{rebound} connections"),
    };
    let changed = match &*reload.changed {
        [only] if **only == *script => String::new(),
        changed => format!("; changed: {}", changed.join(", ")),
    };
    let effect = match (reload.changes_nothing(), rebound) {
        (false, _) => format!("{head} of {namespace} on {connections}"),
        (true, 0) => format!("{head}, nothing changed"),
        (true, _) => format!("{head}, nothing changed for its {connections}"),
    };
    lines.line(&format!(
        "{script}: {effect}, {milliseconds} ms{changed}{source}"
    ));
    if !lines.show.short_reloads && !reload.changes_nothing() {
        for detail in reload.details(script) {
            lines.line(&format!("  {detail}"));
        }
    }
}

fn rejected(lines: &mut Lines<'_>, scripts: &[UnchangedScript], diagnostics: &[Diagnostic]) {
    diagnostics
        .iter()
        .for_each(|diagnostic| lines.diagnostic(diagnostic));
    for UnchangedScript {
        script, version, ..
    } in scripts
    {
        lines.line(&match version {
            Some(version) => {
                format!("{script}: version {version} keeps serving, nothing has changed")
            }
            None => {
                format!("{script}: not loaded; its namespace rejects clients until it is fixed")
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::{hostile::TEXT, is_hidden},
        event::samples::every,
    };

    #[test]
    fn no_event_shows_what_a_client_chose_as_it_is_or_at_the_begin_of_a_line() {
        for event in every(TEXT) {
            for verbose in [false, true] {
                let shown = event.text().verbose(verbose).to_string();
                let has_text = format!("{event:?}").contains("FORGED");
                assert_eq!(
                    shown.contains("FORGED"),
                    has_text,
                    "a text that is not shown: {event:?}"
                );
                assert!(!shown.contains(|c| c != '\n' && is_hidden(c)), "{shown:?}");
                for line in shown.split('\n') {
                    assert!(!line.starts_with("FORGED"), "{shown}");
                }
            }
        }
    }

    #[test]
    fn colours_are_the_only_control_sequences() {
        for event in every(TEXT) {
            let shown = event.text().verbose(true).style(Style::Color).to_string();
            assert!(
                !shown.contains("\u{1b}[2J") && !shown.contains("\u{1b}]"),
                "{shown:?}"
            );
            assert!(
                !shown.contains(|c| !matches!(c, '\n' | '\u{1b}') && is_hidden(c)),
                "{shown:?}"
            );
        }
    }
}
