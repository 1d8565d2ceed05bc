//! Rhai's errors as diagnostics. Only this module reads `ParseError` and `EvalAltResult`.
//!
//! In: an error, the name of the file that was run, and a function that returns the texts of files. Out: a
//! [`Diagnostic`] with the location of the innermost error, the chain of calls that led there, and hints if the error
//! provides enough facts. Hints that depend on the existing functions are added with [`Diagnostic::hint`] by callers
//! that know these functions.
//!
//! Invariant: source names (`AST::set_source`, `Module::set_id`) are paths relative to the scripts folder, because Rhai
//! reports nothing else about the file of an error. The position of a call belongs to the file of the *caller*, and a
//! position inside the called function belongs to the file of the function.

mod eval;
mod parse;
mod token;
mod words;

use std::sync::Arc;

use rhai::{EvalAltResult, ParseError, Position};

use self::token::Token;
pub(crate) use self::{eval::unknown_variable, words::type_word};
use super::{Diagnostic, Frame, FrameKind, Place, Sources};

impl Diagnostic {
    /// Creates the diagnostic of a script that does not compile; `source` is the text of `file`.
    #[must_use]
    pub fn from_parse(error: &ParseError, file: &str, source: &Arc<str>) -> Self {
        let token = Token::at(source, error.position());
        let place = place(file, Some(source), error.position());
        parse::explain(error.err_type(), token.as_ref()).at(place)
    }

    /// Creates the diagnostic of a call that failed.
    ///
    /// `entry` is the file to which the host's call belongs: the file of the hook or, for a closure that was stored,
    /// the file that registered it, because for Rhai, the position of the call is the position of that registration.
    ///
    /// Rhai drops the position of an error that a script cannot catch (operations, sizes, call depth, termination). It
    /// reports the position of the outermost call that led to the error, or none at all if the host made that call
    /// without a position.
    #[must_use]
    pub fn from_eval(error: &EvalAltResult, entry: &str, sources: Sources<'_>) -> Self {
        let Chain {
            error,
            file,
            mut trace,
        } = Chain::new(error, entry, sources);
        let source = sources(&file);
        let token = source.as_deref().and_then(|text| eval::token(error, text));
        let here = match (token, &source) {
            (Some(token), Some(source)) => Some(token.place(&file, Arc::clone(source))),
            _ => place(&file, None, error.position()),
        };
        let place = here.or_else(|| nearest(&mut trace));
        let explained = match error {
            EvalAltResult::ErrorParsing(error, _) => parse::explain(error, token.as_ref()),
            _ => eval::explain(error, token.as_ref(), source.as_deref()),
        };
        let mut diagnostic = explained.at(place);
        diagnostic.trace = tidy(trace);
        diagnostic
    }
}

/// Innermost error, the file that contains it, and the calls that led to it.
struct Chain<'e> {
    error: &'e EvalAltResult,
    file: String,
    trace: Vec<Frame>,
}

impl<'e> Chain<'e> {
    fn new(error: &'e EvalAltResult, entry: &str, sources: Sources<'_>) -> Self {
        let mut chain = Self {
            error,
            file: entry.to_owned(),
            trace: Vec::new(),
        };
        loop {
            match chain.error {
                EvalAltResult::ErrorInFunctionCall(name, source, inner, at) => {
                    chain.enter(frame_of(name), *at, sources);
                    if !source.is_empty() {
                        chain.file.clone_from(source);
                    }
                    chain.error = inner;
                }
                EvalAltResult::ErrorInModule(path, inner, at) => {
                    chain.enter((FrameKind::Import, path.clone()), *at, sources);
                    if !path.is_empty() {
                        chain.file = module_file(path, sources);
                    }
                    chain.error = inner;
                }
                _ => return chain,
            }
        }
    }

    fn enter(&mut self, (kind, function): (FrameKind, String), at: Position, sources: Sources<'_>) {
        let place = place(&self.file, sources(&self.file).as_ref(), at);
        self.trace.push(Frame {
            kind,
            function,
            place,
        });
    }
}

fn frame_of(function: &str) -> (FrameKind, String) {
    if function.starts_with(eval::CLOSURE) {
        (FrameKind::Closure, "closure".to_owned())
    } else {
        (FrameKind::Function, function.to_owned())
    }
}

/// Returns the file of an import. The path of an import does not have the extension of the file.
fn module_file(path: &str, sources: Sources<'_>) -> String {
    let file = format!("{path}.rhai");
    if sources(path).is_none() && sources(&file).is_some() {
        file
    } else {
        path.to_owned()
    }
}

/// Returns the location of the token at a position of a file. Without the text of the file, returns the location of one
/// character.
pub(crate) fn place(file: &str, source: Option<&Arc<str>>, position: Position) -> Option<Place> {
    let token = source.and_then(|text| Some((text, Token::at(text, position)?)));
    match token {
        Some((text, token)) => Some(token.place(file, Arc::clone(text))),
        None => Some(Place::new(
            file,
            position.line()?,
            position.position().unwrap_or(1),
        )),
    }
}

/// Returns the location of the innermost call that has a location, for an error without a location. This call and the
/// calls inside it are removed from the trace.
fn nearest(trace: &mut Vec<Frame>) -> Option<Place> {
    while let Some(frame) = trace.pop() {
        if frame.place.is_some() {
            return frame.place;
        }
    }
    None
}

/// Removes frames without information: the call by the host, and a native function (`for_each`) whose closure fails,
/// because Rhai reports both it and the closure at the same position.
fn tidy(trace: Vec<Frame>) -> Vec<Frame> {
    let mut tidied: Vec<Frame> = Vec::with_capacity(trace.len());
    for frame in trace {
        if tidied.is_empty() && frame.place.is_none() {
            continue;
        }
        if frame.kind == FrameKind::Closure
            && tidied.last().is_some_and(|last| last.place == frame.place)
        {
            tidied.pop();
        }
        tidied.push(frame);
    }
    tidied
}
