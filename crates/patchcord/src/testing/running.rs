//! Test that runs on this thread: its host, its output, and the hints for its failure.
//!
//! The functions of tests are native functions that do not receive the host as an argument, so they find it here.

use std::{cell::RefCell, rc::Rc};

use rhai::{EvalAltResult, Position};

use super::host::TestHost;

/// State of the test that runs on this thread: its host, and the hints for its failure.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) host: RefCell<TestHost>,
    pub(super) seen: RefCell<Vec<String>>,
    printed: RefCell<Vec<String>>,
}

impl Running {
    pub(super) fn new(host: TestHost) -> Rc<Self> {
        Rc::new(Self {
            host: RefCell::new(host),
            seen: RefCell::default(),
            printed: RefCell::default(),
        })
    }

    /// Runs a test, or a part of it.
    pub(super) fn enter<T>(self: &Rc<Self>, test: impl FnOnce() -> T) -> T {
        RUNNING.set(Some(self.clone()));
        let result = test();
        RUNNING.set(None);
        result
    }
}

thread_local! {
    static RUNNING: RefCell<Option<Rc<Running>>> = const { RefCell::new(None) };
}

/// Outcome of a test.
pub(super) struct Ran<T> {
    pub(super) result: T,
    pub(super) host: TestHost,
    /// Hints about what clients had received when the test failed.
    pub(super) seen: Vec<String>,
    /// Lines that the test itself printed.
    pub(super) printed: Vec<String>,
}

/// Runs a test against a host.
pub(super) fn with_host<T>(host: TestHost, test: impl FnOnce() -> T) -> Ran<T> {
    let running = Running::new(host);
    let result = running.enter(test);
    let host = running.host.replace(TestHost::with([]));
    Ran {
        result,
        host,
        seen: running.seen.take(),
        printed: running.printed.take(),
    }
}

/// Stores a line that a test prints, and adds it to the report instead of printing it, because the report may be data
/// that a program reads.
pub(super) fn print(text: &str) {
    if let Some(running) = RUNNING.with_borrow(Clone::clone) {
        running.printed.borrow_mut().push(text.to_owned());
    }
}

pub(super) type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Fails the test that runs on this thread. `seen` becomes the hints of the failure.
pub(super) fn fail<T>(message: impl Into<String>, seen: Vec<String>) -> Fallible<T> {
    if let Some(running) = RUNNING.with_borrow(Clone::clone) {
        running.seen.replace(seen);
    }
    Err(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE).into())
}

/// Runs `act` with the host of the test that runs on this thread.
pub(super) fn on_host<T>(act: impl FnOnce(&mut TestHost) -> T) -> Fallible<T> {
    match RUNNING.with_borrow(Clone::clone) {
        Some(running) => Ok(act(&mut running.host.borrow_mut())),
        None => fail("there is no test here: write a function `test_...`", vec![]),
    }
}
