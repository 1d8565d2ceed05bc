//! `patchcord emit` and the keys of the HTTP API.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use tokio::runtime::Runtime;

#[cfg(feature = "http")]
use crate::support::tls::{Authority, Front};
use crate::support::{
    program::{Place, Serving},
    server::{Client, TEST_TIMEOUT},
};

const KEY: &str = "a-key-that-nobody-guesses";
const KEYS: &str = "[[key]]\nname = \"test\"\nkey = \"a-key-that-nobody-guesses\"\n";

/// Returns a folder with a file of keys that only its owner can read.
fn place(keys: &str) -> Place {
    let place = Place::new(&[("keys.toml", keys)]);
    close(&place);
    place
}

fn close(place: &Place) {
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(place.path().join("keys.toml"), mode).unwrap();
}

/// Serves with the API at a free port, and returns the address of the API.
fn serve(place: &Place) -> (Serving, String) {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    let serving = place.serve(
        &[
            "--port",
            "0",
            "--admin-listen",
            &admin,
            "--api-keys",
            "keys.toml",
        ],
        &[],
    );
    (serving, format!("http://{admin}"))
}

/// Runs `patchcord emit`, and returns its exit code and output.
fn emit(place: &Place, url: &str, key: &str, arguments: &[&str]) -> (i32, String, String) {
    let arguments = [&["emit", "--url", url], arguments].concat();
    let output = place.run(&arguments, &[("PATCHCORD_API_KEY", key)]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!out.contains(KEY) && !err.contains(KEY), "{out}{err}");
    (output.status.code().unwrap(), out, err)
}

#[test]
fn emit_sends_an_event_and_says_to_how_many() {
    let place = place(KEYS);
    let (serving, url) = serve(&place);
    let runtime = Runtime::new().unwrap();
    let mut client = runtime.block_on(async {
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket",
            serving.address
        );
        let mut client = Client::at(&url).await;
        client.next().await;
        client.connect("/").await;
        client
    });
    let args = ["news", "hi", "3", "{\"a\": [true]}", "\"3\"", "-1.5"];
    assert_eq!(
        emit(&place, &url, KEY, &args),
        (0, "sent to 1 socket in /\n".to_owned(), String::new())
    );
    let heard = runtime.block_on(async { tokio::time::timeout(TEST_TIMEOUT, client.next()).await });
    assert_eq!(
        heard.unwrap().unwrap(),
        r#"42["news","hi",3,{"a":[true]},"3",-1.5]"#
    );
    let nobody = emit(
        &place,
        &url,
        KEY,
        &["--to", "a", "--to", "b", "--except", "c", "news"],
    );
    assert_eq!((nobody.0, &*nobody.1), (0, "sent to 0 sockets in /\n"));
    let json = emit(&place, &url, KEY, &["--format", "json", "news"]);
    assert_eq!((json.0, &*json.1), (0, "{\n  \"count\": 1\n}\n"));
    place.write("emit.key", &format!("{KEY}\n"));
    assert_eq!(
        emit(&place, &url, "wrong", &["--key-file", "emit.key", "news"]).0,
        0
    );
}

#[test]
#[cfg(feature = "http")]
fn emit_encrypts_with_a_server_that_proves_its_name() {
    let place = place(KEYS);
    let (_serving, url) = serve(&place);
    let api: std::net::SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let (authority, other) = (Authority::new(), Authority::new());
    let front = Front::new(&authority.identity(&["localhost"]), api);
    let emit = |url: &str, trusted: &Authority| {
        let file = trusted.file();
        let environment = [
            ("PATCHCORD_API_KEY", KEY),
            ("SSL_CERT_FILE", file.to_str().unwrap()),
        ];
        let output = place.run(&["emit", "--url", url, "news"], &environment);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    };
    let url = front.url("localhost", "");
    let sent = "sent to 0 sockets in /\n".to_owned();
    assert_eq!(emit(&url, &authority), (0, sent));
    let error = |url: &str, problem: &str| {
        let address = url.trim_start_matches("https://");
        let text = "error: no encrypted connection to";
        (
            2,
            format!("{text} `{address}`: the certificate of the server {problem}\n"),
        )
    };
    assert_eq!(
        emit(&url, &other),
        error(&url, "is from an unknown authority")
    );
    let by_address = front.url("127.0.0.1", "");
    assert_eq!(
        emit(&by_address, &authority),
        error(&by_address, "is for another host name")
    );
    let expired = Front::new(&authority.expired(&["localhost"]), api);
    let url = expired.url("localhost", "");
    assert_eq!(emit(&url, &authority), error(&url, "has expired"));
    // The API itself, which does not speak TLS.
    let direct = format!("https://{api}");
    let (code, text) = emit(&direct, &authority);
    assert_eq!(code, 2);
    assert!(text.contains("the server does not speak TLS"), "{text}");
}

#[test]
fn emit_reports_what_the_server_refuses() {
    let place = place(KEYS);
    let (serving, url) = serve(&place);
    let unknown = emit(&place, &url, "another-key-that-is-wrong", &["news"]);
    assert_eq!(unknown.0, 1);
    assert!(
        unknown.2.starts_with(
            "error: the header `Authorization: Bearer KEY` is missing, or the key is unknown"
        ),
        "{}",
        unknown.2
    );
    let nowhere = emit(&place, &url, KEY, &["-n", "/nowhere", "news"]);
    assert_eq!(
        (nowhere.0, &*nowhere.2),
        (1, "error: no script serves the namespace `/nowhere`\n")
    );
    let public = format!("http://{}", serving.address);
    let (code, _, error) = emit(&place, &public, KEY, &["news"]);
    assert_eq!(code, 1);
    assert!(error.contains("has no HTTP API"), "{error}");
}

#[test]
fn emit_that_cannot_run_says_why() {
    let place = Place::new(&[]);
    let no_key = place.run(&["emit", "news"], &[]);
    assert_eq!(no_key.status.code(), Some(2));
    let error = String::from_utf8(no_key.stderr).unwrap();
    assert_eq!(
        error,
        "error: there is no API key: `--key-file FILE` or the variable `PATCHCORD_API_KEY` gives one\n"
    );
    let no_server = match cfg!(feature = "http") {
        true => "no server answers at `127.0.0.1:1`",
        false => "this build has no TLS: build it with the feature `http`",
    };
    for (url, part) in [
        ("http://127.0.0.1:1", "no server answers at `127.0.0.1:1`"),
        ("https://127.0.0.1:1", no_server),
        ("ftp://127.0.0.1:1", "is not like `http://127.0.0.1:9100`"),
        ("127.0.0.1:9100", "is not like `http://127.0.0.1:9100`"),
        (
            "http://127.0.0.1:1/api",
            "is not like `http://127.0.0.1:9100`",
        ),
    ] {
        let (code, _, error) = emit(&place, url, KEY, &["news"]);
        assert_eq!(code, 2, "{url}");
        assert!(error.contains(part), "{url}: {error}");
    }
    assert_eq!(emit(&place, "http://127.0.0.1:1", "a\nb", &["news"]).0, 2);
}

#[test]
fn keys_that_cannot_be_used_are_named_with_their_line() {
    let table = |more: &str| format!("# keys\n{KEYS}{more}\n");
    for (keys, error) in [
        ("", "keys.toml: there is no key"),
        ("[[key]\n", "keys.toml:1: not TOML"),
        (
            "\n[[keys]]\nname = \"a\"\n",
            "keys.toml:2: unknown key `keys`; each API key is a table `[[key]]`",
        ),
        (
            "[key]\nname = \"a\"\n",
            "keys.toml:1: each API key is a table `[[key]]`",
        ),
        (
            "[[key]]\nkey = \"a-key-that-nobody-guesses\"\n",
            "keys.toml:1: a key has no `name`",
        ),
        (
            "[[key]]\nname = \"a\"\n",
            "keys.toml:2: the key `a` has not exactly one of `key` and `sha256`",
        ),
        (
            "[[key]]\nname = \"a\"\nkey = \"short\"\n",
            "keys.toml:3: the key `a` is shorter than 16 bytes: `openssl rand -hex 32` makes a good one",
        ),
        (
            "[[key]]\nname = \"a\"\nsha256 = \"abc\"\n",
            "keys.toml:3: `sha256` of the key `a` is not 64 hexadecimal digits",
        ),
        (
            &table("namespace = [\"/\"]"),
            "keys.toml:5: unknown field `namespace`; there are `name`, `key`, `sha256`, `namespaces`, `operations`, `max-requests-per-second`",
        ),
        (
            &table("namespaces = [\"/\", \"chat\"]"),
            "keys.toml:5: the namespace `chat` does not begin with `/`",
        ),
        (
            &table("namespaces = []"),
            "keys.toml:5: `namespaces` is not a list of strings with at least one",
        ),
        (
            &table("operations = [\"shout\"]"),
            "keys.toml:5: there is no operation `shout`; there are `emit`, `join`, `leave`, `disconnect`, `sockets`, `rooms`, `count`, `call`",
        ),
        (
            &table("max-requests-per-second = 0"),
            "keys.toml:5: `max-requests-per-second` is not a whole number, 1 or more",
        ),
        (
            &format!("{KEYS}{KEYS}"),
            "keys.toml: two keys have the name `test`, or are the same",
        ),
    ] {
        let place = place(keys);
        let output = place.run(
            &[
                "--port",
                "0",
                "--admin-listen",
                "127.0.0.1:0",
                "--api-keys",
                "keys.toml",
            ],
            &[],
        );
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), text.trim_end()),
            (Some(2), &*format!("error: {error}"))
        );
    }
    let place = place(KEYS);
    let alone = place.run(&["--port", "0", "--api-keys", "keys.toml"], &[]);
    assert_eq!(alone.status.code(), Some(2));
    let error = String::from_utf8(alone.stderr).unwrap();
    assert!(
        error.starts_with("error: `--api-keys` needs `--admin-listen`"),
        "{error}"
    );
}

#[test]
fn a_hangup_reads_the_keys_again_and_a_broken_file_changes_nothing() {
    let place = place(KEYS);
    let (serving, url) = serve(&place);
    assert_eq!(serving.line(), "main.rhai: version 1 serves /");
    let hangup = || {
        let id = serving.child.0.id().to_string();
        let kill = Command::new("kill").args(["-HUP", &id]).status();
        assert!(kill.unwrap().success());
    };
    place.write("keys.toml", "[[key]]\n");
    hangup();
    assert_eq!(
        serving.line(),
        "warning: the API keys stay as they were: keys.toml:1: a key has no `name`"
    );
    assert_eq!(emit(&place, &url, KEY, &["news"]).0, 0);
    let new = "another-key-that-nobody-knows";
    place.write("keys.toml", &KEYS.replace(KEY, new));
    hangup();
    // The program announces nothing about good keys, but it reads them before the scripts.
    place.write("scripts/main.rhai", "fn on_connection(socket) { 2; }");
    hangup();
    while !serving.line().starts_with("main.rhai: version 2") {}
    assert_eq!(emit(&place, &url, new, &["news"]).0, 0);
    assert_eq!(emit(&place, &url, KEY, &["news"]).0, 1);
}

#[test]
fn keys_that_others_can_read_are_a_warning_and_are_never_served() {
    let place = Place::new(&[("keys.toml", KEYS)]);
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(place.path().join("keys.toml"), mode).unwrap();
    let serving = place.serve(
        &[
            "--port",
            "0",
            "--admin-listen",
            "127.0.0.1:0",
            "--api-keys",
            "keys.toml",
            "--public",
            ".",
        ],
        &[],
    );
    assert_eq!(
        serving.line(),
        "warning: other users of this machine can read or change the API keys in `keys.toml`: `chmod 600` helps"
    );
    assert!(serving.get("/keys.toml", "").starts_with("HTTP/1.1 404"));
}
