//! The maximum memory of a call that `serve -v` reports holds for scripts that use all they can.

use std::fmt::Write;

use crate::support::{
    program::{Place, Serving},
    server::Client,
};

/// Number of variables that are filled at each level of calls.
const VARIABLES: usize = 12;

/// Maximum number of log lines until the end of the call is announced.
const LINES: usize = 4;

/// Returns a script that fills variables at this many levels of calls, each with `value`, made from the variable of
/// `large`.
fn hostile(levels: usize, large: &str, value: &str) -> String {
    let mut script = "fn fill(large, level) {\n".to_owned();
    for n in 0..VARIABLES {
        writeln!(script, "let _kept_{n} = {value};").unwrap();
    }
    write!(
        script,
        "if level > 1 {{ fill(large, level - 1); }}
        }}
        fn on_connection(socket) {{
            socket.on(\"there\", || true);
            socket.on(\"fill\", || {{
                {large}
                fill(large, {levels});
                \"filled\"
            }});
        }}"
    )
    .unwrap();
    script
}

const TEXT: [&str; 2] = [
    "let large = \"\"; large.pad(260000, \"x\");",
    "large + level",
];

/// Starts the program for such a script, and returns the maximum of bytes per call that it reports.
fn serve(place: &Place, limits: &[&str]) -> (Serving, usize) {
    let arguments = ["serve", "-v", "--port", "0", "--max-call-time", "60s"];
    let serving = place.serve(&[&arguments, limits].concat(), &[]);
    let line = serving.line();
    let reported = line.split_once(" MB of memory").expect(&line).0;
    let reported = reported
        .rsplit_once(' ')
        .unwrap()
        .1
        .parse::<usize>()
        .unwrap()
        * 1_000_000;
    (serving, reported)
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

/// With the default limits except for the time, checks that the call is ended, other clients are served, and the
/// process has grown by less than was reported.
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
async fn is_ended(large: &str, value: &str) {
    let place = Place::new(&[("scripts/main.rhai", &hostile(30, large, value))]);
    let (serving, reported) = serve(&place, &[]);
    assert!(reported < 100_000_000, "{reported}");
    let mut other = client(&serving).await;
    let mut client = client(&serving).await;
    let before = serving.memory("VmRSS");
    client.send("420[\"fill\"]").await;
    let ended = |line: &String| line.contains("took more memory than it may");
    assert!((0..LINES).any(|_| ended(&serving.line())));
    other.send("420[\"there\"]").await;
    let answer = other.until(|packet| packet.starts_with("43")).await;
    assert_eq!(answer, "430[true]");
    let taken = serving.memory("VmHWM") - before;
    assert!(taken < reported, "{taken} bytes, and {reported} were said");
    // Half of a string that has grown is spare capacity, which counts for the limit but is never touched.
    assert!(taken > 30_000_000, "{taken} bytes");
}

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[tokio::test]
async fn a_call_that_keeps_strings_is_ended() {
    let [_, value] = TEXT;
    is_ended("let large = \"\"; large.pad(1000000, \"x\");", value).await;
}

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[tokio::test]
async fn a_call_that_keeps_arrays_is_ended() {
    is_ended("let large = []; large.pad(4900, [7]);", "[large, level]").await;
}

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[tokio::test]
async fn a_call_that_keeps_maps_is_ended() {
    let map = "let large = #{}; for n in 0..9000 { large[`a key that takes memory ${n}`] = n; }";
    is_ended(map, "#{ large: large }").await;
}

/// Keeps as many strings of the largest size as there may be variables, at each level of calls.
#[cfg(all(not(feature = "jemalloc"), target_os = "linux"))]
#[tokio::test]
async fn a_call_that_is_not_measured_takes_no_more_memory_than_was_said() {
    let [large, value] = TEXT;
    let place = Place::new(&[("scripts/main.rhai", &hostile(6, large, value))]);
    let limits = [
        ["--max-variables", "16"],
        ["--max-call-levels", "8"],
        ["--max-string-size", "256KiB"],
        ["--max-array-size", "1000"],
        ["--max-map-size", "1000"],
        ["--max-produced", "1MiB"],
    ];
    let (serving, reported) = serve(&place, &limits.concat());
    let mut client = client(&serving).await;
    let before = serving.memory("VmRSS");
    client.send("420[\"fill\"]").await;
    let answer = client.until(|packet| packet.starts_with("43")).await;
    assert_eq!(answer, "430[\"filled\"]");
    let taken = serving.memory("VmHWM") - before;
    assert!(taken < reported, "{taken} bytes, and {reported} were said");
    // The script really fills as much as intended.
    assert!(taken > VARIABLES * 6 * 260_000, "{taken} bytes");
}

/// The queue of each client contains nearly all broadcasts, and all clients share the same frames.
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[tokio::test]
async fn clients_that_do_not_read_share_the_frames_of_a_broadcast() {
    const CLIENTS: usize = 60;
    const BROADCASTS: usize = 14;
    let script = "fn on_connection(socket) {
        socket.on(\"send\", || {
            let large = \"\"; large.pad(950000, \"x\");
            io.emit(\"large\", large);
            \"sent\"
        });
    }";
    let place = Place::new(&[("scripts/main.rhai", script)]);
    // Long times, so that no client is disconnected however long the broadcasts take.
    let times = [
        "--ping-interval=1h",
        "--ping-timeout=1h",
        "--write-timeout=1h",
    ];
    let (serving, _) = serve(&place, &times);
    let mut stalled = Vec::new();
    for _ in 0..CLIENTS {
        let address = serving.address.parse().unwrap();
        stalled.push(crate::support::wire::stalled_client_at(address).await);
    }
    let mut client = client(&serving).await;
    let before = serving.memory("VmRSS");
    for n in 0..BROADCASTS {
        client.send(&format!("42{n}[\"send\"]")).await;
        let answer = client.until(|packet| packet.starts_with("43")).await;
        assert_eq!(answer, format!("43{n}[\"sent\"]"));
    }
    let taken = serving.memory("VmRSS").saturating_sub(before);
    assert!(taken < 60 << 20, "{taken} bytes");
    // The broadcasts are still queued: no client was disconnected.
    assert!(taken > 8 << 20, "{taken} bytes");
}
