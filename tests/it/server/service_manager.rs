//! Notifications to systemd.

use std::os::unix::net::UnixDatagram;

use crate::support::{program::Place, server::TEST_TIMEOUT};

/// Returns the next message, as its lines.
fn next(socket: &UnixDatagram) -> Vec<String> {
    let mut message = [0; 512];
    let length = socket.recv(&mut message).unwrap();
    let text = String::from_utf8(message[..length].to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_service_manager_hears_when_the_server_is_ready_reloads_and_stops() {
    let place = Place::new(&[]);
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut serving = place.serve(&["--port", "0"], &variables);
    assert_eq!(next(&socket), ["READY=1"]);
    // A reload, and a restart in place.
    for signal in ["-HUP", "-USR2"] {
        serving.send(signal);
        let lines = next(&socket);
        assert_eq!(lines[0], "RELOADING=1");
        let time = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().is_ok(), "{lines:?}");
        assert_eq!(next(&socket), ["READY=1"]);
    }
    serving.signal();
    assert_eq!(next(&socket), ["STOPPING=1"]);
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn the_example_units_start_the_program_with_options_that_exist() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/systemd");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let service = read("patchcord.service").replace("\\\n", " ");
    let start = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let help = Place::new(&[]).run(&["serve", "--help"], &[]);
    let help = String::from_utf8(help.stdout).unwrap();
    let flags: Vec<_> = start.split(' ').filter(|w| w.starts_with("--")).collect();
    assert!(flags.len() > 1, "{start}");
    for flag in flags {
        assert!(help.contains(&format!(" {flag} ")), "{flag}");
    }
    assert!(service.contains("Type=notify"));
    assert!(read("patchcord.socket").contains("ListenStream="));
}
