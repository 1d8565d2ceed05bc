//! A script is checked, loaded, serves a client, and is replaced by an edit.
#![no_main]

use std::{thread, time::Duration};

use libfuzzer_sys::fuzz_target;
use patchcord::{Options, testing::TestHost};

/// More than the program's threads have, for code that is instrumented.
const STACK: usize = 128 << 20;

fn serve(text: &str) {
    let files = [("main.rhai", text), ("lib/a.rhai", text)];
    let mut host = TestHost::build(files, |builder| {
        let mut options = Options::default();
        options.limits.operations = 20_000;
        options.limits.time = Duration::from_secs(2);
        builder.options(options)
    });
    let client = host.connect("/");
    if let Ok(client) = &client {
        client.emit("go", 1);
    }
    host.edit("main.rhai", &format!("{text}\n// edited"));
    if let Ok(client) = &client {
        client.emit("go", "two");
        client.disconnect();
    }
    for problem in host.problems() {
        assert!(!problem.contains("panicked"), "{problem}");
    }
    host.close();
}

fuzz_target!(|text: &str| {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let served = thread.spawn_scoped(scope, || serve(text));
        served.expect("a thread").join().expect("no panic");
    });
});
