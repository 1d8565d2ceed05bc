//! Random edits and random clients, against a simple model of what each connection answers.
//!
//! A run that fails prints its seed; `MODEL_SEED=7 cargo test model` runs that one again, and `MODEL_RUNS=2000` more of
//! them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    rc::Rc,
};

use patchcord::testing::{TestClient, TestHost};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const RUNS: u64 = 20;
const STEPS: usize = 60;
const VARIABLES: [&str; 4] = ["a", "b", "c", "d"];
const EVENTS: [&str; 3] = ["x", "y", "z"];
const KEYS: [&str; 3] = ["k", "l", "m"];
const ROOMS: [&str; 3] = ["r", "s", "t"];

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Int(i64),
    Text(String),
    List(Vec<i64>),
}

impl Value {
    fn random(random: &mut StdRng) -> Self {
        let n = random.random_range(0..3);
        match random.random_range(0..4) {
            0 => Self::Text(format!("t{n}")),
            1 => Self::List(vec![n]),
            _ => Self::Int(n),
        }
    }

    /// As a script and JSON write it.
    fn literal(&self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List(list) => format!("{list:?}").replace(' ', ""),
        }
    }

    /// What a handler does with it.
    fn change(&mut self, by: i64) {
        match self {
            Self::Int(n) => *n += by,
            Self::Text(text) => write!(text, "{by}").unwrap(),
            Self::List(list) => list.push(by),
        }
    }

    fn same_type(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// A listener of `on_connection`: it changes a variable and answers with the mark of its version and the value.
#[derive(Debug, Clone)]
struct Listener {
    event: &'static str,
    variable: &'static str,
    by: i64,
    once: bool,
}

/// A script, as far as the model knows it.
#[derive(Debug, Clone)]
struct Script {
    mark: usize,
    variables: BTreeMap<&'static str, Value>,
    listeners: Vec<Listener>,
    /// The variable of the listeners that the handler of `make` registers.
    late: &'static str,
    data: BTreeMap<&'static str, Value>,
    rooms: BTreeSet<&'static str>,
}

impl Script {
    fn random(mark: usize, random: &mut StdRng) -> Self {
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

    /// One edit of a person at a keyboard.
    fn edit(&mut self, random: &mut StdRng) {
        match random.random_range(0..9) {
            0 | 1 => {
                self.variables
                    .insert(pick(&VARIABLES, random), Value::random(random));
            }
            2 | 3 if self.listeners.len() < 6 => {
                let at = random.random_range(0..=self.listeners.len());
                self.listeners.insert(at, Listener::random(random));
            }
            4 if !self.listeners.is_empty() => {
                let at = random.random_range(0..self.listeners.len());
                self.listeners.remove(at);
            }
            5 if !self.listeners.is_empty() => {
                let at = random.random_range(0..self.listeners.len());
                self.listeners[at] = Listener::random(random);
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

    /// The variables that closures capture.
    fn captured(&self) -> BTreeSet<&'static str> {
        let used = self.listeners.iter().map(|listener| listener.variable);
        used.chain([self.late]).collect()
    }

    /// What each listener is known by: its event, and its place among that event's.
    fn keys(&self) -> Vec<(&'static str, usize)> {
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

    fn text(&self) -> String {
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
            socket.on(\"rooms\", || { let rooms = []; for room in socket.rooms { if room.len == 1 { rooms.push(room); } } rooms });
        }"
    }

    fn body(&self, variable: &str, by: i64) -> String {
        let change = match &self.variables[variable] {
            Value::Int(_) => format!("{variable} += {by}"),
            Value::Text(_) => format!("{variable} += \"{by}\""),
            Value::List(_) => format!("{variable}.push({by})"),
        };
        format!("{{ {change}; [{}, {variable}] }}", self.mark)
    }
}

impl Listener {
    fn random(random: &mut StdRng) -> Self {
        Self {
            event: pick(&EVENTS, random),
            variable: pick(&VARIABLES, random),
            by: random.random_range(1..10),
            once: random.random_bool(0.2),
        }
    }
}

type Variable = Rc<RefCell<Value>>;

/// What the model knows of a connection.
struct Model {
    id: i64,
    script: Script,
    variables: BTreeMap<&'static str, Variable>,
    /// For each listener of the script, whether it was taken off or has fired for its only time.
    gone: Vec<bool>,
    /// Listeners made by a handler: the variable and the mark.
    late: BTreeMap<String, Vec<(Variable, Value, usize)>>,
    data: BTreeMap<&'static str, Value>,
    rooms: BTreeSet<&'static str>,
}

impl Model {
    fn new(id: i64, script: &Script) -> Self {
        let variables = script.captured().into_iter();
        Self {
            id,
            script: script.clone(),
            variables: variables
                .map(|name| (name, Rc::new(RefCell::new(script.variables[name].clone()))))
                .collect(),
            gone: vec![false; script.listeners.len()],
            late: BTreeMap::new(),
            data: script.data.clone(),
            rooms: script.rooms.clone(),
        }
    }

    /// The rules of an edit.
    fn adopt(&mut self, new: &Script) {
        let old = std::mem::replace(&mut self.script, new.clone());
        let mut live = std::mem::take(&mut self.variables);
        for name in new.captured() {
            let fresh = new.variables[name].clone();
            let variable = live
                .remove(name)
                .unwrap_or_else(|| Rc::new(RefCell::new(fresh.clone())));
            let base = &old.variables[name];
            let follows = *variable.borrow() == *base || !base.same_type(&fresh);
            if follows {
                *variable.borrow_mut() = fresh;
            }
            self.variables.insert(name, variable);
        }
        let gone: BTreeMap<_, _> = old.keys().into_iter().zip(self.gone.drain(..)).collect();
        self.gone = new
            .keys()
            .iter()
            .map(|key| gone.get(key).copied().unwrap_or_default())
            .collect();
        for key in KEYS {
            let (base, fresh) = (old.data.get(key), new.data.get(key));
            let retyped = base
                .zip(fresh)
                .is_some_and(|(base, fresh)| !base.same_type(fresh));
            if self.data.get(key) == base || retyped {
                match fresh {
                    Some(fresh) => drop(self.data.insert(key, fresh.clone())),
                    None => drop(self.data.remove(key)),
                }
            }
        }
        for room in ROOMS {
            match (old.rooms.contains(room), new.rooms.contains(room)) {
                (false, true) => drop(self.rooms.insert(room)),
                (true, false) => drop(self.rooms.remove(room)),
                _ => {}
            }
        }
    }

    /// What an event does, and what the first of its listeners answers.
    fn fire(&mut self, event: &str) -> Option<String> {
        let mut answers = Vec::new();
        for (listener, gone) in self.script.listeners.iter().zip(&mut self.gone) {
            if listener.event != event || *gone {
                continue;
            }
            *gone = listener.once;
            let mut value = self.variables[listener.variable].borrow_mut();
            value.change(listener.by);
            answers.push(format!("[[{},{}]]", self.script.mark, value.literal()));
        }
        for (variable, kind, mark) in self.late.get(event).into_iter().flatten() {
            let mut value = variable.borrow_mut();
            if !value.same_type(kind) {
                // The old code no longer fits the variable; it fails, or does what Rhai makes of it.
                return None;
            }
            value.change(100);
            answers.push(format!("[[{mark},{}]]", value.literal()));
        }
        answers.into_iter().next()
    }

    /// Whether a late listener of old code meets a variable of another type: what it does then is not the model's business.
    fn is_open(&self, event: &str) -> bool {
        let late = self.late.get(event).into_iter().flatten();
        late.into_iter()
            .all(|(variable, kind, _)| variable.borrow().same_type(kind))
    }

    fn off(&mut self, event: &str) {
        for (listener, gone) in self.script.listeners.iter().zip(&mut self.gone) {
            *gone |= listener.event == event;
        }
        self.late.remove(event);
    }
}

fn pick(from: &[&'static str], random: &mut StdRng) -> &'static str {
    from[random.random_range(0..from.len())]
}

struct Run {
    host: TestHost,
    clients: Vec<(TestClient, Model)>,
    /// What serves, and what served before it.
    script: Script,
    before: Vec<Script>,
    marks: usize,
    connected: i64,
    random: StdRng,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let script = Script::random(0, &mut random);
        let host = TestHost::new(&script.text());
        Self {
            host,
            clients: Vec::new(),
            script,
            before: Vec::new(),
            marks: 0,
            connected: 0,
            random,
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..20) {
            0 => self.connect(),
            1 if self.clients.len() > 2 => {
                let at = self.random.random_range(0..self.clients.len());
                let (client, _) = self.clients.remove(at);
                client.disconnect();
            }
            2..=4 => self.edit(),
            5 => self.reject(),
            6 => self.roll_back(),
            _ if self.clients.is_empty() => self.connect(),
            _ => self.event(),
        }
        self.host.events();
    }

    fn connect(&mut self) {
        if self.clients.len() < 5 {
            self.connected += 1;
            let client = self.host.connect("/").unwrap();
            self.clients
                .push((client, Model::new(self.connected, &self.script)));
        }
    }

    fn edit(&mut self) {
        let mut new = self.script.clone();
        for _ in 0..self.random.random_range(1..4) {
            new.edit(&mut self.random);
        }
        self.marks += 1;
        new.mark = self.marks;
        self.host.edit("main.rhai", &new.text());
        self.serve(new);
    }

    fn serve(&mut self, new: Script) {
        assert_eq!(self.host.problems(), [] as [&str; 0], "{}", new.text());
        for (_, model) in &mut self.clients {
            model.adopt(&new);
        }
        self.before.push(std::mem::replace(&mut self.script, new));
    }

    /// An edit that does not compile, or fails on one of the clients, and therefore means nothing.
    fn reject(&mut self) {
        let mut new = self.script.clone();
        new.mark = 1_000_000;
        new.edit(&mut self.random);
        let at = self.random.random_range(0..=self.clients.len());
        let text = match self.clients.get(at) {
            None => new.text().replace(
                "fn on_connection(socket) {",
                "fn on_connection(socket) { ((",
            ),
            Some((client, _)) => {
                let fails = format!(
                    "if socket.id == \"{}\" {{ throw 1; }} socket.on(\"off\"",
                    client.id()
                );
                new.text().replace("socket.on(\"off\"", &fails)
            }
        };
        self.host.edit("main.rhai", &text);
        assert_eq!(self.host.problems().len(), 1, "{text}");
    }

    fn roll_back(&mut self) {
        // The host keeps eight.
        let kept = self.before.len().saturating_sub(8);
        self.before.drain(..kept);
        let Some(old) = self.before.pop() else {
            assert!(self.host.roll_back("/").is_err());
            return;
        };
        self.host.roll_back("/").unwrap();
        self.serve(old);
        self.before.pop();
    }

    fn event(&mut self) {
        let random = &mut self.random;
        let at = random.random_range(0..self.clients.len());
        let (client, model) = &mut self.clients[at];
        match random.random_range(0..12) {
            0 => {
                let event = pick(&EVENTS, random);
                client.emit("off", [event]);
                model.off(event);
            }
            1 => {
                let n = random.random_range(0..3);
                client.emit("make", [n]);
                let name = model.script.late;
                let made = (
                    model.variables[name].clone(),
                    model.script.variables[name].clone(),
                    model.script.mark,
                );
                model.late.entry(format!("late{n}")).or_default().push(made);
            }
            2 => {
                let event = format!("late{}", random.random_range(0..3));
                if model.is_open(&event) {
                    assert_eq!(client.ask(&event, ()), model.fire(&event), "{event}");
                }
            }
            3 => {
                let (key, n) = (pick(&KEYS, random), random.random_range(0..3));
                client.emit("set", (key, n));
                model.data.insert(key, Value::Int(n));
            }
            4 => {
                let room = pick(&ROOMS, random);
                client.emit("join", [room]);
                model.rooms.insert(room);
            }
            5 => {
                let room = pick(&ROOMS, random);
                client.emit("leave", [room]);
                model.rooms.remove(room);
            }
            _ => {
                let event = pick(&EVENTS, random);
                assert_eq!(client.ask(event, ()), model.fire(event), "{event}");
            }
        }
    }

    /// Everything that can be asked for is as the model has it.
    fn check(&self) {
        for (client, model) in &self.clients {
            assert_eq!(client.ask("id", ()), Some(format!("[{}]", model.id)), "id");
            let data = model
                .data
                .iter()
                .map(|(key, value)| format!("\"{key}\":{}", value.literal()));
            let data = data.collect::<Vec<_>>().join(",");
            assert_eq!(
                client.ask("data", ()),
                Some(format!("[{{{data}}}]")),
                "data"
            );
            let rooms = model.rooms.iter().map(|room| format!("\"{room}\""));
            let rooms = rooms.collect::<Vec<_>>().join(",");
            assert_eq!(
                client.ask("rooms", ()),
                Some(format!("[[{rooms}]]")),
                "rooms"
            );
        }
    }
}

#[test]
fn random_edits_and_events_do_what_a_simple_model_says() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MODEL_RUNS").unwrap_or(RUNS),
    };
    for seed in seeds {
        eprintln!("MODEL_SEED={seed}");
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
            run.check();
        }
    }
}
