//! The program, run as a person starts it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use crate::support::{
    program::{FLOOD, Place},
    server::{TEST_TIMEOUT, sid},
};

#[test]
fn a_hangup_looks_at_the_files_now_and_ends_nothing() {
    let place = Place::new(&[]);
    let serving = place.serve(&["--port", "0", "--no-watch"], &[]);
    assert_eq!(serving.line(), "main.rhai: version 1 serves /");
    for version in 2..5 {
        place.write(
            "scripts/main.rhai",
            &format!("fn on_connection(socket) {{ {version}; }}"),
        );
        let id = serving.child.0.id().to_string();
        let kill = Command::new("kill").args(["-HUP", &id]).status();
        assert!(kill.unwrap().success());
        let line = serving.line();
        let expected = format!("main.rhai: version {version} of / ");
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(serving.line(), "  ~ fn on_connection main.rhai:1");
    }
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn shutdown_flushes_queued_data() {
    let place = Place::new(&[("scripts/main.rhai", FLOOD)]);
    let mut serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--drain-timeout",
            "20s",
        ],
        &[],
    );
    let mut client = serving.flooded();
    serving.signal();
    while !serving.line().contains("server shutting down") {}
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    let heard = String::from_utf8_lossy(&heard);
    let places: Vec<_> = (0..100)
        .map(|n| heard.find(&format!("42[\"n\",{n},")))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted());
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn slow_client_does_not_delay_shutdown() {
    let place = Place::new(&[("scripts/main.rhai", FLOOD)]);
    let mut serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--drain-timeout",
            "300ms",
        ],
        &[],
    );
    let _client = serving.flooded();
    serving.signal();
    while !serving.line().contains("server shutting down") {}
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn who_does_not_read_is_in_the_log_with_its_id_and_what_waited() {
    let place = Place::new(&[("scripts/main.rhai", FLOOD)]);
    let serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--max-backlog-packets",
            "20",
        ],
        &[],
    );
    let client = serving.stalled_client();
    let line = loop {
        let line = serving.line();
        if line.contains("slow client") {
            break line;
        }
    };
    let words: Vec<_> = line.split(' ').collect();
    let [
        "warning:",
        "slow",
        "client",
        id,
        peer,
        "disconnected:",
        packets,
        "packets",
        bytes,
        "bytes)",
        ..,
    ] = words[..]
    else {
        panic!("{line}");
    };
    assert_eq!(id.len(), 20, "{line}");
    assert_eq!(peer, format!("({})", client.local_addr().unwrap()));
    assert_eq!(packets, "21");
    let bytes = bytes.strip_prefix('(').unwrap();
    assert!(bytes.parse::<usize>().unwrap() > 2_000_000, "{line}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new(&[]);
    let mut serving = place.serve(&["--port", "0", "--drain-timeout", "1h"], &[]);
    let path = "/socket.io/?EIO=4&transport=polling";
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let open = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        serving.address
    );
    stream.write_all(open.as_bytes()).unwrap();
    let mut opened = String::new();
    stream.read_to_string(&mut opened).unwrap();
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let request = format!(
        "POST {path}&sid={} HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        sid(&opened),
        serving.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    // The request runs now and waits for its body, and the shutdown waits for the request.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 100"));
    serving.signal();
    // The shutdown has begun when the server accepts no more connections.
    while TcpStream::connect(&serving.address).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(serving.child.0.try_wait().unwrap(), None);
    serving.signal();
    assert_eq!(serving.child.0.wait().unwrap().code(), Some(130));
}

#[test]
fn accept_recovers_from_descriptor_exhaustion() {
    let place = Place::new(&[]);
    let serving = place.serve_with_descriptors("-n 40", "--max-tcp-connections 1000");
    let clients: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(&serving.address).unwrap())
        .collect();
    while !serving.line().contains("cannot accept connections") {}
    drop(clients);
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn connections_leave_file_descriptors_for_files() {
    let place = Place::new(&[]);
    // The program raises the soft limit, so only the hard limit counts.
    for (descriptors, room) in [("-n 100", 68), ("-n 100 && ulimit -Sn 50", 68)] {
        let serving = place.serve_with_descriptors(descriptors, "");
        let mut clients: Vec<_> = (0..room)
            .map(|_| TcpStream::connect(&serving.address).unwrap())
            .collect();
        let mut more = TcpStream::connect(&serving.address).unwrap();
        let mut answer = String::new();
        more.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        while !serving.line().contains("`max-tcp-connections` are open") {}
        let first = &mut clients[0];
        first
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        first.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("</html>\n"), "{answer}");
    }
}

#[test]
fn a_folder_that_is_gone_keeps_serving() {
    let place = Place::new(&[]);
    let serving = place.serve(&["--port", "0", "--poll=20ms"], &[]);
    fs::remove_dir_all(place.path().join("scripts")).unwrap();
    while !serving.line().contains("keeps serving") {}
    assert!(serving.handshake()["sid"].is_string());
}
