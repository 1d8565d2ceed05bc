//! A process that is killed.

use std::{env, time::Duration};

use crate::support::{
    program::{Place, Serving},
    server::Client,
};

const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("add", |ack| {
        io.data.incr("a", 1);
        io.data.push("list", io.data.a, 10_000);
        io.data.incr("b", 1);
        io.data.flush(|err| if err == () { ack.call(true); });
    });
    socket.on("read", || [io.data.get("a", 0), io.data.get("b", 0), io.data.get("list", []).len()]);
}"#;

/// Number of kills; `CRASHES=200` tries more of them.
fn crashes() -> u64 {
    let crashes = env::var("CRASHES").ok();
    crashes.map_or(8, |crashes| crashes.parse().unwrap())
}

async fn client(serving: &Serving) -> Client {
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        serving.address
    );
    let mut client = Client::at(&url).await;
    client.connect("").await;
    client
}

/// Adds until the server is gone. Returns the number of acks.
async fn add(mut client: Client) -> u64 {
    let mut acknowledged = 0;
    loop {
        if client.try_send("421[\"add\"]").await.is_err() {
            return acknowledged;
        }
        match client.try_until(|packet| packet.starts_with("431")).await {
            Some(_) => acknowledged += 1,
            None => return acknowledged,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_after_flush_is_there_and_no_call_is_torn() {
    let place = Place::new(&[("scripts/main.rhai", SCRIPT)]);
    let mut acknowledged = 0;
    for crash in 0..crashes() {
        let mut serving = place.serve(&["serve", "--port", "0", "--data", "state.redb"], &[]);
        let mut reader = client(&serving).await;
        reader.send("421[\"read\"]").await;
        let answer = reader.until(|packet| packet.starts_with("431")).await;
        let [a, b, list]: [u64; 3] =
            serde_json::from_str::<[[u64; 3]; 1]>(&answer[3..]).unwrap()[0];
        assert_eq!((a, b), (b, list), "a call is torn after {crash} crashes");
        assert!(
            a >= acknowledged,
            "{a} of {acknowledged} after {crash} crashes"
        );
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(tokio::spawn(add(client(&serving).await)));
        }
        // The kill comes at another moment of the work each time.
        let moment = Duration::from_micros(20_000 + 7_919 * crash % 50_000);
        tokio::time::sleep_until(tokio::time::Instant::now() + moment).await;
        serving.kill();
        acknowledged = a;
        for task in tasks {
            acknowledged += task.await.unwrap();
        }
    }
    assert!(acknowledged > 0);
}
