//! Time that a call may take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use patchcord::{Options, testing::TestHost};
use rustix::time::{ClockId, clock_gettime};

/// Uses this much CPU time, however long that takes.
fn work(milliseconds: i64) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let end = used() + Duration::from_millis(milliseconds.unsigned_abs());
    while used() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn a_call_is_over_its_time_by_one_native_call_at_most() {
    // The second time is longer than the coarse clock runs without a new call.
    for time in [400, 1_500] {
        let calls = Arc::new(AtomicU64::new(0));
        let count = calls.clone();
        let script = "fn on_connection(socket) { socket.on(\"x\", || { loop { work(); } }); }";
        let host = TestHost::build([("main.rhai", script)], |builder| {
            let mut options = Options::default();
            options.limits.time = Duration::from_millis(time);
            builder.options(options).function("work", move || {
                count.fetch_add(1, Ordering::Relaxed);
                work(20);
            })
        });
        let client = host.connect("/").unwrap();
        client.emit("x", ());
        assert!(host.problems()[0].contains("took longer than it may"));
        let calls = calls.load(Ordering::Relaxed);
        assert!(
            calls <= time / 20 + 1,
            "{calls} calls of 20 ms in {time} ms"
        );
    }
}
