//! What the person at the terminal reads: host events, one line each, and diagnostics in full.

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    sync::Arc,
    time::SystemTime,
};

use serde::Serialize;

use super::values::LogFormat;
use crate::{
    diagnostic::{Diagnostic, Style, render},
    event::{HostEvent, Kept, Level, Reload, RollBackReason},
    host::{AllowedHost, Origin},
};

/// Writes to the terminal. A terminal that is gone is no reason to stop serving.
fn line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

pub(super) fn error(error: &anyhow::Error) {
    line(&format!("error: {error:#}"));
}

/// What a command was asked for: it goes to the standard output.
pub(super) fn output(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// One finding of a command that looks for them, and an empty line.
pub(super) fn finding(diagnostic: &Diagnostic) {
    let style = match io::stdout().is_terminal() {
        true => Style::Color,
        false => Style::Plain,
    };
    output(&format!("{}\n", render(diagnostic, style)));
}

/// Why a line of a console has no value.
pub(super) fn problem(diagnostic: &Diagnostic) {
    line(&render(diagnostic, style()));
}

/// One JSON document.
pub(super) fn document(value: &impl Serialize) -> anyhow::Result<()> {
    output(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Writes where the server listens to the standard output. Others wait for the first line.
pub(super) fn listening(address: SocketAddr, admin: Option<SocketAddr>) {
    let mut text = format!("listening on http://{address}\n");
    if let Some(admin) = admin {
        text +=
            &format!("listening on http://{admin} for the operator: /metrics /healthz /readyz\n");
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Everything that happens while a server runs, for people or for programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    format: LogFormat,
    verbose: bool,
}

impl Log {
    pub(super) const fn new(format: LogFormat, verbose: bool) -> Self {
        Self { format, verbose }
    }

    pub(super) fn event(self, happened: &HostEvent) {
        let debug = matches!(
            happened,
            HostEvent::Log {
                level: Level::Debug,
                ..
            }
        );
        match self.format {
            _ if debug && !self.verbose => {}
            LogFormat::Text => event(happened, self.verbose),
            LogFormat::Json => json(happened),
        }
    }

    /// What is told with `--verbose`.
    pub(super) fn detail(self, text: &str) {
        match self.format {
            _ if !self.verbose => {}
            LogFormat::Text => line(text),
            LogFormat::Json => json(&Note {
                kind: "detail",
                text,
            }),
        }
    }

    /// Something the person who started the server should know.
    pub(super) fn warning(self, text: &str) {
        match self.format {
            LogFormat::Text => line(&format!("warning: {text}")),
            LogFormat::Json => json(&Note {
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

/// One object in one line, with the time.
fn json(what: &impl Serialize) {
    #[derive(Serialize)]
    struct Entry<'a, T> {
        time: String,
        #[serde(flatten)]
        what: &'a T,
    }
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    if let Ok(text) = serde_json::to_string(&Entry { time, what }) {
        line(&text);
    }
}

/// One line, or a diagnostic, for something that happened.
pub(super) fn event(event: &HostEvent, verbose: bool) {
    match event {
        HostEvent::Loaded {
            namespace,
            script,
            version,
            hash,
            files,
        } => {
            let source = source(hash, files, verbose);
            line(&format!(
                "{script}: version {version} serves {namespace}{source}"
            ));
        }
        HostEvent::Replaced {
            script,
            version,
            hash,
            files,
            reload,
            ..
        } => {
            let source = source(hash, files, verbose);
            let rebound = rebound(script, reload, verbose);
            line(&format!("{script}: version {version}, {rebound}{source}"));
        }
        HostEvent::RolledBack {
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
                line(&format!(
                    "{script}: version {from} fails on {connections} connections where version {version} did not"
                ));
            }
            let source = source(hash, files, verbose);
            let rebound = rebound(script, reload, verbose);
            line(&format!(
                "{script}: rolled back to version {version}, {rebound}{source}"
            ));
        }
        HostEvent::Rejected {
            scripts,
            diagnostics,
            ..
        } => rejected(scripts, diagnostics),
        HostEvent::Warned { diagnostics } => {
            diagnostics
                .iter()
                .for_each(|diagnostic| line(&render(diagnostic, style())));
        }
        HostEvent::Removed { namespace, script } => {
            line(&format!(
                "{script}: the file is gone, {namespace} is no longer served"
            ));
        }
        HostEvent::Unreadable { problem } => {
            line(&format!("error: {problem}\nwhat was loaded keeps serving"));
        }
        HostEvent::HandlerFailed { diagnostic } => line(&render(diagnostic, style())),
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
            line(&format!(
                "warning: {what} lost in {namespace}, socket {socket}: {reason}"
            ));
        }
        HostEvent::Repeated { diagnostic, times } => {
            line(&format!("{times} times more in 10 s: {diagnostic}"));
        }
        HostEvent::SlowConsumer {
            peer,
            socket,
            packets,
            backlog,
        } => {
            let client = client(*peer, socket.as_deref());
            line(&format!(
                "warning: slow consumer {client} disconnected, {packets} packets of {backlog} bytes waited for it"
            ));
        }
        HostEvent::CutOff {
            peer,
            socket,
            reason,
        } => {
            let client = client(*peer, socket.as_deref());
            line(&format!("warning: client {client} disconnected: {reason}"));
        }
        HostEvent::Refused {
            peer,
            reason,
            times,
        } => {
            let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
            let more = match times {
                1 => String::new(),
                _ => format!(" and {times} more in 10 s"),
            };
            line(&format!("warning: refused {peer}{more}: {reason}"));
        }
        HostEvent::NoConnection { problem } => {
            line(&format!("error: no connection is taken for now: {problem}"));
        }
        HostEvent::AttachWarning { problem } => line(&format!("warning: {problem}")),
        HostEvent::OriginRefused { origin } => line(&origin_refused(origin)),
        HostEvent::HostRefused { host } => line(&host_refused(host)),
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
            line(&format!("{namespace} {socket} {script}{at} {text}"));
        }
    }
}

/// Reports a page that may not connect.
fn origin_refused(origin: &str) -> String {
    let problem = format!("warning: a page of `{origin}` was refused");
    with_hint(problem, Origin::hint(origin))
}

/// Reports a request for another host.
fn host_refused(host: &str) -> String {
    let problem = format!("warning: a request for the host `{host}` was refused");
    with_hint(problem, AllowedHost::hint(host))
}

fn with_hint(problem: String, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{problem}\nhint: {hint}"),
        None => problem,
    }
}

/// Names a client by its id and its address.
fn client(peer: Option<SocketAddr>, socket: Option<&str>) -> String {
    let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    format!("{} ({peer})", socket.unwrap_or("-"))
}

/// What a version was read from, for those who ask for more.
fn source(hash: &str, files: &[Arc<str>], verbose: bool) -> String {
    match verbose {
        true => format!("; {hash} of {}", files.join(", ")),
        false => String::new(),
    }
}

/// What became of the live connections.
fn rebound(script: &Arc<str>, reload: &Reload, verbose: bool) -> String {
    let Reload {
        changed,
        rebound,
        keep_old,
        rooms,
        failing,
        disconnected,
        carried,
        milliseconds,
        ..
    } = reload;
    let connections = if *rebound == 1 {
        "connection"
    } else {
        "connections"
    };
    let mut text = format!("{rebound} {connections} re-bound, {milliseconds} ms");
    if *changed != [script.clone()] {
        text += &format!("; changed: {}", changed.join(", "));
    }
    match keep_old {
        0 => {}
        1 => text += "; 1 handler made by another handler keeps its version",
        _ => text += &format!("; {keep_old} handlers made by other handlers keep their version"),
    }
    if *failing > 0 {
        text += &format!("; `on_connection` still fails on {failing} of them");
    }
    if *disconnected > 0 {
        text += &format!("; {disconnected} disconnected, for `on_connection` fails on them");
    }
    for (names, what) in [
        (&carried.lost, "no longer used"),
        (&carried.retyped, "changed their type and begin anew"),
    ] {
        if !names.is_empty() {
            text += &format!("; {what}: {}", join(names));
        }
    }
    if verbose && !carried.kept.is_empty() {
        text += &format!("; kept: {}", join(&carried.kept));
    }
    if verbose && *rooms > 0 {
        text += &format!("; rooms joined or left: {rooms}");
    }
    text
}

/// The first of many names: keys of data may be drawn from what clients send.
fn join(names: &std::collections::BTreeSet<String>) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn rejected(scripts: &[Kept], diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        line(&render(diagnostic, style()));
    }
    for Kept {
        script, version, ..
    } in scripts
    {
        line(&match version {
            Some(version) => {
                format!("{script}: version {version} keeps serving, nothing has changed")
            }
            None => format!(
                "{script}: not loaded, its namespace refuses clients until a save repairs it"
            ),
        });
    }
}

fn style() -> Style {
    match io::stderr().is_terminal() {
        true => Style::Color,
        false => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};
    use proptest::prelude::*;

    use super::*;
    use crate::cli::options::ServeOptions;

    /// Returns the values of the options that the hint of a report names, as `serve` reads them.
    fn accepted(report: &str) -> Vec<String> {
        let Some((_, hint)) = report.split_once("\nhint: ") else {
            return Vec::new();
        };
        let commands = hint.split('`').skip(1).step_by(2);
        let options = commands.filter(|command| *command != "--public DIR");
        let values = options.map(|option| {
            let words: Vec<_> = option.split(' ').collect();
            let serve = ServeOptions::augment_args(Command::new("serve").no_binary_name(true));
            let parsed = serve.try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{report:?}: {option}");
            words[1].to_owned()
        });
        values.collect()
    }

    #[test]
    fn a_hint_lets_in_one_page_or_allows_one_host_and_never_all() {
        for (origin, expected) in [
            ("https://a.com", Some("https://a.com")),
            ("app://.", Some("app://.")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("null", None),
            ("*", None),
            ("file://", None),
            ("https://", None),
            ("https://münchen.de", None),
            ("https://a.com,https://b.com", None),
            ("", None),
        ] {
            let report = origin_refused(origin);
            let values = accepted(&report);
            assert_eq!(values.first().map(String::as_str), expected, "{report}");
        }
        for (host, expected) in [
            ("a.com:8080", Some("a.com")),
            ("A.com.", Some("a.com")),
            ("*", None),
            ("*.com", None),
            ("a b", None),
            ("", None),
        ] {
            let report = host_refused(host);
            let values = accepted(&report);
            assert_eq!(values.first().map(String::as_str), expected, "{report}");
        }
        assert!(origin_refused("null").contains("--public DIR"));
        assert!(origin_refused("file://").contains("--public DIR"));
    }

    proptest! {
        #[test]
        fn every_hint_names_a_value_that_its_option_accepts(
            text in prop_oneof![
                "[a-zA-Z+.*:-]{0,8}(://)?[a-zA-Z0-9.:*,;@_%\\[\\]-]{0,300}(:[0-9]{0,6})?[/,]{0,2}",
                "(https?|file|null|app|\\*)(://|:)?([a-z0-9.-]{0,4}|\\PC{0,3})(:[0-9]{1,6})?/?",
                "\\PC{0,40}",
            ]
        ) {
            for value in accepted(&origin_refused(&text)) {
                prop_assert_eq!(value.parse::<Origin>(), text.parse::<Origin>());
                prop_assert!(!["*", "null"].contains(&value.as_str()));
            }
            for value in accepted(&host_refused(&text)) {
                prop_assert!(!value.contains('*'), "{}", text);
            }
        }
    }
}
