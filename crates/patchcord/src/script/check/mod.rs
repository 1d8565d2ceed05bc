//! Static checks of a file, before it runs. Rhai itself finds an unknown function only when a call reaches it.
//!
//! In: the original AST of a file, before optimization, and the symbols ([`SymbolTable`]). Out: diagnostics. An error
//! means that the code fails whenever it runs; a warning means that the code probably does not do what its author
//! intended.
//!
//! Invariant: no false positives. The type of a value is known only if the value is a literal or comes from a handle (a
//! parameter of a hook, a global name, or a chain that starts at one). The checks ignore all other values.

mod calls;
mod copies;
mod expressions;
mod hooks;
mod names;
mod plain;
mod shadowing;
mod statements;
mod traps;
mod types;

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::{AST, ASTNode, Expr, ImmutableString, Position, ScriptFuncDef, Stmt};

pub(super) use expressions::{Closure, closure};
pub(super) use shadowing::Calls;

use super::{
    captures::{ast_of, is_closure},
    symbols::SymbolTable,
};
use crate::diagnostic::{Diagnostic, Place};

/// Functions of a file that other files can call, with the parameter count of each overload.
pub(super) type Exports = BTreeMap<String, Vec<usize>>;

/// File to check.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a Arc<str>,
    pub(super) ast: &'a AST,
    /// `true` for the entry file, which the host calls; `false` for an imported file.
    pub(super) is_entry: bool,
    /// Exports of the imported files, by the path of the import.
    pub(super) modules: &'a BTreeMap<String, Exports>,
}

/// Returns the functions of a file that other files can call.
pub(super) fn exports(ast: &AST) -> Exports {
    let mut exports = Exports::new();
    for function in ast.iter_functions() {
        if function.access == rhai::FnAccess::Public && !is_closure(function.name) {
            exports
                .entry(function.name.to_owned())
                .or_default()
                .push(function.params.len());
        }
    }
    exports
}

/// Returns the diagnostics of a file, in the order of its lines.
pub(super) fn file(file: File<'_>, known: &SymbolTable) -> Vec<Diagnostic> {
    let mut check = Check::new(file, known);
    check.hooks();
    check.top_level();
    check.functions();
    check.imports();
    let mut found = check.found;
    found.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|p| (p.line, p.column)));
    found.dedup();
    found
}

/// Type of an expression's value, if it is known.
type Type = Option<TypeId>;

/// Variable in scope.
struct Variable {
    name: ImmutableString,
    type_of: Type,
    position: Position,
    /// `true` if there should be a warning when no code reads the variable.
    declared: bool,
    used: bool,
}

/// Function of the file.
#[derive(Clone)]
struct Function {
    definition: Arc<ScriptFuncDef>,
    /// Statements of the function's body.
    body: Arc<[Stmt]>,
}

impl Function {
    fn new(definition: &Arc<ScriptFuncDef>) -> Self {
        let mut body: Vec<Stmt> = Vec::new();
        ast_of(definition).walk(&mut |nodes| {
            if let [ASTNode::Stmt(statement)] = nodes {
                body.push((*statement).clone());
            }
            true
        });
        Self {
            definition: definition.clone(),
            body: body.into(),
        }
    }

    fn mentions_this(&self) -> bool {
        any_node(&self.body, |node| {
            matches!(node, ASTNode::Expr(Expr::ThisPtr(_)))
        })
    }
}

/// Returns `true` if any statement or expression within `statements` passes the test `fits`.
fn any_node(statements: &[Stmt], fits: impl Fn(&ASTNode<'_>) -> bool) -> bool {
    let mut found = false;
    for statement in statements {
        statement.walk(&mut Vec::new(), &mut |nodes| {
            found |= nodes.last().is_some_and(&fits);
            !found
        });
    }
    found
}

/// Import of the file.
struct Alias {
    path: Option<String>,
    position: Position,
}

struct Check<'a> {
    file: File<'a>,
    known: &'a SymbolTable,
    functions: BTreeMap<&'a str, Vec<Function>>,
    aliases: BTreeMap<String, Alias>,
    /// Names that the file reads: variables, functions as values, and modules before `::`. A call is stored as
    /// `name()`.
    mentioned: BTreeSet<String>,
    /// Variables to which some code assigns: the type of the first value may change.
    assigned: BTreeSet<String>,
    /// `true` if a function assigns to `this`, which may change the type of the value on which it is called.
    assigns_this: bool,
    /// Functions that see the variables of their callers: `name!(...)`.
    capturing: BTreeSet<String>,
    /// Names that are declared at top level, with `true` for a constant.
    top_level: BTreeMap<String, bool>,
    scope: Vec<Variable>,
    /// Scopes around the body that is being checked, the innermost last.
    around: Vec<Vec<Variable>>,
    /// `true` while any name may be a variable, because the function sees the variables of its callers.
    open: bool,
    found: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn new(file: File<'a>, known: &'a SymbolTable) -> Self {
        let mut functions = BTreeMap::<_, Vec<_>>::new();
        for function in file.ast.iter_fn_def() {
            functions
                .entry(function.name.as_str())
                .or_default()
                .push(Function::new(function));
        }
        let mut check = Self {
            file,
            known,
            functions,
            aliases: BTreeMap::new(),
            mentioned: BTreeSet::new(),
            assigned: BTreeSet::new(),
            assigns_this: false,
            capturing: BTreeSet::new(),
            top_level: BTreeMap::new(),
            scope: Vec::new(),
            around: Vec::new(),
            open: false,
            found: Vec::new(),
        };
        check.gather();
        check
    }

    /// Collects the names of the whole file, before any part of it is checked.
    fn gather(&mut self) {
        for statement in self.file.ast.statements() {
            if let Stmt::Var(variable, flags, _) = statement {
                let constant = flags.contains(rhai::ASTFlags::CONSTANT);
                self.top_level.insert(variable.0.name.to_string(), constant);
            }
        }
        let ast = self.file.ast;
        ast.walk(&mut |nodes| {
            match nodes.last() {
                Some(ASTNode::Stmt(statement)) => self.gather_statement(statement),
                Some(ASTNode::Expr(expression)) => self.gather_expression(expression),
                _ => {}
            }
            true
        });
    }

    fn gather_statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Assignment(assignment) => match &assignment.1.lhs {
                Expr::Variable(variable, ..) => {
                    self.assigned.insert(variable.1.to_string());
                }
                Expr::ThisPtr(_) => self.assigns_this = true,
                _ => {}
            },
            Stmt::FnCall(call, _) => self.gather_call(call),
            Stmt::Import(import, position) => self.alias(import, *position),
            _ => {}
        }
    }

    fn gather_expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Variable(variable, ..) => {
                let root = variable.2.path.first();
                let name = root.map_or(&variable.1, |root| &root.name);
                self.mentioned.insert(name.to_string());
            }
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => self.gather_call(call),
            _ => {}
        }
    }

    fn gather_call(&mut self, call: &rhai::FnCallExpr) {
        if let Some(root) = call.namespace.path.first() {
            self.mentioned.insert(root.name.to_string());
        }
        if call.capture_parent_scope {
            self.capturing.insert(call.name.to_string());
        }
        match (call.name.as_str(), call.args.first()) {
            ("Fn", Some(Expr::StringConstant(name, _))) => self.mentioned.insert(name.to_string()),
            _ => self.mentioned.insert(format!("{}()", call.name)),
        };
    }

    fn alias(&mut self, import: &(Expr, rhai::Ident), position: Position) {
        let path = match &import.0 {
            Expr::StringConstant(path, _) => Some(path.to_string()),
            _ => None,
        };
        let position = match import.1.pos.is_none() {
            true => position,
            false => import.1.pos,
        };
        if !import.1.name.is_empty() {
            self.aliases
                .insert(import.1.name.to_string(), Alias { path, position });
        }
    }

    /// Reports imports that nothing uses.
    fn imports(&mut self) {
        let unused: Vec<_> = self
            .aliases
            .iter()
            .filter(|(name, _)| !self.mentioned.contains(*name) && !name.starts_with('_'))
            .map(|(name, alias)| (name.clone(), alias.position))
            .collect();
        for (name, position) in unused {
            let warning = Diagnostic::warning(format!("unused import `{name}`"));
            self.report(warning, position, &name);
        }
    }

    fn report(&mut self, diagnostic: Diagnostic, position: Position, marked: &str) {
        let place = self.place(position, marked);
        self.found.push(diagnostic.at(place));
    }

    /// Returns the location of a name. It is at `position` or, where Rhai reports the start of a larger expression,
    /// later in the same line.
    fn place(&self, position: Position, marked: &str) -> Option<Place> {
        let (line, from) = (position.line()?, position.position().unwrap_or(1));
        let text = self.file.text.split('\n').nth(line.checked_sub(1)?)?;
        let after: String = text.chars().skip(from.saturating_sub(1)).collect();
        let shift = after.find(marked).map_or(0, |byte| {
            after.get(..byte).map_or(0, |head| head.chars().count())
        });
        Some(
            Place::new(self.file.name, line, from + shift)
                .length(marked.chars().count())
                .source(self.file.text.clone()),
        )
    }
}

/// Returns `1 argument`, `no arguments`, `2 arguments`.
fn arguments(count: usize) -> String {
    match count {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        _ => format!("{count} arguments"),
    }
}

/// Describes the argument counts that the functions with a name accept, for a message about a call with `found`
/// arguments.
fn takes(counts: impl Iterator<Item = usize>, found: usize) -> String {
    let counts: Vec<_> = counts.collect::<BTreeSet<_>>().into_iter().collect();
    match counts.as_slice() {
        [one] => arguments(*one),
        [0, 1] => "at most 1 argument".to_owned(),
        [one, other] => format!("{one} or {}", arguments(*other)),
        [first, ..] if found < *first => format!("at least {}", arguments(*first)),
        [.., last] => format!("at most {}", arguments(*last)),
        [] => arguments(0),
    }
}
