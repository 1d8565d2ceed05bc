//! Sockets that the program is started with, as systemd does it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
};

use crate::support::{
    program::{Place, Serving, pass},
    server::TEST_TIMEOUT,
};

fn listener(address: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn it_serves_on_the_sockets_that_it_inherits() {
    let place = Place::new(&[]);
    let (clients, address) = listener("127.0.0.1:0");
    let (admin, admin_address) = listener("127.0.0.1:0");
    // A client that comes before the program waits.
    let mut early = TcpStream::connect(&address).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    early.write_all(request.as_bytes()).unwrap();
    let flags = [
        "-v",
        "--port",
        "1",
        "--admin-listen",
        "127.0.0.1:1",
        "--allow-env",
        "LISTEN_FDS,LISTEN_PID",
    ];
    let mut command = place.command(&flags, &[]);
    pass(
        &mut command,
        vec![admin.into(), clients.into()],
        "admin:http",
    );
    let serving = Place::listening(command);
    assert_eq!(serving.address, address);
    for name in ["LISTEN_FDS", "LISTEN_PID"] {
        let expected = format!("`--allow-env {name}`: this variable is not set");
        serving.line_with(&expected);
    }
    let expected = format!("the socket of http://{address} was open already, and was inherited");
    serving.line_with(&expected);
    early.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(get(&admin_address, "/readyz", "localhost").starts_with("HTTP/1.1 200"));
}

/// Starts the program as the process to which `LISTEN_PID` belongs.
fn started_by_a_manager(place: &Place, socket: TcpListener, pid: &str, flags: &str) -> Serving {
    let program = env!("CARGO_BIN_EXE_patchcord");
    let script = format!("LISTEN_PID={pid} exec {program} --port 0 -v {flags}");
    let mut command = place.command_of(Path::new("/bin/sh"), &["-c", &script], &[]);
    pass(&mut command, vec![socket.into()], "");
    Place::listening(command)
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let place = Place::new(&[]);
    let (socket, address) = listener("127.0.0.1:0");
    assert_eq!(
        started_by_a_manager(&place, socket.try_clone().unwrap(), "$$", "").address,
        address
    );
    assert_ne!(
        started_by_a_manager(&place, socket, "1", "").address,
        address
    );
}

fn get(address: &str, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn host_names_are_checked_by_the_address_of_the_socket() {
    let place = Place::new(&[]);
    for (address, flag, status) in [
        ("127.0.0.1:0", "--host 0.0.0.0", "403"),
        ("0.0.0.0:0", "--host 127.0.0.1", "200"),
    ] {
        let (socket, _) = listener(address);
        let serving = started_by_a_manager(&place, socket, "$$", flag);
        let port = serving.address.rsplit(':').next().unwrap();
        let answer = get(&format!("127.0.0.1:{port}"), "/", "evil.example");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{address}: {answer}"
        );
    }
}

#[test]
fn sockets_that_cannot_be_used_are_told_in_one_line() {
    let place = Place::new(&[]);
    let (listener, address) = listener("127.0.0.1:0");
    let connected = TcpStream::connect(address).unwrap();
    let path = place.path().join("socket");
    let unix = UnixListener::bind(path).unwrap();
    for (socket, expected) in [
        (
            OwnedFd::from(unix),
            "error: `LISTEN_FDS=1`: there is no TCP socket to listen on: fd 3 is not a valid tcp socket",
        ),
        #[cfg(target_os = "linux")]
        (
            OwnedFd::from(connected),
            "error: the listening socket that was passed cannot be used: it does not listen; a socket of systemd needs \
             `Accept=no`",
        ),
    ] {
        let mut command = place.command(&[], &[]);
        pass(&mut command, vec![socket], "");
        let output = Place::ended(command);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().last(), Some(expected));
    }
    drop(listener);
    for (name, value, expected) in [
        (
            "LISTEN_FDS",
            "x",
            "`LISTEN_FDS=x` is not a number of sockets, at most 64",
        ),
        (
            "LISTEN_FDS",
            "65",
            "`LISTEN_FDS=65` is not a number of sockets, at most 64",
        ),
        (
            "LISTEN_PID",
            "x",
            "`LISTEN_PID=x` is not the id of a process",
        ),
    ] {
        let variables = [("LISTEN_FDS", "1"), (name, value)];
        let output = place.run(&[], &variables);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("error: {expected}")), "{text}");
    }
}
