//! Closures that keep an older text, with the reasons.

use std::sync::Arc;

use rhai::{Dynamic, FnPtr};
use serde::Serialize;

use super::{
    Handler, Version, captures::is_closure, places::Row, transition::Capture, values::each_closure,
};

/// Closure that keeps its older text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Stale {
    /// Name of the closure's file.
    pub file: Arc<str>,
    /// Line at which the closure starts, in the older text.
    pub line: usize,
    /// Readable name: the event of a listener, such as `"chat"`, or the function to which the closure was passed.
    pub what: String,
    /// Number of the version whose text the closure has.
    pub version: u64,
    /// Variable that the new text captures and that the closure does not have; `None` if its code has been removed.
    pub lacks: Option<String>,
}

impl Stale {
    /// Creates the entry for a closure of version number `version`.
    pub(super) fn new(row: &Row, version: u64, lacks: Option<&str>) -> Self {
        Self {
            file: row.file.clone(),
            line: row.position.0,
            what: row.title(),
            version,
            lacks: lacks.map(str::to_owned),
        }
    }

    /// Returns the version and the reason as text: "version 3: its new code captures `room`, which it does not have".
    pub fn reason(&self) -> String {
        let version = self.version;
        match &self.lacks {
            Some(name) => {
                format!("version {version}: its new code captures `{name}`, which it does not have")
            }
            None => format!("version {version}: its code is gone"),
        }
    }
}

/// Returns the reason why a handler has an older text than its version, if it has one. `has` returns `true` for a name
/// that every closure of the connection has, such as `io`.
pub fn of(handler: &Handler, has: &dyn Fn(&str) -> bool) -> Option<Stale> {
    closure(handler.version(), handler.fn_ptr(), has)
}

/// Returns the closures in a value that have an older text than the version in which they run.
pub fn in_value(value: &Dynamic, version: &Arc<Version>, has: &dyn Fn(&str) -> bool) -> Vec<Stale> {
    let mut found = Vec::new();
    each_closure(value, 0, &mut |inner| {
        found.extend(closure(version, inner, has));
    });
    found
}

fn closure(version: &Arc<Version>, fn_ptr: &FnPtr, has: &dyn Fn(&str) -> bool) -> Option<Stale> {
    if !is_closure(fn_ptr.fn_name()) {
        return None;
    }
    let (code, row) = version.origin(fn_ptr.fn_name())?;
    if Arc::ptr_eq(&code, version.own()) {
        return None;
    }
    let transition = version.transition_from(&code);
    let lacks = transition.row(row).and_then(|to| {
        let mut captures = to.captures.iter();
        captures.find_map(|capture| match capture {
            Capture::Lacks(name) if !has(name) && !version.is_own_socket(to.row, name) => {
                Some(name.to_string())
            }
            _ => None,
        })
    });
    Some(Stale::new(
        code.places().row(row)?,
        code.number(),
        lacks.as_deref(),
    ))
}
