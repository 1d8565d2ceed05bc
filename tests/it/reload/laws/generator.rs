//! Random scripts over the whole script API.
//!
//! Every line of a generated script begins a statement or closes a block, so a line may be inserted before each line
//! that has a tag. A *tag* is a number that occurs at only one place of the text, where it is sent or returned, never
//! kept.

use std::{collections::BTreeMap, ops::Range};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::numbers::has_number;

mod bodies;
mod functions;
mod statements;

/// First tag; no other number of a script is that large.
pub(crate) const FIRST_TAG: i64 = 100_001;

/// Rooms that clients join.
pub(crate) const ROOMS: [&str; 3] = ["r0", "r1", "r2"];

/// Keys of `socket.data`.
const KEYS: [&str; 3] = ["k0", "k1", "k2"];

/// A generated script with the files that it imports.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) files: BTreeMap<&'static str, String>,
    /// Events that clients may send.
    pub(crate) events: Vec<String>,
    pub(crate) tags: Vec<i64>,
    /// `true` for a script that draws random values or reads the time, so that no second host does the same.
    pub(crate) is_random: bool,
}

impl Program {
    pub(crate) fn generate(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let is_random = random.random_bool(0.25);
        Writer::new(random, is_random).program()
    }

    pub(crate) fn main(&self) -> &str {
        &self.files["main.rhai"]
    }

    /// Returns the index of the first line of the body of `on_connection`.
    pub(crate) fn entry_line(&self) -> usize {
        let begins = |line: &str| {
            line.contains("fn on_connection(") || line.contains("io.on(\"connection\"")
        };
        self.main().lines().position(begins).unwrap() + 1
    }

    /// Returns adjacent statements of `on_connection` that register listeners of different events: their lines in
    /// `main.rhai`.
    pub(crate) fn lone_pairs(&self) -> Vec<[Range<usize>; 2]> {
        let lines: Vec<_> = self.main().lines().collect();
        let indent = |line: &str| line.len() - line.trim_start().len();
        let lone =
            (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("socket.on(\"lone"));
        let ranges: Vec<_> = lone
            .map(|start| {
                let is_end = |line: &&str| {
                    line.trim().starts_with("});") && indent(line) == indent(lines[start])
                };
                // A listener whose closure is an expression is on one line.
                let end = lines[start..].iter().position(is_end);
                start..start + 1 + end.unwrap_or_default()
            })
            .collect();
        let pairs = ranges
            .windows(2)
            .filter(|pair| pair[0].end == pair[1].start);
        pairs
            .map(|pair| [pair[0].clone(), pair[1].clone()])
            .collect()
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (*name, text.as_str()))
    }
}

/// Type of a variable of a generated script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    Text,
    List,
    Map,
    /// `()` at first, another type later.
    Late,
    /// `|peek| ..`, which changes something only if `peek` is `false`.
    Closure,
    /// A map with data and a closure.
    Table,
    /// An array of closures.
    Closures,
    Timeout,
    Interval,
}

/// Variables at the place where code is written, and whether it has a socket.
#[derive(Debug, Clone, Default)]
struct Scope {
    variables: Vec<(String, Type)>,
    /// Number of enclosing closures and functions.
    depth: usize,
    /// `true` in code of the namespace, which has no socket.
    is_load: bool,
}

impl Scope {
    fn inner(&self) -> Self {
        let mut inner = self.clone();
        inner.depth += 1;
        inner
    }
}

struct Writer {
    random: StdRng,
    is_random: bool,
    lines: Vec<String>,
    indent: usize,
    names: usize,
    events: Vec<String>,
    tags: Vec<i64>,
    /// Names of functions, by their purpose.
    helpers: Vec<String>,
    logins: Vec<String>,
    listeners: Vec<String>,
    loops: Vec<String>,
    has_lib: bool,
}

impl Writer {
    fn new(random: StdRng, is_random: bool) -> Self {
        Self {
            random,
            is_random,
            lines: Vec::new(),
            indent: 0,
            names: 0,
            events: Vec::new(),
            tags: Vec::new(),
            helpers: Vec::new(),
            logins: Vec::new(),
            listeners: Vec::new(),
            loops: Vec::new(),
            has_lib: false,
        }
    }

    fn program(mut self) -> Program {
        let mut files = BTreeMap::new();
        if self.random.random_bool(0.5) {
            self.lib();
            files.insert("lib/x.rhai", self.take_file());
            self.forget_functions();
            self.has_lib = true;
            self.line("import \"lib/x\" as x;");
        }
        self.line("const STEP = 2;");
        self.functions();
        self.hooks();
        self.on_connection();
        files.insert("main.rhai", self.take_file());
        files.insert(
            "other.rhai",
            "fn on_connection(socket) { socket.on(\"o\", || 1); }\n".to_owned(),
        );
        self.events.sort();
        self.events.dedup();
        let text: String = files.values().cloned().collect();
        self.tags.retain(|tag| has_number(&text, *tag));
        Program {
            files,
            events: self.events,
            tags: self.tags,
            is_random: self.is_random,
        }
    }

    fn take_file(&mut self) -> String {
        let mut text = std::mem::take(&mut self.lines).join("\n");
        text.push('\n');
        text
    }

    fn forget_functions(&mut self) {
        for names in [
            &mut self.helpers,
            &mut self.logins,
            &mut self.listeners,
            &mut self.loops,
        ] {
            names.clear();
        }
    }

    fn line(&mut self, text: impl AsRef<str>) {
        let indent = "    ".repeat(self.indent);
        self.lines.push(format!("{indent}{}", text.as_ref()));
    }

    /// Writes a block: its first line, its body, and its last line.
    fn block(&mut self, first: &str, last: &str, write: impl FnOnce(&mut Self)) {
        self.line(first);
        self.indent += 1;
        write(self);
        self.indent -= 1;
        self.line(last);
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn tag(&mut self) -> i64 {
        let tag = FIRST_TAG + i64::try_from(self.tags.len()).unwrap();
        self.tags.push(tag);
        tag
    }

    /// Returns a new event, or sometimes one that another listener has.
    fn event(&mut self) -> String {
        if !self.events.is_empty() && self.chance(0.15) {
            return self.known_event();
        }
        let event = self.name("e");
        self.events.push(event.clone());
        event
    }

    fn known_event(&mut self) -> String {
        match self.events.is_empty() {
            true => "e0".to_owned(),
            false => self.events[self.random.random_range(0..self.events.len())].clone(),
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    fn below(&mut self, n: usize) -> usize {
        self.random.random_range(0..n)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.random_range(0..from.len())]
    }

    fn pick_name(&mut self, from: &[String]) -> Option<String> {
        (!from.is_empty()).then(|| from[self.random.random_range(0..from.len())].clone())
    }

    /// Returns a variable of one of these types.
    fn variable(&mut self, scope: &Scope, types: &[Type]) -> Option<String> {
        let found: Vec<_> = scope
            .variables
            .iter()
            .filter(|(_, kind)| types.contains(kind))
            .collect();
        (!found.is_empty()).then(|| found[self.random.random_range(0..found.len())].0.clone())
    }

    /// Returns an expression that can be sent.
    fn value(&mut self, scope: &Scope) -> String {
        let types = [Type::Int, Type::Text, Type::List, Type::Map, Type::Late];
        match self.variable(scope, &types) {
            Some(name) => name,
            None => self.below(9).to_string(),
        }
    }

    /// Returns an expression with everything that is visible of the variables of a scope.
    fn seen(&self, scope: &Scope) -> String {
        let shown = scope
            .variables
            .iter()
            .filter_map(|(name, kind)| match kind {
                Type::Int | Type::Text | Type::List | Type::Map | Type::Late => Some(name.clone()),
                Type::Closure => Some(format!("{name}.call(true)")),
                Type::Table => Some(format!("{name}.n, {name}.f.call(true)")),
                Type::Closures => Some(format!("{name}.len")),
                Type::Timeout | Type::Interval => None,
            });
        format!("[{}]", shown.collect::<Vec<_>>().join(", "))
    }
}
