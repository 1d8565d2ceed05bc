//! A script problem as data, until the last moment.
//!
//! In come Rhai's `ParseError` and `EvalAltResult` (the module `rhai`, the only place that reads them), or a
//! problem that a check of ours found. Out goes one [`Diagnostic`]: log, JSON, pages and embedders get that same
//! value, and [`render()`] is the only place that makes text of it for people. A diagnostic never fails to be made: what
//! an error does not tell (its place, the text of its file) is left out.
//!
//! # JSON
//!
//! `Diagnostic` serializes to the shape below; every key is always there, and the texts of files are left out.
//!
//! ```json
//! {
//!   "severity": "error",
//!   "message": "unknown function `brodcast` on `socket`",
//!   "place": { "file": "chat.rhai", "line": 12, "column": 10, "length": 8 },
//!   "trace": [{ "kind": "function", "function": "greet",
//!               "place": { "file": "chat.rhai", "line": 4, "column": 5, "length": 5 } }],
//!   "hints": ["`socket` has a function `broadcast`"],
//!   "origin": { "namespace": "/chat", "call": "`message` handler", "socket": "abc", "version": 3 }
//! }
//! ```
//!
//! `severity` is `error` or `warning`, `kind` is `function`, `closure` or `import`; `place`, `origin` and `socket`
//! may be `null`.

#[cfg(any(test, feature = "internals"))]
pub mod hostile;
pub(crate) mod javascript;
mod render;
mod rhai;
#[cfg(test)]
mod tests;
mod visible;

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

pub use self::render::{Style, render};
pub(crate) use self::rhai::{place, type_word, unknown_variable};
pub use self::visible::{is_hidden, visible, visible_lines};

/// Gives the text of a file by its path relative to the scripts folder, if it is known.
pub type Sources<'a> = &'a dyn Fn(&str) -> Option<Arc<str>>;

/// One problem of a script: what, where, how it came there, and what helps.
///
/// ```
/// use patchcord::diagnostic::{Diagnostic, Place};
///
/// let problem = Diagnostic::error("this script is too old")
///     .at(Place::new("chat.rhai", 1, 1))
///     .hint("the page has a new one");
/// assert_eq!(
///     problem.to_string(),
///     "error: this script is too old\n--> chat.rhai:1:1\nhint: the page has a new one"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Whether the script can be used at all.
    pub severity: Severity,
    /// What is wrong: lower-case, without a final period, names of the user in backticks.
    pub message: String,
    /// Where it is wrong, if that is known.
    pub place: Option<Place>,
    /// The calls that led to `place`, the outermost first. Calls made by the host itself are not in it.
    pub trace: Vec<Frame>,
    /// Statements that help to repair it, each shown on a line of its own.
    pub hints: Vec<String>,
    /// What the host was doing, if it was calling the script.
    pub origin: Option<Origin>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// The version cannot be served, or the call has failed.
    Error,
    /// The script works, but probably not as meant.
    Warning,
}

/// A stretch of one line of a script file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// Path of the file relative to the scripts folder, for example `lib/names.rhai`.
    #[serde(serialize_with = "text")]
    pub file: Arc<str>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// How many characters to underline, at least 1.
    pub length: usize,
    /// The whole text of the file, for the excerpt.
    #[serde(skip)]
    pub source: Option<Arc<str>>,
}

/// One call, or one import, on the way to the place of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// What was called.
    pub kind: FrameKind,
    /// Name of the function, `closure`, or the path of the imported module.
    pub function: String,
    /// Where it was called.
    pub place: Option<Place>,
}

/// What a [`Frame`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FrameKind {
    /// A call of a function with a name.
    Function,
    /// A call of a function without a name.
    Closure,
    /// The top level of an imported module.
    Import,
}

/// What the host was doing when a problem occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Origin {
    /// Name of the namespace, for example `/chat`.
    pub namespace: String,
    /// What was called, with its backticks: `` `message` handler ``, `` `on_connection` ``, `top level`.
    pub call: String,
    /// Id of the socket, when one was concerned.
    pub socket: Option<String>,
    /// Version of the script.
    pub version: u64,
}

impl Diagnostic {
    /// A problem that makes a script unusable, or a call fail.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A problem that the author should hear of, although the script works.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        Self {
            severity,
            message,
            place: None,
            trace: Vec::new(),
            hints: Vec::new(),
            origin: None,
        }
    }

    /// Says where the problem is.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Place>>) -> Self {
        self.place = place.into();
        self
    }

    /// Adds a statement that helps to repair it. Hints are shown in the order in which they were added.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// Says what the host was doing.
    #[must_use]
    pub fn from_call(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

/// Each problem once, in the order of files and lines.
#[doc(hidden)]
pub fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_cached_key(|diagnostic| {
        let place = diagnostic.place.as_ref();
        place.map(|place| (place.file.clone(), place.line, place.column))
    });
    found.dedup();
    found
}

/// The same text as [`render()`] without colours.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self, Style::Plain))
    }
}

impl std::error::Error for Diagnostic {}

impl Severity {
    /// The word that is shown: `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Place {
    /// One character of `file`; line and column count from 1.
    #[must_use]
    pub fn new(file: impl Into<Arc<str>>, line: usize, column: usize) -> Self {
        Self {
            file: file.into(),
            line: line.max(1),
            column: column.max(1),
            length: 1,
            source: None,
        }
    }

    /// Says how many characters to underline.
    #[must_use]
    pub fn length(mut self, characters: usize) -> Self {
        self.length = characters.max(1);
        self
    }

    /// Gives the whole text of the file, for the excerpt.
    #[must_use]
    pub fn source(mut self, text: Arc<str>) -> Self {
        self.source = Some(text);
        self
    }
}

/// `chat.rhai:12:10`, which terminals and editors turn into a link.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, verb) = match self.kind {
            FrameKind::Function => (format!("function `{}`", self.function), "called"),
            FrameKind::Closure => (self.function.clone(), "called"),
            FrameKind::Import => (format!("module `{}`", self.function), "imported"),
        };
        match &self.place {
            Some(place) => write!(f, "in {what} {verb} at {place}"),
            None => write!(f, "in {what}"),
        }
    }
}

impl Origin {
    /// A call into a script: its namespace, what was called, and which version of it.
    #[must_use]
    pub fn new(namespace: impl Into<String>, call: impl Into<String>, version: u64) -> Self {
        Self {
            namespace: namespace.into(),
            call: call.into(),
            socket: None,
            version,
        }
    }

    /// Says which socket was concerned.
    #[must_use]
    pub fn socket(mut self, id: impl Into<String>) -> Self {
        self.socket = Some(id.into());
        self
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of namespace `{}`", self.call, self.namespace)?;
        if let Some(socket) = &self.socket {
            write!(f, ", socket `{socket}`")?;
        }
        write!(f, ", version {}", self.version)
    }
}

fn text<S: Serializer>(value: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value)
}
