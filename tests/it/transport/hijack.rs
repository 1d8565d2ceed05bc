//! The public `socket.id`, which scripts show to everybody, is of no use to an attacker who wants to act as its client.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::server::{Client, Running, TEST_TIMEOUT, sid};

const UNKNOWN: &str = "{\"code\":1,\"message\":\"Session ID unknown\"}";
const POLL: &str = "/socket.io/?EIO=4&transport=polling";

/// Script that shows the id and the handshake of each client, sends what clients say to all, and asks each client for
/// money.
const BANK: &str = r#"
    fn on_connection(socket) {
        socket.emit("you", socket.id, socket.handshake);
        socket.emit("pay?", |paid| { io.emit("paid", paid); });
        socket.on("say", |text| { io.emit("said", socket.id, text); });
        socket.on("disconnect", |reason| { io.emit("gone", reason); });
    }"#;

/// Client that polls.
struct Poller<'a> {
    running: &'a Running,
    /// Secret id of its session.
    secret: String,
    heard: String,
}

impl<'a> Poller<'a> {
    async fn open(running: &'a Running) -> Self {
        let opened = running.get(POLL).await;
        let mut poller = Self {
            running,
            secret: sid(&opened).to_owned(),
            heard: String::new(),
        };
        poller.post("40").await;
        poller.until("pay?").await;
        poller
    }

    fn path(&self) -> String {
        format!("{POLL}&sid={}", self.secret)
    }

    async fn post(&self, packets: &str) {
        let posted = self.running.post(&self.path(), packets).await;
        assert!(posted.ends_with("ok"), "{posted}");
    }

    /// Polls until the client has received `wanted`.
    async fn until(&mut self, wanted: &str) {
        let heard = timeout(TEST_TIMEOUT, self.poll_until(wanted)).await;
        assert!(heard.is_ok(), "no `{wanted}` in {}", self.heard);
    }

    async fn poll_until(&mut self, wanted: &str) {
        while !self.heard.contains(wanted) {
            let polled = self.running.get(&self.path()).await;
            assert!(polled.starts_with("HTTP/1.1 200"), "{polled}");
            // The client answers pings as the official client does.
            if polled.ends_with('2') {
                self.post("3").await;
            }
            self.heard += &polled;
        }
    }

    /// Returns the packet that answers the server's question with `paid`.
    fn answer(&self, paid: bool) -> String {
        let before = self.heard.split("[\"pay?\"]").next().unwrap();
        let id = before.rsplit("42").next().unwrap();
        format!("43{id}[{paid}]")
    }

    /// Returns the id that scripts see.
    fn id(&self) -> String {
        public_id(&self.heard)
    }
}

fn public_id(heard: &str) -> String {
    let rest = heard.split("[\"you\",\"").nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Tries everything that an attacker who knows an id can try. Returns each attempt with the answer.
async fn attacks(running: &Running, id: &str, paid: &str) -> Vec<(String, String)> {
    let mut answers = Vec::new();
    let path = format!("{POLL}&sid={id}");
    let encoded = format!("{POLL}&%73id={id}");
    let twice = format!("{POLL}&sid={id}&sid={id}");
    for path in [&path, &encoded, &twice] {
        for packets in ["42[\"say\",\"I owe Eve 100\"]", paid, "1", "41", "rubbish"] {
            let answer = running.post(path, packets).await;
            answers.push((format!("POST {packets} to {path}"), answer));
        }
        answers.push((format!("GET {path}"), running.get(path).await));
        for method in ["DELETE", "PUT", "OPTIONS"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n");
            answers.push((format!("{method} {path}"), running.http(&request).await));
        }
        let socket = path.replace("polling", "websocket");
        let request = format!(
            "GET {socket} HTTP/1.1\r\nHost: {{host}}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        answers.push((
            format!("a WebSocket at {socket}"),
            running.http(&request).await,
        ));
    }
    answers
}

fn all_are_refused(answers: &[(String, String)]) {
    for (attack, answer) in answers {
        assert!(answer.starts_with("HTTP/1.1 400"), "{attack}: {answer}");
        assert!(answer.ends_with(UNKNOWN), "{attack}: {answer}");
    }
}

#[tokio::test]
async fn the_id_of_a_client_that_polls_lets_nobody_act_as_it() {
    let running = Running::new(&[("main.rhai", BANK)], |b| b).await;
    let mut ada = Poller::open(&running).await;
    let (id, paid, unpaid) = (ada.id(), ada.answer(true), ada.answer(false));
    assert_ne!(id, ada.secret);
    ada.heard.clear();
    all_are_refused(&attacks(&running, &id, &paid).await);
    // No attack had an effect, and Ada continues.
    ada.post("42[\"say\",\"I am Ada\"]").await;
    ada.until("I am Ada").await;
    for stolen in ["Eve", "paid", "gone"] {
        assert!(!ada.heard.contains(stolen), "{}", ada.heard);
    }
    ada.post(&unpaid).await;
    ada.until("[\"paid\",false]").await;
}

#[tokio::test]
async fn what_waits_for_a_client_that_polls_is_given_to_nobody_else() {
    let running = Running::new(&[("main.rhai", BANK)], |b| b).await;
    let mut ada = Poller::open(&running).await;
    let id = ada.id();
    ada.heard.clear();
    ada.post("42[\"say\",\"for my eyes\"]").await;
    let stolen = running.get(&format!("{POLL}&sid={id}")).await;
    assert!(stolen.ends_with(UNKNOWN), "{stolen}");
    ada.until("for my eyes").await;
    // The attacks also fail while a poll of Ada's waits: packets for Ada answer that poll, and not the attack.
    let path = ada.path();
    let waiting = running.get(&path);
    let attack = async {
        let stolen = running.get(&format!("{POLL}&sid={id}")).await;
        assert!(stolen.ends_with(UNKNOWN), "{stolen}");
        ada.post("42[\"say\",\"again\"]").await;
    };
    let (waited, ()) = tokio::join!(waiting, attack);
    assert!(waited.starts_with("HTTP/1.1 200"), "{waited}");
}

#[tokio::test]
async fn the_id_of_a_client_with_a_websocket_lets_nobody_act_as_it() {
    let running = Running::new(&[("main.rhai", BANK)], |b| b).await;
    let address = running.address;
    let mut ada = Client::at(&format!(
        "ws://{address}/socket.io/?EIO=4&transport=websocket"
    ))
    .await;
    let opened = ada.next().await.unwrap();
    ada.connect("").await;
    let you = ada.until(|packet| packet.contains("\"you\"")).await;
    let id = public_id(&you);
    assert_ne!(sid(&opened), id);
    all_are_refused(&attacks(&running, &id, "430[true]").await);
    // The secret id does not work either: its session does not poll.
    let answer = running.get(&format!("{POLL}&sid={}", sid(&opened))).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    ada.send("42[\"say\",\"I am Ada\"]").await;
    let heard = ada.until(|packet| packet.contains("said")).await;
    assert!(heard.contains("I am Ada"), "{heard}");
}

#[tokio::test]
async fn scripts_do_not_see_the_secret_of_a_session() {
    let running = Running::new(&[("main.rhai", BANK)], |b| b).await;
    let ada = Poller::open(&running).await;
    assert!(ada.heard.contains("\"query\""), "{}", ada.heard);
    assert!(!ada.heard.contains(&ada.secret), "{}", ada.heard);
}

#[tokio::test]
async fn a_request_with_an_unknown_id_is_answered_before_its_body() {
    let running = Running::new(&[("main.rhai", BANK)], |b| b).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "POST {POLL}&sid=nobody HTTP/1.1\r\nHost: {}\r\nContent-Length: 900000\r\n\r\n",
        running.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2048];
    let read = timeout(TEST_TIMEOUT, stream.read(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer[..read.unwrap().unwrap()]).into_owned();
    assert!(answer.ends_with(UNKNOWN), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_cannot_be_taken_over_while_it_is_under_way() {
    let running = Running::new(&[("main.rhai", BANK)], |b| b).await;
    let address = running.address;
    for _ in 0..20 {
        let ada = Poller::open(&running).await;
        let (id, paid) = (ada.id(), ada.answer(true));
        let upgrade = async {
            let secret = &ada.secret;
            let mut socket = Client::at(&format!(
                "ws://{address}/socket.io/?EIO=4&transport=websocket&sid={secret}"
            ))
            .await;
            socket.send("2probe").await;
            socket.until(|packet| packet == "3probe").await;
            socket.send("5").await;
            socket.send("42[\"say\",\"I am Ada\"]").await;
            let heard = socket.until(|packet| packet.contains("I am Ada")).await;
            assert!(heard.contains(&id), "{heard}");
        };
        let (answers, ()) = tokio::join!(attacks(&running, &id, &paid), upgrade);
        all_are_refused(&answers);
    }
}
