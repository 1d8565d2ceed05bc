//! Runner for tests of scripts: functions `test_...` in files `*_test.rhai`, each of which has its own host.
//!
//! In: the scripts and their tests. Out: an [`Outcome`] for each test. Each test runs on one thread; tests run in
//! parallel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rhai::Engine;
use serde::Serialize;

use super::{
    host::TestHost,
    running::{Ran, with_host},
    test_api::test_engine,
};
use crate::{
    diagnostic::Diagnostic,
    event::HostEvent,
    script::{
        CallError, Code, Handler, Limits, LoadError, Loader, Memory, Rejected, SymbolTable, Version,
    },
};

/// Maximum time of a test. It is long because a test does more than a single script call, and the machine may be busy.
const TIME: Duration = Duration::from_secs(60);
/// Maximum number of operations of a test.
const OPERATIONS: u64 = 100_000_000;
/// Maximum memory of a test, in bytes. It is large because the hosts and clients of a test are created within its call.
pub(super) const MEMORY: usize = 1 << 30;
/// Stack size of a thread that runs tests, in bytes. It is large because nested script calls use this stack.
const STACK: usize = 8 << 20;
/// Prefix of the names of test functions.
const PREFIX: &str = "test_";

/// Tests of a set of scripts.
#[derive(Debug)]
pub struct Suite {
    files: Vec<(String, String)>,
    tests: Vec<Test>,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

#[derive(Debug)]
struct Test {
    name: String,
    version: Arc<Version>,
}

/// Outcome of one test.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// File of the test.
    pub file: String,
    /// Name of the test function.
    pub name: String,
    /// Duration of the test, in milliseconds.
    pub milliseconds: u64,
    /// Reasons why the test failed; empty if it passed.
    pub problems: Vec<Diagnostic>,
    /// Lines that the test printed, and lines that the scripts logged during it.
    pub log: Vec<String>,
}

impl Outcome {
    /// Returns `true` if the test passed.
    pub const fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Suite {
    /// Reads all scripts, and compiles the tests for which `wanted` returns `true`. `wanted` receives the file and the
    /// name of each test.
    ///
    /// ```
    /// use patchcord::{script::Memory, testing::Suite};
    ///
    /// let scripts = Memory::from([
    ///     ("main.rhai", "fn on_connection(socket) { socket.emit(\"welcome\", \"Hello!\"); }"),
    ///     ("main_test.rhai", "fn test_greets() { connect(\"/\").expect(\"welcome\", \"Hello!\"); }"),
    /// ]);
    /// let outcomes = Suite::load(&scripts, |_file, _name| true)?.run(|_| ());
    /// assert!(outcomes.iter().all(|outcome| outcome.passed()));
    /// # Ok::<(), patchcord::script::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the scripts cannot be read.
    pub fn load(
        loader: &dyn Loader,
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Self, LoadError> {
        let mut files = Vec::new();
        for name in loader.list()? {
            let text = loader.read(&name)?;
            files.push((name, text));
        }
        let limits = limits();
        let (engine, known) = test_engine(&limits);
        let mut suite = Self {
            files,
            tests: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        suite.compile(&Arc::new(engine), &known, &limits, &wanted);
        Ok(suite)
    }

    fn compile(
        &mut self,
        engine: &Arc<Engine>,
        known: &SymbolTable,
        limits: &Limits,
        wanted: &dyn Fn(&str, &str) -> bool,
    ) {
        let memory: Memory = self
            .files
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .collect();
        let files = self.files.iter().map(|(name, _)| name);
        for file in files.filter(|name| name.ends_with("_test.rhai")) {
            match Code::load(engine, known, limits, &memory, file, 1, None) {
                Ok(code) => {
                    self.warnings.extend_from_slice(code.warnings());
                    let version = Arc::new(Version::from(code));
                    let names = version.functions().into_iter();
                    let tests = names.filter(|name| name.starts_with(PREFIX));
                    let wanted = tests.filter(|name| wanted(file, name));
                    self.tests.extend(wanted.map(|name| Test {
                        name,
                        version: version.clone(),
                    }));
                }
                Err(Rejected { diagnostics, .. }) => self.problems.extend(diagnostics),
            }
        }
    }

    /// Returns the reasons why some test files cannot be run.
    pub fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// Returns the warnings about code in the test files that is probably a mistake.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Returns the number of tests.
    pub fn len(&self) -> usize {
        self.tests.len()
    }

    /// Returns `true` if there are no tests.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Runs all tests in parallel, and returns their outcomes in the order of the tests. `done` receives each outcome
    /// as soon as its test ends.
    pub fn run(&self, done: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::new());
        let work = || {
            while let Some((place, test)) = {
                let place = next.fetch_add(1, Ordering::Relaxed);
                self.tests.get(place).map(|test| (place, test))
            } {
                let outcome = self.run_one(test);
                done(&outcome);
                let mut outcomes = outcomes.lock();
                outcomes.push((place, outcome));
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads.min(self.tests.len()) {
                // If no more threads can be created, the existing ones do the work.
                let _ = thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, work);
            }
        });
        let mut outcomes = outcomes.into_inner();
        outcomes.sort_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn run_one(&self, test: &Test) -> Outcome {
        let began = Instant::now();
        let files = self
            .files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let host = TestHost::with(files);
        let handler = Handler::named(&test.version, &test.name);
        let call = || handler.map(|handler| handler.call(vec![]));
        let Ran {
            result,
            host,
            seen,
            printed,
        } = with_host(host, call);
        let mut problems: Vec<_> = match result {
            Some(Err(error)) => vec![failure(&error, test, seen)],
            _ => vec![],
        };
        let (mut log, mut failed) = (printed, Vec::new());
        for event in host.events() {
            match event {
                HostEvent::HandlerFailed { diagnostic } => failed.push(diagnostic),
                HostEvent::Rejected { diagnostics, .. } => failed.extend(diagnostics),
                HostEvent::Log { text, .. } => log.push(text),
                _ => {}
            }
        }
        problems.extend(failed);
        host.close();
        Outcome {
            file: test.version.entry().to_string(),
            name: test.name.clone(),
            milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            problems,
            log,
        }
    }
}

fn failure(error: &CallError, test: &Test, seen: Vec<String>) -> Diagnostic {
    let version = &test.version;
    let mut diagnostic = match error {
        CallError::Script(error) => {
            Diagnostic::from_eval(error, version.entry(), &|file| version.source(file))
        }
        CallError::Panic(text) => Diagnostic::error(format!("a native function panicked: {text}")),
    };
    diagnostic.hints.splice(0..0, seen);
    diagnostic
}

/// Returns the limits of the call of a test itself.
fn limits() -> Limits {
    Limits {
        operations: OPERATIONS,
        time: TIME,
        call_memory: MEMORY,
        ..Limits::default()
    }
}
