//! Random scripts, and random edits of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use rand::{RngExt, rngs::StdRng};

pub(super) const VARIABLES: [&str; 4] = ["a", "b", "c", "d"];
pub(super) const EVENTS: [&str; 6] = ["u", "v", "w", "x", "y", "z"];
pub(super) const KEYS: [&str; 3] = ["k", "l", "m"];
pub(super) const ROOMS: [&str; 3] = ["r", "s", "t"];

/// Value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    List(Vec<i64>),
}

impl Value {
    pub(super) fn random(random: &mut StdRng) -> Self {
        let n = random.random_range(0..3);
        match random.random_range(0..4) {
            0 => Self::Text(format!("t{n}")),
            1 => Self::List(vec![n]),
            _ => Self::Int(n),
        }
    }

    /// Returns the value as a script and JSON write it.
    pub(super) fn literal(&self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List(list) => format!("{list:?}").replace(' ', ""),
        }
    }

    /// Changes the value as a handler does.
    pub(super) fn change(&mut self, by: i64) {
        match self {
            Self::Int(n) => *n += by,
            Self::Text(text) => write!(text, "{by}").unwrap(),
            Self::List(list) => list.push(by),
        }
    }

    pub(super) fn same_type(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Listener of `on_connection`: it changes a variable, and answers with the mark of its version and the value.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) event: &'static str,
    pub(super) variable: &'static str,
    pub(super) by: i64,
    pub(super) once: bool,
}

/// Script, as far as the model knows it.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) mark: usize,
    pub(super) variables: BTreeMap<&'static str, Value>,
    pub(super) listeners: Vec<Listener>,
    /// Variable of the listeners that the handler of `make` registers.
    pub(super) late: &'static str,
    pub(super) data: BTreeMap<&'static str, Value>,
    pub(super) rooms: BTreeSet<&'static str>,
}

impl Script {
    pub(super) fn random(mark: usize, random: &mut StdRng) -> Self {
        let variables = VARIABLES.map(|name| (name, Value::random(random)));
        let mut script = Self {
            mark,
            variables: variables.into(),
            listeners: Vec::new(),
            late: "a",
            data: BTreeMap::new(),
            rooms: BTreeSet::new(),
        };
        for _ in 0..6 {
            script.edit(random);
        }
        script
    }

    /// Applies one edit, as a person could make it.
    pub(super) fn edit(&mut self, random: &mut StdRng) {
        match random.random_range(0..9) {
            0 | 1 => {
                self.variables
                    .insert(pick(&VARIABLES, random), Value::random(random));
            }
            2 | 3 if self.listeners.len() < 6 => {
                let at = random.random_range(0..=self.listeners.len());
                let listener = Listener::random(random);
                // One listener for each event, because nobody can say which of two was edited and which was removed.
                if self.listeners.iter().all(|l| l.event != listener.event) {
                    self.listeners.insert(at, listener);
                }
            }
            4 if !self.listeners.is_empty() => {
                let at = random.random_range(0..self.listeners.len());
                self.listeners.remove(at);
            }
            5 if !self.listeners.is_empty() => {
                let at = random.random_range(0..self.listeners.len());
                let event = self.listeners[at].event;
                self.listeners[at] = Listener {
                    event,
                    ..Listener::random(random)
                };
            }
            6 => self.late = pick(&VARIABLES, random),
            7 => {
                let key = pick(&KEYS, random);
                if self.data.remove(key).is_none() || random.random_bool(0.6) {
                    self.data.insert(key, Value::random(random));
                }
            }
            _ => {
                let room = pick(&ROOMS, random);
                if !self.rooms.remove(room) {
                    self.rooms.insert(room);
                }
            }
        }
    }

    /// Returns the variables that closures capture.
    pub(super) fn captured(&self) -> BTreeSet<&'static str> {
        let used = self.listeners.iter().map(|listener| listener.variable);
        used.chain([self.late]).collect()
    }

    /// Returns the identity of each listener: its event, and its place among the listeners of that event.
    pub(super) fn keys(&self) -> Vec<(&'static str, usize)> {
        let nth = |at: usize| {
            let before = &self.listeners[..at];
            before
                .iter()
                .filter(|l| l.event == self.listeners[at].event)
                .count()
        };
        (0..self.listeners.len())
            .map(|at| (self.listeners[at].event, nth(at)))
            .collect()
    }

    pub(super) fn text(&self) -> String {
        let mut text = "fn on_connection(socket) {\n".to_owned();
        for (name, value) in &self.variables {
            writeln!(text, "let {name} = {};", value.literal()).unwrap();
        }
        for (key, value) in &self.data {
            writeln!(text, "socket.data.{key} = {};", value.literal()).unwrap();
        }
        for room in &self.rooms {
            writeln!(text, "socket.join(\"{room}\");").unwrap();
        }
        for Listener {
            event,
            variable,
            by,
            once,
        } in &self.listeners
        {
            let word = if *once { "once" } else { "on" };
            let body = self.body(variable, *by);
            // The tag makes a body so typical of its event that a listener of another event is not mistaken for it.
            let tag = match *event {
                "x" => format!("{}true;", "!".repeat(24)),
                "y" => format!("{}1;", "- ".repeat(24)),
                "z" => format!("{}1{};", "(".repeat(12), ")".repeat(12)),
                "u" => format!("{}1{};", "[".repeat(12), "]".repeat(12)),
                "v" => format!("{}2;", "2 + ".repeat(12)),
                _ => format!("{}3;", "3 * ".repeat(12)),
            };
            let body = body.replacen('{', &format!("{{ {tag}"), 1);
            writeln!(text, "socket.{word}(\"{event}\", || {body});").unwrap();
        }
        let late = self.body(self.late, 100);
        writeln!(
            text,
            "socket.on(\"make\", |n| {{ socket.on(`late${{n}}`, || {late}); }});"
        )
        .unwrap();
        text + "let id = io.data.incr(\"ids\", 1);
            socket.on(\"id\", || id);
            socket.on(\"off\", |event| { socket.off(event); });
            socket.on(\"set\", |key, value| { socket.data[key] = value; });
            socket.on(\"data\", || socket.data);
            socket.on(\"join\", |room| { socket.join(room); });
            socket.on(\"leave\", |room| { socket.leave(room); });
            socket.on(\"rooms\", || { let rooms = []; for room in socket.rooms { if room.len == 1 { rooms.push(room); } } rooms.sorted() });
        }"
    }

    pub(super) fn body(&self, variable: &str, by: i64) -> String {
        let change = match &self.variables[variable] {
            Value::Int(_) => format!("{variable} += {by}"),
            Value::Text(_) => format!("{variable} += \"{by}\""),
            Value::List(_) => format!("{variable}.push({by})"),
        };
        format!("{{ {change}; [{}, {variable}] }}", self.mark)
    }
}

impl Listener {
    pub(super) fn random(random: &mut StdRng) -> Self {
        Self {
            event: pick(&EVENTS, random),
            variable: pick(&VARIABLES, random),
            by: random.random_range(1..10),
            once: random.random_bool(0.2),
        }
    }
}

pub(super) fn pick(from: &[&'static str], random: &mut StdRng) -> &'static str {
    from[random.random_range(0..from.len())]
}
