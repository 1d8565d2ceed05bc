//! Host events as text for people.
//!
//! In: an event. Out: its lines. Invariant: each line goes through [`visible`], which escapes what a client may have
//! chosen; only a diagnostic is drawn, by [`render`], which does the same.

mod staging;

use std::{fmt::Display, sync::Arc, time::Duration};

use crate::{
    diagnostic::{Diagnostic, Style, render, visible, visible_lines},
    event::{HostEvent, Kept, KeptReason, Reload, RollBackReason},
    host::{AllowedHost, Origin},
};

/// Form and length of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    /// With the files of versions.
    pub(super) verbose: bool,
    /// Only the first line of a reload.
    pub(super) quiet_reloads: bool,
    pub(super) style: Style,
}

/// Lines of one event.
struct Lines {
    lines: Vec<String>,
    show: Show,
}

impl Lines {
    /// Adds one line, whatever is in the text.
    fn line(&mut self, text: &str) {
        self.lines.push(visible(text).into_owned());
    }

    /// Adds the line of a hint, if there is one.
    fn hint(&mut self, hint: Option<String>) {
        if let Some(hint) = hint {
            self.line(&format!("hint: {hint}"));
        }
    }

    /// Adds one line, and further ones for the line breaks of `text`, which are indented.
    fn said(&mut self, head: &str, text: &str) {
        self.lines
            .push(format!("{} {}", visible(head), visible_lines(text)));
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        self.lines.push(render(diagnostic, self.show.style));
    }
}

/// Returns the lines of an event, without a final line break.
pub(super) fn of(event: &HostEvent, show: Show) -> String {
    let mut lines = Lines {
        lines: Vec::new(),
        show,
    };
    match event {
        HostEvent::Loaded { .. }
        | HostEvent::Replaced { .. }
        | HostEvent::RolledBack { .. }
        | HostEvent::KeptByRollBack { .. }
        | HostEvent::Rejected { .. }
        | HostEvent::Unchanged { .. }
        | HostEvent::Paused { .. }
        | HostEvent::Resumed
        | HostEvent::HistoryFailed { .. }
        | HostEvent::Warned { .. }
        | HostEvent::Removed { .. }
        | HostEvent::Unreadable { .. } => scripts(&mut lines, event),
        HostEvent::Staged { .. }
        | HostEvent::Promoted { .. }
        | HostEvent::Abandoned { .. }
        | HostEvent::WaitsForStage { .. } => staging::lines(&mut lines, event),
        HostEvent::Missing { .. }
        | HostEvent::Returned { .. }
        | HostEvent::Moved { .. }
        | HostEvent::Ignored { .. } => files(&mut lines, event),
        HostEvent::Unheard {
            script,
            namespace,
            event,
            since,
            similar,
            clients,
        } => {
            let clients = many(*clients);
            lines.line(&match since {
                Some(version) => format!(
                    "{script}: \"{event}\": sent by {clients} since version {version}, which does not listen"
                ),
                None => format!("{script}: nobody listens to \"{event}\" in {namespace}, which a client sent"),
            });
            if let Some(similar) = similar {
                lines.line(&format!("  hint: there is \"{similar}\""));
            }
        }
        HostEvent::Unanswered { script, event, .. } => {
            lines.line(&format!(
                "warning: {script}: the ack of \"{event}\" was neither called nor kept, and its client waits for ever"
            ));
            lines.line("hint: call it on every way through the listener, or return a value and declare no ack");
        }
        HostEvent::HandlerFailed { diagnostic } => lines.diagnostic(diagnostic),
        HostEvent::Repeated { diagnostic, times } => {
            lines.line(&format!("{times} times more in 10 s:"));
            lines.diagnostic(diagnostic);
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
            lines.said(&format!("{namespace} {socket} {script}{at}"), text);
        }
        HostEvent::Lost { .. }
        | HostEvent::SlowConsumer { .. }
        | HostEvent::CutOff { .. }
        | HostEvent::Refused { .. }
        | HostEvent::ConnectRefused { .. }
        | HostEvent::HeadersLeftOut { .. }
        | HostEvent::ResponseUnread { .. }
        | HostEvent::BundleMissing { .. }
        | HostEvent::UntrustedProxy { .. }
        | HostEvent::NoConnection { .. }
        | HostEvent::AttachWarning { .. }
        | HostEvent::HostRefused { .. }
        | HostEvent::OriginRefused { .. } => clients(&mut lines, event),
        HostEvent::Suppressed { event, times } => {
            lines.line(&format!("{times} times more in 10 s, such as:"));
            lines.lines.push(of(event, show));
        }
    }
    lines.lines.join("\n")
}

/// Adds the lines of an event about the scripts.
fn scripts(lines: &mut Lines, event: &HostEvent) {
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
            if let RollBackReason::Errors { connections } = reason {
                lines.line(&format!(
                    "{script}: version {from} fails on {connections} connections where version {version} did not"
                ));
            }
            let source = source(hash, files, verbose);
            let head = format!("rolled back to version {version}");
            reloaded(lines, &head, (namespace, script), reload, &source);
        }
        HostEvent::KeptByRollBack {
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
            [] => "paused: saves wait for `patchcord ctl resume`".to_owned(),
            files => format!("paused: {} saved, waits for `resume`", files.join(", ")),
        }),
        HostEvent::Resumed => lines.line("resumed: saves take effect again"),
        HostEvent::HistoryFailed { problem } => {
            lines.line(&format!("warning: history: {problem}"));
        }
        HostEvent::Warned { diagnostics } => {
            diagnostics
                .iter()
                .for_each(|diagnostic| lines.diagnostic(diagnostic));
        }
        HostEvent::Removed { namespace, script } => {
            lines.line(&format!(
                "{script}: the file is gone, {namespace} is no longer served"
            ));
        }
        HostEvent::Unreadable { problem } => {
            lines.line(&format!("error: {problem}"));
            lines.line("what was loaded keeps serving");
        }
        _ => {}
    }
}

/// Adds the line of an event about the files of the scripts.
fn files(lines: &mut Lines, event: &HostEvent) {
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
                humantime::format_duration(time)
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
fn clients(lines: &mut Lines, event: &HostEvent) {
    match event {
        HostEvent::Lost {
            namespace,
            socket,
            event,
            reason,
            times,
        } => {
            let socket = socket.as_deref().unwrap_or("-");
            let what = match times {
                1 => format!("event `{event}`"),
                _ => format!("{times} more events, such as `{event}`,"),
            };
            lines.line(&format!(
                "warning: {what} lost in {namespace}, socket {socket}: {reason}"
            ));
        }
        HostEvent::SlowConsumer {
            peer,
            socket,
            packets,
            backlog,
        } => {
            let client = client(*peer, socket.as_deref());
            lines.line(&format!(
                "warning: slow consumer {client} disconnected, {packets} packets of {backlog} bytes waited for it"
            ));
        }
        HostEvent::CutOff {
            peer,
            socket,
            reason,
        } => {
            let client = client(*peer, socket.as_deref());
            lines.line(&format!("warning: client {client} disconnected: {reason}"));
        }
        HostEvent::Refused {
            peer,
            reason,
            times,
        } => {
            let (peer, more) = (or_dash(*peer), more(*times));
            lines.line(&format!("warning: refused {peer}{more}: {reason}"));
        }
        HostEvent::HeadersLeftOut { peer, names, times } => {
            let (peer, more, names) = (or_dash(*peer), more(*times), names.join("`, `"));
            lines.line(&format!(
                "warning: headers of {peer}{more} are too long for `socket.handshake.headers`, which keeps 8 KiB: `{names}`"
            ));
        }
        HostEvent::ResponseUnread { peer, times } => {
            let (peer, more) = (or_dash(*peer), more(*times));
            lines.line(&format!(
                "warning: connection of {peer}{more} closed: nothing of a response was read within `write-timeout`"
            ));
        }
        HostEvent::BundleMissing { path } => {
            lines.line(&format!(
                "warning: a page asks for `{path}`, the official client, which is not served"
            ));
            lines.line(
                "hint: `npm install socket.io-client`, and `--client-dist node_modules/socket.io-client/dist` serves it",
            );
        }
        HostEvent::UntrustedProxy { peer, header } => {
            lines.line(&format!(
                "warning: `{header}` comes from {peer}, a proxy that is not trusted: its clients count as one address, \
                 and limits per address do not hold for them"
            ));
            lines.line(
                "hint: `--trust-proxy=1` believes the address that one proxy in front of the server reports",
            );
        }
        HostEvent::ConnectRefused { .. } => connect_refused(lines, event),
        HostEvent::NoConnection { problem } => {
            lines.line(&format!("error: no connection is taken for now: {problem}"));
        }
        HostEvent::AttachWarning { problem } => lines.line(&format!("warning: {problem}")),
        HostEvent::OriginRefused { origin } => {
            lines.line(&format!("warning: a page of `{origin}` was refused"));
            lines.hint(Origin::hint(origin));
        }
        HostEvent::HostRefused { host } => {
            lines.line(&format!(
                "warning: a request for the host `{host}` was refused"
            ));
            lines.hint(AllowedHost::hint(host));
        }
        _ => {}
    }
}

/// Adds the line of a client that was not let into a namespace.
fn connect_refused(lines: &mut Lines, event: &HostEvent) {
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

/// Returns how many events an announcement stands for, if it stands for several.
fn more(times: usize) -> String {
    match times {
        1 => String::new(),
        _ => format!(" and {times} more in 10 s"),
    }
}

fn or_dash(address: Option<impl Display>) -> String {
    address.map_or_else(|| "-".to_owned(), |address| address.to_string())
}

/// Returns the files that a version was read from, with `--verbose`.
fn source(hash: &str, files: &[Arc<str>], verbose: bool) -> String {
    match verbose {
        true => format!("; {hash} of {}", files.join(", ")),
        false => String::new(),
    }
}

/// Adds the lines of a reload: the first one, and what changed for whom.
fn reloaded(
    lines: &mut Lines,
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
    if !lines.show.quiet_reloads && !reload.changes_nothing() {
        for detail in reload.details(script) {
            lines.line(&format!("  {detail}"));
        }
    }
}

fn rejected(lines: &mut Lines, scripts: &[Kept], diagnostics: &[Diagnostic]) {
    diagnostics
        .iter()
        .for_each(|diagnostic| lines.diagnostic(diagnostic));
    for Kept {
        script, version, ..
    } in scripts
    {
        lines.line(&match version {
            Some(version) => {
                format!("{script}: version {version} keeps serving, nothing has changed")
            }
            None => format!(
                "{script}: not loaded, its namespace refuses clients until a save repairs it"
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::report::json,
        diagnostic::{hostile::TEXT, is_hidden},
        event::tests::every,
    };

    fn show(verbose: bool, style: Style) -> Show {
        Show {
            verbose,
            quiet_reloads: false,
            style,
        }
    }

    #[test]
    fn no_event_shows_what_a_client_chose_as_it_is_or_at_the_begin_of_a_line() {
        for event in every(TEXT) {
            for verbose in [false, true] {
                let shown = of(&event, show(verbose, Style::Plain));
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
            let shown = of(&event, show(true, Style::Color));
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

    #[test]
    fn an_event_is_one_object_of_json_in_one_line_and_keeps_its_texts() {
        for event in every(TEXT) {
            let written = serde_json::to_string(&event).unwrap();
            let shown = json::visible(&written);
            assert!(!shown.contains(is_hidden), "{shown:?}");
            let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(value, serde_json::to_value(&event).unwrap());
        }
    }
}
