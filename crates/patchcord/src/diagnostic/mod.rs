//! Script problems as data, until they are shown.
//!
//! In: Rhai's `ParseError` and `EvalAltResult` (read only by the module `rhai`), or a problem that one of patchcord's
//! checks has found. Out: one [`Diagnostic`]. Logs, JSON, pages and embedders receive this same value, and only
//! [`render()`] turns it into text for people. A diagnostic can always be created: information that an error lacks (its
//! location, the text of its file) is left out.
//!
//! # JSON
//!
//! `Diagnostic` serializes to the format below. Every key is always present, and the texts of files are left out.
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
//! `severity` is `error` or `warning`, `kind` is `function`, `closure` or `import`; `place`, `origin` and `socket` may
//! be `null`.

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

/// Function that returns the text of a file by its path relative to the scripts folder, if it is known.
pub type Sources<'a> = &'a dyn Fn(&str) -> Option<Arc<str>>;

/// Problem of a script: its description, its location, the calls that led to it, and hints for fixing it.
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
    /// Severity: an error, or a warning about a script that can be used.
    pub severity: Severity,
    /// Description of the problem: in lower case, without a final period, and with names from the script in backticks.
    pub message: String,
    /// Location of the problem, if known.
    pub place: Option<Place>,
    /// Calls that led to `place`, the outermost first, without calls that the host itself made.
    pub trace: Vec<Frame>,
    /// Statements that help to fix the problem, each shown on its own line.
    pub hints: Vec<String>,
    /// Call of the host into the script, if there was one.
    pub origin: Option<Origin>,
}

/// Severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// The version cannot serve, or the call has failed.
    Error,
    /// The script works, but probably not as intended.
    Warning,
}

/// Range of characters in one line of a script file.
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
    /// Number of characters to underline, at least 1.
    pub length: usize,
    /// Whole text of the file, for the excerpt.
    #[serde(skip)]
    pub source: Option<Arc<str>>,
}

/// Call or import that leads to the location of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// Kind of the function or import.
    pub kind: FrameKind,
    /// Name of the function, `closure`, or the path of the imported module.
    pub function: String,
    /// Location of the call.
    pub place: Option<Place>,
}

/// Kind of a [`Frame`].
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

/// Call of the host into a script, during which a problem occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Origin {
    /// Name of the namespace, for example `/chat`.
    pub namespace: String,
    /// Name of the called function, with its backticks: `` `message` handler ``, `` `on_connection` ``, `top level`.
    pub call: String,
    /// Id of the socket, if the call belongs to a socket.
    pub socket: Option<String>,
    /// Version of the script.
    pub version: u64,
}

impl Diagnostic {
    /// Creates the diagnostic of a problem that makes a script unusable, or that makes a call fail.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// Creates the diagnostic of a problem that the author should know about, although the script works.
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

    /// Sets the location of the problem.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Place>>) -> Self {
        self.place = place.into();
        self
    }

    /// Adds a statement that helps to fix the problem. Hints are shown in the order in which they were added.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// Sets the call of the host into the script.
    #[must_use]
    pub fn from_call(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

/// Removes duplicate problems, and sorts them by file and line.
#[doc(hidden)]
pub fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_cached_key(|diagnostic| {
        let place = diagnostic.place.as_ref();
        place.map(|place| (place.file.clone(), place.line, place.column))
    });
    found.dedup();
    found
}

/// Writes the same text as [`render()`] without colors.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self, Style::Plain))
    }
}

impl std::error::Error for Diagnostic {}

impl Severity {
    /// Returns the word for messages: `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Place {
    /// Creates the location of one character of `file`. The line and the column are counted from 1.
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

    /// Sets the number of characters to underline.
    #[must_use]
    pub fn length(mut self, characters: usize) -> Self {
        self.length = characters.max(1);
        self
    }

    /// Sets the whole text of the file, for the excerpt.
    #[must_use]
    pub fn source(mut self, text: Arc<str>) -> Self {
        self.source = Some(text);
        self
    }
}

/// Writes `chat.rhai:12:10`, which terminals and editors turn into a link.
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
    /// Creates the origin of a call into a script, from its namespace, the name of the called function, and the version
    /// of the script.
    #[must_use]
    pub fn new(namespace: impl Into<String>, call: impl Into<String>, version: u64) -> Self {
        Self {
            namespace: namespace.into(),
            call: call.into(),
            socket: None,
            version,
        }
    }

    /// Sets the socket of the call.
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
