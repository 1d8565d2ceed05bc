//! Interactive tests, which are written line by line.
//!
//! A line may call the functions of tests. `io` is the namespace `/`, or the first namespace if there is no `/`. Files
//! are read again before each line, so an edit on disk takes effect for the clients of the console.

use std::{rc::Rc, sync::Arc, time::Duration};

use rhai::Dynamic;

use super::{
    host::TestHost,
    running::Running,
    suite::MEMORY,
    test_api::{client_id, lines, shown},
};
use crate::{
    api,
    diagnostic::Diagnostic,
    event::HostEvent,
    script::{Limits, LoadError, Loader, ReplSession},
};

/// Maximum time of a line, including the calls that result from it.
const TIME: Duration = Duration::from_secs(5);

/// Interactive console: a host in memory, its clients, and the variables of the user.
///
/// ```
/// use std::sync::Arc;
/// use patchcord::{script::Memory, testing::Console};
///
/// let script = "fn on_connection(socket) { socket.on(\"add\", |a, b| { socket.emit(\"sum\", a + b); }); }";
/// let mut console = Console::open(Arc::new(Memory::from([("main.rhai", script)])))?;
/// console.run("let ada = connect()");
/// assert_eq!(console.run("ada.emit(\"add\", 1, 2)").heard, ["ada heard sum [3]"]);
/// assert_eq!(console.run("ada.handlers.len()").value?.as_deref(), Some("1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Console {
    lines: ReplSession,
    running: Rc<Running>,
}

/// Result of a line.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Value of the line, if it has a value, or the error.
    pub value: Result<Option<String>, Box<Diagnostic>>,
    /// Events that clients received, and disconnects of clients, each as one sentence.
    pub heard: Vec<String>,
    /// Events that the host announced.
    pub events: Vec<HostEvent>,
}

impl Console {
    /// Opens a console for the scripts from a loader.
    ///
    /// # Errors
    /// Fails if the scripts cannot be read.
    pub fn open(scripts: Arc<dyn Loader>) -> Result<Self, LoadError> {
        scripts.list()?;
        let host = TestHost::over(scripts);
        // The first call starts recording the events of the clients.
        host.news();
        let limits = Limits {
            time: TIME,
            call_memory: MEMORY,
            ..Limits::default()
        };
        Ok(Self {
            lines: lines(&host, limits),
            running: Running::new(host),
        })
    }

    /// Returns the events that the host has announced since the last line.
    pub fn events(&self) -> Vec<HostEvent> {
        self.running.host.borrow().events()
    }

    /// Returns `true` if a text is incomplete, such as a block without its end.
    pub fn is_unfinished(&self, text: &str) -> bool {
        self.lines.is_unfinished(text)
    }

    /// Returns the start of the name at the end of `text`, and the completions of the name.
    pub fn complete(&self, text: &str) -> (usize, Vec<String>) {
        self.lines.complete(text)
    }

    /// Runs one line, or several lines that belong together, and then all work that results from it.
    pub fn run(&mut self, text: &str) -> Answer {
        let (runtime, turn) = {
            let host = self.running.host.borrow();
            host.reload();
            host.turn()
        };
        let lines = &mut self.lines;
        let mut line = || self.running.enter(|| lines.run(text));
        let result = runtime.run(|| match turn {
            Some(turn) => turn.run(line),
            None => line(),
        });
        let seen = self.running.seen.take();
        let value = match result {
            Ok(value) => Ok((!value.is_unit()).then(|| self.shown(&value))),
            Err(mut problem) => {
                problem.hints.splice(0..0, seen);
                Err(problem)
            }
        };
        let host = self.running.host.borrow();
        let heard = host.news().into_iter();
        Answer {
            value,
            heard: heard
                .map(|(client, what)| format!("{} {what}", self.name(&client)))
                .collect(),
            events: host.events(),
        }
    }

    /// Returns the name of the variable that holds a client, or the id of the client if there is none.
    fn name<'a>(&'a self, client: &'a str) -> &'a str {
        let holds = |value| client_id(value).is_some_and(|id| id == client);
        let mut variables = self.lines.variables();
        let holder = variables.find(|(_, value)| holds(value));
        holder.map_or(client, |(name, _)| name)
    }

    fn shown(&self, value: &Dynamic) -> String {
        match client_id(value) {
            Some(id) => self.name(&id).to_owned(),
            None => match api::as_value(value.flatten_clone()) {
                Ok(value) => shown(&value),
                Err(problem) => problem.to_string(),
            },
        }
    }
}
