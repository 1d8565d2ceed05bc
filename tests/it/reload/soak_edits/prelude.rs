//! Part of a script for which a model knows the effects of each edit: it is at the beginning of `on_connection`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use rand::{RngExt, rngs::StdRng};

const NAMES: [&str; 3] = ["p0", "p1", "p2"];
const EVENTS: [&str; 3] = ["q0", "q1", "q2"];
const KEYS: [&str; 3] = ["a", "b", "c"];
const ROOMS: [&str; 3] = ["z0", "z1", "z2"];
const DATA: [&str; 3] = ["z0", "z1", "z2"];

/// Lines before and after the part.
const FIRST: &str = "// the part that a model knows";
const LAST: &str = "// the end of the part that a model knows";

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
}

impl Value {
    fn random(random: &mut StdRng) -> Self {
        let n = random.random_range(0..50);
        match random.random_bool(0.2) {
            true => Self::Text(format!("t{n}")),
            false => Self::Int(n),
        }
    }

    fn literal(&self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Text(text) => format!("\"{text}\""),
        }
    }

    fn same_type(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

type Values = BTreeMap<&'static str, Value>;

/// State of the part: in the text of the script, or of one client.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Prelude {
    variables: Values,
    answers: BTreeMap<&'static str, i64>,
    map: Values,
    data: Values,
    rooms: BTreeSet<&'static str>,
    /// Rooms and keys of `socket.data` that the client had, or lacked, by itself when an edit began or ceased to give
    /// them to all clients: an edit and its undo change none of these.
    past: BTreeSet<(&'static str, bool)>,
}

impl Prelude {
    /// Makes one edit; returns a description.
    pub(super) fn edit(&mut self, random: &mut StdRng) -> &'static str {
        match random.random_range(0..5) {
            0 => {
                toggle(&mut self.variables, pick(&NAMES, random), random);
                "a variable"
            }
            1 => {
                let event = pick(&EVENTS, random);
                match self.answers.remove(event) {
                    Some(_) if random.random_bool(0.5) => {}
                    _ => drop(self.answers.insert(event, random.random_range(0..1000))),
                }
                "a listener"
            }
            2 => {
                toggle(&mut self.map, pick(&KEYS, random), random);
                "a key of a map"
            }
            3 => {
                toggle(&mut self.data, pick(&DATA, random), random);
                "a key of the socket's data"
            }
            _ => {
                let room = pick(&ROOMS, random);
                if !self.rooms.remove(room) {
                    self.rooms.insert(room);
                }
                "a room"
            }
        }
    }

    /// Inserts the part into a script, or replaces the one that is there.
    pub(super) fn put_into(&self, script: &str, entry: usize) -> String {
        let mut lines: Vec<_> = script.lines().map(str::to_owned).collect();
        let place = |text: &str| lines.iter().position(|line| line.trim() == text);
        let range = match (place(FIRST), place(LAST)) {
            (Some(first), Some(last)) => first..last + 1,
            _ => entry..entry,
        };
        lines.splice(range, [FIRST.to_owned(), self.text(), LAST.to_owned()]);
        lines.join("\n") + "\n"
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.variables {
            writeln!(text, "let {name} = {};", value.literal()).unwrap();
            writeln!(
                text,
                "socket.on(\"{name}\", |set| {{ if set != () {{ {name} = set; }} {name} }});"
            )
            .unwrap();
        }
        for (event, answer) in &self.answers {
            writeln!(text, "socket.on(\"{event}\", || {answer});").unwrap();
        }
        for (key, value) in &self.data {
            writeln!(text, "socket.data.{key} = {};", value.literal()).unwrap();
        }
        for room in &self.rooms {
            writeln!(text, "socket.join(\"{room}\");").unwrap();
        }
        let map: Vec<_> = self
            .map
            .iter()
            .map(|(key, value)| format!("{key}: {}", value.literal()))
            .collect();
        writeln!(text, "let p_map = #{{ {} }};", map.join(", ")).unwrap();
        text + r#"socket.on("p map", |key, set| { if set != () { p_map[key] = set; } p_map });
socket.on("p data", |key, set| { if set != () { socket.data[key] = set; }
    let all = #{}; for key in ["z0", "z1", "z2"] { if socket.data.has(key) { all[key] = socket.data[key]; } } all });
socket.on("p room", |room, joins| { if joins == 1 { socket.join(room); } if joins == 0 { socket.leave(room); }
    let all = []; for room in ["z0", "z1", "z2"] { if room in socket.rooms { all.push(room); } } all });"#
    }

    /// Applies an edit of the text from `base` to `new` to the state of a client.
    pub(super) fn adopt(&mut self, base: &Self, new: &Self) {
        self.answers = new.answers.clone();
        for name in NAMES {
            match new.variables.contains_key(name) {
                true => merge(name, &mut self.variables, &base.variables, &new.variables),
                // A variable that no closure captures any more is lost.
                false => drop(self.variables.remove(name)),
            }
        }
        KEYS.iter()
            .for_each(|key| merge(key, &mut self.map, &base.map, &new.map));
        for key in DATA {
            let before = self.data.clone();
            merge(key, &mut self.data, &base.data, &new.data);
            let (did, does) = (base.data.contains_key(key), new.data.contains_key(key));
            let has = self.data.contains_key(key);
            match self.data == before {
                false if did != does && self.past.remove(&(key, !does)) => self.data = before,
                true if did != does && has == does => drop(self.past.insert((key, does))),
                _ => {}
            }
        }
        for room in ROOMS {
            let (did, does) = (base.rooms.contains(room), new.rooms.contains(room));
            if did == does {
                continue;
            }
            let is_in = self.rooms.contains(room);
            match is_in == does {
                true => drop(self.past.insert((room, does))),
                false if self.past.remove(&(room, !does)) => {}
                false if does => drop(self.rooms.insert(room)),
                false => drop(self.rooms.remove(room)),
            }
        }
    }

    /// Makes a client do something, and returns the event with the expected answer.
    pub(super) fn act(&mut self, random: &mut StdRng) -> Question {
        let value = random.random_range(100..200);
        match random.random_range(0..4) {
            0 => {
                let name = pick(&NAMES, random);
                let variable = self.variables.get_mut(name);
                if let Some(variable) = variable {
                    *variable = Value::Int(value);
                }
                self.ask(name, vec![value.into()])
            }
            1 => {
                let key = pick(&KEYS, random);
                self.map.insert(key, Value::Int(value));
                self.ask("p map", vec![key.into(), value.into()])
            }
            2 => {
                let key = pick(&DATA, random);
                self.data.insert(key, Value::Int(value));
                self.ask("p data", vec![key.into(), value.into()])
            }
            _ => {
                let room = pick(&ROOMS, random);
                let joins = random.random_bool(0.5);
                match joins {
                    true => drop(self.rooms.insert(room)),
                    false => drop(self.rooms.remove(room)),
                }
                self.ask("p room", vec![room.into(), i64::from(joins).into()])
            }
        }
    }

    /// Returns all events that ask for state.
    pub(super) fn questions(&self) -> Vec<Question> {
        let events = NAMES
            .iter()
            .chain(&EVENTS)
            .chain(&["p map", "p data", "p room"]);
        events
            .map(|event| {
                // If there were fewer arguments than parameters, the ack would take the place of one.
                let parameters = match event.split_at(1) {
                    ("q", _) => 0,
                    (_, rest) => 1 + usize::from(rest.starts_with(' ')),
                };
                self.ask(event, vec![serde_json::Value::Null; parameters])
            })
            .collect()
    }

    fn ask(&self, event: &'static str, args: Vec<serde_json::Value>) -> Question {
        let answer = match event {
            "p map" => Some(json(&self.map)),
            "p data" => Some(json(&self.data)),
            "p room" => {
                let rooms: Vec<_> = self
                    .rooms
                    .iter()
                    .map(|room| format!("\"{room}\""))
                    .collect();
                Some(format!("[{}]", rooms.join(",")))
            }
            _ => {
                let variable = self.variables.get(event).map(Value::literal);
                variable.or_else(|| self.answers.get(event).map(i64::to_string))
            }
        };
        Question {
            event,
            args,
            answer: answer.map(|text| format!("[{text}]")),
        }
    }
}

/// Event, and the expected answer to it.
pub(super) struct Question {
    pub(super) event: &'static str,
    pub(super) args: Vec<serde_json::Value>,
    pub(super) answer: Option<String>,
}

/// Applies the rules for one key.
fn merge(key: &'static str, live: &mut Values, base: &Values, new: &Values) {
    let (was, fresh) = (base.get(key), new.get(key));
    let now = live.get(key);
    let follows = match (was, fresh, now) {
        (None, Some(_), None) => true,
        (Some(was), None, Some(now)) => now == was,
        (Some(was), Some(fresh), Some(now)) => {
            now == was || !(was.same_type(fresh) || now.same_type(fresh))
        }
        _ => false,
    };
    match fresh {
        Some(fresh) if follows => drop(live.insert(key, fresh.clone())),
        None if follows => drop(live.remove(key)),
        _ => {}
    }
}

fn toggle(values: &mut Values, key: &'static str, random: &mut StdRng) {
    match values.remove(key) {
        Some(_) if random.random_bool(0.4) => {}
        _ => drop(values.insert(key, Value::random(random))),
    }
}

fn json(values: &Values) -> String {
    let parts: Vec<_> = values
        .iter()
        .map(|(key, value)| format!("\"{key}\":{}", value.literal()))
        .collect();
    format!("{{{}}}", parts.join(","))
}

fn pick(from: &[&'static str], random: &mut StdRng) -> &'static str {
    from[random.random_range(0..from.len())]
}
