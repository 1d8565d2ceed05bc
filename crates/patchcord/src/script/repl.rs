//! REPL session: runs lines one after the other, with the variables and functions of earlier lines.
//!
//! In: the lines that a user types. Out: the value of each line, or its diagnostic. All lines form one text, so an
//! error in a function from an earlier line is shown at that line.
//!
//! Invariant: after a line that fails, the variables and functions of earlier lines still exist.

use std::{any::TypeId, collections::BTreeSet, sync::Arc};

use rhai::{AST, Dynamic, Engine, EvalAltResult, LexError, ParseErrorType, Position, Scope};

use super::{
    budget,
    call::catch_panic,
    limits::Limits,
    symbols::{SymbolTable, nearest},
};
use crate::diagnostic::Diagnostic;

/// Name of the text in diagnostics.
const NAME: &str = "repl";

/// State of a REPL.
#[derive(Debug)]
pub(crate) struct ReplSession {
    engine: Engine,
    known: SymbolTable,
    limits: Limits,
    scope: Scope<'static>,
    /// Functions and closures of the lines so far.
    functions: AST,
    text: String,
}

impl ReplSession {
    /// Creates a session without lines. `engine` has everything that lines can call, and `known` contains its symbols.
    pub(crate) fn new(engine: Engine, known: SymbolTable, limits: Limits) -> Self {
        Self {
            engine,
            known,
            limits,
            scope: Scope::new(),
            functions: AST::empty(),
            text: String::new(),
        }
    }

    /// Returns `true` if the text ends within an unfinished block, call or comment.
    pub(crate) fn is_unfinished(&self, text: &str) -> bool {
        let Err(error) = self.engine.compile(text) else {
            // The end of a comment is valid only within a comment.
            return self.engine.compile(format!("{text}\n*/")).is_ok();
        };
        match error.err_type() {
            ParseErrorType::UnexpectedEOF => true,
            ParseErrorType::BadInput(LexError::UnterminatedString) => text.contains('`'),
            _ => is_at_end(text, error.position()),
        }
    }

    /// Runs one line, or several lines that belong together.
    ///
    /// # Errors
    /// Returns a diagnostic with its location.
    pub(crate) fn run(&mut self, text: &str) -> Result<Dynamic, Box<Diagnostic>> {
        let above = "\n".repeat(self.text.matches('\n').count());
        self.text += text;
        self.text += "\n";
        let compiled = self.engine.compile(above + text);
        let ast = compiled.map_err(|error| Diagnostic::from_parse(&error, NAME, &self.source()))?;
        let mut all = self.functions.merge(&ast);
        all.set_source(NAME);
        let result = {
            let _budget = budget::start(&self.limits);
            catch_panic(None, |_| {
                self.engine.eval_ast_with_scope(&mut self.scope, &all)
            })
        };
        self.functions = all.clone_functions_only();
        result.map_err(|error| self.explain(&error).into())
    }

    fn explain(&self, error: &EvalAltResult) -> Diagnostic {
        let source = self.source();
        let diagnostic =
            Diagnostic::from_eval(error, NAME, &|name| (name == NAME).then(|| source.clone()));
        match error.unwrap_inner() {
            EvalAltResult::ErrorModuleNotFound(..) => diagnostic.hint("a console imports no files"),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => {
                let name = signature.split(' ').next().unwrap_or_default();
                match self.near(name) {
                    Some(near) => diagnostic.hint(format!("there is a function `{near}`")),
                    None => diagnostic,
                }
            }
            _ => diagnostic,
        }
    }

    /// Returns the function whose name is most similar to an unknown name. Returns `None` if the name is known.
    fn near(&self, name: &str) -> Option<&str> {
        let is_known = !self.known.named("", name).is_empty();
        let names = self.known.names("").filter(|_| !is_known);
        nearest(name, names)
    }

    fn source(&self) -> Arc<str> {
        self.text.as_str().into()
    }

    /// Returns the variables that lines have declared, the newest first.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &Dynamic)> {
        let variables: Vec<_> = self.scope.iter_raw().collect();
        let variables = variables.into_iter().rev();
        variables.map(|(name, _, value)| (name, value))
    }

    /// Returns the start of the name at the end of `text`, and its completions.
    pub(crate) fn complete(&self, text: &str) -> (usize, Vec<String>) {
        let before = text.trim_end_matches(is_of_name);
        let typed = text.strip_prefix(before).unwrap_or_default();
        let names = match before.strip_suffix('.') {
            Some(before) => self.members(before),
            None => self.names(),
        };
        let fitting = names.into_iter().filter(|name| name.starts_with(typed));
        (before.len(), fitting.map(str::to_owned).collect())
    }

    /// Returns the members that may follow the dot of `text.`, if `text` ends with the name of a variable.
    fn members(&self, text: &str) -> BTreeSet<&str> {
        let before = text.trim_end_matches(is_of_name);
        let name = text.strip_prefix(before).unwrap_or_default();
        let receiver = match before.ends_with(['.', ':']) {
            true => None,
            false => self.type_of(name),
        };
        let members = receiver.map(|id| self.known.members(id));
        let members = members.into_iter().flatten();
        members.map(|member| member.name()).collect()
    }

    fn type_of(&self, name: &str) -> Option<TypeId> {
        match self.scope.get(name) {
            Some(value) => Some(value.flatten_clone().type_id()),
            None if self.known.is_global(name) => self.known.handle(name),
            None => None,
        }
    }

    /// Returns all names that are not methods.
    fn names(&self) -> BTreeSet<&str> {
        let known = self.known.names("");
        let known = known.filter(|name| !self.known.is_method_only(name));
        let globals = self.known.vocabulary.globals.iter().copied();
        let functions = self.functions.iter_functions().map(|f| f.name);
        let functions = functions.filter(|name| !name.contains('$'));
        let variables = self.variables().map(|(name, _)| name);
        known
            .chain(globals)
            .chain(functions)
            .chain(variables)
            .collect()
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns `true` if only whitespace follows a position.
fn is_at_end(text: &str, position: Position) -> bool {
    let Some(line) = position.line() else {
        return true;
    };
    let skipped = position.position().unwrap_or(1).saturating_sub(1);
    let mut lines = text.lines().skip(line - 1);
    let rest: String = lines
        .next()
        .unwrap_or_default()
        .chars()
        .skip(skipped)
        .collect();
    rest.trim().is_empty() && lines.all(|line| line.trim().is_empty())
}
