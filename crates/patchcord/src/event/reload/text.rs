//! Report of a reload as human-readable text.

use std::collections::BTreeSet;

use super::{Failure, PresentKey, Reload, Room, StaleCode, Variable};
use crate::script::{ChangeKind, CodeChange};

/// Maximum number of names shown in a list. Keys of data and names of rooms may come from clients, so there may be
/// many.
const SHOWN: usize = 20;
/// Maximum length in characters of a line with several entries.
const WIDTH: usize = 110;

impl Reload {
    /// Returns the lines of the report after its first one: code, variables, rooms, presence, resets, failures, and
    /// closures that keep an older text. Places in `script`, the file of the namespace, may omit the file name. The
    /// texts come from scripts and clients; [`visible`](crate::diagnostic::visible) makes them safe to show.
    pub fn details(&self, script: &str) -> Vec<String> {
        let mut lines = rows(self.code_entries(script));
        lines.extend(rows(self.silent_entries()));
        lines.extend(rows(self.variables.iter().map(Variable::text).collect()));
        lines.extend(rows(self.rooms.iter().map(Room::text).collect()));
        lines.extend(rows(self.present.iter().map(PresentKey::text).collect()));
        let begin_again = "begin again, because of `// @reset`";
        lines.extend(self.counted(self.reset, begin_again));
        lines.extend(self.counted(
            self.spared,
            "would be disconnected by the new `on_connection`: they keep what they have",
        ));
        lines.extend(self.counted(
            self.untaped,
            "read more than 4 KiB in `on_connection`: the drafts have read the state of today",
        ));
        lines.extend(self.failures.iter().take(SHOWN).map(Failure::text));
        lines.extend(more(self.failures.len()));
        lines.extend(
            self.stale
                .iter()
                .take(SHOWN)
                .map(|stale| stale.text(script)),
        );
        lines.extend(more(self.stale.len()));
        lines
    }

    /// Returns the line about a number of connections; `None` if there are none.
    fn counted(&self, count: usize, what: &str) -> Option<String> {
        (count > 0).then(|| format!("! {count} of {} {what}", self.rebound))
    }

    fn code_entries(&self, script: &str) -> Vec<String> {
        let variables: BTreeSet<_> = self
            .variables
            .iter()
            .map(|variable| variable.name.as_str())
            .collect();
        let is_shown = |change: &&CodeChange| {
            let variable = change.name.strip_prefix("let ");
            !self.reported.contains(&change.file)
                && variable.is_none_or(|variable| !variables.contains(variable))
        };
        let mut last: Option<&str> = None;
        let mut entries = Vec::new();
        for change in self.code.iter().filter(is_shown) {
            let is_removed = change.kind == ChangeKind::Removed;
            let place = match (last == Some(&change.file), is_removed) {
                (true, true) => String::new(),
                (false, true) if *change.file == *script => String::new(),
                (false, true) => format!(" {}", change.file),
                (true, false) => format!(" :{}", change.line),
                (false, false) => format!(" {}:{}", change.file, change.line),
            };
            last = Some(&change.file);
            let moved = change.moved_from.as_ref();
            let moved = moved.map(|(file, line)| format!(" (was {file}:{line})"));
            let (name, moved) = (code(change), moved.unwrap_or_default());
            entries.push(format!("{name}{place}{moved}{}", self.senders(change)));
        }
        entries
    }

    /// Returns a note with the number of clients that recently sent an event that no longer has a listener.
    fn senders(&self, change: &CodeChange) -> String {
        let event = match change.kind {
            ChangeKind::Removed => Some(&change.name),
            ChangeKind::Renamed => change.before.as_ref(),
            _ => None,
        };
        let mut silent = self.silent.iter();
        let silent =
            silent.find(|silent| event.is_some_and(|event| *event == quoted(&silent.event)));
        match silent.map_or(0, |silent| silent.recent) {
            0 => String::new(),
            1 => " (1 client sent it in the last minute)".to_owned(),
            clients => format!(" ({clients} clients sent it in the last minute)"),
        }
    }

    /// Returns the events that no longer have a listener, and that no entry about the code names.
    fn silent_entries(&self) -> Vec<String> {
        let named: BTreeSet<_> = self
            .code
            .iter()
            .flat_map(|c| [Some(&c.name), c.before.as_ref()])
            .flatten()
            .collect();
        let silent = self
            .silent
            .iter()
            .map(|silent| (quoted(&silent.event), silent.connections));
        let silent = silent.filter(|(event, _)| !named.contains(event));
        silent
            .map(|(event, connections)| format!("- {event} on {connections}"))
            .collect()
    }
}

impl Variable {
    fn text(&self) -> String {
        let name = &self.name;
        let lost = match (self.lost, &self.renamed) {
            (0, _) => None,
            (1, None) => Some(format!("{name}: 1 value lost")),
            (lost, None) => Some(format!("{name}: {lost} values lost")),
            (1, Some(renamed)) => Some(format!("{name}: 1 value lost; renamed to `{renamed}`?")),
            (lost, Some(renamed)) => Some(format!(
                "{name}: {lost} values lost; renamed to `{renamed}`?"
            )),
        };
        let change = match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{name} {from} -> {to}"),
            (None, Some(to)) => format!("{name} = {to}"),
            (Some(from), None) => format!("{name} {from} removed"),
            (None, None) => name.clone(),
        };
        let outcomes = [
            (self.followed, " on "),
            (self.merged, ", new keys on "),
            (self.reset, ", with another type on "),
            (self.kept, ", kept on "),
        ];
        let outcomes = outcomes.iter().filter(|(count, _)| *count > 0);
        let outcomes: String = outcomes
            .map(|(count, what)| format!("{what}{count}"))
            .collect();
        match lost {
            Some(lost) if outcomes.is_empty() => lost,
            Some(lost) => format!("{change}{outcomes}; {lost}"),
            None => format!("{change}{outcomes}"),
        }
    }
}

impl Room {
    fn text(&self) -> String {
        let name = &self.name;
        match (self.joined, self.left) {
            (joined, 0) => format!("room `{name}` joined on {joined}"),
            (0, left) => format!("room `{name}` left on {left}"),
            (joined, left) => format!("room `{name}` joined on {joined}, left on {left}"),
        }
    }
}

impl PresentKey {
    fn text(&self) -> String {
        let effects = [
            (self.added, "present on"),
            (self.removed, "absent on"),
            (self.replaced, "with another meta on"),
        ];
        let effects = effects.iter().filter(|(count, _)| *count > 0);
        let effects: Vec<_> = effects
            .map(|(count, what)| format!("{what} {count}"))
            .collect();
        format!("key `{}` {}", self.key, effects.join(", "))
    }
}

impl Failure {
    fn text(&self) -> String {
        let message = &self.diagnostic.message;
        let place = self.diagnostic.place.as_ref();
        let place = place.map_or_else(String::new, |place| {
            format!(" ({}:{})", place.file, place.line)
        });
        let connections = self.connections;
        match self.disconnected {
            true => format!(
                "! {connections} disconnected, `on_connection` fails on them: {message}{place}"
            ),
            false => {
                format!("! `on_connection` fails on {connections} as before: {message}{place}")
            }
        }
    }
}

impl StaleCode {
    fn text(&self, script: &str) -> String {
        let Self {
            name,
            file,
            line,
            version,
            lacks,
            connections,
        } = self;
        let file = if **file == *script { "" } else { file };
        let reason = match (lacks, connections) {
            (Some(lacks), 1) => format!("captures `{lacks}`, which it does not have"),
            (Some(lacks), _) => format!("captures `{lacks}`, which they do not have"),
            (None, _) => "its code is gone, and a variable or a pending ack holds it".to_owned(),
        };
        format!("! {name} {file}:{line} stays version {version} on {connections}: {reason}")
    }
}

fn code(change: &CodeChange) -> String {
    let name = &change.name;
    match (change.kind, &change.before) {
        (ChangeKind::Added, _) => format!("+ {name}"),
        (ChangeKind::Removed, _) => format!("- {name}"),
        (_, Some(before)) => format!("~ {before} -> {name}"),
        (_, None) => format!("~ {name}"),
    }
}

fn quoted(event: &str) -> String {
    format!("\"{event}\"")
}

/// Distributes the entries over lines, and returns the lines.
fn rows(entries: Vec<String>) -> Vec<String> {
    let count = entries.len();
    let mut lines: Vec<String> = Vec::new();
    for entry in entries.into_iter().take(SHOWN).chain(more(count)) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + entry.chars().count() + 4 <= WIDTH => {
                line.push_str("    ");
                line.push_str(&entry);
            }
            _ => lines.push(entry),
        }
    }
    lines
}

/// Returns the entry that stands for all entries after the first [`SHOWN`] ones.
fn more(count: usize) -> Option<String> {
    let more = count.saturating_sub(SHOWN);
    (more > 0).then(|| format!("and {more} more"))
}
