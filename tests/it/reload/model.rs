//! Random edits and random clients, against a simple model of what each connection answers.
//!
//! A run that fails prints its seed. `MODEL_SEED=7 cargo test model` runs that one again, and `MODEL_RUNS=2000` makes
//! more runs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env,
    rc::Rc,
};

use patchcord::testing::{TestClient, TestHost};
use rand::{RngExt, SeedableRng, rngs::StdRng};

mod script;

use crate::support::preview::edit_as_previewed;
use script::{EVENTS, KEYS, ROOMS, Script, Value, pick};

const RUNS: u64 = 20;
const STEPS: usize = 60;

type Variable = Rc<RefCell<Value>>;

/// State of a connection in the model.
struct Model {
    id: i64,
    script: Script,
    variables: BTreeMap<&'static str, Variable>,
    /// For each listener of the script: `true` if it was removed, or was a `once` and has fired.
    gone: Vec<bool>,
    /// Listeners that a handler made: variable, type of the value, and mark.
    late: BTreeMap<String, Vec<(Variable, Value, usize)>>,
    data: BTreeMap<&'static str, Value>,
    rooms: BTreeSet<&'static str>,
    /// Listeners that were gone when an edit removed them, by event and body.
    past: BTreeSet<(&'static str, String)>,
    left: BTreeSet<&'static str>,
    /// Rooms that the client was in when an edit began to join them.
    entered: BTreeSet<&'static str>,
    /// Keys that the client had, or lacked, when an edit began or ceased to write them.
    keys: BTreeSet<(&'static str, bool)>,
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
            past: BTreeSet::new(),
            left: BTreeSet::new(),
            entered: BTreeSet::new(),
            keys: BTreeSet::new(),
        }
    }

    /// Applies the rules of an edit.
    fn adopt(&mut self, new: &Script) {
        let old = std::mem::replace(&mut self.script, new.clone());
        let mut live = std::mem::take(&mut self.variables);
        for name in new.captured() {
            let fresh = new.variables[name].clone();
            let variable = live
                .remove(name)
                .unwrap_or_else(|| Rc::new(RefCell::new(fresh.clone())));
            let base = &old.variables[name];
            let merged = merged(Some(base), Some(&fresh), Some(&variable.borrow()));
            *variable.borrow_mut() = merged.unwrap();
            self.variables.insert(name, variable);
        }
        let gone: BTreeMap<_, _> = old.keys().into_iter().zip(self.gone.drain(..)).collect();
        let body = |script: &Script, (event, _): (&'static str, usize)| {
            let mut listeners = script.listeners.iter();
            let listener = listeners.find(|one| one.event == event).unwrap();
            (event, script.body(listener.variable, listener.by))
        };
        // An edit and its undo restore the removed listeners as they were.
        for key in new.keys() {
            let is_gone = match gone.get(&key) {
                Some(gone) => *gone,
                None => self.past.remove(&body(new, key)),
            };
            self.gone.push(is_gone);
        }
        let wanted = new.keys();
        let removed = gone
            .iter()
            .filter(|(key, gone)| **gone && !wanted.contains(key));
        self.past.extend(removed.map(|(key, _)| body(&old, *key)));
        for key in KEYS {
            let (base, fresh) = (old.data.get(key), new.data.get(key));
            let value = merged(base, fresh, self.data.get(key));
            let does = fresh.is_some();
            if base.is_some() != does {
                // An edit and its undo do not change whether the client itself had a key.
                let is_same = value.as_ref() == self.data.get(key);
                if !is_same && self.keys.remove(&(key, !does)) {
                    continue;
                }
                if is_same && value.is_some() == does {
                    self.keys.insert((key, does));
                }
            }
            match value {
                Some(value) => drop(self.data.insert(key, value)),
                None => drop(self.data.remove(key)),
            }
        }
        // Listeners that a handler made get the new code too.
        for (variable, kind, mark) in self.late.values_mut().flatten() {
            *variable = self.variables[new.late].clone();
            *kind = new.variables[new.late].clone();
            *mark = new.mark;
        }
        for room in ROOMS {
            match (old.rooms.contains(room), new.rooms.contains(room)) {
                (false, true) if self.rooms.contains(room) => drop(self.entered.insert(room)),
                (false, true) if self.left.remove(room) => {}
                (false, true) => drop(self.rooms.insert(room)),
                (true, false) if self.rooms.contains(room) && self.entered.remove(room) => {}
                (true, false) if !self.rooms.remove(room) => drop(self.left.insert(room)),
                _ => {}
            }
        }
    }

    /// Applies an event, and returns the answer of the first of its listeners.
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
                // The old code no longer fits the variable: it fails, or Rhai does something with the other type.
                return None;
            }
            value.change(100);
            answers.push(format!("[[{mark},{}]]", value.literal()));
        }
        answers.into_iter().next()
    }

    /// Returns `true` if all late listeners of an event have code that fits the type of their variable. The model does
    /// not predict what the others do.
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

/// Merges a value: it follows the code if no client has changed it, or if its type no longer fits.
fn merged(base: Option<&Value>, fresh: Option<&Value>, live: Option<&Value>) -> Option<Value> {
    let is_retyped = base
        .zip(fresh)
        .is_some_and(|(base, fresh)| !base.same_type(fresh));
    let fits = !is_retyped
        || fresh
            .zip(live)
            .is_none_or(|(fresh, live)| fresh.same_type(live));
    match base != fresh && (live == base || !fits) {
        true => fresh.cloned(),
        false => live.cloned(),
    }
}

struct Run {
    host: TestHost,
    clients: Vec<(TestClient, Model)>,
    /// Script that serves; `before` has those that served earlier.
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
            6 => self.rollback(),
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
        let preview = edit_as_previewed(&mut self.host, &new.text());
        assert_eq!(preview.problems(), [], "{}", new.text());
        self.serve(new);
    }

    fn serve(&mut self, new: Script) {
        assert_eq!(self.host.problems(), [] as [&str; 0], "{}", new.text());
        for (_, model) in &mut self.clients {
            model.adopt(&new);
        }
        self.before.push(std::mem::replace(&mut self.script, new));
    }

    /// Makes an edit that does not compile, or that fails on one of the clients, and therefore has no effect.
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
        let preview = edit_as_previewed(&mut self.host, &text);
        assert_eq!(preview.problems().len(), 1, "{text}");
    }

    fn rollback(&mut self) {
        // The host keeps eight versions.
        let kept = self.before.len().saturating_sub(8);
        self.before.drain(..kept);
        let Some(old) = self.before.pop() else {
            assert!(self.host.rollback("/").is_err());
            return;
        };
        self.host.rollback("/").unwrap();
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

    /// Checks that everything that a client can ask for is as in the model.
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
