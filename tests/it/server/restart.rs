//! Restarts that clients do not notice: the program goes on in the same process, with the same listening sockets.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::support::{
    program::{Guard, Place, Serving, pass},
    server::{Running, TEST_TIMEOUT},
};

/// Line of a program that serves after a restart.
const RESTARTED: &str = "was open already, and was inherited";
/// Number of clients that connect all the time.
const CLIENTS: usize = 8;

/// Makes a request on a connection of its own, and returns the whole answer.
fn request(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TEST_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sets a flag at the end of its scope, even if the test fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until the counter has risen by `more`, or a client has failed.
fn wait_for(counter: &AtomicUsize, more: usize, failed: &AtomicBool) {
    let wanted = counter.load(Ordering::Relaxed) + more;
    while counter.load(Ordering::Relaxed) < wanted && !failed.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn no_client_that_connects_is_refused_while_the_program_restarts_twice() {
    let place = Place::new(&[]);
    let flags = [
        "-v",
        "--port",
        "0",
        "--max-connections",
        "none",
        "--max-connects-per-second",
        "none",
        "--max-unconnected",
        "1000000",
    ];
    let mut serving = place.serve(&flags, &[]);
    let address = serving.address.clone();
    let (end, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    let answered = AtomicUsize::new(0);
    let paths = ["/", "/socket.io/?EIO=4&transport=polling"];
    std::thread::scope(|scope| {
        let _end = SetAtEnd(&end);
        let (address, end, failed, answered) = (&*address, &end, &failed, &answered);
        for path in paths.into_iter().cycle().take(CLIENTS) {
            scope.spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let answer = request(address, path);
                    let is_good = answer
                        .as_ref()
                        .is_ok_and(|text| text.starts_with("HTTP/1.1 200"));
                    if !is_good {
                        failed.store(true, Ordering::Relaxed);
                        panic!("{path}: {answer:?}");
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..2 {
            wait_for(answered, 100, failed);
            serving.send("-USR2");
            serving.line_with("restart in place");
            let line = serving.line_with(RESTARTED);
            assert!(line.contains(address), "{line}");
        }
        wait_for(answered, 100, failed);
    });
    // The process is the one that was started.
    assert!(serving.child.0.try_wait().unwrap().is_none());
    serving.signal();
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn clients_of_the_program_before_are_closed_cleanly() {
    let place = Place::new(&[(
        "scripts/main.rhai",
        "fn on_connection(socket) { } fn on_disconnect(socket, reason) { print(reason); }",
    )]);
    let serving = place.serve(&["--port", "0", "-v"], &[]);
    let mut idle = TcpStream::connect(&serving.address).unwrap();
    idle.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    idle.write_all(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut client = serving.stalled_client();
    let mut first = [0; 12];
    client.read_exact(&mut first).unwrap();
    serving.send("-USR2");
    serving.line_with("server shutting down");
    serving.line_with(RESTARTED);
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    // The packet that closes the session, and the frame that closes the WebSocket.
    assert!(rest.ends_with(b"1\x88\x00"), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_just_accepted_gets_its_first_response_in_a_shutdown() {
    let script = [("main.rhai", "fn on_connection(socket) { }")];
    for _ in 0..20 {
        let running = Running::new(&script, |builder| builder).await;
        let address = running.address;
        let begun = Instant::now();
        let mut new = TcpStream::connect(address).unwrap();
        new.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        // The server accepts connections in their order, so it has accepted the first one, too.
        assert!(running.get("/").await.starts_with("HTTP/1.1 200"));
        let ended = tokio::spawn(running.server.shutdown());
        while TcpStream::connect(address).is_ok() {
            tokio::task::yield_now().await;
        }
        let path = "/socket.io/?EIO=4&transport=polling";
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let written = new.write_all(request.as_bytes());
        let was_in_time = begun.elapsed() < Duration::from_millis(400);
        let mut answer = String::new();
        let read = new.read_to_string(&mut answer);
        ended.await.unwrap();
        // On a busy machine the time of grace may be over.
        if was_in_time {
            assert!(written.is_ok() && read.is_ok(), "{written:?} {read:?}");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            return;
        }
    }
    panic!("this machine is too slow");
}

/// Returns a link to the program, which a test can change as an upgrade does.
fn linked(place: &Place) -> PathBuf {
    let link = place.path().join("program");
    symlink(env!("CARGO_BIN_EXE_patchcord"), &link).unwrap();
    link
}

/// Replaces the program behind a link by a shell script.
fn replace(link: &Path, script: &str) {
    let new = link.with_extension("new");
    // Another process writes it: a process that a parallel test starts could inherit the file while it is open, and a
    // file that is open for writing cannot be executed.
    let write = "printf '%s\\n' '#!/bin/sh' \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let mut shell = Command::new("/bin/sh");
    let written = shell.args(["-c", write]).arg(&new).arg(script).status();
    assert!(written.unwrap().success());
    fs::rename(new, link).unwrap();
}

/// Asks for a restart, and checks that the server refuses it with these lines and serves on.
fn is_refused(serving: &Serving, expected: &[&str]) {
    serving.send("-USR2");
    let first = serving.line_with("no restart, the server goes on: ");
    let mut seen = vec![first];
    for text in expected {
        while !seen.iter().any(|line| line.contains(text)) {
            seen.push(serving.line());
        }
    }
    assert_eq!(seen[0].matches("warning: ").count(), 1, "{seen:?}");
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_restart_that_would_fail_changes_nothing_and_says_why() {
    let place = Place::new(&[("p.toml", "port = 0")]);
    let program = linked(&place);
    let flags = ["serve", "--config", "p.toml", "--no-watch", "-v", "scripts"];
    let serving = Place::listening(place.command_of(&program, &flags, &[]));

    place.write("p.toml", "port = 0\nprot = 1");
    is_refused(
        &serving,
        &["exit status: 2", "error: p.toml:2: unknown key `prot`"],
    );
    place.write("p.toml", "port = 0\npublic = 'none'");
    is_refused(&serving, &["`none` is not a folder"]);
    place.write("p.toml", "port = 0");

    place.write("scripts/main.rhai", "fn on_connection(socket) { let }");
    is_refused(&serving, &["exit status: 1", "main.rhai:1:"]);
    place.write("scripts/main.rhai", "fn on_connection(socket) { }");

    replace(&program, "echo a library is missing >&2; exit 127");
    is_refused(&serving, &["exit status: 127", "a library is missing"]);
    fs::remove_file(&program).unwrap();
    is_refused(&serving, &["does not run", "No such file"]);

    // With all of this repaired, the new program starts: here it announces itself first.
    let real = env!("CARGO_BIN_EXE_patchcord");
    replace(
        &program,
        &format!("echo the new program >&2; exec {real} \"$@\""),
    );
    serving.send("-USR2");
    serving.line_with("restart in place");
    serving.line_with("the new program");
    serving.line_with(RESTARTED);
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_program_that_disappears_after_its_check_ends_the_process_with_an_error() {
    let place = Place::new(&[]);
    let program = linked(&place);
    let mut serving = Place::listening(place.command_of(&program, &["--port", "0"], &[]));
    replace(&program, "rm \"$0\"");
    serving.send("-USR2");
    let line = serving.line_with("error: ");
    assert!(
        line.contains("program` cannot be started: No such file"),
        "{line}"
    );
    assert_eq!(serving.ended(), Some(2));
}

/// Waits until the operator's address answers `/readyz` with a status.
fn wait_for_readiness(admin: &str, status: &str) {
    while !request(admin, "/readyz").unwrap().starts_with(status) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_load_balancer_hears_of_the_end_while_clients_are_still_served() {
    let place = Place::new(&[]);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = socket.local_addr().unwrap().to_string();
    let flags = [
        "--port",
        "0",
        "--admin-listen",
        &admin,
        "--drain-delay",
        "1h",
    ];
    let mut command = place.command(&flags, &[]);
    pass(&mut command, vec![socket.into()], "admin");
    let mut serving = Place::listening(command);
    assert!(
        request(&admin, "/readyz")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    serving.signal();
    wait_for_readiness(&admin, "HTTP/1.1 503");
    let answer = request(&admin, "/readyz").unwrap();
    assert!(answer.ends_with("the server is shutting down"), "{answer}");
    assert!(
        request(&admin, "/healthz")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
    assert_eq!(serving.handshake()["maxPayload"], 1_000_000);
    // A second signal does not wait.
    serving.signal();
    assert_eq!(serving.ended(), Some(130));
}

#[test]
fn the_server_ends_after_the_drain_delay() {
    let place = Place::new(&[]);
    let mut serving = place.serve(&["--port", "0", "--drain-delay", "50ms"], &[]);
    serving.signal();
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn the_address_of_the_operator_stays_at_a_restart() {
    let place = Place::new(&[]);
    let output = place.path().join("output");
    let program = env!("CARGO_BIN_EXE_patchcord");
    let script = format!(
        "exec {program} --port 0 --admin-listen 127.0.0.1:0 -v > {}",
        output.display()
    );
    let mut command = place.command_of("/bin/sh".as_ref(), &["-c", &script], &[]);
    let child = command.spawn().unwrap();
    let id = child.id().to_string();
    let _guard = Guard(child);
    let addresses = |count: usize| loop {
        let text = fs::read_to_string(&output).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() == count {
            return lines;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let first = addresses(2);
    let sent = Command::new("kill").args(["-USR2", &id]).status();
    assert!(sent.unwrap().success());
    let both = addresses(4);
    assert_eq!([&first[..], &first[..]].concat(), both);
    let admin = first[1].split(' ').nth(2).unwrap();
    let admin = admin.strip_prefix("http://").unwrap();
    assert!(
        request(admin, "/readyz")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
}
