//! Two hosts of one script that receive the same events, but only one of them receives saves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use patchcord::{
    HostEvent,
    testing::{TestClient, TestHost},
};
use rand::{RngExt, rngs::StdRng};

use super::{generator::Program, numbers::replace_numbers};

/// The two hosts, and the clients of both.
pub(crate) struct Twins {
    pub(crate) edited: TestHost,
    plain: TestHost,
    pub(crate) clients: Vec<[TestClient; 2]>,
    /// New tags, by the tags that saves have replaced.
    pub(crate) tags: BTreeMap<i64, i64>,
    /// Maximum number of clients at a time.
    pub(crate) most: usize,
    connected: usize,
    log: Vec<String>,
    alive: Weak<()>,
}

/// Number of clients that are asked for everything at a time.
const OBSERVED: usize = 8;

/// Events and answers that a client has received.
type Got = (Vec<String>, Vec<String>);

/// Returns a host with the function `dice(n)`, whose numbers are the same in each run.
fn host(program: &Program, alive: &Arc<()>) -> TestHost {
    let (drawn, alive) = (AtomicU64::new(7), alive.clone());
    TestHost::build(program.texts(), |builder| {
        builder.function("dice", move |n: i64| {
            let _alive = &alive;
            let next = drawn
                .load(Ordering::Relaxed)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            drawn.store(next, Ordering::Relaxed);
            i64::try_from(next >> 33).unwrap() % n
        })
    })
}

impl Twins {
    pub(crate) fn new(program: &Program) -> Self {
        let alive = Arc::default();
        Self {
            edited: host(program, &alive),
            plain: host(program, &alive),
            alive: Arc::downgrade(&alive),
            clients: Vec::new(),
            tags: BTreeMap::new(),
            most: 8,
            connected: 0,
            log: Vec::new(),
        }
    }

    /// Returns the errors of loading the script.
    pub(crate) fn problems(&self) -> Vec<String> {
        let problems = self.edited.problems();
        self.plain.events();
        problems
    }

    /// Connects a client to each host.
    pub(crate) fn connect(&mut self) -> Result<(), String> {
        self.connected += 1;
        let role = if self.connected.is_multiple_of(3) {
            "admin"
        } else {
            "guest"
        };
        let auth = BTreeMap::from([
            ("name", format!("name{}", self.connected)),
            ("role", role.to_owned()),
        ]);
        self.note(format!("connect as {role}"));
        let both = [
            self.edited.connect_as("/", &auth),
            self.plain.connect_as("/", &auth),
        ];
        match both {
            [Ok(edited), Ok(plain)] => self.clients.push([edited, plain]),
            [Err(edited), Err(plain)] => same("refusal", &edited.0, &plain.0)?,
            [one, other] => return Err(format!("connect: {:?} and {:?}", one.err(), other.err())),
        }
        self.compare()
    }

    /// Makes the same random thing happen to both hosts.
    pub(crate) fn step(&mut self, program: &Program, random: &mut StdRng) -> Result<(), String> {
        if self.clients.is_empty() {
            return self.connect();
        }
        let at = random.random_range(0..self.clients.len());
        match random.random_range(0..20) {
            0 | 1 if self.clients.len() < self.most => return self.connect(),
            2 => {
                self.note(format!("client {at} leaves"));
                for client in self.clients.remove(at) {
                    client.disconnect();
                }
            }
            3..=5 => {
                let time = random.random_range(5..30);
                self.note(format!("{time} ms"));
                self.edited.advance(time);
                self.plain.advance(time);
                return self.compare_by(|heard| heard.sort());
            }
            6 => {
                self.note(format!("client {at} answers"));
                for client in &self.clients[at] {
                    client.answer([7]);
                }
            }
            7 => self.observe(random),
            _ if program.events.is_empty() => {}
            kind => {
                let event = &program.events[random.random_range(0..program.events.len())];
                let arg = random.random_range(0..6);
                self.note(format!("client {at}: {event} {arg}"));
                if kind < 12 {
                    self.clients[at]
                        .iter()
                        .for_each(|client| client.emit(event, [arg]));
                } else {
                    let [edited, plain] = self.clients[at]
                        .each_ref()
                        .map(|client| client.ask(event, [arg]));
                    same(event, &edited, &plain.map(|text| self.translate(&text)))?;
                }
            }
        }
        self.compare()
    }

    /// Makes clients ask for everything that their script shows: all clients if there are few, or else some of them.
    pub(crate) fn observe(&mut self, random: &mut StdRng) {
        self.note("observe".to_owned());
        let start = random.random_range(0..self.clients.len().max(1));
        for client in self
            .clients
            .iter()
            .cycle()
            .skip(start)
            .take(self.clients.len().min(OBSERVED))
            .flatten()
        {
            client.emit("observe", ());
        }
    }

    /// Checks that the clients and the logs of both hosts have received the same since the last time.
    pub(crate) fn compare(&self) -> Result<(), String> {
        self.compare_by(|_| ())
    }

    /// Compares as [`Twins::compare`] does, after `order`: timers of several clients that are due together fire in any
    /// order.
    fn compare_by(&self, order: impl Fn(&mut Vec<String>)) -> Result<(), String> {
        for (nth, [edited, plain]) in self.clients.iter().enumerate() {
            let (mut heard, answers) = got(edited);
            let (plain_heard, plain_answers) = got(plain);
            let mut plain_heard = self.translate_all(&plain_heard);
            order(&mut heard);
            order(&mut plain_heard);
            same(&format!("client {nth}, events"), &heard, &plain_heard)?;
            same(
                &format!("client {nth}, answers"),
                &answers,
                &self.translate_all(&plain_answers),
            )?;
        }
        same(
            "log",
            &logged(&self.edited)?,
            &self.translate_all(&logged(&self.plain)?),
        )
    }

    /// Checks that no client has received anything since the last time.
    pub(crate) fn silent(&self) -> Result<(), String> {
        for (nth, [edited, _]) in self.clients.iter().enumerate() {
            same(
                &format!("client {nth}, because of the save"),
                &got(edited),
                &(vec![], vec![]),
            )?;
        }
        same("log of the save", &logged(&self.edited)?, &vec![])
    }

    /// Returns everything that is visible on the edited host without a change, for a script with real randomness.
    pub(crate) fn seen(&self, program: &Program) -> Vec<Got> {
        for [client, _] in &self.clients {
            client.emit("observe", ());
            for event in program
                .events
                .iter()
                .filter(|event| !event.starts_with("once"))
            {
                client.emit(event, ["probe"]);
            }
        }
        self.clients.iter().map(|[client, _]| got(client)).collect()
    }

    /// Returns a reference that stays alive as long as any part of the hosts is.
    pub(crate) fn alive(&self) -> Weak<()> {
        self.alive.clone()
    }

    pub(crate) fn note(&mut self, text: String) {
        self.log.push(text);
    }

    /// Returns what has happened so far.
    pub(crate) fn story(&self) -> String {
        self.log.join("; ")
    }

    fn translate_all(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.translate(text)).collect()
    }

    /// Replaces the old tags of a text by the new ones.
    fn translate(&self, text: &str) -> String {
        replace_numbers(text, |number| self.tags.get(&number).copied())
    }
}

fn got(client: &TestClient) -> Got {
    (client.heard(), client.answers())
}

/// Returns what scripts have logged. Fails if a save is rejected.
fn logged(host: &TestHost) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for event in host.events() {
        match event {
            HostEvent::Log { text, .. } => lines.push(text),
            HostEvent::Rejected { diagnostics, .. } => {
                let texts: BTreeSet<_> = diagnostics.iter().map(ToString::to_string).collect();
                return Err(format!("refused: {texts:?}"));
            }
            _ => {}
        }
    }
    Ok(lines)
}

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    edited: &T,
    plain: &T,
) -> Result<(), String> {
    match edited == plain {
        true => Ok(()),
        false => Err(format!(
            "{what}:\n  with the save    {edited:?}\n  without the save {plain:?}"
        )),
    }
}
