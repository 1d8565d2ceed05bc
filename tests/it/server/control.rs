//! The control channel: its commands, and hostile requests.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    program::{Place, Serving},
    server::{Client, TEST_TIMEOUT},
};

fn script(version: i64) -> String {
    format!("fn on_connection(socket) {{\n    socket.on(\"v\", || {version});\n}}\n")
}

/// Starts a server that does not watch, with a control socket at `c.sock`.
fn serve(place: &Place) -> Serving {
    place.serve(&["--port", "0", "--no-watch", "--control", "c.sock"], &[])
}

fn connect(place: &Place) -> UnixStream {
    let stream = UnixStream::connect(place.path().join("c.sock")).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream
}

/// Sends a line, and returns the answer.
fn ask(mut stream: &UnixStream, line: &[u8]) -> Value {
    stream.write_all(line).unwrap();
    stream.write_all(b"\n").unwrap();
    answer(stream)
}

fn answer(mut stream: impl Read) -> Value {
    // Reads byte by byte, because the bytes after the line belong to the next answer.
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    serde_json::from_slice(&line).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&line)))
}

/// Runs `patchcord ctl`, and returns its exit code, output and errors.
fn ctl(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let arguments = [&["ctl"], arguments].concat();
    let output = place.run(&arguments, &[]);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_person_lists_compares_and_restores_versions_of_a_server_that_runs() {
    let place = Place::new(&[
        ("scripts/main.rhai", &script(1)),
        ("scripts/chat.rhai", &script(1)),
    ]);
    // `ctl` finds the only server of the user without a name.
    let serving = place.serve(&["--port", "0", "--no-watch"], &[]);
    let (code, out, _) = ctl(&place, &["reload"]);
    assert_eq!((code, &*out), (0, "nothing has changed\n"));
    place.write("scripts/main.rhai", &script(2));
    let (code, out, _) = ctl(&place, &["reload"]);
    assert_eq!(
        (code, &*out),
        (0, "batch 2\nmain.rhai: version 2 of / on 0 connections\n")
    );
    place.write(
        "scripts/main.rhai",
        "fn on_connection(socket) { socket.emti(); }",
    );
    let (code, out, err) = ctl(&place, &["reload"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("unknown function `emti` on `socket`\n --> main.rhai:1:35\n"),
        "{out}"
    );
    assert_eq!(err, "error: rejected; what served before keeps serving\n");
    let (code, out, _) = ctl(&place, &["versions"]);
    let lines: Vec<_> = out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(code, 0);
    assert_eq!(
        lines[0],
        [
            "BATCH",
            "AGE",
            "NAMESPACE",
            "VERSION",
            "OUTCOME",
            "CONNECTIONS",
            "FILES"
        ]
    );
    let reported: Vec<_> = lines[1..]
        .iter()
        .map(|line| [&line[..1], &line[3..]].concat().join(" "))
        .collect();
    assert_eq!(
        reported,
        [
            "1 / 1 loaded main.rhai",
            "1 /chat 1 loaded, serves 0 chat.rhai",
            "2 / 2 replaced, serves 0 main.rhai",
            "- / 3 rejected main.rhai",
        ]
    );
    let (code, out, _) = ctl(&place, &["diff", "1"]);
    assert_eq!(code, 1, "both namespaces have a version 1: {out}");
    let (code, out, _) = ctl(&place, &["diff", "1", "2"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("--- main.rhai (version 1)\n+++ main.rhai (version 2)\n@@ "),
        "{out}"
    );
    let (code, out, _) = ctl(&place, &["rollback"]);
    assert_eq!(
        (code, &*out),
        (
            0,
            "batch 3\nmain.rhai: version 1 of / serves again, in place of 2\n"
        )
    );
    let (code, out, err) = ctl(&place, &["rollback", "--format", "json", "2"]);
    let result: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {err}"));
    assert_eq!(code, 0);
    assert_eq!(
        result,
        json!({
            "batch": 4,
            "kept": [],
            "restored": [{ "namespace": "/", "script": "main.rhai", "from": 1, "version": 2 }],
        })
    );
    let (code, _, err) = ctl(&place, &["rollback", "77"]);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "error: there is no batch 77\nhint: `patchcord ctl versions` lists the batches\n"
    );
    drop(serving);
}

#[test]
fn saves_wait_between_pause_and_resume() {
    let place = Place::new(&[("scripts/main.rhai", &script(1))]);
    let serving = place.serve(&["--port", "0", "--control", "c.sock"], &[]);
    let ctl = |arguments: &[&str]| ctl(&place, &[&["--control", "c.sock"], arguments].concat());
    assert_eq!(ctl(&["pause"]).1, "paused: saves wait for `resume`\n");
    assert_eq!(ctl(&["pause"]).1, "saves wait already\n");
    place.write("scripts/main.rhai", &script(2));
    while serving.line() != "paused: main.rhai saved, waits for `resume`" {}
    assert_eq!(
        ctl(&["resume"]).1,
        "batch 2\nmain.rhai: version 2 of / on 0 connections\n"
    );
    assert_eq!(ctl(&["resume"]).1, "saves do not wait\n");
    while !serving.line().starts_with("main.rhai: version 2 of / ") {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_looks_at_the_connections_of_a_server_and_steers_them() {
    let text = "fn on_connection(socket) {
    let score = 0;
    socket.data.team = \"red\";
    socket.join(\"lobby\");
    socket.on(\"hit\", |name| { score += 5; socket.join(name); score });
    set_interval(|| {}, 60000);
}
";
    let place = Place::new(&[("scripts/main.rhai", text)]);
    let serving = place.serve(&["--port", "0", "--no-watch", "--control", "c.sock"], &[]);
    let ctl = |arguments: &[&str]| ctl(&place, &[&["--control", "c.sock"], arguments].concat());
    assert_eq!(ctl(&["inspect"]).1, "no socket is connected\n");
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        serving.address
    );
    let mut ada = Client::at(&url).await;
    let id = ada.connect("").await;
    ada.send("420[\"hit\",\"a\\u001b\\nLISTENER\"]").await;
    assert_eq!(ada.until(|packet| packet.starts_with("43")).await, "430[5]");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (code, out, _) = ctl(&["inspect"]);
    let lines: Vec<_> = out.lines().map(words).collect();
    assert_eq!((code, &*lines[1]), (0, &*format!("/ {id} 1 1 1")));
    let (code, out, _) = ctl(&["inspect", &id]);
    let lines: Vec<_> = out.lines().map(words).collect();
    assert_eq!(code, 0);
    for line in [
        "hit main.rhai:5",
        "team \"red\" \"red\"",
        "score 5 0",
        "lobby",
        "a\\u{1b}\\nLISTENER",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line} in {out}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("set_interval in ")),
        "{out}"
    );
    let (_, out, _) = ctl(&["--format", "json", "inspect", &id]);
    let inspection: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        inspection["variables"][0],
        json!({ "name": "score", "value": 5, "initial": 0 })
    );
    let line = format!("/ {id}: listened to: main.rhai:5 (version 1)\n");
    assert_eq!(ctl(&["why", "hit", &id]).1, line);
    assert_eq!(
        ctl(&["why", "miss"]).1,
        format!("/ {id}: never listened to by any version that is known\n")
    );
    assert_eq!(
        ctl(&["reset", "--all", "score"]).1,
        format!("{id} of /: `score` 5 -> 0\n")
    );
    assert_eq!(
        ctl(&["reset", &id]).1,
        format!("{id} of /: nothing to reset\n")
    );
    let (code, _, err) = ctl(&["reset", &id, "scores"]);
    let missing = "error: there is no variable `scores`; there are: score, socket.data.team\n";
    assert_eq!((code, &*err), (1, missing));
    assert_eq!(ctl(&["reset"]).0, 2);
    assert_eq!(
        ctl(&["rebind", &id]).1,
        format!("{id} of / has started again with version 1: 1 listener, 1 timer\n")
    );
    let (_, out, _) = ctl(&["--format", "json", "inspect", &id]);
    let inspection: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(inspection["rooms"], json!([id, "lobby"]));
    ada.send("421[\"hit\",\"b\"]").await;
    assert_eq!(ada.until(|packet| packet.starts_with("43")).await, "431[5]");
    let (code, _, err) = ctl(&["inspect", "nobody"]);
    assert_eq!(
        (code, &*err),
        (
            1,
            "error: no socket `nobody` is connected\nhint: `patchcord ctl inspect` lists the sockets\n"
        )
    );
}

#[test]
fn wrong_arguments_and_missing_servers_are_told_with_exit_code_2() {
    let place = Place::new(&[]);
    for (arguments, expected) in [
        (
            &["reload"][..],
            "no server of this user runs, or none has its control socket in `",
        ),
        (
            &["--control", "none.sock", "reload"],
            "no server answers at `none.sock`: No such file",
        ),
        (&["--control-tcp", "127.0.0.1:1", "reload"], "the token `"),
        (&[], "'patchcord ctl' requires a subcommand"),
        (&["relaod"], "unrecognized subcommand 'relaod'"),
        (
            &["diff"],
            "the following required arguments were not provided: <A>",
        ),
        (&["rollback", "x"], "invalid value 'x' for '[BATCH]'"),
        (&["rollback", "0"], "invalid value '0' for '[BATCH]'"),
    ] {
        let (code, _, err) = ctl(&place, arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let _servings = [0, 1].map(|_| place.serve(&["--port", "0"], &[]));
    let (code, _, err) = ctl(&place, &["reload"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("several servers run; choose one with `--control`: `"),
        "{err}"
    );
}

#[test]
fn a_request_that_is_wrong_gets_an_error_and_ends_nothing() {
    let place = Place::new(&[]);
    let _serving = serve(&place);
    let stream = connect(&place);
    let deep = "[".repeat(50_000);
    for (line, expected) in [
        (&b"reload"[..], "not a request: expected value"),
        (b"{}", "not a request: missing field `command`"),
        (b"[]", "not a request: "),
        (
            b"{\"command\": \"reload\"} {\"command\": \"reload\"}",
            "not a request: trailing characters",
        ),
        (b"{\"command\": 1}", "not a request: invalid type"),
        (
            b"{\"comand\": \"reload\"}",
            "not a request: unknown field `comand`",
        ),
        (b"\xff\xfe\x00", "not a request: "),
        (b"\0", "not a request: "),
        (deep.as_bytes(), "not a request: recursion limit exceeded"),
        (b"{\"command\": \"\"}", "there is no command ``"),
        (b"{\"command\": \"quit\"}", "there is no command `quit`"),
        (
            b"{\"command\": \"reload\", \"arguments\": []}",
            "not a request: invalid type",
        ),
        (
            b"{\"command\": \"reload\", \"arguments\": {\"x\": 1}}",
            "`reload` has no argument `x`",
        ),
        (b"{\"command\": \"diff\"}", "`diff` needs `a`"),
        (
            b"{\"command\": \"diff\", \"arguments\": {\"a\": \"1\"}}",
            "`a` of `diff` must be a whole number",
        ),
        (
            b"{\"command\": \"diff\", \"arguments\": {\"a\": -1}}",
            "`a` of `diff` must be a whole number",
        ),
        (
            b"{\"command\": \"rollback\", \"arguments\": {\"batch\": 1e99}}",
            "`batch` of `rollback` must be",
        ),
        (
            b"{\"command\": \"versions\", \"arguments\": {\"namespace\": [1]}}",
            "`namespace` of `versions` must be a text",
        ),
        (
            b"{\"command\": \"rollback\", \"arguments\": {\"batch\": 1, \"namespace\": \"/\"}}",
            "`rollback` takes a batch or a namespace",
        ),
    ] {
        let answer = ask(&stream, line);
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        assert_eq!(
            (&answer["ok"], &answer["kind"]),
            (&json!(false), &json!("usage")),
            "{shown}"
        );
        assert!(
            answer["error"].as_str().unwrap().contains(expected),
            "{shown}: {answer}"
        );
    }
    // Empty lines are not requests, and the answer has the id of the request.
    let answer = ask(
        &stream,
        b"\n\r\n  \n{\"id\": [7], \"command\": \"versions\", \"arguments\": {\"last\": null}}",
    );
    assert_eq!((&answer["id"], &answer["ok"]), (&json!([7]), &json!(true)));
    assert_eq!(answer["result"]["versions"][0]["script"], "main.rhai");
}

#[test]
fn a_request_that_is_too_long_or_not_finished_ends_its_own_connection_only() {
    let place = Place::new(&[]);
    let _serving = serve(&place);
    let (long, unfinished, other) = (connect(&place), connect(&place), connect(&place));
    let sender = long.try_clone().unwrap();
    let sending = thread::spawn(move || {
        // The server may close the connection before all bytes are sent.
        let _ = (&sender).write_all(&vec![b'x'; 10 << 20]);
    });
    let refused = answer(&long);
    assert_eq!(refused["error"], "a request is longer than 65536 bytes");
    sending.join().unwrap();
    let mut rest = Vec::new();
    // Either the end of the stream, or a reset.
    let _ = (&long).read_to_end(&mut rest);
    assert!(rest.is_empty());
    (&unfinished).write_all(b"{\"command\": \"versi").unwrap();
    unfinished.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(answer(&unfinished)["ok"], false);
    assert_eq!(ask(&other, b"{\"command\": \"versions\"}")["ok"], true);
}

#[test]
fn many_clients_ask_at_once_and_too_many_are_told_so() {
    let place = Place::new(&[("scripts/main.rhai", &script(1))]);
    let _serving = serve(&place);
    let streams: Vec<_> = (0..64).map(|_| connect(&place)).collect();
    let asking = streams.into_iter().enumerate().map(|(n, stream)| {
        thread::spawn(move || {
            for round in 0..20 {
                let command = ["versions", "reload", "pause", "resume"][(n + round) % 4];
                let line = format!("{{\"id\": {round}, \"command\": \"{command}\"}}");
                let answer = ask(&stream, line.as_bytes());
                assert_eq!(
                    (&answer["id"], &answer["ok"]),
                    (&json!(round), &json!(true)),
                    "{answer}"
                );
            }
            stream
        })
    });
    let asking: Vec<_> = asking.collect();
    let streams: Vec<_> = asking.into_iter().map(|one| one.join().unwrap()).collect();
    let refused = answer(&connect(&place));
    assert_eq!(refused["error"], "too many control connections are open");
    drop(streams);
    // Connections are accepted again when the server has noticed the end of the others.
    loop {
        let stream = connect(&place);
        let sent = (&stream).write_all(b"{\"command\": \"versions\"}\n");
        if sent.is_ok() && answer(&stream)["ok"] == true {
            break;
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_socket_is_for_its_user_only_and_goes_with_the_server() {
    let place = Place::new(&[]);
    let folder = place.path().join("patchcord");
    let mut serving = place.serve(&["--port", "0"], &[]);
    let port = serving.address.rsplit(':').next().unwrap().to_owned();
    let path = folder.join(format!("{port}.sock"));
    assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    serving.signal();
    assert_eq!(serving.ended(), Some(0));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    // For a path that the operator chooses, the server creates the folder.
    let mut serving = place.serve(&["--port", "0", "--control", "run/c.sock"], &[]);
    assert_eq!(mode(&place.path().join("run")), 0o700);
    assert_eq!(mode(&place.path().join("run/c.sock")), 0o600);
    serving.signal();
    serving.ended();
    // A server that was killed leaves its socket, and the next server removes it.
    place.serve(&["--port", "0"], &[]).kill();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let mut next = place.serve(&["--port", "0"], &[]);
    next.signal();
    next.ended();
    let _none = place.serve(&["--port", "0", "--control", "none"], &[]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(!place.path().join("none").exists());
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else() {
    let place = Place::new(&[]);
    serve(&place).kill();
    assert!(place.path().join("c.sock").exists(), "it was killed");
    let serving = serve(&place);
    assert_eq!(
        ask(&connect(&place), b"{\"command\": \"versions\"}")["ok"],
        true
    );
    let refused = |place: &Place, path: &str| {
        let output = place.run(&["--port", "0", "--control", path], &[]);
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    let taken = "another server listens there; `--control` chooses another place";
    assert_eq!(
        refused(&place, "c.sock"),
        format!("error: no control channel at `c.sock`: {taken}")
    );
    assert_eq!(
        ask(&connect(&place), b"{\"command\": \"versions\"}")["ok"],
        true
    );
    // A socket of another program, without a lock file.
    let _other = UnixListener::bind(place.path().join("other.sock")).unwrap();
    assert!(refused(&place, "other.sock").ends_with(taken));
    place.write("file.sock", "text");
    assert!(refused(&place, "file.sock").ends_with("a file at this path is not a socket"));
    assert_eq!(
        fs::read_to_string(place.path().join("file.sock")).unwrap(),
        "text"
    );
    let long = format!("{}.sock", "x".repeat(200));
    assert!(refused(&place, &long).contains("a path of more than 100 bytes cannot be a socket"));
    drop(serving);
}

#[test]
fn a_runtime_folder_that_others_may_use_is_not_used_and_the_server_serves() {
    let place = Place::new(&[]);
    let folder = place.path().join("patchcord");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let serving = place.serve(&["--port", "0"], &[]);
    let line = loop {
        let line = serving.line();
        if line.starts_with("warning: ") {
            break line;
        }
    };
    assert!(
        line.contains("no control socket") && line.contains("its mode must be 700"),
        "{line}"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn the_tcp_port_wants_its_token_and_a_loopback_address() {
    let place = Place::new(&[]);
    let wrong = place.run(&["--port", "0", "--control-tcp", "0.0.0.0:0"], &[]);
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(text.ends_with("no control channel at `0.0.0.0:0`: it is no loopback address, such as `127.0.0.1:3001`\n"), "{text}");
    // An address that is free now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut serving = place.serve(
        &[
            "--port",
            "0",
            "--control",
            "none",
            "--control-tcp",
            &address,
        ],
        &[],
    );
    let port = address.rsplit(':').next().unwrap();
    let file: PathBuf = place.path().join(format!("patchcord/{port}.token"));
    assert_eq!(mode(&file), 0o600);
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!(token.trim().len(), 32);
    let (code, out, err) = ctl(&place, &["--control-tcp", &address, "reload"]);
    assert_eq!((code, &*out), (0, "nothing has changed\n"), "{err}");
    for (line, expected) in [
        (
            "{\"command\": \"pause\"}".to_owned(),
            "the token is missing or wrong",
        ),
        (
            format!(
                "{{\"command\": \"pause\", \"token\": \"{}\"}}",
                &token[..31]
            ),
            "the token is missing or wrong",
        ),
        ("POST / HTTP/1.1".to_owned(), "not a request: "),
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        // The server does not read what follows the first line.
        let pause = format!(
            "{line}\n{{\"command\": \"pause\", \"token\": \"{}\"}}\n",
            token.trim()
        );
        stream.write_all(pause.as_bytes()).unwrap();
        let mut answers = BufReader::new(stream);
        let mut first = String::new();
        answers.read_line(&mut first).unwrap();
        assert!(first.contains(expected), "{first}");
        let mut rest = Vec::new();
        let _ = answers.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let (_, out, _) = ctl(&place, &["--control-tcp", &address, "resume"]);
    assert_eq!(out, "saves do not wait\n", "nobody has paused it");
    serving.signal();
    assert_eq!(serving.ended(), Some(0));
    assert!(!file.exists());
}

#[test]
fn versions_of_a_server_with_a_history_survive_its_restart() {
    let place = Place::new(&[("scripts/main.rhai", &script(1))]);
    let serve = || place.serve(&["--port", "0", "--no-watch", "--history", "history"], &[]);
    let mut serving = serve();
    place.write("scripts/main.rhai", &script(2));
    assert_eq!(ctl(&place, &["reload"]).0, 0);
    serving.kill();
    let serving = serve();
    assert_eq!(serving.line(), "main.rhai: version 2 serves /");
    let (_, out, _) = ctl(&place, &["rollback"]);
    assert_eq!(
        out,
        "batch 3\nmain.rhai: version 1 of / serves again, in place of 2\n"
    );
}
