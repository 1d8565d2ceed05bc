//! The example of a notification feed, as its README says: the program, a backend, and clients.

use std::{collections::BTreeMap, env, fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use crate::support::{
    database::postgres,
    program::{Place, Serving},
    server::{Client, http},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/feed");

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

/// Returns a copy of the example.
fn place() -> Place {
    let names = [
        "patchcord.toml",
        "keys.toml",
        "scripts/main.rhai",
        "scripts/main_test.rhai",
    ];
    let texts: BTreeMap<_, _> = names.iter().map(|name| (*name, read(name))).collect();
    let files: Vec<_> = texts
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let place = Place::new(&files);
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(place.path().join("keys.toml"), mode).unwrap();
    place
}

/// The example, while it serves.
struct Feed {
    serving: Serving,
    admin: std::net::SocketAddr,
    place: Place,
}

impl Feed {
    fn serve(place: Place, environment: &[(&str, &str)]) -> Self {
        // A port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = free.local_addr().unwrap();
        drop(free);
        let address = admin.to_string();
        let environment = [environment, &[("PATCHCORD_ADMIN_LISTEN", &address)]].concat();
        let serving = place.serve(
            &["scripts", "--port", "0", "--control", "none"],
            &environment,
        );
        Self {
            serving,
            admin,
            place,
        }
    }

    /// Makes a token, and connects with it.
    async fn connect(&self, user: &str) -> Client {
        let line = format!(
            "jwt::sign(#{{ sub: \"{user}\", aud: \"feed\" }}, \"choose a secret of your own\")"
        );
        let output = self.place.run(&["repl", "-e", &line], &[]);
        let token = String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .trim_matches('"')
            .to_owned();
        let address = &self.serving.address;
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let mut client = Client::at(&url).await;
        client
            .send(&format!("40{}", json!({ "token": token })))
            .await;
        client.until(|packet| packet.starts_with("40")).await;
        client
    }

    /// Notifies a user, as a backend does, and returns the id of the notification.
    async fn notify(&self, user: &str, text: &str) -> String {
        let call =
            json!({ "namespace": "/", "name": "notify", "args": [{ "user": user, "text": text }] });
        let body = call.to_string();
        let request = format!(
            "POST /api/call HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\nAuthorization: Bearer \
             choose-a-key-of-your-own\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = http(self.admin, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        let answer: Value = serde_json::from_str(body).unwrap();
        answer["answer"]["id"].as_str().unwrap().to_owned()
    }
}

/// Waits for an event, and returns its arguments.
async fn event(client: &mut Client, name: &str) -> Value {
    let beginning = format!("42[\"{name}\"");
    let packet = client.until(|packet| packet.starts_with(&beginning)).await;
    let mut args: Value = serde_json::from_str(&packet[2..]).unwrap();
    args.as_array_mut().unwrap().remove(0);
    args
}

/// Does what users and a backend do. Restarts the server in the middle, because the feed must survive that.
async fn try_out(environment: &[(&str, &str)]) {
    // A database may outlive the test.
    let user = format!("user {}", std::process::id());
    let feed = Feed::serve(place(), environment);
    let mut phone = feed.connect(&user).await;
    assert_eq!(event(&mut phone, "feed:history").await, json!([[]]));
    let first = feed.notify(&user, "Your order has been shipped").await;
    let new = event(&mut phone, "feed:new").await;
    assert_eq!(
        (&new[0]["id"], &new[0]["is_read"]),
        (&json!(first), &json!(false))
    );
    let second = feed
        .notify(&user, "It's here; drop table notifications; --")
        .await;
    event(&mut phone, "feed:new").await;
    phone
        .send(&format!("421{}", json!(["feed:read", [first]])))
        .await;
    assert_eq!(
        phone.until(|packet| packet.starts_with("431")).await,
        "431[{\"read\":1}]"
    );
    let Feed { serving, place, .. } = feed;
    drop(serving);
    let feed = Feed::serve(place, environment);
    let mut laptop = feed.connect(&user).await;
    let history = event(&mut laptop, "feed:history").await;
    let seen: Vec<_> = history[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| (&note["id"], &note["is_read"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!(first), &json!(true)),
            (&json!(second), &json!(false))
        ]
    );
    let mut other = feed.connect(&format!("{user}, another")).await;
    assert_eq!(event(&mut other, "feed:history").await, json!([[]]));
}

#[tokio::test]
async fn the_feed_runs_by_one_command() {
    try_out(&[]).await;
}

#[tokio::test]
async fn the_feed_runs_with_postgresql() {
    let Some(url) = postgres() else {
        return;
    };
    try_out(&[("PATCHCORD_DB", &format!("main={url}"))]).await;
}

#[test]
fn the_tests_of_the_feed_pass_and_check_finds_nothing() {
    let place = place();
    for arguments in [["check", "--strict"], ["test", "scripts"]] {
        let output = place.run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
