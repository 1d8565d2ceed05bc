//! Gate for calls of scripts: they wait until a test lets them continue.

use std::sync::{Arc, Condvar, Mutex, mpsc};

use patchcord::testing::TestHost;

use super::server::TEST_TIMEOUT;

/// Native function at which the calls of scripts wait while it is shut.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<Passage>, Condvar)>);

#[derive(Debug, Default)]
struct Passage {
    /// Number of calls that pass before the gate is shut; `None` while it is open.
    passes: Option<usize>,
    waiting: usize,
}

impl Gate {
    /// Waits while the gate is shut; the native function calls this.
    pub(crate) fn pass(&self) {
        let (passage, changed) = &*self.0;
        let mut passage = passage.lock().unwrap();
        match &mut passage.passes {
            None => return,
            Some(passes @ 1..) => {
                *passes -= 1;
                return;
            }
            Some(0) => {}
        }
        passage.waiting += 1;
        changed.notify_all();
        let shut = |passage: &mut Passage| passage.passes.is_some();
        let (mut passage, end) = changed
            .wait_timeout_while(passage, TEST_TIMEOUT, shut)
            .unwrap();
        passage.waiting -= 1;
        drop(passage);
        assert!(!end.timed_out(), "the gate stays shut");
    }

    /// Shuts the gate after this many further calls.
    pub(crate) fn shut_after(&self, passes: usize) {
        self.0.0.lock().unwrap().passes = Some(passes);
    }

    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().passes = None;
        self.0.1.notify_all();
    }

    /// Waits until a call waits at the gate.
    pub(crate) fn reached(&self) {
        let (passage, changed) = &*self.0;
        let nobody = |passage: &mut Passage| passage.waiting == 0;
        let passage = passage.lock().unwrap();
        let (passage, end) = changed
            .wait_timeout_while(passage, TEST_TIMEOUT, nobody)
            .unwrap();
        drop(passage);
        assert!(!end.timed_out(), "no call has come to the gate");
    }
}

/// Saves `main.rhai` and reloads on a thread of its own, because the reload may not end. The receiver gets the host
/// back.
pub(crate) fn edit_elsewhere(mut host: TestHost, text: String) -> mpsc::Receiver<TestHost> {
    let (done, edited) = mpsc::channel();
    std::thread::spawn(move || {
        host.edit("main.rhai", &text);
        drop(done.send(host));
    });
    edited
}
