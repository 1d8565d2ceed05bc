//! Connection state recovery, packet by packet: clients break at random moments, and hear each event once, in order.

use std::time::Duration;

use patchcord::testing::options;
use serde_json::{Value, json};

use crate::support::server::{Client, Running};

/// Script whose clients send numbered events to everybody, to a room, and to one client.
const MAIN: &str = r#"fn on_connection(socket) {
    socket.on("join", |room| { socket.join(room); true });
    socket.on("to all", |from, n| { io.emit("news", from, n); });
    socket.on("to red", |from, n| { io.to("red").except("blue").emit("news", from, n); });
    socket.on("to one", |from, n, id| { io.to(id).emit("news", from, n); });
    socket.on("to it", |from, n, id| {
        let other = io.socket(id);
        if other == () { io.to(id).emit("news", from, n) } else { other.emit("news", from, n) }
    });
    socket.on("done", || true);
}"#;

/// Number of events of each sender.
const EVENTS: u64 = 300;

/// Pseudo-random numbers, which a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Client that comes back with the pid and the offset that it has, as the official client does.
#[derive(Default)]
struct Returning {
    sid: String,
    pid: Option<String>,
    offset: Option<String>,
    /// Senders and numbers of the events that it has heard.
    heard: Vec<(u64, u64)>,
}

impl Returning {
    /// Connects, and reads until the CONNECT is answered.
    async fn connect(&mut self, running: &Running) -> Client {
        let mut client = running.websocket().await;
        client.next().await.unwrap();
        let mut auth = serde_json::Map::new();
        let known = [("pid", &self.pid), ("offset", &self.offset)];
        for (name, value) in known {
            auth.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        }
        client.send(&format!("40{}", Value::Object(auth))).await;
        loop {
            let packet = client.next().await.expect("the server closed");
            let Some(answer) = packet.strip_prefix("40") else {
                self.hear(&packet);
                continue;
            };
            let answer: Value = serde_json::from_str(answer).unwrap();
            self.sid = answer["sid"].as_str().unwrap().to_owned();
            self.pid = Some(answer["pid"].as_str().unwrap().to_owned());
            return client;
        }
    }

    fn hear(&mut self, packet: &str) {
        let Some(event) = packet.strip_prefix("42") else {
            return;
        };
        let event: Vec<Value> = serde_json::from_str(event).unwrap();
        self.offset = Some(event.last().unwrap().as_str().unwrap().to_owned());
        let number = |nth: usize| event[nth].as_u64().unwrap();
        self.heard.push((number(1), number(2)));
    }
}

/// Sends numbered events of random kinds to a client in the room `red`.
async fn send(mut client: Client, from: u64, to: String, seed: u64) {
    let mut random = Random(seed);
    client.connect("").await;
    for n in 0..EVENTS {
        let event = match random.below(4) {
            0 => json!(["to all", from, n]),
            1 => json!(["to red", from, n]),
            2 => json!(["to one", from, n, to]),
            _ => json!(["to it", from, n, to]),
        };
        client.send(&format!("42{event}")).await;
        if random.below(20) == 0 {
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(1)).await;
        }
    }
    client.send("421[\"done\"]").await;
    client.until(|packet| packet.starts_with("431")).await;
}

async fn breaks_at_random(seed: u64) {
    let mut options = options();
    options.clients.recovery = Some(Duration::from_secs(60));
    let files = [("main.rhai", MAIN)];
    let running = Running::new(&files, |builder| builder.options(options)).await;
    let mut random = Random(seed);
    let mut listener = Returning::default();
    let mut client = listener.connect(&running).await;
    client.send("420[\"join\",\"red\"]").await;
    client.until(|packet| packet.starts_with("430")).await;
    let sid = listener.sid.clone();
    for from in 0..2 {
        let sender = running.websocket().await;
        tokio::spawn(send(sender, from, sid.clone(), seed * 2 + from));
    }
    let mut breaks = 0;
    let mut silent = Vec::new();
    while listener.heard.len() < 2 * EVENTS as usize {
        for _ in 0..random.below(30) {
            if listener.heard.len() < 2 * EVENTS as usize {
                let packet = client.next().await.expect("the server closed");
                listener.hear(&packet);
            }
        }
        // Some breaks are noticed at once, and others only when the client comes back.
        match random.below(2) {
            0 => drop(client),
            _ => silent.push(client),
        }
        client = listener.connect(&running).await;
        assert_eq!(listener.sid, sid, "seed {seed}, after {breaks} breaks");
        breaks += 1;
    }
    for from in 0..2 {
        let heard = listener.heard.iter().filter(|(by, _)| *by == from);
        let heard: Vec<_> = heard.map(|(_, n)| *n).collect();
        let all: Vec<_> = (0..EVENTS).collect();
        assert_eq!(heard, all, "seed {seed}, sender {from}, {breaks} breaks");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_breaks_lose_and_repeat_no_event() {
    for seed in 1..=6 {
        breaks_at_random(seed).await;
    }
}

#[tokio::test]
async fn the_oldest_kept_connections_are_given_up_first() {
    let mut options = options();
    options.clients.recovery = Some(Duration::from_secs(60));
    options.clients.max_connections = Some(3);
    let running = Running::new(&[("main.rhai", MAIN)], |builder| builder.options(options)).await;
    let mut gone = Vec::new();
    for _ in 0..5 {
        let mut returning = Returning::default();
        let mut client = returning.connect(&running).await;
        client.send("1").await;
        while client.next().await.is_some() {}
        gone.push(returning);
    }
    for (nth, mut returning) in gone.into_iter().enumerate() {
        let before = returning.sid.clone();
        let mut client = returning.connect(&running).await;
        assert_eq!(returning.sid == before, nth >= 2, "client {nth}");
        client.send("41").await;
        client.send("1").await;
        while client.next().await.is_some() {}
    }
}
