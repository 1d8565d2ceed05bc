//! Random connects, tabs, disconnects, calls of `present` and `absent`, and times, against a simple model of who is
//! present and which hooks run.
//!
//! A run that fails prints its seed. `PRESENCE_SEED=7 cargo test presence_model` runs that one again, and
//! `PRESENCE_RUNS=2000` makes more of them.

use std::{collections::BTreeMap, env, time::Duration};

use patchcord::testing::{TestClient, TestHost, options};
use rand::{RngExt, SeedableRng, rngs::StdRng};

const SCRIPT: &str = "
    fn on_connection(socket) {
        socket.on(\"present\", |key, meta| { socket.present(key, meta); });
        socket.on(\"absent\", |key| { socket.absent(key); });
        socket.on(\"state\", || io.present().map(|key| [key, io.present(key)]));
    }
    fn on_present(key, meta) { print(`+ ${key} ${meta}`); }
    fn on_absent(key, meta) { print(`- ${key} ${meta}`); }";

const KEYS: [&str; 3] = ["ada", "bob", "eve"];
const STEPS: usize = 60;

/// Key as the model sees it.
#[derive(Default)]
struct Key {
    /// Sockets that hold it, by the order of connecting, with their metas.
    sockets: BTreeMap<usize, u32>,
    /// End of its grace time, its order among those of the same time, and its last meta.
    grace: Option<(u64, usize, u32)>,
}

struct Run {
    random: StdRng,
    host: TestHost,
    watcher: TestClient,
    /// Clients that are connected, by the order of connecting.
    clients: BTreeMap<usize, TestClient>,
    keys: BTreeMap<&'static str, Key>,
    grace: u64,
    now: u64,
    next: usize,
    /// Calls of the hooks that are expected since the last look.
    hooks: Vec<String>,
    /// Steps so far, for the message of a failure.
    done: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let grace = [0, 1, 300, 5_000][random.random_range(0..4)];
        let mut options = options();
        options.clients.presence_grace = Duration::from_millis(grace);
        let host = TestHost::build([("main.rhai", SCRIPT)], |builder| builder.options(options));
        Self {
            watcher: host.connect("/").unwrap(),
            host,
            random,
            clients: BTreeMap::new(),
            keys: KEYS.iter().map(|key| (*key, Key::default())).collect(),
            grace,
            now: 0,
            next: 0,
            hooks: Vec::new(),
            done: Vec::new(),
        }
    }

    fn step(&mut self) {
        let key = KEYS[self.random.random_range(0..KEYS.len())];
        let clients: Vec<_> = self.clients.keys().copied().collect();
        let client = match clients.len() {
            0 => None,
            len => Some(clients[self.random.random_range(0..len)]),
        };
        match (self.random.random_range(0..10), client) {
            (0..2, _) | (_, None) => {
                let client = self.host.connect("/").unwrap();
                self.clients.insert(self.next, client);
                self.done.push(format!("{} connects", self.next));
                self.next += 1;
            }
            (2..4, Some(client)) => self.disconnect(client),
            (4..7, Some(client)) => self.present(client, key),
            (7, Some(client)) => self.absent(client, key),
            _ => {
                let most = [2, 400, 3_000][self.random.random_range(0..3)];
                let time = self.random.random_range(0..most);
                self.advance(time);
            }
        }
    }

    fn present(&mut self, client: usize, key: &'static str) {
        let meta = self.random.random_range(0..100);
        self.done.push(format!("{client} present {key} {meta}"));
        self.clients[&client].emit("present", (key, meta));
        let state = self.keys.get_mut(key).unwrap();
        if state.sockets.is_empty() && state.grace.take().is_none() {
            self.hooks.push(format!("+ {key} {meta}"));
        }
        state.sockets.insert(client, meta);
    }

    fn absent(&mut self, client: usize, key: &'static str) {
        self.done.push(format!("{client} absent {key}"));
        self.clients[&client].emit("absent", (key,));
        let state = self.keys.get_mut(key).unwrap();
        if let Some(meta) = state.sockets.remove(&client)
            && state.sockets.is_empty()
        {
            self.hooks.push(format!("- {key} {meta}"));
        }
    }

    fn disconnect(&mut self, client: usize) {
        self.done.push(format!("{client} disconnects"));
        self.clients.remove(&client).unwrap().disconnect();
        for (key, state) in &mut self.keys {
            if let Some(meta) = state.sockets.remove(&client)
                && state.sockets.is_empty()
            {
                match self.grace {
                    0 => self.hooks.push(format!("- {key} {meta}")),
                    grace => {
                        self.next += 1;
                        state.grace = Some((self.now + grace, self.next, meta));
                    }
                }
            }
        }
    }

    fn advance(&mut self, time: u64) {
        self.done.push(format!("{time} ms"));
        self.host.advance(time);
        self.now += time;
        let mut ended = Vec::new();
        for (key, state) in &mut self.keys {
            if let Some((end, order, meta)) = state.grace.filter(|(end, ..)| *end <= self.now) {
                ended.push((end, order, format!("- {key} {meta}")));
                state.grace = None;
            }
        }
        ended.sort();
        self.hooks.extend(ended.into_iter().map(|(.., hook)| hook));
    }

    /// Compares what the host knows, and which hooks it has called, with the model.
    fn check(&mut self, seed: u64) {
        let mut state = Vec::new();
        for (key, of) in &self.keys {
            let metas: Vec<_> = of
                .sockets
                .values()
                .chain(of.grace.iter().map(|(.., m)| m))
                .collect();
            if !metas.is_empty() {
                let metas: Vec<_> = metas.iter().map(ToString::to_string).collect();
                state.push(format!("[\"{key}\",[{}]]", metas.join(",")));
            }
        }
        let seen = self.watcher.ask("state", ());
        let about = format!(
            "PRESENCE_SEED={seed}, grace {}:\n{}",
            self.grace,
            self.done.join("\n")
        );
        assert_eq!(seen, Some(format!("[[{}]]", state.join(","))), "{about}");
        assert_eq!(self.host.log(), std::mem::take(&mut self.hooks), "{about}");
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn presence_is_what_the_model_says() {
    let seeds = match number("PRESENCE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PRESENCE_RUNS").unwrap_or(40),
    };
    for seed in seeds {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
            run.check(seed);
        }
    }
}
