//! Statements, and the variables that are in scope at each of them.

use rhai::{ASTFlags, Expr, FlowControl, ImmutableString, Position, Stmt};

use super::{Check, Function, Type, Variable, is_closure};
use crate::{diagnostic::Diagnostic, script::symbols::is_closure as is_closure_type};

impl Check<'_> {
    pub(super) fn top_level(&mut self) {
        let ast = self.file.ast;
        for statement in ast.statements() {
            self.statement(statement);
        }
        // Other code may read top-level variables, as `global::name` or through an import, so none of them counts as
        // unused.
        self.scope.clear();
    }

    /// Checks every named function. Closures are checked where they are created.
    pub(super) fn functions(&mut self) {
        let all: Vec<Function> = self.functions.values().flatten().cloned().collect();
        for function in all {
            if !is_closure(&function.definition.name) {
                let types = self.parameter_types(&function.definition);
                self.open = self.capturing.contains(function.definition.name.as_str());
                self.body(&function, &types);
                self.open = false;
            }
        }
    }

    /// Checks the body of a function whose parameters have these types.
    pub(super) fn body(&mut self, function: &Function, types: &[Type]) {
        self.around.push(std::mem::take(&mut self.scope));
        for (name, type_of) in function.definition.params.iter().zip(types) {
            self.enter(name, self.lasting(name, *type_of), Position::NONE);
        }
        self.statements(&function.body);
        self.leave(0);
        self.scope = self.around.pop().unwrap_or_default();
    }

    /// Adds a name to the scope. It may stay unused without a warning.
    pub(super) fn enter(&mut self, name: &ImmutableString, type_of: Type, position: Position) {
        self.scope.push(Variable {
            name: name.clone(),
            type_of,
            position,
            declared: false,
            used: false,
        });
    }

    fn statements(&mut self, mut statements: &[Stmt]) {
        while let Some((statement, rest)) = statements.split_first() {
            self.statement(statement);
            if !rest.is_empty() {
                self.lost_validity(statement);
            }
            self.changed_result(statement);
            self.changed_variable(statement, rest);
            self.changed_text(statement, rest);
            statements = rest;
        }
    }

    pub(super) fn block(&mut self, statements: &[Stmt]) {
        let before = self.scope.len();
        self.statements(statements);
        self.leave(before);
    }

    fn leave(&mut self, before: usize) {
        let ended = self.scope.split_off(before);
        for variable in ended {
            if variable.declared && !variable.used && !variable.name.starts_with('_') {
                let warning = Diagnostic::warning(format!("unused variable `{}`", variable.name))
                    .hint(format!("`_{}` says that this is on purpose", variable.name));
                self.report(warning, variable.position, &variable.name);
            }
        }
    }

    pub(super) fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Var(variable, flags, _) => self.declare(&variable.0, &variable.1, *flags),
            Stmt::Assignment(assignment) => {
                self.shared_write(&assignment.1.lhs, &assignment.0);
                self.assignment(&assignment.1.lhs, &assignment.1.rhs);
            }
            Stmt::FnCall(call, position) => {
                self.function_call(call, *position);
            }
            Stmt::Expr(expression) => {
                self.expression(expression);
            }
            Stmt::Block(block) => self.block(block.statements()),
            Stmt::If(flow, _) | Stmt::While(flow, _) | Stmt::Do(flow, ..) => self.flow(flow),
            Stmt::TryCatch(flow, _) => self.try_catch(flow),
            Stmt::For(flow, _) => self.for_loop(&flow.0, flow.1.as_ref(), &flow.2),
            Stmt::Switch(switch, _) => {
                self.expression(&switch.0);
                for case in &switch.1.expressions {
                    self.expression(&case.lhs);
                    self.expression(&case.rhs);
                }
            }
            Stmt::BreakLoop(Some(value), ..) | Stmt::Return(Some(value), ..) => {
                self.expression(value);
                self.used(value);
            }
            Stmt::Import(import, _) => {
                self.expression(&import.0);
            }
            Stmt::Export(export, _) => {
                self.find(&export.0.name);
            }
            _ => {}
        }
    }

    /// Returns the type of a variable, unless an assignment may change it. A handle keeps its type, because an
    /// assignment to it is an error.
    fn lasting(&self, name: &str, type_of: Type) -> Type {
        type_of.filter(|_| !self.assigned.contains(name) || self.is_handle(type_of))
    }

    fn declare(&mut self, name: &rhai::Ident, value: &Expr, flags: ASTFlags) {
        let type_of = self.expression(value);
        self.used(value);
        self.enter(&name.name, self.lasting(&name.name, type_of), name.pos);
        if let Some(variable) = self.scope.last_mut() {
            variable.declared = true;
            variable.used = flags.contains(ASTFlags::EXPORTED);
        }
    }

    fn flow(&mut self, flow: &FlowControl) {
        self.validity(&flow.expr);
        self.expression(&flow.expr);
        self.block(flow.body.statements());
        self.block(flow.branch.statements());
    }

    fn try_catch(&mut self, flow: &FlowControl) {
        self.block(flow.body.statements());
        let before = self.scope.len();
        if let Expr::Variable(error, _, position) = &flow.expr {
            self.enter(&error.1, None, *position);
        }
        self.block(flow.branch.statements());
        self.scope.truncate(before);
        self.lost_value(flow.branch.statements());
    }

    fn for_loop(&mut self, name: &rhai::Ident, counter: Option<&rhai::Ident>, flow: &FlowControl) {
        let over = self.expression(&flow.expr);
        self.used(&flow.expr);
        let before = self.scope.len();
        let element = over.and_then(|list| self.known.element(list));
        self.enter(&name.name, element, name.pos);
        if let Some(counter) = counter {
            self.enter(&counter.name, None, counter.pos);
        }
        self.block(flow.body.statements());
        self.scope.truncate(before);
        let names = std::iter::once(name).chain(counter);
        let names: Vec<_> = names.map(|ident| &ident.name).collect();
        self.shared_turns(&names, flow.body.statements());
        if self.is_copy(element) {
            self.changed_copy(&name.name, &flow.expr, flow.body.statements());
        }
    }

    fn assignment(&mut self, target: &Expr, value: &Expr) {
        self.expression(value);
        self.used(value);
        let Expr::Variable(variable, _, position) = target else {
            self.assigned_place(target);
            return;
        };
        let type_of = self.variable(target);
        if self.is_handle(type_of) {
            let name = &variable.1;
            let error = Diagnostic::error(format!("`{name}` cannot be assigned"))
                .hint("a handle stands for the same thing for as long as it is in scope");
            self.report(error, *position, name);
        }
    }

    /// Returns `true` if a value is a handle, which the host provides, and which closures capture by value.
    pub(super) fn is_handle(&self, type_of: Type) -> bool {
        let mut handles = self.known.vocabulary.handles.iter();
        type_of.is_some_and(|id| !is_closure_type(id) && handles.any(|(_, handle)| handle() == id))
    }
}
