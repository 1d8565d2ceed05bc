//! Names of variables and modules.

use rhai::{Expr, Namespace};

use super::{Check, Type};
use crate::{
    diagnostic::{Diagnostic, unknown_variable},
    script::symbols::nearest,
};

impl Check<'_> {
    /// Returns the type of a variable in scope, and marks the variable as used.
    pub(super) fn find(&mut self, name: &str) -> Option<Type> {
        let variable = self.scope.iter_mut().rev().find(|v| v.name == name)?;
        variable.used = true;
        Some(variable.type_of)
    }

    /// Checks a read of a variable, and returns its type.
    pub(super) fn variable(&mut self, expression: &Expr) -> Type {
        let Expr::Variable(variable, _, position) = expression else {
            return None;
        };
        let name = &variable.1;
        if let Some(root) = variable.2.path.first() {
            self.namespace(&variable.2, &root.name);
            return None;
        }
        if let Some(type_of) = self.find(name) {
            return type_of;
        }
        if self.known.is_global(name) {
            return self.known.handle(name);
        }
        let is_function = self.functions.contains_key(name.as_str());
        if is_function {
            self.taken_for_function(name, *position);
        } else if !self.open {
            self.unknown_variable(name, *position);
        }
        None
    }

    /// Reports a variable around a closure that has the same name as a function that is defined above: in the closure,
    /// the name refers to the function.
    fn taken_for_function(&mut self, name: &str, position: rhai::Position) {
        let mut around = self.around.iter_mut().flatten();
        let Some(variable) = around.find(|variable| variable.name == name) else {
            return;
        };
        variable.used = true;
        let warning = Diagnostic::warning(format!(
            "`{name}` is the function `{name}` in this closure, and not the variable"
        ));
        self.report(
            warning.hint("give one of them another name"),
            position,
            name,
        );
    }

    fn unknown_variable(&mut self, name: &str, position: rhai::Position) {
        let mut error = unknown_variable(name, Some(self.file.text));
        let shared = self.known.vocabulary.shared;
        if self.top_level.get(name) == Some(&false) && !shared.is_empty() {
            error = error.hint(format!(
                "what connections share is kept in `{shared}.{name}`"
            ));
        }
        if error.hints.is_empty() {
            let globals = self.known.vocabulary.globals.iter().copied();
            let names = self.scope.iter().map(|variable| variable.name.as_str());
            let names = names.chain(globals).chain(self.functions.keys().copied());
            if let Some(near) = nearest(name, names) {
                error = error.hint(format!("there is `{near}`"));
            }
        }
        self.report(error, position, name);
    }

    /// Checks the name before `::`: an import of this file, or a module of the host. Returns `true` if it is known.
    pub(super) fn namespace(&mut self, namespace: &Namespace, root: &str) -> bool {
        if root == "global" || self.aliases.contains_key(root) || self.known.has_namespace(root) {
            return true;
        }
        let mut error = Diagnostic::error(format!("unknown module `{root}`"));
        let names = self
            .aliases
            .keys()
            .map(String::as_str)
            .chain(self.known.namespaces());
        error = match nearest(root, names) {
            Some(near) => error.hint(format!("there is `{near}`")),
            None => error.hint(format!(
                "a module gets its name from an import: `import \"...\" as {root};`"
            )),
        };
        let position = namespace.position();
        self.report(error, position, root);
        false
    }
}

/// Formats the receiver of a call for a message: `socket`, `io.to(...)`, `socket.data`.
pub(super) fn shown(expression: &Expr) -> String {
    match expression {
        Expr::Variable(variable, ..) => variable.1.to_string(),
        Expr::Property(property, ..) => property.2.to_string(),
        Expr::MethodCall(call, _) | Expr::FnCall(call, _) if call.args.is_empty() => {
            format!("{}()", call.name)
        }
        Expr::MethodCall(call, _) | Expr::FnCall(call, _) => format!("{}(...)", call.name),
        Expr::Dot(dot, ..) => format!("{}.{}", shown(&dot.lhs), shown(&dot.rhs)),
        Expr::Index(index, ..) => format!("{}[...]", shown(&index.lhs)),
        Expr::Array(..) => "[...]".to_owned(),
        Expr::Map(..) => "#{...}".to_owned(),
        Expr::StringConstant(text, _) => format!("\"{text}\""),
        Expr::IntegerConstant(number, _) => number.to_string(),
        _ => "the value".to_owned(),
    }
}
