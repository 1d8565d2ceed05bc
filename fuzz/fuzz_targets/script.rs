//! Checks and loads a script, serves a client with it, and edits it while the client is connected.
//!
//! The input is the script, and after a line `// edit` the text of the edit; without this line the same script is saved
//! with a comment. Limits are low, so that an input ends soon: `-timeout` finds what takes long nevertheless.
#![no_main]

use std::{
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use patchcord::{
    Options,
    testing::{TestClient, TestHost},
};

/// Stack size of the threads in the program, in bytes.
const STACK: usize = 8 << 20;
const EDIT: &str = "\n// edit\n";
const LIBRARY: &str = "const LIMIT = 3; fn twice(x) { x + x } fn later(f) { set_timeout(f, 1); }";
/// Script that is served between two inputs. All inputs share one host, because making a host takes ten times as long
/// as serving a script.
const BETWEEN: &str = "fn on_connection(socket) { }
fn on_load() { for key in io.data.keys() { io.data.remove(key); } }";

static HOST: LazyLock<Mutex<TestHost>> = LazyLock::new(|| {
    let files = [("main.rhai", BETWEEN), ("lib/a.rhai", LIBRARY)];
    Mutex::new(TestHost::build(files, |builder| builder.options(options())))
});

fn options() -> Options {
    let mut options = Options::default();
    let limits = &mut options.limits;
    limits.operations = 3_000;
    // High limit, so that libFuzzer's `-timeout` finds calls that hang.
    limits.time = Duration::from_secs(60);
    limits.string_size = 4_096;
    limits.array_size = 512;
    limits.map_size = 512;
    limits.produced = 1 << 20;
    limits.listeners = 32;
    limits.timers = 8;
    limits.acks = 8;
    limits.socket_data = 1 << 16;
    limits.io_data = 1 << 16;
    options
}

/// Returns the first events that a script listens to.
fn events(text: &str) -> impl Iterator<Item = &str> {
    let listens = text.split("on(\"").skip(1);
    listens.filter_map(|rest| rest.split('"').next()).take(4)
}

fn visit(client: &TestClient, text: &str) {
    client.emit("go", 1);
    for event in events(text) {
        client.ask(event, ("two", [3, 4], 5.5));
    }
    client.answer(["six"]);
}

fn serve(text: &str) {
    let (text, edited) = text.split_once(EDIT).unwrap_or((text, ""));
    let edited = match edited {
        "" => &format!("{text}\n// edited"),
        edited => edited,
    };
    let mut host = HOST.lock().expect("no panic before");
    host.edit("main.rhai", text);
    let client = host.connect("/").ok();
    client.iter().for_each(|client| visit(client, text));
    host.advance(2);
    host.edit("main.rhai", edited);
    client.iter().for_each(|client| visit(client, edited));
    host.advance(2);
    client.iter().for_each(TestClient::disconnect);
    host.edit("main.rhai", BETWEEN);
    drop(host.events());
}

fuzz_target!(|text: &str| {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let served = thread.spawn_scoped(scope, || serve(text));
        served.expect("a thread").join().expect("no panic");
    });
});
