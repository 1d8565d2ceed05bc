//! Flags, environment and file.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use serde_json::Value;

use crate::support::{
    program::{Place, Serving},
    server::Client,
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/patchcord.toml");
/// Flags that are neither keys of the file nor variables.
const FLAGS_ONLY: [&str; 3] = ["help", "no-watch", "version"];

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let place = Place::new(&[(
        "p.toml",
        "port = 0\nping-interval = '11s'\nping-timeout = '12s'\nmax-payload = '13kB'",
    )]);
    let serving = place.serve(
        &["serve", "--max-payload", "33kB", "scripts"],
        &[
            ("PATCHCORD_CONFIG", "p.toml"),
            ("PATCHCORD_PING_TIMEOUT", "22s"),
            ("PATCHCORD_MAX_PAYLOAD", "23kB"),
        ],
    );
    let handshake = serving.handshake();
    assert_eq!(handshake["pingInterval"], 11_000, "from the file");
    assert_eq!(handshake["pingTimeout"], 22_000, "from the environment");
    assert_eq!(handshake["maxPayload"], 33_000, "from a flag");
}

#[test]
fn a_file_works_without_a_subcommand_and_its_switches_can_be_turned_off_again() {
    let place = Place::new(&[
        ("p.toml", "port = 0\nstrict = true\npath = '/live'"),
        ("scripts/broken.rhai", "fn"),
    ]);
    let strict = place.run(&["--config", "p.toml"], &[]);
    assert_eq!(strict.status.code(), Some(1));
    let serving = place.serve(&["--config", "p.toml", "--strict=false"], &[]);
    let answer = serving.get("/live/?EIO=4&transport=polling", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Returns the error message of the program, and checks that it is one line.
fn refused(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = place.run(arguments, environment);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    text.trim_end().strip_prefix("error: ").unwrap().to_owned()
}

#[test]
fn wrong_flags_and_variables_are_told_in_one_line() {
    let place = Place::new(&[]);
    for (arguments, expected) in [
        (
            &["--prot", "1"][..],
            "unexpected argument '--prot' found; a similar argument exists: '--port'",
        ),
        (
            &["serve", "--frobnicate"],
            "unexpected argument '--frobnicate' found",
        ),
        (&["serve", "a", "b"], "unexpected argument 'b' found"),
        (
            &["--port"],
            "a value is required for '--port <PORT>' but none was supplied",
        ),
        (
            &["--port", "x"],
            "invalid value 'x' for '--port <PORT>': expected a number from 0 to 65535",
        ),
        (&["--port", "65536"], "expected a number from 0 to 65535"),
        (
            &["--ping-interval", "25"],
            "expected a number and a unit, such as `300ms` or `25s`",
        ),
        (&["--ping-timeout", "0s"], "it must be greater than zero"),
        (
            &["--max-payload", "1.5MB"],
            "expected whole bytes with or without a unit, such as `1MB`",
        ),
        (
            &["--max-connections", "0"],
            "expected a whole number, 1 or more, or `none`",
        ),
        (
            &["--max-operations=-1"],
            "expected a whole number, 1 or more",
        ),
        (
            &["--max-call-levels", "1000"],
            "expected a whole number from 1 to 64",
        ),
        (
            &["--trust-proxy=x"],
            "expected how many proxies stand in front of the server",
        ),
        (
            &["--transports", "pigeon"],
            "invalid value 'pigeon' for '--transports <LIST>' [possible values: polling, websocket]",
        ),
        (&["--transports="], "--transports"),
        (&["--log-format", "xml"], "[possible values: text, json]"),
        (
            &["--path", "socket.io"],
            "expected a path such as `/socket.io`",
        ),
        (
            &["--origin", "example.com"],
            "expected a scheme, a host and perhaps a port, such as `https://example.com`, or `*`",
        ),
        (
            &["--origin", "file://"],
            "invalid value 'file://' for '--origin <URL>': a page of `file://` has no origin; \
             a page that is served over HTTP has one",
        ),
        (
            &["--allowed-host", "https://a.com"],
            "expected a name without a scheme and a port, such as `example.com` or `*.example.com`, or `*`",
        ),
        (
            &["--admin-listen", "9100"],
            "expected an address and a port, such as `127.0.0.1:9100`",
        ),
        (&["--strict=perhaps"], "value was not a boolean"),
        (
            &["--config", "none.toml"],
            "cannot read `none.toml`: No such file or directory",
        ),
    ] {
        let line = refused(&place, arguments, &[]);
        assert!(line.contains(expected), "{arguments:?}: {line}");
    }
    for (variable, value, expected) in [
        ("PATCHCORD_PORT", "x", "PATCHCORD_PORT: invalid value 'x'"),
        (
            "PATCHCORD_STRICT",
            "perhaps",
            "PATCHCORD_STRICT: invalid value 'perhaps'",
        ),
        (
            "PATCHCORD_DRAIN_TIMEOUT",
            "soon",
            "PATCHCORD_DRAIN_TIMEOUT: invalid value 'soon'",
        ),
    ] {
        for arguments in [&["serve"][..], &[]] {
            let line = refused(&place, arguments, &[(variable, value)]);
            assert!(line.starts_with(expected), "{variable}: {line}");
        }
    }
}

#[test]
fn wrong_keys_of_a_file_are_told_with_their_line() {
    for (text, expected) in [
        ("port = 0\n\nprot = 1", "p.toml:3: unknown key `prot`"),
        ("max_payload = 1", "p.toml:1: unknown key `max_payload`"),
        ("config = 'x'", "p.toml:1: unknown key `config`"),
        ("[limits]\nlisteners = 1", "p.toml:1: unknown key `limits`"),
        (
            "port = 'x'",
            "p.toml:1: invalid value 'x' for '--port <PORT>'",
        ),
        (
            "port = 1.5",
            "p.toml:1: `port` takes a text, a whole number, `true` or `false`, found a value of type float",
        ),
        ("port = ", "p.toml:1: "),
        ("port = 1\nport = 2", "p.toml:2: duplicate key"),
        (
            "\nping-interval = 25",
            "p.toml:2: invalid value '25' for '--ping-interval <TIME>'",
        ),
        (
            "origin = ['https://a.com', 1]",
            "p.toml:1: invalid value '1' for '--origin <URL>'",
        ),
        ("watch = 3", "p.toml:1: invalid value '3' for '--watch"),
    ] {
        let place = Place::new(&[("p.toml", text)]);
        // A key that the command does not use is checked too.
        for arguments in [
            &["--config", "p.toml"][..],
            &["serve", "--config", "p.toml", "--port", "0"],
        ] {
            let line = refused(&place, arguments, &[]);
            assert!(line.starts_with(expected), "{text}: {line}");
        }
    }
}

#[test]
fn a_place_without_scripts_is_told_with_what_may_be_meant() {
    let place = Place::new(&[]);
    for (arguments, expected) in [
        (&["chek"][..], "; there is a command `check`"),
        (
            &["serve", "nowhere"],
            "; `patchcord new DIR` writes a folder to begin with",
        ),
    ] {
        let line = refused(&place, arguments, &[]);
        assert!(line.contains("cannot be read: No such file"), "{line}");
        assert!(line.ends_with(expected), "{line}");
    }
}

#[test]
fn an_address_in_use_and_a_missing_folder_are_told_with_exit_code_2() {
    let place = Place::new(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, expected) in [
        (
            ["--port", &port],
            format!("error: cannot listen at 127.0.0.1:{port}: another program listens there"),
        ),
        (
            ["--public", "none"],
            "error: `none` is not a folder".to_owned(),
        ),
    ] {
        let output = place.run(&arguments, &[]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().last(), Some(expected.as_str()));
    }
}

/// Returns the option names in `--help`, each with its text.
fn help() -> Vec<(String, String)> {
    let output = Place::new(&[]).run(&["serve", "--help"], &[]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    // An option begins a line, after its short name if it has one.
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let names = line.trim_start().trim_start_matches(|c| c != '-');
        let is_option = line.starts_with("  -") || line.starts_with("      --");
        match (is_option, names.split_once("--"), found.last_mut()) {
            (true, Some((_, rest)), _) => {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
                let name = &rest[..end.unwrap_or(rest.len())];
                found.push((name.to_owned(), String::new()));
            }
            (_, _, Some((_, text))) => text.push_str(line),
            _ => {}
        }
    }
    found
}

/// Returns the keys of the example with their values, including keys in comments; `true` for a key that is not in a
/// comment.
fn example() -> Vec<(String, String, bool)> {
    let text = fs::read_to_string(EXAMPLE).unwrap();
    let keys = text.lines().filter_map(|line| {
        let bare = line.trim_start_matches("# ");
        let (key, value) = bare.split_once(" = ")?;
        let value = value.split('#').next()?.trim();
        key.chars()
            .all(|c| c.is_ascii_lowercase() || c == '-')
            .then(|| (key.to_owned(), value.to_owned(), bare == line))
    });
    keys.collect()
}

#[test]
fn help_lists_every_option_with_its_variable_and_its_default() {
    let (help, example) = (help(), example());
    assert!(example.len() > 30, "{example:?}");
    for (key, value, has_default) in &example {
        let (_, text) = help.iter().find(|(name, _)| name == key).expect(key);
        let variable = key.to_uppercase().replace('-', "_");
        // The value of a variable that may contain a password is not shown.
        let shown = [
            format!("[env: PATCHCORD_{variable}=]"),
            format!("[env: PATCHCORD_{variable}]"),
        ];
        assert!(shown.iter().any(|one| text.contains(one)), "{key}: {text}");
        let value = value.replace(['"', '[', ']', ' ', '_'], "");
        let default = text.contains(&format!("[default: {value}]"));
        assert_eq!(default, *has_default, "{key}: {text}");
        assert!(*has_default || !text.contains("[default:"), "{key}");
    }
    for (name, _) in &help {
        let known = example.iter().any(|(key, ..)| key == name);
        let special = FLAGS_ONLY.contains(&name.as_str()) || name == "config";
        assert!(known || special, "the example lacks `{name}`");
    }
}

#[test]
fn the_example_is_complete_and_loads() {
    let keys = "[[key]]\nname = \"a\"\nkey = \"a-key-that-nobody-guesses\"\n";
    let place = Place::new(&[("keys.toml", keys)]);
    for folder in ["public", "node_modules/socket.io-client/dist"] {
        fs::create_dir_all(place.path().join(folder)).unwrap();
    }
    let lines: Vec<_> = example()
        .into_iter()
        .map(|(key, value, _)| format!("{key} = {value}"))
        .collect();
    place.write("all.toml", &lines.join("\n"));
    assert!(Path::new(EXAMPLE).exists());
    for file in [EXAMPLE, "all.toml"] {
        let free = ["--port", "0", "--admin-listen", "127.0.0.1:0"];
        let serving = place.serve(&[&["--config", file][..], &free].concat(), &[]);
        assert_eq!(serving.handshake()["maxPayload"], 1_000_000, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_json_log_is_an_object_with_time_and_type() {
    let place = Place::new(&[
        ("scripts/broken.rhai", "fn"),
        (
            "scripts/main.rhai",
            "fn on_connection(socket) { print(\"hello\"); socket.on(\"boom\", || throw \"x\"); }",
        ),
    ]);
    let serving = place.serve(
        &["--log-format", "json", "--port", "0", "--origin", "*"],
        &[],
    );
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        serving.address
    );
    let mut client = Client::at(&url).await;
    client.connect("").await;
    client.send("42[\"boom\"]").await;
    let mut seen: Vec<Value> = Vec::new();
    let mut until = |kind: &str| loop {
        let line = serving.line();
        let entry: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(entry["time"].as_str().unwrap().ends_with('Z'), "{line}");
        let found = entry["type"].as_str().unwrap() == kind;
        seen.push(entry.clone());
        if found {
            return entry;
        }
    };
    assert_eq!(
        until("warning")["text"].as_str().unwrap().split('`').nth(1),
        Some("--origin *")
    );
    let failed = until("handler_failed");
    assert_eq!(failed["diagnostic"]["place"]["file"], "main.rhai");
    place.write(
        "scripts/main.rhai",
        "fn on_connection(socket) { print(\"again\"); }",
    );
    let replaced = until("replaced");
    assert_eq!(replaced["reload"]["rebound"], 1);
    assert_eq!(replaced["reload"]["code"][0]["kind"], "changed");
    for (kind, key, value) in [
        ("loaded", "script", "main.rhai"),
        ("log", "text", "hello"),
        ("log", "level", "info"),
    ] {
        let is = |entry: &Value| entry["type"] == kind && entry[key] == value;
        assert!(seen.iter().any(is), "{kind}: {seen:?}");
    }
    assert!(
        seen.iter().any(|entry| entry["type"] == "rejected"),
        "{seen:?}"
    );
}

#[test]
fn a_proxy_that_is_not_trusted_is_told_with_the_flag_to_add() {
    let place = Place::new(&[("p.toml", "max-connections = 'none'")]);
    let serving = place.serve(&["--config", "p.toml", "--port", "0"], &[]);
    let path = "/socket.io/?EIO=4&transport=polling";
    let answer = serving.get(path, "X-Forwarded-For: 192.0.2.1\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    while !serving
        .line()
        .starts_with("warning: `x-forwarded-for` comes from 127.0.0.1:")
    {}
    assert!(serving.line().starts_with("hint: `--trust-proxy=1`"));
}

#[test]
fn a_refused_page_is_told_once_with_the_flag_to_add() {
    let place = Place::new(&[]);
    let serving = place.serve(&["--port", "0"], &[]);
    let path = "/socket.io/?EIO=4&transport=polling";
    for origin in ["https://a.com", "https://a.com", "https://b.com"] {
        let answer = serving.get(path, &format!("Origin: {origin}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    let mut lines = Vec::new();
    while !lines
        .last()
        .is_some_and(|line: &String| line.contains("--origin https://b.com"))
    {
        lines.push(serving.line());
    }
    let hints = lines
        .iter()
        .filter(|line| line.starts_with("hint: `--origin "));
    assert_eq!(hints.count(), 2, "{lines:?}");
}

#[test]
fn a_refused_host_is_told_once_with_the_flag_that_allows_it() {
    let place = Place::new(&[("p.toml", "allowed-host = ['a.example', '*.b.example']")]);
    let ask = |serving: &Serving, host: &str| {
        let mut stream = TcpStream::connect(&serving.address).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let serving = place.serve(&["--port", "0"], &[]);
    for host in ["a.example", "a.example", "x.b.example:80"] {
        let answer = ask(&serving, host);
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    let mut lines = Vec::new();
    while !lines
        .last()
        .is_some_and(|line: &String| line.contains("--allowed-host x.b.example"))
    {
        lines.push(serving.line());
    }
    let hints = lines
        .iter()
        .filter(|line| line.starts_with("hint: `--allowed-host "));
    assert_eq!(hints.count(), 2, "{lines:?}");
    let serving = place.serve(&["--port", "0", "--config", "p.toml"], &[]);
    for host in ["a.example", "x.b.example:80", "localhost"] {
        let answer = ask(&serving, host);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn an_origin_that_every_page_can_have_is_warned_of() {
    let place = Place::new(&[]);
    for origin in ["*", "null"] {
        let serving = place.serve(&["--port", "0", "--origin", origin], &[]);
        let line = serving.line();
        assert!(
            line.starts_with(&format!("warning: `--origin {origin}` lets every page")),
            "{line}"
        );
    }
}

#[test]
fn the_file_of_options_is_not_among_the_public_files() {
    let place = Place::new(&[("p.toml", "port = 0\npublic = '.'"), ("page.txt", "page")]);
    let serving = place.serve(&["--config", "./p.toml"], &[]);
    for path in ["/p.toml", "/scripts/main.rhai"] {
        let answer = serving.get(path, "");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(serving.get("/page.txt", "").ends_with("page"));
}
